package adapter

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestElementsAreThoseOfEncodingJSON(t *testing.T) {
	var value *rapid.Generator[any]
	value = rapid.Custom(func(t *rapid.T) any {
		switch rapid.IntRange(0, 6).Draw(t, "kind") {
		case 0:
			return rapid.String().Draw(t, "string")
		case 1:
			return rapid.Float64Range(-1e9, 1e9).Draw(t, "number")
		case 2:
			return rapid.SampledFrom([]any{true, false, nil, "", "]", `a\"],[`}).Draw(t, "word")
		case 3:
			return rapid.SliceOfN(value, 0, 3).Draw(t, "list")
		case 4:
			return rapid.MapOfN(rapid.String(), value, 0, 3).Draw(t, "object")
		}
		return 1
	})
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(value, 0, 5).Draw(t, "array")
		text, err := json.Marshal(want)
		require.NoError(t, err)
		if rapid.Bool().Draw(t, "with blanks") {
			text, err = json.MarshalIndent(want, " ", "\t")
			require.NoError(t, err)
		}
		var raw []json.RawMessage
		require.NoError(t, json.Unmarshal(text, &raw))
		i := 0
		require.True(t, Elements(text, func(value []byte) {
			require.Less(t, i, len(raw))
			require.Equal(t, string(raw[i]), string(value))
			i++
		}))
		require.Equal(t, len(raw), i)
	})
}

func TestElementsOfWhatIsNoArray(t *testing.T) {
	for _, text := range []string{"", " ", "null", "{}", `"[]"`, "[", "[1", "[1,]", "[1 2]", "[1]]", "[1] x", "]"} {
		require.False(t, Elements([]byte(text), func([]byte) { t.Errorf("%q has an element", text) }), text)
	}
}
