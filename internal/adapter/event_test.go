package adapter

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/webhook"
)

func TestTime(t *testing.T) {
	want := time.Date(2026, 3, 4, 10, 11, 12, 0, time.UTC)
	for _, text := range []string{
		"2026-03-04T10:11:12Z", "2026-03-04T11:11:12+01:00", "2026-03-04T10:11:12", "2026-03-04T10:11:12 +0000",
		"2026-03-04 10:11:12", "2026-03-04 10:11:12+00:00", "2026-03-04 12:11:12 +0200",
	} {
		require.Equal(t, want, Time(text), text)
	}
	require.Equal(t, want.Add(123456700), Time("2026-03-04T10:11:12.1234567Z"))
	require.Equal(t, want.Add(123456700), Time("2026-03-04T10:11:12.1234567"))
	for _, text := range []string{"", "soon", "2026-13-04T10:11:12Z", "1793612463"} {
		require.Zero(t, Time(text), text)
	}
}

func TestScalar(t *testing.T) {
	for value, want := range map[string]string{
		`"a\"b"`: `a"b`, `7`: "7", `-1`: "-1", `1152921540123456789`: "1152921540123456789", `""`: "",
		`null`: "", `true`: "", `[1]`: "", `{"a":1}`: "", ``: "",
	} {
		require.Equal(t, want, Scalar([]byte(value)), value)
	}
}

func TestStringMap(t *testing.T) {
	require.Equal(t, map[string]string{"a": "x", "b\"": "1152921540123456789", "c": `{"d":[1]}`, "e": "", "f": "null"},
		StringMap([]byte(`{"a":"x","b\"":1152921540123456789,"c":{"d":[1]},"e":"","f":null}`)))
	for _, value := range []string{``, `{}`, `[]`, `"x"`, `{"a":1`} {
		require.Nil(t, StringMap([]byte(value)), value)
	}
}

func TestAnswer(t *testing.T) {
	for text, want := range map[string]string{
		"550 5.1.1 no such user":       "550 5.1.1 no such user",
		"smtp; 550 5.1.1 no such user": "550 5.1.1 no such user",
		"SMTP;550 no":                  "550 no",
		" 250-ok ":                     "250-ok",
		"421":                          "421",
		"Address is suppressed":        "",
		"5501":                         "",
		"150 x":                        "",
		"650 x":                        "",
		"x-unix; 550 no":               "",
		"":                             "",
		"55":                           "",
		"5a0 x":                        "",
		"55a x":                        "",
	} {
		require.Equal(t, want, Answer(text), text)
	}
}

func TestBasic(t *testing.T) {
	list := []webhook.Basic{{Username: "old", Password: "p1"}, {Username: "new", Password: "p2"}}
	require.NoError(t, CheckBasic(list))
	require.NoError(t, CheckBasic(nil))
	require.Error(t, CheckBasic(append(list, webhook.Basic{Username: "u"})))
	require.Error(t, CheckBasic([]webhook.Basic{{Username: "a:b", Password: "p"}}))
	for _, c := range []struct {
		user, password string
		want           bool
	}{{"old", "p1", true}, {"new", "p2", true}, {"old", "p2", false}, {"", "", false}} {
		r := http.Request{Header: http.Header{}}
		r.SetBasicAuth(c.user, c.password)
		require.Equal(t, c.want, MatchBasic(list, r.Header), "%s:%s", c.user, c.password)
	}
	require.False(t, MatchBasic(list, http.Header{}))
	require.False(t, MatchBasic(nil, http.Header{}))
}

func TestEntryAddress(t *testing.T) {
	require.NoError(t, EntryAddress(0, "ada@example.com"))
	require.NoError(t, EntryAddress(0, "example.com"))
	for _, address := range []string{"", "a\n@example.com", "a\xff@example.com"} {
		requireError(t, EntryAddress(3, address), "", mailer.KindInvalid, "entries[3].Address")
	}
}
