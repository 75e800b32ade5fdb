package postmark

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/internal/httpapi"
	"github.com/seed355143d4/mailer/internal/jsonenc"
	"github.com/seed355143d4/mailer/suppression"
)

// pushCall is how many addresses a call adds at most.
// Source: https://postmarkapp.com/developer/api/suppressions-api (read 2026-11).
const pushCall = 50

var (
	_ suppression.Puller = (*Provider)(nil)
	_ suppression.Pusher = (*Provider)(nil)
)

// PullSuppressions reads the suppressions of the server's message streams, one
// stream after the other, those for inbound mail excepted. What was bounced or
// complained of holds for all mail, whichever stream it was in; an unsubscribe and
// what was entered by hand hold for their stream.
//
// A page is a whole stream. Postmark has no pages; a stream whose list is longer
// than 1 MiB, some 8,000 addresses, is read by spans of time, and an address may be
// in two pages then. A list that is as long for a single day is
// [mailer.KindTooLarge]. A cursor is the name of a stream, or
// "stream:2026-01-02:16" for the 16 days from that one on, and stays good.
//
// Source: https://postmarkapp.com/developer/api/suppressions-api and
// https://postmarkapp.com/developer/api/message-streams-api (read 2026-11).
func (p *Provider) PullSuppressions(ctx context.Context, cursor string) (page []suppression.Entry, next string, err error) {
	stream, from, days, err := readCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	streams, err := p.streams(ctx)
	if err != nil {
		return nil, "", err
	}
	if stream == "" && len(streams) > 0 {
		stream = streams[0]
	}
	if stream == "" {
		return nil, "", nil
	}
	now := time.Now()
	for {
		path := "/message-streams/" + url.PathEscape(stream) + "/suppressions/dump"
		last := days == 0 || from.AddDate(0, 0, days).After(now.AddDate(0, 0, 1))
		switch {
		case days == 0:
		case last:
			path += "?fromdate=" + from.Format(time.DateOnly)
		default:
			path += "?fromdate=" + from.Format(time.DateOnly) + "&todate=" + from.AddDate(0, 0, days).Format(time.DateOnly)
		}
		resp, err := p.api.Do(ctx, http.MethodGet, path, httpapi.Body{})
		if err != nil {
			return nil, "", adapter.Unsent(err)
		}
		if resp.Status == http.StatusOK && resp.Err != nil && len(resp.Body) == httpapi.MaxBody { // too long
			switch {
			case days == 1:
				return nil, "", adapter.Unsent(p.api.Error(resp, mailer.KindTooLarge, "", "the suppressions of a day are more than can be read"))
			case days == 0:
				from, days = firstDay, int(now.Sub(firstDay).Hours()/24)/2+1
			case last: // half of what is left
				days = max(int(now.Sub(from).Hours()/24)/2, 1)
			default:
				days /= 2
			}
			continue
		}
		if page, err = p.entries(stream, resp); err != nil {
			return nil, "", err
		}
		if !last {
			return page, stream + ":" + from.AddDate(0, 0, days).Format(time.DateOnly) + ":" + strconv.Itoa(2*days), nil
		}
		// A stream that is gone meanwhile is followed by what comes behind it.
		i, found := slices.BinarySearch(streams, stream)
		if found {
			i++
		}
		if i < len(streams) {
			next = streams[i]
		}
		return page, next, nil
	}
}

// firstDay is before the first suppression that Postmark can have.
var firstDay = time.Date(2010, 1, 1, 0, 0, 0, 0, time.UTC)

// readCursor returns what a cursor means. days is 0 for the whole stream.
func readCursor(cursor string) (stream string, from time.Time, days int, err error) {
	stream, span, found := strings.Cut(cursor, ":")
	if !found {
		return stream, time.Time{}, 0, nil
	}
	date, number, _ := strings.Cut(span, ":")
	from, err = time.Parse(time.DateOnly, date)
	days, err2 := strconv.Atoi(number)
	if err != nil || err2 != nil || stream == "" || days < 1 || days > 100_000 || from.Before(firstDay) {
		return "", time.Time{}, 0, adapter.Invalid("cursor", errors.New("is not one of Postmark's suppressions"))
	}
	return stream, from, days, nil
}

// streams returns the names of the streams that send, in order.
func (p *Provider) streams(ctx context.Context) (names []string, err error) {
	resp, err := p.api.Do(ctx, http.MethodGet, "/message-streams", httpapi.Body{})
	if err != nil {
		return nil, adapter.Unsent(err)
	}
	ok := p.list(resp, "MessageStreams", func(item []byte) bool {
		name, kind := "", ""
		adapter.Members(item, func(key, value []byte) {
			switch string(key) {
			case "ID":
				name = adapter.Text(value)
			case "MessageStreamType":
				kind = adapter.Text(value)
			}
		})
		if name != "" && kind != "Inbound" {
			names = append(names, name)
		}
		return name != ""
	})
	if !ok {
		return nil, p.noList(resp)
	}
	slices.Sort(names)
	return names, nil
}

