package smtp2go

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/webhook"
)

// WebhookConfig is what [NewWebhook] needs. It prints without the secrets.
type WebhookConfig struct {
	// Bearer and Basic are the secrets that are good, one of which is set at SMTP2GO
	// as the webhook's Authorization header, or stands in its address:
	// "https://user:password@hooks.example/smtp2go". One of either is required. Two
	// are good while one replaces the other.
	Bearer []string
	Basic  []webhook.Basic
}

// Webhook reads what SMTP2GO reports. It is a [webhook.Source], safe for concurrent
// use, and prints as its name.
type Webhook struct {
	bearer []string
	basic  []webhook.Basic
	open   bool // no secret is asked for
}

var _ webhook.Source = (*Webhook)(nil)

// NewWebhook returns a Webhook, or an error that names the field at fault. It keeps
// nothing of c that can change later.
func NewWebhook(c WebhookConfig) (*Webhook, error) {
	if len(c.Bearer)+len(c.Basic) == 0 {
		return nil, errors.New("smtp2go: WebhookConfig.Bearer and WebhookConfig.Basic are empty")
	}
	for _, token := range c.Bearer {
		if err := adapter.Credential(token); err != nil {
			return nil, fmt.Errorf("smtp2go: WebhookConfig.Bearer %w", err)
		}
	}
	if err := adapter.CheckBasic(c.Basic); err != nil {
		return nil, fmt.Errorf("smtp2go: WebhookConfig.Basic %w", err)
	}
	return &Webhook{bearer: slices.Clone(c.Bearer), basic: slices.Clone(c.Basic)}, nil
}

// NewUnauthenticatedWebhook returns a Webhook that believes everybody. SMTP2GO signs
// nothing, so something before it has to tell SMTP2GO from others, such as a path
// that nobody can guess.
func NewUnauthenticatedWebhook() *Webhook { return &Webhook{open: true} }

// Name returns "smtp2go".
func (w *Webhook) Name() string { return provider }

// Receive reads one event, in JSON or as a form. One about several recipients is an
// event for each. Events about text messages are none.
func (w *Webhook) Receive(_ context.Context, r *webhook.Request) (webhook.Delivery, error) {
	switch {
	case r.Method != http.MethodPost:
		return webhook.Delivery{}, webhook.ErrMethod
	case !w.open && !w.believes(r.Header):
		return webhook.Delivery{}, webhook.ErrUnverified
	}
	v, ok := readBody(r.Body)
	if !ok {
		return webhook.Delivery{}, webhook.ErrMalformed
	}
	name := v.text("event")
	if name == "opt-out" || strings.HasPrefix(name, "sms_") || strings.HasPrefix(name, "sms-") {
		return webhook.Delivery{}, nil
	}
	about := v.recipients()
	if len(about) > webhook.MaxEvents {
		return webhook.Delivery{}, webhook.ErrMalformed
	}
	var d webhook.Delivery
	for _, to := range about {
		e := v.event(name, to)
		e.Raw = r.Body
		d.Events = append(d.Events, e)
	}
	return d, nil
}

// believes reports whether h carries one of the secrets. All are compared.
func (w *Webhook) believes(h http.Header) bool {
	good := adapter.MatchBasic(w.basic, h)
	scheme, token, _ := strings.Cut(h.Get("Authorization"), " ")
	for _, want := range w.bearer {
		good = webhook.EqualSecret(token, want) && strings.EqualFold(scheme, "Bearer") || good
	}
	return good
}

// values are the members of an event, each with one text or several.
type values map[string][]string

// readBody reads an object or a form. Names that differ in the case or in "-" and
// "_" only are one, and the first with a text counts: forms have such twins.
func readBody(body []byte) (values, bool) {
	v := values{}
	text := bytes.TrimLeft(body, " \t\r\n")
	if len(text) == 0 {
		return nil, false
	}
	if text[0] == '{' {
		ok := adapter.Members(body, func(name, value []byte) {
			texts := []string{adapter.Scalar(value)}
			adapter.Elements(value, func(value []byte) { texts = append(texts, adapter.Scalar(value)) })
			v.add(string(name), texts)
		})
		return v, ok
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, false
	}
	for _, name := range adapter.Keys(form) {
		for i, s := range form[name] {
			form[name][i] = strings.ToValidUTF8(s, "\uFFFD")
		}
		v.add(strings.TrimSuffix(name, "[]"), form[name])
	}
	return v, v.text("event") != "" // anything can be read as a form
}

