package providertest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"mime"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
)

// HTTP is the [Peer] for services with an HTTP API.
type HTTP struct {
	// New makes a provider that talks to baseURL, which has no slash at its end,
	// through client. The client is an ordinary one: it follows redirects and has
	// no time-out. It must not be changed.
	New func(baseURL string, client *http.Client) (mailer.Provider, error)
	// Accept is the answer by which the service takes the message of request r,
	// and the MessageID that the receipt has to name (empty: the service gives
	// none, so it has to be the message's own ID). n counts the messages, from 1.
	Accept func(n int, r Request) (Answer, string)
	// AcceptBatch is Accept for the calls of SendBatch: the MessageIDs are those of
	// the messages in request r, in their order; n counts the calls, from 1. It is
	// needed for a [mailer.BatchSender].
	AcceptBatch func(n int, r Request) (Answer, []string)
	// Partial is the answer by which the service takes the message for
	// ada@example.com and refuses [RefusedRecipient], and the MessageID. Nil: the
	// service does not do this.
	Partial func(r Request) (Answer, string)
	// Refusals are the answers by which the service does not take a message.
	Refusals []Refusal
	// Volatile names request headers whose value differs from one request to the
	// next, such as that of a signature. The golden file holds only their names.
	Volatile []string

	tls bool // HTTP/2 over TLS instead of HTTP/1.1 in the clear
}

// Refusal is an answer by which a service does not take a message, and the error
// that has to come of it.
type Refusal struct {
	// Name reads like a sentence: "the key is unknown".
	Name       string
	Answer     Answer
	Kind       mailer.Kind
	NotSent    bool
	RetryAfter time.Duration
	Code       string
}

// Answer is an HTTP answer.
type Answer struct {
	Status int
	Header map[string]string
	Body   string
}

// JSON is an answer with a JSON body.
func JSON(status int, body string) Answer {
	return Answer{Status: status, Header: map[string]string{"Content-Type": "application/json"}, Body: body}
}

// with returns the answer with one more header field.
func (a Answer) with(key, value string) Answer {
	h := map[string]string{key: value}
	for k, v := range a.Header {
		h[k] = v
	}
	a.Header = h
	return a
}

func html(status int) Answer {
	return Answer{
		Status: status,
		Header: map[string]string{"Content-Type": "text/html; charset=utf-8"},
		Body:   "<!DOCTYPE html>\n<html><head><title>Proxy</title></head>\n<body>\n<h1>" + http.StatusText(status) + "</h1>\n" + strings.Repeat("<p>An intermediary speaks.</p>\n", 500) + "</body></html>\n",
	}
}

// httpDay is a Day and how the service brings it about, at one of these places.
type httpDay struct {
	Day
	dial   func(s *httpService) (net.Conn, error)                  // instead of connecting
	accept func(c net.Conn)                                        // instead of serving the connection
	begin  func(s *httpService, r *http.Request)                   // before the message is read
	answer func(s *httpService, q *Request) Answer                 // instead of accepting the message
	serve  func(s *httpService, w http.ResponseWriter, q *Request) // instead of answering
	silent bool                                                    // instead of answering
	tls    bool
}

// Sizes of the answers that nobody should read to their end.
const (
	endless     = 100 << 20
	endlessRead = 32 << 20 // more than an honest reader and the sockets' buffers take
)

// Days are the bad days of HTTP and the service's own refusals.
func (p HTTP) Days() []Day {
	var days []Day
	for _, d := range p.days() {
		days = append(days, d.Day)
	}
	return days
}

// on is the peer for that day: some need TLS.
func (p HTTP) on(day string) HTTP {
	for _, d := range p.days() {
		if d.Name == day {
			p.tls = d.tls
		}
	}
	return p
}

