package mailer_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/seed355143d4/mailer"
)

func BenchmarkValidate(b *testing.B) {
	wide := registration()
	wide.Text = strings.Repeat("Bestätigen Sie Ihre Adresse über diesen Link.\n", 22)
	many := registration()
	many.To = slices.Repeat(many.To, 1000)
	for _, c := range []struct {
		name string
		m    mailer.Message
	}{
		{"ordinary", registration()},
		{"ordinary in German", wide},
		{"everything", everything()},
		{"1000 recipients", many},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := c.m.Validate(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

const megabyte = 1 << 20

// hostile are messages of a hostile size. Each has to be refused about as
// quickly as an ordinary one passes.
func hostile() map[string]mailer.Message {
	ms := map[string]mailer.Message{}
	for name, s := range map[string]string{
		"brackets": "<", "at signs": "a@", "comments": "(", "quotes": `"`, "backslashes": `\`, "commas": ",", "lists": "a@b.c,",
		"groups": "g:", "dots": ".", "labels": "a.", "literals": "[", "spaces": " ", "CRLF": "\r\n", "NUL": "\x00",
		"emoji": "😀", "combining marks": "a\u0301", "bad UTF-8": "\xff", "letters": "a",
	} {
		s = strings.Repeat(s, megabyte/len(s))
		m := registration()
		m.To[0].Address = s
		ms["1 MB of "+name+" as address"] = m
		m = registration()
		m.From.Address = "ada@" + s
		ms["1 MB of "+name+" as domain"] = m
		m = registration()
		m.To[0].Name = s
		ms["1 MB of "+name+" as display name"] = m
		m = registration()
		m.Attachments = []mailer.Attachment{{Name: "a", ContentType: "text/plain;" + s}}
		ms["1 MB of "+name+" as content type"] = m
	}
	big := strings.Repeat("x", megabyte)
	add := func(name string, alter func(*mailer.Message)) {
		m := registration()
		alter(&m)
		ms[name] = m
	}
	add("100,000 headers", func(m *mailer.Message) { m.Headers = numbered(100_000) })
	add("100,000 metadata", func(m *mailer.Message) { m.Metadata = numbered(100_000) })
	add("1,000,000 recipients", func(m *mailer.Message) { m.Cc = slices.Repeat(m.To, 1_000_000) })
	add("100 header names of 1 MB that agree but for their end", func(m *mailer.Message) {
		m.Headers = map[string]string{}
		for i := range 100 {
			m.Headers[big+fmt.Sprint(i)] = "a"
		}
	})
	add("100 metadata keys of 1 MB that agree but for their end", func(m *mailer.Message) {
		m.Metadata = map[string]string{}
		for i := range 100 {
			m.Metadata[big+fmt.Sprint(i)] = "a"
		}
	})
	add("100 good headers and one bad value", func(m *mailer.Message) {
		m.Headers = map[string]string{}
		for i := range 99 {
			m.Headers[fmt.Sprintf("%076d", i)] = strings.Repeat("a", 900)
		}
		m.Headers["z"] = "\n"
	})
	add("1 MB subject", func(m *mailer.Message) { m.Subject = big })
	add("1 MB URL", func(m *mailer.Message) { m.Unsubscribe.URL = "https://example.com/" + big })
	add("1 MB tag", func(m *mailer.Message) { m.Tags = []string{big} })
	add("1 MB file name", func(m *mailer.Message) { m.Attachments = []mailer.Attachment{{Name: big}} })
	add("1 MB content id", func(m *mailer.Message) { m.Attachments = []mailer.Attachment{{Name: "a", ContentID: big}} })
	return ms
}

func BenchmarkValidateHostile(b *testing.B) {
	ms := hostile()
	for name, m := range ms {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if m.Validate() == nil {
					b.Fatal("passed")
				}
			}
		})
	}
}
