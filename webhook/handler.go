package webhook

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxBody is the most bytes of a request's body, before and after decompression:
// 1 MiB. The largest batch of events that a service is known to send is 768 KB. A
// [Source] with a method "MaxBody() int64" has its own limit.
const MaxBody = 1 << 20

// MaxEvents is the most events of one request that a [Source] reads. A request with
// more is [ErrMalformed]: a body of [MaxBody] bytes from a service has fewer, and
// one that somebody made up could have a million.
const MaxEvents = 10_000

// MaxText is the most bytes of an [Event]'s Detail, and of its SMTP.
const MaxText = 2000

// Handler returns the http.Handler for what one service sends. It reads the exact
// bytes of the body, has src verify and read them, and calls fn with all events
// of the request at once. Events are as src made them, but for these: Provider is
// filled in, Time is in UTC, and Detail and SMTP are one line of at most [MaxText]
// bytes. Both functions must be safe for use by many goroutines. Handler panics if
// src or fn is nil.
//
// The answers are
//
//   - 200 and nothing else when fn returned nil, or when there was no event, with
//     which fn is not called;
//   - 503 when fn returned an error or panicked, so that the service tries again
//     and no event is lost. The same request then comes once more, and with it the
//     events that fn has dealt with: see [Dedupe]. It is also the answer when src
//     itself fails or panics, or when the body did not arrive whole;
//   - 405 with Allow for [ErrMethod]. Allow is "POST", or what a method
//     "Allow() string" of src says;
//   - 401 with a WWW-Authenticate for basic authentication for [ErrUnverified].
//     Amazon SNS sends a password only after it;
//   - 400 for [ErrMalformed], and for a body that is not what its
//     Content-Encoding says;
//   - 413 for a body over the limit, 415 for a Content-Encoding other than gzip.
//
// Services give up on a 4xx, some at once. Each is logged, with log/slog's default
// logger, as is each 503; no address and nothing of a body is in the log.
//
// The context of fn is that of the request: it ends when the service hangs up,
// which most do after 10 to 30 seconds, and the service then tries again. So fn
// is to store the events and return. How long a slow client may take to send a
// body is for http.Server's ReadTimeout to say; set it.
func Handler(src Source, fn func(context.Context, []Event) error) http.Handler {
	if src == nil || fn == nil {
		panic("webhook: Handler needs a Source and a function")
	}
	h := &handler{src: src, fn: fn, limit: MaxBody, allow: http.MethodPost}
	if l, ok := src.(interface{ MaxBody() int64 }); ok && l.MaxBody() > 0 {
		h.limit = l.MaxBody()
	}
	if a, ok := src.(interface{ Allow() string }); ok {
		h.allow = cmp.Or(a.Allow(), h.allow)
	}
	return h
}

type handler struct {
	src   Source
	fn    func(context.Context, []Event) error
	limit int64
	allow string
}

// What is wrong with a body, besides what a Source says.
var (
	errTooLarge = errors.New("webhook: the body is too large")
	errEncoding = errors.New("webhook: the Content-Encoding is not gzip")
)

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d, step, err := h.receive(w, r)
	if err != nil {
		status := http.StatusServiceUnavailable
		switch {
		case step == "callback": // whatever the error is, the request was good
		case errors.Is(err, ErrMethod):
			status = http.StatusMethodNotAllowed
			w.Header().Set("Allow", h.allow)
		case errors.Is(err, ErrUnverified):
			status = http.StatusUnauthorized
			w.Header().Set("WWW-Authenticate", `Basic realm="webhook"`)
		case errors.Is(err, ErrMalformed):
			status = http.StatusBadRequest
		case errors.Is(err, errTooLarge):
			status = http.StatusRequestEntityTooLarge
		case errors.Is(err, errEncoding):
			status = http.StatusUnsupportedMediaType
		}
		h.log(r.Context(), step, status, len(d.Events), err)
		http.Error(w, http.StatusText(status), status)
		return
	}
	if d.ContentType != "" {
		w.Header().Set("Content-Type", d.ContentType)
	}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusOK)
	w.Write(d.Body)
}

