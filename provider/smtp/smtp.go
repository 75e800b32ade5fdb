package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/internal/envelope"
	"github.com/seed355143d4/mailer/internal/mime"
)

// provider is the name in errors and receipts.
const provider = "smtp"

// TLS says how the connection is encrypted.
type TLS uint8

const (
	// StartTLS begins in clear and encrypts before anything of worth is said. A
	// server that does not offer it is refused.
	StartTLS TLS = iota
	// Implicit encrypts from the first byte, as on port 465.
	Implicit
	// InsecurePlaintext never encrypts. For a development server; credentials go
	// with it only to a loopback host.
	InsecurePlaintext
)

// The defaults of [Config].
const (
	DefaultTimeout     = 30 * time.Second
	DefaultIdleTimeout = 30 * time.Second
	DefaultMaxConns    = 10
	DefaultMaxMessages = 100
)

// Config is what [New] needs. It prints without the password. [Parse] makes one of
// a URL, and a function for each relay, such as [Postmark], one of its credentials.
type Config struct {
	// Host is the name or IP address of the server. Required. The server's
	// certificate has to be for it.
	Host string
	// Port is the TCP port. 0: 465 for [Implicit], 25 for [InsecurePlaintext],
	// else 587.
	Port int
	// Username and Password are the credentials. Both empty: no authentication.
	// PLAIN is used if the server offers it, else LOGIN.
	Username, Password string
	// TLS is how the connection is encrypted. Zero: [StartTLS].
	TLS TLS
	// TLSConfig is for private certificate authorities and the like; it is
	// copied. Nil: the system's authorities. ServerName, if empty, becomes Host,
	// and MinVersion, if zero, TLS 1.2.
	TLSConfig *tls.Config
	// LocalName is what this host calls itself in EHLO: a domain or an address
	// literal. Empty: "localhost", which relays take from a customer who logs in.
	LocalName string
	// Timeout is the most that one Send takes, waiting for a connection, dialing
	// and the transfer of the mail included. 0: [DefaultTimeout]. A deadline of
	// the context that is earlier holds.
	Timeout time.Duration
	// MaxConns is the most connections at once; further sends wait for one. 0:
	// [DefaultMaxConns].
	MaxConns int
	// MaxMessages is how many messages a connection carries before it is closed.
	// 0: [DefaultMaxMessages].
	MaxMessages int
	// IdleTimeout is how long a connection without work is kept. 0:
	// [DefaultIdleTimeout]. Negative: none is kept.
	IdleTimeout time.Duration
	// Dial connects. Nil: a [net.Dialer]. For proxies, and for tests. The
	// connection's deadlines have to work.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Provider sends through one SMTP server. It is safe for concurrent use, and
// prints as its name. Connections are kept for the next message; [Provider.Close]
// closes them.
type Provider struct {
	session
	relay   relay
	timeout time.Duration
	pool    pool
}

var (
	_ mailer.Provider     = (*Provider)(nil)
	_ mailer.Checker      = (*Provider)(nil)
	_ mailer.DropReporter = (*Provider)(nil)
	_ mailer.Verifier     = (*Provider)(nil)
)

// New returns a Provider, or an error that names the field at fault. It makes no
// connection and starts no goroutine. It keeps nothing of c that can change later.
func New(c Config) (*Provider, error) {
	bad := func(format string, args ...any) (*Provider, error) {
		return nil, fmt.Errorf("smtp: Config."+format, args...)
	}
	switch {
	case c.Host == "":
		return bad("Host is empty")
	case !isHost(c.Host):
		return bad("Host is not a host name or IP address")
	case c.TLS > InsecurePlaintext:
		return bad("TLS is no value that is known")
	case c.Port < 0 || c.Port > 65535:
		return bad("Port is not in 0 to 65535")
	case c.Username == "" && c.Password != "":
		return bad("Username is empty, but Password is not")
	case c.Username != "" && c.Password == "":
		return bad("Password is empty, but Username is not")
	case strings.ContainsAny(c.Username, "\x00\r\n"):
		return bad("Username has a control character")
	case strings.ContainsAny(c.Password, "\x00\r\n"):
		return bad("Password has a control character")
	case c.TLS == InsecurePlaintext && c.Username != "" && !isLoopback(c.Host):
		return bad("Password would go in clear to a host that is not loopback")
	case c.LocalName != "" && !isLocalName(c.LocalName):
		return bad("LocalName is not a domain or an address literal")
	case c.Timeout < 0:
		return bad("Timeout is negative")
	case c.MaxConns < 0:
		return bad("MaxConns is negative")
	case c.MaxMessages < 0:
		return bad("MaxMessages is negative")
	}
	s := session{
		host: c.Host, mode: c.TLS,
		username: c.Username, password: c.Password,
		local: or(c.LocalName, "localhost"), dial: c.Dial,
	}
	if s.dial == nil {
		s.dial = new(net.Dialer).DialContext
	}
	port := or(c.Port, map[TLS]int{StartTLS: 587, Implicit: 465, InsecurePlaintext: 25}[c.TLS])
	s.addr = net.JoinHostPort(strings.Trim(c.Host, "[]"), strconv.Itoa(port))
	s.tls = &tls.Config{}
	if c.TLSConfig != nil {
		s.tls = c.TLSConfig.Clone()
	}
	s.tls.ServerName = or(s.tls.ServerName, strings.Trim(c.Host, "[]"))
	s.tls.MinVersion = or(s.tls.MinVersion, tls.VersionTLS12)
	p := &Provider{session: s, relay: relayOf(c.Host), timeout: or(c.Timeout, DefaultTimeout)}
	p.pool.init(or(c.MaxConns, DefaultMaxConns), or(c.MaxMessages, DefaultMaxMessages), or(c.IdleTimeout, DefaultIdleTimeout))
	return p, nil
}

// or returns v, or the default if v is zero.
func or[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}

// Parse reads the settings from a URL, as they often come in SMTP_URL:
//
//	smtp://user:password@host:587            STARTTLS, required
//	smtps://user:password@host:465           TLS from the first byte
//	smtp+insecure://localhost:1025           no encryption
//
// Without a port it is the one of [Config].Port. Characters that mean something
// in a URL are percent-encoded in user and password: "p%40ss". A path, query or
// fragment is refused. The error shows nothing of the URL.
func Parse(rawURL string) (Config, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		// Its text holds the URL, password included.
		return Config{}, errors.New("smtp: the URL is malformed")
	}
	mode, ok := map[string]TLS{"smtp": StartTLS, "smtps": Implicit, "smtp+insecure": InsecurePlaintext}[u.Scheme]
	switch {
	case !ok:
		return Config{}, errors.New("smtp: the URL's scheme is not smtp, smtps or smtp+insecure")
	case u.Hostname() == "" || u.Opaque != "":
		return Config{}, errors.New("smtp: the URL has no host")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.ForceQuery || strings.Contains(rawURL, "#"):
		return Config{}, errors.New("smtp: the URL has more than scheme, user, password, host and port")
	}
	c := Config{Host: u.Hostname(), TLS: mode}
	if s := u.Port(); s != "" {
		c.Port, err = strconv.Atoi(s)
		if err != nil || c.Port < 1 || c.Port > 65535 {
			return Config{}, errors.New("smtp: the URL's port is not in 1 to 65535")
		}
	}
	if u.User != nil {
		c.Username = u.User.Username()
		c.Password, _ = u.User.Password()
	}
	return c, nil
}

