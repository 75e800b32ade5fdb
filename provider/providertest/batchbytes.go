package providertest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
)

// most is the size of the largest message that the suite makes to find out what a
// service calls too large.
const most = 64 << 20

// testBatchBytes holds SendBatch to the most bytes of a call, to the byte, and to
// sending what is beside a message that is larger.
func (s *suite) testBatchBytes(t *testing.T, h HTTP, maxBatch int) {
	if maxBatch > 1 {
		require.Positive(t, s.BatchBytes, "Spec.BatchBytes")
		if s.BatchBytes <= mostText {
			t.Run("texts fill a call to the byte", func(t *testing.T) { s.testBatchTexts(t, h, min(maxBatch, 40)) })
		}
		if !s.unsupported("attachment") {
			t.Run("files fill a call to the byte", func(t *testing.T) { s.testBatchFiles(t, h, min(maxBatch, 3)) })
		}
	}
	const beside = "a message that is too large stops no other: "
	t.Run(beside+"text", func(t *testing.T) {
		s.testBatchTooLarge(t, h, min(most, mostText), func(m *mailer.Message, size int) { m.Text = strings.Repeat("x", size) })
	})
	if !s.unsupported("attachment") {
		t.Run(beside+"file", func(t *testing.T) { s.testBatchTooLarge(t, h, most, attach) })
	}
}

// attach attaches a file whose base64 is one letter over and over.
func attach(m *mailer.Message, size int) {
	m.Attachments = []mailer.Attachment{{Name: "zeros.bin", Content: make([]byte, size)}}
}

// testBatchTexts fills calls with texts of their messages' own.
func (s *suite) testBatchTexts(t *testing.T, h HTTP, n int) {
	send := func(letters int) []int64 {
		return s.taken(t, h, s.batchWith(n, func(i int, m *mailer.Message) {
			size := letters / n
			if i == 0 {
				size += letters % n
			}
			m.Text = m.ID + strings.Repeat("x", size)
		}))
	}
	base, some := send(0), send(1000)
	require.Len(t, base, 1, "calls for small messages; see Spec.Batch")
	require.Equal(t, base[0]+1000, some[0], "bytes of a call with 1000 more letters; see Spec.Batch")
	room := s.BatchBytes - int(base[0])
	require.Equal(t, []int64{int64(s.BatchBytes)}, send(room), "bytes of what fits into one call")
	require.Len(t, send(room+1), 2, "calls for one byte more")
	require.LessOrEqual(t, len(send(9*room/4)), 4, "calls for two and a quarter times as much")
}

// testBatchFiles fills calls with a file, which the messages may share.
func (s *suite) testBatchFiles(t *testing.T, h HTTP, n int) {
	send := func(file, letters int) []int64 {
		return s.taken(t, h, s.batchWith(n, func(i int, m *mailer.Message) {
			if attach(m, file); i == 0 {
				m.Text += strings.Repeat("x", letters)
			}
		}))
	}
	base, some := send(3, 0), send(3003, 0)
	if len(base) > 1 {
		t.Log("messages with files share no call")
		return
	}
	each := int(some[0]-base[0]) / 1000 // bytes of a call for three of the file
	require.Positive(t, each)
	room := s.BatchBytes - int(base[0])
	file, letters := 3+room/each*3, room%each
	require.Equal(t, []int64{int64(s.BatchBytes)}, send(file, letters), "bytes of what fits into one call")
	require.Len(t, send(file, letters+1), 2, "calls for one byte more")
}

