package smtp_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/smtp"
)

func TestNewRefusesABadConfig(t *testing.T) {
	good := smtp.Config{Host: "mail.example.com", Username: "app", Password: "secret-word"}
	_, err := smtp.New(good)
	require.NoError(t, err)
	for field, change := range map[string]func(*smtp.Config){
		"Host is empty":             func(c *smtp.Config) { c.Host = "" },
		"Host is not":               func(c *smtp.Config) { c.Host = "mail.example.com:25" },
		"Host is not a host name":   func(c *smtp.Config) { c.Host = "mail example" },
		"Port":                      func(c *smtp.Config) { c.Port = 65536 },
		"Port is not in":            func(c *smtp.Config) { c.Port = -1 },
		"TLS":                       func(c *smtp.Config) { c.TLS = 3 },
		"Username is empty":         func(c *smtp.Config) { c.Username = "" },
		"Password is empty":         func(c *smtp.Config) { c.Password = "" },
		"Username has":              func(c *smtp.Config) { c.Username = "a\x00b" },
		"Password has":              func(c *smtp.Config) { c.Password = "secret-word\n" },
		"Password would go in":      func(c *smtp.Config) { c.TLS = smtp.InsecurePlaintext },
		"LocalName":                 func(c *smtp.Config) { c.LocalName = "me.example.com XCLIENT ADDR=192.0.2.1" },
		"LocalName is not":          func(c *smtp.Config) { c.LocalName = "me\r\nMAIL FROM:<a@example.com>" },
		"LocalName is not a":        func(c *smtp.Config) { c.LocalName = "[192.0.2.1" },
		"LocalName is not a domain": func(c *smtp.Config) { c.LocalName = "[2001:db8::1]" },
		"Timeout":                   func(c *smtp.Config) { c.Timeout = -1 },
		"MaxConns":                  func(c *smtp.Config) { c.MaxConns = -1 },
		"MaxMessages":               func(c *smtp.Config) { c.MaxMessages = -1 },
	} {
		t.Run(field, func(t *testing.T) {
			c := good
			change(&c)
			_, err := smtp.New(c)
			require.ErrorContains(t, err, "smtp: Config."+field)
			require.NotContains(t, err.Error(), "secret-word")
		})
	}
	_, err = smtp.New(smtp.SES("", "AKIAEXAMPLE", "secret"))
	require.ErrorContains(t, err, "Host", "a region is missing")
	for _, host := range []string{"localhost", "127.0.0.1", "::1", "[::1]", "LOCALHOST"} {
		c := good
		c.Host, c.TLS = host, smtp.InsecurePlaintext
		_, err := smtp.New(c)
		require.NoError(t, err, host)
	}
	for _, name := range []string{"app.example.com", "[192.0.2.1]", "[IPv6:2001:db8::1]", "app_1"} {
		c := good
		c.LocalName = name
		_, err := smtp.New(c)
		require.NoError(t, err, name)
	}
}

