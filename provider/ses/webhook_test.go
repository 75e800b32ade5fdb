package ses

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/webhook"
	"github.com/seed355143d4/mailer/webhook/webhooktest"
)

const (
	topic       = "arn:aws:sns:eu-west-1:123456789012:mail-events"
	certAddress = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123456789abcdefABCDEF0123456789.pem"
	confirmAt   = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=" + topic + "&Token=2336412f37"
)

// signer is somebody with a key.
type signer struct{ key *rsa.PrivateKey }

func newSigner(bits int) func() signer {
	return sync.OnceValue(func() signer {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			panic(err)
		}
		return signer{key}
	})
}

var (
	amazonKey = newSigner(2048)
	otherKey  = newSigner(2048)
	shortKey  = newSigner(1024)
)

// certificateOf is a certificate for a key, in PEM.
func certificateOf(pub, key any, from, to time.Time) []byte {
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, template, template, pub, key)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func (s signer) certificate(from, to time.Time) []byte {
	return certificateOf(s.key.Public(), s.key, from, to)
}

// good is Amazon's certificate, valid in tests with a clock of their own too.
var good = sync.OnceValue(func() []byte {
	return amazonKey().certificate(time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC))
})

// snsJSON is a message of SNS, as a JSON object.
type snsJSON map[string]any

func notice1(text string) snsJSON {
	return snsJSON{
		"Type": "Notification", "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324", "TopicArn": topic,
		"Message": text, "Timestamp": "2026-03-04T10:11:14.000Z", "SignatureVersion": "1", "SigningCertURL": certAddress,
		"UnsubscribeURL": "https://sns.eu-west-1.amazonaws.com/?Action=Unsubscribe",
	}
}

func confirmation() snsJSON {
	return snsJSON{
		"Type": "SubscriptionConfirmation", "MessageId": "165545c9-2a5c-472c-8df2-7ff2be2b3b1b", "TopicArn": topic,
		"Token": "2336412f37", "Message": "You have chosen to subscribe to the topic.", "SubscribeURL": confirmAt,
		"Timestamp": "2026-03-04T10:11:14.000Z", "SignatureVersion": "1", "SigningCertURL": certAddress,
	}
}

// with returns e with something else in it; nil takes it away.
func (e snsJSON) with(pairs ...any) snsJSON {
	e = maps.Clone(e)
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == nil {
			delete(e, pairs[i].(string))
		} else {
			e[pairs[i].(string)] = pairs[i+1]
		}
	}
	return e
}

// signed signs e as Amazon does, and is written without a look at the code under
// test: "Verifying the signatures of Amazon SNS messages".
func (e snsJSON) signed(s signer) snsJSON {
	names := "Message MessageId Subject Timestamp TopicArn Type"
	if e["Type"] != "Notification" {
		names = "Message MessageId SubscribeURL Timestamp Token TopicArn Type"
	}
	text := ""
	for _, name := range strings.Fields(names) {
		if v, ok := e[name].(string); ok {
			text += name + "\n" + v + "\n"
		}
	}
	hash, sum := crypto.SHA1, sha1.Sum([]byte(text))
	digest := sum[:]
	if e["SignatureVersion"] == "2" {
		sum := sha256.Sum256([]byte(text))
		hash, digest = crypto.SHA256, sum[:]
	}
	signature, err := rsa.SignPKCS1v15(nil, s.key, hash, digest)
	if err != nil {
		panic(err)
	}
	return e.with("Signature", base64.StdEncoding.EncodeToString(signature))
}

func (e snsJSON) json() []byte {
	b, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	return b
}

// posted is the request that SNS makes of e.
func (e snsJSON) posted() *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(e.json()))
	r.Header.Set("Content-Type", "text/plain; charset=UTF-8")
	if typ, ok := e["Type"].(string); ok {
		r.Header.Set("X-Amz-Sns-Message-Type", typ)
	}
	r.Header.Set("X-Amz-Sns-Topic-Arn", topic)
	return r
}

// amazon plays SNS's hosts. It answers what it has at an address, and remembers who
// asked for what.
type amazon struct {
	mu     sync.Mutex
	asked  []string
	answer func(r *http.Request) (*http.Response, error)
}

func says(status int, body []byte) (*http.Response, error) {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body))}, nil
}

// RoundTrip is what goes to the network otherwise.
func (a *amazon) RoundTrip(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	a.asked = append(a.asked, r.Method+" "+r.URL.String())
	a.mu.Unlock()
	switch {
	case a.answer != nil:
		return a.answer(r)
	case r.URL.String() == certAddress:
		return says(200, good())
	case r.URL.String() == confirmAt:
		return says(200, []byte("<ConfirmSubscriptionResponse/>"))
	}
	return says(404, nil)
}

func (a *amazon) requests() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.asked)
}

// source returns a Webhook that reaches a.
func (a *amazon) source(t require.TestingT) *Webhook {
	w, err := NewWebhook(a.config())
	require.NoError(t, err)
	return w
}

func (a *amazon) config() WebhookConfig {
	return WebhookConfig{TopicARNs: []string{topic}, HTTPClient: &http.Client{Transport: a}}
}

// receive gives a request to a source.
func receive(ctx context.Context, w *Webhook, r *http.Request) ([]webhook.Event, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	d, err := w.Receive(ctx, &webhook.Request{Method: r.Method, Header: r.Header, Body: body})
	return d.Events, err
}

const (
	sampleEvent = `{"eventType":"Delivery","delivery":{"timestamp":"2026-03-04T10:11:13.000Z","recipients":["dana@customer.example"],` +
		`"smtpResponse":"250 2.6.0 queued"},"mail":{"messageId":"0100018f3c1a2b4d-5e6f-000000","timestamp":"2026-03-04T10:11:11.000Z",` +
		`"destination":["dana@customer.example"],"tags":{"ses:configuration-set":["s"],"mailer_id":["id-1"],"mailer_tag":["invoice"],"plan":["pro"]}}}`
	unknownEvent = `{"eventType":"Teleport","mail":{"messageId":"0100018f3c1a2b4d-5e6f-000000","timestamp":"2026-03-04T10:11:11.000Z"}}`
)

