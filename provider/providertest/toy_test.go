package providertest_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/envelope"
)

// toy is an adapter for a service that does not exist. It is correct as long as
// defect is empty; each defect breaks one thing.
type toy struct {
	baseURL string
	names   map[string]string
	key     secret
	client  *http.Client
	defect  string

	mu     sync.Mutex
	body   []byte         // of the defect "swaps concurrent bodies"
	idle   chan struct{}  // of the defect "leaves a goroutine"
	failed atomic.Bool    // of the defect "does not recover"
	Leaked map[string]any // of the defect "prints the key"
}

// toyNames are of the defect "shares the names of templates".
var toyNames atomic.Pointer[map[string]string]

// secret is a string that does not print.
type secret struct{ value func() string }

func (secret) String() string   { return "***" }
func (secret) GoString() string { return "***" }

type toyConfig struct {
	Key    string
	Prints bool
}

func (c toyConfig) String() string {
	if c.Prints {
		return c.Key
	}
	return "toy"
}
func (c toyConfig) GoString() string             { return c.String() }
func (c toyConfig) LogValue() slog.Value         { return slog.StringValue(c.String()) }
func (c toyConfig) Format(f fmt.State, _ rune)   { io.WriteString(f, c.String()) }
func (c toyConfig) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

func newToy(defect, baseURL, key string, client *http.Client) (*toy, error) {
	p := &toy{baseURL: baseURL, key: secret{func() string { return key }}, client: client, defect: defect}
	switch defect {
	case "follows redirects":
	case "changes the client":
		client.CheckRedirect = noRedirect
	default:
		c := *client
		c.CheckRedirect = noRedirect
		p.client = &c
	}
	switch defect {
	case "trusts any certificate":
		t := client.Transport.(*http.Transport).Clone()
		t.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
		p.client.Transport = t
	case "keeps two connections":
		t := client.Transport.(*http.Transport).Clone()
		t.MaxIdleConnsPerHost = 2
		p.client.Transport = t
	case "speaks HTTP/1.1 only":
		t := client.Transport.(*http.Transport).Clone()
		t.ForceAttemptHTTP2, t.TLSNextProto = false, nil
		if t.TLSClientConfig != nil {
			t.TLSClientConfig.NextProtos = nil
		}
		p.client.Transport = t
	case "prints the key":
		p.Leaked = map[string]any{"key": key}
	case "calls the service in New":
		if r, err := client.Get(baseURL); err == nil {
			r.Body.Close()
		}
	case "leaves a goroutine":
		p.idle = make(chan struct{})
		go func() { <-p.idle }()
	}
	return p, nil
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func (p *toy) Name() string { return "toy" }

type toyBox struct {
	Email string `json:"email"`
	Name  string `json:"name,omitempty"`
}

type toyFile struct {
	Name, Type, CID string
	Data            []byte
}

type toyMail struct {
	ID          string            `json:"id"`
	From        toyBox            `json:"from"`
	To          []toyBox          `json:"to"`
	Cc          []toyBox          `json:"cc,omitempty"`
	Bcc         []toyBox          `json:"bcc,omitempty"`
	ReplyTo     []toyBox          `json:"reply_to,omitempty"`
	Subject     string            `json:"subject,omitempty"`
	Text        string            `json:"text,omitempty"`
	HTML        string            `json:"html,omitempty"`
	Files       []toyFile         `json:"files,omitempty"`
	Headers     map[string]string `json:"headers,omitempty"`
	Tag         string            `json:"tag,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty"`
	TrackOpens  *bool             `json:"track_opens,omitempty"`
	Template    string            `json:"template,omitempty"`
	Data        map[string]any    `json:"data,omitempty"`
	At          *time.Time        `json:"at,omitempty"`
	Stamp       int64             `json:"stamp,omitempty"`
	Unsupported bool              `json:"unsupported,omitempty"`
}

func (p *toy) boxes(list []mailer.Address) []toyBox {
	var all []toyBox
	for _, a := range list {
		if p.defect == "does not quote names" && a.Name != "" {
			all = append(all, toyBox{Email: a.Name + " <" + a.Address + ">"})
			continue
		}
		all = append(all, toyBox{a.Address, a.Name})
	}
	return all
}

func (p *toy) refuse(field, words string) error {
	return &mailer.Error{Provider: "toy", Kind: mailer.KindUnsupported, NotSent: true, Field: field, Message: words}
}

// translate makes the request of a message, and says what was dropped.
func (p *toy) translate(m mailer.Message) (toyMail, []string, error) {
	if p.defect == "takes a line end for a blank" {
		m.Subject = strings.ReplaceAll(m.Subject, "\r\n", " ")
	}
	prepared, err := envelope.Prepare(m, false)
	if p.defect == "checks nothing" && mailer.KindOf(err) == mailer.KindInvalid {
		prepared, err = m, nil
	}
	if err != nil {
		if e, ok := errors.AsType[*mailer.Error](err); ok {
			named := *e
			named.Provider = "toy"
			return toyMail{}, nil, &named
		}
		return toyMail{}, nil, err
	}
	if p.defect == "sends an address twice" {
		prepared.To, prepared.Cc, prepared.Bcc = m.To, m.Cc, m.Bcc
	}
	m = prepared
	if len(m.To) == 0 && p.defect != "sends what is unsupported" {
		return toyMail{}, nil, p.refuse("To", "needs one")
	}
	size := len(m.Text) + len(m.HTML)
	for _, a := range m.Attachments {
		size += len(a.Content)
	}
	if size > toyMaxSize {
		return toyMail{}, nil, &mailer.Error{Provider: "toy", Kind: mailer.KindTooLarge, NotSent: true, Message: "has too many bytes"}
	}
	for _, v := range m.Template.Data {
		if _, ok := v.(string); !ok {
			return toyMail{}, nil, p.refuse("Template.Data", "takes strings only")
		}
	}
	if p.defect == "refuses what is supported" && !m.SendAt.IsZero() {
		return toyMail{}, nil, p.refuse("SendAt", "is not wanted")
	}
	q := toyMail{
		ID: m.ID, From: toyBox{m.From.Address, m.From.Name}, To: p.boxes(m.To), Cc: p.boxes(m.Cc), Bcc: p.boxes(m.Bcc), ReplyTo: p.boxes(m.ReplyTo),
		Subject: m.Subject, Text: m.Text, HTML: m.HTML, Metadata: m.Metadata, Template: m.Template.ID, Data: m.Template.Data,
	}
	if id := p.names[m.Template.ID]; id != "" {
		q.Template = id
	}
	switch p.defect {
	case "forgets the names of templates":
		q.Template = m.Template.ID
	case "makes up a template":
		if q.Template == "monthly" {
			q.Template = "welcome"
		}
	case "shares the names of templates":
		toyNames.CompareAndSwap(nil, &p.names)
		if id := (*toyNames.Load())[m.Template.ID]; id != "" {
			q.Template = id
		}
	case "drops cc":
		q.Cc = nil
	case "drops bcc":
		q.Bcc = nil
	case "shows bcc as cc":
		q.Cc, q.Bcc = append(q.Cc, q.Bcc...), nil
	case "keeps a clock in the request":
		q.Stamp = time.Now().UnixNano()
	case "loses the ID":
		q.ID = ""
	case "drops HTML":
		q.HTML = ""
	case "trims texts":
		q.Text, q.HTML = strings.TrimSpace(q.Text), strings.TrimSpace(q.HTML)
	}
	for _, a := range m.Attachments {
		f := toyFile{a.Name, a.ContentType, a.ContentID, a.Content}
		if p.defect == "loses bytes of attachments" && len(a.Content) > 1<<19 {
			f.Data = a.Content[:1<<19]
		}
		if p.defect == "drops empty files" && len(a.Content) == 0 {
			continue
		}
		q.Files = append(q.Files, f)
	}
	q.Headers = map[string]string{}
	for k, v := range m.Headers {
		q.Headers[k] = v
	}
	var leave []string
	if u := m.Unsubscribe; u.URL != "" {
		leave = append(leave, "<"+u.URL+">")
		q.Headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
	}
	if u := m.Unsubscribe; u.Mailto != "" {
		leave = append(leave, "<mailto:"+u.Mailto+">")
	}
	if leave != nil {
		q.Headers["List-Unsubscribe"] = strings.Join(leave, ", ")
	}
	var dropped []string
	for i, tag := range m.Tags {
		if i == 0 {
			q.Tag = tag
		} else {
			dropped = append(dropped, fmt.Sprintf("Tags[%d]", i))
		}
	}
	if m.Track.Opens != mailer.Default && p.defect != "ignores tracking" {
		on := m.Track.Opens == mailer.On
		q.TrackOpens = &on
	}
	if m.Track.Clicks != mailer.Default {
		dropped = append(dropped, "Track.Clicks")
	}
	if m.SendAt.After(time.Now()) {
		q.At = &m.SendAt
	}
	if p.defect == "drops a tag in silence" {
		dropped = nil
	}
	return q, dropped, nil
}

func (p *toy) Check(m mailer.Message) error {
	_, _, err := p.translate(m)
	if p.defect == "Check disagrees with Send" && mailer.KindOf(err) == mailer.KindUnsupported {
		return nil
	}
	switch p.defect {
	case "Check has words of its own":
		if e, ok := errors.AsType[*mailer.Error](err); ok {
			e.Message = "is not what we take"
		}
	case "allocates in Check":
		allocate()
	}
	return err
}

// waste is where allocate's memory goes, so that it is allocated.
var waste [100]*int

func allocate() {
	for i := range waste {
		waste[i] = new(int)
	}
}

func (p *toy) Send(ctx context.Context, m mailer.Message) (mailer.Receipt, error) {
	q, dropped, err := p.translate(m)
	if err != nil {
		return mailer.Receipt{}, err
	}
	switch p.defect {
	case "changes the message":
		if len(m.To) > 0 {
			m.To[0].Name = strings.ToUpper(m.To[0].Name)
		}
	case "writes behind the message's slices":
		_ = append(m.To, mailer.Address{Address: "ben@example.com"})
	case "ignores the context":
		ctx = context.WithoutCancel(ctx)
	case "allocates in Send":
		allocate()
	}
	body, err := json.Marshal(q)
	if err != nil {
		return mailer.Receipt{}, p.refuse("Template.Data", "cannot be written as JSON")
	}
	if p.defect == "copies every file" {
		for range 10 {
			body = bytes.Clone(body)
		}
	}
	if p.defect == "swaps concurrent bodies" {
		p.mu.Lock()
		p.body = body
		p.mu.Unlock()
		time.Sleep(time.Millisecond)
		p.mu.Lock()
		body = p.body
		p.mu.Unlock()
	}
	switch {
	case p.defect == "loses one in a hundred" && strings.HasSuffix(q.ID, "77x"):
		return mailer.Receipt{ID: q.ID, Provider: "toy", MessageID: "toy-77", Dropped: dropped}, nil
	case p.defect == "doubles one in a hundred" && strings.HasSuffix(q.ID, "77x"):
		_, _ = p.post(ctx, q.ID, body)
	case p.defect == "swaps two recipients in a hundred":
		body = bytes.Replace(body, []byte(`mark177x@example.com`), []byte(`mark277x@example.com`), 1)
	}
	r, err := p.post(ctx, q.ID, body)
	for range 2 {
		if p.defect == "tries again by itself" && err != nil {
			r, err = p.post(ctx, q.ID, body)
		}
	}
	if p.defect == "does not recover" && (err != nil || p.failed.Load()) {
		p.failed.Store(true)
		err = p.fail(mailer.KindNetwork, true, 0, "", "still broken", err)
	}
	if p.defect == "reports plain errors" && err != nil {
		err = errors.New(err.Error())
	}
	if err != nil {
		return mailer.Receipt{}, err
	}
	r.Dropped = dropped
	return r, nil
}

func (p *toy) fail(kind mailer.Kind, notSent bool, status int, code, words string, cause error) *mailer.Error {
	e := &mailer.Error{Provider: "toy", Kind: kind, NotSent: notSent, Status: status, Code: code, Message: words, Err: cause}
	switch p.defect {
	case "leaks the key":
		e.Message = "the request had the key " + p.key.value()
	case "names no provider":
		e.Provider = ""
	case "leaves out the status":
		e.Status = 0
	}
	return e
}

func (p *toy) post(ctx context.Context, id string, body []byte) (mailer.Receipt, error) {
	switch p.defect {
	case "asks for the wrong path":
		return p.exchange(ctx, "/v2/send", id, body)
	case "misspells a key":
		body = bytes.ReplaceAll(body, []byte(`"html":`), []byte(`"Html":`))
	}
	return p.exchange(ctx, "/v1/send", id, body)
}

// exchange makes the call. Its receipt is that of the answer; ids of a batch are
// in it, joined with commas.
func (p *toy) exchange(ctx context.Context, path, id string, body []byte) (mailer.Receipt, error) {
	var connected atomic.Bool
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }}
	r, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), http.MethodPost, p.baseURL+path, bytes.NewReader(body))
	if err != nil {
		return mailer.Receipt{}, p.fail(mailer.KindUnknown, true, 0, "", "cannot make a request", nil)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Toy-Key", p.key.value())
	signature := rand.Text()
	r.Header.Set("Authorization", "TOY1 Scope=mail, Signature="+signature)
	r.Close = p.defect == "keeps no connection"
	if p.defect == "sets an Idempotency-Key" {
		r.Header.Set("Idempotency-Key", id)
	}
	broken := func(err error) error {
		kind, notSent := mailer.KindNetwork, !connected.Load()
		if errors.Is(err, context.Canceled) {
			kind = mailer.KindCanceled
		}
		switch p.defect {
		case "calls a cancel a network failure":
			kind = mailer.KindNetwork
		case "hides the cause":
			err = nil
		case "claims NotSent after a lost answer":
			notSent = true
		case "never claims NotSent":
			notSent = false
		}
		return p.fail(kind, notSent, 0, "", "no complete answer", err)
	}
	client := p.client
	if p.defect == "makes a client for each send" {
		client = &http.Client{Transport: client.Transport.(*http.Transport).Clone()}
	}
	answer, err := client.Do(r)
	if err != nil {
		return mailer.Receipt{}, broken(err)
	}
	defer answer.Body.Close()
	limit := int64(1 << 20)
	if p.defect == "unpacks a bomb" {
		limit = 1 << 40
	}
	data, err := io.ReadAll(io.LimitReader(answer.Body, limit))
	if p.defect == "reads an endless body" {
		io.Copy(io.Discard, answer.Body)
	}
	if err == nil && len(data) >= 1<<20 {
		data, err = nil, errors.New("the answer is too long")
	}

	var v struct {
		OK      bool     `json:"ok"`
		ID      string   `json:"id"`
		Error   string   `json:"error"`
		Words   string   `json:"words"`
		Refused []string `json:"refused"`
		Results []struct{ To, ID string }
	}
	decoded := json.Unmarshal(data, &v)
	status := answer.StatusCode
	if p.defect == "panics on a web page" && decoded != nil && len(data) > 0 && data[0] == '<' {
		panic(decoded)
	}
	switch {
	case status == 429:
		e := p.fail(mailer.KindRateLimited, true, status, v.Error, v.Words, nil)
		e.RetryAfter = p.retryAfter(answer.Header.Get("Retry-After"))
		return mailer.Receipt{}, e
	case status >= 500:
		words := v.Words
		if p.defect == "leaks a signature" {
			words = "the request had the signature " + signature
		}
		if p.defect == "repeats the answer" {
			words = strings.NewReplacer("\n", " ", "\r", " ").Replace(string(data[:min(len(data), 1000)]))
		}
		return mailer.Receipt{}, p.fail(mailer.KindUnavailable, false, status, v.Error, words, nil)
	case status == 200 && err != nil:
		return mailer.Receipt{}, broken(err)
	case status == 200 && p.defect == "takes any 200 for a yes", status == 200 && decoded == nil && v.OK && v.ID != "":
		receipt := mailer.Receipt{ID: id, Provider: "toy", MessageID: v.ID}
		if v.Results != nil { // of a batch
			var ids []string
			receipt.MessageIDs = map[string]string{}
			for _, r := range v.Results {
				ids = append(ids, r.ID)
				receipt.MessageIDs[r.To] = r.ID
			}
			receipt.MessageID = strings.Join(ids, ",")
		}
		for _, address := range v.Refused {
			receipt.Rejected = append(receipt.Rejected, mailer.Rejection{Address: address, Err: p.fail(mailer.KindRecipient, true, status, "", "refused", nil)})
		}
		if all := len(v.Refused) > 1; all && p.defect != "takes a message that nobody gets" {
			return mailer.Receipt{}, p.fail(mailer.KindRecipient, true, status, "", "nobody is left", nil)
		}
		switch p.defect {
		case "calls a refused recipient a bad message":
			for i := range receipt.Rejected {
				receipt.Rejected[i].Err = p.fail(mailer.KindRejected, true, status, "", "refused", nil)
			}
		case "returns a receipt without an id":
			receipt.MessageID = ""
		case "returns its own id":
			receipt.MessageID = id
		case "hides refused recipients":
			receipt.Rejected = nil
		}
		return receipt, nil
	case decoded == nil && v.Error == "key":
		return mailer.Receipt{}, p.fail(mailer.KindUnauthorized, true, status, v.Error, v.Words, nil)
	case decoded == nil && v.Error == "credits":
		kind := mailer.KindQuota
		if p.defect == "calls everything rejected" {
			kind = mailer.KindRejected
		}
		return mailer.Receipt{}, p.fail(kind, true, status, v.Error, v.Words, nil)
	}
	return mailer.Receipt{}, p.fail(mailer.KindUnknown, false, status, v.Error, v.Words, nil)
}

