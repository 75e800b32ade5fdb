package sendgrid

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

// batchService plays SendGrid for batches. It gives a call the id of its first message.
type batchService struct {
	mu      sync.Mutex
	calls   []batchCall
	running int
	most    int
	// answer, if set, refuses a call, or breaks it off. A zero answer is a yes.
	answer func(batchCall) (providertest.Answer, error)
	wait   time.Duration
}

// batchCall is a call as it came.
type batchCall struct {
	wire
	ids  []string
	size int
}

func (s *batchService) provider(t require.TestingT, c Config) *Provider {
	c.APIKey = key
	c.HTTPClient = &http.Client{Transport: providertest.RoundTrip(func(r *http.Request) (*http.Response, error) {
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
		call := batchCall{wire: decode(t, body), size: len(body)}
		for _, to := range call.Personalizations {
			id := to.CustomArgs["mailer_id"]
			if len(call.Personalizations) == 1 {
				id = call.CustomArgs["mailer_id"]
			}
			require.NotEmpty(t, id)
			call.ids = append(call.ids, id)
		}
		s.calls = append(s.calls, call)
		answer := providertest.Answer{}
		if s.answer != nil {
			if answer, err = s.answer(call); err != nil {
				return nil, err
			}
		}
		if answer.Status == 0 {
			answer = yes("Xj5L-" + call.ids[0])
		}
		h := http.Header{}
		for name, value := range answer.Header {
			h.Set(name, value)
		}
		return &http.Response{StatusCode: answer.Status, Header: h, Body: io.NopCloser(strings.NewReader(answer.Body))}, nil
	})}
	p, err := New(c)
	require.NoError(t, err)
	return p
}

// lens are how many messages the calls had.
func (s *batchService) lens() (lens []int) {
	for _, c := range s.calls {
		lens = append(lens, len(c.ids))
	}
	slices.Sort(lens)
	return lens
}

// many makes n messages that can share a call.
func many(n int) []mailer.Message {
	ms := make([]mailer.Message, n)
	for i := range ms {
		ms[i] = mailer.Message{
			ID:      fmt.Sprintf("m%d", i),
			From:    mailer.Address{Name: "Shop", Address: "shop@example.com"},
			To:      []mailer.Address{{Name: "Reader", Address: fmt.Sprintf("reader%d@example.com", i)}},
			Subject: fmt.Sprintf("Hello %d", i),
			Text:    "The text.",
			HTML:    "<p>The body.</p>",
		}
	}
	return ms
}

// requireTaken requires that every message was taken in the call that had it, and
// was in no other call that was taken.
func (s *batchService) requireTaken(t require.TestingT, ms []mailer.Message, results []mailer.Result) {
	require.Len(t, results, len(ms))
	for i, r := range results {
		require.NoError(t, r.Err, "message %d", i)
		require.Equal(t, ms[i].ID, r.Receipt.ID)
		require.Equal(t, "sendgrid", r.Receipt.Provider)
		var taken []string
		for _, c := range s.calls {
			if slices.Contains(c.ids, ms[i].ID) {
				taken = append(taken, "Xj5L-"+c.ids[0])
			}
		}
		require.Contains(t, taken, r.Receipt.MessageID)
	}
}

func TestBatchSharesACall(t *testing.T) {
	for n, want := range map[int][]int{1: {1}, 2: {2}, 1000: {1000}, 1001: {1, 1000}, 2500: {500, 1000, 1000}} {
		t.Run(fmt.Sprintf("%d messages", n), func(t *testing.T) {
			s := &batchService{}
			ms := many(n)
			s.requireTaken(t, ms, s.provider(t, Config{}).SendBatch(t.Context(), ms))
			require.Equal(t, want, s.lens())
		})
	}
	t.Run("of 1000 recipients", func(t *testing.T) {
		s := &batchService{}
		ms := many(10)
		for i := range ms {
			for j := range 99 {
				ms[i].Cc = append(ms[i].Cc, mailer.Address{Address: fmt.Sprintf("cc%d-%d@example.com", i, j)})
				ms[i].Bcc = append(ms[i].Bcc, mailer.Address{Address: fmt.Sprintf("bcc%d-%d@example.com", i, j)})
			}
		}
		ms[9].Cc, ms[9].Bcc = ms[9].Cc[:1], nil
		s.requireTaken(t, ms, s.provider(t, Config{}).SendBatch(t.Context(), ms))
		require.Equal(t, []int{5, 5}, s.lens()) // 5 have 995, and the last 2 fit with 4
	})
	p := (&batchService{}).provider(t, Config{})
	require.Equal(t, 1000, p.MaxBatch())
	require.Empty(t, p.SendBatch(t.Context(), nil))
}

