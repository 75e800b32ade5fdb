package elasticemail

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/webhook"
	"github.com/seed355143d4/mailer/webhook/webhooktest"
)

const hookSecret = "a+secret/of&webhooks=%"

var hook = WebhookConfig{Secrets: []string{"an-older-secret", hookSecret}}

// got is a notification as Elastic Email sends it by default.
func got(query []byte) *http.Request { return gotWith(hookSecret, query) }

func gotWith(secret string, query []byte) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.URL.RawQuery = "secret=" + url.QueryEscape(secret) + "&" + string(query)
	return r
}

// posted is one in the other form.
func posted(body []byte) *http.Request { return postedWith(hookSecret, body) }

func postedWith(secret string, body []byte) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/?secret="+url.QueryEscape(secret), bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return r
}

func TestWebhookConformance(t *testing.T) {
	source := func(secrets ...string) func() (webhook.Source, error) {
		return func() (webhook.Source, error) { return NewWebhook(WebhookConfig{Secrets: secrets}) }
	}
	event := webhook.Event{
		Type: webhook.Clicked, MessageID: "3f2b6c1e-0000", MailID: "01HZX5J3A7", Recipient: "amal@reader.example",
		Time: time.Date(2026, 3, 4, 22, 11, 13, 0, time.UTC), Tags: []string{"dispatch note"},
		Metadata: map[string]string{"order_id": "8841"}, ClickURL: "https://shop.example/pay?a=1&b=2",
	}
	const back = `{"mailer_id":"01HZX5J3A7","order_id":"8841"}`
	spec := webhooktest.Spec{
		Name:    "elasticemail",
		Secrets: []string{hookSecret, "an-older-secret"},
		Config:  hook,
		New:     source(hook.Secrets...),
		Incomplete: map[string]func() (webhook.Source, error){
			"nothing":                source(),
			"an empty secret":        source(""),
			"an empty one of two":    source(hookSecret, ""),
			"a secret with a blank":  source(hookSecret, "a b"),
			"a secret of two lines":  source(hookSecret + "\n"),
			"a secret outside ASCII": source("\u00e9"),
		},
		Methods: []string{http.MethodGet, http.MethodPost},
		Sampled: event,
	}
	forged := func(with func(secret string, payload []byte) *http.Request) map[string]func([]byte) *http.Request {
		all := map[string]func([]byte) *http.Request{}
		for name, secret := range map[string]string{
			"another secret": "another", "an empty secret": "", "a part of it": hookSecret[:8], "more than it": hookSecret + "x",
			"other letters": strings.ToUpper(hookSecret), "a blank behind it": hookSecret + " ", "both secrets": hookSecret + "an-older-secret",
		} {
			all[name] = func(payload []byte) *http.Request { return with(secret, payload) }
		}
		for i := range hookSecret {
			altered := []byte(hookSecret)
			altered[i] ^= 1
			all["one bit of character "+string(rune('A'+i))] = func(payload []byte) *http.Request { return with(string(altered), payload) }
		}
		all["no secret"] = func(payload []byte) *http.Request {
			r := with("", payload)
			_, r.URL.RawQuery, _ = strings.Cut(r.URL.RawQuery, "&")
			return r
		}
		all["a parameter of another name"] = func(payload []byte) *http.Request {
			r := with(hookSecret, payload)
			r.URL.RawQuery = "S" + r.URL.RawQuery[1:]
			return r
		}
		all["a secret in the header only"] = func(payload []byte) *http.Request {
			r := with("", payload)
			r.Header.Set("Secret", hookSecret)
			r.SetBasicAuth("secret", hookSecret)
			return r
		}
		all["the secret as the second one"] = func(payload []byte) *http.Request {
			r := with("x", payload)
			r.URL.RawQuery += "&secret=" + url.QueryEscape(hookSecret)
			return r
		}
		return all
	}
	report := func(to func([]byte) *http.Request, encode func(map[string]string) []byte) func(*testing.T, mailer.Message) (mailer.Receipt, *http.Request) {
		return func(t *testing.T, m mailer.Message) (mailer.Receipt, *http.Request) {
			p, service := capture(t, Config{APIKey: key})
			receipt, err := p.Send(t.Context(), m)
			require.NoError(t, err)
			said := decode(t, service.Body)
			return receipt, to(encode(map[string]string{
				"status": "Sent", "transaction": "3f2b6c1e-0000-4000-8000-aaaaaaaaaaaa", "messageid": "AbCdEfGhIjKlMnOpQrSt",
				"to": m.To[0].Address, "date": "3/4/2026 10:11:13 AM", "channel": said.Options.ChannelName, "postback": said.Content.Postback,
			}))
		}
	}
	form := func(members map[string]string) []byte {
		v := url.Values{}
		for name, text := range members {
			v.Set(name, text)
		}
		return []byte(v.Encode())
	}
	object := func(members map[string]string) []byte {
		b, err := json.Marshal(members)
		require.NoError(t, err)
		return b
	}
	sample := map[string]string{
		"status": "Clicked", "transaction": "3f2b6c1e-0000", "messageid": "AbCdEf", "to": "amal@reader.example", "date": "3/4/2026 10:11:13 PM",
		"channel": "dispatch note", "postback": back, "target": "https://shop.example/pay?a=1&b=2", "from": "shop@example.com", "subject": "Hello", "account": "owner@example.com",
	}
	t.Run("get", func(t *testing.T) {
		spec := spec
		spec.Request, spec.Forged, spec.RoundTrip = got, forged(gotWith), report(got, form)
		spec.Sample = form(sample)
		spec.Unknown = []byte("status=Teleported&transaction=3f2b6c1e-0000&messageid=AbCdEf&to=amal%40reader.example&date=3%2F4%2F2026+10%3A11%3A13+AM")
		webhooktest.Run(t, spec)
	})
	t.Run("post", func(t *testing.T) {
		spec := spec
		spec.Request, spec.Forged, spec.RoundTrip = posted, forged(postedWith), report(posted, object)
		spec.Sample = object(sample)
		spec.Unknown = []byte(`{"status":"Teleported","transaction":"3f2b6c1e-0000","messageid":"AbCdEf","to":"amal@reader.example","date":"2026-03-04T10:11:13"}`)
		spec.Payloads = "testdata/webhook/post"
		webhooktest.Run(t, spec)
	})
}

