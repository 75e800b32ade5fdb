package webhooktest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer/webhook"
)

func (s *suite) testPrinting(t *testing.T) {
	for name, v := range map[string]any{"the Config": s.Config, "the source": s.source(t)} {
		if v == nil {
			continue
		}
		var out bytes.Buffer
		in := struct{ V any }{v}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			fmt.Fprintf(&out, verb+" "+verb+"\n", v, in)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("text", "v", v, "in", in)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("json", "v", v, "in", in)
		if b, err := json.Marshal(in); err == nil {
			out.Write(b)
		}
		for _, secret := range s.Secrets {
			require.NotContains(t, out.String(), secret, name+" prints a secret")
		}
	}
}

func (s *suite) testIncomplete(t *testing.T) {
	require.NotEmpty(t, s.Incomplete, "Spec.Incomplete")
	for name, construct := range s.Incomplete {
		t.Run(name, func(t *testing.T) {
			_, err := construct()
			require.Error(t, err)
			for _, secret := range s.Secrets {
				require.NotContains(t, err.Error(), secret, "the error shows a secret")
			}
		})
	}
}

// positions are those of a header's value at which a change makes another proof:
// behind a scheme such as "Basic", and before the end, where base64 has bits that
// count for nothing.
func positions(value string) (from, to int) {
	if i := strings.IndexByte(value, ' '); i >= 0 {
		from = i + 1
	}
	to = len(value)
	if _, err := strconv.ParseUint(value, 10, 64); err != nil && to-from > 8 {
		to -= 4
	}
	return from, to
}

func (s *suite) testProof(t *testing.T) {
	src := s.source(t)
	garbage := [][]byte{s.Sample, []byte("{"), nil, bytes.Repeat([]byte("["), 100_000)}
	for _, name := range s.Proof {
		// Each kind of a bad proof is tried with bodies good and bad: who is not
		// believed is not read.
		check := func(what string, alter func(h http.Header, value string)) {
			t.Run(name+" "+what, func(t *testing.T) {
				for _, payload := range garbage {
					r := s.Request(payload)
					value := r.Header.Get(name)
					require.NotEmpty(t, value, "Spec.Request sets no %s", name)
					alter(r.Header, value)
					s.refuse(t, src, r, http.StatusUnauthorized)
				}
			})
		}
		check("missing", func(h http.Header, _ string) { h.Del(name) })
		check("empty", func(h http.Header, _ string) { h.Set(name, "") })
		check("blank", func(h http.Header, _ string) { h.Set(name, " ") })
		check("nonsense", func(h http.Header, _ string) { h.Set(name, "\x00\xff=") })
		check("cut off", func(h http.Header, value string) {
			from, _ := positions(value)
			h.Set(name, value[:from+(len(value)-from)/2])
		})
		check("cut off by the last", func(h http.Header, value string) { h.Set(name, value[:len(value)-min(4, len(value)-1)]) })
		check("with more behind it", func(h http.Header, value string) { h.Set(name, value+"MDAw") })

		t.Run(name+" altered in one place", func(t *testing.T) {
			sent := s.Request(s.Sample)
			value, whole := sent.Header.Get(name), body(sent)
			from, to := positions(value)
			for i := from; i < to; i++ {
				for _, bit := range []byte{0x01, 0x20} {
					altered := []byte(value)
					altered[i] ^= bit
					r := set(s.Request(s.Sample), whole)
					r.Header = sent.Header.Clone()
					r.Header.Set(name, string(altered))
					s.refuse(t, src, r, http.StatusUnauthorized)
				}
			}
		})
	}

	if s.Signed {
		t.Run("of another body", func(t *testing.T) {
			r := s.Request(s.Sample)
			header, whole := r.Header, body(r)
			want := s.accept(t, src, r)
			step := max(1, len(whole)/400)
			for i := 0; i < len(whole); i += step {
				altered := bytes.Clone(whole)
				altered[i] ^= 1 << (i % 8)
				r := set(s.Request(s.Sample), altered)
				r.Header = header.Clone()
				s.judgeAltered(t, src, r, want)
			}
			for what, altered := range map[string][]byte{
				"without its end": whole[:len(whole)-1], "with a line end more": append(bytes.Clone(whole), '\n'), "empty": {},
			} {
				t.Run(what, func(t *testing.T) {
					r := set(s.Request(s.Sample), altered)
					r.Header = header.Clone()
					s.judgeAltered(t, src, r, want)
				})
			}
		})
	}

	for name, forge := range s.Forged {
		t.Run(name, func(t *testing.T) {
			s.refuse(t, src, forge(s.Sample), http.StatusUnauthorized)
		})
	}
}