func conformance() webhooktest.Spec {
	a := new(amazon)
	made := func(c WebhookConfig) func() (webhook.Source, error) {
		return func() (webhook.Source, error) { return NewWebhook(c) }
	}
	forged := func(e snsJSON) func([]byte) *http.Request {
		return func([]byte) *http.Request { return e.posted() }
	}
	n := notice1(sampleEvent)
	genuine := n.signed(amazonKey())
	return webhooktest.Spec{
		Name:   "ses",
		Config: a.config(),
		New:    made(a.config()),
		Incomplete: map[string]func() (webhook.Source, error){
			"no topic":          made(WebhookConfig{}),
			"an empty topic":    made(WebhookConfig{TopicARNs: []string{topic, ""}}),
			"a topic of a kind": made(WebhookConfig{TopicARNs: []string{"arn:aws:sns:eu-west-1:123456789012:*"}}),
		},
		Request: func(payload []byte) *http.Request { return notice1(string(payload)).signed(amazonKey()).posted() },
		Signed:  true,
		Forged: map[string]func([]byte) *http.Request{
			"by another key":        forged(n.signed(otherKey())),
			"of another topic":      forged(n.with("TopicArn", topic+"2").signed(amazonKey())),
			"without a signature":   forged(n),
			"with an empty one":     forged(n.with("Signature", "")),
			"with one of no base64": forged(n.with("Signature", "?")),
			"with one of no text":   forged(n.with("Signature", 7)),
			"without a version":     forged(genuine.with("SignatureVersion", nil)),
			"with another version":  forged(genuine.with("SignatureVersion", "2")),
			"with version 3":        forged(genuine.with("SignatureVersion", "3")),
			"with version 1.0":      forged(genuine.with("SignatureVersion", "1.0")),
			"with an empty version": forged(genuine.with("SignatureVersion", "")),
			"without a certificate": forged(genuine.with("SigningCertURL", nil)),
			"without a type":        forged(genuine.with("Type", nil)),
			"of another type":       forged(genuine.with("Type", "UnsubscribeConfirmation")),
			"of a type of no kind":  forged(n.with("Type", "Notice").signed(amazonKey())),
			"without an id":         forged(genuine.with("MessageId", nil)),
			"without a time":        forged(genuine.with("Timestamp", nil)),
			"with another time":     forged(genuine.with("Timestamp", "2026-03-05T10:11:14.000Z")),
			"with another id":       forged(genuine.with("MessageId", "1")),
			"with a subject":        forged(genuine.with("Subject", "new")),
			"with an empty subject": forged(genuine.with("Subject", "")),
			"with a subject less":   forged(n.with("Subject", "x").signed(amazonKey()).with("Subject", nil)),
			"delivered raw":         forged(snsJSON{"eventType": "Send"}),
			"with a lesser name":    forged(genuine.with("Message", nil, "message", sampleEvent)),
			"with a header that lies": func([]byte) *http.Request {
				r := genuine.posted()
				r.Header.Set("X-Amz-Sns-Message-Type", "SubscriptionConfirmation")
				return r
			},
		},
		Sample: []byte(sampleEvent),
		Sampled: webhook.Event{
			Type: webhook.Delivered, MessageID: "0100018f3c1a2b4d-5e6f-000000", MailID: "id-1", Recipient: "dana@customer.example",
			Time: time.Date(2026, 3, 4, 10, 11, 13, 0, time.UTC), Detail: "250 2.6.0 queued", SMTP: "250 2.6.0 queued",
			Tags: []string{"invoice"}, Metadata: map[string]string{"plan": "pro"},
		},
		Unknown: []byte(unknownEvent),
		RoundTrip: func(t *testing.T, m mailer.Message) (mailer.Receipt, *http.Request) {
			receipt, body := reported(t, m)
			return receipt, notice1(string(body)).signed(amazonKey()).posted()
		},
	}
}

// reported sends m, and returns SES's words for it that its first recipient has it.
func reported(t *testing.T, m mailer.Message) (mailer.Receipt, []byte) {
	p, service := capture(t, key, yes("0100018f3c1a2b4d-5e6f-000000"))
	receipt, err := p.Send(t.Context(), m)
	require.NoError(t, err)
	w := decode(t, service.Body)
	tags := map[string][]string{"ses:operation": {"SendEmail"}, "ses:configuration-set": {"events"}}
	for _, tag := range w.EmailTags {
		tags[tag.Name] = []string{tag.Value}
	}
	body, err := json.Marshal(map[string]any{
		"eventType": "Delivery",
		"delivery":  map[string]any{"timestamp": "2026-03-04T10:11:13.000Z", "recipients": []string{m.To[0].Address}},
		"mail":      map[string]any{"messageId": "0100018f3c1a2b4d-5e6f-000000", "tags": tags},
	})
	require.NoError(t, err)
	return receipt, body
}

func TestWebhookConformance(t *testing.T) {
	webhooktest.Run(t, conformance())
}

func TestSHA1IsRefusedWhereToldSo(t *testing.T) {
	c := new(amazon).config()
	c.RequireSHA256 = true
	w, err := NewWebhook(c)
	require.NoError(t, err)
	sha1, sha256 := notice1(sampleEvent), notice1(sampleEvent).with("SignatureVersion", "2")
	for name, c := range map[string]struct {
		e    snsJSON
		want error
	}{
		"SHA-256":                {sha256.signed(amazonKey()), nil},
		"SHA-256 by another key": {sha256.signed(otherKey()), webhook.ErrUnverified},
		"SHA-256 called SHA-1":   {sha256.signed(amazonKey()).with("SignatureVersion", "1"), webhook.ErrUnverified},
		"SHA-256 of another id":  {sha256.signed(amazonKey()).with("MessageId", "1"), webhook.ErrUnverified},
		"SHA-1":                  {sha1.signed(amazonKey()), webhook.ErrUnverified},
		"SHA-1 called SHA-256":   {sha1.signed(amazonKey()).with("SignatureVersion", "2"), webhook.ErrUnverified},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := receive(t.Context(), w, c.e.posted())
			require.ErrorIs(t, err, c.want)
		})
	}
}

const hookPassword = "a password of webhooks"

