package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/seed355143d4/mailer/suppression"
)

// Suppression is a [suppression.Store] in a table of a SQL database, for many
// processes at once. It is safe for use by many goroutines. What it waits for is a
// matter of the context alone.
//
// Whether an entry has expired is told by the clock of the process that asks. Rows
// of entries that expired or were removed stay, so that late news cannot bring them
// back; Prune deletes them.
type Suppression struct {
	// FoldLocal says that the case of the local part makes no difference. What is
	// written is the same either way, and reading alone looks at it: it can be set,
	// or no more, over a table that has been filled, and processes that differ in it
	// miss nothing of each other's. Set it before the first use.
	FoldLocal bool

	db      *sql.DB
	dialect Dialect
}

var _ suppression.Store = (*Suppression)(nil)

// NewSuppression returns a Suppression in db, which stays the caller's to close. It
// does no I/O. The table has to exist: see Create.
func NewSuppression(db *sql.DB, dialect Dialect) (*Suppression, error) {
	if db == nil {
		return nil, errors.New("sqlstore: db is nil")
	}
	if err := dialect.check(); err != nil {
		return nil, err
	}
	return &Suppression{db: db, dialect: dialect}, nil
}

// SuppressionSchema is what Create executes, for those who create tables otherwise.
// It suits both dialects. Times are in microseconds of the Unix epoch; expires is
// the highest number of 64 bits for an entry that stays. folded is the
// [suppression.Key] of the address with its local part folded. removed is when the
// entry was removed last, -1 if it never was: there is one if created is later.
const SuppressionSchema = `CREATE TABLE IF NOT EXISTS mailer_suppressions (
	folded  TEXT NOT NULL,
	stream  TEXT NOT NULL,
	reason  TEXT NOT NULL,
	address TEXT NOT NULL,
	source  TEXT NOT NULL,
	detail  TEXT NOT NULL,
	bounces INTEGER NOT NULL,
	created BIGINT NOT NULL,
	expires BIGINT NOT NULL,
	removed BIGINT NOT NULL,
	PRIMARY KEY (folded, stream, reason, address)
)`

const (
	// never is the expires of an entry that stays.
	never = math.MaxInt64
	// all is the limit of a query that has none.
	all = math.MaxInt32
)

