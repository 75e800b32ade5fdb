package suppression

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"
)

// LineError is a line of a file that is no entry.
type LineError struct {
	// Line is the number of the line, from 1.
	Line int
	// Err says what is wrong with it.
	Err error
}

// Error names the line.
func (e *LineError) Error() string { return "line " + strconv.Itoa(e.Line) + ": " + e.Err.Error() }

// Unwrap returns what is wrong.
func (e *LineError) Unwrap() error { return e.Err }

// columns are those of a CSV file, in the order in which they are written.
var columns = []string{"address", "reason", "stream", "source", "detail", "count", "created", "expires"}

// WriteCSV writes entries, such as those of [Store].All, as CSV with a header line.
// Times are RFC 3339 in UTC, an empty one is the zero time. A field that a
// spreadsheet would take for a formula has an apostrophe in front, which [ReadCSV]
// takes away. It stops at the first error of the sequence or of w.
func WriteCSV(w io.Writer, entries iter.Seq2[Entry, error]) error {
	out := csv.NewWriter(w)
	if err := out.Write(columns); err != nil {
		return err
	}
	for e, err := range entries {
		if err != nil {
			return err
		}
		if err := out.Write([]string{
			guard(e.Address), guard(string(e.Reason)), guard(e.Stream), guard(e.Source), guard(e.Detail),
			strconv.Itoa(e.Count), stamp(e.Created), stamp(e.Expires),
		}); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// guarded are the characters that make a spreadsheet compute a field, and the one
// that keeps it from that.
// Source: https://owasp.org/www-community/attacks/CSV_Injection (read 2026-11).
const guarded = "=+-@\t\r\n'"

func guard(field string) string {
	if field != "" && strings.IndexByte(guarded, field[0]) >= 0 {
		return "'" + field
	}
	return field
}

func unguard(field string) string {
	if len(field) > 1 && field[0] == '\'' && strings.IndexByte(guarded, field[1]) >= 0 {
		return field[1:]
	}
	return field
}

// ReadCSV reads CSV with a header line, as [WriteCSV] writes it: columns in any
// order, "address" needed, the others not. Without a reason an entry is [Manual]. It
// reads no more than is asked of it.
//
// A line that is no entry is a [*LineError], and reading goes on after it; a column
// that has no meaning here is an error, and so is what is no CSV. Each entry is as
// [Entry.Normal] returns it.
func ReadCSV(r io.Reader) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		buffered := bufio.NewReader(r)
		if mark, _ := buffered.Peek(3); string(mark) == "\xEF\xBB\xBF" {
			_, _ = buffered.Discard(3) // spreadsheets write it
		}
		in := csv.NewReader(buffered)
		in.ReuseRecord = true
		header, err := in.Read()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("there is no header line")
			}
			yield(Entry{}, &LineError{1, err})
			return
		}
		header = slices.Clone(header)
		for i, name := range header {
			header[i] = strings.ToLower(strings.TrimSpace(name))
			if !slices.Contains(columns, header[i]) || slices.Contains(header[:i], header[i]) {
				yield(Entry{}, fmt.Errorf("suppression: the column %q has no meaning, or stands twice", name))
				return
			}
		}
		if !slices.Contains(header, "address") {
			yield(Entry{}, errors.New("suppression: there is no column address"))
			return
		}
		for {
			fields, err := in.Read()
			if errors.Is(err, io.EOF) {
				return
			}
			var e Entry
			if err != nil {
				wrong, ok := errors.AsType[*csv.ParseError](err)
				if !ok {
					yield(Entry{}, err) // of r
					return
				}
				err = &LineError{wrong.StartLine, wrong.Err}
			} else if e, err = parseFields(header, fields); err != nil {
				line, _ := in.FieldPos(0)
				e, err = Entry{}, &LineError{line, err}
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

func parseFields(header, fields []string) (Entry, error) {
	e := Entry{Reason: Manual}
	for i, name := range header {
		field, err := unguard(fields[i]), error(nil)
		switch name {
		case "address":
			e.Address = strings.TrimSpace(field)
		case "reason":
			if field != "" {
				e.Reason = Reason(field)
			}
		case "stream":
			e.Stream = field
		case "source":
			e.Source = field
		case "detail":
			e.Detail = field
		case "count":
			if field != "" {
				e.Count, err = strconv.Atoi(field)
			}
		case "created":
			e.Created, err = parseTime(field)
		case "expires":
			e.Expires, err = parseTime(field)
		}
		if err != nil {
			return Entry{}, fmt.Errorf("%w: %s: %q", ErrEntry, name, cut(field, maxName))
		}
	}
	return e.Normal()
}

func parseTime(field string) (time.Time, error) {
	if field == "" {
		return time.Time{}, nil
	}
	return time.Parse(time.RFC3339Nano, field)
}

// WriteJSON writes entries as JSON Lines: one object on each line, with the names
// of [WriteCSV], empty ones left out. It stops at the first error of the sequence or
// of w.
func WriteJSON(w io.Writer, entries iter.Seq2[Entry, error]) error {
	out := bufio.NewWriter(w)
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	for e, err := range entries {
		if err != nil {
			return err
		}
		if err := lines.Encode(e); err != nil {
			return err
		}
	}
	return out.Flush()
}

// maxLine is the longest line of a JSON file, in bytes.
const maxLine = 64 << 10

// ReadJSON reads JSON Lines, as [WriteJSON] writes them. Empty lines are passed
// over. What is no entry is a [*LineError], unknown names and lines above 64 KiB
// included, and reading goes on after it. Each entry is as [Entry.Normal] returns
// it, and is [Manual] if it has no reason.
func ReadJSON(r io.Reader) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		in := bufio.NewReaderSize(r, maxLine)
		for n := 1; ; n++ {
			line, end := in.ReadSlice('\n')
			var e Entry
			var err error
			if errors.Is(end, bufio.ErrBufferFull) {
				err = &LineError{n, fmt.Errorf("%w: the line is too long", ErrEntry)}
				for errors.Is(end, bufio.ErrBufferFull) {
					_, end = in.ReadSlice('\n')
				}
			} else if line = bytes.TrimSpace(line); len(line) > 0 && (end == nil || end == io.EOF) {
				if e, err = parseLine(line); err != nil {
					err = &LineError{n, err}
				}
			}
			if (err != nil || e.Address != "") && !yield(e, err) {
				return
			}
			if end != nil {
				if end != io.EOF {
					yield(Entry{}, end)
				}
				return
			}
		}
	}
}

