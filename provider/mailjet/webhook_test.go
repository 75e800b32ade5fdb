package mailjet

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/providertest"
	"github.com/seed355143d4/mailer/webhook"
	"github.com/seed355143d4/mailer/webhook/webhooktest"
)

const hookPassword = "a password of webhooks"

var hook = WebhookConfig{Basic: []webhook.Basic{{Username: "old", Password: "an older password"}, {Username: "mailjet", Password: hookPassword}}}

// notified is a request of Mailjet.
func notified(body []byte) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.SetBasicAuth("mailjet", hookPassword)
	return r
}

func TestWebhookConformance(t *testing.T) {
	as := func(username, password string) func([]byte) *http.Request {
		return func(body []byte) *http.Request {
			r := notified(body)
			r.SetBasicAuth(username, password)
			return r
		}
	}
	refused := func(c WebhookConfig) func() (webhook.Source, error) {
		return func() (webhook.Source, error) { return NewWebhook(c) }
	}
	webhooktest.Run(t, webhooktest.Spec{
		Name:    "mailjet",
		Secrets: []string{hookPassword, "an older password"},
		Config:  hook,
		New:     refused(hook),
		Incomplete: map[string]func() (webhook.Source, error){
			"nothing":                refused(WebhookConfig{}),
			"no password":            refused(WebhookConfig{Basic: []webhook.Basic{{Username: "mailjet"}}}),
			"one without a password": refused(WebhookConfig{Basic: append(hook.Basic[:2:2], webhook.Basic{Username: "x"})}),
			"a colon in the name":    refused(WebhookConfig{Basic: []webhook.Basic{{Username: "a:b", Password: hookPassword}}}),
		},
		Request: notified,
		Proof:   []string{"Authorization"},
		Forged: map[string]func([]byte) *http.Request{
			"another's password": as("old", hookPassword),
			"another name":       as("", hookPassword),
		},
		Sample: []byte(`{"event":"sent","time":1793612463,"MessageID":1152921540123456789,"Message_GUID":"5d4710f5-9aff-4ff8-9d7e-1f0cf9125019",` +
			`"email":"amal@reader.example","customcampaign":"dispatch-note","smtp_reply":"sent (250 2.0.0 OK)","CustomID":"01HZX5J3A7",` +
			`"Payload":"{\"order_id\":\"8841\"}"}`),
		Sampled: webhook.Event{
			Type: webhook.Delivered, MessageID: "1152921540123456789", MailID: "01HZX5J3A7", Recipient: "amal@reader.example",
			Time: time.Unix(1793612463, 0).UTC(), Detail: "sent (250 2.0.0 OK)", SMTP: "250 2.0.0 OK",
			Tags: []string{"dispatch-note"}, Metadata: map[string]string{"order_id": "8841"},
		},
		Unknown:   []byte(`{"event":"teleported","time":1793612463,"MessageID":1152921540123456789,"email":"amal@reader.example"}`),
		Batch:     true,
		RoundTrip: reported,
	})
}

// reported sends m, and reports that its first recipient has it.
func reported(t *testing.T, m mailer.Message) (mailer.Receipt, *http.Request) {
	var said wireMessage
	c := keys
	c.HTTPClient = &http.Client{Transport: providertest.RoundTrip(func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		said = decode(t, body).Messages[0]
		entry, _ := taken(0, said)
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(`{"Messages":[` + entry + `]}`))}, err
	})}
	p, err := New(c)
	require.NoError(t, err)
	receipt, err := p.Send(t.Context(), m)
	require.NoError(t, err)
	body, err := json.Marshal(map[string]any{
		"event": "sent", "time": 1793612463, "MessageID": json.Number(fmt.Sprint(firstID)), "email": said.To[0].Email,
		"customcampaign": said.CustomCampaign, "CustomID": said.CustomID, "Payload": said.EventPayload,
	})
	require.NoError(t, err)
	return receipt, notified(body)
}

