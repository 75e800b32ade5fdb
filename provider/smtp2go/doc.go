// Package smtp2go sends through SMTP2GO's API v3. Each message is one POST to
// /email/send. There is no batch: SMTP2GO does not document how its batch call names
// the message that failed, so [mailer.SendAll] sends in parallel.
//
// A [Provider] needs an API key with the permission for /email/send, and a From
// address or domain that is verified at SMTP2GO.
//
// Everything in a message is carried but these:
//
//   - Local parts outside ASCII, a message with nobody in To, one with neither
//     Subject nor Template, and one with both are [mailer.KindUnsupported].
//   - SMTP2GO shows an inline file by its name: one whose ContentID is not its Name
//     is [mailer.KindUnsupported].
//   - SendAt may be up to 3 days ahead. One in the past is now.
//   - SMTP2GO has no tags and no metadata, and switches tracking for a whole API key.
//     Tags, Metadata and Track are named in the receipt.
//
// The message's ID travels as the header field X-Mailer-Id, which comes back in
// events if the webhook is set to report it. The Message-ID header is SMTP2GO's own.
// SMTP2GO has no idempotency key: an outcome that is unknown stays unknown until an
// event tells.
//
// A suppressed recipient is not refused: the message is taken, and an event tells.
//
// The facts in this package are from https://developers.smtp2go.com, its OpenAPI
// description, https://support.smtp2go.com and SMTP2GO's own libraries (read 2026-11).
package smtp2go