// received returns the one event of a request.
func received(t *testing.T, query url.Values) webhook.Event {
	t.Helper()
	d, err := NewUnauthenticatedWebhook().Receive(t.Context(), &webhook.Request{Method: http.MethodGet, Query: query})
	require.NoError(t, err)
	require.Len(t, d.Events, 1)
	return d.Events[0]
}

func TestWebhookStatuses(t *testing.T) {
	for status, typ := range map[string]webhook.Type{
		"Sent": webhook.Delivered, "Opened": webhook.Opened, "Clicked": webhook.Clicked, "Unsubscribed": webhook.Unsubscribed,
		"AbuseReport": webhook.Complained, "abusereport": webhook.Complained, "SENT": webhook.Delivered,
		"Submitted": webhook.Other, "Sent ": webhook.Other,
	} {
		e := received(t, url.Values{"status": {status}, "category": {"NoMailbox"}, "target": {"https://example.com"}})
		require.Equal(t, typ, e.Type, status)
		require.Empty(t, e.Bounce, status)
		require.Empty(t, e.Reason, status)
		require.Empty(t, e.Detail, status)
		require.Equal(t, typ == webhook.Clicked, e.ClickURL != "", status)
	}
}

func TestWebhookCategories(t *testing.T) {
	for name, want := range map[string]category{
		"NoMailbox":             {webhook.Bounced, webhook.Hard, webhook.ReasonMailbox},
		"no mailbox":            {webhook.Bounced, webhook.Hard, webhook.ReasonMailbox},
		"GreyListed":            {webhook.Bounced, webhook.Soft, webhook.ReasonThrottled},
		"Throttled":             {webhook.Bounced, webhook.Soft, webhook.ReasonThrottled},
		"Timeout":               {webhook.Bounced, webhook.Soft, webhook.ReasonNetwork},
		"ConnectionProblem":     {webhook.Bounced, webhook.Soft, webhook.ReasonNetwork},
		"ConnectionTerminated":  {webhook.Bounced, webhook.Soft, webhook.ReasonNetwork},
		"DNSProblem":            {webhook.Bounced, webhook.Soft, webhook.ReasonNetwork},
		"SPFProblem":            {webhook.Bounced, webhook.Soft, webhook.ReasonBlocked},
		"WhitelistingProblem":   {webhook.Bounced, webhook.Soft, webhook.ReasonBlocked},
		"AccountProblem":        {webhook.Bounced, webhook.Soft, webhook.ReasonOther},
		"CodeError":             {webhook.Bounced, webhook.Soft, webhook.ReasonOther},
		"Spam":                  {webhook.Bounced, webhook.Soft, webhook.ReasonSpam},
		"ContentFilter":         {webhook.Bounced, webhook.Soft, webhook.ReasonSpam},
		"BlackListed":           {webhook.Bounced, webhook.Soft, webhook.ReasonBlocked},
		"Ignore":                {webhook.Rejected, "", webhook.ReasonOther},
		"ManualCancel":          {webhook.Rejected, "", webhook.ReasonOther},
		"NotDelivered":          {webhook.Rejected, "", webhook.ReasonSuppressed},
		"NotDeliveredCancelled": {webhook.Rejected, "", webhook.ReasonSuppressed},
		"Unknown":               {webhook.Bounced, webhook.Undetermined, webhook.ReasonOther},
		"New":                   {webhook.Bounced, webhook.Undetermined, webhook.ReasonOther},
		"":                      {webhook.Bounced, webhook.Undetermined, ""},
	} {
		e := received(t, url.Values{"status": {"Error"}, "category": {name}})
		require.Equal(t, want, category{e.Type, e.Bounce, e.Reason}, name)
		require.Equal(t, name, e.Detail)
	}
}

