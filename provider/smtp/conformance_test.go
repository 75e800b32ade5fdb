package smtp_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/providertest"
	"github.com/seed355143d4/mailer/provider/smtp"
)

const conformancePassword = "correct-horse-battery-staple"

func TestConformance(t *testing.T) {
	providertest.Run(t, providertest.Spec{
		Name:    "smtp",
		Secrets: []string{conformancePassword},
		Config:  smtp.Config{Host: "mail.example.com", Username: "shop", Password: conformancePassword},
		Peer:    peers{},
		Unsupported: map[string]mailer.Kind{
			"template":                  mailer.KindUnsupported,
			"template with nested data": mailer.KindUnsupported,
			"scheduled":                 mailer.KindUnsupported,
		},
		Dropped: map[string][]string{
			"one tag":      {"Tags[0]"},
			"two tags":     {"Tags[0]", "Tags[1]"},
			"metadata":     {`Metadata["plan"]`, `Metadata["user_id"]`},
			"tracking on":  {"Track.Opens", "Track.Clicks"},
			"tracking off": {"Track.Opens", "Track.Clicks"},
		},
	})
}

// day is a bad day of an SMTP server: what it answers to a command, by its verb,
// or to the whole line; "." is the mail. The words "close", "reset", "silence" and
// "half" are what it does instead.
type day struct {
	providertest.Day
	answers map[string]string
}

func days() []day {
	network := []mailer.Kind{mailer.KindNetwork}
	plain := func(name string, claim providertest.Claim, answers map[string]string) day {
		return day{providertest.Day{Name: name, Kinds: network, NotSent: claim}, answers}
	}
	hangs := func(name string, claim providertest.Claim, answers map[string]string) day {
		return day{providertest.Day{Name: name, Hangs: true, NotSent: claim}, answers}
	}
	refuses := func(verb, answer, code string, kind mailer.Kind) day {
		return day{providertest.Day{
			Name: "refusal: " + answer, Kinds: []mailer.Kind{kind}, NotSent: providertest.Yes, Code: code,
		}, map[string]string{verb: answer}}
	}
	asks := func(d day) day { // before a mail is on its way, so that Verify meets it, too
		d.Asks = true
		return d
	}
	const yes, no = providertest.Yes, providertest.No
	return []day{
		asks(plain("connection refused", yes, nil)),
		asks(plain("name not found", yes, nil)),
		asks(plain("TLS fails", yes, map[string]string{"handshake": "220 this is not TLS"})),
		asks(plain("TLS breaks off", yes, map[string]string{"handshake": "close"})),
		asks(plain("closed before a byte was read", yes, map[string]string{"greeting": "reset"})),
		plain("closed at the envelope", yes, map[string]string{"RCPT": "close"}),
		plain("closed after the message was read", no, map[string]string{".": "close"}),
		plain("reset after the message was read", no, map[string]string{".": "reset"}),
		plain("half an answer", no, map[string]string{".": "half"}),
		plain("an answer that is not SMTP", no, map[string]string{".": "HTTP/1.1 200 OK"}),
		{
			providertest.Day{Name: "a used connection closed at the envelope", Used: true, Kinds: network, NotSent: yes},
			map[string]string{"MAIL": "close"},
		},
		{
			providertest.Day{Name: "a used connection closed after the message was read", Used: true, Kinds: network},
			map[string]string{".": "close"},
		},
		{
			providertest.Day{Name: "one of two recipients is refused", Taken: true, Rejected: []string{providertest.RefusedRecipient}},
			map[string]string{"RCPT TO:<" + providertest.RefusedRecipient + ">": "550 5.1.1 no such user"},
		},
		{
			providertest.Day{Name: "the connection is reset after the answer", Taken: true},
			map[string]string{".": "250 2.0.0 OK\r\nreset"},
		},
		asks(hangs("silence at the greeting", yes, map[string]string{"greeting": "silence"})),
		asks(hangs("silence at the handshake", yes, map[string]string{"handshake": "silence"})),
		asks(hangs("silence at AUTH", yes, map[string]string{"AUTH": "silence"})),
		hangs("silence at MAIL", yes, map[string]string{"MAIL": "silence"}),
		hangs("silence at DATA", yes, map[string]string{"DATA": "silence"}),
		hangs(providertest.Silence, no, map[string]string{".": "silence"}),
		asks(refuses("greeting", "421 4.4.5 too many connections", "4.4.5", mailer.KindRateLimited)),
		asks(refuses("AUTH", "535 5.7.8 bad credentials", "5.7.8", mailer.KindUnauthorized)),
		asks(refuses("AUTH", "451 Authentication failed: Maximum credits exceeded", "", mailer.KindQuota)),
		refuses("MAIL", "454 Throttling failure: Daily message quota exceeded", "", mailer.KindQuota),
		refuses("MAIL", "550 5.7.1 sender is not yours", "5.7.1", mailer.KindSender),
		refuses("RCPT", "550 5.1.1 nobody of that name", "5.1.1", mailer.KindRecipient),
		refuses("DATA", "451 4.3.0 try later", "4.3.0", mailer.KindUnavailable),
		refuses(".", "554 5.7.1 looks like spam", "5.7.1", mailer.KindContent),
		refuses(".", "552 5.3.4 too much", "5.3.4", mailer.KindTooLarge),
		refuses(".", "421 4.3.2 shutting down", "4.3.2", mailer.KindUnavailable),
	}
}

