// Package envelope makes a message ready for a service: what every adapter does
// first, in one place.
package envelope

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"

	"github.com/seed355143d4/mailer"
)

// maxAddress is the longest address, in octets: RFC 5321, section 4.5.3.1.3,
// without the brackets.
const maxAddress = 254

// Prepare returns m as an adapter may hand it over:
//
//   - It has passed [mailer.Message.Validate].
//   - It has an ID: its own, or a new one.
//   - Every domain in it is ASCII in lower case where it was not ASCII before
//     (IDNA2008: RFC 5891, section 4), also those in From, ReplyTo and
//     Unsubscribe.Mailto. Labels that came as "xn--" are checked too.
//   - Every local part is ASCII, unless utf8Local says that the service can carry
//     others (RFC 6531).
//   - Nobody stands twice in To, Cc and Bcc: the first one stays, in that order.
//     Letters that differ only in case, needless quotes and the two spellings of
//     a domain make no difference.
//
// Any error is a [*mailer.Error] with NotSent true and Field set: KindInvalid
// from Validate and for a domain that has no ASCII form, KindUnsupported for a
// local part that the service cannot carry. No message comes with an error.
//
// Prepare changes nothing reachable from m. What it returns shares everything
// with m that did not have to change, so it is not to be changed either. It may
// be called from many goroutines at once.
func Prepare(m mailer.Message, utf8Local bool) (mailer.Message, error) {
	if err := m.Validate(); err != nil {
		return mailer.Message{}, err
	}
	if m.ID == "" {
		m.ID = mailer.NewID()
	}
	var err *mailer.Error
	if m.From.Address, err = convert(m.From.Address, utf8Local); err != nil {
		return mailer.Message{}, in(err, "From")
	}
	for _, list := range [...]struct {
		field string
		as    *[]mailer.Address
	}{{"To", &m.To}, {"Cc", &m.Cc}, {"Bcc", &m.Bcc}, {"ReplyTo", &m.ReplyTo}} {
		copied := false
		for i, a := range *list.as {
			ascii, err := convert(a.Address, utf8Local)
			if err != nil {
				return mailer.Message{}, in(err, list.field+"["+strconv.Itoa(i)+"]")
			}
			if ascii == a.Address {
				continue
			}
			if !copied {
				*list.as, copied = slices.Clone(*list.as), true
			}
			(*list.as)[i].Address = ascii
		}
	}
	if m.Unsubscribe.Mailto != "" {
		if m.Unsubscribe.Mailto, err = convert(m.Unsubscribe.Mailto, utf8Local); err != nil {
			return mailer.Message{}, in(err, "Unsubscribe.Mailto")
		}
	}
	dropRepeated(&m.To, &m.Cc, &m.Bcc)
	return m, nil
}

func in(err *mailer.Error, field string) error {
	err.Field = field
	return err
}

// convert returns a valid address with its domain in ASCII.
func convert(a string, utf8Local bool) (string, *mailer.Error) {
	at := strings.IndexByte(a, '@')
	local, domain := a[:at], a[at+1:]
	if !utf8Local && !isASCII(local) {
		return "", &mailer.Error{Kind: mailer.KindUnsupported, NotSent: true, Message: "the local part has characters outside ASCII"}
	}
	ascii, err := asciiDomain(domain)
	if err != nil || len(local)+1+len(ascii) > maxAddress {
		return "", &mailer.Error{Kind: mailer.KindInvalid, NotSent: true, Message: "the domain has no valid form in ASCII (IDNA2008)"}
	}
	if ascii == domain {
		return a, nil
	}
	return local + "@" + ascii, nil
}

// asciiDomain returns a domain in ASCII: as it is, or in lower case if it was not
// ASCII before or has punycode.
func asciiDomain(domain string) (string, error) {
	if isASCII(domain) && !hasPunycode(domain) {
		return domain, nil
	}
	ascii, err := idna.Registration.ToASCII(norm.NFC.String(lower(domain)))
	if err == nil && !isASCII(ascii) {
		err = errNotASCII
	}
	return ascii, err
}

var errNotASCII = errors.New("not ASCII")

// hasPunycode reports whether an ASCII domain may have a label of IDNA.
func hasPunycode(domain string) bool {
	for i := 0; i+4 <= len(domain); i++ {
		if (i == 0 || domain[i-1] == '.') && strings.EqualFold(domain[i:i+4], "xn--") {
			return true
		}
	}
	return false
}

