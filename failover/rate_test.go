package failover_test

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"
	"pgregory.net/rapid"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/failover"
)

// passes counts the messages that pass at once, one by one.
func passes(r *failover.Rate) (n int) {
	for r.AllowN(time.Now(), 1) {
		n++
	}
	return n
}

// rateOf measures the messages that pass in a second.
func rateOf(r *failover.Rate) (n int) {
	passes(r)
	for range 1000 {
		time.Sleep(time.Millisecond)
		n += passes(r)
	}
	return n
}

func retryAfterOf(err error) time.Duration {
	e, _ := errors.AsType[*mailer.Error](err)
	return e.RetryAfter
}

func TestRate(t *testing.T) {
	t.Run("lets a second's worth pass at once, then one by one", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := &failover.Rate{PerSecond: 10}
			require.Equal(t, 10, passes(r))
			time.Sleep(100*time.Millisecond - time.Nanosecond)
			require.Zero(t, passes(r))
			time.Sleep(time.Nanosecond)
			require.Equal(t, 1, passes(r))
			time.Sleep(time.Hour)
			require.Equal(t, 10, passes(r))
		})
	})
	t.Run("with a burst of its own", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := &failover.Rate{PerSecond: 10, Burst: 2}
			require.Equal(t, 2, passes(r))
			require.InDelta(t, 10, rateOf(r), 1)
		})
	})
	t.Run("of less than one a second lets one pass", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := &failover.Rate{PerSecond: 0.1}
			require.Equal(t, 1, passes(r))
			time.Sleep(9 * time.Second)
			require.Zero(t, passes(r))
			time.Sleep(time.Second)
			require.Equal(t, 1, passes(r))
		})
	})
	t.Run("that is not set lets all pass", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := &failover.Rate{}
			require.True(t, r.AllowN(time.Now(), math.MaxInt32))
			require.NoError(t, r.WaitN(t.Context(), math.MaxInt32))
			r.Ended(1, refused(mailer.KindRateLimited))
			require.True(t, r.AllowN(time.Now(), math.MaxInt32))
			r.Ended(1, refusedFor(mailer.KindRateLimited, time.Minute))
			require.False(t, r.AllowN(time.Now(), 1), "but keeps silent")
			time.Sleep(time.Minute)
			require.True(t, r.AllowN(time.Now(), 1))
		})
	})
	t.Run("never has room for more than may pass at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := &failover.Rate{PerSecond: 10}
			require.False(t, r.AllowN(time.Now(), 11))
			start := time.Now()
			err := r.WaitN(t.Context(), 11)
			require.ErrorIs(t, err, mailer.KindRateLimited)
			require.Zero(t, retryAfterOf(err))
			require.Equal(t, start, time.Now())
			require.True(t, r.AllowN(time.Now(), 10), "which took nothing")
			require.NoError(t, r.WaitN(t.Context(), 10))
			require.Equal(t, time.Second, time.Since(start))
		})
	})
}

