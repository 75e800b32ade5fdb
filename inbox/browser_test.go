package inbox

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
)

// browser starts a headless Chromium, or skips the test where there is none.
func browser(t *testing.T) context.Context {
	t.Helper()
	if testing.Short() {
		t.Skip("no browser in short mode")
	}
	var bin string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			bin = p
			break
		}
	}
	if bin == "" {
		t.Skip("no Chromium on this machine: what a browser does with the pages is not tested")
	}
	dir, err := os.MkdirTemp("", "inbox-browser-")
	require.NoError(t, err)
	alloc, stop := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(bin), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.UserDataDir(dir), chromedp.WindowSize(1100, 760),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("hide-scrollbars", true),
	)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx)
		cancel()
		stop()
		// The browser's children may still write for a moment.
		for range 100 {
			if os.RemoveAll(dir) == nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	})
	require.NoError(t, chromedp.Do(ctx), "the browser starts")
	ctx, cancelTimeout := context.WithTimeout(ctx, 90*time.Second)
	t.Cleanup(cancelTimeout)
	return ctx
}

// mounted serves the inbox at /inbox/ and returns its address.
func mounted(t *testing.T, in *Inbox) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/inbox/", http.StripPrefix("/inbox", in))
	srv := httptest.NewServer(mux)
	t.Cleanup(func() {
		in.Close()
		srv.Close()
	})
	return srv.URL + "/inbox/"
}

func eval[T any](t *testing.T, ctx context.Context, js string) T {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](js))
	require.NoError(t, err, js)
	return v
}

// beacon is a server on this machine that nothing in a mail may reach.
type beacon struct {
	*httptest.Server
	connections atomic.Int64
	mu          sync.Mutex
	paths       []string
}

func newBeacon(t *testing.T) *beacon {
	b := &beacon{}
	b.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		b.paths = append(b.paths, r.URL.Path)
		b.mu.Unlock()
		fmt.Fprint(w, "<title>reached</title>")
	}))
	b.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			b.connections.Add(1)
		}
	}
	b.Start()
	t.Cleanup(b.Close)
	return b
}

func (b *beacon) requests() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.paths)
}

