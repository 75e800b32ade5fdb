package socketlabs

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/httpapi"
	"github.com/seed355143d4/mailer/provider/providertest"
)

// Keys of both kinds.
const (
	key    = "k1234567890123456789.s123456789012345678901234567890123456789"
	legacy = "Zx81+Qw/92==legacy"
)

// yes200 is SocketLabs' yes.
const yes200 = `{"ErrorCode":"Success","MessageResults":null,"TransactionReceipt":null}`

// says is an answer with a code for the whole call.
func says(status int, code string) providertest.Answer {
	return providertest.JSON(status, fmt.Sprintf(`{"ErrorCode":%q,"MessageResults":null,"TransactionReceipt":null}`, code))
}

// warns is an answer with these results of messages.
func warns(results string) string {
	return `{"ErrorCode":"Warning","TransactionReceipt":"t-1","MessageResults":[` + results + `]}`
}

// refuses is a result that refuses recipients of message 0.
func refuses(code string, addresses ...string) string {
	list := make([]string, len(addresses))
	for i, a := range addresses {
		list[i] = fmt.Sprintf(`{"EmailAddress":%q,"Accepted":false,"ErrorCode":"InvalidAddress"}`, a)
	}
	return fmt.Sprintf(`{"Index":0,"ErrorCode":%q,"AddressResults":[%s]}`, code, strings.Join(list, ","))
}

