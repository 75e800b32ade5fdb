package ses

import (
	"bytes"
	"fmt"
	"io"
	stdmime "mime"
	"mime/multipart"
	"net/mail"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/envelope"
	"github.com/seed355143d4/mailer/provider/providertest"
)

// registration is the mail that most applications send most.
var registration = providertest.Registration()

// capture returns a Provider whose requests all get this answer, and where they go.
func capture(t require.TestingT, c Config, answer providertest.Answer) (*Provider, *providertest.Call) {
	client, service := providertest.Capture(answer)
	c.HTTPClient = client
	p, err := New(c)
	require.NoError(t, err)
	return p, service
}

// wire is a request as SES documents it, with nothing else in it.
type wire struct {
	FromEmailAddress, FromEmailAddressIdentityArn, ConfigurationSetName, TenantName string
	Destination                                                                     struct{ ToAddresses, CcAddresses, BccAddresses []string }
	ReplyToAddresses                                                                []string
	FeedbackForwardingEmailAddress, FeedbackForwardingEmailAddressIdentityArn       string
	EmailTags                                                                       []pair
	ConfigurationOverrides                                                          struct {
		Tracking struct{ OpenTrackingEnabled, ClickTrackingEnabled string }
	}
	ListManagementOptions struct{ ContactListName, TopicName string }
	Content               struct {
		Simple *struct {
			Subject     content
			Body        struct{ Text, Html content }
			Headers     []pair
			Attachments []file
		}
		Raw      *struct{ Data []byte }
		Template *struct {
			TemplateName, TemplateArn, TemplateData string
			Headers                                 []pair
			Attachments                             []file
		}
	}
}

type (
	pair    struct{ Name, Value string }
	content struct{ Data, Charset string }
	file    struct {
		FileName, ContentType, ContentDisposition, ContentId, ContentTransferEncoding string
		RawContent                                                                    []byte
	}
)

func decode(t require.TestingT, body []byte) (w wire) {
	providertest.Decode(t, body, &w)
	return w
}

var decoder = new(stdmime.WordDecoder)

// people parses mailboxes.
func people(t require.TestingT, list []string) (all []mailer.Address) {
	for _, s := range list {
		a, err := mail.ParseAddress(s)
		require.NoError(t, err, "%q", s)
		all = append(all, *a)
		for i := range len(s) {
			require.True(t, s[i] >= ' ' && s[i] < 0x7f, "not ASCII: %q", s)
		}
	}
	return all
}

// values decodes header fields.
func values(t require.TestingT, list []pair) map[string]string {
	all := map[string]string{}
	for _, h := range list {
		require.NotContains(t, all, h.Name, "a header stands twice")
		require.Regexp(t, `^[!-9;-@A-~]{1,126}$`, h.Name)
		require.Regexp(t, `^[ -~]{0,870}$`, h.Value)
		value, err := decoder.DecodeHeader(h.Value)
		require.NoError(t, err)
		all[h.Name] = value
	}
	return all
}

func requireTags(t require.TestingT, m mailer.Message, dropped []string, got []pair) {
	require.Equal(t, pair{"mailer_id", m.ID}, got[0])
	require.LessOrEqual(t, len(got), 50)
	all := map[string]string{}
	for _, tag := range got {
		require.NotContains(t, all, tag.Name, "a message tag stands twice")
		require.Regexp(t, `^[A-Za-z0-9_-]{1,256}$`, tag.Name)
		require.Regexp(t, `^[A-Za-z0-9_-]{1,256}$`, tag.Value)
		all[tag.Name] = tag.Value
	}
	delete(all, "mailer_id")
	for i, tag := range m.Tags {
		name := "mailer_tag"
		if i > 0 {
			name = fmt.Sprintf("mailer_tag_%d", i+1)
		}
		if !slices.Contains(dropped, fmt.Sprintf("Tags[%d]", i)) {
			require.Equal(t, tag, all[name])
			delete(all, name)
		}
	}
	for k, v := range m.Metadata {
		if !slices.Contains(dropped, fmt.Sprintf("Metadata[%q]", k)) {
			require.Equal(t, v, all[k])
			delete(all, k)
		}
	}
	require.Empty(t, all, "message tags that the message does not have")
}

