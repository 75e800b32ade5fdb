package middleware_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/middleware"
)

// service is a Sender with every power.
type service struct {
	answer  func(m mailer.Message) (mailer.Receipt, error)
	sent    []mailer.Message
	batches []int
	checked []mailer.Message
}

func (s *service) Name() string { return "service" }

func (s *service) Send(_ context.Context, m mailer.Message) (mailer.Receipt, error) {
	s.sent = append(s.sent, m)
	if s.answer != nil {
		return s.answer(m)
	}
	return mailer.Receipt{ID: m.ID, Provider: "service", MessageID: "s-" + m.ID}, nil
}

func (s *service) Check(m mailer.Message) error {
	s.checked = append(s.checked, m)
	return nil
}
func (s *service) Verify(context.Context) error { return nil }
func (s *service) Quota(context.Context) (mailer.Quota, error) {
	return mailer.Quota{Remaining: 7}, nil
}

type batchService struct{ service }

func (s *batchService) MaxBatch() int { return 50 }

func (s *batchService) SendBatch(ctx context.Context, ms []mailer.Message) []mailer.Result {
	s.batches = append(s.batches, len(ms))
	results := make([]mailer.Result, len(ms))
	for i, m := range ms {
		results[i].Receipt, results[i].Err = s.Send(ctx, m)
	}
	return results
}

func message(id string) mailer.Message {
	return mailer.Message{
		ID:      id,
		From:    mailer.Address{Address: "app@example.com"},
		To:      []mailer.Address{{Name: "Ada", Address: "ada@example.com"}},
		Subject: "Please confirm",
		Text:    "secret link",
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// all are the wrappers, each as an application would make it.
var all = map[string]func(mailer.Sender) mailer.Sender{
	"Log":      middleware.Log(quiet()),
	"Observe":  middleware.Observe(func(context.Context, middleware.Observation) {}),
	"Recover":  middleware.Recover(quiet()),
	"Redirect": middleware.Redirect(mailer.Address{Address: "staging@example.com"}),
}

func TestPowersStayReachable(t *testing.T) {
	for name, wrap := range all {
		t.Run(name+" around a service without a batch call", func(t *testing.T) {
			w := wrap(&service{})
			_, ok := w.(mailer.BatchSender)
			require.False(t, ok)
			provider, ok := mailer.As[mailer.Provider](w)
			require.True(t, ok)
			require.Equal(t, "service", provider.Name())
			_, ok = mailer.As[mailer.Verifier](w)
			require.True(t, ok)
			_, ok = mailer.As[mailer.QuotaReporter](w)
			require.True(t, ok)
			checker, ok := mailer.As[mailer.Checker](w)
			require.True(t, ok)
			require.NoError(t, checker.Check(message("a")))
		})
		t.Run(name+" around a service with one", func(t *testing.T) {
			s := &batchService{}
			w := wrap(s)
			b, ok := w.(mailer.BatchSender)
			require.True(t, ok)
			require.Equal(t, 50, b.MaxBatch())
			results := mailer.SendAll(t.Context(), w, []mailer.Message{message("a"), message("b"), message("c")})
			require.Equal(t, []int{3}, s.batches)
			require.Len(t, results, 3)
			for i, id := range []string{"a", "b", "c"} {
				require.NoError(t, results[i].Err)
				require.Equal(t, id, results[i].Receipt.ID)
			}
			_, ok = mailer.As[mailer.Verifier](w)
			require.True(t, ok)
		})
		t.Run(name+" passes a failure on", func(t *testing.T) {
			want := &mailer.Error{Provider: "service", Kind: mailer.KindRateLimited, NotSent: true}
			s := &batchService{}
			s.answer = func(m mailer.Message) (mailer.Receipt, error) { return mailer.Receipt{ID: m.ID}, want }
			_, err := wrap(s).Send(t.Context(), message("a"))
			require.Same(t, want, err)
			results := mailer.SendAll(t.Context(), wrap(s), []mailer.Message{message("a")})
			require.Same(t, want, results[0].Err)
		})
	}
}

func TestObserveSeesEveryMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []middleware.Observation
		observe := middleware.Observe(func(_ context.Context, o middleware.Observation) { seen = append(seen, o) })
		s := &batchService{}
		s.answer = func(m mailer.Message) (mailer.Receipt, error) {
			time.Sleep(time.Second)
			if m.Subject == "bad" {
				return mailer.Receipt{ID: m.ID}, mailer.KindRejected
			}
			return mailer.Receipt{ID: m.ID}, nil
		}
		bad := message("")
		bad.Subject = "bad"
		ms := []mailer.Message{message("a"), bad}

		_, err := observe(s).Send(t.Context(), bad)
		require.ErrorIs(t, err, mailer.KindRejected)
		require.Len(t, seen, 1)
		require.NotEmpty(t, seen[0].Message.ID, "an ID is assigned")
		require.Equal(t, seen[0].Message.ID, s.sent[0].ID, "and is the one sent")
		require.Equal(t, seen[0].Receipt.ID, s.sent[0].ID)
		require.ErrorIs(t, seen[0].Err, mailer.KindRejected)
		require.Equal(t, time.Second, seen[0].Duration)
		require.Zero(t, seen[0].Batch)

		seen, s.sent = nil, nil
		mailer.SendAll(t.Context(), observe(s), ms)
		require.Len(t, seen, 2)
		require.Equal(t, "a", seen[0].Message.ID)
		require.NoError(t, seen[0].Err)
		require.NotEmpty(t, seen[1].Message.ID)
		require.Equal(t, s.sent[1].ID, seen[1].Message.ID)
		require.ErrorIs(t, seen[1].Err, mailer.KindRejected)
		require.Equal(t, 2*time.Second, seen[1].Duration)
		require.Equal(t, 2, seen[1].Batch)
		require.Empty(t, ms[1].ID, "the caller's messages stay as they are")
	})
}

