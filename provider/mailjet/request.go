package mailjet

import (
	"cmp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/mailjet/mailjet-apiv3-go/v4"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/internal/jsonenc"
)

// Mailjet's limits. Over one of them a message is [mailer.KindTooLarge], and
// nothing was sent.
// Source: https://dev.mailjet.com/email/guides/send-api-v31/ (read 2026-11).
// Whether MaxFiles is meant in base64 is not said; a message in between is left to
// Mailjet to refuse.
const (
	MaxRecipients = 50       // in To, Cc and Bcc together
	MaxFiles      = 15 << 20 // bytes of all files, as they are
	MaxSubject    = 255      // characters of Subject
	MaxURLTags    = 256      // characters of Extra.URLTags
)

// maxCampaign is the limit of a tag, in characters. A longer one stays behind, and
// is named in the receipt.
const maxCampaign = 255

// reserved are the header fields that Mailjet forbids, in lower case: those that
// [mailer.Message.Validate] lets pass.
// Source: https://dev.mailjet.com/email/guides/send-api-v31/, "Add email headers"
// (read 2026-11).
var reserved = []string{
	"domainkey-status", "x-mailjet-prio", "x-mailjet-debug", "user-agent", "x-mailer", "x-mj-customid",
	"x-mj-eventpayload", "x-mj-vars", "x-mj-templateerrordeliver", "x-mj-templateerrorreporting",
	"x-mj-templatelanguage", "x-mailjet-trackopen", "x-mailjet-trackclick", "x-mj-templateid", "x-mj-workflowid",
	"x-feedback-id", "x-mailjet-segmentation", "list-id", "x-mj-mid", "x-mj-errormessage", "x-csa-complaints",
	"x-mailjet-campaign", "x-mj-statisticscontactslistid",
}

// Extra holds the settings that only Mailjet has. The zero value leaves them to
// the account.
type Extra struct {
	// DeduplicateCampaign has Mailjet block a second message with the same first
	// tag to the same address. It is the nearest that Mailjet has to an idempotency
	// key; the blocked message is taken first, and reported by an event. It needs a
	// tag that Mailjet can carry.
	DeduplicateCampaign bool
	// MonitoringCategory is the name of a category for real-time monitoring. It
	// has to exist at Mailjet.
	MonitoringCategory string
	// URLTags is a query string that Mailjet adds to the links, such as
	// "utm_source=welcome". At most 256 characters.
	URLTags string
	// TemplateErrorDeliver sends a message with a Template even if there is an
	// error in the template's language, and TemplateErrorReporting is whom Mailjet
	// tells of it. Zero: nobody. They are for messages with a Template.
	TemplateErrorDeliver   bool
	TemplateErrorReporting mailer.Address
	// Sender is the address of the Sender header field. Zero: none. Mailjet takes it
	// from API keys only for which its support has allowed it.
	Sender mailer.Address
	// Priority puts the message into one of Mailjet's levels of processing, up to 3,
	// the most urgent one. Zero: Mailjet's own choice. Other numbers are left to
	// Mailjet to refuse.
	Priority int
	// Sandbox has Mailjet check the message and not send it. The receipt's
	// MessageID is then our own.
	Sandbox bool
}

// ForProvider returns "mailjet".
func (Extra) ForProvider() string { return provider }

// request is a message in Mailjet's words, with room beside it for what each needs,
// so that an ordinary one is a single piece of memory.
type request struct {
	message mailer.Message // as it goes out
	info    message
	sandbox bool
	dropped []string
	result  mailer.Result // what became of it
	at      int           // its place in a batch

	from, replyTo mailjet.RecipientV31
	to, cc, bcc   mailjet.RecipientsV31
	boxes         [2]mailjet.RecipientV31
	used          int // of boxes
	list          [1]*message
	self          [1]*request
	entries       [1]entry
}

// alone returns the list of just r.
func (r *request) alone() []*request {
	r.self[0] = r
	return r.self[:]
}

// request turns m into Mailjet's words, or says why that cannot be done.
func (p *Provider) request(m mailer.Message) (*request, error) {
	m, err := adapter.Prepare(provider, m, true)
	if err != nil {
		return nil, err
	}
	x := mailer.ExtraFor[Extra](m)
	if err := check(&m, x); err != nil {
		return nil, err
	}

	r := &request{message: m, sandbox: x.Sandbox}
	info := &r.info
	r.from = mailjet.RecipientV31{Email: m.From.Address, Name: m.From.Name}
	info.From = &r.from
	info.To, info.Cc, info.Bcc = r.recipients(&r.to, m.To), r.recipients(&r.cc, m.Cc), r.recipients(&r.bcc, m.Bcc)
	if len(m.ReplyTo) > 0 {
		r.replyTo = mailjet.RecipientV31{Email: m.ReplyTo[0].Address, Name: m.ReplyTo[0].Name}
		info.ReplyTo = &r.replyTo
	}
	info.Subject, info.TextPart, info.HTMLPart = m.Subject, m.Text, m.HTML
	if m.Template.ID != "" {
		if err := p.template(info, m.Template); err != nil {
			return nil, err
		}
		info.TemplateErrorDeliver = x.TemplateErrorDeliver
	}
	if info.TemplateErrorReporting, err = box("mailjet.Extra.TemplateErrorReporting", x.TemplateErrorReporting); err != nil {
		return nil, err
	}
	if info.Sender, err = box("mailjet.Extra.Sender", x.Sender); err != nil {
		return nil, err
	}
	info.Priority = x.Priority
	info.Headers = headers(&m)
	info.CustomID = m.ID
	r.dropped = reporting(info, &m)
	info.MonitoringCategory, info.URLTags = x.MonitoringCategory, x.URLTags
	if info.DeduplicateCampaign = x.DeduplicateCampaign; x.DeduplicateCampaign && info.CustomCampaign == "" {
		return nil, adapter.Unsupported(provider, "mailjet.Extra.DeduplicateCampaign", "it needs a tag that Mailjet can carry")
	}
	return r, nil
}

