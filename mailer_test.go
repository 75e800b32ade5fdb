package mailer_test

import (
	"context"
	"errors"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
)

// service is a Sender with one power.
type service struct{ err error }

func (service) Send(context.Context, mailer.Message) (mailer.Receipt, error) {
	return mailer.Receipt{Provider: "service"}, nil
}
func (s service) Check(mailer.Message) error { return s.err }

// wrapper lets itself be looked through.
type wrapper struct{ mailer.Sender }

func (w wrapper) Unwrap() mailer.Sender { return w.Sender }

// guard is a wrapper with the power itself.
type guard struct {
	wrapper
	err error
}

func (g guard) Check(mailer.Message) error { return g.err }

// closed does not let itself be looked through.
type closed struct{ mailer.Sender }

func TestAsFindsTheFirstSenderOfAType(t *testing.T) {
	errInner, errOuter := errors.New("inner"), errors.New("outer")
	for _, c := range []struct {
		name   string
		sender mailer.Sender
		want   error // of the Checker found; nil: none
	}{
		{"in the sender itself", service{errInner}, errInner},
		{"in what a wrapper wraps", wrapper{service{errInner}}, errInner},
		{"through two wrappers", wrapper{wrapper{service{errInner}}}, errInner},
		{"the outermost of two", guard{wrapper{service{errInner}}, errOuter}, errOuter},
		{"nothing behind a wrapper that does not open", closed{service{errInner}}, nil},
		{"nothing in a sender without the power", mailer.SenderFunc(nil), nil},
		{"nothing in a wrapper around nothing", wrapper{nil}, nil},
		{"nothing in nil", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			checker, ok := mailer.As[mailer.Checker](c.sender)
			require.Equal(t, c.want != nil, ok)
			if ok {
				require.Equal(t, c.want, checker.Check(mailer.Message{}))
			} else {
				require.Nil(t, checker)
			}
		})
	}
	w, ok := mailer.As[wrapper](wrapper{service{errInner}})
	require.True(t, ok, "a concrete type is found as well")
	require.Equal(t, wrapper{service{errInner}}, w)
}

func TestSenderFuncCallsItself(t *testing.T) {
	want := errors.New("no")
	var got mailer.Message
	var s mailer.Sender = mailer.SenderFunc(func(ctx context.Context, m mailer.Message) (mailer.Receipt, error) {
		require.Equal(t, t.Context(), ctx)
		got = m
		return mailer.Receipt{ID: m.ID}, want
	})
	r, err := s.Send(t.Context(), mailer.Message{ID: "a"})
	require.Equal(t, want, err)
	require.Equal(t, mailer.Receipt{ID: "a"}, r)
	require.Equal(t, mailer.Message{ID: "a"}, got)
}

func TestExtraForFindsValuesAndPointers(t *testing.T) {
	for _, c := range []struct {
		name   string
		extras []mailer.Extra
		want   extraA
	}{
		{"a value", []mailer.Extra{extraA{Stream: "s"}}, extraA{"s"}},
		{"a pointer", []mailer.Extra{&extraA{Stream: "s"}}, extraA{"s"}},
		{"behind those of other services", []mailer.Extra{nil, extraB{"p"}, &extraB{"p"}, extraA{"s"}}, extraA{"s"}},
		{"none", []mailer.Extra{extraB{"p"}}, extraA{}},
		{"no extras at all", nil, extraA{}},
		{"a nil pointer as none", []mailer.Extra{(*extraA)(nil)}, extraA{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.want, mailer.ExtraFor[extraA](mailer.Message{Extras: c.extras}))
		})
	}
}

func TestNewIDIsAGoodIDAndNeverTheSame(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := mailer.NewID()
		require.Regexp(t, regexp.MustCompile(`^[A-Z2-7]{26}$`), id)
		require.False(t, seen[id])
		seen[id] = true
		m := registration()
		m.ID = id
		require.NoError(t, m.Validate())
	}
}
