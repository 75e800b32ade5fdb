package suppression

import (
	"context"
	"encoding/binary"
	"hash/maphash"
	"iter"
	"math"
	"math/bits"
	"strings"
	"sync"
	"time"
)

// Memory is a [Store] in memory, for one process. The zero value is empty and ready
// for use; it is not to be copied after. It has no bound: an address that would have
// to go to make room is one that gets mail. An entry takes about 50 bytes and what its
// address and Detail are long, and has no pointers for the garbage collector to
// follow. One that has expired or was removed is kept, so that late news cannot bring
// it back. Write it to a file with [WriteJSON].
//
// Look-ups are for many goroutines at once. Its methods ignore the context and
// return no error but [ErrEntry].
type Memory struct {
	// FoldLocal says that the case of the local part makes no difference. It is read
	// when the Memory is first used: setting it later changes nothing.
	FoldLocal bool

	once sync.Once
	fold bool // FoldLocal as it was then
	seed maphash.Seed

	mu     sync.RWMutex
	index  [256]table
	chunks [][]byte // of records, one after the other
	size   int      // of all chunks, in bytes
	kinds  []kind
	known  map[kind]uint32
}

// NewMemory returns an empty list that compares local parts as they are.
func NewMemory() *Memory { return &Memory{} }

func (m *Memory) start() {
	m.once.Do(func() { m.fold, m.seed, m.known = m.FoldLocal, maphash.MakeSeed(), map[kind]uint32{} })
}

// table finds records by the hash of their keys. There are many, so that none takes
// long to grow.
type table struct {
	slots []slot // a power of two of them; a record is in the first free one from that of its tag on
	used  int
}

// slot is empty, or tells where a record is, +1 and in eights of bytes, and above that
// the tag: a part of its key's hash.
type slot uint64

const tagShift = 40

func (s slot) tag() uint64 { return uint64(s) >> tagShift }

// grow makes room for one more.
func (t *table) grow() {
	if 4*(t.used+1) <= 3*len(t.slots) {
		return
	}
	old := t.slots
	t.slots = make([]slot, max(8, 2*len(old)))
	for _, s := range old {
		if s != 0 {
			i := s.tag() % uint64(len(t.slots))
			for t.slots[i] != 0 {
				i = (i + 1) % uint64(len(t.slots))
			}
			t.slots[i] = s
		}
	}
}

// record is an entry, or that there is none any more: a head, and the address and the
// detail, with room to change them.
type record []byte

// Where in a record things are.
const (
	atCreated = 0  // microseconds, 8 bytes
	atExpires = 8  // microseconds, 8 bytes; never if it stays
	atKind    = 16 // 4 bytes
	atCount   = 20 // 2 bytes
	atRoom    = 22 // how many bytes the text may have, 2 bytes
	atDetail  = 24 // how many bytes the detail has, 2 bytes
	atAddress = 26 // how many bytes the address has, 1 byte
	atState   = 27 // 1 byte
	atText    = 28
)

// The states of a record.
const (
	added = iota
	removed
	moved // another record has taken its place
)

const (
	never     = math.MaxInt64
	chunkSize = 1 << 20 // the most bytes in a chunk, and the distance of two of them
	pageSize  = 1 << 12 // how many records All reads at once
)

func (r record) created() int64 { return int64(binary.LittleEndian.Uint64(r[atCreated:])) }

func (r record) expires() int64 { return int64(binary.LittleEndian.Uint64(r[atExpires:])) }

func (r record) room() int { return int(binary.LittleEndian.Uint16(r[atRoom:])) }

func (r record) address() []byte { return r[atText : atText+int(r[atAddress])] }

func (r record) holds(now int64) bool { return r[atState] == added && r.expires() > now }

// kind is what many entries have in common.
type kind struct {
	reason         Reason
	stream, source string
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
		t, tag := m.table(key)
		for s := range t.of(tag) {
			if r := m.at(*s); r.holds(now) && m.isOf(r, key) {
				found = append(found, m.entry(r))
			}
		}
	}
	return found, nil
}

// table returns where the records of a key are to be found.
func (m *Memory) table(key string) (t *table, tag uint64) {
	hash := maphash.String(m.seed, key)
	return &m.index[hash%uint64(len(m.index))], hash >> tagShift
}

// of returns the slots of records with the tag.
func (t *table) of(tag uint64) iter.Seq[*slot] {
	return func(yield func(*slot) bool) {
		mask := uint64(len(t.slots)) - 1
		for i := tag & mask; i < uint64(len(t.slots)) && t.slots[i] != 0; i = (i + 1) & mask {
			if t.slots[i].tag() == tag && !yield(&t.slots[i]) {
				return
			}
		}
	}
}

// at returns a record, and what stands after it.
func (m *Memory) at(s slot) record {
	at := (uint64(s)&(1<<tagShift-1) - 1) * 8
	return m.chunks[at/chunkSize][at%chunkSize:]
}

// isOf says whether a record is of the address with that key.
func (m *Memory) isOf(r record, key string) bool {
	if string(r.address()) == key || !m.fold {
		return string(r.address()) == key
	}
	folded, _ := Key(string(r.address()), true)
	return folded == key
}

