package mailer

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Kind says whose fault a failure was, and so what can be done about it. It is
// itself an error, for errors.Is(err, mailer.KindRateLimited).
type Kind uint8

// The kinds. What a failover does with each stands in package failover.
const (
	// KindUnknown is a failure that nobody has classified.
	KindUnknown Kind = iota
	// KindInvalid is a message that is wrong for every service. Only this
	// library's own checks say so, before any traffic.
	KindInvalid
	// KindRejected is a service's no to this message by its own rules or
	// settings: its validation, an unknown template or stream, a file type.
	KindRejected
	// KindUnsupported is a message that this service has no words for.
	KindUnsupported
	// KindTooLarge is a message over this service's limits.
	KindTooLarge
	// KindContent is a message refused by a content or spam policy.
	KindContent
	// KindRecipient is a recipient who is suppressed, inactive or malformed at
	// the service.
	KindRecipient
	// KindSender is a From address or domain that is not verified at the service.
	KindSender
	// KindUnauthorized is a bad key, or an account that is suspended, paused or
	// not yet approved.
	KindUnauthorized
	// KindQuota is an account whose credits, plan or daily quota are used up.
	KindQuota
	// KindRateLimited is a service that asks to slow down.
	KindRateLimited
	// KindUnavailable is a service that failed or is under maintenance.
	KindUnavailable
	// KindNetwork is an exchange without a complete answer: refused, broken,
	// timed out.
	KindNetwork
	// KindCanceled is a caller who gave up.
	KindCanceled
)

var kindNames = [...]string{
	KindUnknown:      "unclassified failure",
	KindInvalid:      "invalid message",
	KindRejected:     "message rejected",
	KindUnsupported:  "unsupported by this service",
	KindTooLarge:     "message too large",
	KindContent:      "content refused",
	KindRecipient:    "recipient refused",
	KindSender:       "sender not verified",
	KindUnauthorized: "unauthorized",
	KindQuota:        "quota used up",
	KindRateLimited:  "rate limited",
	KindUnavailable:  "service unavailable",
	KindNetwork:      "network failure",
	KindCanceled:     "canceled",
}

// String says the kind in words: "rate limited".
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "kind " + strconv.Itoa(int(k))
}

// Error makes a Kind a target for errors.Is.
func (k Kind) Error() string { return k.String() }

// Error is every failure that a Sender reports. It carries no credential.
type Error struct {
	// Provider is the service that failed. Empty: this library, before any
	// service was chosen.
	Provider string
	// Kind says whose fault it was.
	Kind Kind
	// NotSent is true only if nobody can have this message. False is the cautious
	// answer: it may have gone out.
	NotSent bool
	// Field is the part of the message at fault, for [KindInvalid],
	// [KindUnsupported] and [KindTooLarge]: `To[2]`, `Headers["X-A"]`. Empty: none
	// in particular.
	Field string
	// Recipients are the addresses at fault, for [KindRecipient], as the message
	// spells them where it has them. Nil: the service does not say which.
	Recipients []string
	// Status is the HTTP or SMTP status. 0: there was none.
	Status int
	// Code is the service's own code, verbatim.
	Code string
	// Message is the service's own words, or ours. Bounded. It may name a
	// recipient's address.
	Message string
	// RequestID is what the service's support asks for.
	RequestID string
	// RetryAfter is how long the service asked to be left alone. 0: it did not say.
	RetryAfter time.Duration
	// Err is the cause, if there is one.
	Err error
}

// Error says it on one line: provider, kind, field, status, code, words. Control
// characters in what others said become spaces.
func (e *Error) Error() string {
	if e == nil {
		return "<nil>"
	}
	var b strings.Builder
	if e.Provider != "" {
		b.WriteString(e.Provider)
		b.WriteString(": ")
	}
	b.WriteString(e.Kind.String())
	if e.Field != "" {
		b.WriteString(": ")
		b.WriteString(e.Field)
	}
	if e.Status != 0 || e.Code != "" {
		b.WriteString(" (")
		if e.Status != 0 {
			b.WriteString("status ")
			b.WriteString(strconv.Itoa(e.Status))
			if e.Code != "" {
				b.WriteString(", ")
			}
		}
		if e.Code != "" {
			b.WriteString("code ")
			b.WriteString(e.Code)
		}
		b.WriteString(")")
	}
	if e.Message != "" {
		b.WriteString(": ")
		b.WriteString(e.Message)
	}
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(e.Err.Error())
	}
	if !e.NotSent && e.Kind != KindInvalid {
		b.WriteString(" [may have been sent]")
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, b.String())
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.Err
}

// Is reports whether target is e's Kind.
func (e *Error) Is(target error) bool {
	k, ok := target.(Kind)
	return ok && e != nil && k == e.Kind
}

// KindOf returns the kind of the first [*Error] or Kind in err's tree. For any
// other error it is KindCanceled for context.Canceled, KindNetwork for
// context.DeadlineExceeded, and KindUnknown otherwise, nil and a nil [*Error]
// included.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok && e != nil {
		return e.Kind
	}
	if k, ok := errors.AsType[Kind](err); ok {
		return k
	}
	switch {
	case errors.Is(err, context.Canceled):
		return KindCanceled
	case errors.Is(err, context.DeadlineExceeded):
		return KindNetwork
	}
	return KindUnknown
}

// NotSent reports whether err says for certain that nobody can have the message.
// It is false for nil and for an error that does not come from a Sender. Of
// several errors joined into one, every one has to say so.
func NotSent(err error) bool {
	switch e := err.(type) {
	case *Error:
		return e != nil && e.NotSent
	case interface{ Unwrap() error }:
		return NotSent(e.Unwrap())
	case interface{ Unwrap() []error }:
		errs := e.Unwrap()
		for _, err := range errs {
			if !NotSent(err) {
				return false
			}
		}
		return len(errs) > 0
	}
	return false
}
