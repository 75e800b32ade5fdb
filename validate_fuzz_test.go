package mailer_test

import (
	"bufio"
	"maps"
	"mime"
	"net/mail"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
)

// mailSpace is what renderNaively wrote, as an independent reader has to find it.
type mailSpace struct {
	text   string
	lines  int
	header textproto.MIMEHeader
	lists  map[string][]string // of addresses
}

// renderNaively writes the header of a message the way a program does that
// trusts its input: it escapes nothing but what quotes need.
func renderNaively(m mailer.Message) mailSpace {
	s := mailSpace{header: textproto.MIMEHeader{}, lists: map[string][]string{}}
	var b strings.Builder
	field := func(name, value string) {
		b.WriteString(name + ": " + value + "\r\n")
		s.lines++
		s.header.Add(name, strings.Trim(value, " \t"))
	}
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	list := func(name string, as []mailer.Address) {
		if len(as) == 0 {
			return
		}
		var texts []string
		for _, a := range as {
			texts = append(texts, `"`+quote.Replace(a.Name)+`" <`+a.Address+`>`)
			s.lists[name] = append(s.lists[name], unquoted(a.Address))
		}
		field(name, strings.Join(texts, ", "))
	}
	list("From", []mailer.Address{m.From})
	list("To", m.To)
	list("Cc", m.Cc)
	list("Bcc", m.Bcc)
	list("Reply-To", m.ReplyTo)
	field("Subject", m.Subject)
	field("Message-ID", "<"+m.ID+"@example.com>")
	for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
		field(name, m.Headers[name])
	}
	field("List-Unsubscribe", "<"+m.Unsubscribe.URL+">, <mailto:"+m.Unsubscribe.Mailto+">")
	field("X-Naive-Tag", strings.Join(m.Tags, ","))
	for _, key := range slices.Sorted(maps.Keys(m.Metadata)) {
		field("X-Naive-Metadata", key+"="+m.Metadata[key])
	}
	field("X-Naive-Template", m.Template.ID)
	for _, a := range m.Attachments {
		field("Content-Type", a.ContentType)
		field("Content-Disposition", `attachment; filename="`+quote.Replace(a.Name)+`"`)
		field("Content-ID", "<"+a.ContentID+">")
	}
	s.text = b.String()
	return s
}

// unquoted is an address as net/mail returns it: without quotes.
func unquoted(a string) string {
	if rest, ok := strings.CutPrefix(a, `"`); ok {
		return strings.Replace(rest, `"@`, "@", 1)
	}
	return a
}

// requireNothingAdded reads the rendered message with two parsers that know
// nothing of Validate, and finds the recipients and headers of m, no others.
func requireNothingAdded(t *testing.T, m mailer.Message) {
	t.Helper()
	want := renderNaively(m)

	// Whatever anybody takes for a line break is one of ours.
	lines := strings.FieldsFunc(want.text, func(r rune) bool {
		return r == '\r' || r == '\n' || r == '\v' || r == '\f' || r == 0 || r == 0x85 || r == 0x2028 || r == 0x2029
	})
	require.Len(t, lines, want.lines)
	for _, line := range lines {
		require.NotEqual(t, ".", line)
	}

	header, err := textproto.NewReader(bufio.NewReader(strings.NewReader(want.text + "\r\n"))).ReadMIMEHeader()
	require.NoError(t, err)
	require.Equal(t, want.header, header)

	msg, err := mail.ReadMessage(strings.NewReader(want.text + "\r\n"))
	require.NoError(t, err)
	for _, name := range []string{"From", "To", "Cc", "Bcc", "Reply-To"} {
		var addresses []string
		found, err := msg.Header.AddressList(name)
		if len(want.lists[name]) == 0 {
			require.Error(t, err, name)
		} else {
			require.NoError(t, err, name)
		}
		for _, a := range found {
			addresses = append(addresses, a.Address)
		}
		require.Equal(t, want.lists[name], addresses, name)
	}

	for _, a := range slices.Concat([]mailer.Address{m.From}, m.To, m.Cc, m.Bcc, m.ReplyTo) {
		// In a command of SMTP, the path is one word and ends where it should.
		require.Len(t, strings.Fields("<"+a.Address+">"), 1)
		require.False(t, strings.ContainsAny(a.Address, "<>,; \\"), a.Address)
		require.Equal(t, 1, strings.Count(a.Address, "@"))
		require.Equal(t, strings.LastIndex(unquoted(a.Address), "@"), strings.Index(unquoted(a.Address), "@"))
		require.NotEqual(t, byte('-'), unquoted(a.Address)[0])
	}
	for _, a := range m.Attachments {
		if a.ContentType != "" {
			kind, params, err := mime.ParseMediaType(a.ContentType)
			require.NoError(t, err, a.ContentType)
			require.True(t, strings.HasPrefix(strings.ToLower(a.ContentType), kind))
			require.NotContains(t, params, "name")
			require.NotContains(t, params, "boundary")
			require.False(t, strings.HasPrefix(kind, "multipart/"))
		}
		kind, params, err := mime.ParseMediaType(mime.FormatMediaType("attachment", map[string]string{"filename": a.Name}))
		require.NoError(t, err)
		require.Equal(t, "attachment", kind)
		require.Equal(t, map[string]string{"filename": a.Name}, params)
	}
	if m.Unsubscribe.URL != "" {
		u, err := url.Parse(m.Unsubscribe.URL)
		require.NoError(t, err)
		require.Equal(t, "https", u.Scheme)
		require.Regexp(t, `^[!-~]+$`, m.Unsubscribe.URL)
		require.False(t, strings.ContainsAny(m.Unsubscribe.URL, `<>",`))
		require.NotEmpty(t, u.Hostname())
	}
	if m.Unsubscribe.Mailto != "" {
		u, err := url.Parse("mailto:" + m.Unsubscribe.Mailto)
		require.NoError(t, err)
		require.Equal(t, url.URL{Scheme: "mailto", Opaque: m.Unsubscribe.Mailto}, *u)
	}
}

