package failover

import (
	"errors"
	"time"

	"github.com/seed355143d4/mailer"
)

// Decision is what a failure means for the chain and for the target.
type Decision struct {
	// Next allows the next target to be tried. It is not enough after a failure
	// that is not NotSent: then the message must have AllowDuplicate too.
	Next bool
	// Strike counts the failure against the target, which rests after
	// [Config].Strikes of them in a row.
	Strike bool
	// Rest lets the target rest at once.
	Rest bool
	// RestFor is how long the target is to rest, if it comes to rest now. 0 or
	// less: for the back-off. More than a day counts as a day.
	RestFor time.Duration
	// Refusal tells a no of the service to this message. It does not count against
	// the target by itself, but [Config].Refusals of them do, of different
	// messages in a row that another target took.
	Refusal bool
}

// Decide is the table that the package comment shows. A [Config].Decide of one's
// own can call it for the errors that it leaves alone.
func Decide(err error) Decision {
	switch mailer.KindOf(err) {
	case mailer.KindInvalid, mailer.KindRecipient, mailer.KindCanceled:
		return Decision{}
	case mailer.KindUnauthorized, mailer.KindQuota, mailer.KindRateLimited:
		return Decision{Next: true, Rest: true, RestFor: retryAfter(err)}
	case mailer.KindUnavailable, mailer.KindNetwork:
		return Decision{Next: true, Strike: true, RestFor: retryAfter(err)}
	case mailer.KindUnsupported, mailer.KindTooLarge:
		return Decision{Next: true} // mostly found out before any traffic
	}
	return Decision{Next: true, Refusal: true}
}

func retryAfter(err error) time.Duration {
	if e, ok := errors.AsType[*mailer.Error](err); ok && e != nil {
		return e.RetryAfter
	}
	return 0
}

// messageFault tells the kinds that a later try of the same message at the same
// services will not mend.
func messageFault(k mailer.Kind) bool {
	switch k {
	case mailer.KindInvalid, mailer.KindRejected, mailer.KindUnsupported, mailer.KindTooLarge,
		mailer.KindContent, mailer.KindRecipient:
		return true
	}
	return false
}
