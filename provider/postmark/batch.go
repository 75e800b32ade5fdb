package postmark

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"net/http"
	"slices"
	"strings"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/internal/httpapi"
)

// The limits of a batch.
const (
	maxBatch = 500      // messages in one call
	maxBytes = 10 << 20 // of a call with several messages; ours, Postmark takes 50 MB
	inFlight = 8        // calls at once
)

// MaxBatch returns 500, the most messages that one call takes.
// Source: https://postmarkapp.com/developer/api/email-api#send-batch-emails (read
// 2026-11).
func (p *Provider) MaxBatch() int { return maxBatch }

// SendBatch sends the messages and returns one Result for each, in their order. They
// may differ in everything. Up to 500 go in one call, those with a template apart
// from the others, and fewer if the call would be larger than 10 MiB or its answer
// larger than 1 MiB. Up to 8 calls are under way at once.
//
// Postmark takes and refuses each message of a call by itself. If an answer is lost,
// or does not have a result for each message of its call in their order, the outcome
// is unknown for the messages of that call: NotSent is false.
func (p *Provider) SendBatch(ctx context.Context, ms []mailer.Message) []mailer.Result {
	if len(ms) == 0 {
		return nil
	}
	results := make([]mailer.Result, len(ms))
	adapter.Feed(inFlight, p.calls(ms, results), func(c call) { p.sendCall(ctx, c, results) })
	return results
}

// item is a message of a batch and its place there.
type item struct {
	at int
	*request
}

// call is what goes in one call, how large that is, and how large the answer.
type call struct {
	items         []item
	bytes, answer int64
}

// size is that of the call with one more message of so many bytes.
func (c *call) size(more int64) int64 {
	_, head, tail := frame(&c.items[0].message)
	commas := int64(len(c.items))
	return int64(len(head)+len(tail)) + c.bytes + commas + more
}

// frame returns where a call with m goes, and what stands around its messages.
func frame(m *mailer.Message) (path, head, tail string) {
	if m.Template.ID != "" {
		return "/email/batchWithTemplates", `{"Messages":[`, "]}"
	}
	return "/email/batch", "[", "]"
}

// calls sorts the messages into calls. The results of those that are refused before
// any traffic are set.
func (p *Provider) calls(ms []mailer.Message, results []mailer.Result) iter.Seq[call] {
	return func(yield func(call) bool) {
		var plain, templates call
		for i, m := range ms {
			r, err := p.request(m)
			if err != nil {
				results[i].Err = err
				continue
			}
			open := &plain
			if m.Template.ID != "" {
				open = &templates
			}
			size, answer := r.body.Size(), answerSize(&r.message)
			if n := len(open.items); n == maxBatch ||
				n > 0 && (open.size(size) > maxBytes || open.answer+answer > httpapi.MaxBody) {
				if !yield(*open) {
					return
				}
				*open = call{}
			}
			open.items = append(open.items, item{i, &r})
			open.bytes += size
			open.answer += answer
		}
		for _, c := range []call{plain, templates} {
			if len(c.items) > 0 && !yield(c) {
				return
			}
		}
	}
}

// answerSize is the most that an answer says about m, which can be that all of its
// recipients are inactive. Six bytes of JSON may stand for two of a name.
func answerSize(m *mailer.Message) int64 {
	n := 512
	for _, list := range [...][]mailer.Address{m.To, m.Cc, m.Bcc} {
		for _, a := range list {
			n += 3 * (len(a.Name) + len(a.Address) + len(`"" <>, `))
		}
	}
	return int64(n)
}

// sendCall makes one call and sets the results of its messages.
func (p *Provider) sendCall(ctx context.Context, c call, results []mailer.Result) {
	bodies := make([]httpapi.Body, len(c.items))
	for i, it := range c.items {
		bodies[i] = it.body
	}
	path, head, tail := frame(&c.items[0].message)
	resp, err := p.api.Do(ctx, http.MethodPost, path, httpapi.Join(head, bodies, tail))
	if err != nil {
		for _, it := range c.items {
			results[it.at].Err = adapter.Own(err)
		}
		return
	}
	own, list := split(resp, c.items)
	for i, it := range c.items {
		if own == nil {
			results[it.at].Err = p.refusal(it.request, resp, list)
			continue
		}
		results[it.at].Receipt, results[it.at].Err = p.receipt(it.request, resp, own[i])
	}
}

// split returns the part of the answer that is about each message, or nil if it does
// not have one for each in their order; and whether it is a list at all. A no does
// not say whose it is, so one part that is out of place spoils all.
func split(resp *httpapi.Response, items []item) (own [][]byte, list bool) {
	list = bytes.HasPrefix(bytes.TrimSpace(resp.Body), []byte("["))
	adapter.Elements(resp.Body, func(value []byte) { own = append(own, value) })
	if resp.Status != http.StatusOK || len(own) != len(items) {
		return nil, list
	}
	for i, it := range items {
		to := ""
		ok := adapter.Members(own[i], func(name, value []byte) {
			if string(name) == "To" {
				to = strings.ToLower(adapter.Text(value))
			}
		})
		if !ok || to != "" && !names(to, it.message.To) {
			return nil, list
		}
	}
	return own, list
}

// names says whether one of the addresses stands in a list of mailboxes in lower
// case.
func names(to string, as []mailer.Address) bool {
	words := strings.FieldsFunc(to, func(r rune) bool { return strings.ContainsRune(" ,<>", r) })
	return slices.ContainsFunc(as, func(a mailer.Address) bool {
		return slices.Contains(words, strings.ToLower(a.Address))
	})
}

// refusal is the error of a message whose call got one answer for all. A list, and
// whatever comes with the status of a yes, is not one that can be believed.
func (p *Provider) refusal(r *request, resp *httpapi.Response, list bool) error {
	if !list && resp.Status != http.StatusOK {
		_, err := p.receipt(r, resp, resp.Body)
		return err
	}
	kind, _ := classify(resp.Status, &answer{})
	if resp.Status == http.StatusOK && resp.Err != nil {
		kind = mailer.KindNetwork
	}
	e := p.api.Error(resp, kind, "", string(resp.Body))
	e.NotSent = false
	if e.Err == nil {
		e.Err = errors.New("the answer does not have one result for each message in their order")
	}
	return e
}
