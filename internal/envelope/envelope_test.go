package envelope_test

import (
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/envelope"
)

func Example() {
	m, err := envelope.Prepare(mailer.Message{
		ID:   "signup-17",
		From: mailer.Address{Name: "Bücher, alte", Address: "hello@Bücher.example"},
		To:   []mailer.Address{{Address: "ada@example.com"}},
		Cc:   []mailer.Address{{Address: "ADA@example.com"}, {Address: "grace@example.com"}},
		Text: "Hello",
	}, false)
	fmt.Println(envelope.Format(m.From), err)
	fmt.Println(len(m.To), len(m.Cc))
	// Output:
	// "Bücher, alte" <hello@xn--bcher-kva.example> <nil>
	// 1 1
}

func list(addresses ...string) []mailer.Address {
	var as []mailer.Address
	for _, a := range addresses {
		as = append(as, mailer.Address{Address: a})
	}
	return as
}

func ordinary() mailer.Message {
	return mailer.Message{
		ID:      "id-1",
		From:    mailer.Address{Name: "Example", Address: "hello@example.com"},
		To:      []mailer.Address{{Name: "Ada Lovelace", Address: "ada@example.com"}},
		Subject: "Hello",
		Text:    "Hello",
	}
}

func TestPrepareLeavesAnOrdinaryMessageAsItIs(t *testing.T) {
	m := ordinary()
	m.Cc = list("b@example.com", "C@Example.COM")
	m.Bcc = list("d@example.org")
	m.ReplyTo = list("hello@example.com")
	m.Headers = map[string]string{"X-A": "a"}
	got, err := envelope.Prepare(m, false)
	require.NoError(t, err)
	require.Equal(t, m, got)
	require.Same(t, &m.To[0], &got.To[0], "nothing is copied without need")
	require.Same(t, &m.Cc[0], &got.Cc[0])
	require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = envelope.Prepare(m, false) }))

	m.ID = ""
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { _, _ = envelope.Prepare(m, false) }), 2.0, "the ID alone")
}

func TestPrepareAssignsAnIDOnlyWhereNoneIs(t *testing.T) {
	m := ordinary()
	got, err := envelope.Prepare(m, false)
	require.NoError(t, err)
	require.Equal(t, "id-1", got.ID)
	m.ID = ""
	a, err := envelope.Prepare(m, false)
	require.NoError(t, err)
	b, err := envelope.Prepare(m, false)
	require.NoError(t, err)
	require.Len(t, a.ID, len(mailer.NewID()))
	require.NotEqual(t, a.ID, b.ID)
	require.NoError(t, a.Validate())
	require.Empty(t, m.ID)
}

func TestPrepareRefusesWhatValidateRefuses(t *testing.T) {
	m := ordinary()
	m.Subject = "a\nb"
	got, err := envelope.Prepare(m, true)
	require.Equal(t, m.Validate(), err)
	require.Zero(t, got)
}

