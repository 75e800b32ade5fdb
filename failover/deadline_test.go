package failover_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/failover"
)

func TestDeadlineIsShared(t *testing.T) {
	for _, test := range []struct {
		name    string
		callers time.Duration // 0: none
		timeout time.Duration // of each target
		cfg     failover.Config
		want    []time.Duration
	}{
		{name: "equally between two", callers: 20 * time.Second, want: []time.Duration{10, 10}},
		{name: "equally between many if there is time enough", callers: time.Minute, want: []time.Duration{20, 20, 20}},
		{name: "with five seconds for the first at least", callers: 12 * time.Second, want: []time.Duration{5, 3500, 3500}},
		{name: "but not with more than half for it", callers: 4 * time.Second, want: []time.Duration{2, 1, 1}},
		{name: "with all that is left for a single target", callers: 20 * time.Second, want: []time.Duration{20}},
		{name: "within the time-out of a target", callers: 20 * time.Second, timeout: 3 * time.Second, want: []time.Duration{3, 3}},
		{name: "unless the time-out is longer", callers: 20 * time.Second, timeout: time.Minute, want: []time.Duration{10, 10}},
		{name: "and is thirty seconds each if there is none", want: []time.Duration{30, 30}},
		{name: "and is what the Config says if there is none", cfg: failover.Config{AttemptTimeout: 7 * time.Second}, want: []time.Duration{7, 7}},
		{name: "and is what the Target says if there is none", timeout: 7 * time.Second, want: []time.Duration{7, 7}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var senders []mailer.Sender
				for i := range test.want {
					senders = append(senders, failover.Target{Name: string(rune('a' + i)), Timeout: test.timeout, Sender: mailer.SenderFunc(
						func(ctx context.Context, m mailer.Message) (mailer.Receipt, error) {
							end, ok := ctx.Deadline()
							require.True(t, ok)
							left := time.Until(end)
							require.NoError(t, ctx.Err())
							<-ctx.Done()
							require.ErrorIs(t, ctx.Err(), context.DeadlineExceeded)
							require.Equal(t, end, time.Now())
							return mailer.Receipt{}, &mailer.Error{Kind: mailer.KindNetwork, NotSent: true, Message: left.String()}
						})})
				}
				c := chainOf(t, test.cfg, senders...)
				ctx := t.Context()
				if test.callers > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, test.callers)
					defer cancel()
				}
				start := time.Now()
				_, err := c.Send(ctx, message())
				require.Equal(t, mailer.KindNetwork, mailer.KindOf(err))
				require.True(t, mailer.NotSent(err))
				all, ok := errors.AsType[*failover.AttemptsError](err)
				require.True(t, ok)
				require.Len(t, all.Attempts, len(test.want))
				for i, a := range all.Attempts {
					want := test.want[i] * time.Second
					if test.want[i] > 1000 {
						want = test.want[i] * time.Millisecond
					}
					require.Equal(t, want, a.Duration)
					start = start.Add(want)
				}
				require.Equal(t, start, time.Now())
			})
		})
	}
	t.Run("and not with a target that rests", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, b := pair(t, failover.Config{})
			a.fails(refused(mailer.KindRejected))
			b.fails(refusedFor(mailer.KindRateLimited, time.Hour))
			_, _ = c.Send(t.Context(), message())
			a.answers(hang)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			start := time.Now()
			_, err := c.Send(ctx, message())
			require.Equal(t, mailer.KindNetwork, mailer.KindOf(err))
			require.Equal(t, 20*time.Second, time.Since(start))
		})
	})
}

func TestHangingTargetLeavesTimeForTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, a, b := pair(t, failover.Config{})
		a.answers(hang)
		b.answers(func(ctx context.Context, _ mailer.Message) error {
			select {
			case <-time.After(4 * time.Second):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		m := message()
		m.AllowDuplicate = true
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		r, err := c.Send(ctx, m)
		require.NoError(t, err)
		require.Equal(t, "a b", way(r.Attempts))
		require.Equal(t, 5*time.Second, r.Attempts[0].Duration)
		require.Equal(t, 4*time.Second, r.Attempts[1].Duration)
		require.Equal(t, 5*time.Second, r.Attempts[1].Start.Sub(r.Attempts[0].Start))
	})
}

