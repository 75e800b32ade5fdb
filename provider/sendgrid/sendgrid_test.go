package sendgrid

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/httpapi"
	"github.com/seed355143d4/mailer/provider/providertest"
)

const key = "SG.aaaaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

// yes is SendGrid's yes: it has no body.
func yes(id string) providertest.Answer {
	return providertest.Answer{Status: 202, Header: map[string]string{"X-Message-Id": id}}
}

// no is SendGrid's no, with one fault.
func no(status int, field, message string) providertest.Answer {
	return providertest.JSON(status, fmt.Sprintf(`{"errors":[{"message":%q,"field":%q,"help":null}],"id":"req-1"}`, message, field))
}

func TestConformance(t *testing.T) {
	message := func(id string, change func(m *mailer.Message)) mailer.Message {
		m := providertest.Messages()[0].Message
		m.ID = id
		change(&m)
		return m
	}
	extra := func(x Extra) mailer.Message {
		return message("extra", func(m *mailer.Message) { m.Extras = []mailer.Extra{x} })
	}
	providertest.Run(t, providertest.Spec{
		Name:       "sendgrid",
		Secrets:    []string{key},
		Config:     Config{APIKey: key},
		TemplateID: "d-0123456789abcdef0123456789abcdef",
		Unsupported: map[string]mailer.Kind{
			"no recipient in to":       mailer.KindUnsupported,
			"international local part": mailer.KindUnsupported,
			"reserved header":          mailer.KindUnsupported,
			"no subject":               mailer.KindUnsupported,
			"73 hours":                 mailer.KindUnsupported,
			"invitation":               mailer.KindUnsupported,
			"number for legacy":        mailer.KindUnsupported,
			"long data for legacy":     mailer.KindTooLarge,
			"1001 recipients":          mailer.KindTooLarge,
			"26 groups":                mailer.KindTooLarge,
			"large file":               mailer.KindTooLarge,
			"data that is no JSON":     mailer.KindInvalid,
			"control in pool":          mailer.KindInvalid,
			"control in batch":         mailer.KindInvalid,
			"negative group":           mailer.KindInvalid,
			"groups without group":     mailer.KindInvalid,
			"short pool":               mailer.KindInvalid,
			"long pool":                mailer.KindInvalid,
			"all lists and one":        mailer.KindInvalid,

			"footer without a text":              mailer.KindInvalid,
			"footer that is off":                 mailer.KindInvalid,
			"footer of no switch":                mailer.KindInvalid,
			"NUL in footer":                      mailer.KindInvalid,
			"malformed footer":                   mailer.KindInvalid,
			"link that is off":                   mailer.KindInvalid,
			"link of no switch":                  mailer.KindInvalid,
			"NUL below the text":                 mailer.KindInvalid,
			"NUL below the HTML":                 mailer.KindInvalid,
			"control in tag":                     mailer.KindInvalid,
			"tag beside a text":                  mailer.KindInvalid,
			"tag beside an HTML":                 mailer.KindInvalid,
			"link beside unsubscribe":            mailer.KindUnsupported,
			"link by its tag beside unsubscribe": mailer.KindUnsupported,
			"analytics that are off":             mailer.KindInvalid,
			"analytics of no switch":             mailer.KindInvalid,
			"control in source":                  mailer.KindInvalid,
			"control in medium":                  mailer.KindInvalid,
			"control in term":                    mailer.KindInvalid,
			"control in content":                 mailer.KindInvalid,
			"control in campaign":                mailer.KindInvalid,
		},
		Dropped: map[string][]string{
			"awkward tags":       {"Tags[1]", "Tags[12]", "Tags[13]"},
			"metadata of events": {`Metadata["email"]`, `Metadata["marketing_campaign_id"]`, `Metadata["smtp-id"]`},
			"too much metadata":  {`Metadata["k4"]`, `Metadata["k5"]`},
		},
		Messages: []providertest.Case{
			{Name: "every extra", Message: extra(Extra{
				UnsubscribeGroup: 1187, GroupsToDisplay: []int{1187, 1188}, IPPool: "transactional", BatchID: "batch-1", Sandbox: true,
			})},
			{Name: "past three lists", Message: extra(Extra{Bypass: Bypass{Bounces: true, SpamReports: true, Unsubscribes: true}})},
			{Name: "past all lists", Message: extra(Extra{Bypass: Bypass{All: true}})},
			{Name: "texts and links", Message: extra(Extra{
				Footer:               Footer{Text: "Example Ltd, Berlin", HTML: "<p>Example Ltd, Berlin</p>"},
				SubscriptionTracking: SubscriptionTracking{Text: "Leave: <% %>", HTML: "<p><% Leave %></p>"},
				UTM:                  UTM{Source: "shop", Medium: "e-mail", Term: "books", Content: "caf\u00e9", Campaign: "spring & summer"},
			})},
			{Name: "a link by its tag", Message: extra(Extra{SubscriptionTracking: SubscriptionTracking{Enable: mailer.On, Tag: "[unsubscribe_url]"}})},
			{Name: "links as the account has them", Message: extra(Extra{
				SubscriptionTracking: SubscriptionTracking{Enable: mailer.On}, UTM: UTM{Enable: mailer.On},
			})},
			{Name: "no texts and links", Message: message("off", func(m *mailer.Message) {
				m.Track.Opens, m.Unsubscribe.URL = mailer.On, "https://example.com/leave"
				m.Extras = []mailer.Extra{Extra{
					Footer: Footer{Enable: mailer.Off}, SubscriptionTracking: SubscriptionTracking{Enable: mailer.Off}, UTM: UTM{Enable: mailer.Off},
				}}
			})},
			{Name: "one reply-to twice", Message: message("twice", func(m *mailer.Message) {
				m.ReplyTo = []mailer.Address{{Address: "help@example.com"}, {Name: "Help", Address: "help@example.com"}, {Address: "help@example.com"}}
			})},
			{Name: "one setting", Message: message("one-setting", func(m *mailer.Message) {
				m.Track.Opens = mailer.Off
				m.Extras = []mailer.Extra{&Extra{UnsubscribeGroup: 1187}}
			})},
			{Name: "legacy template", Message: message("legacy", func(m *mailer.Message) {
				m.Text, m.Template = "", mailer.Template{ID: "0123abcd", Data: map[string]any{"%first%": "Ada", "%last%": "<King>"}}
			})},
			{Name: "awkward tags", Message: message("tags", func(m *mailer.Message) {
				m.Tags = []string{"a", "caf\u00e9", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"}
			})},
			{Name: "metadata of events", Message: message("metadata", func(m *mailer.Message) {
				m.Metadata = map[string]string{"email": "x", "smtp-id": "x", "marketing_campaign_id": "x", "Email": "kept"}
			})},
			{Name: "too much metadata", Message: message("much", func(m *mailer.Message) {
				m.Metadata = map[string]string{"k6": "fits"}
				for i := range 6 {
					m.Metadata["k"+strconv.Itoa(i)] = strings.Repeat("v", 2000)
				}
			})},
			{Name: "reserved header", Message: message("x", func(m *mailer.Message) { m.Headers = map[string]string{"X-SG-EID": "x"} })},
			{Name: "no subject", Message: message("x", func(m *mailer.Message) { m.Subject = "" })},
			{Name: "73 hours", Message: message("x", func(m *mailer.Message) { m.SendAt = time.Now().Add(73 * time.Hour) })},
			{Name: "invitation", Message: message("x", func(m *mailer.Message) {
				m.Attachments = []mailer.Attachment{{Name: "i.ics", ContentType: "text/calendar; method=REQUEST", Content: []byte("x")}}
			})},
			{Name: "number for legacy", Message: message("x", func(m *mailer.Message) {
				m.Text, m.Template = "", mailer.Template{ID: "0123abcd", Data: map[string]any{"%n%": 1}}
			})},
			{Name: "long data for legacy", Message: message("x", func(m *mailer.Message) {
				m.Text, m.Template = "", mailer.Template{ID: "0123abcd", Data: map[string]any{"%n%": strings.Repeat("x", MaxSubstitutions)}}
			})},
			{Name: "1001 recipients", Message: message("x", func(m *mailer.Message) {
				for i := range 1000 {
					m.Bcc = append(m.Bcc, mailer.Address{Address: fmt.Sprintf("reader%04d@example.com", i)})
				}
			})},
			{Name: "large file", Message: message("x", func(m *mailer.Message) {
				m.Attachments = []mailer.Attachment{{Name: "a.bin", Content: make([]byte, MaxSize*3/4)}}
			})},
			{Name: "data that is no JSON", Message: message("x", func(m *mailer.Message) {
				m.Text, m.Template = "", mailer.Template{ID: "d-1", Data: map[string]any{"f": make(chan int)}}
			})},
			{Name: "26 groups", Message: extra(Extra{UnsubscribeGroup: 1, GroupsToDisplay: make([]int, 26)})},
			{Name: "control in pool", Message: extra(Extra{IPPool: "a\nb"})},
			{Name: "control in batch", Message: extra(Extra{BatchID: "a\x00b"})},
			{Name: "negative group", Message: extra(Extra{UnsubscribeGroup: -1})},
			{Name: "short pool", Message: extra(Extra{IPPool: "\u00e9"})},
			{Name: "long pool", Message: extra(Extra{IPPool: strings.Repeat("p", 65)})},
			{Name: "all lists and one", Message: extra(Extra{Bypass: Bypass{All: true, Bounces: true}})},
			{Name: "groups without group", Message: extra(Extra{GroupsToDisplay: []int{1}})},
			{Name: "footer without a text", Message: extra(Extra{Footer: Footer{Enable: mailer.On}})},
			{Name: "footer that is off", Message: extra(Extra{Footer: Footer{Enable: mailer.Off, HTML: "x"}})},
			{Name: "footer of no switch", Message: extra(Extra{Footer: Footer{Enable: 3}})},
			{Name: "NUL in footer", Message: extra(Extra{Footer: Footer{Text: "a\x00"}})},
			{Name: "malformed footer", Message: extra(Extra{Footer: Footer{HTML: "a\xff"}})},
			{Name: "link that is off", Message: extra(Extra{SubscriptionTracking: SubscriptionTracking{Enable: mailer.Off, Tag: "x"}})},
			{Name: "link of no switch", Message: extra(Extra{SubscriptionTracking: SubscriptionTracking{Enable: 3}})},
			{Name: "NUL below the text", Message: extra(Extra{SubscriptionTracking: SubscriptionTracking{Text: "a\x00"}})},
			{Name: "NUL below the HTML", Message: extra(Extra{SubscriptionTracking: SubscriptionTracking{HTML: "a\x00"}})},
			{Name: "control in tag", Message: extra(Extra{SubscriptionTracking: SubscriptionTracking{Tag: "a\nb"}})},
			{Name: "tag beside a text", Message: extra(Extra{SubscriptionTracking: SubscriptionTracking{Tag: "x", Text: "x"}})},
			{Name: "tag beside an HTML", Message: extra(Extra{SubscriptionTracking: SubscriptionTracking{Tag: "x", HTML: "x"}})},
			{Name: "link beside unsubscribe", Message: message("x", func(m *mailer.Message) {
				m.Unsubscribe.URL = "https://example.com/leave"
				m.Extras = []mailer.Extra{Extra{SubscriptionTracking: SubscriptionTracking{Enable: mailer.On}}}
			})},
			{Name: "link by its tag beside unsubscribe", Message: message("x", func(m *mailer.Message) {
				m.Unsubscribe.Mailto = "leave@example.com"
				m.Extras = []mailer.Extra{Extra{SubscriptionTracking: SubscriptionTracking{Tag: "[unsubscribe_url]"}}}
			})},
			{Name: "analytics that are off", Message: extra(Extra{UTM: UTM{Enable: mailer.Off, Campaign: "x"}})},
			{Name: "analytics of no switch", Message: extra(Extra{UTM: UTM{Enable: 3}})},
			{Name: "control in source", Message: extra(Extra{UTM: UTM{Source: "a\nb"}})},
			{Name: "control in medium", Message: extra(Extra{UTM: UTM{Medium: "a\nb"}})},
			{Name: "control in term", Message: extra(Extra{UTM: UTM{Term: "a\nb"}})},
			{Name: "control in content", Message: extra(Extra{UTM: UTM{Content: "a\nb"}})},
			{Name: "control in campaign", Message: extra(Extra{UTM: UTM{Campaign: "a\nb"}})},
		},
		TestMode: "Extra.Sandbox",
		Regions:  "US, EU",
		Notes:    map[string]string{"scheduled": "up to 72 hours"},
		Batch: func(m *mailer.Message) { // messages with bodies of their own share no call
			m.Template = mailer.Template{ID: "d-0123456789abcdef0123456789abcdef", Data: map[string]any{"text": m.Text}}
			m.Text = ""
		},
		BatchBytes: MaxSize,
		Peer: providertest.HTTP{
			New: func(baseURL string, client *http.Client) (mailer.Provider, error) {
				return New(Config{APIKey: key, BaseURL: baseURL, HTTPClient: client})
			},
			Accept: func(n int, _ providertest.Request) (providertest.Answer, string) {
				id := fmt.Sprintf("Xj5LmNkWSOqRbdvOpR34BA-%d", n)
				return yes(id), id
			},
			Templates: func(baseURL string, client *http.Client, names map[string]string) (mailer.Provider, error) {
				return New(Config{APIKey: key, BaseURL: baseURL, HTTPClient: client, Templates: names})
			},
			AcceptBatch: func(n int, r providertest.Request) (providertest.Answer, []string) {
				id := fmt.Sprintf("Xj5LmNkWSOqRbdvOpR34BA-%d", n)
				var ids []string
				for _, said := range r.Said {
					if strings.HasSuffix(said.Where, "mailer_id") {
						ids = append(ids, id)
					}
				}
				return yes(id), ids
			},
			Verify:       providertest.JSON(200, `{"scopes":["alerts.read","mail.send"]}`),
			Unauthorized: no(401, "", "authorization required"),
			Quota: func() (providertest.Answer, mailer.Quota) {
				return providertest.JSON(200, `{"remain":94120,"total":100000,"overage":0,"used":5880,"next_reset":"2026-12-01"}`),
					mailer.Quota{Limit: 100000, Remaining: 94120, Reset: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)}
			},
			Refusals: refusals(),
		},
	})
}

