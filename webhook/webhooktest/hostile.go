package webhooktest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer/webhook"
)

// array makes a JSON array.
func array(elements ...string) []byte { return []byte("[" + strings.Join(elements, ",") + "]") }

func (s *suite) testBatch(t *testing.T) {
	if !s.Batch {
		t.Log("the service sends one event in a request")
		return
	}
	src := s.source(t)
	one := s.one(t, src, s.Sample)
	sample := string(s.Sample)
	t.Run("of none", func(t *testing.T) {
		require.Empty(t, s.accept(t, src, s.Request(array())).events)
	})
	for _, bad := range []string{
		`null`, `1`, `"x"`, `true`, `[]`, `{}`, `[{}]`, `{"event":[{}],"timestamp":{}}`, `1e999999`,
		string(s.Unknown), `{"":""}`,
	} {
		t.Run("an element "+bad[:min(len(bad), 20)]+" costs no other", func(t *testing.T) {
			got := s.accept(t, src, s.Request(array(sample, bad, sample)))
			require.GreaterOrEqual(t, len(got.events), 2, "events")
			require.LessOrEqual(t, len(got.events), 3, "events")
			for _, i := range []int{0, len(got.events) - 1} {
				require.Equal(t, show(&one), show(&got.events[i]))
			}
		})
	}
	t.Run("of more than are read", func(t *testing.T) {
		// Refused, so that it shows: those behind the last one read would be lost.
		s.refuse(t, src, s.Request(array(slices.Repeat([]string{"{}"}, webhook.MaxEvents+1)...)), http.StatusBadRequest)
	})
	t.Run("of as many as fit", func(t *testing.T) {
		n := min((webhook.MaxBody-10_000)/(len(sample)+1), webhook.MaxEvents)
		if len(body(s.Request(s.Sample))) > len(s.Sample)+2 { // in an envelope
			n = n * len(s.Sample) / (2 * len(body(s.Request(s.Sample))))
		}
		got := s.accept(t, src, s.Request(array(slices.Repeat([]string{sample}, n)...)))
		require.Len(t, got.events, n)
	})
}

// nonsense is what may stand where something else was due.
var nonsense = []string{
	`null`, `true`, `-1`, `1e999999`, `12345678901234567890123456789012345678901234567890`, `""`, `"\ud800"`,
	`"\u0000\r\nBcc: eve@example.com"`, `[]`, `{}`, `[[{}]]`, `{"a":{"b":null}}`,
}

// variant is a payload with one thing wrong.
type variant struct {
	path  []string
	value string // empty: it is missing
	json  []byte
}

// variants returns the object with each of its fields missing, and replaced by
// each kind of nonsense, at every depth.
func variants(object []byte) (vs []variant) {
	var root any
	d := json.NewDecoder(bytes.NewReader(object))
	d.UseNumber()
	if d.Decode(&root) != nil {
		return nil
	}
	add := func(path []string, value string) {
		b, err := json.Marshal(root)
		if err != nil {
			panic(err)
		}
		vs = append(vs, variant{slices.Clone(path), value, b})
	}
	var walk func(v any, path []string)
	walk = func(v any, path []string) {
		switch v := v.(type) {
		case map[string]any:
			for _, key := range slices.Sorted(maps.Keys(v)) {
				old, at := v[key], append(path, key)
				delete(v, key)
				add(at, "")
				for _, value := range nonsense {
					v[key] = json.RawMessage(value)
					add(at, value)
				}
				v[key] = old
				walk(old, at)
			}
		case []any:
			for i, old := range v {
				at := append(path, strconv.Itoa(i))
				for _, value := range nonsense {
					v[i] = json.RawMessage(value)
					add(at, value)
				}
				v[i] = old
				walk(old, at)
			}
		}
	}
	walk(root, nil)
	return vs
}

func (s *suite) testNonsense(t *testing.T) {
	src := s.source(t)
	for _, v := range variants(s.Sample) {
		got := s.deliver(t, src, s.Request(v.json))
		name := strings.Join(v.path, ".") + " " + v.value
		if slices.ContainsFunc(v.path, func(key string) bool { return slices.Contains(s.Needed, key) }) {
			require.Contains(t, []int{200, 400, 401}, got.status, "status with %s", name)
			continue
		}
		require.Equal(t, http.StatusOK, got.status, "status with %s", name)
		require.Len(t, got.events, 1, "events with %s", name)
	}
}

