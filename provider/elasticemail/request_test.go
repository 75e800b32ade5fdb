package elasticemail

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
		var body []byte
		if r.Body != nil {
			var err error
			if body, err = io.ReadAll(r.Body); err != nil {
				return nil, err
			}
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

// wire is a request as Elastic Email documents it, with nothing else in it.
type wire struct {
	Recipients struct{ To, CC, BCC []string }
	Content    struct {
		From, ReplyTo, EnvelopeFrom, Subject string
		Body                                 []struct{ ContentType, Content, Charset string }
		Headers                              map[string]string
		Postback, TemplateName               string
		Merge                                map[string]string
		Utm                                  UTM
		Attachments                          []struct {
			BinaryContent     []byte
			Name, ContentType string
		}
	}
	Options struct {
		TimeOffset              *int
		PoolName, ChannelName   string
		TrackOpens, TrackClicks *bool
	}
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

// requireSays requires that Elastic Email would understand just the message.
func requireSays(t require.TestingT, m mailer.Message, r mailer.Receipt, w wire) {
	m.ID = r.ID
	m, err := envelope.Prepare(m, false)
	require.NoError(t, err)

	requireMailboxes(t, []mailer.Address{m.From}, []string{w.Content.From})
	requireMailboxes(t, m.To, w.Recipients.To)
	requireMailboxes(t, m.Cc, w.Recipients.CC)
	requireMailboxes(t, m.Bcc, w.Recipients.BCC)
	if len(m.ReplyTo) > 0 {
		requireMailboxes(t, m.ReplyTo, []string{w.Content.ReplyTo})
	} else {
		require.Empty(t, w.Content.ReplyTo)
	}
	x := mailer.ExtraFor[Extra](m)
	require.Equal(t, []string{m.Subject, m.Template.ID, x.EnvelopeFrom, x.PoolName}, []string{w.Content.Subject, w.Content.TemplateName, w.Content.EnvelopeFrom, w.Options.PoolName})
	require.Equal(t, x.UTM, w.Content.Utm)
	bodies := map[string]string{}
	for _, b := range w.Content.Body {
		require.NotContains(t, bodies, b.ContentType, "a form stands twice")
		require.NotEmpty(t, b.Content)
		require.Equal(t, "utf-8", b.Charset)
		bodies[b.ContentType] = b.Content
	}
	require.Equal(t, []string{m.HTML, m.Text, x.AMP}, []string{bodies["HTML"], bodies["PlainText"], bodies["AMP"]})
	delete(bodies, "HTML")
	delete(bodies, "PlainText")
	delete(bodies, "AMP")
	require.Empty(t, bodies)
	require.Equal(t, len(m.Template.Data), len(w.Content.Merge))
	for k, v := range m.Template.Data {
		require.Equal(t, v, w.Content.Merge[k])
	}

	headers := map[string]string{}
	for name, value := range m.Headers {
		headers[name] = value
	}
	var list []string
	if m.Unsubscribe.URL != "" {
		list = append(list, "<"+m.Unsubscribe.URL+">")
		headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
	}
	if m.Unsubscribe.Mailto != "" {
		list = append(list, "<mailto:"+m.Unsubscribe.Mailto+">")
	}
	if list != nil {
		headers["List-Unsubscribe"] = strings.Join(list, ", ")
	}
	require.Equal(t, len(headers), len(w.Content.Headers))
	for name, value := range headers {
		require.Equal(t, value, w.Content.Headers[name])
	}

	require.Len(t, w.Content.Attachments, len(m.Attachments))
	for i, a := range m.Attachments {
		if a.ContentType == "" {
			a.ContentType = "application/octet-stream"
		}
		got := w.Content.Attachments[i]
		require.Equal(t, []string{a.Name, a.ContentType, string(a.Content)}, []string{got.Name, got.ContentType, string(got.BinaryContent)})
	}

	require.Nil(t, w.Options.TimeOffset)
	requireSwitch(t, m.Track.Opens, w.Options.TrackOpens)
	requireSwitch(t, m.Track.Clicks, w.Options.TrackClicks)
	var dropped []string
	for i, tag := range m.Tags {
		if i == 0 {
			require.Equal(t, tag, w.Options.ChannelName)
		} else {
			dropped = append(dropped, adapter.Index("Tags", i))
		}
	}
	if m.Tags == nil {
		require.Empty(t, w.Options.ChannelName)
	}

	require.LessOrEqual(t, len(w.Content.Postback), 512)
	for _, c := range []byte(w.Content.Postback) {
		require.True(t, ' ' <= c && c < 0x7f, "%q", w.Content.Postback)
	}
	said := map[string]string{"mailer_id": w.Content.Postback}
	if strings.HasPrefix(w.Content.Postback, "{") {
		clear(said)
		require.NoError(t, json.Unmarshal([]byte(w.Content.Postback), &said))
	}
	require.Equal(t, m.ID, said["mailer_id"])
	delete(said, "mailer_id")
	for key, value := range m.Metadata {
		if got, ok := said[key]; ok {
			require.Equal(t, value, got)
			delete(said, key)
		} else {
			dropped = append(dropped, adapter.Key("Metadata", key))
		}
	}
	require.Empty(t, said)
	require.ElementsMatch(t, dropped, r.Dropped)
}

func requireSwitch(t require.TestingT, want mailer.Switch, got *bool) {
	if want == mailer.Default {
		require.Nil(t, got)
		return
	}
	require.NotNil(t, got)
	require.Equal(t, want == mailer.On, *got)
}

// text draws a line of text in many scripts.
func text(min, max int) *rapid.Generator[string] {
	return rapid.StringOfN(rapid.RuneFrom([]rune(`"\<>(),;:@. '%é{}`), unicode.L, unicode.N, unicode.P, unicode.S), min, max, -1)
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
		ReplyTo: addresses(0, 1, "reply-to"),
		Subject: text(0, 60).Draw(t, "subject"),
		Attachments: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) mailer.Attachment {
			return mailer.Attachment{
				Name:        rapid.StringMatching(`[a-zA-Z0-9 é"._-]{1,20}\.[a-z]{1,4}`).Draw(t, "file"),
				ContentType: rapid.SampledFrom([]string{"", "text/plain", "application/pdf", `text/plain; charset="utf-8"`}).Draw(t, "type"),
				Content:     rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "content"),
			}
		}), 0, 3).Draw(t, "attachments"),
		Headers:     rapid.MapOfN(rapid.StringMatching(`X-[A-DF-Z][a-z]{1,8}`), text(0, 40), 0, 4).Draw(t, "headers"),
		Unsubscribe: mailer.Unsubscribe{URL: rapid.SampledFrom([]string{"", "https://example.com/?a=1&b=2"}).Draw(t, "url"), Mailto: rapid.SampledFrom([]string{"", "leave@example.com"}).Draw(t, "mailto")},
		Tags:        rapid.SliceOfN(text(1, 40), 0, 3).Draw(t, "tags"),
		Metadata:    rapid.MapOfN(text(1, 22), text(0, 90), 0, 4).Draw(t, "metadata"),
		Track:       mailer.Tracking{Opens: mailer.Switch(rapid.IntRange(0, 2).Draw(t, "opens")), Clicks: mailer.Switch(rapid.IntRange(0, 2).Draw(t, "clicks"))},
	}
	x := Extra{PoolName: text(0, 10).Draw(t, "pool"), EnvelopeFrom: rapid.SampledFrom([]string{"", "bounces@example.com"}).Draw(t, "envelope")}
	for _, s := range []*string{&x.UTM.Source, &x.UTM.Medium, &x.UTM.Campaign, &x.UTM.Content} {
		*s = text(0, 10).Draw(t, "utm")
	}
	if rapid.Bool().Draw(t, "template") {
		m.Template.ID = "welcome"
		m.Template.Data = map[string]any{}
		for name, value := range rapid.MapOfN(rapid.StringMatching(`[a-z_]{1,5}`), text(0, 9), 0, 5).Draw(t, "data") {
			m.Template.Data[name] = value
		}
	} else {
		m.Text, m.HTML, x.AMP = rapid.String().Draw(t, "text"), rapid.String().Draw(t, "html"), text(0, 20).Draw(t, "amp")
	}
	m.Extras = []mailer.Extra{x}
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
		require.Equal(t, "https://api.elasticemail.com/v4/emails/transactional", service.url)
		require.Equal(t, []string{key}, service.header["X-Elasticemail-Apikey"])
		requireSays(t, m, r, decode(t, service.body))
	})
}

