package failover

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/seed355143d4/mailer"
)

// Check returns nil if a target can carry m, or else what the first target says
// of it. A target that is no [mailer.Checker] counts as able to. It looks at what
// the services can express, not at their health.
func (c *Chain) Check(m mailer.Message) error {
	var first error
	for _, t := range c.targets {
		checker, ok := mailer.As[mailer.Checker](t.sender)
		if !ok {
			return nil
		}
		err := checker.Check(m)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// Carrier is what a target could do with a message.
type Carrier struct {
	// Target is the target's name.
	Target string
	// Err is why it cannot carry the message: what the [mailer.Checker] in it says.
	// Nil: it can, or does not tell.
	Err error
	// Dropped names the reporting fields that it would leave out, as
	// [mailer.Receipt].Dropped does: what the [mailer.DropReporter] in it says. Nil:
	// none, or it does not tell, or Err is not nil.
	Dropped []string
}

// Carriers tells what each target could do with m, in their order. It does no I/O,
// and looks at what the services can express, not at their health or at
// [Config].Order.
func (c *Chain) Carriers(m mailer.Message) []Carrier {
	all := make([]Carrier, len(c.targets))
	for i, t := range c.targets {
		all[i].Target = t.name
		if checker, ok := mailer.As[mailer.Checker](t.sender); ok {
			all[i].Err = checker.Check(m)
		}
		if reporter, ok := mailer.As[mailer.DropReporter](t.sender); ok && all[i].Err == nil {
			all[i].Dropped = reporter.Dropped(m)
		}
	}
	return all
}

// Verify asks all targets side by side whether their credentials are good, and
// returns nil if no target says otherwise, or else the errors of those that do,
// joined in their order, each beginning with the target's name. A target that is
// no [mailer.Verifier] is left out. Health is neither asked nor changed.
func (c *Chain) Verify(ctx context.Context) error {
	errs := make([]error, len(c.targets))
	var wg sync.WaitGroup
	for i, t := range c.targets {
		if v, ok := mailer.As[mailer.Verifier](t.sender); ok {
			wg.Go(func() {
				if err := v.Verify(ctx); err != nil {
					errs[i] = fmt.Errorf("%s: %w", t.name, err)
				}
			})
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}
