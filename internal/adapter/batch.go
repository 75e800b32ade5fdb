package adapter

import (
	"sync"
	"sync/atomic"
)

// Each calls do for every number from 0 up to n, at most limit at a time, and
// returns when all calls have. A batch sends its parts with it.
func Each(n, limit int, do func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(limit, n) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	wg.Wait()
}
