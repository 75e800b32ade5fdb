package providertest

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed355143d4/mailer"
)

// Spec says what the suite cannot know about a service.
type Spec struct {
	// Name is what the provider's Name returns.
	Name string
	// Secrets are the credentials with which Peer makes providers. The suite
	// looks for them, and for their base64 forms, wherever they must not be. Make
	// them long enough that they stand nowhere by chance.
	Secrets []string
	// Config is the adapter's configuration with the secrets in it. It must not
	// print them with package fmt, log/slog or encoding/json: the methods String,
	// GoString and MarshalText do for all three, also inside another struct.
	Config any
	// Peer is the fake service.
	Peer Peer
	// Unsupported holds, by the names of messages, what the service has no words
	// for, and the kind of the refusal. Every other message has to be supported.
	Unsupported map[string]mailer.Kind
	// Dropped holds, by the names of messages, what Receipt.Dropped has to be.
	// For every other message it has to be empty.
	Dropped map[string][]string
	// Messages are further messages for golden files: those with the service's
	// own Extra, or over its limits. Their names have letters, digits, blanks,
	// hyphens and underscores. One without an ID gets its name as the ID.
	Messages []Case
	// TemplateID is the ID for the messages with a template. Empty: "welcome".
	TemplateID string
	// Memory is how many bytes the adapter may allocate for each byte of a large
	// file. 0: it writes files while it sends them, and keeps none of them.
	Memory int
	// Batch changes a message of a batch so that it can share a call with the
	// others, if they cannot as they are: they differ in ID, recipient and subject,
	// which is "About " and the ID. The request has to say that in any case. A letter
	// more in the text has to be a byte more in the request.
	Batch func(m *mailer.Message)
	// BatchBytes is the most bytes of the body of a call for several messages. It is
	// needed for a [mailer.BatchSender] whose MaxBatch is more than 1.
	BatchBytes int
	// Golden is the folder of the golden files. Empty: "testdata/request". Beside it
	// stands features.json.
	Golden string
	// TestMode says how a message can be checked without being delivered, Regions
	// where the service can be told to work. Notes limit, by the names of messages,
	// what the service carries: "scheduled": "72 hours", and by "batch" what shares a
	// call. They are for the tables of services, and may be empty.
	TestMode, Regions string
	Notes             map[string]string
}

// Limits of patience. None of them is reached by a provider that works.
const (
	guard = 20 * time.Second // for any Send
	grace = 5 * time.Second  // for a Send whose context has ended
)

// errHung is what the suite says of a Send that did not return, or panicked.
var errHung = errors.New("Send did not return")

// suite is a Spec under test.
type suite struct {
	Spec
	cases []Case
}

// Run holds the provider of the Spec against the promises of [mailer.Sender],
// [mailer.Checker] and [mailer.Error]. Every promise is a subtest.
func Run(t *testing.T, spec Spec) {
	s := &suite{Spec: spec}
	require.NotEmpty(t, s.Name, "Spec.Name")
	require.NotNil(t, s.Peer, "Spec.Peer")
	if h, ok := s.Peer.(*HTTP); ok {
		s.Peer = *h
	}
	if h, ok := s.Peer.(HTTP); ok && h.Partial != nil {
		require.NotZero(t, h.None, "HTTP.None")
	}
	if s.Golden == "" {
		s.Golden = "testdata/request"
	}
	s.cases = append(Messages(), s.Messages...)
	names := map[string]bool{}
	for i, c := range s.cases {
		require.False(t, names[c.Name], "two messages are named %q", c.Name)
		require.Regexp(t, `^[A-Za-z0-9 _-]{1,64}$`, c.Name, "the name of a message")
		names[c.Name] = true
		if c.Message.ID == "" {
			s.cases[i].Message.ID = c.file()
		}
		if s.TemplateID != "" && c.Message.Template.ID == templateID {
			s.cases[i].Message.Template.ID = s.TemplateID
		}
	}
	for name := range s.Unsupported {
		require.True(t, names[name], "Unsupported: no message is named %q", name)
	}
	for name := range s.Notes {
		require.True(t, names[name] || name == "batch", "Notes: no message is named %q", name)
	}
	for name := range s.Dropped {
		require.True(t, names[name], "Dropped: no message is named %q", name)
	}
	for _, secret := range s.Secrets {
		require.GreaterOrEqual(t, len(secret), 8, "a secret is too short to look for")
	}

	before := goleak.IgnoreCurrent()
	t.Run("prints no secret", s.testPrinting)
	t.Run("message", s.testMessages)
	t.Run("recipients", s.testRecipients)
	t.Run("tracking", s.testTracking)
	t.Run("id", s.testID)
	t.Run("large attachment", s.testLarge)
	t.Run("invalid message", s.testInvalid)
	t.Run("bad day", s.testDays)
	t.Run("context", s.testContext)
	t.Run("concurrent", s.testConcurrent)
	t.Run("ledger", s.testLedger)
	if h, ok := s.Peer.(HTTP); ok && !s.unsupported("attachment") {
		t.Run("large attachment is streamed", func(t *testing.T) { s.testStream(t, h) })
	}
	t.Run("batch", s.testBatch)
	if h, ok := s.Peer.(HTTP); ok && !s.unsupported("template") {
		t.Run("template", func(t *testing.T) { s.testTemplates(t, h) })
	}
	t.Run("verify", s.testVerify)
	t.Run("quota", s.testQuota)
	t.Run("features", s.testFeatures)
	t.Run("leaves no goroutine", func(t *testing.T) { goleak.VerifyNone(t, before) })
}

