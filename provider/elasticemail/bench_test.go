package elasticemail

import (
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
	Answer: providertest.JSON(200, yes200),
	Check:  3, // the body, the addresses
	Send:   8,
}

func TestAllocations(t *testing.T) { bench.Allocations(t) }

func Benchmark(b *testing.B) { bench.Run(b) }
