package postmark

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
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
	hookPassword = "hook-password-0123456789"
	hookKey      = "hook-key-9876543210"
)

var hook = webhook.Basic{Username: "pm", Password: hookPassword}

func hookRequest(body []byte) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/postmark", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.SetBasicAuth(hook.Username, hook.Password)
	r.Header.Set("X-Hook-Key", hookKey)
	return r
}

const bounceSample = `{"RecordType":"Bounce","MessageStream":"outbound","ID":734410027,"Type":"SoftBounce","TypeCode":4096,` +
	`"Name":"Soft bounce","Tag":"welcome","MessageID":"5d0e6c2a-1b7f-4c55-8f61-3a9f2b7d9e04","Metadata":{"mailer_id":"mail-1","plan":"pro"},` +
	`"ServerID":4242,"Description":"Unable to deliver.","Details":"smtp;452 4.2.2 mailbox full","Email":"ada@example.com",` +
	`"From":"shop@example.com","BouncedAt":"2026-11-02T09:14:12.5512345Z","Inactive":false,"CanActivate":true,"Subject":"Welcome"}`

func TestWebhookConformance(t *testing.T) {
	config := WebhookConfig{
		Basic:   []webhook.Basic{{Username: "old", Password: "old-password-0123456789"}, hook},
		Headers: map[string]string{"X-Hook-Key": hookKey},
	}
	incomplete := func(c WebhookConfig) func() (webhook.Source, error) {
		return func() (webhook.Source, error) { return NewWebhook(c) }
	}
	webhooktest.Run(t, webhooktest.Spec{
		Name:    "postmark",
		Secrets: []string{hookPassword, "old-password-0123456789", hookKey},
		Config:  config,
		New:     func() (webhook.Source, error) { return NewWebhook(config) },
		Incomplete: map[string]func() (webhook.Source, error){
			"nothing":         incomplete(WebhookConfig{}),
			"no password":     incomplete(WebhookConfig{Basic: []webhook.Basic{hook, {Username: "pm"}}}),
			"no header value": incomplete(WebhookConfig{Basic: []webhook.Basic{hook}, Headers: map[string]string{"X-Hook-Key": ""}}),
			"no header name":  incomplete(WebhookConfig{Headers: map[string]string{"": "x"}}),
		},
		Request: hookRequest,
		Proof:   []string{"Authorization", "X-Hook-Key"},
		Forged: map[string]func([]byte) *http.Request{
			"another password": func(body []byte) *http.Request {
				r := hookRequest(body)
				r.SetBasicAuth(hook.Username, hookPassword+"0")
				return r
			},
			"another user's password": func(body []byte) *http.Request {
				r := hookRequest(body)
				r.SetBasicAuth("old", hookPassword)
				return r
			},
			"a bearer": func(body []byte) *http.Request {
				r := hookRequest(body)
				r.Header.Set("Authorization", "Bearer "+hookPassword)
				return r
			},
		},
		Sample: []byte(bounceSample),
		Sampled: webhook.Event{
			Type: webhook.Bounced, Bounce: webhook.Soft, Reason: webhook.ReasonQuota,
			MessageID: "5d0e6c2a-1b7f-4c55-8f61-3a9f2b7d9e04", MailID: "mail-1", Recipient: "ada@example.com",
			Time:   time.Date(2026, 11, 2, 9, 14, 12, 551234500, time.UTC),
			Detail: "smtp;452 4.2.2 mailbox full", SMTP: "452 4.2.2 mailbox full",
			Tags: []string{"welcome"}, Metadata: map[string]string{"plan": "pro"}, Stream: "outbound",
		},
		Unknown:   []byte(strings.Replace(bounceSample, `"Bounce"`, `"Teleport"`, 1)),
		RoundTrip: sendAndReport,
	})
}