func TestWebhookConformanceOfRawDelivery(t *testing.T) {
	s := conformance()
	basic := webhook.Basic{Username: "ses", Password: hookPassword}
	raw := func(c WebhookConfig, basic ...webhook.Basic) func() (webhook.Source, error) {
		return func() (webhook.Source, error) { return NewRawWebhook(c, basic...) }
	}
	c := new(amazon).config()
	s.Secrets = []string{hookPassword}
	s.New = raw(c, webhook.Basic{Username: "old", Password: "an older password"}, basic)
	s.Incomplete = map[string]func() (webhook.Source, error){
		"no password":       raw(c),
		"an empty password": raw(c, basic, webhook.Basic{Username: "ses"}),
		"no topic":          raw(WebhookConfig{}, basic),
	}
	s.Request = func(payload []byte) *http.Request {
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(payload))
		r.Header.Set("X-Amz-Sns-Topic-Arn", topic)
		r.Header.Set("X-Amz-Sns-Rawdelivery", "true")
		r.Header.Set("X-Amz-Sns-Message-Type", "Notification")
		r.Header.Set("X-Amz-Sns-Message-Id", "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324")
		r.SetBasicAuth("ses", hookPassword)
		return r
	}
	s.Proof, s.Signed = []string{"Authorization", "X-Amz-Sns-Topic-Arn"}, false
	s.Forged = map[string]func([]byte) *http.Request{
		"signed, without a password": func(b []byte) *http.Request { return notice1(string(b)).signed(amazonKey()).posted() },
		"an envelope without a signature": func(b []byte) *http.Request {
			return s.Request(notice1(string(b)).json())
		},
		"a confirmation without a signature": func([]byte) *http.Request {
			r := s.Request(confirmation().json())
			r.Header.Set("X-Amz-Sns-Message-Type", "SubscriptionConfirmation")
			return r
		},
		"a confirmation by another key": func([]byte) *http.Request {
			r := s.Request(confirmation().signed(otherKey()).json())
			r.Header.Set("X-Amz-Sns-Message-Type", "SubscriptionConfirmation")
			return r
		},
	}
	s.RoundTrip = func(t *testing.T, m mailer.Message) (mailer.Receipt, *http.Request) {
		receipt, body := reported(t, m)
		return receipt, s.Request(body)
	}
	webhooktest.Run(t, s)

	t.Run("a signed confirmation is made", func(t *testing.T) {
		a := new(amazon)
		w, err := NewRawWebhook(a.config(), basic)
		require.NoError(t, err)
		r := confirmation().signed(amazonKey()).posted()
		r.SetBasicAuth("ses", hookPassword)
		events, err := receive(t.Context(), w, r)
		require.NoError(t, err)
		require.Empty(t, events)
		require.Contains(t, a.requests(), "GET "+confirmAt)
	})
}

// What is signed stands here as Amazon's page has it, byte for byte.
func TestWhatIsSigned(t *testing.T) {
	for name, c := range map[string]struct {
		e    snsJSON
		want string
	}{
		"a notification":                      {notice1("{}"), "Message\n{}\nMessageId\n22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324\nTimestamp\n2026-03-04T10:11:14.000Z\nTopicArn\narn:aws:sns:eu-west-1:123456789012:mail-events\nType\nNotification\n"},
		"a notification with a subject":       {notice1("{}").with("Subject", "a\u00e9"), "Message\n{}\nMessageId\n22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324\nSubject\na\u00e9\nTimestamp\n2026-03-04T10:11:14.000Z\nTopicArn\narn:aws:sns:eu-west-1:123456789012:mail-events\nType\nNotification\n"},
		"a notification with an empty one":    {notice1("{}").with("Subject", ""), "Message\n{}\nMessageId\n22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324\nSubject\n\nTimestamp\n2026-03-04T10:11:14.000Z\nTopicArn\narn:aws:sns:eu-west-1:123456789012:mail-events\nType\nNotification\n"},
		"a notification with a subject null":  {notice1("{}").with("Subject", json.RawMessage("null")), "Message\n{}\nMessageId\n22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324\nTimestamp\n2026-03-04T10:11:14.000Z\nTopicArn\narn:aws:sns:eu-west-1:123456789012:mail-events\nType\nNotification\n"},
		"a confirmation, without its subject": {confirmation().with("Subject", "x"), "Message\nYou have chosen to subscribe to the topic.\nMessageId\n165545c9-2a5c-472c-8df2-7ff2be2b3b1b\nSubscribeURL\nhttps://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=arn:aws:sns:eu-west-1:123456789012:mail-events&Token=2336412f37\nTimestamp\n2026-03-04T10:11:14.000Z\nToken\n2336412f37\nTopicArn\narn:aws:sns:eu-west-1:123456789012:mail-events\nType\nSubscriptionConfirmation\n"},
	} {
		t.Run(name, func(t *testing.T) {
			m, ok := readMessage(c.e.json())
			require.True(t, ok)
			text, ok := m.signed()
			require.True(t, ok)
			require.Equal(t, c.want, text)
		})
	}
	for _, lacking := range []string{"Type", "Message", "MessageId", "Timestamp", "TopicArn", "Token", "SubscribeURL"} {
		m, _ := readMessage(confirmation().with(lacking, nil).json())
		_, ok := m.signed()
		require.False(t, ok, lacking)
	}
}

func TestBothSignatureVersionsAreTakenUnlessToldOtherwise(t *testing.T) {
	for _, version := range []string{"1", "2"} {
		e := notice1(sampleEvent).with("SignatureVersion", version, "Subject", "Amazon SES Email Event Notification").signed(amazonKey())
		events, err := receive(t.Context(), new(amazon).source(t), e.posted())
		require.NoError(t, err, version)
		require.Len(t, events, 1)
	}
}

