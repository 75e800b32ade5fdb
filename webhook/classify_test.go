package webhook_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer/webhook"
)

func TestClassify(t *testing.T) {
	const (
		hard, soft, undetermined = webhook.Hard, webhook.Soft, webhook.Undetermined
		mailbox, quota, spam     = webhook.ReasonMailbox, webhook.ReasonQuota, webhook.ReasonSpam
		blocked, size, network   = webhook.ReasonBlocked, webhook.ReasonSize, webhook.ReasonNetwork
		throttled, other         = webhook.ReasonThrottled, webhook.ReasonOther
	)
	for _, c := range []struct {
		answer string
		bounce webhook.Bounce
		reason webhook.Reason
	}{
		// Enhanced status codes, RFC 3463 and the IANA registry.
		{"550 5.1.1 no such user", hard, mailbox},
		{"550-5.1.1 The email account that you tried to reach does not exist. 5.1.1 gsmtp", hard, mailbox},
		{"smtp; 550 5.1.1 user unknown", hard, mailbox},
		{"smtp;550 5.1.1", hard, mailbox},
		{"5.1.1", hard, mailbox},
		{"5.1.2", hard, mailbox},
		{"554 5.1.3 bad address syntax", hard, mailbox},
		{"551 5.1.6 mailbox has moved", hard, mailbox},
		{"556 5.1.10 recipient address has null MX", hard, mailbox},
		{"450 4.1.1 user unknown for now", soft, mailbox},
		{"450 4.1.2 domain not found", soft, mailbox},
		{"550 5.1.0 address rejected", undetermined, other},
		{"550 5.0.0 rejected", undetermined, other},
		{"553 5.1.7 sender address syntax", soft, blocked},
		{"550 5.1.8 sender's domain does not exist", soft, blocked},
		{"550 5.2.1 mailbox disabled", hard, mailbox},
		{"450 4.2.1 mailbox busy", soft, mailbox},
		{"smtp; 452 4.2.2 mailbox full", soft, quota},
		{"552 5.2.2 over quota", soft, quota},
		{"552 5.2.3 message exceeds local limit", soft, size},
		{"452 4.3.1 insufficient system storage", soft, network},
		{"552 5.3.4 message too big", soft, size},
		{"451 4.4.1 no answer from host", soft, network},
		{"450 4.4.2 bad connection", soft, network},
		{"554 5.4.4 unable to route", soft, network},
		{"554 5.4.6 mail loop", soft, network},
		{"550 4.4.7 message expired", soft, network},
		{"554 5.4.7 delivery time expired", soft, network},
		{"503 5.5.1 bad sequence", undetermined, network},
		{"554 5.6.0 malformed message", soft, other},
		{"550 5.7.1 message rejected as spam", soft, spam},
		{"550 5.7.1 rejected by policy", soft, blocked},
		{"550 5.7.26 unauthenticated", soft, blocked},
		{"550 5.7.515 Access denied, sending domain example.com does not meet the required authentication level", soft, blocked},
		{"550 5.7.17 mailbox owner has changed", hard, mailbox},
		{"550 5.7.18 domain owner has changed", hard, mailbox},
		{"421 4.7.28 unusual rate of mail, gsmtp", soft, throttled},
		{"550 5.7.28 our system has detected an unusual rate of unsolicited mail", soft, throttled},
		{"421 4.7.0 [TSS04] messages temporarily deferred", soft, throttled},
		{"421 4.7.0 try again later", soft, throttled},
		{"450 4.9.9 something new", soft, throttled},
		{"550 5.9.9 something new", undetermined, other},

		// Answers that mean something else than their codes.
		{"550 5.2.1 The user you are trying to contact is receiving mail at a rate that prevents additional messages from being delivered.", soft, throttled},
		{"552 5.2.2 The recipient's inbox is out of storage space and inactive", soft, quota},
		{"550 5.4.1 Recipient address rejected: Access denied", soft, mailbox},
		{"550 5.1.4 Recipient address rejected: Access denied", soft, mailbox},
		{"550 5.1.1 <x@relay.example>: unauthorized sender", soft, blocked},
		{"550 5.7.1 Service unavailable, Client host [192.0.2.1] blocked using Spamhaus", soft, blocked},
		{"550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. (S3140)", soft, blocked},
		{"550 SC-001 unfortunately, messages from 192.0.2.1 weren't sent", soft, blocked},
		{"550 OU-002 refused", soft, blocked},
		{"421 RP-001 the mail server exceeded a limit", soft, throttled},
		{"451 4.7.500 Server busy. Please try again later from [192.0.2.1]. (S77719)", soft, throttled},
		{"451 4.7.650 the mail server has been temporarily rate limited, busy", soft, throttled},
		{"554 5.7.9 Message not accepted for policy reasons. [PH01]", soft, spam},
		{"550-5.7.1 this message is likely unsolicited mail", soft, spam},
		{"554 delivery error: dd This user doesn't have an account", hard, mailbox},
		{"554 30 Sorry, your message cannot be delivered. This mailbox is disabled (554.30)", hard, mailbox},
		{"552 mailbox not found", hard, mailbox},
		{"450 4.2.0 <ada@example.com>: Recipient address rejected: Greylisted", soft, throttled},
		{"451 greylisted, please retry", soft, throttled},
		{"451 try again later", soft, throttled},
		{"550 5.1.1 user unknown because of poor reputation", soft, blocked},
		{"550 5.1.1 rejected by DMARC policy", soft, blocked},
		{"550 5.1.1 <spam@example.com>: user unknown", hard, mailbox},
		{"550 <policy@example.com> user unknown", hard, mailbox},
		{"550 sender address invalid", soft, blocked},
		{"550 user unknown in relay recipient table", hard, mailbox},
		{"host mx.example[192.0.2.5] said: 550 5.1.1 user unknown (in reply to RCPT TO)", hard, mailbox},
		{"550 5.1.1 blocked, see https://example.com", soft, blocked},

		// No enhanced code: the words.
		{"550 user unknown", hard, mailbox},
		{"550 Unknown user", hard, mailbox},
		{"550 No such mailbox here", hard, mailbox},
		{"550 Invalid recipient", hard, mailbox},
		{"user unknown", hard, mailbox},
		{"452 Mailbox full", soft, quota},
		{"550 mailbox is full", soft, quota},
		{"552 message too large", soft, size},
		{"554 rejected as spam", soft, spam},
		{"550 relaying denied", soft, blocked},
		{"421 too many connections", soft, throttled},
		{"450 user unknown", soft, mailbox},
		{"connection timed out", soft, network},

		// Nothing but a code, or nothing.
		{"552", soft, quota},
		{"421 closing", soft, throttled},
		{"450 no", soft, throttled},
		{"432 no", soft, other},
		{"550 no", undetermined, other},
		{"554", undetermined, other},
		{"something happened", undetermined, other},
		{"host [192.0.2.5] said nothing", undetermined, other},
		{"version 5.1.1.2 of something", undetermined, other},
		{"", undetermined, ""},
		{" \r\n", undetermined, ""},
	} {
		t.Run(c.answer, func(t *testing.T) {
			bounce, reason := webhook.Classify(c.answer)
			require.Equal(t, c.bounce, bounce)
			require.Equal(t, c.reason, reason)
		})
	}
}

