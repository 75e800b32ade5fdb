package smtp_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/smtp"
)

// peer is the server's end of a connection, in the hands of a test.
type peer struct {
	net.Conn
	br    *bufio.Reader
	n     int             // which connection, from 1
	quit  <-chan struct{} // the test is over
	mails *atomic.Int64   // that were read to their final dot
}

func (p *peer) say(lines ...string) { _, _ = io.WriteString(p, strings.Join(lines, "\r\n")+"\r\n") }

// hear reads a line. Empty: the connection ended.
func (p *peer) hear() string {
	line, _ := p.br.ReadString('\n')
	return strings.TrimRight(line, "\r\n")
}

// mail reads a mail to its final dot. False: the connection ended before.
func (p *peer) mail() bool {
	for {
		line, err := p.br.ReadString('\n')
		if err != nil {
			return false
		}
		if line == ".\r\n" {
			p.mails.Add(1)
			return true
		}
	}
}

// secure goes on over TLS.
func (p *peer) secure(cert tls.Certificate) {
	c := tls.Server(p.Conn, &tls.Config{Certificates: []tls.Certificate{cert}})
	p.Conn, p.br = c, bufio.NewReader(c)
}

// silent says nothing more, but keeps the connection until the client or the test
// ends it.
func (p *peer) silent() {
	gone := make(chan struct{})
	go func() { _, _ = io.Copy(io.Discard, p.br); close(gone) }()
	select {
	case <-gone:
	case <-p.quit:
		_ = p.Close()
		<-gone
	}
}

// reset ends the connection with a RST.
func (p *peer) reset() { _ = p.Conn.(*net.TCPConn).SetLinger(0); _ = p.Close() }

// serve answers like a good server, for as long as the client likes. answers
// replace the answer to a command, by its verb; "" ends the connection instead.
// The answer to the mail itself is under ".".
func (p *peer) serve(answers map[string]string) {
	answer := func(verb, good string) bool {
		if a, ok := answers[verb]; ok {
			good = a
		}
		switch good {
		case "":
			_ = p.Close()
			return false
		case "silence":
			p.silent()
			return false
		case "half":
			_, _ = io.WriteString(p, "250-half of an ans")
			_ = p.Close()
			return false
		}
		p.say(good)
		return !strings.HasPrefix(good, "421")
	}
	if !answer("greeting", "220 localhost ready") {
		return
	}
	for {
		line := p.hear()
		if line == "" {
			return
		}
		verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
		good := "250 2.0.0 OK"
		switch verb {
		case "EHLO":
			good = "250-localhost\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE 0"
		case "DATA":
			good = "354 go on"
		case "QUIT":
			p.say("221 bye")
			return
		}
		if a, ok := answers[line]; ok {
			good = a
			verb = line
		}
		if !answer(verb, good) {
			return
		}
		if verb == "DATA" && (answers["DATA"] == "" || strings.HasPrefix(answers["DATA"], "354")) {
			if !p.mail() {
				return
			}
			if !answer(".", "250 2.0.0 OK") {
				return
			}
		}
	}
}

type script struct {
	addr  *net.TCPAddr
	mails atomic.Int64
	conns atomic.Int64
	stop  func() // ends the server, and waits until it has
}

// play starts a server on loopback that plays the script on each connection.
func play(t testing.TB, f func(p *peer)) *script {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &script{addr: l.Addr().(*net.TCPAddr)}
	quit := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n := int(s.conns.Add(1))
			wg.Go(func() {
				defer c.Close()
				f(&peer{Conn: c, br: bufio.NewReader(c), n: n, quit: quit, mails: &s.mails})
			})
		}
	})
	s.stop = sync.OnceFunc(func() {
		_ = l.Close()
		close(quit)
		wg.Wait()
	})
	t.Cleanup(s.stop)
	return s
}

func (s *script) config() smtp.Config {
	return smtp.Config{Host: "localhost", Port: s.addr.Port, TLS: smtp.InsecurePlaintext, Dial: dial4, Timeout: 20 * time.Second}
}

