package sendgrid

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
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

// The header fields of a signed request.
// Source: https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features
// (read 2026-11).
const (
	signatureField = "X-Twilio-Email-Event-Webhook-Signature"
	timestampField = "X-Twilio-Email-Event-Webhook-Timestamp"
)

// WebhookConfig is what [NewWebhook] needs. Nothing in it is secret.
type WebhookConfig struct {
	// PublicKeys are the verification keys as SendGrid shows them under Mail
	// Settings, Event Webhook, Signature Verification: base64, without armour. One
	// is required. Several: a request signed with any of them is good, which is for
	// the days when the key changes, and for several webhooks at one address.
	PublicKeys []string
}

// Webhook is SendGrid's signed Event Webhook, a [webhook.Source]. It is safe for
// concurrent use.
//
// A request is good whenever it was signed: SendGrid names no time within which
// it has to arrive, and tries again for 24 hours. A request that comes once more
// gives the same events with the same IDs, so [webhook.Dedupe] is what makes a
// replay harmless.
//
// An event's MessageID is the part of sg_message_id before the first dot, as in
// the receipt. Its ID is made of the message, the recipient, the type and the
// time, and not of sg_event_id, which SendGrid has been seen to change when it
// reports an event again. Metadata holds the custom arguments, and whatever field
// of the event this package does not know. Of the suppression groups Stream is
// the id.
//
// Source: https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
// (read 2026-11).
type Webhook struct{ keys []*ecdsa.PublicKey }

var _ webhook.Source = (*Webhook)(nil)

// NewWebhook returns a Webhook, or an error that names the key at fault. A webhook
// without a key cannot be had: anybody could write to it.
func NewWebhook(c WebhookConfig) (*Webhook, error) {
	if len(c.PublicKeys) == 0 {
		return nil, errors.New("sendgrid: WebhookConfig.PublicKeys is empty")
	}
	w := new(Webhook)
	for i, text := range c.PublicKeys {
		key, err := publicKey(text)
		if err != nil {
			return nil, fmt.Errorf("sendgrid: WebhookConfig.PublicKeys[%d] %w", i, err)
		}
		w.keys = append(w.keys, key)
	}
	return w, nil
}

func publicKey(text string) (*ecdsa.PublicKey, error) {
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil || text == "" {
		return nil, errors.New("is not base64")
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("is not a public key: %w", err)
	}
	ec, ok := key.(*ecdsa.PublicKey)
	if !ok || ec.Curve != elliptic.P256() {
		return nil, errors.New("is not an ECDSA key on P-256")
	}
	return ec, nil
}

// Name returns "sendgrid".
func (*Webhook) Name() string { return provider }

// Receive verifies r and reads the events in it: a JSON array of them, or a single
// one. What is not an event, or is one of an unknown type, comes as
// [webhook.Other]. Errors: those of [webhook.Source].
func (w *Webhook) Receive(_ context.Context, r *webhook.Request) (webhook.Delivery, error) {
	if r.Method != http.MethodPost {
		return webhook.Delivery{}, webhook.ErrMethod
	}
	if !w.signed(r) {
		return webhook.Delivery{}, webhook.ErrUnverified
	}
	events, ok := read(bytes.TrimSpace(r.Body))
	if !ok {
		return webhook.Delivery{}, webhook.ErrMalformed
	}
	return webhook.Delivery{Events: events}, nil
}

// read reads a body: an array of events, or a single one.
func read(body []byte) (events []webhook.Event, ok bool) {
	if bytes.HasPrefix(body, []byte("{")) {
		e, ok := event(body)
		return []webhook.Event{e}, ok
	}
	events = make([]webhook.Event, 0, min(len(body)/256, webhook.MaxEvents))
	n := 0
	ok = adapter.Elements(body, func(raw []byte) {
		if n++; n > webhook.MaxEvents {
			return
		}
		e, ok := event(raw)
		if !ok {
			e = webhook.Event{Provider: provider, Type: webhook.Other, ID: webhook.EventID(string(raw)), Raw: raw}
		}
		events = append(events, e)
	})
	return events, ok && n <= webhook.MaxEvents
}

