package failover_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/failover"
)

func TestStrikes(t *testing.T) {
	t.Run("fifty successes in a row start the count anew", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, _ := pair(t, failover.Config{})
			for range 5 {
				a.fails(refused(mailer.KindUnavailable))
				via(t, c)
				via(t, c)
				require.Equal(t, 2, c.Health()[0].Strikes)
				a.recovers()
				for range 49 {
					require.Equal(t, "a", via(t, c))
				}
				require.Equal(t, 2, c.Health()[0].Strikes)
				via(t, c)
				require.Zero(t, c.Health()[0].Strikes)
			}
		})
	})
	t.Run("but not a few, or a service that fails a third would hardly ever rest", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, _ := pair(t, failover.Config{})
			for range 3 {
				require.Equal(t, failover.Well, c.Health()[0].State)
				a.recovers()
				via(t, c)
				via(t, c)
				a.fails(refused(mailer.KindUnavailable))
				via(t, c)
			}
			require.Equal(t, failover.Resting, c.Health()[0].State)
		})
	})
	t.Run("a fault of the message in between says nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, _ := pair(t, failover.Config{})
			for _, kind := range []mailer.Kind{mailer.KindNetwork, mailer.KindRejected, mailer.KindNetwork, mailer.KindRejected, mailer.KindNetwork} {
				require.Equal(t, failover.Well, c.Health()[0].State)
				a.fails(refused(kind))
				via(t, c)
			}
			require.Equal(t, failover.Resting, c.Health()[0].State)
		})
	})
	t.Run("their number is a setting", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, _ := pair(t, failover.Config{Strikes: 2})
			a.fails(refused(mailer.KindNetwork))
			via(t, c)
			require.Equal(t, failover.Well, c.Health()[0].State)
			via(t, c)
			require.Equal(t, failover.Resting, c.Health()[0].State)
		})
	})
	t.Run("the last one may name the rest", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, _ := pair(t, failover.Config{Strikes: 1})
			a.fails(refusedFor(mailer.KindUnavailable, 77*time.Second))
			via(t, c)
			require.Equal(t, time.Now().Add(77*time.Second), c.Health()[0].RestUntil)
		})
	})
}

func TestRestIsAsLongAsTheServiceSays(t *testing.T) {
	for _, kind := range []mailer.Kind{mailer.KindRateLimited, mailer.KindQuota, mailer.KindUnauthorized} {
		for said, want := range map[time.Duration]time.Duration{
			time.Second: time.Second, time.Hour: time.Hour, 24 * time.Hour: 24 * time.Hour,
			25 * time.Hour: 24 * time.Hour, math.MaxInt64: 24 * time.Hour,
		} {
			synctest.Test(t, func(t *testing.T) {
				c, a, _ := pair(t, failover.Config{})
				a.fails(refusedFor(kind, said))
				require.Equal(t, "a b", via(t, c))
				a.recovers()
				time.Sleep(want - time.Nanosecond)
				require.Equal(t, "b", via(t, c))
				time.Sleep(time.Nanosecond)
				require.Equal(t, "a", via(t, c))
			})
		}
	}
	t.Run("a negative time is none", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, _ := pair(t, failover.Config{})
			a.fails(refusedFor(mailer.KindRateLimited, -time.Hour))
			via(t, c)
			require.Greater(t, c.Health()[0].RestUntil, time.Now().Add(22*time.Second))
		})
	})
}

// crowd lets n messages be inside a at once, then answers them all.
func crowd(t *testing.T, c *failover.Chain, a *service, n int, answer func(i int) error) (release func()) {
	gate := make(chan struct{})
	var mu sync.Mutex
	i := 0
	a.answers(func(context.Context, mailer.Message) error {
		<-gate
		mu.Lock()
		defer mu.Unlock()
		i++
		return answer(i)
	})
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() { _, _ = c.Send(context.Background(), message()) })
	}
	release = func() { close(gate); wg.Wait() }
	synctest.Wait()
	if calls := a.calls(); calls != n {
		release()
		t.Fatalf("%d of %d messages reach a", calls, n)
	}
	return release
}

