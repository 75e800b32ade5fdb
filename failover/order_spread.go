package failover

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"github.com/seed355143d4/mailer"
)

// Weighted is an [Order] that spreads the messages over the targets by
// [Target].Weight: of weights 3 and 1 the first target is preferred for three
// messages of four. If the preferred target does not take the message, the others
// follow as they are listed.
//
// The spread is even, not random: of any number of messages in a row each target
// gets its share exactly, rounded up or down. While a target rests, the others
// share its part; afterwards it gets its own again, and nothing in arrears.
//
// The zero value is ready for use, in one Chain. It is safe for use by many
// goroutines, and must not be copied.
type Weighted struct{ spread spread }

// Bind implements [Binder]. It refuses to serve two chains.
func (o *Weighted) Bind(targets []TargetInfo) error {
	weights := make([]int64, len(targets))
	for i, t := range targets {
		if t.Weight > maxWeight {
			return fmt.Errorf("Weighted: the Weight of %q is over %d", t.Name, maxWeight)
		}
		weights[i] = int64(t.Weight) * fine
	}
	return o.spread.bind("Weighted", weights)
}

// Order implements [Order].
func (o *Weighted) Order(dst []int, _ mailer.Message, targets []TargetInfo) ([]int, error) {
	return o.spread.order(dst, targets), nil
}

// Warm is an [Order] that prefers the targets as they are listed, and lets each
// but the first have a small, steady share of the mail all the same. A service
// that suddenly gets all the mail of a domain that it has never sent for lands in
// the spam folders; one that always had a little does not.
//
// The shares are as even as those of [Weighted]. It has to be made with a Share, is
// for one Chain, is safe for use by many goroutines, and must not be copied.
type Warm struct {
	// Share is the part of the messages for which each target but the first is
	// preferred: 0.02 is every fiftieth message. It is over 0 and leaves the first
	// target at least as much as any other.
	Share float64

	spread spread
}

// Bind implements [Binder]. It refuses a Share out of its bounds, and to serve two
// chains.
func (o *Warm) Bind(targets []TargetInfo) error {
	const whole = maxWeight * fine
	share := int64(math.Round(o.Share * whole))
	first := whole - share*int64(len(targets)-1)
	if !(o.Share > 0 && o.Share <= 1) || share == 0 || first < share {
		return fmt.Errorf("Warm: a Share of %v does not go with %d targets", o.Share, len(targets))
	}
	weights := make([]int64, len(targets))
	for i := range weights {
		weights[i] = share
	}
	weights[0] = first
	return o.spread.bind("Warm", weights)
}

// Order implements [Order].
func (o *Warm) Order(dst []int, _ mailer.Message, targets []TargetInfo) ([]int, error) {
	return o.spread.order(dst, targets), nil
}

const (
	// maxWeight bounds a weight, so that no product of two sums overflows.
	maxWeight = 10_000
	// fine is into how many parts a weight is divided, so that little gets lost by
	// rounding when a target comes or goes.
	fine = 1000
)

// spread deals out turns by weight. It is the quota method of apportionment
// (Balinski and Young, 1975): of those who have had no more than their share the
// one whose next turn is due first gets it. So nobody is ever a whole turn ahead
// of or behind the exact share.
type spread struct {
	bound  atomic.Bool
	weight []int64

	mu  sync.Mutex
	sum int64   // of the weights of those that do not rest: one turn
	lag []int64 // by how much a target is behind its exact share; a turn is sum
}

func (s *spread) bind(name string, weights []int64) error {
	if s.bound.Swap(true) {
		return errors.New(name + ": is in use by another chain")
	}
	s.weight, s.lag = weights, make([]int64, len(weights))
	return nil
}

// order appends the target whose turn it is, then the others as listed.
func (s *spread) order(dst []int, targets []TargetInfo) []int {
	first := s.turn(targets)
	dst = append(dst, first)
	for i := range targets {
		if i != first {
			dst = append(dst, i)
		}
	}
	return dst
}

// turn deals the next turn to a target that does not rest. If all rest: to the
// first, without counting it.
func (s *spread) turn(targets []TargetInfo) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	var sum int64
	for i := range targets {
		if !targets[i].Resting {
			sum += s.weight[i]
		}
	}
	if sum == 0 {
		return 0
	}
	if s.sum != sum {
		for i := range s.lag {
			if s.sum > 0 { // nobody takes more than a turn along
				s.lag[i] = max(-sum, min(sum, s.lag[i]*sum/s.sum))
			}
		}
		s.sum = sum
	}
	best := -1
	for i := range targets {
		if targets[i].Resting {
			continue
		}
		s.lag[i] += s.weight[i]
		if best < 0 || s.before(i, best) {
			best = i
		}
	}
	s.lag[best] -= sum
	return best
}

// before tells whether i is to have its turn before j.
func (s *spread) before(i, j int) bool {
	if a, b := s.lag[i] > 0, s.lag[j] > 0; a != b {
		return a
	}
	// The turn of i is due when it is a whole one behind.
	return (s.sum-s.lag[i])*s.weight[j] < (s.sum-s.lag[j])*s.weight[i]
}
