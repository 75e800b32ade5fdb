package postmark

import (
	"cmp"
	"context"
	"errors"
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
		return unsent(err)
	}
	if resp.Status == http.StatusOK {
		found := false
		adapter.Members(resp.Body, func(name, _ []byte) { found = found || string(name) == "ID" })
		if found && resp.Err == nil {
			return nil
		}
		return unsent(p.api.Error(resp, mailer.KindUnknown, "", "the answer is not a server"))
	}
	a, _ := parse(resp)
	kind, _ := classify(resp.Status, &a)
	code := ""
	if a.ErrorCode != 0 {
		code = strconv.Itoa(a.ErrorCode)
	}
	return unsent(p.api.Error(resp, kind, code, cmp.Or(a.Message, string(resp.Body))))
}

// unsent marks an error of a call that was to send nothing.
func unsent(err error) error {
	if e, ok := errors.AsType[*mailer.Error](err); ok {
		e.NotSent = true
	}
	return err
}
