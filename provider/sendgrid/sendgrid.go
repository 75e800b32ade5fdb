package sendgrid

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/internal/httpapi"
)

// provider is the name in errors and receipts.
const provider = "sendgrid"

// path is where messages go.
const path = "/v3/mail/send"

// SendGrid's two API hosts. A key of an EU subuser works at the EU host only, and
// no other key does.
// Source: https://www.twilio.com/docs/sendgrid/api-reference (read 2026-11).
const (
	BaseURL   = "https://api.sendgrid.com"
	BaseURLEU = "https://api.eu.sendgrid.com"
)

// Config is what [New] needs. It prints without the key.
type Config struct {
	// APIKey is a key with the scope "mail.send". Required. It goes into the
	// Authorization header.
	APIKey string
	// BaseURL is where the API is. Empty: [BaseURL]. https, or http on loopback.
	BaseURL string
	// HTTPClient makes the requests. Nil: a tuned client, shared by all providers.
	HTTPClient *http.Client
	// Templates maps the application's template names to ids at SendGrid. A name
	// that is not in it is taken as the id itself.
	Templates map[string]string
}

// Provider is one SendGrid account, or one of its subusers. It is safe for concurrent
// use, and prints as its name.
type Provider struct {
	api       *httpapi.Client
	templates map[string]string
}

var (
	_ mailer.Provider      = (*Provider)(nil)
	_ mailer.Checker       = (*Provider)(nil)
	_ mailer.DropReporter  = (*Provider)(nil)
	_ mailer.BatchSender   = (*Provider)(nil)
	_ mailer.QuotaReporter = (*Provider)(nil)
	_ mailer.Verifier      = (*Provider)(nil)
)

// New returns a Provider, or an error that names the field at fault. It makes no
// connection: Verify tells whether the key is good. It keeps nothing of c that can
// change later.
func New(c Config) (*Provider, error) {
	if err := adapter.Credential(c.APIKey); err != nil {
		return nil, fmt.Errorf("sendgrid: Config.APIKey %w", err)
	}
	if c.BaseURL == "" {
		c.BaseURL = BaseURL
	}
	api, err := httpapi.New(httpapi.Config{
		Provider:   provider,
		BaseURL:    c.BaseURL,
		HTTPClient: c.HTTPClient,
		Header:     http.Header{"Authorization": {"Bearer " + c.APIKey}},
	})
	if err != nil {
		return nil, fmt.Errorf("sendgrid: Config.%w", err)
	}
	return &Provider{api: api, templates: maps.Clone(c.Templates)}, nil
}

// Name returns "sendgrid".
func (p *Provider) Name() string { return provider }

// Check returns the error that Send would return for m before any traffic, or
// nil. It does no I/O. Kinds: [mailer.KindInvalid], [mailer.KindUnsupported],
// [mailer.KindTooLarge].
func (p *Provider) Check(m mailer.Message) error {
	_, _, err := p.encode(m, time.Now())
	return err
}

// Dropped returns what [mailer.Receipt].Dropped would name if m were sent, nil if
// Check refuses it. It does no I/O.
func (p *Provider) Dropped(m mailer.Message) []string {
	r, _, err := p.encode(m, time.Now())
	if err != nil {
		return nil
	}
	return r.dropped
}

// Send hands m over in one call. Nil: SendGrid took it, for every recipient. Who
// is suppressed at SendGrid shows later, in an event.
//
// A message with a malformed recipient is [mailer.KindRecipient], and nobody gets
// it.
//
// Until the request is written whole nobody has the message: NotSent is true. After
// that a 5xx, or no answer, leaves the outcome unknown: NotSent is false.
func (p *Provider) Send(ctx context.Context, m mailer.Message) (mailer.Receipt, error) {
	r, body, err := p.encode(m, time.Now())
	if err != nil {
		return mailer.Receipt{}, err
	}
	resp, err := p.api.Do(ctx, http.MethodPost, path, body)
	if err != nil {
		return mailer.Receipt{}, err
	}
	return p.receipt(&r, resp)
}

// String describes c without its key.
func (c Config) String() string { return adapter.Describe("sendgrid.Config", c.BaseURL) }

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
