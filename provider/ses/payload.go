package ses

import (
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"

	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/internal/httpapi"
)

// payload writes the input of a call of the SDK as the SDK does, in a fraction of
// the time, with the files as base64 that is made while it is sent: RawContent and
// Data hold the strings which [httpapi.Files] gave for them.
type payload struct{ o adapter.Object }

// sendEmail returns the body of a SendEmail call.
func sendEmail(in *sesv2.SendEmailInput, files *httpapi.Files) httpapi.Body {
	p := payload{adapter.NewObject(1024 + size(in.Content))}
	p.sender(in.FromEmailAddress, in.FromEmailAddressIdentityArn, in.ReplyToAddresses)
	p.feedback(in.FeedbackForwardingEmailAddress, in.FeedbackForwardingEmailAddressIdentityArn)
	p.destination(in.Destination)
	p.settings(in.ConfigurationSetName, in.TenantName, in.ConfigurationOverrides)
	if l := in.ListManagementOptions; l != nil {
		p.o.Object("ListManagementOptions", func() {
			p.text("ContactListName", l.ContactListName)
			p.text("TopicName", l.TopicName)
		})
	}
	p.tags("EmailTags", in.EmailTags)
	p.o.Object("Content", func() {
		switch c := in.Content; {
		case c.Template != nil:
			p.template(c.Template)
		case c.Raw != nil:
			p.o.Object("Raw", func() { p.o.String("Data", string(c.Raw.Data)) })
		default:
			p.o.Object("Simple", func() { p.simple(c.Simple) })
		}
	})
	b, _ := p.o.Close() // only Value fails
	return files.Body(b)
}

// sendBulkEmail returns the body of a SendBulkEmail call.
func sendBulkEmail(in *sesv2.SendBulkEmailInput) httpapi.Body {
	n := 1024
	for _, e := range in.BulkEmailEntries {
		n += 512 + len(*e.ReplacementEmailContent.ReplacementTemplate.ReplacementTemplateData)*9/8
	}
	p := payload{adapter.NewObject(n)}
	p.sender(in.FromEmailAddress, in.FromEmailAddressIdentityArn, in.ReplyToAddresses)
	p.feedback(in.FeedbackForwardingEmailAddress, in.FeedbackForwardingEmailAddressIdentityArn)
	p.settings(in.ConfigurationSetName, in.TenantName, in.ConfigurationOverrides)
	p.o.Object("DefaultContent", func() { p.template(in.DefaultContent.Template) })
	p.o.List("BulkEmailEntries", len(in.BulkEmailEntries), func(i int) {
		e := &in.BulkEmailEntries[i]
		p.destination(e.Destination)
		p.o.Object("ReplacementEmailContent", func() {
			p.o.Object("ReplacementTemplate", func() {
				p.text("ReplacementTemplateData", e.ReplacementEmailContent.ReplacementTemplate.ReplacementTemplateData)
			})
		})
		p.headers("ReplacementHeaders", e.ReplacementHeaders)
		p.tags("ReplacementTags", e.ReplacementTags)
	})
	b, _ := p.o.Close()
	return httpapi.Bytes(b)
}

// size is about the size of the texts of a content.
func size(c *types.EmailContent) int {
	n := 0
	if c.Simple != nil {
		for _, part := range [...]*types.Content{c.Simple.Subject, c.Simple.Body.Text, c.Simple.Body.Html} {
			if part != nil {
				n += len(*part.Data)
			}
		}
	}
	if c.Template != nil {
		n = len(*c.Template.TemplateData)
	}
	return n * 9 / 8
}

// text writes a string, also an empty one, unless it is nil.
func (p *payload) text(key string, s *string) {
	if s != nil {
		p.o.String(key, *s)
	}
}

func (p *payload) texts(key string, list []string) {
	p.o.Strings(key, len(list), func(i int) string { return list[i] })
}

func (p *payload) sender(from, identity *string, replyTo []string) {
	p.text("FromEmailAddress", from)
	p.text("FromEmailAddressIdentityArn", identity)
	p.texts("ReplyToAddresses", replyTo)
}

func (p *payload) feedback(to, identity *string) {
	p.text("FeedbackForwardingEmailAddress", to)
	p.text("FeedbackForwardingEmailAddressIdentityArn", identity)
}

func (p *payload) settings(set, tenant *string, overrides *types.ConfigurationOverrides) {
	p.text("ConfigurationSetName", set)
	p.text("TenantName", tenant)
	if overrides == nil {
		return
	}
	p.o.Object("ConfigurationOverrides", func() {
		p.o.Object("Tracking", func() {
			p.o.Text("OpenTrackingEnabled", string(overrides.Tracking.OpenTrackingEnabled))
			p.o.Text("ClickTrackingEnabled", string(overrides.Tracking.ClickTrackingEnabled))
		})
	})
}

func (p *payload) destination(d *types.Destination) {
	p.o.Object("Destination", func() {
		p.texts("ToAddresses", d.ToAddresses)
		p.texts("CcAddresses", d.CcAddresses)
		p.texts("BccAddresses", d.BccAddresses)
	})
}

func (p *payload) simple(m *types.Message) {
	p.content("Subject", m.Subject)
	p.o.Object("Body", func() {
		p.content("Text", m.Body.Text)
		p.content("Html", m.Body.Html)
	})
	p.headers("Headers", m.Headers)
	p.attachments(m.Attachments)
}

func (p *payload) content(key string, c *types.Content) {
	if c == nil {
		return
	}
	p.o.Object(key, func() {
		p.text("Charset", c.Charset)
		p.text("Data", c.Data)
	})
}

func (p *payload) template(t *types.Template) {
	p.o.Object("Template", func() {
		p.text("TemplateName", t.TemplateName)
		p.text("TemplateArn", t.TemplateArn)
		p.text("TemplateData", t.TemplateData)
		p.headers("Headers", t.Headers)
		p.attachments(t.Attachments)
	})
}

func (p *payload) headers(key string, list []types.MessageHeader) {
	p.o.List(key, len(list), func(i int) {
		p.text("Name", list[i].Name)
		p.text("Value", list[i].Value)
	})
}

func (p *payload) tags(key string, list []types.MessageTag) {
	p.o.List(key, len(list), func(i int) {
		p.text("Name", list[i].Name)
		p.text("Value", list[i].Value)
	})
}

func (p *payload) attachments(list []types.Attachment) {
	p.o.List("Attachments", len(list), func(i int) {
		a := &list[i]
		p.text("FileName", a.FileName)
		p.text("ContentType", a.ContentType)
		p.text("ContentId", a.ContentId)
		p.o.Text("ContentDisposition", string(a.ContentDisposition))
		p.o.Text("ContentTransferEncoding", string(a.ContentTransferEncoding))
		p.o.String("RawContent", string(a.RawContent))
	})
}
