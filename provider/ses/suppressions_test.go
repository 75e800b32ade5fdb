package ses

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/providertest"
	"github.com/seed355143d4/mailer/suppression"
)

const (
	listed = `{"SuppressedDestinationSummaries":[
		{"EmailAddress":"gone@example.com","Reason":"BOUNCE","LastUpdateTime":1772619072.5},
		{"EmailAddress":"angry@example.com","Reason":"COMPLAINT","LastUpdateTime":1772619073},
		{"EmailAddress":"new@example.com","Reason":"SOMETHING","LastUpdateTime":1772619074}],"NextToken":"a+b/c=="}`
	suppressionURL = "https://email.eu-west-1.amazonaws.com/v2/email/suppression/addresses"
)

func TestPullSuppressions(t *testing.T) {
	p, service := capture(t, key, providertest.JSON(200, listed))
	page, next, err := p.PullSuppressions(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, suppressionURL, service.URL)
	require.Equal(t, "a+b/c==", next)
	at := time.Date(2026, 3, 4, 10, 11, 12, 0, time.UTC)
	require.Equal(t, []suppression.Entry{
		{Address: "gone@example.com", Reason: suppression.HardBounce, Source: "ses", Created: at.Add(500 * time.Millisecond)},
		{Address: "angry@example.com", Reason: suppression.Complaint, Source: "ses", Created: at.Add(time.Second)},
		{Address: "new@example.com", Reason: suppression.Manual, Source: "ses", Created: at.Add(2 * time.Second)},
	}, page)

	t.Run("goes on at the cursor", func(t *testing.T) {
		p, service := capture(t, key, providertest.JSON(200, `{"SuppressedDestinationSummaries":[]}`))
		page, next, err := p.PullSuppressions(t.Context(), "a+b/c==")
		require.NoError(t, err)
		require.Empty(t, page)
		require.Empty(t, next)
		require.Equal(t, suppressionURL+"?"+url.Values{"NextToken": {"a+b/c=="}}.Encode(), service.URL)
	})
}

// suppressionNoes are answers that fail Pull and Push alike.
var suppressionNoes = map[string]struct {
	answer providertest.Answer
	kind   mailer.Kind
}{
	"the key may not":       {nay(403, "AccessDeniedException", "not authorized"), mailer.KindUnknown},
	"the key is unknown":    {nay(403, "UnrecognizedClientException", "The security token is invalid."), mailer.KindUnauthorized},
	"too many requests":     {nay(429, "TooManyRequestsException", "Slow down."), mailer.KindRateLimited},
	"a bad request":         {nay(400, "BadRequestException", "Invalid address."), mailer.KindRejected},
	"an outage":             {providertest.Answer{Status: 503}, mailer.KindUnavailable},
	"a cursor that is gone": {nay(400, "InvalidNextTokenException", "Expired."), mailer.KindUnknown},
}

func TestPullSuppressionsThatFails(t *testing.T) {
	for name, c := range suppressionNoes {
		t.Run(name, func(t *testing.T) {
			p, _ := capture(t, key, c.answer)
			page, next, err := p.PullSuppressions(t.Context(), "x")
			require.ErrorIs(t, err, c.kind)
			require.True(t, mailer.NotSent(err))
			require.Empty(t, page)
			require.Empty(t, next)
		})
	}
	for _, body := range []string{"<html>", "{}", "[]", `{"SuppressedDestinationSummaries":null,"NextToken":"x"}`} {
		p, _ := capture(t, key, providertest.JSON(200, body))
		page, next, err := p.PullSuppressions(t.Context(), "")
		require.ErrorIs(t, err, mailer.KindUnknown, body)
		require.True(t, mailer.NotSent(err))
		require.Empty(t, page)
		require.Empty(t, next)
	}
}

// suppressor plays SES's list. It takes as many as it is told.
type suppressor struct {
	takes  int
	answer providertest.Answer
	got    []string
}

