package mailer_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"

	"github.com/seed355143d4/mailer"
)

// registration is the ordinary message: the mail after a sign-up.
func registration() mailer.Message {
	return mailer.Message{
		From:    mailer.Address{Name: "Example", Address: "hello@example.com"},
		To:      []mailer.Address{{Name: "Ada Lovelace", Address: "ada@example.com"}},
		Subject: "Confirm your address",
		Text:    strings.Repeat("Follow this link to confirm your address.\n", 25),
		HTML:    strings.Repeat("<p style=\"margin:0\">Follow this <a href=\"https://example.com/c\">link</a>.</p>\n", 50),
	}
}

// everything has a value in every field.
func everything() mailer.Message {
	m := registration()
	m.ID = "order_17-A"
	m.Cc = []mailer.Address{{Name: "Ångström, Anders", Address: "anders@example.com"}}
	m.Bcc = []mailer.Address{{Address: "archive@example.com"}}
	m.ReplyTo = []mailer.Address{{Name: "Help \"desk\"", Address: "help+17@example.com"}}
	m.Attachments = []mailer.Attachment{
		{Name: "Rechnung März.pdf", ContentType: "application/pdf", Content: []byte("%PDF")},
		{Name: "logo.png", ContentType: "image/png", ContentID: "logo@example.com", Content: []byte("png")},
		{Name: "invite.ics", ContentType: `text/calendar; charset="utf-8"; method=REQUEST`},
	}
	m.Headers = map[string]string{"In-Reply-To": "<1@example.com>", "References": "<0@example.com>\t<1@example.com>", "X-A": "ä"}
	m.Unsubscribe = mailer.Unsubscribe{URL: "https://example.com/u?t=1&u=2", Mailto: "leave=17@example.com"}
	m.Tags = []string{"sign-up", "größe"}
	m.Metadata = map[string]string{"plan": "free", "user": "17"}
	m.Track = mailer.Tracking{Opens: mailer.Off, Clicks: mailer.On}
	m.SendAt = time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	m.Extras = []mailer.Extra{extraA{}, &extraB{}}
	return m
}

type extraA struct{ Stream string }

func (extraA) ForProvider() string { return "a" }

type extraB struct{ Pool string }

func (extraB) ForProvider() string { return "b" }

type namelessExtra struct{}

func (namelessExtra) ForProvider() string { return "" }

// requireInvalid checks all that Validate promises of its errors.
func requireInvalid(t *testing.T, err error, field string) {
	t.Helper()
	require.Error(t, err)
	e, ok := err.(*mailer.Error)
	require.True(t, ok, "%T", err)
	require.Equal(t, field, e.Field, e.Error())
	require.Equal(t, mailer.KindInvalid, e.Kind)
	require.True(t, e.NotSent)
	require.NotEmpty(t, e.Message)
	require.Equal(t, mailer.Error{Kind: e.Kind, NotSent: true, Field: e.Field, Message: e.Message}, *e, "nothing else is set")
	require.Less(t, len(e.Error()), 500, "the error is bounded")
	for _, r := range e.Error() {
		require.True(t, unicode.IsPrint(r), "the error holds %U", r)
	}
}

func TestOrdinaryAndFullMessagesPass(t *testing.T) {
	require.NoError(t, registration().Validate())
	require.NoError(t, everything().Validate())
}

func TestValidateNeedsTheseFields(t *testing.T) {
	for _, c := range []struct {
		name  string
		alter func(*mailer.Message)
		field string
	}{
		{"the zero message has no author", func(m *mailer.Message) { *m = mailer.Message{} }, "From"},
		{"a name alone is no author", func(m *mailer.Message) { m.From.Address = "" }, "From"},
		{"a message without recipients goes to nobody", func(m *mailer.Message) { m.To = nil }, "To"},
		{"an empty recipient is none", func(m *mailer.Message) { m.To[0] = mailer.Address{} }, "To[0]"},
		{"a message without a body says nothing", func(m *mailer.Message) { m.Text, m.HTML = "", "" }, "Text"},
		{"attachments are no body", func(m *mailer.Message) {
			m.Text, m.HTML = "", ""
			m.Attachments = []mailer.Attachment{{Name: "a.txt"}}
		}, "Text"},
		{"a template beside a text is ambiguous", func(m *mailer.Message) { m.HTML, m.Template.ID = "", "welcome" }, "Template.ID"},
		{"a template beside HTML is ambiguous", func(m *mailer.Message) { m.Text, m.Template.ID = "", "welcome" }, "Template.ID"},
		{"template data needs a template", func(m *mailer.Message) { m.Template.Data = map[string]any{"a": 1} }, "Template.Data"},
		{"an attachment needs a name", func(m *mailer.Message) { m.Attachments = []mailer.Attachment{{}} }, "Attachments[0].Name"},
		{"a tag is not empty", func(m *mailer.Message) { m.Tags = []string{"a", ""} }, "Tags[1]"},
		{"a metadata key is not empty", func(m *mailer.Message) { m.Metadata = map[string]string{"": "a"} }, `Metadata[""]`},
		{"a header name is not empty", func(m *mailer.Message) { m.Headers = map[string]string{"": "a"} }, `Headers[""]`},
		{"open tracking is a known switch", func(m *mailer.Message) { m.Track.Opens = mailer.Off + 1 }, "Track.Opens"},
		{"click tracking is a known switch", func(m *mailer.Message) { m.Track.Clicks = mailer.Off + 1 }, "Track.Clicks"},
		{"a time before 1970 is none", func(m *mailer.Message) { m.SendAt = time.Unix(-1, 0) }, "SendAt"},
		{"a time that RFC 3339 cannot write is none", func(m *mailer.Message) { m.SendAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, "SendAt"},
		{"an extra is not nil", func(m *mailer.Message) { m.Extras = []mailer.Extra{extraA{}, nil} }, "Extras[1]"},
		{"an extra is not a nil pointer", func(m *mailer.Message) { m.Extras = []mailer.Extra{(*extraA)(nil)} }, "Extras[0]"},
		{"an extra names a provider", func(m *mailer.Message) { m.Extras = []mailer.Extra{namelessExtra{}} }, "Extras[0]"},
		{"two extras for one provider contradict", func(m *mailer.Message) { m.Extras = []mailer.Extra{extraA{}, extraB{}, &extraA{}} }, "Extras[2]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := registration()
			c.alter(&m)
			requireInvalid(t, m.Validate(), c.field)
		})
	}
	t.Run("a template needs no body and may have a subject", func(t *testing.T) {
		m := registration()
		m.Text, m.HTML = "", ""
		m.Template = mailer.Template{ID: "welcome", Data: map[string]any{"name": "Ada"}}
		require.NoError(t, m.Validate())
	})
	for _, list := range []func(*mailer.Message) *[]mailer.Address{
		func(m *mailer.Message) *[]mailer.Address { return &m.Cc },
		func(m *mailer.Message) *[]mailer.Address { return &m.Bcc },
	} {
		m := registration()
		*list(&m), m.To = m.To, nil
		require.NoError(t, m.Validate(), "one recipient in any list is enough")
	}
	m := registration()
	m.Subject, m.HTML = "", ""
	require.NoError(t, m.Validate(), "no subject and no HTML")
}

