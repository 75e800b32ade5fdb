package smtp2go

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/mail"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/internal/envelope"
)

// roundTrip plays the service without a network.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// answers is an HTTP client whose service answers like that.
func answers(answer func(r *http.Request, body []byte) (status int, text string)) *http.Client {
	return &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		status, text := answer(r, body)
		return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(text))}, nil
	})}
}

// sent is what reached the service.
type sent struct {
	url    string
	header http.Header
	body   []byte
}

// capture returns a Provider whose messages are all taken, and where they go.
func capture(t require.TestingT, c Config) (*Provider, *sent) {
	s := new(sent)
	c.HTTPClient = answers(func(r *http.Request, body []byte) (int, string) {
		s.url, s.header, s.body = r.URL.String(), r.Header, body
		return 200, yes200
	})
	p, err := New(c)
	require.NoError(t, err)
	return p, s
}

// file is one as SMTP2GO documents it.
type file struct {
	Filename string `json:"filename"`
	Fileblob []byte `json:"fileblob"`
	Mimetype string `json:"mimetype"`
}

// wire is a request as SMTP2GO documents it, with nothing else in it.
type wire struct {
	Sender        string   `json:"sender"`
	To            []string `json:"to"`
	Cc            []string `json:"cc"`
	Bcc           []string `json:"bcc"`
	Subject       string   `json:"subject"`
	TextBody      string   `json:"text_body"`
	HTMLBody      string   `json:"html_body"`
	CustomHeaders []struct {
		Header string `json:"header"`
		Value  string `json:"value"`
	} `json:"custom_headers"`
	Attachments  []file         `json:"attachments"`
	Inlines      []file         `json:"inlines"`
	TemplateID   string         `json:"template_id"`
	TemplateData map[string]any `json:"template_data"`
	Schedule     string         `json:"schedule"`
	Fastaccept   *bool          `json:"fastaccept"`
}

func decode(t require.TestingT, body []byte) (w wire) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&w))
	_, err := d.Token()
	require.ErrorIs(t, err, io.EOF)
	return w
}

// requireMailboxes requires that a reader of RFC 5322 finds these addresses.
func requireMailboxes(t require.TestingT, want []mailer.Address, got []string) {
	require.Len(t, got, len(want))
	for i, text := range got {
		a, err := mail.ParseAddress(text)
		require.NoError(t, err, text)
		require.Equal(t, want[i], *a)
	}
}

// requireSays requires that SMTP2GO would understand just the message.
func requireSays(t require.TestingT, m mailer.Message, r mailer.Receipt, w wire) {
	m.ID = r.ID
	m, err := envelope.Prepare(m, false)
	require.NoError(t, err)

	requireMailboxes(t, []mailer.Address{m.From}, []string{w.Sender})
	requireMailboxes(t, m.To, w.To)
	requireMailboxes(t, m.Cc, w.Cc)
	requireMailboxes(t, m.Bcc, w.Bcc)
	require.Equal(t, []string{m.Subject, m.Text, m.HTML, m.Template.ID}, []string{w.Subject, w.TextBody, w.HTMLBody, w.TemplateID})
	require.Equal(t, len(m.Template.Data), len(w.TemplateData))
	for k, v := range m.Template.Data {
		require.Equal(t, v, w.TemplateData[k])
	}
	require.NotNil(t, w.Fastaccept)
	require.Equal(t, mailer.ExtraFor[Extra](m).FastAccept, *w.Fastaccept)
	require.Empty(t, w.Schedule)

	headers := map[string]string{}
	for _, h := range w.CustomHeaders {
		require.NotContains(t, headers, h.Header, "a header stands twice")
		headers[h.Header] = h.Value
	}
	if len(m.ReplyTo) > 0 {
		list, err := mail.ParseAddressList(headers["Reply-To"])
		require.NoError(t, err)
		require.Len(t, list, len(m.ReplyTo))
		for i, a := range list {
			require.Equal(t, m.ReplyTo[i], *a)
		}
		delete(headers, "Reply-To")
	}
	want := map[string]string{"X-Mailer-Id": m.ID}
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

	files := map[bool][]file{true: w.Inlines, false: w.Attachments}
	for _, a := range m.Attachments {
		inline := a.ContentID != ""
		require.NotEmpty(t, files[inline], "a file is missing")
		got := files[inline][0]
		files[inline] = files[inline][1:]
		if a.ContentType == "" {
			a.ContentType = "application/octet-stream"
		}
		require.Equal(t, []string{a.Name, a.ContentType, string(a.Content)}, []string{got.Filename, got.Mimetype, string(got.Fileblob)})
		if inline {
			require.Equal(t, a.ContentID, got.Filename)
		}
	}
	require.Empty(t, files[true])
	require.Empty(t, files[false])

	var dropped []string
	for i := range m.Tags {
		dropped = append(dropped, adapter.Index("Tags", i))
	}
	for name := range m.Metadata {
		dropped = append(dropped, adapter.Key("Metadata", name))
	}
	if m.Track.Opens != mailer.Default {
		dropped = append(dropped, "Track.Opens")
	}
	if m.Track.Clicks != mailer.Default {
		dropped = append(dropped, "Track.Clicks")
	}
	require.ElementsMatch(t, dropped, r.Dropped)
}

