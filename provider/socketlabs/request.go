package socketlabs

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/internal/httpapi"
	"github.com/seed355143d4/mailer/internal/jsonenc"
)

// SocketLabs' limits. Over one of them a message is [mailer.KindTooLarge], and
// nothing was sent.
//
// MaxRecipients is what the official libraries for C# and Node.js check
// (SendValidator.cs, sendValidator.js). MaxSize is that of SMTP; the Injection API
// has a limit which no present page names, and an old one gives as 30 MB.
// Source: https://github.com/socketlabs and
// https://help.socketlabs.com/docs/inbound-smtp-restrictions (read 2026-11).
const (
	MaxRecipients = 50       // in To, Cc and Bcc together
	MaxSize       = 40 << 20 // bytes of the request, files in base64
)

// maxReporting is the room for tags and metadata together, in bytes of JSON. What is
// over it stays behind, and is named in the receipt. SocketLabs says 12.5 KB.
// Source: socketlabs-go, sendresult.go (read 2026-11).
const maxReporting = 12_500

// reserved are the header fields by which SocketLabs' SMTP relay takes the ids of a
// message, in lower case. Here they have fields of their own.
// Source: https://github.com/socketlabs/on-demand-examples (read 2026-11).
var reserved = []string{"x-xsmessageid", "x-xsmailingid"}

// Extra holds the settings that only SocketLabs has. The zero value leaves them to
// SocketLabs.
type Extra struct {
	// MailingID names the mailing that the message belongs to, in SocketLabs' reports
	// and events. Empty: none.
	MailingID string
	// AMP is a third form of the body, beside Text and HTML. It does not go with a
	// Template.
	AMP string
}

// ForProvider returns "socketlabs".
func (Extra) ForProvider() string { return provider }

// request is what Send says to SocketLabs.
type request struct {
	message  mailer.Message // as it goes out
	extra    Extra
	template string   // its id
	data     []field  // the template's
	tags     []string // those that there is room for
	metadata []string // the keys of those that there is room for
	dropped  []string
	body     httpapi.Body
}

// field is a value for a place in a template.
type field struct{ Field, Value string }

// The fields that the recipient of a copy stands in.
// Source: socketlabs-go, injectionrequestfactory.go (read 2026-11).
const (
	addressField = "DeliveryAddress"
	nameField    = "RecipientName"
)

// request turns m into SocketLabs' words, or says why that cannot be done.
func (p *Provider) request(m mailer.Message) (request, error) {
	m, err := adapter.Prepare(provider, m, false)
	if err != nil {
		return request{}, err
	}
	r := request{message: m, extra: mailer.ExtraFor[Extra](m)}
	if err := check(&m, r.extra); err != nil {
		return request{}, err
	}
	if m.Template.ID != "" {
		r.template = cmp.Or(p.templates[m.Template.ID], m.Template.ID)
		if !isTemplateID(r.template) {
			return request{}, adapter.Unsupported(provider, "Template.ID", "the id of a template at SocketLabs is a number")
		}
		if r.data, err = merge(&m); err != nil {
			return request{}, err
		}
	}
	r.reporting()
	r.body = p.encode(&r)
	if err := adapter.Size(provider, &m, int(r.body.Size()), MaxSize); err != nil {
		return request{}, err
	}
	return r, nil
}

// check refuses what SocketLabs has no words for, and what is over its limits.
func check(m *mailer.Message, x Extra) error {
	if err := cmp.Or(
		adapter.Setting("socketlabs.Extra.MailingID", x.MailingID),
		adapter.Body("socketlabs.Extra.AMP", x.AMP),
		adapter.Headers(provider, m, reserved),
	); err != nil {
		return err
	}
	switch {
	case x.AMP != "" && m.Template.ID != "":
		return adapter.Unsupported(provider, "socketlabs.Extra.AMP", "a template at SocketLabs brings its own bodies")
	case m.Subject == "" && m.Template.ID == "":
		return adapter.Unsupported(provider, "Subject", "SocketLabs needs a subject")
	case len(m.ReplyTo) > 1:
		return adapter.Unsupported(provider, "ReplyTo[1]", "SocketLabs takes one address for answers")
	case !m.SendAt.IsZero():
		return adapter.Unsupported(provider, "SendAt", "SocketLabs sends at once")
	}
	return adapter.Recipients(provider, m, MaxRecipients)
}

// isTemplateID says whether id is a number, as those of SocketLabs' templates are.
func isTemplateID(id string) bool {
	n, err := strconv.ParseUint(id, 10, 63)
	return err == nil && n > 0
}

// merge returns the fields that fill the template of m. With them SocketLabs makes
// a copy for each recipient in To, and puts the values between pairs of "%%".
func merge(m *mailer.Message) (fields []field, err error) {
	if len(m.Template.Data) == 0 {
		return nil, nil
	}
	switch {
	case len(m.Cc) > 0:
		return nil, adapter.Unsupported(provider, "Cc", "SocketLabs fills a template for recipients in To only")
	case len(m.Bcc) > 0:
		return nil, adapter.Unsupported(provider, "Bcc", "SocketLabs fills a template for recipients in To only")
	}
	names := map[string]bool{strings.ToLower(addressField): true, strings.ToLower(nameField): true}
	data, err := adapter.Flat(provider, m.Template.Data, "%")
	if err != nil {
		return nil, err
	}
	for _, f := range data {
		name := strings.ToLower(f.Name) // whether the case matters is not documented
		if names[name] {
			return nil, adapter.Unsupported(provider, adapter.Key("Template.Data", f.Name), "not the name of a field of its own at SocketLabs")
		}
		names[name] = true
		fields = append(fields, field{f.Name, f.Value})
	}
	return fields, literal(m, fields)
}

