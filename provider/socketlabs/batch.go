package socketlabs

import (
	"context"
	"iter"
	"net/http"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/internal/httpapi"
)

// The limits of a batch.
const (
	maxBatch = 10      // messages in one call
	maxBytes = 4 << 20 // of a call with several messages; ours, SocketLabs names none
	inFlight = 8       // calls at once
)

// MaxBatch returns 10, the most messages that one call takes.
// Source: the reference of the Injection API from 2014; no later page names it (read
// 2026-11).
func (p *Provider) MaxBatch() int { return maxBatch }

// SendBatch sends the messages and returns one Result for each, in their order.
// They may differ in everything. Up to 10 go in one call, fewer if the call would be
// larger than 4 MiB. Up to 8 calls are under way at once.
//
// SocketLabs names the messages of a call that it refuses, and takes the others. If
// an answer is lost, or names a message which the call did not have, the outcome is
// unknown for the messages of that call: NotSent is false.
func (p *Provider) SendBatch(ctx context.Context, ms []mailer.Message) []mailer.Result {
	if len(ms) == 0 {
		return nil
	}
	results := make([]mailer.Result, len(ms))
	adapter.Feed(inFlight, p.calls(ms, results), func(items []item) { p.sendCall(ctx, items, results) })
	return results
}

// item is a message of a batch and its place there.
type item struct {
	at int
	*request
}

// calls sorts the messages into calls. The results of those that are refused before
// any traffic are set.
func (p *Provider) calls(ms []mailer.Message, results []mailer.Result) iter.Seq[[]item] {
	return func(yield func([]item) bool) {
		var open []item
		frame := p.encode().Size() // of a call without a message
		size := frame
		for i, m := range ms {
			r, err := p.request(m)
			if err != nil {
				results[i].Err = err
				continue
			}
			own := r.body.Size() - frame
			if n := len(open); n == maxBatch || n > 0 && size+int64(n)+own > maxBytes { // n commas
				if !yield(open) {
					return
				}
				open, size = nil, frame
			}
			size += own
			r.body = httpapi.Body{} // the call's is made when it is sent
			open = append(open, item{i, &r})
		}
		if len(open) > 0 {
			yield(open)
		}
	}
}

// sendCall makes one call and sets the results of its messages.
func (p *Provider) sendCall(ctx context.Context, items []item, results []mailer.Result) {
	rs := make([]*request, len(items))
	for i, it := range items {
		rs[i] = it.request
	}
	resp, err := p.api.Do(ctx, http.MethodPost, path, p.encode(rs...))
	if err != nil {
		for _, it := range items {
			results[it.at].Err = adapter.Own(err)
		}
		return
	}
	a := parse(resp, len(items))
	for i, it := range items {
		results[it.at].Receipt, results[it.at].Err = p.receipt(it.request, &a, i, resp)
	}
}
