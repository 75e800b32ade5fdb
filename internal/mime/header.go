package mime

import (
	"encoding/base64"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/seed355143d4/mailer"
)

// lineWidth is where header lines are folded if they can be.
const lineWidth = 76

// header writes everything up to the fields of the body.
func (w *writer) header(m mailer.Message, o Options) {
	w.addresses("From", "From", m.From)
	switch {
	case len(m.To) > 0:
		w.addresses("To", "To", m.To...)
	case len(m.Cc) == 0:
		// Some filters mark a mail down that names nobody.
		w.line("To: undisclosed-recipients:;")
	}
	w.addresses("Cc", "Cc", m.Cc...)
	w.addresses("Reply-To", "ReplyTo", m.ReplyTo...)
	w.unstructured("Subject", "Subject", m.Subject, true)
	w.line("Date: " + o.Date.Format(time.RFC1123Z))

	id := o.MessageID
	if id == "" {
		at := strings.LastIndexByte(m.From.Address, '@')
		id = m.ID + "@" + m.From.Address[at+1:]
	}
	if !printable(id) || strings.ContainsAny(id, "<> ") || len(id) > 900 {
		w.fail("ID", "does not fit a Message-ID")
	}
	w.line("Message-ID: <" + id + ">")
	w.unsubscribe(m.Unsubscribe)

	for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
		w.unstructured(name, `Headers[`+strconv.Quote(name)+`]`, m.Headers[name], false)
	}
	for _, f := range o.Header {
		w.unstructured(f.Name, f.Name, f.Value, false)
	}
	w.line("MIME-Version: 1.0")
}

// unsubscribe writes the fields of RFC 2369 and RFC 8058.
func (w *writer) unsubscribe(u mailer.Unsubscribe) {
	if u == (mailer.Unsubscribe{}) {
		return
	}
	w.str("List-Unsubscribe:")
	if u.URL != "" {
		if !printable(u.URL) || strings.ContainsAny(u.URL, "<> ") || len(u.URL) > 900 {
			w.fail("Unsubscribe.URL", "does not fit a header")
		}
		w.str(" <" + u.URL + ">")
	}
	if u.Mailto != "" {
		mailto, ok := AddrSpec(u.Mailto)
		if !ok {
			w.fail("Unsubscribe.Mailto", "does not fit a mailto URL")
		}
		if u.URL != "" {
			w.str(",")
			w.crlf()
		}
		w.str(" <mailto:" + url.PathEscape(mailto) + ">")
	}
	w.crlf()
	if u.URL != "" {
		w.line("List-Unsubscribe-Post: List-Unsubscribe=One-Click")
	}
}

func (w *writer) line(s string) {
	w.str(s)
	w.crlf()
}

func (w *writer) column() int { return len(w.buf) - w.start }

// addresses writes a list of mailboxes. No addresses, no line.
func (w *writer) addresses(name, field string, list ...mailer.Address) {
	if len(list) == 0 {
		return
	}
	w.str(name + ":")
	for i, a := range list {
		spec, ok := AddrSpec(a.Address)
		if !ok {
			if name != "From" {
				field = index(field, i)
			}
			w.fail(field, "the address does not fit a header")
			return
		}
		if i > 0 {
			w.str(",")
		}
		switch {
		case a.Name == "":
			w.word(spec)
			continue
		case !printable(a.Name) || strings.Contains(a.Name, "=?") || len(a.Name) > 2*lineWidth || a.Name != strings.TrimSpace(a.Name):
			w.encoded(a.Name)
		case strings.ContainsFunc(a.Name, func(r rune) bool { return r != ' ' && !isAtext(byte(r)) }) || strings.Contains(a.Name, "  "):
			w.word(quote(a.Name))
		default:
			w.word(a.Name)
		}
		w.word("<" + spec + ">")
	}
	w.crlf()
}

// word writes a space and s, on a new line if this one is full.
func (w *writer) word(s string) {
	if w.column()+1+len(s) > lineWidth {
		w.crlf()
	}
	w.str(" " + s)
}

// unstructured writes a field of free text. Text in ASCII is written as it is, and
// folded at its own white space, so that it reads back the same. literal says that
// even what looks like an encoded word is meant as it stands.
func (w *writer) unstructured(name, field, s string, literal bool) {
	if !isName(name) {
		w.fail(field, "is not a header's name")
	}
	w.str(name + ":")
	if !fits(s, maxLine-len(name)-len(": "), literal) {
		w.encoded(s)
		w.crlf()
		return
	}
	if s != "" {
		w.str(" ")
	}
	for s != "" {
		// One run of white space with the text behind it.
		i := len(s) - len(strings.TrimLeft(s, " \t"))
		if j := strings.IndexAny(s[i:], " \t"); j >= 0 {
			i += j
		} else {
			i = len(s)
		}
		// Only at a single space: some readers make one of any other.
		if w.column()+i > lineWidth && i > 1 && s[0] == ' ' && s[1] != ' ' && s[1] != '\t' {
			w.crlf()
		}
		w.str(s[:i])
		s = s[i:]
	}
	w.crlf()
}

