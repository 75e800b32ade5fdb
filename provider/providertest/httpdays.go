package providertest

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed355143d4/mailer"
)

// httpDay is a Day and how the service brings it about, at one of these places.
type httpDay struct {
	Day
	dial   func(s *httpService) (net.Conn, error)                  // instead of connecting
	accept func(c net.Conn)                                        // instead of serving the connection
	begin  func(s *httpService, r *http.Request)                   // before the message is read
	answer func(s *httpService, q *Request) Answer                 // instead of accepting the message
	serve  func(s *httpService, w http.ResponseWriter, q *Request) // instead of answering
	silent bool                                                    // instead of answering
	tls    bool
}

// nobody is an address where nothing listens. A port that was just closed would
// not do: somebody else may get it.
const nobody = "127.0.0.1:1"

// Sizes of the answers that nobody should read to their end.
const (
	endless     = 100 << 20
	endlessRead = 32 << 20 // more than an honest reader and the sockets' buffers take
)

// Days are the bad days of HTTP and the service's own refusals.
func (p HTTP) Days() []Day {
	var days []Day
	for _, d := range p.days() {
		days = append(days, d.Day)
	}
	return days
}

// on is the peer for that day: some need TLS.
func (p HTTP) on(day string) HTTP {
	for _, d := range p.days() {
		if d.Name == day {
			p.tls = d.tls
		}
	}
	return p
}

