package suppression_test

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/suppression"
)

// filled returns a list of n addresses, and how many bytes each takes.
func filled(b *testing.B, n int, detail string) (*suppression.Memory, float64) {
	b.Helper()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	m := suppression.NewMemory()
	page := make([]suppression.Entry, 0, 1000)
	for i := range n {
		page = append(page, suppression.Entry{
			Address: fmt.Sprintf("user%08d@example.com", i), Reason: suppression.HardBounce, Source: "postmark", Detail: detail, Created: time.Unix(1e9, 0),
		})
		if len(page) == cap(page) || i == n-1 {
			if err := m.Add(b.Context(), page); err != nil {
				b.Fatal(err)
			}
			page = page[:0]
		}
	}
	page = nil
	runtime.GC()
	runtime.ReadMemStats(&after)
	return m, float64(after.HeapAlloc-before.HeapAlloc) / float64(n)
}

// BenchmarkMemory looks up one address in a list of so many: present, absent. The
// size of the list is the last part of the name. The addresses come from all over
// the list, more of them than a cache of the processor holds.
func BenchmarkMemory(b *testing.B) {
	for _, n := range []int{1_000, 1_000_000, 10_000_000} {
		if n > 1_000_000 && testing.Short() {
			continue
		}
		var m *suppression.Memory
		var bytes float64
		for _, c := range []struct{ name, format string }{{"present", "user%08d@example.com"}, {"absent", "nobody%08d@example.com"}} {
			b.Run(c.name+"/"+strconv.Itoa(n), func(b *testing.B) {
				if m == nil {
					m, bytes = filled(b, n, "550 5.1.1 no such user")
				}
				addresses := make([][]string, 1<<18)
				for i := range addresses {
					addresses[i] = []string{fmt.Sprintf(c.format, i*7919%n)}
				}
				i := 0
				b.ReportAllocs()
				for b.Loop() {
					found, err := m.Lookup(b.Context(), addresses[i%len(addresses)])
					if err != nil || len(found) == 1 != (c.name == "present") {
						b.Fatal(found, err)
					}
					i++
				}
				b.ReportMetric(bytes, "bytes/address")
			})
		}
	}
}

func BenchmarkWrap(b *testing.B) {
	m, _ := filled(b, 100_000, "")
	s := suppression.Wrap(mailer.SenderFunc(func(context.Context, mailer.Message) (mailer.Receipt, error) { return mailer.Receipt{}, nil }), m, suppression.Config{})
	ctx := context.Background()
	mail := message("ada@example.com")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Send(ctx, mail); err != nil {
			b.Fatal(err)
		}
	}
}