// place is a field of Message that holds text.
type place struct {
	field string
	set   func(m *mailer.Message, s string)
	// good is a text around which a bad character is put.
	good string
	max  int // the greatest length in octets; 0: tested elsewhere
	// wide says that characters outside ASCII pass, tab that a tab does, and
	// reorder that bidirectional controls do.
	wide, tab, reorder bool
}

func places() []place {
	addr := func(field string, set func(m *mailer.Message, a mailer.Address)) []place {
		return []place{
			{field: field, good: "Ada", max: 320, wide: true, set: func(m *mailer.Message, s string) {
				set(m, mailer.Address{Name: s, Address: "ada@example.com"})
			}},
			{field: field, good: "ada", max: 64, wide: true, set: func(m *mailer.Message, s string) {
				set(m, mailer.Address{Address: s + "@example.com"})
			}},
			{field: field, good: "ada", set: func(m *mailer.Message, s string) {
				set(m, mailer.Address{Address: `"` + s + `"@example.com`})
			}, wide: true},
			{field: field, good: "example", max: 63, wide: true, set: func(m *mailer.Message, s string) {
				set(m, mailer.Address{Address: "ada@" + s})
			}},
		}
	}
	ps := slices.Concat(
		addr("From", func(m *mailer.Message, a mailer.Address) { m.From = a }),
		addr("To[1]", func(m *mailer.Message, a mailer.Address) { m.To = append(m.To, a) }),
		addr("Cc[0]", func(m *mailer.Message, a mailer.Address) { m.Cc = []mailer.Address{a} }),
		addr("Bcc[0]", func(m *mailer.Message, a mailer.Address) { m.Bcc = []mailer.Address{a} }),
		addr("ReplyTo[0]", func(m *mailer.Message, a mailer.Address) { m.ReplyTo = []mailer.Address{a} }),
	)
	return append(ps, []place{
		{field: "ID", good: "id", max: 64, set: func(m *mailer.Message, s string) { m.ID = s }},
		{field: "Subject", good: "Hello", max: 2000, wide: true, reorder: true, set: func(m *mailer.Message, s string) { m.Subject = s }},
		{field: "Attachments[0].Name", good: "a.pdf", max: 255, wide: true, set: func(m *mailer.Message, s string) {
			m.Attachments = []mailer.Attachment{{Name: s}}
		}},
		{field: "Attachments[0].ContentType", good: "text/plain", max: 255, set: func(m *mailer.Message, s string) {
			m.Attachments = []mailer.Attachment{{Name: "a", ContentType: s}}
		}},
		{field: "Attachments[0].ContentType", good: "a", set: func(m *mailer.Message, s string) {
			m.Attachments = []mailer.Attachment{{Name: "a", ContentType: `text/plain; charset="` + s + `"`}}
		}},
		{field: "Attachments[0].ContentID", good: "logo", max: 250, set: func(m *mailer.Message, s string) {
			m.Attachments = []mailer.Attachment{{Name: "a", ContentID: s}}
		}},
		{field: `Headers["X-A"]`, good: "value", max: 998 - len("X-A: "), wide: true, tab: true, reorder: true, set: func(m *mailer.Message, s string) {
			m.Headers = map[string]string{"X-A": s}
		}},
		{field: "Headers[]", good: "X-A", max: 76, set: func(m *mailer.Message, s string) { m.Headers = map[string]string{s: "a"} }},
		{field: "Unsubscribe.URL", good: "https://example.com/u", max: 900, set: func(m *mailer.Message, s string) { m.Unsubscribe.URL = s }},
		{field: "Unsubscribe.Mailto", good: "leave", max: 64, wide: true, set: func(m *mailer.Message, s string) {
			m.Unsubscribe.Mailto = s + "@example.com"
		}},
		{field: "Tags[1]", good: "tag", max: 255, wide: true, reorder: true, set: func(m *mailer.Message, s string) { m.Tags = []string{"a", s} }},
		{field: `Metadata["k"]`, good: "value", max: 2000, wide: true, reorder: true, set: func(m *mailer.Message, s string) {
			m.Metadata = map[string]string{"k": s}
		}},
		{field: "Metadata[]", good: "key", max: 255, wide: true, reorder: true, set: func(m *mailer.Message, s string) {
			m.Metadata = map[string]string{s: "a"}
		}},
		{field: "Template.ID", good: "welcome", max: 255, wide: true, reorder: true, set: func(m *mailer.Message, s string) {
			m.Text, m.HTML, m.Template.ID = "", "", s
		}},
	}...)
}

