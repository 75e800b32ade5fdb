package mailjet

import (
	"context"
	"net/http"

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
		return adapter.Unsent(err)
	}
	found := false
	adapter.Members(resp.Body, func(name, _ []byte) { found = found || string(name) == "Data" })
	if resp.Status == http.StatusOK && resp.Err == nil && found {
		return nil
	}
	a := parse(resp, nil)
	return adapter.Unsent(p.refusal(&a, 1, resp))
}
