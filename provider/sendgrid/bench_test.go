package sendgrid

import (
	"bufio"
	"bytes"
	"encoding/json"
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
	answer := []byte("HTTP/1.1 202 Accepted\r\nX-Message-Id: Xj5LmNkWSOqRbdvOpR34BA\r\nDate: Mon, 02 Nov 2026 09:14:07 GMT\r\nContent-Length: 0\r\n\r\n")
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

// A registration mail is to cost no more than 70 allocations, of which some 64
// are those of net/http. How many these are depends on the answer's headers and on
// the race detector, so they are measured.
func TestAllocations(t *testing.T) {
	url := service(t)
	p, err := New(Config{APIKey: key, BaseURL: url})
	require.NoError(t, err)
	t.Run("of a request: the payload, the map of custom arguments, and the body", func(t *testing.T) {
		require.LessOrEqual(t, testing.AllocsPerRun(100, func() { p.Check(registration) }), 4.0)
	})
	t.Run("of a send, beside those of a bare POST", func(t *testing.T) {
		bare := testing.AllocsPerRun(300, func() { post(t, url) })
		send := testing.AllocsPerRun(300, func() { p.Send(t.Context(), registration) })
		require.LessOrEqual(t, send-bare, 8.0)
	})
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

// BenchmarkEncode is why the vendor's types are not marshalled by encoding/json.
func BenchmarkEncode(b *testing.B) {
	v3 := &newPayload(&registration).SGMailV3
	v3.CustomArgs = map[string]string{"mailer_id": registration.ID}
	b.Run("by hand", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			write(v3, 6000)
		}
	})
	b.Run("encoding/json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			json.Marshal(v3)
		}
	})
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

// BenchmarkBarePost is the floor under BenchmarkSend.
func BenchmarkBarePost(b *testing.B) {
	url := service(b)
	b.ReportAllocs()
	for b.Loop() {
		post(b, url)
	}
}

var finished = bytes.Repeat([]byte("x"), 5000)

// post posts a finished body.
func post(tb testing.TB, url string) {
	resp, err := http.Post(url+"/v3/mail/send", "application/json", bytes.NewReader(finished))
	if err != nil {
		tb.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
}
