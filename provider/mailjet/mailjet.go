package mailjet

import (
	"context"
	"encoding/base64"
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
const provider = "mailjet"

// Mailjet's two API hosts. Accounts on its US architecture use BaseURLUS, all
// others BaseURL, which is in the EU.
// Source: https://github.com/mailjet/mailjet-apiv3-nodejs, README (read 2026-11).
const (
	BaseURL   = "https://api.mailjet.com"
	BaseURLUS = "https://api.us.mailjet.com"
)

// Config is what [New] needs. It prints without the keys.
type Config struct {
	// APIKey and SecretKey are the two keys of an account or of a sub-account.
	// Required. They go into the Authorization header.
	APIKey, SecretKey string
	// BaseURL is where the API is. Empty: [BaseURL]. https, or http on loopback.
	BaseURL string
	// HTTPClient makes the requests. Nil: a tuned client, shared by all providers.
	HTTPClient *http.Client
	// Templates maps the application's template names to ids at Mailjet, which are
	// numbers. A name that is not in it is taken as the id itself.
	Templates map[string]string
}

// Provider is one Mailjet account, or one of its sub-accounts. It is safe for
// concurrent use, and prints as its name.
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
// connection: whether the keys are good shows with the first message, or with
// Verify. It keeps nothing of c that can change later.
func New(c Config) (*Provider, error) {
	err := adapter.Credential(c.APIKey)
	if err == nil && strings.Contains(c.APIKey, ":") {
		err = errors.New("has a colon") // which ends it in the Authorization header
	}
	if err != nil {
		return nil, fmt.Errorf("mailjet: Config.APIKey %w", err)
	}
	if err := adapter.Credential(c.SecretKey); err != nil {
		return nil, fmt.Errorf("mailjet: Config.SecretKey %w", err)
	}
	if c.BaseURL == "" {
		c.BaseURL = BaseURL
	}
	api, err := httpapi.New(httpapi.Config{
		Provider:   provider,
		BaseURL:    c.BaseURL,
		HTTPClient: c.HTTPClient,
		Header:     http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(c.APIKey+":"+c.SecretKey))}},
		Secrets:    []string{c.APIKey, c.SecretKey},
	})
	if err != nil {
		return nil, fmt.Errorf("mailjet: Config.%w", err)
	}
	return &Provider{api: api, templates: maps.Clone(c.Templates)}, nil
}

// Name returns "mailjet".
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

// Send hands m over in one call. Nil: Mailjet took it, for every recipient. Who is
// blocked there shows later, in an event.
//
// The receipt's MessageID is that of the first recipient in To. Events of the
// others have ids of their own, which are in MessageIDs, and the message's ID.
//
// A message with a malformed recipient is [mailer.KindRecipient], and nobody gets
// it.
//
// Until the request is written whole nobody has the message: NotSent is true. After
// that a 5xx, or no answer, leaves the outcome unknown: NotSent is false.
func (p *Provider) Send(ctx context.Context, m mailer.Message) (mailer.Receipt, error) {
	r, err := p.request(m)
	if err != nil {
		return mailer.Receipt{}, err
	}
	p.deliver(ctx, r.alone())
	return r.result.Receipt, r.result.Err
}

// String describes c without its keys.
func (c Config) String() string { return adapter.Describe("mailjet.Config", c.BaseURL) }

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
