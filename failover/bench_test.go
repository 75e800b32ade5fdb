package failover_test

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"time"

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
	chain := func(s mailer.Sender, on func(context.Context, mailer.Attempt)) mailer.Sender {
		c, err := failover.New(failover.Config{OnAttempt: on, Logger: slog.New(slog.DiscardHandler)},
			failover.Target{Name: "a", Sender: s}, failover.Target{Name: "b", Sender: s})
		if err != nil {
			b.Fatal(err)
		}
		return c
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

// TestHappyPathAllocatesTwice holds the budget: the attempt's context and
// Receipt.Attempts.
func TestHappyPathAllocatesTwice(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	deadline, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	for _, on := range []func(context.Context, mailer.Attempt){nil, func(context.Context, mailer.Attempt) {}} {
		chain, err := failover.New(failover.Config{OnAttempt: on},
			failover.Target{Name: "a", Sender: bare}, failover.Target{Name: "b", Sender: bare})
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
					t.Errorf("ID %q, OnAttempt %t: %v allocations, %v without the chain", id, on != nil, chained, alone)
				}
			}
		}
	}
}