// requireInvalidPlace is requireInvalid for a field whose key is the text.
func requireInvalidPlace(t *testing.T, err error, p place) {
	t.Helper()
	field := p.field
	if list, ok := strings.CutSuffix(field, "[]"); ok {
		e, _ := err.(*mailer.Error)
		require.NotNil(t, e)
		require.True(t, strings.HasPrefix(e.Field, list+`["`), e.Field)
		field = e.Field
	}
	requireInvalid(t, err, field)
}

func TestNoFieldTakesACharacterThatEndsItsLine(t *testing.T) {
	bad := map[string]string{
		"CRLF": "\r\n", "CR": "\r", "LF": "\n", "NUL": "\x00", "DEL": "\x7f", "escape": "\x1b", "vertical tab": "\v",
		"form feed": "\f", "unit separator": "\x1f", "NEL": "\u0085", "CSI": "\u009b", "C1 start": "\u0080",
		"line separator": "\u2028", "paragraph separator": "\u2029",
		"a byte that begins nothing": "\xff", "a surrogate": "\xed\xa0\x80", "an overlong LF": "\xc0\x8a", "a cut rune": "\xe2\x80",
		"a fold": "\r\n ", "a new header": "\r\nBcc: eve@attacker.example",
	}
	for _, p := range places() {
		chars := maps.Clone(bad)
		if !p.tab {
			chars["tab"] = "\t"
		}
		if !p.reorder {
			chars["right-to-left override"] = "\u202e"
			chars["left-to-right embedding"] = "\u202a"
			chars["isolate"] = "\u2066"
			chars["end of isolate"] = "\u2069"
		}
		if !p.wide {
			chars["é"] = "é"
		}
		for name, c := range chars {
			for where, s := range map[string]string{
				"front of": c + p.good, "middle of": p.good[:1] + c + p.good[1:], "end of": p.good + c,
				// After a wide character the slower path is at work.
				"wide text in": "é" + p.good + c,
			} {
				t.Run(fmt.Sprintf("%s in the %s %s", name, where, p.field), func(t *testing.T) {
					m := registration()
					p.set(&m, s)
					requireInvalidPlace(t, m.Validate(), p)
				})
			}
		}
	}
}

func TestLengthsEndAtTheLimit(t *testing.T) {
	for _, p := range places() {
		if p.max == 0 {
			continue
		}
		t.Run(fmt.Sprintf("%s %s", p.field, p.good), func(t *testing.T) {
			fill := func(n int) string { return p.good + strings.Repeat("a", n-len(p.good)) }
			m := registration()
			p.set(&m, p.good)
			require.NoError(t, m.Validate())
			p.set(&m, fill(p.max))
			if p.field == "To[1]" {
				m.To = m.To[:1]
				p.set(&m, fill(p.max))
			}
			require.NoError(t, m.Validate(), "at the limit")
			m = registration()
			p.set(&m, fill(p.max+1))
			requireInvalidPlace(t, m.Validate(), p)
			if p.wide && p.max != 63 { // what counts for a domain label is its ASCII form
				m = registration()
				p.set(&m, fill(p.max-1)+"é")
				requireInvalidPlace(t, m.Validate(), p)
			}
		})
	}
	label := strings.Repeat("a", 63)
	address := func(octets int) string {
		a := strings.Repeat("l", 64) + "@" + label + "." + label + "."
		return a + strings.Repeat("b", octets-len(a)-3) + ".de"
	}
	for _, c := range []struct {
		name  string
		field string
		at    func(m *mailer.Message, n int) // n more than the limit
	}{
		{"the whole address", "From", func(m *mailer.Message, n int) { m.From.Address = address(254 + n) }},
		{"recipients in To", "To", func(m *mailer.Message, n int) { m.To = slices.Repeat(m.To, 10_000+n) }},
		{"recipients in To and Cc", "Cc", func(m *mailer.Message, n int) { m.Cc = slices.Repeat(m.To, 9_999+n) }},
		{"recipients in all three", "Bcc", func(m *mailer.Message, n int) { m.Cc, m.Bcc = m.To, slices.Repeat(m.To, 9_998+n) }},
		{"addresses for replies", "ReplyTo", func(m *mailer.Message, n int) { m.ReplyTo = slices.Repeat(m.To, 100+n) }},
		{"attachments", "Attachments", func(m *mailer.Message, n int) {
			m.Attachments = slices.Repeat([]mailer.Attachment{{Name: "a"}}, 1000+n)
		}},
		{"tags", "Tags", func(m *mailer.Message, n int) { m.Tags = slices.Repeat([]string{"a"}, 100+n) }},
		{"headers", "Headers", func(m *mailer.Message, n int) { m.Headers = numbered(100 + n) }},
		{"metadata", "Metadata", func(m *mailer.Message, n int) { m.Metadata = numbered(100 + n) }},
		{"extras", "Extras", func(m *mailer.Message, n int) {
			for i := range 100 + n {
				m.Extras = append(m.Extras, numberedExtra(i+1))
			}
		}},
	} {
		t.Run("the number or length of "+c.name, func(t *testing.T) {
			m := registration()
			c.at(&m, 0)
			require.NoError(t, m.Validate())
			m = registration()
			c.at(&m, 1)
			requireInvalid(t, m.Validate(), c.field)
		})
	}
}

