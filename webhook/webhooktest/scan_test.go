package webhooktest

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPlainComparisonsOfSecretsAreFound(t *testing.T) {
	for _, c := range []struct {
		name, code string
		want       int
	}{
		{"==", `got == c.Secret`, 1},
		{"!=, the other way round", `w.password != given`, 1},
		{"bytes.Equal", `bytes.Equal(got, wantSignature)`, 1},
		{"strings.HasPrefix", `strings.HasPrefix(token, got)`, 1},
		{"strings.EqualFold", `strings.EqualFold(got, c.Secret)`, 1},
		{"with nothing", `c.Secret == ""`, 0},
		{"with a constant", `strings.HasPrefix(signature, "v1=")`, 0},
		{"of lengths", `len(signature) == 64`, 0},
		{"of something else", `got == want`, 0},
		{"in constant time", `webhook.EqualSecret(got, c.Secret)`, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			src := "package p\n\nimport _ \"github.com/seed355143d4/mailer/webhook\"\n\nvar _ = " + c.code + "\n"
			require.Len(t, earlyExits(t, "p.go", []byte(src)), c.want)
		})
	}
	t.Run("but not in a file that is no webhook's", func(t *testing.T) {
		require.Empty(t, earlyExits(t, "p.go", []byte("package p\n\nvar _ = got == c.Secret\n")))
	})
}
