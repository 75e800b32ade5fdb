package ses

import (
	"bufio"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/mail"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"
	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/providertest"
)

// emulator starts aws-ses-v2-local, a program by others that takes mail as SES
// does, and keeps it for reading.
func emulator(t *testing.T) *Provider {
	program := cmp.Or(os.Getenv("MAILER_SES_EMULATOR"), "aws-ses-v2-local")
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not installed: npm install --global aws-ses-v2-local@2.10.2, or name it in MAILER_SES_EMULATOR", program)
	}
	cmd := exec.CommandContext(t.Context(), path, "--host", "127.0.0.1", "--port", "0")
	cmd.Env = append(os.Environ(), "AWS_SES_ACCOUNT="+emulatedAccount)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		cmd.Process.Kill()
		cmd.Wait()
	})
	defer time.AfterFunc(time.Minute, func() { cmd.Process.Kill() }).Stop()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if _, port, ok := strings.Cut(lines.Text(), "running at http://localhost:"); ok {
			p, err := New(with("http://127.0.0.1:"+port, &http.Client{Transport: transport}))
			require.NoError(t, err)
			return p
		}
	}
	require.Fail(t, "the emulator did not start")
	return nil
}

const emulatedAccount = `{"DedicatedIpAutoWarmupEnabled":false,"EnforcementStatus":"HEALTHY","ProductionAccessEnabled":true,
	"SendingEnabled":true,"SendQuota":{"Max24HourSend":50000,"MaxSendRate":14,"SentLast24Hours":12},
	"SuppressionAttributes":{"SuppressedReasons":[]},"Details":{"AdditionalContactEmailAddresses":[],"ContactLanguage":"EN",
	"MailType":"TRANSACTIONAL","ReviewDetails":{"CaseId":"1","Status":"GRANTED"},"UseCaseDescription":"","WebsiteURL":""}}`

// stored is a mail as the emulator understood it.
type stored struct {
	MessageID   string
	From        string
	ReplyTo     []string
	Destination struct{ To, Cc, Bcc []string }
	Subject     string
	Body        struct{ Text, HTML string }
	Headers     []pair
	Attachments []struct {
		Content, ContentType, ContentDisposition, ContentID, Filename string
		Size                                                          int
	}
}

// read returns the mail of a receipt.
func read(t *testing.T, p *Provider, id string) stored {
	t.Helper()
	url := *p.sdk.Options().BaseEndpoint + "/store"
	resp, err := http.Get(url)
	require.NoError(t, err)
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	var store struct{ Emails []stored }
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&store))
	for _, m := range store.Emails {
		if m.MessageID == id {
			return m
		}
	}
	require.Fail(t, "the emulator has no such mail", id)
	return stored{}
}

