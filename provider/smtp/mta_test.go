//go:build unix

package smtp_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"os"
	"os/exec"
	osuser "os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/provider/smtp"
)

const mtaPassword = "correct horse: battery/staple@é"

// mta is a Postfix of its own: configuration, queue, data and mailboxes in a
// temporary directory, one port on loopback, STARTTLS and AUTH required.
type mta struct {
	dir   string
	port  int
	roots *x509.CertPool
}

func startMTA(t *testing.T) *mta {
	t.Helper()
	for _, program := range []string{"postfix", "saslpasswd2"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed: apt-get install postfix sasl2-bin libsasl2-modules", program)
		}
	}
	if os.Getuid() != 0 {
		t.Skip("Postfix starts as root only")
	}
	owner, err := osuser.Lookup("postfix")
	require.NoError(t, err)
	uid, err := strconv.Atoi(owner.Uid)
	require.NoError(t, err)
	gid, err := strconv.Atoi(owner.Gid)
	require.NoError(t, err)

	dir := t.TempDir()
	// Postfix's own user has to get in.
	for d := dir; filepath.Dir(d) != filepath.Dir(os.TempDir()) && d != filepath.Clean(os.TempDir()); d = filepath.Dir(d) {
		require.NoError(t, os.Chmod(d, 0o755))
	}
	for _, sub := range []string{"etc", "etc/sasl", "queue", "data", "box"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, sub), 0o755))
	}
	require.NoError(t, os.Chown(filepath.Join(dir, "data"), uid, gid))
	require.NoError(t, os.Chown(filepath.Join(dir, "box"), uid, gid))

	cert, roots := certificate(t)
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	m := &mta{dir: dir, port: l.Addr().(*net.TCPAddr).Port, roots: roots}
	require.NoError(t, l.Close())

	for name, text := range map[string]string{
		"cert.pem":        string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})),
		"key.pem":         string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})),
		"boxes":           "ada@mta.example ada/\nbob@mta.example bob/\nžofie@mta.example zofie/\n",
		"sasl/smtpd.conf": "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: " + dir + "/etc/sasldb2\nmech_list: PLAIN LOGIN\n",
		"master.cf": fmt.Sprintf("127.0.0.1:%d inet n - n - - smtpd\n", m.port) + `
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
error unix - - n - - error
retry unix - - n - - error
proxymap unix - - n - - proxymap
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
`,
		"main.cf": strings.ReplaceAll(`compatibility_level = 3.6
queue_directory = $DIR/queue
data_directory = $DIR/data
maillog_file = $DIR/log
maillog_file_prefixes = $DIR
myhostname = mta.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 192.0.2.1/32
alias_maps =
alias_database =
virtual_mailbox_domains = mta.example
virtual_mailbox_maps = texthash:$DIR/etc/boxes
virtual_mailbox_base = $DIR/box
virtual_uid_maps = static:$UID
virtual_gid_maps = static:$GID
virtual_minimum_uid = 1
smtpd_tls_cert_file = $DIR/etc/cert.pem
smtpd_tls_key_file = $DIR/etc/key.pem
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_local_domain = mta.example
cyrus_sasl_config_path = $DIR/etc/sasl
smtpd_relay_restrictions = reject_unlisted_recipient, permit_sasl_authenticated, reject
message_size_limit = 2000000
`, "$DIR", dir),
	} {
		text = strings.NewReplacer("$UID", owner.Uid, "$GID", owner.Gid).Replace(text)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "etc", name), []byte(text), 0o644))
	}
	setPassword := exec.Command("saslpasswd2", "-p", "-c", "-f", dir+"/etc/sasldb2", "-u", "mta.example", "app")
	setPassword.Stdin = strings.NewReader(mtaPassword)
	out, err := setPassword.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.NoError(t, os.Chmod(dir+"/etc/sasldb2", 0o644))

	out, err = exec.Command("postfix", "-c", dir+"/etc", "check").CombinedOutput() // makes the queue
	require.NoError(t, err, "%s", out)
	daemons, err := exec.Command("postconf", "-c", dir+"/etc", "-h", "daemon_directory").Output()
	require.NoError(t, err)
	// With -d the daemon stays in the process group that it is given.
	run := exec.Command(filepath.Join(strings.TrimSpace(string(daemons)), "master"), "-c", dir+"/etc", "-d")
	var said bytes.Buffer
	run.Stdout, run.Stderr = &said, &said
	// A group of its own, so that all that it starts ends with it.
	run.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	run.WaitDelay = 10 * time.Second
	require.NoError(t, run.Start())
	ended := make(chan struct{})
	go func() { _ = run.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = syscall.Kill(-run.Process.Pid, syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
		}
		_ = syscall.Kill(-run.Process.Pid, syscall.SIGKILL)
		<-ended
		if t.Failed() {
			log, _ := os.ReadFile(dir + "/log")
			t.Logf("Postfix said:\n%s\n%s", said.String(), log)
		}
	})
	require.Eventually(t, func() bool {
		c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", m.port), time.Second)
		if err != nil {
			return false
		}
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		b := make([]byte, 3)
		_, err = io.ReadFull(c, b)
		_, _ = c.Write([]byte("QUIT\r\n"))
		_ = c.Close()
		return err == nil && string(b) == "220"
	}, 30*time.Second, 50*time.Millisecond, "Postfix does not answer")
	return m
}

