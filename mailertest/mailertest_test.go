package mailertest_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/mailertest"
)

var _ mailer.Provider = (*mailertest.Recorder)(nil)

func to(addr string) mailer.Message {
	return mailer.Message{
		From:    mailer.Address{Address: "hello@example.com"},
		To:      []mailer.Address{{Address: addr}},
		Subject: "Hello",
		Text:    "Hello",
	}
}

func send(t *testing.T, r *mailertest.Recorder, ms ...mailer.Message) {
	t.Helper()
	for _, m := range ms {
		_, err := r.Send(t.Context(), m)
		require.NoError(t, err)
	}
}

type stream struct{ Name string }

func (stream) ForProvider() string { return "example" }

// full has everything that a copy could share. Template and Text do not go
// together, so there are two.
func full(template bool) mailer.Message {
	m := mailer.Message{
		ID:          "full-1",
		From:        mailer.Address{Address: "hello@example.com"},
		To:          []mailer.Address{{Address: "to@example.com"}},
		Cc:          []mailer.Address{{Address: "cc@example.com"}},
		Bcc:         []mailer.Address{{Address: "bcc@example.com"}},
		ReplyTo:     []mailer.Address{{Address: "reply@example.com"}},
		Subject:     "Full",
		Attachments: []mailer.Attachment{{Name: "a.txt", Content: []byte("file")}},
		Headers:     map[string]string{"X-A": "a"},
		Tags:        []string{"tag"},
		Metadata:    map[string]string{"plan": "pro"},
		Extras:      []mailer.Extra{stream{"one"}},
	}
	if !template {
		m.Text = "Full"
		return m
	}
	m.Template = mailer.Template{ID: "welcome", Data: map[string]any{
		"map":   map[string]any{"deep": []any{"x", map[string]any{"deeper": 1}}},
		"typed": []map[string]string{{"k": "v"}},
		"words": map[string][]string{"k": {"a", "b"}},
		"nil":   nil,
		"none":  map[string]any(nil),
		"lone":  []any{nil},
		"n":     17,
	}}
	return m
}

// scribble changes everything reachable from m but what pointers lead to.
func scribble(m mailer.Message) {
	for _, as := range [][]mailer.Address{m.To, m.Cc, m.Bcc, m.ReplyTo} {
		as[0].Address = "eve@attacker.example"
	}
	m.Attachments[0].Content[0] = '!'
	m.Attachments[0].Name = "!"
	m.Headers["X-A"] = "!"
	m.Tags[0] = "!"
	m.Metadata["plan"] = "!"
	m.Extras[0] = stream{"!"}
	if d := m.Template.Data; d != nil {
		deep := d["map"].(map[string]any)["deep"].([]any)
		deep[0] = "!"
		deep[1].(map[string]any)["deeper"] = "!"
		d["map"].(map[string]any)["more"] = "!"
		d["typed"].([]map[string]string)[0]["k"] = "!"
		d["words"].(map[string][]string)["k"][0] = "!"
		d["more"] = "!"
	}
}

func TestSendRecordsADeepCopy(t *testing.T) {
	for _, template := range []bool{false, true} {
		t.Run(fmt.Sprintf("template %v", template), func(t *testing.T) {
			var r mailertest.Recorder
			m := full(template)
			send(t, &r, m)
			require.Equal(t, full(template), m, "what was passed is not changed")
			scribble(m)
			require.Equal(t, []mailer.Message{full(template)}, r.Messages(), "what the sender does later does not show")

			for name, get := range map[string]func() mailer.Message{
				"Messages": func() mailer.Message { return r.Messages()[0] },
				"Last":     func() mailer.Message { m, _ := r.Last(); return m },
				"To":       func() mailer.Message { return r.To("to@example.com")[0] },
				"Wait": func() mailer.Message {
					m, err := r.Wait(t.Context(), "to@example.com")
					require.NoError(t, err)
					return m
				},
				"RequireSent": func() mailer.Message { return r.RequireSent(t, "to@example.com") },
			} {
				t.Run("what "+name+" returns is a copy", func(t *testing.T) {
					scribble(get())
					require.Equal(t, full(template), get())
				})
			}
		})
	}
}

func TestDataThatHoldsItselfIsCopied(t *testing.T) {
	var r mailertest.Recorder
	m := to("ada@example.com")
	m.Text, m.Template.ID = "", "loop"
	loop := map[string]any{"n": 1}
	loop["self"], loop["list"] = loop, []any{loop, loop}
	m.Template.Data = loop
	send(t, &r, m)
	loop["n"] = 2
	got, _ := r.Last()
	require.Equal(t, 1, got.Template.Data["n"])
	require.Equal(t, 1, got.Template.Data["self"].(map[string]any)["n"])
	require.Equal(t, 1, got.Template.Data["list"].([]any)[1].(map[string]any)["n"])
}

