package smtp2go

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/webhook"
	"github.com/seed355143d4/mailer/webhook/webhooktest"
)

const (
	hookToken    = "token-of-webhooks-0123456789"
	hookPassword = "a password of webhooks"
)

var hook = WebhookConfig{
	Bearer: []string{"an-older-token-0123456789", hookToken},
	Basic:  []webhook.Basic{{Username: "smtp2go", Password: hookPassword}},
}

// notified is a request of SMTP2GO.
func notified(body []byte) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+hookToken)
	return r
}

func TestWebhookConformance(t *testing.T) {
	made := func(c WebhookConfig) func() (webhook.Source, error) {
		return func() (webhook.Source, error) { return NewWebhook(c) }
	}
	authorized := func(value string) func([]byte) *http.Request {
		return func(body []byte) *http.Request {
			r := notified(body)
			r.Header.Set("Authorization", value)
			return r
		}
	}
	webhooktest.Run(t, webhooktest.Spec{
		Name:    "smtp2go",
		Secrets: []string{hookToken, "an-older-token-0123456789", hookPassword},
		Config:  hook,
		New:     made(hook),
		Incomplete: map[string]func() (webhook.Source, error){
			"nothing":             made(WebhookConfig{}),
			"an empty token":      made(WebhookConfig{Bearer: []string{hookToken, ""}}),
			"a token with blanks": made(WebhookConfig{Bearer: []string{hookToken + " x"}}),
			"an empty password":   made(WebhookConfig{Bearer: hook.Bearer, Basic: []webhook.Basic{{Username: "smtp2go"}}}),
		},
		Request: notified,
		Proof:   []string{"Authorization"},
		Forged: map[string]func([]byte) *http.Request{
			"the token alone":         authorized(hookToken),
			"the token as a password": authorized("Basic " + hookToken),
			"the token twice":         authorized("Bearer " + hookToken + "," + hookToken),
			"the password as a token": authorized("Bearer " + hookPassword),
		},
		Sample: []byte(`{"event":"delivered","id":"1f0e","time":"2026-03-04T10:11:13Z","email_id":"1u0SwL-B9zBpi9ffUq-JAB2",` +
			`"rcpt":"dana@customer.example","message":"250 2.0.0 Ok: queued","X-Mailer-Id":"id-1"}`),
		Sampled: webhook.Event{
			Type: webhook.Delivered, MessageID: "1u0SwL-B9zBpi9ffUq-JAB2", MailID: "id-1", Recipient: "dana@customer.example",
			Time: time.Date(2026, 3, 4, 10, 11, 13, 0, time.UTC), Detail: "250 2.0.0 Ok: queued", SMTP: "250 2.0.0 Ok: queued",
		},
		Unknown:   []byte(`{"event":"teleported","id":"1f0e","time":"2026-03-04T10:11:13Z","email_id":"1u0SwL-B9zBpi9ffUq-JAB2","rcpt":"dana@customer.example"}`),
		RoundTrip: reported,
	})
}

func TestWebhookTakesEachOfItsSecrets(t *testing.T) {
	w, err := NewWebhook(hook)
	require.NoError(t, err)
	basic := func(user, password string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	}
	for value, want := range map[string]error{
		"Bearer " + hookToken:              nil,
		"bearer " + hookToken:              nil,
		"Bearer " + hook.Bearer[0]:         nil,
		basic("smtp2go", hookPassword):     nil,
		basic("another", hookPassword):     webhook.ErrUnverified,
		basic("smtp2go", hookPassword+"x"): webhook.ErrUnverified,
		"Bearer x" + hookToken:             webhook.ErrUnverified,
		"Bearer":                           webhook.ErrUnverified,
		"":                                 webhook.ErrUnverified,
	} {
		_, err := w.Receive(t.Context(), &webhook.Request{
			Method: http.MethodPost, Header: http.Header{"Authorization": {value}}, Body: []byte("{}"),
		})
		require.ErrorIs(t, err, want, value)
	}
	// A kind of secret that is not set lets nobody in.
	w, err = NewWebhook(WebhookConfig{Basic: hook.Basic})
	require.NoError(t, err)
	_, err = w.Receive(t.Context(), &webhook.Request{Method: http.MethodPost, Header: http.Header{"Authorization": {"Bearer "}}})
	require.ErrorIs(t, err, webhook.ErrUnverified)
}

func TestWebhookKeepsNothingThatCanChange(t *testing.T) {
	c := WebhookConfig{Bearer: []string{hookToken}, Basic: []webhook.Basic{{Username: "smtp2go", Password: hookPassword}}}
	w, err := NewWebhook(c)
	require.NoError(t, err)
	c.Bearer[0], c.Basic[0].Password = "another", "another"
	require.Equal(t, []string{hookToken}, w.bearer)
	require.Equal(t, hookPassword, w.basic[0].Password)
}

// reported sends m, and reports that its first recipient has it.
func reported(t *testing.T, m mailer.Message) (mailer.Receipt, *http.Request) {
	p, service := capture(t, Config{APIKey: key})
	receipt, err := p.Send(t.Context(), m)
	require.NoError(t, err)
	report := map[string]any{
		"event": "delivered", "time": "2026-03-04T10:11:13Z", "email_id": "1u0SwL-B9zBpi9ffUq-JAB2", "rcpt": m.To[0].Address,
	}
	for _, h := range decode(t, service.Body).CustomHeaders {
		report[h.Header] = h.Value // as the webhook's "headers" ask for
	}
	body, err := json.Marshal(report)
	require.NoError(t, err)
	return receipt, notified(body)
}

