package webhook_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed355143d4/mailer/webhook"
)

func TestNext(t *testing.T) {
	delivered := webhook.Event{Type: webhook.Delivered}
	hard := webhook.Event{Type: webhook.Bounced, Bounce: webhook.Hard}
	for _, c := range []struct {
		name   string
		events []webhook.Event
		want   webhook.State
	}{
		{"nothing", nil, ""},
		{"something unknown", []webhook.Event{{Type: webhook.Other}, {Type: webhook.Inbound}, {Type: "new"}}, ""},
		{"accepted, then delivered", []webhook.Event{{Type: webhook.Accepted}, delivered}, webhook.StateDelivered},
		{"deferred, then delivered", []webhook.Event{{Type: webhook.Deferred}, delivered}, webhook.StateDelivered},
		{"delivered, and the deferral comes late", []webhook.Event{delivered, {Type: webhook.Deferred}}, webhook.StateDelivered},
		{"a soft bounce", []webhook.Event{{Type: webhook.Bounced, Bounce: webhook.Soft}}, webhook.StateFailed},
		{"rejected by the service", []webhook.Event{{Type: webhook.Accepted}, {Type: webhook.Rejected}}, webhook.StateFailed},
		{"not delivered at first, but read", []webhook.Event{{Type: webhook.Deferred}, {Type: webhook.Opened}}, webhook.StateDelivered},
		{"a hard bounce after the delivery", []webhook.Event{delivered, hard}, webhook.StateBounced},
		{"a hard bounce, and the delivery comes late", []webhook.Event{hard, delivered}, webhook.StateBounced},
		{"unsubscribed, then clicked", []webhook.Event{{Type: webhook.Unsubscribed}, {Type: webhook.Clicked}}, webhook.StateUnsubscribed},
		{"a complaint outweighs all", []webhook.Event{{Type: webhook.Complained}, hard, {Type: webhook.Unsubscribed}, delivered}, webhook.StateComplained},
		{"a return does not undo a complaint", []webhook.Event{{Type: webhook.Complained}, {Type: webhook.Subscribed}}, webhook.StateComplained},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s webhook.State
			for _, e := range c.events {
				s = webhook.Next(s, e)
			}
			require.Equal(t, c.want, s)
		})
	}
	require.Equal(t, webhook.StateAccepted, webhook.Next("from another version", webhook.Event{Type: webhook.Accepted}))
}

// In whatever order events come, and however often, the end is the same.
func TestNextDoesNotDependOnOrderOrRepetition(t *testing.T) {
	event := rapid.Custom(func(t *rapid.T) webhook.Event {
		return webhook.Event{
			Type: rapid.SampledFrom([]webhook.Type{
				webhook.Accepted, webhook.Delivered, webhook.Deferred, webhook.Bounced, webhook.Complained, webhook.Opened,
				webhook.Clicked, webhook.Unsubscribed, webhook.Subscribed, webhook.Rejected, webhook.Failed,
				webhook.Autoresponded, webhook.Inbound, webhook.Other,
			}).Draw(t, "type"),
			Bounce: rapid.SampledFrom([]webhook.Bounce{"", webhook.Hard, webhook.Soft, webhook.Undetermined}).Draw(t, "bounce"),
		}
	})
	all := func(es []webhook.Event) (s webhook.State) {
		for _, e := range es {
			before := s
			s = webhook.Next(s, e)
			if again := webhook.Next(s, e); again != s {
				panic("not idempotent")
			}
			if webhook.Next(before, e) != s {
				panic("not a function")
			}
		}
		return s
	}
	rapid.Check(t, func(t *rapid.T) {
		es := rapid.SliceOf(event).Draw(t, "events")
		other := rapid.Permutation(append(es, es[:len(es)/2]...)).Draw(t, "in another order, half of them twice")
		if all(es) != all(other) {
			t.Fatalf("%q and %q", all(es), all(other))
		}
	})
}
