// Package soak holds no code but a test: sends through a chain of real adapters,
// over real connections, to services that misbehave at random.
package soak

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/failover"
	"github.com/seed355143d4/mailer/provider/postmark"
	"github.com/seed355143d4/mailer/provider/sendgrid"
	"github.com/seed355143d4/mailer/provider/smtp2go"
)

var (
	soak    = flag.Duration("soak", 3*time.Second, "how long TestSoak sends")
	senders = flag.Int("senders", 32, "how many goroutines of TestSoak send at once")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ledger counts how often each message was taken.
type ledger struct {
	mu    sync.RWMutex
	pages []*[4096]atomic.Uint32
	next  int
}

// add gives the number of the next message.
func (l *ledger) add() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.next
	l.next++
	if n/4096 == len(l.pages) {
		l.pages = append(l.pages, new([4096]atomic.Uint32))
	}
	return n
}

func (l *ledger) of(n int) *atomic.Uint32 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return &l.pages[n/4096][n%4096]
}

// number finds the number of the message in a request's body: its ID is soak-12-.
func number(body []byte) (int, bool) {
	_, rest, ok := bytes.Cut(body, []byte("soak-"))
	if !ok {
		return 0, false
	}
	digits, _, ok := bytes.Cut(rest, []byte("-"))
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(string(digits))
	return n, err == nil
}

// service speaks as one relay service does, on its good days and its bad ones.
type service struct {
	ledger  *ledger
	success func(w http.ResponseWriter, n int)
	failure func(status int) string
	fault   func(f string)
	mood    atomic.Int64 // how many of a hundred requests go wrong
	asked   atomic.Int64 // requests that are no message
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if int64(rand.IntN(100)) >= s.mood.Load() {
		s.answer(w, r, "takes it")
		return
	}
	all := []string{
		"breaks before it reads", "breaks", "takes it and breaks", "hangs", "takes it and hangs",
		"fails", "takes it and fails", "takes it and stops in mid-answer", "throttles", "throttles for long",
		"refuses the recipient", "refuses the message", "is slow",
	}
	s.answer(w, r, all[rand.IntN(len(all))])
}

func (s *service) answer(w http.ResponseWriter, r *http.Request, mood string) {
	if mood == "breaks before it reads" {
		panic(http.ErrAbortHandler)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // an incomplete message is none
	}
	n, ok := number(body)
	isMail := slices.Contains([]string{"/email", "/v3/mail/send", "/email/send"}, r.URL.Path)
	switch {
	case !isMail:
		s.asked.Add(1) // the chain asks whether it answers
	case !ok:
		s.fault("a request without a message")
		panic(http.ErrAbortHandler)
	}
	switch mood {
	case "takes it", "is slow", "takes it and breaks", "takes it and hangs", "takes it and fails", "takes it and stops in mid-answer":
		if mood == "is slow" {
			select {
			case <-time.After(100 * time.Millisecond):
			case <-r.Context().Done():
			}
		}
		if isMail && s.ledger.of(n).Add(1) > 1 {
			s.fault("message " + strconv.Itoa(n) + " was handed over twice")
		}
	}
	fail := func(status int) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		io.WriteString(w, s.failure(status))
	}
	switch mood {
	case "takes it", "is slow":
		s.success(w, n)
	case "breaks", "takes it and breaks":
		panic(http.ErrAbortHandler)
	case "hangs", "takes it and hangs":
		<-r.Context().Done()
	case "fails", "takes it and fails":
		fail(http.StatusInternalServerError)
	case "takes it and stops in mid-answer":
		w.Header().Set("Content-Length", "1000")
		w.WriteHeader(http.StatusOK)
		io.WriteString(w, "{")
		panic(http.ErrAbortHandler)
	case "throttles":
		fail(http.StatusTooManyRequests)
	case "throttles for long":
		w.Header().Set("Retry-After", "1")
		fail(http.StatusTooManyRequests)
	case "refuses the recipient":
		fail(http.StatusUnprocessableEntity)
	case "refuses the message":
		fail(http.StatusBadRequest)
	}
}