// receive gives a body to a source that believes everybody.
func receive(body string) ([]webhook.Event, error) {
	d, err := NewUnauthenticatedWebhook().Receive(context.Background(), &webhook.Request{Method: http.MethodPost, Body: []byte(body)})
	return d.Events, err
}

func TestWebhookNamesDifferInCaseAndHyphens(t *testing.T) {
	want, err := receive(`{"event":"click","email_id":"m","X-Mailer-Id":"i","click_url":"u","rcpt":"a@customer.example"}`)
	require.NoError(t, err)
	for _, body := range []string{
		`{"EVENT":"click","Email-Id":"m","x_mailer_id":"i","CLICK-URL":"u","Rcpt":"a@customer.example"}`,
		"EVENT=click&email-id=m&X_Mailer-ID=i&Click_Url=u&RCPT=a%40customer.example",
		"event=click&email_id=&email-id=m&x-mailer-id=&X-Mailer-Id=i&click_url=u&rcpt=a%40customer.example",
	} {
		got, err := receive(body)
		require.NoError(t, err)
		got[0].Raw = want[0].Raw
		require.Equal(t, want, got, body)
	}
}

func TestWebhookEventTypes(t *testing.T) {
	for name, want := range map[string]webhook.Type{
		"processed": webhook.Accepted, "delivered": webhook.Delivered, "bounce": webhook.Bounced, "reject": webhook.Rejected,
		"spam": webhook.Complained, "spam_complaint": webhook.Complained, "open": webhook.Opened, "opened": webhook.Opened,
		"click": webhook.Clicked, "clicked": webhook.Clicked, "unsubscribe": webhook.Unsubscribed, "unsubscribed": webhook.Unsubscribed,
		"resubscribe": webhook.Subscribed, "teleported": webhook.Other, "": webhook.Other,
	} {
		events, err := receive(`{"event":"` + name + `","rcpt":"a@customer.example"}`)
		require.NoError(t, err)
		require.Len(t, events, 1)
		require.Equal(t, want, events[0].Type, name)
	}
	for _, name := range []string{"sms_delivered", "sms-sending", "opt-out"} {
		events, err := receive(`{"event":"` + name + `"}`)
		require.NoError(t, err)
		require.Empty(t, events, name)
	}
}

func TestWebhookEventsDiffer(t *testing.T) {
	sample := `{"event":"click","id":"i","email_id":"m","rcpt":"a@customer.example","time":"2026-03-04T12:01:00Z","link":"u"}`
	first, err := receive(sample)
	require.NoError(t, err)
	ids := map[string]bool{first[0].ID: true}
	for _, change := range [][2]string{{"click", "open"}, {`"i"`, `"j"`}, {`"m"`, `"n"`}, {`"a@`, `"b@`}, {":00Z", ":01Z"}, {`"u"`, `"v"`}} {
		got, err := receive(strings.Replace(sample, change[0], change[1], 1))
		require.NoError(t, err)
		require.False(t, ids[got[0].ID], "%s and %s are of one event", change[0], change[1])
		ids[got[0].ID] = true
	}
}

func TestWebhookRefusesWhatItCannotRead(t *testing.T) {
	many := `{"event":"processed","recipients":["` + strings.Repeat("a,b,", 2) + strings.Join(addresses10001(), ",") + `"]}`
	for name, body := range map[string]string{
		"nothing":              "",
		"blanks":               " \n",
		"a list":               `[{"event":"open"}]`,
		"a text":               `"open"`,
		"half an object":       `{"event":"open"`,
		"a form of no event":   "rcpt=a%40customer.example",
		"a malformed form":     "event=open&rcpt=%zz",
		"a page":               "<html>",
		"too many recipients":  many,
		"an object and a form": `{"event":"open"}&event=open`,
	} {
		t.Run(name, func(t *testing.T) {
			events, err := receive(body)
			require.ErrorIs(t, err, webhook.ErrMalformed)
			require.Empty(t, events)
		})
	}
}

// addresses10001 are one more than an event may be about.
func addresses10001() (list []string) {
	for i := range webhook.MaxEvents + 1 {
		list = append(list, strings.Repeat("x", 1+i%100)+"@"+strings.Repeat("y", 1+i/100)+".example")
	}
	return list
}

func FuzzWebhook(f *testing.F) {
	files, err := filepath.Glob("testdata/webhook/*")
	require.NoError(f, err)
	for _, name := range files {
		if body, err := os.ReadFile(name); err == nil && !strings.HasSuffix(name, ".golden") {
			f.Add(string(body))
		}
	}
	f.Fuzz(func(t *testing.T, body string) {
		events, err := receive(body)
		if err != nil {
			require.ErrorIs(t, err, webhook.ErrMalformed)
			require.Empty(t, events)
			return
		}
		ids := map[string]bool{}
		for _, e := range events {
			require.False(t, ids[e.ID], "two events with one ID")
			ids[e.ID] = true
			require.NotEmpty(t, e.Type)
			require.Equal(t, e.Type == webhook.Bounced, e.Bounce != "")
			require.Equal(t, body, string(e.Raw))
		}
	})
}