// receive does all but answer. step says where an error comes from.
func (h *handler) receive(w http.ResponseWriter, r *http.Request) (d Delivery, step string, err error) {
	body, err := h.body(w, r)
	if err != nil {
		return d, "body", err
	}
	err = guard(func() (err error) {
		d, err = h.src.Receive(r.Context(), &Request{
			Method: r.Method, Query: r.URL.Query(), Header: r.Header, Body: body,
		})
		return err
	})
	if err != nil {
		return Delivery{}, "source", err
	}
	if len(d.Events) == 0 {
		return d, "", nil
	}
	for i := range d.Events {
		e := &d.Events[i]
		e.Provider = cmp.Or(e.Provider, h.src.Name())
		e.Detail, e.SMTP = line(e.Detail), line(e.SMTP)
		if !e.Time.IsZero() {
			e.Time = e.Time.UTC()
		}
	}
	return d, "callback", guard(func() error { return h.fn(r.Context(), d.Events) })
}

// body reads the whole body, within the limit.
func (h *handler) body(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	var compressed bool
	switch encoding := strings.Join(r.Header.Values("Content-Encoding"), ","); strings.ToLower(encoding) {
	case "", "identity":
	case "gzip", "x-gzip":
		compressed = true
	default:
		return nil, errEncoding
	}
	var b bytes.Buffer
	b.Grow(int(min(max(r.ContentLength, 0), 64<<10)) + bytes.MinRead) // no more on a mere promise
	if _, err := b.ReadFrom(http.MaxBytesReader(w, r.Body, h.limit)); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, errTooLarge
		}
		return nil, err
	}
	if !compressed {
		return b.Bytes(), nil
	}
	z, err := gzip.NewReader(&b)
	if err != nil {
		return nil, ErrMalformed
	}
	plain, err := io.ReadAll(io.LimitReader(z, h.limit+1))
	switch {
	case err != nil:
		return nil, ErrMalformed
	case int64(len(plain)) > h.limit:
		return nil, errTooLarge
	}
	return plain, nil
}

// guard turns a panic of f into an error.
func guard(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{v, debug.Stack()}
		}
	}()
	return f()
}

type panicError struct {
	value any
	stack []byte
}

// Error says what the panic was without what may have come from the request.
func (p *panicError) Error() string {
	if e, ok := p.value.(runtime.Error); ok {
		return "panic: " + e.Error()
	}
	return fmt.Sprintf("panic: a %T", p.value)
}

// log says what was refused, but not who was concerned: of an error that is not
// our own only its type.
func (h *handler) log(ctx context.Context, step string, status, events int, err error) {
	attrs := []slog.Attr{
		slog.String("provider", h.src.Name()),
		slog.String("step", step),
		slog.Int("status", status),
		slog.Int("events", events),
	}
	level, p := slog.LevelWarn, (*panicError)(nil)
	switch {
	case errors.As(err, &p):
		level = slog.LevelError
		attrs = append(attrs, slog.String("error", p.Error()), slog.String("stack", string(p.stack)))
	case step == "callback" || status == http.StatusServiceUnavailable:
		level = slog.LevelError
		attrs = append(attrs, slog.String("error", fmt.Sprintf("%T", err)))
	default:
		attrs = append(attrs, slog.String("error", own(err)))
	}
	slog.LogAttrs(ctx, level, "webhook refused", attrs...)
}

// own is the one of our errors that err is.
func own(err error) string {
	for _, ours := range []error{ErrMethod, ErrUnverified, ErrMalformed, errTooLarge, errEncoding} {
		if errors.Is(err, ours) {
			return ours.Error()
		}
	}
	return fmt.Sprintf("%T", err)
}

// line makes one line of s, of valid UTF-8 and at most MaxText bytes.
func line(s string) string {
	if len(s) > MaxText {
		n := MaxText
		for n > MaxText-utf8.UTFMax && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n]
	}
	s = strings.ToValidUTF8(s, "\uFFFD")
	if !strings.ContainsFunc(s, unicode.IsControl) {
		return s
	}
	return strings.Join(strings.FieldsFunc(s, unicode.IsControl), " ")
}
