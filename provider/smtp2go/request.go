package smtp2go

import (
	"cmp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/internal/envelope"
	"github.com/seed355143d4/mailer/internal/httpapi"
)

// SMTP2GO's limits. Over one of the first two a message is [mailer.KindTooLarge],
// over the last one it is [mailer.KindUnsupported], and nothing was sent.
// Source: SMTP2GO's OpenAPI description and https://developers.smtp2go.com
// (read 2026-11).
const (
	MaxRecipients = 100                // in each of To, Cc and Bcc
	MaxSize       = 50 << 20           // bytes of the request, files in base64
	MaxDelay      = 3 * 24 * time.Hour // from now to SendAt
)

// idHeader is the header field that holds the message's ID.
const idHeader = "X-Mailer-Id"

// reserved are the header fields that are ours or SMTP2GO's to set, in lower case:
// those that [mailer.Message.Validate] lets pass.
var reserved = []string{"x-mailer-id", "x-smtp2go-schedule-id"}

// Extra holds the settings that only SMTP2GO has. The zero value leaves them off.
type Extra struct {
	// FastAccept lets SMTP2GO answer before it has looked at the message, which it
	// then sends in the background. What it would have refused shows in an event
	// only. Off: the answer waits for the hand-over.
	FastAccept bool
}

// ForProvider returns "smtp2go".
func (Extra) ForProvider() string { return provider }

// request is what Send says to SMTP2GO.
type request struct {
	message mailer.Message // as it goes out
	dropped []string
	body    httpapi.Body
}

// request turns m into SMTP2GO's words, or says why that cannot be done.
func (p *Provider) request(m mailer.Message) (request, error) {
	m, err := adapter.Prepare(provider, m, false)
	if err != nil {
		return request{}, err
	}
	now := time.Now()
	if err := check(&m, now); err != nil {
		return request{}, err
	}
	o := adapter.NewObject(1024 + (len(m.Text)+len(m.HTML))*9/8)
	o.String("sender", envelope.Format(m.From))
	addresses(&o, "to", m.To)
	addresses(&o, "cc", m.Cc)
	addresses(&o, "bcc", m.Bcc)
	o.Text("subject", m.Subject)
	o.Text("text_body", m.Text)
	o.Text("html_body", m.HTML)
	if m.Template.ID != "" {
		id := cmp.Or(p.templates[m.Template.ID], m.Template.ID)
		if !isTemplateID(id) {
			return request{}, adapter.Unsupported(provider, "Template.ID", "the id of a template at SMTP2GO has 5 to 24 characters")
		}
		o.String("template_id", id)
		if len(m.Template.Data) > 0 {
			o.Value("template_data", m.Template.Data)
		}
	}
	headers(&o, &m)
	var files httpapi.Files
	attachments(&o, &m, &files)
	if m.SendAt.After(now) {
		o.String("schedule", wholeSecond(m.SendAt).Format("2006-01-02 15:04:05 -0700"))
	}
	// Said in any case: SMTP2GO means to make true the default.
	o.Bool("fastaccept", mailer.ExtraFor[Extra](m).FastAccept)
	b, err := o.Close()
	if err != nil {
		return request{}, adapter.Invalid("Template.Data", err)
	}
	r := request{message: m, dropped: dropped(&m), body: files.Body(b)}
	if err := adapter.Size(provider, &m, int(r.body.Size()), MaxSize); err != nil {
		return request{}, err
	}
	return r, nil
}

// check refuses what SMTP2GO has no words for, and what is over its limits.
func check(m *mailer.Message, now time.Time) error {
	if err := adapter.Headers(provider, m, reserved); err != nil {
		return err
	}
	switch {
	case len(m.To) == 0:
		return adapter.Unsupported(provider, "To", "SMTP2GO needs a recipient in To")
	case m.Template.ID == "" && m.Subject == "":
		return adapter.Unsupported(provider, "Subject", "SMTP2GO needs a subject")
	case m.Template.ID != "" && m.Subject != "":
		return adapter.Unsupported(provider, "Subject", "a template at SMTP2GO brings its own subject")
	case m.SendAt.Sub(now) > MaxDelay:
		return adapter.Unsupported(provider, "SendAt", "SMTP2GO takes messages up to 3 days ahead")
	}
	for _, l := range [...]struct {
		field string
		list  []mailer.Address
	}{{"To", m.To}, {"Cc", m.Cc}, {"Bcc", m.Bcc}} {
		if len(l.list) > MaxRecipients {
			return adapter.TooLarge(provider, adapter.Index(l.field, MaxRecipients), MaxRecipients, "recipients in "+l.field)
		}
	}
	return inlines(m)
}