// judgeAltered delivers a request whose body is not that which was signed.
func (s *suite) judgeAltered(t *testing.T, src webhook.Source, r *http.Request, want result) {
	t.Helper()
	if len(s.Proof) > 0 {
		s.refuse(t, src, r, http.StatusUnauthorized)
		return
	}
	got := s.deliver(t, src, r)
	if got.status == http.StatusOK {
		require.Equal(t, s.render(t, want), s.render(t, got), "the events of a body that was altered")
	}
}

// testConstantTime looks for comparisons that end early.
func (s *suite) testConstantTime(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		src, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, fault := range earlyExits(t, file, src) {
			t.Error(fault)
		}
	}
}

var secretName = regexp.MustCompile(`(?i)secret|passw|signature|token|bearer|hmac|mac$|digest|apikey|proof`)

// earlyExits finds what compares a secret with ==, in a file that uses package
// webhook. A comparison with a constant, such as "", tells nobody anything.
func earlyExits(t testing.TB, name string, src []byte) (faults []string) {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, name, src, parser.SkipObjectResolution)
	require.NoError(t, err)
	if !slices.ContainsFunc(f.Imports, func(i *ast.ImportSpec) bool { return strings.HasSuffix(i.Path.Value, `mailer/webhook"`) }) {
		return nil
	}
	named := func(e ast.Expr) bool {
		switch e := e.(type) {
		case *ast.Ident:
			return secretName.MatchString(e.Name)
		case *ast.SelectorExpr:
			return secretName.MatchString(e.Sel.Name)
		}
		return false
	}
	constant := func(e ast.Expr) bool {
		switch e := e.(type) {
		case *ast.BasicLit:
			return true
		case *ast.Ident:
			return e.Name == "nil" || e.Name == "true" || e.Name == "false"
		}
		return false
	}
	report := func(n ast.Node, what string) {
		faults = append(faults, fmt.Sprintf("%s: %s compares a secret and may end early: use webhook.EqualSecret", fset.Position(n.Pos()), what))
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			if (n.Op == token.EQL || n.Op == token.NEQ) && (named(n.X) && !constant(n.Y) || named(n.Y) && !constant(n.X)) {
				report(n, n.Op.String())
			}
		case *ast.CallExpr:
			call, ok := n.Fun.(*ast.SelectorExpr)
			if !ok || !slices.Contains([]string{"Equal", "EqualFold", "Compare", "HasPrefix", "HasSuffix"}, call.Sel.Name) {
				break
			}
			of, ok := call.X.(*ast.Ident)
			if ok && slices.Contains([]string{"bytes", "strings", "slices"}, of.Name) && len(n.Args) == 2 &&
				(named(n.Args[0]) && !constant(n.Args[1]) || named(n.Args[1]) && !constant(n.Args[0])) {
				report(n, of.Name+"."+call.Sel.Name)
			}
		}
		return true
	})
	return faults
}

func (s *suite) testLog(t *testing.T) {
	text := s.log.String()
	require.NotEmpty(t, text, "nothing was logged")
	require.NotContains(t, text, s.Sampled.Recipient, "an address")
	for _, secret := range s.Secrets {
		require.NotContains(t, text, secret, "a secret")
	}
}