func (s *suite) unsupported(name string) bool {
	_, ok := s.Unsupported[name]
	return ok
}

// start starts a service and a provider for it.
func (s *suite) start(t *testing.T, peer Peer) (Service, mailer.Provider) {
	t.Helper()
	service := peer.Start(t)
	p, err := service.New()
	require.NoError(t, err, "New")
	require.Zero(t, service.Traffic(), "New caused traffic")
	require.Equal(t, s.Name, p.Name(), "Name")
	return service, p
}

// send calls Send, and looks at what holds for every call. It may be called from
// any goroutine.
func (s *suite) send(ctx context.Context, t *testing.T, service Service, p mailer.Provider, m mailer.Message) (mailer.Receipt, error) {
	t.Helper()
	given, want := clone(m), clone(m)
	type result struct {
		receipt mailer.Receipt
		err     error
	}
	r, ok := patiently(ctx, t, func() (r result) {
		r.receipt, r.err = p.Send(ctx, given)
		return r
	})
	if !ok {
		return mailer.Receipt{}, errHung
	}
	if diff := difference(want, given); diff != "" {
		t.Errorf("Send changed the message: %s", diff)
	}
	secrets := s.secrets(service)
	if r.err == nil {
		s.judgeReceipt(t, secrets, m, r.receipt)
	} else {
		s.judgeError(t, secrets, r.err)
	}
	return r.receipt, r.err
}

// patiently calls f and waits for it, but not for ever. It reports whether f
// returned.
func patiently[T any](ctx context.Context, t *testing.T, f func() T) (T, bool) {
	t.Helper()
	done := make(chan T, 1)
	panicked := make(chan string, 1)
	go func() {
		defer func() {
			if v := recover(); v != nil {
				panicked <- fmt.Sprintf("%v\n%s", v, debug.Stack())
			}
		}()
		done <- f()
	}()
	patience := time.NewTimer(guard)
	defer patience.Stop()
	ended := ctx.Done()
	var zero T
	for {
		select {
		case v := <-done:
			return v, true
		case words := <-panicked:
			t.Errorf("the provider panicked: %s", words)
			return zero, false
		case <-ended:
			ended = nil
			patience.Reset(grace)
		case <-patience.C:
			t.Errorf("the provider did not return (context: %v)", ctx.Err())
			return zero, false
		}
	}
}

func (s *suite) judgeReceipt(t *testing.T, secrets []string, m mailer.Message, r mailer.Receipt) {
	t.Helper()
	if r.Provider != s.Name {
		t.Errorf("Receipt.Provider is %q", r.Provider)
	}
	if r.ID == "" || m.ID != "" && r.ID != m.ID {
		t.Errorf("Receipt.ID is %q, the message's is %q", r.ID, m.ID)
	}
	if r.MessageID == "" {
		t.Errorf("Receipt.MessageID is empty")
	}
	if r.Attempts != nil {
		t.Errorf("Receipt.Attempts is not nil")
	}
	recipients := map[string]bool{}
	for _, list := range [][]mailer.Address{m.To, m.Cc, m.Bcc} {
		for _, a := range list {
			recipients[ascii(a.Address)] = true
		}
	}
	for address := range r.MessageIDs {
		if !recipients[ascii(address)] {
			t.Errorf("Receipt.MessageIDs names %q, who is no recipient", address)
		}
	}
	for _, rejected := range r.Rejected {
		if !recipients[ascii(rejected.Address)] {
			t.Errorf("Receipt.Rejected names %q, who is no recipient", rejected.Address)
		}
		if rejected.Err == nil {
			t.Errorf("Receipt.Rejected says of %q no reason", rejected.Address)
			continue
		}
		s.judgeError(t, secrets, rejected.Err)
	}
	noSecret(t, secrets, "the receipt", r)
}

