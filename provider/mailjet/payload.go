package mailjet

import (
	"slices"

	"github.com/mailjet/mailjet-apiv3-go/v4"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/internal/httpapi"
)

// message is mailjet-apiv3-go's message, with the field that it lacks.
type message struct {
	mailjet.InfoMessagesV31
	URLTags string `json:",omitempty"`
}

// payload is a call. mailjet-apiv3-go's MessagesV31 knows no Globals, the fields
// that all messages share, and spells SandboxMode in another way.
type payload struct {
	Globals              *message `json:",omitempty"`
	Messages             []*message
	SandboxMode          bool `json:",omitempty"`
	AdvanceErrorHandling bool
}

// encode makes one call of the requests. What they share of texts and files stands in
// it once. It fails only over what a template's data holds.
func encode(rs []*request) (httpapi.Body, error) {
	call := payload{
		Messages:    rs[0].list[:0],
		SandboxMode: rs[0].sandbox,
		// Without this Mailjet says yes to a message from a sender that it does not
		// know, and blocks it afterwards.
		AdvanceErrorHandling: true,
	}
	var files httpapi.Files
	shared := share(rs)
	room := 256
	if shared.any() {
		first := rs[0]
		call.Globals = new(message)
		if shared.text {
			call.Globals.TextPart = first.info.TextPart
		}
		if shared.html {
			call.Globals.HTMLPart = first.info.HTMLPart
		}
		if shared.files {
			attach(call.Globals, first.message.Attachments, &files)
		}
		room += call.Globals.room()
	}
	for _, r := range rs {
		info := &r.info
		if len(rs) > 1 {
			own := r.info // r may be encoded again, in a smaller call
			info = &own
		}
		if shared.text {
			info.TextPart = ""
		}
		if shared.html {
			info.HTMLPart = ""
		}
		if !shared.files {
			attach(info, r.message.Attachments, &files)
		}
		room += info.room()
		call.Messages = append(call.Messages, info)
	}
	b, err := call.encode(room)
	if err != nil {
		return httpapi.Body{}, adapter.Invalid("Template.Data", err)
	}
	return files.Body(b), nil
}

// sharing is what all messages of a call have in common.
type sharing struct{ text, html, files bool }

func (s sharing) any() bool { return s != sharing{} }

// share compares what weighs. Mailjet does not say which one wins if a field stands
// in Globals and in a message, so it is only ever in one place.
func share(rs []*request) sharing {
	if len(rs) == 1 {
		return sharing{}
	}
	first := rs[0]
	s := sharing{first.info.TextPart != "", first.info.HTMLPart != "", len(first.message.Attachments) > 0}
	for _, r := range rs[1:] {
		s.text = s.text && r.info.TextPart == first.info.TextPart
		s.html = s.html && r.info.HTMLPart == first.info.HTMLPart
		s.files = s.files && slices.EqualFunc(r.message.Attachments, first.message.Attachments, adapter.SameFile)
	}
	return s
}

// attach adds the files to a message without any, their contents as placeholders
// which files replaces with base64. Their types were checked before.
func attach(m *message, as []mailer.Attachment, files *httpapi.Files) {
	if len(as) == 0 {
		return
	}
	var plain mailjet.AttachmentsV31
	var inlined mailjet.InlinedAttachmentsV31
	for _, a := range as {
		typ, _ := adapter.MediaType(a.ContentType)
		file := mailjet.AttachmentV31{ContentType: typ, Filename: a.Name, Base64Content: files.Add(a.Content)}
		if a.ContentID == "" {
			plain = append(plain, file)
		} else {
			inlined = append(inlined, mailjet.InlinedAttachmentV31{AttachmentV31: file, ContentID: a.ContentID})
		}
	}
	if plain != nil {
		m.Attachments = &plain
	}
	if inlined != nil {
		m.InlinedAttachments = &inlined
	}
}

// encode returns the call as encoding/json would write it, at a third of the time
// and without its escapes for HTML.
func (p *payload) encode(size int) ([]byte, error) {
	o := adapter.NewObject(size)
	if p.Globals != nil {
		o.Object("Globals", func() { p.Globals.write(&o) })
	}
	o.List("Messages", len(p.Messages), func(i int) { p.Messages[i].write(&o) })
	if p.SandboxMode {
		o.Bool("SandboxMode", true)
	}
	o.Bool("AdvanceErrorHandling", p.AdvanceErrorHandling)
	return o.Close()
}

// room is about how many bytes the message takes.
func (m *message) room() int {
	return 512 + (len(m.TextPart)+len(m.HTMLPart))*9/8 + len(m.EventPayload)
}

func (m *message) write(o *adapter.Object) {
	recipient(o, "From", m.From)
	recipient(o, "Sender", m.Sender)
	recipients(o, "To", m.To)
	recipients(o, "Cc", m.Cc)
	recipients(o, "Bcc", m.Bcc)
	recipient(o, "ReplyTo", m.ReplyTo)
	o.Text("Subject", m.Subject)
	o.Text("TextPart", m.TextPart)
	o.Text("HTMLPart", m.HTMLPart)
	if m.TemplateID != 0 {
		o.Int("TemplateID", int64(m.TemplateID))
	}
	flag(o, "TemplateLanguage", m.TemplateLanguage)
	flag(o, "TemplateErrorDeliver", m.TemplateErrorDeliver)
	recipient(o, "TemplateErrorReporting", m.TemplateErrorReporting)
	if len(m.Variables) > 0 {
		o.Value("Variables", m.Variables)
	}
	if m.Attachments != nil {
		o.Value("Attachments", m.Attachments)
	}
	if m.InlinedAttachments != nil {
		o.Value("InlinedAttachments", m.InlinedAttachments)
	}
	if len(m.Headers) > 0 {
		o.Value("Headers", m.Headers)
	}
	o.Text("CustomID", m.CustomID)
	o.Text("EventPayload", m.EventPayload)
	o.Text("CustomCampaign", m.CustomCampaign)
	flag(o, "DeduplicateCampaign", m.DeduplicateCampaign)
	if m.Priority != 0 {
		o.Int("Priority", int64(m.Priority))
	}
	o.Text("MonitoringCategory", m.MonitoringCategory)
	o.Text("TrackOpens", m.TrackOpens)
	o.Text("TrackClicks", m.TrackClicks)
	o.Text("URLTags", m.URLTags)
}

func flag(o *adapter.Object, key string, value bool) {
	if value {
		o.Bool(key, true)
	}
}

func recipient(o *adapter.Object, key string, a *mailjet.RecipientV31) {
	if a != nil {
		o.Object(key, func() { mailbox(o, a) })
	}
}

func recipients(o *adapter.Object, key string, list *mailjet.RecipientsV31) {
	if list != nil {
		o.List(key, len(*list), func(i int) { mailbox(o, &(*list)[i]) })
	}
}

func mailbox(o *adapter.Object, a *mailjet.RecipientV31) {
	o.Text("Email", a.Email)
	o.Text("Name", a.Name)
}
