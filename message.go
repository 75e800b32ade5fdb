package mailer

import (
	"crypto/rand"
	"net/mail"
	"time"
)

// Address is a mailbox: a display name, which may be empty and may be in any
// script, and an address such as "ada@example.com", without name or brackets.
type Address = mail.Address

// Message is one e-mail, for one envelope: everybody in To, Cc and Bcc.
//
// It is passed by value, and no Sender changes anything reachable from it, so a
// message can be sent again or to another service as it is. The zero value is
// not valid: From, one recipient, and a body or a template are needed. What each
// field may hold stands at [Message.Validate].
type Message struct {
	// ID names the message across attempts, services and events: it comes back
	// in webhook events, and in the Message-ID header where a service allows
	// that. 1 to 64 characters of [A-Za-z0-9_-]. Empty: the first Sender that
	// needs it assigns one with [NewID] and tells it in [Receipt].ID.
	ID string
	// From is the author. Services take only addresses and domains that were
	// verified with them before.
	From Address
	// To, Cc and Bcc are the recipients. One of the three must have one; some
	// services ask for one in To. An address that stands twice is sent once, in
	// the first of the three.
	To, Cc, Bcc []Address
	// ReplyTo is where answers go. Empty: to From.
	ReplyTo []Address
	// Subject may be in any script.
	Subject string
	// Text and HTML are the two forms of the body. Either may be empty.
	Text, HTML string
	// Attachments are files, and images that HTML shows as "cid:…".
	Attachments []Attachment
	// Headers are further header fields, such as "In-Reply-To". Names that have
	// a field of their own in Message, or that a mail system sets, are refused.
	Headers map[string]string
	// Unsubscribe fills the List-Unsubscribe headers.
	Unsubscribe Unsubscribe
	// Tags group messages in the service's reports. Reporting only: what a
	// service cannot carry is left out and named in [Receipt].Dropped.
	Tags []string
	// Metadata comes back in webhook events. Reporting only, as Tags. The key
	// "mailer_id" is reserved for ID.
	Metadata map[string]string
	// Track switches the service's tracking on or off. Reporting only, as Tags.
	Track Tracking
	// Template is a template stored at the service, instead of Text and HTML.
	Template Template
	// SendAt asks the service to send later. Zero: now.
	SendAt time.Time
	// AllowDuplicate says that a second copy of this message is harmless, so that
	// a failover may go on to the next service even when the first outcome is
	// unknown. Right for a sign-in link, wrong for an invoice.
	AllowDuplicate bool
	// Extras are settings of one service each, such as a message stream. Every
	// other service ignores them. At most one for each service.
	Extras []Extra
}

// Attachment is a file in a message.
type Attachment struct {
	// Name is the file's name, without a path: "invoice.pdf".
	Name string
	// ContentType is a MIME type. Empty: application/octet-stream.
	ContentType string
	// ContentID, if set, makes the file an inline one, shown where HTML says
	// src="cid:…". Without angle brackets.
	ContentID string
	// Content holds the bytes as they are, not encoded.
	Content []byte
}

// Unsubscribe tells mail programs how to unsubscribe: RFC 2369, RFC 8058. The
// zero value writes no header.
type Unsubscribe struct {
	// URL is an https address which takes the one-click POST of RFC 8058; the
	// List-Unsubscribe-Post header is written with it.
	URL string
	// Mailto is an address that takes an unsubscribe mail: "leave@example.com".
	Mailto string
}

// Switch is a setting that may be left to the service.
type Switch uint8

// The values of a Switch.
const (
	Default Switch = iota // the account's own setting
	On
	Off
)

// Tracking says what the service may watch. The zero value leaves both to the
// account's own setting.
type Tracking struct{ Opens, Clicks Switch }

// Template names a template stored at the service. The zero value names none.
type Template struct {
	// ID is the service's own id for the template, or a name that the adapter's
	// Config maps to one.
	ID string
	// Data fills the template. Values are those that encoding/json can marshal.
	Data map[string]any
}

// Extra is a setting that one service has and others do not. Each adapter
// exports its own as a type named Extra.
type Extra interface {
	// ForProvider is the name of the service, as [Provider].Name.
	ForProvider() string
}

// ExtraFor returns the Extra of type T in m, given as a value or as a pointer.
// Without one it returns the zero T.
func ExtraFor[T Extra](m Message) T {
	for _, x := range m.Extras {
		switch x := any(x).(type) {
		case T:
			return x
		case *T:
			if x != nil {
				return *x
			}
		}
	}
	var zero T
	return zero
}

// NewID returns a random ID for a message: 26 characters, 130 random bits.
func NewID() string { return rand.Text() }
