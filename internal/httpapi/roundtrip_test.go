package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
)

type played func(*http.Request) (*http.Response, error)

func (f played) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestForward(t *testing.T) {
	signed := func(t *testing.T) *http.Request {
		r, err := http.NewRequestWithContext(t.Context(), "PUT", "https://email.example.com/v2/a%2Fb?q=1", strings.NewReader("not this"))
		require.NoError(t, err)
		r.Header = http.Header{"Authorization": {"AWS4 Signature=0123456789abcdef"}, "X-Own": {"x"}}
		return r
	}
	start := func(t *testing.T, f played) *Client {
		c, err := New(Config{
			Provider: "acme", BaseURL: "https://elsewhere.example.com", HTTPClient: &http.Client{Transport: f},
			Header: http.Header{"X-Other": {"y"}},
		})
		require.NoError(t, err)
		return c
	}
	t.Run("sends what was signed, and the body", func(t *testing.T) {
		var got *http.Request
		var body []byte
		c := start(t, func(r *http.Request) (*http.Response, error) {
			var err error
			got = r
			body, err = io.ReadAll(r.Body)
			return &http.Response{StatusCode: 307, Header: http.Header{"Location": {"https://evil.example/"}}, Body: io.NopCloser(strings.NewReader("moved"))}, err
		})
		r, err := c.Forward(signed(t), Bytes([]byte("this")))
		require.NoError(t, err)
		require.Equal(t, 307, r.Status)
		require.Equal(t, "moved", string(r.Body))
		require.Equal(t, "PUT", got.Method)
		require.Equal(t, "https://email.example.com/v2/a%2Fb?q=1", got.URL.String())
		require.Equal(t, "email.example.com", got.Host)
		require.Equal(t, int64(4), got.ContentLength)
		require.Equal(t, "this", string(body))
		require.Equal(t, signed(t).Header, got.Header)
	})
	t.Run("hides the secrets of the request in its error", func(t *testing.T) {
		cause := errors.New("said 0123456789abcdef")
		c := start(t, func(*http.Request) (*http.Response, error) {
			return nil, fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, cause)
		})
		_, err := c.Forward(signed(t), Bytes([]byte("this")), "0123456789abcdef")
		require.ErrorIs(t, err, mailer.KindNetwork)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.NotContains(t, fmt.Sprintf("%+v", err), "0123456789abcdef")
		require.Contains(t, err.Error(), hidden)
	})
	t.Run("hides them in the error of a broken answer", func(t *testing.T) {
		c := start(t, func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: io.NopCloser(io.MultiReader(strings.NewReader("half"), failing{errors.New("said 0123456789abcdef")}))}, nil
		})
		r, err := c.Forward(signed(t), Bytes([]byte("this")), "0123456789abcdef")
		require.NoError(t, err)
		require.EqualError(t, r.Err, "said "+hidden)
	})
	t.Run("hides them in the words of an answer", func(t *testing.T) {
		c := start(t, nil).Hiding("0123456789abcdef")
		e := c.Error(&Response{Status: 403}, mailer.KindUnauthorized, "", "said 0123456789abcdef")
		require.Equal(t, "said "+hidden, e.Message)
		require.Equal(t, "acme", e.Provider)
		require.EqualError(t, c.Scrub(errors.New("0123456789abcdef")), hidden)
		require.NoError(t, c.Scrub(nil))
	})
}

func TestBodyCanBeReadForASignature(t *testing.T) {
	var files Files
	json := `{"a":"` + files.Add(bytes.Repeat([]byte{1, 2, 3, 4}, 30_000)) + `"}`
	var lacking Files
	lacking.Add([]byte("x"))
	for name, b := range map[string]Body{
		"none": {}, "small": Bytes([]byte("{}")), "large": Bytes(make([]byte, inMemory+1)), "with a file": files.Body([]byte(json)),
	} {
		t.Run(name, func(t *testing.T) {
			sent, err := io.ReadAll(b.open(new(flight)))
			require.NoError(t, err)
			for range 2 { // it changes nothing
				var w bytes.Buffer
				n, err := b.WriteTo(&w)
				require.NoError(t, err)
				require.Equal(t, b.Size(), n)
				require.Equal(t, int64(len(sent)), n)
				require.True(t, bytes.Equal(sent, w.Bytes()))
			}
		})
	}
	_, err := lacking.Body([]byte("{}")).WriteTo(io.Discard)
	require.Error(t, err)
}
