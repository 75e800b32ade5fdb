package mailertest_test

import (
	"context"
	"fmt"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/mailertest"
)

// register is what is under test: it depends on a Sender.
func register(s mailer.Sender, email string) error {
	_, err := s.Send(context.Background(), mailer.Message{
		From:    mailer.Address{Address: "hello@example.com"},
		To:      []mailer.Address{{Address: email}},
		Subject: "Please confirm",
		Text:    "Confirm here: https://example.com/confirm?token=17",
	})
	return err
}

func ExampleRecorder() {
	var sent mailertest.Recorder
	if err := register(&sent, "ada@example.com"); err != nil {
		fmt.Println(err)
	}
	m, _ := sent.Last()
	fmt.Println(m.Subject, mailertest.Links(m))

	sent.FailNext(mailer.KindRateLimited)
	fmt.Println(register(&sent, "grace@example.com"))
	// Output:
	// Please confirm [https://example.com/confirm?token=17]
	// mailertest: rate limited
}
