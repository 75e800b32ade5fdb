package httpapi

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
)

var (
	smallBody = Bytes([]byte(`{"subject":"Welcome"}`))
	largeBody = Bytes(bytes.Repeat([]byte("x"), 16<<20))
)

const soon = 100 * time.Millisecond // a deadline that is meant to pass

func TestWithoutAStatusTheErrorSaysWhetherTheRequestCanHaveArrived(t *testing.T) {
	type call struct {
		url    string
		rt     *http.Transport
		body   Body
		ctx    context.Context
		client time.Duration
		kind   mailer.Kind
		sent   string // "no" or "unknown"
		check  func(t *testing.T, err error)
	}
	is := func(target error) func(*testing.T, error) {
		return func(t *testing.T, err error) { require.ErrorIs(t, err, target) }
	}
	within := func(t *testing.T, d time.Duration) context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		t.Cleanup(cancel)
		return ctx
	}
	// read reads a request, reports that, and leaves the connection open.
	read := func(done func()) func(int, net.Conn) {
		return func(_ int, c net.Conn) {
			if _, _, err := readRequest(bufio.NewReader(c)); err == nil {
				done()
			}
		}
	}
	for name, set := range map[string]func(t *testing.T) call{
		"the connection is refused": func(t *testing.T) call {
			s := serveTLS(t, nil)
			s.close()
			return call{url: s.url, sent: "no", check: is(syscall.ECONNREFUSED)}
		},
		"the name is not found": func(t *testing.T) call {
			tr := transport(t)
			tr.DialContext = (&net.Dialer{Resolver: &net.Resolver{
				PreferGo: true,
				Dial: func(context.Context, string, string) (net.Conn, error) {
					return nil, errors.New("no DNS in this test")
				},
			}}).DialContext
			return call{url: "https://api.example", rt: tr, sent: "no", check: func(t *testing.T, err error) {
				dns, ok := errors.AsType[*net.DNSError](err)
				require.True(t, ok)
				require.Equal(t, "api.example", dns.Name)
			}}
		},
		"the certificate is not trusted": func(t *testing.T) call {
			s := serveTLS(t, func(_ int, c net.Conn) { c.(*tls.Conn).Handshake() })
			tr := transport(t)
			tr.TLSClientConfig.RootCAs = nil
			return call{url: s.url, rt: tr, sent: "no", check: func(t *testing.T, err error) {
				_, ok := errors.AsType[*tls.CertificateVerificationError](err)
				require.True(t, ok)
			}}
		},
		"the server speaks TLS 1.1 only": func(t *testing.T) call {
			s := serve(t, &tls.Config{Certificates: certificate, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
				func(_ int, c net.Conn) { c.(*tls.Conn).Handshake() })
			return call{url: s.url, sent: "no"}
		},
		"the server does not speak TLS": func(t *testing.T) call {
			s := serve(t, nil, func(_ int, c net.Conn) {
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			})
			return call{url: strings.Replace(s.url, "http:", "https:", 1), sent: "no"}
		},
		"the proxy refuses": func(t *testing.T) call {
			s := serve(t, nil, answering("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"))
			tr := transport(t)
			tr.Proxy = func(r *http.Request) (*url.URL, error) { return url.Parse(s.url) }
			return call{url: "https://api.example", rt: tr, sent: "no"}
		},
		"the connection is closed before the handshake": func(t *testing.T) call {
			s := serveTLS(t, func(_ int, c net.Conn) { c.(*tls.Conn).NetConn().Close() })
			return call{url: s.url, sent: "no"}
		},
		"the connection is closed before a large request is read": func(t *testing.T) call {
			s := serveTLS(t, func(_ int, c net.Conn) { c.(*tls.Conn).Handshake(); c.Close() })
			return call{url: s.url, body: largeBody, sent: "no"}
		},
		"the connection is closed in the middle of the request": func(t *testing.T) call {
			s := serveTLS(t, func(_ int, c net.Conn) { io.ReadFull(c, make([]byte, 100_000)); c.Close() })
			return call{url: s.url, body: largeBody, sent: "no"}
		},
		"the connection is closed before a small request is read, but it was written": func(t *testing.T) call {
			s := serve(t, nil, func(_ int, c net.Conn) {
				c.Read(make([]byte, 1)) // it came in one piece
				c.Close()
			})
			return call{url: s.url, sent: "unknown"}
		},
		"the connection is closed after the request was read": func(t *testing.T) call {
			s := serveTLS(t, func(_ int, c net.Conn) { readRequest(bufio.NewReader(c)); c.Close() })
			return call{url: s.url, sent: "unknown", check: is(io.EOF)}
		},
		"the connection is closed after a large request was read": func(t *testing.T) call {
			s := serveTLS(t, func(_ int, c net.Conn) { readRequest(bufio.NewReader(c)); c.Close() })
			return call{url: s.url, body: largeBody, sent: "unknown"}
		},
		"the answer breaks off in its headers": func(t *testing.T) call {
			s := serveTLS(t, func(_ int, c net.Conn) {
				readRequest(bufio.NewReader(c))
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n")
				c.Close()
			})
			return call{url: s.url, sent: "unknown", check: is(io.ErrUnexpectedEOF)}
		},
		"the answer is not HTTP": func(t *testing.T) call {
			s := serveTLS(t, answering("220 mail.example ESMTP\r\n"))
			return call{url: s.url, sent: "unknown"}
		},
		"the answer's headers are endless": func(t *testing.T) call {
			s := serveTLS(t, func(_ int, c net.Conn) {
				readRequest(bufio.NewReader(c))
				io.WriteString(c, "HTTP/1.1 200 OK\r\n")
				for n, err := 0, error(nil); err == nil; n++ {
					_, err = fmt.Fprintf(c, "X-%d: %01000d\r\n", n, 0)
				}
			})
			return call{url: s.url, sent: "unknown"}
		},
		"the server is silent until the caller's deadline": func(t *testing.T) call {
			s := serveTLS(t, read(func() {}))
			return call{url: s.url, ctx: within(t, soon), sent: "unknown", check: is(context.DeadlineExceeded)}
		},
		"the server is silent until the client's own limit": func(t *testing.T) call {
			s := serveTLS(t, read(func() {}))
			return call{url: s.url, client: soon, sent: "unknown", check: is(context.DeadlineExceeded)}
		},
		"the server is silent and does not read a large request": func(t *testing.T) call {
			s := serveTLS(t, func(_ int, c net.Conn) { c.(*tls.Conn).Handshake() })
			return call{url: s.url, body: largeBody, ctx: within(t, soon), sent: "no", check: is(context.DeadlineExceeded)}
		},
		"the deadline passes in the handshake": func(t *testing.T) call {
			s := serveTLS(t, func(int, net.Conn) {})
			return call{url: s.url, ctx: within(t, soon), sent: "no", check: is(context.DeadlineExceeded)}
		},
		"the deadline has passed before": func(t *testing.T) call {
			return call{url: "https://api.example", ctx: within(t, -1), sent: "no", check: is(context.DeadlineExceeded)}
		},
		"the caller gives up before": func(t *testing.T) call {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			return call{url: "https://api.example", ctx: ctx, kind: mailer.KindCanceled, sent: "no", check: is(context.Canceled)}
		},
		"the caller gives up in the handshake": func(t *testing.T) call {
			ctx, cancel := context.WithCancel(t.Context())
			s := serveTLS(t, func(int, net.Conn) { cancel() })
			return call{url: s.url, ctx: ctx, kind: mailer.KindCanceled, sent: "no", check: is(context.Canceled)}
		},
		"the caller gives up after the request was read": func(t *testing.T) call {
			ctx, cancel := context.WithCancel(t.Context())
			s := serveTLS(t, read(cancel))
			return call{url: s.url, ctx: ctx, kind: mailer.KindCanceled, sent: "unknown", check: is(context.Canceled)}
		},
		"the caller gives up for a reason of his own": func(t *testing.T) call {
			reason := errors.New("enough")
			ctx, cancel := context.WithCancelCause(t.Context())
			s := serveTLS(t, read(func() { cancel(reason) }))
			return call{url: s.url, ctx: ctx, kind: mailer.KindCanceled, sent: "unknown", check: func(t *testing.T, err error) {
				require.ErrorIs(t, err, context.Canceled)
				require.ErrorIs(t, err, reason)
			}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			want := set(t)
			if want.rt == nil {
				want.rt = transport(t)
			}
			if want.ctx == nil {
				want.ctx = t.Context()
			}
			if want.body.size == 0 {
				want.body = smallBody
			}
			if want.kind == 0 {
				want.kind = mailer.KindNetwork
			}
			c := client(t, want.url, want.rt)
			if want.client != 0 {
				c.timeout = want.client
			}
			resp, err := c.Do(want.ctx, "POST", "/send", want.body)
			require.Nil(t, resp)
			e, ok := err.(*mailer.Error)
			require.True(t, ok, "%T", err)
			require.Equal(t, want.kind, e.Kind, "%v", err)
			require.Equal(t, want.sent == "no", e.NotSent, "%v", err)
			require.Equal(t, "acme", e.Provider)
			require.Zero(t, e.Status)
			require.Error(t, e.Err)
			if want.check != nil {
				want.check(t, err)
			}
		})
	}
}

