package elasticemail

import (
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

// The sizes of calls about suppressions. Elastic Email names the second one; the first
// one keeps an answer with long texts within what is read of it.
// Source: Elastic Email's OpenAPI description (read 2026-11).
const (
	pullPage  = 500  // entries of a page
	pushCall  = 1000 // addresses of a call
	maxDetail = 500  // bytes of Entry.Detail
)

// lists are Elastic Email's three lists, in the order in which they are read.
var lists = [...]struct {
	name   string
	reason suppression.Reason
}{
	{"bounces", suppression.HardBounce},
	{"complaints", suppression.Complaint},
	{"unsubscribes", suppression.Unsubscribe},
}

var (
	_ suppression.Puller = (*Provider)(nil)
	_ suppression.Pusher = (*Provider)(nil)
)

// PullSuppressions reads Elastic Email's lists of bounces, complaints and
// unsubscribes, one after the other, up to 500 entries at once. It needs a key with the
// access levels ViewContacts and ViewSuppressions.
//
// A cursor is a list and a number of entries, "bounces:500", and stays good. A page may
// be empty and not be the last. Elastic Email has no cursor of its own: if entries
// are removed there while pages are read, as many may be missed.
func (p *Provider) PullSuppressions(ctx context.Context, cursor string) (page []suppression.Entry, next string, err error) {
	list, offset, err := readCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	path := "/v4/suppressions/" + lists[list].name + "?limit=" + strconv.Itoa(pullPage) + "&offset=" + strconv.Itoa(offset)
	resp, err := p.api.Do(ctx, http.MethodGet, path, httpapi.Body{})
	if err != nil {
		return nil, "", adapter.Unsent(err)
	}
	whole := true
	ok := adapter.Elements(resp.Body, func(value []byte) {
		e := suppression.Entry{Reason: lists[list].reason, Source: provider}
		var code string
		adapter.Members(value, func(name, value []byte) {
			switch {
			case is(name, "Email"):
				e.Address = adapter.Text(value)
			case is(name, "FriendlyErrorMessage"):
				e.Detail = adapter.Text(value)
			case is(name, "ErrorCode"):
				if code = adapter.Scalar(value); code == "0" {
					code = ""
				}
			case is(name, "DateUpdated"):
				e.Created = adapter.Time(adapter.Text(value))
			}
		})
		e.Detail = strings.TrimSpace(code + " " + e.Detail)
		e.Detail = strings.ToValidUTF8(e.Detail[:min(len(e.Detail), maxDetail)], "")
		whole = whole && e.Address != ""
		page = append(page, e)
	})
	if resp.Status != http.StatusOK || resp.Err != nil || !ok || !whole {
		return nil, "", p.noList(resp)
	}
	switch {
	case len(page) > 0: // a page may be shorter than what was asked for
		next = lists[list].name + ":" + strconv.Itoa(offset+len(page))
	case list+1 < len(lists):
		next = lists[list+1].name + ":0"
	}
	return page, next, nil
}

// readCursor returns which list a cursor means, and from where on.
func readCursor(cursor string) (list, offset int, err error) {
	if cursor == "" {
		return 0, 0, nil
	}
	name, number, _ := strings.Cut(cursor, ":")
	for i, l := range lists {
		if n, err := strconv.ParseInt(number, 10, 32); l.name == name && err == nil && n >= 0 {
			return i, int(n), nil
		}
	}
	return 0, 0, adapter.Invalid("cursor", errors.New("is not one of Elastic Email's suppressions"))
}

// PushSuppressions adds entries to Elastic Email's lists, up to 1000 addresses in a
// call. It needs a key with the access levels ModifyContacts and ModifySuppressions.
//
// A SoftBounce becomes a bounce, and what is Manual an unsubscribe. Elastic Email has no
// streams and no expiry: every entry holds for all mail of the account, until it is
// removed there. An address that is malformed ends the run before its entry.
func (p *Provider) PushSuppressions(ctx context.Context, entries []suppression.Entry) (done int, err error) {
	for call := range slices.Chunk(entries, pushCall) {
		n, err := p.push(ctx, call, done)
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// push adds entries by one call for each list that they belong to. They begin at number
// base of all. It returns how many, counted from the first, are on their lists.
func (p *Provider) push(ctx context.Context, entries []suppression.Entry, base int) (int, error) {
	var bodies [len(lists)][]byte
	var first [len(lists)]int // entry of each list
	done, malformed := len(entries), error(nil)
	for i, e := range entries {
		address, err := adapter.Address(provider, adapter.Index("entries", base+i)+".Address", mailer.Address{Address: e.Address}, false)
		if err != nil {
			done, malformed = i, err
			break
		}
		list := listOf(e.Reason)
		if bodies[list] == nil {
			bodies[list], first[list] = []byte("["), i
		} else {
			bodies[list] = append(bodies[list], ',')
		}
		bodies[list] = jsonenc.AppendString(bodies[list], address.Address)
	}
	for list := range bodies {
		if bodies[list] == nil {
			continue
		}
		if err := p.add(ctx, lists[list].name, append(bodies[list], ']')); err != nil {
			for ; list < len(bodies); list++ { // what was not added
				if bodies[list] != nil {
					done = min(done, first[list])
				}
			}
			return done, err
		}
	}
	return done, malformed
}

// listOf tells which list keeps mail away for that reason.
func listOf(r suppression.Reason) int {
	switch r {
	case suppression.HardBounce, suppression.SoftBounce:
		return 0
	case suppression.Complaint:
		return 1
	}
	return 2
}

// add makes a call that adds addresses to a list. Elastic Email answers with them.
func (p *Provider) add(ctx context.Context, list string, body []byte) error {
	resp, err := p.api.Do(ctx, http.MethodPost, "/v4/suppressions/"+list, httpapi.Bytes(body))
	if err != nil {
		return adapter.Unsent(err)
	}
	taken := resp.Status == http.StatusCreated || resp.Status == http.StatusOK
	if !taken || resp.Err != nil || !adapter.Elements(resp.Body, func([]byte) {}) {
		return p.noList(resp)
	}
	return nil
}

// noList is the error for an answer that is not a list of suppressions. It shows
// nothing of one that nearly is.
func (p *Provider) noList(resp *httpapi.Response) error {
	if a := parse(resp); resp.Status >= 300 || a.failed {
		return adapter.Unsent(p.refusal(&a, resp))
	}
	kind := mailer.KindUnknown
	if resp.Err != nil {
		kind = mailer.KindNetwork
	}
	return adapter.Unsent(p.api.Error(resp, kind, "", "the answer is not a list of suppressions"))
}
