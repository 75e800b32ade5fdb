package httpapi

import (
	"errors"
	"io"
	"net/http"

	"github.com/seed355143d4/mailer"
)

// Forward makes a request that another library has built and signed, such as a
// service's SDK. Its method, URL and header go out as they are, c's own BaseURL
// and Header do not. Its Body is not read: body is sent in its place. Everything
// else is as with Do, the time-out and the errors included.
//
// The secrets are those of this request. They never appear in the errors.
func (c *Client) Forward(req *http.Request, body Body, secrets ...string) (*Response, error) {
	resp, err := c.do(req.Context(), req.Method, req.URL, req.Header, body)
	if e, ok := errors.AsType[*mailer.Error](err); ok {
		e.Err = c.Hiding(secrets...).scrub(e.Err)
	}
	if resp != nil && resp.Err != nil {
		resp.Err = c.Hiding(secrets...).scrub(resp.Err)
	}
	return resp, err
}

// Hiding returns a Client whose errors hide these secrets, in place of those that
// c was made with. It is for credentials which change from one call to the next.
func (c *Client) Hiding(secrets ...string) *Client {
	return &Client{
		provider: c.provider,
		base:     c.base,
		rt:       c.rt,
		plain:    c.plain,
		timeout:  c.timeout,
		header:   c.header,
		bodyless: c.bodyless,
		hide:     replacer(secrets, nil),
	}
}

// Scrub returns err, or an error with the same words but for the secrets.
func (c *Client) Scrub(err error) error { return c.scrub(err) }

// Size is the Content-Length of the body, in bytes.
func (b Body) Size() int64 { return b.size }

// WriteTo writes the body as it is sent, for a signature over it. It changes
// nothing: the body can be sent afterwards.
func (b Body) WriteTo(w io.Writer) (int64, error) {
	if b.err != nil {
		return 0, b.err
	}
	if b.parts == nil {
		n, err := w.Write(b.small)
		return int64(n), err
	}
	return io.Copy(w, b.open(new(flight)))
}