func TestConformance(t *testing.T) {
	message := func(change func(m *mailer.Message)) mailer.Message {
		m := providertest.Messages()[0].Message
		change(&m)
		return m
	}
	template := func(change func(m *mailer.Message)) mailer.Message {
		return message(func(m *mailer.Message) {
			m.Subject, m.Text = "", ""
			m.Template = mailer.Template{ID: "4711", Data: map[string]any{"Name": "Ada"}}
			change(m)
		})
	}
	people := func(n int) (as []mailer.Address) {
		for i := range n {
			as = append(as, mailer.Address{Address: fmt.Sprintf("reader%02d@example.com", i)})
		}
		return as
	}
	providertest.Run(t, providertest.Spec{
		Name:       "socketlabs",
		Secrets:    []string{key},
		Config:     Config{ServerID: 12345, APIKey: key},
		TemplateID: "4711",
		Unsupported: map[string]mailer.Kind{
			"scheduled":                 mailer.KindUnsupported,
			"several reply-to":          mailer.KindUnsupported,
			"international local part":  mailer.KindUnsupported,
			"template with nested data": mailer.KindUnsupported,
			"reserved header":           mailer.KindUnsupported,
			"no subject":                mailer.KindUnsupported,
			"template of a name":        mailer.KindUnsupported,
			"data with cc":              mailer.KindUnsupported,
			"data with bcc":             mailer.KindUnsupported,
			"data without to":           mailer.KindUnsupported,
			"amp beside template":       mailer.KindUnsupported,
			"control in mailing":        mailer.KindInvalid,
			"control in amp":            mailer.KindInvalid,
			"malformed amp":             mailer.KindInvalid,
			"data that is no JSON":      mailer.KindInvalid,
			"51 recipients":             mailer.KindTooLarge,
			"large file":                mailer.KindTooLarge,
			"large text":                mailer.KindTooLarge,
		},
		Dropped: map[string][]string{
			"tracking on":        {"Track.Opens", "Track.Clicks"},
			"tracking off":       {"Track.Opens", "Track.Clicks"},
			"too much reporting": {"Tags[48]", "Tags[49]", `Metadata["large"]`},
		},
		Messages: []providertest.Case{
			{Name: "extra", Message: message(func(m *mailer.Message) {
				m.HTML = "<p>Hello</p>"
				m.Extras = []mailer.Extra{Extra{MailingID: "spring sale", AMP: "<!doctype html>\n<html ⚡4email></html>\n"}}
			})},
			{Name: "template without data", Message: template(func(m *mailer.Message) {
				m.Subject, m.Template.Data = "About a template", nil
				m.Cc = []mailer.Address{{Address: "cleo@example.com"}}
			})},
			{Name: "template for several recipients", Message: template(func(m *mailer.Message) {
				m.Subject = "100%% for you"
				m.To = append(m.To, mailer.Address{Name: "Ben, Esq.", Address: "ben@example.com"})
				m.Template.Data = map[string]any{
					"paid": true, "count": 12345678901234567, "rate": 0.5, "name": "<b>\"é\"</b>", "when": time.Unix(1e9, 0).UTC(),
				}
			})},
			{Name: "too much reporting", Message: message(func(m *mailer.Message) {
				for i := range 50 {
					m.Tags = append(m.Tags, fmt.Sprintf("%02d", i)+strings.Repeat("t", 253))
				}
				m.Metadata = map[string]string{"large": strings.Repeat("v", 100), "plan": "pro"}
			})},
			{Name: "reserved header", Message: message(func(m *mailer.Message) { m.Headers = map[string]string{"X-XSMessageID": "x"} })},
			{Name: "no subject", Message: message(func(m *mailer.Message) { m.Subject = "" })},
			{Name: "template of a name", Message: template(func(m *mailer.Message) { m.Template.ID = "receipt" })},
			{Name: "data with cc", Message: template(func(m *mailer.Message) { m.Cc = people(1) })},
			{Name: "data with bcc", Message: template(func(m *mailer.Message) { m.Bcc = people(1) })},
			{Name: "data without to", Message: template(func(m *mailer.Message) { m.To, m.Cc = nil, m.To })},
			{Name: "amp beside template", Message: template(func(m *mailer.Message) { m.Extras = []mailer.Extra{&Extra{AMP: "x"}} })},
			{Name: "control in mailing", Message: message(func(m *mailer.Message) { m.Extras = []mailer.Extra{Extra{MailingID: "a\nb"}} })},
			{Name: "control in amp", Message: message(func(m *mailer.Message) { m.Extras = []mailer.Extra{Extra{AMP: "a\x00b"}} })},
			{Name: "malformed amp", Message: message(func(m *mailer.Message) { m.Extras = []mailer.Extra{Extra{AMP: "a\xff"}} })},
			{Name: "data that is no JSON", Message: template(func(m *mailer.Message) { m.Template.Data["f"] = make(chan int) })},
			{Name: "51 recipients", Message: message(func(m *mailer.Message) { m.Bcc = people(50) })},
			{Name: "large file", Message: message(func(m *mailer.Message) {
				m.Attachments = []mailer.Attachment{{Name: "a.bin", Content: make([]byte, MaxSize*3/4)}}
			})},
			{Name: "large text", Message: message(func(m *mailer.Message) { m.Text = strings.Repeat("t", MaxSize) })},
		},
		BatchBytes: maxBytes,
		Notes:      map[string]string{"template": "no data for Cc and Bcc"},
		Peer: providertest.HTTP{
			New: func(baseURL string, client *http.Client) (mailer.Provider, error) {
				return New(Config{ServerID: 12345, APIKey: key, BaseURL: baseURL, HTTPClient: client})
			},
			Accept: func(int, providertest.Request) (providertest.Answer, string) {
				return providertest.JSON(200, yes200), ""
			},
			AcceptBatch: func(int, providertest.Request) (providertest.Answer, []string) {
				return providertest.JSON(200, yes200), nil
			},
			Partial: func(providertest.Request) (providertest.Answer, string) {
				return providertest.JSON(200, warns(refuses("Warning", "ben@example.com"))), ""
			},
			None: providertest.JSON(200, warns(refuses("NoValidRecipients", "ada@example.com", "ben@example.com"))),
			Templates: func(baseURL string, client *http.Client, names map[string]string) (mailer.Provider, error) {
				return New(Config{ServerID: 12345, APIKey: key, BaseURL: baseURL, HTTPClient: client, Templates: names})
			},
			Verify:       says(200, "NoMessages"),
			Unauthorized: says(200, "InvalidAuthentication"),
			Refusals:     refusals(),
		},
	})
}

