package ses

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/mail"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"
	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/providertest"
)

// bulkWire is a request for several messages as SES documents it.
type bulkWire struct {
	FromEmailAddress, FromEmailAddressIdentityArn, ConfigurationSetName, TenantName string
	ReplyToAddresses                                                                []string
	FeedbackForwardingEmailAddress, FeedbackForwardingEmailAddressIdentityArn       string
	ConfigurationOverrides                                                          struct {
		Tracking struct{ OpenTrackingEnabled, ClickTrackingEnabled string }
	}
	DefaultContent struct {
		Template struct{ TemplateName, TemplateArn, TemplateData string }
	}
	BulkEmailEntries []struct {
		Destination             struct{ ToAddresses, CcAddresses, BccAddresses []string }
		ReplacementEmailContent struct {
			ReplacementTemplate struct{ ReplacementTemplateData string }
		}
		ReplacementHeaders []pair
		ReplacementTags    []pair
	}
}

// bulkService plays SES for batches. It gives a message the id of its recipient.
type bulkService struct {
	mu      sync.Mutex
	calls   []bulkWire
	singles []string
	running int
	most    int
	// bulk changes the results of a call, or breaks it off.
	bulk func(call bulkWire, results []string) ([]string, error)
	wait time.Duration
	keys keys // instead of the key
}

func (s *bulkService) provider(t *testing.T) *Provider {
	c := key
	if s.keys != nil {
		c = Config{Region: key.Region, Credentials: s.keys}
	}
	c.HTTPClient = &http.Client{Transport: providertest.RoundTrip(func(r *http.Request) (*http.Response, error) {
		s.mu.Lock()
		s.running++
		s.most = max(s.most, s.running)
		s.mu.Unlock()
		time.Sleep(s.wait)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.running--
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		answer := func(body string) *http.Response {
			return &http.Response{StatusCode: 200, Header: http.Header{"X-Amzn-Requestid": {"9d0c0ff5"}}, Body: io.NopCloser(strings.NewReader(body))}
		}
		if r.URL.Path == "/v2/email/outbound-emails" {
			w := decode(t, body)
			id := "id of " + w.Destination.ToAddresses[0]
			s.singles = append(s.singles, w.Destination.ToAddresses[0])
			return answer(yes(id).Body), nil
		}
		require.Equal(t, "/v2/email/outbound-bulk-emails", r.URL.Path)
		var w bulkWire
		providertest.Decode(t, body, &w)
		s.calls = append(s.calls, w)
		var results []string
		for _, e := range w.BulkEmailEntries {
			results = append(results, fmt.Sprintf(`{"Status":"SUCCESS","MessageId":%q,"Error":null}`, "id of "+e.Destination.ToAddresses[0]))
		}
		if s.bulk != nil {
			if results, err = s.bulk(w, results); err != nil {
				return nil, err
			}
		}
		return answer(`{"BulkEmailEntryResults":[` + strings.Join(results, ",") + `]}`), nil
	})}
	p, err := New(c)
	require.NoError(t, err)
	return p
}

// personal makes n messages with a template and data of their own.
func personal(n int) []mailer.Message {
	ms := make([]mailer.Message, n)
	for i := range ms {
		ms[i] = mailer.Message{
			ID:       fmt.Sprintf("m%d", i),
			From:     mailer.Address{Name: "Example", Address: "shop@example.com"},
			To:       []mailer.Address{{Address: fmt.Sprintf("reader%d@example.com", i)}},
			Template: mailer.Template{ID: "welcome", Data: map[string]any{"number": i}},
		}
	}
	return ms
}

func requireOwn(t *testing.T, ms []mailer.Message, results []mailer.Result) {
	t.Helper()
	require.Len(t, results, len(ms))
	for i, r := range results {
		require.NoError(t, r.Err, "message %d", i)
		require.Equal(t, "id of "+ms[i].To[0].Address, r.Receipt.MessageID)
		require.Equal(t, ms[i].ID, r.Receipt.ID)
		require.Equal(t, "ses", r.Receipt.Provider)
	}
}

func TestBatchOfATemplateGoesInFewCalls(t *testing.T) {
	s := &bulkService{}
	p := s.provider(t)
	ms := personal(121)
	requireOwn(t, ms, p.SendBatch(t.Context(), ms))
	var sizes []int
	seen := map[string]bool{}
	for _, c := range s.calls {
		sizes = append(sizes, len(c.BulkEmailEntries))
		for _, e := range c.BulkEmailEntries {
			seen[e.Destination.ToAddresses[0]] = true
		}
	}
	slices.Sort(sizes)
	require.Equal(t, []int{21, 50, 50}, sizes)
	require.Len(t, seen, 121)
	require.Empty(t, s.singles)
	require.Equal(t, 50, p.MaxBatch())
}

