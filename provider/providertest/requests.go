package providertest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/mail"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed355143d4/mailer"
)

// Requests reads an adapter's requests back, as the service would by its
// documentation, and compares them with the messages they are made of: drawn ones in
// [Requests.Check], hostile ones in [Requests.Fuzz].
type Requests struct {
	// Provider is one whose calls all end in Service. See [Capture].
	Provider mailer.Provider
	Service  *Call
	// Says requires that the call gives back the message, no more and no less. The
	// message is the one that was given to Send, and the receipt what came of it.
	Says func(t require.TestingT, m mailer.Message, r mailer.Receipt, c *Call)
	// Draw draws a message that the service can take if it is valid. Nil: [Draw].
	Draw func(t *rapid.T) mailer.Message
	// Hostile makes of a message of Fuzz one that the service can take if it is
	// harmless. Nil: it stays as it is.
	Hostile func(m *mailer.Message)
	// Template is the ID of the template in the messages of Fuzz that have no text.
	// Empty: they have none either, so they are not valid.
	Template string
}

// Check sends drawn messages. Each that is valid has to pass the provider's Check
// without traffic, and to be sent.
func (q Requests) Check(t *testing.T) {
	draw := q.Draw
	if draw == nil {
		draw = Draw
	}
	rapid.Check(t, func(t *rapid.T) {
		m := draw(t)
		if m.Validate() != nil {
			t.Skip("not valid")
		}
		*q.Service = Call{}
		require.NoError(t, q.Provider.(mailer.Checker).Check(m))
		require.Zero(t, *q.Service, "Check caused traffic")
		r, err := q.Provider.Send(t.Context(), m)
		require.NoError(t, err)
		q.Says(t, m, r, q.Service)
	})
}

