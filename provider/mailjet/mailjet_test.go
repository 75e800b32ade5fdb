package mailjet

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/mailjet/mailjet-apiv3-go/v4"
	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/httpapi"
	"github.com/seed355143d4/mailer/provider/providertest"
)

const (
	apiKey    = "9b1deb4d3b7d4bad9bdd2b0d7b3dcb6d"
	secretKey = "3f2504e04f8941d39a0c0305e82c3301"
)

var keys = Config{APIKey: apiKey, SecretKey: secretKey}

// ids are above 2^53 and odd, so that a float64 would change them.
const firstID = 1152921540123456789

// taken is Mailjet's yes to the n-th of all messages, as the request has it.
func taken(n int, m wireMessage) (entry, id string) {
	next := firstID + 1000*n
	list := func(boxes []wireBox) string {
		said := []string{}
		for _, b := range boxes {
			said = append(said, fmt.Sprintf(`{"Email":%q,"MessageUUID":"5d4710f5-9aff-4ff8-9d7e-1f0cf9125019","MessageID":%d,`+
				`"MessageHref":"https://api.mailjet.com/v3/REST/message/%d"}`, b.Email, next, next))
			next += 2
		}
		return "[" + strings.Join(said, ",") + "]"
	}
	return fmt.Sprintf(`{"Status":"success","CustomID":%q,"To":%s,"Cc":%s,"Bcc":%s}`, m.CustomID, list(m.To), list(m.Cc), list(m.Bcc)),
		fmt.Sprint(firstID + 1000*n)
}

// entries is an answer with these results.
func entries(status int, list ...string) providertest.Answer {
	return providertest.JSON(status, `{"Messages":[`+strings.Join(list, ",")+`]}`)
}

// refused is Mailjet's no to one message.
func refused(code string, status int, message string, about ...string) string {
	related, _ := json.Marshal(append([]string{}, about...))
	return fmt.Sprintf(`{"Status":"error","Errors":[{"ErrorIdentifier":"3b0c7f52-91ae-4c0d-8a6e-2f7d5e1b9a40","ErrorCode":%q,`+
		`"StatusCode":%d,"ErrorMessage":%q,"ErrorRelatedTo":%s}]}`, code, status, message, related)
}

// root is Mailjet's no to a whole call.
func root(status, said int, code, message string) providertest.Answer {
	return providertest.JSON(status, fmt.Sprintf(`{"ErrorIdentifier":"3b0c7f52-91ae-4c0d-8a6e-2f7d5e1b9a40","ErrorCode":%q,`+
		`"StatusCode":%d,"ErrorMessage":%q}`, code, said, message))
}

// saidBy returns the messages of a request of the suite.
func saidBy(r providertest.Request) []wireMessage {
	_, body, _ := strings.Cut(r.Text, "\n\n")
	var w wire
	if err := json.Unmarshal([]byte(body), &w); err != nil {
		panic(err)
	}
	return w.Messages
}

