package bench

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"
	"github.com/mailjet/mailjet-apiv3-go/v4"
	mrz "github.com/mrz1836/postmark"
	"github.com/sendgrid/sendgrid-go"
	"github.com/sendgrid/sendgrid-go/helpers/mail"

	"github.com/seed355143d4/mailer"
	ee "github.com/seed355143d4/mailer/provider/elasticemail"
	mj "github.com/seed355143d4/mailer/provider/mailjet"
	pm "github.com/seed355143d4/mailer/provider/postmark"
	sg "github.com/seed355143d4/mailer/provider/sendgrid"
	"github.com/seed355143d4/mailer/provider/ses"
	"github.com/seed355143d4/mailer/provider/smtp2go"
	"github.com/seed355143d4/mailer/provider/socketlabs"
)

// The registration mail: 1 kB of text, 4 kB of HTML.
var (
	text = strings.Repeat("Please follow the link to confirm your address.\n", 21)
	html = strings.Repeat(`<p class="body">Please follow <a href="https://example.com/confirm?a=1&amp;b=2">the link</a>.</p>`+"\n", 41)
)

func message(file []byte) mailer.Message {
	m := mailer.Message{
		From:    mailer.Address{Name: "Example", Address: "hello@example.com"},
		To:      []mailer.Address{{Name: "Ada", Address: "ada@example.com"}},
		Subject: "Confirm your address",
		Text:    text,
		HTML:    html,
	}
	if file != nil {
		m.Attachments = []mailer.Attachment{{Name: "file.bin", ContentType: "application/octet-stream", Content: file}}
	}
	return m
}

// adapter sends through one of our adapters.
func adapter(name string, open func(url string) (mailer.Sender, error)) subject {
	return subject{name, func(file []byte) (func(context.Context) error, error) {
		s, err := open(base)
		m := message(file)
		return func(ctx context.Context) error {
			_, err := s.Send(ctx, m)
			return err
		}, err
	}}
}

var postmarkAdapter = adapter("mailer-postmark", openPostmark)

var sendgridAdapter = adapter("mailer-sendgrid", openSendgrid)

var postmarkMRZ = subject{"mrz1836-postmark", func(file []byte) (func(context.Context) error, error) {
	c := mrz.NewClient("token", "")
	c.BaseURL = base
	return func(ctx context.Context) error {
		e := mrz.Email{
			From: "Example <hello@example.com>", To: "Ada <ada@example.com>",
			Subject: "Confirm your address", TextBody: text, HTMLBody: html,
		}
		if file != nil {
			e.Attachments = []mrz.Attachment{{
				Name: "file.bin", ContentType: "application/octet-stream",
				Content: base64.StdEncoding.EncodeToString(file),
			}}
		}
		_, err := c.SendEmail(ctx, e)
		return err
	}, nil
}}

// A client for each mail, as its documentation shows: one that is shared mixes
// mails up.
var sendgridGo = subject{"sendgrid-go", func(file []byte) (func(context.Context) error, error) {
	return func(ctx context.Context) error {
		m := mail.NewSingleEmail(mail.NewEmail("Example", "hello@example.com"), "Confirm your address",
			mail.NewEmail("Ada", "ada@example.com"), text, html)
		if file != nil {
			m.AddAttachment(&mail.Attachment{
				Filename: "file.bin", Type: "application/octet-stream",
				Content: base64.StdEncoding.EncodeToString(file),
			})
		}
		c := sendgrid.NewSendClient("SG.key")
		c.BaseURL = base + "/v3/mail/send"
		resp, err := c.SendWithContext(ctx, m)
		if err == nil && resp.StatusCode != http.StatusAccepted {
			err = fmt.Errorf("status %d", resp.StatusCode)
		}
		return err
	}, nil
}}

// bare posts again and again the bytes that the adapter sends, with net/http
// alone and enough idle connections: what everything else is compared with.
func bare(name string, adapter func(*http.Client) (mailer.Sender, error)) subject {
	return bareOf(name, adapter, message)
}

// bareOf is bare for another message.
func bareOf(name string, adapter func(*http.Client) (mailer.Sender, error), message func(file []byte) mailer.Message) subject {
	return subject{name, func(file []byte) (func(context.Context) error, error) {
		var body []byte
		var url string
		s, err := adapter(&http.Client{Transport: capture(func(r *http.Request) {
			url = r.URL.String()
			body, _ = io.ReadAll(r.Body)
		})})
		if err != nil {
			return nil, err
		}
		s.Send(context.Background(), message(file))
		tr := http.DefaultTransport.(*http.Transport).Clone()
		tr.MaxIdleConns, tr.MaxIdleConnsPerHost = 0, 512
		c := &http.Client{Transport: tr}
		return func(ctx context.Context) error {
			req, err := http.NewRequestWithContext(ctx, "POST", url, bytes.NewReader(body))
			if err != nil {
				return err
			}
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Authorization", "Bearer SG.key")
			resp, err := c.Do(req)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if resp.StatusCode >= 300 {
				return fmt.Errorf("status %d", resp.StatusCode)
			}
			_, err = io.ReadAll(resp.Body)
			return err
		}, nil
	}}
}

