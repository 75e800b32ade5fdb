package sendgrid_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/sendgrid"
	"github.com/seed355143d4/mailer/webhook"
)

func Example() {
	// A stand-in for SendGrid, so that the example runs offline. Leave BaseURL
	// out to reach the real one, or set it to sendgrid.BaseURLEU.
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Message-Id", "Xj5LmNkWSOqRbdvOpR34BA")
		w.WriteHeader(http.StatusAccepted)
	}))
	defer service.Close()

	sender, err := sendgrid.New(sendgrid.Config{
		APIKey:  "SG.example",
		BaseURL: service.URL,
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
		Extras:  []mailer.Extra{sendgrid.Extra{IPPool: "transactional"}},
	})
	switch {
	case errors.Is(err, mailer.KindQuota):
		fmt.Println("the credits are used up:", err)
	case err != nil:
		fmt.Println(err)
	default:
		fmt.Println(receipt.Provider, "took it as", receipt.MessageID)
	}
	// Output: sendgrid took it as Xj5LmNkWSOqRbdvOpR34BA
}

func ExampleNew() {
	p, err := sendgrid.New(sendgrid.Config{APIKey: os.Getenv("SENDGRID_API_KEY")})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(p)
}

func ExampleNewWebhook() {
	mux := http.NewServeMux()
	store := func(context.Context, []webhook.Event) error { return nil }
	source, err := sendgrid.NewWebhook(sendgrid.WebhookConfig{PublicKeys: []string{os.Getenv("SENDGRID_WEBHOOK_KEY")}})
	if err != nil {
		log.Fatal(err)
	}
	mux.Handle("POST /hooks/sendgrid", webhook.Handler(source, webhook.Dedupe(nil, func(ctx context.Context, events []webhook.Event) error {
		return store(ctx, events) // in your database; an error has SendGrid try again
	})))
}
