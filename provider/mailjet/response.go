package mailjet

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/mailjet/mailjet-apiv3-go/v4"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/internal/httpapi"
)

// codes are the kinds of Mailjet's ErrorCode. mj-0013 is further told apart by what
// it is about, and mj-0001 and mj-0015 by their text.
// Source: https://dev.mailjet.com/email/guides/send-api-v31/, "Send API errors"
// (read 2026-11).
var codes = map[string]mailer.Kind{
	"mj-0001":   mailer.KindUnauthorized, // key suspended
	"mj-0002":   mailer.KindRejected,     // JSON syntax
	"mj-0003":   mailer.KindRejected,     // property missing
	"mj-0004":   mailer.KindRejected,     // property of the wrong type
	"mj-0005":   mailer.KindRejected,     // value not allowed
	"mj-0006":   mailer.KindRejected,     // too long
	"mj-0007":   mailer.KindRejected,     // empty array
	"mj-0008":   mailer.KindRejected,     // too many elements
	"mj-0011":   mailer.KindTooLarge,     // payload over the limit
	"mj-0012":   mailer.KindRejected,     // empty string
	"mj-0013":   mailer.KindRejected,     // malformed address
	"mj-0015":   mailer.KindUnauthorized, // wrong keys
	"send-0003": mailer.KindRejected,     // no body and no template
	"send-0004": mailer.KindRejected,     // HTML and a template
	"send-0006": mailer.KindSender,       // the key may not use Sender
	"send-0007": mailer.KindSender,       // sender not validated
	"send-0008": mailer.KindSender,       // From not authorized
	"send-0010": mailer.KindRejected,     // another account's template
	"send-0011": mailer.KindRejected,     // forbidden header
	"send-0012": mailer.KindRejected,     // DeduplicateCampaign without CustomCampaign
	"send-0013": mailer.KindRejected,     // unknown MonitoringCategory
	"send-0015": mailer.KindRejected,     // too many recipients
	"send-0016": mailer.KindRejected,     // TemplateLanguage missing
}

var (
	aboutRecipient = regexp.MustCompile(`(?i)(^|\.)(To|Cc|Bcc)(\[|\.|$)`)
	oneRecipient   = regexp.MustCompile(`(?i)^(To|Cc|Bcc)\[(\d+)\]`)
	aboutSender    = regexp.MustCompile(`(?i)\bsender`)
	// What Mailjet says when the daily limit of a key is reached is documented
	// nowhere, only that the key is then in quarantine.
	aboutQuota = regexp.MustCompile(`(?i)\bquota|quarantine|\blimits?\b`)
)

// fault is an error as Mailjet describes it, of a message or of the whole call.
type fault = mailjet.APIErrorDetailsV31

// answer is what Mailjet says. entries is empty if there is no result for any
// message; then fault says why, if it is not zero.
type answer struct {
	entries []entry
	fault   fault
}

// entry is the result of one message. Its parts stand as in the answer, since
// mailjet-apiv3-go's ResultV31 has neither Errors nor an id in quotes.
type entry struct{ status, customID, to, cc, bcc, errors adapter.Value }

// parse reads an answer, its entries into room. What is none is a zero answer.
func parse(resp *httpapi.Response, room []entry) answer {
	if resp.Err != nil {
		return answer{} // half an answer is none
	}
	a := answer{entries: room}
	adapter.Members(resp.Body, func(name []byte, value adapter.Value) {
		if string(name) == "Messages" {
			value.Elements(func(value adapter.Value) { a.entries = append(a.entries, parseEntry(value)) })
		}
	})
	if len(a.entries) > 0 {
		return a
	}
	var f fault
	_ = json.Unmarshal(resp.Body, &f) // what is of the wrong type stays zero
	f.ErrorMessage = cmp.Or(f.ErrorMessage, string(resp.Body))
	return answer{fault: f}
}

func parseEntry(text adapter.Value) (e entry) {
	text.Members(func(name []byte, value adapter.Value) {
		switch string(name) {
		case "Status":
			e.status = value
		case "CustomID":
			e.customID = value
		case "To":
			e.to = value
		case "Cc":
			e.cc = value
		case "Bcc":
			e.bcc = value
		case "Errors":
			e.errors = value
		}
	})
	return e
}

// read sets the results of a call's messages from the answer.
func (p *Provider) read(rs []*request, resp *httpapi.Response) {
	a := parse(resp, rs[0].entries[:0])
	if fit(a.entries, rs) {
		for i, r := range rs {
			r.result = p.result(r, &a.entries[i], resp)
		}
		return
	}
	for _, r := range rs {
		r.result = mailer.Result{Err: p.refusal(&a, len(rs), resp)}
	}
}