// TestSoak sends without a pause through a chain over three services with bad
// moods of a second or so, and accounts for every message: it was taken once and
// its sender was told so; or by nobody, and its sender was told that it was not
// sent; or its sender was told that nobody knows, and it was taken once at most.
// Memory and file descriptors stay where they were.
//
//	go test -race ./internal/soak -run Soak -soak 10m -timeout 15m -v
func TestSoak(t *testing.T) {
	var (
		l      ledger
		mu     sync.Mutex
		faults []string
	)
	fault := func(f string) {
		mu.Lock()
		defer mu.Unlock()
		if faults = append(faults, f); len(faults) > 20 {
			faults = faults[:20]
		}
	}
	all := []*service{
		{
			success: func(w http.ResponseWriter, n int) {
				fmt.Fprintf(w, `{"MessageID":"m%d","ErrorCode":0,"Message":"OK"}`, n)
			},
			failure: func(status int) string {
				code := map[int]int{422: 406, 400: 402}[status]
				return fmt.Sprintf(`{"ErrorCode":%d,"Message":"no"}`, code)
			},
		},
		{
			success: func(w http.ResponseWriter, n int) {
				w.Header().Set("X-Message-Id", fmt.Sprint("m", n))
				w.WriteHeader(http.StatusAccepted)
			},
			failure: func(int) string { return `{"errors":[{"message":"no","field":null}]}` },
		},
		{
			success: func(w http.ResponseWriter, n int) {
				fmt.Fprintf(w, `{"request_id":"r","data":{"succeeded":1,"failed":0,"failures":[],"email_id":"m%d"}}`, n)
			},
			failure: func(int) string {
				return `{"request_id":"r","data":{"error":"no","error_code":"E_ApiResponseCodes.NO"}}`
			},
		},
	}
	servers := make([]*httptest.Server, len(all))
	clients := make([]*http.Client, len(all))
	for i, s := range all {
		s.ledger, s.fault = &l, fault
		srv := httptest.NewUnstartedServer(s)
		srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
		srv.EnableHTTP2 = i == 1
		srv.StartTLS()
		defer srv.Close()
		servers[i], clients[i] = srv, srv.Client()
		clients[i].Transport.(*http.Transport).MaxIdleConnsPerHost = *senders
		defer clients[i].CloseIdleConnections()
	}
	pm, err := postmark.New(postmark.Config{ServerToken: "POSTMARK_API_TEST", BaseURL: servers[0].URL, HTTPClient: clients[0]})
	require.NoError(t, err)
	sg, err := sendgrid.New(sendgrid.Config{APIKey: "SG.soak.soak", BaseURL: servers[1].URL, HTTPClient: clients[1]})
	require.NoError(t, err)
	s2, err := smtp2go.New(smtp2go.Config{APIKey: "api-00000000000000000000000000000000", BaseURL: servers[2].URL, HTTPClient: clients[2]})
	require.NoError(t, err)
	chain, err := failover.New(failover.Config{
		Rest: 50 * time.Millisecond, MaxRest: 500 * time.Millisecond, AttemptTimeout: 500 * time.Millisecond,
		Logger: slog.New(slog.DiscardHandler),
	}, pm, sg, s2)
	require.NoError(t, err)

	ctx, cancel := context.WithTimeout(t.Context(), *soak)
	defer cancel()
	var work sync.WaitGroup
	for _, s := range all {
		s.mood.Store(50) // so that everything happens, however short the test
	}
	work.Go(func() { // moods change
		for ctx.Err() == nil {
			pause := time.NewTimer(time.Duration(200+rand.IntN(1000)) * time.Millisecond)
			select {
			case <-pause.C:
			case <-ctx.Done():
				pause.Stop()
			}
			all[rand.IntN(len(all))].mood.Store([]int64{0, 0, 1, 5, 20, 100}[rand.IntN(6)])
		}
	})
	var taken, refused, unknown atomic.Int64
	for range *senders {
		work.Go(func() {
			for ctx.Err() == nil {
				n := l.add()
				receipt, err := chain.Send(context.Background(), mailer.Message{
					ID:      fmt.Sprintf("soak-%d-", n),
					From:    mailer.Address{Address: "app@example.com"},
					To:      []mailer.Address{{Address: "ada@example.com"}},
					Subject: fmt.Sprint("Number ", n),
					Text:    fmt.Sprint("This is message ", n),
				})
				copies := l.of(n).Load()
				switch {
				case err == nil:
					taken.Add(1)
					if copies != 1 {
						fault(fmt.Sprintf("message %d: nil, and taken %d times", n, copies))
					}
					if receipt.MessageID != fmt.Sprint("m", n) {
						fault(fmt.Sprintf("message %d has the receipt of %q", n, receipt.MessageID))
					}
				case mailer.NotSent(err):
					refused.Add(1)
					time.Sleep(10 * time.Millisecond) // all rest: nothing is gained by asking at once
					if copies != 0 {
						fault(fmt.Sprintf("message %d: NotSent, and taken: %v", n, err))
					}
				default:
					unknown.Add(1)
				}
			}
		})
	}
	time.Sleep(*soak / 4)
	early := measure()
	work.Wait()
	late := measure()
	for _, srv := range servers {
		srv.CloseClientConnections() // a handler that hangs may still hold one
	}

	total := taken.Load() + refused.Load() + unknown.Load()
	t.Logf("%d messages in %v: %d taken, %d refused, %d unknown", total, *soak, taken.Load(), refused.Load(), unknown.Load())
	t.Logf("after a quarter: %v; at the end: %v", early, late)
	for i, h := range chain.Health() {
		t.Logf("%s: %d taken, %d failed, asked %d times", h.Name, h.Sent, h.Failed, all[i].asked.Load())
	}
	require.Empty(t, faults)
	require.EqualValues(t, l.next, total, "every message is accounted for")
	require.NotZero(t, taken.Load())
	require.NotZero(t, refused.Load())
	require.NotZero(t, unknown.Load())
	for n := range l.next {
		require.LessOrEqual(t, l.of(n).Load(), uint32(1), "message %d", n)
	}
	// The ledger grows by 4 bytes a message; 8 MB are for what happens to be under way.
	require.Less(t, late.heap, early.heap+uint64(4*total)+8<<20, "memory grows")
	require.Less(t, late.goroutines, early.goroutines+200, "goroutines grow")
	if early.files > 0 {
		require.Less(t, late.files, early.files+100, "file descriptors grow")
	}
}

type measured struct {
	heap              uint64
	goroutines, files int
}

func (m measured) String() string {
	return fmt.Sprintf("%.1f MB of heap, %d goroutines, %d files", float64(m.heap)/1e6, m.goroutines, m.files)
}

func measure() (m measured) {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	m.heap, m.goroutines = stats.HeapAlloc, runtime.NumGoroutine()
	if files, err := os.ReadDir("/proc/self/fd"); err == nil {
		m.files = len(files)
	}
	return m
}
