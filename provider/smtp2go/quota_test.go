package smtp2go

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/providertest"
)

// asked is a Provider whose service answers one question so.
func asked(t *testing.T, url string, status int, body string) *Provider {
	p, err := New(Config{APIKey: key, BaseURL: BaseURLEU, HTTPClient: providertest.Client(func(r *http.Request, b []byte) (int, string) {
		require.Equal(t, "POST "+url, r.Method+" "+r.URL.String())
		require.Equal(t, key, r.Header.Get("X-Smtp2go-Api-Key"))
		require.Equal(t, "{}", string(b))
		return status, body
	})})
	require.NoError(t, err)
	return p
}

// noes are answers that fail Verify and Quota alike.
var noes = map[string]struct {
	status int
	body   string
	kind   mailer.Kind
}{
	"an unknown key":       {500, fails(prefix+"API_EXCEPTION", "An API User matching the passed 'api_key' was not found"), mailer.KindUnauthorized},
	"a bad key":            {401, "", mailer.KindUnauthorized},
	"a bad day":            {503, "<html>", mailer.KindUnavailable},
	"too many questions":   {429, "", mailer.KindRateLimited},
	"a web page":           {200, "<html>", mailer.KindUnknown},
	"nothing":              {200, "{}", mailer.KindUnknown},
	"an error":             {200, `{"error":"no","data":["/email/send"]}`, mailer.KindUnknown},
	"data of another kind": {200, `{"data":7}`, mailer.KindUnknown},
}

func TestVerify(t *testing.T) {
	const url = "https://eu-api.smtp2go.com/v3/api_keys/permissions"
	require.NoError(t, asked(t, url, 200, `{"request_id":"r-1","data":["/stats/email_cycle","/email/send"]}`).Verify(t.Context()))
	require.NoError(t, asked(t, url, 200, `{"data":["/v3/email/send"]}`).Verify(t.Context()))
	for name, c := range noes {
		t.Run(name, func(t *testing.T) {
			err := asked(t, url, c.status, c.body).Verify(t.Context())
			require.ErrorIs(t, err, c.kind)
			require.True(t, mailer.NotSent(err))
			require.Equal(t, c.status, err.(*mailer.Error).Status)
		})
	}
	t.Run("a key that may not send", func(t *testing.T) {
		err := asked(t, url, 200, `{"data":["/email/search"]}`).Verify(t.Context())
		require.ErrorIs(t, err, mailer.KindUnauthorized)
		require.True(t, mailer.NotSent(err))
	})
	t.Run("the caller gives up", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p, err := New(Config{APIKey: key, HTTPClient: &http.Client{Transport: providertest.RoundTrip(func(*http.Request) (*http.Response, error) {
			cancel()
			return nil, ctx.Err()
		})}})
		require.NoError(t, err)
		err = p.Verify(ctx)
		require.ErrorIs(t, err, mailer.KindCanceled)
		require.True(t, mailer.NotSent(err), "nothing was to be sent")
	})
}

func TestQuota(t *testing.T) {
	const url = "https://eu-api.smtp2go.com/v3/stats/email_cycle"
	for name, c := range map[string]struct {
		members string
		want    mailer.Quota
	}{
		"with everything":              {`"cycle_end":"2022-11-30 01:00:00+00:00","cycle_used":3,"cycle_remaining":997,"cycle_max":1000`, mailer.Quota{Limit: 1000, Remaining: 997, Reset: time.Date(2022, 11, 30, 1, 0, 0, 0, time.UTC)}},
		"with a time of no zone":       {`"cycle_end":"2016-08-04 01:49:15.863998","cycle_remaining":0,"cycle_max":9007199254740993`, mailer.Quota{Limit: 9007199254740993, Reset: time.Date(2016, 8, 4, 1, 49, 15, 863998000, time.UTC)}},
		"with a time of the RFC":       {`"cycle_end":"2022-11-30T01:00:00+01:00","cycle_max":5`, mailer.Quota{Limit: 5, Remaining: -1, Reset: time.Date(2022, 11, 30, 0, 0, 0, 0, time.UTC)}},
		"with more used than there is": {`"cycle_remaining":-7,"cycle_max":1000`, mailer.Quota{Limit: 1000}},
		"with a number of no sense":    {`"cycle_remaining":"?","cycle_max":1000`, mailer.Quota{Limit: 1000, Remaining: -1}},
		"with a time of no format":     {`"cycle_end":"soon","cycle_remaining":5`, mailer.Quota{Limit: -1, Remaining: 5}},
	} {
		t.Run(name, func(t *testing.T) {
			q, err := asked(t, url, 200, says(c.members)).Quota(t.Context())
			require.NoError(t, err)
			require.Equal(t, c.want, q)
		})
	}
	for name, c := range noes {
		t.Run(name, func(t *testing.T) {
			q, err := asked(t, url, c.status, c.body).Quota(t.Context())
			require.ErrorIs(t, err, c.kind)
			require.True(t, mailer.NotSent(err))
			require.Zero(t, q)
		})
	}
	t.Run("an answer without the numbers", func(t *testing.T) {
		_, err := asked(t, url, 200, says(`"cycle_end":"2022-11-30 01:00:00+00:00"`)).Quota(t.Context())
		require.ErrorIs(t, err, mailer.KindUnknown)
		require.ErrorContains(t, err, "no cycle_max")
		require.True(t, mailer.NotSent(err))
	})
	t.Run("a key that may not ask is not called bad", func(t *testing.T) {
		_, err := asked(t, url, 400, fails(prefix+"ENDPOINT_PERMISSION_DENIED", "no")).Quota(t.Context())
		require.ErrorIs(t, err, mailer.KindUnknown)
		require.True(t, mailer.NotSent(err))
	})
}