// refusals are SendGrid's, one for each status and text that it documents.
func refusals() []providertest.Refusal {
	const recipient = "Does not contain a valid address."
	var list []providertest.Refusal
	add := func(name string, kind mailer.Kind, notSent bool, answer providertest.Answer) {
		list = append(list, providertest.Refusal{Name: name, Answer: answer, Kind: kind, NotSent: notSent})
	}
	for _, c := range []struct {
		status         int
		field, message string
		kind           mailer.Kind
	}{
		{400, "personalizations.0.to.1.email", recipient, mailer.KindRecipient},
		{400, "personalizations.0.cc.0.email", recipient, mailer.KindRecipient},
		{400, "personalizations.0.bcc.10.email", recipient, mailer.KindRecipient},
		{400, "from.email", recipient, mailer.KindRejected},
		{400, "reply_to_list.0.email", recipient, mailer.KindRejected},
		{400, "personalizations.0.to.0.email", "The email exceeds the maximum total length of 320 characters.", mailer.KindRejected},
		{400, "personalizations.0", "Each email address in the personalization block should be unique between to, cc, and bcc. We found the first duplicate instance of [x@example.com] in the personalizations.0.bcc field.", mailer.KindRejected},
		{400, "personalizations.0", "Each unique email address in the personalizations array should only be included once.", mailer.KindRejected},
		{400, "personalizations.0.to", "The to array is required for all personalization objects, and must have at least one email object with a valid email address.", mailer.KindRejected},
		{400, "personalizations", "There is a limit of 1000 total recipients (to + cc + bcc) per request.", mailer.KindRejected},
		{400, "personalizations", "The personalization block is limited to 1000 personalizations per API request.", mailer.KindRejected},
		{400, "from.email", "The from email does not contain a valid address.", mailer.KindRejected},
		{400, "from", "The from object must be provided for every email send.", mailer.KindRejected},
		{400, "subject", "The subject is required. You can get around this requirement if you use a template with a subject defined.", mailer.KindRejected},
		{400, "subject", "The subject must be a string at least one character in length.", mailer.KindRejected},
		{400, "content", "If present, text/plain must be first, followed by text/html, followed by any other content (RFC 1341).", mailer.KindRejected},
		{400, "content", "Unless a valid template_id is provided, the content parameter is required.", mailer.KindRejected},
		{400, "content.0.value", "The content value must be a string at least one character in length.", mailer.KindRejected},
		{400, "attachments.0.content", "The attachment content must be base64 encoded.", mailer.KindRejected},
		{400, "attachments.0.filename", "The attachment filename is required.", mailer.KindRejected},
		{400, "attachments.0.filename", "The attachment filename cannot contain CRLF characters.", mailer.KindRejected},
		{400, "attachments.0.disposition", "The disposition must be either inline or attachment.", mailer.KindRejected},
		{400, "headers.X-A", "The header values must be strings.", mailer.KindRejected},
		{400, "headers", "The header key must be ASCII without spaces.", mailer.KindRejected},
		{400, "headers", "The headers must not contain a reserved key.", mailer.KindRejected},
		{400, "custom_args", "The custom_args values must be strings.", mailer.KindRejected},
		{400, "custom_args", "The custom_args are limited to 10,000 bytes.", mailer.KindRejected},
		{400, "categories.1", "The categories must be unique.", mailer.KindRejected},
		{400, "asm.groups_to_display", "There is a limit of 25 groups.", mailer.KindRejected},
		{400, "categories", "There is a limit of 10 categories.", mailer.KindRejected},
		{400, "asm.group_id", "The unsubscribe group is unknown.", mailer.KindRejected},
		{400, "ip_pool_name", "The IP pool is unknown.", mailer.KindRejected},
		{400, "template_id", "The template_id must be a valid template.", mailer.KindRejected},
		{400, "batch_id", "The batch_id must be a string.", mailer.KindRejected},
		{400, "send_at", "Scheduling more than 72 hours in advance is forbidden.", mailer.KindRejected},
		{400, "mail_settings.sandbox_mode.enable", "The sandbox mode enable param should be a boolean value.", mailer.KindRejected},
		{400, "", "Invalid type. Expected: array, given: object.", mailer.KindRejected},
		{400, "", "Bad Request", mailer.KindRejected},
		{401, "", "Maximum credits exceeded", mailer.KindQuota},
		{401, "", "The provided authorization grant is invalid, expired, or revoked", mailer.KindUnauthorized},
		{401, "", "authorization required", mailer.KindUnauthorized},
		{401, "", "Authenticated user is not authorized to send mail", mailer.KindUnauthorized},
		{403, "from", "The from address does not match a verified Sender Identity. Mail cannot be sent until this error is resolved.", mailer.KindSender},
		{403, "", "access forbidden", mailer.KindUnauthorized},
		{403, "", "You are temporarily blocked from sending emails due to repeated bad requests", mailer.KindRateLimited},
		{403, "", "Too many bad requests. Temporary block", mailer.KindRateLimited},
		{404, "", "not found", mailer.KindRejected},
		{405, "", "POST method allowed only", mailer.KindRejected},
		{406, "", "not acceptable", mailer.KindRejected},
		{413, "", "content too large", mailer.KindTooLarge},
		{415, "", "Content-Type should be application/json", mailer.KindRejected},
		{415, "", "Invalid UTF8 in request", mailer.KindRejected},
		{418, "", "new", mailer.KindRejected},
		{429, "", "too many requests", mailer.KindRateLimited},
	} {
		add(fmt.Sprintf("status %d, %s: %s", c.status, c.field, c.message), c.kind, true, no(c.status, c.field, c.message))
	}
	for _, status := range []int{500, 502, 503, 504, 507} {
		add(fmt.Sprintf("status %d with words", status), mailer.KindUnavailable, false, no(status, "from", "Maximum credits exceeded"))
	}
	page := providertest.Answer{Header: map[string]string{"Content-Type": "text/html"}, Body: "<html>No</html>"}
	for status, kind := range map[int]mailer.Kind{
		400: mailer.KindRejected, 401: mailer.KindUnauthorized, 403: mailer.KindUnauthorized, 404: mailer.KindRejected,
		413: mailer.KindTooLarge, 429: mailer.KindRateLimited,
	} {
		page.Status = status
		add(fmt.Sprintf("a web page with status %d", status), kind, true, page)
	}
	add("status 409", mailer.KindUnknown, false, no(409, "", "conflict"))
	add("another status of success", mailer.KindUnknown, false, providertest.Answer{Status: 201, Header: map[string]string{"X-Message-Id": "x"}})
	add("the sandbox's yes to a message that is none of its", mailer.KindUnknown, false, providertest.Answer{Status: 200})
	add("a refusal whose id is a number", mailer.KindQuota, true, providertest.JSON(401,
		`{"id":7,"errors":[{"message":"Maximum credits exceeded","field":null,"help":1,"error_id":2}]}`))
	add("half a refusal", mailer.KindUnauthorized, true, providertest.JSON(401, `{"errors":[{"message":"Maximum credits exceeded"}`))
	add("two faults of which one is a recipient", mailer.KindRejected, true, providertest.JSON(400,
		`{"errors":[{"message":"Does not contain a valid address.","field":"personalizations.0.to.0.email"},{"message":"The subject is required.","field":"subject"}]}`))
	add("two malformed recipients", mailer.KindRecipient, true, providertest.JSON(400,
		`{"errors":[{"message":"Does not contain a valid address.","field":"personalizations.0.to.0.email"},{"message":"Does not contain a valid address.","field":"personalizations.0.to.1.email"}]}`))
	return list
}

