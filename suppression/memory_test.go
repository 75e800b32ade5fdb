package suppression_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

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
