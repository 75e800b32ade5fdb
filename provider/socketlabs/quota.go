package socketlabs

import (
	"context"
	"net/http"
	"strings"

	"github.com/seed355143d4/mailer/internal/adapter"
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
	resp, err := p.api.Do(ctx, http.MethodPost, path, p.encode())
	if err != nil {
		return adapter.Unsent(err)
	}
	a := parse(resp, 0)
	if resp.Err == nil && strings.EqualFold(a.code, "NoMessages") {
		return nil
	}
	_, err = p.receipt(&request{}, &a, 0, resp)
	return adapter.Unsent(err)
}
