package ses

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/providertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// key is an access key. Its secret has characters that would be escaped in a URL.
var key = Config{
	Region:          "eu-west-1",
	AccessKeyID:     "AKIDEXAMPLE",
	SecretAccessKey: "secret/0123456789+abcdef",
	SessionToken:    "token/0123456789+abcdef==",
}

// with returns the key for a service at baseURL.
func with(baseURL string, client *http.Client) Config {
	c := key
	c.BaseURL, c.HTTPClient = baseURL, client
	return c
}

// yes is SES's yes.
func yes(id string) providertest.Answer {
	return providertest.JSON(200, fmt.Sprintf(`{"MessageId":%q}`, id))
}

// nay is SES's no, with the error's name in the header.
func nay(status int, code, message string) providertest.Answer {
	a := providertest.JSON(status, fmt.Sprintf(`{"message":%q}`, message))
	a.Header["X-Amzn-Errortype"] = code + ":http://internal.amazon.com/coral/com.amazonaws.services.simpleemailv2/"
	a.Header["X-Amzn-Requestid"] = "9d0c0ff5"
	return a
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
	template := func(change func(m *mailer.Message)) mailer.Message {
		return message(func(m *mailer.Message) {
			m.Subject, m.Text, m.Template.ID = "", "", "welcome"
			change(m)
		})
	}
	many := func(m *mailer.Message) {
		m.Headers = map[string]string{}
		for i := range 16 {
			m.Headers[fmt.Sprintf("X-%02d", i)] = "x"
		}
	}
	providertest.Run(t, providertest.Spec{
		Name:    "ses",
		Secrets: []string{key.SecretAccessKey, key.SessionToken},
		Config:  key,
		Unsupported: map[string]mailer.Kind{
			"scheduled":                               mailer.KindUnsupported,
			"international local part":                mailer.KindUnsupported,
			"reserved header":                         mailer.KindUnsupported,
			"subject beside template":                 mailer.KindUnsupported,
			"template with 16 headers":                mailer.KindUnsupported,
			"template with a long header":             mailer.KindUnsupported,
			"template with a long content id":         mailer.KindUnsupported,
			"template with a long content type":       mailer.KindUnsupported,
			"contact list beside unsubscribe":         mailer.KindUnsupported,
			"contact list for two":                    mailer.KindUnsupported,
			"topic without a list":                    mailer.KindInvalid,
			"control in configuration set":            mailer.KindInvalid,
			"control in contact list":                 mailer.KindInvalid,
			"control in topic":                        mailer.KindInvalid,
			"control in identity":                     mailer.KindInvalid,
			"control in tenant":                       mailer.KindInvalid,
			"control in identity of feedback":         mailer.KindInvalid,
			"identity without feedback":               mailer.KindInvalid,
			"feedback to no address":                  mailer.KindInvalid,
			"feedback to a name":                      mailer.KindInvalid,
			"feedback to an international local part": mailer.KindUnsupported,
			"data that is no JSON":                    mailer.KindInvalid,
			"51 recipients":                           mailer.KindTooLarge,
			"long template data":                      mailer.KindTooLarge,
			"long html":                               mailer.KindTooLarge,
			"large file":                              mailer.KindTooLarge,
			"large file beside a template":            mailer.KindTooLarge,
			"large file within a whole MIME text":     mailer.KindTooLarge,
		},
		Dropped: map[string][]string{
			"tags that are no message tags": {"Tags[1]", "Tags[2]"},
			"metadata that is no message tag": {
				`Metadata["a b"]`, `Metadata["empty"]`, `Metadata["long"]`, `Metadata["mail"]`, `Metadata["mailer_tag"]`,
				`Metadata["mailer_tag_7"]`,
			},
			"too many message tags": {`Metadata["key-48"]`, `Metadata["key-49"]`},
		},
		Messages: []providertest.Case{
			{Name: "extra", Message: extra(Extra{
				ConfigurationSet: "transactional", ContactList: "readers", Topic: "news", Tenant: "acme",
				IdentityARN: "arn:aws:ses:eu-west-1:123456789012:identity/example.com",
			})},
			{Name: "feedback", Message: extra(Extra{
				FeedbackAddress: "bounces@b\u00fccher.example", FeedbackIdentityARN: "arn:aws:ses:eu-west-1:123456789012:identity/example.com",
			})},
			{Name: "template by its arn", Message: template(func(m *mailer.Message) {
				m.Template.ID = "arn:aws:ses:eu-west-1:123456789012:template/welcome"
				m.Extras = []mailer.Extra{Extra{FeedbackAddress: "bounces@example.com"}}
			})},
			{Name: "contact list", Message: extra(Extra{ContactList: "readers"})},
			{Name: "headers beyond ascii", Message: message(func(m *mailer.Message) {
				m.Headers = map[string]string{"X-Wide": "Gr\u00fc\u00dfe \u5c71 \U0001f680", "X-Tab": "a\tb", "X-Empty": "", "X-Word": "=?utf-8?q?x?="}
			})},
			{Name: "name that looks encoded", Message: message(func(m *mailer.Message) { m.From.Name = "=?utf-8?q?Eve?=" })},
			{Name: "15 headers of 870 characters", Message: message(func(m *mailer.Message) {
				many(m)
				delete(m.Headers, "X-00")
				m.Headers["X-01"] = strings.Repeat("v", 870)
			})},
			{Name: "template with everything", Message: template(func(m *mailer.Message) {
				m.Cc = []mailer.Address{{Name: "Cleo", Address: "cleo@example.com"}}
				m.Headers = map[string]string{"X-Order": "8841"}
				m.Unsubscribe.URL = "https://example.com/leave"
				m.Tags = []string{"welcome-mail"}
				m.Attachments = []mailer.Attachment{{Name: "a.txt", ContentType: "text/plain", Content: []byte("plain\n")}}
				m.Track.Clicks = mailer.Off
			})},
			{Name: "empty file", Message: message(func(m *mailer.Message) {
				m.Attachments = []mailer.Attachment{{Name: "empty", Content: nil}, {Name: "full", Content: []byte("x")}}
			})},
			{Name: "tags that are no message tags", Message: message(func(m *mailer.Message) {
				m.Tags = []string{"welcome-mail", "with blank", strings.Repeat("t", 200) + "\u00e9", strings.Repeat("t", 255)}
			})},
			{Name: "metadata that is no message tag", Message: message(func(m *mailer.Message) {
				m.Tags = []string{"welcome-mail"}
				m.Metadata = map[string]string{
					"a b": "x", "empty": "", "mail": "ada@example.com", "mailer_tag": "x", "long": strings.Repeat("v", 257),
					"exact": strings.Repeat("v", 256), "ok-1_A": "8841",
					"mailer_tag_7": "x", "mailer_tag_": "8842",
				}
			})},
			{Name: "too many message tags", Message: message(func(m *mailer.Message) {
				m.Tags = []string{"one"}
				m.Metadata = map[string]string{}
				for i := range 50 {
					m.Metadata[fmt.Sprintf("key-%02d", i)] = "x"
				}
			})},
			{Name: "reserved header", Message: message(func(m *mailer.Message) { m.Headers = map[string]string{"X-SES-Configuration-Set": "x"} })},
			{Name: "subject beside template", Message: template(func(m *mailer.Message) { m.Subject = "Hello" })},
			{Name: "template with 16 headers", Message: template(many)},
			{Name: "template with a long header", Message: template(func(m *mailer.Message) {
				m.Headers = map[string]string{"X-Long": strings.Repeat("v", 871)}
			})},
			{Name: "template with a long content type", Message: template(func(m *mailer.Message) {
				m.Attachments = []mailer.Attachment{{Name: "a.txt", ContentType: longType, Content: []byte("x")}}
			})},
			{Name: "template with a long content id", Message: template(func(m *mailer.Message) {
				m.Attachments = []mailer.Attachment{{Name: "a.png", ContentID: strings.Repeat("c", 79), Content: []byte("x")}}
			})},
			{Name: "contact list beside unsubscribe", Message: message(func(m *mailer.Message) {
				m.Unsubscribe.Mailto = "leave@example.com"
				m.Extras = []mailer.Extra{Extra{ContactList: "readers"}}
			})},
			{Name: "contact list for two", Message: message(func(m *mailer.Message) {
				m.Bcc = []mailer.Address{{Address: "eli@example.com"}}
				m.Extras = []mailer.Extra{&Extra{ContactList: "readers"}}
			})},
			{Name: "topic without a list", Message: extra(Extra{Topic: "news"})},
			{Name: "control in configuration set", Message: extra(Extra{ConfigurationSet: "a\nb"})},
			{Name: "control in contact list", Message: extra(Extra{ContactList: "a\nb"})},
			{Name: "control in topic", Message: extra(Extra{ContactList: "a", Topic: "a\nb"})},
			{Name: "control in identity", Message: extra(Extra{IdentityARN: "a\nb"})},
			{Name: "control in tenant", Message: extra(Extra{Tenant: "a\nb"})},
			{Name: "control in identity of feedback", Message: extra(Extra{FeedbackAddress: "bounces@example.com", FeedbackIdentityARN: "a\nb"})},
			{Name: "identity without feedback", Message: extra(Extra{FeedbackIdentityARN: "arn:x"})},
			{Name: "feedback to no address", Message: extra(Extra{FeedbackAddress: "bounces"})},
			{Name: "feedback to a name", Message: extra(Extra{FeedbackAddress: "Bounces <bounces@example.com>"})},
			{Name: "feedback to an international local part", Message: extra(Extra{FeedbackAddress: "jos\u00e9@example.com"})},
			{Name: "data that is no JSON", Message: template(func(m *mailer.Message) {
				m.Template.Data = map[string]any{"f": make(chan int)}
			})},
			{Name: "51 recipients", Message: message(func(m *mailer.Message) {
				for i := range 50 {
					m.Cc = append(m.Cc, mailer.Address{Address: fmt.Sprintf("reader%02d@example.com", i)})
				}
			})},
			{Name: "long template data", Message: template(func(m *mailer.Message) {
				m.Template.Data = map[string]any{"x": strings.Repeat("\u00e9", MaxTemplateData-7)} // one too many
			})},
			{Name: "long html", Message: message(func(m *mailer.Message) { m.HTML = strings.Repeat("h", MaxSize+1) })},
			{Name: "large file", Message: message(func(m *mailer.Message) {
				m.Attachments = []mailer.Attachment{{Name: "a.bin", Content: make([]byte, MaxSize*3/4)}}
			})},
			{Name: "large file beside a template", Message: template(func(m *mailer.Message) {
				m.Attachments = []mailer.Attachment{{Name: "a.bin", Content: make([]byte, MaxSize*3/4+1)}}
			})},
			{Name: "large file within a whole MIME text", Message: message(func(m *mailer.Message) {
				many(m)
				m.Attachments = []mailer.Attachment{{Name: "a.bin", Content: make([]byte, MaxSize*3/4-4096)}}
			})},
		},
		Batch: func(m *mailer.Message) { // only messages with a template share a call
			m.Template = mailer.Template{ID: "welcome", Data: map[string]any{"about": "About " + m.ID, "text": m.Text}}
			m.Subject, m.Text = "", ""
		},
		BatchBytes: maxBytes,
		TestMode:   "the mailbox simulator's addresses",
		Regions:    "every region of AWS",
		Notes:      map[string]string{"tracking on": "UNVERIFIED", "tracking off": "UNVERIFIED", "batch": "of one template"},
		Peer: providertest.HTTP{
			New: func(baseURL string, client *http.Client) (mailer.Provider, error) { return New(with(baseURL, client)) },
			Accept: func(n int, _ providertest.Request) (providertest.Answer, string) {
				id := fmt.Sprintf("0100018f3c1a2b4d-%d-000000", n)
				return yes(id), id
			},
			AcceptBatch: func(n int, r providertest.Request) (providertest.Answer, []string) {
				var list, ids []string
				for _, said := range r.Said {
					if said.Where == "BulkEmailEntries.Destination.ToAddresses" {
						ids = append(ids, fmt.Sprintf("0100018f3c1a2b4d-%d-%06d", n, len(ids)))
						list = append(list, fmt.Sprintf(`{"Status":"SUCCESS","MessageId":%q}`, ids[len(ids)-1]))
					}
				}
				if list == nil { // a message in a call of its own
					id := fmt.Sprintf("0100018f3c1a2b4d-%d-000000", n)
					return yes(id), []string{id}
				}
				return providertest.JSON(200, `{"BulkEmailEntryResults":[`+strings.Join(list, ",")+`]}`), ids
			},
			Templates: func(baseURL string, client *http.Client, names map[string]string) (mailer.Provider, error) {
				c := with(baseURL, client)
				c.Templates = names
				return New(c)
			},
			Verify:       account(`{"Max24HourSend":50000.0,"MaxSendRate":14.0,"SentLast24Hours":1234.0}`),
			Unauthorized: nay(403, "UnrecognizedClientException", "The security token included in the request is invalid."),
			Quota: func() (providertest.Answer, mailer.Quota) {
				return account(`{"Max24HourSend":50000.0,"MaxSendRate":14.0,"SentLast24Hours":1234.0}`),
					mailer.Quota{Limit: 50000, Remaining: 48766, PerSecond: 14}
			},
			Refusals: refusals(),
			Volatile: []string{"Authorization", "X-Amz-Date"},
		},
	})
}

