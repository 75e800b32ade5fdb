package main

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer/examples/internal/services"
)

var screenshots = flag.String("screenshots", "", "write a picture of each page into this `directory`")

// TestBrowser is the whole story in a real browser: sign up, see the mail arrive,
// open it, follow the link; then once more with the first service down.
func TestBrowser(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("needs Chromium: no chromium in PATH")
	}
	p, srv := demo(t)

	dir, err := os.MkdirTemp("", "registration-browser-")
	require.NoError(t, err)
	alloc, stop := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(chromium), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.UserDataDir(dir), chromedp.WindowSize(1100, 900),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-sync", true),
	)
	inbox, closeBrowser := chromedp.NewContext(alloc) // one tab watches the inbox
	t.Cleanup(func() {
		_ = chromedp.Cancel(inbox)
		closeBrowser()
		stop()
		for range 100 { // the browser's children may still write for a moment
			if os.RemoveAll(dir) == nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	})
	do := func(ctx context.Context, actions ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		// A tab in the back is not painted, and some actions wait for that.
		_, err := chromedp.Run(ctx, func(ctx context.Context, t *chromedp.Target) (cdp.Empty, error) {
			return cdp.Call(ctx, t, cdppage.BringToFront, cdp.Empty{})
		})
		require.NoError(t, err)
		require.NoError(t, chromedp.Do(ctx, actions...))
	}
	shot := func(ctx context.Context, name string) {
		t.Helper()
		if *screenshots == "" {
			return
		}
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(*screenshots, name+".png"), png, 0o644))
	}
	require.NoError(t, chromedp.Do(inbox))
	do(inbox, chromedp.Navigate(srv.URL+"/inbox/"), chromedp.WaitVisible("#empty"))
	shot(inbox, "inbox-empty")
	visitor, cancel := chromedp.NewContext(inbox) // the other signs up
	defer cancel()
	require.NoError(t, chromedp.Do(visitor))

	signUp := func(name, email, picture string) {
		t.Helper()
		do(visitor, chromedp.Navigate(srv.URL+"/"), chromedp.SendKeys("#name", name), chromedp.SendKeys("#email", email))
		shot(visitor, picture+"-form")
		do(visitor, chromedp.Click("form.signup button"), chromedp.WaitVisible(".attempts"))
		shot(visitor, picture+"-sent")
		// It arrives in the other tab, which nobody reloads.
		do(inbox, chromedp.WaitVisible(`//*[contains(text(), "`+email+`")]`))
		shot(inbox, picture+"-inbox")
	}
	// confirm opens the mail and clicks its button, which stands in a sandboxed
	// frame, two hundred and forty pixels below its top, and opens a tab of its own.
	confirm := func(email, picture string) {
		t.Helper()
		do(visitor, chromedp.Navigate(srv.URL+"/inbox/"),
			chromedp.Click(`//a[contains(., "`+email+`")]`), chromedp.WaitVisible("iframe"))
		shot(visitor, picture+"-message")
		opened := chromedp.WaitNewTarget(visitor, func(i *target.Info) bool { return strings.Contains(i.URL, "/verify?token=") })
		var tab context.Context
		for end := time.Now().Add(30 * time.Second); tab == nil; {
			require.True(t, time.Now().Before(end), "the link in the mail opened nothing")
			at, err := chromedp.Run(visitor, chromedp.Evaluate[[]float64](
				`(r => [r.x + r.width/2 - 120, r.y + 240])(document.querySelector("iframe").getBoundingClientRect())`))
			require.NoError(t, err)
			do(visitor, chromedp.MouseClickXY(at[0], at[1]))
			select {
			case id := <-opened:
				var closeTab context.CancelFunc
				tab, closeTab = chromedp.NewContext(visitor, chromedp.WithTargetID(id))
				defer closeTab()
			case <-time.After(2 * time.Second): // the frame was not there yet
			}
		}
		require.NoError(t, chromedp.Do(tab, chromedp.WaitReady("body")))
		do(tab, chromedp.WaitVisible(`//h1[contains(., "Welcome aboard")]`), chromedp.WaitVisible(`//strong[. = "`+email+`"]`))
		shot(tab, picture+"-welcome")
	}

	signUp("Ada", "ada@example.com", "1-healthy")
	confirm("ada@example.com", "1-healthy")

	require.NoError(t, p.service("postmark").SetMode(services.Down))
	signUp("Grace", "grace@example.com", "2-down")
	confirm("grace@example.com", "2-down")
	do(visitor, chromedp.Navigate(srv.URL+"/status"), chromedp.WaitVisible("table"))
	shot(visitor, "3-status")

	mails := p.inbox.Messages()
	require.Len(t, mails, 2)
	via := map[string]string{}
	for _, m := range mails {
		via[m.Message.To[0].Address] = m.Via
	}
	require.Equal(t, map[string]string{"ada@example.com": "postmark", "grace@example.com": "sendgrid"}, via)
}
