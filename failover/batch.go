package failover

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed355143d4/mailer"
)

const (
	// messagesInFlight is how many messages of one SendBatch a target without a
	// batch call is given at once, as by mailer.SendAll.
	messagesInFlight = 64
	// callsInFlight is how many batch calls a target is given at once.
	callsInFlight = 8
)

// MaxBatch is the MaxBatch of the first target, 1 if that has no batch call.
func (c *Chain) MaxBatch() int { return max(1, c.targets[0].maxBatch) }

// SendBatch sends the messages and returns one Result for each, in their order.
// Each keeps the promises of Send: its Receipt, its Attempts and its error are
// those of a message that went alone.
//
// The messages go to their first target in its batch calls, of no more than its
// MaxBatch, if its outermost Sender is a [mailer.BatchSender], and otherwise one by
// one, up to 64 at a time. Those that may go on are put together for their next
// target. Time is shared out, and limited by [Target].Timeout or
// [Config].AttemptTimeout, for each call.
//
// A call that fails as a whole is one strike, and one that is told to slow down
// lets the target rest once. While some messages of a call are taken, others are
// no strike and no refusal. A target whose rest is over gets one message as the
// probe. If no target may be tried, one message finds out whether the one that
// wakes first is well, and if it is not the others fail without traffic.
//
// [Config].OnAttempt is told of every message's attempt, from several goroutines
// at once. A panic in a Sender may end the program, since it may run in another
// goroutine than the caller's.
func (c *Chain) SendBatch(ctx context.Context, ms []mailer.Message) []mailer.Result {
	if len(ms) == 0 {
		return nil
	}
	if c.store != nil {
		c.store.Poll()
	}
	b := batch{Chain: c, ctx: ctx}
	results := make([]mailer.Result, len(ms))
	walks := make([]walk, len(ms))
	todo := make([]*walk, 0, len(ms))
	var orders []int
	if c.order != nil {
		orders = make([]int, 0, len(ms)*len(c.targets))
	}
	for i, m := range ms {
		if m.ID == "" {
			m.ID = mailer.NewID()
		}
		w := &walks[i]
		*w = walk{m: m, targets: c.targets, result: &results[i]}
		results[i].Receipt.ID = m.ID
		if c.order != nil && ctx.Err() == nil {
			from := len(orders)
			if orders, results[i].Err = c.appendOrder(orders, m); results[i].Err != nil {
				continue
			}
			w.order = orders[from:len(orders):len(orders)]
		}
		todo = append(todo, w)
	}
	b.run(todo)
	return results
}

func (c *Chain) appendOrder(orders []int, m mailer.Message) ([]int, error) {
	s := c.scratch.Get().(*scratch)
	defer c.scratch.Put(s)
	order, err := c.arrange(s, m)
	return append(orders, order...), err
}

// batch is one call of SendBatch.
type batch struct {
	*Chain
	ctx context.Context
}

// group is what goes to one target together.
type group struct {
	t      *target
	p      permit
	closed bool    // takes no more: t rests, or is tried by the first message only
	silent bool    // t is silent, but there is no other
	ws     []*walk // in it
	held   []*walk // waiting for what becomes of it
}

// scouting is what a message knows of one that went ahead because no target could
// be tried.
type scouting uint8

const (
	unscouted scouting = iota
	answered           // the target took it, or at least answered
	failed             // the target did not even answer
)

// run sends the messages from where they stand, and returns when all have ended.
func (b batch) run(ws []*walk) {
	parallel(b.groups(ws), b.perform)
}

// parallel calls do for each of list, all at once, and waits for them.
func parallel[T any](list []T, do func(T)) {
	var wg sync.WaitGroup
	for i, v := range list {
		if i == len(list)-1 {
			do(v) // here, to save a goroutine
			break
		}
		wg.Go(func() { do(v) })
	}
	wg.Wait()
}

// groups puts together what goes to the same target next, and ends what goes
// nowhere.
func (b batch) groups(ws []*walk) (groups []*group) {
	byTarget, late := make([]*group, len(b.targets)), make([]*group, len(b.targets))
	var lost []*walk
	for _, w := range ws {
		switch g := b.groupFor(w, byTarget, late); {
		case g == nil:
			lost = append(lost, w)
		case g.closed && len(g.ws) > 0:
			g.held = append(g.held, w)
		default:
			if len(g.ws) == 0 {
				groups = append(groups, g)
			}
			g.ws = append(g.ws, w)
			if g.p.late || g.silent {
				w.rounds++
			}
			g.closed = g.p.probe || g.p.late && w.scouting == unscouted
		}
	}
	b.logSwitches(b.ctx, nil, lost)
	for _, w := range lost {
		w.result.Err = b.giveUp(b.ctx, w, false)
	}
	return groups
}

