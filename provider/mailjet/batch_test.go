package mailjet

import (
	"bytes"
	"context"
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
	"github.com/seed355143d4/mailer/provider/providertest"
)

// bulkService plays Mailjet for batches. It gives a message the id of its place.
type bulkService struct {
	mu      sync.Mutex
	calls   []wire
	sizes   []int
	running int
	most    int
	// answer, if set, makes the answer of a call from its results, or breaks it off.
	answer func(call wire, results []string) (providertest.Answer, error)
	wait   time.Duration
}

func (s *bulkService) provider(t require.TestingT) *Provider {
	c := keys
	c.HTTPClient = &http.Client{Transport: providertest.RoundTrip(func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		s.mu.Lock()
		s.running++
		s.most = max(s.most, s.running)
		s.mu.Unlock()
		if s.wait > 0 {
			time.Sleep(s.wait)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.running--
		if err != nil {
			return nil, err
		}
		call := decode(t, body)
		require.EqualValues(t, len(body), r.ContentLength)
		require.True(t, call.AdvanceErrorHandling)
		s.calls, s.sizes = append(s.calls, call), append(s.sizes, len(body))
		var results []string
		for _, m := range call.Messages {
			results = append(results, fmt.Sprintf(`{"Status":"success","CustomID":%q,"To":[{"Email":%q,"MessageID":%q}]}`,
				m.CustomID, m.To[0].Email, idFor(m.CustomID)))
		}
		answer := entries(200, results...)
		if s.answer != nil {
			if answer, err = s.answer(call, results); err != nil {
				return nil, err
			}
		}
		return &http.Response{StatusCode: answer.Status, Body: io.NopCloser(strings.NewReader(answer.Body))}, nil
	})}
	p, err := New(c)
	require.NoError(t, err)
	return p
}

// idFor is the service's id for a message of many.
func idFor(id string) string { return "1152921540" + strings.TrimPrefix(id, "m") }

// many makes n messages that differ.
func many(n int) []mailer.Message {
	ms := make([]mailer.Message, n)
	for i := range ms {
		ms[i] = mailer.Message{
			ID:      fmt.Sprintf("m%d", i),
			From:    mailer.Address{Address: "shop@example.com"},
			To:      []mailer.Address{{Address: fmt.Sprintf("reader%d@example.com", i)}},
			Subject: fmt.Sprintf("Hello %d", i),
			Text:    fmt.Sprintf("Hello %d", i),
		}
	}
	return ms
}

func requireOwn(t *testing.T, ms []mailer.Message, results []mailer.Result) {
	t.Helper()
	require.Len(t, results, len(ms))
	for i, r := range results {
		require.NoError(t, r.Err, "message %d", i)
		require.Equal(t, mailer.Receipt{
			ID: ms[i].ID, Provider: "mailjet", MessageID: idFor(ms[i].ID), MessageIDs: map[string]string{ms[i].To[0].Address: idFor(ms[i].ID)},
		}, r.Receipt)
	}
}

func requireUnknown(t *testing.T, r mailer.Result, kind mailer.Kind) {
	t.Helper()
	require.Error(t, r.Err)
	require.Equal(t, kind.String(), mailer.KindOf(r.Err).String(), "the kind of: %v", r.Err)
	require.False(t, mailer.NotSent(r.Err), "NotSent of: %v", r.Err)
	require.Equal(t, mailer.Receipt{}, r.Receipt)
}

// lens are how many messages the calls had.
func (s *bulkService) lens() (lens []int) {
	for _, c := range s.calls {
		lens = append(lens, len(c.Messages))
	}
	slices.Sort(lens)
	return lens
}