func TestEveryStatusIsAResponse(t *testing.T) {
	for name, tc := range map[string]struct {
		answer  string
		status  int
		body    string
		notSent bool
	}{
		"accepted":           {"200 OK\r\nContent-Length: 2\r\n\r\n{}", 200, "{}", false},
		"accepted, empty":    {"202 Accepted\r\nContent-Length: 0\r\n\r\n", 202, "", false},
		"chunked":            {"200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 200, "{}", false},
		"a redirect":         {"302 Found\r\nLocation: https://other.example/\r\nContent-Length: 0\r\n\r\n", 302, "", false},
		"a refusal":          {"422 Unprocessable\r\nContent-Length: 2\r\n\r\n{}", 422, "{}", true},
		"unauthorized":       {"401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n", 401, "", true},
		"too many":           {"429 Too Many\r\nContent-Length: 0\r\n\r\n", 429, "", true},
		"a timeout of his":   {"408 Request Timeout\r\nContent-Length: 0\r\n\r\n", 408, "", false},
		"a conflict":         {"409 Conflict\r\nContent-Length: 0\r\n\r\n", 409, "", false},
		"a failure":          {"500 Oops\r\nContent-Length: 0\r\n\r\n", 500, "", false},
		"a gateway's HTML":   {"502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 14\r\n\r\n<h1>Sorry</h1>", 502, "<h1>Sorry</h1>", false},
		"an unknown status":  {"599 What\r\nContent-Length: 0\r\n\r\n", 599, "", false},
		"a word before that": {"103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200, "{}", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := serveTLS(t, answering("HTTP/1.1 "+tc.answer))
			c := client(t, s.url, nil)
			for range 3 {
				resp, err := c.Do(t.Context(), "POST", "/send", smallBody)
				require.NoError(t, err)
				require.NoError(t, resp.Err)
				require.Equal(t, tc.status, resp.Status)
				require.Equal(t, tc.body, string(resp.Body))
				e := c.Error(resp, mailer.KindUnavailable, "7", "words")
				require.Equal(t, &mailer.Error{
					Provider: "acme", Kind: mailer.KindUnavailable, NotSent: tc.notSent,
					Status: tc.status, Code: "7", Message: "words",
				}, e)
			}
			require.Equal(t, 1, s.accepted(), "the connection is kept")
		})
	}
}

