package suppression_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed355143d4/mailer/suppression"
	"github.com/seed355143d4/mailer/suppression/suppressiontest"
)

func TestMemoryIsAStore(t *testing.T) {
	t.Run("local parts as they are", func(t *testing.T) {
		suppressiontest.Run(t, false, func(*testing.T) suppression.Store { return suppression.NewMemory() })
	})
	t.Run("local parts folded", func(t *testing.T) {
		suppressiontest.Run(t, true, func(*testing.T) suppression.Store { return &suppression.Memory{FoldLocal: true} })
	})
}

// Half of a list that folds cannot be had.
func TestWhetherAMemoryFoldsIsSettledWithItsFirstUse(t *testing.T) {
	for _, fold := range []bool{false, true} {
		for name, use := range map[string]func(m *suppression.Memory){
			"a key": func(m *suppression.Memory) { m.Key("ada@example.com") },
			"a look-up": func(m *suppression.Memory) {
				_, err := m.Lookup(t.Context(), nil)
				require.NoError(t, err)
			},
			"an addition": func(m *suppression.Memory) { require.NoError(t, m.Add(t.Context(), nil)) },
			"a sequence":  func(m *suppression.Memory) { m.All(t.Context()) },
		} {
			t.Run(fmt.Sprintf("%s, folding %t", name, fold), func(t *testing.T) {
				m := &suppression.Memory{FoldLocal: fold}
				use(m)
				m.FoldLocal = !fold
				require.NoError(t, m.Add(t.Context(), []suppression.Entry{entry("Ada@example.com", suppression.Manual)}))
				found, err := m.Lookup(t.Context(), []string{"ada@example.com"})
				require.NoError(t, err)
				require.Equal(t, fold, len(found) == 1)
				key, _ := m.Key("Ada@example.com")
				require.Equal(t, fold, key == "ada@example.com")
			})
		}
	}
}

// Entries change among many others, grow and shrink, and each has its own words.
func TestAMemoryKeepsWhatItIsTold(t *testing.T) {
	for _, fold := range []bool{false, true} {
		t.Run(fmt.Sprintf("folding %t", fold), rapid.MakeCheck(func(t *rapid.T) {
			m := &suppression.Memory{FoldLocal: fold}
			want := map[string]suppression.Entry{}
			for i := range rapid.IntRange(1, 300).Draw(t, "steps") {
				e := suppression.Entry{
					Address: rapid.SampledFrom([]string{"a", "A", "b", "B", "cleo.and.her.cat", "é", "É"}).Draw(t, "local") + "@example.com",
					Reason:  rapid.SampledFrom([]suppression.Reason{suppression.HardBounce, suppression.Complaint}).Draw(t, "reason"),
					Detail:  strings.Repeat(rapid.SampledFrom([]string{"x", "y", "é"}).Draw(t, "letter"), rapid.SampledFrom([]int{0, 1, 2, 20, 60, 200, 250}).Draw(t, "length")),
					Created: time.Unix(int64(i), 0).UTC(),
				}
				key, _ := suppression.Key(e.Address, fold)
				name := key + string(e.Reason)
				if rapid.IntRange(0, 9).Draw(t, "what") == 0 {
					require.NoError(t, m.Remove(t.Context(), []suppression.Entry{e}))
					delete(want, name)
					continue
				}
				require.NoError(t, m.Add(t.Context(), []suppression.Entry{e}))
				want[name] = e
			}
			got := map[string]suppression.Entry{}
			for e, err := range m.All(t.Context()) {
				require.NoError(t, err)
				key, _ := m.Key(e.Address)
				got[key+string(e.Reason)] = e
				found, err := m.Lookup(t.Context(), []string{e.Address})
				require.NoError(t, err)
				require.Contains(t, found, e)
			}
			require.Equal(t, want, got)
		}))
	}
}

// Words of all lengths stand on many pages, and each can be told anew.
func TestAMemoryFillsItsPages(t *testing.T) {
	m := suppression.NewMemory()
	var entries []suppression.Entry
	for i := range 20_000 {
		e := hard(fmt.Sprintf("user%05d@example.com", i))
		e.Detail = strings.Repeat(string(rune('a'+i%26)), i%501)
		entries = append(entries, e)
	}
	require.NoError(t, m.Add(t.Context(), entries))
	require.True(t, slices.Equal(entries, contents(t, m)))
	for i := range entries {
		entries[i].Created = entries[i].Created.Add(time.Second)
		entries[i].Detail = strings.Repeat(string(rune('A'+i%26)), (i*7)%501)
	}
	require.NoError(t, m.Add(t.Context(), entries))
	got := contents(t, m)
	slices.SortFunc(got, func(a, b suppression.Entry) int { return strings.Compare(a.Address, b.Address) })
	require.True(t, slices.Equal(entries, got))
}

func hard(address string) suppression.Entry {
	return suppression.Entry{Address: address, Reason: suppression.HardBounce, Source: "postmark", Created: time.Unix(1, 0).UTC()}
}
