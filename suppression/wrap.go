package suppression

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/seed355143d4/mailer"
)

// provider is the name in this package's errors, and that of its Extra.
const provider = "suppression"

// Extra says what a message is, for the list. The services ignore it.
type Extra struct {
	// Stream is the kind of mail, as in [Entry]. Empty: entries that are limited to
	// a stream do not hold the message.
	Stream string
	// Requested says that the recipient asked for this very message a moment ago,
	// as for a new password: complaints and unsubscribes do not hold it, bounces
	// and what was entered by hand do. The services' own lists may hold it still.
	Requested bool
}

// ForProvider returns "suppression".
func (Extra) ForProvider() string { return provider }

// Config sets up a [Sender]. The zero value is ready to use.
type Config struct {
	// Logger is told when the store failed to take what a service refused, without
	// addresses. Nil: [slog.Default].
	Logger *slog.Logger
}

// Sender keeps mail from the addresses that its store holds. It is made by [Wrap].
type Sender struct {
	next  mailer.Sender
	store Store
	log   *slog.Logger
}

var _ mailer.BatchSender = (*Sender)(nil)

// Wrap returns a Sender that looks every recipient up in the store before it gives a
// message on to next. Let next be the outermost Sender, a failover chain: what fails
// in the store is not the fault of any service, and a target of the chain would be
// rested for it.
//
// Of a message, whoever is held gets nothing, and the others get it: those who were
// left out are in [mailer.Receipt].Rejected, each with a [mailer.KindRecipient]
// error. If nobody is left in To, those in Cc move there, since some services ask
// for one in To; Bcc stays Bcc. If nobody is left at all, Send returns a
// KindRecipient error that names them in Recipients, and is NotSent.
//
// If the store fails, or takes longer than 5 seconds, nothing is sent: Send returns
// a [mailer.KindUnavailable] error that is NotSent, and can be called again. To send
// without asking would mail those who complained.
//
// What a service refuses is learned: a recipient whom it names in a KindRecipient
// error, or in Receipt.Rejected, becomes an entry with [Manual], spelled as in the
// message, as a service does
// not always say why, and a refusal may be one of form only. It expires after 7
// days. A full mailbox and a refusal for now are not learned. Errors of the store are
// then logged, since the message's fate is known.
//
// The Sender has no power but to send alone and in batches; the others of next are
// found through Unwrap. It changes nothing reachable from a message.
func Wrap(next mailer.Sender, store Store, c Config) *Sender {
	s := &Sender{next: next, store: store, log: c.Logger}
	if s.log == nil {
		s.log = slog.Default()
	}
	return s
}

const (
	lookupTime = 5 * time.Second
	learnTime  = 2 * time.Second
	// refusedFor is how long a recipient is held whom a service refused.
	refusedFor = 7 * 24 * time.Hour
)

// Unwrap returns the Sender that was wrapped.
func (s *Sender) Unwrap() mailer.Sender { return s.next }

// Send sends the message to those of its recipients who are not held: see [Wrap].
func (s *Sender) Send(ctx context.Context, m mailer.Message) (mailer.Receipt, error) {
	held, err := s.lookup(ctx, m)
	if err != nil {
		return mailer.Receipt{}, err
	}
	m, out, err := held.filter(m)
	if err != nil {
		return mailer.Receipt{}, err
	}
	r := mailer.Result{}
	r.Receipt, r.Err = s.next.Send(ctx, m)
	s.learn(ctx, []mailer.Message{m}, []mailer.Result{r})
	return out.add(r.Receipt, r.Err)
}

// MaxBatch is that of the Sender that was wrapped, or 1 if it has no batch call.
func (s *Sender) MaxBatch() int {
	if b, ok := s.next.(mailer.BatchSender); ok {
		return b.MaxBatch()
	}
	return 1
}

