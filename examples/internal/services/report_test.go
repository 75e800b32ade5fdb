package services_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/examples/internal/services"
	"github.com/seed355143d4/mailer/mailertest"
	"github.com/seed355143d4/mailer/provider/postmark"
	"github.com/seed355143d4/mailer/provider/sendgrid"
	"github.com/seed355143d4/mailer/webhook"
)

// The services report as the real ones do: what the application does not take
// comes again, and through Dedupe each event is dealt with once.
func TestAReportThatIsNotTakenComesAgain(t *testing.T) {
	for name, start := range map[string]func(t *testing.T) (*services.Service, mailer.Sender, webhook.Source){
		"postmark": func(t *testing.T) (*services.Service, mailer.Sender, webhook.Source) {
			s, err := services.Postmark(new(mailertest.Recorder))
			require.NoError(t, err)
			sender, err := postmark.New(postmark.Config{ServerToken: "POSTMARK_API_TEST", BaseURL: s.URL()})
			require.NoError(t, err)
			source, err := postmark.NewWebhook(postmark.WebhookConfig{Basic: []webhook.Basic{{Username: "hook", Password: "a long secret"}}})
			require.NoError(t, err)
			return s, sender, source
		},
		"sendgrid": func(t *testing.T) (*services.Service, mailer.Sender, webhook.Source) {
			s, err := services.SendGrid(new(mailertest.Recorder))
			require.NoError(t, err)
			sender, err := sendgrid.New(sendgrid.Config{APIKey: "SG.x.y", BaseURL: s.URL()})
			require.NoError(t, err)
			source, err := sendgrid.NewWebhook(sendgrid.WebhookConfig{PublicKeys: []string{s.PublicKey()}})
			require.NoError(t, err)
			return s, sender, source
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, sender, source := start(t)
			defer s.Close()
			var mu sync.Mutex
			calls := map[string]int{}           // by event
			dealt := map[string]webhook.Event{} // by ID
			again := make(chan struct{}, 100)
			srv := httptest.NewServer(webhook.Handler(source, webhook.Dedupe(nil, func(_ context.Context, events []webhook.Event) error {
				mu.Lock()
				defer mu.Unlock()
				defer func() { again <- struct{}{} }()
				for _, e := range events {
					if calls[e.ID]++; calls[e.ID] <= 2 {
						return errors.New("the database is away")
					}
					dealt[e.ID] = e
				}
				return nil
			})))
			defer srv.Close()
			s.ReportTo(services.Hook{URL: srv.URL, Username: "hook", Password: "a long secret", Minute: time.Millisecond})

			receipt, err := sender.Send(t.Context(), mailer.Message{
				ID: "welcome-1", From: mailer.Address{Address: "app@example.com"}, To: []mailer.Address{{Address: "ada@example.com"}},
				Subject: "Hello", Text: "Hello", Tags: []string{"welcome"}, Metadata: map[string]string{"plan": "trial"},
			})
			require.NoError(t, err)
			for _, e := range []services.Event{services.Opened, services.Bounced, services.Complained} {
				require.NoError(t, s.Report(receipt.MessageID, e))
			}
			require.Error(t, s.Report("unknown", services.Opened))
			for range 4 * 3 { // four events, each called three times
				select {
				case <-again:
				case <-time.After(30 * time.Second):
					t.Fatal("a report did not come again")
				}
			}
			mu.Lock()
			defer mu.Unlock()
			types := map[webhook.Type]int{}
			for id, e := range dealt {
				types[e.Type]++
				require.Equal(t, 3, calls[id])
				require.Equal(t, receipt.MessageID, e.MessageID)
				require.Equal(t, "welcome-1", e.MailID)
				require.Equal(t, "ada@example.com", e.Recipient)
				require.Equal(t, []string{"welcome"}, e.Tags)
				require.Equal(t, map[string]string{"plan": "trial"}, e.Metadata)
			}
			require.Equal(t, map[webhook.Type]int{webhook.Delivered: 1, webhook.Opened: 1, webhook.Bounced: 1, webhook.Complained: 1}, types)
		})
	}
}