// longType is a content type of 79 characters.
const longType = "text/plain; charset=utf-8; x=01234567890123456789012345678901234567890123456789"

// refusals are SES's, one for each error that it documents. The messages of the
// suite go from shop@example.com to ada@example.com and ben@example.com.
func refusals() []providertest.Refusal {
	var list []providertest.Refusal
	add := func(name string, kind mailer.Kind, notSent bool, code string, answer providertest.Answer) {
		list = append(list, providertest.Refusal{Name: name, Answer: answer, Kind: kind, NotSent: notSent, Code: code})
	}
	const failed = "Email address is not verified. The following identities failed the check in region EU-WEST-1: "
	for _, c := range []struct {
		status        int
		code, message string
		kind          mailer.Kind
		sent          bool // it may have been
	}{
		{400, "MessageRejected", failed + "shop@example.com", mailer.KindSender, false},
		{400, "MessageRejected", failed + "Example Shop <Shop@Example.com>, ada@example.com", mailer.KindSender, false},
		{400, "MessageRejected", failed + "ada@example.com, example.com", mailer.KindSender, false},
		{400, "MessageRejected", failed + "Ada <ada@example.com>", mailer.KindUnauthorized, false},
		{400, "MessageRejected", failed + "workshop@example.com", mailer.KindUnauthorized, false},
		{400, "MessageRejected", failed + "ada@example.com,", mailer.KindUnauthorized, false},
		{400, "MessageRejected", "Email address is not verified.", mailer.KindSender, false},
		{400, "MessageRejected", "Message contains a virus.", mailer.KindContent, false},
		{400, "MailFromDomainNotVerifiedException", "MX record missing.", mailer.KindSender, false},
		{400, "AccountSuspendedException", "Suspended.", mailer.KindUnauthorized, false},
		{400, "SendingPausedException", "Paused.", mailer.KindUnauthorized, false},
		{400, "LimitExceededException", "Too many instances.", mailer.KindRateLimited, false},
		{400, "LimitExceededException", "Daily message quota exceeded.", mailer.KindQuota, false},
		{429, "TooManyRequestsException", "Maximum sending rate exceeded.", mailer.KindRateLimited, false},
		{429, "TooManyRequestsException", "Daily message quota exceeded.", mailer.KindQuota, false},
		{400, "Throttling", "Maximum sending rate exceeded.", mailer.KindRateLimited, false},
		{400, "Throttling", "Daily message quota exceeded.", mailer.KindQuota, false},
		{400, "ThrottlingException", "Rate exceeded", mailer.KindRateLimited, false},
		{503, "ThrottlingException", "Rate exceeded", mailer.KindRateLimited, false},
		{400, "BadRequestException", "Missing final '@domain'.", mailer.KindRejected, false},
		{400, "BadRequestException", "Template welcome does not exist.", mailer.KindRejected, false},
		{400, "BadRequestException", "Configuration set <x> does not exist.", mailer.KindUnknown, false},
		{400, "BadRequestException", "Message length is more than 41943040 bytes long.", mailer.KindTooLarge, false},
		{400, "InvalidParameterValue", "Message length is more than 41943040 bytes long.", mailer.KindTooLarge, false},
		{404, "NotFoundException", "Template welcome does not exist.", mailer.KindRejected, false},
		{404, "NotFoundException", "Configuration set x does not exist.", mailer.KindUnknown, false},
		{409, "ConflictException", "Conflict.", mailer.KindUnknown, true},
		{500, "ConcurrentModificationException", "Later.", mailer.KindUnknown, true},
		{400, "AlreadyExistsException", "There.", mailer.KindUnknown, false},
		{400, "InvalidNextTokenException", "Token.", mailer.KindUnknown, false},
		{500, "InternalServiceErrorException", "Failed.", mailer.KindUnavailable, true},
		{503, "ServiceUnavailable", "Down.", mailer.KindUnavailable, true},
		{500, "InternalFailure", "Failed.", mailer.KindUnavailable, true},
		{500, "InternalError", "Failed.", mailer.KindUnavailable, true},
		{400, "RequestTimeout", "Idle.", mailer.KindUnavailable, true},
		{408, "RequestTimeoutException", "Idle.", mailer.KindUnavailable, true},
		{403, "AccessDeniedException", "User is not authorized to perform: ses:SendRawEmail", mailer.KindUnauthorized, false},
		{400, "AccessDeniedException", "The same under another status.", mailer.KindUnauthorized, false},
		{400, "AccessDenied", "No.", mailer.KindUnauthorized, false},
		{400, "NotAuthorized", "No.", mailer.KindUnauthorized, false},
		{403, "OptInRequired", "Not subscribed.", mailer.KindUnauthorized, false},
		{403, "UnrecognizedClientException", "The security token included in the request is invalid.", mailer.KindUnauthorized, false},
		{403, "InvalidClientTokenId", "Bad key.", mailer.KindUnauthorized, false},
		{403, "InvalidSignatureException", "Signature expired.", mailer.KindUnauthorized, false},
		{403, "SignatureDoesNotMatch", "Bad secret.", mailer.KindUnauthorized, false},
		{403, "MissingAuthenticationToken", "Missing.", mailer.KindUnauthorized, false},
		{403, "MissingAuthenticationTokenException", "Missing.", mailer.KindUnauthorized, false},
		{400, "IncompleteSignature", "Incomplete.", mailer.KindUnauthorized, false},
		{400, "ExpiredTokenException", "Expired.", mailer.KindUnauthorized, false},
		{400, "ExpiredToken", "Expired.", mailer.KindUnauthorized, false},
		{400, "RequestExpired", "Expired.", mailer.KindUnauthorized, false},
		{400, "InvalidParameterValue", "Illegal address.", mailer.KindRejected, false},
		{400, "InvalidParameterCombination", "Both.", mailer.KindRejected, false},
		{400, "MissingParameter", "Missing.", mailer.KindRejected, false},
		{400, "ValidationError", "Too long.", mailer.KindRejected, false},
		{400, "ValidationException", "Too long.", mailer.KindRejected, false},
		{404, "MalformedQueryString", "Malformed.", mailer.KindRejected, false},
		{413, "RequestEntityTooLarge", "Too large.", mailer.KindTooLarge, false},
		{302, "MessageRejected", "Elsewhere.", mailer.KindUnknown, true},
		// Another name: by the status.
		{400, "NewException", "New.", mailer.KindRejected, false},
		{401, "NewException", "New.", mailer.KindUnauthorized, false},
		{402, "NewException", "New.", mailer.KindUnknown, false},
		{403, "NewException", "New.", mailer.KindUnauthorized, false},
		{404, "NewException", "New template.", mailer.KindUnknown, false},
		{408, "NewException", "New.", mailer.KindUnavailable, true},
		{413, "NewException", "New.", mailer.KindTooLarge, false},
		{422, "NewException", "New.", mailer.KindRejected, false},
		{429, "NewException", "Daily.", mailer.KindRateLimited, false},
		{500, "NewException", "New.", mailer.KindUnavailable, true},
		{507, "NewException", "New.", mailer.KindUnavailable, true},
	} {
		add(fmt.Sprintf("%d %s: %s", c.status, c.code, c.message), c.kind, !c.sent, c.code, nay(c.status, c.code, c.message))
	}
	for status, kind := range map[int]mailer.Kind{
		400: mailer.KindRejected, 401: mailer.KindUnauthorized, 403: mailer.KindUnauthorized, 404: mailer.KindUnknown,
		413: mailer.KindTooLarge, 418: mailer.KindUnknown, 422: mailer.KindRejected, 429: mailer.KindRateLimited,
	} {
		add(fmt.Sprintf("status %d and no body", status), kind, true, "", providertest.Answer{Status: status})
	}
	add("status 409 and no body", mailer.KindUnknown, false, "", providertest.Answer{Status: 409})
	add("the name in the body", mailer.KindUnauthorized, true, "AccessDeniedException",
		providertest.JSON(403, `{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"No."}`))
	add("the name as a code", mailer.KindContent, true, "MessageRejected", providertest.JSON(400, `{"code":"MessageRejected","message":"Spam."}`))
	add("a code that is a number", mailer.KindRejected, true, "", providertest.JSON(400, `{"code":7,"message":"Spam."}`))
	add("status 200 and an error", mailer.KindUnknown, false, "MessageRejected", nay(200, "MessageRejected", "Spam."))
	add("status 200 and an empty id", mailer.KindUnknown, false, "", yes(""))
	add("status 200 and an id that is null", mailer.KindUnknown, false, "", providertest.JSON(200, `{"MessageId":null}`))
	add("status 200 and an id that is a number", mailer.KindUnknown, false, "", providertest.JSON(200, `{"MessageId":7}`))
	return list
}