// Nothing but the certificates of SNS is ever fetched for a signature.
func TestCertificatesComeFromAmazonOnly(t *testing.T) {
	const path = "/SimpleNotificationService-0123456789abcdefABCDEF0123456789.pem"
	for _, address := range []string{
		"https://sns.us-east-1.amazonaws.com" + path, "https://sns.cn-north-1.amazonaws.com.cn" + path,
		"https://sns.us-gov-west-1.amazonaws.com" + path, "https://sns.ap-southeast-2.amazonaws.com" + path,
	} {
		a := &amazon{answer: func(*http.Request) (*http.Response, error) { return says(200, good()) }}
		_, err := receive(t.Context(), a.source(t), notice1(sampleEvent).with("SigningCertURL", address).signed(amazonKey()).posted())
		require.NoError(t, err, address)
		require.Equal(t, []string{"GET " + address}, a.requests())
	}
	for _, address := range []string{
		"", "/", path, "//sns.us-east-1.amazonaws.com" + path, "sns.us-east-1.amazonaws.com" + path,
		"http://sns.us-east-1.amazonaws.com" + path, "ftp://sns.us-east-1.amazonaws.com" + path, "file:///etc/passwd",
		"https:sns.us-east-1.amazonaws.com" + path, "https:///sns.us-east-1.amazonaws.com" + path,
		"https://example.com" + path, "https://127.0.0.1" + path, "https://[::1]" + path, "https://169.254.169.254/latest/meta-data/",
		"https://sns.us-east-1.amazonaws.com.example.com" + path, "https://sns.us-east-1.amazonaws.com.cn.example" + path,
		"https://example.com/sns.us-east-1.amazonaws.com" + path, "https://sns.us-east-1.amazonaws.co" + path,
		"https://sns.us-east-1.amazonaws.comx" + path, "https://xsns.us-east-1.amazonaws.com" + path,
		"https://sns.example.com.amazonaws.com" + path, "https://sns.us-east-1.amazonaws-com.example" + path,
		"https://sns-us-east-1.amazonaws.com" + path, "https://snsxus-east-1.amazonaws.com" + path, "https://sns.us-east-1xamazonaws.com" + path,
		"https://sns.us.amazonaws.com" + path, "https://sns..amazonaws.com" + path, "https://sns.amazonaws.com" + path,
		"https://sns.us-east-1.amazonaws.com.cn.cn" + path, "https://sns.us_east.amazonaws.com" + path,
		"https://bucket.s3.amazonaws.com" + path, "https://sns.s3.amazonaws.com" + path,
		"https://sns.s3-eu-west-1.amazonaws.com" + path, "https://sns.S3-accelerate.amazonaws.com" + path,
		"https://user@sns.us-east-1.amazonaws.com" + path, "https://user:pw@sns.us-east-1.amazonaws.com" + path,
		"https://sns.us-east-1.amazonaws.com@example.com" + path, "https://@sns.us-east-1.amazonaws.com" + path,
		"https://sns.us-east-1.amazonaws.com:443" + path, "https://sns.us-east-1.amazonaws.com:8443" + path,
		"https://sns.us-east-1.amazonaws.com:" + path, "https://sns.us-east-1.amazonaws.com:80@example.com" + path,
		"https://sns.us-east-1.amazonaws.com\\@example.com" + path, "https://example.com\\.sns.us-east-1.amazonaws.com" + path,
		"https://example.com#@sns.us-east-1.amazonaws.com" + path, "https://example.com?@sns.us-east-1.amazonaws.com" + path,
		"https://example.com%23@sns.us-east-1.amazonaws.com" + path, "https://example.com%2f.sns.us-east-1.amazonaws.com" + path,
		"https://sns.us-east-1.amazonaws.com." + path, "https://sns.us-east-1.amazonaws.com%2eexample.com" + path,
		"https://sns.us-east-1.amazonaws.com%00.example.com" + path, "https://sns.us-east-1.amazonaws.com\x00.example.com" + path,
		"https://sns.us-east-1.amazonaws.com\n.example.com" + path, "https://sns.us-east-1.amazonaws.com" + path + "\n",
		" https://sns.us-east-1.amazonaws.com" + path, "https://sns.us-east-1.amazonaws.com" + path + " ",
		"https://sns.us-east-1.amazonaws.com" + path + "?x=1", "https://sns.us-east-1.amazonaws.com" + path + "?",
		"https://sns.us-east-1.amazonaws.com" + path + "#x", "https://sns.us-east-1.amazonaws.com" + path + "#",
		"https://sns.us-east-1.amazonaws.com/x/.." + path, "https://sns.us-east-1.amazonaws.com/x" + path,
		"https://sns.us-east-1.amazonaws.com/" + path, "https://sns.us-east-1.amazonaws.com/", "https://sns.us-east-1.amazonaws.com",
		"https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123.pem", "https://sns.us-east-1.amazonaws.com/evil.pem",
		"https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123456789abcdefABCDEF0123456789%2epem",
		"https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123456789abcdefABCDEF0123456789.pem.js",
		"https://\u0455ns.us-east-1.amazonaws.com" + path, "https://sns.us-east-1.amazonaws\u3002com" + path,
	} {
		t.Run(address, func(t *testing.T) {
			a := &amazon{answer: func(*http.Request) (*http.Response, error) { return says(200, good()) }}
			events, err := receive(t.Context(), a.source(t), notice1(sampleEvent).with("SigningCertURL", address).signed(amazonKey()).posted())
			require.ErrorIs(t, err, webhook.ErrUnverified)
			require.Empty(t, events)
			require.Empty(t, a.requests())
		})
	}
}

// Whoever is no topic of ours makes us fetch nothing.
func TestNothingIsFetchedForStrangers(t *testing.T) {
	for name, e := range map[string]snsJSON{
		"another topic":        notice1(sampleEvent).with("TopicArn", topic+"x").signed(amazonKey()),
		"no signature":         notice1(sampleEvent),
		"a bad signature":      notice1(sampleEvent).with("Signature", "***"),
		"an unknown version":   notice1(sampleEvent).signed(amazonKey()).with("SignatureVersion", "9"),
		"a confirmation of it": confirmation().with("TopicArn", topic+"x").signed(amazonKey()),
	} {
		t.Run(name, func(t *testing.T) {
			a := new(amazon)
			_, err := receive(t.Context(), a.source(t), e.posted())
			require.ErrorIs(t, err, webhook.ErrUnverified)
			require.Empty(t, a.requests())
		})
	}
}

