package postmark

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/httpapi"
	"github.com/seed355143d4/mailer/provider/providertest"
)

const token = "11111111-2222-3333-4444-555555555555"

// yes is Postmark's yes.
func yes(id, message string) providertest.Answer {
	return providertest.JSON(200, fmt.Sprintf(`{"To":"ada@example.com","SubmittedAt":"2026-11-02T09:14:07.3308127Z",`+
		`"MessageID":%q,"ErrorCode":0,"Message":%q}`, id, message))
}

// no is Postmark's no.
func no(status, code int, message string) providertest.Answer {
	return providertest.JSON(status, fmt.Sprintf(`{"ErrorCode":%d,"Message":%q}`, code, message))
}

func TestConformance(t *testing.T) {
	message := func(change func(m *mailer.Message)) mailer.Message {
		m := providertest.Messages()[0].Message
		change(&m)
		return m
	}
	providertest.Run(t, providertest.Spec{
		Name:    "postmark",
		Secrets: []string{token},
		Config:  Config{ServerToken: token},
		Unsupported: map[string]mailer.Kind{
			"scheduled":                mailer.KindUnsupported,
			"no recipient in to":       mailer.KindUnsupported,
			"international local part": mailer.KindUnsupported,
			"reserved header":          mailer.KindUnsupported,
			"inline css":               mailer.KindUnsupported,
			"subject beside template":  mailer.KindUnsupported,
			"control in stream":        mailer.KindInvalid,
			"data that is no JSON":     mailer.KindInvalid,
			"51 recipients":            mailer.KindTooLarge,
			"mailbox in quotes":        mailer.KindUnsupported,
			"mailbox with a question":  mailer.KindUnsupported,
			"long from":                mailer.KindTooLarge,
			"long html":                mailer.KindTooLarge,
			"long text":                mailer.KindTooLarge,
			"large file":               mailer.KindTooLarge,
		},
		Dropped: map[string][]string{
			"two tags": {"Tags[1]"},
			"too much metadata": {
				`Metadata["A-value"]`, `Metadata["k-of-21-utf16-units🚀"]`, `Metadata["key-01"]`,
				`Metadata["key-01-too-long-by-one"]`, `Metadata["key-09"]`, `Metadata["key-10"]`, `Metadata["key-11"]`,
			},
		},
		Messages: []providertest.Case{
			{Name: "stream", Message: message(func(m *mailer.Message) { m.Extras = []mailer.Extra{Extra{MessageStream: "broadcast"}} })},
			{Name: "template with inline css off", Message: message(func(m *mailer.Message) {
				m.Subject, m.Text, m.Template.ID = "", "", "12345"
				m.Extras = []mailer.Extra{&Extra{InlineCSS: mailer.Off}}
			})},
			{Name: "too much metadata", Message: message(func(m *mailer.Message) {
				m.Metadata = map[string]string{"A-value": strings.Repeat("v", 81), "key-01-too-long-by-one": "x", "KEY-01": "x"}
				m.Metadata["k-of-21-utf16-units\U0001f680"] = "x"
				for i := range 12 {
					m.Metadata[fmt.Sprintf("key-%02d", i)] = "x"
				}
				delete(m.Metadata, "key-00")
				m.Metadata["k-of-twenty-units-\U0001f680"] = strings.Repeat("\u00e9", 80)
			})},
			{Name: "reserved header", Message: message(func(m *mailer.Message) { m.Headers = map[string]string{"X-PM-RCPT": "x"} })},
			{Name: "inline css", Message: message(func(m *mailer.Message) { m.Extras = []mailer.Extra{Extra{InlineCSS: mailer.On}} })},
			{Name: "subject beside template", Message: message(func(m *mailer.Message) { m.Text, m.Template.ID = "", "welcome" })},
			{Name: "control in stream", Message: message(func(m *mailer.Message) { m.Extras = []mailer.Extra{Extra{MessageStream: "a\nb"}} })},
			{Name: "data that is no JSON", Message: message(func(m *mailer.Message) {
				m.Subject, m.Text, m.Template = "", "", mailer.Template{ID: "welcome", Data: map[string]any{"f": make(chan int)}}
			})},
			{Name: "51 recipients", Message: message(func(m *mailer.Message) {
				for i := range 50 {
					m.Cc = append(m.Cc, mailer.Address{Address: fmt.Sprintf("reader%02d@example.com", i)})
				}
			})},
			{Name: "mailbox in quotes", Message: message(func(m *mailer.Message) { m.Bcc = []mailer.Address{{Address: `"a..b"@example.com`}} })},
			{Name: "mailbox with a question", Message: message(func(m *mailer.Message) { m.ReplyTo = []mailer.Address{{Address: "who?@example.com"}} })},
			{Name: "long from", Message: message(func(m *mailer.Message) { m.From.Name = strings.Repeat("n", 250) })},
			{Name: "long html", Message: message(func(m *mailer.Message) { m.HTML = strings.Repeat("h", MaxBody+1) })},
			{Name: "long text", Message: message(func(m *mailer.Message) { m.Text = strings.Repeat("t", MaxBody+1) })},
			{Name: "large file", Message: message(func(m *mailer.Message) {
				m.Attachments = []mailer.Attachment{{Name: "a.bin", Content: make([]byte, MaxSize*3/4)}}
			})},
		},
		BatchBytes: maxBytes,
		TestMode:   "the token POSTMARK_API_TEST",
		Peer: providertest.HTTP{
			New: func(baseURL string, client *http.Client) (mailer.Provider, error) {
				return New(Config{ServerToken: token, BaseURL: baseURL, HTTPClient: client})
			},
			Accept: func(n int, _ providertest.Request) (providertest.Answer, string) {
				id := fmt.Sprintf("7f4f2c9e-%d", n)
				return yes(id, "OK"), id
			},
			AcceptBatch: func(n int, r providertest.Request) (providertest.Answer, []string) {
				var elements, ids []string
				for _, said := range r.Said {
					if strings.HasSuffix(said.Where, "To") && said.Where != "ReplyTo" {
						id := fmt.Sprintf("7f4f2c9e-%d-%d", n, len(ids))
						ids = append(ids, id)
						elements = append(elements, fmt.Sprintf(`{"To":%q,"MessageID":%q,"ErrorCode":0,"Message":"OK"}`, said.What, id))
					}
				}
				return providertest.JSON(200, "["+strings.Join(elements, ",")+"]"), ids
			},
			Partial: func(providertest.Request) (providertest.Answer, string) {
				return yes("7f4f2c9e", "Message OK, but will not deliver to these inactive addresses: ben@example.com.\n"+
					"Inactive recipients are ones that have generated a hard bounce, a spam complaint, or a manual suppression."), "7f4f2c9e"
			},
			None: no(422, 406, fmt.Sprintf(inactive, "ada@example.com, ben@example.com")),
			Templates: func(baseURL string, client *http.Client, names map[string]string) (mailer.Provider, error) {
				return New(Config{ServerToken: token, BaseURL: baseURL, HTTPClient: client, Templates: names})
			},
			Verify:       providertest.JSON(200, `{"ID":8841,"Name":"Example Shop","ApiTokens":["`+token+`"],"DeliveryType":"Live"}`),
			Unauthorized: no(401, 10, "Bad or missing API token."),
			Refusals:     refusals(),
		},
	})
}

