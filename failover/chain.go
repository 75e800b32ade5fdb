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
	// Strikes is how many strikes let a target rest. They are forgotten when it
	// has taken fifty messages in a row. 0: 3.
	Strikes int
	// Refusals is how many different messages in a row a target may refuse which
	// another one then takes, before it rests: one refusal is the message's fault,
	// a row of them the service's. Messages of one ID or of one content, to
	// whomever, count once. [Decision].Refusal says what counts. 0: 5.
	Refusals int
	// Rest is the first rest of a target whose service named no time. It doubles
	// with each rest until it has taken fifty messages in a row, up to MaxRest; from each a random part of up to a
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
	// Retries is how many times more a message is tried here before it goes on to
	// the next target: only if certainly nobody has it, after a failure of the
	// service or of the network, and if the target does not rest. Such failures
	// count as strikes only when no further try follows. 0: none.
	Retries int
	// RetryWait is the wait before the first of them. It doubles with each, up to
	// eight times; from each a random part of up to a quarter is taken off. A
	// service that wants to be left alone for no longer than RetryWait is tried
	// again, too, instead of resting. Nobody waits longer than half of the time
	// that the message has for this target. 0: a second.
	RetryWait time.Duration
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
	_ mailer.BatchSender = (*Chain)(nil)
	_ mailer.Checker     = (*Chain)(nil)
	_ mailer.Verifier    = (*Chain)(nil)
)

type target struct {
	index     int
	name      string
	sender    mailer.Sender
	batch     mailer.BatchSender // sender, if it is one
	maxBatch  int
	verifier  mailer.Verifier // sender's, if it has one
	timeout   time.Duration
	limiter   Limiter
	allower   allower // limiter, if it is one
	maxWait   time.Duration
	retries   int
	retryWait time.Duration
	health    health
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
		{"Refusals", int64(cfg.Refusals)},
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
		case place.Retries < 0:
			return nil, fmt.Errorf("failover: Retries of sender %d is negative", i+1)
		case place.RetryWait < 0:
			return nil, fmt.Errorf("failover: RetryWait of sender %d is negative", i+1)
		}
		t := &target{
			index: i, name: place.Name, sender: s, timeout: place.Timeout,
			limiter: place.Limiter, maxWait: orDefault(place.MaxWait, time.Second),
			retries: place.Retries, retryWait: orDefault(place.RetryWait, time.Second),
		}
		t.allower, _ = place.Limiter.(allower)
		if t.batch, _ = outermost(s).(mailer.BatchSender); t.batch != nil {
			t.maxBatch = t.batch.MaxBatch()
		}
		t.verifier, _ = mailer.As[mailer.Verifier](s)
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
		t.health.name, t.health.rest, t.health.maxRest = t.name, rest, maxRest
		t.health.maxStrikes, t.health.maxRefusals = orDefault(cfg.Strikes, 3), orDefault(cfg.Refusals, 5)
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

// outermost returns the Sender that does something: a Target only passes on. What
// is inside of wrappers does not count.
func outermost(s mailer.Sender) mailer.Sender {
	for {
		switch t := s.(type) {
		case Target:
			s = t.Sender
		case *Target:
			s = t.Sender
		default:
			return s
		}
	}
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
	if c.store != nil {
		c.store.Poll()
	}
	w := walk{m: m, targets: c.targets}
	if c.order != nil {
		s := c.scratch.Get().(*scratch)
		defer c.scratch.Put(s)
		var err error
		if w.order, err = c.arrange(s, m); err != nil {
			return mailer.Receipt{ID: m.ID}, err
		}
	}
	for {
		t, p := c.next(ctx, &w)
		if t == nil {
			t, p = c.anyway(ctx, &w)
		}
		if len(w.attempts) > 0 {
			c.logSwitch(ctx, t, &w)
		}
		if t == nil {
			return mailer.Receipt{ID: m.ID}, c.giveUp(ctx, &w, false)
		}
		receipt, then := c.try(ctx, &w, t, p)
		switch then {
		case taken:
			return receipt, nil
		case stopped:
			return mailer.Receipt{ID: m.ID}, c.giveUp(ctx, &w, true)
		case again:
			pause(ctx, w.wait)
			w.pos--
		}
		if ctx.Err() != nil {
			return mailer.Receipt{ID: m.ID}, c.giveUp(ctx, &w, false)
		}
	}
}

// Health returns how each target stands, in their order. Each line is true of one
// moment, but not all of the same one.
func (c *Chain) Health() []Health {
	now := time.Now()
	all := make([]Health, len(c.targets))
	for i, t := range c.targets {
		all[i] = t.health.snapshot(now)
	}
	return all
}

// logSwitch tells that the last attempts of ws failed in the same way, and where
// they are tried next: nowhere, if next is nil.
func (c *Chain) logSwitch(ctx context.Context, next *target, ws ...*walk) {
	if next == nil && ctx.Err() != nil {
		return // it was not the targets
	}
	last := ws[0].attempts[len(ws[0].attempts)-1]
	attrs := append(failure(last.Provider, last.Err), slog.Duration("duration", last.Duration))
	words := "failover: no target is left"
	switch {
	case next == nil:
	case next.name == last.Provider:
		words = "failover: trying the target again"
	default:
		words = "failover: trying the next target"
		attrs = append(attrs, slog.String("next", next.name))
	}
	if len(ws) > 1 {
		attrs = append(attrs, slog.Int("messages", len(ws)))
	} else if plain(ws[0].m.ID) {
		attrs = append(attrs, slog.String("message_id", ws[0].m.ID))
	}
	c.log.LogAttrs(ctx, level(last.Err), words, attrs...)
}

func (c *Chain) logRest(ctx context.Context, t *target, now time.Time) {
	h := t.health.snapshot(now)
	c.log.LogAttrs(ctx, level(h.LastError), "failover: target rests",
		append(failure(t.name, h.LastError), slog.Duration("for", h.RestUntil.Sub(now)))...)
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
