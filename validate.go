package mailer

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The limits of [Message.Validate], in octets where they are lengths. They are
// wider than those of the services, which are each adapter's own; what they keep
// out is input of a hostile size.
const (
	maxID           = 64
	maxLocal        = 64  // RFC 5321, section 4.5.3.1.1
	maxAddress      = 254 // RFC 5321, section 4.5.3.1.3, without the brackets
	maxLabel        = 63  // RFC 1035, section 2.3.4
	maxDisplayName  = 320
	maxRecipients   = 10_000 // To, Cc and Bcc together
	maxReplyTo      = 100
	maxSubject      = 2000
	maxAttachments  = 1000
	maxFileName     = 255
	maxContentType  = 255
	maxContentID    = 250
	maxHeaders      = 100
	maxHeaderName   = 76
	maxHeaderLine   = 998 // RFC 5322, section 2.1.1
	maxURL          = 900
	maxTags         = 100
	maxTag          = 255
	maxMetadata     = 100
	maxMetadataKey  = 255
	maxMetadataText = 2000
	maxTemplateID   = 255
	maxExtras       = 100
	maxQuotedKey    = 64 // how much of a map's key an error repeats
)

// Validate checks the message against the rules that hold whatever the service.
// Every adapter calls it before any traffic. It makes no I/O, reads no clock and
// changes nothing.
//
// The error is an [*Error] of [KindInvalid] with NotSent true. Its Field names
// one fault, always the same one for the same message: the first in the order of
// the list below, and of several bad entries of a map the one with the smallest
// key. Its text never repeats a value, and of a
// map's key at most 64 octets, quoted.
//
// A message that passes adds no recipient and no header beyond those which it
// lists: no value can end a line, a quotation or an address. Lengths are in
// octets of UTF-8, and are checked before the content.
//
// In every field but Text and HTML, text is valid UTF-8 without control
// characters (C0, DEL, C1; so no line break, no NUL) and without the separators
// U+2028 and U+2029. The fields:
//
//   - ID: empty, or 1 to 64 characters of [A-Za-z0-9_-].
//   - From: required. An address, as below.
//   - To, Cc, Bcc: at least one address, at most 10,000 in all. An address may
//     stand twice.
//   - ReplyTo: at most 100 addresses.
//   - Subject: at most 2000. It may be empty.
//   - Text, HTML: valid UTF-8 without NUL, of any length. One of the two is
//     needed unless Template.ID is set.
//   - Attachments: at most 1000. Name is required: at most 255, no "/" and no
//     "\", not "." or "..", and none of the characters that reorder text (U+202A
//     to U+202E, U+2066 to U+2069), which disguise a file's type. ContentType is
//     empty, or type "/" subtype with parameters as RFC 2045 writes them, at most
//     255, ASCII; not multipart, no parameter twice, none named "name" or
//     "boundary" (the mail system writes those) or with a "*", and no backslash or quote inside
//     a quoted value. ContentID: at most 250, printable ASCII without space and
//     without any of <>()",;:\[].
//   - Headers: at most 100. A name is at most 76 characters of
//     [A-Za-z0-9!#$%&'*+-.^_`|~]; two names that differ only in case are refused,
//     and so are the names that belong to the other fields or to the mail system:
//     From, Sender, Reply-To, To, Cc, Bcc, Subject, Date, Message-ID,
//     MIME-Version, Received, Received-SPF, Return-Path, DKIM-Signature,
//     DomainKey-Signature, Authentication-Results, List-Unsubscribe,
//     List-Unsubscribe-Post, Apparently-To, Delivered-To, Envelope-To,
//     X-Envelope-To, X-Original-To, X-Sender, X-Receiver, and all that begin with
//     Content-, Resent- or ARC-. A value may be empty and may hold tabs; name,
//     colon, space and value together are at most 998.
//   - Unsubscribe: URL is an absolute https URL with a host and without a user, at
//     most 900, printable ASCII without any of <>",;\^{|} and the grave accent.
//     Mailto is an address, with none of the characters "%/?#^{|} and the grave
//     accent in it, so that it can stand in a mailto URL as it is.
//   - Tags: at most 100, each 1 to 255.
//   - Metadata: at most 100. A key is 1 to 255 and not "mailer_id" in any case; a
//     value is at most 2000.
//   - Track: no value beyond [Off].
//   - Template: ID is at most 255, and does not go with Text or HTML. Data does not
//     go without an ID. What Data holds is not looked at.
//   - SendAt: zero, or a time in the years 1970 to 9999.
//   - Extras: at most 100. None is nil or a nil pointer, and each names a provider
//     that no other one names.
//
// An address is an addr-spec of at most 254, with one "@". Its local part is at
// most 64: either atoms joined by single dots, or a quoted string of characters
// that an atom may have and dots, such as "a..b". An atom has the ASCII letters,
// digits and !#$%&'*+-/=?^_`{|}~, and letters, marks, numbers and symbols beyond
// ASCII. Refused are a hyphen in front (a program's option), "=?" (an encoded
// word), every other character (so all spaces, format characters and zero width
// joiners), U+FFFD, and characters which compatibility normalization turns into
// something refused, such as U+FF1E or U+2474, or into "=". The domain is labels joined by
// single dots: letters, digits, hyphens inside, and the letters, marks and
// numbers beyond ASCII under the same exception; a label in ASCII is at most 63.
// One label is enough. Addresses in square brackets, underscores and a dot at the
// end are refused. A display name is at most 320 and has none of the characters
// that reorder text.
func (m Message) Validate() error {
	if m.ID != "" && !validID(m.ID) {
		return invalid("ID", "must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -")
	}
	if m.From == (Address{}) {
		return invalid("From", "is required")
	}
	if fault := mailboxFault(m.From); fault != "" {
		return invalid("From", fault)
	}
	if len(m.To)+len(m.Cc)+len(m.Bcc) == 0 {
		return invalid("To", "one recipient in To, Cc or Bcc is required")
	}
	room, tooMany := maxRecipients, "more than 10000 recipients in all"
	for i, list := range [...]struct {
		field string
		as    []Address
	}{{"To", m.To}, {"Cc", m.Cc}, {"Bcc", m.Bcc}, {"ReplyTo", m.ReplyTo}} {
		if i == 3 {
			room, tooMany = maxReplyTo, "more than 100"
		}
		if room -= len(list.as); room < 0 {
			return invalid(list.field, tooMany)
		}
		for i, a := range list.as {
			if fault := mailboxFault(a); fault != "" {
				return invalid(element(list.field, i), fault)
			}
		}
	}
	if fault := lineFault(m.Subject, maxSubject, 0); fault != "" {
		return invalid("Subject", fault)
	}
	if fault := bodyFault(m.Text); fault != "" {
		return invalid("Text", fault)
	}
	if fault := bodyFault(m.HTML); fault != "" {
		return invalid("HTML", fault)
	}
	if m.Text == "" && m.HTML == "" && m.Template.ID == "" {
		return invalid("Text", "a text, an HTML body or a template is required")
	}
	if err := validateAttachments(m.Attachments); err != nil {
		return err
	}
	if len(m.Headers) > 0 {
		if err := validateHeaders(m.Headers); err != nil {
			return err
		}
	}
	if m.Unsubscribe.URL != "" {
		if fault := urlFault(m.Unsubscribe.URL); fault != "" {
			return invalid("Unsubscribe.URL", fault)
		}
	}
	if m.Unsubscribe.Mailto != "" {
		if fault := mailtoFault(m.Unsubscribe.Mailto); fault != "" {
			return invalid("Unsubscribe.Mailto", fault)
		}
	}
	if len(m.Tags) > maxTags {
		return invalid("Tags", "more than 100")
	}
	for i, tag := range m.Tags {
		if tag == "" {
			return invalid(element("Tags", i), "is empty")
		}
		if fault := lineFault(tag, maxTag, 0); fault != "" {
			return invalid(element("Tags", i), fault)
		}
	}
	if len(m.Metadata) > 0 {
		if err := validateMetadata(m.Metadata); err != nil {
			return err
		}
	}
	if m.Track.Opens > Off {
		return invalid("Track.Opens", "is not Default, On or Off")
	}
	if m.Track.Clicks > Off {
		return invalid("Track.Clicks", "is not Default, On or Off")
	}
	if m.Template.ID != "" {
		if fault := lineFault(m.Template.ID, maxTemplateID, 0); fault != "" {
			return invalid("Template.ID", fault)
		}
		if m.Text != "" || m.HTML != "" {
			return invalid("Template.ID", "does not go together with Text or HTML")
		}
	} else if len(m.Template.Data) > 0 {
		return invalid("Template.Data", "needs a Template.ID")
	}
	if !m.SendAt.IsZero() && !validTime(m.SendAt) {
		return invalid("SendAt", "is not in the years 1970 to 9999")
	}
	return validateExtras(m.Extras)
}