// fit says whether the answer has one entry for each message of the call, in their
// order. An error's entry does not say whose it is, so one that is out of place
// spoils all.
func fit(entries []entry, rs []*request) bool {
	if len(entries) != len(rs) {
		return false
	}
	for i := range entries {
		e := &entries[i]
		switch {
		case e.customID != nil && !is(e.customID, ""):
			if !is(e.customID, rs[i].message.ID) {
				return false
			}
		case len(rs) > 1 && e.accepted() && !e.names(&rs[i].message):
			return false
		}
	}
	return true
}

// is says whether a JSON value is the string s.
func is(value []byte, s string) bool {
	return len(value) == len(s)+2 && value[0] == '"' && string(value[1:len(value)-1]) == s || adapter.Text(value) == s
}

// accepted says whether Mailjet took the message.
func (e *entry) accepted() bool { return is(e.status, "success") && !e.refused() }

// refused says whether the entry has errors.
func (e *entry) refused() bool {
	s := string(e.errors)
	return s != "" && s != "null" && s != "[]"
}

// recipients calls f with each address in the entry and its id, "" if it has none.
func (e *entry) recipients(f func(address, id []byte)) {
	for _, list := range [...]adapter.Value{e.to, e.cc, e.bcc} {
		list.Elements(func(value adapter.Value) {
			var address, id []byte
			value.Members(func(name []byte, value adapter.Value) {
				switch string(name) {
				case "Email":
					address = value
				case "MessageID":
					id = digits(value)
				}
			})
			f(address, id)
		})
	}
}

// digits returns the digits of an id, which is a number or a number in quotes, and
// nothing for 0 and for what is no id. Ids are above 2^53, so they stay as they are.
func digits(value []byte) []byte {
	if len(value) > 2 && value[0] == '"' {
		value = value[1 : len(value)-1]
	}
	for _, c := range value {
		if c < '0' || '9' < c {
			return nil
		}
	}
	if string(value) == "0" {
		return nil
	}
	return value
}

// names says whether all whom the entry names are recipients of m, and whether it
// names anybody.
func (e *entry) names(m *mailer.Message) bool {
	some, all := false, true
	e.recipients(func(address, _ []byte) {
		_, ok := spelled(m, address)
		some, all = true, all && ok
	})
	return some && all
}

// spelled returns an address of the answer as it is spelled in m, if it is there.
func spelled(m *mailer.Message, address []byte) (string, bool) {
	for _, list := range [...][]mailer.Address{m.To, m.Cc, m.Bcc} {
		for _, a := range list {
			if is(address, a.Address) {
				return a.Address, true
			}
		}
	}
	text := adapter.Text(address)
	for _, list := range [...][]mailer.Address{m.To, m.Cc, m.Bcc} {
		for _, a := range list {
			if strings.EqualFold(text, a.Address) {
				return a.Address, true
			}
		}
	}
	return text, false
}

// result reads the entry of one message.
func (p *Provider) result(r *request, e *entry, resp *httpapi.Response) mailer.Result {
	if !e.accepted() {
		return mailer.Result{Err: p.entryError(r, e, resp)}
	}
	receipt := mailer.Receipt{ID: r.message.ID, Provider: provider, Dropped: r.dropped}
	e.recipients(func(address, id []byte) {
		if len(id) == 0 {
			return // the sandbox gives none
		}
		name, _ := spelled(&r.message, address)
		if receipt.MessageIDs == nil {
			receipt.MessageIDs = map[string]string{}
		}
		receipt.MessageIDs[name] = string(id)
		if receipt.MessageID == "" {
			receipt.MessageID = receipt.MessageIDs[name]
		}
	})
	receipt.MessageID = cmp.Or(receipt.MessageID, r.message.ID)
	return mailer.Result{Receipt: receipt}
}

// entryError makes the error of one message. A documented code in an entry of its
// own is a refusal of this message, so nobody has it, whatever became of the others
// and whatever the status of the answer is.
func (p *Provider) entryError(r *request, e *entry, resp *httpapi.Response) *mailer.Error {
	var faults []fault
	_ = json.Unmarshal(e.errors, &faults) // what is of the wrong type stays zero
	kind, main, listed := mailer.KindUnknown, fault{}, false
	if len(faults) > 0 {
		kind, main, listed = classify(faults, 0)
	}
	err := p.error(resp, kind, faults, main)
	err.NotSent = (listed || isRefusal(main.StatusCode)) && !is(e.status, "success")
	if kind == mailer.KindRecipient {
		err.Recipients = malformed(&r.message, faults)
	}
	if len(faults) == 0 {
		err.Err = errors.New("the answer's entry for the message is neither a success nor an error")
	}
	return err
}

// malformed returns the addresses in m that the faults call malformed.
func malformed(m *mailer.Message, faults []fault) (all []string) {
	for _, f := range faults {
		for _, about := range f.ErrorRelatedTo {
			at := oneRecipient.FindStringSubmatch(about)
			if at == nil || f.ErrorCode != "mj-0013" {
				continue
			}
			list := map[string][]mailer.Address{"to": m.To, "cc": m.Cc, "bcc": m.Bcc}[strings.ToLower(at[1])]
			if i, err := strconv.Atoi(at[2]); err == nil && i < len(list) {
				all = append(all, list[i].Address)
			}
		}
	}
	return all
}

