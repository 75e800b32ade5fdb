package providertest

import (
	"fmt"
	"strings"
	"time"

	"github.com/seed355143d4/mailer"
)

// Case is a message with a name. The name reads as a sentence would go on:
// "attachment", "one address twice".
type Case struct {
	Name    string
	Message mailer.Message
}

// file is the name of the case's golden file, without its ending, and the ID of
// the suite's own messages.
func (c Case) file() string { return strings.ReplaceAll(c.Name, " ", "-") }

// pixel is a PNG of one pixel. Its base64 form has a plus and a slash in it.
var pixel = []byte("\x89\x50\x4e\x47\x0d\x0a\x1a\x0a\x00\x00\x00\x0d\x49\x48\x44\x52\x00\x00\x00\x01\x00\x00\x00\x01" +
	"\x08\x06\x00\x00\x00\x1f\x15\xc4\x89\x00\x00\x00\x0d\x49\x44\x41\x54\x78\xda\x63\x60\xe0\x8f\xfa" +
	"\x0f\x00\x01\xe5\x01\x69\xb7\xcf\x94\x9b\x00\x00\x00\x00\x49\x45\x4e\x44\xae\x42\x60\x82")

// allBytes holds every byte once, and then some, so that its base64 form ends in
// padding.
var allBytes = func() []byte {
	b := make([]byte, 0, 259)
	for i := range 256 {
		b = append(b, byte(i))
	}
	return append(b, "end"...)[:257]
}()

// templateID is the template of Messages. A Spec may name another.
const templateID = "welcome"

