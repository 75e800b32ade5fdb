package postmark_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/postmark"
	"github.com/seed355143d4/mailer/webhook"
)

func Example() {
	// A stand-in for Postmark, so that the example runs offline. Leave BaseURL
	// out to reach the real one.
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"MessageID":"7f4f2c9e","ErrorCode":0,"Message":"OK"}`)
	}))
	defer service.Close()

	sender, err := postmark.New(postmark.Config{
		ServerToken: "POSTMARK_API_TEST",
		BaseURL:     service.URL,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	receipt, err := sender.Send(context.Background(), mailer.Message{
		From:    mailer.Address{Name: "Example", Address: "hello@example.com"},
		To:      []mailer.Address{{Name: "Ada", Address: "ada@example.com"}},
		Subject: "Confirm your address",
		Text:    "Please follow this link: https://example.com/confirm",
		Extras:  []mailer.Extra{postmark.Extra{MessageStream: "outbound"}},
	})
	switch {
	case errors.Is(err, mailer.KindRecipient):
		fmt.Println("Postmark will not mail to her:", err)
	case err != nil:
		fmt.Println(err)
	default:
		fmt.Println(receipt.Provider, "took it as", receipt.MessageID)
	}
	// Output: postmark took it as 7f4f2c9e
}

func ExampleNew() {
	p, err := postmark.New(postmark.Config{ServerToken: os.Getenv("POSTMARK_TOKEN")})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(p)
}

func ExampleNewWebhook() {
	source, err := postmark.NewWebhook(postmark.WebhookConfig{
		Basic:   []webhook.Basic{{Username: "postmark", Password: os.Getenv("POSTMARK_WEBHOOK_PASSWORD")}},
		Headers: map[string]string{"X-Hook-Key": os.Getenv("POSTMARK_WEBHOOK_KEY")},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(source.Name())
}
