package failover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seed355143d4/mailer"
)

// Config holds the settings of a [Chain]. The zero value is a good one.
type Config struct {
	// Decide says what a failure means. Nil: [Decide], the table in the package
	// comment. It is called from many goroutines at once, with an error that is,
	// or wraps, a [*mailer.Error].
	Decide func(err error) Decision
	// Strikes is how many strikes in a row let a target rest. 0: 3.
	Strikes int
	// Rest is the first rest of a target whose service named no time. It doubles
	// with each rest in a row, up to MaxRest; from each a random part of up to a
	// quarter is taken off. 0: 30 seconds.
	Rest time.Duration
	// MaxRest is the longest such rest. 0: 10 minutes, or Rest if that is longer.
	MaxRest time.Duration
	// AttemptTimeout limits each attempt when the caller's context has no
	// deadline and the target no Timeout. 0: 30 seconds.
	AttemptTimeout time.Duration
	// Order says in which order the targets are tried for a message. Nil: as they
	// are listed.
	Order Order
	// Store shares rests with the chains of other processes. Nil: what a chain
	// learns about its targets stays in memory.
	Store Store
	// OnAttempt, if set, is told of every attempt, failed or not, as soon as it
	// ended. It is called synchronously, from the goroutine of Send and with the
	// caller's context: what it takes, Send takes longer. The words of a.Err may
	// name a recipient's address.
	OnAttempt func(ctx context.Context, a mailer.Attempt)
	// Logger is told of every switch to another target (warning; error if a
	// service does not accept the sender or the credentials), of every rest and
	// of every return: names, kinds, status, code, durations and the message's
	// ID, but no address, no subject, no body and no words of a service. Nil:
	// slog.Default(), as it is when New is called.
	Logger *slog.Logger
}

// Target is a Sender with what belongs to its place in a [Chain]. It is itself a
// Sender, which only passes on.
type Target struct {
	// Name names the target in attempts, logs and [Health]. It has to be safe for
	// a log. Empty: the name of the [mailer.Provider] in Sender, or else
	// "target-1", "target-2" and so on by its place.
	Name string
	// Sender sends.
	mailer.Sender
	// Timeout limits an attempt, beside the caller's deadline. 0: no limit of its
	// own.
	Timeout time.Duration
	// Weight is the target's part of the mail, for an [Order] that spreads it.
	// 0: 1.
	Weight int
	// Limiter limits the rate of messages. Nil: no limit.
	Limiter Limiter
	// MaxWait is how long a message waits for Limiter before it goes on to the
	// next target, or fails as KindRateLimited if there is none. It waits no
	// longer than half of the time that it has for this target. 0: a second.
	MaxWait time.Duration
}

// Unwrap returns t.Sender, for [mailer.As].
func (t Target) Unwrap() mailer.Sender { return t.Sender }

// Chain is a Sender over several targets. The package comment says what it does.
// It is safe for use by many goroutines, holds no goroutine and no connection of
// its own, and keeps what it learns about its targets in memory, unless Config
// has a Store.
type Chain struct {
	targets        []*target
	decide         func(error) Decision
	attemptTimeout time.Duration
	order          Order
	ledger         Ledger // order, if it is one
	scratch        *sync.Pool
	store          Store
	onAttempt      func(context.Context, mailer.Attempt)
	log            *slog.Logger
}

var (
	_ mailer.Sender  = (*Chain)(nil)
	_ mailer.Checker = (*Chain)(nil)
)

type target struct {
	index   int
	name    string
	sender  mailer.Sender
	timeout time.Duration
	limiter Limiter
	allower allower // limiter, if it is one
	maxWait time.Duration
	health  health
}

