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

// telling is a service that tells what it leaves out.
type telling struct {
	checking
	dropped []string
}

func (d *telling) Dropped(mailer.Message) []string { return d.dropped }

func TestCarriers(t *testing.T) {
	lacking := refused(mailer.KindUnsupported)
	c := chainOf(t, failover.Config{Order: always(1)},
		&telling{checking: checking{service: service{name: "a"}}, dropped: []string{"Tags[1]"}},
		wrapper{failover.Target{Name: "b", Sender: &telling{checking: checking{err: lacking}, dropped: []string{"Tags[0]"}}}},
		&checking{service: service{name: "c"}},
		&service{name: "d"})
	require.Equal(t, []failover.Carrier{
		{Target: "a", Dropped: []string{"Tags[1]"}}, {Target: "b", Err: lacking}, {Target: "c"}, {Target: "d"},
	}, c.Carriers(message()))
}

type verifying struct {
	service
	verify func(ctx context.Context) error
}

func (v *verifying) Verify(ctx context.Context) error { return v.verify(ctx) }

func TestVerify(t *testing.T) {
	after := func(d time.Duration, err error) func(context.Context) error {
		return func(ctx context.Context) error {
			select {
			case <-time.After(d):
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	t.Run("all are asked at once, and those that object are named", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			bad, lost := refused(mailer.KindUnauthorized), errors.New("lost")
			c := chainOf(t, failover.Config{},
				wrapper{failover.Target{Name: "eu", Sender: &verifying{verify: after(2*time.Second, bad)}}},
				&service{name: "b"},
				&verifying{service: service{name: "c"}, verify: after(2*time.Second, nil)},
				&verifying{service: service{name: "d"}, verify: after(time.Second, lost)})
			start := time.Now()
			err := c.Verify(t.Context())
			require.Equal(t, 2*time.Second, time.Since(start))
			require.EqualError(t, err, "eu: a: unauthorized\nd: lost")
			require.ErrorIs(t, err, bad)
			require.ErrorIs(t, err, lost)
			require.Equal(t, mailer.KindUnauthorized, mailer.KindOf(err))
			for _, h := range c.Health() {
				require.Equal(t, failover.Well, h.State)
			}
		})
	})
	t.Run("nil says that nobody objects", func(t *testing.T) {
		c := chainOf(t, failover.Config{}, &service{name: "a"}, &verifying{service: service{name: "b"}, verify: after(0, nil)})
		require.NoError(t, c.Verify(t.Context()))
	})
	t.Run("the caller's end is handed on", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := chainOf(t, failover.Config{}, &verifying{service: service{name: "a"}, verify: after(time.Hour, nil)})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			require.ErrorIs(t, c.Verify(ctx), context.DeadlineExceeded)
		})
	})
}
