package smtp2go_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/smtp2go"
	"github.com/seed355143d4/mailer/webhook"
)

func Example() {
	// A stand-in for SMTP2GO, so that the example runs offline. Leave BaseURL
	// out to reach the real one.
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"request_id":"aa253464","data":{"succeeded":1,"failed":0,"failures":[],"email_id":"1u0SwL-B9zBpi9ffUq-JAB2"}}`)
	}))
	defer service.Close()

	sender, err := smtp2go.New(smtp2go.Config{
		APIKey:  "api-0123456789abcdefghijABCDEFGHIJ01",
		BaseURL: service.URL,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	receipt, err := sender.Send(context.Background(), mailer.Message{
		ID:      "confirm-8841",
		From:    mailer.Address{Name: "Example", Address: "hello@example.com"},
		To:      []mailer.Address{{Name: "Ada", Address: "ada@example.com"}},
		Subject: "Confirm your address",
		Text:    "Please follow this link: https://example.com/confirm",
	})
	switch {
	case errors.Is(err, mailer.KindSender):
		fmt.Println("verify the From address at SMTP2GO first:", err)
	case err != nil:
		fmt.Println(err)
	default:
		fmt.Println(receipt.Provider, "took it as", receipt.MessageID)
	}
	// Output: smtp2go took it as 1u0SwL-B9zBpi9ffUq-JAB2
}

func ExampleNewWebhook() {
	source, err := smtp2go.NewWebhook(smtp2go.WebhookConfig{Bearer: []string{"a-long-secret"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	handler := webhook.Handler(source, func(_ context.Context, events []webhook.Event) error {
		for _, e := range events {
			fmt.Println(e.Recipient, e.Type, e.Bounce, e.Reason)
		}
		return nil
	})

	// What SMTP2GO would send.
	r := httptest.NewRequest(http.MethodPost, "/smtp2go", strings.NewReader(
		"event=bounce&bounce=hard&time=2026-03-04T10%3A11%3A13Z&rcpt=ada%40example.com&message=550+5.1.1+user+unknown"))
	r.Header.Set("Authorization", "Bearer a-long-secret")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	fmt.Println(w.Code)
	// Output:
	// ada@example.com bounced hard mailbox
	// 200
}

func ExampleNew() {
	p, err := smtp2go.New(smtp2go.Config{APIKey: os.Getenv("SMTP2GO_API_KEY")})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(p)
}

func ExampleNewWebhook_environment() {
	source, err := smtp2go.NewWebhook(smtp2go.WebhookConfig{Bearer: []string{os.Getenv("SMTP2GO_WEBHOOK_TOKEN")}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(source.Name())
}
