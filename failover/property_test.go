package failover_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/failover"
)

// answer is what a service of the property tests does with one message.
type answer struct {
	kind    mailer.Kind
	ok      bool // takes it
	hangs   bool // until its context ends
	notSent bool
	took    bool // the truth, where notSent is false
	after   time.Duration
	delay   time.Duration
}

func (a answer) String() string {
	switch {
	case a.ok:
		return fmt.Sprintf("ok after %v", a.delay)
	case a.hangs:
		return fmt.Sprintf("hangs, not sent %t, took %t", a.notSent, a.took)
	}
	return fmt.Sprintf("%v after %v, not sent %t, took %t, retry after %v", a.kind, a.delay, a.notSent, a.took, a.after)
}

var answers = rapid.Custom(func(rt *rapid.T) answer {
	a := answer{delay: time.Duration(rapid.SampledFrom([]int{0, 0, 100, 900, 7000}).Draw(rt, "delay ms")) * time.Millisecond}
	switch rapid.IntRange(0, 9).Draw(rt, "way") {
	case 0, 1, 2:
		a.ok = true
	case 3:
		a.hangs = true
	default:
		a.kind = rapid.SampledFrom(allKinds).Draw(rt, "kind")
		a.after = time.Duration(rapid.SampledFrom([]int{0, 0, 1, 40, 3600}).Draw(rt, "retry after s")) * time.Second
	}
	a.notSent = rapid.IntRange(0, 3).Draw(rt, "not sent") > 0
	a.took = !a.notSent && rapid.Bool().Draw(rt, "took")
	return a
})

// modelTarget is the model of one target's health: as simple as it can be said,
// for one message at a time.
type modelTarget struct {
	strikes, rests int
	resting, named bool
	until          time.Time // as the chain says, after it was checked
	successes      int       // since the last strike or rest
	clear          bool      // the last strike or rest was for a failure that is NotSent
	network        bool      // it was for a KindNetwork
	asks           bool      // has a Verify
}

// inDoubt tells whether it has to be asked before it is given a message.
func (m *modelTarget) inDoubt() bool { return m.asks && m.resting && !m.clear }

func (m *modelTarget) free(now time.Time) bool { return !m.resting || !now.Before(m.until) }

// model walks along with a chain: it is told of each call, knows which call the
// chain has to make next, and so also when it has to stop.
type model struct {
	targets []modelTarget

	// of the present message
	allowed   bool
	callers   context.Context
	called    []int
	stopped   bool
	uncertain bool // an outcome so far is unknown
	taken     int  // the truth: how many services have it
	success   bool
	late      bool
	rested    []int
	asked     time.Time // when the target that is called next was asked, and answered
}

// next returns the target that the chain has to call now, -1 for none.
func (m *model) next(now time.Time) int {
	if m.stopped || m.success || m.callers.Err() != nil {
		return -1
	}
	from := 0
	if n := len(m.called); n > 0 {
		from = m.called[n-1] + 1
	}
	m.late = false
	for {
		for i := from; i < len(m.targets); i++ {
			if m.targets[i].free(now) && !slices.Contains(m.called, i) {
				return i
			}
		}
		if m.uncertain {
			return -1
		}
		if from == 0 {
			break
		}
		from = 0 // one may be free by now
	}
	first := -1
	var soonest time.Time
	for i, t := range m.targets {
		if t.named || slices.Contains(m.called, i) || len(m.called) > 0 && !t.clear && !(t.asks && t.network) {
			continue
		}
		if first < 0 || t.until.Before(soonest) {
			first, soonest = i, t.until
		}
	}
	m.late = first >= 0
	return first
}

