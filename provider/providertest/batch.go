package providertest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
)

// testBatch holds a BatchSender to the promises of Send for each message.
func (s *suite) testBatch(t *testing.T) {
	_, p := s.start(t, s.Peer)
	b, ok := p.(mailer.BatchSender)
	if !ok {
		t.Skip("the provider has no SendBatch")
	}
	require.Positive(t, b.MaxBatch(), "MaxBatch")
	few := s.batch(5)

	t.Run("no message makes no call", func(t *testing.T) {
		service, p := s.start(t, s.Peer)
		require.Empty(t, s.sendBatch(t.Context(), t, service, p, nil))
		require.Zero(t, service.Traffic(), "there was traffic")
	})
	t.Run("more messages than one call takes", func(t *testing.T) {
		service, p := s.startBatch(t)
		most := b.MaxBatch()
		if most > 1000 {
			most = 5 // it would take too long to fill one
		}
		ms := s.batch(most + 2)
		results := s.sendBatch(t.Context(), t, service, p, ms)
		s.inOrder(t, service, ms, results)
		for _, q := range service.Requests() {
			require.LessOrEqual(t, len(owners(q)), b.MaxBatch(), "messages in one call")
		}
		require.Equal(t, (len(ms)+b.MaxBatch()-1)/b.MaxBatch(), len(service.Requests()), "calls; see Spec.Batch")
	})
	if h, ok := s.Peer.(HTTP); ok {
		s.testBatchBytes(t, h, b.MaxBatch())
		s.testBatchAnswers(t, few)
		t.Run("a lost answer leaves its own messages unknown", func(t *testing.T) { s.testBatchLoss(t, b.MaxBatch()) })
	}
	t.Run("a message that is wrong stops no other", func(t *testing.T) {
		service, p := s.startBatch(t)
		ms := slices.Clone(few)
		ms[1].Subject = "Hello\r\nBcc: eve@evil.example"
		results := s.sendBatch(t.Context(), t, service, p, ms)
		require.Error(t, results[1].Err)
		require.Equal(t, mailer.KindInvalid.String(), mailer.KindOf(results[1].Err).String(), "the kind of: %v", results[1].Err)
		require.True(t, mailer.NotSent(results[1].Err))
		s.inOrder(t, service, slices.Delete(ms, 1, 2), slices.Delete(results, 1, 2))
	})
	for name, kind := range s.Unsupported {
		t.Run("a message that the service cannot express stops no other: "+name, func(t *testing.T) {
			service, p := s.startBatch(t)
			ms := slices.Clone(few)
			ms[2] = s.message(name)
			results := s.sendBatch(t.Context(), t, service, p, ms)
			require.Error(t, results[2].Err)
			require.Equal(t, kind.String(), mailer.KindOf(results[2].Err).String(), "the kind of: %v", results[2].Err)
			require.True(t, mailer.NotSent(results[2].Err))
			s.inOrder(t, service, slices.Delete(ms, 2, 3), slices.Delete(results, 2, 3))
		})
	}

	for _, d := range s.Peer.Days() {
		if d.Hangs || d.Taken || !slices.Contains(RequiredDays(), d.Name) {
			continue
		}
		t.Run(d.Name, func(t *testing.T) {
			peer := s.Peer
			if h, ok := peer.(HTTP); ok {
				peer = h.on(d.Name)
			}
			service, p := s.start(t, peer)
			service.Behave(d.Name)
			results := s.sendBatch(t.Context(), t, service, p, few)
			seen := s.once(t, service)
			for i, r := range results {
				day, read := d, 1
				if _, ok := seen[few[i].ID]; !ok {
					read = 0
				}
				if read == 0 && day.NotSent == No {
					day.NotSent = Either // a call after the failed one need not be made
				}
				s.failed(t, day, read, r.Err)
			}
		})
	}
	t.Run("canceled before", func(t *testing.T) {
		service, p := s.start(t, s.Peer)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		results := s.sendBatch(ctx, t, service, p, few)
		require.Empty(t, service.Requests(), "messages were sent")
		for _, r := range results {
			require.Error(t, r.Err)
			require.Equal(t, mailer.KindCanceled.String(), mailer.KindOf(r.Err).String(), "the kind of: %v", r.Err)
			require.True(t, mailer.NotSent(r.Err), "NotSent of: %v", r.Err)
		}
	})
	t.Run("canceled in "+Silence, func(t *testing.T) {
		service, p := s.start(t, s.Peer)
		service.Behave(Silence)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan struct{})
		go func() {
			defer close(done)
			poll(func() bool { return len(service.Requests()) > 0 })
			cancel()
		}()
		results := s.sendBatch(ctx, t, service, p, few)
		<-done
		seen := s.once(t, service)
		require.NotEmpty(t, seen)
		for i, r := range results {
			require.Error(t, r.Err)
			require.Equal(t, mailer.KindCanceled.String(), mailer.KindOf(r.Err).String(), "the kind of: %v", r.Err)
			if _, ok := seen[few[i].ID]; ok {
				require.False(t, mailer.NotSent(r.Err), "NotSent, although the service read the message: %v", r.Err)
			}
		}
	})
}

