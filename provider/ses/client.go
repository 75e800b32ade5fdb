package ses

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/httpapi"
)

// Where SendEmail and SendBulkEmail are.
const (
	sendPath = "/v2/email/outbound-emails"
	bulkPath = "/v2/email/outbound-bulk-emails"
)

// call is one call of the API: what it said and heard.
type call struct {
	secrets []string
	asked   error     // why there are no credentials
	senders [2]string // the addresses of a message that have to be verified

	resp *httpapi.Response // of any status, or
	err  error             // why there is none
}

// header is that of each request before it is signed. Its values are not changed.
var header = http.Header{"Accept": {"application/json"}, "Content-Type": {"application/json"}, "User-Agent": {httpapi.UserAgent}}

// post signs a body, sends it to a path of the API and decodes the answer. Nil:
// the answer is whole and of success.
func (p *Provider) post(ctx context.Context, c *call, path string, body httpapi.Body, out any) error {
	if err := ctx.Err(); err != nil {
		return p.failure(ctx, c, err)
	}
	key, err := p.credentials.retrieve(ctx, c)
	if err != nil {
		return p.failure(ctx, c, err)
	}
	to, err := p.api.URL(path)
	if err != nil {
		return p.failure(ctx, c, err)
	}
	hash := sha256.New()
	if _, err := body.WriteTo(hash); err != nil {
		return p.failure(ctx, c, err)
	}
	own := *to // the signer writes in it
	req := &http.Request{Method: http.MethodPost, URL: &own, Host: to.Host, Header: maps.Clone(header), ContentLength: body.Size()}
	now := time.Now().Add(time.Duration(p.skew.Load()))
	if err := p.signer.SignHTTP(ctx, key, req, hex.EncodeToString(hash.Sum(nil)), "ses", p.region, now); err != nil {
		return p.failure(ctx, c, err)
	}
	if p.forward(c, req.WithContext(ctx), body); c.err != nil {
		return c.err
	}
	if c.resp.Status != http.StatusOK {
		// The next signature is to be good if this one was not, which for SES is when
		// the clocks are five minutes apart.
		if date, err := http.ParseTime(c.resp.Header.Get("Date")); err == nil {
			p.skew.Store(int64(time.Until(date)))
		}
		return p.refusal(c, nil)
	}
	if err := c.resp.JSON(out); err != nil {
		return p.refusal(c, err)
	}
	return nil
}

// forward sends a signed request. One that the answer repeats has the signature in
// it, which is good for some minutes.
func (p *Provider) forward(c *call, req *http.Request, body httpapi.Body) {
	_, signature, _ := strings.Cut(req.Header.Get("Authorization"), "Signature=")
	c.secrets = append(c.secrets, signature)
	c.resp, c.err = p.api.Forward(req, body, c.secrets...)
}

// failure makes the error of a call that came to no request.
func (p *Provider) failure(ctx context.Context, c *call, err error) *mailer.Error {
	e := &mailer.Error{Provider: provider, NotSent: true}
	switch end := ctx.Err(); {
	case end != nil:
		e.Kind, err = mailer.KindOf(end), end
	case errors.Is(c.asked, context.DeadlineExceeded):
		e.Kind, err = mailer.KindNetwork, c.asked
	case c.asked != nil:
		e.Kind, e.Message, err = mailer.KindUnauthorized, "no credentials", c.asked
	}
	e.Err = p.api.Hiding(c.secrets...).Scrub(err)
	return e
}

// keeper is the user's provider of credentials.
type keeper struct{ aws.CredentialsProvider }

// retrieve tells the call which secrets are used.
func (k keeper) retrieve(ctx context.Context, c *call) (aws.Credentials, error) {
	if key, ok := k.CredentialsProvider.(credentials.StaticCredentialsProvider); ok {
		c.secrets = append(make([]string, 0, 3), key.Value.SecretAccessKey, key.Value.SessionToken)
		return key.Value, nil
	}
	ctx, cancel := context.WithTimeout(ctx, httpapi.DefaultTimeout)
	defer cancel()
	found, err := k.CredentialsProvider.Retrieve(ctx)
	c.secrets = append(c.secrets, found.SecretAccessKey, found.SessionToken)
	if err == nil && !found.HasKeys() {
		err = errors.New("Config.Credentials gave an empty key")
	}
	c.asked = err
	return found, err
}

// The SDK's own client makes the calls that send no mail. The credentials and the
// HTTP client that it is given find the call in the context.

type callKey struct{}

func callOf(ctx context.Context) *call { return ctx.Value(callKey{}).(*call) }

// newSDK returns the SDK's client.
func newSDK(c *Config, p *Provider) *sesv2.Client {
	return sesv2.New(sesv2.Options{
		Region:       c.Region,
		BaseEndpoint: aws.String(strings.TrimRight(c.BaseURL, "/")),
		Credentials:  p.credentials,
		Retryer:      aws.NopRetryer{},
		HTTPClient:   forwarder{p},
	})
}

// ask makes a call of the SDK. Nil: the answer is whole and of success.
func (p *Provider) ask(ctx context.Context, c *call, op func(ctx context.Context) error) error {
	err := op(context.WithValue(ctx, callKey{}, c))
	switch {
	case c.err != nil:
		return c.err
	case c.resp == nil:
		return p.failure(ctx, c, err)
	case err != nil || c.resp.Err != nil:
		return p.refusal(c, err)
	}
	return nil
}

// Retrieve is for the SDK's client.
func (k keeper) Retrieve(ctx context.Context) (aws.Credentials, error) {
	return k.retrieve(ctx, callOf(ctx))
}

// forwarder is the SDK's HTTP client: the one of all providers.
type forwarder struct{ p *Provider }

// Do sends a request which the SDK has signed.
func (f forwarder) Do(req *http.Request) (*http.Response, error) {
	c := callOf(req.Context())
	var body []byte
	if req.Body != nil {
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
	}
	if f.p.forward(c, req, httpapi.Bytes(body)); c.err != nil {
		return nil, c.err
	}
	return &http.Response{
		StatusCode:    c.resp.Status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        c.resp.Header,
		Body:          io.NopCloser(bytes.NewReader(c.resp.Body)),
		ContentLength: int64(len(c.resp.Body)),
		Request:       req,
	}, nil
}