func TestSendOnABadDay(t *testing.T) {
	const yes, no = true, false
	for _, tt := range []struct {
		name    string
		answers map[string]string
		kind    mailer.Kind
		notSent bool
	}{
		{"the greeting refuses", map[string]string{"greeting": "554 5.3.2 no service here"}, mailer.KindUnavailable, yes},
		{"the greeting says 421", map[string]string{"greeting": "421 4.4.5 Too many connections"}, mailer.KindRateLimited, yes},
		{"closed instead of a greeting", map[string]string{"greeting": ""}, mailer.KindNetwork, yes},
		{"half a greeting", map[string]string{"greeting": "half"}, mailer.KindNetwork, yes},
		{"no greeting", map[string]string{"greeting": "silence"}, mailer.KindNetwork, yes},
		{"the greeting is not SMTP", map[string]string{"greeting": "HTTP/1.1 400 Bad Request"}, mailer.KindNetwork, yes},
		{"EHLO is refused", map[string]string{"EHLO": "550 5.7.1 not you"}, mailer.KindUnavailable, yes},
		{"closed at EHLO", map[string]string{"EHLO": ""}, mailer.KindNetwork, yes},
		{"silence at EHLO", map[string]string{"EHLO": "silence"}, mailer.KindNetwork, yes},
		{"an EHLO answer without end", map[string]string{"EHLO": strings.Repeat("250-X\r\n", 5000)}, mailer.KindNetwork, yes},
		{"an EHLO line without end", map[string]string{"EHLO": "250-" + strings.Repeat("x", 100_000)}, mailer.KindNetwork, yes},
		{"the codes of a reply differ", map[string]string{"EHLO": "250-localhost\r\n550 no"}, mailer.KindNetwork, yes},
		{"MAIL is refused", map[string]string{"MAIL": "550 5.1.8 bad sender"}, mailer.KindSender, yes},
		{"MAIL is refused for now", map[string]string{"MAIL": "451 4.3.0 try later"}, mailer.KindUnavailable, yes},
		{"MAIL gets 421", map[string]string{"MAIL": "421 4.3.2 shutting down"}, mailer.KindUnavailable, yes},
		{"MAIL gets 421 for the rate", map[string]string{"MAIL": "421 4.7.0 Rate limit"}, mailer.KindRateLimited, yes},
		{"MAIL gets an answer to something else", map[string]string{"MAIL": "354 go on"}, mailer.KindNetwork, yes},
		{"closed at MAIL", map[string]string{"MAIL": ""}, mailer.KindNetwork, yes},
		{"silence at MAIL", map[string]string{"MAIL": "silence"}, mailer.KindNetwork, yes},
		{"half an answer to MAIL", map[string]string{"MAIL": "half"}, mailer.KindNetwork, yes},
		{"RCPT is refused", map[string]string{"RCPT": "550 5.1.1 no such user"}, mailer.KindRecipient, yes},
		{"RCPT gets 421", map[string]string{"RCPT": "421 4.3.2 shutting down"}, mailer.KindUnavailable, yes},
		{"closed at RCPT", map[string]string{"RCPT": ""}, mailer.KindNetwork, yes},
		{"silence at RCPT", map[string]string{"RCPT": "silence"}, mailer.KindNetwork, yes},
		{"DATA is refused", map[string]string{"DATA": "554 5.7.1 no"}, mailer.KindContent, yes},
		{"DATA gets 250", map[string]string{"DATA": "250 yes?"}, mailer.KindNetwork, yes},
		{"closed at DATA", map[string]string{"DATA": ""}, mailer.KindNetwork, yes},
		{"silence at DATA", map[string]string{"DATA": "silence"}, mailer.KindNetwork, yes},
		{"the mail is refused", map[string]string{".": "554 5.7.1 spam"}, mailer.KindContent, yes},
		{"the mail is refused for now", map[string]string{".": "451 4.3.0 disk full"}, mailer.KindUnavailable, yes},
		{"the mail gets 421", map[string]string{".": "421 4.3.2 shutting down"}, mailer.KindUnavailable, yes},
		{"closed after the mail", map[string]string{".": ""}, mailer.KindNetwork, no},
		{"silence after the mail", map[string]string{".": "silence"}, mailer.KindNetwork, no},
		{"half an answer to the mail", map[string]string{".": "half"}, mailer.KindNetwork, no},
		{"nonsense after the mail", map[string]string{".": "OK I guess"}, mailer.KindNetwork, no},
		{"354 after the mail", map[string]string{".": "354 more"}, mailer.KindNetwork, no},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := play(t, func(p *peer) { p.serve(tt.answers) })
			p := newProvider(t, s.config())
			ctx := t.Context()
			for _, a := range tt.answers {
				if a == "silence" {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, 100*time.Millisecond)
					defer cancel()
				}
			}
			_, err := p.Send(ctx, message("ada@example.com"))
			var e *mailer.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, tt.kind, e.Kind, "%v", err)
			require.Equal(t, tt.notSent, e.NotSent, "%v", err)
			require.Equal(t, "smtp", e.Provider)
		})
	}
}

