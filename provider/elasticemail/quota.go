package elasticemail

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/internal/httpapi"
)

// Quota returns what is left of the account's credits as Remaining. An account without
// credits has its daily limit as Limit, of which Elastic Email does not tell what is
// left. It needs a key with the access level ViewAccount: one without it is
// [mailer.KindUnknown], since it may still be allowed to send.
//
// The API v4 has no such call, so this is one of v2.
// Source: https://github.com/ElasticEmail/ElasticEmail.WebApiClient-csharp-core and the
// official MCP server (read 2026-11).
func (p *Provider) Quota(ctx context.Context) (mailer.Quota, error) {
	a, err := p.account(ctx)
	if err != nil {
		return mailer.Quota{}, err
	}
	var credits, daily int64
	adapter.Members(a.data, func(name, value []byte) {
		number := func(to *int64) {
			if n, err := strconv.ParseInt(strings.Trim(string(value), `"`), 10, 64); err == nil {
				*to = n
			}
		}
		switch {
		case is(name, "emailcredits"):
			number(&credits)
		case is(name, "dailysendlimit"):
			number(&daily)
		}
	})
	q := mailer.Quota{Limit: -1, Remaining: -1}
	switch {
	case credits > 0: // 0 is also what an account has that needs none
		q.Remaining = credits
	case daily > 0:
		q.Limit = daily
	}
	return q, nil
}

// Verify asks for the account. [mailer.KindUnauthorized]: Elastic Email does not know
// the key. A key without the access level ViewAccount is [mailer.KindUnknown]: it may
// be good for sending. There is no call that only proves a key.
func (p *Provider) Verify(ctx context.Context) error {
	_, err := p.account(ctx)
	return err
}

// account asks for the account. Its error is NotSent.
func (p *Provider) account(ctx context.Context) (answer, error) {
	resp, err := p.api.Do(ctx, http.MethodGet, "/v2/account/load", httpapi.Body{})
	if err != nil {
		return answer{}, adapter.Unsent(err)
	}
	a := parse(resp)
	if resp.Status == http.StatusOK && a.err == nil && a.success && !a.failed && adapter.Members(a.data, func(_, _ []byte) {}) {
		return a, nil
	}
	e := p.refusal(&a, resp)
	if strings.Contains(strings.ToLower(a.words), "access denied") {
		e.Kind = mailer.KindUnknown // the key is known, and may not ask
	}
	return a, adapter.Unsent(e)
}
