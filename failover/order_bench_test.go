package failover_test

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/failover"
)

// plenty is an allowance that no benchmark uses up.
var plenty = failover.Allowance{Day: math.MaxInt64, Month: math.MaxInt64}

// ordersOf makes each kind of Order for targets "a", "b" and "c".
func ordersOf() map[string]failover.Order {
	allow := map[string]failover.Allowance{"a": plenty, "b": plenty, "c": plenty}
	domains := map[string][]string{"example.com": {"b", "a"}, ".example.org": {"c"}}
	return map[string]failover.Order{
		"Weighted":           &failover.Weighted{},
		"Warm":               &failover.Warm{Share: 0.02},
		"ByDomain":           &failover.ByDomain{Targets: domains},
		"Budget":             &failover.Budget{Allow: allow},
		"Budget of Weighted": &failover.Budget{Allow: allow, Inner: &failover.Weighted{}},
	}
}

// BenchmarkOrder measures the choice of the targets for one message, without what
// the chain does around it.
func BenchmarkOrder(b *testing.B) {
	for name, o := range ordersOf() {
		b.Run(name, func(b *testing.B) {
			targets := infos(6, 3, 1)
			bound(b, o, targets)
			m, dst := message(), make([]int, 0, 3)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := o.Order(dst, m, targets); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// withAll is a chain over bare with all that this package offers.
func withAll(t testing.TB) mailer.Sender {
	shared := &failover.Shared{}
	cfg := failover.Config{
		Logger:    slog.New(slog.DiscardHandler),
		OnAttempt: func(context.Context, mailer.Attempt) {},
		Store:     shared,
		Order: &failover.Budget{
			Inner:  &failover.Weighted{},
			Allow:  map[string]failover.Allowance{"a": plenty, "b": plenty},
			Shared: shared,
		},
	}
	c, err := failover.New(cfg,
		failover.Target{Name: "a", Sender: bare, Weight: 3, Limiter: &failover.Rate{PerSecond: 1e9}},
		failover.Target{Name: "b", Sender: bare, Limiter: &failover.Rate{PerSecond: 1e9}})
	require.NoError(t, err)
	return c
}

// BenchmarkSendWithAll measures what a chain adds that has an order, budgets, limits
// and a shared store: read it against "bare" of BenchmarkSend.
func BenchmarkSendWithAll(b *testing.B) {
	for _, goroutines := range []int{1, 8, 64} {
		b.Run(fmt.Sprint(goroutines), func(b *testing.B) {
			c, m := withAll(b), message()
			b.ReportAllocs()
			b.SetParallelism(max(1, goroutines/runtime.GOMAXPROCS(0)))
			if goroutines == 1 {
				for b.Loop() {
					if _, err := c.Send(b.Context(), m); err != nil {
						b.Fatal(err)
					}
				}
				return
			}
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := c.Send(b.Context(), m); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

func TestOrdersAllocateNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for name, o := range ordersOf() {
		t.Run(name, func(t *testing.T) {
			targets := infos(6, 3, 1)
			bound(t, o, targets)
			m, dst := message(), make([]int, 0, 3)
			require.Zero(t, testing.AllocsPerRun(200, func() { _, _ = o.Order(dst, m, targets) }))
		})
	}
	c, m := withAll(t), message()
	require.LessOrEqual(t, testing.AllocsPerRun(200, func() { _, _ = c.Send(t.Context(), m) }), 2.0)
}
