package main

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

func TestTheTablesAreFresh(t *testing.T) {
	root := os.DirFS("../..")
	files, err := generate(root)
	require.NoError(t, err)
	for name, want := range files {
		got, err := os.ReadFile("../../" + name)
		require.NoError(t, err)
		if want != string(got) {
			t.Errorf("%s is stale: run go generate ./...", name)
		}
	}
}

func TestEveryServiceHasItsColumn(t *testing.T) {
	entries, err := os.ReadDir("../../provider")
	require.NoError(t, err)
	services, err := read(os.DirFS("../.."))
	require.NoError(t, err)
	var want, got []string
	for _, e := range entries {
		if e.Name() != "providertest" {
			want = append(want, e.Name())
		}
	}
	for _, s := range services {
		got = append(got, s.folder)
	}
	require.Equal(t, want, got, "a service without testdata/features.json: run its test with -update")
}

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

// tree is a repository with two services.
func tree() fstest.MapFS {
	return fstest.MapFS{
		"README.md": file("# mailer\n\n" + begin + "| old |\n" + end + "\nMore.\n"),
		"provider/providertest/testdata/features.json": file("not a service"),
		"provider/acme/acme.go":                        file("package acme\n\nfunc NewWebhook() {}\n"),
		"provider/acme/testdata/features.json": file(`{"messages":{"minimal":"carried","scheduled":"carried","two tags":"left out: Tags[1]","one tag":"carried"},
			"notes":{"scheduled":"up to 3 days","batch":"of one kind"},"batch":50,"verify":true,"pullSuppressions":true,"pushSuppressions":true,"regions":"EU, US"}`),
		"docs/services/acme.md":    file("# Acme Mail\n\nWords.\n"),
		"provider/zebra/z.go":      file("package zebra\n\ntype T int\n\nfunc (T) NewWebhook() {}\n"),
		"provider/zebra/z_test.go": file("package zebra\n\nfunc NewWebhook() {}\n"),
		"provider/zebra/testdata/features.json": file(`{"messages":{"minimal":"carried","scheduled":"refused","two tags":"left out: Tags[0], Tags[1]","one tag":"left out: Tags[0]"},
			"unknownTemplate":"carried","quota":true,"pullSuppressions":true}`),
		"docs/services/zebra.md": file("# Zebra\n"),
	}
}

func TestTable(t *testing.T) {
	files, err := generate(tree())
	require.NoError(t, err)
	require.Len(t, files, 2)
	require.True(t, strings.HasPrefix(files[readme], "# mailer\n\n"+begin+"| "))
	require.True(t, strings.HasSuffix(files[readme], "|\n"+end+"\nMore.\n"))
	require.NotContains(t, files[readme], "old")
	require.Contains(t, files[readme], "|  | [Acme Mail](docs/services/acme.md) | [Zebra](docs/services/zebra.md) |\n|---|---|---|\n")
	require.Contains(t, files[page], "|  | [Acme Mail](services/acme.md) | [Zebra](services/zebra.md) |\n")
	for _, line := range []string{
		"| scheduled | yes (up to 3 days) | refused |",
		"| one tag | yes | left out |",
		"| two tags | without Tags[1] | left out |",
		"| messages in one call | 50 (of one kind) |  |",
		"| `Verify` | yes |  |",
		"| `Quota` |  | yes |",
		"| events (`NewWebhook`) | yes |  |",
		"| suppression list | read, added to | read |",
		"| regions | EU, US |  |",
		"| metadata | ? | ? |", // which the test of the service would not let be
	} {
		require.Contains(t, files[readme], line+"\n")
		require.Contains(t, files[page], line+"\n")
	}
	require.NotContains(t, files[readme], "| minimal |", "the README has only what differs")
	require.Contains(t, files[page], "| minimal | yes | yes |\n")
	require.Contains(t, files[page], "| template whose name is in no configuration |  | taken as the ID |\n")
}

func TestAnIncompleteRepositoryIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(m fstest.MapFS)
		want   string
	}{
		"no README":                     {func(m fstest.MapFS) { delete(m, "README.md") }, "README.md"},
		"a README without the lines":    {func(m fstest.MapFS) { m["README.md"] = file("# mailer\n" + begin) }, "lacks the lines"},
		"features that are no JSON":     {func(m fstest.MapFS) { m["provider/acme/testdata/features.json"] = file("{") }, "provider/acme/testdata/features.json"},
		"a service without its page":    {func(m fstest.MapFS) { delete(m, "docs/services/zebra.md") }, "docs/services/zebra.md"},
		"a page without a title":        {func(m fstest.MapFS) { m["docs/services/zebra.md"] = file("Zebra\n") }, "does not begin with a title"},
		"a package that does not parse": {func(m fstest.MapFS) { m["provider/acme/acme.go"] = file("pakage acme") }, "provider/acme/acme.go"},
	} {
		t.Run(name, func(t *testing.T) {
			m := tree()
			c.change(m)
			_, err := generate(m)
			require.ErrorContains(t, err, c.want)
		})
	}
}
