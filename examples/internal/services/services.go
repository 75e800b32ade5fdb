// Package services holds mail relay services in miniature, for the examples:
// each speaks enough of a real service's API for the real adapter to talk to it
// over HTTP on loopback, hands what it accepts to a Sender, and has bad days at
// the push of a button.
package services

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/seed355143d4/mailer"
)

// Mode is the kind of day that a service has.
type Mode string

// The modes.
const (
	Healthy        Mode = "healthy"
	Throttling     Mode = "throttling"
	Down           Mode = "down"
	Hanging        Mode = "hanging"
	OutOfCredits   Mode = "out-of-credits"
	RefusingSender Mode = "refusing-sender"
)

// Modes lists the modes with what each does, for a page to show.
func Modes() []struct {
	Mode Mode
	Text string
} {
	return []struct {
		Mode Mode
		Text string
	}{
		{Healthy, "Takes every mail"},
		{Throttling, "429, Retry-After: 15"},
		{Down, "Refuses the connection"},
		{Hanging, "Reads the mail, never answers"},
		{OutOfCredits, "Says that its credits are used up"},
		{RefusingSender, "Says that the sender is not verified"},
	}
}

// retryAfter is what a throttling service asks for, in seconds.
const retryAfter = "15"

// maxBody bounds a request, as the real services do.
const maxBody = 30 << 20

// api is what differs between the services: the path, how a request reads, and
// how the answers look.
type api struct {
	path    string
	stored  string // a further path, for messages with a stored template
	decode  func(body []byte) (mailer.Message, error)
	accept  func(w http.ResponseWriter, id string)
	refusal map[Mode]answer
	invalid func(text string) answer
	report  func(e Event, m taken, number int64, now time.Time) []byte
	retries []time.Duration // after a report that was not taken
	sign    func(r *http.Request, body []byte)
}

type answer struct {
	status int
	body   string
}

// Service is one service in miniature. Its methods are safe for concurrent use.
type Service struct {
	api     api
	deliver mailer.Sender

	mu   sync.Mutex
	mode Mode
	addr string
	srv  *http.Server

	reporter
}

// start begins to listen on a free loopback port, in the mode Healthy. Accepted
// mail goes to deliver. Close ends it.
func start(a api, deliver mailer.Sender) (*Service, error) {
	s := &Service{api: a, deliver: deliver, mode: Healthy, addr: "127.0.0.1:0"}
	s.reporter.init()
	if err := s.listen(); err != nil {
		return nil, err
	}
	return s, nil
}

// URL is the base URL to give to the adapter.
func (s *Service) URL() string { return "http://" + s.addr }

// Mode tells the present mode.
func (s *Service) Mode() Mode {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mode
}

// SetMode changes the mode. Requests under way are cut off when the service goes
// down, and let go when it stops hanging.
func (s *Service) SetMode(m Mode) error {
	known := false
	for _, k := range Modes() {
		known = known || k.Mode == m
	}
	if !known {
		return fmt.Errorf("unknown mode %q", m)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if m == s.mode {
		return nil
	}
	if s.srv != nil && (m == Down || s.mode == Hanging) {
		s.srv.Close() // the connections as well: kept ones must not outlive it
		s.srv = nil
	}
	if m != Down && s.srv == nil {
		if err := s.listen(); err != nil {
			return err
		}
	}
	s.mode = m
	return nil
}

// Close ends the service, and drops what it has not reported yet.
func (s *Service) Close() error {
	s.reporter.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.srv == nil {
		return nil
	}
	err := s.srv.Close()
	s.srv = nil
	return err
}

// listen opens the service's port, the same one as before if it had one.
func (s *Service) listen() error {
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		return err
	}
	s.addr = l.Addr().String()
	s.srv = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	srv := s.srv
	go func() {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			panic(err) // an accept failed for good: nothing works from here on
		}
	}()
	return nil
}

// ServeHTTP answers as the service would in its present mode.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.URL.Path != s.api.path && r.URL.Path != s.api.stored {
		http.NotFound(w, r)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "request entity too large", http.StatusRequestEntityTooLarge)
		return
	}
	mode := s.Mode()
	switch mode {
	case Hanging:
		<-r.Context().Done()
		return
	case Throttling:
		w.Header().Set("Retry-After", retryAfter)
	}
	if a, ok := s.api.refusal[mode]; ok {
		a.write(w)
		return
	}
	m, err := s.api.decode(body)
	if err != nil {
		s.api.invalid(err.Error()).write(w)
		return
	}
	if _, err := s.deliver.Send(r.Context(), m); err != nil {
		s.api.invalid(err.Error()).write(w)
		return
	}
	id := mailer.NewID()
	s.remember(id, m)
	s.api.accept(w, id)
	_ = s.Report(id, Delivered) // it was remembered a moment ago
}

func (a answer) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.status)
	io.WriteString(w, a.body)
}

// quote writes a string for JSON.
func quote(s string) string {
	b, _ := json.Marshal(s) // a string always can
	return string(b)
}
