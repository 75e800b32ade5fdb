// Package outage simulates a day on which three mail relay services have their
// bad hours, and tells what a way of sending makes of it. Its time is that of a
// testing/synctest bubble.
package outage

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed355143d4/mailer"
)

// Day is how long the simulation lasts, and Deadline what the callers of Send
// have time for.
const (
	Day      = 24 * time.Hour
	Deadline = 30 * time.Second
	// AttemptTimeout is what every policy gives one call.
	AttemptTimeout = 10 * time.Second
)

// Script is the day: every kind of trouble at the first service, which carries
// the mail, some at the others at the same time, and for each of the three some
// short ones at random.
func Script() []Phase {
	const h, m = time.Hour, time.Minute
	script := []Phase{
		{0, 1 * h, 1*h + 20*m, Storm, time.Minute},
		{0, 3 * h, 3*h + 20*m, SilentStorm, 0},
		{0, 5 * h, 5*h + 15*m, Hang, 0},
		{0, 7 * h, 7*h + 15*m, LostAnswer, 0},
		{0, 9 * h, 9*h + 30*m, Refuse, 0},
		{1, 9*h + 10*m, 9*h + 20*m, Storm, 30 * time.Second},
		{0, 11 * h, 11*h + 30*m, Recovery, 0},
		{1, 12 * h, 18 * h, NoCredits, 0},
		{0, 13 * h, 13*h + 30*m, Suspended, 0},
		{0, 15 * h, 15*h + 30*m, RefuseAll, 0},
		{0, 17 * h, 17*h + 30*m, Slow, 0},
		{0, 19 * h, 19*h + 15*m, Hang, 0},
		{1, 19*h + 5*m, 19*h + 10*m, Refuse, 0},
		{0, 21 * h, 21*h + 10*m, SilentStorm, 0},
		{1, 21 * h, 21*h + 10*m, Storm, time.Minute},
		{2, 21*h + 5*m, 21*h + 8*m, Refuse, 0},
	}
	draw := rand.New(rand.NewPCG(1, 2)) // the same for all policies, and always
	random := []Mode{Storm, SilentStorm, Hang, LostAnswer, Refuse, Recovery, Suspended}
	for n := 0; n < 30; {
		p := Phase{Service: n % len(names), Mode: random[draw.IntN(len(random))]}
		p.From = time.Duration(draw.Int64N(int64(Day))).Truncate(time.Second)
		p.To = p.From + 20*time.Second + time.Duration(draw.Int64N(int64(2*m))).Truncate(time.Second)
		if p.Mode == Storm {
			p.RetryAfter = 20 * time.Second
		}
		free := !slices.ContainsFunc(script, func(q Phase) bool {
			return q.Service == p.Service && p.From < q.To+5*m && q.From < p.To+5*m
		})
		if free {
			script = append(script, p)
			n++
		}
	}
	slices.SortFunc(script, func(a, b Phase) int { return cmp.Compare(a.From, b.From) })
	return script
}

// bucket is the grain in which calls are counted over the day.
const bucket = 10 * time.Second

// world is the ledger and the clock of one run.
type world struct {
	began    time.Time
	taken    []atomic.Uint32 // by message: how often taken, by service in 8 bits each
	arrivals []int           // by bucket
	calls    [len(names)][]atomic.Int32
	wasted   atomic.Int64
}

func newWorld(messages int) *world {
	w := &world{began: time.Now(), taken: make([]atomic.Uint32, messages), arrivals: make([]int, Day/bucket+8)}
	for s := range w.calls {
		w.calls[s] = make([]atomic.Int32, len(w.arrivals))
	}
	return w
}

func (w *world) now() time.Duration { return time.Since(w.began) }

func (w *world) called(service int, now time.Duration, mode Mode) {
	w.calls[service][now/bucket].Add(1)
	if mode.dead() {
		w.wasted.Add(1)
	}
}

func (w *world) take(service, i int) { w.taken[i].Add(1 << (8 * service)) }

// copies tells how often message i was taken, in all and by services that did not
// know that its recipient had complained through another one.
func (w *world) copies(i int) (all, unwanted int) {
	v := w.taken[i].Load()
	for s := range names {
		n := int(v >> (8 * s) & 0xff)
		all += n
		if nature(i) == suppressed && s != suppressedAt(i) {
			unwanted += n
		}
	}
	return all, unwanted
}

// Policy is a way of sending.
type Policy struct {
	Name string
	New  func(services []*Service) mailer.Sender
}

