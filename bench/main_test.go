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

// httpServer speaks HTTP/1.1 over TLS, and says yes in the way of each service. It
// prints its address and its certificate.
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

// latency is what a path that begins with /slow takes beside the server's work: a
// network with that round trip, on connections that stand.
const latency = 20 * time.Millisecond

// singles are the answers to calls with one mail.
var singles = map[string]string{
	"/email":                    fmt.Sprintf(postmarkAnswer, "ada@example.com"),
	"/v2/email/outbound-emails": `{"MessageId":"0102019a7b1c2d3e-4f5a6b7c-8d9e-4f01-a2b3-c4d5e6f70809-000000"}`,
	"/email/send":               `{"request_id":"r-1","data":{"succeeded":1,"failed":0,"failures":[],"email_id":"1u0SwL-B9zBpi9ffUq-JAB2"}}`,
	"/v4/emails/transactional":  `{"TransactionID":"3f2b6c1e-0000-4000-8000-aaaaaaaaaaaa","MessageID":"AbCdEfGhIjKlMnOpQrSt"}`,
}

const postmarkAnswer = `{"To":"%s","SubmittedAt":"2026-11-02T09:14:07.3308127Z",` +
	`"MessageID":"7f4f2c9e-5c5b-4a27-9f3a-2f0a1f3f9c11","ErrorCode":0,"Message":"OK"}`

// batches tell how many mails a call has, and make its answer.
var batches = map[string]func(body []byte) (int, string){
	"/email/batch":              postmarkBatch,
	"/email/batchWithTemplates": postmarkBatch,
	"/v3/mail/send":             func(body []byte) (int, string) { return max(1, bytes.Count(body, []byte(`"to":[`))), "" },
	"/v3.1/send": func(body []byte) (int, string) {
		var answers []string
		for _, m := range bytes.Split(body, []byte(`"To":[{"Email":"`))[1:] {
			id := ""
			if _, rest, ok := bytes.Cut(m, []byte(`"CustomID":"`)); ok {
				id = `"CustomID":"` + value(rest) + `",`
			}
			answers = append(answers, fmt.Sprintf(`{"Status":"success",%s"To":[{"Email":"%s","MessageUUID":"5d4710f5-9aff-4ff8-9d7e-1f0cf9125019",`+
				`"MessageID":1152921540123456789,"MessageHref":"https://api.mailjet.com/v3/REST/message/1152921540123456789"}],"Cc":[],"Bcc":[]}`, id, value(m)))
		}
		return len(answers), `{"Messages":[` + strings.Join(answers, ",") + "]}"
	},
	"/api/v1/email": func(body []byte) (int, string) {
		return bytes.Count(body, []byte(`"To":[`)), `{"ErrorCode":"Success","MessageResults":null,"TransactionReceipt":null}`
	},
	"/v2/email/outbound-bulk-emails": func(body []byte) (int, string) {
		n := bytes.Count(body, []byte(`"Destination":`))
		one := `{"Status":"SUCCESS","MessageId":"0102019a7b1c2d3e-4f5a6b7c-8d9e-4f01-a2b3-c4d5e6f70809-000000"}`
		return n, `{"BulkEmailEntryResults":[` + strings.Repeat(one+",", n-1) + one + "]}"
	},
}

func postmarkBatch(body []byte) (int, string) {
	var answers []string
	for _, m := range bytes.Split(body, []byte(`"To":"`))[1:] {
		answers = append(answers, fmt.Sprintf(postmarkAnswer, value(m)))
	}
	return len(answers), "[" + strings.Join(answers, ",") + "]"
}

// value is the JSON string that the text is within, as it stands there.
func value(text []byte) string {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return string(text[:i])
		}
	}
	return ""
}

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
		path, slow := strings.CutPrefix(path, "/slow")
		answer, single := singles[path]
		batch := batches[path]
		var body []byte
		var err error
		switch {
		case chunked:
			body, length, err = readChunks(r, batch != nil)
		case batch == nil || length > 1<<20 && path == "/v3/mail/send": // a mail with a file
			_, err = r.Discard(length)
		default:
			body = make([]byte, length)
			_, err = io.ReadFull(r, body)
		}
		if err != nil {
			return
		}
		if slow {
			time.Sleep(latency)
		}
		n := 1
		switch {
		case batch != nil:
			n, answer = batch(body)
		case path == "/count":
			s := fmt.Sprint(accepted.Load(), mails.Load(), octets.Load())
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(s), s)
			return
		case !single:
			io.WriteString(c, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
			continue
		}
		mails.Add(int64(n))
		octets.Add(int64(length))
		if answer == "" {
			io.WriteString(c, "HTTP/1.1 202 Accepted\r\nX-Message-Id: Xj5LmNkWSOqRbdvOpR34BA\r\nContent-Length: 0\r\n\r\n")
			continue
		}
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(answer), answer)
	}
}

// readChunks reads a chunked body without trailers, and tells its length. The body
// itself is nil unless it is to be kept.
func readChunks(r *bufio.Reader, keep bool) (body []byte, length int, err error) {
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return nil, 0, err
		}
		size, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 32)
		if err != nil {
			return nil, 0, err
		}
		length += int(size)
		if keep {
			body = append(body, make([]byte, size)...)
			_, err = io.ReadFull(r, body[length-int(size):])
		} else {
			_, err = r.Discard(int(size))
		}
		if err != nil {
			return nil, 0, err
		}
		if _, err := r.Discard(len("\r\n")); err != nil {
			return nil, 0, err
		}
		if size == 0 {
			return body, length, nil
		}
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
