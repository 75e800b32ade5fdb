package failover_test

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/time/rate"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/failover"
)

// relay is a made-up service that takes everything; in an application it is a
// Provider such as those of provider/postmark and provider/ses.
func relay(name string) mailer.Sender {
	return mailer.SenderFunc(func(_ context.Context, m mailer.Message) (mailer.Receipt, error) {
		return mailer.Receipt{ID: m.ID, Provider: name}, nil
	})
}

// takers sends n messages to a recipient, and tells who took them.
func takers(chain *failover.Chain, n int, to string) {
	for i := range n {
		if i > 0 {
			fmt.Print(" ")
		}
		receipt, err := chain.Send(context.Background(), mailer.Message{
			From:    mailer.Address{Address: "shop@example.com"},
			To:      []mailer.Address{{Address: to}},
			Subject: "Welcome aboard",
			Text:    "Good to have you here.",
		})
		if err != nil {
			fmt.Println(mailer.KindOf(err))
			return
		}
		fmt.Print(receipt.Provider)
	}
	fmt.Println()
}

func ExampleWeighted() {
	chain, err := failover.New(failover.Config{Order: &failover.Weighted{}},
		failover.Target{Name: "first", Sender: relay("first"), Weight: 3},
		failover.Target{Name: "second", Sender: relay("second"), Weight: 1},
	)
	if err != nil {
		panic(err)
	}
	takers(chain, 8, "ada@example.com")
	// Output:
	// first first first second first first first second
}

func ExampleWarm() {
	chain, err := failover.New(failover.Config{Order: &failover.Warm{Share: 0.1}},
		failover.Target{Name: "first", Sender: relay("first")},
		failover.Target{Name: "backup", Sender: relay("backup")},
	)
	if err != nil {
		panic(err)
	}
	takers(chain, 10, "ada@example.com")
	// Output:
	// first first first first first first first first first backup
}

func ExampleByDomain() {
	chain, err := failover.New(failover.Config{Order: &failover.ByDomain{
		Targets: map[string][]string{
			"example.com":  {"second", "first"},
			".example.com": {"second", "first"}, // and all below it
		},
	}},
		failover.Target{Name: "first", Sender: relay("first")},
		failover.Target{Name: "second", Sender: relay("second")},
	)
	if err != nil {
		panic(err)
	}
	takers(chain, 1, "ada@example.com")
	takers(chain, 1, "ada@mail.example.com")
	takers(chain, 1, "ada@example.org")
	// Output:
	// second
	// second
	// first
}

func ExampleBudget() {
	chain, err := failover.New(failover.Config{Order: &failover.Budget{
		Allow: map[string]failover.Allowance{
			"first":  {Day: 2, Month: 50},
			"second": {Day: 3},
		},
	}},
		failover.Target{Name: "first", Sender: relay("first")},
		failover.Target{Name: "second", Sender: relay("second")},
	)
	if err != nil {
		panic(err)
	}
	takers(chain, 6, "ada@example.com")
	// Output:
	// first first second second second quota used up
}

func ExampleRate() {
	chain, err := failover.New(failover.Config{},
		failover.Target{
			Name: "first", Sender: relay("first"),
			Limiter: &failover.Rate{PerSecond: 0.01, Burst: 2},
			MaxWait: time.Millisecond,
		},
		failover.Target{Name: "second", Sender: relay("second")},
	)
	if err != nil {
		panic(err)
	}
	takers(chain, 4, "ada@example.com")
	// Output:
	// first first second second
}

// A limiter of one's own can be put in as well, such as that of
// golang.org/x/time/rate.
func ExampleLimiter() {
	chain, err := failover.New(failover.Config{},
		failover.Target{Name: "first", Sender: relay("first"), Limiter: rate.NewLimiter(rate.Every(time.Hour), 1), MaxWait: time.Millisecond},
		failover.Target{Name: "second", Sender: relay("second")},
	)
	if err != nil {
		panic(err)
	}
	takers(chain, 2, "ada@example.com")
	// Output:
	// first second
}

// Two chains of one process share what they find out. For several processes,
// Shared has a Backend, such as that of package sqlstore.
func ExampleShared() {
	shared := &failover.Shared{}
	busy := mailer.SenderFunc(func(context.Context, mailer.Message) (mailer.Receipt, error) {
		fmt.Print("(first is asked) ")
		return mailer.Receipt{}, &mailer.Error{Kind: mailer.KindRateLimited, NotSent: true, RetryAfter: time.Minute}
	})
	for range 2 {
		chain, err := failover.New(failover.Config{Store: shared, Logger: slog.New(slog.DiscardHandler)},
			failover.Target{Name: "first", Sender: busy},
			failover.Target{Name: "second", Sender: relay("second")},
		)
		if err != nil {
			panic(err)
		}
		takers(chain, 1, "ada@example.com")
	}
	// Output:
	// (first is asked) second
	// second
}