func TestTimeOutsAndStrikes(t *testing.T) {
	for _, test := range []struct {
		name    string
		callers time.Duration
		timeout time.Duration
		cfg     failover.Config
		strikes int
	}{
		{name: "a second or more of an own share is a strike", callers: 2 * time.Second, strikes: 1},
		{name: "less of an own share is none", callers: 2*time.Second - 2, strikes: 0},
		{name: "the whole time-out of the target is one, however short", callers: 2 * time.Second, timeout: time.Millisecond, strikes: 1},
		{name: "the whole time-out of the Config is one, however short", cfg: failover.Config{AttemptTimeout: time.Millisecond}, strikes: 1},
		{name: "less than the time-out of the target is none", callers: time.Second, timeout: 800 * time.Millisecond, strikes: 0},
	} {
		for _, how := range []struct {
			name   string
			answer func(context.Context, mailer.Message) error
		}{
			{"as adapters do", hang},
			{"with the error of the context", func(ctx context.Context, _ mailer.Message) error { <-ctx.Done(); return ctx.Err() }},
			{"with an error of its own", func(ctx context.Context, _ mailer.Message) error { <-ctx.Done(); return errors.New("aborted") }},
			{"as if the caller had gone", func(ctx context.Context, _ mailer.Message) error {
				<-ctx.Done()
				return &mailer.Error{Kind: mailer.KindCanceled}
			}},
		} {
			t.Run(test.name+", told "+how.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					a, b := &service{name: "a"}, &service{name: "b"}
					c := chainOf(t, test.cfg, failover.Target{Sender: a, Timeout: test.timeout}, b)
					a.answers(how.answer)
					ctx := t.Context()
					if test.callers > 0 {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, test.callers)
						defer cancel()
					}
					_, err := c.Send(ctx, message())
					require.Equal(t, mailer.KindNetwork, mailer.KindOf(err))
					require.False(t, mailer.NotSent(err))
					require.Zero(t, b.calls())
					require.Equal(t, test.strikes, c.Health()[0].Strikes)
				})
			})
		}
	}
	for callers, strikes := range map[time.Duration]int{time.Second: 1, time.Second - 1: 0} {
		t.Run("the same holds for the caller's own end after "+callers.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &service{name: "a"}
				c := chainOf(t, failover.Config{}, a)
				a.answers(func(ctx context.Context, _ mailer.Message) error { <-ctx.Done(); return errors.New("aborted") })
				ctx, cancel := context.WithTimeout(t.Context(), callers)
				defer cancel()
				_, err := c.Send(ctx, message())
				require.Equal(t, mailer.KindNetwork, mailer.KindOf(err))
				require.Equal(t, strikes, c.Health()[0].Strikes)
			})
		})
	}
	t.Run("a connection refused at once is one even if there was little time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, _ := pair(t, failover.Config{})
			a.fails(refused(mailer.KindNetwork))
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			_, err := c.Send(ctx, message())
			require.NoError(t, err)
			require.Equal(t, 1, c.Health()[0].Strikes)
		})
	})
}

func TestCallersEnd(t *testing.T) {
	t.Run("before anything began means no traffic", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, _ := pair(t, failover.Config{})
			canceled, cancel := context.WithCancel(t.Context())
			cancel()
			late, cancel := context.WithTimeout(t.Context(), -1)
			defer cancel()
			for ctx, kind := range map[context.Context]mailer.Kind{canceled: mailer.KindCanceled, late: mailer.KindNetwork} {
				_, err := c.Send(ctx, message())
				require.Equal(t, kind, mailer.KindOf(err))
				require.ErrorIs(t, err, ctx.Err())
				require.True(t, mailer.NotSent(err))
			}
			require.Zero(t, a.calls())
		})
	})
	t.Run("between two attempts ends the chain", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, a, b := pair(t, failover.Config{})
			ctx, cancel := context.WithCancel(t.Context())
			a.answers(func(context.Context, mailer.Message) error { cancel(); return refused(mailer.KindRejected) })
			_, err := c.Send(ctx, message())
			require.Equal(t, mailer.KindCanceled, mailer.KindOf(err))
			require.True(t, mailer.NotSent(err))
			require.ErrorIs(t, err, mailer.KindRejected)
			require.ErrorIs(t, err, context.Canceled)
			require.EqualError(t, err, "failover: canceled: 1 attempt: a: message rejected; then context canceled")
			require.Zero(t, b.calls())
		})
	})
}

