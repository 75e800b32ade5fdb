// Package mime makes the RFC 5322 bytes of a message.
//
// The bytes hold no Bcc, no line of more than 998 characters, no bare CR or LF,
// and, outside addresses, nothing but ASCII. They are the same each time for the
// same message and [Options]. Attachments are not copied: they are encoded while
// they are written.
package mime

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"io"
	"mime/quotedprintable"
	"strings"
	"sync"
	"time"

	"github.com/seed355143d4/mailer"
)

// Options is what a mail holds besides its message. The zero value is fine.
type Options struct {
	// Date is the Date header. Zero: now.
	Date time.Time
	// MessageID is the Message-ID header, without brackets. Empty: the ID of the
	// message at the domain of its From.
	MessageID string
	// Boundary is the start of each boundary between parts, 1 to 60 characters
	// of [A-Za-z0-9_-]. Empty: a random one. A fixed one is for tests: whoever
	// knows it beforehand can forge parts.
	Boundary string
	// Header holds further lines for the service that is to read the mail.
	Header []Field
}

// Field is one header line.
type Field struct{ Name, Value string }

// Mail is a message made ready to be written, any number of times. It is not
// changed after [New], so many goroutines may use it.
type Mail struct {
	segments []segment
	size     int64
}

// segment is literal bytes followed by a file, in base64 unless raw.
type segment struct {
	text []byte
	file []byte
	raw  bool
}

func (s segment) fileSize() int64 {
	if s.raw {
		return int64(len(s.file))
	}
	return int64(base64.StdEncoding.EncodedLen(len(s.file))) + 2*int64((len(s.file)+rawLine-1)/rawLine)
}

func (s segment) writeFile(w io.Writer) (int64, error) {
	if s.raw {
		n, err := w.Write(s.file)
		return int64(n), err
	}
	return writeBase64(w, s.file)
}

// New makes the mail of a message that package envelope has prepared. The
// message's ID must be set, and what m points to must not change while the Mail
// is in use. A local part outside ASCII is written as UTF-8 (RFC 6532), so only a
// transport that carries it may be given such a message.
//
// The error is an [*mailer.Error] of [mailer.KindInvalid], NotSent, that names
// the field which cannot be written without harm.
func New(m mailer.Message, o Options) (*Mail, error) {
	if o.Date.IsZero() {
		o.Date = time.Now()
	}
	if o.Boundary == "" {
		o.Boundary = rand.Text()
	}
	w := &writer{boundary: o.Boundary}
	w.buf = make([]byte, 0, 1024+len(m.Text)+len(m.HTML)+len(m.HTML)/8)
	w.header(m, o)
	w.body(m)
	if w.err != nil {
		return nil, w.err
	}
	return w.mail(), nil
}

// Size is how many bytes [Mail.WriteTo] writes.
func (p *Mail) Size() int64 { return p.size }

