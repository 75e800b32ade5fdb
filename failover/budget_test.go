package failover_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"
	"pgregory.net/rapid"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/failover"
)

// metered is a service that tells what is left, a millisecond after it was asked.
type metered struct {
	service
	asked atomic.Int64
	quota func(ctx context.Context) (mailer.Quota, error)
}

func (s *metered) Quota(ctx context.Context) (mailer.Quota, error) {
	s.asked.Add(1)
	time.Sleep(time.Millisecond)
	return s.quota(ctx)
}

func (s *metered) tells(q mailer.Quota) {
	s.quota = func(context.Context) (mailer.Quota, error) { return q, nil }
}

// answered lets a question that is under way end.
func answered() { time.Sleep(time.Millisecond); synctest.Wait() }

func allow(name string, a failover.Allowance) map[string]failover.Allowance {
	return map[string]failover.Allowance{name: a}
}

// to is a message to n recipients.
func to(n int) mailer.Message {
	m := message()
	m.To = nil
	for i := range n {
		m.To = append(m.To, mailer.Address{Address: fmt.Sprint("r", i, "@example.com")})
	}
	return m
}

// viaTo sends a message to n recipients that has to go this way.
func viaTo(t testing.TB, s mailer.Sender, n int, want string) {
	t.Helper()
	r, err := s.Send(t.Context(), to(n))
	require.NoError(t, err)
	require.Equal(t, want, way(r.Attempts), "%d recipients", n)
}

// viaTimes sends n messages that have to go this way.
func viaTimes(t testing.TB, s mailer.Sender, n int, want string) {
	t.Helper()
	for i := range n {
		require.Equal(t, want, via(t, s), "message %d of %d", i+1, n)
	}
}

// failureOf sends a message that has to fail, and returns the chain's own error.
func failureOf(t testing.TB, s mailer.Sender) *mailer.Error {
	t.Helper()
	_, err := s.Send(t.Context(), message())
	e, ok := errors.AsType[*mailer.Error](err)
	require.True(t, ok, "%v", err)
	return e
}

func TestBudgetOfADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, a, _ := pair(t, failover.Config{Order: &failover.Budget{Allow: allow("a", failover.Allowance{Day: 3})}})
		viaTimes(t, c, 3, "a")
		viaTimes(t, c, 3, "b")
		time.Sleep(24*time.Hour - time.Nanosecond) // the clock began at midnight
		viaTimes(t, c, 1, "b")
		time.Sleep(time.Nanosecond)
		viaTimes(t, c, 3, "a")
		viaTimes(t, c, 1, "b")
		require.Equal(t, 6, a.calls(), "a target without credits is not asked")
	})
}

func TestBudgetOfAMonth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, _ := pair(t, failover.Config{Order: &failover.Budget{Allow: allow("a", failover.Allowance{Day: 3, Month: 5})}})
		viaTimes(t, c, 3, "a")
		viaTimes(t, c, 1, "b")
		time.Sleep(24 * time.Hour)
		viaTimes(t, c, 2, "a")
		viaTimes(t, c, 1, "b")
		time.Sleep(30*24*time.Hour - time.Nanosecond)
		require.Equal(t, time.January, time.Now().UTC().Month())
		viaTimes(t, c, 1, "b")
		time.Sleep(time.Nanosecond)
		viaTimes(t, c, 3, "a")
		viaTimes(t, c, 1, "b")
	})
}

func TestBudgetOfABatch(t *testing.T) {
	c, a, b := pair(t, failover.Config{Order: &failover.Budget{
		Inner: &failover.Weighted{},
		Allow: allow("a", failover.Allowance{Day: 30}),
	}})
	a.answers(func(_ context.Context, m mailer.Message) error {
		if m.Subject == "odd" {
			return refused(mailer.KindContent)
		}
		return nil
	})
	ms := make([]mailer.Message, 100)
	for i := range ms {
		ms[i] = message()
		ms[i].ID = ""
	}
	ms[7].Subject, ms[8].Subject = "odd", "odd" // one of both goes to a first
	by := map[string]int{}
	for _, r := range c.SendBatch(t.Context(), ms) {
		require.NoError(t, r.Err)
		by[r.Receipt.Provider]++
	}
	require.Contains(t, []int{29, 30}, by["a"], "as much as there is, but for what was given back too late")
	require.Equal(t, 100, by["a"]+by["b"])
	require.Equal(t, by["b"], b.calls())
	viaTimes(t, c, 30-by["a"], "a")
	viaTimes(t, c, 2, "b")
}

