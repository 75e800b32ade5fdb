package elasticemail

import (
	"cmp"
	"fmt"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/internal/envelope"
	"github.com/seed355143d4/mailer/internal/httpapi"
	"github.com/seed355143d4/mailer/internal/jsonenc"
)

// Elastic Email's limits. Over one of the first two a message is
// [mailer.KindTooLarge], over the last one it is [mailer.KindUnsupported], and nothing
// was sent.
// Source: Elastic Email's OpenAPI description and https://help.elasticemail.com,
// article 2446055 (read 2026-11). Whether the 20 MB are those before or after base64 is
// not documented; here they are those after it.
const (
	MaxRecipients = 50                  // in To, Cc and Bcc together
	MaxSize       = 20 << 20            // bytes of the request, files in base64
	MaxDelay      = 35 * 24 * time.Hour // from now to SendAt
)

// maxPostback is the room for the message's ID and metadata, in bytes. Elastic Email
// names no limit; it puts the text into a header field, and into a URL.
const maxPostback = 512

// idKey is the name of the message's ID in a postback that is JSON.
const idKey = "mailer_id"

// reserved is how the header fields begin by which Elastic Email's SMTP relay takes
// its settings, in lower case.
// Source: https://help.elasticemail.com, article 4803409 (read 2026-11).
const reserved = "x-elasticemail-"

// Extra holds the settings that only Elastic Email has. The zero value leaves them to
// the account.
type Extra struct {
	// PoolName names the pool of IP addresses to send from. Empty: the account's.
	PoolName string
	// EnvelopeFrom is the address that bounces go to. Empty: Elastic Email's.
	EnvelopeFrom string
	// AMP is a third form of the body, beside Text and HTML. It does not go with a
	// Template.
	AMP string
	// UTM is what Elastic Email adds to the links for web analytics.
	UTM UTM
}

// UTM are the parameters of a link by which web analytics knows where a visit comes
// from: utm_source, utm_medium, utm_campaign and utm_content. One that is empty is left
// to the account.
type UTM struct{ Source, Medium, Campaign, Content string }

// ForProvider returns "elasticemail".
func (Extra) ForProvider() string { return provider }

// request is what Send says to Elastic Email.
type request struct {
	message mailer.Message // as it goes out
	dropped []string
	body    httpapi.Body
}

// request turns m into Elastic Email's words, or says why that cannot be done.
func (p *Provider) request(m mailer.Message) (request, error) {
	m, err := adapter.Prepare(provider, m, false)
	if err != nil {
		return request{}, err
	}
	x, now := mailer.ExtraFor[Extra](m), time.Now()
	if err := check(&m, x, now); err != nil {
		return request{}, err
	}
	if x.EnvelopeFrom != "" {
		a, err := adapter.Address(provider, "elasticemail.Extra.EnvelopeFrom", mailer.Address{Address: x.EnvelopeFrom}, false)
		if err != nil {
			return request{}, err
		}
		x.EnvelopeFrom = a.Address
	}
	data, err := adapter.Flat(provider, m.Template.Data, "{}") // a field stands between braces
	if err != nil {
		return request{}, err
	}
	postback, dropped := postback(&m)
	var files httpapi.Files
	var array [8]adapter.Field
	o := adapter.NewObject(1024 + (len(m.Text)+len(m.HTML)+len(x.AMP))*9/8)
	o.Object("Recipients", func() {
		addresses(&o, "To", m.To)
		addresses(&o, "CC", m.Cc)
		addresses(&o, "BCC", m.Bcc)
	})
	o.Object("Content", func() {
		o.String("From", envelope.Format(m.From))
		if len(m.ReplyTo) > 0 {
			o.String("ReplyTo", envelope.Format(m.ReplyTo[0]))
		}
		o.Text("EnvelopeFrom", x.EnvelopeFrom)
		o.Text("Subject", m.Subject)
		bodies(&o, &m, x)
		members(&o, "Headers", adapter.Fields(array[:0], &m))
		o.String("Postback", postback)
		if m.Template.ID != "" {
			o.String("TemplateName", cmp.Or(p.templates[m.Template.ID], m.Template.ID))
		}
		members(&o, "Merge", data)
		if x.UTM != (UTM{}) {
			o.Object("Utm", func() {
				o.Text("Source", x.UTM.Source)
				o.Text("Medium", x.UTM.Medium)
				o.Text("Campaign", x.UTM.Campaign)
				o.Text("Content", x.UTM.Content)
			})
		}
		o.List("Attachments", len(m.Attachments), func(i int) {
			a := &m.Attachments[i]
			o.String("BinaryContent", files.Add(a.Content))
			o.String("Name", a.Name)
			o.String("ContentType", cmp.Or(a.ContentType, "application/octet-stream"))
		})
	})
	o.Object("Options", func() {
		if d := m.SendAt.Sub(now); d > 0 {
			o.Int("TimeOffset", int64((d+time.Minute-1)/time.Minute)) // never before SendAt
		}
		o.Text("PoolName", x.PoolName)
		if len(m.Tags) > 0 {
			o.String("ChannelName", m.Tags[0])
		}
		flag(&o, "TrackOpens", m.Track.Opens)
		flag(&o, "TrackClicks", m.Track.Clicks)
	})
	b, _ := o.Close() // nothing in it can fail
	body := files.Body(b)
	if err := adapter.Size(provider, &m, int(body.Size()), MaxSize); err != nil {
		return request{}, err
	}
	for i := 1; i < len(m.Tags); i++ {
		dropped = append(dropped, adapter.Index("Tags", i))
	}
	return request{message: m, dropped: dropped, body: body}, nil
}

