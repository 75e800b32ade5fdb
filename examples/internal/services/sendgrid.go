package services

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/seed355143d4/mailer"
)

// SendGrid starts a service that speaks SendGrid's POST /v3/mail/send. Mail that
// it accepts goes to deliver.
func SendGrid(deliver mailer.Sender) (*Service, error) {
	return start(api{
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
	}, deliver)
}

func decodeSendGrid(body []byte) (mailer.Message, error) {
	type address struct{ Email, Name string }
	var in struct {
		Personalizations []struct {
			To, Cc, Bcc []address
			CustomArgs  map[string]string `json:"custom_args"`
		}
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
		Metadata: in.CustomArgs,
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
