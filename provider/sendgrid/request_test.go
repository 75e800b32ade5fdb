package sendgrid

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sendgrid/sendgrid-go/helpers/mail"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/envelope"
	"github.com/seed355143d4/mailer/provider/providertest"
)

// capture returns a Provider whose messages are all taken, and where they go.
func capture(t require.TestingT, c Config) (*Provider, *providertest.Call) {
	client, service := providertest.Capture(yes("Xj5L"))
	c.HTTPClient = client
	p, err := New(c)
	require.NoError(t, err)
	return p, service
}

// box is an address on the wire.
type box struct{ Email, Name string }

// wire is a request as SendGrid documents it, with nothing else in it.
type wire struct {
	Personalizations []struct {
		To, Cc, Bcc         []box
		DynamicTemplateData map[string]any    `json:"dynamic_template_data"`
		Substitutions       map[string]string `json:"substitutions"`
		Subject             string
		Headers             map[string]string
		CustomArgs          map[string]string `json:"custom_args"`
		SendAt              int64             `json:"send_at"`
	}
	From        box
	ReplyToList []box `json:"reply_to_list"`
	Subject     string
	Content     []struct{ Type, Value string }
	Attachments []struct {
		Content           []byte
		Type, Disposition string
		Filename          string
		ContentID         string `json:"content_id"`
	}
	TemplateID       string `json:"template_id"`
	Headers          map[string]string
	Categories       []string
	CustomArgs       map[string]string `json:"custom_args"`
	SendAt           int64             `json:"send_at"`
	TrackingSettings struct {
		OpenTracking  struct{ Enable *bool } `json:"open_tracking"`
		ClickTracking struct {
			Enable     *bool
			EnableText *bool `json:"enable_text"`
		} `json:"click_tracking"`
		SubscriptionTracking struct {
			Enable          *bool
			Text, HTML      string
			SubstitutionTag string `json:"substitution_tag"`
		} `json:"subscription_tracking"`
		GAnalytics struct {
			Enable      *bool
			UTMSource   string `json:"utm_source"`
			UTMMedium   string `json:"utm_medium"`
			UTMTerm     string `json:"utm_term"`
			UTMContent  string `json:"utm_content"`
			UTMCampaign string `json:"utm_campaign"`
		}
	} `json:"tracking_settings"`
	MailSettings struct {
		Footer struct {
			Enable     *bool
			Text, HTML string
		}
		SandboxMode                 struct{ Enable *bool } `json:"sandbox_mode"`
		BypassListManagement        struct{ Enable *bool } `json:"bypass_list_management"`
		BypassSpamManagement        struct{ Enable *bool } `json:"bypass_spam_management"`
		BypassBounceManagement      struct{ Enable *bool } `json:"bypass_bounce_management"`
		BypassUnsubscribeManagement struct{ Enable *bool } `json:"bypass_unsubscribe_management"`
	} `json:"mail_settings"`
	Asm        any
	IPPoolName string `json:"ip_pool_name"`
	BatchID    string `json:"batch_id"`
}

func decode(t require.TestingT, body []byte) (w wire) {
	providertest.Decode(t, body, &w)
	return w
}

// requireSays requires that the request gives the message back, no more and no less.
func requireSays(t require.TestingT, m mailer.Message, r mailer.Receipt, body []byte) {
	w := decode(t, body)
	require.Len(t, w.Personalizations, 1)
	requirePart(t, m, r, w)
}

