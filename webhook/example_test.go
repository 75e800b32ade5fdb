package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/seed355143d4/mailer/webhook"
)

func ExampleBasic() {
	r, _ := http.NewRequest(http.MethodPost, "https://hooks.example/mail", nil)
	r.SetBasicAuth("hook", "a long secret")
	fmt.Println(webhook.Basic{Username: "hook", Password: "a long secret"}.Match(r.Header))
	fmt.Println(webhook.Basic{Username: "hook", Password: "another"}.Match(r.Header))
	// Output:
	// true
	// false
}

// bell is a source for a service that sends "type recipient" in clear. The sources
// of real services are made by the NewWebhook of each package under provider.
type bell struct{ password string }

func (bell) Name() string { return "bell" }

func (b bell) Receive(_ context.Context, r *webhook.Request) (webhook.Delivery, error) {
	if !webhook.EqualSecret(r.Header.Get("X-Password"), b.password) {
		return webhook.Delivery{}, webhook.ErrUnverified
	}
	typ, recipient, ok := strings.Cut(string(r.Body), " ")
	if !ok {
		return webhook.Delivery{}, webhook.ErrMalformed
	}
	return webhook.Delivery{Events: []webhook.Event{
		{Type: webhook.Type(typ), Recipient: recipient, ID: webhook.EventID(typ, recipient), Raw: r.Body},
	}}, nil
}

// ring is what the service does.
func ring(h http.Handler, body string) {
	r := httptest.NewRequest(http.MethodPost, "/hooks/bell", strings.NewReader(body))
	r.Header.Set("X-Password", "a long secret")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Println("answer", w.Code)
}

func ExampleHandler() {
	h := webhook.Handler(bell{"a long secret"}, func(_ context.Context, events []webhook.Event) error {
		for _, e := range events {
			fmt.Println(e.Provider, e.Type, e.Recipient)
		}
		return nil
	})
	ring(h, "delivered ada@example.com")
	// Output:
	// bell delivered ada@example.com
	// answer 200
}

func ExampleDedupe() {
	full := true // the disk, at first
	h := webhook.Handler(bell{"a long secret"}, webhook.Dedupe(nil, func(_ context.Context, events []webhook.Event) error {
		if full {
			full = false
			return errors.New("the disk is full")
		}
		fmt.Println("stored", events[0].Type, events[0].Recipient)
		return nil
	}))
	for range 3 { // as often as the service likes
		ring(h, "delivered ada@example.com")
	}
	// Output:
	// answer 503
	// stored delivered ada@example.com
	// answer 200
	// answer 200
}

func ExampleNext() {
	var state webhook.State
	for _, event := range []webhook.Event{
		{Type: webhook.Accepted}, {Type: webhook.Complained}, {Type: webhook.Delivered}, // which comes late
	} {
		state = webhook.Next(state, event) // accepted < deferred < failed < delivered < unsubscribed < bounced < complained
		fmt.Println(state)
	}
	// Output:
	// accepted
	// complained
	// complained
}

func ExampleClassify() {
	for _, answer := range []string{
		"550 5.1.1 no such user", "452 4.2.2 mailbox full", "550 5.1.1 rejected, poor reputation",
	} {
		fmt.Println(webhook.Classify(answer))
	}
	// Output:
	// hard mailbox
	// soft quota
	// soft blocked
}
