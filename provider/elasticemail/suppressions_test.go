package elasticemail

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/providertest"
	"github.com/seed355143d4/mailer/suppression"
)

// shelf is Elastic Email's lists.
type shelf struct {
	t     *testing.T
	lists map[string][]string
	page  int                                             // the most entries of one
	fail  func(r *http.Request) (status int, text string) // instead of an answer
	calls []string
}

func (s *shelf) provider() *Provider {
	p, err := New(Config{APIKey: key, HTTPClient: providertest.Client(func(r *http.Request, body []byte) (int, string) {
		s.calls = append(s.calls, r.Method+" "+r.URL.RequestURI())
		require.Equal(s.t, key, r.Header.Get("X-ElasticEmail-ApiKey"))
		list, ok := strings.CutPrefix(r.URL.Path, "/v4/suppressions/")
		require.True(s.t, ok)
		if s.fail != nil {
			if status, text := s.fail(r); status != 0 {
				return status, text
			}
		}
		if r.Method == http.MethodPost {
			var added []string
			require.NoError(s.t, json.Unmarshal(body, &added))
			require.LessOrEqual(s.t, len(added), 1000)
			s.lists[list] = append(s.lists[list], added...)
			return 201, "[]"
		}
		var limit, offset int
		_, err := fmt.Sscanf(r.URL.RawQuery, "limit=%d&offset=%d", &limit, &offset)
		require.NoError(s.t, err)
		all := s.lists[list]
		items := []map[string]any{}
		for _, a := range all[min(offset, len(all)):min(offset+min(limit, s.page), len(all))] {
			items = append(items, map[string]any{"Email": a, "ErrorCode": 550, "FriendlyErrorMessage": "Mailbox not found", "DateUpdated": "2026-03-04T10:11:13"})
		}
		text, err := json.Marshal(items)
		require.NoError(s.t, err)
		return 200, string(text)
	})})
	require.NoError(s.t, err)
	return p
}

func people(kind string, n int) (as []string) {
	for i := range n {
		as = append(as, fmt.Sprintf("%s%d@example.com", kind, i))
	}
	return as
}

func TestPullReadsAllThreeLists(t *testing.T) {
	for name, c := range map[string]struct{ bounces, complaints, unsubscribes, page int }{
		"of nothing":       {0, 0, 0, 500},
		"of one page each": {3, 2, 1, 500},
		"of full pages":    {1000, 500, 501, 500},
		"of pages that are shorter than asked for": {250, 0, 7, 100},
	} {
		t.Run(name, func(t *testing.T) {
			s := &shelf{t: t, page: c.page, lists: map[string][]string{
				"bounces": people("b", c.bounces), "complaints": people("c", c.complaints), "unsubscribes": people("u", c.unsubscribes),
			}}
			var got []suppression.Entry
			cursor := ""
			for {
				// A new Provider each time: a run can be resumed.
				page, next, err := s.provider().PullSuppressions(t.Context(), cursor)
				require.NoError(t, err)
				require.LessOrEqual(t, len(page), 500)
				got = append(got, page...)
				if cursor = next; cursor == "" {
					break
				}
			}
			var want []suppression.Entry
			for _, l := range []struct {
				name   string
				reason suppression.Reason
			}{{"bounces", suppression.HardBounce}, {"complaints", suppression.Complaint}, {"unsubscribes", suppression.Unsubscribe}} {
				for _, a := range s.lists[l.name] {
					want = append(want, suppression.Entry{
						Address: a, Reason: l.reason, Source: "elasticemail", Detail: "550 Mailbox not found",
						Created: time.Date(2026, 3, 4, 10, 11, 13, 0, time.UTC),
					})
				}
			}
			require.Equal(t, want, got)
		})
	}
}

