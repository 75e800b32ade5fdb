package ses

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha1" // which SNS signs by default
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed355143d4/mailer/internal/adapter"
)

// The types of the messages of SNS.
const (
	typeNotification = "Notification"
	typeConfirm      = "SubscriptionConfirmation"
	typeUnsubscribed = "UnsubscribeConfirmation"
)

// Bounds of what is fetched.
const (
	fetchTimeout = 10 * time.Second // SNS waits 15 s for an answer
	maxFetch     = 64 << 10         // bytes
	maxFetches   = 4                // at a time
	maxKept      = 16               // certificates
	minKey       = 2048             // bits
)

// message is a message of SNS. What it does not have is nil.
type message struct {
	typ, messageID, topic, subject, message, timestamp *string
	version, signature, certURL                        *string
	token, subscribeURL                                *string
}

// readMessage reads a body. It reports whether that is an object.
func readMessage(body []byte) (m message, ok bool) {
	ok = adapter.Members(body, func(name, value []byte) {
		if value[0] != '"' {
			return
		}
		s := adapter.Text(value)
		switch string(name) {
		case "Type":
			m.typ = &s
		case "MessageId":
			m.messageID = &s
		case "TopicArn":
			m.topic = &s
		case "Subject":
			m.subject = &s
		case "Message":
			m.message = &s
		case "Timestamp":
			m.timestamp = &s
		case "SignatureVersion":
			m.version = &s
		case "Signature":
			m.signature = &s
		case "SigningCertURL":
			m.certURL = &s
		case "Token":
			m.token = &s
		case "SubscribeURL":
			m.subscribeURL = &s
		}
	})
	return m, ok
}

// signed returns what the signature is over. It reports whether m has all that its
// type needs.
// Source: https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
// (read 2026-11).
func (m *message) signed() (string, bool) {
	type part struct {
		name  string
		value *string
	}
	if m.typ == nil {
		return "", false
	}
	var parts []part
	switch *m.typ {
	case typeNotification:
		parts = []part{
			{"Message", m.message},
			{"MessageId", m.messageID},
			{"Subject", m.subject},
			{"Timestamp", m.timestamp},
			{"TopicArn", m.topic},
			{"Type", m.typ},
		}
		if m.subject == nil {
			parts = slices.Delete(parts, 2, 3)
		}
	case typeConfirm, typeUnsubscribed:
		parts = []part{
			{"Message", m.message},
			{"MessageId", m.messageID},
			{"SubscribeURL", m.subscribeURL},
			{"Timestamp", m.timestamp},
			{"Token", m.token},
			{"TopicArn", m.topic},
			{"Type", m.typ},
		}
	default:
		return "", false
	}
	var b strings.Builder
	for _, p := range parts {
		if p.value == nil {
			return "", false
		}
		b.WriteString(p.name + "\n" + *p.value + "\n")
	}
	return b.String(), true
}

// verify checks that m is of one of our topics, and signed by Amazon. Nothing is
// fetched before all is checked that can be checked without it.
func (w *Webhook) verify(ctx context.Context, m *message, h http.Header) error {
	text, ok := m.signed()
	switch {
	case !ok:
		return unverified("not a signed message of SNS")
	case h.Get("X-Amz-Sns-Message-Type") != "" && h.Get("X-Amz-Sns-Message-Type") != *m.typ:
		return unverified("the type is not that of the header")
	case !slices.Contains(w.topics, *m.topic):
		return unverified("not one of the topics")
	case m.version == nil || m.signature == nil || m.certURL == nil:
		return unverified("not signed")
	}
	var hash crypto.Hash
	var digest []byte
	switch {
	case *m.version == "1" && !w.sha256:
		sum := sha1.Sum([]byte(text))
		hash, digest = crypto.SHA1, sum[:]
	case *m.version == "2":
		sum := sha256.Sum256([]byte(text))
		hash, digest = crypto.SHA256, sum[:]
	default:
		return unverified("the version of the signature is not taken")
	}
	signature, err := base64.StdEncoding.DecodeString(*m.signature)
	if err != nil || len(signature) == 0 {
		return unverified("the signature is not base64")
	}
	u, ok := amazonURL(*m.certURL)
	if !ok || u.RawQuery != "" || u.ForceQuery || !certPath.MatchString(u.EscapedPath()) {
		return unverified("the certificate is not at Amazon SNS")
	}
	cert, err := w.certs.get(ctx, u)
	if err != nil {
		return err
	}
	if now := time.Now(); now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
		return unverified("the certificate is not valid now")
	}
	key, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok || key.N.BitLen() < minKey || rsa.VerifyPKCS1v15(key, hash, digest, signature) != nil {
		return unverified("the signature is wrong")
	}
	return nil
}

