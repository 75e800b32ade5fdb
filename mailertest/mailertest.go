// Package mailertest helps to test an application that sends mail.
//
// A [Recorder] is a [mailer.Sender] that keeps what it is sent. A test gives one
// to the application, runs it, and asks what was sent to whom:
//
//	var sent mailertest.Recorder
//	register(&sent, "ada@example.com")
//	m := sent.RequireSent(t, "ada@example.com")
//	confirm(mailertest.Links(m)[0])
//
// It refuses what a real service's adapter would refuse before any traffic, so a
// message that is not valid fails in the test. [Recorder.FailNext] makes sends
// fail on demand, and [Recorder.Wait] waits for what is sent in the background.
package mailertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/seed355143d4/mailer"
)

const name = "mailertest"

// Recorder is a [mailer.Provider] that records messages. The zero value is ready
// for use. All its methods may be called from many goroutines at once. It starts
// no goroutine and must not be copied after its first use.
type Recorder struct {
	mu       sync.Mutex
	messages []mailer.Message // nothing in them changes
	failures []error
	waiting  map[chan struct{}]struct{} // closed at the next message
}

// Name is "mailertest".
func (r *Recorder) Name() string { return name }

// Send records a deep copy of m. In the copy, ID is never empty. Of what
// Template.Data holds, maps and slices of any type are copied, other things such
// as structs and pointers are not; Extras are a new slice of the same values.
//
// If ctx has ended, the error is NotSent: [mailer.KindCanceled] if the caller
// gave up, [mailer.KindNetwork] if a deadline passed. A message that is not valid
// is refused with the error of [mailer.Message.Validate]. Neither uses up a
// failure that [Recorder.FailNext] set. A message whose send fails is not
// recorded. SendAt does not delay anything.
func (r *Recorder) Send(ctx context.Context, m mailer.Message) (mailer.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return mailer.Receipt{}, &mailer.Error{Provider: name, Kind: mailer.KindOf(err), NotSent: true, Err: err}
	}
	if err := m.Validate(); err != nil {
		return mailer.Receipt{}, err
	}
	if m.ID == "" {
		m.ID = mailer.NewID()
	}
	m = clone(m)

	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.failures) > 0 {
		err := r.failures[0]
		r.failures = r.failures[1:]
		if err != nil {
			return mailer.Receipt{}, err
		}
	}
	r.messages = append(r.messages, m)
	for w := range r.waiting {
		close(w)
	}
	clear(r.waiting)
	return mailer.Receipt{ID: m.ID, Provider: name, MessageID: m.ID}, nil
}

// FailNext makes the next sends fail, one for each error, in this order, after
// those that earlier calls set. A nil among them lets that send through.
//
// A [mailer.Kind] becomes a [*mailer.Error] of that kind with Provider
// "mailertest" and NotSent true, whatever the kind: the service said no. To test
// an unknown outcome, pass &mailer.Error{Kind: mailer.KindNetwork}, whose NotSent
// is false. An error that is or wraps a [*mailer.Error] is returned as it is. Any
// other becomes the cause of one of the kind [mailer.KindOf] tells, with NotSent
// false.
func (r *Recorder) FailNext(errs ...error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, err := range errs {
		r.failures = append(r.failures, failure(err))
	}
}

func failure(err error) error {
	if err == nil {
		return nil
	}
	if k, ok := err.(mailer.Kind); ok {
		return &mailer.Error{Provider: name, Kind: k, NotSent: true}
	}
	if e, ok := errors.AsType[*mailer.Error](err); ok && e != nil {
		return err
	}
	return &mailer.Error{Provider: name, Kind: mailer.KindOf(err), Err: err}
}

// Reset forgets all messages and all failures that are still to come. Who waits
// in [Recorder.Wait] goes on waiting.
func (r *Recorder) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages, r.failures = nil, nil
}

// recorded returns the messages themselves.
func (r *Recorder) recorded() []mailer.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.messages)
}

// Messages returns copies of all messages, oldest first.
func (r *Recorder) Messages() []mailer.Message {
	ms := r.recorded()
	for i, m := range ms {
		ms[i] = clone(m)
	}
	return ms
}

