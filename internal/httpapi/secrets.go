package httpapi

import (
	"cmp"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/seed355143d4/mailer/internal/jsonenc"
)

// hidden stands where a secret was.
const hidden = "[hidden]"

// replacer finds the secrets in each form in which an error could quote them.
func replacer(secrets []string, header http.Header) *strings.Replacer {
	secrets = slices.Clone(secrets)
	for name, values := range header {
		if http.CanonicalHeaderKey(name) != "Authorization" {
			continue
		}
		for _, v := range values {
			scheme, credentials, ok := strings.Cut(v, " ")
			if !ok {
				credentials = scheme
			}
			secrets = append(secrets, strings.TrimSpace(credentials))
		}
	}
	var forms []string
	for _, s := range secrets {
		if s == "" {
			continue
		}
		inJSON := string(jsonenc.AppendString(nil, s))
		forms = append(forms, s, url.QueryEscape(s), url.PathEscape(s), url.UserPassword("", s).String()[1:],
			inJSON[1:len(inJSON)-1])
		// Base64 of a text in which the secret begins at any offset, as in
		// "user:secret": the characters that only the secret decides.
		for lead := range 3 {
			for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
				e := enc.EncodeToString([]byte("\x00\x00"[:lead] + s))
				e = e[(8*lead+5)/6 : 8*(lead+len(s))/6]
				if len(e) >= 4 {
					forms = append(forms, e)
				}
			}
		}
	}
	for _, f := range slices.Clone(forms) { // net/http quotes what it quotes
		q := strconv.Quote(f)
		forms = append(forms, q[1:len(q)-1])
	}
	// The longest first, so that what contains another form is hidden whole.
	slices.SortFunc(forms, func(a, b string) int { return cmp.Or(len(b)-len(a), cmp.Compare(a, b)) })
	forms = slices.Compact(forms)
	pairs := make([]string, 0, 2*len(forms))
	for _, f := range forms {
		pairs = append(pairs, f, hidden)
	}
	return strings.NewReplacer(pairs...)
}

// userinfo is what stands before the host in the address of a proxy, which is
// the user's own and so not among the secrets.
var userinfo = regexp.MustCompile(`://[^\s"'<>]*@`)

// clean is for the words of errors that the service did not write.
func (c *Client) clean(s string) string {
	return userinfo.ReplaceAllString(c.hide.Replace(s), "://"+hidden+"@")
}

// scrub returns err itself if nothing in its tree says a secret; otherwise an
// error with the same words but for the secret, which answers errors.Is as err
// does and gives out nothing else.
func (c *Client) scrub(err error) error {
	if err == nil || !c.leaks(err) {
		return err
	}
	return &scrubbed{words: c.clean(err.Error()), is: func(target error) bool { return errors.Is(err, target) }}
}

func (c *Client) leaks(err error) bool {
	if s := err.Error(); c.clean(s) != s {
		return true
	}
	switch err := err.(type) {
	case interface{ Unwrap() error }:
		inner := err.Unwrap()
		return inner != nil && c.leaks(inner)
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(err.Unwrap(), c.leaks)
	}
	return false
}

type scrubbed struct {
	words string
	is    func(target error) bool // a func, since no verb of fmt looks into one
}

func (e *scrubbed) Error() string        { return e.words }
func (e *scrubbed) Is(target error) bool { return e.is(target) }
