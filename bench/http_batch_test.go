package bench

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"
	"github.com/mailjet/mailjet-apiv3-go/v4"
	mrz "github.com/mrz1836/postmark"
	"github.com/sendgrid/sendgrid-go"
	"github.com/sendgrid/sendgrid-go/helpers/mail"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/failover"
	ee "github.com/seed355143d4/mailer/provider/elasticemail"
	mj "github.com/seed355143d4/mailer/provider/mailjet"
	pm "github.com/seed355143d4/mailer/provider/postmark"
	sg "github.com/seed355143d4/mailer/provider/sendgrid"
	"github.com/seed355143d4/mailer/provider/ses"
	"github.com/seed355143d4/mailer/provider/smtp2go"
	"github.com/seed355143d4/mailer/provider/socketlabs"
)

// batchSize is how many personal mails a batch has.
const batchSize = 10_000

// personal are the mails: each with its own text, or with its own data for a
// template.
func personal(template string) []mailer.Message {
	ms := make([]mailer.Message, batchSize)
	for i := range ms {
		ms[i] = mailer.Message{
			From: mailer.Address{Name: "Example", Address: "hello@example.com"},
			To:   []mailer.Address{{Name: "Ada", Address: fmt.Sprintf("ada%d@example.com", i)}},
		}
		if template != "" {
			ms[i].Template = mailer.Template{ID: template, Data: map[string]any{"name": "Ada", "code": i}}
		} else {
			ms[i].Subject = "Confirm your address"
			ms[i].Text, ms[i].HTML = rendered(i)
		}
	}
	return ms
}

// mailing is one way to send the batch.
type mailing struct {
	name string
	// most is how many of the mails are sent, if it would take minutes to send all.
	most int
	// prepare makes what sends the first n mails, in the way of a user who has them
	// at hand. url is where the service is.
	prepare func(url string) (send func(ctx context.Context, n int) error, err error)
}

// all sends the mails in one call of SendAll.
func all(name, template string, open func(url string) (mailer.Sender, error)) mailing {
	return mailing{name, batchSize, func(url string) (func(context.Context, int) error, error) {
		s, err := open(url)
		ms := personal(template)
		return func(ctx context.Context, n int) error {
			for _, r := range mailer.SendAll(ctx, s, ms[:n]) {
				if r.Err != nil {
					return r.Err
				}
			}
			return nil
		}, err
	}}
}

// oneByOne sends a mail when the one before it was taken.
func oneByOne(name, template string, open func(url string) (mailer.Sender, error)) mailing {
	return mailing{name, 200, func(url string) (func(context.Context, int) error, error) {
		s, err := open(url)
		ms := personal(template)
		return func(ctx context.Context, n int) error {
			for _, m := range ms[:n] {
				if _, err := s.Send(ctx, m); err != nil {
					return err
				}
			}
			return nil
		}, err
	}}
}

func openPostmark(url string) (mailer.Sender, error) {
	return pm.New(pm.Config{ServerToken: "token", BaseURL: url})
}

func openSendgrid(url string) (mailer.Sender, error) {
	return sg.New(sg.Config{APIKey: "SG.key", BaseURL: url})
}

func openMailjet(url string) (mailer.Sender, error) {
	return mj.New(mj.Config{APIKey: "key", SecretKey: "secret", BaseURL: url})
}

