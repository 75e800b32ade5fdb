package providertest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
)

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
	t.Run("64 senders over TLS and half as many connections", func(t *testing.T) { s.connections(t, 64) })
	t.Run("256 senders over TLS and half as many connections", func(t *testing.T) { s.connections(t, 256) })
}

// connections sends n messages at once, three times, over TLS. At most half as
// many connections are made, since the client's pool has no more, and a later round
// uses them again. Much slack is left, since net/http gives up a connection that is
// slow to tell that it wrote the request, which happens on a busy machine; one that
// keeps no connection makes n in each round.
func (s *suite) connections(t *testing.T, n int) {
	peer, most, slack := s.Peer, int64(n/2), int64(n/2)
	if h, ok := peer.(HTTP); ok {
		h.pool = n / 2
		peer = h
	}
	service, p := s.start(t, peer)
	counter, ok := service.(interface{ Connections() int64 })
	if !ok {
		return // the protocol keeps none
	}
	for round := range 3 {
		before := counter.Connections()
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				_, err := p.Send(t.Context(), s.ledgerMessage(round*n+i))
				if err != nil {
					t.Errorf("round %d: %v", round+1, err)
				}
			})
		}
		wg.Wait()
		made := counter.Connections()
		require.LessOrEqual(t, made, most+slack, "connections")
		if round > 0 {
			require.LessOrEqual(t, made-before, slack, "connections made in round %d", round+1)
		}
	}
	require.Equal(t, 3*n, len(service.Requests()), "requests")
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