// refusal makes the error of a call whose answer has no results, or not one for
// each message. n is how many messages it had.
func (p *Provider) refusal(a *answer, n int, resp *httpapi.Response) *mailer.Error {
	status := 0 // that of the body decides
	if resp.Status >= 400 {
		status = resp.Status
	}
	kind, main, listed := classify([]fault{a.fault}, status)
	if kind == mailer.KindRecipient && n > 1 {
		kind = mailer.KindRejected // of one message, and the others shall have their chance elsewhere
	}
	success := resp.Status == http.StatusOK || resp.Status == http.StatusCreated
	if success && resp.Err != nil {
		kind = mailer.KindNetwork
	}
	err := p.error(resp, kind, []fault{main}, main)
	switch {
	case len(a.entries) > 0:
		err.NotSent, err.Err = false, errors.New("the answer does not have one result for each message, in their order")
		if kind != mailer.KindUnavailable {
			err.Kind = mailer.KindUnknown
		}
	case success && main.ErrorCode != "":
		err.NotSent = listed || isRefusal(main.StatusCode) // a code at the root says that nothing was done
	case success && resp.Err == nil:
		err.Err = errors.New("the answer is not of the documented form")
	case n > 1 && main.ErrorCode == "" && main.StatusCode == 0 && !wholly[resp.Status]:
		err.NotSent = false // such a status can come with results, and these are lost
	}
	return err
}

// wholly are the statuses that speak of a whole call. Others may come although some
// of its messages were taken.
// Source: https://github.com/mailjet/mailjet-apiv3-nodejs/issues/271 (read 2026-11).
var wholly = map[int]bool{
	http.StatusUnauthorized:          true,
	http.StatusNotFound:              true,
	http.StatusMethodNotAllowed:      true,
	http.StatusRequestEntityTooLarge: true,
	http.StatusUnsupportedMediaType:  true,
	http.StatusTooManyRequests:       true,
}

// classify tells the kind of the faults by the first whose code is listed, and
// otherwise by the status of the answer, or 0, or of the first fault. It returns
// the fault that decided.
func classify(faults []fault, status int) (_ mailer.Kind, main fault, listed bool) {
	main = faults[0]
	kind := byStatus(cmp.Or(status, main.StatusCode), main.ErrorMessage)
	for _, f := range faults {
		if k, ok := codes[f.ErrorCode]; ok {
			kind, main, listed = k, f, true
			break
		}
	}
	switch {
	case main.ErrorCode == "mj-0013" && aboutRecipient.MatchString(strings.Join(main.ErrorRelatedTo, " ")):
		kind = mailer.KindRecipient
	case kind == mailer.KindUnauthorized && aboutQuota.MatchString(main.ErrorMessage):
		kind = mailer.KindQuota
	}
	return kind, main, listed
}

// byStatus tells the kind where there is no listed code.
// Source: https://dev.mailjet.com/email/reference/overview/errors/ (read 2026-11).
func byStatus(status int, text string) mailer.Kind {
	switch {
	case status == http.StatusForbidden && aboutSender.MatchString(text):
		return mailer.KindSender
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return mailer.KindUnauthorized
	case status == http.StatusRequestTimeout, status >= 500:
		return mailer.KindUnavailable
	case status == http.StatusRequestEntityTooLarge:
		return mailer.KindTooLarge
	case status == http.StatusTooManyRequests:
		return mailer.KindRateLimited
	case status >= 400:
		return mailer.KindRejected
	}
	return mailer.KindUnknown
}

// isRefusal says whether a StatusCode in the answer's body means that nothing was
// sent.
func isRefusal(status int) bool {
	return status >= 400 && status < 500 && status != http.StatusRequestTimeout && status != http.StatusConflict
}

// error makes an error in the words of the faults, or of the answer as it came.
func (p *Provider) error(resp *httpapi.Response, kind mailer.Kind, faults []fault, main fault) *mailer.Error {
	var words []string
	for _, f := range faults {
		switch about := strings.Join(f.ErrorRelatedTo, ", "); {
		case about != "":
			words = append(words, f.ErrorMessage+" ("+about+")")
		case f.ErrorMessage != "":
			words = append(words, f.ErrorMessage)
		}
	}
	if words == nil {
		words = []string{string(resp.Body)}
	}
	err := p.api.Error(resp, kind, main.ErrorCode, strings.Join(words, "; "))
	// The id is made fit for a log as a code is.
	err.RequestID = p.api.Error(resp, kind, cmp.Or(main.ErrorIdentifier, resp.Header.Get("X-Mj-Request-Guid")), "").Code
	return err
}
