package smtp2go

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

const key = "api-0123456789abcdefghijABCDEFGHIJ01"

// yes200 is SMTP2GO's yes.
const yes200 = `{"request_id":"r-1","data":{"succeeded":1,"failed":0,"failures":[],"email_id":"1u0SwL-B9zBpi9ffUq-JAB2"}}`

// says is a yes or a no with these members of data.
func says(members string) string { return `{"request_id":"r-1","data":{` + members + `}}` }

// fails is an answer of failure with this code and these words.
func fails(code, words string) string {
	return says(fmt.Sprintf(`"error":%q,"error_code":%q`, words, code))
}

const (
	prefix    = "E_ApiResponseCodes."
	noSuchKey = "An API User matching the passed 'api_key' was not found"
)

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
	image := func(name, id string) mailer.Attachment {
		return mailer.Attachment{Name: name, ContentID: id, ContentType: "image/png", Content: []byte("PNG")}
	}
	providertest.Run(t, providertest.Spec{
		Name:    "smtp2go",
		Secrets: []string{key},
		Config:  Config{APIKey: key},
		Unsupported: map[string]mailer.Kind{
			"no recipient in to":         mailer.KindUnsupported,
			"international local part":   mailer.KindUnsupported,
			"inline image":               mailer.KindUnsupported, // its ContentID is not its Name
			"two inline files of a name": mailer.KindUnsupported,
			"reserved header":            mailer.KindUnsupported,
			"header of a schedule":       mailer.KindUnsupported,
			"no subject":                 mailer.KindUnsupported,
			"subject and template":       mailer.KindUnsupported,
			"a short template id":        mailer.KindUnsupported,
			"a long template id":         mailer.KindUnsupported,
			"four days ahead":            mailer.KindUnsupported,
			"data that is no JSON":       mailer.KindInvalid,
			"101 in to":                  mailer.KindTooLarge,
			"101 in cc":                  mailer.KindTooLarge,
			"101 in bcc":                 mailer.KindTooLarge,
			"large file":                 mailer.KindTooLarge,
			"large text":                 mailer.KindTooLarge,
		},
		Dropped: map[string][]string{
			"one tag":      {"Tags[0]"},
			"two tags":     {"Tags[0]", "Tags[1]"},
			"metadata":     {`Metadata["plan"]`, `Metadata["user_id"]`},
			"tracking on":  {"Track.Opens", "Track.Clicks"},
			"tracking off": {"Track.Opens", "Track.Clicks"},
		},
		Messages: []providertest.Case{
			{Name: "extra", Message: message(func(m *mailer.Message) { m.Extras = []mailer.Extra{Extra{FastAccept: true}} })},
			{Name: "inline image by its name", Message: message(func(m *mailer.Message) {
				m.HTML = `<img src="cid:logo.png">`
				m.Attachments = []mailer.Attachment{image("logo.png", "logo.png"), image("logo.png", ""), {Name: "plain"}}
			})},
			{Name: "template without data", Message: template(func(*mailer.Message) {})},
			{Name: "300 recipients", Message: message(func(m *mailer.Message) {
				all := people(300)
				m.To, m.Cc, m.Bcc = all[:100], all[100:200], all[200:]
			})},
			{Name: "two inline files of a name", Message: message(func(m *mailer.Message) {
				m.HTML = `<img src="cid:A.png">`
				m.Attachments = []mailer.Attachment{image("A.png", "A.png"), image("a.png", "a.png")}
			})},
			{Name: "reserved header", Message: message(func(m *mailer.Message) { m.Headers = map[string]string{"x-MAILER-id": "x"} })},
			{Name: "header of a schedule", Message: message(func(m *mailer.Message) { m.Headers = map[string]string{"X-Smtp2go-Schedule-Id": "x"} })},
			{Name: "no subject", Message: message(func(m *mailer.Message) { m.Subject = "" })},
			{Name: "subject and template", Message: template(func(m *mailer.Message) { m.Subject = "Hello" })},
			{Name: "a short template id", Message: template(func(m *mailer.Message) { m.Template.ID = "1234" })},
			{Name: "a long template id", Message: template(func(m *mailer.Message) { m.Template.ID = strings.Repeat("x", 25) })},
			{Name: "four days ahead", Message: message(func(m *mailer.Message) { m.SendAt = time.Now().Add(4 * 24 * time.Hour) })},
			{Name: "data that is no JSON", Message: template(func(m *mailer.Message) { m.Template.Data = map[string]any{"f": make(chan int)} })},
			{Name: "101 in to", Message: message(func(m *mailer.Message) { m.To = people(101) })},
			{Name: "101 in cc", Message: message(func(m *mailer.Message) { m.Cc = people(101) })},
			{Name: "101 in bcc", Message: message(func(m *mailer.Message) { m.Bcc = people(101) })},
			{Name: "large file", Message: message(func(m *mailer.Message) {
				m.Attachments = []mailer.Attachment{{Name: "a.bin", Content: make([]byte, MaxSize*3/4)}}
			})},
			{Name: "large text", Message: message(func(m *mailer.Message) { m.Text = strings.Repeat("t", MaxSize) })},
		},
		Regions: "the nearest, US, EU, AU",
		Notes:   map[string]string{"inline image": "unless the ContentID is the Name", "scheduled": "up to 3 days"},
		Peer: providertest.HTTP{
			New: func(baseURL string, client *http.Client) (mailer.Provider, error) {
				return New(Config{APIKey: key, BaseURL: baseURL, HTTPClient: client})
			},
			Accept: func(n int, _ providertest.Request) (providertest.Answer, string) {
				id := fmt.Sprintf("1u0SwL-%d", n)
				return providertest.JSON(200, says(fmt.Sprintf(`"succeeded":1,"failed":0,"failures":[],"email_id":%q`, id))), id
			},
			Partial: func(providertest.Request) (providertest.Answer, string) {
				return providertest.JSON(200, says(`"succeeded":1,"failed":1,"failures":["550 invalid recipient <BEN@example.com>"],"email_id":"1u0SwL-p"`)), "1u0SwL-p"
			},
			None: providertest.JSON(200, says(`"succeeded":0,"failed":2,"failures":["550 invalid recipient <ada@example.com>","550 invalid recipient <ben@example.com>"]`)),
			Templates: func(baseURL string, client *http.Client, names map[string]string) (mailer.Provider, error) {
				return New(Config{APIKey: key, BaseURL: baseURL, HTTPClient: client, Templates: names})
			},
			Verify:       providertest.JSON(200, `{"request_id":"r-1","data":["/stats/email_cycle","/email/send"]}`),
			Unauthorized: providertest.JSON(500, fails(prefix+"API_EXCEPTION", noSuchKey)),
			Quota: func() (providertest.Answer, mailer.Quota) {
				return providertest.JSON(200, says(`"cycle_end":"2026-11-30 01:00:00+00:00","cycle_used":3,"cycle_remaining":997,"cycle_max":1000`)),
					mailer.Quota{Limit: 1000, Remaining: 997, Reset: time.Date(2026, 11, 30, 1, 0, 0, 0, time.UTC)}
			},
			Refusals: refusals(),
		},
	})
}

