package failover

import (
	"context"
	"time"

	"github.com/seed355143d4/mailer"
)

// Limiter limits the rate at which a [Target] is given messages. The *Limiter of
// golang.org/x/time/rate is one, and so is anything that several processes share.
//
// A message that would have to wait longer than [Target].MaxWait goes on to the
// next target, which is no strike.
type Limiter interface {
	// WaitN waits until n messages may be sent. If it can tell that this would
	// take longer than ctx lasts, it returns an error at once. After an error it
	// has taken nothing. It is called from many goroutines at once.
	//
	// A Limiter with a method AllowN(time.Time, int) bool is asked that first: it
	// says without waiting whether n messages may be sent now, and has then
	// counted them.
	WaitN(ctx context.Context, n int) error
}

// Feedback is a [Limiter] that learns from what its target answers.
type Feedback interface {
	// Ended tells that n messages that it let pass ended with err; nil: the target
	// took them. It is called synchronously, from many goroutines at once, and
	// must not block.
	Ended(n int, err error)
}

// allower is the power of a Limiter to say at once that there is no need to wait.
type allower interface {
	AllowN(now time.Time, n int) bool
}

// errNoRoom is how a message ended for the Ledger that found no room at the
// Limiter.
var errNoRoom error = &mailer.Error{Provider: provider, Kind: mailer.KindRateLimited, NotSent: true, Message: "no room within MaxWait"}

// allows waits for leave for n messages, for as long as t allows and no longer
// than half of what the message has for t, so that time is left to send.
func (c *Chain) allows(ctx context.Context, t *target, w *walk, n int, now time.Time) bool {
	if t.limiter == nil || t.allower != nil && t.allower.AllowN(now, n) {
		return true
	}
	end, _, _ := c.limits(ctx, t, w, now)
	wait := &attemptContext{Context: ctx, deadline: now.Add(min(t.maxWait, end.Sub(now)/2))}
	defer wait.end()
	return t.limiter.WaitN(wait, n) == nil
}
