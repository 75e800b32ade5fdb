// Package socketlabs sends through SocketLabs' Injection API. Each message is one
// POST to /api/v1/email; [Provider.SendBatch] puts up to ten in one.
//
// A [Provider] needs the number of a SocketLabs server, an Injection API key of it,
// and a From address on a domain that the account may send from.
//
// Everything in a message is carried but these:
//
//   - SendAt, a second ReplyTo, and local parts outside ASCII are
//     [mailer.KindUnsupported], as is a message with neither Subject nor Template.
//   - SocketLabs switches tracking for a whole server, so Track is named in the
//     receipt.
//   - Tags and Metadata have 12,500 bytes together. What is over that is named in
//     the receipt.
//   - Template.Data holds strings, numbers and booleans, no lists or objects. With
//     it each recipient gets a copy of their own, and there can be no Cc and Bcc.
//
// The message's ID travels as SocketLabs' MessageId, which comes back in events.
// SocketLabs gives no id of its own, has no idempotency key and no way to look a
// message up: an outcome that is unknown stays unknown until an event tells.
//
// A recipient whom SocketLabs suppresses is not refused: the message is taken, and
// an event tells of the failure.
//
// The facts in this package are from SocketLabs' help pages,
// https://help.socketlabs.com, its official libraries, https://github.com/socketlabs,
// and, for the scopes of the error codes, its older API reference (read 2026-11).
package socketlabs
