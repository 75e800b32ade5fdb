package failover

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// minShare is what a target gets of the caller's time even if there are many,
	// as long as it leaves half. A service that is cut short while it works leaves
	// an unknown outcome, which is worse than a late one.
	minShare = 5 * time.Second
	// minTelling is the shortest time-out that says something about a service.
	minTelling = time.Second
)

// errTimeUp is the cause of an attempt's context whose own time ran out, as
// opposed to the caller's.
var errTimeUp = errors.New("failover: the attempt's share of the time is used up")

// limits returns when an attempt at t, the last that ws came to, has to end if it
// begins now; own tells that
// this is earlier than where ctx ends by itself. A time-out after less than
// telling says nothing about the service.
func (c *Chain) limits(ctx context.Context, t *target, now time.Time, ws ...*walk) (end time.Time, own bool, telling time.Duration) {
	limit := t.timeout
	callersEnd, bounded := ctx.Deadline()
	if !bounded {
		if limit == 0 {
			limit = c.attemptTimeout
		}
		return now.Add(limit), true, min(limit, minTelling)
	}
	share := callersEnd.Sub(now)
	left := 1
	for _, w := range ws {
		left = max(left, 1+w.mayFollow())
	}
	if left > 1 {
		share = max(share/time.Duration(left), min(share/2, minShare))
	}
	telling = minTelling
	if limit > 0 {
		share, telling = min(share, limit), min(limit, minTelling)
	}
	end = now.Add(share)
	if !end.Before(callersEnd) {
		return callersEnd, false, telling
	}
	return end, true, telling
}

// attemptContext is context.WithDeadline made when it is first needed: a Sender
// that fails before any I/O, or ends at once, does not pay for a timer. From the
// first call of Done on it is that context. Afterwards end must be called.
type attemptContext struct {
	context.Context // the caller's
	deadline        time.Time

	mu     sync.Mutex
	inner  context.Context // nil: not needed yet
	cancel context.CancelFunc
	ended  bool
}

func (c *attemptContext) Deadline() (time.Time, bool) { return c.deadline, true }

func (c *attemptContext) Done() <-chan struct{} { return c.made().Done() }

func (c *attemptContext) Err() error {
	c.mu.Lock()
	live := c.inner == nil && !c.ended && c.Context.Err() == nil && time.Now().Before(c.deadline)
	c.mu.Unlock()
	if live {
		return nil
	}
	return c.made().Err()
}

// Value goes through the inner context once there is one, by which package
// context finds it and hangs children to it without a goroutine each.
func (c *attemptContext) Value(key any) any {
	c.mu.Lock()
	inner := c.inner
	c.mu.Unlock()
	if inner != nil {
		return inner.Value(key)
	}
	return c.Context.Value(key)
}

func (c *attemptContext) made() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner == nil {
		c.inner, c.cancel = context.WithDeadlineCause(c.Context, c.deadline, errTimeUp)
		if c.ended {
			c.cancel()
		}
	}
	return c.inner
}

// end releases what the context holds, as a context.CancelFunc does.
func (c *attemptContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if c.cancel != nil {
		c.cancel()
	}
}