func TestManyAtOnce(t *testing.T) {
	t.Run("64 refusals at once are one rest, not 64", func(t *testing.T) {
		for _, kind := range []mailer.Kind{mailer.KindRateLimited, mailer.KindUnavailable} {
			synctest.Test(t, func(t *testing.T) {
				c, a, _ := pair(t, failover.Config{Rest: time.Minute, MaxRest: time.Hour})
				crowd(t, c, a, 64, func(int) error { return refused(kind) })()
				require.LessOrEqual(t, time.Until(c.Health()[0].RestUntil), time.Minute)
				time.Sleep(time.Minute)
				a.fails(refused(kind))
				via(t, c)
				require.LessOrEqual(t, time.Until(c.Health()[0].RestUntil), 2*time.Minute)
			})
		}
	})
	t.Run("the longest time that is named counts", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var out strings.Builder
			c, a, _ := pair(t, failover.Config{Logger: textLogger(&out)})
			crowd(t, c, a, 3, func(i int) error {
				return refusedFor(mailer.KindRateLimited, []time.Duration{10, 60, 20}[i-1]*time.Second)
			})()
			require.Equal(t, time.Now().Add(time.Minute), c.Health()[0].RestUntil)
			require.Equal(t, 1, strings.Count(out.String(), "target rests"), "one rest is logged once")
		})
	})
	t.Run("a success that began before the rest does not end it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, _ := pair(t, failover.Config{})
			release := crowd(t, c, a, 1, func(int) error { return nil })
			a.fails(refusedFor(mailer.KindRateLimited, time.Minute))
			via(t, c)
			release()
			require.Equal(t, failover.Resting, c.Health()[0].State)
		})
	})
	t.Run("a failure that began before the recovery does not undo it", func(t *testing.T) {
		for _, kind := range []mailer.Kind{mailer.KindRateLimited, mailer.KindUnavailable} {
			synctest.Test(t, func(t *testing.T) {
				c, a, _ := pair(t, failover.Config{AttemptTimeout: time.Hour})
				release := crowd(t, c, a, 8, func(int) error { return refusedFor(kind, time.Hour) })
				a.fails(refusedFor(mailer.KindRateLimited, time.Minute))
				via(t, c)
				time.Sleep(time.Minute)
				a.recovers()
				require.Equal(t, "a", via(t, c))
				release()
				require.Equal(t, failover.Well, c.Health()[0].State)
				require.Zero(t, c.Health()[0].Strikes)
				require.Zero(t, c.Health()[0].RestUntil)
				require.Equal(t, "a", via(t, c))
			})
		}
	})
	t.Run("a probe that fails after the recovery does not undo it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := &service{name: "a"}
			c := chainOf(t, failover.Config{Strikes: 1, Rest: time.Minute, AttemptTimeout: time.Hour}, a)
			a.fails(refused(mailer.KindNetwork))
			_, _ = c.Send(t.Context(), message())
			time.Sleep(time.Minute)
			gate := make(chan struct{})
			a.answers(func(context.Context, mailer.Message) error { <-gate; return refused(mailer.KindNetwork) })
			var wg sync.WaitGroup
			wg.Go(func() { _, _ = c.Send(context.Background(), message()) })
			synctest.Wait()
			a.recovers()
			require.Equal(t, "a", via(t, c), "tried although the probe is under way: there is no other")
			close(gate)
			wg.Wait()
			require.Equal(t, failover.Well, c.Health()[0].State)
		})
	})
	t.Run("a late end of an old probe does not free the slot of a new one", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			// The old probe hangs; a is brought back by a message that was sent
			// because all rested, falls ill again, and is probed anew.
			a := &service{name: "a"}
			c := chainOf(t, failover.Config{Strikes: 1, Rest: time.Minute, AttemptTimeout: time.Hour}, a)
			a.fails(refused(mailer.KindNetwork))
			_, _ = c.Send(t.Context(), message())
			time.Sleep(time.Minute)
			base := a.calls()
			gate := make(chan struct{})
			a.answers(func(context.Context, mailer.Message) error { <-gate; return refused(mailer.KindRejected) })
			done := make(chan struct{})
			go func() { defer close(done); _, _ = c.Send(context.Background(), message()) }()
			synctest.Wait()
			require.Equal(t, base+1, a.calls())
			a.recovers()
			require.Equal(t, "a", via(t, c))
			a.fails(refused(mailer.KindNetwork))
			_, _ = c.Send(t.Context(), message())
			time.Sleep(2 * time.Minute) // the second rest in a row
			second := make(chan struct{})
			a.answers(func(context.Context, mailer.Message) error { <-second; return nil })
			var wg sync.WaitGroup
			wg.Go(func() { _, _ = c.Send(context.Background(), message()) })
			synctest.Wait()
			close(gate)
			<-done
			require.Equal(t, failover.Probing, c.Health()[0].State)
			// The slot is still taken: this one goes although it is no probe, and
			// its failure leaves the rest as it is.
			until := c.Health()[0].RestUntil
			a.fails(refused(mailer.KindNetwork))
			_, _ = c.Send(t.Context(), message())
			require.Equal(t, until, c.Health()[0].RestUntil)
			close(second)
			wg.Wait()
			require.Equal(t, failover.Well, c.Health()[0].State)
		})
	})
}

