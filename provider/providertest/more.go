package providertest

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
)

// invalid are messages that are wrong for every service, most of them attacks
// that other mail libraries fell for.
var invalid = []struct {
	name   string
	change func(m *mailer.Message)
}{
	{"no sender", func(m *mailer.Message) { m.From = mailer.Address{} }},
	{"no recipient", func(m *mailer.Message) { m.To = nil }},
	{"no body and no template", func(m *mailer.Message) { m.Text = "" }},
	{"an ID with a blank", func(m *mailer.Message) { m.ID = "a b" }},
	{"an address without a domain", func(m *mailer.Message) { m.To[0].Address = "ada" }},
	{"an address with a name in it", func(m *mailer.Message) { m.To[0].Address = "Ada <ada@example.com>" }},
	{"two addresses in one", func(m *mailer.Message) { m.To[0].Address = "ada@example.com, eve@evil.example" }},
	{"a line end in an address", func(m *mailer.Message) { m.To[0].Address = "ada@example.com\r\nBcc: eve@evil.example" }},
	{"a line end in a quoted local part", func(m *mailer.Message) { m.To[0].Address = "\"x\r\nBcc: eve@evil.example\"@example.com" }},
	{"a parameter behind an address", func(m *mailer.Message) { m.To[0].Address = "ada@example.com> ORCPT=eve@evil.example" }},
	{"an SMTP command in Cc", func(m *mailer.Message) {
		m.Cc = []mailer.Address{{Address: "ada@example.com>\r\nDATA\r\nhello\r\n.\r\nQUIT\r\n"}}
	}},
	{"a line end in a name", func(m *mailer.Message) { m.To[0].Name = "Ada\r\nBcc: eve@evil.example" }},
	{"a line end in the sender's name", func(m *mailer.Message) { m.From.Name = "Shop\nBcc: eve@evil.example" }},
	{"a line end in Reply-To", func(m *mailer.Message) {
		m.ReplyTo = []mailer.Address{{Address: "help@example.com\nBcc: eve@evil.example"}}
	}},
	{"a line end in the subject", func(m *mailer.Message) { m.Subject = "Hello\r\nBcc: eve@evil.example" }},
	{"a bare carriage return in the subject", func(m *mailer.Message) { m.Subject = "Hello\rBcc: eve@evil.example" }},
	{"a NUL in the subject", func(m *mailer.Message) { m.Subject = "Hello\x00" }},
	{"a subject that is not UTF-8", func(m *mailer.Message) { m.Subject = "Hello \xff" }},
	{"a line end in a header", func(m *mailer.Message) { m.Headers = map[string]string{"X-A": "1\r\nBcc: eve@evil.example"} }},
	{"a line end in the name of a header", func(m *mailer.Message) { m.Headers = map[string]string{"X-A: 1\r\nBcc": "eve@evil.example"} }},
	{"recipients in a header", func(m *mailer.Message) { m.Headers = map[string]string{"bCC": "eve@evil.example"} }},
	{"a line end in a file's name", func(m *mailer.Message) {
		m.Attachments = []mailer.Attachment{{Name: "a.txt\r\nX-A: 1", Content: []byte("a")}}
	}},
	{"a line end in a file's type", func(m *mailer.Message) {
		m.Attachments = []mailer.Attachment{{Name: "a.txt", ContentType: "text/plain\r\nX-A: 1", Content: []byte("a")}}
	}},
	{"a line end in a Content-ID", func(m *mailer.Message) {
		m.Attachments = []mailer.Attachment{{Name: "a.png", ContentType: "image/png", ContentID: "a>\r\nX-A: 1", Content: []byte("a")}}
	}},
	{"a line end in the unsubscribe address", func(m *mailer.Message) {
		m.Unsubscribe.URL = "https://example.com/leave>\r\nBcc: eve@evil.example"
	}},
	{"a line end in a tag", func(m *mailer.Message) { m.Tags = []string{"a\r\nX-A: 1"} }},
	{"metadata under the reserved key", func(m *mailer.Message) { m.Metadata = map[string]string{"mailer_id": "x"} }},
}

// testInvalid sends what must not be sent.
func (s *suite) testInvalid(t *testing.T) {
	for _, c := range invalid {
		t.Run(c.name, func(t *testing.T) {
			m := s.message("minimal")
			c.change(&m)
			s.refused(t, m, mailer.KindInvalid)
		})
	}
}