// What a personalization has may differ. What it does not have keeps messages apart.
func TestBatchSharesOnlyWhatIsTheSame(t *testing.T) {
	file := mailer.Attachment{Name: "a.txt", ContentType: "text/plain", ContentID: "", Content: []byte("one")}
	base := func() mailer.Message {
		m := many(1)[0]
		m.ReplyTo = []mailer.Address{{Name: "Help", Address: "help@example.com"}}
		m.Tags = []string{"a", "b"}
		m.Attachments = []mailer.Attachment{file}
		m.Extras = []mailer.Extra{Extra{UnsubscribeGroup: 1, GroupsToDisplay: []int{1, 2}, IPPool: "pool", BatchID: "batch"}}
		return m
	}
	extra := func(m *mailer.Message, change func(x *Extra)) {
		x := m.Extras[0].(Extra)
		change(&x)
		m.Extras = []mailer.Extra{x}
	}
	for name, c := range map[string]struct {
		calls  int
		change func(m *mailer.Message)
	}{
		"nothing":       {1, func(*mailer.Message) {}},
		"recipients":    {1, func(m *mailer.Message) { m.Cc = []mailer.Address{{Address: "cc@example.com"}} }},
		"the subject":   {1, func(m *mailer.Message) { m.Subject = "Another" }},
		"a header":      {1, func(m *mailer.Message) { m.Headers = map[string]string{"X-A": "b"} }},
		"unsubscribing": {1, func(m *mailer.Message) { m.Unsubscribe.URL = "https://example.com/?u=1" }},
		"metadata":      {1, func(m *mailer.Message) { m.Metadata = map[string]string{"a": "b"} }},
		"the time":      {1, func(m *mailer.Message) { m.SendAt = time.Now().Add(time.Hour) }},
		"another copy": {1, func(m *mailer.Message) {
			m.Attachments = []mailer.Attachment{file}
			m.Attachments[0].Content = []byte("one")
		}},
		"the author":     {2, func(m *mailer.Message) { m.From.Address = "other@example.com" }},
		"their name":     {2, func(m *mailer.Message) { m.From.Name = "Other" }},
		"the text":       {2, func(m *mailer.Message) { m.Text = "Another." }},
		"the HTML":       {2, func(m *mailer.Message) { m.HTML = "Another." }},
		"text for HTML":  {2, func(m *mailer.Message) { m.HTML = "" }},
		"answers":        {2, func(m *mailer.Message) { m.ReplyTo = append(m.ReplyTo, mailer.Address{Address: "x@example.com"}) }},
		"a tag":          {2, func(m *mailer.Message) { m.Tags = []string{"a"} }},
		"tags, joined":   {2, func(m *mailer.Message) { m.Tags = []string{`a" "b`} }},
		"opens":          {2, func(m *mailer.Message) { m.Track.Opens = mailer.Off }},
		"clicks":         {2, func(m *mailer.Message) { m.Track.Clicks = mailer.On }},
		"no file":        {2, func(m *mailer.Message) { m.Attachments = nil }},
		"a file's name":  {2, func(m *mailer.Message) { m.Attachments[0].Name = "b.txt" }},
		"a file's type":  {2, func(m *mailer.Message) { m.Attachments[0].ContentType = "text/html" }},
		"a file inline":  {2, func(m *mailer.Message) { m.Attachments[0].ContentID = "a" }},
		"a file's bytes": {2, func(m *mailer.Message) { m.Attachments[0].Content = []byte("two") }},
		"a second file":  {2, func(m *mailer.Message) { m.Attachments = append(m.Attachments, file) }},
		"the group":      {2, func(m *mailer.Message) { extra(m, func(x *Extra) { x.UnsubscribeGroup = 2 }) }},
		"groups shown":   {2, func(m *mailer.Message) { extra(m, func(x *Extra) { x.GroupsToDisplay = []int{12} }) }},
		"the pool":       {2, func(m *mailer.Message) { extra(m, func(x *Extra) { x.IPPool = "" }) }},
		"the batch id":   {2, func(m *mailer.Message) { extra(m, func(x *Extra) { x.BatchID = "" }) }},
		"the sandbox":    {2, func(m *mailer.Message) { extra(m, func(x *Extra) { x.Sandbox = true }) }},
		"the footer":     {2, func(m *mailer.Message) { extra(m, func(x *Extra) { x.Footer.HTML = "x" }) }},
		"the link":       {2, func(m *mailer.Message) { extra(m, func(x *Extra) { x.SubscriptionTracking.Text = "x" }) }},
		"the analytics":  {2, func(m *mailer.Message) { extra(m, func(x *Extra) { x.UTM.Term = "x" }) }},
		"a list":         {2, func(m *mailer.Message) { extra(m, func(x *Extra) { x.Bypass.Bounces = true }) }},
		"a template":     {2, func(m *mailer.Message) { m.Text, m.HTML, m.Template.ID = "", "", "d-1" }},
	} {
		t.Run(name, func(t *testing.T) {
			s := &batchService{}
			ms := []mailer.Message{base(), base()}
			ms[1].ID, ms[1].To[0].Address = "m1", "reader1@example.com"
			c.change(&ms[1])
			results := s.provider(t, Config{}).SendBatch(t.Context(), ms)
			s.requireTaken(t, ms, results)
			require.Len(t, s.calls, c.calls)
			for _, call := range s.calls {
				call.requireParts(t, ms, results)
			}
		})
	}
	t.Run("a template's data", func(t *testing.T) {
		s := &batchService{}
		ms := many(6)
		for i := range ms {
			ms[i].Text, ms[i].HTML = "", ""
			ms[i].Template = mailer.Template{ID: []string{"welcome", "d-1", "legacy"}[i%3], Data: map[string]any{"name": fmt.Sprint("n", i)}}
		}
		s.requireTaken(t, ms, s.provider(t, Config{Templates: map[string]string{"welcome": "d-1"}}).SendBatch(t.Context(), ms))
		require.Equal(t, []int{2, 4}, s.lens())
		for _, c := range s.calls {
			for i, id := range c.ids {
				name := "n" + id[1:]
				if c.TemplateID == "d-1" {
					require.Equal(t, map[string]any{"name": name}, c.Personalizations[i].DynamicTemplateData)
				} else {
					require.Equal(t, map[string]string{"name": name}, c.Personalizations[i].Substitutions)
				}
			}
		}
	})
}