func TestRateWaits(t *testing.T) {
	t.Run("in the order of coming", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := &failover.Rate{PerSecond: 10, Burst: 1}
			start := time.Now()
			var wg sync.WaitGroup
			var mu sync.Mutex
			after := map[time.Duration]bool{}
			for range 5 {
				wg.Go(func() {
					require.NoError(t, r.WaitN(t.Context(), 1))
					mu.Lock()
					defer mu.Unlock()
					after[time.Since(start)] = true
				})
			}
			wg.Wait()
			for i := range 5 {
				require.Contains(t, after, time.Duration(i)*100*time.Millisecond)
			}
		})
	})
	t.Run("not longer than its context lasts, and then takes nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := &failover.Rate{PerSecond: 1}
			require.Equal(t, 1, passes(r))
			start := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 999*time.Millisecond)
			defer cancel()
			err := r.WaitN(ctx, 1)
			require.ErrorIs(t, err, mailer.KindRateLimited)
			require.Equal(t, time.Second, retryAfterOf(err))
			require.Equal(t, start, time.Now(), "it says so at once")
			ctx, cancel = context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			require.NoError(t, r.WaitN(ctx, 1))
		})
	})
	t.Run("and gives back what it had taken when the caller gives up", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := &failover.Rate{PerSecond: 1}
			require.Equal(t, 1, passes(r))
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(500*time.Millisecond, cancel)
			require.ErrorIs(t, r.WaitN(ctx, 1), context.Canceled)
			require.ErrorIs(t, r.WaitN(ctx, 1), context.Canceled)
			time.Sleep(500 * time.Millisecond)
			require.Equal(t, 1, passes(r))
		})
	})
	t.Run("once more if there is to be silence meanwhile", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := &failover.Rate{PerSecond: 1}
			require.Equal(t, 1, passes(r))
			start := time.Now()
			time.AfterFunc(500*time.Millisecond, func() { r.Ended(1, refusedFor(mailer.KindRateLimited, time.Minute)) })
			require.NoError(t, r.WaitN(t.Context(), 1))
			require.GreaterOrEqual(t, time.Since(start), time.Minute+500*time.Millisecond)
			require.Less(t, time.Since(start), time.Minute+5*time.Second)

			time.AfterFunc(500*time.Millisecond, func() { r.Ended(1, refusedFor(mailer.KindRateLimited, time.Minute)) })
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			err := r.WaitN(ctx, 1)
			require.ErrorIs(t, err, mailer.KindRateLimited)
			require.GreaterOrEqual(t, retryAfterOf(err), 50*time.Second)
			require.LessOrEqual(t, retryAfterOf(err), time.Minute)
		})
	})
}

func TestRateAdapts(t *testing.T) {
	slow := refused(mailer.KindRateLimited)
	t.Run("halves, and climbs back", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := &failover.Rate{PerSecond: 600}
			require.InDelta(t, 600, rateOf(r), 1)
			r.Ended(1, slow)
			require.InDelta(t, 305, rateOf(r), 2) // half, and the first of the way back
			for _, want := range []int{355, 405, 455, 505, 555, 600, 600} {
				time.Sleep(4 * time.Second)
				require.InDelta(t, want, rateOf(r), 3)
			}
		})
	})
	t.Run("and so does what may pass at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := &failover.Rate{PerSecond: 10, Burst: 100, Recovery: 1000 * time.Hour}
			require.Equal(t, 100, passes(r))
			r.Ended(1, slow)
			time.Sleep(time.Minute)
			require.Equal(t, 50, passes(r))
		})
	})
	t.Run("within its recovery", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := &failover.Rate{PerSecond: 600, Recovery: time.Hour}
			passes(r)
			r.Ended(1, slow)
			time.Sleep(15 * time.Minute)
			require.InDelta(t, 450, rateOf(r), 2)
			time.Sleep(15 * time.Minute)
			require.InDelta(t, 600, rateOf(r), 2)
		})
	})
	t.Run("once for refusals within a second", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := &failover.Rate{PerSecond: 600, Recovery: time.Hour}
			passes(r)
			for range 64 {
				r.Ended(1, slow)
			}
			require.InDelta(t, 300, rateOf(r), 2)
			r.Ended(1, slow)
			require.InDelta(t, 150, rateOf(r), 2)
		})
	})
	t.Run("to nothing else", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := &failover.Rate{PerSecond: 600}
			for _, kind := range allKinds {
				if kind != mailer.KindRateLimited {
					r.Ended(1, refusedFor(kind, time.Minute))
				}
			}
			r.Ended(1, nil)
			require.InDelta(t, 600, rateOf(r), 1)
		})
	})
	t.Run("is silent for as long as the service says, then tries with one", func(t *testing.T) {
		for said, want := range map[time.Duration]time.Duration{
			time.Minute: time.Minute, 100 * time.Hour: 24 * time.Hour, math.MaxInt64: 24 * time.Hour,
		} {
			synctest.Test(t, func(t *testing.T) {
				r := &failover.Rate{PerSecond: 10}
				require.True(t, r.AllowN(time.Now(), 1))
				r.Ended(1, refusedFor(mailer.KindRateLimited, said))
				r.Ended(1, refusedFor(mailer.KindRateLimited, time.Second))
				time.Sleep(want - time.Nanosecond)
				require.False(t, r.AllowN(time.Now(), 1))
				require.False(t, r.AllowN(time.Now(), 0))
				time.Sleep(time.Nanosecond)
				require.Equal(t, 1, passes(r))
			})
		}
	})
	t.Run("and never stops for good", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := &failover.Rate{PerSecond: 10}
			for range 1000 {
				r.Ended(1, slow)
				time.Sleep(time.Second)
			}
			require.NoError(t, r.WaitN(t.Context(), 1))
			time.Sleep(time.Minute)
			require.Equal(t, 10, passes(r))
		})
	})
}