func invalid(field, message string) error {
	return &Error{Kind: KindInvalid, NotSent: true, Field: field, Message: message}
}

// element names an element of a list: "To[2]".
func element(list string, i int) string { return list + "[" + strconv.Itoa(i) + "]" }

// entry names an entry of a map: `Headers["X-A"]`.
func entry(name, key string) string {
	if len(key) > maxQuotedKey {
		key = strings.ToValidUTF8(key[:maxQuotedKey], "\uFFFD") + "…"
	}
	return name + "[" + strconv.Quote(key) + "]"
}

// sortedKeys appends the keys of m to keys and sorts them. It compares no more of
// a key than max and one octet: longer keys are refused, with the same error for
// all that agree so far.
func sortedKeys(keys []string, m map[string]string, max int) []string {
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int {
		return strings.Compare(a[:min(len(a), max+1)], b[:min(len(b), max+1)])
	})
	return keys
}

func validID(id string) bool {
	if len(id) > maxID {
		return false
	}
	for i := range len(id) {
		if c := id[i]; !isAlnum(c) && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

func validTime(t time.Time) bool {
	y := t.UTC().Year()
	return y >= 1970 && y <= 9999
}

func validateAttachments(as []Attachment) error {
	if len(as) > maxAttachments {
		return invalid("Attachments", "more than 1000")
	}
	for i := range as {
		a := &as[i]
		var field, fault string
		if fault = fileNameFault(a.Name); fault != "" {
			field = ".Name"
		} else if fault = contentTypeFault(a.ContentType); fault != "" {
			field = ".ContentType"
		} else if fault = contentIDFault(a.ContentID); fault != "" {
			field = ".ContentID"
		}
		if fault != "" {
			return invalid(element("Attachments", i)+field, fault)
		}
	}
	return nil
}

func validateHeaders(headers map[string]string) error {
	if len(headers) > maxHeaders {
		return invalid("Headers", "more than 100")
	}
	var array [maxHeaders]string
	names := sortedKeys(array[:0], headers, maxHeaderName)
	for i, name := range names {
		fault := headerNameFault(name)
		if fault == "" {
			value := headers[name]
			fault = lineFault(value, maxHeaderLine-len(": ")-len(name), allowTab)
		}
		if fault == "" {
			for _, earlier := range names[:i] {
				if len(earlier) == len(name) && strings.EqualFold(earlier, name) {
					fault = "stands twice, in different case"
					break
				}
			}
		}
		if fault != "" {
			return invalid(entry("Headers", name), fault)
		}
	}
	return nil
}

func validateMetadata(metadata map[string]string) error {
	if len(metadata) > maxMetadata {
		return invalid("Metadata", "more than 100")
	}
	var array [maxMetadata]string
	for _, key := range sortedKeys(array[:0], metadata, maxMetadataKey) {
		fault := ""
		switch {
		case key == "":
			fault = "the key is empty"
		case strings.EqualFold(key, "mailer_id"):
			fault = "the key is reserved for the message's ID"
		default:
			if fault = lineFault(key, maxMetadataKey, 0); fault != "" {
				fault = "the key " + fault
			} else {
				fault = lineFault(metadata[key], maxMetadataText, 0)
			}
		}
		if fault != "" {
			return invalid(entry("Metadata", key), fault)
		}
	}
	return nil
}

func validateExtras(extras []Extra) error {
	if len(extras) > maxExtras {
		return invalid("Extras", "more than 100")
	}
	for i, x := range extras {
		if x == nil {
			return invalid(element("Extras", i), "is nil")
		}
		// A method with a value receiver panics on a nil pointer.
		if v := reflect.ValueOf(x); v.Kind() == reflect.Pointer && v.IsNil() {
			return invalid(element("Extras", i), "is a nil pointer")
		}
		name := x.ForProvider()
		if name == "" {
			return invalid(element("Extras", i), "names no provider")
		}
		for _, earlier := range extras[:i] {
			if earlier.ForProvider() == name {
				return invalid(element("Extras", i), "is the second one for its provider")
			}
		}
	}
	return nil
}

// What a line may have or lack besides the common rule.
type lineRule uint8

const (
	allowTab lineRule = 1 << iota
	noReordering
)

// lineFault says what is wrong with a text of one line. Empty: nothing.
func lineFault(s string, max int, rule lineRule) string {
	if len(s) > max {
		return tooLong(max)
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= utf8.RuneSelf:
			return wideLineFault(s, rule)
		case c < ' ' && (c != '\t' || rule&allowTab == 0), c == 0x7f:
			return holds(rune(c))
		}
	}
	return ""
}

// wideLineFault is lineFault for a text that is not all ASCII.
func wideLineFault(s string, rule lineRule) string {
	if !utf8.ValidString(s) {
		return notUTF8
	}
	for _, r := range s {
		switch {
		case r == '\t' && rule&allowTab != 0:
		case r < ' ', r >= 0x7f && r <= 0x9f, r == 0x2028, r == 0x2029:
			return holds(r)
		case rule&noReordering != 0 && (r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069):
			return holds(r)
		}
	}
	return ""
}

const notUTF8 = "is not valid UTF-8"

func tooLong(max int) string { return "is longer than " + strconv.Itoa(max) + " octets" }

func holds(r rune) string { return fmt.Sprintf("must not hold %U", r) }

func bodyFault(s string) string {
	if strings.IndexByte(s, 0) >= 0 {
		return holds(0)
	}
	if !utf8.ValidString(s) {
		return notUTF8
	}
	return ""
}

func mailboxFault(a Address) string {
	if fault := addressFault(a.Address); fault != "" {
		return "the address " + fault
	}
	if fault := lineFault(a.Name, maxDisplayName, noReordering); fault != "" {
		return "the display name " + fault
	}
	return ""
}

func addressFault(a string) string {
	if a == "" {
		return "is empty"
	}
	if len(a) > maxAddress {
		return tooLong(maxAddress)
	}
	at := strings.IndexByte(a, '@')
	if at < 0 {
		return "has no @"
	}
	local, domain := a[:at], a[at+1:]
	if len(local) > maxLocal {
		return "has a local part longer than 64 octets"
	}
	if fault := localFault(local); fault != "" {
		return fault
	}
	return domainFault(domain)
}

func localFault(local string) string {
	quoted := len(local) >= 2 && local[0] == '"' && local[len(local)-1] == '"'
	if quoted {
		local = local[1 : len(local)-1]
	}
	if local == "" {
		return "has an empty local part"
	}
	if local[0] == '-' {
		return "must not begin with a hyphen"
	}
	if strings.Contains(local, "=?") {
		return "must not hold an encoded word"
	}
	if !quoted && (local[0] == '.' || local[len(local)-1] == '.' || strings.Contains(local, "..")) {
		return "has a dot in the wrong place in its local part"
	}
	for _, r := range local {
		if r < utf8.RuneSelf {
			if r != '.' && !isAtext(byte(r)) {
				return holds(r)
			}
		} else if r == utf8.RuneError || !unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.S) || unicode.Is(unstable, r) {
			return holds(r)
		}
	}
	return ""
}

