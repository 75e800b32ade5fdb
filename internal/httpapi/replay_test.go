package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/seed355143d4/mailer"
)

// h2 is the server's end of an HTTP/2 connection.
type h2 struct {
	net.Conn
	*http2.Framer
}

// serveH2 hands every connection to handle, once the client has said that it
// speaks HTTP/2.
func serveH2(t *testing.T, handle func(n int, c h2)) *raw {
	cfg := &tls.Config{Certificates: certificate, NextProtos: []string{"h2"}}
	return serve(t, cfg, func(n int, c net.Conn) { handshakeH2(c, func(c h2) { handle(n, c) }) })
}

func handshakeH2(c net.Conn, handle func(h2)) {
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(c, preface); err != nil || string(preface) != http2.ClientPreface {
		return
	}
	f := http2.NewFramer(c, c)
	f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30})
	f.WriteWindowUpdate(0, 1<<30)
	handle(h2{c, f})
}

// readRequest reads a request to its end. It returns the stream and the length of
// the body.
func (c h2) readRequest() (stream uint32, length int, err error) {
	for {
		frame, err := c.ReadFrame()
		if err != nil {
			return 0, 0, err
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				c.WriteSettingsAck()
			}
		case *http2.PingFrame:
			c.WritePing(true, frame.Data)
		case *http2.DataFrame:
			length += len(frame.Data())
			if frame.StreamEnded() {
				return frame.StreamID, length, nil
			}
		}
	}
}

// answer answers 200.
func (c h2) answer(stream uint32) {
	var b bytes.Buffer
	hpack.NewEncoder(&b).WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
	c.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: b.Bytes(), EndHeaders: true, EndStream: true})
}

