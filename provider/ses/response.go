package ses

import (
	"cmp"
	"context"
	"net/http"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/httpapi"
)

// no is what SES, or the gateway before it, says with its no. The name of the
// error is in a header, or else here.
type no struct {
	Message string // "Message" at a gateway, which reads the same
	Type    string `json:"__type"`
	Code    any
}

// codes are the kinds of the errors' names, which decide before the status does.
// Some are further told apart by their text.
// Source: https://docs.aws.amazon.com/ses/latest/APIReference-V2/CommonErrors.html, the
// errors of SendEmail there, and the types of sesv2 v1.79.7 (read 2026-11).
var codes = map[string]mailer.Kind{
	"MessageRejected":                    mailer.KindContent,
	"MailFromDomainNotVerifiedException": mailer.KindSender,

	"AccountSuspendedException": mailer.KindUnauthorized,
	"SendingPausedException":    mailer.KindUnauthorized,
	"AccessDenied":              mailer.KindUnauthorized,
	"AccessDeniedException":     mailer.KindUnauthorized,
	"NotAuthorized":             mailer.KindUnauthorized,
	"OptInRequired":             mailer.KindUnauthorized,

	"ExpiredToken":                        mailer.KindUnauthorized,
	"ExpiredTokenException":               mailer.KindUnauthorized,
	"IncompleteSignature":                 mailer.KindUnauthorized,
	"InvalidClientTokenId":                mailer.KindUnauthorized,
	"InvalidSignatureException":           mailer.KindUnauthorized,
	"MissingAuthenticationToken":          mailer.KindUnauthorized,
	"MissingAuthenticationTokenException": mailer.KindUnauthorized,
	"RequestExpired":                      mailer.KindUnauthorized,
	"SignatureDoesNotMatch":               mailer.KindUnauthorized,
	"UnrecognizedClientException":         mailer.KindUnauthorized,

	"LimitExceededException":   mailer.KindRateLimited,
	"Throttling":               mailer.KindRateLimited,
	"ThrottlingException":      mailer.KindRateLimited,
	"TooManyRequestsException": mailer.KindRateLimited,

	"BadRequestException":         mailer.KindRejected,
	"InvalidParameterCombination": mailer.KindRejected,
	"InvalidParameterValue":       mailer.KindRejected,
	"MalformedQueryString":        mailer.KindRejected,
	"MissingParameter":            mailer.KindRejected,
	"ValidationError":             mailer.KindRejected,
	"ValidationException":         mailer.KindRejected,
	"RequestEntityTooLarge":       mailer.KindTooLarge,

	"AlreadyExistsException":          mailer.KindUnknown,
	"ConcurrentModificationException": mailer.KindUnknown,
	"ConflictException":               mailer.KindUnknown,
	"InvalidNextTokenException":       mailer.KindUnknown,
	"NotFoundException":               mailer.KindUnknown,

	"InternalError":                 mailer.KindUnavailable,
	"InternalFailure":               mailer.KindUnavailable,
	"InternalServiceErrorException": mailer.KindUnavailable,
	"RequestTimeout":                mailer.KindUnavailable,
	"RequestTimeoutException":       mailer.KindUnavailable,
	"ServiceUnavailable":            mailer.KindUnavailable,
}

// statuses are the kinds of the statuses, for an error without a name or with
// another one.
var statuses = map[int]mailer.Kind{
	http.StatusBadRequest:            mailer.KindRejected,
	http.StatusUnauthorized:          mailer.KindUnauthorized,
	http.StatusForbidden:             mailer.KindUnauthorized,
	http.StatusRequestTimeout:        mailer.KindUnavailable,
	http.StatusRequestEntityTooLarge: mailer.KindTooLarge,
	http.StatusUnprocessableEntity:   mailer.KindRejected,
	http.StatusTooManyRequests:       mailer.KindRateLimited,
}

var (
	aboutQuota    = regexp.MustCompile(`(?i)\bdaily\b|\bquota\b`)
	aboutSet      = regexp.MustCompile(`(?i)configuration[ -]?set`)
	aboutLength   = regexp.MustCompile(`(?i)message.*(length|too large|too long)|(length|size) of the message`)
	aboutTemplate = regexp.MustCompile(`(?i)template`)
	notVerified   = regexp.MustCompile(`(?is)not verified.*?failed the check in region [^:]*:(.*)`)
)