// requirePart is requireSays for a request with one personalization.
func requirePart(t require.TestingT, m mailer.Message, r mailer.Receipt, w wire) {
	m.ID = r.ID
	m, err := envelope.Prepare(m, false)
	require.NoError(t, err)
	to := w.Personalizations[0]
	for _, l := range []struct {
		field string
		want  []mailer.Address
		got   []box
	}{{"From", []mailer.Address{m.From}, []box{w.From}}, {"To", m.To, to.To}, {"Cc", m.Cc, to.Cc}, {"Bcc", m.Bcc, to.Bcc}, {"ReplyTo", distinct(m.ReplyTo), w.ReplyToList}} {
		require.Equal(t, len(l.want), len(l.got), l.field)
		for i, a := range l.want {
			require.Equal(t, box{Email: a.Address, Name: a.Name}, l.got[i], l.field)
		}
	}
	require.Equal(t, m.Subject, w.Subject)
	bodies := map[string]string{}
	for _, c := range w.Content {
		require.NotContains(t, bodies, c.Type)
		require.NotEmpty(t, c.Value)
		bodies[c.Type] = c.Value
	}
	require.Equal(t, []string{m.Text, m.HTML}, []string{bodies["text/plain"], bodies["text/html"]})
	require.LessOrEqual(t, len(bodies), 2)
	if len(bodies) == 2 {
		require.Equal(t, "text/plain", w.Content[0].Type)
	}

	want := providertest.HeadersOf(m)
	require.Len(t, w.Headers, len(want))
	for name, value := range want {
		require.Equal(t, value, w.Headers[name])
	}

	require.Len(t, w.Attachments, len(m.Attachments))
	for i, a := range m.Attachments {
		got := w.Attachments[i]
		require.Equal(t, a.Name, got.Filename)
		require.Equal(t, string(a.Content), string(got.Content))
		typ, _, _ := strings.Cut(a.ContentType, ";")
		if typ == "" {
			typ = "application/octet-stream"
		}
		require.Equal(t, typ, got.Type)
		require.Equal(t, a.ContentID, got.ContentID)
		require.Equal(t, a.ContentID != "", got.Disposition == "inline")
	}

	require.Equal(t, m.ID, w.CustomArgs["mailer_id"])
	delete(w.CustomArgs, "mailer_id")
	for key, value := range m.Metadata {
		if got, ok := w.CustomArgs[key]; ok {
			require.Equal(t, value, got)
			delete(w.CustomArgs, key)
		} else {
			require.True(t, slices.ContainsFunc(r.Dropped, func(s string) bool { return strings.HasPrefix(s, "Metadata[") }))
		}
	}
	require.Empty(t, w.CustomArgs, "custom arguments that the message does not have")
	for i, tag := range m.Tags {
		require.True(t, slices.Contains(w.Categories, tag) || slices.Contains(r.Dropped, fmt.Sprintf("Tags[%d]", i)))
	}
	requireSettings(t, m, w)
}

// requireSettings requires that the request has the settings of the message, and leaves
// all others to the account.
func requireSettings(t require.TestingT, m mailer.Message, w wire) {
	x, track, settings := mailer.ExtraFor[Extra](m), w.TrackingSettings, w.MailSettings
	says := func(s mailer.Switch, texts ...string) *bool {
		switch {
		case s == mailer.Off:
			return new(false)
		case s == mailer.On || strings.Join(texts, "") != "":
			return new(true)
		}
		return nil
	}
	yes := func(on bool) *bool {
		if !on {
			return nil
		}
		return &on
	}
	f, link, utm, past := x.Footer, x.SubscriptionTracking, x.UTM, x.Bypass
	require.Equal(t, []*bool{
		yes(x.Sandbox), yes(past.All), yes(past.SpamReports), yes(past.Bounces), yes(past.Unsubscribes),
		says(m.Track.Opens), says(m.Track.Clicks), says(m.Track.Clicks),
		says(f.Enable, f.Text, f.HTML), says(link.Enable, link.Text, link.HTML, link.Tag),
		says(utm.Enable, utm.Source, utm.Medium, utm.Term, utm.Content, utm.Campaign),
	}, []*bool{
		settings.SandboxMode.Enable, settings.BypassListManagement.Enable, settings.BypassSpamManagement.Enable,
		settings.BypassBounceManagement.Enable, settings.BypassUnsubscribeManagement.Enable,
		track.OpenTracking.Enable, track.ClickTracking.Enable, track.ClickTracking.EnableText,
		settings.Footer.Enable, track.SubscriptionTracking.Enable, track.GAnalytics.Enable,
	})
	require.Equal(t, f, Footer{Enable: f.Enable, Text: settings.Footer.Text, HTML: settings.Footer.HTML})
	got := track.SubscriptionTracking
	require.Equal(t, link, SubscriptionTracking{Enable: link.Enable, Text: got.Text, HTML: got.HTML, Tag: got.SubstitutionTag})
	ga := track.GAnalytics
	require.Equal(t, utm, UTM{
		Enable: utm.Enable, Source: ga.UTMSource, Medium: ga.UTMMedium, Term: ga.UTMTerm, Content: ga.UTMContent, Campaign: ga.UTMCampaign,
	})
}