func TestBudgetCountsRecipients(t *testing.T) {
	of := func(t *testing.T, day int64) (c *failover.Chain, a, b *service) {
		return pair(t, failover.Config{Order: &failover.Budget{Allow: allow("a", failover.Allowance{Day: day})}})
	}
	t.Run("To, Cc and Bcc", func(t *testing.T) {
		c, _, _ := of(t, 6)
		m := to(2)
		m.Cc, m.Bcc = to(2).To, to(1).To
		r, err := c.Send(t.Context(), m)
		require.NoError(t, err)
		require.Equal(t, "a", way(r.Attempts))
		viaTo(t, c, 1, "a")
		viaTo(t, c, 1, "b")
	})
	t.Run("what is too much for one message is there for another", func(t *testing.T) {
		c, _, _ := of(t, 10)
		viaTo(t, c, 5, "a")
		viaTo(t, c, 1, "a")
		for range 3 {
			viaTo(t, c, 5, "b")
		}
		viaTo(t, c, 1, "a")
		viaTo(t, c, 3, "a")
		viaTo(t, c, 1, "b")
	})
	t.Run("a refusal gives all back", func(t *testing.T) {
		c, a, _ := of(t, 5)
		a.fails(refused(mailer.KindRejected))
		viaTo(t, c, 5, "a b")
		a.recovers()
		viaTo(t, c, 5, "a")
		viaTo(t, c, 1, "b")
	})
	t.Run("a refusal of some costs all", func(t *testing.T) {
		a := mailer.SenderFunc(func(_ context.Context, m mailer.Message) (mailer.Receipt, error) {
			return mailer.Receipt{Rejected: []mailer.Rejection{{Address: m.To[0].Address, Err: refused(mailer.KindRecipient)}}}, nil
		})
		c := chainOf(t, failover.Config{Order: &failover.Budget{Allow: allow("a", failover.Allowance{Day: 5})}},
			failover.Target{Name: "a", Sender: a}, &service{name: "b"})
		viaTo(t, c, 5, "a")
		viaTo(t, c, 1, "b")
	})
	t.Run("of what a service says is left", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := &metered{service: service{name: "a"}}
			a.tells(mailer.Quota{Limit: 100, Remaining: 7})
			c := chainOf(t, failover.Config{Order: &failover.Budget{}}, a, &service{name: "b"})
			a.fails(refused(mailer.KindRejected))
			viaTo(t, c, 5, "a b")
			a.recovers()
			answered()
			viaTo(t, c, 5, "a")
			viaTo(t, c, 3, "b")
			viaTo(t, c, 2, "a")
			viaTo(t, c, 1, "b")
		})
	})
	t.Run("of each message of a batch", func(t *testing.T) {
		a, b := &bulk{service: service{name: "a"}, max: 10}, &bulk{service: service{name: "b"}, max: 10}
		c := chainOf(t, failover.Config{Order: &failover.Budget{Allow: allow("a", failover.Allowance{Day: 10})}}, a, b)
		a.answers(only(refused(mailer.KindRejected), 5))
		ms := []mailer.Message{to(5), to(6), to(3), to(7), to(1), to(1), to(4)}
		var ways []string
		for i := range ms {
			ms[i].ID = numbered(i).ID
		}
		for i, r := range c.SendBatch(t.Context(), ms) {
			require.NoError(t, r.Err)
			require.Equal(t, ms[i].ID, r.Receipt.ID)
			ways = append(ways, way(r.Receipt.Attempts))
		}
		require.Equal(t, []string{"a", "b", "a", "b", "a", "a b", "b"}, ways)
		require.Equal(t, []int{4}, a.sizes(), "those for which there is room go together")
		viaTo(t, c, 1, "a")
		viaTo(t, c, 1, "b")
	})
	t.Run("of a batch that finds no room at the Limiter", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, b := &bulk{service: service{name: "a"}, max: 10}, &bulk{service: service{name: "b"}, max: 10}
			limiter := rate.NewLimiter(0.1, 1)
			c := chainOf(t, failover.Config{Order: &failover.Budget{Allow: allow("a", failover.Allowance{Day: 10})}},
				failover.Target{Sender: a, Limiter: limiter}, b)
			ms := []mailer.Message{to(3), to(4), to(2)}
			for i := range ms {
				ms[i].ID = numbered(i).ID
			}
			require.Equal(t, map[string]int{"a": 1, "b": 2}, waysOf(c.SendBatch(t.Context(), ms)))
			limiter.SetLimit(rate.Inf)
			viaTo(t, c, 7, "a")
			viaTo(t, c, 1, "b")
		})
	})
}