// amazonHost is the form of SNS's hosts, in the regions of AWS and of AWS in China.
// Source: https://github.com/aws/aws-js-sns-message-validator, index.js (read
// 2026-11).
var amazonHost = regexp.MustCompile(`^sns\.([a-zA-Z0-9-]{3,})\.amazonaws\.com(\.cn)?$`)

// certPath is the form of a certificate's path.
var certPath = regexp.MustCompile(`^/SimpleNotificationService-[a-zA-Z0-9]{32}\.pem$`)

// amazonURL parses an address, and reports whether it leads to a host of SNS and
// nowhere else. "sns.s3-eu-west-1.amazonaws.com" would be of the form, and be
// somebody's bucket in S3.
func amazonURL(raw string) (*url.URL, bool) {
	if strings.ContainsAny(raw, "\\#") {
		return nil, false
	}
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" || u.User != nil || u.Opaque != "" {
		return nil, false
	}
	host := amazonHost.FindStringSubmatch(u.Host) // the port is a part of Host
	return u, host != nil && !strings.HasPrefix(strings.ToLower(host[1]), "s3-")
}

// ownTransport fetches, once a year or so, a certificate.
var ownTransport = http.Transport{
	DisableKeepAlives:      true,
	ForceAttemptHTTP2:      true,
	TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
	TLSHandshakeTimeout:    fetchTimeout,
	MaxResponseHeaderBytes: maxFetch,
}

func get(ctx context.Context, client *http.Client, u *url.URL) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	return client.Do(req)
}

// certificates fetches certificates and keeps them. Whoever needs one that is on
// its way waits for it.
type certificates struct {
	client *http.Client

	mu       sync.Mutex
	kept     []certificate // the newest last
	fetching map[string]*fetch
}

type certificate struct {
	url string
	*x509.Certificate
}

type fetch struct {
	done chan struct{} // closed when cert or err is there
	cert *x509.Certificate
	err  error
}

// errBusy asks SNS to try again. Its certificate is kept, so only an attack, with
// messages that each name another one, meets it again.
var errBusy = errors.New("ses: too many certificates are being fetched")

// get returns the certificate at u, which is one of SNS's addresses.
func (c *certificates) get(ctx context.Context, u *url.URL) (*x509.Certificate, error) {
	address := u.String()
	c.mu.Lock()
	if i := slices.IndexFunc(c.kept, func(k certificate) bool { return k.url == address }); i >= 0 {
		defer c.mu.Unlock()
		return c.kept[i].Certificate, nil
	}
	f := c.fetching[address]
	if f == nil {
		if len(c.fetching) == maxFetches {
			c.mu.Unlock()
			return nil, errBusy
		}
		if c.fetching == nil {
			c.fetching = map[string]*fetch{}
		}
		f = &fetch{done: make(chan struct{})}
		c.fetching[address] = f
		go c.fetch(context.WithoutCancel(ctx), u, f) // others may wait for it, so it outlives the request
	}
	c.mu.Unlock()
	select {
	case <-f.done:
		return f.cert, f.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// fetch fetches a certificate and keeps it.
func (c *certificates) fetch(ctx context.Context, u *url.URL, f *fetch) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	f.cert, f.err = download(ctx, c.client, u)
	c.mu.Lock()
	defer c.mu.Unlock()
	address := u.String()
	delete(c.fetching, address)
	if f.err == nil {
		if len(c.kept) == maxKept {
			c.kept = slices.Delete(c.kept, 0, 1)
		}
		c.kept = append(c.kept, certificate{address, f.cert})
	}
	close(f.done)
}

// download fetches a certificate. An error that is not unverified may pass.
func download(ctx context.Context, client *http.Client, u *url.URL) (*x509.Certificate, error) {
	resp, err := get(ctx, client, u)
	if err != nil {
		return nil, errors.New("ses: the certificate could not be fetched")
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusOK:
	case resp.StatusCode >= 300 && resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests:
		return nil, unverified("there is no certificate at that address")
	default:
		return nil, errors.New("ses: the certificate could not be fetched")
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxFetch+1))
	switch {
	case err != nil:
		return nil, errors.New("ses: the certificate could not be fetched")
	case len(text) > maxFetch:
		return nil, unverified("the certificate is too large")
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, unverified("the certificate is malformed")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, unverified("the certificate is malformed")
	}
	return cert, nil
}
