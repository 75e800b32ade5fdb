package socketlabs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/internal/httpapi"
)

// provider is the name in errors and receipts.
const provider = "socketlabs"

// SocketLabs' two API hosts. BaseURLComplex is that of accounts with "Complex
// Sender". SocketLabs names no host for the EU.
// Source: https://github.com/socketlabs/socketlabs-go and
// https://help.socketlabs.com/docs/injection-api (read 2026-11).
const (
	BaseURL        = "https://inject.socketlabs.com"
	BaseURLComplex = "https://inject-cx.socketlabs.com"
)

// path is where messages go.
const path = "/api/v1/email"

// Config is what [New] needs. It prints without the key.
type Config struct {
	// ServerID is the number of a SocketLabs server. Required.
	ServerID int
	// APIKey is an Injection API key of that server. Required. One of the present
	// kind, 20 characters, a dot and 40 characters, goes into the Authorization
	// header; any other one is a legacy key, and goes into the body.
	APIKey string
	// BaseURL is where the API is. Empty: [BaseURL]. https, or http on loopback. The
	// gateway which SocketLabs names for a credential may stand here as it is.
	BaseURL string
	// HTTPClient makes the requests. Nil: a tuned client, shared by all providers.
	HTTPClient *http.Client
	// Templates maps the application's template names to ids at SocketLabs, which
	// are numbers. A name that is not in it is taken as the id itself.
	Templates map[string]string
}

// Provider is one SocketLabs server. It is safe for concurrent use, and prints as
// its name.
type Provider struct {
	api       *httpapi.Client
	serverID  int64
	bodyKey   string // a legacy key
	templates map[string]string
}

var (
	_ mailer.BatchSender  = (*Provider)(nil)
	_ mailer.Provider     = (*Provider)(nil)
	_ mailer.Checker      = (*Provider)(nil)
	_ mailer.DropReporter = (*Provider)(nil)
	_ mailer.Verifier     = (*Provider)(nil)
)

// New returns a Provider, or an error that names the field at fault. It makes no
// connection: whether the key is good shows with the first message, or with
// [Provider.Verify]. It keeps nothing of c that can change later.
func New(c Config) (*Provider, error) {
	if c.ServerID <= 0 {
		return nil, errors.New("socketlabs: Config.ServerID is not the number of a server")
	}
	if err := adapter.Credential(c.APIKey); err != nil {
		return nil, fmt.Errorf("socketlabs: Config.APIKey %w", err)
	}
	for _, name := range adapter.Keys(c.Templates) {
		if !isTemplateID(c.Templates[name]) {
			return nil, fmt.Errorf("socketlabs: Config.Templates[%q] is not the number of a template", name)
		}
	}
	if c.BaseURL == "" {
		c.BaseURL = BaseURL
	}
	p := &Provider{serverID: int64(c.ServerID), templates: maps.Clone(c.Templates)}
	header := http.Header{}
	if len(c.APIKey) == 61 && strings.IndexByte(c.APIKey, '.') == 20 {
		header.Set("Authorization", "Bearer "+c.APIKey)
	} else {
		p.bodyKey = c.APIKey
	}
	var err error
	p.api, err = httpapi.New(httpapi.Config{
		Provider:   provider,
		BaseURL:    strings.TrimSuffix(c.BaseURL, path),
		HTTPClient: c.HTTPClient,
		Header:     header,
		Secrets:    []string{c.APIKey},
	})
	if err != nil {
		return nil, fmt.Errorf("socketlabs: Config.%w", err)
	}
	return p, nil
}

// Name returns "socketlabs".
func (p *Provider) Name() string { return provider }

// Check returns the error that Send would return for m before any traffic, or
// nil. It does no I/O. Kinds: [mailer.KindInvalid], [mailer.KindUnsupported],
// [mailer.KindTooLarge].
func (p *Provider) Check(m mailer.Message) error {
	_, err := p.request(m)
	return err
}

// Dropped returns what [mailer.Receipt].Dropped would name if m were sent, nil if
// Check refuses it. It does no I/O.
func (p *Provider) Dropped(m mailer.Message) []string {
	r, err := p.request(m)
	if err != nil {
		return nil
	}
	return r.dropped
}

// Send hands m over in one call. Nil: SocketLabs took it, for every recipient but
// those in [mailer.Receipt].Rejected, which it calls invalid. Who is suppressed at
// SocketLabs shows later, in an event.
//
// A message whose recipients are all invalid is [mailer.KindRecipient].
//
// Until the request is written whole nobody has the message: NotSent is true. After
// that a server error, or no answer, leaves the outcome unknown: NotSent is false.
func (p *Provider) Send(ctx context.Context, m mailer.Message) (mailer.Receipt, error) {
	r, err := p.request(m)
	if err != nil {
		return mailer.Receipt{}, err
	}
	resp, err := p.api.Do(ctx, http.MethodPost, path, r.body)
	if err != nil {
		return mailer.Receipt{}, err
	}
	a := parse(resp, 1)
	return p.receipt(&r, &a, 0, resp)
}

// String describes c without its key.
func (c Config) String() string { return adapter.Describe("socketlabs.Config", c.BaseURL) }

// GoString is String, for %#v.
func (c Config) GoString() string { return c.String() }

// MarshalText is String, for JSON and for log/slog.
func (c Config) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// String returns the provider's name.
func (p Provider) String() string { return provider }

// GoString is String, for %#v.
func (p Provider) GoString() string { return provider }

// MarshalText is String, for JSON and for log/slog.
func (p Provider) MarshalText() ([]byte, error) { return []byte(provider), nil }
