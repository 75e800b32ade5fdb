package failover_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/failover"
)

// wrapper lets itself be looked through, as a logging Sender would.
type wrapper struct{ mailer.Sender }

func (w wrapper) Unwrap() mailer.Sender { return w.Sender }

func TestNew(t *testing.T) {
	a, plain := &service{name: "a"}, mailer.SenderFunc(nil)
	names := func(c *failover.Chain) (names []string) {
		for _, h := range c.Health() {
			names = append(names, h.Name)
		}
		return names
	}
	for _, test := range []struct {
		name    string
		senders []mailer.Sender
		want    []string
	}{
		{"a Provider gives its name", []mailer.Sender{a}, []string{"a"}},
		{"also through wrappers", []mailer.Sender{wrapper{wrapper{a}}}, []string{"a"}},
		{"a Target overrides it", []mailer.Sender{failover.Target{Name: "eu", Sender: a}, &failover.Target{Name: "us", Sender: a}, a}, []string{"eu", "us", "a"}},
		{"also inside a wrapper", []mailer.Sender{wrapper{failover.Target{Name: "eu", Sender: wrapper{a}}}}, []string{"eu"}},
		{"a Target without one does not", []mailer.Sender{failover.Target{Sender: a}}, []string{"a"}},
		{"others are numbered by their place", []mailer.Sender{a, plain, failover.Target{Sender: plain}}, []string{"a", "target-2", "target-3"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.Equal(t, test.want, names(chainOf(t, failover.Config{}, test.senders...)))
		})
	}
	for _, test := range []struct {
		name    string
		cfg     failover.Config
		senders []mailer.Sender
		want    string
	}{
		{"no sender", failover.Config{}, nil, "failover: no sender"},
		{"a nil sender", failover.Config{}, []mailer.Sender{a, nil}, "failover: sender 2 is nil"},
		{"a Target without a sender", failover.Config{}, []mailer.Sender{failover.Target{Name: "x"}}, "failover: sender 1 is nil"},
		{"a nil *Target", failover.Config{}, []mailer.Sender{(*failover.Target)(nil)}, "failover: sender 1 is nil"},
		{"a negative Timeout", failover.Config{}, []mailer.Sender{failover.Target{Sender: a, Timeout: -1}}, "failover: Timeout of sender 1 is negative"},
		{"two of one name", failover.Config{}, []mailer.Sender{a, wrapper{a}}, `failover: two targets have the name "a": put one into a Target with a Name`},
		{"negative Strikes", failover.Config{Strikes: -1}, []mailer.Sender{a}, "failover: Strikes is negative"},
		{"a negative Rest", failover.Config{Rest: -1}, []mailer.Sender{a}, "failover: Rest is negative"},
		{"a negative MaxRest", failover.Config{MaxRest: -1}, []mailer.Sender{a}, "failover: MaxRest is negative"},
		{"a negative AttemptTimeout", failover.Config{AttemptTimeout: -1}, []mailer.Sender{a}, "failover: AttemptTimeout is negative"},
		{"a MaxRest under Rest", failover.Config{Rest: 2, MaxRest: 1}, []mailer.Sender{a}, "failover: MaxRest is shorter than Rest"},
	} {
		t.Run("refuses "+test.name, func(t *testing.T) {
			c, err := failover.New(test.cfg, test.senders...)
			require.EqualError(t, err, test.want)
			require.Nil(t, c)
		})
	}
	require.Zero(t, a.calls(), "New does no I/O")
}

func TestTargetIsASender(t *testing.T) {
	a := &service{name: "a"}
	target := failover.Target{Name: "eu", Sender: a}
	_, err := target.Send(t.Context(), message())
	require.NoError(t, err)
	require.Equal(t, 1, a.calls())
	p, ok := mailer.As[mailer.Provider](target)
	require.True(t, ok)
	require.Equal(t, "a", p.Name())
}

func TestWrappersAreNotBypassed(t *testing.T) {
	inner := &service{name: "a"}
	c := chainOf(t, failover.Config{}, failover.Target{Name: "x", Sender: counting{wrapper{inner}, new(int)}})
	require.Equal(t, "x", via(t, c))
	count := counting{wrapper{failover.Target{Name: "y", Sender: inner}}, new(int)}
	c = chainOf(t, failover.Config{}, count)
	require.Equal(t, "y", via(t, c))
	require.Equal(t, 1, *count.n)
}

type counting struct {
	wrapper
	n *int
}

func (c counting) Send(ctx context.Context, m mailer.Message) (mailer.Receipt, error) {
	*c.n++
	return c.wrapper.Send(ctx, m)
}