// New makes a Chain that prefers the senders in their order. A sender may be a
// [Target], also one inside a wrapper. New does no I/O and starts no goroutine.
// It refuses an empty list, a nil Sender, a negative setting, two targets of one
// name, and what the Order or the Store refuses.
func New(cfg Config, senders ...mailer.Sender) (*Chain, error) {
	if len(senders) == 0 {
		return nil, errors.New("failover: no sender")
	}
	for _, setting := range []struct {
		name  string
		value int64
	}{
		{"Strikes", int64(cfg.Strikes)},
		{"Rest", int64(cfg.Rest)},
		{"MaxRest", int64(cfg.MaxRest)},
		{"AttemptTimeout", int64(cfg.AttemptTimeout)},
	} {
		if setting.value < 0 {
			return nil, fmt.Errorf("failover: %s is negative", setting.name)
		}
	}
	c := &Chain{
		decide:         cfg.Decide,
		attemptTimeout: orDefault(cfg.AttemptTimeout, 30*time.Second),
		order:          cfg.Order,
		store:          cfg.Store,
		onAttempt:      cfg.OnAttempt,
		log:            cfg.Logger,
	}
	if c.decide == nil {
		c.decide = Decide
	}
	if c.log == nil {
		c.log = slog.Default()
	}
	rest := orDefault(cfg.Rest, 30*time.Second)
	maxRest := orDefault(cfg.MaxRest, max(10*time.Minute, rest))
	if maxRest < rest {
		return nil, errors.New("failover: MaxRest is shorter than Rest")
	}
	names := make(map[string]bool, len(senders))
	infos := make([]TargetInfo, 0, len(senders))
	for i, s := range senders {
		place := settings(s)
		switch {
		case s == nil || place.Sender == nil:
			return nil, fmt.Errorf("failover: sender %d is nil", i+1)
		case place.Timeout < 0:
			return nil, fmt.Errorf("failover: Timeout of sender %d is negative", i+1)
		case place.Weight < 0:
			return nil, fmt.Errorf("failover: Weight of sender %d is negative", i+1)
		case place.MaxWait < 0:
			return nil, fmt.Errorf("failover: MaxWait of sender %d is negative", i+1)
		}
		t := &target{
			index: i, name: place.Name, sender: s, timeout: place.Timeout,
			limiter: place.Limiter, maxWait: orDefault(place.MaxWait, time.Second),
		}
		t.allower, _ = place.Limiter.(allower)
		if p, ok := mailer.As[mailer.Provider](s); ok && t.name == "" {
			t.name = p.Name()
		}
		if t.name == "" {
			t.name = "target-" + strconv.Itoa(i+1)
		}
		if names[t.name] {
			return nil, fmt.Errorf("failover: two targets have the name %q: put one into a Target with a Name", t.name)
		}
		names[t.name] = true
		t.health = health{maxStrikes: orDefault(cfg.Strikes, 3), rest: rest, maxRest: maxRest}
		c.targets = append(c.targets, t)
		infos = append(infos, TargetInfo{Name: t.name, Weight: orDefault(place.Weight, 1), Sender: s})
	}
	if err := c.connect(infos); err != nil {
		return nil, err
	}
	return c, nil
}

// connect makes the chain known to its Order and its Store.
func (c *Chain) connect(infos []TargetInfo) error {
	if b, ok := c.order.(Binder); ok {
		if err := b.Bind(infos); err != nil {
			return fmt.Errorf("failover: Order: %w", err)
		}
	}
	c.ledger, _ = c.order.(Ledger)
	c.scratch = scratches(infos)
	if c.store == nil {
		return nil
	}
	names := make([]string, len(infos))
	for i, info := range infos {
		names[i] = info.Name
	}
	if err := c.store.Join(names, c.learn); err != nil {
		return fmt.Errorf("failover: Store: %w", err)
	}
	return nil
}

func orDefault[T int | time.Duration](v, fallback T) T {
	if v == 0 {
		return fallback
	}
	return v
}

// settings finds the Target in s.
func settings(s mailer.Sender) Target {
	if t, ok := mailer.As[*Target](s); ok {
		if t == nil {
			return Target{}
		}
		return *t
	}
	if t, ok := mailer.As[Target](s); ok {
		return t
	}
	return Target{Sender: s}
}

