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

// board is a Store that hands on at once.
type board struct {
	joined []func(string, failover.Rest)
	polls  int
	said   []failover.Rest
}

func (b *board) Join(_ []string, learn func(string, failover.Rest)) error {
	b.joined = append(b.joined, learn)
	return nil
}

func (b *board) Poll() { b.polls++ }

func (b *board) Publish(target string, r failover.Rest) {
	b.said = append(b.said, r)
	for _, learn := range b.joined {
		learn(target, r)
	}
}

func TestStore(t *testing.T) {
	two := func(t *testing.T) (first, second *failover.Chain, a *service, store *board) {
		a, store = &service{name: "a"}, &board{}
		cfg := failover.Config{Store: store, Rest: time.Minute}
		return chainOf(t, cfg, a, &service{name: "b"}), chainOf(t, cfg, &service{name: "z"}, a, &service{name: "b"}), a, store
	}
	t.Run("a rest is known to others", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			first, second, a, store := two(t)
			a.fails(refusedFor(mailer.KindQuota, time.Hour))
			require.Equal(t, "a b", via(t, first))
			until := time.Now().Add(time.Hour)
			require.Equal(t, []failover.Rest{{Until: until, Kind: mailer.KindQuota, Named: true}}, store.said)
			require.Equal(t, 1, store.polls)
			h := second.Health()
			require.Equal(t, failover.Well, h[0].State)
			require.Equal(t, failover.Resting, h[1].State)
			require.Equal(t, until, h[1].RestUntil)
			require.Equal(t, time.Now(), h[1].LastChange)
			require.EqualError(t, h[1].LastError, "a: quota used up: found out by another process")
			require.Zero(t, h[1].Strikes)

			// Each of them probes it afterwards.
			a.recovers()
			time.Sleep(time.Hour)
			require.Equal(t, "a", via(t, first))
			require.Equal(t, failover.Probing, second.Health()[1].State)
		})
	})
	t.Run("three strikes are a rest, two are nobody's business", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			first, second, a, store := two(t)
			a.fails(refused(mailer.KindUnavailable))
			via(t, first)
			via(t, first)
			require.Empty(t, store.said)
			via(t, first)
			require.Len(t, store.said, 1)
			require.Equal(t, first.Health()[0].RestUntil, second.Health()[1].RestUntil)
			require.False(t, store.said[0].Named)
		})
	})
	t.Run("that it is over lets one message of the others probe", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			first, second, a, store := two(t)
			a.fails(refused(mailer.KindUnauthorized))
			via(t, first)
			time.Sleep(time.Minute)
			via(t, first) // the probe fails: a longer rest, that the other learns, too
			require.Equal(t, first.Health()[0].RestUntil, second.Health()[1].RestUntil)
			time.Sleep(2 * time.Minute)
			a.recovers()
			second.Health()
			learn := store.joined[1]
			learn("a", failover.Rest{Until: time.Now().Add(time.Hour), Kind: mailer.KindQuota, Named: true})
			require.Equal(t, failover.Resting, second.Health()[1].State)
			require.Equal(t, "a", via(t, first))
			require.Zero(t, store.said[len(store.said)-1])
			require.Equal(t, failover.Probing, second.Health()[1].State)
		})
	})
	t.Run("what is learned only ever lengthens a rest, for a day at most", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			first, _, a, store := two(t)
			learn := store.joined[0]
			now := time.Now()
			rest := func() time.Duration { return first.Health()[0].RestUntil.Sub(now) }
			for _, step := range []struct{ told, want time.Duration }{
				{-time.Minute, 0},
				{0, 0},
				{time.Minute, time.Minute},
				{time.Second, time.Minute},
				{time.Hour, time.Hour},
				{100 * time.Hour, 24 * time.Hour},
			} {
				learn("a", failover.Rest{Until: now.Add(step.told), Kind: mailer.KindQuota})
				if step.want == 0 {
					require.Equal(t, failover.Well, first.Health()[0].State)
					continue
				}
				require.Equal(t, step.want, rest())
			}
			learn("nobody", failover.Rest{Until: now.Add(time.Hour)})
			require.Equal(t, failover.Well, first.Health()[1].State)
			require.Zero(t, a.calls())
			require.Empty(t, store.said, "what was learned is not told again")
		})
	})
	t.Run("a target that hung for another process is given no message before it answers", func(t *testing.T) {
		for kind, asks := range map[mailer.Kind]bool{
			mailer.KindNetwork: true, mailer.KindUnavailable: true, mailer.KindQuota: false, mailer.KindUnauthorized: false,
		} {
			synctest.Test(t, func(t *testing.T) {
				asked := false
				a := &verifying{service: service{name: "a"}, verify: func(context.Context) error {
					asked = true
					return refused(mailer.KindNetwork)
				}}
				store := &board{}
				c := chainOf(t, failover.Config{Store: store}, a, &service{name: "b"})
				store.joined[0]("a", failover.Rest{Until: time.Now().Add(time.Minute), Kind: kind})
				time.Sleep(time.Minute)
				_, err := c.Send(t.Context(), message())
				require.NoError(t, err)
				require.Equal(t, asks, asked, "%v", kind)
				require.Equal(t, asks, a.calls() == 0, "%v", kind)
			})
		}
	})
	t.Run("an attempt that began before what was learned does not end it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			first, _, a, store := two(t)
			release := crowd(t, first, a, 1, func(int) error { return nil })
			synctest.Wait()
			store.joined[0]("a", failover.Rest{Until: time.Now().Add(time.Hour), Kind: mailer.KindQuota})
			release()
			require.Equal(t, failover.Resting, first.Health()[0].State)
		})
	})
}

type refusing struct{ board }

func (*refusing) Join([]string, func(string, failover.Rest)) error { return errors.New("not open") }

func TestStoreThatCannotBeJoined(t *testing.T) {
	c, err := failover.New(failover.Config{Store: &refusing{}}, &service{name: "a"})
	require.EqualError(t, err, "failover: Store: not open")
	require.Nil(t, c)
}
