package providertest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
)

// clone copies the message deeply. Slices get room for one more element.
func clone(m mailer.Message) mailer.Message {
	m.To, m.Cc, m.Bcc, m.ReplyTo = room(m.To), room(m.Cc), room(m.Bcc), room(m.ReplyTo)
	m.Tags, m.Extras, m.Attachments = room(m.Tags), room(m.Extras), room(m.Attachments)
	for i, a := range m.Attachments {
		m.Attachments[i].Content = room(a.Content)
	}
	m.Headers, m.Metadata = maps.Clone(m.Headers), maps.Clone(m.Metadata)
	if m.Template.Data != nil {
		m.Template.Data = cloneJSON(m.Template.Data).(map[string]any)
	}
	return m
}

// room copies a slice with one unused element behind it.
func room[T any](s []T) []T {
	if s == nil {
		return nil
	}
	c := make([]T, len(s), len(s)+1)
	copy(c, s)
	return c
}

func cloneJSON(v any) any {
	switch v := v.(type) {
	case map[string]any:
		c := make(map[string]any, len(v))
		for k, x := range v {
			c[k] = cloneJSON(x)
		}
		return c
	case []any:
		c := make([]any, len(v), len(v)+1)
		for i, x := range v {
			c[i] = cloneJSON(x)
		}
		return c
	}
	return v
}

// difference names the first field that is not the same in both, or whose unused
// room is not.
func difference(want, got mailer.Message) string {
	w, g := reflect.ValueOf(full(want)), reflect.ValueOf(full(got))
	for i := range w.NumField() {
		if !reflect.DeepEqual(w.Field(i).Interface(), g.Field(i).Interface()) {
			return fmt.Sprintf("%s was %+v and is %+v", w.Type().Field(i).Name, w.Field(i), g.Field(i))
		}
	}
	return ""
}

// full is the message with its slices grown over their unused room.
func full(m mailer.Message) mailer.Message {
	m.To, m.Cc, m.Bcc, m.ReplyTo = m.To[:cap(m.To)], m.Cc[:cap(m.Cc)], m.Bcc[:cap(m.Bcc)], m.ReplyTo[:cap(m.ReplyTo)]
	m.Tags, m.Extras = m.Tags[:cap(m.Tags)], m.Extras[:cap(m.Extras)]
	m.Attachments = slices.Clone(m.Attachments[:cap(m.Attachments)])
	for i, a := range m.Attachments {
		m.Attachments[i].Content = a.Content[:cap(a.Content)]
	}
	return m
}

// noise is n bytes without a pattern, always the same.
func noise(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// tree walks over err and all that it wraps.
func tree(err error) iter.Seq[error] {
	return func(yield func(error) bool) { walk(err, yield) }
}

func walk(err error, yield func(error) bool) bool {
	if err == nil {
		return true
	}
	if !yield(err) {
		return false
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return walk(e.Unwrap(), yield)
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			if !walk(err, yield) {
				return false
			}
		}
	}
	return true
}

// secrets are the secrets of the Spec, and how they look on the wire.
func (s *suite) secrets(service Service) []string {
	all := slices.Clone(s.Secrets)
	for _, secret := range s.Secrets {
		all = append(all, base64.StdEncoding.EncodeToString([]byte(secret)), url.QueryEscape(secret))
	}
	if service != nil {
		for _, q := range service.Requests() {
			all = append(all, q.Credentials...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// noSecret fails if v shows a secret in any of the ways in which a program would
// print or log it.
func noSecret(t *testing.T, secrets []string, what string, v any) {
	t.Helper()
	forms := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		forms[verb] = fmt.Sprintf(verb, v)
	}
	forms["%+v of a struct with it"] = fmt.Sprintf("%+v", struct{ V any }{v})
	forms["%#v of a list with it"] = fmt.Sprintf("%#v", []any{v})
	var text, lines bytes.Buffer
	slog.New(slog.NewTextHandler(&text, nil)).Info("sent", "it", v)
	slog.New(slog.NewJSONHandler(&lines, nil)).Info("sent", "it", v)
	forms["slog as text"], forms["slog as JSON"] = text.String(), lines.String()
	if data, err := json.Marshal(v); err == nil {
		forms["JSON"] = string(data)
	}
	for form, text := range forms {
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows a secret in %s: %s", what, form, strings.ReplaceAll(text, secret, "{SECRET}"))
				return
			}
		}
	}
}

// testPrinting prints the configuration and a provider.
func (s *suite) testPrinting(t *testing.T) {
	secrets := s.secrets(nil)
	_, p := s.start(t, s.Peer)
	noSecret(t, secrets, "the provider", p)
	require.NotNil(t, s.Config, "Spec.Config")
	noSecret(t, secrets, "Config", s.Config)
	if v := reflect.ValueOf(s.Config); v.Kind() == reflect.Struct {
		pointer := reflect.New(v.Type())
		pointer.Elem().Set(v)
		noSecret(t, secrets, "a pointer to Config", pointer.Interface())
	}
}

// said collects what a JSON value says. A string that is itself JSON counts as
// what it holds, too.
func said(all []Said, where string, v any) []Said {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			all = said(all, strings.TrimPrefix(where+"."+k, "."), v[k])
		}
	case []any:
		for _, x := range v {
			all = said(all, where, x)
		}
	case string:
		all = append(all, Said{where, v})
		var inner any
		if strings.HasPrefix(v, "{") && unmarshal([]byte(v), &inner) == nil {
			all = said(all, where, inner)
		}
	case json.Number:
		all = append(all, Said{where, v.String()})
	case bool:
		all = append(all, Said{where, strconv.FormatBool(v)})
	}
	return all
}

