package adapter

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
)

// requireMembers requires that Members reads a text as encoding/json does.
func requireMembers(t *testing.T, text string) {
	var want map[string]json.RawMessage
	valid := json.Unmarshal([]byte(text), &want) == nil && want != nil
	got := map[string]json.RawMessage{}
	require.Equal(t, valid, Members([]byte(text), func(name, value []byte) {
		var key string
		require.NoError(t, json.Unmarshal([]byte(`"`+string(name)+`"`), &key))
		got[key] = value
	}), "%q", text)
	if !valid {
		require.Empty(t, got, "%q", text)
		return
	}
	require.Equal(t, len(want), len(got), "%q", text)
	for key, value := range want {
		require.Equal(t, string(value), string(got[key]), "%q", text)
		var s string
		if json.Unmarshal(value, &s) != nil {
			s = ""
		}
		require.Equal(t, s, Text(value))
		requireValue(t, Value(value))
	}
}

// requireValue requires that a value is read as the same text would be that is not
// known to be valid.
func requireValue(t *testing.T, v Value) {
	var inner, alone []string
	members := func(all *[]string) func([]byte, Value) {
		return func(name []byte, value Value) { *all = append(*all, string(name), string(value)) }
	}
	elements := func(all *[]string) func(Value) {
		return func(value Value) { *all = append(*all, string(value)) }
	}
	require.Equal(t, Members(v, members(&alone)), v.Members(members(&inner)), "%q", v)
	require.Equal(t, Elements(v, elements(&alone)), v.Elements(elements(&inner)), "%q", v)
	require.Equal(t, alone, inner, "%q", v)
}

func FuzzMembers(f *testing.F) {
	for _, text := range []string{
		`{"ErrorCode":0,"Message":"OK","MessageID":"7f4f2c9e"}`, ` { "a" : 1 , "b" : [ { "c" : "]" } , "\"" ] , "d" : { } } `,
		`{"a":true,"a":null,"b":-1.5e9}`, `{"a":"\\\"","b":"\u00e9","c\"":"x"}`, `{}`, `[]`, `null`, `"{}"`, ``, ` `, `{`, `{"a"`, `{"a":1}x`, `{"a":1,}`,
		"{\"a\":\"\xff\"}", `{"a":[[1],{"b":2}],"c":{"d":{"e":"}"}}}`,
	} {
		f.Add(text)
	}
	f.Fuzz(requireMembers)
}

func TestMembersAllocatesNothing(t *testing.T) {
	text := []byte(`{"To":"ada@example.com","ErrorCode":0,"Message":"OK","MessageID":"7f4f2c9e"}`)
	require.Zero(t, testing.AllocsPerRun(100, func() { Members(text, func(name, value []byte) {}) }))
}

func TestCredential(t *testing.T) {
	require.NoError(t, Credential("SG.a-b_c~!"))
	for _, value := range []string{"", " ", "a b", "a\n", "\x00", "\x7f", "caf\u00e9"} {
		require.Error(t, Credential(value), "%q", value)
	}
}

func TestDescribe(t *testing.T) {
	require.Equal(t, `acme.Config{BaseURL: ""}`, Describe("acme.Config", ""))
	require.Equal(t, `acme.Config{BaseURL: "https://user:xxxxx@example.com"}`, Describe("acme.Config", "https://user:secret@example.com"))
	require.Equal(t, `acme.Config{BaseURL: "malformed"}`, Describe("acme.Config", "https://user:secret@exa mple.com"))
}

// requireError requires an error before traffic.
func requireError(t *testing.T, err error, provider string, kind mailer.Kind, field string) {
	t.Helper()
	require.ErrorIs(t, err, kind)
	e, ok := errors.AsType[*mailer.Error](err)
	require.True(t, ok)
	require.True(t, e.NotSent)
	require.Equal(t, provider, e.Provider)
	require.Equal(t, field, e.Field)
}

func TestPrepareNamesTheProvider(t *testing.T) {
	m := mailer.Message{From: mailer.Address{Address: "a@example.com"}, To: []mailer.Address{{Address: "jos\u00e9@example.com"}}, Text: "x"}
	_, err := Prepare("acme", m, false)
	requireError(t, err, "acme", mailer.KindUnsupported, "To[0]")
	p, err := Prepare("acme", m, true)
	require.NoError(t, err)
	require.NotEmpty(t, p.ID)
	m.Text = ""
	_, err = Prepare("acme", m, true)
	requireError(t, err, "", mailer.KindInvalid, "Text")
}

func TestAddress(t *testing.T) {
	a, err := Address("acme", "acme.Extra.Sender", mailer.Address{Name: "Ada", Address: "ada@b\u00fccher.example"}, false)
	require.NoError(t, err)
	require.Equal(t, mailer.Address{Name: "Ada", Address: "ada@xn--bcher-kva.example"}, a)
	for _, bad := range []mailer.Address{{}, {Name: "Ada"}, {Address: "ada"}, {Address: "ada@example.com\r\nb"}, {Name: "A\nb", Address: "ada@example.com"}} {
		_, err := Address("acme", "acme.Extra.Sender", bad, false)
		requireError(t, err, "", mailer.KindInvalid, "acme.Extra.Sender")
	}
	jose := mailer.Address{Address: "jos\u00e9@example.com"}
	_, err = Address("acme", "acme.Extra.Sender", jose, false)
	requireError(t, err, "acme", mailer.KindUnsupported, "acme.Extra.Sender")
	a, err = Address("acme", "acme.Extra.Sender", jose, true)
	require.NoError(t, err)
	require.Equal(t, jose, a)
}