// Last returns a copy of the newest message. False: there is none.
func (r *Recorder) Last() (mailer.Message, bool) {
	ms := r.recorded()
	if len(ms) == 0 {
		return mailer.Message{}, false
	}
	return clone(ms[len(ms)-1]), true
}

// To returns copies of the messages that have addr in To, Cc or Bcc, oldest
// first. Case does not matter; otherwise the address has to stand there as it was
// sent.
func (r *Recorder) To(addr string) []mailer.Message {
	var found []mailer.Message
	for _, m := range r.recorded() {
		if isTo(m, addr) {
			found = append(found, clone(m))
		}
	}
	return found
}

func isTo(m mailer.Message, addr string) bool {
	has := func(a mailer.Address) bool { return strings.EqualFold(a.Address, addr) }
	return slices.ContainsFunc(m.To, has) || slices.ContainsFunc(m.Cc, has) || slices.ContainsFunc(m.Bcc, has)
}

// newestTo returns a copy of the newest message to addr.
func newestTo(ms []mailer.Message, addr string) (mailer.Message, bool) {
	for _, m := range slices.Backward(ms) {
		if isTo(m, addr) {
			return clone(m), true
		}
	}
	return mailer.Message{}, false
}

// Wait returns a copy of the newest message to addr, as [Recorder.To] finds it,
// and waits for one if there is none. One that is already there counts, even if
// ctx has ended; [Recorder.Reset] before the action under test makes it wait for
// a new one. The error wraps that of ctx and lists what was sent. In a bubble of
// testing/synctest the wait is a durable block.
func (r *Recorder) Wait(ctx context.Context, addr string) (mailer.Message, error) {
	for {
		r.mu.Lock()
		m, ok := newestTo(r.messages, addr)
		if ok {
			r.mu.Unlock()
			return m, nil
		}
		// A channel for each wait: one that was made in a bubble must not be left
		// for a Send outside of it.
		w := make(chan struct{})
		if r.waiting == nil {
			r.waiting = map[chan struct{}]struct{}{}
		}
		r.waiting[w] = struct{}{}
		r.mu.Unlock()

		select {
		case <-w:
		case <-ctx.Done():
			r.mu.Lock()
			delete(r.waiting, w)
			m, ok = newestTo(r.messages, addr)
			list := describe(r.messages)
			r.mu.Unlock()
			if ok {
				return m, nil
			}
			return mailer.Message{}, fmt.Errorf("mailertest: no message to %s: %w; %s", addr, ctx.Err(), list)
		}
	}
}

// RequireSent returns a copy of the newest message to addr, as [Recorder.To]
// finds it. Without one it ends the test with a list of what was sent. As
// t.Fatal, it belongs in the test's own goroutine.
func (r *Recorder) RequireSent(t testing.TB, addr string) mailer.Message {
	t.Helper()
	ms := r.recorded()
	m, ok := newestTo(ms, addr)
	if !ok {
		t.Fatalf("mailertest: no message to %s; %s", addr, describe(ms))
	}
	return m
}

// RequireNone ends the test with a list of what was sent if anything was.
func (r *Recorder) RequireNone(t testing.TB) {
	t.Helper()
	r.RequireCount(t, 0)
}

// RequireCount ends the test with a list of what was sent unless n messages were.
func (r *Recorder) RequireCount(t testing.TB, n int) {
	t.Helper()
	if ms := r.recorded(); len(ms) != n {
		t.Fatalf("mailertest: want %d sent, got %d; %s", n, len(ms), describe(ms))
	}
}

// describe lists messages: recipients and subject, one on a line.
func describe(ms []mailer.Message) string {
	if len(ms) == 0 {
		return "nothing was sent"
	}
	var b strings.Builder
	b.WriteString("what was sent:")
	for i, m := range ms {
		fmt.Fprintf(&b, "\n\t%d.", i+1)
		for _, list := range []struct {
			name string
			as   []mailer.Address
		}{{"to", m.To}, {"cc", m.Cc}, {"bcc", m.Bcc}} {
			for _, a := range list.as {
				fmt.Fprintf(&b, " %s %s", list.name, a.Address)
			}
		}
		if m.Template.ID != "" {
			fmt.Fprintf(&b, " template %q", m.Template.ID)
		}
		fmt.Fprintf(&b, " subject %q", m.Subject)
	}
	return b.String()
}
