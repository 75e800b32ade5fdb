package sendgrid

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/internal/httpapi"
	"github.com/seed355143d4/mailer/internal/jsonenc"
	"github.com/seed355143d4/mailer/suppression"
)

// The sizes of calls about suppressions. Both are ours: SendGrid names none.
const (
	pullPage  = 500 // entries of a page
	pushCall  = 500 // addresses of a call
	maxDetail = 500 // bytes of Entry.Detail
)

// lists are SendGrid's lists for all mail, in the order in which they are read.
// Those of blocks are not among them: SendGrid goes on mailing such an address.
var lists = [...]struct {
	name   string
	reason suppression.Reason
}{
	{"bounces", suppression.HardBounce},
	{"invalid_emails", suppression.HardBounce},
	{"spam_reports", suppression.Complaint},
	{"unsubscribes", suppression.Unsubscribe},
}

var (
	_ suppression.Puller = (*Provider)(nil)
	_ suppression.Pusher = (*Provider)(nil)
)

// PullSuppressions reads SendGrid's lists of bounces, invalid addresses, spam
// reports and global unsubscribes, up to 500 entries at once, and then the
// unsubscribe groups, each as one page, with the group's id as Stream. It needs a
// key with the scopes suppression.read and asm.groups.read (their names
// UNVERIFIED).
//
// A cursor is a list and a number of entries, "bounces:500", or a group,
// "group:1187", and stays good. A page may be empty and not be the last. SendGrid has
// no cursor of its own: if entries are removed there while pages are read, as many
// may be missed. A group of more than 1 MiB, some 40,000 addresses, cannot be read:
// [mailer.KindTooLarge].
//
// Source: https://www.twilio.com/docs/sendgrid/api-reference/bounces-api and its
// neighbours (read 2026-11).
func (p *Provider) PullSuppressions(ctx context.Context, cursor string) (page []suppression.Entry, next string, err error) {
	name, number, _ := strings.Cut(cmp.Or(cursor, lists[0].name+":0"), ":")
	n, err := strconv.ParseInt(number, 10, 63)
	if err != nil || n < 0 {
		name = ""
	}
	if name == "group" {
		return p.pullGroup(ctx, n)
	}
	for i, l := range lists {
		if l.name == name {
			return p.pullList(ctx, i, n)
		}
	}
	return nil, "", adapter.Invalid("cursor", errors.New("is not one of SendGrid's suppressions"))
}

// pullList reads a page of a list for all mail.
func (p *Provider) pullList(ctx context.Context, list int, offset int64) (page []suppression.Entry, next string, err error) {
	l := lists[list]
	resp, err := p.api.Do(ctx, http.MethodGet, "/v3/suppression/"+l.name+"?limit="+strconv.Itoa(pullPage)+"&offset="+strconv.FormatInt(offset, 10), httpapi.Body{})
	if err != nil {
		return nil, "", adapter.Unsent(err)
	}
	whole := true
	ok := adapter.Elements(resp.Body, func(item []byte) {
		e := suppression.Entry{Reason: l.reason, Source: provider}
		adapter.Members(item, func(key, value []byte) {
			switch string(key) {
			case "email":
				e.Address = adapter.Text(value)
			case "created":
				e.Created = unix(value)
			case "reason":
				e.Detail = adapter.Text(value)
			}
		})
		e.Detail = strings.ToValidUTF8(e.Detail[:min(len(e.Detail), maxDetail)], "")
		whole = whole && e.Address != ""
		page = append(page, e)
	})
	if resp.Status != http.StatusOK || resp.Err != nil || !ok || !whole {
		return nil, "", p.noList(resp)
	}
	switch {
	case len(page) > 0: // a page may be shorter than what was asked for
		return page, l.name + ":" + strconv.FormatInt(offset+int64(len(page)), 10), nil
	case list+1 < len(lists):
		return page, lists[list+1].name + ":0", nil
	}
	groups, err := p.groups(ctx)
	if err != nil || len(groups) == 0 {
		return nil, "", err
	}
	return page, "group:" + strconv.FormatInt(groups[0], 10), nil
}

