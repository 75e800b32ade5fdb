package webhooktest

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/webhook"
)

func init() {
	// Another package of the same test binary may have been first.
	if flag.Lookup("update") == nil {
		flag.Bool("update", false, "rewrite the golden files")
	}
}

func update() bool {
	f := flag.Lookup("update")
	return f != nil && f.Value.String() == "true"
}

var (
	types = []webhook.Type{
		webhook.Accepted, webhook.Delivered, webhook.Deferred, webhook.Bounced, webhook.Complained, webhook.Opened,
		webhook.Clicked, webhook.Unsubscribed, webhook.Subscribed, webhook.Rejected, webhook.Failed,
		webhook.Autoresponded, webhook.Inbound, webhook.Other,
	}
	bounces = []webhook.Bounce{webhook.Hard, webhook.Soft, webhook.Undetermined}
	reasons = []webhook.Reason{
		"", webhook.ReasonMailbox, webhook.ReasonQuota, webhook.ReasonSpam, webhook.ReasonBlocked, webhook.ReasonSize,
		webhook.ReasonNetwork, webhook.ReasonThrottled, webhook.ReasonSuppressed, webhook.ReasonOther,
	}
	withReason = []webhook.Type{webhook.Bounced, webhook.Deferred, webhook.Rejected, webhook.Failed}
)

// fault says what is wrong with an event, whatever it came of.
func (s *suite) fault(e *webhook.Event) string {
	switch {
	case e.Provider != s.Name:
		return fmt.Sprintf("Provider is %q", e.Provider)
	case !slices.Contains(types, e.Type):
		return fmt.Sprintf("Type is %q", e.Type)
	case e.Type == webhook.Bounced && !slices.Contains(bounces, e.Bounce):
		return fmt.Sprintf("Bounce of a bounce is %q", e.Bounce)
	case e.Type != webhook.Bounced && e.Bounce != "":
		return fmt.Sprintf("Bounce is %q although the type is %q", e.Bounce, e.Type)
	case !slices.Contains(reasons, e.Reason):
		return fmt.Sprintf("Reason is %q", e.Reason)
	case e.Reason != "" && !slices.Contains(withReason, e.Type):
		return fmt.Sprintf("Reason is %q although the type is %q", e.Reason, e.Type)
	case e.ID == "":
		return "ID is empty"
	case e.ClickURL != "" && e.Type != webhook.Clicked:
		return fmt.Sprintf("ClickURL is set although the type is %q", e.Type)
	case e.Time.Location() != time.UTC && !e.Time.IsZero():
		return "Time is not in UTC"
	case len(e.Raw) == 0:
		return "Raw is empty"
	case e.Metadata["mailer_id"] != "":
		return "Metadata has mailer_id, which is MailID"
	}
	for _, secret := range s.Secrets {
		if strings.Contains(e.Detail+e.SMTP+e.Stream+fmt.Sprint(e.Metadata, e.Tags), secret) {
			return "shows a secret"
		}
	}
	texts := []string{e.ID, e.MessageID, e.MailID, e.Recipient, e.Detail, e.SMTP, e.Stream, e.ClickURL}
	texts = append(texts, e.Tags...)
	for k, v := range e.Metadata {
		texts = append(texts, k, v)
	}
	for _, text := range texts {
		if !utf8.ValidString(text) {
			return fmt.Sprintf("%q is not UTF-8", text)
		}
	}
	return ""
}

// shown is an event in a golden file.
type shown struct {
	Type      webhook.Type      `json:"type"`
	Bounce    webhook.Bounce    `json:"bounce,omitempty"`
	Reason    webhook.Reason    `json:"reason,omitempty"`
	ID        string            `json:"id"`
	MessageID string            `json:"message_id,omitempty"`
	MailID    string            `json:"mail_id,omitempty"`
	Recipient string            `json:"recipient,omitempty"`
	Time      string            `json:"time,omitempty"`
	Detail    string            `json:"detail,omitempty"`
	SMTP      string            `json:"smtp,omitempty"`
	Tags      []string          `json:"tags,omitempty"`
	Metadata  map[string]string `json:"metadata,omitempty"`
	Stream    string            `json:"stream,omitempty"`
	ClickURL  string            `json:"click_url,omitempty"`
}

func show(e *webhook.Event) shown {
	at := ""
	if !e.Time.IsZero() {
		at = e.Time.Format(time.RFC3339Nano)
	}
	return shown{
		e.Type, e.Bounce, e.Reason, e.ID, e.MessageID, e.MailID, e.Recipient, at, e.Detail, e.SMTP, e.Tags, e.Metadata,
		e.Stream, e.ClickURL,
	}
}

// render writes what came of a request as a golden file.
func (s *suite) render(t *testing.T, got result) string {
	t.Helper()
	var b bytes.Buffer
	if got.body != "" {
		answer := got.body
		for _, secret := range s.Secrets {
			answer = strings.ReplaceAll(answer, secret, "{secret}")
		}
		fmt.Fprintf(&b, "answer (%s): %s\n", got.header.Get("Content-Type"), answer)
	}
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	for i := range got.events {
		require.NoError(t, e.Encode(show(&got.events[i])))
	}
	return b.String()
}