func TestTheReceiptNamesTheMessage(t *testing.T) {
	var r mailertest.Recorder
	require.Equal(t, "mailertest", r.Name())

	m := to("ada@example.com")
	m.ID = "own-1"
	receipt, err := r.Send(t.Context(), m)
	require.NoError(t, err)
	require.Equal(t, mailer.Receipt{ID: "own-1", Provider: "mailertest", MessageID: "own-1"}, receipt)

	receipt, err = r.Send(t.Context(), to("ada@example.com"))
	require.NoError(t, err)
	require.Len(t, receipt.ID, 26)
	require.Equal(t, receipt.ID, receipt.MessageID)
	last, ok := r.Last()
	require.True(t, ok)
	require.Equal(t, receipt.ID, last.ID)
}

func TestWhatARealSenderRefusesIsRefused(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	bad := to("ada@example.com")
	bad.Subject = "Hello\r\nBcc: eve@attacker.example"
	for _, c := range []struct {
		name  string
		ctx   context.Context
		m     mailer.Message
		kind  mailer.Kind
		cause error
		field string
	}{
		{name: "a canceled context", ctx: canceled, m: to("ada@example.com"), kind: mailer.KindCanceled, cause: context.Canceled},
		{name: "a deadline that passed", ctx: late, m: to("ada@example.com"), kind: mailer.KindNetwork, cause: context.DeadlineExceeded},
		{name: "a message that is not valid", ctx: t.Context(), m: bad, kind: mailer.KindInvalid, field: "Subject"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r mailertest.Recorder
			r.FailNext(mailer.KindQuota)
			receipt, err := r.Send(c.ctx, c.m)
			require.Zero(t, receipt)
			e, ok := errors.AsType[*mailer.Error](err)
			require.True(t, ok)
			require.Equal(t, c.kind, e.Kind)
			require.Equal(t, c.field, e.Field)
			require.True(t, mailer.NotSent(err))
			if c.cause != nil {
				require.ErrorIs(t, err, c.cause)
				require.Equal(t, "mailertest", e.Provider)
			}
			r.RequireNone(t)

			_, err = r.Send(t.Context(), to("ada@example.com"))
			require.ErrorIs(t, err, mailer.KindQuota, "the failure is still to come")
		})
	}
}

func TestFailNext(t *testing.T) {
	plain := errors.New("broken")
	unknown := &mailer.Error{Provider: "example", Kind: mailer.KindNetwork}
	wrapped := fmt.Errorf("chain: %w", unknown)
	for _, c := range []struct {
		name string
		give error
		want error
	}{
		{"a kind is a refusal", mailer.KindRateLimited, &mailer.Error{Provider: "mailertest", Kind: mailer.KindRateLimited, NotSent: true}},
		{"KindUnknown is a refusal too", mailer.KindUnknown, &mailer.Error{Provider: "mailertest", NotSent: true}},
		{"KindNetwork is a refusal too", mailer.KindNetwork, &mailer.Error{Provider: "mailertest", Kind: mailer.KindNetwork, NotSent: true}},
		{"an Error stays as it is", unknown, unknown},
		{"a wrapped Error stays as it is", wrapped, wrapped},
		{"any other error is the cause", plain, &mailer.Error{Provider: "mailertest", Err: plain}},
		{"a context's error is the cause", context.Canceled, &mailer.Error{Provider: "mailertest", Kind: mailer.KindCanceled, Err: context.Canceled}},
		{"a nil Error is a failure", (*mailer.Error)(nil), &mailer.Error{Provider: "mailertest", Err: (*mailer.Error)(nil)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r mailertest.Recorder
			r.FailNext(c.give)
			receipt, err := r.Send(t.Context(), to("ada@example.com"))
			require.Zero(t, receipt)
			require.Equal(t, c.want, err)
			r.RequireNone(t)
			send(t, &r, to("ada@example.com"))
		})
	}

	t.Run("failures come in order, and a nil lets one through", func(t *testing.T) {
		var r mailertest.Recorder
		r.FailNext(mailer.KindQuota, nil)
		r.FailNext(mailer.KindContent)
		var kinds []string
		for range 4 {
			_, err := r.Send(t.Context(), to("ada@example.com"))
			kind := "sent"
			if err != nil {
				kind = mailer.KindOf(err).String()
			}
			kinds = append(kinds, kind)
		}
		require.Equal(t, []string{"quota used up", "sent", "content refused", "sent"}, kinds)
		r.RequireCount(t, 2)
	})

	t.Run("Reset forgets messages and failures", func(t *testing.T) {
		var r mailertest.Recorder
		send(t, &r, to("ada@example.com"))
		r.FailNext(mailer.KindQuota)
		r.Reset()
		r.RequireNone(t)
		_, ok := r.Last()
		require.False(t, ok)
		send(t, &r, to("ada@example.com"))
	})
}