// testBatchTooLarge sends the least that the service calls too large, among others.
func (s *suite) testBatchTooLarge(t *testing.T, h HTTP, most int, load func(m *mailer.Message, size int)) {
	for size := 1 << 20; size <= most; size *= 2 {
		c, p := s.count(t, h)
		ms := s.batchWith(4, func(i int, m *mailer.Message) {
			if i == 1 {
				load(m, size)
			}
		})
		checked := p.(mailer.Checker).Check(ms[1])
		if checked == nil && size <= s.BatchBytes {
			continue
		}
		results := s.sendCounted(t, c, p, ms)
		if checked == nil { // it goes, in a call of its own
			s.inOrder(t, c, ms, results)
			continue
		}
		require.ErrorIs(t, results[1].Err, mailer.KindTooLarge)
		require.True(t, mailer.NotSent(results[1].Err), "NotSent of: %v", results[1].Err)
		require.Equal(t, checked.Error(), results[1].Err.Error(), "Check says another thing")
		ms, results = append(ms[:1], ms[2:]...), append(results[:1], results[2:]...)
		s.inOrder(t, c, ms, results)
		return
	}
	t.Logf("the service takes %d bytes", most)
}

// taken sends the messages, all of which the service has to take, and returns the
// sizes of the calls.
func (s *suite) taken(t *testing.T, h HTTP, ms []mailer.Message) []int64 {
	t.Helper()
	c, p := s.count(t, h)
	s.inOrder(t, c, ms, s.sendCounted(t, c, p, ms))
	return c.sizes
}

// sendCounted calls SendBatch. No call with several messages may be larger than the
// Spec says.
func (s *suite) sendCounted(t *testing.T, c *counter, p mailer.Provider, ms []mailer.Message) []mailer.Result {
	t.Helper()
	results, ok := patiently(t.Context(), t, func() []mailer.Result { return p.(mailer.BatchSender).SendBatch(t.Context(), ms) })
	if !ok {
		t.FailNow()
	}
	require.Len(t, results, len(ms), "results")
	for i, q := range c.requests {
		if n := len(owners(q)); n > 1 {
			require.LessOrEqual(t, c.sizes[i], int64(s.BatchBytes), "bytes of a call with %d messages", n)
		}
	}
	return results
}

// count makes a provider whose calls are counted.
func (s *suite) count(t *testing.T, h HTTP) (*counter, mailer.Provider) {
	t.Helper()
	c := &counter{h: h}
	p, err := h.New("http://"+nobody, &http.Client{Transport: RoundTrip(c.serve)})
	require.NoError(t, err)
	return c, p
}

// counter is a service that takes batches without a network, and without keeping
// what makes them large.
type counter struct {
	Service
	h        HTTP
	mu       sync.Mutex
	requests []Request
	sizes    []int64 // of their bodies
}

func (c *counter) Requests() []Request { return c.requests }

func (c *counter) serve(r *http.Request) (*http.Response, error) {
	var thin thinner
	n, err := io.Copy(&thin, r.Body)
	if err != nil {
		return nil, err
	}
	if r.ContentLength != n {
		return nil, fmt.Errorf("the body has %d bytes, Content-Length says %d", n, r.ContentLength)
	}
	q := c.h.request(r, thin.kept)
	c.mu.Lock()
	defer c.mu.Unlock()
	answer, ids := c.h.AcceptBatch(len(c.sizes)+1, q)
	q.messageIDs = ids
	c.requests, c.sizes = append(c.requests, q), append(c.sizes, n)
	return answer.response(r), nil
}

// thinner keeps what is written but for the most of a letter that stands many times
// in a row. It leaves out fours, so that base64 stays base64.
type thinner struct {
	kept []byte
	run  int // of the last letter
}

// block is how much is left out at once. It is a multiple of four.
const block = 1024

func (t *thinner) Write(p []byte) (int, error) {
	kept, run := t.kept, t.run
	for i := 0; i < len(p); i++ {
		b := p[i]
		if next := i + block; run >= 64 && next < len(p) && b == kept[len(kept)-1] && bytes.Equal(p[i:next], p[i+1:next+1]) {
			i = next - 1
			continue
		}
		if run++; len(kept) == 0 || b != kept[len(kept)-1] {
			run = 1
		}
		if kept = append(kept, b); run == 68 {
			kept, run = kept[:len(kept)-4], 64
		}
	}
	t.kept, t.run = kept, run
	return len(p), nil
}
