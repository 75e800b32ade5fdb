package providertest

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// RoundTrip plays a service without a network, as the Transport of an
// [http.Client]. It closes the request's body.
type RoundTrip func(r *http.Request) (*http.Response, error)

// RoundTrip calls f.
func (f RoundTrip) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close()
	}
	return f(r)
}

// Client returns an HTTP client whose service answers each request with that
// status and that text. The body is nil for a request that has none.
func Client(answer func(r *http.Request, body []byte) (status int, text string)) *http.Client {
	return &http.Client{Transport: RoundTrip(func(r *http.Request) (*http.Response, error) {
		body, err := readBody(r)
		if err != nil {
			return nil, err
		}
		status, text := answer(r, body)
		return Answer{Status: status, Body: text}.response(r), nil
	})}
}

// Call is a call as it reached a service. The zero value is none.
type Call struct {
	URL    string
	Header http.Header
	Body   []byte // nil: the call has none
}

// Capture returns an HTTP client whose calls all get the answer, and where the last
// of them is kept. One goroutine may use it at a time.
func Capture(a Answer) (*http.Client, *Call) {
	c := new(Call)
	return &http.Client{Transport: RoundTrip(func(r *http.Request) (*http.Response, error) {
		body, err := readBody(r)
		if err != nil {
			return nil, err
		}
		*c = Call{URL: r.URL.String(), Header: r.Header, Body: body}
		return a.response(r), nil
	})}, c
}

func readBody(r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	return io.ReadAll(r.Body)
}

// response is the answer as a RoundTripper returns it.
func (a Answer) response(r *http.Request) *http.Response {
	resp := &http.Response{
		StatusCode: a.Status, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Request: r,
		ContentLength: int64(len(a.Body)), Body: io.NopCloser(strings.NewReader(a.Body)),
	}
	for k, v := range a.Header {
		resp.Header.Set(k, v)
	}
	return resp
}

// Loopback starts a service on loopback that gives every request the answer, and
// returns its URL. It speaks HTTP/1.1 in the clear, ends with the test, and allocates
// nothing for a request, so that what is counted meanwhile is the client's. A request
// has to say its Content-Length.
func Loopback(tb testing.TB, a Answer) (baseURL string) {
	answer := []byte(a.with("Date", "Mon, 02 Nov 2026 09:14:07 GMT").raw())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	tb.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go answerAll(c, answer)
		}
	}()
	return "http://" + l.Addr().String()
}

// answerAll answers the requests of one connection.
func answerAll(c net.Conn, answer []byte) {
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
		if len(line) == 2 { // the end of the header
			r.Discard(length)
			c.Write(answer)
		}
	}
}
