// Package webhook receives what the services report about mail that was sent:
// delivered, bounced, complained and so on.
//
// [Handler] is an http.Handler over a [Source], which each package under
// provider has for its service. The handler verifies a request, reads the
// events in it, and gives them to the application in one portable form.
package webhook

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"
)

// Type says what happened to a message. The words are the field's common ones.
type Type string

// The types of events.
const (
	// Accepted: the service took the message and will try to deliver it.
	Accepted Type = "accepted"
	// Delivered: the recipient's server took the message.
	Delivered Type = "delivered"
	// Deferred: the recipient's server said "later"; the service tries again.
	Deferred Type = "deferred"
	// Bounced: the recipient's server refused the message. See [Event].Bounce.
	Bounced Type = "bounced"
	// Complained: the recipient called the message spam.
	Complained Type = "complained"
	// Opened: the message was shown, or fetched by a machine that shows mail.
	Opened Type = "opened"
	// Clicked: a link in the message was followed. See [Event].ClickURL.
	Clicked Type = "clicked"
	// Unsubscribed: the recipient wants no more of this stream.
	Unsubscribed Type = "unsubscribed"
	// Subscribed: the recipient came back.
	Subscribed Type = "subscribed"
	// Rejected: the service dropped the message without trying to deliver it,
	// because of a suppression, a policy or the message itself.
	Rejected Type = "rejected"
	// Failed: the service could not make or send the message.
	Failed Type = "failed"
	// Autoresponded: an automatic answer came back.
	Autoresponded Type = "autoresponded"
	// Inbound: mail that somebody sent to us.
	Inbound Type = "inbound"
	// Other: a type of the service that has no portable name. [Event].Raw tells.
	Other Type = "other"
)

// Bounce says whether a bounce is for good.
type Bounce string

// The kinds of bounces. Empty: the event is no bounce.
const (
	// Hard: the address does not work, and will not.
	Hard Bounce = "hard"
	// Soft: the address may work another time.
	Soft Bounce = "soft"
	// Undetermined: the service does not tell.
	Undetermined Bounce = "undetermined"
)

// Reason says why a message was not delivered, as far as it can be told.
type Reason string

// The reasons. Empty: not known, or nothing failed.
const (
	// ReasonMailbox: there is no such mailbox or domain, or it is disabled.
	ReasonMailbox Reason = "mailbox"
	// ReasonQuota: the mailbox is full.
	ReasonQuota Reason = "quota"
	// ReasonSpam: the content or its links were taken for spam.
	ReasonSpam Reason = "spam"
	// ReasonBlocked: the sender, its domain or its IP address is blocked, or fails
	// authentication.
	ReasonBlocked Reason = "blocked"
	// ReasonSize: the message is too large for the recipient.
	ReasonSize Reason = "size"
	// ReasonNetwork: the recipient's server could not be reached or spoke nonsense.
	ReasonNetwork Reason = "network"
	// ReasonThrottled: the recipient's server asked to slow down, greylisting included.
	ReasonThrottled Reason = "throttled"
	// ReasonSuppressed: the service has the address on its suppression list.
	ReasonSuppressed Reason = "suppressed"
	// ReasonOther: told, but none of these.
	ReasonOther Reason = "other"
)

// Event is one thing that happened to one recipient of one message. A field that
// the service does not fill is the zero value.
type Event struct {
	// Provider is the name of the service: "postmark".
	Provider string
	// Type says what happened.
	Type Type
	// Bounce says for [Bounced] whether it is for good. Empty for other types.
	Bounce Bounce
	// Reason says why, for [Bounced], [Deferred], [Rejected] and [Failed].
	Reason Reason
	// ID is the same whenever the service reports this event again, and differs
	// from that of every other event of this provider. See [Dedupe].
	ID string
	// MessageID is the service's id of the message: it equals
	// mailer.Receipt.MessageID, or the entry for Recipient in MessageIDs.
	MessageID string
	// MailID is the message's own mailer.Message.ID, where it comes back.
	MailID string
	// Recipient is the address that the event is about.
	Recipient string
	// Time is when it happened, in UTC. Zero: the service did not tell it in any
	// form that can be read.
	Time time.Time
	// Detail is the service's or the receiving server's words for why. Bounded.
	Detail string
	// SMTP is the answer of the receiving server, as far as it is known:
	// "550 5.1.1 no such user". Bounded.
	SMTP string
	// Tags and Metadata are those of the message, where they come back.
	Tags     []string
	Metadata map[string]string
	// Stream is the service's name for the kind of mail (message stream,
	// unsubscribe group), where it has one.
	Stream string
	// ClickURL is the link that was followed, for [Clicked].
	ClickURL string
	// Raw is the event as the service wrote it: the JSON of this one event, or
	// the encoded form or query.
	Raw []byte
}

// Request is what a [Source] sees of an HTTP request. Body is exactly what was
// sent, after the removal of a Content-Encoding, and within the limit.
type Request struct {
	Method string
	Query  url.Values
	Header http.Header
	Body   []byte
}

// Delivery is what a [Source] made of a request that it believed.
type Delivery struct {
	// Events are those in the request. None is a good answer too: the callback
	// is not called then.
	Events []Event
	// Body and ContentType are the answer that the service wants to read. Empty:
	// an empty answer.
	Body        []byte
	ContentType string
}

// Source verifies and reads what one service sends. It is safe for use by many
// goroutines.
type Source interface {
	// Name is the service's name, as in [Event].Provider.
	Name() string
	// Receive verifies r first and reads it second. It returns, as they are or
	// wrapped, [ErrMethod], [ErrUnverified] or [ErrMalformed] for a request that
	// is to be refused; any other error asks the service to try again. It keeps
	// nothing of r but what it copies, except that Event.Raw may be a part of
	// r.Body.
	Receive(ctx context.Context, r *Request) (Delivery, error)
}

// What a Source says of a request that it refuses.
var (
	// ErrMethod: the service does not use this method. Status 405.
	ErrMethod = errors.New("webhook: method not allowed")
	// ErrUnverified: the signature, secret or origin is wrong or missing. Status 401.
	ErrUnverified = errors.New("webhook: not verified")
	// ErrMalformed: it cannot be read. Status 400.
	ErrMalformed = errors.New("webhook: malformed")
)
