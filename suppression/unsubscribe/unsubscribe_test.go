package unsubscribe_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/suppression"
	"github.com/seed355143d4/mailer/suppression/unsubscribe"
)

var (
	key   = bytes.Repeat([]byte("k"), 32)
	older = bytes.Repeat([]byte("o"), 40)
)

func handler(t testing.TB, store suppression.Store, keys ...[]byte) *unsubscribe.Handler {
	t.Helper()
	h, err := unsubscribe.New(unsubscribe.Config{URL: "https://example.com/leave", Keys: keys, Store: store, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	return h
}

func link(t testing.TB, h *unsubscribe.Handler, address, stream string) string {
	t.Helper()
	l, err := h.Link(address, stream)
	require.NoError(t, err)
	return l
}

const (
	form  = "application/x-www-form-urlencoded"
	click = "List-Unsubscribe=One-Click"
)

func do(h http.Handler, method, link, contentType, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, link, strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// parts returns a form of several parts, and its type.
func parts(name, value string) (contentType, body string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	_ = w.WriteField(name, value)
	_ = w.Close()
	return w.FormDataContentType(), b.String()
}

func contents(t testing.TB, s suppression.Store) (all []suppression.Entry) {
	t.Helper()
	for e, err := range s.All(t.Context()) {
		require.NoError(t, err)
		all = append(all, e)
	}
	return all
}

func TestOneClickEntersTheRecipient(t *testing.T) {
	multi, body := parts("List-Unsubscribe", "One-Click")
	for name, c := range map[string]struct{ contentType, body string }{
		"as Gmail sends it":            {form, click},
		"with a charset":               {form + "; charset=utf-8", click},
		"as a form of several parts":   {multi, body},
		"as the button of the page":    {form, click},
		"among other fields":           {form, "a=b&" + click},
		"encoded where it need not be": {form, "List%2DUnsubscribe=One%2DClick"},
	} {
		for _, stream := range []string{"newsletter", ""} {
			t.Run(name+" from "+stream, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					list := suppression.NewMemory()
					h := handler(t, list, key)
					l := link(t, h, "Ada@Bücher.example", stream)
					for range 2 {
						w := do(h, http.MethodPost, l, c.contentType, c.body)
						require.Equal(t, http.StatusOK, w.Code)
						require.Contains(t, w.Body.String(), "You are unsubscribed")
						require.NotContains(t, w.Body.String(), "<form")
						require.Equal(t, []suppression.Entry{{
							Address: "Ada@xn--bcher-kva.example", Reason: suppression.Unsubscribe, Stream: stream, Source: "one-click", Created: time.Now().UTC(),
						}}, contents(t, list))
					}
				})
			})
		}
	}
}