func TestAllResting(t *testing.T) {
	t.Run("the one that wakes first is tried anyway", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, b := pair(t, failover.Config{Strikes: 1, Rest: time.Minute})
			b.fails(refused(mailer.KindUnavailable))
			a.fails(refused(mailer.KindRejected))
			_, err := c.Send(t.Context(), message())
			require.Error(t, err) // b rests
			time.Sleep(20 * time.Second)
			a.fails(refused(mailer.KindNetwork))
			_, err = c.Send(t.Context(), message())
			require.Equal(t, mailer.KindNetwork, mailer.KindOf(err)) // a rests, too, but for longer
			require.ErrorContains(t, err, "2 attempts: a: network failure; b: a: service unavailable", "b is tried anyway")

			calls := a.calls()
			until := c.Health()[1].RestUntil
			e := failureOf(t, c)
			require.ErrorContains(t, e, "2 attempts: b: a: service unavailable; a: network failure", "both, the one first that wakes first")
			require.True(t, e.NotSent)
			require.Equal(t, time.Until(until), e.RetryAfter, "when the first of them wakes")
			require.Equal(t, calls+1, a.calls())
			require.Equal(t, until, c.Health()[1].RestUntil, "a try in the middle of a rest does not prolong it")

			b.recovers()
			require.Equal(t, "b", via(t, c))
			require.Equal(t, failover.Well, c.Health()[1].State)
			require.Equal(t, "b", via(t, c), "a still rests")
		})
	})
	t.Run("also by a message that was refused before, each that rests once", func(t *testing.T) {
		for name, send := range bothWays(t) {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					a, b, last := &service{name: "a"}, &service{name: "b"}, &service{name: "last"}
					c := chainOf(t, failover.Config{Strikes: 1, Rest: time.Hour}, a, b, last)
					a.fails(refused(mailer.KindUnauthorized))
					require.Equal(t, "a b", via(t, c))
					time.Sleep(30 * time.Minute) // so that a wakes before b
					b.fails(refused(mailer.KindUnauthorized))
					require.Equal(t, "b last", via(t, c))
					a.recovers() // but nobody knows
					last.fails(refused(mailer.KindSender))
					r, err := send(c)
					require.NoError(t, err)
					require.Equal(t, "last a", way(r.Attempts))

					a.fails(refused(mailer.KindUnauthorized))
					require.Equal(t, failover.Well, c.Health()[0].State)
					_, err = send(c)
					require.Error(t, err)
					all, ok := errors.AsType[*failover.AttemptsError](err)
					require.True(t, ok)
					require.Equal(t, "a last b", way(all.Attempts), "b rests, a does by now")
					_, err = send(c)
					all, _ = errors.AsType[*failover.AttemptsError](err)
					require.Len(t, all.Attempts, 3, "both that rest, whichever wakes first")
				})
			})
		}
	})
	t.Run("but not by a message that may be out", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, b := pair(t, failover.Config{})
			a.fails(refused(mailer.KindUnauthorized))
			require.Equal(t, "a b", via(t, c))
			b.fails(&mailer.Error{Kind: mailer.KindNetwork})
			m := message()
			m.AllowDuplicate = true
			calls := a.calls()
			_, err := c.Send(t.Context(), m)
			require.Error(t, err)
			require.Equal(t, calls, a.calls())
		})
	})
	t.Run("unless all named a time that lies ahead", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, b := pair(t, failover.Config{})
			a.fails(refusedFor(mailer.KindQuota, time.Hour))
			b.fails(refusedFor(mailer.KindRateLimited, time.Minute))
			m := message()
			m.ID = ""
			_, err := c.Send(t.Context(), m)
			require.Equal(t, mailer.KindQuota, mailer.KindOf(err))
			time.Sleep(20 * time.Second)

			r, err := c.Send(t.Context(), m)
			e, ok := errors.AsType[*mailer.Error](err)
			require.True(t, ok)
			require.Equal(t, &mailer.Error{
				Provider: "failover", Kind: mailer.KindRateLimited, NotSent: true, RetryAfter: 40 * time.Second,
				Message: "resting: a (quota used up), b (rate limited)",
			}, e)
			require.NotEmpty(t, r.ID)
			require.Equal(t, 1, a.calls())
			require.Equal(t, 1, b.calls())

			time.Sleep(40 * time.Second)
			b.recovers()
			require.Equal(t, "b", via(t, c))
		})
	})
	t.Run("one that named no time is tried before one that did", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, b := pair(t, failover.Config{})
			a.fails(refusedFor(mailer.KindRateLimited, time.Second))
			b.fails(refused(mailer.KindUnauthorized))
			_, err := c.Send(t.Context(), message())
			require.Error(t, err)
			b.recovers()
			require.Equal(t, "b", via(t, c))
		})
	})
	t.Run("one that still rests is tried before one that is being probed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, b := pair(t, failover.Config{Strikes: 1, Rest: time.Minute, AttemptTimeout: time.Hour})
			a.fails(refused(mailer.KindNetwork))
			via(t, c)
			b.fails(refused(mailer.KindUnavailable))
			time.Sleep(30 * time.Second)
			_, err := c.Send(t.Context(), message())
			require.Error(t, err)
			time.Sleep(time.Until(c.Health()[0].RestUntil))
			require.Equal(t, failover.Resting, c.Health()[1].State)
			gate := make(chan struct{})
			a.answers(func(context.Context, mailer.Message) error { <-gate; return nil })
			var wg sync.WaitGroup
			wg.Go(func() { _, _ = c.Send(context.Background(), message()) })
			synctest.Wait()
			b.recovers()
			require.Equal(t, "b", via(t, c))
			close(gate)
			wg.Wait()
		})
	})
	t.Run("another that wakes in the meantime is tried next", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, b := pair(t, failover.Config{Rest: time.Minute})
			a.fails(refused(mailer.KindUnauthorized))
			b.fails(refusedFor(mailer.KindRateLimited, 10*time.Second))
			_, err := c.Send(t.Context(), message())
			require.Error(t, err)
			a.answers(func(context.Context, mailer.Message) error {
				time.Sleep(10 * time.Second)
				return refused(mailer.KindUnauthorized)
			})
			b.recovers()
			require.Equal(t, "a b", via(t, c))
		})
	})
	t.Run("the time that is named by a try in the middle of a rest counts", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := &service{name: "a"}
			c := chainOf(t, failover.Config{}, a)
			a.fails(refused(mailer.KindUnauthorized))
			_, _ = c.Send(t.Context(), message())
			a.fails(refusedFor(mailer.KindRateLimited, time.Hour))
			_, _ = c.Send(t.Context(), message())
			require.Equal(t, time.Now().Add(time.Hour), c.Health()[0].RestUntil)
			_, err := c.Send(t.Context(), message())
			require.Equal(t, 2, a.calls())
			require.Equal(t, mailer.KindRateLimited, mailer.KindOf(err))
		})
	})
	t.Run("a target that rests is not asked after a refusal by one that is well", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, b := pair(t, failover.Config{})
			a.fails(refusedFor(mailer.KindRateLimited, time.Minute))
			via(t, c)
			b.fails(refused(mailer.KindTooLarge))
			_, err := c.Send(t.Context(), message())
			require.Equal(t, 1, a.calls())
			e, ok := errors.AsType[*mailer.Error](err)
			require.True(t, ok)
			// a may still take it: the message is not given up for good.
			require.Equal(t, mailer.KindRateLimited, e.Kind)
			require.Equal(t, time.Minute, e.RetryAfter)
			require.ErrorIs(t, err, mailer.KindTooLarge)
		})
	})
}