// batch makes n different messages.
func (s *suite) batch(n int) []mailer.Message {
	return s.batchWith(n, func(int, *mailer.Message) {})
}

// batchWith does what batch does, and lets change have each message before
// Spec.Batch does.
func (s *suite) batchWith(n int, change func(i int, m *mailer.Message)) []mailer.Message {
	ms := make([]mailer.Message, n)
	for i := range ms {
		m := s.message("minimal")
		m.ID = fmt.Sprintf("mark%dx", i)
		m.Subject = "About " + m.ID
		m.To[0].Address = m.ID + "@example.com"
		if change(i, &m); s.Batch != nil {
			s.Batch(&m)
		}
		ms[i] = m
	}
	return ms
}

// testBatchAnswers lets the service answer a call of several messages with a list
// that is not one result for each, in their order. A message may count as taken
// only with its own result, and is unknown otherwise.
func (s *suite) testBatchAnswers(t *testing.T, ms []mailer.Message) {
	for name, twist := range map[string]func(list []any) []any{
		"a result too few":    func(list []any) []any { return list[1:] },
		"a result too many":   func(list []any) []any { return append(list, list[0]) },
		"a result of nothing": func(list []any) []any { return append([]any{list[0], nil}, list[2:]...) },
		"a result that is empty": func(list []any) []any {
			return append([]any{list[0], map[string]any{}}, list[2:]...)
		},
		"results in another order": func(list []any) []any {
			if !mark.MatchString(fmt.Sprint(list[0])) {
				return nil // the service names no message, so their order is all there is
			}
			slices.Reverse(list)
			return list
		},
	} {
		t.Run("an answer with "+name, func(t *testing.T) {
			service, p := s.startBatch(t)
			done := false
			twisted := func(a Answer) Answer {
				var v any
				if unmarshal([]byte(a.Body), &v) == nil && twistList(&v, twist) {
					done = true
					a.Body = string(indented(v))
				}
				return a
			}
			service.(*httpService).twist.Store(&twisted)
			results := s.sendBatch(t.Context(), t, service, p, ms)
			seen := s.once(t, service)
			if !done {
				return // the answers of this service have no such list
			}
			lost := 0
			for i, r := range results {
				if r.Err != nil {
					lost++
					require.False(t, mailer.NotSent(r.Err), "NotSent, although the service read the message: %v", r.Err)
					continue
				}
				s.sameID(t, r.Receipt, Request{MessageID: seen[ms[i].ID]})
			}
			if name != "results in another order" && name != "a result too many" {
				require.Positive(t, lost, "every message counts as taken")
			}
		})
	}
}

// twistList changes the first list of several objects in v. It reports whether
// there is one.
func twistList(v *any, twist func([]any) []any) bool {
	switch x := (*v).(type) {
	case []any:
		if len(x) > 1 {
			if _, ok := x[0].(map[string]any); ok {
				x = twist(slices.Clone(x))
				*v = x
				return x != nil
			}
		}
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(x)) {
			inner := x[k]
			if twistList(&inner, twist) {
				x[k] = inner
				return true
			}
		}
	}
	return false
}

