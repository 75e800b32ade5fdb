package mailer

import "time"

// Receipt says who took a message.
type Receipt struct {
	// ID is the message's ID: Message.ID, or the one that was assigned.
	ID string
	// Provider is the name of the service that took the message.
	Provider string
	// MessageID is the service's own id. It equals the MessageID of the events
	// that the service reports. Our own ID where the service gives none.
	MessageID string
	// MessageIDs holds an id for each recipient's address, where the service
	// gives each its own. Nil otherwise.
	MessageIDs map[string]string
	// Rejected are the recipients that were refused while others were taken.
	Rejected []Rejection
	// Dropped names the reporting fields that this service could not carry, as
	// "Tags[1]", `Metadata["plan"]`, "Track.Opens".
	Dropped []string
	// Attempts is what a failover tried, in order, the last one being the one
	// that succeeded. Nil from a single service.
	Attempts []Attempt
}

// Rejection is a recipient that a service refused while it took others.
type Rejection struct {
	// Address is the recipient's address.
	Address string
	// Err says why. It is an [*Error], of [KindRecipient] unless the service
	// named another reason. Its Recipients may be nil, since Address says it.
	Err error
}

// Attempt is one try of a failover at one service.
type Attempt struct {
	// Provider is the name of the service or of the failover's target.
	Provider string
	// Start is when the attempt began, and Duration how long it took.
	Start    time.Time
	Duration time.Duration
	// Err is why it failed. Nil: the service took the message.
	Err error
	// PossibleDuplicate says that an earlier attempt ended without an answer, and
	// that this one was made because the message allows a duplicate.
	PossibleDuplicate bool
}
