package smtp2go

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/internal/httpapi"
)

// Quota returns the messages of the account's present cycle, and when it ends. It
// needs a key with the permission for /stats/email_cycle: one without it is
// [mailer.KindUnknown], since it may still be allowed to send.
func (p *Provider) Quota(ctx context.Context) (mailer.Quota, error) {
	a, resp, err := p.ask(ctx, "/stats/email_cycle")
	if err != nil {
		return mailer.Quota{}, mayNotAsk(err)
	}
	q, known := mailer.Quota{Limit: -1, Remaining: -1}, false
	number := func(value []byte, to *int64) {
		if n, err := strconv.ParseInt(string(value), 10, 64); err == nil {
			*to, known = max(0, n), true // an account may go over its plan
		}
	}
	adapter.Members(a.data, func(name, value []byte) {
		switch string(name) {
		case "cycle_max":
			number(value, &q.Limit)
		case "cycle_remaining":
			number(value, &q.Remaining)
		case "cycle_end":
			q.Reset = cycleEnd(adapter.Text(value))
		}
	})
	if !known {
		return mailer.Quota{}, p.misunderstood(&a, resp, "the answer has no cycle_max")
	}
	return q, nil
}

// mayNotAsk changes the error of a key that may not make a call: it may still be
// allowed to send.
func mayNotAsk(err error) error {
	if e, ok := errors.AsType[*mailer.Error](err); ok && strings.HasSuffix(e.Code, "ENDPOINT_PERMISSION_DENIED") {
		e.Kind = mailer.KindUnknown
	}
	return err
}

// cycleEnd reads a time, which may lack the zone: UTC. The zero time: it is none.
func cycleEnd(text string) time.Time {
	for _, layout := range []string{"2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05", time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// Verify asks what the key may do. [mailer.KindUnauthorized]: SMTP2GO does not know
// it, or it lacks the permission for /email/send.
func (p *Provider) Verify(ctx context.Context) error {
	a, resp, err := p.ask(ctx, "/api_keys/permissions")
	if err != nil {
		return err
	}
	may := false
	if !adapter.Elements(a.data, func(value []byte) { may = may || strings.HasSuffix(adapter.Text(value), path) }) {
		return p.misunderstood(&a, resp, "the answer has no list of permissions")
	}
	if !may {
		return &mailer.Error{
			Provider: provider, Kind: mailer.KindUnauthorized, NotSent: true, Status: resp.Status,
			Message: "the API key lacks the permission for " + path,
		}
	}
	return nil
}

// ask makes a call that sends nothing, and has data in its answer. Its error is
// NotSent.
func (p *Provider) ask(ctx context.Context, path string) (answer, *httpapi.Response, error) {
	a, resp, err := p.call(ctx, path, []byte("{}"))
	if err == nil && len(a.data) == 0 {
		err = p.misunderstood(&a, resp, "the answer has no data")
	}
	return a, resp, err
}

// call makes a call that sends nothing. Its error is NotSent.
func (p *Provider) call(ctx context.Context, path string, body []byte) (answer, *httpapi.Response, error) {
	resp, err := p.api.Do(ctx, http.MethodPost, path, httpapi.Bytes(body))
	if err != nil {
		return answer{}, nil, adapter.Unsent(err)
	}
	a := parse(resp)
	if resp.Status != http.StatusOK || a.err != nil || a.failed {
		return a, resp, adapter.Unsent(p.refusal(&a, resp))
	}
	return a, resp, nil
}

// misunderstood is the error for an answer without what was asked for.
func (p *Provider) misunderstood(a *answer, resp *httpapi.Response, words string) error {
	e := p.refusal(a, resp)
	e.NotSent, e.Err = true, errors.New(words)
	return e
}
