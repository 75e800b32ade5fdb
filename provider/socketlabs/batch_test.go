package socketlabs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/providertest"
)

// batch makes n messages.
func batch(n int) []mailer.Message {
	ms := make([]mailer.Message, n)
	for i := range ms {
		ms[i] = mailer.Message{
			ID: fmt.Sprintf("m%d", i), From: mailer.Address{Address: "shop@example.com"}, Subject: "Hello", Text: "Hello",
			To: []mailer.Address{{Address: fmt.Sprintf("ada%d@example.com", i)}, {Address: fmt.Sprintf("ben%d@example.com", i)}},
		}
	}
	return ms
}

// calls records the calls of a batch by the IDs of their messages, and answers each
// of them.
type calls struct {
	mu     sync.Mutex
	seen   [][]string
	bytes  []int
	answer func(call []string) (status int, text string)
}

func (c *calls) client(t *testing.T) *http.Client {
	return providertest.Client(func(_ *http.Request, body []byte) (int, string) {
		var ids []string
		for _, m := range decode(t, body).Messages {
			ids = append(ids, m.MessageId)
		}
		c.mu.Lock()
		c.seen, c.bytes = append(c.seen, ids), append(c.bytes, len(body))
		c.mu.Unlock()
		if c.answer == nil {
			return 200, yes200
		}
		return c.answer(ids)
	})
}

func (c *calls) provider(t *testing.T) *Provider {
	p, err := New(Config{ServerID: 12345, APIKey: legacy, HTTPClient: c.client(t)})
	require.NoError(t, err)
	return p
}

func requireTaken(t *testing.T, want mailer.Message, r mailer.Result) {
	t.Helper()
	require.NoError(t, r.Err)
	require.Equal(t, want.ID, r.Receipt.ID)
	require.Equal(t, want.ID, r.Receipt.MessageID)
	require.Equal(t, "socketlabs", r.Receipt.Provider)
}

func TestBatchSplitsByCount(t *testing.T) {
	c := new(calls)
	ms := batch(23)
	ms[3].Subject = "Hello\r\n"               // invalid
	ms[7].SendAt = time.Unix(1e9, 0)          // unsupported
	ms[11].Text = strings.Repeat("x", 41<<20) // too large
	results := c.provider(t).SendBatch(t.Context(), ms)
	require.Len(t, results, 23)
	for i, r := range results {
		switch kind := map[int]mailer.Kind{3: mailer.KindInvalid, 7: mailer.KindUnsupported, 11: mailer.KindTooLarge}[i]; kind {
		case 0:
			requireTaken(t, ms[i], r)
		default:
			require.ErrorIs(t, r.Err, kind)
			require.True(t, mailer.NotSent(r.Err))
			require.Empty(t, r.Receipt)
		}
	}
	require.ElementsMatch(t, [][]string{
		{"m0", "m1", "m2", "m4", "m5", "m6", "m8", "m9", "m10", "m12"}, {"m13", "m14", "m15", "m16", "m17", "m18", "m19", "m20", "m21", "m22"},
	}, c.seen)
	require.Equal(t, 10, c.provider(t).MaxBatch())
}

func TestBatchSplitsByBytes(t *testing.T) {
	c := new(calls)
	ms := batch(6)
	for i, size := range []int{1, 2_000_000, 1_000_000, 5_000_000, 1, 2} { // 2.7, 1.3 and 6.7 MB in base64
		ms[i].Attachments = []mailer.Attachment{{Name: "a.bin", Content: make([]byte, size)}}
	}
	for i, r := range c.provider(t).SendBatch(t.Context(), ms) {
		requireTaken(t, ms[i], r)
	}
	require.ElementsMatch(t, [][]string{{"m0", "m1", "m2"}, {"m3"}, {"m4", "m5"}}, c.seen)
	for i, ids := range c.seen {
		if len(ids) > 1 {
			require.LessOrEqual(t, c.bytes[i], maxBytes)
		}
	}
}