// requireParts requires that the call says of each of its messages what it is.
func (c batchCall) requireParts(t require.TestingT, ms []mailer.Message, results []mailer.Result) {
	for i, id := range c.ids {
		at := slices.IndexFunc(ms, func(m mailer.Message) bool { return m.ID == id })
		w := c.wire
		w.Personalizations = w.Personalizations[i : i+1 : i+1]
		if len(c.ids) > 1 {
			to := w.Personalizations[0]
			require.Empty(t, w.Subject+fmt.Sprint(w.Headers, w.CustomArgs, w.SendAt)[len("map[] map[] 0"):], "what a personalization has stands beside them")
			w.Subject, w.Headers, w.CustomArgs, w.SendAt = to.Subject, to.Headers, to.CustomArgs, to.SendAt
		}
		if at := ms[at].SendAt; !at.IsZero() {
			require.Equal(t, at.Unix(), w.SendAt)
		}
		requirePart(t, ms[at], results[at].Receipt, w)
	}
}

func TestBatchGivesTheMessagesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &batchService{}
		p := s.provider(t, Config{})
		first := draw(t)
		ms := []mailer.Message{first}
		for range rapid.IntRange(0, 5).Draw(t, "more") {
			m := draw(t)
			if rapid.Bool().Draw(t, "can share") {
				m.From, m.ReplyTo, m.Text, m.HTML, m.Tags = first.From, first.ReplyTo, first.Text, first.HTML, first.Tags
				m.Attachments = slices.Clone(first.Attachments)
				m.Track, m.Extras, m.Unsubscribe = first.Track, first.Extras, first.Unsubscribe
			}
			ms = append(ms, m)
		}
		for i := range ms {
			ms[i].ID = fmt.Sprintf("m%d", i)
			if ms[i].Validate() != nil {
				t.Skip("not valid")
			}
		}
		results := p.SendBatch(t.Context(), ms)
		s.requireTaken(t, ms, results)
		n := 0
		for _, c := range s.calls {
			n += len(c.ids)
			c.requireParts(t, ms, results)
		}
		require.Equal(t, len(ms), n)
	})
}