func TestCertificateThatIsNone(t *testing.T) {
	long := time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	elliptical, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	public, err := x509.MarshalPKIXPublicKey(amazonKey().key.Public())
	require.NoError(t, err)
	inPEM := func(typ string, b []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: b}) }
	endless := &counter{r: forever{}}
	for name, c := range map[string]struct {
		body   io.Reader // of an answer of 200
		status int
		to     string // where a redirect leads
		err    error
		retry  bool // it may be there another time
	}{
		"nothing":               {body: bytes.NewReader(nil)},
		"a page":                {body: strings.NewReader("<html>")},
		"a key":                 {body: bytes.NewReader(inPEM("PUBLIC KEY", public))},
		"no certificate in it":  {body: bytes.NewReader(inPEM("CERTIFICATE", []byte("x")))},
		"one of another name":   {body: bytes.NewReader(bytes.ReplaceAll(good(), []byte("CERTIFICATE"), []byte("TRUSTED")))},
		"a short key":           {body: bytes.NewReader(shortKey().certificate(time.Time{}, long))},
		"a key of another kind": {body: bytes.NewReader(certificateOf(elliptical.Public(), elliptical, time.Time{}, long))},
		"another key":           {body: bytes.NewReader(otherKey().certificate(time.Time{}, long))},
		"too much":              {body: io.MultiReader(bytes.NewReader(good()), bytes.NewReader(make([]byte, 64<<10)))},
		"without an end":        {body: endless},
		"moved":                 {status: 301, to: "https://sns.us-east-1.amazonaws.com/"},
		"found elsewhere":       {status: 302, to: "http://169.254.169.254/latest/meta-data/"},
		"to be kept on":         {status: 307, to: "https://example.com/"},
		"not there":             {status: 404},
		"not for us":            {status: 403},
		"too many requests":     {status: 429, retry: true},
		"an outage":             {status: 503, retry: true},
		"no connection":         {err: errors.New("refused"), retry: true},
		"half of it":            {body: io.MultiReader(bytes.NewReader(good()[:100]), broken{}), retry: true},
	} {
		t.Run(name, func(t *testing.T) {
			a := &amazon{answer: func(*http.Request) (*http.Response, error) {
				if c.err != nil {
					return nil, c.err
				}
				resp := &http.Response{StatusCode: c.status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(good()))}
				if c.to != "" {
					resp.Header.Set("Location", c.to)
				}
				if c.body != nil {
					resp.StatusCode, resp.Body = 200, io.NopCloser(c.body)
				}
				return resp, nil
			}}
			w := a.source(t)
			signer := amazonKey()
			if name == "a short key" {
				signer = shortKey()
			}
			events, err := receive(t.Context(), w, notice1(sampleEvent).signed(signer).posted())
			require.Error(t, err)
			require.Equal(t, !c.retry, errors.Is(err, webhook.ErrUnverified), "%v", err)
			require.Empty(t, events)
			require.Equal(t, []string{"GET " + certAddress}, a.requests(), "a redirect was followed")
			if c.retry { // and it is not held against the next one
				a.answer = nil
				_, err := receive(t.Context(), w, notice1(sampleEvent).signed(amazonKey()).posted())
				require.NoError(t, err)
			}
		})
	}
	require.LessOrEqual(t, endless.n, maxFetch+1, "bytes read of what has no end")
}

// forever has bytes without an end.
type forever struct{}

func (forever) Read(b []byte) (int, error) { return len(b), nil }

// counter counts what is read, and ends what goes on for too long.
type counter struct {
	r io.Reader
	n int
}

func (c *counter) Read(b []byte) (int, error) {
	if c.n > 1<<20 {
		return 0, io.EOF
	}
	n, err := c.r.Read(b)
	c.n += n
	return n, err
}

func TestCertificateHasItsDates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		cert := amazonKey().certificate(now.Add(time.Hour), now.Add(3*time.Hour))
		a := &amazon{answer: func(*http.Request) (*http.Response, error) { return says(200, cert) }}
		w := a.source(t)
		e := notice1(sampleEvent).signed(amazonKey())
		for _, c := range []struct {
			after time.Duration
			ok    bool
		}{{0, false}, {time.Hour - time.Second, false}, {time.Second, true}, {2 * time.Hour, true}, {time.Second, false}, {100 * time.Hour, false}} {
			time.Sleep(c.after)
			_, err := receive(t.Context(), w, e.posted())
			require.Equal(t, c.ok, err == nil, "%v after", time.Since(now))
			require.Equal(t, !c.ok, errors.Is(err, webhook.ErrUnverified))
		}
		require.Len(t, a.requests(), 1, "it was fetched again")
	})
}

func TestCertificateIsFetchedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &amazon{answer: func(*http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			return says(200, good())
		}}
		w := a.source(t)
		body := notice1(sampleEvent).signed(amazonKey())
		var wg sync.WaitGroup
		for range 16 {
			r := body.posted()
			wg.Go(func() {
				if _, err := receive(t.Context(), w, r); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		_, err := receive(t.Context(), w, body.posted())
		require.NoError(t, err)
		require.Len(t, a.requests(), 1)
	})
}

func TestARequestThatEndsTakesNoOtherWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &amazon{answer: func(r *http.Request) (*http.Response, error) {
			select {
			case <-time.After(2 * time.Second):
				return says(200, good())
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		}}
		w := a.source(t)
		body := notice1(sampleEvent).signed(amazonKey())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		first, second := body.posted(), body.posted()
		wg.Go(func() {
			begun := time.Now()
			if _, err := receive(ctx, w, first); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, webhook.ErrUnverified) || time.Since(begun) != time.Second {
				t.Error(err, time.Since(begun))
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if _, err := receive(t.Context(), w, second); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		require.Len(t, a.requests(), 1)
	})
}

func TestAHostThatHangsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &amazon{answer: func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}}
		begun := time.Now()
		_, err := receive(t.Context(), a.source(t), notice1(sampleEvent).signed(amazonKey()).posted())
		require.Error(t, err)
		require.NotErrorIs(t, err, webhook.ErrUnverified)
		require.Equal(t, 10*time.Second, time.Since(begun))
	})
}

// at is the address of another certificate.
func at(i int) string { return strings.Replace(certAddress, "0123", fmt.Sprintf("%04d", i), 1) }

