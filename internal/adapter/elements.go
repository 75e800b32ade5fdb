package adapter

import (
	"bytes"
	"encoding/json"
)

// Elements calls f with each element of a JSON array, as it stands in the text. It
// reports whether the text is one JSON array, and calls f only if it is. Like
// [Members] it allocates nothing.
func Elements(text []byte, f func(value []byte)) bool {
	text = bytes.TrimLeft(text, " \t\r\n")
	if len(text) == 0 || text[0] != '[' || !json.Valid(text) {
		return false
	}
	// From here on the text is known to be valid.
	for text = next(text[1:]); text[0] != ']'; text = next(text) {
		n := valueLen(text)
		f(text[:n])
		text = text[n:]
	}
	return true
}
