package failover_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/failover"
)

// bulk is a service with a batch call. Answer, if set, says what becomes of each
// message of a call; while says what happens during the call.
type bulk struct {
	service
	max   int
	while func(ctx context.Context)
	lost  int // so many results are missing

	calls [][]string // the IDs of each batch call, in order
}

func (b *bulk) MaxBatch() int { return b.max }

func (b *bulk) SendBatch(ctx context.Context, ms []mailer.Message) []mailer.Result {
	var ids []string
	for _, m := range ms {
		ids = append(ids, m.ID)
	}
	b.mu.Lock()
	b.calls = append(b.calls, ids)
	answer := b.answer
	b.mu.Unlock()
	if b.while != nil {
		b.while(ctx)
	}
	results := make([]mailer.Result, len(ms)-b.lost)
	for i := range results {
		results[i].Receipt = mailer.Receipt{ID: ids[i], Provider: b.name, MessageID: b.name + "-" + ids[i]}
		if answer == nil {
			continue
		}
		if err := answer(ctx, ms[i]); err != nil {
			results[i] = mailer.Result{Err: err}
		}
	}
	return results
}

// sizes returns how many messages each call had, and forgets them.
func (b *bulk) sizes() (sizes []int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.calls {
		sizes = append(sizes, len(c))
	}
	slices.Sort(sizes)
	b.calls = nil
	return sizes
}

func many(n int) (ms []mailer.Message) {
	for i := range n {
		ms = append(ms, numbered(i))
	}
	return ms
}

// only answers with err for the messages of these numbers.
func only(err error, numbers ...int) func(context.Context, mailer.Message) error {
	return func(_ context.Context, m mailer.Message) error {
		for _, i := range numbers {
			if m.ID == fmt.Sprint("m", i) {
				return err
			}
		}
		return nil
	}
}

// pairOfBulk is a chain over two services with batch calls of up to a hundred
// messages.
func pairOfBulk(t testing.TB, cfg failover.Config) (c *failover.Chain, a, b *bulk) {
	a, b = &bulk{service: service{name: "a"}, max: 100}, &bulk{service: service{name: "b"}, max: 100}
	return chainOf(t, cfg, a, b), a, b
}

// wayOf tells the way of a message in a batch as via does, with "!" for an error.
func wayOf(r mailer.Result) string {
	if all, ok := errors.AsType[*failover.AttemptsError](r.Err); ok {
		return way(all.Attempts) + "!"
	}
	if r.Err != nil {
		return "!"
	}
	return way(r.Receipt.Attempts)
}

func waysOf(results []mailer.Result) map[string]int {
	ways := map[string]int{}
	for _, r := range results {
		ways[wayOf(r)]++
	}
	return ways
}

