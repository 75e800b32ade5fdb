package providertest_test

import (
	"bufio"
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
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/envelope"
	"github.com/seed355143d4/mailer/provider/providertest"
)

// line is an adapter for a protocol that is not HTTP: a message is a line of JSON
// over TLS, and the answer is a line. It proves that a Peer can be written for
// such a one.
type line struct {
	address string
	roots   *x509.CertPool
	token   secret
}

// nowhere is a resolver that asks nobody.
var nowhere = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
	return nil, errors.New("no name server")
}}

func (p *line) Name() string { return "line" }

func (p *line) fail(kind mailer.Kind, notSent bool, field string, err error) error {
	return &mailer.Error{Provider: "line", Kind: kind, NotSent: notSent, Field: field, Err: err}
}

func (p *line) Check(m mailer.Message) error {
	_, err := p.translate(m)
	return err
}

func (p *line) translate(m mailer.Message) (toyMail, error) {
	m, err := envelope.Prepare(m, true)
	if err != nil {
		return toyMail{}, err
	}
	switch {
	case len(m.Attachments) > 0:
		return toyMail{}, p.fail(mailer.KindUnsupported, true, "Attachments", nil)
	case m.Template.ID != "":
		return toyMail{}, p.fail(mailer.KindUnsupported, true, "Template", nil)
	case len(m.Headers) > 0:
		return toyMail{}, p.fail(mailer.KindUnsupported, true, "Headers", nil)
	case m.Unsubscribe != mailer.Unsubscribe{}:
		return toyMail{}, p.fail(mailer.KindUnsupported, true, "Unsubscribe", nil)
	case !m.SendAt.IsZero():
		return toyMail{}, p.fail(mailer.KindUnsupported, true, "SendAt", nil)
	}
	boxes := (&toy{}).boxes
	return toyMail{
		ID: m.ID, From: toyBox{m.From.Address, m.From.Name}, To: boxes(m.To), Cc: boxes(m.Cc), Bcc: boxes(m.Bcc), ReplyTo: boxes(m.ReplyTo),
		Subject: m.Subject, Text: m.Text, HTML: m.HTML,
	}, nil
}

func (p *line) Send(ctx context.Context, m mailer.Message) (mailer.Receipt, error) {
	q, err := p.translate(m)
	if err != nil {
		return mailer.Receipt{}, err
	}
	var dropped []string
	for i := range m.Tags {
		dropped = append(dropped, fmt.Sprintf("Tags[%d]", i))
	}
	for k := range m.Metadata {
		dropped = append(dropped, fmt.Sprintf("Metadata[%q]", k))
	}
	if m.Track.Opens != mailer.Default {
		dropped = append(dropped, "Track.Opens")
	}
	if m.Track.Clicks != mailer.Default {
		dropped = append(dropped, "Track.Clicks")
	}
	sent := false
	broken := func(err error) error {
		if cause := ctx.Err(); cause != nil {
			err = cause
		}
		kind := mailer.KindNetwork
		if errors.Is(err, context.Canceled) {
			kind = mailer.KindCanceled
		}
		return p.fail(kind, !sent, "", err)
	}
	c, err := (&tls.Dialer{NetDialer: &net.Dialer{Resolver: nowhere}, Config: &tls.Config{RootCAs: p.roots}}).DialContext(ctx, "tcp", p.address)
	if err != nil {
		return mailer.Receipt{}, broken(err)
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	body, err := json.Marshal(q)
	if err != nil {
		return mailer.Receipt{}, broken(err)
	}
	sent = true
	if _, err := fmt.Fprintf(c, "%s\n%s\n", p.token.value(), body); err != nil {
		return mailer.Receipt{}, broken(err)
	}
	answer, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return mailer.Receipt{}, broken(err)
	}
	var id string
	if _, err := fmt.Sscanf(answer, "taken %s", &id); err != nil {
		return mailer.Receipt{}, p.fail(mailer.KindRejected, true, "", nil)
	}
	return mailer.Receipt{ID: q.ID, Provider: "line", MessageID: id, Dropped: dropped}, nil
}

// linePeer is the Peer of line.
type linePeer struct{ token string }

func (linePeer) Days() []providertest.Day {
	network := []mailer.Kind{mailer.KindNetwork}
	return []providertest.Day{
		{Name: "connection refused", Kinds: network, NotSent: providertest.Yes},
		{Name: "name not found", Kinds: network, NotSent: providertest.Yes},
		{Name: "TLS fails", Kinds: network, NotSent: providertest.Yes},
		{Name: "closed before a byte was read", Kinds: network, NotSent: providertest.Either},
		{Name: "closed after the message was read", Kinds: network},
		{Name: "half an answer", Kinds: network},
		{Name: "a refusal", Kinds: []mailer.Kind{mailer.KindRejected}, NotSent: providertest.Yes},
	}
}