// pullGroup reads an unsubscribe group.
func (p *Provider) pullGroup(ctx context.Context, id int64) (page []suppression.Entry, next string, err error) {
	groups, err := p.groups(ctx)
	if err != nil {
		return nil, "", err
	}
	// A group that is gone meanwhile is followed by what comes behind it.
	i, found := slices.BinarySearch(groups, id)
	if found {
		stream := strconv.FormatInt(id, 10)
		resp, err := p.api.Do(ctx, http.MethodGet, "/v3/asm/groups/"+stream+"/suppressions", httpapi.Body{})
		if err != nil {
			return nil, "", adapter.Unsent(err)
		}
		if resp.Status == http.StatusOK && resp.Err != nil && len(resp.Body) == httpapi.MaxBody {
			return nil, "", adapter.Unsent(p.api.Error(resp, mailer.KindTooLarge, "", "the group is larger than can be read"))
		}
		whole := true
		ok := adapter.Elements(resp.Body, func(item []byte) {
			address := adapter.Text(item)
			whole = whole && address != ""
			page = append(page, suppression.Entry{Address: address, Reason: suppression.Unsubscribe, Stream: stream, Source: provider})
		})
		if resp.Status != http.StatusOK || resp.Err != nil || !ok || !whole {
			return nil, "", p.noList(resp)
		}
		i++
	}
	if i < len(groups) {
		next = "group:" + strconv.FormatInt(groups[i], 10)
	}
	return page, next, nil
}

// groups returns the ids of the unsubscribe groups, in order.
func (p *Provider) groups(ctx context.Context) (ids []int64, err error) {
	resp, err := p.api.Do(ctx, http.MethodGet, "/v3/asm/groups", httpapi.Body{})
	if err != nil {
		return nil, adapter.Unsent(err)
	}
	whole := true
	ok := adapter.Elements(resp.Body, func(item []byte) {
		id := int64(0)
		adapter.Members(item, func(key, value []byte) {
			if string(key) == "id" {
				id, _ = strconv.ParseInt(string(value), 10, 64)
			}
		})
		whole = whole && id > 0
		ids = append(ids, id)
	})
	if resp.Status != http.StatusOK || resp.Err != nil || !ok || !whole {
		return nil, p.noList(resp)
	}
	slices.Sort(ids)
	return ids, nil
}

// PushSuppressions adds entries to the unsubscribe group whose id is their Stream,
// and all others, whatever their reason, to the global unsubscribes: no other list
// of SendGrid's can be added to. A stream that is no number holds for all mail
// there. Up to 500 addresses go in a call. SendGrid keeps neither reason nor expiry.
// It needs a key with the scopes asm.groups.suppressions.create and
// asm.suppressions.global.create (their names UNVERIFIED).
//
// Source: https://www.twilio.com/docs/sendgrid/api-reference/suppressions-global-suppressions
// (read 2026-11).
func (p *Provider) PushSuppressions(ctx context.Context, entries []suppression.Entry) (done int, err error) {
	for call := range slices.Chunk(entries, pushCall) {
		n, err := p.push(ctx, call)
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// push adds entries by one call for each list. It returns how many, counted from
// the first, are on their lists.
func (p *Provider) push(ctx context.Context, entries []suppression.Entry) (int, error) {
	type target struct {
		path  string
		body  []byte
		first int // entry
	}
	var targets []*target
	for i, e := range entries {
		path := "/v3/asm/suppressions/global"
		if id, err := strconv.ParseInt(e.Stream, 10, 64); err == nil && id > 0 {
			path = "/v3/asm/groups/" + strconv.FormatInt(id, 10) + "/suppressions"
		}
		at := slices.IndexFunc(targets, func(t *target) bool { return t.path == path })
		if at < 0 {
			at, targets = len(targets), append(targets, &target{path, []byte(`{"recipient_emails":[`), i})
		} else {
			targets[at].body = append(targets[at].body, ',')
		}
		targets[at].body = jsonenc.AppendString(targets[at].body, e.Address)
	}
	for _, t := range targets { // in the order of their first entries
		resp, err := p.api.Do(ctx, http.MethodPost, t.path, httpapi.Bytes(append(t.body, "]}"...)))
		if err != nil {
			return t.first, adapter.Unsent(err)
		}
		if resp.Status != http.StatusCreated && resp.Status != http.StatusOK {
			return t.first, p.noList(resp)
		}
	}
	return len(entries), nil
}

// noList is the error for an answer that is not what was asked for.
func (p *Provider) noList(resp *httpapi.Response) error {
	switch {
	case resp.Status >= 300:
		e, _ := p.refusal(resp)
		return adapter.Unsent(e)
	case resp.Err != nil:
		return adapter.Unsent(p.api.Error(resp, mailer.KindNetwork, "", "the answer broke off"))
	}
	return adapter.Unsent(p.api.Error(resp, mailer.KindUnknown, "", "the answer is not a list of suppressions"))
}