// SendBatch sends the messages as Send does, with one look-up for all of them, and
// what is left of them by [mailer.SendAll].
func (s *Sender) SendBatch(ctx context.Context, ms []mailer.Message) []mailer.Result {
	results := make([]mailer.Result, len(ms))
	held, err := s.lookup(ctx, ms...)
	var kept []mailer.Message
	var at []int // their places in ms
	var outs []rejected
	for i, m := range ms {
		if err != nil {
			results[i].Err = err
			continue
		}
		m, out, err := held.filter(m)
		if err != nil {
			results[i].Err = err
			continue
		}
		kept, at, outs = append(kept, m), append(at, i), append(outs, out)
	}
	sent := mailer.SendAll(ctx, s.next, kept)
	s.learn(ctx, kept, sent)
	for i, r := range sent {
		r.Receipt, r.Err = outs[i].add(r.Receipt, r.Err)
		results[at[i]] = r
	}
	return results
}

// held are the entries of those who may be held, by the store's key.
type held struct {
	store   Store
	entries map[string][]Entry
}

// lookup asks the store about everybody in the messages.
func (s *Sender) lookup(ctx context.Context, ms ...mailer.Message) (held, error) {
	h := held{store: s.store}
	var addresses []string
	for i := range ms {
		for _, list := range [...][]mailer.Address{ms[i].To, ms[i].Cc, ms[i].Bcc} {
			for _, a := range list {
				addresses = append(addresses, a.Address)
			}
		}
	}
	inner, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	entries, err := s.store.Lookup(inner, addresses)
	if err == nil {
		err = inner.Err() // what comes late is no answer: the caller has no time left to send
	}
	if err != nil {
		e := &mailer.Error{Provider: provider, Kind: mailer.KindUnavailable, NotSent: true, Message: "the list cannot be asked", Err: err}
		if ctx.Err() != nil {
			e.Kind = mailer.KindOf(ctx.Err())
		}
		return h, e
	}
	if len(entries) > 0 {
		h.entries = make(map[string][]Entry, len(entries))
	}
	for _, e := range entries {
		if key, ok := s.store.Key(e.Address); ok {
			h.entries[key] = append(h.entries[key], e)
		}
	}
	return h, nil
}

// rejected are the recipients who were left out.
type rejected []mailer.Rejection

// add names in a receipt who was left out.
func (rs rejected) add(r mailer.Receipt, err error) (mailer.Receipt, error) {
	if err == nil && len(rs) > 0 {
		r.Rejected = append(slices.Clip(r.Rejected), rs...)
	}
	return r, err
}

// filter returns m without those who are held, or the error if nobody is left.
func (h held) filter(m mailer.Message) (mailer.Message, rejected, error) {
	if len(h.entries) == 0 {
		return m, nil, nil
	}
	x, now := mailer.ExtraFor[Extra](m), time.Now()
	var out rejected
	named := map[string]bool{}
	left := m
	for _, list := range [...]*[]mailer.Address{&left.To, &left.Cc, &left.Bcc} {
		all := *list
		for i, a := range all {
			e, key, ok := h.entry(a.Address, x, now)
			if !ok {
				if len(*list) < len(all) {
					*list = append(*list, a)
				}
				continue
			}
			if len(*list) == len(all) {
				*list = slices.Clone(all[:i])
			}
			if named[key] {
				continue
			}
			named[key] = true
			out = append(out, mailer.Rejection{Address: a.Address, Err: &mailer.Error{
				Provider: provider, Kind: mailer.KindRecipient, NotSent: true, Recipients: []string{a.Address}, Message: "held: " + e.words(),
			}})
		}
	}
	if out == nil {
		return m, nil, nil
	}
	// A message that is wrong is said to be so by its own fields, not by those of
	// what is left of it.
	if err := m.Validate(); err != nil {
		return m, nil, err
	}
	if len(left.To) == 0 {
		left.To, left.Cc = left.Cc, nil
	}
	if len(left.To)+len(left.Bcc) > 0 {
		return left, out, nil
	}
	all := &mailer.Error{Provider: provider, Kind: mailer.KindRecipient, NotSent: true}
	var words []string
	for _, r := range out {
		all.Recipients = append(all.Recipients, r.Address)
		if len(words) < 10 {
			words = append(words, r.Address+" "+r.Err.(*mailer.Error).Message)
		}
	}
	all.Message = strings.Join(words, ", ")
	return m, nil, all
}

