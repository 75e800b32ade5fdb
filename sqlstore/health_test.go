package sqlstore_test

import (
	"context"
	"database/sql"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/failover"
	"github.com/seed355143d4/mailer/sqlstore"
)

// database is one database; open returns a new pool of connections to it, as
// another process has.
type database struct {
	dialect sqlstore.Dialect
	open    func(t testing.TB) *sql.DB
}

// onEach runs a test on each kind of database.
func onEach(t *testing.T, test func(t *testing.T, d database)) {
	pool := func(t testing.TB, driver, dsn string) *sql.DB {
		db, err := sql.Open(driver, dsn)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		return db
	}
	t.Run("SQLite", func(t *testing.T) {
		dsn := "file:" + filepath.Join(t.TempDir(), "health.db") + "?_pragma=busy_timeout(20000)"
		test(t, database{sqlstore.SQLite, func(t testing.TB) *sql.DB { return pool(t, "sqlite", dsn) }})
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		dsn := postgres(t)
		test(t, database{sqlstore.PostgreSQL, func(t testing.TB) *sql.DB { return pool(t, "pgx", dsn) }})
	})
}

// health returns a Health of a new pool, with its tables.
func (d database) health(t testing.TB) *sqlstore.Health {
	h, err := sqlstore.NewHealth(d.open(t), d.dialect)
	require.NoError(t, err)
	require.NoError(t, h.Create(t.Context()))
	return h
}

func exchange(t testing.TB, h *sqlstore.Health, news failover.News) failover.News {
	t.Helper()
	known, err := h.Exchange(t.Context(), news)
	require.NoError(t, err)
	return known
}

type (
	rests  = map[string]failover.SharedRest
	counts = map[string]int64
)

func TestHealthTellsEveryProcessOfARest(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		one, other := d.health(t), d.health(t)
		require.Empty(t, exchange(t, one, failover.News{}).Rests)

		quota := failover.SharedRest{For: time.Hour, Kind: mailer.KindQuota, Named: true}
		network := failover.SharedRest{For: 10 * time.Minute, Kind: mailer.KindNetwork}
		require.Len(t, exchange(t, one, failover.News{Rests: rests{"a": quota, "b": network}}).Rests, 2, "also the one that tells it")

		known := exchange(t, other, failover.News{}).Rests
		require.Len(t, known, 2)
		for name, told := range (rests{"a": quota, "b": network}) {
			got := known[name]
			require.LessOrEqual(t, got.For, told.For)
			require.Greater(t, got.For, told.For-5*time.Minute)
			got.For = told.For
			require.Equal(t, told, got)
		}

		shorter := failover.SharedRest{For: time.Minute, Kind: mailer.KindRateLimited}
		known = exchange(t, other, failover.News{Rests: rests{"a": shorter}}).Rests
		require.Equal(t, mailer.KindQuota, known["a"].Kind, "the rest that lasts longest counts")
		longer := failover.SharedRest{For: 2 * time.Hour, Kind: mailer.KindUnauthorized}
		known = exchange(t, other, failover.News{Rests: rests{"a": longer}}).Rests
		require.Equal(t, mailer.KindUnauthorized, known["a"].Kind)
		require.False(t, known["a"].Named)
		require.Greater(t, known["a"].For, 90*time.Minute)

		require.NotContains(t, exchange(t, other, failover.News{Rests: rests{"a": {}}}).Rests, "a")
		require.NotContains(t, exchange(t, one, failover.News{}).Rests, "a", "it is over for all")
		known = exchange(t, one, failover.News{Rests: rests{"a": shorter}}).Rests
		require.Equal(t, mailer.KindRateLimited, known["a"].Kind, "a new rest may be shorter than one that is over")
	})
}

func TestHealthForgetsARestThatPassed(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		h := d.health(t)
		exchange(t, h, failover.News{Rests: rests{"a": {For: time.Hour, Kind: mailer.KindQuota}}})
		_, err := d.open(t).ExecContext(t.Context(), "UPDATE mailer_rests SET until = until - 3600000")
		require.NoError(t, err)
		require.Empty(t, exchange(t, h, failover.News{}).Rests)
	})
}

func TestHealthCounts(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		one, other := d.health(t), d.health(t)
		require.Equal(t, counts{"x": 0}, exchange(t, one, failover.News{Counts: counts{"x": 0}}).Counts)
		require.Equal(t, counts{"x": 3, "y": 1}, exchange(t, one, failover.News{Counts: counts{"x": 3, "y": 1}}).Counts)
		require.Equal(t, counts{"x": 5, "y": 1}, exchange(t, other, failover.News{Counts: counts{"x": 2, "y": 0}}).Counts)
		require.Equal(t, counts{"x": 1}, exchange(t, other, failover.News{Counts: counts{"x": -4}}).Counts)
		require.Empty(t, exchange(t, other, failover.News{}).Counts)
	})
}

