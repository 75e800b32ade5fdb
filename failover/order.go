package failover

import "time"

// next returns the first target from i on that may be tried now, in the order in
// which they were given to New, with the permit for it.
func (c *Chain) next(i int, now time.Time) (*target, permit) {
	for ; i < len(c.targets); i++ {
		if p, ok := c.targets[i].health.admit(now); ok {
			return c.targets[i], p
		}
	}
	return nil, permit{}
}

// wakesFirst returns, of targets that all rest, the one that wakes first, but
// none whose service named a time that lies ahead. Nil: all did.
func (c *Chain) wakesFirst(now time.Time) (*target, permit) {
	var first *target
	var soonest time.Time
	for _, t := range c.targets {
		until, early, _ := t.health.wakes(now)
		if !now.Before(until) {
			// Its rest is over but another message is the probe: whoever still
			// rests is as good a choice, and the probe stays alone.
			until = now.Add(maxNamedRest)
		}
		if early && (first == nil || until.Before(soonest)) {
			first, soonest = t, until
		}
	}
	if first == nil {
		return nil, permit{}
	}
	return first, first.health.late()
}
