package inbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/inbox"
)

// A program sends its mail into an inbox; a test of that program, in any language,
// reads it there.
func Example() {
	in := inbox.New(inbox.Config{})
	mux := http.NewServeMux()
	mux.Handle("/inbox/", http.StripPrefix("/inbox", in))
	server := httptest.NewServer(mux)
	defer server.Close()

	_, err := in.Send(context.Background(), mailer.Message{
		From:    mailer.Address{Name: "Example", Address: "hello@example.com"},
		To:      []mailer.Address{{Address: "ada@example.com"}},
		Subject: "Confirm your address",
		Text:    "https://app.example.com/verify?token=6f1d2c",
	})
	if err != nil {
		log.Fatal(err)
	}

	answer, err := server.Client().Get(server.URL + "/inbox/api/messages?to=ada@example.com")
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	var list struct {
		Messages []struct {
			ID      int
			Subject string
			Text    string
		}
	}
	if err := json.NewDecoder(answer.Body).Decode(&list); err != nil {
		log.Fatal(err)
	}
	for _, m := range list.Messages {
		fmt.Println(m.ID, m.Subject)
		fmt.Println(m.Text)
	}
	// Output:
	// 1 Confirm your address
	// https://app.example.com/verify?token=6f1d2c
}
