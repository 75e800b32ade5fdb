package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/failover"
)

// Health is a [failover.Backend]: with it the chains of several processes share
// rests and budgets through two tables of a SQL database. It is safe for use by many
// goroutines and processes. What it waits for is a matter of the context alone.
//
// Rests are measured by the clock of the database, so those of the processes need
// not agree.
type Health struct {
	db      *sql.DB
	dialect Dialect
}

var _ failover.Backend = (*Health)(nil)

// NewHealth returns a Health in db, which stays the caller's to close. It does no
// I/O. The tables have to exist: see Create.
func NewHealth(db *sql.DB, dialect Dialect) (*Health, error) {
	if db == nil {
		return nil, errors.New("sqlstore: db is nil")
	}
	return &Health{db, dialect}, dialect.check()
}

// HealthSchema is what Create executes, for those who create tables otherwise. It
// suits both dialects. Times are in milliseconds of the Unix epoch.
const HealthSchema = `CREATE TABLE IF NOT EXISTS mailer_rests (
	target TEXT PRIMARY KEY,
	until  BIGINT NOT NULL,
	reason TEXT NOT NULL,
	named  SMALLINT NOT NULL
);
CREATE TABLE IF NOT EXISTS mailer_counts (
	name    TEXT PRIMARY KEY,
	total   BIGINT NOT NULL,
	touched BIGINT NOT NULL
)`

// Create creates the tables unless they exist. Many processes may do so at once.
func (h *Health) Create(ctx context.Context) error {
	return transact(ctx, h.db, func(tx *sql.Tx) error {
		if h.dialect == PostgreSQL {
			// CREATE TABLE IF NOT EXISTS fails if two do it in one moment.
			if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(6276)"); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, HealthSchema)
		return err
	})
}

// keepCounts is for how long a counter is kept that nobody adds to.
const keepCounts = 62 * 24 * time.Hour

// Exchange implements [failover.Backend], in one transaction.
func (h *Health) Exchange(ctx context.Context, news failover.News) (known failover.News, err error) {
	known = failover.News{Rests: map[string]failover.SharedRest{}, Counts: map[string]int64{}}
	err = transact(ctx, h.db, func(tx *sql.Tx) error {
		// In the order of the names, so that no two transactions wait for each other.
		// What writes stands first, since SQLite does not let a reader become a writer
		// after another one wrote.
		for _, target := range slices.Sorted(maps.Keys(news.Rests)) {
			if err := h.rest(ctx, tx, target, news.Rests[target]); err != nil {
				return err
			}
		}
		names := slices.Sorted(maps.Keys(news.Counts))
		for _, name := range names {
			if err := h.add(ctx, tx, name, news.Counts[name], known.Counts); err != nil {
				return err
			}
		}
		for _, name := range names {
			if err := h.read(ctx, tx, name, known.Counts); err != nil {
				return err
			}
		}
		return h.rests(ctx, tx, known.Rests)
	})
	if err != nil {
		return failover.News{}, err
	}
	return known, nil
}

func (h *Health) rest(ctx context.Context, tx *sql.Tx, target string, r failover.SharedRest) error {
	if r.For <= 0 {
		_, err := tx.ExecContext(ctx, h.dialect.sql(`DELETE FROM mailer_rests WHERE target = ?`), target)
		return err
	}
	named := 0
	if r.Named {
		named = 1
	}
	_, err := tx.ExecContext(ctx, h.dialect.sql(`INSERT INTO mailer_rests (target, until, reason, named)
		VALUES (?, now() + ?, ?, ?)
		ON CONFLICT (target) DO UPDATE SET until = excluded.until, reason = excluded.reason, named = excluded.named
		WHERE excluded.until > mailer_rests.until`), target, r.For.Milliseconds(), r.Kind.String(), named)
	return err
}

func (h *Health) add(ctx context.Context, tx *sql.Tx, name string, n int64, sums map[string]int64) error {
	if n == 0 {
		return nil
	}
	var sum int64
	err := tx.QueryRowContext(ctx, h.dialect.sql(`INSERT INTO mailer_counts (name, total, touched)
		VALUES (?, ?, now())
		ON CONFLICT (name) DO UPDATE SET total = mailer_counts.total + excluded.total, touched = excluded.touched
		RETURNING total`), name, n).Scan(&sum)
	if err != nil {
		return err
	}
	sums[name] = sum
	if sum == n { // a new period began: the time to forget old ones
		_, err = tx.ExecContext(ctx, h.dialect.sql(`DELETE FROM mailer_counts WHERE touched < now() - ?`), keepCounts.Milliseconds())
	}
	return err
}

func (h *Health) read(ctx context.Context, tx *sql.Tx, name string, sums map[string]int64) error {
	if _, known := sums[name]; known {
		return nil
	}
	var sum int64
	err := tx.QueryRowContext(ctx, h.dialect.sql(`SELECT total FROM mailer_counts WHERE name = ?`), name).Scan(&sum)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	sums[name] = sum
	return nil
}

func (h *Health) rests(ctx context.Context, tx *sql.Tx, rests map[string]failover.SharedRest) error {
	rows, err := tx.QueryContext(ctx, h.dialect.sql(`SELECT target, until - now(), reason, named FROM mailer_rests WHERE until > now()`))
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // rows.Err says what matters
	for rows.Next() {
		var target, reason string
		var left, named int64
		if err := rows.Scan(&target, &left, &reason, &named); err != nil {
			return err
		}
		rests[target] = failover.SharedRest{
			For: time.Duration(left) * time.Millisecond, Kind: kind(reason), Named: named != 0,
		}
	}
	return rows.Err()
}

// kind reads what Kind.String wrote.
func kind(name string) mailer.Kind {
	for k := mailer.KindUnknown; k <= mailer.KindCanceled; k++ {
		if k.String() == name {
			return k
		}
	}
	return mailer.KindUnknown
}
