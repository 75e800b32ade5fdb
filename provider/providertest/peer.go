package providertest

import (
	"testing"
	"time"

	"github.com/seed355143d4/mailer"
)

// Peer makes fake services of one protocol. [HTTP] is one; an adapter of another
// protocol brings its own.
type Peer interface {
	// Start starts a service on loopback that takes every message. It ends with
	// the test, which then has no goroutine of it left.
	Start(t testing.TB) Service
	// Days are the bad days that Behave knows, beside [Silence]. They have to
	// hold the ones of [RequiredDays].
	Days() []Day
}

// Service is a running fake service. Its methods may be called from several
// goroutines at once. One that counts the connections made, in a method
// Connections() int64, holds the provider to using them again.
type Service interface {
	// New makes a new provider that talks to the service.
	New() (mailer.Provider, error)
	// Behave sets how the service treats everything from now on: as the Day of
	// that name, or as [Accept] or [Silence].
	Behave(day string)
	// Requests are the calls that were read completely, in that order, whatever
	// the answer was. A call carries one message, but for that of a batch.
	Requests() []Request
	// Traffic grows with every connection made and every byte read.
	Traffic() int64
}

// What Behave takes beside the names of days.
const (
	// Accept is a good day: the service takes every message.
	Accept = ""
	// Silence is a service that reads the whole message and then says nothing
	// until the connection or the test ends.
	Silence = "silence after the message was read"
)

// RequiredDays are the names of the days that every Peer has to know.
func RequiredDays() []string {
	return []string{
		"connection refused", "name not found", "TLS fails",
		"closed before a byte was read", "closed after the message was read", "half an answer",
	}
}

// Day is a way in which a service fails, and what Send has to make of it. Send
// is called with a message to ada@example.com and [RefusedRecipient].
type Day struct {
	// Name reads like a sentence: "closed after the message was read".
	Name string
	// Used asks for a message that is sent and taken before, so that a connection
	// stands open when the day begins.
	Used bool
	// Hangs says that the service keeps the connection and never ends its answer,
	// or never begins it. Send is then ended by a deadline, and by a cancel; Kinds
	// does not matter.
	Hangs bool
	// Asks says that it is a bad day for Verify and Quota as well, with the same
	// kind of error.
	Asks bool
	// Large asks for a message with a file of a megabyte.
	Large bool
	// Taken says that Send has to succeed all the same.
	Taken bool
	// Rejected are the recipients that the Receipt has to name, if Taken.
	Rejected []string
	// Kinds are the kinds of which the error has to be one. None: any but
	// KindInvalid, KindUnsupported and KindCanceled.
	Kinds []mailer.Kind
	// NotSent is what the error has to claim.
	NotSent Claim
	// RetryAfter and Code are what the error has to hold, if they are not zero.
	RetryAfter time.Duration
	Code       string
	// Check looks at what else matters. It may be nil.
	Check func(t testing.TB, s Service, r mailer.Receipt, err error)
}

// Claim is what an error has to say about NotSent.
type Claim uint8

const (
	// No: NotSent has to be false. The zero value, as it is the cautious answer.
	No Claim = iota
	// Yes: NotSent has to be true, so that a failover can go on.
	Yes
	// Either: it cannot be known from outside. It still has to be false if the
	// service read the message.
	Either
)

// Request is a call as it reached the service: one message, or a batch.
type Request struct {
	// Text is the whole request in a readable and stable form: what is in the
	// golden file. The suite puts placeholders for secrets and for SendAt.
	Text string
	// Said is everything the request says, decoded: no base64 but that of a
	// file, no encoded words, no escapes.
	Said []Said
	// MessageID is the id that the service gave to the message. Empty: it gave
	// none, or did not take it.
	MessageID string
	// Credentials are what proved the caller's identity as it stood on the wire,
	// such as the value of an Authorization header. They are secrets, too.
	Credentials []string

	verbatim   string   // headers and body as they came
	messageIDs []string // those of a batch
}

// Said is one thing that a request says.
type Said struct {
	// Where is the place, without indices: "personalizations.to.email".
	Where string
	// What stands there.
	What string
}