// signed reports whether one of the keys has signed the timestamp and the body.
func (w *Webhook) signed(r *webhook.Request) bool {
	timestamp := r.Header.Get(timestampField)
	// Nothing but digits, so that no byte of the body can pass for one of it.
	if timestamp == "" || strings.Trim(timestamp, "0123456789") != "" {
		return false
	}
	sig, err := base64.StdEncoding.DecodeString(r.Header.Get(signatureField))
	if err != nil || len(sig) == 0 {
		return false
	}
	h := sha256.New()
	h.Write([]byte(timestamp))
	h.Write(r.Body)
	sum := h.Sum(nil)
	return slices.ContainsFunc(w.keys, func(key *ecdsa.PublicKey) bool { return ecdsa.VerifyASN1(key, sum, sig) })
}

// types are the types of SendGrid's events.
var types = map[string]webhook.Type{
	"processed": webhook.Accepted, "delivered": webhook.Delivered, "deferred": webhook.Deferred,
	"bounce": webhook.Bounced, "dropped": webhook.Rejected, "open": webhook.Opened, "click": webhook.Clicked,
	"spamreport": webhook.Complained, "unsubscribe": webhook.Unsubscribed,
	"group_unsubscribe": webhook.Unsubscribed, "group_resubscribe": webhook.Subscribed,
}

// event reads one event. ok: raw is a JSON object.
func event(raw []byte) (e webhook.Event, ok bool) {
	// f are fields that the event is made of further below.
	var f struct {
		event, kind, status, reason, response, class, id, smtpID, link, agent, address, attempt string

		time, offset, group []byte
	}
	e = webhook.Event{Provider: provider, Raw: raw}
	ok = adapter.Members(raw, func(name, value []byte) {
		if bytes.IndexByte(name, '\\') >= 0 {
			name = []byte(adapter.Text(slices.Concat([]byte{'"'}, name, []byte{'"'})))
		}
		switch string(name) {
		case "email":
			e.Recipient = adapter.Text(value)
		case "timestamp":
			f.time = value
		case "event":
			f.event = adapter.Text(value)
		case "type":
			f.kind = adapter.Text(value)
		case "status":
			f.status = adapter.Text(value)
		case "reason":
			f.reason = adapter.Text(value)
		case "response":
			f.response = adapter.Text(value)
		case "bounce_classification":
			f.class = adapter.Text(value)
		case "sg_message_id":
			e.MessageID, _, _ = strings.Cut(adapter.Text(value), ".")
		case "sg_event_id":
			f.id = adapter.Text(value)
		case "smtp-id":
			f.smtpID = adapter.Text(value)
		case "url":
			f.link = adapter.Text(value)
		case "url_offset":
			f.offset = value
		case "useragent":
			f.agent = adapter.Text(value)
		case "ip":
			f.address = adapter.Text(value)
		case "attempt":
			f.attempt = string(bytes.Trim(value, `"`))
		case "asm_group_id":
			f.group = value
		case "category":
			e.Tags = categories(value)
		case "mailer_id":
			e.MailID = adapter.Text(value)
		default:
			key := strings.ToValidUTF8(string(name), "\uFFFD")
			if slices.Contains(eventFields, key) || strings.HasPrefix(key, "marketing_campaign_") {
				return
			}
			if e.Metadata == nil {
				e.Metadata = map[string]string{}
			}
			e.Metadata[key] = argument(value)
		}
	})
	if !ok {
		return webhook.Event{}, false
	}
	e.Type = cmp.Or(types[f.event], webhook.Other)
	e.Time = unix(f.time)
	if n, err := strconv.ParseInt(string(f.group), 10, 64); err == nil {
		e.Stream = strconv.FormatInt(n, 10)
	}
	switch e.Type {
	case webhook.Delivered:
		e.SMTP = f.response
	case webhook.Deferred:
		e.SMTP, e.Detail = f.response, f.response
		_, e.Reason = webhook.Classify(f.response)
	case webhook.Bounced:
		e.Detail, e.SMTP = f.reason, adapter.Answer(f.reason)
		e.Bounce, e.Reason = bounce(f.kind, f.status, f.reason, f.class)
	case webhook.Rejected:
		e.Detail = f.reason
		e.Reason = cmp.Or(drops[strings.ToLower(f.reason)], webhook.ReasonOther)
	case webhook.Clicked:
		e.ClickURL = f.link
	default:
		e.Detail = cmp.Or(f.reason, f.response, f.kind)
	}
	switch message := cmp.Or(e.MessageID, f.smtpID, e.MailID); {
	case message != "" && !e.Time.IsZero():
		e.ID = webhook.EventID(message, f.event, e.Recipient, strconv.FormatInt(e.Time.Unix(), 10), f.attempt, f.kind,
			f.link, string(f.offset), f.agent, f.address, e.Stream)
	case f.id != "":
		e.ID = webhook.EventID(f.id)
	default:
		e.ID = webhook.EventID(string(raw))
	}
	return e, true
}

