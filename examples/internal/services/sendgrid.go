package services

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/seed355143d4/mailer"
)

// SendGrid starts a service that speaks SendGrid's POST /v3/mail/send. Mail that
// it accepts goes to deliver.
func SendGrid(deliver mailer.Sender) (*Service, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	s, err := start(api{
		path:   "/v3/mail/send",
		decode: decodeSendGrid,
		accept: func(w http.ResponseWriter, id string) {
			w.Header().Set("X-Message-Id", id)
			w.WriteHeader(http.StatusAccepted)
		},
		refusal: map[Mode]answer{
			Throttling:     {http.StatusTooManyRequests, `{"errors":[{"message":"too many requests","field":null}]}`},
			OutOfCredits:   {http.StatusUnauthorized, `{"errors":[{"message":"Maximum credits exceeded","field":null}]}`},
			RefusingSender: {http.StatusForbidden, `{"errors":[{"message":"The from address does not match a verified Sender Identity.","field":"from"}]}`},
		},
		invalid: func(text string) answer {
			return answer{http.StatusBadRequest, `{"errors":[{"message":` + quote(text) + `,"field":null}]}`}
		},
		report: reportSendGrid,
		// SendGrid does not publish how long it waits, only that it waits longer each
		// time, and gives up after a day.
		retries: []time.Duration{1 * time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute},
		sign: func(r *http.Request, body []byte) {
			stamp := strconv.FormatInt(time.Now().Unix(), 10)
			sum := sha256.Sum256(append([]byte(stamp), body...))
			signature, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
			if err != nil {
				panic(err) // the key was made a moment ago
			}
			r.Header.Set("X-Twilio-Email-Event-Webhook-Timestamp", stamp)
			r.Header.Set("X-Twilio-Email-Event-Webhook-Signature", base64.StdEncoding.EncodeToString(signature))
		},
	}, deliver)
	if err != nil {
		return nil, err
	}
	s.publicKey = base64.StdEncoding.EncodeToString(public)
	return s, nil
}

// reportSendGrid is an array of one event. Custom arguments stand beside the
// event's own fields, and the body ends in CR LF.
func reportSendGrid(e Event, m taken, number int64, now time.Time) []byte {
	o := map[string]any{}
	for k, v := range m.args {
		o[k] = v
	}
	o["email"], o["timestamp"], o["category"] = m.recipient, now.Unix(), m.tags
	o["sg_message_id"], o["sg_event_id"] = m.id+".recvd-example-1-0", m.id+"-"+strconv.FormatInt(number, 10)
	switch e {
	case Delivered:
		o["event"], o["response"] = "delivered", "250 2.0.0 OK"
	case Opened:
		o["event"] = "open"
	case Bounced:
		o["event"], o["type"], o["status"], o["reason"] = "bounce", "bounce", "5.1.1", noSuchUser
	case Complained:
		o["event"] = "spamreport"
	}
	body, _ := json.Marshal([]any{o}) // strings and numbers always can
	return append(body, "\r\n"...)
}

func decodeSendGrid(body []byte) (mailer.Message, error) {
	type address struct{ Email, Name string }
	var in struct {
		Personalizations []struct {
			To, Cc, Bcc []address
			CustomArgs  map[string]string `json:"custom_args"`
			Data        map[string]any    `json:"dynamic_template_data"`
		}
		TemplateID  string `json:"template_id"`
		From        address
		ReplyTo     *address  `json:"reply_to"`
		ReplyToList []address `json:"reply_to_list"`
		Subject     string
		Content     []struct{ Type, Value string }
		Headers     map[string]string
		Categories  []string
		CustomArgs  map[string]string `json:"custom_args"`
		Attachments []struct {
			Content        []byte
			Type, Filename string
			ContentID      string `json:"content_id"`
		}
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return mailer.Message{}, err
	}
	if len(in.Personalizations) != 1 {
		return mailer.Message{}, errors.New("one personalization is what this service takes")
	}
	p := in.Personalizations[0]
	m := mailer.Message{
		From: mailer.Address{Name: in.From.Name, Address: in.From.Email}, Subject: in.Subject, Tags: in.Categories,
		Metadata: in.CustomArgs, Template: mailer.Template{ID: in.TemplateID, Data: p.Data},
	}
	if in.ReplyTo != nil {
		in.ReplyToList = append(in.ReplyToList, *in.ReplyTo)
	}
	for _, l := range []struct {
		dst *[]mailer.Address
		src []address
	}{{&m.To, p.To}, {&m.Cc, p.Cc}, {&m.Bcc, p.Bcc}, {&m.ReplyTo, in.ReplyToList}} {
		for _, a := range l.src {
			*l.dst = append(*l.dst, mailer.Address{Name: a.Name, Address: a.Email})
		}
	}
	for k, v := range p.CustomArgs {
		if m.Metadata == nil {
			m.Metadata = map[string]string{}
		}
		m.Metadata[k] = v
	}
	m.ID = m.Metadata["mailer_id"]
	delete(m.Metadata, "mailer_id")
	for _, c := range in.Content {
		switch c.Type {
		case "text/plain":
			m.Text = c.Value
		case "text/html":
			m.HTML = c.Value
		}
	}
	for k, v := range in.Headers {
		addHeader(&m, k, v)
	}
	for _, a := range in.Attachments {
		m.Attachments = append(m.Attachments, mailer.Attachment{
			Name: a.Filename, ContentType: a.Type, ContentID: a.ContentID, Content: a.Content,
		})
	}
	return m, nil
}