type numberedExtra int

func (n numberedExtra) ForProvider() string { return strings.Repeat("x", int(n)) }

func numbered(n int) map[string]string {
	m := make(map[string]string, n)
	for i := range n {
		m[fmt.Sprintf("X-%d", i)] = "a"
	}
	return m
}

func TestBodiesMayHoldAnythingButNULAndBadUTF8(t *testing.T) {
	for name, s := range map[string]string{
		"bare CR": "a\rb", "bare LF": "a\nb", "a dot on a line": "a\r\n.\r\nMAIL FROM:<eve@attacker.example>",
		"controls": "\x01\x1b\u0085\u202e\u2028", "emoji": "👩‍💻", "two megabytes": strings.Repeat("é", 1<<20),
	} {
		m := registration()
		m.Text = s
		require.NoError(t, m.Validate(), name)
		m.Text, m.HTML = "", s
		require.NoError(t, m.Validate(), name)
	}
	for name, s := range map[string]string{"NUL": "a\x00b", "latin-1": "caf\xe9", "a cut rune": "a\xf0\x9f"} {
		m := registration()
		m.Text = s
		requireInvalid(t, m.Validate(), "Text")
		m = registration()
		m.HTML = s
		requireInvalid(t, m.Validate(), "HTML")
		_ = name
	}
}

