package failover_test

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/failover"
)

// infos are targets "a", "b" and so on with these weights.
func infos(weights ...int) []failover.TargetInfo {
	all := make([]failover.TargetInfo, len(weights))
	for i, w := range weights {
		all[i] = failover.TargetInfo{Name: string(rune('a' + i)), Weight: w}
	}
	return all
}

// ordered asks an Order, and names the targets: "b a c".
func ordered(t rapid.TB, o failover.Order, m mailer.Message, targets []failover.TargetInfo) string {
	t.Helper()
	dst, err := o.Order(nil, m, targets)
	require.NoError(t, err)
	var names []string
	for _, i := range dst {
		names = append(names, targets[i].Name)
	}
	return strings.Join(names, " ")
}

func bound(t rapid.TB, o failover.Order, targets []failover.TargetInfo) failover.Order {
	t.Helper()
	require.NoError(t, o.(failover.Binder).Bind(targets))
	return o
}

func TestWeightedGivesEachItsExactShareAtAnyTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(1, 1000), 1, 8).Draw(t, "weights")
		targets, sum := infos(weights...), 0
		for _, w := range weights {
			sum += w
		}
		o := bound(t, &failover.Weighted{}, targets)
		got := make([]int, len(weights))
		for n := 1; n <= 1500; n++ {
			dst, err := o.Order(nil, mailer.Message{}, targets)
			require.NoError(t, err)
			got[dst[0]]++
			for i, w := range weights {
				exact := float64(n) * float64(w) / float64(sum)
				if math.Abs(float64(got[i])-exact) >= 1 {
					t.Fatalf("after %d messages target %d has %d, not %.2f", n, i, got[i], exact)
				}
			}
		}
	})
}

// Whoever comes back has missed one turn at most.
func TestWeightedGivesNothingInArrears(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(1, 100), 2, 6).Draw(t, "weights")
		targets := infos(weights...)
		o := bound(t, &failover.Weighted{}, targets)
		for range 50 {
			sum := 0
			for i := range targets {
				targets[i].Resting = rapid.IntRange(0, 2).Draw(t, "rests") == 0
				if !targets[i].Resting {
					sum += weights[i]
				}
			}
			got := make([]int, len(weights))
			for n := range rapid.IntRange(1, 50).Draw(t, "messages") {
				dst, err := o.Order(nil, mailer.Message{}, targets)
				require.NoError(t, err)
				require.Len(t, dst, len(targets))
				if sum == 0 {
					require.Zero(t, dst[0], "if all rest, as listed")
					continue
				}
				require.False(t, targets[dst[0]].Resting)
				got[dst[0]]++
				for i, w := range weights {
					if exact := float64((n+1)*w) / float64(sum); !targets[i].Resting && math.Abs(float64(got[i])-exact) > 2 {
						t.Fatalf("after %d messages to these target %d has %d, not %.2f", n+1, i, got[i], exact)
					}
				}
			}
		}
	})
}

// One after the other rests as soon as it has had a turn, so the last one falls
// behind by more and more, with no fault of its own.
func TestWeightedForgivesWhatPilesUp(t *testing.T) {
	targets := infos(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
	o := bound(t, &failover.Weighted{}, targets)
	turn := func() int {
		dst, err := o.Order(nil, message(), targets)
		require.NoError(t, err)
		return dst[0]
	}
	last := 0
	for range targets {
		last = turn()
		targets[last].Resting = true
	}
	for i := range targets {
		targets[i].Resting = false
	}
	turns := 0
	for range targets {
		if turn() == last {
			turns++
		}
	}
	require.LessOrEqual(t, turns, 2)
}

func TestWeightedSpreadsEvenly(t *testing.T) {
	targets := infos(5, 1, 1)
	o := bound(t, &failover.Weighted{}, targets)
	var firsts strings.Builder
	for range 14 {
		firsts.WriteString(ordered(t, o, message(), targets)[:1])
	}
	// No two in a row of those that have one turn in seven.
	require.Equal(t, "aaabaacaaabaac", firsts.String())
}

func TestAfterThePreferredTargetTheOthersFollowAsListed(t *testing.T) {
	targets := infos(1, 1, 1)
	o := bound(t, &failover.Weighted{}, targets)
	seen := map[string]bool{}
	for range 3 {
		seen[ordered(t, o, message(), targets)] = true
	}
	require.Equal(t, map[string]bool{"a b c": true, "b a c": true, "c a b": true}, seen)
}

func TestWeightedInAChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &service{name: "a"}, &service{name: "b"}
		c := chainOf(t, failover.Config{Order: &failover.Weighted{}, Rest: time.Minute},
			failover.Target{Sender: a, Weight: 3}, failover.Target{Sender: b}) // b has 1
		for range 400 {
			via(t, c)
		}
		require.Equal(t, 300, a.calls())
		require.Equal(t, 100, b.calls())

		a.fails(refusedFor(mailer.KindRateLimited, time.Minute))
		for range 100 {
			_ = via(t, c)
		}
		require.Equal(t, 301, a.calls(), "it rests")
		require.Equal(t, 200, b.calls())

		a.recovers()
		time.Sleep(time.Minute)
		for range 400 {
			via(t, c)
		}
		require.InDelta(t, 601, a.calls(), 1, "home again, to its own share")
	})
}