// text draws a line of text in many scripts.
func text(min, max int) *rapid.Generator[string] {
	return rapid.StringOfN(rapid.RuneFrom([]rune(`"\<>(),;:@. '%é`), unicode.L, unicode.N, unicode.P, unicode.S), min, max, -1)
}

func mailboxOf(t *rapid.T) mailer.Address {
	return mailer.Address{
		Name:    strings.TrimSpace(text(0, 20).Draw(t, "name")),
		Address: rapid.StringMatching(`[a-z0-9!#$%&'*+/=?^_{|}~]{1,8}(\.[a-z]{1,3})?@[a-z]{1,8}\.(example|xn--bcher-kva\.example)`).Draw(t, "address"),
	}
}

// draw draws a message that is carried.
func draw(t *rapid.T) mailer.Message {
	addresses := func(min, max int, name string) []mailer.Address {
		return rapid.SliceOfN(rapid.Custom(mailboxOf), min, max).Draw(t, name)
	}
	m := mailer.Message{
		ID:      rapid.StringMatching(`[A-Za-z0-9_-]{0,64}`).Draw(t, "id"),
		From:    mailboxOf(t),
		To:      addresses(1, 5, "to"),
		Cc:      addresses(0, 3, "cc"),
		Bcc:     addresses(0, 3, "bcc"),
		ReplyTo: addresses(0, 3, "reply-to"),
		Attachments: rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) mailer.Attachment {
			a := mailer.Attachment{
				Name:        text(1, 20).Draw(t, "file"),
				ContentType: rapid.SampledFrom([]string{"", "image/png", "text/plain; charset=utf-8"}).Draw(t, "type"),
				Content:     rapid.SliceOf(rapid.Byte()).Draw(t, "content"),
			}
			if rapid.Bool().Draw(t, "inline") {
				a.Name = rapid.StringMatching(`[a-z]{1,5}\.png`).Draw(t, "cid")
				a.ContentID = a.Name
			}
			return a
		}), 0, 4, func(a mailer.Attachment) string { return a.Name }).Draw(t, "attachments"),
		Headers:     rapid.MapOfN(rapid.StringMatching(`X-[A-Z][a-z]{1,8}`), text(0, 40), 0, 4).Draw(t, "headers"),
		Unsubscribe: mailer.Unsubscribe{URL: rapid.SampledFrom([]string{"", "https://example.com/?a=1&b=2"}).Draw(t, "url"), Mailto: rapid.SampledFrom([]string{"", "leave@example.com"}).Draw(t, "mailto")},
		Tags:        rapid.SliceOfN(text(1, 40), 0, 3).Draw(t, "tags"),
		Metadata:    rapid.MapOfN(text(1, 22), text(0, 30), 0, 3).Draw(t, "metadata"),
		Track:       mailer.Tracking{Opens: mailer.Switch(rapid.IntRange(0, 2).Draw(t, "opens")), Clicks: mailer.Switch(rapid.IntRange(0, 2).Draw(t, "clicks"))},
		Extras:      []mailer.Extra{Extra{FastAccept: rapid.Bool().Draw(t, "fast")}},
	}
	if rapid.Bool().Draw(t, "template") {
		m.Template.ID = "welcome"
		m.Template.Data = map[string]any{}
		for name, value := range rapid.MapOfN(text(1, 5), text(0, 9), 0, 5).Draw(t, "data") {
			m.Template.Data[name] = value
		}
	} else {
		m.Subject, m.Text, m.HTML = text(1, 60).Draw(t, "subject"), rapid.String().Draw(t, "text"), rapid.String().Draw(t, "html")
	}
	if m.Validate() != nil {
		t.Skip("not valid")
	}
	return m
}

