// Package smtp sends through any SMTP submission server: a relay service, a company's
// own mail server, or a catcher of mail in development.
//
//	p, err := smtp.New(smtp.Config{Host: "mail.example.com", Username: "app", Password: secret})
//
// [Parse] makes a [Config] of a URL such as "smtps://user:pass@mail.example.com", and
// [Postmark], [SES], [SendGrid], [SocketLabs], [Mailjet], [ElasticEmail] and
// [SMTP2GO] make those of the relays.
//
// # Encryption and credentials
//
// The zero Config insists on STARTTLS; a server that does not offer it gets nothing,
// and no credential. [InsecurePlaintext] has to be named to send in clear, and even
// then credentials go to a loopback host only. Certificates are verified against
// Config.Host.
//
// # What is exact
//
// A mail takes two round trips on a kept connection to a server that offers
// PIPELINING (RFC 2920). Recipients that the server refuses while it takes others are
// in Receipt.Rejected. NotSent is false for one case only: the mail was written to
// its final dot, and no answer came. A connection that breaks after the answer
// changes nothing.
//
// Receipt.MessageID is the relay's id where its answer is documented to hold it (SES,
// SendGrid), and else the message's ID. The Message-ID header is the message's ID at
// the domain of From; SES puts its own in its place. Each known relay, SMTP2GO
// excepted, also gets the ID in the header line that brings it back in its webhook
// events.
//
// # Limits
//
// SMTP has no templates and no later sending: both are KindUnsupported. Tags,
// Metadata and Track are named in Receipt.Dropped; a relay's own header lines for
// them can be set in Message.Headers. The server's SIZE is kept before any traffic of
// the message (KindTooLarge). Local parts outside ASCII need SMTPUTF8.
package smtp
