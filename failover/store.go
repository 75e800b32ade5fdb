package failover

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed355143d4/mailer"
)

// Backend is where a [Shared] keeps what the processes share: a database, as in
// package sqlstore, or a cache.
type Backend interface {
	// Exchange notes what is new, and returns what all processes together know.
	// An error means that nothing was noted. It may block, and returns soon after
	// ctx ends. One [Shared] makes one call at a time, several processes make many
	// at once.
	Exchange(ctx context.Context, news News) (known News, err error)
}

// News is what a [Shared] tells its [Backend], and what it is told.
type News struct {
	// Rests holds rests by the name of the target. Told to the Backend: those that
	// began, of which the one that lasts longest counts, and those that are over,
	// with For 0. Told by it: all that are not over.
	Rests map[string]SharedRest
	// Counts holds counters by name, which begin at 0. Told to the Backend: what
	// is to be added, which may be negative or 0. Told by it: the sums, of at
	// least the counters that were named. One that was not named for a month may be
	// forgotten.
	Counts map[string]int64
}

// SharedRest is the rest of a target as processes tell it to each other. It has a
// duration, not a time, so that their clocks need not agree.
type SharedRest struct {
	// For is how long the target is to rest yet.
	For time.Duration
	// Kind is why.
	Kind mailer.Kind
	// Named tells that the service itself named the time.
	Named bool
}

// Shared is a [Store]: the chains that have the same one, in this process, and
// those of all processes with the same Backend, know of each other's rests; and it
// counts for each [Budget] that has it. So one process finds out that an account
// is suspended, not each of fifty.
//
// It never delays or fails a send: news goes out and comes in in the background,
// at the occasion of a send. For that there is never more than one goroutine, which
// ends after one call of the Backend, or two if there was news meanwhile, of at most
// 5 seconds each; between sends there is none, so there is nothing to close. While
// the Backend fails or hangs, what was last known goes on to hold, and what is new is
// kept for the next call.
//
// What another process found out is known here after the time that a call takes,
// and the first send since at latest Every later. The first send of a process may
// know nothing yet: see Sync.
//
// The zero value is ready for use, and shares within this process. It is safe for
// use by many goroutines, and must not be changed or copied once in use.
type Shared struct {
	// Backend is where other processes look, too. Nil: there are none.
	Backend Backend
	// Every is how often the Backend is called at most, but for rests, which are
	// told at once. 0: a second.
	Every time.Duration
	// Logger is told when the Backend begins to fail, and when it is well again.
	// Nil: slog.Default(), as it is then.
	Logger *slog.Logger

	next atomic.Int64 // when Poll has to act again, in nanoseconds of the Unix epoch
	once sync.Once
	turn chan struct{} // holds an element while the Backend is called

	mu       sync.Mutex
	members  []func(target string, r Rest)
	rests    map[string]Rest // as last known
	news     map[string]Rest // not told yet
	counters map[string]*counter
	failing  bool
}

// backendTimeout limits a call of a Backend.
const backendTimeout = 5 * time.Second

// slack is by how much two times of one rest may differ, since each was counted
// from when an answer came.
const slack = time.Second

// Join implements [Store].
func (s *Shared) Join(targets []string, learn func(target string, r Rest)) error {
	known := map[string]Rest{}
	s.mu.Lock()
	s.members = append(s.members, learn)
	for _, name := range targets {
		if r, ok := s.rests[name]; ok {
			known[name] = r
		}
	}
	s.mu.Unlock()
	for name, r := range known {
		learn(name, r)
	}
	return nil
}

// Poll implements [Store].
func (s *Shared) Poll() {
	if s.Backend == nil {
		return
	}
	now := time.Now()
	if next := s.next.Load(); now.UnixNano() >= next && s.next.CompareAndSwap(next, now.Add(s.every()).UnixNano()) {
		s.start()
	}
}

// Publish implements [Store].
func (s *Shared) Publish(target string, r Rest) {
	s.mu.Lock()
	s.note(target, r)
	if s.Backend != nil {
		if s.news == nil {
			s.news = map[string]Rest{}
		}
		s.news[target] = r
		s.startLocked()
	}
	var others []func(string, Rest)
	if len(s.members) > 1 {
		others = s.members
	}
	s.mu.Unlock()
	tell(others, target, r)
}

// Sync exchanges news with the Backend now, and waits for it: before the first
// message of a process that is to know at once what the others know, and after
// the last one of a process that counts credits and does not live long.
func (s *Shared) Sync(ctx context.Context) error {
	if s.Backend == nil {
		return nil
	}
	select {
	case s.turns() <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.turn }()
	s.next.Store(time.Now().Add(s.every()).UnixNano())
	return s.exchange(ctx)
}

func (s *Shared) every() time.Duration {
	if s.Every > 0 {
		return s.Every
	}
	return time.Second
}

func (s *Shared) turns() chan struct{} {
	s.once.Do(func() { s.turn = make(chan struct{}, 1) })
	return s.turn
}

