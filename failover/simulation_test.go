package failover_test

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer/internal/outage"
)

var simulated = flag.Int("simulated", 20_000, "how many messages TestSimulation sends in its day, from 6,000 on")

// column is a number in which one policy may be better than another. Less is better.
type column struct {
	name  string
	value func(r outage.Row) float64
	grain float64 // what differs by less is equal
}

var columns = []column{
	{"not delivered", func(r outage.Row) float64 { return 1 - float64(r.Delivered)/float64(r.Deliverable) }, 0.0001},
	{"lost", func(r outage.Row) float64 { return float64(r.Lost) }, 0},
	{"given up", func(r outage.Row) float64 { return float64(r.GivenUp) / float64(r.Messages) }, 0.0002},
	{"doubled", func(r outage.Row) float64 { return float64(r.Duplicated) }, 0},
	{"unknown", func(r outage.Row) float64 { return float64(r.Unknown) }, 1},
	{"worst", func(r outage.Row) float64 { return float64(r.UnknownWorst) }, 1},
	{"unwanted", func(r outage.Row) float64 { return float64(r.Unwanted) }, 0},
	{"wasted", func(r outage.Row) float64 { return float64(r.Wasted) }, 5},
	{"notice", func(r outage.Row) float64 { return habit(r.Notice, r.NoticeNever) }, 10},
	{"return", func(r outage.Row) float64 { return habit(r.Return, r.ReturnNever) }, 10},
	{"p50", func(r outage.Row) float64 { return r.P50.Seconds() }, 0.02},
	{"p99", func(r outage.Row) float64 { return r.P99.Seconds() }, 0.2},
}

// habit is a median in seconds, to which every outage in which it never came
// about adds an hour.
func habit(d time.Duration, never int) float64 { return d.Seconds() + float64(never)*3600 }

// Why others are better in a column, and why that is the right trade. What is not
// in here fails the test.
var trades = map[string]map[string]string{
	"next, 60 s dead list": {
		"unknown": "it sends again when it does not know, and doubles; and it loses what it does not try",
		"worst":   "as above",
		"wasted":  "it stays with the second service for hours, until that fails, and tries none when all are dead",
		"notice":  "one failure is enough for it, also that of a bad message: so it loses one mail in seven",
		"p99":     "refusing to try is quick",
		"p50":     "as above",
		"return":  "as above",
	},
	"retry 3 times, then next": {
		"given up": "it tries a service that hung a moment ago, and doubles",
		"return":   "it never left: it calls the dead service three times for each message",
	},
	"random order": {
		"return":        "it has no first service to come home to, and its count is chance",
		"not delivered": "it sends again when it does not know, and doubles",
		"given up":      "it tries a service that hung a moment ago, and doubles",
		"unknown":       "as above",
		"worst":         "as above",
	},
	"no failover": {
		"return": "it never left",
	},
}

// A day of outages, on which this chain and the policies of the field send the
// same messages. The program examples/outage prints the same table.
func TestSimulation(t *testing.T) {
	messages := *simulated
	if raceEnabled {
		messages /= 3 // a day of fewer is too quiet to compare in: there three strikes are much
	}
	rows := map[string]outage.Row{}
	t.Log("\n" + outage.Header())
	for _, p := range outage.Policies() {
		synctest.Test(t, func(t *testing.T) {
			rows[p.Name] = outage.Run(p, messages)
			t.Log(rows[p.Name])
		})
	}
	ours := rows["mailer"]
	require.Zero(t, ours.Lost)
	require.LessOrEqual(t, ours.GivenUp, messages/500_000, "with a service that is well, nothing comes back, or one of a million")
	require.Zero(t, ours.Duplicated)
	require.Zero(t, ours.Unwanted)
	require.NotZero(t, ours.Unknown, "the day has outages that leave no answer")
	// Three strikes, and a message that finds out that it is not well yet; and what
	// comes in the half second after which a service is silent.
	require.LessOrEqual(t, ours.UnknownWorst, 6+messages/(2*24*60*60))

	for name, row := range rows {
		if strings.HasPrefix(name, "mailer") {
			continue
		}
		for _, c := range columns {
			if name == "random order" && c.name == "notice" && messages < 20_000 {
				continue // it notices nothing, but of few messages a service may get none by chance
			}
			if c.value(row) < c.value(ours)-c.grain {
				require.Contains(t, trades[name], c.name, fmt.Sprintf("%s is better in this column: %g, ours %g", name, c.value(row), c.value(ours)))
			}
		}
	}

	allowed := rows["mailer, duplicates allowed"]
	require.Zero(t, allowed.Lost)
	require.LessOrEqual(t, allowed.GivenUp, messages/500_000)
	require.Zero(t, allowed.Unwanted)
	require.LessOrEqual(t, allowed.Duplicated, ours.Unknown, "only what would have been unknown may be doubled")
	require.Greater(t, allowed.Delivered, ours.Delivered)
}
