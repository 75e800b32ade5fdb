package providertest

import (
	"io"
	"net/http"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
)

// sendMemory is how much may be allocated for a message, however large its files
// are, unless the Spec allows more.
const sendMemory = 256 << 10

// testStream holds an adapter to writing large files while it sends them: it
// allocates no text of their size.
func (s *suite) testStream(t *testing.T, h HTTP) {
	m := s.message("minimal")
	service, p := s.start(t, s.Peer)
	_, err := s.send(t.Context(), t, service, p, m)
	require.NoError(t, err)
	answer, _ := h.Accept(1, s.only(t, service))

	var written int64
	p, err = h.New("http://"+nobody, &http.Client{Transport: RoundTrip(func(r *http.Request) (*http.Response, error) {
		n, err := io.CopyBuffer(onlyWriter{io.Discard}, onlyReader{r.Body}, make([]byte, 32<<10))
		if err != nil {
			return nil, err
		}
		written = n
		return answer.response(r), nil
	})})
	require.NoError(t, err)
	size := 10_000_000
	for ; ; size /= 2 { // the most of this that the service takes
		m.Attachments = []mailer.Attachment{{Name: "large.bin", Content: noise(size)}}
		err := s.check(t, p, m)
		if err == nil {
			break
		}
		require.ErrorIs(t, err, mailer.KindTooLarge)
	}

	allowed := uint64(sendMemory + s.Memory*size)
	var least uint64
	for i := range 4 { // the first fills pools
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := p.Send(t.Context(), m)
		runtime.ReadMemStats(&after)
		require.NoError(t, err)
		require.Greater(t, written, int64(size), "the file was not sent")
		if n := after.TotalAlloc - before.TotalAlloc; i == 0 || n < least {
			least = n
		}
	}
	require.LessOrEqual(t, least, allowed, "bytes allocated for a file of %d", size)
	t.Logf("%d bytes allocated for a file of %d", least, size)
}

// onlyReader and onlyWriter hide what would make io.CopyBuffer use no buffer.
type (
	onlyReader struct{ io.Reader }
	onlyWriter struct{ io.Writer }
)