func (p HTTP) days() []httpDay {
	network := []mailer.Kind{mailer.KindNetwork}
	unavailable := []mailer.Kind{mailer.KindUnavailable}
	unknown := []mailer.Kind{mailer.KindUnknown}
	limited := []mailer.Kind{mailer.KindRateLimited}
	garbled := []mailer.Kind{mailer.KindUnknown, mailer.KindNetwork}

	days := []httpDay{
		{
			Day:  Day{Name: "connection refused", Kinds: network, NotSent: Yes},
			dial: func(*httpService) (net.Conn, error) { return net.Dial("tcp", nobody) },
		},
		{
			Day: Day{Name: "name not found", Kinds: network, NotSent: Yes},
			dial: func(*httpService) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "relay.example", IsNotFound: true}}
			},
		},
		{
			Day: Day{Name: "TLS fails", Kinds: network, NotSent: Yes},
			tls: true,
			accept: func(c net.Conn) {
				readSome(c)
				io.WriteString(c, "220 this is not TLS\r\n")
				c.Close()
			},
		},
		{
			Day: Day{Name: "TLS breaks off", Kinds: network, NotSent: Yes},
			tls: true,
			accept: func(c net.Conn) {
				readSome(c)
				c.Close()
			},
		},
		{
			Day: Day{Name: "certificate not trusted", Kinds: network, NotSent: Yes},
			tls: true,
		},
		{
			Day:    Day{Name: "closed before a byte was read", Kinds: network, NotSent: Either, Check: checkWritten},
			accept: reset,
		},
		{
			Day: Day{Name: "closed after the first bytes", Kinds: network, NotSent: Either, Check: checkWritten},
			accept: func(c net.Conn) {
				readSome(c)
				reset(c)
			},
		},
		{
			Day:   Day{Name: "closed after the message was read", Kinds: network},
			serve: func(s *httpService, w http.ResponseWriter, _ *Request) { s.raw(w, "") },
		},
		{
			Day:   Day{Name: "a used connection closed after the message was read", Kinds: network, Used: true},
			serve: func(s *httpService, w http.ResponseWriter, _ *Request) { s.raw(w, "") },
		},
		{
			Day: Day{Name: "half an answer", Kinds: network},
			serve: func(s *httpService, w http.ResponseWriter, q *Request) {
				s.raw(w, s.good(*q).half())
			},
		},
		{
			Day: Day{Name: "an answer that is not HTTP", Kinds: network},
			serve: func(s *httpService, w http.ResponseWriter, _ *Request) {
				s.raw(w, "220 smtp.example ready\r\n")
			},
		},
		answers("a web page with status 200", html(200), Day{Kinds: unknown}),
		answers("a web page with status 408", html(408), Day{}),
		answers("a web page with status 502", html(502), Day{Kinds: unavailable}),
		answers("a web page with status 503", html(503), Day{Kinds: unavailable}),
		answers("a web page with status 504", html(504), Day{Kinds: unavailable}),
		answers("status 500 and no body", Answer{Status: 500}, Day{Kinds: unavailable}),
		{
			Day: Day{Name: "a web page that repeats the request", Kinds: unavailable},
			answer: func(_ *httpService, q *Request) Answer {
				a := html(502)
				a.Body = "<pre>" + q.verbatim + "</pre>"
				return a
			},
		},
	}
	days = append(days,
		httpDay{
			Day:   Day{Name: "silence before the message is read", Hangs: true, NotSent: Either, Check: checkWritten},
			begin: func(s *httpService, r *http.Request) { s.wait(r) },
		},
		httpDay{
			Day:   Day{Name: "silence while a large message is written", Hangs: true, Large: true, NotSent: Either, Check: checkWritten},
			begin: func(s *httpService, r *http.Request) { s.wait(r) },
		},
		httpDay{
			Day: Day{Name: "silence in the middle of the answer", Hangs: true, Asks: true},
			serve: func(s *httpService, w http.ResponseWriter, q *Request) {
				a := s.good(*q)
				c, rw, err := w.(http.Hijacker).Hijack()
				if err != nil {
					panic(err)
				}
				defer c.Close()
				if a.Body == "" {
					rw.WriteString(a.half())
				} else {
					raw := a.raw()
					rw.WriteString(raw[:len(raw)-len(a.Body)/2-1])
				}
				rw.Flush()
				c.Read(make([]byte, 1)) // until the client or the test closes it
			},
		},
	)
	days = append(days,
		httpDay{
			Day:    Day{Name: "silence over HTTP/2", Hangs: true, Asks: true},
			silent: true,
			tls:    true,
		},
		httpDay{
			Day:   Day{Name: "an HTTP/2 stream reset after the message was read", Kinds: network},
			tls:   true,
			serve: func(*httpService, http.ResponseWriter, *Request) { panic(http.ErrAbortHandler) },
		},
		httpDay{
			Day: Day{Name: "an HTTP/2 connection closed after the message was read", Used: true, Kinds: network},
			tls: true,
			serve: func(s *httpService, _ http.ResponseWriter, _ *Request) {
				s.cut()
				panic(http.ErrAbortHandler)
			},
		},
	)
	for _, status := range []int{301, 302, 303, 307, 308} {
		days = append(days, httpDay{
			Day: Day{Name: fmt.Sprintf("a redirect to another host with status %d", status), Check: checkElsewhere},
			answer: func(s *httpService, _ *Request) Answer {
				return Answer{Status: status, Header: map[string]string{"Location": "http://" + s.elsewhere.Addr().String() + "/taken"}}
			},
		})
	}
	days = append(days,
		answers("status 429 with seconds", JSON(429, "{}").with("Retry-After", "7"), Day{Kinds: limited, NotSent: Yes, RetryAfter: 7 * time.Second}),
		httpDay{
			Day: Day{Name: "status 429 with a date", Kinds: limited, NotSent: Yes, Check: checkRetryAfter(30*time.Second, 90*time.Second)},
			answer: func(*httpService, *Request) Answer {
				return JSON(429, "{}").with("Retry-After", time.Now().Add(90*time.Second).UTC().Format(http.TimeFormat))
			},
		},
		answers("status 429 with a date long ago", JSON(429, "{}").with("Retry-After", "Thu, 01 Jan 1970 00:00:10 GMT"), Day{Kinds: limited, NotSent: Yes, Check: checkRetryAfter(0, 0)}),
		answers("status 429 with negative seconds", JSON(429, "{}").with("Retry-After", "-5"), Day{Kinds: limited, NotSent: Yes, Check: checkRetryAfter(0, 0)}),
		answers("status 429 with centuries", JSON(429, "{}").with("Retry-After", "10000000000"), Day{Kinds: limited, NotSent: Yes, Check: checkHuge}),
		answers("status 429 with more digits than a number has", JSON(429, "{}").with("Retry-After", strings.Repeat("9", 40)), Day{Kinds: limited, NotSent: Yes, Check: checkHuge}),
		answers("status 429 with words", JSON(429, "{}").with("Retry-After", "soon"), Day{Kinds: limited, NotSent: Yes, Check: checkRetryAfter(0, 0)}),
		httpDay{
			Day: Day{Name: "an answer of 100 MB", Kinds: garbled, Check: func(t testing.TB, s Service, _ mailer.Receipt, _ error) {
				if n := s.(*httpService).answered.Load(); n > endlessRead {
					t.Errorf("%d bytes of the answer were read", n)
				}
			}},
			serve: func(s *httpService, w http.ResponseWriter, _ *Request) {
				w.Header().Set("Content-Type", "application/json")
				chunk := bytes.Repeat([]byte(" "), 64<<10)
				for n := 0; n < endless; n += len(chunk) {
					if _, err := w.Write(chunk); err != nil {
						return
					}
					s.answered.Add(int64(len(chunk)))
				}
			},
		},
		httpDay{
			Day: Day{Name: "an answer of 100 MB in a small gzip", Kinds: garbled, Check: func(t testing.TB, s Service, _ mailer.Receipt, _ error) {
				var now runtime.MemStats
				runtime.ReadMemStats(&now)
				if n := now.TotalAlloc - s.(*httpService).allocated.Load(); n > endless/2 {
					t.Errorf("%d bytes were allocated", n)
				}
			}},
			serve: func(s *httpService, w http.ResponseWriter, _ *Request) {
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("Content-Encoding", "gzip")
				bomb := gzipBomb()
				var now runtime.MemStats
				runtime.ReadMemStats(&now)
				s.allocated.Store(now.TotalAlloc)
				w.Write(bomb)
			},
		},
	)
	days = append(days, hollow()...)
	for i, d := range days {
		// Whether the other side can have read the message does not matter then.
		cautious := d.NotSent == Either
		days[i].Asks = d.Asks || !d.Hangs && !d.Used && !cautious
	}
	for _, r := range p.Refusals {
		d := Day{Kinds: []mailer.Kind{r.Kind}, RetryAfter: r.RetryAfter, Code: r.Code}
		if r.NotSent {
			d.NotSent = Yes
		}
		days = append(days, answers("refusal: "+r.Name, r.Answer, d))
	}
	if p.Partial != nil {
		days = append(days, httpDay{
			Day: Day{Name: "one of two recipients is refused", Taken: true, Rejected: []string{RefusedRecipient}},
			answer: func(s *httpService, q *Request) (a Answer) {
				a, q.MessageID = s.peer.Partial(*q)
				return a
			},
		}, answers("both recipients are refused", p.None, Day{Kinds: []mailer.Kind{mailer.KindRecipient}, NotSent: Yes}))
	}
	return days
}