// entry returns the first entry that holds a message from the address, and its key.
func (h held) entry(address string, x Extra, now time.Time) (e Entry, key string, ok bool) {
	key, ok = h.store.Key(address)
	if !ok {
		return Entry{}, "", false
	}
	for _, e := range h.entries[key] {
		passes := x.Requested && (e.Reason == Complaint || e.Reason == Unsubscribe)
		if !passes && e.Holds(x.Stream, now) {
			return e, key, true
		}
	}
	return Entry{}, key, false
}

// words say why, for an error.
func (e Entry) words() string {
	words := string(e.Reason)
	if e.Stream != "" {
		words += " of " + e.Stream
	}
	return words
}

// learn adds to the store whom a service refused.
func (s *Sender) learn(ctx context.Context, ms []mailer.Message, results []mailer.Result) {
	var entries []Entry
	add := func(m mailer.Message, address string, e *mailer.Error) {
		if forNow(e) {
			return
		}
		entry := Entry{
			Address: spelled(m, address), Reason: Manual, Source: clean(cut(e.Provider, maxName)), Detail: e.Message, Expires: time.Now().Add(refusedFor),
		}
		if _, err := entry.Normal(); err == nil {
			entries = append(entries, entry)
		}
	}
	for i, r := range results {
		for _, x := range r.Receipt.Rejected {
			if e, ok := errors.AsType[*mailer.Error](x.Err); ok && e.Kind == mailer.KindRecipient {
				add(ms[i], x.Address, e)
			}
		}
		e, ok := errors.AsType[*mailer.Error](r.Err)
		if !ok || e.Kind != mailer.KindRecipient {
			continue
		}
		refused := e.Recipients
		if refused == nil {
			// It can be nobody else.
			if to := recipients(ms[i]); len(to) == 1 {
				refused = []string{to[0].Address}
			}
		}
		e = cause(e)
		for _, address := range refused {
			add(ms[i], address, e)
		}
	}
	if len(entries) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), learnTime)
	defer cancel()
	if err := s.store.Add(ctx, entries); err != nil {
		s.log.LogAttrs(ctx, slog.LevelError, "suppression: what a service refused is not kept", slog.Int("entries", len(entries)), slog.Any("error", err))
	}
}

func recipients(m mailer.Message) []mailer.Address { return slices.Concat(m.To, m.Cc, m.Bcc) }

// spelled returns an address as the message has it: services name recipients in lower
// case.
func spelled(m mailer.Message, address string) string {
	asIs, _ := Key(address, false)
	folded, ok := Key(address, true)
	if !ok {
		return address
	}
	found := address
	for _, a := range recipients(m) {
		if key, _ := Key(a.Address, false); key == asIs {
			return a.Address
		}
		if key, _ := Key(a.Address, true); key == folded {
			found = a.Address
		}
	}
	return found
}

// cause returns the refusal that stands behind that of a failover chain, which has
// the service's name and words.
func cause(e *mailer.Error) *mailer.Error {
	for e.Err != nil {
		var last *mailer.Error
		switch err := e.Err.(type) {
		case interface{ Unwrap() []error }:
			for _, err := range err.Unwrap() {
				if x, ok := errors.AsType[*mailer.Error](err); ok && x.Kind == mailer.KindRecipient {
					last = x
				}
			}
		default:
			if x, ok := errors.AsType[*mailer.Error](err); ok && x.Kind == mailer.KindRecipient {
				last = x
			}
		}
		if last == nil {
			return e
		}
		e = last
	}
	return e
}

// forNow says whether a refusal speaks of a mailbox that works another time, by the
// enhanced status code of RFC 3463 that an SMTP server answered with.
func forNow(e *mailer.Error) bool {
	return strings.HasPrefix(e.Code, "4.") || e.Code == "5.2.2" || e.Code == "5.2.3"
}