// requests are read back by requireSays.
func requests(t require.TestingT) providertest.Requests {
	p, service := capture(t, Config{APIKey: key})
	return providertest.Requests{
		Provider: p, Service: service, Draw: draw,
		Says: func(t require.TestingT, m mailer.Message, r mailer.Receipt, c *providertest.Call) {
			requireSays(t, m, r, c.Body)
		},
	}
}

// draw draws a message that SendGrid takes if it is valid: it has a subject, and no
// setting that does not go with another.
func draw(t *rapid.T) mailer.Message {
	m := providertest.Draw(t)
	m.Subject = cmp.Or(m.Subject, "x")
	x := Extra{Bypass: rapid.SampledFrom([]Bypass{{}, {}, {All: true}, {Bounces: true}, {SpamReports: true}, {Unsubscribes: true}}).Draw(t, "past")}
	texts := func(s *mailer.Switch, list ...*string) {
		*s = mailer.Switch(rapid.IntRange(0, 2).Draw(t, "enable"))
		if *s == mailer.Off {
			return
		}
		for _, text := range list {
			*text = providertest.Line(0, 10).Draw(t, "text")
		}
	}
	texts(&x.Footer.Enable, &x.Footer.Text, &x.Footer.HTML)
	if x.Footer == (Footer{Enable: mailer.On}) {
		x.Footer.Text = "x"
	}
	link := &x.SubscriptionTracking
	if rapid.Bool().Draw(t, "by a tag") {
		texts(&link.Enable, &link.Tag)
	} else {
		texts(&link.Enable, &link.Text, &link.HTML)
	}
	if link.Enable == mailer.On || link.Text+link.HTML+link.Tag != "" {
		m.Unsubscribe = mailer.Unsubscribe{}
	}
	utm := &x.UTM
	texts(&utm.Enable, &utm.Source, &utm.Medium, &utm.Term, &utm.Content, &utm.Campaign)
	m.Extras = []mailer.Extra{x}
	return m
}

func TestRequestGivesTheMessageBack(t *testing.T) { requests(t).Check(t) }

func FuzzRequest(f *testing.F) { requests(f).Fuzz(f) }

