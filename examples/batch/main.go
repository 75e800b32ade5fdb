// Command batch sends 500 personal mails with SendAll, and says what became of
// each. The service is one in miniature, so it needs no account:
//
//	go run ./examples/batch
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"sync/atomic"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/postmark"
)

func main() {
	var calls atomic.Int64
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		serve(w, r)
	}))
	defer service.Close()
	sender, err := postmark.New(postmark.Config{ServerToken: "token", BaseURL: service.URL})
	if err != nil {
		log.Fatal(err)
	}

	mails := make([]mailer.Message, 500)
	for i := range mails {
		mails[i] = mailer.Message{
			From:    mailer.Address{Name: "Harbour Books", Address: "hello@example.com"},
			To:      []mailer.Address{{Address: fmt.Sprintf("reader%03d@example.com", i)}},
			Subject: "Your order has left the harbour",
			Text:    fmt.Sprintf("Dear reader,\n\norder %d is on its way.\n", 8000+i),
		}
	}
	mails[123].To[0].Address = "reader123" // an old entry of the address book

	taken := 0
	for i, r := range mailer.SendAll(context.Background(), sender, mails) {
		who := mails[i].To[0].Address
		switch {
		case r.Err == nil:
			taken++
		case mailer.NotSent(r.Err):
			fmt.Printf("%s has no mail: %v\n", who, mailer.KindOf(r.Err))
		default:
			fmt.Printf("%s may have the mail: %v\n", who, mailer.KindOf(r.Err))
		}
	}
	fmt.Println(taken, "mails were taken; calls:", calls.Load())
}

// serve answers as Postmark's POST /email/batch does. One recipient is inactive.
func serve(w http.ResponseWriter, r *http.Request) {
	var in []struct{ To string }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || r.URL.Path != "/email/batch" {
		http.NotFound(w, r)
		return
	}
	type result struct {
		To, MessageID, Message string `json:",omitempty"`
		ErrorCode              int
	}
	out := make([]result, len(in))
	for i, m := range in {
		out[i] = result{To: m.To, MessageID: mailer.NewID(), Message: "OK"}
		if m.To == "reader007@example.com" {
			out[i] = result{ErrorCode: 406, Message: "You tried to send to recipient(s) that have been marked as inactive. Found inactive addresses: " + m.To + "."}
		}
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(out); err != nil {
		log.Print(err)
	}
}