func TestBatch(t *testing.T) {
	t.Run("nothing is nothing", func(t *testing.T) {
		c, _, _ := pairOfBulk(t, failover.Config{})
		require.Empty(t, c.SendBatch(t.Context(), nil))
	})
	t.Run("goes in the target's calls, with the results in order", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, b := pairOfBulk(t, failover.Config{})
			require.Equal(t, 100, c.MaxBatch())
			results := mailer.SendAll(t.Context(), c, many(250))
			for i, r := range results {
				require.NoError(t, r.Err)
				require.Equal(t, fmt.Sprint("m", i), r.Receipt.ID)
				require.Equal(t, fmt.Sprint("a-m", i), r.Receipt.MessageID)
				require.Equal(t, "a", wayOf(r))
			}
			require.Len(t, results, 250)
			require.Equal(t, []int{50, 100, 100}, a.sizes())
			require.Empty(t, b.sizes())
			require.Zero(t, a.service.calls())
			require.EqualValues(t, 250, c.Health()[0].Sent)
		})
	})
	t.Run("one bad message of 500 costs that message only", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, b := pairOfBulk(t, failover.Config{})
			a.answers(only(refused(mailer.KindRejected), 7))
			b.answers(only(refused(mailer.KindRejected), 7))
			results := c.SendBatch(t.Context(), many(500))
			require.Equal(t, map[string]int{"a": 499, "a b!": 1}, waysOf(results))
			require.Equal(t, mailer.KindRejected, mailer.KindOf(results[7].Err))
			require.Equal(t, mailer.Receipt{ID: "m7"}, results[7].Receipt)
			require.Equal(t, []int{100, 100, 100, 100, 100}, a.sizes())
			require.Equal(t, 1, b.service.calls(), "one message needs no batch call")
			for _, h := range c.Health() {
				require.Equal(t, failover.Well, h.State)
				require.Zero(t, h.Strikes)
			}
		})
	})
	t.Run("what may go on is put together for the next target, and only that", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, b := pairOfBulk(t, failover.Config{})
			a.answers(func(_ context.Context, m mailer.Message) error {
				switch {
				case strings.HasSuffix(m.ID, "0"):
					return refused(mailer.KindTooLarge)
				case strings.HasSuffix(m.ID, "1"):
					return refused(mailer.KindRecipient)
				case strings.HasSuffix(m.ID, "2"):
					return &mailer.Error{Provider: "a", Kind: mailer.KindNetwork}
				case strings.HasSuffix(m.ID, "3"):
					return refused(mailer.KindInvalid)
				}
				return nil
			})
			ms := many(100)
			ms[2].AllowDuplicate = true
			results := c.SendBatch(t.Context(), ms)
			for i, r := range results {
				switch {
				case i%10 == 0 || i == 2:
					require.NoError(t, r.Err)
					require.Equal(t, "a b", wayOf(r))
					require.Equal(t, fmt.Sprint("b-m", i), r.Receipt.MessageID)
					require.Equal(t, i == 2, r.Receipt.Attempts[1].PossibleDuplicate)
				case i%10 < 4:
					require.Equal(t, "a!", wayOf(r))
					require.Equal(t, []mailer.Kind{mailer.KindRecipient, mailer.KindNetwork, mailer.KindInvalid}[i%10-1], mailer.KindOf(r.Err))
					require.Equal(t, i%10 != 2, mailer.NotSent(r.Err))
					require.Equal(t, mailer.Receipt{ID: fmt.Sprint("m", i)}, r.Receipt)
				default:
					require.Equal(t, "a", wayOf(r))
				}
			}
			require.Equal(t, []int{11}, b.sizes())
		})
	})
	t.Run("attempts are those of the call", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			var seen []mailer.Attempt
			c, a, b := pairOfBulk(t, failover.Config{OnAttempt: func(_ context.Context, a mailer.Attempt) {
				mu.Lock()
				defer mu.Unlock()
				seen = append(seen, a)
			}})
			a.while = func(context.Context) { time.Sleep(2 * time.Second) }
			b.while = func(context.Context) { time.Sleep(3 * time.Second) }
			a.answers(func(context.Context, mailer.Message) error { return refused(mailer.KindTooLarge) })
			start := time.Now()
			results := c.SendBatch(t.Context(), many(2))
			want := []mailer.Attempt{
				{Provider: "a", Start: start, Duration: 2 * time.Second, Err: refused(mailer.KindTooLarge)},
				{Provider: "b", Start: start.Add(2 * time.Second), Duration: 3 * time.Second},
			}
			for _, r := range results {
				require.Equal(t, want, r.Receipt.Attempts)
			}
			require.Equal(t, []mailer.Attempt{want[0], want[0], want[1], want[1]}, seen)
		})
	})
	t.Run("assigns the IDs, and leaves the caller's messages alone", func(t *testing.T) {
		c, _, b := pairOfBulk(t, failover.Config{Order: always(1)})
		ms := []mailer.Message{message(), message()}
		ms[0].ID, ms[1].ID = "", ""
		results := c.SendBatch(t.Context(), ms)
		require.Len(t, results[0].Receipt.ID, 26)
		require.NotEqual(t, results[0].Receipt.ID, results[1].Receipt.ID)
		require.Equal(t, [][]string{{results[0].Receipt.ID, results[1].Receipt.ID}}, b.calls)
		require.Empty(t, ms[0].ID)
	})
	t.Run("a target without a batch call gets one by one, 64 at a time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, b := &service{name: "a"}, &bulk{service: service{name: "b"}, max: 100}
			c := chainOf(t, failover.Config{}, a, b)
			require.Equal(t, 1, c.MaxBatch())
			inside, most := 0, 0
			var mu sync.Mutex
			a.answers(func(_ context.Context, m mailer.Message) error {
				mu.Lock()
				inside++
				most = max(most, inside)
				mu.Unlock()
				time.Sleep(time.Second)
				mu.Lock()
				defer mu.Unlock()
				inside--
				return only(refused(mailer.KindTooLarge), 3, 5, 8)(t.Context(), m)
			})
			start := time.Now()
			require.Equal(t, map[string]int{"a": 125, "a b": 3}, waysOf(c.SendBatch(t.Context(), many(128))))
			require.Equal(t, 2*time.Second, time.Since(start))
			require.Equal(t, 64, most)
			require.Equal(t, [][]string{{"m3", "m5", "m8"}}, b.calls)
		})
	})
	t.Run("a wrapper without a batch call is not bypassed", func(t *testing.T) {
		a := &bulk{service: service{name: "a"}, max: 100}
		n := 0
		c := chainOf(t, failover.Config{}, failover.Target{Sender: &failover.Target{Sender: locked{new(sync.Mutex), counting{wrapper{a}, &n}}}})
		c.SendBatch(t.Context(), many(10))
		require.Equal(t, 10, n)
		require.Empty(t, a.sizes())
	})
	t.Run("a Target does not hide the batch call", func(t *testing.T) {
		a := &bulk{service: service{name: "a"}, max: 100}
		c := chainOf(t, failover.Config{}, failover.Target{Name: "x", Sender: &failover.Target{Sender: a}})
		c.SendBatch(t.Context(), many(10))
		require.Equal(t, []int{10}, a.sizes())
	})
	t.Run("messages of different orders go each to its own", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, b := pairOfBulk(t, failover.Config{Order: orderFunc(func(dst []int, m mailer.Message, _ []failover.TargetInfo) ([]int, error) {
				switch m.ID {
				case "m9":
					return nil, refused(mailer.KindQuota)
				case "m1", "m2":
					return append(dst, 1, 0), nil
				}
				return append(dst, 0, 1), nil
			})})
			a.answers(only(refused(mailer.KindRejected), 4, 5))
			b.answers(only(refused(mailer.KindRejected), 2))
			a.while = func(context.Context) { time.Sleep(time.Second) }
			b.while = a.while
			start := time.Now()
			results := c.SendBatch(t.Context(), many(10))
			require.Equal(t, 2*time.Second, time.Since(start), "side by side")
			require.Equal(t, map[string]int{"a": 5, "b": 1, "a b": 2, "b a": 1, "!": 1}, waysOf(results))
			require.Equal(t, "b a", wayOf(results[2]))
			require.Equal(t, mailer.KindQuota, mailer.KindOf(results[9].Err))
		})
	})
	t.Run("a Sender that miscounts leaves unknown outcomes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, b := pairOfBulk(t, failover.Config{})
			a.lost = 1
			for _, r := range c.SendBatch(t.Context(), many(4)) {
				require.False(t, mailer.NotSent(r.Err))
				require.ErrorContains(t, r.Err, "a: unclassified failure: the Sender did not return one result for each message")
			}
			require.Empty(t, b.sizes())
		})
	})
}

