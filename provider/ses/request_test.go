package ses

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	stdmime "mime"
	"mime/multipart"
	"net/http"
	"net/mail"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/envelope"
	"github.com/seed355143d4/mailer/provider/providertest"
)

// roundTrip plays the service without a network.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// sent is what reached the service.
type sent struct {
	url    string
	header http.Header
	body   []byte
}

// capture returns a Provider whose requests all get this answer, and where they go.
func capture(t require.TestingT, c Config, answer providertest.Answer) (*Provider, *sent) {
	s := new(sent)
	c.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		var body []byte
		var err error
		if r.Body != nil {
			body, err = io.ReadAll(r.Body)
		}
		s.url, s.header, s.body = r.URL.String(), r.Header, body
		h := http.Header{}
		for name, value := range answer.Header {
			h.Set(name, value)
		}
		return &http.Response{StatusCode: answer.Status, Header: h, Body: io.NopCloser(strings.NewReader(answer.Body))}, err
	})}
	p, err := New(c)
	require.NoError(t, err)
	return p, s
}

// wire is a request as SES documents it, with nothing else in it.
type wire struct {
	FromEmailAddress, FromEmailAddressIdentityArn, ConfigurationSetName, TenantName string
	Destination                                                                     struct{ ToAddresses, CcAddresses, BccAddresses []string }
	ReplyToAddresses                                                                []string
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
			TemplateName, TemplateData string
			Headers                    []pair
			Attachments                []file
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

func strict(t require.TestingT, body []byte, v any) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(v))
	_, err := d.Token()
	require.ErrorIs(t, err, io.EOF)
}

