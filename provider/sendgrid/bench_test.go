package sendgrid

import (
	"encoding/json"
	"testing"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/providertest"
)

// A registration mail is to cost no more than 70 allocations, of which some 64 are
// those of net/http.
var bench = providertest.Bench{
	New: func(baseURL string) (mailer.Provider, error) {
		return New(Config{APIKey: key, BaseURL: baseURL})
	},
	Path:   path,
	Answer: yes("Xj5LmNkWSOqRbdvOpR34BA"),
	Check:  4, // the payload, the map of custom arguments, and the body
	Send:   8,
}

func TestAllocations(t *testing.T) { bench.Allocations(t) }

func Benchmark(b *testing.B) { bench.Run(b) }

// BenchmarkEncode is why the vendor's types are not marshalled by encoding/json.
func BenchmarkEncode(b *testing.B) {
	m := providertest.Registration()
	v3 := &newPayload(&m).SGMailV3
	v3.CustomArgs = map[string]string{"mailer_id": m.ID}
	b.Run("by hand", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			write(v3, 6000)
		}
	})
	b.Run("encoding/json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			json.Marshal(v3)
		}
	})
}
