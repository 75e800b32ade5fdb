package failover_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/failover"
)

func TestLimiter(t *testing.T) {
	// ten a second, one at once; a message waits up to 200 ms.
	limited := func(t *testing.T, cfg failover.Config) (c *failover.Chain, a, b *service) {
		a, b = &service{name: "a"}, &service{name: "b"}
		return chainOf(t, cfg, failover.Target{
			Sender: a, Limiter: rate.NewLimiter(10, 1), MaxWait: 200 * time.Millisecond,
		}, b), a, b
	}
	t.Run("what would wait too long spills over", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, b := limited(t, failover.Config{})
			start := time.Now()
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(func() { _, _ = c.Send(t.Context(), message()) })
			}
			wg.Wait()
			require.Equal(t, 3, a.calls(), "at once, after 100 ms, after 200 ms")
			require.Equal(t, 7, b.calls())
			require.Equal(t, 200*time.Millisecond, time.Since(start))
			require.Zero(t, c.Health()[0].Strikes)
			require.Zero(t, c.Health()[0].Failed)
		})
	})
	t.Run("no longer than half of the time for the target", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, _ := limited(t, failover.Config{})
			require.Equal(t, "a", via(t, c))
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			r, err := c.Send(ctx, message()) // 100 ms are more than half of 150
			require.NoError(t, err)
			require.Equal(t, "b", r.Provider)
			require.Equal(t, 1, a.calls())
		})
	})
	t.Run("nobody has room", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := &service{name: "a"}
			c := chainOf(t, failover.Config{}, failover.Target{Sender: a, Limiter: rate.NewLimiter(0.1, 1)})
			require.Equal(t, "a", via(t, c))
			start := time.Now()
			_, err := c.Send(t.Context(), message())
			require.EqualError(t, err, "failover: rate limited: no room: a")
			require.True(t, mailer.NotSent(err))
			require.Equal(t, start, time.Now(), "that it would take too long is known at once")
		})
	})
	t.Run("nobody has room, and Limiters tell when", func(t *testing.T) {
		slow := func(s mailer.Sender, every time.Duration) failover.Target {
			return failover.Target{Sender: s, Limiter: &failover.Rate{PerSecond: 1 / every.Seconds(), Burst: 1}}
		}
		synctest.Test(t, func(t *testing.T) {
			a, b, third := &service{name: "a"}, &service{name: "b"}, &service{name: "c"}
			plain := failover.Target{Name: "d", Sender: &service{}, Limiter: &shared{err: errors.New("full")}}
			c := chainOf(t, failover.Config{}, slow(a, 10*time.Second), slow(b, 4*time.Second), slow(third, 20*time.Second), plain)
			require.Equal(t, "a", via(t, c))
			require.Equal(t, "b", via(t, c))
			require.Equal(t, "c", via(t, c))
			time.Sleep(time.Second)
			e := failureOf(t, c)
			require.EqualError(t, e, "failover: rate limited: no room: a, b, c, d")
			require.True(t, e.NotSent)
			require.Equal(t, 3*time.Second, e.RetryAfter, "b is the soonest, d does not tell")
			time.Sleep(e.RetryAfter - 1001*time.Millisecond) // a message would wait a second
			require.InDelta(t, 1001*time.Millisecond, failureOf(t, c).RetryAfter, 10)
			time.Sleep(2 * time.Millisecond)
			require.Equal(t, "b", via(t, c))
		})
		synctest.Test(t, func(t *testing.T) { // the others fail
			a, b := &service{name: "a"}, &service{name: "b"}
			c := chainOf(t, failover.Config{}, slow(a, 10*time.Second), b)
			require.Equal(t, "a", via(t, c))
			b.fails(refused(mailer.KindContent))
			require.Equal(t, 10*time.Second, failureOf(t, c).RetryAfter)
			b.answers(func(context.Context, mailer.Message) error {
				time.Sleep(20 * time.Second)
				return refusedFor(mailer.KindQuota, time.Hour)
			})
			require.Equal(t, time.Nanosecond, failureOf(t, c).RetryAfter, "there is room by now")
		})
		synctest.Test(t, func(t *testing.T) { // a batch
			a := &bulk{service: service{name: "a"}, max: 100}
			c := chainOf(t, failover.Config{}, failover.Target{Sender: a, MaxWait: time.Millisecond, Limiter: &failover.Rate{PerSecond: 0.5, Burst: 8}})
			results := c.SendBatch(t.Context(), many(12))
			require.Equal(t, map[string]int{"a": 8, "!": 4}, waysOf(results))
			for _, r := range results {
				if e, ok := errors.AsType[*mailer.Error](r.Err); ok {
					require.Equal(t, 2*time.Second, e.RetryAfter, "for one, not for all that were left")
				}
			}
		})
	})
	t.Run("the wait ends with the caller", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, b := &service{name: "a"}, &service{name: "b"}
			c := chainOf(t, failover.Config{}, failover.Target{Sender: a, Limiter: rate.NewLimiter(1, 1), MaxWait: time.Minute}, b)
			require.Equal(t, "a", via(t, c))
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Millisecond, cancel)
			_, err := c.Send(ctx, message())
			require.Equal(t, mailer.KindCanceled, mailer.KindOf(err))
			require.ErrorIs(t, err, context.Canceled)
			require.True(t, mailer.NotSent(err))
			require.Equal(t, 1, a.calls())
			require.Zero(t, b.calls())
		})
	})
	t.Run("the attempt has its whole time after the wait", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := &service{name: "a"}
			c := chainOf(t, failover.Config{}, failover.Target{Sender: a, Limiter: rate.NewLimiter(1, 1), MaxWait: time.Minute, Timeout: 3 * time.Second})
			a.answers(func(ctx context.Context, _ mailer.Message) error {
				end, _ := ctx.Deadline()
				require.Equal(t, 3*time.Second, time.Until(end))
				return nil
			})
			via(t, c)
			via(t, c)
		})
	})
}

// shared is a Limiter without AllowN that notes what it is told.
type shared struct {
	err   error
	notes []string
}

func (s *shared) WaitN(ctx context.Context, n int) error {
	if _, bounded := ctx.Deadline(); !bounded || n != 1 {
		return errors.New("no deadline")
	}
	return s.err
}

func (s *shared) Ended(n int, err error) {
	if n == 1 {
		s.notes = append(s.notes, mailer.KindOf(err).String())
	}
}

func TestLimiterOfOnesOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, own := &service{name: "a"}, &shared{}
		l := &ledger{orderFunc: always(0, 1)}
		c := chainOf(t, failover.Config{Order: l}, failover.Target{Sender: a, Limiter: own}, &service{name: "b"})
		require.Equal(t, "a", via(t, c))
		a.fails(refused(mailer.KindTooLarge))
		require.Equal(t, "a b", via(t, c))
		require.Equal(t, []string{"unclassified failure", "message too large"}, own.notes, "nil has no kind")
		l.told(t)

		own.err = errors.New("full")
		require.Equal(t, "b", via(t, c))
		require.Len(t, own.notes, 2, "what it did not let pass it is not told of")
		require.Equal(t, []string{"a: failover: rate limited: no room within MaxWait", "b: taken"}, l.told(t))
	})
}