// lower is strings.ToLower but for the letters which lower case would turn into
// another letter, such as U+212A, the sign for kelvin, into "k".
func lower(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	return strings.Map(func(r rune) rune {
		if l := unicode.ToLower(r); unicode.ToUpper(l) == r {
			return l
		}
		return r
	}, s)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// fewRecipients is up to how many recipients comparing each with each is quicker
// than a map.
const fewRecipients = 8

// dropRepeated drops the later ones of addresses that stand twice in the lists.
// A list that loses one is copied.
func dropRepeated(lists ...*[]mailer.Address) {
	n := 0
	for _, list := range lists {
		n += len(*list)
	}
	if n < 2 {
		return
	}
	var array [fewRecipients]string
	seen := array[:0]
	var index map[string]struct{}
	if n > fewRecipients {
		index = make(map[string]struct{}, n)
	}
	repeated := func(a mailer.Address) bool {
		if index != nil {
			key := mailbox(a.Address)
			if _, ok := index[key]; ok {
				return true
			}
			index[key] = struct{}{}
			return false
		}
		for _, s := range seen {
			if sameMailbox(s, a.Address) {
				return true
			}
		}
		seen = append(seen, a.Address)
		return false
	}
	for _, list := range lists {
		kept, copied := *list, false
		for i, a := range *list {
			switch drop := repeated(a); {
			case drop && !copied:
				kept, copied = slices.Clone((*list)[:i]), true
			case !drop && copied:
				kept = append(kept, a)
			}
		}
		*list = kept
	}
}

// mailbox is what equals in two valid addresses of the same mailbox. Quotes mean
// nothing there, since what they hold has no spaces and no backslashes.
func mailbox(a string) string {
	if a[0] == '"' {
		local, domain, _ := strings.Cut(a[1:], `"@`)
		a = local + "@" + domain
	}
	return lower(a)
}

// Mailbox returns what is equal in two addresses of the same mailbox: no needless
// quotes, the domain in ASCII and in lower case. The local part stays as it is, but
// for "postmaster" (RFC 5321, section 4.5.1); with foldLocal it is in lower case as
// well, as [Prepare] compares it. ok is false for what is no address: an empty part,
// a domain that has no form in ASCII, a space, a control character, brackets.
func Mailbox(a string, foldLocal bool) (key string, ok bool) {
	if isMailbox(a, foldLocal) {
		return a, true
	}
	const specials = `<>()[]\,;:"`
	at := strings.LastIndexByte(a, '@')
	if at < 1 || at == len(a)-1 || !utf8.ValidString(a) || strings.ContainsFunc(a, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }) {
		return "", false
	}
	local := a[:at]
	if a[0] == '"' {
		if at < 3 || a[at-1] != '"' {
			return "", false
		}
		local = a[1 : at-1]
	}
	if strings.ContainsAny(local, specials) || strings.ContainsAny(a[at+1:], specials) {
		return "", false
	}
	domain, err := asciiDomain(a[at+1:])
	if err != nil || at+1+len(domain) > maxAddress {
		return "", false
	}
	domain = lower(domain)
	if foldLocal || len(local) == len(postmaster) && lower(local) == postmaster {
		local = lower(local)
	}
	if local == a[:at] && domain == a[at+1:] {
		return a, true
	}
	return local + "@" + domain, true
}

const postmaster = "postmaster"

// isMailbox reports whether an address is what Mailbox makes of it, as most are. It
// may say no where that is so.
func isMailbox(a string, foldLocal bool) bool {
	at, upper := 0, false
	for i := range len(a) {
		switch c := a[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '.', c == '-', c == '_', c == '+':
		case 'A' <= c && c <= 'Z' && at == 0 && !foldLocal:
			upper = true
		case c == '@' && at == 0:
			at = i
		default:
			return false
		}
	}
	return at > 0 && at < len(a)-1 && len(a) <= maxAddress && !(upper && at == len(postmaster)) && !hasPunycode(a[at+1:])
}

func sameMailbox(a, b string) bool {
	if a == b {
		return true
	}
	if a[0] != '"' && b[0] != '"' && isASCII(a) && isASCII(b) {
		return strings.EqualFold(a, b)
	}
	return mailbox(a) == mailbox(b)
}

// Format writes a valid address as RFC 5322 does, for services that take a
// mailbox as one string: the display name as it is, in UTF-8, in quotes where it
// has anything but words of plain letters and digits; then the address in angle
// brackets. Without a name it is the address alone.
func Format(a mailer.Address) string {
	if a.Name == "" {
		return a.Address
	}
	var b strings.Builder
	b.Grow(len(a.Name) + len(a.Address) + len(`"" <>`))
	if isPhrase(a.Name) {
		b.WriteString(a.Name)
	} else {
		b.WriteByte('"')
		for i := range len(a.Name) {
			if c := a.Name[i]; c == '"' || c == '\\' {
				b.WriteByte('\\')
			}
			b.WriteByte(a.Name[i])
		}
		b.WriteByte('"')
	}
	b.WriteString(" <")
	b.WriteString(a.Address)
	b.WriteByte('>')
	return b.String()
}

// isPhrase reports whether a name needs no quotes: words with one space between.
func isPhrase(name string) bool {
	space := true
	for _, r := range name {
		if r == ' ' {
			if space {
				return false
			}
			space = true
			continue
		}
		space = false
		if !unicode.In(r, unicode.L, unicode.M, unicode.Nd) && r != '-' && r != '\'' {
			return false
		}
	}
	return !space
}
