package httpapi

import (
	"errors"
	"io"
	"net"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
)

// flight watches one call, to tell whether the service can have had the whole
// request. net/http may run its hooks after RoundTrip has returned, and it may
// send again, on its own, what provably was not processed (nothing written on a
// kept connection; a stream that HTTP/2 refused). So everything here is atomic,
// counts each try, and is never taken back.
type flight struct {
	sought atomic.Int32 // connections asked for: the number of tries
	begun  atomic.Int32 // request headers written
	whole  atomic.Bool  // a request was written to its end
	broken atomic.Bool  // the writing of a request failed

	// Of a streamed body, which is more exact than the hooks: a request whose
	// last byte was never handed out cannot be whole.
	mu       sync.Mutex
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
	f.hooks.WroteHeaders = f.wroteHeaders
	f.hooks.WroteRequest = f.wroteRequest
	return &f.hooks
}

func (f *flight) getConn(string) { f.sought.Add(1) }
func (f *flight) wroteHeaders()  { f.begun.Add(1) }
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

// unsent is cut for a call that ended with err instead of a status. If no hook
// ran, then our own transport did not get past the choice of a proxy; of another
// RoundTripper it takes an error that says so, and a body that was not read.
func (f *flight) unsent(err error, own bool) bool {
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
