package inbox

import (
	"embed"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"html/template"
	"maps"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed355143d4/mailer"
)

//go:embed templates assets
var files embed.FS

var pages = template.Must(template.New("").ParseFS(files, "templates/*.html"))

// pageSize is how many messages the list shows at once.
const pageSize = 100

// row is a message in the list.
type row struct {
	ID       int64
	Unread   bool
	From, To string
	Subject  string
	Preview  string
	Via      string
	ViaColor int
	Files    int
	Note     string // the newest
	Time     stamp
}

// stamp is a time for people and for programs.
type stamp struct{ Short, Long, Machine string }

func newStamp(t time.Time) stamp {
	s := stamp{Short: t.Format("15:04"), Long: t.Format("Monday, 2 January 2006, 15:04:05"), Machine: t.Format(time.RFC3339)}
	if now := time.Now(); t.YearDay() != now.YearDay() || t.Year() != now.Year() {
		s.Short = t.Format("2 Jan")
	}
	return s
}

type listPage struct {
	Root    string
	Query   string
	Rows    []row
	Found   int // messages that match, on all pages
	Total   int
	Unread  int
	Version string
	Older   int64 // the ID to read on before. 0: there are no more
	Live    bool
}

func (in *Inbox) servePage(w http.ResponseWriter, r *http.Request) {
	q := strings.TrimSpace(r.URL.Query().Get("q"))
	before, err := parseID(r.URL.Query().Get("before"))
	if err != nil {
		before = 0
	}
	// The version first: mail that comes between the two is read once more.
	p := listPage{Root: "./", Query: q, Live: before == 0}
	p.Version, _ = in.state()
	all := in.list("", "")
	p.Total = len(all)
	words := strings.Fields(strings.ToLower(q))
	for _, e := range all {
		if !e.read.Load() {
			p.Unread++
		}
		if !e.matches(words) {
			continue
		}
		p.Found++
		if before != 0 && e.ID >= before {
			continue
		}
		if len(p.Rows) == pageSize {
			p.Older = p.Rows[pageSize-1].ID
			continue
		}
		p.Rows = append(p.Rows, newRow(e))
	}
	writePage(w, "list.html", p)
}

func newRow(e *entry) row {
	m := &e.Message
	to := slices.Concat(m.To, m.Cc, m.Bcc)
	x := row{
		ID: e.ID, Unread: !e.read.Load(), From: display(m.From), Subject: subject(m), Preview: preview(*m),
		Via: e.Via, ViaColor: color(e.Via), Files: len(m.Attachments), Time: newStamp(e.Time),
	}
	if notes := e.noted(); len(notes) > 0 {
		x.Note = notes[len(notes)-1]
	}
	if len(to) > 0 {
		x.To = to[0].Address
	}
	if len(to) > 1 {
		x.To += fmt.Sprintf(" and %d more", len(to)-1)
	}
	return x
}

func display(a mailer.Address) string {
	if a.Name != "" {
		return a.Name
	}
	return a.Address
}

func subject(m *mailer.Message) string {
	switch {
	case strings.TrimSpace(m.Subject) != "":
		return m.Subject
	case m.Template.ID != "":
		return "Template " + m.Template.ID
	}
	return "(no subject)"
}

// color picks one of the style sheet's colors for a service.
func color(via string) int {
	h := fnv.New32a()
	h.Write([]byte(via))
	return int(h.Sum32() % 6)
}

// remoteImage finds images that an HTML body wants to load from elsewhere.
var remoteImage = regexp.MustCompile(`(?i)<img\b[^>]*\bsrc\s*=\s*["']?\s*(https?:)?//`)

type messagePage struct {
	Root        string
	ID          int64
	Subject     string
	From        string
	To          []mailer.Address
	Time        stamp
	Via         string
	ViaColor    int
	Notes       []string
	View        string // "html", "text" or "details"
	HasHTML     bool
	HasText     bool
	Parts       []part
	Sandbox     string
	Remote      bool // the HTML body names remote images
	Fields      []field
	Attachments []file
	Newer       int64
	Older       int64
}

// field is a field of the message with its values.
type field struct {
	Name   string
	Values []string
	Code   bool // shown as code, with its line breaks
}

type file struct {
	Index  int
	Name   string
	Type   string
	Size   string
	Inline bool
}

func (in *Inbox) serveMessage(w http.ResponseWriter, r *http.Request) {
	e := in.byID(r)
	if e == nil {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", pagePolicy)
		w.WriteHeader(http.StatusNotFound)
		_ = pages.ExecuteTemplate(w, "gone.html", struct{ Root string }{"../"})
		return
	}
	e.read.Store(true)
	m := &e.Message
	p := messagePage{
		Root: "../", ID: e.ID, Subject: subject(m), From: mailbox(m.From), To: m.To, Time: newStamp(e.Time),
		Via: e.Via, ViaColor: color(e.Via), Notes: e.noted(), HasHTML: m.HTML != "", HasText: m.Text != "",
		Sandbox: mailSandbox, Remote: remoteImage.MatchString(m.HTML),
	}
	view := r.URL.Query().Get("view")
	switch {
	case view == "details", !p.HasHTML && !p.HasText:
		p.View, p.Fields = "details", fields(e)
	case p.HasHTML && (view != "text" || !p.HasText):
		p.View = "html"
	default:
		p.View, p.Parts = "text", parts(m.Text)
	}
	for i, a := range m.Attachments {
		p.Attachments = append(p.Attachments, file{
			Index: i, Name: a.Name, Type: contentType(a), Size: bytesText(len(a.Content)), Inline: a.ContentID != "",
		})
	}
	p.Newer, p.Older = in.beside(e.ID)
	writePage(w, "message.html", p)
}

