package ses

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
)

// The limits of a batch.
const (
	maxBatch = 50      // messages in one call
	maxBytes = 4 << 20 // of a call with several messages; ours, SES names none
	inFlight = 128     // calls at once
)

// MaxBatch returns 50, the most messages that one SendBulkEmail call takes.
// Source: https://docs.aws.amazon.com/ses/latest/dg/quotas.html (read 2026-11).
func (p *Provider) MaxBatch() int { return maxBatch }

// SendBatch sends the messages and returns one Result for each, in their order.
// Messages with a template which agree in it and in all else but recipients,
// Template.Data, Headers, Unsubscribe, Tags, Metadata and ID go in calls of up to
// 50, fewer if the call would be larger than 4 MiB; those with files or a contact
// list, and all others, in a call each. Up to 128 calls are under way at once. SES
// answers with an error when that is faster than the account's rate: see Quota.
//
// If an answer is lost, or does not have a result for each message of its call,
// the outcome is unknown for the messages of that call: NotSent is false.
//
// The calls need the permissions ses:SendBulkEmail and ses:SendBulkTemplatedEmail.
func (p *Provider) SendBatch(ctx context.Context, ms []mailer.Message) []mailer.Result {
	if len(ms) == 0 {
		return nil
	}
	results := make([]mailer.Result, len(ms))
	calls := p.calls(ms, results)
	adapter.Each(len(calls), inFlight, func(i int) {
		p.deliver(ctx, calls[i], results)
	})
	return results
}

// item is a message of a batch and its place there.
type item struct {
	at int
	request
}

// calls sorts the messages into calls. The results of those that are refused
// before any traffic are set.
func (p *Provider) calls(ms []mailer.Message, results []mailer.Result) [][]item {
	var calls [][]item
	open := map[shared]int{} // the call that is being filled
	for i, m := range ms {
		r, err := p.request(m)
		if err != nil {
			results[i].Err = err
			continue
		}
		key, ok := share(&r)
		if !ok {
			calls = append(calls, []item{{i, r}})
			continue
		}
		n, ok := open[key]
		if !ok || len(calls[n]) == maxBatch {
			n = len(calls)
			open[key] = n
			calls = append(calls, nil)
		}
		calls[n] = append(calls[n], item{i, r})
	}
	return calls
}

// shared is what all messages of a call have in common.
type shared struct {
	template, from, replyTo, set, identity, tenant string
	feedback, owner                                string // owner is the identity of feedback
	track                                          mailer.Tracking
}

// share returns what r can share a call by, and whether it can at all.
func share(r *request) (shared, bool) {
	in := r.input
	t := in.Content.Template
	if t == nil || len(t.Attachments) > 0 || in.ListManagementOptions != nil {
		return shared{}, false
	}
	return shared{
		template: aws.ToString(t.TemplateName) + aws.ToString(t.TemplateArn), // one of them
		from:     *in.FromEmailAddress,
		replyTo:  strings.Join(in.ReplyToAddresses, "\n"),
		set:      aws.ToString(in.ConfigurationSetName),
		identity: aws.ToString(in.FromEmailAddressIdentityArn),
		tenant:   aws.ToString(in.TenantName),
		feedback: aws.ToString(in.FeedbackForwardingEmailAddress),
		owner:    aws.ToString(in.FeedbackForwardingEmailAddressIdentityArn),
		track:    r.message.Track,
	}, true
}

// deliver sends the messages in one call, or in several if it would be too large,
// and sets their results.
func (p *Provider) deliver(ctx context.Context, items []item, results []mailer.Result) {
	if len(items) == 1 {
		r := &results[items[0].at]
		r.Receipt, r.Err = p.send(ctx, &items[0].request)
		return
	}
	body := sendBulkEmail(bulk(items))
	if body.Size() > maxBytes {
		n := len(items) / 2
		p.deliver(ctx, items[:n], results)
		p.deliver(ctx, items[n:], results)
		return
	}
	c := items[0].call()
	var out sesv2.SendBulkEmailOutput
	err := p.post(ctx, c, bulkPath, body, &out)
	if err == nil && len(out.BulkEmailEntryResults) != len(items) {
		err = p.refusal(c, errors.New("the answer does not have one result for each message"))
	}
	for i, it := range items {
		r := &results[it.at]
		if err != nil {
			r.Err = adapter.Own(err)
			continue
		}
		one := out.BulkEmailEntryResults[i]
		if id := aws.ToString(one.MessageId); one.Status == types.BulkEmailStatusSuccess && id != "" {
			r.Receipt = it.receipt(id)
			continue
		}
		r.Err = p.entryError(c, one)
	}
}

