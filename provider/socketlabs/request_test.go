package socketlabs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
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

// wire is a request as SocketLabs documents it, with nothing else in it.
type wire struct {
	ServerId int64
	ApiKey   string
	Messages []wireMessage
}

type mailbox struct{ EmailAddress, FriendlyName string }

type wireMessage struct {
	To, Cc, Bcc                                                                      []mailbox
	From                                                                             mailbox
	ReplyTo                                                                          *mailbox
	Subject, TextBody, HtmlBody, AmpBody, ApiTemplate, MessageId, MailingId, CharSet string
	MergeData                                                                        *struct {
		Global     []field
		PerMessage [][]field
	}
	CustomHeaders []struct{ Name, Value string }
	Metadata      []struct{ Key, Value string }
	Tags          []string
	Attachments   []struct {
		Name, ContentType, ContentId string
		Content                      []byte
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

// requireSays requires that SocketLabs would understand just the message.
func requireSays(t require.TestingT, m mailer.Message, r mailer.Receipt, w wireMessage) {
	m.ID = r.ID
	m, err := envelope.Prepare(m, false)
	require.NoError(t, err)

	mailboxes := func(as []mailer.Address) (list []mailbox) {
		for _, a := range as {
			list = append(list, mailbox{a.Address, a.Name})
		}
		return list
	}
	require.Equal(t, mailbox{m.From.Address, m.From.Name}, w.From)
	to := w.To
	if w.MergeData != nil { // a copy for each
		require.Equal(t, []mailbox{{"%%DeliveryAddress%%", "%%RecipientName%%"}}, w.To)
		to = nil
		for _, fields := range w.MergeData.PerMessage {
			require.Len(t, fields, 2)
			require.Equal(t, []string{"DeliveryAddress", "RecipientName"}, []string{fields[0].Field, fields[1].Field})
			to = append(to, mailbox{fields[0].Value, fields[1].Value})
		}
		data := map[string]any{}
		for _, f := range w.MergeData.Global {
			require.NotContains(t, data, f.Field, "a field stands twice")
			data[f.Field] = f.Value
		}
		require.Equal(t, m.Template.Data, data)
	} else {
		require.Empty(t, m.Template.Data)
	}
	require.Equal(t, mailboxes(m.To), to)
	require.Equal(t, mailboxes(m.Cc), w.Cc)
	require.Equal(t, mailboxes(m.Bcc), w.Bcc)
	if len(m.ReplyTo) == 0 {
		require.Nil(t, w.ReplyTo)
	} else {
		require.Equal(t, mailboxes(m.ReplyTo), []mailbox{*w.ReplyTo})
	}
	require.Equal(t, []string{m.Subject, m.Text, m.HTML, m.Template.ID, m.ID}, []string{w.Subject, w.TextBody, w.HtmlBody, w.ApiTemplate, w.MessageId})
	x := mailer.ExtraFor[Extra](m)
	require.Equal(t, x, Extra{MailingID: w.MailingId, AMP: w.AmpBody})
	require.Empty(t, w.CharSet)

	headers := map[string]string{}
	for _, h := range w.CustomHeaders {
		require.NotContains(t, headers, h.Name, "a header stands twice")
		headers[h.Name] = h.Value
	}
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
	require.Equal(t, want, headers)

	require.Len(t, w.Attachments, len(m.Attachments))
	for i, a := range m.Attachments {
		got := w.Attachments[i]
		if a.ContentType == "" {
			a.ContentType = "application/octet-stream"
		}
		require.Equal(t, []string{a.Name, a.ContentType, a.ContentID}, []string{got.Name, got.ContentType, got.ContentId})
		require.Equal(t, string(a.Content), string(got.Content))
	}

	// What is not dropped is there, and nothing else is.
	dropped := map[string]bool{}
	for _, d := range r.Dropped {
		require.False(t, dropped[d], "%s is dropped twice", d)
		dropped[d] = true
	}
	var tags []string
	for i, tag := range m.Tags {
		if !dropped[adapter.Index("Tags", i)] {
			tags = append(tags, tag)
		}
	}
	require.Equal(t, tags, w.Tags)
	metadata := map[string]string{}
	for _, entry := range w.Metadata {
		require.NotContains(t, metadata, entry.Key)
		metadata[entry.Key] = entry.Value
	}
	kept := map[string]string{}
	for key, value := range m.Metadata {
		if !dropped[adapter.Key("Metadata", key)] {
			kept[key] = value
		}
	}
	require.Equal(t, kept, metadata)
	require.Equal(t, m.Track.Opens != mailer.Default, dropped["Track.Opens"])
	require.Equal(t, m.Track.Clicks != mailer.Default, dropped["Track.Clicks"])
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
		ReplyTo: addresses(0, 1, "reply-to"),
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
		Tags:        rapid.SliceOfN(text(1, 40), 0, 5).Draw(t, "tags"),
		Metadata:    rapid.MapOfN(text(1, 22), rapid.OneOf(text(0, 90), rapid.SampledFrom([]string{strings.Repeat("v", 2000), strings.Repeat("\"", 1500)})), 0, 12).Draw(t, "metadata"),
		Track:       mailer.Tracking{Opens: mailer.Switch(rapid.IntRange(0, 2).Draw(t, "opens")), Clicks: mailer.Switch(rapid.IntRange(0, 2).Draw(t, "clicks"))},
		Subject:     text(1, 60).Draw(t, "subject"),
	}
	x := Extra{MailingID: text(0, 20).Draw(t, "mailing")}
	switch rapid.IntRange(0, 2).Draw(t, "form") {
	case 0:
		m.Text, m.HTML, x.AMP = rapid.String().Draw(t, "text"), rapid.String().Draw(t, "html"), rapid.String().Draw(t, "amp")
		m.Cc, m.Bcc = addresses(0, 3, "cc"), addresses(0, 3, "bcc")
	case 1:
		m.Template.ID = "4711"
		m.Cc, m.Bcc = addresses(0, 3, "cc"), addresses(0, 3, "bcc")
	case 2:
		m.Template.ID = "4711"
		m.Template.Data = map[string]any{}
		for name, value := range rapid.MapOfN(rapid.StringMatching(`[a-z]{1,3}[0-9_]`), rapid.StringMatching(`[a-z<"é%]{0,9}%?[a-z]?`), 1, 5).Draw(t, "data") {
			m.Template.Data[name] = value
		}
	}
	if x != (Extra{}) {
		m.Extras = []mailer.Extra{x}
	}
	if m.Validate() != nil || strings.Contains(x.AMP, "\x00") {
		t.Skip("not valid")
	}
	if all, err := json.Marshal(m); m.Template.Data != nil && (err != nil || strings.Contains(string(all), "%%")) {
		t.Skip("merging would find a field")
	}
	return m
}

func TestRequestGivesTheMessageBack(t *testing.T) {
	p, service := capture(t, Config{ServerID: 12345, APIKey: legacy})
	rapid.Check(t, func(t *rapid.T) {
		m := draw(t)
		r, err := p.Send(t.Context(), m)
		require.NoError(t, err)
		w := decode(t, service.body)
		require.Equal(t, int64(12345), w.ServerId)
		require.Equal(t, legacy, w.ApiKey)
		require.Len(t, w.Messages, 1)
		requireSays(t, m, r, w.Messages[0])
	})
}

func FuzzRequest(f *testing.F) {
	f.Add("Ada", "ada@example.com", "Hello", "text", "<p>html</p>", "X-A", "b", "tag", "key", "value", "a.txt", "text/plain", "cid", []byte("x"), "", "")
	f.Add(`Eve" <eve@evil.example>, "x`, `"toni> ORCPT=eve"@example.com`, "a\r\nBcc: eve@evil.example", "\x00", "\u2028", "X-A: b\r\nBcc", "eve@evil.example",
		"tag\x7f", "mailer_id", "\xff", "a\".txt", "text/plain; name=\"x", "a>\r\n", []byte(`","Bcc":[{"EmailAddress":"eve@evil.example"}],"A":"`), "", "")
	f.Add("%%link%%", "a%%b%%@example.com", "%%", "", "", "x-xsMessageId", "\t", "\U0001f680", "K", "k", "..", "", "", []byte{}, "deliveryaddress", "eve@evil.example")
	f.Add("\u760d\u760a", "a@b\u00fccher.example", `\`, "", "", "X-B", `"}`, "t", "K", "k", "a", "", "", []byte{}, "link", "%%%%")
	f.Fuzz(func(t *testing.T, name, address, subject, text, html, header, value, tag, key, entry, file, typ, cid string, content []byte, datum, fill string) {
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
			Extras:      []mailer.Extra{Extra{MailingID: tag, AMP: html}},
		}
		if text == "" && html == "" {
			m.Template = mailer.Template{ID: "4711"}
			if datum != "" {
				m.Template.Data = map[string]any{datum: fill}
			}
		}
		p, service := capture(t, Config{ServerID: 12345, APIKey: legacy})
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
		w := decode(t, service.body)
		require.Len(t, w.Messages, 1)
		requireSays(t, m, r, w.Messages[0])
	})
}

func TestTheKeyGoesWhereItBelongs(t *testing.T) {
	for name, c := range map[string]struct {
		key    string
		bearer bool
	}{
		"a key of 20 and 40 characters": {key, true},
		"a legacy key":                  {legacy, false},
		"61 characters without a dot":   {strings.ReplaceAll(key, ".", "x"), false},
		"a dot elsewhere":               {"x" + strings.Replace(key[:60], ".", "y.", 1)[:60], false},
		"62 characters":                 {key + "x", false},
	} {
		t.Run(name, func(t *testing.T) {
			p, service := capture(t, Config{ServerID: 9007199254740993, APIKey: c.key})
			_, err := p.Send(t.Context(), registration)
			require.NoError(t, err)
			w := decode(t, service.body)
			require.Equal(t, int64(9007199254740993), w.ServerId)
			if c.bearer {
				require.Equal(t, "Bearer "+c.key, service.header.Get("Authorization"))
				require.Empty(t, w.ApiKey)
			} else {
				require.Empty(t, service.header.Get("Authorization"))
				require.Equal(t, c.key, w.ApiKey)
			}
		})
	}
	t.Run("a legacy key that an answer repeats is not told", func(t *testing.T) {
		client := answers(func(_ *http.Request, body []byte) (int, string) { return 502, "<pre>" + string(body) + "</pre>" })
		p, err := New(Config{ServerID: 1, APIKey: legacy, HTTPClient: client})
		require.NoError(t, err)
		_, err = p.Send(t.Context(), registration)
		require.ErrorIs(t, err, mailer.KindUnavailable)
		require.Contains(t, err.Error(), "ServerId")
		require.NotContains(t, fmt.Sprintf("%v %+v", err, err), legacy)
	})
}

func TestBaseURL(t *testing.T) {
	for given, want := range map[string]string{
		"":                                       "https://inject.socketlabs.com/api/v1/email",
		BaseURLComplex:                           "https://inject-cx.socketlabs.com/api/v1/email",
		BaseURLComplex + path:                    "https://inject-cx.socketlabs.com/api/v1/email",
		"https://gateway.example/proxy":          "https://gateway.example/proxy/api/v1/email",
		"https://gateway.example/api/v1/email/x": "https://gateway.example/api/v1/email/x/api/v1/email",
	} {
		p, service := capture(t, Config{ServerID: 1, APIKey: key, BaseURL: given})
		_, err := p.Send(t.Context(), registration)
		require.NoError(t, err)
		require.Equal(t, want, service.url)
	}
}

func TestRequestLiteral(t *testing.T) {
	p, service := capture(t, Config{ServerID: 12345, APIKey: key, Templates: map[string]string{"welcome": "4711"}})
	m := mailer.Message{
		ID:   "8841",
		From: mailer.Address{Name: "Harbour Books, Ltd.", Address: "orders@example.com"},
		To:   []mailer.Address{{Name: "Noor, Amal", Address: "amal@example.com"}, {Address: "ben@example.com"}},
		Bcc:  []mailer.Address{{Address: "archive@example.com"}}, ReplyTo: []mailer.Address{{Address: "help@example.com"}},
		Subject: "Hello", HTML: "<b>8841</b>", Metadata: map[string]string{"plan": "pro"}, Tags: []string{"<a>"},
		Extras: []mailer.Extra{Extra{MailingID: "spring"}},
	}
	_, err := p.Send(t.Context(), m)
	require.NoError(t, err)
	require.Equal(t, `{"ServerId":12345,"Messages":[{"From":{"EmailAddress":"orders@example.com","FriendlyName":"Harbour Books, Ltd."},`+
		`"ReplyTo":{"EmailAddress":"help@example.com"},`+
		`"To":[{"EmailAddress":"amal@example.com","FriendlyName":"Noor, Amal"},{"EmailAddress":"ben@example.com"}],`+
		`"Bcc":[{"EmailAddress":"archive@example.com"}],"Subject":"Hello","HtmlBody":"<b>8841</b>",`+
		`"MessageId":"8841","MailingId":"spring","Metadata":[{"Key":"plan","Value":"pro"}],"Tags":["<a>"]}]}`, string(service.body))

	m = mailer.Message{
		ID: "8841", From: m.From, To: m.To,
		Template: mailer.Template{ID: "welcome", Data: map[string]any{"Name": "<Ada>", "Count": 3}},
	}
	_, err = p.Send(t.Context(), m)
	require.NoError(t, err)
	require.Equal(t, `{"ServerId":12345,"Messages":[{"From":{"EmailAddress":"orders@example.com","FriendlyName":"Harbour Books, Ltd."},`+
		`"To":[{"EmailAddress":"%%DeliveryAddress%%","FriendlyName":"%%RecipientName%%"}],"MergeData":{"PerMessage":[`+
		`[{"Field":"DeliveryAddress","Value":"amal@example.com"},{"Field":"RecipientName","Value":"Noor, Amal"}],`+
		`[{"Field":"DeliveryAddress","Value":"ben@example.com"},{"Field":"RecipientName","Value":""}]],`+
		`"Global":[{"Field":"Count","Value":"3"},{"Field":"Name","Value":"<Ada>"}]},`+
		`"ApiTemplate":"4711","MessageId":"8841"}]}`, string(service.body))
}

func TestMerging(t *testing.T) {
	p, err := New(Config{ServerID: 1, APIKey: key, Templates: map[string]string{"mine": "12"}})
	require.NoError(t, err)
	const twice = "a %%Link%% b"
	template := func(data map[string]any) mailer.Message {
		return mailer.Message{
			From: mailer.Address{Address: "shop@example.com"}, To: []mailer.Address{{Address: "ada@example.com"}},
			Subject: "Hello", Template: mailer.Template{ID: "mine", Data: data},
		}
	}
	for name, c := range map[string]struct {
		change func(m *mailer.Message)
		field  string
	}{
		"a list":                       {func(m *mailer.Message) { m.Template.Data["x"] = []int{1} }, `Template.Data["x"]`},
		"an object":                    {func(m *mailer.Message) { m.Template.Data["x"] = map[string]int{} }, `Template.Data["x"]`},
		"null":                         {func(m *mailer.Message) { m.Template.Data["x"] = nil }, `Template.Data["x"]`},
		"a field without a name":       {func(m *mailer.Message) { m.Template.Data[""] = "" }, `Template.Data[""]`},
		"a field's name with the mark": {func(m *mailer.Message) { m.Template.Data["a%"] = "" }, `Template.Data["a%"]`},
		"a field's name of two lines":  {func(m *mailer.Message) { m.Template.Data["a\nb"] = "" }, `Template.Data["a\nb"]`},
		"the recipient's address":      {func(m *mailer.Message) { m.Template.Data["DELIVERYaddress"] = "" }, `Template.Data["DELIVERYaddress"]`},
		"the recipient's name":         {func(m *mailer.Message) { m.Template.Data["RecipientName"] = "" }, `Template.Data["RecipientName"]`},
		"two fields but for the case":  {func(m *mailer.Message) { m.Template.Data["link"] = "" }, `Template.Data["link"]`},
		"a field in a value":           {func(m *mailer.Message) { m.Template.Data["x"] = twice }, `Template.Data["x"]`},
		"a field in Subject":           {func(m *mailer.Message) { m.Subject = twice }, "Subject"},
		"a field in From":              {func(m *mailer.Message) { m.From.Name = twice }, "From"},
		"a field in From's address":    {func(m *mailer.Message) { m.From.Address = "a%%b%%@example.com" }, "From"},
		"a field in To":                {func(m *mailer.Message) { m.To[0].Name = twice }, "To[0]"},
		"a field in To's address":      {func(m *mailer.Message) { m.To[0].Address = "a%%b%%@example.com" }, "To[0]"},
		"a field in ReplyTo":           {func(m *mailer.Message) { m.ReplyTo = []mailer.Address{{Name: twice, Address: "a@example.com"}} }, "ReplyTo[0]"},
		"a field in ReplyTo's address": {func(m *mailer.Message) { m.ReplyTo = []mailer.Address{{Address: "%%b%%@example.com"}} }, "ReplyTo[0]"},
		"a field in a header":          {func(m *mailer.Message) { m.Headers = map[string]string{"X-A": twice} }, `Headers["X-A"]`},
		"a field in a header's name":   {func(m *mailer.Message) { m.Headers = map[string]string{"X-%%A%%": "x"} }, `Headers["X-%%A%%"]`},
		"a field in the URL":           {func(m *mailer.Message) { m.Unsubscribe.URL = "https://example.com/?a=%%link%%" }, "Unsubscribe.URL"},
		"a field in a file's name": {func(m *mailer.Message) {
			m.Attachments = []mailer.Attachment{{Name: "ok"}, {Name: twice}}
		}, "Attachments[1].Name"},
	} {
		t.Run(name, func(t *testing.T) {
			m := template(map[string]any{"Link": "https://example.com/"})
			c.change(&m)
			require.NoError(t, m.Validate())
			e, ok := p.Check(m).(*mailer.Error)
			require.True(t, ok, "it is carried")
			require.Equal(t, mailer.KindUnsupported, e.Kind)
			require.Equal(t, c.field, e.Field)
			require.True(t, e.NotSent)
			require.Equal(t, "socketlabs", e.Provider)
		})
	}
	for name, data := range map[string]map[string]any{
		"a field's name that is not UTF-8": {"\x80": ""},
		"a value that is not UTF-8":        {"x": "\xff"},
	} {
		t.Run(name, func(t *testing.T) {
			err := p.Check(template(data))
			require.ErrorIs(t, err, mailer.KindInvalid)
			require.Contains(t, err.(*mailer.Error).Field, "Template.Data[")
		})
	}
	t.Run("without data nothing is merged, so everything is carried", func(t *testing.T) {
		m := template(nil)
		m.Subject, m.To[0].Name = twice, twice
		require.NoError(t, p.Check(m))
	})
	t.Run("one mark is text", func(t *testing.T) {
		m := template(map[string]any{"Rate": "50%%", "Other": "%a%%b%"})
		m.Subject = "100%% yours"
		require.NoError(t, p.Check(m))
	})
	for id, carried := range map[string]bool{
		"mine": true, "12": true, "9223372036854775807": true,
		"0": false, "welcome": false, "+1": false, "-1": false, "1.5": false, "1_0": false, " 1": false, "99999999999999999999": false,
	} {
		t.Run("template "+id, func(t *testing.T) {
			m := template(nil)
			m.Template.ID = id
			if err := p.Check(m); carried {
				require.NoError(t, err)
			} else {
				require.Equal(t, "Template.ID", err.(*mailer.Error).Field)
			}
		})
	}
}

func TestReportingFillsTheRoomAndNoMore(t *testing.T) {
	p, service := capture(t, Config{ServerID: 1, APIKey: key})
	m := registration
	// 5 entries of 2500 bytes are 12,500.
	m.Metadata = map[string]string{}
	for i := range 6 {
		k := fmt.Sprint(i) + strings.Repeat("k", 254)
		m.Metadata[k] = strings.Repeat("v", 2000)
		m.Tags = append(m.Tags, strings.Repeat("t", 255-38))
	}
	const entry = len(`{"Key":"","Value":""},`) + 255 + 2000
	const tag = len(`"",`) + 255 - 38
	r, err := p.Send(t.Context(), m)
	require.NoError(t, err)
	w := decode(t, service.body).Messages[0]
	require.Len(t, w.Tags, 6)
	require.Len(t, w.Metadata, (12_500-6*tag)/entry)
	require.Len(t, r.Dropped, 6-len(w.Metadata))

	// The room is used to its last byte.
	m.Tags = nil
	rest := 12_500 - 5*entry
	k := "z" + strings.Repeat("k", 200)
	m.Metadata[k] = strings.Repeat("v", rest-len(`{"Key":"","Value":""},`)-len(k))
	delete(m.Metadata, "5"+strings.Repeat("k", 254))
	r, err = p.Send(t.Context(), m)
	require.NoError(t, err)
	require.Empty(t, r.Dropped)
	m.Metadata[k] += "v"
	r, err = p.Send(t.Context(), m)
	require.NoError(t, err)
	require.Equal(t, []string{adapter.Key("Metadata", k)}, r.Dropped)
}

func TestSizeIsTheWholeRequest(t *testing.T) {
	p, service := capture(t, Config{ServerID: 1, APIKey: legacy})
	m := registration
	m.Attachments = []mailer.Attachment{{Name: "a.bin", Content: make([]byte, 100_001)}, {Name: "b.bin"}}
	r, err := p.request(m)
	require.NoError(t, err)
	_, err = p.Send(t.Context(), m)
	require.NoError(t, err)
	require.EqualValues(t, len(service.body), r.body.Size())
}
