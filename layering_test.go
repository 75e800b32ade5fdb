package mailer_test

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/seed355143d4/mailer"

// folder is one package folder of this module.
type folder struct {
	path     string // from the root, with slashes; "." is the root
	name     string // of the package
	doc      bool   // has a package comment
	examples []*doc.Example
	imports  map[string]string // by what files that are no tests: path to file
	tests    map[string]string // by tests
}

// folders reads every package of this module, those of nested modules excepted.
func folders(t *testing.T) map[string]*folder {
	t.Helper()
	root, err := os.OpenRoot(".")
	require.NoError(t, err)
	defer root.Close()
	return readFolders(t, root.FS())
}

func readFolders(t *testing.T, tree fs.FS) map[string]*folder {
	t.Helper()
	found := map[string]*folder{}
	fset := token.NewFileSet()
	err := fs.WalkDir(tree, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if file == "." {
				return nil
			}
			if _, err := fs.Stat(tree, path.Join(file, "go.mod")); err == nil {
				return fs.SkipDir
			}
			if base := path.Base(file); base == "testdata" || base == "vendor" || base[0] == '.' || base[0] == '_' {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(file, ".go") {
			return nil
		}
		src, err := fs.ReadFile(tree, file)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(fset, file, src, parser.ParseComments)
		if err != nil {
			return err
		}
		dir := path.Dir(file)
		f := found[dir]
		if f == nil {
			f = &folder{path: dir, imports: map[string]string{}, tests: map[string]string{}}
			found[dir] = f
		}
		imports := f.imports
		if strings.HasSuffix(file, "_test.go") {
			imports = f.tests
			f.examples = append(f.examples, doc.Examples(parsed)...)
		} else {
			if !ignored(parsed) {
				f.name = parsed.Name.Name
			}
			f.doc = f.doc || parsed.Doc.Text() != ""
		}
		for _, spec := range parsed.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			imports[name] = file
		}
		return nil
	})
	require.NoError(t, err)
	return found
}

// ignored reports whether a file is none of the package's: a generator.
func ignored(f *ast.File) bool {
	for _, group := range f.Comments {
		for _, c := range group.List {
			if c.Text == "//go:build ignore" {
				return true
			}
		}
	}
	return false
}

func isStandard(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	return !strings.Contains(first, ".")
}

func under(name, dir string) bool { return name == dir || strings.HasPrefix(name, dir+"/") }

// layering says in words what is wrong with the imports of the folders.
func layering(fs map[string]*folder) []string {
	var faults []string
	for _, f := range fs {
		parts := strings.Split(f.path, "/")
		top := parts[0]
		// What may import a service: programs and examples.
		outermost := f.name == "main" || top == "examples" || top == "cmd"
		for name, file := range f.imports {
			ours, isOurs := strings.CutPrefix(name+"/", module+"/")
			ours = strings.TrimSuffix(ours, "/")
			fault := ""
			switch {
			case f.path == "." && !isStandard(name):
				fault = "the root imports the standard library only"
			case !isOurs || ours == "":
			case outermost:
			case ours == "webhook/webhooktest":
				fault = "only tests import webhooktest"
			case f.path == "webhook/webhooktest" && ours != "webhook":
				fault = "webhooktest imports the root and webhook only"
			case ours == "provider/providertest":
				if f.path != "provider/providertest" {
					fault = "only tests import providertest"
				}
			case top == "provider" && len(parts) > 1 && under(ours, "provider/"+parts[1]):
			case under(ours, "provider"):
				fault = "nobody imports a service but examples, commands and tests"
			case slices.Contains([]string{"failover", "webhook", "inbox", "mailertest", "middleware"}, f.path):
				fault = "this package imports of ours the root only"
			case top == "provider" && f.path != "provider/providertest" && ours != "webhook" && ours != "suppression" && !under(ours, "internal"):
				fault = "a service imports the root, webhook, suppression and internal packages only"
			case top == "suppression" && ours != "webhook" && !under(ours, "suppression") && !under(ours, "internal"):
				fault = "suppression imports the root, webhook and internal packages only"
			case under(ours, "examples") || under(ours, "cmd"):
				fault = "nobody imports a program"
			}
			if fault != "" {
				faults = append(faults, file+" imports "+name+": "+fault)
			}
		}
		for name, file := range f.tests {
			ours, isOurs := strings.CutPrefix(name, module+"/provider/")
			if !isOurs || top != "provider" || len(parts) < 2 {
				continue
			}
			if !under(ours, "providertest") && !under(ours, parts[1]) {
				faults = append(faults, file+" imports "+name+": a service knows no other one, even in its tests")
			}
		}
	}
	slices.Sort(faults)
	return faults
}

func TestImportsPointOneWay(t *testing.T) {
	fs := folders(t)
	require.Contains(t, fs, ".")
	require.Contains(t, fs, "internal/envelope", "the walk reaches folders")
	require.Empty(t, layering(fs))
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, f := range folders(t) {
		if f.name == "" { // tests only
			continue
		}
		t.Run(f.path, func(t *testing.T) {
			require.True(t, f.doc, "no package comment")
		})
	}
}

func TestEveryPackageHasAnExampleThatRuns(t *testing.T) {
	for _, f := range folders(t) {
		if f.name == "" || f.name == "main" || under(f.path, "examples") {
			continue
		}
		t.Run(f.path, func(t *testing.T) {
			require.True(t, slices.ContainsFunc(f.examples, func(e *doc.Example) bool {
				return e.Output != "" || e.EmptyOutput
			}), "no Example with an Output comment")
		})
	}
}