func TestEmulator(t *testing.T) {
	p := emulator(t)
	unsupported := map[string]bool{"scheduled": true, "international local part": true, "template": true, "template with nested data": true}
	for _, c := range providertest.Messages() {
		if unsupported[c.Name] {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			r, err := p.Send(t.Context(), c.Message)
			require.NoError(t, err)
			requireStored(t, p, c.Message, read(t, p, r.MessageID))
		})
	}
	t.Run("a MIME text", func(t *testing.T) {
		m := providertest.Messages()[0].Message
		m.HTML = "<p>Hello <img src=\"cid:logo\"> Gr\u00fc\u00dfe</p>\n"
		m.Attachments = []mailer.Attachment{
			{Name: "logo.png", ContentType: "image/png", ContentID: "logo", Content: []byte("\x89PNG\r\n\x1a\n")},
			{Name: "all.bin", ContentType: "application/octet-stream", Content: []byte{0, 1, 2, 255}},
		}
		m.Headers = map[string]string{}
		for i := range 16 {
			m.Headers[fmt.Sprintf("X-%02d", i)] = "x"
		}
		r, err := p.Send(t.Context(), m)
		require.NoError(t, err)
		requireStored(t, p, m, read(t, p, r.MessageID))
	})
	_, err := p.sdk.CreateEmailTemplate(asCall(t), &sesv2.CreateEmailTemplateInput{
		TemplateName: aws.String("welcome"),
		TemplateContent: &types.EmailTemplateContent{
			Subject: aws.String("Hello {{name}}"), Text: aws.String("{{#each items}}{{title}} {{/each}}"), Html: aws.String("<p>{{{link}}}</p>"),
		},
	})
	require.NoError(t, err)
	t.Run("a template", func(t *testing.T) {
		r, err := p.Send(t.Context(), mailer.Message{
			From: mailer.Address{Address: "shop@example.com"}, To: []mailer.Address{{Address: "ada@example.com"}},
			Headers: map[string]string{"X-Order": "8841"},
			Template: mailer.Template{ID: "welcome", Data: map[string]any{
				"name": "Zo\u00eb \"Z\" \\", "items": []any{map[string]any{"title": "Quay"}, map[string]any{"title": "Caf\u00e9"}}, "link": "https://example.com/?a=1&b=<2>",
			}},
		})
		require.NoError(t, err)
		got := read(t, p, r.MessageID)
		require.Equal(t, "Hello Zo\u00eb \"Z\" \\", strings.NewReplacer("&quot;", `"`).Replace(got.Subject))
		require.Equal(t, "Quay Caf\u00e9 ", got.Body.Text)
		require.Equal(t, "<p>https://example.com/?a=1&b=<2></p>", got.Body.HTML)
		require.Equal(t, []pair{{"X-Order", "8841"}}, got.Headers)
	})
	t.Run("a template that is not there", func(t *testing.T) {
		_, err := p.Send(t.Context(), mailer.Message{
			From: mailer.Address{Address: "shop@example.com"}, To: []mailer.Address{{Address: "ada@example.com"}}, Template: mailer.Template{ID: "bye"},
		})
		e, ok := errors.AsType[*mailer.Error](err)
		require.True(t, ok)
		require.Equal(t, 404, e.Status)
		require.True(t, e.NotSent)
	})
	t.Run("a batch", func(t *testing.T) {
		ms := personal(60)
		for i := range ms {
			ms[i].Template.Data = map[string]any{"name": fmt.Sprint("reader ", i), "link": i}
			ms[i].Headers = map[string]string{"X-Number": fmt.Sprint(i)}
		}
		ms[7].Template, ms[7].Subject, ms[7].Text = mailer.Template{}, "Hello reader 7", "Hello"
		ms[8].To[0].Address = `"a..b"@example.com` // which the emulator takes for malformed
		for i, r := range p.SendBatch(t.Context(), ms) {
			if i == 8 {
				e, ok := errors.AsType[*mailer.Error](r.Err)
				require.True(t, ok)
				require.Equal(t, "FAILED", e.Code)
				require.Equal(t, "Invalid recipient email address(es)", e.Message)
				continue
			}
			require.NoError(t, r.Err, "message %d", i)
			got := read(t, p, r.Receipt.MessageID)
			require.Equal(t, fmt.Sprint("Hello reader ", i), got.Subject)
			require.Equal(t, []string{ms[i].To[0].Address}, got.Destination.To)
			require.Equal(t, []pair{{"X-Number", fmt.Sprint(i)}}, got.Headers)
		}
	})
	t.Run("the quota", func(t *testing.T) {
		q, err := p.Quota(t.Context())
		require.NoError(t, err)
		require.Equal(t, mailer.Quota{Limit: 50000, Remaining: 49988, PerSecond: 14}, q)
		require.NoError(t, p.Verify(t.Context()))
	})
	t.Run("a file of 15 MB", func(t *testing.T) {
		m := providertest.Messages()[0].Message
		m.Attachments = []mailer.Attachment{{Name: "a.bin", ContentType: "application/octet-stream", Content: make([]byte, 15<<20)}}
		for i := range m.Attachments[0].Content {
			m.Attachments[0].Content[i] = byte(i * i >> 3)
		}
		r, err := p.Send(t.Context(), m)
		require.NoError(t, err)
		requireStored(t, p, m, read(t, p, r.MessageID))
	})
}

// requireStored requires that the emulator has the message.
func requireStored(t *testing.T, p *Provider, m mailer.Message, got stored) {
	t.Helper()
	r, err := p.request(m)
	require.NoError(t, err)
	m = r.message
	parse := func(list ...string) []mailer.Address {
		var all []mailer.Address
		for _, s := range list {
			as, err := mail.ParseAddressList(s)
			require.NoError(t, err, "%q", s)
			for _, a := range as {
				all = append(all, *a)
			}
		}
		return all
	}
	raw := r.input.Content.Raw != nil
	require.Equal(t, []mailer.Address{m.From}, parse(got.From))
	for _, l := range []struct {
		want []mailer.Address
		got  []string
	}{{m.To, got.Destination.To}, {m.Cc, got.Destination.Cc}, {m.Bcc, got.Destination.Bcc}, {m.ReplyTo, got.ReplyTo}} {
		require.ElementsMatch(t, l.want, parse(l.got...))
	}
	require.Equal(t, m.Subject, got.Subject)
	if !raw {
		require.Equal(t, m.Text, got.Body.Text)
		require.Equal(t, m.HTML, got.Body.HTML)
	} else {
		require.Equal(t, strings.TrimSpace(m.Text), strings.TrimSpace(got.Body.Text))
		html := strings.ReplaceAll(m.HTML, "cid:logo", "data:image/png;base64,"+base64.StdEncoding.EncodeToString(m.Attachments[0].Content))
		require.Equal(t, html, got.Body.HTML) // as the emulator shows it
	}
	headers := map[string]string{}
	for _, h := range got.Headers {
		headers[h.Name] = h.Value
	}
	if !raw { // of which the emulator keeps no header
		require.Equal(t, providertest.HeadersOf(m), headers)
	}
	require.Len(t, got.Attachments, len(m.Attachments))
	for i, a := range m.Attachments {
		f := got.Attachments[i]
		content, err := base64.StdEncoding.DecodeString(f.Content)
		require.NoError(t, err)
		require.True(t, string(a.Content) == string(content), "the bytes of %s", a.Name)
		require.Equal(t, a.Name, f.Filename)
		require.Equal(t, cmp.Or(a.ContentType, "application/octet-stream"), f.ContentType)
		require.Equal(t, a.ContentID, strings.Trim(f.ContentID, "<>"))
		require.Equal(t, a.ContentID != "", strings.EqualFold(f.ContentDisposition, "inline"))
	}
}

// asCall makes a context in which the test may use the SDK itself.
func asCall(t *testing.T) context.Context {
	return context.WithValue(t.Context(), callKey{}, new(call))
}
