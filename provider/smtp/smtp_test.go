package smtp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
	gosmtp "github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/smtp"
)

// dialWithout is a Dial through which a server in clear does not offer a keyword.
func dialWithout(keyword string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial4(ctx, network, addr)
		return &deafConn{c, keyword}, err
	}
}

type deafConn struct {
	net.Conn
	keyword string
}

func (c *deafConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	copy(p, bytes.ReplaceAll(p[:n], []byte(c.keyword), bytes.Repeat([]byte("X"), len(c.keyword))))
	return n, err
}

// dial4 dials 127.0.0.1, whatever localhost means on this machine.
func dial4(ctx context.Context, network, addr string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	return d.DialContext(ctx, network, "127.0.0.1:"+port)
}

func TestSend(t *testing.T) {
	for _, tt := range []struct {
		name   string
		server *server
		change func(*smtp.Config)
		secure bool
	}{
		{"over STARTTLS with AUTH PLAIN", &server{}, nil, true},
		{"over STARTTLS with AUTH LOGIN", &server{mechanisms: []string{sasl.Login}}, nil, true},
		{"over TLS from the first byte", &server{implicit: true}, nil, true},
		{"in clear and without AUTH, when that is named", &server{mechanisms: []string{}}, func(c *smtp.Config) {
			c.TLS, c.Username, c.Password = smtp.InsecurePlaintext, "", ""
		}, false},
		{"in clear with AUTH to loopback", &server{tweak: func(s *gosmtp.Server) { s.AllowInsecureAuth = true }}, func(c *smtp.Config) {
			c.TLS = smtp.InsecurePlaintext
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := tt.server.start(t)
			var change []func(*smtp.Config)
			if tt.change != nil {
				change = append(change, tt.change)
			}
			p := newProvider(t, s.config(change...))
			m := message("ada@example.com", "bob@example.com")
			m.Cc = []mailer.Address{{Address: "cy@example.com"}}
			m.Bcc = []mailer.Address{{Address: "dee@example.com"}}
			for range 3 {
				r, err := p.Send(t.Context(), m)
				require.NoError(t, err)
				require.Equal(t, mailer.Receipt{ID: m.ID, Provider: "smtp", MessageID: m.ID}, r)
			}
			require.Equal(t, 1, s.connections(), "the connection is kept")
			got := s.got()
			require.Len(t, got, 3)
			for _, g := range got {
				require.Equal(t, tt.secure, g.secure)
				require.Equal(t, "orders@books.example", g.from)
				require.Equal(t, []string{"ada@example.com", "bob@example.com", "cy@example.com", "dee@example.com"}, g.to)
				require.NotContains(t, g.data, "dee@example.com")
				require.Contains(t, g.data, "Hello Ada,\r\n.\r\n.. and so on\r\n")
				require.Contains(t, g.data, "Message-ID: <01HZX5J3A7@books.example>\r\n")
			}
		})
	}
}

func TestSendToMany(t *testing.T) {
	s := (&server{}).start(t)
	p := newProvider(t, s.config())
	var to []string
	for i := range 2000 {
		to = append(to, fmt.Sprintf("recipient-number-%d@example.com", i))
	}
	_, err := p.Send(t.Context(), message(to...))
	require.NoError(t, err)
	require.Equal(t, to, s.got()[0].to)

	// Commands go out in groups that fit the buffers on the way: RFC 2920 §3.1.
	longest := 0
	in := play(t, func(p *peer) { p.serve(nil) })
	c := in.config()
	c.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := dial4(ctx, network, addr)
		return &hookConn{nc, func(s string) { longest = max(longest, len(s)) }}, err
	}
	_, err = newProvider(t, c).Send(t.Context(), mailer.Message{From: mailer.Address{Address: "a@books.example"}, Bcc: message(to...).To, Text: "x"})
	require.NoError(t, err)
	require.Greater(t, longest, 10_000)
	require.Less(t, longest, 17_000)
}

func TestSendNeverSpeaksInClear(t *testing.T) {
	t.Run("to a server without STARTTLS", func(t *testing.T) {
		s := (&server{tweak: func(s *gosmtp.Server) { s.TLSConfig = nil; s.AllowInsecureAuth = true }}).start(t)
		_, err := newProvider(t, s.config()).Send(t.Context(), message("ada@example.com"))
		require.ErrorIs(t, err, mailer.KindUnavailable)
		require.True(t, mailer.NotSent(err))
		require.ErrorContains(t, err, "STARTTLS")
	})
	t.Run("to a server with a certificate for another name", func(t *testing.T) {
		s := (&server{}).start(t)
		_, err := newProvider(t, s.config(func(c *smtp.Config) { c.Host = "mail.example.com" })).Send(t.Context(), message("ada@example.com"))
		require.ErrorIs(t, err, mailer.KindNetwork)
		require.True(t, mailer.NotSent(err))
		require.ErrorContains(t, err, "certificate")
		require.Empty(t, s.got())
	})
	t.Run("to a server whose certificate nobody signed", func(t *testing.T) {
		s := (&server{implicit: true}).start(t)
		_, err := newProvider(t, s.config(func(c *smtp.Config) { c.TLSConfig = nil })).Send(t.Context(), message("ada@example.com"))
		require.ErrorIs(t, err, mailer.KindNetwork)
		require.True(t, mailer.NotSent(err))
	})
}

func TestSendWithABadPassword(t *testing.T) {
	s := (&server{}).start(t)
	p := newProvider(t, s.config(func(c *smtp.Config) { c.Password = "wrong-horse" }))
	_, err := p.Send(t.Context(), message("ada@example.com"))
	require.ErrorIs(t, err, mailer.KindUnauthorized)
	require.True(t, mailer.NotSent(err))
	require.NotContains(t, err.Error(), "wrong-horse", "the server's words repeat the password")
	require.Contains(t, err.Error(), "bad credentials: [redacted]")
	require.ErrorIs(t, p.Verify(t.Context()), mailer.KindUnauthorized)
	require.NoError(t, newProvider(t, s.config()).Verify(t.Context()))
}

