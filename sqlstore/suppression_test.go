package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
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

// folding returns one that folds local parts.
func (d database) folding(t testing.TB) *sqlstore.Suppression {
	s := d.suppressions(t)
	s.FoldLocal = true
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
			t.Run("local parts as they are", func(t *testing.T) {
				suppressiontest.Run(t, false, func(t *testing.T) suppression.Store { return only(t, name).suppressions(t) })
			})
			t.Run("local parts folded", func(t *testing.T) {
				suppressiontest.Run(t, true, func(t *testing.T) suppression.Store { return only(t, name).folding(t) })
			})
		})
	}
}

func TestSuppressionIsSharedByProcesses(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		a, b := d.suppressions(t), d.suppressions(t)
		e := suppression.Entry{Address: "ada@Example.com", Reason: suppression.Complaint, Created: time.Unix(1, 0)}
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

// held returns what a store says of addresses, each entry as its address and Detail.
func held(t testing.TB, s suppression.Store, addresses ...string) (found []string) {
	t.Helper()
	entries, err := s.Lookup(t.Context(), addresses)
	require.NoError(t, err)
	for _, e := range entries {
		found = append(found, e.Address+" "+e.Detail)
	}
	slices.Sort(found)
	var all []string
	for e, err := range s.All(t.Context()) {
		require.NoError(t, err)
		all = append(all, e.Address+" "+e.Detail)
	}
	slices.Sort(all)
	require.Equal(t, all, found, "asked for all there are")
	return found
}

// Folding is a matter of reading: a table that was filled without it, or by a process
// without it, is read with it at once, and the other way round, and nothing is lost.
func TestFoldingCanBeTurnedOnAndOffOverAFilledTable(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		asIs, folded := d.suppressions(t), d.folding(t)
		start := time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)
		at := func(address string, minutes int) []suppression.Entry {
			return []suppression.Entry{{Address: address, Reason: suppression.HardBounce, Detail: fmt.Sprint("at ", minutes), Created: start.Add(time.Duration(minutes) * time.Minute)}}
		}
		everybody := []string{"Ada@example.com", "ada@example.com", "ADA@example.com", "Ben@example.com", "ben@example.com"}
		require.NoError(t, asIs.Add(t.Context(), at("Ada@example.com", 1)))
		require.NoError(t, asIs.Add(t.Context(), at("ada@example.com", 2)))
		require.NoError(t, folded.Add(t.Context(), at("Ben@example.com", 3)))
		require.Equal(t, []string{"Ada@example.com at 1", "Ben@example.com at 3", "ada@example.com at 2"}, held(t, asIs, everybody...))
		require.Equal(t, []string{"Ben@example.com at 3", "ada@example.com at 2"}, held(t, folded, "ADA@example.com", "ben@example.com"))

		// What one removes, the other knows of.
		require.NoError(t, folded.Remove(t.Context(), at("ADA@example.com", 4)))
		require.NoError(t, asIs.Remove(t.Context(), at("Ben@example.com", 4)))
		require.Empty(t, held(t, folded, everybody...))
		require.Equal(t, []string{"Ada@example.com at 1", "ada@example.com at 2"}, held(t, asIs, everybody...), "ADA is somebody else")
		require.NoError(t, asIs.Add(t.Context(), at("aDa@example.com", 3)))
		require.Empty(t, held(t, folded, everybody...), "late")
		require.NoError(t, asIs.Add(t.Context(), at("Ada@example.com", 5)))
		require.Equal(t, []string{"Ada@example.com at 5"}, held(t, folded, everybody...))

		// Pruning does not undo a removal that another spelling is held back by.
		require.NoError(t, folded.Remove(t.Context(), at("ADA@example.com", 6)))
		deleted, err := folded.Prune(t.Context(), start.Add(time.Hour))
		require.NoError(t, err)
		require.EqualValues(t, 1, deleted, "Ben's")
		require.Empty(t, held(t, folded, everybody...))
		for _, e := range []string{"Ada@example.com", "ada@example.com", "aDa@example.com"} {
			require.NoError(t, folded.Remove(t.Context(), at(e, 7)))
		}
		deleted, err = folded.Prune(t.Context(), start.Add(time.Hour))
		require.NoError(t, err)
		require.EqualValues(t, 4, deleted)
		require.Empty(t, held(t, folded, everybody...))
		require.Empty(t, held(t, asIs, everybody...))
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