// A message with more recipients than there ever will be credits does not go there,
// and tomorrow is no better.
func TestBudgetOfFewerThanTheRecipients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, small := &service{name: "a"}, &service{name: "b"}, &service{name: "small"}
		c := chainOf(t, failover.Config{Order: &failover.Budget{Allow: map[string]failover.Allowance{
			"a": {Day: 3}, "b": {Day: 20, Month: 5}, "small": {Day: 1},
		}}}, a, b, small)
		send := func(n int) *mailer.Error {
			_, err := c.Send(t.Context(), to(n))
			e, ok := errors.AsType[*mailer.Error](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, mailer.KindQuota, e.Kind)
			require.True(t, e.NotSent)
			return e
		}
		require.Zero(t, send(6).RetryAfter)
		require.Zero(t, a.calls()+b.calls()+small.calls())
		viaTo(t, c, 5, "b")
		require.Equal(t, 31*24*time.Hour, send(5).RetryAfter, "the month, not the day of a")
		viaTo(t, c, 3, "a")
		require.Equal(t, 24*time.Hour, send(3).RetryAfter)
	})
}

func TestBudgetsUsedUpEndASendWithoutTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, a, b := pair(t, failover.Config{Order: &failover.Budget{Allow: map[string]failover.Allowance{
			"a": {Month: 1}, "b": {Day: 1},
		}}})
		viaTimes(t, c, 1, "a")
		viaTimes(t, c, 1, "b")
		time.Sleep(20 * time.Hour)
		e := failureOf(t, c)
		require.Equal(t, mailer.KindQuota, e.Kind)
		require.True(t, e.NotSent)
		require.Equal(t, 4*time.Hour, e.RetryAfter, "the credits that come first")
		require.ErrorContains(t, e, "too few credits: a, b")
		require.Equal(t, 2, a.calls()+b.calls())
		time.Sleep(e.RetryAfter)
		viaTimes(t, c, 1, "b")
	})
}

func TestWhatCostsACredit(t *testing.T) {
	for _, c := range []struct {
		name  string
		err   error
		costs bool
	}{
		{"a message that was taken", nil, true},
		{"a refusal", refused(mailer.KindRejected), false},
		{"an unknown outcome", &mailer.Error{Kind: mailer.KindNetwork}, true},
		{"an error of another make", errors.New("?"), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				chain, a, _ := pair(t, failover.Config{Order: &failover.Budget{Allow: allow("a", failover.Allowance{Day: 2})}})
				if c.err != nil {
					a.fails(c.err)
				}
				_, _ = chain.Send(t.Context(), message())
				a.recovers()
				viaTimes(t, chain, 1, "a")
				if !c.costs {
					viaTimes(t, chain, 1, "a")
				}
				viaTimes(t, chain, 1, "b")
			})
		})
	}
}

