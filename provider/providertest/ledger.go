package providertest

import (
	"flag"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
)

func init() {
	if flag.Lookup("ledger") == nil { // as "update"
		flag.Int("ledger", 0, "how many messages the ledger has; 0: a few")
	}
}

// page is how many messages of the ledger go to one service, whose requests are
// kept until they are compared.
const page = 20_000

// testLedger sends many different messages at once, and compares what the service
// got with what was to be sent: none lost, none doubled, none with another's
// recipient, subject or body.
func (s *suite) testLedger(t *testing.T) {
	messages, err := strconv.Atoi(flag.Lookup("ledger").Value.String())
	require.NoError(t, err)
	if messages == 0 {
		messages = fewMessages
	}
	for from := 0; from < messages; from += page {
		to := min(from+page, messages)
		t.Run(fmt.Sprintf("page %d", from/page+1), func(t *testing.T) { s.ledger(t, from, to) })
	}
}

// ledgerMessage is the message with that number.
func (s *suite) ledgerMessage(n int) mailer.Message {
	m := s.message("minimal")
	m.ID = fmt.Sprintf("mark%dx", n)
	m.To[0].Address = m.ID + "@example.com"
	m.Subject = "About " + m.ID
	m.Text = strings.Repeat(m.ID+" says hello.\n", 1+n%23)
	return m
}

func (s *suite) ledger(t *testing.T, from, to int) {
	service, p := s.start(t, s.Peer)
	given := make([]string, to-from) // MessageIDs
	var next atomic.Int64
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(given); i = int(next.Add(1)) - 1 {
				m := s.ledgerMessage(from + i)
				r, err := p.Send(t.Context(), m)
				if err != nil || r.ID != m.ID {
					t.Errorf("%s: the receipt is of %q, the error: %v", m.ID, r.ID, err)
					return
				}
				given[i] = r.MessageID
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}

	seen := make([]bool, len(given))
	for _, q := range service.Requests() {
		marks := mark.FindAllString(q.Text, -1)
		require.NotEmpty(t, marks, "a request of no message: %s", q.Text)
		n, err := strconv.Atoi(strings.Trim(marks[0], "markx"))
		require.NoError(t, err)
		require.True(t, from <= n && n < to, "message %d was not to be sent", n)
		require.False(t, seen[n-from], "message %d was sent twice", n)
		seen[n-from] = true
		m := s.ledgerMessage(n)
		for _, other := range marks {
			require.Equal(t, m.ID, other, "a request holds parts of two messages")
		}
		for _, text := range []string{m.To[0].Address, m.Subject, m.Text} {
			require.True(t, contains(q, text), "the request of message %d does not say %q", n, text)
		}
		s.sameID(t, mailer.Receipt{ID: m.ID, MessageID: given[n-from]}, q)
	}
	for i, ok := range seen {
		require.True(t, ok, "message %d was lost", from+i)
	}
}