// testBatchLoss loses the answer of one call of several.
func (s *suite) testBatchLoss(t *testing.T, most int) {
	if most > 1000 {
		most = 5 // it would take too long to fill one
	}
	service, p := s.startBatch(t)
	h := service.(*httpService)
	h.mu.Lock()
	h.lost = 2
	h.mu.Unlock()
	ms := s.batch(2*most + 1)
	results := s.sendBatch(t.Context(), t, service, p, ms)
	seen := s.once(t, service)
	require.Len(t, seen, len(ms), "messages that the service saw")
	require.Greater(t, len(service.Requests()), 1, "calls")
	unknown := owners(service.Requests()[1])
	for i, r := range results {
		if slices.Contains(unknown, ms[i].ID) {
			s.failed(t, Day{Kinds: []mailer.Kind{mailer.KindNetwork}}, 1, r.Err)
			continue
		}
		require.NoError(t, r.Err, "message %d, whose answer came", i)
		s.sameID(t, r.Receipt, Request{MessageID: seen[ms[i].ID]})
	}
}

// startBatch starts a service that takes batches.
func (s *suite) startBatch(t *testing.T) (Service, mailer.Provider) {
	t.Helper()
	service, p := s.start(t, s.Peer)
	if h, ok := service.(*httpService); ok {
		require.True(t, h.acceptBatches(), "the provider has SendBatch, so HTTP.AcceptBatch is needed")
	}
	return service, p
}

// sendBatch calls SendBatch, and looks at what holds for every call.
func (s *suite) sendBatch(ctx context.Context, t *testing.T, service Service, p mailer.Provider, ms []mailer.Message) []mailer.Result {
	t.Helper()
	given, want := make([]mailer.Message, len(ms)), make([]mailer.Message, len(ms))
	for i, m := range ms {
		given[i], want[i] = clone(m), clone(m)
	}
	results, ok := patiently(ctx, t, func() []mailer.Result { return p.(mailer.BatchSender).SendBatch(ctx, given) })
	if !ok {
		t.FailNow()
	}
	require.Len(t, results, len(ms), "results")
	secrets := s.secrets(service)
	for i, r := range results {
		require.Empty(t, difference(want[i], given[i]), "SendBatch changed message %d", i)
		if r.Err == nil {
			s.judgeReceipt(t, secrets, ms[i], r.Receipt)
		} else {
			s.judgeError(t, secrets, r.Err)
		}
	}
	return results
}

// owners are the IDs of the messages in a call, in their order.
func owners(q Request) []string {
	var all []string
	for _, said := range q.Said {
		if id := mark.FindString(said.What); id != "" && said.What == "About "+id {
			all = append(all, id)
		}
	}
	return all
}

// once requires that no message was sent twice, and returns the id that the
// service gave to each.
func (s *suite) once(t *testing.T, service Service) map[string]string {
	t.Helper()
	seen := map[string]string{}
	for _, q := range service.Requests() {
		ids := q.messageIDs
		if ids == nil {
			ids = []string{q.MessageID}
		}
		for i, id := range owners(q) {
			require.NotContains(t, seen, id, "message %s was sent twice", id)
			seen[id] = ""
			if i < len(ids) {
				seen[id] = ids[i]
			}
		}
	}
	return seen
}

// inOrder requires that every message was sent once, and that its result is its
// own.
func (s *suite) inOrder(t *testing.T, service Service, ms []mailer.Message, results []mailer.Result) {
	t.Helper()
	seen := s.once(t, service)
	require.Len(t, seen, len(ms), "messages that the service saw")
	for i, r := range results {
		require.NoError(t, r.Err, "message %d", i)
		require.Contains(t, seen, ms[i].ID, "message %d was not sent", i)
		s.sameID(t, r.Receipt, Request{MessageID: seen[ms[i].ID]})
	}
}
