package webhook

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"
)

// Basic is a user name and a password of HTTP basic authentication, which is how
// a service that signs nothing proves itself.
type Basic struct {
	Username string
	Password string
}

// String hides the password, and so do GoString and MarshalText.
func (b Basic) String() string { return "webhook.Basic{Username:" + b.Username + "}" }

// GoString is String.
func (b Basic) GoString() string { return b.String() }

// MarshalText is String.
func (b Basic) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// Validate refuses an empty password, and a user name with a colon, which cannot
// be told from the password.
func (b Basic) Validate() error {
	if b.Password == "" {
		return errors.New("webhook: Password is empty")
	}
	if strings.Contains(b.Username, ":") {
		return errors.New("webhook: Username has a colon")
	}
	return nil
}

// Match reports in constant time whether h carries b. It is false for a b that
// Validate refuses.
func (b Basic) Match(h http.Header) bool {
	r := http.Request{Header: h}
	user, password, ok := r.BasicAuth()
	good := EqualSecret(user, b.Username)
	good = EqualSecret(password, b.Password) && good
	return good && ok && b.Validate() == nil
}

// EqualSecret reports whether got is want, in a time that depends on neither's
// bytes. It is false when want is empty.
func EqualSecret(got, want string) bool {
	g, w := sha256.Sum256([]byte(got)), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(g[:], w[:]) == 1 && want != ""
}
