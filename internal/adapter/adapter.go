// Package adapter holds the few things that every package under provider does in
// the same way: the checks of settings and limits, the errors they end in, and
// the printing of a Config without its secret.
package adapter

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/envelope"
	"github.com/seed355143d4/mailer/internal/jsonenc"
)

// Credential checks a token, key or password that goes into a header: not empty,
// no blank, no control character, ASCII only. The error continues a sentence that
// begins with the field's name, and does not show the value.
func Credential(value string) error {
	if value == "" {
		return errors.New("is empty")
	}
	for i := range len(value) {
		if value[i] <= ' ' || value[i] >= 0x7f {
			return errors.New("has a blank, a control character or one outside ASCII")
		}
	}
	return nil
}

// Describe is how a Config prints: its type and where it leads, not its secret.
func Describe(typ, baseURL string) string {
	if u, err := url.Parse(baseURL); err == nil {
		baseURL = u.Redacted()
	} else {
		baseURL = "malformed"
	}
	return typ + "{BaseURL: " + strconv.Quote(baseURL) + "}"
}

// Prepare is [envelope.Prepare] for a provider, which its errors name unless the
// message is wrong for every service.
func Prepare(provider string, m mailer.Message, utf8Local bool) (mailer.Message, error) {
	m, err := envelope.Prepare(m, utf8Local)
	if e, ok := errors.AsType[*mailer.Error](err); ok && e.Kind != mailer.KindInvalid {
		e.Provider = provider
	}
	return m, err
}

// Address checks an address that stands outside of a message's own fields, such as one
// of an Extra, and returns it as [Prepare] does those in a message. Its errors name the
// field.
func Address(provider, field string, a mailer.Address, utf8Local bool) (mailer.Address, error) {
	m, err := Prepare(provider, mailer.Message{ID: "-", From: a, To: []mailer.Address{a}, Text: "-"}, utf8Local)
	if e, ok := errors.AsType[*mailer.Error](err); ok {
		e.Field = field
	}
	return m.From, err
}

// Invalid is the error for a message with something in it that is wrong for every
// service.
func Invalid(field string, err error) error {
	return &mailer.Error{Kind: mailer.KindInvalid, NotSent: true, Field: field, Err: err}
}

// Unsupported is the error for a message that a service has no words for.
func Unsupported(provider, field, message string) error {
	return &mailer.Error{
		Provider: provider, Kind: mailer.KindUnsupported, NotSent: true, Field: field, Message: message,
	}
}

// TooLarge is the error for a message over a service's limit of so many units.
func TooLarge(provider, field string, limit int, unit string) error {
	return &mailer.Error{
		Provider: provider, Kind: mailer.KindTooLarge, NotSent: true, Field: field,
		Message: fmt.Sprintf("over the limit of %d %s", limit, unit),
	}
}

// Recipients refuses a message with more than limit recipients as
// [mailer.KindTooLarge], naming the first that is too many.
func Recipients(provider string, m *mailer.Message, limit int) error {
	n := limit
	for _, l := range [...]struct {
		field string
		list  []mailer.Address
	}{{"To", m.To}, {"Cc", m.Cc}, {"Bcc", m.Bcc}} {
		if n < len(l.list) {
			return TooLarge(provider, l.field+"["+strconv.Itoa(n)+"]", limit, "recipients")
		}
		n -= len(l.list)
	}
	return nil
}

// Size refuses a request of more than limit bytes as [mailer.KindTooLarge].
func Size(provider string, m *mailer.Message, size, limit int) error {
	if size <= limit {
		return nil
	}
	field := "Attachments"
	if len(m.Attachments) == 0 {
		field = "HTML"
	}
	return TooLarge(provider, field, limit, "bytes in all")
}

// MediaType returns a file's type without parameters, for a service that has no place
// for them. The charset may go if it is UTF-8 or ASCII, which is what text without
// the word is taken for. Another charset says how to read the file, and another
// parameter, such as the method of an invitation, what it is: there is an error then.
func MediaType(s string) (string, error) {
	typ, rest, found := strings.Cut(s, ";")
	if !found {
		return cmp.Or(s, "application/octet-stream"), nil
	}
	_, params, err := mime.ParseMediaType("x/x;" + rest)
	if charset := strings.ToLower(params["charset"]); charset == "utf-8" || charset == "us-ascii" {
		delete(params, "charset")
	}
	if err != nil || len(params) > 0 {
		return "", errors.New("the service takes no parameters but a charset of UTF-8")
	}
	return strings.TrimSpace(typ), nil
}

