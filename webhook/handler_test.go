package webhook_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer/webhook"
)

// fake is a source that does what it is told.
type fake func(r *webhook.Request) (webhook.Delivery, error)

func (fake) Name() string { return "fake" }

func (f fake) Receive(_ context.Context, r *webhook.Request) (webhook.Delivery, error) { return f(r) }

// events is a source that returns these.
func events(es ...webhook.Event) fake {
	return func(*webhook.Request) (webhook.Delivery, error) { return webhook.Delivery{Events: es}, nil }
}

// logged collects what the default logger says while the test runs.
func logged(t *testing.T) func() string {
	t.Helper()
	var b bytes.Buffer
	var mu sync.Mutex
	old := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(writer(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return b.Write(p)
	}), nil)))
	t.Cleanup(func() {
		slog.SetDefault(old)
		log.SetOutput(os.Stderr)
		log.SetFlags(log.LstdFlags)
	})
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		return b.String()
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

func post(body string) *http.Request {
	return httptest.NewRequest(http.MethodPost, "/hook?a=1&a=2", strings.NewReader(body))
}

func serve(src webhook.Source, fn func(context.Context, []webhook.Event) error, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	webhook.Handler(src, fn).ServeHTTP(w, r)
	return w
}

func never(t *testing.T) func(context.Context, []webhook.Event) error {
	return func(context.Context, []webhook.Event) error {
		t.Error("the callback was called")
		return nil
	}
}

func TestASourceSeesTheRequestAsItWasSent(t *testing.T) {
	body := " {\"a\": 1}\r\n\x00\xff"
	r := post(body)
	r.Header.Set("X-Secret", "s")
	var got *webhook.Request
	w := serve(fake(func(r *webhook.Request) (webhook.Delivery, error) {
		got = r
		return webhook.Delivery{}, nil
	}), never(t), r)
	require.Equal(t, http.StatusOK, w.Code)
	require.Empty(t, w.Body.String())
	require.Equal(t, http.MethodPost, got.Method)
	require.Equal(t, body, string(got.Body))
	require.Equal(t, []string{"1", "2"}, got.Query["a"])
	require.Equal(t, "s", got.Header.Get("X-Secret"))
}

func TestTheEventsOfARequestComeTogether(t *testing.T) {
	type key struct{}
	at := time.Date(2026, 11, 2, 10, 0, 0, 0, time.FixedZone("", 3600))
	src := events(
		webhook.Event{ID: "1", Time: at, Detail: "a\r\nb\tc"},
		webhook.Event{ID: "2", Provider: "other", SMTP: "x" + strings.Repeat("ü", webhook.MaxText)},
	)
	calls := 0
	r := post("")
	w := serve(src, func(ctx context.Context, es []webhook.Event) error {
		calls++
		require.Equal(t, "v", ctx.Value(key{}), "the request's context")
		require.Len(t, es, 2)
		require.Equal(t, webhook.Event{ID: "1", Provider: "fake", Time: at.UTC(), Detail: "a b c"}, es[0])
		require.Equal(t, "other", es[1].Provider)
		require.Equal(t, "x"+strings.Repeat("ü", webhook.MaxText/2-1), es[1].SMTP)
		require.Zero(t, es[1].Time)
		return nil
	}, r.WithContext(context.WithValue(r.Context(), key{}, "v")))
	require.Equal(t, 1, calls)
	require.Equal(t, http.StatusOK, w.Code)
}

func TestASourceMayShapeTheAnswer(t *testing.T) {
	for _, c := range []struct {
		name   string
		err    error
		status int
		body   string
	}{
		{"which is written when the callback is content", nil, 200, "validated"},
		{"which is not written when it is not", errors.New("no"), 503, "Service Unavailable\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			logged(t)
			w := serve(fake(func(*webhook.Request) (webhook.Delivery, error) {
				return webhook.Delivery{Events: make([]webhook.Event, 1), Body: []byte("validated"), ContentType: "text/x"}, nil
			}), func(context.Context, []webhook.Event) error { return c.err }, post(""))
			require.Equal(t, c.status, w.Code)
			require.Equal(t, c.body, w.Body.String())
			require.Equal(t, c.err == nil, w.Header().Get("Content-Type") == "text/x")
			require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
		})
	}
}

func TestWhatASourceRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		err    error
		status int
		header string
		value  string
	}{
		{"the method", webhook.ErrMethod, 405, "Allow", "POST"},
		{"the proof", webhook.ErrUnverified, 401, "WWW-Authenticate", `Basic realm="webhook"`},
		{"the payload", webhook.ErrMalformed, 400, "", ""},
		{"the payload, wrapped", fmt.Errorf("of ada@example.com: %w", webhook.ErrMalformed), 400, "", ""},
		{"nothing, but it cannot tell", errors.New("ada@example.com"), 503, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := logged(t)
			w := serve(fake(func(*webhook.Request) (webhook.Delivery, error) {
				return webhook.Delivery{Events: make([]webhook.Event, 1), Body: []byte("secret")}, c.err
			}), never(t), post("ada@example.com"))
			require.Equal(t, c.status, w.Code)
			require.Equal(t, http.StatusText(c.status)+"\n", w.Body.String())
			if c.header != "" {
				require.Equal(t, c.value, w.Header().Get(c.header))
			}
			require.Contains(t, text(), fmt.Sprintf("status=%d", c.status))
			require.NotContains(t, text(), "ada@example.com")
		})
	}
}

