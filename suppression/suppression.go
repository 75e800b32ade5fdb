// Package suppression keeps mail from addresses that are not to be mailed,
// whichever service reported them.
//
// A [Store] holds the entries: [Memory] here, a SQL database in package sqlstore.
// [Record] fills it from the events of webhooks, [Pull] from the list of a service,
// and [Wrap] keeps mail from whoever stands in it, before any traffic:
//
//	list := suppression.NewMemory()
//	sender := suppression.Wrap(chain, list, suppression.Config{})
//	http.Handle("POST /hooks/postmark", webhook.Handler(source, suppression.Record(list, nil)))
//
// # Which mail an entry holds
//
// An entry without a Stream holds for all mail. One with a Stream holds for the
// messages of that stream only, so that leaving a newsletter stops no password
// reset. A message says its stream with an [Extra]:
//
//	m.Extras = append(m.Extras, suppression.Extra{Stream: "newsletter"})
//
// A hard bounce and a complaint hold for all mail, whatever stream they came from:
// who calls one message spam will do so with the next one, and it is the account
// that pays. Mail that the recipient asked for a moment ago says so with
// Extra.Requested, and passes complaints and unsubscribes, not bounces.
//
// # Addresses
//
// Two addresses are the same if they differ in the case of the domain, in needless
// quotes or in how an international domain is spelled. Whether the case of the local
// part makes a difference is for the store to say, and everything here asks it, by
// its Key. It does, unless FoldLocal of the store is set: RFC 5321 leaves the local
// part to who receives the mail. Set it where services report to the store, since
// some name addresses in lower case: see docs/suppression.md. An entry has the
// local part as it was given either way.
package suppression

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/seed355143d4/mailer/internal/envelope"
)

// Reason says why an address is not to be mailed.
type Reason string

// The reasons.
const (
	// HardBounce: the address does not work.
	HardBounce Reason = "hard_bounce"
	// SoftBounce: the address did not work for a while. Such an entry expires.
	SoftBounce Reason = "soft_bounce"
	// Complaint: the recipient called a message spam.
	Complaint Reason = "complaint"
	// Unsubscribe: the recipient asked for no more of a stream.
	Unsubscribe Reason = "unsubscribe"
	// Manual: somebody entered it, or a service does not say why.
	Manual Reason = "manual"
	// Strike: soft bounces are being counted. Such an entry keeps no mail away, and
	// expires.
	Strike Reason = "strike"
)

// reasons are those that an entry may have.
var reasons = map[Reason]bool{HardBounce: true, SoftBounce: true, Complaint: true, Unsubscribe: true, Manual: true, Strike: true}

// Entry is one address that is not to be mailed. Address, Reason and Stream
// together name it: a store has at most one of each.
type Entry struct {
	// Address is the recipient's address, without a display name. A store returns
	// it with the domain in lower case and in ASCII, and the local part as it was
	// given; where it was given in several spellings, as in the newest entry.
	Address string `json:"address"`
	// Reason says why.
	Reason Reason `json:"reason"`
	// Stream limits the entry to one kind of mail, such as "newsletter". Empty: it
	// holds for all mail. At most 100 bytes, without control characters.
	Stream string `json:"stream,omitzero"`
	// Source is who reported it: the provider's name, "one-click", "manual". At
	// most 100 bytes, without control characters.
	Source string `json:"source,omitzero"`
	// Detail is why, in the words of who reported it. A store cuts it after 500
	// bytes, and makes spaces of control characters.
	Detail string `json:"detail,omitzero"`
	// Count is how many soft bounces stand behind a [Strike] or a [SoftBounce].
	Count int `json:"count,omitzero"`
	// Created is when it was reported. Zero: when it was added. A store keeps
	// microseconds, in UTC.
	Created time.Time `json:"created,omitzero"`
	// Expires is when it ends. Zero: never.
	Expires time.Time `json:"expires,omitzero"`
}

// The limits of an entry, in bytes.
const (
	maxName   = 100
	maxDetail = 500
)

// Holds says whether the entry keeps a message of the stream away at that time.
// The stream "" is that of a message which names none: entries that are limited to
// a stream do not hold it.
func (e Entry) Holds(stream string, at time.Time) bool {
	return e.Reason != Strike && (e.Stream == "" || e.Stream == stream) && !e.ended(at)
}

func (e Entry) ended(at time.Time) bool { return !e.Expires.IsZero() && !e.Expires.After(at) }

// Key returns what is equal in all spellings of an address: no needless quotes, the
// domain in lower case and in ASCII (IDNA2008), and with foldLocal the local part in
// lower case as well, also outside ASCII. "postmaster" is in lower case always, by RFC
// 5321, section 4.5.1. A key is itself an address, and its own key. ok is false for
// what is no address.
//
// It is for stores: whoever uses one asks [Store].Key.
func Key(address string, foldLocal bool) (key string, ok bool) {
	return envelope.Mailbox(address, foldLocal)
}

