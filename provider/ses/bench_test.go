package ses

import (
	"bufio"
	"bytes"
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

// service answers every request with yes. It allocates nothing for one, so that
// what is counted is the client's.
func service(tb testing.TB) (url string) {
	const body = `{"MessageId":"0100018f3c1a2b4d-5e6f7a8b-1111-2222-3333-444455556666-000000"}`
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Mon, 02 Nov 2026 09:14:07 GMT\r\nContent-Length: " +
		strconv.Itoa(len(body)) + "\r\n\r\n" + body)
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

// A file is encoded while it is hashed, and again while it is sent, so that it
// stands in memory as the caller's bytes only.
func TestLargeFileTakesNoMemory(t *testing.T) {
	const size = 10 << 20
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	p, err := New(with(service(t), &http.Client{Transport: transport}))
	require.NoError(t, err)
	m := registration
	m.Attachments = []mailer.Attachment{{Name: "a.bin", Content: make([]byte, size)}}
	result := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			if _, err := p.Send(b.Context(), m); err != nil {
				b.Fatal(err)
			}
		}
	})
	require.NotZero(t, result.N, "a message failed")
	require.Less(t, result.AllocedBytesPerOp(), int64(1<<20))
}

func BenchmarkRequest(b *testing.B) {
	p, err := New(key)
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Check(registration); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSend(b *testing.B) {
	p, err := New(with(service(b), nil))
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
	resp, err := http.Post(url+"/v2/email/outbound-emails", "application/json", bytes.NewReader(finished))
	if err != nil {
		tb.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
}
