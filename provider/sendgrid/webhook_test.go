package sendgrid

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sendgrid/sendgrid-go/helpers/eventwebhook"
	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/webhook"
	"github.com/seed355143d4/mailer/webhook/webhooktest"
)

// signer plays SendGrid.
type signer struct {
	private *ecdsa.PrivateKey
	public  string
}

func newSigner() signer {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		panic(err)
	}
	return signer{private, base64.StdEncoding.EncodeToString(der)}
}

func (s signer) sign(timestamp string, body []byte) string {
	sum := sha256.Sum256(append([]byte(timestamp), body...))
	sig, err := ecdsa.SignASN1(rand.Reader, s.private, sum[:])
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(sig)
}

func (s signer) request(body []byte) *http.Request {
	return signedRequest("1793612410", s.sign("1793612410", body), body)
}

func signedRequest(timestamp, signature string, body []byte) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/sendgrid", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(timestampField, timestamp)
	r.Header.Set(signatureField, signature)
	return r
}

var one, two = newSigner(), newSigner()

const sample = `{"email":"ada@example.com","timestamp":1793612463,"smtp-id":"<Kd0Q3sTtRkWn2yq8Zp6v1A@geopod-ismtpd-1>",` +
	`"event":"deferred","category":["welcome"],"sg_event_id":"ZGVmLTE","sg_message_id":"Kd0Q3sTtRkWn2yq8Zp6v1A.recvd-85abf-1-1.0",` +
	`"response":"452 4.2.2 mailbox full","attempt":"1","tls":1,"asm_group_id":1187,"mailer_id":"mail-1","plan":"pro"}`

func TestWebhookConformance(t *testing.T) {
	config := WebhookConfig{PublicKeys: []string{one.public, two.public}}
	webhooktest.Run(t, webhooktest.Spec{
		Name:   "sendgrid",
		Config: config,
		New:    func() (webhook.Source, error) { return NewWebhook(config) },
		Incomplete: map[string]func() (webhook.Source, error){
			"no key":       func() (webhook.Source, error) { return NewWebhook(WebhookConfig{}) },
			"an empty key": func() (webhook.Source, error) { return NewWebhook(WebhookConfig{PublicKeys: []string{one.public, ""}}) },
		},
		Request: one.request,
		Proof:   []string{timestampField, signatureField},
		Signed:  true,
		Forged: map[string]func([]byte) *http.Request{
			"signed with another key": newSigner().request,
			"signed at another time": func(body []byte) *http.Request {
				return signedRequest("1793612411", one.sign("1793612410", body), body)
			},
			"without a signed time": func(body []byte) *http.Request {
				return signedRequest("", one.sign("", body), body)
			},
			"with a byte of the body signed as one of the time": func(body []byte) *http.Request {
				return signedRequest("1793612410"+string(body[:1]), one.sign("1793612410", body), body[1:])
			},
			"with more behind the signature": func(body []byte) *http.Request {
				der, _ := base64.StdEncoding.DecodeString(one.sign("1793612410", body))
				return signedRequest("1793612410", base64.StdEncoding.EncodeToString(append(der, 0)), body)
			},
		},
		Sample: []byte(sample),
		Sampled: webhook.Event{
			Type: webhook.Deferred, Reason: webhook.ReasonQuota, MessageID: "Kd0Q3sTtRkWn2yq8Zp6v1A", MailID: "mail-1",
			Recipient: "ada@example.com", Time: time.Unix(1793612463, 0).UTC(), Detail: "452 4.2.2 mailbox full",
			SMTP: "452 4.2.2 mailbox full", Tags: []string{"welcome"}, Metadata: map[string]string{"plan": "pro"}, Stream: "1187",
		},
		Unknown:   []byte(`{"email":"ada@example.com","timestamp":1793612463,"event":"teleported","sg_event_id":"x","sg_message_id":"m.0"}`),
		Batch:     true,
		RoundTrip: sendAndReport,
	})
}

