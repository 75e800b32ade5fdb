package outage

import (
	"fmt"
	"strings"
	"time"
)

// Header is the head of the table of which each Row is a line.
func Header() string {
	head := line("policy", "delivered", "lost", "given up", "doubled", "unknown", "worst", "unwanted", "wasted", "calls/msg", "notice", "return", "p50", "p99")
	return head + "\n" + strings.Repeat("-", len(head))
}

// String is the row as a line of the table.
func (r Row) String() string {
	return line(r.Policy,
		fmt.Sprintf("%.3f %%", 100*float64(r.Delivered)/float64(r.Deliverable)),
		fmt.Sprint(r.Lost), fmt.Sprint(r.GivenUp), fmt.Sprint(r.Duplicated), fmt.Sprint(r.Unknown), fmt.Sprint(r.UnknownWorst),
		fmt.Sprint(r.Unwanted), fmt.Sprint(r.Wasted),
		fmt.Sprintf("%.3f", float64(r.Calls)/float64(r.Messages)),
		habit(r.Notice, r.NoticeNever, r.Outages), habit(r.Return, r.ReturnNever, r.Outages),
		r.P50.Round(time.Millisecond).String(), r.P99.Round(10*time.Millisecond).String())
}

// Legend says what the columns are.
const Legend = `delivered  of the messages that their recipients want and a service would take: taken, once or more
lost       nobody took it, and its sender was told that it was sent
given up   nobody took it although a service was well all the time; its sender was told so, and can try again
doubled    copies beyond the first
unknown    ended without anybody knowing whether it was taken; worst: the most in one outage
unwanted   to people who had complained, by way of a service that did not know
wasted     calls to a service that could not take anything
calls/msg  calls of all kinds for one message
notice     median from the beginning of an outage of the first service (of five minutes or more)
           until less than a tenth of the mail tried it; in brackets: outages in which that never came
return     median from the end of such an outage until nine tenths of the mail went to it again
p50, p99   how long Send took`

func line(policy string, cells ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-28s", policy)
	for i, c := range cells {
		fmt.Fprintf(&b, " %*s", []int{10, 5, 9, 8, 8, 6, 9, 8, 10, 14, 14, 7, 8}[i], c)
	}
	return b.String()
}

// habit is a median with the number of those that never came about.
func habit(d time.Duration, never, of int) string {
	switch never {
	case 0:
		return d.String()
	case of:
		return "never"
	}
	return fmt.Sprintf("%s (%d/%d)", d, never, of)
}
