package suppression_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer/suppression"
)

// entry is one for all mail.
func entry(address string, reason suppression.Reason) suppression.Entry {
	return suppression.Entry{Address: address, Reason: reason}
}

// of limits an entry to a stream.
func of(e suppression.Entry, stream string) suppression.Entry {
	e.Stream = stream
	return e
}

// memory returns a list with the entries.
func memory(t testing.TB, entries ...suppression.Entry) *suppression.Memory {
	t.Helper()
	m := suppression.NewMemory()
	require.NoError(t, m.Add(t.Context(), entries))
	return m
}

// contents returns what a store holds.
func contents(t testing.TB, s suppression.Store) (all []suppression.Entry) {
	t.Helper()
	for e, err := range s.All(t.Context()) {
		require.NoError(t, err)
		all = append(all, e)
	}
	return all
}

func TestWhichMailAnEntryHolds(t *testing.T) {
	now := time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)
	until := func(e suppression.Entry, d time.Duration) suppression.Entry {
		e.Expires = now.Add(d)
		return e
	}
	for _, c := range []struct {
		name   string
		e      suppression.Entry
		stream string
		want   bool
	}{
		{"for all mail, a message without a stream", entry("a@example.com", suppression.HardBounce), "", true},
		{"for all mail, a message of a stream", entry("a@example.com", suppression.Complaint), "newsletter", true},
		{"for a stream, a message of it", of(entry("a@example.com", suppression.Unsubscribe), "newsletter"), "newsletter", true},
		{"for a stream, a message of another", of(entry("a@example.com", suppression.Unsubscribe), "newsletter"), "offers", false},
		{"for a stream, a message without one", of(entry("a@example.com", suppression.Unsubscribe), "newsletter"), "", false},
		{"a moment before it expires", until(entry("a@example.com", suppression.Manual), 1), "", true},
		{"the moment it expires", until(entry("a@example.com", suppression.Manual), 0), "", false},
		{"a count of soft bounces", entry("a@example.com", suppression.Strike), "", false},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, c.e.Holds(c.stream, now)) })
	}
}

func TestNormal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		zone := time.FixedZone("", 3600)
		got, err := suppression.Entry{
			Address: "Ada@BÜCHER.example", Reason: suppression.Manual, Detail: "a\tb\u2028c",
			Created: time.Date(2026, 1, 2, 3, 4, 5, 6789, zone), Expires: time.Date(12026, 1, 1, 0, 0, 0, 0, zone),
		}.Normal()
		require.NoError(t, err)
		require.Equal(t, suppression.Entry{
			Address: "Ada@xn--bcher-kva.example", Reason: suppression.Manual, Detail: "a b c",
			Created: time.Date(2026, 1, 2, 2, 4, 5, 6000, time.UTC), Expires: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC),
		}, got)
		again, err := got.Normal()
		require.NoError(t, err)
		require.Equal(t, got, again)

		got, err = entry("ada@example.com", suppression.Manual).Normal()
		require.NoError(t, err)
		require.Equal(t, time.Now().UTC(), got.Created)
		got, err = suppression.Entry{Address: "ada@example.com", Reason: suppression.Manual, Created: time.Unix(-1, 0)}.Normal()
		require.NoError(t, err)
		require.Equal(t, time.Unix(0, 0).UTC(), got.Created)
	})
	_, err := entry("ada", suppression.Manual).Normal()
	require.EqualError(t, err, `suppression: not an entry: "ada" is no address`)
	_, err = entry(strings.Repeat("é", 300), suppression.Manual).Normal()
	require.Less(t, len(err.Error()), 600)
}

func TestAMemoryForgetsWhatHasExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := memory(t, suppression.Entry{Address: "ada@example.com", Reason: suppression.SoftBounce, Expires: time.Now().Add(time.Hour)})
		at := func() int {
			found, err := m.Lookup(t.Context(), []string{"ada@example.com"})
			require.NoError(t, err)
			require.Len(t, contents(t, m), len(found))
			return len(found)
		}
		time.Sleep(time.Hour - time.Microsecond)
		require.Equal(t, 1, at())
		time.Sleep(time.Microsecond)
		require.Zero(t, at())
	})
}