const inactive = "You tried to send to recipient(s) that have been marked as inactive. Found inactive addresses: %s. " +
	"Inactive recipients are ones that have generated a hard bounce, a spam complaint, or a manual suppression. "

// refusals are Postmark's, one for each code and status that it documents. The
// messages of the suite go to ada@example.com and ben@example.com.
func refusals() []providertest.Refusal {
	both := fmt.Sprintf(inactive, "ada@example.com, ben@example.com")
	var list []providertest.Refusal
	add := func(name string, kind mailer.Kind, notSent bool, code string, answer providertest.Answer) {
		list = append(list, providertest.Refusal{Name: name, Answer: answer, Kind: kind, NotSent: notSent, Code: code})
	}
	for _, c := range []struct {
		status, code int
		message      string
		kind         mailer.Kind
		sent         bool // it may have been
	}{
		// By the code.
		{422, 10, "Bad or missing API token.", mailer.KindUnauthorized, false},
		{422, 11, "Several errors.", mailer.KindRejected, false},
		{422, 14, "Bulk sending needs approval.", mailer.KindUnauthorized, false},
		{422, 100, "Maintenance.", mailer.KindUnavailable, true},
		{422, 101, "Internal error.", mailer.KindUnavailable, true},
		{422, 300, "Zero recipients specified.", mailer.KindRejected, false},
		{422, 300, "Invalid 'To' address: 'ben@example'.", mailer.KindRecipient, false},
		{422, 300, "Error parsing 'To': Illegal email address 'Doe'. It must contain the '@' symbol.", mailer.KindRecipient, false},
		{422, 300, "Error  Parsing 'Bcc': Illegal email address 'Doe'.", mailer.KindRecipient, false},
		{422, 300, "invalid 'cc' address: 'ben@example'.", mailer.KindRecipient, false},
		{422, 300, "Invalid 'From' address: 'shop@example'.", mailer.KindRejected, false},
		{422, 300, "Invalid 'Reply-To' address: 'shop@example'.", mailer.KindRejected, false},
		{422, 300, "The 'From' address is not a Sender Signature on your account.", mailer.KindSender, false},
		{422, 300, "The 'From' domain was not verified.", mailer.KindSender, false},
		{422, 400, "The 'From' address is not a Sender Signature on your account.", mailer.KindSender, false},
		{422, 401, "The 'From' signature is not confirmed.", mailer.KindSender, false},
		{422, 402, "Invalid JSON.", mailer.KindRejected, false},
		{422, 403, "Incompatible fields.", mailer.KindRejected, false},
		{422, 405, "Not allowed to send.", mailer.KindQuota, false},
		{422, 406, both, mailer.KindRecipient, false},
		{422, 406, strings.ReplaceAll(both, ". Inactive", ".\nInactive"), mailer.KindRecipient, false},
		{422, 406, fmt.Sprintf(inactive, "BEN@example.com"), mailer.KindRecipient, true}, // and Ada?
		{422, 406, "Inactive.", mailer.KindRecipient, false},
		{422, 409, "JSON required.", mailer.KindRejected, false},
		{422, 410, "Too many batch messages.", mailer.KindTooLarge, false},
		{422, 411, "Forbidden attachment type.", mailer.KindRejected, false},
		{422, 412, "Account is pending.", mailer.KindUnauthorized, false},
		{422, 413, "Account may not send.", mailer.KindUnauthorized, false},
		{422, 422, "Invalid Server or Account.", mailer.KindUnauthorized, false},
		{422, 422, "Unprocessable.", mailer.KindUnknown, false},
		{422, 429, "Rate limit exceeded.", mailer.KindRateLimited, false},
		{422, 614, "Entitlement exceeded.", mailer.KindQuota, false},
		{422, 1101, "Template not found.", mailer.KindRejected, false},
		{422, 1109, "Template model missing.", mailer.KindRejected, false},
		{422, 1120, "Template.", mailer.KindRejected, false},
		{422, 1121, "Template.", mailer.KindRejected, false},
		{422, 1122, "Template.", mailer.KindRejected, false},
		{422, 1123, "Template.", mailer.KindRejected, false},
		{422, 1226, "Stream not found.", mailer.KindRejected, false},
		{422, 1235, "Stream not found.", mailer.KindRejected, false},
		{422, 1236, "Stream does not send.", mailer.KindRejected, false},
		{422, 1350, "Webhook.", mailer.KindRejected, false},
		{422, 1364, "Webhook.", mailer.KindRejected, false},
		{422, 1400, "Suppression.", mailer.KindRejected, false},
		{422, 1411, "Suppression.", mailer.KindRejected, false},
		{422, 1480, "IP not allowed.", mailer.KindUnauthorized, false},
		{422, 9999, "New.", mailer.KindUnknown, false},
		// The same with the status of success.
		{200, 406, both, mailer.KindRecipient, false},
		{200, 400, "Sender signature not found.", mailer.KindSender, false},
		{200, 101, "Internal error.", mailer.KindUnavailable, true},
		{200, 9999, "New.", mailer.KindUnknown, true},
		// By the status, whatever the code is.
		{401, 10, "Bad or missing API token.", mailer.KindUnauthorized, false},
		{401, 300, "Invalid 'To'.", mailer.KindUnauthorized, false},
		{403, 413, "Account may not send.", mailer.KindUnauthorized, false},
		{413, 300, "Too large.", mailer.KindTooLarge, false},
		{429, 300, "Slow down.", mailer.KindRateLimited, false},
		{500, 101, "Internal error.", mailer.KindUnavailable, true},
		{500, 300, "Invalid 'To'.", mailer.KindUnavailable, true},
		{503, 100, "Maintenance.", mailer.KindUnavailable, true},
		{404, 9999, "New.", mailer.KindRejected, false},
	} {
		add(fmt.Sprintf("status %d and code %d: %s", c.status, c.code, c.message), c.kind, !c.sent, fmt.Sprint(c.code), no(c.status, c.code, c.message))
	}
	page := providertest.Answer{Status: 403, Header: map[string]string{"Content-Type": "text/html"}, Body: "<html>Blocked</html>"}
	add("the firewall's web page", mailer.KindUnknown, true, "", page)
	for status, kind := range map[int]mailer.Kind{
		400: mailer.KindUnknown, 401: mailer.KindUnauthorized, 404: mailer.KindRejected, 413: mailer.KindTooLarge,
		415: mailer.KindRejected, 418: mailer.KindUnknown, 422: mailer.KindUnknown, 429: mailer.KindRateLimited,
	} {
		add(fmt.Sprintf("status %d and no body", status), kind, true, "", providertest.Answer{Status: status})
	}
	add("status 409 and no body", mailer.KindUnknown, false, "", providertest.Answer{Status: 409})
	add("another status of success", mailer.KindUnknown, false, "", providertest.JSON(202, yes("7f4f2c9e", "OK").Body))
	add("a code beside an id", mailer.KindRecipient, true, "406",
		providertest.JSON(200, `{"MessageID":"7f4f2c9e","ErrorCode":406,"Message":"Inactive."}`))
	add("a code that is no number", mailer.KindUnknown, false, "", providertest.JSON(200, `{"MessageID":"7f4f2c9e","ErrorCode":"406"}`))
	return list
}