// locked makes a Sender safe for many goroutines.
type locked struct {
	mu *sync.Mutex
	mailer.Sender
}

func (l locked) Send(ctx context.Context, m mailer.Message) (mailer.Receipt, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Sender.Send(ctx, m)
}

func TestBatchAndHealth(t *testing.T) {
	all := func(err error) func(context.Context, mailer.Message) error {
		return func(context.Context, mailer.Message) error { return err }
	}
	t.Run("a call that dies is one strike", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, b := pairOfBulk(t, failover.Config{})
			a.answers(all(refused(mailer.KindNetwork)))
			require.Equal(t, map[string]int{"a b": 100}, waysOf(c.SendBatch(t.Context(), many(100))))
			h := c.Health()[0]
			require.Equal(t, 1, h.Strikes)
			require.Equal(t, failover.Well, h.State)
			require.EqualValues(t, 100, h.Failed)
			require.Equal(t, []int{100}, b.sizes())
		})
	})
	t.Run("after three of them the rest goes past", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, b := &service{name: "a"}, &bulk{service: service{name: "b"}, max: 1000}
			c := chainOf(t, failover.Config{}, a, b)
			a.answers(func(context.Context, mailer.Message) error {
				time.Sleep(time.Second)
				return refused(mailer.KindNetwork)
			})
			ways := waysOf(c.SendBatch(t.Context(), many(500)))
			require.Equal(t, a.calls(), ways["a b"])
			require.Equal(t, 500-a.calls(), ways["b"])
			// Those that were under way, and those that began before the third failed.
			require.GreaterOrEqual(t, a.calls(), 64)
			require.LessOrEqual(t, a.calls(), 66)
			require.Equal(t, []int{500}, b.sizes())
		})
	})
	t.Run("some taken in the same call are no strike and no refusal", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, _ := pairOfBulk(t, failover.Config{Strikes: 1, Refusals: 2})
			a.answers(func(_ context.Context, m mailer.Message) error {
				switch m.ID {
				case "m1", "m2", "m3":
					return refused(mailer.KindRejected)
				case "m4", "m5":
					return refused(mailer.KindUnavailable)
				}
				return nil
			})
			c.SendBatch(t.Context(), many(10))
			h := c.Health()[0]
			require.Equal(t, failover.Well, h.State)
			require.Zero(t, h.Strikes)
			require.Zero(t, h.Refusals)
		})
	})
	t.Run("different messages that a whole call refuses are the service's fault", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, _ := pairOfBulk(t, failover.Config{})
			a.answers(all(refused(mailer.KindContent)))
			c.SendBatch(t.Context(), many(4))
			require.Equal(t, 4, c.Health()[0].Refusals)
			c.SendBatch(t.Context(), slices.Repeat(many(2), 5))
			require.Equal(t, failover.Well, c.Health()[0].State, "none of them is new")
			c.SendBatch(t.Context(), many(6))
			require.Equal(t, failover.Resting, c.Health()[0].State)
		})
	})
	t.Run("one that is told to slow down rests once, for the longest time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, _ := pairOfBulk(t, failover.Config{})
			a.answers(func(_ context.Context, m mailer.Message) error {
				switch m.ID {
				case "m1", "m3":
					return refusedFor(mailer.KindRateLimited, time.Minute)
				case "m2":
					return refusedFor(mailer.KindRateLimited, time.Hour)
				}
				return nil
			})
			require.Equal(t, map[string]int{"a": 7, "a b": 3}, waysOf(c.SendBatch(t.Context(), many(10))))
			h := c.Health()[0]
			require.Equal(t, time.Now().Add(time.Hour), h.RestUntil)
			require.Equal(t, 1, h.Strikes)
			require.EqualValues(t, 7, h.Sent)
			require.EqualValues(t, 3, h.Failed)
		})
	})
	t.Run("a target that is due gets one message", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, b := pairOfBulk(t, failover.Config{})
			a.answers(all(refusedFor(mailer.KindRateLimited, time.Minute)))
			require.Equal(t, map[string]int{"a b": 100}, waysOf(c.SendBatch(t.Context(), many(100))))
			a.sizes()
			b.sizes()
			time.Sleep(time.Minute)
			require.Equal(t, map[string]int{"a b": 1, "b": 499}, waysOf(c.SendBatch(t.Context(), many(500))), "and is not well yet")
			require.Empty(t, a.sizes())
			require.Equal(t, 1, a.service.calls())
			time.Sleep(time.Minute)
			a.recovers()
			require.Equal(t, map[string]int{"a": 1, "b": 499}, waysOf(c.SendBatch(t.Context(), many(500))))
			require.Equal(t, 2, a.service.calls())
			require.Equal(t, map[string]int{"a": 500}, waysOf(c.SendBatch(t.Context(), many(500))))
		})
	})
	t.Run("also when it came to rest and is due while calls are under way", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, b := &bulk{service: service{name: "a"}, max: 10}, &bulk{service: service{name: "b"}, max: 10}
			c := chainOf(t, failover.Config{}, a, b)
			a.while = func(context.Context) { time.Sleep(time.Second) }
			a.answers(only(refusedFor(mailer.KindRateLimited, 400*time.Millisecond), 1000))
			time.AfterFunc(500*time.Millisecond, func() { _, _ = c.Send(context.Background(), numbered(1000)) })
			require.Equal(t, map[string]int{"a": 81, "b": 9}, waysOf(c.SendBatch(t.Context(), many(90))))
			require.Equal(t, []int{10, 10, 10, 10, 10, 10, 10, 10}, a.sizes(), "and the probe, alone")
			require.Equal(t, failover.Well, c.Health()[0].State)
		})
	})
	t.Run("the only target that is due gets one message, and all the others when it is well", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := &bulk{service: service{name: "a"}, max: 100}
			c := chainOf(t, failover.Config{}, a)
			a.answers(all(refused(mailer.KindUnauthorized)))
			require.Equal(t, map[string]int{"a!": 10}, waysOf(c.SendBatch(t.Context(), many(10))))
			a.sizes()

			for _, wait := range []time.Duration{0, time.Minute} { // while it rests, and when it is due
				time.Sleep(wait)
				before := a.service.calls()
				results := c.SendBatch(t.Context(), many(200))
				require.Equal(t, map[string]int{"a!": 1, "!": 199}, waysOf(results))
				require.Equal(t, before+1, a.service.calls())
				require.Empty(t, a.sizes())
				require.Equal(t, mailer.KindUnauthorized, mailer.KindOf(results[199].Err))
				require.True(t, mailer.NotSent(results[199].Err))
				require.ErrorContains(t, results[199].Err, "resting: a (unauthorized)")
			}

			for _, wait := range []time.Duration{0, time.Hour} {
				time.Sleep(wait)
				a.recovers()
				before := a.service.calls()
				require.Equal(t, map[string]int{"a": 200}, waysOf(c.SendBatch(t.Context(), many(200))))
				require.Equal(t, before+1, a.service.calls())
				require.Equal(t, []int{99, 100}, a.sizes())
				a.answers(all(refused(mailer.KindUnauthorized)))
				c.SendBatch(t.Context(), many(2))
				a.sizes()
			}

			// A service that refuses the first has answered: the others may try.
			a.answers(only(refused(mailer.KindRejected), 0))
			require.Equal(t, map[string]int{"a!": 1, "a": 49}, waysOf(c.SendBatch(t.Context(), many(50))))
			require.Equal(t, []int{49}, a.sizes())
		})
	})
	t.Run("nobody is tried before a time that all named", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := &bulk{service: service{name: "a"}, max: 100}
			c := chainOf(t, failover.Config{}, a)
			a.answers(all(refusedFor(mailer.KindQuota, time.Hour)))
			c.SendBatch(t.Context(), many(10))
			a.sizes()
			for _, r := range c.SendBatch(t.Context(), many(10)) {
				e, ok := errors.AsType[*mailer.Error](r.Err)
				require.True(t, ok)
				require.Equal(t, time.Hour, e.RetryAfter)
				require.True(t, e.NotSent)
			}
			require.Empty(t, a.sizes())
		})
	})
	t.Run("the log says once what happened to many", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var out strings.Builder
			c, a, b := pairOfBulk(t, failover.Config{Logger: textLogger(&out)})
			a.answers(all(refused(mailer.KindUnavailable)))
			b.answers(only(refused(mailer.KindTooLarge), 0, 1))
			c.SendBatch(t.Context(), many(100))
			require.Equal(t, `level=WARN msg="failover: trying the next target" provider=a kind="service unavailable" duration=0s next=b messages=100
level=WARN msg="failover: no target is left" provider=b kind="message too large" duration=0s messages=2
`, out.String())
		})
	})
}

