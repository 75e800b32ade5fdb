package smtp2go_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/smtp2go"
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
