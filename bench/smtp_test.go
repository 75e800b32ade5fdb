package bench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/mime"
	"github.com/seed355143d4/mailer/provider/smtp"
)

func init() { children["smtp-server"] = smtpServer }

// smtpRTT tells the server in a child how long a round trip is to take.
const smtpRTT = "MAILER_BENCH_SMTP_RTT"

// smtpServer takes every mail, over STARTTLS and after AUTH PLAIN, behind a line
// that delays each direction by half of the round trip. It prints its port and its
// certificate.
func smtpServer() {
	rtt, err := time.ParseDuration(os.Getenv(smtpRTT))
	check(err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"},
		NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(err)
	fmt.Println(ln.Addr().(*net.TCPAddr).Port)
	check(pem.Encode(os.Stdout, &pem.Block{Type: "CERTIFICATE", Bytes: der}))
	os.Stdout.Close()
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	cfg := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	for {
		c, err := ln.Accept()
		check(err)
		if rtt > 0 {
			near, far := net.Pipe()
			go delay(c, near, rtt/2)
			go delay(near, c, rtt/2)
			// The connection itself takes a round trip.
			time.AfterFunc(rtt, func() { serveSMTP(far, cfg) })
		} else {
			go serveSMTP(c, cfg)
		}
	}
}

// delay passes on what it reads after a while. It reads on meanwhile.
func delay(from, to net.Conn, d time.Duration) {
	type chunk struct {
		b   []byte
		due time.Time
	}
	line := make(chan chunk, 10_000)
	go func() {
		defer close(line)
		for {
			b := make([]byte, 64<<10)
			n, err := from.Read(b)
			if n > 0 {
				line <- chunk{b[:n], time.Now().Add(d)}
			}
			if err != nil {
				return
			}
		}
	}()
	for c := range line {
		time.Sleep(time.Until(c.due))
		to.Write(c.b)
	}
	to.Close()
}

func serveSMTP(c net.Conn, cfg *tls.Config) {
	defer c.Close()
	r, w := bufio.NewReaderSize(c, 64<<10), bufio.NewWriter(c)
	say := func(s string) {
		w.WriteString(s + "\r\n")
		if r.Buffered() == 0 {
			w.Flush()
		}
	}
	say("220 localhost ESMTP")
	w.Flush()
	secure := false
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return
		}
		switch verb, _, _ := bytes.Cut(bytes.TrimRight(line, "\r\n"), []byte(" ")); string(verb) {
		case "EHLO":
			if secure {
				say("250-localhost\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SIZE 50000000\r\n250 AUTH PLAIN LOGIN")
			} else {
				say("250-localhost\r\n250-PIPELINING\r\n250 STARTTLS")
			}
		case "STARTTLS":
			say("220 go on")
			w.Flush()
			t := tls.Server(c, cfg)
			secure = true
			c = t
			r, w = bufio.NewReaderSize(t, 64<<10), bufio.NewWriter(t)
		case "AUTH":
			say("235 welcome")
		case "DATA":
			say("354 go on")
			w.Flush()
			for {
				line, err := r.ReadSlice('\n')
				if err != nil {
					return
				}
				if string(line) == ".\r\n" {
					break
				}
			}
			say("250 queued")
		case "QUIT":
			say("221 bye")
			w.Flush()
			return
		default:
			say("250 OK")
		}
	}
}

// startSMTP starts the server, and returns its port and how to trust it.
func startSMTP(tb testing.TB, rtt time.Duration) (int, *tls.Config) {
	tb.Helper()
	cmd, out, err := startChild("smtp-server", smtpRTT+"="+rtt.String())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { stopChild(cmd) })
	line, err := out.ReadString('\n')
	if err != nil {
		tb.Fatal(err)
	}
	port, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		tb.Fatal(err)
	}
	certificate, err := io.ReadAll(out)
	if err != nil {
		tb.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certificate)
	return port, &tls.Config{RootCAs: roots, ServerName: "localhost"}
}

func stopChild(cmd *exec.Cmd) {
	cmd.Process.Kill()
	cmd.Wait()
}

// smtpWays are the ways to send one mail after the other over SMTP. Each returns
// what sends a mail, and what ends the way.
var smtpWays = []struct {
	name string
	open func(port int, cfg *tls.Config, file []byte) (send func() error, end func(), err error)
}{
	{"bare-smtp", bareSMTP},
	{"mailer-smtp", func(port int, cfg *tls.Config, file []byte) (func() error, func(), error) {
		p, err := smtp.New(smtp.Config{Host: "localhost", Port: port, Username: "u", Password: "p", TLSConfig: cfg, MaxMessages: 1 << 30, Dial: dial4})
		if err != nil {
			return nil, nil, err
		}
		m := message(file)
		return func() error { _, err := p.Send(context.Background(), m); return err }, func() { p.Close() }, nil
	}},
	{"go-mail-kept", func(port int, cfg *tls.Config, file []byte) (func() error, func(), error) {
		c, err := goMail(port, cfg)
		if err != nil {
			return nil, nil, err
		}
		if err := c.DialWithContext(context.Background()); err != nil {
			return nil, nil, err
		}
		return func() error {
			m, err := goMailMessage(message(file))
			if err != nil {
				return err
			}
			return c.Send(m)
		}, func() { c.Close() }, nil
	}},
	{"go-mail-DialAndSend", func(port int, cfg *tls.Config, file []byte) (func() error, func(), error) {
		c, err := goMail(port, cfg)
		if err != nil {
			return nil, nil, err
		}
		return func() error {
			m, err := goMailMessage(message(file))
			if err != nil {
				return err
			}
			return c.DialAndSend(m)
		}, func() {}, nil
	}},
}

