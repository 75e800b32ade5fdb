package failover_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/failover"
)

// orderFunc is an Order made of a function.
type orderFunc func(dst []int, m mailer.Message, targets []failover.TargetInfo) ([]int, error)

func (f orderFunc) Order(dst []int, m mailer.Message, targets []failover.TargetInfo) ([]int, error) {
	return f(dst, m, targets)
}

// always is an Order that names the same places for every message.
func always(places ...int) orderFunc {
	return func(dst []int, _ mailer.Message, _ []failover.TargetInfo) ([]int, error) {
		return append(dst, places...), nil
	}
}

func TestOrder(t *testing.T) {
	for _, test := range []struct {
		name  string
		order failover.Order
		want  string
	}{
		{"none: as they are listed", nil, "a b c"},
		{"another one", always(2, 0, 1), "c a b"},
		{"what is left out is not tried", always(1), "b"},
		{"what stands twice is tried once", always(1, 1, 0, 1), "b a"},
		{"what does not exist is ignored", always(-1, 7, 2, 3), "c"},
		{"a slice of its own", orderFunc(func([]int, mailer.Message, []failover.TargetInfo) ([]int, error) {
			return []int{2, 2, 2, 2, 2, 2, 1}, nil
		}), "c b"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var senders []mailer.Sender
			for _, name := range []string{"a", "b", "c"} {
				s := &service{name: name}
				s.fails(refused(mailer.KindRejected))
				senders = append(senders, s)
			}
			c := chainOf(t, failover.Config{Order: test.order}, senders...)
			for range 2 {
				_, err := c.Send(t.Context(), message())
				all, ok := errors.AsType[*failover.AttemptsError](err)
				require.True(t, ok)
				require.Equal(t, test.want, way(all.Attempts))
			}
		})
	}
	t.Run("depends on the message", func(t *testing.T) {
		c, _, _ := pair(t, failover.Config{Order: orderFunc(func(dst []int, m mailer.Message, _ []failover.TargetInfo) ([]int, error) {
			return append(dst, len(m.Tags)), nil
		})})
		m := message()
		for _, want := range []string{"a", "b"} {
			r, err := c.Send(t.Context(), m)
			require.NoError(t, err)
			require.Equal(t, want, way(r.Attempts))
			m.Tags = []string{"news"}
		}
	})
	t.Run("its own memory is left alone", func(t *testing.T) {
		own := []int{1, 1, 0}
		c, _, _ := pair(t, failover.Config{Order: orderFunc(func([]int, mailer.Message, []failover.TargetInfo) ([]int, error) {
			return own, nil
		})})
		require.Equal(t, "b", via(t, c))
		require.Equal(t, []int{1, 1, 0}, own)
	})
	t.Run("naming nobody is an error without traffic", func(t *testing.T) {
		c, a, b := pair(t, failover.Config{Order: always()})
		r, err := c.Send(t.Context(), message())
		require.EqualError(t, err, "failover: unclassified failure: the Order names no target for this message")
		require.True(t, mailer.NotSent(err))
		require.Equal(t, "m1", r.ID)
		require.Zero(t, a.calls()+b.calls())
	})
	t.Run("its error keeps its kind and its time", func(t *testing.T) {
		cause := refusedFor(mailer.KindQuota, time.Hour)
		c, a, b := pair(t, failover.Config{Order: orderFunc(func([]int, mailer.Message, []failover.TargetInfo) ([]int, error) {
			return nil, cause
		})})
		_, err := c.Send(t.Context(), message())
		e, ok := errors.AsType[*mailer.Error](err)
		require.True(t, ok)
		require.Equal(t, &mailer.Error{
			Provider: "failover", Kind: mailer.KindQuota, NotSent: true, RetryAfter: time.Hour, Message: "no target may be tried", Err: cause,
		}, e)
		require.Zero(t, a.calls()+b.calls())
	})
	t.Run("many at once do not mix theirs up", func(t *testing.T) {
		c, _, _ := pair(t, failover.Config{Order: orderFunc(func(dst []int, m mailer.Message, _ []failover.TargetInfo) ([]int, error) {
			return append(dst, len(m.Tags), 1-len(m.Tags)), nil
		})})
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				m, want := message(), "a"
				if i%2 == 1 {
					m.Tags, want = []string{"news"}, "b"
				}
				for range 50 {
					if r, err := c.Send(t.Context(), m); err != nil || r.Provider != want {
						t.Errorf("%v, %v", r, err)
					}
				}
			})
		}
		wg.Wait()
	})
}

func TestOrderSeesTheTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &service{name: "a"}, &service{name: "b"}
		heavy := failover.Target{Sender: b, Weight: 5}
		var seen [][]failover.TargetInfo
		c := chainOf(t, failover.Config{Order: orderFunc(func(dst []int, m mailer.Message, targets []failover.TargetInfo) ([]int, error) {
			require.Equal(t, "m1", m.ID)
			require.Empty(t, dst)
			require.Equal(t, 2, cap(dst))
			seen = append(seen, slices.Clone(targets))
			return append(dst, 0, 1), nil
		})}, a, heavy)
		a.fails(refusedFor(mailer.KindRateLimited, time.Minute))
		require.Equal(t, "a b", via(t, c))
		require.Equal(t, "b", via(t, c))
		time.Sleep(time.Minute)
		a.recovers()
		require.Equal(t, "a", via(t, c), "home again")
		for i, resting := range []bool{false, true, false} {
			require.Equal(t, []failover.TargetInfo{
				{Name: "a", Weight: 1, Sender: a, Resting: resting}, {Name: "b", Weight: 5, Sender: heavy},
			}, seen[i])
		}
	})
}

func TestHealthHoldsInAnyOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, a, b := pair(t, failover.Config{Order: always(1, 0), Rest: time.Minute})
		b.fails(refused(mailer.KindUnauthorized))
		require.Equal(t, "b a", via(t, c))
		require.Equal(t, "a", via(t, c))
		b.recovers()
		time.Sleep(time.Minute)
		require.Equal(t, "b", via(t, c), "home again")

		// Both rest: of those in the order, the first to wake is tried anyway.
		b.fails(refused(mailer.KindUnauthorized))
		a.fails(refusedFor(mailer.KindQuota, time.Hour))
		_, err := c.Send(t.Context(), message())
		require.Error(t, err)
		b.recovers()
		require.Equal(t, "b", via(t, c))
	})
	t.Run("a target that is left out is not tried even if all others rest", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, b := pair(t, failover.Config{Order: always(1)})
			b.fails(refusedFor(mailer.KindQuota, time.Hour))
			for range 2 {
				_, err := c.Send(t.Context(), message())
				require.Equal(t, mailer.KindQuota, mailer.KindOf(err))
			}
			require.Zero(t, a.calls())
			require.Equal(t, 1, b.calls())
		})
	})
	t.Run("the time is shared among those that may follow", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, _, b := pair(t, failover.Config{Order: always(1, 0)})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			b.answers(func(ctx context.Context, _ mailer.Message) error {
				end, _ := ctx.Deadline()
				require.Equal(t, 30*time.Second, time.Until(end))
				return refused(mailer.KindRejected)
			})
			r, err := c.Send(ctx, message())
			require.NoError(t, err)
			require.Equal(t, "b a", way(r.Attempts))
		})
	})
}

// ledger is an Order that notes what it is told.
type ledger struct {
	orderFunc
	room map[int]int // messages, by target; a missing one has any

	mu    sync.Mutex
	notes []string
	open  map[string]int // by target and message
	bound []failover.TargetInfo
	err   error
}

func (l *ledger) Bind(targets []failover.TargetInfo) error {
	l.bound = targets
	return l.err
}

