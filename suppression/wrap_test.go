package suppression_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/failover"
	"github.com/seed355143d4/mailer/suppression"
	"github.com/seed355143d4/mailer/webhook"
)

func list(addresses ...string) []mailer.Address {
	var as []mailer.Address
	for _, a := range addresses {
		as = append(as, mailer.Address{Address: a})
	}
	return as
}

func message(to ...string) mailer.Message {
	return mailer.Message{From: mailer.Address{Address: "shop@example.com"}, To: list(to...), Subject: "Hello", Text: "Hello"}
}

func in(m mailer.Message, x mailer.Extra) mailer.Message {
	m.Extras = append(m.Extras, x)
	return m
}

// service takes what answer does not refuse.
type service struct {
	mu     sync.Mutex
	got    []mailer.Message
	answer func(m mailer.Message) (mailer.Receipt, error)
}

func (s *service) Name() string { return "fake" }

func (s *service) Send(_ context.Context, m mailer.Message) (mailer.Receipt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, m)
	if s.answer != nil {
		return s.answer(m)
	}
	return mailer.Receipt{ID: m.ID, Provider: "fake"}, nil
}

func (s *service) refuses(e *mailer.Error) {
	s.answer = func(mailer.Message) (mailer.Receipt, error) { return mailer.Receipt{}, e }
}

// batches is a service with a batch call.
type batches struct {
	service
	calls int
}

func (b *batches) MaxBatch() int { return 500 }

func (b *batches) SendBatch(ctx context.Context, ms []mailer.Message) []mailer.Result {
	b.calls++
	results := make([]mailer.Result, len(ms))
	for i, m := range ms {
		results[i].Receipt, results[i].Err = b.Send(ctx, m)
	}
	return results
}

// store is a Memory that can fail.
type store struct {
	*suppression.Memory
	lookups int
	lookup  func(ctx context.Context) error
	add     func(ctx context.Context) error
}

func (s *store) Lookup(ctx context.Context, addresses []string) ([]suppression.Entry, error) {
	s.lookups++
	if s.lookup != nil {
		if err := s.lookup(ctx); err != nil {
			return nil, err
		}
	}
	return s.Memory.Lookup(ctx, addresses)
}

func (s *store) Add(ctx context.Context, entries []suppression.Entry) error {
	if s.add != nil {
		if err := s.add(ctx); err != nil {
			return err
		}
	}
	return s.Memory.Add(ctx, entries)
}

func asError(t *testing.T, err error) *mailer.Error {
	t.Helper()
	e, ok := errors.AsType[*mailer.Error](err)
	require.True(t, ok, "%v", err)
	return e
}

func rejected(r mailer.Receipt) (addresses []string) {
	for _, x := range r.Rejected {
		addresses = append(addresses, x.Address)
	}
	return addresses
}

