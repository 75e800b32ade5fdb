package sendgrid

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/suppression"
)

// ledger plays SendGrid's lists.
type ledger struct {
	t      *testing.T
	lists  map[string][]string // by the name of a list, or "global", or the id of a group
	page   int                 // the most entries of one
	fail   func(r *http.Request) (status int, text string)
	calls  []string
	groups []int64
}

func (l *ledger) RoundTrip(r *http.Request) (*http.Response, error) {
	l.calls = append(l.calls, r.Method+" "+r.URL.RequestURI())
	require.Equal(l.t, "Bearer "+key, r.Header.Get("Authorization"))
	status, text := 0, ""
	if l.fail != nil {
		status, text = l.fail(r)
	}
	if status == 0 {
		status, text = l.answer(r)
	}
	return &http.Response{
		StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
		ContentLength: int64(len(text)), Body: io.NopCloser(strings.NewReader(text)), Request: r,
	}, nil
}

func (l *ledger) answer(r *http.Request) (status int, text string) {
	path := strings.TrimPrefix(r.URL.Path, "/v3")
	list := strings.TrimSuffix(strings.TrimPrefix(path, "/asm/groups/"), "/suppressions")
	if path == "/asm/suppressions/global" {
		list = "global"
	}
	out := []any{}
	switch {
	case r.Method == http.MethodPost:
		var in struct {
			Emails []string `json:"recipient_emails"`
		}
		require.NoError(l.t, json.NewDecoder(r.Body).Decode(&in))
		require.NotEmpty(l.t, in.Emails)
		require.LessOrEqual(l.t, len(in.Emails), 500)
		l.lists[list] = append(l.lists[list], in.Emails...)
		status = 201
	case path == "/asm/groups":
		for _, id := range l.groups {
			out = append(out, map[string]any{"id": id, "name": "News"})
		}
	case strings.HasPrefix(path, "/asm/groups/"):
		for _, a := range l.lists[list] {
			out = append(out, a)
		}
	default:
		var limit, offset int
		_, err := fmt.Sscanf(r.URL.RawQuery, "limit=%d&offset=%d", &limit, &offset)
		require.NoError(l.t, err)
		all := l.lists[strings.TrimPrefix(path, "/suppression/")]
		for _, a := range all[min(offset, len(all)):min(offset+min(limit, l.page), len(all))] {
			out = append(out, map[string]any{"created": 1793612463, "email": a, "reason": "550 5.1.1 no such user", "status": "5.1.1"})
		}
	}
	b, err := json.Marshal(out)
	require.NoError(l.t, err)
	return max(status, 200), string(b)
}

func newLedger(t *testing.T) *ledger {
	return &ledger{t: t, lists: map[string][]string{}, page: 500}
}

func (l *ledger) provider() *Provider {
	p, err := New(Config{APIKey: key, HTTPClient: &http.Client{Transport: l}})
	require.NoError(l.t, err)
	return p
}

func addresses(kind string, n int) (as []string) {
	for i := range n {
		as = append(as, fmt.Sprintf("%s%d@example.com", kind, i))
	}
	return as
}

// pullAll reads every page, the next one each by a provider of its own.
func (l *ledger) pullAll() (entries []suppression.Entry) {
	cursor := ""
	for pages := 0; ; pages++ {
		page, next, err := l.provider().PullSuppressions(l.t.Context(), cursor)
		require.NoError(l.t, err)
		require.LessOrEqual(l.t, len(page), 500)
		entries = append(entries, page...)
		require.Less(l.t, pages, 100)
		if next == "" {
			return entries
		}
		cursor = next
	}
}

func TestPullReadsEveryList(t *testing.T) {
	for name, c := range map[string]struct{ n, page int }{
		"of nothing": {0, 500}, "of a few": {3, 500}, "of full pages": {1000, 500}, "of pages that are shorter than asked for": {250, 100},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger(t)
			l.page, l.groups = c.page, []int64{1187, 3}
			l.lists = map[string][]string{
				"bounces": addresses("b", c.n), "invalid_emails": addresses("i", c.n), "spam_reports": addresses("s", c.n+1),
				"unsubscribes": addresses("u", c.n), "3": addresses("g", 1), "1187": addresses("h", c.n/2), "blocks": addresses("never", 5),
			}
			var want []suppression.Entry
			add := func(list string, reason suppression.Reason) {
				for _, a := range l.lists[list] {
					want = append(want, suppression.Entry{Address: a, Reason: reason, Source: "sendgrid", Detail: "550 5.1.1 no such user", Created: time.Unix(1793612463, 0).UTC()})
				}
			}
			add("bounces", suppression.HardBounce)
			add("invalid_emails", suppression.HardBounce)
			add("spam_reports", suppression.Complaint)
			add("unsubscribes", suppression.Unsubscribe)
			for _, id := range []string{"3", "1187"} {
				for _, a := range l.lists[id] {
					want = append(want, suppression.Entry{Address: a, Reason: suppression.Unsubscribe, Stream: id, Source: "sendgrid"})
				}
			}
			require.Equal(t, want, l.pullAll())
		})
	}
}