// ended says what the answer of target i changes, to a message or, if asked, to the
// question whether it answers.
func (m *model) ended(i int, ctx context.Context, a answer, asked bool, kind mailer.Kind, start, now time.Time) {
	t := &m.targets[i]
	if a.ok {
		m.success = true
		m.taken++
		if t.successes++; t.resting {
			t.successes, t.strikes = 1, 0
		} else if t.successes >= 50 {
			t.rests, t.strikes = 0, 0
		}
		t.resting, t.named = false, false
		return
	}
	if a.took {
		m.taken++
	}
	if !a.notSent {
		m.uncertain = true
		m.stopped = m.stopped || !m.allowed
	}
	var strike, rest bool
	for _, row := range table {
		if row.kind == kind {
			m.stopped = m.stopped || !row.next
			strike, rest = row.strike, row.rest
		}
	}
	if m.callers.Err() == context.Canceled {
		strike = false
	}
	telling := time.Second
	if asked {
		telling /= 2
	}
	if end, _ := ctx.Deadline(); kind == mailer.KindNetwork && !now.Before(end) && end.Sub(start) < telling {
		strike = false
	}
	clear := a.notSent && !asked
	if m.late {
		if rest && a.after > 0 && now.Add(a.after).After(t.until) {
			t.named, t.until, t.clear, t.network = true, now.Add(a.after), clear, kind == mailer.KindNetwork
		}
		return
	}
	if !strike && !rest {
		return
	}
	t.strikes, t.successes = t.strikes+1, 0
	t.clear, t.network = clear, kind == mailer.KindNetwork
	if rest || t.strikes >= 3 || t.resting || t.rests > 0 {
		t.resting, t.named, t.until = true, a.after > 0, now.Add(a.after)
		t.rests++
		m.rested = append(m.rested, i)
	}
}

// checkRests compares the model's targets with the chain's, and takes over the
// jitter.
func (m *model) checkRests(rt *rapid.T, hs []failover.Health, at map[int]time.Time) {
	for i := range m.targets {
		t, h := &m.targets[i], hs[i]
		if t.resting != (h.State != failover.Well) || t.strikes != h.Strikes {
			rt.Fatalf("target %d: model %+v, chain %+v", i, *t, h)
		}
		if !t.resting {
			continue
		}
		if from, ok := at[i]; ok && !t.named {
			step := min(30*time.Second<<min(t.rests-1, 10), 10*time.Minute)
			if got := h.RestUntil.Sub(from); got > step || got < step*3/4 {
				rt.Fatalf("target %d rests %v, not about %v", i, got, step)
			}
			t.until = h.RestUntil
		}
		if !t.until.Equal(h.RestUntil) {
			rt.Fatalf("target %d rests until %v, not %v", i, h.RestUntil, t.until)
		}
	}
}

