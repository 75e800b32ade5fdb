package suppression_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/suppression"
)

// vendor is a service with a list: its pages are of two, its cursors numbers.
type vendor struct {
	name    string
	list    []suppression.Entry
	cursors []string
	faults  []error // of the next calls; nil: none
	most    int     // that one push takes, 0: all
	pushes  int
}

func (v *vendor) Name() string { return v.name }

func (v *vendor) fault() error {
	if len(v.faults) == 0 {
		return nil
	}
	err := v.faults[0]
	v.faults = v.faults[1:]
	return err
}

func (v *vendor) PullSuppressions(_ context.Context, cursor string) ([]suppression.Entry, string, error) {
	v.cursors = append(v.cursors, cursor)
	if err := v.fault(); err != nil {
		return nil, "", err
	}
	from, _ := strconv.Atoi(cursor)
	if from+2 >= len(v.list) {
		return v.list[from:], "", nil
	}
	return v.list[from : from+2], strconv.Itoa(from + 2), nil
}

func (v *vendor) PushSuppressions(_ context.Context, entries []suppression.Entry) (int, error) {
	v.pushes++
	n := len(entries)
	err := v.fault()
	if err != nil || v.most > 0 && n > v.most {
		n = min(n, v.most)
	}
	v.list = append(v.list, entries[:n]...)
	return n, err
}

func people(n int) (entries []suppression.Entry) {
	for i := range n {
		e := entry(fmt.Sprintf("user%d@example.com", i), suppression.HardBounce)
		e.Source, e.Created = "other", start
		entries = append(entries, e)
	}
	return entries
}

func slow(d time.Duration) error {
	return &mailer.Error{Kind: mailer.KindRateLimited, NotSent: true, RetryAfter: d}
}

func TestPullReadsEveryPage(t *testing.T) {
	v := &vendor{list: people(5)}
	m := memory(t)
	added, next, err := suppression.Pull(t.Context(), v, m, "")
	require.NoError(t, err)
	require.Equal(t, 5, added)
	require.Empty(t, next)
	require.Equal(t, []string{"", "2", "4"}, v.cursors)
	require.Equal(t, v.list, contents(t, m))

	_, _, err = suppression.Pull(t.Context(), v, m, "")
	require.NoError(t, err)
	require.Equal(t, v.list, contents(t, m), "pulled again")
	added, _, err = suppression.Pull(t.Context(), &vendor{}, m, "")
	require.NoError(t, err)
	require.Zero(t, added)
}

func TestPullGoesOnWhereItStopped(t *testing.T) {
	no := &mailer.Error{Kind: mailer.KindUnauthorized, NotSent: true}
	v := &vendor{list: people(5), faults: []error{nil, no}}
	m := memory(t)
	added, next, err := suppression.Pull(t.Context(), v, m, "")
	require.Equal(t, error(no), errors.Unwrap(joined{err}))
	require.Equal(t, 2, added)
	require.Equal(t, "2", next)
	added, next, err = suppression.Pull(t.Context(), v, m, next)
	require.NoError(t, err)
	require.Equal(t, 3, added)
	require.Empty(t, next)
	require.Equal(t, []string{"", "2", "2", "4"}, v.cursors)
	require.Len(t, contents(t, m), 5)

	broken := errors.New("gone")
	_, next, err = suppression.Pull(t.Context(), v, failing{Memory: m, add: broken}, "2")
	require.ErrorIs(t, err, broken)
	require.Equal(t, "2", next, "the page was not kept")
}

// joined unwraps to the only error of a join.
type joined struct{ error }

func (j joined) Unwrap() error { return j.error.(interface{ Unwrap() []error }).Unwrap()[0] }

func TestAPageThatFailsForNowIsTriedAgain(t *testing.T) {
	down := &mailer.Error{Kind: mailer.KindUnavailable}
	for _, c := range []struct {
		name   string
		faults []error
		took   time.Duration
		fails  bool
	}{
		{"after what the service asks for", []error{slow(time.Minute), slow(2 * time.Minute)}, 3 * time.Minute, false},
		{"after longer and longer", []error{down, &mailer.Error{Kind: mailer.KindNetwork}, down, down}, 15 * time.Second, false},
		{"five times and no more", []error{down, down, down, down, down}, 15 * time.Second, true},
		{"not if the service asks for too long", []error{slow(5*time.Minute + 1)}, 0, true},
		{"not after another failure", []error{&mailer.Error{Kind: mailer.KindUnauthorized}}, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				v := &vendor{list: people(3), faults: append([]error{nil}, c.faults...)}
				added, _, err := suppression.Pull(t.Context(), v, memory(t), "")
				require.Equal(t, c.fails, err != nil)
				require.Equal(t, c.took, time.Since(begin))
				if !c.fails {
					require.Equal(t, 3, added)
				}

				begin = time.Now()
				v = &vendor{faults: append([]error{nil}, c.faults...)}
				pushed, err := suppression.Push(t.Context(), v, sequence(people(1500)...))
				require.Equal(t, c.fails, err != nil)
				require.Equal(t, c.took, time.Since(begin))
				require.Len(t, v.list, pushed)
				if !c.fails {
					require.Equal(t, people(1500), v.list)
				}
			})
		})
	}
	t.Run("until the caller gives up", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, _, err := suppression.Pull(ctx, &vendor{faults: []error{slow(time.Minute)}}, memory(t), "")
			require.ErrorIs(t, err, mailer.KindRateLimited)
			require.Equal(t, time.Second, time.Since(start))
		})
	})
}