func TestEverythingElseChangesNothing(t *testing.T) {
	list := suppression.NewMemory()
	h := handler(t, list, key)
	good := link(t, h, "ada@example.com", "<b>news")
	foreign := link(t, handler(t, list, older), "ada@example.com", "news")
	raw, err := base64.RawURLEncoding.DecodeString(path.Base(good))
	require.NoError(t, err)
	raw[0]++
	next := "https://example.com/leave/" + base64.RawURLEncoding.EncodeToString(raw)
	wrong, wrongBody := parts("List-Unsubscribe", "Yes")
	big, bigBody := parts("List-Unsubscribe", "One-Click"+strings.Repeat("x", 8<<10))
	for _, c := range []struct {
		name, method, link, contentType, body string
		status                                int
		shows                                 string
	}{
		{"a look", http.MethodGet, good, "", "", 200, "<form"},
		{"a look with the words in the address", http.MethodGet, good + "?" + click, form, click, 200, "<form"},
		{"a look at the head", http.MethodHead, good, "", "", 200, ""},
		{"a post without the words", http.MethodPost, good, form, "", 400, "no unsubscribe request"},
		{"a post with the words in the address", http.MethodPost, good + "?" + click, form, "a=b", 400, ""},
		{"a post with other words", http.MethodPost, good, form, "List-Unsubscribe=One-click", 400, ""},
		{"a post with other parts", http.MethodPost, good, wrong, wrongBody, 400, ""},
		{"a post whose parts are none", http.MethodPost, good, "multipart/form-data; boundary=x", click, 400, ""},
		{"a post whose form is none", http.MethodPost, good, form, "%", 400, ""},
		{"a post of JSON", http.MethodPost, good, "application/json", "{}", 415, ""},
		{"a post without a type", http.MethodPost, good, "", click, 415, ""},
		{"a post that is too long", http.MethodPost, good, form, click + strings.Repeat("&a=b", 2000), 413, ""},
		{"a post of parts that is too long", http.MethodPost, good, big, bigBody, 413, ""},
		{"another method", http.MethodPut, good, form, click, 405, ""},
		{"another method without a token", http.MethodDelete, "https://example.com/", "", "", 405, ""},
		{"the token of another key", http.MethodPost, foreign, form, click, 404, "does not work"},
		{"the token of another key, looked at", http.MethodGet, foreign, "", "", 404, "does not work"},
		{"no token", http.MethodPost, "https://example.com/leave", form, click, 404, ""},
		{"no path", http.MethodGet, "https://example.com/", "", "", 404, ""},
		{"a token that was cut off", http.MethodPost, good[:len(good)-1], form, click, 404, ""},
		{"a token with a change", http.MethodPost, strings.Replace(good, good[40:44], "AAAA", 1), form, click, 404, ""},
		{"a token of another version", http.MethodPost, next, form, click, 404, ""},
		{"a token that is none", http.MethodPost, "https://example.com/leave/!", form, click, 404, ""},
		{"a token that is too long", http.MethodPost, "https://example.com/leave/" + strings.Repeat("A", 5000), form, click, 404, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := do(h, c.method, c.link, c.contentType, c.body)
			require.Equal(t, c.status, w.Code)
			require.Contains(t, w.Body.String(), c.shows)
			require.Equal(t, c.status == 200, strings.Contains(w.Body.String(), "<form"))
			require.NotContains(t, w.Body.String(), "ada@", "a forwarded mail tells nobody's address")
			require.NotContains(t, w.Body.String(), "<b>")
			require.Empty(t, w.Header().Get("Location"))
			require.Empty(t, w.Header().Get("Set-Cookie"))
			require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
			require.Equal(t, "no-referrer", w.Header().Get("Referrer-Policy"))
			require.Contains(t, w.Header().Get("Content-Security-Policy"), "frame-ancestors 'none'")
			require.Equal(t, c.status == 405, w.Header().Get("Allow") == "GET, HEAD, POST")
			require.Empty(t, contents(t, list))
		})
	}
}

// broken is a store that takes nothing.
type broken struct{ *suppression.Memory }

func (broken) Add(context.Context, []suppression.Entry) error { return errors.New("gone") }

func TestAStoreThatFailsIsToldAndLogged(t *testing.T) {
	var log bytes.Buffer
	h, err := unsubscribe.New(unsubscribe.Config{
		URL: "https://example.com/leave/", Keys: [][]byte{key}, Store: broken{suppression.NewMemory()}, Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	require.NoError(t, err)
	w := do(h, http.MethodPost, link(t, h, "ada@example.com", ""), form, click)
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.Equal(t, "60", w.Header().Get("Retry-After"))
	require.Contains(t, w.Body.String(), "<form")
	require.Contains(t, log.String(), "gone")
	require.NotContains(t, log.String(), "ada")
}

// slow is a store that waits for the context.
type slow struct{ *suppression.Memory }

func (slow) Add(ctx context.Context, _ []suppression.Entry) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestAStoreHasTenSecondsWhateverTheClientDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := handler(t, slow{suppression.NewMemory()}, key)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, link(t, h, "ada@example.com", ""), strings.NewReader(click))
		r.Header.Set("Content-Type", form)
		w := httptest.NewRecorder()
		start := time.Now()
		h.ServeHTTP(w, r)
		require.Equal(t, http.StatusServiceUnavailable, w.Code)
		require.Equal(t, 10*time.Second, time.Since(start))
	})
}

func TestAKeyCanBeChanged(t *testing.T) {
	list := suppression.NewMemory()
	old := link(t, handler(t, list, older), "ada@example.com", "news")
	both := handler(t, list, key, older)
	require.Equal(t, http.StatusOK, do(both, http.MethodPost, old, form, click).Code)
	require.Equal(t, link(t, handler(t, list, key), "ben@example.com", "news"), link(t, both, "ben@example.com", "news"), "the first key makes tokens")
	require.Equal(t, http.StatusNotFound, do(handler(t, list, key), http.MethodPost, old, form, click).Code)
	require.Len(t, contents(t, list), 1)
}

