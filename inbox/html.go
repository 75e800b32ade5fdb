package inbox

import (
	"encoding/base64"
	"html"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/seed355143d4/mailer"
)

// embedBudget is the most bytes of images that are written into one HTML body.
// A body that shows one image a million times stays bounded.
const embedBudget = 64 << 20

// cidRef finds what may be a reference to an inline image: after the quote, the
// equals sign or the bracket that opens an attribute's value or a CSS url.
var cidRef = regexp.MustCompile(`(?i)(["'=(]\s*)(cid:([^\s"'<>()]+))`)

// connecting finds the elements for which a browser connects to another host
// although the policy forbids the request: preconnect, and a frame's address.
var connecting = regexp.MustCompile(`(?i)<(i?frame|link)\b`)

// writeHTML writes the HTML body of m so that its links open in a new tab and its
// own images show, with elements unknown to browsers in place of frames and links to
// resources. The images become data URLs, since a sandboxed document, whose
// origin is nobody's, may fetch nothing from here. What keeps scripts out is the
// policy sent with it, not this.
func writeHTML(w io.Writer, m mailer.Message) error {
	images := make(map[string]string) // by Content-ID; made when first used
	budget := embedBudget
	body := connecting.ReplaceAllString(m.HTML, "<x-$1")

	// The base has to come first, but behind the doctype, which decides how the
	// body is laid out.
	start := doctypeEnd(body)
	if _, err := io.WriteString(w, body[:start]+`<base target="_blank">`); err != nil {
		return err
	}
	body = body[start:]

	at := 0
	for _, loc := range cidRef.FindAllStringSubmatchIndex(body, -1) {
		image := inlineImage(m, body[loc[6]:loc[7]], images)
		if image == "" || len(image) > budget {
			continue
		}
		budget -= len(image)
		for _, s := range []string{body[at:loc[4]], image} {
			if _, err := io.WriteString(w, s); err != nil {
				return err
			}
		}
		at = loc[5]
	}
	_, err := io.WriteString(w, body[at:])
	return err
}

func doctypeEnd(body string) int {
	rest := strings.TrimLeft(body, "\ufeff \t\r\n\f")
	const doctype = "<!doctype"
	if len(rest) < len(doctype) || !strings.EqualFold(rest[:len(doctype)], doctype) {
		return 0
	}
	if i := strings.IndexByte(rest, '>'); i >= 0 {
		return len(body) - len(rest) + i + 1
	}
	return 0
}

// inlineImage returns the data URL of the image whose Content-ID is exactly what
// ref says, as it is, HTML-escaped or percent-encoded. Empty: there is none.
func inlineImage(m mailer.Message, ref string, images map[string]string) string {
	plain := html.UnescapeString(ref)
	decoded, err := url.PathUnescape(plain)
	if err != nil {
		decoded = plain
	}
	for _, a := range m.Attachments {
		if a.ContentID == "" || a.ContentID != plain && a.ContentID != decoded {
			continue
		}
		if image, ok := images[a.ContentID]; ok {
			return image
		}
		if t := imageType(a); t != "" {
			images[a.ContentID] = "data:" + t + ";base64," + base64.StdEncoding.EncodeToString(a.Content)
		}
		return images[a.ContentID]
	}
	return ""
}

// imageType returns the type of an attachment that an HTML body may show, empty
// for none. SVG is not among them: it is a document, not only a picture.
func imageType(a mailer.Attachment) string {
	t, _, err := mime.ParseMediaType(a.ContentType)
	if err != nil || t == "application/octet-stream" {
		t = http.DetectContentType(a.Content)
	}
	switch t {
	case "image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp":
		return t
	case "image/jpg":
		return "image/jpeg"
	}
	return ""
}

// hidden are the elements whose content is no text of the body.
var hidden = []string{"style", "script", "head", "title"}

// plain makes readable text of an HTML body, for the list and the search. It is
// text, not HTML: it has to be escaped again. It takes time in proportion to the
// body, whatever that holds.
func plain(body string) string {
	var out strings.Builder
	unclosed := make(map[string]bool) // an end that is not in the rest of the body
	// after returns what follows the next end in s, and false without one.
	after := func(s, end string) (string, bool) {
		if unclosed[end] {
			return "", false
		}
		i := indexFold(s, end)
		if i < 0 {
			unclosed[end] = true
			return "", false
		}
		return s[i+len(end):], true
	}
	for {
		text, rest, found := strings.Cut(body, "<")
		out.WriteString(text)
		if !found {
			return html.UnescapeString(out.String())
		}
		out.WriteByte(' ')
		body = rest
		if next, ok := strings.CutPrefix(rest, "!--"); ok {
			if next, ok = after(next, "-->"); ok {
				body = next
				continue
			}
		}
		for _, name := range hidden {
			if startsElement(rest, name) {
				if next, ok := after(rest, "</"+name); ok {
					body = next
				}
				break
			}
		}
		if next, ok := after(body, ">"); ok {
			body = next
		}
	}
}

func startsElement(s, name string) bool {
	return len(s) > len(name) && strings.EqualFold(s[:len(name)], name) && strings.IndexByte(" \t\r\n\f/>", s[len(name)]) >= 0
}

// indexFold is strings.Index for an ASCII end in any case.
func indexFold(s, end string) int {
	for at := 0; ; at++ {
		i := strings.IndexByte(s[at:], end[0])
		if i < 0 {
			return -1
		}
		at += i
		if len(s)-at < len(end) {
			return -1
		}
		if strings.EqualFold(s[at:at+len(end)], end) {
			return at
		}
	}
}

// preview is the beginning of the body, on one line.
func preview(m mailer.Message) string {
	const most = 160 // characters
	s := m.Text
	if s == "" {
		s = plain(m.HTML[:min(len(m.HTML), 16<<10)])
	}
	s = strings.Join(strings.Fields(s[:min(len(s), 2<<10)]), " ")
	s = strings.ToValidUTF8(s, "")
	if utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:most]) + "…"
	}
	return s
}

var webLink = regexp.MustCompile(`(?i)\bhttps?://[^\s<>"]+`)

// part is a run of a text body: plain, or a link.
type part struct {
	Text string
	Link string
}

// parts finds the links in a text body.
func parts(text string) []part {
	var out []part
	at := 0
	for _, loc := range webLink.FindAllStringIndex(text, -1) {
		link := strings.TrimRight(text[loc[0]:loc[1]], `.,;:!?'*_`)
		extra := strings.Count(link, ")") - strings.Count(link, "(")
		for ; extra > 0 && strings.HasSuffix(link, ")"); extra-- {
			link = strings.TrimRight(link[:len(link)-1], `.,;:!?'*_`)
		}
		if u, err := url.Parse(link); err != nil || u.Host == "" {
			continue
		}
		if loc[0] > at {
			out = append(out, part{Text: text[at:loc[0]]})
		}
		out = append(out, part{Text: link, Link: link})
		at = loc[0] + len(link)
	}
	if at < len(text) {
		out = append(out, part{Text: text[at:]})
	}
	return out
}
