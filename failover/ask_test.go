package failover_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/failover"
)

// inDoubt is a failure after which the message may be out.
func inDoubt(k mailer.Kind) error { return &mailer.Error{Provider: "a", Kind: k} }

// A target that rests for a message that may be out is asked, before it is given
// another one that might go the same way.
func TestATargetThatLeftDoubtIsAskedFirst(t *testing.T) {
	// resting returns a chain whose first target came to rest for failure.
	resting := func(t *testing.T, failure error) (c *failover.Chain, a *verifying, b *service) {
		a, b = &verifying{service: service{name: "a"}}, &service{name: "b"}
		c = chainOf(t, failover.Config{Rest: time.Minute, Strikes: 1}, wrapper{a}, b)
		a.verify = func(context.Context) error {
			t.Error("asked")
			return nil
		}
		a.fails(failure)
		_, _ = c.Send(t.Context(), message())
		require.Equal(t, failover.Resting, c.Health()[0].State)
		time.Sleep(time.Minute)
		return c, a, b
	}
	t.Run("and is given a message when it answers, whatever it says", func(t *testing.T) {
		for name, answer := range map[string]error{
			"yes": nil, "a key that may only send": refused(mailer.KindUnauthorized),
			"not so fast": refused(mailer.KindRateLimited), "anything": errors.New("what?"),
		} {
			synctest.Test(t, func(t *testing.T) {
				c, a, _ := resting(t, inDoubt(mailer.KindNetwork))
				asked := 0
				a.verify = func(context.Context) error { asked++; return answer }
				a.recovers()
				require.Equal(t, "a", via(t, c), name)
				require.Equal(t, "a", via(t, c), name)
				require.Equal(t, 1, asked, "once: it is well again")
			})
		}
	})
	t.Run("and rests on if it does not, or if it is down", func(t *testing.T) {
		for name, verify := range map[string]func(context.Context) error{
			"silent":     func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
			"as adapter": func(ctx context.Context) error { <-ctx.Done(); return refused(mailer.KindNetwork) },
			"down":       func(context.Context) error { time.Sleep(5 * time.Second); return refused(mailer.KindUnavailable) },
		} {
			synctest.Test(t, func(t *testing.T) {
				c, a, _ := resting(t, inDoubt(mailer.KindNetwork))
				a.verify = verify
				calls, start := a.calls(), time.Now()
				r, err := c.Send(t.Context(), message())
				require.NoError(t, err, name)
				require.Equal(t, 5*time.Second, time.Since(start), name)
				require.Equal(t, calls, a.calls(), "%s: no message", name)
				require.Equal(t, "a b", way(r.Attempts))
				require.True(t, mailer.NotSent(r.Attempts[0].Err), name)
				require.ErrorContains(t, r.Attempts[0].Err, "was given no message")
				h := c.Health()[0]
				require.Equal(t, failover.Resting, h.State, name)
				require.Greater(t, time.Until(h.RestUntil), time.Minute, "%s: longer than before", name)
				require.False(t, mailer.NotSent(h.LastError), "%s: it is still in doubt", name)

				time.Sleep(2 * time.Minute)
				require.Equal(t, "a b", via(t, c), name)
				require.Equal(t, calls, a.calls(), "%s: asked again", name)
			})
		}
	})
	t.Run("unless it says that it is down, and there is no other", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := &verifying{service: service{name: "a"}}
			a.verify = func(context.Context) error { return refused(mailer.KindUnavailable) }
			c := chainOf(t, failover.Config{Strikes: 1}, a)
			a.fails(inDoubt(mailer.KindNetwork))
			_, err := c.Send(t.Context(), message())
			require.Error(t, err)
			a.recovers()
			require.Equal(t, failover.Resting, c.Health()[0].State)
			require.Equal(t, "a", via(t, c))
			require.Equal(t, failover.Well, c.Health()[0].State)
		})
	})
	t.Run("for no longer than half the time of the attempt", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, _ := resting(t, inDoubt(mailer.KindNetwork))
			a.verify = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
			ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second) // four for each target
			defer cancel()
			start := time.Now()
			_, err := c.Send(ctx, message())
			require.NoError(t, err)
			require.Equal(t, 2*time.Second, time.Since(start))
		})
	})
	t.Run("which is no strike if the caller gives up", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, _ := resting(t, inDoubt(mailer.KindNetwork))
			a.verify = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			_, err := c.Send(ctx, message())
			require.ErrorIs(t, err, mailer.KindCanceled)
			require.True(t, mailer.NotSent(err))
			require.Equal(t, failover.Probing, c.Health()[0].State)
			a.verify = func(context.Context) error { return nil }
			a.recovers()
			require.Equal(t, "a", via(t, c), "the slot is free")
		})
	})
	t.Run("but not one whose failure was clear", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, _ := resting(t, refused(mailer.KindUnavailable))
			a.recovers()
			require.Equal(t, "a", via(t, c))
		})
	})
	t.Run("nor one that is well", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := &verifying{service: service{name: "a"}, verify: func(context.Context) error { t.Error("asked"); return nil }}
			c := chainOf(t, failover.Config{}, a)
			a.fails(inDoubt(mailer.KindNetwork))
			_, err := c.Send(t.Context(), message())
			require.Error(t, err)
			a.recovers()
			via(t, c)
		})
	})
	t.Run("before a message comes back that the others refused", func(t *testing.T) {
		for _, c := range []struct {
			name   string
			kind   mailer.Kind
			answer error
			way    string
			called int
		}{
			{"it answers again", mailer.KindNetwork, nil, "b a", 1},
			{"it is still silent", mailer.KindNetwork, refused(mailer.KindNetwork), "b a", 0},
			{"it answered with errors, and might again", mailer.KindUnavailable, nil, "b", 0},
		} {
			synctest.Test(t, func(t *testing.T) {
				chain, a, b := resting(t, inDoubt(c.kind))
				a.verify = func(context.Context) error { return refused(c.kind) }
				via(t, chain) // it rests on
				a.verify = func(context.Context) error { return c.answer }
				a.recovers()
				b.fails(refused(mailer.KindContent))
				calls := a.calls()
				r, err := chain.Send(t.Context(), message())
				attempts := r.Attempts
				if all, ok := errors.AsType[*failover.AttemptsError](err); ok {
					attempts = all.Attempts
				}
				require.Equal(t, c.way, way(attempts), c.name)
				require.Equal(t, c.called, a.calls()-calls, c.name)
				require.Equal(t, c.called == 1, err == nil, c.name)
				require.True(t, err == nil || mailer.NotSent(err), c.name)
			})
		}
	})
}

// A target that was probed by another message when this one passed it by may be well
// by the time all the others have failed it.
func TestATargetThatIsWellMeanwhile(t *testing.T) {
	for name, send := range bothWays(t) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, a, b := pair(t, failover.Config{Rest: time.Minute})
				a.fails(refusedFor(mailer.KindRateLimited, time.Minute))
				require.Equal(t, "a b", via(t, c))
				time.Sleep(time.Minute)
				a.answers(func(_ context.Context, m mailer.Message) error {
					if m.ID == "m7" {
						time.Sleep(time.Second)
					}
					return nil
				})
				b.answers(func(context.Context, mailer.Message) error {
					time.Sleep(2 * time.Second)
					return refused(mailer.KindContent)
				})
				done := make(chan struct{})
				go func() {
					defer close(done)
					_, err := c.Send(context.Background(), numbered(7))
					require.NoError(t, err)
				}()
				synctest.Wait()
				require.Equal(t, failover.Probing, c.Health()[0].State)
				r, err := send(c)
				require.NoError(t, err)
				require.Equal(t, "b a", way(r.Attempts))
				<-done
			})
		})
	}
}
