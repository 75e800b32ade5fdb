package failover_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/failover"
)

// backend is a Backend in memory.
type backend struct {
	mu     sync.Mutex
	rests  map[string]failover.SharedRest
	noted  map[string]time.Time
	counts map[string]int64
	calls  int
	before func(ctx context.Context) error // what happens first; nil: nothing
}

func (b *backend) Exchange(ctx context.Context, news failover.News) (failover.News, error) {
	b.mu.Lock()
	before := b.before
	b.calls++
	b.mu.Unlock()
	if before != nil {
		if err := before(ctx); err != nil {
			return failover.News{}, err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rests == nil {
		b.rests, b.noted, b.counts = map[string]failover.SharedRest{}, map[string]time.Time{}, map[string]int64{}
	}
	left := func(name string) time.Duration { return b.rests[name].For - time.Since(b.noted[name]) }
	for name, r := range news.Rests {
		if r.For == 0 {
			delete(b.rests, name)
		} else if r.For > left(name) {
			b.rests[name], b.noted[name] = r, time.Now()
		}
	}
	known := failover.News{Rests: map[string]failover.SharedRest{}, Counts: map[string]int64{}}
	for name, r := range b.rests {
		if r.For = left(name); r.For > 0 {
			known.Rests[name] = r
		}
	}
	for name, n := range news.Counts {
		b.counts[name] += n
		known.Counts[name] = b.counts[name]
	}
	return known, nil
}

func (b *backend) does(before func(ctx context.Context) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.before = before
}

// resting names the targets that rest.
func (b *backend) resting() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Sorted(maps.Keys(b.rests))
}

func (b *backend) called() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.calls
}

// process is a chain over two services of its own, as one process has it.
type process struct {
	*failover.Chain
	a, b   *service
	shared *failover.Shared
}