// add adds the texts that are not empty, unless there are some.
func (v values) add(name string, texts []string) {
	texts = slices.DeleteFunc(texts, func(s string) bool { return s == "" })
	if key := strings.ReplaceAll(strings.ToLower(name), "_", "-"); len(v[key]) == 0 {
		v[key] = texts
	}
}

// text is the text of the first of the names that has one.
func (v values) text(names ...string) string {
	for _, name := range names {
		if texts := v[name]; len(texts) > 0 {
			return texts[0]
		}
	}
	return ""
}

// recipients returns whom the event is about: one that is empty if nobody is named.
// How a form has several is not documented.
func (v values) recipients() []string {
	if to := v.text("rcpt"); to != "" {
		return []string{to}
	}
	var all []string
	seen := map[string]bool{}
	for _, list := range v["recipients"] {
		for to := range strings.SplitSeq(list, ",") {
			if to = strings.TrimSpace(to); to != "" && !seen[to] {
				seen[to] = true
				all = append(all, to)
			}
		}
	}
	if len(all) == 0 {
		return []string{""}
	}
	return all
}

// event returns what happened to one recipient.
// Source: https://developers.smtp2go.com, "Webhooks overview", and the event
// listener's description there (read 2026-11). Names in the past tense, and the three of a
// clicked link, are those of other clients, since SMTP2GO documents none.
func (v values) event(name, to string) webhook.Event {
	url := v.text("click-url", "url", "link")
	e := webhook.Event{
		Provider:  provider,
		MessageID: v.text("email-id"),
		MailID:    v.text(strings.ToLower(idHeader)),
		Recipient: to,
		Time:      adapter.Time(v.text("time")),
		// Whether "id" is that of the event is not clear, so it does not stand alone.
		ID: webhook.EventID(v.text("id"), name, v.text("email-id"), to, v.text("time"), url),
	}
	words := v.text("message", "context")
	switch name {
	case "processed":
		e.Type = webhook.Accepted
	case "delivered":
		e.Type, e.Detail, e.SMTP = webhook.Delivered, v.text("message"), adapter.Answer(v.text("message"))
	case "bounce":
		e.Type, e.Detail, e.SMTP = webhook.Bounced, words, v.answer()
		_, e.Reason = webhook.Classify(cmp.Or(e.SMTP, e.Detail))
		switch strings.ToLower(v.text("bounce")) {
		case "hard":
			e.Bounce = webhook.Hard
		case "soft":
			e.Bounce = webhook.Soft
		default:
			e.Bounce = webhook.Undetermined
		}
	case "spam", "spam_complaint":
		e.Type = webhook.Complained
	case "open", "opened":
		e.Type = webhook.Opened
	case "click", "clicked":
		e.Type, e.ClickURL = webhook.Clicked, url
	case "unsubscribe", "unsubscribed":
		e.Type = webhook.Unsubscribed
	case "resubscribe":
		e.Type = webhook.Subscribed
	case "reject":
		e.Type, e.Detail, e.Reason = webhook.Rejected, words, rejectReason(words)
	default:
		e.Type, e.Detail = webhook.Other, words
	}
	return e
}

// answer is that of the receiving server.
func (v values) answer() string {
	context := v.text("context")
	_, said, _ := strings.Cut(context, ": ") // "DATA: 452 Mailbox full"
	return cmp.Or(adapter.Answer(v.text("message")), adapter.Answer(said))
}

// rejectReason reads why SMTP2GO did not try to deliver. The words are not
// documented.
func rejectReason(words string) webhook.Reason {
	text := strings.ToLower(words)
	switch {
	case text == "":
		return ""
	case strings.Contains(text, "suppress"):
		return webhook.ReasonSuppressed
	case strings.Contains(text, "verified"): // the sender is not
		return webhook.ReasonBlocked
	}
	return webhook.ReasonOther
}

// String describes c without its secrets.
func (c WebhookConfig) String() string {
	return fmt.Sprintf("smtp2go.WebhookConfig{Bearer: %d, Basic: %d}", len(c.Bearer), len(c.Basic))
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