func TestAttacksOfThePastAreRefused(t *testing.T) {
	for _, c := range []struct{ name, address string }{
		{"CVE-2026-45067 Symfony: CRLF in a quoted local part", "\"x\r\nBcc: attacker@evil\"@example.com"},
		{"GHSA-g7hc-96xr-gvvx MimeKit: CRLF in a quoted local part", "\"a\r\nRCPT TO:<eve@attacker.example>\"@example.com"},
		{"CVE-2026-48019 Laravel: CRLF after an address", "ada@example.com\r\n"},
		{"CVE-2026-48019 Laravel: CRLF inside a domain", "ada@example.com\r\nBcc: eve@attacker.example"},
		{"CVE-2025-59937 go-mail: ESMTP parameter in a quoted local part", `"toni.tester@example.com> ORCPT=admin@admin.com"@example.com`},
		{"CVE-2026-53533 aiosmtplib: ESMTP parameter after the bracket", "user@example.com> AUTH=<attacker@example.com"},
		{"CVE-2026-53533 aiosmtplib: a space and a parameter", "user@example.com SIZE=1"},
		{"golang/go #21159 net/smtp: commands after the address", "recipient@example.net>\r\nDATA\r\nInjected message body\r\n.\r\nQUIT\r\n"},
		{"CVE-2015-9096 Ruby Net::SMTP: a second RCPT", "user1@example.com>\nRCPT TO:<gavin@hooli.com>\nDATA\n"},
		{"CVE-2015-9097 mail gem: bare CR", "user1@example.com>\rRCPT TO:<gavin@hooli.com>"},
		{"CVE-2015-8476 PHPMailer: line break in the address", "ada@example.com\nQUIT"},
		{"CVE-2025-7962 Jakarta Mail: line break in the address", "ada\r\n@example.com"},
		{"CVE-2026-45068 Symfony: an option of sendmail", "-oQ/tmp@example.com"},
		{"CVE-2020-7769 Nodemailer: an option of sendmail", "-bi@example.com"},
		{"CVE-2020-7769 Nodemailer: an option of sendmail in quotes", `"-bi"@example.com`},
		{"CVE-2016-10033 PHPMailer: arguments in a quoted local part", `"attacker\" -oQ/tmp/ -X/var/www/cache/phpcode.php some"@email.com`},
		{"CVE-2016-10045 PHPMailer: arguments in single quotes", `"attacker\' -oQ/tmp/ -X/var/www/cache/phpcode.php some"@email.com`},
		{"GHSA-mm7p-fcc7-pg87 Nodemailer: another address in a quoted local part", `"xclow3n@gmail.com x"@internal.domain`},
		{"CVE-2026-92597 Nodemailer: a comment in an address", "ada(comment)@example.com"},
		{"CVE-2026-92597 Nodemailer: a comment with an address", "ada@example.com(<eve@attacker.example>)"},
		{"CVE-2024-24784 Go net/mail: a comment in front", "(comment) ada@example.com"},
		{"CVE-2023-27043 Python parseaddr: two addresses around a bracket", "alice@example.org)bob@evil.org"},
		{"CVE-2023-27043 Python parseaddr: a list in one address", "alice@example.org,bob@evil.org"},
		{"CVE-2023-27043 Python parseaddr: an address and a route", "<alice@example.org>bob@evil.org"},
		{"CVE-2025-61725 Go net/mail: a domain literal", "ada@[127.0.0.1]"},
		{"CVE-2025-61725 Go net/mail: a long domain literal", "ada@[" + strings.Repeat("a", 200) + "]"},
		{"CVE-2026-39820 Go net/mail: nested comments", strings.Repeat("(", 100) + "ada@example.com"},
		{"CVE-2025-14874 Nodemailer: nested groups", strings.Repeat("g:", 60) + "ada@example.com;"},
		{"a group", "undisclosed-recipients:;"},
		{"a source route", "@attacker.example:ada@example.com"},
		{"a name and an address", "Ada <ada@example.com>"},
		{"brackets only", "<ada@example.com>"},
		{"a list with semicolons", "ada@example.com;eve@attacker.example"},
		{"an encoded word", "=?utf-8?q?eve=40attacker.example=3e=00?=foo@example.com"},
		{"an encoded word by wide signs", "a\uff1d?utf-8?q?b@example.com"},
		{"wide brackets that normalization makes real", "ada\uff1e\uff1ceve@example.com"},
		{"a wide at sign", "eve\uff20attacker.example@example.com"},
		{"a wide at sign in the domain", "ada@eve\uff20example.com"},
		{"an ideographic dot in the domain", "ada@attacker\u3002example.com"},
		{"a wide dot in the domain", "ada@attacker\uff0eexample.com"},
		{"a number that normalization gives a dot", "ada@attacker\u2488example.com"},
		{"an address sign that normalization gives a slash", "ada@attacker\u2100example.com"},
		{"a zero width space", "ada\u200b@example.com"},
		{"a zero width joiner", "ada\u200d@example.com"},
		{"a zero width non-joiner in the domain", "ada@exa\u200cmple.com"},
		{"a soft hyphen", "ada@exam\u00adple.com"},
		{"a byte order mark", "\ufeffada@example.com"},
		{"a right-to-left mark", "ada\u200f@example.com"},
		{"a no-break space", "ada\u00a0x@example.com"},
		{"a replacement character", "ada\ufffd@example.com"},
		{"a private character", "ada\ue000@example.com"},
		{"a tag character", "ada\U000e0041@example.com"},
		{"no at sign", "ada.example.com"},
		{"no local part", "@example.com"},
		{"an empty quoted local part", `""@example.com`},
		{"one quote", `"@example.com`},
		{"a quote inside", `a"b@example.com`},
		{"a quote open", `"ada@example.com`},
		{"a quoted part of a local part", `"a".b@example.com`},
		{"a quoted backslash", `"a\b"@example.com`},
		{"a quoted space", `"a b"@example.com`},
		{"a quoted at sign", `"a@b"@example.com`},
		{"a quoted bracket", `"a>b"@example.com`},
		{"a quoted comma", `"a,b"@example.com`},
		{"a dot in front", ".ada@example.com"},
		{"a dot at the end", "ada.@example.com"},
		{"two dots", "a..b@example.com"},
		{"CVE-2026-54893 Swoosh: a path that climbs", "a/../../me?x#@example.com"},
		{"two at signs", "ada@eve@example.com"},
		{"no domain", "ada@"},
		{"a domain with an empty label", "ada@example..com"},
		{"a domain with a dot in front", "ada@.example.com"},
		{"a domain with a dot at the end", "ada@example.com."},
		{"a label with a hyphen in front", "ada@-example.com"},
		{"a label with a hyphen at the end", "ada@example-.com"},
		{"an underscore in the domain", "ada@ex_ample.com"},
		{"a port in the domain", "ada@example.com:25"},
		{"a path in the domain", "ada@example.com/x"},
		{"a percent in the domain", "ada@example%2ecom"},
		{"an emoji in the domain", "ada@💩.example"},
		{"a space in front", " ada@example.com"},
		{"a space at the end", "ada@example.com "},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := registration()
			m.From.Address = c.address
			requireInvalid(t, m.Validate(), "From")
			m = everything()
			m.To = append(m.To, mailer.Address{Address: c.address})
			requireInvalid(t, m.Validate(), "To[1]")
			m = everything()
			m.Cc[0].Address = c.address
			requireInvalid(t, m.Validate(), "Cc[0]")
			m = everything()
			m.Bcc[0].Address = c.address
			requireInvalid(t, m.Validate(), "Bcc[0]")
			m = everything()
			m.ReplyTo[0].Address = c.address
			requireInvalid(t, m.Validate(), "ReplyTo[0]")
			m = everything()
			m.Unsubscribe.Mailto = c.address
			requireInvalid(t, m.Validate(), "Unsubscribe.Mailto")
		})
	}

	for _, c := range []struct {
		name  string
		alter func(*mailer.Message)
		field string
	}{
		{"CVE-2021-23400 Nodemailer: a line break in a display name", func(m *mailer.Message) { m.To[0].Name = "Ada\r\nBcc: eve@attacker.example" }, "To[0]"},
		{"CVE-2021-23400 Nodemailer: a lone CR in a display name", func(m *mailer.Message) { m.From.Name = "Ada\rBcc: eve@attacker.example" }, "From"},
		{"CVE-2017-9801 Commons Email: a line break in the subject", func(m *mailer.Message) { m.Subject = "Hi\nBcc: eve@attacker.example" }, "Subject"},
		{"CVE-2012-0796 PHPMailer: a line break in the subject", func(m *mailer.Message) { m.Subject = "Hi\r\n\r\nbody" }, "Subject"},
		{"CVE-2026-77634 CakePHP: CRLF in a header", func(m *mailer.Message) { m.Headers = map[string]string{"X-A": "a\r\nBcc: eve@attacker.example"} }, `Headers["X-A"]`},
		{"CVE-2026-119417 CakePHP: bare LF in a header", func(m *mailer.Message) { m.Headers = map[string]string{"X-A": "a\nBcc: eve@attacker.example"} }, `Headers["X-A"]`},
		{"CVE-2026-119417 CakePHP: bare CR in a header", func(m *mailer.Message) { m.Headers = map[string]string{"X-A": "a\rBcc: eve@attacker.example"} }, `Headers["X-A"]`},
		{"CVE-2024-6923 Python: a line break in a header name", func(m *mailer.Message) { m.Headers = map[string]string{"X-A: b\r\nBcc": "eve@attacker.example"} }, `Headers["X-A: b\r\nBcc"]`},
		{"CVE-2026-1299 Python: a fold without a space", func(m *mailer.Message) { m.Headers = map[string]string{"X-A": "a\r\n\tb\r\nBcc: eve@attacker.example"} }, `Headers["X-A"]`},
		{"a space before the colon", func(m *mailer.Message) { m.Headers = map[string]string{"Bcc ": "eve@attacker.example"} }, `Headers["Bcc "]`},
		{"GHSA-rp4q-8m6x-c43c Haraka: a header line that is a dot", func(m *mailer.Message) { m.Headers = map[string]string{"X-A": "a\r\n."} }, `Headers["X-A"]`},
		{"CVE-2026-45070 Symfony: CRLF in a parameter name", func(m *mailer.Message) {
			m.Attachments[0].ContentType = "text/plain; a\r\nBcc: eve@attacker.example=b"
		}, "Attachments[0].ContentType"},
		{"CVE-2026-45070 Symfony: a parameter name that is no token", func(m *mailer.Message) {
			m.Attachments[0].ContentType = "text/plain; a b=c"
		}, "Attachments[0].ContentType"},
		{"CVE-2020-13625 PHPMailer: a second file name by Content-Type", func(m *mailer.Message) {
			m.Attachments[0].ContentType = `application/pdf; NAME="evil.exe"`
		}, "Attachments[0].ContentType"},
		{"a second file name by RFC 2231", func(m *mailer.Message) {
			m.Attachments[0].ContentType = `application/pdf; name*=utf-8''evil.exe`
		}, "Attachments[0].ContentType"},
		{"a quoted value that escapes its end", func(m *mailer.Message) {
			m.Attachments[0].ContentType = `text/plain; charset="a\"; name=evil.exe"`
		}, "Attachments[0].ContentType"},
		{"a backslash in a quoted value", func(m *mailer.Message) {
			m.Attachments[0].ContentType = `text/plain; charset="a\b"`
		}, "Attachments[0].ContentType"},
		{"a parameter twice", func(m *mailer.Message) {
			m.Attachments[0].ContentType = `text/plain; charset="utf-8" ; format=flowed;Charset=utf-7`
		}, "Attachments[0].ContentType"},
		{"a multipart file that could hold parts of the message", func(m *mailer.Message) {
			m.Attachments[0].ContentType = `Multipart/mixed`
		}, "Attachments[0].ContentType"},
		{"a boundary", func(m *mailer.Message) { m.Attachments[0].ContentType = `text/plain; boundary=a` }, "Attachments[0].ContentType"},
		{"a type alone", func(m *mailer.Message) { m.Attachments[0].ContentType = `text` }, "Attachments[0].ContentType"},
		{"a type without a subtype", func(m *mailer.Message) { m.Attachments[0].ContentType = `text/` }, "Attachments[0].ContentType"},
		{"a type without a main type", func(m *mailer.Message) { m.Attachments[0].ContentType = `/plain` }, "Attachments[0].ContentType"},
		{"a parameter without a value", func(m *mailer.Message) { m.Attachments[0].ContentType = `text/plain; charset=` }, "Attachments[0].ContentType"},
		{"a parameter without an equals sign", func(m *mailer.Message) { m.Attachments[0].ContentType = `text/plain; charset` }, "Attachments[0].ContentType"},
		{"a semicolon at the end", func(m *mailer.Message) { m.Attachments[0].ContentType = `text/plain;` }, "Attachments[0].ContentType"},
		{"a quoted value without an end", func(m *mailer.Message) { m.Attachments[0].ContentType = `text/plain; charset="utf-8` }, "Attachments[0].ContentType"},
		{"text after a quoted value", func(m *mailer.Message) { m.Attachments[0].ContentType = `text/plain; charset="utf-8"x` }, "Attachments[0].ContentType"},
		{"two types", func(m *mailer.Message) { m.Attachments[0].ContentType = `text/plain, text/html` }, "Attachments[0].ContentType"},
		{"CVE-2018-19296 PHPMailer: a URL as a file name", func(m *mailer.Message) { m.Attachments[0].Name = "phar://a.phar" }, "Attachments[0].Name"},
		{"CVE-2020-36326 PHPMailer: a UNC path as a file name", func(m *mailer.Message) { m.Attachments[0].Name = `\\attacker.example\a` }, "Attachments[0].Name"},
		{"a file name that climbs", func(m *mailer.Message) { m.Attachments[0].Name = "../etc/passwd" }, "Attachments[0].Name"},
		{"a file name that is a folder", func(m *mailer.Message) { m.Attachments[0].Name = ".." }, "Attachments[0].Name"},
		{"a file name that is this folder", func(m *mailer.Message) { m.Attachments[0].Name = "." }, "Attachments[0].Name"},
		{"a file name that hides its type", func(m *mailer.Message) { m.Attachments[0].Name = "invoice\u202efdp.exe" }, "Attachments[0].Name"},
		{"a content id that leaves its brackets", func(m *mailer.Message) { m.Attachments[0].ContentID = "a> <b" }, "Attachments[0].ContentID"},
		{"a content id with a quote", func(m *mailer.Message) { m.Attachments[0].ContentID = `a"onerror=` }, "Attachments[0].ContentID"},
		{"CVE-2026-82661 Nodemailer: a comment in List-Unsubscribe", func(m *mailer.Message) { m.Unsubscribe.URL = "https://example.com/> (x\r\nBcc: eve@attacker.example)" }, "Unsubscribe.URL"},
		{"a second URL in List-Unsubscribe", func(m *mailer.Message) { m.Unsubscribe.URL = "https://example.com/,https://attacker.example/" }, "Unsubscribe.URL"},
		{"a URL that leaves its brackets", func(m *mailer.Message) { m.Unsubscribe.URL = "https://example.com/><mailto:eve@attacker.example" }, "Unsubscribe.URL"},
		{"a URL without TLS", func(m *mailer.Message) { m.Unsubscribe.URL = "http://example.com/" }, "Unsubscribe.URL"},
		{"a script as a URL", func(m *mailer.Message) { m.Unsubscribe.URL = "javascript:alert(1)" }, "Unsubscribe.URL"},
		{"a URL without a host", func(m *mailer.Message) { m.Unsubscribe.URL = "https:///u" }, "Unsubscribe.URL"},
		{"a URL with a port only", func(m *mailer.Message) { m.Unsubscribe.URL = "https://:443/u" }, "Unsubscribe.URL"},
		{"an opaque URL", func(m *mailer.Message) { m.Unsubscribe.URL = "https:example.com" }, "Unsubscribe.URL"},
		{"a relative URL", func(m *mailer.Message) { m.Unsubscribe.URL = "//example.com/u" }, "Unsubscribe.URL"},
		{"a URL with a user", func(m *mailer.Message) { m.Unsubscribe.URL = "https://example.com@attacker.example/" }, "Unsubscribe.URL"},
		{"a URL with a backslash", func(m *mailer.Message) { m.Unsubscribe.URL = `https://attacker.example\@example.com/` }, "Unsubscribe.URL"},
		{"a URL with a bad escape", func(m *mailer.Message) { m.Unsubscribe.URL = `https://example.com/%zz` }, "Unsubscribe.URL"},
		{"an unsubscribe address that adds a Bcc to the mailto", func(m *mailer.Message) { m.Unsubscribe.Mailto = "a?bcc=eve@attacker.example" }, "Unsubscribe.Mailto"},
		{"an unsubscribe address with an escape", func(m *mailer.Message) { m.Unsubscribe.Mailto = "a%0d@example.com" }, "Unsubscribe.Mailto"},
		{"an unsubscribe address in quotes", func(m *mailer.Message) { m.Unsubscribe.Mailto = `"a..b"@example.com` }, "Unsubscribe.Mailto"},
		{"our own key in the metadata", func(m *mailer.Message) { m.Metadata = map[string]string{"Mailer_ID": "1"} }, `Metadata["Mailer_ID"]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := everything()
			c.alter(&m)
			requireInvalid(t, m.Validate(), c.field)
		})
	}
}

func TestUnusualButGoodAddressesPass(t *testing.T) {
	for _, a := range []mailer.Address{
		{Address: "ada@localhost"},
		{Address: "a@b"},
		{Address: "ada+news@example.com"},
		{Address: "ada.b-c_d@sub.example.co.uk"},
		{Address: "!#$%&'*+-/?=^_`{|}~@example.com"},
		{Address: `"a..b"@example.com`},
		{Address: `".a."@example.com`},
		{Address: `"ada"@example.com`},
		{Address: "SRS0=ab=cd=example.org=ada@example.com"},
		{Address: "1234567890@1234.example"},
		{Address: "ada@xn--bcher-kva.example"},
		{Address: "ada@bücher.example"},
		{Address: "ada@例え.テスト"},
		{Address: "ada@उदाहरण.example"},
		{Address: "ada@مثال.example"},
		{Address: "josé.ñ@example.com"},
		{Address: "用户@example.com"},
		{Address: "अजय@example.com"},
		{Address: "😀@example.com"},
		{Address: "ada@r3---sn.example.com"},
		// Close to CVE-2026-54893 Swoosh: harmless here, and to be escaped by what
		// puts an address into a URL.
		{Address: "a/./me?x#@example.com"},
		// The code point of 瘍 ends in that of CR, of 瘊 in that of LF: harmless
		// unless a program cuts runes down to bytes.
		{Address: "瘍瘊@example.com"},
		{Name: "瘍瘊Bcc: eve@attacker.example", Address: "ada@example.com"},
		{Name: "Lovelace, Ada", Address: "ada@example.com"},
		{Name: `Ada "the Countess" \ Lovelace`, Address: "ada@example.com"},
		{Name: "eve@attacker.example> <", Address: "ada@example.com"},
		{Name: "(comment) ;:.[]", Address: "ada@example.com"},
		{Name: "👩‍💻 Ada 🏴󠁧󠁢󠁥󠁮󠁧󠁿", Address: "ada@example.com"},
		{Name: "עדה לאבלייס\u200f", Address: "ada@example.com"},
		{Name: "آدا می\u200cخواهد", Address: "ada@example.com"},
		{Name: "क्\u200dष", Address: "ada@example.com"},
		{Name: " ", Address: "ada@example.com"},
	} {
		t.Run(a.Name+" "+a.Address, func(t *testing.T) {
			m := registration()
			m.From, m.To, m.ReplyTo = a, []mailer.Address{a}, []mailer.Address{a}
			require.NoError(t, m.Validate())
		})
	}
}