func TestConformance(t *testing.T) {
	message := func(change func(m *mailer.Message)) mailer.Message {
		m := providertest.Messages()[0].Message
		change(&m)
		return m
	}
	extra := func(x Extra) mailer.Message {
		return message(func(m *mailer.Message) { m.Extras = []mailer.Extra{x} })
	}
	file := func(a mailer.Attachment) mailer.Message {
		return message(func(m *mailer.Message) { m.Attachments = []mailer.Attachment{a} })
	}
	providertest.Run(t, providertest.Spec{
		Name:       "mailjet",
		Secrets:    []string{apiKey, secretKey},
		Config:     keys,
		TemplateID: "512390",
		Unsupported: map[string]mailer.Kind{
			"scheduled":                         mailer.KindUnsupported,
			"no recipient in to":                mailer.KindUnsupported,
			"several reply-to":                  mailer.KindUnsupported,
			"reserved header":                   mailer.KindUnsupported,
			"template with a name":              mailer.KindUnsupported,
			"template nought":                   mailer.KindUnsupported,
			"template below nought":             mailer.KindUnsupported,
			"template beyond all numbers":       mailer.KindUnsupported,
			"deduplication without a tag":       mailer.KindUnsupported,
			"deduplication with another tag":    mailer.KindUnsupported,
			"error delivery without a template": mailer.KindUnsupported,
			"error report without a template":   mailer.KindUnsupported,
			"empty file":                        mailer.KindUnsupported,
			"invitation":                        mailer.KindUnsupported,
			"control in category":               mailer.KindInvalid,
			"control in url tags":               mailer.KindInvalid,
			"sender that is no address":         mailer.KindInvalid,
			"report to no address":              mailer.KindInvalid,
			"data that is no JSON":              mailer.KindInvalid,
			"51 recipients":                     mailer.KindTooLarge,
			"long subject":                      mailer.KindTooLarge,
			"long url tags":                     mailer.KindTooLarge,
			"large files":                       mailer.KindTooLarge,
		},
		Dropped: map[string][]string{
			"two tags":                           {"Tags[1]"},
			"tags that are no campaign":          {"Tags[0]", "Tags[1]"},
			"tag with a dot":                     {"Tags[0]"},
			"tracking without html":              {"Track.Opens", "Track.Clicks"},
			"tracking switched off without html": nil,
		},
		Messages: []providertest.Case{
			{Name: "sandbox", Message: extra(Extra{Sandbox: true})},
			{Name: "category and url tags", Message: message(func(m *mailer.Message) {
				m.Extras = []mailer.Extra{&Extra{MonitoringCategory: "Sign up", URLTags: "utm_source=welcome&utm_medium=mail"}}
			})},
			{Name: "sender and priority", Message: extra(Extra{Sender: mailer.Address{Name: "Mail, Inc.", Address: "mail@b\u00fccher.example"}, Priority: 3})},
			{Name: "template with a report of errors", Message: message(func(m *mailer.Message) {
				m.Subject, m.Text, m.Template.ID = "", "", "512390"
				m.Extras = []mailer.Extra{Extra{TemplateErrorReporting: mailer.Address{Name: "Templates", Address: "errors@example.com"}}}
			})},
			{Name: "deduplication", Message: message(func(m *mailer.Message) {
				m.Tags, m.Extras = []string{"Order 8841_a-b"}, []mailer.Extra{Extra{DeduplicateCampaign: true}}
			})},
			{Name: "template with a subject", Message: message(func(m *mailer.Message) {
				m.Text, m.Template.ID, m.Track.Opens = "", "512390", mailer.Off
				m.Extras = []mailer.Extra{Extra{TemplateErrorDeliver: true}}
			})},
			{Name: "tags that are no campaign", Message: message(func(m *mailer.Message) { m.Tags = []string{"caf\u00e9", "welcome"} })},
			{Name: "tag with a dot", Message: message(func(m *mailer.Message) { m.Tags = []string{"sign.up"} })},
			{Name: "tracking without html", Message: message(func(m *mailer.Message) { m.Track = mailer.Tracking{Opens: mailer.On, Clicks: mailer.On} })},
			{Name: "tracking switched off without html", Message: message(func(m *mailer.Message) { m.Track = mailer.Tracking{Opens: mailer.Off, Clicks: mailer.Off} })},
			{Name: "subject of 255 characters", Message: message(func(m *mailer.Message) { m.Subject = strings.Repeat("\u00e9", MaxSubject) })},

			{Name: "reserved header", Message: message(func(m *mailer.Message) { m.Headers = map[string]string{"X-MAILER": "x"} })},
			{Name: "template with a name", Message: message(func(m *mailer.Message) { m.Text, m.Template.ID = "", "sign-up" })},
			{Name: "template nought", Message: message(func(m *mailer.Message) { m.Text, m.Template.ID = "", "0" })},
			{Name: "template below nought", Message: message(func(m *mailer.Message) { m.Text, m.Template.ID = "", "-1" })},
			{Name: "template beyond all numbers", Message: message(func(m *mailer.Message) { m.Text, m.Template.ID = "", "9223372036854775808" })},
			{Name: "deduplication without a tag", Message: extra(Extra{DeduplicateCampaign: true})},
			{Name: "deduplication with another tag", Message: message(func(m *mailer.Message) {
				m.Tags, m.Extras = []string{"a.b", "a"}, []mailer.Extra{Extra{DeduplicateCampaign: true}}
			})},
			{Name: "error delivery without a template", Message: extra(Extra{TemplateErrorDeliver: true})},
			{Name: "error report without a template", Message: extra(Extra{TemplateErrorReporting: mailer.Address{Address: "errors@example.com"}})},
			{Name: "sender that is no address", Message: extra(Extra{Sender: mailer.Address{Name: "Mail", Address: "mail@example.com\r\nBcc: eve@evil.example"}})},
			{Name: "report to no address", Message: message(func(m *mailer.Message) {
				m.Text, m.Template.ID = "", "512390"
				m.Extras = []mailer.Extra{Extra{TemplateErrorReporting: mailer.Address{Name: "Templates"}}}
			})},
			{Name: "empty file", Message: file(mailer.Attachment{Name: "a.txt"})},
			{Name: "invitation", Message: file(mailer.Attachment{Name: "a.ics", ContentType: "text/calendar; method=REQUEST", Content: []byte("x")})},
			{Name: "control in category", Message: extra(Extra{MonitoringCategory: "a\nb"})},
			{Name: "control in url tags", Message: extra(Extra{URLTags: "a\x00b"})},
			{Name: "data that is no JSON", Message: message(func(m *mailer.Message) {
				m.Subject, m.Text, m.Template = "", "", mailer.Template{ID: "512390", Data: map[string]any{"f": make(chan int)}}
			})},
			{Name: "51 recipients", Message: message(func(m *mailer.Message) {
				for i := range 50 {
					m.Cc = append(m.Cc, mailer.Address{Address: fmt.Sprintf("reader%02d@example.com", i)})
				}
			})},
			{Name: "long subject", Message: message(func(m *mailer.Message) { m.Subject = strings.Repeat("s", MaxSubject+1) })},
			{Name: "long url tags", Message: extra(Extra{URLTags: strings.Repeat("u", MaxURLTags+1)})},
			{Name: "large files", Message: message(func(m *mailer.Message) {
				m.Attachments = []mailer.Attachment{{Name: "a.bin", Content: make([]byte, MaxFiles)}, {Name: "b.png", ContentID: "b", Content: []byte("x")}}
			})},
		},
		BatchBytes: maxBytes,
		TestMode:   "Extra.Sandbox",
		Regions:    "EU, US",
		Notes:      map[string]string{"tracking on": "with HTML"},
		Peer: providertest.HTTP{
			New: func(baseURL string, client *http.Client) (mailer.Provider, error) {
				return New(Config{APIKey: apiKey, SecretKey: secretKey, BaseURL: baseURL, HTTPClient: client})
			},
			Accept: func(n int, r providertest.Request) (providertest.Answer, string) {
				e, id := taken(n, saidBy(r)[0])
				return entries(200, e), id
			},
			AcceptBatch: func(n int, r providertest.Request) (providertest.Answer, []string) {
				var list, ids []string
				for i, m := range saidBy(r) {
					e, id := taken(100*n+i, m)
					list, ids = append(list, e), append(ids, id)
				}
				return entries(200, list...), ids
			},
			Templates: func(baseURL string, client *http.Client, names map[string]string) (mailer.Provider, error) {
				return New(Config{APIKey: apiKey, SecretKey: secretKey, BaseURL: baseURL, HTTPClient: client, Templates: names})
			},
			Verify:       providertest.JSON(200, `{"Count":1,"Data":[{"ID":8841,"Status":"Active"}],"Total":1}`),
			Unauthorized: providertest.JSON(401, `{"ErrorInfo":"","ErrorMessage":"API key authentication/authorization failure.","StatusCode":401}`),
			Refusals:     refusals(),
		},
	})
}

