package smtp

import (
	"bufio"
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
)

func parse(t *testing.T, wire string) reply {
	t.Helper()
	c := &conn{br: bufio.NewReaderSize(strings.NewReader(wire+"\r\n"), maxReplyLine)}
	r, err := c.readReply()
	require.NoError(t, err)
	return r
}

func TestKinds(t *testing.T) {
	hit := map[*rule]bool{}
	for _, tt := range []struct {
		in   phase
		wire string
		kind mailer.Kind
	}{
		// The texts of the relays.
		{auth, "451 Authentication failed: Maximum credits exceeded", mailer.KindQuota},
		{mail, "454 Throttling failure: Daily message quota exceeded", mailer.KindQuota},
		{data, "454 Throttling failure: Maximum sending rate exceeded", mailer.KindRateLimited},
		{mail, "450 Maximum sending rate exceeded", mailer.KindRateLimited},
		{rcpt, "451 4.3.0 Rate limit reached", mailer.KindRateLimited},
		{greeting, "421 Too many concurrent SMTP connections", mailer.KindRateLimited},
		{greeting, "421 too many connections from your host", mailer.KindRateLimited},
		{mail, "421 4.3.2 Too many messages on this connection", mailer.KindRateLimited},
		{greeting, "421 4.4.5 Server busy", mailer.KindRateLimited},
		{mail, "451 Temporary service failure", mailer.KindUnavailable},
		{data, "451 Timeout waiting for data from client", mailer.KindUnavailable},
		{mail, "454 Temporary service failure", mailer.KindUnavailable},
		{auth, "454 Temporary authentication failure", mailer.KindUnavailable},
		{mail, "530 Authentication required", mailer.KindUnauthorized},
		{auth, "535 Authentication Credentials Invalid", mailer.KindUnauthorized},
		{auth, "535 Account not subscribed to SES", mailer.KindUnauthorized},
		{auth, "535 Incorrect authentication data", mailer.KindUnauthorized},
		{auth, "504 5.5.4 mechanism not known", mailer.KindUnauthorized},
		{mail, "554 5.7.8 log in first", mailer.KindUnauthorized},
		{mail, "525 5.7.13 User account disabled", mailer.KindUnauthorized},
		{mail, "550 5.7.14 Trust relationship required", mailer.KindUnauthorized},
		{mail, "550 Unauthenticated senders not allowed", mailer.KindUnauthorized},
		{mail, "550 5.7.1 Authentication required", mailer.KindUnauthorized},
		{rcpt, "550 Relay access denied", mailer.KindUnauthorized},
		{rcpt, "554 5.7.1 <ada@example.com>: Relay access denied", mailer.KindUnauthorized},
		{rcpt, "550 relay not permitted", mailer.KindUnauthorized},
		{rcpt, "550 5.7.1 Relaying denied", mailer.KindUnauthorized},
		{data, "554 Access denied: User `x' is not authorized to perform ses:SendRawEmail", mailer.KindUnauthorized},
		{mail, "403 You are not authorized to send from that email address", mailer.KindSender},
		{data, "554 Message rejected: Email address is not verified.", mailer.KindSender},
		{data, "550 From header sender domain not verified", mailer.KindSender},
		{rcpt, "553 5.7.1 <a@example.com>: Sender address rejected: not owned by user", mailer.KindSender},
		{data, "552 5.3.4 Message too big", mailer.KindTooLarge},
		{mail, "452 4.3.4 too big for now", mailer.KindTooLarge},
		{data, "552 Message is too long.", mailer.KindTooLarge},
		{mail, "552 size", mailer.KindTooLarge},
		{rcpt, "452 5.5.3 recipients", mailer.KindTooLarge},
		{rcpt, "452 Too many recipients", mailer.KindTooLarge},
		{rcpt, "550 5.2.3 longer than the mailbox takes", mailer.KindTooLarge},
		{data, "554 Transaction failed: contents", mailer.KindContent},

		// The codes.
		{rcpt, "550 5.1.7 bad sender", mailer.KindSender},
		{data, "550 5.1.8 bad sender", mailer.KindSender},
		{mail, "550 5.1.0 no", mailer.KindSender},
		{mail, "554 5.7.1 no", mailer.KindSender},
		{mail, "553 no", mailer.KindSender},
		{mail, "501 Invalid MAIL FROM address", mailer.KindSender},
		{rcpt, "550 5.1.1 no such user", mailer.KindRecipient},
		{data, "550 5.1.1 no such user", mailer.KindRecipient},
		{rcpt, "550 5.2.1 inactive", mailer.KindRecipient},
		{rcpt, "552 5.2.2 mailbox full", mailer.KindRecipient},
		{rcpt, "554 5.7.1 <ada@example.com>: Recipient address rejected: Access denied", mailer.KindRejected},
		{rcpt, "554 no", mailer.KindRejected},
		{rcpt, "553 no", mailer.KindRecipient},
		{rcpt, "550 no", mailer.KindRecipient},
		{data, "554 5.6.0 malformed", mailer.KindRejected},
		{data, "550 5.7.1 spam", mailer.KindContent},
		{data, "550 no", mailer.KindContent},
		{data, "553 no", mailer.KindRejected},
		{data, "501 Invalid address", mailer.KindRejected},
		{rcpt, "450 4.7.1 greylisted", mailer.KindRateLimited},
		{mail, "454 4.7.0 TLS not available", mailer.KindUnavailable},
		{rcpt, "450 4.2.0 later", mailer.KindUnavailable},
		{mail, "421 4.3.2 shutting down", mailer.KindUnavailable},
		{greeting, "554 no service", mailer.KindUnavailable},
		{mail, "555 5.5.4 parameter not known", mailer.KindRejected},
		{data, "503 5.5.1 bad sequence", mailer.KindRejected},
		{mail, "354 what?", mailer.KindUnavailable},
	} {
		t.Run(tt.wire, func(t *testing.T) {
			r := parse(t, tt.wire)
			hit[ruleFor(tt.in, r)] = true
			e := new(session).refused(tt.in, r)
			require.Equal(t, tt.kind, e.Kind)
			require.True(t, e.NotSent)
			require.Equal(t, r.code, e.Status)
		})
	}
	for i := range rules {
		require.True(t, hit[&rules[i]], "no answer reached rule %d: %+v", i, rules[i])
	}
}

