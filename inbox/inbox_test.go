package inbox

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/providertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func mail(to, subject string) mailer.Message {
	return mailer.Message{
		From: mailer.Address{Name: "Example", Address: "hello@example.com"}, To: []mailer.Address{{Address: to}},
		Subject: subject, Text: "Hello",
	}
}

func send(t *testing.T, s mailer.Sender, m mailer.Message) {
	t.Helper()
	_, err := s.Send(t.Context(), m)
	require.NoError(t, err)
}

// do asks the inbox, mounted at /inbox/, as localhost. Headers are pairs; "Host" is
// the host.
func do(t *testing.T, in *Inbox, method, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "/inbox/"+path, nil)
	r.Host = "localhost:8080"
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		} else {
			r.Header.Set(header[i], header[i+1])
		}
	}
	w := httptest.NewRecorder()
	http.StripPrefix("/inbox", in).ServeHTTP(w, r)
	return w
}

func subjects(t *testing.T, w *httptest.ResponseRecorder) []string {
	t.Helper()
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	var list struct{ Messages []struct{ Subject string } }
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &list))
	out := []string{}
	for _, m := range list.Messages {
		out = append(out, m.Subject)
	}
	return out
}

func filled(t *testing.T) *Inbox {
	in := New(Config{})
	m := mail("ada@example.com", "Welcome")
	m.HTML = `<!DOCTYPE html><p>Hi <img src="cid:logo"><img src='cid:vector'><img src=cid:nobody><LINK rel=preconnect href="https://a.example"><iframe src="https://a.example"></iframe>`
	m.Attachments = []mailer.Attachment{
		{Name: "page.html", ContentType: "text/html", Content: []byte("<script>1</script>")},
		{Name: "logo.png", ContentType: "image/png", ContentID: "logo", Content: pixel},
		{Name: "vector.svg", ContentType: "image/svg+xml", ContentID: "vector", Content: []byte("<svg/>")},
		{Name: `Grüße "x"; a%.txt`, ContentType: "text/plain", Content: []byte("x")},
	}
	send(t, in, m)
	send(t, in.Via("postmark"), mail("grace@example.com", "Reset"))
	return in
}