func openSES(url string) (mailer.Sender, error) {
	return ses.New(ses.Config{Region: "eu-west-1", AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret", BaseURL: url})
}

func openSocketlabs(url string) (mailer.Sender, error) {
	return socketlabs.New(socketlabs.Config{ServerID: 1, APIKey: "key", BaseURL: url})
}

func openSMTP2GO(url string) (mailer.Sender, error) {
	return smtp2go.New(smtp2go.Config{APIKey: "api-0123456789ABCDEF0123456789ABCDEF", BaseURL: url})
}

func openElasticEmail(url string) (mailer.Sender, error) {
	return ee.New(ee.Config{APIKey: "key", BaseURL: url})
}

// openChain is a chain whose first service takes everything.
func openChain(url string) (mailer.Sender, error) {
	first, err := openPostmark(url)
	if err != nil {
		return nil, err
	}
	return chain(first, url)
}

// openRefusing is a chain whose first service refuses every tenth mail, so that
// each of its batches leaves some for the second.
func openRefusing(url string) (mailer.Sender, error) {
	first, err := openPostmark(url)
	if err != nil {
		return nil, err
	}
	return chain(refusing{first.(mailer.BatchSender)}, url)
}

func chain(first mailer.Sender, url string) (mailer.Sender, error) {
	second, err := openMailjet(url)
	if err != nil {
		return nil, err
	}
	return failover.New(failover.Config{Logger: slog.New(slog.DiscardHandler)}, failover.Target{Name: "first", Sender: first}, second)
}

// refusing refuses every tenth mail of a batch.
type refusing struct{ mailer.BatchSender }

func (r refusing) SendBatch(ctx context.Context, ms []mailer.Message) []mailer.Result {
	results := make([]mailer.Result, len(ms))
	var kept []mailer.Message
	var places []int
	for i, m := range ms {
		if i%10 == 0 {
			results[i].Err = &mailer.Error{Provider: "first", Kind: mailer.KindRejected, NotSent: true}
			continue
		}
		kept, places = append(kept, m), append(places, i)
	}
	for i, result := range r.BatchSender.SendBatch(ctx, kept) {
		results[places[i]] = result
	}
	return results
}

// chunks calls send for every size mails one after the other: what a user of a
// package that does not split a batch writes.
func chunks(n, size int, send func(from, to int) error) error {
	for from := 0; from < n; from += size {
		if err := send(from, min(from+size, n)); err != nil {
			return err
		}
	}
	return nil
}

// rendered is the text and the HTML of one mail.
func rendered(i int) (string, string) { return fmt.Sprint(i, text), fmt.Sprint(i, html) }

var mailings = [][]mailing{
	{
		all("mailer-chain/template", "7", openChain),
		all("mailer-chain-refusing/template", "7", openRefusing),
	},
	{
		all("mailer-postmark/template", "welcome", openPostmark),
		{"mrz1836-postmark/template", batchSize, func(url string) (func(context.Context, int) error, error) {
			c := mrz.NewClient("token", "")
			c.BaseURL = url
			return func(ctx context.Context, n int) error {
				return chunks(n, 500, func(from, to int) error {
					var list []mrz.TemplatedEmail
					for i := from; i < to; i++ {
						list = append(list, mrz.TemplatedEmail{
							TemplateAlias: "welcome", TemplateModel: map[string]any{"name": "Ada", "code": i},
							From: "Example <hello@example.com>", To: fmt.Sprintf("Ada <ada%d@example.com>", i),
						})
					}
					_, err := c.SendTemplatedEmailBatch(ctx, list)
					return err
				})
			}, nil
		}},
		all("mailer-postmark/rendered", "", openPostmark),
		{"mrz1836-postmark/rendered", batchSize, func(url string) (func(context.Context, int) error, error) {
			c := mrz.NewClient("token", "")
			c.BaseURL = url
			return func(ctx context.Context, n int) error {
				return chunks(n, 500, func(from, to int) error {
					var list []mrz.Email
					for i := from; i < to; i++ {
						t, h := rendered(i)
						list = append(list, mrz.Email{
							From: "Example <hello@example.com>", To: fmt.Sprintf("Ada <ada%d@example.com>", i),
							Subject: "Confirm your address", TextBody: t, HTMLBody: h,
						})
					}
					_, err := c.SendEmailBatch(ctx, list)
					return err
				})
			}, nil
		}},
		oneByOne("mailer-postmark/one-by-one", "", openPostmark),
	},
	{
		all("mailer-sendgrid/template", "d-1", openSendgrid),
		{"sendgrid-go/template", batchSize, func(url string) (func(context.Context, int) error, error) {
			c := sendgrid.NewSendClient("SG.key")
			c.BaseURL = url + "/v3/mail/send"
			return func(ctx context.Context, n int) error {
				return chunks(n, 1000, func(from, to int) error {
					m := mail.NewV3Mail().SetFrom(mail.NewEmail("Example", "hello@example.com")).SetTemplateID("d-1")
					for i := from; i < to; i++ {
						p := mail.NewPersonalization()
						p.AddTos(mail.NewEmail("Ada", fmt.Sprintf("ada%d@example.com", i)))
						p.SetDynamicTemplateData("name", "Ada")
						p.SetDynamicTemplateData("code", i)
						m.AddPersonalizations(p)
					}
					resp, err := c.SendWithContext(ctx, m)
					if err == nil && resp.StatusCode != http.StatusAccepted {
						err = fmt.Errorf("status %d", resp.StatusCode)
					}
					return err
				})
			}, nil
		}},
		all("mailer-sendgrid/rendered", "", openSendgrid), // each in a call of its own
		oneByOne("mailer-sendgrid/one-by-one", "", openSendgrid),
	},
	{
		all("mailer-mailjet/template", "512390", openMailjet),
		all("mailer-mailjet/rendered", "", openMailjet),
		{"mailjet-apiv3-go/rendered", batchSize, func(url string) (func(context.Context, int) error, error) {
			c := mailjet.NewMailjetClient("key", "secret", url+"/v3")
			return func(ctx context.Context, n int) error {
				return chunks(n, 50, func(from, to int) error {
					var list mailjet.MessagesV31
					for i := from; i < to; i++ {
						t, h := rendered(i)
						list.Info = append(list.Info, mailjet.InfoMessagesV31{
							From:    &mailjet.RecipientV31{Email: "hello@example.com", Name: "Example"},
							To:      &mailjet.RecipientsV31{{Email: fmt.Sprintf("ada%d@example.com", i), Name: "Ada"}},
							Subject: "Confirm your address", TextPart: t, HTMLPart: h,
						})
					}
					_, err := c.SendMailV31(&list, mailjet.WithContext(ctx))
					return err
				})
			}, nil
		}},
		oneByOne("mailer-mailjet/one-by-one", "", openMailjet),
	},
	{
		all("mailer-ses/template", "welcome", openSES),
		{"aws-sesv2/template", batchSize, func(url string) (func(context.Context, int) error, error) {
			c := newSESV2(url)
			return func(ctx context.Context, n int) error {
				return chunks(n, 50, func(from, to int) error {
					in := &sesv2.SendBulkEmailInput{
						FromEmailAddress: aws.String("Example <hello@example.com>"),
						DefaultContent:   &types.BulkEmailContent{Template: &types.Template{TemplateName: aws.String("welcome"), TemplateData: aws.String("{}")}},
					}
					for i := from; i < to; i++ {
						in.BulkEmailEntries = append(in.BulkEmailEntries, types.BulkEmailEntry{
							Destination: &types.Destination{ToAddresses: []string{fmt.Sprintf("Ada <ada%d@example.com>", i)}},
							ReplacementEmailContent: &types.ReplacementEmailContent{ReplacementTemplate: &types.ReplacementTemplate{
								ReplacementTemplateData: aws.String(fmt.Sprintf(`{"name":"Ada","code":%d}`, i)),
							}},
						})
					}
					_, err := c.SendBulkEmail(ctx, in)
					return err
				})
			}, nil
		}},
		all("mailer-ses/rendered", "", openSES), // each in a call of its own
		oneByOne("mailer-ses/one-by-one", "", openSES),
		{"aws-sesv2/one-by-one", 200, func(url string) (func(context.Context, int) error, error) {
			c := newSESV2(url)
			return func(ctx context.Context, n int) error {
				return chunks(n, 1, func(i, _ int) error {
					t, h := rendered(i)
					part := func(s string) *types.Content {
						return &types.Content{Data: aws.String(s), Charset: aws.String("UTF-8")}
					}
					_, err := c.SendEmail(ctx, &sesv2.SendEmailInput{
						FromEmailAddress: aws.String("Example <hello@example.com>"),
						Destination:      &types.Destination{ToAddresses: []string{fmt.Sprintf("Ada <ada%d@example.com>", i)}},
						Content: &types.EmailContent{Simple: &types.Message{
							Subject: part("Confirm your address"), Body: &types.Body{Text: part(t), Html: part(h)},
						}},
					})
					return err
				})
			}, nil
		}},
	},
	{
		all("mailer-socketlabs/rendered", "", openSocketlabs),
		oneByOne("mailer-socketlabs/one-by-one", "", openSocketlabs),
	},
	{
		all("mailer-smtp2go/rendered", "", openSMTP2GO), // each in a call of its own
		oneByOne("mailer-smtp2go/one-by-one", "", openSMTP2GO),
	},
	{
		all("mailer-elasticemail/rendered", "", openElasticEmail), // each in a call of its own
		oneByOne("mailer-elasticemail/one-by-one", "", openElasticEmail),
	},
}

func TestEveryMailingSendsEveryMail(t *testing.T) {
	for _, family := range mailings {
		for _, m := range family {
			t.Run(m.name, func(t *testing.T) {
				send, err := m.prepare(base)
				if err != nil {
					t.Fatal(err)
				}
				n := min(m.most, 1234)
				_, before, _ := counted(t)
				if err := send(t.Context(), n); err != nil {
					t.Fatal(err)
				}
				if _, after, _ := counted(t); after-before != int64(n) {
					t.Errorf("the server saw %d mails, want %d", after-before, n)
				}
			})
		}
	}
}

// BenchmarkBatch sends 10,000 personal mails to a service next door and to one 20 ms
// away. s/10000 is the time for all, of a part of them scaled up where it would take
// minutes.
func BenchmarkBatch(b *testing.B) {
	for _, place := range []struct{ away, path string }{{"0ms", ""}, {"20ms", "/slow"}} {
		for _, family := range mailings {
			for _, m := range family {
				b.Run(place.away+"/"+m.name, func(b *testing.B) { repeat(b, m, base+place.path) })
			}
		}
	}
}

// repeat sends m over and over.
func repeat(b *testing.B, m mailing, url string) {
	send, err := m.prepare(url)
	if err != nil {
		b.Fatal(err)
	}
	if err := send(b.Context(), m.most); err != nil { // connections
		b.Fatal(err)
	}
	cpu, begun := cpuTime(b), time.Now()
	b.ReportAllocs()
	for b.Loop() {
		if err := send(b.Context(), m.most); err != nil {
			b.Fatal(err)
		}
	}
	scale := batchSize / float64(m.most) / float64(b.N)
	b.ReportMetric(time.Since(begun).Seconds()*scale, "s/10000")
	b.ReportMetric((cpuTime(b)-cpu).Seconds()*scale, "cpu-s/10000")
}
