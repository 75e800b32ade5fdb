package providertest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
)

// senders is how many send at once.
const senders = 64

// testConcurrent sends many messages at once, twice, so that the second round
// uses the connections of the first. Then it counts connections.
func (s *suite) testConcurrent(t *testing.T) {
	t.Run("64 senders", func(t *testing.T) { s.concurrent(t, s.Peer) })
	h, ok := s.Peer.(HTTP)
	if !ok {
		t.Run("64 senders and no more connections", s.kept)
		return
	}
	h.tls = true
	t.Run("64 senders over HTTP/2", func(t *testing.T) { s.concurrent(t, h) })
	t.Run("64 senders over one socket", func(t *testing.T) { s.socket(t, h) })
	localhost() // not in a bubble
	for _, n := range []int{senders, 4 * senders} {
		bubble := func(name string, streams, pool, want int) {
			t.Run(fmt.Sprintf("%d senders over %s", n, name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { s.connections(t, h, n, streams, pool, want) })
			})
		}
		bubble("TLS and half as many connections", 0, n/2, n/2)
		bubble("one connection", n, 0, 1)
	}
}

// rounds is how often the senders send.
const rounds = 3

// round lets n senders send a message each at once: those of the ledger from that
// one on.
func (s *suite) round(t *testing.T, p mailer.Provider, from, n int) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if _, err := p.Send(t.Context(), s.ledgerMessage(from+i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// connections lets n senders send at once over so many streams of HTTP/2, or by a
// pool of so many connections of HTTP/1.1. The service answers when as many messages
// wait as can. Exactly the connections wanted are made, all in the first round.
func (s *suite) connections(t *testing.T, h HTTP, n, streams, pool, want int) {
	service, network, p := h.piped(t, streams, pool)
	sent := 0
	if streams > 0 {
		s.round(t, p, rounds*n, 1) // before it net/http does not know that it can share
		synctest.Wait()
		sent = 1
	}
	for round := range rounds {
		service.holdUntil(streams + pool)
		s.round(t, p, round*n, n)
		synctest.Wait() // until no stream and no connection is in use
		require.EqualValues(t, want, network.connections.Load(), "connections after round %d", round+1)
		require.EqualValues(t, want, network.handshakes.Load(), "handshakes after round %d", round+1)
	}
	require.Len(t, service.Requests(), sent+rounds*n, "requests")
}

// socket lets many send at once over HTTP/2 on loopback. Only one connection is made.
func (s *suite) socket(t *testing.T, h HTTP) {
	service, p := s.start(t, h)
	s.round(t, p, rounds*senders, 1) // before it net/http does not know that it can share
	for round := range rounds {
		s.round(t, p, round*senders, senders)
		require.EqualValues(t, 1, service.(*httpService).Connections(), "connections after round %d", round+1)
	}
	require.Len(t, service.Requests(), 1+rounds*senders, "requests")
}

// kept lets many send at once. A provider that keeps its connections never needs
// more than one for each sender.
func (s *suite) kept(t *testing.T) {
	service, p := s.start(t, s.Peer)
	counter, ok := service.(interface{ Connections() int64 })
	if !ok {
		return // the protocol keeps none
	}
	for round := range rounds {
		s.round(t, p, round*senders, senders)
		require.LessOrEqual(t, counter.Connections(), int64(senders), "connections after round %d", round+1)
	}
	require.Len(t, service.Requests(), rounds*senders, "requests")
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
			s.says(t, q, m, receipts[i])
			s.sameID(t, receipts[i], q)
			require.False(t, ids[receipts[i].MessageID], "two messages have the MessageID %q", receipts[i].MessageID)
			ids[receipts[i].MessageID] = true
		}
		require.Len(t, requests, senders, "requests for %d messages", senders)
	}
}
