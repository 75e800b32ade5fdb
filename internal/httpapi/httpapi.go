// Package httpapi is the one HTTP path under the adapters.
//
// It exists so that what must be equal in all of them is written once: one tuned
// transport, no redirects, no cookies, a time limit for each call, bounded
// answers, attachments that are encoded while they are sent, credentials kept
// out of errors, and an honest word on whether a request can have been
// understood by the other side.
package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/seed355143d4/mailer"
)

const (
	// DefaultTimeout is how long a call may take, body of the answer included,
	// unless the context ends sooner or the user's http.Client sets its own.
	DefaultTimeout = 30 * time.Second
	// MaxBody is the most bytes of an answer that are read, after decompression.
	MaxBody = 1 << 20

	// UserAgent is sent with each request that has no other.
	UserAgent = "mailer (+https://github.com/seed355143d4/mailer)"
)

// Config says where a service is and how it knows us.
type Config struct {
	// Provider is the service's name, for errors.
	Provider string
	// BaseURL is the part before the path given to Do: https, or http on a
	// loopback address. It may have a path of its own.
	BaseURL string
	// HTTPClient is the user's own client, or nil. Its Transport and its Timeout
	// are used, and it is never changed. Its cookie jar and redirect policy do not
	// apply. A nil Transport stands for the shared one of this package.
	HTTPClient *http.Client
	// Header is sent with each request. It is copied. Content-Type, Accept and
	// User-Agent have defaults. An Idempotency-Key has no effect on how often a
	// request is made.
	Header http.Header
	// Secrets never appear in an error: neither as they are nor escaped for a URL
	// or for JSON, nor in base64. What follows the scheme in an Authorization
	// header is added to them.
	Secrets []string
}

// Client speaks to one account at one service. It may be used from many
// goroutines at once, starts none itself and keeps nothing of a request after Do.
type Client struct {
	provider string
	base     string
	rt       http.RoundTripper
	plain    bool // rt is an *http.Transport, which leaves requests as they are
	timeout  time.Duration
	header   http.Header // with a body
	bodyless http.Header // without
	hide     *strings.Replacer
	last     atomic.Pointer[target]
	http1    atomic.Bool // the last answer came in HTTP/1
}

// target is a path and its parsed address, kept since an adapter uses one path
// nearly always.
type target struct {
	path string
	url  *url.URL
}

// New checks the Config. It does no I/O. Its errors are plain ones which name
// the field and never quote it.
func New(cfg Config) (*Client, error) {
	u, err := url.Parse(cfg.BaseURL)
	switch {
	case cfg.BaseURL == "":
		return nil, errors.New("BaseURL: missing")
	case err != nil || u.Opaque != "" || u.Hostname() == "":
		return nil, errors.New("BaseURL: not an absolute URL")
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())):
		return nil, errors.New("BaseURL: must be https, or http on a loopback address")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(cfg.BaseURL, "#"):
		return nil, errors.New("BaseURL: must have no user, query or fragment")
	}
	for name, values := range cfg.Header {
		for _, v := range values {
			if !printable(v) {
				return nil, fmt.Errorf("Header[%q]: has a control character", name)
			}
		}
	}
	c := &Client{
		provider: cfg.Provider,
		base:     strings.TrimRight(cfg.BaseURL, "/"),
		rt:       shared,
		plain:    true,
		timeout:  DefaultTimeout,
		hide:     replacer(cfg.Secrets, cfg.Header),
	}
	if hc := cfg.HTTPClient; hc != nil {
		if hc.Transport != nil {
			c.rt = hc.Transport
			_, c.plain = hc.Transport.(*http.Transport)
		}
		if hc.Timeout > 0 {
			c.timeout = hc.Timeout
		}
	}
	c.bodyless = http.Header{"Accept": {"application/json"}, "User-Agent": {UserAgent}}
	for name, values := range cfg.Header {
		c.bodyless[http.CanonicalHeaderKey(name)] = append([]string(nil), values...)
	}
	c.header = c.bodyless.Clone()
	if c.header["Content-Type"] == nil {
		c.header["Content-Type"] = []string{"application/json"}
	}
	return c, nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' && s[i] != '\t' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// Do makes one request to the base URL followed by path, which begins with a
// slash and may have a query. It returns a Response for every status that came,
// redirects included: they are not followed.
//
// Without a status it returns an [*mailer.Error]: KindCanceled if ctx was
// canceled, otherwise KindNetwork. NotSent is true only if the service cannot
// have had the whole request, or said that it did not look at it. A passed
// deadline, that of ctx or of this package, has context.DeadlineExceeded as its
// cause.
//
// A request with a body is made again, at most twice, only if a kept connection had
// ended before it or if the service says in HTTP/2's words that it did not look at it.
func (c *Client) Do(ctx context.Context, method, path string, body Body) (*Response, error) {
	u, err := c.URL(path)
	if err != nil {
		return nil, &mailer.Error{Provider: c.provider, NotSent: true, Err: err}
	}
	header := c.header
	if body.size == 0 {
		header = c.bodyless
	}
	return c.do(ctx, method, u, header, body)
}