func (s *suite) judgeError(t *testing.T, secrets []string, err error) {
	t.Helper()
	e, ok := errors.AsType[*mailer.Error](err)
	if !ok {
		t.Errorf("the error is not a *mailer.Error: %T: %v", err, err)
		return
	}
	if e.Provider != s.Name && (e.Provider != "" || e.Kind != mailer.KindInvalid) {
		t.Errorf("the error names the provider %q: %v", e.Provider, err)
	}
	if e.NotSent != mailer.NotSent(err) {
		t.Errorf("NotSent of the error and of its tree differ: %v", err)
	}
	if e.RetryAfter < 0 {
		t.Errorf("RetryAfter is %v", e.RetryAfter)
	}
	text := err.Error()
	if len(text) > 4096 {
		t.Errorf("the error has %d bytes", len(text))
	}
	if strings.ContainsAny(text, "\r\n") {
		t.Errorf("the error has more than one line: %q", text)
	}
	for err := range tree(err) {
		noSecret(t, secrets, "the error", err)
	}
}

// check calls Check.
func (s *suite) check(t *testing.T, p mailer.Provider, m mailer.Message) error {
	t.Helper()
	c, ok := p.(mailer.Checker)
	require.True(t, ok, "the provider has no Check")
	given, want := clone(m), clone(m)
	err := c.Check(given)
	require.Empty(t, difference(want, given), "Check changed the message")
	if err != nil {
		s.judgeError(t, s.secrets(nil), err)
	}
	return err
}

// refused requires that the provider refuses the message before any traffic, and
// that Check says the same.
func (s *suite) refused(t *testing.T, m mailer.Message, kind mailer.Kind) {
	t.Helper()
	service, p := s.start(t, s.Peer)
	checked := s.check(t, p, m)
	_, err := s.send(t.Context(), t, service, p, m)
	require.Error(t, err, "Send took the message")
	require.Equal(t, kind.String(), mailer.KindOf(err).String(), "the kind of: %v", err)
	require.True(t, mailer.NotSent(err), "NotSent of: %v", err)
	require.Zero(t, service.Traffic(), "there was traffic")
	require.Error(t, checked, "Check passes what Send refuses with: %v", err)
	want, _ := errors.AsType[*mailer.Error](err)
	got, _ := errors.AsType[*mailer.Error](checked)
	require.Equal(t, want.Kind.String(), got.Kind.String(), "Check has another kind than Send")
	require.Equal(t, want.Field, got.Field, "Check names another field than Send")
	require.Equal(t, want.NotSent, got.NotSent, "Check says another NotSent than Send")
	if kind != mailer.KindTooLarge {
		require.NotEmpty(t, want.Field, "the error names no field: %v", err)
	}
}

// testMessages sends every message.
func (s *suite) testMessages(t *testing.T) {
	names := map[string]bool{}
	for _, c := range s.cases {
		if !s.unsupported(c.Name) {
			names[c.file()] = true
		}
		t.Run(c.Name, func(t *testing.T) {
			if c.Name != "scheduled" {
				s.testMessage(t, c)
				return
			}
			synctest.Test(t, func(t *testing.T) { // where the clock stands, so that an hour ahead stays one
				c.Message.SendAt = time.Now().UTC().Add(time.Hour)
				s.testMessage(t, c)
			})
		})
	}
	t.Run("no golden file is left over", func(t *testing.T) { s.orphans(t, names) })
}

// testMessage sends the message, or has it refused.
func (s *suite) testMessage(t *testing.T, c Case) {
	require.NoError(t, c.Message.Validate(), "the message of the suite is not valid")
	if kind, unsupported := s.Unsupported[c.Name]; unsupported {
		s.refused(t, c.Message, kind)
		return
	}
	service, p := s.start(t, s.Peer)
	require.NoError(t, s.check(t, p, c.Message), "Check refuses a message that the Spec calls supported")
	require.Zero(t, service.Traffic(), "Check caused traffic")
	receipt, err := s.send(t.Context(), t, service, p, c.Message)
	require.NoError(t, err)
	request := s.only(t, service)
	s.sameID(t, receipt, request)
	require.ElementsMatch(t, s.Dropped[c.Name], receipt.Dropped, "Receipt.Dropped")
	if d, ok := mailer.As[mailer.DropReporter](p); ok {
		require.ElementsMatch(t, receipt.Dropped, d.Dropped(c.Message), "Dropped says another thing than the receipt")
	}
	require.Empty(t, receipt.Rejected, "Receipt.Rejected")
	s.says(t, request, c.Message, receipt)

	text := s.redact(request.Text, c.Message.SendAt)
	for range 4 { // the order of a map, a clock, a random number would show
		_, err := s.send(t.Context(), t, service, p, c.Message)
		require.NoError(t, err)
		requests := service.Requests()
		require.Equal(t, text, s.redact(requests[len(requests)-1].Text, c.Message.SendAt), "the same message made another request")
	}
	s.golden(t, c.file(), text)
}

