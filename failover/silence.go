package failover

import (
	"sync/atomic"
	"time"
)

// How long a target may leave as many messages unanswered as would be strikes,
// before others pass it by: four deviations above the mean of its usual answers, but
// no less than minPatience, and maxPatience until they are known.
const (
	minPatience = 500 * time.Millisecond
	maxPatience = 3 * time.Second
	knownAfter  = 8 // answers
)

var began = time.Now()

// quiet tells how long a target has kept quiet.
type quiet struct {
	// pending is how many attempts are under way, and heard when the last of them
	// was answered, or began if none was before: nanoseconds since began.
	pending, heard atomic.Int64
}

// begin notes that an attempt is under way.
func (q *quiet) begin(now time.Time) {
	if q.pending.Add(1) == 1 {
		q.heard.Store(int64(now.Sub(began)))
	}
}

// end notes that it ended, with an answer of the service or without.
func (q *quiet) end(answered bool, now time.Time) {
	q.pending.Add(-1)
	if answered {
		q.heard.Store(int64(now.Sub(began)))
	}
}

// waits tells whether n attempts or more are under way.
func (q *quiet) waits(n int) bool { return q.pending.Load() >= int64(n) }

// since tells for how long.
func (q *quiet) since() time.Duration { return time.Since(began) - time.Duration(q.heard.Load()) }

// usual is how long a target's answers take, reckoned as TCP reckons its round trips
// (RFC 6298). It takes no lock: two answers in the same moment may count as one.
type usual struct {
	answers, mean, deviation atomic.Int64 // nanoseconds
}

func (u *usual) took(d time.Duration) {
	if u.answers.Load() < knownAfter {
		if u.answers.Add(1) == 1 {
			u.mean.Store(int64(d))
			u.deviation.Store(int64(d) / 2)
			return
		}
	}
	mean, deviation := u.mean.Load(), u.deviation.Load()
	off := int64(d) - mean
	u.mean.Store(mean + off/8)
	u.deviation.Store(deviation + (max(off, -off)-deviation)/4)
}

// patience is how long to wait for an answer.
func (u *usual) patience() time.Duration {
	if u.answers.Load() < knownAfter {
		return maxPatience
	}
	return min(max(time.Duration(u.mean.Load()+4*u.deviation.Load()), minPatience), maxPatience)
}

// silent tells whether the target leaves messages unanswered. How long a batch call
// takes depends on what is in it: nothing is usual for it.
func (h *health) silent() bool {
	return h.sends.waits(h.maxStrikes) && h.sends.since() > h.usual.patience() ||
		h.calls.waits(h.maxStrikes) && h.calls.since() > maxPatience
}
