package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed355143d4/mailer/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func named(ids ...string) (es []webhook.Event) {
	for _, id := range ids {
		es = append(es, webhook.Event{Provider: "fake", ID: id})
	}
	return es
}

// book notes what a callback gets, and fails as often as it is told.
type book struct {
	mu    sync.Mutex
	calls [][]string
	dealt map[string]int // those of calls that succeeded
	fails int
}

func (b *book) note(_ context.Context, es []webhook.Event) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var ids []string
	for _, e := range es {
		ids = append(ids, e.ID)
	}
	b.calls = append(b.calls, ids)
	if b.fails > 0 {
		b.fails--
		return errors.New("not now")
	}
	if b.dealt == nil {
		b.dealt = map[string]int{}
	}
	for _, id := range ids {
		b.dealt[id]++
	}
	return nil
}

func TestDedupePassesOnWhatIsNew(t *testing.T) {
	var b book
	fn := webhook.Dedupe(nil, b.note)
	for _, es := range [][]webhook.Event{
		named("1", "2"), named("2", "3", "1"), named("1"), named("4", "4", "5", "4"), named("", ""), named("", "1"),
		{{Provider: "other", ID: "1"}},
	} {
		require.NoError(t, fn(t.Context(), es))
	}
	require.Equal(t, [][]string{{"1", "2"}, {"3"}, {"4", "5"}, {"", ""}, {""}, {"1"}}, b.calls)
}

func TestDedupeLosesNothingThatFailed(t *testing.T) {
	for name, fail := range map[string]func(){
		"with an error": func() {},
		"with a panic":  func() { panic("no") },
	} {
		t.Run(name, func(t *testing.T) {
			b := book{fails: 1}
			fn := webhook.Dedupe(nil, func(ctx context.Context, es []webhook.Event) error {
				err := b.note(ctx, es)
				if err != nil {
					fail()
				}
				return err
			})
			func() {
				defer func() { _ = recover() }()
				require.Error(t, fn(t.Context(), named("1", "2")))
			}()
			require.NoError(t, fn(t.Context(), named("2", "3")))
			require.NoError(t, fn(t.Context(), named("1", "2", "3")))
			require.Equal(t, [][]string{{"1", "2"}, {"2", "3"}, {"1"}}, b.calls)
		})
	}
}

// The same event in two requests at once: the second waits, and has it only if the
// first failed.
func TestDedupeHasOneRequestWaitForTheOther(t *testing.T) {
	for _, fails := range []int{0, 1} {
		t.Run(fmt.Sprintf("that fails %d times", fails), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := book{fails: fails}
				fn := webhook.Dedupe(nil, func(ctx context.Context, es []webhook.Event) error {
					time.Sleep(time.Second)
					return b.note(ctx, es)
				})
				failed := make(chan error, 3)
				for _, es := range [][]webhook.Event{named("1", "2"), named("2", "1"), named("2", "3")} {
					go func() { failed <- fn(t.Context(), es) }()
				}
				n := 0
				for range 3 {
					if <-failed != nil {
						n++
					}
				}
				require.Equal(t, fails, n)
				if fails == 0 {
					require.Equal(t, map[string]int{"1": 1, "2": 1, "3": 1}, b.dealt)
				}
				require.Equal(t, 1, b.dealt["2"], "an event of all three")
				require.LessOrEqual(t, b.dealt["1"], 1)
			})
		})
	}
	t.Run("but not for longer than its own context", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			fn := webhook.Dedupe(nil, func(context.Context, []webhook.Event) error {
				time.Sleep(time.Minute)
				return nil
			})
			go fn(t.Context(), named("1"))
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			require.ErrorIs(t, fn(ctx, named("2", "1")), context.DeadlineExceeded)
			require.NoError(t, fn(t.Context(), named("2")), "an event of a request that gave up is not held")
			time.Sleep(2 * time.Minute)
		})
	})
	t.Run("and never for each other", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var b book
			fn := webhook.Dedupe(nil, func(ctx context.Context, es []webhook.Event) error {
				time.Sleep(time.Millisecond)
				return b.note(ctx, es)
			})
			var wg sync.WaitGroup
			for i := range 30 {
				wg.Go(func() {
					es := named("1", "2", "3", "4", "5", "6")
					for j := range es { // each in another order
						k := (i * 7 * (j + 1)) % len(es)
						es[j], es[k] = es[k], es[j]
					}
					if err := fn(t.Context(), es[:1+i%6]); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			require.Equal(t, map[string]int{"1": 1, "2": 1, "3": 1, "4": 1, "5": 1, "6": 1}, b.dealt)
		})
	})
}

// store is a Seen that fails as it is told.
type store struct {
	webhook.Memory
	has, add error
}

func (s *store) Has(ctx context.Context, keys []string) ([]bool, error) {
	has, _ := s.Memory.Has(ctx, keys)
	return has, s.has
}

func (s *store) Add(ctx context.Context, keys []string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.add != nil {
		return s.add
	}
	return s.Memory.Add(ctx, keys)
}