func TestReadReply(t *testing.T) {
	require.Equal(t, reply{code: 250}, parse(t, "250"))
	require.Equal(t, reply{code: 250}, parse(t, "250 "))
	require.Equal(t, reply{code: 250, text: "Ok: 1.2.3"}, parse(t, "250 Ok: 1.2.3"))
	require.Equal(t, reply{code: 250, enhanced: "2.1.5", text: "Ok"}, parse(t, "250 2.1.5 Ok"))
	require.Equal(t, reply{code: 550, text: "2.1.5 Ok"}, parse(t, "550 2.1.5 Ok"), "a status of another class is text")
	require.Equal(t, reply{code: 452, enhanced: "5.5.3", text: "too many"}, parse(t, "452 5.5.3 too many"), "SocketLabs")
	require.Equal(t, reply{code: 550, enhanced: "5.7.1", text: "one\ntwo"}, parse(t, "550-5.7.1 one\r\n550 5.7.1 two"))
	require.Equal(t, reply{code: 250, text: "x\nPIPELINING\nSIZE"}, parse(t, "250-x\n250-PIPELINING\n250 SIZE"))
	for _, wire := range []string{"", "25", "150 x", "600 x", "2x0 x", "250x", "+250", "250-a\r\n251 b", "250-a\r\n", "hello"} {
		c := &conn{br: bufio.NewReaderSize(strings.NewReader(wire+"\r\n"), maxReplyLine)}
		_, err := c.readReply()
		require.Error(t, err, "%q", wire)
	}
}

func TestReplyIsBounded(t *testing.T) {
	for _, wire := range []string{
		strings.Repeat("250-x\r\n", maxReplyLines) + "250 x\r\n",
		"250 " + strings.Repeat("x", maxReplyLine) + "\r\n",
	} {
		c := &conn{br: bufio.NewReaderSize(strings.NewReader(wire), maxReplyLine)}
		_, err := c.readReply()
		require.ErrorIs(t, err, errTooLong)
	}
}

func TestErrorsAreCleanAndBounded(t *testing.T) {
	s := &session{username: "u", password: "hunter2"}
	e := s.refused(auth, reply{code: 535, text: "no:\nhunter2 aHVudGVyMg== AHUAaHVudGVyMg== \x1b[2J\xff\u2028" + strings.Repeat("é", 600)})
	require.True(t, strings.HasPrefix(e.Message, "no: [redacted] [redacted] [redacted] ?[2J??ééé"), e.Message)
	require.LessOrEqual(t, len(e.Message), maxWords+len("…"))
	require.NotContains(t, e.Error(), "hunter2")
}

func TestDotWriter(t *testing.T) {
	for in, want := range map[string]string{
		"":                    ".\r\n",
		"a\r\n":               "a\r\n.\r\n",
		"a":                   "a\r\n.\r\n",
		".":                   "..\r\n.\r\n",
		".\r\n":               "..\r\n.\r\n",
		"..\r\n.a\r\n":        "...\r\n..a\r\n.\r\n",
		"a\r\n.\r\nb\r\n":     "a\r\n..\r\nb\r\n.\r\n",
		"a\n.\nb\r\n":         "a\n..\nb\r\n.\r\n",
		"a\n.\r\nMAIL\r\n":    "a\n..\r\nMAIL\r\n.\r\n",
		"a.b.\r\n":            "a.b.\r\n.\r\n",
		"\r\n.\r\n.\r\n.\r\n": "\r\n..\r\n..\r\n..\r\n.\r\n",
	} {
		for size := 1; size <= len(in)+1; size++ {
			var b bytes.Buffer
			d := &dotWriter{w: bufio.NewWriterSize(&b, 16), lineStart: true}
			for rest := in; rest != ""; rest = rest[min(size, len(rest)):] {
				n, err := d.Write([]byte(rest[:min(size, len(rest))]))
				require.NoError(t, err)
				require.Equal(t, min(size, len(rest)), n)
			}
			require.NoError(t, d.end())
			require.Equal(t, want, b.String(), "%q in pieces of %d", in, size)
			require.EqualValues(t, b.Len(), d.n)
		}
	}
}

func TestSESPassword(t *testing.T) {
	// The secret is the one of AWS's own documentation.
	const secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	require.Equal(t, "BLBM/9hSUELfq8Gw+rU1YcBjkOxGbhT2XG763xVLGWL9", sesPassword("us-east-1", secret))
	require.Equal(t, "BMW5RDrXmmVs0lV7GpI4oLkHXpZ4stDsk6q91z1g38Pk", sesPassword("eu-west-1", secret))
}
