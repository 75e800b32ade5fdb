package ses

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/suppression"
)

var (
	_ suppression.Puller = (*Provider)(nil)
	_ suppression.Pusher = (*Provider)(nil)
)

// PullSuppressions returns a page of the suppression list of the account in its
// region, of the size that SES chooses. SES knows bounces, all of them hard, and
// complaints; addresses that somebody entered stand under one of them. Created is
// when the entry was last changed.
//
// It needs the permission ses:ListSuppressedDestinations. A key without it is
// [mailer.KindUnknown], since it may still be allowed to send, and so is a cursor
// that SES does not know any more.
func (p *Provider) PullSuppressions(ctx context.Context, cursor string) (page []suppression.Entry, next string, err error) {
	c := new(call)
	var out *sesv2.ListSuppressedDestinationsOutput
	err = p.ask(ctx, c, func(ctx context.Context) (err error) {
		out, err = p.sdk.ListSuppressedDestinations(ctx, &sesv2.ListSuppressedDestinationsInput{NextToken: optional(cursor)})
		return err
	})
	if err == nil && out.SuppressedDestinationSummaries == nil {
		err = p.refusal(c, errors.New("the answer has no list"))
	}
	if err != nil {
		return nil, "", unsent(err)
	}
	for _, s := range out.SuppressedDestinationSummaries {
		e := suppression.Entry{Address: aws.ToString(s.EmailAddress), Reason: suppression.Manual, Source: provider, Created: aws.ToTime(s.LastUpdateTime).UTC()}
		switch s.Reason {
		case types.SuppressionListReasonBounce:
			e.Reason = suppression.HardBounce
		case types.SuppressionListReasonComplaint:
			e.Reason = suppression.Complaint
		}
		page = append(page, e)
	}
	return page, aws.ToString(out.NextToken), nil
}

// PushSuppressions adds entries to the suppression list of the account in its
// region, one call for each. A complaint goes as one, every other reason as a
// bounce, and each for all mail and for good: SES has no words for a stream or an
// end. The kinds of errors are those of PullSuppressions; the permission is
// ses:PutSuppressedDestination.
func (p *Provider) PushSuppressions(ctx context.Context, entries []suppression.Entry) (done int, err error) {
	for i, e := range entries {
		if err := adapter.EntryAddress(i, e.Address); err != nil {
			return i, err
		}
		reason := types.SuppressionListReasonBounce
		if e.Reason == suppression.Complaint {
			reason = types.SuppressionListReasonComplaint
		}
		err := p.ask(ctx, new(call), func(ctx context.Context) error {
			_, err := p.sdk.PutSuppressedDestination(ctx, &sesv2.PutSuppressedDestinationInput{EmailAddress: aws.String(e.Address), Reason: reason})
			return err
		})
		if err != nil {
			return i, unsent(err)
		}
	}
	return len(entries), nil
}

// unsent marks an error of a call that was to send nothing. A key that may not make
// it may still be allowed to send.
func unsent(err error) error {
	if e, ok := errors.AsType[*mailer.Error](err); ok {
		e.NotSent = true
		if e.Kind == mailer.KindUnauthorized && (e.Code == "AccessDeniedException" || e.Code == "AccessDenied") {
			e.Kind = mailer.KindUnknown
		}
	}
	return err
}