var pixel = []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89\x00\x00\x00\rIDATx\x9cc\xf8\xcf\xc0\xf0\x1f\x00\x05\x00\x01\xff\x89\x99=\x1d\x00\x00\x00\x00IEND\xaeB`\x82")

func TestBrowserShowsNewMailWithoutReload(t *testing.T) {
	ctx := browser(t)
	in := New(Config{})
	url := mounted(t, in)
	ada := mailer.Message{
		From: mailer.Address{Name: "Example", Address: "hello@example.com"}, To: []mailer.Address{{Address: "ada@example.com"}},
		Subject: "First", Text: "one",
	}

	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(url), chromedp.WaitVisible("#live.on")))
	require.True(t, eval[bool](t, ctx, `!document.getElementById("empty").hidden`), "an empty inbox says what it is")
	eval[bool](t, ctx, `window.same = true`)

	_, err := in.Via("postmark").Send(ctx, ada)
	require.NoError(t, err)
	require.NoError(t, chromedp.Do(ctx, chromedp.WaitVisible("#m1.unread.new"), chromedp.WaitNotVisible("#empty")))
	require.Equal(t, "New message from Example: First", eval[string](t, ctx, `document.getElementById("news").textContent`))
	require.Equal(t, "(1) Inbox", eval[string](t, ctx, `document.title`))

	// A row that has the focus keeps it when others arrive.
	eval[bool](t, ctx, `document.querySelector("#m1 a").focus(), true`)
	ada.Subject = "Second"
	_, err = in.Via("ses").Send(ctx, ada)
	require.NoError(t, err)
	require.NoError(t, chromedp.Do(ctx, chromedp.WaitVisible("#m2 .via")))
	require.Equal(t, "m2 m1", eval[string](t, ctx, `[...document.querySelectorAll("#list li")].map(li => li.id).join(" ")`))
	require.Equal(t, "m1", eval[string](t, ctx, `document.activeElement.closest("li").id`))
	require.Equal(t, "2 messages, 2 unread", eval[string](t, ctx, `document.getElementById("summary").textContent`))

	in.Clear()
	require.NoError(t, chromedp.Do(ctx, chromedp.WaitNotPresent("#m1"), chromedp.WaitVisible("#empty")))
	require.True(t, eval[bool](t, ctx, `window.same`), "the page was never loaded again")
}

func TestBrowserRunsNothingOfAHostileMail(t *testing.T) {
	ctx := browser(t)
	in := New(Config{})
	url := mounted(t, in)
	out := newBeacon(t)
	evil := func(s string) string { return strings.ReplaceAll(s, "OUT", out.URL) }

	attack := evil(`<script>top.hacked = 1; parent.document.title = "hacked"; fetch("OUT/fetch"); new Image().src = "OUT/image"</script>` +
		`<img src=x onerror="top.hacked = 1; fetch('OUT/onerror')">`)
	_, err := in.Via(attack).Send(ctx, mailer.Message{
		From:    mailer.Address{Name: attack, Address: "mallory@example.com"},
		To:      []mailer.Address{{Name: attack, Address: "ada@example.com"}},
		Subject: attack, Text: attack + " javascript:alert(1) http://a.example/\"onclick=alert(1)",
		HTML: `<!doctype html><a href="` + out.URL + `/clicked" style="display:block;height:120px;background:#def">verify</a>` + attack +
			`<img id=shown src="cid:logo"><img src="cid:vector">` + evil(`
			<meta http-equiv=refresh content="0;url=OUT/refresh">
			<meta http-equiv="Content-Security-Policy" content="script-src *">
			<base href="OUT/base/">
			<link rel=stylesheet href="OUT/css"><link rel=prefetch href="OUT/prefetch"><link rel=dns-prefetch href="OUT"><LINK rel=preconnect href="OUT">
			<link rel=icon href="OUT/icon"><link rel=manifest href="OUT/manifest"><link rel=modulepreload href="OUT/modulepreload">
			<style>@import "OUT/import"; body { background: url(OUT/background) } @font-face { font-family: x; src: url(OUT/font) } p { font-family: x }</style><p>text
			<img src="OUT/img" srcset="OUT/srcset 2x"><video src="OUT/video" poster="OUT/poster" autoplay></video><audio src="OUT/audio" autoplay></audio>
			<iframe src="OUT/frame"></iframe><iframe srcdoc="<script>top.hacked = 1; fetch('OUT/srcdoc')</script>"></iframe>
			<object data="OUT/object"></object><embed src="OUT/embed"><object data="cid:vector"></object><iframe src="cid:vector"></iframe>
			<svg onload="top.hacked = 1"><script>top.hacked = 1</script><image href="OUT/svgimage"/><use href="OUT/use#a"/></svg>
			<form action="OUT/form"><input autofocus onfocus="this.form.submit()"></form>
			<details open ontoggle="top.hacked = 1"><summary>x</summary></details>`),
		Attachments: []mailer.Attachment{
			{Name: `<script>top.hacked = 1<script>"><img src=x onerror=top.hacked=1>.svg`, ContentType: "image/svg+xml", Content: []byte(attack)},
			{Name: "logo.png", ContentType: "image/png", ContentID: "logo", Content: pixel},
			{Name: "vector.svg", ContentType: "image/svg+xml", ContentID: "vector", Content: []byte(evil(
				`<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40" onload="top.hacked = 1; fetch('OUT/svg')"><script>top.hacked = 1; fetch('OUT/svgscript')</script><rect width="40" height="40"/></svg>`))},
		},
		Headers:  map[string]string{"X-Attack": attack},
		Tags:     []string{attack},
		Metadata: map[string]string{attack: attack},
	})
	require.NoError(t, err)

	clean := func(where string) {
		t.Helper()
		require.Equal(t, "undefined", eval[string](t, ctx, `typeof window.hacked`), where)
		require.NotEqual(t, "hacked", eval[string](t, ctx, `document.title`), where)
		require.Zero(t, out.connections.Load(), "%s: %v", where, out.requests())
	}
	for _, page := range []string{"", "?q=script", "?q=" + "%3Cscript%3Etop.hacked%3D1%3C/script%3E", "message/1?view=text", "message/1?view=details"} {
		require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(url+page)))
		require.Equal(t, "", eval[string](t, ctx, `[...document.querySelectorAll("script:not([src]), [onerror], [onload], [onclick], base, object, form[action^=http]")].map(e => e.outerHTML).join()`), page)
		clean(page)
	}

	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(url+"message/1"), chromedp.WaitVisible("iframe")))
	clean("the HTML view")
	require.True(t, eval[bool](t, ctx, `document.querySelector("iframe").contentDocument === null`), "the frame is of another origin")

	// A click on a link opens it in a new tab, and the inbox stays where it is.
	opened := chromedp.WaitNewTarget(ctx, func(i *target.Info) bool { return strings.Contains(i.URL, "/clicked") })
	box := eval[[]float64](t, ctx, `(f => (f.scrollIntoView(), (r => [r.x + 40, r.y + 60])(f.getBoundingClientRect())))(document.querySelector("iframe"))`)
	// The frame lies below the window at first, and takes clicks a moment after it is there.
	click := time.NewTicker(500 * time.Millisecond)
	defer click.Stop()
	for out.connections.Load() == 0 && ctx.Err() == nil {
		require.NoError(t, chromedp.Do(ctx, chromedp.MouseClickXY(box[0], box[1])))
		<-click.C
	}
	select {
	case id := <-opened:
		tab, cancel := chromedp.NewContext(ctx, chromedp.WithTargetID(id))
		defer cancel()
		require.NoError(t, chromedp.Do(tab, chromedp.WaitReady("body")))
		require.True(t, eval[bool](t, tab, `window.opener === null`), "the new tab knows nothing of the inbox")
		require.Equal(t, "", eval[string](t, tab, `document.referrer`))
	case <-ctx.Done():
		t.Fatal("the link in the mail opened nothing")
	}
	require.Equal(t, url+"message/1", eval[string](t, ctx, `location.href`))
	require.Equal(t, "undefined", eval[string](t, ctx, `typeof window.hacked`))

	// The body as a page of its own is harmless too.
	before := out.connections.Load()
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(url+"message/1/html"), chromedp.WaitReady("#shown")))
	require.Equal(t, "null", eval[string](t, ctx, `self.origin`))
	require.Equal(t, float64(1), eval[float64](t, ctx, `document.getElementById("shown").naturalWidth`), "the image that came with the mail is shown")
	require.Equal(t, before, out.connections.Load())
}