func domainFault(domain string) string {
	for more := true; more; {
		var label string
		label, domain, more = strings.Cut(domain, ".")
		if label == "" {
			return "has an empty label in its domain"
		}
		if label[0] == '-' || label[len(label)-1] == '-' {
			return "has a hyphen at the edge of a domain label"
		}
		ascii := true
		for _, r := range label {
			if r < utf8.RuneSelf {
				if !isAlnum(byte(r)) && r != '-' {
					return holds(r)
				}
			} else {
				// U+FFFD, which invalid UTF-8 is read as, is none of these.
				if !unicode.In(r, unicode.L, unicode.M, unicode.N) || unicode.Is(unstable, r) {
					return holds(r)
				}
				ascii = false
			}
		}
		if ascii && len(label) > maxLabel {
			return "has a domain label longer than 63 octets"
		}
	}
	return ""
}

// mailtoUnsafe are the characters of an atom that mean something else in a
// mailto URL, or may not stand in one. Source: RFC 6068, section 2.
const mailtoUnsafe = "\"%/?#^`{|}"

func mailtoFault(a string) string {
	if fault := addressFault(a); fault != "" {
		return fault
	}
	if i := strings.IndexAny(a, mailtoUnsafe); i >= 0 {
		return holds(rune(a[i]))
	}
	return ""
}