func (p HTTP) days() []httpDay {
	network := []mailer.Kind{mailer.KindNetwork}
	unavailable := []mailer.Kind{mailer.KindUnavailable}
	unknown := []mailer.Kind{mailer.KindUnknown}
	limited := []mailer.Kind{mailer.KindRateLimited}
	garbled := []mailer.Kind{mailer.KindUnknown, mailer.KindNetwork}

	days := []httpDay{
		{
			Day:  Day{Name: "connection refused", Kinds: network, NotSent: Yes},
			dial: func(s *httpService) (net.Conn, error) { return net.Dial("tcp", s.nobody) },
		},
		{
			Day: Day{Name: "name not found", Kinds: network, NotSent: Yes},
			dial: func(*httpService) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "relay.example", IsNotFound: true}}
			},
		},
		{
			Day: Day{Name: "TLS fails", Kinds: network, NotSent: Yes},
			tls: true,
			accept: func(c net.Conn) {
				readSome(c)
				io.WriteString(c, "220 this is not TLS\r\n")
				c.Close()
			},
		},
		{
			Day: Day{Name: "TLS breaks off", Kinds: network, NotSent: Yes},
			tls: true,
			accept: func(c net.Conn) {
				readSome(c)
				c.Close()
			},
		},
		{
			Day: Day{Name: "certificate not trusted", Kinds: network, NotSent: Yes},
			tls: true,
		},
		{
			Day:    Day{Name: "closed before a byte was read", Kinds: network, NotSent: Either, Check: checkWritten},
			accept: reset,
		},
		{
			Day: Day{Name: "closed after the first bytes", Kinds: network, NotSent: Either, Check: checkWritten},
			accept: func(c net.Conn) {
				readSome(c)
				reset(c)
			},
		},
		{
			Day:   Day{Name: "closed after the message was read", Kinds: network},
			serve: func(s *httpService, w http.ResponseWriter, _ *Request) { s.raw(w, "") },
		},
		{
			Day:   Day{Name: "a used connection closed after the message was read", Kinds: network, Used: true},
			serve: func(s *httpService, w http.ResponseWriter, _ *Request) { s.raw(w, "") },
		},
		{
			Day: Day{Name: "half an answer", Kinds: network},
			serve: func(s *httpService, w http.ResponseWriter, q *Request) {
				answer, _ := s.peer.Accept(1, *q)
				s.raw(w, answer.half())
			},
		},
		{
			Day: Day{Name: "an answer that is not HTTP", Kinds: network},
			serve: func(s *httpService, w http.ResponseWriter, _ *Request) {
				s.raw(w, "220 smtp.example ready\r\n")
			},
		},
		answers("a web page with status 200", html(200), Day{Kinds: unknown}),
		answers("a web page with status 408", html(408), Day{}),
		answers("a web page with status 502", html(502), Day{Kinds: unavailable}),
		answers("a web page with status 503", html(503), Day{Kinds: unavailable}),
		answers("a web page with status 504", html(504), Day{Kinds: unavailable}),
		answers("status 500 and no body", Answer{Status: 500}, Day{Kinds: unavailable}),
		{
			Day: Day{Name: "a web page that repeats the request", Kinds: unavailable},
			answer: func(_ *httpService, q *Request) Answer {
				a := html(502)
				a.Body = "<pre>" + q.verbatim + "</pre>"
				return a
			},
		},
	}
	days = append(days,
		httpDay{
			Day:   Day{Name: "silence before the message is read", Hangs: true, NotSent: Either, Check: checkWritten},
			begin: func(s *httpService, r *http.Request) { s.wait(r) },
		},
		httpDay{
			Day:   Day{Name: "silence while a large message is written", Hangs: true, Large: true, NotSent: Either, Check: checkWritten},
			begin: func(s *httpService, r *http.Request) { s.wait(r) },
		},
		httpDay{
			Day: Day{Name: "silence in the middle of the answer", Hangs: true},
			serve: func(s *httpService, w http.ResponseWriter, q *Request) {
				a, _ := s.peer.Accept(1, *q)
				c, rw, err := w.(http.Hijacker).Hijack()
				if err != nil {
					panic(err)
				}
				defer c.Close()
				if a.Body == "" {
					rw.WriteString(a.half())
				} else {
					raw := a.raw()
					rw.WriteString(raw[:len(raw)-len(a.Body)/2-1])
				}
				rw.Flush()
				c.Read(make([]byte, 1)) // until the client or the test closes it
			},
		},
	)
	days = append(days,
		httpDay{
			Day:    Day{Name: "silence over HTTP/2", Hangs: true},
			silent: true,
			tls:    true,
		},
		httpDay{
			Day:   Day{Name: "an HTTP/2 stream reset after the message was read", Kinds: network},
			tls:   true,
			serve: func(*httpService, http.ResponseWriter, *Request) { panic(http.ErrAbortHandler) },
		},
		httpDay{
			Day: Day{Name: "an HTTP/2 connection closed after the message was read", Used: true, Kinds: network},
			tls: true,
			serve: func(s *httpService, _ http.ResponseWriter, _ *Request) {
				s.cut()
				panic(http.ErrAbortHandler)
			},
		},
	)
	for _, status := range []int{301, 302, 303, 307, 308} {
		days = append(days, httpDay{
			Day: Day{Name: fmt.Sprintf("a redirect to another host with status %d", status), Check: checkElsewhere},
			answer: func(s *httpService, _ *Request) Answer {
				return Answer{Status: status, Header: map[string]string{"Location": "http://" + s.elsewhere.Addr().String() + "/taken"}}
			},
		})
	}
	days = append(days,
		answers("status 429 with seconds", JSON(429, "{}").with("Retry-After", "7"), Day{Kinds: limited, NotSent: Yes, RetryAfter: 7 * time.Second}),
		httpDay{
			Day: Day{Name: "status 429 with a date", Kinds: limited, NotSent: Yes, Check: checkRetryAfter(30*time.Second, 90*time.Second)},
			answer: func(*httpService, *Request) Answer {
				return JSON(429, "{}").with("Retry-After", time.Now().Add(90*time.Second).UTC().Format(http.TimeFormat))
			},
		},
		answers("status 429 with a date long ago", JSON(429, "{}").with("Retry-After", "Thu, 01 Jan 1970 00:00:10 GMT"), Day{Kinds: limited, NotSent: Yes, Check: checkRetryAfter(0, 0)}),
		answers("status 429 with negative seconds", JSON(429, "{}").with("Retry-After", "-5"), Day{Kinds: limited, NotSent: Yes, Check: checkRetryAfter(0, 0)}),
		answers("status 429 with centuries", JSON(429, "{}").with("Retry-After", "10000000000"), Day{Kinds: limited, NotSent: Yes, Check: checkHuge}),
		answers("status 429 with more digits than a number has", JSON(429, "{}").with("Retry-After", strings.Repeat("9", 40)), Day{Kinds: limited, NotSent: Yes, Check: checkHuge}),
		answers("status 429 with words", JSON(429, "{}").with("Retry-After", "soon"), Day{Kinds: limited, NotSent: Yes, Check: checkRetryAfter(0, 0)}),
		httpDay{
			Day: Day{Name: "an answer of 100 MB", Kinds: garbled, Check: func(t testing.TB, s Service, _ mailer.Receipt, _ error) {
				if n := s.(*httpService).answered.Load(); n > endlessRead {
					t.Errorf("%d bytes of the answer were read", n)
				}
			}},
			serve: func(s *httpService, w http.ResponseWriter, _ *Request) {
				w.Header().Set("Content-Type", "application/json")
				chunk := bytes.Repeat([]byte(" "), 64<<10)
				for n := 0; n < endless; n += len(chunk) {
					if _, err := w.Write(chunk); err != nil {
						return
					}
					s.answered.Add(int64(len(chunk)))
				}
			},
		},
		httpDay{
			Day: Day{Name: "an answer of 100 MB in a small gzip", Kinds: garbled, Check: func(t testing.TB, s Service, _ mailer.Receipt, _ error) {
				var now runtime.MemStats
				runtime.ReadMemStats(&now)
				if n := now.TotalAlloc - s.(*httpService).allocated.Load(); n > endless/2 {
					t.Errorf("%d bytes were allocated", n)
				}
			}},
			serve: func(s *httpService, w http.ResponseWriter, _ *Request) {
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("Content-Encoding", "gzip")
				bomb := gzipBomb()
				var now runtime.MemStats
				runtime.ReadMemStats(&now)
				s.allocated.Store(now.TotalAlloc)
				w.Write(bomb)
			},
		},
	)
	days = append(days, hollow()...)
	for _, r := range p.Refusals {
		d := Day{Kinds: []mailer.Kind{r.Kind}, RetryAfter: r.RetryAfter, Code: r.Code}
		if r.NotSent {
			d.NotSent = Yes
		}
		days = append(days, answers("refusal: "+r.Name, r.Answer, d))
	}
	if p.Partial != nil {
		days = append(days, httpDay{
			Day: Day{Name: "one of two recipients is refused", Taken: true, Rejected: []string{RefusedRecipient}},
			answer: func(s *httpService, q *Request) (a Answer) {
				a, q.MessageID = s.peer.Partial(*q)
				return a
			},
		})
	}
	return days
}

