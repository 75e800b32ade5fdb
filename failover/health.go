package failover

import (
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
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
	// Silent is a target that lets several messages wait and has answered none of
	// them for longer than is usual for it: from half a second to three. It is
	// passed by until it answers, or until it rests for not having answered.
	Silent
)

// String says the state in a word: "well", "resting", "probing", "silent".
func (s State) String() string {
	switch s {
	case Well:
		return "well"
	case Resting:
		return "resting"
	case Probing:
		return "probing"
	}
	return "silent"
}

// Health is how one target of a [Chain] stands.
type Health struct {
	// Name is the target's name.
	Name string
	// State says whether it is used.
	State State
	// Strikes is how many strikes it has that are not forgotten, and Refusals how
	// many different messages in a row it refused that another target took.
	Strikes, Refusals int
	// RestUntil is when its rest ends, or ended while the target is Probing. Zero
	// if it is Well.
	RestUntil time.Time
	// LastError is the last failure that was a strike or let it rest; recovery
	// does not clear it. Nil: there was none. [mailer.KindOf] says its kind:
	// KindUnavailable, wrapped around the last refusal, if the target rests
	// because it refused several messages. Its words may name a recipient's
	// address.
	LastError error
	// LastChange is when it last began or ended to rest. Zero: never.
	LastChange time.Time
	// Sent and Failed count the messages that the target took and that failed
	// there, each time they did, since New.
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
	name          string
	maxStrikes    int
	maxRefusals   int
	rest, maxRest time.Duration

	sent, failed atomic.Uint64

	// quick holds what the ordinary path has to know, so that it takes no lock:
	// gen, above a bit that tells that the target rests, above one that tells that
	// there is anything to forget after a success. It is written by touched only.
	quick atomic.Uint64

	sends, calls quiet // single messages, and batches of several
	usual        usual // of single messages that it took

	mu         sync.Mutex
	gen        uint64
	resting    bool // until a success, so also while Probing
	probing    bool // the probe slot is taken
	named      bool // the service itself named until
	until      time.Time
	strikes    int           // as rests
	refusals   []fingerprint // of different messages, in a row
	rests      uint          // since as many successes in a row as trust asks for
	successes  int           // since the last strike or rest
	lastErr    error
	lastChange time.Time
}

// trust is how many messages a target has to take in a row before its strikes and
// rests are forgotten. A service that fails one message of three would hardly ever
// fail three in a row. Until a rest is forgotten, one strike brings the next, and for
// longer than before.
const trust = 50

const (
	quickDirty = 1 << iota
	quickResting
	quickGen // the lowest bit of gen
)

// touched publishes what changed, and unlocks.
func (h *health) touched() {
	quick := h.gen * quickGen
	if h.resting {
		quick |= quickResting
	}
	if h.resting || h.strikes > 0 || len(h.refusals) > 0 || h.rests > 0 {
		quick |= quickDirty
	}
	h.quick.Store(quick)
	h.mu.Unlock()
}