// sendAndReport has a fake SendGrid take m, and report it with what it was given.
func sendAndReport(t *testing.T, m mailer.Message) (mailer.Receipt, *http.Request) {
	var event map[string]any
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var got struct {
			Personalizations []struct{ To []struct{ Email string } }
			Categories       []string
			CustomArgs       map[string]string `json:"custom_args"`
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || json.Unmarshal(body, &got) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		const id = "a-b_C0Q3sTtRkWn2yq8Zp6"
		event = map[string]any{
			"email": got.Personalizations[0].To[0].Email, "event": "delivered", "timestamp": 1793612463,
			"sg_message_id": id + ".recvd-85abf-1-1.0", "category": got.Categories,
		}
		for key, value := range got.CustomArgs {
			event[key] = value
		}
		w.Header().Set("X-Message-Id", id)
		w.WriteHeader(http.StatusAccepted)
	}))
	defer server.Close()
	p, err := New(Config{APIKey: key, BaseURL: server.URL, HTTPClient: server.Client()})
	require.NoError(t, err)
	receipt, err := p.Send(t.Context(), m)
	require.NoError(t, err)
	body, err := json.Marshal([]any{event})
	require.NoError(t, err)
	return receipt, one.request(body)
}

// receive gives r to a webhook with these keys.
func receive(t testing.TB, r *http.Request, keys ...string) (webhook.Delivery, error) {
	t.Helper()
	w, err := NewWebhook(WebhookConfig{PublicKeys: keys})
	require.NoError(t, err)
	body, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return w.Receive(t.Context(), &webhook.Request{Method: r.Method, Header: r.Header, Body: body})
}

// A vector made with a throw-away key, and the one in SendGrid's own Go library
// (helpers/eventwebhook/eventwebhook_test.go, v3.16.1).
func TestSignaturesOfOthersAreGood(t *testing.T) {
	for _, c := range []struct{ name, key, timestamp, signature, body, message string }{
		{
			"a vector", "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEDz9CsiuaEf+w8GfmSqfiyK4I8aXYUWPiAOBKrlpIbHt24b9kuuyMteqbVDyn9gs5NyyiuPFStlXUYbPyQrPkJg==",
			"1793612410", "MEUCIQCxcf6kM+SMOTURN305dZZEGucwifMbS+FV/nnSQ6NJuAIgK9D/Ge85fXCg9FReDkMeVwPJFjfP7FAnEUPVlQLZzJU=",
			`[{"email":"amal@reader.example","timestamp":1793612403,"event":"delivered","sg_event_id":"ZGVsLTAwMDE","sg_message_id":"Xj5LmNkWSOqRbdvOpR34BA.recvd-00aa11bb-1-1.0","response":"250 2.0.0 OK","mailer_id":"01HZX5J3A7"}]` + "\r\n",
			"Xj5LmNkWSOqRbdvOpR34BA",
		},
		{
			"SendGrid's own", "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==",
			"1600112502", "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM=",
			`[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address","sg_event_id":"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA","sg_message_id":"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0","smtp-id":"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>","timestamp":1600112492}]` + "\r\n",
			"LRzXl_NHStOGhQ4kofSm_A",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := receive(t, signedRequest(c.timestamp, c.signature, []byte(c.body)), c.key)
			require.NoError(t, err)
			require.Len(t, d.Events, 1)
			require.Equal(t, c.message, d.Events[0].MessageID)
			_, err = receive(t, signedRequest(c.timestamp, c.signature, bytes.TrimSpace([]byte(c.body))), c.key)
			require.ErrorIs(t, err, webhook.ErrUnverified, "the line end is signed too")
		})
	}
}

func TestKeysMayChange(t *testing.T) {
	for _, s := range []signer{one, two} {
		_, err := receive(t, s.request([]byte(sample)), one.public, two.public)
		require.NoError(t, err)
	}
	_, err := receive(t, two.request([]byte(sample)), one.public)
	require.ErrorIs(t, err, webhook.ErrUnverified)
}

func TestNewWebhookNamesTheKeyAtFault(t *testing.T) {
	der := func(key any) string {
		b, err := x509.MarshalPKIXPublicKey(key)
		require.NoError(t, err)
		return base64.StdEncoding.EncodeToString(b)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	for name, bad := range map[string]string{
		"empty": "", "not base64": "-----BEGIN PUBLIC KEY-----", "no key": "AAAA", "RSA": der(rsaKey.Public()), "P-384": der(p384.Public()),
		"cut off": one.public[:40],
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewWebhook(WebhookConfig{PublicKeys: []string{one.public, bad}})
			require.ErrorContains(t, err, "WebhookConfig.PublicKeys[1]")
		})
	}
}

