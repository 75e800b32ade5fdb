package adapter_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
)

func TestEach(t *testing.T) {
	for name, c := range map[string]struct {
		n, limit int
		took     time.Duration
		most     int32
	}{
		"none":                  {0, 3, 0, 0},
		"one":                   {1, 3, time.Second, 1},
		"as many as may run":    {3, 3, time.Second, 3},
		"more than may run":     {10, 3, 4 * time.Second, 3},
		"one after the other":   {4, 1, 4 * time.Second, 1},
		"fewer than the limit ": {2, 64, time.Second, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := make([]atomic.Int32, c.n)
				var running, most atomic.Int32
				begun := time.Now()
				adapter.Each(c.n, c.limit, func(i int) {
					calls[i].Add(1)
					for now := running.Add(1); ; {
						if m := most.Load(); now <= m || most.CompareAndSwap(m, now) {
							break
						}
					}
					time.Sleep(time.Second)
					running.Add(-1)
				})
				require.Equal(t, c.took, time.Since(begun))
				require.Zero(t, running.Load(), "it returned too early")
				require.Equal(t, c.most, most.Load())
				for i := range calls {
					require.Equal(t, int32(1), calls[i].Load(), "calls for %d", i)
				}
			})
		})
	}
}

func TestFeedAsksForAPartWhenThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var made, done atomic.Int32
		adapter.Feed(3, func(yield func(int) bool) {
			for i := range 10 {
				made.Add(1)
				require.LessOrEqual(t, made.Load()-done.Load(), int32(4), "parts that were made and not done")
				if !yield(i) {
					return
				}
			}
		}, func(int) {
			time.Sleep(time.Second)
			done.Add(1)
		})
		require.Equal(t, int32(10), done.Load())
	})
}

func TestOwn(t *testing.T) {
	e := &mailer.Error{Kind: mailer.KindNetwork, Provider: "toy"}
	own := adapter.Own(e)
	require.Equal(t, error(e), own)
	require.NotSame(t, e, own)
	plain := errors.New("plain")
	require.Equal(t, plain, adapter.Own(plain))
	require.NoError(t, adapter.Own(nil))
}

func TestUnsent(t *testing.T) {
	require.True(t, mailer.NotSent(adapter.Unsent(&mailer.Error{Kind: mailer.KindNetwork})))
	plain := errors.New("plain")
	require.Equal(t, plain, adapter.Unsent(plain))
	require.NoError(t, adapter.Unsent(nil))
}