func TestWhoIsHeldGetsNothing(t *testing.T) {
	entries := []suppression.Entry{
		entry("bounced@example.com", suppression.HardBounce),
		entry("complained@example.com", suppression.Complaint),
		of(entry("left@example.com", suppression.Unsubscribe), "newsletter"),
		entry("left-all@example.com", suppression.Unsubscribe),
		entry("manual@example.com", suppression.Manual),
		entry("counted@example.com", suppression.Strike),
		entry("é@bücher.example", suppression.HardBounce),
	}
	reset := suppression.Extra{Stream: "reset", Requested: true}
	news := suppression.Extra{Stream: "newsletter"}
	for _, c := range []struct {
		name            string
		to, cc, bcc     []mailer.Address
		extra           mailer.Extra
		wantTo, wantCc  []mailer.Address
		wantBcc         []mailer.Address
		rejected        []string // beside a success
		refused         []string // nobody is left
		words           string   // of the first rejection
		sharesWithInput bool
	}{
		{name: "nobody is held", to: list("a@example.com"), bcc: list("b@example.com"), wantTo: list("a@example.com"), wantBcc: list("b@example.com"), sharesWithInput: true},
		{name: "the only one", to: list("bounced@Example.com"), refused: []string{"bounced@Example.com"}, words: "bounced@Example.com held: hard_bounce"},
		{name: "by the other spelling of its domain", to: list("é@xn--bcher-kva.example"), refused: []string{"é@xn--bcher-kva.example"}},
		{name: "one of two", to: list("a@example.com", "bounced@example.com"), wantTo: list("a@example.com"), rejected: []string{"bounced@example.com"}, words: "held: hard_bounce"},
		{
			name: "some of many, in their order", to: list("manual@example.com", "a@example.com", "bounced@example.com", "b@example.com"), cc: list("c@example.com"),
			bcc: list("complained@example.com", "d@example.com"), wantTo: list("a@example.com", "b@example.com"), wantCc: list("c@example.com"), wantBcc: list("d@example.com"),
			rejected: []string{"manual@example.com", "bounced@example.com", "complained@example.com"},
		},
		{name: "nobody is left in To", to: list("bounced@example.com"), cc: list("a@example.com"), bcc: list("b@example.com"), wantTo: list("a@example.com"), wantBcc: list("b@example.com"), rejected: []string{"bounced@example.com"}},
		{name: "only Bcc is left", to: list("bounced@example.com"), cc: list("manual@example.com"), bcc: list("b@example.com"), wantTo: nil, wantBcc: list("b@example.com"), rejected: []string{"bounced@example.com", "manual@example.com"}},
		{name: "somebody who stands twice", to: list("bounced@example.com"), cc: list("bounced@EXAMPLE.com"), refused: []string{"bounced@example.com"}},
		{name: "soft bounces that are being counted", to: list("counted@example.com"), wantTo: list("counted@example.com"), sharesWithInput: true},
		{name: "a stream that was left", to: list("left@example.com"), extra: news, refused: []string{"left@example.com"}, words: "left@example.com held: unsubscribe of newsletter"},
		{name: "another stream", to: list("left@example.com"), extra: suppression.Extra{Stream: "offers"}, wantTo: list("left@example.com"), sharesWithInput: true},
		{name: "mail without a stream", to: list("left@example.com"), wantTo: list("left@example.com"), sharesWithInput: true},
		{name: "all mail was left", to: list("left-all@example.com"), extra: &news, refused: []string{"left-all@example.com"}},
		{name: "what was asked for passes complaints and unsubscribes", to: list("complained@example.com", "left-all@example.com"), extra: reset, wantTo: list("complained@example.com", "left-all@example.com"), sharesWithInput: true},
		{name: "what was asked for does not pass bounces", to: list("bounced@example.com"), extra: reset, refused: []string{"bounced@example.com"}},
		{name: "what was asked for does not pass what was entered", to: list("manual@example.com"), extra: reset, refused: []string{"manual@example.com"}},
		{name: "mail of a stream and complaints", to: list("complained@example.com"), extra: news, refused: []string{"complained@example.com"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := message()
			m.ID, m.To, m.Cc, m.Bcc = "id-1", c.to, c.cc, c.bcc
			if c.extra != nil {
				m = in(m, c.extra)
			}
			before := m
			before.To, before.Cc, before.Bcc = slices.Clone(m.To), slices.Clone(m.Cc), slices.Clone(m.Bcc)
			for _, batch := range []bool{false, true} {
				next := &service{}
				s := suppression.Wrap(next, memory(t, entries...), suppression.Config{})
				var r mailer.Receipt
				var err error
				if batch {
					results := s.SendBatch(t.Context(), []mailer.Message{m})
					require.Len(t, results, 1)
					r, err = results[0].Receipt, results[0].Err
				} else {
					r, err = s.Send(t.Context(), m)
				}
				require.Equal(t, before, m)
				if c.refused != nil {
					require.Zero(t, r)
					e := asError(t, err)
					require.Equal(t, mailer.KindRecipient, e.Kind)
					require.True(t, e.NotSent)
					require.Equal(t, c.refused, e.Recipients)
					require.Contains(t, e.Message, c.words)
					require.Empty(t, next.got)
					continue
				}
				require.NoError(t, err)
				require.Len(t, next.got, 1)
				got := next.got[0]
				require.Equal(t, [][]mailer.Address{c.wantTo, c.wantCc, c.wantBcc}, [][]mailer.Address{append(list(), got.To...), append(list(), got.Cc...), append(list(), got.Bcc...)})
				require.Equal(t, c.sharesWithInput, len(m.To) == len(got.To) && &m.To[0] == &got.To[0], "copied when needed only")
				require.Equal(t, c.rejected, rejected(r))
				require.Equal(t, "fake", r.Provider)
				for i, x := range r.Rejected {
					require.Equal(t, mailer.KindRecipient, asError(t, x.Err).Kind)
					require.True(t, mailer.NotSent(x.Err))
					if i == 0 {
						require.Contains(t, asError(t, x.Err).Message, c.words)
					}
				}
			}
		})
	}
}

