package failover_test

import (
	"context"
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

// hangs is the answer of a service that gives none.
func hangs(ctx context.Context, _ mailer.Message) error {
	<-ctx.Done()
	return &mailer.Error{Kind: mailer.KindNetwork}
}

// stream sends a message every interval, for as long, and returns how many went by
// whom and how many failed.
func stream(c *failover.Chain, interval, long time.Duration) map[string]int {
	var mu sync.Mutex
	var all sync.WaitGroup
	ways := map[string]int{}
	for i := range int(long / interval) {
		all.Go(func() {
			r, err := c.Send(context.Background(), numbered(i))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				r.Provider = "nobody"
			}
			ways[r.Provider]++
		})
		time.Sleep(interval)
	}
	all.Wait()
	return ways
}

func TestASilentTargetIsPassedBy(t *testing.T) {
	t.Run("as soon as several messages wait for three seconds", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, _ := pair(t, failover.Config{AttemptTimeout: 30 * time.Second})
			a.answers(hangs)
			done := make(chan map[string]int)
			go func() { done <- stream(c, 100*time.Millisecond, 20*time.Second) }()
			time.Sleep(2950 * time.Millisecond)
			require.Equal(t, failover.Well, c.Health()[0].State)
			time.Sleep(100 * time.Millisecond)
			require.Equal(t, failover.Silent, c.Health()[0].State)
			require.Equal(t, "silent", c.Health()[0].State.String())
			require.Zero(t, c.Health()[0].Strikes)
			ways := <-done
			require.Equal(t, 31, ways["nobody"], "those of the first three seconds")
			require.Equal(t, 169, ways["b"])
			require.Equal(t, failover.Resting, c.Health()[0].State, "time-outs are strikes")
		})
	})
	t.Run("or sooner, if it is known to be quicker", func(t *testing.T) {
		for _, c := range []struct {
			usual    []time.Duration // in turn
			patience time.Duration
		}{
			{[]time.Duration{0}, 500 * time.Millisecond},
			{[]time.Duration{time.Second}, time.Second}, // no deviation left
			{[]time.Duration{500 * time.Millisecond, 700 * time.Millisecond}, time.Second},
			{[]time.Duration{4 * time.Second}, 3 * time.Second},
			{append(slices.Repeat([]time.Duration{2 * time.Second}, 10), make([]time.Duration, 40)...), 500 * time.Millisecond},
		} {
			synctest.Test(t, func(t *testing.T) {
				chain, a, _ := pair(t, failover.Config{AttemptTimeout: 30 * time.Second})
				n := 0
				a.answers(func(context.Context, mailer.Message) error {
					time.Sleep(c.usual[n%len(c.usual)])
					n++
					return nil
				})
				for range 50 {
					via(t, chain)
				}
				a.answers(hangs)
				for i := range 3 {
					go func() { _, _ = chain.Send(context.Background(), numbered(i)) }()
				}
				time.Sleep(c.patience * 95 / 100)
				require.Equal(t, failover.Well, chain.Health()[0].State, "%v", c.usual)
				time.Sleep(c.patience / 10)
				require.Equal(t, failover.Silent, chain.Health()[0].State, "%v", c.usual)
				time.Sleep(time.Minute)
			})
		}
	})
	t.Run("but a batch call is given three", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, b := &bulk{max: 100}, &bulk{max: 100}
			a.name, b.name = "a", "b"
			c := chainOf(t, failover.Config{AttemptTimeout: 20 * time.Second}, a, b)
			for range 20 {
				via(t, c)
			}
			a.answers(hangs)
			for range 3 {
				go c.SendBatch(context.Background(), many(10))
			}
			time.Sleep(2900 * time.Millisecond)
			require.Equal(t, failover.Well, c.Health()[0].State)
			time.Sleep(200 * time.Millisecond)
			require.Equal(t, failover.Silent, c.Health()[0].State)
			time.Sleep(time.Minute)
		})
	})
	t.Run("and tried again as soon as it answers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, _ := pair(t, failover.Config{})
			wakes := make(chan struct{})
			a.answers(func(context.Context, mailer.Message) error { <-wakes; return nil })
			var all sync.WaitGroup
			for i := range 3 {
				all.Go(func() { _, _ = c.Send(context.Background(), numbered(i)) })
			}
			time.Sleep(4 * time.Second)
			require.Equal(t, "b", sendEach(t, c, numbered(3)))
			close(wakes)
			all.Wait()
			require.Equal(t, "a", sendEach(t, c, numbered(4)))
		})
	})
	t.Run("which is not the message's fault, if nobody else takes it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, b := pair(t, failover.Config{})
			a.answers(hangs)
			var all sync.WaitGroup
			for i := range 3 {
				all.Go(func() { _, _ = c.Send(context.Background(), numbered(i)) })
			}
			time.Sleep(4 * time.Second)
			b.fails(refused(mailer.KindTooLarge))
			_, err := c.Send(t.Context(), numbered(3))
			require.EqualError(t, err, "failover: network failure: silent: a: 1 attempt: b: a: message too large")
			require.True(t, mailer.NotSent(err))
			all.Wait()
		})
	})
	t.Run("but not for two slow messages", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, _ := pair(t, failover.Config{})
			a.answers(hangs)
			for i := range 2 {
				go func() { _, _ = c.Send(context.Background(), numbered(i)) }()
			}
			time.Sleep(10 * time.Second)
			require.Equal(t, failover.Well, c.Health()[0].State)
			a.recovers()
			require.Equal(t, "a", sendEach(t, c, numbered(2)))
			time.Sleep(time.Minute)
		})
	})
	t.Run("nor if it answers some of them, or refuses", func(t *testing.T) {
		for name, answer := range map[string]error{"takes": nil, "refuses": refused(mailer.KindRejected)} {
			synctest.Test(t, func(t *testing.T) {
				c, a, _ := pair(t, failover.Config{})
				a.answers(func(ctx context.Context, m mailer.Message) error {
					time.Sleep(5 * time.Second) // slow, but steady
					return answer
				})
				var all sync.WaitGroup
				for i := range 100 {
					all.Go(func() { _, _ = c.Send(context.Background(), message()) })
					time.Sleep(200 * time.Millisecond)
					if i > 30 {
						require.Equal(t, failover.Well, c.Health()[0].State, name)
					}
				}
				all.Wait()
			})
		}
	})
	t.Run("and is tried anyway if there is no other", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := &service{name: "a"}
			c := chainOf(t, failover.Config{AttemptTimeout: 10 * time.Second}, a)
			a.answers(hangs)
			for i := range 3 {
				go func() { _, _ = c.Send(context.Background(), numbered(i)) }()
			}
			time.Sleep(5 * time.Second)
			require.Equal(t, failover.Silent, c.Health()[0].State)
			a.recovers()
			require.Equal(t, "a", sendEach(t, c, numbered(3)))
			time.Sleep(time.Minute)
		})
	})
	t.Run("and is tried anyway by a batch if there is no other", func(t *testing.T) {
		for name, sender := range map[string]func(s *service) mailer.Sender{
			"one by one":       func(s *service) mailer.Sender { return s },
			"in calls of four": func(s *service) mailer.Sender { return &bulk{max: 4, service: service{name: "a"}} },
		} {
			synctest.Test(t, func(t *testing.T) {
				gate := make(chan struct{})
				s := &service{name: "a"}
				a := sender(s)
				if b, ok := a.(*bulk); ok {
					s = &b.service
				}
				c := chainOf(t, failover.Config{}, a)
				s.answers(func(context.Context, mailer.Message) error { <-gate; return nil })
				for i := range 3 {
					go func() { _, _ = c.Send(context.Background(), numbered(i)) }()
				}
				time.Sleep(5 * time.Second)
				require.Equal(t, failover.Silent, c.Health()[0].State, name)
				s.recovers()
				for _, r := range c.SendBatch(t.Context(), many(10)) {
					require.NoError(t, r.Err, name)
				}
				close(gate)
			})
		}
	})
	t.Run("in a batch as well", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, b := &bulk{max: 100}, &bulk{max: 100}
			a.name, b.name = "a", "b"
			c := chainOf(t, failover.Config{AttemptTimeout: 20 * time.Second}, a, b)
			a.answers(hangs)
			send := func(from int) []mailer.Result {
				var ms []mailer.Message
				for i := range 10 {
					ms = append(ms, numbered(from+i))
				}
				return c.SendBatch(context.Background(), ms)
			}
			for i := range 3 {
				go send(10 * i)
			}
			time.Sleep(5 * time.Second)
			for _, r := range send(100) {
				require.Equal(t, "b", r.Receipt.Provider)
			}
			time.Sleep(time.Minute)
		})
	})
}

func TestAfterARestTrustComesSlowly(t *testing.T) {
	for _, c := range []struct {
		taken int
		state failover.State
	}{{1, failover.Resting}, {49, failover.Resting}, {50, failover.Well}} {
		t.Run(fmt.Sprintf("after %d messages one strike leaves it %s", c.taken, c.state), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				chain, a, _ := pair(t, failover.Config{Rest: time.Minute})
				down := refused(mailer.KindUnavailable)
				a.fails(down)
				for i := range 3 {
					sendEach(t, chain, numbered(i))
				}
				require.Equal(t, failover.Resting, chain.Health()[0].State)
				time.Sleep(time.Minute)
				a.recovers()
				for i := range c.taken {
					require.Equal(t, "a", sendEach(t, chain, numbered(10+i)))
				}
				a.fails(down)
				require.Equal(t, "b", sendEach(t, chain, numbered(3)))
				require.Equal(t, c.state, chain.Health()[0].State)
				if c.state == failover.Resting {
					require.Greater(t, time.Until(chain.Health()[0].RestUntil), 89*time.Second, "longer than before")
				}
			})
		})
	}
}