// Row is what a policy made of the day.
type Row struct {
	Policy string
	// Messages were to be sent. Deliverable of them are to recipients who want them
	// and would be taken by a service; Delivered of these were, once or more.
	Messages, Deliverable, Delivered int
	// Lost were taken by nobody, and their senders were told that they were sent.
	Lost int
	// GivenUp were taken by nobody although a service was well that would have
	// taken them, and their senders were told that they were not sent.
	GivenUp int
	// Duplicated are the copies beyond the first.
	Duplicated int
	// Unknown ended without anybody knowing whether they were taken; UnknownWorst
	// is the most in one outage.
	Unknown, UnknownWorst int
	// Unwanted went to recipients who had complained, through another service.
	Unwanted int
	// Wasted are calls to a service that could not take anything.
	Wasted int
	// Calls are all calls.
	Calls int
	// Outages of the first service of five minutes and more, those left out in
	// which it still took mail. Notice is the median time from the beginning of one
	// until less than a tenth of the mail tried it, NoticeNever in how many that
	// never came about.
	Outages     int
	Notice      time.Duration
	NoticeNever int
	// Return is the median time from the end of an outage of the first service
	// until nine tenths of the mail went to it again, ReturnNever counts the
	// outages after which they never did before the next.
	Return      time.Duration
	ReturnNever int
	// P50 and P99 are how long Send took.
	P50, P99 time.Duration
}

// Run sends the day's messages by the policy. It has to be called in a bubble of
// testing/synctest.
func Run(p Policy, messages int) Row {
	w := newWorld(messages)
	script := Script()
	services := make([]*Service, len(names))
	for i := range services {
		services[i] = &Service{index: i, world: w}
	}
	for _, phase := range script {
		services[phase.Service].phases = append(services[phase.Service].phases, phase)
	}
	sender := p.New(services)

	row := Row{Policy: p.Name, Messages: messages}
	took := make([]time.Duration, messages)
	unknown := make([]int, len(script))
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range messages {
		arrival := time.Duration(float64(Day) / float64(messages) * (float64(i) + 0.5))
		time.Sleep(arrival - w.now())
		w.arrivals[arrival/bucket]++
		all.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), Deadline)
			defer cancel()
			start := time.Now()
			_, err := sender.Send(ctx, message(i))
			took[i] = time.Since(start)
			copies, unwanted := w.copies(i)
			mu.Lock()
			defer mu.Unlock()
			row.Unwanted += unwanted
			switch {
			case err == nil && copies == 0:
				row.Lost++
			case err != nil && !mailer.NotSent(err):
				row.Unknown++
				for k, phase := range script {
					if phase.Service == 0 && phase.From <= arrival && arrival < phase.To {
						unknown[k]++
					}
				}
			case copies == 0 && (nature(i) == ordinary || nature(i) == disliked) && w.possible(services, arrival, w.now(), i):
				row.GivenUp++
			}
		})
	}
	all.Wait()
	for i := range messages {
		copies, _ := w.copies(i)
		row.Duplicated += max(0, copies-1)
		if nature(i) == ordinary || nature(i) == disliked {
			row.Deliverable++
			row.Delivered += min(copies, 1)
		}
	}
	row.UnknownWorst = slices.Max(unknown)
	row.Wasted = int(w.wasted.Load())
	for _, calls := range w.calls {
		for i := range calls {
			row.Calls += int(calls[i].Load())
		}
	}
	row.Outages, row.Notice, row.NoticeNever, row.Return, row.ReturnNever = w.habits(script)
	slices.Sort(took)
	row.P50, row.P99 = took[len(took)/2], took[len(took)*99/100]
	return row
}

// possible tells whether a service was well all the time in which message i was
// being sent, and would have taken it.
func (w *world) possible(services []*Service, from, to time.Duration, i int) bool {
	for _, s := range services {
		ill := slices.ContainsFunc(s.phases, func(p Phase) bool {
			return p.Mode != Slow && p.From <= to && from < p.To
		})
		if !ill && !(nature(i) == disliked && s.index == 0) {
			return true
		}
	}
	return false
}

// share is the part of the mail in a bucket that tried the first service. A bucket
// without mail has no share.
func (w *world) share(b int) (float64, bool) {
	if w.arrivals[b] == 0 {
		return 0, false
	}
	return float64(w.calls[0][b].Load()) / float64(w.arrivals[b]), true
}

// habits reads from the counts of calls when the mail left the first service in
// its outages, and when it came back.
func (w *world) habits(script []Phase) (outages int, notice time.Duration, never int, back time.Duration, neverBack int) {
	var notices, returns []time.Duration
	for k, p := range script {
		if p.Service != 0 || p.Mode == Slow || p.Mode == Recovery || p.To-p.From < 5*time.Minute {
			continue
		}
		outages++
		end := Day
		for _, next := range script[k+1:] {
			if next.Service == 0 {
				end = next.From
				break
			}
		}
		// Noticed: the last bucket in the outage in which a tenth tried it.
		last := -1
		for b := int(p.From / bucket); b < int(p.To/bucket); b++ {
			if share, ok := w.share(b); ok && share >= 0.1 {
				last = b
			}
		}
		if until := time.Duration(last+1)*bucket - p.From; last >= 0 && time.Duration(last+1)*bucket >= p.To {
			never++
		} else {
			notices = append(notices, max(until, 0))
		}
		found := false
		for b := int(p.To / bucket); b < int(end/bucket) && !found; b++ {
			if share, ok := w.share(b); ok && share >= 0.9 {
				returns = append(returns, time.Duration(b)*bucket-p.To)
				found = true
			}
		}
		if !found {
			neverBack++
		}
	}
	return outages, median(notices), never, median(returns), neverBack
}

func median(all []time.Duration) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)/2]
}