// note remembers how a target stands.
func (s *Shared) note(target string, r Rest) {
	if r.Until.IsZero() {
		delete(s.rests, target)
		return
	}
	if s.rests == nil {
		s.rests = map[string]Rest{}
	}
	s.rests[target] = r
}

func tell(members []func(string, Rest), target string, r Rest) {
	for _, learn := range members {
		learn(target, r)
	}
}

// start calls the Backend in the background, unless that is under way.
func (s *Shared) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.startLocked()
}

func (s *Shared) startLocked() {
	select {
	case s.turns() <- struct{}{}:
		go s.run()
	default:
	}
}

func (s *Shared) run() {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), backendTimeout)
		err := s.exchange(ctx)
		cancel()
		s.mu.Lock()
		if err != nil || len(s.news) == 0 {
			<-s.turn // under the lock, so that no news comes between
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
	}
}

// exchange calls the Backend once. Its caller has the turn.
func (s *Shared) exchange(ctx context.Context) error {
	now := time.Now()
	s.mu.Lock()
	news := s.news
	s.news = nil
	counters := make(map[string]*counter, len(s.counters))
	told := News{Rests: make(map[string]SharedRest, len(news)), Counts: make(map[string]int64, len(s.counters))}
	for name, r := range news {
		if r.Until.IsZero() {
			told.Rests[name] = SharedRest{}
		} else if left := r.Until.Sub(now); left > 0 {
			told.Rests[name] = SharedRest{For: left, Kind: r.Kind, Named: r.Named}
		}
	}
	for name, c := range s.counters {
		counters[name] = c
		told.Counts[name] = c.pending.Swap(0)
	}
	s.mu.Unlock()

	known, err := s.Backend.Exchange(ctx, told)
	if err != nil {
		s.mu.Lock()
		for name, r := range news {
			if _, newer := s.news[name]; !newer {
				if s.news == nil {
					s.news = map[string]Rest{}
				}
				s.news[name] = r
			}
		}
		s.mu.Unlock()
		for name, c := range counters {
			c.pending.Add(told.Counts[name])
		}
		s.report(ctx, err)
		return err
	}
	s.report(ctx, nil)
	for name, c := range counters {
		if sum, ok := known.Counts[name]; ok {
			c.total.Add(sum - c.known - told.Counts[name])
			c.known = sum
		}
	}
	s.learn(known.Rests, time.Now())
	return nil
}

// report logs when the Backend begins or ends to fail.
func (s *Shared) report(ctx context.Context, err error) {
	s.mu.Lock()
	changed := s.failing != (err != nil)
	s.failing = err != nil
	s.mu.Unlock()
	if !changed {
		return
	}
	log := s.Logger
	if log == nil {
		log = slog.Default()
	}
	if err != nil {
		log.LogAttrs(ctx, slog.LevelWarn, "failover: the shared store fails", slog.String("error", err.Error()))
	} else {
		log.LogAttrs(ctx, slog.LevelInfo, "failover: the shared store is well again")
	}
}

// learn tells the members what others found out.
func (s *Shared) learn(known map[string]SharedRest, now time.Time) {
	type lesson struct {
		target string
		r      Rest
	}
	var lessons []lesson
	s.mu.Lock()
	for name, k := range known {
		if _, newer := s.news[name]; newer || k.For <= 0 {
			continue
		}
		r := Rest{Until: now.Add(k.For), Kind: k.Kind, Named: k.Named}
		before, ok := s.rests[name]
		if ok && r.Until.Sub(before.Until).Abs() < slack {
			continue
		}
		if ok && r.Until.Before(before.Until) {
			lessons = append(lessons, lesson{name, Rest{}})
		}
		s.note(name, r)
		lessons = append(lessons, lesson{name, r})
	}
	for name, r := range s.rests {
		_, newer := s.news[name]
		if _, ok := known[name]; ok || newer {
			continue
		}
		delete(s.rests, name)
		if r.Until.Sub(now) > slack {
			lessons = append(lessons, lesson{name, Rest{}})
		}
	}
	members := s.members
	s.mu.Unlock()
	for _, l := range lessons {
		tell(members, l.target, l.r)
	}
}

// counter is a sum that several processes add to.
type counter struct {
	total   atomic.Int64 // all that is known of
	pending atomic.Int64 // the part of it that the Backend does not know
	known   int64        // the Backend's sum; belongs to who has the turn
}

// take adds n if that keeps the total within limit.
func (c *counter) take(n, limit int64) bool {
	for {
		total := c.total.Load()
		if n > limit-total {
			return false
		}
		if c.total.CompareAndSwap(total, total+n) {
			c.pending.Add(n)
			return true
		}
	}
}

// put gives back what take gave.
func (c *counter) put(n int64) {
	c.total.Add(-n)
	c.pending.Add(-n)
}

// counter returns the counter of a name. A nil Shared has one for each caller.
func (s *Shared) counter(name string) *counter {
	if s == nil {
		return new(counter)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counters[name]
	if c == nil {
		if s.counters == nil {
			s.counters = map[string]*counter{}
		}
		c = new(counter)
		s.counters[name] = c
	}
	return c
}

// forget ends the use of a counter whose period is over.
func (s *Shared) forget(name string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.counters, name)
}