// groupFor returns the group in which w goes on, or for whose only message it
// waits. Nil: it goes nowhere.
func (b batch) groupFor(w *walk, byTarget, late []*group) (g *group) {
	if b.ctx.Err() != nil {
		return nil
	}
	g, probed := b.ahead(w, byTarget)
	if g == nil && len(w.attempts) > 0 && w.mayGoRound() {
		w.pos = 0 // one may be tried by now that could not be
		g, probed = b.ahead(w, byTarget)
	}
	switch {
	case g != nil:
		return g
	case !w.mayGoRound() || w.scouting == failed:
		return nil
	case probed != nil && w.scouting == unscouted:
		return probed
	}
	t := w.wakesFirst(time.Now())
	if t == nil {
		return nil
	}
	if late[t.index] == nil {
		p := t.health.late()
		late[t.index] = &group{t: t, p: p, silent: !p.late}
	}
	return late[t.index]
}

// ahead returns the group of the first target ahead that takes w now, or else that of
// one which another message probes.
func (b batch) ahead(w *walk, byTarget []*group) (open, probed *group) {
	for w.pos < w.len() {
		t := w.at(w.pos)
		w.pos++
		if w.been(t) {
			continue
		}
		g := byTarget[t.index]
		if g == nil {
			p, ok := t.health.admit()
			g = &group{t: t, p: p, closed: !ok}
			byTarget[t.index] = g
		}
		if !g.closed {
			return g, nil
		}
		if len(g.ws) > 0 && probed == nil {
			probed = g
		}
	}
	return nil, probed
}

// mayGoRound tells whether w may be put once more to targets that it passed by.
func (w *walk) mayGoRound() bool {
	return !w.passed && !w.duplicate && w.rounds < w.len()
}

// perform sends a group, and then what of it has to go on.
func (b batch) perform(g *group) {
	b.logSwitches(b.ctx, g.t, g.ws)
	size, workers := 1, messagesInFlight
	if g.t.batch != nil {
		size, workers = max(1, g.t.maxBatch), callsInFlight
	}
	calls := (len(g.ws) + size - 1) / size
	var next atomic.Int64
	parallel(make([]struct{}, min(workers, calls)), func(struct{}) {
		for i := int(next.Add(1)) - 1; i < calls; i = int(next.Add(1)) - 1 {
			b.call(g, g.ws[i*size:min((i+1)*size, len(g.ws))])
		}
	})

	var on, back []*walk
	var wait time.Duration
	for _, w := range g.ws {
		switch w.step {
		case stopped:
			w.result.Err = b.giveUp(b.ctx, w, true)
		case onward:
			on = append(on, w)
		case again:
			w.pos--
			wait = max(wait, w.wait)
			back = append(back, w)
		}
	}
	for _, w := range g.held {
		w.pos = 0
		if w.scouting = answered; g.ws[0].harm {
			w.scouting = failed
		}
	}
	var further []func()
	if len(on) > 0 {
		further = append(further, func() { b.run(on) })
	}
	if len(back) > 0 {
		further = append(further, func() { pause(b.ctx, wait); b.run(back) })
	}
	if len(g.held) > 0 {
		further = append(further, func() { b.run(g.held) })
	}
	parallel(further, func(f func()) { f() })
}

// call makes one call to g's target, with as many of ws as may go. The step of
// each says what then.
func (b batch) call(g *group, ws []*walk) {
	for _, w := range ws {
		w.step, w.harm = onward, false
	}
	if b.ctx.Err() != nil {
		g.t.health.release(g.p)
		return
	}
	t, p := g.t, g.p
	if !p.probe && !p.late {
		// Calls before this one may have brought it to rest.
		var ok bool
		if p, ok = t.health.admit(); !ok {
			if p = t.health.late(); !g.silent || p.late {
				return
			}
		}
		if p.probe {
			ws = ws[:1]
		}
	}
	n := b.roomForAll(b.ctx, t, ws)
	for _, w := range ws[n:] {
		w.passed = true
	}
	switch n {
	case 0:
		t.health.release(p)
	case 1:
		w := ws[0]
		if w.result.Receipt, w.step = b.try(b.ctx, w, t, p); w.step != taken {
			w.result.Receipt.ID = w.m.ID
		}
	default:
		b.tryAll(b.ctx, ws[:n], t, p)
	}
}

// ending is how one message of a call ended.
type ending struct {
	receipt   mailer.Receipt
	a         mailer.Attempt
	d, health Decision
	wait      time.Duration
	retry     bool
}