// Fuzz sends messages of which every field may hold anything. Each is either sent as
// it is, or refused before any traffic and with the same error as by the provider's
// Check; one that is not valid is refused with [mailer.KindInvalid].
func (q Requests) Fuzz(f *testing.F) {
	add := func(v [14]string) {
		f.Add(v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9], v[10], v[11], v[12], []byte(v[13]))
	}
	harmless := [14]string{"Ada", "ada@example.com", "Hello", "text", "<p>html</p>", "X-A", "b", "tag", "key", "value", "a.txt", "text/plain", "", "x"}
	for _, file := range [][3]string{{"a.txt", "text/plain", "cid"}, {"a.txt", "text/plain", ""}, {"a.png", "image/png", "a.png"}} {
		v := harmless
		v[10], v[11], v[12] = file[0], file[1], file[2]
		add(v)
		v[3], v[4] = "", ""
		add(v)
	}
	// What would add a recipient, if it were not escaped.
	for _, bcc := range []string{
		`","Bcc":"eve@evil.example"`, `","Bcc":[{"Email":"eve@evil.example"}],"a":"`, `","Bcc":[{"EmailAddress":"eve@evil.example"}],"A":"`,
		`","BCC":["eve@evil.example"],"a":"`, `","bcc":["eve@evil.example"],"a":"`,
	} {
		add([14]string{
			`Eve" <eve@evil.example>, "x`, `"toni> ORCPT=eve"@example.com`, "a\r\nBcc: eve@evil.example", "\x00", "\u2028", "X-A: b\r\nBcc", "eve@evil.example",
			"tag\x7f", "mailer_id", "\xff", "a\".txt", "text/plain; name=\"x", "a>\r\n", bcc,
		})
		add([14]string{"Ada", "ada@example.com", bcc, bcc, bcc, "X-A", bcc, bcc, bcc, bcc, bcc, "text/plain", "", bcc})
	}
	for i := range harmless { // one field at a time
		for _, hostile := range []string{"a\r\nBcc: eve@evil.example", "a\x00", "a\xff"} {
			v := harmless
			v[i] = hostile
			add(v)
		}
	}
	add([14]string{"=?utf-8?q?=22_=3Ceve=40evil=2Eexample=3E?=", `"a..b"@example.com`, "=?utf-8?q?x?=", "x", "", "X-L", strings.Repeat("v", 900), "mailer_tag", "mailer_tag", "x", "f", "", "c", "x"})
	// Header fields by which services take orders.
	for _, header := range []string{
		"x-pm-rcpt", "x-sg-eid", "x-ses-message-tags", "x-mj-vars", "x-xsMessageId", "x-ElasticEmail-Postback", "x-mailer-ID",
	} {
		add([14]string{"\u760d\u760a", "a@b\u00fccher.example", `\`, `\u0022`, `"}`, header, "\t", "\U0001f680", "K", "k", "..", "", "", ""})
		add([14]string{"Eve, eve@evil.example", "a@b\u00fccher.example", "", "", "", header, "\t", "\U0001f680", "K", "k", "..", "", "", ""})
	}
	// What would be merged, if it were a template's.
	add([14]string{"%%link%%", "a%%b%%@example.com", "%%", "", "", "X-A", "\t", "\U0001f680", "deliveryaddress", "eve@evil.example", "..", "", "", ""})
	add([14]string{"{{name}}", "a@example.com", "{link}", "{{#each a}}", "", "X-A", "{{", "{a}", "link", "{{link}}", "{{a}}.txt", "", "", "{{"})
	add([14]string{"\u760d\u760a", "a@b\u00fccher.example", `\`, "", "", "X-B", `"}`, "t", "link", "%%%%", "a", "", "", ""})
	f.Fuzz(func(t *testing.T, name, address, subject, text, html, header, value, tag, key, entry, file, typ, cid string, content []byte) {
		m := mailer.Message{
			From:        mailer.Address{Name: name, Address: "shop@example.com"},
			To:          []mailer.Address{{Name: name, Address: address}, {Address: "ben@example.com"}},
			ReplyTo:     []mailer.Address{{Name: value, Address: address}, {Name: name, Address: "help@example.com"}},
			Subject:     subject,
			Text:        text,
			HTML:        html,
			Headers:     map[string]string{header: value},
			Tags:        []string{tag},
			Metadata:    map[string]string{key: entry, "plan": value},
			Attachments: []mailer.Attachment{{Name: file, ContentType: typ, ContentID: cid, Content: content}},
		}
		if text == "" && html == "" && q.Template != "" {
			m.Template = mailer.Template{ID: q.Template, Data: map[string]any{key: entry}}
		}
		if q.Hostile != nil {
			q.Hostile(&m)
		}
		*q.Service = Call{}
		r, err := q.Provider.Send(t.Context(), m)
		if m.Validate() != nil {
			require.ErrorIs(t, err, mailer.KindInvalid)
		}
		if err != nil {
			require.True(t, mailer.NotSent(err))
			require.Zero(t, *q.Service, "there was traffic")
			require.EqualError(t, q.Provider.(mailer.Checker).Check(m), err.Error())
			return
		}
		q.Says(t, m, r, q.Service)
	})
}

// Line draws a line of text in many scripts, with all that means something to JSON,
// to header fields, or to templates.
func Line(min, max int) *rapid.Generator[string] {
	return rapid.StringOfN(rapid.RuneFrom([]rune(`"\<>(),;:@. '%{}=?é`), unicode.L, unicode.N, unicode.P, unicode.S), min, max, -1)
}

// Draw draws a message, which may be not valid. It has a recipient in To, and asks
// for everything but a template, a time, and what only one service knows.
func Draw(t *rapid.T) mailer.Message {
	address := rapid.Custom(func(t *rapid.T) mailer.Address {
		return mailer.Address{
			Name:    strings.TrimSpace(Line(0, 60).Draw(t, "name")),
			Address: rapid.StringMatching(`[a-z0-9!#$%&'*+/=?^_{|}~]{1,8}(\.[a-z]{1,3})?@[a-z]{1,8}\.(example|xn--bcher-kva\.example)`).Draw(t, "address"),
		}
	})
	addresses := func(min, max int, name string) []mailer.Address {
		return rapid.SliceOfN(address, min, max).Draw(t, name)
	}
	word := rapid.OneOf(rapid.StringMatching(`[A-Za-z0-9_-]{1,99}`), rapid.StringMatching(`[A-Za-z0-9 _-]{1,99}`))
	return mailer.Message{
		ID:      rapid.StringMatching(`[A-Za-z0-9_-]{0,64}`).Draw(t, "id"),
		From:    address.Draw(t, "from"),
		To:      addresses(1, 5, "to"),
		Cc:      addresses(0, 3, "cc"),
		Bcc:     addresses(0, 3, "bcc"),
		ReplyTo: addresses(0, 3, "reply-to"),
		Subject: Line(0, 60).Draw(t, "subject"),
		Text:    rapid.String().Draw(t, "text"),
		HTML:    rapid.String().Draw(t, "html"),
		Attachments: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) mailer.Attachment {
			return mailer.Attachment{
				Name:        Line(1, 20).Draw(t, "file"),
				ContentType: rapid.SampledFrom([]string{"", "image/png", "text/plain; charset=utf-8", "application/pdf", `text/plain; charset="utf-8"`}).Draw(t, "type"),
				ContentID:   rapid.StringMatching(`[a-z]{0,5}`).Draw(t, "cid"),
				Content:     rapid.SliceOf(rapid.Byte()).Draw(t, "content"),
			}
		}), 0, 3).Draw(t, "attachments"),
		Headers: rapid.MapOfN(rapid.StringMatching(`X-[A-Z][a-z]{1,8}`), Line(0, 40), 0, 20).Draw(t, "headers"),
		Unsubscribe: mailer.Unsubscribe{
			URL:    rapid.SampledFrom([]string{"", "https://example.com/?a=1&b=2"}).Draw(t, "url"),
			Mailto: rapid.SampledFrom([]string{"", "leave@example.com"}).Draw(t, "mailto"),
		},
		Tags:     rapid.SliceOfN(rapid.OneOf(Line(1, 40), word), 0, 5).Draw(t, "tags"),
		Metadata: rapid.MapOfN(rapid.OneOf(Line(1, 22), word), rapid.OneOf(Line(0, 400), word), 0, 20).Draw(t, "metadata"),
		Track: mailer.Tracking{
			Opens:  mailer.Switch(rapid.IntRange(0, 2).Draw(t, "opens")),
			Clicks: mailer.Switch(rapid.IntRange(0, 2).Draw(t, "clicks")),
		},
	}
}

// Decode requires that body is one JSON value, with no member that v, a pointer to
// what the service documents, does not have.
func Decode(t require.TestingT, body []byte, v any) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(v))
	_, err := d.Token()
	require.ErrorIs(t, err, io.EOF)
}

// RequireMailboxes requires that a reader of RFC 5322 finds these addresses, one in
// each text.
func RequireMailboxes(t require.TestingT, want []mailer.Address, got []string) {
	require.Len(t, got, len(want))
	for i, text := range got {
		a, err := mail.ParseAddress(text)
		require.NoError(t, err, "%q", text)
		require.Equal(t, want[i], *a)
	}
}

// HeadersOf returns the header fields that a message asks for: its own, and those of
// Unsubscribe.
func HeadersOf(m mailer.Message) map[string]string {
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
