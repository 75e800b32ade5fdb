package suppression

import (
	"context"
	"hash/maphash"
	"iter"
	"math"
	"strings"
	"sync"
	"time"
)

// Memory is a [Store] in memory, for one process. The zero value is empty and ready
// for use; it is not to be copied after. It has no bound: an address that
// would have to go to make room is one that gets mail. An entry takes about 100
// bytes and what its address and Detail are long: ten million, 1.4 GB. One that has
// expired or was removed is kept, so that late news cannot bring it back. Write it to a file with
// [WriteJSON].
//
// Look-ups are for many goroutines at once. Its methods ignore the context and
// return no error but [ErrEntry].
type Memory struct {
	// FoldLocal says that the case of the local part makes no difference. It is read
	// when the Memory is first used: setting it later changes nothing.
	FoldLocal bool

	once  sync.Once
	fold  bool // FoldLocal as it was then
	seed  maphash.Seed
	mu    sync.RWMutex
	first map[uint64]uint32 // by the hash of an address: its first record, +1
	pages [][]record
	n     uint32
	kinds []kind
	known map[kind]uint32
}

// record is one entry, or that there is none any more.
type record struct {
	address string
	detail  string
	created int64 // microseconds
	expires int64 // microseconds; never if it stays
	next    uint32
	kind    uint32
	count   uint16
	removed bool
}

// kind is what many entries have in common.
type kind struct {
	reason         Reason
	stream, source string
}

const (
	pageSize = 1 << 12
	never    = math.MaxInt64
)

// NewMemory returns an empty list that compares local parts as they are.
func NewMemory() *Memory { return &Memory{} }

func (m *Memory) start() {
	m.once.Do(func() {
		m.fold, m.seed, m.first, m.known = m.FoldLocal, maphash.MakeSeed(), map[uint64]uint32{}, map[kind]uint32{}
	})
}

// Key is that of [Store].
func (m *Memory) Key(address string) (key string, ok bool) {
	m.start()
	return Key(address, m.fold)
}

// Lookup is that of [Store].
func (m *Memory) Lookup(_ context.Context, addresses []string) ([]Entry, error) {
	m.start()
	now := time.Now().UnixMicro()
	var found []Entry
	var seen map[string]bool
	if len(addresses) > 1 {
		seen = make(map[string]bool, len(addresses))
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, address := range addresses {
		key, ok := Key(address, m.fold)
		if !ok || seen[key] {
			continue
		}
		if seen != nil {
			seen[key] = true
		}
		for i := m.first[maphash.String(m.seed, key)]; i != 0; i = m.at(i).next {
			if r := m.at(i); m.isOf(r, key) && r.holds(now) {
				found = append(found, m.entry(r))
			}
		}
	}
	return found, nil
}

// isOf says whether a record is of the address with that key.
func (m *Memory) isOf(r *record, key string) bool {
	if r.address == key || !m.fold {
		return r.address == key
	}
	folded, _ := Key(r.address, true)
	return folded == key
}

func (r *record) holds(now int64) bool { return !r.removed && r.expires > now }

func (m *Memory) at(i uint32) *record { return &m.pages[(i-1)/pageSize][(i-1)%pageSize] }

func (m *Memory) entry(r *record) Entry {
	k := m.kinds[r.kind]
	e := Entry{
		Address: r.address, Reason: k.reason, Stream: k.stream, Source: k.source, Detail: r.detail, Count: int(r.count),
		Created: time.UnixMicro(r.created).UTC(),
	}
	if r.expires != never {
		e.Expires = time.UnixMicro(r.expires).UTC()
	}
	return e
}

// Add is that of [Store].
func (m *Memory) Add(_ context.Context, entries []Entry) error { return m.change(entries, m.add) }

// Remove is that of [Store].
func (m *Memory) Remove(_ context.Context, entries []Entry) error { return m.change(entries, m.remove) }

// change calls do with every entry as it is kept.
func (m *Memory) change(entries []Entry, do func(Entry)) error {
	m.start()
	normal := make([]Entry, len(entries))
	for i, e := range entries {
		var err error
		if normal[i], err = e.Normal(); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range normal {
		do(e)
	}
	return nil
}

func (m *Memory) add(e Entry) {
	created, expires := e.Created.UnixMicro(), int64(never)
	if !e.Expires.IsZero() {
		expires = e.Expires.UnixMicro()
	}
	r, known := m.find(e)
	switch {
	case known && r.removed && created <= r.created:
		return
	case known && !r.removed:
		expires = max(expires, r.expires)
		if created < r.created {
			r.expires = expires
			return
		}
	}
	// Copies, since what was given may be part of something large.
	if r.address != e.Address {
		r.address = strings.Clone(e.Address)
	}
	r.detail, r.created, r.expires, r.removed = strings.Clone(e.Detail), created, expires, false
	r.kind, r.count = m.kindOf(e), uint16(e.Count)
}

func (m *Memory) remove(e Entry) {
	created := e.Created.UnixMicro()
	if r, known := m.find(e); !known || created >= r.created {
		r.detail, r.created, r.removed = "", created, true
	}
}

// find returns the record of that name, a new one if there is none.
func (m *Memory) find(e Entry) (r *record, known bool) {
	key := e.Address
	if m.fold {
		key, _ = Key(key, true)
	}
	hash := maphash.String(m.seed, key)
	head := m.first[hash]
	for i := head; i != 0; i = r.next {
		r = m.at(i)
		if k := m.kinds[r.kind]; m.isOf(r, key) && k.reason == e.Reason && k.stream == e.Stream {
			return r, true
		}
	}
	if m.n%pageSize == 0 {
		m.pages = append(m.pages, make([]record, pageSize))
	}
	m.n++
	m.first[hash] = m.n
	r = m.at(m.n)
	*r = record{address: strings.Clone(e.Address), next: head, kind: m.kindOf(e)}
	return r, false
}

func (m *Memory) kindOf(e Entry) uint32 {
	k := kind{e.Reason, e.Stream, e.Source}
	n, ok := m.known[k]
	if !ok {
		k.stream, k.source = strings.Clone(k.stream), strings.Clone(k.source)
		n = uint32(len(m.kinds))
		m.known[k] = n
		m.kinds = append(m.kinds, k)
	}
	return n
}

// All is that of [Store]. The entries come in the order in which they were added
// first.
func (m *Memory) All(context.Context) iter.Seq2[Entry, error] {
	m.start()
	return func(yield func(Entry, error) bool) {
		for from := uint32(0); ; from += pageSize {
			page := m.page(from)
			if page == nil {
				return
			}
			for _, e := range page {
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

// page returns the entries among the records of one page, nil after the last one.
func (m *Memory) page(from uint32) []Entry {
	now := time.Now().UnixMicro()
	m.mu.RLock()
	defer m.mu.RUnlock()
	if from >= m.n {
		return nil
	}
	entries := make([]Entry, 0, pageSize)
	for i := from + 1; i <= min(from+pageSize, m.n); i++ {
		if r := m.at(i); r.holds(now) {
			entries = append(entries, m.entry(r))
		}
	}
	return entries
}
