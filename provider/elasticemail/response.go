package elasticemail

import (
	"cmp"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/internal/httpapi"
)

// answer is what Elastic Email says, yes or no.
type answer struct {
	transaction string
	message     string // MessageID, which only a message to one recipient is sure to have
	data        []byte // of the API v2
	success     bool   // says the API v2
	failed      bool   // it has an error
	words       string
	err         error // why this is not a whole answer
}

// parse reads an answer, if it is one. Names are taken in any case, since the two
// versions of the API differ in it.
func parse(resp *httpapi.Response) (a answer) {
	ok := adapter.Members(resp.Body, func(name, value []byte) {
		switch {
		case is(name, "TransactionID"):
			a.transaction = adapter.Text(value)
		case is(name, "MessageID"):
			a.message = adapter.Text(value)
		case is(name, "Error"):
			if s := string(value); s != "null" && s != `""` {
				a.failed = true
				a.words = cmp.Or(adapter.Text(value), s)
			}
		case is(name, "success"):
			a.success = string(value) == "true"
			a.failed = a.failed || !a.success
		case is(name, "data"):
			a.data = value
		}
	})
	switch {
	case resp.Err != nil:
		a.err = resp.Err
	case !ok:
		a.err = errors.New("the answer is not a JSON object")
	}
	return a
}

// is says whether a member has that name.
func is(name []byte, want string) bool {
	return len(name) == len(want) && strings.EqualFold(string(name), want)
}

// id is what names the message: the TransactionID, which stands in every event. A
// message to several recipients may have no MessageID, or more than one.
func (a *answer) id() string { return cmp.Or(a.transaction, a.message) }

// receipt reads the answer to r. A status of 200 alone says nothing.
func (p *Provider) receipt(r *request, a *answer, resp *httpapi.Response) (mailer.Receipt, error) {
	if resp.Status != http.StatusOK || a.err != nil || a.failed || a.id() == "" {
		e := p.refusal(a, resp)
		if e.Kind == mailer.KindRecipient {
			e.Recipients = named(&r.message, a.words)
		}
		return mailer.Receipt{}, e
	}
	return mailer.Receipt{
		ID:        r.message.ID,
		Provider:  provider,
		MessageID: a.id(),
		Dropped:   r.dropped,
	}, nil
}

// named returns the recipients of m whose addresses stand in a text.
func named(m *mailer.Message, text string) (addresses []string) {
	for _, list := range [...][]mailer.Address{m.To, m.Cc, m.Bcc} {
		for _, to := range list {
			if adapter.Names(text, to.Address) {
				addresses = append(addresses, to.Address)
			}
		}
	}
	return addresses
}

// refusal makes the error of an answer that is not a yes.
func (p *Provider) refusal(a *answer, resp *httpapi.Response) *mailer.Error {
	kind, told := classify(a, resp.Status)
	if !told && resp.Status == http.StatusOK && resp.Err != nil {
		kind = mailer.KindNetwork
	}
	e := p.api.Error(resp, kind, "", cmp.Or(a.words, string(resp.Body)))
	if told {
		e.NotSent = true
	}
	if a.id() != "" || told && a.err != nil {
		e.NotSent = false // it contradicts itself, or is not understood
	}
	if resp.Status == http.StatusOK {
		e.Err = a.err
	}
	return e
}

// classify tells the kind of an answer that is not a yes. told: its words decided, not
// its status. Elastic Email has no codes, and answers 400 to a bad message and to a bad
// key alike.
// Source: Elastic Email's skills, authentication.md (read 2026-11), which name 400, and
// elsewhere 401 and 403, for a key.
func classify(a *answer, status int) (kind mailer.Kind, told bool) {
	switch {
	case status == http.StatusOK, status == http.StatusBadRequest, status == http.StatusUnprocessableEntity:
		kind = byText(a.words)
		if kind == mailer.KindUnknown && status != http.StatusOK {
			return mailer.KindRejected, false
		}
		return kind, kind != mailer.KindUnknown
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return mailer.KindUnauthorized, false
	case status == http.StatusRequestEntityTooLarge:
		return mailer.KindTooLarge, false
	case status == http.StatusTooManyRequests:
		return mailer.KindRateLimited, false
	case status == http.StatusRequestTimeout, status >= 500:
		return mailer.KindUnavailable, false
	}
	return mailer.KindUnknown, false
}

// quoted is what a text may repeat of a message: what stands in quotes, and addresses.
// It must not be taken for words about the account.
var quoted = regexp.MustCompile(`"[^"]*"|\S*@\S*`)

// texts are the kinds of Elastic Email's words, in lower case: one of each list has to
// stand in a text. The first line that fits decides.
// Source: texts in Elastic Email's skills and in issues of its libraries, which attest
// the first two lines (read 2026-11). The others are not documented.
var texts = []struct {
	kind mailer.Kind
	all  [][]string
}{
	{mailer.KindUnauthorized, [][]string{{"apikey", "api key"}}},
	{mailer.KindUnauthorized, [][]string{{"access denied"}}},
	{mailer.KindUnauthorized, [][]string{{"account"}, {"disabled", "suspended", "blocked", "not active", "under review"}}},
	{mailer.KindTooLarge, [][]string{{"too large"}}},
	{mailer.KindTooLarge, [][]string{{"size"}, {"exceed", "limit"}}},
	{mailer.KindQuota, [][]string{{"credit", "not enough"}}},
	{mailer.KindQuota, [][]string{{"limit"}, {"daily", "reached", "exceed"}}},
	{mailer.KindSender, [][]string{{"domain", "from", "sender"}, {"verif", "not allowed", "not registered"}}},
	{mailer.KindRecipient, [][]string{{"recipient"}, {"invalid", "blocked", "suppress"}}},
	{mailer.KindContent, [][]string{{"content", "spam"}}},
}

// byText tells the kind of a reason in words.
func byText(text string) mailer.Kind {
	text = quoted.ReplaceAllString(strings.ToLower(text), " ")
	has := func(word string) bool { return strings.Contains(text, word) }
	for _, t := range texts {
		if !slices.ContainsFunc(t.all, func(any []string) bool { return !slices.ContainsFunc(any, has) }) {
			return t.kind
		}
	}
	return mailer.KindUnknown
}