func TestBatchAndTime(t *testing.T) {
	t.Run("a call that hangs leaves time for the next", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, b := pairOfBulk(t, failover.Config{})
			a.while = func(ctx context.Context) { <-ctx.Done() }
			a.answers(func(ctx context.Context, _ mailer.Message) error {
				return &mailer.Error{Kind: mailer.KindOf(ctx.Err()), NotSent: true, Err: ctx.Err()}
			})
			b.while = func(ctx context.Context) {
				end, _ := ctx.Deadline()
				require.Equal(t, 30*time.Second, time.Until(end))
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			require.Equal(t, map[string]int{"a b": 50}, waysOf(c.SendBatch(ctx, many(50))))
			require.Equal(t, []int{50}, b.sizes())
			require.Equal(t, 1, c.Health()[0].Strikes)
		})
	})
	t.Run("a time-out is one, whatever the Sender calls it, and no strike after less than a second", func(t *testing.T) {
		for limit, strikes := range map[time.Duration]int{time.Second: 0, time.Minute: 1} {
			synctest.Test(t, func(t *testing.T) {
				c, a, _ := pairOfBulk(t, failover.Config{})
				a.while = func(ctx context.Context) { <-ctx.Done() }
				a.answers(func(ctx context.Context, _ mailer.Message) error {
					return &mailer.Error{Kind: mailer.KindCanceled, NotSent: true, Err: ctx.Err()}
				})
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				results := c.SendBatch(ctx, many(50))
				require.Equal(t, map[string]int{"a b": 50}, waysOf(results))
				require.Equal(t, mailer.KindNetwork, mailer.KindOf(results[0].Receipt.Attempts[0].Err))
				require.Equal(t, strikes, c.Health()[0].Strikes)
			})
		}
	})
	t.Run("each call has the target's time-out, or the chain's", func(t *testing.T) {
		for own, want := range map[time.Duration]time.Duration{0: 30 * time.Second, 3 * time.Second: 3 * time.Second} {
			synctest.Test(t, func(t *testing.T) {
				a := &bulk{service: service{name: "a"}, max: 10}
				c := chainOf(t, failover.Config{}, failover.Target{Sender: a, Timeout: own})
				a.while = func(ctx context.Context) {
					end, _ := ctx.Deadline()
					if time.Until(end) != want {
						t.Errorf("%v, not %v", time.Until(end), want)
					}
					time.Sleep(2 * time.Second)
				}
				start := time.Now()
				require.Equal(t, map[string]int{"a": 170}, waysOf(c.SendBatch(t.Context(), many(170))))
				require.Equal(t, 6*time.Second, time.Since(start), "17 calls, eight at a time")
			})
		}
	})
	t.Run("what did not begin when the caller's time ends is not sent", func(t *testing.T) {
		for _, cancel := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				a := &bulk{service: service{name: "a"}, max: 100}
				c := chainOf(t, failover.Config{}, a)
				a.while = func(ctx context.Context) { <-ctx.Done() }
				a.answers(hang)
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				kind := mailer.KindCanceled
				if cancel {
					time.AfterFunc(time.Second, stop)
				} else {
					ctx, stop = context.WithTimeout(t.Context(), time.Second)
					defer stop()
					kind = mailer.KindNetwork
				}
				start := time.Now()
				results := c.SendBatch(ctx, many(1000))
				require.Equal(t, time.Second, max(time.Second, time.Since(start)))
				unknown := 0
				for i, r := range results {
					require.Equal(t, kind, mailer.KindOf(r.Err))
					require.Equal(t, fmt.Sprint("m", i), r.Receipt.ID)
					if !mailer.NotSent(r.Err) {
						unknown++
					}
				}
				require.Equal(t, 800, unknown, "eight calls")
				require.Len(t, a.sizes(), 8)
			})
		}
	})
	t.Run("a context that has ended sends nothing", func(t *testing.T) {
		c, a, _ := pairOfBulk(t, failover.Config{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for i, r := range c.SendBatch(ctx, many(3)) {
			_, err := c.Send(ctx, numbered(i))
			require.Equal(t, err, r.Err)
			require.Equal(t, fmt.Sprint("m", i), r.Receipt.ID)
		}
		require.Empty(t, a.sizes())
	})
}

func TestBatchAndRoom(t *testing.T) {
	t.Run("as many as the Ledger allows, the others to the next", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := &ledger{orderFunc: always(0, 1), room: map[int]int{0: 30, 1: 60}}
			c, a, b := pairOfBulk(t, failover.Config{Order: l})
			a.answers(only(refused(mailer.KindRejected), 0, 1))
			results := c.SendBatch(t.Context(), many(100))
			require.Equal(t, map[string]int{"a": 28, "a b": 2, "b": 58, "!": 12}, waysOf(results))
			require.Equal(t, []int{30}, a.sizes())
			require.Equal(t, []int{60}, b.sizes())
			require.EqualError(t, results[99].Err, "failover: rate limited: no room: a, b")
			counts := map[string]int{}
			for _, n := range l.told(t) {
				counts[n]++
			}
			require.Equal(t, map[string]int{"a: taken": 28, "a: a: message rejected": 2, "b: taken": 60}, counts)
		})
	})
	t.Run("as many as the Limiter allows in its time, the others to the next", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, b := &bulk{service: service{name: "a"}, max: 100}, &bulk{service: service{name: "b"}, max: 100}
			c := chainOf(t, failover.Config{}, failover.Target{Sender: a, Limiter: rate.NewLimiter(10, 10)}, b)
			start := time.Now()
			require.Equal(t, map[string]int{"a": 20, "b": 80}, waysOf(c.SendBatch(t.Context(), many(100))))
			require.Equal(t, []int{20}, a.sizes(), "ten at once and ten in a second")
			require.Equal(t, []int{80}, b.sizes())
			require.Equal(t, time.Second, time.Since(start))
		})
	})
	t.Run("the Limiter is told once of what ended alike", func(t *testing.T) {
		a, own := &bulk{service: service{name: "a"}, max: 100}, &tallying{}
		c := chainOf(t, failover.Config{}, failover.Target{Sender: a, Limiter: own})
		a.answers(func(_ context.Context, m mailer.Message) error {
			switch {
			case strings.HasSuffix(m.ID, "1"):
				return refused(mailer.KindRateLimited)
			case strings.HasSuffix(m.ID, "2"):
				return &mailer.Error{Kind: mailer.KindRateLimited}
			}
			return nil
		})
		c.SendBatch(t.Context(), many(100))
		require.ElementsMatch(t, []string{"80 <nil>", "10 a: rate limited", "10 rate limited [may have been sent]"}, own.notes)
	})
}