func TestTheWholeDialogue(t *testing.T) {
	// The server reads a whole group of commands before it answers any: with a
	// client that waits for one answer too many, nothing would go on.
	var wire []string
	s := play(t, func(p *peer) {
		p.say("220 localhost ready")
		heard := func(lines ...string) {
			for range lines {
				wire = append(wire, p.hear())
			}
			p.say(lines...)
		}
		heard("250-localhost\r\n250-pipelining\r\n250 size 1000000") // keywords in any case
		heard("250 from", "250 to", "550 5.1.1 gone", "251 forwarded", "354 go on")
		p.mail()
		p.say("250 done")
		heard("250 from", "550 5.1.1 gone", "554 no valid recipients")
		heard("250 reset", "550 5.7.1 not you", "503 no MAIL", "354 go on all the same")
		heard("554 no valid recipients") // to the dot
		heard("250 reset", "250 from", "250 to", "354 go on")
		p.mail()
		p.say("250 done")
		wire = append(wire, p.hear())
	})
	p := newProvider(t, s.config())
	r, err := p.Send(t.Context(), message("ada@example.com", "gone@example.com", "cy@example.com"))
	require.NoError(t, err)
	require.Len(t, r.Rejected, 1)
	_, err = p.Send(t.Context(), message("gone@example.com"))
	require.ErrorIs(t, err, mailer.KindRecipient)
	_, err = p.Send(t.Context(), message("ada@example.com"))
	require.ErrorIs(t, err, mailer.KindSender)
	_, err = p.Send(t.Context(), message(`"a..b"@example.com`))
	require.NoError(t, err)
	require.NoError(t, p.Close())
	s.stop()
	for i, line := range wire {
		if verb, size, ok := strings.Cut(line, " SIZE="); ok {
			require.Regexp(t, `^\d+$`, size)
			wire[i] = verb + " SIZE=n"
		}
	}
	require.Equal(t, []string{
		"EHLO localhost",
		"MAIL FROM:<orders@books.example> SIZE=n", "RCPT TO:<ada@example.com>", "RCPT TO:<gone@example.com>", "RCPT TO:<cy@example.com>", "DATA",
		"MAIL FROM:<orders@books.example> SIZE=n", "RCPT TO:<gone@example.com>", "DATA",
		"RSET", "MAIL FROM:<orders@books.example> SIZE=n", "RCPT TO:<ada@example.com>", "DATA",
		".",
		"RSET", "MAIL FROM:<orders@books.example> SIZE=n", `RCPT TO:<"a..b"@example.com>`, "DATA",
		"QUIT",
	}, wire)
	require.EqualValues(t, 2, s.mails.Load())
	require.EqualValues(t, 1, s.conns.Load())
}

