package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer/sqlstore"
	"github.com/seed355143d4/mailer/suppression"
	"github.com/seed355143d4/mailer/suppression/suppressiontest"
)

// suppressions returns a Suppression of a new pool, with its table.
func (d database) suppressions(t testing.TB) *sqlstore.Suppression {
	s, err := sqlstore.NewSuppression(d.open(t), d.dialect)
	require.NoError(t, err)
	require.NoError(t, s.Create(t.Context()))
	return s
}

// only returns a new database of one kind.
func only(t testing.TB, name string) database {
	dialect, driver, dsn := sqlstore.SQLite, "sqlite", "file:"+filepath.Join(t.TempDir(), "mail.db")+"?_pragma=busy_timeout(20000)"
	if name == "PostgreSQL" {
		dialect, driver, dsn = sqlstore.PostgreSQL, "pgx", postgres(t)
	}
	return database{dialect, func(t testing.TB) *sql.DB {
		db, err := sql.Open(driver, dsn)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		return db
	}}
}

func TestSuppressionIsAStore(t *testing.T) {
	for _, name := range []string{"SQLite", "PostgreSQL"} {
		t.Run(name, func(t *testing.T) {
			suppressiontest.Run(t, func(t *testing.T) (s suppression.Store) {
				return only(t, name).suppressions(t)
			})
		})
	}
}

func TestSuppressionIsSharedByProcesses(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		a, b := d.suppressions(t), d.suppressions(t)
		e := suppression.Entry{Address: "Ada@Example.com", Reason: suppression.Complaint, Created: time.Unix(1, 0)}
		require.NoError(t, a.Add(t.Context(), []suppression.Entry{e}))
		found, err := b.Lookup(t.Context(), []string{"ada@example.com"})
		require.NoError(t, err)
		require.Len(t, found, 1)
		require.NoError(t, b.Remove(t.Context(), found))
		require.NoError(t, a.Add(t.Context(), []suppression.Entry{e}))
		found, err = a.Lookup(t.Context(), []string{"ada@example.com"})
		require.NoError(t, err)
		require.Empty(t, found, "reported again after it was removed")
	})
}

// Two that write the same entries in opposite order wait for each other for good if
// nobody orders them.
func TestSuppressionsWrittenInOppositeOrderDoNotDeadlock(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		var up, down []suppression.Entry
		for i := range 200 {
			up = append(up, suppression.Entry{Address: fmt.Sprintf("user%03d@example.com", i), Reason: suppression.Manual, Created: time.Unix(1, 0)})
			down = append([]suppression.Entry{up[i]}, down...)
		}
		errs := make(chan error, 8)
		var wg sync.WaitGroup
		for i := range 4 {
			s := d.suppressions(t)
			wg.Go(func() {
				for range 5 {
					errs <- s.Add(context.Background(), [][]suppression.Entry{up, down}[i%2])
				}
			})
		}
		go func() { wg.Wait(); close(errs) }()
		for err := range errs {
			require.NoError(t, err)
		}
	})
}

func TestSuppressionSaysWhatFails(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s, err := sqlstore.NewSuppression(d.open(t), d.dialect)
		require.NoError(t, err)
		e := []suppression.Entry{{Address: "ada@example.com", Reason: suppression.Manual}}
		_, err = s.Lookup(t.Context(), []string{"ada@example.com"})
		require.ErrorContains(t, err, "sqlstore: ", "there is no table")
		require.ErrorContains(t, s.Add(t.Context(), e), "mailer_suppressions")
		require.ErrorContains(t, s.Remove(t.Context(), e), "mailer_suppressions")
		_, err = s.Prune(t.Context(), time.Now())
		require.ErrorContains(t, err, "mailer_suppressions")
		n := 0
		for _, err := range s.All(t.Context()) {
			n++
			require.ErrorContains(t, err, "mailer_suppressions")
		}
		require.Equal(t, 1, n)
		require.NoError(t, s.Create(t.Context()))
		require.NoError(t, s.Create(t.Context()))

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = s.Lookup(ctx, []string{"ada@example.com"})
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, s.Add(ctx, e), context.Canceled)
	})
	_, err := sqlstore.NewSuppression(nil, sqlstore.SQLite)
	require.EqualError(t, err, "sqlstore: db is nil")
	onEach(t, func(t *testing.T, d database) {
		s, err := sqlstore.NewSuppression(d.open(t), 7)
		require.Nil(t, s)
		require.EqualError(t, err, "sqlstore: there is no Dialect(7)")
	})
}