// entries reads the suppressions of a stream.
func (p *Provider) entries(stream string, resp *httpapi.Response) (page []suppression.Entry, err error) {
	ok := p.list(resp, "Suppressions", func(item []byte) bool {
		e := suppression.Entry{Source: provider}
		reason, origin := "", ""
		adapter.Members(item, func(key, value []byte) {
			switch string(key) {
			case "EmailAddress":
				e.Address = adapter.Text(value)
			case "SuppressionReason":
				reason = adapter.Text(value)
			case "Origin":
				origin = adapter.Text(value)
			case "CreatedAt":
				e.Created = adapter.Time(adapter.Text(value))
			}
		})
		switch {
		case reason == "HardBounce":
			e.Reason = suppression.HardBounce
		case reason == "SpamComplaint":
			e.Reason = suppression.Complaint
		case origin == "Recipient":
			e.Reason, e.Stream = suppression.Unsubscribe, stream
		default:
			e.Reason, e.Stream = suppression.Manual, stream
		}
		page = append(page, e)
		return e.Address != ""
	})
	if !ok {
		return nil, p.noList(resp)
	}
	return page, nil
}

// list calls f with the items of the list of that name. It reports whether the
// answer has such a list, and f found every item right.
func (p *Provider) list(resp *httpapi.Response, name string, f func(item []byte) bool) bool {
	if resp.Status != http.StatusOK || resp.Err != nil {
		return false
	}
	ok := false
	return adapter.Members(resp.Body, func(key, value []byte) {
		if string(key) != name {
			return
		}
		right := true
		ok = adapter.Elements(value, func(item []byte) { right = f(item) && right }) && right
	}) && ok
}

// noList is the error for an answer that is not what was asked for.
func (p *Provider) noList(resp *httpapi.Response) error {
	a, _ := parse(resp.Body)
	if resp.Status >= 300 || a.ErrorCode != 0 {
		kind, _ := classify(resp.Status, &a)
		code := ""
		if a.ErrorCode != 0 {
			code = strconv.Itoa(a.ErrorCode)
		}
		return adapter.Unsent(p.api.Error(resp, kind, code, cmp.Or(a.Message, string(resp.Body))))
	}
	kind := mailer.KindUnknown
	if resp.Err != nil {
		kind = mailer.KindNetwork
	}
	return adapter.Unsent(p.api.Error(resp, kind, "", "the answer is not a list of suppressions"))
}

// PushSuppressions adds entries to the suppressions of the server's message
// streams, 50 addresses in a call. An entry goes to the stream that it names. One
// without a stream, or with one that the server does not have, goes to all that
// send. Postmark keeps no reason of ours and no expiry: every entry becomes
// "ManualSuppression", and stays until it is removed there. It takes up to a minute
// until Postmark acts on it. An address that Postmark refuses ends the run before
// its entry, with [mailer.KindRejected].
func (p *Provider) PushSuppressions(ctx context.Context, entries []suppression.Entry) (done int, err error) {
	if len(entries) == 0 {
		return 0, nil
	}
	streams, err := p.streams(ctx)
	if err != nil {
		return 0, err
	}
	if len(streams) == 0 {
		return 0, &mailer.Error{Provider: provider, Kind: mailer.KindRejected, NotSent: true, Message: "the server has no stream that sends"}
	}
	for call := range slices.Chunk(entries, pushCall) {
		// What a stream does not take is the end, but what stands before it still
		// has to get onto the lists of the other streams.
		for _, stream := range streams {
			at, e := p.push(ctx, stream, call, streams)
			if e != nil {
				call, err = call[:at], e
			}
		}
		done += len(call)
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// push adds those of the entries that belong to a stream. It returns how many,
// counted from the first, do not belong or are on the list.
func (p *Provider) push(ctx context.Context, stream string, entries []suppression.Entry, streams []string) (int, error) {
	body := []byte(`{"Suppressions":[`)
	missing := map[string]int{} // address to the first entry that has it
	first := len(entries)
	for i, e := range entries {
		if e.Stream != stream && slices.Contains(streams, e.Stream) {
			continue
		}
		address := strings.ToLower(e.Address)
		if _, twice := missing[address]; twice {
			continue
		}
		missing[address] = i
		first = min(first, i)
		if len(missing) > 1 {
			body = append(body, ',')
		}
		body = append(body, `{"EmailAddress":`...)
		body = append(jsonenc.AppendString(body, e.Address), '}')
	}
	if len(missing) == 0 {
		return len(entries), nil
	}
	path := "/message-streams/" + url.PathEscape(stream) + "/suppressions"
	resp, err := p.api.Do(ctx, http.MethodPost, path, httpapi.Bytes(append(body, "]}"...)))
	if err != nil {
		return first, adapter.Unsent(err)
	}
	why := ""
	ok := p.list(resp, "Suppressions", func(item []byte) bool {
		address, status, message := "", "", ""
		adapter.Members(item, func(key, value []byte) {
			switch string(key) {
			case "EmailAddress":
				address = adapter.Text(value)
			case "Status":
				status = adapter.Text(value)
			case "Message":
				message = adapter.Text(value)
			}
		})
		if status == "Suppressed" {
			delete(missing, strings.ToLower(address))
		} else {
			why = cmp.Or(message, why)
		}
		return true
	})
	if !ok {
		return first, p.noList(resp)
	}
	done := len(entries)
	for _, i := range missing {
		done = min(done, i)
	}
	if done < len(entries) {
		return done, adapter.Unsent(p.api.Error(resp, mailer.KindRejected, "", cmp.Or(why, "an address was not added")))
	}
	return done, nil
}