func TestBatchGoesInCallsOfFifty(t *testing.T) {
	for n, want := range map[int][]int{1: {1}, 50: {50}, 51: {1, 50}, 121: {21, 50, 50}} {
		t.Run(fmt.Sprintf("%d messages", n), func(t *testing.T) {
			s := &bulkService{}
			p := s.provider(t)
			ms := many(n)
			requireOwn(t, ms, p.SendBatch(t.Context(), ms))
			require.Equal(t, want, s.lens())
			seen := map[string]bool{}
			for _, c := range s.calls {
				for _, m := range c.Messages {
					require.False(t, seen[m.CustomID])
					seen[m.CustomID] = true
				}
			}
			require.Len(t, seen, n)
		})
	}
	p, err := New(keys)
	require.NoError(t, err)
	require.Equal(t, 50, p.MaxBatch())
	require.Empty(t, p.SendBatch(t.Context(), nil))
}

// merged returns the messages of a call with what Globals adds to each. What
// stands in Globals must not stand in a message too.
func merged(t require.TestingT, c wire) []wireMessage {
	if c.Globals == nil {
		return c.Messages
	}
	require.Greater(t, len(c.Messages), 1)
	for i := range c.Messages {
		m := &c.Messages[i]
		for _, l := range []struct{ own, global *string }{{&m.TextPart, &c.Globals.TextPart}, {&m.HTMLPart, &c.Globals.HTMLPart}} {
			if *l.global != "" {
				require.Empty(t, *l.own)
				*l.own = *l.global
			}
		}
		for _, l := range []struct{ own, global *[]wireFile }{{&m.Attachments, &c.Globals.Attachments}, {&m.InlinedAttachments, &c.Globals.InlinedAttachments}} {
			if *l.global != nil {
				require.Nil(t, *l.own)
				*l.own = *l.global
			}
		}
	}
	rest := *c.Globals
	rest.TextPart, rest.HTMLPart, rest.Attachments, rest.InlinedAttachments = "", "", nil, nil
	require.Equal(t, wireMessage{}, rest, "Globals has more than it should")
	return c.Messages
}

func TestBatchGivesTheMessagesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &bulkService{}
		p := s.provider(t)
		n := rapid.IntRange(1, 5).Draw(t, "messages")
		first := draw(t)
		ms := []mailer.Message{first}
		for range n - 1 {
			m := draw(t)
			if rapid.Bool().Draw(t, "same text") {
				m.Text = first.Text
			}
			if rapid.Bool().Draw(t, "same html") {
				m.HTML = first.HTML
			}
			if rapid.Bool().Draw(t, "same files") {
				m.Attachments = slices.Clone(first.Attachments)
			}
			ms = append(ms, m)
		}
		for i := range ms {
			ms[i].ID = fmt.Sprintf("m%d", i)
			if p.Check(ms[i]) != nil {
				t.Skip("not valid")
			}
		}
		results := p.SendBatch(t.Context(), ms)
		require.Len(t, s.calls, 1)
		for i, w := range merged(t, s.calls[0]) {
			require.NoError(t, results[i].Err)
			require.Equal(t, idFor(ms[i].ID), results[i].Receipt.MessageID)
			requireMessage(t, ms[i], results[i].Receipt, w)
		}
	})
}