// Send sends m through the first target that takes it. It hands the message over
// at most once, unless m.AllowDuplicate lets it go on after an unknown outcome.
//
// If m has no ID, Send assigns one, so that all attempts share it. It does not
// validate m: the first target does, as every Sender promises, and a KindInvalid
// ends the chain.
//
// With a nil error a service took the message, and [mailer.Receipt].Attempts
// tells the way there. Otherwise the Receipt holds the ID only, and the error is
// a [*mailer.Error] of Provider "failover" whose cause is an [*AttemptsError], if
// there was an attempt. Its NotSent is true only if that of every attempt is. Its
// Kind is
//
//   - the kind of the failure at which the chain stopped, or
//   - the end of ctx (KindCanceled, KindNetwork), if nothing else stopped it, or
//   - after all targets failed, the kind of the first failure with an unknown
//     outcome; or of the first that was not the message's fault; or what the
//     first target rests for that was passed by, since it may yet take the
//     message; or of the first.
//
// Its RetryAfter is the earliest time at which a service that failed or rests
// wants to be asked again, as far as known. Targets have to return soon after
// their context ends: Send waits for them.
func (c *Chain) Send(ctx context.Context, m mailer.Message) (mailer.Receipt, error) {
	if m.ID == "" {
		m.ID = mailer.NewID()
	}
	if err := ctx.Err(); err != nil {
		return mailer.Receipt{ID: m.ID}, &mailer.Error{Provider: provider, Kind: mailer.KindOf(err), NotSent: true, Err: err}
	}
	w := walk{targets: c.targets}
	if c.store != nil {
		c.store.Poll()
	}
	if c.order != nil {
		s := c.scratch.Get().(*scratch)
		defer c.scratch.Put(s)
		var err error
		if w.order, err = c.arrange(s, m, time.Now()); err != nil {
			return mailer.Receipt{ID: m.ID}, err
		}
	}
	t, p := c.next(ctx, &w, 1)
	if t == nil {
		t, p = c.anyway(ctx, &w, 1)
	}
	if t == nil {
		return mailer.Receipt{ID: m.ID}, c.giveUp(ctx, &w, m.ID, nil, false)
	}
	var attempts []mailer.Attempt
	for duplicate := false; ; {
		receipt, a, d := c.try(ctx, &w, m, t, p, attempts, duplicate)
		attempts = append(attempts, a)
		if c.onAttempt != nil {
			c.onAttempt(ctx, a)
		}
		if a.Err == nil {
			receipt.Attempts = attempts
			if receipt.ID == "" {
				receipt.ID = m.ID
			}
			if receipt.Provider == "" {
				receipt.Provider = t.name
			}
			return receipt, nil
		}
		if !mailer.NotSent(a.Err) {
			if !m.AllowDuplicate {
				return mailer.Receipt{ID: m.ID}, c.giveUp(ctx, &w, m.ID, attempts, true)
			}
			duplicate = true
		}
		if !d.Next {
			return mailer.Receipt{ID: m.ID}, c.giveUp(ctx, &w, m.ID, attempts, true)
		}
		if ctx.Err() != nil {
			return mailer.Receipt{ID: m.ID}, c.giveUp(ctx, &w, m.ID, attempts, false)
		}
		if t, p = c.next(ctx, &w, 1); t == nil {
			return mailer.Receipt{ID: m.ID}, c.giveUp(ctx, &w, m.ID, attempts, false)
		}
	}
}

// next returns the first target ahead that may be tried now, with the permit for
// it.
func (c *Chain) next(ctx context.Context, w *walk, n int) (*target, permit) {
	for w.pos < w.len() && ctx.Err() == nil {
		t := w.at(w.pos)
		w.pos++
		p, ok := t.health.admit(time.Now())
		if !ok {
			continue
		}
		if c.room(ctx, t, w, n) {
			return t, p
		}
		t.health.release(p)
		w.passed = true
	}
	return nil, permit{}
}

// anyway returns a target although none may be tried, since all rest.
func (c *Chain) anyway(ctx context.Context, w *walk, n int) (*target, permit) {
	if w.passed || ctx.Err() != nil {
		return nil, permit{}
	}
	t := w.wakesFirst(time.Now())
	if t == nil || !c.room(ctx, t, w, n) {
		return nil, permit{}
	}
	return t, t.health.late()
}

// room tells whether the Ledger and the target's Limiter have room for n messages,
// and takes it.
func (c *Chain) room(ctx context.Context, t *target, w *walk, n int) bool {
	if c.ledger != nil && c.ledger.Begin(t.index, n) < n {
		return false
	}
	if c.allows(ctx, t, w, n, time.Now()) {
		return true
	}
	if c.ledger != nil {
		c.ledger.End(t.index, n, errNoRoom)
	}
	return false
}

// ended tells the Ledger and the Limiter how n messages at t ended.
func (c *Chain) ended(t *target, n int, err error) {
	if f, ok := t.limiter.(Feedback); ok {
		f.Ended(n, err)
	}
	if c.ledger != nil {
		c.ledger.End(t.index, n, err)
	}
}

// errPanic is how a message ended for the Ledger and the Limiter whose Sender
// panicked.
var errPanic error = &mailer.Error{Provider: provider, Message: "panic"}

