package suppression

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/seed355143d4/mailer"
)

// How a page is tried again: reading a list, or adding what is on it already, does
// no harm a second time.
const (
	pageTries   = 5
	longestWait = 5 * time.Minute
)

// again calls do until it succeeds, the failure is one that does not pass, it has
// failed five times, or the service asks for more than five minutes.
func again(ctx context.Context, do func() error) error {
	wait := time.Second
	for try := 1; ; try++ {
		err := do()
		e, _ := errors.AsType[*mailer.Error](err)
		switch mailer.KindOf(err) {
		case mailer.KindRateLimited, mailer.KindUnavailable, mailer.KindNetwork:
		default:
			return err
		}
		after := wait
		if e != nil && e.RetryAfter > 0 {
			after = e.RetryAfter
		}
		if try == pageTries || after > longestWait || ctx.Err() != nil {
			return err
		}
		timer := time.NewTimer(after)
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
		wait *= 2
	}
}

// Pull adds the list of a service to the store, page by page, from cursor on, ""
// being its beginning. It returns how many entries it added, and where to go on:
// next is "" after the last page, and with an error the cursor of the page that
// failed. Pulling again is harmless.
//
// A page that fails for now is asked for again, up to five times. What is no entry
// is left out, and listed in the error that Pull returns after the last page; it
// wraps [ErrEntry]. A service whose cursors go round in a circle is an error.
func Pull(ctx context.Context, from Puller, store Store, cursor string) (added int, next string, err error) {
	var bad badEntries
	for seen := map[string]bool{}; ; {
		if seen[cursor] {
			err = fmt.Errorf("suppression: the service comes back to the cursor %q", cut(cursor, maxName))
			break
		}
		seen[cursor] = true
		var page []Entry
		if err = again(ctx, func() (err error) {
			page, next, err = from.PullSuppressions(ctx, cursor)
			return err
		}); err != nil {
			break
		}
		n := 0
		n, err = bad.sift(ctx, store, each(page))
		added += n
		if err != nil {
			break
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	return added, cursor, errors.Join(append(bad.all(), err)...)
}

// each is a sequence of the entries.
func each(entries []Entry) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// Push adds entries, such as those of [Store].All, to the list of a service, a
// thousand at a time. It returns how many are on that list for certain.
//
// What is for a while only is not pushed, since services keep their lists for good,
// and neither is what to itself reported, if it has a Name as [mailer.Provider] has.
// An entry of one stream can become one for all mail at a service that has no
// streams: leave those out of the sequence that are not to.
//
// A page that fails for now is tried again from where it stopped, up to five times.
// After any other error call Push again: what is there already does no harm.
func Push(ctx context.Context, to Pusher, entries iter.Seq2[Entry, error]) (pushed int, err error) {
	name := ""
	if named, ok := to.(interface{ Name() string }); ok {
		name = named.Name()
	}
	var page []Entry
	flush := func() error {
		failed := again(ctx, func() error {
			done, err := to.PushSuppressions(ctx, page)
			done = min(max(done, 0), len(page))
			pushed += done
			page = page[done:]
			if err == nil && len(page) > 0 {
				err = fmt.Errorf("suppression: the service left out %d entries and does not say why", len(page))
			}
			return err
		})
		page = nil
		return failed
	}
	for e, err := range entries {
		if err != nil {
			return pushed, err
		}
		if e.Reason == Strike || !e.Expires.IsZero() || name != "" && e.Source == name {
			continue
		}
		if page = append(page, e); len(page) == pageEntries {
			if err := flush(); err != nil {
				return pushed, err
			}
		}
	}
	if len(page) > 0 {
		if err := flush(); err != nil {
			return pushed, err
		}
	}
	return pushed, nil
}