func TestAWrongMessageIsWrongByItsOwnFields(t *testing.T) {
	next := &service{answer: func(m mailer.Message) (mailer.Receipt, error) { return mailer.Receipt{}, m.Validate() }}
	s := suppression.Wrap(next, memory(t, entry("bounced@example.com", suppression.HardBounce)), suppression.Config{})
	for name, m := range map[string]mailer.Message{
		"with somebody who is held":   message("bounced@example.com", "a b@example.com"),
		"with nobody else":            {To: list("bounced@example.com")},
		"with nobody who is held":     message("a@example.com", "a b@example.com"),
		"with nobody in it":           message(),
		"with a stranger to its list": message("ada"),
	} {
		t.Run(name, func(t *testing.T) {
			want := m.Validate()
			require.Error(t, want)
			_, err := s.Send(t.Context(), m)
			require.Equal(t, want, err)
		})
	}
}

func TestAStoreThatFailsSendsNothing(t *testing.T) {
	broken := errors.New("the database is gone")
	for _, c := range []struct {
		name   string
		lookup func(ctx context.Context) error
		ctx    func(ctx context.Context) (context.Context, context.CancelFunc)
		kind   mailer.Kind
		cause  error
	}{
		{"it answers with an error", func(context.Context) error { return broken }, nil, mailer.KindUnavailable, broken},
		{"it hangs", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, nil, mailer.KindUnavailable, context.DeadlineExceeded},
		{"it answers too late", func(ctx context.Context) error { time.Sleep(time.Minute); return nil }, nil, mailer.KindUnavailable, context.DeadlineExceeded},
		{"the caller's time ends", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second)
		}, mailer.KindNetwork, context.DeadlineExceeded},
		{"the caller gives up", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Second, cancel)
			return ctx, cancel
		}, mailer.KindCanceled, context.Canceled},
		{"the caller gave up before", nil, func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return ctx, cancel
		}, mailer.KindCanceled, context.Canceled},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if c.ctx != nil {
					inner, cancel := c.ctx(ctx)
					defer cancel()
					ctx = inner
				}
				next := &service{}
				s := suppression.Wrap(next, &store{Memory: memory(t), lookup: c.lookup}, suppression.Config{})
				_, err := s.Send(ctx, message("a@example.com"))
				check := func(err error) {
					e := asError(t, err)
					require.Equal(t, c.kind, e.Kind)
					require.True(t, e.NotSent)
					require.ErrorIs(t, err, c.cause)
					require.Equal(t, "suppression", e.Provider)
				}
				check(err)
				for _, r := range s.SendBatch(ctx, []mailer.Message{message("a@example.com"), message("b@example.com")}) {
					check(r.Err)
				}
				require.Empty(t, next.got)
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := suppression.Wrap(&service{}, &store{Memory: memory(t), lookup: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}, suppression.Config{})
		_, err := s.Send(t.Context(), message("a@example.com"))
		require.Error(t, err)
		require.Equal(t, 5*time.Second, time.Since(start))
	})
}

