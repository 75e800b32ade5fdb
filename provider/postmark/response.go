package postmark

import (
	"cmp"
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/internal/httpapi"
)

// answer is what Postmark says, yes or no. A delayed acceptance has no ErrorCode.
type answer struct {
	ErrorCode int
	Message   string
	MessageID string
}

// codes are the kinds of Postmark's ErrorCode. These numbers are not HTTP statuses.
// 300 and 422 are further told apart by their text.
// Source: https://postmarkapp.com/developer/api/overview#error-codes (read
// 2026-11; 400, 401, 405 and 409 stand in older versions of that table).
var codes = map[int]mailer.Kind{
	10:   mailer.KindUnauthorized, // bad or missing token
	11:   mailer.KindRejected,     // several validation errors
	14:   mailer.KindUnauthorized, // bulk sending needs approval
	100:  mailer.KindUnavailable,  // maintenance
	101:  mailer.KindUnavailable,  // internal error
	300:  mailer.KindRejected,     // invalid request
	400:  mailer.KindSender,       // sender signature not found
	401:  mailer.KindSender,       // sender signature not confirmed
	402:  mailer.KindRejected,     // invalid JSON
	403:  mailer.KindRejected,     // incompatible fields
	405:  mailer.KindQuota,        // out of credits
	406:  mailer.KindRecipient,    // inactive recipient
	409:  mailer.KindRejected,     // JSON required
	410:  mailer.KindTooLarge,     // too many messages in a batch
	411:  mailer.KindRejected,     // attachment's extension not allowed
	412:  mailer.KindUnauthorized, // account not yet approved
	413:  mailer.KindUnauthorized, // account may not send
	422:  mailer.KindUnknown,      // "Invalid Server or Account"
	429:  mailer.KindRateLimited,  // rate limit
	614:  mailer.KindQuota,        // plan's entitlement exceeded
	1101: mailer.KindRejected,     // template not found
	1109: mailer.KindRejected,     // template model missing
	1120: mailer.KindRejected,     // template: id or alias missing or wrong
	1121: mailer.KindRejected,
	1122: mailer.KindRejected,
	1123: mailer.KindRejected,
	1226: mailer.KindRejected,     // stream not found
	1235: mailer.KindRejected,     // stream not found
	1236: mailer.KindRejected,     // stream does not send
	1480: mailer.KindUnauthorized, // this host is not on the server's allow-list
}

var (
	aboutRecipient = regexp.MustCompile(`(?i)^(Invalid|Error\s+parsing)\s+'(To|Cc|Bcc)'`)
	aboutSender    = regexp.MustCompile(`(?is)'From'.*(signature|verif)`)
	aboutAccount   = regexp.MustCompile(`(?i)server|account`)
	addressAtFault = regexp.MustCompile(`address:?\s*'(.+?)'(?:\.|\s|$)`)
	inactiveList   = regexp.MustCompile(`(?s)inactive addresses:\s*(.+?)\.?\s*(?:Inactive recipients|$)`)
)

// parse reads an answer, if it is one.
func parse(text []byte) (a answer, err error) {
	ok := adapter.Members(text, func(name, value []byte) {
		switch string(name) {
		case "ErrorCode":
			if a.ErrorCode, err = strconv.Atoi(string(value)); string(value) == "null" {
				err = nil
			}
		case "Message":
			if string(value) != `"OK"` { // the ordinary one, which says nothing
				a.Message = adapter.Text(value)
			}
		case "MessageID":
			a.MessageID = adapter.Text(value)
		}
	})
	switch {
	case !ok:
		return answer{}, errors.New("the answer is not a JSON object")
	case err != nil:
		return answer{}, errors.New("the answer's ErrorCode is not a number")
	}
	return a, nil
}