func parseLine(line []byte) (Entry, error) {
	e := Entry{Reason: Manual}
	in := json.NewDecoder(bytes.NewReader(line))
	in.DisallowUnknownFields()
	if err := in.Decode(&e); err != nil {
		return Entry{}, fmt.Errorf("%w: %w", ErrEntry, err)
	}
	if in.More() {
		return Entry{}, fmt.Errorf("%w: more follows on the line", ErrEntry)
	}
	return e.Normal()
}

// pageEntries is how many entries are added or pushed at once.
const pageEntries = 1000

// maxErrors is how many bad entries an error lists.
const maxErrors = 100

// Import adds entries, such as those of [ReadCSV], to the store, a thousand at a
// time. It returns how many it added. What is no entry, by a [*LineError] or an
// [ErrEntry], is left out and listed in the error that Import returns after it has
// added the others, up to a hundred of them;  Any
// other error, of the store, the sequence or ctx, ends it at once; importing again
// is harmless.
func Import(ctx context.Context, store Store, entries iter.Seq2[Entry, error]) (added int, err error) {
	var bad badEntries
	added, err = bad.sift(ctx, store, entries)
	return added, errors.Join(append(bad.all(), err)...)
}

// badEntries are entries that were left out.
type badEntries struct {
	first []error
	more  int
}

func (b *badEntries) add(err error) {
	if len(b.first) < maxErrors {
		b.first = append(b.first, err)
	} else {
		b.more++
	}
}

// all returns the errors.
func (b *badEntries) all() []error {
	errs := slices.Clip(b.first)
	if b.more > 0 {
		errs = append(errs, fmt.Errorf("%w: and %d more", ErrEntry, b.more))
	}
	return errs
}

// sift adds to the store what is an entry, and to b what is none.
func (b *badEntries) sift(ctx context.Context, store Store, entries iter.Seq2[Entry, error]) (added int, err error) {
	page := make([]Entry, 0, pageEntries)
	flush := func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := store.Add(ctx, page); err != nil {
			return err
		}
		added += len(page)
		page = page[:0]
		return nil
	}
	for e, err := range entries {
		if err == nil {
			e, err = e.Normal()
		}
		if _, ok := errors.AsType[*LineError](err); ok || errors.Is(err, ErrEntry) {
			b.add(err)
			continue
		}
		if err != nil {
			return added, err
		}
		if page = append(page, e); len(page) == pageEntries {
			if err := flush(); err != nil {
				return added, err
			}
		}
	}
	if len(page) > 0 {
		err = flush()
	}
	return added, err
}