func TestBatchSaysAllOfEachMessage(t *testing.T) {
	s := &bulkService{}
	c := s.provider(t)
	c.templates = map[string]string{"welcome": "willkommen"}
	c.configurationSet = "transactional"
	ms := personal(2)
	for i := range ms {
		ms[i].ReplyTo = []mailer.Address{{Address: "help@example.com"}, {Name: "Re, turns", Address: "returns@example.com"}}
		ms[i].Track = mailer.Tracking{Opens: mailer.Off, Clicks: mailer.On}
		ms[i].Extras = []mailer.Extra{Extra{Tenant: "acme", IdentityARN: "arn:x", FeedbackAddress: "bounces@example.com", FeedbackIdentityARN: "arn:y"}}
	}
	ms[0].Cc = []mailer.Address{{Name: "Cleo", Address: "cleo@example.com"}}
	ms[0].Bcc = []mailer.Address{{Address: "eli@example.com"}}
	ms[0].Headers = map[string]string{"X-Order": "8841"}
	ms[0].Unsubscribe.URL = "https://example.com/leave?u=1"
	ms[1].Tags, ms[1].Metadata = []string{"one", "t w o"}, map[string]string{"plan": "pro"}
	ms[1].Template.Data = nil
	results := c.SendBatch(t.Context(), ms)
	requireOwn(t, ms, results)
	require.Nil(t, results[0].Receipt.Dropped)
	require.Equal(t, []string{"Tags[1]"}, results[1].Receipt.Dropped)

	require.Len(t, s.calls, 1)
	w := s.calls[0]
	require.Equal(t, "Example <shop@example.com>", w.FromEmailAddress)
	require.Equal(t, []string{"help@example.com", `"Re, turns" <returns@example.com>`}, w.ReplyToAddresses)
	require.Equal(t, "willkommen", w.DefaultContent.Template.TemplateName)
	require.Equal(t, "{}", w.DefaultContent.Template.TemplateData)
	require.Equal(t, []string{"transactional", "acme", "arn:x"}, []string{w.ConfigurationSetName, w.TenantName, w.FromEmailAddressIdentityArn})
	require.Equal(t, []string{"bounces@example.com", "arn:y"}, []string{w.FeedbackForwardingEmailAddress, w.FeedbackForwardingEmailAddressIdentityArn})
	require.Equal(t, "DISABLED", w.ConfigurationOverrides.Tracking.OpenTrackingEnabled)
	require.Equal(t, "ENABLED", w.ConfigurationOverrides.Tracking.ClickTrackingEnabled)
	a, b := w.BulkEmailEntries[0], w.BulkEmailEntries[1]
	require.Equal(t, []string{"Cleo <cleo@example.com>"}, a.Destination.CcAddresses)
	require.Equal(t, []string{"eli@example.com"}, a.Destination.BccAddresses)
	require.Equal(t, []pair{
		{"List-Unsubscribe", "<https://example.com/leave?u=1>"}, {"List-Unsubscribe-Post", "List-Unsubscribe=One-Click"}, {"X-Order", "8841"},
	}, a.ReplacementHeaders)
	require.Equal(t, `{"number":0}`, a.ReplacementEmailContent.ReplacementTemplate.ReplacementTemplateData)
	require.Equal(t, []pair{{"mailer_id", "m0"}}, a.ReplacementTags)
	require.Empty(t, b.ReplacementHeaders)
	require.Equal(t, `{}`, b.ReplacementEmailContent.ReplacementTemplate.ReplacementTemplateData)
	require.Equal(t, []pair{{"mailer_id", "m1"}, {"mailer_tag", "one"}, {"plan", "pro"}}, b.ReplacementTags)
}