// saidForm collects what a form says.
func saidForm(all []Said, form url.Values) []Said {
	for _, k := range slices.Sorted(maps.Keys(form)) {
		for _, v := range form[k] {
			all = said(all, k, v)
		}
	}
	return all
}

// saidParts collects what a multipart form says.
func saidParts(all []Said, body []byte, boundary string) []Said {
	r := multipart.NewReader(bytes.NewReader(body), boundary)
	for {
		part, err := r.NextPart()
		if err != nil {
			return all
		}
		content, _ := io.ReadAll(part)
		all = said(all, part.FormName(), string(content))
		all = append(all, Said{part.FormName(), part.FileName()}, Said{part.FormName(), part.Header.Get("Content-Type")})
	}
}

// plain makes texts comparable that differ in their line ends only.
func plain(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }

// contains reports whether the request says text anywhere, encoded words decoded.
func contains(q Request, text string) bool {
	text = strings.TrimRight(plain(text), "\n")
	return slices.ContainsFunc(q.Said, func(s Said) bool {
		if strings.Contains(plain(s.What), text) {
			return true
		}
		if !strings.Contains(s.What, "=?") {
			return false
		}
		decoded, err := new(mime.WordDecoder).DecodeHeader(s.What)
		return err == nil && strings.Contains(decoded, text)
	})
}

// domains are the international domains of Messages in ASCII.
var domains = strings.NewReplacer(
	"m\u00fcller.example", "xn--mller-kva.example",
	"b\u00fccher.example", "xn--bcher-kva.example",
	"\u4f8b\u3048.example", "xn--r8jz45g.example",
)

// ascii is the form in which the suite compares addresses.
func ascii(address string) string { return domains.Replace(strings.ToLower(address)) }

// mailbox is an address that a request says.
type mailbox struct{ where, name, address string }

// mailboxes are all the addresses that a request says, one by one or in lists.
func mailboxes(q Request) []mailbox {
	var all []mailbox
	for _, s := range q.Said {
		if !strings.Contains(s.What, "@") {
			continue
		}
		list, err := mail.ParseAddressList(s.What)
		if err != nil {
			continue
		}
		for _, a := range list {
			all = append(all, mailbox{s.Where, a.Name, ascii(a.Address)})
		}
	}
	return all
}

// places are where each address stands, sorted; a place that stands twice is two.
func places(q Request) map[string][]string {
	all := map[string][]string{}
	for _, m := range mailboxes(q) {
		all[m.address] = append(all[m.address], m.where)
	}
	for _, where := range all {
		slices.Sort(where)
	}
	return all
}

