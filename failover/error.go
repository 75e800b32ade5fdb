package failover

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed355143d4/mailer"
)

// AttemptsError lists what a [Chain] tried before it gave up. It is the cause of
// the [*mailer.Error] that Send returns: errors.AsType[*failover.AttemptsError]
// finds it. It is never without an attempt.
type AttemptsError struct {
	// Attempts are the attempts in their order. Each has an Err that is, or
	// wraps, a [*mailer.Error].
	Attempts []mailer.Attempt
	// ended is the end of the caller's context, if that is what ended the chain.
	ended error
}

// Error lists every attempt on one line.
func (e *AttemptsError) Error() string {
	var b strings.Builder
	b.WriteString(strconv.Itoa(len(e.Attempts)))
	if b.WriteString(" attempt"); len(e.Attempts) != 1 {
		b.WriteByte('s')
	}
	for i, a := range e.Attempts {
		b.WriteString([]string{": ", "; "}[min(i, 1)])
		words := oneLine.Replace(a.Err.Error())
		if !strings.HasPrefix(words, a.Provider+": ") {
			b.WriteString(a.Provider)
			b.WriteString(": ")
		}
		b.WriteString(words)
	}
	if e.ended != nil {
		b.WriteString("; then ")
		b.WriteString(e.ended.Error())
	}
	return b.String()
}

var oneLine = strings.NewReplacer("\r", " ", "\n", " ")

// Unwrap returns the error of each attempt.
func (e *AttemptsError) Unwrap() []error {
	errs := make([]error, 0, len(e.Attempts)+1)
	for _, a := range e.Attempts {
		errs = append(errs, a.Err)
	}
	if e.ended != nil {
		errs = append(errs, e.ended)
	}
	return errs
}

// provider is the Provider of a chain's own errors.
const provider = "failover"

// giveUp makes the error of a chain that failed. Stopped tells that the last
// attempt forbade the next.
func (c *Chain) giveUp(ctx context.Context, w *walk, stopped bool) error {
	attempts := w.attempts
	e := &mailer.Error{Provider: provider, NotSent: true}
	for _, a := range attempts {
		e.NotSent = e.NotSent && mailer.NotSent(a.Err)
	}
	if len(attempts) > 0 {
		all := &AttemptsError{Attempts: attempts}
		e.Err = all
		last := attempts[len(attempts)-1]
		if stopped {
			e.Kind, e.RetryAfter, e.Field = mailer.KindOf(last.Err), retryAfter(last.Err), field(last.Err)
			e.Recipients = recipients(last.Err)
			return e
		}
		if all.ended = ctx.Err(); all.ended != nil {
			e.Kind = mailer.KindOf(all.ended)
			return e
		}
	} else if e.Err = ctx.Err(); e.Err != nil {
		e.Kind = mailer.KindOf(e.Err)
		return e
	}
	verdict(e, w)
	return e
}

// verdict finds the decisive failure when every target failed or was passed by.
func verdict(e *mailer.Error, w *walk) {
	const (
		none = iota
		messages
		passedBy
		others
		unknown
	)
	now := time.Now()
	found := none
	var resting, full, silent []string
	for i := range w.len() {
		t := w.at(i)
		var kind mailer.Kind
		var after time.Duration
		var where string
		weight := others
		if err := errorOf(t.name, w.attempts); err != nil {
			kind, after, where = mailer.KindOf(err), retryAfter(err), field(err)
			switch {
			case !mailer.NotSent(err):
				weight = unknown
			case messageFault(kind):
				weight, after = messages, 0
			case after == 0:
				after = t.health.restLeft(now)
			}
		} else {
			weight = passedBy
			var until time.Time
			switch until, _, kind = t.health.wakes(now); {
			case !until.IsZero():
				after = until.Sub(now)
				resting = append(resting, t.name+" ("+kind.String()+")")
			case w.passed && !t.health.silent():
				kind, full = mailer.KindRateLimited, append(full, t.name)
				if !w.roomAt.IsZero() {
					after = max(1, w.roomAt.Sub(now))
				}
			default: // at least it was, when it was passed by
				kind, silent = mailer.KindNetwork, append(silent, t.name)
			}
		}
		sooner := after > 0 && (e.RetryAfter == 0 || after < e.RetryAfter)
		if weight > found || len(w.attempts) == 0 && sooner {
			found, e.Kind, e.Field = weight, kind, where
		}
		if sooner {
			e.RetryAfter = after
		}
	}
	var words []string
	for _, group := range []struct {
		why   string
		names []string
	}{{"resting: ", resting}, {"no room: ", full}, {"silent: ", silent}} {
		if len(group.names) > 0 {
			words = append(words, group.why+strings.Join(group.names, ", "))
		}
	}
	e.Message = strings.Join(words, "; ")
}

// errorOf returns how the last attempt at a target ended.
func errorOf(name string, attempts []mailer.Attempt) error {
	for _, a := range slices.Backward(attempts) {
		if a.Provider == name {
			return a.Err
		}
	}
	return nil
}

func recipients(err error) []string {
	if e, ok := errors.AsType[*mailer.Error](err); ok {
		return e.Recipients
	}
	return nil
}

func field(err error) string {
	if e, ok := errors.AsType[*mailer.Error](err); ok {
		return e.Field
	}
	return ""
}
