package services

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed355143d4/mailer"
)

// Event is what happens to a mail after a service took it.
type Event string

// The events.
const (
	Delivered  Event = "delivered"
	Opened     Event = "opened"
	Bounced    Event = "bounced"
	Complained Event = "complained"
)

// noSuchUser is why a mail bounces.
const noSuchUser = "550 5.1.1 no such user here"

// Hook is where a service reports events.
type Hook struct {
	// URL takes the service's POST requests.
	URL string
	// Username and Password are sent along, if there is a password.
	Username, Password string
	// Minute is how long a minute of the service's waits lasts: after a report that
	// is not taken it tries again after some of them. 0: a second.
	Minute time.Duration
}

// ReportTo makes the service report what happens from now on.
func (s *Service) ReportTo(h Hook) {
	if h.Minute == 0 {
		h.Minute = time.Second
	}
	s.hook.Store(&h)
}

// PublicKey is the key with which a service that signs its reports lets them be
// verified. Empty: it does not sign.
func (s *Service) PublicKey() string { return s.publicKey }

// Report lets something happen to a mail, by the id that the service gave it, and
// reports it in the background. Every mail is Delivered by itself.
func (s *Service) Report(id string, e Event) error {
	m, ok := s.mails.Load(id)
	if !ok {
		return fmt.Errorf("no mail with the id %q", id)
	}
	h := s.hook.Load()
	if h == nil {
		return nil
	}
	body := s.api.report(e, m.(taken), s.number.Add(1), time.Now())
	s.under.Go(func() { s.post(h, body) })
	return nil
}

// taken is a mail that the service took.
type taken struct {
	id, recipient string
	tags          []string
	args          map[string]string // metadata, with the mail's own ID
}

func (m taken) tag() string {
	if len(m.tags) == 0 {
		return ""
	}
	return m.tags[0]
}

// reporter is the part of a Service that reports.
type reporter struct {
	publicKey string
	hook      atomic.Pointer[Hook]
	mails     sync.Map // id to taken
	number    atomic.Int64
	under     sync.WaitGroup
	ctx       context.Context
	close     func()
}

func (r *reporter) init() {
	ctx, cancel := context.WithCancel(context.Background())
	r.ctx, r.close = ctx, func() { cancel(); r.under.Wait() }
}

func (r *reporter) remember(id string, m mailer.Message) {
	args := map[string]string{"mailer_id": m.ID}
	for k, v := range m.Metadata {
		args[k] = v
	}
	r.mails.Store(id, taken{id: id, recipient: m.To[0].Address, tags: m.Tags, args: args})
}

// post reports until the report is taken, or until the service would give up.
func (s *Service) post(h *Hook, body []byte) {
	for try := 0; ; try++ {
		if s.try(h, body) || try == len(s.api.retries) {
			return
		}
		wait := time.NewTimer(time.Duration(s.api.retries[try].Minutes() * float64(h.Minute)))
		select {
		case <-wait.C:
		case <-s.ctx.Done():
			wait.Stop()
			return
		}
	}
}

// try reports once, and tells whether that is the end of it: the report was taken,
// or refused for good.
func (s *Service) try(h *Hook, body []byte) bool {
	ctx, cancel := context.WithTimeout(s.ctx, 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(body))
	if err != nil {
		return true // the URL will not get better
	}
	r.Header.Set("Content-Type", "application/json")
	if h.Password != "" {
		r.SetBasicAuth(h.Username, h.Password)
	}
	if s.api.sign != nil {
		s.api.sign(r, body)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be kept
	switch {
	case resp.StatusCode < 300:
		return true
	case resp.StatusCode == http.StatusRequestTimeout, resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode >= 500:
		return false
	}
	return true
}
