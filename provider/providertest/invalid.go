package providertest

import (
	"testing"

	"github.com/seed355143d4/mailer"
)

// invalid are messages that are wrong for every service, most of them attacks
// that other mail libraries fell for.
var invalid = []struct {
	name   string
	change func(m *mailer.Message)
}{
	{"no sender", func(m *mailer.Message) { m.From = mailer.Address{} }},
	{"no recipient", func(m *mailer.Message) { m.To = nil }},
	{"no body and no template", func(m *mailer.Message) { m.Text = "" }},
	{"an ID with a blank", func(m *mailer.Message) { m.ID = "a b" }},
	{"an address without a domain", func(m *mailer.Message) { m.To[0].Address = "ada" }},
	{"an address with a name in it", func(m *mailer.Message) { m.To[0].Address = "Ada <ada@example.com>" }},
	{"two addresses in one", func(m *mailer.Message) { m.To[0].Address = "ada@example.com, eve@evil.example" }},
	{"a line end in an address", func(m *mailer.Message) { m.To[0].Address = "ada@example.com\r\nBcc: eve@evil.example" }},
	{"a line end in a quoted local part", func(m *mailer.Message) { m.To[0].Address = "\"x\r\nBcc: eve@evil.example\"@example.com" }},
	{"a parameter behind an address", func(m *mailer.Message) { m.To[0].Address = "ada@example.com> ORCPT=eve@evil.example" }},
	{"an SMTP command in Cc", func(m *mailer.Message) {
		m.Cc = []mailer.Address{{Address: "ada@example.com>\r\nDATA\r\nhello\r\n.\r\nQUIT\r\n"}}
	}},
	{"a line end in a name", func(m *mailer.Message) { m.To[0].Name = "Ada\r\nBcc: eve@evil.example" }},
	{"a line end in the sender's name", func(m *mailer.Message) { m.From.Name = "Shop\nBcc: eve@evil.example" }},
	{"a line end in Reply-To", func(m *mailer.Message) {
		m.ReplyTo = []mailer.Address{{Address: "help@example.com\nBcc: eve@evil.example"}}
	}},
	{"a line end in the subject", func(m *mailer.Message) { m.Subject = "Hello\r\nBcc: eve@evil.example" }},
	{"a bare carriage return in the subject", func(m *mailer.Message) { m.Subject = "Hello\rBcc: eve@evil.example" }},
	{"a NUL in the subject", func(m *mailer.Message) { m.Subject = "Hello\x00" }},
	{"a subject that is not UTF-8", func(m *mailer.Message) { m.Subject = "Hello \xff" }},
	{"a line end in a header", func(m *mailer.Message) { m.Headers = map[string]string{"X-A": "1\r\nBcc: eve@evil.example"} }},
	{"a line end in the name of a header", func(m *mailer.Message) { m.Headers = map[string]string{"X-A: 1\r\nBcc": "eve@evil.example"} }},
	{"recipients in a header", func(m *mailer.Message) { m.Headers = map[string]string{"bCC": "eve@evil.example"} }},
	{"a line end in a file's name", func(m *mailer.Message) {
		m.Attachments = []mailer.Attachment{{Name: "a.txt\r\nX-A: 1", Content: []byte("a")}}
	}},
	{"a line end in a file's type", func(m *mailer.Message) {
		m.Attachments = []mailer.Attachment{{Name: "a.txt", ContentType: "text/plain\r\nX-A: 1", Content: []byte("a")}}
	}},
	{"a line end in a Content-ID", func(m *mailer.Message) {
		m.Attachments = []mailer.Attachment{{Name: "a.png", ContentType: "image/png", ContentID: "a>\r\nX-A: 1", Content: []byte("a")}}
	}},
	{"a line end in the unsubscribe address", func(m *mailer.Message) {
		m.Unsubscribe.URL = "https://example.com/leave>\r\nBcc: eve@evil.example"
	}},
	{"a line end in a tag", func(m *mailer.Message) { m.Tags = []string{"a\r\nX-A: 1"} }},
	{"metadata under the reserved key", func(m *mailer.Message) { m.Metadata = map[string]string{"mailer_id": "x"} }},
}

// testInvalid sends what must not be sent.
func (s *suite) testInvalid(t *testing.T) {
	for _, c := range invalid {
		t.Run(c.name, func(t *testing.T) {
			m := s.message("minimal")
			c.change(&m)
			s.refused(t, m, mailer.KindInvalid)
		})
	}
}
