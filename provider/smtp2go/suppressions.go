package smtp2go

import (
	"context"
	"errors"
	"strings"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/suppression"
	"github.com/seed355143d4/mailer/webhook"
)

var (
	_ suppression.Puller = (*Provider)(nil)
	_ suppression.Pusher = (*Provider)(nil)
)

// suppressionTypes are the reasons of SMTP2GO's list, in its words and in ours.
// "compliance" is entered by SMTP2GO itself.
// Source: SMTP2GO's OpenAPI description, /suppression/view (read 2026-11).
var suppressionTypes = []struct {
	theirs string
	ours   suppression.Reason
}{
	{"manual", suppression.Manual},
	{"spam", suppression.Complaint},
	{"unsubscribe", suppression.Unsubscribe},
	{"bounce", suppression.HardBounce},
	{"compliance", suppression.Manual},
}

// PullSuppressions returns a page of the account's suppression list, of the size
// that SMTP2GO chooses, from its beginning on. An entry may be for a whole domain:
// its Address is the domain then.
//
// It needs a key with the permission for /suppression/view: one without it is
// [mailer.KindUnknown], since it may still be allowed to send.
func (p *Provider) PullSuppressions(ctx context.Context, cursor string) (page []suppression.Entry, next string, err error) {
	o := adapter.NewObject(200)
	o.Strings("suppression_types", len(suppressionTypes), func(i int) string { return suppressionTypes[i].theirs })
	o.String("start_date", "2000-01-01T00:00:00Z") // without it only the last 30 days
	o.Text("continue_token", cursor)
	body, _ := o.Close() // nothing in it can fail
	a, resp, err := p.call(ctx, "/suppression/view", body)
	if err != nil {
		return nil, "", mayNotAsk(err)
	}
	var results []byte
	adapter.Members(a.data, func(name, value []byte) {
		switch string(name) {
		case "results":
			results = value
		case "continue_token":
			next = adapter.Scalar(value)
		}
	})
	whole := adapter.Elements(results, func(value []byte) {
		if e := readSuppression(value); e.Address != "" {
			page = append(page, e)
		} else {
			err = errors.New("a suppression has no address")
		}
	})
	switch {
	case !whole:
		return nil, "", p.misunderstood(&a, resp, "the answer has no list of suppressions")
	case err != nil:
		return nil, "", p.misunderstood(&a, resp, err.Error())
	case len(page) == 0:
		next = ""
	}
	return page, next, nil
}

// readSuppression reads an entry.
func readSuppression(text []byte) suppression.Entry {
	e := suppression.Entry{Reason: suppression.Manual, Source: provider}
	adapter.Members(text, func(name, value []byte) {
		switch string(name) {
		case "email_address":
			e.Address = adapter.Text(value)
		case "reason":
			for _, t := range suppressionTypes {
				if strings.EqualFold(adapter.Text(value), t.theirs) {
					e.Reason = t.ours
				}
			}
		case "timestamp":
			e.Created = adapter.Time(adapter.Text(value))
		case "block_description":
			e.Detail = adapter.Text(value)
			e.Detail = strings.ToValidUTF8(e.Detail[:min(len(e.Detail), webhook.MaxText)], "")
		}
	})
	return e
}

// PushSuppressions adds entries to the account's suppression list, one call for
// each. SMTP2GO calls them manual, and has no words for a stream or an end; the
// reason becomes the entry's description. The kinds of errors are those of
// PullSuppressions; the permission is that for /suppression/add.
func (p *Provider) PushSuppressions(ctx context.Context, entries []suppression.Entry) (done int, err error) {
	for i, e := range entries {
		if err := adapter.EntryAddress(i, e.Address); err != nil {
			return i, err
		}
		o := adapter.NewObject(100)
		o.String("email_address", e.Address)
		o.Text("block_description", string(e.Reason))
		body, _ := o.Close() // nothing in it can fail
		if _, _, err := p.call(ctx, "/suppression/add", body); err != nil && !isThere(err) {
			return i, mayNotAsk(err)
		}
	}
	return len(entries), nil
}

// isThere says whether an entry was refused because it is on the list. What SMTP2GO
// says then is not documented.
func isThere(err error) bool {
	e, ok := errors.AsType[*mailer.Error](err)
	return ok && e.Status != 0 && e.Status < 500 && strings.Contains(strings.ToLower(e.Message), "already")
}