// The rules have to find what breaks them.
func TestTheLayeringRulesFindWhatBreaksThem(t *testing.T) {
	const provider = module + "/provider/"
	for _, c := range []struct {
		name, path, pkg string
		imports         string
		tests           string
		want            string // a part of the fault; empty: it is allowed
	}{
		{name: "the root and the standard library", path: ".", imports: "net/mail"},
		{name: "the root and a package of ours", path: ".", imports: module + "/webhook", want: "the root imports"},
		{name: "the root and a foreign package", path: ".", imports: "golang.org/x/net/idna", want: "the root imports"},
		{name: "a test of the root and a service", path: ".", tests: provider + "ses"},
		{name: "failover and the root", path: "failover", imports: module},
		{name: "failover and a foreign package", path: "failover", imports: "golang.org/x/time/rate"},
		{name: "failover and an internal package", path: "failover", imports: module + "/internal/httpapi", want: "the root only"},
		{name: "inbox and mailertest", path: "inbox", imports: module + "/mailertest", want: "the root only"},
		{name: "webhook and a service", path: "webhook", imports: provider + "ses", want: "nobody imports a service"},
		{name: "webhooktest and webhook", path: "webhook/webhooktest", imports: module + "/webhook"},
		{name: "webhooktest and an internal package", path: "webhook/webhooktest", imports: module + "/internal/adapter", want: "the root and webhook only"},
		{name: "webhooktest and a service", path: "webhook/webhooktest", imports: provider + "ses", want: "the root and webhook only"},
		{name: "a service and webhooktest", path: "provider/ses", imports: module + "/webhook/webhooktest", want: "only tests"},
		{name: "a service's test and webhooktest", path: "provider/ses", tests: module + "/webhook/webhooktest"},
		{name: "suppression and a service", path: "suppression", imports: provider + "ses", want: "nobody imports a service"},
		{name: "suppression and webhook", path: "suppression", imports: module + "/webhook"},
		{name: "suppression and failover", path: "suppression/unsubscribe", imports: module + "/failover", want: "root, webhook and internal"},
		{name: "suppression and a package of its own", path: "suppression/unsubscribe", imports: module + "/suppression"},
		{name: "an internal package and a service", path: "internal/x", imports: provider + "ses", want: "nobody imports a service"},
		{name: "a service and the root", path: "provider/ses", imports: module},
		{name: "a service and webhook", path: "provider/ses", imports: module + "/webhook"},
		{name: "a service and suppression", path: "provider/ses", imports: module + "/suppression"},
		{name: "a service and an internal package", path: "provider/ses", imports: module + "/internal/httpapi"},
		{name: "a service and a package of its own", path: "provider/ses", imports: provider + "ses/internal/wire"},
		{name: "a service and failover", path: "provider/ses", imports: module + "/failover", want: "suppression and internal packages only"},
		{name: "a service and another", path: "provider/ses", imports: provider + "sendgrid", want: "nobody imports a service"},
		{name: "a service and one whose name begins alike", path: "provider/smtp", imports: provider + "smtp2go", want: "nobody imports a service"},
		{name: "a service and providertest", path: "provider/ses", imports: provider + "providertest", want: "only tests"},
		{name: "a service's test and providertest", path: "provider/ses", tests: provider + "providertest"},
		{name: "a service's test and another service", path: "provider/ses", tests: provider + "sendgrid", want: "even in its tests"},
		{name: "providertest and failover", path: "provider/providertest", imports: module + "/mailertest"},
		{name: "providertest and a service", path: "provider/providertest", imports: provider + "ses", want: "nobody imports a service"},
		{name: "an example and a service", path: "examples/registration", pkg: "main", imports: provider + "ses"},
		{name: "a package and an example", path: "outbox", imports: module + "/examples/registration", want: "nobody imports a program"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &folder{path: c.path, name: c.pkg, imports: map[string]string{}, tests: map[string]string{}}
			if c.imports != "" {
				f.imports[c.imports] = "a.go"
			}
			if c.tests != "" {
				f.tests[c.tests] = "a_test.go"
			}
			got := layering(map[string]*folder{c.path: f})
			if c.want == "" {
				require.Empty(t, got)
			} else {
				require.Len(t, got, 1)
				require.Contains(t, got[0], c.want)
			}
		})
	}
}

func TestTheWalkReadsWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a/a.go":               "// Package a is one.\npackage a\n\nimport _ \"net/mail\"\n",
		"a/a_test.go":          "package a_test\n\nimport \"fmt\"\n\nfunc Example() {\n\tfmt.Println()\n\t// Output:\n}\n",
		"a/gen.go":             "//go:build ignore\n\npackage main\n",
		"b/b.go":               "package b\n",
		"b/testdata/c.go":      "package broken",
		"nested/go.mod":        "module nested\n",
		"nested/n.go":          "package n\n",
		"nested/deeper/n.go":   "package n\n",
		".hidden/h.go":         "package h\n",
		"b/notes.txt":          "no Go",
		"b/deep/only_test.go":  "package deep\n",
		"b/deep/_skipped/s.go": "package s\n",
	} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	}
	found := readFolders(t, os.DirFS(dir))
	require.Equal(t, []string{"a", "b", "b/deep"}, slices.Sorted(maps.Keys(found)))
	require.Equal(t, "a", found["a"].name)
	require.True(t, found["a"].doc)
	require.Len(t, found["a"].examples, 1)
	require.Contains(t, found["a"].imports, "net/mail")
	require.Contains(t, found["a"].tests, "fmt")
	require.False(t, found["b"].doc)
	require.Empty(t, found["b/deep"].name)
}