func TestABatchIsLookedUpOnceAndKeepsItsOrder(t *testing.T) {
	list := &store{Memory: memory(t, entry("bounced@example.com", suppression.HardBounce))}
	next := &batches{}
	s := suppression.Wrap(next, list, suppression.Config{})
	require.Equal(t, 500, s.MaxBatch())
	require.Equal(t, 1, suppression.Wrap(&service{}, list, suppression.Config{}).MaxBatch())
	ms := []mailer.Message{message("bounced@example.com"), message("a@example.com"), message("b@example.com", "bounced@example.com"), message("bounced@example.com"), message("c@example.com")}
	for i := range ms {
		ms[i].ID = string(rune('a' + i))
	}
	results := mailer.SendAll(t.Context(), s, ms)
	require.Equal(t, 1, next.calls)
	require.Equal(t, 1, list.lookups)
	require.Len(t, next.got, 3)
	var ids []string
	for i, r := range results {
		ids = append(ids, r.Receipt.ID)
		require.Equal(t, i == 0 || i == 3, errors.Is(r.Err, mailer.KindRecipient))
	}
	require.Equal(t, []string{"", "b", "c", "", "e"}, ids)
	require.Equal(t, []string{"bounced@example.com"}, rejected(results[2].Receipt))
	require.Nil(t, results[1].Receipt.Rejected)
	require.Empty(t, s.SendBatch(t.Context(), nil))
	require.Len(t, contents(t, list), 1, "what we hold ourselves is nothing to learn")
}

func TestWhatAServiceRefusesIsLearned(t *testing.T) {
	refusal := func(recipients ...string) *mailer.Error {
		return &mailer.Error{Provider: "postmark", Kind: mailer.KindRecipient, NotSent: true, Code: "406", Message: "inactive", Recipients: recipients}
	}
	smtp := func(code string) *mailer.Error {
		return &mailer.Error{Provider: "smtp", Kind: mailer.KindRecipient, NotSent: true, Code: code, Message: "no"}
	}
	for _, c := range []struct {
		name    string
		m       mailer.Message
		err     error
		receipt []mailer.Rejection
		want    []string
	}{
		{name: "the one whom it names", m: message("a@example.com", "b@example.com"), err: refusal("b@example.com"), want: []string{"b@example.com"}},
		{name: "the only one, if it names nobody", m: message("a@example.com"), err: refusal(), want: []string{"a@example.com"}},
		{name: "not all, if it names nobody", m: message("a@example.com", "b@example.com"), err: refusal()},
		{name: "those refused while others were taken", m: message("a@example.com", "b@example.com"), receipt: []mailer.Rejection{{Address: "b@example.com", Err: refusal()}}, want: []string{"b@example.com"}},
		{name: "nobody refused for another reason", m: message("a@example.com", "b@example.com"), receipt: []mailer.Rejection{{Address: "b@example.com", Err: &mailer.Error{Kind: mailer.KindQuota}}}},
		{name: "nobody by another failure", m: message("a@example.com"), err: &mailer.Error{Kind: mailer.KindRejected, Recipients: []string{"a@example.com"}}},
		{name: "nobody whose address is none", m: message("a@example.com", "b@example.com"), err: refusal("", "who"), want: nil},
		{name: "nobody whose mailbox is full", m: message("a@example.com"), err: smtp("5.2.2")},
		{name: "nobody whose mail is too large", m: message("a@example.com"), err: smtp("5.2.3")},
		{name: "nobody who is refused for now", m: message("a@example.com"), err: smtp("4.2.1")},
		{name: "whoever has no mailbox", m: message("a@example.com"), err: smtp("5.1.1"), want: []string{"a@example.com"}},
		{name: "nobody by a foreign error", m: message("a@example.com"), err: io.ErrUnexpectedEOF},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				next := &service{answer: func(mailer.Message) (mailer.Receipt, error) { return mailer.Receipt{Rejected: c.receipt}, c.err }}
				m := memory(t)
				s := suppression.Wrap(next, m, suppression.Config{})
				_, err := s.Send(t.Context(), c.m)
				require.Equal(t, c.err, err)
				var got []string
				for _, e := range contents(t, m) {
					got = append(got, e.Address)
					require.Equal(t, suppression.Manual, e.Reason)
					require.Empty(t, e.Stream)
					require.Equal(t, time.Now().Add(7*24*time.Hour).UTC(), e.Expires)
					require.NotEmpty(t, e.Source)
					require.NotEmpty(t, e.Detail)
				}
				require.Equal(t, c.want, got)
				if len(c.want) == 0 {
					return
				}
				next.answer = nil
				n := len(next.got)
				_, err = s.Send(t.Context(), message(c.want[0]))
				require.ErrorIs(t, err, mailer.KindRecipient)
				require.Len(t, next.got, n, "it is not asked again")
				time.Sleep(7 * 24 * time.Hour)
				_, err = s.Send(t.Context(), message(c.want[0]))
				require.NoError(t, err)
			})
		})
	}
}

