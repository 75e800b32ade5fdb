package ses

import (
	"cmp"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/internal/envelope"
	"github.com/seed355143d4/mailer/internal/httpapi"
	"github.com/seed355143d4/mailer/internal/jsonenc"
	"github.com/seed355143d4/mailer/internal/mime"
)

// SES's limits. Over one of them a message is [mailer.KindTooLarge], and nothing
// was sent. Of the whole message only the bodies and the files are counted here,
// so one which is just below MaxSize may still be refused by SES.
// Source: https://docs.aws.amazon.com/ses/latest/dg/quotas.html and the API
// reference of SendBulkEmail (read 2026-11).
const (
	MaxRecipients   = 50       // in To, Cc and Bcc together
	MaxSize         = 40 << 20 // bytes of the message, files in base64
	MaxTemplateData = 262_144  // characters of a template's data as JSON
)

// The limits of a message that SES puts together itself. Over them it goes as a
// whole MIME text.
// Source: the API reference of MessageHeader and Attachment (read 2026-11). Newer
// ones allow header values of 995 characters, older ones 870.
const (
	maxHeaders     = 15
	maxHeaderValue = 870
	maxContentID   = 78
	maxContentType = 78
)

// The limits of message tags. What is over them stays behind, and is named in the
// receipt.
// Source: the API reference of MessageTag (read 2026-11). The number of tags
// stands in no page read; 50 is what other clients keep to.
const (
	maxTags = 50  // the message's ID being one of them
	maxTag  = 256 // characters of a name, and of a value
)

// The names of message tags that are ours.
const (
	idTag  = "mailer_id"
	tagTag = "mailer_tag"
)

// reserved are the header fields that steer SES, in lower case.
// Source: https://docs.aws.amazon.com/ses/latest/dg/event-publishing-send-email.html
// and https://docs.aws.amazon.com/ses/latest/dg/sending-authorization-delegate-sender-tasks-email.html
// (read 2026-11).
var reserved = []string{
	"x-ses-configuration-set", "x-ses-message-tags", "x-ses-source-arn", "x-ses-from-arn", "x-ses-return-path-arn",
	"x-ses-list-management-options", "x-ses-tenant",
}

// Extra holds the settings that only SES has. The zero value leaves them to the
// account.
type Extra struct {
	// ConfigurationSet chooses where events go, the pool of addresses to send from
	// and the domain of tracked links. Empty: that of the Config.
	ConfigurationSet string
	// ContactList has SES write the unsubscribe header and link of that list, and
	// Topic those of one topic in it. It is for messages to one recipient without
	// an Unsubscribe of their own.
	ContactList, Topic string
	// IdentityARN names the identity of another account, which allows this one to
	// send From it.
	IdentityARN string
	// FeedbackAddress is where SES mails bounces and complaints to. Empty: where the
	// identity has it. It may be of another account, whose identity
	// FeedbackIdentityARN names then.
	FeedbackAddress, FeedbackIdentityARN string
	// Tenant is the name of the tenant to send for.
	Tenant string
}

// ForProvider returns "ses".
func (Extra) ForProvider() string { return provider }

// request is what Send says to SES.
type request struct {
	message mailer.Message // as it goes out
	input   *sesv2.SendEmailInput
	files   httpapi.Files
	dropped []string
}

// request turns m into SES's words, or says why that cannot be done.
func (p *Provider) request(m mailer.Message) (request, error) {
	m, err := adapter.Prepare(provider, m, false)
	if err != nil {
		return request{}, err
	}
	x := mailer.ExtraFor[Extra](m)
	if err := check(&m, x); err != nil {
		return request{}, err
	}
	if x.FeedbackAddress != "" {
		a, err := adapter.Address(provider, "ses.Extra.FeedbackAddress", mailer.Address{Address: x.FeedbackAddress}, false)
		if err != nil {
			return request{}, err
		}
		x.FeedbackAddress = a.Address
	}

	r := request{message: m}
	in := &sesv2.SendEmailInput{
		FromEmailAddress:            aws.String(mailbox(m.From)),
		FromEmailAddressIdentityArn: optional(x.IdentityARN),
		Destination: &types.Destination{
			ToAddresses: mailboxes(m.To), CcAddresses: mailboxes(m.Cc), BccAddresses: mailboxes(m.Bcc),
		},
		ReplyToAddresses:                          mailboxes(m.ReplyTo),
		FeedbackForwardingEmailAddress:            optional(x.FeedbackAddress),
		FeedbackForwardingEmailAddressIdentityArn: optional(x.FeedbackIdentityARN),
		ConfigurationSetName:                      optional(cmp.Or(x.ConfigurationSet, p.configurationSet)),
		ConfigurationOverrides:                    tracking(m.Track),
		TenantName:                                optional(x.Tenant),
	}
	if x.ContactList != "" {
		in.ListManagementOptions = &types.ListManagementOptions{ContactListName: aws.String(x.ContactList), TopicName: optional(x.Topic)}
	}
	in.EmailTags, r.dropped = tags(&m)
	if in.Content, err = p.content(&m, &r.files); err != nil {
		return request{}, err
	}
	r.input = in
	return r, nil
}

