package smtp_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	gosmtp "github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/smtp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// certificate makes a key pair for localhost and the names, and a pool that trusts
// it.
func certificate(t testing.TB, names ...string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: append(names, "localhost"), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

const user, password = "app@example.com", "p@ss:w%rd/é"

// mail is what the server got.
type mail struct {
	from   string
	to     []string
	data   string
	secure bool
	utf8   bool
}

// server is go-smtp's server, with what a test wants to know and set.
type server struct {
	addr  *net.TCPAddr
	roots *x509.CertPool

	// Set before start.
	implicit   bool
	mechanisms []string // nil: PLAIN
	tweak      func(*gosmtp.Server)
	refuse     map[string]*gosmtp.SMTPError // by recipient, or by "MAIL" or "DATA"

	mu    sync.Mutex
	mails []mail
	conns int
}

func (s *server) start(t testing.TB) *server {
	t.Helper()
	cert, roots := certificate(t)
	s.roots = roots
	srv := gosmtp.NewServer(gosmtp.BackendFunc(func(c *gosmtp.Conn) (gosmtp.Session, error) {
		return &serverSession{server: s, conn: c}, nil
	}))
	srv.Domain = "localhost"
	srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
	srv.ErrorLog = discard{}
	if s.tweak != nil {
		s.tweak(srv)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.addr = l.Addr().(*net.TCPAddr)
	l = &countingListener{l, s}
	if s.implicit {
		l = tls.NewListener(l, srv.TLSConfig)
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = srv.Serve(l) })
	t.Cleanup(func() {
		_ = srv.Close()
		wg.Wait()
	})
	return s
}

// config is a Config for the server; change makes it another.
func (s *server) config(change ...func(*smtp.Config)) smtp.Config {
	c := smtp.Config{
		Host: "localhost", Port: s.addr.Port, Username: user, Password: password,
		TLSConfig: &tls.Config{RootCAs: s.roots}, Dial: dial4, Timeout: 20 * time.Second,
	}
	if s.implicit {
		c.TLS = smtp.Implicit
	}
	for _, f := range change {
		f(&c)
	}
	return c
}

func (s *server) got() []mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mails)
}

func (s *server) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns
}

type countingListener struct {
	net.Listener
	*server
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.mu.Lock()
		l.conns++
		l.mu.Unlock()
	}
	return c, err
}

type discard struct{}

func (discard) Printf(string, ...any) {}
func (discard) Println(...any)        {}

type serverSession struct {
	*server
	conn *gosmtp.Conn
	now  mail
	auth bool
}

func (s *serverSession) AuthMechanisms() []string {
	if s.mechanisms == nil {
		return []string{sasl.Plain}
	}
	return s.mechanisms
}

func (s *serverSession) Auth(mech string) (sasl.Server, error) {
	check := func(u, p string) error {
		if u != user || p != password {
			return &gosmtp.SMTPError{Code: 535, EnhancedCode: gosmtp.EnhancedCode{5, 7, 8}, Message: "bad credentials: " + p}
		}
		s.auth = true
		return nil
	}
	switch mech {
	case sasl.Plain:
		return sasl.NewPlainServer(func(_, u, p string) error { return check(u, p) }), nil
	case sasl.Login:
		return &loginServer{check: check}, nil
	}
	return nil, errors.New("unknown mechanism")
}

type loginServer struct {
	step  int
	user  string
	check func(u, p string) error
}

func (l *loginServer) Next(response []byte) ([]byte, bool, error) {
	l.step++
	switch l.step {
	case 1:
		return []byte("Username:"), false, nil
	case 2:
		l.user = string(response)
		return []byte("Password:"), false, nil
	}
	return nil, true, l.check(l.user, string(response))
}

func (s *serverSession) Reset()        { s.now = mail{} }
func (s *serverSession) Logout() error { return nil }

func (s *serverSession) Mail(from string, o *gosmtp.MailOptions) error {
	if !s.auth && len(s.AuthMechanisms()) > 0 {
		return &gosmtp.SMTPError{Code: 530, EnhancedCode: gosmtp.EnhancedCode{5, 7, 0}, Message: "Authentication required"}
	}
	if err := s.refuse["MAIL"]; err != nil {
		return err
	}
	_, secure := s.conn.TLSConnectionState()
	s.now = mail{from: from, secure: secure, utf8: o.UTF8}
	return nil
}

func (s *serverSession) Rcpt(to string, _ *gosmtp.RcptOptions) error {
	if err := s.refuse[to]; err != nil {
		return err
	}
	s.now.to = append(s.now.to, to)
	return nil
}

func (s *serverSession) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if err := s.refuse["DATA"]; err != nil {
		return err
	}
	s.now.data = string(b)
	s.mu.Lock()
	s.mails = append(s.mails, s.now)
	s.mu.Unlock()
	return nil
}

func newProvider(t testing.TB, c smtp.Config) *smtp.Provider {
	t.Helper()
	p, err := smtp.New(c)
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func message(to ...string) mailer.Message {
	m := mailer.Message{
		ID:      "01HZX5J3A7",
		From:    mailer.Address{Name: "Harbour Books", Address: "orders@books.example"},
		Subject: "Your order", Text: "Hello Ada,\n.\n.. and so on\n", HTML: "<p>Hello Ada</p>",
	}
	for _, a := range to {
		m.To = append(m.To, mailer.Address{Address: a})
	}
	return m
}

// bodyOf is what stands behind the header of a mail.
func bodyOf(data string) string {
	_, body, _ := strings.Cut(data, "\r\n\r\n")
	return body
}