func TestParse(t *testing.T) {
	for url, want := range map[string]smtp.Config{
		"smtp://mail.example.com":                       {Host: "mail.example.com"},
		"smtp://app:secret@mail.example.com:2525/":      {Host: "mail.example.com", Port: 2525, Username: "app", Password: "secret"},
		"smtps://app%40example.com:p%40ss%2Fw%25@h:465": {Host: "h", Port: 465, TLS: smtp.Implicit, Username: "app@example.com", Password: "p@ss/w%"},
		"smtps://a:b:c@[::1]":                           {Host: "::1", TLS: smtp.Implicit, Username: "a", Password: "b:c"},
		"smtp+insecure://localhost:1025":                {Host: "localhost", Port: 1025, TLS: smtp.InsecurePlaintext},
		"SMTP://a:%20%2B+@mail.example.com":             {Host: "mail.example.com", Username: "a", Password: " ++"},
	} {
		got, err := smtp.Parse(url)
		require.NoError(t, err, url)
		require.Equal(t, want, got, url)
	}
	for _, url := range []string{
		"", "mail.example.com:25", "http://a:hunter2@h", "smtp://", "smtp://a:hunter2@:25", "smtp:h", "smtp://a:hunter2@h:0", "smtp://a:hunter2@h:99999",
		"smtp://a:hunter2@h:x", "smtp://a:hunter2%zz@h", "smtp://a:hunter2@h/x", "smtp://a:hunter2@h?tls=off", "smtp://a:hunter2@h?", "smtp://a:hunter2#x@h", "smtp://a:hunter2@h#", "smtp://a:hunter2@h\x7f",
	} {
		_, err := smtp.Parse(url)
		require.Error(t, err, url)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func TestDefaultPorts(t *testing.T) {
	for mode, port := range map[smtp.TLS]string{smtp.StartTLS: "587", smtp.Implicit: "465", smtp.InsecurePlaintext: "25"} {
		var got string
		p := newProvider(t, smtp.Config{Host: "localhost", TLS: mode, Dial: func(_ context.Context, _, addr string) (net.Conn, error) {
			got = addr
			return nil, net.ErrClosed
		}})
		_, err := p.Send(t.Context(), message("ada@example.com"))
		require.ErrorIs(t, err, mailer.KindNetwork)
		require.True(t, mailer.NotSent(err))
		require.Equal(t, "localhost:"+port, got)
	}
}

func TestNothingPrintsThePassword(t *testing.T) {
	c := smtp.Config{Host: "mail.example.com", Username: "app-user", Password: "hunter2"}
	p := newProvider(t, c)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "config", c, "pointer", &c, "provider", p)
	for _, s := range []string{fmt.Sprintf("%v %+v %#v %s %q", c, c, c, c, c), fmt.Sprintf("%v %+v %#v", &c, &c, &c), fmt.Sprintf("%v %+v %#v %s", p, p, p, p), log.String()} {
		require.NotContains(t, s, "hunter2")
		require.NotContains(t, s, "app-user")
	}
	require.Contains(t, fmt.Sprint(c), "mail.example.com")
	require.Equal(t, "smtp", fmt.Sprint(p))
}

func TestCheck(t *testing.T) {
	p := newProvider(t, smtp.Config{Host: "mail.example.com", Dial: func(context.Context, string, string) (net.Conn, error) {
		t.Error("Check or a refused Send has dialed")
		return nil, net.ErrClosed
	}})
	require.NoError(t, p.Check(message("ada@example.com")))
	require.NoError(t, p.Check(message("žofie@bücher.example")))
	for field, change := range map[string]func(*mailer.Message){
		"Template.ID": func(m *mailer.Message) { m.Text, m.HTML, m.Template.ID = "", "", "welcome" },
		"SendAt":      func(m *mailer.Message) { m.SendAt = time.Now().Add(time.Hour) },
		"To[0]":       func(m *mailer.Message) { m.To[0].Address = "ada@example.com> ORCPT=rfc822;eve@example.com" },
		"From":        func(m *mailer.Message) { m.From.Address = "a@example.com\r\nRCPT TO:<eve@example.com>" },
	} {
		m := message("ada@example.com")
		change(&m)
		err := p.Check(m)
		var e *mailer.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, field, e.Field)
		require.True(t, e.NotSent)
		_, sent := p.Send(t.Context(), m)
		require.Equal(t, err, sent)
	}
}

func TestReceiptNamesWhatWasDropped(t *testing.T) {
	s := play(t, func(p *peer) { p.serve(nil) })
	m := message("ada@example.com")
	m.Tags, m.Metadata = []string{"order", "eu"}, map[string]string{"plan": "pro", "a": "b"}
	m.Track = mailer.Tracking{Opens: mailer.On, Clicks: mailer.Off}
	r, err := newProvider(t, s.config()).Send(t.Context(), m)
	require.NoError(t, err)
	require.Equal(t, []string{"Tags[0]", "Tags[1]", `Metadata["a"]`, `Metadata["plan"]`, "Track.Opens", "Track.Clicks"}, r.Dropped)
}