func TestSuppressionPrunesWhatHasEnded(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := d.suppressions(t)
		now := time.Now()
		entry := func(address string, created, expires time.Time) suppression.Entry {
			return suppression.Entry{Address: address, Reason: suppression.Manual, Created: created, Expires: expires}
		}
		long, short := now.Add(-48*time.Hour), now.Add(-time.Hour)
		require.NoError(t, s.Add(t.Context(), []suppression.Entry{
			entry("stays@example.com", long, time.Time{}), entry("ends@example.com", long, now.Add(time.Hour)),
			entry("ended@example.com", long, short), entry("ended-long-ago@example.com", long, long),
		}))
		require.NoError(t, s.Remove(t.Context(), []suppression.Entry{entry("removed@example.com", short, time.Time{}), entry("removed-long-ago@example.com", long, time.Time{})}))
		deleted, err := s.Prune(t.Context(), now.Add(-24*time.Hour))
		require.NoError(t, err)
		require.EqualValues(t, 2, deleted)
		deleted, err = s.Prune(t.Context(), now)
		require.NoError(t, err)
		require.EqualValues(t, 2, deleted)
		var left []string
		for e, err := range s.All(t.Context()) {
			require.NoError(t, err)
			left = append(left, e.Address)
		}
		require.Equal(t, []string{"ends@example.com", "stays@example.com"}, left)
	})
}

// A Strike counted by Add of an entry beside one that is none is not half done.
func TestSuppressionAddsAllOrNone(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		db := d.open(t)
		s, err := sqlstore.NewSuppression(db, d.dialect)
		require.NoError(t, err)
		_, err = db.ExecContext(t.Context(), sqlstore.SuppressionSchema)
		require.NoError(t, err, "the schema alone will do")
		if d.dialect == sqlstore.SQLite {
			_, err = db.ExecContext(t.Context(), `CREATE TRIGGER no BEFORE INSERT ON mailer_suppressions WHEN NEW.address = 'no@example.com' BEGIN SELECT RAISE(ABORT, 'no'); END`)
		} else {
			_, err = db.ExecContext(t.Context(), `ALTER TABLE mailer_suppressions ADD CHECK (address <> 'no@example.com')`)
		}
		require.NoError(t, err)
		err = s.Add(t.Context(), []suppression.Entry{{Address: "ada@example.com", Reason: suppression.Manual}, {Address: "no@example.com", Reason: suppression.Manual}})
		require.Error(t, err)
		require.False(t, errors.Is(err, suppression.ErrEntry))
		found, err := s.Lookup(t.Context(), []string{"ada@example.com"})
		require.NoError(t, err)
		require.Empty(t, found)
	})
}

func BenchmarkSuppressionLookup(b *testing.B) {
	for _, name := range []string{"SQLite", "PostgreSQL"} {
		b.Run(name, func(b *testing.B) {
			s := only(b, name).suppressions(b)
			var page []suppression.Entry
			for i := range 10_000 {
				page = append(page, suppression.Entry{Address: fmt.Sprintf("user%d@example.com", i), Reason: suppression.HardBounce})
			}
			require.NoError(b, s.Add(b.Context(), page))
			for b.Loop() {
				if found, err := s.Lookup(b.Context(), []string{"user5000@example.com"}); err != nil || len(found) != 1 {
					b.Fatal(found, err)
				}
			}
		})
	}
}