// bulk makes one call of several messages.
func bulk(items []item) *sesv2.SendBulkEmailInput {
	first := items[0].input
	t := first.Content.Template
	in := &sesv2.SendBulkEmailInput{
		FromEmailAddress:                          first.FromEmailAddress,
		FromEmailAddressIdentityArn:               first.FromEmailAddressIdentityArn,
		ReplyToAddresses:                          first.ReplyToAddresses,
		FeedbackForwardingEmailAddress:            first.FeedbackForwardingEmailAddress,
		FeedbackForwardingEmailAddressIdentityArn: first.FeedbackForwardingEmailAddressIdentityArn,
		ConfigurationSetName:                      first.ConfigurationSetName,
		ConfigurationOverrides:                    first.ConfigurationOverrides,
		TenantName:                                first.TenantName,
		DefaultContent: &types.BulkEmailContent{Template: &types.Template{
			TemplateName: t.TemplateName, TemplateArn: t.TemplateArn, TemplateData: aws.String("{}"),
		}},
	}
	for _, it := range items {
		t := it.input.Content.Template
		in.BulkEmailEntries = append(in.BulkEmailEntries, types.BulkEmailEntry{
			Destination: it.input.Destination,
			ReplacementEmailContent: &types.ReplacementEmailContent{
				ReplacementTemplate: &types.ReplacementTemplate{ReplacementTemplateData: t.TemplateData},
			},
			ReplacementHeaders: t.Headers,
			ReplacementTags:    it.input.EmailTags,
		})
	}
	return in
}

// entryStatuses are the kinds of the statuses that a message of a batch can have.
// Source: the types of sesv2 v1.79.7, and the API reference of BulkEmailEntryResult
// (read 2026-11), whose text spells some of them otherwise.
var entryStatuses = map[types.BulkEmailStatus]mailer.Kind{
	types.BulkEmailStatusMessageRejected:               mailer.KindContent,
	types.BulkEmailStatusMailFromDomainNotVerified:     mailer.KindSender,
	types.BulkEmailStatusConfigurationSetNotFound:      mailer.KindUnknown,
	types.BulkEmailStatusInvalidSendingPoolName:        mailer.KindUnknown,
	types.BulkEmailStatusTemplateNotFound:              mailer.KindRejected,
	types.BulkEmailStatusAccountSuspended:              mailer.KindUnauthorized,
	types.BulkEmailStatusAccountSendingPaused:          mailer.KindUnauthorized,
	types.BulkEmailStatusConfigurationSetSendingPaused: mailer.KindUnauthorized,
	types.BulkEmailStatusAccountThrottled:              mailer.KindRateLimited,
	types.BulkEmailStatusAccountDailyQuotaExceeded:     mailer.KindQuota,
	types.BulkEmailStatusInvalidParameter:              mailer.KindRejected,
	types.BulkEmailStatusTransientFailure:              mailer.KindUnavailable,
	types.BulkEmailStatusFailed:                        mailer.KindUnknown,

	"CONFIGURATION_SET_DOES_NOT_EXIST": mailer.KindUnknown,
	"TEMPLATE_DOES_NOT_EXIST":          mailer.KindRejected,
	"INVALID_PARAMETER_VALUE":          mailer.KindRejected,
}

// entryError makes the error of one message of a batch. A status that says no is
// a documented refusal, so nobody has that message, unless it stands beside an id.
func (p *Provider) entryError(c *call, one types.BulkEmailEntryResult) *mailer.Error {
	kind, listed := entryStatuses[one.Status]
	if one.Status == types.BulkEmailStatusMessageRejected {
		kind = rejected(aws.ToString(one.Error), c.senders)
	}
	e := p.api.Hiding(c.secrets...).Error(c.resp, kind, string(one.Status), aws.ToString(one.Error))
	e.NotSent = listed && kind != mailer.KindUnavailable && one.Status != types.BulkEmailStatusFailed && aws.ToString(one.MessageId) == ""
	e.RequestID = c.resp.Header.Get("X-Amzn-Requestid")
	if e.Status == http.StatusOK && !listed && e.Message == "" {
		e.Message = "the answer has no id for this message"
	}
	return e
}
