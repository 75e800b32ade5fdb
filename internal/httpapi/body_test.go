package httpapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// read gives what goes over the wire, and checks that it is as long as announced.
func read(t *testing.T, b Body) []byte {
	t.Helper()
	require.NoError(t, b.err)
	rc := b.open(&flight{})
	got, err := io.ReadAll(rc)
	require.NoError(t, err)
	require.NoError(t, rc.Close())
	require.EqualValues(t, b.size, len(got))
	return got
}

type mail struct {
	Text  string
	Files []string
}

func TestFilesStandInTheJSONAsBase64(t *testing.T) {
	for name, sizes := range map[string][]int{
		"no file":                 {},
		"an empty file":           {0},
		"one byte":                {1},
		"two bytes":               {2},
		"lengths around a group":  {3, 4, 5, 6, 11, 12, 13, 14, 15, 16, 17},
		"a large file":            {300_001},
		"large and small in turn": {1, 200_000, 0, 200_002, 7},
	} {
		t.Run(name, func(t *testing.T) {
			var f Files
			m, want := mail{Text: "<b>ä\u2028</b>"}, mail{Text: "<b>ä\u2028</b>"}
			for i, size := range sizes {
				content := bytes.Repeat([]byte{byte(i), 'x', 0xff, '"'}, size/4+1)[:size]
				m.Files = append(m.Files, f.Add(content))
				want.Files = append(want.Files, std(content))
			}
			text, err := json.Marshal(m)
			require.NoError(t, err)
			wire, err := json.Marshal(want)
			require.NoError(t, err)
			body := f.Body(text)
			require.Equal(t, string(wire), string(read(t, body)))
			require.Equal(t, string(wire), string(read(t, body)), "a second reading")
		})
	}
}

func TestFilesCanStandInAnyOrderAndTwice(t *testing.T) {
	var f Files
	a, b := f.Add([]byte("one")), f.Add(bytes.Repeat([]byte("two"), 50_000))
	got := string(read(t, f.Body([]byte(`["`+b+`","`+a+`","`+b+`"]`))))
	two := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("two"), 50_000))
	require.Equal(t, `["`+two+`","b25l","`+two+`"]`, got)
}

func TestJoinPutsBodiesIntoOne(t *testing.T) {
	file := func(size int) (Body, string) {
		var f Files
		content := bytes.Repeat([]byte("x"), size)
		return f.Body([]byte(`{"f":"` + f.Add(content) + `"}`)), `{"f":"` + std(content) + `"}`
	}
	for name, sizes := range map[string][]int{
		"none":              {},
		"one":               {5},
		"a few small ones":  {1, 0, 7},
		"a large one":       {100_000},
		"large and small":   {3, 100_000, 0, 200_001},
		"many that are few": slices.Repeat([]int{1000}, 100),
	} {
		t.Run(name, func(t *testing.T) {
			var bodies []Body
			var texts []string
			for _, size := range sizes {
				b, s := file(size)
				bodies, texts = append(bodies, b), append(texts, s)
			}
			want := `{"all":[` + strings.Join(texts, ",") + "]}"
			joined := Join(`{"all":[`, bodies, "]}")
			require.Equal(t, want, string(read(t, joined)))
			require.Equal(t, want, string(read(t, joined)), "a second reading")
			require.Equal(t, len(want) <= inMemory, joined.parts == nil, "in one piece if it is small")
		})
	}
	var f Files
	f.Add([]byte("one"))
	require.ErrorContains(t, Join("[", []Body{Bytes([]byte("1")), f.Body([]byte("{}"))}, "]").err, "lacks file 0")
}

func TestAFileMissingInTheJSONIsAnError(t *testing.T) {
	var f Files
	a, b := f.Add([]byte("one")), f.Add([]byte("two"))
	require.ErrorContains(t, f.Body([]byte(`["`+a+`"]`)).err, "lacks file 1")
	require.ErrorContains(t, f.Body([]byte(`["`+b+`"]`)).err, "lacks file 0")
	require.ErrorContains(t, f.Body([]byte(`["`+a+b[:len(b)-1]+`"]`)).err, "damaged")
	require.ErrorContains(t, f.Body([]byte(`["`+f.nonce+`7."]`)).err, "damaged")
}

