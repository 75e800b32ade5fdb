package smtp2go

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/internal/httpapi"
)

// answer is what SMTP2GO says, yes or no. Its members stand at the top or in "data".
type answer struct {
	requestID []byte
	data      []byte // an object or an array

	failed  bool // it has an error or an error_code
	code    string
	words   string
	field   string // that its validation is about
	counted bool   // it has the counts
	yes, no int64  // succeeded, failed: messages
	reasons []string
	id      string // email_id, or schedule_id
	err     error  // why this is not a whole answer

	message *mailer.Message // that it is an answer to; nil: none
}

// parse reads an answer, if it is one.
func parse(resp *httpapi.Response) (a answer) {
	ok := adapter.Members(resp.Body, func(name, value []byte) {
		switch string(name) {
		case "request_id":
			a.requestID = value
		case "data":
			a.data = value
		default:
			a.read(name, value)
		}
	})
	adapter.Members(a.data, a.read)
	switch {
	case resp.Err != nil:
		a.err = resp.Err
	case !ok:
		a.err = errors.New("the answer is not a JSON object")
	}
	return a
}

// read reads one member.
func (a *answer) read(name, value []byte) {
	switch string(value) {
	case "null", `""`, "false":
		return
	}
	switch string(name) {
	case "error":
		a.failed = true
		a.words = cmp.Or(adapter.Text(value), string(value))
	case "error_code":
		a.failed = true
		a.code = cmp.Or(adapter.Text(value), string(value))
	case "field_validation_errors":
		if !adapter.Members(value, a.validation) {
			adapter.Elements(value, func(value []byte) { adapter.Members(value, a.validation) })
		}
	case "succeeded":
		a.count(value, &a.yes)
	case "failed":
		a.count(value, &a.no)
	case "failures":
		if !adapter.Elements(value, func(value []byte) {
			a.reasons = append(a.reasons, cmp.Or(adapter.Text(value), string(value)))
		}) {
			a.reasons = append(a.reasons, cmp.Or(adapter.Text(value), string(value)))
		}
	case "email_id":
		a.id = cmp.Or(adapter.Text(value), a.id)
	case "schedule_id":
		a.id = cmp.Or(a.id, adapter.Text(value))
	}
}

// validation reads a member of what SMTP2GO says of a field.
func (a *answer) validation(name, value []byte) {
	switch string(name) {
	case "fieldname":
		a.field = cmp.Or(a.field, adapter.Text(value))
	case "message":
		a.words = strings.TrimPrefix(a.words+": "+adapter.Text(value), ": ")
	}
}

// count reads a number of messages. With what is none, nothing is certain.
func (a *answer) count(value []byte, to *int64) {
	n, err := strconv.ParseInt(strings.Trim(string(value), `"`), 10, 64)
	if err != nil || n < 0 {
		a.err = errors.New("the answer's counts are malformed")
		return
	}
	a.counted = true
	*to = n
}

// receipt reads the answer to r. A status of 200 alone says nothing: SMTP2GO counts
// failures beneath it.
func (p *Provider) receipt(r *request, a *answer, resp *httpapi.Response) (mailer.Receipt, error) {
	a.message = &r.message
	taken := resp.Status == http.StatusOK && a.err == nil && !a.failed &&
		(a.yes > 0 || a.id != "" && !a.counted)
	if !taken {
		return mailer.Receipt{}, p.refusalOf(r, a, resp)
	}
	rejected, none := p.rejections(r, a, resp)
	if none { // it contradicts itself, so its error is not NotSent
		return mailer.Receipt{}, p.refusalOf(r, a, resp)
	}
	return mailer.Receipt{
		ID:        r.message.ID,
		Provider:  provider,
		MessageID: cmp.Or(a.id, r.message.ID),
		Rejected:  rejected,
		Dropped:   r.dropped,
	}, nil
}

