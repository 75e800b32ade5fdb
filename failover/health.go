package failover

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/seed355143d4/mailer"
)

// maxNamedRest bounds the rest that a service asks for, so that a nonsensical
// Retry-After does not lose a service for good. One probe a day costs nothing.
const maxNamedRest = 24 * time.Hour

// State says whether a target is used.
type State uint8

// The states of a target.
const (
	// Well is a target that takes mail.
	Well State = iota
	// Resting is a target that is passed by.
	Resting
	// Probing is a target whose rest is over: one message at a time tries it.
	Probing
)

// String says the state in a word: "well", "resting", "probing".
func (s State) String() string {
	switch s {
	case Well:
		return "well"
	case Resting:
		return "resting"
	}
	return "probing"
}

// Health is how one target of a [Chain] stands.
type Health struct {
	// Name is the target's name.
	Name string
	// State says whether it is used.
	State State
	// Strikes is how many strikes in a row it has.
	Strikes int
	// RestUntil is when its rest ends, or ended while the target is Probing. Zero
	// if it is Well.
	RestUntil time.Time
	// LastError is the last failure that was a strike or let it rest; recovery
	// does not clear it. Nil: there was none. [mailer.KindOf] says its kind. Its
	// words may name a recipient's address.
	LastError error
	// LastChange is when it last began or ended to rest. Zero: never.
	LastChange time.Time
	// Sent and Failed count the attempts that ended with and without an error,
	// since New.
	Sent, Failed uint64
}

// permit is the leave to make one attempt. Its generation tells whether the
// target came to rest or recovered since.
type permit struct {
	gen   uint64
	probe bool // holds the target's one probe slot
	late  bool // tried though it rests, because all do
}

// change is what an attempt's end changed, for the log.
type change uint8

const (
	unchanged change = iota
	cameToRest
	recovered
)

// health is the state machine of one target.
type health struct {
	maxStrikes    int
	rest, maxRest time.Duration

	mu           sync.Mutex
	gen          uint64
	resting      bool // until a success, so also while Probing
	probing      bool // the probe slot is taken
	named        bool // the service itself named until
	until        time.Time
	strikes      int
	rests        uint // in a row, without a success between
	lastErr      error
	lastChange   time.Time
	sent, failed uint64
}

// admit gives leave for an attempt at a target that is well, or for the probe.
func (h *health) admit(now time.Time) (permit, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.free(now) {
		return permit{}, false
	}
	h.probing = h.resting
	return permit{gen: h.gen, probe: h.resting}, true
}

// mayTry tells whether admit would give leave.
func (h *health) mayTry(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.free(now)
}

func (h *health) free(now time.Time) bool {
	return !h.resting || !h.probing && !now.Before(h.until)
}

// wakes tells when a target that rests wakes, and whether it may be tried before
// because its service named no time that lies ahead.
func (h *health) wakes(now time.Time) (until time.Time, early bool, reason mailer.Kind) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.until, !h.named || !now.Before(h.until), mailer.KindOf(h.lastErr)
}

// late gives leave for an attempt although the target rests.
func (h *health) late() permit {
	h.mu.Lock()
	defer h.mu.Unlock()
	return permit{gen: h.gen, late: true}
}

// learn takes over a rest, or the end of one, that another process found out.
func (h *health) learn(r Rest, err error, now time.Time) change {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.Until.IsZero() {
		if h.resting && now.Before(h.until) {
			h.until, h.named = now, false // one message may see for itself
		}
		return unchanged
	}
	if limit := now.Add(maxNamedRest); r.Until.After(limit) {
		r.Until = limit
	}
	if !r.Until.After(now) || h.resting && !r.Until.After(h.until) {
		return unchanged
	}
	known := h.resting && now.Before(h.until)
	h.until, h.named, h.lastErr = r.Until, r.Named, err
	if known {
		return unchanged
	}
	if !h.resting {
		h.gen++
		h.resting = true
	}
	h.lastChange = now
	return cameToRest
}

// told is what other processes are to know.
func (h *health) told(now time.Time) Rest {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.resting || !now.Before(h.until) {
		return Rest{}
	}
	return Rest{Until: h.until, Kind: mailer.KindOf(h.lastErr), Named: h.named}
}

// release ends an attempt that said nothing, not even that it failed.
func (h *health) release(p permit) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.releaseLocked(p)
}

func (h *health) releaseLocked(p permit) {
	if p.probe && p.gen == h.gen {
		h.probing = false
	}
}

// succeed ends an attempt that the service took.
func (h *health) succeed(p permit, now time.Time) change {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sent++
	if !h.resting {
		h.strikes = 0
		return unchanged
	}
	if p.gen != h.gen {
		return unchanged // it began before the rest did
	}
	h.gen++
	h.resting, h.probing, h.named = false, false, false
	h.until = time.Time{}
	h.strikes, h.rests = 0, 0
	h.lastChange = now
	return recovered
}

// fail ends an attempt that failed.
func (h *health) fail(p permit, d Decision, err error, now time.Time) change {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failed++
	h.releaseLocked(p)
	if !d.Strike && !d.Rest {
		return unchanged
	}
	d.RestFor = min(d.RestFor, maxNamedRest)
	if p.gen != h.gen || p.late {
		// It began before the target came to rest or recovered, or it does not
		// count as the probe. Only a time that the service names is still news.
		until := now.Add(d.RestFor)
		if !h.resting || !d.Rest || d.RestFor <= 0 || !until.After(h.until) {
			return unchanged
		}
		over := !now.Before(h.until)
		h.until, h.named, h.lastErr = until, true, err
		if !over {
			return unchanged
		}
		h.lastChange = now
		return cameToRest
	}
	h.lastErr = err
	h.strikes++
	if !d.Rest && !p.probe && h.strikes < h.maxStrikes {
		return unchanged
	}
	h.gen++
	h.resting, h.probing, h.named = true, false, d.RestFor > 0
	if h.lastChange = now; !h.named {
		d.RestFor = backOff(h.rest, h.maxRest, h.rests)
	}
	h.until = now.Add(d.RestFor)
	h.rests++
	return cameToRest
}

// backOff returns rest doubled n times, at most limit, less a random part of up
// to a quarter, so that many processes do not come back in one moment.
func backOff(rest, limit time.Duration, n uint) time.Duration {
	d := rest
	for ; n > 0 && d < limit; n-- {
		if d > limit/2 {
			d = limit
		} else {
			d *= 2
		}
	}
	return d - time.Duration(rand.Int64N(int64(d)/4+1))
}

func (h *health) snapshot(name string, now time.Time) Health {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := Health{
		Name: name, Strikes: h.strikes, RestUntil: h.until, LastError: h.lastErr,
		LastChange: h.lastChange, Sent: h.sent, Failed: h.failed,
	}
	switch {
	case !h.resting:
	case now.Before(h.until):
		s.State = Resting
	default:
		s.State = Probing
	}
	return s
}