// The mistake that costs a customer.
func TestNothingTemporaryAndNothingAboutUsIsHard(t *testing.T) {
	for _, code := range []string{"421 4.1.1", "450 4.2.1", "451 4.1.2", "452 4.1.10", "450", "451"} {
		for _, words := range []string{"user unknown", "no such mailbox", "mailbox disabled", "does not exist", ""} {
			bounce, _ := webhook.Classify(code + " " + words)
			require.NotEqual(t, webhook.Hard, bounce, code+" "+words)
		}
	}
	for _, words := range []string{"blocked by spamhaus", "poor reputation", "DMARC policy", "SPF failed", "rate limit", "access denied"} {
		for _, code := range []string{"550 5.1.1", "550 5.2.1", "550 5.1.2"} {
			bounce, _ := webhook.Classify(code + " " + words)
			require.NotEqual(t, webhook.Hard, bounce, code+" "+words)
		}
	}
}

func TestALongAnswerIsReadInPart(t *testing.T) {
	long := strings.Repeat("550 ", 1<<18)
	bounce, reason := webhook.Classify(long)
	require.Equal(t, webhook.Undetermined, bounce)
	require.Equal(t, webhook.ReasonOther, reason)
	bounce, _ = webhook.Classify("550 5.1.1 no such user " + long)
	require.Equal(t, webhook.Hard, bounce)
}

func FuzzClassify(f *testing.F) {
	for _, s := range []string{"550 5.1.1 no such user", "smtp; 452 4.2.2 mailbox full", "", "5.", "4.4.7\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		bounce, reason := webhook.Classify(s)
		require.Contains(t, []webhook.Bounce{webhook.Hard, webhook.Soft, webhook.Undetermined}, bounce)
		if bounce == webhook.Hard {
			require.Equal(t, webhook.ReasonMailbox, reason)
		}
		require.Equal(t, strings.TrimSpace(s) == "", reason == "")
	})
}

func BenchmarkClassify(b *testing.B) {
	for name, answer := range map[string]string{
		"an ordinary answer": "550 5.1.1 <ada@example.com>: no such user", "2 KB": strings.Repeat("550 ", 500), "words only": "the user likes no mail today",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				webhook.Classify(answer)
			}
		})
	}
}