// hollow are the answers that have the status of success and not its body. Of a
// service whose success has no body they are half an answer.
func hollow() []httpDay {
	garbled := []mailer.Kind{mailer.KindUnknown, mailer.KindNetwork}
	instead := func(name string, kinds []mailer.Kind, answer func(s *httpService, w http.ResponseWriter, a Answer)) httpDay {
		return httpDay{
			Day: Day{Name: name, Kinds: kinds},
			serve: func(s *httpService, w http.ResponseWriter, q *Request) {
				a, _ := s.peer.Accept(1, *q)
				if a.Body == "" {
					s.raw(w, a.half())
					return
				}
				answer(s, w, a)
			},
		}
	}
	days := []httpDay{
		instead("the answer of success, broken off in its body", []mailer.Kind{mailer.KindNetwork}, func(s *httpService, w http.ResponseWriter, a Answer) {
			raw := a.raw()
			s.raw(w, raw[:len(raw)-len(a.Body)/2-1])
		}),
		instead("the answer of success with half of its body", garbled, func(_ *httpService, w http.ResponseWriter, a Answer) {
			JSON(a.Status, a.Body[:len(a.Body)/2]).write(w)
		}),
	}
	for _, body := range []string{"", "{}", "[]", "null", `"OK"`, "[{}]", "\x00"} {
		days = append(days, instead(fmt.Sprintf("the status of success with the body %q", body), garbled, func(_ *httpService, w http.ResponseWriter, a Answer) {
			JSON(a.Status, body).write(w)
		}))
	}
	return days
}

