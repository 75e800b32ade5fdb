package sendgrid

import (
	"slices"

	"github.com/sendgrid/sendgrid-go/helpers/mail"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/internal/httpapi"
)

// payload is sendgrid-go's message, with room beside it for what each message
// needs, so that an ordinary one is a single piece of memory.
type payload struct {
	mail.SGMailV3
	to       mail.Personalization
	tos      [1]*mail.Personalization
	contents [2]mail.Content
	content  [2]*mail.Content
	emails   [4]mail.Email
	email    [4]*mail.Email
	used     int // of emails
}

// newPayload returns the addresses, the subject and the bodies of m.
func newPayload(m *mailer.Message) *payload {
	p := new(payload)
	p.tos[0] = &p.to
	p.From = p.add(m.From)[0]
	p.to.To, p.to.CC, p.to.BCC = p.add(m.To...), p.add(m.Cc...), p.add(m.Bcc...)
	p.Personalizations, p.ReplyToList = p.tos[:], p.add(distinct(m.ReplyTo)...)
	p.Subject = m.Subject
	for _, c := range [...]mail.Content{{Type: "text/plain", Value: m.Text}, {Type: "text/html", Value: m.HTML}} {
		if n := len(p.Content); c.Value != "" {
			p.contents[n] = c
			p.content[n] = &p.contents[n]
			p.Content = p.content[:n+1]
		}
	}
	return p
}

// distinct returns as without the later ones of those that are the same, name and
// all: SendGrid refuses them in reply_to_list. It does not change as.
func distinct(as []mailer.Address) []mailer.Address {
	for i := 1; i < len(as); i++ {
		if slices.Contains(as[:i], as[i]) {
			as = slices.Concat(as[:i], as[i+1:])
			i--
		}
	}
	return as
}

// add returns the addresses in sendgrid-go's type.
func (p *payload) add(as ...mailer.Address) []*mail.Email {
	boxes, list := p.emails[p.used:], p.email[p.used:]
	if len(as) > len(boxes) {
		boxes, list = make([]mail.Email, len(as)), make([]*mail.Email, len(as))
	} else {
		p.used += len(as)
	}
	for i, a := range as {
		boxes[i] = mail.Email{Name: a.Name, Address: a.Address}
		list[i] = &boxes[i]
	}
	return list[:len(as):len(as)]
}

// encode makes one call of the requests, which share all but what a personalization
// has. Their files stand in it once. It fails only over what a template's data holds.
func encode(rs ...*request) (httpapi.Body, error) {
	v3 := rs[0].payload.SGMailV3
	if len(rs) > 1 {
		v3.Subject, v3.Headers, v3.CustomArgs, v3.SendAt = "", nil, nil, 0
		v3.Personalizations = make([]*mail.Personalization, len(rs))
		for i, r := range rs {
			own := r.payload.to // r may be encoded again, in a smaller call
			own.Subject, own.Headers = r.payload.Subject, r.payload.Headers
			own.CustomArgs, own.SendAt = r.payload.CustomArgs, r.payload.SendAt
			v3.Personalizations[i] = &own
		}
	}
	m := &rs[0].message
	var files httpapi.Files
	attach(&v3, m.Attachments, &files)
	b, err := write(&v3, 512+(len(m.Text)+len(m.HTML))*9/8+512*len(rs))
	if err != nil {
		return httpapi.Body{}, adapter.Invalid("Template.Data", err)
	}
	return files.Body(b), nil
}

// attach adds the files to a payload without any, their contents as placeholders
// which files replaces with base64. Their types were checked before.
func attach(v3 *mail.SGMailV3, as []mailer.Attachment, files *httpapi.Files) {
	for _, a := range as {
		typ, _ := adapter.MediaType(a.ContentType)
		disposition := "attachment"
		if a.ContentID != "" {
			disposition = "inline"
		}
		v3.Attachments = append(v3.Attachments, &mail.Attachment{
			Content: files.Add(a.Content), Type: typ, Filename: a.Name, Disposition: disposition, ContentID: a.ContentID,
		})
	}
}

// write returns the payload as encoding/json would write it, but quicker, in one
// allocation and without escapes for HTML. It fails only over what a template's
// data holds.
func write(v3 *mail.SGMailV3, size int) ([]byte, error) {
	o := adapter.NewObject(size)
	o.Object("from", func() { email(&o, v3.From) })
	o.List("personalizations", len(v3.Personalizations), func(i int) {
		p := v3.Personalizations[i]
		emails(&o, "to", p.To)
		emails(&o, "cc", p.CC)
		emails(&o, "bcc", p.BCC)
		o.Text("subject", p.Subject)
		o.Map("headers", p.Headers)
		o.Map("custom_args", p.CustomArgs)
		if p.SendAt != 0 {
			o.Int("send_at", int64(p.SendAt))
		}
		o.Map("substitutions", p.Substitutions)
		if len(p.DynamicTemplateData) > 0 {
			o.Value("dynamic_template_data", p.DynamicTemplateData)
		}
	})
	emails(&o, "reply_to_list", v3.ReplyToList)
	o.Text("subject", v3.Subject)
	o.List("content", len(v3.Content), func(i int) {
		o.Text("type", v3.Content[i].Type)
		o.Text("value", v3.Content[i].Value)
	})
	o.Text("template_id", v3.TemplateID)
	o.Map("headers", v3.Headers)
	o.Map("custom_args", v3.CustomArgs)
	o.Text("batch_id", v3.BatchID)
	o.Text("ip_pool_name", v3.IPPoolID)
	if len(v3.Categories) > 0 {
		o.Value("categories", v3.Categories)
	}
	if v3.SendAt != 0 {
		o.Int("send_at", int64(v3.SendAt))
	}
	if v3.Asm != nil {
		o.Value("asm", v3.Asm)
	}
	if v3.MailSettings != nil {
		o.Value("mail_settings", v3.MailSettings)
	}
	if v3.TrackingSettings != nil {
		o.Value("tracking_settings", v3.TrackingSettings)
	}
	if len(v3.Attachments) > 0 {
		o.Value("attachments", v3.Attachments)
	}
	return o.Close()
}

func email(o *adapter.Object, a *mail.Email) {
	o.Text("email", a.Address)
	o.Text("name", a.Name)
}

func emails(o *adapter.Object, key string, list []*mail.Email) {
	o.List(key, len(list), func(i int) { email(o, list[i]) })
}