// answer has the Provider read an answer to a message.
func answer(t *testing.T, x Extra, resp *httpapi.Response) (mailer.Receipt, error) {
	p, err := New(Config{APIKey: key})
	require.NoError(t, err)
	r, err := p.request(mailer.Message{
		ID: "8841", From: mailer.Address{Address: "shop@example.com"}, To: []mailer.Address{{Address: "ada@example.com"}},
		Subject: "Hello", Text: "Hello", Extras: []mailer.Extra{x},
	}, time.Now())
	require.NoError(t, err)
	return p.receipt(&r, resp)
}

func TestAnswerOfYes(t *testing.T) {
	t.Run("names the id of the header", func(t *testing.T) {
		r, err := answer(t, Extra{}, &httpapi.Response{Status: 202, Header: http.Header{"X-Message-Id": {"Xj5L"}}})
		require.NoError(t, err)
		require.Equal(t, []string{"8841", "Xj5L"}, []string{r.ID, r.MessageID})
	})
	t.Run("stands whatever the body is", func(t *testing.T) {
		_, err := answer(t, Extra{}, &httpapi.Response{Status: 202, Body: []byte("<html>"), Err: io.ErrUnexpectedEOF})
		require.NoError(t, err)
	})
	t.Run("of the sandbox has no id", func(t *testing.T) {
		r, err := answer(t, Extra{Sandbox: true}, &httpapi.Response{Status: 200})
		require.NoError(t, err)
		require.Equal(t, "8841", r.MessageID)
	})
}