// tryAll is try for several messages in one batch call.
func (c *Chain) tryAll(ctx context.Context, ws []*walk, t *target, p permit) {
	reported := false
	start := time.Now()
	t.health.calls.begin(start)
	answered, now := false, start
	defer func() {
		t.health.calls.end(answered, now)
		if !reported {
			t.health.release(p)
			c.ended(t, errPanic, ws...)
		}
	}()
	ms := make([]mailer.Message, len(ws))
	for i, w := range ws {
		ms[i] = w.m
	}
	end, own, telling := c.limits(ctx, t, start, ws...)
	results := sendBatch(ctx, ms, t.batch, end, own)
	now = time.Now()
	up := timeUp{callers: ctx.Err(), own: own && !now.Before(end), tooSoon: end.Sub(start) < telling}

	endings := make([]ending, len(ws))
	ok, retries := 0, 0
	for i, w := range ws {
		e := &endings[i]
		e.a = mailer.Attempt{Provider: t.name, Start: start, Duration: now.Sub(start), PossibleDuplicate: w.duplicate}
		err := errMiscounted
		if len(results) == len(ws) {
			e.receipt, err = results[i].Receipt, results[i].Err
		}
		answered = answered || isAnswer(err)
		if err == nil {
			ok++
			continue
		}
		e.d, e.health, e.a.Err = c.judge(t, err, up)
		if e.wait, e.retry = c.retry(ctx, w, t, e.a.Err, e.d, now); e.retry {
			retries++
		}
	}
	mayRetry := retries > 0 && t.health.again(p, retries)

	// The worst of the failures is the call's.
	var worst *ending
	lost := 0
	for i, w := range ws {
		e := &endings[i]
		if e.a.Err == nil || e.retry && mayRetry {
			continue
		}
		lost++
		if ok == 0 {
			w.refuse(t, p, e.health, e.a.Err)
		}
		if worst == nil || worse(e.health, worst.health) {
			worst = e
		}
	}
	reported = true
	if lost > 0 {
		d := worst.health
		if ok > 0 {
			d.Strike = false
		}
		c.failed(ctx, t, p, lost, d, worst.a.Err, now)
	}
	if ok > 0 {
		c.succeeded(ctx, t, p, ok, now)
	}
	c.endedAll(t, ws, endings)

	for i, w := range ws {
		e := &endings[i]
		w.step = c.add(ctx, w, e.a, e.d)
		w.harm = e.d.Strike || e.d.Rest
		if w.step == taken {
			c.blame(ctx, w, now)
			w.result.Receipt = w.receipt(e.receipt, t)
		}
		w.turn(mayRetry && e.retry, e.wait)
	}
}

// errMiscounted is how messages ended whose BatchSender returned more or fewer
// results than there were messages.
var errMiscounted = errors.New("the Sender did not return one result for each message")

func sendBatch(ctx context.Context, ms []mailer.Message, s mailer.BatchSender, end time.Time, own bool) []mailer.Result {
	if !own {
		return s.SendBatch(ctx, ms)
	}
	attempt := &attemptContext{Context: ctx, deadline: end}
	defer attempt.end()
	return s.SendBatch(attempt, ms)
}

// worse tells whether a says more against a target than b.
func worse(a, b Decision) bool {
	rank := func(d Decision) int {
		switch {
		case d.Rest:
			return 3
		case d.Strike:
			return 2
		case d.Refusal:
			return 1
		}
		return 0
	}
	if rank(a) != rank(b) {
		return rank(a) > rank(b)
	}
	return a.RestFor > b.RestFor
}

// endedAll tells the Ledger how each of ws ended, and the Limiter once for each way
// in which they did.
func (c *Chain) endedAll(t *target, ws []*walk, endings []ending) {
	if c.ledger != nil {
		for i, w := range ws {
			c.ledger.End(t.index, w.m, endings[i].a.Err)
		}
	}
	f, ok := t.limiter.(Feedback)
	if !ok {
		return
	}
	type way struct {
		failed, notSent bool
		kind            mailer.Kind
	}
	type count struct {
		n   int
		err error
	}
	var ways []way
	counts := map[way]count{}
	for i := range endings {
		err := endings[i].a.Err
		k := way{failed: err != nil}
		if k.failed {
			k.notSent, k.kind = mailer.NotSent(err), mailer.KindOf(err)
		}
		n := counts[k]
		if n.n == 0 {
			ways, n.err = append(ways, k), err
		}
		n.n++
		counts[k] = n
	}
	for _, k := range ways {
		f.Ended(counts[k].n, counts[k].err)
	}
}

// logSwitches logs for messages that failed before where they are tried next, once
// for each way in which they failed.
func (c *Chain) logSwitches(ctx context.Context, next *target, ws []*walk) {
	type way struct {
		provider string
		kind     mailer.Kind
	}
	var ways []way
	alike := map[way][]*walk{}
	for _, w := range ws {
		if len(w.attempts) == 0 {
			continue
		}
		last := w.attempts[len(w.attempts)-1]
		k := way{last.Provider, mailer.KindOf(last.Err)}
		if alike[k] == nil {
			ways = append(ways, k)
		}
		alike[k] = append(alike[k], w)
	}
	for _, k := range ways {
		c.logSwitch(ctx, next, alike[k]...)
	}
}
