package socketlabs

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/internal/jsonenc"
	"github.com/seed355143d4/mailer/webhook"
)

// WebhookConfig is what [NewWebhook] needs. It prints without the keys.
type WebhookConfig struct {
	// ServerID is the number of the SocketLabs server whose events these are. Zero:
	// the endpoint is that of the account, and events of all its servers are good.
	ServerID int
	// SecretKey is that of the endpoint. Required. SocketLabs writes it into each
	// event, so the endpoint's address must be one of https.
	SecretKey string
	// ValidationKey is that of an endpoint which SocketLabs made before June 2021,
	// and the answer that it wants to each request. Empty: the answer is the
	// SecretKey, which newer ones want when they are validated.
	ValidationKey string
}

// Webhook reads what SocketLabs reports, and mail from its Inbound Parse API. It is
// a [webhook.Source], safe for concurrent use, and prints as its name. The Raw of its
// events has the SecretKey in it, as SocketLabs wrote it.
type Webhook struct {
	serverID       string // "" for any
	secret, answer string
}

var _ webhook.Source = (*Webhook)(nil)

// NewWebhook returns a Webhook, or an error that names the field at fault.
func NewWebhook(c WebhookConfig) (*Webhook, error) {
	switch {
	case c.ServerID < 0:
		return nil, errors.New("socketlabs: WebhookConfig.ServerID is not the number of a server")
	case c.SecretKey == "":
		return nil, errors.New("socketlabs: WebhookConfig.SecretKey is empty")
	}
	w := &Webhook{secret: c.SecretKey, answer: cmp.Or(c.ValidationKey, c.SecretKey)}
	if c.ServerID > 0 {
		w.serverID = strconv.Itoa(c.ServerID)
	}
	return w, nil
}

// Name returns "socketlabs".
func (w *Webhook) Name() string { return provider }

// Receive reads one event, in JSON or as a form. The validation of an endpoint is
// answered, and is no event. SocketLabs signs nothing: it proves itself by the
// SecretKey in the body, so this is looked for first, and nothing else is believed
// before.
func (w *Webhook) Receive(_ context.Context, r *webhook.Request) (webhook.Delivery, error) {
	if r.Method != http.MethodPost {
		return webhook.Delivery{}, webhook.ErrMethod
	}
	v, ok := readBody(r.Body)
	switch {
	case !ok:
		return webhook.Delivery{}, webhook.ErrMalformed
	case !w.believes(&v):
		return webhook.Delivery{}, webhook.ErrUnverified
	}
	d := webhook.Delivery{Body: []byte(w.answer), ContentType: "text/plain"}
	if !strings.EqualFold(v.typ, "Validation") {
		d.Events = []webhook.Event{v.event()}
	}
	return d, nil
}

// believes reports whether v has the secret, and is of the server, if one is set. A
// mail names no server.
func (w *Webhook) believes(v *notice) bool {
	secret := webhook.EqualSecret(v.secret, w.secret)
	server := webhook.EqualSecret(v.serverID, w.serverID)
	return secret && (server || w.serverID == "" || v.isMail() && v.serverID == "")
}

// notice is an event in SocketLabs' words.
// Source: https://help.socketlabs.com, "Event webhooks", and
// https://github.com/socketlabs/SocketLabs.EventWebhooks.Extensions (read 2026-11).
type notice struct {
	raw                                []byte
	typ, secret, serverID              string
	dateTime, messageID, mailingID     string
	address, to                        string
	failureType, failureCode, deferral string
	reason, diagnostic, status, answer string
	tracking, url                      string
	tags                               []string
	metadata                           map[string]string
	mail                               []byte // a mail from the Inbound Parse API
	rcptTo                             string
}

// readBody reads a body, which is an object, one in another one's "data", or a form.
func readBody(body []byte) (notice, bool) {
	text := bytes.TrimLeft(body, " \t\r\n")
	if len(text) > 0 && text[0] != '{' {
		return readForm(body)
	}
	v := notice{raw: body}
	var inner []byte
	ok := adapter.Members(body, func(name, value []byte) {
		v.read(name, value)
		if is(name, "data") && value[0] == '{' {
			inner = value
		}
	})
	if ok && v.secret == "" && v.typ == "" && inner != nil {
		v = notice{raw: inner}
		adapter.Members(inner, v.read)
	}
	return v, ok
}