// TestPropertyChainFollowsTheModel sends messages one after the other to services
// that do anything, and compares every step with the model.
func TestPropertyChainFollowsTheModel(t *testing.T) {
	inBubble(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 4).Draw(rt, "targets")
		m := &model{targets: make([]modelTarget, n)}
		script, questions := make([]answer, n), make([]answer, n)
		restedAt := map[int]time.Time{}
		var senders []mailer.Sender
		for i := range n {
			// call is what the target does, with a message or with a question.
			call := func(ctx context.Context, question bool) error {
				start := time.Now()
				if want := m.next(start); want != i && m.asked.IsZero() {
					rt.Fatalf("calls target %d, but %d is next; called before: %v", i, want, m.called)
				}
				a, before := script[i], len(m.rested)
				switch {
				case question:
					if !m.targets[i].inDoubt() || !m.asked.IsZero() {
						rt.Fatalf("asks target %d, which left no doubt, or was asked: %+v", i, m.targets[i])
					}
					a = questions[i]
				case m.targets[i].inDoubt() && m.asked.IsZero():
					rt.Fatalf("target %d is given a message before it answered", i)
				case !m.asked.IsZero():
					start = m.asked
				}
				a, kind := perform(ctx, a)
				last := m.late && len(m.called) == 0
				down := kind == mailer.KindNetwork || kind == mailer.KindUnavailable && !last || ctx.Err() != nil
				m.asked = time.Time{}
				if question && (a.ok || !down) {
					m.asked = start
				} else {
					m.called = append(m.called, i)
					m.ended(i, ctx, a, question, kind, start, time.Now())
				}
				if len(m.rested) > before {
					restedAt[i] = time.Now()
				}
				if a.ok {
					return nil
				}
				return &mailer.Error{Kind: kind, NotSent: a.notSent, RetryAfter: a.after}
			}
			sender := mailer.SenderFunc(func(ctx context.Context, _ mailer.Message) (mailer.Receipt, error) {
				return mailer.Receipt{}, call(ctx, false)
			})
			target := failover.Target{Name: fmt.Sprint("t", i), Sender: sender}
			if m.targets[i].asks = rapid.Bool().Draw(rt, "verifies"); m.targets[i].asks {
				target.Sender = asking{sender, func(ctx context.Context) error { return call(ctx, true) }}
			}
			senders = append(senders, target)
		}
		chain, err := failover.New(quiet(failover.Config{}), senders...)
		if err != nil {
			rt.Fatal(err)
		}
		for range rapid.IntRange(1, 12).Draw(rt, "messages") {
			for i := range script {
				script[i] = answers.Draw(rt, "answer")
				questions[i] = answers.Draw(rt, "to the question")
				questions[i].notSent, questions[i].took = true, false // adapters say so of Verify
			}
			msg := message()
			msg.AllowDuplicate = rapid.Bool().Draw(rt, "allow duplicate")
			ctx, cancel := context.WithCancel(context.Background())
			limit := time.Duration(rapid.SampledFrom([]int{0, 0, 50, 1500, 9000, 60000}).Draw(rt, "deadline ms")) * time.Millisecond
			if limit > 0 {
				cancel()
				ctx, cancel = context.WithTimeout(context.Background(), limit)
			}
			stop := func() bool { return true }
			if rapid.IntRange(0, 9).Draw(rt, "gives up") == 0 {
				stop = time.AfterFunc(500*time.Millisecond, cancel).Stop
			}
			*m = model{targets: m.targets, allowed: msg.AllowDuplicate, callers: ctx}
			clear(restedAt)

			start := time.Now()
			r, err := chain.Send(ctx, msg)
			now := time.Now()
			if limit > 0 && now.Sub(start) > limit {
				rt.Fatalf("took %v of %v", now.Sub(start), limit)
			}
			if want := m.next(now); want >= 0 {
				rt.Fatalf("stopped before target %d: %v", want, err)
			}
			check(rt, m, r, err)
			m.checkRests(rt, chain.Health(), restedAt)
			stop()
			cancel()
			time.Sleep(time.Duration(rapid.SampledFrom([]int{0, 1, 20, 45, 700, 4000}).Draw(rt, "pause s")) * time.Second)
		}
	})
}

// asking is a Sender with a Verify.
type asking struct {
	mailer.SenderFunc
	verify func(ctx context.Context) error
}

func (a asking) Verify(ctx context.Context) error { return a.verify(ctx) }

// perform does what the answer says, or hangs until ctx ends; the answer that it
// returns is what it came to.
func perform(ctx context.Context, a answer) (answer, mailer.Kind) {
	switch {
	case a.hangs:
		<-ctx.Done()
	case a.delay == 0:
		// Not by a timer: in a bubble, one whose time is up when it is made crashes
		// the race detector now and then, https://go.dev/issue/78156.
		return a, a.kind
	default:
		timer := time.NewTimer(a.delay)
		defer timer.Stop()
		select {
		case <-timer.C:
			return a, a.kind
		case <-ctx.Done():
		}
	}
	a.ok, a.after = false, 0
	return a, mailer.KindOf(ctx.Err())
}

// check holds the promises against what the services know.
func check(rt *rapid.T, m *model, r mailer.Receipt, err error) {
	switch {
	case m.taken > 1 && !m.allowed:
		rt.Fatalf("handed over %d times", m.taken)
	case (err == nil) != m.success:
		rt.Fatalf("success %t, error %v", m.success, err)
	case err == nil && len(r.Attempts) != len(m.called):
		rt.Fatalf("attempts %v, calls %v", r.Attempts, m.called)
	case err != nil && mailer.NotSent(err) == m.uncertain:
		rt.Fatalf("uncertain %t, error %v", m.uncertain, err)
	case err != nil && mailer.NotSent(err) && m.taken > 0:
		rt.Fatalf("sent and yet NotSent: %v", err)
	}
	duplicate := false
	for _, a := range r.Attempts {
		if a.PossibleDuplicate != duplicate {
			rt.Fatalf("marks: %+v", r.Attempts)
		}
		duplicate = duplicate || a.Err != nil && !mailer.NotSent(a.Err)
	}
}

