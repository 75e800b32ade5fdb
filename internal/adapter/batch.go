package adapter

import (
	"errors"
	"iter"
	"slices"
	"sync"

	"github.com/seed355143d4/mailer"
)

// Feed calls do for every part, at most limit at a time, and returns when all calls
// have. It asks for a part when there is room for it, so that a long batch is not
// made all at once. A batch sends its calls with it.
func Feed[T any](limit int, parts iter.Seq[T], do func(part T)) {
	queue := make(chan T)
	var wg sync.WaitGroup
	running := 0
	for part := range parts {
		if running == limit {
			queue <- part
			continue
		}
		running++
		wg.Go(func() {
			do(part)
			for part := range queue {
				do(part)
			}
		})
	}
	close(queue)
	wg.Wait()
}

// Each is Feed for the numbers from 0 up to n.
func Each(n, limit int, do func(i int)) {
	Feed(limit, func(yield func(int) bool) {
		for i := 0; i < n && yield(i); i++ {
		}
	}, do)
}

// Own returns a copy of err, so that each message of a call that failed has an error
// of its own, to keep or to change.
func Own(err error) error {
	if e, ok := errors.AsType[*mailer.Error](err); ok {
		own := *e
		own.Recipients = slices.Clone(e.Recipients)
		return &own
	}
	return err
}

// Unsent marks an error of a call that was to send nothing.
func Unsent(err error) error {
	if e, ok := errors.AsType[*mailer.Error](err); ok {
		e.NotSent = true
	}
	return err
}
