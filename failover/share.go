package failover

import (
	"context"
	"time"

	"github.com/seed355143d4/mailer"
)

// Store tells the chains of several processes about each other's rests. Chains
// that share one agree on the names of their targets.
//
// None of its methods may block on anything outside the process, and none is told
// to fail: without the store a chain goes on with what it knows itself. All are
// called from many goroutines at once.
type Store interface {
	// Join is called by New with the names of the targets. From then on the Store
	// calls learn, from any goroutine, with what other chains published of them:
	// at least once for each rest that is still ahead, and once when it is over.
	// It does not hand back what came from this chain's own Publish, which would
	// do no harm. Learn is quick, and ignores names that are not the chain's.
	Join(targets []string, learn func(target string, r Rest)) error
	// Poll is called at the beginning of each send: an occasion to look for news
	// in the background.
	Poll()
	// Publish tells the others that target came to rest, or was found well.
	Publish(target string, r Rest)
}

// Rest is a target's rest as chains tell it to each other.
type Rest struct {
	// Until is when it ends, by the clock of this process. Zero: it is over,
	// since the target took a message.
	Until time.Time
	// Kind is why the target rests.
	Kind mailer.Kind
	// Named tells that the service itself named Until, so that the target is not
	// tried before even if all others rest too.
	Named bool
}

// learn takes over what another chain found out. Whether a message was left in doubt
// there is not told: by a service that was down, or did not answer, it may have been.
func (c *Chain) learn(name string, r Rest) {
	for _, t := range c.targets {
		if t.name != name {
			continue
		}
		now := time.Now()
		doubt := r.Kind == mailer.KindNetwork || r.Kind == mailer.KindUnavailable
		err := &mailer.Error{Provider: name, Kind: r.Kind, NotSent: !doubt, Message: "found out by another process"}
		if t.health.learn(r, err, now) == cameToRest {
			c.logRest(context.Background(), t, now)
		}
	}
}

// publish tells the others how t stands.
func (c *Chain) publish(t *target, now time.Time) {
	if c.store == nil {
		return
	}
	c.store.Publish(t.name, t.health.told(now))
}