// tallying is a Limiter that allows all.
type tallying struct{ notes []string }

func (*tallying) WaitN(context.Context, int) error { return nil }

func (l *tallying) Ended(n int, err error) { l.notes = append(l.notes, fmt.Sprint(n, " ", err)) }

func TestBatchTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &bulk{service: service{name: "a"}, max: 100}, &bulk{service: service{name: "b"}, max: 100}
		c := chainOf(t, failover.Config{}, failover.Target{Sender: a, Retries: 1}, b)
		first := true
		a.answers(func(_ context.Context, m mailer.Message) error {
			switch {
			case strings.HasSuffix(m.ID, "1"):
				return refused(mailer.KindUnavailable)
			case strings.HasSuffix(m.ID, "2") && first:
				return refused(mailer.KindNetwork)
			case strings.HasSuffix(m.ID, "3"):
				return refused(mailer.KindRejected)
			}
			return nil
		})
		a.while = func(context.Context) { first = len(a.calls) == 1 }
		start := time.Now()
		results := c.SendBatch(t.Context(), many(100))
		require.Equal(t, map[string]int{"a": 70, "a a": 10, "a a b": 10, "a b": 10}, waysOf(results))
		require.Equal(t, []int{20, 100}, a.sizes())
		require.Equal(t, []int{10, 10}, b.sizes())
		require.LessOrEqual(t, time.Since(start), time.Second)
		require.Zero(t, c.Health()[0].Strikes, "ten were taken in the same call")
	})
}