func newProcess(t testing.TB, shared *failover.Shared, cfg failover.Config) process {
	if shared.Logger == nil {
		shared.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Store = shared
	c, a, b := pair(t, cfg)
	return process{c, a, b, shared}
}

// processes are two that share a backend.
func processes(t testing.TB, cfg failover.Config) (one, other process, b *backend) {
	b = &backend{}
	return newProcess(t, &failover.Shared{Backend: b}, cfg), newProcess(t, &failover.Shared{Backend: b}, cfg), b
}

func TestProcessesShareTheirRests(t *testing.T) {
	t.Run("the next send of the other one knows", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			one, other, b := processes(t, failover.Config{})
			b.does(func(context.Context) error { time.Sleep(time.Millisecond); return nil })
			one.a.fails(refusedFor(mailer.KindRateLimited, time.Hour))
			viaTimes(t, one, 1, "a b")
			time.Sleep(10 * time.Millisecond)
			require.Equal(t, "a", via(t, other), "the first send of a process does not wait for news")
			time.Sleep(10 * time.Millisecond)
			synctest.Wait()
			viaTimes(t, other, 1, "b")
			require.Equal(t, 1, other.a.calls())
			h := other.Health()[0]
			require.Equal(t, failover.Resting, h.State)
			require.Equal(t, mailer.KindRateLimited, mailer.KindOf(h.LastError))
			require.WithinDuration(t, one.Health()[0].RestUntil, h.RestUntil, 10*time.Millisecond)
			require.NotEqual(t, h.LastError, one.Health()[0].LastError, "who found out has the service's own words")
			synctest.Wait()
			time.Sleep(time.Second)
			viaTimes(t, one, 1, "b")
			synctest.Wait()
			require.NotEqual(t, h.LastError, one.Health()[0].LastError, "and keeps them")

			time.Sleep(time.Hour)
			viaTimes(t, other, 1, "a")
			time.Sleep(time.Second) // the call that this began ends
		})
	})
	t.Run("and also when it is over", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			one, other, _ := processes(t, failover.Config{})
			one.a.fails(refused(mailer.KindUnauthorized)) // half a minute at most
			viaTimes(t, one, 1, "a b")
			synctest.Wait()
			_ = other.shared.Sync(t.Context())
			time.Sleep(20 * time.Second)
			other.b.fails(refused(mailer.KindUnauthorized))
			// Nobody is left but a, which rests: it is tried anyway.
			viaTimes(t, other, 1, "b a")
			synctest.Wait()

			one.a.recovers()
			_ = one.shared.Sync(t.Context())
			require.Equal(t, failover.Probing, one.Health()[0].State)
			viaTimes(t, one, 1, "a")
			require.Equal(t, failover.Well, one.Health()[0].State)
		})
	})
	t.Run("one that is shorter than one that is over", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := &backend{}
			s := &failover.Shared{Backend: b}
			var learned []time.Duration
			require.NoError(t, s.Join([]string{"a"}, func(target string, r failover.Rest) {
				require.Equal(t, "a", target)
				if r.Until.IsZero() {
					learned = append(learned, 0)
					return
				}
				learned = append(learned, time.Until(r.Until))
			}))
			note := func(d time.Duration) {
				_, err := b.Exchange(t.Context(), failover.News{Rests: map[string]failover.SharedRest{"a": {For: d}}})
				require.NoError(t, err)
			}
			note(time.Hour)
			require.NoError(t, s.Sync(t.Context()))
			require.NoError(t, s.Sync(t.Context()))
			note(0)
			note(time.Minute)
			require.NoError(t, s.Sync(t.Context()))
			time.Sleep(time.Minute)
			require.NoError(t, s.Sync(t.Context()))
			require.Equal(t, []time.Duration{time.Hour, 0, time.Minute}, learned, "each once, and no word of what passed by itself")
		})
	})
	t.Run("a rest that took long to tell is not told as over", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			one, other, b := processes(t, failover.Config{})
			b.does(func(context.Context) error { return errors.New("?") })
			one.a.fails(refusedFor(mailer.KindRateLimited, time.Minute))
			viaTimes(t, one, 1, "a b")
			synctest.Wait()
			b.does(nil)
			other.a.fails(refusedFor(mailer.KindRateLimited, time.Hour))
			viaTimes(t, other, 1, "a b")
			synctest.Wait()
			time.Sleep(2 * time.Minute)
			require.NoError(t, one.shared.Sync(t.Context()))
			viaTimes(t, one, 1, "b")
			require.Equal(t, 1, one.a.calls())
		})
	})
	t.Run("with names of targets that another does not have", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := &backend{}
			one := newProcess(t, &failover.Shared{Backend: b}, failover.Config{})
			shared := &failover.Shared{Backend: b}
			c, other := &service{name: "c"}, &service{name: "b"}
			chain := chainOf(t, failover.Config{Store: shared}, c, other)
			one.a.fails(refusedFor(mailer.KindQuota, time.Hour))
			viaTimes(t, one, 1, "a b")
			synctest.Wait()
			require.NoError(t, shared.Sync(t.Context()))
			viaTimes(t, chain, 1, "c")
		})
	})
}

func TestChainsOfOneProcessShareTheirRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &failover.Shared{}
		one, other := newProcess(t, shared, failover.Config{}), newProcess(t, shared, failover.Config{})
		require.NoError(t, shared.Sync(t.Context()), "there is nobody to ask")
		one.a.fails(refusedFor(mailer.KindQuota, time.Hour))
		viaTimes(t, one, 1, "a b")
		viaTimes(t, other, 1, "b")
		third := newProcess(t, shared, failover.Config{})
		viaTimes(t, third, 1, "b")
		require.Zero(t, other.a.calls()+third.a.calls())
		time.Sleep(time.Hour)
		viaTimes(t, other, 1, "a")
		viaTimes(t, newProcess(t, shared, failover.Config{}), 1, "a")
	})
}

