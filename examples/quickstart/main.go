// Command quickstart sends one mail through Postmark. The token
// POSTMARK_API_TEST checks the mail without delivering it.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/postmark"
)

func main() {
	sender, err := postmark.New(postmark.Config{ServerToken: os.Getenv("POSTMARK_SERVER_TOKEN")})
	if err != nil {
		log.Fatal(err)
	}
	receipt, err := sender.Send(context.Background(), mailer.Message{
		From:    mailer.Address{Name: "Harbour Books", Address: os.Getenv("MAIL_FROM")},
		To:      []mailer.Address{{Address: os.Getenv("MAIL_TO")}},
		Subject: "Hello",
		Text:    "It works.",
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(receipt.Provider, "took it as", receipt.MessageID)
}