func TestBatchSendsAFileOnce(t *testing.T) {
	s := &batchService{}
	ms := many(400)
	for i := range ms {
		ms[i].Attachments = []mailer.Attachment{{Name: "terms.pdf", Content: bytes.Repeat([]byte("x"), 1_000_000)}}
	}
	s.requireTaken(t, ms, s.provider(t, Config{}).SendBatch(t.Context(), ms))
	require.Equal(t, []int{400}, s.lens())
	require.Less(t, s.calls[0].size, 1_500_000)
}

func TestBatchSortsByFiles(t *testing.T) {
	for name, c := range map[string]struct {
		files [2]mailer.Attachment
		lens  []int
	}{
		"other names go apart":    {[2]mailer.Attachment{{Name: "a", Content: []byte("x")}, {Name: "b", Content: []byte("x")}}, []int{3, 3}},
		"other sizes go apart":    {[2]mailer.Attachment{{Name: "a", Content: []byte("x")}, {Name: "a", Content: []byte("xx")}}, []int{3, 3}},
		"else one by one is seen": {[2]mailer.Attachment{{Name: "a", Content: []byte("x")}, {Name: "a", Content: []byte("y")}}, []int{1, 1, 1, 1, 1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &batchService{}
			ms := many(6)
			for i := range ms {
				ms[i].Attachments = []mailer.Attachment{c.files[i%2]}
			}
			results := s.provider(t, Config{}).SendBatch(t.Context(), ms)
			s.requireTaken(t, ms, results)
			require.Equal(t, c.lens, s.lens())
			for _, call := range s.calls {
				call.requireParts(t, ms, results)
			}
		})
	}
}

func TestBatchKeepsCallsSmall(t *testing.T) {
	s := &batchService{}
	ms := many(8)
	for i := range ms {
		ms[i].Text, ms[i].HTML = "", ""
		ms[i].Template = mailer.Template{ID: "d-1", Data: map[string]any{"a": strings.Repeat(fmt.Sprint(i), 5<<20)}}
	}
	s.requireTaken(t, ms, s.provider(t, Config{}).SendBatch(t.Context(), ms))
	require.Equal(t, []int{4, 4}, s.lens())
}

