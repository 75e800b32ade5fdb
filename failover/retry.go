package failover

import (
	"context"
	"time"

	"github.com/seed355143d4/mailer"
)

// maxRetryWaits is how many times [Target].RetryWait the wait grows to.
const maxRetryWaits = 8

// retry tells whether the message of w, which failed at t, is to be tried there
// again, and after which wait, if t's health has no objection. It is not when
// anybody may have it, when the fault is not the service's or the network's, or
// when more than half of the time for the target would pass with waiting.
func (c *Chain) retry(ctx context.Context, w *walk, t *target, err error, d Decision, now time.Time) (wait time.Duration, ok bool) {
	if w.tries >= t.retries || !d.Next || !mailer.NotSent(err) || ctx.Err() != nil {
		return 0, false
	}
	switch asked := d.RestFor; {
	case asked > t.retryWait:
		return 0, false
	case d.Rest && (asked <= 0 || mailer.KindOf(err) != mailer.KindRateLimited):
		return 0, false
	case d.Rest:
		wait = asked
	case d.Strike:
		wait = max(asked, backOff(t.retryWait, maxRetryWaits*t.retryWait, uint(w.tries)))
	default:
		return 0, false
	}
	end, _, _ := c.limits(ctx, t, now, w)
	return wait, wait <= end.Sub(now)/2
}

// pause waits, or returns early if ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
