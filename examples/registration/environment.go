package main

import (
	"fmt"
	"strconv"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/elasticemail"
	"github.com/seed355143d4/mailer/provider/mailjet"
	"github.com/seed355143d4/mailer/provider/postmark"
	"github.com/seed355143d4/mailer/provider/sendgrid"
	"github.com/seed355143d4/mailer/provider/ses"
	"github.com/seed355143d4/mailer/provider/smtp"
	"github.com/seed355143d4/mailer/provider/smtp2go"
	"github.com/seed355143d4/mailer/provider/socketlabs"
)

// environment lists the services that the environment can ask for, in the order
// in which they are tried. A service is asked for by the first of its variables;
// one of the others that is missing is for the service's New to complain about.
var environment = []struct {
	variables []string
	sender    func(v []string) (mailer.Sender, error)
}{
	{[]string{"POSTMARK_SERVER_TOKEN"}, func(v []string) (mailer.Sender, error) {
		return postmark.New(postmark.Config{ServerToken: v[0]})
	}},
	{[]string{"SES_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}, func(v []string) (mailer.Sender, error) {
		return ses.New(ses.Config{Region: v[0], AccessKeyID: v[1], SecretAccessKey: v[2], SessionToken: v[3]})
	}},
	{[]string{"SENDGRID_API_KEY"}, func(v []string) (mailer.Sender, error) {
		return sendgrid.New(sendgrid.Config{APIKey: v[0]})
	}},
	{[]string{"SOCKETLABS_API_KEY", "SOCKETLABS_SERVER_ID"}, func(v []string) (mailer.Sender, error) {
		id, err := strconv.Atoi(v[1])
		if err != nil {
			return nil, fmt.Errorf("SOCKETLABS_SERVER_ID: %w", err)
		}
		return socketlabs.New(socketlabs.Config{ServerID: id, APIKey: v[0]})
	}},
	{[]string{"MAILJET_API_KEY", "MAILJET_SECRET_KEY"}, func(v []string) (mailer.Sender, error) {
		return mailjet.New(mailjet.Config{APIKey: v[0], SecretKey: v[1]})
	}},
	{[]string{"ELASTICEMAIL_API_KEY"}, func(v []string) (mailer.Sender, error) {
		return elasticemail.New(elasticemail.Config{APIKey: v[0]})
	}},
	{[]string{"SMTP2GO_API_KEY"}, func(v []string) (mailer.Sender, error) {
		return smtp2go.New(smtp2go.Config{APIKey: v[0]})
	}},
	{[]string{"SMTP_URL"}, func(v []string) (mailer.Sender, error) {
		cfg, err := smtp.Parse(v[0])
		if err != nil {
			return nil, err
		}
		return smtp.New(cfg)
	}},
}

// fromEnvironment makes the Senders that the environment asks for, and says what
// is wrong with each that it cannot make.
func fromEnvironment(lookup func(string) (string, bool)) (senders []mailer.Sender, errs []error) {
	for _, service := range environment {
		values := make([]string, len(service.variables))
		for i, name := range service.variables {
			values[i], _ = lookup(name)
		}
		if values[0] == "" {
			continue
		}
		sender, err := service.sender(values)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		senders = append(senders, sender)
	}
	return senders, errs
}