// unquoted is a without quotes that its local part does not need, as Go's parser
// reads it: "ada"@example.com is ada@example.com.
func unquoted(t require.TestingT, a mailer.Address) mailer.Address {
	parsed, err := mail.ParseAddress(a.Address)
	require.NoError(t, err)
	a.Address = parsed.Address
	return a
}

// requireSays requires that the request gives the message back, no more and no less.
func requireSays(t require.TestingT, m mailer.Message, r mailer.Receipt, body []byte) {
	w := decode(t, body)
	m.ID = r.ID
	m, err := envelope.Prepare(m, false)
	require.NoError(t, err)
	require.Equal(t, []mailer.Address{unquoted(t, m.From)}, people(t, []string{w.FromEmailAddress}))
	for _, l := range []struct {
		want []mailer.Address
		got  []string
	}{{m.To, w.Destination.ToAddresses}, {m.Cc, w.Destination.CcAddresses}, {m.Bcc, w.Destination.BccAddresses}, {m.ReplyTo, w.ReplyToAddresses}} {
		got := people(t, l.got)
		require.Equal(t, len(l.want), len(got))
		for i := range got {
			require.Equal(t, unquoted(t, l.want[i]), got[i])
		}
	}
	requireTags(t, m, r.Dropped, w.EmailTags)
	x := mailer.ExtraFor[Extra](m)
	require.Equal(t,
		[]string{x.FeedbackAddress, x.FeedbackIdentityARN, x.IdentityARN, x.Tenant},
		[]string{w.FeedbackForwardingEmailAddress, w.FeedbackForwardingEmailAddressIdentityArn, w.FromEmailAddressIdentityArn, w.TenantName})

	s := w.Content.Simple
	if s == nil {
		requireMIME(t, m, w.Content.Raw.Data)
		return
	}
	require.Nil(t, w.Content.Raw)
	require.Nil(t, w.Content.Template)
	inUTF8 := func(data string) content {
		if data == "" {
			return content{}
		}
		return content{data, "UTF-8"}
	}
	require.Equal(t, content{m.Subject, "UTF-8"}, s.Subject)
	require.Equal(t, []content{inUTF8(m.Text), inUTF8(m.HTML)}, []content{s.Body.Text, s.Body.Html})
	require.LessOrEqual(t, len(s.Headers), 15)
	require.Equal(t, providertest.HeadersOf(m), values(t, s.Headers))
	require.Len(t, s.Attachments, len(m.Attachments))
	for i, a := range m.Attachments {
		want := file{a.Name, a.ContentType, "ATTACHMENT", a.ContentID, "BASE64", a.Content}
		if a.ContentType == "" {
			want.ContentType = "application/octet-stream"
		}
		if a.ContentID != "" {
			want.ContentDisposition = "INLINE"
		}
		got := s.Attachments[i]
		require.Equal(t, string(want.RawContent), string(got.RawContent))
		want.RawContent, got.RawContent = nil, nil
		require.Equal(t, want, got)
	}
}

// requireMIME requires that a MIME text gives the message back.
func requireMIME(t require.TestingT, m mailer.Message, data []byte) {
	got, err := mail.ReadMessage(bytes.NewReader(data))
	require.NoError(t, err)
	require.Empty(t, got.Header.Get("Bcc"), "Bcc stands in the text")
	for _, a := range m.Bcc {
		require.NotContains(t, string(data), a.Address)
	}
	for name, value := range providertest.HeadersOf(m) {
		decoded, err := decoder.DecodeHeader(got.Header.Get(name))
		require.NoError(t, err)
		require.Equal(t, value, decoded, "%s", name)
	}
	subject, err := decoder.DecodeHeader(got.Header.Get("Subject"))
	require.NoError(t, err)
	require.Equal(t, m.Subject, subject)

	var files []string
	var read func(typ, encoding string, r io.Reader)
	read = func(typ, encoding string, r io.Reader) {
		kind, params, err := stdmime.ParseMediaType(typ)
		require.NoError(t, err)
		if !strings.HasPrefix(kind, "multipart/") {
			return
		}
		parts := multipart.NewReader(r, params["boundary"])
		for {
			part, err := parts.NextRawPart()
			if err == io.EOF {
				return
			}
			require.NoError(t, err)
			if name := part.FileName(); name != "" {
				files = append(files, name)
			}
			read(part.Header.Get("Content-Type"), part.Header.Get("Content-Transfer-Encoding"), part)
		}
	}
	read(got.Header.Get("Content-Type"), "", got.Body)
	require.Len(t, files, len(m.Attachments))
}