func TestEveryRoute(t *testing.T) {
	for _, c := range []struct {
		name, method, path string
		status             int
		contentType        string
		policy             string
		contains           string
	}{
		{"the list", "GET", "", 200, "text/html; charset=utf-8", pagePolicy, `<a href="message/2">`},
		{"a search", "GET", "?q=WELC+ada", 200, "text/html; charset=utf-8", pagePolicy, "1 of 2 messages found"},
		{"a search without result", "GET", "?q=nothing", 200, "text/html; charset=utf-8", pagePolicy, "No match"},
		{"a message", "GET", "message/1", 200, "text/html; charset=utf-8", pagePolicy, `sandbox="allow-popups allow-popups-to-escape-sandbox"`},
		{"its text", "GET", "message/1?view=text", 200, "text/html; charset=utf-8", pagePolicy, "Hello"},
		{"its details", "GET", "message/1?view=details", 200, "text/html; charset=utf-8", pagePolicy, "HTML source"},
		{"its HTML body", "GET", "message/1/html", 200, "text/html; charset=utf-8", mailPolicy, `<!DOCTYPE html><base target="_blank"><p>Hi`},
		{"a message without HTML", "GET", "message/2/html", 404, "text/plain; charset=utf-8", dataPolicy, "no such page"},
		{"an attachment", "GET", "message/1/attachments/0", 200, "application/octet-stream", dataPolicy, "<script>1</script>"},
		{"no such attachment", "GET", "message/1/attachments/4", 404, "text/plain; charset=utf-8", dataPolicy, ""},
		{"an attachment below zero", "GET", "message/1/attachments/-1", 404, "text/plain; charset=utf-8", dataPolicy, ""},
		{"no such message", "GET", "message/99", 404, "text/html; charset=utf-8", pagePolicy, "No such message"},
		{"the style", "GET", "assets/style.css", 200, "text/css; charset=utf-8", dataPolicy, ":root"},
		{"the script", "GET", "assets/inbox.js", 200, "text/javascript; charset=utf-8", dataPolicy, "EventSource"},
		{"the icon", "GET", "assets/icon.svg", 200, "image/svg+xml", dataPolicy, "<svg"},
		{"no such asset", "GET", "assets/none.css", 404, "text/plain; charset=utf-8", dataPolicy, ""},
		{"a path out of the assets", "GET", "assets/../templates/list.html", 404, "text/plain; charset=utf-8", dataPolicy, ""},
		{"an encoded path out of the assets", "GET", "assets/..%2f..%2finbox.go", 404, "text/plain; charset=utf-8", dataPolicy, ""},
		{"a path as an id", "GET", "message/..%2f..%2fetc%2fpasswd", 404, "text/plain; charset=utf-8", dataPolicy, ""},
		{"a word as an id", "GET", "message/1a", 404, "text/html; charset=utf-8", pagePolicy, ""},
		{"a negative id", "GET", "message/-1", 404, "text/html; charset=utf-8", pagePolicy, ""},
		{"an id that overflows", "GET", "api/messages/9223372036854775808", 404, "application/json", dataPolicy, "no such message"},
		{"GET of clear", "GET", "clear", 404, "text/plain; charset=utf-8", dataPolicy, ""},
		{"the JSON of one", "GET", "api/messages/1", 200, "application/json", dataPolicy, `"url":"message/1/attachments/0"`},
		{"the JSON of none", "GET", "api/messages/3", 404, "application/json", dataPolicy, `{"error":"no such message"}`},
		{"a wrong method", "PUT", "api/messages", 405, "application/json", dataPolicy, "error"},
		{"a wrong path", "GET", "api/nothing", 404, "application/json", dataPolicy, "error"},
		{"waiting for nobody", "GET", "api/messages/wait", 400, "application/json", dataPolicy, "to: "},
		{"waiting for no time", "GET", "api/messages/wait?to=ada@example.com&timeout=0s", 400, "application/json", dataPolicy, "timeout: "},
		{"waiting too long", "GET", "api/messages/wait?to=ada@example.com&timeout=61s", 400, "application/json", dataPolicy, "timeout: "},
		{"waiting for a word", "GET", "api/messages/wait?to=ada@example.com&timeout=soon", 400, "application/json", dataPolicy, "timeout: "},
		{"waiting after a word", "GET", "api/messages/wait?to=ada@example.com&after=x", 400, "application/json", dataPolicy, "after: "},
		{"what is already there", "GET", "api/messages/wait?to=ADA@example.com", 200, "application/json", dataPolicy, `"subject":"Welcome"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := filled(t)
			w := do(t, in, c.method, c.path)
			require.Equal(t, c.status, w.Code)
			require.Equal(t, c.contentType, w.Header().Get("Content-Type"))
			require.Equal(t, c.policy, w.Header().Get("Content-Security-Policy"))
			require.Contains(t, w.Body.String(), c.contains)
			for k, v := range map[string]string{
				"X-Content-Type-Options": "nosniff", "X-Frame-Options": "SAMEORIGIN", "Referrer-Policy": "no-referrer",
				"Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-store", "X-DNS-Prefetch-Control": "off",
			} {
				require.Equal(t, v, w.Header().Get(k), k)
			}
			require.Len(t, in.Messages(), 2, "nothing was cleared")
		})
	}
}

func TestPoliciesAreStrict(t *testing.T) {
	require.NotContains(t, pagePolicy, "unsafe")
	for _, p := range []string{pagePolicy, mailPolicy, dataPolicy} {
		require.Contains(t, p, "default-src 'none'")
	}
	require.Contains(t, mailPolicy, "sandbox allow-popups ")
	for _, bad := range []string{"allow-scripts", "allow-same-origin", "allow-forms", "allow-top", "http", "script-src", "*"} {
		require.NotContains(t, mailPolicy, bad)
	}
}

func TestPagesLinkRelatively(t *testing.T) {
	in := filled(t)
	for _, p := range []string{"", "message/1", "message/2", "message/99"} {
		body := do(t, in, "GET", p).Body.String()
		for _, bad := range []string{`href="/`, `src="/`, `action="/`, "http://localhost"} {
			require.NotContains(t, body, bad, p)
		}
	}
	require.Contains(t, do(t, in, "GET", "message/1").Body.String(), `src="1/html"`)
	w := do(t, in, "POST", "clear")
	require.Equal(t, http.StatusSeeOther, w.Code)
	require.Equal(t, "./", w.Header().Get("Location"))
	require.Empty(t, in.Messages())
}