// refusals are Mailjet's, one for each code and status that it documents.
func refusals() []providertest.Refusal {
	var list []providertest.Refusal
	add := func(name string, kind mailer.Kind, notSent bool, code string, answer providertest.Answer) {
		list = append(list, providertest.Refusal{Name: name, Answer: answer, Kind: kind, NotSent: notSent, Code: code})
	}
	const to = "To[1].Email"
	for _, c := range []struct {
		code    string
		status  int
		message string
		about   string
		kind    mailer.Kind
	}{
		{"mj-0001", 401, "The API key is suspended.", "", mailer.KindUnauthorized},
		{"mj-0001", 401, "The API key is in quarantine.", "", mailer.KindQuota},
		{"mj-0001", 401, "The daily send limit is reached.", "", mailer.KindQuota},
		{"mj-0001", 401, "The API key is limited.", "", mailer.KindUnauthorized},
		{"mj-0002", 400, "Malformed JSON.", "", mailer.KindRejected},
		{"mj-0003", 400, "Property missing.", "From", mailer.KindRejected},
		{"mj-0004", 400, "Type mismatch.", "TemplateID", mailer.KindRejected},
		{"mj-0005", 400, "Value not allowed.", "TrackOpens", mailer.KindRejected},
		{"mj-0006", 400, "Too long: the limit is 255.", "Subject", mailer.KindRejected},
		{"mj-0007", 400, "Empty array.", "To", mailer.KindRejected},
		{"mj-0008", 400, "Too many elements.", "Attachments", mailer.KindRejected},
		{"mj-0011", 400, "Payload over the limit.", "", mailer.KindTooLarge},
		{"mj-0012", 400, "Empty string.", to, mailer.KindRejected},
		{"mj-0013", 400, `"ben(at)example" is an invalid email address.`, to, mailer.KindRecipient},
		{"mj-0013", 400, `"ben(at)example" is an invalid email address.`, "Cc[0].Email", mailer.KindRecipient},
		{"mj-0013", 400, `"ben(at)example" is an invalid email address.`, "Bcc", mailer.KindRecipient},
		{"mj-0013", 400, `"ben(at)example" is an invalid email address.`, "From.Email", mailer.KindRejected},
		{"mj-0013", 400, `"ben(at)example" is an invalid email address.`, "ReplyTo.Email", mailer.KindRejected},
		{"mj-0013", 400, `"ben(at)example" is an invalid email address.`, "", mailer.KindRejected},
		{"mj-0015", 401, "Wrong credentials.", "", mailer.KindUnauthorized},
		{"send-0003", 400, "No text, HTML or template.", "TextPart", mailer.KindRejected},
		{"send-0004", 400, "HTML twice.", "HTMLPart", mailer.KindRejected},
		{"send-0006", 403, "The key may not use Sender.", "Sender", mailer.KindSender},
		{"send-0007", 403, "The sender is not validated.", "From", mailer.KindSender},
		{"send-0008", 403, `"shop@example.com" is not an authorized sender email address for your account.`, "From", mailer.KindSender},
		{"send-0010", 400, "Not your template.", "TemplateID", mailer.KindRejected},
		{"send-0011", 400, "Forbidden header.", `Headers["X-Mailer"]`, mailer.KindRejected},
		{"send-0012", 400, "CustomCampaign missing.", "DeduplicateCampaign", mailer.KindRejected},
		{"send-0013", 400, "Unknown category.", "MonitoringCategory", mailer.KindRejected},
		{"send-0015", 400, "Too many recipients.", "To,CC,Bcc", mailer.KindRejected},
		{"send-0016", 400, "TemplateLanguage missing.", "", mailer.KindRejected},
		// Of codes that are not documented the status of the entry decides.
		{"mj-9999", 400, "New.", "", mailer.KindRejected},
		{"mj-9999", 400, "The sender is over its quota.", "", mailer.KindRejected},
		{"mj-9999", 401, "New.", "", mailer.KindUnauthorized},
		{"mj-9999", 401, "The sender is new.", "", mailer.KindUnauthorized},
		{"mj-9999", 403, "New.", "", mailer.KindUnauthorized},
		{"mj-9999", 403, "The sender is new.", "", mailer.KindSender},
		{"mj-9999", 403, "Over quota.", "", mailer.KindQuota},
		{"mj-9999", 413, "New.", "", mailer.KindTooLarge},
		{"mj-9999", 429, "New.", "", mailer.KindRateLimited},
	} {
		about := []string{}
		if c.about != "" {
			about = append(about, c.about)
		}
		name := fmt.Sprintf("%s and %d about %q: %s", c.code, c.status, c.about, c.message)
		entry := refused(c.code, c.status, c.message, about...)
		add(name+" with the status of the code", c.kind, true, c.code, entries(c.status, entry))
		add(name+" with the status of success", c.kind, true, c.code, entries(200, entry))
		if c.code != "mj-9999" {
			add(name+" without its status", c.kind, true, c.code, entries(400, refused(c.code, 0, c.message, about...)))
		}
		if c.about == "" {
			add(name+" for the whole call", c.kind, true, c.code, root(c.status, c.status, c.code, c.message))
			add(name+" for the whole call with the status of success", c.kind, true, c.code, root(200, c.status, c.code, c.message))
		}
	}
	add("an entry with an error of Mailjet's own", mailer.KindUnavailable, false, "mj-9999", entries(200, refused("mj-9999", 500, "New.")))
	add("an entry with a code and no status", mailer.KindUnknown, false, "mj-9999", entries(400, refused("mj-9999", 0, "New.")))
	add("an entry with status 408", mailer.KindUnavailable, false, "mj-9999", entries(400, refused("mj-9999", 408, "New.")))
	add("an entry with status 409", mailer.KindRejected, false, "mj-9999", entries(400, refused("mj-9999", 409, "New.")))
	add("the first listed code of several", mailer.KindSender, true, "send-0008", entries(400,
		`{"Status":"error","Errors":[{"ErrorCode":"mj-9999","StatusCode":400},{"ErrorCode":"send-0008","StatusCode":403},{"ErrorCode":"mj-0003","StatusCode":400}]}`))
	add("errors without a status of the entry", mailer.KindRejected, true, "mj-0003", entries(400, `{"Errors":[{"ErrorCode":"mj-0003","StatusCode":400}]}`))
	add("errors beside success", mailer.KindRejected, false, "mj-0003", entries(200, `{"Status":"success","Errors":[{"ErrorCode":"mj-0003","StatusCode":400}]}`))
	add("errors of another form", mailer.KindUnknown, false, "", entries(200, `{"Status":"error","Errors":"send-0008"}`))
	add("a status in quotes", mailer.KindRejected, true, "mj-0003", entries(400, `{"Status":"error","Errors":[{"ErrorCode":"mj-0003","StatusCode":"400"}]}`))
	add("an entry without anything", mailer.KindUnknown, false, "", entries(200, `{}`))
	add("an entry that is no object", mailer.KindUnknown, false, "", entries(200, `"success"`))
	add("an entry of another status", mailer.KindUnknown, false, "", entries(200, `{"Status":"queued","To":[]}`))
	add("an error without errors", mailer.KindUnknown, false, "", entries(400, `{"Status":"error","Errors":[]}`))
	add("a success in other letters", mailer.KindUnknown, false, "", entries(200, `{"Status":"Success"}`))
	add("an entry for another message", mailer.KindUnknown, false, "", entries(200, `{"Status":"success","CustomID":"8841","To":[]}`))
	add("two entries for one message", mailer.KindUnknown, false, "", entries(200, `{"Status":"success"}`, `{"Status":"success"}`))
	add("two entries with status 400", mailer.KindUnknown, false, "", entries(400, refused("mj-0003", 400, "x"), refused("mj-0003", 400, "x")))
	add("two entries with status 500", mailer.KindUnavailable, false, "", entries(500, `{"Status":"success"}`, `{"Status":"success"}`))
	add("no entry", mailer.KindUnknown, false, "", entries(200))
	add("no entry with status 201", mailer.KindUnknown, false, "", entries(201))
	add("no entry with status 400", mailer.KindRejected, true, "", entries(400))
	add("entries that are no list", mailer.KindUnknown, false, "", providertest.JSON(200, `{"Messages":{"Status":"success"}}`))
	add("a list that is no answer", mailer.KindUnknown, false, "", providertest.JSON(200, `[{"Status":"success"}]`))
	add("the answer of the old API", mailer.KindUnknown, false, "", providertest.JSON(200, `{"Sent":[{"Email":"ada@example.com","MessageID":1152921540123456789}]}`))
	add("a code at the root with status 500", mailer.KindRejected, false, "mj-0003", root(500, 400, "mj-0003", "x"))
	add("a new code at the root and no status", mailer.KindUnknown, false, "mj-9999", providertest.JSON(200, `{"ErrorCode":"mj-9999"}`))
	add("bad keys in the REST style", mailer.KindUnauthorized, true, "", providertest.JSON(401,
		`{"ErrorInfo":"","ErrorMessage":"API key authentication/authorization failure. You may be unauthorized to access the API or your API key may be expired.","StatusCode":401}`))
	add("an ErrorInfo that is an object", mailer.KindUnauthorized, true, "", providertest.JSON(401, `{"ErrorInfo":{"a":1},"ErrorMessage":"No.","StatusCode":401}`))
	add("a rate limit in plain text", mailer.KindRateLimited, true, "", providertest.Answer{Status: 429, Body: "Rate limit exceeded"})
	add("a sender refused in plain text", mailer.KindSender, true, "", providertest.Answer{Status: 403, Body: "Unknown sender."})
	add("a quota in plain text", mailer.KindQuota, true, "", providertest.Answer{Status: 403, Body: "Daily quota reached."})
	for status, kind := range map[int]mailer.Kind{
		202: mailer.KindUnknown, 204: mailer.KindUnknown, 304: mailer.KindUnknown, 408: mailer.KindUnavailable, 409: mailer.KindRejected,
		500: mailer.KindUnavailable, 503: mailer.KindUnavailable, 599: mailer.KindUnavailable,
	} {
		add(fmt.Sprintf("status %d and no body", status), kind, false, "", providertest.Answer{Status: status})
	}
	for status, kind := range map[int]mailer.Kind{
		400: mailer.KindRejected, 401: mailer.KindUnauthorized, 403: mailer.KindUnauthorized, 404: mailer.KindRejected,
		405: mailer.KindRejected, 413: mailer.KindTooLarge, 418: mailer.KindRejected, 429: mailer.KindRateLimited,
	} {
		add(fmt.Sprintf("status %d and no body", status), kind, true, "", providertest.Answer{Status: status})
	}
	return list
}