type lineService struct {
	peer     linePeer
	listener net.Listener
	cert     tls.Certificate
	roots    *x509.CertPool
	p        *line
	wg       sync.WaitGroup

	mu       sync.Mutex
	day      string
	requests []providertest.Request
	traffic  int64
	conns    []net.Conn
}

var lineCertificate = sync.OnceValue(func() tls.Certificate {
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
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
})

func (p linePeer) Start(t testing.TB) providertest.Service {
	certificate := lineCertificate()
	s := &lineService{peer: p, cert: certificate, roots: x509.NewCertPool()}
	s.roots.AddCert(certificate.Leaf)
	var err error
	s.listener, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.wg.Go(func() {
		for {
			c, err := s.listener.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.traffic++
			s.conns = append(s.conns, c)
			day := s.day
			s.mu.Unlock()
			s.wg.Go(func() { s.serve(c, day) })
		}
	})
	t.Cleanup(func() {
		s.listener.Close()
		s.mu.Lock()
		for _, c := range s.conns {
			c.Close()
		}
		s.mu.Unlock()
		s.wg.Wait()
	})
	return s
}

func (s *lineService) serve(plain net.Conn, day string) {
	defer plain.Close()
	switch day {
	case "TLS fails":
		io.WriteString(plain, "this is not TLS\n")
		return
	case "closed before a byte was read":
		return
	}
	c := tls.Server(plain, &tls.Config{Certificates: []tls.Certificate{s.cert}})
	r := bufio.NewReader(c)
	token, _ := r.ReadString('\n')
	body, err := r.ReadString('\n')
	if err != nil {
		return
	}
	q := providertest.Request{Text: token + body}
	var v toyMail
	if json.Unmarshal([]byte(body), &v) == nil {
		for _, what := range []string{v.ID, v.Subject, v.Text, v.HTML} {
			q.Said = append(q.Said, providertest.Said{Where: "text", What: what})
		}
		for where, boxes := range map[string][]toyBox{"from": {v.From}, "to": v.To, "cc": v.Cc, "bcc": v.Bcc, "reply": v.ReplyTo} {
			for _, b := range boxes {
				q.Said = append(q.Said, providertest.Said{Where: where, What: b.Email}, providertest.Said{Where: where + " name", What: b.Name})
			}
		}
	}
	s.mu.Lock()
	s.traffic += int64(len(token) + len(body))
	q.MessageID = fmt.Sprintf("line-%d", len(s.requests)+1)
	s.requests = append(s.requests, q)
	s.mu.Unlock()
	switch day {
	case "closed after the message was read":
	case "half an answer":
		io.WriteString(c, "taken lin")
	case "a refusal":
		io.WriteString(c, "no\n")
	case providertest.Silence:
		io.Copy(io.Discard, r) // until the client or the test closes it
	default:
		fmt.Fprintf(c, "taken %s\n", q.MessageID)
	}
}

func (s *lineService) New() (mailer.Provider, error) {
	token := s.peer.token
	s.p = &line{address: s.listener.Addr().String(), roots: s.roots, token: secret{func() string { return token }}}
	return s.p, nil
}

func (s *lineService) Behave(day string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.day = day
	s.p.address = s.listener.Addr().String()
	switch day {
	case "connection refused":
		s.p.address = "127.0.0.1:1"
	case "name not found":
		s.p.address = "relay.invalid.:25"
	}
}

func (s *lineService) Requests() []providertest.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]providertest.Request(nil), s.requests...)
}

func (s *lineService) Traffic() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.traffic
}

func TestPeerOfAnotherProtocol(t *testing.T) {
	const token = "line-token-0123456789"
	unsupported := map[string]mailer.Kind{}
	for _, name := range []string{
		"attachment", "inline image", "attachment with an international name", "headers", "headers of an answer",
		"one-click unsubscribe", "template", "template with nested data", "scheduled",
	} {
		unsupported[name] = mailer.KindUnsupported
	}
	providertest.Run(t, providertest.Spec{
		Name:        "line",
		Secrets:     []string{token},
		Config:      struct{ Token secret }{secret{func() string { return token }}},
		Peer:        linePeer{token},
		Unsupported: unsupported,
		Dropped: map[string][]string{
			"one tag": {"Tags[0]"}, "two tags": {"Tags[0]", "Tags[1]"}, "metadata": {`Metadata["plan"]`, `Metadata["user_id"]`},
			"tracking on": {"Track.Opens", "Track.Clicks"}, "tracking off": {"Track.Opens", "Track.Clicks"},
		},
		Golden: "testdata/line/request",
	})
}
