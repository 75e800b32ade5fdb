package failover

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed355143d4/mailer"
)

// Budget is an [Order] that leaves out the targets whose credits are used up,
// before their service has to refuse a message. Credits are what Allow gives, and
// what a target's [mailer.QuotaReporter] says is left, whichever is less. If none of
// the targets has any, Send fails without traffic with [mailer.KindQuota], and with
// the time of the next credits as RetryAfter.
//
// A message costs one credit for each recipient (To, Cc and Bcc), as the services
// count, from right before its attempt. It goes to a target that has credits for all
// of them. They are given back if the attempt ends as [mailer.NotSent], so an unknown
// outcome costs them; but while messages of the day or month before are under way,
// nothing is given back. Recipients that are refused while others are taken cost a
// credit, too. Within one process no allowance is ever exceeded, however many messages
// are sent at once. Processes that have one [Shared] exceed it together by no more than
// what all but one of them send between two exchanges. A message with more recipients
// than a target's allowance never goes there; if that is so of all, the error has no
// RetryAfter.
//
// A QuotaReporter is asked in the background, at the occasion of a send that does
// not wait for it: by one goroutine for each target, which ends after at most 30
// seconds. Until there is an answer, and while there is none, what was last read and
// what has been sent since counts. A message that was under way during a reading may
// count twice until the next one.
//
// A Budget is for one Chain. It is safe for use by many goroutines, and must not be
// changed or copied after New.
type Budget struct {
	// Inner orders the targets that have credits for the message; it sees the others
	// as resting.
	// Nil: as they are listed.
	Inner Order
	// Allow holds, by the name of a target, what it may be given, in recipients.
	Allow map[string]Allowance
	// Every is how often a QuotaReporter is asked at most. It is asked sooner once
	// after Quota.Reset, and after a failure of KindQuota, but never more often than
	// every ten seconds unless Every says so. 0: five minutes. Negative: never.
	Every time.Duration
	// Shared counts what all processes spend of Allow. Nil: what this Budget spends,
	// which begins at 0 with New.
	Shared *Shared

	bound   atomic.Bool
	scratch sync.Pool // of *[]TargetInfo

	mu       sync.Mutex
	accounts []account
	due      time.Time // when a period ends or a service is to be asked
}

// Allowance is what a target may be given. The zero value sets no limit.
type Allowance struct {
	// Day and Month are in recipients per day and per month of the calendar, in UTC.
	// 0: no limit.
	Day, Month int64
}

// account keeps the credits of one target.
type account struct {
	name   string
	source mailer.QuotaReporter // nil: there is none
	allow  Allowance

	day, month purse
	told       purse // what source said
	next       mailer.Quota

	open   int64 // credits of messages begun and not ended
	begun  int64 // credits of messages begun that were not given back
	asking bool
	asked  time.Time // when source was asked last
	ask    time.Time // when it is to be asked next
}

// purse holds the credits of a period.
type purse struct {
	name  string // of the counter, in the Shared
	limit int64
	spent *counter // nil: there is no limit
	until time.Time
	older int64 // of the open credits, how many may be of the period before
}

func (p *purse) left() int64 {
	if p.spent == nil {
		return math.MaxInt64
	}
	return p.limit - p.spent.total.Load()
}

func (p *purse) take(n int64) bool { return p.spent == nil || p.spent.take(n, p.limit) }

func (p *purse) put(n int64) {
	if p.spent != nil {
		p.spent.put(n)
	}
}

// ended settles n credits, after which open are left, and gives them back if they
// are unused. It cannot tell of which period they are: as long as some of the one
// before may be open, nothing is given back.
func (p *purse) ended(n, open int64, unused bool) {
	if unused {
		older := min(n, p.older)
		p.older -= older
		p.put(n - older)
	}
	p.older = min(p.older, open)
}

const (
	quotaTimeout = 30 * time.Second
	quotaEvery   = 5 * time.Minute
	quotaSoonest = 10 * time.Second
	// quotaHolds is for how long what a service said counts if it cannot be asked
	// again and named no time.
	quotaHolds = 24 * time.Hour
)