func urlFault(s string) string {
	if len(s) > maxURL {
		return tooLong(maxURL)
	}
	for _, r := range s {
		if r <= ' ' || r >= 0x7f || strings.ContainsRune("<>\",;\\^`{|}", r) {
			return holds(r)
		}
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		return "is not an absolute https URL with a host"
	}
	return ""
}

func fileNameFault(name string) string {
	switch {
	case name == "":
		return "is required"
	case name == ".", name == "..":
		return "is a folder"
	}
	if fault := lineFault(name, maxFileName, noReordering); fault != "" {
		return fault
	}
	if i := strings.IndexAny(name, `/\`); i >= 0 {
		return holds(rune(name[i]))
	}
	return ""
}

func contentIDFault(id string) string {
	if len(id) > maxContentID {
		return tooLong(maxContentID)
	}
	for _, r := range id {
		if r <= ' ' || r >= 0x7f || strings.ContainsRune(`<>()",;:\[]`, r) {
			return holds(r)
		}
	}
	return ""
}

// contentTypeFault reads the grammar of RFC 2045, section 5.1, without comments,
// and with quoted strings that escape nothing.
func contentTypeFault(s string) string {
	const malformed = "is not a MIME type with parameters"
	if s == "" {
		return ""
	}
	if len(s) > maxContentType {
		return tooLong(maxContentType)
	}
	if fault := lineFault(s, maxContentType, 0); fault != "" {
		return fault
	}
	main, rest := cutToken(s)
	if main == "" || !strings.HasPrefix(rest, "/") {
		return malformed
	}
	if strings.EqualFold(main, "multipart") {
		return "must not be multipart"
	}
	sub, rest := cutToken(rest[1:])
	if sub == "" {
		return malformed
	}
	params := rest
	for rest != "" {
		before := len(params) - len(rest)
		var ok bool
		if rest, ok = strings.CutPrefix(strings.TrimLeft(rest, " "), ";"); !ok {
			return malformed
		}
		var name string
		name, rest = cutToken(strings.TrimLeft(rest, " "))
		if name == "" || strings.Contains(name, "*") || !strings.HasPrefix(rest, "=") {
			return malformed
		}
		rest = rest[1:]
		if strings.HasPrefix(rest, `"`) {
			end := strings.IndexByte(rest[1:], '"')
			if end < 0 || strings.ContainsFunc(rest[1:end+1], func(r rune) bool {
				return r < ' ' || r >= 0x7f || r == '\\'
			}) {
				return malformed
			}
			rest = rest[end+2:]
		} else {
			var value string
			if value, rest = cutToken(rest); value == "" {
				return malformed
			}
		}
		if strings.EqualFold(name, "name") || strings.EqualFold(name, "boundary") {
			return "must not have the parameter " + strings.ToLower(name)
		}
		if hasParam(params[:before], name) {
			return "has a parameter twice"
		}
	}
	return ""
}

