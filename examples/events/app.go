package main

import (
	"context"
	"embed"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/examples/internal/services"
	"github.com/seed355143d4/mailer/examples/internal/site"
	"github.com/seed355143d4/mailer/failover"
	"github.com/seed355143d4/mailer/suppression"
	"github.com/seed355143d4/mailer/webhook"
)

//go:embed web
var web embed.FS

var pages = site.Pages(web, "web/*.html")

// app is the sign-up application.
type app struct {
	*post

	mu    sync.Mutex
	mails []*sent // oldest first
}

// maxMails is how many mails the status page remembers.
const maxMails = 100

// sent is a mail that a service took, and what is known of it.
type sent struct {
	ID        string // the message's own
	ServiceID string
	Service   string
	Recipient string
	State     webhook.State
	Events    []string
}

func newApp(base string) (*app, error) {
	p, err := newPost(base)
	if err != nil {
		return nil, err
	}
	return &app{post: p}, nil
}

func (a *app) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.home)
	mux.HandleFunc("POST /register", a.register)
	mux.HandleFunc("GET /status", a.status)
	mux.HandleFunc("POST /services/{name}", a.setMode)
	mux.HandleFunc("POST /mails/{id}", a.happen)
	mux.Handle("GET /web/", site.Assets())
	mux.Handle("/inbox/", http.StripPrefix("/inbox", a.inbox))

	// The events come in here. Each is dealt with once, however often it is sent.
	receive := webhook.Dedupe(nil, a.receive)
	for _, source := range a.sources {
		mux.Handle("/hooks/"+source.Name(), webhook.Handler(source, receive))
	}
	return http.NewCrossOriginProtection().Handler(mux)
}

// receive takes the events of all services. An error makes the service send them
// again.
func (a *app) receive(ctx context.Context, events []webhook.Event) error {
	if err := suppression.Record(a.store, nil)(ctx, events); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range events {
		line := string(e.Type)
		if e.Detail != "" {
			line += ": " + e.Detail
		}
		a.inbox.Note(e.MailID, line)
		for _, m := range a.mails {
			if m.ID == e.MailID {
				m.State = webhook.Next(m.State, e)
				m.Events = append(m.Events, line)
			}
		}
	}
	return nil
}

// page is what every template gets.
type page struct {
	Title      string
	Inbox      bool
	Services   []*embedded
	Modes      any
	Health     []failover.Health
	Mails      []sent // newest first
	Happenings []services.Event
	Suppressed []suppression.Entry
	Name       string
	Email      string
	Problem    string
	Receipt    mailer.Receipt
}

func (a *app) show(w http.ResponseWriter, status int, name string, p page) {
	p.Inbox, p.Services, p.Modes, p.Health = true, a.services, services.Modes(), a.chain.Health()
	p.Happenings = []services.Event{services.Opened, services.Bounced, services.Complained}
	a.mu.Lock()
	for _, m := range slices.Backward(a.mails) {
		c := *m
		c.Events = slices.Clone(m.Events)
		p.Mails = append(p.Mails, c)
	}
	a.mu.Unlock()
	for e, err := range a.store.All(context.Background()) {
		if err != nil {
			slog.Error("suppression list", "err", err)
			break
		}
		p.Suppressed = append(p.Suppressed, e)
	}
	site.Show(w, status, pages, name, p)
}

func (a *app) home(w http.ResponseWriter, r *http.Request) {
	a.show(w, http.StatusOK, "home.html", page{Title: "Sign up"})
}

func (a *app) status(w http.ResponseWriter, r *http.Request) {
	a.show(w, http.StatusOK, "status.html", page{Title: "Status"})
}

// register sends the welcome mail.
func (a *app) register(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	name, email := strings.TrimSpace(r.FormValue("name")), strings.TrimSpace(r.FormValue("email"))
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), 10*time.Second)
	defer cancel()

	// The events may come back before Send does, so the mail is known before.
	m := &sent{ID: mailer.NewID(), Recipient: email}
	a.mu.Lock()
	a.mails = append(a.mails[max(0, len(a.mails)-maxMails+1):], m)
	a.mu.Unlock()
	receipt, err := a.Send(ctx, mailer.Message{
		ID:      m.ID,
		From:    mailer.Address{Name: "Harbour Books", Address: "hello@harbourbooks.example"},
		To:      []mailer.Address{{Name: name, Address: email}},
		Subject: "Welcome to Harbour Books",
		Text:    "Welcome aboard, " + name + "!\n",
		Tags:    []string{"welcome"},
	})
	if err != nil {
		slog.Warn("welcome mail", "err", err)
		a.mu.Lock()
		a.mails = slices.DeleteFunc(a.mails, func(other *sent) bool { return other == m })
		a.mu.Unlock()
		status, problem := explain(err)
		a.show(w, status, "home.html", page{Title: "Sign up", Name: name, Email: email, Problem: problem})
		return
	}
	a.mu.Lock()
	m.Service, m.ServiceID = receipt.Provider, receipt.MessageID
	a.mu.Unlock()
	a.show(w, http.StatusOK, "sent.html", page{Title: "Look in your inbox", Name: name, Email: email, Receipt: receipt})
}

// explain says what went wrong in words that a visitor can act on.
func explain(err error) (status int, problem string) {
	e, _ := errors.AsType[*mailer.Error](err)
	switch kind := mailer.KindOf(err); {
	case kind == mailer.KindRecipient && e != nil && e.Provider == "suppression":
		return http.StatusUnprocessableEntity, "Mail to this address came back, or was reported as spam. We will not write to it again. Please use another address."
	case kind == mailer.KindInvalid || kind == mailer.KindRecipient:
		return http.StatusUnprocessableEntity, "That does not look like a name and an e-mail address that takes mail. Please check both and try again."
	case !mailer.NotSent(err):
		return http.StatusServiceUnavailable, "We could not make sure that your mail went out. If it is not in your inbox in a few minutes, please sign up again."
	}
	return http.StatusServiceUnavailable, "We cannot send mail at the moment, and nothing was sent to you. Please try again in a minute."
}

// happen lets something happen to a mail at the service that took it.
func (a *app) happen(w http.ResponseWriter, r *http.Request) {
	var m sent
	a.mu.Lock()
	for _, other := range a.mails {
		if other.ID == r.PathValue("id") {
			m = *other
		}
	}
	a.mu.Unlock()
	s, event := a.service(m.Service), services.Event(r.FormValue("event"))
	if s == nil {
		http.NotFound(w, r)
		return
	}
	if !slices.Contains([]services.Event{services.Opened, services.Bounced, services.Complained}, event) {
		http.Error(w, "no such event", http.StatusBadRequest)
		return
	}
	if err := s.Report(m.ServiceID, event); err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	http.Redirect(w, r, "/status", http.StatusSeeOther)
}

// setMode gives an embedded service a good or a bad day.
func (a *app) setMode(w http.ResponseWriter, r *http.Request) {
	s := a.service(r.PathValue("name"))
	if s == nil {
		http.NotFound(w, r)
		return
	}
	if err := s.SetMode(services.Mode(r.FormValue("mode"))); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	http.Redirect(w, r, "/status", http.StatusSeeOther)
}
