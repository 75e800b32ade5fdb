// Package unsubscribe takes the one-click unsubscribe of RFC 8058: it makes the
// address for a message's List-Unsubscribe header, and is the http.Handler behind
// it, which enters the recipient into a suppression list.
//
// The address holds an encrypted token that names the recipient and the stream.
// There is nothing to store, nobody can make or change one without the key, and a
// forwarded mail or a log of addresses tells nobody's name. A token does not expire:
// the link in an old mail has to work.
package unsubscribe

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/suppression"
)

// Config sets up a [Handler].
type Config struct {
	// URL is where the Handler is reached from outside, over https:
	// "https://example.com/unsubscribe". The token follows after a slash. Needed.
	URL string
	// Keys are secrets of at least 32 random bytes. The first one makes tokens, each
	// of them reads those that it made: to change the key, put a new one in front
	// and keep the old one for as long as mail of its time lies in mailboxes.
	// Needed.
	Keys [][]byte
	// Store is where unsubscribes go. Needed.
	Store suppression.Store
	// Logger is told when the store fails, without addresses. Nil: [slog.Default].
	Logger *slog.Logger
}

// String leaves out the keys.
func (c Config) String() string { return "unsubscribe.Config{URL:" + c.URL + "}" }

// GoString leaves out the keys.
func (c Config) GoString() string { return c.String() }

// LogValue leaves out the keys.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Handler makes and takes unsubscribe links. It is safe for use by many goroutines
// at once.
type Handler struct {
	url   string
	keys  []key
	store suppression.Store
	log   *slog.Logger
}

// key is a secret, ready for use.
type key struct {
	aead  cipher.AEAD
	nonce []byte
}

// MinKey is the least length of a key, in bytes.
const MinKey = 32

// New checks the Config. It does no I/O, and keeps nothing of Keys.
func New(c Config) (*Handler, error) {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("unsubscribe: Config.URL is not an https address with nothing behind its path")
	case len(c.Keys) == 0:
		return nil, errors.New("unsubscribe: Config.Keys is empty")
	case c.Store == nil:
		return nil, errors.New("unsubscribe: Config.Store is nil")
	}
	h := &Handler{url: strings.TrimSuffix(c.URL, "/") + "/", store: c.Store, log: c.Logger}
	if h.log == nil {
		h.log = slog.Default()
	}
	for i, secret := range c.Keys {
		if len(secret) < MinKey {
			return nil, fmt.Errorf("unsubscribe: Config.Keys[%d] has fewer than %d bytes", i, MinKey)
		}
		k, err := newKey(secret)
		if err != nil {
			return nil, fmt.Errorf("unsubscribe: Config.Keys[%d]: %w", i, err)
		}
		h.keys = append(h.keys, k)
	}
	return h, nil
}

func newKey(secret []byte) (key, error) {
	both, err := hkdf.Key(sha256.New, secret, nil, "mailer unsubscribe 1", 64)
	if err != nil {
		return key{}, err
	}
	block, err := aes.NewCipher(both[:32])
	if err != nil {
		return key{}, err
	}
	aead, err := cipher.NewGCM(block)
	return key{aead, both[32:]}, err
}

// version is the first byte of a token. The seal covers it, so a token that says
// another one does not open.
const version = 1

// nonceSize is that of AES-GCM.
const nonceSize = 12

// seal makes the token for an address and a stream. The nonce comes from what is
// encrypted, so that no two texts share one however many there are, and the same
// text makes the same token.
func (k key) seal(address, stream string) string {
	plain := append(append([]byte{byte(len(stream))}, stream...), address...)
	mac := hmac.New(sha256.New, k.nonce)
	mac.Write(plain)
	token := append([]byte{version}, mac.Sum(nil)[:nonceSize]...)
	token = k.aead.Seal(token, token[1:], plain, token[:1])
	return base64.RawURLEncoding.EncodeToString(token)
}

// open reads a token of any key.
func (h *Handler) open(token string) (address, stream string, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) <= 1+nonceSize {
		return "", "", false
	}
	for _, k := range h.keys {
		plain, err := k.aead.Open(nil, b[1:1+nonceSize], b[1+nonceSize:], b[:1])
		if err != nil || len(plain) == 0 || len(plain) < 1+int(plain[0]) {
			continue
		}
		n := 1 + int(plain[0])
		return string(plain[n:]), string(plain[1:n]), true
	}
	return "", "", false
}

// Link returns the address that unsubscribes a recipient from a stream: for the
// header, and for a link in the body, which bulk mail has to have as well. The empty
// stream is all mail. An address that is none, or a stream that an entry cannot
// have, is an error that wraps [suppression.ErrEntry].
func (h *Handler) Link(address, stream string) (string, error) {
	e, err := suppression.Entry{Address: address, Reason: suppression.Unsubscribe, Stream: stream}.Normal()
	if err != nil {
		return "", err
	}
	return h.url + h.keys[0].seal(e.Address, e.Stream), nil
}

