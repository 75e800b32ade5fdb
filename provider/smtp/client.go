package smtp

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seed355143d4/mailer"
)

const (
	maxReplyLine  = 4096  // bytes; RFC 5321 §4.5.3.1.5 says 512
	maxReplyLines = 128   // of one reply
	maxGroup      = 16384 // bytes of commands written before their answers are read
)

// session is what it takes to connect and log in.
type session struct {
	host, addr         string
	mode               TLS
	tls                *tls.Config
	username, password string
	local              string
	dial               func(ctx context.Context, network, addr string) (net.Conn, error)
}

// conn is one connection, logged in. It is used by one goroutine at a time.
type conn struct {
	*session
	raw net.Conn // for deadlines, and to close without the words of TLS
	nc  net.Conn // raw, or TLS over it
	br  *bufio.Reader
	out []byte

	offered  map[string]string // EHLO keywords in upper case, with their parameters
	messages int               // that were handed over
	reset    bool              // the server may have a transaction open
	dead     bool

	watched chan error // while idle: why the watch ended
}

// past is a deadline that ends all I/O at once.
var past = time.Unix(1, 0)

// guard makes all I/O fail as soon as ctx ends. What it returns ends that, and
// reports whether the connection can still be used.
func (c *conn) guard(ctx context.Context) (release func() bool) {
	return context.AfterFunc(ctx, func() { _ = c.raw.SetDeadline(past) })
}

// broken is the error of an exchange that broke before the mail was written: it
// is NotSent.
func (s *session) broken(ctx context.Context, doing string, err error) *mailer.Error {
	e := &mailer.Error{Provider: provider, Kind: mailer.KindNetwork, NotSent: true, Message: doing, Err: err}
	if cause := ctx.Err(); cause != nil {
		e.Err = cause
		if errors.Is(cause, context.Canceled) {
			e.Kind = mailer.KindCanceled
		}
	}
	return e
}

// connect dials, encrypts and logs in. Any error is a [*mailer.Error], NotSent.
func (s *session) connect(ctx context.Context) (*conn, error) {
	raw, err := s.dial(ctx, "tcp", s.addr)
	if err != nil {
		return nil, s.broken(ctx, "connecting", err)
	}
	c := &conn{session: s, raw: raw, nc: raw}
	release := c.guard(ctx)
	if err := c.open(ctx); err != nil {
		release()
		c.close()
		return nil, err
	}
	if !release() {
		c.close()
		return nil, s.broken(ctx, "connecting", ctx.Err())
	}
	return c, nil
}

func (c *conn) open(ctx context.Context) error {
	if c.mode == Implicit {
		if err := c.encrypt(ctx); err != nil {
			return err
		}
	}
	if c.br == nil {
		c.br = bufio.NewReaderSize(c.nc, maxReplyLine)
	}
	r, err := c.readReply()
	if err != nil {
		return c.broken(ctx, "reading the greeting", err)
	}
	if r.code != 220 {
		return c.refused(greeting, r)
	}
	if err := c.hello(ctx); err != nil {
		return err
	}
	if c.mode == StartTLS {
		if _, ok := c.offered["STARTTLS"]; !ok {
			return &mailer.Error{Provider: provider, Kind: mailer.KindUnavailable, NotSent: true, Message: "the server does not offer STARTTLS"}
		}
		r, err := c.command("STARTTLS")
		if err != nil {
			return c.broken(ctx, "STARTTLS", err)
		}
		if r.code != 220 {
			return c.refused(greeting, r)
		}
		// Whoever speaks before the handshake speaks in clear, and would be taken
		// for the server after it (CVE-2011-0411).
		if c.br.Buffered() > 0 {
			return c.broken(ctx, "STARTTLS", errInjected)
		}
		if err := c.encrypt(ctx); err != nil {
			return err
		}
		// What was offered in clear is not to be believed.
		if err := c.hello(ctx); err != nil {
			return err
		}
	}
	return c.login(ctx)
}

func (c *conn) encrypt(ctx context.Context) error {
	t := tls.Client(c.raw, c.tls)
	if err := t.HandshakeContext(ctx); err != nil {
		return c.broken(ctx, "TLS handshake", err)
	}
	c.nc = t
	c.br = bufio.NewReaderSize(t, maxReplyLine)
	return nil
}

