package elasticemail

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

const key = "0123456789ABCDEF-0123456789abcdef"

// yes200 is Elastic Email's yes.
const yes200 = `{"TransactionID":"3f2b6c1e-0000-4000-8000-aaaaaaaaaaaa","MessageID":"AbCdEfGhIjKlMnOpQrSt"}`

// no is Elastic Email's no.
func no(words string) string { return fmt.Sprintf(`{"Error":%q}`, words) }

func TestConformance(t *testing.T) {
	message := func(change func(m *mailer.Message)) mailer.Message {
		m := providertest.Messages()[0].Message
		m.ID = ""
		change(&m)
		return m
	}
	template := func(change func(m *mailer.Message)) mailer.Message {
		return message(func(m *mailer.Message) {
			m.Subject, m.Text = "", ""
			m.Template = mailer.Template{ID: "welcome"}
			change(m)
		})
	}
	people := func(n int) (as []mailer.Address) {
		for i := range n {
			as = append(as, mailer.Address{Address: fmt.Sprintf("reader%03d@example.com", i)})
		}
		return as
	}
	data := func(key string, value any) mailer.Message {
		return template(func(m *mailer.Message) { m.Template.Data = map[string]any{key: value} })
	}
	extra := func(x Extra) mailer.Message {
		return message(func(m *mailer.Message) { m.Extras = []mailer.Extra{x} })
	}
	providertest.Run(t, providertest.Spec{
		Name:    "elasticemail",
		Secrets: []string{key},
		Config:  Config{APIKey: key},
		Unsupported: map[string]mailer.Kind{
			"no recipient in to":         mailer.KindUnsupported,
			"several reply-to":           mailer.KindUnsupported,
			"international local part":   mailer.KindUnsupported,
			"inline image":               mailer.KindUnsupported,
			"template with nested data":  mailer.KindUnsupported,
			"template with null":         mailer.KindUnsupported,
			"template with a bad name":   mailer.KindUnsupported,
			"template with no name":      mailer.KindUnsupported,
			"template and AMP":           mailer.KindUnsupported,
			"reserved header":            mailer.KindUnsupported,
			"35 days and a moment ahead": mailer.KindUnsupported,
			"an international envelope":  mailer.KindUnsupported,
			"data that is no JSON":       mailer.KindInvalid,
			"data that is no text":       mailer.KindInvalid,
			"a name that is no text":     mailer.KindInvalid,
			"a pool of two lines":        mailer.KindInvalid,
			"a source of two lines":      mailer.KindInvalid,
			"a medium of two lines":      mailer.KindInvalid,
			"a campaign of two lines":    mailer.KindInvalid,
			"a content of two lines":     mailer.KindInvalid,
			"an envelope of two lines":   mailer.KindInvalid,
			"AMP with a NUL":             mailer.KindInvalid,
			"AMP that is no text":        mailer.KindInvalid,
			"51 recipients":              mailer.KindTooLarge,
			"large file":                 mailer.KindTooLarge,
			"large text":                 mailer.KindTooLarge,
		},
		Dropped: map[string][]string{
			"two tags":           {"Tags[1]"},
			"much metadata":      {`Metadata["b"]`},
			"too large metadata": {`Metadata["a"]`},
		},
		Messages: []providertest.Case{
			{Name: "extra", Message: extra(Extra{PoolName: "My pool \u00e9", EnvelopeFrom: "bounces@b\u00fccher.example", AMP: "<html \u26a14email></html>"})},
			{Name: "analytics", Message: extra(Extra{UTM: UTM{Source: "shop", Medium: "e-mail", Campaign: "spring & summer", Content: "caf\u00e9"}})},
			{Name: "a part of analytics", Message: extra(Extra{UTM: UTM{Campaign: "spring"}})},
			{Name: "template without data", Message: template(func(*mailer.Message) {})},
			{Name: "template with a subject", Message: template(func(m *mailer.Message) { m.Subject = "Hello" })},
			{Name: "template with numbers", Message: template(func(m *mailer.Message) {
				m.Template.Data = map[string]any{"count": 12345678901, "price": 9.5, "paid": true, "quote": `a "b" \ <c>`}
			})},
			{Name: "no subject", Message: message(func(m *mailer.Message) { m.Subject = "" })},
			{Name: "fifty in three lists", Message: message(func(m *mailer.Message) {
				all := people(50)
				m.To, m.Cc, m.Bcc = all[:1], all[1:20], all[20:]
			})},
			{Name: "international metadata", Message: message(func(m *mailer.Message) {
				m.Metadata = map[string]string{"Gr\u00fc\u00dfe": "\U0001f680 \"q\" \\ \u5c71", "plain": "a b"}
			})},
			{Name: "much metadata", Message: message(func(m *mailer.Message) {
				m.Metadata = map[string]string{"a": strings.Repeat("a", 200), "b": strings.Repeat("b", 300), "c": strings.Repeat("c", 200)}
			})},
			{Name: "too large metadata", Message: message(func(m *mailer.Message) { m.Metadata = map[string]string{"a": strings.Repeat("\u00e9", 100)} })},
			{Name: "template with null", Message: data("a", nil)},
			{Name: "template with a bad name", Message: data("a}", "b")},
			{Name: "template with no name", Message: data("", "b")},
			{Name: "template and AMP", Message: template(func(m *mailer.Message) { m.Extras = []mailer.Extra{Extra{AMP: "x"}} })},
			{Name: "reserved header", Message: message(func(m *mailer.Message) { m.Headers = map[string]string{"x-ELASTICemail-Postback": "x"} })},
			{Name: "35 days and a moment ahead", Message: message(func(m *mailer.Message) { m.SendAt = time.Now().Add(MaxDelay + time.Hour) })},
			{Name: "an international envelope", Message: extra(Extra{EnvelopeFrom: "jos\u00e9@example.com"})},
			{Name: "data that is no JSON", Message: data("a", make(chan int))},
			{Name: "data that is no text", Message: data("a", "\xff")},
			{Name: "a name that is no text", Message: data("\xff", "a")},
			{Name: "a pool of two lines", Message: extra(Extra{PoolName: "a\nb"})},
			{Name: "a source of two lines", Message: extra(Extra{UTM: UTM{Source: "a\nb"}})},
			{Name: "a medium of two lines", Message: extra(Extra{UTM: UTM{Medium: "a\nb"}})},
			{Name: "a campaign of two lines", Message: extra(Extra{UTM: UTM{Campaign: "a\nb"}})},
			{Name: "a content of two lines", Message: extra(Extra{UTM: UTM{Content: "a\nb"}})},
			{Name: "an envelope of two lines", Message: extra(Extra{EnvelopeFrom: "a@example.com\r\nb"})},
			{Name: "AMP with a NUL", Message: extra(Extra{AMP: "a\x00"})},
			{Name: "AMP that is no text", Message: extra(Extra{AMP: "a\xff"})},
			{Name: "51 recipients", Message: message(func(m *mailer.Message) {
				all := people(51)
				m.To, m.Cc, m.Bcc = all[:1], all[1:20], all[20:]
			})},
			{Name: "large file", Message: message(func(m *mailer.Message) {
				m.Attachments = []mailer.Attachment{{Name: "a.bin", Content: make([]byte, MaxSize*3/4)}}
			})},
			{Name: "large text", Message: message(func(m *mailer.Message) { m.Text = strings.Repeat("t", MaxSize) })},
		},
		Notes: map[string]string{"metadata": "512 bytes with the ID", "scheduled": "up to 35 days"},
		Peer: providertest.HTTP{
			New: func(baseURL string, client *http.Client) (mailer.Provider, error) {
				return New(Config{APIKey: key, BaseURL: baseURL, HTTPClient: client})
			},
			Accept: func(n int, _ providertest.Request) (providertest.Answer, string) {
				id := fmt.Sprintf("3f2b6c1e-%04d", n)
				return providertest.JSON(200, fmt.Sprintf(`{"TransactionID":%q,"MessageID":"AbC%d"}`, id, n)), id
			},
			AcceptBatch: func(n int, _ providertest.Request) (providertest.Answer, []string) {
				id := fmt.Sprintf("3f2b6c1e-%04d", n)
				return providertest.JSON(200, fmt.Sprintf(`{"TransactionID":%q,"MessageID":"AbC%d"}`, id, n)), []string{id}
			},
			Templates: func(baseURL string, client *http.Client, names map[string]string) (mailer.Provider, error) {
				return New(Config{APIKey: key, BaseURL: baseURL, HTTPClient: client, Templates: names})
			},
			Verify:       providertest.JSON(200, `{"success":true,"data":{"email":"owner@example.com"}}`),
			Unauthorized: providertest.JSON(400, no("APIKey Expired")),
			Quota: func() (providertest.Answer, mailer.Quota) {
				return providertest.JSON(200, `{"success":true,"data":{"emailcredits":1200,"dailysendlimit":50000}}`),
					mailer.Quota{Limit: -1, Remaining: 1200}
			},
			Refusals: refusals(),
		},
	})
}

