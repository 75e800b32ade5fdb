package failover

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/seed355143d4/mailer"
)

// step is where a message stands after an attempt.
type step uint8

const (
	taken   step = iota
	stopped      // nobody may be tried any more
	onward       // to the next target
	again        // at the same target, after walk.wait
)

// next returns the first target ahead that may be tried now, with the permit for
// it.
func (c *Chain) next(ctx context.Context, w *walk) (*target, permit) {
	for w.pos < w.len() {
		t := w.at(w.pos)
		w.pos++
		if w.been(t) {
			continue
		}
		p, ok := t.health.admit()
		if !ok {
			continue
		}
		if c.room(ctx, t, w) {
			return t, p
		}
		t.health.release(p)
		w.passed = true
		if ctx.Err() != nil {
			break
		}
	}
	return nil, permit{}
}

// anyway returns, for a message for which next has none left, one that may be tried
// by now, or else one although it rests.
func (c *Chain) anyway(ctx context.Context, w *walk) (*target, permit) {
	if w.passed || w.duplicate {
		return nil, permit{}
	}
	if len(w.attempts) > 0 {
		w.pos = 0
		if t, p := c.next(ctx, w); t != nil || w.passed {
			return t, p
		}
	}
	t := w.wakesFirst(time.Now())
	if t == nil || !c.room(ctx, t, w) {
		return nil, permit{}
	}
	return t, t.health.late()
}

// try makes one attempt, with all that belongs to it. It gives the permit back
// whatever happens.
func (c *Chain) try(ctx context.Context, w *walk, t *target, p permit) (mailer.Receipt, step) {
	reported := false
	start := time.Now()
	t.health.sends.begin(start)
	answered, now := false, start
	defer func() {
		t.health.sends.end(answered, now)
		if !reported { // a panic, in the Sender or in the user's functions
			t.health.release(p)
			c.ended(t, errPanic, w)
		}
	}()
	end, own, telling := c.limits(ctx, t, start, w)
	var receipt mailer.Receipt
	half := start.Add(min(end.Sub(start)/2, minShare))
	asked := c.ask(ctx, w, t, p, half)
	if asked != nil {
		end, own, telling = half, true, telling/2
	}
	err := unsent(asked)
	if asked == nil {
		receipt, err = send(ctx, &w.m, t.sender, end, own)
	}
	now = time.Now()
	answered = isAnswer(err)
	a := mailer.Attempt{Provider: t.name, Start: start, Duration: now.Sub(start), PossibleDuplicate: w.duplicate}
	if err == nil {
		reported = true
		t.health.usual.took(a.Duration)
		c.succeeded(ctx, t, p, 1, now)
		c.blame(ctx, w, now)
		c.ended(t, nil, w)
		c.add(ctx, w, a, Decision{})
		return w.receipt(receipt, t), taken
	}

	timeUp := timeUp{callers: ctx.Err(), own: own && !now.Before(end), tooSoon: end.Sub(start) < telling}
	var d Decision
	var health Decision
	d, health, a.Err = c.judge(t, err, timeUp)
	wait, retry := c.retry(ctx, w, t, a.Err, d, now)
	reported = true
	if retry = retry && t.health.again(p, 1); !retry {
		c.failed(ctx, t, p, 1, health, cmp.Or(asked, a.Err), now)
		w.refuse(t, p, health, a.Err)
	}
	c.ended(t, a.Err, w)
	w.step, w.harm = c.add(ctx, w, a, d), d.Strike || d.Rest
	w.turn(retry, wait)
	return mailer.Receipt{}, w.step
}

// add puts an attempt on record and says how the message goes on.
func (c *Chain) add(ctx context.Context, w *walk, a mailer.Attempt, d Decision) step {
	w.attempts = append(w.attempts, a)
	if c.onAttempt != nil {
		c.onAttempt(ctx, a)
	}
	switch {
	case a.Err == nil:
		return taken
	case mailer.NotSent(a.Err):
	case !w.m.AllowDuplicate:
		return stopped
	default:
		w.duplicate = true
	}
	if !d.Next {
		return stopped
	}
	return onward
}

// timeUp says what the end of an attempt had to do with time.
type timeUp struct {
	callers error // the end of the caller's context
	own     bool  // the attempt's own time ran out, not the caller's
	tooSoon bool  // the time was too short to tell anything about the service
}

// judge makes a typed error of what a Sender returned, and finds what it means for
// the message, and for the target's health.
func (c *Chain) judge(t *target, err error, up timeUp) (d, health Decision, typedErr error) {
	up.own = up.own && up.callers == nil
	err = typed(err, t.name, up.callers, up.own)
	d = c.decide(err)
	health = d
	switch {
	case up.callers != nil && mailer.KindOf(up.callers) == mailer.KindCanceled:
		health.Strike = false
	case (up.own || up.callers != nil) && mailer.KindOf(err) == mailer.KindNetwork && up.tooSoon:
		health.Strike = false
	}
	return d, health, err
}

// send calls s with a context that ends at end.
func send(ctx context.Context, m *mailer.Message, s mailer.Sender, end time.Time, own bool) (mailer.Receipt, error) {
	if !own {
		return s.Send(ctx, *m)
	}
	attempt := &attemptContext{Context: ctx, deadline: end}
	defer attempt.end()
	return s.Send(attempt, *m)
}