// send makes the call for r and reads its answer.
func (p *Provider) send(ctx context.Context, r *request) (mailer.Receipt, error) {
	c := r.call()
	var out sesv2.SendEmailOutput
	if err := p.post(ctx, c, sendPath, sendEmail(r.input, &r.files), &out); err != nil {
		return mailer.Receipt{}, err
	}
	if aws.ToString(out.MessageId) == "" {
		return mailer.Receipt{}, p.refusal(c, nil)
	}
	return r.receipt(*out.MessageId), nil
}

// call is one that has to be made for r.
func (r *request) call() *call {
	return &call{senders: [2]string{r.message.From.Address, aws.ToString(r.input.FeedbackForwardingEmailAddress)}}
}

// receipt is that of a message which SES took.
func (r *request) receipt(id string) mailer.Receipt {
	return mailer.Receipt{ID: r.message.ID, Provider: provider, MessageID: id, Dropped: r.dropped}
}

// refusal makes the error of an answer that is not a whole one of success. cause says
// of an answer of success what is wrong with it.
func (p *Provider) refusal(c *call, cause error) *mailer.Error {
	resp := c.resp
	var a no
	if resp.JSON(&a) != nil {
		a = no{} // half an answer is none
	}
	code := name(resp.Header, &a)
	kind, listed := classify(resp, code, a.Message, c.senders)
	api := p.api.Hiding(c.secrets...)
	e := api.Error(resp, kind, code, cmp.Or(a.Message, string(resp.Body)))
	e.RequestID = resp.Header.Get("X-Amzn-Requestid")
	switch {
	case resp.Status < 300:
		if e.Err == nil {
			e.Err = api.Scrub(cause)
		}
	case kind == mailer.KindUnavailable:
		e.NotSent = e.NotSent && resp.Status >= 500 // that is, only if it came before the request was sent
	case listed && (kind == mailer.KindRateLimited || kind == mailer.KindQuota):
		e.NotSent = true // SES queues nothing that it throttles
	}
	return e
}

// name returns the name of the error, without the namespace and the address that
// may stand around it.
func name(h http.Header, a *no) string {
	code, _ := a.Code.(string)
	s := cmp.Or(h.Get("X-Amzn-Errortype"), a.Type, code)
	s, _, _ = strings.Cut(s, ":")
	return s[strings.LastIndexByte(s, '#')+1:]
}

// classify tells the kind of an answer that is not success.
func classify(resp *httpapi.Response, code, text string, senders [2]string) (_ mailer.Kind, listed bool) {
	kind, listed := codes[code]
	switch {
	case resp.Status < 300 && resp.Err != nil:
		return mailer.KindNetwork, false
	case resp.Status < 400:
		return mailer.KindUnknown, false
	case kind == mailer.KindRateLimited && aboutQuota.MatchString(text):
		return mailer.KindQuota, true
	case code == "MessageRejected":
		return rejected(text, senders), true
	case kind == mailer.KindRejected && aboutSet.MatchString(text):
		return mailer.KindUnknown, true // a fault of the settings here, not of the message
	case kind == mailer.KindRejected && aboutLength.MatchString(text):
		return mailer.KindTooLarge, true
	case code == "NotFoundException" && aboutTemplate.MatchString(text):
		return mailer.KindRejected, true
	case listed:
		return kind, true
	case resp.Status >= 500:
		return mailer.KindUnavailable, false
	}
	return statuses[resp.Status], false
}

// rejected tells the kind of a rejected message. SES lists the identities that are
// not verified: the senders, or, while the account is in the sandbox, recipients.
// The sandbox is a fault of the account: nothing is wrong with the recipients, and
// another service may reach them.
func rejected(text string, senders [2]string) mailer.Kind {
	found := notVerified.FindStringSubmatch(text)
	if found == nil {
		if strings.Contains(strings.ToLower(text), "not verified") {
			return mailer.KindSender
		}
		return mailer.KindContent
	}
	for identity := range strings.SplitSeq(found[1], ",") {
		if i := strings.LastIndexByte(identity, '<'); i >= 0 {
			identity = strings.TrimRight(identity[i+1:], "> .")
		}
		identity = strings.TrimSpace(identity)
		for _, sender := range senders {
			domain := sender[strings.LastIndexByte(sender, '@')+1:]
			if identity != "" && (strings.EqualFold(identity, sender) || strings.EqualFold(identity, domain)) {
				return mailer.KindSender
			}
		}
	}
	return mailer.KindUnauthorized
}
