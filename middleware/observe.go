package middleware

import (
	"context"
	"time"

	"github.com/seed355143d4/mailer"
)

// Observation is what became of one message.
type Observation struct {
	// Message is the message as it was given to the wrapper, with an ID. It may
	// not be changed.
	Message mailer.Message
	// Result is what the Sender said of it.
	mailer.Result
	// Start is when it was handed to the Sender, and Duration how long that took:
	// for a message of a batch, how long the whole batch took.
	Start    time.Time
	Duration time.Duration
	// Batch is the number of messages handed over together. 0: the message was
	// sent singly.
	Batch int
}

// Observe tells see of every message as soon as the Sender has answered, whether
// it was taken or not. It assigns an ID to a message that has none, so that see
// can name it.
//
// See is called in the goroutine of Send, which takes longer by it, and, for a
// batch, once for each message in their order.
func Observe(see func(ctx context.Context, o Observation)) func(mailer.Sender) mailer.Sender {
	return func(s mailer.Sender) mailer.Sender {
		send := func(ctx context.Context, m mailer.Message) (mailer.Receipt, error) {
			if m.ID == "" {
				m.ID = mailer.NewID()
			}
			start := time.Now()
			receipt, err := s.Send(ctx, m)
			see(ctx, Observation{Message: m, Result: mailer.Result{Receipt: receipt, Err: err}, Start: start, Duration: time.Since(start)})
			return receipt, err
		}
		batch := func(ctx context.Context, ms []mailer.Message) []mailer.Result {
			ms = withIDs(ms)
			start := time.Now()
			results := mailer.SendAll(ctx, s, ms)
			took := time.Since(start)
			for i := range results {
				see(ctx, Observation{Message: ms[i], Result: results[i], Start: start, Duration: took, Batch: len(ms)})
			}
			return results
		}
		return Wrap(s, send, batch)
	}
}

// withIDs returns messages that all have an ID: ms itself, or a copy.
func withIDs(ms []mailer.Message) []mailer.Message {
	copied := false
	for i := range ms {
		if ms[i].ID != "" {
			continue
		}
		if !copied {
			ms, copied = append([]mailer.Message(nil), ms...), true
		}
		ms[i].ID = mailer.NewID()
	}
	return ms
}
