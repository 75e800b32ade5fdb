package sendgrid

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
)

// registration is the mail that most applications send most.
var registration = mailer.Message{
	ID:      "01HZX5J3A7",
	From:    mailer.Address{Name: "Example", Address: "hello@example.com"},
	To:      []mailer.Address{{Name: "Ada", Address: "ada@example.com"}},
	Subject: "Confirm your address",
	Text:    strings.Repeat("Please follow the link to confirm.\n", 20),
	HTML:    strings.Repeat(`<p class="a">Please follow the <a href="https://example.com/?a=1&b=2">link</a>.</p>`+"\n", 40),
}

// service answers every request with yes. It allocates nothing for one, so that
// what is counted is the client's.
func service(tb testing.TB) (url string) {
	answer := []byte("HTTP/1.1 202 Accepted\r\nX-Message-Id: Xj5LmNkWSOqRbdvOpR34BA\r\nContent-Length: 0\r\n\r\n")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	tb.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r := bufio.NewReader(c)
				for length := 0; ; {
					line, err := r.ReadSlice('\n')
					if err != nil {
						return
					}
					if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
						length = 0
						for _, c := range bytes.TrimSpace(value) {
							length = 10*length + int(c-'0')
						}
					}
					if len(line) == 2 {
						r.Discard(length)
						c.Write(answer)
					}
				}
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

func BenchmarkRequest(b *testing.B) {
	p, err := New(Config{APIKey: "SG.key"})
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Check(registration); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSend(b *testing.B) {
	p, err := New(Config{APIKey: "SG.key", BaseURL: service(b)})
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Send(b.Context(), registration); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBarePost is the floor under BenchmarkSend: a finished body, posted.
func BenchmarkBarePost(b *testing.B) {
	url := service(b)
	body := bytes.Repeat([]byte("x"), 5000)
	b.ReportAllocs()
	for b.Loop() {
		resp, err := http.Post(url+"/v3/mail/send", "application/json", bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}
