package mailjet_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/mailjet"
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