func TestToLooksAtAllRecipients(t *testing.T) {
	var r mailertest.Recorder
	cc, bcc := to("x@example.com"), to("y@example.com")
	cc.Cc = []mailer.Address{{Address: "z@example.com"}, {Address: "ADA@example.com"}}
	bcc.Bcc = []mailer.Address{{Address: "ada@Example.COM"}}
	own := to("Ada@example.com")
	own.ID, cc.ID, bcc.ID = "1", "2", "3"
	send(t, &r, own, cc, bcc, to("hello@example.com"), to("bada@example.com"))

	var ids []string
	for _, m := range r.To("aDa@example.com") {
		ids = append(ids, m.ID)
	}
	require.Equal(t, []string{"1", "2", "3"}, ids)
	require.Equal(t, "3", r.RequireSent(t, "ada@example.com").ID, "the newest")
	require.Empty(t, r.To("nobody@example.com"))
	require.Len(t, r.To("hello@example.com"), 1, "From is no recipient")
}

func TestWait(t *testing.T) {
	t.Run("waits for a message that comes later", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var r mailertest.Recorder
			start := time.Now()
			go func() {
				for _, addr := range []string{"grace@example.com", "ada@example.com"} {
					time.Sleep(time.Minute)
					_, err := r.Send(t.Context(), to(addr))
					if err != nil {
						t.Error(err)
					}
				}
			}()
			m, err := r.Wait(t.Context(), "ADA@example.com")
			require.NoError(t, err)
			require.Equal(t, "ada@example.com", m.To[0].Address)
			require.Equal(t, 2*time.Minute, time.Since(start))
		})
	})
	t.Run("wakes everybody who waits", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var r mailertest.Recorder
			var wg sync.WaitGroup
			for range 3 {
				wg.Go(func() {
					if _, err := r.Wait(t.Context(), "ada@example.com"); err != nil {
						t.Error(err)
					}
				})
			}
			synctest.Wait()
			send(t, &r, to("ada@example.com"))
			wg.Wait()
		})
	})
	t.Run("takes the newest that is there, even when the context has ended", func(t *testing.T) {
		var r mailertest.Recorder
		first, second := to("ada@example.com"), to("ada@example.com")
		first.ID, second.ID = "1", "2"
		send(t, &r, first, second)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		m, err := r.Wait(ctx, "ada@example.com")
		require.NoError(t, err)
		require.Equal(t, "2", m.ID)
	})
	t.Run("ends with the context and says what was sent", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var r mailertest.Recorder
			send(t, &r, to("grace@example.com"))
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			m, err := r.Wait(ctx, "ada@example.com")
			require.Zero(t, m)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.EqualError(t, err, "mailertest: no message to ada@example.com: context deadline exceeded; "+
				"what was sent:\n\t1. to grace@example.com subject \"Hello\"")
		})
	})
	t.Run("leaves nothing of a bubble behind", func(t *testing.T) {
		var r mailertest.Recorder
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := r.Wait(ctx, "ada@example.com")
			require.Error(t, err)
		})
		send(t, &r, to("ada@example.com")) // would panic on a channel of the bubble
	})
	t.Run("goes on after a Reset", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var r mailertest.Recorder
			var wg sync.WaitGroup
			wg.Go(func() {
				if _, err := r.Wait(t.Context(), "ada@example.com"); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
			r.Reset()
			send(t, &r, to("ada@example.com"))
			wg.Wait()
		})
	})
}

func TestManyGoroutinesAtOnce(t *testing.T) {
	var r mailertest.Recorder
	shared := full(true)
	const n = 50
	r.FailNext(mailer.KindQuota, mailer.KindQuota)
	var mu sync.Mutex
	failed := 0
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			m := shared
			m.ID = "m-" + strconv.Itoa(i)
			_, err := r.Send(t.Context(), m)
			if err != nil {
				mu.Lock()
				failed++
				mu.Unlock()
			}
			if _, err := r.Wait(t.Context(), "to@example.com"); err != nil {
				t.Error(err)
			}
			for _, m := range r.Messages() {
				scribble(m)
			}
			r.To("bcc@example.com")
			r.Last()
		})
	}
	wg.Wait()
	require.Equal(t, 2, failed)
	ids := map[string]bool{}
	for _, m := range r.Messages() {
		ids[m.ID] = true
		m.ID = "full-1"
		require.Equal(t, full(true), m)
	}
	require.Len(t, ids, n-2)
}

// fakeTB is a test that may fail.
type fakeTB struct {
	testing.TB
	helper bool
	failed string
}

func (f *fakeTB) Helper() { f.helper = true }