func (s *suite) testPayloads(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(s.Payloads, "*"))
	require.NoError(t, err)
	payloads := slices.DeleteFunc(slices.Clone(files), func(f string) bool {
		info, err := os.Stat(f)
		return err != nil || info.IsDir() || filepath.Ext(f) == ".golden"
	})
	require.NotEmpty(t, payloads, "no payload in %s", s.Payloads)
	for _, file := range payloads {
		t.Run(filepath.Base(file), func(t *testing.T) {
			payload, err := os.ReadFile(file)
			require.NoError(t, err)
			src := s.source(t)
			got := s.accept(t, src, s.Request(payload))
			seen := map[string]int{}
			for i, e := range got.events {
				if other, ok := seen[e.ID]; ok {
					t.Errorf("events %d and %d have the same ID", other, i)
				}
				seen[e.ID] = i
			}
			text := s.render(t, got)
			require.Equal(t, text, s.render(t, s.accept(t, src, s.Request(payload))), "the same payload for the second time")
			if update() {
				require.NoError(t, os.WriteFile(file+".golden", []byte(text), 0o644))
				return
			}
			want, err := os.ReadFile(file + ".golden")
			require.NoError(t, err, "no golden file: run the test with -update and read what it wrote")
			require.Equal(t, string(want), text, "other events than in %s.golden; if they should be, run the test with -update", file)
		})
	}
	t.Run("no golden file is left over", func(t *testing.T) {
		for _, file := range files {
			if payload, ok := strings.CutSuffix(file, ".golden"); ok && !slices.Contains(payloads, payload) {
				if update() {
					require.NoError(t, os.Remove(file))
					continue
				}
				t.Errorf("%s belongs to no payload", file)
			}
		}
	})
}

// one delivers a payload that has to give one event.
func (s *suite) one(t testing.TB, src webhook.Source, payload []byte) webhook.Event {
	t.Helper()
	got := s.accept(t, src, s.Request(payload))
	require.Len(t, got.events, 1, "events")
	return got.events[0]
}

func (s *suite) testSample(t *testing.T) {
	src := s.source(t)
	got := s.one(t, src, s.Sample)
	want := s.Sampled
	want.Provider = s.Name
	require.Equal(t, show(&want), func() shown { g := show(&got); g.ID = ""; return g }())
	require.NotEmpty(t, got.MessageID, "MessageID")
	require.NotEmpty(t, got.Recipient, "Recipient")
	require.NotZero(t, got.Time, "Time")
	t.Run("has the same ID for the second time", func(t *testing.T) {
		require.Equal(t, got.ID, s.one(t, src, s.Sample).ID)
		require.Equal(t, got.ID, s.one(t, s.source(t), s.Sample).ID, "after a restart")
	})
	t.Run("another event has another ID", func(t *testing.T) {
		require.NotEqual(t, got.ID, s.one(t, src, s.Unknown).ID)
	})
	t.Run("Raw is of this event", func(t *testing.T) {
		if json.Valid(s.Sample) {
			require.True(t, json.Valid(got.Raw), "Raw is not JSON: %s", got.Raw)
		}
		require.Contains(t, string(got.Raw), firstWord(got.MessageID), "Raw has not the message's id")
	})
}

// firstWord is the part of an id that no encoding changes.
func firstWord(id string) string {
	if i := strings.IndexFunc(id, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}); i > 0 {
		return id[:i]
	}
	return id
}

func (s *suite) testUnknown(t *testing.T) {
	e := s.one(t, s.source(t), s.Unknown)
	require.Equal(t, webhook.Other, e.Type)
}

func (s *suite) testRoundTrip(t *testing.T) {
	if s.RoundTrip == nil {
		t.Log("there is no adapter")
		return
	}
	m := mailer.Message{
		ID:       "webhooktest-ID_1",
		From:     mailer.Address{Address: "shop@example.com"},
		To:       []mailer.Address{{Name: "Ada", Address: "ada@example.com"}},
		Subject:  "Welcome",
		Text:     "Good day.",
		Tags:     []string{"welcome"},
		Metadata: map[string]string{"plan": "pro \"plus\" <1>", "user": "4711"},
	}
	receipt, r := s.RoundTrip(t, m)
	got := s.accept(t, s.source(t), r)
	require.Len(t, got.events, 1, "events")
	e := got.events[0]
	id := receipt.MessageID
	if of := receipt.MessageIDs["ada@example.com"]; of != "" {
		id = of
	}
	require.Equal(t, webhook.Delivered, e.Type, "Type")
	require.Equal(t, id, e.MessageID, "MessageID is not that of the receipt")
	require.Equal(t, m.ID, e.MailID, "MailID is not the message's ID")
	require.Equal(t, "ada@example.com", e.Recipient, "Recipient")
	if !slices.Contains(receipt.Dropped, "Tags[0]") {
		require.Equal(t, m.Tags, e.Tags, "Tags")
	}
	for _, key := range []string{"plan", "user"} {
		if !slices.Contains(receipt.Dropped, fmt.Sprintf("Metadata[%q]", key)) {
			require.Equal(t, m.Metadata[key], e.Metadata[key], "Metadata[%q]", key)
		}
	}
}

func (s *suite) testMethods(t *testing.T) {
	src := s.source(t)
	for _, method := range []string{
		http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions, "post", "BREW",
	} {
		if slices.Contains(s.Methods, method) {
			continue
		}
		t.Run(method, func(t *testing.T) {
			r := s.Request(s.Sample)
			r.Method = method
			got := s.deliver(t, src, r)
			require.Equal(t, http.StatusMethodNotAllowed, got.status, "status")
			require.Zero(t, got.calls, "events")
			for _, allowed := range s.Methods {
				require.Contains(t, got.header.Get("Allow"), allowed, "Allow")
			}
		})
	}
}
