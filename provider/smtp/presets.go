package smtp

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/adapter"
	"github.com/seed355143d4/mailer/internal/mime"
)

// Postmark is the relay of Postmark. The server token is both user and password. It
// has no EU host. Postmark asks for at most ten connections, which is the default.
// Source: https://postmarkapp.com/developer/user-guide/send-email-with-smtp (read
// 2026-11).
func Postmark(serverToken string) Config {
	return Config{Host: "smtp.postmarkapp.com", Port: 587, Username: serverToken, Password: serverToken}
}

// PostmarkBroadcast is [Postmark] for a broadcast stream.
func PostmarkBroadcast(serverToken string) Config {
	c := Postmark(serverToken)
	c.Host = "smtp-broadcasts.postmarkapp.com"
	return c
}

// SES is the relay of Amazon SES in a region such as "eu-west-1". The password is
// derived from the secret access key of an IAM user (temporary credentials do not
// work), who needs the permission ses:SendRawEmail.
// Source: https://docs.aws.amazon.com/ses/latest/dg/smtp-credentials.html (read
// 2026-11).
func SES(region, accessKeyID, secretAccessKey string) Config {
	c := Config{Host: "email-smtp." + region + ".amazonaws.com", Port: 587, Username: accessKeyID}
	if secretAccessKey != "" {
		c.Password = sesPassword(region, secretAccessKey)
	}
	return c
}

func sesPassword(region, secret string) string {
	key := []byte("AWS4" + secret)
	for _, s := range []string{"11111111", region, "ses", "aws4_request", "SendRawEmail"} {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(s))
		key = h.Sum(nil)
	}
	return base64.StdEncoding.EncodeToString(append([]byte{4}, key...))
}

// SendGrid is the relay of SendGrid. The key needs the permission to send mail.
// Source: https://www.twilio.com/docs/sendgrid/for-developers/sending-email/getting-started-smtp
// (read 2026-11).
func SendGrid(apiKey string) Config {
	return Config{Host: "smtp.sendgrid.net", Port: 587, Username: "apikey", Password: apiKey}
}

// SendGridEU is [SendGrid] for a subuser in the EU region.
func SendGridEU(apiKey string) Config {
	c := SendGrid(apiKey)
	c.Host = "smtp.eu.sendgrid.net"
	return c
}

// SocketLabs is the relay of SocketLabs. User and password are the server's SMTP
// credentials, not an API key. It takes 50 messages on a connection.
// Source: help.socketlabs.com, "Inbound SMTP restrictions" (read 2026-11).
func SocketLabs(username, password string) Config {
	return Config{Host: "smtp.socketlabs.com", Port: 587, Username: username, Password: password, MaxMessages: 50}
}

// Mailjet is the relay of Mailjet. User and password are the API key and the secret
// key. Source: https://dev.mailjet.com/smtp-relay/configuration/ (read 2026-11).
func Mailjet(apiKey, secretKey string) Config {
	return Config{Host: "in-v3.mailjet.com", Port: 587, Username: apiKey, Password: secretKey}
}

// ElasticEmail is the relay of Elastic Email. User and password are those of an SMTP
// credential, not an API key. Source: help.elasticemail.com, article 4803409, "SMTP
// settings" (read 2026-11).
func ElasticEmail(username, password string) Config {
	return Config{Host: "smtp.elasticemail.com", Port: 2525, Username: username, Password: password}
}

// SMTP2GO is the relay of SMTP2GO. User and password are those of an SMTP user, not
// an API key. Regional hosts are mail-us, mail-eu, mail-eu2 and mail-au.smtp2go.com.
// Source: https://developers.smtp2go.com/docs/smtp-relay (read 2026-11).
func SMTP2GO(username, password string) Config {
	return Config{Host: "mail.smtp2go.com", Port: 2525, Username: username, Password: password}
}

// relay is what is known of a relay beyond SMTP. The zero value knows nothing.
type relay struct {
	// answer is what stands before the message id in the answer to the mail.
	answer string
	// header are the header lines that bring the message's ID back in events, "{id}"
	// in its place, and that keep the Message-ID.
	header []mime.Field
}

// relays are found by host, so that a Config from a URL has them too.
var relays = []struct {
	prefix, suffix string
	relay
}{
	{"smtp", ".postmarkapp.com", relay{header: []mime.Field{
		{Name: "X-PM-Metadata-mailer_id", Value: "{id}"}, {Name: "X-PM-KeepID", Value: "true"},
	}}},
	{"email-smtp", ".amazonaws.com", relay{answer: "Ok ", header: []mime.Field{{Name: "X-SES-MESSAGE-TAGS", Value: "mailer_id={id}"}}}},
	{"smtp", ".sendgrid.net", relay{answer: "Ok: queued as ", header: []mime.Field{
		{Name: "X-SMTPAPI", Value: `{"unique_args":{"mailer_id":"{id}"}}`},
	}}},
	{"smtp", ".socketlabs.com", relay{header: []mime.Field{{Name: "X-xsMessageId", Value: "{id}"}}}},
	{"in", ".mailjet.com", relay{header: []mime.Field{{Name: "X-MJ-CustomID", Value: "{id}"}}}},
	{"smtp", ".elasticemail.com", relay{header: []mime.Field{{Name: "X-ElasticEmail-Postback", Value: "{id}"}}}},
}

func relayOf(host string) relay {
	host = strings.ToLower(host)
	for _, r := range relays {
		if strings.HasPrefix(host, r.prefix) && strings.HasSuffix(host, r.suffix) {
			return r.relay
		}
	}
	return relay{}
}

// messageID reads the relay's own id in its answer to a mail. Empty: none.
func (r relay) messageID(text string) string {
	if r.answer == "" {
		return ""
	}
	id, ok := strings.CutPrefix(text, r.answer)
	if !ok || id == "" || strings.ContainsAny(id, " \n") {
		return ""
	}
	return id
}

// carry returns the header lines for the relay, and the reporting fields that SMTP
// has no words for. A header line that the message has itself is left to it.
func (r relay) carry(m *mailer.Message) (header []mime.Field, dropped []string) {
	for _, f := range r.header {
		if !hasHeader(m, f.Name) {
			header = append(header, mime.Field{Name: f.Name, Value: strings.Replace(f.Value, "{id}", m.ID, 1)})
		}
	}
	for i := range m.Tags {
		dropped = append(dropped, adapter.Index("Tags", i))
	}
	for _, key := range adapter.Keys(m.Metadata) {
		dropped = append(dropped, adapter.Key("Metadata", key))
	}
	if m.Track.Opens != mailer.Default {
		dropped = append(dropped, "Track.Opens")
	}
	if m.Track.Clicks != mailer.Default {
		dropped = append(dropped, "Track.Clicks")
	}
	return header, dropped
}

func hasHeader(m *mailer.Message, name string) bool {
	for n := range m.Headers {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}
