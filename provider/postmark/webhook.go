package postmark

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/mail"
	"slices"

	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/webhook"
)

// WebhookConfig is what [NewWebhook] needs. It prints without the secrets. Postmark
// signs nothing, so that one of Basic and Headers is required; with both, a request
// needs both.
type WebhookConfig struct {
	// Basic are the user names and passwords that are good, one of which is set as
	// the webhook's HttpAuth, or stands in its address:
	// "https://user:password@hooks.example/postmark". That is all there is for
	// inbound mail. Two are good while one replaces the other.
	Basic []webhook.Basic
	// Headers are header fields that each request must have, with their values: the
	// webhook's HttpHeaders.
	Headers map[string]string
	// MaxBody is the most bytes of a request. Zero: [webhook.MaxBody], which is
	// enough for every report. Inbound mail and bounces with their content are as
	// large as a mail with files in base64 is: 50 MiB are enough for them.
	MaxBody int64
}

// Webhook reads what Postmark reports, and mail that it received. It is a
// [webhook.Source], safe for concurrent use, and prints as its name.
//
// Postmark gives its events no ID. Ours is made of what Postmark says tells them
// apart. An address that a hard bounce or a complaint has put on the suppression
// list is reported twice, once for each of Postmark's two webhooks that may be
// switched on; these are two events.
//
// Source: https://postmarkapp.com/developer/webhooks/webhooks-overview (read
// 2026-11).
type Webhook struct {
	basic   []webhook.Basic
	headers map[string]string
	maxBody int64
	open    bool // no secret is asked for
}

var _ webhook.Source = (*Webhook)(nil)

// NewWebhook returns a Webhook, or an error that names the field at fault. It keeps
// nothing of c that can change later.
func NewWebhook(c WebhookConfig) (*Webhook, error) {
	if len(c.Basic) == 0 && len(c.Headers) == 0 {
		return nil, errors.New("postmark: WebhookConfig has neither Basic nor Headers")
	}
	if err := adapter.CheckBasic(c.Basic); err != nil {
		return nil, fmt.Errorf("postmark: WebhookConfig.Basic %w", err)
	}
	for name, value := range c.Headers {
		if name == "" || value == "" {
			return nil, errors.New("postmark: WebhookConfig.Headers has an empty name or value")
		}
	}
	if c.MaxBody < 0 {
		return nil, errors.New("postmark: WebhookConfig.MaxBody is negative")
	}
	return &Webhook{basic: slices.Clone(c.Basic), headers: maps.Clone(c.Headers), maxBody: c.MaxBody}, nil
}

// NewUnauthenticatedWebhook returns a Webhook that believes everybody. Postmark signs
// nothing, so something before it has to tell Postmark from others, such as a path
// that nobody can guess.
func NewUnauthenticatedWebhook() *Webhook { return &Webhook{open: true} }

// Name returns "postmark".
func (w *Webhook) Name() string { return provider }

// MaxBody returns the most bytes of a request.
func (w *Webhook) MaxBody() int64 { return cmp.Or(w.maxBody, webhook.MaxBody) }

// Receive reads the one event that is in a request. What is of an unknown type
// comes as [webhook.Other]. Errors: those of [webhook.Source].
func (w *Webhook) Receive(_ context.Context, r *webhook.Request) (webhook.Delivery, error) {
	switch {
	case r.Method != http.MethodPost:
		return webhook.Delivery{}, webhook.ErrMethod
	case !w.open && !w.verified(r.Header):
		return webhook.Delivery{}, webhook.ErrUnverified
	}
	e, ok := readEvent(r.Body)
	if !ok {
		return webhook.Delivery{}, webhook.ErrMalformed
	}
	return webhook.Delivery{Events: []webhook.Event{e}}, nil
}

// verified reports whether h has every secret. All are compared.
func (w *Webhook) verified(h http.Header) bool {
	good := len(w.basic) == 0 || adapter.MatchBasic(w.basic, h)
	for name, value := range w.headers {
		good = webhook.EqualSecret(h.Get(name), value) && good
	}
	return good
}

// record is what Postmark says beside what stands in a webhook.Event as it is.
type record struct {
	kind, bounce, id, at, date, details, description, link, reason, code string

	suppressed, inbound bool
	restored            bool // the opposite of suppressed; neither: not said
	to, original        string
}