func TestBatchKeepsApartWhatCannotShareACall(t *testing.T) {
	for name, change := range map[string]func(m *mailer.Message){
		"another template":          func(m *mailer.Message) { m.Template.ID = "bye" },
		"another sender":            func(m *mailer.Message) { m.From.Address = "other@example.com" },
		"another name":              func(m *mailer.Message) { m.From.Name = "Other" },
		"another reply-to":          func(m *mailer.Message) { m.ReplyTo = []mailer.Address{{Address: "help@example.com"}} },
		"another tracking":          func(m *mailer.Message) { m.Track.Opens = mailer.Off },
		"another configuration set": func(m *mailer.Message) { m.Extras[0].(*Extra).ConfigurationSet = "x" },
		"another tenant":            func(m *mailer.Message) { m.Extras[0].(*Extra).Tenant = "x" },
		"another feedback":          func(m *mailer.Message) { m.Extras[0].(*Extra).FeedbackAddress = "x@example.com" },
		"another feedback identity": func(m *mailer.Message) { m.Extras[0].(*Extra).FeedbackIdentityARN = "x" },
		"another identity":          func(m *mailer.Message) { m.Extras[0].(*Extra).IdentityARN = "x" },
	} {
		t.Run(name, func(t *testing.T) {
			s := &bulkService{}
			p := s.provider(t)
			ms := personal(4)
			for i := range ms {
				ms[i].Extras = []mailer.Extra{&Extra{FeedbackAddress: "bounces@example.com"}}
			}
			change(&ms[1])
			change(&ms[3])
			requireOwn(t, ms, p.SendBatch(t.Context(), ms))
			require.Len(t, s.calls, 2)
			for _, c := range s.calls {
				require.Len(t, c.BulkEmailEntries, 2)
			}
		})
	}
	for name, change := range map[string]func(m *mailer.Message){
		"no template":    func(m *mailer.Message) { m.Template, m.Text = mailer.Template{}, "Hello" },
		"a file":         func(m *mailer.Message) { m.Attachments = []mailer.Attachment{{Name: "a.txt", Content: []byte("x")}} },
		"a contact list": func(m *mailer.Message) { m.Extras = []mailer.Extra{Extra{ContactList: "readers"}} },
	} {
		t.Run(name+" goes alone", func(t *testing.T) {
			s := &bulkService{}
			p := s.provider(t)
			ms := personal(4)
			change(&ms[1])
			change(&ms[2])
			requireOwn(t, ms, p.SendBatch(t.Context(), ms))
			slices.Sort(s.singles)
			require.Equal(t, []string{"reader1@example.com", "reader2@example.com"}, s.singles)
			require.Len(t, s.calls, 1)
		})
	}
	t.Run("a template by its ARN", func(t *testing.T) {
		s := &bulkService{}
		p := s.provider(t)
		p.templates = map[string]string{"welcome": "arn:aws:ses:eu-west-1:123456789012:template/welcome"}
		ms := personal(4)
		ms[1].Template.ID, ms[3].Template.ID = "arn:x", "arn:x"
		requireOwn(t, ms, p.SendBatch(t.Context(), ms))
		require.Len(t, s.calls, 2)
		var arns []string
		for _, c := range s.calls {
			require.Empty(t, c.DefaultContent.Template.TemplateName)
			arns = append(arns, c.DefaultContent.Template.TemplateArn)
		}
		require.ElementsMatch(t, []string{p.templates["welcome"], "arn:x"}, arns)
	})
	t.Run("one message of a template goes alone", func(t *testing.T) {
		s := &bulkService{}
		p := s.provider(t)
		ms := personal(1)
		requireOwn(t, ms, p.SendBatch(t.Context(), ms))
		require.Empty(t, s.calls)
	})
	t.Run("more bytes than one call is to have", func(t *testing.T) {
		s := &bulkService{}
		p := s.provider(t)
		ms := personal(20)
		for i := range ms {
			ms[i].Template.Data["long"] = strings.Repeat(`"`, 60_000) // four times as many bytes on the wire
		}
		requireOwn(t, ms, p.SendBatch(t.Context(), ms))
		var sizes []int
		for _, c := range s.calls {
			sizes = append(sizes, len(c.BulkEmailEntries))
		}
		slices.Sort(sizes)
		require.Equal(t, []int{10, 10}, sizes)
	})
}