// hollow are the answers that have the status of success and not its body. Of a
// service whose success has no body they are half an answer.
func hollow() []httpDay {
	garbled := []mailer.Kind{mailer.KindUnknown, mailer.KindNetwork}
	instead := func(name string, kinds []mailer.Kind, answer func(s *httpService, w http.ResponseWriter, a Answer)) httpDay {
		return httpDay{
			Day: Day{Name: name, Kinds: kinds},
			serve: func(s *httpService, w http.ResponseWriter, q *Request) {
				a := s.good(*q)
				if a.Body == "" {
					s.raw(w, a.half())
					return
				}
				answer(s, w, a)
			},
		}
	}
	days := []httpDay{
		instead("the answer of success, broken off in its body", []mailer.Kind{mailer.KindNetwork}, func(s *httpService, w http.ResponseWriter, a Answer) {
			raw := a.raw()
			s.raw(w, raw[:len(raw)-len(a.Body)/2-1])
		}),
		instead("the answer of success with half of its body", garbled, func(_ *httpService, w http.ResponseWriter, a Answer) {
			JSON(a.Status, a.Body[:len(a.Body)/2]).write(w)
		}),
	}
	for _, body := range []string{"", "{}", "[]", "null", `"OK"`, "[{}]", "\x00"} {
		days = append(days, instead(fmt.Sprintf("the status of success with the body %q", body), garbled, func(_ *httpService, w http.ResponseWriter, a Answer) {
			JSON(a.Status, body).write(w)
		}))
	}
	return days
}

