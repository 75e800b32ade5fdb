package mailer_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestReadmeQuotesCodeThatRuns: every Go block of the README and of the pages under docs
// stands, line by line, in the file that the comment above it names, and that file is a program
// or an example that is compiled here.
func TestReadmeQuotesCodeThatRuns(t *testing.T) {
	blockOf := regexp.MustCompile("(?s)(?:<!-- (\\S+) -->\n)?```go\n(.*?)```")
	var pages []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/services/*.md"} {
		found, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, found)
		pages = append(pages, found...)
	}
	var blocks [][]string
	for _, page := range pages {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		found := blockOf.FindAllStringSubmatch(string(text), -1)
		require.Len(t, found, strings.Count(string(text), "```go"), "the Go blocks of %s", page)
		blocks = append(blocks, found...)
	}
	require.NotEmpty(t, blocks)
	for _, b := range blocks {
		require.NotEmpty(t, b[1], "a Go block without the file that it quotes:\n%s", b[2])
		require.True(t, strings.HasSuffix(b[1], ".go"), b[1])
		t.Run(b[1], func(t *testing.T) {
			source, err := os.ReadFile(b[1])
			require.NoError(t, err)
			if !strings.Contains("\n"+lines(string(source)), "\n"+lines(b[2])) {
				t.Errorf("these lines do not stand together in %s:\n%s", b[1], b[2])
			}
		})
	}
}

// lines returns the lines of a text without what stands before and after each.
func lines(text string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimSpace(text)) {
		b.WriteString(strings.TrimSpace(line) + "\n")
	}
	return b.String()
}
