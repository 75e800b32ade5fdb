// Package mailer gets an application's e-mail out, whichever relay service is
// having a bad day.
//
// An application depends on one method, [Sender].Send. Each package under
// provider is a Sender for one service; package failover is a Sender over
// several of them; package inbox is a Sender that shows the mail on a web page,
// and package mailertest one that records it for tests. They all compose,
// because they are all the same thing.
//
// What a Sender promises:
//
//   - A nil error says that a service took responsibility for the message.
//   - A non-nil error says so too if the message cannot have gone out:
//     [NotSent] is true only then. Otherwise the outcome is unknown.
//   - Whose fault it was is in the error's [Kind].
//   - The message is checked by [Message.Validate] before any traffic. Nothing
//     is stripped from it, and nothing reachable from it is changed.
//
// This package needs the standard library only.
package mailer

import (
	"context"
	"time"
)

// Sender sends a message. It is the whole of what an application depends on.
//
// Send hands the message over at most once. A nil error says that a service has
// taken responsibility for it (not that it is in a mailbox: that comes later, as
// an event); recipients which the service refused while it took others are in
// [Receipt].Rejected. Any error is, or wraps, an [*Error]; [KindOf] and [NotSent]
// read it. NotSent false means that the message may have gone out.
//
// Send may be called from many goroutines at once. It keeps nothing of m after
// it returns and changes nothing reachable from m. It returns soon after ctx
// ends: with [KindCanceled] if the caller gave up, with [KindNetwork] if a
// deadline passed.
type Sender interface {
	Send(ctx context.Context, m Message) (Receipt, error)
}

// SenderFunc makes a Sender of a function. The function has to keep the promises
// of [Sender].
type SenderFunc func(ctx context.Context, m Message) (Receipt, error)

// Send calls f.
func (f SenderFunc) Send(ctx context.Context, m Message) (Receipt, error) { return f(ctx, m) }

// Provider is one account at one service.
type Provider interface {
	Sender
	// Name names the service as errors and receipts do: "postmark". It is
	// constant, and safe for a log.
	Name() string
}

// BatchSender is a Sender that hands over many messages in few calls.
//
// A type which wraps a Sender and changes, observes or withholds messages has to
// do so in SendBatch too, or not have the method: see [SendAll].
type BatchSender interface {
	Sender
	// MaxBatch is the most messages that one call to the service takes. It is
	// for information: SendBatch takes any number.
	MaxBatch() int
	// SendBatch sends the messages and returns one Result for each, in their
	// order, whatever happens. It makes as many calls as the service's limits
	// ask for. Each Result keeps the promises of Send.
	SendBatch(ctx context.Context, ms []Message) []Result
}

// Checker tells without any I/O whether a service can express a message.
type Checker interface {
	// Check returns nil, or the error that Send would return before any traffic:
	// [KindInvalid], [KindUnsupported] or [KindTooLarge], always NotSent. The
	// service may still refuse a message that passes.
	Check(m Message) error
}

// DropReporter tells without any I/O what a service would leave out of a message.
type DropReporter interface {
	// Dropped returns the reporting fields that the service cannot carry, as
	// [Receipt].Dropped would name them if it took m. Nil: it carries all, or
	// cannot take m, which is for [Checker] to say.
	Dropped(m Message) []string
}

// QuotaReporter tells what is left of an account's credits.
type QuotaReporter interface {
	// Quota asks the service. The error kinds are those of Send.
	Quota(ctx context.Context) (Quota, error)
}

// Quota is what a service said about an account's credits.
type Quota struct {
	// Limit is what may be sent in the present period, in recipients as the service
	// counts them, and Remaining what is left of it. Negative: the service does not
	// tell, or sets no limit.
	Limit, Remaining int64
	// Reset is when the period ends. Zero: the service does not tell.
	Reset time.Time
	// PerSecond is the highest sending rate that the service allows, in recipients
	// per second. Zero: the service does not tell.
	PerSecond float64
}

// Verifier tells whether an account's credentials are good.
type Verifier interface {
	// Verify makes the cheapest call that proves the credentials. It sends no
	// mail. Nil: they are good. [KindUnauthorized]: they are not. Any other kind:
	// it could not be found out. Package failover also asks it of a service that
	// left a message in doubt, before it gives it another.
	Verify(ctx context.Context) error
}

// As finds the first Sender of type T in s and in what it wraps. A wrapper lets
// itself be looked through by a method Unwrap() Sender.
//
// Use it for powers that only ask ([Checker], [DropReporter], [QuotaReporter],
// [Verifier]). To send, use what the outermost Sender offers, or its wrappers are
// bypassed.
func As[T any](s Sender) (T, bool) {
	for s != nil {
		if t, ok := s.(T); ok {
			return t, true
		}
		u, ok := s.(interface{ Unwrap() Sender })
		if !ok {
			break
		}
		s = u.Unwrap()
	}
	var zero T
	return zero, false
}
