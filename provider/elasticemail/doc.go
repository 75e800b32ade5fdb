// Package elasticemail sends through Elastic Email's API v4. Each message is one POST
// to /v4/emails/transactional; [Provider.SendBatch] has up to 16 of them under way at
// once, since Elastic Email turns away who opens more than 20 connections.
//
// A [Provider] needs an API key with the access level SendHttp, and a From address on
// a domain that is verified at Elastic Email.
//
// Everything in a message is carried but these:
//
//   - Inline files, a second ReplyTo, local parts outside ASCII, header fields that
//     begin with X-ElasticEmail-, and a message with nobody in To are
//     [mailer.KindUnsupported].
//   - Template.Data holds strings, numbers and booleans, no lists or objects.
//   - SendAt may be up to 35 days ahead, in full minutes. One in the past is now.
//   - The first tag is the channel; further ones are named in the receipt.
//   - Metadata has the room that the ID leaves of 512 bytes. What is over that is named
//     in the receipt.
//
// The message's ID travels as the Postback, with Metadata as one line of JSON, and
// comes back in events. The Message-ID header is Elastic Email's own. Elastic Email has
// no idempotency key: an outcome that is unknown stays unknown until an event tells.
//
// A suppressed recipient is not refused: the message is taken, and an event tells.
// [Webhook] reads events. Suppressions can be pulled and pushed.
//
// The facts in this package are from Elastic Email's OpenAPI description 4.0.31, its
// official libraries and skills, https://github.com/ElasticEmail, and
// https://help.elasticemail.com (read 2026-11).
package elasticemail