// only returns the one request that the service has seen.
func (s *suite) only(t *testing.T, service Service) Request {
	t.Helper()
	requests := service.Requests()
	require.Len(t, requests, 1, "requests for one message")
	return requests[0]
}

// sameID requires that the receipt names the id which the service gave.
func (s *suite) sameID(t *testing.T, r mailer.Receipt, q Request) {
	t.Helper()
	want := q.MessageID
	if want == "" {
		want = r.ID
	}
	require.Equal(t, want, r.MessageID, "Receipt.MessageID")
}

// testRecipients finds out whether To, Cc and Bcc go to three different places,
// and whether an address that stands twice goes to one.
func (s *suite) testRecipients(t *testing.T) {
	if _, unsupported := s.Unsupported["several recipients"]; unsupported {
		t.Skip("the service takes one recipient")
	}
	places := func(t *testing.T, m mailer.Message) map[string][]string {
		service, p := s.start(t, s.Peer)
		_, err := s.send(t.Context(), t, service, p, m)
		require.NoError(t, err)
		return places(s.only(t, service))
	}
	several := places(t, s.message("several recipients"))
	to, cc, bcc := several["ada@example.com"], several["cleo@example.com"], several["eli@example.com"]
	t.Run("each list has a place of its own", func(t *testing.T) {
		require.NotEqual(t, to, cc, "To and Cc go to the same place")
		require.NotEqual(t, to, bcc, "To and Bcc go to the same place")
		require.NotEqual(t, cc, bcc, "Cc and Bcc go to the same place")
		require.Equal(t, to, several["ben@example.com"])
		require.Equal(t, cc, several["dan@example.com"])
		require.Equal(t, bcc, several["fay@example.com"])
	})
	t.Run("an address that stands twice is said once", func(t *testing.T) {
		if _, unsupported := s.Unsupported["one address twice"]; unsupported {
			t.Skip("the service does not take this")
		}
		twice := places(t, s.message("one address twice"))
		require.Equal(t, to, twice["ada@example.com"])
		require.Equal(t, to, twice["ben@example.com"])
		require.Equal(t, cc, twice["cleo@example.com"])
	})
}

// message returns the message of that name.
func (s *suite) message(name string) mailer.Message {
	i := slices.IndexFunc(s.cases, func(c Case) bool { return c.Name == name })
	return clone(s.cases[i].Message)
}

// testTracking switches each kind of tracking on and off, and requires that it
// shows in the request, or in Dropped.
func (s *suite) testTracking(t *testing.T) {
	for field, set := range map[string]func(*mailer.Message, mailer.Switch){
		"Track.Opens":  func(m *mailer.Message, v mailer.Switch) { m.Track.Opens = v },
		"Track.Clicks": func(m *mailer.Message, v mailer.Switch) { m.Track.Clicks = v },
	} {
		t.Run(field, func(t *testing.T) {
			texts := map[string]string{}
			for name, v := range map[string]mailer.Switch{"default": mailer.Default, "on": mailer.On, "off": mailer.Off} {
				service, p := s.start(t, s.Peer)
				m := s.message("tracking on")
				m.Track = mailer.Tracking{}
				set(&m, v)
				r, err := s.send(t.Context(), t, service, p, m)
				require.NoError(t, err)
				if v == mailer.Default {
					require.Empty(t, r.Dropped, "Dropped, although nothing was asked for")
				}
				if slices.Contains(r.Dropped, field) {
					continue
				}
				require.Empty(t, r.Dropped)
				text := s.only(t, service).Text
				for other, t2 := range texts {
					require.NotEqual(t, t2, text, "%s makes the same request as %s, and is not in Dropped", name, other)
				}
				texts[name] = text
			}
		})
	}
}

// testID sends messages without an ID.
func (s *suite) testID(t *testing.T) {
	service, p := s.start(t, s.Peer)
	seen := map[string]bool{}
	for range 3 {
		m := s.message("minimal")
		m.ID = ""
		r, err := s.send(t.Context(), t, service, p, m)
		require.NoError(t, err)
		require.Regexp(t, `^[A-Za-z0-9_-]{1,64}$`, r.ID)
		require.False(t, seen[r.ID], "the ID %q was assigned twice", r.ID)
		seen[r.ID] = true
		requests := service.Requests()
		require.True(t, contains(requests[len(requests)-1], r.ID), "the request does not say the ID of the receipt")
	}
}

