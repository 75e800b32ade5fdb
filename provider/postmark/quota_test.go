package postmark_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/postmark"
)

type verifyTrip func(*http.Request) (*http.Response, error)

func (f verifyTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestVerify(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		kind   mailer.Kind
		code   string
	}{
		"a good token":               {200, `{"ID":1,"Name":"a","ApiTokens":["secret-of-server"]}`, 0, ""},
		"a bad token":                {401, `{"ErrorCode":10,"Message":"Bad token"}`, mailer.KindUnauthorized, "10"},
		"a fault of Postmark":        {503, `{"ErrorCode":100,"Message":"Maintenance"}`, mailer.KindUnavailable, "100"},
		"too many calls":             {429, ``, mailer.KindRateLimited, ""},
		"an answer without a server": {200, `{"ApiTokens":["secret-of-server"]}`, mailer.KindUnknown, ""},
		"an answer that is no JSON":  {200, `secret-of-server`, mailer.KindUnknown, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := postmark.New(postmark.Config{ServerToken: "token", HTTPClient: &http.Client{Transport: verifyTrip(func(r *http.Request) (*http.Response, error) {
				require.Equal(t, "GET /server token", r.Method+" "+r.URL.Path+" "+r.Header.Get("X-Postmark-Server-Token"))
				return &http.Response{StatusCode: c.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(c.body)), Request: r}, nil
			})}})
			require.NoError(t, err)
			err = p.Verify(t.Context())
			if c.status == 200 && strings.Contains(c.body, `"ID"`) {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, c.kind)
			e, ok := errors.AsType[*mailer.Error](err)
			require.True(t, ok)
			require.True(t, e.NotSent)
			require.Equal(t, c.code, e.Code)
			require.NotContains(t, err.Error(), "secret-of-server")
		})
	}
}
