package providertest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
)

// testVerify holds a [mailer.Verifier] to its promise.
func (s *suite) testVerify(t *testing.T) {
	if _, p := s.start(t, s.Peer); !has[mailer.Verifier](p) {
		t.Skip("the provider has no Verify")
	}
	var good Answer
	if h, ok := s.Peer.(HTTP); ok {
		require.NotZero(t, h.Verify, "the provider has Verify, so HTTP.Verify is needed")
		good = h.Verify
	}
	s.asks(t, good, func(ctx context.Context, _ *testing.T, p mailer.Provider) error {
		return p.(mailer.Verifier).Verify(ctx)
	})
}

// testQuota holds a [mailer.QuotaReporter] to its promise.
func (s *suite) testQuota(t *testing.T) {
	if _, p := s.start(t, s.Peer); !has[mailer.QuotaReporter](p) {
		t.Skip("the provider has no Quota")
	}
	h, ok := s.Peer.(HTTP)
	require.True(t, ok && h.Quota != nil, "the provider has Quota, so HTTP.Quota is needed")
	good, want := h.Quota()
	s.asks(t, good, func(ctx context.Context, t *testing.T, p mailer.Provider) error {
		q, err := p.(mailer.QuotaReporter).Quota(ctx)
		if err == nil && q != want {
			t.Errorf("Quota is %+v, the service said %+v", q, want)
		}
		if err != nil && q != (mailer.Quota{}) {
			t.Errorf("Quota is %+v beside an error", q)
		}
		return err
	})
}

// asks puts a question on good and on bad days. An error says that nothing was
// sent, whatever broke, since there was nothing to send.
func (s *suite) asks(t *testing.T, good Answer, question func(ctx context.Context, t *testing.T, p mailer.Provider) error) {
	start := func(t *testing.T, day string) (Service, mailer.Provider) {
		t.Helper()
		peer := s.Peer
		if h, ok := peer.(HTTP); ok {
			peer = h.on(day)
		}
		service, p := s.start(t, peer)
		if h, ok := service.(*httpService); ok {
			h.asked.Store(&good)
		}
		return service, p
	}
	ask := func(ctx context.Context, t *testing.T, service Service, p mailer.Provider) error {
		t.Helper()
		err, ok := patiently(ctx, t, func() error { return question(ctx, t, p) })
		if !ok {
			return errHung
		}
		if err != nil {
			s.judgeError(t, s.secrets(service), err)
		}
		for _, q := range service.Requests() {
			require.Empty(t, mailboxes(q), "it sends mail")
		}
		return err
	}

	t.Run("good credentials", func(t *testing.T) {
		service, p := start(t, Accept)
		require.NoError(t, ask(t.Context(), t, service, p))
		require.Positive(t, service.Traffic(), "it does not ask the service")
		require.LessOrEqual(t, len(service.Requests()), 1, "calls")
	})
	if h, ok := s.Peer.(HTTP); ok {
		t.Run("bad credentials", func(t *testing.T) {
			require.NotZero(t, h.Unauthorized, "HTTP.Unauthorized")
			service, p := start(t, Accept)
			service.(*httpService).asked.Store(&h.Unauthorized)
			s.failed(t, Day{Kinds: []mailer.Kind{mailer.KindUnauthorized}, NotSent: Yes}, 0, ask(t.Context(), t, service, p))
		})
	}
	t.Run("canceled before", func(t *testing.T) {
		service, p := start(t, Accept)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := ask(ctx, t, service, p)
		s.failed(t, Day{Kinds: []mailer.Kind{mailer.KindCanceled}, NotSent: Yes}, 0, err)
		require.ErrorIs(t, err, context.Canceled)
		require.Zero(t, service.Traffic(), "there was traffic")
	})
	for _, d := range s.Peer.Days() {
		switch {
		case !d.Asks:
		case !d.Hangs:
			t.Run(d.Name, func(t *testing.T) {
				service, p := start(t, d.Name)
				service.Behave(d.Name)
				err := ask(t.Context(), t, service, p)
				d.NotSent = Yes
				s.failed(t, d, 0, err)
				if d.Check != nil {
					d.Check(t, service, mailer.Receipt{}, err)
				}
				service.Behave(Accept)
				require.NoError(t, ask(t.Context(), t, service, p), "the provider does not recover")
			})
		default:
			t.Run("canceled in "+d.Name, func(t *testing.T) {
				service, p := start(t, d.Name)
				service.Behave(d.Name)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var wg sync.WaitGroup
				wg.Go(func() {
					quiet(service)
					cancel()
				})
				err := ask(ctx, t, service, p)
				wg.Wait()
				s.failed(t, Day{Kinds: []mailer.Kind{mailer.KindCanceled}, NotSent: Yes}, 0, err)
				require.ErrorIs(t, err, context.Canceled)
			})
			t.Run("deadline passes in "+d.Name, func(t *testing.T) {
				service, p := start(t, d.Name)
				service.Behave(d.Name)
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				err := ask(ctx, t, service, p)
				s.failed(t, Day{Kinds: []mailer.Kind{mailer.KindNetwork}, NotSent: Yes}, 0, err)
				require.ErrorIs(t, err, context.DeadlineExceeded)
			})
		}
	}
}

// has reports whether the provider has the power.
func has[T any](p mailer.Provider) bool {
	_, ok := p.(T)
	return ok
}
