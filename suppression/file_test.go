package suppression_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed355143d4/mailer/suppression"
)

// format is a kind of file.
type format struct {
	name  string
	write func(io.Writer, iter.Seq2[suppression.Entry, error]) error
	read  func(io.Reader) iter.Seq2[suppression.Entry, error]
}

var formats = []format{{"CSV", suppression.WriteCSV, suppression.ReadCSV}, {"JSON", suppression.WriteJSON, suppression.ReadJSON}}

func sequence(entries ...suppression.Entry) iter.Seq2[suppression.Entry, error] {
	return func(yield func(suppression.Entry, error) bool) {
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// read returns what is in a text, and what is wrong with it.
func read(f format, text string) (entries []suppression.Entry, errs []string) {
	for e, err := range f.read(strings.NewReader(text)) {
		if err != nil {
			errs = append(errs, err.Error())
			continue
		}
		entries = append(entries, e)
	}
	return entries, errs
}

func TestAFileOfEntries(t *testing.T) {
	when := time.Date(2026, 11, 2, 9, 14, 12, 551_234_000, time.UTC)
	entries := []suppression.Entry{
		{Address: "=1+1@example.com", Reason: suppression.HardBounce, Source: "postmark", Detail: `+550 "no", such`, Created: when},
		{Address: "'ada@example.com", Reason: suppression.SoftBounce, Stream: "-news", Count: 5, Created: when, Expires: when.Add(time.Hour)},
	}
	for i, want := range []string{
		"address,reason,stream,source,detail,count,created,expires\n" +
			"'=1+1@example.com,hard_bounce,,postmark,\"'+550 \"\"no\"\", such\",0,2026-11-02T09:14:12.551234Z,\n" +
			"''ada@example.com,soft_bounce,'-news,,,5,2026-11-02T09:14:12.551234Z,2026-11-02T10:14:12.551234Z\n",
		`{"address":"=1+1@example.com","reason":"hard_bounce","source":"postmark","detail":"+550 \"no\", such","created":"2026-11-02T09:14:12.551234Z"}` + "\n" +
			`{"address":"'ada@example.com","reason":"soft_bounce","stream":"-news","count":5,"created":"2026-11-02T09:14:12.551234Z","expires":"2026-11-02T10:14:12.551234Z"}` + "\n",
	} {
		f := formats[i]
		t.Run(f.name, func(t *testing.T) {
			var b bytes.Buffer
			require.NoError(t, f.write(&b, sequence(entries...)))
			require.Equal(t, want, b.String())
			got, errs := read(f, want)
			require.Empty(t, errs)
			require.Equal(t, entries, got)
		})
	}
}

// addresses draws addresses, hostile ones among them.
var addresses = rapid.Custom(func(t *rapid.T) string {
	local := rapid.StringMatching(`[=+'|@a-zA-Z0-9._é-]{1,12}`).Draw(t, "local")
	return local + "@" + rapid.SampledFrom([]string{"example.com", "Bücher.example", "EXAMPLE.org"}).Draw(t, "domain")
})

func TestAFileBringsBackWhatWasWritten(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[=+@'\t\r\n",; a-c-]{0,8}`))
	when := rapid.Map(rapid.Int64Range(-1e15, 1e16), func(n int64) time.Time {
		if n < 0 {
			return time.Time{}
		}
		return time.UnixMicro(n)
	})
	for _, f := range formats {
		t.Run(f.name, rapid.MakeCheck(func(t *rapid.T) {
			var entries []suppression.Entry
			for range rapid.IntRange(0, 5).Draw(t, "n") {
				e, err := suppression.Entry{
					Address: addresses.Draw(t, "address"),
					Reason:  rapid.SampledFrom([]suppression.Reason{suppression.HardBounce, suppression.Complaint, suppression.Manual, suppression.Strike}).Draw(t, "reason"),
					Stream:  text.Draw(t, "stream"), Source: text.Draw(t, "source"), Detail: text.Draw(t, "detail"),
					Count: rapid.IntRange(0, 1000).Draw(t, "count"), Created: when.Draw(t, "created"), Expires: when.Draw(t, "expires"),
				}.Normal()
				if err == nil {
					entries = append(entries, e)
				}
			}
			var b bytes.Buffer
			if err := f.write(&b, sequence(entries...)); err != nil {
				t.Fatal(err)
			}
			got, errs := read(f, b.String())
			require.Empty(t, errs)
			require.Equal(t, entries, got)
			if f.name != "CSV" {
				return
			}
			lines, err := csv.NewReader(&b).ReadAll()
			require.NoError(t, err)
			for _, field := range append([]string{}, flatten(lines)...) {
				if field != "" {
					require.NotContains(t, "=+-@\t\r\n", field[:1], "a spreadsheet takes %q for a formula", field)
				}
			}
		}))
	}
}

func flatten(lines [][]string) (all []string) {
	for _, l := range lines {
		all = append(all, l...)
	}
	return all
}

func TestAFileOfOthersIsRead(t *testing.T) {
	for _, c := range []struct {
		name, text string
		format     int
		want       []string // address and reason
		errs       []string // the beginnings
	}{
		{"only addresses", "address\nada@example.com\nben@example.com", 0, []string{"ada@example.com manual", "ben@example.com manual"}, nil},
		{"columns in another order and case, and a mark of the byte order", "\xEF\xBB\xBFReason, Address\r\ncomplaint, Ada@Example.com \r\n", 0, []string{"Ada@example.com complaint"}, nil},
		{"bad lines among good ones", "address,reason\nada\nben@example.com,whim\n\ncleo@example.com,complaint\n\"x\"y,\ndan@example.com,\"hard_bounce\"\n", 0, []string{"cleo@example.com complaint", "dan@example.com hard_bounce"}, []string{
			"line 2: wrong number of fields", `line 3: suppression: not an entry: "whim" is no reason`, "line 6: ",
		}},
		{"a line over several lines", "address,detail\nada@example.com,\"a\nb\"\nwho,x\n", 0, []string{"ada@example.com manual"}, []string{`line 4: suppression: not an entry: "who"`}},
		{"times and counts that are none", "address,created,expires,count\na@example.com,yesterday,,\nb@example.com,,2026-01-01,\nc@example.com,,,x\n", 0, nil, []string{"line 2: ", "line 3: ", "line 4: "}},
		{"no header", "", 0, nil, []string{"line 1: there is no header line"}},
		{"an unknown column", "address,phone\nada@example.com,1\n", 0, nil, []string{`suppression: the column "phone"`}},
		{"a column twice", "address,address\nada@example.com,b@example.com\n", 0, nil, []string{`suppression: the column "address"`}},
		{"no addresses", "reason\ncomplaint\n", 0, nil, []string{"suppression: there is no column address"}},
		{"an apostrophe of one's own", "address,stream\n'ada@example.com,'=x\n", 0, []string{"'ada@example.com manual"}, nil},

		{"JSON with empty lines", "\n{\"address\":\"ada@example.com\"}\r\n  \n{\"address\":\"ben@example.com\",\"reason\":\"complaint\"}", 1, []string{"ada@example.com manual", "ben@example.com complaint"}, nil},
		{"bad lines of JSON among good ones", "{\nnull\n[]\n{\"address\":\"who\"}\n{\"address\":\"a@example.com\",\"phone\":1}\n{\"address\":\"a@example.com\"} {}\n{\"address\":\"b@example.com\"}\n{\"address\":1}\n", 1, []string{"b@example.com manual"}, []string{
			"line 1: ", "line 2: ", "line 3: ", "line 4: ", "line 5: ", "line 6: ", "line 8: ",
		}},
		{"a line of JSON that is too long", "{\"address\":\"a@example.com\"}\n{\"detail\":\"" + strings.Repeat("x", 200<<10) + "\"}\n{\"address\":\"b@example.com\"}\n", 1, []string{"a@example.com manual", "b@example.com manual"}, []string{"line 2: suppression: not an entry: the line is too long"}},
		{"a last line of JSON that is too long", "{\"detail\":\"" + strings.Repeat("x", 200<<10), 1, nil, []string{"line 1: suppression: not an entry: the line is too long"}},
		{"nothing", "", 1, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			entries, errs := read(formats[c.format], c.text)
			var got []string
			for _, e := range entries {
				got = append(got, e.Address+" "+string(e.Reason))
			}
			require.Equal(t, c.want, got)
			require.Len(t, errs, len(c.errs), "%q", errs)
			for i := range errs {
				require.True(t, strings.HasPrefix(errs[i], c.errs[i]), errs[i])
			}
		})
	}
}

func TestReadingEndsWithTheReadersError(t *testing.T) {
	broken := errors.New("the disk is gone")
	for i, text := range []string{"address\nada@example.com\nben", "{\"address\":\"ada@example.com\"}\n{\"addr"} {
		f := formats[i]
		t.Run(f.name, func(t *testing.T) {
			m := memory(t)
			added, err := suppression.Import(t.Context(), m, f.read(io.MultiReader(strings.NewReader(text), iotest.ErrReader(broken))))
			require.ErrorIs(t, err, broken)
			require.Zero(t, added, "the page was not yet full")
		})
		t.Run(f.name+" is left early", func(t *testing.T) {
			for range f.read(io.MultiReader(strings.NewReader("address\nx\ny\nz\n"), iotest.ErrReader(broken))) {
				break
			}
		})
		t.Run("writing "+f.name+" ends with the sequence's", func(t *testing.T) {
			failing := func(yield func(suppression.Entry, error) bool) { yield(suppression.Entry{}, broken) }
			require.ErrorIs(t, f.write(io.Discard, failing), broken)
			r, w := io.Pipe()
			r.CloseWithError(broken)
			require.ErrorIs(t, f.write(w, sequence(entry("ada@example.com", suppression.Manual))), broken)
		})
	}
}

func TestImportListsWhatItLeavesOut(t *testing.T) {
	var text strings.Builder
	text.WriteString("address\n")
	for i := range 2500 {
		if i%10 == 0 {
			fmt.Fprintf(&text, "bad%d\n", i)
		} else {
			fmt.Fprintf(&text, "user%d@example.com\n", i)
		}
	}
	m := memory(t)
	added, err := suppression.Import(t.Context(), m, suppression.ReadCSV(strings.NewReader(text.String())))
	require.Equal(t, 2250, added)
	require.Len(t, contents(t, m), 2250)
	require.ErrorIs(t, err, suppression.ErrEntry)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 101)
	require.Contains(t, lines[0], "line 2: ")
	require.Contains(t, lines[99], "line 992: ")
	require.Contains(t, lines[100], "and 150 more")

	broken := errors.New("gone")
	added, err = suppression.Import(t.Context(), failing{Memory: m, add: broken}, suppression.ReadCSV(strings.NewReader(text.String())))
	require.Zero(t, added)
	require.ErrorIs(t, err, broken)
	require.ErrorIs(t, err, suppression.ErrEntry, "what was left out before")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = suppression.Import(ctx, m, sequence(entry("ada@example.com", suppression.Manual)))
	require.ErrorIs(t, err, context.Canceled)
}

// FuzzReadCSV and FuzzReadJSON hold that no file panics, that every entry in it is
// as a store keeps it, and that it can be written and read again.
func FuzzReadCSV(f *testing.F) {
	f.Add("address,reason,stream,source,detail,count,created,expires\n'=a@example.com,complaint,'-n,,\"a\nb\",7,2026-01-01T00:00:00Z,\n")
	f.Add("address\n\"a\"b\n''\n")
	f.Fuzz(func(t *testing.T, text string) { readAgain(t, formats[0], text) })
}

func FuzzReadJSON(f *testing.F) {
	f.Add("{\"address\":\"a@example.com\",\"reason\":\"complaint\",\"created\":\"2026-01-01T00:00:00Z\"}\n\n{}\nnull\n")
	f.Fuzz(func(t *testing.T, text string) { readAgain(t, formats[1], text) })
}

func readAgain(t *testing.T, f format, text string) {
	var entries []suppression.Entry
	for e, err := range f.read(strings.NewReader(text)) {
		if err != nil {
			continue
		}
		normal, err := e.Normal()
		require.NoError(t, err)
		require.Equal(t, e, normal)
		entries = append(entries, e)
	}
	var b bytes.Buffer
	require.NoError(t, f.write(&b, sequence(entries...)))
	got, errs := read(f, b.String())
	require.Empty(t, errs)
	require.Equal(t, entries, got)
}