// answers is a day on which everything gets the same answer.
func answers(name string, a Answer, d Day) httpDay {
	d.Name = name
	return httpDay{Day: d, answer: func(*httpService, *Request) Answer { return a }}
}

func checkRetryAfter(from, to time.Duration) func(testing.TB, Service, mailer.Receipt, error) {
	return func(t testing.TB, _ Service, _ mailer.Receipt, err error) {
		e, _ := errors.AsType[*mailer.Error](err)
		if e != nil && (e.RetryAfter < from || e.RetryAfter > to) {
			t.Errorf("RetryAfter is %v, not from %v to %v", e.RetryAfter, from, to)
		}
	}
}

// checkHuge accepts "did not say" or a long time, not a number that wrapped.
func checkHuge(t testing.TB, _ Service, _ mailer.Receipt, err error) {
	e, _ := errors.AsType[*mailer.Error](err)
	if e != nil && e.RetryAfter != 0 && e.RetryAfter < time.Hour {
		t.Errorf("RetryAfter is %v", e.RetryAfter)
	}
}

// checkElsewhere fails if anybody followed the redirect.
func checkElsewhere(t testing.TB, s Service, _ mailer.Receipt, _ error) {
	if n := s.(*httpService).strayed.Load(); n != 0 {
		t.Errorf("the redirect was followed: the other host saw %d connections", n)
	}
}