// rejections returns a Rejection for each reason of a failure beside a success, and
// whether nobody is left.
func (p *Provider) rejections(r *request, a *answer, resp *httpapi.Response) (rs []mailer.Rejection, none bool) {
	if a.no == 0 && len(a.reasons) == 0 {
		return nil, false
	}
	add := func(address, reason string) {
		if address != "" && slices.ContainsFunc(rs, func(r mailer.Rejection) bool { return r.Address == address }) {
			return
		}
		kind := a.kind(reason)
		if kind == mailer.KindUnknown {
			kind = mailer.KindRecipient
		}
		e := p.failure(a, resp, kind, cmp.Or(reason, "SMTP2GO counts a failure, and does not say of what"))
		e.NotSent = true
		rs = append(rs, mailer.Rejection{Address: address, Err: e})
	}
	all := slices.Concat(r.message.To, r.message.Cc, r.message.Bcc)
	if len(all) == 1 {
		return nil, true // whom a reason is about it need not say
	}
	named := 0
	for _, reason := range a.reasons {
		before := len(rs)
		found := false
		for _, to := range all {
			if adapter.Names(reason, to.Address) {
				add(to.Address, reason)
				found = true
			}
		}
		named += len(rs) - before
		if !found {
			add("", reason)
		}
	}
	if len(a.reasons) == 0 {
		add("", "")
	}
	return rs, named == len(all)
}

// refusalOf makes the error of an answer that is not a yes to r. It names the
// recipients that a reason about recipients has in it.
func (p *Provider) refusalOf(r *request, a *answer, resp *httpapi.Response) *mailer.Error {
	e := p.refusal(a, resp)
	if e.Kind != mailer.KindRecipient {
		return e
	}
	for _, list := range [...][]mailer.Address{r.message.To, r.message.Cc, r.message.Bcc} {
		for _, to := range list {
			if slices.ContainsFunc(append(slices.Clip(a.reasons), a.words), func(reason string) bool {
				return a.kind(reason) == e.Kind && adapter.Names(reason, to.Address)
			}) {
				e.Recipients = append(e.Recipients, to.Address)
			}
		}
	}
	return e
}

// refusal makes the error of an answer that is not a yes.
func (p *Provider) refusal(a *answer, resp *httpapi.Response) *mailer.Error {
	kind, told := classify(a, resp.Status)
	words := cmp.Or(a.words, strings.Join(a.reasons, "; "))
	if !told && resp.Status == http.StatusOK && resp.Err != nil {
		kind = mailer.KindNetwork
	}
	if words == "" && a.code == "" {
		words = string(resp.Body)
	}
	e := p.failure(a, resp, kind, words)
	if told {
		e.NotSent = kind != mailer.KindUnavailable && kind != mailer.KindUnknown
	}
	if a.yes > 0 || a.id != "" && a.no == 0 || told && a.err != nil {
		e.NotSent = false // it contradicts itself, or is not understood
	}
	if resp.Status == http.StatusOK {
		e.Err = a.err
	}
	return e
}

// failure makes an error.
func (p *Provider) failure(a *answer, resp *httpapi.Response, kind mailer.Kind, words string) *mailer.Error {
	e := p.api.Error(resp, kind, a.code, words)
	e.RequestID = p.api.Error(resp, kind, adapter.Text(a.requestID), "").Code // made fit for a log as a code is
	if kind == mailer.KindRateLimited && resp.Header.Get("Retry-After") == "" {
		e.RetryAfter = reset(resp.Header)
	}
	return e
}

// reset is how long to wait when there is no Retry-After, which SMTP2GO does not
// document: the seconds of a header field of its older documentation, or the minute
// for which an address that asks too often is turned away.
// Source: https://developers.smtp2go.com/docs/rate-limiting (read 2026-11).
func reset(h http.Header) time.Duration {
	n, err := strconv.Atoi(h.Get("X-Rate-Limit-Reset"))
	if err != nil || n <= 0 || n > int(httpapi.MaxRetryAfter/time.Second) {
		return time.Minute
	}
	return time.Duration(n) * time.Second
}

// codes are the kinds of SMTP2GO's error_code, without its prefix, that need no
// closer look.
// Source: https://developers.smtp2go.com/docs/response-codes (read 2026-11).
var codes = map[string]mailer.Kind{
	"ENDPOINT_PERMISSION_DENIED": mailer.KindUnauthorized, // with status 400
	"NON_VALIDATING_IN_PAYLOAD":  mailer.KindRejected,
	"INVALID_IN_PAYLOAD":         mailer.KindRejected,
	"REQ_LIMIT_EXCEEDED":         mailer.KindRateLimited,
}