// ErrEntry is what [Entry.Normal] says of an entry that no store takes.
var ErrEntry = errors.New("suppression: not an entry")

// Normal returns the entry as a store keeps it: the address as its [Key] with the
// local part as it is, Detail cut and cleaned, times in UTC and in microseconds,
// Created set. A store calls it for what is added and removed; one that folds the local
// part does so to compare only. An entry without an address, with an unknown Reason, a
// negative Count or a Stream or Source over the limits is an error that wraps
// [ErrEntry].
func (e Entry) Normal() (Entry, error) {
	key, ok := Key(e.Address, false)
	switch {
	case !ok:
		return Entry{}, fmt.Errorf("%w: %q is no address", ErrEntry, cut(e.Address, maxDetail))
	case !reasons[e.Reason]:
		return Entry{}, fmt.Errorf("%w: %q is no reason", ErrEntry, cut(string(e.Reason), maxName))
	case !isName(e.Stream):
		return Entry{}, fmt.Errorf("%w: Stream is too long or has control characters", ErrEntry)
	case !isName(e.Source):
		return Entry{}, fmt.Errorf("%w: Source is too long or has control characters", ErrEntry)
	case e.Count < 0 || e.Count > maxCount:
		return Entry{}, fmt.Errorf("%w: the Count is out of range", ErrEntry)
	}
	e.Address = key
	e.Detail = clean(e.Detail)
	if e.Created.IsZero() {
		e.Created = time.Now()
	}
	e.Created = micro(e.Created)
	if !e.Expires.IsZero() {
		e.Expires = micro(e.Expires)
	}
	return e, nil
}

// maxCount is the highest Count, which no counting reaches.
const maxCount = 1000

// micro cuts a time as stores do, and keeps it within what they can hold.
func micro(t time.Time) time.Time {
	switch {
	case t.Before(earliest):
		t = earliest
	case t.After(latest):
		t = latest
	}
	return t.UTC().Truncate(time.Microsecond)
}

var (
	earliest = time.Unix(0, 0)
	latest   = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
)

func isName(s string) bool {
	return len(s) <= maxName && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// clean makes a text fit for one line of a log or a file.
func clean(s string) string {
	return cut(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(cut(s, maxDetail), "\uFFFD")), maxDetail)
}

// cut cuts a text to at most n bytes, between two characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// Store holds entries. It may be used by many goroutines at once, and keeps and
// changes nothing of its arguments. Package suppressiontest proves one.
//
// What is reported late cannot turn back what is newer, by Created, so that
// events may come twice and in any order:
//
//   - Of two entries of one name, the newer one counts, and the later Expires of
//     both.
//   - What was removed stays removed until an entry of that name is added which is
//     newer than the removal.
type Store interface {
	// Key returns the [Key] that the store compares addresses by, always with the
	// local part folded, or always without. Lookup, Add and Remove treat addresses of
	// one key as one address. It does no I/O.
	Key(address string) (key string, ok bool)
	// Lookup returns the entries of the addresses that have not expired, in no
	// particular order, each once. What is no address has none. Entries with
	// [Strike] are among them: ask [Entry.Holds].
	Lookup(ctx context.Context, addresses []string) ([]Entry, error)
	// Add adds entries, as [Entry.Normal] returns them. An entry that is none is
	// an error that wraps [ErrEntry], and then nothing is added. After any other
	// error some may have been added; adding them again is harmless.
	Add(ctx context.Context, entries []Entry) error
	// Remove removes the entries of the same Address, Reason and Stream, unless
	// they are newer than the Created of the argument, which is now if it is
	// zero. To let an address have mail again, remove what Lookup returns. The
	// errors are those of Add.
	Remove(ctx context.Context, entries []Entry) error
	// All returns every entry that has not expired, in no particular order. What
	// is added or removed meanwhile may be among them or not. The sequence ends
	// after its first error.
	All(ctx context.Context) iter.Seq2[Entry, error]
}

// Puller is a service whose suppression list can be read.
type Puller interface {
	// PullSuppressions returns one page of the service's list: from cursor on,
	// where "" is the beginning. next is the cursor of the following page, ""
	// after the last one. A cursor stays good long enough to resume an
	// interrupted run. The error kinds are those of mailer.Sender.
	PullSuppressions(ctx context.Context, cursor string) (page []Entry, next string, err error)
}

// Pusher is a service to whose suppression list addresses can be added.
type Pusher interface {
	// PushSuppressions adds entries. It returns how many, counted from the first,
	// are on the service's list for certain; with an error that is where to
	// resume. An entry that the service has no words for, such as a reason or a
	// stream, becomes the nearest that still keeps mail away, and one that was
	// there before counts as added.
	PushSuppressions(ctx context.Context, entries []Entry) (done int, err error)
}