// testContext ends contexts.
func (s *suite) testContext(t *testing.T) {
	before := func(ctx context.Context, kind mailer.Kind, cause error) func(t *testing.T) {
		return func(t *testing.T) {
			service, p := s.start(t, s.Peer)
			_, err := s.send(ctx, t, service, p, dayMessage())
			require.Error(t, err)
			require.Equal(t, kind.String(), mailer.KindOf(err).String(), "the kind of: %v", err)
			require.True(t, mailer.NotSent(err), "NotSent of: %v", err)
			require.ErrorIs(t, err, cause)
			require.Empty(t, service.Requests(), "the message was sent")
			s.recovers(t, service, p)
		}
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	t.Run("canceled before", before(canceled, mailer.KindCanceled, context.Canceled))
	t.Run("deadline passed before", before(late, mailer.KindNetwork, context.DeadlineExceeded))

	days := append([]Day{{Name: Silence, Hangs: true}}, s.Peer.Days()...)
	for _, d := range days {
		if !d.Hangs {
			continue
		}
		t.Run("canceled in "+d.Name, func(t *testing.T) {
			service, p, m := s.begin(t, d)
			before := len(service.Requests())
			service.Behave(d.Name)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var wg sync.WaitGroup
			wg.Go(func() {
				defer cancel()
				if d.NotSent == No {
					poll(func() bool { return len(service.Requests()) > before })
				} else {
					quiet(service)
				}
			})
			_, err := s.send(ctx, t, service, p, m)
			wg.Wait()
			s.interrupted(t, d, service, before, err, mailer.KindCanceled, context.Canceled)
			s.recovers(t, service, p)
		})
		t.Run("deadline passes in "+d.Name, func(t *testing.T) {
			// The deadline is a trigger only: on a slow machine it comes too early, and
			// then it is given more time.
			for patience := 50 * time.Millisecond; ; patience *= 4 {
				service, p, m := s.begin(t, d)
				before := len(service.Requests())
				service.Behave(d.Name)
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				_, err := s.send(ctx, t, service, p, m)
				if d.NotSent == No && len(service.Requests()) == before && patience < guard/4 && !errors.Is(err, errHung) {
					continue
				}
				s.interrupted(t, d, service, before, err, mailer.KindNetwork, context.DeadlineExceeded)
				s.recovers(t, service, p)
				return
			}
		})
	}
}

// interrupted requires that the error is that of a context which ended on the day.
func (s *suite) interrupted(t *testing.T, d Day, service Service, before int, err error, kind mailer.Kind, cause error) {
	t.Helper()
	read := len(service.Requests()) - before
	if d.NotSent == No {
		require.Equal(t, 1, read, "how often the message was sent")
	}
	d.Kinds = []mailer.Kind{kind}
	s.failed(t, d, read, err)
	require.ErrorIs(t, err, cause)
	if d.Check != nil {
		d.Check(t, service, mailer.Receipt{}, err)
	}
}

// poll waits until ok, or until patience ends.
func poll(ok func() bool) {
	for end := time.Now().Add(guard); !ok() && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
}

// quiet waits until there was traffic and then none for a while.
func quiet(service Service) {
	last, since := service.Traffic(), time.Now()
	poll(func() bool {
		if now := service.Traffic(); now != last {
			last, since = now, time.Now()
		}
		return last > 0 && time.Since(since) > 30*time.Millisecond
	})
}

// recovers requires that the next message is taken.
func (s *suite) recovers(t *testing.T, service Service, p mailer.Provider) {
	t.Helper()
	service.Behave(Accept)
	before := len(service.Requests())
	_, err := s.send(t.Context(), t, service, p, dayMessage())
	require.NoError(t, err, "the provider does not recover")
	require.Len(t, service.Requests(), before+1, "requests for one message")
}

// senders is how many send at once.
const senders = 64

// testConcurrent sends many messages at once, twice, so that the second round
// uses the connections of the first.
func (s *suite) testConcurrent(t *testing.T) {
	t.Run("64 senders", func(t *testing.T) { s.concurrent(t, s.Peer) })
	if h, ok := s.Peer.(HTTP); ok {
		h.tls = true
		t.Run("64 senders over HTTP/2", func(t *testing.T) { s.concurrent(t, h) })
	}
}

var mark = regexp.MustCompile(`mark\d+x`)

func (s *suite) concurrent(t *testing.T, peer Peer) {
	service, p := s.start(t, peer)
	_, noFiles := s.Unsupported["attachment"]
	for round := range 2 {
		if h, ok := service.(interface{ holdUntil(n int) }); ok {
			h.holdUntil(senders)
		}
		messages := make([]mailer.Message, senders)
		receipts := make([]mailer.Receipt, senders)
		errs := make([]error, senders)
		for i := range messages {
			m := s.message("minimal")
			own := fmt.Sprintf("mark%dx", round*senders+i)
			m.ID, m.Subject = own, "About "+own
			m.To[0].Address = own + "@example.com"
			m.Text = "Hello.\n" + strings.Repeat(own+" says hello.\n", 1+i*i%97)
			if i%2 == 1 && !noFiles {
				m.Attachments = []mailer.Attachment{{Name: own + ".bin", Content: append([]byte(own), noise(512*i)...)}}
			}
			messages[i] = m
		}
		start := make(chan struct{})
		var wg sync.WaitGroup
		for i := range messages {
			wg.Go(func() {
				<-start
				receipts[i], errs[i] = s.send(t.Context(), t, service, p, messages[i])
			})
		}
		close(start)
		wg.Wait()

		requests := service.Requests()
		requests = requests[min(len(requests), round*senders):]
		byOwner := map[string][]Request{}
		for _, q := range requests {
			owners := mark.FindAllString(q.Text, -1)
			slices.Sort(owners)
			owners = slices.Compact(owners)
			require.Len(t, owners, 1, "one request holds parts of several messages")
			byOwner[owners[0]] = append(byOwner[owners[0]], q)
		}
		ids := map[string]bool{}
		for i, m := range messages {
			require.NoError(t, errs[i])
			require.Len(t, byOwner[m.ID], 1, "how often message %s was sent", m.ID)
			q := byOwner[m.ID][0]
			says(t, q, m, receipts[i])
			s.sameID(t, receipts[i], q)
			require.False(t, ids[receipts[i].MessageID], "two messages have the MessageID %q", receipts[i].MessageID)
			ids[receipts[i].MessageID] = true
		}
		require.Len(t, requests, senders, "requests for %d messages", senders)
	}
}
