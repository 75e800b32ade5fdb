package webhook

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"strconv"
	"sync"
	"time"
)

// EventID makes an [Event].ID from what tells one event from all others, for a
// service that gives it none. The same parts in the same order make the same ID,
// and other parts another one.
func EventID(parts ...string) string {
	var room [512]byte
	b := room[:0]
	for _, p := range parts {
		b = append(strconv.AppendInt(b, int64(len(p)), 10), ':')
		b = append(b, p...)
	}
	sum := sha256.Sum256(b)
	var text [24]byte
	base64.RawURLEncoding.Encode(text[:], sum[:18])
	return string(text[:])
}

// Seen remembers which events were dealt with. It is safe for use by many
// goroutines. [Memory] is one; one in a database outlives the process, and is
// shared by several.
type Seen interface {
	// Has reports for each key whether it was added. The answer has as many
	// elements as keys. The error is for when it cannot be told; the request is
	// then answered with 503.
	Has(ctx context.Context, keys []string) ([]bool, error)
	// Add adds keys. Adding one twice is no error.
	Add(ctx context.Context, keys []string) error
}

// Dedupe returns a callback for [Handler] that passes on to fn what seen does not
// have. Services report at least once, that is to say sometimes twice; behind
// Dedupe, fn deals with each event once.
//
// An event is added to seen only after fn returned nil, so none is lost: with an
// error or a panic of fn the events of the request come again, all that were not
// dealt with before. Of an event that two requests bring at the same time one
// waits for the other, within this process. An event without an ID is always
// passed on. fn is not called if nothing is left.
//
// Twice it can still be, when the process ends between fn and Add, when Add fails
// (which is logged and not an error, as the events are dealt with), when two
// processes get the same event at the same moment, or when a service reports an
// event again after seen forgot it. Where that matters, fn has to store
// Event.Provider and Event.ID in the transaction of what it does.
//
// A nil seen is a new [Memory].
func Dedupe(seen Seen, fn func(context.Context, []Event) error) func(context.Context, []Event) error {
	if fn == nil {
		panic("webhook: Dedupe needs a function")
	}
	if seen == nil {
		seen = new(Memory)
	}
	d := &dedupe{seen: seen, fn: fn, busy: map[string]chan struct{}{}}
	return d.receive
}

type dedupe struct {
	seen Seen
	fn   func(context.Context, []Event) error

	mu   sync.Mutex
	busy map[string]chan struct{} // closed when the request with this key is through
}

func (d *dedupe) receive(ctx context.Context, events []Event) error {
	var keys []string
	for i := range events {
		if e := &events[i]; e.ID != "" {
			keys = append(keys, key(e))
		}
	}
	done := make(chan struct{})
	for {
		other := d.claim(keys, done)
		if other == nil {
			break
		}
		// Nothing is held while waiting, so no two requests wait for each other.
		select {
		case <-other:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer d.release(keys, done)

	fresh, added, err := d.unseen(ctx, events, keys)
	if err != nil || len(fresh) == 0 {
		return err
	}
	if err := d.fn(ctx, fresh); err != nil {
		return err
	}
	if len(added) == 0 {
		return nil
	}
	// Even if the service has hung up meanwhile: all the more it asks again.
	if err := d.seen.Add(context.WithoutCancel(ctx), added); err != nil {
		slog.LogAttrs(ctx, slog.LevelError, "webhook events not remembered", slog.Int("events", len(added)), slog.Any("error", err))
	}
	return nil
}

// claim claims all keys, or none and returns what to wait for.
func (d *dedupe) claim(keys []string, done chan struct{}) (other chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, k := range keys {
		if other := d.busy[k]; other != nil {
			return other
		}
	}
	for _, k := range keys {
		d.busy[k] = done
	}
	return nil
}

func (d *dedupe) release(keys []string, done chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, k := range keys {
		delete(d.busy, k)
	}
	close(done)
}

// unseen returns the events to pass on, and the keys to add afterwards.
func (d *dedupe) unseen(ctx context.Context, events []Event, keys []string) (fresh []Event, added []string, err error) {
	var has []bool
	if len(keys) > 0 {
		if has, err = d.seen.Has(ctx, keys); err != nil {
			return nil, nil, err
		}
	}
	twice := make(map[string]bool, len(keys))
	n := 0
	for _, e := range events {
		if e.ID != "" {
			k := keys[n]
			n++
			if has[n-1] || twice[k] {
				continue
			}
			twice[k] = true
			added = append(added, k)
		}
		fresh = append(fresh, e)
	}
	return fresh, added, nil
}

// key names an event among those of all services.
func key(e *Event) string { return e.Provider + ":" + e.ID }

// The defaults of [Memory].
const (
	DefaultSeenMax = 100_000
	// DefaultSeenTTL outlasts the longest time for which a service is known to try
	// again: 48 hours, SMTP2GO's.
	DefaultSeenTTL = 72 * time.Hour
)

// Memory is a [Seen] in memory: it forgets with the end of the process. The zero
// value is ready for use; do not change the fields after that. A key takes about
// 100 bytes.
type Memory struct {
	// Max is how many keys are remembered. Of more the oldest are forgotten first.
	// Zero: DefaultSeenMax.
	Max int
	// TTL is how long a key is remembered. Zero: DefaultSeenTTL.
	TTL time.Duration

	mu    sync.Mutex
	until map[seenKey]time.Time
	ring  []seenKey // in the order of their time
	first int       // the oldest of ring, once it is full
}

// seenKey is a key's hash, which is shorter than the key and always as long.
type seenKey [16]byte

func hash(key string) seenKey {
	sum := sha256.Sum256([]byte(key))
	return seenKey(sum[:16])
}

// Has reports for each key whether it was added and is remembered. The error is
// nil.
func (m *Memory) Has(_ context.Context, keys []string) ([]bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, has := time.Now(), make([]bool, len(keys))
	for i, k := range keys {
		until, ok := m.until[hash(k)]
		has[i] = ok && now.Before(until)
	}
	return has, nil
}

// Add adds keys. The error is nil.
func (m *Memory) Add(_ context.Context, keys []string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	limit, ttl := m.Max, m.TTL
	if limit <= 0 {
		limit = DefaultSeenMax
	}
	if ttl <= 0 {
		ttl = DefaultSeenTTL
	}
	if m.until == nil {
		m.until = map[seenKey]time.Time{}
	}
	until := time.Now().Add(ttl)
	for _, k := range keys {
		h := hash(k)
		if _, ok := m.until[h]; ok {
			m.until[h] = until
			continue
		}
		m.until[h] = until
		if len(m.ring) < limit {
			m.ring = append(m.ring, h)
			continue
		}
		delete(m.until, m.ring[m.first])
		m.ring[m.first] = h
		m.first = (m.first + 1) % limit
	}
	return nil
}
