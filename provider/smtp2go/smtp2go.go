package smtp2go

import (
	"context"
	"fmt"
	"maps"
	"net/http"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/internal/httpapi"
)

// provider is the name in errors and receipts.
const provider = "smtp2go"

// SMTP2GO's API hosts. BaseURL leads to the nearest region, the others to one.
// Source: https://developers.smtp2go.com/docs/introduction-1 (read 2026-11).
const (
	BaseURL   = "https://api.smtp2go.com/v3"
	BaseURLUS = "https://us-api.smtp2go.com/v3"
	BaseURLEU = "https://eu-api.smtp2go.com/v3"
	BaseURLAU = "https://au-api.smtp2go.com/v3"
)

// path is where messages go.
const path = "/email/send"

// Config is what [New] needs. It prints without the key.
type Config struct {
	// APIKey is an API key, "api-" and 32 letters and digits. Required. It needs the
	// permission for /email/send.
	APIKey string
	// BaseURL is where the API is. Empty: [BaseURL]. https, or http on loopback.
	BaseURL string
	// HTTPClient makes the requests. Nil: a tuned client, shared by all providers.
	HTTPClient *http.Client
	// Templates maps the application's template names to ids at SMTP2GO, which have
	// 5 to 24 characters. A name that is not in it is taken as the id itself.
	Templates map[string]string
}

// Provider is one API key at SMTP2GO. It is safe for concurrent use, and prints as
// its name.
type Provider struct {
	api       *httpapi.Client
	templates map[string]string
}

var (
	_ mailer.Provider      = (*Provider)(nil)
	_ mailer.Checker       = (*Provider)(nil)
	_ mailer.DropReporter  = (*Provider)(nil)
	_ mailer.QuotaReporter = (*Provider)(nil)
	_ mailer.Verifier      = (*Provider)(nil)
)

// New returns a Provider, or an error that names the field at fault. It makes no
// connection: whether the key is good shows with the first message, or with
// [Provider.Verify]. It keeps nothing of c that can change later.
func New(c Config) (*Provider, error) {
	if err := adapter.Credential(c.APIKey); err != nil {
		return nil, fmt.Errorf("smtp2go: Config.APIKey %w", err)
	}
	for _, name := range adapter.Keys(c.Templates) {
		if !isTemplateID(c.Templates[name]) {
			return nil, fmt.Errorf("smtp2go: Config.Templates[%q] is not an id of 5 to 24 characters", name)
		}
	}
	if c.BaseURL == "" {
		c.BaseURL = BaseURL
	}
	api, err := httpapi.New(httpapi.Config{
		Provider:   provider,
		BaseURL:    c.BaseURL,
		HTTPClient: c.HTTPClient,
		Header:     http.Header{"X-Smtp2go-Api-Key": {c.APIKey}},
		Secrets:    []string{c.APIKey},
	})
	if err != nil {
		return nil, fmt.Errorf("smtp2go: Config.%w", err)
	}
	return &Provider{api: api, templates: maps.Clone(c.Templates)}, nil
}

// Name returns "smtp2go".
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

// Send hands m over in one call. Nil: SMTP2GO took it, to send it now, or later with
// SendAt. Who is suppressed at SMTP2GO shows later, in an event.
//
// Of a part that failed beside one that succeeded each reason is a Rejection in
// [mailer.Receipt].Rejected. SMTP2GO does not always say which of several recipients a
// reason is about: its Address is empty then. With one recipient such an answer
// contradicts itself, and the outcome is unknown.
//
// Until the request is written whole nobody has the message: NotSent is true. After
// that a server error, no answer, or a reason that is not known here leaves the
// outcome unknown: NotSent is false.
func (p *Provider) Send(ctx context.Context, m mailer.Message) (mailer.Receipt, error) {
	r, err := p.request(m)
	if err != nil {
		return mailer.Receipt{}, err
	}
	resp, err := p.api.Do(ctx, http.MethodPost, path, r.body)
	if err != nil {
		return mailer.Receipt{}, err
	}
	a := parse(resp)
	return p.receipt(&r, &a, resp)
}

// String describes c without its key.
func (c Config) String() string { return adapter.Describe("smtp2go.Config", c.BaseURL) }

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
