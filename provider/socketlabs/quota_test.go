package socketlabs

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/providertest"
)

func TestVerify(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		kind   mailer.Kind
		good   bool
	}{
		"a good key":                     {200, says(200, "NoMessages").Body, 0, true},
		"a good key with another status": {400, says(400, "nomessages").Body, 0, true},
		"a good key and nothing to do":   {200, yes200, 0, true},
		"a bad key":                      {200, says(200, "InvalidAuthentication").Body, mailer.KindUnauthorized, false},
		"a bad key by the status":        {401, "", mailer.KindUnauthorized, false},
		"a disabled account":             {200, says(200, "AccountDisabled").Body, mailer.KindUnauthorized, false},
		"too many bad keys":              {200, says(200, "TooManyErrors").Body, mailer.KindRateLimited, false},
		"a malformed call":               {200, says(200, "InvalidData").Body, mailer.KindRejected, false},
		"a bad day":                      {503, "<html>", mailer.KindUnavailable, false},
		"a server error":                 {500, says(500, "InternalError").Body, mailer.KindUnavailable, false},
		"a success with status 500":      {500, yes200, mailer.KindUnavailable, false},
		"a web page":                     {200, "<html>", mailer.KindUnknown, false},
		"a warning":                      {200, says(200, "Warning").Body, mailer.KindUnknown, false},
	} {
		t.Run(name, func(t *testing.T) {
			var body string
			client := providertest.Client(func(r *http.Request, b []byte) (int, string) {
				require.Equal(t, "POST https://inject.socketlabs.com/api/v1/email", r.Method+" "+r.URL.String())
				require.Equal(t, "Bearer "+key, r.Header.Get("Authorization"))
				body = string(b)
				return c.status, c.body
			})
			p, err := New(Config{ServerID: 12345, APIKey: key, HTTPClient: client})
			require.NoError(t, err)
			err = p.Verify(t.Context())
			require.Equal(t, `{"ServerId":12345,"Messages":[]}`, body)
			if c.good {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, c.kind)
			require.True(t, mailer.NotSent(err))
			require.Equal(t, c.status, err.(*mailer.Error).Status)
		})
	}
	t.Run("a legacy key goes into the body", func(t *testing.T) {
		p, service := capture(t, Config{ServerID: 12345, APIKey: legacy})
		require.NoError(t, p.Verify(t.Context()))
		require.Equal(t, legacy, decode(t, service.Body).ApiKey)
	})
	t.Run("the caller gives up", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		client := &http.Client{Transport: providertest.RoundTrip(func(*http.Request) (*http.Response, error) {
			cancel()
			return nil, ctx.Err()
		})}
		p, err := New(Config{ServerID: 12345, APIKey: key, HTTPClient: client})
		require.NoError(t, err)
		err = p.Verify(ctx)
		require.ErrorIs(t, err, mailer.KindCanceled)
		require.True(t, mailer.NotSent(err), "nothing was to be sent")
	})
}
