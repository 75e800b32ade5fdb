package smtp2go

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/providertest"
	"github.com/seed355143d4/mailer/suppression"
	"github.com/seed355143d4/mailer/webhook"
)

// told is a Provider whose service gets the bodies, and answers so.
func told(t *testing.T, url string, answer func(body string) (int, string)) *Provider {
	p, err := New(Config{APIKey: key, HTTPClient: providertest.Client(func(r *http.Request, b []byte) (int, string) {
		require.Equal(t, "POST "+BaseURL+url, r.Method+" "+r.URL.String())
		require.Equal(t, key, r.Header.Get("X-Smtp2go-Api-Key"))
		return answer(string(b))
	})})
	require.NoError(t, err)
	return p
}

const asking = `{"suppression_types":["manual","spam","unsubscribe","bounce","compliance"],"start_date":"2000-01-01T00:00:00Z"`

func TestPullSuppressions(t *testing.T) {
	p := told(t, "/suppression/view", func(body string) (int, string) {
		require.JSONEq(t, asking+"}", body)
		return 200, says(`"results":[
			{"email_address":"gone@example.com","reason":"bounce","complaint":null,"subject":"Hello","timestamp":"2026-03-04T10:11:12Z","block_description":""},
			{"email_address":"angry@example.com","reason":"spam","timestamp":"2026-03-04 10:11:13+00:00"},
			{"email_address":"left@example.com","reason":"Unsubscribe","timestamp":"soon"},
			{"email_address":"hand@example.com","reason":"manual","block_description":"on the phone"},
			{"email_address":"law@example.com","reason":"compliance"},
			{"email_address":"example.net","reason":"something"}],"continue_token":"t-2","total_results":7`)
	})
	page, next, err := p.PullSuppressions(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, "t-2", next)
	at := time.Date(2026, 3, 4, 10, 11, 12, 0, time.UTC)
	require.Equal(t, []suppression.Entry{
		{Address: "gone@example.com", Reason: suppression.HardBounce, Source: "smtp2go", Created: at},
		{Address: "angry@example.com", Reason: suppression.Complaint, Source: "smtp2go", Created: at.Add(time.Second)},
		{Address: "left@example.com", Reason: suppression.Unsubscribe, Source: "smtp2go"},
		{Address: "hand@example.com", Reason: suppression.Manual, Source: "smtp2go", Detail: "on the phone"},
		{Address: "law@example.com", Reason: suppression.Manual, Source: "smtp2go"},
		{Address: "example.net", Reason: suppression.Manual, Source: "smtp2go"},
	}, page)

	for members, want := range map[string]string{
		`"results":[{"email_address":"a@example.com"}],"continue_token":null`: "",
		`"results":[{"email_address":"a@example.com"}]`:                       "",
		`"results":[{"email_address":"a@example.com"}],"continue_token":"t"`:  "t",
		`"results":[],"continue_token":"t"`:                                   "", // or it would go on for ever
	} {
		p := told(t, "/suppression/view", func(body string) (int, string) {
			require.JSONEq(t, asking+`,"continue_token":"t-2"}`, body)
			return 200, says(members)
		})
		_, next, err := p.PullSuppressions(t.Context(), "t-2")
		require.NoError(t, err)
		require.Equal(t, want, next, members)
	}
	t.Run("with a long description", func(t *testing.T) {
		p := told(t, "/suppression/view", func(string) (int, string) {
			return 200, says(`"results":[{"email_address":"a@example.com","block_description":"x` + strings.Repeat("\u00e9", webhook.MaxText) + `"}]`)
		})
		page, _, err := p.PullSuppressions(t.Context(), "")
		require.NoError(t, err)
		require.Equal(t, "x"+strings.Repeat("\u00e9", (webhook.MaxText-1)/2), page[0].Detail)
	})
}

func TestPullSuppressionsThatFails(t *testing.T) {
	all := map[string]struct {
		status int
		body   string
		kind   mailer.Kind
	}{
		"a key that may not":        {400, fails(prefix+"ENDPOINT_PERMISSION_DENIED", "no"), mailer.KindUnknown},
		"no list":                   {200, says(`"total_results":0`), mailer.KindUnknown},
		"a list of another kind":    {200, says(`"results":{"a":1},"continue_token":"t"`), mailer.KindUnknown},
		"an entry without address":  {200, says(`"results":[{"email_address":"a@example.com"},{"reason":"spam"}]`), mailer.KindUnknown},
		"an entry of another kind":  {200, says(`"results":[7]`), mailer.KindUnknown},
		"half a list":               {200, `{"data":{"results":[{"email_address":"a@example.com"}`, mailer.KindUnknown},
		"an error beside the list ": {200, says(`"results":[],"error":"no"`), mailer.KindUnknown},
	}
	for name, c := range noes {
		all[name] = c
	}
	for name, c := range all {
		t.Run(name, func(t *testing.T) {
			page, next, err := told(t, "/suppression/view", func(string) (int, string) { return c.status, c.body }).PullSuppressions(t.Context(), "")
			require.ErrorIs(t, err, c.kind)
			require.True(t, mailer.NotSent(err))
			require.Empty(t, page)
			require.Empty(t, next)
		})
	}
}

