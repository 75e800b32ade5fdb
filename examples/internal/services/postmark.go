package services

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/mail"
	"strings"
	"time"

	"github.com/seed355143d4/mailer"
)

// Postmark starts a service that speaks Postmark's POST /email and
// /email/withTemplate. Mail that it accepts goes to deliver.
func Postmark(deliver mailer.Sender) (*Service, error) {
	return start(api{
		path:   "/email",
		stored: "/email/withTemplate",
		decode: decodePostmark,
		accept: func(w http.ResponseWriter, id string) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"SubmittedAt":"2026-11-02T09:14:07.3308127Z","MessageID":%q,"ErrorCode":0,"Message":"OK"}`, id)
		},
		refusal: map[Mode]answer{
			Throttling:     {http.StatusTooManyRequests, `{"ErrorCode":429,"Message":"Too many requests."}`},
			OutOfCredits:   {http.StatusUnprocessableEntity, `{"ErrorCode":405,"Message":"Not allowed to send: out of credits."}`},
			RefusingSender: {http.StatusUnprocessableEntity, `{"ErrorCode":400,"Message":"The 'From' address is not a Sender Signature on your account."}`},
		},
		invalid: func(text string) answer {
			return answer{http.StatusUnprocessableEntity, `{"ErrorCode":300,"Message":` + quote(text) + `}`}
		},
		report:  reportPostmark,
		retries: []time.Duration{1 * time.Minute, 5 * time.Minute, 10 * time.Minute, 10 * time.Minute, 10 * time.Minute, 15 * time.Minute},
	}, deliver)
}

// reportPostmark is one object for one event.
func reportPostmark(e Event, m taken, number int64, now time.Time) []byte {
	at := now.UTC().Format(time.RFC3339)
	o := map[string]any{
		"MessageID": m.id, "Tag": m.tag(), "Metadata": m.args, "ServerID": 23, "MessageStream": "outbound",
	}
	switch e {
	case Delivered:
		o["RecordType"], o["Recipient"], o["DeliveredAt"], o["Details"] = "Delivery", m.recipient, at, "250 2.0.0 OK"
	case Opened:
		o["RecordType"], o["Recipient"], o["ReceivedAt"], o["FirstOpen"] = "Open", m.recipient, at, true
	case Bounced:
		o["RecordType"], o["Email"], o["BouncedAt"], o["ID"] = "Bounce", m.recipient, at, number
		o["Type"], o["TypeCode"], o["Inactive"], o["Details"] = "HardBounce", 1, true, noSuchUser
	case Complained:
		o["RecordType"], o["Email"], o["BouncedAt"], o["ID"] = "SpamComplaint", m.recipient, at, number
		o["Type"], o["TypeCode"], o["Inactive"] = "SpamComplaint", 100001, true
	}
	body, _ := json.Marshal(o) // strings and numbers always can
	return body
}

func decodePostmark(body []byte) (mailer.Message, error) {
	var in struct {
		From, To, Cc, Bcc, ReplyTo  string
		Subject, TextBody, HtmlBody string
		TemplateAlias               string
		TemplateModel               map[string]any
		Headers                     []struct{ Name, Value string }
		Tag                         string
		Metadata                    map[string]string
		Attachments                 []struct {
			Name, ContentType, ContentID string
			Content                      []byte
		}
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return mailer.Message{}, err
	}
	m := mailer.Message{Subject: in.Subject, Text: in.TextBody, HTML: in.HtmlBody, Metadata: in.Metadata}
	m.Template = mailer.Template{ID: in.TemplateAlias, Data: in.TemplateModel}
	for _, l := range []struct {
		dst *[]mailer.Address
		src string
	}{{&m.To, in.To}, {&m.Cc, in.Cc}, {&m.Bcc, in.Bcc}, {&m.ReplyTo, in.ReplyTo}} {
		if l.src == "" {
			continue
		}
		as, err := mail.ParseAddressList(l.src)
		if err != nil {
			return m, err
		}
		for _, a := range as {
			*l.dst = append(*l.dst, *a)
		}
	}
	from, err := mail.ParseAddress(in.From)
	if err != nil {
		return m, err
	}
	m.From = *from
	if in.Tag != "" {
		m.Tags = []string{in.Tag}
	}
	m.ID = m.Metadata["mailer_id"]
	delete(m.Metadata, "mailer_id")
	for _, h := range in.Headers {
		addHeader(&m, h.Name, h.Value)
	}
	for _, a := range in.Attachments {
		m.Attachments = append(m.Attachments, mailer.Attachment{
			Name: a.Name, ContentType: a.ContentType,
			ContentID: strings.TrimPrefix(a.ContentID, "cid:"), Content: a.Content,
		})
	}
	return m, nil
}

// addHeader puts a header back where the message had it.
func addHeader(m *mailer.Message, name, value string) {
	switch strings.ToLower(name) {
	case "message-id", "list-unsubscribe-post":
	case "list-unsubscribe":
		for part := range strings.SplitSeq(value, ",") {
			part = strings.Trim(strings.TrimSpace(part), "<>")
			if to, ok := strings.CutPrefix(part, "mailto:"); ok {
				m.Unsubscribe.Mailto = to
			} else {
				m.Unsubscribe.URL = part
			}
		}
	default:
		if m.Headers == nil {
			m.Headers = map[string]string{}
		}
		m.Headers[name] = value
	}
}
