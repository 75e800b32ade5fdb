package adapter

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/seed355143d4/mailer/webhook"
)

// Time reads a time as services write it: RFC 3339, or the like with a blank for
// the T or before the zone, or without a zone, which is UTC then. The zero time: it
// is none.
func Time(text string) time.Time {
	for _, layout := range [...]string{
		time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04:05 -0700", "2006-01-02 15:04:05Z07:00",
		"2006-01-02 15:04:05", "2006-01-02 15:04:05 -0700",
	} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// Scalar is the text of a JSON string or number, "" for any other value.
func Scalar(value []byte) string {
	if len(value) > 0 && (value[0] == '-' || '0' <= value[0] && value[0] <= '9') {
		return string(value)
	}
	return Text(value)
}

// StringMap is a JSON object with its strings as they are and other values as JSON,
// so that no digit of a number is lost. Nil: it has no members, or is no object.
func StringMap(value []byte) map[string]string {
	var m map[string]string
	Members(value, func(name, value []byte) {
		if m == nil {
			m = map[string]string{}
		}
		text := string(value)
		if value[0] == '"' {
			text = Text(value)
		}
		m[Text([]byte(`"`+string(name)+`"`))] = text
	})
	return m
}

// Answer is the answer of an SMTP server in a text such as "smtp; 550 5.1.1 no such
// user", "" if there is none.
func Answer(text string) string {
	text = strings.TrimSpace(text)
	if len(text) > 5 && strings.EqualFold(text[:5], "smtp;") {
		text = strings.TrimSpace(text[5:])
	}
	if len(text) < 3 || text[0] < '2' || '5' < text[0] || text[1] < '0' || '9' < text[1] || text[2] < '0' || '9' < text[2] ||
		len(text) > 3 && text[3] != ' ' && text[3] != '-' {
		return ""
	}
	return text
}

// CheckBasic checks the passwords of a webhook. The error continues a sentence that
// begins with the field's name.
func CheckBasic(list []webhook.Basic) error {
	for _, b := range list {
		if err := b.Validate(); err != nil {
			return errors.New("has an empty password, or a user name with a colon")
		}
	}
	return nil
}

// MatchBasic reports whether h carries one of the list. All are compared.
func MatchBasic(list []webhook.Basic, h http.Header) bool {
	match := false
	for _, b := range list {
		match = b.Match(h) || match
	}
	return match
}

// EntryAddress checks the address of a suppression's entry. Whether it is one is for
// the service to say: it may take a whole domain.
func EntryAddress(i int, address string) error {
	field := Index("entries", i) + ".Address"
	if address == "" {
		return Invalid(field, errors.New("is empty"))
	}
	return Setting(field, address)
}