// readEvent reads one event. ok: raw is a JSON object.
func readEvent(raw []byte) (e webhook.Event, ok bool) {
	raw = bytes.TrimSpace(raw)
	e = webhook.Event{Provider: provider, Raw: raw}
	var r record
	ok = adapter.Members(raw, func(name, value []byte) {
		switch string(name) {
		case "RecordType":
			r.kind = adapter.Text(value)
		case "Type":
			r.bounce = adapter.Text(value)
		case "TypeCode":
			r.code = adapter.Scalar(value)
		case "ID":
			r.id = adapter.Scalar(value)
		case "MessageID":
			e.MessageID = adapter.Text(value)
		case "MessageStream":
			e.Stream = adapter.Text(value)
		case "Recipient", "Email":
			e.Recipient = cmp.Or(adapter.Text(value), e.Recipient)
		case "OriginalRecipient":
			r.original = adapter.Text(value)
		case "ToFull":
			adapter.Elements(value, func(box []byte) {
				adapter.Members(box, func(name, value []byte) {
					if string(name) == "Email" {
						r.to = cmp.Or(r.to, adapter.Text(value))
					}
				})
			})
		case "FromFull":
			r.inbound = true
		case "Tag":
			if tag := adapter.Text(value); tag != "" {
				e.Tags = []string{tag}
			}
		case "Metadata":
			e.Metadata = adapter.StringMap(value)
		case "DeliveredAt", "BouncedAt", "ReceivedAt", "ChangedAt":
			r.at = adapter.Text(value)
		case "Date":
			r.date = adapter.Text(value)
		case "Details":
			r.details = adapter.Text(value)
		case "Description":
			r.description = adapter.Text(value)
		case "OriginalLink":
			r.link = adapter.Text(value)
		case "SuppressSending":
			r.suppressed, r.restored = string(value) == "true", string(value) == "false"
		case "SuppressionReason":
			r.reason = adapter.Text(value)
		}
	})
	if !ok {
		return webhook.Event{}, false
	}
	if e.MailID = e.Metadata["mailer_id"]; e.MailID != "" {
		delete(e.Metadata, "mailer_id")
	}
	if len(e.Metadata) == 0 {
		e.Metadata = nil
	}
	e.Time = adapter.Time(r.at)
	parts := []string{r.kind, e.MessageID, e.Recipient, r.at, r.link}
	switch {
	case r.kind == "Delivery":
		e.Type = webhook.Delivered
		e.SMTP = adapter.Answer(r.details)
	case r.kind == "Bounce", r.kind == "SpamComplaint":
		bounced(&e, &r)
		if r.id != "" {
			parts = []string{r.kind, r.id}
		}
	case r.kind == "Open":
		e.Type = webhook.Opened
	case r.kind == "Click":
		e.Type, e.ClickURL = webhook.Clicked, r.link
	case r.kind == "SubscriptionChange":
		parts = subscription(&e, &r)
	case r.kind == "" && r.inbound:
		e.Type, e.Recipient = webhook.Inbound, cmp.Or(r.original, r.to)
		if at, err := mail.ParseDate(r.date); err == nil {
			e.Time = at.UTC()
		}
		parts = []string{"Inbound", e.MessageID, e.Recipient}
	default:
		e.Type, e.Detail = webhook.Other, cmp.Or(r.details, r.description)
	}
	if e.Type == webhook.Other || e.MessageID == "" && r.id == "" && r.kind != "SubscriptionChange" {
		parts = []string{string(raw)} // nothing else tells it from others
	}
	e.ID = webhook.EventID(parts...)
	return e, true
}

// verdict is what a bounce of Postmark's means to others.
type verdict struct {
	typ    webhook.Type
	bounce webhook.Bounce
	reason webhook.Reason
}

// bounces are the types of Postmark's bounces. Reasons are for answers of the
// recipient's server that tell no other.
// Source: https://postmarkapp.com/developer/api/bounce-api#bounce-types (read
// 2026-11).
var bounces = map[string]verdict{
	"HardBounce":              {webhook.Bounced, webhook.Hard, webhook.ReasonMailbox},
	"Transient":               {webhook.Deferred, "", webhook.ReasonOther},
	"Unsubscribe":             {webhook.Unsubscribed, "", ""},
	"Subscribe":               {webhook.Subscribed, "", ""},
	"AutoResponder":           {webhook.Autoresponded, "", ""},
	"AddressChange":           {webhook.Autoresponded, "", ""},
	"DnsError":                {webhook.Deferred, "", webhook.ReasonNetwork},
	"SpamNotification":        {webhook.Bounced, webhook.Soft, webhook.ReasonSpam},
	"OpenRelayTest":           {webhook.Deferred, "", webhook.ReasonOther},
	"Unknown":                 {webhook.Bounced, webhook.Undetermined, webhook.ReasonOther},
	"SoftBounce":              {webhook.Bounced, webhook.Soft, webhook.ReasonOther},
	"VirusNotification":       {webhook.Bounced, webhook.Soft, webhook.ReasonSpam},
	"ChallengeVerification":   {webhook.Autoresponded, "", ""},
	"BadEmailAddress":         {webhook.Rejected, "", webhook.ReasonMailbox},
	"SpamComplaint":           {webhook.Complained, "", ""},
	"ManuallyDeactivated":     {webhook.Rejected, "", webhook.ReasonSuppressed},
	"Unconfirmed":             {webhook.Rejected, "", webhook.ReasonOther},
	"Blocked":                 {webhook.Bounced, webhook.Soft, webhook.ReasonBlocked},
	"SMTPApiError":            {webhook.Failed, "", webhook.ReasonOther},
	"InboundError":            {webhook.Other, "", ""},
	"DMARCPolicy":             {webhook.Rejected, "", webhook.ReasonBlocked},
	"TemplateRenderingFailed": {webhook.Failed, "", webhook.ReasonOther},
}

// bounceCodes are the names of the TypeCodes.
var bounceCodes = map[string]string{
	"1": "HardBounce", "2": "Transient", "16": "Unsubscribe", "32": "Subscribe", "64": "AutoResponder",
	"128": "AddressChange", "256": "DnsError", "512": "SpamNotification", "1024": "OpenRelayTest", "2048": "Unknown",
	"4096": "SoftBounce", "8192": "VirusNotification", "16384": "ChallengeVerification", "100000": "BadEmailAddress",
	"100001": "SpamComplaint", "100002": "ManuallyDeactivated", "100003": "Unconfirmed", "100006": "Blocked",
	"100007": "SMTPApiError", "100008": "InboundError", "100009": "DMARCPolicy", "100010": "TemplateRenderingFailed",
}

// bounced fills e for a Bounce or a SpamComplaint.
func bounced(e *webhook.Event, r *record) {
	v, ok := bounces[r.bounce]
	if !ok {
		v, ok = bounces[bounceCodes[r.code]]
	}
	switch {
	case r.kind == "SpamComplaint":
		v = bounces["SpamComplaint"]
	case !ok:
		v = bounces["Unknown"]
	}
	e.Type, e.Bounce, e.Reason = v.typ, v.bounce, v.reason
	e.Detail, e.SMTP = cmp.Or(r.details, r.description), adapter.Answer(r.details)
	switch r.bounce {
	case "HardBounce", "SoftBounce", "Transient", "Unknown":
		if _, told := webhook.Classify(r.details); told != "" && told != webhook.ReasonOther {
			e.Reason = told
		}
	}
}

// subscription fills e for a SubscriptionChange, and returns what tells it from
// others.
func subscription(e *webhook.Event, r *record) (parts []string) {
	parts = []string{r.kind, e.Recipient, e.Stream, r.reason}
	switch {
	case r.restored:
		e.Type = webhook.Subscribed
	case !r.suppressed:
		e.Type = webhook.Other
	case r.reason == "HardBounce":
		e.Type, e.Bounce, e.Reason = webhook.Bounced, webhook.Hard, webhook.ReasonMailbox
		return parts // the same each time: it repeats what the bounce has told
	case r.reason == "SpamComplaint":
		e.Type = webhook.Complained
		return parts
	default:
		e.Type = webhook.Unsubscribed
	}
	if r.at == "" {
		return append(parts, string(e.Raw))
	}
	return append(parts, r.at, string(e.Type))
}

// String describes c without its secrets.
func (c WebhookConfig) String() string { return "postmark.WebhookConfig{}" }

// GoString is String, for %#v.
func (c WebhookConfig) GoString() string { return c.String() }

// MarshalText is String, for JSON and for log/slog.
func (c WebhookConfig) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// String returns the provider's name.
func (w Webhook) String() string { return provider }

// GoString is String, for %#v.
func (w Webhook) GoString() string { return provider }

// MarshalText is String, for JSON and for log/slog.
func (w Webhook) MarshalText() ([]byte, error) { return []byte(provider), nil }