// check refuses what Elastic Email has no words for, and what is over its limits.
func check(m *mailer.Message, x Extra, now time.Time) error {
	if err := cmp.Or(
		adapter.Setting("elasticemail.Extra.PoolName", x.PoolName),
		adapter.Setting("elasticemail.Extra.UTM.Source", x.UTM.Source),
		adapter.Setting("elasticemail.Extra.UTM.Medium", x.UTM.Medium),
		adapter.Setting("elasticemail.Extra.UTM.Campaign", x.UTM.Campaign),
		adapter.Setting("elasticemail.Extra.UTM.Content", x.UTM.Content),
		adapter.Body("elasticemail.Extra.AMP", x.AMP),
	); err != nil {
		return err
	}
	for _, name := range adapter.Keys(m.Headers) {
		if strings.HasPrefix(strings.ToLower(name), reserved) {
			return adapter.Unsupported(provider, adapter.Key("Headers", name), "the service sets this header field itself")
		}
	}
	switch {
	case x.AMP != "" && m.Template.ID != "":
		return adapter.Unsupported(provider, "elasticemail.Extra.AMP", "a template at Elastic Email brings its own bodies")
	case len(m.To) == 0:
		return adapter.Unsupported(provider, "To", "Elastic Email needs a recipient in To")
	case len(m.ReplyTo) > 1:
		return adapter.Unsupported(provider, "ReplyTo[1]", "Elastic Email takes one address for answers")
	case m.SendAt.Sub(now) > MaxDelay:
		return adapter.Unsupported(provider, "SendAt", "Elastic Email takes messages up to 35 days ahead")
	}
	for i := range m.Attachments {
		if m.Attachments[i].ContentID != "" {
			return adapter.Unsupported(provider, adapter.Index("Attachments", i)+".ContentID", "Elastic Email has no inline files")
		}
	}
	return adapter.Recipients(provider, m, MaxRecipients)
}

// addresses writes a list of addresses.
func addresses(o *adapter.Object, key string, as []mailer.Address) {
	o.Strings(key, len(as), func(i int) string { return envelope.Format(as[i]) })
}

// bodies writes the forms of the body that there are.
func bodies(o *adapter.Object, m *mailer.Message, x Extra) {
	var array [3]adapter.Field
	forms := array[:0]
	for _, f := range [...]adapter.Field{{Name: "HTML", Value: m.HTML}, {Name: "PlainText", Value: m.Text}, {Name: "AMP", Value: x.AMP}} {
		if f.Value != "" {
			forms = append(forms, f)
		}
	}
	o.List("Body", len(forms), func(i int) {
		o.String("ContentType", forms[i].Name)
		o.String("Content", forms[i].Value)
		o.String("Charset", "utf-8")
	})
}

// members writes an object of texts, unless it has none.
func members(o *adapter.Object, key string, fields []adapter.Field) {
	if len(fields) == 0 {
		return
	}
	o.Object(key, func() {
		for _, f := range fields {
			o.String(f.Name, f.Value)
		}
	})
}

func flag(o *adapter.Object, key string, s mailer.Switch) {
	if s != mailer.Default {
		o.Bool(key, s == mailer.On)
	}
}

// postback returns the text that comes back in events, and names what it has no room
// for. It is the message's ID or, with metadata, a line of JSON in ASCII.
func postback(m *mailer.Message) (text string, dropped []string) {
	if len(m.Metadata) == 0 {
		return m.ID, nil
	}
	b := entry(nil, idKey, m.ID)
	b[0] = '{'
	bare := len(b)
	for _, key := range adapter.Keys(m.Metadata) {
		if longer := entry(b, key, m.Metadata[key]); len(longer) < maxPostback {
			b = longer
		} else {
			dropped = append(dropped, adapter.Key("Metadata", key))
		}
	}
	if len(b) == bare {
		return m.ID, dropped
	}
	return string(append(b, '}')), dropped
}

// entry appends a comma and a member of a JSON object, in ASCII.
func entry(b []byte, key, value string) []byte {
	for i, s := range [...]string{key, value} {
		b = append(b, ",:"[i])
		for _, r := range string(jsonenc.AppendString(nil, s)) {
			switch {
			case r < utf8.RuneSelf:
				b = append(b, byte(r))
			case r > 0xffff:
				high, low := utf16.EncodeRune(r)
				b = fmt.Appendf(b, `\u%04x\u%04x`, high, low)
			default:
				b = fmt.Appendf(b, `\u%04x`, r)
			}
		}
	}
	return b
}
