package postmark

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/internal/envelope"
	"github.com/seed355143d4/mailer/internal/httpapi"
)

// Postmark's limits. Over one of them a message is [mailer.KindTooLarge], and
// nothing was sent.
// Source: https://postmarkapp.com/developer/api/email-api and
// https://postmarkapp.com/developer/user-guide/sending-email/sending-with-api
// (read 2026-11). "Characters" are UTF-16 units.
const (
	MaxRecipients = 50       // in To, Cc and Bcc together
	MaxSize       = 10 << 20 // bytes of the request, files in base64
	MaxBody       = 5 << 20  // bytes of Text, and of HTML
	MaxFrom       = 255      // characters of From, name and address
)

// The limits of metadata. An entry over them stays behind, and is named in the
// receipt.
const (
	maxMetadata      = 9  // entries: Postmark's 10 but that of the message's ID
	maxMetadataKey   = 20 // characters
	maxMetadataValue = 80 // characters
)

// reserved are the header fields that are Postmark's to set, or have a field of
// their own there, in lower case: those that [mailer.Message.Validate] lets pass.
// Source: Postmark's own Ruby library, lib/postmark/message_extensions/mail.rb
// (read 2026-11).
var reserved = []string{
	"x-pm-rcpt", "tag", "attachment", "track-opens", "track-links", "postmark-template-alias", "message-stream",
}

// Extra holds the settings that only Postmark has. The zero value leaves them to
// Postmark.
type Extra struct {
	// MessageStream is the id of a stream of the server. Empty: "outbound".
	MessageStream string
	// InlineCSS moves a template's style rules into its elements. Default: on. It
	// is for messages with a Template.
	InlineCSS mailer.Switch
}

// ForProvider returns "postmark".
func (Extra) ForProvider() string { return provider }

// request is what Send says to Postmark.
type request struct {
	message mailer.Message // as it goes out
	path    string
	body    httpapi.Body
	dropped []string
}

// request turns m into Postmark's words, or says why that cannot be done.
func (p *Provider) request(m mailer.Message) (request, error) {
	m, err := adapter.Prepare(provider, m, false)
	if err != nil {
		return request{}, err
	}
	x := mailer.ExtraFor[Extra](m)
	if err := check(&m, x); err != nil {
		return request{}, err
	}

	from := envelope.Format(m.From)
	if over(from, MaxFrom) {
		return request{}, adapter.TooLarge(provider, "From", MaxFrom, "characters")
	}
	r := request{message: m, path: "/email"}
	o := adapter.NewObject(1024 + (len(m.Text)+len(m.HTML))*9/8)
	o.String("From", from)
	o.Text("To", mailboxes(m.To))
	o.Text("Cc", mailboxes(m.Cc))
	o.Text("Bcc", mailboxes(m.Bcc))
	o.Text("ReplyTo", mailboxes(m.ReplyTo))
	o.Text("Subject", m.Subject)
	o.Text("TextBody", m.Text)
	o.Text("HtmlBody", m.HTML)
	if m.Template.ID != "" {
		r.path = "/email/withTemplate"
		p.template(&o, m.Template, x)
	}
	headers(&o, &m)
	r.dropped = reporting(&o, &m)
	o.Text("MessageStream", x.MessageStream)
	var files httpapi.Files
	o.List("Attachments", len(m.Attachments), func(i int) {
		a := &m.Attachments[i]
		o.String("Name", a.Name)
		o.String("ContentType", cmp.Or(a.ContentType, "application/octet-stream"))
		if a.ContentID != "" {
			o.String("ContentID", "cid:"+a.ContentID)
		}
		o.String("Content", files.Add(a.Content))
	})
	b, err := o.Close()
	if err != nil {
		return request{}, adapter.Invalid("Template.Data", err)
	}
	r.body = files.Body(b)
	if err := adapter.Size(provider, &m, int(r.body.Size()), MaxSize); err != nil {
		return request{}, err
	}
	return r, nil
}