func TestIDIsSharedByAllAttempts(t *testing.T) {
	c, a, b := pair(t, failover.Config{})
	a.fails(refused(mailer.KindRejected))
	m := message()
	m.ID = ""
	r, err := c.Send(t.Context(), m)
	require.NoError(t, err)
	require.Len(t, r.ID, 26)
	require.Equal(t, []string{r.ID}, a.got)
	require.Equal(t, []string{r.ID}, b.got)

	a.fails(&mailer.Error{Kind: mailer.KindUnavailable})
	r, err = c.Send(t.Context(), m)
	require.Error(t, err)
	require.Equal(t, mailer.Receipt{ID: a.got[1]}, r, "the ID of an unknown outcome is needed to resolve it")
}

func TestAttemptsAreReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		var seen []mailer.Attempt
		c, a, b := pair(t, failover.Config{OnAttempt: func(ctx context.Context, a mailer.Attempt) {
			require.Equal(t, "callers", ctx.Value(key{}))
			_, bounded := ctx.Deadline()
			require.False(t, bounded, "it is the caller's context")
			seen = append(seen, a)
			time.Sleep(time.Second)
		}})
		begin := time.Now()
		a.answers(func(context.Context, mailer.Message) error {
			time.Sleep(2 * time.Second)
			return refused(mailer.KindRejected)
		})
		b.answers(func(context.Context, mailer.Message) error { time.Sleep(3 * time.Second); return nil })
		r, err := c.Send(context.WithValue(t.Context(), key{}, "callers"), message())
		require.NoError(t, err)
		require.Equal(t, []mailer.Attempt{
			{Provider: "a", Start: begin, Duration: 2 * time.Second, Err: refused(mailer.KindRejected)},
			{Provider: "b", Start: begin.Add(3 * time.Second), Duration: 3 * time.Second},
		}, r.Attempts)
		require.Equal(t, r.Attempts, seen)
		require.Equal(t, "b-m1", r.MessageID)
	})
}

func TestPanicInASenderReachesTheCaller(t *testing.T) {
	c, a, b := pair(t, failover.Config{})
	a.answers(func(context.Context, mailer.Message) error { panic("a bug") })
	require.PanicsWithValue(t, "a bug", func() { _, _ = c.Send(t.Context(), message()) })
	require.Zero(t, b.calls())
	require.Zero(t, c.Health()[0].Strikes)
}