// words are texts of a no, and their kinds under status 400.
var words = map[string]mailer.Kind{
	"APIKey Expired":                         mailer.KindUnauthorized,
	"Incorrect apikey":                       mailer.KindUnauthorized,
	"Your API Key is not valid":              mailer.KindUnauthorized,
	"Access Denied.":                         mailer.KindUnauthorized,
	"Your account has been disabled":         mailer.KindUnauthorized,
	"Account suspended: limit exceeded":      mailer.KindUnauthorized,
	"This account is blocked":                mailer.KindUnauthorized,
	"Account is not active":                  mailer.KindUnauthorized,
	"The account is under review":            mailer.KindUnauthorized,
	"Your account":                           mailer.KindRejected,
	"You have no credits left":               mailer.KindQuota,
	"Not enough funds":                       mailer.KindQuota,
	"Daily limit of 100 e-mails":             mailer.KindQuota,
	"The limit was reached":                  mailer.KindQuota,
	"Sending limit exceeded":                 mailer.KindQuota,
	"No limit":                               mailer.KindRejected,
	"Domain example.com is not verified":     mailer.KindSender,
	"From address not allowed":               mailer.KindSender,
	"Sender not registered":                  mailer.KindSender,
	"Sender is missing":                      mailer.KindRejected,
	"The file is too large":                  mailer.KindTooLarge,
	"Message size exceeded":                  mailer.KindTooLarge,
	"The size limit of 20 MB is reached":     mailer.KindTooLarge,
	"The size is odd":                        mailer.KindRejected,
	"Invalid recipient":                      mailer.KindRecipient,
	"Recipient is blocked":                   mailer.KindRecipient,
	"All recipients are suppressed":          mailer.KindRecipient,
	"Recipients are missing":                 mailer.KindRejected,
	"Forbidden content":                      mailer.KindContent,
	"This looks like SPAM":                   mailer.KindContent,
	"Something happened":                     mailer.KindRejected,
	`The subject "API Key suspended" is odd`: mailer.KindRejected,
	"apikey@example.com is odd":              mailer.KindRejected,
	"ada@credit.example is odd":              mailer.KindRejected,
	`"" is odd, and so is "spam`:             mailer.KindContent, // the quote is not closed
}

