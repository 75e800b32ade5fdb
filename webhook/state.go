package webhook

// State is what is known of one recipient, or of one message to one recipient,
// from the events so far. The zero value: nothing. Keep it beside what the event
// is about, and replace it by [Next] with each event.
type State string

// The states, each outweighing those before it.
const (
	// StateAccepted: the service has the message.
	StateAccepted State = "accepted"
	// StateDeferred: the recipient's server said "later".
	StateDeferred State = "deferred"
	// StateFailed: the message was not delivered, for a reason that says nothing
	// against the address: a bounce that is soft or undetermined, or a message
	// that the service rejected or failed to make.
	StateFailed State = "failed"
	// StateDelivered: the recipient's server took the message.
	StateDelivered State = "delivered"
	// StateUnsubscribed: the recipient wants no more of this stream.
	StateUnsubscribed State = "unsubscribed"
	// StateBounced: the address does not work: a hard bounce.
	StateBounced State = "bounced"
	// StateComplained: the recipient called the message spam.
	StateComplained State = "complained"
)

// Next returns what is known after e, when s was known before it. Events come
// late, repeatedly and out of order; Next makes the same of them in any order, and
// of an event that comes twice the same as of one. An event that outweighs nothing
// leaves s as it is: so a "delivered" that comes after the complaint does not turn
// it back. Nor does [Subscribed]: whether somebody came back after leaving is for
// times to tell, not for this rule.
func Next(s State, e Event) State {
	if next := stateOf(e); rank(next) > rank(s) {
		return next
	}
	return s
}

func stateOf(e Event) State {
	switch e.Type {
	case Accepted:
		return StateAccepted
	case Deferred:
		return StateDeferred
	case Rejected, Failed:
		return StateFailed
	case Delivered, Opened, Clicked: // who reads a message has it
		return StateDelivered
	case Unsubscribed:
		return StateUnsubscribed
	case Bounced:
		if e.Bounce == Hard {
			return StateBounced
		}
		return StateFailed
	case Complained:
		return StateComplained
	}
	return ""
}

// rank orders the states. One that it does not know is less than nothing.
func rank(s State) int {
	switch s {
	case "":
		return 0
	case StateAccepted:
		return 1
	case StateDeferred:
		return 2
	case StateFailed:
		return 3
	case StateDelivered:
		return 4
	case StateUnsubscribed:
		return 5
	case StateBounced:
		return 6
	case StateComplained:
		return 7
	}
	return -1
}