func TestAPanicCostsACredit(t *testing.T) {
	c, a, _ := pair(t, failover.Config{Order: &failover.Budget{Allow: allow("a", failover.Allowance{Day: 1})}})
	a.answers(func(context.Context, mailer.Message) error { panic("?") })
	require.Panics(t, func() { _, _ = c.Send(t.Context(), message()) })
	viaTimes(t, c, 1, "b")
}

// Whatever many senders at once do, no message is handed over without a credit,
// and none of the credits is lost.
func TestBudgetIsNeverExceeded(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		day := rapid.Int64Range(1, 100).Draw(rt, "day")
		left := rapid.Int64Range(0, 100).Draw(rt, "left")
		failing := rapid.IntRange(0, 3).Draw(rt, "failing")
		widest := rapid.IntRange(1, 7).Draw(rt, "recipients")
		synctest.Test(t, func(t *testing.T) {
			a, b := &metered{service: service{name: "a"}}, &service{name: "b"}
			a.tells(mailer.Quota{Limit: 200, Remaining: left})
			c := chainOf(t, failover.Config{Order: &failover.Budget{Allow: allow("a", failover.Allowance{Day: day})}}, a, b)
			b.fails(refused(mailer.KindRejected))
			// The first message lets the service be asked.
			a.fails(refused(mailer.KindRejected))
			_, _ = c.Send(t.Context(), message())
			answered()

			var n, taken, most, now atomic.Int64 // all but n in recipients
			a.answers(func(_ context.Context, m mailer.Message) error {
				size := int64(len(m.To))
				inside := now.Add(size)
				for top := most.Load(); inside > top && !most.CompareAndSwap(top, inside); top = most.Load() {
				}
				time.Sleep(time.Millisecond)
				now.Add(-size)
				if failing > 0 && n.Add(1)%int64(failing+1) == 0 {
					return refused(mailer.KindRejected)
				}
				taken.Add(size)
				return nil
			})
			var wg sync.WaitGroup
			for i := range 64 {
				wg.Go(func() {
					for k := range 6 {
						_, _ = c.Send(t.Context(), to(1+(i+k)%widest))
						time.Sleep(time.Millisecond)
					}
				})
			}
			wg.Wait()
			want := min(day, left)
			require.LessOrEqual(t, taken.Load(), want)
			a.answers(func(context.Context, mailer.Message) error { taken.Add(1); return nil })
			for range want + 1 { // what was given back at last is still there
				_, _ = c.Send(t.Context(), message())
			}
			require.Equal(t, want, taken.Load())
			require.LessOrEqual(t, most.Load(), want, "and never more under way than there are credits")
		})
	})
}

// A message that is under way at midnight belongs to the day on which it began.
func TestBudgetAtMidnight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, a, _ := pair(t, failover.Config{Order: &failover.Budget{Allow: allow("a", failover.Allowance{Day: 2})}})
		time.Sleep(24*time.Hour - time.Second)
		a.answers(func(context.Context, mailer.Message) error {
			time.Sleep(2 * time.Second)
			return refused(mailer.KindRejected)
		})
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { _, _ = c.Send(context.Background(), message()) })
		}
		time.Sleep(1500 * time.Millisecond)
		a.recovers()
		viaTimes(t, c, 1, "a")
		wg.Wait() // both are refused, which gives back nothing of today's
		viaTimes(t, c, 1, "a")
		viaTimes(t, c, 1, "b")
	})
}

func TestAQuotaReporterIsAskedWithoutDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &metered{service: service{name: "a"}}
		a.quota = func(ctx context.Context) (mailer.Quota, error) {
			<-ctx.Done()
			return mailer.Quota{}, ctx.Err()
		}
		other := &metered{service: service{name: "b"}}
		other.tells(mailer.Quota{Limit: -1, Remaining: -1})
		c := chainOf(t, failover.Config{Order: &failover.Budget{Every: 5 * time.Second}}, a, other)
		start := time.Now()
		for range 10 {
			viaTimes(t, c, 10, "a")
			synctest.Wait()
		}
		require.Equal(t, start, time.Now())
		require.Equal(t, int64(1), a.asked.Load(), "at most one question is under way")
		time.Sleep(29 * time.Second)
		viaTimes(t, c, 1, "a")
		synctest.Wait()
		require.Equal(t, int64(1), a.asked.Load(), "also if it is time for the next")
		time.Sleep(2 * time.Second)
		viaTimes(t, c, 1, "a")
		synctest.Wait()
		require.Equal(t, int64(2), a.asked.Load())
		time.Sleep(30 * time.Second) // then the question ends, or the bubble would not
	})
}