// refusals are Elastic Email's: one for each text and each status that is known.
func refusals() []providertest.Refusal {
	var list []providertest.Refusal
	add := func(name string, status int, body string, kind mailer.Kind, notSent bool) {
		list = append(list, providertest.Refusal{Name: name, Answer: providertest.JSON(status, body), Kind: kind, NotSent: notSent})
	}
	for text, kind := range words {
		add("400: "+text, 400, no(text), kind, true)
		add("422: "+text, 422, no(text), kind, true)
		at200, known := kind, true
		if kind == mailer.KindRejected {
			at200, known = mailer.KindUnknown, false
		}
		add("200: "+text, 200, no(text), at200, known)
		add("200 of v2: "+text, 200, fmt.Sprintf(`{"success":false,"error":%q}`, text), at200, known)
		add("200 beside an id: "+text, 200, fmt.Sprintf(`{"TransactionID":"3f2b","error":%q}`, text), at200, false)
	}
	for _, c := range []struct {
		status  int
		kind    mailer.Kind
		notSent bool
	}{
		{200, mailer.KindUnknown, false},
		{201, mailer.KindUnknown, false},
		{202, mailer.KindUnknown, false},
		{400, mailer.KindRejected, true},
		{422, mailer.KindRejected, true},
		{401, mailer.KindUnauthorized, true},
		{403, mailer.KindUnauthorized, true},
		{402, mailer.KindUnknown, true},
		{404, mailer.KindUnknown, true},
		{408, mailer.KindUnavailable, false},
		{409, mailer.KindUnknown, false},
		{413, mailer.KindTooLarge, true},
		{429, mailer.KindRateLimited, true},
		{500, mailer.KindUnavailable, false},
		{502, mailer.KindUnavailable, false},
		{503, mailer.KindUnavailable, false},
		{504, mailer.KindUnavailable, false},
	} {
		add(fmt.Sprintf("status %d and no body", c.status), c.status, "", c.kind, c.notSent)
		add(fmt.Sprintf("status %d and an empty object", c.status), c.status, "{}", c.kind, c.notSent)
		if c.status != 200 {
			add(fmt.Sprintf("status %d and a success", c.status), c.status, yes200, c.kind, false)
			kind := c.kind
			if c.status == 400 || c.status == 422 {
				kind = mailer.KindQuota
			}
			add(fmt.Sprintf("status %d and a text", c.status), c.status, no("daily limit"), kind, c.notSent)
		}
	}
	for name, body := range map[string]string{
		"an id that is no string":            `{"TransactionID":7}`,
		"an id that is empty":                `{"TransactionID":"","MessageID":null}`,
		"a list":                             "[" + yes200 + "]",
		"half of a success":                  yes200[:40],
		"a failure without words":            `{"success":false,"TransactionID":"3f2b"}`,
		"an error that is an object":         `{"TransactionID":"3f2b","Error":{"a":1}}`,
		"an error that is true":              `{"TransactionID":"3f2b","Error":true}`,
		"a success that is no boolean":       `{"TransactionID":"3f2b","success":"yes"}`,
		"the shape of v2 without an id":      `{"success":true,"data":{}}`,
		"an id that is called something new": `{"TransactionIDs":"3f2b"}`,
	} {
		add(name, 200, body, mailer.KindUnknown, false)
	}
	list = append(list, providertest.Refusal{
		Name: "too many connections, with Retry-After", Kind: mailer.KindRateLimited, NotSent: true, RetryAfter: 7 * time.Second,
		Answer: providertest.Answer{Status: 429, Header: map[string]string{"Retry-After": "7"}},
	})
	return list
}

