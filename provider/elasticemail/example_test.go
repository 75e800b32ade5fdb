package elasticemail_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/elasticemail"
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
