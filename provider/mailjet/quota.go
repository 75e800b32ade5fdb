package mailjet

import (
	"context"
	"errors"
	"net/http"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/internal/httpapi"
)

// Verify asks for one of the account's senders. [mailer.KindUnauthorized]: the keys
// are bad, or the API key is suspended. It says nothing about the From address that
// a message has.
//
// Mailjet has no call that tells what is left of an account's credits, so there is
// no Quota.
func (p *Provider) Verify(ctx context.Context) error {
	resp, err := p.api.Do(ctx, http.MethodGet, "/v3/REST/sender?Limit=1", httpapi.Body{})
	if err != nil {
		return unsent(err)
	}
	found := false
	adapter.Members(resp.Body, func(name, _ []byte) { found = found || string(name) == "Data" })
	if resp.Status == http.StatusOK && resp.Err == nil && found {
		return nil
	}
	a := parse(resp, nil)
	return unsent(p.refusal(&a, 1, resp))
}

// unsent marks an error of a call that was to send nothing.
func unsent(err error) error {
	if e, ok := errors.AsType[*mailer.Error](err); ok {
		e.NotSent = true
	}
	return err
}
