package elasticemail

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/providertest"
)

// batch makes n messages.
func batch(n int) []mailer.Message {
	ms := make([]mailer.Message, n)
	for i := range ms {
		ms[i] = mailer.Message{
			ID: fmt.Sprintf("m%d", i), From: mailer.Address{Address: "shop@example.com"}, Subject: "Hello", Text: "Hello",
			To: []mailer.Address{{Address: fmt.Sprintf("ada%d@example.com", i)}},
		}
	}
	return ms
}

// echo is a service whose ids are those of the messages.
func echo(t *testing.T, before func(id string) (status int, text string)) *Provider {
	p, err := New(Config{APIKey: key, HTTPClient: providertest.Client(func(_ *http.Request, body []byte) (int, string) {
		id := decode(t, body).Content.Postback
		if status, text := before(id); status != 0 {
			return status, text
		}
		return 200, fmt.Sprintf(`{"TransactionID":"t-%s","MessageID":"x"}`, id)
	})})
	require.NoError(t, err)
	return p
}

func TestBatchGivesEachMessageItsOwnResult(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]int{}
	p := echo(t, func(id string) (int, string) {
		mu.Lock()
		seen[id]++
		mu.Unlock()
		switch id {
		case "m5":
			return 400, no("Domain not verified")
		case "m6":
			return 502, "<html>"
		}
		return 0, ""
	})
	ms := batch(40)
	ms[3].Subject = "Hello\r\n"                              // invalid
	ms[7].ReplyTo = []mailer.Address{ms[0].From, ms[1].From} // unsupported
	results := p.SendBatch(t.Context(), ms)
	require.Len(t, results, 40)
	errs := map[error]bool{}
	for i, r := range results {
		kind, failed := map[int]mailer.Kind{3: mailer.KindInvalid, 5: mailer.KindSender, 6: mailer.KindUnavailable, 7: mailer.KindUnsupported}[i]
		if failed {
			require.ErrorIs(t, r.Err, kind)
			require.Equal(t, i != 6, mailer.NotSent(r.Err))
			require.Empty(t, r.Receipt)
			require.False(t, errs[r.Err], "two messages share an error")
			errs[r.Err] = true
			continue
		}
		require.NoError(t, r.Err)
		require.Equal(t, mailer.Receipt{ID: ms[i].ID, Provider: "elasticemail", MessageID: "t-" + ms[i].ID}, r.Receipt)
	}
	require.Len(t, seen, 38)
	for id, n := range seen {
		require.Equal(t, 1, n, id)
	}
	require.Equal(t, 1, p.MaxBatch())
	require.Empty(t, p.SendBatch(t.Context(), nil))
}

func TestBatchSendsFewerAtOnceThanElasticEmailAllows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, most atomic.Int32
		p := echo(t, func(string) (int, string) {
			for now := running.Add(1); ; {
				if m := most.Load(); now <= m || most.CompareAndSwap(m, now) {
					break
				}
			}
			time.Sleep(time.Second)
			running.Add(-1)
			return 0, ""
		})
		begun := time.Now()
		for _, r := range mailer.SendAll(t.Context(), p, batch(160)) {
			require.NoError(t, r.Err)
		}
		require.Equal(t, 10*time.Second, time.Since(begun), "160 calls, 16 at once")
		require.Equal(t, int32(16), most.Load())
	})
}

func TestBatchEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		client := &http.Client{Transport: providertest.RoundTrip(func(r *http.Request) (*http.Response, error) {
			select {
			case <-time.After(time.Second):
				return nil, errors.New("reset")
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		})}
		p, err := New(Config{APIKey: key, HTTPClient: client})
		require.NoError(t, err)
		for i, r := range p.SendBatch(ctx, batch(40)) {
			require.ErrorIs(t, r.Err, mailer.KindNetwork)
			require.Equal(t, i >= 32, mailer.NotSent(r.Err), "message %d", i) // not begun
		}
	})
}