// check refuses what Postmark has no words for, and what is over its limits.
func check(m *mailer.Message, x Extra) error {
	if err := adapter.Setting("postmark.Extra.MessageStream", x.MessageStream); err != nil {
		return err
	}
	if err := adapter.Headers(provider, m, reserved); err != nil {
		return err
	}
	switch {
	case len(m.To) == 0:
		return adapter.Unsupported(provider, "To", "Postmark needs a recipient in To")
	case !m.SendAt.IsZero():
		return adapter.Unsupported(provider, "SendAt", "Postmark sends at once")
	case m.Template.ID != "" && m.Subject != "":
		return adapter.Unsupported(provider, "Subject", "a template at Postmark brings its own subject")
	case m.Template.ID == "" && x.InlineCSS != mailer.Default:
		return adapter.Unsupported(provider, "postmark.Extra.InlineCSS", "Postmark inlines the CSS of templates only")
	case len(m.Text) > MaxBody:
		return adapter.TooLarge(provider, "Text", MaxBody, "bytes")
	case len(m.HTML) > MaxBody:
		return adapter.TooLarge(provider, "HTML", MaxBody, "bytes")
	case strange(m.From):
		return adapter.Unsupported(provider, "From", strangeMailbox)
	}
	for _, l := range [...]struct {
		field string
		list  []mailer.Address
	}{{"To", m.To}, {"Cc", m.Cc}, {"Bcc", m.Bcc}, {"ReplyTo", m.ReplyTo}} {
		if i := slices.IndexFunc(l.list, strange); i >= 0 {
			return adapter.Unsupported(provider, adapter.Index(l.field, i), strangeMailbox)
		}
	}
	return adapter.Recipients(provider, m, MaxRecipients)
}

const strangeMailbox = "Postmark takes no question mark and no quotes before the @"

// strange says whether an address has what Postmark refuses in one, of all that
// [mailer.Message.Validate] lets pass.
// Source: Postmark's support article 1180 (read 2026-11).
func strange(a mailer.Address) bool { return strings.ContainsAny(a.Address, `?"`) }

// over says whether s has more than n UTF-16 units.
func over(s string, n int) bool {
	if len(s) <= n {
		return false
	}
	for _, r := range s {
		n -= utf16.RuneLen(r)
	}
	return n < 0
}

// mailboxes is how Postmark wants a list of addresses: in one string.
func mailboxes(as []mailer.Address) string {
	switch len(as) {
	case 0:
		return ""
	case 1:
		return envelope.Format(as[0])
	}
	list := make([]string, len(as))
	for i, a := range as {
		list[i] = envelope.Format(a)
	}
	return strings.Join(list, ", ")
}

// template writes the template. An id is a number, an alias begins with a letter.
func (p *Provider) template(o *adapter.Object, t mailer.Template, x Extra) {
	id := cmp.Or(p.templates[t.ID], t.ID)
	if n, err := strconv.ParseUint(id, 10, 63); err == nil {
		o.Int("TemplateId", int64(n))
	} else {
		o.String("TemplateAlias", id)
	}
	if len(t.Data) == 0 {
		o.Object("TemplateModel", func() {})
	} else {
		o.Value("TemplateModel", t.Data)
	}
	if x.InlineCSS != mailer.Default {
		o.Bool("InlineCss", x.InlineCSS == mailer.On)
	}
}

// headers writes the header fields, the message's ID as Message-ID first.
func headers(o *adapter.Object, m *mailer.Message) {
	domain := m.From.Address[strings.LastIndexByte(m.From.Address, '@'):]
	var array [8]adapter.Field
	fields := adapter.Fields(append(array[:0], adapter.Field{Name: "Message-ID", Value: "<" + m.ID + domain + ">"}), m)
	o.List("Headers", len(fields), func(i int) {
		o.String("Name", fields[i].Name)
		o.String("Value", fields[i].Value)
	})
}

// reporting writes what serves reporting only, and names what Postmark has no
// room for.
func reporting(o *adapter.Object, m *mailer.Message) (dropped []string) {
	for i, tag := range m.Tags {
		if i == 0 {
			o.String("Tag", tag)
		} else {
			dropped = append(dropped, adapter.Index("Tags", i))
		}
	}
	o.Object("Metadata", func() {
		o.String("mailer_id", m.ID)
		var kept []string
		for _, key := range adapter.Keys(m.Metadata) {
			value := m.Metadata[key]
			same := func(k string) bool { return strings.EqualFold(k, key) }
			if len(kept) == maxMetadata || over(key, maxMetadataKey) || over(value, maxMetadataValue) ||
				slices.ContainsFunc(kept, same) {
				dropped = append(dropped, adapter.Key("Metadata", key))
				continue
			}
			kept = append(kept, key)
			o.String(key, value)
		}
	})
	if m.Track.Opens != mailer.Default {
		o.Bool("TrackOpens", m.Track.Opens == mailer.On)
	}
	switch m.Track.Clicks {
	case mailer.On:
		o.String("TrackLinks", "HtmlAndText")
	case mailer.Off:
		o.String("TrackLinks", "None")
	}
	return dropped
}
