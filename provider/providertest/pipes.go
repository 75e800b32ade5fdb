package providertest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
)

// pipes is the network of a service in a bubble of testing/synctest: connections in
// memory, and every one of them counted. There no machine is busy: over sockets
// net/http drops a connection that takes 50 ms to tell that it wrote a request.
type pipes struct {
	accepted chan net.Conn
	closed   chan struct{}

	connections atomic.Int64 // dialled
	handshakes  atomic.Int64 // begun

	mu   sync.Mutex
	ends []net.Conn // the provider's
}

// localhost is the certificate of net/http/httptest for 127.0.0.1. It is good for
// the time in a bubble, too.
var localhost = sync.OnceValues(func() ([]tls.Certificate, *x509.CertPool) {
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return s.TLS.Certificates, roots
})

// piped starts a service over TLS on pipes, and makes a provider for it. HTTP/2 has
// so many streams at most, HTTP/1.1 so many connections; one of them is 0.
func (p HTTP) piped(t *testing.T, streams, pool int) (*httpService, *pipes, mailer.Provider) {
	certificates, roots := localhost()
	n := &pipes{accepted: make(chan net.Conn), closed: make(chan struct{})}
	s := &httpService{peer: p, end: make(chan struct{})}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(streams > 0)
	server := &http.Server{
		Handler: s, ErrorLog: log.New(io.Discard, "", 0), Protocols: protocols,
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: streams},
		TLSConfig: &tls.Config{Certificates: certificates, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			n.handshakes.Add(1)
			return nil, nil
		}},
	}
	transport := &http.Transport{
		DialContext: n.dial, TLSClientConfig: &tls.Config{RootCAs: roots},
		ForceAttemptHTTP2: true, MaxConnsPerHost: pool, MaxIdleConnsPerHost: pool,
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.ServeTLS(n, "", "") })
	t.Cleanup(func() {
		close(s.end)
		server.Close()
		wg.Wait()
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, c := range n.ends {
			c.Close()
		}
	})
	provider, err := p.New("https://127.0.0.1", &http.Client{Transport: transport})
	require.NoError(t, err, "New")
	return s, n, provider
}

// tooMany is more connections than any right provider makes. With one that closes each
// connection net/http may dial without end.
const tooMany = 8 * senders

func (n *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	n.mu.Lock()
	n.ends = append(n.ends, near)
	made := len(n.ends)
	n.mu.Unlock()
	if made > tooMany {
		return nil, fmt.Errorf("connection %d", made)
	}
	select {
	case n.accepted <- far:
		n.connections.Add(1)
		return near, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

// Accept, Close and Addr make a net.Listener.
func (n *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-n.accepted:
		return c, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

func (n *pipes) Close() error   { close(n.closed); return nil }
func (n *pipes) Addr() net.Addr { return &net.TCPAddr{} }
