package socketlabs

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/seed355143d4/mailer"
)

// Verify makes a call with no message in it. SocketLabs has no call that only proves
// a key; it is to answer this one with NoMessages if the key is good.
// [mailer.KindUnauthorized]: the key does not belong to the server, or the account is
// disabled. SocketLabs stops answering after many wrong keys:
// [mailer.KindRateLimited].
//
// SocketLabs has no call either that tells what is left of an account's credits, so
// there is no Quota.
func (p *Provider) Verify(ctx context.Context) error {
	body, _ := p.encode()
	resp, err := p.api.Do(ctx, http.MethodPost, path, body)
	if err != nil {
		return unsent(err)
	}
	a := parse(resp, 0)
	if resp.Err == nil && strings.EqualFold(a.code, "NoMessages") {
		return nil
	}
	_, err = p.receipt(&request{}, &a, 0, resp)
	return unsent(err)
}

// unsent marks an error of a call that was to send nothing.
func unsent(err error) error {
	if e, ok := errors.AsType[*mailer.Error](err); ok {
		e.NotSent = true
	}
	return err
}