func TestHealthCountsExactlyWhenManyCountAtOnce(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		var wg sync.WaitGroup
		for range 4 {
			h := d.health(t)
			for i := range 4 {
				wg.Go(func() {
					// Each in its own order of names, and with rests, to find deadlocks.
					news := failover.News{Counts: counts{}, Rests: rests{}}
					for k := range 4 {
						name := string(rune('a' + (i+k)%4))
						news.Counts[name] = 1
						if i%2 == 0 { // those without rests meet at the counters first
							news.Rests[name] = failover.SharedRest{For: time.Hour, Kind: mailer.KindQuota}
						}
					}
					for range 10 {
						_, err := h.Exchange(t.Context(), news)
						if err != nil {
							t.Error(err)
						}
					}
				})
			}
		}
		wg.Wait()
		read := counts{"a": 0, "b": 0, "c": 0, "d": 0}
		require.Equal(t, counts{"a": 160, "b": 160, "c": 160, "d": 160}, exchange(t, d.health(t), failover.News{Counts: read}).Counts)
	})
}

func TestHealthForgetsCountersOfLongAgo(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		h, db := d.health(t), d.open(t)
		exchange(t, h, failover.News{Counts: counts{"a 2026-08": 1, "a 2026-09": 1}})
		const day = 24 * 60 * 60 * 1000
		_, err := db.ExecContext(t.Context(), "UPDATE mailer_counts SET touched = touched - $1 WHERE name = 'a 2026-08'", 63*day)
		require.NoError(t, err)
		_, err = db.ExecContext(t.Context(), "UPDATE mailer_counts SET touched = touched - $1 WHERE name = 'a 2026-09'", 61*day)
		require.NoError(t, err)
		names := func() (n int) {
			require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM mailer_counts").Scan(&n))
			return n
		}
		exchange(t, h, failover.News{Counts: counts{"a 2026-09": 0}})
		require.Equal(t, 2, names(), "nothing is forgotten while no new period begins")
		exchange(t, h, failover.News{Counts: counts{"a 2026-11": 1}})
		require.Equal(t, 2, names())
		require.Equal(t, counts{"a 2026-09": 1, "a 2026-11": 1},
			exchange(t, h, failover.News{Counts: counts{"a 2026-09": 0, "a 2026-11": 0}}).Counts)
	})
}

func TestHealthNotesAllOrNothing(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		h := d.health(t)
		_, err := d.open(t).ExecContext(t.Context(), "DROP TABLE mailer_rests")
		require.NoError(t, err)
		_, err = h.Exchange(t.Context(), failover.News{Counts: counts{"a": 1}})
		require.ErrorContains(t, err, "sqlstore: ")
		require.ErrorContains(t, err, "mailer_rests")
		require.NoError(t, h.Create(t.Context()))
		require.Equal(t, counts{"a": 0}, exchange(t, h, failover.News{Counts: counts{"a": 0}}).Counts)
	})
}

func TestHealthEndsWithItsContext(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		h := d.health(t)
		exchange(t, h, failover.News{Counts: counts{"a": 1}})
		release := lock(t, d)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := h.Exchange(ctx, failover.News{Counts: counts{"a": 1}})
		require.Error(t, err)
		require.Error(t, ctx.Err())
		release()
		require.Equal(t, counts{"a": 1}, exchange(t, h, failover.News{Counts: counts{"a": 0}}).Counts)
	})
}

// lock keeps everybody from writing until release is called.
func lock(t testing.TB, d database) (release func()) {
	db := d.open(t)
	tx, err := db.BeginTx(context.Background(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback() })
	_, err = tx.ExecContext(t.Context(), "UPDATE mailer_counts SET total = total")
	require.NoError(t, err)
	if d.dialect == sqlstore.PostgreSQL {
		_, err = tx.ExecContext(t.Context(), "LOCK TABLE mailer_counts, mailer_rests IN ACCESS EXCLUSIVE MODE")
		require.NoError(t, err)
	}
	return func() { require.NoError(t, tx.Rollback()) }
}

