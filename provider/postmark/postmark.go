package postmark

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
const provider = "postmark"

// BaseURL is Postmark's only API host; there is none for the EU.
// Source: https://postmarkapp.com/developer/api/overview (read 2026-11).
const BaseURL = "https://api.postmarkapp.com"

// Config is what [New] needs. It prints without the token.
type Config struct {
	// ServerToken is the token of one Postmark server. Required. It goes into the
	// X-Postmark-Server-Token header.
	ServerToken string
	// BaseURL is where the API is. Empty: [BaseURL]. https, or http on loopback.
	BaseURL string
	// HTTPClient makes the requests. Nil: a tuned client, shared by all providers.
	HTTPClient *http.Client
	// Templates maps the application's template names to ids or aliases at
	// Postmark. A name that is not in it is taken as the id or alias itself.
	Templates map[string]string
}

// Provider is one Postmark server. It is safe for concurrent use, and prints as
// its name.
type Provider struct {
	api       *httpapi.Client
	templates map[string]string
}

var (
	_ mailer.Provider     = (*Provider)(nil)
	_ mailer.Checker      = (*Provider)(nil)
	_ mailer.DropReporter = (*Provider)(nil)
	_ mailer.BatchSender  = (*Provider)(nil)
	_ mailer.Verifier     = (*Provider)(nil)
)

// New returns a Provider, or an error that names the field at fault. It makes no
// connection: Verify tells whether the token is good. It keeps
// nothing of c that can change later.
func New(c Config) (*Provider, error) {
	if err := adapter.Credential(c.ServerToken); err != nil {
		return nil, fmt.Errorf("postmark: Config.ServerToken %w", err)
	}
	if c.BaseURL == "" {
		c.BaseURL = BaseURL
	}
	api, err := httpapi.New(httpapi.Config{
		Provider:   provider,
		BaseURL:    c.BaseURL,
		HTTPClient: c.HTTPClient,
		Header:     http.Header{"X-Postmark-Server-Token": {c.ServerToken}},
		Secrets:    []string{c.ServerToken},
	})
	if err != nil {
		return nil, fmt.Errorf("postmark: Config.%w", err)
	}
	return &Provider{api: api, templates: maps.Clone(c.Templates)}, nil
}

// Name returns "postmark".
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

// Send hands m over in one call. Nil: Postmark took it, for every recipient but
// those in [mailer.Receipt].Rejected, which are inactive at Postmark.
//
// A message whose recipients are all inactive is [mailer.KindRecipient].
//
// Until the request is written whole nobody has the message: NotSent is true. After
// that a 5xx, or no answer, leaves the outcome unknown: NotSent is false.
func (p *Provider) Send(ctx context.Context, m mailer.Message) (mailer.Receipt, error) {
	r, err := p.request(m)
	if err != nil {
		return mailer.Receipt{}, err
	}
	resp, err := p.api.Do(ctx, http.MethodPost, r.path, r.body)
	if err != nil {
		return mailer.Receipt{}, err
	}
	return p.receipt(&r, resp, resp.Body)
}

// String describes c without its token.
func (c Config) String() string { return adapter.Describe("postmark.Config", c.BaseURL) }

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