// A link names the recipient as the mail did, whatever the store makes of it.
func TestALinkLeavesTheRecipientItsSpelling(t *testing.T) {
	for _, fold := range []bool{false, true} {
		list := &suppression.Memory{FoldLocal: fold}
		h := handler(t, list, key)
		require.Equal(t, http.StatusOK, do(h, http.MethodPost, link(t, h, "Ada@Example.com", "newsletter"), form, click).Code)
		require.Equal(t, "Ada@example.com", contents(t, list)[0].Address)
		found, err := list.Lookup(t.Context(), []string{"ada@example.com"})
		require.NoError(t, err)
		require.Equal(t, fold, len(found) == 1)
	}
}

func TestALinkTellsNothing(t *testing.T) {
	h := handler(t, suppression.NewMemory(), key)
	l := link(t, h, "ada@example.com", "newsletter")
	token, ok := strings.CutPrefix(l, "https://example.com/leave/")
	require.True(t, ok)
	require.Regexp(t, `^[A-Za-z0-9_-]+$`, token)
	raw, err := base64.RawURLEncoding.DecodeString(token)
	require.NoError(t, err)
	for _, part := range []string{"ada", "example", "news"} {
		require.NotContains(t, string(raw), part)
	}
	require.Equal(t, l, link(t, h, "ada@Example.com", "newsletter"), "of one recipient and stream there is one link")
	seen := map[string]bool{}
	for _, x := range [][2]string{{"a@example.com", "b"}, {"ba@example.com", ""}, {"a@example.com", ""}, {"b@example.com", "b"}} {
		seen[link(t, h, x[0], x[1])] = true
	}
	require.Len(t, seen, 4)
	long := link(t, h, strings.Repeat("a", 242)+"@example.com", strings.Repeat("s", 100))
	require.Equal(t, http.StatusOK, do(h, http.MethodGet, long, "", "").Code)
	m := mailer.Message{From: mailer.Address{Address: "a@example.com"}, To: []mailer.Address{{Address: "b@example.com"}}, Text: "Hello", Unsubscribe: mailer.Unsubscribe{URL: long}}
	require.NoError(t, m.Validate())
	_, err = h.Link("who", "")
	require.ErrorIs(t, err, suppression.ErrEntry)
	_, err = h.Link("ada@example.com", strings.Repeat("s", 101))
	require.ErrorIs(t, err, suppression.ErrEntry)
}

func TestFill(t *testing.T) {
	h := handler(t, suppression.NewMemory(), key)
	to := func(addresses ...string) (list []mailer.Address) {
		for _, a := range addresses {
			list = append(list, mailer.Address{Address: a})
		}
		return list
	}
	m := mailer.Message{To: to("ada@example.com"), Unsubscribe: mailer.Unsubscribe{Mailto: "leave@example.com"}, Extras: []mailer.Extra{suppression.Extra{Stream: "news"}}}
	got, err := h.Fill(m)
	require.NoError(t, err)
	require.Equal(t, mailer.Unsubscribe{URL: link(t, h, "ada@example.com", "news"), Mailto: "leave@example.com"}, got.Unsubscribe)
	require.Empty(t, m.Unsubscribe.URL)
	for name, c := range map[string]struct {
		m     mailer.Message
		field string
	}{
		"nobody":             {mailer.Message{}, "To"},
		"two":                {mailer.Message{To: to("a@example.com", "b@example.com")}, "To"},
		"somebody in Cc":     {mailer.Message{To: to("a@example.com"), Cc: to("b@example.com")}, "Cc"},
		"somebody in Bcc":    {mailer.Message{To: to("a@example.com"), Bcc: to("b@example.com")}, "Bcc"},
		"a malformed one":    {mailer.Message{To: to("a")}, "To[0]"},
		"a malformed stream": {mailer.Message{To: to("a@example.com"), Extras: []mailer.Extra{suppression.Extra{Stream: "a\n"}}}, "To[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := h.Fill(c.m)
			e, ok := errors.AsType[*mailer.Error](err)
			require.True(t, ok)
			require.Equal(t, mailer.KindInvalid, e.Kind)
			require.True(t, e.NotSent)
			require.Equal(t, c.field, e.Field)
		})
	}
}

func TestNewRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*unsubscribe.Config)
		want   string
	}{
		"no address":  {func(c *unsubscribe.Config) { c.URL = "" }, "Config.URL"},
		"plain http":  {func(c *unsubscribe.Config) { c.URL = "http://example.com" }, "Config.URL"},
		"a query":     {func(c *unsubscribe.Config) { c.URL = "https://example.com/?a=b" }, "Config.URL"},
		"a user":      {func(c *unsubscribe.Config) { c.URL = "https://a@example.com" }, "Config.URL"},
		"no host":     {func(c *unsubscribe.Config) { c.URL = "https:///leave" }, "Config.URL"},
		"no keys":     {func(c *unsubscribe.Config) { c.Keys = nil }, "Config.Keys is empty"},
		"a short key": {func(c *unsubscribe.Config) { c.Keys = append(c.Keys, key[:31]) }, "Config.Keys[1] has fewer than 32 bytes"},
		"no store":    {func(c *unsubscribe.Config) { c.Store = nil }, "Config.Store is nil"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := unsubscribe.Config{URL: "https://example.com/leave", Keys: [][]byte{key}, Store: suppression.NewMemory()}
			c.change(&cfg)
			_, err := unsubscribe.New(cfg)
			require.ErrorContains(t, err, "unsubscribe: "+c.want)
		})
	}
	h := handler(t, suppression.NewMemory(), key)
	cfg := unsubscribe.Config{URL: "https://example.com/leave", Keys: [][]byte{key}}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		for _, v := range []any{cfg, &cfg, h} {
			require.NotContains(t, fmt.Sprintf(format, v), string(key))
			require.NotContains(t, fmt.Sprintf(format, v), "107 107")
			require.NotContains(t, fmt.Sprintf(format, v), "0x6b, 0x6b")
		}
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("", "config", cfg)
	require.NotContains(t, log.String(), base64.StdEncoding.EncodeToString(key))
}

// Over a real connection the page's own form is what unsubscribes.
func TestTheButtonOfThePage(t *testing.T) {
	list := suppression.NewMemory()
	h := handler(t, list, key)
	mux := http.NewServeMux()
	mux.Handle("/leave/", h)
	server := httptest.NewServer(mux)
	defer server.Close()
	u, err := url.Parse(link(t, h, "ada@example.com", "news"))
	require.NoError(t, err)
	resp, err := server.Client().Get(server.URL + u.Path)
	require.NoError(t, err)
	page, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	require.NoError(t, err)
	require.Contains(t, string(page), `<form method="post"><button name="List-Unsubscribe" value="One-Click">`)
	require.Empty(t, contents(t, list))
	resp, err = server.Client().PostForm(server.URL+u.Path, url.Values{"List-Unsubscribe": {"One-Click"}})
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Len(t, contents(t, list), 1)
}

// FuzzToken holds that nothing but a token of the key is one, whatever it is.
func FuzzToken(f *testing.F) {
	h := handler(f, suppression.NewMemory(), key)
	prefix := "https://example.com/leave/"
	f.Add(strings.TrimPrefix(link(f, h, "ada@example.com", "news"), prefix), "ada@example.com", "news")
	f.Add(strings.TrimPrefix(link(f, handler(f, suppression.NewMemory(), older), "ada@example.com", ""), prefix), "Ben@example.com", "")
	f.Add("AQ", "a@b", strings.Repeat("s", 100))
	f.Fuzz(func(t *testing.T, token, address, stream string) {
		list := suppression.NewMemory()
		h := handler(t, list, key)
		r := httptest.NewRequest(http.MethodPost, "/leave/x", strings.NewReader(click))
		r.URL.Path = "/leave/" + token
		r.Header.Set("Content-Type", form)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		found := contents(t, list)
		require.Equal(t, w.Code == http.StatusOK, len(found) == 1)
		if w.Code == http.StatusOK {
			want, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(link(t, h, found[0].Address, found[0].Stream), prefix))
			require.NoError(t, err)
			got, err := base64.RawURLEncoding.DecodeString(path.Base(token))
			require.NoError(t, err)
			require.Equal(t, want, got, "it is the one that was made")
		} else {
			require.Equal(t, http.StatusNotFound, w.Code)
		}

		l, err := h.Link(address, stream)
		if err != nil {
			return
		}
		list = suppression.NewMemory()
		h = handler(t, list, key)
		require.Equal(t, http.StatusOK, do(h, http.MethodPost, l, form, click).Code)
		want, _ := suppression.Key(address, false)
		got := contents(t, list)
		require.Len(t, got, 1)
		require.Equal(t, []string{want, stream}, []string{got[0].Address, got[0].Stream})
	})
}
