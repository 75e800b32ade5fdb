package postmark

import (
	"net/mail"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/envelope"
	"github.com/seed355143d4/mailer/provider/providertest"
)

// capture returns a Provider whose messages are all taken, and where they go.
func capture(t require.TestingT, c Config) (*Provider, *providertest.Call) {
	client, service := providertest.Capture(yes("7f4f2c9e", "OK"))
	c.HTTPClient = client
	p, err := New(c)
	require.NoError(t, err)
	return p, service
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
	providertest.Decode(t, body, &w)
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
	want := providertest.HeadersOf(m)
	want["Message-ID"] = "<" + m.ID + m.From.Address[strings.LastIndex(m.From.Address, "@"):] + ">"
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

// requests are read back by requireSays.
func requests(t require.TestingT) providertest.Requests {
	p, service := capture(t, Config{ServerToken: token})
	return providertest.Requests{
		Provider: p, Service: service, Draw: draw,
		Says: func(t require.TestingT, m mailer.Message, r mailer.Receipt, c *providertest.Call) {
			requireSays(t, m, r, c.Body)
		},
	}
}

// draw draws a message that Postmark takes if it is valid: no address has a question
// mark in it.
func draw(t *rapid.T) mailer.Message {
	m := providertest.Draw(t)
	m.From.Address = strings.ReplaceAll(m.From.Address, "?", "x")
	for _, list := range [][]mailer.Address{m.To, m.Cc, m.Bcc, m.ReplyTo} {
		for i, a := range list {
			list[i].Address = strings.ReplaceAll(a.Address, "?", "x")
		}
	}
	return m
}

func TestRequestGivesTheMessageBack(t *testing.T) { requests(t).Check(t) }

func FuzzRequest(f *testing.F) { requests(f).Fuzz(f) }

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
		require.Equal(t, "POSTMARK_API_TEST", service.Header.Get("X-Postmark-Server-Token"))
		require.Equal(t, "https://api.postmarkapp.com/email", service.URL)
		require.Equal(t, `{"From":"\"Harbour Books, Ltd.\" <orders@example.com>",`+
			`"To":"\"Noor, Amal\" <amal@example.com>, ben@example.com","HtmlBody":"<b>8841</b>",`+
			`"Headers":[{"Name":"Message-ID","Value":"<8841@example.com>"}],"Metadata":{"mailer_id":"8841"},`+
			`"TrackOpens":true,"TrackLinks":"None"}`, string(service.Body))
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
			require.Equal(t, "https://api.postmarkapp.com/email/withTemplate", service.URL)
			require.Contains(t, string(service.Body), want+`,"TemplateModel":{}`)
		})
	}
}