func TestWebhookIDsOutlastTheirRequest(t *testing.T) {
	w, err := NewWebhook(hook)
	require.NoError(t, err)
	receive := func(body []byte) []webhook.Event {
		d, err := w.Receive(t.Context(), &webhook.Request{Method: http.MethodPost, Header: notified(nil).Header, Body: body})
		require.NoError(t, err)
		return d.Events
	}
	body, err := os.ReadFile("testdata/webhook/documented.json")
	require.NoError(t, err)
	group := receive(body)
	require.Len(t, group, 8)
	for _, e := range group {
		// Mailjet may group the events of another try in another way.
		require.Equal(t, e.ID, receive(e.Raw)[0].ID, "alone")
		require.Equal(t, e.ID, receive([]byte("[" + string(e.Raw) + "]"))[0].ID, "in a list")
	}
	sample := `{"event":"click","time":1793612463,"MessageID":1152921540123456789,"Message_GUID":"g","CustomID":"c","email":"amal@reader.example","url":"u"}`
	ids := map[string]bool{receive([]byte(sample))[0].ID: true}
	for _, change := range [][2]string{
		{"click", "open"}, {"463", "464"}, {"789,", "790,"}, {`"g"`, `"h"`}, {`"c"`, `"d"`}, {"amal", "ada"}, {`"u"`, `"v"`},
	} {
		id := receive([]byte(strings.Replace(sample, change[0], change[1], 1)))[0].ID
		require.False(t, ids[id], "%s and %s are of one event", change[0], change[1])
		ids[id] = true
	}
}

func TestWebhookThatAsksForNothing(t *testing.T) {
	w := NewUnauthenticatedWebhook()
	d, err := w.Receive(t.Context(), &webhook.Request{Method: http.MethodPost, Body: []byte(`{"event":"spam"}`)})
	require.NoError(t, err)
	require.Len(t, d.Events, 1)
	require.Equal(t, webhook.Complained, d.Events[0].Type)
}

func TestWebhookKeepsNothingThatCanChange(t *testing.T) {
	c := WebhookConfig{Basic: []webhook.Basic{hook.Basic[1]}}
	w, err := NewWebhook(c)
	require.NoError(t, err)
	c.Basic[0].Password = "another"
	_, err = w.Receive(t.Context(), &webhook.Request{Method: http.MethodPost, Header: notified(nil).Header, Body: []byte(`[]`)})
	require.NoError(t, err)
}

func FuzzWebhook(f *testing.F) {
	for _, name := range []string{"documented", "single", "errors", "variants", "inbound"} {
		body, err := os.ReadFile("testdata/webhook/" + name + ".json")
		require.NoError(f, err)
		f.Add(body)
	}
	w := NewUnauthenticatedWebhook()
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := w.Receive(context.Background(), &webhook.Request{Method: http.MethodPost, Body: body})
		if err != nil {
			require.ErrorIs(t, err, webhook.ErrMalformed)
			require.Empty(t, d.Events)
			return
		}
		require.True(t, json.Valid(body))
		for _, e := range d.Events {
			require.NotEmpty(t, e.ID)
			require.NotEmpty(t, e.Type)
			require.True(t, json.Valid(e.Raw))
			require.Equal(t, e.Type == webhook.Bounced, e.Bounce != "")
			require.Empty(t, strings.Trim(e.MessageID, "0123456789"))
			_, err := json.Marshal(e)
			require.NoError(t, err)
		}
	})
}

// BenchmarkWebhook reads a list of 1,000 events.
func BenchmarkWebhook(b *testing.B) {
	one := `{"event":"sent","time":1793612463,"MessageID":1152921540123456789,"Message_GUID":"5d4710f5-9aff-4ff8-9d7e-1f0cf9125019",` +
		`"email":"amal@reader.example","mj_campaign_id":90311,"mj_contact_id":5518,"customcampaign":"dispatch-note",` +
		`"smtp_reply":"sent (250 2.0.0 OK)","CustomID":"01HZX5J3A7","Payload":"{\"order_id\":\"8841\"}"}`
	body := []byte("[" + strings.Repeat(one+",", 999) + one + "]")
	w, err := NewWebhook(hook)
	require.NoError(b, err)
	header := notified(nil).Header
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		d, err := w.Receive(b.Context(), &webhook.Request{Method: http.MethodPost, Header: header, Body: body})
		if err != nil || len(d.Events) != 1000 {
			b.Fatal(err, len(d.Events))
		}
	}
}