// lines reads a JSON log.
func lines(t *testing.T, log *bytes.Buffer) []map[string]any {
	t.Helper()
	var all []map[string]any
	for line := range strings.Lines(log.String()) {
		var one map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &one))
		delete(one, "time")
		delete(one, "duration")
		all = append(all, one)
	}
	return all
}

func TestLogSaysWhatBecameOfAMessage(t *testing.T) {
	refused := &mailer.Error{Provider: "service", Kind: mailer.KindRecipient, NotSent: true, Status: 422, Code: "406", Message: "ada@example.com is inactive"}
	failures := map[string]error{
		"unverified": &mailer.Error{Provider: "service", Kind: mailer.KindSender, NotSent: true},
		"lost":       fmt.Errorf("wrapped: %w", &mailer.Error{Provider: "service", Kind: mailer.KindNetwork}),
		"refused":    refused,
		"foreign":    errors.New("ada@example.com broke it"),
	}
	var log bytes.Buffer
	s := &batchService{}
	s.answer = func(m mailer.Message) (mailer.Receipt, error) {
		if err := failures[m.ID]; err != nil {
			return mailer.Receipt{ID: m.ID}, err
		}
		r := mailer.Receipt{ID: m.ID, Provider: "service", MessageID: "s-1"}
		if m.ID == "second" {
			r.Attempts = make([]mailer.Attempt, 2)
			r.Rejected = []mailer.Rejection{{Address: "ada@example.com", Err: refused}}
		}
		return r, nil
	}
	w := middleware.Log(slog.New(slog.NewJSONHandler(&log, nil)))(s)
	for _, c := range []struct {
		id   string
		want map[string]any
	}{
		{"first", map[string]any{"level": "INFO", "msg": "mail taken", "message_id": "first", "provider": "service", "provider_message_id": "s-1"}},
		{"second", map[string]any{"level": "INFO", "msg": "mail taken", "message_id": "second", "provider": "service", "provider_message_id": "s-1", "attempts": 2.0, "rejected": 1.0}},
		{"unverified", map[string]any{"level": "ERROR", "msg": "mail not taken", "message_id": "unverified", "provider": "service", "kind": "sender not verified", "not_sent": true}},
		{"lost", map[string]any{"level": "WARN", "msg": "mail not taken", "message_id": "lost", "provider": "service", "kind": "network failure", "not_sent": false}},
		{"refused", map[string]any{"level": "WARN", "msg": "mail not taken", "message_id": "refused", "provider": "service", "kind": "recipient refused", "not_sent": true, "status": 422.0, "code": "406"}},
		{"foreign", map[string]any{"level": "WARN", "msg": "mail not taken", "message_id": "foreign", "kind": "unclassified failure", "not_sent": false}},
	} {
		t.Run(c.id, func(t *testing.T) {
			log.Reset()
			_, _ = w.Send(t.Context(), message(c.id))
			require.Equal(t, []map[string]any{c.want}, lines(t, &log))
			require.NotContains(t, log.String(), "ada@")
		})
	}
	t.Run("a batch", func(t *testing.T) {
		log.Reset()
		mailer.SendAll(t.Context(), w, []mailer.Message{message("first"), message("second"), message("refused")})
		require.Equal(t, []map[string]any{
			{"level": "WARN", "msg": "mail not taken", "message_id": "refused", "provider": "service", "kind": "recipient refused", "not_sent": true, "status": 422.0, "code": "406"},
			{"level": "INFO", "msg": "batch taken", "taken": 2.0, "failed": 1.0, "rejected": 1.0},
		}, lines(t, &log))
	})
	t.Run("an ID that is an address stays out of it", func(t *testing.T) {
		log.Reset()
		failures["eve@example.com"] = mailer.KindInvalid
		_, _ = w.Send(t.Context(), message("eve@example.com"))
		require.NotContains(t, log.String(), "eve@")
		require.Contains(t, log.String(), "mail not taken")
	})
}

func noMap() map[string]int { return nil }