func TestPushSuppressions(t *testing.T) {
	entries := []suppression.Entry{
		{Address: "gone@example.com", Reason: suppression.HardBounce, Detail: "550 5.1.1 no such user"},
		{Address: "\"a b\"@example.com", Reason: suppression.Unsubscribe, Stream: "newsletter"},
		{Address: "hand@example.com"},
	}
	var got []string
	takes, status, body := 100, 200, `{"request_id":"r-1","data":{}}`
	p := told(t, "/suppression/add", func(said string) (int, string) {
		got = append(got, said)
		if len(got) == takes+1 {
			return status, body
		}
		return 200, `{"request_id":"r-1","data":{"email_address":"x"}}`
	})
	done, err := p.PushSuppressions(t.Context(), entries)
	require.NoError(t, err)
	require.Equal(t, 3, done)
	require.Equal(t, []string{
		`{"email_address":"gone@example.com","block_description":"hard_bounce"}`,
		`{"email_address":"\"a b\"@example.com","block_description":"unsubscribe"}`,
		`{"email_address":"hand@example.com"}`,
	}, got)

	for name, c := range map[string]struct {
		status int
		body   string
		kind   mailer.Kind
	}{
		"a key that may not":   {400, fails(prefix+"ENDPOINT_PERMISSION_DENIED", "no"), mailer.KindUnknown},
		"an address that is":   {400, fails(prefix+"NON_VALIDATING_IN_PAYLOAD", "email_address is not valid"), mailer.KindRejected},
		"an error under a 200": {200, fails("", "no"), mailer.KindUnknown},
		"an outage":            {503, "", mailer.KindUnavailable},
		"already an outage":    {503, `{"data":{"error":"already"}}`, mailer.KindUnavailable},
		"too many requests":    {429, "", mailer.KindRateLimited},
		"a web page":           {200, "<html>", mailer.KindUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			got, takes, status, body = nil, 1, c.status, c.body
			done, err := p.PushSuppressions(t.Context(), entries)
			require.ErrorIs(t, err, c.kind)
			require.True(t, mailer.NotSent(err))
			require.Equal(t, 1, done)
			require.Len(t, got, 2)
			more, err := p.PushSuppressions(t.Context(), entries[done:])
			require.NoError(t, err)
			require.Equal(t, 2, more)
		})
	}
	t.Run("one that is there", func(t *testing.T) {
		got, takes, status, body = nil, 1, 400, fails(prefix+"API_EXCEPTION", "The address is already suppressed")
		done, err := p.PushSuppressions(t.Context(), entries)
		require.NoError(t, err)
		require.Equal(t, 3, done)
	})
	t.Run("what is no address", func(t *testing.T) {
		got, takes = nil, 100
		done, err := p.PushSuppressions(t.Context(), []suppression.Entry{entries[0], {Address: "a\xff@example.com"}, entries[1]})
		require.ErrorIs(t, err, mailer.KindInvalid)
		require.Equal(t, "entries[1].Address", err.(*mailer.Error).Field)
		require.Equal(t, 1, done)
		require.Len(t, got, 1)
	})
	t.Run("the caller gives up", func(t *testing.T) {
		got = nil
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		done, err := p.PushSuppressions(ctx, entries)
		require.ErrorIs(t, err, mailer.KindCanceled)
		require.True(t, mailer.NotSent(err))
		require.Zero(t, done)
		require.Empty(t, got)
	})
}

func ExampleProvider_PullSuppressions() {
	p, err := New(Config{APIKey: key, HTTPClient: providertest.Client(func(*http.Request, []byte) (int, string) {
		return 200, `{"data":{"results":[{"email_address":"gone@example.com","reason":"bounce"}],"continue_token":null}}`
	})})
	if err != nil {
		fmt.Println(err)
		return
	}
	for cursor := ""; ; {
		page, next, err := p.PullSuppressions(context.Background(), cursor)
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, e := range page {
			fmt.Println(e.Address, e.Reason)
		}
		if next == "" {
			return
		}
		cursor = next
	}
	// Output: gone@example.com hard_bounce
}
