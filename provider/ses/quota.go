package ses

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"

	"github.com/seed355143d4/mailer"
)

// Quota returns the sending quota of the account in its region: recipients in the
// last 24 hours, and the highest rate in recipients a second. SES names no time of
// a reset, since the 24 hours go along with the clock.
//
// It needs the permission ses:GetAccount. A key without it is [mailer.KindUnknown],
// since it may still be allowed to send.
func (p *Provider) Quota(ctx context.Context) (mailer.Quota, error) {
	a, err := p.account(ctx)
	if err != nil {
		return mailer.Quota{}, err
	}
	q := mailer.Quota{Limit: -1, Remaining: -1, PerSecond: max(0, a.SendQuota.MaxSendRate)}
	if a.SendQuota.Max24HourSend >= 0 {
		q.Limit = int64(a.SendQuota.Max24HourSend)
		q.Remaining = max(0, int64(a.SendQuota.Max24HourSend-a.SendQuota.SentLast24Hours))
	}
	return q, nil
}

// Verify asks for the account, as Quota does. [mailer.KindUnauthorized]: the key is
// bad, or SES has stopped the account's sending. An account in the sandbox passes.
func (p *Provider) Verify(ctx context.Context) error {
	a, err := p.account(ctx)
	if err != nil {
		return err
	}
	if status := aws.ToString(a.EnforcementStatus); !a.SendingEnabled || status == "SHUTDOWN" {
		return &mailer.Error{
			Provider: provider, Kind: mailer.KindUnauthorized, NotSent: true, Code: status,
			Message: "sending is switched off for this account in its region",
		}
	}
	return nil
}

// account asks SES for the account. Its SendQuota is not nil.
func (p *Provider) account(ctx context.Context) (*sesv2.GetAccountOutput, error) {
	c := new(call)
	var out *sesv2.GetAccountOutput
	err := p.ask(ctx, c, func(ctx context.Context) (err error) {
		out, err = p.sdk.GetAccount(ctx, &sesv2.GetAccountInput{})
		return err
	})
	if err == nil && out.SendQuota == nil {
		err = p.refusal(c, errors.New("the answer has no SendQuota"))
	}
	if err != nil {
		return nil, unsent(err)
	}
	return out, nil
}
