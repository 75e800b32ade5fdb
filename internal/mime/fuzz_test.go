package mime_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/envelope"
	mailermime "github.com/seed355143d4/mailer/internal/mime"
)

// mend takes out what Validate refused, so that the rest is still tried.
func mend(m *mailer.Message, err error) {
	e, _ := errors.AsType[*mailer.Error](err)
	field, rest, _ := strings.Cut(e.Field, "[")
	switch field {
	case "From":
		m.From = mailer.Address{Address: "a@example.com"}
	case "To":
		m.To = []mailer.Address{{Address: "b@example.com"}}
	case "ReplyTo":
		m.ReplyTo = nil
	case "Subject":
		m.Subject = ""
	case "Text":
		m.Text = "text"
	case "HTML":
		m.HTML = ""
	case "Headers":
		m.Headers = nil
	case "Attachments":
		a := &m.Attachments[0]
		switch {
		case strings.HasSuffix(rest, ".Name"):
			a.Name = "name"
		case strings.HasSuffix(rest, ".ContentType"):
			a.ContentType = ""
		default:
			a.ContentID = ""
		}
	}
}

// FuzzMIME reads back with the standard library what was written of any message
// that Validate passes: no header and no recipient more, and every part exact.
func FuzzMIME(f *testing.F) {
	for _, s := range []string{"", "plain", "Zoë", "a\r\nBcc: eve@example.com", "x\n.\ny", "=?utf-8?q?x?=", `"quoted\"`, "\r\n--=_mixed_boundary--\r\n", "<>,;:@", "\u760d\u760a", " lead", "a  b"} {
		f.Add(s, s, s, "a@example.com", "b@example.com", s, s, "a.txt", "text/plain", "cid1", "X-A", s, []byte(s))
	}
	f.Add("n", "s", "t", `"a..b"@example.com`, "ž@bücher.example", "h", "n", "Grüße.txt", "message/rfc822", "", ".x", strings.Repeat("x y", 300), []byte("A: b\r\n\r\n.\r\n"))
	f.Add("n", "s", "t", "a@example.com", "b@example.com", "", "n", "n", "text/plain; charset=\"a b\"", "", "X", "a\tb", []byte("x"))
	f.Add("n", "s", "--=_alternative_boundary\n", "a@example.com", "b@example.com", "--=_alternative_x", "n", "n", "", "", "X", "", []byte{})
	f.Fuzz(func(t *testing.T, name, subject, text, from, to, html, toName, file, kind, cid, key, value string, content []byte) {
		m := mailer.Message{
			ID: "id", From: mailer.Address{Name: name, Address: from},
			To:      []mailer.Address{{Name: toName, Address: to}, {Name: name, Address: "x" + to}},
			Bcc:     []mailer.Address{{Name: "Hidden", Address: "hidden@hidden.example"}},
			ReplyTo: []mailer.Address{{Name: subject[:min(len(subject), 300)], Address: to}},
			Subject: subject, Text: text, HTML: html,
			Attachments: []mailer.Attachment{
				{Name: file, ContentType: kind, ContentID: cid, Content: content},
				{Name: "second", Content: append(content, 0xff)},
			},
		}
		if key != "" {
			m.Headers = map[string]string{key: value}
		}
		if len(content)%3 == 0 {
			m.Attachments = m.Attachments[:len(content)%2]
		}
		var err error
		for range 12 {
			var good mailer.Message
			if good, err = envelope.Prepare(m, true); err == nil {
				m = good
				break
			}
			mend(&m, err)
		}
		if err != nil {
			return
		}
		o := fixed
		o.Boundary = "B7QJX" // not to be guessed by the fuzzer from the seeds
		p, err := mailermime.New(m, o)
		if err != nil {
			t.Fatalf("a valid message was refused: %v", err)
		}
		if strings.Contains(string(p.Bytes()), "hidden.example") && !strings.Contains(text+html+subject+name+to+from+value+file+string(content), "hidden.example") {
			t.Fatal("a blind copy shows")
		}
		readBack(t, m, p)
	})
}