// Fill returns the message with Unsubscribe.URL set for its recipient and for the
// stream of its [suppression.Extra]; m itself stays as it is. The link is the
// recipient's own, so a message with more than one, or with none, is a
// [mailer.KindInvalid] error, and so is one whose recipient or stream is none.
func (h *Handler) Fill(m mailer.Message) (mailer.Message, error) {
	invalid := func(field, words string, err error) (mailer.Message, error) {
		return mailer.Message{}, &mailer.Error{Kind: mailer.KindInvalid, NotSent: true, Field: field, Message: words, Err: err}
	}
	switch {
	case len(m.To) != 1:
		return invalid("To", "an unsubscribe link is for one recipient", nil)
	case len(m.Cc) > 0:
		return invalid("Cc", "an unsubscribe link is for one recipient", nil)
	case len(m.Bcc) > 0:
		return invalid("Bcc", "an unsubscribe link is for one recipient", nil)
	}
	link, err := h.Link(m.To[0].Address, mailer.ExtraFor[suppression.Extra](m).Stream)
	if err != nil {
		return invalid("To[0]", "no unsubscribe link can be made", err)
	}
	m.Unsubscribe.URL = link
	return m, nil
}

// maxBody is the most bytes of a request that are read. The body of RFC 8058 has 26,
// or some 150 as a form of several parts.
const maxBody = 4 << 10

// ServeHTTP answers at any path that ends in a token:
//
//   - POST with "List-Unsubscribe=One-Click", as either kind of form, enters the
//     recipient into the store and answers 200, however often it comes. 503: the
//     store failed, nothing was entered.
//   - GET and HEAD show a page with a button that makes this POST, and change
//     nothing, since programs fetch the links in a mail without being asked to.
//   - 404: there is no such token, or its key is gone. 400, 413, 415: the POST is
//     another one than that of RFC 8058. 405: another method.
//
// It never redirects, and asks for no cookie and no login: mailbox providers send
// neither. Keep it outside of what checks for forged requests; the token is what
// cannot be forged.
//
// Source: RFC 8058, sections 3.1 and 3.2.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("Cache-Control", "no-store")
	head.Set("Referrer-Policy", "no-referrer")
	head.Set("X-Robots-Tag", "noindex")
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost:
	default:
		head.Set("Allow", "GET, HEAD, POST")
		show(w, http.StatusMethodNotAllowed, page{Title: "Method not allowed"})
		return
	}
	address, stream, ok := h.open(path.Base(r.URL.Path))
	switch {
	case !ok:
		show(w, http.StatusNotFound, page{Title: "This link does not work", Text: "It may have been cut off. Try the one in the mail again."})
	case r.Method != http.MethodPost:
		show(w, http.StatusOK, page{Title: "Unsubscribe", Stream: stream, Ask: true})
	default:
		if status := oneClick(w, r); status != 0 {
			show(w, status, page{Title: "This is no unsubscribe request"})
			return
		}
		if err := h.leave(r.Context(), address, stream); err != nil {
			h.log.LogAttrs(r.Context(), slog.LevelError, "unsubscribe: the store failed", slog.Any("error", err))
			head.Set("Retry-After", "60")
			show(w, http.StatusServiceUnavailable, page{Title: "This did not work", Text: "You are not unsubscribed yet. Try again in a minute.", Ask: true})
			return
		}
		show(w, http.StatusOK, page{Title: "You are unsubscribed", Stream: stream})
	}
}

// storeTime is how long the store may take.
const storeTime = 10 * time.Second

// leave enters the recipient, also if the client hangs up meanwhile.
func (h *Handler) leave(ctx context.Context, address, stream string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTime)
	defer cancel()
	return h.store.Add(ctx, []suppression.Entry{{Address: address, Reason: suppression.Unsubscribe, Stream: stream, Source: "one-click"}})
}

// oneClick returns 0 for a POST of RFC 8058, and the status for any other.
func oneClick(w http.ResponseWriter, r *http.Request) (status int) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	var err error
	switch kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind {
	case "application/x-www-form-urlencoded":
		err = r.ParseForm()
	case "multipart/form-data":
		err = r.ParseMultipartForm(maxBody)
	default:
		return http.StatusUnsupportedMediaType
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return http.StatusRequestEntityTooLarge
	}
	// PostForm is of the body alone, not of the address.
	if err != nil || r.PostForm.Get("List-Unsubscribe") != "One-Click" {
		return http.StatusBadRequest
	}
	return 0
}

// page is what a browser shows.
type page struct {
	Title, Text, Stream string
	Ask                 bool // shows the button
}

//go:embed page.html
var pageSource string

var pageTemplate = template.Must(template.New("page").Parse(pageSource))

func show(w http.ResponseWriter, status int, p page) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_ = pageTemplate.Execute(w, p) // whoever asked may have gone
}
