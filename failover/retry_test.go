package failover_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/failover"
)

func TestRetries(t *testing.T) {
	// retrying is a chain whose first target is tried up to three times.
	retrying := func(t *testing.T, cfg failover.Config) (c *failover.Chain, a, b *service) {
		a, b = &service{name: "a"}, &service{name: "b"}
		return chainOf(t, cfg, failover.Target{Sender: a, Retries: 2, RetryWait: 4 * time.Second}, b), a, b
	}
	// times lets a fail n times.
	times := func(a *service, n int, err error) {
		a.answers(func(context.Context, mailer.Message) error {
			if n--; n >= 0 {
				return err
			}
			return nil
		})
	}
	t.Run("a failure that passes is not seen but in the attempts", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var out strings.Builder
			var seen []mailer.Attempt
			c, a, _ := retrying(t, failover.Config{
				Logger:    textLogger(&out),
				OnAttempt: func(_ context.Context, a mailer.Attempt) { seen = append(seen, a) },
			})
			times(a, 2, refused(mailer.KindUnavailable))
			start := time.Now()
			r, err := c.Send(t.Context(), message())
			require.NoError(t, err)
			require.Equal(t, "a a a", way(r.Attempts))
			require.Equal(t, seen, r.Attempts)
			first := r.Attempts[1].Start.Sub(start)
			require.LessOrEqual(t, first, 4*time.Second)
			require.GreaterOrEqual(t, first, 3*time.Second)
			second := r.Attempts[2].Start.Sub(r.Attempts[1].Start)
			require.LessOrEqual(t, second, 8*time.Second)
			require.GreaterOrEqual(t, second, 6*time.Second)
			h := c.Health()[0]
			require.Zero(t, h.Strikes)
			require.EqualValues(t, 1, h.Sent)
			require.EqualValues(t, 2, h.Failed)
			require.Equal(t, strings.Repeat(
				`level=WARN msg="failover: trying the target again" provider=a kind="service unavailable" duration=0s message_id=m1`+"\n", 2), out.String())
		})
	})
	t.Run("one that does not costs one strike", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, _ := retrying(t, failover.Config{})
			a.fails(refused(mailer.KindNetwork))
			require.Equal(t, "a a a b", via(t, c))
			require.Equal(t, 1, c.Health()[0].Strikes)
			require.EqualValues(t, 3, c.Health()[0].Failed)
		})
	})
	for _, test := range []struct {
		name string
		err  error
		want string
	}{
		{"who asks for a short rest gets it", refusedFor(mailer.KindRateLimited, 4*time.Second), "a a a"},
		{"who asks for a longer one rests", refusedFor(mailer.KindRateLimited, 4*time.Second+1), "a b"},
		{"who asks for none rests", refused(mailer.KindRateLimited), "a b"},
		{"no credits", refusedFor(mailer.KindQuota, time.Second), "a b"},
		{"a bad key", refused(mailer.KindUnauthorized), "a b"},
		{"a refusal", refused(mailer.KindRejected), "a b"},
		{"nobody knows", refused(mailer.KindUnknown), "a b"},
		{"a failing service that asks for a short rest", refusedFor(mailer.KindUnavailable, 2*time.Second), "a a a"},
		{"a failing service that asks for a longer one", refusedFor(mailer.KindUnavailable, 5*time.Second), "a b"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, a, _ := retrying(t, failover.Config{})
				times(a, 2, test.err)
				require.Equal(t, test.want, via(t, c))
			})
		})
	}
	t.Run("the wait is as long as the service asks", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, _ := retrying(t, failover.Config{})
			times(a, 1, refusedFor(mailer.KindRateLimited, 2*time.Second))
			start := time.Now()
			require.Equal(t, "a a", via(t, c))
			require.Equal(t, 2*time.Second, time.Since(start))
			require.Equal(t, failover.Well, c.Health()[0].State)
		})
	})
	t.Run("never after an unknown outcome", func(t *testing.T) {
		for _, allowed := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				c, a, b := retrying(t, failover.Config{})
				a.fails(&mailer.Error{Kind: mailer.KindNetwork})
				m := message()
				m.AllowDuplicate = allowed
				_, err := c.Send(t.Context(), m)
				require.Equal(t, allowed, err == nil)
				require.Equal(t, 1, a.calls())
				require.Equal(t, allowed, b.calls() == 1)
			})
		}
	})
	t.Run("never for longer than half of the time for the target", func(t *testing.T) {
		for limit, want := range map[time.Duration]string{11 * time.Second: "a b", 120 * time.Second: "a a a b"} {
			synctest.Test(t, func(t *testing.T) {
				c, a, _ := retrying(t, failover.Config{})
				a.fails(refused(mailer.KindUnavailable))
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				r, err := c.Send(ctx, message())
				require.NoError(t, err)
				require.Equal(t, want, way(r.Attempts))
			})
		}
	})
	t.Run("never at a target that came to rest in the meantime", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, _ := retrying(t, failover.Config{})
			a.fails(refused(mailer.KindUnavailable))
			time.AfterFunc(time.Second, func() {
				a.fails(refused(mailer.KindUnauthorized))
				via(t, c)
			})
			require.Equal(t, "a b", via(t, c))
			require.Equal(t, 2, a.calls())
		})
	})
	t.Run("nobody waits for a target that came to rest during the attempt", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, _ := retrying(t, failover.Config{})
			a.answers(func(context.Context, mailer.Message) error {
				time.Sleep(time.Second)
				return refused(mailer.KindUnavailable)
			})
			time.AfterFunc(500*time.Millisecond, func() {
				a.fails(refused(mailer.KindUnauthorized))
				via(t, c)
			})
			start := time.Now()
			require.Equal(t, "a b", via(t, c))
			require.Equal(t, time.Second, time.Since(start))
		})
	})
	t.Run("the last failure decides", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := &service{name: "a"}
			c := chainOf(t, failover.Config{}, failover.Target{Sender: a, Retries: 1})
			a.answers(func(context.Context, mailer.Message) error {
				a.fails(refused(mailer.KindTooLarge))
				return refused(mailer.KindUnavailable)
			})
			_, err := c.Send(t.Context(), message())
			require.Equal(t, mailer.KindTooLarge, mailer.KindOf(err))
		})
	})
	t.Run("never by a probe, or at a target that rests", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := &service{name: "a"}
			c := chainOf(t, failover.Config{}, failover.Target{Sender: a, Retries: 2})
			a.fails(refusedFor(mailer.KindRateLimited, time.Minute))
			_, _ = c.Send(t.Context(), message())
			time.Sleep(time.Minute)
			a.fails(refused(mailer.KindUnavailable))
			_, _ = c.Send(t.Context(), message())
			require.Equal(t, 2, a.calls(), "the probe")
			_, _ = c.Send(t.Context(), message())
			require.Equal(t, 3, a.calls(), "tried anyway")
		})
	})
	t.Run("the wait ends with the caller", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, b := retrying(t, failover.Config{})
			a.fails(refused(mailer.KindUnavailable))
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			start := time.Now()
			_, err := c.Send(ctx, message())
			require.Equal(t, mailer.KindCanceled, mailer.KindOf(err))
			require.True(t, mailer.NotSent(err))
			require.Equal(t, time.Second, time.Since(start))
			require.Equal(t, 1, a.calls())
			require.Zero(t, b.calls())
			require.Zero(t, c.Health()[0].Strikes)
		})
	})
	t.Run("the Limiter and the Ledger know of each", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := &ledger{orderFunc: always(0, 1), room: map[int]int{0: 2}}
			a := &service{name: "a"}
			c := chainOf(t, failover.Config{Order: l}, failover.Target{Sender: a, Retries: 2}, &service{name: "b"})
			a.fails(refused(mailer.KindUnavailable))
			require.Equal(t, "a a b", via(t, c), "room for two")
			require.Equal(t, []string{"a: a: service unavailable", "a: a: service unavailable", "b: taken"}, l.told(t))
		})
	})
}
