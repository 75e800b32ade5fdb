package smtp_test

import (
	"bufio"
	"context"
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
				stop := make(chan struct{})
				defer close(stop)
				f(&peer{Conn: c, br: bufio.NewReader(c), n: n, quit: quit, mails: &s.mails})
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		close(quit)
		wg.Wait()
	})
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