func TestJSONListFiltersAndClears(t *testing.T) {
	in := filled(t)
	require.Equal(t, []string{"Reset", "Welcome"}, subjects(t, do(t, in, "GET", "api/messages")), "newest first")
	require.Equal(t, []string{"Welcome"}, subjects(t, do(t, in, "GET", "api/messages?to=Ada@Example.com")))
	require.Equal(t, []string{"Reset"}, subjects(t, do(t, in, "GET", "api/messages?q=postmark")))
	require.Empty(t, subjects(t, do(t, in, "GET", "api/messages?to=ada@example.com&q=reset")))
	require.Equal(t, http.StatusNoContent, do(t, in, "DELETE", "api/messages").Code)
	require.Equal(t, `{"messages":[]}`+"\n", do(t, in, "GET", "api/messages").Body.String())
}

func TestWaitForMailThatComesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := filled(t)
		var w *httptest.ResponseRecorder
		var wg sync.WaitGroup
		wg.Go(func() { w = do(t, in, "GET", "api/messages/wait?to=ada@example.com&after=2&timeout=20s") })
		synctest.Wait()
		send(t, in, mail("grace@example.com", "Not hers"))
		synctest.Wait()
		require.Nil(t, w)
		send(t, in, mail("ada@example.com", "Later"))
		wg.Wait()
		require.Equal(t, 200, w.Code)
		require.Contains(t, w.Body.String(), `"subject":"Later"`)

		start := time.Now()
		w = do(t, in, "GET", "api/messages/wait?to=nobody@example.com&timeout=20s")
		require.Equal(t, http.StatusGatewayTimeout, w.Code)
		require.Equal(t, 20*time.Second, time.Since(start))
		wg.Go(func() { w = do(t, in, "GET", "api/messages/wait?to=nobody@example.com") })
		synctest.Wait()
		in.Close()
		wg.Wait()
		require.Equal(t, http.StatusServiceUnavailable, w.Code)
	})
}

func TestOtherSitesMayNotReadOrClear(t *testing.T) {
	for _, c := range []struct {
		name   string
		header []string
		ok     bool
	}{
		{"no browser", nil, true},
		{"its own page", []string{"Sec-Fetch-Site", "same-origin"}, true},
		{"the address bar", []string{"Sec-Fetch-Site", "none"}, true},
		{"its own page in an old browser", []string{"Origin", "http://localhost:8080"}, true},
		{"another site", []string{"Sec-Fetch-Site", "cross-site"}, false},
		{"another port", []string{"Sec-Fetch-Site", "same-site"}, false},
		{"an unknown word", []string{"Sec-Fetch-Site", "x"}, false},
		{"another origin", []string{"Origin", "https://evil.example"}, false},
		{"an origin on another port", []string{"Origin", "http://localhost:9090"}, false},
		{"the null origin", []string{"Origin", "null"}, false},
		{"another site with our origin", []string{"Sec-Fetch-Site", "cross-site", "Origin", "http://localhost:8080"}, false},
		{"a frame on another site", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}, false},
		{"a foreign host", []string{"Host", "evil.example"}, false},
		{"a foreign host with a port", []string{"Host", "evil.example:8080"}, false},
		{"a foreign host that sounds local", []string{"Host", "localhost.evil.example"}, false},
		{"a host that ends alike", []string{"Host", "evillocalhost"}, false},
		{"an address of another machine", []string{"Host", "192.0.2.1"}, false},
		{"no host", []string{"Host", ""}, false},
		{"a loopback address", []string{"Host", "127.0.0.5:80"}, true},
		{"a loopback address of IPv6", []string{"Host", "[::1]:80"}, true},
		{"a name under localhost", []string{"Host", "app.localhost"}, true},
		{"a host of Config.Hosts", []string{"Host", "Mail.Dev.Example:8443"}, true},
		{"a name under one of Config.Hosts", []string{"Host", "x.mail.dev.example"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, to := range []struct{ method, path string }{
				{"GET", ""},
				{"GET", "message/1"},
				{"GET", "message/1/html"},
				{"GET", "message/1/attachments/0"},
				{"GET", "api/messages"},
				{"GET", "api/messages/1"},
				{"GET", "api/messages/wait?to=ada@example.com"},
				{"GET", "assets/inbox.js"},
				{"POST", "clear"},
				{"DELETE", "api/messages"},
			} {
				in := New(Config{Hosts: []string{"mail.dev.example"}})
				m := mail("ada@example.com", "secret")
				m.HTML, m.Attachments = "secret", []mailer.Attachment{{Name: "a", Content: []byte("secret")}}
				send(t, in, m)
				w := do(t, in, to.method, to.path, c.header...)
				if c.ok {
					require.Less(t, w.Code, 400, to)
					continue
				}
				require.Contains(t, []int{http.StatusForbidden, http.StatusMisdirectedRequest}, w.Code, to)
				require.NotContains(t, w.Body.String(), "secret")
				require.Len(t, in.Messages(), 1)
			}
			if !c.ok {
				require.GreaterOrEqual(t, do(t, New(Config{}), "GET", "events", c.header...).Code, 400)
			}
		})
	}
}