func TestStrangersCannotKeepUsFetching(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		a := &amazon{answer: func(r *http.Request) (*http.Response, error) {
			if r.URL.String() != certAddress {
				<-hang
				return says(404, nil)
			}
			return says(200, good())
		}}
		w := a.source(t)
		e := notice1(sampleEvent).signed(amazonKey())
		_, err := receive(t.Context(), w, e.posted())
		require.NoError(t, err)
		var wg sync.WaitGroup
		for i := range 4 {
			r := e.with("SigningCertURL", at(7000+i)).posted()
			wg.Go(func() {
				if _, err := receive(t.Context(), w, r); !errors.Is(err, webhook.ErrUnverified) {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		for i := range 100 {
			_, err = receive(t.Context(), w, e.with("SigningCertURL", at(8000+i)).posted())
			require.ErrorIs(t, err, errBusy)
		}
		_, err = receive(t.Context(), w, e.posted())
		require.NoError(t, err, "the known certificate does")
		require.Len(t, a.requests(), 5)
		close(hang)
		wg.Wait()
		require.Empty(t, w.certs.fetching)
	})
}

func TestFewCertificatesAreKept(t *testing.T) {
	a := &amazon{answer: func(*http.Request) (*http.Response, error) { return says(200, good()) }}
	w := a.source(t)
	e := notice1(sampleEvent).signed(amazonKey())
	get := func(i int) {
		_, err := receive(t.Context(), w, e.with("SigningCertURL", at(i)).posted())
		require.NoError(t, err)
	}
	for i := range maxKept + 1 {
		get(1000 + i)
		get(1000 + i)
	}
	require.Len(t, a.requests(), maxKept+1)
	require.Len(t, w.certs.kept, maxKept)
	get(1000 + maxKept)
	require.Len(t, a.requests(), maxKept+1, "the newest was thrown away")
	get(1000)
	require.Len(t, a.requests(), maxKept+2)
}

func TestConfirmation(t *testing.T) {
	a := new(amazon)
	events, err := receive(t.Context(), a.source(t), confirmation().signed(amazonKey()).posted())
	require.NoError(t, err)
	require.Empty(t, events)
	require.Equal(t, []string{"GET " + certAddress, "GET " + confirmAt}, a.requests())

	t.Run("the end of a subscription is left alone", func(t *testing.T) {
		a := new(amazon)
		_, err := receive(t.Context(), a.source(t), confirmation().with("Type", "UnsubscribeConfirmation").signed(amazonKey()).posted())
		require.NoError(t, err)
		require.Equal(t, []string{"GET " + certAddress}, a.requests())
	})
	t.Run("one that fails is asked for again", func(t *testing.T) {
		for _, answer := range []func() (*http.Response, error){
			func() (*http.Response, error) { return says(500, nil) },
			func() (*http.Response, error) { return says(403, nil) },
			func() (*http.Response, error) { return nil, errors.New("refused") },
			func() (*http.Response, error) {
				resp, err := says(302, nil)
				resp.Header.Set("Location", "http://169.254.169.254/")
				return resp, err
			},
			func() (*http.Response, error) {
				resp, err := says(200, nil)
				resp.Body = io.NopCloser(broken{})
				return resp, err
			},
		} {
			a := new(amazon)
			a.answer = func(r *http.Request) (*http.Response, error) {
				if r.URL.String() == certAddress {
					return says(200, good())
				}
				return answer()
			}
			_, err := receive(t.Context(), a.source(t), confirmation().signed(amazonKey()).posted())
			require.Error(t, err)
			require.NotErrorIs(t, err, webhook.ErrUnverified)
			require.NotErrorIs(t, err, webhook.ErrMalformed)
			require.Len(t, a.requests(), 2, "a redirect was followed")
		}
	})
	t.Run("one that hangs is given up", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := &amazon{answer: func(r *http.Request) (*http.Response, error) {
				if r.URL.String() == certAddress {
					return says(200, good())
				}
				<-r.Context().Done()
				return nil, r.Context().Err()
			}}
			begun := time.Now()
			_, err := receive(t.Context(), a.source(t), confirmation().signed(amazonKey()).posted())
			require.Error(t, err)
			require.Equal(t, 10*time.Second, time.Since(begun))
		})
	})
}

// A confirmation goes nowhere but to SNS, even if Amazon signed another address.
func TestConfirmationsGoToAmazonOnly(t *testing.T) {
	const query = "?Action=ConfirmSubscription&TopicArn=" + topic + "&Token=2336412f37"
	for _, address := range []string{
		"https://127.0.0.1/" + query, "https://10.0.0.1/" + query, "https://[::1]/" + query, "https://localhost/" + query,
		"http://169.254.169.254/latest/meta-data/" + query, "https://169.254.169.254/" + query, "https://2852039166/" + query,
		"http://sns.eu-west-1.amazonaws.com/" + query, "https://sns.eu-west-1.amazonaws.com.example.com/" + query,
		"https://sns.eu-west-1.amazonaws.com:8443/" + query, "https://sns.eu-west-1.amazonaws.com@127.0.0.1/" + query,
		"https://user@sns.eu-west-1.amazonaws.com/" + query, "https://sns.eu-west-1.amazonaws.com/x" + query,
		"https://sns.eu-west-1.amazonaws.com//" + query, "https://sns.s3-eu-west-1.amazonaws.com/" + query,
		"https://sns.eu-west-1.amazonaws.com/" + query + "#x", "https://sns.eu-west-1.amazonaws.com/",
		"https://sns.eu-west-1.amazonaws.com/?Action=Unsubscribe&TopicArn=" + topic + "&Token=2336412f37",
		"https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=" + topic + "2&Token=2336412f37",
		"https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=2336412f37",
		"https://sns.eu-west-1.amazonaws.com/?Action=%zz&TopicArn=" + topic, "",
	} {
		t.Run(address, func(t *testing.T) {
			a := new(amazon)
			_, err := receive(t.Context(), a.source(t), confirmation().with("SubscribeURL", address).signed(amazonKey()).posted())
			require.ErrorIs(t, err, webhook.ErrUnverified)
			require.Equal(t, []string{"GET " + certAddress}, a.requests())
		})
	}
}