// hasParam reports whether well-formed parameters have one of this name.
func hasParam(params, name string) bool {
	for params != "" {
		key, rest := cutToken(strings.TrimLeft(params, " ;"))
		if strings.EqualFold(key, name) {
			return true
		}
		rest = rest[len("="):]
		if strings.HasPrefix(rest, `"`) {
			params = rest[strings.IndexByte(rest[1:], '"')+2:]
		} else {
			_, params = cutToken(rest)
		}
	}
	return false
}

func headerNameFault(name string) string {
	if name == "" {
		return "the name is empty"
	}
	if len(name) > maxHeaderName {
		return "the name " + tooLong(maxHeaderName)
	}
	if token, rest := cutToken(name); token != name {
		if r, _ := utf8.DecodeRuneInString(rest); r != utf8.RuneError {
			return "the name " + holds(r)
		}
		return "the name " + notUTF8
	}
	for _, prefix := range [...]string{"Content-", "Resent-", "ARC-"} {
		if len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) {
			return "the name is reserved"
		}
	}
	for _, reserved := range reservedHeaders {
		if len(name) == len(reserved) && strings.EqualFold(name, reserved) {
			return "the name is reserved"
		}
	}
	return ""
}

// reservedHeaders belong to other fields of Message or to the mail system, or
// name recipients to some mail program.
var reservedHeaders = [...]string{
	"From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Subject",
	"Date", "Message-ID", "MIME-Version", "Received", "Received-SPF", "Return-Path",
	"DKIM-Signature", "DomainKey-Signature", "Authentication-Results",
	"List-Unsubscribe", "List-Unsubscribe-Post",
	"Apparently-To", "Delivered-To", "Envelope-To", "X-Envelope-To", "X-Original-To",
	// Read as the envelope from a pick-up folder by Microsoft's servers.
	"X-Sender", "X-Receiver",
}