// requests are read back by requireSays.
func requests(t require.TestingT) providertest.Requests {
	p, service := capture(t, key, yes("0100"))
	return providertest.Requests{
		Provider: p, Service: service,
		Says: func(t require.TestingT, m mailer.Message, r mailer.Receipt, c *providertest.Call) {
			requireSays(t, m, r, c.Body)
		},
		// A MIME text does not keep what stands around a line, and a message with
		// recipients elsewhere needs none in To.
		Draw: func(t *rapid.T) mailer.Message {
			m := providertest.Draw(t)
			m.Subject = strings.TrimSpace(m.Subject)
			for name, value := range m.Headers {
				m.Headers[name] = strings.TrimSpace(value)
			}
			if rapid.Bool().Draw(t, "none in to") {
				m.To = nil
			}
			x := Extra{IdentityARN: providertest.Line(0, 10).Draw(t, "identity"), Tenant: providertest.Line(0, 10).Draw(t, "tenant")}
			if rapid.Bool().Draw(t, "feedback") {
				x.FeedbackAddress = m.From.Address
				x.FeedbackIdentityARN = providertest.Line(0, 10).Draw(t, "its identity")
			}
			m.Extras = []mailer.Extra{x}
			return m
		},
	}
}

func TestRequestGivesTheMessageBack(t *testing.T) {
	q := requests(t)
	says, raw := q.Says, 0
	q.Says = func(t require.TestingT, m mailer.Message, r mailer.Receipt, c *providertest.Call) {
		says(t, m, r, c)
		if decode(t, c.Body).Content.Raw != nil {
			raw++
		}
	}
	q.Check(t)
	require.NotZero(t, raw, "no message was drawn that goes as a MIME text")
}

func FuzzRequest(f *testing.F) {
	q := requests(f)
	says := q.Says
	q.Says = func(t require.TestingT, m mailer.Message, r mailer.Receipt, c *providertest.Call) {
		// What Go's own parser makes of a name is not the question here.
		if decode(t, c.Body).Content.Raw == nil && !strings.Contains(m.Metadata["plan"], "=?") {
			says(t, m, r, c)
		}
	}
	q.Fuzz(f)
}

func TestEncodedWords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := providertest.Line(1, 200).Draw(t, "text")
		var decoded strings.Builder
		for word := range strings.SplitSeq(words(s), " ") {
			require.LessOrEqual(t, len(word), 75, "RFC 2047, section 2")
			d, err := decoder.Decode(word)
			require.NoError(t, err)
			require.True(t, utf8.ValidString(d), "a character is split between words: RFC 2047, section 5")
			decoded.WriteString(d)
		}
		require.Equal(t, s, decoded.String())
	})
}