// peers makes SMTP servers with STARTTLS and AUTH.
type peers struct{}

func (peers) Days() []providertest.Day {
	var all []providertest.Day
	for _, d := range days() {
		if d.Name != providertest.Silence {
			all = append(all, d.Day)
		}
	}
	return all
}

func (peers) Start(t testing.TB) providertest.Service {
	cert, roots := certificate(t)
	s := &service{t: t, cert: cert, roots: roots, days: map[string]day{}}
	for _, d := range days() {
		s.days[d.Name] = d
	}
	s.script = play(t, s.serve)
	return s
}

type service struct {
	t           testing.TB
	cert        tls.Certificate
	roots       *x509.CertPool
	days        map[string]day
	script      *script
	traffic     atomic.Int64
	connections atomic.Int64

	mu       sync.Mutex
	today    string
	requests []providertest.Request
}

func (s *service) New() (mailer.Provider, error) {
	p, err := smtp.New(smtp.Config{
		Host: "localhost", Username: "shop", Password: conformancePassword,
		TLSConfig: &tls.Config{RootCAs: s.roots}, MaxMessages: 10_000,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			switch s.now() {
			case "connection refused":
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					return nil, err
				}
				_ = l.Close()
				return dial4(ctx, network, l.Addr().String())
			case "name not found":
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "relay.example", IsNotFound: true}}
			}
			return dial4(ctx, network, s.script.addr.String())
		},
	})
	if err == nil {
		s.t.Cleanup(func() { _ = p.Close() })
	}
	return p, err
}

func (s *service) now() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.today
}

func (s *service) Behave(day string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.today = day
}

func (s *service) Requests() []providertest.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

func (s *service) Traffic() int64 { return s.traffic.Load() }

func (s *service) Connections() int64 { return s.connections.Load() }

// meter counts what is read.
type meter struct {
	net.Conn
	n *atomic.Int64
}

func (m meter) Read(p []byte) (int, error) {
	n, err := m.Conn.Read(p)
	m.n.Add(int64(n))
	return n, err
}