// cutToken cuts the token of RFC 9110, section 5.6.2, off the front of s. All of
// its characters are among those of RFC 2045 but for { and }, and of RFC 5322.
func cutToken(s string) (token, rest string) {
	i := 0
	for i < len(s) && isAtext(s[i]) && s[i] != '=' && s[i] != '?' && s[i] != '/' && s[i] != '{' && s[i] != '}' || i < len(s) && s[i] == '.' {
		i++
	}
	return s[:i], s[i:]
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// isAtext reports whether c may stand in an atom: RFC 5322, section 3.2.3.
func isAtext(c byte) bool {
	const lo, hi = uint64(1)<<'!' | 1<<'#' | 1<<'$' | 1<<'%' | 1<<'&' | 1<<'\'' | 1<<'*' | 1<<'+' | 1<<'-' | 1<<'/' | 1<<'=' | 1<<'?',
		uint64(1)<<('^'-64) | 1<<('_'-64) | 1<<('`'-64) | 1<<('{'-64) | 1<<('|'-64) | 1<<('}'-64) | 1<<('~'-64)
	return isAlnum(c) || c < 64 && lo>>c&1 != 0 || c >= 64 && c < 128 && hi>>(c-64)&1 != 0
}

// unstable are the letters, marks, numbers and symbols whose compatibility forms
// (NFKC, NFKD) hold "=" or a character that an atom may not have: U+FF1E becomes
// ">", U+2474 becomes "(1)". A program behind us that normalizes would read another
// address. Source: Unicode 15.0, that of Go 1.26; a test recomputes it.
var unstable = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x00a8, Hi: 0x00a8, Stride: 1},
		{Lo: 0x00af, Hi: 0x00af, Stride: 1},
		{Lo: 0x00b4, Hi: 0x00b4, Stride: 1},
		{Lo: 0x00b8, Hi: 0x00b8, Stride: 1},
		{Lo: 0x013f, Hi: 0x0140, Stride: 1},
		{Lo: 0x02d8, Hi: 0x02dd, Stride: 1},
		{Lo: 0x037a, Hi: 0x037a, Stride: 1},
		{Lo: 0x0384, Hi: 0x0385, Stride: 1},
		{Lo: 0x1fbd, Hi: 0x1fbd, Stride: 1},
		{Lo: 0x1fbf, Hi: 0x1fc1, Stride: 1},
		{Lo: 0x1fcd, Hi: 0x1fcf, Stride: 1},
		{Lo: 0x1fdd, Hi: 0x1fdf, Stride: 1},
		{Lo: 0x1fed, Hi: 0x1fee, Stride: 1},
		{Lo: 0x1ffd, Hi: 0x1ffe, Stride: 1},
		{Lo: 0x207c, Hi: 0x207c, Stride: 1},
		{Lo: 0x208c, Hi: 0x208c, Stride: 1},
		{Lo: 0x2260, Hi: 0x2260, Stride: 1},
		{Lo: 0x226e, Hi: 0x226f, Stride: 1},
		{Lo: 0x2474, Hi: 0x24b5, Stride: 1},
		{Lo: 0x2a74, Hi: 0x2a76, Stride: 1},
		{Lo: 0x309b, Hi: 0x309c, Stride: 1},
		{Lo: 0x3200, Hi: 0x3243, Stride: 1},
		{Lo: 0x33c2, Hi: 0x33c2, Stride: 1},
		{Lo: 0x33c7, Hi: 0x33c7, Stride: 1},
		{Lo: 0x33d8, Hi: 0x33d8, Stride: 1},
		{Lo: 0xfc5e, Hi: 0xfc63, Stride: 1},
		{Lo: 0xfdfa, Hi: 0xfdfb, Stride: 1},
		{Lo: 0xfe64, Hi: 0xfe66, Stride: 1},
		{Lo: 0xfe70, Hi: 0xfe7e, Stride: 2},
		{Lo: 0xff1c, Hi: 0xff1e, Stride: 1},
		{Lo: 0xffe3, Hi: 0xffe3, Stride: 1},
	},
	R32: []unicode.Range32{
		{Lo: 0x1f100, Hi: 0x1f10a, Stride: 1},
		{Lo: 0x1f110, Hi: 0x1f12a, Stride: 1},
		{Lo: 0x1f240, Hi: 0x1f248, Stride: 1},
	},
}
