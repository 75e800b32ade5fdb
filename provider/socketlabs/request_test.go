package socketlabs

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

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
	providertest.Decode(t, body, &w)
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
	want := providertest.HeadersOf(m)
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

// requests are read back by requireSays.
func requests(t require.TestingT) providertest.Requests {
	p, service := capture(t, Config{ServerID: 12345, APIKey: legacy})
	return providertest.Requests{
		Provider: p, Service: service, Draw: draw, Template: "4711",
		Says: func(t require.TestingT, m mailer.Message, r mailer.Receipt, c *providertest.Call) {
			w := decode(t, c.Body)
			require.Equal(t, int64(12345), w.ServerId)
			require.Equal(t, legacy, w.ApiKey)
			require.Len(t, w.Messages, 1)
			requireSays(t, m, r, w.Messages[0])
		},
		Hostile: func(m *mailer.Message) {
			m.ReplyTo = m.ReplyTo[:1]
			m.Extras = []mailer.Extra{Extra{MailingID: m.Tags[0], AMP: m.HTML}}
		},
	}
}

// draw draws a message that SocketLabs takes if it is valid: with a text, or a
// template, or a template and data, which goes to each recipient of To apart.
func draw(t *rapid.T) mailer.Message {
	m := providertest.Draw(t)
	m.ReplyTo = m.ReplyTo[:min(1, len(m.ReplyTo))]
	m.Subject = cmp.Or(m.Subject, "x")
	if long := rapid.SampledFrom([]string{"", "", strings.Repeat("v", 2000), strings.Repeat("\"", 1500)}).Draw(t, "long"); long != "" {
		m.Metadata["long"] = long
	}
	x := Extra{MailingID: providertest.Line(0, 20).Draw(t, "mailing")}
	switch rapid.IntRange(0, 2).Draw(t, "form") {
	case 0:
		x.AMP = rapid.String().Draw(t, "amp")
	case 1:
		m.Text, m.HTML, m.Template.ID = "", "", "4711"
	case 2:
		m.Text, m.HTML, m.Cc, m.Bcc = "", "", nil, nil
		m.Template = mailer.Template{ID: "4711", Data: map[string]any{}}
		for name, value := range rapid.MapOfN(rapid.StringMatching(`[a-z]{1,3}[0-9_]`), rapid.StringMatching(`[a-z<"é%]{0,9}%?[a-z]?`), 1, 5).Draw(t, "data") {
			m.Template.Data[name] = value
		}
		if all, err := json.Marshal(m); err != nil || strings.Contains(string(all), "%%") {
			t.Skip("merging would find a field")
		}
	}
	if x != (Extra{}) {
		m.Extras = []mailer.Extra{x}
	}
	if strings.Contains(x.AMP, "\x00") {
		t.Skip("not valid")
	}
	return m
}

func TestRequestGivesTheMessageBack(t *testing.T) { requests(t).Check(t) }

func FuzzRequest(f *testing.F) { requests(f).Fuzz(f) }

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
			w := decode(t, service.Body)
			require.Equal(t, int64(9007199254740993), w.ServerId)
			if c.bearer {
				require.Equal(t, "Bearer "+c.key, service.Header.Get("Authorization"))
				require.Empty(t, w.ApiKey)
			} else {
				require.Empty(t, service.Header.Get("Authorization"))
				require.Equal(t, c.key, w.ApiKey)
			}
		})
	}
	t.Run("a legacy key that an answer repeats is not told", func(t *testing.T) {
		client := providertest.Client(func(_ *http.Request, body []byte) (int, string) { return 502, "<pre>" + string(body) + "</pre>" })
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
		require.Equal(t, want, service.URL)
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
		`"MessageId":"8841","MailingId":"spring","Metadata":[{"Key":"plan","Value":"pro"}],"Tags":["<a>"]}]}`, string(service.Body))

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
		`"ApiTemplate":"4711","MessageId":"8841"}]}`, string(service.Body))
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
	w := decode(t, service.Body).Messages[0]
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
	require.EqualValues(t, len(service.Body), r.body.Size())
}