func TestALinkFromAnotherSiteOpensAPageOnly(t *testing.T) {
	in := filled(t)
	link := []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}
	for path, status := range map[string]int{
		"": 200, "message/1": 200, "message/1/html": 403, "message/1/attachments/0": 403, "api/messages": 403, "api/messages/1": 403,
	} {
		require.Equal(t, status, do(t, in, "GET", path, link...).Code, path)
	}
	require.Equal(t, 403, do(t, in, "POST", "clear", link...).Code)
	require.Equal(t, 403, do(t, in, "POST", "", link...).Code)
	require.Len(t, in.Messages(), 2)
}

func TestHostileTextIsEscaped(t *testing.T) {
	in := New(Config{})
	const attack = `<script>alert(1)</script><img src=x onerror=alert(1)>"'`
	m := mail("ada@example.com", attack)
	m.From.Name, m.To[0].Name, m.Text = attack, attack, attack+" http://a.example/\"onclick=alert(1) javascript:alert(1)"
	m.Attachments = []mailer.Attachment{{Name: `<script>alert(1)<img src=x onerror=alert(1)>"'.svg`, Content: []byte("x")}}
	m.Tags, m.Metadata, m.Headers = []string{attack}, map[string]string{attack: attack}, map[string]string{"X-A": attack}
	m.HTML = attack
	send(t, in.Via(attack), m)
	for _, p := range []string{"", "?q=%3Cscript%3Ealert(1)", "message/1", "message/1?view=text", "message/1?view=details"} {
		body := do(t, in, "GET", p).Body.String()
		require.Contains(t, body, "&lt;script&gt;alert(1)", p)
		require.NotContains(t, body, "<script>", p)
		require.NotContains(t, body, "<img", p)
		require.NotContains(t, body, `href="javascript`, p)
	}
	require.NotContains(t, do(t, in, "GET", "api/messages").Body.String(), "<script>")
}

func TestAttachmentsAreForSavingOnly(t *testing.T) {
	in := filled(t)
	for i, want := range []string{
		`attachment; filename="page.html"; filename*=UTF-8''page.html`,
		`attachment; filename="logo.png"; filename*=UTF-8''logo.png`,
		`attachment; filename="vector.svg"; filename*=UTF-8''vector.svg`,
		`attachment; filename="Gr__e _x__ a_.txt"; filename*=UTF-8''Gr%C3%BC%C3%9Fe%20%22x%22%3B%20a%25.txt`,
	} {
		w := do(t, in, "GET", fmt.Sprintf("message/1/attachments/%d", i))
		require.Equal(t, want, w.Header().Get("Content-Disposition"))
		require.Equal(t, "application/octet-stream", w.Header().Get("Content-Type"))
	}
}

func TestAnHTMLBodyShowsItsOwnRasterImagesOnly(t *testing.T) {
	body := do(t, filled(t), "GET", "message/1/html").Body.String()
	require.Contains(t, body, `<img src="data:image/png;base64,`)
	require.Contains(t, body, `<img src='cid:vector'>`)
	require.Contains(t, body, `<img src=cid:nobody>`)
	require.NotContains(t, body, "svg")
	require.Contains(t, body, `<x-LINK rel=preconnect`)
	require.Contains(t, body, `<x-iframe src=`)
}

