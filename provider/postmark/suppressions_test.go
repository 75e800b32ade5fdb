package postmark

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/suppression"
)

// suppressed is an address on the list of a stream.
type suppressed struct {
	EmailAddress, SuppressionReason, Origin, CreatedAt string
}

// ledger plays Postmark's lists.
type ledger struct {
	t       *testing.T
	kinds   map[string]string // of the streams, by name
	lists   map[string][]suppressed
	refuses string                                          // an address that it does not add
	fail    func(r *http.Request) (status int, text string) // instead of an answer
	calls   []string
}

func (l *ledger) RoundTrip(r *http.Request) (*http.Response, error) {
	l.calls = append(l.calls, r.Method+" "+r.URL.RequestURI())
	require.Equal(l.t, token, r.Header.Get("X-Postmark-Server-Token"))
	status, text := 200, ""
	if l.fail != nil {
		status, text = l.fail(r)
	}
	if text == "" {
		status, text = 200, l.answer(r)
	}
	return &http.Response{
		StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{"Content-Type": {"application/json"}},
		ContentLength: int64(len(text)), Body: io.NopCloser(strings.NewReader(text)), Request: r,
	}, nil
}

func (l *ledger) answer(r *http.Request) string {
	if r.URL.Path == "/message-streams" {
		streams := []map[string]any{}
		for name, kind := range l.kinds {
			streams = append(streams, map[string]any{"ID": name, "MessageStreamType": kind})
		}
		return l.json(map[string]any{"MessageStreams": streams, "TotalCount": len(streams)})
	}
	path := strings.TrimPrefix(r.URL.Path, "/message-streams/")
	if r.Method == http.MethodGet {
		stream, ok := strings.CutSuffix(path, "/suppressions/dump")
		require.True(l.t, ok, path)
		q, found := r.URL.Query(), []suppressed{}
		for _, s := range l.lists[stream] {
			if day := s.CreatedAt[:10]; day >= q.Get("fromdate") && (q.Get("todate") == "" || day <= q.Get("todate")) {
				found = append(found, s)
			}
		}
		return l.json(map[string]any{"Suppressions": found})
	}
	stream, ok := strings.CutSuffix(path, "/suppressions")
	require.True(l.t, ok, path)
	var in struct{ Suppressions []suppressed }
	require.NoError(l.t, json.NewDecoder(r.Body).Decode(&in))
	require.NotEmpty(l.t, in.Suppressions)
	require.LessOrEqual(l.t, len(in.Suppressions), 50)
	var out []map[string]any
	for _, s := range in.Suppressions {
		if s.EmailAddress == l.refuses {
			out = append(out, map[string]any{"EmailAddress": s.EmailAddress, "Status": "Failed", "Message": "An invalid email address was provided."})
			continue
		}
		l.lists[stream] = append(l.lists[stream], s)
		out = append(out, map[string]any{"EmailAddress": strings.ToLower(s.EmailAddress), "Status": "Suppressed", "Message": nil})
	}
	return l.json(map[string]any{"Suppressions": out})
}

func (l *ledger) json(v any) string {
	b, err := json.Marshal(v)
	require.NoError(l.t, err)
	return string(b)
}

func (l *ledger) provider() *Provider {
	p, err := New(Config{ServerToken: token, HTTPClient: &http.Client{Transport: l}})
	require.NoError(l.t, err)
	return p
}

func newLedger(t *testing.T) *ledger {
	return &ledger{
		t: t, kinds: map[string]string{"outbound": "Transactional", "broadcast": "Broadcasts", "inbound": "Inbound"},
		lists: map[string][]suppressed{},
	}
}

// pullAll reads every page, the next one each by a provider of its own.
func (l *ledger) pullAll() (entries []suppression.Entry, pages int) {
	cursor := ""
	for {
		page, next, err := l.provider().PullSuppressions(l.t.Context(), cursor)
		require.NoError(l.t, err)
		entries = append(entries, page...)
		pages++
		require.Less(l.t, pages, 1000)
		if next == "" {
			return entries, pages
		}
		cursor = next
	}
}