func TestWhatABatchIsRefusedIsLearned(t *testing.T) {
	next := &batches{}
	next.answer = func(m mailer.Message) (mailer.Receipt, error) {
		if m.To[0].Address == "gone@example.com" {
			return mailer.Receipt{}, &mailer.Error{Provider: "fake", Kind: mailer.KindRecipient, NotSent: true}
		}
		return mailer.Receipt{}, nil
	}
	m := memory(t, entry("held@example.com", suppression.Complaint))
	s := suppression.Wrap(next, m, suppression.Config{})
	results := s.SendBatch(t.Context(), []mailer.Message{message("held@example.com"), message("a@example.com"), message("gone@example.com")})
	require.ErrorIs(t, results[2].Err, mailer.KindRecipient)
	found := contents(t, m)
	require.Len(t, found, 2)
	require.Equal(t, "gone@example.com", found[1].Address)
}

// Whether Ada and ada are one is for the store to say, on all ways through the Sender.
func TestTheStoreSaysWhoIsTheSame(t *testing.T) {
	for _, c := range []struct {
		name            string
		fold            bool
		to, cc          []mailer.Address
		wantTo          []mailer.Address
		rejected        []string
		nothingIsCopied bool
	}{
		{"as it is", false, list("Ada@Example.com", "ada@example.com"), list("ADA@example.com", "Postmaster@example.com"), list("ada@example.com"), []string{"Ada@Example.com", "Postmaster@example.com"}, false},
		{"as it is, nobody", false, list("ada@example.com"), nil, list("ada@example.com"), nil, true},
		{"folded", true, list("ada@Example.com", "ben@example.com", "Ada@example.com"), list("ADA@example.com", "Postmaster@example.com"), list("ben@example.com"), []string{"ada@Example.com", "Postmaster@example.com"}, false},
		{"folded, nobody", true, list("adam@example.com"), nil, list("adam@example.com"), nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, batch := range []bool{false, true} {
				m := &suppression.Memory{FoldLocal: c.fold}
				require.NoError(t, suppression.Record(m, nil)(t.Context(), []webhook.Event{
					{Provider: "postmark", Type: webhook.Complained, Recipient: "Ada@example.com", Time: time.Now()},
					{Provider: "postmark", Type: webhook.Complained, Recipient: "postmaster@example.com", Time: time.Now()},
				}))
				next := &service{}
				s := suppression.Wrap(next, m, suppression.Config{})
				mail := message()
				mail.To, mail.Cc = c.to, c.cc
				var r mailer.Result
				if batch {
					r = s.SendBatch(t.Context(), []mailer.Message{mail})[0]
				} else {
					r.Receipt, r.Err = s.Send(t.Context(), mail)
				}
				require.NoError(t, r.Err)
				require.Equal(t, c.rejected, rejected(r.Receipt))
				require.Len(t, next.got, 1)
				require.Equal(t, c.wantTo, next.got[0].To)
				require.Equal(t, c.nothingIsCopied, &mail.To[0] == &next.got[0].To[0])
				if c.fold {
					require.Empty(t, next.got[0].Cc)
				}
			}
		})
	}
}

// A service that names a recipient in lower case is taken at the message's word for
// it: otherwise a list that does not fold would not know the address again.
func TestWhatIsLearnedIsSpelledAsInTheMessage(t *testing.T) {
	for _, c := range []struct {
		name string
		to   []string
		says string
		want []string
	}{
		{"the only one in capitals", []string{"Ada@Example.com", "ben@example.com"}, "ada@example.com", []string{"Ada@example.com"}},
		{"by the other spelling of its domain", []string{"Ada@bücher.example", "ben@example.com"}, "ada@xn--bcher-kva.example", []string{"Ada@xn--bcher-kva.example"}},
		{"the one who is spelled so, of two", []string{"Ada@example.com", "ada@example.com"}, "ada@example.com", []string{"ada@example.com"}},
		{"somebody else", []string{"Ada@example.com", "ben@example.com"}, "Cleo@example.com", []string{"Cleo@example.com"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, fold := range []bool{false, true} {
				for _, receipt := range []bool{false, true} {
					refusal := &mailer.Error{Provider: "postmark", Kind: mailer.KindRecipient, NotSent: true, Recipients: []string{c.says}, Message: "inactive"}
					next := &service{answer: func(mailer.Message) (mailer.Receipt, error) {
						if receipt {
							return mailer.Receipt{Rejected: []mailer.Rejection{{Address: c.says, Err: refusal}}}, nil
						}
						return mailer.Receipt{}, refusal
					}}
					m := &suppression.Memory{FoldLocal: fold}
					s := suppression.Wrap(next, m, suppression.Config{})
					_, err := s.Send(t.Context(), message(c.to...))
					require.Equal(t, receipt, err == nil)
					var got []string
					for _, e := range contents(t, m) {
						got = append(got, e.Address)
					}
					require.Equal(t, c.want, got)
				}
			}
		})
	}
}