// says fails if the request lacks something of the message that was not dropped.
// The name of a blind copy, which nobody sees, has a place over HTTP only.
func (s *suite) says(t *testing.T, q Request, m mailer.Message, r mailer.Receipt) {
	t.Helper()
	must := func(field, text string) {
		t.Helper()
		if text != "" && !contains(q, text) {
			t.Errorf("the request does not say %s: %.200q", field, text)
		}
	}
	kept := func(fields ...string) bool {
		return !slices.ContainsFunc(fields, func(f string) bool { return slices.Contains(r.Dropped, f) })
	}

	_, overHTTP := s.Peer.(HTTP)
	boxes := mailboxes(q)
	known := map[string]bool{}
	people := func(field string, list []mailer.Address) {
		t.Helper()
		for i, a := range list {
			known[ascii(a.Address)] = true
			at := slices.IndexFunc(boxes, func(b mailbox) bool { return b.address == ascii(a.Address) })
			if at < 0 {
				t.Errorf("the request does not say %s[%d]: %s", field, i, a.Address)
				continue
			}
			named := slices.ContainsFunc(boxes, func(b mailbox) bool { return b.address == ascii(a.Address) && b.name == a.Name }) ||
				slices.ContainsFunc(q.Said, func(s Said) bool { return s.What == a.Name })
			if a.Name != "" && !named && (overHTTP || field != "Bcc") {
				t.Errorf("the request does not say the name of %s[%d]: %s", field, i, a.Name)
			}
		}
	}
	people("From", []mailer.Address{m.From})
	first := map[string]bool{}
	for _, l := range []struct {
		field string
		list  []mailer.Address
	}{{"To", m.To}, {"Cc", m.Cc}, {"Bcc", m.Bcc}} {
		var once []mailer.Address
		for _, a := range l.list {
			if !first[ascii(a.Address)] {
				once = append(once, a)
			}
			first[ascii(a.Address)] = true
		}
		people(l.field, once)
	}
	people("ReplyTo", m.ReplyTo)
	for _, s := range q.Said {
		list, err := mail.ParseAddressList(s.What)
		if err != nil || !slices.ContainsFunc(list, func(a *mail.Address) bool { return known[ascii(a.Address)] }) {
			continue
		}
		for _, a := range list {
			if !known[ascii(a.Address)] {
				t.Errorf("the request adds a mailbox that the message does not have: %s in %q", a.Address, s.What)
			}
		}
	}

	must("ID", r.ID)
	must("Subject", m.Subject)
	must("Text", m.Text)
	must("HTML", m.HTML)
	for i, a := range m.Attachments {
		field := fmt.Sprintf("Attachments[%d]", i)
		must(field+".Name", a.Name)
		must(field+".ContentType", a.ContentType)
		must(field+".ContentID", a.ContentID)
		if !slices.ContainsFunc(q.Said, func(s Said) bool { return isContent(s.What, a.Content) }) {
			t.Errorf("the request does not hold the bytes of %s", field)
		}
	}
	for k, v := range m.Headers {
		must("the value of Headers["+k+"]", v)
		key(t, q, "Headers", k)
	}
	must("Unsubscribe.URL", m.Unsubscribe.URL)
	must("Unsubscribe.Mailto", m.Unsubscribe.Mailto)
	if m.Unsubscribe.URL != "" {
		must("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")
	}
	for i, tag := range m.Tags {
		if kept("Tags", fmt.Sprintf("Tags[%d]", i)) {
			must(fmt.Sprintf("Tags[%d]", i), tag)
		}
	}
	for k, v := range m.Metadata {
		if kept("Metadata", fmt.Sprintf("Metadata[%q]", k)) {
			must("the value of Metadata["+k+"]", v)
			key(t, q, "Metadata", k)
		}
	}
	must("Template.ID", m.Template.ID)
	if data, err := json.Marshal(m.Template.Data); err == nil && m.Template.Data != nil {
		var v any
		require.NoError(t, unmarshal(data, &v))
		for _, s := range said(nil, "", v) {
			must("Template.Data: "+s.Where, s.What)
		}
	}
	if m.SendAt.After(time.Now()) && !saysTime(q, m.SendAt) { // a time gone by is now
		t.Errorf("the request does not say SendAt: %v", m.SendAt)
	}
}

// isContent reports whether text is the content, as it is or in base64.
func isContent(text string, content []byte) bool {
	if text == string(content) {
		return true
	}
	if len(text) < base64.StdEncoding.EncodedLen(len(content)) {
		return false
	}
	decoded, err := base64.StdEncoding.DecodeString(text) // which skips line ends
	return err == nil && bytes.Equal(decoded, content)
}

// key requires that the request says the name of a header or of an entry, as a
// key or as a value.
func key(t *testing.T, q Request, field, k string) {
	t.Helper()
	if !slices.ContainsFunc(q.Said, func(s Said) bool {
		return strings.EqualFold(s.What, k) || strings.HasSuffix(strings.ToLower("."+s.Where), strings.ToLower("."+k))
	}) {
		t.Errorf("the request does not say the key %s[%q]", field, k)
	}
}

// saysTime reports whether the request says the time in one of the usual forms,
// or as the minutes or seconds until then, for a time that is one hour ahead.
func saysTime(q Request, at time.Time) bool {
	if slices.ContainsFunc(timeForms(at), func(form string) bool { return contains(q, form) }) {
		return true
	}
	return slices.ContainsFunc(q.Said, func(s Said) bool {
		n, err := strconv.Atoi(s.What)
		return err == nil && (n == 60 || n == 3600)
	})
}
