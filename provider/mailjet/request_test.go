package mailjet

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/mailjet/mailjet-apiv3-go/v4"
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
	url            string
	user, password string
	body           []byte
}

// capture returns a Provider whose messages are all taken, and where they go.
func capture(t require.TestingT, c Config) (*Provider, *sent) {
	s := new(sent)
	c.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		s.url, s.body = r.URL.String(), body
		s.user, s.password, _ = r.BasicAuth()
		return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(`{"Messages":[{"Status":"success"}]}`))}, err
	})}
	p, err := New(c)
	require.NoError(t, err)
	return p, s
}

// wireBox is an address on the wire.
type wireBox struct{ Email, Name string }

// wireFile is a file on the wire.
type wireFile struct {
	ContentType, Filename, ContentID string
	Base64Content                    []byte
}

// wireMessage is a message as Mailjet documents it, with nothing else in it.
type wireMessage struct {
	From                                                        wireBox
	To, Cc, Bcc                                                 []wireBox
	ReplyTo, Sender, TemplateErrorReporting                     *wireBox
	Priority                                                    int
	Subject, TextPart, HTMLPart                                 string
	TemplateID                                                  int
	TemplateLanguage, TemplateErrorDeliver, DeduplicateCampaign bool
	Variables                                                   map[string]any
	Attachments, InlinedAttachments                             []wireFile
	Headers                                                     map[string]string
	CustomID, EventPayload, CustomCampaign                      string
	TrackOpens, TrackClicks, MonitoringCategory, URLTags        string
}

// wire is a request as Mailjet documents it.
type wire struct {
	Globals                           *wireMessage
	Messages                          []wireMessage
	SandboxMode, AdvanceErrorHandling bool
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
	call := decode(t, body)
	require.Nil(t, call.Globals)
	require.Len(t, call.Messages, 1)
	require.True(t, call.AdvanceErrorHandling)
	require.False(t, call.SandboxMode)
	requireMessage(t, m, r, call.Messages[0])
}

// requireMessage requires that the message on the wire is m.
func requireMessage(t require.TestingT, m mailer.Message, r mailer.Receipt, w wireMessage) {
	m.ID = r.ID
	m, err := envelope.Prepare(m, true)
	require.NoError(t, err)

	var replyTo []wireBox
	if w.ReplyTo != nil {
		replyTo = []wireBox{*w.ReplyTo}
	}
	for _, l := range []struct {
		field string
		want  []mailer.Address
		got   []wireBox
	}{{"From", []mailer.Address{m.From}, []wireBox{w.From}}, {"To", m.To, w.To}, {"Cc", m.Cc, w.Cc}, {"Bcc", m.Bcc, w.Bcc}, {"ReplyTo", m.ReplyTo, replyTo}} {
		require.Equal(t, len(l.want), len(l.got), l.field)
		for i, a := range l.want {
			require.Equal(t, wireBox{Email: a.Address, Name: a.Name}, l.got[i], l.field)
		}
	}
	require.Equal(t, []string{m.Subject, m.Text, m.HTML, m.ID}, []string{w.Subject, w.TextPart, w.HTMLPart, w.CustomID})

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
	require.Len(t, w.Headers, len(want))
	for name, value := range want {
		require.Equal(t, value, w.Headers[name])
	}

	require.Len(t, slices.Concat(w.Attachments, w.InlinedAttachments), len(m.Attachments))
	for _, a := range m.Attachments {
		from := &w.Attachments
		if a.ContentID != "" {
			from = &w.InlinedAttachments
		}
		got := (*from)[0] // each list has the order of the message
		*from = (*from)[1:]
		typ, _, _ := strings.Cut(a.ContentType, ";")
		if typ == "" {
			typ = "application/octet-stream"
		}
		require.Equal(t, []string{a.Name, typ, a.ContentID}, []string{got.Filename, got.ContentType, got.ContentID})
		require.Equal(t, string(a.Content), string(got.Base64Content))
	}

	if len(m.Metadata) == 0 {
		require.Empty(t, w.EventPayload)
	} else {
		var got map[string]string
		require.NoError(t, json.Unmarshal([]byte(w.EventPayload), &got))
		require.Equal(t, m.Metadata, got)
	}
	for i, tag := range m.Tags {
		if i == 0 && w.CustomCampaign != "" {
			require.Equal(t, tag, w.CustomCampaign)
		} else {
			require.Contains(t, r.Dropped, fmt.Sprintf("Tags[%d]", i))
		}
	}
	if len(m.Tags) == 0 {
		require.Empty(t, w.CustomCampaign)
	}
	for _, x := range []struct {
		field string
		value mailer.Switch
		got   string
	}{{"Track.Opens", m.Track.Opens, w.TrackOpens}, {"Track.Clicks", m.Track.Clicks, w.TrackClicks}} {
		want, dropped := [...]string{"", "enabled", "disabled"}[x.value], false
		if m.HTML == "" && m.Template.ID == "" {
			want, dropped = "", x.value == mailer.On
		}
		require.Equal(t, want, x.got, x.field)
		require.Equal(t, dropped, slices.Contains(r.Dropped, x.field))
	}
}

