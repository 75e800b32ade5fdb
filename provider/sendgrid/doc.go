// Package sendgrid sends through SendGrid's v3 API. Each message is one POST to
// /v3/mail/send, with all its recipients in one personalization; SendBatch puts
// messages with the same text into one POST, each in a personalization of its own.
//
// A [Provider] needs an API key with the scope "mail.send", and a From address
// that is a verified sender identity. With [Extra].Sandbox SendGrid checks the
// request and sends nothing.
//
// Everything in a message is carried but these:
//
//   - SendAt more than 72 hours ahead is [mailer.KindUnsupported].
//   - One recipient in To, and a Subject or a Template, are needed.
//   - The type of a file has no parameters: a charset of UTF-8 or ASCII is left
//     out, another charset or parameter is [mailer.KindUnsupported].
//   - A legacy template (its id does not begin with "d-") takes strings only.
//   - Of the tags the first ten go, if they are ASCII; the others are named in
//     the receipt.
//
// The message's ID travels as the custom argument "mailer_id". SendGrid does not
// refuse a suppressed recipient: it takes the message, and reports a dropped one
// later. It has no idempotency key: an outcome that is unknown stays unknown until
// an event tells.
//
// The payload is made of the types of sendgrid-go's helpers/mail, and sent
// without that library's client.
//
// The facts in this package are from Twilio's SendGrid documentation,
// https://www.twilio.com/docs/sendgrid (read 2026-11).
package sendgrid
