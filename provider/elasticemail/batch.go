package elasticemail

import (
	"context"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
)

// inFlight is how many calls a batch has under way at once. Elastic Email allows 20
// connections; some are left for single messages.
// Source: Elastic Email's OpenAPI description (read 2026-11).
const inFlight = 16

// MaxBatch returns 1: each message is a call of its own. Elastic Email's call for many
// recipients sends one content to all of them, and tells nothing of each.
func (p *Provider) MaxBatch() int { return 1 }

// SendBatch sends the messages and returns one Result for each, in their order, as
// Send would. They may differ in everything. Up to 16 calls are under way at once, and
// so [mailer.SendAll] does not run into the limit of 20 connections, over which
// Elastic Email answers 429. Batches that run at the same time share that limit.
func (p *Provider) SendBatch(ctx context.Context, ms []mailer.Message) []mailer.Result {
	results := make([]mailer.Result, len(ms))
	adapter.Each(len(ms), inFlight, func(i int) {
		results[i].Receipt, results[i].Err = p.Send(ctx, ms[i])
	})
	return results
}
