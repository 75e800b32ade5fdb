package mime_test

import (
	"bytes"
	"encoding/base64"
	"flag"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/envelope"
	mailermime "github.com/seed355143d4/mailer/internal/mime"
)

var update = flag.Bool("update", false, "rewrite testdata")

var fixed = mailermime.Options{Date: time.Date(2026, 11, 24, 9, 30, 0, 0, time.UTC), Boundary: "boundary"}

func base() mailer.Message {
	return mailer.Message{
		ID:      "01HZX5J3A7",
		From:    mailer.Address{Name: "Harbour Books", Address: "orders@books.example"},
		To:      []mailer.Address{{Name: "Ada", Address: "ada@example.com"}},
		Subject: "Your order",
		Text:    "Hello Ada\n",
	}
}

func with(change func(*mailer.Message)) mailer.Message {
	m := base()
	change(&m)
	return m
}

var cases = []struct {
	name string
	m    mailer.Message
}{
	{"text", base()},
	{"html", with(func(m *mailer.Message) { m.Text, m.HTML = "", "<p>Hello Ada</p>" })},
	{"text and html", with(func(m *mailer.Message) { m.HTML = "<p>Hello Ada</p>" })},
	{"blind copies only", with(func(m *mailer.Message) { m.Bcc, m.To = m.To, nil })},
	{"unicode", with(func(m *mailer.Message) {
		m.From.Name = "Zoë \"Z\" Ångström"
		m.To = []mailer.Address{
			{Name: "Доставка, ООО", Address: "amal@reader.example"},
			{Name: "O'Hara, Ben (sales)", Address: "ben@reader.example"},
			{Name: "=?utf-8?q?not_encoded?=", Address: "cy@reader.example"},
			{Address: "dee@reader.example"},
		}
		m.Cc = []mailer.Address{{Address: `"a..b"@reader.example`}}
		m.ReplyTo = []mailer.Address{{Name: "Hilfe", Address: "hilfe@books.example"}}
		m.Subject = "Über 100 €: Ihre Bestellung 注文書 ist unterwegs und kommt, wenn alles gut geht, morgen an"
		m.Text = "Grüße aus Köln = schön \n"
		m.HTML = "<p>ご注文ありがとうございます</p>"
	})},
	{"files and images", with(func(m *mailer.Message) {
		m.HTML = `<img src="cid:logo@books">`
		m.Attachments = []mailer.Attachment{
			{Name: "invoice.pdf", ContentType: "application/pdf", Content: bytes.Repeat([]byte("PDF"), 40)},
			{Name: "logo.png", ContentType: "image/png", ContentID: "logo@books", Content: []byte{0x89, 'P', 'N', 'G'}},
			{Name: "empty", Content: nil},
			{Name: "Grüße — a rather long file name with many words, \"quotes\" and 注文書.txt", ContentType: "text/plain; charset=utf-8", Content: []byte("x")},
			{Name: "old.eml", ContentType: "message/rfc822", Content: []byte("Subject: x\r\n\r\n.\r\nbody\r\n")},
		}
	})},
	{"headers", with(func(m *mailer.Message) {
		m.Subject = strings.Repeat("words and  more words ", 10) + "end"
		m.Headers = map[string]string{
			"X-Empty": "", "X-Spaces": " kept ", "In-Reply-To": "<1@books.example>", "X-Long": strings.Repeat("x", 950),
			"X-Name": "Zoë", "X-Tab": "a\tb " + strings.Repeat("c ", 50) + "\td", "X-Coded": "=?utf-8?q?Zo=C3=AB?=", ".dot": "first",
		}
		m.Unsubscribe = mailer.Unsubscribe{URL: "https://books.example/u/token", Mailto: "leave@books.example"}
	})},
	{"lines that are too long", with(func(m *mailer.Message) {
		m.Subject = strings.Repeat("x", 2000)
		m.Text = strings.Repeat("x", 999) + "\n"
	})},
	{"mails that are not 7bit", with(func(m *mailer.Message) {
		for _, content := range []string{"Subject: Grüße\r\n\r\n", "A: b\n\n.\n", "A: b\r\n\r\n" + strings.Repeat("x", 999) + "\r\n", "A: b\r\n\r\nno end", "A: \x00\r\n"} {
			m.Attachments = append(m.Attachments, mailer.Attachment{Name: "old.eml", ContentType: "Message/RFC822", Content: []byte(content)})
		}
	})},
	{"odd lines", with(func(m *mailer.Message) {
		m.Text = ".\r\n..\n\rFrom here\x0b\n" + strings.Repeat("long ", 300)
	})},
}

