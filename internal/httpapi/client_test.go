package httpapi

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptrace"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func ok() *http.Response {
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody}
}

func TestNewRefusesWhatCannotBeRight(t *testing.T) {
	for base, words := range map[string]string{
		"":                                   "BaseURL: missing",
		"api.example.com":                    "not an absolute URL",
		"https://":                           "not an absolute URL",
		"https:api.example.com":              "not an absolute URL",
		"https://api.example.com:port":       "not an absolute URL",
		"http://api.example.com":             "must be https",
		"http://127.0.0.1.example.com":       "must be https",
		"ftp://127.0.0.1":                    "must be https",
		"https://ada:secret@api.example.com": "no user",
		"https://api.example.com/?a=b":       "no user",
		"https://api.example.com?":           "no user",
		"https://api.example.com/#":          "no user",
	} {
		_, err := New(Config{BaseURL: base})
		require.ErrorContains(t, err, words, base)
		require.NotContains(t, err.Error(), "secret")
	}
	for _, base := range []string{
		"https://api.example.com", "https://api.example.com/v3/", "https://192.0.2.1:8443",
		"http://127.0.0.1:8025", "http://[::1]:8025", "http://localhost",
	} {
		_, err := New(Config{BaseURL: base})
		require.NoError(t, err, base)
	}
	_, err := New(Config{BaseURL: "https://api.example.com", Header: http.Header{"X-Token": {"secret\r\nX-Evil: 1"}}})
	require.EqualError(t, err, `Header["X-Token"]: has a control character`)
}

func TestTheRequestIsWhatTheAdapterAskedFor(t *testing.T) {
	var got *http.Request
	var body []byte
	rt := roundTripper(func(r *http.Request) (*http.Response, error) {
		got, body = r, nil
		if r.Body != nil {
			body, _ = io.ReadAll(r.Body)
		}
		require.Empty(t, r.Header.Get("X-Changed"))
		require.Equal(t, "api.example.com", r.URL.Host)
		r.Header.Set("X-Changed", "by middleware that should not")
		r.URL.Host = "elsewhere.example"
		return ok(), nil
	})
	header := http.Header{"x-token": {"t"}, "Accept": {"text/plain"}}
	c, err := New(Config{BaseURL: "https://api.example.com/base/", HTTPClient: &http.Client{Transport: rt}, Header: header})
	require.NoError(t, err)
	header["x-token"][0] = "changed later" //nolint:staticcheck // the name is to be as the caller wrote it
	for range 2 {
		_, err = c.Do(t.Context(), "POST", "/v3/send?a=b", smallBody)
		require.NoError(t, err)
		require.Equal(t, "POST", got.Method)
		require.Equal(t, "/base/v3/send?a=b", got.URL.RequestURI())
		require.Equal(t, "api.example.com", got.Host)
		require.Equal(t, "t", got.Header.Get("X-Token"))
		require.Equal(t, "text/plain", got.Header.Get("Accept"))
		require.Equal(t, "application/json", got.Header.Get("Content-Type"))
		require.Equal(t, UserAgent, got.Header.Get("User-Agent"))
		require.Equal(t, smallBody.size, got.ContentLength)
		require.Equal(t, string(smallBody.small), string(body))
		require.Nil(t, got.GetBody, "nobody is to make the request again")
	}
	_, err = c.Do(t.Context(), "GET", "/stats/a%2Fb", Body{})
	require.NoError(t, err)
	require.Nil(t, got.Body)
	require.Zero(t, got.ContentLength)
	require.NotContains(t, got.Header, "Content-Type")
	require.Equal(t, "/base/stats/a%2Fb", got.URL.RequestURI())

	got = nil
	for _, path := range []string{"", "send", "@evil.example/", "/%zz", "/a\x00b"} {
		_, err = c.Do(t.Context(), "GET", path, Body{})
		require.True(t, mailer.NotSent(err), path)
	}
	var f Files
	f.Add(nil)
	_, err = c.Do(t.Context(), "POST", "/", f.Body([]byte("{}")))
	require.ErrorContains(t, err, "lacks file 0")
	require.True(t, mailer.NotSent(err))
	require.Nil(t, got)
}

