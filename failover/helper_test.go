package failover_test

import (
	"github.com/seed355143d4/mailer"
)

func message() mailer.Message {
	return mailer.Message{
		ID:      "m1",
		From:    mailer.Address{Address: "shop@example.com"},
		To:      []mailer.Address{{Address: "ada@example.com"}},
		Subject: "Welcome aboard",
		Text:    "Your code is 123456.",
	}
}