func TestBatchSaysOnceWhatAllShare(t *testing.T) {
	all := func() []mailer.Message {
		ms := many(50)
		for i := range ms {
			ms[i].Text, ms[i].HTML = "The text.", strings.Repeat("<p>The body.</p>", 1000)
			ms[i].Attachments = []mailer.Attachment{
				{Name: "terms.pdf", ContentType: "application/pdf", Content: bytes.Repeat([]byte("terms"), 100_000)},
				{Name: "logo.png", ContentType: "image/png", ContentID: "logo", Content: []byte("logo")},
			}
		}
		return ms
	}
	t.Run("texts and files", func(t *testing.T) {
		s := &bulkService{}
		p := s.provider(t)
		ms := all()
		requireOwn(t, ms, p.SendBatch(t.Context(), ms))
		require.Equal(t, []int{50}, s.lens())
		require.Less(t, s.sizes[0], 800_000)
		require.Equal(t, ms[0].HTML, s.calls[0].Globals.HTMLPart)
		require.Equal(t, "The text.", s.calls[0].Globals.TextPart)
		require.Equal(t, []wireFile{{ContentType: "application/pdf", Filename: "terms.pdf", Base64Content: ms[0].Attachments[0].Content}}, s.calls[0].Globals.Attachments)
		require.Equal(t, []wireFile{{ContentType: "image/png", Filename: "logo.png", ContentID: "logo", Base64Content: []byte("logo")}}, s.calls[0].Globals.InlinedAttachments)
		for i, w := range merged(t, s.calls[0]) {
			requireMessage(t, ms[i], mailer.Receipt{ID: ms[i].ID}, w)
		}
	})
	for name, change := range map[string]func(m *mailer.Message){
		"but not another text":        func(m *mailer.Message) { m.Text = "Another." },
		"but not no text":             func(m *mailer.Message) { m.Text = "" },
		"but not another body":        func(m *mailer.Message) { m.HTML = "Another." },
		"but not fewer files":         func(m *mailer.Message) { m.Attachments = m.Attachments[:1] },
		"but not another file":        func(m *mailer.Message) { m.Attachments[0].Content = []byte("Another.") },
		"but not another name":        func(m *mailer.Message) { m.Attachments[0].Name = "another.pdf" },
		"but not another type":        func(m *mailer.Message) { m.Attachments[0].ContentType = "text/plain" },
		"but not another content id":  func(m *mailer.Message) { m.Attachments[1].ContentID = "another" },
		"but not text for a template": func(m *mailer.Message) { m.Text, m.HTML, m.Template.ID = "", "", "512390" },
	} {
		t.Run(name, func(t *testing.T) {
			s := &bulkService{}
			p := s.provider(t)
			ms := all()[:3]
			change(&ms[2])
			requireOwn(t, ms, p.SendBatch(t.Context(), ms))
			require.Len(t, s.calls, 1)
			for i, w := range merged(t, s.calls[0]) {
				requireMessage(t, ms[i], mailer.Receipt{ID: ms[i].ID}, w)
			}
		})
	}
}

func TestBatchKeepsTheSandboxApart(t *testing.T) {
	s := &bulkService{}
	p := s.provider(t)
	ms := many(5)
	ms[1].Extras, ms[3].Extras = []mailer.Extra{Extra{Sandbox: true}}, []mailer.Extra{Extra{Sandbox: true}}
	requireOwn(t, ms, p.SendBatch(t.Context(), ms))
	require.Equal(t, []int{2, 3}, s.lens())
	for _, c := range s.calls {
		for _, m := range c.Messages {
			require.Equal(t, m.CustomID == "m1" || m.CustomID == "m3", c.SandboxMode)
		}
	}
}

