package mime_test

import (
	"net/mail"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/mime"
)

// TestNoLineBreakAddsAHeader gives the writer what Validate would have refused:
// it is the second line of defence, and adds no header field either.
func TestNoLineBreakAddsAHeader(t *testing.T) {
	fields := func(t *testing.T, m mailer.Message, o mime.Options) map[string][]string {
		t.Helper()
		written, err := mime.New(m, o)
		if err != nil {
			return nil // refused is as good
		}
		var b strings.Builder
		_, err = written.WriteTo(&b)
		require.NoError(t, err)
		read, err := mail.ReadMessage(strings.NewReader(b.String()))
		require.NoError(t, err)
		require.NotContains(t, strings.ReplaceAll(b.String(), "\r\n", ""), "\r")
		require.NotContains(t, strings.ReplaceAll(b.String(), "\r\n", ""), "\n")
		return read.Header
	}
	base := func() mailer.Message {
		return mailer.Message{
			ID: "a", From: mailer.Address{Address: "hello@example.com"}, To: []mailer.Address{{Address: "ada@example.com"}},
			Subject: "x", Text: "x", Headers: map[string]string{"X-A": "x"},
		}
	}
	want := len(fields(t, base(), mime.Options{Header: []mime.Field{{Name: "X-B", Value: "x"}}}))
	for _, bad := range []string{"x\r\nBcc: eve@example.com", "x\nBcc: eve@example.com", "x\rBcc: eve@example.com", "x\x00"} {
		for name, change := range map[string]func(*mailer.Message, *mime.Options){
			"subject":      func(m *mailer.Message, _ *mime.Options) { m.Subject = bad },
			"header":       func(m *mailer.Message, _ *mime.Options) { m.Headers["X-A"] = bad },
			"relay header": func(_ *mailer.Message, o *mime.Options) { o.Header[0].Value = bad },
			"name":         func(m *mailer.Message, _ *mime.Options) { m.From.Name = bad },
		} {
			t.Run(name, func(t *testing.T) {
				m, o := base(), mime.Options{Header: []mime.Field{{Name: "X-B", Value: "x"}}}
				change(&m, &o)
				got := fields(t, m, o)
				if got != nil {
					require.Len(t, got, want)
					require.NotContains(t, got, "Bcc")
				}
			})
		}
	}
}
