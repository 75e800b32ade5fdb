package main

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/examples/internal/services"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// demo serves the application on its embedded services.
func demo(t *testing.T) (*post, *httptest.Server) {
	t.Helper()
	p, err := newPost(func(string) (string, bool) { return "", false })
	require.NoError(t, err)
	t.Cleanup(p.Close)
	srv := httptest.NewUnstartedServer(nil)
	base := "http://" + srv.Listener.Addr().String()
	srv.Config.Handler = newApp(p, mailer.Address{Name: "Harbour Books", Address: "hello@harbourbooks.example"}, base)
	srv.Start()
	t.Cleanup(func() {
		p.inbox.Close()
		srv.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return p, srv
}

func register(t *testing.T, srv *httptest.Server, name, email string) (int, string, http.Header) {
	t.Helper()
	resp, err := http.PostForm(srv.URL+"/register", url.Values{"name": {name}, "email": {email}})
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body), resp.Header
}

// get returns what a URL answers.
func get(t *testing.T, u string) (int, string) {
	t.Helper()
	resp, err := http.Get(u)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}

func TestAVisitorSignsUpAndConfirms(t *testing.T) {
	_, srv := demo(t)
	status, page, _ := register(t, srv, "Ada", "ada@example.com")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, page, "ada@example.com")

	status, body := get(t, srv.URL+"/inbox/api/messages/wait?to=ada@example.com&timeout=10s")
	require.Equal(t, http.StatusOK, status, body)
	var m struct{ Text, HTML, Via string }
	require.NoError(t, json.Unmarshal([]byte(body), &m))
	require.Equal(t, "postmark", m.Via)
	links := regexp.MustCompile(`http://\S+`).FindAllString(m.Text, -1)
	require.Len(t, links, 1)
	require.Contains(t, m.HTML, links[0])

	status, page = get(t, links[0])
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, page, "ada@example.com")

	status, _ = get(t, links[0][:len(links[0])-1])
	require.Equal(t, http.StatusForbidden, status, "a link that was tampered with")
}

func TestTheMailArrivesWhateverTheFirstServiceDoes(t *testing.T) {
	for _, mode := range services.Modes() {
		t.Run(string(mode.Mode), func(t *testing.T) {
			p, srv := demo(t)
			require.NoError(t, p.service("postmark").SetMode(mode.Mode))
			start := time.Now()
			status, page, _ := register(t, srv, "Ada", "ada@example.com")
			require.Equal(t, http.StatusOK, status, page)
			require.Less(t, time.Since(start), registerWithin)

			mails := p.inbox.Messages()
			require.Len(t, mails, 1)
			want := "sendgrid"
			if mode.Mode == services.Healthy {
				want = "postmark"
			}
			require.Equal(t, want, mails[0].Via)
			require.Contains(t, page, want+"</strong> took it")
			require.Equal(t, mode.Mode == services.Hanging, strings.Contains(page, "may arrive twice"))
		})
	}
}

func TestTheFirstServiceGetsTheMailAgainWhenItIsBack(t *testing.T) {
	p, srv := demo(t)
	require.NoError(t, p.service("postmark").SetMode(services.Down))
	register(t, srv, "Ada", "one@example.com")
	require.NoError(t, p.service("postmark").SetMode(services.Healthy))
	register(t, srv, "Ada", "two@example.com")
	mails := p.inbox.Messages()
	require.Len(t, mails, 2)
	require.Equal(t, map[string]string{"one@example.com": "sendgrid", "two@example.com": "postmark"},
		map[string]string{mails[0].Message.To[0].Address: mails[0].Via, mails[1].Message.To[0].Address: mails[1].Via})
}

func TestAVisitorLearnsWhatToDo(t *testing.T) {
	p, srv := demo(t)
	for name, email := range map[string]string{
		"no address":                "ada",
		"two addresses":             "ada@example.com, eve@example.com",
		"an injected header":        "ada@example.com\r\nBcc: eve@example.com",
		"an address with a command": `"ada> ORCPT=x@example.com"@example.com`,
	} {
		t.Run(name, func(t *testing.T) {
			status, page, _ := register(t, srv, "Ada", email)
			require.Equal(t, http.StatusUnprocessableEntity, status)
			require.Contains(t, page, "Please check both")
			require.Empty(t, p.inbox.Messages())
		})
	}
	t.Run("a name with a line break", func(t *testing.T) {
		status, _, _ := register(t, srv, "Ada\nBcc: eve@example.com", "ada@example.com")
		require.Equal(t, http.StatusUnprocessableEntity, status)
		require.Empty(t, p.inbox.Messages())
	})
	t.Run("all services throttle", func(t *testing.T) {
		for _, s := range p.services {
			require.NoError(t, s.SetMode(services.Throttling))
		}
		status, page, header := register(t, srv, "Ada", "ada@example.com")
		require.Equal(t, http.StatusServiceUnavailable, status)
		require.Contains(t, page, "nothing was sent")
		require.NotEmpty(t, header.Get("Retry-After"))
	})
}

