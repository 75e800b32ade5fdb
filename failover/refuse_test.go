package failover_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/failover"
)

// numbered is a message unlike those of other numbers.
func numbered(i int) mailer.Message {
	m := message()
	m.ID = fmt.Sprint("m", i)
	m.Text = fmt.Sprint("Your code is ", i)
	return m
}

func sendEach(t testing.TB, c *failover.Chain, ms ...mailer.Message) (way string) {
	t.Helper()
	for _, m := range ms {
		r, err := c.Send(t.Context(), m)
		require.NoError(t, err)
		way += "," + r.Provider
	}
	return strings.TrimPrefix(way, ",")
}

func TestSystemicRefusals(t *testing.T) {
	row := func(from, to int) (ms []mailer.Message) {
		for i := from; i < to; i++ {
			ms = append(ms, numbered(i))
		}
		return ms
	}
	for _, kind := range []mailer.Kind{mailer.KindRejected, mailer.KindContent, mailer.KindSender, mailer.KindUnknown} {
		t.Run(kind.String()+" of five messages in a row is the service's fault", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out strings.Builder
				c, a, _ := pair(t, failover.Config{Rest: time.Minute, Logger: textLogger(&out)})
				a.fails(refused(kind))
				sendEach(t, c, row(0, 4)...)
				h := c.Health()[0]
				require.Equal(t, failover.Well, h.State)
				require.Equal(t, 4, h.Refusals)
				require.Zero(t, h.Strikes)
				require.NotContains(t, out.String(), "target rests")

				sendEach(t, c, numbered(4))
				h = c.Health()[0]
				require.Equal(t, failover.Resting, h.State)
				require.Greater(t, time.Until(h.RestUntil), 44*time.Second)
				require.Equal(t, mailer.KindUnavailable, mailer.KindOf(h.LastError))
				require.ErrorIs(t, h.LastError, kind)
				require.ErrorContains(t, h.LastError, "a: service unavailable: 5 different messages refused in a row, and taken by others: a: "+kind.String())
				require.Contains(t, out.String(), `msg="failover: target rests" provider=a kind="service unavailable"`)
				require.Equal(t, 5, a.calls())
				require.Equal(t, "b", sendEach(t, c, numbered(5)))
				require.Equal(t, 5, a.calls(), "it is left alone")

				a.recovers()
				time.Sleep(time.Minute)
				require.Equal(t, "a", sendEach(t, c, numbered(6)))
				h = c.Health()[0]
				require.Equal(t, failover.Well, h.State)
				require.Zero(t, h.Refusals)
			})
		})
	}
	for _, kind := range []mailer.Kind{
		mailer.KindInvalid, mailer.KindUnsupported, mailer.KindTooLarge, mailer.KindRecipient, mailer.KindCanceled,
	} {
		t.Run(kind.String()+" says nothing of the service", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, a, _ := pair(t, failover.Config{})
				a.fails(refused(kind))
				for _, m := range row(0, 20) {
					_, _ = c.Send(t.Context(), m)
				}
				require.Zero(t, c.Health()[0].Refusals)
				require.Equal(t, failover.Well, c.Health()[0].State)
			})
		})
	}
	for _, test := range []struct {
		name   string
		change func(m *mailer.Message, i int)
		counts int
	}{
		{"under one ID", func(m *mailer.Message, i int) { m.Text = fmt.Sprint(i) }, 1},
		{"under new IDs", func(m *mailer.Message, i int) { m.ID = fmt.Sprint(i) }, 1},
		{"to others", func(m *mailer.Message, i int) {
			m.ID = fmt.Sprint(i)
			m.To = []mailer.Address{{Address: fmt.Sprint(i, "@example.com")}}
		}, 1},
		{"and another, again and again", func(m *mailer.Message, i int) { m.ID, m.Text = fmt.Sprint(i), fmt.Sprint(i%2) }, 2},
		{"and others with another Subject", func(m *mailer.Message, i int) { m.ID, m.Subject = fmt.Sprint(i), fmt.Sprint(i%2) }, 2},
		{"and others with another HTML", func(m *mailer.Message, i int) { m.ID, m.HTML = fmt.Sprint(i), fmt.Sprint(i%2) }, 2},
		{"and others of another sender", func(m *mailer.Message, i int) {
			m.ID = fmt.Sprint(i)
			m.From.Address = fmt.Sprint(i%2, "@example.com")
		}, 2},
		{"and others of another template", func(m *mailer.Message, i int) {
			m.ID = fmt.Sprint(i)
			m.Template.ID = fmt.Sprint(i % 2)
		}, 2},
		{"and others with a character moved from the Subject to the Text", func(m *mailer.Message, i int) {
			m.ID, m.Subject, m.Text = fmt.Sprint(i), "ab"[:1+i%2], "bc"[i%2:]
		}, 2},
	} {
		t.Run("one message tried twenty times "+test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, a, _ := pair(t, failover.Config{})
				a.fails(refused(mailer.KindRejected))
				for i := range 20 {
					m := message()
					test.change(&m, i)
					sendEach(t, c, m)
				}
				require.Equal(t, test.counts, c.Health()[0].Refusals)
				require.Equal(t, failover.Well, c.Health()[0].State)
			})
		})
	}
	t.Run("one taken in between starts the count anew", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, _ := pair(t, failover.Config{})
			a.answers(func(_ context.Context, m mailer.Message) error {
				if m.Subject == "good" {
					return nil
				}
				return refused(mailer.KindContent)
			})
			for range 5 {
				sendEach(t, c, row(0, 4)...)
				good := message()
				good.Subject = "good"
				require.Equal(t, 4, c.Health()[0].Refusals)
				require.Equal(t, "a", sendEach(t, c, good))
				require.Zero(t, c.Health()[0].Refusals)
			}
		})
	})
	t.Run("a probe that is refused lets it rest longer, but not of a message that was refused before", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, _ := pair(t, failover.Config{Rest: time.Minute})
			a.fails(refused(mailer.KindRejected))
			sendEach(t, c, row(0, 5)...)
			time.Sleep(time.Minute)
			for range 3 {
				require.Equal(t, "b", sendEach(t, c, numbered(3)))
				require.Equal(t, failover.Probing, c.Health()[0].State)
			}
			require.Equal(t, 8, a.calls())
			sendEach(t, c, numbered(5))
			h := c.Health()[0]
			require.Equal(t, failover.Resting, h.State)
			require.Greater(t, time.Until(h.RestUntil), 89*time.Second)
			require.Equal(t, 5, h.Refusals)
		})
	})
	t.Run("the number is a setting", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, _ := pair(t, failover.Config{Refusals: 2})
			a.fails(refused(mailer.KindRejected))
			sendEach(t, c, row(0, 2)...)
			require.Equal(t, failover.Resting, c.Health()[0].State)
		})
	})
	t.Run("a Decide of one's own may count none", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, _ := pair(t, failover.Config{Decide: func(err error) failover.Decision {
				d := failover.Decide(err)
				d.Refusal = false
				return d
			}})
			a.fails(refused(mailer.KindRejected))
			sendEach(t, c, row(0, 20)...)
			require.Equal(t, failover.Well, c.Health()[0].State)
		})
	})
	t.Run("what a caller heard who gave up does not count", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, _ := pair(t, failover.Config{})
			a.answers(func(ctx context.Context, _ mailer.Message) error {
				<-ctx.Done()
				return refused(mailer.KindUnknown)
			})
			for _, m := range row(0, 6) {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, cancel)
				_, err := c.Send(ctx, m)
				require.Error(t, err)
			}
			require.Zero(t, c.Health()[0].Refusals)
		})
	})
	t.Run("a message that nobody takes says nothing of anybody", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := &service{name: "a"}
			c := chainOf(t, failover.Config{}, a, failover.Target{Name: "b", Sender: a})
			a.fails(refused(mailer.KindRejected))
			for _, m := range row(0, 20) {
				_, err := c.Send(t.Context(), m)
				require.Equal(t, mailer.KindRejected, mailer.KindOf(err))
			}
			for _, h := range c.Health() {
				require.Zero(t, h.Refusals)
				require.Equal(t, failover.Well, h.State)
			}
		})
	})
	t.Run("who refuses it second is not to blame", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, b, last := &service{name: "a"}, &service{name: "b"}, &service{name: "last"}
			c := chainOf(t, failover.Config{}, a, b, last)
			a.fails(refused(mailer.KindContent))
			b.fails(refused(mailer.KindContent))
			sendEach(t, c, row(0, 5)...)
			require.Equal(t, failover.Resting, c.Health()[0].State)
			require.Zero(t, c.Health()[1].Refusals)
			sendEach(t, c, numbered(5)) // b is the first now
			require.Equal(t, 1, c.Health()[1].Refusals)
		})
	})
	t.Run("of a batch each message that another takes counts", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, _ := pair(t, failover.Config{})
			a.fails(refused(mailer.KindRejected))
			for _, r := range c.SendBatch(t.Context(), row(0, 4)) {
				require.NoError(t, r.Err)
				require.Equal(t, "b", r.Receipt.Provider)
			}
			require.Equal(t, 4, c.Health()[0].Refusals)
			require.NoError(t, c.SendBatch(t.Context(), row(4, 6))[0].Err)
			require.Equal(t, failover.Resting, c.Health()[0].State)
		})
	})
}