// A service that read a request may have sent the mail. So it never gets the
// request again, unless it says in HTTP/2's words that it did not look at it.
func TestARequestThatWasReadIsMadeAgainOnlyIfHTTP2AllowsIt(t *testing.T) {
	type end func(c h2, stream uint32, s *raw)
	hangUp := func(c h2, _ uint32, _ *raw) { c.Close() }
	reset := func(code http2.ErrCode) end {
		return func(c h2, stream uint32, _ *raw) { c.WriteRSTStream(stream, code) }
	}
	covers := func(code http2.ErrCode) end {
		return func(c h2, stream uint32, _ *raw) { c.WriteGoAway(stream, code, []byte("REFUSED_STREAM")); c.Close() }
	}
	// below says that the request was not looked at. Here it was read, which a
	// service may do, and whoever sends the mail then breaks the protocol.
	below := func(code http2.ErrCode) end {
		return func(c h2, stream uint32, _ *raw) { c.WriteGoAway(stream-1, code, nil); c.Close() }
	}
	// shut leaves no way to make the request again, on this connection or another.
	shut := func(next end) end {
		return func(c h2, stream uint32, s *raw) {
			s.ln.Close()
			c.WriteGoAway(stream, http2.ErrCodeNo, nil)
			next(c, stream, s)
		}
	}
	const ok, unknown, no = "sent", "unknown", "not sent"
	for name, tc := range map[string]struct {
		ends  []end // of the first requests; the later ones are answered
		got   int   // how often the service reads the request
		want  string
		fresh string // want, if the request is the first of its connection and nothing else precedes it
		check error
	}{
		"closed":                         {ends: []end{hangUp}, got: 1, want: unknown},
		"GOAWAY that covers it":          {ends: []end{covers(http2.ErrCodeNo)}, got: 1, want: unknown},
		"GOAWAY that covers it, error":   {ends: []end{covers(http2.ErrCodeInternal)}, got: 1, want: unknown},
		"reset, PROTOCOL_ERROR":          {ends: []end{reset(http2.ErrCodeProtocol)}, got: 1, want: unknown},
		"reset, INTERNAL_ERROR":          {ends: []end{reset(http2.ErrCodeInternal)}, got: 1, want: unknown},
		"reset, CANCEL":                  {ends: []end{reset(http2.ErrCodeCancel)}, got: 1, want: unknown},
		"reset, NO_ERROR":                {ends: []end{reset(http2.ErrCodeNo)}, got: 1, want: unknown},
		"reset, ENHANCE_YOUR_CALM":       {ends: []end{reset(http2.ErrCodeEnhanceYourCalm)}, got: 1, want: unknown},
		"reset, HTTP_1_1_REQUIRED":       {ends: []end{reset(http2.ErrCodeHTTP11Required)}, got: 1, want: unknown},
		"refused":                        {ends: []end{reset(http2.ErrCodeRefusedStream)}, got: 2, want: ok},
		"refused twice":                  {ends: []end{reset(http2.ErrCodeRefusedStream), reset(http2.ErrCodeRefusedStream)}, got: 3, want: ok},
		"refused for ever":               {ends: []end{reset(http2.ErrCodeRefusedStream), reset(http2.ErrCodeRefusedStream), reset(http2.ErrCodeRefusedStream), reset(http2.ErrCodeRefusedStream)}, got: 3, want: no},
		"refused, then closed":           {ends: []end{reset(http2.ErrCodeRefusedStream), hangUp}, got: 2, want: unknown},
		"refused, then PROTOCOL_ERROR":   {ends: []end{reset(http2.ErrCodeRefusedStream), reset(http2.ErrCodeProtocol)}, got: 2, want: unknown},
		"refused, and nobody is there":   {ends: []end{shut(reset(http2.ErrCodeRefusedStream))}, got: 1, want: no, check: syscall.ECONNREFUSED},
		"GOAWAY below it":                {ends: []end{below(http2.ErrCodeNo)}, got: 2, want: ok},
		"GOAWAY below it, error":         {ends: []end{below(http2.ErrCodeEnhanceYourCalm)}, got: 2, want: ok, fresh: no},
		"GOAWAY below it, then closed":   {ends: []end{below(http2.ErrCodeNo), hangUp}, got: 2, want: unknown},
		"GOAWAY below it, nobody there":  {ends: []end{shut(below(http2.ErrCodeNo))}, got: 1, want: no, check: syscall.ECONNREFUSED},
		"GOAWAY below it on all of them": {ends: []end{below(http2.ErrCodeNo), below(http2.ErrCodeNo), below(http2.ErrCodeNo), below(http2.ErrCodeNo)}, got: 3, want: no},
	} {
		for warm, before := range map[string]int64{"": 0, ", on a kept connection": 1} {
			for size, body := range map[string]Body{"": smallBody, ", large": Bytes(make([]byte, 3*inMemory))} {
				t.Run(name+warm+size, func(t *testing.T) {
					var requests atomic.Int64
					s := (*raw)(nil)
					ready := make(chan struct{})
					s = serveH2(t, func(_ int, c h2) {
						<-ready
						for {
							stream, length, err := c.readRequest()
							if err != nil {
								return
							}
							n := int(requests.Add(1) - before - 1)
							if int64(length) != body.size {
								t.Errorf("%d bytes of %d", length, body.size)
							}
							if n < 0 || n >= len(tc.ends) {
								c.answer(stream)
								continue
							}
							tc.ends[n](c, stream, s)
						}
					})
					close(ready)
					c := client(t, s.url, nil)
					for range before {
						_, err := c.Do(t.Context(), "POST", "/", body)
						require.NoError(t, err)
					}
					want, got := tc.want, tc.got
					if tc.fresh != "" && before == 0 {
						want, got = tc.fresh, 1
					}
					resp, err := c.Do(t.Context(), "POST", "/", body)
					require.EqualValues(t, got, requests.Load()-before, "how often it was read")
					if want == ok {
						require.NoError(t, err)
						require.Equal(t, 200, resp.Status)
						return
					}
					require.Equal(t, mailer.KindNetwork, mailer.KindOf(err))
					require.Equal(t, want == no, mailer.NotSent(err), "%v", err)
					if tc.check != nil {
						require.ErrorIs(t, err, tc.check)
					}
				})
			}
		}
	}
}