// sendAndReport has a fake Postmark take m, and report it with what it was given.
func sendAndReport(t *testing.T, m mailer.Message) (mailer.Receipt, *http.Request) {
	const id = "7d5c9e1e-0000-4444-8888-123456789abc"
	var report map[string]any
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var got struct {
			Tag      string
			Metadata map[string]string
		}
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		report = map[string]any{
			"RecordType": "Delivery", "MessageStream": "outbound", "MessageID": id, "Recipient": m.To[0].Address,
			"DeliveredAt": "2026-11-02T09:14:11.1029384Z", "Tag": got.Tag, "Metadata": got.Metadata,
		}
		io.WriteString(w, `{"ErrorCode":0,"Message":"OK","MessageID":"`+id+`"}`)
	}))
	defer server.Close()
	p, err := New(Config{ServerToken: token, BaseURL: server.URL, HTTPClient: server.Client()})
	require.NoError(t, err)
	receipt, err := p.Send(t.Context(), m)
	require.NoError(t, err)
	body, err := json.Marshal(report)
	require.NoError(t, err)
	return receipt, hookRequest(body)
}

// read reads a payload that has to be one event.
func read(t *testing.T, payload string) webhook.Event {
	t.Helper()
	d, err := NewUnauthenticatedWebhook().Receive(t.Context(), &webhook.Request{Method: http.MethodPost, Body: []byte(payload)})
	require.NoError(t, err)
	require.Len(t, d.Events, 1)
	return d.Events[0]
}

func TestBounceTypes(t *testing.T) {
	for _, c := range []struct {
		name   string
		code   int
		typ    webhook.Type
		bounce webhook.Bounce
		reason webhook.Reason
	}{
		{"HardBounce", 1, webhook.Bounced, webhook.Hard, webhook.ReasonMailbox},
		{"Transient", 2, webhook.Deferred, "", webhook.ReasonOther},
		{"Unsubscribe", 16, webhook.Unsubscribed, "", ""},
		{"Subscribe", 32, webhook.Subscribed, "", ""},
		{"AutoResponder", 64, webhook.Autoresponded, "", ""},
		{"AddressChange", 128, webhook.Autoresponded, "", ""},
		{"DnsError", 256, webhook.Deferred, "", webhook.ReasonNetwork},
		{"SpamNotification", 512, webhook.Bounced, webhook.Soft, webhook.ReasonSpam},
		{"OpenRelayTest", 1024, webhook.Deferred, "", webhook.ReasonOther},
		{"Unknown", 2048, webhook.Bounced, webhook.Undetermined, webhook.ReasonOther},
		{"SoftBounce", 4096, webhook.Bounced, webhook.Soft, webhook.ReasonOther},
		{"VirusNotification", 8192, webhook.Bounced, webhook.Soft, webhook.ReasonSpam},
		{"ChallengeVerification", 16384, webhook.Autoresponded, "", ""},
		{"BadEmailAddress", 100000, webhook.Rejected, "", webhook.ReasonMailbox},
		{"SpamComplaint", 100001, webhook.Complained, "", ""},
		{"ManuallyDeactivated", 100002, webhook.Rejected, "", webhook.ReasonSuppressed},
		{"Unconfirmed", 100003, webhook.Rejected, "", webhook.ReasonOther},
		{"Blocked", 100006, webhook.Bounced, webhook.Soft, webhook.ReasonBlocked},
		{"SMTPApiError", 100007, webhook.Failed, "", webhook.ReasonOther},
		{"InboundError", 100008, webhook.Other, "", ""},
		{"DMARCPolicy", 100009, webhook.Rejected, "", webhook.ReasonBlocked},
		{"TemplateRenderingFailed", 100010, webhook.Failed, "", webhook.ReasonOther},
		{"Teleported", 424242, webhook.Bounced, webhook.Undetermined, webhook.ReasonOther},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, fields := range []string{
				fmt.Sprintf(`"Type":%q`, c.name), fmt.Sprintf(`"TypeCode":%d`, c.code), fmt.Sprintf(`"Type":"New","TypeCode":"%d"`, c.code),
			} {
				e := read(t, `{"RecordType":"Bounce","MessageID":"m","Email":"ada@example.com",`+fields+`}`)
				require.Equal(t, []any{c.typ, c.bounce, c.reason}, []any{e.Type, e.Bounce, e.Reason}, fields)
			}
		})
	}
	t.Run("a complaint whose type is that of older samples", func(t *testing.T) {
		require.Equal(t, webhook.Complained, read(t, `{"RecordType":"SpamComplaint","TypeCode":512}`).Type)
	})
	t.Run("the answer tells more", func(t *testing.T) {
		e := read(t, `{"RecordType":"Bounce","Type":"Transient","Details":"smtp;450 4.2.0 Greylisted"}`)
		require.Equal(t, webhook.ReasonThrottled, e.Reason)
	})
}

