package webhooktest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/webhook"
)

// Spec says what the suite cannot know about a service.
type Spec struct {
	// Name is what the source's Name returns.
	Name string
	// Secrets are the secrets with which New makes sources. The suite looks for
	// them wherever they must not be. Make them long enough that they stand
	// nowhere by chance. They may be empty where a public key proves the service.
	Secrets []string
	// Config is the source's configuration with the secrets in it. It must not
	// print them with package fmt, log/slog or encoding/json.
	Config any
	// New makes a source. Every source that it makes is the same.
	New func() (webhook.Source, error)
	// Incomplete are constructions that lack a secret, by what they lack. Each has
	// to return an error.
	Incomplete map[string]func() (webhook.Source, error)

	// Request returns a new request with this payload and a good proof, as the
	// service sends it. Where the service puts its report into the query, the
	// payload is the query.
	Request func(payload []byte) *http.Request
	// Proof names the header fields that prove a request. A request in which one of
	// them is missing, empty or altered has to be refused with 401, whatever the
	// body is. Empty: the proof stands in the body or in the query.
	Proof []string
	// Signed says that the proof covers the body, so that an altered body is
	// refused. If the proof stands in the body it may leave parts of it out; an
	// altered body that is accepted then has to give the same events.
	Signed bool
	// Forged are further requests that have to be refused with 401, by what is
	// wrong with them: signed by another key, with another secret.
	Forged map[string]func(payload []byte) *http.Request
	// Methods are those that the service uses. Empty: POST. Any other has to be
	// refused with 405.
	Methods []string

	// Sample is the payload of one event that has everything: ids, recipient, time,
	// tags, metadata.
	Sample []byte
	// Sampled is what has to come of Sample. Raw and ID are not compared, and
	// Provider is that of Name.
	Sampled webhook.Event
	// Unknown is a payload of one event with a type that the service does not have
	// (yet). It has to come as [webhook.Other].
	Unknown []byte
	// Batch says that a payload may be a JSON array of objects like Sample, which
	// is then one such object.
	Batch bool
	// Needed names the fields of Sample that the source cannot do without, at any
	// depth. Whichever other field is missing or nonsense, the event has to come.
	Needed []string
	// RoundTrip sends m through the service's adapter, at a fake service, and
	// returns the receipt and a request as the service would later report that m
	// was delivered to its first recipient: with the id that the service gave, and
	// with what it had of the message's ID, tags and metadata in the request. Nil:
	// there is no adapter.
	RoundTrip func(t *testing.T, m mailer.Message) (mailer.Receipt, *http.Request)

	// Payloads is the folder of payloads and golden files. Empty:
	// "testdata/webhook". Every source has at least one.
	Payloads string
}

// suite is a Spec under test.
type suite struct {
	Spec
	log bytes.Buffer
	mu  sync.Mutex // of log
}

// Run holds the source of the Spec against the promises of [webhook.Source]. Every
// promise is a subtest.
func Run(t *testing.T, spec Spec) {
	s := &suite{Spec: spec}
	require.NotEmpty(t, s.Name, "Spec.Name")
	require.NotNil(t, s.New, "Spec.New")
	require.NotNil(t, s.Request, "Spec.Request")
	require.NotEmpty(t, s.Sample, "Spec.Sample")
	require.NotEmpty(t, s.Unknown, "Spec.Unknown")
	require.False(t, len(s.Proof) == 0 && len(s.Forged) == 0, "Spec.Proof or Spec.Forged: nothing is proven")
	for _, secret := range s.Secrets {
		require.GreaterOrEqual(t, len(secret), 8, "a secret is too short to look for")
	}
	if len(s.Methods) == 0 {
		s.Methods = []string{http.MethodPost}
	}
	if s.Payloads == "" {
		s.Payloads = "testdata/webhook"
	}
	defer s.listen()()

	t.Run("prints no secret", s.testPrinting)
	t.Run("a secret is required", s.testIncomplete)
	t.Run("payload", s.testPayloads)
	t.Run("sample", s.testSample)
	t.Run("an unknown type is other", s.testUnknown)
	t.Run("round trip", s.testRoundTrip)
	t.Run("method", s.testMethods)
	t.Run("proof", s.testProof)
	t.Run("constant time", s.testConstantTime)
	t.Run("batch", s.testBatch)
	t.Run("nonsense", s.testNonsense)
	t.Run("hostile", s.testHostile)
	t.Run("concurrent", s.testConcurrent)
	t.Run("logs no secret and no address", s.testLog)
}

