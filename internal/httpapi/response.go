package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/seed355143d4/mailer"
)

const (
	// MaxRetryAfter is the longest wait that a Retry-After header is believed.
	MaxRetryAfter = 24 * time.Hour

	maxMessage = 1024 // bytes of Error.Message
	maxCode    = 128  // bytes of Error.Code
)

// Response is an answer: at least its status.
type Response struct {
	// Status is the HTTP status.
	Status int
	// Header holds the answer's header fields.
	Header http.Header
	// Body is at most [MaxBody] bytes of the answer, decompressed.
	Body []byte
	// Err is why Body is incomplete: broken off, too long, out of time. Nil: it is
	// complete.
	Err error

	early bool // came before the request was sent
}

// JSON decodes the body into v. It returns r.Err if the body is incomplete.
func (r *Response) JSON(v any) error {
	if r.Err != nil {
		return r.Err
	}
	return json.Unmarshal(r.Body, v)
}

// RetryAfter is how long the Retry-After header asks to wait: seconds, or a date,
// which is compared with the answer's own Date. 0 without one, for a past date,
// a negative number and for what is neither. At most [MaxRetryAfter].
func (r *Response) RetryAfter() time.Duration {
	return retryAfter(r.Header.Get("Retry-After"), r.Header.Get("Date"), time.Now)
}

func retryAfter(value, date string, now func() time.Time) time.Duration {
	value = strings.TrimSpace(value)
	n, err := strconv.ParseInt(value, 10, 64)
	if err == nil || errors.Is(err, strconv.ErrRange) && strings.TrimLeft(value[1:], "0123456789") == "" {
		// Out of range, n is the nearest number that is not. What follows the
		// digits was not looked at then.
		return time.Duration(min(max(n, 0), int64(MaxRetryAfter/time.Second))) * time.Second
	}
	t, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	from, err := http.ParseTime(date)
	if err != nil {
		from = now()
	}
	return min(max(t.Sub(from), 0), MaxRetryAfter)
}

// Error makes the error for an answer that is not a success. It fills Provider,
// Status, RetryAfter, and Err from r.Err; Code and Message are bounded, made one
// line and freed of secrets.
//
// NotSent is true for a refusal: a 4xx status other than 408 and 409. It is also
// true for any status from 300 on that came before the request was sent whole.
// An adapter changes it where its service documents more.
//
// An answer that broke off because the caller gave up is KindCanceled where kind
// is KindNetwork.
func (c *Client) Error(r *Response, kind mailer.Kind, code, message string) *mailer.Error {
	if kind == mailer.KindNetwork && errors.Is(r.Err, context.Canceled) {
		kind = mailer.KindCanceled
	}
	refused := r.Status >= 400 && r.Status < 500 &&
		r.Status != http.StatusRequestTimeout && r.Status != http.StatusConflict
	return &mailer.Error{
		Provider:   c.provider,
		Kind:       kind,
		NotSent:    refused || r.early && r.Status >= 300,
		Status:     r.Status,
		Code:       c.words(code, maxCode),
		Message:    c.words(message, maxMessage),
		RetryAfter: r.RetryAfter(),
		Err:        r.Err,
	}
}

// words makes text from outside fit for an error. Secrets go first: one that is
// cut in two would not be found.
func (c *Client) words(s string, limit int) string {
	if s == "" {
		return ""
	}
	s = c.hide.Replace(strings.ToValidUTF8(s, "\uFFFD"))
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s))
	if len(s) <= limit {
		return s
	}
	s = s[:limit-len("…")]
	for len(s) > 0 {
		if r, size := utf8.DecodeLastRuneInString(s); r != utf8.RuneError || size != 1 {
			break
		}
		s = s[:len(s)-1]
	}
	return s + "…"
}
