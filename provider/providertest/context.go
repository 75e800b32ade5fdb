package providertest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
)

// testContext ends contexts.
func (s *suite) testContext(t *testing.T) {
	before := func(ctx context.Context, kind mailer.Kind, cause error) func(t *testing.T) {
		return func(t *testing.T) {
			service, p := s.start(t, s.Peer)
			_, err := s.send(ctx, t, service, p, dayMessage())
			require.Error(t, err)
			require.Equal(t, kind.String(), mailer.KindOf(err).String(), "the kind of: %v", err)
			require.True(t, mailer.NotSent(err), "NotSent of: %v", err)
			require.ErrorIs(t, err, cause)
			require.Zero(t, service.Traffic(), "there was traffic")
			s.recovers(t, service, p)
		}
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	t.Run("canceled before", before(canceled, mailer.KindCanceled, context.Canceled))
	t.Run("deadline passed before", before(late, mailer.KindNetwork, context.DeadlineExceeded))

	days := append([]Day{{Name: Silence, Hangs: true}}, s.Peer.Days()...)
	for _, d := range days {
		if !d.Hangs {
			continue
		}
		t.Run("canceled in "+d.Name, func(t *testing.T) {
			service, p, m := s.begin(t, d)
			before := len(service.Requests())
			service.Behave(d.Name)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var wg sync.WaitGroup
			wg.Go(func() {
				defer cancel()
				if d.NotSent == No {
					poll(func() bool { return len(service.Requests()) > before })
				} else {
					quiet(service)
				}
			})
			_, err := s.send(ctx, t, service, p, m)
			wg.Wait()
			s.interrupted(t, d, service, before, err, mailer.KindCanceled, context.Canceled)
			s.recovers(t, service, p)
		})
		t.Run("deadline passes in "+d.Name, func(t *testing.T) {
			// The deadline is a trigger only: on a slow machine it comes too early, and
			// then it is given more time.
			for patience := 50 * time.Millisecond; ; patience *= 4 {
				service, p, m := s.begin(t, d)
				before := len(service.Requests())
				service.Behave(d.Name)
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				_, err := s.send(ctx, t, service, p, m)
				if d.NotSent == No && len(service.Requests()) == before && patience < guard/4 && !errors.Is(err, errHung) {
					continue
				}
				s.interrupted(t, d, service, before, err, mailer.KindNetwork, context.DeadlineExceeded)
				s.recovers(t, service, p)
				return
			}
		})
	}
}

// interrupted requires that the error is that of a context which ended on the day.
func (s *suite) interrupted(t *testing.T, d Day, service Service, before int, err error, kind mailer.Kind, cause error) {
	t.Helper()
	read := len(service.Requests()) - before
	if d.NotSent == No {
		require.Equal(t, 1, read, "how often the message was sent")
	}
	d.Kinds = []mailer.Kind{kind}
	s.failed(t, d, read, err)
	require.ErrorIs(t, err, cause)
	if d.Check != nil {
		d.Check(t, service, mailer.Receipt{}, err)
	}
}

// poll waits until ok, or until patience ends.
func poll(ok func() bool) {
	for end := time.Now().Add(guard); !ok() && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
}

// quiet waits until there was traffic and then none for a while.
func quiet(service Service) {
	last, since := service.Traffic(), time.Now()
	poll(func() bool {
		if now := service.Traffic(); now != last {
			last, since = now, time.Now()
		}
		return last > 0 && time.Since(since) > 30*time.Millisecond
	})
}

// recovers requires that the next message is taken.
func (s *suite) recovers(t *testing.T, service Service, p mailer.Provider) {
	t.Helper()
	service.Behave(Accept)
	before := len(service.Requests())
	_, err := s.send(t.Context(), t, service, p, dayMessage())
	require.NoError(t, err, "the provider does not recover")
	require.Len(t, service.Requests(), before+1, "requests for one message")
}