func TestNothingIsDeliveredThatNobodyIsToGet(t *testing.T) {
	// The server lets the mail come although it took no recipient. All it may get
	// is the dot.
	var got []string
	s := play(t, func(p *peer) {
		p.say("220 localhost ready")
		p.hear()
		p.say("250-localhost", "250 PIPELINING")
		p.hear()
		p.hear()
		p.hear()
		p.say("250 from", "550 5.1.1 gone", "354 go on")
		got = append(got, p.hear())
		p.say("250 queued, whatever it was")
		got = append(got, p.hear())
	})
	p := newProvider(t, s.config())
	_, err := p.Send(t.Context(), message("gone@example.com"))
	require.ErrorIs(t, err, mailer.KindRecipient)
	require.True(t, mailer.NotSent(err))
	require.NoError(t, p.Close())
	s.stop()
	require.Equal(t, []string{".", "QUIT"}, got)
}

func TestAKeptConnection(t *testing.T) {
	first := func(t *testing.T, f func(p *peer)) (*script, *smtp.Provider) {
		s := play(t, f)
		p := newProvider(t, s.config())
		_, err := p.Send(t.Context(), message("ada@example.com"))
		require.NoError(t, err)
		return s, p
	}
	// serveThen is a good server for one mail, then does something else.
	serveThen := func(then func(p *peer)) func(p *peer) {
		return func(p *peer) {
			if p.n > 1 {
				p.serve(nil)
				return
			}
			p.say("220 localhost ready")
			p.hear()
			p.say("250-localhost", "250 PIPELINING")
			for range 3 {
				p.hear()
			}
			p.say("250 OK", "250 OK", "354 go on")
			p.mail()
			p.say("250 OK")
			then(p)
		}
	}
	for name, then := range map[string]func(p *peer){
		"that the server closed":           func(p *peer) {},
		"that the server reset":            func(p *peer) { p.reset() },
		"with a 421 waiting":               func(p *peer) { p.say("421 4.4.2 idle for too long") },
		"that ends at the next envelope":   func(p *peer) { p.hear() },
		"that is reset at the next mail":   func(p *peer) { p.hear(); p.reset() },
		"that gets 421 for the next mail":  func(p *peer) { p.hear(); p.say("421 4.4.2 idle for too long") },
		"that gets half an answer next":    func(p *peer) { p.hear(); _, _ = io.WriteString(p, "250") },
		"that gets nonsense for an answer": func(p *peer) { p.hear(); p.say("what?") },
	} {
		t.Run(name+" is replaced", func(t *testing.T) {
			s, p := first(t, serveThen(then))
			for range 3 {
				_, err := p.Send(t.Context(), message("ada@example.com"))
				require.NoError(t, err)
			}
			require.EqualValues(t, 2, s.conns.Load())
			require.EqualValues(t, 4, s.mails.Load())
		})
	}
	t.Run("that ends after the mail is not replaced", func(t *testing.T) {
		s, p := first(t, serveThen(func(p *peer) {
			for range 3 {
				p.hear()
			}
			p.say("250 OK", "250 OK", "354 go on")
			p.mail()
		}))
		_, err := p.Send(t.Context(), message("ada@example.com"))
		require.ErrorIs(t, err, mailer.KindNetwork)
		require.False(t, mailer.NotSent(err))
		require.EqualValues(t, 1, s.conns.Load())
		require.EqualValues(t, 2, s.mails.Load())
	})
	t.Run("that ends within the mail is not replaced", func(t *testing.T) {
		s, p := first(t, serveThen(func(p *peer) {
			for range 3 {
				p.hear()
			}
			p.say("250 OK", "250 OK", "354 go on")
			p.hear()
			p.reset()
		}))
		m := message("ada@example.com")
		m.Attachments = []mailer.Attachment{{Name: "big", Content: make([]byte, 20<<20)}}
		_, err := p.Send(t.Context(), m)
		require.ErrorIs(t, err, mailer.KindNetwork)
		require.True(t, mailer.NotSent(err), "the dot was not written: %v", err)
		require.EqualValues(t, 1, s.mails.Load())
	})
	t.Run("is replaced once only", func(t *testing.T) {
		s, p := first(t, func(p *peer) {
			if p.n == 1 {
				serveThen(func(p *peer) { p.hear() })(p)
				return
			}
			p.serve(map[string]string{"MAIL": ""})
		})
		_, err := p.Send(t.Context(), message("ada@example.com"))
		require.ErrorIs(t, err, mailer.KindNetwork)
		require.True(t, mailer.NotSent(err))
		require.EqualValues(t, 2, s.conns.Load())
	})
	t.Run("that was reset after the answer changes nothing", func(t *testing.T) {
		s, p := first(t, func(p *peer) { serveThen(func(p *peer) { p.reset() })(p) })
		require.EqualValues(t, 1, s.mails.Load())
		require.NoError(t, p.Close())
	})
}

