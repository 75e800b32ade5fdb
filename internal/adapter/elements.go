package adapter

import (
	"bytes"
	"encoding/json"
)

// Elements calls f with each element of a JSON array, as it stands in the text. It
// reports whether the text is one JSON array, and calls f only if it is. Like
// [Members] it allocates nothing.
func Elements[V ~[]byte](text []byte, f func(value V)) bool {
	text = bytes.TrimLeft(text, " \t\r\n")
	return len(text) > 0 && text[0] == '[' && json.Valid(text) && elements(text, f)
}

// Elements is [Elements] for a value.
func (v Value) Elements(f func(value Value)) bool { return elements(v, f) }

// elements is Elements for text that is valid.
func elements[V ~[]byte](text []byte, f func(value V)) bool {
	if len(text) == 0 || text[0] != '[' {
		return false
	}
	for text = next(text[1:]); text[0] != ']'; text = next(text) {
		n := valueLen(text)
		f(text[:n])
		text = text[n:]
	}
	return true
}
