package mailer_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed355143d4/mailer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func messages(n int) []mailer.Message {
	ms := make([]mailer.Message, n)
	for i := range ms {
		ms[i].ID = fmt.Sprint(i)
	}
	return ms
}

func TestSendAllKeepsTheOrderAndBoundsWhatIsInFlight(t *testing.T) {
	for _, n := range []int{1, 63, 64, 65, 1000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var flying, most atomic.Int64
				calls := make([]atomic.Int64, n)
				s := mailer.SenderFunc(func(_ context.Context, m mailer.Message) (mailer.Receipt, error) {
					now := flying.Add(1)
					defer flying.Add(-1)
					for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
					}
					var i int
					_, err := fmt.Sscan(m.ID, &i)
					require.NoError(t, err)
					calls[i].Add(1)
					time.Sleep(time.Duration(n-i) * time.Second) // later ones end earlier
					if i%3 == 1 {
						return mailer.Receipt{}, &mailer.Error{Kind: mailer.KindContent, NotSent: true, Code: m.ID}
					}
					return mailer.Receipt{ID: m.ID}, nil
				})
				results := mailer.SendAll(t.Context(), s, messages(n))
				require.Len(t, results, n)
				for i, r := range results {
					require.EqualValues(t, 1, calls[i].Load(), "each is sent once")
					if i%3 == 1 {
						require.Equal(t, mailer.Result{Err: &mailer.Error{Kind: mailer.KindContent, NotSent: true, Code: fmt.Sprint(i)}}, r)
					} else {
						require.Equal(t, mailer.Result{Receipt: mailer.Receipt{ID: fmt.Sprint(i)}}, r)
					}
				}
				require.EqualValues(t, min(n, 64), most.Load(), "as many at once as there may be")
			})
		})
	}
}

func TestSendAllStopsBeginningWhenTheContextEnds(t *testing.T) {
	for _, c := range []struct {
		name  string
		end   func(context.Context) (context.Context, context.CancelFunc)
		kind  mailer.Kind
		cause error
	}{
		{"by a cancel", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(1500*time.Millisecond, cancel)
			return ctx, cancel
		}, mailer.KindCanceled, context.Canceled},
		{"by its deadline", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 1500*time.Millisecond)
		}, mailer.KindNetwork, context.DeadlineExceeded},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := c.end(t.Context())
				defer cancel()
				start := time.Now()
				results := mailer.SendAll(ctx, mailer.SenderFunc(func(ctx context.Context, m mailer.Message) (mailer.Receipt, error) {
					select {
					case <-time.After(time.Second):
						return mailer.Receipt{ID: m.ID}, nil
					case <-ctx.Done():
						return mailer.Receipt{}, &mailer.Error{Kind: mailer.KindOf(ctx.Err()), Err: ctx.Err()}
					}
				}), messages(200))
				require.Equal(t, 1500*time.Millisecond, time.Since(start), "it returns when ctx ends")
				require.Len(t, results, 200)
				var taken, doubtful, notBegun int
				for _, r := range results {
					switch {
					case r.Err == nil:
						taken++
					case mailer.NotSent(r.Err):
						notBegun++
					default:
						doubtful++
					}
					if r.Err != nil {
						require.Equal(t, c.kind, mailer.KindOf(r.Err))
						require.ErrorIs(t, r.Err, c.cause)
					}
				}
				require.Equal(t, []int{64, 64, 72}, []int{taken, doubtful, notBegun})
			})
		})
	}
	t.Run("nothing is begun after it", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		results := mailer.SendAll(ctx, mailer.SenderFunc(func(context.Context, mailer.Message) (mailer.Receipt, error) {
			t.Error("sent")
			return mailer.Receipt{}, nil
		}), messages(3))
		require.Len(t, results, 3)
		for _, r := range results {
			require.True(t, mailer.NotSent(r.Err))
		}
	})
}

// batch is a BatchSender that counts what it is called for.
type batch struct{ single, batches int }

func (b *batch) Send(_ context.Context, m mailer.Message) (mailer.Receipt, error) {
	b.single++
	return mailer.Receipt{ID: m.ID}, nil
}

func (*batch) MaxBatch() int { return 2 }

func (b *batch) SendBatch(_ context.Context, ms []mailer.Message) []mailer.Result {
	b.batches++
	rs := make([]mailer.Result, len(ms))
	for i := range ms {
		rs[i].Receipt.ID = "batch " + ms[i].ID
	}
	return rs
}

func TestSendAllUsesTheBatchCallOfTheOutermostSenderOnly(t *testing.T) {
	b := &batch{}
	results := mailer.SendAll(t.Context(), b, messages(5))
	require.Equal(t, batch{batches: 1}, *b)
	require.Len(t, results, 5)
	require.Equal(t, "batch 4", results[4].Receipt.ID)

	// A wrapper that has no SendBatch is not sent past, whatever it wraps.
	b = &batch{}
	var watched atomic.Int64
	watch := mailer.SenderFunc(func(ctx context.Context, m mailer.Message) (mailer.Receipt, error) {
		watched.Add(1)
		return mailer.Receipt{ID: m.ID}, nil
	})
	results = mailer.SendAll(t.Context(), opened{watch, b}, messages(5))
	require.Equal(t, batch{}, *b)
	require.EqualValues(t, 5, watched.Load())
	require.Equal(t, "4", results[4].Receipt.ID)
}

// opened sends by one Sender and lets look through to another.
type opened struct {
	mailer.Sender
	inner mailer.Sender
}

func (o opened) Unwrap() mailer.Sender { return o.inner }

func TestSendAllOfNothingIsNothing(t *testing.T) {
	b := &batch{}
	require.Nil(t, mailer.SendAll(t.Context(), b, nil))
	require.Nil(t, mailer.SendAll(t.Context(), b, []mailer.Message{}))
	require.Equal(t, batch{}, *b)
}
