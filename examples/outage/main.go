// Command outage simulates a day on which three relay services have their bad
// hours, and prints what this library's failover makes of it beside the policies
// that are common elsewhere.
//
//	go run ./examples/outage
//
// A million messages over 24 hours take a minute or two. The day, its services
// and the policies are in internal/outage.
package main

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"testing/synctest"

	"github.com/seed355143d4/mailer/internal/outage"
)

func main() {
	testing.Init() // the virtual time of testing/synctest needs a test around it
	messages := flag.Int("messages", 1_000_000, "how `many` messages are sent in the day")
	flag.Parse()

	fmt.Printf("%d messages in 24 hours through three services\n\nthe day:\n", *messages)
	for _, p := range outage.Script() {
		fmt.Println(" ", p)
	}
	fmt.Printf("\n%s\n\n%s\n", outage.Legend, outage.Header())
	out := os.Stdout
	os.Stdout, _ = os.OpenFile(os.DevNull, os.O_WRONLY, 0) // for the words of package testing
	testing.Main(func(_, _ string) (bool, error) { return true, nil }, []testing.InternalTest{{
		Name: "outage",
		F: func(t *testing.T) {
			for _, p := range outage.Policies() {
				synctest.Test(t, func(*testing.T) { fmt.Fprintln(out, outage.Run(p, *messages)) })
			}
		},
	}}, nil, nil)
}
