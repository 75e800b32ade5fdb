// Package jsonenc appends JSON to a buffer. An adapter that knows the shape of
// its request writes it with this in one allocation, and leaves "<" and "&" of
// an HTML body as they are, where encoding/json makes six bytes of each.
package jsonenc

import (
	"bytes"
	"encoding/json"
	"math/bits"
	"unicode/utf8"
)

const hex = "0123456789abcdef"

// next returns the index, from i on, of the first byte that a JSON string cannot
// hold as it is, besides those of malformed UTF-8; len(s) if there is none. It looks
// at eight bytes at once, since that is most of what it costs to write a mail.
func next(s string, i int) int {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(s); i += 8 {
		b := s[i : i+8]
		w := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
			uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
		quote, slash := w^(ones*'"'), w^(ones*'\\')
		// A byte less than n, or 0, borrows from its high bit. A borrow may go on
		// into the bytes above it, so only the lowest one found is certain.
		if found := ((w-ones*' ')&^w | (quote-ones)&^quote | (slash-ones)&^slash) & high; found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for ; i < len(s); i++ {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' {
			return i
		}
	}
	return i
}

// AppendString appends s as a JSON string, quotes included. As encoding/json
// does, it writes U+FFFD for each byte that is not UTF-8.
func AppendString(dst []byte, s string) []byte {
	if !utf8.ValidString(s) {
		s = string([]rune(s))
	}
	dst = append(dst, '"')
	start := 0
	for i := next(s, 0); i < len(s); i = next(s, i+1) {
		c := s[i]
		dst = append(dst, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// AppendValue appends v as encoding/json writes it, but for "<", ">" and "&",
// which stay as they are. On error it returns dst as it was.
func AppendValue(dst []byte, v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return dst, err
	}
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...), nil
}