type capture func(*http.Request)

func (f capture) RoundTrip(r *http.Request) (*http.Response, error) {
	f(r)
	return nil, io.ErrUnexpectedEOF
}

var barePostmark = bare("bare-post-postmark", func(c *http.Client) (mailer.Sender, error) {
	return pm.New(pm.Config{ServerToken: "token", BaseURL: base, HTTPClient: c})
})

var bareSendgrid = bare("bare-post-sendgrid", sendgridOver)

func sendgridOver(c *http.Client) (mailer.Sender, error) {
	return sg.New(sg.Config{APIKey: "SG.key", BaseURL: base, HTTPClient: c})
}

var mailjetAdapter = adapter("mailer-mailjet", openMailjet)

var mailjetV4 = subject{"mailjet-apiv3-go", func(file []byte) (func(context.Context) error, error) {
	c := mailjet.NewMailjetClient("key", "secret", base+"/v3")
	return func(ctx context.Context) error {
		m := mailjet.InfoMessagesV31{
			From:    &mailjet.RecipientV31{Email: "hello@example.com", Name: "Example"},
			To:      &mailjet.RecipientsV31{{Email: "ada@example.com", Name: "Ada"}},
			Subject: "Confirm your address", TextPart: text, HTMLPart: html,
		}
		if file != nil {
			m.Attachments = &mailjet.AttachmentsV31{{
				Filename: "file.bin", ContentType: "application/octet-stream",
				Base64Content: base64.StdEncoding.EncodeToString(file),
			}}
		}
		_, err := c.SendMailV31(&mailjet.MessagesV31{Info: []mailjet.InfoMessagesV31{m}}, mailjet.WithContext(ctx))
		return err
	}, nil
}}

var sesAdapter = adapter("mailer-ses", openSES)

func newSESV2(url string) *sesv2.Client {
	return sesv2.New(sesv2.Options{
		Region: "eu-west-1", BaseEndpoint: aws.String(url),
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
	})
}

var sesV2 = subject{"aws-sesv2", func(file []byte) (func(context.Context) error, error) {
	c := newSESV2(base)
	return func(ctx context.Context) error {
		part := func(s string) *types.Content {
			return &types.Content{Data: aws.String(s), Charset: aws.String("UTF-8")}
		}
		m := &types.Message{Subject: part("Confirm your address"), Body: &types.Body{Text: part(text), Html: part(html)}}
		if file != nil {
			m.Attachments = []types.Attachment{{
				FileName: aws.String("file.bin"), ContentType: aws.String("application/octet-stream"), RawContent: file,
			}}
		}
		_, err := c.SendEmail(ctx, &sesv2.SendEmailInput{
			FromEmailAddress: aws.String("Example <hello@example.com>"),
			Destination:      &types.Destination{ToAddresses: []string{"Ada <ada@example.com>"}},
			Content:          &types.EmailContent{Simple: m},
		})
		return err
	}, nil
}}

var bareMailjet = bare("bare-post-mailjet", func(c *http.Client) (mailer.Sender, error) {
	return mj.New(mj.Config{APIKey: "key", SecretKey: "secret", BaseURL: base, HTTPClient: c})
})