func TestBatchAnswers(t *testing.T) {
	type outcome struct {
		kind     mailer.Kind
		sent     bool // it may have been
		code     string
		rejected string
	}
	taken := outcome{}
	result := func(index int, code, refused string) string {
		list := "null"
		if refused != "" {
			list = fmt.Sprintf(`[{"EmailAddress":%q,"Accepted":false,"ErrorCode":"InvalidAddress"}]`, refused)
		}
		return fmt.Sprintf(`{"Index":%d,"ErrorCode":%q,"AddressResults":%s}`, index, code, list)
	}
	all := func(o outcome) []outcome { return []outcome{o, o, o} }
	for name, c := range map[string]struct {
		status int
		body   string
		want   []outcome
	}{
		"yes to all":              {200, yes200, all(taken)},
		"no to the second":        {200, warns(result(1, "InvalidFrom", "")), []outcome{taken, {kind: mailer.KindSender, code: "InvalidFrom"}, taken}},
		"no to two, in any order": {200, warns(result(2, "NoValidRecipients", "ben2@example.com") + "," + result(0, "InvalidAttachment", "")), []outcome{{kind: mailer.KindRejected, code: "InvalidAttachment"}, taken, {kind: mailer.KindRecipient, code: "NoValidRecipients"}}},
		"no to a recipient, no to a message": {
			200, warns(result(0, "Warning", "BEN0@example.com") + "," + result(2, "MessageTooLarge", "")),
			[]outcome{{rejected: "ben0@example.com"}, taken, {kind: mailer.KindTooLarge, code: "MessageTooLarge"}},
		},
		"a new no":                        {200, warns(result(1, "New", "")), []outcome{taken, {kind: mailer.KindUnknown, sent: true, code: "New"}, taken}},
		"no to the whole call":            {200, says(200, "OverQuota").Body, all(outcome{kind: mailer.KindQuota, code: "OverQuota"})},
		"no to the number of messages":    {200, says(200, "TooManyMessages").Body, all(outcome{kind: mailer.KindRejected, code: "TooManyMessages"})},
		"a server error":                  {500, says(500, "InternalError").Body, all(outcome{kind: mailer.KindUnavailable, sent: true, code: "InternalError"})},
		"a web page":                      {502, "<html>", all(outcome{kind: mailer.KindUnavailable, sent: true})},
		"nothing":                         {200, "", all(outcome{kind: mailer.KindUnknown, sent: true})},
		"half":                            {200, warns(result(1, "InvalidFrom", ""))[:90], all(outcome{kind: mailer.KindUnknown, sent: true})},
		"a warning of nothing":            {200, says(200, "Warning").Body, all(outcome{kind: mailer.KindUnknown, sent: true, code: "Warning"})},
		"a message that was not there":    {200, warns(result(1, "InvalidFrom", "") + "," + result(3, "InvalidFrom", "")), all(outcome{kind: mailer.KindUnknown, sent: true, code: "Warning"})},
		"a message twice":                 {200, warns(result(1, "InvalidFrom", "") + "," + result(1, "InvalidFrom", "")), all(outcome{kind: mailer.KindUnknown, sent: true, code: "Warning"})},
		"a message without a place":       {200, warns(`{"ErrorCode":"InvalidFrom"}`), all(outcome{kind: mailer.KindUnknown, sent: true, code: "Warning"})},
		"the recipient of another":        {200, warns(result(0, "Warning", "ben1@example.com")), []outcome{{rejected: "ben1@example.com"}, taken, taken}},
		"a place with a fraction":         {200, warns(strings.Replace(result(1, "InvalidFrom", ""), "1", "1.0", 1)), all(outcome{kind: mailer.KindUnknown, sent: true, code: "Warning"})},
		"a bad key":                       {401, "", all(outcome{kind: mailer.KindUnauthorized})},
		"yes, and no to one all the same": {200, strings.Replace(warns(result(1, "InvalidFrom", "")), "Warning", "Success", 1), []outcome{taken, {kind: mailer.KindSender, sent: true, code: "InvalidFrom"}, taken}},
	} {
		t.Run(name, func(t *testing.T) {
			ms := batch(3)
			results := (&calls{answer: func([]string) (int, string) { return c.status, c.body }}).provider(t).SendBatch(t.Context(), ms)
			require.Len(t, results, 3)
			errs := map[*mailer.Error]bool{}
			for i, want := range c.want {
				if want.kind == 0 && !want.sent {
					requireTaken(t, ms[i], results[i])
					var rejected string
					for _, x := range results[i].Receipt.Rejected {
						rejected += x.Address
					}
					require.Equal(t, want.rejected, rejected)
					continue
				}
				e, ok := errors.AsType[*mailer.Error](results[i].Err)
				require.True(t, ok, "message %d was taken", i)
				require.Equal(t, want.kind, e.Kind)
				require.Equal(t, !want.sent, e.NotSent)
				require.Equal(t, want.code, e.Code)
				require.Equal(t, c.status, e.Status)
				require.False(t, errs[e], "two messages share an error")
				errs[e] = true
			}
		})
	}
}