// Create creates the table unless it exists. Many processes may do so at once.
func (s *Suppression) Create(ctx context.Context) error {
	return transact(ctx, s.db, func(tx *sql.Tx) error {
		if s.dialect == PostgreSQL {
			// CREATE TABLE IF NOT EXISTS fails if two do it in one moment.
			if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(6277)"); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, SuppressionSchema)
		return err
	})
}

// Key is that of [suppression.Store].
func (s *Suppression) Key(address string) (key string, ok bool) {
	return suppression.Key(address, s.FoldLocal)
}

// lookupAddresses is how many addresses one query asks for at most.
const lookupAddresses = 500

// Lookup is that of [suppression.Store]: one query for every 500 addresses.
func (s *Suppression) Lookup(ctx context.Context, addresses []string) (found []suppression.Entry, err error) {
	asked, seen := make(map[string]bool, len(addresses)), make(map[string]bool, len(addresses))
	var folded []any
	for _, a := range addresses {
		key, ok := s.Key(a)
		if !ok || asked[key] {
			continue
		}
		asked[key] = true
		if key, _ = suppression.Key(key, true); !seen[key] {
			seen[key] = true
			folded = append(folded, key)
		}
	}
	now := time.Now().UnixMicro()
	for part := range slices.Chunk(folded, lookupAddresses) {
		rows, err := s.query(ctx, all, `folded IN (?`+strings.Repeat(", ?", len(part)-1)+`)`, part...)
		if err != nil {
			return nil, err
		}
		for len(rows) > 0 {
			n := s.oneName(rows)
			e, ok := together(rows[:n], now)
			rows = rows[n:]
			if key, _ := s.Key(e.Address); ok && asked[key] {
				found = append(found, e)
			}
		}
	}
	return found, nil
}

// row is a row of the table: an entry, or that it was removed.
type row struct {
	suppression.Entry
	folded                    string
	created, expires, removed int64
}

// query returns the first rows that a condition fits, in the order of the primary
// key.
func (s *Suppression) query(ctx context.Context, limit int, where string, args ...any) (found []row, err error) {
	rows, err := s.db.QueryContext(ctx, s.dialect.sql(`SELECT folded, stream, reason, address, source, detail, bounces, created, expires, removed
		FROM mailer_suppressions WHERE `+where+` ORDER BY folded, stream, reason, address LIMIT ?`), append(args, limit)...)
	if err != nil {
		return nil, fmt.Errorf("sqlstore: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var r row
		if err := rows.Scan(&r.folded, &r.Stream, &r.Reason, &r.Address, &r.Source, &r.Detail, &r.Count, &r.created, &r.expires, &r.removed); err != nil {
			return nil, fmt.Errorf("sqlstore: %w", err)
		}
		found = append(found, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("sqlstore: %w", err)
	}
	return found, nil
}

// oneName returns how many rows at the beginning are of one name.
func (s *Suppression) oneName(rows []row) int {
	first := rows[0]
	other := slices.IndexFunc(rows, func(r row) bool {
		return r.folded != first.folded || r.Stream != first.Stream || r.Reason != first.Reason || r.Address != first.Address && !s.FoldLocal
	})
	if other < 0 {
		return len(rows)
	}
	return other
}

// together returns the entry of rows of one name, if there is one: the newest of those
// that were not removed since, with the latest end.
func together(rows []row, now int64) (e suppression.Entry, ok bool) {
	removed := slices.MaxFunc(rows, func(a, b row) int { return cmp.Compare(a.removed, b.removed) }).removed
	created, expires := removed, int64(0)
	for _, r := range rows {
		if r.created > removed {
			expires = max(expires, r.expires)
		}
		if r.created > created {
			created, e = r.created, r.Entry
		}
	}
	e.Created = time.UnixMicro(created).UTC()
	if expires != never {
		e.Expires = time.UnixMicro(expires).UTC()
	}
	return e, expires > now
}

// Add is that of [suppression.Store]. It adds all entries or, with an error, none.
func (s *Suppression) Add(ctx context.Context, entries []suppression.Entry) error {
	// The later end counts, and of all else the newer, unless the row says that the
	// entry was removed since.
	return s.write(ctx, entries, false, `ON CONFLICT (folded, stream, reason, address) DO UPDATE SET
		source = CASE WHEN excluded.created >= t.created THEN excluded.source ELSE t.source END,
		detail = CASE WHEN excluded.created >= t.created THEN excluded.detail ELSE t.detail END,
		bounces = CASE WHEN excluded.created >= t.created THEN excluded.bounces ELSE t.bounces END,
		created = CASE WHEN excluded.created >= t.created THEN excluded.created ELSE t.created END,
		expires = CASE WHEN t.removed >= t.created OR excluded.expires >= t.expires THEN excluded.expires ELSE t.expires END
		WHERE excluded.created > t.removed`)
}

// Remove is that of [suppression.Store]. It removes all entries or, with an error,
// none.
func (s *Suppression) Remove(ctx context.Context, entries []suppression.Entry) error {
	return s.write(ctx, entries, true, `ON CONFLICT (folded, stream, reason, address) DO UPDATE SET
		detail = CASE WHEN excluded.removed >= t.created THEN '' ELSE t.detail END, removed = excluded.removed
		WHERE excluded.removed > t.removed`)
}

func (s *Suppression) write(ctx context.Context, entries []suppression.Entry, remove bool, conflict string) error {
	normal := make([]suppression.Entry, len(entries))
	for i, e := range entries {
		var err error
		if normal[i], err = e.Normal(); err != nil {
			return err
		}
	}
	if len(normal) == 0 {
		return nil
	}
	// In the order of the names, so that no two transactions wait for each other.
	slices.SortStableFunc(normal, func(a, b suppression.Entry) int {
		return cmp.Or(cmp.Compare(a.Address, b.Address), cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Reason, b.Reason))
	})
	return transact(ctx, s.db, func(tx *sql.Tx) error {
		insert, err := tx.PrepareContext(ctx, s.dialect.sql(`INSERT INTO mailer_suppressions AS t
			(folded, stream, reason, address, source, detail, bounces, created, expires, removed)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) `+conflict))
		if err != nil {
			return err
		}
		defer insert.Close()
		for _, e := range normal {
			folded, _ := suppression.Key(e.Address, true)
			created, expires, removed := e.Created.UnixMicro(), int64(never), int64(-1)
			if !e.Expires.IsZero() {
				expires = e.Expires.UnixMicro()
			}
			if remove {
				e.Detail, removed = "", created
			}
			if _, err := insert.ExecContext(ctx, folded, e.Stream, string(e.Reason), e.Address, e.Source, e.Detail, e.Count, created, expires, removed); err != nil {
				return err
			}
		}
		return nil
	})
}

// allRows is how many rows All reads at once.
const allRows = 1000

// All is that of [suppression.Store], in the order of the addresses. It reads a
// thousand rows at a time, and holds no connection while the caller works.
func (s *Suppression) All(ctx context.Context) iter.Seq2[suppression.Entry, error] {
	return func(yield func(suppression.Entry, error) bool) {
		var last row
		var rows []row
		for more := true; more; {
			now := time.Now().UnixMicro()
			page, err := s.query(ctx, allRows, `(folded, stream, reason, address) > (?, ?, ?, ?)`, last.folded, last.Stream, string(last.Reason), last.Address)
			if err != nil {
				yield(suppression.Entry{}, err)
				return
			}
			if more = len(page) == allRows; more {
				last = page[len(page)-1]
			}
			rows = append(rows, page...)
			for len(rows) > 0 {
				n := s.oneName(rows)
				if n == len(rows) && more {
					break // the next page may go on with it
				}
				e, ok := together(rows[:n], now)
				rows = rows[n:]
				if ok && !yield(e, nil) {
					return
				}
			}
		}
	}
}

// Prune deletes the rows of entries that expired or were removed before a time, and
// returns how many. News that is older than that time and comes yet can bring such
// an entry back: services report again for some days, so leave a month. A row stays
// as long as its removal is what keeps another spelling of its address from holding.
func (s *Suppression) Prune(ctx context.Context, before time.Time) (deleted int64, err error) {
	at := before.UnixMicro()
	result, err := s.db.ExecContext(ctx, s.dialect.sql(`DELETE FROM mailer_suppressions AS t
		WHERE removed < ? AND (removed >= created OR expires < ?) AND NOT EXISTS (
			SELECT 1 FROM mailer_suppressions AS o
			WHERE o.folded = t.folded AND o.stream = t.stream AND o.reason = t.reason AND o.created <= t.removed AND o.created > o.removed)`), at, at)
	if err != nil {
		return 0, fmt.Errorf("sqlstore: %w", err)
	}
	return result.RowsAffected()
}
