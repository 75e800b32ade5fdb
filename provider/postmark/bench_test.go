package postmark

import (
	"testing"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/providertest"
)

// A registration mail is to cost no more than 70 allocations, of which some 64 are
// those of net/http.
var bench = providertest.Bench{
	New: func(baseURL string) (mailer.Provider, error) {
		return New(Config{ServerToken: token, BaseURL: baseURL})
	},
	Path:   "/email",
	Answer: yes("7f4f2c9e-5c5b-4a27-9f3a-2f0a1f3f9c11", "OK"),
	Check:  4, // two mailboxes with names, the Message-ID, and the body
	Send:   8,
}

func TestAllocations(t *testing.T) { bench.Allocations(t) }

func Benchmark(b *testing.B) { bench.Run(b) }
