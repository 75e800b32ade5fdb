package mailer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
)

func TestErrorTextIsStable(t *testing.T) {
	for _, c := range []struct {
		err  mailer.Error
		want string
	}{
		{mailer.Error{}, "unclassified failure [may have been sent]"},
		{mailer.Error{Kind: mailer.KindInvalid, NotSent: true, Field: "To[2]", Message: "the address is empty"}, "invalid message: To[2]: the address is empty"},
		{mailer.Error{Provider: "postmark", Kind: mailer.KindRateLimited, NotSent: true, Status: 429, RetryAfter: time.Minute}, "postmark: rate limited (status 429)"},
		{
			mailer.Error{Provider: "postmark", Kind: mailer.KindRecipient, NotSent: true, Status: 422, Code: "406", Message: "Inactive recipient", RequestID: "r1"},
			"postmark: recipient refused (status 422, code 406): Inactive recipient",
		},
		{mailer.Error{Provider: "ses", Kind: mailer.KindQuota, NotSent: true, Code: "LimitExceeded"}, "ses: quota used up (code LimitExceeded)"},
		{mailer.Error{Provider: "smtp", Kind: mailer.KindNetwork, Err: io.ErrUnexpectedEOF}, "smtp: network failure: unexpected EOF [may have been sent]"},
		{mailer.Error{Kind: mailer.KindCanceled, NotSent: true, Err: context.Canceled}, "canceled: context canceled"},
		{mailer.Error{Kind: 99, NotSent: true}, "kind 99"},
		{
			mailer.Error{Provider: "smtp", Kind: mailer.KindContent, NotSent: true, Message: "no\r\nBcc: eve\x1b[2J\u2028", Err: errors.Join(io.EOF, io.EOF)},
			"smtp: content refused: no  Bcc: eve [2J : EOF EOF",
		},
	} {
		require.Equal(t, c.want, c.err.Error())
	}
	require.Equal(t, "<nil>", (*mailer.Error)(nil).Error())
}

func TestEveryKindHasItsOwnWords(t *testing.T) {
	want := []string{
		"unclassified failure", "invalid message", "message rejected", "unsupported by this service", "message too large",
		"content refused", "recipient refused", "sender not verified", "unauthorized", "quota used up", "rate limited",
		"service unavailable", "network failure", "canceled", "kind 14",
	}
	for i, words := range want {
		require.Equal(t, words, mailer.Kind(i).String())
		require.Equal(t, words, mailer.Kind(i).Error())
	}
	require.Equal(t, len(want)-2, int(mailer.KindCanceled), "the last kind")
}

func TestErrorIsItsKindAndItsCause(t *testing.T) {
	err := fmt.Errorf("sign-up: %w", &mailer.Error{Kind: mailer.KindNetwork, Err: io.EOF})
	require.ErrorIs(t, err, mailer.KindNetwork)
	require.ErrorIs(t, err, io.EOF)
	require.NotErrorIs(t, err, mailer.KindCanceled)
	require.NotErrorIs(t, err, io.ErrClosedPipe)
	require.NotErrorIs(t, &mailer.Error{}, mailer.KindInvalid)
	require.ErrorIs(t, &mailer.Error{}, mailer.KindUnknown)
}

func TestKindOf(t *testing.T) {
	limited := &mailer.Error{Kind: mailer.KindRateLimited}
	var none *mailer.Error
	for _, c := range []struct {
		name string
		err  error
		want mailer.Kind
	}{
		{"nil is unknown", nil, mailer.KindUnknown},
		{"any other error is unknown", io.EOF, mailer.KindUnknown},
		{"an error has its kind", limited, mailer.KindRateLimited},
		{"a wrapped error keeps it", fmt.Errorf("a: %w", fmt.Errorf("b: %w", limited)), mailer.KindRateLimited},
		{"a kind is its own", fmt.Errorf("a: %w", mailer.KindQuota), mailer.KindQuota},
		{"of several the first counts", errors.Join(io.EOF, limited, &mailer.Error{Kind: mailer.KindContent}), mailer.KindRateLimited},
		{"the outer kind counts before that of the cause", &mailer.Error{Kind: mailer.KindUnavailable, Err: limited}, mailer.KindUnavailable},
		{"an unknown error stays unknown whatever its cause", &mailer.Error{Err: context.Canceled}, mailer.KindUnknown},
		{"a caller who gave up", fmt.Errorf("a: %w", context.Canceled), mailer.KindCanceled},
		{"a deadline is the network's", fmt.Errorf("a: %w", context.DeadlineExceeded), mailer.KindNetwork},
		{"a nil *Error is unknown", none, mailer.KindUnknown},
		{"a wrapped nil *Error is unknown", fmt.Errorf("a: %w", none), mailer.KindUnknown},
		{"a network error that nobody classified is unknown", &net.OpError{Op: "dial", Err: io.EOF}, mailer.KindUnknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.want, mailer.KindOf(c.err))
		})
	}
}

func TestNotSent(t *testing.T) {
	not, maybe := &mailer.Error{NotSent: true}, &mailer.Error{}
	var none *mailer.Error
	for _, c := range []struct {
		name string
		err  error
		want bool
	}{
		{"nil says nothing", nil, false},
		{"a nil *Error says nothing", none, false},
		{"a foreign error says nothing", io.EOF, false},
		{"an error that is sure", not, true},
		{"an error that is not", maybe, false},
		{"a wrapped error that is sure", fmt.Errorf("a: %w", fmt.Errorf("b: %w", not)), true},
		{"a wrapped error that is not", fmt.Errorf("a: %w", maybe), false},
		{"a wrapped nil *Error", fmt.Errorf("a: %w", none), false},
		{"several that are all sure", errors.Join(not, fmt.Errorf("a: %w", not)), true},
		{"several with one that is not", errors.Join(not, maybe, not), false},
		{"several with a foreign one", errors.Join(not, io.EOF), false},
		{"two wrapped by one text", fmt.Errorf("%w and %w", not, maybe), false},
		{"two sure ones wrapped by one text", fmt.Errorf("%w and %w", not, not), true},
		{"a list inside a list", errors.Join(not, errors.Join(not, maybe)), false},
		{"an empty list", list{}, false},
		{"the outer error counts, not its cause", &mailer.Error{NotSent: false, Err: not}, false},
		{"the outer error counts, not a doubtful cause", &mailer.Error{NotSent: true, Err: maybe}, true},
		{"a kind alone", mailer.KindInvalid, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.want, mailer.NotSent(c.err))
		})
	}
}

type list struct{}

func (list) Error() string   { return "list" }
func (list) Unwrap() []error { return nil }

func TestANilErrorNeverPanics(t *testing.T) {
	var none *mailer.Error
	require.NotPanics(t, func() {
		require.NoError(t, none.Unwrap())
		require.NotErrorIs(t, none, mailer.KindUnknown)
		require.False(t, strings.Contains(fmt.Sprintf("%v %+v", none, none), "PANIC"))
	})
}
