package mailertest

import (
	"context"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
)

type extra struct{ Stream string }

func (extra) ForProvider() string { return "example" }

// full has something in every field that Send copies.
func full() mailer.Message {
	return mailer.Message{
		ID:          "fixed",
		From:        mailer.Address{Address: "hello@example.com"},
		To:          []mailer.Address{{Address: "ada@example.com"}},
		Cc:          []mailer.Address{{Address: "alan@example.com"}},
		Bcc:         []mailer.Address{{Address: "grace@example.com"}},
		ReplyTo:     []mailer.Address{{Address: "support@example.com"}},
		Attachments: []mailer.Attachment{{Name: "a.txt", Content: []byte("content")}},
		Headers:     map[string]string{"X-A": "a"},
		Tags:        []string{"tag"},
		Metadata:    map[string]string{"plan": "free"},
		Template: mailer.Template{ID: "welcome", Data: map[string]any{
			"count": 3, "nothing": nil, "list": []any{map[string]any{"a": "b"}}, "names": []string{"Ada"}, "typed": map[string][]int{"n": {1}},
		}},
		Extras: []mailer.Extra{extra{"broadcast"}},
	}
}

// spoil changes everything reachable from m that Send copies.
func spoil(m mailer.Message) {
	m.To[0].Address, m.Cc[0].Address, m.Bcc[0].Address, m.ReplyTo[0].Address = "x", "x", "x", "x"
	m.Attachments[0].Content[0] = 'X'
	m.Attachments[0].Name = "x"
	m.Headers["X-A"], m.Tags[0], m.Metadata["plan"] = "x", "x", "x"
	d := m.Template.Data
	d["list"].([]any)[0].(map[string]any)["a"] = "x"
	d["names"].([]string)[0] = "x"
	d["typed"].(map[string][]int)["n"][0] = 9
	d["count"] = "x"
	m.Extras[0] = nil
}

func TestNobodyChangesWhatIsRecorded(t *testing.T) {
	var r Recorder
	m := full()
	_, err := r.Send(t.Context(), m)
	require.NoError(t, err)
	require.Equal(t, full(), m, "Send changes nothing")
	spoil(m)
	require.Equal(t, []mailer.Message{full()}, r.Messages())

	for name, get := range map[string]func() mailer.Message{
		"Messages":    func() mailer.Message { return r.Messages()[0] },
		"Last":        func() mailer.Message { m, _ := r.Last(); return m },
		"To":          func() mailer.Message { return r.To("ada@example.com")[0] },
		"RequireSent": func() mailer.Message { return r.RequireSent(t, "ada@example.com") },
		"Wait":        func() mailer.Message { m, _ := r.Wait(t.Context(), "ada@example.com"); return m },
	} {
		t.Run("what is got from "+name+" may be changed", func(t *testing.T) {
			spoil(get())
			require.Equal(t, full(), get())
		})
	}
}

// It fails when Message gets a field that full does not fill, so that nobody
// forgets its copy.
func TestEveryFieldThatNeedsACopyIsTested(t *testing.T) {
	v := reflect.ValueOf(full())
	for i := range v.NumField() {
		switch v.Field(i).Kind() {
		case reflect.Slice, reflect.Map, reflect.Pointer, reflect.Interface:
			require.False(t, v.Field(i).IsNil(), v.Type().Field(i).Name)
		}
	}
}

func TestACopyOfDataThatHoldsItselfEnds(t *testing.T) {
	data := map[string]any{"name": "Ada"}
	list := []any{nil}
	list[0] = list
	data["self"], data["list"] = data, list
	c := clone(mailer.Message{Template: mailer.Template{Data: data}}).Template.Data
	c["self"].(map[string]any)["name"] = "x"
	require.Equal(t, "x", c["name"], "the copy holds itself as well")
	require.Equal(t, "Ada", data["name"])
}

func TestTheNewestMessageCounts(t *testing.T) {
	var r Recorder
	for _, subject := range []string{"old", "new"} {
		m := full()
		m.Subject = subject
		_, err := r.Send(t.Context(), m)
		require.NoError(t, err)
	}
	require.Equal(t, "new", r.RequireSent(t, "ada@example.com").Subject)
	m, err := r.Wait(t.Context(), "ada@example.com")
	require.NoError(t, err)
	require.Equal(t, "new", m.Subject)
}

func TestAWaitThatEndsLeavesNothing(t *testing.T) {
	var r Recorder
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := r.Wait(ctx, "ada@example.com")
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
	require.Empty(t, r.waiting)
	_, err := r.Send(t.Context(), full())
	require.NoError(t, err, "outside of the bubble")
}

func TestOfTwoHrefsTheFirstCounts(t *testing.T) {
	require.Equal(t, []string{"https://a.example/"}, Links(mailer.Message{
		HTML: `<a href="https://a.example/" href="https://b.example/">x</a>`,
	}))
}