// answerTo reads an answer to m.
func answerTo(t *testing.T, m mailer.Message, status int, body string) (mailer.Receipt, error) {
	t.Helper()
	p, err := New(Config{APIKey: key})
	require.NoError(t, err)
	r, err := p.request(m)
	require.NoError(t, err)
	resp := &httpapi.Response{Status: status, Body: []byte(body)}
	a := parse(resp)
	return p.receipt(&r, &a, resp)
}

func TestAnswerOfYes(t *testing.T) {
	for _, c := range []struct{ name, body, id string }{
		{"with both ids", yes200, "3f2b6c1e-0000-4000-8000-aaaaaaaaaaaa"},
		{"without a MessageID", `{"TransactionID":"3f2b"}`, "3f2b"},
		{"with an empty MessageID", `{"TransactionID":"3f2b","MessageID":""}`, "3f2b"},
		{"without a TransactionID", `{"TransactionID":null,"MessageID":"AbC"}`, "AbC"},
		{"with an error of nothing", `{"TransactionID":"3f2b","Error":null,"error":""}`, "3f2b"},
		{"as v2 says it", `{"success":true,"transactionid":"3f2b","messageid":"AbC"}`, "3f2b"},
		{"with an id beyond 2^53", `{"TransactionID":"9007199254740993"}`, "9007199254740993"},
	} {
		t.Run(c.name, func(t *testing.T) {
			receipt, err := answerTo(t, registration, 200, c.body)
			require.NoError(t, err)
			require.Equal(t, mailer.Receipt{ID: registration.ID, Provider: "elasticemail", MessageID: c.id}, receipt)
		})
	}
}

