package postmark

import (
	"cmp"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/internal/envelope"
	"github.com/seed355143d4/mailer/internal/httpapi"
	"github.com/seed355143d4/mailer/internal/jsonenc"
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
	maxMetadata      = 10 // entries, the message's ID being one of them
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

	b := make([]byte, 0, 1024+(len(m.Text)+len(m.HTML))*9/8)
	b = append(b, `{"From":`...)
	b = jsonenc.AppendString(b, from)
	b = appendAddresses(b, "To", m.To)
	b = appendAddresses(b, "Cc", m.Cc)
	b = appendAddresses(b, "Bcc", m.Bcc)
	b = appendAddresses(b, "ReplyTo", m.ReplyTo)
	b = appendText(b, "Subject", m.Subject)
	b = appendText(b, "TextBody", m.Text)
	b = appendText(b, "HtmlBody", m.HTML)
	r := request{path: "/email"}
	if m.Template.ID != "" {
		r.path = "/email/withTemplate"
		if b, err = p.appendTemplate(b, m.Template, x); err != nil {
			return request{}, err
		}
	}
	b = appendHeaders(b, &m)
	b, r.dropped = appendReporting(b, &m)
	b = appendText(b, "MessageStream", x.MessageStream)
	var files httpapi.Files
	b, size := appendAttachments(b, m.Attachments, &files)
	b = append(b, '}')
	if err := adapter.Size(provider, &m, size+len(b), MaxSize); err != nil {
		return request{}, err
	}
	r.message, r.body = m, files.Body(b)
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
	}
	return adapter.Recipients(provider, m, MaxRecipients)
}

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

// appendText appends a string member, unless it is empty.
func appendText(b []byte, key, value string) []byte {
	if value == "" {
		return b
	}
	b = append(b, `,"`...)
	b = append(b, key...)
	b = append(b, `":`...)
	return jsonenc.AppendString(b, value)
}

// appendAddresses appends mailboxes as Postmark wants them: in one string.
func appendAddresses(b []byte, key string, as []mailer.Address) []byte {
	if len(as) == 1 {
		return appendText(b, key, envelope.Format(as[0]))
	}
	list := make([]string, len(as))
	for i, a := range as {
		list[i] = envelope.Format(a)
	}
	return appendText(b, key, strings.Join(list, ", "))
}

// appendTemplate appends the template. An id is a number, an alias is not: it
// begins with a letter.
func (p *Provider) appendTemplate(b []byte, t mailer.Template, x Extra) ([]byte, error) {
	id := cmp.Or(p.templates[t.ID], t.ID)
	if n, err := strconv.ParseUint(id, 10, 63); err == nil {
		b = append(b, `,"TemplateId":`...)
		b = strconv.AppendUint(b, n, 10)
	} else {
		b = appendText(b, "TemplateAlias", id)
	}
	b = append(b, `,"TemplateModel":`...)
	if len(t.Data) == 0 {
		b = append(b, `{}`...)
	} else {
		var err error
		if b, err = jsonenc.AppendValue(b, t.Data); err != nil {
			return nil, adapter.Invalid("Template.Data", err)
		}
	}
	if x.InlineCSS != mailer.Default {
		b = append(b, `,"InlineCss":`...)
		b = strconv.AppendBool(b, x.InlineCSS == mailer.On)
	}
	return b, nil
}

// appendHeaders appends the header fields, the message's ID as Message-ID first.
func appendHeaders(b []byte, m *mailer.Message) []byte {
	domain := m.From.Address[strings.LastIndexByte(m.From.Address, '@'):]
	b = append(b, `,"Headers":[{"Name":"Message-ID","Value":"<`...)
	b = append(b, m.ID...)
	b = append(b, domain...)
	b = append(b, `>"}`...)
	header := func(name, value string) {
		b = append(b, `,{"Name":`...)
		b = jsonenc.AppendString(b, name)
		b = appendText(b, "Value", value)
		b = append(b, '}')
	}
	if list, post := adapter.Unsubscribe(m.Unsubscribe); list != "" {
		header("List-Unsubscribe", list)
		if post != "" {
			header("List-Unsubscribe-Post", post)
		}
	}
	for _, name := range adapter.Keys(m.Headers) {
		header(name, m.Headers[name])
	}
	return append(b, ']')
}

// appendReporting appends what serves reporting only, and names what Postmark
// has no room for.
func appendReporting(b []byte, m *mailer.Message) (_ []byte, dropped []string) {
	for i, tag := range m.Tags {
		if i == 0 {
			b = appendText(b, "Tag", tag)
		} else {
			dropped = append(dropped, adapter.Index("Tags", i))
		}
	}

	b = append(b, `,"Metadata":{"mailer_id":`...)
	b = jsonenc.AppendString(b, m.ID)
	kept := []string{"mailer_id"}
	for _, key := range adapter.Keys(m.Metadata) {
		value := m.Metadata[key]
		same := func(k string) bool { return strings.EqualFold(k, key) }
		if len(kept) == maxMetadata || over(key, maxMetadataKey) || over(value, maxMetadataValue) ||
			slices.ContainsFunc(kept, same) {
			dropped = append(dropped, adapter.Key("Metadata", key))
			continue
		}
		kept = append(kept, key)
		b = append(b, ',')
		b = jsonenc.AppendString(b, key)
		b = append(b, ':')
		b = jsonenc.AppendString(b, value)
	}
	b = append(b, '}')

	if m.Track.Opens != mailer.Default {
		b = append(b, `,"TrackOpens":`...)
		b = strconv.AppendBool(b, m.Track.Opens == mailer.On)
	}
	switch m.Track.Clicks {
	case mailer.On:
		b = append(b, `,"TrackLinks":"HtmlAndText"`...)
	case mailer.Off:
		b = append(b, `,"TrackLinks":"None"`...)
	}
	return b, dropped
}

// appendAttachments appends the files, their contents as placeholders which
// files replaces with base64. It returns what that adds to the size.
func appendAttachments(b []byte, as []mailer.Attachment, files *httpapi.Files) (_ []byte, size int) {
	for i, a := range as {
		if i == 0 {
			b = append(b, `,"Attachments":[{"Name":`...)
		} else {
			b = append(b, `},{"Name":`...)
		}
		b = jsonenc.AppendString(b, a.Name)
		b = appendText(b, "ContentType", cmp.Or(a.ContentType, "application/octet-stream"))
		if a.ContentID != "" {
			b = appendText(b, "ContentID", "cid:"+a.ContentID)
		}
		b = appendText(b, "Content", files.Add(a.Content))
		size += base64.StdEncoding.EncodedLen(len(a.Content))
	}
	if len(as) > 0 {
		b = append(b, `}]`...)
	}
	return b, size
}