// TestPropertyOnceInACrowd sends many messages at once and looks at what holds
// whatever their order: one hand-over each, and one probe at a time.
func TestPropertyOnceInACrowd(t *testing.T) {
	inBubble(t, func(rt *rapid.T) {
		n := rapid.IntRange(2, 4).Draw(rt, "targets")
		script := rapid.SliceOfN(answers, 40, 40).Draw(rt, "script")
		var mu sync.Mutex
		next := 0
		type truth struct {
			taken   int
			unknown bool
		}
		known := map[string]*truth{}
		probing := map[string]int{}
		fault := ""
		var chain *failover.Chain
		var senders []mailer.Sender
		for i := range n {
			name := fmt.Sprint("t", i)
			senders = append(senders, failover.Target{Name: name, Sender: mailer.SenderFunc(
				func(ctx context.Context, msg mailer.Message) (mailer.Receipt, error) {
					health := chain.Health()[i]
					state := health.State
					mu.Lock()
					if state == failover.Probing {
						if probing[name]++; probing[name] > 1 {
							fault = "two probes at once"
						}
					}
					// It may have come to rest in this moment, after it was chosen.
					if state == failover.Resting && health.LastChange.Before(time.Now()) {
						fault = "sent to a target that rests while the last one is well"
					}
					if w := known[msg.ID]; w.unknown && !msg.AllowDuplicate {
						fault = "went on after an unknown outcome"
					}
					a := script[next%len(script)]
					next++
					mu.Unlock()
					if i == n-1 { // the last one is always well and never silent, so that nobody has to be tried anyway
						a = answer{ok: true, delay: min(a.delay, 400*time.Millisecond)}
					}
					a, kind := perform(ctx, a)
					mu.Lock()
					defer mu.Unlock()
					if state == failover.Probing {
						probing[name]--
					}
					w := known[msg.ID]
					if a.ok || a.took {
						w.taken++
					}
					if a.ok {
						return mailer.Receipt{}, nil
					}
					w.unknown = w.unknown || !a.notSent
					return mailer.Receipt{}, &mailer.Error{Kind: kind, NotSent: a.notSent, RetryAfter: a.after}
				})})
		}
		chain, err := failover.New(quiet(failover.Config{}), senders...)
		if err != nil {
			rt.Fatal(err)
		}
		var wg sync.WaitGroup
		for round := range 4 {
			for i := range 16 {
				msg := message()
				msg.ID = fmt.Sprint(round, "-", i)
				msg.AllowDuplicate = i%4 == 0
				mu.Lock()
				known[msg.ID] = &truth{}
				mu.Unlock()
				wg.Go(func() {
					_, err := chain.Send(context.Background(), msg)
					mu.Lock()
					defer mu.Unlock()
					switch w := known[msg.ID]; {
					case err == nil && w.taken == 0:
						fault = "nil, but nobody has it"
					case w.taken > 1 && !msg.AllowDuplicate:
						fault = "handed over twice"
					case mailer.NotSent(err) && w.taken > 0:
						fault = "NotSent, but somebody has it"
					}
				})
			}
			time.Sleep(time.Duration(rapid.SampledFrom([]int{0, 1, 35, 700}).Draw(rt, "pause s")) * time.Second)
		}
		wg.Wait()
		if fault != "" {
			rt.Fatal(fault)
		}
	})
}

// world is what the services of a property test know of the messages. Each of its
// targets is given answers from one script.
type world struct {
	chain  *failover.Chain
	script []answer
	last   int // this target takes everything at once, so that nobody has to be tried anyway; -1: none does

	mu      sync.Mutex
	next    int
	fault   string
	taken   map[string]int
	unknown map[string]bool
	way     map[string][]string // of the targets that were called
	inside  map[int]int         // messages at a target that is being probed
}

func (w *world) wrong(format string, args ...any) {
	if w.fault == "" {
		w.fault = fmt.Sprintf(format, args...)
	}
}

