package elasticemail

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/providertest"
)

// asked is a Provider whose service answers one question so.
func asked(t *testing.T, status int, body string) *Provider {
	p, err := New(Config{APIKey: key, HTTPClient: providertest.Client(func(r *http.Request, b []byte) (int, string) {
		require.Equal(t, "GET https://api.elasticemail.com/v2/account/load", r.Method+" "+r.URL.String())
		require.Equal(t, key, r.Header.Get("X-ElasticEmail-ApiKey"))
		require.Empty(t, b)
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
	"a bad key":                        {200, `{"success":false,"error":"APIKey Expired"}`, mailer.KindUnauthorized},
	"a bad key with status 400":        {400, no("Incorrect apikey"), mailer.KindUnauthorized},
	"a bad key with status 401":        {401, "", mailer.KindUnauthorized},
	"a suspended account":              {200, `{"success":false,"error":"Account suspended"}`, mailer.KindUnauthorized},
	"a key that may not ask":           {200, `{"success":false,"error":"Access Denied."}`, mailer.KindUnknown},
	"a key that may not ask, with 403": {403, no("access denied"), mailer.KindUnknown},
	"a bad day":                        {503, "<html>", mailer.KindUnavailable},
	"too many questions":               {429, "", mailer.KindRateLimited},
	"a web page":                       {200, "<html>", mailer.KindUnknown},
	"nothing":                          {200, "{}", mailer.KindUnknown},
	"a success of nothing":             {200, `{"success":true}`, mailer.KindUnknown},
	"data without a success":           {200, `{"data":{"email":"a@example.com"}}`, mailer.KindUnknown},
	"data beside an error":             {200, `{"success":true,"data":{},"error":"no"}`, mailer.KindUnknown},
	"data of another kind":             {200, `{"success":true,"data":[]}`, mailer.KindUnknown},
}

func TestVerify(t *testing.T) {
	require.NoError(t, asked(t, 200, `{"success":true,"data":{"email":"owner@example.com","credit":0}}`).Verify(t.Context()))
	for name, c := range noes {
		t.Run(name, func(t *testing.T) {
			err := asked(t, c.status, c.body).Verify(t.Context())
			require.ErrorIs(t, err, c.kind)
			require.True(t, mailer.NotSent(err))
			require.Equal(t, c.status, err.(*mailer.Error).Status)
		})
	}
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
	for name, c := range map[string]struct {
		members string
		want    mailer.Quota
	}{
		"with credits":                     {`"emailcredits":1200,"dailysendlimit":50000,"credit":7.5`, mailer.Quota{Limit: -1, Remaining: 1200}},
		"without credits":                  {`"emailcredits":0,"dailysendlimit":50000`, mailer.Quota{Limit: 50000, Remaining: -1}},
		"in the letters of v4":             {`"EmailCredits":"1200"`, mailer.Quota{Limit: -1, Remaining: 1200}},
		"with more credits than a float":   {`"emailcredits":9007199254740993`, mailer.Quota{Limit: -1, Remaining: 9007199254740993}},
		"with numbers of no sense":         {`"emailcredits":"?","dailysendlimit":-1`, mailer.Quota{Limit: -1, Remaining: -1}},
		"with null":                        {`"emailcredits":null,"dailysendlimit":null`, mailer.Quota{Limit: -1, Remaining: -1}},
		"without any number":               {`"email":"owner@example.com"`, mailer.Quota{Limit: -1, Remaining: -1}},
		"with a daily limit and no number": {`"dailysendlimit":100`, mailer.Quota{Limit: 100, Remaining: -1}},
	} {
		t.Run(name, func(t *testing.T) {
			q, err := asked(t, 200, `{"success":true,"data":{`+c.members+`}}`).Quota(t.Context())
			require.NoError(t, err)
			require.Equal(t, c.want, q)
		})
	}
	for name, c := range noes {
		t.Run(name, func(t *testing.T) {
			q, err := asked(t, c.status, c.body).Quota(t.Context())
			require.ErrorIs(t, err, c.kind)
			require.True(t, mailer.NotSent(err))
			require.Zero(t, q)
		})
	}
}