// classify tells the kind of an answer that is not a yes. told: the answer's own
// words decided it, not its status, so they say as well whether it was sent.
func classify(a *answer, status int) (kind mailer.Kind, told bool) {
	code := strings.TrimPrefix(a.code, "E_ApiResponseCodes.")
	kind, listed := codes[code]
	switch {
	case code == "API_EXCEPTION" && unknownKey(a.words):
		return mailer.KindUnauthorized, true // with status 500
	case listed && kind == mailer.KindRejected && (a.field == "api_key" || a.field == "" && aboutKey(a.words)):
		return mailer.KindUnauthorized, true
	case listed:
		return kind, true
	case status == http.StatusBadRequest && code == "API_EXCEPTION", status == http.StatusPaymentRequired:
		kind = a.kind(a.words)
		return kind, kind != mailer.KindUnknown
	case status != http.StatusOK:
		return byStatus(status), false
	}
	for _, words := range append(slices.Clip(a.reasons), a.words) {
		if kind := a.kind(words); kind != mailer.KindUnknown {
			return kind, true
		}
	}
	return mailer.KindUnknown, false
}

func unknownKey(words string) bool {
	words = strings.ToLower(words)
	return strings.Contains(words, "api user") && strings.Contains(words, "not found")
}

func aboutKey(words string) bool {
	words = strings.ToLower(words)
	return strings.Contains(words, "api_key") || strings.Contains(words, "api key")
}

// byStatus tells the kind of an answer without a listed code.
func byStatus(status int) mailer.Kind {
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return mailer.KindUnauthorized
	case status == http.StatusRequestEntityTooLarge:
		return mailer.KindTooLarge
	case status == http.StatusTooManyRequests:
		return mailer.KindRateLimited
	case status == http.StatusBadRequest, status == http.StatusUnprocessableEntity:
		return mailer.KindRejected
	case status == http.StatusRequestTimeout, status >= 500:
		return mailer.KindUnavailable
	}
	return mailer.KindUnknown
}

// kind tells the kind of a reason by its words and, if these tell nothing, by whether
// it calls a recipient of the message invalid.
func (a *answer) kind(text string) mailer.Kind {
	kind := byText(text)
	if lower := strings.ToLower(text); kind != mailer.KindUnknown || a.message == nil || !strings.Contains(lower, "invalid") ||
		strings.Contains(lower, "sender") || strings.Contains(lower, "from ") {
		return kind
	}
	for _, list := range [...][]mailer.Address{a.message.To, a.message.Cc, a.message.Bcc} {
		if slices.ContainsFunc(list, func(to mailer.Address) bool { return adapter.Names(text, to.Address) }) {
			return mailer.KindRecipient
		}
	}
	return kind
}

// byText tells the kind of a reason in words, such as those of an SMTP server. The
// first line that fits decides.
// Source: https://support.smtp2go.com, "Common sending errors" (read 2026-11). The
// words about limits and recipients are not documented.
func byText(text string) mailer.Kind {
	text = strings.ToLower(strings.TrimSpace(text))
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(text, w) })
	}
	switch {
	case unknownKey(text), strings.HasPrefix(text, "535"), has("relay access denied"):
		return mailer.KindUnauthorized
	case has("not verified", "unverified") && has("sender", "from "):
		return mailer.KindSender
	case has("ratelimit", "rate limit", "too many requests"):
		return mailer.KindRateLimited
	case strings.HasPrefix(text, "552"), has("message size", "too large", "size limit"):
		return mailer.KindTooLarge
	case has("quota", "limit"):
		return mailer.KindQuota
	case has("suppress", "blocked recipient"), has("invalid") && has("recipient"):
		return mailer.KindRecipient
	case len(text) > 3 && text[0] == '4' && isDigit(text[1]) && isDigit(text[2]) && !isDigit(text[3]):
		return mailer.KindUnavailable
	}
	return mailer.KindUnknown
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
