// Package webhooktest is the conformance suite that every [webhook.Source] runs. It
// is public, so that the author of a source outside this module can prove theirs.
//
// [Run] plays the service: it sends requests with a good proof, with a bad one and
// with none, payloads as the service writes them and payloads as nobody should,
// and looks at the answers and at the events. What is said in the service's own
// words comes from the [Spec]. The test of a source is one literal:
//
//	func TestWebhookConformance(t *testing.T) {
//		const password = "password-0123456789"
//		config := acme.WebhookConfig{Basic: webhook.Basic{Username: "hook", Password: password}}
//		webhooktest.Run(t, webhooktest.Spec{
//			Name:    "acme",
//			Secrets: []string{password},
//			Config:  config,
//			New:     func() (webhook.Source, error) { return acme.NewWebhook(config) },
//			Incomplete: map[string]func() (webhook.Source, error){
//				"no password": func() (webhook.Source, error) { return acme.NewWebhook(acme.WebhookConfig{}) },
//			},
//			Request: func(body []byte) *http.Request {
//				r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
//				r.SetBasicAuth("hook", password)
//				return r
//			},
//			Proof:   []string{"Authorization"},
//			Sample:  []byte(`{"event":"delivered","id":"m-1","to":"ada@example.com","data":{"mailer_id":"id-1"}}`),
//			Sampled: webhook.Event{Type: webhook.Delivered, MessageID: "m-1", MailID: "id-1", Recipient: "ada@example.com"},
//			Unknown: []byte(`{"event":"teleported","id":"m-1","to":"ada@example.com"}`),
//		})
//	}
//
// Each file in testdata/webhook is a payload. The events that come of it are
// compared with the file of the same name and the further extension ".golden". "go
// test -update" rewrites these files; read their diff as the description of a change.
//
// What no test of this kind can hold is the time that a comparison takes. The suite
// looks for plain comparisons of secrets in the source's files instead.
//
// Run takes no part in parallel tests: it listens to log/slog's default logger.
package webhooktest