// checkWritten fails if NotSent is claimed although the whole request went out.
func checkWritten(t testing.TB, s Service, _ mailer.Receipt, err error) {
	if mailer.NotSent(err) && s.(*httpService).wrote() {
		t.Errorf("NotSent is claimed, but the whole request was written: %v", err)
	}
}

// readSome waits for the first bytes.
func readSome(c net.Conn) {
	c.SetReadDeadline(time.Now().Add(guard))
	c.Read(make([]byte, 64))
}

// reset closes the connection with a reset.
func reset(c net.Conn) {
	if c, ok := c.(*countedConn); ok {
		if tcp, ok := c.Conn.(*net.TCPConn); ok {
			tcp.SetLinger(0)
		}
	}
	c.Close()
}

// gzipBomb is 100 MB of blanks, packed.
var gzipBomb = sync.OnceValue(func() []byte {
	var one bytes.Buffer
	z, _ := gzip.NewWriterLevel(&one, gzip.BestSpeed)
	z.Write(bytes.Repeat([]byte(" "), 4<<20))
	z.Close()
	return bytes.Repeat(one.Bytes(), endless/(4<<20)) // gzip members follow one another
})

// raw renders the answer as it stands on the wire.
func (a Answer) raw() string {
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", a.Status, http.StatusText(a.Status))
	for k, v := range a.Header {
		fmt.Fprintf(&b, "%s: %s\r\n", k, v)
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(a.Body), a.Body)
	return b.String()
}

// write gives the answer in the ordinary way.
func (a Answer) write(w http.ResponseWriter) {
	for k, v := range a.Header {
		w.Header().Set(k, v)
	}
	w.WriteHeader(a.Status)
	io.WriteString(w, a.Body)
}

// half is the beginning of the answer, up to the middle of its header.
func (a Answer) half() string {
	raw := a.raw()
	return raw[:strings.Index(raw, "\r\n\r\n")-2]
}

// httpService is the Service of HTTP.
type httpService struct {
	peer   HTTP
	days   map[string]httpDay
	server *httptest.Server
	client *http.Client

	nobody    string       // an address where nothing listens
	elsewhere net.Listener // the host that a redirect leads to
	strayed   atomic.Int64 // connections that it saw
	traffic   atomic.Int64
	answered  atomic.Int64
	allocated atomic.Uint64 // by the process, before the answer
	end       chan struct{}

	mu       sync.Mutex
	day      string
	batch    bool          // accept by AcceptBatch
	together int           // answer only when so many messages wait
	waiting  int           // for the others
	released chan struct{} // closed when they have come
	requests []Request
	taken    int
	conns    []net.Conn
	written  []*bytes.Buffer // what the client wrote, by connection
}

