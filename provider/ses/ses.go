package ses

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/internal/httpapi"
)

// provider is the name in errors and receipts.
const provider = "ses"

// Config is what [New] needs. It prints without its credentials.
type Config struct {
	// Region is the AWS region in which the account sends, such as "eu-west-1".
	// Required. Identities, quotas and the sandbox are those of one region.
	Region string
	// AccessKeyID and SecretAccessKey are an IAM access key. Required, unless
	// Credentials is set. SessionToken goes with temporary ones.
	AccessKeyID, SecretAccessKey, SessionToken string
	// Credentials stands for the three above, for keys that change, such as those
	// of an IAM role. It is asked for each call to SES, for at most 30 seconds, from
	// many goroutines at once: aws.NewCredentialsCache keeps what it answers.
	Credentials aws.CredentialsProvider
	// ConfigurationSet is the configuration set of messages whose [Extra] names
	// none. Empty: that of the identity, if it has one.
	ConfigurationSet string
	// BaseURL is where the API is. Empty: the region's endpoint,
	// "https://email.eu-west-1.amazonaws.com". Set it for a FIPS or dual-stack
	// endpoint. https, or http on loopback.
	BaseURL string
	// HTTPClient makes the requests. Nil: a tuned client, shared by all providers.
	HTTPClient *http.Client
	// Templates maps the application's template names to names or ARNs at SES. A name
	// that is not in it is taken as the name or ARN itself.
	Templates map[string]string
}

// Provider is one SES account in one region. It is safe for concurrent use, and
// prints as its name.
type Provider struct {
	api              *httpapi.Client
	sdk              *sesv2.Client // for all but sending
	signer           *v4.Signer
	credentials      keeper
	region           string
	skew             *atomic.Int64 // how far SES's clock is ahead, in nanoseconds
	configurationSet string
	templates        map[string]string
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
// connection and asks for no credentials: whether they are good shows with the
// first message, or with Verify. It keeps nothing of c that can change later but
// Credentials.
func New(c Config) (*Provider, error) {
	if err := region(c.Region); err != nil {
		return nil, fmt.Errorf("ses: Config.Region %w", err)
	}
	if err := static(&c); err != nil {
		return nil, fmt.Errorf("ses: Config.%w", err)
	}
	if err := adapter.Setting("ConfigurationSet", c.ConfigurationSet); err != nil {
		return nil, errors.New("ses: Config.ConfigurationSet has a control character or malformed UTF-8")
	}
	if c.BaseURL == "" {
		endpoint, err := sesv2.NewDefaultEndpointResolverV2().ResolveEndpoint(context.Background(), sesv2.EndpointParameters{
			Region: aws.String(c.Region), UseDualStack: aws.Bool(false), UseFIPS: aws.Bool(false),
		})
		if err != nil {
			return nil, fmt.Errorf("ses: Config.Region has no endpoint: %w", err)
		}
		c.BaseURL = endpoint.URI.String()
	}
	// The secrets are those of each call: see client.go.
	api, err := httpapi.New(httpapi.Config{Provider: provider, BaseURL: c.BaseURL, HTTPClient: c.HTTPClient})
	if err != nil {
		return nil, fmt.Errorf("ses: Config.%w", err)
	}
	p := &Provider{
		api:              api,
		signer:           v4.NewSigner(),
		credentials:      keeper{c.Credentials},
		region:           c.Region,
		skew:             new(atomic.Int64),
		configurationSet: c.ConfigurationSet,
		templates:        maps.Clone(c.Templates),
	}
	p.sdk = newSDK(&c, p)
	return p, nil
}

// region checks the name of a region, which becomes a part of a host's name.
func region(s string) error {
	switch {
	case s == "":
		return errors.New("is empty")
	case len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' || strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
	}):
		return errors.New(`is not the name of a region such as "eu-west-1"`)
	}
	return nil
}

// static makes a provider of credentials of an access key.
func static(c *Config) error {
	if c.Credentials != nil {
		if c.AccessKeyID != "" || c.SecretAccessKey != "" || c.SessionToken != "" {
			return errors.New("Credentials and AccessKeyID, SecretAccessKey or SessionToken are both set")
		}
		return nil
	}
	if err := adapter.Credential(c.AccessKeyID); err != nil {
		return fmt.Errorf("AccessKeyID %w", err)
	}
	if strings.ContainsAny(c.AccessKeyID, "/,=") {
		return errors.New("AccessKeyID has a character that no key has")
	}
	if err := adapter.Credential(c.SecretAccessKey); err != nil {
		return fmt.Errorf("SecretAccessKey %w", err)
	}
	if c.SessionToken != "" {
		if err := adapter.Credential(c.SessionToken); err != nil {
			return fmt.Errorf("SessionToken %w", err)
		}
	}
	c.Credentials = credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken)
	return nil
}

// Name returns "ses".
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

// Send hands m over in one call. Nil: SES took it, for every recipient. Who is
// suppressed at SES shows later, in an event, and so does a file with a virus, or
// a template that lacks a value.
//
// Until the request is written whole nobody has the message: NotSent is true. After
// that a 5xx, or no answer, leaves the outcome unknown: NotSent is false.
// Without credentials it is [mailer.KindUnauthorized], and NotSent is true.
func (p *Provider) Send(ctx context.Context, m mailer.Message) (mailer.Receipt, error) {
	r, err := p.request(m)
	if err != nil {
		return mailer.Receipt{}, err
	}
	return p.send(ctx, &r)
}

// String describes c without its credentials.
func (c Config) String() string { return adapter.Describe("ses.Config", c.BaseURL) }

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
