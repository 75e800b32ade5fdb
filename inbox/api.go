package inbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/seed355143d4/mailer"
)

// The longest and the usual time that api/messages/wait waits.
const (
	maxWait     = time.Minute
	defaultWait = 10 * time.Second
)

type jsonAddress struct {
	Name    string `json:"name"`
	Address string `json:"address"`
}

type jsonAttachment struct {
	Name        string `json:"name"`
	ContentType string `json:"content_type"`
	ContentID   string `json:"content_id,omitempty"`
	Size        int    `json:"size"`
	URL         string `json:"url"`
}

type jsonMessage struct {
	ID          int64             `json:"id"`
	Time        time.Time         `json:"time"`
	Via         string            `json:"via"`
	MessageID   string            `json:"message_id"`
	From        jsonAddress       `json:"from"`
	To          []jsonAddress     `json:"to"`
	Cc          []jsonAddress     `json:"cc"`
	Bcc         []jsonAddress     `json:"bcc"`
	ReplyTo     []jsonAddress     `json:"reply_to"`
	Subject     string            `json:"subject"`
	Text        string            `json:"text"`
	HTML        string            `json:"html"`
	Attachments []jsonAttachment  `json:"attachments"`
	Headers     map[string]string `json:"headers,omitempty"`
	Unsubscribe *jsonUnsubscribe  `json:"unsubscribe,omitempty"`
	Tags        []string          `json:"tags,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty"`
	Track       *jsonTrack        `json:"track,omitempty"`
	Template    *jsonTemplate     `json:"template,omitempty"`
	SendAt      *time.Time        `json:"send_at,omitempty"`

	AllowDuplicate bool     `json:"allow_duplicate,omitempty"`
	Notes          []string `json:"notes,omitempty"`
}

type jsonUnsubscribe struct {
	URL    string `json:"url,omitempty"`
	Mailto string `json:"mailto,omitempty"`
}

type jsonTrack struct {
	Opens  string `json:"opens"`
	Clicks string `json:"clicks"`
}

type jsonTemplate struct {
	ID        string          `json:"id"`
	Data      json.RawMessage `json:"data,omitempty"`
	DataError string          `json:"data_error,omitempty"` // why Data has no JSON form
}

func toJSON(e *entry) jsonMessage {
	m := &e.Message
	j := jsonMessage{
		ID: e.ID, Time: e.Time, Via: e.Via, MessageID: m.ID,
		From: jsonAddress(m.From), To: jsonAddresses(m.To), Cc: jsonAddresses(m.Cc), Bcc: jsonAddresses(m.Bcc),
		ReplyTo: jsonAddresses(m.ReplyTo),
		Subject: m.Subject, Text: m.Text, HTML: m.HTML, Attachments: []jsonAttachment{},
		Headers: m.Headers, Tags: m.Tags, Metadata: m.Metadata, AllowDuplicate: m.AllowDuplicate,
		Notes: e.noted(),
	}
	for i, a := range m.Attachments {
		j.Attachments = append(j.Attachments, jsonAttachment{
			Name: a.Name, ContentType: contentType(a), ContentID: a.ContentID, Size: len(a.Content),
			URL: fmt.Sprintf("message/%d/attachments/%d", e.ID, i),
		})
	}
	if u := m.Unsubscribe; u != (mailer.Unsubscribe{}) {
		j.Unsubscribe = &jsonUnsubscribe{URL: u.URL, Mailto: u.Mailto}
	}
	if t := m.Track; t != (mailer.Tracking{}) {
		j.Track = &jsonTrack{Opens: switchName(t.Opens), Clicks: switchName(t.Clicks)}
	}
	if m.Template.ID != "" || m.Template.Data != nil {
		j.Template = &jsonTemplate{ID: m.Template.ID}
		if m.Template.Data != nil {
			data, err := json.Marshal(m.Template.Data)
			if err != nil {
				j.Template.DataError = err.Error()
			}
			j.Template.Data = data
		}
	}
	if !m.SendAt.IsZero() {
		j.SendAt = &m.SendAt
	}
	return j
}

func jsonAddresses(as []mailer.Address) []jsonAddress {
	out := make([]jsonAddress, len(as))
	for i, a := range as {
		out[i] = jsonAddress(a)
	}
	return out
}

func contentType(a mailer.Attachment) string {
	if a.ContentType == "" {
		return "application/octet-stream"
	}
	return a.ContentType
}

func switchName(s mailer.Switch) string {
	switch s {
	case mailer.On:
		return "on"
	case mailer.Off:
		return "off"
	}
	return "default"
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"error":"no JSON form"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(b, '\n'))
}

func apiError(w http.ResponseWriter, status int, message string) {
	writeJSON(w, status, map[string]string{"error": message})
}

func (in *Inbox) apiList(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	out := []jsonMessage{}
	for _, e := range in.list(query.Get("to"), query.Get("q")) {
		out = append(out, toJSON(e))
	}
	writeJSON(w, http.StatusOK, map[string]any{"messages": out})
}

func (in *Inbox) apiGet(w http.ResponseWriter, r *http.Request) {
	e := in.byID(r)
	if e == nil {
		apiError(w, http.StatusNotFound, "no such message")
		return
	}
	writeJSON(w, http.StatusOK, toJSON(e))
}

func (in *Inbox) apiClear(w http.ResponseWriter, _ *http.Request) {
	in.Clear()
	w.WriteHeader(http.StatusNoContent)
}

func (in *Inbox) apiWait(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	to := query.Get("to")
	if to == "" {
		apiError(w, http.StatusBadRequest, "to: an address is needed")
		return
	}
	timeout := defaultWait
	if s := query.Get("timeout"); s != "" {
		var err error
		if timeout, err = time.ParseDuration(s); err != nil || timeout <= 0 || timeout > maxWait {
			apiError(w, http.StatusBadRequest, `timeout: a duration up to 60s is needed, such as "10s"`)
			return
		}
	}
	var after int64
	if s := query.Get("after"); s != "" {
		var err error
		if after, err = parseID(s); err != nil {
			apiError(w, http.StatusBadRequest, "after: the id of a message is needed")
			return
		}
	}

	// The server's own WriteTimeout may be shorter.
	rc := http.NewResponseController(w)
	_ = rc.SetWriteDeadline(time.Now().Add(timeout + writeTimeout))
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	e, err := in.wait(ctx, in.closed, to, after)
	switch {
	case err == nil:
		writeJSON(w, http.StatusOK, toJSON(e))
	case errors.Is(err, errClosed):
		apiError(w, http.StatusServiceUnavailable, "the inbox is shutting down")
	default:
		apiError(w, http.StatusGatewayTimeout, fmt.Sprintf("no message to %s within %s", to, timeout))
	}
}