func TestPullReadsEveryStream(t *testing.T) {
	l := newLedger(t)
	at := "2026-03-04T10:11:12-05:00"
	l.lists["outbound"] = []suppressed{{"gone@example.com", "HardBounce", "Recipient", at}, {"angry@example.com", "SpamComplaint", "Recipient", at}}
	l.lists["broadcast"] = []suppressed{{"tired@example.com", "ManualSuppression", "Recipient", at}, {"noted@example.com", "ManualSuppression", "Customer", "soon-and-unreadable"}}
	l.lists["inbound"] = []suppressed{{"never@example.com", "HardBounce", "Recipient", at}}
	got, pages := l.pullAll()
	created := time.Date(2026, 3, 4, 15, 11, 12, 0, time.UTC)
	require.Equal(t, []suppression.Entry{
		{Address: "tired@example.com", Reason: suppression.Unsubscribe, Stream: "broadcast", Source: "postmark", Created: created},
		{Address: "noted@example.com", Reason: suppression.Manual, Stream: "broadcast", Source: "postmark"},
		{Address: "gone@example.com", Reason: suppression.HardBounce, Source: "postmark", Created: created},
		{Address: "angry@example.com", Reason: suppression.Complaint, Source: "postmark", Created: created},
	}, got)
	require.Equal(t, 2, pages)
}

func TestPullOfNothing(t *testing.T) {
	l := newLedger(t)
	got, pages := l.pullAll()
	require.Empty(t, got)
	require.Equal(t, 2, pages)
	l.kinds = map[string]string{"inbound": "Inbound"}
	got, _ = l.pullAll()
	require.Empty(t, got)
}

// A list over the limit of an answer is read by spans of time.
func TestPullOfALongList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)))
		l := newLedger(t)
		want := map[string]bool{}
		for i := range 30_000 { // some 3.5 MB
			day := time.Date(2019, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, (i*i)%2880)
			if i%3 == 0 {
				day = time.Date(2026, 11, 1+i%20, 0, 0, 0, 0, time.UTC) // busy days
			}
			a := fmt.Sprintf("someone-with-a-long-name-%d@example.com", i)
			want[a] = true
			l.lists["outbound"] = append(l.lists["outbound"], suppressed{a, "HardBounce", "Recipient", day.Format(time.RFC3339)})
		}
		entries, pages := l.pullAll()
		got := map[string]bool{}
		for _, e := range entries {
			got[e.Address] = true
		}
		require.Equal(t, want, got)
		require.Greater(t, pages, 4)
		require.Less(t, len(l.calls), 40, "calls")
	})
}

func TestPullOfADayThatIsTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)))
		l := newLedger(t)
		for i := range 12_000 {
			l.lists["broadcast"] = append(l.lists["broadcast"], suppressed{fmt.Sprintf("someone-%d@example.com", i), "HardBounce", "Recipient", "2026-11-23T10:00:00Z"})
		}
		cursor, pages := "", 0
		for {
			_, next, err := l.provider().PullSuppressions(t.Context(), cursor)
			if err != nil {
				require.ErrorIs(t, err, mailer.KindTooLarge)
				require.True(t, mailer.NotSent(err))
				return
			}
			pages++
			require.Less(t, pages, 100)
			require.NotEmpty(t, next)
			cursor = next
		}
	})
}

func TestPullRefusesACursorOfSomebodyElse(t *testing.T) {
	for _, cursor := range []string{"outbound:1", ":2026-01-01:5", "outbound:2026-01-01:0", "outbound:2026-01-01:-1", "outbound:1999-01-01:5", "outbound:x:5", "outbound:2026-01-01:9999999"} {
		l := newLedger(t)
		_, _, err := l.provider().PullSuppressions(t.Context(), cursor)
		require.ErrorIs(t, err, mailer.KindInvalid, cursor)
		require.Empty(t, l.calls)
	}
	l := newLedger(t)
	_, next, err := l.provider().PullSuppressions(t.Context(), "gone-meanwhile")
	require.NoError(t, err)
	require.Equal(t, "outbound", next)
}

func TestPullOnABadDay(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		text   string
		kind   mailer.Kind
	}{
		{"a bad token", 401, `{"ErrorCode":10,"Message":"Bad token"}`, mailer.KindUnauthorized},
		{"too fast", 429, `{"ErrorCode":429,"Message":"slow"}`, mailer.KindRateLimited},
		{"down", 503, `<html>`, mailer.KindUnavailable},
		{"another answer", 200, `{"ErrorCode":0}`, mailer.KindUnknown},
		{"a web page", 200, `<html>`, mailer.KindUnknown},
		{"a list of something else", 200, `{"Suppressions":[1],"MessageStreams":[{"ID":"outbound"}]}`, mailer.KindUnknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLedger(t)
			l.fail = func(*http.Request) (int, string) { return c.status, c.text }
			_, _, err := l.provider().PullSuppressions(t.Context(), "")
			require.ErrorIs(t, err, c.kind)
			require.True(t, mailer.NotSent(err))
			require.NotContains(t, err.Error(), token)
		})
	}
}