// ask asks t whether its credentials are good, if it is to be tried in or after a
// rest for a message that may be out. A service that does not answer would leave
// the next one in doubt as well; so it gets none until it answers. What it answers
// does not matter: to know whether it takes mail is the message's part. Only that it
// is unavailable keeps w back as well, but not if t is all that is left: the
// question may be answered elsewhere than the mail. An error leaves t in the doubt in
// which it was, although that of Verify is NotSent.
func (c *Chain) ask(ctx context.Context, w *walk, t *target, p permit, end time.Time) error {
	if t.verifier == nil || !p.probe && !p.late || mailer.NotSent(t.health.why()) {
		return nil
	}
	question := &attemptContext{Context: ctx, deadline: end}
	defer question.end()
	err := t.verifier.Verify(question)
	if err == nil {
		return nil
	}
	if question.Err() != nil {
		err = typed(err, t.name, ctx.Err(), ctx.Err() == nil)
	} else if k := mailer.KindOf(err); k != mailer.KindNetwork && (k != mailer.KindUnavailable || p.late && len(w.attempts) == 0) {
		return nil
	}
	return &mailer.Error{
		Provider: t.name, Kind: mailer.KindOf(err), RetryAfter: retryAfter(err),
		Message: "does not answer yet, and was given no message", Err: err,
	}
}

// likelyAnswers tells whether t rests, and is not likely to leave another message in
// doubt: because it rests for a clear answer, or for none and can be asked first. A
// service that answers with errors would answer the question, too.
func (t *target) likelyAnswers() bool {
	err := t.health.why()
	return err != nil && (mailer.NotSent(err) || t.verifier != nil && mailer.KindOf(err) == mailer.KindNetwork)
}

// unsent is err of ask as it is for the message.
func unsent(err error) error {
	e, ok := errors.AsType[*mailer.Error](err)
	if !ok {
		return err
	}
	clear := *e
	clear.NotSent = true
	return &clear
}

// isAnswer tells whether an attempt that ended with err was answered.
func isAnswer(err error) bool {
	switch mailer.KindOf(err) {
	case mailer.KindNetwork, mailer.KindCanceled:
		return false
	}
	return true
}

// typed makes a *mailer.Error of what a Sender returned, unless it is one, and
// corrects a Sender that takes the end of its attempt for the end of the caller.
func typed(err error, name string, callersEnd error, timedOut bool) error {
	e, ok := errors.AsType[*mailer.Error](err)
	switch {
	case ok && e == nil:
		return &mailer.Error{Provider: name, Message: "the Sender returned a nil *mailer.Error"}
	case timedOut && (!ok || e.Kind == mailer.KindCanceled):
		return &mailer.Error{Provider: name, Kind: mailer.KindNetwork, NotSent: mailer.NotSent(err), Message: "no answer in time", Err: err}
	case ok:
		return err
	}
	kind := mailer.KindOf(err)
	if kind == mailer.KindUnknown && callersEnd != nil {
		kind = mailer.KindOf(callersEnd)
	}
	return &mailer.Error{Provider: name, Kind: kind, Err: err}
}

// succeeded tells t's health, the log and the Store that t took n messages.
func (c *Chain) succeeded(ctx context.Context, t *target, p permit, n int, now time.Time) {
	if t.health.succeed(p, n, now) == recovered {
		c.log.LogAttrs(ctx, slog.LevelInfo, "failover: target is back", slog.String("provider", t.name))
		c.publish(t, now)
	}
}

// failed tells them that n messages failed at t, d and err being the worst of it.
func (c *Chain) failed(ctx context.Context, t *target, p permit, n int, d Decision, err error, now time.Time) {
	if t.health.fail(p, n, d, err, now) == cameToRest {
		c.logRest(ctx, t, now)
		c.publish(t, now)
	}
}

// refusal is a message's refusal by a target.
type refusal struct {
	t   *target
	p   permit
	err error
}

// refuse remembers that t refused the message, if it was the first to.
func (w *walk) refuse(t *target, p permit, d Decision, err error) {
	if d.Refusal && !d.Strike && !d.Rest && w.refused.t == nil {
		w.refused = refusal{t, p, err}
	}
}

// blame counts the refusal of a message against the target that refused it first,
// now that another has taken it: until then, the message may have been at fault. Who
// refuses it second is in good company, and is not blamed: a backup sees the
// messages that others refused, and among them none that is right.
func (c *Chain) blame(ctx context.Context, w *walk, now time.Time) {
	r := w.refused
	if r.t == nil {
		return
	}
	if r.t.health.refuse(r.p, fingerprintOf(&w.m), r.err, now) == cameToRest {
		c.logRest(ctx, r.t, now)
		c.publish(r.t, now)
	}
}

// errPanic is how a message ended for the Ledger and the Limiter whose Sender
// panicked.
var errPanic error = &mailer.Error{Provider: provider, Message: "panic"}

// ended tells the Ledger and the Limiter that ws ended at t with err.
func (c *Chain) ended(t *target, err error, ws ...*walk) {
	if f, ok := t.limiter.(Feedback); ok {
		f.Ended(len(ws), err)
	}
	if c.ledger != nil {
		for _, w := range ws {
			c.ledger.End(t.index, w.m, err)
		}
	}
}