// refusals are SocketLabs', one for each code and status that it documents, and
// those that its libraries have.
func refusals() []providertest.Refusal {
	var list []providertest.Refusal
	add := func(name string, kind mailer.Kind, notSent bool, code string, answer providertest.Answer) {
		list = append(list, providertest.Refusal{Name: name, Answer: answer, Kind: kind, NotSent: notSent, Code: code})
	}
	for _, c := range []struct {
		code string
		kind mailer.Kind
		sent bool // it may have been
	}{
		{"AccountDisabled", mailer.KindUnauthorized, false},
		{"InvalidAuthentication", mailer.KindUnauthorized, false},
		{"TooManyErrors", mailer.KindRateLimited, false},
		{"OverQuota", mailer.KindQuota, false},
		{"InternalError", mailer.KindUnavailable, true},
		{"Timeout", mailer.KindUnavailable, true},
		{"InvalidData", mailer.KindRejected, false},
		{"NoMessages", mailer.KindRejected, false},
		{"EmptyMessage", mailer.KindRejected, false},
		{"TooManyMessages", mailer.KindRejected, false},
		{"TooManyRecipients", mailer.KindRejected, false},
		{"NoValidRecipients", mailer.KindRecipient, false},
		{"UnknownError", mailer.KindUnknown, true},
		{"EmptyToAddress", mailer.KindRejected, false},
		{"EmptySubject", mailer.KindRejected, false},
		{"NoValidBodyParts", mailer.KindRejected, false},
		{"InvalidAttachment", mailer.KindRejected, false},
		{"InvalidMergeData", mailer.KindRejected, false},
		{"MetadataOrTagsAreTooLarge", mailer.KindRejected, false},
		{"MessageBodyConflict", mailer.KindRejected, false},
		{"InvalidFrom", mailer.KindSender, false},
		{"InvalidFromAddress", mailer.KindSender, false},
		{"MessageTooLarge", mailer.KindTooLarge, false},
		{"InvalidTemplateId", mailer.KindRejected, false},
		{"InvalidTemplateID", mailer.KindRejected, false},
		{"TemplateHasNoContent", mailer.KindRejected, false},
		{"InvalidAddress", mailer.KindRecipient, false},
		{"AuthenticationValidationFailed", mailer.KindUnauthorized, false},
		{"RecipientValidationMaxExceeded", mailer.KindRejected, false},
		{"RecipientValidationNoneInMessage", mailer.KindRecipient, false},
		{"RecipientValidationInvalidRecipients", mailer.KindRecipient, false},
		{"EmailAddressValidationInvalidFrom", mailer.KindRejected, false},
		{"MessageValidationEmptySubject", mailer.KindRejected, false},
		{"messagetoolarge", mailer.KindTooLarge, false},
		{"SomethingNew", mailer.KindUnknown, true},
	} {
		add("code "+c.code+" for the call", c.kind, !c.sent, c.code, says(200, c.code))
		add("code "+c.code+" for the message", c.kind, !c.sent, c.code,
			providertest.JSON(200, warns(fmt.Sprintf(`{"Index":0,"ErrorCode":%q,"AddressResults":null}`, c.code))))
		// The same code under another status: it decides if it is a listed one.
		if c.code != "SomethingNew" {
			add("code "+c.code+" with status 400", c.kind, !c.sent, c.code, says(400, c.code))
			add("code "+c.code+" with status 500", c.kind, !c.sent, c.code, says(500, c.code))
		}
	}
	for _, c := range []struct {
		status int
		kind   mailer.Kind
		sent   bool // it may have been
	}{
		{400, mailer.KindRejected, false},
		{401, mailer.KindUnauthorized, false},
		{403, mailer.KindUnauthorized, false},
		{404, mailer.KindRejected, false},
		{408, mailer.KindUnavailable, true},
		{409, mailer.KindRejected, true},
		{413, mailer.KindTooLarge, false},
		{429, mailer.KindRateLimited, false},
		{500, mailer.KindUnavailable, true},
		{502, mailer.KindUnavailable, true},
		{503, mailer.KindUnavailable, true},
		{504, mailer.KindUnavailable, true},
	} {
		add(fmt.Sprintf("status %d and no body", c.status), c.kind, !c.sent, "", providertest.Answer{Status: c.status})
		add(fmt.Sprintf("status %d and a new code", c.status), c.kind, !c.sent, "SomethingNew", says(c.status, "SomethingNew"))
		add(fmt.Sprintf("status %d and a code of success", c.status), c.kind, false, "Success", says(c.status, "Success"))
		add(fmt.Sprintf("status %d and a warning", c.status), c.kind, false, "Warning",
			providertest.JSON(c.status, warns(refuses("Warning", "ben@example.com"))))
	}
	both := []string{"BEN@example.com", "ada@example.com"}
	for name, c := range map[string]struct {
		body    string
		kind    mailer.Kind
		notSent bool
		code    string
	}{
		"all recipients refused":                         {warns(refuses("Warning", both...)), mailer.KindRecipient, true, "InvalidAddress"},
		"all recipients refused, by the message's code":  {warns(refuses("NoValidRecipients", both...)), mailer.KindRecipient, true, "NoValidRecipients"},
		"a success that refuses all recipients":          {strings.Replace(warns(refuses("Warning", both...)), "Warning", "Success", 1), mailer.KindRecipient, false, "InvalidAddress"},
		"a success that refuses the message":             {strings.Replace(warns(refuses("InvalidFrom")), "Warning", "Success", 1), mailer.KindSender, false, "InvalidFrom"},
		"a warning without a reason":                     {says(200, "Warning").Body, mailer.KindUnknown, false, "Warning"},
		"a warning with an empty list":                   {warns(""), mailer.KindUnknown, false, "Warning"},
		"a result that is no object":                     {warns("1"), mailer.KindUnknown, false, "Warning"},
		"a result without an index":                      {warns(`{"ErrorCode":"InvalidFrom"}`), mailer.KindUnknown, false, "Warning"},
		"a result without a code":                        {warns(`{"Index":0}`), mailer.KindUnknown, false, ""},
		"a result of a message that was not in the call": {warns(`{"Index":1,"ErrorCode":"InvalidFrom"}`), mailer.KindUnknown, false, "Warning"},
		"a result of a message before the first":         {warns(`{"Index":-1,"ErrorCode":"InvalidFrom"}`), mailer.KindUnknown, false, "Warning"},
		"two results of the message":                     {warns(refuses("Warning") + "," + refuses("InvalidFrom")), mailer.KindUnknown, false, "Warning"},
		"results that are no list":                       {`{"ErrorCode":"Warning","MessageResults":{}}`, mailer.KindUnknown, false, "Warning"},
		"address results that are no list":               {warns(`{"Index":0,"ErrorCode":"Warning","AddressResults":{}}`), mailer.KindUnknown, false, "Warning"},
		"address results that are no objects":            {warns(`{"Index":0,"ErrorCode":"Warning","AddressResults":[1]}`), mailer.KindUnknown, false, "Warning"},
		"a code that is a number":                        {`{"ErrorCode":0}`, mailer.KindUnknown, false, ""},
		"a success beside malformed results":             {`{"ErrorCode":"Success","MessageResults":7}`, mailer.KindUnknown, false, "Success"},
		"a refusal beside malformed results":             {`{"ErrorCode":"InvalidData","MessageResults":7}`, mailer.KindRejected, true, "InvalidData"},
		"a refusal of the call beside one of the message": {
			strings.Replace(warns(refuses("InvalidFrom")), "Warning", "OverQuota", 1), mailer.KindQuota, true, "OverQuota",
		},
	} {
		add(name, c.kind, c.notSent, c.code, providertest.JSON(200, c.body))
	}
	add("another status of success", mailer.KindUnknown, false, "Success", providertest.JSON(202, yes200))
	list = append(list, providertest.Refusal{
		Name: "a code with Retry-After", Kind: mailer.KindQuota, NotSent: true, Code: "OverQuota", RetryAfter: time.Minute,
		Answer: providertest.Answer{Status: 200, Header: map[string]string{"Retry-After": "60"}, Body: says(200, "OverQuota").Body},
	})
	return list
}

