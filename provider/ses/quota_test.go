package ses

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

// account is SES's answer for an account.
func account(quota string) providertest.Answer {
	return providertest.JSON(200, `{"DedicatedIpAutoWarmupEnabled":false,"EnforcementStatus":"HEALTHY","ProductionAccessEnabled":true,`+
		`"SendQuota":`+quota+`,"SendingEnabled":true}`)
}

func TestQuota(t *testing.T) {
	for name, c := range map[string]struct {
		quota string
		want  mailer.Quota
	}{
		"some is left":        {`{"Max24HourSend":50000.0,"MaxSendRate":14.0,"SentLast24Hours":1234.0}`, mailer.Quota{Limit: 50000, Remaining: 48766, PerSecond: 14}},
		"a rate below one":    {`{"Max24HourSend":200,"MaxSendRate":0.5,"SentLast24Hours":0}`, mailer.Quota{Limit: 200, Remaining: 200, PerSecond: 0.5}},
		"nothing is left":     {`{"Max24HourSend":200,"MaxSendRate":1,"SentLast24Hours":200}`, mailer.Quota{Limit: 200, PerSecond: 1}},
		"more was sent":       {`{"Max24HourSend":200,"MaxSendRate":1,"SentLast24Hours":207}`, mailer.Quota{Limit: 200, PerSecond: 1}},
		"there is no limit":   {`{"Max24HourSend":-1,"MaxSendRate":-1,"SentLast24Hours":207}`, mailer.Quota{Limit: -1, Remaining: -1}},
		"the quota is nought": {`{"Max24HourSend":0,"MaxSendRate":0,"SentLast24Hours":0}`, mailer.Quota{}},
	} {
		t.Run(name, func(t *testing.T) {
			p, service := capture(t, key, account(c.quota))
			q, err := p.Quota(t.Context())
			require.NoError(t, err)
			require.Equal(t, c.want, q)
			require.Equal(t, "https://email.eu-west-1.amazonaws.com/v2/email/account", service.URL)
			require.Empty(t, service.Body)
			require.Contains(t, service.Header.Get("Authorization"), "/ses/aws4_request")
		})
	}
}

func TestVerify(t *testing.T) {
	const quota = `{"Max24HourSend":200,"MaxSendRate":1,"SentLast24Hours":0}`
	change := func(old, now string) providertest.Answer {
		a := account(quota)
		a.Body = strings.Replace(a.Body, old, now, 1)
		return a
	}
	for name, c := range map[string]struct {
		answer providertest.Answer
		ok     bool
		kind   mailer.Kind
	}{
		"the account is well":                 {account(quota), true, 0},
		"the account is in the sandbox":       {change(`"ProductionAccessEnabled":true`, `"ProductionAccessEnabled":false`), true, 0},
		"the account is watched":              {change("HEALTHY", "PROBATION"), true, 0},
		"the account is shut down":            {change("HEALTHY", "SHUTDOWN"), false, mailer.KindUnauthorized},
		"sending is switched off":             {change(`"SendingEnabled":true`, `"SendingEnabled":false`), false, mailer.KindUnauthorized},
		"the key may not ask":                 {nay(403, "AccessDeniedException", "not authorized to perform: ses:GetAccount"), false, mailer.KindUnknown},
		"the key is unknown":                  {nay(403, "UnrecognizedClientException", "The security token is invalid."), false, mailer.KindUnauthorized},
		"the secret is wrong":                 {nay(403, "SignatureDoesNotMatch", "Check your key."), false, mailer.KindUnauthorized},
		"status 401 and no body":              {providertest.Answer{Status: 401}, false, mailer.KindUnauthorized},
		"too many requests":                   {nay(429, "TooManyRequestsException", "Slow down."), false, mailer.KindRateLimited},
		"an outage":                           {providertest.Answer{Status: 503}, false, mailer.KindUnavailable},
		"an answer without a quota":           {change(quota, "null"), false, mailer.KindUnknown},
		"a web page with status 200":          {providertest.Answer{Status: 200, Body: "<html>"}, false, mailer.KindUnknown},
		"an empty answer":                     {providertest.JSON(200, "{}"), false, mailer.KindUnknown},
		"an answer for somebody else's words": {providertest.JSON(200, "[]"), false, mailer.KindUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := capture(t, key, c.answer)
			err := p.Verify(t.Context())
			if c.ok {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			require.Equal(t, c.kind.String(), mailer.KindOf(err).String(), "the kind of: %v", err)
			require.True(t, mailer.NotSent(err), "nothing was to be sent")
			if c.answer.Status != 200 || strings.HasPrefix(name, "an ") || strings.HasPrefix(name, "a web") {
				_, err := p.Quota(t.Context())
				require.Equal(t, c.kind.String(), mailer.KindOf(err).String(), "the kind of: %v", err)
			}
		})
	}
	t.Run("the service cannot be reached", func(t *testing.T) {
		c := key
		c.HTTPClient = &http.Client{Transport: providertest.RoundTrip(func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF })}
		p, err := New(c)
		require.NoError(t, err)
		err = p.Verify(t.Context())
		require.ErrorIs(t, err, mailer.KindNetwork)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	})
	t.Run("the caller gave up", func(t *testing.T) {
		p, service := capture(t, key, account(quota))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, p.Verify(ctx), mailer.KindCanceled)
		require.Empty(t, service.URL, "there was traffic")
	})
}