func TestAnswerOfNo(t *testing.T) {
	t.Run("says field, words and request id", func(t *testing.T) {
		_, err := answer(t, Extra{}, &httpapi.Response{Status: 400, Body: []byte(
			`{"errors":[{"message":"One.","field":"a.0"},{"message":"Two ` + key + `","field":null}],"id":"req-1\n"}`)})
		e, ok := errors.AsType[*mailer.Error](err)
		require.True(t, ok)
		require.Equal(t, "One. (a.0); Two [hidden]", e.Message)
		require.Equal(t, "req-1", e.RequestID)
		require.Empty(t, e.Code)
	})
	t.Run("names the recipients that it is about", func(t *testing.T) {
		p, err := New(Config{APIKey: key})
		require.NoError(t, err)
		m := mailer.Message{To: []mailer.Address{{Address: "a@example.com"}, {Address: "b@example.com"}}, Bcc: []mailer.Address{{Address: "c@example.com"}}}
		for _, c := range []struct {
			fields string
			want   []string
		}{
			{"to.1", []string{"b@example.com"}},
			{"bcc.0 to.0", []string{"c@example.com", "a@example.com"}},
			{"to.2 cc.0 to.99999999999999999999", nil},
		} {
			var faults []string
			for f := range strings.FieldsSeq(c.fields) {
				faults = append(faults, `{"message":"Does not contain a valid address.","field":"personalizations.0.`+f+`.email"}`)
			}
			_, err = p.receipt(&request{message: m}, &httpapi.Response{Status: 400, Body: []byte(`{"errors":[` + strings.Join(faults, ",") + `]}`)})
			e, ok := errors.AsType[*mailer.Error](err)
			require.True(t, ok)
			require.Equal(t, mailer.KindRecipient, e.Kind)
			require.Equal(t, c.want, e.Recipients)
		}
	})
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) // by the service's clock
	for _, c := range []struct {
		name, reset, retryAfter string
		dated                   bool
		want                    time.Duration
	}{
		{"unix seconds, against the answer's date", strconv.FormatInt(now.Unix()+30, 10), "", true, 30 * time.Second},
		{"seconds from now", "45", "", false, 45 * time.Second},
		{"Retry-After comes first", "45", "7", false, 7 * time.Second},
		{"a time gone by", strconv.FormatInt(now.Unix()-30, 10), "", true, 0},
		{"a time without a date", strconv.FormatInt(time.Now().Unix()-30, 10), "", false, 0},
		{"a year from now", strconv.FormatInt(now.Unix()+365*86400, 10), "", true, httpapi.MaxRetryAfter},
		{"a negative number", "-5", "", false, 0},
		{"words", "soon", "", false, 0},
		{"nothing", "", "", false, 0},
	} {
		t.Run("rate limit: "+c.name, func(t *testing.T) {
			h := http.Header{}
			h.Set("X-RateLimit-Reset", c.reset)
			h.Set("Retry-After", c.retryAfter)
			if c.dated {
				h.Set("Date", now.UTC().Format(http.TimeFormat))
			}
			_, err := answer(t, Extra{}, &httpapi.Response{Status: 429, Header: h})
			e, ok := errors.AsType[*mailer.Error](err)
			require.True(t, ok)
			require.Equal(t, c.want, e.RetryAfter)
			_, err = answer(t, Extra{}, &httpapi.Response{Status: 401, Header: h})
			e, _ = errors.AsType[*mailer.Error](err)
			require.Equal(t, c.retryAfter != "", e.RetryAfter != 0, "the reset of a rate limit under another status")
		})
	}
}

func TestNewRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		config Config
		want   string
	}{
		"no key":               {Config{}, "sendgrid: Config.APIKey is empty"},
		"a key with a blank":   {Config{APIKey: "a b"}, "sendgrid: Config.APIKey has a blank"},
		"a key with a newline": {Config{APIKey: key + "\n"}, "sendgrid: Config.APIKey has a blank"},
		"plain HTTP":           {Config{APIKey: key, BaseURL: "http://api.example.com"}, "sendgrid: Config.BaseURL"},
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
	require.Equal(t, "sendgrid sendgrid sendgrid", fmt.Sprintf("%v %+v %#v", p, *p, p))
	require.Equal(t, `sendgrid.Config{BaseURL: "https://api.eu.sendgrid.com"}`, fmt.Sprintf("%+v", Config{APIKey: key, BaseURL: BaseURLEU}))
}

func TestNewKeepsNothingThatCanChange(t *testing.T) {
	templates := map[string]string{"welcome": "d-1"}
	p, service := capture(t, Config{APIKey: key, Templates: templates})
	templates["welcome"] = "d-2"
	_, err := p.Send(t.Context(), mailer.Message{
		From: mailer.Address{Address: "shop@example.com"}, To: []mailer.Address{{Address: "ada@example.com"}},
		Template: mailer.Template{ID: "welcome"},
	})
	require.NoError(t, err)
	require.Equal(t, "d-1", decode(t, service.Body).TemplateID)
}