// text draws a line of text in many scripts.
func text(min, max int) *rapid.Generator[string] {
	return rapid.StringOfN(rapid.RuneFrom([]rune(`"\<>(),;:@. 'é`), unicode.L, unicode.N, unicode.P, unicode.S), min, max, -1)
}

func address(t *rapid.T) mailer.Address {
	return mailer.Address{
		Name:    strings.TrimSpace(text(0, 20).Draw(t, "name")),
		Address: rapid.StringMatching(`[a-zé山0-9!#$%&'*+/=?^_{|}~]{1,8}(\.[a-z]{1,3})?@[a-z]{1,8}\.(example|xn--bcher-kva\.example)`).Draw(t, "address"),
	}
}

func drawMessage(t *rapid.T) mailer.Message {
	addresses := func(min, max int, name string) []mailer.Address {
		return rapid.SliceOfN(rapid.Custom(address), min, max).Draw(t, name)
	}
	return mailer.Message{
		ID:      rapid.StringMatching(`[A-Za-z0-9_-]{0,64}`).Draw(t, "id"),
		From:    address(t),
		To:      addresses(1, 5, "to"),
		Cc:      addresses(0, 3, "cc"),
		Bcc:     addresses(0, 3, "bcc"),
		ReplyTo: addresses(0, 1, "reply-to"),
		Subject: text(0, 60).Draw(t, "subject"),
		Text:    rapid.String().Draw(t, "text"),
		HTML:    rapid.String().Draw(t, "html"),
		Attachments: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) mailer.Attachment {
			return mailer.Attachment{
				Name:        text(1, 20).Draw(t, "file"),
				ContentType: rapid.SampledFrom([]string{"", "image/png", "text/plain; charset=utf-8"}).Draw(t, "type"),
				ContentID:   rapid.StringMatching(`[a-z]{0,5}`).Draw(t, "cid"),
				Content:     rapid.SliceOfN(rapid.Byte(), 1, 100).Draw(t, "content"),
			}
		}), 0, 3).Draw(t, "attachments"),
		Headers:     rapid.MapOfN(rapid.StringMatching(`X-[A-Z][a-z]{1,8}`), text(0, 40), 0, 4).Draw(t, "headers"),
		Unsubscribe: mailer.Unsubscribe{URL: rapid.SampledFrom([]string{"", "https://example.com/?a=1&b=2"}).Draw(t, "url"), Mailto: rapid.SampledFrom([]string{"", "leave@example.com"}).Draw(t, "mailto")},
		Tags:        rapid.SliceOfN(rapid.OneOf(text(1, 10), rapid.StringMatching(`[A-Za-z0-9 _-]{1,255}`)), 0, 3).Draw(t, "tags"),
		Metadata:    rapid.MapOfN(text(1, 22), text(0, 90), 0, 12).Draw(t, "metadata"),
		Track: mailer.Tracking{
			Opens:  mailer.Switch(rapid.IntRange(0, 2).Draw(t, "opens")),
			Clicks: mailer.Switch(rapid.IntRange(0, 2).Draw(t, "clicks")),
		},
	}
}

