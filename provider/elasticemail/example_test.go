package elasticemail_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/elasticemail"
	"github.com/seed355143d4/mailer/webhook"
)

func Example() {
	// A stand-in for Elastic Email, so that the example runs offline. Leave BaseURL
	// out to reach the real one.
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"TransactionID":"3f2b6c1e-0000-4000-8000-aaaaaaaaaaaa","MessageID":"AbCdEfGhIjKlMnOpQrSt"}`)
	}))
	defer service.Close()

	sender, err := elasticemail.New(elasticemail.Config{
		APIKey:  "0123456789ABCDEF0123456789ABCDEF",
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
		fmt.Println("verify the domain of the From address at Elastic Email first:", err)
	case err != nil:
		fmt.Println(err)
	default:
		fmt.Println(receipt.Provider, "took it as", receipt.MessageID)
	}
	// Output: elasticemail took it as 3f2b6c1e-0000-4000-8000-aaaaaaaaaaaa
}

func ExampleNewWebhook() {
	source, err := elasticemail.NewWebhook(elasticemail.WebhookConfig{Secrets: []string{"a-long-secret"}})
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

	// What Elastic Email would send.
	r := httptest.NewRequest(http.MethodGet, "/elasticemail?secret=a-long-secret&status=Error&category=NoMailbox"+
		"&transaction=3f2b6c1e-0000&to=ada%40example.com&date=3%2F4%2F2026+10%3A11%3A13+AM", nil)
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	fmt.Println(w.Code)
	// Output:
	// ada@example.com bounced hard mailbox
	// 200
}

func ExampleNew() {
	p, err := elasticemail.New(elasticemail.Config{APIKey: os.Getenv("ELASTICEMAIL_API_KEY")})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(p)
}

func ExampleNewWebhook_environment() {
	source, err := elasticemail.NewWebhook(elasticemail.WebhookConfig{
		Secrets: []string{os.Getenv("ELASTICEMAIL_WEBHOOK_SECRET")},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(source.Name())
}