func TestWebhookTimes(t *testing.T) {
	at := time.Date(2026, 3, 4, 22, 11, 13, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"2026-03-04T22:11:13Z": at, "2026-03-04T23:11:13+01:00": at, "2026-03-04T22:11:13": at, "2026-03-04 22:11:13": at,
		"3/4/2026 10:11:13 PM": at, "03/04/2026 10:11:13 PM": at, "3/4/2026 10:11:13 pm": at,
		"3/4/2026 10:11:13 AM": at.Add(-12 * time.Hour), "2026-03-04T22:11:13.5": at.Add(time.Second / 2),
		"": {}, "soon": {}, "13/4/2026 10:11:13 PM": {}, "3/4/2026 22:11:13": {}, "1793612463": {},
	} {
		require.Equal(t, want, received(t, url.Values{"status": {"Sent"}, "date": {text}}).Time, text)
	}
}

func TestWebhookPostbacks(t *testing.T) {
	long := strings.Repeat("x", 64)
	for text, want := range map[string]struct {
		id       string
		metadata map[string]string
	}{
		"9f1c":                                   {"9f1c", nil},
		long:                                     {long, nil},
		`{"mailer_id":"a_-Z"}`:                   {"a_-Z", nil},
		`{"mailer_id":"a","plan":"\u00e9"}`:      {"a", map[string]string{"plan": "\u00e9"}},
		`{"mailer_id":"a","n":9007199254740993}`: {"a", map[string]string{"n": "9007199254740993"}},
		"":                                       {},
		long + "x":                               {},
		"a b":                                    {},
		"\u00e9":                                 {},
		"{":                                      {},
		"{mailer_id}":                            {},
		`{"plan":"pro"}`:                         {},
		`{"mailer_id":"a b","b":"c"}`:            {},
		`["a"]`:                                  {},
	} {
		e := received(t, url.Values{"status": {"Sent"}, "postback": {text}})
		require.Equal(t, want.id, e.MailID, text)
		require.Equal(t, want.metadata, e.Metadata, text)
	}
}