func TestStateNames(t *testing.T) {
	require.Equal(t, "well", failover.Well.String())
	require.Equal(t, "resting", failover.Resting.String())
	require.Equal(t, "probing", failover.Probing.String())
}

func TestATryInTheMiddleOfARestThatOutlastsIt(t *testing.T) {
	for named, state := range map[time.Duration]failover.State{0: failover.Probing, time.Minute: failover.Resting} {
		synctest.Test(t, func(t *testing.T) {
			a := &service{name: "a"}
			c := chainOf(t, failover.Config{Rest: 10 * time.Second}, a)
			a.fails(refused(mailer.KindRateLimited))
			_, _ = c.Send(t.Context(), message())
			until := c.Health()[0].RestUntil
			a.answers(func(context.Context, mailer.Message) error {
				time.Sleep(20 * time.Second)
				return refusedFor(mailer.KindRateLimited, named)
			})
			_, _ = c.Send(t.Context(), message())
			h := c.Health()[0]
			require.Equal(t, state, h.State)
			if named > 0 {
				until = time.Now().Add(named)
				require.Equal(t, time.Now(), h.LastChange)
			}
			require.Equal(t, until, h.RestUntil)
		})
	}
}

func TestRestsDiffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rests := map[time.Time]bool{}
		for range 20 {
			c, a, _ := pair(t, failover.Config{})
			a.fails(refused(mailer.KindUnauthorized))
			via(t, c)
			rests[c.Health()[0].RestUntil] = true
		}
		require.Greater(t, len(rests), 10, "many processes would come back in one moment")
	})
}
