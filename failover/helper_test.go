package failover_test

import (
	"context"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/failover"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func message() mailer.Message {
	return mailer.Message{
		ID:      "m1",
		From:    mailer.Address{Address: "shop@example.com"},
		To:      []mailer.Address{{Address: "ada@example.com"}},
		Subject: "Welcome aboard",
		Text:    "Your code is 123456.",
	}
}

// service is a made-up relay service. Answer says what becomes of a message; nil
// takes everything.
type service struct {
	name string

	mu     sync.Mutex
	answer func(ctx context.Context, m mailer.Message) error
	got    []string // the IDs of the messages it was asked to send
}

func (s *service) Name() string { return s.name }

func (s *service) Send(ctx context.Context, m mailer.Message) (mailer.Receipt, error) {
	s.mu.Lock()
	s.got = append(s.got, m.ID)
	answer := s.answer
	s.mu.Unlock()
	if answer != nil {
		if err := answer(ctx, m); err != nil {
			return mailer.Receipt{}, err
		}
	}
	return mailer.Receipt{ID: m.ID, Provider: s.name, MessageID: s.name + "-" + m.ID}, nil
}

func (s *service) answers(f func(ctx context.Context, m mailer.Message) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

func (s *service) fails(err error) {
	s.answers(func(context.Context, mailer.Message) error { return err })
}

func (s *service) recovers() { s.answers(nil) }

func (s *service) calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.got)
}

// hang waits for the end of ctx and reports it as an adapter does that had
// written its request already.
func hang(ctx context.Context, _ mailer.Message) error {
	<-ctx.Done()
	return &mailer.Error{Kind: mailer.KindOf(ctx.Err()), Err: ctx.Err()}
}

// refused is a failure that certainly sent nothing.
func refused(k mailer.Kind) error { return &mailer.Error{Provider: "a", Kind: k, NotSent: true} }

func refusedFor(k mailer.Kind, d time.Duration) error {
	return &mailer.Error{Provider: "a", Kind: k, NotSent: true, RetryAfter: d}
}

func quiet(cfg failover.Config) failover.Config {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return cfg
}

func chainOf(t testing.TB, cfg failover.Config, senders ...mailer.Sender) *failover.Chain {
	t.Helper()
	c, err := failover.New(quiet(cfg), senders...)
	require.NoError(t, err)
	return c
}

// pair is a chain over two services.
func pair(t testing.TB, cfg failover.Config) (c *failover.Chain, a, b *service) {
	a, b = &service{name: "a"}, &service{name: "b"}
	return chainOf(t, cfg, a, b), a, b
}

// via sends a message that has to arrive, and tells the way it took: "a b".
func via(t testing.TB, s mailer.Sender) string {
	t.Helper()
	r, err := s.Send(t.Context(), message())
	require.NoError(t, err)
	return way(r.Attempts)
}

func way(attempts []mailer.Attempt) string {
	var names []string
	for _, a := range attempts {
		names = append(names, a.Provider)
	}
	return strings.Join(names, " ")
}

var allKinds = []mailer.Kind{
	mailer.KindUnknown, mailer.KindInvalid, mailer.KindRejected, mailer.KindUnsupported, mailer.KindTooLarge,
	mailer.KindContent, mailer.KindRecipient, mailer.KindSender, mailer.KindUnauthorized, mailer.KindQuota,
	mailer.KindRateLimited, mailer.KindUnavailable, mailer.KindNetwork, mailer.KindCanceled,
}

// textLogger writes lines without the time of day.
func textLogger(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// restLength is the part of a log line that holds the jitter.
var restLength = regexp.MustCompile(`for=\S+`)

// bothWays are the ways to send the message through a chain.
func bothWays(t testing.TB) map[string]func(c *failover.Chain) (mailer.Receipt, error) {
	return map[string]func(c *failover.Chain) (mailer.Receipt, error){
		"alone": func(c *failover.Chain) (mailer.Receipt, error) { return c.Send(t.Context(), message()) },
		"in a batch": func(c *failover.Chain) (mailer.Receipt, error) {
			r := c.SendBatch(t.Context(), []mailer.Message{message()})[0]
			return r.Receipt, r.Err
		},
	}
}
