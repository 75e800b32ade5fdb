package smtp2go

import (
	"cmp"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/internal/envelope"
	"github.com/seed355143d4/mailer/provider/providertest"
)

// registration is the mail that most applications send most.
var registration = providertest.Registration()

// capture returns a Provider whose messages are all taken, and where they go.
func capture(t require.TestingT, c Config) (*Provider, *providertest.Call) {
	client, service := providertest.Capture(providertest.JSON(200, yes200))
	c.HTTPClient = client
	p, err := New(c)
	require.NoError(t, err)
	return p, service
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
	providertest.Decode(t, body, &w)
	return w
}

// requireSays requires that SMTP2GO would understand just the message.
func requireSays(t require.TestingT, m mailer.Message, r mailer.Receipt, w wire) {
	m.ID = r.ID
	m, err := envelope.Prepare(m, false)
	require.NoError(t, err)

	providertest.RequireMailboxes(t, []mailer.Address{m.From}, []string{w.Sender})
	providertest.RequireMailboxes(t, m.To, w.To)
	providertest.RequireMailboxes(t, m.Cc, w.Cc)
	providertest.RequireMailboxes(t, m.Bcc, w.Bcc)
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
	want := providertest.HeadersOf(m)
	want["X-Mailer-Id"] = m.ID
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

// requests are read back by requireSays.
func requests(t require.TestingT) providertest.Requests {
	p, service := capture(t, Config{APIKey: key})
	return providertest.Requests{
		Provider: p, Service: service, Draw: draw, Template: "welcome",
		Says: func(t require.TestingT, m mailer.Message, r mailer.Receipt, c *providertest.Call) {
			require.Equal(t, "https://api.smtp2go.com/v3/email/send", c.URL)
			require.Equal(t, []string{key}, c.Header["X-Smtp2go-Api-Key"])
			requireSays(t, m, r, decode(t, c.Body))
		},
	}
}

// draw draws a message that SMTP2GO takes if it is valid: with a text or a template,
// and files of different names, which are the ContentIDs of those that have one.
func draw(t *rapid.T) mailer.Message {
	m := providertest.Draw(t)
	m.Attachments = slices.CompactFunc(slices.SortedFunc(slices.Values(m.Attachments), func(a, b mailer.Attachment) int {
		return strings.Compare(a.Name, b.Name)
	}), func(a, b mailer.Attachment) bool { return a.Name == b.Name })
	for i := range m.Attachments {
		a := &m.Attachments[i]
		if a.ContentID = ""; rapid.Bool().Draw(t, "inline") {
			a.Name = fmt.Sprintf("%s%d.png", rapid.StringMatching(`[a-z]{1,5}`).Draw(t, "cid"), i)
			a.ContentID = a.Name
		}
	}
	m.Extras = []mailer.Extra{Extra{FastAccept: rapid.Bool().Draw(t, "fast")}}
	if rapid.Bool().Draw(t, "template") {
		m.Subject, m.Text, m.HTML = "", "", ""
		m.Template = mailer.Template{ID: "welcome", Data: map[string]any{}}
		for name, value := range rapid.MapOfN(providertest.Line(1, 5), providertest.Line(0, 9), 0, 5).Draw(t, "data") {
			m.Template.Data[name] = value
		}
	} else {
		m.Subject = cmp.Or(m.Subject, "x")
	}
	return m
}

func TestRequestGivesTheMessageBack(t *testing.T) { requests(t).Check(t) }

func FuzzRequest(f *testing.F) { requests(f).Fuzz(f) }

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
			require.Equal(t, c.want, decode(t, service.Body).Schedule, name)
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