// A request that was not read to its end is not a mail to anyone, whatever ends it.
func TestAHalfReadRequestIsNotSentOverHTTP2(t *testing.T) {
	for name, code := range map[string]http2.ErrCode{
		"PROTOCOL_ERROR": http2.ErrCodeProtocol, "REFUSED_STREAM": http2.ErrCodeRefusedStream, "CANCEL": http2.ErrCodeCancel,
	} {
		t.Run(name, func(t *testing.T) {
			s := serveH2(t, func(_ int, c h2) {
				c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 10})
				for {
					frame, err := c.ReadFrame()
					if err != nil {
						return
					}
					if frame, ok := frame.(*http2.DataFrame); ok {
						c.WriteRSTStream(frame.StreamID, code)
					}
				}
			})
			_, err := client(t, s.url, nil).Do(t.Context(), "POST", "/", largeBody)
			require.Equal(t, mailer.KindNetwork, mailer.KindOf(err))
			require.True(t, mailer.NotSent(err), "%v", err)
		})
	}
}

// dying is a connection that breaks when it should write, once told to.
type dying struct {
	net.Conn
	dead *atomic.Bool
}

func (c dying) Write(p []byte) (int, error) {
	if c.dead.Load() {
		return 0, syscall.EPIPE
	}
	return c.Conn.Write(p)
}

// A service closes its kept connections when it restarts, and a request may meet one
// before the end of it was noticed.
func TestAKeptConnectionThatEndedBeforeTheRequest(t *testing.T) {
	for size, body := range map[string]Body{"small": smallBody, "large": largeBody} {
		for name, tc := range map[string]struct {
			none  bool  // no other connection can be made
			dead  bool  // it breaks, too
			wrap  bool  // the transport stands behind a RoundTripper of the user's
			dials int64 // in all
			check error // nil: sent
		}{
			"is replaced":                          {dials: 2},
			"is replaced under middleware":         {dials: 2, wrap: true},
			"is not sent if there is none instead": {none: true, dials: 2, check: syscall.EHOSTUNREACH},
			"is not replaced by more than one":     {dead: true, dials: 2, check: syscall.EPIPE},
		} {
			t.Run(name+", "+size, func(t *testing.T) {
				var requests atomic.Int64
				s := serve(t, nil, func(_ int, c net.Conn) {
					r := bufio.NewReader(c)
					for {
						if _, _, err := readRequest(r); err != nil {
							return
						}
						requests.Add(1)
						io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
					}
				})
				tr := transport(t)
				var old, young atomic.Bool
				var dials atomic.Int64
				tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
					dialed := dials.Add(1)
					if dialed > 1 && tc.none {
						return nil, syscall.EHOSTUNREACH
					}
					conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
					if dialed == 1 {
						return dying{conn, &old}, err
					}
					return dying{conn, &young}, err
				}
				c := client(t, s.url, tr)
				if tc.wrap {
					c = client(t, s.url, roundTripper(tr.RoundTrip))
				}
				_, err := c.Do(t.Context(), "POST", "/", body)
				require.NoError(t, err)
				old.Store(true)
				young.Store(tc.dead)
				_, err = c.Do(t.Context(), "POST", "/", body)
				require.Equal(t, tc.dials, dials.Load())
				if tc.check == nil {
					require.NoError(t, err)
					require.EqualValues(t, 2, requests.Load())
					return
				}
				require.ErrorIs(t, err, tc.check)
				// Of a new connection net/http does not tell that nothing was written.
				require.Equal(t, !tc.dead || size == "large", mailer.NotSent(err), "%v", err)
				require.EqualValues(t, 1, requests.Load())
			})
		}
	}
}

