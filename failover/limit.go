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
	// An error that is a [*mailer.Error] may tell by RetryAfter when there is room.
	// If no target takes the message, Send's error tells the soonest.
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

// room tells whether the Ledger and t's Limiter have room for w, and takes it.
func (c *Chain) room(ctx context.Context, t *target, w *walk) bool {
	return (c.ledger == nil || c.ledger.Begin(t.index, w.m)) && c.leave(ctx, t, w) == 1
}

// roomForAll moves those of ws to the front for which there is room, and tells how
// many they are.
func (c *Chain) roomForAll(ctx context.Context, t *target, ws []*walk) int {
	n := len(ws)
	if c.ledger != nil {
		n = 0
		for i, w := range ws {
			if c.ledger.Begin(t.index, w.m) {
				ws[i], ws[n] = ws[n], w
				n++
			}
		}
	}
	return c.leave(ctx, t, ws[:n]...)
}

// leave tells for how many of ws, which the Ledger let pass, t's Limiter has room,
// and takes it. It waits as long as t allows, and no longer than half of what the
// messages have for t, so that time is left to send.
func (c *Chain) leave(ctx context.Context, t *target, ws ...*walk) int {
	if t.limiter == nil || len(ws) == 0 {
		return len(ws)
	}
	n, roomAt := c.wait(ctx, t, ws)
	for _, w := range ws[n:] {
		if !roomAt.IsZero() && (w.roomAt.IsZero() || roomAt.Before(w.roomAt)) {
			w.roomAt = roomAt
		}
		if c.ledger != nil {
			c.ledger.End(t.index, w.m, errNoRoom)
		}
	}
	return n
}

// wait returns for how many of ws t's Limiter gave leave, and when there is room for
// another, if it told. A Limiter may never give leave for many at once, so it is
// asked for fewer and fewer.
func (c *Chain) wait(ctx context.Context, t *target, ws []*walk) (got int, roomAt time.Time) {
	now, n := time.Now(), len(ws)
	if t.allower != nil && t.allower.AllowN(now, n) {
		return n, roomAt
	}
	end, _, _ := c.limits(ctx, t, now, ws...)
	waiting := &attemptContext{Context: ctx, deadline: now.Add(min(t.maxWait, end.Sub(now)/2))}
	defer waiting.end()
	for ask := n; ask > 0; ask = min(ask, n-got) {
		err := t.limiter.WaitN(waiting, ask)
		if err == nil {
			got += ask
			continue
		}
		ask /= 2
		if after := retryAfter(err); after > 0 {
			roomAt = time.Now().Add(after) // of the fewest that were asked for
		}
	}
	return got, roomAt
}