// hostile are bodies that nobody needs, by name.
func (s *suite) hostile() map[string][]byte {
	all := map[string][]byte{
		"empty":                  {},
		"null":                   []byte(`null`),
		"a number":               []byte(`1e999999`),
		"a string":               []byte(`"x"`),
		"an empty object":        []byte(`{}`),
		"an array of arrays":     []byte(`[[[]]]`),
		"not JSON":               []byte(`<html>`),
		"two values":             []byte(`{}{}`),
		"NUL":                    bytes.Repeat([]byte{0}, 1000),
		"not UTF-8":              []byte("{\"event\":\"\xff\xfe\",\"\xc0\":1}"),
		"a byte order mark":      append([]byte("\xef\xbb\xbf"), s.Sample...),
		"opened 100,000 times":   bytes.Repeat([]byte(`[`), 100_000),
		"objects, never closed":  bytes.Repeat([]byte(`{"a":`), 100_000),
		"9,000 deep":             []byte(`{"a":` + strings.Repeat(`[`, 9000) + strings.Repeat(`]`, 9000) + `}`),
		"nothing but numbers":    array(slices.Repeat([]string{"1"}, 500_000)...),
		"nothing but objects":    array(slices.Repeat([]string{"{}"}, 340_000)...),
		"an object of many keys": []byte(`{` + strings.Repeat(`"a":1,`, 170_000) + `"a":1}`),
		"one long string":        []byte(`{"event":"` + strings.Repeat(`\u0041`, 170_000) + `"}`),
		"a form of many keys":    []byte(strings.Repeat("a=1&", 250_000)),
		"a long number":          []byte(`{"timestamp":` + strings.Repeat("9", 1_000_000) + `}`),
	}
	if inner := bytes.TrimSpace(s.Sample); len(inner) > 2 && inner[0] == '{' {
		inner = inner[1 : len(inner)-1]
		all["every key twice"] = slices.Concat([]byte("{"), inner, []byte(","), inner, []byte("}"))
		all["deep inside"] = slices.Concat([]byte("{"), inner, []byte(`,"x":`), bytes.Repeat([]byte("["), 9000), bytes.Repeat([]byte("]"), 9000), []byte("}"))
		all["not UTF-8 in the sample"] = slices.Concat([]byte("{"), inner, []byte(",\"x\xff\":\"y\xff\"}"))
		wide := array(slices.Repeat([]string{`{"a":"b"}`}, 50_000)...)
		all["a wide value"] = slices.Concat([]byte("{"), inner, []byte(`,"x":`), wide, []byte("}"))
	}
	return all
}

// maxMemory is what the reading of a body of 1 MiB may take, in bytes.
const maxMemory = 128 << 20

func (s *suite) testHostile(t *testing.T) {
	src := s.source(t)
	for _, name := range slices.Sorted(maps.Keys(s.hostile())) {
		t.Run(name, func(t *testing.T) {
			r := s.Request(s.hostile()[name])
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got := s.deliver(t, src, r)
			runtime.ReadMemStats(&after)
			require.Contains(t, []int{200, 400, 401, 413}, got.status, "status; log:\n%s", s.lastLog())
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(maxMemory), "bytes of memory")
			if got.status == http.StatusOK {
				require.LessOrEqual(t, len(got.events), webhook.MaxEvents, "events")
			}
		})
	}
	t.Run("a body over the limit", func(t *testing.T) {
		limit := limited{&observed{Source: src}}.MaxBody()
		r := s.Request(s.Sample)
		if r.Body == nil || r.Body == http.NoBody {
			t.Log("the service sends no body")
			return
		}
		s.refuse(t, src, set(r, bytes.Repeat([]byte(" "), int(limit)+1)), http.StatusRequestEntityTooLarge)
	})
}

func (s *suite) testConcurrent(t *testing.T) {
	src := s.source(t)
	want := s.one(t, src, s.Sample)
	other := s.one(t, src, s.Unknown)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for range 8 {
				payload, event := s.Sample, want
				if i%2 == 1 {
					payload, event = s.Unknown, other
				}
				got := s.deliver(t, src, s.Request(payload))
				if got.status != http.StatusOK || len(got.events) != 1 || fmt.Sprint(show(&got.events[0])) != fmt.Sprint(show(&event)) {
					t.Errorf("status %d, events %v", got.status, got.events)
				}
			}
		})
	}
	wg.Wait()
}