func TestPullGoesOnBehindAGroupThatIsGone(t *testing.T) {
	l := newLedger(t)
	l.groups = []int64{1, 3}
	page, next, err := l.provider().PullSuppressions(t.Context(), "group:2")
	require.NoError(t, err)
	require.Empty(t, page)
	require.Equal(t, "group:3", next)
}

func TestPullOfAGroupThatIsTooLarge(t *testing.T) {
	l := newLedger(t)
	l.groups = []int64{7}
	l.lists["7"] = addresses("someone-with-a-long-name", 40_000)
	_, _, err := l.provider().PullSuppressions(t.Context(), "group:7")
	require.ErrorIs(t, err, mailer.KindTooLarge)
	require.True(t, mailer.NotSent(err))
}

func TestPullRefusesACursorOfSomebodyElse(t *testing.T) {
	for _, cursor := range []string{"blocks:0", "bounces", "bounces:-1", "bounces:x", "group:", "outbound"} {
		l := newLedger(t)
		_, _, err := l.provider().PullSuppressions(t.Context(), cursor)
		require.ErrorIs(t, err, mailer.KindInvalid, cursor)
		require.Empty(t, l.calls)
	}
}

func TestSuppressionsOnABadDay(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		text   string
		kind   mailer.Kind
	}{
		{"a bad key", 401, `{"errors":[{"message":"authorization required"}]}`, mailer.KindUnauthorized},
		{"a key that may not", 403, `{"errors":[{"message":"access forbidden"}]}`, mailer.KindUnauthorized},
		{"too fast", 429, `{"errors":[{"message":"too many requests"}]}`, mailer.KindRateLimited},
		{"down", 503, `<html>`, mailer.KindUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLedger(t)
			l.fail = func(*http.Request) (int, string) { return c.status, c.text }
			_, _, err := l.provider().PullSuppressions(t.Context(), "")
			require.ErrorIs(t, err, c.kind)
			require.True(t, mailer.NotSent(err))
			done, err := l.provider().PushSuppressions(t.Context(), []suppression.Entry{{Address: "a@example.com"}})
			require.ErrorIs(t, err, c.kind)
			require.Zero(t, done)
		})
	}
	for _, text := range []string{`<html>`, `{}`, `[1]`, `[{"created":1}]`, ``} {
		l := newLedger(t)
		l.fail = func(*http.Request) (int, string) { return 200, text }
		_, _, err := l.provider().PullSuppressions(t.Context(), "")
		require.ErrorIs(t, err, mailer.KindUnknown, text)
		l.groups = []int64{7}
		_, _, err = l.provider().PullSuppressions(t.Context(), "group:7")
		require.ErrorIs(t, err, mailer.KindUnknown, text)
	}
}

func TestPushGoesToTheGroupOrToAllMail(t *testing.T) {
	l := newLedger(t)
	done, err := l.provider().PushSuppressions(t.Context(), []suppression.Entry{
		{Address: "gone@example.com", Reason: suppression.HardBounce},
		{Address: "tired@example.com", Reason: suppression.Unsubscribe, Stream: "1187"},
		{Address: "away@example.com", Reason: suppression.Unsubscribe, Stream: "newsletter"},
		{Address: "odd@example.com", Reason: suppression.Unsubscribe, Stream: "-5"},
	})
	require.NoError(t, err)
	require.Equal(t, 4, done)
	require.Equal(t, map[string][]string{
		"global": {"gone@example.com", "away@example.com", "odd@example.com"}, "1187": {"tired@example.com"},
	}, l.lists)
}

func TestPushOfMany(t *testing.T) {
	l := newLedger(t)
	var entries []suppression.Entry
	for _, a := range addresses("u", 1200) {
		entries = append(entries, suppression.Entry{Address: a})
	}
	done, err := l.provider().PushSuppressions(t.Context(), entries)
	require.NoError(t, err)
	require.Equal(t, 1200, done)
	require.Len(t, l.lists["global"], 1200)
	require.Len(t, l.calls, 3)
	done, err = l.provider().PushSuppressions(t.Context(), nil)
	require.NoError(t, err)
	require.Zero(t, done)
	require.Len(t, l.calls, 3)
}

// done is where to resume: everything before it is on its list.
func TestPushThatEndsEarlySaysWhereToResume(t *testing.T) {
	l := newLedger(t)
	l.fail = func(r *http.Request) (int, string) {
		if strings.Contains(r.URL.Path, "/groups/9/") {
			return 404, `{"errors":[{"message":"group not found"}]}`
		}
		return 0, ""
	}
	done, err := l.provider().PushSuppressions(t.Context(), []suppression.Entry{
		{Address: "a@example.com"},
		{Address: "b@example.com"},
		{Address: "c@example.com", Stream: "9"},
		{Address: "d@example.com"},
		{Address: "e@example.com", Stream: "10"},
	})
	require.ErrorIs(t, err, mailer.KindRejected)
	require.Equal(t, 2, done)
	require.Subset(t, l.lists["global"], []string{"a@example.com", "b@example.com"})
}