func TestTheOracleKnowsAnAddedHeaderAndAnAddedRecipient(t *testing.T) {
	requireNothingAdded(t, everything())
	// What a looser check would let through has to show in the rendered text.
	m := everything()
	m.Subject = "a\r\nBcc: eve@attacker.example"
	require.Contains(t, renderNaively(m).text, "\r\nBcc: eve@attacker.example\r\n")
	m = everything()
	m.To[0].Address = "ada@example.com>, <eve@attacker.example"
	msg, err := mail.ReadMessage(strings.NewReader(renderNaively(m).text + "\r\n"))
	require.NoError(t, err)
	found, err := msg.Header.AddressList("To")
	require.NoError(t, err)
	require.Len(t, found, 2)
}

// FuzzValidate holds promise 7: no input adds a recipient or a header. Each
// string goes into its field if Validate lets it pass there; the message of all
// that passed is rendered and read back.
func FuzzValidate(f *testing.F) {
	seed := func(s string) {
		f.Add(s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s)
	}
	for _, s := range []string{
		"ada@example.com", `"a..b"@example.com`, "ada@bücher.example", "用户@example.com",
		"\"x\r\nBcc: attacker@evil\"@example.com",
		`"toni.tester@example.com> ORCPT=admin@admin.com"@example.com`,
		"user@example.com> AUTH=<attacker@example.com",
		"recipient@example.net>\r\nDATA\r\nInjected message body\r\n.\r\nQUIT\r\n",
		"user1@example.com>\nRCPT TO:<gavin@hooli.com>\nDATA\n",
		`"attacker\" -oQ/tmp/ -X/var/www/cache/phpcode.php some"@email.com`,
		"a/../../me?x#@example.com", `"xclow3n@gmail.com x"@internal.domain`, "alice@example.org)bob@evil.org",
		"ada@example.com,eve@attacker.example", "-oQ@example.com", "瘍瘊@example.com",
		"=?utf-8?q?eve=40attacker.example=3e=00?=foo@example.com", "ada\uff1e\uff1ceve@example.com",
		"Hi\r\nBcc: eve@attacker.example", "Hi\nBcc: eve@attacker.example", "Hi\rBcc: eve@attacker.example", ".", "\r\n.\r\n",
		"text/plain; charset=\"a\\\"; name=evil.exe\"", `a.pdf"; filename="evil.exe`, "invoice\u202efdp.exe",
		"a?bcc=eve@attacker.example", `application/pdf; name="evil.exe"`, "https://example.com/ é (x",
		"https://example.com/u?a=b", "https://example.com/>, <https://attacker.example", "text/plain; charset=utf-8", "\u0085\u2028",
	} {
		seed(s)
	}
	f.Add("ada@example.com", "Ada", "b@example.com", "c@example.com", "d@example.com", "e@example.com", "Hello", "id-1", "X-A", "value",
		"a.pdf", "text/plain; charset=utf-8", "cid@example.com", "https://example.com/u", "leave@example.com", "tag", "key")
	f.Fuzz(func(t *testing.T, from, name, to, cc, bcc, replyTo, subject, id, headerName, headerValue,
		fileName, contentType, contentID, link, mailto, tag, key string,
	) {
		m := registration()
		m.Text, m.HTML = "Hello", ""
		pass := func(alter func(m *mailer.Message)) {
			before := m
			alter(&m)
			if err := m.Validate(); err != nil {
				e := err.(*mailer.Error)
				require.True(t, e.Kind == mailer.KindInvalid && e.NotSent && e.Field != "" && e.Message != "")
				require.Less(t, len(e.Error()), 500)
				m = before
			}
		}
		pass(func(m *mailer.Message) { m.From = mailer.Address{Address: from} })
		pass(func(m *mailer.Message) { m.From.Name = name })
		pass(func(m *mailer.Message) { m.To = []mailer.Address{m.To[0], {Name: name, Address: to}} })
		pass(func(m *mailer.Message) { m.Cc = []mailer.Address{{Address: cc}} })
		pass(func(m *mailer.Message) { m.Bcc = []mailer.Address{{Name: name, Address: bcc}} })
		pass(func(m *mailer.Message) { m.ReplyTo = []mailer.Address{{Address: replyTo}} })
		pass(func(m *mailer.Message) { m.Subject = subject })
		pass(func(m *mailer.Message) { m.ID = id })
		pass(func(m *mailer.Message) { m.Headers = map[string]string{"X-Value": headerValue} })
		pass(func(m *mailer.Message) { m.Headers = map[string]string{"X-Value": subject, headerName: headerValue} })
		pass(func(m *mailer.Message) { m.Attachments = []mailer.Attachment{{Name: fileName}} })
		pass(func(m *mailer.Message) {
			m.Attachments = []mailer.Attachment{{Name: "a.txt", ContentType: contentType}}
		})
		pass(func(m *mailer.Message) {
			m.Attachments = []mailer.Attachment{{Name: fileName, ContentType: contentType, ContentID: contentID}}
		})
		pass(func(m *mailer.Message) { m.Unsubscribe.URL = link })
		pass(func(m *mailer.Message) { m.Unsubscribe.Mailto = mailto })
		pass(func(m *mailer.Message) { m.Tags = []string{tag, name} })
		pass(func(m *mailer.Message) { m.Metadata = map[string]string{key: tag} })
		pass(func(m *mailer.Message) { m.Text, m.HTML, m.Template.ID = "", "", key })
		requireNothingAdded(t, m)
	})
}