func TestBatchResultsAreExact(t *testing.T) {
	const failed = "Email address is not verified. The following identities failed the check in region EU-WEST-1: "
	p, _ := capture(t, key, yes("x"))
	type outcome struct {
		kind    mailer.Kind
		notSent bool
	}
	cases := map[types.BulkEmailStatus]outcome{
		types.BulkEmailStatusMessageRejected:               {mailer.KindContent, true},
		types.BulkEmailStatusMailFromDomainNotVerified:     {mailer.KindSender, true},
		types.BulkEmailStatusConfigurationSetNotFound:      {mailer.KindUnknown, true},
		types.BulkEmailStatusTemplateNotFound:              {mailer.KindRejected, true},
		types.BulkEmailStatusAccountSuspended:              {mailer.KindUnauthorized, true},
		types.BulkEmailStatusAccountThrottled:              {mailer.KindRateLimited, true},
		types.BulkEmailStatusAccountDailyQuotaExceeded:     {mailer.KindQuota, true},
		types.BulkEmailStatusInvalidSendingPoolName:        {mailer.KindUnknown, true},
		types.BulkEmailStatusAccountSendingPaused:          {mailer.KindUnauthorized, true},
		types.BulkEmailStatusConfigurationSetSendingPaused: {mailer.KindUnauthorized, true},
		types.BulkEmailStatusInvalidParameter:              {mailer.KindRejected, true},
		types.BulkEmailStatusTransientFailure:              {mailer.KindUnavailable, false},
		types.BulkEmailStatusFailed:                        {mailer.KindUnknown, false},
		"TEMPLATE_DOES_NOT_EXIST":                          {mailer.KindRejected, true},
		"CONFIGURATION_SET_DOES_NOT_EXIST":                 {mailer.KindUnknown, true},
		"INVALID_PARAMETER_VALUE":                          {mailer.KindRejected, true},
		"A_NEW_ONE":                                        {mailer.KindUnknown, false},
	}
	for _, status := range types.BulkEmailStatus("").Values() {
		if status != types.BulkEmailStatusSuccess {
			require.Contains(t, cases, status, "the SDK knows a status that the table does not")
		}
	}
	send := func(t *testing.T, entry string) []mailer.Result {
		s := &bulkService{bulk: func(_ bulkWire, results []string) ([]string, error) {
			results[1] = entry
			return results, nil
		}}
		ms := personal(3)
		for i := range ms {
			ms[i].Extras = []mailer.Extra{Extra{FeedbackAddress: "bounces@feedback.example"}}
		}
		results := s.provider(t).SendBatch(t.Context(), ms)
		requireOwn(t, []mailer.Message{ms[0], ms[2]}, []mailer.Result{results[0], results[2]})
		require.Len(t, s.calls, 1)
		require.Empty(t, s.singles)
		return results
	}
	for status, want := range cases {
		t.Run(string(status), func(t *testing.T) {
			results := send(t, fmt.Sprintf(`{"Status":%q,"MessageId":null,"Error":"words"}`, status))
			e, ok := errors.AsType[*mailer.Error](results[1].Err)
			require.True(t, ok)
			require.Equal(t, mailer.Error{
				Provider: "ses", Kind: want.kind, NotSent: want.notSent, Status: 200, Code: string(status), Message: "words", RequestID: "9d0c0ff5",
			}, *e)
			require.Equal(t, mailer.Receipt{}, results[1].Receipt)
		})
	}
	for name, c := range map[string]struct {
		entry string
		outcome
	}{
		"the sender is not verified":    {fmt.Sprintf(`{"Status":"MESSAGE_REJECTED","Error":%q}`, failed+"shop@example.com"), outcome{mailer.KindSender, true}},
		"the feedback is not verified":  {fmt.Sprintf(`{"Status":"MESSAGE_REJECTED","Error":%q}`, failed+"bounces@feedback.example"), outcome{mailer.KindSender, true}},
		"the account is in the sandbox": {fmt.Sprintf(`{"Status":"MESSAGE_REJECTED","Error":%q}`, failed+"reader1@example.com"), outcome{mailer.KindUnauthorized, true}},
		"success without an id":         {`{"Status":"SUCCESS"}`, outcome{mailer.KindUnknown, false}},
		"no beside an id":               {`{"Status":"TEMPLATE_NOT_FOUND","MessageId":"x"}`, outcome{mailer.KindRejected, false}},
		"an empty result":               {`{}`, outcome{mailer.KindUnknown, false}},
	} {
		t.Run(name, func(t *testing.T) {
			err := send(t, c.entry)[1].Err
			require.ErrorIs(t, err, c.kind)
			require.Equal(t, c.notSent, mailer.NotSent(err))
		})
	}
	require.NotNil(t, p)
}