func TestTheUsersClientIsHonouredAndNotChanged(t *testing.T) {
	var cookies atomic.Int64
	s := serveTLS(t, func(_ int, c net.Conn) {
		r := bufio.NewReader(c)
		for {
			req, _, err := readRequest(r)
			if err != nil {
				return
			}
			cookies.Add(int64(len(req.Cookies())))
			io.WriteString(c, "HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")
		}
	})
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	tr := transport(t)
	var used atomic.Int64
	dial := tr.DialContext
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		used.Add(1)
		return dial(ctx, network, addr)
	}
	hc := &http.Client{Transport: tr, Jar: jar, Timeout: time.Hour}
	c, err := New(Config{BaseURL: s.url, HTTPClient: hc})
	require.NoError(t, err)
	for range 3 {
		_, err = c.Do(t.Context(), "POST", "/", smallBody)
		require.NoError(t, err)
	}
	require.Zero(t, cookies.Load())
	require.EqualValues(t, 1, used.Load())
	require.Equal(t, &http.Client{Transport: tr, Jar: jar, Timeout: time.Hour}, hc)
	require.Empty(t, jar.Cookies(&url.URL{Scheme: "https", Host: "127.0.0.1"}))

	c, err = New(Config{BaseURL: s.url, HTTPClient: &http.Client{Timeout: time.Minute}})
	require.NoError(t, err)
	require.Same(t, shared, c.rt, "a client without a transport gets ours")
	require.Equal(t, time.Minute, c.timeout)
}

func TestACallEndsAfterHalfAMinute(t *testing.T) {
	for name, tc := range map[string]struct{ caller, client, want time.Duration }{
		"by default":                           {0, 0, 30 * time.Second},
		"or at the caller's deadline":          {7 * time.Second, 0, 7 * time.Second},
		"even if the caller has more time":     {time.Hour, 0, 30 * time.Second},
		"or when the user's client says":       {0, 5 * time.Minute, 5 * time.Minute},
		"or at the earlier of these deadlines": {6 * time.Minute, 5 * time.Minute, 5 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rt := roundTripper(func(r *http.Request) (*http.Response, error) {
					<-r.Context().Done()
					return nil, errors.New("gone")
				})
				c, err := New(Config{BaseURL: "https://api.example.com", HTTPClient: &http.Client{Transport: rt, Timeout: tc.client}})
				require.NoError(t, err)
				ctx := t.Context()
				if tc.caller > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tc.caller)
					defer cancel()
				}
				start := time.Now()
				_, err = c.Do(ctx, "POST", "/", smallBody)
				require.Equal(t, tc.want, time.Since(start))
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.Equal(t, mailer.KindNetwork, mailer.KindOf(err))
			})
		})
	}
}

func TestARoundTripperThatTellsNothingIsNotBelieved(t *testing.T) {
	dial := &net.OpError{Op: "dial", Err: errors.New("refused")}
	for name, tc := range map[string]struct {
		body    Body
		rt      func(*http.Request) (*http.Response, error)
		notSent bool
	}{
		"an error": {smallBody, func(*http.Request) (*http.Response, error) {
			return nil, errors.New("broken")
		}, false},
		"neither answer nor error": {smallBody, func(*http.Request) (*http.Response, error) {
			return nil, nil
		}, false},
		"an error of dialling": {smallBody, func(*http.Request) (*http.Response, error) {
			return nil, fmt.Errorf("wrapped: %w", dial)
		}, true},
		"a large body not read to its end": {largeBody, func(r *http.Request) (*http.Response, error) {
			io.CopyN(io.Discard, r.Body, largeBody.size-1)
			return nil, errors.New("broken")
		}, true},
		"a large body read to its last byte": {largeBody, func(r *http.Request) (*http.Response, error) {
			io.CopyN(io.Discard, r.Body, largeBody.size)
			return nil, errors.New("broken")
		}, false},
		"a large body read to its end before it dialled": {largeBody, func(r *http.Request) (*http.Response, error) {
			io.Copy(io.Discard, r.Body)
			return nil, dial
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := client(t, "https://api.example.com", roundTripper(tc.rt))
			_, err := c.Do(t.Context(), "POST", "/", tc.body)
			require.Equal(t, mailer.KindNetwork, mailer.KindOf(err))
			require.Equal(t, tc.notSent, mailer.NotSent(err), "%v", err)
		})
	}
}