// admit gives leave for an attempt at a target that is well, or for the probe.
func (h *health) admit() (permit, bool) {
	if quick := h.quick.Load(); quick&quickResting == 0 {
		return permit{gen: quick / quickGen}, !h.silent()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.free(time.Now()) {
		return permit{}, false
	}
	h.probing = h.resting
	return permit{gen: h.gen, probe: h.resting}, true
}

// mayTry tells whether admit would give leave.
func (h *health) mayTry() bool {
	if h.quick.Load()&quickResting == 0 {
		return !h.silent()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.free(time.Now())
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

// restLeft tells how long it rests yet.
func (h *health) restLeft(now time.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.resting {
		return 0
	}
	return max(0, h.until.Sub(now))
}

// why returns the failure for which the target rests, or rested and is yet to be
// tried. Nil: it is well.
func (h *health) why() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.resting {
		return nil
	}
	return h.lastErr
}

// late gives leave for an attempt although the target rests, or is silent.
func (h *health) late() permit {
	h.mu.Lock()
	defer h.mu.Unlock()
	return permit{gen: h.gen, late: h.resting}
}

// learn takes over a rest, or the end of one, that another process found out.
func (h *health) learn(r Rest, err error, now time.Time) change {
	h.mu.Lock()
	defer h.touched()
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

// succeed ends an attempt in which the service took n messages.
func (h *health) succeed(p permit, n int, now time.Time) change {
	h.sent.Add(uint64(n))
	if h.quick.Load()&quickDirty == 0 {
		return unchanged
	}
	h.mu.Lock()
	defer h.touched()
	if !h.resting {
		h.refusals = nil
		if h.successes += n; h.successes >= trust {
			h.strikes, h.rests = 0, 0
		}
		return unchanged
	}
	if p.gen != h.gen {
		return unchanged // it began before the rest did
	}
	h.gen++
	h.resting, h.probing, h.named = false, false, false
	h.until = time.Time{}
	h.strikes, h.refusals, h.successes = 0, nil, n
	h.lastChange = now
	return recovered
}

// again notes an attempt in which n messages failed that are to be tried here
// again, and tells whether they may: not if the target rests, or did meanwhile.
func (h *health) again(p permit, n int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.resting || p.gen != h.gen {
		return false
	}
	h.failed.Add(uint64(n))
	return true
}

// fail ends an attempt in which n messages failed. D and err are the worst of it.
func (h *health) fail(p permit, n int, d Decision, err error, now time.Time) change {
	h.failed.Add(uint64(n))
	if !d.Strike && !d.Rest && !p.probe {
		return unchanged
	}
	h.mu.Lock()
	defer h.touched()
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
	h.strikes, h.successes = h.strikes+1, 0
	if !d.Rest && !p.probe && h.strikes < h.maxStrikes && h.rests == 0 {
		return unchanged
	}
	h.lieDown(d.RestFor, now)
	return cameToRest
}

// refuse notes that the attempt of p was a refusal of a message that another
// target then took.
func (h *health) refuse(p permit, f fingerprint, err error, now time.Time) change {
	h.mu.Lock()
	defer h.touched()
	if p.gen != h.gen || p.late || slices.ContainsFunc(h.refusals, func(k fingerprint) bool { return k.id == f.id || k.content == f.content }) {
		return unchanged
	}
	if h.refusals = append(h.refusals, f); len(h.refusals) < h.maxRefusals {
		return unchanged
	}
	h.refusals = slices.Delete(h.refusals, 0, len(h.refusals)-h.maxRefusals)
	h.lastErr = &mailer.Error{
		Provider: h.name, Kind: mailer.KindUnavailable, NotSent: true,
		Message: strconv.Itoa(h.maxRefusals) + " different messages refused in a row, and taken by others", Err: err,
	}
	h.lieDown(0, now)
	return cameToRest
}

// lieDown begins a rest, or the next one. 0 or less: for the back-off.
func (h *health) lieDown(restFor time.Duration, now time.Time) {
	h.gen++
	h.resting, h.probing, h.named = true, false, restFor > 0
	if h.lastChange = now; !h.named {
		restFor = backOff(h.rest, h.maxRest, h.rests)
	}
	h.until = now.Add(restFor)
	h.rests++
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

func (h *health) snapshot(now time.Time) Health {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := Health{
		Name: h.name, Strikes: h.strikes, Refusals: len(h.refusals), RestUntil: h.until, LastError: h.lastErr,
		LastChange: h.lastChange, Sent: h.sent.Load(), Failed: h.failed.Load(),
	}
	switch {
	case !h.resting && h.silent():
		s.State = Silent
	case !h.resting:
	case now.Before(h.until):
		s.State = Resting
	default:
		s.State = Probing
	}
	return s
}

// fingerprint tells messages apart. One that was refused is often tried again,
// under the same ID or a new one, and to other recipients.
type fingerprint struct{ id, content uint64 }

var seed = maphash.MakeSeed()

func fingerprintOf(m *mailer.Message) fingerprint {
	var h maphash.Hash
	h.SetSeed(seed)
	for _, s := range [...]string{m.From.Address, m.Subject, m.Text, m.HTML, m.Template.ID} {
		maphash.WriteComparable(&h, len(s))
		_, _ = h.WriteString(s) // never fails
	}
	return fingerprint{maphash.String(seed, m.ID), h.Sum64()}
}