func TestErrorsCarryTheWordsAndTheRequestID(t *testing.T) {
	p, _ := capture(t, key, nay(400, "MessageRejected", "Message contains a virus."))
	_, err := p.Send(t.Context(), registration)
	e, ok := errors.AsType[*mailer.Error](err)
	require.True(t, ok)
	require.Equal(t, mailer.Error{
		Provider: "ses", Kind: mailer.KindContent, NotSent: true, Status: 400, Code: "MessageRejected",
		Message: "Message contains a virus.", RequestID: "9d0c0ff5",
	}, *e)
}

func TestAnswerThatBreaksOffBehindItsID(t *testing.T) {
	for name, body := range map[string]io.Reader{
		"lost":    io.MultiReader(strings.NewReader(`{"MessageId":"0100"}`), broken{}),
		"endless": io.MultiReader(strings.NewReader(`{"MessageId":"0100"}`), strings.NewReader(strings.Repeat(" ", 1<<20))),
	} {
		t.Run(name, func(t *testing.T) {
			c := key
			c.HTTPClient = &http.Client{Transport: providertest.RoundTrip(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 200, Body: io.NopCloser(body)}, nil
			})}
			p, err := New(c)
			require.NoError(t, err)
			_, err = p.Send(t.Context(), registration)
			require.ErrorIs(t, err, mailer.KindNetwork)
			require.False(t, mailer.NotSent(err))
		})
	}
}

