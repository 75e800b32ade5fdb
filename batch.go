package mailer

import (
	"context"
	"sync"
	"sync/atomic"
)

// Result is what became of one message of many: what Send would have returned.
type Result struct {
	Receipt Receipt
	Err     error
}

// sendAllWorkers is how many messages SendAll has in flight at once when the
// Sender has no batch call.
const sendAllWorkers = 64

// SendAll sends the messages and returns one Result for each, in their order. It
// uses the batch call of s if s itself is a [BatchSender]; it does not look
// through wrappers for one, since that would send past them. Otherwise it calls
// Send for each, at most 64 at a time.
//
// Each Result keeps the promises of Send. When ctx ends, messages that were not
// yet begun get a [KindCanceled] or [KindNetwork] error with NotSent true.
// SendAll returns when everything has ended; it leaves no goroutine.
func SendAll(ctx context.Context, s Sender, ms []Message) []Result {
	if len(ms) == 0 {
		return nil
	}
	if b, ok := s.(BatchSender); ok {
		return b.SendBatch(ctx, ms)
	}
	results := make([]Result, len(ms))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(sendAllWorkers, len(ms)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(ms); i = int(next.Add(1)) - 1 {
				if err := ctx.Err(); err != nil {
					results[i].Err = &Error{Kind: KindOf(err), NotSent: true, Err: err}
					continue
				}
				results[i].Receipt, results[i].Err = s.Send(ctx, ms[i])
			}
		})
	}
	wg.Wait()
	return results
}
