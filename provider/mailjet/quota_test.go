package mailjet

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/providertest"
)

func TestVerify(t *testing.T) {
	const senders = `{"Count":1,"Data":[{"Email":"*@example.com","ID":8841,"Status":"Active"}],"Total":1}`
	for name, c := range map[string]struct {
		answer providertest.Answer
		ok     bool
		kind   mailer.Kind
	}{
		"the keys are good":                {providertest.JSON(200, senders), true, 0},
		"there is no sender yet":           {providertest.JSON(200, `{"Count":0,"Data":[],"Total":0}`), true, 0},
		"the keys are bad":                 {providertest.JSON(401, `{"ErrorInfo":"","ErrorMessage":"API key authentication/authorization failure.","StatusCode":401}`), false, mailer.KindUnauthorized},
		"the keys are bad, without a word": {providertest.Answer{Status: 401}, false, mailer.KindUnauthorized},
		"the API key is suspended":         {root(401, 401, "mj-0001", "Suspended."), false, mailer.KindUnauthorized},
		"the API key is in quarantine":     {root(401, 401, "mj-0001", "In quarantine."), false, mailer.KindQuota},
		"the key may not ask":              {providertest.Answer{Status: 403}, false, mailer.KindUnauthorized},
		"too many requests":                {providertest.Answer{Status: 429, Body: "Rate limit exceeded"}, false, mailer.KindRateLimited},
		"an outage":                        {providertest.Answer{Status: 503}, false, mailer.KindUnavailable},
		"a redirect":                       {providertest.JSON(302, senders), false, mailer.KindUnknown},
		"a web page with status 200":       {providertest.Answer{Status: 200, Body: "<html>"}, false, mailer.KindUnknown},
		"an empty answer":                  {providertest.JSON(200, "{}"), false, mailer.KindUnknown},
		"an answer for somebody else":      {providertest.JSON(200, `{"Messages":[{"Status":"success"}]}`), false, mailer.KindUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			var got *http.Request
			cfg := keys
			cfg.HTTPClient = &http.Client{Transport: providertest.RoundTrip(func(r *http.Request) (*http.Response, error) {
				got = r
				return &http.Response{StatusCode: c.answer.Status, Body: io.NopCloser(strings.NewReader(c.answer.Body))}, nil
			})}
			p, err := New(cfg)
			require.NoError(t, err)
			err = p.Verify(t.Context())
			require.Equal(t, "GET https://api.mailjet.com/v3/REST/sender?Limit=1", got.Method+" "+got.URL.String())
			require.Nil(t, got.Body)
			user, password, _ := got.BasicAuth()
			require.Equal(t, []string{apiKey, secretKey}, []string{user, password})
			if c.ok {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			require.Equal(t, c.kind.String(), mailer.KindOf(err).String(), "the kind of: %v", err)
			require.True(t, mailer.NotSent(err), "nothing was to be sent")
			require.NotContains(t, err.Error(), "may have been sent")
		})
	}
	t.Run("the service cannot be reached", func(t *testing.T) {
		c := keys
		c.HTTPClient = &http.Client{Transport: providertest.RoundTrip(func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF })}
		p, err := New(c)
		require.NoError(t, err)
		err = p.Verify(t.Context())
		require.ErrorIs(t, err, mailer.KindNetwork)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.True(t, mailer.NotSent(err))
	})
	t.Run("the answer breaks off", func(t *testing.T) {
		c := keys
		c.HTTPClient = &http.Client{Transport: providertest.RoundTrip(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: io.NopCloser(io.MultiReader(strings.NewReader(senders), broken{}))}, nil
		})}
		p, err := New(c)
		require.NoError(t, err)
		require.ErrorIs(t, p.Verify(t.Context()), mailer.KindNetwork)
	})
	t.Run("the caller gave up", func(t *testing.T) {
		p, service := capture(t, keys)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, p.Verify(ctx), mailer.KindCanceled)
		require.Empty(t, service.URL, "there was traffic")
	})
}

// broken is an answer that ends too soon.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