func TestRecipients(t *testing.T) {
	two := make([]mailer.Address, 2)
	m := &mailer.Message{To: two, Cc: two, Bcc: two}
	require.NoError(t, Recipients("acme", m, 6))
	for limit, field := range []string{"To[0]", "To[1]", "Cc[0]", "Cc[1]", "Bcc[0]", "Bcc[1]"} {
		requireError(t, Recipients("acme", m, limit), "acme", mailer.KindTooLarge, field)
	}
}

func TestSize(t *testing.T) {
	m := &mailer.Message{}
	require.NoError(t, Size("acme", m, 10, 10))
	requireError(t, Size("acme", m, 11, 10), "acme", mailer.KindTooLarge, "HTML")
	m.Attachments = []mailer.Attachment{{Content: []byte("1")}, {Content: []byte("1234")}}
	requireError(t, Size("acme", m, 11, 10), "acme", mailer.KindTooLarge, "Attachments")
}

func TestMediaType(t *testing.T) {
	for given, want := range map[string]string{
		"":                              "application/octet-stream",
		"text/plain":                    "text/plain",
		"text/plain ;CHARSET=\"utf-8\"": "text/plain",
		"text/csv; charset=US-ASCII":    "text/csv",
		// No word for these is left.
		"text/plain; charset=iso-8859-1":           "",
		"text/plain; charset=":                     "",
		"text/calendar; method=REQUEST":            "",
		"text/plain; charset=utf-8; format=flowed": "",
	} {
		t.Run("the type "+given, func(t *testing.T) {
			got, err := MediaType(given)
			require.Equal(t, want == "", err != nil)
			require.Equal(t, want, got)
			m := &mailer.Message{Attachments: []mailer.Attachment{{}, {ContentType: given}}}
			if want != "" {
				require.NoError(t, MediaTypes("acme", m))
				return
			}
			requireError(t, MediaTypes("acme", m), "acme", mailer.KindUnsupported, "Attachments[1].ContentType")
		})
	}
}

func TestSameFile(t *testing.T) {
	a := mailer.Attachment{Name: "a", ContentType: "b", ContentID: "c", Content: []byte("d")}
	same := a
	same.Content = []byte("d")
	require.True(t, SameFile(a, same))
	for name, change := range map[string]func(b *mailer.Attachment){
		"name": func(b *mailer.Attachment) { b.Name = "x" }, "type": func(b *mailer.Attachment) { b.ContentType = "x" },
		"content id": func(b *mailer.Attachment) { b.ContentID = "x" }, "content": func(b *mailer.Attachment) { b.Content = []byte("x") },
	} {
		b := a
		change(&b)
		require.False(t, SameFile(a, b), name)
	}
}

func TestHeaders(t *testing.T) {
	m := &mailer.Message{Headers: map[string]string{"X-B": "", "X-ACME": "", "X-Acme-2": ""}}
	require.NoError(t, Headers("acme", m, []string{"x-c"}))
	requireError(t, Headers("acme", m, []string{"x-acme-2", "x-acme"}), "acme", mailer.KindUnsupported, `Headers["X-ACME"]`)
}

func TestSetting(t *testing.T) {
	require.NoError(t, Setting("acme.Extra.Pool", "caf\u00e9 1"))
	for _, value := range []string{"a\nb", "\x00", "\x7f", "\u0085", "\xff"} {
		requireError(t, Setting("acme.Extra.Pool", value), "", mailer.KindInvalid, "acme.Extra.Pool")
	}
}

func TestBody(t *testing.T) {
	require.NoError(t, Body("acme.Extra.AMP", "<p>caf\u00e9</p>\r\n\t\x7f"))
	require.NoError(t, Body("acme.Extra.AMP", ""))
	for _, value := range []string{"\x00", "a\x00", "\xff", "a\xc3"} {
		requireError(t, Body("acme.Extra.AMP", value), "", mailer.KindInvalid, "acme.Extra.AMP")
	}
}

func TestUnsubscribe(t *testing.T) {
	for _, c := range []struct {
		u          mailer.Unsubscribe
		list, post string
	}{
		{mailer.Unsubscribe{}, "", ""},
		{mailer.Unsubscribe{Mailto: "leave@example.com"}, "<mailto:leave@example.com>", ""},
		{mailer.Unsubscribe{URL: "https://example.com/"}, "<https://example.com/>", "List-Unsubscribe=One-Click"},
		{
			mailer.Unsubscribe{URL: "https://example.com/", Mailto: "leave@example.com"},
			"<https://example.com/>, <mailto:leave@example.com>", "List-Unsubscribe=One-Click",
		},
	} {
		list, post := Unsubscribe(c.u)
		require.Equal(t, []string{c.list, c.post}, []string{list, post})
	}
}