// check refuses what SES has no words for, and what is over its limits.
func check(m *mailer.Message, x Extra) error {
	if err := cmp.Or(
		adapter.Setting("ses.Extra.ConfigurationSet", x.ConfigurationSet),
		adapter.Setting("ses.Extra.ContactList", x.ContactList),
		adapter.Setting("ses.Extra.Topic", x.Topic),
		adapter.Setting("ses.Extra.IdentityARN", x.IdentityARN),
		adapter.Setting("ses.Extra.FeedbackIdentityARN", x.FeedbackIdentityARN),
		adapter.Setting("ses.Extra.Tenant", x.Tenant),
		adapter.Headers(provider, m, reserved),
	); err != nil {
		return err
	}
	switch {
	case x.Topic != "" && x.ContactList == "":
		return adapter.Invalid("ses.Extra.Topic", errors.New("needs a ContactList"))
	case x.FeedbackIdentityARN != "" && x.FeedbackAddress == "":
		return adapter.Invalid("ses.Extra.FeedbackIdentityARN", errors.New("needs a FeedbackAddress"))
	case x.ContactList != "" && m.Unsubscribe != (mailer.Unsubscribe{}):
		return adapter.Unsupported(provider, "Unsubscribe", "SES writes the header fields of a contact list itself")
	case x.ContactList != "" && len(m.To)+len(m.Cc)+len(m.Bcc) > 1:
		return adapter.Unsupported(provider, "ses.Extra.ContactList", "SES takes it with one recipient only")
	case !m.SendAt.IsZero():
		return adapter.Unsupported(provider, "SendAt", "SES sends at once")
	case m.Template.ID != "" && m.Subject != "":
		return adapter.Unsupported(provider, "Subject", "a template at SES brings its own subject")
	}
	return adapter.Recipients(provider, m, MaxRecipients)
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return aws.String(s)
}

// mailbox writes an address as SES wants it: as a mail header has it, in ASCII.
func mailbox(a mailer.Address) string {
	if a.Name == "" || printable(a.Name) && !strings.Contains(a.Name, "=?") {
		return envelope.Format(a)
	}
	return words(a.Name) + " <" + a.Address + ">"
}

func mailboxes(as []mailer.Address) []string {
	if len(as) == 0 {
		return nil
	}
	list := make([]string, len(as))
	for i, a := range as {
		list[i] = mailbox(a)
	}
	return list
}

