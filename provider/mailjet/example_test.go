package mailjet_test

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
	"github.com/seed355143d4/mailer/provider/mailjet"
	"github.com/seed355143d4/mailer/webhook"
)

func Example() {
	// A stand-in for Mailjet, so that the example runs offline. Leave BaseURL out
	// to reach the real one.
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"Messages":[{"Status":"success","To":[{"Email":"ada@example.com","MessageID":1152921540123456789}]}]}`)
	}))
	defer service.Close()

	sender, err := mailjet.New(mailjet.Config{
		APIKey:    "your-api-key",
		SecretKey: "your-secret-key",
		BaseURL:   service.URL,
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
		Tags:    []string{"sign-up"},
		Extras:  []mailer.Extra{mailjet.Extra{URLTags: "utm_source=sign-up"}},
	})
	switch {
	case errors.Is(err, mailer.KindSender):
		fmt.Println("Mailjet does not know the From address:", err)
	case err != nil:
		fmt.Println(err)
	default:
		fmt.Println(receipt.Provider, "took it as", receipt.MessageID)
	}
	// Output: mailjet took it as 1152921540123456789
}

func ExampleNewWebhook() {
	source, err := mailjet.NewWebhook(mailjet.WebhookConfig{
		Basic: []webhook.Basic{{Username: "mailjet", Password: "a long secret"}},
	})
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

	// What Mailjet would send.
	r := httptest.NewRequest(http.MethodPost, "/mailjet", strings.NewReader(`[{"event":"bounce","time":1793612470,`+
		`"MessageID":1152921540123456791,"email":"ada@example.com","hard_bounce":true,"error":"user unknown"}]`))
	r.SetBasicAuth("mailjet", "a long secret")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	fmt.Println(w.Code)
	// Output:
	// ada@example.com bounced hard mailbox
	// 200
}

func ExampleNew() {
	p, err := mailjet.New(mailjet.Config{
		APIKey:    os.Getenv("MAILJET_API_KEY"),
		SecretKey: os.Getenv("MAILJET_SECRET_KEY"),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(p)
}

func ExampleNewWebhook_environment() {
	source, err := mailjet.NewWebhook(mailjet.WebhookConfig{
		Basic: []webhook.Basic{{Username: "mailjet", Password: os.Getenv("MAILJET_WEBHOOK_PASSWORD")}},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(source.Name())
}