func FuzzRequest(f *testing.F) {
	f.Add("Ada", "ada@example.com", "Hello", "text", "<p>html</p>", "X-A", "b", "tag", "key", "value", "a.txt", "text/plain", "", []byte("x"))
	f.Add("Ada", "ada@example.com", "Hello", "", "", "X-A", "b", "tag", "key", "value", "a.txt", "text/plain", "", []byte("x"))
	f.Add(`Eve" <eve@evil.example>, "x`, `"toni> ORCPT=eve"@example.com`, "a\r\nBcc: eve@evil.example", "\x00", "\u2028", "X-A: b\r\nBcc", "eve@evil.example",
		"tag\x7f", "mailer_id", "\xff", "a\".txt", "text/plain; name=\"x", "a>\r\n", []byte(`","BCC":["eve@evil.example"],"a":"`))
	f.Add("Eve, eve@evil.example", "a@b\u00fccher.example", "", "", "", "x-ElasticEmail-Postback", "\t", "\U0001f680", "K", "k", "..", "", "", []byte{})
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
			Metadata:    map[string]string{key: entry, "plan": value},
			Attachments: []mailer.Attachment{{Name: file, ContentType: typ, ContentID: cid, Content: content}},
		}
		if text == "" && html == "" {
			m.Template = mailer.Template{ID: "welcome", Data: map[string]any{key: entry}}
		}
		p, service := capture(t, Config{APIKey: "key-for-fuzzing"})
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
			want int // minutes; 0: none
			zone *time.Location
		}{
			"in an hour":               {time.Hour, 60, time.UTC},
			"in an hour of a far zone": {time.Hour, 60, time.FixedZone("", 5*3600)},
			"in a moment":              {time.Nanosecond, 1, time.UTC},
			"in a minute and a bit":    {time.Minute + 1, 2, time.UTC},
			"in 35 days":               {35 * 24 * time.Hour, 35 * 24 * 60, time.UTC},
			"in nearly 35 days":        {35*24*time.Hour - 1, 35 * 24 * 60, time.UTC},
			"now":                      {0, 0, time.UTC},
			"an hour ago":              {-time.Hour, 0, time.UTC},
		} {
			m := registration
			m.SendAt = time.Now().Add(c.in).In(c.zone)
			_, err := p.Send(t.Context(), m)
			require.NoError(t, err, name)
			got := 0
			if offset := decode(t, service.body).Options.TimeOffset; offset != nil {
				got = *offset
			}
			require.Equal(t, c.want, got, name)
		}
		m := registration
		for _, at := range []time.Time{time.Now().Add(35*24*time.Hour + 1), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)} {
			m.SendAt = at
			err := p.Check(m)
			require.ErrorIs(t, err, mailer.KindUnsupported)
			require.Equal(t, "SendAt", err.(*mailer.Error).Field)
		}
	})
}

func TestPostbackFillsItsRoomToTheLastByte(t *testing.T) {
	m := registration
	m.ID = strings.Repeat("i", 64)
	room := 512 - len(`{"mailer_id":"","a":""}`) - 64
	m.Metadata = map[string]string{"a": strings.Repeat("x", room)}
	text, dropped := postback(&m)
	require.Len(t, text, 512)
	require.Empty(t, dropped)
	m.Metadata["a"] += "x"
	text, dropped = postback(&m)
	require.Equal(t, m.ID, text)
	require.Equal(t, []string{`Metadata["a"]`}, dropped)
	m.Metadata["b"] = "small"
	text, dropped = postback(&m)
	require.Equal(t, `{"mailer_id":"`+m.ID+`","b":"small"}`, text)
	require.Equal(t, []string{`Metadata["a"]`}, dropped)
}
