package socketlabs

import (
	"context"
	"errors"
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
	calls := p.calls(ms, results)
	adapter.Each(len(calls), inFlight, func(i int) { p.sendCall(ctx, calls[i], results) })
	return results
}

// item is a message of a batch and its place there.
type item struct {
	at int
	*request
}

// calls sorts the messages into calls. The results of those that are refused before
// any traffic are set.
func (p *Provider) calls(ms []mailer.Message, results []mailer.Result) (calls [][]item) {
	size := 0 // of the last call
	for i, m := range ms {
		r, err := p.request(m)
		if err != nil {
			results[i].Err = err
			continue
		}
		last := len(calls) - 1
		if last < 0 || len(calls[last]) == maxBatch || size+r.size > maxBytes {
			calls, size = append(calls, nil), 0
			last++
		}
		r.body = httpapi.Body{} // the call's is made when it is sent
		calls[last] = append(calls[last], item{i, &r})
		size += r.size
	}
	return calls
}

// sendCall makes one call and sets the results of its messages.
func (p *Provider) sendCall(ctx context.Context, items []item, results []mailer.Result) {
	rs := make([]*request, len(items))
	for i, it := range items {
		rs[i] = it.request
	}
	body, _ := p.encode(rs...)
	resp, err := p.api.Do(ctx, http.MethodPost, path, body)
	if e, ok := errors.AsType[*mailer.Error](err); ok {
		for _, it := range items {
			own := *e
			results[it.at].Err = &own
		}
		return
	}
	a := parse(resp, len(items))
	for i, it := range items {
		results[it.at].Receipt, results[it.at].Err = p.receipt(it.request, &a, i, resp)
	}
}