func (m *Memory) entry(r record) Entry {
	k := m.kinds[binary.LittleEndian.Uint32(r[atKind:])]
	n := int(r[atAddress])
	text := string(r[atText : atText+n+int(binary.LittleEndian.Uint16(r[atDetail:]))])
	e := Entry{
		Address: text[:n], Reason: k.reason, Stream: k.stream, Source: k.source, Detail: text[n:],
		Count:   int(binary.LittleEndian.Uint16(r[atCount:])),
		Created: time.UnixMicro(r.created()).UTC(),
	}
	if expires := r.expires(); expires != never {
		e.Expires = time.UnixMicro(expires).UTC()
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
	r, s := m.find(e)
	switch {
	case r == nil:
	case r[atState] == removed:
		if created <= r.created() {
			return
		}
	default:
		expires = max(expires, r.expires())
		if created < r.created() {
			binary.LittleEndian.PutUint64(r[atExpires:], uint64(expires))
			return
		}
	}
	m.put(s, e, created, expires, added)
}

func (m *Memory) remove(e Entry) {
	e.Detail = ""
	created := e.Created.UnixMicro()
	if r, s := m.find(e); r == nil || created >= r.created() {
		m.put(s, e, created, never, removed)
	}
}

// find returns the record of that name, and its slot. There may be none; the slot is
// then a free one, with the tag alone.
func (m *Memory) find(e Entry) (record, *slot) {
	key, _ := Key(e.Address, m.fold)
	t, tag := m.table(key)
	for s := range t.of(tag) {
		r := m.at(*s)
		if k := m.kinds[binary.LittleEndian.Uint32(r[atKind:])]; k.reason == e.Reason && k.stream == e.Stream && m.isOf(r, key) {
			return r, s
		}
	}
	t.grow()
	t.used++
	i := tag % uint64(len(t.slots))
	for t.slots[i] != 0 {
		i = (i + 1) % uint64(len(t.slots))
	}
	t.slots[i] = slot(tag << tagShift)
	return nil, &t.slots[i]
}

// put writes the record of a slot: where it was if it has the room, and at the end if
// not.
func (m *Memory) put(s *slot, e Entry, created, expires int64, state byte) {
	n := len(e.Address) + len(e.Detail)
	where := uint64(*s) & (1<<tagShift - 1)
	if where == 0 || m.at(*s).room() < n {
		room := n
		if where != 0 {
			m.at(*s)[atState] = moved
			room = 1 << bits.Len(uint(n)) // little is left behind by what grows again and again
		}
		room += -(atText + room) & 7
		last := len(m.chunks) - 1
		if last < 0 || len(m.chunks[last])+atText+room > cap(m.chunks[last]) {
			chunk := make([]byte, 0, min(chunkSize, max(1<<12, m.size))) // as large as all there is
			m.chunks, m.size = append(m.chunks, chunk), m.size+cap(chunk)
			last++
		}
		at := len(m.chunks[last])
		m.chunks[last] = m.chunks[last][:at+atText+room]
		binary.LittleEndian.PutUint16(m.chunks[last][at+atRoom:], uint16(room))
		*s = slot(s.tag()<<tagShift | uint64(last*chunkSize+at)/8 + 1)
	}
	r := m.at(*s)
	binary.LittleEndian.PutUint64(r[atCreated:], uint64(created))
	binary.LittleEndian.PutUint64(r[atExpires:], uint64(expires))
	binary.LittleEndian.PutUint32(r[atKind:], m.kindOf(e))
	binary.LittleEndian.PutUint16(r[atCount:], uint16(e.Count))
	binary.LittleEndian.PutUint16(r[atDetail:], uint16(len(e.Detail)))
	r[atAddress], r[atState] = byte(len(e.Address)), state
	copy(r[atText+copy(r[atText:], e.Address):], e.Detail)
}

func (m *Memory) kindOf(e Entry) uint32 {
	k := kind{e.Reason, e.Stream, e.Source}
	n, ok := m.known[k]
	if !ok {
		// Copies, since what was given may be part of something large.
		k.stream, k.source = strings.Clone(k.stream), strings.Clone(k.source)
		n = uint32(len(m.kinds))
		m.known[k] = n
		m.kinds = append(m.kinds, k)
	}
	return n
}

// All is that of [Store]. An entry that changes meanwhile may come twice.
func (m *Memory) All(context.Context) iter.Seq2[Entry, error] {
	m.start()
	return func(yield func(Entry, error) bool) {
		var page []Entry
		for chunk, at := 0, 0; chunk >= 0; {
			page, chunk, at = m.page(page[:0], chunk, at)
			for _, e := range page {
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

// page adds the entries among some records to a list, from a place on, and returns
// where the next ones begin: in a negative chunk after the last one.
func (m *Memory) page(entries []Entry, chunk, at int) (_ []Entry, nextChunk, next int) {
	now := time.Now().UnixMicro()
	m.mu.RLock()
	defer m.mu.RUnlock()
	for range pageSize {
		for chunk < len(m.chunks) && at == len(m.chunks[chunk]) {
			chunk, at = chunk+1, 0
		}
		if chunk >= len(m.chunks) {
			return entries, -1, 0
		}
		r := record(m.chunks[chunk][at:])
		if r.holds(now) {
			entries = append(entries, m.entry(r))
		}
		at += atText + r.room()
	}
	return entries, chunk, at
}