// readForm reads a form.
func readForm(body []byte) (notice, bool) {
	form, err := url.ParseQuery(string(body))
	if err != nil || len(form) == 0 {
		return notice{}, false
	}
	v := notice{raw: body}
	for _, name := range adapter.Keys(form) {
		value := form[name][0]
		if !strings.EqualFold(name, "data") { // which is JSON even here
			value = string(jsonenc.AppendString(nil, value))
		}
		v.read([]byte(name), []byte(value))
	}
	return v, true
}

// read reads one member. SocketLabs' own pages do not agree on the case of names.
func (v *notice) read(name, value []byte) {
	switch strings.ToLower(string(name)) {
	case "type":
		v.typ = adapter.Text(value)
	case "secretkey":
		v.secret = adapter.Text(value)
	case "serverid":
		v.serverID = adapter.Scalar(value)
	case "datetime":
		v.dateTime = adapter.Text(value)
	case "messageid":
		v.messageID = adapter.Scalar(value)
	case "mailingid":
		v.mailingID = adapter.Scalar(value)
	case "address":
		v.address = adapter.Text(value)
	case "to":
		v.to = adapter.Text(value)
	case "failuretype":
		v.failureType = adapter.Scalar(value)
	case "failurecode":
		v.failureCode = adapter.Scalar(value)
	case "deferralcode":
		v.deferral = adapter.Scalar(value)
	case "reason":
		v.reason = adapter.Text(value)
	case "diagnosticcode":
		v.diagnostic = adapter.Text(value)
	case "bouncestatus":
		v.status = adapter.Text(value)
	case "response":
		v.answer = adapter.Text(value)
	case "trackingtype":
		v.tracking = adapter.Scalar(value)
	case "url":
		v.url = adapter.Text(value)
	case "data":
		adapter.Members(value, v.readData)
	case "message":
		v.mail = value
	case "inboundrcptto":
		v.rcptTo = adapter.Text(value)
	}
}

// readData reads a member of "Data", which holds what the message had for reports.
func (v *notice) readData(name, value []byte) {
	switch {
	case is(name, "Tags"):
		v.tags = nil
		adapter.Elements(value, func(value []byte) {
			if tag := adapter.Text(value); tag != "" {
				v.tags = append(v.tags, tag)
			}
		})
	case is(name, "Meta"):
		v.metadata = nil
		adapter.Elements(value, func(pair []byte) {
			var key, text string
			adapter.Members(pair, func(name, value []byte) {
				switch {
				case is(name, "Key"):
					key = adapter.Text(value)
				case is(name, "Value"):
					text = adapter.Scalar(value)
				}
			})
			if _, twice := v.metadata[key]; key == "" || twice {
				return // the first one counts
			}
			if v.metadata == nil {
				v.metadata = map[string]string{}
			}
			v.metadata[key] = text
		})
	}
}

// isMail reports whether v comes from the Inbound Parse API.
func (v *notice) isMail() bool { return v.typ == "" && len(v.mail) > 0 && v.mail[0] == '{' }

