package suppression_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer/suppression"
	"github.com/seed355143d4/mailer/webhook"
)

// at is a time after the beginning of an event's story.
func at(d time.Duration) time.Time { return start.Add(d) }

// start is the beginning of virtual time.
var start = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

func event(typ webhook.Type, when time.Duration) webhook.Event {
	return webhook.Event{Provider: "postmark", Type: typ, Recipient: "ada@EXAMPLE.com", Time: at(when)}
}

func bounce(b webhook.Bounce, r webhook.Reason, when time.Duration) webhook.Event {
	e := event(webhook.Bounced, when)
	e.Bounce, e.Reason = b, r
	return e
}

func inStream(e webhook.Event, stream string) webhook.Event {
	e.Stream = stream
	return e
}

func TestWhatEventsSayOfTheirRecipients(t *testing.T) {
	until := func(e suppression.Entry, when time.Duration) suppression.Entry {
		e.Expires = at(when)
		return e
	}
	ada := func(r suppression.Reason) suppression.Entry { return entry("ada@example.com", r) }
	hard, complaint := ada(suppression.HardBounce), ada(suppression.Complaint)
	left := of(ada(suppression.Unsubscribe), "broadcast")
	strike := func(count int) suppression.Entry {
		e := ada(suppression.Strike)
		e.Count = count
		return e
	}
	dropped := inStream(event(webhook.Rejected, 0), "broadcast")
	dropped.Reason = webhook.ReasonSuppressed
	for _, c := range []struct {
		name   string
		events []webhook.Event
		want   []suppression.Entry
	}{
		{"a hard bounce", []webhook.Event{inStream(bounce(webhook.Hard, webhook.ReasonMailbox, 0), "broadcast")}, []suppression.Entry{hard}},
		{"a hard bounce without a reason", []webhook.Event{bounce(webhook.Hard, "", 0)}, []suppression.Entry{hard}},
		{"a hard bounce for another reason", []webhook.Event{bounce(webhook.Hard, webhook.ReasonOther, 0)}, []suppression.Entry{hard}},
		{"a hard bounce because of the content", []webhook.Event{bounce(webhook.Hard, webhook.ReasonSpam, 0)}, nil},
		{"a hard bounce because of the sender", []webhook.Event{bounce(webhook.Hard, webhook.ReasonBlocked, 0)}, nil},
		{"a hard bounce because of the size", []webhook.Event{bounce(webhook.Hard, webhook.ReasonSize, 0)}, nil},
		{"a hard bounce because of the rate", []webhook.Event{bounce(webhook.Hard, webhook.ReasonThrottled, 0)}, nil},
		{"a hard bounce because of a full mailbox", []webhook.Event{bounce(webhook.Hard, webhook.ReasonQuota, 0)}, []suppression.Entry{until(strike(1), 30*day)}},
		{"a hard bounce because of the network", []webhook.Event{bounce(webhook.Hard, webhook.ReasonNetwork, 0)}, []suppression.Entry{until(strike(1), 30*day)}},
		{"a hard bounce because of the service's list", []webhook.Event{inStream(bounce(webhook.Hard, webhook.ReasonSuppressed, 0), "broadcast")}, []suppression.Entry{until(of(ada(suppression.Manual), "broadcast"), 7*day)}},
		{"a bounce of which nothing is known", []webhook.Event{bounce(webhook.Undetermined, "", 0)}, nil},
		{"a soft bounce", []webhook.Event{bounce(webhook.Soft, webhook.ReasonMailbox, 0)}, []suppression.Entry{until(strike(1), 30*day)}},
		{"a soft bounce because of the rate", []webhook.Event{bounce(webhook.Soft, webhook.ReasonThrottled, 0)}, nil},
		{"a complaint", []webhook.Event{inStream(event(webhook.Complained, 0), "broadcast")}, []suppression.Entry{complaint}},
		{"an unsubscribe", []webhook.Event{inStream(event(webhook.Unsubscribed, 0), "broadcast")}, []suppression.Entry{left}},
		{"an unsubscribe from all", []webhook.Event{event(webhook.Unsubscribed, 0)}, []suppression.Entry{ada(suppression.Unsubscribe)}},
		{"a message dropped because of the service's list", []webhook.Event{dropped}, []suppression.Entry{until(of(ada(suppression.Manual), "broadcast"), 7*day)}},
		{"a message dropped otherwise", []webhook.Event{event(webhook.Rejected, 0)}, nil},
		{"nothing of others", []webhook.Event{
			event(webhook.Accepted, 0), event(webhook.Delivered, 0), event(webhook.Deferred, 0), event(webhook.Opened, 0), event(webhook.Clicked, 0),
			event(webhook.Failed, 0), event(webhook.Autoresponded, 0), event(webhook.Inbound, 0), event(webhook.Other, 0), event("new", 0), event(webhook.Subscribed, 0),
		}, nil},
		{"somebody who comes back", []webhook.Event{inStream(event(webhook.Unsubscribed, 0), "broadcast"), inStream(event(webhook.Subscribed, time.Second), "broadcast")}, nil},
		{"somebody who comes back to another stream", []webhook.Event{inStream(event(webhook.Unsubscribed, 0), "broadcast"), inStream(event(webhook.Subscribed, time.Second), "offers")}, []suppression.Entry{left}},
		{"somebody who left and came back, told in the wrong order", []webhook.Event{inStream(event(webhook.Subscribed, time.Second), "broadcast"), inStream(event(webhook.Unsubscribed, 0), "broadcast")}, nil},
		{"somebody who came back and left again, told in the wrong order", []webhook.Event{inStream(event(webhook.Unsubscribed, 2*time.Second), "broadcast"), inStream(event(webhook.Subscribed, time.Second), "broadcast")}, []suppression.Entry{left}},
		{"a complaint stays when somebody comes back", []webhook.Event{event(webhook.Complained, 0), event(webhook.Subscribed, time.Second)}, []suppression.Entry{complaint}},
		{"a hard bounce stays after a delivery", []webhook.Event{bounce(webhook.Hard, "", 0), event(webhook.Delivered, time.Second)}, []suppression.Entry{hard}},
		{"soft bounces within a day", []webhook.Event{bounce(webhook.Soft, "", 0), bounce(webhook.Soft, "", day-time.Microsecond)}, []suppression.Entry{until(strike(1), 30*day)}},
		{"soft bounces a day apart", []webhook.Event{bounce(webhook.Soft, "", 0), bounce(webhook.Soft, "", day), bounce(webhook.Soft, "", 2*day)}, []suppression.Entry{until(strike(3), 32*day)}},
		{"soft bounces too far apart", []webhook.Event{bounce(webhook.Soft, "", 0), bounce(webhook.Soft, "", 30*day)}, []suppression.Entry{until(strike(1), 60*day)}},
		{"soft bounces with a delivery after them", []webhook.Event{bounce(webhook.Soft, "", 0), bounce(webhook.Soft, "", day), event(webhook.Delivered, 2*day)}, nil},
		{"soft bounces with a delivery between them", []webhook.Event{bounce(webhook.Soft, "", 0), event(webhook.Delivered, day/2), bounce(webhook.Soft, "", day)}, []suppression.Entry{until(strike(1), 31*day)}},
		{"soft bounces with a delivery before them, told late", []webhook.Event{bounce(webhook.Soft, "", day), bounce(webhook.Soft, "", 2*day), event(webhook.Delivered, 0), bounce(webhook.Soft, "", 3*day)}, []suppression.Entry{until(strike(3), 33*day)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, batch := range []bool{true, false} {
				synctest.Test(t, func(t *testing.T) {
					m := memory(t)
					record := suppression.Record(m, nil)
					for _, e := range c.events {
						time.Sleep(time.Until(e.Time)) // no event comes before its time
					}
					tell := func() {
						if batch {
							require.NoError(t, record(t.Context(), c.events))
							return
						}
						for _, e := range c.events {
							require.NoError(t, record(t.Context(), []webhook.Event{e}))
						}
					}
					tell()
					check := func() {
						var got []suppression.Entry
						for _, e := range contents(t, m) {
							require.Equal(t, "postmark", e.Source)
							e.Source, e.Created = "", time.Time{}
							got = append(got, e)
						}
						require.Equal(t, c.want, got)
					}
					check()
					if !slices.ContainsFunc(c.events, func(e webhook.Event) bool { return e.Type == webhook.Delivered || e.Bounce == webhook.Soft }) {
						tell() // once more
						check()
					}
				})
			}
		})
	}
}

func TestSoftBouncesInARowHoldAnAddressForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := memory(t)
		record := suppression.Record(m, nil)
		soft := func() {
			e := bounce(webhook.Soft, webhook.ReasonQuota, 0)
			e.Time = time.Now()
			for range 3 { // which comes again and again
				require.NoError(t, record(t.Context(), []webhook.Event{e}))
			}
		}
		held := func() bool {
			found, err := m.Lookup(t.Context(), []string{"ada@example.com"})
			require.NoError(t, err)
			return slices.ContainsFunc(found, func(e suppression.Entry) bool { return e.Holds("", time.Now()) })
		}
		for range 5 {
			require.False(t, held())
			time.Sleep(3 * day)
			soft()
		}
		require.True(t, held())
		found := contents(t, m)
		require.Equal(t, suppression.SoftBounce, found[1].Reason)
		require.Equal(t, 5, found[1].Count)
		time.Sleep(30*day - time.Microsecond)
		require.True(t, held())
		time.Sleep(time.Microsecond)
		require.False(t, held())
		soft()
		require.False(t, held(), "the count begins again")
		for range 4 {
			time.Sleep(day)
			soft()
		}
		require.True(t, held())
		delivered := event(webhook.Delivered, 0)
		delivered.Time = time.Now().Add(time.Second)
		time.Sleep(time.Minute)
		require.NoError(t, record(t.Context(), []webhook.Event{delivered}))
		require.False(t, held())
		require.Empty(t, contents(t, m))
	})
}