// Start starts a service on loopback.
func (p HTTP) Start(t testing.TB) Service {
	s := &httpService{peer: p, days: map[string]httpDay{}, end: make(chan struct{})}
	for _, d := range p.days() {
		s.days[d.Name] = d
	}

	unused, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.nobody = unused.Addr().String()
	unused.Close()

	s.elsewhere, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := s.elsewhere.Accept()
			if err != nil {
				return
			}
			s.strayed.Add(1)
			io.WriteString(c, JSON(200, "{}").raw())
			c.Close()
		}
	})

	s.server = httptest.NewUnstartedServer(s)
	s.server.Listener = &countedListener{Listener: s.server.Listener, s: s}
	s.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	transport := &http.Transport{DialContext: s.dial, MaxIdleConnsPerHost: 128}
	if p.tls {
		s.server.EnableHTTP2 = true
		s.server.TLS = &tls.Config{GetConfigForClient: s.tlsConfig}
		s.server.StartTLS()
		roots := x509.NewCertPool()
		roots.AddCert(s.server.Certificate())
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
		transport.ForceAttemptHTTP2 = true
	} else {
		s.server.Start()
	}
	s.client = &http.Client{Transport: transport}

	t.Cleanup(func() {
		close(s.end)
		transport.CloseIdleConnections()
		s.server.CloseClientConnections()
		s.server.Close()
		s.elsewhere.Close()
		wg.Wait()
		if s.client.CheckRedirect != nil || s.client.Timeout != 0 || s.client.Jar != nil || s.client.Transport != transport {
			t.Errorf("the caller's http.Client was changed")
		}
	})
	return s
}

func (s *httpService) New() (mailer.Provider, error) { return s.peer.New(s.server.URL, s.client) }

func (s *httpService) Behave(day string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.day = day
	s.written = nil
}

// holdUntil makes the service answer only when n messages were read and wait for
// their answers, or when no more come.
func (s *httpService) holdUntil(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.together, s.waiting, s.released = n, 0, make(chan struct{})
}

// acceptBatches makes the service answer by AcceptBatch. It reports whether it can.
func (s *httpService) acceptBatches() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batch = s.peer.AcceptBatch != nil
	return s.batch
}

func (s *httpService) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

func (s *httpService) Traffic() int64 { return s.traffic.Load() }

func (s *httpService) today() httpDay {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.days[s.day]
}

// wrote reports whether the client wrote a whole request on some connection.
func (s *httpService) wrote() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.written {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b.Bytes())))
		if err != nil {
			continue
		}
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			return true
		}
	}
	return false
}

func (s *httpService) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if d := s.today().dial; d != nil {
		return d(s)
	}
	if address != s.server.Listener.Addr().String() {
		// A redirect that is followed goes on to where it leads.
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if tcp, ok := c.(*net.TCPConn); ok && s.today().Large {
		tcp.SetWriteBuffer(64 << 10) // or the system takes the whole message
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &bytes.Buffer{}
	s.written = append(s.written, b)
	return &recordedConn{Conn: c, s: s, b: b}, nil
}

// recordedConn keeps what the client wrote.
type recordedConn struct {
	net.Conn
	s *httpService
	b *bytes.Buffer
}

func (c *recordedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.b.Len() < 1<<20 {
		c.b.Write(p[:n])
	}
	return n, err
}

// countedListener counts connections and bytes, and treats connections as the
// day demands.
type countedListener struct {
	net.Listener
	s *httpService
}

func (l *countedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		l.s.traffic.Add(1)
		if tcp, ok := c.(*net.TCPConn); ok && l.s.today().Large {
			tcp.SetReadBuffer(64 << 10)
		}
		c = &countedConn{Conn: c, s: l.s}
		l.s.mu.Lock()
		l.s.conns = append(l.s.conns, c)
		l.s.mu.Unlock()
		accept := l.s.today().accept
		if accept == nil {
			return c, nil
		}
		accept(c)
	}
}

type countedConn struct {
	net.Conn
	s *httpService
}

func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.s.traffic.Add(int64(n))
	return n, err
}

// tlsConfig gives a certificate that nobody trusts on the day for it.
func (s *httpService) tlsConfig(*tls.ClientHelloInfo) (*tls.Config, error) {
	if s.today().Name != "certificate not trusted" {
		return nil, nil
	}
	return &tls.Config{Certificates: []tls.Certificate{stranger()}, NextProtos: []string{"h2", "http/1.1"}}, nil
}

// stranger is a certificate signed by itself.
var stranger = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

