package ses

import (
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed355143d4/mailer/internal/httpapi"
	"github.com/seed355143d4/mailer/provider/providertest"
)

// sdk returns a client of the SDK that sends nothing, and the request that it would
// have sent last.
func sdk() (*sesv2.Client, *providertest.Call) {
	s := new(providertest.Call)
	return sesv2.New(sesv2.Options{
		Region: key.Region, Credentials: credentials.NewStaticCredentialsProvider(key.AccessKeyID, key.SecretAccessKey, ""), Retryer: aws.NopRetryer{},
		HTTPClient: &http.Client{Transport: providertest.RoundTrip(func(r *http.Request) (*http.Response, error) {
			body, err := io.ReadAll(r.Body)
			s.URL, s.Header, s.Body = r.URL.String(), r.Header, body
			return nil, errors.Join(err, errors.New("no network"))
		})},
	}), s
}

// draw draws the parts of an input, each of which may be missing.
type draw struct{ *rapid.T }

func (d draw) text(name string) *string {
	return rapid.Ptr(rapid.String(), false).Draw(d.T, name)
}

func (d draw) optional(name string) *string {
	return rapid.Ptr(rapid.String(), true).Draw(d.T, name)
}

func (d draw) texts(name string) []string {
	list := rapid.SliceOfN(rapid.String(), 0, 3).Draw(d.T, name)
	if len(list) == 0 {
		return nil // the SDK writes an empty list
	}
	return list
}

func (d draw) many(name string, max int, f func()) {
	for range rapid.IntRange(0, max).Draw(d.T, name) {
		f()
	}
}

func (d draw) yes(name string) bool { return rapid.Bool().Draw(d.T, name) }

func (d draw) destination() *types.Destination {
	return &types.Destination{ToAddresses: d.texts("to"), CcAddresses: d.texts("cc"), BccAddresses: d.texts("bcc")}
}

func (d draw) tags() (list []types.MessageTag) {
	d.many("tags", 3, func() {
		list = append(list, types.MessageTag{Name: d.text("tag"), Value: d.text("value")})
	})
	return list
}

func (d draw) headers() (list []types.MessageHeader) {
	d.many("headers", 3, func() {
		list = append(list, types.MessageHeader{Name: d.text("header"), Value: d.text("value")})
	})
	return list
}

// attachments returns files as the SDK wants them, and as sendEmail does.
func (d draw) attachments(files *httpapi.Files) (theirs, ours []types.Attachment) {
	d.many("files", 3, func() {
		a := types.Attachment{
			FileName: d.text("file"), ContentType: d.optional("type"), ContentId: d.optional("id"),
			ContentDisposition:      rapid.SampledFrom(append(types.AttachmentContentDisposition("").Values(), "")).Draw(d.T, "disposition"),
			ContentTransferEncoding: rapid.SampledFrom(append(types.AttachmentContentTransferEncoding("").Values(), "")).Draw(d.T, "encoding"),
			RawContent:              rapid.SliceOf(rapid.Byte()).Draw(d.T, "content"),
		}
		theirs = append(theirs, a)
		a.RawContent = []byte(files.Add(a.RawContent))
		ours = append(ours, a)
	})
	return theirs, ours
}

func (d draw) overrides() *types.ConfigurationOverrides {
	if d.yes("no overrides") {
		return nil
	}
	status := rapid.SampledFrom([]types.FeatureStatus{"", types.FeatureStatusEnabled, types.FeatureStatusDisabled})
	return &types.ConfigurationOverrides{Tracking: &types.TrackingConfigurationOverrides{
		OpenTrackingEnabled: status.Draw(d.T, "opens"), ClickTrackingEnabled: status.Draw(d.T, "clicks"),
	}}
}

func (d draw) content() *types.Content {
	return &types.Content{Charset: d.optional("charset"), Data: d.text("data")}
}

