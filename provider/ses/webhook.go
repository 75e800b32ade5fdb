package ses

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/webhook"
)

// WebhookConfig is what [NewWebhook] needs. It prints without what is in it.
type WebhookConfig struct {
	// TopicARNs are the Amazon SNS topics whose messages are believed, such as
	// "arn:aws:sns:eu-west-1:123456789012:mail-events". Required: anybody with an
	// AWS account can have Amazon sign messages of a topic of their own. A topic that
	// asks to be confirmed is confirmed if it is one of these.
	TopicARNs []string
	// RequireSHA256 refuses the signature version 1, which is SHA-1. Topics sign so
	// unless their attribute SignatureVersion is 2.
	RequireSHA256 bool
	// HTTPClient fetches Amazon's certificates and confirms subscriptions. Redirects
	// are never followed. Nil: a client of its own, which uses no proxy.
	HTTPClient *http.Client
}

// Webhook reads what SES reports through Amazon SNS, by event publishing of a
// configuration set or by the notifications of an identity, and mail that SES
// receives. It is a [webhook.Source], safe for concurrent use, and prints as its
// name.
type Webhook struct {
	topics []string
	sha256 bool // only
	raw    bool // raw delivery is taken
	basic  []webhook.Basic
	client *http.Client
	certs  certificates
}

var _ webhook.Source = (*Webhook)(nil)

// topicARN is the form of a standard topic's name. SES knows no FIFO topics.
var topicARN = regexp.MustCompile(`^arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:[a-zA-Z0-9_-]{1,256}$`)

// NewWebhook returns a Webhook, or an error that names the field at fault. It keeps
// nothing of c that can change later.
//
// Each message is believed by its signature, of the versions 1 and 2. The
// certificate is fetched from Amazon SNS's own host only, and kept. Its dates are
// checked, but no chain: it is Amazon's since that host says so, over TLS. SNS
// names no age after which a message is to be refused; one that comes again has
// the same event ids.
func NewWebhook(c WebhookConfig) (*Webhook, error) {
	if len(c.TopicARNs) == 0 {
		return nil, errors.New("ses: WebhookConfig.TopicARNs is empty")
	}
	for i, arn := range c.TopicARNs {
		if !topicARN.MatchString(arn) {
			return nil, fmt.Errorf("ses: WebhookConfig.TopicARNs[%d] is not the ARN of a standard SNS topic", i)
		}
	}
	client := &http.Client{Transport: &ownTransport}
	if c.HTTPClient != nil {
		user := *c.HTTPClient
		client = &user
	}
	client.Jar = nil
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	w := &Webhook{topics: slices.Clone(c.TopicARNs), sha256: c.RequireSHA256, client: client}
	w.certs.client = client
	return w, nil
}

// NewRawWebhook is NewWebhook for subscriptions with raw message delivery. SNS does
// not sign these, so each request has to carry one of the passwords, which stands
// in the endpoint's address: "https://user:password@hooks.example/ses". Required
// is at least one; two are good while one replaces the other. Messages that are not
// raw, among them those that ask for a confirmation, have to be signed as well.
func NewRawWebhook(c WebhookConfig, basic ...webhook.Basic) (*Webhook, error) {
	if len(basic) == 0 {
		return nil, errors.New("ses: NewRawWebhook has no password")
	}
	if err := adapter.CheckBasic(basic); err != nil {
		return nil, fmt.Errorf("ses: NewRawWebhook %w", err)
	}
	w, err := NewWebhook(c)
	if err != nil {
		return nil, err
	}
	w.raw, w.basic = true, slices.Clone(basic)
	return w, nil
}

// Name returns "ses".
func (w *Webhook) Name() string { return provider }

// Receive reads one message of SNS. One about several recipients is an event for
// each. The confirmation of a subscription is made before Receive returns, and is
// no event. Nor is the end of one, or SES's word that it has checked the topic.
func (w *Webhook) Receive(ctx context.Context, r *webhook.Request) (webhook.Delivery, error) {
	switch {
	case r.Method != http.MethodPost:
		return webhook.Delivery{}, webhook.ErrMethod
	case w.raw && !adapter.MatchBasic(w.basic, r.Header):
		return webhook.Delivery{}, webhook.ErrUnverified
	case w.raw && !slices.Contains(w.topics, r.Header.Get("X-Amz-Sns-Topic-Arn")):
		return webhook.Delivery{}, unverified("not one of the topics")
	}
	m, ok := readMessage(r.Body)
	switch {
	case w.raw && m.typ == nil: // not in an envelope
		return notification(r.Body, r.Header.Get("X-Amz-Sns-Message-Id"))
	case !ok:
		return webhook.Delivery{}, webhook.ErrMalformed
	}
	if err := w.verify(ctx, &m, r.Header); err != nil {
		return webhook.Delivery{}, err
	}
	switch *m.typ {
	case typeConfirm:
		return webhook.Delivery{}, w.confirm(ctx, &m)
	case typeUnsubscribed: // to visit its SubscribeURL would subscribe again
		return webhook.Delivery{}, nil
	}
	return notification([]byte(*m.message), *m.messageID)
}

// notification reads what SES says in a message of SNS.
func notification(text []byte, id string) (webhook.Delivery, error) {
	events, ok := readEvents(text, id)
	switch {
	case ok:
		return webhook.Delivery{Events: events}, nil
	case strings.HasPrefix(string(text), "Successfully validated SNS topic"):
		return webhook.Delivery{}, nil
	}
	return webhook.Delivery{}, webhook.ErrMalformed
}

// confirm confirms a subscription to one of our topics. The address to visit is
// checked although Amazon signed it.
func (w *Webhook) confirm(ctx context.Context, m *message) error {
	u, ok := amazonURL(*m.subscribeURL)
	if !ok || u.Path != "" && u.Path != "/" {
		return unverified("the SubscribeURL is not one of Amazon SNS: confirm by hand")
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil || q.Get("Action") != "ConfirmSubscription" || q.Get("TopicArn") != *m.topic {
		return unverified("the SubscribeURL does not confirm the topic: confirm by hand")
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	resp, err := get(ctx, w.client, u)
	if err != nil {
		return errors.New("ses: the subscription could not be confirmed")
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxFetch)); err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("ses: the subscription could not be confirmed: status %d", resp.StatusCode)
	}
	return nil
}

// unverified is an [webhook.ErrUnverified] that says why.
func unverified(why string) error { return fmt.Errorf("%w: %s", webhook.ErrUnverified, why) }

// String describes c without what is in it.
func (c WebhookConfig) String() string {
	return fmt.Sprintf("ses.WebhookConfig{TopicARNs: %d}", len(c.TopicARNs))
}

// GoString is String, for %#v.
func (c WebhookConfig) GoString() string { return c.String() }

// MarshalText is String, for JSON and for log/slog.
func (c WebhookConfig) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// String returns the service's name.
func (w *Webhook) String() string { return provider }

// GoString is String, for %#v.
func (w *Webhook) GoString() string { return provider }

// MarshalText is String, for JSON and for log/slog.
func (w *Webhook) MarshalText() ([]byte, error) { return []byte(provider), nil }