func TestAQuotaReporterThatFailsIsNotAskedMoreOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &metered{service: service{name: "a"}}
		a.quota = func(context.Context) (mailer.Quota, error) { return mailer.Quota{}, refused(mailer.KindNetwork) }
		c := chainOf(t, failover.Config{Order: &failover.Budget{}}, a)
		for range 3600 {
			viaTimes(t, c, 1, "a")
			time.Sleep(time.Second)
		}
		require.Equal(t, int64(12), a.asked.Load())
	})
}

func TestAQuotaReporterIsAskedSeldom(t *testing.T) {
	for every, want := range map[time.Duration]int64{0: 12, time.Minute: 60, -1: 0} {
		synctest.Test(t, func(t *testing.T) {
			a := &metered{service: service{name: "a"}}
			a.tells(mailer.Quota{Limit: -1, Remaining: -1})
			c := chainOf(t, failover.Config{Order: &failover.Budget{Every: every}}, a)
			for range 3600 {
				viaTimes(t, c, 1, "a")
				time.Sleep(time.Second)
			}
			require.Equal(t, want, a.asked.Load())
		})
	}
}

func TestWhatAQuotaReporterSays(t *testing.T) {
	quota := func(t *testing.T) (c *failover.Chain, a *metered) {
		a = &metered{service: service{name: "a"}}
		t.Cleanup(answered)
		return chainOf(t, failover.Config{Order: &failover.Budget{}}, a, &service{name: "b"}), a
	}
	// read lets the service be asked by a message of which it takes no notice.
	read := func(t *testing.T, c *failover.Chain, a *metered) {
		a.fails(refused(mailer.KindRejected))
		viaTimes(t, c, 1, "a b")
		a.recovers()
		answered()
	}
	t.Run("counts together with what is sent after it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a := quota(t)
			a.tells(mailer.Quota{Limit: 100, Remaining: 5})
			read(t, c, a)
			viaTimes(t, c, 5, "a")
			viaTimes(t, c, 5, "b")
			a.tells(mailer.Quota{Limit: 100, Remaining: 3}) // somebody bought some
			time.Sleep(5 * time.Minute)
			viaTimes(t, c, 1, "b") // lets it be asked
			answered()
			viaTimes(t, c, 3, "a")
			viaTimes(t, c, 1, "b")
		})
	})
	t.Run("holds until its reset, then gives as much again and is asked", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a := quota(t)
			a.tells(mailer.Quota{Limit: 4, Remaining: 1, Reset: time.Now().Add(2 * time.Minute)})
			read(t, c, a)
			viaTimes(t, c, 1, "a")
			time.Sleep(2*time.Minute - time.Second)
			viaTimes(t, c, 1, "b")
			require.Equal(t, int64(1), a.asked.Load())
			time.Sleep(time.Second)
			a.quota = func(context.Context) (mailer.Quota, error) {
				time.Sleep(time.Minute)
				return mailer.Quota{}, refused(mailer.KindNetwork)
			}
			viaTimes(t, c, 4, "a")
			viaTimes(t, c, 1, "b")
			answered()
			require.Equal(t, int64(2), a.asked.Load())
			time.Sleep(time.Minute)
			viaTimes(t, c, 1, "b") // what was last known holds
		})
	})
	t.Run("without a reset holds until it says more", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := &metered{service: service{name: "a"}}
			t.Cleanup(answered)
			c := chainOf(t, failover.Config{Order: &failover.Budget{}}, a)
			a.tells(mailer.Quota{Limit: 100})
			viaTimes(t, c, 1, "a") // nothing is known yet
			answered()
			e := failureOf(t, c)
			require.Equal(t, mailer.KindQuota, e.Kind)
			require.Equal(t, 5*time.Minute-time.Millisecond, e.RetryAfter, "then it is asked again")
			a.tells(mailer.Quota{Limit: 100, Remaining: 2})
			time.Sleep(e.RetryAfter)
			_ = failureOf(t, c)
			answered()
			viaTimes(t, c, 2, "a")
			require.Equal(t, mailer.KindQuota, failureOf(t, c).Kind)
		})
	})
	t.Run("without an answer ever after holds for a day", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a := quota(t)
			a.tells(mailer.Quota{Limit: 3})
			read(t, c, a)
			a.quota = func(context.Context) (mailer.Quota, error) { return mailer.Quota{}, refused(mailer.KindUnauthorized) }
			time.Sleep(24*time.Hour - time.Second)
			viaTimes(t, c, 1, "b")
			time.Sleep(time.Second)
			viaTimes(t, c, 3, "a")
			viaTimes(t, c, 1, "b")
		})
	})
	t.Run("may be nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a := quota(t)
			a.tells(mailer.Quota{Limit: -1, Remaining: -1, Reset: time.Now().Add(time.Minute)})
			read(t, c, a)
			viaTimes(t, c, 50, "a")
			time.Sleep(2 * time.Minute)
			viaTimes(t, c, 50, "a")
		})
	})
	t.Run("may lack the limit that comes after the reset", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a := quota(t)
			a.tells(mailer.Quota{Limit: -1, Remaining: 1, Reset: time.Now().Add(time.Minute)})
			read(t, c, a)
			viaTimes(t, c, 1, "a")
			viaTimes(t, c, 1, "b")
			time.Sleep(time.Minute)
			viaTimes(t, c, 50, "a")
		})
	})
	t.Run("is asked for again soon after the service refused for it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a := quota(t)
			a.tells(mailer.Quota{Limit: 100, Remaining: 100})
			read(t, c, a)
			time.Sleep(8 * time.Second)
			a.tells(mailer.Quota{Limit: 100, Remaining: 0})
			a.fails(refusedFor(mailer.KindQuota, time.Second))
			viaTimes(t, c, 1, "a b")
			a.recovers()
			time.Sleep(time.Second)
			viaTimes(t, c, 1, "a")
			answered()
			require.Equal(t, int64(1), a.asked.Load(), "not twice within ten seconds")
			time.Sleep(time.Second)
			viaTimes(t, c, 1, "a")
			answered()
			require.Equal(t, int64(2), a.asked.Load())
			viaTimes(t, c, 1, "b")
		})
	})
	t.Run("may not contain what is under way", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a := quota(t)
			a.tells(mailer.Quota{Limit: 100, Remaining: 100})
			read(t, c, a)
			gate := make(chan struct{})
			a.answers(func(_ context.Context, m mailer.Message) error {
				<-gate
				if m.ID == "refused" {
					return refused(mailer.KindRejected)
				}
				return nil
			})
			var wg sync.WaitGroup
			send := func(id string) {
				m := message()
				m.ID = id
				wg.Go(func() { _, _ = c.Send(context.Background(), m) })
				synctest.Wait()
			}
			send("before")
			send("refused")
			time.Sleep(5 * time.Minute)
			a.tells(mailer.Quota{Limit: 100, Remaining: 5})
			send("during")
			answered()
			close(gate)
			wg.Wait()
			a.recovers()
			viaTimes(t, c, 3, "a") // two may come off the five yet
			viaTimes(t, c, 1, "b")
		})
	})
}