// Bind implements [Binder]. It refuses names that do not exist, a negative
// Allowance, and to serve two chains.
func (b *Budget) Bind(targets []TargetInfo) error {
	if b.bound.Swap(true) {
		return errors.New("Budget: is in use by another chain")
	}
	for name, a := range b.Allow {
		if !slices.ContainsFunc(targets, func(t TargetInfo) bool { return t.Name == name }) {
			return fmt.Errorf("Budget: there is no target %q", name)
		}
		if a.Day < 0 || a.Month < 0 {
			return fmt.Errorf("Budget: the Allowance of %q is negative", name)
		}
	}
	b.accounts = make([]account, len(targets))
	for i, t := range targets {
		a := &b.accounts[i]
		a.name, a.allow = t.Name, b.Allow[t.Name]
		if b.Every >= 0 {
			a.source, _ = mailer.As[mailer.QuotaReporter](t.Sender)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for i := range b.accounts {
		b.turn(&b.accounts[i], now) // so that Shared knows what to ask for
	}
	return bind(b.Inner, targets)
}

// Order implements [Order].
func (b *Budget) Order(dst []int, m mailer.Message, targets []TargetInfo) ([]int, error) {
	if b.Shared != nil {
		b.Shared.Poll()
	}
	now, n := time.Now(), cost(&m)
	short := false
	b.mu.Lock()
	b.tend(now)
	for i := range b.accounts {
		short = short || !b.accounts[i].has(n)
	}
	b.mu.Unlock()
	if !short {
		return arranged(b.Inner, dst, m, targets)
	}
	return b.without(dst, m, targets, now)
}

// cost is how many credits a message takes: at least one, though no service takes a
// message to nobody.
func cost(m *mailer.Message) int64 { return int64(max(1, len(m.To)+len(m.Cc)+len(m.Bcc))) }

// without is Order where some targets have too few credits.
func (b *Budget) without(dst []int, m mailer.Message, targets []TargetInfo, now time.Time) ([]int, error) {
	seen, ok := b.scratch.Get().(*[]TargetInfo)
	if !ok {
		seen = new([]TargetInfo)
	}
	defer b.scratch.Put(seen)
	*seen = append((*seen)[:0], targets...)
	n := cost(&m)
	b.mu.Lock()
	for i := range b.accounts {
		if !b.accounts[i].has(n) {
			(*seen)[i].Resting = true
		}
	}
	b.mu.Unlock()
	before := len(dst)
	dst, err := arranged(b.Inner, dst, m, *seen)
	if err != nil {
		return dst, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var names []string
	var next time.Time
	kept := dst[:before]
	for _, i := range dst[before:] {
		if i < 0 || i >= len(b.accounts) || b.accounts[i].has(n) {
			kept = append(kept, i)
			continue
		}
		if len(kept) > before {
			continue
		}
		names = append(names, b.accounts[i].name)
		if until := b.accounts[i].until(n); next.IsZero() || !until.IsZero() && until.Before(next) {
			next = until
		}
	}
	if len(kept) == before && len(names) > 0 {
		e := &mailer.Error{Provider: provider, Kind: mailer.KindQuota, NotSent: true, Message: "too few credits: " + strings.Join(names, ", ")}
		if !next.IsZero() {
			e.RetryAfter = next.Sub(now)
		}
		return dst[:before], e
	}
	return kept, nil
}

// Begin implements [Ledger].
func (b *Budget) Begin(target int, m mailer.Message) bool {
	n := cost(&m)
	if !b.take(target, n) {
		return false
	}
	if !begin(b.Inner, target, &m) {
		b.settle(target, n, true)
		return false
	}
	return true
}

// End implements [Ledger].
func (b *Budget) End(target int, m mailer.Message, err error) {
	b.settle(target, cost(&m), mailer.NotSent(err))
	if mailer.KindOf(err) == mailer.KindQuota {
		b.mu.Lock()
		b.sooner(&b.accounts[target], time.Now())
		b.mu.Unlock()
	}
	end(b.Inner, target, &m, err)
}

// take takes n credits from all of a target's purses, or none from any.
func (b *Budget) take(target int, n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tend(time.Now())
	a := &b.accounts[target]
	purses := a.purses()
	for i, p := range purses {
		if !p.take(n) {
			for _, earlier := range purses[:i] {
				earlier.put(n)
			}
			return false
		}
	}
	a.open += n
	a.begun += n
	return true
}

func (b *Budget) settle(target int, n int64, unused bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := &b.accounts[target]
	a.open -= n
	if unused {
		a.begun -= n
	}
	for _, p := range a.purses() {
		p.ended(n, a.open, unused)
	}
}

func (a *account) purses() [3]*purse { return [3]*purse{&a.day, &a.month, &a.told} }

// has tells whether there are n credits.
func (a *account) has(n int64) bool {
	return min(a.day.left(), a.month.left(), a.told.left()) >= n
}

// until is when the account may have n credits again. Zero: never.
func (a *account) until(n int64) (until time.Time) {
	for _, p := range a.purses() {
		if p.left() >= n {
			continue
		}
		if p != &a.told && p.limit < n {
			return time.Time{}
		}
		end := p.until
		if p == &a.told && !end.Equal(a.next.Reset) {
			end = a.ask // the service named no time
		}
		if end.After(until) {
			until = end
		}
	}
	return until
}

// tend does what is due by now.
func (b *Budget) tend(now time.Time) {
	if now.Before(b.due) {
		return
	}
	var due time.Time
	soonest := func(t time.Time) {
		if due.IsZero() || t.Before(due) {
			due = t
		}
	}
	for i := range b.accounts {
		a := &b.accounts[i]
		b.turn(a, now)
		b.look(a, now)
		soonest(a.day.until)
		if a.told.spent != nil {
			soonest(a.told.until)
		}
		if a.source != nil && !a.asking {
			soonest(a.ask)
		}
	}
	b.due = due
}

// turn begins the periods that are due.
func (b *Budget) turn(a *account, now time.Time) {
	if !now.Before(a.day.until) {
		y, m, d := now.UTC().Date()
		b.renew(a, &a.day, a.allow.Day, now.UTC().Format("2006-01-02"), time.Date(y, m, d+1, 0, 0, 0, 0, time.UTC))
		if !now.Before(a.month.until) {
			b.renew(a, &a.month, a.allow.Month, now.UTC().Format("2006-01"), time.Date(y, m+1, 1, 0, 0, 0, 0, time.UTC))
		}
	}
	if a.told.spent != nil && !now.Before(a.told.until) {
		// The service's own period is over: it gives as much again, until it says
		// otherwise.
		a.told.limit, a.told.until = a.next.Limit, now.Add(quotaHolds)
		a.told.spent, a.told.older = new(counter), a.open
		if a.told.limit < 0 {
			a.told.spent = nil
		}
		b.sooner(a, now)
	}
}

func (b *Budget) renew(a *account, p *purse, limit int64, period string, until time.Time) {
	p.until = until
	if limit <= 0 {
		return
	}
	b.Shared.forget(p.name)
	p.name = a.name + " " + period
	p.limit, p.spent, p.older = limit, b.Shared.counter(p.name), a.open
}

// sooner brings the next reading forward.
func (b *Budget) sooner(a *account, now time.Time) {
	soonest := a.asked.Add(quotaSoonest)
	if soonest.Before(now) {
		soonest = now
	}
	if soonest.Before(a.ask) {
		a.ask = soonest
	}
	b.due = time.Time{}
}

// look asks the service in the background, if that is due.
func (b *Budget) look(a *account, now time.Time) {
	if a.source == nil || a.asking || now.Before(a.ask) {
		return
	}
	every := b.Every
	if every == 0 {
		every = quotaEvery
	}
	a.asking, a.asked, a.ask = true, now, now.Add(every)
	go b.read(a, a.begun, a.open)
}

// read asks the service. Begun and open are the account's when it began: the
// service may not have counted those that were open.
func (b *Budget) read(a *account, begun, open int64) {
	ctx, cancel := context.WithTimeout(context.Background(), quotaTimeout)
	defer cancel()
	q, err := a.source.Quota(ctx)
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	a.asking, b.due = false, time.Time{}
	if err != nil {
		return
	}
	a.next, a.told = q, purse{}
	if q.Remaining < 0 {
		return
	}
	a.told.limit, a.told.spent, a.told.until = q.Remaining, new(counter), q.Reset
	a.told.spent.total.Store(open + a.begun - begun)
	if !q.Reset.After(now) {
		a.told.until = now.Add(quotaHolds)
	}
}