// listen takes over the default logger until the returned function is called.
func (s *suite) listen() (restore func()) {
	old, writer, flags := slog.Default(), log.Writer(), log.Flags()
	slog.SetDefault(slog.New(slog.NewTextHandler(locked{s}, nil)))
	return func() {
		slog.SetDefault(old)
		log.SetOutput(writer)
		log.SetFlags(flags)
	}
}

type locked struct{ s *suite }

func (w locked) Write(b []byte) (int, error) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	return w.s.log.Write(b)
}

// source makes a source.
func (s *suite) source(t testing.TB) webhook.Source {
	t.Helper()
	src, err := s.New()
	require.NoError(t, err, "New")
	require.Equal(t, s.Name, src.Name(), "Name")
	return src
}

// result is what came of a request.
type result struct {
	status int
	header http.Header
	body   string
	calls  int
	events []webhook.Event
}

// observed keeps of a Source what it is not to do to its request.
type observed struct {
	webhook.Source
	changed bool
}

func (o *observed) Receive(ctx context.Context, r *webhook.Request) (webhook.Delivery, error) {
	body, header := bytes.Clone(r.Body), r.Header.Clone()
	d, err := o.Source.Receive(ctx, r)
	o.changed = !bytes.Equal(body, r.Body) || !equalHeaders(header, r.Header)
	return d, err
}

func equalHeaders(a, b http.Header) bool {
	if len(a) != len(b) {
		return false
	}
	for name := range a {
		if !slices.Equal(a[name], b[name]) {
			return false
		}
	}
	return true
}

// limited has the optional methods of a Source that the wrapper would hide.
type limited struct{ *observed }

func (l limited) MaxBody() int64 {
	if m, ok := l.Source.(interface{ MaxBody() int64 }); ok {
		return m.MaxBody()
	}
	return webhook.MaxBody
}

func (l limited) Allow() string {
	if a, ok := l.Source.(interface{ Allow() string }); ok {
		return a.Allow()
	}
	return http.MethodPost
}

// deliver has the source receive r, and looks at what holds for every request. It
// may be called from any goroutine.
func (s *suite) deliver(t testing.TB, src webhook.Source, r *http.Request) result {
	t.Helper()
	var got result
	o := &observed{Source: src}
	w := httptest.NewRecorder()
	webhook.Handler(limited{o}, func(_ context.Context, events []webhook.Event) error {
		got.calls++
		got.events = events
		return nil
	}).ServeHTTP(w, r)
	got.status, got.header, got.body = w.Code, w.Result().Header, w.Body.String()
	if o.changed {
		t.Errorf("Receive changed the request")
	}
	if got.status != http.StatusOK && got.calls > 0 {
		t.Errorf("status %d after the callback", got.status)
	}
	if got.calls > 0 && len(got.events) == 0 {
		t.Errorf("a callback without events")
	}
	for i := range got.events {
		if fault := s.fault(&got.events[i]); fault != "" {
			t.Errorf("event %d: %s", i, fault)
		}
	}
	return got
}

// accept delivers r, which has to be accepted.
func (s *suite) accept(t testing.TB, src webhook.Source, r *http.Request) result {
	t.Helper()
	got := s.deliver(t, src, r)
	require.Equal(t, http.StatusOK, got.status, "status; log:\n%s", s.lastLog())
	return got
}

// refuse delivers r, which has to be refused with this status.
func (s *suite) refuse(t testing.TB, src webhook.Source, r *http.Request, status int) {
	t.Helper()
	got := s.deliver(t, src, r)
	require.Equal(t, status, got.status, "status")
	require.Zero(t, got.calls, "events of a request that was refused")
}

func (s *suite) lastLog() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.log.Bytes()
	return string(b[max(0, len(b)-2000):])
}

// set replaces the body of a request.
func set(r *http.Request, body []byte) *http.Request {
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return r
}

// body reads the body of a request and puts it back.
func body(r *http.Request) []byte {
	if r.Body == nil {
		return nil
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		panic(errors.Join(errors.New("webhooktest: the body of Spec.Request"), err))
	}
	set(r, b)
	return b
}