func TestAnswerOfYes(t *testing.T) {
	m := mailer.Message{
		ID:   "8841",
		From: mailer.Address{Address: "shop@example.com"},
		To:   []mailer.Address{{Address: "Ada@example.com"}, {Address: "ben@example.com"}},
		Cc:   []mailer.Address{{Address: "cleo@example.com"}},
		Bcc:  []mailer.Address{{Address: "o'eli+x@example.com"}},
		Text: "Hello",
	}
	all := map[string]string{
		"Ada@example.com": "1152921540123456789", "ben@example.com": "1152921540123456790",
		"cleo@example.com": "9223372036854775807", "o'eli+x@example.com": "18446744073709551615",
	}
	const lists = `"To":[{"Email":"ada@example.com","MessageUUID":"a","MessageID":1152921540123456789},{"Email":"ben@example.com","MessageID":"1152921540123456790"}],` +
		`"Cc":[{"MessageID":9223372036854775807,"Email":"cleo@example.com"}],"Bcc":[{"Email":"o\u0027eli+x@example.com","MessageID":18446744073709551615}]`
	for _, c := range []struct {
		name, body string
		status     int
		id         string
		ids        map[string]string
	}{
		{"ids for all, above what a float64 can hold", `{"Status":"success","CustomID":"8841",` + lists + `}`, 200, "1152921540123456789", all},
		{"status 201", `{"Status":"success","CustomID":"8841",` + lists + `}`, 201, "1152921540123456789", all},
		{"a yes under a status of no", `{"Status":"success","CustomID":"8841",` + lists + `}`, 400, "1152921540123456789", all},
		{"no CustomID", `{"Status":"success",` + lists + `}`, 200, "1152921540123456789", all},
		{"an empty CustomID and no errors", `{"Status":"success","CustomID":"","Errors":[],` + lists + `}`, 200, "1152921540123456789", all},
		{"nulls", `{"Status":"success","CustomID":null,"Errors":null,"To":null,"Cc":null,"Bcc":null}`, 200, "8841", nil},
		{"the sandbox", `{"Status":"success","CustomID":"8841","To":[{"Email":"ada@example.com","MessageUUID":"","MessageID":0}],"Cc":[],"Bcc":[]}`, 200, "8841", nil},
		{"an id for some", `{"Status":"success","To":[{"Email":"ada@example.com","MessageID":0},{"Email":"ben@example.com","MessageID":7}]}`, 200, "7", map[string]string{"ben@example.com": "7"}},
		{"ids that are none", `{"Status":"success","To":[{"Email":"ada@example.com","MessageID":1.15e18},{"Email":"ben@example.com","MessageID":-7},{"MessageID":true},{"MessageID":"a7"},{"MessageID":""},7]}`, 200, "8841", nil},
		{"somebody else", `{"Status":"success","To":[{"Email":"who@example.com","MessageID":7}]}`, 200, "7", map[string]string{"who@example.com": "7"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := New(keys)
			require.NoError(t, err)
			r, err := p.request(m)
			require.NoError(t, err)
			p.read(r.alone(), &httpapi.Response{Status: c.status, Body: []byte(`{"Messages":[` + c.body + `]}`)})
			require.NoError(t, r.result.Err)
			require.Equal(t, mailer.Receipt{ID: "8841", Provider: "mailjet", MessageID: c.id, MessageIDs: c.ids}, r.result.Receipt)
		})
	}
}