func TestDomainsBecomeASCII(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"a German one", "bücher.example", "xn--bcher-kva.example"},
		{"in upper case", "BÜCHER.Example", "xn--bcher-kva.example"},
		{"in decomposed form", "bu\u0308cher.example", "xn--bcher-kva.example"},
		{"in ASCII already", "xn--bcher-kva.example", "xn--bcher-kva.example"},
		{"in ASCII and upper case", "XN--BCHER-KVA.example", "xn--bcher-kva.example"},
		{"a sharp s, which IDNA2008 keeps", "straße.example", "xn--strae-oqa.example"},
		{"a final sigma, which IDNA2008 keeps", "βόλος.example", "xn--nxasmm1c.example"},
		{"a Japanese one", "例え.テスト", "xn--r8jz45g.xn--zckzah"},
		{"an Arabic one", "مثال.إختبار", "xn--mgbh0fb.xn--kgbechtv"},
		{"a Hindi one", "उदाहरण.परीक्षा", "xn--p1b6ci4b4b3a.xn--11b5bs3a9aj6g"},
		{"plain ASCII as it came", "Example.COM", "Example.COM"},
		{"hyphens that are no punycode", "r3---sn.example", "r3---sn.example"},
		{"one label", "localhost", "localhost"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := ordinary()
			m.From.Address = "from@" + c.in
			m.To = list("ada@example.com", "to@"+c.in)
			m.Cc = list("cc@" + c.in)
			m.Bcc = list("bcc@" + c.in)
			m.ReplyTo = list("reply@"+c.in, "reply2@"+c.in)
			m.Unsubscribe.Mailto = "leave@" + c.in
			got, err := envelope.Prepare(m, false)
			require.NoError(t, err)
			require.Equal(t, "from@"+c.want, got.From.Address)
			require.Equal(t, "Example", got.From.Name)
			require.Equal(t, list("ada@example.com", "to@"+c.want), got.To)
			require.Equal(t, list("cc@"+c.want), got.Cc)
			require.Equal(t, list("bcc@"+c.want), got.Bcc)
			require.Equal(t, list("reply@"+c.want, "reply2@"+c.want), got.ReplyTo)
			require.Equal(t, "leave@"+c.want, got.Unsubscribe.Mailto)
			require.NoError(t, got.Validate())

			again, err := envelope.Prepare(got, false)
			require.NoError(t, err)
			require.Equal(t, got, again, "it is stable")
		})
	}
}

// Fields that hold an address, and how the error names them.
var fields = []struct {
	name string
	set  func(m *mailer.Message, address string)
}{
	{"From", func(m *mailer.Message, a string) { m.From.Address = a }},
	{"To[1]", func(m *mailer.Message, a string) { m.To = list("ada@example.com", a) }},
	{"Cc[0]", func(m *mailer.Message, a string) { m.Cc = list(a) }},
	{"Bcc[2]", func(m *mailer.Message, a string) { m.Bcc = list("b@example.com", "c@example.com", a) }},
	{"ReplyTo[0]", func(m *mailer.Message, a string) { m.ReplyTo = list(a) }},
	{"Unsubscribe.Mailto", func(m *mailer.Message, a string) { m.Unsubscribe.Mailto = a }},
}

func TestDomainsWithoutAnASCIIFormAreInvalid(t *testing.T) {
	for _, c := range []struct{ name, domain string }{
		{"punycode that is none", "xn--a0000000.example"},
		{"punycode of ASCII", "xn--example.example"},
		{"punycode that hides a wide at sign", "xn--ab-iw3n.example"},
		{"punycode that hides a wide dot", "xn--ab-r13a.example"},
		{"punycode that hides a zero width space", "xn--ab-g1t.example"},
		{"punycode that hides a number with a dot", "a.XN--ab-xuw.example"},
		{"a punycode label in upper case inside", "xn--BCHER-kvA9.example"},
		{"punycode of upper case", "xn--Bcher-Kva.xn--bcher-kvb0"},
		{"hyphens in third and fourth place", "ab--é.example"},
		{"wide letters", "ｅxample.com"},
		{"a letter that lower case would make a k", "\u212aé.example"},
		{"a letter that lower case would make an i", "İé.example"},
		{"a label that mixes directions", "אa.example"},
		{"a digit in front of a right-to-left domain", "1א.example"},
		{"a mark in front", "\u0300a.example"},
		{"a label too long in punycode", strings.Repeat("é", 60) + ".example"},
		{"a domain too long in punycode", strings.Repeat("é.", 40) + "example"},
		{"a domain that leaves no room for the rest", strings.Repeat("é.", 31) + "abcde"}, // 253 octets in ASCII
		{"a number in a circle", "①é.example"},
	} {
		for _, f := range fields {
			t.Run(c.name+" in "+f.name, func(t *testing.T) {
				m := ordinary()
				f.set(&m, "a@"+c.domain)
				require.NoError(t, m.Validate(), "what is tested here begins after Validate")
				got, err := envelope.Prepare(m, true)
				require.Zero(t, got)
				require.Equal(t, &mailer.Error{Kind: mailer.KindInvalid, NotSent: true, Field: f.name, Message: "the domain has no valid form in ASCII (IDNA2008)"}, err)
			})
		}
	}
}