func TestTheServerStopsReading(t *testing.T) {
	// The mail is refused while it is written: the reason is reported.
	s := play(t, func(p *peer) {
		p.say("220 localhost ready")
		p.hear()
		p.say("250-localhost", "250 PIPELINING")
		for range 3 {
			p.hear()
		}
		p.say("250 OK", "250 OK", "354 go on")
		p.hear()
		p.say("552 5.3.4 that is too much")
		_ = p.Conn.(*net.TCPConn).CloseWrite()
		p.silent()
	})
	c := s.config()
	c.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := dial4(ctx, network, addr)
		return &shortConn{Conn: nc, left: 100_000}, err
	}
	m := message("ada@example.com")
	m.Attachments = []mailer.Attachment{{Name: "big", Content: make([]byte, 1<<20)}}
	_, err := newProvider(t, c).Send(t.Context(), m)
	require.ErrorIs(t, err, mailer.KindTooLarge)
	require.True(t, mailer.NotSent(err))
}

// shortConn fails to write more than so many bytes.
type shortConn struct {
	net.Conn
	left int
}

func (c *shortConn) Write(p []byte) (int, error) {
	if len(p) > c.left {
		n, _ := c.Conn.Write(p[:c.left])
		c.left = 0
		return n, io.ErrClosedPipe
	}
	n, err := c.Conn.Write(p)
	c.left -= n
	return n, err
}

// TestTheDotDecides breaks the connection at each of the last bytes. Before the
// last byte of the final dot's line the mail is not sent; and then it is unknown.
func TestTheDotDecides(t *testing.T) {
	m := message("ada@example.com")
	m.HTML, m.Text = "", "x\n"
	var size int
	measure := play(t, func(p *peer) { p.serve(nil) })
	c := measure.config()
	c.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := dial4(ctx, network, addr)
		return &countConn{nc, &size}, err
	}
	_, err := newProvider(t, c).Send(t.Context(), m)
	require.NoError(t, err)

	s := play(t, func(p *peer) { p.serve(map[string]string{".": ""}) })
	for left := size - 12; left <= size; left++ {
		c := s.config()
		c.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			nc, err := dial4(ctx, network, addr)
			return &shortConn{Conn: nc, left: left}, err
		}
		p := newProvider(t, c)
		before := s.mails.Load()
		_, err := p.Send(t.Context(), m)
		require.ErrorIs(t, err, mailer.KindNetwork)
		require.Equal(t, left < size, mailer.NotSent(err), "%d of %d bytes", left, size)
		if left < size {
			require.Equal(t, before, s.mails.Load())
		} else {
			require.Equal(t, before+1, s.mails.Load())
		}
	}
}

// TestTheDotWasWritten breaks the connection together with the last byte: the
// server may have the mail, whatever the write says.
func TestTheDotWasWritten(t *testing.T) {
	s := play(t, func(p *peer) { p.serve(nil) })
	c := s.config()
	c.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := dial4(ctx, network, addr)
		return &lateConn{nc}, err
	}
	_, err := newProvider(t, c).Send(t.Context(), message("ada@example.com"))
	require.ErrorIs(t, err, mailer.KindNetwork)
	require.False(t, mailer.NotSent(err))
}

