package failover

import (
	"slices"
	"sync"
	"time"

	"github.com/seed355143d4/mailer"
)

// Order says in which order the targets are tried for a message. Nil in
// [Config].Order: as they are listed. An Order may wrap another; the optional
// powers, [Binder] and [Ledger], are looked for at the outermost only, so a
// wrapper passes them on.
type Order interface {
	// Order appends the places in targets of those to be tried for m to dst, the
	// preferred first, and returns the extended slice. A target that is left out
	// is not tried. A place that stands twice counts once, one that does not
	// exist not at all.
	//
	// The chain passes a target by that rests, wherever it stands, so an Order
	// need not look at Resting. One whose rest is over is to keep its ordinary
	// place, or nobody finds out that it is well again.
	//
	// An error ends Send before any traffic. It reaches the caller inside a
	// [*mailer.Error] with its kind and RetryAfter, and NotSent.
	//
	// Order is called once for each message, from many goroutines at once. It must
	// not block, and not keep or change targets; dst has room for all of them, so
	// it need not allocate.
	Order(dst []int, m mailer.Message, targets []TargetInfo) ([]int, error)
}

// TargetInfo is what an [Order] sees of a target.
type TargetInfo struct {
	// Name is the target's name, as in attempts and logs.
	Name string
	// Weight is the Target's Weight, 1 if that is 0.
	Weight int
	// Sender is what New was given, for [mailer.As]: an Order asks it for its
	// powers, it does not send.
	Sender mailer.Sender
	// Resting tells that the chain would pass the target by now, because it rests
	// or is being probed by another message. In Bind it is false.
	Resting bool
}

// Binder is an [Order] that looks at the targets once, before the first message.
type Binder interface {
	// Bind is called by New, with the targets as Order sees them later, in their
	// order. It may keep the slice. An error is that of New. An Order that is put
	// into two chains is bound twice; one that cannot serve both returns an error.
	Bind(targets []TargetInfo) error
}

// Ledger is an [Order] that keeps account of what each target is given. Both
// methods are called synchronously, from many goroutines at once, and must not
// block.
type Ledger interface {
	// Begin is called right before target, a place in the targets, is to be given
	// m, and tells whether it may be. If not, m goes on to its next target, as if
	// this one rested. For a batch it is called once for each message.
	Begin(target int, m mailer.Message) bool
	// End tells how m ended, once for each Begin that let it pass; nil: the target
	// took it, or some of its recipients. With an error that is [mailer.NotSent] it
	// was not used.
	End(target int, m mailer.Message, err error)
}

// walk is the way of one message through the targets.
type walk struct {
	m         mailer.Message
	targets   []*target // all
	order     []int     // places in targets; nil: as they are listed
	pos       int       // in order, of the next candidate
	passed    bool      // a target that is well had no room
	roomAt    time.Time // the soonest that a Limiter may have some, if one told
	attempts  []mailer.Attempt
	duplicate bool          // an outcome so far is unknown
	tries     int           // again, at the last target
	wait      time.Duration // before the next of them
	harm      bool          // the last attempt spoke against its target
	refused   refusal       // the first of this message, if nothing spoke for it before

	// In a batch only:
	result   *mailer.Result
	step     step
	scouting scouting
	rounds   int // how often it was put to a target that may not be tried
}

// turn ends the tries at one target, unless there is another one after wait.
func (w *walk) turn(retry bool, wait time.Duration) {
	if retry && w.step == onward {
		w.step, w.wait = again, wait
		w.tries++
		return
	}
	w.tries = 0
}

// receipt completes what t returned.
func (w *walk) receipt(r mailer.Receipt, t *target) mailer.Receipt {
	r.Attempts = w.attempts
	if r.ID == "" {
		r.ID = w.m.ID
	}
	if r.Provider == "" {
		r.Provider = t.name
	}
	return r
}

func (w *walk) len() int {
	if w.order != nil {
		return len(w.order)
	}
	return len(w.targets)
}

func (w *walk) at(i int) *target {
	if w.order != nil {
		i = w.order[i]
	}
	return w.targets[i]
}

// mayFollow counts the targets still ahead that could be tried now.
func (w *walk) mayFollow() (n int) {
	for i := w.pos; i < w.len(); i++ {
		if w.at(i).health.mayTry() {
			n++
		}
	}
	return n
}

// been tells whether the message was at t before, and is not to go there again.
func (w *walk) been(t *target) bool {
	n := len(w.attempts)
	if n == 0 || w.tries > 0 && w.attempts[n-1].Provider == t.name {
		return false
	}
	return slices.ContainsFunc(w.attempts, func(a mailer.Attempt) bool { return a.Provider == t.name })
}

// wakesFirst returns, of targets of which none may be tried, the first that is
// silent, or else the one that wakes first, but none whose service named a time
// that lies ahead. Once the message failed somewhere, only those count that rest and
// are unlikely to leave it in doubt, and none where it was. Nil: there is none. The
// candidates are then those behind it.
func (w *walk) wakesFirst(now time.Time) *target {
	var first *target
	var soonest time.Time
	for i := range w.len() {
		t := w.at(i)
		if len(w.attempts) > 0 && (w.been(t) || !t.likelyAnswers()) {
			continue
		}
		if t.health.quick.Load()&quickResting == 0 {
			w.pos = i + 1
			return t // it was only silent
		}
		until, early, _ := t.health.wakes(now)
		if !now.Before(until) {
			// Its rest is over but another message is the probe: whoever still
			// rests is as good a choice, and the probe stays alone.
			until = now.Add(maxNamedRest)
		}
		if early && (first == nil || until.Before(soonest)) {
			first, soonest, w.pos = t, until, i+1
		}
	}
	return first
}

// scratch is what a call of an Order needs, kept for the next one.
type scratch struct {
	infos []TargetInfo
	dst   []int // the Order's
	order []int // made of it
	seen  []bool
}

func scratches(infos []TargetInfo) *sync.Pool {
	return &sync.Pool{New: func() any {
		return &scratch{
			infos: append([]TargetInfo(nil), infos...),
			dst:   make([]int, 0, len(infos)),
			order: make([]int, 0, len(infos)),
			seen:  make([]bool, len(infos)),
		}
	}}
}

// arrange asks the Order for the targets of m. The result is never nil without an
// error, and is s's.
func (c *Chain) arrange(s *scratch, m mailer.Message) ([]int, error) {
	for i, t := range c.targets {
		s.infos[i].Resting = !t.health.mayTry()
	}
	got, err := c.order.Order(s.dst[:0], m, s.infos)
	if err != nil {
		return nil, &mailer.Error{
			Provider: provider, Kind: mailer.KindOf(err), NotSent: true, RetryAfter: retryAfter(err), Message: "no target may be tried", Err: err,
		}
	}
	clear(s.seen)
	order := s.order[:0]
	for _, i := range got {
		if i >= 0 && i < len(s.seen) && !s.seen[i] {
			s.seen[i] = true
			order = append(order, i)
		}
	}
	if len(order) == 0 {
		return nil, &mailer.Error{Provider: provider, NotSent: true, Message: "the Order names no target for this message"}
	}
	return order, nil
}