func TestTriesAreCountedTogether(t *testing.T) {
	get, headers := "get", "headers"
	broken, whole := "broken", "whole"
	for name, tc := range map[string]struct {
		hooks []string
		cut   bool
	}{
		"no hook":                              {nil, false},
		"no connection":                        {[]string{get}, true},
		"headers under way":                    {[]string{get, headers}, false},
		"written":                              {[]string{get, headers, whole}, false},
		"broken":                               {[]string{get, headers, broken}, true},
		"two tries, no connection":             {[]string{get, get}, true},
		"written, then refused, then broken":   {[]string{get, headers, whole, get, headers, broken}, false},
		"written and broken in one try":        {[]string{get, headers, whole, headers, broken}, false},
		"under way twice, one of them broken":  {[]string{get, headers, get, headers, broken}, false},
		"broken, then a connection was sought": {[]string{get, headers, broken, get}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var f flight
			tr := f.trace()
			for _, h := range tc.hooks {
				switch h {
				case get:
					tr.GetConn("")
				case headers:
					tr.WroteHeaders()
				case whole:
					tr.WroteRequest(httptrace.WroteRequestInfo{})
				case broken:
					tr.WroteRequest(httptrace.WroteRequestInfo{Err: io.ErrClosedPipe})
				}
			}
			require.Equal(t, tc.cut, f.cut())
		})
	}
}

func TestAProxyThatCannotBeChosenIsNotSent(t *testing.T) {
	old := shared
	t.Cleanup(func() { shared = old })
	shared = transport(t)
	shared.Proxy = func(*http.Request) (*url.URL, error) {
		return nil, errors.New(`invalid proxy address "http://ada:hunter2@proxy.example:port"`)
	}
	c, err := New(Config{BaseURL: "https://api.example.com"})
	require.NoError(t, err)
	_, err = c.Do(t.Context(), "POST", "/", smallBody)
	require.True(t, mailer.NotSent(err))
	require.EqualError(t, err, `network failure: invalid proxy address "http://[hidden]@proxy.example:port"`)
}