func decode(t require.TestingT, body []byte) (w wire) {
	strict(t, body, &w)
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

// wanted are the header fields that the message asks for.
func wanted(m mailer.Message) map[string]string {
	want := map[string]string{}
	for name, value := range m.Headers {
		want[name] = value
	}
	var list []string
	if m.Unsubscribe.URL != "" {
		list = append(list, "<"+m.Unsubscribe.URL+">")
		want["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
	}
	if m.Unsubscribe.Mailto != "" {
		list = append(list, "<mailto:"+m.Unsubscribe.Mailto+">")
	}
	if list != nil {
		want["List-Unsubscribe"] = strings.Join(list, ", ")
	}
	return want
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
	require.Equal(t, wanted(m), values(t, s.Headers))
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
	for name, value := range wanted(m) {
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

// line draws a line of text in many scripts.
func line(min, max int) *rapid.Generator[string] {
	return rapid.StringOfN(rapid.RuneFrom([]rune(`"\<>(),;:@. '=?é`), unicode.L, unicode.N, unicode.P, unicode.S), min, max, -1)
}

func address(t *rapid.T) mailer.Address {
	return mailer.Address{
		Name:    strings.TrimSpace(line(0, 60).Draw(t, "name")),
		Address: rapid.StringMatching(`[a-z0-9!#$%&'*+/=?^_{|}~]{1,8}(\.[a-z]{1,3})?@[a-z]{1,8}\.(example|xn--bcher-kva\.example)`).Draw(t, "address"),
	}
}

func TestRequestGivesTheMessageBack(t *testing.T) {
	p, service := capture(t, key, yes("0100"))
	raw := 0
	rapid.Check(t, func(t *rapid.T) {
		addresses := func(min, max int, name string) []mailer.Address {
			return rapid.SliceOfN(rapid.Custom(address), min, max).Draw(t, name)
		}
		m := mailer.Message{
			ID:      rapid.StringMatching(`[A-Za-z0-9_-]{0,64}`).Draw(t, "id"),
			From:    address(t),
			To:      addresses(0, 5, "to"),
			Cc:      addresses(0, 3, "cc"),
			Bcc:     addresses(0, 3, "bcc"),
			ReplyTo: addresses(0, 3, "reply-to"),
			Subject: strings.TrimSpace(line(0, 60).Draw(t, "subject")),
			Text:    rapid.String().Draw(t, "text"),
			HTML:    rapid.String().Draw(t, "html"),
			Attachments: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) mailer.Attachment {
				return mailer.Attachment{
					Name:        line(1, 20).Draw(t, "file"),
					ContentType: rapid.SampledFrom([]string{"", "image/png", "text/plain; charset=utf-8"}).Draw(t, "type"),
					ContentID:   rapid.StringMatching(`[a-z]{0,5}`).Draw(t, "cid"),
					Content:     rapid.SliceOf(rapid.Byte()).Draw(t, "content"),
				}
			}), 0, 3).Draw(t, "attachments"),
			Headers:     rapid.MapOfN(rapid.StringMatching(`X-[A-Z][a-z]{1,8}`), rapid.Map(line(0, 40), strings.TrimSpace), 0, 20).Draw(t, "headers"),
			Unsubscribe: mailer.Unsubscribe{URL: rapid.SampledFrom([]string{"", "https://example.com/?a=1&b=2"}).Draw(t, "url"), Mailto: rapid.SampledFrom([]string{"", "leave@example.com"}).Draw(t, "mailto")},
			Tags:        rapid.SliceOfN(rapid.OneOf(line(1, 10), rapid.StringMatching(`[A-Za-z0-9_-]{1,9}`)), 0, 3).Draw(t, "tags"),
			Metadata:    rapid.MapOfN(rapid.StringMatching(`[A-Za-z0-9_-]{1,9}| +`), rapid.OneOf(line(0, 90), rapid.StringMatching(`[A-Za-z0-9_-]{1,99}`)), 0, 12).Draw(t, "metadata"),
		}
		if m.Validate() != nil {
			t.Skip("not valid")
		}
		require.NoError(t, p.Check(m))
		r, err := p.Send(t.Context(), m)
		require.NoError(t, err)
		requireSays(t, m, r, service.body)
		if decode(t, service.body).Content.Raw != nil {
			raw++
		}
	})
	require.NotZero(t, raw, "no message was drawn that goes as a MIME text")
}

func TestEncodedWords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := line(1, 200).Draw(t, "text")
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

func FuzzRequest(f *testing.F) {
	f.Add("Ada", "ada@example.com", "Hello", "text", "<p>html</p>", "X-A", "b", "tag", "key", "value", "a.txt", "text/plain", "cid", []byte("x"))
	f.Add(`Eve" <eve@evil.example>, "x`, `"toni> ORCPT=eve"@example.com`, "a\r\nBcc: eve@evil.example", "\x00", "\u2028", "X-A: b\r\nBcc", "eve@evil.example",
		"tag\x7f", "mailer_id", "\xff", "a\".txt", "text/plain; name=\"x", "a>\r\n", []byte(`","Bcc":"eve@evil.example"`))
	f.Add("\u760d\u760a", "a@b\u00fccher.example", `\`, `\u0022`, `"}`, "x-ses-message-tags", "\t", "\U0001f680", "K", "k", "..", "", "", []byte{})
	f.Add("=?utf-8?q?=22_=3Ceve=40evil=2Eexample=3E?=", `"a..b"@example.com`, "=?utf-8?q?x?=", "x", "", "X-L", strings.Repeat("v", 900), "mailer_tag", "mailer_tag", "x", "f", "", "c", []byte("x"))
	f.Fuzz(func(t *testing.T, name, address, subject, text, html, header, value, tag, key1, entry, file, typ, cid string, content []byte) {
		m := mailer.Message{
			From:        mailer.Address{Name: name, Address: "shop@example.com"},
			To:          []mailer.Address{{Name: name, Address: address}, {Name: subject, Address: "ada@example.com"}},
			ReplyTo:     []mailer.Address{{Name: value, Address: address}},
			Subject:     subject,
			Text:        text,
			HTML:        html,
			Headers:     map[string]string{header: value},
			Tags:        []string{tag},
			Metadata:    map[string]string{key1: entry},
			Attachments: []mailer.Attachment{{Name: file, ContentType: typ, ContentID: cid, Content: content}},
		}
		p, service := capture(t, key, yes("0100"))
		r, err := p.Send(t.Context(), m)
		if m.Validate() != nil {
			require.ErrorIs(t, err, mailer.KindInvalid)
		}
		if err != nil {
			require.True(t, mailer.NotSent(err))
			require.Nil(t, service.body, "there was traffic")
			require.Equal(t, err.Error(), p.Check(m).Error())
			return
		}
		// What Go's own parser makes of a name is not the question here.
		if w := decode(t, service.body); w.Content.Raw == nil && !strings.Contains(value, "=?") {
			requireSays(t, m, r, service.body)
		}
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
			w := decode(t, service.body)
			require.Equal(t, c.raw, w.Content.Raw != nil)
			require.Equal(t, "DISABLED", w.ConfigurationOverrides.Tracking.OpenTrackingEnabled)
			requireSays(t, m, r, service.body)
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
	}`, string(service.body))

	m.Extras = []mailer.Extra{Extra{ConfigurationSet: "marketing"}}
	_, err = p.Send(t.Context(), m)
	require.NoError(t, err)
	require.Equal(t, "marketing", decode(t, service.body).ConfigurationSetName)
}
