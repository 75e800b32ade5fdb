package httpapi

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// certificate is that of net/http/httptest, good for 127.0.0.1.
var certificate, roots = func() ([]tls.Certificate, *x509.CertPool) {
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return s.TLS.Certificates, pool
}()

// raw is a server that speaks no more HTTP than its test says.
type raw struct {
	url string

	mu    sync.Mutex
	conns []net.Conn
	wg    sync.WaitGroup
	ln    net.Listener
}

// serve hands every connection to handle, which gets them numbered from 0 and
// may leave them open.
func serve(t *testing.T, cfg *tls.Config, handle func(n int, c net.Conn)) *raw {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &raw{url: "http://" + ln.Addr().String(), ln: ln}
	if cfg != nil {
		s.url = "https://" + ln.Addr().String()
		ln = tls.NewListener(ln, cfg)
	}
	s.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			n := len(s.conns)
			s.conns = append(s.conns, c)
			s.mu.Unlock()
			s.wg.Go(func() { handle(n, c) })
		}
	})
	t.Cleanup(s.close)
	return s
}

func serveTLS(t *testing.T, handle func(n int, c net.Conn)) *raw {
	return serve(t, &tls.Config{Certificates: certificate}, handle)
}

func (s *raw) close() {
	s.ln.Close()
	s.mu.Lock()
	for _, c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *raw) accepted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// readRequest reads a whole request.
func readRequest(r *bufio.Reader) (*http.Request, []byte, error) {
	req, err := http.ReadRequest(r)
	if err != nil {
		return nil, nil, err
	}
	body, err := io.ReadAll(req.Body)
	return req, body, err
}

// answering reads requests to their end and writes the answer after each, until
// the client hangs up.
func answering(answer string) func(int, net.Conn) {
	return func(_ int, c net.Conn) {
		r := bufio.NewReader(c)
		for {
			if _, _, err := readRequest(r); err != nil {
				c.Close()
				return
			}
			io.WriteString(c, answer)
		}
	}
}

// transport is the shared one, but that it trusts the test's servers.
func transport(t *testing.T) *http.Transport {
	tr := shared.Clone()
	tr.TLSClientConfig.RootCAs = roots
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

func client(t *testing.T, url string, rt http.RoundTripper) *Client {
	if rt == nil {
		rt = transport(t)
	}
	c, err := New(Config{
		Provider:   "acme",
		BaseURL:    url,
		HTTPClient: &http.Client{Transport: rt},
		Header:     http.Header{"X-Token": {secret}, "Authorization": {"Basic YWRhOmRlZXAtc2VjcmV0"}},
		Secrets:    []string{secret},
	})
	require.NoError(t, err)
	return c
}

const secret = `deep/secret+"42"`