func TestTheSDKWouldSendTheSame(t *testing.T) {
	client, theirs := sdk()
	written := func(t *rapid.T, b httpapi.Body) string {
		w := new(writer)
		n, err := b.WriteTo(w)
		require.NoError(t, err)
		require.EqualValues(t, len(*w), n)
		return string(*w)
	}
	t.Run("SendEmail", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			d, files := draw{t}, new(httpapi.Files)
			in := sesv2.SendEmailInput{
				FromEmailAddress: d.optional("from"), FromEmailAddressIdentityArn: d.optional("identity"), Destination: d.destination(),
				ReplyToAddresses: d.texts("reply to"), ConfigurationSetName: d.optional("set"), ConfigurationOverrides: d.overrides(),
				TenantName: d.optional("tenant"), EmailTags: d.tags(),
				FeedbackForwardingEmailAddress: d.optional("feedback"), FeedbackForwardingEmailAddressIdentityArn: d.optional("its identity"),
			}
			if d.yes("list") {
				in.ListManagementOptions = &types.ListManagementOptions{ContactListName: d.text("list"), TopicName: d.optional("topic")}
			}
			own := in
			switch rapid.SampledFrom([]string{"simple", "raw", "template"}).Draw(t, "content") {
			case "simple":
				m := types.Message{Subject: d.content(), Body: new(types.Body), Headers: d.headers()}
				if d.yes("text") {
					m.Body.Text = d.content()
				}
				if d.yes("html") {
					m.Body.Html = d.content()
				}
				o := m
				m.Attachments, o.Attachments = d.attachments(files)
				in.Content, own.Content = &types.EmailContent{Simple: &m}, &types.EmailContent{Simple: &o}
			case "raw":
				data := rapid.SliceOf(rapid.Byte()).Draw(t, "raw")
				in.Content = &types.EmailContent{Raw: &types.RawMessage{Data: data}}
				own.Content = &types.EmailContent{Raw: &types.RawMessage{Data: []byte(files.Add(data))}}
			case "template":
				m := types.Template{TemplateName: d.optional("template"), TemplateArn: d.optional("arn"), TemplateData: d.text("data"), Headers: d.headers()}
				o := m
				m.Attachments, o.Attachments = d.attachments(files)
				in.Content, own.Content = &types.EmailContent{Template: &m}, &types.EmailContent{Template: &o}
			}
			_, err := client.SendEmail(t.Context(), &in)
			require.ErrorContains(t, err, "no network")
			require.Equal(t, "https://email.eu-west-1.amazonaws.com"+sendPath, theirs.URL)
			require.JSONEq(t, string(theirs.Body), written(t, sendEmail(&own, files)))
		})
	})
	t.Run("SendBulkEmail", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			d := draw{t}
			in := &sesv2.SendBulkEmailInput{
				FromEmailAddress: d.optional("from"), FromEmailAddressIdentityArn: d.optional("identity"), ReplyToAddresses: d.texts("reply to"),
				ConfigurationSetName: d.optional("set"), ConfigurationOverrides: d.overrides(), TenantName: d.optional("tenant"),
				FeedbackForwardingEmailAddress: d.optional("feedback"), FeedbackForwardingEmailAddressIdentityArn: d.optional("its identity"),
				DefaultContent: &types.BulkEmailContent{Template: &types.Template{
					TemplateName: d.optional("template"), TemplateArn: d.optional("arn"), TemplateData: d.text("data"),
				}},
			}
			for range rapid.IntRange(1, 3).Draw(t, "entries") {
				in.BulkEmailEntries = append(in.BulkEmailEntries, types.BulkEmailEntry{
					Destination: d.destination(),
					ReplacementEmailContent: &types.ReplacementEmailContent{
						ReplacementTemplate: &types.ReplacementTemplate{ReplacementTemplateData: d.text("data")},
					},
					ReplacementHeaders: d.headers(),
					ReplacementTags:    d.tags(),
				})
			}
			_, err := client.SendBulkEmail(t.Context(), in)
			require.ErrorContains(t, err, "no network")
			require.Equal(t, "https://email.eu-west-1.amazonaws.com"+bulkPath, theirs.URL)
			require.JSONEq(t, string(theirs.Body), written(t, sendBulkEmail(in)))
		})
	})
}

// writer is what was written.
type writer []byte

func (w *writer) Write(b []byte) (int, error) {
	*w = append(*w, b...)
	return len(b), nil
}