func TestBatchWithWrongMessages(t *testing.T) {
	s := &batchService{}
	ms := many(9)
	ms[1].Subject = "Hello\r\n"
	ms[3].Subject = ""
	ms[4].HTML = strings.Repeat("x", MaxSize)
	ms[6].To = nil
	// Two that can share a call, of which one cannot be encoded.
	for _, i := range []int{7, 8} {
		ms[i].Text, ms[i].HTML, ms[i].Template = "", "", mailer.Template{ID: "d-1", Data: map[string]any{"a": 1}}
	}
	ms[8].Template.Data["a"] = make(chan int)
	results := s.provider(t, Config{}).SendBatch(t.Context(), ms)
	for i, kind := range map[int]mailer.Kind{1: mailer.KindInvalid, 3: mailer.KindUnsupported, 4: mailer.KindTooLarge, 6: mailer.KindInvalid, 8: mailer.KindInvalid} {
		require.ErrorIs(t, results[i].Err, kind)
		require.True(t, mailer.NotSent(results[i].Err))
		require.Equal(t, mailer.Receipt{}, results[i].Receipt)
	}
	require.Equal(t, []int{1, 3}, s.lens())
	for _, i := range []int{0, 2, 5, 7} {
		s.requireTaken(t, ms[i:i+1], results[i:i+1])
	}
}

// refusing refuses every call that has one of the messages, and names their
// addresses if it is to.
func refusing(name func(at int) string, bad ...string) func(batchCall) (providertest.Answer, error) {
	return func(c batchCall) (providertest.Answer, error) {
		var faults []string
		for i, id := range c.ids {
			if slices.Contains(bad, id) {
				faults = append(faults, fmt.Sprintf(`{"message":"Does not contain a valid address.","field":%q}`, name(i)))
			}
		}
		if faults == nil {
			return providertest.Answer{}, nil
		}
		return providertest.JSON(400, `{"errors":[`+strings.Join(faults, ",")+`]}`), nil
	}
}

func TestBatchRefusedOverSomeMessages(t *testing.T) {
	byPlace := func(at int) string { return fmt.Sprintf("personalizations.%d.to.0.email", at) }
	bad := []string{"m3", "m7"}
	for name, c := range map[string]struct {
		answer func(batchCall) (providertest.Answer, error)
		kind   mailer.Kind
		lens   []int
	}{
		"which are named":            {refusing(byPlace, bad...), mailer.KindRecipient, []int{1, 1, 8, 10}},
		"which are named as a whole": {refusing(func(at int) string { return fmt.Sprintf("personalizations.%d", at) }, bad...), mailer.KindRejected, []int{1, 1, 8, 10}},
		"which are not named":        {refusing(func(int) string { return "" }, bad...), mailer.KindRejected, []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 10}},
		"which are not there":        {refusing(func(at int) string { return byPlace(at + 10) }, bad...), mailer.KindRecipient, []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 10}},
		"of which one is named":      {refusing(func(at int) string { return strings.TrimPrefix(byPlace(at), "personalizations.7.") }, bad...), 0, []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 10}},
		"one after the other": {func(c batchCall) (providertest.Answer, error) {
			for _, id := range bad {
				if slices.Contains(c.ids, id) {
					return refusing(byPlace, id)(c)
				}
			}
			return providertest.Answer{}, nil
		}, mailer.KindRecipient, []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 9, 10}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &batchService{answer: c.answer}
			ms := many(10)
			results := s.provider(t, Config{}).SendBatch(t.Context(), ms)
			for i, r := range results {
				if !slices.Contains(bad, ms[i].ID) {
					s.requireTaken(t, ms[i:i+1], results[i:i+1])
					continue
				}
				e, ok := errors.AsType[*mailer.Error](r.Err)
				require.True(t, ok)
				if c.kind != 0 {
					require.Equal(t, c.kind.String(), e.Kind.String())
				}
				require.True(t, e.NotSent)
				require.Equal(t, mailer.Receipt{}, r.Receipt)
				if name == "which are named" {
					require.Equal(t, []string{ms[i].To[0].Address}, e.Recipients)
				}
			}
			require.Equal(t, c.lens, s.lens())
		})
	}
}