func (l *ledger) Begin(target int, m mailer.Message) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if room, ok := l.room[target]; ok {
		if room == 0 {
			return false
		}
		l.room[target]--
	}
	if l.open == nil {
		l.open = map[string]int{}
	}
	l.open[fmt.Sprint(target, " ", m.ID)]++
	return true
}

func (l *ledger) End(target int, m mailer.Message, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[fmt.Sprint(target, " ", m.ID)]--
	words := "taken"
	if err != nil {
		words = err.Error()
	}
	l.notes = append(l.notes, string(rune('a'+target))+": "+words)
}

// told returns what l was told since the last call, and checks that every Begin
// had its End.
func (l *ledger) told(t testing.TB) (notes []string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for of, n := range l.open {
		require.Zero(t, n, "target and message %s", of)
	}
	notes, l.notes = l.notes, nil
	return notes
}

func TestBinder(t *testing.T) {
	l := &ledger{orderFunc: always(0, 1)}
	a := &service{name: "a"}
	chainOf(t, failover.Config{Order: l}, a, failover.Target{Name: "eu", Sender: a, Weight: 3})
	require.Equal(t, []failover.TargetInfo{
		{Name: "a", Weight: 1, Sender: a}, {Name: "eu", Weight: 3, Sender: failover.Target{Name: "eu", Sender: a, Weight: 3}},
	}, l.bound)

	_, err := failover.New(failover.Config{Order: &ledger{err: errors.New("no such target: x")}}, a)
	require.EqualError(t, err, "failover: Order: no such target: x")
}

func TestLedger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{orderFunc: always(0, 1), room: map[int]int{}}
		c, a, b := pair(t, failover.Config{Order: l})
		require.Equal(t, "a", via(t, c))
		require.Equal(t, []string{"a: taken"}, l.told(t))

		a.fails(refused(mailer.KindRejected))
		require.Equal(t, "a b", via(t, c))
		require.Equal(t, []string{"a: a: message rejected", "b: taken"}, l.told(t))

		a.answers(func(context.Context, mailer.Message) error { panic("a bug") })
		require.Panics(t, func() { _, _ = c.Send(t.Context(), message()) })
		require.Equal(t, []string{"a: failover: unclassified failure: panic [may have been sent]"}, l.told(t))

		// One that has no room is passed by, without a strike.
		a.recovers()
		l.room[0] = 1
		require.Equal(t, "a", via(t, c))
		require.Equal(t, "b", via(t, c))
		require.Zero(t, c.Health()[0].Strikes)
		l.told(t)

		l.room[1] = 0
		before := a.calls() + b.calls()
		_, err := c.Send(t.Context(), message())
		require.EqualError(t, err, "failover: rate limited: no room: a, b")
		require.True(t, mailer.NotSent(err))
		require.Equal(t, before, a.calls()+b.calls())
		require.Empty(t, l.told(t))
	})
	t.Run("a target that rests is not tried because a well one has no room", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := &ledger{orderFunc: always(0, 1), room: map[int]int{}}
			c, a, b := pair(t, failover.Config{Order: l})
			a.fails(refused(mailer.KindUnauthorized))
			require.Equal(t, "a b", via(t, c))
			l.room[1] = 0
			_, err := c.Send(t.Context(), message())
			require.Equal(t, 1, a.calls())
			require.Equal(t, 1, b.calls())
			require.EqualError(t, err, "failover: unauthorized: resting: a (unauthorized); no room: b")
		})
	})
	t.Run("a probe without room frees the way for the next", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := &ledger{orderFunc: always(0, 1), room: map[int]int{}}
			c, a, _ := pair(t, failover.Config{Order: l})
			a.fails(refusedFor(mailer.KindRateLimited, time.Minute))
			require.Equal(t, "a b", via(t, c))
			time.Sleep(time.Minute)
			a.recovers()
			l.room[0] = 0
			require.Equal(t, "b", via(t, c))
			l.room[0] = 1
			require.Equal(t, "a", via(t, c))
		})
	})
}