// TestScreenshots writes pictures of the pages into the folder that
// INBOX_SCREENSHOTS names, to be looked at.
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("INBOX_SCREENSHOTS")
	if dir == "" {
		t.Skip("INBOX_SCREENSHOTS names no folder")
	}
	ctx := browser(t)
	in := New(Config{})
	url := mounted(t, in)
	shot := func(name string, steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		require.NoError(t, chromedp.Do(ctx, steps...))
		png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600))
	}
	shot("empty", chromedp.Navigate(url), chromedp.WaitVisible("#live.on"))

	for i, s := range []struct{ via, from, to, subject, text string }{
		{"postmark", "Example Shop", "grace@example.com", "Your order 2041 is on its way", "Hello Grace, your parcel left our house this morning and should be with you on Friday."},
		{"ses", "Example", "alan@example.com", "Reset your password", "Somebody, hopefully you, asked for a new password. The link is good for one hour."},
		{"", "Example", "margaret@example.com", "Einladung: Grüße aus Köln – 日本語の件名も読めます", "Liebe Margaret, wir freuen uns auf dich."},
		{"sendgrid", "A sender whose display name goes on for rather longer than the column", "somebody.with.a.long.address@department.example.com", "A subject that goes on and on, as subjects sometimes do, well past the place where any reasonable list would have to cut it off", "And a text."},
		{"postmark", "Example", "ada@example.com", "Confirm your address", "Hello Ada,\n\nwelcome to Example. Please confirm your address:\n\nhttps://app.example.com/verify?token=6f1d2c\n\nThe link is good for 24 hours. If you did not sign up, you need not do anything.\n\nThe people at Example"},
	} {
		m := mailer.Message{
			From: mailer.Address{Name: s.from, Address: "hello@example.com"}, To: []mailer.Address{{Address: s.to}},
			Subject: s.subject, Text: s.text,
		}
		if i == 0 {
			m.Attachments = []mailer.Attachment{{Name: "invoice.pdf", ContentType: "application/pdf", Content: make([]byte, 48000)}}
		}
		if i == 4 {
			m.ReplyTo = []mailer.Address{{Name: "Support", Address: "support@example.com"}}
			m.Tags, m.Metadata = []string{"sign-up"}, map[string]string{"user": "42", "plan": "free"}
			m.Headers = map[string]string{"X-Example": "a value"}
			m.Unsubscribe.URL = "https://app.example.com/leave"
			m.Track.Opens = mailer.Off
			m.Attachments = []mailer.Attachment{
				{Name: "welcome.pdf", ContentType: "application/pdf", Content: make([]byte, 1<<21)},
				{Name: "logo.png", ContentType: "image/png", ContentID: "logo", Content: pixel},
			}
			m.HTML = `<!doctype html><body style="font:16px/1.6 sans-serif;max-width:34em;margin:2.5em auto;padding:0 1.5em;color:#222"><p><img alt="Example" src="cid:logo" width="120" height="6"></p><h1 style="font-size:24px">Welcome, Ada</h1><p>Please confirm your address, and you are in.</p><p><a href="https://app.example.com/verify?token=6f1d2c" style="display:inline-block;background:#2457c9;color:#fff;padding:.7em 1.3em;border-radius:8px;text-decoration:none">Confirm my address</a></p><p style="color:#666">The link is good for 24 hours. If you did not sign up, you need not do anything.</p>` + `</body>`
		}
		s2 := mailer.Sender(in)
		if s.via != "" {
			s2 = in.Via(s.via)
		}
		_, err := s2.Send(ctx, m)
		require.NoError(t, err)
	}
	in.find(1).read.Store(true)
	in.find(3).read.Store(true)
	for _, mode := range []string{"light", "dark"} {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: mode}},
		})
		require.NoError(t, err)
		for _, size := range []struct {
			name          string
			width, height int64
		}{{"desk", 1100, 760}, {"phone", 390, 800}} {
			view := func(name, path string) {
				shot(fmt.Sprintf("%s-%s-%s", name, size.name, mode), chromedp.EmulateViewport(size.width, size.height),
					chromedp.Navigate(url+path))
			}
			view("list", "")
			view("search", "?q=password")
			view("nomatch", "?q=nothing")
			view("message", "message/5")
			view("text", "message/5?view=text")
			view("details", "message/5?view=details")
			view("long", "message/4")
			view("gone", "message/99")
			in.find(4).read.Store(false)
			in.find(5).read.Store(false)
		}
	}
}
