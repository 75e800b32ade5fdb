package mailjet

import (
	"context"
	"net/http"
	"slices"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
)

// The limits of a batch.
const (
	maxBatch = 50      // messages in one call
	maxBytes = 4 << 20 // of a call with several messages; ours, Mailjet publishes none
	inFlight = 16      // calls at once
)

// MaxBatch returns 50, the most messages that one call takes.
// Source: https://dev.mailjet.com/email/guides/send-api-v31/ (read 2026-11).
func (p *Provider) MaxBatch() int { return maxBatch }

// SendBatch sends the messages and returns one Result for each, in their order.
// They may differ in everything. Up to 50 go in one call, those for the sandbox
// apart from the others, and fewer if the call would be larger than 4 MiB; a text,
// an HTML body and files which all messages of a call share stand in it once. Up to
// 16 calls are under way at once.
//
// Mailjet takes and refuses each message of a call by itself. If an answer is lost,
// or does not have a result for each message of its call, the outcome is unknown
// for the messages of that call: NotSent is false.
func (p *Provider) SendBatch(ctx context.Context, ms []mailer.Message) []mailer.Result {
	if len(ms) == 0 {
		return nil
	}
	results := make([]mailer.Result, len(ms))
	var kinds [2][]*request // to be sent, and for the sandbox
	for i, m := range ms {
		r, err := p.request(m)
		if err != nil {
			results[i].Err = err
			continue
		}
		r.at = i
		kind := &kinds[0]
		if r.sandbox {
			kind = &kinds[1]
		}
		*kind = append(*kind, r)
	}
	var calls [][]*request
	for _, rs := range kinds {
		calls = slices.AppendSeq(calls, slices.Chunk(rs, maxBatch))
	}
	adapter.Each(len(calls), inFlight, func(i int) {
		p.deliver(ctx, calls[i])
		for _, r := range calls[i] {
			results[r.at] = r.result
		}
	})
	return results
}

// deliver sends the requests in one call, or in several if it would be too large,
// and sets their results. They are all for the sandbox, or none is.
func (p *Provider) deliver(ctx context.Context, rs []*request) {
	body, err := encode(rs)
	if n := len(rs) / 2; n > 0 && body.Size() > maxBytes {
		p.deliver(ctx, rs[:n])
		p.deliver(ctx, rs[n:])
		return
	}
	if err == nil {
		resp, failed := p.api.Do(ctx, http.MethodPost, "/v3.1/send", body)
		if failed == nil {
			p.read(rs, resp)
			return
		}
		err = failed
	}
	for _, r := range rs {
		r.result.Err = adapter.Own(err)
	}
}