func TestWebhookIDsTellEventsApart(t *testing.T) {
	sample := url.Values{}
	for _, name := range []string{"status", "transaction", "messageid", "to", "date", "target"} {
		sample.Set(name, "x")
	}
	first := received(t, sample).ID
	ids := map[string]bool{first: true}
	for name := range sample {
		sample.Set(name, "y")
		id := received(t, sample).ID
		require.False(t, ids[id], name)
		ids[id] = true
		sample.Set(name, "x")
	}
	sample.Set("subject", "another")
	require.Equal(t, first, received(t, sample).ID)

	w := NewUnauthenticatedWebhook()
	for _, body := range []string{`{"event":"new","id":1}`, `{"event":"new","id":2}`, `{"status":"Sent","to":"ada@example.com","id":1}`, `{"status":"Sent","to":"ada@example.com","id":2}`} {
		for i := range 2 {
			d, err := w.Receive(t.Context(), &webhook.Request{Method: http.MethodPost, Body: []byte(body)})
			require.NoError(t, err)
			require.Equal(t, i == 1, ids[d.Events[0].ID], body)
			ids[d.Events[0].ID] = true
		}
	}
}

func TestWebhookShowsNoSecretInTheEvent(t *testing.T) {
	w, err := NewWebhook(hook)
	require.NoError(t, err)
	d, err := w.Receive(t.Context(), &webhook.Request{Method: http.MethodGet, Query: got([]byte("status=Sent&to=ada%40example.com")).URL.Query()})
	require.NoError(t, err)
	require.Equal(t, "status=Sent&to=ada%40example.com", string(d.Events[0].Raw))
}

func TestWebhookTextsAreUTF8(t *testing.T) {
	e := received(t, url.Values{"status": {"Clicked"}, "to": {"a\xffb"}, "channel": {"\xc0"}, "target": {"\xff"}, "postback": {`{"mailer_id":"a","b":"` + "\xff" + `"}`}})
	require.Equal(t, []string{"a\uFFFDb", "\uFFFD", "\uFFFD", "\uFFFD"}, []string{e.Recipient, e.Tags[0], e.ClickURL, e.Metadata["b"]})
}

func TestWebhookIsAskedWhetherItIsThere(t *testing.T) {
	w, err := NewWebhook(hook)
	require.NoError(t, err)
	for _, query := range []string{"", "status=", "x=y"} {
		d, err := w.Receive(t.Context(), &webhook.Request{Method: http.MethodGet, Query: got([]byte(query)).URL.Query()})
		require.NoError(t, err)
		require.Empty(t, d, query)
	}
	_, err = w.Receive(t.Context(), &webhook.Request{Method: http.MethodGet})
	require.ErrorIs(t, err, webhook.ErrUnverified, "who asks is to know the secret")
}

func TestWebhookTakesEachOfItsSecrets(t *testing.T) {
	c := WebhookConfig{Secrets: []string{"an-older-secret", hookSecret}}
	w, err := NewWebhook(c)
	require.NoError(t, err)
	c.Secrets[0] = "another"
	for secret, want := range map[string]error{"an-older-secret": nil, hookSecret: nil, "another": webhook.ErrUnverified} {
		_, err = w.Receive(t.Context(), &webhook.Request{Method: http.MethodGet, Query: url.Values{"secret": {secret}}})
		require.ErrorIs(t, err, want)
	}
}

func FuzzWebhook(f *testing.F) {
	files, err := filepath.Glob("testdata/webhook/*")
	require.NoError(f, err)
	more, err := filepath.Glob("testdata/webhook/post/*")
	require.NoError(f, err)
	for _, file := range append(files, more...) {
		if body, err := os.ReadFile(file); err == nil && !strings.HasSuffix(file, ".golden") {
			f.Add(body)
		}
	}
	w := NewUnauthenticatedWebhook()
	f.Fuzz(func(t *testing.T, payload []byte) {
		query, _ := url.ParseQuery(string(payload))
		for _, r := range []*webhook.Request{{Method: http.MethodGet, Query: query}, {Method: http.MethodPost, Body: payload}} {
			d, err := w.Receive(t.Context(), r)
			if err != nil {
				require.ErrorIs(t, err, webhook.ErrMalformed)
				continue
			}
			for _, e := range d.Events {
				require.NotEmpty(t, e.ID)
				require.NotEmpty(t, e.Raw)
				require.Regexp(t, `^[A-Za-z0-9_-]{0,64}$`, e.MailID)
				require.Equal(t, e.Type == webhook.Bounced, e.Bounce != "")
				again, err := w.Receive(t.Context(), r)
				require.NoError(t, err)
				require.Equal(t, d, again)
			}
		}
	})
}