func TestBatchKeepsCallsSmall(t *testing.T) {
	t.Run("by texts", func(t *testing.T) {
		s := &bulkService{}
		p := s.provider(t)
		ms := many(10)
		for i := range ms {
			ms[i].Text, ms[i].HTML = "The text.", fmt.Sprint(i)+strings.Repeat("<", 1<<20)
		}
		requireOwn(t, ms, p.SendBatch(t.Context(), ms))
		require.Equal(t, []int{2, 2, 3, 3}, s.lens())
		for _, c := range s.calls {
			for _, w := range merged(t, c) {
				at := slices.IndexFunc(ms, func(m mailer.Message) bool { return m.ID == w.CustomID })
				requireMessage(t, ms[at], mailer.Receipt{ID: w.CustomID}, w)
			}
		}
	})
	t.Run("by what texts take on the wire", func(t *testing.T) {
		s := &bulkService{}
		p := s.provider(t)
		ms := many(2)
		for i := range ms {
			ms[i].HTML = fmt.Sprint(i) + strings.Repeat(`"`, 3<<19)
		}
		requireOwn(t, ms, p.SendBatch(t.Context(), ms))
		require.Equal(t, []int{1, 1}, s.lens())
	})
	t.Run("by files in base64", func(t *testing.T) {
		s := &bulkService{}
		p := s.provider(t)
		ms := many(4)
		for i := range ms {
			ms[i].Attachments = []mailer.Attachment{{Name: "a.bin", Content: bytes.Repeat([]byte{byte(i)}, 7<<18)}}
		}
		requireOwn(t, ms, p.SendBatch(t.Context(), ms))
		require.Equal(t, []int{1, 1, 1, 1}, s.lens())
	})
	t.Run("and shares in them what it could not share before", func(t *testing.T) {
		s := &bulkService{}
		p := s.provider(t)
		ms := many(4)
		for i := range ms {
			ms[i].Text, ms[i].HTML = fmt.Sprint("Text ", i/2), fmt.Sprint("<p>", i/2)
			ms[i].Attachments = []mailer.Attachment{
				{Name: "a.bin", Content: bytes.Repeat([]byte{byte(i / 2)}, 7<<18)}, {Name: "b.png", ContentID: "b", Content: []byte("b")},
			}
		}
		requireOwn(t, ms, p.SendBatch(t.Context(), ms))
		require.Equal(t, []int{2, 2}, s.lens())
		for i, c := range s.calls {
			require.NotNil(t, c.Globals)
			require.Less(t, s.sizes[i], 3<<20)
			for _, w := range merged(t, c) {
				at := slices.IndexFunc(ms, func(m mailer.Message) bool { return m.ID == w.CustomID })
				requireMessage(t, ms[at], mailer.Receipt{ID: w.CustomID}, w)
			}
		}
	})
	t.Run("but a large message goes by itself", func(t *testing.T) {
		s := &bulkService{}
		p := s.provider(t)
		ms := many(3)
		ms[1].Attachments = []mailer.Attachment{{Name: "a.bin", Content: make([]byte, 6<<20)}}
		requireOwn(t, ms, p.SendBatch(t.Context(), ms))
		require.Equal(t, []int{1, 1, 1}, s.lens())
	})
}

func TestBatchAfterAPartialSend(t *testing.T) {
	for _, status := range []int{200, 400, 403, 500} {
		t.Run(fmt.Sprintf("with status %d", status), func(t *testing.T) {
			s := &bulkService{answer: func(_ wire, results []string) (providertest.Answer, error) {
				results[1] = refused("mj-0013", 400, "invalid", "To[0].Email")
				results[3] = refused("send-0008", 403, "not authorized", "From")
				results[4] = `{"Status":"error"}`
				return entries(status, results...), nil
			}}
			p := s.provider(t)
			ms := many(6)
			results := p.SendBatch(t.Context(), ms)
			for i, kind := range map[int]mailer.Kind{1: mailer.KindRecipient, 3: mailer.KindSender} {
				require.ErrorIs(t, results[i].Err, kind)
				require.True(t, mailer.NotSent(results[i].Err))
				require.Equal(t, mailer.Receipt{}, results[i].Receipt)
			}
			requireUnknown(t, results[4], mailer.KindUnknown)
			for _, i := range []int{0, 2, 5} {
				requireOwn(t, ms[i:i+1], results[i:i+1])
			}
		})
	}
}