func TestARefusalNamesTheInactive(t *testing.T) {
	m := mailer.Message{
		From: mailer.Address{Address: "shop@example.com"},
		To:   []mailer.Address{{Address: "Ada@example.com"}}, Bcc: []mailer.Address{{Address: "ben@example.com"}},
		Text: "Hello",
	}
	p, err := New(Config{ServerToken: token})
	require.NoError(t, err)
	r, err := p.request(m)
	require.NoError(t, err)
	for text, want := range map[string][]string{
		fmt.Sprintf(inactive, "ada@example.com, ben@example.com"): {"Ada@example.com", "ben@example.com"},
		fmt.Sprintf(inactive, "ben@example.com"):                  {"ben@example.com"},
		"Inactive.":                                               nil,
	} {
		_, err = p.receipt(&r, &httpapi.Response{Status: 422}, []byte(no(422, 406, text).Body))
		e, ok := errors.AsType[*mailer.Error](err)
		require.True(t, ok)
		require.Equal(t, mailer.KindRecipient, e.Kind)
		require.Equal(t, want, e.Recipients)
	}
	_, err = p.receipt(&r, &httpapi.Response{Status: 422}, []byte(no(422, 300, fmt.Sprintf(inactive, "ben@example.com")).Body))
	e, _ := errors.AsType[*mailer.Error](err)
	require.NotEqual(t, mailer.KindRecipient, e.Kind)
	require.Nil(t, e.Recipients)
}