func TestAnAnswerThatIsNotJSONKeepsItsStatus(t *testing.T) {
	s := serveTLS(t, answering("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 14\r\n\r\n<h1>Sorry</h1>"))
	resp, err := client(t, s.url, nil).Do(t.Context(), "POST", "/send", smallBody)
	require.NoError(t, err)
	require.Equal(t, 502, resp.Status)
	var v any
	require.Error(t, resp.JSON(&v))
	require.NoError(t, (&Response{Body: []byte(`{"a":1}`)}).JSON(&v))
	require.Equal(t, map[string]any{"a": 1.0}, v)
}

func TestAnIncompleteAnswerKeepsItsStatus(t *testing.T) {
	bomb := func() string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		z.Write(make([]byte, 60<<20))
		z.Close()
		return b.String()
	}()
	for name, tc := range map[string]struct {
		answer string
		length int
		within time.Duration
		check  func(t *testing.T, err error)
	}{
		"it breaks off": {
			answer: "Content-Length: 10\r\n\r\n{\"id\"", length: 5,
			check: func(t *testing.T, err error) { require.ErrorIs(t, err, io.ErrUnexpectedEOF) },
		},
		"it breaks off between two chunks": {
			answer: "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", length: 2,
			check: func(t *testing.T, err error) { require.ErrorIs(t, err, io.ErrUnexpectedEOF) },
		},
		"it says nothing more until the deadline": {
			answer: "Content-Length: 10\r\n\r\n{\"id\"", length: 5, within: soon,
			check: func(t *testing.T, err error) { require.ErrorIs(t, err, context.DeadlineExceeded) },
		},
		"it is 100 MB long": {
			answer: "Content-Length: 104857600\r\n\r\n" + strings.Repeat("x", 100<<20), length: MaxBody,
			check: func(t *testing.T, err error) { require.ErrorContains(t, err, "longer than 1048576 bytes") },
		},
		"it has no end": {
			answer: "\r\n" + strings.Repeat("x", 100<<20), length: MaxBody,
			check: func(t *testing.T, err error) { require.ErrorContains(t, err, "longer") },
		},
		"it is a gzip bomb": {
			answer: "Content-Encoding: gzip\r\nContent-Length: " + strconv.Itoa(len(bomb)) + "\r\n\r\n" + bomb, length: MaxBody,
			check: func(t *testing.T, err error) { require.ErrorContains(t, err, "longer") },
		},
		"it is damaged gzip": {
			answer: "Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
			check:  func(t *testing.T, err error) { require.Error(t, err) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			var written atomic.Int64
			hungUp := make(chan struct{}, 1)
			s := serveTLS(t, func(_ int, c net.Conn) {
				readRequest(bufio.NewReader(c))
				for a := "HTTP/1.1 200 OK\r\n" + tc.answer; a != ""; {
					n, err := io.WriteString(c, a[:min(len(a), 16<<10)])
					if written.Add(int64(n)); err != nil {
						break
					}
					a = a[n:]
				}
				if tc.within == 0 && tc.length < MaxBody {
					c.Close()
				}
				c.Read(make([]byte, 1))
				hungUp <- struct{}{}
			})
			ctx := t.Context()
			if tc.within > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, tc.within)
				defer cancel()
			}
			c := client(t, s.url, nil)
			resp, err := c.Do(ctx, "POST", "/send", smallBody)
			require.NoError(t, err)
			require.Equal(t, 200, resp.Status)
			require.Len(t, resp.Body, tc.length)
			tc.check(t, resp.Err)
			require.Equal(t, resp.Err, resp.JSON(new(any)))
			e := c.Error(resp, mailer.KindNetwork, "", "")
			require.False(t, e.NotSent)
			require.Equal(t, mailer.KindNetwork, e.Kind)
			require.Equal(t, resp.Err, e.Err)
			<-hungUp // the connection is dropped
			require.Less(t, written.Load(), int64(50<<20), "the rest was not read")
		})
	}
}