func TestKeptConnectionsThatAllEndedAreNotTriedOneByOne(t *testing.T) {
	const kept = 2 * (repeats + 1)
	var together sync.WaitGroup
	together.Add(kept)
	s := serve(t, nil, func(_ int, c net.Conn) {
		r := bufio.NewReader(c)
		readRequest(r)
		together.Done()
		together.Wait()
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		readRequest(r)
	})
	tr := transport(t)
	var dead atomic.Bool
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		return dying{conn, &dead}, err
	}
	c := client(t, s.url, tr)
	var wg sync.WaitGroup
	for range kept {
		wg.Go(func() {
			if _, err := c.Do(t.Context(), "POST", "/", smallBody); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	dead.Store(true)
	_, err := c.Do(t.Context(), "POST", "/", smallBody)
	require.ErrorIs(t, err, errUnwritten)
	require.True(t, mailer.NotSent(err), "%v", err)
	require.Equal(t, kept, s.accepted())
}

// A RoundTripper of the user's that makes a lost request again on its own, by the
// request's GetBody, tells nothing of the first.
func TestARoundTripperThatMakesARequestAgainIsNotBelieved(t *testing.T) {
	s := serve(t, nil, func(n int, c net.Conn) {
		readRequest(bufio.NewReader(c))
		if n == 0 {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		}
		c.Close()
	})
	tr := transport(t)
	c := client(t, s.url, roundTripper(func(r *http.Request) (*http.Response, error) {
		resp, err := tr.RoundTrip(r)
		if err == nil {
			return resp, nil
		}
		s.ln.Close()
		r = r.Clone(r.Context())
		r.Body, err = r.GetBody()
		if err != nil {
			return nil, err
		}
		return tr.RoundTrip(r)
	}))
	_, err := c.Do(t.Context(), "POST", "/", smallBody)
	require.NoError(t, err)
	_, err = c.Do(t.Context(), "POST", "/", smallBody)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	require.False(t, mailer.NotSent(err), "%v", err)
}

// The service answers the first request in HTTP/1.1, and then goes over to HTTP/2.
func TestAServiceThatChangesItsProtocolGetsNoRequestTwice(t *testing.T) {
	var requests, connections atomic.Int64
	cfg := &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		if connections.Add(1) == 1 {
			return &tls.Config{Certificates: certificate}, nil
		}
		return &tls.Config{Certificates: certificate, NextProtos: []string{"h2"}}, nil
	}}
	s := serve(t, cfg, func(n int, c net.Conn) {
		if n == 0 {
			readRequest(bufio.NewReader(c))
			io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
			c.Close()
			return
		}
		handshakeH2(c, func(c h2) {
			stream, _, err := c.readRequest()
			if err == nil {
				requests.Add(1)
				c.WriteRSTStream(stream, http2.ErrCodeProtocol)
				c.readRequest()
			}
		})
	})
	c := client(t, s.url, nil)
	_, err := c.Do(t.Context(), "POST", "/", smallBody)
	require.NoError(t, err)
	require.True(t, c.http1.Load())
	_, err = c.Do(t.Context(), "POST", "/", smallBody)
	require.Equal(t, mailer.KindNetwork, mailer.KindOf(err))
	require.False(t, mailer.NotSent(err), "%v", err)
	require.EqualValues(t, 1, requests.Load())
}

// What a RoundTripper of the user's says of its last try says nothing of the others.
func TestARefusalOfOneTryIsNotOneOfAll(t *testing.T) {
	var requests atomic.Int64
	s := serveH2(t, func(_ int, c h2) {
		for {
			stream, _, err := c.readRequest()
			if err != nil {
				return
			}
			if requests.Add(1) == 1 {
				c.Close() // it may have been sent
				return
			}
			c.WriteRSTStream(stream, http2.ErrCodeRefusedStream)
		}
	})
	tr := transport(t)
	for name, wrap := range map[string]func(error) error{
		"as it came": func(err error) error { return err },
		"in another": func(err error) error { return errors.Join(errors.New("twice"), err) },
	} {
		t.Run(name, func(t *testing.T) {
			requests.Store(0)
			_, err := client(t, s.url, roundTripper(func(r *http.Request) (*http.Response, error) {
				body, _ := io.ReadAll(r.Body)
				var err error
				for range 2 {
					r := r.Clone(r.Context())
					r.Body = io.NopCloser(bytes.NewReader(body))
					_, err = tr.RoundTrip(r)
				}
				return nil, wrap(err)
			})).Do(t.Context(), "POST", "/", smallBody)
			require.False(t, mailer.NotSent(err), "%v", err)
			require.EqualValues(t, 2, requests.Load(), "the RoundTripper's own")
		})
	}
}