// TestAttemptContext holds the chain's own context to what package context does.
func TestAttemptContext(t *testing.T) {
	type key struct{}
	inside := func(t *testing.T, parent context.Context, f func(ctx context.Context)) {
		t.Helper()
		c := chainOf(t, failover.Config{AttemptTimeout: time.Minute}, mailer.SenderFunc(
			func(ctx context.Context, m mailer.Message) (mailer.Receipt, error) {
				f(ctx)
				return mailer.Receipt{}, nil
			}))
		_, err := c.Send(parent, message())
		require.NoError(t, err)
	}
	t.Run("it has the caller's values", func(t *testing.T) {
		inside(t, context.WithValue(t.Context(), key{}, 1), func(ctx context.Context) {
			require.Equal(t, 1, ctx.Value(key{}))
			_ = ctx.Done()
			require.Equal(t, 1, ctx.Value(key{}))
		})
	})
	t.Run("it ends with the caller, whoever asks first", func(t *testing.T) {
		for _, listen := range []bool{true, false} {
			parent, cancel := context.WithCancelCause(t.Context())
			cause := errors.New("enough")
			inside(t, parent, func(ctx context.Context) {
				if listen {
					_ = ctx.Done()
				}
				cancel(cause)
				require.ErrorIs(t, ctx.Err(), context.Canceled)
				<-ctx.Done()
				require.Equal(t, cause, context.Cause(ctx))
			})
		}
	})
	t.Run("its own end is told from the caller's", func(t *testing.T) {
		for _, listen := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				parent, cancel := context.WithCancel(t.Context())
				inside(t, parent, func(ctx context.Context) {
					if listen {
						_ = ctx.Done()
					}
					time.Sleep(time.Minute)
					synctest.Wait() // for the timer, if there is one
					require.ErrorIs(t, ctx.Err(), context.DeadlineExceeded)
					require.NoError(t, parent.Err())
					cancel()
					require.ErrorIs(t, ctx.Err(), context.DeadlineExceeded, "the first end stays")
					<-ctx.Done()
					require.EqualError(t, context.Cause(ctx), "failover: the attempt's share of the time is used up")
				})
			})
		}
	})
	t.Run("it ends with the attempt, also for those who kept it", func(t *testing.T) {
		for _, listen := range []bool{true, false} {
			var kept, child context.Context
			inside(t, t.Context(), func(ctx context.Context) {
				kept, child = ctx, context.Background()
				if listen {
					var cancel context.CancelFunc
					child, cancel = context.WithCancel(ctx)
					t.Cleanup(cancel)
				}
			})
			require.ErrorIs(t, kept.Err(), context.Canceled)
			<-kept.Done()
			if listen {
				require.ErrorIs(t, child.Err(), context.Canceled)
			}
		}
	})
	t.Run("children hang to it without a goroutine", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			inside(t, t.Context(), func(ctx context.Context) {
				child, cancel := context.WithCancel(ctx)
				defer cancel()
				time.Sleep(time.Minute)
				// A goroutine would need a turn to pass the end on. The timer's own
				// goroutine has ended the child before anybody else can see it.
				<-ctx.Done()
				require.Error(t, child.Err())
			})
		})
	})
	t.Run("many may use it at once", func(t *testing.T) {
		inside(t, t.Context(), func(ctx context.Context) {
			var wg sync.WaitGroup
			for range 16 {
				wg.Go(func() {
					ctx.Value(key{})
					if ctx.Err() != nil {
						t.Error("ended early")
					}
					ctx.Done()
				})
			}
			wg.Wait()
		})
	})
}
