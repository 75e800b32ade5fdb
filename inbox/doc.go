// Package inbox is a Sender whose mail appears on a web page: for development,
// demonstrations and browser tests. Nothing leaves the program.
//
//	in := inbox.New(inbox.Config{})
//	mux.Handle("/inbox/", http.StripPrefix("/inbox", in))
//
// The pages work under any path, with or without JavaScript. New mail appears
// on an open page by itself.
//
// # For tests in any language
//
// All paths are relative to where the inbox is mounted. Errors are JSON too:
// {"error": "…"}.
//
//	GET    api/messages              {"messages": […]}, newest first; ?to=address, ?q=words
//	GET    api/messages/{id}         one of them; 404 if it is not there
//	GET    api/messages/wait         the oldest one to ?to=address with an id above ?after=id (default 0:
//	                                 one that is already there counts); waits for ?timeout=10s (at most
//	                                 60s) and then answers 504
//	DELETE api/messages              removes all: 204
//
// An id counts up from 1 as long as the program runs. To wait for the mail that
// the next step of a test causes, pass the highest id seen before as after. The
// url of an attachment is relative to the mount as well.
//
// # Who may look
//
// Mail in an inbox holds sign-in links, so other web sites are kept out. A
// request has to name this machine in its Host header: localhost, a name under
// .localhost, a loopback address, or one of [Config].Hosts; that stops a foreign
// name which was made to resolve to 127.0.0.1. A browser's request on behalf of
// another origin is refused, reading as well as clearing, by Sec-Fetch-Site and
// Origin; only a plain link to a page is followed. There is no log-in: whoever
// reaches the port directly may read everything, so listen on a loopback
// address, or put the handler behind your own authentication.
//
// An HTML body is shown in a sandboxed frame of an origin of its own, without
// scripts, forms, frames or any request to elsewhere. Images that come with the mail
// are shown, but for SVG; remote ones are not loaded. Links open in a new tab.
package inbox