func (s *service) serve(p *peer) {
	s.traffic.Add(1)
	s.connections.Add(1)
	tcp := p.Conn
	p.Conn = meter{tcp, &s.traffic}
	p.br = bufio.NewReader(p.Conn)
	// answer gives the answer of the day, or a good one. False: the end.
	answer := func(line, verb, good string) bool {
		answers := s.days[s.now()].answers
		a, ok := answers[line]
		if !ok {
			if a, ok = answers[verb]; !ok {
				a = good
			}
		}
		for a := range strings.SplitSeq(a, "\r\n") {
			switch a {
			case "":
				continue
			case "close":
				_ = p.Close()
				return false
			case "reset":
				_ = tcp.(*net.TCPConn).SetLinger(0)
				_ = tcp.Close()
				return false
			case "silence":
				p.silent()
				return false
			case "half":
				_, _ = io.WriteString(p, "250-2.0")
				_ = p.Close()
				return false
			}
			p.say(a)
			if strings.HasPrefix(a, "421") {
				return false
			}
		}
		return true
	}
	if !answer("", "greeting", "220 localhost ready") {
		return
	}
	var envelope []string
	var credentials string
	secure := false
	for {
		line := p.hear()
		verb, rest, _ := strings.Cut(line, " ")
		switch verb {
		case "":
			return
		case "EHLO":
			extra := "STARTTLS"
			if secure {
				extra = "AUTH PLAIN LOGIN"
			}
			p.say("250-localhost", "250-PIPELINING", "250-8BITMIME", "250-SMTPUTF8", "250-SIZE 10000000", "250-ENHANCEDSTATUSCODES", "250 "+extra)
		case "STARTTLS":
			p.say("220 go on")
			if a := s.days[s.now()].answers["handshake"]; a != "" {
				answer("", "handshake", "")
				_ = p.Close()
				return
			}
			p.secure(s.cert)
			secure = true
		case "AUTH":
			credentials = rest
			if !answer(line, verb, "235 2.7.0 welcome") {
				return
			}
		case "MAIL":
			envelope = []string{line}
			if !answer(line, verb, "250 2.1.0 OK") {
				return
			}
		case "RCPT":
			// The day may change as soon as the provider has the answer.
			answers := s.days[s.now()].answers
			if answers[line] == "" && answers[verb] == "" {
				envelope = append(envelope, line)
			}
			if !answer(line, verb, "250 2.1.5 OK") {
				return
			}
		case "DATA":
			if s.days[s.now()].answers["MAIL"] != "" || len(envelope) < 2 {
				p.say("503 5.5.1 no recipient")
				continue
			}
			refused := s.days[s.now()].answers["DATA"] != ""
			if !answer(line, verb, "354 go on") {
				return
			}
			if refused {
				continue
			}
			var b strings.Builder
			for {
				line, err := p.br.ReadString('\n')
				if err != nil {
					return
				}
				if line == ".\r\n" {
					break
				}
				b.WriteString(strings.TrimPrefix(line, "."))
			}
			q := request(s.t, envelope, b.String())
			q.Credentials = []string{credentials, strings.TrimPrefix(credentials, "PLAIN ")}
			s.mu.Lock()
			s.requests = append(s.requests, q)
			s.mu.Unlock()
			if !answer("", ".", "250 2.0.0 OK") {
				return
			}
		case "RSET":
			p.say("250 2.0.0 OK")
		case "QUIT":
			p.say("221 2.0.0 bye")
			return
		default:
			p.say("500 5.5.2 what?")
		}
	}
}

var (
	boundary = regexp.MustCompile(`(=_[a-z]+_)[A-Z2-7]{26}`)
	date     = regexp.MustCompile(`(?m)^Date: .*$`)
)

// request reads a mail back.
func request(t testing.TB, envelope []string, data string) providertest.Request {
	text := strings.Join(envelope, "\n") + "\n\n" + strings.ReplaceAll(data, "\r\n", "\n")
	text = boundary.ReplaceAllString(text, "$1{boundary}")
	text = date.ReplaceAllString(text, "Date: {now}")
	q := providertest.Request{Text: text}
	say := func(where, what string) { q.Said = append(q.Said, providertest.Said{Where: where, What: what}) }
	for _, line := range envelope {
		verb, rest, _ := strings.Cut(line, ":<")
		address, _, _ := strings.Cut(rest, ">")
		say(verb, address)
	}
	m, err := netmail.ReadMessage(strings.NewReader(data))
	require.NoError(t, err)
	for _, name := range slices.Sorted(maps.Keys(m.Header)) {
		for _, value := range m.Header[name] {
			switch name {
			case "From", "To", "Cc", "Reply-To":
				if value == "undisclosed-recipients:;" {
					continue
				}
				list, err := netmail.ParseAddressList(value)
				require.NoError(t, err)
				for _, a := range list {
					say(name+".name", a.Name)
					say(name+".address", a.Address)
				}
			default:
				decoded, err := new(mime.WordDecoder).DecodeHeader(value)
				require.NoError(t, err)
				say(name, decoded)
			}
		}
	}
	sayParts(t, say, m.Header, m.Body)
	return q
}

func sayParts(t testing.TB, say func(where, what string), header map[string][]string, body io.Reader) {
	get := func(name string) string { return strings.Join(header[name], "") }
	kind, params, err := mime.ParseMediaType(get("Content-Type"))
	require.NoError(t, err)
	if strings.HasPrefix(kind, "multipart/") {
		r := multipart.NewReader(body, params["boundary"])
		for {
			p, err := r.NextRawPart()
			if err == io.EOF {
				return
			}
			require.NoError(t, err)
			sayParts(t, say, p.Header, p)
		}
	}
	switch get("Content-Transfer-Encoding") {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	b, err := io.ReadAll(body)
	require.NoError(t, err)
	_, params, _ = mime.ParseMediaType(get("Content-Disposition"))
	say("part.type", get("Content-Type"))
	say("part.name", params["filename"])
	say("part.id", get("Content-Id"))
	say("part", string(b))
}
