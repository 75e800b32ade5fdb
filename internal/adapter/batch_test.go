package adapter_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

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
