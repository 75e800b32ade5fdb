// Package ses sends through the Amazon SES API, version 2. Each message is one
// SendEmail call; messages of a batch that share a template go in SendBulkEmail
// calls.
//
// A [Provider] needs an access key, or an aws.CredentialsProvider, whose IAM policy
// allows ses:SendEmail and ses:SendRawEmail, and a From address that is a verified
// identity in its region. An account in the sandbox reaches verified addresses and
// the mailbox simulator only, such as success@simulator.amazonses.com.
//
// Everything in a message is carried but these:
//
//   - SendAt is [mailer.KindUnsupported].
//   - A template brings its own subject, so Subject beside one is
//     [mailer.KindUnsupported].
//   - A local part outside ASCII is [mailer.KindUnsupported].
//   - With a template: more than 15 header fields, a value over 870 characters and
//     a ContentID or ContentType over 78 are [mailer.KindUnsupported]. Without one
//     the message then goes as a whole MIME text, for which SES has no such limits.
//   - SES sets Date and Message-ID itself.
//   - Tags and metadata become SES's message tags, of ASCII letters, digits, "_" and
//     "-". What has other characters is named in the receipt. It does not go into
//     a header, where the recipients would see it.
//
// The message's ID travels as the message tag "mailer_id", which comes back in the
// events of a configuration set. The tags are "mailer_tag", "mailer_tag_2" and so
// on there. SES does not refuse a suppressed recipient: it takes the message, and
// reports a bounce later. It has no idempotency key: an outcome that is unknown
// stays unknown until an event tells.
//
// Messages are the AWS SDK's types, signed by its signer, and written and sent as
// those of all providers: its client would cost four times the CPU of the rest. Files
// are encoded while they are sent. The other calls are the SDK's client's, without
// its retries.
//
// The facts in this package are from the Amazon SES Developer Guide and API
// reference, https://docs.aws.amazon.com/ses/latest (read 2026-11), and from
// aws-sdk-go-v2/service/sesv2 v1.79.7.
package ses
