package mailjet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/webhook"
)

// WebhookConfig is what [NewWebhook] needs. It prints without the passwords.
type WebhookConfig struct {
	// Basic are the user names and passwords that are good, one of which stands in
	// the address given to Mailjet: "https://user:password@hooks.example/mailjet".
	// Required. Two are good while one replaces the other.
	Basic []webhook.Basic
}

// Webhook reads what Mailjet's Event API reports, and mail from its Parse API. It is
// a [webhook.Source], safe for concurrent use, and prints as its name.
type Webhook struct {
	basic []webhook.Basic
	open  bool // no password is asked for
}

var _ webhook.Source = (*Webhook)(nil)

// NewWebhook returns a Webhook, or an error that names the field at fault. It keeps
// nothing of c that can change later.
func NewWebhook(c WebhookConfig) (*Webhook, error) {
	if len(c.Basic) == 0 {
		return nil, errors.New("mailjet: WebhookConfig.Basic is empty")
	}
	if err := adapter.CheckBasic(c.Basic); err != nil {
		return nil, fmt.Errorf("mailjet: WebhookConfig.Basic %w", err)
	}
	return &Webhook{basic: slices.Clone(c.Basic)}, nil
}

// NewUnauthenticatedWebhook returns a Webhook that believes everybody. Mailjet signs
// nothing, so something before it has to tell Mailjet from others, such as a path
// that nobody can guess.
func NewUnauthenticatedWebhook() *Webhook { return &Webhook{open: true} }

// Name returns "mailjet".
func (w *Webhook) Name() string { return provider }

// Receive reads an event, a list of events, or a mail. Mailjet wants exactly the
// status 200, and asks again for a day after any other.
func (w *Webhook) Receive(_ context.Context, r *webhook.Request) (webhook.Delivery, error) {
	switch {
	case r.Method != http.MethodPost:
		return webhook.Delivery{}, webhook.ErrMethod
	case !w.open && !adapter.MatchBasic(w.basic, r.Header):
		return webhook.Delivery{}, webhook.ErrUnverified
	}
	if e, ok := readEvent(r.Body); ok {
		return webhook.Delivery{Events: []webhook.Event{e}}, nil
	}
	var events []webhook.Event
	if !adapter.Elements(r.Body, func(value []byte) {
		if len(events) > webhook.MaxEvents {
			return
		}
		e, ok := readEvent(value)
		if !ok { // its neighbours may be good
			e = webhook.Event{Provider: provider, Type: webhook.Other, ID: webhook.EventID(string(value)), Raw: value}
		}
		events = append(events, e)
	}) || len(events) > webhook.MaxEvents {
		return webhook.Delivery{}, webhook.ErrMalformed
	}
	return webhook.Delivery{Events: events}, nil
}

// lastSecond is the end of the year 9999, after which times have no text.
const lastSecond = 253402300799

// event is what Mailjet says beside what stands in a webhook.Event as it is.
type event struct {
	name, time, guid, url           string
	hard                            bool
	related, fault, comment, answer string
	recipient                       string // of a mail
	headers                         []byte // of a mail
}

// readEvent reads one event, if it is an object.
// Source: https://dev.mailjet.com/email/guides/webhooks/ and
// https://dev.mailjet.com/email/guides/parse-api/ (read 2026-11).
func readEvent(text []byte) (e webhook.Event, ok bool) {
	var v event
	var secondID string
	ok = adapter.Members(text, func(name, value []byte) {
		switch string(name) {
		case "event":
			v.name = adapter.Text(value)
		case "time":
			v.time = adapter.Scalar(value)
		case "MessageID":
			e.MessageID = string(digits(value))
		case "mj_message_id":
			secondID = string(digits(value))
		case "Message_GUID":
			v.guid = adapter.Text(value)
		case "CustomID":
			e.MailID = adapter.Scalar(value)
		case "email":
			e.Recipient = adapter.Text(value)
		case "customcampaign":
			if tag := adapter.Text(value); tag != "" {
				e.Tags = []string{tag}
			}
		case "Payload":
			if value[0] == '"' {
				value = []byte(adapter.Text(value))
			}
			e.Metadata = adapter.StringMap(value)
		case "hard_bounce":
			v.hard = string(value) == "true"
		case "error_related_to":
			v.related = adapter.Text(value)
		case "error":
			v.fault = adapter.Text(value)
		case "comment":
			v.comment = adapter.Text(value)
		case "smtp_reply":
			v.answer = adapter.Text(value)
		case "url":
			v.url = adapter.Text(value)
		case "Recipient":
			v.recipient = adapter.Text(value)
		case "Headers":
			v.headers = value
		}
	})
	e.Provider, e.Raw = provider, text
	e.MessageID = cmp.Or(e.MessageID, secondID)
	if s, err := strconv.ParseInt(v.time, 10, 64); err == nil && 0 < s && s <= lastSecond {
		e.Time = time.Unix(s, 0).UTC()
	}
	if v.name == "" && v.headers != nil {
		e.Type, e.Recipient = webhook.Inbound, v.recipient
		e.ID = webhook.EventID("inbound", v.recipient, cmp.Or(messageIDOf(v.headers), string(text)))
		return e, ok
	}
	// Mailjet gives no id. What it reports again has all of these alike.
	e.ID = webhook.EventID(v.name, v.time, e.MessageID, v.guid, e.MailID, e.Recipient, v.url)
	v.classify(&e)
	return e, ok
}

// classify sets the type, and what goes with it.
func (v *event) classify(e *webhook.Event) {
	e.Detail = cmp.Or(v.comment, v.fault, v.related)
	switch v.name {
	case "sent":
		e.Type, e.Detail = webhook.Delivered, v.answer
		e.SMTP = adapter.Answer(strings.TrimSuffix(strings.TrimPrefix(v.answer, "sent ("), ")"))
	case "bounce":
		e.Reason, e.SMTP = v.reason(), adapter.Answer(v.comment)
		switch {
		case v.hard:
			e.Type, e.Bounce = webhook.Bounced, webhook.Hard
		case strings.EqualFold(v.fault, "greylisted"): // and Mailjet tries again
			e.Type = webhook.Deferred
		default:
			e.Type, e.Bounce = webhook.Bounced, webhook.Soft
		}
	case "blocked":
		e.Type, e.Reason, e.SMTP = webhook.Rejected, v.reason(), adapter.Answer(v.comment)
	case "spam":
		e.Type = webhook.Complained
	case "open":
		e.Type = webhook.Opened
	case "click":
		e.Type, e.ClickURL = webhook.Clicked, v.url
	case "unsub":
		e.Type = webhook.Unsubscribed
	default:
		e.Type = webhook.Other
	}
}

// reasons are those of the texts in "error". The others that Mailjet has tell less
// than the answer of the receiving server.
// Source: https://dev.mailjet.com/email/guides/webhooks/, "Bounce event" (read
// 2026-11).
var reasons = map[string]webhook.Reason{
	"user unknown":        webhook.ReasonMailbox,
	"mailbox inactive":    webhook.ReasonMailbox,
	"quota exceeded":      webhook.ReasonQuota,
	"blacklisted":         webhook.ReasonSuppressed, // by the account
	"spam reporter":       webhook.ReasonSuppressed,
	"invalid domain":      webhook.ReasonMailbox,
	"no mail host":        webhook.ReasonMailbox,
	"relay/access denied": webhook.ReasonBlocked,
	"greylisted":          webhook.ReasonThrottled,
	"typofix":             webhook.ReasonMailbox,
	"sender blocked":      webhook.ReasonBlocked,
	"content blocked":     webhook.ReasonSpam,
	"policy issue":        webhook.ReasonBlocked,
	"protocol issue":      webhook.ReasonNetwork,
	"connection issue":    webhook.ReasonNetwork,
	"preblocked":          webhook.ReasonSuppressed, // it bounced lately
}

// reason tells why by "error", else by the answer of the receiving server.
func (v *event) reason() webhook.Reason {
	r, ok := reasons[strings.ToLower(v.fault)]
	switch {
	case ok:
	case v.comment != "":
		_, r = webhook.Classify(v.comment)
	case v.fault+v.related != "":
		r = webhook.ReasonOther
	}
	return r
}

// messageIDOf is the Message-ID among the header fields of a mail, each of which is
// a string or a list of strings.
func messageIDOf(headers []byte) (id string) {
	adapter.Members(headers, func(name, value []byte) {
		if strings.EqualFold(string(name), "message-id") {
			id = adapter.Text(value)
			adapter.Elements(value, func(value []byte) { id = cmp.Or(id, adapter.Text(value)) })
		}
	})
	return id
}

// String describes c without its passwords.
func (c WebhookConfig) String() string {
	return fmt.Sprintf("mailjet.WebhookConfig{Basic: %d}", len(c.Basic))
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