// answers is a day on which everything gets the same answer.
func answers(name string, a Answer, d Day) httpDay {
	d.Name = name
	more := d.Check
	d.Check = func(t testing.TB, s Service, r mailer.Receipt, err error) {
		if e, _ := errors.AsType[*mailer.Error](err); e != nil && e.Status != a.Status {
			t.Errorf("Status is %d, the answer's %d", e.Status, a.Status)
		}
		if more != nil {
			more(t, s, r, err)
		}
	}
	return httpDay{Day: d, answer: func(*httpService, *Request) Answer { return a }}
}

func checkRetryAfter(from, to time.Duration) func(testing.TB, Service, mailer.Receipt, error) {
	return func(t testing.TB, _ Service, _ mailer.Receipt, err error) {
		e, _ := errors.AsType[*mailer.Error](err)
		if e != nil && (e.RetryAfter < from || e.RetryAfter > to) {
			t.Errorf("RetryAfter is %v, not from %v to %v", e.RetryAfter, from, to)
		}
	}
}

// checkHuge accepts "did not say" or a long time, not a number that wrapped.
func checkHuge(t testing.TB, _ Service, _ mailer.Receipt, err error) {
	e, _ := errors.AsType[*mailer.Error](err)
	if e != nil && e.RetryAfter != 0 && e.RetryAfter < time.Hour {
		t.Errorf("RetryAfter is %v", e.RetryAfter)
	}
}

// checkElsewhere fails if anybody followed the redirect.
func checkElsewhere(t testing.TB, s Service, _ mailer.Receipt, _ error) {
	if n := s.(*httpService).strayed.Load(); n != 0 {
		t.Errorf("the redirect was followed: the other host saw %d connections", n)
	}
}

// checkWritten fails if NotSent is claimed although the whole request went out.
func checkWritten(t testing.TB, s Service, _ mailer.Receipt, err error) {
	if mailer.NotSent(err) && s.(*httpService).wrote() {
		t.Errorf("NotSent is claimed, but the whole request was written: %v", err)
	}
}

// readSome waits for the first bytes.
func readSome(c net.Conn) {
	c.SetReadDeadline(time.Now().Add(guard))
	c.Read(make([]byte, 64))
}

// reset closes the connection with a reset.
func reset(c net.Conn) {
	if c, ok := c.(*countedConn); ok {
		if tcp, ok := c.Conn.(*net.TCPConn); ok {
			tcp.SetLinger(0)
		}
	}
	c.Close()
}

// gzipBomb is 100 MB of blanks, packed.
var gzipBomb = sync.OnceValue(func() []byte {
	var one bytes.Buffer
	z, _ := gzip.NewWriterLevel(&one, gzip.BestSpeed)
	z.Write(bytes.Repeat([]byte(" "), 4<<20))
	z.Close()
	return bytes.Repeat(one.Bytes(), endless/(4<<20)) // gzip members follow one another
})