func TestNoContentCanBeTakenForAPlaceholder(t *testing.T) {
	var other Files
	stranger := other.Add(nil)
	var f Files
	p := f.Add([]byte(stranger))
	require.NotEqual(t, p, stranger)
	require.GreaterOrEqual(t, len(p), 26, "26 random characters of 5 bits")
	// What was seen in one mail says nothing about the next, nor does a file that
	// holds a placeholder become another file.
	text := `{"text":"` + stranger + `","file":"` + p + `"}`
	want := `{"text":"` + stranger + `","file":"` + base64.StdEncoding.EncodeToString([]byte(stranger)) + `"}`
	require.Equal(t, want, string(read(t, f.Body([]byte(text)))))
}

func TestSmallBodiesAreKnownToBeInMemory(t *testing.T) {
	// net/http looks for exactly this type.
	inMemoryType := io.NopCloser(bytes.NewReader(nil))
	require.IsType(t, inMemoryType, Bytes(make([]byte, inMemory)).open(&flight{}))
	require.IsType(t, &stream{}, Bytes(make([]byte, inMemory+1)).open(&flight{}))
	var f Files
	p := f.Add(make([]byte, 1000))
	require.IsType(t, inMemoryType, f.Body([]byte(`"`+p+`"`)).open(&flight{}))
}

func TestAStreamReadsTheSameInAnyPieces(t *testing.T) {
	var f Files
	content := bytes.Repeat([]byte("0123456789abcd\xff"), 7_000)
	body := f.Body([]byte(`{"a":"` + f.Add(content) + `","b":"` + f.Add(content[:1]) + `"}`))
	require.NotNil(t, body.parts)
	want := read(t, body)
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"byte by byte": iotest.OneByteReader,
		"half of each": iotest.HalfReader,
		"five bytes":   func(r io.Reader) io.Reader { return pieces{r, 5} },
	} {
		got, err := io.ReadAll(wrap(body.open(&flight{})))
		require.NoError(t, err, name)
		require.True(t, bytes.Equal(want, got), name)
	}
	require.NoError(t, iotest.TestReader(body.open(&flight{}), want))
}

type pieces struct {
	io.Reader
	n int
}

func (p pieces) Read(b []byte) (int, error) { return p.Reader.Read(b[:min(p.n, len(b))]) }

func TestNothingOfAFileIsReadAfterTheCall(t *testing.T) {
	var f Files
	body := f.Body([]byte(`"` + f.Add(make([]byte, 100_000)) + `"`))
	fl := &flight{}
	r := body.open(fl)
	_, err := r.Read(make([]byte, 10))
	require.NoError(t, err)
	fl.stop()
	n, err := r.Read(make([]byte, 10))
	require.Zero(t, n)
	require.ErrorIs(t, err, errStopped)
	_, err = body.open(fl).Read(make([]byte, 10))
	require.ErrorIs(t, err, errStopped, "a second reading of the same call")
}

func FuzzFiles(f *testing.F) {
	f.Add("text", []byte("content"), []byte(""), uint16(100))
	f.Add("file-AAAA-0.", []byte("file-"), []byte{0}, uint16(7))
	f.Add("\"\\\u2028<\xff", bytes.Repeat([]byte{0xff}, 100), []byte("ab"), uint16(4096))
	f.Fuzz(func(t *testing.T, text string, a, b []byte, times uint16) {
		var files Files
		large := bytes.Repeat(a, int(times%4096))
		m := mail{text, []string{files.Add(a), files.Add(large), files.Add(b)}}
		encoded, err := json.Marshal(m)
		require.NoError(t, err)
		want := mail{text, []string{std(a), std(large), std(b)}}
		wire, err := json.Marshal(want)
		require.NoError(t, err)
		require.Equal(t, string(wire), string(read(t, files.Body(encoded))))
	})
}

func std(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func TestBase64EncodesAsTheStandardLibraryDoes(t *testing.T) {
	src := make([]byte, 4096)
	for i := range src {
		src[i] = byte(i * i >> 3)
	}
	for n := range 200 {
		for _, from := range []int{0, 1, 1000 + 13*n} {
			in := src[from : from+n]
			dst := []byte(strings.Repeat("#", base64.StdEncoding.EncodedLen(n)))
			require.Equal(t, len(dst), encode(dst, in))
			require.Equal(t, std(in), string(dst))
		}
	}
}
