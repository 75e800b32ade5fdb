package elasticemail

import (
	"encoding/json"
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
	providertest.Decode(t, body, &w)
	return w
}

// requireSays requires that Elastic Email would understand just the message.
func requireSays(t require.TestingT, m mailer.Message, r mailer.Receipt, w wire) {
	m.ID = r.ID
	m, err := envelope.Prepare(m, false)
	require.NoError(t, err)

	providertest.RequireMailboxes(t, []mailer.Address{m.From}, []string{w.Content.From})
	providertest.RequireMailboxes(t, m.To, w.Recipients.To)
	providertest.RequireMailboxes(t, m.Cc, w.Recipients.CC)
	providertest.RequireMailboxes(t, m.Bcc, w.Recipients.BCC)
	if len(m.ReplyTo) > 0 {
		providertest.RequireMailboxes(t, m.ReplyTo, []string{w.Content.ReplyTo})
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

	headers := providertest.HeadersOf(m)
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

// requests are read back by requireSays.
func requests(t require.TestingT) providertest.Requests {
	p, service := capture(t, Config{APIKey: key})
	return providertest.Requests{
		Provider: p, Service: service, Draw: draw, Template: "welcome",
		Says: func(t require.TestingT, m mailer.Message, r mailer.Receipt, c *providertest.Call) {
			require.Equal(t, "https://api.elasticemail.com/v4/emails/transactional", c.URL)
			require.Equal(t, []string{key}, c.Header["X-Elasticemail-Apikey"])
			requireSays(t, m, r, decode(t, c.Body))
		},
		Hostile: func(m *mailer.Message) {
			m.ReplyTo = m.ReplyTo[:1]
			m.Attachments[0].ContentID = ""
		},
	}
}

// draw draws a message that Elastic Email takes if it is valid: with a text or a
// template, one Reply-To at most, and files that have an ending and no ContentID.
func draw(t *rapid.T) mailer.Message {
	m := providertest.Draw(t)
	m.ReplyTo = m.ReplyTo[:min(1, len(m.ReplyTo))]
	for i := range m.Attachments {
		a := &m.Attachments[i]
		a.Name, a.ContentID = rapid.StringMatching(`[a-zA-Z0-9 é"._-]{1,20}\.[a-z]{1,4}`).Draw(t, "file"), ""
	}
	x := Extra{PoolName: providertest.Line(0, 10).Draw(t, "pool"), EnvelopeFrom: rapid.SampledFrom([]string{"", "bounces@example.com"}).Draw(t, "envelope")}
	for _, s := range []*string{&x.UTM.Source, &x.UTM.Medium, &x.UTM.Campaign, &x.UTM.Content} {
		*s = providertest.Line(0, 10).Draw(t, "utm")
	}
	if rapid.Bool().Draw(t, "template") {
		m.Text, m.HTML = "", ""
		m.Template = mailer.Template{ID: "welcome", Data: map[string]any{}}
		for name, value := range rapid.MapOfN(rapid.StringMatching(`[a-z_]{1,5}`), providertest.Line(0, 9), 0, 5).Draw(t, "data") {
			m.Template.Data[name] = value
		}
	} else {
		x.AMP = providertest.Line(0, 20).Draw(t, "amp")
	}
	m.Extras = []mailer.Extra{x}
	return m
}

func TestRequestGivesTheMessageBack(t *testing.T) { requests(t).Check(t) }

func FuzzRequest(f *testing.F) { requests(f).Fuzz(f) }

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
			if offset := decode(t, service.Body).Options.TimeOffset; offset != nil {
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