// What is written by hand has to say what encoding/json would.
func TestEncodeIsJSON(t *testing.T) {
	line := providertest.Line(0, 20)
	email := rapid.Custom(func(t *rapid.T) *mail.Email {
		return &mail.Email{Name: line.Draw(t, "name"), Address: line.Draw(t, "address")}
	})
	on := true
	rapid.Check(t, func(t *rapid.T) {
		emails := func(name string) []*mail.Email { return rapid.SliceOfN(email, 0, 3).Draw(t, name) }
		table := func(name string) map[string]string { return rapid.MapOfN(rapid.String(), line, 0, 20).Draw(t, name) }
		v3 := &mail.SGMailV3{
			From:        email.Draw(t, "from"),
			Subject:     line.Draw(t, "subject"),
			Content:     []*mail.Content{{Type: "text/plain", Value: rapid.String().Draw(t, "value")}},
			TemplateID:  line.Draw(t, "template"),
			Headers:     table("headers"),
			Categories:  rapid.SliceOfN(line, 0, 3).Draw(t, "categories"),
			CustomArgs:  table("custom args"),
			SendAt:      rapid.IntRange(0, 2e9).Draw(t, "send at"),
			BatchID:     line.Draw(t, "batch"),
			IPPoolID:    line.Draw(t, "pool"),
			ReplyToList: emails("reply-to"),
			Personalizations: []*mail.Personalization{{
				To: emails("to"), CC: emails("cc"), BCC: emails("bcc"),
				Substitutions: table("substitutions"), DynamicTemplateData: map[string]any{"a": line.Draw(t, "data")},
			}, {
				To: emails("to"), Subject: line.Draw(t, "own subject"), Headers: table("own headers"), CustomArgs: table("own custom args"),
				SendAt: rapid.IntRange(0, 2e9).Draw(t, "own send at"),
			}},
		}
		if rapid.Bool().Draw(t, "the rest") {
			v3.Asm = &mail.Asm{GroupID: 1, GroupsToDisplay: []int{1, 2}}
			v3.MailSettings = &mail.MailSettings{SandboxMode: &mail.Setting{Enable: &on}, Footer: &mail.FooterSetting{Enable: &on, Html: line.Draw(t, "footer")}}
			v3.TrackingSettings = &mail.TrackingSettings{
				OpenTracking:         &mail.OpenTrackingSetting{Enable: &on},
				SubscriptionTracking: &mail.SubscriptionTrackingSetting{Enable: &on, Html: line.Draw(t, "link")},
			}
			v3.Attachments = []*mail.Attachment{{Content: "eA==", Type: "text/plain", Filename: "<a>", Disposition: "inline", ContentID: "a"}}
		}
		got, err := write(v3, 0)
		require.NoError(t, err)
		want, err := json.Marshal(v3)
		require.NoError(t, err)
		require.JSONEq(t, string(want), string(got))
	})
}

func TestRequestDetails(t *testing.T) {
	minimal := mailer.Message{
		ID: "8841", From: mailer.Address{Address: "shop@example.com"}, To: []mailer.Address{{Address: "ada@example.com"}},
		Subject: "Hello", Text: "Hello",
	}
	send := func(t *testing.T, c Config, m mailer.Message) (mailer.Receipt, *providertest.Call) {
		c.APIKey = key
		p, service := capture(t, c)
		r, err := p.Send(t.Context(), m)
		require.NoError(t, err)
		return r, service
	}
	t.Run("the address and the key", func(t *testing.T) {
		_, service := send(t, Config{}, minimal)
		require.Equal(t, "https://api.sendgrid.com/v3/mail/send", service.URL)
		require.Equal(t, "Bearer "+key, service.Header.Get("Authorization"))
		_, service = send(t, Config{BaseURL: BaseURLEU}, minimal)
		require.Equal(t, "https://api.eu.sendgrid.com/v3/mail/send", service.URL)
	})
	t.Run("a template's name goes through the Config's map", func(t *testing.T) {
		m := minimal
		m.Text, m.Template = "", mailer.Template{ID: "welcome", Data: map[string]any{"a": 1}}
		templates := map[string]string{"welcome": "d-1"}
		_, service := send(t, Config{Templates: templates}, m)
		w := decode(t, service.Body)
		require.Equal(t, "d-1", w.TemplateID)
		require.Equal(t, map[string]any{"a": 1.0}, w.Personalizations[0].DynamicTemplateData)
	})
	t.Run("a time gone by is now", func(t *testing.T) {
		m := minimal
		m.SendAt = time.Now().Add(-time.Hour)
		_, service := send(t, Config{}, m)
		require.NotContains(t, string(service.Body), "send_at")
	})
	t.Run("72 hours are the most", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := minimal
			m.SendAt = time.Now().Add(MaxDelay)
			_, service := send(t, Config{}, m)
			require.Equal(t, m.SendAt.Unix(), decode(t, service.Body).SendAt)
			m.SendAt = m.SendAt.Add(1)
			p, _ := capture(t, Config{APIKey: key})
			require.ErrorIs(t, p.Check(m), mailer.KindUnsupported)
		})
	})
}