func TestALocalPartOutsideASCIINeedsAServiceThatCarriesIt(t *testing.T) {
	for _, f := range fields {
		t.Run(f.name, func(t *testing.T) {
			m := ordinary()
			f.set(&m, "用户@bücher.example")
			got, err := envelope.Prepare(m, false)
			require.Zero(t, got)
			require.Equal(t, &mailer.Error{Kind: mailer.KindUnsupported, NotSent: true, Field: f.name, Message: "the local part has characters outside ASCII"}, err)

			got, err = envelope.Prepare(m, true)
			require.NoError(t, err)
			want := ordinary()
			f.set(&want, "用户@xn--bcher-kva.example")
			require.Equal(t, want, got)
		})
	}
}

func TestNobodyIsSentTheMessageTwice(t *testing.T) {
	for _, c := range []struct {
		name                     string
		to, cc, bcc              []mailer.Address
		wantTo, wantCc, wantBcc  []mailer.Address
		sharesTo, sharesCc, utf8 bool
	}{
		{
			name: "twice in one list", to: list("a@example.com", "b@example.com", "a@example.com"),
			wantTo: list("a@example.com", "b@example.com"),
		},
		{
			name: "in all three lists", to: list("a@example.com"), cc: list("a@example.com", "b@example.com"), bcc: list("b@example.com", "a@example.com", "c@example.com"),
			wantTo: list("a@example.com"), wantCc: list("b@example.com"), wantBcc: list("c@example.com"), sharesTo: true,
		},
		{
			name: "in different case", to: list("Ada@example.com", "ada@EXAMPLE.com"), cc: list("ADA@example.COM"),
			wantTo: list("Ada@example.com"),
		},
		{
			name: "by the two spellings of a domain", to: list("a@bücher.example"), cc: list("a@xn--bcher-kva.example", "a@BÜCHER.example", "A@XN--bcher-kva.example"),
			wantTo: list("a@xn--bcher-kva.example"),
		},
		{
			name: "with needless quotes", to: list(`"a"@example.com`), cc: list("A@example.com"), bcc: list(`"a..b"@example.com`, `"A..b"@example.com`),
			wantTo: list(`"a"@example.com`), wantBcc: list(`"a..b"@example.com`),
		},
		{
			name: "in different case outside ASCII", to: list("É@example.com"), cc: list("é@example.com", "e@example.com"),
			wantTo: list("É@example.com"), wantCc: list("e@example.com"), utf8: true,
		},
		{
			name: "a kelvin sign is no k", to: list("\u212a@example.com"), cc: list("k@example.com"),
			wantTo: list("\u212a@example.com"), wantCc: list("k@example.com"), sharesTo: true, sharesCc: true, utf8: true,
		},
		{
			name: "by another name: the first one stays", to: []mailer.Address{{Name: "A", Address: "a@example.com"}}, cc: []mailer.Address{{Name: "B", Address: "a@example.com"}},
			wantTo: []mailer.Address{{Name: "A", Address: "a@example.com"}}, sharesTo: true,
		},
		{
			name: "nobody is left out who only looks alike", to: list("a@example.com", "a@example.org", "a.a@example.com", "a+a@example.com", "b@example.com"),
			wantTo: list("a@example.com", "a@example.org", "a.a@example.com", "a+a@example.com", "b@example.com"), sharesTo: true,
		},
	} {
		// Few recipients are compared one by one, many by a map.
		for _, more := range []int{0, 20} {
			t.Run(fmt.Sprintf("%s, and %d more", c.name, more), func(t *testing.T) {
				m := ordinary()
				m.To, m.Cc, m.Bcc = slices.Clone(c.to), slices.Clone(c.cc), slices.Clone(c.bcc)
				var others []mailer.Address
				for i := range more {
					others = append(others, mailer.Address{Address: fmt.Sprintf("other%d@example.com", i)})
				}
				m.Bcc = append(m.Bcc, others...)
				before := m
				before.To, before.Cc, before.Bcc = slices.Clone(m.To), slices.Clone(m.Cc), slices.Clone(m.Bcc)

				got, err := envelope.Prepare(m, c.utf8)
				require.NoError(t, err)
				require.Equal(t, c.wantTo, got.To)
				require.ElementsMatch(t, c.wantCc, got.Cc)
				require.Equal(t, append(slices.Clone(c.wantBcc), others...), append([]mailer.Address(nil), got.Bcc...))
				require.Equal(t, before, m, "the argument is as it was")
				if c.sharesTo {
					require.Same(t, &m.To[0], &got.To[0])
				}
				if c.sharesCc {
					require.Same(t, &m.Cc[0], &got.Cc[0])
				}
			})
		}
	}
}