func TestErrorOfAFailedChain(t *testing.T) {
	send := func(t *testing.T, m mailer.Message, errs ...error) *mailer.Error {
		t.Helper()
		var senders []mailer.Sender
		for i, err := range errs {
			s := &service{name: string(rune('a' + i))}
			s.fails(err)
			senders = append(senders, s)
		}
		_, err := chainOf(t, failover.Config{}, senders...).Send(t.Context(), m)
		e, ok := errors.AsType[*mailer.Error](err)
		require.True(t, ok)
		require.Equal(t, "failover", e.Provider)
		return e
	}
	failed := func(provider string, k mailer.Kind, after time.Duration) error {
		return &mailer.Error{Provider: provider, Kind: k, NotSent: true, RetryAfter: after}
	}
	t.Run("lists every attempt on one line and can be searched", func(t *testing.T) {
		cause := errors.New("line one\nline two")
		e := send(t, message(),
			&mailer.Error{Provider: "a", Kind: mailer.KindRateLimited, NotSent: true, Status: 429, Message: "slow\ndown", RetryAfter: time.Minute},
			&mailer.Error{Provider: "service", Kind: mailer.KindRejected, NotSent: true, Code: "300"},
			fmt.Errorf("wrapped: %w", &mailer.Error{Provider: "d", Kind: mailer.KindNetwork, Err: cause}))
		require.EqualError(t, e, "failover: network failure: 3 attempts: a: rate limited (status 429): slow down; "+
			"b: service: message rejected (code 300); c: wrapped: d: network failure: line one line two [may have been sent] [may have been sent]")
		for _, kind := range []mailer.Kind{mailer.KindRateLimited, mailer.KindRejected, mailer.KindNetwork} {
			require.ErrorIs(t, e, kind)
		}
		require.ErrorIs(t, e, cause)
		require.NotErrorIs(t, e, mailer.KindQuota)
		all, ok := errors.AsType[*failover.AttemptsError](e)
		require.True(t, ok)
		require.Equal(t, "a b c", way(all.Attempts))
		require.Len(t, all.Unwrap(), 3)
		require.False(t, mailer.NotSent(all))
	})
	t.Run("lists foreign words on one line, too", func(t *testing.T) {
		e := send(t, message(), fmt.Errorf("one\r\ntwo: %w", refused(mailer.KindRecipient)))
		all, ok := errors.AsType[*failover.AttemptsError](e)
		require.True(t, ok)
		require.EqualError(t, all, "1 attempt: a: one  two: a: recipient refused")
	})
	t.Run("names the field at which it stopped", func(t *testing.T) {
		e := send(t, message(), &mailer.Error{Kind: mailer.KindInvalid, NotSent: true, Field: "To[2]"}, nil)
		require.Equal(t, mailer.KindInvalid, e.Kind)
		require.Equal(t, "To[2]", e.Field)
	})
	for _, test := range []struct {
		name  string
		errs  []error
		kind  mailer.Kind
		after time.Duration
	}{
		{"all refuse the message: that it is", []error{failed("a", mailer.KindRejected, 0), failed("b", mailer.KindRejected, 0)}, mailer.KindRejected, 0},
		{"all refuse it each in its way: the first", []error{failed("a", mailer.KindTooLarge, 0), failed("b", mailer.KindContent, 0)}, mailer.KindTooLarge, 0},
		{"one failed for another reason: that one", []error{failed("a", mailer.KindRejected, 0), failed("b", mailer.KindRateLimited, time.Minute)}, mailer.KindRateLimited, time.Minute},
		{"several name a time: the earliest", []error{
			failed("a", mailer.KindQuota, time.Hour), failed("b", mailer.KindRateLimited, time.Minute), failed("c", mailer.KindUnavailable, 2*time.Minute),
		}, mailer.KindQuota, time.Minute},
		{"the time of a refusal of the message is of no use", []error{failed("a", mailer.KindRejected, time.Second), failed("b", mailer.KindRateLimited, time.Minute)}, mailer.KindRateLimited, time.Minute},
		{"the chain stopped: the last", []error{failed("a", mailer.KindRateLimited, time.Minute), failed("b", mailer.KindRecipient, 0)}, mailer.KindRecipient, 0},
	} {
		t.Run("says what is decisive when "+test.name, func(t *testing.T) {
			e := send(t, message(), test.errs...)
			require.Equal(t, test.kind, e.Kind)
			require.Equal(t, test.after, e.RetryAfter)
			require.True(t, e.NotSent)
		})
	}
	t.Run("says what is decisive when an outcome is unknown: that one", func(t *testing.T) {
		m := message()
		m.AllowDuplicate = true
		e := send(t, m, failed("a", mailer.KindRateLimited, 0), &mailer.Error{Kind: mailer.KindUnavailable}, failed("c", mailer.KindQuota, 0))
		require.Equal(t, mailer.KindUnavailable, e.Kind)
		require.False(t, e.NotSent)
	})
	t.Run("is not NotSent if a single attempt is not", func(t *testing.T) {
		m := message()
		m.AllowDuplicate = true
		e := send(t, m, failed("a", mailer.KindRateLimited, 0), &mailer.Error{Kind: mailer.KindUnavailable}, failed("c", mailer.KindRecipient, 0))
		require.Equal(t, mailer.KindRecipient, e.Kind)
		require.False(t, e.NotSent)
	})
	t.Run("can be the error of a target in another chain", func(t *testing.T) {
		inner, a, b := pair(t, failover.Config{})
		outer := chainOf(t, failover.Config{}, failover.Target{Name: "inner", Sender: inner}, &service{name: "last"})
		a.fails(refused(mailer.KindRejected))
		b.fails(refusedFor(mailer.KindQuota, time.Hour))
		require.Equal(t, "inner last", via(t, outer))
		require.Equal(t, failover.Resting, outer.Health()[0].State)
	})
}

type checking struct {
	service
	err error
}

func (c *checking) Check(mailer.Message) error { return c.err }

func TestCheck(t *testing.T) {
	large, lacking := refused(mailer.KindTooLarge), refused(mailer.KindUnsupported)
	for _, test := range []struct {
		name    string
		senders []mailer.Sender
		want    error
	}{
		{"none can: the first says why", []mailer.Sender{&checking{err: large}, &checking{err: lacking}}, large},
		{"one can", []mailer.Sender{&checking{err: large}, &checking{}}, nil},
		{"one does not tell", []mailer.Sender{&checking{err: large}, &service{}}, nil},
		{"one is inside wrappers", []mailer.Sender{wrapper{failover.Target{Sender: &checking{err: lacking}}}}, lacking},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := chainOf(t, failover.Config{}, test.senders...)
			require.Equal(t, test.want, c.Check(message()))
		})
	}
}

func TestLoggerIsTheDefaultOneUnlessSet(t *testing.T) {
	var out strings.Builder
	before := slog.Default()
	slog.SetDefault(textLogger(&out))
	defer slog.SetDefault(before)
	a := &service{name: "a"}
	c, err := failover.New(failover.Config{}, a, &service{name: "b"})
	require.NoError(t, err)
	a.fails(refused(mailer.KindRejected))
	require.Equal(t, "a b", via(t, c))
	require.Contains(t, out.String(), "failover: trying the next target")
}

// keeper holds a secret and prints it, as no Provider should.
type keeper struct {
	service
	key string
}

func TestPrintingAChainPrintsNoTarget(t *testing.T) {
	c := chainOf(t, failover.Config{}, &keeper{key: "s3cret"}, failover.Target{Name: "b", Sender: &keeper{key: "s3cret"}})
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		require.NotContains(t, fmt.Sprintf(verb, c), "s3cret")
		require.NotContains(t, fmt.Sprintf(verb, *c), "s3cret")
	}
}