var bareSES = bare("bare-post-ses", func(c *http.Client) (mailer.Sender, error) {
	return ses.New(ses.Config{Region: "eu-west-1", AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret", BaseURL: base, HTTPClient: c})
})

// Services without a package: the floor and our adapter.
var (
	bareSocketlabs = bare("bare-post-socketlabs", func(c *http.Client) (mailer.Sender, error) {
		return socketlabs.New(socketlabs.Config{ServerID: 1, APIKey: "key", BaseURL: base, HTTPClient: c})
	})
	bareSMTP2GO = bare("bare-post-smtp2go", func(c *http.Client) (mailer.Sender, error) {
		return smtp2go.New(smtp2go.Config{APIKey: "api-0123456789ABCDEF0123456789ABCDEF", BaseURL: base, HTTPClient: c})
	})
	bareElasticEmail = bare("bare-post-elasticemail", func(c *http.Client) (mailer.Sender, error) {
		return ee.New(ee.Config{APIKey: "key", BaseURL: base, HTTPClient: c})
	})
	socketlabsAdapter   = adapter("mailer-socketlabs", openSocketlabs)
	smtp2goAdapter      = adapter("mailer-smtp2go", openSMTP2GO)
	elasticEmailAdapter = adapter("mailer-elasticemail", openElasticEmail)
)

// subjects stand in families; the first of each is its floor.
var subjects = [][]subject{
	{barePostmark, postmarkAdapter, postmarkMRZ},
	{bareSendgrid, sendgridAdapter, sendgridGo},
	{bareMailjet, mailjetAdapter, mailjetV4},
	{bareSES, sesAdapter, sesV2},
	{bareSocketlabs, socketlabsAdapter},
	{bareSMTP2GO, smtp2goAdapter},
	{bareElasticEmail, elasticEmailAdapter},
}

func TestEverySubjectSendsTheWholeMail(t *testing.T) {
	for _, family := range subjects {
		for _, s := range family {
			for _, file := range [][]byte{nil, make([]byte, 1<<20)} {
				t.Run(fmt.Sprintf("%s/%d", s.name, len(file)), func(t *testing.T) {
					send, err := s.prepare(file)
					if err != nil {
						t.Fatal(err)
					}
					_, mails, octets := counted(t)
					if err := send(t.Context()); err != nil {
						t.Fatal(err)
					}
					_, mails2, octets2 := counted(t)
					if least := int64(len(text) + len(html) + len(file)*4/3); mails2-mails != 1 || octets2-octets < least {
						t.Errorf("the server saw %d mails of %d bytes, want 1 of %d or more", mails2-mails, octets2-octets, least)
					}
				})
			}
		}
	}
}

func BenchmarkRegistration(b *testing.B) {
	for _, senders := range []int{1, 64} {
		for _, family := range subjects {
			for _, s := range family {
				b.Run(fmt.Sprintf("senders=%d/%s", senders, s.name), func(b *testing.B) { compare(b, family[0], s, nil, senders) })
			}
		}
	}
}

func BenchmarkAttachment10MB(b *testing.B) {
	file := make([]byte, 10_000_000)
	for i := range file {
		file[i] = byte(i * i >> 7)
	}
	for _, senders := range []int{1, 8} {
		for _, s := range []subject{bareSendgrid, sendgridAdapter, sendgridGo, postmarkMRZ} {
			b.Run(fmt.Sprintf("senders=%d/%s", senders, s.name), func(b *testing.B) { compare(b, bareSendgrid, s, file, senders) })
		}
	}
}

// slices is how often a benchmark changes between the subject and its floor, so
// that what else the machine does meets both.
const slices = 20

// compare measures the client alone: the server is another process. Timer,
// allocations and connections are the subject's; x-bare is its CPU time as a
// multiple of the floor's, and x-bare-time the same of the wall time.
func compare(b *testing.B, floor, s subject, file []byte, senders int) {
	type side struct {
		send      func(context.Context) error
		cpu, wall time.Duration
	}
	var sides [2]side
	for i, s := range []subject{floor, s} {
		send, err := s.prepare(file)
		if err != nil {
			b.Fatal(err)
		}
		sides[i].send = send
	}
	work := func(s *side, n int) {
		var wg sync.WaitGroup
		start, cpu := time.Now(), cpuTime(b)
		for w := range senders {
			wg.Go(func() {
				for i := w; i < n; i += senders {
					if err := s.send(b.Context()); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		s.cpu += cpuTime(b) - cpu
		s.wall += time.Since(start)
	}
	for i := range sides { // connections, buffers
		work(&sides[i], 4*senders)
		sides[i].cpu, sides[i].wall = 0, 0
	}
	runtime.GC()
	opened := int64(0)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range slices {
		n := b.N*(i+1)/slices - b.N*i/slices
		b.StopTimer()
		work(&sides[0], n)
		before, _, _ := counted(b)
		b.StartTimer()
		work(&sides[1], n)
		b.StopTimer()
		after, _, _ := counted(b)
		opened += after - before - 1
		b.StartTimer()
	}
	b.StopTimer()
	b.ReportMetric(float64(sides[1].cpu)/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(opened)*1000/float64(b.N), "conns/1000")
	b.ReportMetric(float64(sides[1].cpu)/float64(sides[0].cpu), "x-bare")
	b.ReportMetric(float64(sides[1].wall)/float64(sides[0].wall), "x-bare-time")
}

// cpuTime is what this process has used, system time included.
func cpuTime(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
