package socketlabs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
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

const hookSecret = "the secret of an endpoint"

var hook = WebhookConfig{ServerID: 12345, SecretKey: hookSecret}

// notified is a request of SocketLabs.
func notified(body []byte) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return r
}

func TestWebhookConformance(t *testing.T) {
	made := func(c WebhookConfig) func() (webhook.Source, error) {
		return func() (webhook.Source, error) { return NewWebhook(c) }
	}
	// with is a request in which something is replaced.
	with := func(old, new string) func([]byte) *http.Request {
		return func(body []byte) *http.Request {
			changed := bytes.Replace(body, []byte(old), []byte(new), 1)
			require.NotEqual(t, body, changed)
			return notified(changed)
		}
	}
	secret := `"SecretKey":"` + hookSecret + `"`
	webhooktest.Run(t, webhooktest.Spec{
		Name:    "socketlabs",
		Secrets: []string{hookSecret, "an old validation key"},
		Config:  WebhookConfig{ServerID: 12345, SecretKey: hookSecret, ValidationKey: "an old validation key"},
		New:     made(hook),
		Incomplete: map[string]func() (webhook.Source, error){
			"nothing":         made(WebhookConfig{}),
			"a bad server":    made(WebhookConfig{ServerID: -1, SecretKey: hookSecret}),
			"no secret":       made(WebhookConfig{ServerID: 12345}),
			"only a response": made(WebhookConfig{ServerID: 12345, ValidationKey: hookSecret}),
		},
		Request: notified,
		Forged: map[string]func([]byte) *http.Request{
			"no secret":                 with(secret, `"x":1`),
			"an empty secret":           with(secret, `"SecretKey":""`),
			"a null secret":             with(secret, `"SecretKey":null`),
			"another secret":            with(secret, `"SecretKey":"the secret of an endpoinT"`),
			"a shorter secret":          with(secret, `"SecretKey":"the secret of an endpoin"`),
			"a longer secret":           with(secret, `"SecretKey":"the secret of an endpoint "`),
			"a list of secrets":         with(secret, `"SecretKey":["`+hookSecret+`"]`),
			"a secret at another place": with(secret, `"Data":{`+secret+`}`),
			"no server":                 with(`"ServerId":12345`, `"x":1`),
			"another server":            with(`"ServerId":12345`, `"ServerId":12346`),
			"a number like the server":  with(`"ServerId":12345`, `"ServerId":1.2345e4`),
			"no server, and a mail":     with(`"ServerId":12345`, `"Message":{}`),
			"another server, of a mail": with(`"Type":"Delivered","DateTime":"2026-03-04T10:11:13.1234567Z","ServerId":12345`, `"ServerId":7,"Message":{}`),
			"a secret below another one": func(body []byte) *http.Request {
				return notified([]byte(`{"SecretKey":"another","data":` + string(body) + `}`))
			},
			"a secret two levels down": func(body []byte) *http.Request {
				return notified([]byte(`{"data":{"data":` + string(body) + `}}`))
			},
		},
		Sample: []byte(`{"Type":"Delivered","DateTime":"2026-03-04T10:11:13.1234567Z","ServerId":12345,` + secret + `,` +
			`"MessageId":"9f1c","MailingId":"m","Address":"dana@customer.example","Response":"250 2.0.0 OK",` +
			`"Meta":"x","Data":{"Meta":[{"Key":"order_id","Value":"10042"}],"Tags":["invoice"]}}`),
		Sampled: webhook.Event{
			Type: webhook.Delivered, MessageID: "9f1c", MailID: "9f1c", Recipient: "dana@customer.example",
			Time: time.Date(2026, 3, 4, 10, 11, 13, 123456700, time.UTC), Detail: "250 2.0.0 OK", SMTP: "250 2.0.0 OK",
			Tags: []string{"invoice"}, Metadata: map[string]string{"order_id": "10042"},
		},
		Unknown:   []byte(`{"Type":"Teleported","DateTime":"2026-03-04T10:11:13Z","ServerId":12345,` + secret + `,"MessageId":"9f1c","Address":"dana@customer.example"}`),
		Needed:    []string{"SecretKey", "ServerId"},
		RoundTrip: reported,
	})
}

// reported sends m, and reports that its first recipient has it.
func reported(t *testing.T, m mailer.Message) (mailer.Receipt, *http.Request) {
	p, service := capture(t, Config{ServerID: 12345, APIKey: key})
	receipt, err := p.Send(t.Context(), m)
	require.NoError(t, err)
	said := decode(t, service.Body).Messages[0]
	body, err := json.Marshal(map[string]any{
		"Type": "Delivered", "DateTime": "2026-03-04T10:11:13Z", "ServerId": 12345, "SecretKey": hookSecret,
		"MessageId": said.MessageId, "MailingId": said.MailingId, "Address": said.To[0].EmailAddress,
		"Data": map[string]any{"Meta": said.Metadata, "Tags": said.Tags},
	})
	require.NoError(t, err)
	return receipt, notified(body)
}

// receive gives a body to a source.
func receive(c WebhookConfig, body string) (webhook.Delivery, error) {
	w, err := NewWebhook(c)
	if err != nil {
		return webhook.Delivery{}, err
	}
	return w.Receive(context.Background(), &webhook.Request{Method: http.MethodPost, Body: []byte(body)})
}