// try makes one attempt, with all that belongs to it but Config.OnAttempt. It
// gives the permit back whatever happens.
func (c *Chain) try(ctx context.Context, w *walk, m mailer.Message, t *target, p permit, before []mailer.Attempt, duplicate bool) (receipt mailer.Receipt, a mailer.Attempt, d Decision) {
	reported := false
	defer func() {
		if !reported { // a panic, in the Sender or in the user's functions
			t.health.release(p)
			c.ended(t, 1, errPanic)
		}
	}()
	if len(before) > 0 {
		c.logSwitch(ctx, m.ID, before[len(before)-1], t.name)
	}

	start := time.Now()
	end, own, telling := c.limits(ctx, t, w, start)
	receipt, err := send(ctx, m, t.sender, end, own)
	now := time.Now()
	a = mailer.Attempt{Provider: t.name, Start: start, Duration: now.Sub(start), PossibleDuplicate: duplicate}
	if err == nil {
		reported = true
		if t.health.succeed(p, now) == recovered {
			c.log.LogAttrs(ctx, slog.LevelInfo, "failover: target is back", slog.String("provider", t.name))
			c.publish(t, now)
		}
		c.ended(t, 1, nil)
		return receipt, a, d
	}

	callersEnd := ctx.Err()
	timedOut := callersEnd == nil && own && !now.Before(end)
	a.Err = typed(err, t.name, callersEnd, timedOut)
	d = c.decide(a.Err)
	health := d
	switch {
	case callersEnd != nil && mailer.KindOf(callersEnd) == mailer.KindCanceled:
		health.Strike = false
	case (timedOut || callersEnd != nil) && mailer.KindOf(a.Err) == mailer.KindNetwork && end.Sub(start) < telling:
		health.Strike = false
	}
	reported = true
	if t.health.fail(p, health, a.Err, now) == cameToRest {
		c.logRest(ctx, t, a.Err, now)
		c.publish(t, now)
	}
	c.ended(t, 1, a.Err)
	return receipt, a, d
}

// send calls s with a context that ends at end.
func send(ctx context.Context, m mailer.Message, s mailer.Sender, end time.Time, own bool) (mailer.Receipt, error) {
	if !own {
		return s.Send(ctx, m)
	}
	attempt := &attemptContext{Context: ctx, deadline: end}
	defer attempt.end()
	return s.Send(attempt, m)
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

// Check returns nil if a target can carry m, or else what the first target says
// of it. A target that is no [mailer.Checker] counts as able to. It looks at what
// the services can express, not at their health.
func (c *Chain) Check(m mailer.Message) error {
	var first error
	for _, t := range c.targets {
		checker, ok := mailer.As[mailer.Checker](t.sender)
		if !ok {
			return nil
		}
		err := checker.Check(m)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// Health returns how each target stands, in their order. Each line is true of one
// moment, but not all of the same one.
func (c *Chain) Health() []Health {
	now := time.Now()
	all := make([]Health, len(c.targets))
	for i, t := range c.targets {
		all[i] = t.health.snapshot(t.name, now)
	}
	return all
}

// logSwitch tells that a failed, and who is next: nobody, if next is empty.
func (c *Chain) logSwitch(ctx context.Context, id string, a mailer.Attempt, next string) {
	words := "failover: trying the next target"
	if next == "" {
		words = "failover: no target is left"
	}
	attrs := append(failure(a.Provider, a.Err), slog.Duration("duration", a.Duration))
	if next != "" {
		attrs = append(attrs, slog.String("next", next))
	}
	if plain(id) {
		attrs = append(attrs, slog.String("message_id", id))
	}
	c.log.LogAttrs(ctx, level(a.Err), words, attrs...)
}

func (c *Chain) logRest(ctx context.Context, t *target, err error, now time.Time) {
	until, _, _ := t.health.wakes(now)
	c.log.LogAttrs(ctx, level(err), "failover: target rests",
		append(failure(t.name, err), slog.Duration("for", until.Sub(now)))...)
}

// level is loud for what only a human can mend.
func level(err error) slog.Level {
	switch mailer.KindOf(err) {
	case mailer.KindSender, mailer.KindUnauthorized:
		return slog.LevelError
	}
	return slog.LevelWarn
}

// failure says of err what can name nobody.
func failure(name string, err error) []slog.Attr {
	attrs := []slog.Attr{slog.String("provider", name), slog.String("kind", mailer.KindOf(err).String())}
	if e, ok := errors.AsType[*mailer.Error](err); ok {
		if e.Status != 0 {
			attrs = append(attrs, slog.Int("status", e.Status))
		}
		if plain(e.Code) {
			attrs = append(attrs, slog.String("code", e.Code))
		}
	}
	return attrs
}

// plain tells whether s looks like an ID or a code. A message that nobody has
// validated yet may hold anything in its ID.
func plain(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || r == '@'
	})
}