// circle is a service whose cursors lead back.
type circle struct{ calls int }

func (c *circle) PullSuppressions(_ context.Context, cursor string) ([]suppression.Entry, string, error) {
	c.calls++
	return nil, map[string]string{"": "a", "a": "b", "b": "a"}[cursor], nil
}

func TestPullLeavesACircle(t *testing.T) {
	c := &circle{}
	_, _, err := suppression.Pull(t.Context(), c, memory(t), "")
	require.ErrorContains(t, err, `comes back to the cursor "a"`)
	require.Equal(t, 3, c.calls)
}

func TestPullListsWhatItLeavesOut(t *testing.T) {
	v := &vendor{list: people(5)}
	v.list[0].Address, v.list[3].Reason = "who", "whim"
	m := memory(t)
	added, _, err := suppression.Pull(t.Context(), v, m, "")
	require.Equal(t, 3, added)
	require.ErrorIs(t, err, suppression.ErrEntry)
	require.ErrorContains(t, err, `"who"`)
	require.ErrorContains(t, err, `"whim"`)
	require.Len(t, contents(t, m), 3)
}

func TestPushLeavesOutWhatDoesNotStay(t *testing.T) {
	own, ends, count := people(3)[0], people(3)[1], people(3)[2]
	own.Source, ends.Expires, count.Reason = "acme", time.Now().Add(time.Hour), suppression.Strike
	stays := people(4)[3]
	v := &vendor{name: "acme"}
	pushed, err := suppression.Push(t.Context(), v, sequence(own, ends, count, stays))
	require.NoError(t, err)
	require.Equal(t, 1, pushed)
	require.Equal(t, []suppression.Entry{stays}, v.list)
	unnamed := &vendor{}
	own.Source = ""
	_, err = suppression.Push(t.Context(), unnamed, sequence(own))
	require.NoError(t, err)
	require.Len(t, unnamed.list, 1)
	pushed, err = suppression.Push(t.Context(), v, sequence())
	require.NoError(t, err)
	require.Zero(t, pushed)
}

func TestPushSaysHowFarItCame(t *testing.T) {
	no := &mailer.Error{Kind: mailer.KindUnauthorized, NotSent: true}
	v := &vendor{faults: []error{nil, no}, most: 1000}
	pushed, err := suppression.Push(t.Context(), v, sequence(people(3000)...))
	require.Equal(t, error(no), err)
	require.Equal(t, 2000, pushed)
	require.Len(t, v.list, 2000)

	v = &vendor{most: 10}
	pushed, err = suppression.Push(t.Context(), v, sequence(people(15)...))
	require.EqualError(t, err, "suppression: the service left out 5 entries and does not say why")
	require.Equal(t, 10, pushed)

	broken := errors.New("gone")
	_, err = suppression.Push(t.Context(), v, func(yield func(suppression.Entry, error) bool) { yield(suppression.Entry{}, broken) })
	require.Equal(t, broken, err)
}

// What one service has on its list is kept from every other, and from what is sent
// through any of them.
func TestListsAreSharedAcrossServices(t *testing.T) {
	a, b := &vendor{name: "a", list: people(3)}, &vendor{name: "b"}
	for i := range a.list {
		a.list[i].Source = "a"
	}
	m := memory(t)
	for _, v := range []*vendor{a, b} {
		_, _, err := suppression.Pull(t.Context(), v, m, "")
		require.NoError(t, err)
	}
	for _, v := range []*vendor{a, b} {
		_, err := suppression.Push(t.Context(), v, m.All(t.Context()))
		require.NoError(t, err)
	}
	require.Zero(t, a.pushes, "it has them")
	require.Equal(t, a.list, b.list)
	s := suppression.Wrap(&service{}, m, suppression.Config{})
	_, err := s.Send(t.Context(), message("user2@example.com"))
	require.ErrorIs(t, err, mailer.KindRecipient)
}
