package elasticemail

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"strings"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/internal/httpapi"
)

// provider is the name in errors and receipts.
const provider = "elasticemail"

// BaseURL is Elastic Email's API host. There is one for all regions.
// Source: Elastic Email's OpenAPI description (read 2026-11).
const BaseURL = "https://api.elasticemail.com"

// path is where messages go.
const path = "/v4/emails/transactional"

// Config is what [New] needs. It prints without the key.
type Config struct {
	// APIKey is an API key. Required. It needs the access level SendHttp, and
	// ViewAccount for Quota and Verify.
	APIKey string
	// BaseURL is where the API is. Empty: [BaseURL]. https, or http on loopback. With
	// /v4 at its end, as Elastic Email writes it, it is the same.
	BaseURL string
	// HTTPClient makes the requests. Nil: a tuned client, shared by all providers.
	HTTPClient *http.Client
	// Templates maps the application's template names to names at Elastic Email, which
	// has no other ids. A name that is not in it is taken as it is.
	Templates map[string]string
}

// Provider is one API key at Elastic Email. It is safe for concurrent use, and prints
// as its name.
type Provider struct {
	api       *httpapi.Client
	templates map[string]string
}

var (
	_ mailer.BatchSender   = (*Provider)(nil)
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
		return nil, fmt.Errorf("elasticemail: Config.APIKey %w", err)
	}
	for _, name := range adapter.Keys(c.Templates) {
		if id := c.Templates[name]; id == "" || adapter.Setting("", id) != nil {
			return nil, fmt.Errorf("elasticemail: Config.Templates[%q] is not the name of a template", name)
		}
	}
	if c.BaseURL == "" {
		c.BaseURL = BaseURL
	}
	api, err := httpapi.New(httpapi.Config{
		Provider:   provider,
		BaseURL:    strings.TrimSuffix(strings.TrimRight(c.BaseURL, "/"), "/v4"),
		HTTPClient: c.HTTPClient,
		Header:     http.Header{"X-Elasticemail-Apikey": {c.APIKey}},
		Secrets:    []string{c.APIKey},
	})
	if err != nil {
		return nil, fmt.Errorf("elasticemail: Config.%w", err)
	}
	return &Provider{api: api, templates: maps.Clone(c.Templates)}, nil
}

// Name returns "elasticemail".
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

// Send hands m over in one call. Nil: Elastic Email took it, to send it now, or later
// with SendAt. It says nothing of single recipients: who is suppressed or malformed
// there shows later, in an event.
//
// [mailer.Receipt].MessageID is the TransactionID, which all events of the message
// have, however many recipients there are.
//
// Until the request is written whole nobody has the message: NotSent is true. After
// that a server error, no answer, or a no under status 200 whose words are not known
// here leaves the outcome unknown: NotSent is false.
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
func (c Config) String() string { return adapter.Describe("elasticemail.Config", c.BaseURL) }

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