func TestRequestGivesTheMessageBack(t *testing.T) {
	p, service := capture(t, Config{APIKey: key})
	rapid.Check(t, func(t *rapid.T) {
		m := draw(t)
		r, err := p.Send(t.Context(), m)
		require.NoError(t, err)
		require.Equal(t, "https://api.smtp2go.com/v3/email/send", service.url)
		require.Equal(t, []string{key}, service.header["X-Smtp2go-Api-Key"])
		requireSays(t, m, r, decode(t, service.body))
	})
}

func FuzzRequest(f *testing.F) {
	f.Add("Ada", "ada@example.com", "Hello", "text", "<p>html</p>", "X-A", "b", "tag", "key", "value", "a.txt", "text/plain", "", []byte("x"))
	f.Add("Ada", "ada@example.com", "Hello", "text", "<p>html</p>", "X-A", "b", "tag", "key", "value", "a.png", "image/png", "a.png", []byte("x"))
	f.Add(`Eve" <eve@evil.example>, "x`, `"toni> ORCPT=eve"@example.com`, "a\r\nBcc: eve@evil.example", "\x00", "\u2028", "X-A: b\r\nBcc", "eve@evil.example",
		"tag\x7f", "mailer_id", "\xff", "a\".txt", "text/plain; name=\"x", "a>\r\n", []byte(`","bcc":["eve@evil.example"],"a":"`))
	f.Add("Eve, eve@evil.example", "a@b\u00fccher.example", "", "", "", "x-mailer-ID", "\t", "\U0001f680", "K", "k", "..", "", "", []byte{})
	f.Fuzz(func(t *testing.T, name, address, subject, text, html, header, value, tag, key, entry, file, typ, cid string, content []byte) {
		m := mailer.Message{
			From:        mailer.Address{Name: name, Address: "shop@example.com"},
			To:          []mailer.Address{{Name: name, Address: address}, {Name: subject, Address: "ada@example.com"}},
			ReplyTo:     []mailer.Address{{Name: value, Address: address}, {Name: name, Address: "help@example.com"}},
			Subject:     subject,
			Text:        text,
			HTML:        html,
			Headers:     map[string]string{header: value},
			Tags:        []string{tag},
			Metadata:    map[string]string{key: entry},
			Attachments: []mailer.Attachment{{Name: file, ContentType: typ, ContentID: cid, Content: content}},
		}
		if text == "" && html == "" {
			m.Template = mailer.Template{ID: "welcome", Data: map[string]any{"a": "b"}}
		}
		p, service := capture(t, Config{APIKey: "api-fuzz"})
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
		requireSays(t, m, r, decode(t, service.body))
	})
}

func TestSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // it is midnight, 2000-01-01
		p, service := capture(t, Config{APIKey: key})
		for name, c := range map[string]struct {
			in   time.Duration
			want string
			zone *time.Location
		}{
			"in an hour":               {time.Hour, "2000-01-01 01:00:00 +0000", time.UTC},
			"in an hour of a far zone": {time.Hour, "2000-01-01 01:00:00 +0000", time.FixedZone("", 5*3600)},
			"in a moment":              {time.Millisecond, "2000-01-01 00:00:01 +0000", time.UTC},
			"in three days":            {MaxDelay, "2000-01-04 00:00:00 +0000", time.UTC},
			"now":                      {0, "", time.UTC},
			"an hour ago":              {-time.Hour, "", time.UTC},
		} {
			m := registration
			m.SendAt = time.Now().Add(c.in).In(c.zone)
			_, err := p.Send(t.Context(), m)
			require.NoError(t, err, name)
			require.Equal(t, c.want, decode(t, service.body).Schedule, name)
		}
		m := registration
		m.SendAt = time.Now().Add(MaxDelay + time.Nanosecond)
		err := p.Check(m)
		require.ErrorIs(t, err, mailer.KindUnsupported)
		require.Equal(t, "SendAt", err.(*mailer.Error).Field)
	})
}

func TestTemplateIDsHave5To24Characters(t *testing.T) {
	p, err := New(Config{APIKey: key, Templates: map[string]string{"x": "id-of-x"}})
	require.NoError(t, err)
	for id, carried := range map[string]bool{
		"x": true, "12345": true, "éééé": false, "ééééé": true, "1234": false,
		strings.Repeat("é", 24): true, strings.Repeat("x", 25): false,
	} {
		m := registration
		m.Subject, m.Text, m.HTML = "", "", ""
		m.Template.ID = id
		if err := p.Check(m); carried {
			require.NoError(t, err, id)
		} else {
			require.Error(t, err, id)
			require.Equal(t, "Template.ID", err.(*mailer.Error).Field)
		}
	}
}
