package main

import (
	"time"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/examples/internal/services"
	"github.com/seed355143d4/mailer/failover"
	"github.com/seed355143d4/mailer/inbox"
	"github.com/seed355143d4/mailer/provider/postmark"
	"github.com/seed355143d4/mailer/provider/sendgrid"
	"github.com/seed355143d4/mailer/suppression"
	"github.com/seed355143d4/mailer/webhook"
)

// embedded is a service that runs in this process.
type embedded struct {
	*services.Service
	Name string
}

// post is how mail gets out, and how its events come back.
type post struct {
	mailer.Sender // the chain, behind the suppression list
	chain         *failover.Chain
	inbox         *inbox.Inbox
	store         suppression.Store
	services      []*embedded
	sources       []webhook.Source
}

// newPost starts two services that deliver to one inbox and report to the
// application at base, and makes the Sender over them and the Source for each.
func newPost(base string) (*post, error) {
	p := &post{inbox: inbox.New(inbox.Config{})}
	first, err := services.Postmark(p.inbox.Via("postmark"))
	if err != nil {
		return nil, err
	}
	p.services = append(p.services, &embedded{first, "postmark"})
	second, err := services.SendGrid(p.inbox.Via("sendgrid"))
	if err != nil {
		p.Close()
		return nil, err
	}
	p.services = append(p.services, &embedded{second, "sendgrid"})

	// Out.
	pm, err := postmark.New(postmark.Config{ServerToken: "POSTMARK_API_TEST", BaseURL: first.URL()})
	if err != nil {
		p.Close()
		return nil, err
	}
	sg, err := sendgrid.New(sendgrid.Config{APIKey: "SG.demonstration.key", BaseURL: second.URL()})
	if err != nil {
		p.Close()
		return nil, err
	}
	p.chain, err = failover.New(failover.Config{}, failover.Target{Sender: pm, Timeout: 2 * time.Second}, sg)
	if err != nil {
		p.Close()
		return nil, err
	}
	p.store = &suppression.Memory{FoldLocal: true} // some services report addresses in lower case
	p.Sender = suppression.Wrap(p.chain, p.store, suppression.Config{})

	// And back. Postmark proves itself by a password, SendGrid by its signature.
	password := mailer.NewID()
	first.ReportTo(services.Hook{URL: base + "/hooks/postmark", Username: "hook", Password: password})
	second.ReportTo(services.Hook{URL: base + "/hooks/sendgrid"})
	fromPostmark, err := postmark.NewWebhook(postmark.WebhookConfig{Basic: []webhook.Basic{{Username: "hook", Password: password}}})
	if err != nil {
		p.Close()
		return nil, err
	}
	fromSendGrid, err := sendgrid.NewWebhook(sendgrid.WebhookConfig{PublicKeys: []string{second.PublicKey()}})
	if err != nil {
		p.Close()
		return nil, err
	}
	p.sources = []webhook.Source{fromPostmark, fromSendGrid}
	return p, nil
}

// service returns the embedded service of that name, or nil.
func (p *post) service(name string) *embedded {
	for _, s := range p.services {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// Close ends the embedded services.
func (p *post) Close() {
	for _, s := range p.services {
		_ = s.Close() // nobody is left to be told
	}
}
