package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/examples/internal/services"
	"github.com/seed355143d4/mailer/examples/internal/site"
	"github.com/seed355143d4/mailer/failover"
)

//go:embed web
var web embed.FS

var pages = site.Pages(web, "web/*.html")

// registerWithin is how long a visitor waits for the answer to a registration.
const registerWithin = 10 * time.Second

// app is the sign-up application.
type app struct {
	post   *post
	from   mailer.Address
	base   string // its own URL, without a slash at the end
	signer *signer

	mu       sync.Mutex
	verified map[string]time.Time
}

func newApp(p *post, from mailer.Address, base string) http.Handler {
	a := &app{post: p, from: from, base: strings.TrimSuffix(base, "/"), signer: newSigner(), verified: map[string]time.Time{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.home)
	mux.HandleFunc("POST /register", a.register)
	mux.HandleFunc("GET /verify", a.verify)
	mux.HandleFunc("GET /status", a.status)
	mux.HandleFunc("POST /services/{name}", a.setMode)
	mux.Handle("GET /web/", site.Assets())
	if p.inbox != nil {
		mux.Handle("/inbox/", http.StripPrefix("/inbox", p.inbox))
	}
	return http.NewCrossOriginProtection().Handler(mux)
}

// page is what every template gets.
type page struct {
	Title    string
	Inbox    bool
	Services []*embedded
	Modes    any
	Health   []failover.Health
	Name     string
	Email    string
	Problem  string
	Receipt  mailer.Receipt
}

func (a *app) show(w http.ResponseWriter, status int, name string, p page) {
	p.Inbox, p.Services, p.Modes, p.Health = a.post.inbox != nil, a.post.services, services.Modes(), a.post.Health()
	site.Show(w, status, pages, name, p)
}

func (a *app) home(w http.ResponseWriter, r *http.Request) {
	a.show(w, http.StatusOK, "home.html", page{Title: "Sign up"})
}

// register sends the verification mail. It is the one place where this
// application meets mailer.
func (a *app) register(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	name, email := strings.TrimSpace(r.FormValue("name")), strings.TrimSpace(r.FormValue("email"))

	// A visitor who closes the tab still gets the mail.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), registerWithin)
	defer cancel()
	receipt, err := a.post.Send(ctx, a.verification(name, email, time.Now()))
	if err != nil {
		slog.Warn("registration mail", "err", err)
		status, problem := explain(err)
		if e, ok := errors.AsType[*mailer.Error](err); ok && e.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds()))))
		}
		a.show(w, status, "home.html", page{Title: "Sign up", Name: name, Email: email, Problem: problem})
		return
	}
	a.show(w, http.StatusOK, "sent.html", page{Title: "Look in your inbox", Name: name, Email: email, Receipt: receipt})
}

// explain says what went wrong in words that a visitor can act on.
func explain(err error) (status int, problem string) {
	switch kind := mailer.KindOf(err); {
	case kind == mailer.KindInvalid:
		return http.StatusUnprocessableEntity, "That does not look like a name and an e-mail address. Please check both and try again."
	case kind == mailer.KindRecipient:
		return http.StatusUnprocessableEntity, "Mail to this address comes back. Please use another address."
	case !mailer.NotSent(err):
		return http.StatusServiceUnavailable, "We could not make sure that your mail went out. If it is not in your inbox in a few minutes, please sign up again."
	}
	return http.StatusServiceUnavailable, "We cannot send mail at the moment, and nothing was sent to you. Please try again in a minute."
}

// verification is the mail with the link.
func (a *app) verification(name, email string, now time.Time) mailer.Message {
	link := a.base + "/verify?token=" + url.QueryEscape(a.signer.token(email, now))
	var html bytes.Buffer
	if err := pages.ExecuteTemplate(&html, "mail.html", struct{ Name, Link string }{name, link}); err != nil {
		panic(err) // the template is ours, and fits its data
	}
	greeting := "Hello"
	if name != "" {
		greeting += " " + name
	}
	return mailer.Message{
		From:    a.from,
		To:      []mailer.Address{{Name: name, Address: email}},
		Subject: "Please confirm your address",
		Text:    greeting + ",\n\nplease confirm that this address is yours:\n\n" + link + "\n\nThe link works for a day. If you did not sign up, ignore this mail.\n",
		HTML:    html.String(),
		Tags:    []string{"verification"},
		Track:   mailer.Tracking{Opens: mailer.Off, Clicks: mailer.Off}, // a rewritten link looks like phishing

		// A second copy does no harm, so the next service may try even when the
		// first one did not say whether it took the mail.
		AllowDuplicate: true,
	}
}

func (a *app) verify(w http.ResponseWriter, r *http.Request) {
	email, err := a.signer.email(r.FormValue("token"), time.Now())
	if err != nil {
		a.show(w, http.StatusForbidden, "home.html", page{Title: "Sign up", Problem: "This link is not valid, or its time has run out. Please sign up again to get a new one."})
		return
	}
	a.mu.Lock()
	a.verified[email] = time.Now()
	a.mu.Unlock()
	a.show(w, http.StatusOK, "verified.html", page{Title: "Welcome", Email: email})
}

func (a *app) status(w http.ResponseWriter, r *http.Request) {
	a.show(w, http.StatusOK, "status.html", page{Title: "Status"})
}

// setMode gives an embedded service a good or a bad day.
func (a *app) setMode(w http.ResponseWriter, r *http.Request) {
	s := a.post.service(r.PathValue("name"))
	if s == nil {
		http.NotFound(w, r)
		return
	}
	if err := s.SetMode(services.Mode(r.FormValue("mode"))); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	back := "/"
	if r.FormValue("back") == "status" {
		back = "/status"
	}
	http.Redirect(w, r, back, http.StatusSeeOther)
}