// lateConn writes the final dot, and says that it failed.
type lateConn struct{ net.Conn }

func (c *lateConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if strings.HasSuffix(string(p), "\r\n.\r\n") && err == nil {
		err = io.ErrClosedPipe
	}
	return n, err
}

type countConn struct {
	net.Conn
	n *int
}

func (c *countConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	*c.n += n
	return n, err
}

func TestNothingIsBelievedThatCameBeforeTLS(t *testing.T) {
	// CVE-2011-0411: the words after 220 came in clear, from whoever.
	var after string
	s := play(t, func(p *peer) {
		p.say("220 localhost ready")
		p.hear()
		p.say("250-localhost", "250 STARTTLS")
		p.hear()
		p.say("220 go on", "250-localhost", "250 AUTH PLAIN", "235 welcome")
		b, _ := io.ReadAll(p.br)
		after = string(b)
	})
	c := s.config()
	c.TLS, c.Username, c.Password = smtp.StartTLS, user, password
	_, err := newProvider(t, c).Send(t.Context(), message("ada@example.com"))
	require.ErrorIs(t, err, mailer.KindNetwork)
	require.True(t, mailer.NotSent(err))
	s.stop()
	require.Empty(t, after)
}

func TestSendEndsWithItsContext(t *testing.T) {
	for _, at := range []string{"greeting", "EHLO", "MAIL", "RCPT", "DATA", "."} {
		t.Run("canceled while waiting at "+at, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			s := play(t, func(p *peer) {
				p.serve(map[string]string{at: "silence"})
			})
			c := s.config()
			c.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				nc, err := dial4(ctx, network, addr)
				return &hookConn{nc, func(line string) {
					// The greeting has no command: cancel as soon as it is waited for.
					if at == "greeting" || strings.Contains(line, at) && at != "." || at == "." && strings.HasSuffix(line, "\r\n.\r\n") {
						cancel()
					}
				}}, err
			}
			if at == "greeting" {
				c.Dial = func(dialCtx context.Context, network, addr string) (net.Conn, error) {
					nc, err := dial4(dialCtx, network, addr)
					cancel()
					return nc, err
				}
			}
			_, err := newProvider(t, c).Send(ctx, message("ada@example.com"))
			require.ErrorIs(t, err, mailer.KindCanceled)
			require.ErrorIs(t, err, context.Canceled)
			require.Equal(t, at != ".", mailer.NotSent(err))
		})
	}
	t.Run("canceled before", func(t *testing.T) {
		s := play(t, func(p *peer) { p.serve(nil) })
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := newProvider(t, s.config()).Send(ctx, message("ada@example.com"))
		require.ErrorIs(t, err, mailer.KindCanceled)
		require.True(t, mailer.NotSent(err))
		require.Zero(t, s.conns.Load())
	})
	t.Run("while the server does not read", func(t *testing.T) {
		block := make(chan struct{})
		s := play(t, func(p *peer) {
			p.say("220 localhost ready")
			p.hear()
			p.say("250-localhost", "250 PIPELINING")
			for range 3 {
				p.hear()
			}
			p.say("250 OK", "250 OK", "354 go on")
			<-block
		})
		defer close(block)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		m := message("ada@example.com")
		m.Attachments = []mailer.Attachment{{Name: "big", Content: make([]byte, 30<<20)}}
		_, err := newProvider(t, s.config()).Send(ctx, m)
		require.ErrorIs(t, err, mailer.KindNetwork)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.True(t, mailer.NotSent(err))
	})
}

// hookConn calls f with everything that is written.
type hookConn struct {
	net.Conn
	f func(string)
}

func (c *hookConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.f(string(p))
	return n, err
}
