package failover_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/failover"
)

// table is the package comment's, written down a second time.
var table = []struct {
	kind               mailer.Kind
	next, strike, rest bool
}{
	{kind: mailer.KindUnknown, next: true},
	{kind: mailer.KindInvalid},
	{kind: mailer.KindRejected, next: true},
	{kind: mailer.KindUnsupported, next: true},
	{kind: mailer.KindTooLarge, next: true},
	{kind: mailer.KindContent, next: true},
	{kind: mailer.KindRecipient},
	{kind: mailer.KindSender, next: true},
	{kind: mailer.KindUnauthorized, next: true, rest: true},
	{kind: mailer.KindQuota, next: true, rest: true},
	{kind: mailer.KindRateLimited, next: true, rest: true},
	{kind: mailer.KindUnavailable, next: true, strike: true},
	{kind: mailer.KindNetwork, next: true, strike: true},
	{kind: mailer.KindCanceled},
}

func TestTable(t *testing.T) {
	require.Len(t, table, len(allKinds))
	for i, row := range table {
		require.Equal(t, allKinds[i], row.kind)
		for _, notSent := range []bool{true, false} {
			for _, allowed := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s, not sent %t, duplicate allowed %t", row.kind, notSent, allowed), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						c, a, b := pair(t, failover.Config{})
						cause := &mailer.Error{Provider: "a", Kind: row.kind, NotSent: notSent}
						a.fails(cause)
						m := message()
						m.AllowDuplicate = allowed
						r, err := c.Send(t.Context(), m)

						if next := row.next && (notSent || allowed); next {
							require.NoError(t, err)
							require.Equal(t, "b", r.Provider)
							require.Equal(t, "a b", way(r.Attempts))
							require.Equal(t, error(cause), r.Attempts[0].Err)
							require.NoError(t, r.Attempts[1].Err)
							require.False(t, r.Attempts[0].PossibleDuplicate)
							require.Equal(t, !notSent, r.Attempts[1].PossibleDuplicate)
						} else {
							require.Error(t, err)
							require.Zero(t, b.calls())
							require.Equal(t, row.kind, mailer.KindOf(err))
							require.Equal(t, notSent, mailer.NotSent(err))
							require.ErrorIs(t, err, cause)
						}

						h := c.Health()[0]
						require.Equal(t, row.strike || row.rest, h.Strikes == 1)
						if row.rest {
							require.Equal(t, failover.Resting, h.State)
						} else {
							require.Equal(t, failover.Well, h.State)
						}
						require.Equal(t, row.strike || row.rest, h.LastError != nil)
						require.EqualValues(t, 1, h.Failed)
					})
				})
			}
		}
	}
}

func TestAKindNobodyKnowsIsTreatedAsUnknown(t *testing.T) {
	require.Equal(t, failover.Decision{Next: true, Refusal: true}, failover.Decide(&mailer.Error{Kind: 200, NotSent: true}))
	require.Equal(t, failover.Decision{Next: true, Rest: true}, failover.Decide(mailer.KindQuota))
}

func TestForeignErrors(t *testing.T) {
	var none *mailer.Error
	for _, test := range []struct {
		name string
		err  error
		kind mailer.Kind
	}{
		{"a plain error", errors.New("lost"), mailer.KindUnknown},
		{"a bare kind", mailer.KindRateLimited, mailer.KindRateLimited},
		{"a nil *mailer.Error in an error", none, mailer.KindUnknown},
		{"a wrapped nil *mailer.Error", nilWrapper{none}, mailer.KindUnknown},
		{"a deadline that is not ours", context.DeadlineExceeded, mailer.KindNetwork},
	} {
		t.Run(test.name+" is an unknown outcome", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var seen []mailer.Attempt
				b := &service{name: "b"}
				c := chainOf(t, failover.Config{OnAttempt: func(_ context.Context, a mailer.Attempt) { seen = append(seen, a) }},
					mailer.SenderFunc(func(context.Context, mailer.Message) (mailer.Receipt, error) {
						return mailer.Receipt{}, test.err
					}), b)
				_, err := c.Send(t.Context(), message())
				require.Equal(t, test.kind, mailer.KindOf(err))
				require.False(t, mailer.NotSent(err))
				require.Zero(t, b.calls())
				require.Contains(t, err.Error(), "target-1: ")
				e, ok := errors.AsType[*mailer.Error](seen[0].Err)
				require.True(t, ok)
				require.Equal(t, "target-1", e.Provider)
			})
		})
	}
}

// nilWrapper wraps a nil error without touching it.
type nilWrapper struct{ err *mailer.Error }

func (w nilWrapper) Error() string { return "lost" }
func (w nilWrapper) Unwrap() error { return w.err }

func TestDecideOfOnesOwn(t *testing.T) {
	t.Run("replaces the table", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, b := pair(t, failover.Config{Decide: func(err error) failover.Decision {
				if errors.Is(err, mailer.KindContent) {
					return failover.Decision{Rest: true, RestFor: time.Minute}
				}
				return failover.Decide(err)
			}})
			a.fails(refused(mailer.KindContent))
			_, err := c.Send(t.Context(), message())
			require.ErrorIs(t, err, mailer.KindContent)
			require.Zero(t, b.calls())
			require.Equal(t, time.Now().Add(time.Minute), c.Health()[0].RestUntil)
		})
	})
	t.Run("cannot send a message twice", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, b := pair(t, failover.Config{Decide: func(error) failover.Decision { return failover.Decision{Next: true} }})
			a.fails(&mailer.Error{Kind: mailer.KindNetwork})
			_, err := c.Send(t.Context(), message())
			require.Error(t, err)
			require.Zero(t, b.calls())
		})
	})
}