// receipt reads the answer to r, which is text: the body of resp, or the part of it
// that is about r.
func (p *Provider) receipt(r *request, resp *httpapi.Response, text []byte) (mailer.Receipt, error) {
	a, err := parse(text)
	if resp.Err != nil {
		a, err = answer{}, resp.Err // half an answer is none
	}
	rejected, n := rejections(&r.message, inactiveIn(a.Message))
	if resp.Status == http.StatusOK && a.ErrorCode == 0 && a.MessageID != "" {
		return mailer.Receipt{
			ID:        r.message.ID,
			Provider:  provider,
			MessageID: a.MessageID,
			Rejected:  rejected,
			Dropped:   r.dropped,
		}, nil
	}

	kind, listed := classify(resp.Status, &a)
	if resp.Status == http.StatusOK && resp.Err != nil {
		kind = mailer.KindNetwork
	}
	code := ""
	if a.ErrorCode != 0 {
		code = strconv.Itoa(a.ErrorCode)
	}
	e := p.api.Error(resp, kind, code, cmp.Or(a.Message, string(text)))
	m := &r.message
	if kind == mailer.KindRecipient {
		for _, x := range rejected {
			e.Recipients = append(e.Recipients, x.Address)
		}
		if a.ErrorCode == 300 {
			e.Recipients = malformedIn(a.Message, m)
		}
	}
	switch {
	case kind == mailer.KindUnavailable && resp.Status < 500:
		e.NotSent = false // of 101 Postmark says that the message is "usually" lost
	case kind == mailer.KindRecipient && 0 < n && n < len(m.To)+len(m.Cc)+len(m.Bcc):
		e.NotSent = false // documented is an acceptance for the others
	case resp.Status == http.StatusOK:
		e.NotSent, e.Err = listed, err
	}
	return mailer.Receipt{}, e
}

// classify tells the kind of a refusal. 401, 413, 429 and 5xx speak for
// themselves; otherwise the ErrorCode decides if it is a listed one, and if not,
// the status.
func classify(status int, a *answer) (_ mailer.Kind, listed bool) {
	kind, listed := codes[a.ErrorCode]
	switch {
	case status == http.StatusUnauthorized:
		return mailer.KindUnauthorized, listed
	case status == http.StatusRequestEntityTooLarge:
		return mailer.KindTooLarge, listed
	case status == http.StatusTooManyRequests:
		return mailer.KindRateLimited, listed
	case status >= 500:
		return mailer.KindUnavailable, listed
	case a.ErrorCode == 300 && aboutRecipient.MatchString(a.Message):
		return mailer.KindRecipient, true
	case a.ErrorCode == 300 && aboutSender.MatchString(a.Message):
		return mailer.KindSender, true
	case a.ErrorCode == 422 && aboutAccount.MatchString(a.Message):
		return mailer.KindUnauthorized, true
	case listed:
		return kind, true
	case 1350 <= a.ErrorCode && a.ErrorCode <= 1364, 1400 <= a.ErrorCode && a.ErrorCode <= 1411:
		return mailer.KindRejected, true // webhooks and suppressions
	case status == http.StatusNotFound, status == http.StatusUnsupportedMediaType:
		return mailer.KindRejected, false
	}
	return mailer.KindUnknown, false // such as the web page of the firewall, under 403
}

// inactiveIn returns the addresses that Postmark's text calls inactive. They come
// in lower case and without names. Words that follow the last one are not its.
func inactiveIn(text string) (list []string) {
	if found := inactiveList.FindStringSubmatch(text); found != nil {
		for part := range strings.SplitSeq(found[1], ",") {
			if words := strings.Fields(part); len(words) > 0 && strings.Contains(words[0], "@") {
				list = append(list, strings.TrimRight(words[0], "."))
			}
		}
	}
	return list
}

// malformedIn returns the recipient of m whose address Postmark's text calls
// malformed, or nil if it names a part of one.
func malformedIn(text string, m *mailer.Message) []string {
	if found := addressAtFault.FindStringSubmatch(text); found != nil {
		if address, ok := recipient(m, found[1]); ok {
			return []string{address}
		}
	}
	return nil
}

// recipient returns an address as m spells it, and whether it is one of m's.
func recipient(m *mailer.Message, address string) (string, bool) {
	for _, list := range [...][]mailer.Address{m.To, m.Cc, m.Bcc} {
		for _, a := range list {
			if strings.EqualFold(a.Address, address) {
				return a.Address, true
			}
		}
	}
	return address, false
}

// rejections returns a Rejection for each inactive address, spelled as in m, and
// how many of m's recipients they are.
func rejections(m *mailer.Message, inactive []string) (rs []mailer.Rejection, n int) {
	for _, address := range inactive {
		address, known := recipient(m, address)
		if known {
			n++
		}
		rs = append(rs, mailer.Rejection{Address: address, Err: &mailer.Error{
			Provider: provider, Kind: mailer.KindRecipient, NotSent: true, Status: http.StatusOK,
			Message: "inactive at Postmark",
		}})
	}
	return rs, n
}