func TestBatchRefusedAsAWhole(t *testing.T) {
	for name, c := range map[string]struct {
		answer  providertest.Answer
		kind    mailer.Kind
		notSent bool
	}{
		"over the template":         {no(400, "template_id", "The template_id must be a valid GUID"), mailer.KindRejected, true},
		"over the text":             {no(400, "content.0.value", "The content value must be a string"), mailer.KindRejected, true},
		"over the sender":           {no(403, "from", "The from address does not match a verified Sender Identity."), mailer.KindSender, true},
		"over the key":              {no(401, "", "authorization required"), mailer.KindUnauthorized, true},
		"over the credits":          {no(401, "", "Maximum credits exceeded"), mailer.KindQuota, true},
		"over the rate":             {no(429, "", "too many requests"), mailer.KindRateLimited, true},
		"over a fault of SendGrid":  {providertest.Answer{Status: 503}, mailer.KindUnavailable, false},
		"by what is no yes":         {providertest.Answer{Status: 200}, mailer.KindUnknown, false},
		"by a time-out of SendGrid": {providertest.Answer{Status: 408}, mailer.KindUnknown, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := &batchService{answer: func(batchCall) (providertest.Answer, error) { return c.answer, nil }}
			seen := map[error]bool{}
			for _, r := range s.provider(t, Config{}).SendBatch(t.Context(), many(5)) {
				require.Error(t, r.Err)
				require.Equal(t, c.kind.String(), mailer.KindOf(r.Err).String(), "%v", r.Err)
				require.Equal(t, c.notSent, mailer.NotSent(r.Err))
				require.False(t, seen[r.Err], "two messages share an error")
				seen[r.Err] = true
			}
			require.Equal(t, []int{5}, s.lens(), "nothing is sent a second time")
		})
	}
}

func TestBatchTooLargeForSendGrid(t *testing.T) {
	s := &batchService{answer: func(c batchCall) (providertest.Answer, error) {
		if len(c.ids) > 3 || slices.Contains(c.ids, "m9") {
			return providertest.Answer{Status: 413}, nil
		}
		return providertest.Answer{}, nil
	}}
	ms := many(10)
	results := s.provider(t, Config{}).SendBatch(t.Context(), ms)
	s.requireTaken(t, ms[:9], results[:9])
	require.ErrorIs(t, results[9].Err, mailer.KindTooLarge)
	require.True(t, mailer.NotSent(results[9].Err))
}

func TestBatchLosesOneAnswer(t *testing.T) {
	lost := errors.New("connection reset")
	s := &batchService{answer: func(c batchCall) (providertest.Answer, error) {
		if c.ids[0] == "m1000" {
			return providertest.Answer{}, lost
		}
		return providertest.Answer{}, nil
	}}
	ms := many(2500)
	results := s.provider(t, Config{}).SendBatch(t.Context(), ms)
	seen := map[error]bool{}
	for i, r := range results {
		if i < 1000 || i >= 2000 {
			require.NoError(t, r.Err)
			continue
		}
		require.ErrorIs(t, r.Err, mailer.KindNetwork)
		require.ErrorIs(t, r.Err, lost)
		require.False(t, mailer.NotSent(r.Err))
		require.False(t, seen[r.Err], "two messages share an error")
		seen[r.Err] = true
	}
	require.Len(t, s.calls, 3)
}

func TestBatchSendsSeveralCallsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &batchService{wait: time.Second}
		ms := many(130)
		for i := range ms {
			ms[i].Text = fmt.Sprint("Text ", i)
		}
		begun := time.Now()
		s.requireTaken(t, ms, s.provider(t, Config{}).SendBatch(t.Context(), ms))
		require.Equal(t, 3*time.Second, time.Since(begun), "130 calls, 64 at once")
		require.Equal(t, 64, s.most)
	})
}

func TestBatchEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		s := &batchService{wait: time.Second}
		ms := many(70)
		for i := range ms {
			ms[i].Text = fmt.Sprint("Text ", i)
		}
		taken := 0
		for _, r := range s.provider(t, Config{}).SendBatch(ctx, ms) {
			if r.Err == nil {
				taken++
				continue
			}
			require.ErrorIs(t, r.Err, mailer.KindNetwork)
		}
		require.Equal(t, 64, taken)
		require.Zero(t, s.running)
	})
}