// Messages returns the suite's messages. Each is valid, has a fixed ID and a
// subject of its own (but those with a template), and asks for one thing beyond
// the minimum. Nothing in them varies but SendAt, which lies one hour ahead in
// full seconds. Each call makes new ones, so a caller may change them.
func Messages() []Case {
	var cases []Case
	add := func(name string, change func(m *mailer.Message)) {
		c := Case{Name: name}
		c.Message = mailer.Message{
			ID:      c.file(),
			From:    mailer.Address{Name: "Example Shop", Address: "shop@example.com"},
			To:      []mailer.Address{{Name: "Ada", Address: "ada@example.com"}},
			Subject: "About " + name,
			Text:    "Hello Ada,\nthis is about " + name + ".\n",
		}
		change(&c.Message)
		cases = append(cases, c)
	}

	add("minimal", func(m *mailer.Message) {
		m.From.Name, m.To[0].Name = "", ""
	})
	add("html and text", func(m *mailer.Message) {
		m.HTML = "<h1>Hello &amp; welcome</h1>\n<p title=\"x\">5 &lt; 6, caf\u00e9, \u5c71, \U0001f680</p>\n"
	})
	add("html only", func(m *mailer.Message) {
		m.Text, m.HTML = "", "<p>Hello Ada</p>"
	})
	add("awkward text", func(m *mailer.Message) {
		m.Subject = "Gr\u00fc\u00dfe \U0001f389 & <b>\"quotes\"</b> \\ {{name}}"
		m.Text = "caf\u00e9 \u5c71 \U0001f680\n.\n..dots\nFrom here\n\t{{name}} \\n %s <a&b> \"q\"\nlong " + strings.Repeat("0123456789", 110) + "\n"
	})
	add("names with commas and quotes", func(m *mailer.Message) {
		m.From.Name = "Shop, \"Example\" & Sons"
		m.To = []mailer.Address{
			{Name: "Noor, Amal", Address: "amal@example.com"},
			{Name: "Ada \"The Countess\" King", Address: "ada@example.com"},
			{Name: "O'Hara; Ben (Sales) \\ Co.", Address: "ben@example.com"},
		}
	})
	add("names with emoji and other scripts", func(m *mailer.Message) {
		m.From.Name = "Zo\u00eb M\u00fcller"
		m.To = []mailer.Address{
			{Name: "\u5c71\u7530\u592a\u90ce", Address: "taro@example.com"},
			{Name: "\U0001f680 Rocket, Inc.", Address: "rocket@example.com"},
			{Name: "\u0645\u0631\u064a\u0645", Address: "maryam@example.com"},
		}
	})
	add("a name that looks like addresses", func(m *mailer.Message) {
		m.To[0].Name = "Eve <eve@evil.example>, Mallory"
		m.ReplyTo = []mailer.Address{{Name: "mallory@evil.example", Address: "help@example.com"}}
	})
	add("several recipients", func(m *mailer.Message) {
		m.To = []mailer.Address{{Name: "Ada", Address: "ada@example.com"}, {Address: "ben@example.com"}}
		m.Cc = []mailer.Address{{Name: "Cleo", Address: "cleo@example.com"}, {Address: "dan@example.com"}}
		m.Bcc = []mailer.Address{{Name: "Eli", Address: "eli@example.com"}, {Address: "fay@example.com"}}
	})
	add("fifty recipients", func(m *mailer.Message) {
		m.To = nil
		for i := range 50 {
			m.To = append(m.To, mailer.Address{Name: fmt.Sprintf("Reader %02d", i), Address: fmt.Sprintf("reader%02d@example.com", i)})
		}
	})
	add("no recipient in to", func(m *mailer.Message) {
		m.To = nil
		m.Cc = []mailer.Address{{Name: "Cleo", Address: "cleo@example.com"}}
		m.Bcc = []mailer.Address{{Address: "eli@example.com"}}
	})
	add("one address twice", func(m *mailer.Message) {
		m.To = append(m.To, mailer.Address{Name: "Ben", Address: "ben@example.com"})
		m.Cc = []mailer.Address{{Name: "Ada again", Address: "Ada@Example.com"}, {Address: "cleo@example.com"}}
		m.Bcc = []mailer.Address{{Address: "ben@example.com"}}
	})
	add("one reply-to", func(m *mailer.Message) {
		m.ReplyTo = []mailer.Address{{Name: "Help, please", Address: "help@example.com"}}
	})
	add("several reply-to", func(m *mailer.Message) {
		m.ReplyTo = []mailer.Address{{Name: "Help, please", Address: "help@example.com"}, {Address: "returns@example.com"}}
	})
	add("international domain", func(m *mailer.Message) {
		m.From.Address = "shop@m\u00fcller.example"
		m.To[0].Address = "ada@b\u00fccher.example"
		m.ReplyTo = []mailer.Address{{Address: "help@\u4f8b\u3048.example"}}
	})
	add("international local part", func(m *mailer.Message) {
		m.To[0].Address = "jos\u00e9@example.com"
	})
	add("attachment", func(m *mailer.Message) {
		m.Attachments = []mailer.Attachment{
			{Name: "invoice 7.pdf", ContentType: "application/pdf", Content: []byte("%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")},
			{Name: "all.bin", Content: allBytes},
		}
	})
	add("inline image", func(m *mailer.Message) {
		m.HTML = `<p>Hello <img src="cid:logo" alt="logo"></p>`
		m.Attachments = []mailer.Attachment{{Name: "logo.png", ContentType: "image/png", ContentID: "logo", Content: pixel}}
	})
	add("attachment with an international name", func(m *mailer.Message) {
		m.Attachments = []mailer.Attachment{{Name: "R\u00e9sum\u00e9, \u5c71 \U0001f680.txt", ContentType: "text/plain", Content: []byte("plain text\n")}}
	})
	add("headers", func(m *mailer.Message) {
		m.Headers = map[string]string{"X-Order": "8841", "X-Campaign-Name": "spring & summer: 5 < 6"}
	})
	add("headers of an answer", func(m *mailer.Message) {
		m.Headers = map[string]string{"In-Reply-To": "<question@example.com>", "References": "<first@example.com> <question@example.com>"}
	})
	add("one-click unsubscribe", func(m *mailer.Message) {
		m.Unsubscribe = mailer.Unsubscribe{URL: "https://example.com/leave?u=8841&l=news", Mailto: "leave@example.com"}
	})
	add("one tag", func(m *mailer.Message) { m.Tags = []string{"welcome-mail"} })
	add("two tags", func(m *mailer.Message) { m.Tags = []string{"welcome-mail", "trial-plan"} })
	add("metadata", func(m *mailer.Message) {
		m.Metadata = map[string]string{"plan": "pro", "user_id": "8841"}
	})
	add("tracking on", func(m *mailer.Message) {
		m.HTML = `<p><a href="https://example.com/">Hello</a></p>`
		m.Track = mailer.Tracking{Opens: mailer.On, Clicks: mailer.On}
	})
	add("tracking off", func(m *mailer.Message) {
		m.HTML = `<p><a href="https://example.com/">Hello</a></p>`
		m.Track = mailer.Tracking{Opens: mailer.Off, Clicks: mailer.Off}
	})
	add("template", func(m *mailer.Message) {
		m.Subject, m.Text = "", ""
		m.Template = mailer.Template{ID: templateID, Data: map[string]any{"first_name": "Ada", "link": "https://example.com/start?u=1&v=2"}}
	})
	add("template with nested data", func(m *mailer.Message) {
		m.Subject, m.Text = "", ""
		m.Template = mailer.Template{ID: templateID, Data: map[string]any{
			"items": []any{map[string]any{"title": "Quay", "count": 3}, map[string]any{"title": "Caf\u00e9", "count": 12345678901}},
			"paid":  true,
		}}
	})
	add("scheduled", func(m *mailer.Message) {
		m.SendAt = time.Now().UTC().Truncate(time.Second).Add(time.Hour)
	})
	return cases
}

// dayMessage is what the suite sends on a bad day. A service may refuse Ben and
// take Ada.
func dayMessage() mailer.Message {
	return mailer.Message{
		ID:      "bad-day",
		From:    mailer.Address{Name: "Example Shop", Address: "shop@example.com"},
		To:      []mailer.Address{{Name: "Ada", Address: "ada@example.com"}, {Name: "Ben", Address: RefusedRecipient}},
		Subject: "About a bad day",
		Text:    "Hello Ada and Ben.\n",
	}
}

// RefusedRecipient is the recipient whom a service refuses on a day on which it
// takes ada@example.com. Both stand in To of the message of every bad day.
const RefusedRecipient = "ben@example.com"
