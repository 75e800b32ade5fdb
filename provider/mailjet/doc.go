// Package mailjet sends through Mailjet's Send API v3.1. Each message is one POST
// to /v3.1/send; a batch puts up to 50 messages in one.
//
// A [Provider] needs the API key and the secret key of an account or of one of
// its sub-accounts, and a From address or domain that is an active sender there.
// With [Extra].Sandbox Mailjet checks the message and sends nothing.
//
// Everything in a message is carried but these:
//
//   - SendAt, a second address in ReplyTo and an empty file are
//     [mailer.KindUnsupported], and so are header fields that Mailjet forbids, such
//     as List-Id and X-Mailer.
//   - One recipient in To is needed. To, Cc and Bcc together take 50.
//   - Mailjet has room for one tag, of ASCII letters, digits, blanks, "-" and "_".
//     Any other is named in the receipt. So is tracking switched on for a
//     message without HTML, where there is nothing to track.
//   - The id of a template is a number.
//   - The type of a file has no parameters: a charset of UTF-8 or ASCII is left
//     out, another charset or parameter is [mailer.KindUnsupported].
//
// The message's ID travels as CustomID, which comes back in every event. The
// Message-ID header is Mailjet's own. Mailjet gives each recipient an id: see
// [mailer.Receipt].MessageIDs. It does not refuse a suppressed recipient: it takes
// the message, and reports a blocked one later. It has no idempotency key: an
// outcome that is unknown stays unknown until an event or a search for CustomID
// tells.
//
// A message is made of the types of mailjet-apiv3-go, and sent without that
// library's client.
//
// The facts in this package are from Mailjet's developer documentation,
// https://dev.mailjet.com/email/guides/send-api-v31/, and from its SDKs for Node.js,
// .NET and Go (read 2026-11).
package mailjet