// TestRelays sends through each relay's own Config to a server that stands in for
// it: by name, certificate and credentials.
func TestRelays(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config smtp.Config
		addr   string
		user   string
		pass   string
		answer string
		id     string // in the receipt
		header string
	}{
		{"Postmark", smtp.Postmark("token"), "smtp.postmarkapp.com:587", "token", "token", "250 2.0.0 Ok: queued as 4XyZ", "", "X-PM-KeepID: true"},
		{"Postmark, in events", smtp.Postmark("token"), "smtp.postmarkapp.com:587", "token", "token", "250 OK", "", "X-PM-Metadata-mailer_id: 01HZX5J3A7"},
		{"Postmark, broadcast", smtp.PostmarkBroadcast("token"), "smtp-broadcasts.postmarkapp.com:587", "token", "token", "250 OK", "", "X-PM-Metadata-mailer_id: 01HZX5J3A7"},
		{"SES", smtp.SES("eu-west-1", "AKIAEXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), "email-smtp.eu-west-1.amazonaws.com:587", "AKIAEXAMPLE", "BMW5RDrXmmVs0lV7GpI4oLkHXpZ4stDsk6q91z1g38Pk", "250 Ok 0100018f3c1a2b4d-5e6f-000000", "0100018f3c1a2b4d-5e6f-000000", "X-SES-MESSAGE-TAGS: mailer_id=01HZX5J3A7"},
		{"SES with an answer that holds no id", smtp.SES("eu-west-1", "AKIAEXAMPLE", "secret"), "email-smtp.eu-west-1.amazonaws.com:587", "AKIAEXAMPLE", "", "250 Ok", "", "X-SES-MESSAGE-TAGS: mailer_id=01HZX5J3A7"},
		{"SendGrid", smtp.SendGrid("SG.key"), "smtp.sendgrid.net:587", "apikey", "SG.key", "250 Ok: queued as Xj5LmNkWSOqRbdvOpR34BA", "Xj5LmNkWSOqRbdvOpR34BA", `X-SMTPAPI: {"unique_args":{"mailer_id":"01HZX5J3A7"}}`},
		{"SendGrid, EU", smtp.SendGridEU("SG.key"), "smtp.eu.sendgrid.net:587", "apikey", "SG.key", "250 Ok: queued as Xj5L mN", "", `X-SMTPAPI: {"unique_args":{"mailer_id":"01HZX5J3A7"}}`},
		{"SocketLabs", smtp.SocketLabs("server1", "pw"), "smtp.socketlabs.com:587", "server1", "pw", "250 OK", "", "X-xsMessageId: 01HZX5J3A7"},
		{"Mailjet", smtp.Mailjet("key", "secret"), "in-v3.mailjet.com:587", "key", "secret", "250 OK queued as 5d4710f5", "", "X-MJ-CustomID: 01HZX5J3A7"},
		{"Elastic Email", smtp.ElasticEmail("ada@example.com", "pw"), "smtp.elasticemail.com:2525", "ada@example.com", "pw", "250 OK", "", "X-ElasticEmail-Postback: 01HZX5J3A7"},
		{"SMTP2GO", smtp.SMTP2GO("user", "pw"), "mail.smtp2go.com:2525", "user", "pw", "250 OK id=1u0SwL-abc", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.user, tt.config.Username)
			if tt.pass != "" {
				require.Equal(t, tt.pass, tt.config.Password)
			}
			cert, roots := certificate(t, tt.config.Host)
			var data []string
			s := play(t, func(p *peer) {
				p.say("220 relay ready")
				p.hear()
				p.say("250-relay", "250 STARTTLS")
				p.hear()
				p.say("220 go on")
				p.secure(cert)
				p.hear()
				p.say("250-relay", "250-PIPELINING", "250 AUTH LOGIN PLAIN")
				p.hear()
				p.say("235 welcome")
				for range 3 {
					p.hear()
				}
				p.say("250 OK", "250 OK", "354 go on")
				for {
					line := p.hear()
					if line == "." || line == "" && len(data) > 0 && data[len(data)-1] == "" {
						break
					}
					data = append(data, line)
				}
				p.say(tt.answer)
				p.hear()
			})
			c := tt.config
			c.TLSConfig = &tls.Config{RootCAs: roots}
			c.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				require.Equal(t, tt.addr, addr)
				return dial4(ctx, network, s.addr.String())
			}
			p := newProvider(t, c)
			r, err := p.Send(t.Context(), message("ada@example.com"))
			require.NoError(t, err)
			want := tt.id
			if want == "" {
				want = "01HZX5J3A7"
			}
			require.Equal(t, want, r.MessageID)
			require.Equal(t, "01HZX5J3A7", r.ID)
			require.NoError(t, p.Close())
			s.stop()
			if tt.header != "" {
				require.Contains(t, data, tt.header)
			} else {
				require.NotContains(t, strings.ToLower(strings.Join(data, "\n")), "\nx-")
			}
		})
	}
	t.Run("a header line of the message's own stays alone", func(t *testing.T) {
		m := message("ada@example.com")
		m.Headers = map[string]string{"x-smtpapi": `{"category":"order"}`}
		p := newProvider(t, smtp.SendGrid("SG.key"))
		require.NoError(t, p.Check(m))
		header := smtp.CarriedHeader(p, m)
		require.Empty(t, header)
		require.NotEmpty(t, smtp.CarriedHeader(p, message("ada@example.com")))
		m.Headers = map[string]string{"x-pm-keepid": "false"}
		require.Len(t, smtp.CarriedHeader(newProvider(t, smtp.Postmark("token")), m), 1, "the other line still goes")
	})
}
