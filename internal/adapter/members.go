package adapter

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// Value is a value of a JSON text that [Members] or [Elements] found to be valid. It
// is read without another look at that, which is most of the cost.
type Value []byte

// Members calls f with each member of a JSON object: its name and its value, as
// they stand in the text. It reports whether the text is one JSON object, and
// calls f only if it is. It allocates nothing, where encoding/json does so five
// times for an answer of three members.
func Members[V ~[]byte](text []byte, f func(name []byte, value V)) bool {
	text = bytes.TrimLeft(text, " \t\r\n")
	return len(text) > 0 && text[0] == '{' && json.Valid(text) && members(text, f)
}

// Members is [Members] for a value.
func (v Value) Members(f func(name []byte, value Value)) bool { return members(v, f) }

// members is Members for text that is valid.
func members[V ~[]byte](text []byte, f func(name []byte, value V)) bool {
	if len(text) == 0 || text[0] != '{' {
		return false
	}
	for text = next(text[1:]); text[0] != '}'; text = next(text) {
		n := valueLen(text)
		name := text[1 : n-1]
		text = next(text[n:])
		n = valueLen(text)
		f(name, text[:n])
		text = text[n:]
	}
	return true
}

// next skips what stands between names and values.
func next(text []byte) []byte { return bytes.TrimLeft(text, " \t\r\n:,") }

// valueLen is the length of the value that valid text begins with.
func valueLen(text []byte) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			for i++; text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
			continue
		case '}', ']':
			if depth == 0 {
				return i // behind a number or a word
			}
			depth--
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
			continue
		default:
			continue // within a number or a word, or between members
		}
		if depth == 0 {
			return i + 1
		}
	}
	return len(text)
}

// Text is the string that a value of [Members] is, "" for any other value.
func Text(value []byte) string {
	if len(value) >= 2 && value[0] == '"' && bytes.IndexByte(value, '\\') < 0 && utf8.Valid(value) {
		return string(value[1 : len(value)-1])
	}
	return unquote(value)
}

func unquote(value []byte) (s string) {
	if json.Unmarshal(value, &s) != nil {
		return ""
	}
	return s
}
