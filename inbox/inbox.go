package inbox

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed355143d4/mailer"
)

// Config sets up an [Inbox]. The zero value is good for a program on the
// developer's own machine.
type Config struct {
	// MaxMessages is how many messages are kept. The oldest go first. 0: 1000.
	MaxMessages int
	// MaxBytes is how many bytes of messages are kept, counted over all their
	// strings and files. The oldest go first. 0: 64 MiB.
	MaxBytes int64
	// Hosts are further host names, without port, under which the pages may be
	// reached: "mail.dev.example". localhost, names under .localhost and loopback
	// addresses always may.
	Hosts []string
}

// Entry is one message that an inbox took.
type Entry struct {
	// ID names the entry in this inbox. It counts up from 1. A message that was
	// sent twice is two entries with one Message.ID.
	ID int64
	// Time is when the inbox took it.
	Time time.Time
	// Via is who delivered it: see [Inbox.Via]. Empty: it came by Send.
	Via string
	// Message is a copy. Its ID is never empty.
	Message mailer.Message
	// Notes are what [Inbox.Note] wrote beside it, oldest first.
	Notes []string
}

// Inbox keeps the messages that it is sent and shows them on a web page. It is a
// [mailer.Provider] and an [http.Handler]. All its methods may be called from many
// goroutines at once. Make one with [New].
type Inbox struct {
	maxMessages int
	maxBytes    int64
	hosts       []string
	mux         *http.ServeMux
	run         string        // tells this process from one before it
	closed      chan struct{} // closed by Close
	close       func()

	mu      sync.Mutex
	entries []*entry // oldest first
	bytes   int64
	last    int64         // the highest ID given
	version int64         // counts changes
	changed chan struct{} // closed at the next change
}

// entry is what the inbox keeps. Nothing in it changes but read and notes. Its
// Entry.Notes is empty: see notes.
type entry struct {
	Entry
	size  int64
	read  atomic.Bool
	notes atomic.Pointer[[]string] // a new slice for each note
}

const (
	// maxNotes is how many notes a message keeps. The oldest go first.
	maxNotes = 50
	// maxNote is how many bytes of a note are kept.
	maxNote = 200
)

// entryOverhead is what an entry takes besides its strings and files, roughly.
const entryOverhead = 1024

// New makes an Inbox. It starts no goroutine.
func New(c Config) *Inbox {
	in := &Inbox{
		maxMessages: c.MaxMessages,
		maxBytes:    c.MaxBytes,
		hosts:       slices.Clone(c.Hosts),
		run:         rand.Text()[:8],
		closed:      make(chan struct{}),
		changed:     make(chan struct{}),
	}
	in.close = sync.OnceFunc(func() { close(in.closed) })
	if in.maxMessages <= 0 {
		in.maxMessages = 1000
	}
	if in.maxBytes <= 0 {
		in.maxBytes = 64 << 20
	}
	in.mux = in.routes()
	return in
}

// Name is "inbox".
func (in *Inbox) Name() string { return "inbox" }

// Send validates the message and keeps a copy of it. A nil error promises that
// the message is on the page. A message over Config.MaxBytes is refused with
// [mailer.KindTooLarge]. SendAt does not delay it. An error is always NotSent.
func (in *Inbox) Send(ctx context.Context, m mailer.Message) (mailer.Receipt, error) {
	return in.take(ctx, m, "")
}

// Via returns a Provider that delivers into the same inbox in the name of a
// service. Its Name, its receipts and its errors say name, and so does
// [Entry].Via: the page shows who brought the message.
func (in *Inbox) Via(name string) mailer.Provider { return via{in, name} }

type via struct {
	in   *Inbox
	name string
}

func (v via) Name() string { return v.name }

func (v via) Send(ctx context.Context, m mailer.Message) (mailer.Receipt, error) {
	return v.in.take(ctx, m, v.name)
}

func (in *Inbox) take(ctx context.Context, m mailer.Message, via string) (mailer.Receipt, error) {
	provider := via
	if provider == "" {
		provider = in.Name()
	}
	if err := ctx.Err(); err != nil {
		return mailer.Receipt{}, &mailer.Error{Provider: provider, Kind: mailer.KindOf(err), NotSent: true, Err: err}
	}
	if err := m.Validate(); err != nil {
		return mailer.Receipt{}, err
	}
	if m.ID == "" {
		m.ID = mailer.NewID()
	}
	m, size, ok := clone(m, in.maxBytes-entryOverhead)
	if !ok {
		return mailer.Receipt{}, &mailer.Error{
			Provider: provider, Kind: mailer.KindTooLarge, NotSent: true,
			Message: "the message is larger than the inbox, which holds " + strconv.FormatInt(in.maxBytes, 10) + " bytes",
		}
	}

	in.mu.Lock()
	defer in.mu.Unlock()
	in.last++
	e := &entry{Entry: Entry{ID: in.last, Time: time.Now(), Via: via, Message: m}, size: size + entryOverhead}
	in.entries = append(in.entries, e)
	in.bytes += e.size
	n := 0
	for len(in.entries)-n > in.maxMessages || in.bytes > in.maxBytes {
		in.bytes -= in.entries[n].size
		in.entries[n] = nil
		n++
	}
	in.entries = in.entries[n:]
	in.notify()
	return mailer.Receipt{ID: m.ID, Provider: provider, MessageID: m.ID}, nil
}

// notify tells everybody who waits. It never blocks. The caller holds in.mu.
func (in *Inbox) notify() {
	in.version++
	close(in.changed)
	in.changed = make(chan struct{})
}

// after returns the entries with an ID above id, oldest first, and a channel
// that is closed at the next change.
func (in *Inbox) after(id int64) ([]*entry, <-chan struct{}) {
	in.mu.Lock()
	defer in.mu.Unlock()
	i := sort.Search(len(in.entries), func(i int) bool { return in.entries[i].ID > id })
	return slices.Clone(in.entries[i:]), in.changed
}

func (in *Inbox) state() (version string, changed <-chan struct{}) {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.run + "-" + strconv.FormatInt(in.version, 10), in.changed
}

func (in *Inbox) find(id int64) *entry {
	if es, _ := in.after(id - 1); len(es) > 0 && es[0].ID == id {
		return es[0]
	}
	return nil
}

// Messages returns copies of all entries, newest first.
func (in *Inbox) Messages() []Entry {
	es, _ := in.after(0)
	out := make([]Entry, 0, len(es))
	for _, e := range slices.Backward(es) {
		out = append(out, e.copy())
	}
	return out
}

// Get returns a copy of the entry with this ID. False: it is not there, or no
// longer.
func (in *Inbox) Get(id int64) (Entry, bool) {
	e := in.find(id)
	if e == nil {
		return Entry{}, false
	}
	return e.copy(), true
}

// Note writes a line beside every message whose Message.ID is messageID, such as
// what a service reported of it: "bounced: no such mailbox". Open pages show it by
// themselves. It reports whether there is such a message; if not, nothing is kept.
// Of a message the newest 50 notes are kept, and of a note the first 200 bytes.
func (in *Inbox) Note(messageID, note string) bool {
	note = strings.ToValidUTF8(note[:min(len(note), maxNote)], "")
	in.mu.Lock()
	defer in.mu.Unlock()
	found := false
	for _, e := range in.entries {
		if e.Message.ID != messageID {
			continue
		}
		found = true
		notes := append(slices.Clone(e.noted()), note)
		notes = notes[max(0, len(notes)-maxNotes):]
		e.notes.Store(&notes)
	}
	if found {
		in.notify()
	}
	return found
}

// noted are the notes, which nobody may change.
func (e *entry) noted() []string {
	if notes := e.notes.Load(); notes != nil {
		return *notes
	}
	return nil
}

// Clear removes all entries. IDs go on counting.
func (in *Inbox) Clear() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.entries, in.bytes = nil, 0
	in.notify()
}

// Wait returns a copy of the oldest entry with an ID above after whose To, Cc or
// Bcc has the address to, and waits for one if there is none. After 0, an entry
// that is already there counts. Case does not matter in the address. The error
// wraps that of ctx.
func (in *Inbox) Wait(ctx context.Context, to string, after int64) (Entry, error) {
	e, err := in.wait(ctx, nil, to, after)
	if err != nil {
		return Entry{}, err
	}
	return e.copy(), nil
}

var errClosed = errors.New("inbox: closed")

func (in *Inbox) wait(ctx context.Context, closed <-chan struct{}, to string, after int64) (*entry, error) {
	for {
		es, changed := in.after(after)
		for _, e := range es {
			if e.isTo(to) {
				return e, nil
			}
			after = e.ID
		}
		select {
		case <-changed:
		case <-closed:
			return nil, errClosed
		case <-ctx.Done():
			return nil, fmt.Errorf("inbox: no message to %q: %w", to, ctx.Err())
		}
	}
}

// Close ends the requests that wait for new mail, so that [http.Server.Shutdown]
// need not wait for them: pass it to [http.Server.RegisterOnShutdown]. The inbox
// goes on taking and showing messages.
func (in *Inbox) Close() { in.close() }

func (e *entry) copy() Entry {
	out := e.Entry
	out.Message, _, _ = clone(e.Message, e.size)
	out.Notes = slices.Clone(e.noted())
	return out
}

func (e *entry) isTo(address string) bool {
	m := &e.Message
	for _, list := range [][]mailer.Address{m.To, m.Cc, m.Bcc} {
		for _, a := range list {
			if strings.EqualFold(a.Address, address) {
				return true
			}
		}
	}
	return false
}

// matches reports whether every one of the lower-case words is somewhere in what
// the page shows of the entry.
func (e *entry) matches(words []string) bool {
	if len(words) == 0 {
		return true
	}
	m := &e.Message
	var b strings.Builder
	for _, list := range [][]mailer.Address{{m.From}, m.To, m.Cc, m.Bcc, m.ReplyTo} {
		for _, a := range list {
			b.WriteString(a.Name + "\n" + a.Address + "\n")
		}
	}
	b.WriteString(m.Subject + "\n" + m.ID + "\n" + e.Via + "\n" + m.Template.ID + "\n" + strings.Join(m.Tags, "\n") + "\n")
	for _, a := range m.Attachments {
		b.WriteString(a.Name + "\n")
	}
	b.WriteString(m.Text)
	if m.Text == "" {
		b.WriteString(plain(m.HTML))
	}
	hay := strings.ToLower(b.String())
	for _, w := range words {
		if !strings.Contains(hay, w) {
			return false
		}
	}
	return true
}

// list returns the entries that match, newest first.
func (in *Inbox) list(to, q string) []*entry {
	es, _ := in.after(0)
	words := strings.Fields(strings.ToLower(q))
	es = slices.DeleteFunc(es, func(e *entry) bool {
		return to != "" && !e.isTo(to) || !e.matches(words)
	})
	slices.Reverse(es)
	return es
}

var (
	_ mailer.Provider = (*Inbox)(nil)
	_ http.Handler    = (*Inbox)(nil)
)