// inlines refuses inline files that SMTP2GO could not show: it knows them by their
// names only, and puts them where HTML says "cid:" and the name.
func inlines(m *mailer.Message) error {
	for i, a := range m.Attachments {
		if a.ContentID == "" {
			continue
		}
		field := adapter.Index("Attachments", i)
		if a.ContentID != a.Name {
			return adapter.Unsupported(provider, field+".ContentID", "at SMTP2GO the Name of an inline file is its ContentID")
		}
		if slices.ContainsFunc(m.Attachments[:i], func(b mailer.Attachment) bool { return b.ContentID != "" && strings.EqualFold(b.Name, a.Name) }) {
			return adapter.Unsupported(provider, field+".Name", "at SMTP2GO the names of inline files differ")
		}
	}
	return nil
}

// wholeSecond is t in UTC, a fraction of a second rounded up: never before t.
func wholeSecond(t time.Time) time.Time {
	return t.UTC().Add(time.Second - 1).Truncate(time.Second)
}

// isTemplateID says whether id is as long as those of SMTP2GO's templates.
func isTemplateID(id string) bool {
	n := utf8.RuneCountInString(id)
	return n >= 5 && n <= 24
}

// addresses writes a list of addresses.
func addresses(o *adapter.Object, key string, as []mailer.Address) {
	o.Strings(key, len(as), func(i int) string { return envelope.Format(as[i]) })
}

// headers writes the header fields: the message's ID, Reply-To, and those of m.
func headers(o *adapter.Object, m *mailer.Message) {
	var array [8]adapter.Field
	fields := append(array[:0], adapter.Field{Name: idHeader, Value: m.ID})
	if len(m.ReplyTo) > 0 {
		list := make([]string, len(m.ReplyTo))
		for i, a := range m.ReplyTo {
			list[i] = envelope.Format(a)
		}
		fields = append(fields, adapter.Field{Name: "Reply-To", Value: strings.Join(list, ", ")})
	}
	fields = adapter.Fields(fields, m)
	o.List("custom_headers", len(fields), func(i int) {
		o.String("header", fields[i].Name)
		o.String("value", fields[i].Value)
	})
}

// attachments writes the files, those that HTML shows in a list of their own.
func attachments(o *adapter.Object, m *mailer.Message, files *httpapi.Files) {
	var attached, inline []*mailer.Attachment
	for i := range m.Attachments {
		if a := &m.Attachments[i]; a.ContentID == "" {
			attached = append(attached, a)
		} else {
			inline = append(inline, a)
		}
	}
	write := func(key string, list []*mailer.Attachment) {
		o.List(key, len(list), func(i int) {
			o.String("filename", list[i].Name)
			o.String("fileblob", files.Add(list[i].Content))
			o.String("mimetype", cmp.Or(list[i].ContentType, "application/octet-stream"))
		})
	}
	write("attachments", attached)
	write("inlines", inline)
}

// dropped names what serves reporting only, all of which SMTP2GO has no words for.
func dropped(m *mailer.Message) (names []string) {
	for i := range m.Tags {
		names = append(names, adapter.Index("Tags", i))
	}
	for _, key := range adapter.Keys(m.Metadata) {
		names = append(names, adapter.Key("Metadata", key))
	}
	if m.Track.Opens != mailer.Default {
		names = append(names, "Track.Opens")
	}
	if m.Track.Clicks != mailer.Default {
		names = append(names, "Track.Clicks")
	}
	return names
}