func FuzzAmazonURL(f *testing.F) {
	for _, s := range []string{certAddress, confirmAt, "https://sns.us-east-1.amazonaws.com@example.com/", "https://sns.cn-north-1.amazonaws.com.cn/x#"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, ok := amazonURL(raw)
		if !ok {
			return
		}
		// What is asked for is where it seems to go, read a second time by the eye.
		rest, found := strings.CutPrefix(u.String(), "https://sns.")
		require.True(t, found, raw)
		host, _, _ := strings.Cut(rest, "/")
		host, _, _ = strings.Cut(host, "?")
		host = strings.TrimSuffix(strings.TrimSuffix(host, ".cn"), ".amazonaws.com")
		require.NotContains(t, host, ".")
		require.Empty(t, strings.Trim(strings.ToLower(host), "abcdefghijklmnopqrstuvwxyz0123456789-"), raw)
		again, err := url.Parse(u.String())
		require.NoError(t, err)
		require.Equal(t, u.Host, again.Host)
		require.Nil(t, again.User)
	})
}

// Each kind of a bounce and of a delay has its type and its reason.
func TestBouncesAndDelays(t *testing.T) {
	// The answers of the receiving server, for kinds that tell nothing.
	const (
		later, told     = "451 4.7.1 greylisted, try again later", webhook.ReasonThrottled
		nobody, toldNot = "550 5.1.1 no such user", webhook.ReasonMailbox
	)
	for _, c := range []struct {
		kind, subtype string
		typ           webhook.Type
		bounce        webhook.Bounce
		reason        webhook.Reason
	}{
		{"Permanent", "General", webhook.Bounced, webhook.Hard, told},
		{"Permanent", "NoEmail", webhook.Bounced, webhook.Hard, webhook.ReasonMailbox},
		{"Permanent", "Suppressed", webhook.Rejected, "", webhook.ReasonSuppressed},
		{"Permanent", "OnAccountSuppressionList", webhook.Rejected, "", webhook.ReasonSuppressed},
		{"Permanent", "OnTenantSuppressionList", webhook.Rejected, "", webhook.ReasonSuppressed},
		{"Permanent", "EmailValidationSuppressed", webhook.Rejected, "", webhook.ReasonSuppressed},
		{"Permanent", "UnsubscribedRecipient", webhook.Rejected, "", webhook.ReasonSuppressed},
		{"Permanent", "Newer", webhook.Bounced, webhook.Hard, told},
		{"Transient", "General", webhook.Bounced, webhook.Soft, told},
		{"Transient", "MailboxFull", webhook.Bounced, webhook.Soft, webhook.ReasonQuota},
		{"Transient", "MessageTooLarge", webhook.Bounced, webhook.Soft, webhook.ReasonSize},
		{"Transient", "ContentRejected", webhook.Bounced, webhook.Soft, webhook.ReasonSpam},
		{"Transient", "AttachmentRejected", webhook.Bounced, webhook.Soft, webhook.ReasonSpam},
		{"Transient", "CustomTimeoutExceeded", webhook.Bounced, webhook.Soft, webhook.ReasonNetwork},
		{"Undetermined", "Undetermined", webhook.Bounced, webhook.Undetermined, told},
		{"", "", webhook.Bounced, webhook.Undetermined, told},
		{"Newer", "General", webhook.Bounced, webhook.Undetermined, told},
	} {
		events, ok := readEvents(fmt.Appendf(nil, `{"eventType":"Bounce","bounce":{"bounceType":%q,"bounceSubType":%q,`+
			`"bouncedRecipients":[{"emailAddress":"a@customer.example","diagnosticCode":"smtp; %s"}]}}`, c.kind, c.subtype, later), "")
		require.True(t, ok)
		require.Len(t, events, 1)
		require.Equal(t, []any{c.typ, c.bounce, c.reason}, []any{events[0].Type, events[0].Bounce, events[0].Reason}, "%s %s", c.kind, c.subtype)
		require.Equal(t, later, events[0].SMTP)
	}
	for delay, want := range map[string]webhook.Reason{
		"InternalFailure": webhook.ReasonOther, "General": toldNot, "MailboxFull": webhook.ReasonQuota, "SpamDetected": webhook.ReasonSpam,
		"RecipientServerError": webhook.ReasonNetwork, "IPFailure": webhook.ReasonBlocked,
		"TransientCommunicationFailure": webhook.ReasonNetwork, "BYOIPHostNameLookupUnavailable": webhook.ReasonNetwork,
		"SendingDeferral": webhook.ReasonThrottled, "Undetermined": toldNot, "Newer": toldNot,
	} {
		events, ok := readEvents(fmt.Appendf(nil, `{"eventType":"DeliveryDelay","deliveryDelay":{"delayType":%q,`+
			`"delayedRecipients":[{"emailAddress":"a@customer.example","diagnosticCode":%q}]}}`, delay, nobody), "")
		require.True(t, ok)
		require.Equal(t, webhook.Deferred, events[0].Type)
		require.Equal(t, want, events[0].Reason, delay)
	}
}

func TestTheSameBounceByBothWaysIsOneEvent(t *testing.T) {
	text := `{"notificationType":"Bounce","bounce":{"bounceType":"Permanent","feedbackId":"f-1","bouncedRecipients":[{"emailAddress":"a@customer.example"}]}}`
	first, _ := readEvents([]byte(text), "message-1")
	second, _ := readEvents([]byte(strings.Replace(text, "notificationType", "eventType", 1)), "message-2")
	require.Equal(t, first[0].ID, second[0].ID)
	other, _ := readEvents([]byte(strings.Replace(text, "f-1", "f-2", 1)), "message-1")
	require.NotEqual(t, first[0].ID, other[0].ID)
	somebody, _ := readEvents([]byte(strings.Replace(text, "a@", "b@", 1)), "message-1")
	require.NotEqual(t, first[0].ID, somebody[0].ID)

	open := `{"eventType":"Open","mail":{"destination":["a@customer.example"]}}`
	first, _ = readEvents([]byte(open), "message-1")
	second, _ = readEvents([]byte(open), "message-2")
	require.NotEqual(t, first[0].ID, second[0].ID, "two openings are one event")
	first, _ = readEvents([]byte(open), "")
	require.NotEmpty(t, first[0].ID)
}