func TestSubscriptionChanges(t *testing.T) {
	change := func(fields string) string {
		return `{"RecordType":"SubscriptionChange","Recipient":"ada@example.com","MessageStream":"news","ChangedAt":"2026-11-04T07:30:00.12Z",` + fields + `}`
	}
	for _, c := range []struct {
		name, fields string
		typ          webhook.Type
		bounce       webhook.Bounce
	}{
		{"by the recipient", `"Origin":"Recipient","SuppressSending":true,"SuppressionReason":"ManualSuppression"`, webhook.Unsubscribed, ""},
		{"by ourselves", `"Origin":"Customer","SuppressSending":true,"SuppressionReason":"ManualSuppression"`, webhook.Unsubscribed, ""},
		{"for no reason", `"SuppressSending":true,"SuppressionReason":null`, webhook.Unsubscribed, ""},
		{"for a reason of next year", `"SuppressSending":true,"SuppressionReason":"Weather"`, webhook.Unsubscribed, ""},
		{"after a hard bounce", `"SuppressSending":true,"SuppressionReason":"HardBounce"`, webhook.Bounced, webhook.Hard},
		{"after a complaint", `"SuppressSending":true,"SuppressionReason":"SpamComplaint"`, webhook.Complained, ""},
		{"back again", `"SuppressSending":false,"SuppressionReason":"HardBounce"`, webhook.Subscribed, ""},
		{"without a word on what changed", `"SuppressionReason":"ManualSuppression"`, webhook.Other, ""},
		{"with a word that is none", `"SuppressSending":null,"MessageID":null,"Tag":null,"Metadata":null`, webhook.Other, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := read(t, change(c.fields))
			require.Equal(t, c.typ, e.Type)
			require.Equal(t, c.bounce, e.Bounce)
			require.Equal(t, "news", e.Stream)
			later := read(t, strings.Replace(change(c.fields), "07:30", "08:30", 1))
			repeats := c.typ == webhook.Bounced || c.typ == webhook.Complained
			require.Equal(t, repeats, e.ID == later.ID, "the ID of one that repeats another event stays")
		})
	}
}

