package ses

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/httpapi"
)

// call is one call of the SDK. The SDK builds and signs the request and reads the
// answer of success. What it loses or may not do is done here, at three places
// which find the call in the context: it keeps the secrets that were used, puts
// the files into the body, and keeps the answer as it came.
type call struct {
	files   files
	body    httpapi.Body
	secrets []string
	asked   error // why there are no credentials

	resp *httpapi.Response // of any status, or
	err  error             // why there is none
}

type callKey struct{}

func callOf(ctx context.Context) *call { return ctx.Value(callKey{}).(*call) }

// newSDK returns the SDK's client.
func newSDK(c *Config, api *httpapi.Client) *sesv2.Client {
	return sesv2.New(sesv2.Options{
		Region:       c.Region,
		BaseEndpoint: aws.String(strings.TrimRight(c.BaseURL, "/")),
		Credentials:  keeper{c.Credentials},
		Retryer:      aws.NopRetryer{}, // a send that is repeated may be a second mail
		HTTPClient:   forwarder{api},
		APIOptions: []func(*middleware.Stack) error{func(s *middleware.Stack) error {
			return s.Finalize.Insert(middleware.FinalizeMiddlewareFunc("mailerBody", finish), "ComputePayloadHash", middleware.Before)
		}},
	})
}

// do makes a call of the SDK. Nil: the answer is whole and of success.
func (p *Provider) do(ctx context.Context, c *call, from mailer.Address, op func(ctx context.Context) error) error {
	err := op(context.WithValue(ctx, callKey{}, c))
	switch {
	case c.err != nil:
		return c.err
	case c.resp == nil:
		return p.failure(ctx, c, err)
	case err != nil || c.resp.Err != nil:
		return p.refusal(c, from, err)
	}
	return nil
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
type keeper struct{ from aws.CredentialsProvider }

// Retrieve tells the call which secrets are used.
func (k keeper) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c := callOf(ctx)
	ctx, cancel := context.WithTimeout(ctx, httpapi.DefaultTimeout)
	defer cancel()
	found, err := k.from.Retrieve(ctx)
	c.secrets = append(c.secrets, found.SecretAccessKey, found.SessionToken)
	if err == nil && !found.HasKeys() {
		err = errors.New("Config.Credentials gave an empty key")
	}
	c.asked = err
	return found, err
}

// finish puts the files into the request's body, before it is signed.
func finish(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
	req, ok := in.Request.(*smithyhttp.Request)
	if !ok {
		return middleware.FinalizeOutput{}, middleware.Metadata{}, fmt.Errorf("unexpected request of type %T", in.Request)
	}
	if stream := req.GetStream(); stream != nil {
		size, _, err := req.StreamLength()
		if err != nil {
			return middleware.FinalizeOutput{}, middleware.Metadata{}, err
		}
		json := make([]byte, size)
		if _, err := io.ReadFull(stream, json); err != nil {
			return middleware.FinalizeOutput{}, middleware.Metadata{}, err
		}
		c := callOf(ctx)
		c.body = c.files.body(json)
		hash := sha256.New()
		if _, err := c.body.WriteTo(hash); err != nil {
			return middleware.FinalizeOutput{}, middleware.Metadata{}, err
		}
		ctx = v4.SetPayloadHash(ctx, hex.EncodeToString(hash.Sum(nil)))
		req.ContentLength = c.body.Size()
	}
	return next.HandleFinalize(ctx, in)
}

// forwarder is the SDK's HTTP client: the one of all providers.
type forwarder struct{ api *httpapi.Client }

// Do sends a signed request. A request that the answer repeats has the signature
// in it, which is good for some minutes.
func (f forwarder) Do(req *http.Request) (*http.Response, error) {
	c := callOf(req.Context())
	_, signature, _ := strings.Cut(req.Header.Get("Authorization"), "Signature=")
	c.secrets = append(c.secrets, signature)
	c.resp, c.err = f.api.Forward(req, c.body, c.secrets...)
	if c.err != nil {
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

// files are the files of a request. The SDK would have each in memory as base64.
// It gets a short mark in place of one, and the body has the file again.
type files struct {
	nonce    string
	contents [][]byte
}

// add takes a file and returns its mark.
func (f *files) add(content []byte) []byte {
	if f.nonce == "" {
		f.nonce = rand.Text()
	}
	f.contents = append(f.contents, content)
	return f.mark(len(f.contents) - 1)
}

// mark is of a length that base64 needs no padding for.
func (f *files) mark(i int) []byte { return fmt.Appendf(nil, "%s%07d", f.nonce, i) }

// body makes the body of the SDK's JSON.
func (f *files) body(json []byte) httpapi.Body {
	var all httpapi.Files
	for i, content := range f.contents {
		mark := base64.StdEncoding.EncodeToString(f.mark(i))
		json = bytes.Replace(json, []byte(mark), []byte(all.Add(content)), 1)
	}
	return all.Body(json)
}