func TestTheStatusPageShowsTheHealth(t *testing.T) {
	_, srv := demo(t)
	resp, err := http.PostForm(srv.URL+"/services/postmark", url.Values{"mode": {"throttling"}, "back": {"status"}})
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, "/status", resp.Request.URL.Path)
	register(t, srv, "Ada", "ada@example.com")
	_, page := get(t, srv.URL+"/status")
	require.Contains(t, page, `<span class="state resting">resting</span>`)
	require.Contains(t, page, "rate limited")
}

func TestOtherSitesCannotSignUpOrSwitch(t *testing.T) {
	p, srv := demo(t)
	for _, path := range []string{"/register", "/services/postmark"} {
		r, err := http.NewRequest(http.MethodPost, srv.URL+path, strings.NewReader("name=Ada&email=ada@example.com&mode=down"))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		resp, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, http.StatusForbidden, resp.StatusCode)
	}
	require.Empty(t, p.inbox.Messages())
	require.Equal(t, services.Healthy, p.service("postmark").Mode())
}

func TestTheEnvironmentChoosesTheServices(t *testing.T) {
	all := map[string]string{
		"POSTMARK_SERVER_TOKEN": "POSTMARK_API_TEST",
		"SES_REGION":            "eu-west-1",
		"AWS_ACCESS_KEY_ID":     "AKIAEXAMPLE",
		"AWS_SECRET_ACCESS_KEY": "secret",
		"SENDGRID_API_KEY":      "SG.x.y",
		"SOCKETLABS_API_KEY":    "secret",
		"SOCKETLABS_SERVER_ID":  "12345",
		"MAILJET_API_KEY":       "key",
		"MAILJET_SECRET_KEY":    "secret",
		"ELASTICEMAIL_API_KEY":  "secret",
		"SMTP2GO_API_KEY":       "api-secret",
		"SMTP_URL":              "smtps://ada:secret@mail.example:465",
	}
	lookup := func(env map[string]string) func(string) (string, bool) {
		return func(k string) (string, bool) { v, ok := env[k]; return v, ok }
	}
	t.Run("all of them, in their order", func(t *testing.T) {
		p, err := newPost(lookup(all))
		require.NoError(t, err)
		defer p.Close()
		require.Empty(t, p.services)
		var names []string
		for _, h := range p.Health() {
			names = append(names, h.Name)
		}
		require.Equal(t, []string{"postmark", "ses", "sendgrid", "socketlabs", "mailjet", "elasticemail", "smtp2go", "smtp"}, names)
	})
	t.Run("credentials of AWS alone ask for nothing", func(t *testing.T) {
		p, err := newPost(lookup(map[string]string{"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}))
		require.NoError(t, err)
		defer p.Close()
		require.Len(t, p.services, 2, "the embedded ones")
	})
	for name, wrong := range map[string]string{
		"SMTP_URL":              "gopher://ada:secret@mail.example",
		"SOCKETLABS_SERVER_ID":  "twelve",
		"MAILJET_SECRET_KEY":    "",
		"AWS_SECRET_ACCESS_KEY": "",
	} {
		t.Run("a wrong "+name+" is an error", func(t *testing.T) {
			env := maps.Clone(all)
			env[name] = wrong
			_, err := newPost(lookup(env))
			require.Error(t, err)
			require.NotContains(t, err.Error(), "secret@")
		})
	}
}

func TestTokens(t *testing.T) {
	s := newSigner()
	now := time.Now()
	token := s.token("ada@example.com", now)
	email, err := s.email(token, now.Add(tokenLife))
	require.NoError(t, err)
	require.Equal(t, "ada@example.com", email)
	for name, bad := range map[string]func() (string, error){
		"too late":        func() (string, error) { return s.email(token, now.Add(tokenLife+2*time.Second)) },
		"another key":     func() (string, error) { return newSigner().email(token, now) },
		"empty":           func() (string, error) { return s.email("", now) },
		"only a dot":      func() (string, error) { return s.email(".", now) },
		"another address": func() (string, error) { return s.email(token[:12]+"AA"+token[14:], now) },
	} {
		t.Run(name, func(t *testing.T) {
			_, err := bad()
			require.ErrorIs(t, err, errToken)
		})
	}
}