// What is read by hand has to be what mailjet-apiv3-go's types read.
func TestIDsAreThoseOfTheVendorsTypes(t *testing.T) {
	var m mailer.Message
	w := wireMessage{CustomID: "8841"}
	for i := range 50 {
		a := mailer.Address{Address: fmt.Sprintf("reader%02d@example.com", i)}
		m.To = append(m.To, a)
		w.To = append(w.To, wireBox{Email: a.Address})
	}
	m.From, m.ID, m.Text = m.To[0], "8841", "Hello"
	e, _ := taken(1, w)
	body := []byte(entries(200, e).Body)
	var want mailjet.ResultsV31
	require.NoError(t, json.Unmarshal(body, &want))

	p, err := New(keys)
	require.NoError(t, err)
	r, err := p.request(m)
	require.NoError(t, err)
	p.read(r.alone(), &httpapi.Response{Status: 200, Body: body})
	require.NoError(t, r.result.Err)
	require.Len(t, r.result.Receipt.MessageIDs, 50)
	for _, to := range want.ResultsV31[0].To {
		require.Equal(t, fmt.Sprint(to.MessageID), r.result.Receipt.MessageIDs[to.Email])
	}
}

func TestRefusalSaysWhatSupportAsksFor(t *testing.T) {
	p, err := New(keys)
	require.NoError(t, err)
	r, err := p.request(mailer.Message{
		From: mailer.Address{Address: "shop@example.com"}, To: []mailer.Address{{Address: "ada@example.com"}}, Text: "Hello",
	})
	require.NoError(t, err)
	read := func(a providertest.Answer) *mailer.Error {
		p.read(r.alone(), &httpapi.Response{Status: a.Status, Header: http.Header{"X-Mj-Request-Guid": {"8e2a"}}, Body: []byte(a.Body)})
		e, ok := r.result.Err.(*mailer.Error)
		require.True(t, ok)
		return e
	}
	e := read(entries(400, `{"Status":"error","Errors":[{"ErrorIdentifier":"3b0c\n7f52","ErrorCode":"mj-0013","ErrorMessage":"Bad.","ErrorRelatedTo":["To[0].Email","Cc[0].Email"]},`+
		`{"ErrorIdentifier":"x","ErrorCode":"mj-0003","ErrorMessage":"Missing.","ErrorRelatedTo":["To[0].Name"]}]}`))
	require.Equal(t, "3b0c 7f52", e.RequestID)
	require.Equal(t, "Bad. (To[0].Email, Cc[0].Email); Missing. (To[0].Name)", e.Message)
	require.Equal(t, 400, e.Status)
	require.Equal(t, []string{"ada@example.com"}, e.Recipients, "Cc has nobody")
	e = read(entries(400, refused("mj-0013", 400, "Bad.", "To")))
	require.ErrorIs(t, e, mailer.KindRecipient)
	require.Nil(t, e.Recipients, "it does not say which")
	e = read(entries(400, refused("mj-0013", 400, "Bad.", "From.Email")))
	require.Nil(t, e.Recipients)
	e = read(providertest.JSON(500, `{"ErrorIdentifier":"3b0c","ErrorMessage":"Sorry."}`))
	require.Equal(t, "3b0c", e.RequestID)
	require.Equal(t, "Sorry.", e.Message)
	e = read(root(401, 401, "mj-0015", "No account has "+apiKey+" and "+secretKey+"."))
	require.NotContains(t, e.Message, apiKey)
	require.NotContains(t, e.Message, secretKey)
	e = read(providertest.JSON(401, `{"ErrorIdentifier":"`+secretKey+`"}`))
	require.NotContains(t, e.RequestID, secretKey)
	e = read(providertest.JSON(500, `<h1>Sorry</h1>`))
	require.Equal(t, "8e2a", e.RequestID)
	require.Equal(t, "<h1>Sorry</h1>", e.Message)
}

func TestNewRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		config Config
		want   string
	}{
		"no key":                {Config{SecretKey: secretKey}, "mailjet: Config.APIKey is empty"},
		"no secret":             {Config{APIKey: apiKey}, "mailjet: Config.SecretKey is empty"},
		"a key with a colon":    {Config{APIKey: apiKey + ":x", SecretKey: secretKey}, "mailjet: Config.APIKey has a colon"},
		"a key with a newline":  {Config{APIKey: apiKey + "\n", SecretKey: secretKey}, "mailjet: Config.APIKey has a blank"},
		"a secret with a blank": {Config{APIKey: apiKey, SecretKey: secretKey + " "}, "mailjet: Config.SecretKey has a blank"},
		"a secret beyond ASCII": {Config{APIKey: apiKey, SecretKey: "caf\u00e9"}, "mailjet: Config.SecretKey has a blank"},
		"plain HTTP":            {Config{APIKey: apiKey, SecretKey: secretKey, BaseURL: "http://api.example.com"}, "mailjet: Config.BaseURL"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := New(c.config)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), apiKey)
			require.NotContains(t, err.Error(), secretKey)
			require.Nil(t, p)
		})
	}
}

func TestPrinting(t *testing.T) {
	p, err := New(keys)
	require.NoError(t, err)
	require.Equal(t, "mailjet mailjet mailjet", fmt.Sprintf("%v %+v %#v", p, *p, p))
	c := Config{APIKey: apiKey, SecretKey: secretKey, BaseURL: "https://user:secret@api.example.com"}
	require.Equal(t, `mailjet.Config{BaseURL: "https://user:xxxxx@api.example.com"}`, fmt.Sprintf("%+v", c))
}

func TestNewKeepsNothingThatCanChange(t *testing.T) {
	templates := map[string]string{"welcome": "1"}
	c := keys
	c.Templates = templates
	p, service := capture(t, c)
	templates["welcome"] = "2"
	_, err := p.Send(t.Context(), mailer.Message{
		From: mailer.Address{Address: "shop@example.com"}, To: []mailer.Address{{Address: "ada@example.com"}},
		Template: mailer.Template{ID: "welcome"},
	})
	require.NoError(t, err)
	require.Equal(t, 1, decode(t, service.Body).Messages[0].TemplateID)
}