// begin notes that target i is called with ms, and returns its answers.
func (w *world) begin(i int, ms []mailer.Message) (as []answer, probe bool) {
	health := w.chain.Health()[i]
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last >= 0 {
		// It may have come to rest in this moment, after it was chosen.
		if health.State == failover.Resting && health.LastChange.Before(time.Now()) {
			w.wrong("sent to target %d, which rests", i)
		}
		if probe = health.State == failover.Probing; probe {
			if w.inside[i] += len(ms); w.inside[i] > 1 {
				w.wrong("target %d is probed by %d messages", i, w.inside[i])
			}
		}
	}
	for _, m := range ms {
		if w.unknown[m.ID] && !m.AllowDuplicate {
			w.wrong("%s went on after an unknown outcome", m.ID)
		}
		w.way[m.ID] = append(w.way[m.ID], fmt.Sprint("t", i))
		a := w.script[w.next%len(w.script)]
		w.next++
		if i == w.last {
			a = answer{ok: true}
		}
		as = append(as, a)
	}
	return as, probe
}

// end notes how they ended.
func (w *world) end(i int, ms []mailer.Message, as []answer, probe bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if probe {
		w.inside[i] -= len(ms)
	}
	for k, m := range ms {
		if as[k].ok || as[k].took {
			w.taken[m.ID]++
		}
		w.unknown[m.ID] = w.unknown[m.ID] || !as[k].ok && !as[k].notSent
	}
}

func (w *world) send(i int) mailer.SenderFunc {
	return func(ctx context.Context, m mailer.Message) (mailer.Receipt, error) {
		as, probe := w.begin(i, []mailer.Message{m})
		a, kind := perform(ctx, as[0])
		w.end(i, []mailer.Message{m}, []answer{a}, probe)
		if a.ok {
			return mailer.Receipt{}, nil
		}
		return mailer.Receipt{}, &mailer.Error{Kind: kind, NotSent: a.notSent, RetryAfter: a.after}
	}
}

// inBatches is a target with a batch call of up to seven messages. A call takes as
// long as the first message in it, and if that one runs out of time they all do.
type inBatches struct {
	mailer.SenderFunc
	w *world
	i int
}

func (b inBatches) MaxBatch() int { return 7 }

func (b inBatches) SendBatch(ctx context.Context, ms []mailer.Message) []mailer.Result {
	as, probe := b.w.begin(b.i, ms)
	results := make([]mailer.Result, len(ms))
	first, kind := perform(ctx, as[0])
	lost := !first.ok && ctx.Err() != nil
	for k, a := range as {
		a.delay, a.hangs = 0, false
		switch {
		case lost:
			a.ok, a.kind, a.after = false, kind, 0
		case k == 0:
			a.kind = kind
		}
		if as[k] = a; !a.ok {
			results[k].Err = &mailer.Error{Kind: a.kind, NotSent: a.notSent, RetryAfter: a.after}
		}
	}
	b.w.end(b.i, ms, as, probe)
	return results
}

