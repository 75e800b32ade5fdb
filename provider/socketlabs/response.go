package socketlabs

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/internal/httpapi"
)

// answer is what SocketLabs says, yes or no. A code stands for the whole call, for
// one of its messages, or for one recipient of a message.
type answer struct {
	code    string
	receipt string    // TransactionReceipt, which the support asks for
	results []*result // of each message; nil: the answer does not name it
	err     error     // why this is not a whole answer
}

// result is what an answer says of a message.
type result struct {
	code    string
	refused []addressResult
}

type addressResult struct{ address, code string }

// The codes that say yes: to everything, and to all that is not named as refused.
const (
	success = "success"
	warning = "warning"
)

// codes are the kinds of SocketLabs' ErrorCode, in lower case, since its libraries
// do not agree on it. They stand for the whole call, for a message or for a
// recipient, and some in two of these places.
// Source: socketlabs-go, sendresult.go; socketlabs-csharp, SendResult.cs; and the
// reference of the Injection API from before 2018 (read 2026-11).
var codes = map[string]mailer.Kind{
	"accountdisabled":       mailer.KindUnauthorized,
	"invalidauthentication": mailer.KindUnauthorized, // ServerId or ApiKey
	"toomanyerrors":         mailer.KindRateLimited,  // of authentication
	"overquota":             mailer.KindQuota,
	"internalerror":         mailer.KindUnavailable,
	"timeout":               mailer.KindUnavailable, // within SocketLabs
	"unknownerror":          mailer.KindUnknown,
	"invaliddata":           mailer.KindRejected, // malformed request
	"nomessages":            mailer.KindRejected,
	"toomanymessages":       mailer.KindRejected,
	"toomanyrecipients":     mailer.KindRejected,
	"novalidrecipients":     mailer.KindRecipient,
	"invalidaddress":        mailer.KindRecipient,
	"emptytoaddress":        mailer.KindRejected,
	"emptysubject":          mailer.KindRejected,
	"emptymessage":          mailer.KindRejected,
	"novalidbodyparts":      mailer.KindRejected,
	"messagebodyconflict":   mailer.KindRejected, // bodies beside a template
	"messagetoolarge":       mailer.KindTooLarge,
	"invalidattachment":     mailer.KindRejected,
	"invalidfrom":           mailer.KindSender, // well-formed it is
	"invalidfromaddress":    mailer.KindSender,
	"invalidtemplateid":     mailer.KindRejected,
	"templatehasnocontent":  mailer.KindRejected,
	"invalidmergedata":      mailer.KindRejected,

	"metadataortagsaretoolarge": mailer.KindRejected,

	// Those of the libraries' own checks. No server is known to send them.
	"authenticationvalidationfailed": mailer.KindUnauthorized,
	"recipientvalidationmaxexceeded": mailer.KindRejected,
}

// families are the beginnings of further codes, as in codes.
var families = []struct {
	prefix string
	kind   mailer.Kind
}{
	{"recipientvalidation", mailer.KindRecipient},
	{"emailaddressvalidation", mailer.KindRejected},
	{"messagevalidation", mailer.KindRejected},
}

// classify tells the kind of a code, and whether it is a listed one.
func classify(code string) (mailer.Kind, bool) {
	code = strings.ToLower(code)
	if kind, listed := codes[code]; listed {
		return kind, true
	}
	for _, f := range families {
		if strings.HasPrefix(code, f.prefix) {
			return f.kind, true
		}
	}
	return mailer.KindUnknown, false
}

// byStatus tells the kind of an answer without a listed code. SocketLabs documents
// 401, 408 and 500 only.
func byStatus(status int) mailer.Kind {
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return mailer.KindUnauthorized
	case status == http.StatusRequestEntityTooLarge:
		return mailer.KindTooLarge
	case status == http.StatusTooManyRequests:
		return mailer.KindRateLimited
	case status == http.StatusRequestTimeout, status >= 500:
		return mailer.KindUnavailable
	case status >= 400:
		return mailer.KindRejected
	}
	return mailer.KindUnknown
}

// parse reads the answer to a call with n messages, if it is one.
func parse(resp *httpapi.Response, n int) (a answer) {
	var results []byte
	ok := adapter.Members(resp.Body, func(name, value []byte) {
		switch {
		case is(name, "ErrorCode"):
			a.code = adapter.Text(value)
		case is(name, "TransactionReceipt"):
			a.receipt = adapter.Text(value)
		case is(name, "MessageResults"):
			results = value
		}
	})
	switch {
	case resp.Err != nil:
		a.err = resp.Err
	case !ok:
		a.err = errors.New("the answer is not a JSON object")
	case a.code == "":
		a.err = errors.New("the answer has no ErrorCode")
	case len(results) == 0 || string(results) == "null":
	default:
		a.err = a.read(results, n)
	}
	if a.err == nil && strings.EqualFold(a.code, warning) && !slices.ContainsFunc(a.results, func(r *result) bool { return r != nil }) {
		a.err = errors.New("the answer warns, and does not say of what")
	}
	return a
}