// bareSMTP is the floor: bytes made beforehand, on a kept connection, in two writes.
func bareSMTP(port int, cfg *tls.Config, file []byte) (func() error, func(), error) {
	m, err := mime.New(message(file), mime.Options{})
	if err != nil {
		return nil, nil, err
	}
	c, err := dial4(context.Background(), "tcp", fmt.Sprintf("localhost:%d", port))
	if err != nil {
		return nil, nil, err
	}
	say := func(r *bufio.Reader, said []byte, answers int) error {
		if _, err := c.Write(said); err != nil {
			return err
		}
		for answers > 0 {
			line, err := r.ReadSlice('\n')
			if err != nil {
				return err
			}
			if line[3] == ' ' {
				answers--
			}
		}
		return nil
	}
	r := bufio.NewReader(c)
	if err := say(r, []byte("EHLO localhost\r\nSTARTTLS\r\n"), 3); err != nil {
		return nil, nil, err
	}
	c = tls.Client(c, cfg)
	r = bufio.NewReader(c)
	if err := say(r, []byte("EHLO localhost\r\nAUTH PLAIN AHUAcA==\r\n"), 2); err != nil {
		return nil, nil, err
	}
	envelope := []byte("MAIL FROM:<hello@example.com>\r\nRCPT TO:<ada@example.com>\r\nDATA\r\n")
	data := append(m.Bytes(), ".\r\n"...)
	return func() error {
		if err := say(r, envelope, 3); err != nil {
			return err
		}
		return say(r, data, 1)
	}, func() { c.Close() }, nil
}

func dial4(ctx context.Context, network, addr string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+port)
}

func goMail(port int, cfg *tls.Config) (*gomail.Client, error) {
	return gomail.NewClient("localhost", gomail.WithPort(port), gomail.WithTLSPolicy(gomail.TLSMandatory), gomail.WithTLSConfig(cfg),
		gomail.WithSMTPAuth(gomail.SMTPAuthPlain), gomail.WithUsername("u"), gomail.WithPassword("p"), gomail.WithDialContextFunc(dial4))
}

func goMailMessage(m mailer.Message) (*gomail.Msg, error) {
	g := gomail.NewMsg()
	if err := g.FromFormat(m.From.Name, m.From.Address); err != nil {
		return nil, err
	}
	if err := g.AddToFormat(m.To[0].Name, m.To[0].Address); err != nil {
		return nil, err
	}
	g.Subject(m.Subject)
	g.SetBodyString(gomail.TypeTextPlain, m.Text)
	g.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
	for _, a := range m.Attachments {
		if err := g.AttachReader(a.Name, bytes.NewReader(a.Content)); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// TestSMTP sends with every way, so that the benchmark compares ways that work.
func TestSMTP(t *testing.T) {
	port, cfg := startSMTP(t, time.Millisecond)
	for _, way := range smtpWays {
		send, end, err := way.open(port, cfg, make([]byte, 100_000))
		if err != nil {
			t.Fatalf("%s: %v", way.name, err)
		}
		for range 2 {
			if err := send(); err != nil {
				t.Errorf("%s: %v", way.name, err)
			}
		}
		end()
	}
}

// cpu is the time that this process has worked.
func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkSMTP sends the registration mail over one connection where the way can,
// without and with a round trip of 20 ms. "trips" are round trips by the clock.
func BenchmarkSMTP(b *testing.B) {
	for _, rtt := range []time.Duration{0, 20 * time.Millisecond} {
		b.Run(fmt.Sprintf("rtt=%v", rtt), func(b *testing.B) {
			port, cfg := startSMTP(b, rtt)
			for _, way := range smtpWays {
				b.Run(way.name, func(b *testing.B) { benchmarkSMTP(b, port, cfg, way.open, nil, rtt) })
			}
		})
	}
	b.Run("10MB", func(b *testing.B) {
		port, cfg := startSMTP(b, 0)
		for _, way := range smtpWays {
			b.Run(way.name, func(b *testing.B) { benchmarkSMTP(b, port, cfg, way.open, make([]byte, 10<<20), 0) })
		}
	})
}

func benchmarkSMTP(b *testing.B, port int, cfg *tls.Config, open func(int, *tls.Config, []byte) (func() error, func(), error), file []byte, rtt time.Duration) {
	send, end, err := open(port, cfg, file)
	if err != nil {
		b.Fatal(err)
	}
	defer end()
	if err := send(); err != nil { // connects
		b.Fatal(err)
	}
	b.ReportAllocs()
	start := cpu()
	for b.Loop() {
		if err := send(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((cpu()-start).Microseconds())/float64(b.N), "cpu-µs/op")
	if rtt > 0 {
		b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(rtt), "trips/op")
	}
}
