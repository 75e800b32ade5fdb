package ses

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/providertest"
)

// bench has no bounds: most of the allocations are the SDK's.
var bench = providertest.Bench{
	New:    func(baseURL string) (mailer.Provider, error) { return New(with(baseURL, nil)) },
	Path:   "/v2/email/outbound-emails",
	Answer: yes("0100018f3c1a2b4d-5e6f7a8b-1111-2222-3333-444455556666-000000"),
}

func Benchmark(b *testing.B) { bench.Run(b) }

// A file is encoded while it is hashed, and again while it is sent, so that it
// stands in memory as the caller's bytes only.
func TestLargeFileTakesNoMemory(t *testing.T) {
	const size = 10 << 20
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	p, err := New(with(providertest.Loopback(t, bench.Answer), &http.Client{Transport: transport}))
	require.NoError(t, err)
	m := providertest.Registration()
	m.Attachments = []mailer.Attachment{{Name: "a.bin", Content: make([]byte, size)}}
	result := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			if _, err := p.Send(b.Context(), m); err != nil {
				b.Fatal(err)
			}
		}
	})
	require.NotZero(t, result.N, "a message failed")
	require.Less(t, result.AllocedBytesPerOp(), int64(1<<20))
}