func TestPrepareNeverWritesIntoTheListsOfItsArgument(t *testing.T) {
	// Lists with room behind them, and all from one array: an append in place
	// would show.
	array := list("a@bücher.example", "a@xn--bcher-kva.example", "b@example.com", "b@EXAMPLE.com", "c@bücher.example", "z@example.com")
	before := slices.Clone(array)
	m := ordinary()
	m.To, m.Cc, m.Bcc, m.ReplyTo = array[0:2], array[2:4], array[4:5], array[4:5]
	got, err := envelope.Prepare(m, false)
	require.NoError(t, err)
	require.Equal(t, before, array)
	require.Equal(t, list("a@xn--bcher-kva.example"), got.To)
	require.Equal(t, list("b@example.com"), got.Cc)
	require.Equal(t, list("c@xn--bcher-kva.example"), got.Bcc)
}

func TestFormat(t *testing.T) {
	for _, c := range []struct{ name, address, want string }{
		{"", "ada@example.com", "ada@example.com"},
		{"Ada", "ada@example.com", "Ada <ada@example.com>"},
		{"Ada Lovelace", "ada@example.com", "Ada Lovelace <ada@example.com>"},
		{"Lovelace, Ada", "ada@example.com", `"Lovelace, Ada" <ada@example.com>`},
		{"Zoë O'Neill-Smith", "zoe@example.com", "Zoë O'Neill-Smith <zoe@example.com>"},
		{"عدا", "ada@example.com", "عدا <ada@example.com>"},
		{`Ada "the" \ Countess`, "ada@example.com", `"Ada \"the\" \\ Countess" <ada@example.com>`},
		{"eve@attacker.example> <x", "ada@example.com", `"eve@attacker.example> <x" <ada@example.com>`},
		{"=?utf-8?q?Eve?=", "ada@example.com", `"=?utf-8?q?Eve?=" <ada@example.com>`},
		{"J. Doe", "ada@example.com", `"J. Doe" <ada@example.com>`},
		{"a  b", "ada@example.com", `"a  b" <ada@example.com>`},
		{" a", "ada@example.com", `" a" <ada@example.com>`},
		{"a ", "ada@example.com", `"a " <ada@example.com>`},
		{" ", "ada@example.com", `" " <ada@example.com>`},
		{"😀", "ada@example.com", `"😀" <ada@example.com>`},
		{"Ada", `"a..b"@example.com`, `Ada <"a..b"@example.com>`},
	} {
		a := mailer.Address{Name: c.name, Address: c.address}
		require.Equal(t, c.want, envelope.Format(a))
		requireParsesBack(t, a)
	}
}

// unquoted is an address as net/mail returns it.
func unquoted(a string) string {
	if rest, ok := strings.CutPrefix(a, `"`); ok {
		return strings.Replace(rest, `"@`, "@", 1)
	}
	return a
}

func requireParsesBack(t *testing.T, a mailer.Address) {
	t.Helper()
	parsed, err := mail.ParseAddress(envelope.Format(a))
	require.NoError(t, err, envelope.Format(a))
	require.Equal(t, mailer.Address{Name: a.Name, Address: unquoted(a.Address)}, *parsed)
}