// SendGrid reports an event again with another sg_event_id.
func TestAnEventReportedAgainHasTheSameID(t *testing.T) {
	id := func(text string) string {
		d, err := receive(t, one.request([]byte(text)), one.public)
		require.NoError(t, err)
		return d.Events[0].ID
	}
	again := strings.Replace(sample, "ZGVmLTE", "YW5vdGhlcg", 1)
	require.Equal(t, id(sample), id(again))
	for _, change := range [][2]string{
		{`"attempt":"1"`, `"attempt":"2"`}, {"ada@", "ben@"}, {"1793612463", "1793612464"}, {"deferred", "delivered"}, {"Kd0Q", "Kd0R"},
	} {
		require.NotEqual(t, id(sample), id(strings.ReplaceAll(sample, change[0], change[1])), change[1])
	}
	timeless := strings.Replace(sample, `"timestamp":1793612463,`, "", 1)
	require.Equal(t, id(timeless), id(timeless))
	require.NotEqual(t, id(timeless), id(strings.Replace(timeless, "ZGVmLTE", "YW5vdGhlcg", 1)), "without a time it is all there is")
	require.NotEqual(t, id(`{"a":1}`), id(`{"a":2}`), "of an event without anything")
}

func TestTimes(t *testing.T) {
	for text, want := range map[string]time.Time{
		`1793612463`: time.Unix(1793612463, 0).UTC(), `"1793612463"`: time.Unix(1793612463, 0).UTC(),
		`253402300799`: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), `253402300800`: {}, `0`: {}, `-1`: {}, `1.5`: {}, `null`: {}, ``: {}, `{}`: {}, `"x"`: {},
	} {
		require.Equal(t, want, unix([]byte(text)), text)
	}
}

