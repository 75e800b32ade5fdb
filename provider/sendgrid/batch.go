package sendgrid

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
)

// inFlight is how many calls of a batch are under way at once, as in mailer.SendAll.
const inFlight = 64

// MaxBatch returns 1000, the most messages that one call takes.
// Source: https://www.twilio.com/docs/sendgrid/for-developers/sending-email/personalizations
// (read 2026-11).
func (p *Provider) MaxBatch() int { return MaxRecipients }

// SendBatch sends the messages and returns one Result for each, in their order.
// Messages that agree in all but recipients, Subject, Headers, Unsubscribe, Metadata,
// SendAt, Template.Data and ID share a call, each as a personalization of its own, so
// that none sees the recipients of another: up to 1000 recipients, and 30 MiB. The
// files of a call go out once. All other messages go in a call each. Up to 64 calls
// are under way at once.
//
// SendGrid takes all messages of a call or none. If it refuses them over some, those
// go again in a call each, and the others together, so that a message costs only
// itself.
// If an answer is lost, the outcome is unknown for the messages of that call:
// NotSent is false.
//
// SendGrid has one id for a call. It is the MessageID in the receipt of each of its
// messages, and what stands before the first dot of "sg_message_id" in the events of
// all of them; the custom argument "mailer_id", the message's ID, tells them apart.
func (p *Provider) SendBatch(ctx context.Context, ms []mailer.Message) []mailer.Result {
	if len(ms) == 0 {
		return nil
	}
	results := make([]mailer.Result, len(ms))
	for calls := p.calls(ms, results); calls != nil; {
		var mu sync.Mutex
		var again []call
		adapter.Feed(inFlight, calls, func(c call) {
			parts := p.deliver(ctx, c, results)
			mu.Lock()
			again = append(again, parts...)
			mu.Unlock()
		})
		calls = nil
		if len(again) > 0 {
			calls = slices.Values(again)
		}
	}
	return results
}

// call is what goes in one call.
type call struct {
	requests   []*request
	recipients int
	again      bool // it is what was left of a call that was refused
}

// calls sorts the messages into calls. The results of those that are refused before
// any traffic are set.
func (p *Provider) calls(ms []mailer.Message, results []mailer.Result) iter.Seq[call] {
	return func(yield func(call) bool) {
		now := time.Now()
		open := map[shared]*call{}
		var order []*call // of those that are open, and of those that were
		for i, m := range ms {
			r, err := p.request(m, now)
			if err != nil {
				results[i].Err = err
				continue
			}
			r.at = i
			key := share(&r)
			n := len(r.message.To) + len(r.message.Cc) + len(r.message.Bcc)
			c := open[key]
			if c == nil {
				c = new(call)
				open[key], order = c, append(order, c)
			} else if c.recipients+n > MaxRecipients || !sameFiles(c.requests[0], &r) {
				if !yield(*c) {
					return
				}
				*c = call{}
			}
			c.requests = append(c.requests, &r)
			c.recipients += n
		}
		for _, c := range order {
			if !yield(*c) {
				return
			}
		}
	}
}

// shared is what all messages of a call have in common, but for the contents of the
// files: two of them are the same key only if they are the same.
type shared struct {
	from                        mailer.Address
	replyTo, text, html, tags   string
	template, files             string
	track                       mailer.Tracking
	group                       int
	groupsToDisplay, pool, plan string
	sandbox                     bool
	bypass                      Bypass
	footer                      Footer
	link                        SubscriptionTracking
	utm                         UTM
}

// share returns what r can share a call by.
func share(r *request) shared {
	m, x := &r.message, &r.extra
	s := shared{
		from:     m.From,
		text:     m.Text,
		html:     m.HTML,
		template: r.payload.TemplateID,
		track:    m.Track,
		group:    x.UnsubscribeGroup,
		pool:     x.IPPool,
		plan:     x.BatchID,
		sandbox:  x.Sandbox,
		bypass:   x.Bypass,
		footer:   x.Footer,
		link:     x.SubscriptionTracking,
		utm:      x.UTM,
	}
	// What is quoted says where one element ends and the next begins.
	if len(m.ReplyTo) > 0 {
		s.replyTo = fmt.Sprintf("%q", m.ReplyTo)
	}
	if len(r.payload.Categories) > 0 {
		s.tags = fmt.Sprintf("%q", r.payload.Categories)
	}
	if len(x.GroupsToDisplay) > 0 {
		s.groupsToDisplay = fmt.Sprint(x.GroupsToDisplay)
	}
	for _, a := range m.Attachments {
		s.files += fmt.Sprintf("%q %q %q %d,", a.Name, a.ContentType, a.ContentID, len(a.Content))
	}
	return s
}

func sameFiles(a, b *request) bool {
	return slices.EqualFunc(a.message.Attachments, b.message.Attachments, adapter.SameFile)
}

// deliver makes one call and sets the results of its messages, or returns the calls
// that are to be made in its place.
func (p *Provider) deliver(ctx context.Context, c call, results []mailer.Result) []call {
	rs := c.requests
	body, err := encode(rs...)
	switch {
	case len(rs) == 1:
		if err == nil {
			err = rs[0].fits(body)
		}
	case err != nil || body.Size() > MaxSize:
		return c.halves()
	}
	if err == nil {
		resp, failed := p.api.Do(ctx, http.MethodPost, path, body)
		if failed == nil {
			if len(rs) > 1 && resp.Status == http.StatusRequestEntityTooLarge {
				return c.halves()
			}
			if len(rs) > 1 && resp.Status == http.StatusBadRequest {
				_, faults := p.refusal(resp)
				if parts := c.apart(faults); parts != nil {
					return parts
				}
			}
			for _, r := range rs {
				results[r.at].Receipt, results[r.at].Err = p.receipt(r, resp)
			}
			return nil
		}
		err = failed
	}
	for _, r := range rs {
		results[r.at].Err = adapter.Own(err)
	}
	return nil
}

// halves makes two calls of c, for it is too large, or has a message that cannot be
// encoded.
func (c call) halves() []call {
	n := len(c.requests) / 2
	return []call{{requests: c.requests[:n], again: c.again}, {requests: c.requests[n:], again: c.again}}
}

var personalField = regexp.MustCompile(`^personalizations\.(\d+)(\.|$)`)

// sharedFields are those of a call that are the same for all of its messages.
var sharedFields = []string{
	"from", "reply_to", "reply_to_list", "content", "attachments", "template_id", "categories", "batch_id", "asm",
	"ip_pool_name", "mail_settings", "tracking_settings",
}

// apart makes calls of the messages of c, which SendGrid refused over the faults:
// those that it names each in its own, and the others in one. If it names none, or if
// c is such a call of others, each message goes in a call of its own. It returns nil
// if a fault is in what all have, so that no message would be taken.
func (c call) apart(faults []fault) (calls []call) {
	named := make([]bool, len(c.requests))
	known := len(faults) > 0 && !c.again
	for _, f := range faults {
		field, _, _ := strings.Cut(f.Field, ".")
		if slices.Contains(sharedFields, field) {
			return nil
		}
		at := personalField.FindStringSubmatch(f.Field)
		if at == nil {
			known = false
			continue
		}
		if i, err := strconv.Atoi(at[1]); err == nil && i < len(named) {
			named[i] = true
		} else {
			known = false
		}
	}
	others := call{again: true}
	for i, r := range c.requests {
		if known && !named[i] {
			others.requests = append(others.requests, r)
		} else {
			calls = append(calls, call{requests: []*request{r}})
		}
	}
	if len(others.requests) > 0 {
		calls = append(calls, others)
	}
	return calls
}