func (m *mta) config() smtp.Config {
	return smtp.Config{
		Host: "localhost", Port: m.port, Username: "app", Password: mtaPassword,
		TLSConfig: &tls.Config{RootCAs: m.roots}, Dial: dial4,
	}
}

// box waits until a mailbox holds n mails and returns them.
func (m *mta) box(t *testing.T, name string, n int) []string {
	t.Helper()
	var mails []string
	require.Eventually(t, func() bool {
		mails = nil
		entries, err := os.ReadDir(filepath.Join(m.dir, "box", name, "new"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false
		}
		for _, e := range entries {
			b, err := os.ReadFile(filepath.Join(m.dir, "box", name, "new", e.Name()))
			if err != nil {
				return false
			}
			mails = append(mails, string(b))
		}
		return len(mails) >= n
	}, 30*time.Second, 50*time.Millisecond, "the mail does not arrive")
	require.Len(t, mails, n)
	return mails
}

// leaves are the parts of a mail that are not multipart themselves: what is in
// them, by file name or else by type.
func leaves(t *testing.T, header map[string][]string, body io.Reader, into map[string]string) map[string]string {
	t.Helper()
	get := func(name string) string { return strings.Join(header[name], "") }
	kind, params, err := mime.ParseMediaType(get("Content-Type"))
	require.NoError(t, err)
	if strings.HasPrefix(kind, "multipart/") {
		r := multipart.NewReader(body, params["boundary"])
		for {
			p, err := r.NextRawPart()
			if errors.Is(err, io.EOF) {
				return into
			}
			require.NoError(t, err)
			leaves(t, p.Header, p, into)
		}
	}
	switch get("Content-Transfer-Encoding") {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	b, err := io.ReadAll(body)
	require.NoError(t, err)
	if d := get("Content-Disposition"); d != "" {
		_, params, err := mime.ParseMediaType(d)
		require.NoError(t, err)
		kind = params["filename"] + " " + get("Content-Id")
	}
	require.NotContains(t, into, kind)
	into[kind] = string(b)
	return into
}

func TestRealMTATakesWhatIsSent(t *testing.T) {
	m := startMTA(t)
	p := newProvider(t, m.config())
	require.NoError(t, p.Verify(t.Context()))

	every := make([]byte, 100_000)
	for i := range every {
		every[i] = byte(i * i >> 3)
	}
	msg := mailer.Message{
		ID:      "01HZX5J3A7",
		From:    mailer.Address{Name: "Zoë's Büro, GmbH", Address: "orders@books.example"},
		To:      []mailer.Address{{Name: "Ada \"A\" Example", Address: "ada@mta.example"}},
		Bcc:     []mailer.Address{{Address: "bob@mta.example"}},
		ReplyTo: []mailer.Address{{Name: "Ответы", Address: "answers@books.example"}},
		Subject: "Über 100 €: " + strings.Repeat("注文書 and plain words ", 6),
		Text:    ".\n..\n.hidden dot\n\nFrom the start\ntrailing space \n" + strings.Repeat("long line ", 200) + "\nend without a line end",
		HTML:    "<p>Grüße</p>\n.\n<img src=\"cid:logo@books\">\n",
		Headers: map[string]string{"X-Order": "8841", "In-Reply-To": "<1@books.example>"},
		Attachments: []mailer.Attachment{
			{Name: "every byte.bin", Content: every},
			{Name: "Rechnung März — 注文書.pdf", ContentType: "application/pdf", Content: []byte("%PDF\r\n.\r\n")},
			{Name: "logo.png", ContentType: "image/png", ContentID: "logo@books", Content: []byte{0x89, 'P', 'N', 'G'}},
			{Name: "old.eml", ContentType: "message/rfc822", Content: []byte("Subject: old\r\n\r\n.\r\nbody\r\n")},
		},
		Unsubscribe: mailer.Unsubscribe{URL: "https://books.example/u/1", Mailto: "leave@books.example"},
	}
	r, err := p.Send(t.Context(), msg)
	require.NoError(t, err)
	require.Equal(t, mailer.Receipt{ID: msg.ID, Provider: "smtp", MessageID: msg.ID}, r)

	for _, who := range []string{"ada", "bob"} {
		stored := m.box(t, who, 1)[0]
		// A Maildir ends lines with LF.
		require.NotContains(t, stored, "\r")
		got, err := netmail.ReadMessage(strings.NewReader(strings.ReplaceAll(stored, "\n", "\r\n")))
		require.NoError(t, err)
		want := map[string]string{
			"text/plain":               strings.ReplaceAll(msg.Text, "\n", "\r\n"),
			"text/html":                strings.ReplaceAll(msg.HTML, "\n", "\r\n"),
			"every byte.bin ":          string(every),
			"Rechnung März — 注文書.pdf ": "%PDF\r\n.\r\n",
			"logo.png <logo@books>":    "\x89PNG",
			"old.eml ":                 "Subject: old\r\n\r\n.\r\nbody\r\n",
		}
		require.Equal(t, want, leaves(t, got.Header, got.Body, map[string]string{}))

		subject, err := new(mime.WordDecoder).DecodeHeader(got.Header.Get("Subject"))
		require.NoError(t, err)
		require.Equal(t, msg.Subject, subject)
		for name, want := range map[string][]mailer.Address{"From": {msg.From}, "To": msg.To, "Reply-To": msg.ReplyTo} {
			list, err := got.Header.AddressList(name)
			require.NoError(t, err)
			require.Len(t, list, 1)
			require.Equal(t, want[0], *list[0])
		}
		require.Equal(t, "<01HZX5J3A7@books.example>", got.Header.Get("Message-Id"))
		require.Equal(t, "8841", got.Header.Get("X-Order"))
		require.Equal(t, "List-Unsubscribe=One-Click", got.Header.Get("List-Unsubscribe-Post"))
		require.Equal(t, "<orders@books.example>", got.Header.Get("Return-Path"))
		require.Contains(t, got.Header.Get("Received"), "ESMTPSA")
		header, _, _ := strings.Cut(stored, "\n\n")
		if who == "ada" {
			require.NotContains(t, header, "bob@")
		}
	}
}

func TestRealMTARefuses(t *testing.T) {
	m := startMTA(t)
	p := newProvider(t, m.config())

	t.Run("one recipient and takes the other", func(t *testing.T) {
		r, err := p.Send(t.Context(), message("gone@mta.example", "ada@mta.example"))
		require.NoError(t, err)
		require.Len(t, r.Rejected, 1)
		require.Equal(t, "gone@mta.example", r.Rejected[0].Address)
		require.ErrorIs(t, r.Rejected[0].Err, mailer.KindRecipient)
		var e *mailer.Error
		require.ErrorAs(t, r.Rejected[0].Err, &e)
		require.Equal(t, "5.1.1", e.Code)
		m.box(t, "ada", 1)
	})
	t.Run("every recipient", func(t *testing.T) {
		_, err := p.Send(t.Context(), message("gone@mta.example", "nobody@mta.example"))
		require.ErrorIs(t, err, mailer.KindRecipient)
		require.True(t, mailer.NotSent(err))
	})
	t.Run("a mail over its size", func(t *testing.T) {
		msg := message("ada@mta.example")
		msg.Attachments = []mailer.Attachment{{Name: "big", Content: make([]byte, 1_500_000)}}
		_, err := p.Send(t.Context(), msg)
		require.ErrorIs(t, err, mailer.KindTooLarge)
		require.True(t, mailer.NotSent(err))
	})
	t.Run("a bad password", func(t *testing.T) {
		c := m.config()
		c.Password = "wrong"
		_, err := newProvider(t, c).Send(t.Context(), message("ada@mta.example"))
		require.ErrorIs(t, err, mailer.KindUnauthorized)
		require.True(t, mailer.NotSent(err))
	})
	t.Run("who does not log in", func(t *testing.T) {
		c := m.config()
		c.Username, c.Password = "", ""
		_, err := newProvider(t, c).Send(t.Context(), message("ada@mta.example"))
		require.ErrorIs(t, err, mailer.KindRejected)
		require.True(t, mailer.NotSent(err))
	})
	t.Run("nothing of what comes after", func(t *testing.T) {
		_, err := p.Send(t.Context(), message("bob@mta.example"))
		require.NoError(t, err)
		_, err = p.Send(t.Context(), message("žofie@mta.example"))
		require.NoError(t, err)
		m.box(t, "bob", 1)
		require.Contains(t, m.box(t, "zofie", 1)[0], "To: žofie@mta.example\n")
		m.box(t, "ada", 1)
	})
}