// words writes a text as encoded words: RFC 2047, section 2.
func words(s string) string {
	const room = 45 // bytes that fit in one word
	var b strings.Builder
	for s != "" {
		n := min(room, len(s))
		for n < len(s) && !utf8.RuneStart(s[n]) {
			n--
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString("=?utf-8?b?" + base64.StdEncoding.EncodeToString([]byte(s[:n])) + "?=")
		s = s[n:]
	}
	return b.String()
}

// printable reports whether s is all printable ASCII and spaces.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// tracking returns what the message says about tracking, nil if nothing.
func tracking(t mailer.Tracking) *types.ConfigurationOverrides {
	if t == (mailer.Tracking{}) {
		return nil
	}
	o := new(types.TrackingConfigurationOverrides)
	switch t.Opens {
	case mailer.On:
		o.OpenTrackingEnabled = types.FeatureStatusEnabled
	case mailer.Off:
		o.OpenTrackingEnabled = types.FeatureStatusDisabled
	}
	switch t.Clicks {
	case mailer.On:
		o.ClickTrackingEnabled = types.FeatureStatusEnabled
	case mailer.Off:
		o.ClickTrackingEnabled = types.FeatureStatusDisabled
	}
	return &types.ConfigurationOverrides{Tracking: o}
}

// tags returns the message tags, the message's ID first, and names what cannot be
// one.
func tags(m *mailer.Message) (list []types.MessageTag, dropped []string) {
	list = []types.MessageTag{{Name: aws.String(idTag), Value: aws.String(m.ID)}}
	add := func(field, name, value string) {
		taken := func(t types.MessageTag) bool { return *t.Name == name }
		if len(list) == maxTags || !isTag(name) || !isTag(value) || slices.ContainsFunc(list, taken) {
			dropped = append(dropped, field)
			return
		}
		list = append(list, types.MessageTag{Name: aws.String(name), Value: aws.String(value)})
	}
	name := tagTag
	for i, tag := range m.Tags {
		if i > 0 {
			name = tagTag + "_" + strconv.Itoa(i+1)
		}
		add(adapter.Index("Tags", i), name, tag)
	}
	for _, key := range adapter.Keys(m.Metadata) {
		if tagPlace(key) > 0 { // it would come back as a tag
			dropped = append(dropped, adapter.Key("Metadata", key))
			continue
		}
		add(adapter.Key("Metadata", key), key, m.Metadata[key])
	}
	return list, dropped
}

// isTag reports whether s can be the name or the value of a message tag.
func isTag(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= maxTag
}

// content returns the template, or what SES puts together, or, if that is over its
// limits, a MIME text.
func (p *Provider) content(m *mailer.Message, files *httpapi.Files) (*types.EmailContent, error) {
	list, wide := headers(m)
	for i, a := range m.Attachments {
		switch {
		case wide != "":
		case len(a.ContentID) > maxContentID:
			wide = adapter.Index("Attachments", i) + ".ContentID"
		case len(a.ContentType) > maxContentType:
			wide = adapter.Index("Attachments", i) + ".ContentType"
		}
	}
	switch {
	case m.Template.ID != "" && wide != "":
		return nil, adapter.Unsupported(provider, wide, "over what SES takes beside a template")
	case m.Template.ID != "":
		data, err := templateData(m.Template.Data)
		if err != nil {
			return nil, err
		}
		as, size := attachments(m.Attachments, files)
		t := &types.Template{TemplateData: aws.String(data), Headers: list, Attachments: as}
		if name := aws.String(cmp.Or(p.templates[m.Template.ID], m.Template.ID)); strings.HasPrefix(*name, "arn:") {
			t.TemplateArn = name
		} else {
			t.TemplateName = name
		}
		return &types.EmailContent{Template: t}, adapter.Size(provider, m, size, MaxSize)
	case wide != "":
		mail, err := mime.New(*m, mime.Options{})
		if err != nil {
			return nil, err
		}
		if err := adapter.Size(provider, m, int(mail.Size()), MaxSize); err != nil {
			return nil, err
		}
		return &types.EmailContent{Raw: &types.RawMessage{Data: []byte(files.Add(mail.Bytes()))}}, nil
	}
	as, size := attachments(m.Attachments, files)
	s := &types.Message{
		Subject:     text(m.Subject),
		Body:        new(types.Body),
		Headers:     list,
		Attachments: as,
	}
	if m.Text != "" {
		s.Body.Text = text(m.Text)
	}
	if m.HTML != "" {
		s.Body.Html = text(m.HTML)
	}
	return &types.EmailContent{Simple: s}, adapter.Size(provider, m, size+len(m.Text)+len(m.HTML), MaxSize)
}

var charset = aws.String("UTF-8")

// text is a text in UTF-8, which SES takes for ASCII otherwise.
func text(s string) *types.Content {
	return &types.Content{Data: &s, Charset: charset}
}

// templateData returns a template's data as JSON, in the one string that SES wants.
func templateData(data map[string]any) (string, error) {
	if len(data) == 0 {
		return "{}", nil
	}
	b, err := jsonenc.AppendValue(nil, data)
	if err != nil {
		return "", adapter.Invalid("Template.Data", err)
	}
	if utf8.RuneCount(b) > MaxTemplateData {
		return "", adapter.TooLarge(provider, "Template.Data", MaxTemplateData, "characters")
	}
	return string(b), nil
}

// headers returns the header fields, and names the first that is over SES's
// limits.
func headers(m *mailer.Message) (list []types.MessageHeader, wide string) {
	add := func(field, name, value string) {
		if !printable(value) {
			value = words(value)
		}
		if wide == "" && (len(list) == maxHeaders || len(value) > maxHeaderValue) {
			wide = field
		}
		list = append(list, types.MessageHeader{Name: aws.String(name), Value: aws.String(value)})
	}
	if unsubscribe, post := adapter.Unsubscribe(m.Unsubscribe); unsubscribe != "" {
		add("Unsubscribe", "List-Unsubscribe", unsubscribe)
		if post != "" {
			add("Unsubscribe", "List-Unsubscribe-Post", post)
		}
	}
	for _, name := range adapter.Keys(m.Headers) {
		add(adapter.Key("Headers", name), name, m.Headers[name])
	}
	return list, wide
}

// attachments returns the files, placeholders of files for their contents, and their
// size in base64.
func attachments(as []mailer.Attachment, files *httpapi.Files) (list []types.Attachment, size int) {
	for _, a := range as {
		disposition := types.AttachmentContentDispositionAttachment
		if a.ContentID != "" {
			disposition = types.AttachmentContentDispositionInline
		}
		list = append(list, types.Attachment{
			FileName:                aws.String(a.Name),
			ContentType:             aws.String(cmp.Or(a.ContentType, "application/octet-stream")),
			ContentDisposition:      disposition,
			ContentId:               optional(a.ContentID),
			ContentTransferEncoding: types.AttachmentContentTransferEncodingBase64, // not SES's own choice, which is 7-bit
			RawContent:              []byte(files.Add(a.Content)),
		})
		size += base64.StdEncoding.EncodedLen(len(a.Content))
	}
	return list, size
}
