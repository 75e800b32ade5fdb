package failover

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/seed355143d4/mailer"
)

// Rate is a [Limiter] that adapts: when its target answers
// [mailer.KindRateLimited], it halves its rate, and raises it evenly from then on
// until it is the full one again. If the service named a time, nobody passes before.
// Several refusals within a second halve it once.
//
// Up to Burst messages pass at once after a pause. For more than that there is never
// room: a chain then asks for a part of its batch.
//
// The zero value sets no rate, and only keeps silent when it is told to. A Rate is
// safe for use by many goroutines, may belong to the targets of several chains which
// use one account, and must not be changed or copied once in use.
type Rate struct {
	// PerSecond is the full rate in messages per second. 0: what Quota tells, and
	// no limit before it did.
	PerSecond float64
	// Burst is how many messages may pass at once. 0: one second's worth. It falls
	// and rises with the rate, but not below 1.
	Burst int
	// Quota, if set, is asked for the account's highest rate, at the occasion of a
	// send that does not wait for it, at most every five minutes. For that there is
	// one goroutine, which ends after at most 30 seconds. If PerSecond is lower, that
	// counts: set it for messages with several recipients each, of which a service
	// counts every one, and a Rate one.
	Quota mailer.QuotaReporter
	// Recovery is how long the rate takes from nothing to the full one: after a
	// single refusal it is back in half of it. 0: a minute.
	Recovery time.Duration

	mu     sync.Mutex
	begun  bool
	full   float64   // 0: no limit
	limit  float64   // at the time at
	tokens float64   // at the time at; negative: promised to those who wait
	at     time.Time // may lie ahead, at the end of a silence
	silent time.Time // nobody passes before
	halved time.Time // when the rate was halved last

	promises uint64        // to those who wait, so far
	putOff   time.Duration // by all silences together

	asking bool
	ask    time.Time
}

var (
	_ Limiter  = (*Rate)(nil)
	_ allower  = (*Rate)(nil)
	_ Feedback = (*Rate)(nil)
)

// AllowN tells whether n messages may be sent now, and counts them if so.
func (r *Rate) AllowN(now time.Time, n int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if wait, ok := r.wait(now, n); !ok || wait > 0 {
		return false
	}
	r.tokens -= float64(n)
	return true
}

// WaitN implements [Limiter]. Its error is the end of ctx, or of
// [mailer.KindRateLimited] at once, if the wait would be longer than ctx lasts, with
// that wait as RetryAfter, or if n is more than may pass at once.
func (r *Rate) WaitN(ctx context.Context, n int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	end, ends := ctx.Deadline()
	now := time.Now()
	r.mu.Lock()
	wait, ok := r.wait(now, n)
	if !ok || ends && now.Add(wait).After(end) {
		r.mu.Unlock()
		if !ok {
			wait = 0
		}
		return noRoom(wait)
	}
	r.tokens -= float64(n)
	r.promises++
	mine, put := r.promises, r.putOff
	r.mu.Unlock()
	for wait > 0 {
		timer := time.NewTimer(wait)
		var err error
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			err = ctx.Err()
		}
		r.mu.Lock()
		// A silence that began meanwhile puts off everybody by its length, so that
		// their distances stay.
		wait, put = r.putOff-put, r.putOff
		if err == nil && ends && time.Now().Add(wait).After(end) {
			err = noRoom(wait)
		}
		if err != nil {
			if mine == r.promises { // else those behind would have to move up
				r.tokens += float64(n)
			}
			r.mu.Unlock()
			return err
		}
		r.mu.Unlock()
	}
	return nil
}

func noRoom(after time.Duration) error {
	return &mailer.Error{Provider: provider, Kind: mailer.KindRateLimited, NotSent: true, RetryAfter: after, Message: "no room in time"}
}

// Ended implements [Feedback].
func (r *Rate) Ended(_ int, err error) {
	if mailer.KindOf(err) != mailer.KindRateLimited {
		return
	}
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.advance(now)
	if now.Sub(r.halved) >= time.Second {
		r.halved, r.limit = now, r.limit/2
		r.tokens = min(r.tokens, 1) // one message to see whether it is enough
	}
	from := now
	if r.silent.After(now) {
		from = r.silent
	}
	if until := now.Add(min(retryAfter(err), maxNamedRest)); until.After(from) {
		r.silent, r.at = until, until
		r.putOff += until.Sub(from)
	}
}

// wait returns how long n messages that come now have to wait. Not ok: for ever.
func (r *Rate) wait(now time.Time, n int) (wait time.Duration, ok bool) {
	r.advance(now)
	r.look(now)
	wait = max(0, r.silent.Sub(now))
	if r.full == 0 {
		return wait, true
	}
	if missing := float64(n) - r.tokens; missing > 0 {
		wait += time.Duration(math.Ceil(missing / r.limit * float64(time.Second)))
	}
	return wait, n <= int(r.burst())
}

// burst is what the bucket holds.
func (r *Rate) burst() float64 {
	burst := float64(r.Burst)
	if burst == 0 {
		burst = r.full
	}
	return max(1, burst*r.limit/r.full)
}

// advance lets the time pass until now.
func (r *Rate) advance(now time.Time) {
	if !r.begun {
		r.begun, r.at = true, now
		r.setFull(r.PerSecond)
	}
	passed := now.Sub(r.at)
	if passed <= 0 {
		return
	}
	r.at = now
	if r.full == 0 {
		return
	}
	recovery := r.Recovery
	if recovery == 0 {
		recovery = time.Minute
	}
	before := r.limit
	r.limit = min(r.full, before+r.full*passed.Seconds()/recovery.Seconds())
	r.tokens = min(r.burst(), r.tokens+(before+r.limit)/2*passed.Seconds())
}

// setFull takes over another full rate; what the present one is of it, stays.
func (r *Rate) setFull(full float64) {
	if full <= 0 {
		return
	}
	if r.full == 0 {
		r.full, r.limit = full, full
		r.tokens = r.burst()
		return
	}
	r.limit *= full / r.full
	r.full = full
}

// look asks the service in the background, if that is due.
func (r *Rate) look(now time.Time) {
	if r.Quota == nil || r.asking || now.Before(r.ask) {
		return
	}
	r.asking, r.ask = true, now.Add(quotaEvery)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), quotaTimeout)
		defer cancel()
		q, err := r.Quota.Quota(ctx)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.asking = false
		if err != nil || q.PerSecond <= 0 {
			return
		}
		full := q.PerSecond
		if r.PerSecond > 0 {
			full = min(full, r.PerSecond)
		}
		r.advance(time.Now())
		r.setFull(full)
	}()
}
