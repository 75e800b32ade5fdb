package smtp_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/smtp"
)

// pipe is a Dial to a server without a network, for virtual time.
type pipe struct {
	f     func(p *peer)
	conns atomic.Int64
	open  atomic.Int64
	most  atomic.Int64
	mails atomic.Int64
}

func (s *pipe) dial(context.Context, string, string) (net.Conn, error) {
	client, srv := net.Pipe()
	n := s.conns.Add(1)
	if open := s.open.Add(1); open > s.most.Load() {
		s.most.Store(open)
	}
	go func() {
		defer s.open.Add(-1)
		defer srv.Close()
		s.f(&peer{Conn: srv, br: bufio.NewReader(srv), n: int(n), mails: &s.mails})
	}()
	return client, nil
}

func (s *pipe) config() smtp.Config {
	return smtp.Config{Host: "localhost", TLS: smtp.InsecurePlaintext, Dial: s.dial}
}

func TestTimes(t *testing.T) {
	bubble := func(name string, f func(t *testing.T)) {
		t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
	}
	bubble("a connection is kept for 30 seconds", func(t *testing.T) {
		s := &pipe{f: func(p *peer) { p.serve(nil) }}
		p, err := smtp.New(s.config())
		require.NoError(t, err)
		for range 5 {
			_, err := p.Send(t.Context(), message("ada@example.com"))
			require.NoError(t, err)
			time.Sleep(29 * time.Second)
		}
		require.EqualValues(t, 1, s.conns.Load())
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Zero(t, s.open.Load(), "the idle connection is closed, and leaves no goroutine")
		_, err = p.Send(t.Context(), message("ada@example.com"))
		require.NoError(t, err)
		require.EqualValues(t, 2, s.conns.Load())
		require.NoError(t, p.Close())
	})
	bubble("no connection is kept if that is named", func(t *testing.T) {
		s := &pipe{f: func(p *peer) { p.serve(nil) }}
		c := s.config()
		c.IdleTimeout = -1
		p, err := smtp.New(c)
		require.NoError(t, err)
		for range 3 {
			_, err := p.Send(t.Context(), message("ada@example.com"))
			require.NoError(t, err)
		}
		synctest.Wait()
		require.Zero(t, s.open.Load())
		require.EqualValues(t, 3, s.conns.Load())
	})
	bubble("a connection carries 100 messages", func(t *testing.T) {
		s := &pipe{f: func(p *peer) { p.serve(nil) }}
		p, err := smtp.New(s.config())
		require.NoError(t, err)
		for range 250 {
			_, err := p.Send(t.Context(), message("ada@example.com"))
			require.NoError(t, err)
		}
		require.EqualValues(t, 3, s.conns.Load())
		require.NoError(t, p.Close())
	})
	bubble("a Send without a deadline ends after 30 seconds", func(t *testing.T) {
		s := &pipe{f: func(p *peer) { _, _ = p.br.Peek(1) }}
		p, err := smtp.New(s.config())
		require.NoError(t, err)
		start := time.Now()
		_, err = p.Send(t.Context(), message("ada@example.com"))
		require.ErrorIs(t, err, mailer.KindNetwork)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.True(t, mailer.NotSent(err))
		require.Equal(t, 30*time.Second, time.Since(start))
	})
	bubble("a Send waits for one of ten connections", func(t *testing.T) {
		s := &pipe{f: func(p *peer) { time.Sleep(time.Second); p.serve(nil) }}
		p, err := smtp.New(s.config())
		require.NoError(t, err)
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				_, err := p.Send(t.Context(), message("ada@example.com"))
				require.NoError(t, err)
			})
		}
		wg.Wait()
		require.EqualValues(t, 10, s.most.Load())
		require.EqualValues(t, 10, s.conns.Load(), "those that wait are given the connections of those that are done")
		require.EqualValues(t, 100, s.mails.Load())
		require.NoError(t, p.Close())
	})
	bubble("a Send that waits in vain ends with its context", func(t *testing.T) {
		stop := make(chan struct{})
		s := &pipe{f: func(p *peer) { <-stop }}
		c := s.config()
		c.MaxConns = 1
		p, err := smtp.New(c)
		require.NoError(t, err)
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = p.Send(t.Context(), message("ada@example.com")) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = p.Send(ctx, message("bob@example.com"))
		require.ErrorIs(t, err, mailer.KindNetwork)
		require.True(t, mailer.NotSent(err))
		require.EqualValues(t, 1, s.conns.Load())
		close(stop)
		wg.Wait()
	})
	bubble("after Close nothing is kept, and sends still work", func(t *testing.T) {
		s := &pipe{f: func(p *peer) { p.serve(nil) }}
		p, err := smtp.New(s.config())
		require.NoError(t, err)
		_, err = p.Send(t.Context(), message("ada@example.com"))
		require.NoError(t, err)
		require.NoError(t, p.Close())
		synctest.Wait()
		require.Zero(t, s.open.Load())
		_, err = p.Send(t.Context(), message("ada@example.com"))
		require.NoError(t, err)
		synctest.Wait()
		require.Zero(t, s.open.Load())
		require.EqualValues(t, 2, s.mails.Load())
		require.NoError(t, p.Close())
	})
	bubble("Close does not wait for a server that is stuck", func(t *testing.T) {
		stop := make(chan struct{})
		s := &pipe{f: func(p *peer) {
			p.say("220 ready")
			p.hear()
			p.say("250 x")
			for range 2 {
				p.hear()
				p.say("250 OK")
			}
			p.hear()
			p.say("354 go on")
			p.mail()
			p.say("250 OK")
			<-stop
		}}
		p, err := smtp.New(s.config())
		require.NoError(t, err)
		_, err = p.Send(t.Context(), message("ada@example.com"))
		require.NoError(t, err)
		start := time.Now()
		require.NoError(t, p.Close())
		require.LessOrEqual(t, time.Since(start), time.Second)
		close(stop)
	})
}

func TestNewStartsNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 10 {
		_, err := smtp.New(smtp.Config{Host: "mail.example.com"})
		require.NoError(t, err)
	}
	require.Equal(t, before, runtime.NumGoroutine())
}

func TestManySenders(t *testing.T) {
	s := (&server{}).start(t)
	p := newProvider(t, s.config(func(c *smtp.Config) { c.MaxConns = 8; c.MaxMessages = 20 }))
	const senders, each = 64, 5
	var wg sync.WaitGroup
	for i := range senders {
		wg.Go(func() {
			for j := range each {
				m := message(fmt.Sprintf("ada-%d-%d@example.com", i, j))
				m.ID = fmt.Sprintf("id-%d-%d", i, j)
				m.Text = fmt.Sprintf("for %d-%d\n%s", i, j, strings.Repeat(".\n", 50*j))
				m.HTML = ""
				r, err := p.Send(t.Context(), m)
				require.NoError(t, err)
				require.Equal(t, m.ID, r.ID)
			}
		})
	}
	wg.Wait()
	got := s.got()
	require.Len(t, got, senders*each)
	seen := map[string]bool{}
	for _, g := range got {
		require.Len(t, g.to, 1)
		require.False(t, seen[g.to[0]])
		seen[g.to[0]] = true
		var i, j int
		_, err := fmt.Sscanf(g.to[0], "ada-%d-%d@example.com", &i, &j)
		require.NoError(t, err)
		require.Contains(t, g.data, fmt.Sprintf("Message-ID: <id-%d-%d@books.example>\r\n", i, j))
		require.Equal(t, fmt.Sprintf("for %d-%d\r\n%s", i, j, strings.Repeat(".\r\n", 50*j)), bodyOf(g.data))
	}
	require.LessOrEqual(t, s.connections(), senders*each/20+8)
}
