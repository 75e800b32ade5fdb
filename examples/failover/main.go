// Command failover sends one mail through the first of three services that takes
// it, and says what was tried.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/failover"
	"github.com/seed355143d4/mailer/provider/postmark"
	"github.com/seed355143d4/mailer/provider/sendgrid"
	"github.com/seed355143d4/mailer/provider/smtp"
)

func main() {
	pm := must(postmark.New(postmark.Config{ServerToken: os.Getenv("POSTMARK_SERVER_TOKEN")}))
	sg := must(sendgrid.New(sendgrid.Config{APIKey: os.Getenv("SENDGRID_API_KEY")}))
	own := must(smtp.New(must(smtp.Parse(os.Getenv("SMTP_URL")))))
	chain := must(failover.New(failover.Config{}, pm, sg, own))

	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	receipt, err := chain.Send(ctx, mailer.Message{
		From:    mailer.Address{Name: "Harbour Books", Address: os.Getenv("MAIL_FROM")},
		To:      []mailer.Address{{Address: os.Getenv("MAIL_TO")}},
		Subject: "Hello",
		Text:    "One of three took it.",
	})
	if err != nil {
		log.Fatal(err) // names every attempt
	}
	for _, a := range receipt.Attempts {
		fmt.Println(a.Provider, a.Duration, a.Err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
