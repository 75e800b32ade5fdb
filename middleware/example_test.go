package middleware_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/mailertest"
	"github.com/seed355143d4/mailer/middleware"
)

// A staging system: every mail goes to one mailbox, and each is logged.
func Example() {
	service := new(mailertest.Recorder)
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "duration" || a.Key == "provider_message_id" {
			return slog.Attr{}
		}
		return a
	}}))

	sender := middleware.Log(logger)(middleware.Redirect(mailer.Address{Address: "staging@example.com"})(service))

	_, err := sender.Send(context.Background(), mailer.Message{
		ID:      "welcome-1",
		From:    mailer.Address{Address: "app@example.com"},
		To:      []mailer.Address{{Address: "ada@example.com"}},
		Subject: "Welcome",
		Text:    "Hello Ada!",
	})
	fmt.Println(err)
	sent := service.Messages()[0]
	fmt.Println(sent.To[0].Address, sent.Headers[middleware.OriginalRecipients])
	// Output:
	// level=INFO msg="mail taken" message_id=welcome-1 provider=mailertest
	// <nil>
	// staging@example.com ada@example.com
}