func TestAnAnswerBrokenOffByTheCallerIsCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := serveTLS(t, func(_ int, c net.Conn) {
		readRequest(bufio.NewReader(c))
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{")
		c.Read(make([]byte, 1))
	})
	tr := transport(t)
	c := client(t, s.url, roundTripper(func(r *http.Request) (*http.Response, error) {
		resp, err := tr.RoundTrip(r)
		cancel()
		return resp, err
	}))
	resp, err := c.Do(ctx, "POST", "/send", smallBody)
	require.NoError(t, err)
	require.Equal(t, 200, resp.Status)
	require.ErrorIs(t, resp.Err, context.Canceled)
	require.Equal(t, mailer.KindCanceled, c.Error(resp, mailer.KindNetwork, "", "").Kind)
	require.Equal(t, mailer.KindUnavailable, c.Error(resp, mailer.KindUnavailable, "", "").Kind)
}

func TestAnAnswerBeforeTheRequestWasSentIsNotSent(t *testing.T) {
	for _, status := range []int{307, 408, 413, 429, 500, 503} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			s := serveTLS(t, func(_ int, c net.Conn) {
				http.ReadRequest(bufio.NewReader(c))
				fmt.Fprintf(c, "HTTP/1.1 %d Early\r\nContent-Length: 2\r\nRetry-After: 7\r\n\r\n{}", status)
			})
			c := client(t, s.url, nil)
			resp, err := c.Do(t.Context(), "POST", "/send", largeBody)
			require.NoError(t, err)
			require.Equal(t, status, resp.Status)
			require.Equal(t, "{}", string(resp.Body))
			e := c.Error(resp, mailer.KindUnavailable, "", "")
			require.True(t, e.NotSent)
			require.Equal(t, 7*time.Second, e.RetryAfter)
		})
	}
	t.Run("but 503 after a large request was read is unknown", func(t *testing.T) {
		s := serveTLS(t, answering("HTTP/1.1 503 Late\r\nContent-Length: 0\r\n\r\n"))
		c := client(t, s.url, nil)
		resp, err := c.Do(t.Context(), "POST", "/send", largeBody)
		require.NoError(t, err)
		require.False(t, c.Error(resp, mailer.KindUnavailable, "", "").NotSent)
	})
	t.Run("and an early 200 is no refusal", func(t *testing.T) {
		s := serveTLS(t, func(_ int, c net.Conn) {
			http.ReadRequest(bufio.NewReader(c))
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		})
		c := client(t, s.url, nil)
		resp, err := c.Do(t.Context(), "POST", "/send", largeBody)
		require.NoError(t, err)
		require.False(t, c.Error(resp, mailer.KindUnknown, "", "").NotSent)
	})
}

