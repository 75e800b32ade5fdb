package providertest

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
)

// Registration returns the mail that most applications send most: one recipient, a
// short text, and the same as HTML. Each call makes a new one.
func Registration() mailer.Message {
	return mailer.Message{
		ID:      "01HZX5J3A7",
		From:    mailer.Address{Name: "Example", Address: "hello@example.com"},
		To:      []mailer.Address{{Name: "Ada", Address: "ada@example.com"}},
		Subject: "Confirm your address",
		Text:    strings.Repeat("Please follow the link to confirm.\n", 20),
		HTML:    strings.Repeat(`<p class="a">Please follow the <a href="https://example.com/?a=1&b=2">link</a>.</p>`+"\n", 40),
	}
}

// Bench measures what an adapter over HTTP adds to what net/http costs anyway, by
// the message [Registration].
type Bench struct {
	// New makes a provider that talks to baseURL.
	New func(baseURL string) (mailer.Provider, error)
	// Path is where the service takes messages: "/v1/send".
	Path string
	// Answer is the one by which the service takes the message.
	Answer Answer
	// Check is the most allocations of Check, which makes the request. Send is the
	// most of Send beyond those of a bare POST.
	Check, Send float64
}

// Allocations requires that Check and Send allocate no more often than the Bench
// says. How often net/http does depends on the answer's headers, so that is measured.
// Under the race detector, which empties pools at random, it may be twice as often.
func (b Bench) Allocations(t *testing.T) {
	if raceEnabled {
		b.Check, b.Send = 2*b.Check, 2*b.Send
	}
	url, m := Loopback(t, b.Answer), Registration()
	p, err := b.New(url)
	require.NoError(t, err)
	_, err = p.Send(t.Context(), m)
	require.NoError(t, err)
	t.Run("of a request", func(t *testing.T) {
		check := p.(mailer.Checker).Check
		require.LessOrEqual(t, testing.AllocsPerRun(100, func() { check(m) }), b.Check)
	})
	t.Run("of a send, beside those of a bare POST", func(t *testing.T) {
		bare := testing.AllocsPerRun(300, func() { post(t, url+b.Path) })
		send := testing.AllocsPerRun(300, func() { p.Send(t.Context(), m) })
		require.LessOrEqual(t, send-bare, b.Send)
	})
}

// Run measures the time and the memory of the making of a request, of a send to a
// service on loopback, and of a bare POST, which is the floor under the send.
func (b Bench) Run(tb *testing.B) {
	url, m := Loopback(tb, b.Answer), Registration()
	p, err := b.New(url)
	require.NoError(tb, err)
	check := p.(mailer.Checker).Check
	for _, part := range []struct {
		name string
		do   func(tb *testing.B) error
	}{
		{"Request", func(*testing.B) error { return check(m) }},
		{"Send", func(tb *testing.B) error {
			_, err := p.Send(tb.Context(), m)
			return err
		}},
		{"BarePost", func(tb *testing.B) error {
			post(tb, url+b.Path)
			return nil
		}},
	} {
		tb.Run(part.name, func(tb *testing.B) {
			tb.ReportAllocs()
			for tb.Loop() {
				if err := part.do(tb); err != nil {
					tb.Fatal(err)
				}
			}
		})
	}
}

// finished is a request of about the size of Registration's.
var finished = bytes.Repeat([]byte("x"), 5000)

// post posts a finished body.
func post(tb testing.TB, url string) {
	resp, err := http.Post(url, "application/json", bytes.NewReader(finished))
	if err != nil {
		tb.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
}
