package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
)

// Dialect is the SQL that a database speaks.
type Dialect uint8

// The dialects. Both are tested with the databases themselves.
const (
	// PostgreSQL is that of PostgreSQL 12 or later, tested through the driver "pgx".
	PostgreSQL Dialect = iota + 1
	// SQLite is that of SQLite 3.42 or later, tested through the driver "sqlite" of
	// modernc.org/sqlite. Several connections to one file need a busy time-out:
	// "file:mail.db?_pragma=busy_timeout(5000)".
	SQLite
)

// String says the name: "PostgreSQL", "SQLite".
func (d Dialect) String() string {
	switch d {
	case PostgreSQL:
		return "PostgreSQL"
	case SQLite:
		return "SQLite"
	}
	return "Dialect(" + strconv.Itoa(int(d)) + ")"
}

func (d Dialect) check() error {
	if d != PostgreSQL && d != SQLite {
		return fmt.Errorf("sqlstore: there is no %v", d)
	}
	return nil
}

// sql writes a query for d: "?" are the arguments, and now() is the database's
// clock in milliseconds of the Unix epoch.
func (d Dialect) sql(query string) string {
	now := "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
	if d == PostgreSQL {
		now = "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"
	}
	query = strings.ReplaceAll(query, "now()", now)
	if d != PostgreSQL {
		return query
	}
	var b strings.Builder
	for n := 1; ; n++ {
		before, after, more := strings.Cut(query, "?")
		b.WriteString(before)
		if !more {
			return b.String()
		}
		b.WriteString("$" + strconv.Itoa(n))
		query = after
	}
}

// transact runs do in a transaction, which it commits unless do fails.
func transact(ctx context.Context, db *sql.DB, do func(tx *sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
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
