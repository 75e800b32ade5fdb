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
	return &Suppression{db, dialect}, nil
}

// SuppressionSchema is what Create executes, for those who create tables otherwise.
// It suits both dialects. Times are in microseconds of the Unix epoch; expires is
// the highest number of 64 bits for an entry that stays. A row with removed 1 says
// that there is no entry of that name, as of created.
const SuppressionSchema = `CREATE TABLE IF NOT EXISTS mailer_suppressions (
	address TEXT NOT NULL,
	stream  TEXT NOT NULL,
	reason  TEXT NOT NULL,
	source  TEXT NOT NULL,
	detail  TEXT NOT NULL,
	bounces INTEGER NOT NULL,
	created BIGINT NOT NULL,
	expires BIGINT NOT NULL,
	removed SMALLINT NOT NULL,
	PRIMARY KEY (address, stream, reason)
)`

// never is the expires of an entry that stays.
const never = math.MaxInt64

// Create creates the table unless it exists. Many processes may do so at once.
func (s *Suppression) Create(ctx context.Context) error {
	return s.transact(ctx, func(tx *sql.Tx) error {
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

// lookupAddresses is how many addresses one query asks for at most.
const lookupAddresses = 500

// Lookup is that of [suppression.Store]: one query for every 500 addresses.
func (s *Suppression) Lookup(ctx context.Context, addresses []string) (found []suppression.Entry, err error) {
	keys := make([]any, 0, len(addresses)+1)
	seen := make(map[string]bool, len(addresses))
	for _, a := range addresses {
		if key, ok := suppression.Key(a); ok && !seen[key] {
			seen[key] = true
			keys = append(keys, key)
		}
	}
	now := time.Now().UnixMicro()
	for part := range slices.Chunk(keys, lookupAddresses) {
		page, err := s.query(ctx, `removed = 0 AND expires > ? AND address IN (?`+strings.Repeat(", ?", len(part)-1)+`)`, append([]any{now}, part...)...)
		if err != nil {
			return nil, err
		}
		found = append(found, page...)
	}
	return found, nil
}

// query returns the entries of the rows that a condition fits.
func (s *Suppression) query(ctx context.Context, where string, args ...any) (found []suppression.Entry, err error) {
	rows, err := s.db.QueryContext(ctx, s.dialect.sql(`SELECT address, stream, reason, source, detail, bounces, created, expires
		FROM mailer_suppressions WHERE `+where), args...)
	if err != nil {
		return nil, fmt.Errorf("sqlstore: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var e suppression.Entry
		var created, expires int64
		if err := rows.Scan(&e.Address, &e.Stream, &e.Reason, &e.Source, &e.Detail, &e.Count, &created, &expires); err != nil {
			return nil, fmt.Errorf("sqlstore: %w", err)
		}
		e.Created = time.UnixMicro(created).UTC()
		if expires != never {
			e.Expires = time.UnixMicro(expires).UTC()
		}
		found = append(found, e)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("sqlstore: %w", err)
	}
	return found, nil
}

// Add is that of [suppression.Store]. It adds all entries or, with an error, none.
func (s *Suppression) Add(ctx context.Context, entries []suppression.Entry) error {
	// The later end counts, and of all else the newer, unless the row says that the
	// entry was removed since.
	return s.write(ctx, entries, 0, `ON CONFLICT (address, stream, reason) DO UPDATE SET
		source = CASE WHEN excluded.created >= t.created THEN excluded.source ELSE t.source END,
		detail = CASE WHEN excluded.created >= t.created THEN excluded.detail ELSE t.detail END,
		bounces = CASE WHEN excluded.created >= t.created THEN excluded.bounces ELSE t.bounces END,
		created = CASE WHEN excluded.created >= t.created THEN excluded.created ELSE t.created END,
		expires = CASE WHEN t.removed = 1 OR excluded.expires >= t.expires THEN excluded.expires ELSE t.expires END,
		removed = 0
		WHERE t.removed = 0 OR excluded.created > t.created`)
}

// Remove is that of [suppression.Store]. It removes all entries or, with an error,
// none.
func (s *Suppression) Remove(ctx context.Context, entries []suppression.Entry) error {
	return s.write(ctx, entries, 1, `ON CONFLICT (address, stream, reason) DO UPDATE SET
		detail = '', created = excluded.created, removed = 1
		WHERE excluded.created >= t.created`)
}

func (s *Suppression) write(ctx context.Context, entries []suppression.Entry, removed int, conflict string) error {
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
	return s.transact(ctx, func(tx *sql.Tx) error {
		insert, err := tx.PrepareContext(ctx, s.dialect.sql(`INSERT INTO mailer_suppressions AS t
			(address, stream, reason, source, detail, bounces, created, expires, removed)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) `+conflict))
		if err != nil {
			return err
		}
		defer insert.Close()
		for _, e := range normal {
			expires := int64(never)
			if !e.Expires.IsZero() {
				expires = e.Expires.UnixMicro()
			}
			if _, err := insert.ExecContext(ctx, e.Address, e.Stream, string(e.Reason), e.Source, e.Detail, e.Count, e.Created.UnixMicro(), expires, removed); err != nil {
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
		var last suppression.Entry
		for {
			page, err := s.query(ctx, `removed = 0 AND expires > ? AND (address, stream, reason) > (?, ?, ?)
				ORDER BY address, stream, reason LIMIT ?`, time.Now().UnixMicro(), last.Address, last.Stream, string(last.Reason), allRows)
			if err != nil {
				yield(suppression.Entry{}, err)
				return
			}
			for _, e := range page {
				if !yield(e, nil) {
					return
				}
			}
			if len(page) < allRows {
				return
			}
			last = page[len(page)-1]
		}
	}
}

// Prune deletes the rows of entries that expired or were removed before a time, and
// returns how many. News that is older than that time and comes yet can bring such
// an entry back: services report again for some days, so leave a month.
func (s *Suppression) Prune(ctx context.Context, before time.Time) (deleted int64, err error) {
	at := before.UnixMicro()
	result, err := s.db.ExecContext(ctx, s.dialect.sql(`DELETE FROM mailer_suppressions WHERE expires < ? OR removed = 1 AND created < ?`), at, at)
	if err != nil {
		return 0, fmt.Errorf("sqlstore: %w", err)
	}
	return result.RowsAffected()
}

func (s *Suppression) transact(ctx context.Context, do func(tx *sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("sqlstore: %w", err)
	}
	if err = do(tx); err == nil {
		err = tx.Commit()
	}
	if err != nil {
		_ = tx.Rollback() // the first error is the one that says why
		return fmt.Errorf("sqlstore: %w", err)
	}
	return nil
}