func TestRateAsksForTheQuota(t *testing.T) {
	ask := func(t *testing.T, perSecond float64, q mailer.Quota, err error) (*failover.Rate, *metered) {
		s := &metered{}
		s.quota = func(context.Context) (mailer.Quota, error) { return q, err }
		r := &failover.Rate{PerSecond: perSecond, Quota: s}
		r.AllowN(time.Now(), 0)
		answered()
		t.Cleanup(answered)
		return r, s
	}
	for _, c := range []struct {
		name      string
		perSecond float64
		quota     mailer.Quota
		err       error
		want      int
	}{
		{"which sets the rate", 0, mailer.Quota{PerSecond: 14}, nil, 14},
		{"which lowers it", 20, mailer.Quota{PerSecond: 14}, nil, 14},
		{"which does not raise it", 10, mailer.Quota{PerSecond: 14}, nil, 10},
		{"which does not tell it", 10, mailer.Quota{}, nil, 10},
		{"which fails", 10, mailer.Quota{PerSecond: 1}, refused(mailer.KindNetwork), 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, _ := ask(t, c.perSecond, c.quota, c.err)
				require.Equal(t, c.want, rateOf(r))
			})
		})
	}
	t.Run("every five minutes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, s := ask(t, 0, mailer.Quota{PerSecond: 2}, nil)
			for range 3599 {
				time.Sleep(time.Second)
				r.AllowN(time.Now(), 1)
			}
			require.Equal(t, int64(12), s.asked.Load())
			s.tells(mailer.Quota{PerSecond: 4})
			time.Sleep(5 * time.Minute)
			r.AllowN(time.Now(), 0)
			answered()
			require.Equal(t, 4, rateOf(r))
		})
	})
	t.Run("and waits for nobody", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &metered{quota: func(ctx context.Context) (mailer.Quota, error) {
				<-ctx.Done()
				return mailer.Quota{}, ctx.Err()
			}}
			r := &failover.Rate{Quota: s}
			start := time.Now()
			for range 100 {
				require.NoError(t, r.WaitN(t.Context(), 1))
			}
			synctest.Wait()
			require.Equal(t, start, time.Now())
			require.Equal(t, int64(1), s.asked.Load())
			time.Sleep(30 * time.Second) // then the question ends, or the bubble would not
		})
	})
	t.Run("once at a time, also of a service that does not heed its context", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &metered{quota: func(context.Context) (mailer.Quota, error) {
				time.Sleep(time.Hour)
				return mailer.Quota{}, nil
			}}
			r := &failover.Rate{Quota: s}
			for range 10 {
				r.AllowN(time.Now(), 1)
				time.Sleep(5 * time.Minute)
			}
			require.Equal(t, int64(1), s.asked.Load())
			time.Sleep(time.Hour)
		})
	})
	t.Run("and keeps what a refusal taught", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, s := ask(t, 0, mailer.Quota{PerSecond: 200}, nil)
			r.Recovery = 1000 * time.Hour
			r.Ended(1, refused(mailer.KindRateLimited))
			s.tells(mailer.Quota{PerSecond: 100})
			time.Sleep(5 * time.Minute)
			r.AllowN(time.Now(), 0)
			answered()
			require.InDelta(t, 50, rateOf(r), 1)
		})
	})
}

