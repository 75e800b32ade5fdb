package smtp_test

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/smtp"
)

// FuzzServer lets a server say anything. Send must not panic or hang; it may
// succeed only if there was a yes to every step; and it may call the outcome
// unknown only if there was one to every step before the mail.
func FuzzServer(f *testing.F) {
	const good = "220 x\r\n250-x\r\n250 PIPELINING\r\n250 from\r\n250 to\r\n354 go on\r\n250 2.0.0 taken\r\n"
	f.Add(good)
	f.Add("220 x\r\n250 x\r\n250 from\r\n250 to\r\n354 go on\r\n")
	f.Add("220-x\r\n220 x\r\n250-x\r\n250-SIZE 99\r\n250-AUTH PLAIN\r\n250 PIPELINING SMTPUTF8\r\n550 5.1.1 x\r\n550\r\n354\r\n250\r\n")
	f.Add("220 x\n250 x\n421 4.4.2 bye\n")
	f.Add("220 x\r\n250-PIPELINING\r\n250 x\r\n250 from\r\n550 no\r\n354 go on\r\n250 odd\r\n")
	f.Fuzz(func(t *testing.T, says string) {
		p, err := smtp.New(smtp.Config{
			Host: "localhost", TLS: smtp.InsecurePlaintext, IdleTimeout: -1,
			Dial: func(context.Context, string, string) (net.Conn, error) {
				return &parrot{says: strings.NewReader(says)}, nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.Send(t.Context(), message("ada@example.com"))
		yes, goOn := 0, 0
		for line := range strings.SplitSeq(says, "\n") {
			switch {
			case len(line) < 3 || line[3:] != "" && line[3] == '-':
			case line[0] == '2':
				yes++
			case line[0] == '3':
				goOn++
			}
		}
		switch {
		case err == nil && (yes < 5 || goOn < 1):
			t.Fatalf("sent, after %q", says)
		case err != nil && !mailer.NotSent(err) && (yes < 4 || goOn < 1):
			t.Fatalf("unknown, after %q: %v", says, err)
		case err != nil && strings.ContainsAny(err.Error(), "\r\n\x00"):
			t.Fatalf("%q", err.Error())
		}
	})
}

// parrot is a connection to a server that does not listen.
type parrot struct{ says io.Reader }

func (p *parrot) Read(b []byte) (int, error)       { return p.says.Read(b) }
func (p *parrot) Write(b []byte) (int, error)      { return len(b), nil }
func (p *parrot) Close() error                     { return nil }
func (p *parrot) LocalAddr() net.Addr              { return nil }
func (p *parrot) RemoteAddr() net.Addr             { return nil }
func (p *parrot) SetDeadline(time.Time) error      { return nil }
func (p *parrot) SetReadDeadline(time.Time) error  { return nil }
func (p *parrot) SetWriteDeadline(time.Time) error { return nil }
