package failover_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
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

// Many messages go out by the services' batch calls. What one service refuses is
// sent through the next.
func ExampleChain_SendBatch() {
	strict := &exampleBatch{name: "strict", refuses: "tea"}
	lenient := &exampleBatch{name: "lenient"}
	chain, err := failover.New(failover.Config{Logger: slog.New(slog.DiscardHandler)}, strict, lenient)
	if err != nil {
		panic(err)
	}

	var ms []mailer.Message
	for _, subject := range []string{"coffee", "tea", "cocoa"} {
		ms = append(ms, mailer.Message{
			From:    mailer.Address{Address: "shop@example.com"},
			To:      []mailer.Address{{Address: "ada@example.com"}},
			Subject: subject,
			Text:    "New in the shop.",
		})
	}
	for i, r := range mailer.SendAll(context.Background(), chain, ms) {
		fmt.Println(ms[i].Subject, "by", r.Receipt.Provider, "after", len(r.Receipt.Attempts), "attempts:", r.Err)
	}
	// Output:
	// coffee by strict after 1 attempts: <nil>
	// tea by lenient after 2 attempts: <nil>
	// cocoa by strict after 1 attempts: <nil>
}

// exampleBatch is a made-up service with a batch call.
type exampleBatch struct{ name, refuses string }

func (b *exampleBatch) Name() string  { return b.name }
func (b *exampleBatch) MaxBatch() int { return 500 }

func (b *exampleBatch) Send(ctx context.Context, m mailer.Message) (mailer.Receipt, error) {
	r := b.SendBatch(ctx, []mailer.Message{m})
	return r[0].Receipt, r[0].Err
}

func (b *exampleBatch) SendBatch(_ context.Context, ms []mailer.Message) []mailer.Result {
	results := make([]mailer.Result, len(ms))
	for i, m := range ms {
		results[i].Receipt = mailer.Receipt{ID: m.ID, Provider: b.name}
		if m.Subject == b.refuses {
			results[i] = mailer.Result{Err: &mailer.Error{Provider: b.name, Kind: mailer.KindContent, NotSent: true}}
		}
	}
	return results
}

// An Order decides by the message, and may leave targets out.
func ExampleOrder_newslettersApart() {
	send := mailer.SenderFunc(func(_ context.Context, m mailer.Message) (mailer.Receipt, error) {
		return mailer.Receipt{ID: m.ID}, nil
	})
	chain, err := failover.New(failover.Config{Order: bulkApart{}},
		failover.Target{Name: "sign-ins", Sender: send},
		failover.Target{Name: "newsletters", Sender: send})
	if err != nil {
		panic(err)
	}
	for _, tags := range [][]string{nil, {"newsletter"}} {
		r, err := chain.Send(context.Background(), mailer.Message{
			From:    mailer.Address{Address: "shop@example.com"},
			To:      []mailer.Address{{Address: "ada@example.com"}},
			Subject: "Hello",
			Text:    "Hello, Ada.",
			Tags:    tags,
		})
		fmt.Println(tags, r.Provider, err)
	}
	// Output:
	// [] sign-ins <nil>
	// [newsletter] newsletters <nil>
}

// bulkApart keeps newsletters away from the account that sign-in links need.
type bulkApart struct{}

func (bulkApart) Order(dst []int, m mailer.Message, targets []failover.TargetInfo) ([]int, error) {
	for i, t := range targets {
		if slices.Contains(m.Tags, "newsletter") == (t.Name == "newsletters") {
			dst = append(dst, i)
		}
	}
	return dst, nil
}
