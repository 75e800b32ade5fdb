package jsonenc

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func Example() {
	b := append([]byte{}, `{"HtmlBody":`...)
	b = AppendString(b, `<a href="https://example.com/?a=1&b=2">Grüße</a>`)
	b = append(b, `,"Data":`...)
	b, err := AppendValue(b, map[string]any{"n": 1})
	fmt.Println(string(append(b, '}')), err)
	// Output: {"HtmlBody":"<a href=\"https://example.com/?a=1&b=2\">Grüße</a>","Data":{"n":1}} <nil>
}

func TestAppendStringIsReadBackAsItWas(t *testing.T) {
	for r := range rune(0x250) {
		checkString(t, "a"+string(r)+"b")
	}
	for _, s := range []string{"", "\u2028\u2029", "\U0001F600", "a\xffb\xc3", "\xed\xa0\x80", strings.Repeat("\"\\", 100)} {
		checkString(t, s)
	}
	require.Equal(t, `x"<>&é"`, string(AppendString([]byte("x"), "<>&é")))
}

func FuzzAppendString(f *testing.F) {
	f.Add("a\x00\"\\\r\n\t\x1f\x7f\u2028é\xff")
	f.Fuzz(checkString)
}

// checkString compares with encoding/json.
func checkString(t *testing.T, s string) {
	got := AppendString([]byte("x"), s)[1:]
	want, err := json.Marshal(s)
	require.NoError(t, err)
	var a, b string
	require.NoError(t, json.Unmarshal(got, &a), "%q", got)
	require.NoError(t, json.Unmarshal(want, &b))
	require.Equal(t, b, a)
}

func TestAppendValueLeavesHTMLAsItIs(t *testing.T) {
	got, err := AppendValue([]byte("x"), map[string]any{"b": "<&>", "a": []int{1}})
	require.NoError(t, err)
	require.Equal(t, `x{"a":[1],"b":"<&>"}`, string(got))
	got, err = AppendValue([]byte("x"), func() {})
	require.Error(t, err)
	require.Equal(t, "x", string(got))
}

func TestAppendStringAllocatesNothing(t *testing.T) {
	buf := make([]byte, 0, 1000)
	require.Zero(t, testing.AllocsPerRun(10, func() { AppendString(buf, "<b>Grüße\n</b>") }))
}

func TestNextFindsWhatOneByteAfterTheOtherFinds(t *testing.T) {
	slow := func(s string, i int) int {
		for ; i < len(s) && s[i] >= ' ' && s[i] != '"' && s[i] != '\\'; i++ {
		}
		return i
	}
	for a := range 256 {
		for b := range 256 {
			s := []byte("abcdefghijklmnopqrstu")
			s[3], s[4] = byte(a), byte(b)
			s[9], s[20] = byte(b), byte(a)
			for i := range len(s) + 1 {
				require.Equal(t, slow(string(s), i), next(string(s), i), "%q from %d", s, i)
			}
		}
	}
}

func BenchmarkAppendString(b *testing.B) {
	for name, s := range map[string]string{
		"html":  strings.Repeat(`<p style="color: red">Hello, your order is on its way to you.</p>`+"\n", 60),
		"plain": strings.Repeat("Hello, your order is on its way to you, and here is where it is. ", 60),
	} {
		b.Run(name, func(b *testing.B) {
			buf := make([]byte, 0, 10_000)
			b.SetBytes(int64(len(s)))
			for b.Loop() {
				AppendString(buf, s)
			}
		})
	}
}
