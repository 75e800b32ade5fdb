package smtp

import (
	"encoding/base64"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/seed355143d4/mailer"
)

// phase is how far a dialogue had come.
type phase uint8

const (
	greeting phase = 1 << iota // the greeting, EHLO, STARTTLS
	auth
	mail
	rcpt
	data // DATA, and the answer to the final dot

	always = greeting | auth | mail | rcpt | data
)

// rule says what a refusal means. Every field that is set has to fit.
type rule struct {
	in       phase
	class    int    // the first digit of the code
	codes    []int  // one of them
	enhanced string // the status code: "5.7.8", its beginning: "5.1.", or either class: "x.3.4"
	words    string // part of the text, in lower case
	kind     mailer.Kind
}

// rules are read from above; the first that fits decides. Words come first: the
// relays put into words what the codes do not tell. Sources (read 2026-11):
// RFC 5321 §4.2, RFC 3463, RFC 4954 §6; the relays' pages that docs/services/smtp.md
// lists.
var rules = []rule{
	// Credits and throttling, whatever the code.
	{in: always, words: "maximum credits exceeded", kind: mailer.KindQuota},     // SendGrid, 451
	{in: always, words: "daily message quota exceeded", kind: mailer.KindQuota}, // SES, 454
	{in: always, class: 4, words: "throttling failure", kind: mailer.KindRateLimited},
	{in: always, class: 4, words: "maximum sending rate", kind: mailer.KindRateLimited},
	{in: always, class: 4, words: "rate limit", kind: mailer.KindRateLimited},
	{in: always, class: 4, words: "too many concurrent", kind: mailer.KindRateLimited},
	{in: always, class: 4, words: "too many connections", kind: mailer.KindRateLimited},
	{in: always, class: 4, words: "too many messages", kind: mailer.KindRateLimited},
	{in: always, enhanced: "4.4.5", kind: mailer.KindRateLimited}, // SocketLabs, 421

	// The account.
	{in: always, codes: []int{530, 534, 535, 538}, kind: mailer.KindUnauthorized},
	{in: auth, class: 5, kind: mailer.KindUnauthorized},
	{in: auth, class: 4, kind: mailer.KindUnavailable},
	{in: always, enhanced: "5.7.8", kind: mailer.KindUnauthorized},
	{in: always, enhanced: "5.7.13", kind: mailer.KindUnauthorized},
	{in: always, enhanced: "5.7.14", kind: mailer.KindUnauthorized},
	{in: always, class: 5, words: "unauthenticated senders", kind: mailer.KindUnauthorized}, // SendGrid, 550
	{in: always, class: 5, words: "authentication required", kind: mailer.KindUnauthorized},
	{in: always, class: 5, words: "relay access denied", kind: mailer.KindUnauthorized}, // SMTP2GO, Postfix
	{in: always, class: 5, words: "relay not permitted", kind: mailer.KindUnauthorized}, // Exim
	{in: always, class: 5, words: "relaying denied", kind: mailer.KindUnauthorized},     // Sendmail
	{in: always, class: 5, words: "not authorized to perform", kind: mailer.KindUnauthorized},
	{in: always, words: "not authorized to send from", kind: mailer.KindSender}, // SendGrid, 403
	{in: always, class: 5, words: "not verified", kind: mailer.KindSender},      // SES, SMTP2GO
	{in: always, class: 5, words: "sender address rejected", kind: mailer.KindSender},

	// Size and number.
	{in: always, enhanced: "x.3.4", kind: mailer.KindTooLarge},
	{in: always, enhanced: "x.5.3", kind: mailer.KindTooLarge}, // too many recipients
	{in: always, words: "too many recipients", kind: mailer.KindTooLarge},
	{in: always, enhanced: "5.2.3", kind: mailer.KindTooLarge},
	{in: mail | data, codes: []int{552}, kind: mailer.KindTooLarge},

	// Who writes.
	{in: always, enhanced: "5.1.7", kind: mailer.KindSender},
	{in: always, enhanced: "5.1.8", kind: mailer.KindSender},
	{in: mail, enhanced: "5.1.", kind: mailer.KindSender},
	{in: mail, enhanced: "5.7.", kind: mailer.KindSender},
	{in: mail, codes: []int{501, 550, 551, 553, 554}, kind: mailer.KindSender},

	// Who is written to.
	{in: rcpt | data, enhanced: "5.1.", kind: mailer.KindRecipient},
	{in: rcpt | data, enhanced: "5.2.", kind: mailer.KindRecipient},
	// Who may write to whom is a rule of the service; the mailbox may be fine.
	{in: rcpt, enhanced: "5.7.", kind: mailer.KindRejected},
	{in: rcpt, codes: []int{501, 550, 551, 552, 553, 556}, kind: mailer.KindRecipient},

	// What is written.
	{in: data, enhanced: "5.6.", kind: mailer.KindRejected},
	{in: data, enhanced: "5.7.", kind: mailer.KindContent},
	{in: data, codes: []int{550, 554}, kind: mailer.KindContent},

	// The rest.
	{in: always, codes: []int{454}, kind: mailer.KindUnavailable},
	{in: mail | rcpt | data, enhanced: "4.7.", kind: mailer.KindRateLimited},
	{in: always, class: 4, kind: mailer.KindUnavailable},
	{in: greeting, class: 5, kind: mailer.KindUnavailable},
	{in: always, class: 5, kind: mailer.KindRejected},
}

