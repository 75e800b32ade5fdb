// Package suppression keeps mail from addresses that are not to be mailed,
// whichever service reported them.
package suppression

import (
	"context"
	"time"
)

// Reason says why an address is not to be mailed.
type Reason string

// The reasons.
const (
	// HardBounce: the address does not work.
	HardBounce Reason = "hard_bounce"
	// SoftBounce: the address did not work for a while. Such an entry expires.
	SoftBounce Reason = "soft_bounce"
	// Complaint: the recipient called a message spam.
	Complaint Reason = "complaint"
	// Unsubscribe: the recipient asked for no more of a stream.
	Unsubscribe Reason = "unsubscribe"
	// Manual: somebody entered it, or a service does not say why.
	Manual Reason = "manual"
)

// Entry is one address that is not to be mailed.
type Entry struct {
	// Address is the recipient's address, without a display name.
	Address string
	// Reason says why.
	Reason Reason
	// Stream limits the entry to one kind of mail, such as "newsletter". Empty: it
	// holds for all mail.
	Stream string
	// Source is who reported it: the provider's name, "one-click", "manual".
	Source string
	// Detail is why, in the words of who reported it. Bounded.
	Detail string
	// Created is when it was reported.
	Created time.Time
	// Expires is when it ends. Zero: never.
	Expires time.Time
}

// Puller is a service whose suppression list can be read.
type Puller interface {
	// PullSuppressions returns one page of the service's list: from cursor on,
	// where "" is the beginning. next is the cursor of the following page, ""
	// after the last one. A cursor stays good long enough to resume an
	// interrupted run. The error kinds are those of mailer.Sender.
	PullSuppressions(ctx context.Context, cursor string) (page []Entry, next string, err error)
}

// Pusher is a service to whose suppression list addresses can be added.
type Pusher interface {
	// PushSuppressions adds entries. It returns how many, counted from the first,
	// are on the service's list for certain; with an error that is where to
	// resume. An entry that the service has no words for, such as a reason or a
	// stream, becomes the nearest that still keeps mail away, and one that was
	// there before counts as added.
	PushSuppressions(ctx context.Context, entries []Entry) (done int, err error)
}
