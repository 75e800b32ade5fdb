package providertest

import (
	"encoding/base64"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func init() {
	// Another package of the same test binary may have been first.
	if flag.Lookup("update") == nil {
		flag.Bool("update", false, "rewrite the golden files")
	}
}

// Update reports whether the test runs with -update, so that golden files are to
// be rewritten. The flag is registered by this package; a test that has more
// golden files asks here.
func Update() bool {
	f := flag.Lookup("update")
	return f != nil && f.Value.String() == "true"
}

// timeForms are the renderings of SendAt that a request may hold.
func timeForms(at time.Time) []string {
	forms := []string{strconv.FormatInt(at.UnixMilli(), 10), strconv.FormatInt(at.Unix(), 10)}
	for _, layout := range []string{
		time.RFC3339, "2006-01-02T15:04:05.000Z07:00", "2006-01-02T15:04:05-07:00", "2006-01-02T15:04:05-0700",
		"2006-01-02 15:04:05 -0700", "2006-01-02 15:04:05 -07:00", "2006-01-02T15:04:05", time.DateTime,
		time.RFC1123Z, time.RFC1123, "Mon, 2 Jan 2006 15:04:05 -0700", "2006/01/02 15:04:05",
	} {
		forms = append(forms, at.UTC().Format(layout))
	}
	return forms
}

var basic = regexp.MustCompile(`Basic [A-Za-z0-9+/]+=*`)

// redact puts placeholders for the secrets and for the time.
func (s *suite) redact(text string, sendAt time.Time) string {
	hide := func(text string) string {
		for i, secret := range s.Secrets {
			name := "{secret}"
			if len(s.Secrets) > 1 {
				name = fmt.Sprintf("{secret %d}", i+1)
			}
			text = strings.ReplaceAll(text, secret, name)
		}
		return text
	}
	text = basic.ReplaceAllStringFunc(text, func(v string) string {
		plain, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(v, "Basic "))
		if err != nil {
			return v
		}
		if hidden := hide(string(plain)); hidden != string(plain) {
			return "Basic base64(" + hidden + ")"
		}
		return v
	})
	text = hide(text)
	if !sendAt.IsZero() {
		for _, form := range timeForms(sendAt) {
			text = strings.ReplaceAll(text, form, "{SendAt}")
		}
	}
	return text
}

// golden compares text with the golden file of that name.
func (s *suite) golden(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(s.Golden, name+".golden")
	if Update() {
		require.NoError(t, os.MkdirAll(s.Golden, 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		return
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "no golden file: run the test with -update and read what it wrote")
	require.Equal(t, string(want), text, "the request is not that of %s; if it should be, run the test with -update", path)
}

// orphans fails for golden files that no case has asked for.
func (s *suite) orphans(t *testing.T, names map[string]bool) {
	files, err := filepath.Glob(filepath.Join(s.Golden, "*.golden"))
	require.NoError(t, err)
	for _, file := range files {
		if names[strings.TrimSuffix(filepath.Base(file), ".golden")] {
			continue
		}
		if Update() {
			require.NoError(t, os.Remove(file))
			continue
		}
		t.Errorf("%s belongs to no message that the service supports: remove it, or run the test with -update", file)
	}
}