func TestSendWhenSomeRecipientsAreRefused(t *testing.T) {
	unknown := &gosmtp.SMTPError{Code: 550, EnhancedCode: gosmtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	later := &gosmtp.SMTPError{Code: 451, EnhancedCode: gosmtp.EnhancedCode{4, 3, 0}, Message: "later"}
	for _, pipelining := range []bool{true, false} {
		t.Run(fmt.Sprintf("pipelining %t", pipelining), func(t *testing.T) {
			s := (&server{mechanisms: []string{}, refuse: map[string]*gosmtp.SMTPError{"gone@example.com": unknown, "busy@example.com": later}}).start(t)
			p := newProvider(t, s.config(func(c *smtp.Config) {
				c.TLS, c.Username, c.Password = smtp.InsecurePlaintext, "", ""
				if !pipelining {
					c.Dial = dialWithout("PIPELINING")
				}
			}))

			r, err := p.Send(t.Context(), message("gone@example.com", "ada@example.com", "busy@example.com"))
			require.NoError(t, err)
			require.Equal(t, []mailer.Rejection{
				{Address: "gone@example.com", Err: &mailer.Error{
					Provider: "smtp", Kind: mailer.KindRecipient, NotSent: true, Field: "To[0]", Status: 550, Code: "5.1.1", Message: "no such user",
				}},
				{Address: "busy@example.com", Err: &mailer.Error{
					Provider: "smtp", Kind: mailer.KindUnavailable, NotSent: true, Field: "To[2]", Status: 451, Code: "4.3.0", Message: "later",
				}},
			}, r.Rejected)

			_, err = p.Send(t.Context(), message("busy@example.com", "gone@example.com"))
			require.ErrorIs(t, err, mailer.KindRecipient, "a recipient refused for good decides")
			require.True(t, mailer.NotSent(err))
			refused, _ := errors.AsType[*mailer.Error](err)
			require.Equal(t, []string{"gone@example.com"}, refused.Recipients, "one who is refused for now is not named")

			_, err = p.Send(t.Context(), message("bob@example.com"))
			require.NoError(t, err, "the connection is as good as before")
			require.Equal(t, 1, s.connections())
			got := s.got()
			require.Len(t, got, 2, "nothing was delivered for the message that nobody was to get")
			require.Equal(t, []string{"ada@example.com"}, got[0].to)
			require.Equal(t, []string{"bob@example.com"}, got[1].to)
		})
	}
}

func TestSendWhenTheMessageIsRefused(t *testing.T) {
	for _, tt := range []struct {
		at   string
		err  gosmtp.SMTPError
		kind mailer.Kind
	}{
		{"MAIL", gosmtp.SMTPError{Code: 553, EnhancedCode: gosmtp.EnhancedCode{5, 7, 1}, Message: "sender is not yours"}, mailer.KindSender},
		{"DATA", gosmtp.SMTPError{Code: 554, EnhancedCode: gosmtp.EnhancedCode{5, 7, 1}, Message: "spam"}, mailer.KindContent},
		{"DATA", gosmtp.SMTPError{Code: 451, EnhancedCode: gosmtp.EnhancedCode{4, 3, 0}, Message: "disk full"}, mailer.KindUnavailable},
	} {
		t.Run(fmt.Sprintf("at %s with %d", tt.at, tt.err.Code), func(t *testing.T) {
			s := (&server{refuse: map[string]*gosmtp.SMTPError{tt.at: &tt.err}}).start(t)
			p := newProvider(t, s.config())
			for range 2 {
				_, err := p.Send(t.Context(), message("ada@example.com"))
				require.ErrorIs(t, err, tt.kind)
				require.True(t, mailer.NotSent(err))
			}
			require.Equal(t, 1, s.connections())
			require.Empty(t, s.got())
		})
	}
}

func TestSendMailTooLargeForTheServer(t *testing.T) {
	s := (&server{tweak: func(s *gosmtp.Server) { s.MaxMessageBytes = 2000 }}).start(t)
	p := newProvider(t, s.config())
	m := message("ada@example.com")
	m.Text = strings.Repeat("x\n", 2000)
	_, err := p.Send(t.Context(), m)
	require.ErrorIs(t, err, mailer.KindTooLarge)
	require.True(t, mailer.NotSent(err))
	require.ErrorContains(t, err, "over the server's limit of 2000", "it is not even offered")
	_, err = p.Send(t.Context(), message("ada@example.com"))
	require.NoError(t, err)
}

func TestSendToALocalPartOutsideASCII(t *testing.T) {
	m := message("žofie@example.com")
	t.Run("through a server that takes it", func(t *testing.T) {
		s := (&server{tweak: func(s *gosmtp.Server) { s.EnableSMTPUTF8 = true }}).start(t)
		_, err := newProvider(t, s.config()).Send(t.Context(), m)
		require.NoError(t, err)
		require.True(t, s.got()[0].utf8)
		require.Equal(t, []string{"žofie@example.com"}, s.got()[0].to)
		require.Contains(t, s.got()[0].data, "To: žofie@example.com\r\n")
	})
	t.Run("through a server that does not", func(t *testing.T) {
		s := (&server{}).start(t)
		_, err := newProvider(t, s.config()).Send(t.Context(), m)
		var e *mailer.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, mailer.KindUnsupported, e.Kind)
		require.Equal(t, "To[0]", e.Field)
		require.True(t, e.NotSent)
		require.Empty(t, s.got())
	})
}