func TestARefusalNamesAMalformedRecipient(t *testing.T) {
	m := mailer.Message{
		From: mailer.Address{Address: "shop@example.com"},
		To:   []mailer.Address{{Address: "ada@example.com"}}, Cc: []mailer.Address{{Address: "Ben.O'Hara@example"}},
		Text: "Hello",
	}
	p, err := New(Config{ServerToken: token})
	require.NoError(t, err)
	r, err := p.request(m)
	require.NoError(t, err)
	for text, want := range map[string][]string{
		"Invalid 'Cc' address: 'ben.o'hara@example'.":                                      {"Ben.O'Hara@example"},
		"Error parsing 'Cc': Illegal email address 'ben.o'hara@example'":                   {"Ben.O'Hara@example"},
		"Error parsing 'To': Illegal email address 'Doe'. It must contain the '@' symbol.": nil, // not of the message
		"Invalid 'To'.": nil,
	} {
		_, err = p.receipt(&r, &httpapi.Response{Status: 422}, []byte(no(422, 300, text).Body))
		e, ok := errors.AsType[*mailer.Error](err)
		require.True(t, ok)
		require.Equal(t, mailer.KindRecipient, e.Kind)
		require.True(t, e.NotSent, text)
		require.Equal(t, want, e.Recipients, text)
	}
}

