// Command servicetable makes the tables of services in README.md and in
// docs/services.md. It walks the folders of provider: a service is one with a
// testdata/features.json, which its conformance test writes. Its name in words is
// the title of docs/services/<folder>.md.
package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/seed355143d4/mailer/provider/providertest"
)

//go:generate go run . ../..

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("servicetable: the one argument is the root of the repository")
	}
	root := os.Args[1]
	files, err := generate(os.DirFS(root))
	if err != nil {
		log.Fatal("servicetable: ", err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(root, filepath.FromSlash(name)), []byte(text), 0o644); err != nil {
			log.Fatal("servicetable: ", err)
		}
	}
}

const (
	readme = "README.md"
	page   = "docs/services.md"
	begin  = "<!-- services: made by go generate ./... -->\n"
	end    = "<!-- services: end -->\n"
)

// generate returns the files that have tables, by their names in the repository.
func generate(root fs.FS) (map[string]string, error) {
	services, err := read(root)
	if err != nil {
		return nil, err
	}
	text, err := fs.ReadFile(root, readme)
	if err != nil {
		return nil, err
	}
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return nil, fmt.Errorf("%s lacks the lines %q and %q", readme, begin, end)
	}
	return map[string]string{
		readme: before + begin + table(services, "docs/", true) + end + after,
		page:   intro + table(services, "", false),
	}, nil
}

const intro = `# Services

What each adapter does with the messages of the conformance suite (` + "`provider/providertest`" + `), and which further powers it
has. The table is made by ` + "`go generate ./...`" + ` from what the adapters' own tests saw; do not edit it.

"Refused" is ` + "`KindUnsupported`" + ` before any traffic, so that a chain goes on. "Left out", or "without" a field, concerns
reporting only and is named in ` + "`Receipt.Dropped`" + `. What no page of the service's confirms is marked UNVERIFIED.

`

// service is one folder of provider.
type service struct {
	folder, title string
	webhook       string
	providertest.Features
}

// read walks the folders of provider.
func read(root fs.FS) ([]service, error) {
	files, err := fs.Glob(root, "provider/*/testdata/features.json")
	if err != nil {
		return nil, err
	}
	var services []service
	for _, file := range files {
		dir := path.Dir(path.Dir(file))
		s := service{folder: path.Base(dir)}
		if s.folder == "providertest" {
			continue
		}
		data, err := fs.ReadFile(root, file)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(data, &s.Features); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		doc := "docs/services/" + s.folder + ".md"
		text, err := fs.ReadFile(root, doc)
		if err != nil {
			return nil, err
		}
		line, _, _ := strings.Cut(string(text), "\n")
		title, ok := strings.CutPrefix(line, "# ")
		if !ok {
			return nil, fmt.Errorf("%s does not begin with a title", doc)
		}
		s.title = title
		if s.webhook, err = webhook(root, dir); err != nil {
			return nil, err
		}
		services = append(services, s)
	}
	return services, nil
}

// webhook says how the service's events are made sure of, by the constructors
// that the package has.
func webhook(root fs.FS, dir string) (string, error) {
	files, err := fs.Glob(root, dir+"/*.go")
	if err != nil {
		return "", err
	}
	found := ""
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		src, err := fs.ReadFile(root, file)
		if err != nil {
			return "", err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, src, parser.SkipObjectResolution)
		if err != nil {
			return "", err
		}
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "NewWebhook" {
				found = "yes"
			}
		}
	}
	return found, nil
}

// row is a line of the table: what is asked, and what each service says to it.
type row struct {
	label string
	cells []string
}

// table is a table in Markdown. With differing, rows in which every service says
// yes are left out.
func table(services []service, docs string, differing bool) string {
	var rows []row
	add := func(label string, cell func(s service) string) {
		r := row{label: label}
		for _, s := range services {
			r.cells = append(r.cells, cell(s))
		}
		if !differing || slices.ContainsFunc(r.cells, func(c string) bool { return c != "yes" }) {
			rows = append(rows, r)
		}
	}
	yes := func(b bool) string {
		if b {
			return "yes"
		}
		return ""
	}
	for _, c := range providertest.Messages() {
		add(c.Name, func(s service) string { return became(s, c) })
	}
	if !differing {
		add("template whose name is in no configuration", func(s service) string {
			return strings.Replace(s.UnknownTemplate, "carried", "taken as the ID", 1)
		})
	}
	add("some recipients refused, the others taken", func(s service) string { return yes(s.Partial) })
	add("messages in one call", func(s service) string {
		if s.Batch == 0 {
			return ""
		}
		return noted(s, "batch", strconv.Itoa(s.Batch))
	})
	add("`Verify`", func(s service) string { return yes(s.Verify) })
	add("`Quota`", func(s service) string { return yes(s.Quota) })
	add("events (`NewWebhook`)", func(s service) string { return s.webhook })
	add("suppression list", func(s service) string {
		var can []string
		if s.PullSuppressions {
			can = append(can, "read")
		}
		if s.PushSuppressions {
			can = append(can, "added to")
		}
		return strings.Join(can, ", ")
	})
	add("test mode", func(s service) string { return s.TestMode })
	add("regions", func(s service) string { return s.Regions })

	var b strings.Builder
	line := func(cells ...string) { b.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	head, rule := []string{""}, []string{"---"}
	for _, s := range services {
		head = append(head, fmt.Sprintf("[%s](%sservices/%s.md)", s.title, docs, s.folder))
		rule = append(rule, "---")
	}
	line(head...)
	b.WriteString("|" + strings.Join(rule, "|") + "|\n")
	for _, r := range rows {
		line(append([]string{r.label}, r.cells...)...)
	}
	return b.String()
}

// became says in a cell what became of the message.
func became(s service, c providertest.Case) string {
	said, known := s.Messages[c.Name]
	fields, left := strings.CutPrefix(said, "left out: ")
	switch {
	case !known:
		said = "?"
	case said == "carried":
		said = "yes"
	case left && len(strings.Split(fields, ", ")) < reporting(c):
		said = "without " + fields
	case left:
		said = "left out"
	}
	return noted(s, c.Name, said)
}

// noted adds the service's own note.
func noted(s service, about, said string) string {
	if note := s.Notes[about]; note != "" {
		said += " (" + note + ")"
	}
	return said
}

// reporting is how many reporting fields the message has.
func reporting(c providertest.Case) int {
	n := len(c.Message.Tags) + len(c.Message.Metadata)
	if c.Message.Track.Opens != 0 {
		n++
	}
	if c.Message.Track.Clicks != 0 {
		n++
	}
	return n
}