func TestGolden(t *testing.T) {
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			m, err := envelope.Prepare(tt.m, true)
			require.NoError(t, err)
			p, err := mailermime.New(m, fixed)
			require.NoError(t, err)
			got := p.Bytes()
			file := filepath.Join("testdata", strings.ReplaceAll(tt.name, " ", "_")+".golden")
			if *update {
				require.NoError(t, os.MkdirAll("testdata", 0o755))
				require.NoError(t, os.WriteFile(file, got, 0o644))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Equal(t, string(want), string(got))
			readBack(t, m, p)
		})
	}
}

// readBack reads a mail with the standard library and compares it with its message.
func readBack(t *testing.T, m mailer.Message, p *mailermime.Mail) {
	t.Helper()
	raw := p.Bytes()
	require.EqualValues(t, len(raw), p.Size())
	again := p.Bytes()
	require.Equal(t, raw, again, "a mail can be written twice")
	require.True(t, bytes.HasSuffix(raw, []byte("\r\n")))
	header, _, ok := strings.Cut(string(raw), "\r\n\r\n")
	require.True(t, ok)
	for line := range strings.SplitSeq(strings.TrimSuffix(string(raw), "\r\n"), "\r\n") {
		require.LessOrEqual(t, len(line), 998)
		require.NotContains(t, line, "\r")
		require.NotContains(t, line, "\n")
		require.NotContains(t, line, "\x00")
	}
	for line := range strings.SplitSeq(header, "\r\n") {
		require.NotEmpty(t, strings.Trim(line, " \t"), "a folded line that is blank")
	}

	got, err := mail.ReadMessage(bytes.NewReader(raw))
	require.NoError(t, err)

	// Exactly these fields, each once.
	want := map[string]string{}
	named := func(name, value string) { want[textprotoKey(name)] = value }
	named("Subject", m.Subject)
	for name, value := range m.Headers {
		named(name, value)
	}
	for _, name := range []string{"From", "Date", "Message-Id", "Mime-Version", "Content-Type"} {
		want[name] = "*"
	}
	if !strings.HasPrefix(got.Header.Get("Content-Type"), "multipart/") {
		want["Content-Transfer-Encoding"] = "*"
	}
	if len(m.To) > 0 || len(m.Cc) == 0 {
		want["To"] = "*"
	}
	if len(m.Cc) > 0 {
		want["Cc"] = "*"
	}
	if len(m.ReplyTo) > 0 {
		want["Reply-To"] = "*"
	}
	if m.Unsubscribe != (mailer.Unsubscribe{}) {
		want["List-Unsubscribe"] = "*"
	}
	if m.Unsubscribe.URL != "" {
		want["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
	}
	require.Len(t, got.Header, len(want), "%v", got.Header)
	for name, value := range want {
		require.Len(t, got.Header[name], 1, name)
		if value == "*" {
			continue
		}
		read := got.Header[name][0]
		if name == "Subject" || !plain(value, name) {
			read, err = new(mime.WordDecoder).DecodeHeader(read)
			require.NoError(t, err)
		}
		require.Equal(t, value, read, name)
	}
	addresses(t, got.Header, "From", []mailer.Address{m.From})
	addresses(t, got.Header, "Cc", m.Cc)
	addresses(t, got.Header, "Reply-To", m.ReplyTo)
	addresses(t, got.Header, "To", m.To)
	require.Equal(t, "<"+m.ID+m.From.Address[strings.LastIndexByte(m.From.Address, '@'):]+">", got.Header.Get("Message-ID"))
	if m.Unsubscribe.URL != "" {
		require.Contains(t, got.Header.Get("List-Unsubscribe"), "<"+m.Unsubscribe.URL+">")
	}

	// The parts.
	var parts []part
	walk(t, map[string][]string(got.Header), got.Body, &parts)
	var bodies []part
	files := map[string]int{}
	single := len(parts) == 1
	for _, p := range parts {
		if p.disposition == "" {
			bodies = append(bodies, p)
			continue
		}
		files[p.key()]++
	}
	var texts []string
	if m.Text != "" {
		texts = append(texts, "text/plain", m.Text)
	}
	if m.HTML != "" {
		texts = append(texts, "text/html", m.HTML)
	}
	require.Len(t, bodies, len(texts)/2)
	for i, b := range bodies {
		require.Equal(t, texts[2*i], b.mediaType)
		want := crlf(texts[2*i+1])
		if single && !strings.HasSuffix(want, "\r\n") && strings.HasSuffix(b.content, "\r\n") {
			want += "\r\n" // a mail ends with a line end
		}
		require.Equal(t, want, b.content)
	}
	for _, a := range m.Attachments {
		kind := a.ContentType
		if kind == "" {
			kind = "application/octet-stream"
		}
		mediaType, _, err := mime.ParseMediaType(kind)
		require.NoError(t, err)
		w := part{mediaType: mediaType, disposition: "attachment", name: a.Name, content: string(a.Content)}
		if a.ContentID != "" {
			w.disposition, w.id = "inline", "<"+a.ContentID+">"
		}
		require.Positive(t, files[w.key()], "%s is not among %d files", a.Name, len(files))
		files[w.key()]--
	}
	for _, n := range files {
		require.Zero(t, n, "a file that the message does not have")
	}
}

func textprotoKey(name string) string {
	msg, err := mail.ReadMessage(strings.NewReader(name + ": x\r\n\r\n"))
	if err != nil {
		return name
	}
	for key := range msg.Header {
		return key
	}
	return name
}

// plain reports whether a header value is written as it is.
func plain(s, name string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	if strings.Trim(s, " \t") != s {
		return false
	}
	for word := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == ' ' || r == '\t' }) {
		if len(word) > 996-len(name) {
			return false
		}
	}
	return true
}

