package sendgrid

import (
	"cmp"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/httpapi"
)

// refusal is what SendGrid says with its no. An acceptance has no body. There are
// no codes.
type refusal struct {
	ID     string
	Errors []fault
}

type fault struct{ Message, Field string }

// statuses are the kinds of the statuses. 400, 401 and 403 are further told apart
// by the text.
// Source: https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send-errors
// (read 2026-11).
var statuses = map[int]mailer.Kind{
	http.StatusBadRequest:            mailer.KindRejected,
	http.StatusUnauthorized:          mailer.KindUnauthorized,
	http.StatusForbidden:             mailer.KindUnauthorized,
	http.StatusNotFound:              mailer.KindRejected,
	http.StatusMethodNotAllowed:      mailer.KindRejected,
	http.StatusNotAcceptable:         mailer.KindRejected,
	http.StatusRequestEntityTooLarge: mailer.KindTooLarge,
	http.StatusUnsupportedMediaType:  mailer.KindRejected,
	http.StatusTooManyRequests:       mailer.KindRateLimited,
}

var recipientField = regexp.MustCompile(`^personalizations\.(\d+)\.(to|cc|bcc)\.(\d+)\.email$`)

// receipt reads the answer to r.
func (p *Provider) receipt(r *request, resp *httpapi.Response) (mailer.Receipt, error) {
	// Whatever the body of a yes is, it does not matter. The sandbox's is 200; from
	// the service itself a 200 is none.
	if resp.Status == http.StatusAccepted || resp.Status == http.StatusOK && r.extra.Sandbox {
		return mailer.Receipt{
			ID:        r.message.ID,
			Provider:  provider,
			MessageID: cmp.Or(resp.Header.Get("X-Message-Id"), r.message.ID),
			Dropped:   r.dropped,
		}, nil
	}
	e, faults := p.refusal(resp)
	if e.Kind == mailer.KindRecipient {
		e.Recipients = recipients(&r.message, faults)
	}
	return mailer.Receipt{}, e
}

// refusal makes the error of an answer that is not a yes, and tells what it says.
func (p *Provider) refusal(resp *httpapi.Response) (*mailer.Error, []fault) {
	var no refusal
	_ = resp.JSON(&no) // half an answer leaves it empty
	e := p.api.Error(resp, classify(resp.Status, no.Errors), no.ID, no.text(resp))
	e.RequestID, e.Code = e.Code, "" // the id, made fit for a log as a code is
	if e.Kind == mailer.KindRateLimited && e.RetryAfter == 0 {
		e.RetryAfter = reset(resp)
	}
	return e, no.Errors
}

// classify tells the kind of a refusal. 413, 429 and 5xx speak for themselves.
func classify(status int, faults []fault) mailer.Kind {
	kind, listed := statuses[status]
	switch {
	case status >= 500:
		return mailer.KindUnavailable
	case status == http.StatusBadRequest && aboutRecipients(faults):
		return mailer.KindRecipient
	case status == http.StatusUnauthorized && says(faults, "maximum credits exceeded"):
		return mailer.KindQuota
	case status == http.StatusForbidden && says(faults, "verified sender identity"):
		return mailer.KindSender
	case status == http.StatusForbidden && (says(faults, "temporarily blocked") || says(faults, "temporary block")):
		return mailer.KindRateLimited
	case listed:
		return kind
	case status >= 400 && status != http.StatusRequestTimeout && status != http.StatusConflict:
		return mailer.KindRejected
	}
	return mailer.KindUnknown
}

// says tells whether a message among the faults has the words, in lower case.
func says(faults []fault, words string) bool {
	return slices.ContainsFunc(faults, func(f fault) bool {
		return strings.Contains(strings.ToLower(f.Message), words)
	})
}

// aboutRecipients tells whether malformed recipients are all that is wrong.
func aboutRecipients(faults []fault) bool {
	for _, f := range faults {
		if !recipientField.MatchString(f.Field) || !says([]fault{f}, "does not contain a valid address") {
			return false
		}
	}
	return len(faults) > 0
}

// recipients returns the addresses in m that the faults are about.
func recipients(m *mailer.Message, faults []fault) (all []string) {
	for _, f := range faults {
		at := recipientField.FindStringSubmatch(f.Field)
		if at == nil || at[1] != "0" {
			continue
		}
		list := map[string][]mailer.Address{"to": m.To, "cc": m.Cc, "bcc": m.Bcc}[at[2]]
		if i, err := strconv.Atoi(at[3]); err == nil && i < len(list) {
			all = append(all, list[i].Address)
		}
	}
	return all
}

// text is what SendGrid said, or the answer as it came.
func (no *refusal) text(resp *httpapi.Response) string {
	if len(no.Errors) == 0 {
		return string(resp.Body)
	}
	var b strings.Builder
	for i, f := range no.Errors {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(f.Message)
		if f.Field != "" {
			b.WriteString(" (" + f.Field + ")")
		}
	}
	return b.String()
}

// reset tells how long it is until the rate limit is reset. The documentation has
// unix seconds in one place, and seconds from now in another.
// Source: https://www.twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/rate-limits
// (read 2026-11).
func reset(resp *httpapi.Response) time.Duration {
	n, err := strconv.ParseInt(resp.Header.Get("X-RateLimit-Reset"), 10, 64)
	if err != nil {
		return 0
	}
	if n >= 1e9 {
		now, err := http.ParseTime(resp.Header.Get("Date"))
		if err != nil {
			now = time.Now()
		}
		n -= now.Unix()
	}
	return time.Duration(min(max(n, 0), int64(httpapi.MaxRetryAfter/time.Second))) * time.Second
}