// MediaTypes refuses a message with a file that has no [MediaType] as
// [mailer.KindUnsupported].
func MediaTypes(provider string, m *mailer.Message) error {
	for i, a := range m.Attachments {
		if _, err := MediaType(a.ContentType); err != nil {
			return Unsupported(provider, Index("Attachments", i)+".ContentType", err.Error())
		}
	}
	return nil
}

// SameFile says whether two files are the same, byte for byte.
func SameFile(a, b mailer.Attachment) bool {
	return a.Name == b.Name && a.ContentType == b.ContentType && a.ContentID == b.ContentID && bytes.Equal(a.Content, b.Content)
}

// Headers refuses a message with one of a service's reserved header fields as
// [mailer.KindUnsupported]. Their names are in lower case.
func Headers(provider string, m *mailer.Message, reserved []string) error {
	for _, name := range Keys(m.Headers) {
		if slices.Contains(reserved, strings.ToLower(name)) {
			return Unsupported(provider, Key("Headers", name), "the service sets this header field itself")
		}
	}
	return nil
}

// Setting checks a string of an Extra: valid UTF-8 without control characters.
// It may be empty. Anything else is [mailer.KindInvalid].
func Setting(field, value string) error {
	if !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl) {
		return Invalid(field, errors.New("has a control character or malformed UTF-8"))
	}
	return nil
}

// Body checks a text of an Extra that stands in a mail: as [mailer.Message.Validate]
// does Text and HTML, but it may be empty. Anything else is [mailer.KindInvalid].
func Body(field, value string) error {
	if !utf8.ValidString(value) || strings.IndexByte(value, 0) >= 0 {
		return Invalid(field, errors.New("has a NUL or malformed UTF-8"))
	}
	return nil
}

// Unsubscribe returns the values of the header fields List-Unsubscribe (RFC 2369)
// and List-Unsubscribe-Post (RFC 8058), "" for one that is not to be written.
func Unsubscribe(u mailer.Unsubscribe) (list, post string) {
	if u.URL != "" {
		list, post = "<"+u.URL+">", "List-Unsubscribe=One-Click"
	}
	if u.Mailto != "" {
		if list != "" {
			list += ", "
		}
		list += "<mailto:" + u.Mailto + ">"
	}
	return list, post
}

// Field is a header field.
type Field struct{ Name, Value string }

// Fields appends the header fields of m to fs: those of Unsubscribe, and Headers in
// the order of their names.
func Fields(fs []Field, m *mailer.Message) []Field {
	if list, post := Unsubscribe(m.Unsubscribe); list != "" {
		fs = append(fs, Field{"List-Unsubscribe", list})
		if post != "" {
			fs = append(fs, Field{"List-Unsubscribe-Post", post})
		}
	}
	for _, name := range Keys(m.Headers) {
		fs = append(fs, Field{name, m.Headers[name]})
	}
	return fs
}

// Flat returns a template's data as text in the order of the names, for a service whose
// fields hold no more: numbers and booleans as JSON writes them. A list, an object, null,
// and a name that is empty or has a control character or one of refused, are
// [mailer.KindUnsupported].
func Flat(provider string, data map[string]any, refused string) ([]Field, error) {
	fs := make([]Field, 0, len(data))
	for _, key := range Keys(data) {
		where := Key("Template.Data", key)
		text, err := jsonenc.AppendValue(nil, data[key])
		if err != nil {
			return nil, Invalid("Template.Data", err)
		}
		if s, ok := data[key].(string); !utf8.ValidString(key) || ok && !utf8.ValidString(s) {
			return nil, Invalid(where, errors.New("has malformed UTF-8"))
		}
		value := string(text)
		switch text[0] {
		case '"':
			value = Text(text)
		case '{', '[', 'n':
			return nil, Unsupported(provider, where, "the service takes strings, numbers and booleans")
		}
		if key == "" || strings.ContainsAny(key, refused) || strings.ContainsFunc(key, unicode.IsControl) {
			return nil, Unsupported(provider, where, "not the name of a field of a template at the service")
		}
		fs = append(fs, Field{key, value})
	}
	return fs, nil
}

// Names says whether a text, such as a service's reason, has the address in it.
func Names(text, address string) bool {
	words := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\r\n<>()[],;:\"", r) })
	return slices.ContainsFunc(words, func(w string) bool { return strings.EqualFold(strings.Trim(w, ".'"), address) })
}

// Keys returns the keys of a map in order, so that equal messages make equal
// requests.
func Keys[V any](m map[string]V) []string {
	if len(m) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(m))
}

// Key names an entry of a map as [mailer.Error].Field and [mailer.Receipt].Dropped
// do: `Metadata["plan"]`.
func Key(field, key string) string { return field + "[" + strconv.Quote(key) + "]" }

// Index names an element of a list: "Tags[1]".
func Index(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }
