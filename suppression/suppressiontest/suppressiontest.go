// Package suppressiontest proves a [suppression.Store]: what every store has to do,
// in memory or in a database.
package suppressiontest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer/suppression"
)

// Run runs the suite against stores that open returns, each empty and of its own.
// foldLocal says whether they fold local parts; for stores that can do both, run it
// twice.
func Run(t *testing.T, foldLocal bool, open func(t *testing.T) suppression.Store) {
	for _, c := range []struct {
		name string
		test func(*testing.T, suppression.Store)
	}{
		{"an empty store has nobody", empty},
		{"what was added is found as it is", roundTrip},
		{"an address is found in every spelling", spellings},
		{"the case of the local part", func(t *testing.T, s suppression.Store) { localParts(t, s, foldLocal) }},
		{"each address has its own entries", own},
		{"one name is one entry", oneName},
		{"the newer entry counts, and the later end", newerCounts},
		{"what was removed stays removed until something newer", removal},
		{"a removal comes before what it removes", removalFirst},
		{"a look-up can be taken back", takeBack},
		{"what has expired is not there", expiry},
		{"what is no entry is refused, and with it the whole call", refusals},
		{"many are added and looked up at once", many},
		{"a sequence may be left early", leftEarly},
		{"many goroutines at once", concurrent},
		{"nothing of the arguments is kept or changed", arguments},
		{"any order ends the same", anyOrder},
		{"nothing is nothing", nothing},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// base is when most of the entries were reported.
var base = time.Date(2026, 11, 2, 9, 14, 12, 551_234_000, time.UTC)

func hard(address string) suppression.Entry {
	return suppression.Entry{Address: address, Reason: suppression.HardBounce, Source: "postmark", Detail: "550 5.1.1 no such user", Created: base}
}

func order(a, b suppression.Entry) int {
	return cmp.Or(cmp.Compare(a.Address, b.Address), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Stream, b.Stream))
}

func add(t *testing.T, s suppression.Store, entries ...suppression.Entry) {
	t.Helper()
	require.NoError(t, s.Add(t.Context(), entries))
}

func remove(t *testing.T, s suppression.Store, entries ...suppression.Entry) {
	t.Helper()
	require.NoError(t, s.Remove(t.Context(), entries))
}

func lookup(t *testing.T, s suppression.Store, addresses ...string) []suppression.Entry {
	t.Helper()
	found, err := s.Lookup(t.Context(), addresses)
	require.NoError(t, err)
	slices.SortFunc(found, order)
	return found
}

func all(t *testing.T, s suppression.Store) (entries []suppression.Entry) {
	t.Helper()
	for e, err := range s.All(t.Context()) {
		require.NoError(t, err)
		entries = append(entries, e)
	}
	slices.SortFunc(entries, order)
	return entries
}

// holds requires that the store has exactly the entries, by look-up and in all.
func holds(t *testing.T, s suppression.Store, entries ...suppression.Entry) {
	t.Helper()
	var addresses []string
	for _, e := range entries {
		addresses = append(addresses, e.Address)
	}
	slices.SortFunc(entries, order)
	require.Equal(t, entries, all(t, s))
	require.Equal(t, entries, lookup(t, s, addresses...))
}

func empty(t *testing.T, s suppression.Store) {
	require.Empty(t, lookup(t, s, "ada@example.com", "ben@example.com"))
	require.Empty(t, all(t, s))
}

func roundTrip(t *testing.T, s suppression.Store) {
	entries := []suppression.Entry{
		hard("ada@example.com"),
		{Address: "ada@example.com", Reason: suppression.Unsubscribe, Stream: "newsletter", Source: "one-click", Created: base.Add(time.Hour)},
		{Address: "ada@example.com", Reason: suppression.Unsubscribe, Stream: "offers", Created: base},
		{Address: "ben@example.com", Reason: suppression.SoftBounce, Source: "ses", Count: 5, Created: base, Expires: time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)},
		{Address: "cleo@example.com", Reason: suppression.Complaint, Source: "sendgrid", Detail: "Ünïcode 'quotes\" ; -- $1 ? \\ %", Created: time.UnixMicro(1).UTC()},
		{Address: "dan@example.com", Reason: suppression.Manual, Created: base},
		{Address: "eve@example.com", Reason: suppression.Strike, Count: 1, Created: base},
		{Address: "é@xn--bcher-kva.example", Reason: suppression.HardBounce, Created: base},
	}
	add(t, s, entries...)
	holds(t, s, entries...)
	require.Equal(t, entries[:3], lookup(t, s, "ada@example.com"))
	require.Equal(t, entries[:3], lookup(t, s, "ada@example.com", "ada@EXAMPLE.com", "nobody@example.com"), "each once")
}

func spellings(t *testing.T, s suppression.Store) {
	add(t, s, hard("ada@Bücher.example"), hard(`"b..c"@EXAMPLE.com`), hard("Postmaster@example.com"))
	for _, spelling := range []string{"ada@bücher.example", "ada@xn--bcher-kva.example", "ada@BÜCHER.example", `"ada"@XN--bcher-kva.example`} {
		found := lookup(t, s, spelling)
		require.Len(t, found, 1, spelling)
		require.Equal(t, "ada@xn--bcher-kva.example", found[0].Address)
	}
	require.Len(t, lookup(t, s, "b..c@example.com"), 1)
	require.Len(t, lookup(t, s, "postMASTER@example.com"), 1)
	require.Len(t, lookup(t, s, "ada@bücher.example", `"b..c"@example.com`), 2)
	remove(t, s, hard("ada@BÜCHER.example"))
	require.Empty(t, lookup(t, s, "ada@bücher.example"))
}

// localParts holds that the case of the local part makes no difference to a store
// that folds it, and all the difference to one that does not; and that no entry loses
// it.
func localParts(t *testing.T, s suppression.Store, fold bool) {
	for _, address := range []string{"Ada@Example.com", "ada@example.com", "É@BÜCHER.example", `"a..B"@example.com`, "Postmaster@example.com", "ada", ""} {
		key, ok := s.Key(address)
		want, wantOK := suppression.Key(address, fold)
		require.Equal(t, []any{want, wantOK}, []any{key, ok}, address)
	}
	at := func(address string, after time.Duration) suppression.Entry {
		e := hard(address)
		e.Created, e.Detail, e.Expires = base.Add(after), after.String(), base.AddDate(100, 0, 0)
		return e
	}
	capital, small, accent := at("Ada@Example.com", time.Minute), at("ada@example.com", 0), at("É@example.com", 0)
	add(t, s, capital, small, accent)
	capital.Address = "Ada@example.com"
	if !fold {
		holds(t, s, capital, small, accent)
		require.Equal(t, []suppression.Entry{capital}, lookup(t, s, "Ada@EXAMPLE.com", "ADA@example.com", "é@example.com"))
		require.Equal(t, []suppression.Entry{small}, lookup(t, s, "ada@example.com"))
		remove(t, s, at("ADA@example.com", time.Hour), at("é@example.com", time.Hour))
		holds(t, s, capital, small, accent)
		remove(t, s, at("ada@example.com", time.Hour))
		add(t, s, at("Ada@example.com", time.Second)) // older
		holds(t, s, capital, accent)
		return
	}
	for _, spelling := range []string{"ada@example.com", "Ada@example.com", "ADA@EXAMPLE.COM"} {
		require.Equal(t, []suppression.Entry{capital}, lookup(t, s, spelling), "the newest, as it is spelled")
		require.Equal(t, []suppression.Entry{capital, accent}, lookup(t, s, "é@example.com", spelling, "aDA@example.com"), "each once")
	}
	require.Equal(t, []suppression.Entry{capital, accent}, all(t, s))
	late := at("aDa@example.com", time.Second)
	late.Expires = time.Time{}
	add(t, s, late)
	capital.Expires = time.Time{}
	require.Equal(t, []suppression.Entry{capital}, lookup(t, s, "ada@example.com"), "and the later end")
	remove(t, s, at("ada@example.com", -time.Second))
	require.Equal(t, []suppression.Entry{capital}, lookup(t, s, "ada@example.com"), "removed before it was reported")
	remove(t, s, at("adA@example.com", time.Hour), at("é@example.com", time.Hour))
	require.Empty(t, all(t, s))
	add(t, s, capital, small, at("ADA@example.com", time.Hour))
	require.Empty(t, all(t, s), "late")
	again := at("ADA@example.com", 2*time.Hour)
	add(t, s, again)
	require.Equal(t, []suppression.Entry{again}, lookup(t, s, "Ada@example.com"), "with its own end")
	require.Equal(t, []suppression.Entry{again}, all(t, s))
	remove(t, s, lookup(t, s, "ada@example.com")...)
	require.Empty(t, lookup(t, s, "ADA@example.com"))
	// Of many, none stands twice.
	var entries []suppression.Entry
	for i := range 600 {
		entries = append(entries, at(fmt.Sprintf("User%04d@example.com", i), 0), at(fmt.Sprintf("user%04d@example.com", i), time.Hour), at(fmt.Sprintf("USER%04d@example.com", i), time.Minute))
	}
	add(t, s, entries...)
	found := all(t, s)
	require.Len(t, found, 600)
	for i, e := range found {
		require.Equal(t, entries[3*i+1], e)
	}
}

func own(t *testing.T, s suppression.Store) {
	add(t, s, hard("ada@example.com"))
	for _, other := range []string{
		"ada@example.org", "ad@example.com", "adaa@example.com", "a.da@example.com", "ada+x@example.com", "ada@example.com.example", "ad_@example.com", "%@example.com", "", "ada", "ada@example.com ",
	} {
		require.Empty(t, lookup(t, s, other), other)
	}
}

func oneName(t *testing.T, s suppression.Store) {
	e := hard("ada@example.com")
	add(t, s, e)
	add(t, s, e, e)
	holds(t, s, e)
	other := e
	other.Reason = suppression.Complaint
	scoped := e
	scoped.Stream = "newsletter"
	add(t, s, other, scoped)
	holds(t, s, e, other, scoped)
	remove(t, s, scoped)
	holds(t, s, e, other)
}

func newerCounts(t *testing.T, s suppression.Store) {
	first := hard("ada@example.com")
	first.Expires = base.AddDate(100, 0, 0)
	newer := first
	newer.Created, newer.Source, newer.Detail, newer.Count, newer.Expires = base.Add(time.Second), "ses", "newer", 2, base.AddDate(99, 0, 0)
	want := newer
	want.Expires = first.Expires
	add(t, s, first)
	add(t, s, newer)
	holds(t, s, want)
	add(t, s, first)
	holds(t, s, want)
	late := first
	late.Created, late.Detail, late.Expires = base.Add(-time.Hour), "late", time.Time{}
	add(t, s, late)
	want.Expires = time.Time{}
	holds(t, s, want)
	add(t, s, newer)
	holds(t, s, want)
}

func removal(t *testing.T, s suppression.Store) {
	e := hard("ada@example.com")
	e.Reason, e.Stream = suppression.Unsubscribe, "newsletter"
	add(t, s, e)
	early, at := e, e
	early.Created = base.Add(-time.Microsecond)
	remove(t, s, early)
	holds(t, s, e)
	at.Created = base.Add(time.Hour)
	remove(t, s, at)
	holds(t, s)
	require.Empty(t, lookup(t, s, e.Address))
	add(t, s, e) // reported again, late
	add(t, s, at)
	holds(t, s)
	require.Empty(t, lookup(t, s, e.Address))
	remove(t, s, e) // late as well
	newer := e
	newer.Created, newer.Expires = at.Created.Add(time.Microsecond), base.AddDate(100, 0, 0)
	add(t, s, newer)
	holds(t, s, newer)
	remove(t, s, at)
	holds(t, s, newer)
}

func removalFirst(t *testing.T, s suppression.Store) {
	e := hard("ada@example.com")
	later := e
	later.Created = base.Add(time.Minute)
	remove(t, s, later)
	add(t, s, e)
	holds(t, s)
	later.Created = base.Add(2 * time.Minute)
	add(t, s, later)
	holds(t, s, later)
}

func takeBack(t *testing.T, s suppression.Store) {
	other := hard("ada@example.com")
	other.Reason, other.Expires = suppression.SoftBounce, base.AddDate(100, 0, 0)
	add(t, s, hard("ada@example.com"), other, hard("ben@example.com"))
	remove(t, s, lookup(t, s, "ada@EXAMPLE.com")...)
	holds(t, s, hard("ben@example.com"))
	require.Empty(t, lookup(t, s, "ada@example.com"))
	// Without a time they are added and removed now.
	now := hard("ada@example.com")
	now.Created = time.Time{}
	before := time.Now().Add(-time.Microsecond)
	add(t, s, now)
	found := lookup(t, s, "ada@example.com")
	require.Len(t, found, 1)
	require.WithinRange(t, found[0].Created, before, time.Now())
	remove(t, s, now)
	require.Empty(t, lookup(t, s, "ada@example.com"))
}

func expiry(t *testing.T, s suppression.Store) {
	ended, ends := hard("ada@example.com"), hard("ben@example.com")
	ended.Expires, ends.Expires = time.Now().Add(-time.Microsecond), time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
	add(t, s, ended, ends)
	holds(t, s, ends)
	require.Empty(t, lookup(t, s, "ada@example.com"))
	add(t, s, hard("ada@example.com"))
	holds(t, s, ends, hard("ada@example.com"))
}

func refusals(t *testing.T, s suppression.Store) {
	for name, bad := range map[string]suppression.Entry{
		"no address":        {Reason: suppression.Manual},
		"a malformed one":   {Address: "ada", Reason: suppression.Manual},
		"a line break":      {Address: "ada@example.com\n", Reason: suppression.Manual},
		"no reason":         {Address: "ada@example.com"},
		"an unknown reason": {Address: "ada@example.com", Reason: "whim"},
		"a long stream":     {Address: "ada@example.com", Reason: suppression.Manual, Stream: strings.Repeat("s", 101)},
		"a NUL in a stream": {Address: "ada@example.com", Reason: suppression.Manual, Stream: "a\x00"},
		"a broken source":   {Address: "ada@example.com", Reason: suppression.Manual, Source: "\xff"},
		"a negative count":  {Address: "ada@example.com", Reason: suppression.Strike, Count: -1},
		"a count too high":  {Address: "ada@example.com", Reason: suppression.Strike, Count: 1001},
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorIs(t, s.Add(t.Context(), []suppression.Entry{hard("ben@example.com"), bad}), suppression.ErrEntry)
			holds(t, s)
			require.ErrorIs(t, s.Remove(t.Context(), []suppression.Entry{bad}), suppression.ErrEntry)
		})
	}
	long := hard("ada@example.com")
	long.Detail = "550\r\n\x00\xff" + strings.Repeat("é", 400)
	add(t, s, long)
	found := lookup(t, s, "ada@example.com")
	require.Len(t, found, 1)
	require.Regexp(t, `^550   \x{FFFD}é+$`, found[0].Detail)
	require.InDelta(t, 500, len(found[0].Detail), 3)
}

func many(t *testing.T, s suppression.Store) {
	const n = 2500
	var entries []suppression.Entry
	var addresses []string
	for i := range n {
		e := hard(fmt.Sprintf("user%04d@example.com", i))
		entries = append(entries, e)
		addresses = append(addresses, e.Address, fmt.Sprintf("other%d@example.com", i))
	}
	add(t, s, entries...)
	addresses = append(addresses, entries[0].Address) // far from the first time
	require.Equal(t, entries, lookup(t, s, addresses...))
	require.Equal(t, entries, all(t, s))
	remove(t, s, entries[:n-10]...)
	holds(t, s, entries[n-10:]...)
}

func leftEarly(t *testing.T, s suppression.Store) {
	add(t, s, hard("ada@example.com"), hard("ben@example.com"))
	for range 20 { // more than a database has connections, if they were kept
		for range s.All(t.Context()) {
			break
		}
	}
	// The body may use the store.
	for e, err := range s.All(t.Context()) {
		require.NoError(t, err)
		require.Len(t, lookup(t, s, e.Address), 1)
		remove(t, s, e)
	}
	require.Empty(t, all(t, s))
}

func concurrent(t *testing.T, s suppression.Store) {
	var wg sync.WaitGroup
	errs := make(chan error, 100)
	for g := range 8 {
		wg.Go(func() {
			ctx := context.WithoutCancel(t.Context())
			for i := range 10 {
				shared, own := hard("ada@example.com"), hard(fmt.Sprintf("user%d-%d@example.com", g, i))
				shared.Created = base.Add(time.Duration(g*10+i) * time.Second)
				if err := s.Add(ctx, []suppression.Entry{own, shared}); err != nil {
					errs <- err
					return
				}
				if found, err := s.Lookup(ctx, []string{own.Address, shared.Address}); err != nil || len(found) != 2 {
					errs <- fmt.Errorf("found %d: %w", len(found), err)
					return
				}
				for range s.All(ctx) {
					break
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	require.Len(t, all(t, s), 81)
	require.Equal(t, base.Add(79*time.Second), lookup(t, s, "ada@example.com")[0].Created)
}

func arguments(t *testing.T, s suppression.Store) {
	entries := []suppression.Entry{hard("ada@Example.com")}
	entries[0].Created = base.Add(time.Nanosecond)
	before := slices.Clone(entries)
	add(t, s, entries...)
	require.Equal(t, before, entries)
	entries[0].Detail = "changed"
	found := lookup(t, s, "ada@example.com")
	found[0].Detail = "changed"
	holds(t, s, hard("ada@example.com"))
}

// anyOrder holds that the events of one name end the same in whatever order they
// come, and come again.
func anyOrder(t *testing.T, s suppression.Store) {
	type step struct {
		remove bool
		at     int
	}
	steps := []step{{false, 1}, {true, 2}, {false, 3}, {true, 4}, {false, 5}}
	var permute func(k int, order []step)
	n := 0
	permute = func(k int, order []step) {
		if k < len(order) {
			for i := k; i < len(order); i++ {
				next := slices.Clone(order)
				next[k], next[i] = next[i], next[k]
				permute(k+1, next)
			}
			return
		}
		if n++; n%3 != 0 { // a third of them will do
			return
		}
		for _, last := range []int{4, 5} {
			e := hard(fmt.Sprintf("user%d-%d@example.com", n, last))
			for _, x := range append(slices.Clone(order), order[:2]...) {
				if x.at > last {
					continue
				}
				e.Created = base.Add(time.Duration(x.at) * time.Second)
				if x.remove {
					remove(t, s, e)
				} else {
					add(t, s, e)
				}
			}
			found := lookup(t, s, e.Address)
			if last == 4 {
				require.Empty(t, found, "%v", order)
			} else {
				require.Len(t, found, 1, "%v", order)
				require.Equal(t, base.Add(5*time.Second), found[0].Created)
			}
		}
	}
	permute(0, steps)
}

func nothing(t *testing.T, s suppression.Store) {
	add(t, s)
	remove(t, s)
	require.Empty(t, lookup(t, s))
}
