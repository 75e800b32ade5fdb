package failover_test

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/failover"
)

// bare is the cheapest Sender there can be; as every Sender it assigns an ID.
var bare = mailer.SenderFunc(func(_ context.Context, m mailer.Message) (mailer.Receipt, error) {
	if m.ID == "" {
		m.ID = mailer.NewID()
	}
	return mailer.Receipt{ID: m.ID, Provider: "bare"}, nil
})

// listening is a Sender that asks its context for the end, as a real one does.
var listening = mailer.SenderFunc(func(ctx context.Context, m mailer.Message) (mailer.Receipt, error) {
	select {
	case <-ctx.Done():
		return mailer.Receipt{}, ctx.Err()
	default:
		return bare(ctx, m)
	}
})

// BenchmarkSend measures what a chain adds: read "chain" against "bare" of the
// same row. "std" is bare under the context.WithTimeout that a plain loop would
// make.
func BenchmarkSend(b *testing.B) {
	with := func(s mailer.Sender, cfg failover.Config, limiter failover.Limiter) mailer.Sender {
		cfg.Logger = slog.New(slog.DiscardHandler)
		c, err := failover.New(cfg,
			failover.Target{Name: "a", Sender: s, Limiter: limiter}, failover.Target{Name: "b", Sender: s})
		if err != nil {
			b.Fatal(err)
		}
		return c
	}
	chain := func(s mailer.Sender, on func(context.Context, mailer.Attempt)) mailer.Sender {
		return with(s, failover.Config{OnAttempt: on}, nil)
	}
	std := func(s mailer.Sender) mailer.Sender {
		return mailer.SenderFunc(func(ctx context.Context, m mailer.Message) (mailer.Receipt, error) {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			return s.Send(ctx, m)
		})
	}
	note := func(context.Context, mailer.Attempt) {}
	background := context.Background()
	deadline, cancel := context.WithTimeout(background, time.Hour)
	defer cancel()
	for _, row := range []struct {
		name string
		ctx  context.Context
		id   string
		s    mailer.Sender
	}{
		{"bare", background, "id", bare},
		{"bare, ID assigned", background, "", bare},
		{"bare, deadline", deadline, "id", bare},
		{"std, deadline", deadline, "id", std(bare)},
		{"chain", background, "id", chain(bare, nil)},
		{"chain, ID assigned", background, "", chain(bare, nil)},
		{"chain, OnAttempt", background, "id", chain(bare, note)},
		{"chain, all on", background, "id", with(bare, allOn(), rate.NewLimiter(rate.Inf, 1))},
		{"chain, deadline", deadline, "id", chain(bare, nil)},
		{"listening, deadline", deadline, "id", listening},
		{"listening std, deadline", deadline, "id", std(listening)},
		{"listening chain, deadline", deadline, "id", chain(listening, nil)},
	} {
		for _, goroutines := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("%s/%d", row.name, goroutines), func(b *testing.B) {
				m := message()
				m.ID = row.id
				b.ReportAllocs()
				if goroutines == 1 {
					for b.Loop() {
						if _, err := row.s.Send(row.ctx, m); err != nil {
							b.Fatal(err)
						}
					}
					return
				}
				b.SetParallelism(max(1, goroutines/runtime.GOMAXPROCS(0)))
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if _, err := row.s.Send(row.ctx, m); err != nil {
							b.Error(err)
						}
					}
				})
			})
		}
	}
}

// allOn is a Config with everything that costs something for every message.
func allOn() failover.Config {
	return failover.Config{
		OnAttempt: func(context.Context, mailer.Attempt) {},
		Order:     idle{},
		Store:     idle{},
	}
}

// idle is an Order, a Ledger and a Store that cost nothing themselves.
type idle struct{}

func (idle) Order(dst []int, _ mailer.Message, _ []failover.TargetInfo) ([]int, error) {
	return append(dst, 0, 1), nil
}
func (idle) Begin(int, mailer.Message) bool                   { return true }
func (idle) End(int, mailer.Message, error)                   {}
func (idle) Join([]string, func(string, failover.Rest)) error { return nil }
func (idle) Poll()                                            {}
func (idle) Publish(string, failover.Rest)                    {}

// BenchmarkSendBatch measures what a chain adds to a batch call of 500 messages:
// read the ns/message.
func BenchmarkSendBatch(b *testing.B) {
	ms := make([]mailer.Message, 500)
	for i := range ms {
		ms[i] = message()
	}
	direct := &nothing{}
	for _, row := range []struct {
		name string
		cfg  failover.Config
	}{{"bare", failover.Config{}}, {"chain", failover.Config{}}, {"chain, all on", allOn()}} {
		b.Run(row.name, func(b *testing.B) {
			var s mailer.Sender = direct
			if row.name != "bare" {
				s = chainOf(b, row.cfg, direct)
			}
			b.ReportAllocs()
			for b.Loop() {
				mailer.SendAll(b.Context(), s, ms)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(ms)), "ns/message")
		})
	}
}

// nothing is a BatchSender that takes everything.
type nothing struct{ mailer.Sender }

func (nothing) MaxBatch() int { return 500 }

func (nothing) SendBatch(_ context.Context, ms []mailer.Message) []mailer.Result {
	return make([]mailer.Result, len(ms))
}

// TestHappyPathAllocatesTwice holds the budget: the attempt's context and
// Receipt.Attempts.
func TestHappyPathAllocatesTwice(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	deadline, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	for name, cfg := range map[string]failover.Config{"nothing on": {}, "all on": allOn()} {
		chain, err := failover.New(cfg,
			failover.Target{Name: "a", Sender: bare, Limiter: rate.NewLimiter(rate.Inf, 1)}, failover.Target{Name: "b", Sender: bare})
		if err != nil {
			t.Fatal(err)
		}
		for _, ctx := range []context.Context{t.Context(), deadline} {
			for _, id := range []string{"", "given"} {
				m := message()
				m.ID = id
				alone := testing.AllocsPerRun(200, func() { _, _ = bare.Send(ctx, m) })
				chained := testing.AllocsPerRun(200, func() { _, _ = chain.Send(ctx, m) })
				if chained > alone+2 {
					t.Errorf("ID %q, %s: %v allocations, %v without the chain", id, name, chained, alone)
				}
			}
		}
	}
}

// What a message costs whose first target is well, by the number of targets.
func BenchmarkTargets(b *testing.B) {
	for _, n := range []int{1, 2, 4, 8} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			var senders []mailer.Sender
			for i := range n {
				senders = append(senders, failover.Target{Name: strconv.Itoa(i), Sender: mailer.SenderFunc(func(_ context.Context, m mailer.Message) (mailer.Receipt, error) {
					return mailer.Receipt{ID: m.ID, Provider: "a", MessageID: "1"}, nil
				})})
			}
			c, err := failover.New(failover.Config{}, senders...)
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(b.Context(), time.Hour)
			defer cancel()
			b.ReportAllocs()
			for b.Loop() {
				_, _ = c.Send(ctx, message())
			}
		})
	}
}
