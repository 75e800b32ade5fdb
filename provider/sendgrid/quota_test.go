package sendgrid

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/providertest"
)

// answering returns a Provider whose calls to a path all get the answer.
func answering(t *testing.T, path string, answer providertest.Answer) *Provider {
	p, err := New(Config{APIKey: key, HTTPClient: &http.Client{Transport: providertest.RoundTrip(func(r *http.Request) (*http.Response, error) {
		require.Equal(t, "GET https://api.sendgrid.com"+path+" Bearer "+key, r.Method+" "+r.URL.String()+" "+r.Header.Get("Authorization"))
		require.Nil(t, r.Body)
		if answer.Status == 0 {
			return nil, errors.New("connection reset")
		}
		return &http.Response{StatusCode: answer.Status, ContentLength: -1, Body: io.NopCloser(strings.NewReader(answer.Body))}, nil
	})}})
	require.NoError(t, err)
	return p
}

// failures are the answers that neither Quota nor Verify can use.
var failures = map[string]struct {
	answer providertest.Answer
	kind   mailer.Kind
}{
	"a bad key":             {no(401, "", "The provided authorization grant is invalid, expired, or revoked"), mailer.KindUnauthorized},
	"a block":               {no(403, "", "You are temporarily blocked from sending emails due to repeated bad requests"), mailer.KindRateLimited},
	"too many calls":        {no(429, "", "too many requests"), mailer.KindRateLimited},
	"a fault of SendGrid":   {providertest.Answer{Status: 503, Body: "<html>"}, mailer.KindUnavailable},
	"a lost answer":         {providertest.Answer{}, mailer.KindNetwork},
	"an answer of nothing":  {providertest.JSON(200, `{}`), mailer.KindUnknown},
	"an answer of null":     {providertest.JSON(200, `{"scopes":null,"remain":null,"total":1}`), mailer.KindUnknown},
	"an answer of no JSON":  {providertest.Answer{Status: 200, Body: "<html>"}, mailer.KindUnknown},
	"an answer of the path": {providertest.JSON(202, `{"scopes":["mail.send"],"remain":1,"total":1}`), mailer.KindUnknown},
}

func requireUnsent(t *testing.T, err error, kind mailer.Kind) {
	t.Helper()
	e, ok := errors.AsType[*mailer.Error](err)
	require.True(t, ok)
	require.Equal(t, kind.String(), e.Kind.String())
	require.True(t, e.NotSent)
	require.Equal(t, "sendgrid", e.Provider)
	require.NotContains(t, err.Error(), key)
}

func TestQuota(t *testing.T) {
	const path = "/v3/user/credits"
	for name, c := range map[string]struct {
		body string
		want mailer.Quota
	}{
		"a month": {
			`{"remain":94120,"total":100000,"overage":0,"used":5880,"last_reset":"2026-11-01","next_reset":"2026-12-01","reset_frequency":"monthly"}`,
			mailer.Quota{Limit: 100000, Remaining: 94120, Reset: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)},
		},
		"nothing left":  {`{"remain":0,"total":100,"next_reset":"2026-11-25"}`, mailer.Quota{Limit: 100, Reset: time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)}},
		"over the plan": {`{"remain":-5,"total":100,"overage":5}`, mailer.Quota{Limit: 100}},
		"another date":  {`{"remain":7,"total":100,"next_reset":"soon"}`, mailer.Quota{Limit: 100, Remaining: 7}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := answering(t, path, providertest.JSON(200, c.body)).Quota(t.Context())
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
	for name, c := range failures {
		t.Run(name, func(t *testing.T) {
			q, err := answering(t, path, c.answer).Quota(t.Context())
			requireUnsent(t, err, c.kind)
			require.Equal(t, mailer.Quota{}, q)
		})
	}
	t.Run("a key for sending only", func(t *testing.T) {
		_, err := answering(t, path, no(403, "", "access forbidden")).Quota(t.Context())
		requireUnsent(t, err, mailer.KindUnknown)
		require.ErrorContains(t, err, "access forbidden")
	})
}

func TestVerify(t *testing.T) {
	const path = "/v3/scopes"
	t.Run("a good key", func(t *testing.T) {
		require.NoError(t, answering(t, path, providertest.JSON(200, `{"scopes":["alerts.read","mail.send"]}`)).Verify(t.Context()))
	})
	for _, scopes := range []string{`[]`, `["mail.send.read","alerts.read"]`, `[1,{"mail.send":1}]`} {
		t.Run("a key with the scopes "+scopes, func(t *testing.T) {
			err := answering(t, path, providertest.JSON(200, `{"scopes":`+scopes+`}`)).Verify(t.Context())
			requireUnsent(t, err, mailer.KindUnauthorized)
			require.ErrorContains(t, err, `lacks the scope "mail.send"`)
		})
	}
	for name, c := range failures {
		t.Run(name, func(t *testing.T) {
			requireUnsent(t, answering(t, path, c.answer).Verify(t.Context()), c.kind)
		})
	}
	t.Run("a key that may not ask", func(t *testing.T) {
		requireUnsent(t, answering(t, path, no(403, "", "access forbidden")).Verify(t.Context()), mailer.KindUnauthorized)
	})
}