func FuzzEvent(f *testing.F) {
	for _, name := range []string{"documented.json", "odd.json"} {
		b, err := os.ReadFile("testdata/webhook/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(sample))
	f.Add([]byte(`[{"\u0065vent":"delivered","a\u0000":"\ud800"},1]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		events, ok := read(body)
		if !ok {
			return
		}
		require.True(t, json.Valid(body))
		for _, e := range events {
			require.NotEmpty(t, e.ID)
			require.NotEmpty(t, e.Type)
			require.True(t, json.Valid(e.Raw))
			require.Equal(t, e.Type == webhook.Bounced, e.Bounce != "")
		}
	})
}

// batch is what SendGrid sends at a busy time: 1,000 events.
var batch = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	b.WriteByte('[')
	for i := range 1000 {
		if i > 0 {
			b.WriteByte(',')
		}
		message := fmt.Sprintf("Kd0Q3sTtRkWn2yq8Zp%04d.recvd-85abf-1-1.0", i)
		common := fmt.Sprintf(`"email":"user%d@example.com","timestamp":%d,"smtp-id":"<%s@geopod-ismtpd-1>","category":["welcome"],"sg_event_id":"ZGVsLTE%d","sg_message_id":%q,"mailer_id":"mail-%d","plan":"pro"`, i, 1793612463+i, message, i, message, i)
		switch i % 10 {
		case 0:
			fmt.Fprintf(&b, `{%s,"event":"bounce","type":"bounce","status":"5.1.1","reason":"550 5.1.1 no such user","bounce_classification":"Invalid Address","ip":"192.0.2.7","tls":1}`, common)
		case 1:
			fmt.Fprintf(&b, `{%s,"event":"open","sg_machine_open":false,"sg_content_type":"html","useragent":"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101","ip":"192.0.2.10"}`, common)
		case 2:
			fmt.Fprintf(&b, `{%s,"event":"processed"}`, common)
		default:
			fmt.Fprintf(&b, `{%s,"event":"delivered","response":"250 2.0.0 OK","tls":1}`, common)
		}
	}
	b.WriteString("]\r\n")
	return b.Bytes()
})

// onOneCore makes figures that can be compared with those of another machine.
func onOneCore(b *testing.B) {
	old := runtime.GOMAXPROCS(1)
	b.Cleanup(func() { runtime.GOMAXPROCS(old) })
	b.ReportAllocs()
}

// discard is an http.ResponseWriter that allocates nothing.
type discard struct{ status int }

func (*discard) Header() http.Header                 { return http.Header{} }
func (*discard) Write(p []byte) (int, error)         { return len(p), nil }
func (d *discard) WriteHeader(status int)            { d.status = status }
func perEvent(b *testing.B)                          { b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "events/s") }
func nothing(context.Context, []webhook.Event) error { return nil }

func BenchmarkWebhook(b *testing.B) {
	b.Run("1000 events", func(b *testing.B) {
		onOneCore(b)
		w, err := NewWebhook(WebhookConfig{PublicKeys: []string{one.public}})
		require.NoError(b, err)
		h := webhook.Handler(w, nothing)
		body := batch()
		r := one.request(body)
		b.SetBytes(int64(len(body)))
		for b.Loop() {
			r.Body = io.NopCloser(bytes.NewReader(body))
			var d discard
			if h.ServeHTTP(&d, r); d.status != http.StatusOK {
				b.Fatal(d.status)
			}
		}
		perEvent(b)
	})
	// What one writes with sendgrid-go: verify, then json.Unmarshal.
	b.Run("1000 events with sendgrid-go", func(b *testing.B) {
		onOneCore(b)
		key, err := eventwebhook.ConvertPublicKeyBase64ToECDSA(one.public)
		require.NoError(b, err)
		body := batch()
		r := one.request(body)
		b.SetBytes(int64(len(body)))
		for b.Loop() {
			got, err := io.ReadAll(bytes.NewReader(body))
			require.NoError(b, err)
			ok, err := eventwebhook.VerifySignature(key, got, r.Header.Get(signatureField), r.Header.Get(timestampField))
			if err != nil || !ok {
				b.Fatal(ok, err)
			}
			var events []map[string]any
			if err := json.Unmarshal(got, &events); err != nil || len(events) != 1000 {
				b.Fatal(err)
			}
		}
		perEvent(b)
	})
	for name, body := range map[string][]byte{
		"1 MiB of arrays":       bytes.Repeat([]byte("["), webhook.MaxBody),
		"1 MiB of numbers":      []byte("[1" + strings.Repeat(",1", webhook.MaxBody/2-2) + "]"),
		"1 MiB of escapes":      []byte(`[{"a":"` + strings.Repeat(`\u0041`, webhook.MaxBody/6-3) + `"}]`),
		"1 MiB of one object":   []byte(`{"k` + strings.Join(strings.Split(strings.Repeat("0", 80_000), ""), `":0,"k`) + `":0}`),
		"1 MiB of 10,000 parts": []byte("[" + strings.TrimSuffix(strings.Repeat(`{"a":{"b":"`+strings.Repeat("x", 85)+`"}},`, webhook.MaxEvents), ",") + "]"),
		"1 MiB of bounces":      []byte("[" + strings.TrimSuffix(strings.Repeat(`{"event":"bounce","reason":"`+strings.Repeat("550 ", 500)+`"},`, 510), ",") + "]"),
	} {
		b.Run(name, func(b *testing.B) {
			onOneCore(b)
			w, err := NewWebhook(WebhookConfig{PublicKeys: []string{one.public}})
			require.NoError(b, err)
			require.LessOrEqual(b, len(body), webhook.MaxBody)
			r := &webhook.Request{Method: http.MethodPost, Header: one.request(body).Header, Body: body}
			b.ReportMetric(float64(len(body)), "bytes")
			for b.Loop() {
				_, _ = w.Receive(b.Context(), r)
			}
		})
	}
}

func ExampleNewWebhook() {
	hook, err := NewWebhook(WebhookConfig{PublicKeys: []string{one.public}})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("POST /hooks/sendgrid", webhook.Handler(hook, func(_ context.Context, events []webhook.Event) error {
		for _, e := range events {
			fmt.Println(e.Type, e.Bounce, e.Recipient, e.MailID)
		}
		return nil
	}))

	// What SendGrid sends.
	body := []byte(`[{"event":"bounce","type":"bounce","email":"ada@example.com","reason":"550 5.1.1 no such user","mailer_id":"mail-1"}]`)
	r := one.request(body)
	r.URL.Path = "/hooks/sendgrid"
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println(w.Code)
	// Output:
	// bounced hard ada@example.com mail-1
	// 200
}
