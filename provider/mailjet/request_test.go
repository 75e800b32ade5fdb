package mailjet

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/mailjet/mailjet-apiv3-go/v4"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/envelope"
	"github.com/seed355143d4/mailer/provider/providertest"
)

// capture returns a Provider whose messages are all taken, and where they go.
func capture(t require.TestingT, c Config) (*Provider, *providertest.Call) {
	client, service := providertest.Capture(providertest.JSON(200, `{"Messages":[{"Status":"success"}]}`))
	c.HTTPClient = client
	p, err := New(c)
	require.NoError(t, err)
	return p, service
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
	providertest.Decode(t, body, &w)
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

	want := providertest.HeadersOf(m)
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

// requests are read back by requireSays.
func requests(t require.TestingT) providertest.Requests {
	p, service := capture(t, keys)
	return providertest.Requests{
		Provider: p, Service: service, Draw: draw,
		Says: func(t require.TestingT, m mailer.Message, r mailer.Receipt, c *providertest.Call) {
			requireSays(t, m, r, c.Body)
		},
		Hostile: func(m *mailer.Message) { m.ReplyTo = m.ReplyTo[:1] },
	}
}

// draw draws a message that Mailjet takes if it is valid: some of its local parts are
// not ASCII, it has one Reply-To at most, and no file is empty.
func draw(t *rapid.T) mailer.Message {
	m := providertest.Draw(t)
	m.ReplyTo = m.ReplyTo[:min(1, len(m.ReplyTo))]
	for _, list := range [][]mailer.Address{m.To, m.Cc, m.Bcc, m.ReplyTo} {
		for i := range list {
			list[i].Address = rapid.SampledFrom([]string{"", "", "é", "山"}).Draw(t, "local part") + list[i].Address
		}
	}
	for i, a := range m.Attachments {
		if len(a.Content) == 0 {
			m.Attachments[i].Content = []byte("x")
		}
	}
	return m
}

func TestRequestGivesTheMessageBack(t *testing.T) { requests(t).Check(t) }

func FuzzRequest(f *testing.F) { requests(f).Fuzz(f) }

// What is written by hand has to say what encoding/json would.
func TestEncodeIsJSON(t *testing.T) {
	line := providertest.Line(0, 20)
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
	send := func(t *testing.T, c Config, m mailer.Message) (mailer.Receipt, *providertest.Call) {
		c.APIKey, c.SecretKey = apiKey, secretKey
		p, service := capture(t, c)
		r, err := p.Send(t.Context(), m)
		require.NoError(t, err)
		return r, service
	}
	t.Run("the address and the keys", func(t *testing.T) {
		_, service := send(t, Config{}, minimal)
		require.Equal(t, "https://api.mailjet.com/v3.1/send", service.URL)
		user, password, _ := (&http.Request{Header: service.Header}).BasicAuth()
		require.Equal(t, []string{apiKey, secretKey}, []string{user, password})
		_, service = send(t, Config{BaseURL: BaseURLUS}, minimal)
		require.Equal(t, "https://api.us.mailjet.com/v3.1/send", service.URL)
		p, service := capture(t, Config{APIKey: apiKey, SecretKey: "???>>>~~~"})
		_, err := p.Send(t.Context(), minimal)
		require.NoError(t, err)
		_, password, _ = (&http.Request{Header: service.Header}).BasicAuth()
		require.Equal(t, "???>>>~~~", password)
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
			`"CustomCampaign":"dispatch-note","TrackOpens":"enabled","TrackClicks":"disabled"}],"AdvanceErrorHandling":true}`, string(service.Body))
	})
	t.Run("the sandbox", func(t *testing.T) {
		m := minimal
		m.Extras = []mailer.Extra{Extra{Sandbox: true}}
		r, service := send(t, Config{}, m)
		require.True(t, strings.HasSuffix(string(service.Body), `],"SandboxMode":true,"AdvanceErrorHandling":true}`))
		require.Equal(t, "8841", r.MessageID)
		require.Nil(t, r.MessageIDs)
	})
	t.Run("a template's name goes through the Config's map", func(t *testing.T) {
		m := minimal
		m.Text, m.Template = "", mailer.Template{ID: "welcome", Data: map[string]any{"a": 1}}
		_, service := send(t, Config{Templates: map[string]string{"welcome": "512390"}}, m)
		require.Contains(t, string(service.Body), `"TemplateID":512390,"TemplateLanguage":true,"Variables":{"a":1}`)
	})
	t.Run("a template without data", func(t *testing.T) {
		m := minimal
		m.Text, m.Template.ID = "", "512390"
		_, service := send(t, Config{}, m)
		require.Contains(t, string(service.Body), `"TemplateID":512390,"TemplateLanguage":true,"CustomID"`)
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
		require.Equal(t, strings.Repeat("\u00e9", MaxURLTags), decode(t, service.Body).Messages[0].URLTags)
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