func TestABackendDelaysNobody(t *testing.T) {
	hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		b := &backend{before: hang}
		shared := &failover.Shared{Backend: b, Logger: textLogger(&out)}
		p := newProcess(t, shared, failover.Config{Order: &failover.Budget{Allow: allow("a", failover.Allowance{Day: 50}), Shared: shared}})
		start := time.Now()
		for range 10 {
			viaTimes(t, p, 1, "a")
			synctest.Wait()
		}
		p.a.fails(refusedFor(mailer.KindRateLimited, time.Hour))
		viaTimes(t, p, 1, "a b")
		viaTimes(t, p, 10, "b")
		synctest.Wait()
		require.Equal(t, start, time.Now(), "no send waits")
		require.Equal(t, 1, b.called(), "one call is under way")
		time.Sleep(5 * time.Second)
		synctest.Wait()
		require.Equal(t, 1, b.called(), "and after it ended there is none")
		viaTimes(t, p, 1, "b")
		synctest.Wait()
		require.Equal(t, 2, b.called())
		time.Sleep(6 * time.Second)
		require.Equal(t, 1, strings.Count(out.String(), "level=WARN msg=\"failover: the shared store fails\" error=\"context deadline exceeded\""))

		b.does(nil)
		viaTimes(t, p, 1, "b")
		synctest.Wait()
		require.Equal(t, 1, strings.Count(out.String(), "level=INFO msg=\"failover: the shared store is well again\""))
		require.Equal(t, 2, strings.Count(out.String(), "\n"))
		b.mu.Lock()
		defer b.mu.Unlock()
		require.Equal(t, map[string]int64{"a 2000-01-01": 10}, b.counts, "what could not be told is told in the end")
		require.Equal(t, time.Hour-11*time.Second, b.rests["a"].For)
	})
}

func TestABackendIsCalledSeldom(t *testing.T) {
	for every, want := range map[time.Duration]int{0: 60, 10 * time.Second: 6} {
		synctest.Test(t, func(t *testing.T) {
			b := &backend{}
			p := newProcess(t, &failover.Shared{Backend: b, Every: every}, failover.Config{})
			for range 600 {
				viaTimes(t, p, 1, "a")
				time.Sleep(100 * time.Millisecond)
			}
			require.Equal(t, want, b.called())
			time.Sleep(time.Hour)
			require.Equal(t, want, b.called(), "nobody asks when nothing is sent")
		})
	}
}

// News that comes while the Backend is called goes out with a second call.
func TestNewsThatComesDuringACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{before: func(context.Context) error { time.Sleep(time.Second); return nil }}
		p := newProcess(t, &failover.Shared{Backend: b, Every: time.Hour}, failover.Config{})
		viaTimes(t, p, 1, "a")
		synctest.Wait()
		p.a.fails(refusedFor(mailer.KindQuota, time.Hour))
		viaTimes(t, p, 1, "a b")
		time.Sleep(1500 * time.Millisecond)
		require.Equal(t, failover.Resting, p.Health()[0].State, "what was not told yet is not taken for over")
		time.Sleep(time.Second)
		require.Equal(t, 2, b.called())
		require.Equal(t, []string{"a"}, b.resting())
		require.Equal(t, failover.Resting, p.Health()[0].State)
	})
}

// A rest that ends here during a call is not begun anew by its answer.
func TestARestThatEndsDuringACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{}
		_, err := b.Exchange(t.Context(), failover.News{Rests: map[string]failover.SharedRest{"a": {For: time.Hour}}})
		require.NoError(t, err)
		b.does(func(context.Context) error { time.Sleep(time.Second); return nil })
		s := &failover.Shared{Backend: b, Every: time.Hour}
		var learned atomic.Int64
		require.NoError(t, s.Join([]string{"a"}, func(string, failover.Rest) { learned.Add(1) }))
		require.NoError(t, s.Sync(t.Context()))
		require.Equal(t, int64(1), learned.Load())
		s.Poll()
		time.Sleep(time.Hour / 2)
		s.Publish("b", failover.Rest{}) // a call begins
		synctest.Wait()
		s.Publish("a", failover.Rest{})
		time.Sleep(3 * time.Second)
		require.Equal(t, int64(1), learned.Load())
		require.Empty(t, b.resting())
	})
}