// testLarge sends a file of some size.
func (s *suite) testLarge(t *testing.T) {
	if _, unsupported := s.Unsupported["attachment"]; unsupported {
		t.Skip("the service takes no attachment")
	}
	service, p := s.start(t, s.Peer)
	m := s.message("attachment")
	m.Attachments[1].Content = noise(1<<20 + 1)
	r, err := s.send(t.Context(), t, service, p, m)
	require.NoError(t, err)
	s.says(t, s.only(t, service), m, r)
}

// testDays lives through the bad days.
func (s *suite) testDays(t *testing.T) {
	days := s.Peer.Days()
	known := map[string]bool{Accept: true, Silence: true}
	for _, d := range days {
		require.False(t, known[d.Name], "two days are named %q", d.Name)
		known[d.Name] = true
	}
	for _, name := range RequiredDays() {
		require.True(t, known[name], "the peer does not know the day %q", name)
	}
	for _, d := range days {
		if d.Hangs {
			continue // see testContext
		}
		t.Run(d.Name, func(t *testing.T) {
			service, p, m := s.begin(t, d)
			before := len(service.Requests())
			service.Behave(d.Name)
			r, err := s.send(t.Context(), t, service, p, m)
			read := len(service.Requests()) - before
			require.LessOrEqual(t, read, 1, "the message was sent more than once")
			if d.Taken {
				require.NoError(t, err)
				s.rejected(t, r, d.Rejected)
				s.sameID(t, r, service.Requests()[before])
			} else {
				s.failed(t, d, read, err)
			}
			if d.Check != nil {
				d.Check(t, service, r, err)
			}

			before = len(service.Requests())
			service.Behave(Accept)
			r, err = s.send(t.Context(), t, service, p, m)
			require.NoError(t, err, "the provider does not recover")
			require.Len(t, service.Requests(), before+1, "requests for one message")
			s.sameID(t, r, service.Requests()[before])
		})
	}
}

// begin starts a service and a provider for the day, up to where it turns bad.
func (s *suite) begin(t *testing.T, d Day) (Service, mailer.Provider, mailer.Message) {
	t.Helper()
	peer := s.Peer
	if h, ok := peer.(HTTP); ok {
		peer = h.on(d.Name)
	}
	service, p := s.start(t, peer)
	m := dayMessage()
	if _, unsupported := s.Unsupported["attachment"]; d.Large && !unsupported {
		m.Attachments = []mailer.Attachment{{Name: "large.bin", Content: noise(1 << 20)}}
	}
	if d.Used {
		_, err := s.send(t.Context(), t, service, p, m)
		require.NoError(t, err)
	}
	return service, p, m
}

// failed requires that the error is that of the day.
func (s *suite) failed(t *testing.T, d Day, read int, err error) {
	t.Helper()
	require.Error(t, err, "nil error, although the service did not take the message")
	e, ok := errors.AsType[*mailer.Error](err)
	require.True(t, ok)
	kinds := d.Kinds
	if len(kinds) == 0 {
		kinds = []mailer.Kind{mailer.KindRejected, mailer.KindUnavailable, mailer.KindNetwork, mailer.KindUnknown}
	}
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.String()
	}
	require.Contains(t, names, e.Kind.String(), "the kind of: %v", err)
	switch {
	case d.NotSent == Yes:
		require.True(t, e.NotSent, "NotSent of: %v", err)
	case d.NotSent == No:
		require.False(t, e.NotSent, "NotSent of: %v", err)
	case read > 0:
		require.False(t, e.NotSent, "NotSent, although the service read the message: %v", err)
	}
	if d.RetryAfter != 0 {
		require.Equal(t, d.RetryAfter, e.RetryAfter, "RetryAfter of: %v", err)
	}
	if d.Code != "" {
		require.Equal(t, d.Code, e.Code, "Code of: %v", err)
	}
}

// rejected requires that the receipt rejects just these.
func (s *suite) rejected(t *testing.T, r mailer.Receipt, want []string) {
	t.Helper()
	var got []string
	for _, rejected := range r.Rejected {
		got = append(got, rejected.Address)
		require.Equal(t, mailer.KindRecipient.String(), mailer.KindOf(rejected.Err).String(), "the kind of: %v", rejected.Err)
		require.True(t, mailer.NotSent(rejected.Err), "NotSent of: %v", rejected.Err)
	}
	require.ElementsMatch(t, want, got, "Receipt.Rejected")
}
