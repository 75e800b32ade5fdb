package failover_test

import (
	"context"
	"errors"
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

func TestPromise2OnceUnlessADuplicateIsHarmless(t *testing.T) {
	// A refusal that is not NotSent is an unknown outcome too, whatever its kind.
	for _, kind := range allKinds {
		t.Run(kind.String()+" with an unknown outcome ends the chain", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, a, b := pair(t, failover.Config{})
				a.fails(&mailer.Error{Provider: "a", Kind: kind})
				r, err := c.Send(t.Context(), message())
				require.ErrorIs(t, err, kind)
				require.False(t, mailer.NotSent(err))
				require.Zero(t, b.calls())
				require.Equal(t, mailer.Receipt{ID: "m1"}, r)
			})
		})
	}
	t.Run("an unknown outcome after a refusal ends the chain", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, b, d := &service{name: "a"}, &service{name: "b"}, &service{name: "d"}
			c := chainOf(t, failover.Config{}, a, b, d)
			a.fails(refused(mailer.KindRejected))
			b.fails(&mailer.Error{Kind: mailer.KindUnavailable})
			_, err := c.Send(t.Context(), message())
			require.Equal(t, mailer.KindUnavailable, mailer.KindOf(err))
			require.False(t, mailer.NotSent(err))
			require.Zero(t, d.calls())
		})
	})
	t.Run("a duplicate that is allowed is marked on every later attempt", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, b, d := &service{name: "a"}, &service{name: "b"}, &service{name: "d"}
			c := chainOf(t, failover.Config{}, a, b, d)
			a.fails(&mailer.Error{Kind: mailer.KindNetwork})
			b.fails(refused(mailer.KindRejected))
			m := message()
			m.AllowDuplicate = true
			r, err := c.Send(t.Context(), m)
			require.NoError(t, err)
			require.Equal(t, "a b d", way(r.Attempts))
			require.False(t, r.Attempts[0].PossibleDuplicate)
			require.True(t, r.Attempts[1].PossibleDuplicate)
			require.True(t, r.Attempts[2].PossibleDuplicate)
		})
	})
	t.Run("what was unknown stays unknown when the others refuse", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, b := pair(t, failover.Config{})
			a.fails(&mailer.Error{Kind: mailer.KindNetwork})
			b.fails(refused(mailer.KindRejected))
			m := message()
			m.AllowDuplicate = true
			_, err := c.Send(t.Context(), m)
			require.Equal(t, mailer.KindNetwork, mailer.KindOf(err))
			require.False(t, mailer.NotSent(err))
		})
	})
}

func TestPromise3BadMessageNeverHarmsAGoodService(t *testing.T) {
	for _, kind := range []mailer.Kind{
		mailer.KindInvalid, mailer.KindRejected, mailer.KindUnsupported, mailer.KindTooLarge,
		mailer.KindContent, mailer.KindRecipient, mailer.KindSender, mailer.KindCanceled, mailer.KindUnknown,
	} {
		t.Run("twenty times "+kind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, a, b := pair(t, failover.Config{})
				a.fails(refused(kind))
				b.fails(refused(kind))
				for range 20 {
					_, err := c.Send(t.Context(), message())
					require.ErrorIs(t, err, kind)
				}
				for _, h := range c.Health() {
					require.Equal(t, failover.Well, h.State)
					require.Zero(t, h.Strikes)
				}
				a.recovers()
				require.Equal(t, "a", via(t, c))
			})
		})
	}
	t.Run("a caller who gives up strikes nobody, whatever the service says then", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, b := pair(t, failover.Config{})
			a.answers(func(ctx context.Context, _ mailer.Message) error {
				<-ctx.Done()
				return refused(mailer.KindNetwork)
			})
			for range 10 {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, cancel)
				_, err := c.Send(ctx, message())
				require.Equal(t, mailer.KindCanceled, mailer.KindOf(err))
				require.ErrorIs(t, err, context.Canceled)
				require.True(t, mailer.NotSent(err))
			}
			require.Zero(t, b.calls())
			require.Zero(t, c.Health()[0].Strikes)
		})
	})
	t.Run("a recipient refused among others is a success", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := chainOf(t, failover.Config{}, mailer.SenderFunc(func(context.Context, mailer.Message) (mailer.Receipt, error) {
				return mailer.Receipt{Rejected: []mailer.Rejection{{Address: "x@example.com", Err: refused(mailer.KindRecipient)}}}, nil
			}))
			r, err := c.Send(t.Context(), message())
			require.NoError(t, err)
			require.Len(t, r.Rejected, 1)
			require.Equal(t, "m1", r.ID)
			require.Equal(t, "target-1", r.Provider)
			require.Zero(t, c.Health()[0].Strikes)
			require.EqualValues(t, 1, c.Health()[0].Sent)
		})
	})
}

