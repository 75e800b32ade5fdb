// Package middleware holds wrappers for a [mailer.Sender]: logging, observing,
// recovering from a panic, and keeping a staging system's mail at home.
//
// Each is a plain func(mailer.Sender) mailer.Sender. The outermost is called
// first:
//
//	sender := middleware.Log(nil)(middleware.Recover(nil)(chain))
//
// What the Sender inside can do besides sending stays reachable: it is a
// [mailer.BatchSender] outside exactly if it is one inside, each message of a
// batch passes through the wrapper, and [mailer.As] finds the powers that only
// ask. A wrapper of one's own gets the same from [Wrap].
//
// The wrappers are safe for use by many goroutines if the Sender inside is.
package middleware

import (
	"context"

	"github.com/seed355143d4/mailer"
)

// Wrap makes a Sender of two functions around s. The result sends one message by
// send, and many by batch if s itself is a [mailer.BatchSender]; otherwise it is
// none, batch is not used, and [mailer.SendAll] sends each message by send. It
// has s as what it unwraps to.
//
// Both functions have to keep the promises of [mailer.Sender] and
// [mailer.BatchSender]. They call s themselves, or not.
func Wrap(s mailer.Sender, send mailer.SenderFunc, batch func(ctx context.Context, ms []mailer.Message) []mailer.Result) mailer.Sender {
	w := wrapped{SenderFunc: send, inner: s}
	if b, ok := s.(mailer.BatchSender); ok {
		return &wrappedBatch{wrapped: w, max: b.MaxBatch, batch: batch}
	}
	return &w
}

type wrapped struct {
	mailer.SenderFunc
	inner mailer.Sender
}

func (w *wrapped) Unwrap() mailer.Sender { return w.inner }

type wrappedBatch struct {
	wrapped
	max   func() int
	batch func(ctx context.Context, ms []mailer.Message) []mailer.Result
}

func (w *wrappedBatch) MaxBatch() int { return w.max() }

func (w *wrappedBatch) SendBatch(ctx context.Context, ms []mailer.Message) []mailer.Result {
	return w.batch(ctx, ms)
}