// do is Do for an address and with a header.
func (c *Client) do(ctx context.Context, method string, u *url.URL, header http.Header, body Body) (*Response, error) {
	if err := ctx.Err(); err != nil {
		return nil, c.failure(ctx, err, true)
	}
	if body.err != nil {
		return nil, &mailer.Error{Provider: c.provider, NotSent: true, Err: body.err}
	}
	if d, ok := ctx.Deadline(); !ok || time.Until(d) > c.timeout {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	for again := repeats; ; again-- {
		var f flight
		r, err := c.try(ctx, &f, method, u, header, body)
		if err == nil {
			return r, nil
		}
		if again == 0 || ctx.Err() != nil || !f.again(err) {
			return nil, c.failure(ctx, err, f.unsent(err, c.rt == shared))
		}
	}
}

// repeats is how often a request is made again: once for a connection that ended
// while it was kept, and once more for a service that is just going down.
const repeats = 2

// try makes the request once. Its error is that of the RoundTripper.
func (c *Client) try(ctx context.Context, f *flight, method string, u *url.URL, header http.Header, body Body) (*Response, error) {
	defer f.stop()
	req := c.request(httptrace.WithClientTrace(ctx, f.trace()), method, u, header, body, f)
	resp, err := c.rt.RoundTrip(req)
	if err == nil && (resp == nil || resp.Body == nil) {
		err = errors.New("the http.RoundTripper returned no answer and no error")
	}
	if err != nil {
		return nil, err
	}
	if one := resp.ProtoMajor == 1; one != c.http1.Load() {
		c.http1.Store(one)
	}
	r := &f.response
	r.Status, r.Header, r.early = resp.StatusCode, resp.Header, f.cut()
	r.Body, err = readBody(resp)
	if err != nil {
		r.Err = c.cause(ctx, err)
	}
	return r, nil
}

// URL returns the base URL followed by path, for Forward. It is shared between
// calls, and not to be changed.
func (c *Client) URL(path string) (*url.URL, error) {
	if t := c.last.Load(); t != nil && t.path == path {
		return t.url, nil
	}
	u, err := url.Parse(c.base + path)
	if err != nil || !strings.HasPrefix(path, "/") {
		return nil, errors.New("malformed path of a request")
	}
	c.last.Store(&target{path, u})
	return u, nil
}

// request builds the request by hand. http.NewRequest would parse the address
// anew, and http.Client would wrap errors in a text with the address in it, keep
// cookies and follow redirects; so neither is used.
func (c *Client) request(ctx context.Context, method string, u *url.URL, header http.Header, body Body, f *flight) *http.Request {
	if !c.plain {
		// Middleware is not supposed to change a request, but much of it does.
		u2 := *u
		u, header = &u2, header.Clone()
	}
	req := &http.Request{
		Method:     method,
		URL:        u,
		Host:       u.Host,
		Proto:      "HTTP/1.1",
		ProtoMajor: 1,
		ProtoMinor: 1,
		Header:     header,
	}
	if body.size > 0 {
		req.ContentLength = body.size
		if c.http1.Load() && header["Idempotency-Key"] == nil && header["X-Idempotency-Key"] == nil {
			req.GetBody = func() (io.ReadCloser, error) { return c.reopen(body, f) }
		}
		req.Body = body.open(f)
	}
	return req.WithContext(ctx)
}

// Errors of reopen.
var (
	errUnwritten = errors.New("the connection had ended before the request")
	errReset     = errors.New("the request was reset")
)

// reopen is a request's GetBody. With one, net/http makes a request again by itself,
// and is right to only over HTTP/1.1, where it found a kept connection dead without
// a byte written, which nothing else tells. Over HTTP/2 it does so too after a
// reset with PROTOCOL_ERROR, up to seven times, though the service may have taken
// the request; so there is no GetBody unless the service answered in HTTP/1.1
// before. Nor is there one beside an Idempotency-Key, by which net/http makes any
// request again.
func (c *Client) reopen(body Body, f *flight) (io.ReadCloser, error) {
	switch {
	case f.http2():
		return nil, errReset
	case c.plain:
		return nil, errUnwritten // do makes it again, in a flight of its own
	default:
		return body.open(f), nil
	}
}

// failure makes the error of a call that brought no status.
func (c *Client) failure(ctx context.Context, err error, notSent bool) *mailer.Error {
	kind := mailer.KindNetwork
	if errors.Is(ctx.Err(), context.Canceled) {
		kind = mailer.KindCanceled
	}
	return &mailer.Error{Provider: c.provider, Kind: kind, NotSent: notSent, Err: c.cause(ctx, err)}
}

// cause returns err with the end of the context in its tree, if that is why the
// call broke off, and without secrets.
func (c *Client) cause(ctx context.Context, err error) error {
	if end := ctx.Err(); end != nil && !errors.Is(err, end) {
		err = fmt.Errorf("%w: %w", end, err)
	}
	return c.scrub(err)
}

// readBody reads the answer to its end, so that the connection can be used
// again. An answer over the limit is left where it is, and its connection closed.
func readBody(resp *http.Response) ([]byte, error) {
	defer resp.Body.Close()
	size := int64(512)
	if resp.ContentLength >= 0 {
		size = min(resp.ContentLength, MaxBody)
	}
	// One byte more than needed, since a full buffer cannot take the end.
	buf := make([]byte, 0, size+1)
	for {
		n, err := resp.Body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case len(buf) > MaxBody:
			return buf[:MaxBody], fmt.Errorf("the answer is longer than %d bytes", MaxBody)
		case err == io.EOF:
			return buf, nil
		case err != nil:
			return buf, err
		}
		if len(buf) == cap(buf) {
			grown := make([]byte, len(buf), min(2*cap(buf), MaxBody+1))
			copy(grown, buf)
			buf = grown
		}
	}
}