func TestMemoryIsBounded(t *testing.T) {
	t.Run("by count", func(t *testing.T) {
		in := New(Config{MaxMessages: 2})
		for _, s := range []string{"a", "b", "c"} {
			send(t, in, mail("ada@example.com", s))
		}
		require.Equal(t, []string{"c", "b"}, subjects(t, do(t, in, "GET", "api/messages")))
	})
	t.Run("by bytes, the oldest going first", func(t *testing.T) {
		in := New(Config{MaxBytes: 10_000})
		for i := range 9 {
			m := mail("ada@example.com", fmt.Sprint(i))
			m.Attachments = []mailer.Attachment{{Name: "a", Content: make([]byte, 2500)}}
			send(t, in, m)
			require.LessOrEqual(t, in.bytes, int64(10_000))
		}
		require.Equal(t, []string{"8", "7"}, subjects(t, do(t, in, "GET", "api/messages")))
	})
	t.Run("one too large is refused and drives nothing out", func(t *testing.T) {
		in := New(Config{MaxBytes: 10_000})
		send(t, in, mail("ada@example.com", "stays"))
		m := mail("ada@example.com", "large")
		m.Text = strings.Repeat("x", 10_000)
		_, err := in.Via("ses").Send(t.Context(), m)
		require.ErrorIs(t, err, mailer.KindTooLarge)
		require.True(t, mailer.NotSent(err))
		require.ErrorContains(t, err, "ses: ")
		require.Len(t, in.Messages(), 1)
	})
}

func TestTheInboxKeepsACopy(t *testing.T) {
	in := New(Config{})
	m := mail("ada@example.com", "s")
	m.Headers = map[string]string{"X-A": "1"}
	m.Attachments = []mailer.Attachment{{Name: "a", Content: []byte("abc")}}
	m.Text = ""
	array := [1][]string{{"x"}}
	m.Template = mailer.Template{ID: "t", Data: map[string]any{"list": []any{map[string]any{"k": "v"}}, "array": array}}
	send(t, in, m)
	change := func(m mailer.Message) {
		m.To[0].Address, m.Headers["X-A"], m.Attachments[0].Content[0] = "changed@example.com", "2", 'X'
		m.Template.Data["list"].([]any)[0].(map[string]any)["k"] = "changed"
		m.Template.Data["array"].([1][]string)[0][0] = "changed"
	}
	change(m)
	change(in.Messages()[0].Message)
	got, ok := in.Get(1)
	require.True(t, ok)
	change(got.Message)
	got, _ = in.Get(1)
	require.Equal(t, "ada@example.com", got.Message.To[0].Address)
	require.Equal(t, "1", got.Message.Headers["X-A"])
	require.Equal(t, "abc", string(got.Message.Attachments[0].Content))
	require.Equal(t, map[string]any{"list": []any{map[string]any{"k": "v"}}, "array": [1][]string{{"x"}}}, got.Message.Template.Data)
}

func TestDataThatHoldsItself(t *testing.T) {
	in := New(Config{})
	m := mail("ada@example.com", "s")
	data := map[string]any{}
	data["self"] = data
	m.Text, m.Template = "", mailer.Template{ID: "t", Data: data}
	send(t, in, m)
	send(t, in, mail("ada@example.com", "other"))
	require.Len(t, subjects(t, do(t, in, "GET", "api/messages")), 2)
	require.Contains(t, do(t, in, "GET", "api/messages/1").Body.String(), "data_error")
	require.Equal(t, 200, do(t, in, "GET", "message/1").Code)
}

func TestOneIDTwiceIsTwoEntries(t *testing.T) {
	in := New(Config{})
	m := mail("ada@example.com", "s")
	m.ID = "same"
	send(t, in, m)
	send(t, in, m)
	es := in.Messages()
	require.Len(t, es, 2)
	require.Equal(t, []any{int64(2), "same", int64(1), "same"}, []any{es[0].ID, es[0].Message.ID, es[1].ID, es[1].Message.ID})
}