func TestWebhookGivesAllTagsBack(t *testing.T) {
	m := mailer.Message{
		ID: "id-1", From: mailer.Address{Address: "shop@example.com"}, To: []mailer.Address{{Address: "ada@example.com"}},
		Subject: "Welcome", Text: "Good day.", Metadata: map[string]string{"plan": "pro", "user": "4711"},
	}
	for i := range 12 {
		m.Tags = append(m.Tags, fmt.Sprintf("tag-%d", i))
	}
	_, body := reported(t, m)
	events, ok := readEvents(body, "")
	require.True(t, ok)
	require.Equal(t, m.Tags, events[0].Tags)
	require.Equal(t, m.Metadata, events[0].Metadata)
	require.Equal(t, m.ID, events[0].MailID)
}

func TestTooManyRecipientsAreRefused(t *testing.T) {
	list, err := json.Marshal(slices.Repeat([]string{"a@customer.example"}, webhook.MaxEvents+1))
	require.NoError(t, err)
	_, err = receive(t.Context(), new(amazon).source(t),
		notice1(`{"eventType":"Send","mail":{"destination":`+string(list)+`}}`).signed(amazonKey()).posted())
	require.ErrorIs(t, err, webhook.ErrMalformed)
}

func TestTextsThatAreNoEvents(t *testing.T) {
	for text, want := range map[string]error{
		"Successfully validated SNS topic for Amazon SES event publishing.": nil,
		"Hello": webhook.ErrMalformed, "": webhook.ErrMalformed, "[]": webhook.ErrMalformed, "null": webhook.ErrMalformed, `{"a":`: webhook.ErrMalformed,
	} {
		events, err := receive(t.Context(), new(amazon).source(t), notice1(text).signed(amazonKey()).posted())
		require.ErrorIs(t, err, want, text)
		require.Empty(t, events)
	}
}

func TestNewWebhookRefuses(t *testing.T) {
	for _, arn := range []string{
		"", "mail-events", "arn:aws:sns:eu-west-1:123456789012:", "arn:aws:sqs:eu-west-1:123456789012:mail-events",
		"arn:aws:sns:eu-west-1:12345678901:mail-events", "arn:aws:sns:*:123456789012:mail-events", topic + ".fifo", topic + "\n", " " + topic,
	} {
		_, err := NewWebhook(WebhookConfig{TopicARNs: []string{topic, arn}})
		require.ErrorContains(t, err, "TopicARNs[1]", arn)
	}
	for _, arn := range []string{topic, "arn:aws-cn:sns:cn-north-1:123456789012:a_B-1", "arn:aws-us-gov:sns:us-gov-west-1:123456789012:a"} {
		_, err := NewWebhook(WebhookConfig{TopicARNs: []string{arn}})
		require.NoError(t, err)
	}
}

func TestNewWebhookChangesNothingOfItsConfig(t *testing.T) {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	client := &http.Client{Timeout: time.Minute, Jar: jar}
	c := WebhookConfig{TopicARNs: []string{topic}, HTTPClient: client}
	w, err := NewWebhook(c)
	require.NoError(t, err)
	require.Nil(t, client.CheckRedirect)
	require.Same(t, jar, client.Jar)
	require.Nil(t, w.client.Jar)
	require.Equal(t, time.Minute, w.client.Timeout)
	c.TopicARNs[0] = "x"
	require.Equal(t, []string{topic}, w.topics)

	w, err = NewWebhook(WebhookConfig{TopicARNs: []string{topic}})
	require.NoError(t, err)
	require.Same(t, &ownTransport, w.client.Transport)
	require.Nil(t, ownTransport.Proxy, "the environment chooses who sees our requests")
}

func FuzzReadMessage(f *testing.F) {
	f.Add(notice1(sampleEvent).signed(amazonKey()).json())
	f.Add(confirmation().signed(amazonKey()).json())
	f.Add([]byte(`{"Type":"Notification"}`))
	a := new(amazon)
	w := a.source(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := w.Receive(context.Background(), &webhook.Request{Method: http.MethodPost, Header: http.Header{}, Body: body})
		if err != nil {
			require.True(t, errors.Is(err, webhook.ErrMalformed) || errors.Is(err, webhook.ErrUnverified), "%v", err)
			require.Empty(t, d.Events)
		} else {
			// Nobody but the holder of the key makes these.
			require.True(t, bytes.Contains(body, []byte("Signature")))
		}
		for _, asked := range a.requests() {
			require.True(t, strings.HasPrefix(asked, "GET https://sns."), asked)
		}
	})
}

func FuzzReadEvents(f *testing.F) {
	files, err := filepath.Glob("testdata/webhook/*.json")
	require.NoError(f, err)
	require.NotEmpty(f, files)
	for _, name := range files {
		body, err := os.ReadFile(name)
		require.NoError(f, err)
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		events, ok := readEvents(body, "m-1")
		if !ok {
			require.Empty(t, events)
			return
		}
		require.True(t, json.Valid(body))
		require.NotEmpty(t, events)
		ids := map[string]bool{}
		for _, e := range events {
			require.False(t, ids[e.ID], "two events have one ID")
			ids[e.ID] = true
			require.NotEmpty(t, e.Type)
			require.Equal(t, e.Type == webhook.Bounced, e.Bounce != "")
			require.Equal(t, string(body), string(e.Raw))
			_, err := json.Marshal(e)
			require.NoError(t, err)
		}
	})
}

// BenchmarkWebhook verifies and reads one message of SNS.
func BenchmarkWebhook(b *testing.B) {
	for _, version := range []string{"1", "2"} {
		b.Run("version "+version, func(b *testing.B) {
			w := new(amazon).source(b)
			body := notice1(sampleEvent).with("SignatureVersion", version).signed(amazonKey()).json()
			b.ReportAllocs()
			for b.Loop() {
				d, err := w.Receive(b.Context(), &webhook.Request{Method: http.MethodPost, Header: http.Header{}, Body: body})
				if err != nil || len(d.Events) != 1 {
					b.Fatal(err, d)
				}
			}
		})
	}
}