// box returns an address of an Extra, and nil for none.
func box(field string, a mailer.Address) (*mailjet.RecipientV31, error) {
	if a == (mailer.Address{}) {
		return nil, nil
	}
	a, err := adapter.Address(provider, field, a, true)
	return &mailjet.RecipientV31{Email: a.Address, Name: a.Name}, err
}

// recipients puts the addresses into list, and returns it unless it is empty.
func (r *request) recipients(list *mailjet.RecipientsV31, as []mailer.Address) *mailjet.RecipientsV31 {
	if len(as) == 0 {
		return nil
	}
	boxes := r.boxes[r.used:]
	if len(as) > len(boxes) {
		boxes = make([]mailjet.RecipientV31, len(as))
	} else {
		r.used += len(as)
	}
	for i, a := range as {
		boxes[i] = mailjet.RecipientV31{Email: a.Address, Name: a.Name}
	}
	*list = boxes[:len(as):len(as)]
	return list
}

// check refuses what Mailjet has no words for, and what is over its limits.
func check(m *mailer.Message, x Extra) error {
	if err := cmp.Or(
		adapter.Setting("mailjet.Extra.MonitoringCategory", x.MonitoringCategory),
		adapter.Setting("mailjet.Extra.URLTags", x.URLTags),
		adapter.Headers(provider, m, reserved),
	); err != nil {
		return err
	}
	switch {
	case len(m.To) == 0:
		return adapter.Unsupported(provider, "To", "Mailjet needs a recipient in To")
	case len(m.ReplyTo) > 1:
		return adapter.Unsupported(provider, "ReplyTo[1]", "Mailjet takes one address")
	case !m.SendAt.IsZero():
		return adapter.Unsupported(provider, "SendAt", "Mailjet sends at once")
	case m.Template.ID == "" && x.TemplateErrorDeliver:
		return adapter.Unsupported(provider, "mailjet.Extra.TemplateErrorDeliver", "it is for messages with a template")
	case m.Template.ID == "" && x.TemplateErrorReporting != (mailer.Address{}):
		return adapter.Unsupported(provider, "mailjet.Extra.TemplateErrorReporting", "it is for messages with a template")
	case utf8.RuneCountInString(m.Subject) > MaxSubject:
		return adapter.TooLarge(provider, "Subject", MaxSubject, "characters")
	case utf8.RuneCountInString(x.URLTags) > MaxURLTags:
		return adapter.TooLarge(provider, "mailjet.Extra.URLTags", MaxURLTags, "characters")
	}
	if err := adapter.MediaTypes(provider, m); err != nil {
		return err
	}
	size := 0
	for i, a := range m.Attachments {
		if len(a.Content) == 0 {
			return adapter.Unsupported(provider, adapter.Index("Attachments", i)+".Content", "Mailjet takes no empty file")
		}
		size += len(a.Content)
	}
	if size > MaxFiles {
		return adapter.TooLarge(provider, "Attachments", MaxFiles, "bytes in all")
	}
	return adapter.Recipients(provider, m, MaxRecipients)
}

// template sets the template and its data.
func (p *Provider) template(info *message, t mailer.Template) error {
	id, err := strconv.ParseUint(cmp.Or(p.templates[t.ID], t.ID), 10, strconv.IntSize-1)
	if err != nil || id == 0 {
		return adapter.Unsupported(provider, "Template.ID", "the id of a template at Mailjet is a number")
	}
	if _, err := jsonenc.AppendValue(nil, t.Data); err != nil {
		return adapter.Invalid("Template.Data", err)
	}
	info.TemplateID, info.TemplateLanguage, info.Variables = int(id), true, t.Data
	return nil
}

// headers returns the header fields.
func headers(m *mailer.Message) map[string]any {
	fields := adapter.Fields(nil, m)
	if len(fields) == 0 {
		return nil
	}
	all := make(map[string]any, len(fields))
	for _, f := range fields {
		all[f.Name] = f.Value
	}
	return all
}

// reporting sets what serves reporting only, and names what Mailjet has no room
// for.
func reporting(info *message, m *mailer.Message) (dropped []string) {
	for i, tag := range m.Tags {
		if i == 0 && isCampaign(tag) {
			info.CustomCampaign = tag
		} else {
			dropped = append(dropped, adapter.Index("Tags", i))
		}
	}
	if len(m.Metadata) > 0 {
		b, _ := jsonenc.AppendValue(nil, m.Metadata) // strings cannot fail
		info.EventPayload = string(b)
	}
	for _, t := range [...]struct {
		field string
		value mailer.Switch
		to    *string
	}{{"Track.Opens", m.Track.Opens, &info.TrackOpens}, {"Track.Clicks", m.Track.Clicks, &info.TrackClicks}} {
		html := m.HTML != "" || m.Template.ID != ""
		switch {
		case html && t.value == mailer.On:
			*t.to = "enabled"
		case html && t.value == mailer.Off:
			*t.to = "disabled"
		case t.value == mailer.On:
			dropped = append(dropped, t.field)
		}
	}
	return dropped
}

// isCampaign says whether a tag can be the name of a campaign.
func isCampaign(tag string) bool {
	return len(tag) <= maxCampaign && !strings.ContainsFunc(tag, func(r rune) bool {
		return (r < 'a' || 'z' < r) && (r < 'A' || 'Z' < r) && (r < '0' || '9' < r) && r != ' ' && r != '-' && r != '_'
	})
}