// Soft bounces of one address are counted together whatever its spelling, and those
// of two addresses are not, as the store has it.
func TestEventsAreOfOneAddressIfTheStoreSaysSo(t *testing.T) {
	for _, fold := range []bool{false, true} {
		for _, batch := range []bool{false, true} {
			t.Run(fmt.Sprintf("folding %t, in a batch %t", fold, batch), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m := &suppression.Memory{FoldLocal: fold}
					tell := func(events ...webhook.Event) {
						for _, e := range events {
							time.Sleep(time.Until(e.Time))
						}
						record := suppression.Record(m, nil)
						if batch {
							require.NoError(t, record(t.Context(), events))
							return
						}
						for _, e := range events {
							require.NoError(t, record(t.Context(), []webhook.Event{e}))
						}
					}
					of := func(address string, e webhook.Event) webhook.Event {
						e.Recipient = address
						return e
					}
					counts := func() (counts []string) {
						for _, e := range contents(t, m) {
							counts = append(counts, fmt.Sprint(e.Address, " ", e.Reason, " ", e.Count))
						}
						return counts
					}
					tell(of("Ada@example.com", bounce(webhook.Soft, "", 0)), of("ada@example.com", bounce(webhook.Soft, "", day)), of("Ada@example.com", bounce(webhook.Soft, "", 2*day)))
					if !fold {
						require.Equal(t, []string{"Ada@example.com strike 2", "ada@example.com strike 1"}, counts())
						tell(of("ada@example.com", event(webhook.Delivered, 3*day)))
						require.Equal(t, []string{"Ada@example.com strike 2"}, counts())
						return
					}
					require.Equal(t, []string{"Ada@example.com strike 3"}, counts())
					tell(of("ADA@example.com", bounce(webhook.Soft, "", 3*day)), of("ada@example.com", bounce(webhook.Soft, "", 4*day)))
					require.Equal(t, []string{"ADA@example.com strike 4", "ada@example.com soft_bounce 5"}, counts())
					tell(of("aDa@example.com", event(webhook.Delivered, 5*day)))
					require.Empty(t, counts())
				})
			})
		}
	}
}

func TestAnEntryTellsWhatTheEventDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := memory(t)
		e := bounce(webhook.Hard, webhook.ReasonMailbox, 0)
		e.SMTP, e.Detail = "550 5.1.1 no such user", "unknown"
		complaint := event(webhook.Complained, 0)
		complaint.Detail, complaint.Time = "abuse\r\n", time.Time{}
		future := event(webhook.Unsubscribed, 0)
		future.Time = time.Now().Add(365 * day)
		nobody := bounce(webhook.Hard, "", 0)
		nobody.Recipient = "who"
		require.NoError(t, suppression.Record(m, nil)(t.Context(), []webhook.Event{nobody, e, complaint, future}))
		found := contents(t, m)
		require.Equal(t, []suppression.Entry{
			{Address: "ada@example.com", Reason: suppression.HardBounce, Source: "postmark", Detail: "550 5.1.1 no such user", Created: at(0)},
			{Address: "ada@example.com", Reason: suppression.Complaint, Source: "postmark", Detail: "abuse  ", Created: time.Now().UTC()},
			{Address: "ada@example.com", Reason: suppression.Unsubscribe, Source: "postmark", Created: time.Now().UTC()},
		}, found)
	})
}

func TestAStreamIsTranslated(t *testing.T) {
	m := memory(t)
	record := suppression.Record(m, func(e webhook.Event) string {
		return map[string]string{"postmark/broadcast": "newsletter", "postmark/outbound": ""}[e.Provider+"/"+e.Stream]
	})
	require.NoError(t, record(t.Context(), []webhook.Event{inStream(event(webhook.Unsubscribed, 0), "broadcast"), inStream(event(webhook.Unsubscribed, 0), "outbound")}))
	found := contents(t, m)
	require.Equal(t, []string{"newsletter", ""}, []string{found[0].Stream, found[1].Stream})
}

// failing is a store that takes nothing.
type failing struct {
	*suppression.Memory
	lookup, add, remove error
}

func (f failing) Lookup(ctx context.Context, addresses []string) ([]suppression.Entry, error) {
	found, _ := f.Memory.Lookup(ctx, addresses)
	return found, f.lookup
}

func (f failing) Add(context.Context, []suppression.Entry) error { return f.add }

func (f failing) Remove(context.Context, []suppression.Entry) error { return f.remove }

func TestTheServiceIsAskedToSendEventsAgainThatCannotBeKept(t *testing.T) {
	broken := errors.New("gone")
	for name, f := range map[string]failing{"looked up": {lookup: broken}, "added": {add: broken}, "removed": {remove: broken}} {
		t.Run(name, func(t *testing.T) {
			f.Memory = memory(t)
			events := []webhook.Event{bounce(webhook.Soft, "", 0), event(webhook.Subscribed, 0)}
			require.ErrorIs(t, suppression.Record(f, nil)(t.Context(), events), broken)
		})
	}
	require.NoError(t, suppression.Record(failing{Memory: memory(t), lookup: broken}, nil)(t.Context(), []webhook.Event{event(webhook.Opened, 0)}), "it is not asked without need")
}