func TestAFailingCallbackAsksTheServiceToTryAgain(t *testing.T) {
	for name, fn := range map[string]func(context.Context, []webhook.Event) error{
		"with an error":             func(context.Context, []webhook.Event) error { return errors.New("ada@example.com") },
		"with an error of a source": func(context.Context, []webhook.Event) error { return webhook.ErrUnverified },
		"with a panic":              func(context.Context, []webhook.Event) error { panic("ada@example.com") },
		"with a panic of the runtime": func(context.Context, []webhook.Event) error {
			return fmt.Errorf("event %v", strings.Split("a", ",")[len(os.Args)])
		},
	} {
		t.Run(name, func(t *testing.T) {
			text := logged(t)
			w := serve(events(webhook.Event{ID: "1", Recipient: "ada@example.com"}), fn, post("ada@example.com"))
			require.Equal(t, http.StatusServiceUnavailable, w.Code)
			require.Contains(t, text(), "level=ERROR")
			require.Contains(t, text(), "provider=fake step=callback status=503")
			require.NotContains(t, text(), "ada@example.com")
			if strings.Contains(name, "panic") {
				require.Contains(t, text(), "handler_test.go", "the stack")
				require.Equal(t, strings.HasSuffix(name, "runtime"), strings.Contains(text(), "index out of range"))
			}
		})
	}
}

func TestAPanicOfASourceAsksTheServiceToTryAgain(t *testing.T) {
	text := logged(t)
	w := serve(fake(func(*webhook.Request) (webhook.Delivery, error) { panic("ada@example.com") }), never(t), post(""))
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.Contains(t, text(), "step=source")
	require.NotContains(t, text(), "ada@example.com")
}

// roomy has the optional methods of a source.
type roomy struct{ fake }

func (roomy) MaxBody() int64 { return 2 * webhook.MaxBody }
func (roomy) Allow() string  { return "GET, POST" }

func zipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := io.WriteString(z, text)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	return b.String()
}

func TestBodiesAreBounded(t *testing.T) {
	echo := fake(func(r *webhook.Request) (webhook.Delivery, error) {
		return webhook.Delivery{Body: fmt.Append(nil, len(r.Body))}, nil
	})
	full, over := strings.Repeat("x", webhook.MaxBody), strings.Repeat("x", webhook.MaxBody+1)
	for _, c := range []struct {
		name     string
		src      webhook.Source
		encoding string
		body     string
		unsized  bool
		status   int
	}{
		{"an empty body", echo, "", "", false, 200},
		{"a full one", echo, "", full, false, 200},
		{"a full one of unknown length", echo, "", full, true, 200},
		{"one too large", echo, "", over, false, 413},
		{"one too large, of unknown length", echo, "", over, true, 413},
		{"one that the source has room for", roomy{echo}, "", over, false, 200},
		{"one too large for that", roomy{echo}, "", over + over, false, 413},
		{"gzip", echo, "gzip", zipped(t, full), false, 200},
		{"gzip by its old name", echo, "X-GZIP", zipped(t, full), false, 200},
		{"gzip that becomes too large", echo, "gzip", zipped(t, over), false, 413},
		{"a bomb", echo, "gzip", strings.Repeat(zipped(t, full), 200), false, 413},
		{"no gzip although it says so", echo, "gzip", "x", false, 400},
		{"half a gzip", echo, "gzip", zipped(t, full)[:500], false, 400},
		{"gzip twice", echo, "gzip, gzip", "x", false, 415},
		{"another encoding", echo, "br", "x", false, 415},
		{"no encoding, said", echo, "identity", "x", false, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			logged(t)
			r := post(c.body)
			if c.encoding != "" {
				r.Header.Set("Content-Encoding", c.encoding)
			}
			if c.unsized {
				r.ContentLength = -1
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			w := serve(c.src, never(t), r)
			runtime.ReadMemStats(&after)
			require.Equal(t, c.status, w.Code)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(32<<20), "bytes of memory")
			if c.status == 200 && c.encoding == "gzip" {
				require.Equal(t, fmt.Sprint(webhook.MaxBody), w.Body.String())
			}
		})
	}
}

func TestASourceNamesItsMethods(t *testing.T) {
	logged(t)
	src := roomy{fake(func(*webhook.Request) (webhook.Delivery, error) { return webhook.Delivery{}, webhook.ErrMethod })}
	require.Equal(t, "GET, POST", serve(src, never(t), post("")).Header().Get("Allow"))
}

func TestABodyThatBreaksOffIsAskedForAgain(t *testing.T) {
	logged(t)
	r := post("")
	r.Body, r.ContentLength = io.NopCloser(io.MultiReader(strings.NewReader("[{"), iotest.ErrReader(io.ErrUnexpectedEOF))), 100
	called := false
	w := serve(fake(func(*webhook.Request) (webhook.Delivery, error) {
		called = true
		return webhook.Delivery{}, nil
	}), never(t), r)
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.False(t, called, "the source saw half a body")
}

// Over a real connection, whose end is the end of the callback's context.
func TestAServiceThatHangsUpEndsTheContext(t *testing.T) {
	logged(t)
	began, ended := make(chan struct{}), make(chan error, 1)
	server := httptest.NewServer(webhook.Handler(events(webhook.Event{ID: "1"}), func(ctx context.Context, _ []webhook.Event) error {
		close(began)
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, strings.NewReader("{}"))
	require.NoError(t, err)
	go func() {
		<-began
		cancel()
	}()
	resp, err := server.Client().Do(r)
	if err == nil {
		resp.Body.Close()
	}
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, <-ended, context.Canceled)
}

func TestHandlerNeedsBoth(t *testing.T) {
	require.Panics(t, func() { webhook.Handler(nil, never(t)) })
	require.Panics(t, func() { webhook.Handler(events(), nil) })
}