func TestPullReadsWhatIsThere(t *testing.T) {
	for name, c := range map[string]struct {
		item string
		want suppression.Entry
	}{
		"everything":                   {`{"Email":"ada@example.com","FriendlyErrorMessage":"no","ErrorCode":550,"DateUpdated":"2026-03-04T10:11:13+01:00"}`, suppression.Entry{Detail: "550 no", Created: time.Date(2026, 3, 4, 9, 11, 13, 0, time.UTC)}},
		"an address only":              {`{"Email":"ada@example.com"}`, suppression.Entry{}},
		"null":                         {`{"Email":"ada@example.com","FriendlyErrorMessage":null,"ErrorCode":null,"DateUpdated":null}`, suppression.Entry{}},
		"the code of nothing":          {`{"Email":"ada@example.com","ErrorCode":0}`, suppression.Entry{}},
		"a code without words":         {`{"Email":"ada@example.com","ErrorCode":550}`, suppression.Entry{Detail: "550"}},
		"a text that is cut in a rune": {`{"Email":"ada@example.com","FriendlyErrorMessage":"x` + strings.Repeat("\u00e9", 400) + `"}`, suppression.Entry{Detail: "x" + strings.Repeat("\u00e9", 249)}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &shelf{t: t, fail: func(*http.Request) (int, string) { return 200, "[" + c.item + "]" }}
			page, next, err := s.provider().PullSuppressions(t.Context(), "bounces:7")
			require.NoError(t, err)
			require.Equal(t, "bounces:8", next)
			c.want.Address, c.want.Reason, c.want.Source = "ada@example.com", suppression.HardBounce, "elasticemail"
			require.Equal(t, []suppression.Entry{c.want}, page)
			require.Equal(t, []string{"GET /v4/suppressions/bounces?limit=500&offset=7"}, s.calls)
		})
	}
}

// noLists are answers that are not a list.
var noLists = map[string]struct {
	status int
	body   string
	kind   mailer.Kind
}{
	"a bad key":              {400, no("APIKey Expired"), mailer.KindUnauthorized},
	"a missing right":        {200, no("Access Denied"), mailer.KindUnauthorized},
	"a bad key with 401":     {401, "", mailer.KindUnauthorized},
	"a bad day":              {503, "<html>", mailer.KindUnavailable},
	"too many connections":   {429, "", mailer.KindRateLimited},
	"an object":              {200, `{"Email":"ada@example.com"}`, mailer.KindUnknown},
	"nothing":                {200, "", mailer.KindUnknown},
	"a web page":             {200, "<html>ada@example.com", mailer.KindUnknown},
	"an answer that is half": {200, `[{"Email":"ada@example.com"}`, mailer.KindUnknown},
}

func TestPullFails(t *testing.T) {
	check := func(status int, body string, kind mailer.Kind) {
		s := &shelf{t: t, fail: func(*http.Request) (int, string) { return status, body }}
		page, next, err := s.provider().PullSuppressions(t.Context(), "complaints:500")
		require.ErrorIs(t, err, kind)
		require.Empty(t, page)
		require.Empty(t, next)
		require.NotContains(t, err.Error(), "ada@example.com")
	}
	for name, c := range noLists {
		t.Run("with "+name, func(t *testing.T) { check(c.status, c.body, c.kind) })
	}
	for _, item := range []string{`{}`, `{"Email":null}`, `{"Email":""}`, `"ada@example.com"`, `7`} {
		t.Run("rather than to lose the entry "+item, func(t *testing.T) {
			check(200, `[{"Email":"ada@example.com"},`+item+`]`, mailer.KindUnknown)
		})
	}
	for _, cursor := range []string{"x", "bounces", "bounces:", "bounces:-1", "bounces:99999999999", "bounces:1&x=y", ":0", "everything:0"} {
		t.Run("for the cursor "+cursor, func(t *testing.T) {
			s := &shelf{t: t}
			_, _, err := s.provider().PullSuppressions(t.Context(), cursor)
			require.ErrorIs(t, err, mailer.KindInvalid)
			require.Empty(t, s.calls)
		})
	}
}

// entries makes entries for these reasons, in turn.
func entries(n int, reasons ...suppression.Reason) (es []suppression.Entry) {
	for i := range n {
		es = append(es, suppression.Entry{Address: fmt.Sprintf("a%d@example.com", i), Reason: reasons[i%len(reasons)]})
	}
	return es
}