func TestGoodContentTypesPass(t *testing.T) {
	for _, s := range []string{
		"", "application/pdf", "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
		"text/plain; charset=utf-8", "text/plain;charset=utf-8;format=flowed", `text/calendar ; method="REQUEST" ; charset=utf-8`,
		`text/x; a=""; b="; c=d"; c=e`, "image/svg+xml", "message/rfc822",
	} {
		m := registration()
		m.Attachments = []mailer.Attachment{{Name: "a", ContentType: s}}
		require.NoError(t, m.Validate(), s)
	}
}

func TestReservedHeadersAreRefusedInAnyCase(t *testing.T) {
	reserved := []string{
		"From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Subject", "Date", "Message-ID", "MIME-Version", "Received",
		"Received-SPF", "Return-Path", "DKIM-Signature", "DomainKey-Signature", "Authentication-Results",
		"List-Unsubscribe", "List-Unsubscribe-Post", "Apparently-To", "Delivered-To", "Envelope-To", "X-Envelope-To",
		"X-Original-To", "X-Sender", "X-Receiver",
		"Content-Type", "Content-Transfer-Encoding", "Content-", "Resent-To", "Resent-Bcc", "ARC-Seal",
	}
	for _, name := range reserved {
		for _, name := range []string{name, strings.ToLower(name), strings.ToUpper(name)} {
			m := registration()
			m.Headers = map[string]string{name: "a"}
			requireInvalid(t, m.Validate(), fmt.Sprintf("Headers[%q]", name))
		}
	}
	for _, name := range []string{"In-Reply-To", "References", "List-Id", "Precedence", "Auto-Submitted", "Feedback-ID", "X-To", "Tos", "Content", "Disposition-Notification-To", "Errors-To"} {
		m := registration()
		m.Headers = map[string]string{name: "a"}
		require.NoError(t, m.Validate(), name)
	}
	for _, name := range []string{"X A", "X:A", "X-É", "X\"A", "X(A)", "X,A", "X;A", "X@A", "X[A]", "X/A", "X=A", "X<A>", "X\\A"} {
		m := registration()
		m.Headers = map[string]string{name: "a"}
		requireInvalid(t, m.Validate(), fmt.Sprintf("Headers[%q]", name))
	}
}