func TestBatchLosesOneAnswer(t *testing.T) {
	lost := errors.New("connection reset")
	client := &http.Client{Transport: providertest.RoundTrip(func(r *http.Request) (*http.Response, error) {
		c := new(calls)
		resp, err := c.client(t).Transport.RoundTrip(r)
		if c.seen[0][0] == "m10" {
			return nil, lost
		}
		return resp, err
	})}
	p, err := New(Config{ServerID: 12345, APIKey: key, HTTPClient: client})
	require.NoError(t, err)
	ms, seen := batch(25), map[error]bool{}
	for i, r := range p.SendBatch(t.Context(), ms) {
		if i < 10 || i >= 20 {
			requireTaken(t, ms[i], r)
			continue
		}
		require.ErrorIs(t, r.Err, mailer.KindNetwork)
		require.ErrorIs(t, r.Err, lost)
		require.False(t, mailer.NotSent(r.Err))
		require.False(t, seen[r.Err], "two messages share an error")
		seen[r.Err] = true
	}
}

func TestBatchSendsAFewCallsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, most atomic.Int32
		c := &calls{answer: func([]string) (int, string) {
			for now := running.Add(1); ; {
				if m := most.Load(); now <= m || most.CompareAndSwap(m, now) {
					break
				}
			}
			time.Sleep(time.Second)
			running.Add(-1)
			return 200, yes200
		}}
		begun := time.Now()
		ms := batch(200)
		for i, r := range c.provider(t).SendBatch(t.Context(), ms) {
			requireTaken(t, ms[i], r)
		}
		require.Equal(t, 3*time.Second, time.Since(begun), "20 calls, 8 at once")
		require.Equal(t, int32(8), most.Load())
	})
}

func TestBatchEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		client := &http.Client{Transport: providertest.RoundTrip(func(r *http.Request) (*http.Response, error) {
			select {
			case <-time.After(time.Second):
				return (&calls{}).client(t).Transport.RoundTrip(r)
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		})}
		p, err := New(Config{ServerID: 12345, APIKey: key, HTTPClient: client})
		require.NoError(t, err)
		ms := batch(200)
		for i, r := range p.SendBatch(ctx, ms) {
			switch {
			case i < 80:
				requireTaken(t, ms[i], r)
			case i < 160: // under way
				require.ErrorIs(t, r.Err, mailer.KindNetwork)
				require.False(t, mailer.NotSent(r.Err))
			default: // not begun
				require.ErrorIs(t, r.Err, mailer.KindNetwork)
				require.True(t, mailer.NotSent(r.Err))
			}
		}
	})
}

func TestBatchGivesTheMessagesBack(t *testing.T) {
	var mu sync.Mutex
	said := map[string]wireMessage{}
	client := providertest.Client(func(_ *http.Request, body []byte) (int, string) {
		mu.Lock()
		defer mu.Unlock()
		for _, m := range decode(t, body).Messages {
			said[m.MessageId] = m
		}
		return 200, yes200
	})
	p, err := New(Config{ServerID: 12345, APIKey: key, HTTPClient: client})
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		ms := rapid.SliceOfN(rapid.Custom(draw), 1, 12).Draw(t, "messages")
		for i := range ms {
			ms[i].ID = fmt.Sprintf("m%d", i)
			if ms[i].Validate() != nil {
				t.Skip("not valid")
			}
		}
		clear(said)
		results := p.SendBatch(t.Context(), ms)
		require.Len(t, said, len(ms))
		for i, r := range results {
			require.NoError(t, r.Err)
			requireSays(t, ms[i], r.Receipt, said[ms[i].ID])
		}
	})
}