func TestNoErrorSaysASecret(t *testing.T) {
	forms := []string{
		secret, url.QueryEscape(secret), url.PathEscape(secret), strconv.Quote(secret),
		base64.StdEncoding.EncodeToString([]byte(secret)),
		base64.URLEncoding.EncodeToString([]byte(secret)),
		base64.StdEncoding.EncodeToString([]byte("api:" + secret)),
		base64.StdEncoding.EncodeToString([]byte("x:" + secret)),
		base64.StdEncoding.EncodeToString([]byte("ab:" + secret + "\n")),
		"YWRhOmRlZXAtc2VjcmV0",
	}
	said := func(s string) bool {
		for _, part := range []string{`deep/secret`, "deep%2F", `+"42"`, `+\"42\"`, "c2VjcmV0", "zZWNyZX", "ZWNyZXQ", "L3NlY3", "YWRhOm"} {
			if strings.Contains(s, part) {
				return true
			}
		}
		return false
	}
	for _, form := range forms {
		t.Run(form, func(t *testing.T) {
			require.True(t, said(form), "the test knows the form")
			check := func(t *testing.T, err error) {
				require.Error(t, err)
				for e := err; e != nil; e = errors.Unwrap(e) {
					for _, verb := range []string{"%v", "%+v", "%#v", "%q"} {
						require.False(t, said(fmt.Sprintf(verb, e)), verb+" of %T", e)
					}
				}
				e, ok := errors.AsType[*mailer.Error](err)
				require.True(t, ok)
				for _, verb := range []string{"%v", "%+v", "%#v"} {
					require.False(t, said(fmt.Sprintf(verb, *e)), verb+" of the value")
				}
				var u *url.Error
				require.False(t, errors.As(err, &u))
			}
			// An answer that is not HTTP, which net/http quotes.
			s := serveTLS(t, answering("HTTP/1.1 "+form+" you said\r\n\r\n"))
			_, err := client(t, s.url, nil).Do(t.Context(), "POST", "/", smallBody)
			check(t, err)
			// A cause deep within others.
			inner := &url.Error{Op: "Post", URL: "https://x.example/?key=" + form, Err: io.ErrUnexpectedEOF}
			rt := roundTripper(func(*http.Request) (*http.Response, error) { return nil, quiet{inner} })
			c := client(t, s.url, rt)
			_, err = c.Do(t.Context(), "POST", "/", smallBody)
			check(t, err)
			require.ErrorIs(t, err, io.ErrUnexpectedEOF, "what went wrong is still known")
			rt = func(*http.Request) (*http.Response, error) { return nil, errors.Join(io.EOF, quiet{inner}) }
			_, err = client(t, s.url, rt).Do(t.Context(), "POST", "/", smallBody)
			check(t, err)
			// The service's own words, and an answer that breaks off.
			check(t, c.Error(&Response{Status: 401}, mailer.KindUnauthorized, form, "bad key "+form))
			check(t, c.Error(&Response{Status: 401}, mailer.KindUnauthorized, "", strings.Repeat("x", maxMessage-5-len(form)/2)+form))
			rt = func(*http.Request) (*http.Response, error) {
				r := ok()
				r.Body, r.ContentLength = io.NopCloser(failing{inner}), -1
				return r, nil
			}
			resp, err := client(t, s.url, rt).Do(t.Context(), "POST", "/", smallBody)
			require.NoError(t, err)
			check(t, c.Error(resp, mailer.KindNetwork, "", ""))
		})
	}
	c := client(t, "https://api.example.com", nil)
	e := c.Error(&Response{Status: 401}, mailer.KindUnauthorized, "10", "Bad or missing token: "+secret+".")
	require.Equal(t, "Bad or missing token: [hidden].", e.Message)
	require.Equal(t, "10", e.Code)
}

// quiet says nothing of the error it wraps.
type quiet struct{ err error }