func TestFields(t *testing.T) {
	m := &mailer.Message{
		Headers:     map[string]string{"X-B": "2", "X-A": "1"},
		Unsubscribe: mailer.Unsubscribe{URL: "https://example.com/"},
	}
	require.Equal(t, []Field{
		{"X-First", "0"},
		{"List-Unsubscribe", "<https://example.com/>"},
		{"List-Unsubscribe-Post", "List-Unsubscribe=One-Click"},
		{"X-A", "1"},
		{"X-B", "2"},
	}, Fields([]Field{{"X-First", "0"}}, m))
	require.Empty(t, Fields(nil, &mailer.Message{}))
}

func TestFlat(t *testing.T) {
	fs, err := Flat("acme", map[string]any{"s": "a \"b\" <c>", "n": 12345678901234567, "f": 0.5, "b": true, "t": time.Unix(1e9, 0).UTC()}, "%")
	require.NoError(t, err)
	require.Equal(t, []Field{{"b", "true"}, {"f", "0.5"}, {"n", "12345678901234567"}, {"s", "a \"b\" <c>"}, {"t", "2001-09-09T01:46:40Z"}}, fs)
	fs, err = Flat("acme", nil, "%")
	require.NoError(t, err)
	require.Empty(t, fs)
	for _, c := range []struct {
		key   string
		value any
		kind  mailer.Kind
		field string
	}{
		{"a", nil, mailer.KindUnsupported, `Template.Data["a"]`},
		{"a", []int{}, mailer.KindUnsupported, `Template.Data["a"]`},
		{"a", map[string]any{}, mailer.KindUnsupported, `Template.Data["a"]`},
		{"", "x", mailer.KindUnsupported, `Template.Data[""]`},
		{"a%", "x", mailer.KindUnsupported, `Template.Data["a%"]`},
		{"a\n", "x", mailer.KindUnsupported, `Template.Data["a\n"]`},
		{"a", "\xff", mailer.KindInvalid, `Template.Data["a"]`},
		{"\xff", "a", mailer.KindInvalid, `Template.Data["\xff"]`},
		{"a", func() {}, mailer.KindInvalid, "Template.Data"},
	} {
		_, err := Flat("acme", map[string]any{c.key: c.value}, "%")
		provider := "acme"
		if c.kind == mailer.KindInvalid {
			provider = ""
		}
		requireError(t, err, provider, c.kind, c.field)
	}
}

func TestNamesAnAddress(t *testing.T) {
	for text, want := range map[string]bool{
		"ben@example.com": true, "550 <BEN@example.com>: no": true, "'ben@example.com'.": true, "a@b.example,ben@example.com;": true,
		"": false, "ben": false, "xben@example.com": false, "ben@example.com.au": false,
	} {
		require.Equal(t, want, Names(text, "ben@example.com"), text)
	}
}

func TestNames(t *testing.T) {
	require.Equal(t, []string{"a", "b"}, Keys(map[string]int{"b": 1, "a": 2}))
	require.Nil(t, Keys(map[string]int{}))
	require.Equal(t, `Metadata["a\"b"]`, Key("Metadata", `a"b`))
	require.Equal(t, "Tags[1]", Index("Tags", 1))
}

func TestObject(t *testing.T) {
	o := NewObject(0)
	o.String("string", "")
	o.Text("text", "")
	o.Text("text", "<\"a\" & b>")
	o.Bool("bool", false)
	o.Int("int", -1)
	o.Object("object", func() {
		o.Object("empty", func() {})
		o.Int("a", 1)
		o.Int("b", 2)
	})
	o.List("none", 0, nil)
	o.List("list", 2, func(i int) { o.Int("i", int64(i)) })
	o.Strings("nobody", 0, nil)
	o.Strings("strings", 2, func(i int) string { return []string{"\"", "b"}[i] })
	o.Map("nothing", nil)
	o.Map("map", map[string]string{"b\"": "", "a": "1"})
	o.Value("value", []string{"<"})
	b, err := o.Close()
	require.NoError(t, err)
	require.Equal(t, `{"string":"","text":"<\"a\" & b>","bool":false,"int":-1,"object":{"empty":{},"a":1,"b":2},`+
		`"list":[{"i":0},{"i":1}],"strings":["\"","b"],"map":{"a":"1","b\"":""},"value":["<"]}`, string(b))

	o = NewObject(0)
	o.Value("a", make(chan int))
	o.Value("b", 1)
	_, err = o.Close()
	require.ErrorContains(t, err, "unsupported type")
}

func TestObjectAllocatesOnce(t *testing.T) {
	m := map[string]string{"a": "b"}
	require.Equal(t, 1.0, testing.AllocsPerRun(100, func() {
		o := NewObject(200)
		o.Text("a", "b")
		o.List("c", 2, func(i int) { o.Int("d", int64(i)) })
		o.Strings("s", 2, func(int) string { return "t" })
		o.Map("e", m)
		o.Close()
	}))
}