func (s *httpService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if begin := s.today().begin; begin != nil {
		begin(s, r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // not a whole message
	}
	q := s.peer.request(r, body)
	s.mu.Lock()
	day := s.days[s.day]
	silent := s.day == Silence || day.silent
	var answer Answer
	switch {
	case silent || day.serve != nil:
	case day.answer != nil:
		answer = day.answer(s, &q)
	case s.batch:
		s.taken++
		answer, q.messageIDs = s.peer.AcceptBatch(s.taken, q)
	default:
		s.taken++
		answer, q.MessageID = s.peer.Accept(s.taken, q)
	}
	s.requests = append(s.requests, q)
	release := s.released
	if s.waiting++; release != nil && s.waiting == s.together {
		close(release)
	}
	s.mu.Unlock()

	switch {
	case silent:
		s.wait(r)
	case day.serve != nil:
		day.serve(s, w, &q)
		return
	}
	if release != nil {
		select {
		case <-release:
		case <-s.end:
		case <-time.After(2 * time.Second): // the provider sends one after the other
		}
	}
	answer.write(w)
}

// wait waits until the test or the connection ends.
func (s *httpService) wait(r *http.Request) {
	select {
	case <-s.end:
	case <-r.Context().Done():
	}
	panic(http.ErrAbortHandler)
}

// cut closes all connections.
func (s *httpService) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.Close()
	}
}

// raw answers with these bytes and closes the connection.
func (s *httpService) raw(w http.ResponseWriter, answer string) {
	c, rw, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	rw.WriteString(answer)
	rw.Flush()
	c.Close()
}

// Headers that belong to the transport, or tell of the machine.
var dull = map[string]bool{"User-Agent": true, "Accept-Encoding": true, "Content-Length": true, "Connection": true}

// request renders an HTTP request.
func (p HTTP) request(r *http.Request, body []byte) Request {
	var text, verbatim strings.Builder
	q := Request{}
	fmt.Fprintf(&text, "%s %s\n", r.Method, r.URL.RequestURI())
	keys := make([]string, 0, len(r.Header))
	for k := range r.Header {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		for _, v := range r.Header[k] {
			fmt.Fprintf(&verbatim, "%s: %s\n", k, v)
			switch {
			case dull[k]:
				continue
			case slices.ContainsFunc(p.Volatile, func(name string) bool { return strings.EqualFold(name, k) }):
				v = "{varies}"
			case k == "Authorization":
				q.Credentials = append(q.Credentials, v[strings.LastIndex(v, " ")+1:])
			}
			fmt.Fprintf(&text, "%s: %s\n", k, v)
		}
	}
	if len(r.TransferEncoding) > 0 {
		fmt.Fprintf(&text, "Transfer-Encoding: %s\n", strings.Join(r.TransferEncoding, ", "))
	}
	verbatim.Write(body)
	q.verbatim = verbatim.String()
	text.WriteString("\n")

	kind, params, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	var v any
	switch {
	case unmarshal(body, &v) == nil:
		q.Said = said(nil, "", v)
		text.Write(indented(v))
	case kind == "application/x-www-form-urlencoded":
		form, _ := url.ParseQuery(string(body))
		q.Said = saidForm(nil, form)
		text.WriteString(strings.ReplaceAll(form.Encode(), "&", "\n&") + "\n")
	case kind == "multipart/form-data":
		q.Said = saidParts(nil, body, params["boundary"])
		text.WriteString(strings.ReplaceAll(strings.ReplaceAll(string(body), params["boundary"], "{boundary}"), "\r\n", "\n"))
	default:
		q.Said = []Said{{Where: "body", What: string(body)}}
		text.Write(body)
	}
	q.Text = text.String()
	return q
}

// unmarshal decodes one JSON value, numbers as they stand.
func unmarshal(data []byte, v *any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("more than one value")
	}
	return nil
}

// indented renders a JSON value with sorted keys.
func indented(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	e.Encode(v)
	return b.Bytes()
}