// FuzzPrepare holds that whatever Prepare returns has only addresses in ASCII
// which net/mail reads as the same, that nobody stands twice and nobody is lost,
// that the argument is as it was, and that Format writes what net/mail reads.
func FuzzPrepare(f *testing.F) {
	f.Add("ada@example.com", "b@bücher.example", "c@例え.テスト", "Ada", false)
	f.Add(`"a..b"@example.com`, "A@xn--bcher-kva.example", "a@BÜCHER.example", `Lovelace, "Ada"`, true)
	f.Add("用户@example.com", "\u212a@example.com", "k@example.com", "=?utf-8?q?Eve?=", true)
	f.Add("a@ab--é.example", "a@אa.example", "a@xn--a.example", " ", false)
	f.Add("a@İé.example", "a@\u212aé.example", "a@ｅxample.com", "\\", true)
	f.Add("a@xn--example-.example", "a@1א.example", "\"x\r\nBcc: attacker@evil\"@example.com", "a\u200d", true)
	f.Fuzz(func(t *testing.T, x, y, z, name string, utf8Local bool) {
		m := ordinary()
		m.From.Name = name
		m.To = list("ada@example.com")
		for _, a := range []string{x, y, z} {
			probe := ordinary()
			probe.To = []mailer.Address{{Name: name, Address: a}}
			if _, err := envelope.Prepare(probe, utf8Local); err == nil {
				requireParsesBack(t, probe.To[0])
				m.To = append(m.To, mailer.Address{Address: a})
				m.Cc = append(m.Cc, mailer.Address{Address: strings.ToUpper(a)})
				m.Bcc = append(m.Bcc, mailer.Address{Address: a})
				m.ReplyTo = append(m.ReplyTo, mailer.Address{Address: a})
			} else {
				kind := mailer.KindOf(err)
				require.True(t, mailer.NotSent(err))
				require.True(t, kind == mailer.KindInvalid || kind == mailer.KindUnsupported && !utf8Local)
			}
		}
		to, cc, bcc, replyTo := slices.Clone(m.To), slices.Clone(m.Cc), slices.Clone(m.Bcc), slices.Clone(m.ReplyTo)
		got, err := envelope.Prepare(m, utf8Local)
		require.Equal(t, to, m.To)
		require.Equal(t, cc, m.Cc)
		require.Equal(t, bcc, m.Bcc)
		require.Equal(t, replyTo, m.ReplyTo)
		if err != nil {
			return // a name or an address in upper case
		}
		require.NoError(t, got.Validate())
		seen := map[string]bool{}
		for _, a := range slices.Concat(got.To, got.Cc, got.Bcc) {
			require.False(t, seen[a.Address], a.Address)
			seen[a.Address] = true
			parsed, err := mail.ParseAddress("<" + a.Address + ">")
			require.NoError(t, err, a.Address)
			require.Equal(t, unquoted(a.Address), parsed.Address)
			local, domain, _ := strings.Cut(a.Address, "@")
			for _, r := range domain {
				require.Less(t, r, rune(0x80))
			}
			if !utf8Local {
				for _, r := range local {
					require.Less(t, r, rune(0x80))
				}
			}
		}
		require.Empty(t, got.Bcc, "each of them stands in To already")
		require.Len(t, got.ReplyTo, len(m.ReplyTo), "answers are not a delivery")
		again, err := envelope.Prepare(got, utf8Local)
		require.NoError(t, err)
		require.Equal(t, got, again)
	})
}

