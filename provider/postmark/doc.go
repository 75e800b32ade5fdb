// Package postmark sends through Postmark's HTTP API. Each message is one POST
// to /email, or to /email/withTemplate; SendBatch puts up to 500 into one.
//
// A [Provider] needs a server token, and a From address that is confirmed as a
// sender signature or stands on a verified domain. With the token
// "POSTMARK_API_TEST" Postmark checks every request and delivers nothing.
//
// Everything in a message is carried but these:
//
//   - SendAt and a second tag have no field. SendAt is [mailer.KindUnsupported],
//     further tags are named in the receipt.
//   - A template brings its own subject and bodies, so Subject beside one is
//     [mailer.KindUnsupported].
//   - One recipient in To is needed. No address may have a question mark or quotes
//     before the "@".
//   - Track.Opens set to Off does not win over a server that has it on.
//
// The message's ID travels as the metadata entry "mailer_id" and in the
// Message-ID header. Postmark has no idempotency key: an outcome that is unknown
// stays unknown until an event or a search tells.
//
// The facts in this package are from Postmark's developer documentation,
// https://postmarkapp.com/developer (read 2026-11).
package postmark
