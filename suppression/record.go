package suppression

import (
	"context"
	"errors"
	"time"

	"github.com/seed355143d4/mailer/webhook"
)

// How soft bounces are counted. Every service gives up on its own after a while;
// these bounds are for an address that does not work anywhere. They are on the
// generous side: the costly mistake is to hold an address that works.
const (
	// strikes is how many soft bounces in a row hold an address.
	strikes = 5
	// strikeApart is how far apart they have to be, so that one bad day counts once.
	strikeApart = 24 * time.Hour
	// strikeWindow is how long a soft bounce waits for the next one.
	strikeWindow = 30 * 24 * time.Hour
	// softHold is how long the address is held then.
	softHold = 30 * 24 * time.Hour
)

// Record returns a callback for webhook.Handler that keeps in the store what events
// say of their recipients:
//
//   - A hard bounce becomes a [HardBounce] for all mail. One because of the
//     content, the size, the sender or its reputation says nothing of the address,
//     and one because of a full mailbox counts as a soft one.
//   - A complaint becomes a [Complaint] for all mail.
//   - An unsubscribe becomes an [Unsubscribe] of its stream, and a subscribe
//     removes it.
//   - Soft bounces are counted, as a [Strike]: one a day at most, as long as no
//     more than 30 days pass from one to the next and nothing is delivered in
//     between. The fifth becomes a [SoftBounce] for all mail, for 30 days. A
//     delivery ends both.
//   - What a service dropped because of its own list becomes a [Manual] of its
//     stream for 7 days, as the event does not say why it is on that list.
//
// Other events, and those without a recipient that can be read, change nothing.
// Events may come twice, late and in any order: what happened last counts. An event
// without a time counts as now.
//
// stream tells the application's name for the stream of an event, as in [Extra].
// Nil: the service's own name, as in webhook.Event. Name streams as the services do,
// or translate: whoever leaves Postmark's "broadcast" has to be kept from the
// newsletter that goes through another service, where the stream is called
// otherwise. Return "" for an unsubscribe from all mail.
//
// An error of the store is returned, so that the service sends the events again.
func Record(store Store, stream func(webhook.Event) string) func(context.Context, []webhook.Event) error {
	if stream == nil {
		stream = func(e webhook.Event) string { return e.Stream }
	}
	return func(ctx context.Context, events []webhook.Event) error {
		now := time.Now()
		soft, err := softEntries(ctx, store, events)
		if err != nil {
			return err
		}
		var added, removed []Entry
		for _, event := range events {
			what := judge(event)
			if what == ignored {
				continue
			}
			e := Entry{Address: event.Recipient, Source: clean(cut(event.Provider, maxName)), Detail: event.SMTP, Created: event.Time}
			if e.Detail == "" {
				e.Detail = event.Detail
			}
			if e.Created.IsZero() || e.Created.After(now) {
				e.Created = now
			}
			switch what {
			case hard:
				e.Reason = HardBounce
			case complained:
				e.Reason = Complaint
			case left, cameBack:
				e.Reason, e.Stream = Unsubscribe, clean(cut(stream(event), maxName))
			case dropped:
				e.Reason, e.Stream, e.Expires = Manual, clean(cut(stream(event), maxName)), e.Created.Add(refusedFor)
			case struck, delivered:
				e.Reason = Strike
			}
			e, err := e.Normal()
			if err != nil {
				continue // nobody who could be mailed
			}
			key, _ := store.Key(e.Address)
			switch what {
			case cameBack:
				removed = append(removed, e)
			case delivered:
				for _, old := range soft[key] {
					if !old.Created.After(e.Created) {
						e.Reason = old.Reason
						removed = append(removed, e)
						delete(soft[key], old.Reason)
					}
				}
			case struck:
				if next, ok := strike(soft[key][Strike], e); ok {
					added = append(added, next)
					if soft[key] == nil {
						soft[key] = map[Reason]Entry{}
					}
					soft[key][next.Reason] = next
				}
			default:
				added = append(added, e)
			}
		}
		if len(added) > 0 {
			err = store.Add(ctx, added)
		}
		if len(removed) > 0 {
			err = errors.Join(err, store.Remove(ctx, removed))
		}
		return err
	}
}

// verdict is what an event says of its recipient.
type verdict int

const (
	ignored verdict = iota
	hard
	struck
	delivered
	complained
	left
	cameBack
	dropped
)

func judge(e webhook.Event) verdict {
	switch e.Type {
	case webhook.Complained:
		return complained
	case webhook.Unsubscribed:
		return left
	case webhook.Subscribed:
		return cameBack
	case webhook.Delivered:
		return delivered
	case webhook.Rejected:
		if e.Reason == webhook.ReasonSuppressed {
			return dropped
		}
	case webhook.Bounced:
		switch e.Reason {
		case webhook.ReasonSpam, webhook.ReasonBlocked, webhook.ReasonSize, webhook.ReasonThrottled:
			return ignored
		case webhook.ReasonSuppressed:
			return dropped
		case webhook.ReasonQuota, webhook.ReasonNetwork:
			return struck // whatever the service makes of it
		}
		switch e.Bounce {
		case webhook.Hard:
			return hard
		case webhook.Soft:
			return struck
		}
	}
	return ignored
}

// softEntries returns the soft bounces so far of those whom the events may change,
// by the store's key and by reason.
func softEntries(ctx context.Context, store Store, events []webhook.Event) (map[string]map[Reason]Entry, error) {
	var addresses []string
	for _, e := range events {
		if what := judge(e); what == struck || what == delivered {
			addresses = append(addresses, e.Recipient)
		}
	}
	found := map[string]map[Reason]Entry{}
	if len(addresses) == 0 {
		return found, nil
	}
	entries, err := store.Lookup(ctx, addresses)
	for _, e := range entries {
		if e.Reason != Strike && e.Reason != SoftBounce {
			continue
		}
		key, _ := store.Key(e.Address)
		if found[key] == nil {
			found[key] = map[Reason]Entry{}
		}
		found[key][e.Reason] = e
	}
	return found, err
}

// strike returns what follows from one more soft bounce after those of last, and
// whether it counts.
func strike(last, e Entry) (Entry, bool) {
	e.Count = 1
	if last.Count > 0 && e.Created.Before(last.Expires) {
		if e.Created.Before(last.Created.Add(strikeApart)) {
			return Entry{}, false
		}
		e.Count = min(last.Count+1, strikes)
	}
	e.Expires = e.Created.Add(strikeWindow)
	if e.Count == strikes {
		e.Reason, e.Expires = SoftBounce, e.Created.Add(softHold)
	}
	return e, true
}