// broken is a connection that breaks.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// The SDK makes up to three calls of one, unless it is told not to. The second could
// be a second mail.
func TestEverySendIsOneCall(t *testing.T) {
	bulk := func(p *Provider) error {
		m := registration
		m.Subject, m.Text, m.HTML, m.Template.ID = "", "", "", "welcome"
		return p.SendBatch(t.Context(), []mailer.Message{m, m})[0].Err
	}
	single := func(p *Provider) error {
		_, err := p.Send(t.Context(), registration)
		return err
	}
	for name, answer := range map[string]providertest.Answer{
		"a server error":   nay(500, "InternalServiceErrorException", "Try again."),
		"a gateway's page": {Status: 503, Body: "<html>"},
		"throttling":       nay(429, "TooManyRequestsException", "Maximum sending rate exceeded."),
		"old throttling":   nay(400, "Throttling", "Rate exceeded"),
		"a lost answer":    {},
	} {
		for what, send := range map[string]func(p *Provider) error{"Send": single, "SendBatch": bulk} {
			t.Run(what+" after "+name, func(t *testing.T) {
				calls := 0
				c := key
				c.HTTPClient = &http.Client{Transport: providertest.RoundTrip(func(r *http.Request) (*http.Response, error) {
					_, err := io.Copy(io.Discard, r.Body)
					a := answer
					switch calls++; {
					case calls > 1:
						a = nay(404, "NotFoundException", "That was one call too many.") // and the last
					case a.Status == 0:
						err = errors.New("connection reset by peer")
					}
					h := http.Header{}
					for name, value := range a.Header {
						h.Set(name, value)
					}
					return &http.Response{StatusCode: a.Status, Header: h, Body: io.NopCloser(strings.NewReader(a.Body))}, err
				})}
				p, err := New(c)
				require.NoError(t, err)
				require.Error(t, send(p))
				require.Equal(t, 1, calls, "calls for one message")
			})
		}
	}
}

