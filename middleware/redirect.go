package middleware

import (
	"context"
	"maps"
	"strconv"
	"strings"

	"github.com/seed355143d4/mailer"
)

// OriginalRecipients is the header in which [Redirect] notes who the mail was for.
const OriginalRecipients = "X-Original-Recipients"

// maxOriginal bounds the header's value, so that every service carries it.
const maxOriginal = 500

// Redirect sends every message to the given addresses instead of its own
// recipients: in a staging system, nobody outside gets mail. To becomes the given
// addresses, Cc and Bcc become empty, and the header [OriginalRecipients] holds
// the addresses of all three as far as 500 bytes go, and how many more there
// were. Everything else stays, an unsubscribe link for the original recipient
// included.
//
// A message that is invalid is refused as it would be without Redirect; so is one
// for which no address was given, which makes Redirect() a stop for all mail.
func Redirect(to ...mailer.Address) func(mailer.Sender) mailer.Sender {
	to = append([]mailer.Address(nil), to...)
	redirect := func(m mailer.Message) (mailer.Message, error) {
		if err := m.Validate(); err != nil {
			return m, err
		}
		if len(to) == 0 {
			return m, &mailer.Error{Kind: mailer.KindInvalid, NotSent: true, Field: "To", Message: "all mail is redirected to nobody"}
		}
		headers := make(map[string]string, len(m.Headers)+1)
		maps.Copy(headers, m.Headers)
		for name := range m.Headers {
			if strings.EqualFold(name, OriginalRecipients) {
				delete(headers, name)
			}
		}
		headers[OriginalRecipients] = addresses(m.To, m.Cc, m.Bcc)
		m.Headers, m.To, m.Cc, m.Bcc = headers, to, nil, nil
		return m, nil
	}
	return func(s mailer.Sender) mailer.Sender {
		send := func(ctx context.Context, m mailer.Message) (mailer.Receipt, error) {
			redirected, err := redirect(m)
			if err != nil {
				return mailer.Receipt{ID: m.ID}, err
			}
			return s.Send(ctx, redirected)
		}
		batch := func(ctx context.Context, ms []mailer.Message) []mailer.Result {
			results := make([]mailer.Result, len(ms))
			places := make([]int, 0, len(ms))
			redirected := make([]mailer.Message, 0, len(ms))
			for i, m := range ms {
				m, err := redirect(m)
				if err != nil {
					results[i] = mailer.Result{Receipt: mailer.Receipt{ID: ms[i].ID}, Err: err}
					continue
				}
				places, redirected = append(places, i), append(redirected, m)
			}
			for i, result := range mailer.SendAll(ctx, s, redirected) {
				results[places[i]] = result
			}
			return results
		}
		check := func(m mailer.Message) error {
			m, err := redirect(m)
			if err != nil {
				return err
			}
			if c, ok := mailer.As[mailer.Checker](s); ok {
				return c.Check(m)
			}
			return nil
		}
		switch w := Wrap(s, send, batch).(type) {
		case *wrappedBatch:
			return struct {
				*wrappedBatch
				checker
			}{w, check}
		default:
			return struct {
				*wrapped
				checker
			}{w.(*wrapped), check}
		}
	}
}

// checker makes a Check see what Send would.
type checker func(m mailer.Message) error

func (c checker) Check(m mailer.Message) error { return c(m) }

func addresses(lists ...[]mailer.Address) string {
	var b strings.Builder
	more := 0
	for _, list := range lists {
		for _, a := range list {
			if more > 0 || b.Len()+len(", ")+len(a.Address) > maxOriginal {
				more++
				continue
			}
			if b.Len() > 0 {
				b.WriteString(", ")
			}
			b.WriteString(a.Address)
		}
	}
	if more > 0 {
		b.WriteString(" and " + strconv.Itoa(more) + " more")
	}
	return b.String()
}
