package mailjet

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strconv"
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

// yes is the answer to it.
const yes = `{"Messages":[{"Status":"success","CustomID":"01HZX5J3A7","To":[{"Email":"ada@example.com",` +
	`"MessageUUID":"5d4710f5-9aff-4ff8-9d7e-1f0cf9125019","MessageID":1152921540123456789,` +
	`"MessageHref":"https://api.mailjet.com/v3/REST/message/1152921540123456789"}],"Cc":[],"Bcc":[]}]}`

// service answers every request with yes. It allocates nothing for one, so that
// what is counted is the client's.
func service(tb testing.TB) (url string) {
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Mon, 02 Nov 2026 09:14:07 GMT\r\nContent-Length: " +
		strconv.Itoa(len(yes)) + "\r\n\r\n" + yes)
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

// A registration mail is to cost no more than 70 allocations, of which some 62
// are those of net/http. How many these are depends on the answer's headers and on
// the race detector, so they are measured.
func TestAllocations(t *testing.T) {
	url := service(t)
	p, err := New(Config{APIKey: apiKey, SecretKey: secretKey, BaseURL: url})
	require.NoError(t, err)
	t.Run("of a request: one, the body aside", func(t *testing.T) {
		require.LessOrEqual(t, testing.AllocsPerRun(100, func() { p.Check(registration) }), 1.0)
	})
	t.Run("of a send, beside those of a bare POST", func(t *testing.T) {
		bare := testing.AllocsPerRun(300, func() { post(t, url) })
		send := testing.AllocsPerRun(300, func() { p.Send(t.Context(), registration) })
		// Each level of the answer is checked to be JSON, with scanners from a pool
		// that is full but under the race detector.
		answer := []byte(yes)
		checks := testing.AllocsPerRun(300, func() {
			for range 7 {
				json.Valid(answer)
			}
		})
		require.LessOrEqual(t, send-bare, 8+checks)
	})
}

func BenchmarkRequest(b *testing.B) {
	p, err := New(keys)
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Check(registration); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSend(b *testing.B) {
	p, err := New(Config{APIKey: apiKey, SecretKey: secretKey, BaseURL: service(b)})
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
	resp, err := http.Post(url+"/v3.1/send", "application/json", bytes.NewReader(finished))
	if err != nil {
		tb.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
}
