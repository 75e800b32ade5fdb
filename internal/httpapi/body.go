package httpapi

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"strconv"
)

// inMemory is the size up to which a body is one bytes.Reader. net/http sends
// such a body together with the headers, and any other in a TLS record of its
// own, which costs a small mail a third more.
const inMemory = 64 << 10

// Body is the body of a request. The zero Body is none. It can be sent any
// number of times.
type Body struct {
	small []byte // all of it, or
	parts []part // in these
	size  int64
	err   error
}

// part is a piece of a body, sent as it is or as base64.
type part struct {
	raw    []byte
	base64 bool
}

// Bytes makes a Body of b. It keeps b, which must never change again: net/http
// may still read a small body after Do has returned.
func Bytes(b []byte) Body {
	if len(b) <= inMemory {
		return Body{small: b, size: int64(len(b))}
	}
	return Body{parts: []part{{raw: b}}, size: int64(len(b))}
}

func (b Body) open(f *flight) io.ReadCloser {
	if b.parts == nil {
		return io.NopCloser(bytes.NewReader(b.small))
	}
	f.mu.Lock()
	f.streamed = true
	f.mu.Unlock()
	return &stream{f: f, parts: b.parts, left: b.size}
}

// Files puts files into a JSON body as base64, encoded while they are sent, so
// that they never stand in memory as text. The zero value is ready. It belongs
// to one request and to one goroutine.
//
// For each file write the string that Add returns where the JSON should have the
// base64; Body then finds the strings. They are random, so that no content of a
// message can be taken for one.
type Files struct {
	nonce    string
	contents [][]byte
}

// Add takes a file and returns the string that stands for its base64. The
// string needs no escaping in JSON. The content is kept, and is not read after
// the Do which sends it has returned.
func (f *Files) Add(content []byte) string {
	if f.nonce == "" {
		f.nonce = "file-" + rand.Text() + "-"
	}
	f.contents = append(f.contents, content)
	return f.nonce + strconv.Itoa(len(f.contents)-1) + "."
}

// Body makes a Body of a JSON text and the files that stand in it. It keeps
// json, as Bytes does. If the text lacks one of the files, Do refuses to send
// the Body.
func (f *Files) Body(json []byte) Body {
	if len(f.contents) == 0 {
		return Bytes(json)
	}
	parts := make([]part, 0, 2*len(f.contents)+1)
	found := make([]bool, len(f.contents))
	size := int64(0)
	for {
		at := bytes.Index(json, []byte(f.nonce))
		if at < 0 {
			break
		}
		rest := json[at+len(f.nonce):]
		digits, after, ok := bytes.Cut(rest, []byte("."))
		n, err := strconv.Atoi(string(digits))
		if !ok || err != nil || n < 0 || n >= len(found) {
			return Body{err: fmt.Errorf("the JSON text has a damaged placeholder for a file")}
		}
		found[n] = true
		parts = append(parts, part{raw: json[:at]}, part{raw: f.contents[n], base64: true})
		size += int64(at) + int64(base64.StdEncoding.EncodedLen(len(f.contents[n])))
		json = after
	}
	for n, ok := range found {
		if !ok {
			return Body{err: fmt.Errorf("the JSON text lacks file %d", n)}
		}
	}
	parts = append(parts, part{raw: json})
	return joined(parts, size+int64(len(json)))
}

// Join makes a Body of several: head, the bodies with commas between them, and tail.
// If one of them cannot be sent, neither can it.
func Join(head string, bodies []Body, tail string) Body {
	parts := make([]part, 0, 2*len(bodies)+1)
	size := int64(len(head) + len(tail))
	for i, b := range bodies {
		if b.err != nil {
			return b
		}
		if i > 0 {
			head = ","
			size++
		}
		parts = append(parts, part{raw: []byte(head)})
		if b.parts == nil {
			parts = append(parts, part{raw: b.small})
		}
		parts = append(parts, b.parts...)
		size += b.size
	}
	if len(bodies) == 0 {
		tail = head + tail
	}
	return joined(append(parts, part{raw: []byte(tail)}), size)
}

// joined makes a Body of its parts, in one piece if it is small.
func joined(parts []part, size int64) Body {
	if size > inMemory {
		return Body{parts: parts, size: size}
	}
	small := make([]byte, 0, size)
	for _, p := range parts {
		if p.base64 {
			small = base64.StdEncoding.AppendEncode(small, p.raw)
		} else {
			small = append(small, p.raw...)
		}
	}
	return Bytes(small)
}