// literal refuses text in which merging could find a field that nobody meant.
func literal(m *mailer.Message, fields []field) (err error) {
	look := func(where, text string) {
		if _, rest, found := strings.Cut(text, "%%"); err == nil && found && strings.Contains(rest, "%%") {
			err = adapter.Unsupported(provider, where, `SocketLabs fills in what stands between two "%%"`)
		}
	}
	look("From", m.From.Name)
	look("From", m.From.Address)
	for i, a := range m.To {
		look(adapter.Index("To", i), a.Name)
		look(adapter.Index("To", i), a.Address)
	}
	for i, a := range m.ReplyTo {
		look(adapter.Index("ReplyTo", i), a.Name)
		look(adapter.Index("ReplyTo", i), a.Address)
	}
	look("Subject", m.Subject)
	look("Unsubscribe.URL", m.Unsubscribe.URL)
	for _, name := range adapter.Keys(m.Headers) {
		look(adapter.Key("Headers", name), name)
		look(adapter.Key("Headers", name), m.Headers[name])
	}
	for i, a := range m.Attachments {
		look(adapter.Index("Attachments", i)+".Name", a.Name)
	}
	for _, f := range fields {
		look(adapter.Key("Template.Data", f.Field), f.Value)
	}
	return err
}

// reporting sorts out what serves reporting only: what goes, and what SocketLabs has
// no room or no words for.
func (r *request) reporting() {
	room := maxReporting
	fits := func(frame string, texts ...string) bool {
		size := len(frame)
		for _, s := range texts {
			size += len(jsonenc.AppendString(nil, s))
		}
		if size > room {
			return false
		}
		room -= size
		return true
	}
	m := &r.message
	for i, tag := range m.Tags {
		if fits(",", tag) {
			r.tags = append(r.tags, tag)
		} else {
			r.dropped = append(r.dropped, adapter.Index("Tags", i))
		}
	}
	for _, key := range adapter.Keys(m.Metadata) {
		if fits(`{"Key":,"Value":},`, key, m.Metadata[key]) {
			r.metadata = append(r.metadata, key)
		} else {
			r.dropped = append(r.dropped, adapter.Key("Metadata", key))
		}
	}
	if m.Track.Opens != mailer.Default {
		r.dropped = append(r.dropped, "Track.Opens")
	}
	if m.Track.Clicks != mailer.Default {
		r.dropped = append(r.dropped, "Track.Clicks")
	}
}

// encode writes the requests as one call.
func (p *Provider) encode(rs ...*request) httpapi.Body {
	size := 256
	for _, r := range rs {
		size += 1024 + (len(r.message.Text)+len(r.message.HTML)+len(r.extra.AMP))*9/8
	}
	o := adapter.NewObject(size)
	var files httpapi.Files
	o.Int("ServerId", p.serverID)
	o.Text("ApiKey", p.bodyKey)
	if len(rs) == 0 {
		o.Value("Messages", []struct{}{})
	}
	o.List("Messages", len(rs), func(i int) { rs[i].write(&o, &files) })
	b, _ := o.Close() // nothing in it can fail
	return files.Body(b)
}

// write writes the message.
func (r *request) write(o *adapter.Object, files *httpapi.Files) {
	m := &r.message
	o.Object("From", func() { address(o, m.From) })
	if len(m.ReplyTo) > 0 {
		o.Object("ReplyTo", func() { address(o, m.ReplyTo[0]) })
	}
	if len(r.data) == 0 {
		addresses(o, "To", m.To)
		addresses(o, "Cc", m.Cc)
		addresses(o, "Bcc", m.Bcc)
	} else {
		o.List("To", 1, func(int) {
			o.String("EmailAddress", "%%"+addressField+"%%")
			o.String("FriendlyName", "%%"+nameField+"%%")
		})
		o.Object("MergeData", func() {
			copies := make([][]field, len(m.To))
			for i, a := range m.To {
				copies[i] = []field{{addressField, a.Address}, {nameField, a.Name}}
			}
			o.Value("PerMessage", copies)
			o.Value("Global", r.data)
		})
	}
	o.Text("Subject", m.Subject)
	o.Text("TextBody", m.Text)
	o.Text("HtmlBody", m.HTML)
	o.Text("AmpBody", r.extra.AMP)
	o.Text("ApiTemplate", r.template)
	o.String("MessageId", m.ID)
	o.Text("MailingId", r.extra.MailingID)
	var array [8]adapter.Field
	fields := adapter.Fields(array[:0], m)
	o.List("CustomHeaders", len(fields), func(i int) {
		o.String("Name", fields[i].Name)
		o.String("Value", fields[i].Value)
	})
	o.List("Metadata", len(r.metadata), func(i int) {
		o.String("Key", r.metadata[i])
		o.String("Value", m.Metadata[r.metadata[i]])
	})
	if len(r.tags) > 0 {
		o.Value("Tags", r.tags)
	}
	o.List("Attachments", len(m.Attachments), func(i int) {
		a := &m.Attachments[i]
		o.String("Name", a.Name)
		o.String("ContentType", cmp.Or(a.ContentType, "application/octet-stream"))
		o.Text("ContentId", a.ContentID)
		o.String("Content", files.Add(a.Content))
	})
}

// addresses writes a list of addresses.
func addresses(o *adapter.Object, key string, as []mailer.Address) {
	o.List(key, len(as), func(i int) { address(o, as[i]) })
}

func address(o *adapter.Object, a mailer.Address) {
	o.String("EmailAddress", a.Address)
	o.Text("FriendlyName", a.Name)
}