// What could not be told is no reason to forget what came after it.
func TestNewsThatComesDuringACallThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{before: func(context.Context) error { time.Sleep(time.Second); return errors.New("?") }}
		s := &failover.Shared{Backend: b, Logger: slog.New(slog.DiscardHandler)}
		s.Publish("a", failover.Rest{Until: time.Now().Add(time.Hour), Kind: mailer.KindQuota})
		synctest.Wait()
		s.Publish("a", failover.Rest{}) // it is over
		time.Sleep(2 * time.Second)
		b.does(nil)
		require.NoError(t, s.Sync(t.Context()))
		require.Empty(t, b.resting())
	})
}

func TestSyncEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{before: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
		p := newProcess(t, &failover.Shared{Backend: b}, failover.Config{})
		viaTimes(t, p, 1, "a") // a call is under way
		synctest.Wait()
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, p.shared.Sync(ctx), context.DeadlineExceeded)
		require.Less(t, time.Since(start), 2*time.Second, "not only when the call under way does")
		time.Sleep(time.Minute)
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, p.shared.Sync(ctx), context.DeadlineExceeded)
	})
}

func TestProcessesSpendOneBudget(t *testing.T) {
	spend := func(t *testing.T, b *backend, day int64) process {
		shared := &failover.Shared{Backend: b}
		return newProcess(t, shared, failover.Config{Order: &failover.Budget{Allow: allow("a", failover.Allowance{Day: day}), Shared: shared}})
	}
	t.Run("exactly, if they ask before they send", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := &backend{}
			one, other := spend(t, b, 10), spend(t, b, 10)
			viaTimes(t, one, 6, "a")
			require.NoError(t, one.shared.Sync(t.Context()))
			require.NoError(t, other.shared.Sync(t.Context()))
			viaTo(t, other, 5, "b")
			viaTo(t, other, 4, "a")
			viaTimes(t, other, 1, "b")
			require.NoError(t, other.shared.Sync(t.Context()))
			require.NoError(t, one.shared.Sync(t.Context()))
			viaTimes(t, one, 1, "b")

			time.Sleep(24 * time.Hour)
			viaTimes(t, one, 10, "a")
			require.NoError(t, one.shared.Sync(t.Context()))
			require.NoError(t, other.shared.Sync(t.Context()))
			viaTimes(t, other, 1, "a") // asks for yesterday's yet, since nothing was sent today
			require.NoError(t, other.shared.Sync(t.Context()))
			viaTimes(t, other, 1, "b")
			require.Equal(t, map[string]int64{"a 2000-01-01": 10, "a 2000-01-02": 11}, b.counts)
		})
	})
	t.Run("up to what the others send between two exchanges", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			const each = 20 // messages a second, of each of four
			b := &backend{before: func(context.Context) error { time.Sleep(20 * time.Millisecond); return nil }}
			var sum atomic.Int64
			var wg sync.WaitGroup
			for range 4 {
				p := spend(t, b, 1000)
				p.a.answers(func(context.Context, mailer.Message) error { sum.Add(1); return nil })
				for i := range 4 {
					wg.Go(func() {
						time.Sleep(time.Duration(i) * 50 * time.Millisecond)
						for range 100 {
							_, _ = p.Send(context.Background(), message())
							time.Sleep(200 * time.Millisecond)
						}
					})
				}
			}
			wg.Wait()
			require.GreaterOrEqual(t, sum.Load(), int64(1000))
			require.LessOrEqual(t, sum.Load(), int64(1000+3*each*11/10))
		})
	})
}

func TestBudgetsOfOneProcessSpendExactly(t *testing.T) {
	shared := &failover.Shared{}
	var sum atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		c, a, _ := pair(t, failover.Config{Order: &failover.Budget{Allow: allow("a", failover.Allowance{Month: 1000}), Shared: shared}})
		a.answers(func(context.Context, mailer.Message) error { sum.Add(1); return nil })
		for range 16 {
			wg.Go(func() {
				for range 50 {
					_, _ = c.Send(t.Context(), message())
				}
			})
		}
	}
	wg.Wait()
	require.Equal(t, int64(1000), sum.Load())
}