func TestWeightedUnderManyGoroutines(t *testing.T) {
	a, b := &service{name: "a"}, &service{name: "b"}
	c := chainOf(t, failover.Config{Order: &failover.Weighted{}},
		failover.Target{Sender: a, Weight: 7}, failover.Target{Sender: b, Weight: 3})
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for range 100 {
				_, _ = c.Send(t.Context(), message())
			}
		})
	}
	wg.Wait()
	require.Equal(t, 4480, a.calls())
	require.Equal(t, 1920, b.calls())
}

func TestWarmKeepsTheBackupsWarm(t *testing.T) {
	a, b, d := &service{name: "a"}, &service{name: "b"}, &service{name: "d"}
	c := chainOf(t, failover.Config{Order: &failover.Warm{Share: 0.02}}, failover.Target{Sender: a, Weight: 1000}, b, d)
	for range 1000 {
		via(t, c)
	}
	require.Equal(t, []int{960, 20, 20}, []int{a.calls(), b.calls(), d.calls()})

	// It is a steady share: one message of any fifty.
	targets := infos(1, 1)
	o := bound(t, &failover.Warm{Share: 0.02}, targets)
	since := 0
	for range 1000 {
		since++
		if ordered(t, o, message(), targets) == "b a" {
			require.LessOrEqual(t, since, 50+1)
			since = 0
		}
	}
	require.Less(t, since, 50)
}

func TestOrdersThatCannotBe(t *testing.T) {
	a, b := &service{name: "a"}, &service{name: "b"}
	for _, c := range []struct {
		name  string
		order failover.Order
		want  string
	}{
		{"no share", &failover.Warm{}, "a Share of 0 does not go with 2 targets"},
		{"a negative share", &failover.Warm{Share: -0.1}, "a Share of -0.1"},
		{"a share that is no number", &failover.Warm{Share: math.NaN()}, "a Share of NaN"},
		{"a share too small to count", &failover.Warm{Share: 1e-9}, "a Share of 1e-09"},
		{"a share over that of the first", &failover.Warm{Share: 0.51}, "a Share of 0.51"},
		{"a weight beyond measure", &failover.Weighted{}, `Weighted: the Weight of "a" is over 10000`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := failover.New(failover.Config{Order: c.order}, failover.Target{Sender: a, Weight: 10_001}, b)
			require.ErrorContains(t, err, "failover: Order: ")
			require.ErrorContains(t, err, c.want)
		})
	}
	_, err := failover.New(failover.Config{Order: &failover.Warm{Share: 0.5}}, a, b)
	require.NoError(t, err, "half and half")
}

func TestAnOrderServesOneChain(t *testing.T) {
	for _, o := range []failover.Order{&failover.Weighted{}, &failover.Warm{Share: 0.1}, &failover.ByDomain{}, &failover.Budget{}} {
		t.Run(fmt.Sprintf("%T", o), func(t *testing.T) {
			_, err := failover.New(failover.Config{Order: o}, &service{name: "a"}, &service{name: "b"})
			require.NoError(t, err)
			_, err = failover.New(failover.Config{Order: o}, &service{name: "a"}, &service{name: "b"})
			require.ErrorContains(t, err, "is in use by another chain")
		})
	}
}