// Promise 4 across services and messages: an address that one service refused is not
// tried through another by the next message, although the first service rests.
func TestARefusedRecipientStaysRefusedThroughEveryService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &service{}, &service{}
		chain, err := failover.New(failover.Config{Logger: slog.New(slog.DiscardHandler)}, failover.Target{Name: "a", Sender: a}, failover.Target{Name: "b", Sender: b})
		require.NoError(t, err)
		m := memory(t)
		s := suppression.Wrap(chain, m, suppression.Config{})
		a.refuses(&mailer.Error{Provider: "a", Kind: mailer.KindRecipient, NotSent: true, Code: "406", Message: "inactive"})
		_, err = s.Send(t.Context(), message("ada@example.com"))
		require.ErrorIs(t, err, mailer.KindRecipient)
		found := contents(t, m)
		require.Len(t, found, 1)
		require.Equal(t, []string{"a", "inactive"}, []string{found[0].Source, found[0].Detail}, "the service, not the chain")

		a.refuses(&mailer.Error{Provider: "a", Kind: mailer.KindUnauthorized, NotSent: true})
		_, err = s.Send(t.Context(), message("ben@example.com"))
		require.NoError(t, err)
		require.Len(t, b.got, 1)
		_, err = s.Send(t.Context(), message("ada@example.com"))
		require.ErrorIs(t, err, mailer.KindRecipient)
		require.Len(t, b.got, 1)
		require.False(t, chain.Health()[1].State == failover.Resting)
	})
}

func TestARefusalThatCannotBeKeptIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		next := &service{}
		refusal := &mailer.Error{Provider: "postmark", Kind: mailer.KindRecipient, NotSent: true}
		next.refuses(refusal)
		s := suppression.Wrap(next, &store{Memory: memory(t), add: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }},
			suppression.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		start := time.Now()
		_, err := s.Send(t.Context(), message("ada@example.com"))
		require.Equal(t, error(refusal), err)
		require.Equal(t, 2*time.Second, time.Since(start))
		require.Equal(t, 1, strings.Count(log.String(), "\n"))
		require.Contains(t, log.String(), "level=ERROR")
		require.Contains(t, log.String(), "deadline exceeded")
		require.NotContains(t, log.String(), "ada@")
	})
	t.Run("and is kept although the caller gave up", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		m := memory(t)
		next := &service{answer: func(mailer.Message) (mailer.Receipt, error) {
			cancel()
			return mailer.Receipt{}, &mailer.Error{Provider: "postmark", Kind: mailer.KindRecipient, NotSent: true}
		}}
		s := suppression.Wrap(next, &store{Memory: m, add: func(ctx context.Context) error { return ctx.Err() }}, suppression.Config{})
		_, err := s.Send(ctx, message("ada@example.com"))
		require.ErrorIs(t, err, mailer.KindRecipient)
		require.Len(t, contents(t, m), 1)
	})
}

func TestPowersAreFoundThroughTheWrap(t *testing.T) {
	next := &service{}
	s := suppression.Wrap(next, memory(t), suppression.Config{})
	p, ok := mailer.As[mailer.Provider](s)
	require.True(t, ok)
	require.Equal(t, "fake", p.Name())
	require.Equal(t, "suppression", suppression.Extra{}.ForProvider())
	require.NoError(t, in(message("a@example.com"), suppression.Extra{Stream: "newsletter"}).Validate())
}