// event returns v in portable words.
func (v *notice) event() webhook.Event {
	e := webhook.Event{
		Provider: provider, Raw: v.raw, Recipient: v.address, Time: adapter.Time(v.dateTime),
		// The id that we gave is SocketLabs' id as well.
		MessageID: v.messageID, MailID: v.messageID,
		Tags: v.tags, Metadata: v.metadata,
		// SocketLabs gives no id. What it reports again has all of these alike.
		ID: webhook.EventID(v.typ, v.dateTime, v.serverID, v.messageID, v.mailingID, v.address, v.tracking, v.url, v.failureCode),
	}
	switch strings.ToLower(v.typ) {
	case "queued":
		e.Type = webhook.Accepted
	case "deferred":
		e.Type = webhook.Deferred
		v.failure(&e, v.deferral)
	case "delivered", "sent":
		e.Type, e.Detail, e.SMTP = webhook.Delivered, v.answer, adapter.Answer(v.answer)
	case "failed":
		v.failure(&e, v.failureCode)
		v.failed(&e)
	case "complaint":
		e.Type, e.Recipient = webhook.Complained, cmp.Or(v.address, v.to)
	case "tracking":
		switch strings.ToLower(v.tracking) {
		case "0", "click":
			e.Type, e.ClickURL = webhook.Clicked, v.url
		case "1", "open":
			e.Type = webhook.Opened
		case "2", "unsubscribe":
			e.Type = webhook.Unsubscribed
		default:
			e.Type = webhook.Other
		}
	case "":
		if v.isMail() {
			v.inbound(&e)
			break
		}
		fallthrough
	default:
		e.Type = webhook.Other
	}
	return e
}

// failed sets the type of a failure.
func (v *notice) failed(e *webhook.Event) {
	e.Type = webhook.Bounced
	switch strings.ToLower(v.failureType) {
	case "0", "temporary":
		e.Bounce = webhook.Soft
		if strings.HasPrefix(v.failureCode, "5") { // it is an answer of somebody who is away
			e.Type, e.Bounce, e.Reason = webhook.Autoresponded, "", ""
		}
	case "1", "permanent":
		e.Bounce = webhook.Hard
	case "2", "suppressed":
		e.Type, e.Reason = webhook.Rejected, webhook.ReasonSuppressed
	default:
		e.Bounce = webhook.Undetermined
	}
}

// failure says why.
func (v *notice) failure(e *webhook.Event, code string) {
	e.Detail = cmp.Or(v.diagnostic, v.reason)
	e.SMTP = cmp.Or(adapter.Answer(v.diagnostic), adapter.Answer(v.reason))
	r, ok := reasons[code]
	if !ok {
		_, r = webhook.Classify(cmp.Or(e.SMTP, e.Detail, v.status))
	}
	e.Reason = r
}

// reasons are those of SocketLabs' failure codes. Those that tell nothing are left
// to the answer of the receiving server.
// Source: https://help.socketlabs.com, "Failed messages report definitions", and
// FailureCodes.cs of SocketLabs.EventWebhooks.Extensions (read 2026-11).
var reasons = map[string]webhook.Reason{
	"1002": webhook.ReasonBlocked, // on a blacklist
	"1003": webhook.ReasonBlocked,
	"1004": webhook.ReasonSpam, // content
	"1006": webhook.ReasonThrottled,
	"1007": webhook.ReasonSpam,  // virus
	"1011": webhook.ReasonOther, // challenge
	"1999": webhook.ReasonBlocked,
	"2001": webhook.ReasonMailbox,
	"2002": webhook.ReasonMailbox,
	"2003": webhook.ReasonMailbox,
	"2004": webhook.ReasonMailbox,
	"3001": webhook.ReasonQuota,
	"3002": webhook.ReasonMailbox, // inactive
	"3003": webhook.ReasonThrottled,
	"4001": webhook.ReasonThrottled, // busy
	"4002": webhook.ReasonNetwork,
	"4003": webhook.ReasonNetwork,
	"4004": webhook.ReasonNetwork, // too old
	"4006": webhook.ReasonBlocked, // the server does not take mail for the domain
}

// inbound reads a mail.
func (v *notice) inbound(e *webhook.Event) {
	var id string
	adapter.Members(v.mail, func(name, value []byte) {
		if is(name, "MessageId") {
			id = adapter.Text(value)
		}
	})
	e.Type, e.Recipient = webhook.Inbound, v.rcptTo
	e.ID = webhook.EventID("inbound", v.rcptTo, cmp.Or(id, string(v.raw)))
}

// String describes c without its keys.
func (c WebhookConfig) String() string {
	return "socketlabs.WebhookConfig{ServerID: " + strconv.Itoa(c.ServerID) + "}"
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