// Whatever comes when, no window of time sees more than a burst and the full rate.
func TestRateIsNeverExceeded(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		perSecond := rapid.IntRange(1, 50).Draw(rt, "per second")
		burst := rapid.IntRange(1, 20).Draw(rt, "burst")
		pauses := rapid.SliceOfN(rapid.IntRange(0, 300), 1, 200).Draw(rt, "pauses in ms")
		limited := rapid.IntRange(2, 50).Draw(rt, "every so many is refused")
		synctest.Test(t, func(t *testing.T) {
			r := &failover.Rate{PerSecond: float64(perSecond), Burst: burst}
			var mu sync.Mutex
			var at []time.Time
			var wg sync.WaitGroup
			for i, p := range pauses {
				time.Sleep(time.Duration(p) * time.Millisecond)
				wg.Go(func() {
					ctx, cancel := context.WithTimeout(context.Background(), time.Second)
					defer cancel()
					if r.WaitN(ctx, 1) != nil {
						return
					}
					mu.Lock()
					at = append(at, time.Now())
					mu.Unlock()
					if i%limited == 0 {
						r.Ended(1, refusedFor(mailer.KindRateLimited, time.Duration(i%3)*100*time.Millisecond))
					}
				})
			}
			wg.Wait()
			require.NotEmpty(t, at)
			for i := range at {
				for j := i; j < len(at); j++ {
					most := float64(burst) + at[j].Sub(at[i]).Seconds()*float64(perSecond) + 1e-6
					require.LessOrEqual(t, float64(j-i+1), most+1)
				}
			}
		})
	})
}

func TestATargetThatIsTooSlowSpillsOver(t *testing.T) {
	for name, limiter := range map[string]func() failover.Limiter{
		"Rate":                   func() failover.Limiter { return &failover.Rate{PerSecond: 1, Burst: 2} },
		"golang.org/x/time/rate": func() failover.Limiter { return rate.NewLimiter(1, 2) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := &service{name: "a"}, &service{name: "b"}
				c := chainOf(t, failover.Config{}, failover.Target{Sender: a, Limiter: limiter(), MaxWait: 1500 * time.Millisecond}, b)
				start := time.Now()
				viaTimes(t, c, 2, "a")
				require.Equal(t, start, time.Now())
				viaTimes(t, c, 1, "a")
				require.Equal(t, time.Second, time.Since(start), "a short wait is worth it")
				var wg sync.WaitGroup
				ways := map[string]int{}
				var mu sync.Mutex
				for range 5 {
					wg.Go(func() {
						w := via(t, c)
						mu.Lock()
						defer mu.Unlock()
						ways[w]++
					})
				}
				wg.Wait()
				require.Equal(t, map[string]int{"a": 1, "b": 4}, ways)
				require.Equal(t, failover.Well, c.Health()[0].State, "no strike")
			})
		})
	}
}

// A batch goes as far as there is room; the rest of it goes on at once.
func TestABatchThatIsTooFastSpillsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &service{name: "a"}, &service{name: "b"}
		c := chainOf(t, failover.Config{}, failover.Target{Sender: a, Limiter: &failover.Rate{PerSecond: 10}, MaxWait: time.Second}, b)
		ms := make([]mailer.Message, 100)
		for i := range ms {
			ms[i] = message()
		}
		start := time.Now()
		for _, r := range c.SendBatch(t.Context(), ms) {
			require.NoError(t, r.Err)
		}
		require.LessOrEqual(t, time.Since(start), time.Second)
		require.InDelta(t, 18, a.calls(), 2)
		require.Equal(t, 100, a.calls()+b.calls())
	})
}

func TestRateInAChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &service{name: "a"}, &service{name: "b"}
		r := &failover.Rate{PerSecond: 600, Recovery: 24 * time.Hour}
		c := chainOf(t, failover.Config{}, failover.Target{Sender: a, Limiter: r}, b)
		viaTimes(t, c, 1, "a")
		a.fails(refusedFor(mailer.KindRateLimited, time.Second))
		viaTimes(t, c, 1, "a b")
		time.Sleep(time.Second)
		a.recovers()
		viaTimes(t, c, 1, "a")
		require.InDelta(t, 300, rateOf(r), 2)
	})
}