func TestBatchIsUnknownOnlyWhereTheAnswerWasLost(t *testing.T) {
	for name, bulk := range map[string]func(results []string) ([]string, error){
		"lost":                  func([]string) ([]string, error) { return nil, errors.New("connection reset") },
		"short":                 func(r []string) ([]string, error) { return r[1:], nil },
		"long":                  func(r []string) ([]string, error) { return append(r, r[0]), nil },
		"empty":                 func([]string) ([]string, error) { return nil, nil },
		"with a result of null": func(r []string) ([]string, error) { return append(r[:len(r)-1], "null"), nil },
		"with half a result":    func(r []string) ([]string, error) { return append(r[:len(r)-1], `{"Status"`), nil },
	} {
		t.Run(name, func(t *testing.T) {
			s := &bulkService{bulk: func(w bulkWire, results []string) ([]string, error) {
				if len(w.BulkEmailEntries) == 50 {
					return results, nil
				}
				return bulk(results)
			}}
			ms := personal(60)
			ms[20].Subject = "beside a template"
			results := s.provider(t).SendBatch(t.Context(), ms)
			require.ErrorIs(t, results[20].Err, mailer.KindUnsupported)
			require.True(t, mailer.NotSent(results[20].Err))
			requireOwn(t, slices.Delete(slices.Clone(ms[:51]), 20, 21), slices.Delete(slices.Clone(results[:51]), 20, 21))
			lost := results[51:]
			if name == "with a result of null" {
				requireOwn(t, ms[51:59], lost[:8])
				lost = lost[8:]
			}
			for i, r := range lost {
				require.Error(t, r.Err, "message %d", 51+i)
				require.False(t, mailer.NotSent(r.Err))
				require.Contains(t, []mailer.Kind{mailer.KindNetwork, mailer.KindUnknown}, mailer.KindOf(r.Err))
				require.Equal(t, mailer.Receipt{}, r.Receipt)
			}
			require.Len(t, s.calls, 2, "a call was made twice")
			require.Empty(t, s.singles)
		})
	}
	t.Run("an error of a call is that of each of its messages", func(t *testing.T) {
		p, _ := capture(t, key, nay(403, "AccessDeniedException", "not authorized to perform: ses:SendBulkEmail"))
		results := p.SendBatch(t.Context(), personal(3))
		for i, r := range results {
			require.ErrorIs(t, r.Err, mailer.KindUnauthorized)
			require.True(t, mailer.NotSent(r.Err))
			if i > 0 {
				require.NotSame(t, results[0].Err, r.Err, "two messages share an error that one may change")
			}
		}
	})
}

func TestBatchSendsSeveralAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &bulkService{wait: time.Second}
		p := s.provider(t)
		ms := personal(400)
		for i := range ms {
			ms[i].Template, ms[i].Text = mailer.Template{}, "Hello"
		}
		begun := time.Now()
		requireOwn(t, ms, p.SendBatch(t.Context(), ms))
		require.Equal(t, 4*time.Second, time.Since(begun))
		require.Equal(t, inFlight, s.most)
		require.Len(t, s.singles, 400)
	})
}

func TestBatchStopsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		s := &bulkService{wait: time.Second, keys: func(context.Context) (aws.Credentials, error) {
			asked.Add(1)
			return aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "secret"}, nil
		}}
		p := s.provider(t)
		ms := personal(400)
		for i := range ms[:350] {
			ms[i].Template, ms[i].Text = mailer.Template{}, "Hello"
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(1500*time.Millisecond, cancel)
		results := p.SendBatch(ctx, ms)
		requireOwn(t, ms[:256], results[:256])
		for _, r := range results[256:] {
			require.ErrorIs(t, r.Err, mailer.KindCanceled)
			require.ErrorIs(t, r.Err, context.Canceled)
			require.True(t, mailer.NotSent(r.Err))
		}
		require.Len(t, s.singles, 256)
		require.Empty(t, s.calls)
		require.Equal(t, int32(256), asked.Load(), "credentials were asked for in vain")
	})
}

func TestBatchAddressesAreOnes(t *testing.T) {
	s := &bulkService{}
	p := s.provider(t)
	ms := personal(2)
	ms[0].To[0].Name = `Eve" <eve@evil.example>, "x`
	ms[1].To[0].Name = "Zo\u00eb, K."
	for _, r := range p.SendBatch(t.Context(), ms) {
		require.NoError(t, r.Err)
	}
	for i, e := range s.calls[0].BulkEmailEntries {
		require.Len(t, e.Destination.ToAddresses, 1)
		a, err := mail.ParseAddress(e.Destination.ToAddresses[0])
		require.NoError(t, err)
		require.Equal(t, ms[i].To[0], *a)
	}
}
