// Command templates sends mails with a template that is stored at the services.
// The application knows it by one name; each service has it under an ID of its own.
// The services are two in miniature, so it needs no account:
//
//	go run ./examples/templates
package main

import (
	"context"
	"fmt"
	"log"
	"log/slog"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/examples/internal/services"
	"github.com/seed355143d4/mailer/failover"
	"github.com/seed355143d4/mailer/provider/postmark"
	"github.com/seed355143d4/mailer/provider/sendgrid"
)

func main() {
	first := must(services.Postmark(fills("postmark")))
	defer first.Close()
	second := must(services.SendGrid(fills("sendgrid")))
	defer second.Close()

	pm := must(postmark.New(postmark.Config{
		ServerToken: "token", BaseURL: first.URL(),
		Templates: map[string]string{"welcome": "welcome-2026"},
	}))
	sg := must(sendgrid.New(sendgrid.Config{
		APIKey: "key", BaseURL: second.URL(),
		Templates: map[string]string{"welcome": "d-5c9f7a1e0b3d4c6f8a2e1d0c9b8a7f6e"},
	}))
	chain := must(failover.New(failover.Config{Logger: slog.New(slog.DiscardHandler)}, pm, sg))

	m := mailer.Message{
		From: mailer.Address{Name: "Harbour Books", Address: "hello@example.com"},
		To:   []mailer.Address{{Name: "Ada", Address: "ada@example.com"}},
		Template: mailer.Template{
			ID:   "welcome",
			Data: map[string]any{"first_name": "Ada", "books": 3},
		},
	}
	send(chain, m)

	fmt.Println("\nPostmark asks to slow down.")
	if err := first.SetMode(services.Throttling); err != nil {
		log.Fatal(err)
	}
	send(chain, m)
}

func send(s mailer.Sender, m mailer.Message) {
	receipt, err := s.Send(context.Background(), m)
	if err != nil {
		log.Fatal(err)
	}
	for _, a := range receipt.Attempts {
		if a.Err != nil {
			fmt.Println(a.Provider, "did not take it:", mailer.KindOf(a.Err))
		}
	}
	fmt.Println(receipt.Provider, "took it")
}

// fills is what a service does with a mail: it fills the template in.
func fills(service string) mailer.Sender {
	return mailer.SenderFunc(func(_ context.Context, m mailer.Message) (mailer.Receipt, error) {
		fmt.Printf("%s fills in %s: %v and %v books\n", service, m.Template.ID, m.Template.Data["first_name"], m.Template.Data["books"])
		return mailer.Receipt{}, nil
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