// beside returns the IDs of the entries next to id. 0: there is none.
func (in *Inbox) beside(id int64) (newer, older int64) {
	es, _ := in.after(0)
	for i, e := range es {
		if e.ID == id {
			if i > 0 {
				older = es[i-1].ID
			}
			if i+1 < len(es) {
				newer = es[i+1].ID
			}
		}
	}
	return newer, older
}

func mailbox(a mailer.Address) string {
	if a.Name == "" {
		return a.Address
	}
	return a.Name + " <" + a.Address + ">"
}

func mailboxes(as []mailer.Address) []string {
	var out []string
	for _, a := range as {
		out = append(out, mailbox(a))
	}
	return out
}

// fields lists all that a message has.
func fields(e *entry) []field {
	m := &e.Message
	var out []field
	add := func(name string, values ...string) {
		values = slices.DeleteFunc(values, func(s string) bool { return s == "" })
		if len(values) > 0 {
			out = append(out, field{Name: name, Values: values})
		}
	}
	pairs := func(m map[string]string) []string {
		var out []string
		for _, k := range slices.Sorted(maps.Keys(m)) {
			out = append(out, k+": "+m[k])
		}
		return out
	}
	add("ID", m.ID)
	add("Entry", strconv.FormatInt(e.ID, 10))
	add("Delivered by", e.Via)
	add("Notes", e.noted()...)
	add("Time", e.Time.Format(time.RFC3339))
	add("From", mailbox(m.From))
	add("To", mailboxes(m.To)...)
	add("Cc", mailboxes(m.Cc)...)
	add("Bcc", mailboxes(m.Bcc)...)
	add("Reply-To", mailboxes(m.ReplyTo)...)
	add("Subject", m.Subject)
	add("Headers", pairs(m.Headers)...)
	add("Unsubscribe", m.Unsubscribe.URL, m.Unsubscribe.Mailto)
	add("Tags", m.Tags...)
	add("Metadata", pairs(m.Metadata)...)
	if t := m.Track; t != (mailer.Tracking{}) {
		add("Track", "opens: "+switchName(t.Opens), "clicks: "+switchName(t.Clicks))
	}
	add("Template", m.Template.ID)
	if m.Template.Data != nil {
		data, err := json.MarshalIndent(m.Template.Data, "", "  ")
		if err != nil {
			data = []byte(err.Error())
		}
		out = append(out, field{Name: "Template data", Values: []string{string(data)}, Code: true})
	}
	if !m.SendAt.IsZero() {
		add("Send at", m.SendAt.Format(time.RFC3339))
	}
	if m.AllowDuplicate {
		add("Allow duplicate", "yes")
	}
	for _, x := range m.Extras {
		add("Extras", fmt.Sprintf("%T", x))
	}
	if m.HTML != "" {
		out = append(out, field{Name: "HTML source", Values: []string{m.HTML}, Code: true})
	}
	return out
}

func bytesText(n int) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1000*1000:
		return fmt.Sprintf("%.1f kB", float64(n)/1000)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1000/1000)
}

func writePage(w http.ResponseWriter, name string, data any) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	_ = pages.ExecuteTemplate(w, name, data) // fails only if the client went away
}

func (in *Inbox) serveHTML(w http.ResponseWriter, r *http.Request) {
	e := in.byID(r)
	if e == nil || e.Message.HTML == "" {
		notFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", mailPolicy)
	_ = writeHTML(w, e.Message) // fails only if the client went away
}

func (in *Inbox) serveAttachment(w http.ResponseWriter, r *http.Request) {
	e := in.byID(r)
	n, err := parseID(r.PathValue("n"))
	if e == nil || err != nil || n >= int64(len(e.Message.Attachments)) {
		notFound(w, r)
		return
	}
	a := e.Message.Attachments[n]
	h := w.Header()
	// Never the sender's own type: a file is for saving, not for showing.
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", disposition(a.Name))
	h.Set("Content-Length", strconv.Itoa(len(a.Content)))
	w.Write(a.Content)
}

// disposition names a file for saving: in ASCII, and as it is (RFC 6266, RFC 5987).
func disposition(name string) string {
	if name == "" {
		name = "attachment"
	}
	var ascii, ext strings.Builder
	for _, r := range name {
		if r < ' ' || r > '~' || strings.ContainsRune(`"\/%;`, r) {
			r = '_'
		}
		ascii.WriteRune(r)
	}
	for _, b := range []byte(name) {
		if b >= '0' && b <= '9' || b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z' || b == '.' || b == '-' || b == '_' {
			ext.WriteByte(b)
		} else {
			fmt.Fprintf(&ext, "%%%02X", b)
		}
	}
	return `attachment; filename="` + ascii.String() + `"; filename*=UTF-8''` + ext.String()
}

// assetTypes does not depend on the machine, as package mime's table does.
var assetTypes = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
}

func (in *Inbox) serveAsset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	b, err := files.ReadFile("assets/" + name)
	if err != nil {
		notFound(w, r)
		return
	}
	w.Header().Set("Content-Type", assetTypes[path.Ext(name)])
	w.Write(b)
}