func addresses(t *testing.T, h mail.Header, name string, want []mailer.Address) {
	t.Helper()
	if len(want) == 0 {
		if h.Get(name) != "" {
			require.Equal(t, "undisclosed-recipients:;", h.Get(name))
		}
		return
	}
	list, err := h.AddressList(name)
	require.NoError(t, err, h.Get(name))
	require.Len(t, list, len(want))
	for i, a := range list {
		require.Equal(t, want[i].Name, a.Name)
		require.Equal(t, unquote(want[i].Address), a.Address)
	}
}

// unquote is how net/mail gives an address.
func unquote(a string) string {
	if strings.HasPrefix(a, `"`) {
		return strings.Replace(a[1:], `"@`, "@", 1)
	}
	return a
}

type part struct{ mediaType, disposition, name, id, content string }

func (p part) key() string {
	return strings.Join([]string{p.mediaType, p.disposition, p.name, p.id, p.content}, "\x00")
}

func walk(t *testing.T, header map[string][]string, body io.Reader, parts *[]part) {
	t.Helper()
	get := func(name string) string {
		require.LessOrEqual(t, len(header[name]), 1)
		return strings.Join(header[name], "")
	}
	mediaType, params, err := mime.ParseMediaType(get("Content-Type"))
	require.NoError(t, err, get("Content-Type"))
	if strings.HasPrefix(mediaType, "multipart/") {
		r := multipart.NewReader(body, params["boundary"])
		n := 0
		for {
			p, err := r.NextRawPart()
			if err == io.EOF {
				require.Greater(t, n, 1, "%s has one part only", mediaType)
				return
			}
			require.NoError(t, err)
			walk(t, p.Header, p, parts)
			n++
		}
	}
	p := part{mediaType: mediaType, id: get("Content-Id")}
	if d := get("Content-Disposition"); d != "" {
		var params map[string]string
		p.disposition, params, err = mime.ParseMediaType(d)
		require.NoError(t, err, d)
		p.name = params["filename"]
		require.Len(t, params, 1)
	}
	switch encoding := get("Content-Transfer-Encoding"); encoding {
	case "7bit":
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	default:
		require.Fail(t, "encoding", encoding)
	}
	content, err := io.ReadAll(body)
	require.NoError(t, err)
	p.content = string(content)
	*parts = append(*parts, p)
}

// crlf is s with every line end as CRLF.
func crlf(s string) string {
	return strings.NewReplacer("\r\n", "\r\n", "\r", "\r\n", "\n", "\r\n").Replace(s)
}