func (s *suppressor) provider(t *testing.T) *Provider {
	c := key
	c.HTTPClient = &http.Client{Transport: providertest.RoundTrip(func(r *http.Request) (*http.Response, error) {
		require.Equal(t, "PUT "+suppressionURL, r.Method+" "+r.URL.String())
		var said struct{ EmailAddress, Reason string }
		d := json.NewDecoder(r.Body)
		d.DisallowUnknownFields()
		require.NoError(t, d.Decode(&said))
		answer := providertest.JSON(200, "{}")
		if len(s.got) == s.takes {
			answer = s.answer
		}
		s.got = append(s.got, said.Reason+" "+said.EmailAddress)
		h := http.Header{}
		for name, value := range answer.Header {
			h.Set(name, value)
		}
		return &http.Response{StatusCode: answer.Status, Header: h, Body: io.NopCloser(strings.NewReader(answer.Body))}, nil
	})}
	p, err := New(c)
	require.NoError(t, err)
	return p
}

func TestPushSuppressions(t *testing.T) {
	s := &suppressor{takes: 100}
	entries := []suppression.Entry{
		{Address: "gone@example.com", Reason: suppression.HardBounce},
		{Address: "angry@example.com", Reason: suppression.Complaint},
		{Address: "full@example.com", Reason: suppression.SoftBounce, Expires: time.Now()},
		{Address: "left@example.com", Reason: suppression.Unsubscribe, Stream: "newsletter"},
		{Address: "other@example.com", Reason: suppression.Manual},
	}
	done, err := s.provider(t).PushSuppressions(t.Context(), entries)
	require.NoError(t, err)
	require.Equal(t, 5, done)
	require.Equal(t, []string{
		"BOUNCE gone@example.com", "COMPLAINT angry@example.com", "BOUNCE full@example.com", "BOUNCE left@example.com", "BOUNCE other@example.com",
	}, s.got)

	for name, c := range suppressionNoes {
		t.Run(name, func(t *testing.T) {
			s := &suppressor{takes: 2, answer: c.answer}
			p := s.provider(t)
			done, err := p.PushSuppressions(t.Context(), entries)
			require.ErrorIs(t, err, c.kind)
			require.True(t, mailer.NotSent(err))
			require.Equal(t, 2, done)
			s.takes = -1
			more, err := p.PushSuppressions(t.Context(), entries[done:])
			require.NoError(t, err)
			require.Equal(t, 3, more)
			require.Len(t, s.got, 6, "each once, and the one that failed twice")
		})
	}
	t.Run("what is no address", func(t *testing.T) {
		s := &suppressor{takes: 100}
		done, err := s.provider(t).PushSuppressions(t.Context(), []suppression.Entry{{Address: "a@example.com"}, {}})
		require.ErrorIs(t, err, mailer.KindInvalid)
		require.Equal(t, "entries[1].Address", err.(*mailer.Error).Field)
		require.Equal(t, 1, done)
		require.Len(t, s.got, 1)
	})
	t.Run("none", func(t *testing.T) {
		done, err := new(suppressor).provider(t).PushSuppressions(t.Context(), nil)
		require.NoError(t, err)
		require.Zero(t, done)
	})
	t.Run("the caller gives up", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		s := &suppressor{takes: 100}
		done, err := s.provider(t).PushSuppressions(ctx, entries)
		require.ErrorIs(t, err, mailer.KindCanceled)
		require.Zero(t, done)
		require.Empty(t, s.got)
	})
}

func ExampleProvider_PullSuppressions() {
	client := &http.Client{Transport: providertest.RoundTrip(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(
			`{"SuppressedDestinationSummaries":[{"EmailAddress":"gone@example.com","Reason":"BOUNCE","LastUpdateTime":1772619072}]}`))}, nil
	})}
	p, err := New(Config{Region: "eu-west-1", AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret", HTTPClient: client})
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