func TestPush(t *testing.T) {
	s := &shelf{t: t, lists: map[string][]string{}}
	done, err := s.provider().PushSuppressions(t.Context(), nil)
	require.NoError(t, err)
	require.Zero(t, done)
	require.Empty(t, s.calls)

	es := entries(2500, suppression.HardBounce, suppression.SoftBounce, suppression.Complaint, suppression.Unsubscribe, suppression.Manual)
	es[4].Address = "ada@b\u00fccher.example"
	done, err = s.provider().PushSuppressions(t.Context(), es)
	require.NoError(t, err)
	require.Equal(t, 2500, done)
	require.Len(t, s.calls, 9)
	want := map[string][]string{}
	for i, e := range es {
		list := []string{"bounces", "bounces", "complaints", "unsubscribes", "unsubscribes"}[i%5]
		address := e.Address
		if i == 4 {
			address = "ada@xn--bcher-kva.example"
		}
		want[list] = append(want[list], address)
	}
	require.Equal(t, want, s.lists)
}

func TestPushTellsWhereToResume(t *testing.T) {
	for _, c := range []struct {
		name  string
		first string // the list whose calls fail, from call
		call  int
		want  int
	}{
		{"the first list", "bounces", 1, 0},
		{"the second list", "complaints", 1, 2},
		{"the third list", "unsubscribes", 1, 3},
		{"the first list of the second call", "bounces", 2, 1000},
		{"the third list of the third call", "unsubscribes", 3, 2003},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &shelf{t: t, lists: map[string][]string{}}
			calls := 0
			s.fail = func(r *http.Request) (int, string) {
				if strings.HasSuffix(r.URL.Path, c.first) {
					if calls++; calls == c.call {
						return 503, ""
					}
				}
				return 0, ""
			}
			es := entries(2500, suppression.HardBounce, suppression.HardBounce, suppression.Complaint, suppression.Unsubscribe, suppression.Complaint)
			done, err := s.provider().PushSuppressions(t.Context(), es)
			require.ErrorIs(t, err, mailer.KindUnavailable)
			require.Equal(t, c.want, done)
			there := map[string]bool{}
			for _, list := range s.lists {
				for _, a := range list {
					there[a] = true
				}
			}
			for _, e := range es[:done] {
				require.True(t, there[e.Address], "%s is not on a list", e.Address)
			}
			_, err = s.provider().PushSuppressions(t.Context(), es[done:])
			require.NoError(t, err)
			for _, list := range s.lists {
				for _, a := range list {
					there[a] = true
				}
			}
			require.Len(t, there, 2500)
		})
	}
	for name, c := range noLists {
		t.Run("after "+name, func(t *testing.T) {
			s := &shelf{t: t, fail: func(*http.Request) (int, string) { return c.status, c.body }}
			done, err := s.provider().PushSuppressions(t.Context(), entries(3, suppression.HardBounce))
			require.ErrorIs(t, err, c.kind)
			require.Zero(t, done)
		})
	}
	for name, c := range map[string]struct {
		address string
		kind    mailer.Kind
	}{
		"an address that is none":       {"ada", mailer.KindInvalid},
		"an address of two lines":       {"ada@example.com\r\nx", mailer.KindInvalid},
		"an international local part":   {"jos\u00e9@example.com", mailer.KindUnsupported},
		"an address that is two at all": {`a@example.com","b@example.com`, mailer.KindInvalid},
	} {
		t.Run("before "+name, func(t *testing.T) {
			s := &shelf{t: t, lists: map[string][]string{}}
			es := entries(1300, suppression.HardBounce, suppression.Complaint)
			es[1100].Address = c.address
			done, err := s.provider().PushSuppressions(t.Context(), es)
			require.ErrorIs(t, err, c.kind)
			require.Equal(t, "entries[1100].Address", err.(*mailer.Error).Field)
			require.Equal(t, 1100, done)
			require.Equal(t, 1100, len(s.lists["bounces"])+len(s.lists["complaints"]))
		})
	}
}