// refusals are SMTP2GO's, one for each code, status and reason that is known.
func refusals() []providertest.Refusal {
	var list []providertest.Refusal
	add := func(name string, status int, body string, kind mailer.Kind, notSent bool, code string) {
		r := providertest.Refusal{Name: name, Answer: providertest.JSON(status, body), Kind: kind, NotSent: notSent, Code: code}
		if kind == mailer.KindRateLimited {
			r.RetryAfter = time.Minute
		}
		list = append(list, r)
	}

	for _, c := range []struct {
		name, code, words string
		status            int
		kind              mailer.Kind
		notSent           bool
	}{
		{"no permission", prefix + "ENDPOINT_PERMISSION_DENIED", "You do not have permission to access this API endpoint", 400, mailer.KindUnauthorized, true},
		{"a field that does not validate", prefix + "NON_VALIDATING_IN_PAYLOAD", "sender is not valid", 400, mailer.KindRejected, true},
		{"a field that does not validate, about the key", prefix + "NON_VALIDATING_IN_PAYLOAD", "The api_key is malformed", 400, mailer.KindUnauthorized, true},
		{"an invalid field", prefix + "INVALID_IN_PAYLOAD", "to is not valid", 400, mailer.KindRejected, true},
		{"an invalid key", prefix + "INVALID_IN_PAYLOAD", "api_key has an invalid format", 400, mailer.KindUnauthorized, true},
		{"an exception", prefix + "API_EXCEPTION", "Something happened", 400, mailer.KindUnknown, true},
		{"an exception about the sender", prefix + "API_EXCEPTION", "550 From header sender domain not verified", 400, mailer.KindSender, true},
		{"an unknown key", prefix + "API_EXCEPTION", noSuchKey, 500, mailer.KindUnauthorized, true},
		{"an unknown key with status 400", prefix + "API_EXCEPTION", noSuchKey, 400, mailer.KindUnauthorized, true},
		{"an unknown key with status 200", prefix + "API_EXCEPTION", noSuchKey, 200, mailer.KindUnauthorized, true},
		{"an exception of the server", prefix + "API_EXCEPTION", "Something happened", 500, mailer.KindUnavailable, false},
		{"an exception about the sender, with status 500", prefix + "API_EXCEPTION", "550 From header sender domain not verified", 500, mailer.KindUnavailable, false},
		{"an exception with status 200", prefix + "API_EXCEPTION", "Something happened", 200, mailer.KindUnknown, false},
		{"too many requests", prefix + "REQ_LIMIT_EXCEEDED", "API key ratelimit exceeded", 429, mailer.KindRateLimited, true},
		{"too many requests with status 400", prefix + "REQ_LIMIT_EXCEEDED", "", 400, mailer.KindRateLimited, true},
		{"too many requests and a new code", "NEW", "API key ratelimit exceeded", 429, mailer.KindRateLimited, true},
		{"a listed code without the prefix", "ENDPOINT_PERMISSION_DENIED", "no", 400, mailer.KindUnauthorized, true},
		{"a listed code with status 200", prefix + "NON_VALIDATING_IN_PAYLOAD", "no", 200, mailer.KindRejected, true},
		{"a new code", "NEW", "no", 400, mailer.KindRejected, true},
		{"a new code with status 422", "NEW", "no", 422, mailer.KindRejected, true},
		{"a new code with status 200", "NEW", "no", 200, mailer.KindUnknown, false},
		{"a new code of the server", "NEW", "no", 503, mailer.KindUnavailable, false},
		{"payment required", "NEW", "Your plan's quota is used up", 402, mailer.KindQuota, true},
		{"payment required, nobody says why", "NEW", "no", 402, mailer.KindUnknown, true},
	} {
		add(c.name, c.status, fails(c.code, c.words), c.kind, c.notSent, c.code)
		// The same at the top level.
		add(c.name+", at the top", c.status, fmt.Sprintf(`{"request_id":"r-1","error":%q,"error_code":%q}`, c.words, c.code), c.kind, c.notSent, c.code)
	}
	for _, c := range []struct {
		status  int
		kind    mailer.Kind
		notSent bool
	}{
		{200, mailer.KindUnknown, false},
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
		add(fmt.Sprintf("status %d and no body", c.status), c.status, "", c.kind, c.notSent, "")
		add(fmt.Sprintf("status %d and an empty object", c.status), c.status, "{}", c.kind, c.notSent, "")
		if c.status != 200 {
			add(fmt.Sprintf("status %d and a success", c.status), c.status, yes200, c.kind, false, "")
		}
	}
	for reason, kind := range map[string]mailer.Kind{
		"550 From header sender domain not verified": mailer.KindSender,
		"535 Incorrect authentication data":          mailer.KindUnauthorized,
		"550 Relay access denied":                    mailer.KindUnauthorized,
		"550 Monthly quota used up":                  mailer.KindQuota,
		"451 hourly limit exceeded":                  mailer.KindQuota,
		"550 API key ratelimit exceeded":             mailer.KindRateLimited,
		"recipient is on the suppression list":       mailer.KindRecipient,
		"550 blocked recipient":                      mailer.KindRecipient,
		"550 Invalid recipient ada@example.com":      mailer.KindRecipient,
		"451 Try again later":                        mailer.KindUnavailable,
		"421-busy":                                   mailer.KindUnavailable,
		"552 Too much mail data":                     mailer.KindTooLarge,
		"message size exceeds the limit":             mailer.KindTooLarge,
		"550 Unspecified":                            mailer.KindUnknown,
		"4500 is no code":                            mailer.KindUnknown,
		"":                                           mailer.KindUnknown,
	} {
		notSent := kind != mailer.KindUnknown && kind != mailer.KindUnavailable
		add(fmt.Sprintf("one failed: %q", reason), 200, says(fmt.Sprintf(`"succeeded":0,"failed":1,"failures":[%q]`, reason)), kind, notSent, "")
		add(fmt.Sprintf("one failed in spite of an id: %q", reason), 200, says(fmt.Sprintf(`"failed":1,"failures":["?",%q],"email_id":"1u0SwL"`, reason)), kind, notSent, "")
	}
	for name, c := range map[string]struct {
		members string
		kind    mailer.Kind
		notSent bool
	}{
		"a failure without a reason":         {`"succeeded":0,"failed":1`, mailer.KindUnknown, false},
		"a reason that is no list":           {`"failed":1,"failures":"550 Relay access denied"`, mailer.KindUnauthorized, true},
		"a reason that is an object":         {`"failed":1,"failures":[{"error":"550 Relay access denied"}]`, mailer.KindUnauthorized, true},
		"nobody counted":                     {`"succeeded":0,"failed":0,"failures":[]`, mailer.KindUnknown, false},
		"nobody counted, and an id":          {`"succeeded":0,"failed":0,"email_id":"1u0SwL"`, mailer.KindUnknown, false},
		"no failure counted, and an id":      {`"failed":0,"email_id":"1u0SwL"`, mailer.KindUnknown, false},
		"a count that is none":               {`"succeeded":1.5,"email_id":"1u0SwL"`, mailer.KindUnknown, false},
		"a negative count":                   {`"succeeded":1,"failed":-1`, mailer.KindUnknown, false},
		"a count that is none, and a reason": {`"succeeded":"?","failed":1,"failures":["550 Relay access denied"]`, mailer.KindUnauthorized, false},
		"an id that is no string":            {`"email_id":7`, mailer.KindUnknown, false},
		"an error beside a success":          {`"succeeded":1,"failed":0,"email_id":"1u0SwL","error_code":"` + prefix + `NON_VALIDATING_IN_PAYLOAD"`, mailer.KindRejected, false},
		"an error beside an id":              {`"email_id":"1u0SwL","error":"550 Relay access denied"`, mailer.KindUnauthorized, false},
		"an error without a code":            {`"error":"550 Relay access denied"`, mailer.KindUnauthorized, true},
		"an error that is an object":         {`"succeeded":1,"error":{}`, mailer.KindUnknown, false},
		"a success that refuses everybody":   {`"succeeded":1,"failed":2,"failures":["550 invalid recipient ben@example.com","550 invalid recipient ada@example.com"]`, mailer.KindRecipient, false},
	} {
		add(name, 200, says(c.members), c.kind, c.notSent, "")
		if strings.Contains(c.members, prefix) {
			list[len(list)-1].Code = prefix + "NON_VALIDATING_IN_PAYLOAD"
		}
	}
	add("a list", 200, `{"request_id":"r-1","data":[{"email_id":"1u0SwL"}]}`, mailer.KindUnknown, false, "")
	add("a field of the key", 400, says(`"error_code":"`+prefix+`NON_VALIDATING_IN_PAYLOAD","error":"no","field_validation_errors":{"fieldname":"api_key","message":"bad"}`), mailer.KindUnauthorized, true, prefix+"NON_VALIDATING_IN_PAYLOAD")
	add("a list of fields of the key", 400, says(`"error_code":"`+prefix+`NON_VALIDATING_IN_PAYLOAD","field_validation_errors":[{"fieldname":"api_key","message":"bad"}]`), mailer.KindUnauthorized, true, prefix+"NON_VALIDATING_IN_PAYLOAD")
	add("another field that speaks of the key", 400, says(`"error_code":"`+prefix+`NON_VALIDATING_IN_PAYLOAD","field_validation_errors":{"fieldname":"subject","message":"has an api_key in it"}`), mailer.KindRejected, true, prefix+"NON_VALIDATING_IN_PAYLOAD")
	for name, c := range map[string]struct {
		header, value string
		wait          time.Duration
	}{
		"Retry-After":             {"Retry-After", "7", 7 * time.Second},
		"a reset":                 {"X-Rate-Limit-Reset", "90", 90 * time.Second},
		"a reset that is a date":  {"X-Rate-Limit-Reset", "1790000000", time.Minute},
		"a reset in the past":     {"X-Rate-Limit-Reset", "-5", time.Minute},
		"a reset that is nothing": {"X-Rate-Limit-Reset", "soon", time.Minute},
	} {
		list = append(list, providertest.Refusal{
			Name: "too many requests with " + name, Kind: mailer.KindRateLimited, NotSent: true, RetryAfter: c.wait,
			Answer: providertest.Answer{Status: 429, Header: map[string]string{c.header: c.value}},
		})
	}
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

var three = mailer.Message{
	ID: "8841", From: mailer.Address{Address: "shop@example.com"}, Subject: "Hello", Text: "Hello",
	To:  []mailer.Address{{Address: "Ada@example.com"}},
	Cc:  []mailer.Address{{Address: "ben@example.com"}},
	Bcc: []mailer.Address{{Address: "cleo@example.com"}},
}

func TestAnswerOfYes(t *testing.T) {
	for _, c := range []struct {
		name, members, id string
		rejected          []string
	}{
		{"to the message", `"succeeded":1,"failed":0,"failures":[],"email_id":"1u0-A"`, "1u0-A", nil},
		{"without an id", `"succeeded":1,"failed":0`, "8841", nil},
		{"with an id beyond 2^53", `"succeeded":1,"email_id":"9007199254740993"`, "9007199254740993", nil},
		{"without counts", `"email_id":"1u0-A"`, "1u0-A", nil},
		{"to a scheduled message", `"schedule_id":"s-1"`, "s-1", nil},
		{"with both ids", `"schedule_id":"s-1","email_id":"1u0-A"`, "1u0-A", nil},
		{"with both ids, the other way round", `"email_id":"1u0-A","schedule_id":"s-1"`, "1u0-A", nil},
		{"with errors of nothing", `"succeeded":1,"error":null,"error_code":"","failures":null,"email_id":null`, "8841", nil},
		{"with counts that are strings", `"succeeded":"1","failed":"0"`, "8841", nil},
		{"but to one", `"succeeded":1,"failed":1,"failures":["550 RCPT TO:<BEN@example.com>: no"]`, "8841", []string{"ben@example.com"}},
		{"but to two", `"succeeded":1,"failed":2,"failures":["cleo@example.com, ada@EXAMPLE.com."]`, "8841", []string{"Ada@example.com", "cleo@example.com"}},
		{"but to one twice", `"succeeded":1,"failed":2,"failures":["ben@example.com","'ben@example.com'"]`, "8841", []string{"ben@example.com"}},
		{"but to somebody", `"succeeded":1,"failed":1,"failures":["550 no","xben@example.com","ben@example.com.au"]`, "8841", []string{"", "", ""}},
		{"but nobody says to whom", `"succeeded":2,"failed":1`, "8841", []string{""}},
		{"with a reason that nobody counts", `"succeeded":1,"failures":["ben@example.com"]`, "8841", []string{"ben@example.com"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			receipt, err := answerTo(t, three, 200, says(c.members))
			require.NoError(t, err)
			require.Equal(t, "8841", receipt.ID)
			require.Equal(t, c.id, receipt.MessageID)
			var rejected []string
			for _, x := range receipt.Rejected {
				rejected = append(rejected, x.Address)
				require.ErrorIs(t, x.Err, mailer.KindRecipient)
				require.True(t, mailer.NotSent(x.Err))
				require.Equal(t, "r-1", x.Err.(*mailer.Error).RequestID)
				require.NotEmpty(t, x.Err.(*mailer.Error).Message)
			}
			require.Equal(t, c.rejected, rejected)
		})
	}
	for name, c := range map[string]struct {
		members string
		kind    mailer.Kind
	}{
		"named":            {`"succeeded":1,"failed":1,"failures":["550 invalid recipient ada@example.com"]`, mailer.KindRecipient},
		"not named":        {`"succeeded":1,"failed":1,"failures":["550 suppressed"]`, mailer.KindRecipient},
		"of unknown words": {`"succeeded":1,"failed":1,"failures":["550 no"]`, mailer.KindUnknown},
		"not even told":    {`"succeeded":1,"failed":1`, mailer.KindUnknown},
	} {
		t.Run("and a no, to the only recipient: "+name, func(t *testing.T) {
			alone := three
			alone.Cc, alone.Bcc = nil, nil
			_, err := answerTo(t, alone, 200, says(c.members))
			require.ErrorIs(t, err, c.kind)
			require.False(t, mailer.NotSent(err))
		})
	}
	t.Run("a recipient may be refused for another reason", func(t *testing.T) {
		receipt, err := answerTo(t, three, 200, says(`"succeeded":1,"failed":1,"failures":["451 later: ben@example.com"]`))
		require.NoError(t, err)
		require.ErrorIs(t, receipt.Rejected[0].Err, mailer.KindUnavailable)
	})
}

func TestAnswerOfNoTellsWhatIsKnown(t *testing.T) {
	of := func(status int, body string) *mailer.Error {
		_, err := answerTo(t, three, status, body)
		e, ok := errors.AsType[*mailer.Error](err)
		require.True(t, ok)
		return e
	}
	e := of(400, says(`"error":"bad","error_code":"`+prefix+`NON_VALIDATING_IN_PAYLOAD","field_validation_errors":{"fieldname":"sender","message":"is not an address"}`))
	require.Equal(t, "bad: is not an address", e.Message)
	require.Equal(t, "r-1", e.RequestID)
	e = of(200, says(`"failed":2,"failures":["550 a","550 b"]`))
	require.Equal(t, "550 a; 550 b", e.Message)
	e = of(200, says(`"failed":3,"failures":["550 invalid recipient ben@example.com","550 suppressed: ADA@example.com","451 later: cleo@example.com"]`))
	require.Equal(t, mailer.KindRecipient, e.Kind)
	require.Equal(t, []string{"Ada@example.com", "ben@example.com"}, e.Recipients)
	e = of(200, says(`"failed":2,"failures":["550 <ben@example.com>: invalid address","550 invalid: shop@example.com"]`))
	require.Equal(t, mailer.KindRecipient, e.Kind)
	require.True(t, e.NotSent)
	require.Equal(t, []string{"ben@example.com"}, e.Recipients)
	for _, reason := range []string{"550 invalid address", "550 invalid: shop@example.com", "550 invalid sender ben@example.com", "550 invalid From ben@example.com", "550 ben@example.com"} {
		e = of(200, says(`"failed":1,"failures":["`+reason+`"]`))
		require.Equal(t, mailer.KindUnknown, e.Kind, reason)
		require.False(t, e.NotSent, reason)
	}
	require.Nil(t, of(200, says(`"failed":1,"failures":["550 sender not verified: ben@example.com"]`)).Recipients)
	require.Equal(t, "<html>Blocked</html>", of(403, "<html>Blocked</html>").Message)
	require.ErrorContains(t, of(200, "<html>").Err, "not a JSON object")
	require.ErrorContains(t, of(200, says(`"succeeded":-1`)).Err, "counts are malformed")
	require.Regexp(t, `^r{100,}…$`, of(500, `{"request_id":"`+strings.Repeat("r", 500)+`"}`).RequestID)
	require.NotContains(t, of(400, fails("x", "the key "+key)).Error(), key)
}

func TestNewRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		config Config
		want   string
	}{
		"no key":               {Config{}, "smtp2go: Config.APIKey is empty"},
		"a key with a blank":   {Config{APIKey: "a b"}, "smtp2go: Config.APIKey has a blank"},
		"a key with a newline": {Config{APIKey: key + "\n"}, "smtp2go: Config.APIKey has a blank"},
		"plain HTTP":           {Config{APIKey: key, BaseURL: "http://api.example"}, "smtp2go: Config.BaseURL"},
		"a template's id":      {Config{APIKey: key, Templates: map[string]string{"a": "12345", "b": "1234"}}, `smtp2go: Config.Templates["b"] is not`},
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
	p, err := New(Config{APIKey: key})
	require.NoError(t, err)
	require.Equal(t, "smtp2go smtp2go smtp2go", fmt.Sprintf("%v %+v %#v", p, *p, p))
	require.Equal(t, `smtp2go.Config{BaseURL: "https://user:xxxxx@api.example"}`, fmt.Sprintf("%+v", Config{APIKey: key, BaseURL: "https://user:secret@api.example"}))
}

func TestNewKeepsNothingThatCanChange(t *testing.T) {
	templates := map[string]string{"welcome": "id-of-1"}
	p, service := capture(t, Config{APIKey: key, Templates: templates})
	templates["welcome"] = "id-of-2"
	_, err := p.Send(t.Context(), mailer.Message{
		From: mailer.Address{Address: "shop@example.com"}, To: []mailer.Address{{Address: "ada@example.com"}},
		Template: mailer.Template{ID: "welcome"},
	})
	require.NoError(t, err)
	require.Equal(t, "id-of-1", decode(t, service.Body).TemplateID)
}
