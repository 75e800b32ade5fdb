package mailer_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed355143d4/mailer"
)

// An application depends on a Sender. Here it is a function; in production it is
// a service, or a failover over several.
func Example() {
	var sender mailer.Sender = mailer.SenderFunc(func(_ context.Context, m mailer.Message) (mailer.Receipt, error) {
		if err := m.Validate(); err != nil {
			return mailer.Receipt{}, err
		}
		fmt.Printf("to %s: %s\n", m.To[0].Address, m.Subject)
		return mailer.Receipt{ID: m.ID, Provider: "example"}, nil
	})

	receipt, err := sender.Send(context.Background(), mailer.Message{
		ID:      "signup-17",
		From:    mailer.Address{Name: "Example", Address: "hello@example.com"},
		To:      []mailer.Address{{Name: "Ada Lovelace", Address: "ada@example.com"}},
		Subject: "Confirm your address",
		Text:    "Follow this link: https://example.com/confirm",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s took %s\n", receipt.Provider, receipt.ID)
	// Output:
	// to ada@example.com: Confirm your address
	// example took signup-17
}

// What to do about an error depends on two things: whose fault it was, and
// whether the message can have gone out.
func Example_readingAnError() {
	sender := mailer.SenderFunc(func(context.Context, mailer.Message) (mailer.Receipt, error) {
		return mailer.Receipt{}, &mailer.Error{
			Provider:   "example",
			Kind:       mailer.KindRateLimited,
			NotSent:    true,
			Status:     429,
			RetryAfter: 30 * time.Second,
		}
	})
	_, err := sender.Send(context.Background(), mailer.Message{})
	fmt.Println(err)

	switch mailer.KindOf(err) {
	case mailer.KindInvalid:
		fmt.Println("correct the message")
	case mailer.KindRecipient:
		fmt.Println("ask for another address")
	case mailer.KindRateLimited:
		e, _ := errors.AsType[*mailer.Error](err)
		fmt.Println("wait", e.RetryAfter)
	}
	if mailer.NotSent(err) {
		fmt.Println("nobody has it: sending it again makes no duplicate")
	}
	// Output:
	// example: rate limited (status 429)
	// wait 30s
	// nobody has it: sending it again makes no duplicate
}

// Each message has its own result.
func ExampleSendAll() {
	sender := mailer.SenderFunc(func(_ context.Context, m mailer.Message) (mailer.Receipt, error) {
		if err := m.Validate(); err != nil {
			return mailer.Receipt{}, err
		}
		return mailer.Receipt{ID: m.ID}, nil
	})
	var ms []mailer.Message
	for _, to := range []string{"ada@example.com", "not an address", "grace@example.com"} {
		ms = append(ms, mailer.Message{
			From:    mailer.Address{Address: "hello@example.com"},
			To:      []mailer.Address{{Address: to}},
			Subject: "Hello",
			Text:    "Hello",
		})
	}
	for i, r := range mailer.SendAll(context.Background(), sender, ms) {
		if r.Err != nil {
			fmt.Println(i, r.Err)
			continue
		}
		fmt.Println(i, "sent")
	}
	// Output:
	// 0 sent
	// 1 invalid message: To[0]: the address has no @
	// 2 sent
}

func ExampleMessage_Validate() {
	m := mailer.Message{
		From:    mailer.Address{Address: "hello@example.com"},
		To:      []mailer.Address{{Address: "ada@example.com"}},
		Subject: "Hello\r\nBcc: eve@attacker.example",
		Text:    "Hello",
	}
	fmt.Println(m.Validate())
	// Output: invalid message: Subject: must not hold U+000D
}