func TestAnswerOfNoTellsWhatIsKnown(t *testing.T) {
	of := func(status int, body string) *mailer.Error {
		_, err := answerTo(t, registration, status, body)
		e, ok := errors.AsType[*mailer.Error](err)
		require.True(t, ok)
		return e
	}
	require.Equal(t, "APIKey Expired", of(400, no("APIKey Expired")).Message)
	require.Equal(t, "APIKey Expired", of(400, `{"error":"APIKey Expired"}`).Message)
	require.Equal(t, "<html>Blocked</html>", of(403, "<html>Blocked</html>").Message)
	require.Equal(t, `{"a":1}`, of(400, `{"Error":{"a":1}}`).Message)
	require.ErrorContains(t, of(200, "<html>").Err, "not a JSON object")
	require.NotContains(t, of(400, no("the key "+key)).Error(), key)
}

func TestARefusalOfRecipientsNamesThem(t *testing.T) {
	m := registration
	m.Cc, m.Bcc = []mailer.Address{{Address: "Ben@example.com"}}, []mailer.Address{{Address: "cleo@example.com"}}
	for text, want := range map[string][]string{
		"Invalid recipient: ben@example.com.":                     {"Ben@example.com"},
		"Recipients (ada@example.com,'cleo@example.com') blocked": {"ada@example.com", "cleo@example.com"},
		"Invalid recipient":                                       nil,
		"Invalid recipient xben@example.com ben@example.com.au":   nil,
		"Sender ada@example.com not allowed":                      nil, // not about recipients
	} {
		_, err := answerTo(t, m, 400, no(text))
		require.Equal(t, want, err.(*mailer.Error).Recipients, text)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		config Config
		want   string
	}{
		"no key":                 {Config{}, "elasticemail: Config.APIKey is empty"},
		"a key with a blank":     {Config{APIKey: "a b"}, "elasticemail: Config.APIKey has a blank"},
		"a key with a newline":   {Config{APIKey: key + "\n"}, "elasticemail: Config.APIKey has a blank"},
		"plain HTTP":             {Config{APIKey: key, BaseURL: "http://api.example"}, "elasticemail: Config.BaseURL"},
		"a template of no name":  {Config{APIKey: key, Templates: map[string]string{"a": "A", "b": ""}}, `elasticemail: Config.Templates["b"] is not`},
		"a template of two line": {Config{APIKey: key, Templates: map[string]string{"b": "B\n"}}, `elasticemail: Config.Templates["b"] is not`},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := New(c.config)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), key)
			require.Nil(t, p)
		})
	}
}

func TestBaseURLMayEndAsElasticEmailWritesIt(t *testing.T) {
	for _, base := range []string{"", "https://api.elasticemail.com", "https://api.elasticemail.com/", "https://api.elasticemail.com/v4", "https://api.elasticemail.com/v4/"} {
		p, service := capture(t, Config{APIKey: key, BaseURL: base})
		_, err := p.Send(t.Context(), registration)
		require.NoError(t, err)
		require.Equal(t, "https://api.elasticemail.com/v4/emails/transactional", service.URL, base)
	}
}

func TestPrinting(t *testing.T) {
	p, err := New(Config{APIKey: key})
	require.NoError(t, err)
	require.Equal(t, "elasticemail elasticemail elasticemail", fmt.Sprintf("%v %+v %#v", p, *p, p))
	require.Equal(t, `elasticemail.Config{BaseURL: "https://user:xxxxx@api.example"}`, fmt.Sprintf("%+v", Config{APIKey: key, BaseURL: "https://user:secret@api.example"}))
}

func TestNewKeepsNothingThatCanChange(t *testing.T) {
	templates := map[string]string{"welcome": "Welcome 1"}
	p, service := capture(t, Config{APIKey: key, Templates: templates})
	templates["welcome"] = "Welcome 2"
	m := mailer.Message{
		From: mailer.Address{Address: "shop@example.com"}, To: []mailer.Address{{Address: "ada@example.com"}},
		Template: mailer.Template{ID: "welcome"},
	}
	_, err := p.Send(t.Context(), m)
	require.NoError(t, err)
	require.Equal(t, "Welcome 1", decode(t, service.Body).Content.TemplateName)
	m.Template.ID = "Another"
	_, err = p.Send(t.Context(), m)
	require.NoError(t, err)
	require.Equal(t, "Another", decode(t, service.Body).Content.TemplateName)
}