// Name returns "smtp".
func (p *Provider) Name() string { return provider }

// Check returns the error that Send would return for m before any traffic, or nil.
// It does no I/O. Kinds: [mailer.KindInvalid], and [mailer.KindUnsupported] for a
// Template or a SendAt. What depends on the server shows with Send: its size
// limit, and whether it takes a local part outside ASCII (SMTPUTF8).
func (p *Provider) Check(m mailer.Message) error {
	_, err := p.prepare(m)
	return err
}

// Dropped returns what [mailer.Receipt].Dropped would name if m were sent, nil if
// Check refuses it. It does no I/O.
func (p *Provider) Dropped(m mailer.Message) []string {
	r, err := p.prepare(m)
	if err != nil {
		return nil
	}
	return r.dropped
}

// Send hands m over to the server. Nil: the server took it, for every recipient but
// those in [mailer.Receipt].Rejected.
//
// NotSent is true up to the final dot of the mail, and after an answer to it that
// refuses. Only without an answer to the dot is the outcome unknown. A connection
// that was kept and turns out dead before any of the mail was written is replaced
// once.
func (p *Provider) Send(ctx context.Context, m mailer.Message) (mailer.Receipt, error) {
	r, err := p.prepare(m)
	if err != nil {
		return mailer.Receipt{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	c, err := p.pool.get(ctx)
	if err != nil {
		return mailer.Receipt{}, p.broken(ctx, "waiting for a connection", err)
	}
	kept := c != nil
	if !kept {
		if c, err = p.connect(ctx); err != nil {
			p.pool.drop()
			return mailer.Receipt{}, err
		}
	}
	done := c.transact(ctx, &r)
	if kept && done.stale && ctx.Err() == nil {
		c.close()
		if c, err = p.connect(ctx); err != nil {
			p.pool.drop()
			return mailer.Receipt{}, err
		}
		done = c.transact(ctx, &r)
	}
	p.pool.put(c)
	if done.err != nil {
		return mailer.Receipt{}, done.err
	}
	return mailer.Receipt{
		ID: r.id, Provider: provider, MessageID: or(p.relay.messageID(done.answer.text), r.id),
		Rejected: done.rejected, Dropped: r.dropped,
	}, nil
}

// Verify connects, logs in and closes the connection. It sends no mail.
// [mailer.KindUnauthorized]: the server refused the credentials. Without
// credentials in Config it only proves that the server answers.
func (p *Provider) Verify(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	c, err := p.connect(ctx)
	if err != nil {
		return err
	}
	c.quit()
	return nil
}

// Close closes the connections that are idle, and makes that none is kept idle from
// now on: one in use is closed when no message waits for it. Sends still work after
// Close. It always returns nil.
func (p *Provider) Close() error {
	p.pool.close()
	return nil
}

// request is a message ready for any connection.
type request struct {
	id      string
	from    string
	to      []recipient
	utf8    string // the field that needs SMTPUTF8
	mail    *mime.Mail
	dropped []string
}

type recipient struct{ address, field string }

func (p *Provider) prepare(m mailer.Message) (request, error) {
	m, err := envelope.Prepare(m, true)
	if err != nil {
		return request{}, err
	}
	if m.Template.ID != "" {
		return request{}, adapter.Unsupported(provider, "Template.ID", "SMTP has no templates")
	}
	if !m.SendAt.IsZero() {
		return request{}, adapter.Unsupported(provider, "SendAt", "SMTP has no word for it")
	}
	r := request{id: m.ID}
	header, dropped := p.relay.carry(&m)
	r.dropped = dropped
	if r.mail, err = mime.New(m, mime.Options{Header: header}); err != nil {
		return request{}, err
	}
	var ok bool
	if r.from, ok = mime.AddrSpec(m.From.Address); !ok {
		return request{}, unfit("From")
	}
	r.needs(r.from, "From")
	r.to = make([]recipient, 0, len(m.To)+len(m.Cc)+len(m.Bcc))
	for _, list := range [...]struct {
		field string
		as    []mailer.Address
	}{{"To", m.To}, {"Cc", m.Cc}, {"Bcc", m.Bcc}} {
		for i, a := range list.as {
			field := adapter.Index(list.field, i)
			address, ok := mime.AddrSpec(a.Address)
			if !ok {
				return request{}, unfit(field)
			}
			r.needs(address, field)
			r.to = append(r.to, recipient{address, field})
		}
	}
	for i, a := range m.ReplyTo {
		r.needs(a.Address, adapter.Index("ReplyTo", i))
	}
	return r, nil
}

// needs notes the first field that needs SMTPUTF8.
func (r *request) needs(address, field string) {
	if r.utf8 == "" && !isASCII(address) {
		r.utf8 = field
	}
}

func unfit(field string) error {
	return adapter.Invalid(field, errors.New("the address does not fit an SMTP command"))
}

// String describes c without its password.
func (c Config) String() string {
	return fmt.Sprintf("smtp.Config{Host: %q, Port: %d, TLS: %d, Username: %t}", c.Host, c.Port, c.TLS, c.Username != "")
}

// GoString is String, for %#v.
func (c Config) GoString() string { return c.String() }

// LogValue is String, for log/slog.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// String returns the provider's name.
func (p *Provider) String() string { return provider }

// GoString is String, for %#v.
func (p *Provider) GoString() string { return provider }

// LogValue is String, for log/slog.
func (p *Provider) LogValue() slog.Value { return slog.StringValue(provider) }

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

func isHost(s string) bool {
	if _, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return true
	}
	return isDomain(s)
}

func isDomain(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_') {
			return false
		}
	}
	return s != "" && len(s) <= 253 && s[0] != '-' && s[0] != '.' && !strings.Contains(s, "..")
}

// isLocalName takes what RFC 5321 §4.1.1.1 does: a domain, or [192.0.2.1], or
// [IPv6:2001:db8::1].
func isLocalName(s string) bool {
	if literal, ok := strings.CutPrefix(s, "["); ok {
		literal, ok = strings.CutSuffix(literal, "]")
		v6 := strings.HasPrefix(literal, "IPv6:")
		a, err := netip.ParseAddr(strings.TrimPrefix(literal, "IPv6:"))
		return ok && err == nil && a.Is6() == v6 && a.Zone() == ""
	}
	return isDomain(s)
}

func isLoopback(host string) bool {
	if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return a.IsLoopback()
	}
	return strings.EqualFold(host, "localhost")
}
