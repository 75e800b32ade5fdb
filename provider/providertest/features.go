package providertest

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/suppression"
)

// Features is what the suite found out about a provider. It is kept in
// testdata/features.json, from which the tables of services are made.
type Features struct {
	// Messages says of each of [Messages], by its name, what became of it:
	// "carried", "refused", or the fields that were left out, as "left out: Tags[1]".
	Messages map[string]string `json:"messages"`
	// Notes limit that, by the name of the message.
	Notes map[string]string `json:"notes,omitempty"`
	// UnknownTemplate says what becomes of the name of a template that is in no
	// configuration: "carried" or "refused". Empty: there are no templates.
	UnknownTemplate string `json:"unknownTemplate,omitempty"`
	// Batch is the most messages of one call, 0 without a batch call.
	Batch int `json:"batch"`
	// Partial: some recipients of a message can be refused while others are taken.
	Partial bool `json:"partial"`
	// Verify, Quota, PullSuppressions and PushSuppressions are the further powers.
	Verify           bool `json:"verify"`
	Quota            bool `json:"quota"`
	PullSuppressions bool `json:"pullSuppressions"`
	PushSuppressions bool `json:"pushSuppressions"`
	// TestMode and Regions are those of the Spec.
	TestMode string `json:"testMode,omitempty"`
	Regions  string `json:"regions,omitempty"`
}

// testFeatures compares what the provider does with what is written down.
func (s *suite) testFeatures(t *testing.T) {
	_, p := s.start(t, s.Peer)
	f := Features{Messages: map[string]string{}, Notes: s.Notes, TestMode: s.TestMode, Regions: s.Regions}
	for _, c := range Messages() {
		f.Messages[c.Name] = s.became(t, s.message(c.Name))
	}
	if f.Messages["template"] != "refused" {
		m := s.message("template")
		m.Template.ID = "monthly"
		f.UnknownTemplate = s.became(t, m)
	}
	if b, ok := p.(mailer.BatchSender); ok {
		f.Batch = b.MaxBatch()
	}
	for _, d := range s.Peer.Days() {
		f.Partial = f.Partial || len(d.Rejected) > 0
	}
	f.Verify, f.Quota = has[mailer.Verifier](p), has[mailer.QuotaReporter](p)
	f.PullSuppressions, f.PushSuppressions = has[suppression.Puller](p), has[suppression.Pusher](p)

	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	require.NoError(t, e.Encode(f))
	path := filepath.Join(filepath.Dir(s.Golden), "features.json")
	if Update() {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, b.Bytes(), 0o644))
		return
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "nothing is written down: run the test with -update, and then go generate ./...")
	require.Equal(t, string(want), b.String(), "the provider does not what %s says; if it should not, run the test with -update, and then go generate ./...", path)
}

// became sends m on a good day, and says what became of it.
func (s *suite) became(t *testing.T, m mailer.Message) string {
	t.Helper()
	service, p := s.start(t, s.Peer)
	r, err := s.send(t.Context(), t, service, p, m)
	switch {
	case err == nil && r.Dropped == nil:
		return "carried"
	case err == nil:
		return "left out: " + strings.Join(slices.Sorted(slices.Values(r.Dropped)), ", ")
	}
	require.Equal(t, mailer.KindUnsupported.String(), mailer.KindOf(err).String(), "the kind of: %v", err)
	return "refused"
}