func TestNewRefuses(t *testing.T) {
	const secret = "secret0123456789"
	good := Config{Region: "eu-west-1", AccessKeyID: "AKID", SecretAccessKey: secret}
	change := func(f func(c *Config)) Config {
		c := good
		f(&c)
		return c
	}
	for name, c := range map[string]struct {
		config Config
		want   string
	}{
		"no region":                        {change(func(c *Config) { c.Region = "" }), "ses: Config.Region is empty"},
		"a region that is a host":          {change(func(c *Config) { c.Region = "evil.example/" }), "ses: Config.Region is not"},
		"a region in capitals":             {change(func(c *Config) { c.Region = "EU-WEST-1" }), "ses: Config.Region is not"},
		"a region with a hyphen in front":  {change(func(c *Config) { c.Region = "-eu" }), "ses: Config.Region is not"},
		"no key":                           {change(func(c *Config) { c.AccessKeyID = "" }), "ses: Config.AccessKeyID is empty"},
		"a key with a line end":            {change(func(c *Config) { c.AccessKeyID = "AK\nID" }), "ses: Config.AccessKeyID has"},
		"a key with a slash":               {change(func(c *Config) { c.AccessKeyID = "AK/ID" }), "ses: Config.AccessKeyID has"},
		"no secret":                        {change(func(c *Config) { c.SecretAccessKey = "" }), "ses: Config.SecretAccessKey is empty"},
		"a secret with a blank":            {change(func(c *Config) { c.SecretAccessKey = secret + " " }), "ses: Config.SecretAccessKey has"},
		"a token beyond ASCII":             {change(func(c *Config) { c.SessionToken = "caf\u00e9" }), "ses: Config.SessionToken has"},
		"a key and a provider of keys":     {change(func(c *Config) { c.Credentials = aws.AnonymousCredentials{} }), "ses: Config.Credentials and"},
		"plain HTTP":                       {change(func(c *Config) { c.BaseURL = "http://email.example.com" }), "ses: Config.BaseURL"},
		"a configuration set on two lines": {change(func(c *Config) { c.ConfigurationSet = "a\nb" }), "ses: Config.ConfigurationSet has"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := New(c.config)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), secret)
			require.Nil(t, p)
		})
	}
}