// fits reports whether s can stand in a header as it is, with no word longer than
// longest.
func fits(s string, longest int, literal bool) bool {
	if strings.Trim(s, " \t") != s || literal && strings.Contains(s, "=?") {
		return false
	}
	run := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == ' ' || c == '\t':
			run = 0
			continue
		case c < ' ' || c >= 0x7f:
			return false
		}
		if run++; run > longest {
			return false
		}
	}
	return true
}

const (
	wordStart = "=?utf-8?"
	wordEnd   = "?="
	wordMax   = 75 // RFC 2047 §2
)

// encoded writes s as encoded words of RFC 2047, in Q or B, whichever is shorter.
// No character is split between two words.
func (w *writer) encoded(s string) {
	odd := 0
	for i := range len(s) {
		if !isPhrase(s[i]) && s[i] != ' ' {
			odd++
		}
	}
	inQ := len(s)+2*odd <= base64.StdEncoding.EncodedLen(len(s))
	for s != "" {
		room := min(wordMax, lineWidth-w.column()-1) - len(wordStart+"q?"+wordEnd)
		if room < 24 && w.column() > 1 {
			w.crlf()
			room = min(wordMax, lineWidth-1) - len(wordStart+"q?"+wordEnd)
		}
		end, size := 0, 0
		for end < len(s) {
			_, n := utf8.DecodeRuneInString(s[end:])
			if inQ {
				for _, c := range []byte(s[end : end+n]) {
					size++
					if !isPhrase(c) && c != ' ' {
						size += 2
					}
				}
			} else {
				size = base64.StdEncoding.EncodedLen(end + n)
			}
			if size > room {
				break
			}
			end += n
		}
		w.str(" " + wordStart)
		if inQ {
			w.str("q?")
			for _, c := range []byte(s[:end]) {
				switch {
				case c == ' ':
					w.buf = append(w.buf, '_')
				case isPhrase(c):
					w.buf = append(w.buf, c)
				default:
					w.buf = append(w.buf, '=', hex[c>>4], hex[c&15])
				}
			}
		} else {
			w.str("b?")
			w.buf = base64.StdEncoding.AppendEncode(w.buf, []byte(s[:end]))
		}
		w.str(wordEnd)
		s = s[end:]
	}
}

const hex = "0123456789ABCDEF"

// isPhrase reports whether c may stand for itself in a Q word anywhere: RFC 2047
// §5 (3).
func isPhrase(c byte) bool {
	return isAlnum(c) || c == '!' || c == '*' || c == '+' || c == '-' || c == '/'
}

// filename writes the parameter that holds a file's name: as a quoted string, or,
// where that does not do, in the form of RFC 2231.
func (w *writer) filename(name string) {
	if printable(name) && len(name) <= 60 && !strings.Contains(name, "=?") {
		w.str(";")
		w.crlf()
		w.str(" filename=" + quote(name))
		return
	}
	const room = 50
	var coded []string // one for each line
	line := ""
	for i := range len(name) {
		c := name[i]
		s := string([]byte{c})
		if !isAlnum(c) && c != '-' && c != '.' && c != '_' {
			s = string([]byte{'%', hex[c>>4], hex[c&15]})
		}
		if len(line)+len(s) > room {
			coded = append(coded, line)
			line = ""
		}
		line += s
	}
	coded = append(coded, line)
	for i, line := range coded {
		w.str(";")
		w.crlf()
		w.str(" filename*")
		if len(coded) > 1 {
			w.str(strconv.Itoa(i) + "*")
		}
		w.str("=")
		if i == 0 {
			w.str("utf-8''")
		}
		w.str(line)
	}
}

// AddrSpec returns an address as it stands in a header and between the brackets of
// an SMTP command, and whether it may stand there: false if anything in it could
// end it, or be read as something else. It takes what Validate takes: a dot-atom,
// or a quoted string of nothing but atom characters and dots.
func AddrSpec(a string) (string, bool) {
	at := strings.IndexByte(a, '@')
	if at < 1 || at == len(a)-1 || len(a) > 254 {
		return "", false
	}
	local, domain := a[:at], a[at+1:]
	if len(local) > 2 && local[0] == '"' && local[len(local)-1] == '"' {
		local = local[1 : len(local)-1]
	}
	for _, c := range []byte(local) {
		if c < utf8.RuneSelf && c != '.' && !isAtext(c) {
			return "", false
		}
	}
	for _, c := range []byte(domain) {
		if c < utf8.RuneSelf && c != '.' && c != '-' && !isAlnum(c) {
			return "", false
		}
	}
	if !utf8.ValidString(a) || local[0] == '-' {
		return "", false
	}
	for _, r := range a {
		if r >= 0x80 && r <= 0x9f || r == 0x2028 || r == 0x2029 {
			return "", false
		}
	}
	return a, true
}

func index(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }

func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// printable reports whether s is all printable ASCII and spaces.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

func isName(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == ':' {
			return false
		}
	}
	return s != "" && len(s) <= lineWidth
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func isAtext(c byte) bool {
	return isAlnum(c) || c > ' ' && c < 0x7f && strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}