func (c *conn) hello(ctx context.Context) error {
	r, err := c.command("EHLO " + c.local)
	if err != nil {
		return c.broken(ctx, "EHLO", err)
	}
	if r.code != 250 {
		return c.refused(greeting, r)
	}
	c.offered = map[string]string{}
	_, lines, _ := strings.Cut(r.text, "\n")
	for line := range strings.SplitSeq(lines, "\n") {
		keyword, params, _ := strings.Cut(line, " ")
		c.offered[strings.ToUpper(keyword)] = strings.ToUpper(params)
	}
	return nil
}

func (c *conn) offers(keyword string) bool {
	_, ok := c.offered[keyword]
	return ok
}

// login authenticates, over TLS or to a loopback host only: [New] sees to that.
func (c *conn) login(ctx context.Context) error {
	if c.username == "" {
		return nil
	}
	coded := base64.StdEncoding.EncodeToString
	var steps []string // the command, and what answers each 334
	mechanisms := strings.Fields(c.offered["AUTH"])
	for _, m := range mechanisms {
		if m == "PLAIN" {
			steps = []string{"AUTH PLAIN " + coded([]byte("\x00"+c.username+"\x00"+c.password))}
			break
		}
		if m == "LOGIN" {
			steps = []string{"AUTH LOGIN", coded([]byte(c.username)), coded([]byte(c.password))}
		}
	}
	if steps == nil {
		return &mailer.Error{
			Provider: provider, Kind: mailer.KindUnauthorized, NotSent: true,
			Message: "the server offers neither AUTH PLAIN nor AUTH LOGIN",
		}
	}
	for i, step := range steps {
		r, err := c.command(step)
		if err != nil {
			return c.broken(ctx, "AUTH", err)
		}
		if r.code == 334 && i < len(steps)-1 {
			continue
		}
		if r.code != 235 {
			return c.refused(auth, r)
		}
		break
	}
	return nil
}

// command writes one line and reads its reply.
func (c *conn) command(line string) (reply, error) {
	c.out = append(append(c.out[:0], line...), "\r\n"...)
	if _, err := c.nc.Write(c.out); err != nil {
		return reply{}, err
	}
	return c.readReply()
}

// reply is an answer of the server.
type reply struct {
	code     int
	enhanced string // "5.1.1"; RFC 2034
	text     string // without the codes; lines are joined by "\n"
}

var (
	errMalformed = errors.New("the server's reply is malformed")
	errTooLong   = errors.New("the server's reply is too long")
	errInjected  = errors.New("the server spoke between STARTTLS and the handshake")
)

func (c *conn) readReply() (reply, error) {
	var r reply
	for n := range maxReplyLines {
		line, err := c.br.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return r, errTooLong
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return r, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) < 3 || line[0] < '2' || line[0] > '5' || len(line) > 3 && line[3] != ' ' && line[3] != '-' {
			return r, errMalformed
		}
		code, err := strconv.Atoi(string(line[:3]))
		if err != nil || code < 200 || n > 0 && code != r.code {
			return r, errMalformed
		}
		r.code = code
		last := len(line) == 3 || line[3] == ' '
		text := ""
		if len(line) > 4 {
			text = string(line[4:])
		}
		// SocketLabs says "452 5.5.3".
		if status, rest := cutEnhanced(text); status != "" && (status[0] >= '4') == (line[0] >= '4') {
			r.enhanced, text = status, rest
		}
		if n > 0 {
			text = r.text + "\n" + text
		}
		r.text = text
		if last {
			return r, nil
		}
	}
	return r, errTooLong
}

// cutEnhanced cuts a status code of RFC 3463 off the front of s.
func cutEnhanced(s string) (status, rest string) {
	word, rest, _ := strings.Cut(s, " ")
	class, detail, ok := strings.Cut(word, ".")
	subject, detail, ok2 := strings.Cut(detail, ".")
	if !ok || !ok2 || len(class) != 1 || !isNumber(class) || !isNumber(subject) || !isNumber(detail) {
		return "", s
	}
	return word, rest
}

func isNumber(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != "" && len(s) <= 3
}

// outcome is what became of a transaction.
type outcome struct {
	answer   reply // to the final dot, if err is nil
	rejected []mailer.Rejection
	err      error
	stale    bool // the connection ended before any of the mail was written
}

// transact hands one mail over. If the connection cannot be used afterwards, it is
// marked dead.
func (c *conn) transact(ctx context.Context, r *request) outcome {
	if err := c.fits(r); err != nil {
		return outcome{err: err}
	}
	release := c.guard(ctx)
	o := c.exchange(ctx, r)
	if !release() {
		c.dead = true // its deadline has passed
	}
	return o
}

