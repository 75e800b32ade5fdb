package postmark

import (
	"encoding/json"
	"io"
	"net/http"
	"net/mail"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/envelope"
)

// roundTrip plays the service without a network.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// sent is what reached the service.
type sent struct {
	path  string
	token string
	body  []byte
}

// capture returns a Provider whose messages are all taken, and where they go.
func capture(t require.TestingT, c Config) (*Provider, *sent) {
	s := new(sent)
	c.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		s.path, s.token, s.body = r.URL.Path, r.Header.Get("X-Postmark-Server-Token"), body
		return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(yes("7f4f2c9e", "OK").Body))}, err
	})}
	p, err := New(c)
	require.NoError(t, err)
	return p, s
}

// wire is a request as Postmark documents it, with nothing else in it.
type wire struct {
	From, To, Cc, Bcc, ReplyTo, Subject, TextBody, HtmlBody, Tag, TrackLinks, MessageStream, TemplateAlias string
	TemplateId                                                                                             int
	TemplateModel                                                                                          map[string]any
	InlineCss, TrackOpens                                                                                  *bool
	Headers                                                                                                []struct{ Name, Value string }
	Metadata                                                                                               map[string]string
	Attachments                                                                                            []struct {
		Name, ContentType, ContentID string
		Content                      []byte
	}
}

func decode(t require.TestingT, body []byte) (w wire) {
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&w))
	_, err := d.Token()
	require.ErrorIs(t, err, io.EOF)
	return w
}

// requireSays requires that the request gives the message back, no more and no less.
func requireSays(t require.TestingT, m mailer.Message, r mailer.Receipt, body []byte) {
	w := decode(t, body)
	m.ID = r.ID
	m, err := envelope.Prepare(m, false)
	require.NoError(t, err)

	for _, l := range []struct {
		field string
		want  []mailer.Address
		got   string
	}{{"From", []mailer.Address{m.From}, w.From}, {"To", m.To, w.To}, {"Cc", m.Cc, w.Cc}, {"Bcc", m.Bcc, w.Bcc}, {"ReplyTo", m.ReplyTo, w.ReplyTo}} {
		var got []mailer.Address
		if l.got != "" {
			list, err := mail.ParseAddressList(l.got)
			require.NoError(t, err, "%s: %q", l.field, l.got)
			for _, a := range list {
				got = append(got, *a)
			}
		}
		require.Equal(t, len(l.want), len(got), "%s: %q", l.field, l.got)
		for i := range got {
			require.Equal(t, l.want[i], got[i], "%s: %q", l.field, l.got)
		}
	}
	require.Equal(t, []string{m.Subject, m.Text, m.HTML}, []string{w.Subject, w.TextBody, w.HtmlBody})

	headers := map[string]string{}
	for _, h := range w.Headers {
		require.NotContains(t, headers, h.Name, "a header stands twice")
		headers[h.Name] = h.Value
	}
	want := map[string]string{"Message-ID": "<" + m.ID + m.From.Address[strings.LastIndex(m.From.Address, "@"):] + ">"}
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
	require.Equal(t, want, headers)

	require.Len(t, w.Attachments, len(m.Attachments))
	for i, a := range m.Attachments {
		got := w.Attachments[i]
		require.Equal(t, a.Name, got.Name)
		require.Equal(t, string(a.Content), string(got.Content))
		if a.ContentType == "" {
			a.ContentType = "application/octet-stream"
		}
		require.Equal(t, a.ContentType, got.ContentType)
		if a.ContentID != "" {
			a.ContentID = "cid:" + a.ContentID
		}
		require.Equal(t, a.ContentID, got.ContentID)
	}

	require.Equal(t, m.ID, w.Metadata["mailer_id"])
	require.LessOrEqual(t, len(w.Metadata), 10)
	delete(w.Metadata, "mailer_id")
	for key, value := range m.Metadata {
		if got, ok := w.Metadata[key]; ok {
			require.Equal(t, value, got)
			delete(w.Metadata, key)
		} else {
			require.True(t, slices.ContainsFunc(r.Dropped, func(s string) bool { return strings.HasPrefix(s, "Metadata[") }))
		}
	}
	require.Empty(t, w.Metadata, "metadata that the message does not have")
	if len(m.Tags) > 0 {
		require.Equal(t, m.Tags[0], w.Tag)
	}
}

// text draws a line of text in many scripts.
func text(min, max int) *rapid.Generator[string] {
	return rapid.StringOfN(rapid.RuneFrom([]rune(`"\<>(),;:@. 'é`), unicode.L, unicode.N, unicode.P, unicode.S), min, max, -1)
}

func address(t *rapid.T) mailer.Address {
	return mailer.Address{
		Name:    strings.TrimSpace(text(0, 20).Draw(t, "name")),
		Address: rapid.StringMatching(`[a-z0-9!#$%&'*+/=^_{|}~]{1,8}(\.[a-z]{1,3})?@[a-z]{1,8}\.(example|xn--bcher-kva\.example)`).Draw(t, "address"),
	}
}

