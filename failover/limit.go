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

// room tells for how many of n messages, those of ws, the Ledger and t's Limiter
// have room, and takes it. It waits for the Limiter as long as t allows, and no
// longer than half of what the messages have for t, so that time is left to send.
func (c *Chain) room(ctx context.Context, t *target, n int, ws ...*walk) int {
	granted := n
	if c.ledger != nil {
		if granted = min(n, c.ledger.Begin(t.index, n)); granted <= 0 {
			return 0
		}
	}
	if t.limiter == nil {
		return granted
	}
	left := granted - c.wait(ctx, t, granted, ws)
	if left > 0 && c.ledger != nil {
		c.ledger.End(t.index, left, errNoRoom)
	}
	return granted - left
}

// wait returns for how many of n messages t's Limiter gave leave. A Limiter may
// never give it for many at once, so it is asked for fewer and fewer.
func (c *Chain) wait(ctx context.Context, t *target, n int, ws []*walk) (got int) {
	now := time.Now()
	if t.allower != nil && t.allower.AllowN(now, n) {
		return n
	}
	end, _, _ := c.limits(ctx, t, now, ws...)
	waiting := &attemptContext{Context: ctx, deadline: now.Add(min(t.maxWait, end.Sub(now)/2))}
	defer waiting.end()
	for ask := n; ask > 0; ask = min(ask, n-got) {
		if t.limiter.WaitN(waiting, ask) == nil {
			got += ask
		} else {
			ask /= 2
		}
	}
	return got
}
