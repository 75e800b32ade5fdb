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
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// children are what this program does instead of testing when it has started
// itself with the name in its environment: a server, whose work must not count
// as the client's, or a client whose memory is to be measured from its start.
var children = map[string]func(){"http-server": httpServer}

const childEnv = "MAILER_BENCH_CHILD"

// base is where the HTTP server of this run is.
var base string

func TestMain(m *testing.M) {
	if f := children[os.Getenv(childEnv)]; f != nil {
		f()
		return
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	cmd, out, err := startChild("http-server")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	base, err = out.ReadString('\n')
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	base = strings.TrimSpace(base)
	certificate, err := io.ReadAll(out)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	// Everybody trusts the server without being set up to, since crypto/x509 reads
	// this when the first certificate is checked.
	file, err := os.CreateTemp("", "bench-*.pem")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.Remove(file.Name())
	file.Write(certificate)
	file.Close()
	os.Setenv("SSL_CERT_FILE", file.Name())
	return m.Run()
}

// startChild starts this program again as the child of that name, and returns
// its output. The child ends when its input does.
func startChild(name string, env ...string) (*exec.Cmd, *bufio.Reader, error) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), childEnv+"="+name), env...)
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil {
		return nil, nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	return cmd, bufio.NewReader(out), cmd.Start()
}

// httpServer speaks HTTP/1.1 over TLS, and says yes in Postmark's and in
// SendGrid's way. It prints its address and its certificate.
func httpServer() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		NotAfter:     time.Now().Add(24 * time.Hour),
		IsCA:         true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(err)
	fmt.Printf("https://%s\n", ln.Addr())
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
		accepted.Add(1)
		go serve(tls.Server(c, cfg))
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

var accepted, mails, octets atomic.Int64

const postmarkAnswer = `{"To":"ada@example.com","SubmittedAt":"2026-11-02T09:14:07.3308127Z",` +
	`"MessageID":"7f4f2c9e-5c5b-4a27-9f3a-2f0a1f3f9c11","ErrorCode":0,"Message":"OK"}`

func serve(c net.Conn) {
	defer c.Close()
	r := bufio.NewReaderSize(c, 64<<10)
	for {
		length, chunked, path := 0, false, ""
		for {
			line, err := r.ReadSlice('\n')
			if err != nil {
				return
			}
			if path == "" {
				path = string(bytes.Fields(line)[1])
			}
			if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
				length, _ = strconv.Atoi(string(bytes.TrimSpace(v)))
			}
			chunked = chunked || bytes.HasPrefix(line, []byte("Transfer-Encoding: chunked"))
			if len(line) == 2 {
				break
			}
		}
		if chunked {
			var err error
			if length, err = discardChunks(r); err != nil {
				return
			}
		} else if _, err := r.Discard(length); err != nil {
			return
		}
		switch path {
		case "/email":
			mails.Add(1)
			octets.Add(int64(length))
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(postmarkAnswer), postmarkAnswer)
		case "/v3/mail/send":
			mails.Add(1)
			octets.Add(int64(length))
			io.WriteString(c, "HTTP/1.1 202 Accepted\r\nX-Message-Id: Xj5LmNkWSOqRbdvOpR34BA\r\nContent-Length: 0\r\n\r\n")
		case "/count":
			s := fmt.Sprint(accepted.Load(), mails.Load(), octets.Load())
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(s), s)
			return
		default:
			io.WriteString(c, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
		}
	}
}

// discardChunks reads a chunked body without trailers.
func discardChunks(r *bufio.Reader) (total int, err error) {
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return total, err
		}
		size, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 32)
		if err != nil {
			return total, err
		}
		if _, err := r.Discard(int(size) + len("\r\n")); err != nil {
			return total, err
		}
		if size == 0 {
			return total, nil
		}
		total += int(size)
	}
}

// counted are the connections, mails and octets of bodies that the server saw.
func counted(tb testing.TB) (conns, mails, octets int64) {
	tb.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Get(base + "/count")
	if err != nil {
		tb.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := fmt.Fscan(resp.Body, &conns, &mails, &octets); err != nil {
		tb.Fatal(err)
	}
	return conns, mails, octets
}

// subject is one way to send mail.
type subject struct {
	name string
	// prepare makes what sends the mail of that file, which is nil for a
	// registration mail. What a user does once for many mails is done in it.
	prepare func(file []byte) (func(context.Context) error, error)
}