// draw draws a message, which may be not valid.
func draw(t *rapid.T) mailer.Message {
	addresses := func(min, max int, name string) []mailer.Address {
		return rapid.SliceOfN(rapid.Custom(address), min, max).Draw(t, name)
	}
	return mailer.Message{
		ID:      rapid.StringMatching(`[A-Za-z0-9_-]{0,64}`).Draw(t, "id"),
		From:    address(t),
		To:      addresses(1, 5, "to"),
		Cc:      addresses(0, 3, "cc"),
		Bcc:     addresses(0, 3, "bcc"),
		ReplyTo: addresses(0, 3, "reply-to"),
		Subject: text(0, 60).Draw(t, "subject"),
		Text:    rapid.String().Draw(t, "text"),
		HTML:    rapid.String().Draw(t, "html"),
		Attachments: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) mailer.Attachment {
			return mailer.Attachment{
				Name:        text(1, 20).Draw(t, "file"),
				ContentType: rapid.SampledFrom([]string{"", "image/png", "text/plain; charset=utf-8"}).Draw(t, "type"),
				ContentID:   rapid.StringMatching(`[a-z]{0,5}`).Draw(t, "cid"),
				Content:     rapid.SliceOf(rapid.Byte()).Draw(t, "content"),
			}
		}), 0, 3).Draw(t, "attachments"),
		Headers:     rapid.MapOfN(rapid.StringMatching(`X-[A-Z][a-z]{1,8}`), text(0, 40), 0, 4).Draw(t, "headers"),
		Unsubscribe: mailer.Unsubscribe{URL: rapid.SampledFrom([]string{"", "https://example.com/?a=1&b=2"}).Draw(t, "url"), Mailto: rapid.SampledFrom([]string{"", "leave@example.com"}).Draw(t, "mailto")},
		Tags:        rapid.SliceOfN(text(1, 10), 0, 3).Draw(t, "tags"),
		Metadata:    rapid.MapOfN(text(1, 22), text(0, 90), 0, 12).Draw(t, "metadata"),
	}
}

func TestRequestGivesTheMessageBack(t *testing.T) {
	p, service := capture(t, Config{ServerToken: token})
	rapid.Check(t, func(t *rapid.T) {
		m := draw(t)
		if m.Validate() != nil {
			t.Skip("not valid")
		}
		require.NoError(t, p.Check(m))
		r, err := p.Send(t.Context(), m)
		require.NoError(t, err)
		requireSays(t, m, r, service.body)
	})
}

func FuzzRequest(f *testing.F) {
	f.Add("Ada", "ada@example.com", "Hello", "text", "<p>html</p>", "X-A", "b", "tag", "key", "value", "a.txt", "text/plain", "cid", []byte("x"))
	f.Add(`Eve" <eve@evil.example>, "x`, `"toni> ORCPT=eve"@example.com`, "a\r\nBcc: eve@evil.example", "\x00", "\u2028", "X-A: b\r\nBcc", "eve@evil.example",
		"tag\x7f", "mailer_id", "\xff", "a\".txt", "text/plain; name=\"x", "a>\r\n", []byte(`","Bcc":"eve@evil.example"`))
	f.Add("\u760d\u760a", "a@b\u00fccher.example", `\`, `\u0022`, `"}`, "x-pm-rcpt", "\t", "\U0001f680", "K", "k", "..", "", "", []byte{})
	f.Fuzz(func(t *testing.T, name, address, subject, text, html, header, value, tag, key, entry, file, typ, cid string, content []byte) {
		m := mailer.Message{
			From:        mailer.Address{Name: name, Address: "shop@example.com"},
			To:          []mailer.Address{{Name: name, Address: address}, {Name: subject, Address: "ada@example.com"}},
			ReplyTo:     []mailer.Address{{Name: value, Address: address}},
			Subject:     subject,
			Text:        text,
			HTML:        html,
			Headers:     map[string]string{header: value},
			Tags:        []string{tag},
			Metadata:    map[string]string{key: entry},
			Attachments: []mailer.Attachment{{Name: file, ContentType: typ, ContentID: cid, Content: content}},
		}
		p, service := capture(t, Config{ServerToken: token})
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
		requireSays(t, m, r, service.body)
	})
}

func TestRequestLiteral(t *testing.T) {
	t.Run("the test token goes into the header as it is", func(t *testing.T) {
		p, service := capture(t, Config{ServerToken: "POSTMARK_API_TEST"})
		_, err := p.Send(t.Context(), mailer.Message{
			ID:   "8841",
			From: mailer.Address{Name: "Harbour Books, Ltd.", Address: "orders@example.com"},
			To:   []mailer.Address{{Name: "Noor, Amal", Address: "amal@example.com"}, {Address: "ben@example.com"}},
			HTML: "<b>8841</b>", Track: mailer.Tracking{Opens: mailer.On, Clicks: mailer.Off},
		})
		require.NoError(t, err)
		require.Equal(t, "POSTMARK_API_TEST", service.token)
		require.Equal(t, "/email", service.path)
		require.Equal(t, `{"From":"\"Harbour Books, Ltd.\" <orders@example.com>",`+
			`"To":"\"Noor, Amal\" <amal@example.com>, ben@example.com","HtmlBody":"<b>8841</b>",`+
			`"Headers":[{"Name":"Message-ID","Value":"<8841@example.com>"}],"Metadata":{"mailer_id":"8841"},`+
			`"TrackOpens":true,"TrackLinks":"None"}`, string(service.body))
	})
	for id, want := range map[string]string{
		"welcome":              `"TemplateAlias":"wilkommen"`, // by the Config's map
		"12345":                `"TemplateId":12345`,
		"007":                  `"TemplateId":7`,
		"12x":                  `"TemplateAlias":"12x"`,
		"+12":                  `"TemplateAlias":"+12"`,
		"99999999999999999999": `"TemplateAlias":"99999999999999999999"`,
	} {
		t.Run("template "+id, func(t *testing.T) {
			p, service := capture(t, Config{ServerToken: token, Templates: map[string]string{"welcome": "wilkommen"}})
			_, err := p.Send(t.Context(), mailer.Message{
				From:     mailer.Address{Address: "orders@example.com"},
				To:       []mailer.Address{{Address: "ada@example.com"}},
				Template: mailer.Template{ID: id},
			})
			require.NoError(t, err)
			require.Equal(t, "/email/withTemplate", service.path)
			require.Contains(t, string(service.body), want+`,"TemplateModel":{}`)
		})
	}
}