// fits compares a request with what the server offers.
func (c *conn) fits(r *request) error {
	if r.utf8 != "" && !(c.offers("SMTPUTF8") && c.offers("8BITMIME")) {
		return &mailer.Error{
			Provider: provider, Kind: mailer.KindUnsupported, NotSent: true, Field: r.utf8,
			Message: "the server does not take a local part outside ASCII (SMTPUTF8)",
		}
	}
	limit, err := strconv.ParseInt(c.offered["SIZE"], 10, 64)
	if err == nil && limit > 0 && r.mail.Size() > limit {
		return &mailer.Error{
			Provider: provider, Kind: mailer.KindTooLarge, NotSent: true,
			Message: fmt.Sprintf("the mail has %d bytes, over the server's limit of %d", r.mail.Size(), limit),
		}
	}
	return nil
}

// transaction is the state between MAIL and the end of the mail.
type transaction struct {
	*conn
	r        *request
	awaited  []int // what the commands were that are not yet answered
	mail     *mailer.Error
	accepted int
	rejected []mailer.Rejection
	data     reply
	closing  *mailer.Error // a 421: the server ends the connection
}

// What is awaited: an index into the recipients, or one of these.
const (
	awaitReset = -1 - iota
	awaitMail
	awaitData
)

func (c *conn) exchange(ctx context.Context, r *request) outcome {
	t := transaction{conn: c, r: r, awaited: make([]int, 0, len(r.to)+3)}
	kept := c.messages > 0
	if err := t.envelope(); err != nil {
		c.dead = true
		return outcome{err: c.broken(ctx, "sending the envelope", err), stale: kept}
	}
	c.reset = true
	if t.closing != nil {
		c.dead = true
		return outcome{err: t.closing, stale: kept}
	}
	if t.mail != nil || t.accepted == 0 {
		if t.data.code/100 == 3 {
			// RFC 2920 §3.1: nobody is to get the mail, but the server waits for
			// one. With no recipient it delivers nothing and answers 554.
			if _, err := c.command("."); err != nil {
				c.dead = true
			}
		}
		if t.mail != nil {
			return outcome{err: t.mail}
		}
		return outcome{err: allRejected(t.rejected)}
	}
	if t.data.code/100 != 3 {
		return outcome{err: c.refused(data, t.data)}
	}

	complete, err := c.writeMail(r)
	if err != nil {
		c.dead = true
		e := c.broken(ctx, "sending the mail", err)
		e.NotSent = !complete
		if !complete && ctx.Err() == nil {
			// A server that had enough may have said why.
			_ = c.raw.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			if last, err := c.readReply(); err == nil && last.code >= 400 {
				e = c.refused(data, last)
			}
		}
		return outcome{err: e}
	}
	answer, err := c.readReply()
	if err == nil && answer.code/100 == 3 {
		err = errMalformed
	}
	if err != nil {
		c.dead = true
		e := c.broken(ctx, "waiting for the answer to the mail", err)
		e.NotSent = false
		return outcome{err: e}
	}
	c.dead = answer.code == 421
	if answer.code >= 400 {
		return outcome{err: c.refused(data, answer)}
	}
	c.messages++
	c.reset = false
	return outcome{answer: answer, rejected: t.rejected}
}

// envelope says everything up to DATA, in one write where the server can take it,
// and reads the answers.
func (t *transaction) envelope() error {
	pipelining := t.offers("PIPELINING")
	t.out = t.out[:0]
	say := func(what int, parts ...string) (goOn bool, err error) {
		for _, s := range parts {
			t.out = append(t.out, s...)
		}
		t.out = append(t.out, "\r\n"...)
		t.awaited = append(t.awaited, what)
		if !pipelining || len(t.out) > maxGroup {
			err = t.flush()
		}
		return err == nil && t.mail == nil && t.closing == nil, err
	}
	if t.reset {
		if ok, err := say(awaitReset, "RSET"); !ok {
			return err
		}
	}
	params := ""
	if t.offers("SIZE") {
		params = " SIZE=" + strconv.FormatInt(t.r.mail.Size(), 10)
	}
	if t.r.utf8 != "" {
		params += " BODY=8BITMIME SMTPUTF8"
	}
	if ok, err := say(awaitMail, "MAIL FROM:<", t.r.from, ">", params); !ok {
		return err
	}
	for i, to := range t.r.to {
		if ok, err := say(i, "RCPT TO:<", to.address, ">"); !ok {
			return err
		}
	}
	if !pipelining && t.accepted == 0 {
		return nil
	}
	if ok, err := say(awaitData, "DATA"); !ok {
		return err
	}
	return t.flush()
}