func TestNotesStandBesideTheirMessage(t *testing.T) {
	in := New(Config{})
	m := mail("ada@example.com", "noted")
	m.ID = "one"
	send(t, in, m)
	send(t, in, mail("grace@example.com", "other"))
	before, changed := in.state()

	require.False(t, in.Note("nobody", "delivered"))
	now, _ := in.state()
	require.Equal(t, before, now, "nothing to show")
	require.True(t, in.Note("one", "delivered"))
	require.True(t, in.Note("one", "complained: <b>spam</b>"))
	select {
	case <-changed:
	default:
		t.Fatal("open pages were not told")
	}

	es := in.Messages()
	require.Empty(t, es[0].Notes)
	require.Equal(t, []string{"delivered", "complained: <b>spam</b>"}, es[1].Notes)
	es[1].Notes[0] = "changed"
	e, ok := in.Get(1)
	require.True(t, ok)
	require.Equal(t, "delivered", e.Notes[0], "a copy was given out")

	list := do(t, in, "GET", "").Body.String()
	require.Contains(t, list, `<span class="noted"><bdi>complained: &lt;b&gt;spam&lt;/b&gt;</bdi></span>`, "the newest")
	require.Equal(t, 1, strings.Count(list, `class="noted"`))
	page := do(t, in, "GET", "message/1").Body.String()
	require.Contains(t, page, `<li><bdi>delivered</bdi></li><li><bdi>complained: &lt;b&gt;spam&lt;/b&gt;</bdi></li>`)
	require.NotContains(t, do(t, in, "GET", "message/2").Body.String(), `class="notes"`)
	var got struct{ Notes []string }
	require.NoError(t, json.Unmarshal(do(t, in, "GET", "api/messages/1").Body.Bytes(), &got))
	require.Equal(t, []string{"delivered", "complained: <b>spam</b>"}, got.Notes)

	t.Run("and are bounded", func(t *testing.T) {
		for i := range 60 {
			require.True(t, in.Note("one", strconv.Itoa(i)+strings.Repeat("x", 198)+"ü"))
		}
		e, _ := in.Get(1)
		require.Len(t, e.Notes, 50)
		require.True(t, strings.HasPrefix(e.Notes[0], "10x"))
		require.Equal(t, "59"+strings.Repeat("x", 198), e.Notes[49], "no half of a character")
	})
}

func TestViaNamesTheService(t *testing.T) {
	in := New(Config{})
	for name, p := range map[string]mailer.Provider{"inbox": in, "ses": in.Via("ses")} {
		require.Equal(t, name, p.Name())
		in.Clear()
		r, err := p.Send(t.Context(), mail("ada@example.com", "s"))
		require.NoError(t, err)
		e := in.Messages()[0]
		require.Equal(t, mailer.Receipt{ID: e.Message.ID, Provider: name, MessageID: e.Message.ID}, r)
		require.NotEmpty(t, r.ID)
		if name != "inbox" {
			require.Equal(t, name, e.Via)
		} else {
			require.Empty(t, e.Via)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = p.Send(ctx, mail("ada@example.com", "s"))
		require.ErrorIs(t, err, mailer.KindCanceled)
		require.True(t, mailer.NotSent(err))
		require.ErrorContains(t, err, name+": ")
		_, err = p.Send(t.Context(), mailer.Message{})
		require.ErrorIs(t, err, mailer.KindInvalid)
		require.Len(t, in.Messages(), 1)
	}
}

func TestEveryMessageOfTheSuiteIsShown(t *testing.T) {
	for _, c := range providertest.Messages() {
		t.Run(c.Name, func(t *testing.T) {
			in := New(Config{})
			send(t, in, c.Message)
			require.Contains(t, do(t, in, "GET", "").Body.String(), `<a href="message/1">`)
			for _, p := range []string{"message/1", "message/1?view=text", "message/1?view=details"} {
				require.Contains(t, do(t, in, "GET", p).Body.String(), "</html>", "the template ran to its end")
			}
			require.Equal(t, []string{c.Message.Subject}, subjects(t, do(t, in, "GET", "api/messages")))
		})
	}
}

func TestEventsTellOfMailAndEnd(t *testing.T) {
	for _, end := range []string{"Close", "the client goes"} {
		t.Run(end, func(t *testing.T) {
			in := New(Config{})
			url := mounted(t, in)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			r, err := http.NewRequestWithContext(ctx, "GET", url+"events", nil)
			require.NoError(t, err)
			tr := &http.Transport{}
			defer tr.CloseIdleConnections()
			resp, err := tr.RoundTrip(r)
			require.NoError(t, err)
			defer resp.Body.Close()
			require.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
			lines := bufio.NewScanner(resp.Body)
			event := func() string {
				require.True(t, lines.Scan())
				s := lines.Text()
				require.True(t, lines.Scan())
				require.Empty(t, lines.Text())
				return s
			}
			first := event()
			send(t, in, mail("ada@example.com", "secret"))
			second := event()
			require.Regexp(t, `^data: \w+-1$`, second)
			require.NotEqual(t, first, second)
			if end == "Close" {
				in.Close()
				_, err := io.ReadAll(resp.Body)
				require.NoError(t, err, "the stream ends well")
			} else {
				cancel()
				_, err := io.ReadAll(resp.Body)
				require.ErrorIs(t, err, context.Canceled)
			}
		})
	}
}

func TestEventsEndAtOnceWhenTheClientGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := New(Config{})
		defer in.Close()
		ctx, cancel := context.WithCancel(t.Context())
		r := httptest.NewRequestWithContext(ctx, "GET", "http://localhost/events", nil)
		w := httptest.NewRecorder()
		ended := false
		go func() {
			in.ServeHTTP(w, r)
			ended = true
		}()
		time.Sleep(2*keepAlive + time.Second)
		synctest.Wait()
		require.Regexp(t, `^data: \w+-0\n\n: keep-alive\n\n: keep-alive\n\n$`, w.Body.String())
		cancel()
		synctest.Wait()
		require.True(t, ended)
	})
}