func (p *toy) retryAfter(value string) time.Duration {
	seconds, err := strconv.Atoi(value)
	switch {
	case p.defect == "ignores Retry-After":
		return 0
	case p.defect == "lets Retry-After overflow":
		return time.Duration(seconds) * time.Second
	case err == nil:
		return time.Duration(min(max(seconds, 0), 366*24*3600)) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return max(0, time.Until(at))
}

// Verify and Quota ask for the account.
func (p *toy) Verify(ctx context.Context) error {
	_, err := p.Quota(ctx)
	if p.defect == "takes every key for good" && mailer.KindOf(err) == mailer.KindUnauthorized {
		return nil
	}
	return err
}

func (p *toy) Quota(ctx context.Context) (mailer.Quota, error) {
	switch p.defect {
	case "verifies by sending":
		m := mailer.Message{ID: "test", From: mailer.Address{Address: "shop@example.com"}, To: []mailer.Address{{Address: "shop@example.com"}}, Text: "test"}
		_, err := p.Send(ctx, m)
		return mailer.Quota{Limit: 1000, Remaining: 998}, err
	case "verifies nothing":
		return mailer.Quota{Limit: 1000, Remaining: 998}, nil
	case "asks without the context":
		ctx = context.WithoutCancel(ctx)
	}
	r, err := p.exchange(ctx, "/v1/account", "", []byte("{}"))
	if e, ok := errors.AsType[*mailer.Error](err); ok {
		e.NotSent = p.defect != "says that a question may have been sent"
		return mailer.Quota{}, e
	}
	q := mailer.Quota{Limit: 1000}
	_, err = fmt.Sscanf(r.MessageID, "%d left", &q.Remaining)
	if err != nil {
		return mailer.Quota{}, p.fail(mailer.KindUnknown, true, 200, "", "no number", nil)
	}
	if p.defect == "misreads its credits" {
		q.Remaining, q.Limit = q.Limit, q.Remaining
	}
	return q, nil
}

// The most messages and the most bytes of a call, and of a message.
const (
	toyBatch      = 7
	toyBatchBytes = 1 << 20
	toyMaxSize    = 16 << 20
)

func (p *toy) MaxBatch() int { return toyBatch }

func (p *toy) SendBatch(ctx context.Context, ms []mailer.Message) []mailer.Result {
	results := make([]mailer.Result, len(ms))
	var mails []toyMail
	var indices []int
	size := len("[]")
	flush := func() {
		size = len("[]")
		if len(mails) == 0 {
			return
		}
		if p.defect == "loses the last of a batch" && len(mails) == toyBatch {
			mails = mails[:toyBatch-1]
		}
		body, _ := json.Marshal(mails)
		r, err := p.exchange(ctx, "/v1/batch", "", body)
		if p.defect == "sends a lost batch again" && err != nil {
			r, err = p.exchange(ctx, "/v1/batch", "", body)
		}
		ids := strings.Split(r.MessageID, ",")
		for k, i := range indices {
			if err != nil {
				results[i].Err = err
				continue
			}
			id := r.MessageIDs[ms[i].To[0].Address]
			switch {
			case p.defect == "reads results by their order" && k < len(ids):
				id = ids[k]
			case p.defect == "takes a short answer for all" && id == "":
				id = "toy-0"
			case p.defect == "mixes up the results of a batch":
				id = ids[len(ids)-1-k]
			}
			if id == "" {
				results[i].Err = p.fail(mailer.KindUnknown, p.defect == "calls a message without a result unsent", 200, "", "no result", nil)
				continue
			}
			results[i].Receipt = mailer.Receipt{ID: ms[i].ID, Provider: "toy", MessageID: id, Dropped: results[i].Receipt.Dropped}
		}
		if err != nil && p.defect == "loses a batch with one call" {
			for i := range results {
				results[i] = mailer.Result{Err: err}
			}
		}
		mails, indices = nil, nil
	}
	for i, m := range ms {
		q, dropped, err := p.translate(m)
		if err != nil {
			results[i].Err = err
			if p.defect == "stops a batch at a bad message" {
				for k := i + 1; k < len(ms); k++ {
					results[k].Err = err
				}
				break
			}
			if p.defect == "fails a call over a message that is too large" && errors.Is(err, mailer.KindTooLarge) {
				for _, k := range indices {
					results[k].Err = err
				}
				mails, indices, size = nil, nil, 2
			}
			continue
		}
		results[i].Receipt.Dropped = dropped
		text, _ := json.Marshal(q)
		more := len(text) + len(",")
		most := toyBatchBytes + len(",")
		switch p.defect {
		case "fills a call with too many bytes":
			most *= 2
		case "fills a call by halves":
			most /= 2
		case "counts a message's texts only":
			more = len(q.Text)
		case "counts a file without base64":
			for _, f := range q.Files {
				more -= base64.StdEncoding.EncodedLen(len(f.Data)) - len(f.Data)
			}
		case "counts one byte too few":
			more--
		}
		if size+more > most {
			flush()
		}
		size += more
		mails, indices = append(mails, q), append(indices, i)
		if p.defect == "sends a batch one by one" || len(mails) == toyBatch && p.defect != "makes too large a call" {
			flush()
		}
	}
	flush()
	return results
}