func TestRegionsHaveTheirEndpoints(t *testing.T) {
	for region, want := range map[string]string{
		"eu-west-1":  "https://email.eu-west-1.amazonaws.com/v2/email/outbound-emails",
		"us-east-1":  "https://email.us-east-1.amazonaws.com/v2/email/outbound-emails",
		"cn-north-1": "https://email.cn-north-1.amazonaws.com.cn/v2/email/outbound-emails",
	} {
		t.Run(region, func(t *testing.T) {
			c := key
			c.Region = region
			p, service := capture(t, c, yes("0100"))
			_, err := p.Send(t.Context(), registration)
			require.NoError(t, err)
			require.Equal(t, want, service.URL)
			require.Contains(t, service.Header.Get("Authorization"), "/"+region+"/ses/aws4_request")
		})
	}
	t.Run("a base URL with a path and a slash at its end", func(t *testing.T) {
		c := key
		c.BaseURL = "https://gateway.example.com/ses/"
		p, service := capture(t, c, yes("0100"))
		_, err := p.Send(t.Context(), registration)
		require.NoError(t, err)
		require.Equal(t, "https://gateway.example.com/ses/v2/email/outbound-emails", service.URL)
	})
}

func TestPrinting(t *testing.T) {
	p, err := New(key)
	require.NoError(t, err)
	require.Equal(t, "ses ses ses", fmt.Sprintf("%v %+v %#v", p, *p, p))
	c := with("https://user:secret@email.example.com", nil)
	require.Equal(t, `ses.Config{BaseURL: "https://user:xxxxx@email.example.com"}`, fmt.Sprintf("%+v", c))
}