// TestPropertyBatches sends batches to services that do anything, several at once,
// and looks at what holds for every message of them.
func TestPropertyBatches(t *testing.T) {
	inBubble(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 4).Draw(rt, "targets")
		w := &world{
			script: rapid.SliceOfN(answers, 40, 40).Draw(rt, "script"), last: -1,
			taken: map[string]int{}, unknown: map[string]bool{}, way: map[string][]string{}, inside: map[int]int{},
		}
		if n > 1 && rapid.Bool().Draw(rt, "the last is well") {
			w.last = n - 1
		}
		retries := rapid.IntRange(0, 2).Draw(rt, "retries")
		var senders []mailer.Sender
		for i := range n {
			target := failover.Target{Name: fmt.Sprint("t", i), Sender: w.send(i), Retries: retries}
			if rapid.Bool().Draw(rt, "in batches") {
				target.Sender = inBatches{w.send(i), w, i}
			}
			senders = append(senders, target)
		}
		books := &ledger{}
		cfg := failover.Config{}
		if rapid.Bool().Draw(rt, "an order") {
			turn := rapid.IntRange(0, n-1).Draw(rt, "turn")
			books.orderFunc = func(dst []int, m mailer.Message, _ []failover.TargetInfo) ([]int, error) {
				for i := range n {
					if len(m.Tags) == 0 {
						i = (i + turn) % n
					}
					dst = append(dst, i)
				}
				return dst, nil
			}
			if rapid.Bool().Draw(rt, "little room") {
				books.room = map[int]int{rapid.IntRange(0, n-1).Draw(rt, "where"): rapid.IntRange(0, 60).Draw(rt, "room")}
			}
			cfg.Order = books
		}
		chain, err := failover.New(quiet(cfg), senders...)
		if err != nil {
			rt.Fatal(err)
		}
		w.chain = chain

		var wg sync.WaitGroup
		for round := range rapid.IntRange(1, 4).Draw(rt, "rounds") {
			limit := time.Duration(rapid.SampledFrom([]int{0, 0, 1500, 9000, 60000}).Draw(rt, "deadline ms")) * time.Millisecond
			var ms []mailer.Message
			for i := range rapid.IntRange(1, 30).Draw(rt, "messages") {
				m := numbered(i)
				m.ID = fmt.Sprint(round, "-", i)
				m.AllowDuplicate = i%4 == 0
				if i%3 == 0 {
					m.Tags = []string{"another order"}
				}
				ms = append(ms, m)
			}
			wg.Go(func() {
				ctx, cancel := context.WithCancel(context.Background())
				if limit > 0 {
					cancel()
					ctx, cancel = context.WithTimeout(context.Background(), limit)
				}
				defer cancel()
				start := time.Now()
				results := mailer.SendAll(ctx, chain, ms)
				took := time.Since(start)
				w.mu.Lock()
				defer w.mu.Unlock()
				if limit > 0 && took > limit {
					w.wrong("took %v of %v", took, limit)
				}
				if len(results) != len(ms) {
					w.wrong("%d results for %d messages", len(results), len(ms))
					return
				}
				for i, r := range results {
					w.check(ms[i], r, retries)
				}
			})
			time.Sleep(time.Duration(rapid.SampledFrom([]int{0, 0, 1, 35, 700}).Draw(rt, "pause s")) * time.Second)
		}
		wg.Wait()
		books.told(t)
		if w.fault != "" {
			rt.Fatal(w.fault)
		}
	})
}

// check holds what became of m against what the services know.
func (w *world) check(m mailer.Message, r mailer.Result, retries int) {
	attempts := r.Receipt.Attempts
	if all, ok := errors.AsType[*failover.AttemptsError](r.Err); ok {
		attempts = all.Attempts
	}
	called := w.way[m.ID]
	switch {
	case r.Receipt.ID != m.ID:
		w.wrong("the result of %s stands at %s", r.Receipt.ID, m.ID)
	case r.Err == nil && w.taken[m.ID] == 0:
		w.wrong("%s: nil, but nobody has it", m.ID)
	case w.taken[m.ID] > 1 && !m.AllowDuplicate:
		w.wrong("%s was handed over %d times", m.ID, w.taken[m.ID])
	case mailer.NotSent(r.Err) && w.taken[m.ID] > 0:
		w.wrong("%s: NotSent, but somebody has it", m.ID)
	case r.Err != nil && mailer.NotSent(r.Err) == w.unknown[m.ID]:
		w.wrong("%s: unknown %t, %v", m.ID, w.unknown[m.ID], r.Err)
	case way(attempts) != strings.Join(called, " "):
		w.wrong("%s: attempts %s, calls %v", m.ID, way(attempts), called)
	}
	duplicate := false
	times := map[string]int{}
	for i, a := range attempts {
		if a.PossibleDuplicate != duplicate {
			w.wrong("%s: marks of %+v", m.ID, attempts)
		}
		duplicate = duplicate || a.Err != nil && !mailer.NotSent(a.Err)
		if times[a.Provider]++; times[a.Provider] > 1+retries || i > 0 && times[a.Provider] > 1 && attempts[i-1].Provider != a.Provider {
			w.wrong("%s came to %s too often: %s", m.ID, a.Provider, way(attempts))
		}
	}
}

// inBubble checks a property in virtual time, each try in a bubble of its own: it
// fails if a goroutine is left. A failure is a panic of rapid's, which has to
// reach rapid's goroutine.
func inBubble(t *testing.T, property func(rt *rapid.T)) {
	rapid.Check(t, func(rt *rapid.T) {
		var failure any
		synctest.Test(t, func(*testing.T) {
			defer func() { failure = recover() }()
			property(rt)
		})
		if failure != nil {
			panic(failure)
		}
	})
}
