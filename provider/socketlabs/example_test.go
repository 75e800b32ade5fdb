package socketlabs_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/socketlabs"
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