func TestNothingOfAMessageIsReadAfterAnEarlyAnswer(t *testing.T) {
	var body io.ReadCloser
	c := client(t, "https://api.example.com", roundTripper(func(r *http.Request) (*http.Response, error) {
		body = r.Body
		_, err := io.CopyN(io.Discard, body, 10)
		return ok(), err
	}))
	_, err := c.Do(t.Context(), "POST", "/send", largeBody)
	require.NoError(t, err)
	_, err = body.Read(make([]byte, 10))
	require.ErrorIs(t, err, errStopped)
}

func TestARedirectIsNotFollowed(t *testing.T) {
	other := serveTLS(t, func(_ int, c net.Conn) { c.Close() })
	s := serveTLS(t, answering("HTTP/1.1 307 Temporary Redirect\r\nLocation: "+other.url+"/send\r\nContent-Length: 0\r\n\r\n"))
	tr := transport(t)
	hc := &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}
	c, err := New(Config{BaseURL: s.url, HTTPClient: hc, Header: http.Header{"X-Token": {secret}}})
	require.NoError(t, err)
	resp, err := c.Do(t.Context(), "POST", "/send", smallBody)
	require.NoError(t, err)
	require.Equal(t, 307, resp.Status)
	require.Equal(t, other.url+"/send", resp.Header.Get("Location"))
	require.Zero(t, other.accepted())
}

func TestAKeptConnectionThatDiesIsNotARetry(t *testing.T) {
	for name, header := range map[string]http.Header{
		"": nil, "with a key": {"Idempotency-Key": {"1"}}, "with another key": {"X-Idempotency-Key": {"1"}},
	} {
		t.Run(name, func(t *testing.T) {
			// It answers the first request on a connection, reads the second and hangs up.
			var requests atomic.Int64
			s := serveTLS(t, func(_ int, c net.Conn) {
				r := bufio.NewReader(c)
				readRequest(r)
				requests.Add(1)
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				readRequest(r)
				requests.Add(1)
				c.Close()
			})
			c, err := New(Config{BaseURL: s.url, HTTPClient: &http.Client{Transport: transport(t)}, Header: header})
			require.NoError(t, err)
			_, err = c.Do(t.Context(), "POST", "/send", smallBody)
			require.NoError(t, err)
			_, err = c.Do(t.Context(), "POST", "/send", smallBody)
			require.Equal(t, mailer.KindNetwork, mailer.KindOf(err))
			require.False(t, mailer.NotSent(err), "%v", err)
			require.EqualValues(t, 2, requests.Load())
			require.Equal(t, 1, s.accepted())
		})
	}
}