func (f *fakeTB) Fatalf(format string, args ...any) {
	f.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// run runs check as a test, and returns what it failed with and whether it came
// to its end.
func run(check func(t testing.TB)) (f *fakeTB, ended bool) {
	f = &fakeTB{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		check(f)
		ended = true
	}()
	<-done
	return f, ended
}

func TestTheAssertionsFailWhenTheyShould(t *testing.T) {
	var empty, two mailertest.Recorder
	first, second := to("ada@example.com"), to("bob@example.com")
	first.Cc = []mailer.Address{{Address: "grace@example.com"}}
	second.Bcc = []mailer.Address{{Address: "eve@example.com"}}
	second.Text, second.Template.ID, second.Subject = "", "welcome", "A \"b\"\u202e"
	send(t, &two, first, second)
	const list = "what was sent:\n" +
		"\t1. to ada@example.com cc grace@example.com subject \"Hello\"\n" +
		"\t2. to bob@example.com bcc eve@example.com template \"welcome\" subject \"A \\\"b\\\"\\u202e\""
	for _, c := range []struct {
		name  string
		check func(t testing.TB)
		want  string // empty: it passes
	}{
		{"RequireSent and a message to that address", func(t testing.TB) { two.RequireSent(t, "EVE@example.com") }, ""},
		{"RequireSent and messages to others", func(t testing.TB) { two.RequireSent(t, "x@example.com") }, "mailertest: no message to x@example.com; " + list},
		{"RequireSent and no message", func(t testing.TB) { empty.RequireSent(t, "x@example.com") }, "mailertest: no message to x@example.com; nothing was sent"},
		{"RequireNone and no message", func(t testing.TB) { empty.RequireNone(t) }, ""},
		{"RequireNone and messages", func(t testing.TB) { two.RequireNone(t) }, "mailertest: want 0 sent, got 2; " + list},
		{"RequireCount and as many", func(t testing.TB) { two.RequireCount(t, 2) }, ""},
		{"RequireCount and more", func(t testing.TB) { two.RequireCount(t, 1) }, "mailertest: want 1 sent, got 2; " + list},
		{"RequireCount and fewer", func(t testing.TB) { empty.RequireCount(t, 1) }, "mailertest: want 1 sent, got 0; nothing was sent"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, ended := run(c.check)
			require.Equal(t, c.want, f.failed)
			require.Equal(t, c.want == "", ended)
			require.True(t, f.helper)
		})
	}
}

func TestLinks(t *testing.T) {
	for _, c := range []struct {
		name, text, html string
		want             []string
	}{
		{name: "none", text: "mail ada@example.com, ftp://example.com, https:// or xhttps://example.com", html: `<p>https://example.com/not-a-link</p>`},
		{name: "a link in a sentence", text: "Open https://example.com/a?b=c&d=1#e. Or HTTP://EXAMPLE.com/f, now!", want: []string{"https://example.com/a?b=c&d=1#e", "HTTP://EXAMPLE.com/f"}},
		{name: "a token that ends in a sign of its own", text: "https://example.com/t/a-_=\nhttps://example.com/", want: []string{"https://example.com/t/a-_=", "https://example.com/"}},
		{name: "brackets around and inside", text: "(see https://example.com/a_(b)). [x](https://example.com/c) <https://example.com/d>", want: []string{"https://example.com/a_(b)", "https://example.com/c", "https://example.com/d"}},
		{name: "character references in HTML", html: `<a href="https://example.com/?a=1&amp;b=2&#38;c=3">x</a>`, want: []string{"https://example.com/?a=1&b=2&c=3"}},
		{name: "all ways to quote", html: "<A class=x HREF = 'https://example.com/1'>x</a><a\nhref=https://example.com/2>x</a><area href=\" https://example.com/3 \"/>", want: []string{"https://example.com/1", "https://example.com/2", "https://example.com/3"}},
		{name: "other schemes and other elements", html: `<link href="https://example.com/css"><a href="mailto:ada@example.com">m</a><a href="javascript:x">j</a><a href="/rel">r</a><abbr href="https://example.com/no">n</abbr>`},
		{name: "what only looks like an href", html: `<!-- <a href="https://example.com/old">x</a> --><a title="> href='https://example.com/t'" data-href="https://example.com/d" href="https://example.com/real" href="https://example.com/second">x</a>`, want: []string{"https://example.com/real"}},
		{name: "Text first, each once", text: "https://example.com/b https://example.com/a https://example.com/b", html: `<a href="https://example.com/c">c</a><a href="https://example.com/a">a</a><a href="https://example.com/c">c</a>`, want: []string{"https://example.com/b", "https://example.com/a", "https://example.com/c"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.want, mailertest.Links(mailer.Message{Text: c.text, HTML: c.html}))
		})
	}
}