func TestPushGoesToTheStreamOrToAll(t *testing.T) {
	l := newLedger(t)
	done, err := l.provider().PushSuppressions(t.Context(), []suppression.Entry{
		{Address: "gone@example.com", Reason: suppression.HardBounce},
		{Address: "Tired@example.com", Reason: suppression.Unsubscribe, Stream: "broadcast"},
		{Address: "away@example.com", Reason: suppression.Unsubscribe, Stream: "newsletter"},
		{Address: "GONE@example.com", Reason: suppression.Complaint},
	})
	require.NoError(t, err)
	require.Equal(t, 4, done)
	addresses := func(stream string) (as []string) {
		for _, s := range l.lists[stream] {
			as = append(as, s.EmailAddress)
		}
		return as
	}
	require.Equal(t, []string{"gone@example.com", "Tired@example.com", "away@example.com"}, addresses("broadcast"))
	require.Equal(t, []string{"gone@example.com", "away@example.com"}, addresses("outbound"))
	require.Empty(t, addresses("inbound"))
}

func addressees(n int, stream string) (es []suppression.Entry) {
	for i := range n {
		es = append(es, suppression.Entry{Address: fmt.Sprintf("u%d@example.com", i), Stream: stream})
	}
	return es
}

func TestPushOfMany(t *testing.T) {
	l := newLedger(t)
	done, err := l.provider().PushSuppressions(t.Context(), addressees(120, "outbound"))
	require.NoError(t, err)
	require.Equal(t, 120, done)
	require.Len(t, l.lists["outbound"], 120)
	require.Len(t, l.calls, 4)
	done, err = l.provider().PushSuppressions(t.Context(), nil)
	require.NoError(t, err)
	require.Zero(t, done)
	require.Len(t, l.calls, 4)
}

// done is where to resume: everything before it is on every list that it belongs
// to.
func TestPushThatEndsEarlySaysWhereToResume(t *testing.T) {
	onEvery := func(t *testing.T, l *ledger, entries []suppression.Entry) {
		t.Helper()
		for _, e := range entries {
			for _, stream := range []string{"outbound", "broadcast"} {
				if e.Stream != "" && e.Stream != stream {
					continue
				}
				require.True(t, slices.ContainsFunc(l.lists[stream], func(s suppressed) bool { return s.EmailAddress == e.Address }), "%s in %s", e.Address, stream)
			}
		}
	}
	t.Run("at an address that is refused", func(t *testing.T) {
		l := newLedger(t)
		l.refuses = "u70@example.com"
		entries := addressees(120, "")
		done, err := l.provider().PushSuppressions(t.Context(), entries)
		require.ErrorIs(t, err, mailer.KindRejected)
		require.ErrorContains(t, err, "invalid email address")
		require.True(t, mailer.NotSent(err))
		require.Equal(t, 70, done)
		onEvery(t, l, entries[:done])
	})
	t.Run("at a stream that fails", func(t *testing.T) {
		l := newLedger(t)
		l.fail = func(r *http.Request) (int, string) {
			if r.Method == http.MethodPost && strings.Contains(r.URL.Path, "outbound") {
				return 503, "down"
			}
			return 0, ""
		}
		entries := append(addressees(3, "broadcast"), addressees(2, "")...)
		done, err := l.provider().PushSuppressions(t.Context(), entries)
		require.ErrorIs(t, err, mailer.KindUnavailable)
		require.Equal(t, 3, done)
		onEvery(t, l, entries[:done])
	})
	t.Run("at an answer that leaves one out", func(t *testing.T) {
		l := newLedger(t)
		l.fail = func(r *http.Request) (int, string) {
			if r.Method == http.MethodPost {
				return 200, `{"Suppressions":[{"EmailAddress":"u0@example.com","Status":"Suppressed"}]}`
			}
			return 0, ""
		}
		done, err := l.provider().PushSuppressions(t.Context(), addressees(3, "outbound"))
		require.ErrorIs(t, err, mailer.KindRejected)
		require.Equal(t, 1, done)
	})
	t.Run("at once where nothing sends", func(t *testing.T) {
		l := newLedger(t)
		l.kinds = map[string]string{"inbound": "Inbound"}
		done, err := l.provider().PushSuppressions(t.Context(), addressees(3, ""))
		require.ErrorIs(t, err, mailer.KindRejected)
		require.Zero(t, done)
	})
}
