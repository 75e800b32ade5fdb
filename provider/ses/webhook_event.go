package ses

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/webhook"
)

// notice is an event in SES's words.
// Source: https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html
// and https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html (read 2026-11).
type notice struct {
	EventType        string
	NotificationType string
	Mail             struct {
		Timestamp   string
		MessageID   string
		Destination []string
		Tags        map[string][]string
	}
	Bounce struct {
		BounceType, BounceSubType, Timestamp, FeedbackID string
		BouncedRecipients                                []recipient
	}
	Complaint struct {
		Timestamp, FeedbackID, ComplaintSubType, ComplaintFeedbackType string
		ComplainedRecipients                                           []recipient
	}
	Delivery struct {
		Timestamp, SMTPResponse string
		Recipients              []string
	}
	DeliveryDelay struct {
		Timestamp, DelayType string
		DelayedRecipients    []recipient
	}
	Reject  struct{ Reason string }
	Failure struct{ ErrorMessage string }
	Open    struct{ Timestamp string }
	Click   struct{ Timestamp, Link string }

	Subscription struct {
		ContactList, Timestamp                   string
		NewTopicPreferences, OldTopicPreferences preferences
	}
	Receipt struct {
		Timestamp  string
		Recipients []string
	}
}

// recipient is somebody whom an event is about, and why.
type recipient struct {
	EmailAddress   string
	Status         string
	DiagnosticCode string
}

// preferences are what a recipient wants of a contact list.
type preferences struct {
	UnsubscribeAll          bool
	TopicSubscriptionStatus []struct{ TopicName, SubscriptionStatus string }
}

// readEvents reads the events of one message. id is the same when SNS sends it
// again. It reports whether the text is an object about not too many recipients.
func readEvents(text []byte, id string) ([]webhook.Event, bool) {
	trimmed := bytes.TrimLeft(text, " \t\r\n")
	if len(trimmed) == 0 || trimmed[0] != '{' || !json.Valid(trimmed) {
		return nil, false
	}
	var n notice
	_ = json.Unmarshal(text, &n) // what is of the wrong type stays zero

	name := cmp.Or(n.EventType, n.NotificationType)
	e, about := n.event(name)
	if len(about) > webhook.MaxEvents {
		return nil, false
	}
	e.Provider, e.MessageID, e.Raw = provider, n.Mail.MessageID, text
	n.tags(&e)
	events := make([]webhook.Event, 0, len(about))
	seen := map[string]bool{}
	for _, to := range about {
		if seen[to.EmailAddress] {
			continue
		}
		seen[to.EmailAddress] = true
		one := e
		one.Recipient = to.EmailAddress
		// An identity's notification and the event of a configuration set are about
		// the same bounce, and have its id.
		one.ID = webhook.EventID(cmp.Or(n.Bounce.FeedbackID, n.Complaint.FeedbackID, id, string(text)), name, to.EmailAddress)
		one.Detail = cmp.Or(to.DiagnosticCode, to.Status, e.Detail)
		one.SMTP = cmp.Or(adapter.Answer(to.DiagnosticCode), e.SMTP)
		if one.Reason == "" && (one.Type == webhook.Bounced || one.Type == webhook.Deferred) {
			_, one.Reason = webhook.Classify(cmp.Or(one.SMTP, one.Detail))
		}
		events = append(events, one)
	}
	return events, true
}