// answerTo reads an answer to m.
func answerTo(t *testing.T, m mailer.Message, status int, body string) (mailer.Receipt, error) {
	t.Helper()
	p, err := New(Config{ServerID: 12345, APIKey: key})
	require.NoError(t, err)
	r, err := p.request(m)
	require.NoError(t, err)
	resp := &httpapi.Response{Status: status, Body: []byte(body)}
	a := parse(resp, 1)
	return p.receipt(&r, &a, 0, resp)
}

func TestAnswerOfYes(t *testing.T) {
	one := mailer.Message{
		ID: "8841", From: mailer.Address{Address: "shop@example.com"}, Subject: "Hello", Text: "Hello",
		To: []mailer.Address{{Address: "Ada@example.com"}},
	}
	three := one
	three.Cc = []mailer.Address{{Address: "ben@example.com"}}
	three.Bcc = []mailer.Address{{Address: "cleo@example.com"}}
	for _, c := range []struct {
		name, body string
		m          mailer.Message
		rejected   []string
	}{
		{"to everything", yes200, one, nil},
		{"with nothing beside it", `{"ErrorCode":"Success"}`, one, nil},
		{"in other cases", `{"errorCode":"SUCCESS","messageResults":[]}`, one, nil},
		{"with results of success", strings.Replace(warns(refuses("Success")), "Warning", "Success", 1), one, nil},
		{"with a warning of nobody", warns(`{"Index":0,"ErrorCode":"Warning"}`), one, nil},
		{"with no refused recipients", warns(`{"Index":0,"ErrorCode":"Warning","AddressResults":null}`), one, nil},
		{"to one of three, spelled as in the message", warns(refuses("Warning", "ada@EXAMPLE.com", "BEN@example.com")), three, []string{"Ada@example.com", "ben@example.com"}},
		{"but to a blind copy", warns(refuses("Warning", "cleo@example.com")), three, []string{"cleo@example.com"}},
		{"with one refused twice", warns(refuses("Warning", "ben@example.com", "Ben@example.com", "ada@example.com")), three, []string{"ben@example.com", "Ada@example.com"}},
		{"with a stranger refused", warns(refuses("Warning", "who@example.com")), three, []string{"who@example.com"}},
		{"with as many strangers as recipients", warns(refuses("Warning", "who@example.com", "why@example.com", "how@example.com")), three, []string{"who@example.com", "why@example.com", "how@example.com"}},
		{"by an old name", strings.Replace(warns(refuses("Warning", "ben@example.com")), "AddressResults", "AddressResult", 1), three, []string{"ben@example.com"}},
		{"with one called accepted", strings.Replace(warns(refuses("Warning", "ben@example.com")), "false", "true", 1), three, nil},
		{"with a new reason", strings.Replace(warns(refuses("Warning", "ben@example.com")), "InvalidAddress", "New", 1), three, []string{"ben@example.com"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			receipt, err := answerTo(t, c.m, 200, c.body)
			require.NoError(t, err)
			require.Equal(t, "8841", receipt.ID)
			require.Equal(t, "8841", receipt.MessageID)
			var rejected []string
			for _, x := range receipt.Rejected {
				rejected = append(rejected, x.Address)
				require.ErrorIs(t, x.Err, mailer.KindRecipient)
				require.True(t, mailer.NotSent(x.Err))
				e, _ := errors.AsType[*mailer.Error](x.Err)
				require.Equal(t, "t-1", e.RequestID)
				require.Contains(t, []string{"InvalidAddress", "New"}, e.Code)
			}
			require.Equal(t, c.rejected, rejected)
		})
	}
	t.Run("a recipient may be refused for the account's reasons", func(t *testing.T) {
		receipt, err := answerTo(t, three, 200, strings.Replace(warns(refuses("Warning", "ben@example.com")), "InvalidAddress", "OverQuota", 1))
		require.NoError(t, err)
		require.ErrorIs(t, receipt.Rejected[0].Err, mailer.KindQuota)
	})
	t.Run("the only recipient is refused, by whatever name", func(t *testing.T) {
		_, err := answerTo(t, one, 200, warns(refuses("Warning", "%%DeliveryAddress%%")))
		require.ErrorIs(t, err, mailer.KindRecipient)
		require.True(t, mailer.NotSent(err))
	})
}