// A fault of one message's setting is none of the account's.
func TestFeedbackAddressThatIsNotVerified(t *testing.T) {
	for failed, kind := range map[string]mailer.Kind{
		"bounces@feedback.example": mailer.KindSender,
		"Feedback.example":         mailer.KindSender,
		"ada@example.com":          mailer.KindUnauthorized,
	} {
		p, _ := capture(t, key, nay(400, "MessageRejected", "Email address is not verified. The following identities failed the check in region EU-WEST-1: "+failed))
		_, err := p.Send(t.Context(), mailer.Message{
			From: mailer.Address{Address: "shop@example.com"}, To: []mailer.Address{{Address: "ada@example.com"}}, Text: "Hello",
			Extras: []mailer.Extra{Extra{FeedbackAddress: "bounces@feedback.example"}},
		})
		require.Equal(t, kind, mailer.KindOf(err), failed)
		require.True(t, mailer.NotSent(err))
	}
}

func TestNewKeepsNothingThatCanChange(t *testing.T) {
	c := key
	c.Templates = map[string]string{"welcome": "one"}
	p, service := capture(t, c, yes("0100"))
	c.Templates["welcome"] = "two"
	_, err := p.Send(t.Context(), mailer.Message{
		From: mailer.Address{Address: "shop@example.com"}, To: []mailer.Address{{Address: "ada@example.com"}},
		Template: mailer.Template{ID: "welcome"},
	})
	require.NoError(t, err)
	require.Equal(t, "one", decode(t, service.Body).Content.Template.TemplateName)
	require.Equal(t, "{}", decode(t, service.Body).Content.Template.TemplateData)
}

// TestSignature signs what reached the service again, and so tells whether the
// signature is over just that: the files, which stand in the body in place of
// their marks, and the length among it.
func TestSignature(t *testing.T) {
	for name, attachments := range map[string][]mailer.Attachment{
		"small message": nil,
		"small file":    {{Name: "a.bin", Content: []byte("abc")}},
		"large files":   {{Name: "a.bin", Content: make([]byte, 1<<20+1)}, {Name: "b.bin", Content: make([]byte, 100_000)}},
	} {
		t.Run(name, func(t *testing.T) {
			var requests int
			service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests++
				body, err := io.ReadAll(r.Body)
				if err != nil {
					return
				}
				hash := sha256.Sum256(body)
				got := r.Header.Get("Authorization")
				_, rest, _ := strings.Cut(got, "SignedHeaders=")
				signed, _, _ := strings.Cut(rest, ", ")
				again, err := http.NewRequest(r.Method, "http://"+r.Host+r.URL.RequestURI(), nil)
				if err != nil {
					return
				}
				again.ContentLength = int64(len(body))
				for _, h := range strings.Split(signed, ";") {
					if v := r.Header.Get(h); v != "" && h != "content-length" {
						again.Header.Set(h, v)
					}
				}
				at, _ := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
				creds := aws.Credentials{AccessKeyID: key.AccessKeyID, SecretAccessKey: key.SecretAccessKey, SessionToken: key.SessionToken}
				err = v4.NewSigner().SignHTTP(r.Context(), creds, again, hex.EncodeToString(hash[:]), "ses", "eu-west-1", at)
				if err != nil || again.Header.Get("Authorization") != got || !strings.Contains(signed, "content-length") {
					w.Header().Set("X-Amzn-Errortype", "SignatureDoesNotMatch")
					w.WriteHeader(403)
					fmt.Fprintf(w, `{"message":"expected signed headers %s of %d"}`, signed, len(body))
					return
				}
				io.WriteString(w, yes("0100").Body)
			}))
			defer service.Close()
			defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
			p, err := New(with(service.URL, &http.Client{Transport: http.DefaultTransport}))
			require.NoError(t, err)
			m := registration
			m.Attachments = attachments
			_, err = p.Send(t.Context(), m)
			require.NoError(t, err)
			require.Equal(t, 1, requests)
		})
	}
}

func TestAClockThatIsWrongCostsOneMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ahead = 17 * time.Minute // of the clock here
		c := key
		c.HTTPClient = &http.Client{Transport: providertest.RoundTrip(func(r *http.Request) (*http.Response, error) {
			now := time.Now().Add(ahead)
			at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
			require.NoError(t, err)
			resp := &http.Response{StatusCode: 200, Header: http.Header{"Date": {now.UTC().Format(http.TimeFormat)}}, Body: io.NopCloser(strings.NewReader(yes("0100").Body))}
			if now.Sub(at).Abs() > 5*time.Minute {
				resp.StatusCode = 403
				resp.Header.Set("X-Amzn-Errortype", "InvalidSignatureException")
			}
			return resp, nil
		})}
		p, err := New(c)
		require.NoError(t, err)
		_, err = p.Send(t.Context(), registration)
		require.ErrorIs(t, err, mailer.KindUnauthorized)
		require.True(t, mailer.NotSent(err))
		for range 3 {
			_, err = p.Send(t.Context(), registration)
			require.NoError(t, err)
			time.Sleep(time.Hour)
		}
	})
}

func TestNoSignatureInAnError(t *testing.T) {
	var signature string
	c := key
	c.HTTPClient = &http.Client{Transport: providertest.RoundTrip(func(r *http.Request) (*http.Response, error) {
		_, signature, _ = strings.Cut(r.Header.Get("Authorization"), "Signature=")
		return nil, fmt.Errorf("the proxy did not like %v", r.Header)
	})}
	p, err := New(c)
	require.NoError(t, err)
	_, err = p.Send(t.Context(), registration)
	require.ErrorIs(t, err, mailer.KindNetwork)
	require.Len(t, signature, 64)
	require.NotContains(t, err.Error(), signature)
	require.NotContains(t, err.Error(), key.SessionToken)
	require.Contains(t, err.Error(), "[hidden]")

	c.HTTPClient = &http.Client{Transport: providertest.RoundTrip(func(r *http.Request) (*http.Response, error) {
		_, signature, _ = strings.Cut(r.Header.Get("Authorization"), "Signature=")
		return &http.Response{StatusCode: 403, Body: io.NopCloser(strings.NewReader(fmt.Sprintf("you said %v", r.Header)))}, nil
	})}
	p, err = New(c)
	require.NoError(t, err)
	_, err = p.Send(t.Context(), registration)
	require.ErrorIs(t, err, mailer.KindUnauthorized)
	require.NotContains(t, err.Error(), signature)
	require.NotContains(t, err.Error(), key.SessionToken)
	require.Contains(t, err.Error(), "[hidden]")
}

// keys is a provider of credentials.
type keys func(ctx context.Context) (aws.Credentials, error)

func (f keys) Retrieve(ctx context.Context) (aws.Credentials, error) { return f(ctx) }

func TestCredentials(t *testing.T) {
	start := func(t *testing.T, f keys) (*Provider, *providertest.Call) {
		return capture(t, Config{Region: "eu-west-1", Credentials: f}, yes("0100"))
	}
	t.Run("are asked for with each message", func(t *testing.T) {
		n := 0
		p, service := start(t, func(context.Context) (aws.Credentials, error) {
			n++
			return aws.Credentials{AccessKeyID: fmt.Sprintf("AKID%d", n), SecretAccessKey: "secret"}, nil
		})
		for _, want := range []string{"AKID1/", "AKID2/"} {
			_, err := p.Send(t.Context(), registration)
			require.NoError(t, err)
			require.Contains(t, service.Header.Get("Authorization"), "Credential="+want)
		}
	})
	for name, c := range map[string]struct {
		err  error
		kind mailer.Kind
	}{
		"that cannot be had are unauthorized": {errors.New("no role"), mailer.KindUnauthorized},
		"that are empty are unauthorized":     {nil, mailer.KindUnauthorized},
		"that come too late are a network failure": {
			fmt.Errorf("metadata service: %w", context.DeadlineExceeded), mailer.KindNetwork,
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, service := start(t, func(context.Context) (aws.Credentials, error) { return aws.Credentials{}, c.err })
			_, err := p.Send(t.Context(), registration)
			require.ErrorIs(t, err, c.kind)
			require.True(t, mailer.NotSent(err))
			if c.err != nil {
				require.ErrorIs(t, err, c.err)
			}
			require.Nil(t, service.Body, "there was traffic")
		})
	}
	t.Run("are waited for until the context ends", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p, service := start(t, func(ctx context.Context) (aws.Credentials, error) {
				<-ctx.Done()
				return aws.Credentials{}, ctx.Err()
			})
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			_, err := p.Send(ctx, registration)
			require.ErrorIs(t, err, mailer.KindCanceled)
			require.ErrorIs(t, err, context.Canceled)
			require.True(t, mailer.NotSent(err))
			require.Nil(t, service.Body)
		})
	})
	t.Run("are waited for no longer than a call may take", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p, _ := start(t, func(ctx context.Context) (aws.Credentials, error) {
				<-ctx.Done()
				return aws.Credentials{}, ctx.Err()
			})
			begun := time.Now()
			_, err := p.Send(t.Context(), registration)
			require.ErrorIs(t, err, mailer.KindNetwork)
			require.True(t, mailer.NotSent(err))
			require.Equal(t, 30*time.Second, time.Since(begun))
		})
	})
}