// event returns what the event says of all its recipients, and who they are: one
// without an address, if SES does not tell.
func (n *notice) event(name string) (e webhook.Event, about []recipient) {
	when := ""
	switch name {
	case "Send":
		e.Type, about = webhook.Accepted, named(n.Mail.Destination)
	case "Delivery":
		e.Type, about, when = webhook.Delivered, named(n.Delivery.Recipients), n.Delivery.Timestamp
		e.Detail, e.SMTP = n.Delivery.SMTPResponse, adapter.Answer(n.Delivery.SMTPResponse)
	case "DeliveryDelay":
		e.Type, about, when = webhook.Deferred, n.DeliveryDelay.DelayedRecipients, n.DeliveryDelay.Timestamp
		e.Detail, e.Reason = n.DeliveryDelay.DelayType, delays[n.DeliveryDelay.DelayType]
	case "Bounce":
		about, when = n.Bounce.BouncedRecipients, n.Bounce.Timestamp
		e.Detail = n.Bounce.BounceSubType
		n.bounce(&e)
	case "Complaint":
		about, when = n.Complaint.ComplainedRecipients, n.Complaint.Timestamp
		e.Detail = n.Complaint.ComplaintFeedbackType
		switch {
		case n.Complaint.ComplaintSubType == "OnAccountSuppressionList": // the message never left
			e.Type, e.Reason = webhook.Rejected, webhook.ReasonSuppressed
		case n.Complaint.ComplaintFeedbackType == "not-spam":
			e.Type = webhook.Other
		default:
			e.Type = webhook.Complained
		}
	case "Reject": // a virus
		e.Type, about = webhook.Rejected, named(n.Mail.Destination)
		e.Detail, e.Reason = n.Reject.Reason, webhook.ReasonSpam
	case "Rendering Failure":
		e.Type, about = webhook.Rejected, named(n.Mail.Destination)
		e.Detail, e.Reason = n.Failure.ErrorMessage, webhook.ReasonOther
	case "Open":
		e.Type, about, when = webhook.Opened, onlyOne(n.Mail.Destination), n.Open.Timestamp
	case "Click":
		e.Type, about, when = webhook.Clicked, onlyOne(n.Mail.Destination), n.Click.Timestamp
		e.ClickURL = n.Click.Link
	case "Subscription":
		about, when = named(n.Mail.Destination), n.Subscription.Timestamp
		n.subscription(&e)
	case "Received": // one mail, whoever it is for
		e.Type, about, when = webhook.Inbound, named(n.Receipt.Recipients), n.Receipt.Timestamp
		about = about[:min(1, len(about))]
	default:
		e.Type = webhook.Other
	}
	e.Time = adapter.Time(cmp.Or(when, n.Mail.Timestamp))
	if len(about) == 0 {
		about = make([]recipient, 1)
	}
	return e, about
}

func named(addresses []string) []recipient {
	list := make([]recipient, len(addresses))
	for i, a := range addresses {
		list[i].EmailAddress = a
	}
	return list
}

// onlyOne returns the one recipient. Of several SES does not say which it was.
func onlyOne(addresses []string) []recipient {
	if len(addresses) != 1 {
		return nil
	}
	return named(addresses)
}

// bounce sets the type of a bounce. All but the subtypes of suppression are those of
// the guide.
func (n *notice) bounce(e *webhook.Event) {
	e.Type, e.Reason = webhook.Bounced, subtypes[n.Bounce.BounceSubType]
	switch n.Bounce.BounceType {
	case "Permanent":
		e.Bounce = webhook.Hard
		if e.Reason == webhook.ReasonSuppressed {
			e.Type, e.Bounce = webhook.Rejected, ""
		}
	case "Transient":
		e.Bounce = webhook.Soft
	default:
		e.Bounce = webhook.Undetermined
	}
}

// subtypes are the reasons of bounces. Others, "General" above all, are left to the
// answer of the receiving server. Those of tenants, of validation and of
// subscriptions are known from other clients only.
var subtypes = map[string]webhook.Reason{
	"NoEmail":                   webhook.ReasonMailbox,
	"Suppressed":                webhook.ReasonSuppressed,
	"OnAccountSuppressionList":  webhook.ReasonSuppressed,
	"OnTenantSuppressionList":   webhook.ReasonSuppressed,
	"EmailValidationSuppressed": webhook.ReasonSuppressed,
	"UnsubscribedRecipient":     webhook.ReasonSuppressed,
	"MailboxFull":               webhook.ReasonQuota,
	"MessageTooLarge":           webhook.ReasonSize,
	"ContentRejected":           webhook.ReasonSpam,
	"AttachmentRejected":        webhook.ReasonSpam,
	"CustomTimeoutExceeded":     webhook.ReasonNetwork,
}

