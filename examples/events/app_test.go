package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer/examples/internal/services"
	"github.com/seed355143d4/mailer/inbox"
	"github.com/seed355143d4/mailer/suppression"
	"github.com/seed355143d4/mailer/webhook"
)

// demo is the application on a free port.
func demo(t *testing.T) (*app, string) {
	t.Helper()
	var handler atomic.Pointer[http.Handler]
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*handler.Load()).ServeHTTP(w, r) }))
	a, err := newApp(srv.URL)
	require.NoError(t, err)
	routes := a.routes()
	handler.Store(&routes)
	t.Cleanup(func() {
		a.inbox.Close()
		a.Close()
		srv.Close()
	})
	return a, srv.URL
}

// submit sends a form and returns the page.
func submit(t *testing.T, at string, form ...string) (int, string) {
	t.Helper()
	values := url.Values{}
	for i := 0; i < len(form); i += 2 {
		values.Set(form[i], form[i+1])
	}
	resp, err := http.PostForm(at, values)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}

// becomes waits until the newest mail has the state.
func becomes(t *testing.T, a *app, state webhook.State) sent {
	t.Helper()
	var m sent
	require.Eventually(t, func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		m = *a.mails[len(a.mails)-1]
		return m.State == state
	}, 30*time.Second, 5*time.Millisecond, "%+v", m)
	return m
}

func notes(t *testing.T, a *app) []string {
	t.Helper()
	var newest inbox.Entry
	require.NotEmpty(t, a.inbox.Messages())
	newest = a.inbox.Messages()[0]
	return newest.Notes
}

func TestWhatBecomesOfAMail(t *testing.T) {
	for _, c := range []struct {
		service string
		event   services.Event
		state   webhook.State
		note    string
		reason  suppression.Reason
	}{
		{"postmark", services.Bounced, webhook.StateBounced, "bounced: 550 5.1.1 no such user here", suppression.HardBounce},
		{"postmark", services.Complained, webhook.StateComplained, "complained", suppression.Complaint},
		{"sendgrid", services.Bounced, webhook.StateBounced, "bounced: 550 5.1.1 no such user here", suppression.HardBounce},
		{"sendgrid", services.Complained, webhook.StateComplained, "complained", suppression.Complaint},
	} {
		t.Run(c.service+" reports "+string(c.event), func(t *testing.T) {
			a, base := demo(t)
			if c.service == "sendgrid" {
				require.NoError(t, a.service("postmark").SetMode(services.Down))
			}
			status, page := submit(t, base+"/register", "name", "Ada", "email", "ada@example.com")
			require.Equal(t, http.StatusOK, status)
			require.Contains(t, page, "by "+c.service)
			m := becomes(t, a, webhook.StateDelivered)
			require.Equal(t, c.service, m.Service)
			require.Equal(t, []string{"delivered"}, notes(t, a))

			status, _ = submit(t, base+"/mails/"+m.ID, "event", "opened")
			require.Equal(t, http.StatusOK, status)
			status, _ = submit(t, base+"/mails/"+m.ID, "event", string(c.event))
			require.Equal(t, http.StatusOK, status)
			m = becomes(t, a, c.state)
			require.Contains(t, m.Events, c.note)
			require.Contains(t, notes(t, a), c.note)

			// No service hears of the address any more, whichever reported it.
			require.NoError(t, a.service("postmark").SetMode(services.Healthy))
			status, page = submit(t, base+"/register", "name", "Ada", "email", "Ada@EXAMPLE.com")
			require.Equal(t, http.StatusUnprocessableEntity, status)
			require.Contains(t, page, "We will not write to it again")
			require.Len(t, a.inbox.Messages(), 1)
			var entries []suppression.Entry
			for e, err := range a.store.All(t.Context()) {
				require.NoError(t, err)
				entries = append(entries, e)
			}
			require.Len(t, entries, 1)
			require.Equal(t, c.reason, entries[0].Reason)
			require.Equal(t, c.service, entries[0].Source)

			resp, err := http.Get(base + "/status")
			require.NoError(t, err)
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Contains(t, string(body), c.note)
			require.Contains(t, string(body), "Addresses that get no more mail")

			status, _ = submit(t, base+"/register", "name", "Grace", "email", "grace@example.com")
			require.Equal(t, http.StatusOK, status, "others still get mail")
		})
	}
}

func TestStrangersReportNothing(t *testing.T) {
	a, base := demo(t)
	status, _ := submit(t, base+"/register", "name", "Ada", "email", "ada@example.com")
	require.Equal(t, http.StatusOK, status)
	m := becomes(t, a, webhook.StateDelivered)
	for name, body := range map[string]string{
		"postmark": `{"RecordType":"SpamComplaint","MessageID":"` + m.ServiceID + `","Email":"ada@example.com","Metadata":{"mailer_id":"` + m.ID + `"}}`,
		"sendgrid": `[{"event":"spamreport","email":"ada@example.com","mailer_id":"` + m.ID + `"}]`,
	} {
		resp, err := http.Post(base+"/hooks/"+name, "application/json", strings.NewReader(body))
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, http.StatusUnauthorized, resp.StatusCode, name)
	}
	require.Equal(t, []string{"delivered"}, becomes(t, a, webhook.StateDelivered).Events)
	for _, form := range [][]string{{"nobody", "bounced"}, {m.ID, "delivered"}, {m.ID, "exploded"}} {
		status, _ := submit(t, base+"/mails/"+form[0], "event", form[1])
		require.GreaterOrEqual(t, status, 400)
	}
}