func TestRecoverMakesAnErrorOfAPanic(t *testing.T) {
	for _, c := range []struct {
		name  string
		panic func()
		words string
	}{
		{"of the run time", func() { noMap()["a"] = 1 }, "a panic: assignment to entry in nil map"},
		{"with a text that may be secret", func() { panic("the key is hunter2") }, "a panic of type string"},
		{"with an error that may be secret", func() { panic(errors.New("hunter2")) }, "a panic of type *errors.errorString"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log bytes.Buffer
			s := &batchService{}
			s.answer = func(m mailer.Message) (mailer.Receipt, error) {
				if m.ID == "b" {
					c.panic()
				}
				return mailer.Receipt{ID: m.ID}, nil
			}
			w := middleware.Recover(slog.New(slog.NewTextHandler(&log, nil)))(s)
			receipt, err := w.Send(t.Context(), message("b"))
			require.Equal(t, mailer.Receipt{ID: "b"}, receipt)
			require.ErrorIs(t, err, mailer.KindUnknown)
			require.False(t, mailer.NotSent(err), "nobody knows how far it came")
			require.Contains(t, err.Error(), c.words)
			require.NotContains(t, err.Error(), "hunter2")
			require.Contains(t, log.String(), "middleware_test.go", "the stack is logged")
			require.NotContains(t, log.String(), "hunter2")

			results := mailer.SendAll(t.Context(), w, []mailer.Message{message("a"), message("b"), message("c")})
			require.Len(t, results, 3)
			for i, id := range []string{"a", "b", "c"} {
				require.Equal(t, id, results[i].Receipt.ID)
				require.ErrorIs(t, results[i].Err, mailer.KindUnknown)
				require.False(t, mailer.NotSent(results[i].Err))
			}
		})
	}
}

func TestRedirectKeepsMailAtHome(t *testing.T) {
	home := mailer.Address{Name: "Staging", Address: "staging@example.com"}
	m := message("a")
	m.Cc = []mailer.Address{{Address: "cc@example.com"}}
	m.Bcc = []mailer.Address{{Address: "bcc@example.com"}}
	m.Headers = map[string]string{"X-Kept": "yes", "x-original-recipients": "forged"}
	wantHeaders := map[string]string{"X-Kept": "yes", middleware.OriginalRecipients: "ada@example.com, cc@example.com, bcc@example.com"}
	kept := func(t *testing.T, got mailer.Message) {
		require.Equal(t, []mailer.Address{home}, got.To)
		require.Empty(t, got.Cc)
		require.Empty(t, got.Bcc)
		require.Equal(t, wantHeaders, got.Headers)
		require.Equal(t, "secret link", got.Text)
		require.NoError(t, got.Validate())
	}
	s := &batchService{}
	w := middleware.Redirect(home)(s)
	t.Run("one message", func(t *testing.T) {
		_, err := w.Send(t.Context(), m)
		require.NoError(t, err)
		kept(t, s.sent[0])
		require.Equal(t, "ada@example.com", m.To[0].Address, "the caller's message stays as it is")
		require.Len(t, m.Headers, 2)
	})
	t.Run("a batch with an invalid message", func(t *testing.T) {
		s.sent = nil
		bad := message("b")
		bad.To[0].Address = "ada@example.com\r\nBcc: eve@example.com"
		results := mailer.SendAll(t.Context(), w, []mailer.Message{bad, m})
		require.ErrorIs(t, results[0].Err, mailer.KindInvalid)
		require.Equal(t, "b", results[0].Receipt.ID)
		require.NoError(t, results[1].Err)
		require.Equal(t, "a", results[1].Receipt.ID)
		require.Len(t, s.sent, 1)
		kept(t, s.sent[0])
	})
	t.Run("a check sees what would be sent", func(t *testing.T) {
		c, ok := mailer.As[mailer.Checker](w)
		require.True(t, ok)
		require.NoError(t, c.Check(m))
		kept(t, s.checked[0])
		c, ok = mailer.As[mailer.Checker](middleware.Redirect(home)(&service{}))
		require.True(t, ok)
		bad := m
		bad.To = nil
		bad.Cc, bad.Bcc = nil, nil
		require.ErrorIs(t, c.Check(bad), mailer.KindInvalid)
	})
	t.Run("to nobody is a stop", func(t *testing.T) {
		s.sent = nil
		_, err := middleware.Redirect()(s).Send(t.Context(), m)
		require.ErrorIs(t, err, mailer.KindInvalid)
		require.True(t, mailer.NotSent(err))
		require.Empty(t, s.sent)
	})
	t.Run("of very many the first stand in the header", func(t *testing.T) {
		s.sent = nil
		many := m
		many.To = nil
		for i := range 200 {
			many.To = append(many.To, mailer.Address{Address: fmt.Sprintf("a%d@example.com", i)})
		}
		_, err := w.Send(t.Context(), many)
		require.NoError(t, err)
		header := s.sent[0].Headers[middleware.OriginalRecipients]
		named, count, ok := strings.Cut(header, " and ")
		require.True(t, ok)
		require.LessOrEqual(t, len(named), 500)
		n := len(strings.Split(named, ", "))
		require.Equal(t, fmt.Sprintf("%d more", 202-n), count)
		require.NoError(t, s.sent[0].Validate())
	})
}