func TestTheErrorOfAMapIsAlwaysTheSame(t *testing.T) {
	long := strings.Repeat("z", 1000)
	for range 50 {
		m := registration()
		m.Headers = map[string]string{"X-D": "\n", "X-B": "\r", "X-C": "\x00", "X-A": "good"}
		requireInvalid(t, m.Validate(), `Headers["X-B"]`)
		m.Headers = map[string]string{"x-a": "1", "X-a": "2", "X-A": "3"}
		requireInvalid(t, m.Validate(), `Headers["X-a"]`)
		m.Headers = map[string]string{long + "a": "1", long + "b": "2"}
		requireInvalid(t, m.Validate(), `Headers["`+long[:64]+`…"]`)
		m.Headers = nil
		m.Metadata = map[string]string{"d": "\n", "b": "\r", "c": "\x00", "a": "good"}
		requireInvalid(t, m.Validate(), `Metadata["b"]`)
		m.Metadata = map[string]string{long + "a": "1", long + "b": "2"}
		requireInvalid(t, m.Validate(), `Metadata["`+long[:64]+`…"]`)
	}
}

// A program behind a service may normalize an address. What passes here must not
// become another address by that, nor be anything but letters, marks, numbers
// and symbols.
func TestNoCharacterOfAnAddressTurnsIntoAnotherOneByNormalization(t *testing.T) {
	const atext = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-/?^_`{|}~"
	harmless := func(r rune, classes ...*unicode.RangeTable) bool {
		if !unicode.In(r, classes...) || r == unicode.ReplacementChar {
			return false
		}
		for _, form := range []norm.Form{norm.NFKC, norm.NFKD} {
			for _, n := range form.String(string(r)) {
				if n < 0x80 && !strings.ContainsRune(atext, n) || n >= 0x80 && !unicode.In(n, unicode.L, unicode.M, unicode.N, unicode.S) {
					return false
				}
			}
		}
		return true
	}
	m := registration()
	for r := rune(0x80); r <= unicode.MaxRune; r++ {
		if r == 0x32000 { // nothing but tags and private characters from here on
			r = 0xe0000
		}
		if r == 0xe0200 {
			break
		}
		m.From.Address = "a" + string(r) + "@example.com"
		if err := m.Validate(); (err == nil) != harmless(r, unicode.L, unicode.M, unicode.N, unicode.S) {
			t.Errorf("local part: %U %q normalizes to %q: %v", r, r, norm.NFKC.String(string(r)), err)
		}
		m.From.Address = "a@b" + string(r) + ".example"
		if err := m.Validate(); (err == nil) != harmless(r, unicode.L, unicode.M, unicode.N) {
			t.Errorf("domain: %U %q normalizes to %q: %v", r, r, norm.NFKC.String(string(r)), err)
		}
	}
}

func TestValidateChangesNothingAndAllocatesNothing(t *testing.T) {
	m := everything()
	require.NoError(t, m.Validate())
	require.Equal(t, everything(), m)
	for name, m := range map[string]mailer.Message{"ordinary": registration(), "with everything but a URL": func() mailer.Message {
		m := everything()
		m.Unsubscribe.URL = ""
		return m
	}()} {
		require.Zero(t, testing.AllocsPerRun(100, func() { _ = m.Validate() }), name)
	}
}

func TestInputOfAHostileSizeIsRefusedWithASmallError(t *testing.T) {
	for name, m := range hostile() {
		t.Run(name, func(t *testing.T) {
			err := m.Validate()
			e, ok := err.(*mailer.Error)
			require.True(t, ok, "%T", err)
			requireInvalid(t, err, e.Field)
			// Lengths are looked at first: what the text holds is never reached.
			if strings.HasPrefix(name, "1 MB") {
				require.Contains(t, e.Message, "longer than")
			}
			// A refusal makes the error and its words, and nothing in the size of
			// the input.
			require.LessOrEqual(t, testing.AllocsPerRun(1, func() { _ = m.Validate() }), 12.0)
		})
	}
}