func TestBudgetAroundWeighted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		services := []*service{{name: "a"}, {name: "b"}, {name: "c"}}
		c := chainOf(t, failover.Config{Order: &failover.Budget{
			Inner: &failover.Weighted{},
			Allow: allow("a", failover.Allowance{Day: 60}),
		}},
			failover.Target{Sender: services[0], Weight: 6}, failover.Target{Sender: services[1], Weight: 3}, failover.Target{Sender: services[2]})
		for range 100 {
			via(t, c)
		}
		count := func() (n []int) {
			for _, s := range services {
				n = append(n, s.calls())
			}
			return n
		}
		require.Equal(t, []int{60, 30, 10}, count())
		for range 100 {
			via(t, c)
		}
		require.Equal(t, []int{60, 105, 35}, count(), "what has no credits leaves its part to all others")
	})
}

// inner is an Order that keeps an account, and lets messages to at most room
// recipients pass.
type inner struct {
	room, begun, ended int
	err                error
}

func (o *inner) Order(dst []int, _ mailer.Message, targets []failover.TargetInfo) ([]int, error) {
	return append(dst, 7, 1, 0), o.err
}

func (o *inner) Begin(_ int, m mailer.Message) bool {
	if len(m.To) > o.room {
		return false
	}
	o.begun += len(m.To)
	o.room -= len(m.To)
	return true
}