// delays are the reasons of delays. Others are left to the answer.
var delays = map[string]webhook.Reason{
	"InternalFailure":                webhook.ReasonOther,
	"MailboxFull":                    webhook.ReasonQuota,
	"SpamDetected":                   webhook.ReasonSpam,
	"RecipientServerError":           webhook.ReasonNetwork,
	"IPFailure":                      webhook.ReasonBlocked,
	"TransientCommunicationFailure":  webhook.ReasonNetwork,
	"BYOIPHostNameLookupUnavailable": webhook.ReasonNetwork,
	"SendingDeferral":                webhook.ReasonThrottled,
}

// subscription sets the type of a change to a contact list. The Stream is the topic
// if there is just one, else the list.
func (n *notice) subscription(e *webhook.Event) {
	s := &n.Subscription
	status := func(p *preferences, topic string) string {
		for _, t := range p.TopicSubscriptionStatus {
			if t.TopicName == topic {
				return t.SubscriptionStatus
			}
		}
		return ""
	}
	var in, out []string
	for _, t := range s.NewTopicPreferences.TopicSubscriptionStatus {
		switch {
		case status(&s.OldTopicPreferences, t.TopicName) == t.SubscriptionStatus:
		case t.SubscriptionStatus == "OptOut":
			out = append(out, t.TopicName)
		case t.SubscriptionStatus == "OptIn":
			in = append(in, t.TopicName)
		}
	}
	e.Stream = s.ContactList
	topics := in
	switch {
	case s.NewTopicPreferences.UnsubscribeAll:
		e.Type = webhook.Unsubscribed
		return
	case len(out) > 0:
		e.Type, topics = webhook.Unsubscribed, out
	case len(in) > 0 || s.OldTopicPreferences.UnsubscribeAll:
		e.Type = webhook.Subscribed
	default:
		e.Type = webhook.Other
	}
	if len(topics) == 1 && !s.OldTopicPreferences.UnsubscribeAll {
		e.Stream = topics[0]
	}
}

// tags gives back what the message had: see the function of that name in
// request.go. Tags that begin with "ses:" are SES's own.
func (n *notice) tags(e *webhook.Event) {
	type tag struct {
		at    int
		value string
	}
	var tags []tag
	for _, name := range slices.Sorted(maps.Keys(n.Mail.Tags)) {
		values := n.Mail.Tags[name]
		if len(values) == 0 || strings.HasPrefix(name, "ses:") {
			continue
		}
		if name == idTag {
			e.MailID = values[0]
			continue
		}
		if at := tagPlace(name); at > 0 {
			tags = append(tags, tag{at, values[0]})
			continue
		}
		if e.Metadata == nil {
			e.Metadata = map[string]string{}
		}
		e.Metadata[name] = values[0]
	}
	slices.SortFunc(tags, func(a, b tag) int { return a.at - b.at })
	for _, t := range tags {
		e.Tags = append(e.Tags, t.value)
	}
}

// tagPlace tells the place of a message's tag by the name of SES's tag, 0 if it is
// none: "mailer_tag" is 1, "mailer_tag_2" is 2.
func tagPlace(name string) int {
	rest, ok := strings.CutPrefix(name, tagTag)
	switch {
	case !ok:
		return 0
	case rest == "":
		return 1
	}
	n, err := strconv.Atoi(strings.TrimPrefix(rest, "_"))
	if err != nil || n < 2 || n > maxTags || rest != "_"+strconv.Itoa(n) {
		return 0
	}
	return n
}
