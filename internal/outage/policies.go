package outage

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/failover"
	"github.com/seed355143d4/mailer/suppression"
)

// Policies are this library, the chain behind a suppression list, and the policies
// of the field.
func Policies() []Policy {
	return []Policy{
		{"mailer", func(services []*Service) mailer.Sender { return listed(services) }},
		{"mailer, duplicates allowed", func(services []*Service) mailer.Sender {
			s := listed(services)
			return mailer.SenderFunc(func(ctx context.Context, m mailer.Message) (mailer.Receipt, error) {
				m.AllowDuplicate = true
				return s.Send(ctx, m)
			})
		}},
		{"mailer, the chain alone", func(services []*Service) mailer.Sender { return chain(services) }},
		{"next, 60 s dead list", deadList},
		{"retry 3 times, then next", retryThenNext},
		{"random order", randomOrder},
		{"no failover", func(services []*Service) mailer.Sender { return timed(services[0]) }},
	}
}

// listed is the chain behind the lists of all services, as an application has them
// that pulled them once and records events.
func listed(services []*Service) mailer.Sender {
	store := suppression.NewMemory()
	for _, s := range services {
		if _, _, err := suppression.Pull(context.Background(), s, store, ""); err != nil {
			panic(err)
		}
	}
	return suppression.Wrap(chain(services), store, suppression.Config{Logger: slog.New(slog.DiscardHandler)})
}

// chain is this library's.
func chain(services []*Service) mailer.Sender {
	targets := make([]mailer.Sender, len(services))
	for i, s := range services {
		targets[i] = failover.Target{Sender: s, Timeout: AttemptTimeout}
	}
	c, err := failover.New(failover.Config{Logger: slog.New(slog.DiscardHandler)}, targets...)
	if err != nil {
		panic(err)
	}
	return c
}

// timed gives each call of s its time.
func timed(s mailer.Sender) mailer.Sender {
	return mailer.SenderFunc(func(ctx context.Context, m mailer.Message) (mailer.Receipt, error) {
		ctx, cancel := context.WithTimeout(ctx, AttemptTimeout)
		defer cancel()
		return s.Send(ctx, m)
	})
}

// deadList is the failover of Symfony, which Laravel wraps: it stays with a
// service until that fails, whatever the failure; then that service is dead for
// 60 seconds, and the next in the list that is not is tried. If all are dead it
// tries nothing.
func deadList(services []*Service) mailer.Sender {
	const period = 60 * time.Second
	var mu sync.Mutex
	died := make([]time.Time, len(services))
	cursor := 0
	// alive returns the first service from the cursor on that is not dead.
	alive := func() (int, bool) {
		for n := range services {
			i := (cursor + n) % len(services)
			if died[i].IsZero() || time.Since(died[i]) > period {
				died[i], cursor = time.Time{}, i
				return i, true
			}
		}
		return 0, false
	}
	return mailer.SenderFunc(func(ctx context.Context, m mailer.Message) (mailer.Receipt, error) {
		var errs []error
		for {
			mu.Lock()
			i, ok := alive()
			mu.Unlock()
			if !ok {
				return mailer.Receipt{}, ended(errs)
			}
			receipt, err := timed(services[i]).Send(ctx, m)
			if err == nil {
				return receipt, nil
			}
			errs = append(errs, err)
			if ctx.Err() != nil {
				return mailer.Receipt{}, ended(errs)
			}
			mu.Lock()
			died[i] = time.Now()
			mu.Unlock()
		}
	})
}

// retryThenNext tries every service three times, a second apart, and then the
// next, whatever the failure. It remembers nothing.
func retryThenNext(services []*Service) mailer.Sender {
	return mailer.SenderFunc(func(ctx context.Context, m mailer.Message) (mailer.Receipt, error) {
		var errs []error
		for _, s := range services {
			for try := range 3 {
				if try > 0 {
					time.Sleep(time.Second)
				}
				if ctx.Err() != nil {
					return mailer.Receipt{}, ended(errs)
				}
				receipt, err := timed(s).Send(ctx, m)
				if err == nil {
					return receipt, nil
				}
				errs = append(errs, err)
			}
		}
		return mailer.Receipt{}, ended(errs)
	})
}

// randomOrder tries the services in a random order, whatever the failure. It
// remembers nothing.
func randomOrder(services []*Service) mailer.Sender {
	return mailer.SenderFunc(func(ctx context.Context, m mailer.Message) (mailer.Receipt, error) {
		var errs []error
		for _, i := range rand.Perm(len(services)) {
			if ctx.Err() != nil {
				break
			}
			receipt, err := timed(services[i]).Send(ctx, m)
			if err == nil {
				return receipt, nil
			}
			errs = append(errs, err)
		}
		return mailer.Receipt{}, ended(errs)
	})
}

// ended is the error of a message that nobody took. To be fair to the others, it
// knows as much as ours about what may be out.
func ended(errs []error) error {
	if len(errs) == 0 {
		return &mailer.Error{Kind: mailer.KindUnavailable, NotSent: true, Message: "all services are dead"}
	}
	return errors.Join(errs...)
}
