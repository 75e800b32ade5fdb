package postmark

import (
	"cmp"
	"context"
	"net/http"
	"strconv"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/internal/httpapi"
)

// Verify asks for the server that the token belongs to. [mailer.KindUnauthorized]:
// the token is bad. It says nothing about the From address that a message has.
// Nothing of the answer is kept or shown, since it holds the server's tokens.
//
// Postmark has no call that tells what is left of a plan, so there is no Quota.
// Source: https://postmarkapp.com/developer/api/server-api (read 2026-11).
func (p *Provider) Verify(ctx context.Context) error {
	resp, err := p.api.Do(ctx, http.MethodGet, "/server", httpapi.Body{})
	if err != nil {
		return adapter.Unsent(err)
	}
	if resp.Status == http.StatusOK {
		found := false
		adapter.Members(resp.Body, func(name, _ []byte) { found = found || string(name) == "ID" })
		if found && resp.Err == nil {
			return nil
		}
		kind := mailer.KindUnknown
		if resp.Err != nil {
			kind = mailer.KindNetwork
		}
		return adapter.Unsent(p.api.Error(resp, kind, "", "the answer is not a server"))
	}
	a, _ := parse(resp.Body)
	kind, _ := classify(resp.Status, &a)
	code := ""
	if a.ErrorCode != 0 {
		code = strconv.Itoa(a.ErrorCode)
	}
	return adapter.Unsent(p.api.Error(resp, kind, code, cmp.Or(a.Message, string(resp.Body))))
}