func TestWebhookAnswersWithItsKey(t *testing.T) {
	legacy := hook
	legacy.ValidationKey = "an old validation key"
	for _, typ := range []string{"Validation", "validation", "Delivered", "Teleported"} {
		for _, body := range []string{
			fmt.Sprintf(`{"Type":%q,"ServerId":12345,"SecretKey":%q}`, typ, hookSecret),
			url.Values{"Type": {typ}, "ServerId": {"12345"}, "SecretKey": {hookSecret}}.Encode(),
		} {
			for want, c := range map[string]WebhookConfig{hookSecret: hook, "an old validation key": legacy} {
				d, err := receive(c, body)
				require.NoError(t, err)
				require.Equal(t, want, string(d.Body))
				require.Equal(t, "text/plain", d.ContentType)
				require.Equal(t, strings.EqualFold(typ, "Validation"), len(d.Events) == 0)

				d, err = receive(c, strings.Replace(body, "endpoint", "enemy", 1))
				require.ErrorIs(t, err, webhook.ErrUnverified)
				require.Empty(t, d.Body, "the key is told to a stranger")
			}
		}
	}
}

func TestWebhookOfAnAccount(t *testing.T) {
	account := hook
	account.ServerID = 0
	for _, server := range []string{`"ServerId":12345`, `"ServerId":7`, `"SubaccountId":7`} {
		d, err := receive(account, fmt.Sprintf(`{"Type":"Delivered",%s,"SecretKey":%q}`, server, hookSecret))
		require.NoError(t, err)
		require.Equal(t, webhook.Delivered, d.Events[0].Type)
		_, err = receive(account, fmt.Sprintf(`{"Type":"Delivered",%s,"SecretKey":"another"}`, server))
		require.ErrorIs(t, err, webhook.ErrUnverified)
	}
}

// Each code of a failure has its reason, as a number and as a string.
func TestFailureCodes(t *testing.T) {
	for code, want := range map[int]webhook.Reason{
		1002: webhook.ReasonBlocked, 1003: webhook.ReasonBlocked, 1004: webhook.ReasonSpam, 1006: webhook.ReasonThrottled,
		1007: webhook.ReasonSpam, 1011: webhook.ReasonOther, 1999: webhook.ReasonBlocked,
		2001: webhook.ReasonMailbox, 2002: webhook.ReasonMailbox, 2003: webhook.ReasonMailbox, 2004: webhook.ReasonMailbox,
		3001: webhook.ReasonQuota, 3002: webhook.ReasonMailbox, 3003: webhook.ReasonThrottled,
		4001: webhook.ReasonThrottled, 4002: webhook.ReasonNetwork, 4003: webhook.ReasonNetwork, 4004: webhook.ReasonNetwork,
		4006: webhook.ReasonBlocked,
		// These tell nothing, and the answer tells.
		2999: webhook.ReasonSize, 3999: webhook.ReasonSize, 4999: webhook.ReasonSize, 9999: webhook.ReasonSize, 7: webhook.ReasonSize,
	} {
		for _, form := range []string{"%d", `"%d"`} {
			for _, typ := range []string{`"Temporary"`, `"Permanent"`, "0", "1", `"1"`} {
				d, err := receive(hook, fmt.Sprintf(`{"Type":"Failed","FailureType":%s,"FailureCode":`+form+`,"DiagnosticCode":"smtp; 552 5.3.4 message too large",`+
					`"ServerId":12345,"SecretKey":%q}`, typ, code, hookSecret))
				require.NoError(t, err)
				require.Equal(t, want, d.Events[0].Reason, "%d", code)
				bounce := webhook.Soft
				if strings.ContainsAny(typ, "P1") {
					bounce = webhook.Hard
				}
				require.Equal(t, bounce, d.Events[0].Bounce)
			}
		}
	}
}

func TestWebhookEventsDiffer(t *testing.T) {
	sample := `{"Type":"Tracking","DateTime":"2026-03-04T12:00:00Z","ServerId":12345,"SecretKey":"` + hookSecret + `","MessageId":"m","MailingId":"l",` +
		`"Address":"a@customer.example","TrackingType":"0","Url":"u","FailureCode":1}`
	first, err := receive(hook, sample)
	require.NoError(t, err)
	ids := map[string]bool{first.Events[0].ID: true}
	for _, change := range [][2]string{
		{"Tracking", "Queued"}, {"12:00", "12:01"}, {`"m"`, `"n"`}, {`"l"`, `"k"`}, {`"a@`, `"b@`}, {`"0"`, `"1"`}, {`"u"`, `"v"`}, {":1}", ":2}"},
	} {
		d, err := receive(hook, strings.Replace(sample, change[0], change[1], 1))
		require.NoError(t, err)
		require.False(t, ids[d.Events[0].ID], "%s and %s are of one event", change[0], change[1])
		ids[d.Events[0].ID] = true
	}
}

func FuzzWebhook(f *testing.F) {
	files, err := filepath.Glob("testdata/webhook/*")
	require.NoError(f, err)
	for _, name := range files {
		if body, err := os.ReadFile(name); err == nil && !strings.HasSuffix(name, ".golden") {
			f.Add(body)
		}
	}
	w, err := NewWebhook(hook)
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := w.Receive(context.Background(), &webhook.Request{Method: http.MethodPost, Body: body})
		if err != nil {
			require.Empty(t, d.Events)
			require.Empty(t, d.Body)
			return
		}
		// Whatever the escapes are, who is believed knows the secret.
		plain, _ := url.QueryUnescape(string(body))
		require.True(t, bytes.Contains(body, []byte(hookSecret)) || strings.Contains(plain, hookSecret) || bytes.ContainsAny(body, `\`))
		require.LessOrEqual(t, len(d.Events), 1)
		for _, e := range d.Events {
			require.NotEmpty(t, e.ID)
			require.NotEmpty(t, e.Type)
			require.Equal(t, e.Type == webhook.Bounced, e.Bounce != "")
		}
	})
}