func TestRequestGivesTheMessageBack(t *testing.T) {
	p, service := capture(t, keys)
	rapid.Check(t, func(t *rapid.T) {
		m := drawMessage(t)
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
		"tag\x7f", "mailer_id", "\xff", "a\".txt", "text/plain; name=\"x", "a>\r\n", []byte(`","Bcc":[{"Email":"eve@evil.example"}],"a":"`))
	f.Add("\u760d\u760a", "a@b\u00fccher.example", `\`, `\u0022`, `"}`, "x-mj-vars", "\t", "\U0001f680", "K", "k", "..", "", "", []byte{})
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
		p, service := capture(t, keys)
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

// What is written by hand has to say what encoding/json would.
func TestEncodeIsJSON(t *testing.T) {
	line := text(0, 20)
	box := rapid.Custom(func(t *rapid.T) mailjet.RecipientV31 {
		return mailjet.RecipientV31{Email: line.Draw(t, "email"), Name: line.Draw(t, "name")}
	})
	one := rapid.Custom(func(t *rapid.T) *message {
		boxes := func(name string) *mailjet.RecipientsV31 {
			list := mailjet.RecipientsV31(rapid.SliceOfN(box, 1, 3).Draw(t, name))
			if rapid.Bool().Draw(t, "no "+name) {
				return nil
			}
			return &list
		}
		m := &message{URLTags: line.Draw(t, "url tags")}
		if rapid.Bool().Draw(t, "from") {
			from, replyTo := box.Draw(t, "from"), box.Draw(t, "reply-to")
			m.From, m.ReplyTo, m.Sender, m.TemplateErrorReporting = &from, &replyTo, &replyTo, &from
		}
		m.To, m.Cc, m.Bcc = boxes("to"), boxes("cc"), boxes("bcc")
		m.Subject, m.TextPart, m.HTMLPart = line.Draw(t, "subject"), rapid.String().Draw(t, "text"), rapid.String().Draw(t, "html")
		m.CustomID, m.CustomCampaign, m.EventPayload = line.Draw(t, "id"), line.Draw(t, "campaign"), line.Draw(t, "payload")
		m.MonitoringCategory, m.TrackOpens, m.TrackClicks = line.Draw(t, "category"), line.Draw(t, "opens"), line.Draw(t, "clicks")
		m.TemplateID, m.Priority = rapid.Int().Draw(t, "template"), rapid.Int().Draw(t, "priority")
		m.TemplateLanguage, m.TemplateErrorDeliver, m.DeduplicateCampaign = rapid.Bool().Draw(t, "a"), rapid.Bool().Draw(t, "b"), rapid.Bool().Draw(t, "c")
		m.Headers = rapid.MapOfN(line, rapid.Map(line, func(s string) any { return s }), 0, 3).Draw(t, "headers")
		m.Variables = rapid.MapOfN(line, rapid.Map(line, func(s string) any { return []any{s, 1, nil} }), 0, 3).Draw(t, "variables")
		if rapid.Bool().Draw(t, "files") {
			file := mailjet.AttachmentV31{ContentType: "a/b", Filename: line.Draw(t, "file"), Base64Content: "eA=="}
			m.Attachments = &mailjet.AttachmentsV31{file, file}
			m.InlinedAttachments = &mailjet.InlinedAttachmentsV31{{AttachmentV31: file, ContentID: "c"}}
		}
		return m
	})
	rapid.Check(t, func(t *rapid.T) {
		p := &payload{
			Messages:             rapid.SliceOfN(one, 1, 3).Draw(t, "messages"),
			SandboxMode:          rapid.Bool().Draw(t, "sandbox"),
			AdvanceErrorHandling: rapid.Bool().Draw(t, "errors"),
		}
		if rapid.Bool().Draw(t, "globals") {
			p.Globals = one.Draw(t, "global")
		}
		got, err := p.encode(0)
		require.NoError(t, err)
		want, err := json.Marshal(p)
		require.NoError(t, err)
		require.JSONEq(t, string(want), string(got))
	})
}

func TestRequestDetails(t *testing.T) {
	minimal := mailer.Message{
		ID: "8841", From: mailer.Address{Address: "shop@example.com"}, To: []mailer.Address{{Address: "ada@example.com"}}, Text: "Hello",
	}
	send := func(t *testing.T, c Config, m mailer.Message) (mailer.Receipt, *sent) {
		c.APIKey, c.SecretKey = apiKey, secretKey
		p, service := capture(t, c)
		r, err := p.Send(t.Context(), m)
		require.NoError(t, err)
		return r, service
	}
	t.Run("the address and the keys", func(t *testing.T) {
		_, service := send(t, Config{}, minimal)
		require.Equal(t, "https://api.mailjet.com/v3.1/send", service.url)
		require.Equal(t, []string{apiKey, secretKey}, []string{service.user, service.password})
		_, service = send(t, Config{BaseURL: BaseURLUS}, minimal)
		require.Equal(t, "https://api.us.mailjet.com/v3.1/send", service.url)
		p, service := capture(t, Config{APIKey: apiKey, SecretKey: "???>>>~~~"})
		_, err := p.Send(t.Context(), minimal)
		require.NoError(t, err)
		require.Equal(t, "???>>>~~~", service.password)
	})
	t.Run("the whole request", func(t *testing.T) {
		m := minimal
		m.From.Name = "Harbour Books, Ltd."
		m.Cc = []mailer.Address{{Name: "Noor, Amal", Address: "amal@example.com"}}
		m.ReplyTo = []mailer.Address{{Address: "help@example.com"}}
		m.Subject, m.HTML = "Your order", `<b>"8841"</b>`
		m.Headers, m.Tags, m.Metadata = map[string]string{"X-Order": "8841"}, []string{"dispatch-note"}, map[string]string{"tenant": "eu-7", "order_id": "8841"}
		m.Track = mailer.Tracking{Opens: mailer.On, Clicks: mailer.Off}
		m.Attachments = []mailer.Attachment{
			{Name: "logo.png", ContentType: "image/png", ContentID: "logo", Content: []byte("\x89PNG\r\n\x1a\n")},
			{Name: "note.pdf", ContentType: "application/pdf", Content: []byte("%PDF-1.4\n")},
		}
		_, service := send(t, Config{}, m)
		require.Equal(t, `{"Messages":[{"From":{"Email":"shop@example.com","Name":"Harbour Books, Ltd."},"To":[{"Email":"ada@example.com"}],`+
			`"Cc":[{"Email":"amal@example.com","Name":"Noor, Amal"}],"ReplyTo":{"Email":"help@example.com"},"Subject":"Your order",`+
			`"TextPart":"Hello","HTMLPart":"<b>\"8841\"</b>",`+
			`"Attachments":[{"ContentType":"application/pdf","Base64Content":"JVBERi0xLjQK","Filename":"note.pdf"}],`+
			`"InlinedAttachments":[{"ContentType":"image/png","Base64Content":"iVBORw0KGgo=","Filename":"logo.png","ContentID":"logo"}],`+
			`"Headers":{"X-Order":"8841"},"CustomID":"8841","EventPayload":"{\"order_id\":\"8841\",\"tenant\":\"eu-7\"}",`+
			`"CustomCampaign":"dispatch-note","TrackOpens":"enabled","TrackClicks":"disabled"}],"AdvanceErrorHandling":true}`, string(service.body))
	})
	t.Run("the sandbox", func(t *testing.T) {
		m := minimal
		m.Extras = []mailer.Extra{Extra{Sandbox: true}}
		r, service := send(t, Config{}, m)
		require.True(t, strings.HasSuffix(string(service.body), `],"SandboxMode":true,"AdvanceErrorHandling":true}`))
		require.Equal(t, "8841", r.MessageID)
		require.Nil(t, r.MessageIDs)
	})
	t.Run("a template's name goes through the Config's map", func(t *testing.T) {
		m := minimal
		m.Text, m.Template = "", mailer.Template{ID: "welcome", Data: map[string]any{"a": 1}}
		_, service := send(t, Config{Templates: map[string]string{"welcome": "512390"}}, m)
		require.Contains(t, string(service.body), `"TemplateID":512390,"TemplateLanguage":true,"Variables":{"a":1}`)
	})
	t.Run("a template without data", func(t *testing.T) {
		m := minimal
		m.Text, m.Template.ID = "", "512390"
		_, service := send(t, Config{}, m)
		require.Contains(t, string(service.body), `"TemplateID":512390,"TemplateLanguage":true,"CustomID"`)
	})
	t.Run("files up to the limit go, one byte more does not", func(t *testing.T) {
		m := minimal
		m.Attachments = []mailer.Attachment{{Name: "a.bin", Content: make([]byte, MaxFiles-1)}, {Name: "b.png", ContentID: "b", Content: []byte("x")}}
		p, _ := capture(t, keys)
		require.NoError(t, p.Check(m))
		m.Attachments[1].Content = []byte("xy")
		require.ErrorIs(t, p.Check(m), mailer.KindTooLarge)
	})
	t.Run("URL tags up to the limit go", func(t *testing.T) {
		m := minimal
		m.Extras = []mailer.Extra{Extra{URLTags: strings.Repeat("\u00e9", MaxURLTags)}}
		_, service := send(t, Config{}, m)
		require.Equal(t, strings.Repeat("\u00e9", MaxURLTags), decode(t, service.body).Messages[0].URLTags)
	})
	t.Run("a tag up to the limit goes", func(t *testing.T) {
		require.True(t, isCampaign(strings.Repeat("t", 255)))
		require.False(t, isCampaign(strings.Repeat("t", 256)))
		for _, tag := range []string{"a.b", "a/b", "caf\u00e9", "a+b", "a:b", "[", "`", "{", "@", "a\tb"} {
			require.False(t, isCampaign(tag), tag)
		}
		require.True(t, isCampaign("AZaz 09_-"))
	})
	// The list is that of Mailjet's documentation.
	for _, name := range strings.Fields(`From Sender Subject To Cc Bcc Reply-To Return-Path Delivered-To DKIM-Signature DomainKey-Status Received-SPF
		Authentication-Results Received X-Mailjet-Prio X-Mailjet-Debug User-Agent X-Mailer X-MJ-CustomID X-MJ-EventPayload X-MJ-Vars
		X-MJ-TemplateErrorDeliver X-MJ-TemplateErrorReporting X-MJ-TemplateLanguage X-Mailjet-TrackOpen X-Mailjet-TrackClick X-MJ-TemplateID
		X-MJ-WorkflowID X-Feedback-Id X-Mailjet-Segmentation List-Id X-MJ-MID X-MJ-ErrorMessage Date X-CSA-Complaints Message-Id
		X-Mailjet-Campaign X-MJ-StatisticsContactsListID`) {
		t.Run("the header field "+name+" is refused", func(t *testing.T) {
			m := minimal
			m.Headers = map[string]string{strings.ToUpper(name): "x"}
			p, _ := capture(t, keys)
			err := p.Check(m)
			require.Contains(t, []mailer.Kind{mailer.KindInvalid, mailer.KindUnsupported}, mailer.KindOf(err), "%v", err)
		})
	}
}