// read reads the results of the messages that an answer names, out of n.
func (a *answer) read(text []byte, n int) (err error) {
	a.results = make([]*result, n)
	ok := adapter.Elements(text, func(value []byte) {
		r, index := new(result), ""
		adapter.Members(value, func(name, value []byte) {
			switch {
			case is(name, "Index"):
				index = string(value)
			case is(name, "ErrorCode"):
				r.code = adapter.Text(value)
			case is(name, "AddressResults"), is(name, "AddressResult"):
				if !r.read(value) {
					err = errors.New("the answer's AddressResults are malformed")
				}
			}
		})
		at, wrong := strconv.Atoi(index)
		if wrong != nil || at < 0 || at >= n || a.results[at] != nil {
			err = errors.New("the answer's MessageResults do not fit the messages")
			return
		}
		a.results[at] = r
	})
	if !ok {
		err = errors.New("the answer's MessageResults are not a list")
	}
	return err
}

// read reads the recipients that an answer names. Those that it calls accepted are
// left out.
func (r *result) read(text []byte) bool {
	if string(text) == "null" {
		return true
	}
	whole := true
	ok := adapter.Elements(text, func(value []byte) {
		var a addressResult
		accepted := false
		whole = adapter.Members(value, func(name, value []byte) {
			switch {
			case is(name, "EmailAddress"):
				a.address = adapter.Text(value)
			case is(name, "ErrorCode"):
				a.code = adapter.Text(value)
			case is(name, "Accepted"):
				accepted = string(value) == "true"
			}
		}) && whole
		if !accepted {
			r.refused = append(r.refused, a)
		}
	})
	return ok && whole
}

// is says whether a member has that name. In requests the case makes no difference.
func is(name []byte, want string) bool {
	return len(name) == len(want) && strings.EqualFold(string(name), want)
}

// receipt reads what the answer says of r, which is message i of its call.
func (p *Provider) receipt(r *request, a *answer, i int, resp *httpapi.Response) (mailer.Receipt, error) {
	taken := resp.Status == http.StatusOK && a.err == nil && yes(a.code)
	own := result{code: a.code} // of a message that is not named
	if a.err == nil && i < len(a.results) && a.results[i] != nil {
		own = *a.results[i]
	}
	rejected, none := p.rejections(r, a, own.refused, resp)
	if taken && yes(own.code) && !none {
		return mailer.Receipt{
			ID:        r.message.ID,
			Provider:  provider,
			MessageID: r.message.ID,
			Rejected:  rejected,
			Dropped:   r.dropped,
		}, nil
	}

	code := a.code
	if taken {
		code = own.code
	}
	kind, listed := classify(code)
	switch {
	case taken && yes(own.code): // and yet nobody is left
		code, kind, listed = own.refused[0].code, mailer.KindRecipient, true
	case listed:
	case resp.Status == http.StatusOK && resp.Err != nil:
		kind = mailer.KindNetwork
	default:
		kind = byStatus(resp.Status)
	}
	e := p.refusal(a, resp, kind, code, own.refused)
	if kind == mailer.KindRecipient {
		for _, x := range rejected {
			if mailer.KindOf(x.Err) == kind {
				e.Recipients = append(e.Recipients, x.Address)
			}
		}
	}
	switch {
	case strings.EqualFold(a.code, success), yes(a.code) && !taken:
		e.NotSent = false // it contradicts itself
	case listed:
		e.NotSent = kind != mailer.KindUnavailable && kind != mailer.KindUnknown
	}
	return mailer.Receipt{}, e
}

// yes says whether a code is one of acceptance.
func yes(code string) bool {
	return strings.EqualFold(code, success) || strings.EqualFold(code, warning)
}

// refusal makes the error of an answer. SocketLabs has no words beside its codes but
// the addresses that it refuses.
func (p *Provider) refusal(a *answer, resp *httpapi.Response, kind mailer.Kind, code string, refused []addressResult) *mailer.Error {
	var words []string
	for _, x := range refused {
		words = append(words, x.address+" ("+x.code+")")
	}
	message := strings.Join(words, ", ")
	if a.code == "" {
		message = string(resp.Body)
	}
	e := p.api.Error(resp, kind, code, message)
	if resp.Status == http.StatusOK {
		e.Err = a.err
	}
	if a.receipt != "" {
		e.RequestID = p.api.Error(resp, kind, a.receipt, "").Code // made fit for a log as a code is
	}
	return e
}

// rejections returns a Rejection for each recipient that was refused, spelled as in
// the message, and whether nobody is left.
func (p *Provider) rejections(r *request, a *answer, refused []addressResult, resp *httpapi.Response) (rs []mailer.Rejection, none bool) {
	if len(refused) == 0 {
		return nil, false
	}
	all := slices.Concat(r.message.To, r.message.Cc, r.message.Bcc)
	left := len(all)
	for _, x := range refused {
		at := slices.IndexFunc(all, func(to mailer.Address) bool { return strings.EqualFold(to.Address, x.address) })
		if at < 0 && len(all) == 1 {
			at = 0 // it can be nobody else, however SocketLabs writes it
		}
		if at >= 0 {
			x.address = all[at].Address
		}
		if slices.ContainsFunc(rs, func(r mailer.Rejection) bool { return r.Address == x.address }) {
			continue
		}
		if at >= 0 {
			left--
		}
		kind, listed := classify(x.code)
		if !listed {
			kind = mailer.KindRecipient
		}
		e := p.refusal(a, resp, kind, x.code, nil)
		e.NotSent, e.Message = true, "refused by SocketLabs"
		rs = append(rs, mailer.Rejection{Address: x.address, Err: e})
	}
	return rs, left == 0
}