func TestDedupeOverAStoreThatFails(t *testing.T) {
	t.Run("asks the service to try again if it cannot tell what is new", func(t *testing.T) {
		var b book
		s := &store{has: errors.New("gone")}
		require.ErrorIs(t, webhook.Dedupe(s, b.note)(t.Context(), named("1")), s.has)
		require.Empty(t, b.calls)
	})
	t.Run("is content if what was dealt with cannot be noted", func(t *testing.T) {
		text := logged(t)
		var b book
		s := &store{add: errors.New("gone")}
		require.NoError(t, webhook.Dedupe(s, b.note)(t.Context(), named("1")))
		require.Contains(t, text(), "webhook events not remembered")
	})
	t.Run("notes what was dealt with for a service that has hung up", func(t *testing.T) {
		var b book
		ctx, cancel := context.WithCancel(t.Context())
		fn := webhook.Dedupe(new(store), func(ctx context.Context, es []webhook.Event) error {
			cancel()
			return b.note(ctx, es)
		})
		require.NoError(t, fn(ctx, named("1")))
		require.NoError(t, fn(t.Context(), named("1")))
		require.Equal(t, [][]string{{"1"}}, b.calls)
	})
	require.Panics(t, func() { webhook.Dedupe(nil, nil) })
}

// The service, the handler and Dedupe together, over HTTP: the callback fails twice,
// the service tries again, and each event is dealt with once.
func TestEveryEventIsDealtWithOnceAlthoughTheCallbackFailsTwice(t *testing.T) {
	logged(t)
	b := book{fails: 2}
	src := fake(func(r *webhook.Request) (webhook.Delivery, error) {
		return webhook.Delivery{Events: named(strings.Fields(string(r.Body))...)}, nil
	})
	server := httptest.NewServer(webhook.Handler(src, webhook.Dedupe(nil, b.note)))
	defer server.Close()
	defer server.Client().CloseIdleConnections()

	// deliver is what a service does until it reads 200.
	deliver := func(body string) (tries int) {
		for tries = 1; ; tries++ {
			resp, err := server.Client().Post(server.URL, "text/plain", strings.NewReader(body))
			require.NoError(t, err)
			_, err = io.Copy(io.Discard, resp.Body)
			require.NoError(t, err)
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return tries
			}
			require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
			require.Less(t, tries, 10)
		}
	}
	require.Equal(t, 3, deliver("1 2 3"))
	require.Equal(t, 1, deliver("3 4"))
	require.Equal(t, 1, deliver("1 2 3"), "the answer got lost, so it comes once more")
	require.Equal(t, map[string]int{"1": 1, "2": 1, "3": 1, "4": 1}, b.dealt)
	require.Equal(t, [][]string{{"1", "2", "3"}, {"1", "2", "3"}, {"1", "2", "3"}, {"4"}}, b.calls)
}

func TestMemoryForgets(t *testing.T) {
	has := func(t *testing.T, m *webhook.Memory, keys ...string) []bool {
		t.Helper()
		got, err := m.Has(t.Context(), keys)
		require.NoError(t, err)
		return got
	}
	t.Run("what is older than its time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := &webhook.Memory{TTL: time.Hour}
			require.NoError(t, m.Add(t.Context(), []string{"a", "b"}))
			time.Sleep(30 * time.Minute)
			require.NoError(t, m.Add(t.Context(), []string{"b"}))
			time.Sleep(30*time.Minute - 1)
			require.Equal(t, []bool{true, true}, has(t, m, "a", "b"))
			time.Sleep(time.Nanosecond)
			require.Equal(t, []bool{false, true}, has(t, m, "a", "b"))
		})
	})
	t.Run("what it has no room for, the oldest first", func(t *testing.T) {
		m := &webhook.Memory{Max: 3}
		for i := range 10 {
			require.NoError(t, m.Add(t.Context(), []string{fmt.Sprint(i)}))
		}
		require.Equal(t, []bool{false, true, true, true}, has(t, m, "6", "7", "8", "9"))
		require.NoError(t, m.Add(t.Context(), []string{"a", "b", "c", "d", "e"}))
		require.Equal(t, []bool{false, false, false, true, true, true}, has(t, m, "9", "a", "b", "c", "d", "e"))
	})
	t.Run("nothing by default that a service may repeat", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := new(webhook.Memory)
			require.NoError(t, m.Add(t.Context(), []string{"a"}))
			time.Sleep(webhook.DefaultSeenTTL - 1)
			require.Equal(t, []bool{true, false}, has(t, m, "a", "b"))
			time.Sleep(time.Nanosecond)
			require.Equal(t, []bool{false}, has(t, m, "a"))
		})
	})
}

func TestMemoryIsSafeForManyGoroutines(t *testing.T) {
	m := &webhook.Memory{Max: 50}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 100 {
				k := []string{fmt.Sprint(i, j)}
				if err := m.Add(t.Context(), k); err != nil {
					t.Error(err)
				}
				if _, err := m.Has(t.Context(), k); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestAnEventIDTellsItsPartsApart(t *testing.T) {
	seen := map[string][]string{}
	for _, parts := range [][]string{
		nil, {""}, {"", ""}, {"a"}, {"a", ""}, {"", "a"}, {"ab"}, {"a", "b"}, {"b", "a"}, {"1:a"}, {"a", "1:b"}, {"a1:b"},
	} {
		id := webhook.EventID(parts...)
		require.Len(t, id, 24)
		require.Nil(t, seen[id], "%q and %q", seen[id], parts)
		seen[id] = parts
		require.Equal(t, id, webhook.EventID(parts...))
	}
	require.Equal(t, "-s3eer8erFswEnOrLigvebqw", webhook.EventID("a", "b"), "an ID may be stored, so it stays what it is")
}

func BenchmarkMemory(b *testing.B) {
	m := &webhook.Memory{Max: 1 << 20}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		i++
		k := []string{fmt.Sprint("sendgrid:", i)}
		if err := m.Add(b.Context(), k); err != nil {
			b.Fatal(err)
		}
	}
}