// What Postmark says to tell events apart, and nothing else, makes the ID.
func TestIDs(t *testing.T) {
	for name, c := range map[string]struct{ payload, same, other string }{
		"delivery": {
			`{"RecordType":"Delivery","MessageID":"m","Recipient":"a@example.com","DeliveredAt":"2026-11-02T09:14:11Z"}`,
			`{"RecordType":"Delivery","MessageID":"m","Recipient":"a@example.com","DeliveredAt":"2026-11-02T09:14:11Z","Details":"x"}`,
			`{"RecordType":"Delivery","MessageID":"m","Recipient":"b@example.com","DeliveredAt":"2026-11-02T09:14:11Z"}`,
		},
		"bounce": {
			`{"RecordType":"Bounce","ID":1,"MessageID":"m"}`, `{"RecordType":"Bounce","ID":"1","MessageID":"m","Subject":"x"}`,
			`{"RecordType":"Bounce","ID":2,"MessageID":"m"}`,
		},
		"bounce without a number": {
			`{"RecordType":"Bounce","MessageID":"m","Email":"a@example.com"}`, `{"RecordType":"Bounce","MessageID":"m","Email":"a@example.com","Tag":"x"}`,
			`{"RecordType":"Bounce","MessageID":"m","Email":"b@example.com"}`,
		},
		"click": {
			`{"RecordType":"Click","MessageID":"m","OriginalLink":"https://example.com/a"}`, `{"RecordType":"Click","MessageID":"m","OriginalLink":"https://example.com/a","Platform":"x"}`,
			`{"RecordType":"Click","MessageID":"m","OriginalLink":"https://example.com/b"}`,
		},
		"open without anything": {`{"RecordType":"Open"}`, `{"RecordType":"Open"}`, `{"RecordType":"Open","x":1}`},
		"inbound":               {`{"FromFull":{},"MessageID":"m"}`, `{"FromFull":{},"MessageID":"m","Tag":"x"}`, `{"FromFull":{},"MessageID":"n"}`},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, read(t, c.payload).ID, read(t, c.same).ID)
			require.NotEqual(t, read(t, c.payload).ID, read(t, c.other).ID)
		})
	}
}

func TestEitherSecretWillDo(t *testing.T) {
	for name, c := range map[string]WebhookConfig{
		"a password": {Basic: []webhook.Basic{hook}}, "a header": {Headers: map[string]string{"x-hook-key": hookKey}},
	} {
		t.Run(name, func(t *testing.T) {
			w, err := NewWebhook(c)
			require.NoError(t, err)
			_, err = w.Receive(t.Context(), &webhook.Request{Method: http.MethodPost, Header: hookRequest(nil).Header, Body: []byte("{}")})
			require.NoError(t, err)
			_, err = w.Receive(t.Context(), &webhook.Request{Method: http.MethodPost, Header: http.Header{}, Body: []byte("{}")})
			require.ErrorIs(t, err, webhook.ErrUnverified)
		})
	}
}

func TestInboundMailMayBeLarge(t *testing.T) {
	w, err := NewWebhook(WebhookConfig{Basic: []webhook.Basic{hook}, MaxBody: 50 << 20})
	require.NoError(t, err)
	require.Equal(t, int64(50<<20), w.MaxBody())
	_, err = NewWebhook(WebhookConfig{Basic: []webhook.Basic{hook}, MaxBody: -1})
	require.ErrorContains(t, err, "MaxBody")
	require.Equal(t, int64(webhook.MaxBody), NewUnauthenticatedWebhook().MaxBody())
}

func FuzzReadEvent(f *testing.F) {
	files, err := filepath.Glob("testdata/webhook/*.json")
	if err != nil || len(files) == 0 {
		f.Fatal("no payloads", err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"FromFull":1,"ToFull":[{"Email":1},2],"Metadata":{"mailer_id":{}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		e, ok := readEvent(body)
		require.Equal(t, ok, json.Valid(body) && bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")))
		if ok {
			require.NotEmpty(t, e.ID)
			require.NotEmpty(t, e.Type)
			require.Equal(t, e.Type == webhook.Bounced, e.Bounce != "")
			require.Empty(t, e.Metadata["mailer_id"])
		}
	})
}

func ExampleNewWebhook() {
	hook, err := NewWebhook(WebhookConfig{Basic: []webhook.Basic{{Username: "pm", Password: "a long secret"}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("POST /hooks/postmark", webhook.Handler(hook, func(_ context.Context, events []webhook.Event) error {
		for _, e := range events {
			fmt.Println(e.Type, e.Bounce, e.Recipient)
		}
		return nil
	}))

	// What Postmark sends.
	body := strings.NewReader(`{"RecordType":"Bounce","Type":"HardBounce","Email":"ada@example.com"}`)
	r := httptest.NewRequest(http.MethodPost, "/hooks/postmark", body)
	r.SetBasicAuth("pm", "a long secret")
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println(w.Code)
	// Output:
	// bounced hard ada@example.com
	// 200
}