func (o *inner) End(_ int, m mailer.Message, _ error) { o.ended += len(m.To) }

func TestBudgetPassesOnToTheOrderInside(t *testing.T) {
	o := &inner{room: 3}
	b := &failover.Budget{Inner: o, Allow: allow("a", failover.Allowance{Day: 5})}
	targets := infos(1, 1)
	bound(t, b, targets)
	dst, err := b.Order([]int{9}, message(), targets)
	require.NoError(t, err)
	require.Equal(t, []int{9, 7, 1, 0}, dst)
	require.False(t, b.Begin(0, to(4)))
	require.True(t, b.Begin(0, to(1)))
	require.True(t, b.Begin(0, to(2)))
	b.End(0, to(1), nil)
	b.End(0, to(2), refused(mailer.KindRejected))
	require.Equal(t, []int{3, 3}, []int{o.begun, o.ended})
	o.room = 10
	require.False(t, b.Begin(0, to(5)))
	require.True(t, b.Begin(0, to(4)), "what the Order inside did not let pass cost nothing")
	dst, err = b.Order([]int{9}, message(), targets)
	require.NoError(t, err)
	require.Equal(t, []int{9, 7, 1}, dst)
	o.err = refused(mailer.KindRejected)
	_, err = b.Order(nil, message(), targets)
	require.ErrorIs(t, err, mailer.KindRejected)
}

// What one limit lets pass and another does not costs nothing.
func TestBudgetOfSeveralLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &metered{}
		a.tells(mailer.Quota{Limit: 100, Remaining: 1})
		targets := infos(1)
		targets[0].Sender = a
		b := &failover.Budget{Allow: allow("a", failover.Allowance{Day: 3})}
		bound(t, b, targets)
		require.Equal(t, "a", ordered(t, b, message(), targets))
		answered()
		require.False(t, b.Begin(0, to(3)))
		require.True(t, b.Begin(0, to(1)))
		a.tells(mailer.Quota{Limit: 100, Remaining: 99})
		time.Sleep(5 * time.Minute)
		_, err := b.Order(nil, message(), targets)
		require.ErrorIs(t, err, mailer.KindQuota)
		answered()
		require.False(t, b.Begin(0, to(3)))
		require.True(t, b.Begin(0, to(2)))
	})
}

func TestBudgetRefuses(t *testing.T) {
	for want, o := range map[string]*failover.Budget{
		`Budget: there is no target "z"`:                {Allow: allow("z", failover.Allowance{Day: 1})},
		`Budget: the Allowance of "a" is negative`:      {Allow: allow("a", failover.Allowance{Month: -1})},
		`Warm: a Share of 0 does not go with 2 targets`: {Inner: &failover.Warm{}},
	} {
		_, err := failover.New(failover.Config{Order: o}, &service{name: "a"}, &service{name: "b"})
		require.EqualError(t, err, "failover: Order: "+want)
	}
}
