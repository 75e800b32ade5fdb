package elasticemail

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/webhook"
)

// secretParameter is the query parameter which holds the secret in the address given to
// Elastic Email.
const secretParameter = "secret"

// WebhookConfig is what [NewWebhook] needs. It prints without the secrets.
type WebhookConfig struct {
	// Secrets are those that are good, one of which stands in the address given to
	// Elastic Email: "https://hooks.example/elasticemail?secret=…". Required: long and
	// random, since the address is all that proves Elastic Email. Two are good while
	// one replaces the other.
	Secrets []string
}

// Webhook reads what Elastic Email reports as "HTTP notifications". It is a
// [webhook.Source], safe for concurrent use, and prints as its name.
type Webhook struct {
	secrets []string
	open    bool // no secret is asked for
}

var _ webhook.Source = (*Webhook)(nil)

// NewWebhook returns a Webhook, or an error that names the field at fault. It keeps
// nothing of c that can change later.
func NewWebhook(c WebhookConfig) (*Webhook, error) {
	if len(c.Secrets) == 0 {
		return nil, errors.New("elasticemail: WebhookConfig.Secrets is empty")
	}
	for i, secret := range c.Secrets {
		if err := adapter.Credential(secret); err != nil {
			return nil, fmt.Errorf("elasticemail: WebhookConfig.Secrets[%d] %w", i, err)
		}
	}
	return &Webhook{secrets: slices.Clone(c.Secrets)}, nil
}

// NewUnauthenticatedWebhook returns a Webhook that believes everybody. Something before
// it has to tell Elastic Email from others, such as a path that nobody can guess.
func NewUnauthenticatedWebhook() *Webhook { return &Webhook{open: true} }

// Name returns "elasticemail".
func (w *Webhook) Name() string { return provider }

// Allow returns the methods that Elastic Email uses: "GET, POST".
func (w *Webhook) Allow() string { return "GET, POST" }

// Receive reads one event: in the query of a GET, or as the JSON object of a POST. A
// GET without a status is Elastic Email's question whether the address is there, and
// has no event.
//
// The form of the POST is UNVERIFIED. So is how Elastic Email signs it, and what it
// signs; the signature is not looked at, and the secret in the address has to prove it.
// A GET never has a signature.
func (w *Webhook) Receive(_ context.Context, r *webhook.Request) (webhook.Delivery, error) {
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodPost:
		return webhook.Delivery{}, webhook.ErrMethod
	case !w.open && !w.believes(r.Query):
		return webhook.Delivery{}, webhook.ErrUnverified
	}
	v, raw := values{}, r.Body
	if r.Method == http.MethodGet {
		query := maps.Clone(r.Query)
		delete(query, secretParameter)
		for _, name := range adapter.Keys(query) {
			v.add(name, query.Get(name))
		}
		if v["status"] == "" {
			return webhook.Delivery{}, nil
		}
		raw = []byte(query.Encode())
	} else if !adapter.Members(r.Body, func(name, value []byte) { v.add(string(name), adapter.Scalar(value)) }) {
		return webhook.Delivery{}, webhook.ErrMalformed
	}
	e := v.event()
	e.Raw = raw
	if e.MessageID == "" { // nor can it be told from others by what it is about
		e.ID = webhook.EventID(string(raw))
	}
	return webhook.Delivery{Events: []webhook.Event{e}}, nil
}

// believes reports whether a query has one of the secrets. All are compared.
func (w *Webhook) believes(query url.Values) (good bool) {
	for _, secret := range w.secrets {
		good = webhook.EqualSecret(query.Get(secretParameter), secret) || good
	}
	return good
}

// values are the members of an event. The first with a text counts, whatever the case
// of its name.
type values map[string]string

func (v values) add(name, text string) {
	if name = strings.ToLower(name); text != "" && v[name] == "" {
		v[name] = strings.ToValidUTF8(text, "\uFFFD")
	}
}

// event returns what happened.
// Source: https://help.elasticemail.com, articles 4804685 and 2376855 (read 2026-11).
func (v values) event() webhook.Event {
	status := strings.ToLower(v["status"])
	e := webhook.Event{
		Provider:  provider,
		Type:      webhook.Other,
		MessageID: cmp.Or(v["transaction"], v["messageid"]),
		Recipient: v["to"],
		Time:      eventTime(v["date"]),
		ID:        webhook.EventID(status, v["transaction"], v["messageid"], v["to"], v["date"], v["target"]),
	}
	e.MailID, e.Metadata = readPostback(v["postback"])
	if channel := v["channel"]; channel != "" {
		e.Tags = []string{channel}
	}
	switch status {
	case "sent":
		e.Type = webhook.Delivered
	case "opened":
		e.Type = webhook.Opened
	case "clicked":
		e.Type, e.ClickURL = webhook.Clicked, v["target"]
	case "unsubscribed":
		e.Type = webhook.Unsubscribed
	case "abusereport":
		e.Type = webhook.Complained
	case "error":
		e.Detail = v["category"]
		c, listed := categories[strings.ToLower(strings.ReplaceAll(e.Detail, " ", ""))]
		if !listed {
			c = category{webhook.Bounced, webhook.Undetermined, webhook.ReasonOther}
		}
		e.Type, e.Bounce, e.Reason = c.typ, c.bounce, c.reason
	}
	return e
}

