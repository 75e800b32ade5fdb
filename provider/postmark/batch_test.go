package postmark

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/httpapi"
	"github.com/seed355143d4/mailer/provider/providertest"
)

// batchService plays Postmark for batches. It gives a message the id of its ID.
type batchService struct {
	mu      sync.Mutex
	calls   []batchCall
	running int
	most    int
	// answer, if set, makes the answer of a call from its results, or breaks it off.
	answer func(call batchCall, results []string) (providertest.Answer, error)
	wait   time.Duration
}

// batchCall is a call as it came.
type batchCall struct {
	path     string
	messages []json.RawMessage
	ids      []string
	size     int
}

func (s *batchService) provider(t require.TestingT) *Provider {
	p, err := New(Config{ServerToken: token, HTTPClient: &http.Client{Transport: providertest.RoundTrip(func(r *http.Request) (*http.Response, error) {
		s.mu.Lock()
		s.running++
		s.most = max(s.most, s.running)
		s.mu.Unlock()
		body, err := io.ReadAll(r.Body)
		if err == nil && s.wait > 0 {
			select {
			case <-time.After(s.wait):
			case <-r.Context().Done():
				err = r.Context().Err()
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.running--
		if err != nil {
			return nil, err
		}
		require.EqualValues(t, len(body), r.ContentLength)
		call := batchCall{path: r.URL.Path, size: len(body)}
		if call.path == "/email/batchWithTemplates" {
			var object struct{ Messages []json.RawMessage }
			require.NoError(t, json.Unmarshal(body, &object))
			call.messages = object.Messages
		} else {
			require.Equal(t, "/email/batch", call.path)
			require.NoError(t, json.Unmarshal(body, &call.messages))
		}
		var results []string
		for _, m := range call.messages {
			w := decode(t, m)
			require.Equal(t, call.path == "/email/batchWithTemplates", w.TemplateAlias != "", "the message is on the wrong path")
			call.ids = append(call.ids, w.Metadata["mailer_id"])
			results = append(results, fmt.Sprintf(`{"To":%q,"SubmittedAt":"2026-11-02T09:14:07Z","MessageID":"7f4f-%s","ErrorCode":0,"Message":"OK"}`,
				w.To, w.Metadata["mailer_id"]))
		}
		s.calls = append(s.calls, call)
		answer := listed(200, results...)
		if s.answer != nil {
			if answer, err = s.answer(call, results); err != nil {
				return nil, err
			}
		}
		return &http.Response{StatusCode: answer.Status, Body: io.NopCloser(strings.NewReader(answer.Body))}, nil
	})}})
	require.NoError(t, err)
	return p
}

// listed is an answer of the results.
func listed(status int, results ...string) providertest.Answer {
	return providertest.JSON(status, "["+strings.Join(results, ",")+"]")
}

// many makes n messages that differ.
func many(n int) []mailer.Message {
	ms := make([]mailer.Message, n)
	for i := range ms {
		ms[i] = mailer.Message{
			ID:      fmt.Sprintf("m%d", i),
			From:    mailer.Address{Address: "shop@example.com"},
			To:      []mailer.Address{{Name: "Reader", Address: fmt.Sprintf("Reader%d@example.com", i)}, {Address: fmt.Sprintf("Second%d@example.com", i)}},
			Subject: fmt.Sprintf("Hello %d", i),
			Text:    fmt.Sprintf("Hello %d", i),
		}
	}
	return ms
}

// lens are how many messages the calls to a path had.
func (s *batchService) lens(path string) (lens []int) {
	for _, c := range s.calls {
		if c.path == path {
			lens = append(lens, len(c.messages))
		}
	}
	slices.Sort(lens)
	return lens
}

func requireOwn(t *testing.T, ms []mailer.Message, results []mailer.Result) {
	t.Helper()
	require.Len(t, results, len(ms))
	for i, r := range results {
		require.NoError(t, r.Err, "message %d", i)
		require.Equal(t, mailer.Receipt{ID: ms[i].ID, Provider: "postmark", MessageID: "7f4f-" + ms[i].ID}, r.Receipt)
	}
}

func requireUnknown(t *testing.T, kind mailer.Kind, results ...mailer.Result) {
	t.Helper()
	seen := map[error]bool{}
	for i, r := range results {
		require.Error(t, r.Err, "message %d", i)
		require.Equal(t, kind.String(), mailer.KindOf(r.Err).String(), "the kind of: %v", r.Err)
		require.False(t, mailer.NotSent(r.Err), "NotSent of: %v", r.Err)
		require.Equal(t, mailer.Receipt{}, r.Receipt)
		require.False(t, seen[r.Err], "two messages share an error")
		seen[r.Err] = true
	}
}

func TestBatchGoesInCallsOfFiveHundred(t *testing.T) {
	for n, want := range map[int][]int{1: {1}, 500: {500}, 501: {1, 500}, 1203: {203, 500, 500}} {
		t.Run(fmt.Sprintf("%d messages", n), func(t *testing.T) {
			s := &batchService{}
			ms := many(n)
			requireOwn(t, ms, s.provider(t).SendBatch(t.Context(), ms))
			require.Equal(t, want, s.lens("/email/batch"))
		})
	}
	p := (&batchService{}).provider(t)
	require.Equal(t, 500, p.MaxBatch())
	require.Empty(t, p.SendBatch(t.Context(), nil))
}

func TestBatchKeepsTemplatesApart(t *testing.T) {
	s := &batchService{}
	ms := many(1300)
	for i := range ms {
		if i%2 == 0 {
			ms[i].Subject, ms[i].Text, ms[i].Template = "", "", mailer.Template{ID: "welcome", Data: map[string]any{"n": i}}
		}
	}
	requireOwn(t, ms, s.provider(t).SendBatch(t.Context(), ms))
	require.Equal(t, []int{150, 500}, s.lens("/email/batch"))
	require.Equal(t, []int{150, 500}, s.lens("/email/batchWithTemplates"))
}

func TestBatchKeepsCallsSmall(t *testing.T) {
	t.Run("by texts as they are on the wire", func(t *testing.T) {
		s := &batchService{}
		ms := many(3)
		for i := range ms {
			ms[i].HTML = strings.Repeat(`"`, 5<<19-300) // twice as many bytes in JSON
		}
		requireOwn(t, ms, s.provider(t).SendBatch(t.Context(), ms))
		require.Equal(t, []int{1, 2}, s.lens("/email/batch"))
	})
	t.Run("by files in base64", func(t *testing.T) {
		s := &batchService{}
		ms := many(9)
		for i := range ms {
			ms[i].Attachments = []mailer.Attachment{{Name: "a.bin", Content: make([]byte, 2<<20)}}
		}
		ms[8].Attachments = nil
		requireOwn(t, ms, s.provider(t).SendBatch(t.Context(), ms))
		for _, c := range s.calls {
			require.LessOrEqual(t, c.size, maxBytes)
		}
		require.Equal(t, []int{3, 3, 3}, s.lens("/email/batch"))
	})
	t.Run("but a large message goes by itself", func(t *testing.T) {
		s := &batchService{}
		p, ms := s.provider(t), many(3)
		for i := range 2 {
			ms[i].Attachments = []mailer.Attachment{{Name: "a.bin", Content: make([]byte, 7<<20)}}
			r, err := p.request(ms[i])
			require.NoError(t, err)
			ms[i].Text += strings.Repeat("x", int(MaxSize-r.body.Size()))
		}
		requireOwn(t, ms, p.SendBatch(t.Context(), ms))
		require.Equal(t, []int{1, 1, 1}, s.lens("/email/batch"))
	})
	t.Run("by the answer that is to come", func(t *testing.T) {
		s := &batchService{}
		ms := many(450)
		for i := range ms {
			ms[i].To = ms[i].To[:1]
			for j := range 49 {
				ms[i].To = append(ms[i].To, mailer.Address{Name: strings.Repeat("\u00e9", 10), Address: fmt.Sprintf("reader%02d@%04d.example.com", j, i)})
			}
		}
		requireOwn(t, ms, s.provider(t).SendBatch(t.Context(), ms))
		require.Greater(t, len(s.calls), 3)
	})
}

func TestBatchWithWrongMessages(t *testing.T) {
	s := &batchService{}
	ms := many(6)
	ms[1].Subject = "Hello\r\n"
	ms[2].SendAt = time.Unix(1e9, 0)
	ms[4].HTML = strings.Repeat("x", MaxBody+1)
	results := s.provider(t).SendBatch(t.Context(), ms)
	for i, kind := range map[int]mailer.Kind{1: mailer.KindInvalid, 2: mailer.KindUnsupported, 4: mailer.KindTooLarge} {
		require.ErrorIs(t, results[i].Err, kind)
		require.True(t, mailer.NotSent(results[i].Err))
		require.Equal(t, mailer.Receipt{}, results[i].Receipt)
	}
	require.Len(t, s.calls, 1)
	require.Equal(t, []string{"m0", "m3", "m5"}, s.calls[0].ids)
	for _, i := range []int{0, 3, 5} {
		requireOwn(t, ms[i:i+1], results[i:i+1])
	}

	s = &batchService{}
	for _, r := range s.provider(t).SendBatch(t.Context(), make([]mailer.Message, 3)) {
		require.ErrorIs(t, r.Err, mailer.KindInvalid)
	}
	require.Empty(t, s.calls)
}

func TestBatchTakenInPart(t *testing.T) {
	s := &batchService{answer: func(_ batchCall, results []string) (providertest.Answer, error) {
		results[1] = no(0, 300, "Error parsing 'To': Illegal email address.").Body
		results[2] = no(0, 406, fmt.Sprintf(inactive, "reader2@example.com, second2@example.com")).Body
		results[3] = strings.Replace(results[3], `"OK"`, `"Message OK, but will not deliver to these inactive addresses: second3@example.com."`, 1)
		results[4] = `{"Message":"Message accepted, but delivery may be delayed.","MessageID":"7f4f-m4"}`
		results[5] = no(0, 101, "Internal error").Body
		results[6] = `{"Message":"OK"}`
		results[7] = no(0, 406, fmt.Sprintf(inactive, "reader7@example.com")).Body
		return listed(200, results...), nil
	}}
	ms := many(9)
	results := s.provider(t).SendBatch(t.Context(), ms)
	for i, want := range map[int]struct {
		kind mailer.Kind
		code string
	}{1: {mailer.KindRecipient, "300"}, 2: {mailer.KindRecipient, "406"}} {
		e, ok := errors.AsType[*mailer.Error](results[i].Err)
		require.True(t, ok, "message %d", i)
		require.ErrorIs(t, e, want.kind)
		require.Equal(t, want.code, e.Code)
		require.True(t, e.NotSent)
		require.Equal(t, mailer.Receipt{}, results[i].Receipt)
	}
	requireUnknown(t, mailer.KindUnavailable, results[5])
	requireUnknown(t, mailer.KindUnknown, results[6])
	requireUnknown(t, mailer.KindRecipient, results[7]) // the other one may have it
	require.NoError(t, results[3].Err)
	require.Equal(t, "7f4f-m3", results[3].Receipt.MessageID)
	require.Len(t, results[3].Receipt.Rejected, 1)
	require.Equal(t, "Second3@example.com", results[3].Receipt.Rejected[0].Address)
	for _, i := range []int{0, 4, 8} {
		requireOwn(t, ms[i:i+1], results[i:i+1])
	}
}

func TestBatchWithoutAResultForEach(t *testing.T) {
	anonymous := func(results []string) []string {
		for i, r := range results {
			results[i] = "{" + r[strings.Index(r, `"SubmittedAt"`):]
		}
		return results
	}
	for name, c := range map[string]struct {
		kind   mailer.Kind
		answer func(r []string) providertest.Answer
	}{
		"one is missing":                {mailer.KindUnknown, func(r []string) providertest.Answer { return listed(200, r[:2]...) }},
		"one without a name is missing": {mailer.KindUnknown, func(r []string) providertest.Answer { return listed(200, anonymous(r)[1:]...) }},
		"one is too many":               {mailer.KindUnknown, func(r []string) providertest.Answer { return listed(200, append(r, r[0])...) }},
		"none is there":                 {mailer.KindUnknown, func([]string) providertest.Answer { return listed(200) }},
		"two are swapped":               {mailer.KindUnknown, func(r []string) providertest.Answer { r[0], r[1] = r[1], r[0]; return listed(200, r...) }},
		"one is swapped with a no": {mailer.KindUnknown, func(r []string) providertest.Answer {
			r[0], r[1] = no(0, 300, "x").Body, r[0]
			return listed(200, r...)
		}},
		"one is not an object": {mailer.KindUnknown, func(r []string) providertest.Answer { r[2] = `"OK"`; return listed(200, r...) }},
		"a yes to one message": {mailer.KindUnknown, func(r []string) providertest.Answer { return providertest.JSON(200, r[0]) }},
		"a no to one message":  {mailer.KindUnknown, func([]string) providertest.Answer { return no(200, 406, "Inactive.") }},
		"an object with the list": {mailer.KindUnknown, func(r []string) providertest.Answer {
			return providertest.JSON(200, `{"Messages":`+listed(200, r...).Body+`}`)
		}},
		"a web page":                     {mailer.KindUnknown, func([]string) providertest.Answer { return providertest.Answer{Status: 200, Body: "<html>"} }},
		"half a list":                    {mailer.KindUnknown, func(r []string) providertest.Answer { return providertest.JSON(200, "["+strings.Join(r, ",")) }},
		"nothing":                        {mailer.KindUnknown, func([]string) providertest.Answer { return providertest.Answer{Status: 200} }},
		"a list with another status":     {mailer.KindUnknown, func(r []string) providertest.Answer { return listed(201, r...) }},
		"a list with status 422":         {mailer.KindUnknown, func(r []string) providertest.Answer { return listed(422, r...) }},
		"a list with status 401":         {mailer.KindUnauthorized, func(r []string) providertest.Answer { return listed(401, r...) }},
		"half a list with status 422":    {mailer.KindUnknown, func(r []string) providertest.Answer { return providertest.JSON(422, " ["+r[0]) }},
		"a list with status 500":         {mailer.KindUnavailable, func(r []string) providertest.Answer { return listed(500, r...) }},
		"an error of Postmark":           {mailer.KindUnavailable, func([]string) providertest.Answer { return no(500, 101, "Internal error") }},
		"a code that the single API has": {mailer.KindUnavailable, func([]string) providertest.Answer { return no(422, 101, "Internal error") }},
		"a message longer than the limit of an answer": {mailer.KindNetwork, func(r []string) providertest.Answer {
			r[0] = strings.Replace(r[0], "OK", strings.Repeat("x", httpapi.MaxBody), 1)
			return listed(200, r...)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &batchService{answer: func(_ batchCall, results []string) (providertest.Answer, error) { return c.answer(results), nil }}
			results := s.provider(t).SendBatch(t.Context(), many(3))
			require.Len(t, results, 3)
			requireUnknown(t, c.kind, results...)
		})
	}
}

func TestBatchRefusedAsAWhole(t *testing.T) {
	for name, c := range map[string]struct {
		answer providertest.Answer
		kind   mailer.Kind
	}{
		"a bad token":       {no(401, 10, "Bad token"), mailer.KindUnauthorized},
		"bad JSON":          {no(422, 402, "Invalid JSON"), mailer.KindRejected},
		"unknown fields":    {no(422, 403, "Incompatible"), mailer.KindRejected},
		"too many messages": {no(422, 410, "Too many"), mailer.KindTooLarge},
		"too many bytes":    {providertest.Answer{Status: 413, Body: "<html>"}, mailer.KindTooLarge},
		"too many calls":    {providertest.Answer{Status: 429}, mailer.KindRateLimited},
	} {
		t.Run(name, func(t *testing.T) {
			s := &batchService{answer: func(batchCall, []string) (providertest.Answer, error) { return c.answer, nil }}
			seen := map[error]bool{}
			for _, r := range s.provider(t).SendBatch(t.Context(), many(3)) {
				require.ErrorIs(t, r.Err, c.kind)
				require.True(t, mailer.NotSent(r.Err))
				require.False(t, seen[r.Err], "two messages share an error")
				seen[r.Err] = true
			}
			require.Len(t, s.calls, 1)
		})
	}
}

func TestBatchLosesOneAnswer(t *testing.T) {
	lost := errors.New("connection reset")
	s := &batchService{answer: func(c batchCall, results []string) (providertest.Answer, error) {
		if c.ids[0] == "m500" {
			return providertest.Answer{}, lost
		}
		return listed(200, results...), nil
	}}
	ms := many(1100)
	results := s.provider(t).SendBatch(t.Context(), ms)
	requireOwn(t, ms[:500], results[:500])
	requireUnknown(t, mailer.KindNetwork, results[500:1000]...)
	require.ErrorIs(t, results[500].Err, lost)
	requireOwn(t, ms[1000:], results[1000:])
}

func TestBatchSendsAFewCallsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &batchService{wait: time.Second}
		p, ms, begun := s.provider(t), many(20*500), time.Now()
		requireOwn(t, ms, p.SendBatch(t.Context(), ms))
		require.Equal(t, 3*time.Second, time.Since(begun), "20 calls, 8 at once")
		require.Equal(t, 8, s.most)
	})
}

func TestBatchEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		s := &batchService{wait: time.Second}
		ms := many(20 * 500)
		results := s.provider(t).SendBatch(ctx, ms)
		requireOwn(t, ms[:4000], results[:4000])
		requireUnknown(t, mailer.KindNetwork, results[4000:8000]...)
		for _, r := range results[8000:] { // not begun
			require.ErrorIs(t, r.Err, mailer.KindNetwork)
			require.True(t, mailer.NotSent(r.Err))
		}
		require.Zero(t, s.running)
	})
}

func TestBatchGivesTheMessagesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &batchService{}
		p := s.provider(t)
		ms := rapid.SliceOfN(rapid.Custom(draw), 1, 12).Draw(t, "messages")
		for i := range ms {
			ms[i].ID = fmt.Sprintf("m%d", i)
			if ms[i].Validate() != nil {
				t.Skip("not valid")
			}
		}
		results := p.SendBatch(t.Context(), ms)
		require.Len(t, s.calls, 1)
		require.Len(t, s.calls[0].messages, len(ms))
		for i, r := range results {
			require.NoError(t, r.Err)
			require.Equal(t, "7f4f-"+ms[i].ID, r.Receipt.MessageID)
			requireSays(t, ms[i], r.Receipt, s.calls[0].messages[i])
		}
	})
}