func TestAnswerOfYes(t *testing.T) {
	m := mailer.Message{
		ID:   "8841",
		From: mailer.Address{Address: "shop@example.com"},
		To:   []mailer.Address{{Address: "Ada@example.com"}, {Address: "ben@example.com"}},
		Text: "Hello",
	}
	const because = "Inactive recipients are ones that have generated a hard bounce, a spam complaint, or a manual suppression."
	const prefix = "Message OK, but will not deliver to these inactive addresses: "
	for _, c := range []struct {
		name, body string
		rejected   []string
	}{
		{"all are active", yes("7f4f2c9e", "OK").Body, nil},
		{"of the test token", yes("7f4f2c9e", "Test job accepted").Body, nil},
		{"delayed, without a code", `{"Message":"Message accepted, but delivery may be delayed.","MessageID":"7f4f2c9e"}`, nil},
		{"one is inactive, spelled as in the message", yes("7f4f2c9e", prefix+"ada@example.com. "+because).Body, []string{"Ada@example.com"}},
		{"two are inactive", yes("7f4f2c9e", prefix+"ada@example.com, ben@example.com.\n"+because).Body, []string{"Ada@example.com", "ben@example.com"}},
		{"nothing follows the list", yes("7f4f2c9e", prefix+"ben@example.com").Body, []string{"ben@example.com"}},
		{"other words follow the list", yes("7f4f2c9e", prefix+"ada@example.com,\nben@example.com.\nPlease, do not.").Body, []string{"Ada@example.com", "ben@example.com"}},
		{"the code is null", `{"MessageID":"7f4f2c9e","ErrorCode":null,"Message":null}`, nil},
		{"a stranger is inactive", yes("7f4f2c9e", prefix+"who@example.com").Body, []string{"who@example.com"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := New(Config{ServerToken: token})
			require.NoError(t, err)
			r, err := p.request(m)
			require.NoError(t, err)
			receipt, err := p.receipt(&r, &httpapi.Response{Status: 200}, []byte(c.body))
			require.NoError(t, err)
			require.Equal(t, "8841", receipt.ID)
			require.Equal(t, "7f4f2c9e", receipt.MessageID)
			var rejected []string
			for _, x := range receipt.Rejected {
				rejected = append(rejected, x.Address)
				require.ErrorIs(t, x.Err, mailer.KindRecipient)
				require.True(t, mailer.NotSent(x.Err))
			}
			require.Equal(t, c.rejected, rejected)
		})
	}
}

func TestNewRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		config Config
		want   string
	}{
		"no token":               {Config{}, "postmark: Config.ServerToken is empty"},
		"a token with a blank":   {Config{ServerToken: "a b"}, "postmark: Config.ServerToken has a blank"},
		"a token with a newline": {Config{ServerToken: token + "\n"}, "postmark: Config.ServerToken has a blank"},
		"a token beyond ASCII":   {Config{ServerToken: "caf\u00e9"}, "postmark: Config.ServerToken has a blank"},
		"plain HTTP":             {Config{ServerToken: token, BaseURL: "http://api.example.com"}, "postmark: Config.BaseURL"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := New(c.config)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), token)
			require.Nil(t, p)
		})
	}
}

func TestPrinting(t *testing.T) {
	p, err := New(Config{ServerToken: token})
	require.NoError(t, err)
	require.Equal(t, "postmark postmark postmark", fmt.Sprintf("%v %+v %#v", p, *p, p))
	c := Config{ServerToken: token, BaseURL: "https://user:secret@api.example.com"}
	require.Equal(t, `postmark.Config{BaseURL: "https://user:xxxxx@api.example.com"}`, fmt.Sprintf("%+v", c))
}

func TestNewKeepsNothingThatCanChange(t *testing.T) {
	templates := map[string]string{"welcome": "one"}
	p, service := capture(t, Config{ServerToken: token, Templates: templates})
	templates["welcome"] = "two"
	_, err := p.Send(t.Context(), mailer.Message{
		From: mailer.Address{Address: "shop@example.com"}, To: []mailer.Address{{Address: "ada@example.com"}},
		Template: mailer.Template{ID: "welcome"},
	})
	require.NoError(t, err)
	require.Equal(t, "one", decode(t, service.Body).TemplateAlias)
}
