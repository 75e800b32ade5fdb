package sendgrid

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/internal/httpapi"
)

// Quota returns the credits of the account's present period, and the day on which
// the next one begins, in UTC. What goes beyond them and is allowed to is not said: it
// leaves Remaining at 0.
//
// It needs a key that may read the account's credits. One that may not is
// [mailer.KindUnknown], since it may still be allowed to send.
// Source: https://github.com/twilio/sendgrid-oai, tsg_user_v3.yaml (read 2026-11).
func (p *Provider) Quota(ctx context.Context) (mailer.Quota, error) {
	resp, err := p.ask(ctx, "/v3/user/credits")
	if err != nil {
		if e, ok := errors.AsType[*mailer.Error](err); ok && e.Status == http.StatusForbidden && e.Kind == mailer.KindUnauthorized {
			e.Kind = mailer.KindUnknown
		}
		return mailer.Quota{}, err
	}
	var a struct {
		Remain, Total *int64
		NextReset     string `json:"next_reset"`
	}
	if err := resp.JSON(&a); err != nil || a.Total == nil || a.Remain == nil {
		return mailer.Quota{}, p.misunderstood(resp, "the answer has no credits")
	}
	q := mailer.Quota{Limit: max(0, *a.Total), Remaining: max(0, *a.Remain)}
	if t, err := time.Parse(time.DateOnly, a.NextReset); err == nil {
		q.Reset = t
	}
	return q, nil
}

// Verify asks what the key may do. [mailer.KindUnauthorized]: SendGrid does not know
// it at this host, or it lacks the scope "mail.send". It says nothing about the From
// address that a message has.
// Source: https://www.twilio.com/docs/sendgrid/api-reference/api-key-permissions
// (read 2026-11).
func (p *Provider) Verify(ctx context.Context) error {
	resp, err := p.ask(ctx, "/v3/scopes")
	if err != nil {
		return err
	}
	var a struct{ Scopes []json.RawMessage }
	if err := resp.JSON(&a); err != nil || a.Scopes == nil {
		return p.misunderstood(resp, "the answer has no scopes")
	}
	for _, s := range a.Scopes {
		if adapter.Text(s) == "mail.send" {
			return nil
		}
	}
	e := p.api.Error(resp, mailer.KindUnauthorized, "", `the API key is good, but lacks the scope "mail.send"`)
	return adapter.Unsent(e)
}

// ask makes a call that sends nothing. Its error is NotSent.
func (p *Provider) ask(ctx context.Context, path string) (*httpapi.Response, error) {
	resp, err := p.api.Do(ctx, http.MethodGet, path, httpapi.Body{})
	if err != nil {
		return nil, adapter.Unsent(err)
	}
	if resp.Status != http.StatusOK {
		e, _ := p.refusal(resp)
		return nil, adapter.Unsent(e)
	}
	return resp, nil
}

// misunderstood is the error for an answer without what was asked for.
func (p *Provider) misunderstood(resp *httpapi.Response, words string) error {
	kind := mailer.KindUnknown
	if resp.Err != nil {
		kind = mailer.KindNetwork
	}
	return adapter.Unsent(p.api.Error(resp, kind, "", words))
}