func (quiet) Error() string   { return "broken" }
func (q quiet) Unwrap() error { return q.err }

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestTheWordsOfAServiceAreBoundedAndOnOneLine(t *testing.T) {
	c := client(t, "https://api.example.com", nil)
	words := func(s string) string { return c.Error(&Response{}, 0, "", s).Message }
	require.Equal(t, "", words(""))
	require.Equal(t, "a  b c d", words(" a\r\nb\x1b"+"c\u2028d\x00"))
	require.Equal(t, "a\uFFFDb", words("a\xffb"))
	long := words(strings.Repeat("é", 2000))
	require.LessOrEqual(t, len(long), maxMessage)
	require.Greater(t, len(long), maxMessage-8)
	require.True(t, utf8.ValidString(long))
	require.True(t, strings.HasSuffix(long, "é…"))
	require.Len(t, words(strings.Repeat("x", maxMessage)), maxMessage)
	require.Equal(t, strings.Repeat("x", maxMessage), words(strings.Repeat("x", maxMessage)))
	require.LessOrEqual(t, len(c.Error(&Response{}, 0, strings.Repeat("x", 2000), "").Code), maxCode)
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	const date = "Tue, 24 Nov 2026 11:59:00 GMT" // the server's clock is a minute late
	for name, tc := range map[string]struct {
		value, date string
		want        time.Duration
	}{
		"seconds":                          {"120", "", 2 * time.Minute},
		"seconds with space around them":   {" 120 ", "", 2 * time.Minute},
		"zero":                             {"0", "", 0},
		"negative":                         {"-5", "", 0},
		"a day":                            {"86400", "", 24 * time.Hour},
		"more than a day":                  {"86401", "", 24 * time.Hour},
		"more than a Duration":             {"9223372037", "", 24 * time.Hour},
		"more than an int64":               {"99999999999999999999999", "", 24 * time.Hour},
		"less than an int64":               {"-99999999999999999999999", "", 0},
		"a date":                           {"Tue, 24 Nov 2026 12:00:30 GMT", "", 30 * time.Second},
		"a date by the server's own clock": {"Tue, 24 Nov 2026 12:00:30 GMT", date, 90 * time.Second},
		"a date and a Date that is none":   {"Tue, 24 Nov 2026 12:00:30 GMT", "today", 30 * time.Second},
		"a date in the old form":           {"Tuesday, 24-Nov-26 12:00:30 GMT", "", 30 * time.Second},
		"a past date":                      {"Tue, 24 Nov 2026 11:00:00 GMT", "", 0},
		"a date in a far year":             {"Fri, 31 Dec 9999 23:59:59 GMT", "", 24 * time.Hour},
		"a date at the beginning of time":  {"Mon, 01 Jan 0001 00:00:00 GMT", "", 0},
		"none":                             {"", date, 0},
		"words":                            {"soon", "", 0},
		"a fraction":                       {"1.5", "", 0},
		"too many digits and a letter":     {"18700000000000000000A", "", 0},
		"hexadecimal":                      {"0x10", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, tc.want, retryAfter(tc.value, tc.date, func() time.Time { return now }))
		})
	}
	s := serveTLS(t, answering("HTTP/1.1 429 Slow Down\r\nRetry-After: Tue, 24 Nov 2026 12:00:30 GMT\r\nDate: "+date+"\r\nContent-Length: 0\r\n\r\n"))
	c := client(t, s.url, nil)
	resp, err := c.Do(t.Context(), "POST", "/", smallBody)
	require.NoError(t, err)
	require.Equal(t, 90*time.Second, c.Error(resp, mailer.KindRateLimited, "", "").RetryAfter)
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("120", "")
	f.Add("-1", "Tue, 24 Nov 2026 12:00:00 GMT")
	f.Add("Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 GMT")
	f.Add("99999999999999999999", "x")
	f.Add("18700000000000000000A", "0")
	f.Fuzz(func(t *testing.T, value, date string) {
		now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
		d := retryAfter(value, date, func() time.Time { return now })
		require.GreaterOrEqual(t, d, time.Duration(0))
		require.LessOrEqual(t, d, MaxRetryAfter)
		if n, err := strconv.Atoi(value); err == nil && n >= 0 && n <= 86400 {
			require.Equal(t, time.Duration(n)*time.Second, d)
		}
		if _, err := http.ParseTime(strings.TrimSpace(value)); err != nil && !number.MatchString(strings.TrimSpace(value)) {
			require.Zero(t, d)
		}
	})
}

var number = regexp.MustCompile(`^[+-]?[0-9]+$`)

func TestTheSharedTransportIsTuned(t *testing.T) {
	require.GreaterOrEqual(t, shared.MaxIdleConnsPerHost, 256)
	require.Equal(t, shared.MaxIdleConnsPerHost, shared.MaxConnsPerHost)
	require.GreaterOrEqual(t, shared.MaxIdleConns, shared.MaxIdleConnsPerHost)
	require.True(t, shared.ForceAttemptHTTP2)
	require.EqualValues(t, 0x0303, shared.TLSClientConfig.MinVersion)
	require.False(t, shared.TLSClientConfig.InsecureSkipVerify)
	require.Positive(t, shared.TLSHandshakeTimeout)
	require.Less(t, shared.IdleConnTimeout, time.Minute)
	require.Positive(t, shared.MaxResponseHeaderBytes, "0 would be 10 MB")
	require.LessOrEqual(t, shared.MaxResponseHeaderBytes, int64(MaxBody))
	require.NotNil(t, shared.Proxy)
}