// stuck is a client that takes nothing, until it goes.
type stuck struct {
	*httptest.ResponseRecorder
	ctx  context.Context
	once sync.Once
	in   chan struct{}
}

func (s *stuck) Write([]byte) (int, error) {
	s.once.Do(func() { close(s.in) })
	<-s.ctx.Done()
	return 0, net.ErrClosed
}

func TestASlowPageHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := New(Config{})
		ctx, cancel := context.WithCancel(t.Context())
		w := &stuck{ResponseRecorder: httptest.NewRecorder(), ctx: ctx, in: make(chan struct{})}
		r := httptest.NewRequestWithContext(ctx, "GET", "http://localhost/events", nil)
		var wg sync.WaitGroup
		wg.Go(func() { in.ServeHTTP(w, r) })
		<-w.in
		start := time.Now()
		for range 500 {
			send(t, in, mail("ada@example.com", "s"))
		}
		require.Zero(t, time.Since(start))
		require.Len(t, in.Messages(), 500)
		cancel()
		wg.Wait()
	})
}

func TestManyAtOnce(t *testing.T) {
	in := New(Config{MaxMessages: 20})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 25 {
				_, _ = in.Send(t.Context(), mail("ada@example.com", "s"))
			}
		})
		wg.Go(func() {
			for i := range 25 {
				do(t, in, "GET", "")
				do(t, in, "GET", fmt.Sprint("message/", i))
				do(t, in, "GET", "api/messages?q=s")
			}
		})
		wg.Go(func() {
			for range 5 {
				in.Messages()
				_, _ = in.Wait(t.Context(), "ada@example.com", 0)
			}
		})
	}
	wg.Wait()
	require.Len(t, in.Messages(), 20)
	require.EqualValues(t, 100, in.Messages()[0].ID)
}

func TestPlainTextOfHTML(t *testing.T) {
	for body, want := range map[string]string{
		"<p>a</p>b":                                     "a b",
		"<style>x</style>a<!-- y -->b":                  "a b",
		"<STYLE x>x</STYLE >a &lt;b&gt;":                "a <b>",
		"<styled>x</styled>":                            "x",
		"a <style>no end":                               "a no end",
		strings.Repeat("<style><!---->", 200_000) + "z": "z", // quadratic time would never end
	} {
		require.Equal(t, want, strings.Join(strings.Fields(plain(body)), " "))
	}
	parts("http://a.example/" + strings.Repeat(")", 1<<20))
}
