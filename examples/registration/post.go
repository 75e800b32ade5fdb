package main

import (
	"errors"
	"time"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/examples/internal/services"
	"github.com/seed355143d4/mailer/failover"
	"github.com/seed355143d4/mailer/inbox"
	"github.com/seed355143d4/mailer/provider/postmark"
	"github.com/seed355143d4/mailer/provider/sendgrid"
)

// post is how the application's mail gets out: a chain of services, and in the
// demonstration the two embedded services behind it.
type post struct {
	*failover.Chain
	inbox    *inbox.Inbox // nil with real services
	services []*embedded  // empty with real services
}

// embedded is a service that runs in this process.
type embedded struct {
	*services.Service
	Name string
}

// newPost builds the chain from the environment that lookup reads.
func newPost(lookup func(string) (string, bool)) (*post, error) {
	p := &post{}
	targets, errs := fromEnvironment(lookup)
	if len(targets) == 0 && len(errs) == 0 {
		errs = append(errs, p.embed(&targets))
	}
	if err := errors.Join(errs...); err != nil {
		p.Close()
		return nil, err
	}
	var err error
	p.Chain, err = failover.New(failover.Config{}, targets...)
	if err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// embed starts the two services of the demonstration. Both deliver to one inbox.
func (p *post) embed(targets *[]mailer.Sender) error {
	p.inbox = inbox.New(inbox.Config{})
	first, err := services.Postmark(p.inbox.Via("postmark"))
	if err != nil {
		return err
	}
	p.services = append(p.services, &embedded{first, "postmark"})
	second, err := services.SendGrid(p.inbox.Via("sendgrid"))
	if err != nil {
		return err
	}
	p.services = append(p.services, &embedded{second, "sendgrid"})
	pm, err := postmark.New(postmark.Config{ServerToken: "POSTMARK_API_TEST", BaseURL: first.URL()})
	if err != nil {
		return err
	}
	sg, err := sendgrid.New(sendgrid.Config{APIKey: "SG.demonstration.key", BaseURL: second.URL()})
	if err != nil {
		return err
	}
	// Two seconds are patience enough with a service on this machine.
	*targets = []mailer.Sender{failover.Target{Name: "postmark", Sender: pm, Timeout: 2 * time.Second}, sg}
	return nil
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