func TestARefusalOfAllNamesThem(t *testing.T) {
	three := providertest.Messages()[0].Message
	three.To = []mailer.Address{{Address: "Ada@example.com"}}
	three.Cc = []mailer.Address{{Address: "ben@example.com"}}
	three.Bcc = []mailer.Address{{Address: "cleo@example.com"}}
	of := func(body string) *mailer.Error {
		_, err := answerTo(t, three, 200, body)
		e, ok := errors.AsType[*mailer.Error](err)
		require.True(t, ok)
		require.Equal(t, mailer.KindRecipient, e.Kind)
		return e
	}
	all := []string{"ada@example.com", "ben@example.com", "cleo@example.com"}
	require.Equal(t, []string{"Ada@example.com", "ben@example.com", "cleo@example.com"}, of(warns(refuses("Warning", all...))).Recipients)
	require.Equal(t, []string{"ben@example.com"}, of(warns(refuses("NoValidRecipients", "ben@example.com"))).Recipients)
	require.Nil(t, of(warns(refuses("NoValidRecipients"))).Recipients)
}

func TestAnswerOfNoTellsWhatIsKnown(t *testing.T) {
	m := providertest.Messages()[0].Message
	_, err := answerTo(t, m, 500, `{"ErrorCode":"InternalError","TransactionReceipt":"`+strings.Repeat("r", 500)+"\\n"+key+`"}`)
	e, _ := errors.AsType[*mailer.Error](err)
	require.Regexp(t, `^r{100,}…$`, e.RequestID)
	_, err = answerTo(t, m, 200, warns(refuses("NoValidRecipients", "ada@example.com", "ben@example.com")))
	e, _ = errors.AsType[*mailer.Error](err)
	require.Equal(t, "t-1", e.RequestID)
	require.Equal(t, "ada@example.com (InvalidAddress), ben@example.com (InvalidAddress)", e.Message)
	for body, words := range map[string]string{
		"":                        "not a JSON object",
		"{}":                      "no ErrorCode",
		says(200, "Warning").Body: "does not say of what",
		warns(`{"Index":9}`):      "do not fit",
		warns(`7`):                "do not fit",
		`{"ErrorCode":"Warning","MessageResults":7}`: "not a list",
	} {
		_, err = answerTo(t, m, 200, body)
		e, _ = errors.AsType[*mailer.Error](err)
		require.ErrorContains(t, e.Err, words)
	}
	_, err = answerTo(t, m, 403, "<html>Blocked</html>")
	e, _ = errors.AsType[*mailer.Error](err)
	require.Equal(t, "<html>Blocked</html>", e.Message)
}

func TestNewRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		config Config
		want   string
	}{
		"no server":            {Config{APIKey: key}, "socketlabs: Config.ServerID is not"},
		"a negative server":    {Config{ServerID: -1, APIKey: key}, "socketlabs: Config.ServerID is not"},
		"no key":               {Config{ServerID: 1}, "socketlabs: Config.APIKey is empty"},
		"a key with a blank":   {Config{ServerID: 1, APIKey: "a b"}, "socketlabs: Config.APIKey has a blank"},
		"a key with a newline": {Config{ServerID: 1, APIKey: key + "\n"}, "socketlabs: Config.APIKey has a blank"},
		"a key beyond ASCII":   {Config{ServerID: 1, APIKey: "caf\u00e9"}, "socketlabs: Config.APIKey has a blank"},
		"plain HTTP":           {Config{ServerID: 1, APIKey: key, BaseURL: "http://inject.example"}, "socketlabs: Config.BaseURL"},
		"a template's name":    {Config{ServerID: 1, APIKey: key, Templates: map[string]string{"a": "1", "b": "x"}}, `socketlabs: Config.Templates["b"] is not`},
		"template zero":        {Config{ServerID: 1, APIKey: key, Templates: map[string]string{"a": "0"}}, `socketlabs: Config.Templates["a"] is not`},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := New(c.config)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), key)
			require.Nil(t, p)
		})
	}
}

func TestPrinting(t *testing.T) {
	p, err := New(Config{ServerID: 1, APIKey: key})
	require.NoError(t, err)
	require.Equal(t, "socketlabs socketlabs socketlabs", fmt.Sprintf("%v %+v %#v", p, *p, p))
	c := Config{APIKey: legacy, BaseURL: "https://user:secret@inject.example"}
	require.Equal(t, `socketlabs.Config{BaseURL: "https://user:xxxxx@inject.example"}`, fmt.Sprintf("%+v", c))
	p, err = New(Config{ServerID: 1, APIKey: legacy})
	require.NoError(t, err)
	require.NotContains(t, fmt.Sprintf("%v %+v %#v", p, *p, p), legacy)
}

func TestNewKeepsNothingThatCanChange(t *testing.T) {
	templates := map[string]string{"welcome": "1"}
	p, service := capture(t, Config{ServerID: 1, APIKey: key, Templates: templates})
	templates["welcome"] = "2"
	_, err := p.Send(t.Context(), mailer.Message{
		From: mailer.Address{Address: "shop@example.com"}, To: []mailer.Address{{Address: "ada@example.com"}},
		Template: mailer.Template{ID: "welcome"},
	})
	require.NoError(t, err)
	require.Equal(t, "1", decode(t, service.Body).Messages[0].ApiTemplate)
}