// flush writes what was said and reads an answer to each command.
func (t *transaction) flush() error {
	if len(t.awaited) == 0 {
		return nil
	}
	if _, err := t.nc.Write(t.out); err != nil {
		return err
	}
	t.out = t.out[:0]
	for _, what := range t.awaited {
		r, err := t.readReply()
		if err != nil {
			return err
		}
		if r.code == 421 {
			t.closing = t.refused(phaseOf(what), r)
			return nil
		}
		if what == awaitData && r.code/100 == 2 || what != awaitData && r.code/100 == 3 {
			return errMalformed // an answer to something else
		}
		switch {
		case what == awaitReset:
		case what == awaitData:
			t.data = r
		case what == awaitMail:
			if r.code/100 != 2 {
				t.mail = t.refused(mail, r)
			}
		case r.code/100 == 2:
			t.accepted++
		default:
			e := t.refused(rcpt, r)
			e.Field = t.r.to[what].field
			t.rejected = append(t.rejected, mailer.Rejection{Address: t.r.to[what].address, Err: e})
		}
	}
	t.awaited = t.awaited[:0]
	return nil
}

func phaseOf(what int) phase {
	switch what {
	case awaitReset, awaitMail:
		return mail
	case awaitData:
		return data
	}
	return rcpt
}

// allRejected is the error of a message that no recipient was accepted for. A
// recipient who is refused for good decides, so that nobody tries elsewhere.
func allRejected(rejected []mailer.Rejection) error {
	var decides *mailer.Error
	for _, r := range rejected {
		e, ok := r.Err.(*mailer.Error)
		if !ok || e.Kind != mailer.KindRecipient {
			continue
		}
		if decides == nil {
			decides = e
		}
		decides.Recipients = append(decides.Recipients, r.Address)
	}
	if decides != nil {
		return decides
	}
	return rejected[0].Err
}

var buffers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, 32<<10) }}

// writeMail writes the mail and the final dot. complete reports whether the dot
// was written to its end, whatever the error.
func (c *conn) writeMail(r *request) (complete bool, err error) {
	count := &counter{w: c.nc}
	buffer := buffers.Get().(*bufio.Writer)
	buffer.Reset(count)
	defer func() {
		buffer.Reset(nil)
		buffers.Put(buffer)
	}()
	d := &dotWriter{w: buffer, lineStart: true}
	if _, err := r.mail.WriteTo(d); err != nil {
		return false, err
	}
	if err := d.end(); err != nil {
		return count.n >= d.n, err
	}
	return true, nil
}

// counter counts the bytes that the connection took.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// dotWriter doubles a dot at the start of a line: RFC 5321 §4.5.2. It takes a bare
// LF for the end of a line too, so that not even a server that does so can see an
// end of the mail in its middle (CVE-2023-51764).
type dotWriter struct {
	w         *bufio.Writer
	n         int64 // bytes for w
	lineStart bool
}

func (d *dotWriter) Write(p []byte) (int, error) {
	size := len(p)
	for len(p) > 0 {
		if d.lineStart && p[0] == '.' {
			d.n++
			_ = d.w.WriteByte('.') // a failure stays with w
		}
		line := p
		if i := bytes.Index(p, []byte("\n.")); i >= 0 {
			line = p[:i+1]
		}
		d.n += int64(len(line))
		if _, err := d.w.Write(line); err != nil {
			return 0, err
		}
		d.lineStart = line[len(line)-1] == '\n'
		p = p[len(line):]
	}
	return size, nil
}

// end writes the final dot and all that is still buffered.
func (d *dotWriter) end() error {
	last := ".\r\n"
	if !d.lineStart {
		last = "\r\n.\r\n"
	}
	d.n += int64(len(last))
	if _, err := d.w.WriteString(last); err != nil {
		return err
	}
	return d.w.Flush()
}

// close ends the connection at once.
func (c *conn) close() {
	c.dead = true
	_ = c.raw.Close()
}

// quit takes leave, without waiting for an answer.
func (c *conn) quit() {
	_ = c.raw.SetDeadline(time.Now().Add(time.Second))
	_, _ = io.WriteString(c.nc, "QUIT\r\n")
	c.close()
}