func TestManyProcessesCreateTheTablesAtOnce(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		var wg sync.WaitGroup
		for range 8 {
			h, err := sqlstore.NewHealth(d.open(t), d.dialect)
			require.NoError(t, err)
			wg.Go(func() {
				if err := h.Create(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

func TestNewHealthRefuses(t *testing.T) {
	_, err := sqlstore.NewHealth(nil, sqlstore.SQLite)
	require.EqualError(t, err, "sqlstore: db is nil")
	for _, d := range []sqlstore.Dialect{0, 3} {
		_, err = sqlstore.NewHealth(new(sql.DB), d)
		require.ErrorContains(t, err, "there is no Dialect(")
	}
	require.Equal(t, "PostgreSQL SQLite", sqlstore.PostgreSQL.String()+" "+sqlstore.SQLite.String())
}

// process is a chain over two made-up services, as one process has it.
type process struct {
	*failover.Chain
	shared *failover.Shared
	answer error // of the first service
	calls  int   // of the first service
}

func newProcess(t testing.TB, h *sqlstore.Health, budget *failover.Budget) *process {
	p := &process{shared: &failover.Shared{Backend: h, Every: time.Hour}}
	cfg := failover.Config{Store: p.shared, Logger: slog.New(slog.DiscardHandler)}
	if budget != nil {
		budget.Shared = p.shared
		cfg.Order = budget
	}
	first := mailer.SenderFunc(func(context.Context, mailer.Message) (mailer.Receipt, error) {
		p.calls++
		return mailer.Receipt{}, p.answer
	})
	second := mailer.SenderFunc(func(context.Context, mailer.Message) (mailer.Receipt, error) {
		return mailer.Receipt{}, nil
	})
	var err error
	p.Chain, err = failover.New(cfg, failover.Target{Name: "first", Sender: first}, failover.Target{Name: "second", Sender: second})
	require.NoError(t, err)
	return p
}

func (p *process) via(t testing.TB, to ...mailer.Address) string {
	t.Helper()
	r, err := p.Send(t.Context(), mailer.Message{ID: "m1", To: to})
	require.NoError(t, err)
	return r.Provider
}

func (p *process) sync(t testing.TB) {
	t.Helper()
	require.NoError(t, p.shared.Sync(t.Context()))
}

func TestChainsInTwoProcessesKnowOfEachOthersRests(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		one, other := newProcess(t, d.health(t), nil), newProcess(t, d.health(t), nil)
		other.sync(t)
		one.answer = &mailer.Error{Kind: mailer.KindRateLimited, NotSent: true, RetryAfter: time.Hour}
		require.Equal(t, "second", one.via(t))
		one.sync(t)

		other.sync(t)
		require.Equal(t, "second", other.via(t))
		require.Zero(t, other.calls, "the other process need not find out by itself")
		h := other.Health()[0]
		require.Equal(t, failover.Resting, h.State)
		require.Equal(t, mailer.KindRateLimited, mailer.KindOf(h.LastError))
		require.WithinDuration(t, one.Health()[0].RestUntil, h.RestUntil, time.Minute)

		started := newProcess(t, d.health(t), nil)
		started.sync(t)
		require.Equal(t, "second", started.via(t), "nor need one that starts")
		require.Zero(t, started.calls)
	})
}

func TestChainsInTwoProcessesSpendOneBudget(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		budget := func() *failover.Budget {
			return &failover.Budget{Allow: map[string]failover.Allowance{"first": {Day: 10}}}
		}
		one, other := newProcess(t, d.health(t), budget()), newProcess(t, d.health(t), budget())
		for range 6 {
			require.Equal(t, "first", one.via(t))
		}
		one.sync(t)
		other.sync(t)
		require.Equal(t, "second", other.via(t, make([]mailer.Address, 5)...))
		require.Equal(t, "first", other.via(t, make([]mailer.Address, 3)...), "each recipient counts")
		other.sync(t)
		one.sync(t)
		require.Equal(t, "second", one.via(t, make([]mailer.Address, 2)...))
		require.Equal(t, "first", one.via(t))
		require.Equal(t, "second", one.via(t))
		require.Equal(t, 8, one.calls+other.calls)
	})
}

// The lock is held until Send has returned: a Send that waited for it would never
// return.
func TestADatabaseThatHangsDelaysNoSend(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		p := newProcess(t, d.health(t), &failover.Budget{Allow: map[string]failover.Allowance{"first": {Day: 10}}})
		p.sync(t)
		release := lock(t, d)
		p.answer = &mailer.Error{Kind: mailer.KindQuota, NotSent: true, RetryAfter: time.Hour}
		require.Equal(t, "second", p.via(t))
		require.Equal(t, "second", p.via(t))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		require.Error(t, p.shared.Sync(ctx))
		release()
		p.sync(t)
		other := newProcess(t, d.health(t), nil)
		other.sync(t)
		require.Equal(t, "second", other.via(t), "what could not be told then is told now")
		require.Zero(t, other.calls)
	})
}
