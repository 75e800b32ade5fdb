package ses_test

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
	"github.com/seed355143d4/mailer/provider/ses"
	"github.com/seed355143d4/mailer/webhook"
)

func Example() {
	// A stand-in for SES, so that the example runs offline. Leave BaseURL out to
	// reach the real one.
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"MessageId":"0100018f3c1a2b4d-000000"}`)
	}))
	defer service.Close()

	sender, err := ses.New(ses.Config{
		Region:          "eu-west-1",
		AccessKeyID:     "AKIDEXAMPLE",
		SecretAccessKey: "secret",
		BaseURL:         service.URL,
		HTTPClient:      service.Client(),
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
		Extras:  []mailer.Extra{ses.Extra{ConfigurationSet: "transactional"}},
	})
	switch {
	case errors.Is(err, mailer.KindSender):
		fmt.Println("verify this address at SES first:", err)
	case err != nil:
		fmt.Println(err)
	default:
		fmt.Println(receipt.Provider, "took it as", receipt.MessageID)
	}
	// Output: ses took it as 0100018f3c1a2b4d-000000
}

func ExampleNewWebhook() {
	source, err := ses.NewWebhook(ses.WebhookConfig{
		TopicARNs:     []string{"arn:aws:sns:eu-west-1:123456789012:mail-events"},
		RequireSHA256: true,
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

	// What anybody could send.
	r := httptest.NewRequest(http.MethodPost, "/ses", strings.NewReader(`{"Type":"Notification",`+
		`"TopicArn":"arn:aws:sns:eu-west-1:123456789012:mail-events","MessageId":"1","Timestamp":"2026-03-04T10:11:14.000Z",`+
		`"Message":"{}","SignatureVersion":"2","Signature":"bm8=","SigningCertURL":"https://example.com/evil.pem"}`))
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	fmt.Println(w.Code)
	// Output: 401
}

func ExampleNew() {
	p, err := ses.New(ses.Config{
		Region:          "eu-west-1",
		AccessKeyID:     os.Getenv("AWS_ACCESS_KEY_ID"),
		SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(p)
}