func TestMIMEText(t *testing.T) {
	m := mailer.Message{
		ID:      "8841",
		From:    mailer.Address{Name: "Zo\u00eb", Address: "shop@example.com"},
		To:      []mailer.Address{{Name: "Ada", Address: "ada@example.com"}},
		Bcc:     []mailer.Address{{Address: "eli@example.com"}},
		ReplyTo: []mailer.Address{{Address: "help@example.com"}},
		Subject: "Hello",
		Text:    "Hello Ada",
		Attachments: []mailer.Attachment{
			{Name: "a.bin", Content: bytes.Repeat([]byte{0, 1, 255}, 1000)},
		},
		Track: mailer.Tracking{Opens: mailer.Off},
	}
	headers := func(n int) map[string]string {
		all := map[string]string{}
		for i := range n {
			all[fmt.Sprintf("X-%02d", i)] = "x"
		}
		return all
	}
	for name, c := range map[string]struct {
		raw    bool
		change func(m *mailer.Message)
	}{
		"15 headers":                         {false, func(m *mailer.Message) { m.Headers = headers(15) }},
		"16 headers":                         {true, func(m *mailer.Message) { m.Headers = headers(16) }},
		"13 headers and two for unsubscribe": {false, func(m *mailer.Message) { m.Headers, m.Unsubscribe.URL = headers(13), "https://example.com/" }},
		"14 headers and two for unsubscribe": {true, func(m *mailer.Message) { m.Headers, m.Unsubscribe.URL = headers(14), "https://example.com/" }},
		"a value of 870":                     {false, func(m *mailer.Message) { m.Headers = map[string]string{"References": strings.Repeat("v", 870)} }},
		"a value of 871": {true, func(m *mailer.Message) {
			m.Headers = map[string]string{"References": "<" + strings.Repeat("v", 400) + "> <" + strings.Repeat("v", 466) + ">"}
		}},
		"a value too long once it is encoded": {true, func(m *mailer.Message) {
			m.Headers = map[string]string{"X-Wide": strings.Repeat("\u00e9", 300)}
		}},
		"a content id of 78": {false, func(m *mailer.Message) { m.Attachments[0].ContentID = strings.Repeat("c", 78) }},
		"a content id of 79": {true, func(m *mailer.Message) { m.Attachments[0].ContentID = strings.Repeat("c", 79) }},
		"a type of 78":       {false, func(m *mailer.Message) { m.Attachments[0].ContentType = strings.Replace(longType, "0", "", 1) }},
		"a type of 79":       {true, func(m *mailer.Message) { m.Attachments[0].ContentType = longType }},
	} {
		t.Run(name, func(t *testing.T) {
			m := m
			m.Attachments = slices.Clone(m.Attachments)
			c.change(&m)
			p, service := capture(t, key, yes("0100"))
			r, err := p.Send(t.Context(), m)
			require.NoError(t, err)
			w := decode(t, service.Body)
			require.Equal(t, c.raw, w.Content.Raw != nil)
			require.Equal(t, "DISABLED", w.ConfigurationOverrides.Tracking.OpenTrackingEnabled)
			requireSays(t, m, r, service.Body)
		})
	}
}

func TestRequestLiteral(t *testing.T) {
	c := key
	c.ConfigurationSet = "transactional"
	p, service := capture(t, c, yes("0100"))
	m := mailer.Message{
		ID:    "8841",
		From:  mailer.Address{Name: "Harbour Books, Ltd.", Address: "orders@example.com"},
		To:    []mailer.Address{{Name: "Noor, Amal", Address: "amal@example.com"}, {Address: "ben@example.com"}},
		Bcc:   []mailer.Address{{Name: "Zo\u00eb", Address: "zoe@example.com"}},
		HTML:  `<b title="x">8841 & 2</b>`,
		Track: mailer.Tracking{Opens: mailer.On, Clicks: mailer.Off},
		Attachments: []mailer.Attachment{
			{Name: "a.bin", Content: []byte("\xff\xfe\xfd")},
		},
	}
	_, err := p.Send(t.Context(), m)
	require.NoError(t, err)
	require.JSONEq(t, `{
		"FromEmailAddress": "\"Harbour Books, Ltd.\" <orders@example.com>",
		"Destination": {"ToAddresses": ["\"Noor, Amal\" <amal@example.com>", "ben@example.com"], "BccAddresses": ["=?utf-8?b?Wm/Dqw==?= <zoe@example.com>"]},
		"ConfigurationSetName": "transactional",
		"ConfigurationOverrides": {"Tracking": {"OpenTrackingEnabled": "ENABLED", "ClickTrackingEnabled": "DISABLED"}},
		"EmailTags": [{"Name": "mailer_id", "Value": "8841"}],
		"Content": {"Simple": {
			"Subject": {"Data": "", "Charset": "UTF-8"},
			"Body": {"Html": {"Data": "<b title=\"x\">8841 & 2</b>", "Charset": "UTF-8"}},
			"Attachments": [{"FileName": "a.bin", "ContentType": "application/octet-stream", "ContentDisposition": "ATTACHMENT", "ContentTransferEncoding": "BASE64", "RawContent": "//79"}]
		}}
	}`, string(service.Body))

	m.Extras = []mailer.Extra{Extra{ConfigurationSet: "marketing"}}
	_, err = p.Send(t.Context(), m)
	require.NoError(t, err)
	require.Equal(t, "marketing", decode(t, service.Body).ConfigurationSetName)
}
