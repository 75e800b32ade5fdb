package mailertest_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/mailertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func to(addr string) mailer.Message {
	return mailer.Message{
		From: mailer.Address{Address: "hello@example.com"}, To: []mailer.Address{{Address: addr}},
		Subject: "Welcome", Text: "Hello",
	}
}

func TestTheZeroRecorderRecords(t *testing.T) {
	var r mailertest.Recorder
	_, ok := r.Last()
	require.False(t, ok)
	receipt, err := r.Send(t.Context(), to("ada@example.com"))
	require.NoError(t, err)
	require.NotEmpty(t, receipt.ID)
	require.Equal(t, mailer.Receipt{ID: receipt.ID, Provider: "mailertest", MessageID: receipt.ID}, receipt)

	second := to("grace@example.com")
	second.ID, second.Bcc = "second", []mailer.Address{{Address: "Eve@example.com"}}
	_, err = r.Send(t.Context(), second)
	require.NoError(t, err)

	last, ok := r.Last()
	require.True(t, ok)
	require.Equal(t, second, last)
	require.Len(t, r.Messages(), 2)
	require.Equal(t, receipt.ID, r.Messages()[0].ID)
	require.Equal(t, []mailer.Message{second}, r.To("eve@EXAMPLE.com"), "a blind copy counts, case does not")
	require.Empty(t, r.To("eve"))

	r.Reset()
	require.Empty(t, r.Messages())
}

func TestWhatIsRecordedIsACopy(t *testing.T) {
	var r mailertest.Recorder
	m := to("ada@example.com")
	m.Headers = map[string]string{"X-A": "1"}
	m.Attachments = []mailer.Attachment{{Name: "a.txt", Content: []byte("one")}}
	_, err := r.Send(t.Context(), m)
	require.NoError(t, err)
	change := func(m mailer.Message) {
		m.To[0].Address, m.Headers["X-A"], m.Attachments[0].Content[0] = "eve@example.com", "2", 'X'
	}
	change(m)
	change(r.Messages()[0])
	last, _ := r.Last()
	require.Equal(t, "ada@example.com", last.To[0].Address)
	require.Equal(t, "1", last.Headers["X-A"])
	require.Equal(t, "one", string(last.Attachments[0].Content))
}

func TestABadMessageFailsAsInProduction(t *testing.T) {
	var r mailertest.Recorder
	_, err := r.Send(t.Context(), to("ada@example.com, eve@example.com"))
	require.ErrorIs(t, err, mailer.KindInvalid)
	require.True(t, mailer.NotSent(err))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = r.Send(ctx, to("ada@example.com"))
	require.ErrorIs(t, err, mailer.KindCanceled)
	require.True(t, mailer.NotSent(err))
	r.RequireNone(t)
}

func TestFailNext(t *testing.T) {
	lost := &mailer.Error{Provider: "postmark", Kind: mailer.KindNetwork}
	plain := errors.New("plain")
	var r mailertest.Recorder
	r.FailNext(mailer.KindRateLimited, nil, lost)
	r.FailNext(plain)
	for i, want := range []struct {
		kind    mailer.Kind
		notSent bool
		fails   bool
	}{{mailer.KindRateLimited, true, true}, {}, {mailer.KindNetwork, false, true}, {mailer.KindUnknown, false, true}, {}} {
		_, err := r.Send(t.Context(), to("ada@example.com"))
		require.Equal(t, want.fails, err != nil, i)
		require.Equal(t, want.kind, mailer.KindOf(err), i)
		require.Equal(t, want.notSent, mailer.NotSent(err), i)
	}
	r.RequireCount(t, 2)

	r.FailNext(plain, mailer.KindQuota)
	_, err := r.Send(t.Context(), mailer.Message{})
	require.ErrorIs(t, err, mailer.KindInvalid, "a message that is not valid uses up no failure")
	_, err = r.Send(t.Context(), to("ada@example.com"))
	require.ErrorIs(t, err, plain)
	r.Reset()
	_, err = r.Send(t.Context(), to("ada@example.com"))
	require.NoError(t, err, "Reset forgets the failures")
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r mailertest.Recorder
		go func() {
			for i, addr := range []string{"eve@example.com", "ada@example.com"} {
				time.Sleep(time.Duration(i+1) * time.Hour)
				_, err := r.Send(context.Background(), to(addr))
				if err != nil {
					t.Error(err)
				}
			}
		}()
		start := time.Now()
		m, err := r.Wait(t.Context(), "ada@example.com")
		require.NoError(t, err)
		require.Equal(t, "ada@example.com", m.To[0].Address)
		require.Equal(t, 3*time.Hour, time.Since(start))

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = r.Wait(ctx, "grace@example.com")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "to eve@example.com")
		require.Equal(t, 3*time.Hour+time.Minute, time.Since(start))
		_, err = r.Wait(ctx, "ada@example.com")
		require.NoError(t, err, "what is there counts")
	})
}

func TestManyAtOnce(t *testing.T) {
	var r mailertest.Recorder
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			addr := fmt.Sprintf("n%d@example.com", i)
			if _, err := r.Send(t.Context(), to(addr)); err != nil {
				t.Error(err)
			}
			if _, err := r.Wait(t.Context(), addr); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	r.RequireCount(t, 64)
}

// failing is a test that notes why it ended.
type failing struct {
	testing.TB
	why string
}

func (*failing) Helper() {}

func (f *failing) Fatalf(format string, args ...any) {
	f.why = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// ended returns why f ended the test, "" if it did not.
func ended(f func(testing.TB)) string {
	fake := &failing{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(fake)
	}()
	<-done
	return fake.why
}

func TestAssertionsFailWhenTheyShould(t *testing.T) {
	var r mailertest.Recorder
	require.Empty(t, ended(func(t testing.TB) { r.RequireNone(t) }))
	require.Contains(t, ended(func(t testing.TB) { r.RequireSent(t, "ada@example.com") }), "nothing was sent")
	_, err := r.Send(t.Context(), to("ada@example.com"))
	require.NoError(t, err)
	require.Empty(t, ended(func(t testing.TB) { r.RequireSent(t, "ada@example.com") }))
	require.Empty(t, ended(func(t testing.TB) { r.RequireCount(t, 1) }))
	for _, why := range []string{
		ended(func(t testing.TB) { r.RequireSent(t, "eve@example.com") }),
		ended(func(t testing.TB) { r.RequireNone(t) }),
		ended(func(t testing.TB) { r.RequireCount(t, 2) }),
	} {
		require.Contains(t, why, `to ada@example.com subject "Welcome"`)
	}
}

func TestLinks(t *testing.T) {
	m := mailer.Message{
		Text: "See https://example.com/a?b=1&c=2. Or (https://example.com/x_(y)), and http://example.com/z! ftp://example.com/no https://",
		HTML: `<p>https://example.com/words</p><!-- <a href="https://example.com/gone"> -->
			<a class="x" href="https://example.com/h?a=1&amp;b=2">h</a> <A HREF=https://example.com/a?b=1&amp;c=2>same</A>
			<a href="javascript:alert(1)">no</a><img src="https://example.com/no.png"><a data-href="https://example.com/no">no</a>`,
	}
	require.Equal(t, []string{
		"https://example.com/a?b=1&c=2", "https://example.com/x_(y)", "http://example.com/z", "https://example.com/h?a=1&b=2",
	}, mailertest.Links(m))
	require.Empty(t, mailertest.Links(mailer.Message{Text: strings.Repeat("http", 1000)}))
}