func (r *rule) fits(p phase, a reply, text string) bool {
	if r.in&p == 0 || r.class != 0 && r.class != a.code/100 {
		return false
	}
	if r.codes != nil && !slices.Contains(r.codes, a.code) {
		return false
	}
	if r.words != "" && !strings.Contains(text, r.words) {
		return false
	}
	if r.enhanced == "" {
		return true
	}
	want, got := r.enhanced, a.enhanced
	if rest, ok := strings.CutPrefix(want, "x"); ok && got != "" {
		want, got = rest, got[1:]
	}
	return got == want || strings.HasSuffix(want, ".") && strings.HasPrefix(got, want)
}

// classify says whose fault a refusal is.
func classify(p phase, a reply) mailer.Kind { return ruleFor(p, a).kind }

func ruleFor(p phase, a reply) *rule {
	text := strings.ToLower(a.text)
	for i := range rules {
		if rules[i].fits(p, a, text) {
			return &rules[i]
		}
	}
	return &otherwise
}

// otherwise is for an answer that neither accepts nor refuses.
var otherwise = rule{kind: mailer.KindUnavailable}

// refused is the error for an answer that refuses. Whatever it refused, the mail
// was not taken.
func (s *session) refused(p phase, a reply) *mailer.Error {
	return &mailer.Error{
		Provider: provider, Kind: classify(p, a), NotSent: true,
		Status: a.code, Code: a.enhanced, Message: s.clean(a.text),
	}
}

const maxWords = 512 // bytes of a server's words in an error

// clean makes a server's words fit for an error: one line, no control characters,
// bounded, and without the password should the server repeat it.
func (s *session) clean(text string) string {
	if s.password != "" {
		for _, secret := range []string{
			base64.StdEncoding.EncodeToString([]byte("\x00" + s.username + "\x00" + s.password)),
			base64.StdEncoding.EncodeToString([]byte(s.password)),
			s.password,
		} {
			text = strings.ReplaceAll(text, secret, "[redacted]")
		}
	}
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return ' '
		case r == utf8.RuneError, unicode.IsControl(r), r == 0x2028, r == 0x2029:
			return '?'
		}
		return r
	}, text)
	if len(text) > maxWords {
		text = strings.ToValidUTF8(text[:maxWords], "") + "…"
	}
	return text
}
