package failover_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/failover"
)

func ExampleChain() {
	// Two made-up services; in an application they are Providers such as those
	// of provider/postmark and provider/ses. The first has a bad day.
	first := mailer.SenderFunc(func(context.Context, mailer.Message) (mailer.Receipt, error) {
		return mailer.Receipt{}, &mailer.Error{Provider: "first", Kind: mailer.KindRateLimited, NotSent: true, RetryAfter: time.Minute}
	})
	second := mailer.SenderFunc(func(_ context.Context, m mailer.Message) (mailer.Receipt, error) {
		return mailer.Receipt{ID: m.ID, Provider: "second", MessageID: "0001"}, nil
	})
	chain, err := failover.New(failover.Config{Logger: slog.New(slog.DiscardHandler)},
		failover.Target{Name: "first", Sender: first},
		failover.Target{Name: "second", Sender: second})
	if err != nil {
		panic(err)
	}

	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	receipt, err := chain.Send(ctx, mailer.Message{
		From:    mailer.Address{Name: "Shop", Address: "shop@example.com"},
		To:      []mailer.Address{{Address: "ada@example.com"}},
		Subject: "Your sign-in link",
		Text:    "https://shop.example/sign-in",
		// A second copy of a sign-in link harms nobody.
		AllowDuplicate: true,
	})
	if err != nil {
		panic(err)
	}
	fmt.Println("taken by", receipt.Provider)
	for _, a := range receipt.Attempts {
		fmt.Println("-", a.Provider, a.Err)
	}
	for _, h := range chain.Health() {
		fmt.Println(h.Name, "is", h.State)
	}
	// Output:
	// taken by second
	// - first first: rate limited
	// - second <nil>
	// first is resting
	// second is well
}

// After an unknown outcome the chain stops: the message may be out.
func ExampleChain_unknownOutcome() {
	lost := mailer.SenderFunc(func(context.Context, mailer.Message) (mailer.Receipt, error) {
		return mailer.Receipt{}, &mailer.Error{Provider: "first", Kind: mailer.KindNetwork, Message: "connection lost"}
	})
	second := mailer.SenderFunc(func(context.Context, mailer.Message) (mailer.Receipt, error) {
		return mailer.Receipt{Provider: "second"}, nil
	})
	chain, err := failover.New(failover.Config{}, failover.Target{Name: "first", Sender: lost}, second)
	if err != nil {
		panic(err)
	}

	_, err = chain.Send(context.Background(), mailer.Message{
		From:    mailer.Address{Address: "shop@example.com"},
		To:      []mailer.Address{{Address: "ada@example.com"}},
		Subject: "Invoice 1001",
		Text:    "Please pay.",
	})
	fmt.Println(err)
	fmt.Println("certainly not sent:", mailer.NotSent(err))
	if all, ok := errors.AsType[*failover.AttemptsError](err); ok {
		fmt.Println("attempts:", len(all.Attempts))
	}
	// Output:
	// failover: network failure: 1 attempt: first: network failure: connection lost [may have been sent] [may have been sent]
	// certainly not sent: false
	// attempts: 1
}