func TestBatchWithoutAResultForEach(t *testing.T) {
	noID := func(results []string) {
		for i, r := range results {
			head, tail, _ := strings.Cut(r, `"CustomID":`)
			results[i] = head + tail[strings.Index(tail, ",")+1:]
		}
	}
	for name, c := range map[string]struct {
		kind   mailer.Kind
		answer func(results []string) providertest.Answer
	}{
		"one is missing":                        {mailer.KindUnknown, func(r []string) providertest.Answer { return entries(200, r[:2]...) }},
		"one is missing with status 400":        {mailer.KindUnknown, func(r []string) providertest.Answer { return entries(400, r[:2]...) }},
		"one is missing with status 500":        {mailer.KindUnavailable, func(r []string) providertest.Answer { return entries(500, r[:2]...) }},
		"one is too many":                       {mailer.KindUnknown, func(r []string) providertest.Answer { return entries(200, append(r, r[0])...) }},
		"two are swapped":                       {mailer.KindUnknown, func(r []string) providertest.Answer { r[0], r[1] = r[1], r[0]; return entries(200, r...) }},
		"two are swapped, and say only to whom": {mailer.KindUnknown, func(r []string) providertest.Answer { noID(r); r[0], r[1] = r[1], r[0]; return entries(200, r...) }},
		"one is swapped with an error": {mailer.KindUnknown, func(r []string) providertest.Answer {
			r[0], r[1] = refused("mj-0003", 400, "x"), r[0]
			return entries(400, r...)
		}},
		"one says neither whose nor to whom": {mailer.KindUnknown, func(r []string) providertest.Answer { r[1] = `{"Status":"success"}`; return entries(200, r...) }},
		"no list":                            {mailer.KindUnknown, func([]string) providertest.Answer { return providertest.JSON(200, `{"Messages":null}`) }},
		"a web page":                         {mailer.KindUnknown, func([]string) providertest.Answer { return providertest.Answer{Status: 200, Body: "<html>"} }},
		"a web page with status 400":         {mailer.KindRejected, func([]string) providertest.Answer { return providertest.Answer{Status: 400, Body: "<html>"} }},
		"a web page with status 403":         {mailer.KindUnauthorized, func([]string) providertest.Answer { return providertest.Answer{Status: 403, Body: "<html>"} }},
		"nothing with status 422":            {mailer.KindRejected, func([]string) providertest.Answer { return providertest.Answer{Status: 422} }},
		"half an answer with status 400": {mailer.KindRejected, func(r []string) providertest.Answer {
			a := entries(400, r...)
			a.Body = a.Body[:len(a.Body)/2]
			return a
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &bulkService{answer: func(_ wire, results []string) (providertest.Answer, error) { return c.answer(results), nil }}
			p := s.provider(t)
			results := p.SendBatch(t.Context(), many(3))
			require.Len(t, results, 3)
			for _, r := range results {
				requireUnknown(t, r, c.kind)
			}
		})
	}
	t.Run("but they say to whom", func(t *testing.T) {
		s := &bulkService{answer: func(_ wire, results []string) (providertest.Answer, error) {
			noID(results)
			return entries(200, results...), nil
		}}
		p := s.provider(t)
		ms := many(3)
		requireOwn(t, ms, p.SendBatch(t.Context(), ms))
	})
}

func TestBatchThatIsRefusedAsAWhole(t *testing.T) {
	for name, c := range map[string]struct {
		answer providertest.Answer
		kind   mailer.Kind
	}{
		"a code at the root":                {root(400, 400, "mj-0002", "Malformed JSON."), mailer.KindRejected},
		"a code at the root of a success":   {root(200, 400, "mj-0011", "Too large."), mailer.KindTooLarge},
		"a code at the root, and no status": {providertest.JSON(400, `{"ErrorCode":"mj-0002"}`), mailer.KindRejected},
		"a status at the root":              {providertest.JSON(400, `{"ErrorInfo":"","ErrorMessage":"No.","StatusCode":400}`), mailer.KindRejected},
		"a recipient of one of them": {providertest.JSON(400, `{"ErrorCode":"mj-0013","StatusCode":400,"ErrorMessage":"Bad.",`+
			`"ErrorRelatedTo":["Messages[1].To[0].Email"]}`), mailer.KindRejected},
		"bad keys":                {providertest.JSON(401, `{"StatusCode":401,"ErrorMessage":"No."}`), mailer.KindUnauthorized},
		"bad keys without a word": {providertest.Answer{Status: 401}, mailer.KindUnauthorized},
		"a rate limit":            {providertest.Answer{Status: 429, Body: "Rate limit exceeded"}, mailer.KindRateLimited},
		"a limit of a proxy":      {providertest.Answer{Status: 413, Body: "<html>"}, mailer.KindTooLarge},
		"a wrong address":         {providertest.Answer{Status: 404, Body: "<html>"}, mailer.KindRejected},
	} {
		t.Run(name, func(t *testing.T) {
			s := &bulkService{answer: func(wire, []string) (providertest.Answer, error) { return c.answer, nil }}
			p := s.provider(t)
			results := p.SendBatch(t.Context(), many(3))
			for i, r := range results {
				require.ErrorIs(t, r.Err, c.kind)
				require.True(t, mailer.NotSent(r.Err))
				for j := range i {
					require.NotSame(t, results[j].Err, r.Err, "an error is shared")
				}
			}
		})
	}
}