func TestPromise4ARefusedRecipientStaysRefused(t *testing.T) {
	for _, notSent := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			c, a, b := pair(t, failover.Config{})
			a.fails(&mailer.Error{Provider: "a", Kind: mailer.KindRecipient, NotSent: notSent, Recipients: []string{"bob@example.com"}})
			m := message()
			m.AllowDuplicate = true
			m.To = append(m.To, mailer.Address{Address: "bob@example.com"})
			_, err := c.Send(t.Context(), m)
			require.Equal(t, mailer.KindRecipient, mailer.KindOf(err))
			require.Zero(t, b.calls())
			e, _ := errors.AsType[*mailer.Error](err)
			require.Equal(t, []string{"bob@example.com"}, e.Recipients)
		})
	}
}

func TestPromise5HomeAgainByOneProbeAtATime(t *testing.T) {
	t.Run("mail prefers the first target as soon as it is well", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, _ := pair(t, failover.Config{Rest: time.Minute})
			a.fails(refused(mailer.KindUnavailable))
			for range 3 {
				require.Equal(t, "a b", via(t, c))
			}
			require.Equal(t, "b", via(t, c))
			require.Equal(t, failover.Resting, c.Health()[0].State)

			time.Sleep(time.Minute)
			require.Equal(t, failover.Probing, c.Health()[0].State)
			a.recovers()
			require.Equal(t, "a", via(t, c), "the probe")
			require.Equal(t, "a", via(t, c))
			h := c.Health()[0]
			require.Equal(t, failover.Well, h.State)
			require.Zero(t, h.Strikes)
			require.Zero(t, h.RestUntil)
			require.Equal(t, time.Now(), h.LastChange)
			require.ErrorIs(t, h.LastError, mailer.KindUnavailable)
			require.EqualValues(t, 2, h.Sent)
			require.EqualValues(t, 3, h.Failed)

			for range 48 {
				require.Equal(t, "a", via(t, c))
			}
			a.fails(refused(mailer.KindUnavailable))
			require.Equal(t, "a b", via(t, c))
			require.Equal(t, failover.Well, c.Health()[0].State, "the strikes of before are forgotten")
		})
	})
	t.Run("of 64 messages one is the probe while the others go past it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, b := pair(t, failover.Config{})
			a.fails(refusedFor(mailer.KindRateLimited, time.Minute))
			require.Equal(t, "a b", via(t, c))
			time.Sleep(time.Minute)
			var inside, most atomic.Int32
			a.answers(func(context.Context, mailer.Message) error {
				most.Store(max(most.Load(), inside.Add(1)))
				time.Sleep(time.Second)
				inside.Add(-1)
				return nil
			})
			var wg sync.WaitGroup
			var probes atomic.Int32
			for range 64 {
				wg.Go(func() {
					r, err := c.Send(context.Background(), message())
					if err != nil {
						t.Error(err)
					}
					if r.Provider == "a" {
						probes.Add(1)
					}
				})
			}
			wg.Wait()
			require.EqualValues(t, 1, probes.Load())
			require.EqualValues(t, 1, most.Load())
			require.Equal(t, 64, b.calls()) // 63 and the one that was refused
			require.Equal(t, failover.Well, c.Health()[0].State)
		})
	})
	t.Run("a probe that fails lets the target rest longer each time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, _ := pair(t, failover.Config{Strikes: 1, Rest: time.Minute, MaxRest: 10 * time.Minute})
			a.fails(refused(mailer.KindNetwork))
			for _, rest := range []time.Duration{1, 2, 4, 8, 10, 10} {
				rest *= time.Minute
				require.Equal(t, "a b", via(t, c))
				got := time.Until(c.Health()[0].RestUntil)
				require.LessOrEqual(t, got, rest)
				require.GreaterOrEqual(t, got, rest*3/4)
				require.Equal(t, "b", via(t, c))
				time.Sleep(got)
			}
		})
	})
	t.Run("one strike is enough for a probe", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, _ := pair(t, failover.Config{Strikes: 5})
			a.fails(refusedFor(mailer.KindRateLimited, time.Minute))
			via(t, c)
			time.Sleep(time.Minute)
			a.fails(refused(mailer.KindUnavailable))
			require.Equal(t, "a b", via(t, c))
			require.Equal(t, failover.Resting, c.Health()[0].State)
		})
	})
	t.Run("a probe that says nothing frees the way for the next", func(t *testing.T) {
		for _, kind := range []mailer.Kind{mailer.KindRejected, mailer.KindTooLarge, mailer.KindSender, mailer.KindUnknown} {
			synctest.Test(t, func(t *testing.T) {
				c, a, _ := pair(t, failover.Config{})
				a.fails(refusedFor(mailer.KindRateLimited, time.Minute))
				via(t, c)
				time.Sleep(time.Minute)
				a.fails(refused(kind))
				for range 3 {
					require.Equal(t, "a b", via(t, c))
				}
				require.Equal(t, failover.Probing, c.Health()[0].State)
				a.recovers()
				require.Equal(t, "a", via(t, c))
				require.Equal(t, failover.Well, c.Health()[0].State)
			})
		}
	})
	t.Run("a probe whose caller gives up frees the way for the next", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, _ := pair(t, failover.Config{})
			a.fails(refusedFor(mailer.KindRateLimited, time.Minute))
			via(t, c)
			time.Sleep(time.Minute)
			a.answers(hang)
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			_, err := c.Send(ctx, message())
			require.Equal(t, mailer.KindCanceled, mailer.KindOf(err))
			a.recovers()
			require.Equal(t, "a", via(t, c))
		})
	})
	t.Run("a probe that panics frees the way for the next", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, _ := pair(t, failover.Config{})
			a.fails(refusedFor(mailer.KindRateLimited, time.Minute))
			via(t, c)
			time.Sleep(time.Minute)
			a.answers(func(context.Context, mailer.Message) error { panic("a bug") })
			require.PanicsWithValue(t, "a bug", func() { _, _ = c.Send(t.Context(), message()) })
			a.recovers()
			require.Equal(t, "a", via(t, c))
		})
	})
}

func TestPromise8NoSecretAndNoAddressInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		c, a, b := pair(t, failover.Config{Logger: textLogger(&out), Rest: time.Minute})
		secret := "the key k3y for ada@example.com"
		for _, kind := range []mailer.Kind{mailer.KindUnavailable, mailer.KindUnavailable, mailer.KindSender, mailer.KindUnauthorized} {
			a.fails(&mailer.Error{
				Provider: "a", Kind: kind, NotSent: true, Status: 403, Code: "1042", Message: secret, RequestID: secret, Field: secret,
				Err: &mailer.Error{Message: secret},
			})
			via(t, c)
		}
		m := message()
		m.ID = "ada@example.com"
		b.fails(&mailer.Error{Provider: "b", Kind: mailer.KindRejected, NotSent: true, Code: "no ada@example.com", Message: secret})
		_, err := c.Send(t.Context(), m)
		require.Error(t, err)
		time.Sleep(time.Minute)
		a.recovers()
		via(t, c)

		require.Equal(t, `level=WARN msg="failover: trying the next target" provider=a kind="service unavailable" status=403 code=1042 duration=0s next=b message_id=m1
level=WARN msg="failover: trying the next target" provider=a kind="service unavailable" status=403 code=1042 duration=0s next=b message_id=m1
level=ERROR msg="failover: trying the next target" provider=a kind="sender not verified" status=403 code=1042 duration=0s next=b message_id=m1
level=ERROR msg="failover: target rests" provider=a kind=unauthorized status=403 code=1042 for=X
level=ERROR msg="failover: trying the next target" provider=a kind=unauthorized status=403 code=1042 duration=0s next=b message_id=m1
level=WARN msg="failover: trying the next target" provider=b kind="message rejected" duration=0s next=a
level=ERROR msg="failover: no target is left" provider=a kind=unauthorized status=403 code=1042 duration=0s
level=INFO msg="failover: target is back" provider=a
`, restLength.ReplaceAllString(out.String(), "for=X"))
	})
}
