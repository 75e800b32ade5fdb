package webhooktest_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seed355143d4/mailer/webhook"
)

// toyConfig is the configuration of a source for a service that does not exist.
type toyConfig struct {
	Key    string
	Defect string // breaks one thing; empty: the source is correct
}

func (c toyConfig) String() string {
	if c.Defect == "prints the key of Config" {
		return c.Key
	}
	return "toy"
}
func (c toyConfig) GoString() string             { return c.String() }
func (c toyConfig) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// toy signs the body with HMAC-SHA256 and sends one event, or an array of them.
type toy struct {
	key    func() string
	defect string
	Leaked string // of the defect "prints the key"

	mu    sync.Mutex
	count int
	last  webhook.Event // of the defect "mixes up concurrent requests"
}

func newToy(c toyConfig) (*toy, error) {
	if c.Key == "" && c.Defect != "takes an empty key" {
		return nil, errors.New("toy: Key is empty")
	}
	s := &toy{key: func() string { return c.Key }, defect: c.Defect}
	if c.Defect == "prints the key" {
		s.Leaked = c.Key
	}
	return s, nil
}

const signatureField = "X-Toy-Signature"

func toySign(key string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

func (s *toy) Name() string {
	if s.defect == "has another name" {
		return "joy"
	}
	return "toy"
}

func (s *toy) verify(r *webhook.Request) bool {
	body, got := r.Body, r.Header.Get(signatureField)
	switch s.defect {
	case "does not verify":
		return true
	case "takes a missing signature for a good one":
		if got == "" {
			return true
		}
	case "trims the body":
		body = bytes.TrimSpace(body)
	case "takes a part of the signature":
		return got != "" && strings.HasPrefix(toySign(s.key(), body), got)
	case "takes any signature of the right length":
		return len(got) == 64
	case "forgets case":
		got = strings.ToLower(got)
	case "takes any key":
		if r.Header.Get("X-Toy-Key") != "" {
			return webhook.EqualSecret(got, toySign(r.Header.Get("X-Toy-Key"), body))
		}
	}
	if webhook.EqualSecret(got, toySign(s.key(), r.Body)) {
		return true
	}
	if s.defect == "looks at the beginning of the body" {
		return s.remembers(r, got)
	}
	return webhook.EqualSecret(got, toySign(s.key(), body))
}

// begun holds signatures by the beginnings of bodies.
var begun sync.Map

// remembers reports whether a body that began alike had this signature.
func (s *toy) remembers(r *webhook.Request, got string) bool {
	v, ok := begun.Load(string(r.Body[:min(len(r.Body), 20)]))
	return ok && v == got
}

func (s *toy) Receive(ctx context.Context, r *webhook.Request) (webhook.Delivery, error) {
	if r.Method != http.MethodPost && !(s.defect == "takes GET" && r.Method == http.MethodGet) {
		return webhook.Delivery{}, webhook.ErrMethod
	}
	if s.defect == "parses before it verifies" && !json.Valid(r.Body) {
		return webhook.Delivery{}, webhook.ErrMalformed
	}
	if !s.verify(r) {
		return webhook.Delivery{}, webhook.ErrUnverified
	}
	if s.defect == "looks at the beginning of the body" {
		begun.Store(string(r.Body[:min(len(r.Body), 20)]), r.Header.Get(signatureField))
	}
	if s.defect == "changes the request" {
		r.Header.Del(signatureField)
	}
	var elements []json.RawMessage
	if json.Unmarshal(r.Body, &elements) != nil {
		if !json.Valid(r.Body) || !bytes.HasPrefix(bytes.TrimSpace(r.Body), []byte("{")) {
			return webhook.Delivery{}, webhook.ErrMalformed
		}
		elements = []json.RawMessage{r.Body}
	} else if len(elements) == 0 && s.defect == "refuses an empty array" {
		return webhook.Delivery{}, webhook.ErrMalformed
	}
	if s.defect == "leaves out what is too much" {
		elements = elements[:min(len(elements), webhook.MaxEvents)]
	}
	if len(elements) > webhook.MaxEvents && s.defect != "reads a million events" {
		return webhook.Delivery{}, webhook.ErrMalformed
	}
	var d webhook.Delivery
	for _, raw := range elements {
		e, err := s.event(raw)
		switch {
		case err == nil:
			d.Events = append(d.Events, e)
		case s.defect == "lets one element cost all":
			return webhook.Delivery{}, webhook.ErrMalformed
		case s.defect == "stops at a bad element":
			return d, nil
		}
	}
	if s.defect == "logs what it gets" && len(d.Events) > 0 {
		slog.Info("got", "recipient", d.Events[0].Recipient)
	}
	return d, nil
}

var toyTypes = map[string]webhook.Type{
	"delivered": webhook.Delivered, "bounced": webhook.Bounced, "clicked": webhook.Clicked, "complained": webhook.Complained,
}

func (s *toy) event(raw json.RawMessage) (webhook.Event, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return webhook.Event{}, err
	}
	if fields == nil && s.defect == "panics on null" {
		fields["event"] = nil
	}
	if s.defect == "wants every field right" {
		var strict struct {
			Event, ID, To string
			Time          int64
			Tags          []string
			Data          map[string]string
		}
		if err := json.Unmarshal(raw, &strict); err != nil {
			return webhook.Event{}, err
		}
	}
	text := func(name string) (v string) {
		if json.Unmarshal(fields[name], &v) != nil {
			return ""
		}
		return v
	}
	e := webhook.Event{
		Type: toyTypes[text("event")], MessageID: text("id"), Recipient: text("to"), Detail: text("why"),
		ClickURL: text("link"), Raw: raw,
	}
	if e.Type != webhook.Clicked {
		e.ClickURL = ""
	}
	if e.Type == webhook.Bounced && s.defect != "says nothing of a bounce" {
		e.Bounce, e.Reason = webhook.Classify(e.Detail)
	}
	if e.Type == "" {
		if s.defect == "drops unknown types" {
			return webhook.Event{}, errors.New("unknown")
		}
		e.Type = webhook.Other
	}
	if seconds, err := strconv.ParseInt(string(fields["time"]), 10, 64); err == nil && seconds > 0 {
		e.Time = time.Unix(seconds, 0)
	}
	if json.Unmarshal(fields["tags"], &e.Tags) != nil {
		e.Tags = nil
	}
	if json.Unmarshal(fields["data"], &e.Metadata) != nil {
		e.Metadata = nil
	}
	e.MailID = e.Metadata["mailer_id"]
	delete(e.Metadata, "mailer_id")
	e.ID = webhook.EventID(text("event"), e.MessageID, e.Recipient, string(fields["time"]))
	return s.spoil(e), nil
}

// spoil breaks what the defect says.
func (s *toy) spoil(e webhook.Event) webhook.Event {
	s.mu.Lock()
	s.count++
	n := s.count
	s.mu.Unlock()
	switch s.defect {
	case "loses the message's id":
		e.MessageID = ""
	case "loses the mail's id":
		e.MailID = ""
	case "loses metadata":
		e.Metadata = nil
	case "loses tags":
		e.Tags = nil
	case "loses metadata with quotes":
		for k, v := range e.Metadata {
			if strings.Contains(v, `"`) {
				delete(e.Metadata, k)
			}
		}
	case "counts its events":
		e.ID = fmt.Sprint(n)
	case "gives every event the same id":
		e.ID = "1"
	case "gives no ids":
		e.ID = ""
	case "keeps no Raw":
		e.Raw = nil
	case "shows its id as metadata":
		if e.Metadata == nil {
			e.Metadata = map[string]string{}
		}
		e.Metadata["mailer_id"] = e.MailID
	case "calls a link what is none":
		e.ClickURL = "https://example.com"
	case "mixes up concurrent requests":
		s.mu.Lock()
		last := s.last
		s.last = e
		s.mu.Unlock()
		if n > 40 && last.ID != "" {
			return last
		}
	}
	return e
}