func TestBatchWithALostAnswer(t *testing.T) {
	s := &bulkService{answer: func(call wire, results []string) (providertest.Answer, error) {
		if call.Messages[0].CustomID == "m50" {
			return providertest.Answer{}, io.ErrUnexpectedEOF
		}
		return entries(200, results...), nil
	}}
	p := s.provider(t)
	ms := many(120)
	results := p.SendBatch(t.Context(), ms)
	requireOwn(t, ms[:50], results[:50])
	requireOwn(t, ms[100:], results[100:])
	for i, r := range results[50:100] {
		requireUnknown(t, r, mailer.KindNetwork)
		require.ErrorIs(t, r.Err, io.ErrUnexpectedEOF)
		if i > 0 {
			require.NotSame(t, results[50].Err, r.Err, "an error is shared")
		}
	}
}

func TestAnAnswerThatBreaksOffIsNone(t *testing.T) {
	c := keys
	c.HTTPClient = &http.Client{Transport: providertest.RoundTrip(func(r *http.Request) (*http.Response, error) {
		whole := strings.NewReader(`{"Messages":[{"Status":"success","CustomID":"m0"}]}`)
		return &http.Response{StatusCode: 200, Body: io.NopCloser(io.MultiReader(whole, broken{}))}, nil
	})}
	p, err := New(c)
	require.NoError(t, err)
	requireUnknown(t, p.SendBatch(t.Context(), many(1))[0], mailer.KindNetwork)
}

func TestBatchWhereOneIsWrong(t *testing.T) {
	s := &bulkService{}
	p := s.provider(t)
	ms := many(5)
	ms[1].Subject = "Hello\r\nBcc: eve@evil.example"
	ms[2].Template, ms[2].Text = mailer.Template{ID: "512390", Data: map[string]any{"f": func() {}}}, ""
	ms[3].SendAt = time.Unix(1, 0)
	results := p.SendBatch(t.Context(), ms)
	for i, kind := range map[int]mailer.Kind{1: mailer.KindInvalid, 2: mailer.KindInvalid, 3: mailer.KindUnsupported} {
		require.ErrorIs(t, results[i].Err, kind)
		require.True(t, mailer.NotSent(results[i].Err))
	}
	requireOwn(t, ms[:1], results[:1])
	requireOwn(t, ms[4:], results[4:])
	require.Equal(t, []int{2}, s.lens())
}

func TestBatchMakesAFewCallsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &bulkService{wait: time.Second}
		p := s.provider(t)
		ms := many(40 * maxBatch)
		begin := time.Now()
		requireOwn(t, ms, p.SendBatch(t.Context(), ms))
		require.Equal(t, inFlight, s.most)
		require.Equal(t, 3*time.Second, time.Since(begin))
	})
}

func TestBatchThatIsCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &bulkService{wait: time.Second}
		p := s.provider(t)
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		ms := many(40 * maxBatch)
		results := p.SendBatch(ctx, ms)
		unsent := 0
		for _, r := range results {
			if r.Err != nil {
				require.ErrorIs(t, r.Err, mailer.KindNetwork)
				require.True(t, errors.Is(r.Err, context.DeadlineExceeded))
				require.True(t, mailer.NotSent(r.Err))
				unsent++
			}
		}
		require.Equal(t, 8*maxBatch, unsent, "calls that were not begun")
	})
}