// WriteTo writes the mail. It implements [io.WriterTo].
func (p *Mail) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for _, s := range p.segments {
		n, err := w.Write(s.text)
		total += int64(n)
		if err != nil {
			return total, err
		}
		if len(s.file) == 0 {
			continue
		}
		n64, err := s.writeFile(w)
		total += n64
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// Bytes returns the whole mail in a new slice.
func (p *Mail) Bytes() []byte {
	var b bytes.Buffer
	b.Grow(int(p.size))
	_, _ = p.WriteTo(&b) // a Buffer does not fail
	return b.Bytes()
}

const (
	rawLine   = 57              // bytes of a file in one line
	codedLine = rawLine/3*4 + 2 // what they become, CRLF included
	blockRaw  = 420 * rawLine   // bytes encoded before each Write
	blockSize = 420 * codedLine // 32,760
	maxLine   = 998             // RFC 5322 §2.1.1, without CRLF
)

var blocks = sync.Pool{New: func() any { return new([blockSize]byte) }}

func writeBase64(w io.Writer, file []byte) (int64, error) {
	block := blocks.Get().(*[blockSize]byte)
	defer blocks.Put(block)
	var total int64
	for len(file) > 0 {
		raw := file[:min(blockRaw, len(file))]
		file = file[len(raw):]
		at := 0
		for len(raw) > 0 {
			line := raw[:min(rawLine, len(raw))]
			raw = raw[len(line):]
			base64.StdEncoding.Encode(block[at:], line)
			at += base64.StdEncoding.EncodedLen(len(line))
			at += copy(block[at:], "\r\n")
		}
		n, err := w.Write(block[:at])
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// writer collects segments.
type writer struct {
	buf       []byte
	start     int // of the line being written
	cut       int // where the present segment's text begins
	segments  []segment
	boundary  string
	lineEnded bool // a boundary can stand here
	err       error
}

func (w *writer) fail(field, words string) {
	if w.err == nil {
		w.err = &mailer.Error{Kind: mailer.KindInvalid, NotSent: true, Field: field, Message: words}
	}
}

func (w *writer) mail() *Mail {
	if !w.lineEnded && !bytes.HasSuffix(w.buf, []byte("\r\n")) {
		w.crlf()
	}
	p := &Mail{segments: append(w.segments, segment{text: w.buf[w.cut:]})}
	for _, s := range p.segments {
		p.size += int64(len(s.text)) + s.fileSize()
	}
	return p
}

// body writes the rest of the header, and the parts:
//
//	mixed{ related{ alternative{ text, HTML }, inline files }, files }
//
// each level only where it has more than one member.
func (w *writer) body(m mailer.Message) {
	var inline, files []int
	for i, a := range m.Attachments {
		if a.ContentID != "" && m.HTML != "" {
			inline = append(inline, i)
		} else {
			files = append(files, i)
		}
	}
	alternative := m.Text != "" && m.HTML != ""

	if len(files) > 0 {
		w.multipart("mixed", "")
		w.open("mixed")
	}
	if len(inline) > 0 {
		root := "text/html"
		if alternative {
			root = "multipart/alternative"
		}
		w.multipart("related", root)
		w.open("related")
	}
	if alternative {
		w.multipart("alternative", "")
		w.open("alternative")
		w.text("text/plain; charset=utf-8", m.Text)
		w.open("alternative")
		w.text("text/html; charset=utf-8", m.HTML)
		w.close("alternative")
	} else if m.HTML != "" {
		w.text("text/html; charset=utf-8", m.HTML)
	} else {
		w.text("text/plain; charset=utf-8", m.Text)
	}
	if len(inline) > 0 {
		for _, i := range inline {
			w.open("related")
			w.file(m.Attachments[i], i)
		}
		w.close("related")
	}
	if len(files) > 0 {
		for _, i := range files {
			w.open("mixed")
			w.file(m.Attachments[i], i)
		}
		w.close("mixed")
	}
}

// delimiter is a boundary. "=_" cannot stand in quoted-printable or base64, and
// no delimiter is the start of another.
func (w *writer) delimiter(subtype string) string { return "=_" + subtype + "_" + w.boundary }

func (w *writer) multipart(subtype, root string) {
	w.str("Content-Type: multipart/" + subtype + ";")
	if root != "" {
		w.crlf()
		w.str(` type="` + root + `";`)
	}
	w.crlf()
	w.str(` boundary="` + w.delimiter(subtype) + `"`)
	w.crlf()
	w.crlf()
	w.lineEnded = true
}

// open begins a part. The line end before a boundary belongs to the boundary, so
// it is written unless the boundary can stand here: after a header, or after the
// last line of a file.
func (w *writer) open(subtype string) {
	if !w.lineEnded {
		w.crlf()
	}
	w.str("--" + w.delimiter(subtype))
	w.crlf()
	w.lineEnded = false
}

func (w *writer) close(subtype string) {
	if !w.lineEnded {
		w.crlf()
	}
	w.str("--" + w.delimiter(subtype) + "--")
	w.lineEnded = false
}

func (w *writer) str(s string) { w.buf = append(w.buf, s...) }

// crlf ends a line. What follows in a header starts at column 0.
func (w *writer) crlf() {
	w.buf = append(w.buf, '\r', '\n')
	w.start = len(w.buf)
}

// text writes a part's header and content. The content reads back byte for byte,
// but for line ends: each of CRLF, LF and CR becomes CRLF.
func (w *writer) text(contentType, s string) {
	w.str("Content-Type: " + contentType)
	w.crlf()
	w.str("Content-Transfer-Encoding: ")
	w.lineEnded = false
	switch encodingFor(s) {
	case sevenBit:
		w.str("7bit\r\n\r\n")
		w.lines(s)
	case quotedPrintable:
		w.str("quoted-printable\r\n\r\n")
		b := bytes.NewBuffer(w.buf)
		q := quotedprintable.NewWriter(b)
		_, _ = io.WriteString(q, s) // a Buffer does not fail
		_ = q.Close()
		w.buf = b.Bytes()
	case inBase64:
		w.str("base64\r\n\r\n")
		from := len(w.buf)
		w.lines(s)
		raw := bytes.Clone(w.buf[from:])
		b := bytes.NewBuffer(w.buf[:from])
		_, _ = writeBase64(b, raw)
		w.buf = b.Bytes()
		w.lineEnded = true
	}
}

// lines writes s with every line end as CRLF.
func (w *writer) lines(s string) {
	for {
		i := strings.IndexAny(s, "\r\n")
		if i < 0 {
			w.str(s)
			return
		}
		w.str(s[:i])
		w.buf = append(w.buf, '\r', '\n')
		if strings.HasPrefix(s[i:], "\r\n") {
			i++
		}
		s = s[i+1:]
	}
}

type encoding uint8

const (
	sevenBit encoding = iota
	quotedPrintable
	inBase64
)

// encodingFor picks 7bit for ASCII in short enough lines, and else the shorter of
// the two others.
func encodingFor(s string) encoding {
	odd, line, longest := 0, 0, 0
	for i := range len(s) {
		c := s[i]
		line++
		switch {
		case c == '\r' || c == '\n':
			longest = max(longest, line-1)
			line = 0
		case c >= 0x7f || c < ' ' && c != '\t':
			odd++
		}
	}
	longest = max(longest, line)
	switch {
	case odd == 0 && longest <= maxLine:
		return sevenBit
	case odd*6 <= len(s): // 3 bytes for each odd one against 4/3 for every one
		return quotedPrintable
	}
	return inBase64
}

// file writes a part's header, and the file as a segment of its own.
func (w *writer) file(a mailer.Attachment, i int) {
	kind := a.ContentType
	if kind == "" {
		kind = "application/octet-stream"
	}
	if !printable(kind) || len(kind) > 900 {
		w.fail(index("Attachments", i)+".ContentType", "has characters that a header cannot hold")
	}
	w.str("Content-Type: " + kind)
	w.crlf()
	// RFC 2046 §5.2.1 wants a mail within a mail unencoded.
	raw := len(kind) > 8 && strings.EqualFold(kind[:8], "message/") && isSevenBit(a.Content)
	if raw {
		w.line("Content-Transfer-Encoding: 7bit")
	} else {
		w.line("Content-Transfer-Encoding: base64")
	}
	w.str("Content-Disposition: ")
	if a.ContentID != "" {
		w.str("inline")
	} else {
		w.str("attachment")
	}
	w.filename(a.Name)
	w.crlf()
	if a.ContentID != "" {
		if !printable(a.ContentID) || strings.ContainsAny(a.ContentID, "<> ") || len(a.ContentID) > 900 {
			w.fail(index("Attachments", i)+".ContentID", "has characters that a header cannot hold")
		}
		w.str("Content-ID: <" + a.ContentID + ">")
		w.crlf()
	}
	w.crlf()
	w.lineEnded = !raw
	if len(a.Content) > 0 {
		w.segments = append(w.segments, segment{w.buf[w.cut:len(w.buf):len(w.buf)], a.Content, raw})
		w.cut = len(w.buf)
	}
}

// isSevenBit reports whether b is ASCII without NUL in lines of at most 998
// characters, each ended by CRLF, the last one too.
func isSevenBit(b []byte) bool {
	line := 0
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '\r' && i+1 < len(b) && b[i+1] == '\n':
			i++
			line = 0
			continue
		case c == 0 || c == '\r' || c == '\n' || c >= 0x80:
			return false
		}
		if line++; line > maxLine {
			return false
		}
	}
	return bytes.HasSuffix(b, []byte("\r\n"))
}
