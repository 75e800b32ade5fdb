package socketlabs_test

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
	"github.com/seed355143d4/mailer/provider/socketlabs"
	"github.com/seed355143d4/mailer/webhook"
)

func Example() {
	// A stand-in for SocketLabs, so that the example runs offline. Leave BaseURL
	// out to reach the real one.
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"ErrorCode":"Success","MessageResults":null,"TransactionReceipt":null}`)
	}))
	defer service.Close()

	sender, err := socketlabs.New(socketlabs.Config{
		ServerID: 12345,
		APIKey:   "aBcDeFgHiJkLmNoPqRsT.uVwXyZ0123456789aBcDeFgHiJkLmNoPqRsTuVwX",
		BaseURL:  service.URL,
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
		Extras:  []mailer.Extra{socketlabs.Extra{MailingID: "registration"}},
	})
	switch {
	case errors.Is(err, mailer.KindRecipient):
		fmt.Println("SocketLabs calls her address invalid:", err)
	case err != nil:
		fmt.Println(err)
	default:
		fmt.Println(receipt.Provider, "took it as", receipt.MessageID)
	}
	// Output: socketlabs took it as confirm-8841
}

func ExampleNewWebhook() {
	source, err := socketlabs.NewWebhook(socketlabs.WebhookConfig{ServerID: 12345, SecretKey: "a long secret"})
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

	// What SocketLabs would send.
	r := httptest.NewRequest(http.MethodPost, "/socketlabs", strings.NewReader(`{"Type":"Failed","DateTime":"2026-03-04T10:11:13.0000000Z",`+
		`"ServerId":12345,"SecretKey":"a long secret","Address":"ada@example.com","FailureType":"Permanent","FailureCode":2001}`))
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body)
	// Output:
	// ada@example.com bounced hard mailbox
	// 200 a long secret
}

func ExampleNew() {
	p, err := socketlabs.New(socketlabs.Config{ServerID: 12345, APIKey: os.Getenv("SOCKETLABS_KEY")})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(p)
}

func ExampleNewWebhook_environment() {
	source, err := socketlabs.NewWebhook(socketlabs.WebhookConfig{ServerID: 12345, SecretKey: os.Getenv("SOCKETLABS_SECRET_KEY")})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(source.Name())
}
