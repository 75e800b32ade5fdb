package httpapi

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http/httptrace"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
)

// flight watches one RoundTrip, to tell whether the service can have had the
// whole request. net/http may run its hooks after RoundTrip has returned, and a
// RoundTripper of the user's may send again on its own. So everything here is
// atomic and counts each try.
type flight struct {
	sought atomic.Int32 // connections asked for: the number of tries
	begun  atomic.Int32 // request headers written
	whole  atomic.Bool  // a request was written to its end
	broken atomic.Bool  // the writing of a request failed

	mu   sync.Mutex
	conn net.Conn // the last connection
	// Of a streamed body, which is more exact than the hooks: a request whose
	// last byte was never handed out cannot be whole.
	streamed bool
	stopped  bool
	drained  bool

	// Here for they are one allocation so.
	hooks    httptrace.ClientTrace
	response Response
}

// trace returns the hooks for one call.
func (f *flight) trace() *httptrace.ClientTrace {
	f.hooks.GetConn = f.getConn
	f.hooks.GotConn = f.gotConn
	f.hooks.WroteHeaders = f.wroteHeaders
	f.hooks.WroteRequest = f.wroteRequest
	return &f.hooks
}

func (f *flight) getConn(string) { f.sought.Add(1) }
func (f *flight) gotConn(i httptrace.GotConnInfo) {
	f.mu.Lock()
	f.conn = i.Conn
	f.mu.Unlock()
}
func (f *flight) wroteHeaders() { f.begun.Add(1) }
func (f *flight) wroteRequest(i httptrace.WroteRequestInfo) {
	if i.Err != nil {
		f.broken.Store(true)
	} else {
		f.whole.Store(true)
	}
}

// stop ends the reading of a streamed body, which net/http may go on with after
// it returned an early answer: nothing of a message is touched after Do.
func (f *flight) stop() {
	f.mu.Lock()
	f.stopped = true
	f.mu.Unlock()
}

// http2 reports whether the last connection speaks HTTP/2.
func (f *flight) http2() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, ok := f.conn.(interface{ ConnectionState() tls.ConnectionState })
	return ok && c.ConnectionState().NegotiatedProtocol == "h2"
}

// cut reports whether the service certainly did not get the whole request. A
// body of exact Content-Length that is cut off is not a message to anyone.
func (f *flight) cut() bool {
	f.mu.Lock()
	partly := f.streamed && !f.drained
	f.mu.Unlock()
	switch tries := f.sought.Load(); {
	case partly:
		return true
	case tries == 0 || f.whole.Load():
		// No hook at all: a RoundTripper that does not tell.
		return false
	case f.begun.Load() == 0:
		return true
	default:
		// With several tries it is not known which one the failure belongs to.
		return tries == 1 && f.broken.Load()
	}
}

// The words of net/http for a request that the service did not look at, by its own
// word and by RFC 9113: a stream reset with REFUSED_STREAM (8.7), and one beyond the
// last stream of a GOAWAY (6.8). No other reset says so. These errors have no type; if
// the words change, the outcome is unknown, and a test fails.
var (
	refused = regexp.MustCompile(`^http2: Transport: cannot retry err \[(http2: Transport received Server's graceful shutdown GOAWAY` +
		`|stream error: stream ID \d+; REFUSED_STREAM; received from peer)\]`)
	// The first request of a connection, met by a GOAWAY with an error. There is no
	// use in another.
	rebuffed = regexp.MustCompile(`^http2: Transport received GOAWAY from server ErrCode:`)
)

// says reports whether err has the words. Of several tries they are on one only.
func (f *flight) says(err error, words ...*regexp.Regexp) bool {
	for ; err != nil && f.begun.Load() == 1; err = errors.Unwrap(err) {
		if slices.ContainsFunc(words, func(w *regexp.Regexp) bool { return w.MatchString(err.Error()) }) {
			return true
		}
	}
	return false
}

// again reports whether the request can be made once more: the service did not
// look at it, or a kept connection had ended before.
func (f *flight) again(err error) bool {
	return f.says(err, refused) || errors.Is(err, errUnwritten)
}

// unsent is cut for a call that ended with err instead of a status, or a refusal.
// If no hook ran, then our own transport did not get past the choice of a proxy; of
// another RoundTripper it takes an error that says so, and a body that was not read.
func (f *flight) unsent(err error, own bool) bool {
	if f.says(err, refused, rebuffed) || errors.Is(err, errUnwritten) {
		return true
	}
	if f.sought.Load() > 0 || f.cut() {
		return f.cut()
	}
	op, ok := errors.AsType[*net.OpError](err)
	f.mu.Lock()
	defer f.mu.Unlock()
	return own || ok && op.Op == "dial" && !f.drained
}

var errStopped = errors.New("the call has ended")

// stream is one reading of a body.
type stream struct {
	f     *flight
	parts []part
	left  int64   // bytes still to hand out
	off   int     // in parts[0], raw bytes
	rest  []byte  // of a group that did not fit
	group [4]byte // what rest points into
}

func (s *stream) Read(p []byte) (n int, err error) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	if s.f.stopped {
		return 0, errStopped
	}
	for n < len(p) && s.left > 0 {
		k := s.fill(p[n:])
		n += k
		s.left -= int64(k)
	}
	if s.left == 0 {
		s.f.drained = true
		if n == 0 {
			return 0, io.EOF
		}
	}
	return n, nil
}

// fill hands out what the present part has for p, which is not empty.
func (s *stream) fill(p []byte) int {
	if len(s.rest) > 0 {
		k := copy(p, s.rest)
		s.rest = s.rest[k:]
		return k
	}
	pt := s.parts[0]
	raw := pt.raw[s.off:]
	if len(raw) == 0 {
		s.parts, s.off = s.parts[1:], 0
		return 0
	}
	if !pt.base64 {
		k := copy(p, raw)
		s.off += k
		return k
	}
	if len(p) < 4 {
		k := min(3, len(raw))
		s.off += k
		s.rest = s.group[:encode(s.group[:], raw[:k])]
		return 0
	}
	k := min(len(p)/4*3, len(raw))
	s.off += k
	return encode(p, raw[:k])
}

// Close does nothing: there is nothing to let go of.
func (s *stream) Close() error { return nil }