type category struct {
	typ    webhook.Type
	bounce webhook.Bounce
	reason webhook.Reason
}

// categories are what the category of an error means, in lower case.
// Source: Elastic Email's OpenAPI description, MessageCategory; what NotDelivered and
// NotDeliveredCancelled mean is from airmail's documentation,
// com.aghstrategies.airmail, docs/Elastic.md (read 2026-11).
var categories = map[string]category{
	"":                      {webhook.Bounced, webhook.Undetermined, ""},
	"unknown":               {webhook.Bounced, webhook.Undetermined, webhook.ReasonOther},
	"nomailbox":             {webhook.Bounced, webhook.Hard, webhook.ReasonMailbox},
	"greylisted":            {webhook.Bounced, webhook.Soft, webhook.ReasonThrottled},
	"throttled":             {webhook.Bounced, webhook.Soft, webhook.ReasonThrottled},
	"timeout":               {webhook.Bounced, webhook.Soft, webhook.ReasonNetwork},
	"connectionproblem":     {webhook.Bounced, webhook.Soft, webhook.ReasonNetwork},
	"connectionterminated":  {webhook.Bounced, webhook.Soft, webhook.ReasonNetwork},
	"dnsproblem":            {webhook.Bounced, webhook.Soft, webhook.ReasonNetwork},
	"spfproblem":            {webhook.Bounced, webhook.Soft, webhook.ReasonBlocked},
	"whitelistingproblem":   {webhook.Bounced, webhook.Soft, webhook.ReasonBlocked},
	"accountproblem":        {webhook.Bounced, webhook.Soft, webhook.ReasonOther},
	"codeerror":             {webhook.Bounced, webhook.Soft, webhook.ReasonOther},
	"spam":                  {webhook.Bounced, webhook.Soft, webhook.ReasonSpam},
	"contentfilter":         {webhook.Bounced, webhook.Soft, webhook.ReasonSpam},
	"blacklisted":           {webhook.Bounced, webhook.Soft, webhook.ReasonBlocked},
	"ignore":                {webhook.Rejected, "", webhook.ReasonOther},
	"manualcancel":          {webhook.Rejected, "", webhook.ReasonOther},
	"notdelivered":          {webhook.Rejected, "", webhook.ReasonSuppressed},
	"notdeliveredcancelled": {webhook.Rejected, "", webhook.ReasonSuppressed},
}

// eventTime reads a time. Its form is not documented; a month before the day, as in
// "3/4/2026 10:11:13 AM", is what Elastic Email wrote in the past. Without a zone it is
// UTC.
func eventTime(text string) time.Time {
	if t, err := time.Parse("1/2/2006 3:04:05 PM", strings.ToUpper(text)); err == nil {
		return t
	}
	return adapter.Time(text)
}

// readPostback returns what postback wrote. A text of somebody else's is neither.
func readPostback(text string) (id string, metadata map[string]string) {
	if strings.HasPrefix(text, "{") {
		metadata = adapter.StringMap([]byte(text))
		text = metadata[idKey]
		delete(metadata, idKey)
	}
	if !isID(text) {
		return "", nil
	}
	if len(metadata) == 0 {
		metadata = nil
	}
	return text, metadata
}

// isID says whether text can be a message's ID.
func isID(text string) bool {
	return 0 < len(text) && len(text) <= 64 && !strings.ContainsFunc(text, func(r rune) bool {
		return (r < '0' || '9' < r) && (r < 'A' || 'Z' < r) && (r < 'a' || 'z' < r) && r != '_' && r != '-'
	})
}

// String describes c without its secrets.
func (c WebhookConfig) String() string {
	return fmt.Sprintf("elasticemail.WebhookConfig{Secrets: %d}", len(c.Secrets))
}

// GoString is String, for %#v.
func (c WebhookConfig) GoString() string { return c.String() }

// MarshalText is String, for JSON and for log/slog.
func (c WebhookConfig) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// String returns the service's name.
func (w Webhook) String() string { return provider }

// GoString is String, for %#v.
func (w Webhook) GoString() string { return provider }

// MarshalText is String, for JSON and for log/slog.
func (w Webhook) MarshalText() ([]byte, error) { return []byte(provider), nil }
