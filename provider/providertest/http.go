package providertest

import (
	"bufio"
	"bytes"
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
	// needed for a [mailer.BatchSender]. If the service's results name the messages,
	// those of the answer should: the suite puts them in another order.
	AcceptBatch func(n int, r Request) (Answer, []string)
	// Partial is the answer by which the service takes the message for
	// ada@example.com and refuses [RefusedRecipient], and the MessageID. Nil: the
	// service does not do this.
	Partial func(r Request) (Answer, string)
	// None is the answer by which the service refuses both recipients. It is needed
	// beside Partial.
	None Answer
	// Templates is New with these names of templates in the configuration, each
	// with its ID at the service. It is needed for a service with templates.
	Templates func(baseURL string, client *http.Client, names map[string]string) (mailer.Provider, error)
	// Verify is the answer that proves good credentials, and Unauthorized the one
	// to bad ones, whatever they were used for. Both are needed for a
	// [mailer.Verifier].
	Verify, Unauthorized Answer
	// Quota is the answer that tells an account's credits, and what has to come of
	// it. It is needed for a [mailer.QuotaReporter].
	Quota func() (Answer, mailer.Quota)
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

	elsewhere net.Listener // the host that a redirect leads to
	strayed   atomic.Int64 // connections that it saw
	traffic   atomic.Int64
	answered  atomic.Int64
	allocated atomic.Uint64 // by the process, before the answer
	end       chan struct{}

	asked    atomic.Pointer[Answer]              // a good day's to what is no message
	twist    atomic.Pointer[func(Answer) Answer] // what becomes of a good day's answer to a batch
	accepted atomic.Int64                        // connections

	mu       sync.Mutex
	day      string
	batch    bool          // accept by AcceptBatch
	lost     int           // the batch call whose answer is lost, from 1
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

	var err error
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

func (s *httpService) Connections() int64 { return s.accepted.Load() }

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
		l.s.accepted.Add(1)
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
	case s.asked.Load() != nil:
		answer = *s.asked.Load()
	case s.batch:
		s.taken++
		answer, q.messageIDs = s.peer.AcceptBatch(s.taken, q)
		if twist := s.twist.Load(); twist != nil {
			answer = (*twist)(answer)
		}
	default:
		s.taken++
		answer, q.MessageID = s.peer.Accept(s.taken, q)
	}
	s.requests = append(s.requests, q)
	lost := s.batch && s.taken == s.lost
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
	case lost:
		s.raw(w, "")
		return
	}
	if release != nil {
		select {
		case <-release:
		case <-s.end:
		case <-time.After(300 * time.Millisecond): // the provider does not send so many at once
		}
	}
	answer.write(w)
}

// good is a good day's answer to the first request.
func (s *httpService) good(q Request) Answer {
	if a := s.asked.Load(); a != nil {
		return *a
	}
	a, _ := s.peer.Accept(1, q)
	return a
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
			if k == "Authorization" {
				q.Credentials = append(q.Credentials, strings.TrimPrefix(v[strings.LastIndex(v, " ")+1:], "Signature="))
			}
			switch {
			case dull[k]:
				continue
			case slices.ContainsFunc(p.Volatile, func(name string) bool { return strings.EqualFold(name, k) }):
				v = "{varies}"
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