// bounce tells what SendGrid's two kinds of bounces are. One that is not just a
// block puts the address on SendGrid's list. We call it hard, unless the
// recipient's server speaks of something that passes.
func bounce(kind, status, reason, class string) (webhook.Bounce, webhook.Reason) {
	b, why := webhook.Classify(reason)
	if why == "" || why == webhook.ReasonOther {
		var byStatus webhook.Bounce
		if byStatus, why = webhook.Classify(status); b == webhook.Undetermined {
			b = byStatus
		}
	}
	if why == "" || why == webhook.ReasonOther {
		why = cmp.Or(classes[class], webhook.ReasonOther)
	}
	if kind == "blocked" {
		if why == webhook.ReasonOther {
			why = webhook.ReasonBlocked
		}
		return webhook.Soft, why
	}
	if b == webhook.Soft || strings.HasPrefix(status, "4") {
		return webhook.Soft, why
	}
	return webhook.Hard, why
}

// classes are the values of bounce_classification.
var classes = map[string]webhook.Reason{
	"Invalid Address": webhook.ReasonMailbox, "Mailbox Unavailable": webhook.ReasonMailbox,
	"Technical": webhook.ReasonNetwork, "Technical Failure": webhook.ReasonNetwork,
	"Content": webhook.ReasonSpam, "Reputation": webhook.ReasonBlocked,
	"Frequency or Volume Too High": webhook.ReasonThrottled,
}

// drops are the reasons for which SendGrid drops a message, in lower case.
var drops = map[string]webhook.Reason{
	"unsubscribed address": webhook.ReasonSuppressed, "bounced address": webhook.ReasonSuppressed,
	"spam reporting address": webhook.ReasonSuppressed, "invalid": webhook.ReasonMailbox,
	"spam content": webhook.ReasonSpam,
}

// categories are a string or an array of them.
func categories(value []byte) (tags []string) {
	if tag := adapter.Text(value); tag != "" {
		return []string{tag}
	}
	adapter.Elements(value, func(v []byte) {
		if tag := adapter.Text(v); tag != "" {
			tags = append(tags, tag)
		}
	})
	return tags
}

// argument is a custom argument: a string, or else its JSON.
func argument(value []byte) string {
	if value[0] == '"' {
		return adapter.Text(value)
	}
	return strings.ToValidUTF8(string(value), "\uFFFD")
}

// unix reads seconds since 1970, as a number or in a string, and none that year
// 9999 has not seen.
func unix(value []byte) time.Time {
	n, err := strconv.ParseInt(string(bytes.Trim(value, `"`)), 10, 64)
	if err != nil || n <= 0 || n >= 253402300800 {
		return time.Time{}
	}
	return time.Unix(n, 0).UTC()
}