func BenchmarkPrepare(b *testing.B) {
	wide := ordinary()
	wide.To = list("ada@bücher.example")
	few, many := ordinary(), ordinary()
	for i := range 1000 {
		many.To = append(many.To, mailer.Address{Address: fmt.Sprintf("a%d@example.com", i)})
	}
	few.To = many.To[:8]
	for _, c := range []struct {
		name string
		m    mailer.Message
	}{{"ordinary", ordinary()}, {"an international domain", wide}, {"8 recipients", few}, {"1000 recipients", many}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := envelope.Prepare(c.m, false); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestMailboxIsEqualForTheSameMailbox(t *testing.T) {
	long := strings.Repeat("a", 242) + "@example.com"
	for _, c := range []struct{ name, a, asIs, folded string }{
		{"a plain one", "ada@example.com", "ada@example.com", "ada@example.com"},
		{"capitals", "Ada@EXAMPLE.com", "Ada@example.com", "ada@example.com"},
		{"capitals in the domain", "ada@Example.com", "ada@example.com", "ada@example.com"},
		{"an international domain", "a@bücher.example", "a@xn--bcher-kva.example", "a@xn--bcher-kva.example"},
		{"one in capitals", "A@BÜCHER.example", "A@xn--bcher-kva.example", "a@xn--bcher-kva.example"},
		{"punycode in capitals", "a@XN--bcher-kva.example", "a@xn--bcher-kva.example", "a@xn--bcher-kva.example"},
		{"a domain of combining characters", "a@bu\u0308cher.example", "a@xn--bcher-kva.example", "a@xn--bcher-kva.example"},
		{"quotes", `"a..B"@example.com`, "a..B@example.com", "a..b@example.com"},
		{"a local part outside ASCII", "É@Example.com", "É@example.com", "é@example.com"},
		{"a kelvin sign is no k", "\u212aA@example.com", "\u212aA@example.com", "\u212aa@example.com"},
		{"a tag", "a+B@example.com", "a+B@example.com", "a+b@example.com"},
		{"an at sign", `"a@B"@example.com`, "a@B@example.com", "a@b@example.com"},
		{"the postmaster", "POSTmaster@example.com", "postmaster@example.com", "postmaster@example.com"},
		{"the postmaster in quotes", `"Postmaster"@Example.com`, "postmaster@example.com", "postmaster@example.com"},
		{"somebody of ten letters", "Ada-and-Me@example.com", "Ada-and-Me@example.com", "ada-and-me@example.com"},
		{"a postmaster with a long s", "po\u017ftMaster@example.com", "po\u017ftMaster@example.com", "po\u017ftmaster@example.com"},
		{"the longest", long, long, long},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, fold := range []bool{false, true} {
				want := c.asIs
				if fold {
					want = c.folded
				}
				got, ok := envelope.Mailbox(c.a, fold)
				require.True(t, ok)
				require.Equal(t, want, got)
				again, ok := envelope.Mailbox(got, fold)
				require.True(t, ok)
				require.Equal(t, got, again)
				folded, ok := envelope.Mailbox(got, true)
				require.True(t, ok)
				require.Equal(t, c.folded, folded)
			}
		})
	}
	for _, a := range []string{
		"", "@", "ada", "ada@", "@example.com", "a b@example.com", "a@exa mple.com", "a@example.com\n", "a\x00@example.com", "\xff@example.com",
		"<a@example.com>", "a,b@example.com", "a@[127.0.0.1]", `"a@example.com`, `"@example.com`, `""@example.com`, `a"b@example.com`, `"a\"b"@example.com`,
		"a@ab--é.example", "a@xn--bcher-kvA9.example", "a@xn--bcher-kva9.example", "a@b.xn--a", strings.Repeat("a", 243) + "@example.com",
	} {
		for _, fold := range []bool{false, true} {
			_, ok := envelope.Mailbox(a, fold)
			require.False(t, ok, a)
		}
	}
	require.Zero(t, testing.AllocsPerRun(100, func() { envelope.Mailbox("ada@example.com", true) }))
	require.Zero(t, testing.AllocsPerRun(100, func() { envelope.Mailbox("Ada@example.com", false) }))
}

// FuzzMailbox holds that the short way for plain addresses ends where the long way
// does, which quotes make an address take.
func FuzzMailbox(f *testing.F) {
	f.Add("Ada", "Example.com")
	f.Add("Postmaster", "xn--bcher-kva.example")
	f.Add("a@b", "example.xn--")
	f.Fuzz(func(t *testing.T, local, domain string) {
		for _, fold := range []bool{false, true} {
			got, ok := envelope.Mailbox(local+"@"+domain, fold)
			want, quotedOK := envelope.Mailbox(`"`+local+`"@`+domain, fold)
			if len(local)+len(domain)+3 > 254 || strings.Contains(domain, "@") || strings.HasPrefix(local, `"`) {
				return
			}
			require.Equal(t, quotedOK, ok)
			require.Equal(t, want, got)
		}
	})
}
