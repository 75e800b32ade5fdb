package mailertest

import (
	"html"
	"regexp"
	"slices"
	"strings"

	"github.com/seed355143d4/mailer"
)

var (
	web      = regexp.MustCompile(`(?i)^https?://[^\s/?#]`)
	textLink = regexp.MustCompile("(?i)\\bhttps?://[^\\s<>\"`]+")
	comment  = regexp.MustCompile(`(?s)<!--.*?-->`)
	anchor   = regexp.MustCompile(`(?i)<(?:a|area)[\s/]((?:[^>"']|"[^"]*"|'[^']*')*)>`)
	attr     = regexp.MustCompile(`([^\s"'>/=]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?`)
)

// Links returns the http and https links of a message: first those in Text, then
// the href values of the a and area elements in HTML with their character
// references resolved. Each stands once, in the order of appearance. Punctuation
// that ends a link in Text is taken for the sentence's, and a closing bracket too
// unless the link opens it.
func Links(m mailer.Message) []string {
	var links []string
	add := func(link string) {
		if web.MatchString(link) && !slices.Contains(links, link) {
			links = append(links, link)
		}
	}
	for _, link := range textLink.FindAllString(m.Text, -1) {
		add(trim(link))
	}
	for _, a := range anchor.FindAllStringSubmatch(comment.ReplaceAllString(m.HTML, ""), -1) {
		for _, at := range attr.FindAllStringSubmatch(a[1], -1) {
			if strings.EqualFold(at[1], "href") {
				add(strings.TrimSpace(html.UnescapeString(at[2] + at[3] + at[4])))
				break // of two, the first one counts
			}
		}
	}
	return links
}

// trim takes from the end of a link what belongs to the text around it.
func trim(link string) string {
	for {
		short := strings.TrimRight(link, ".,;:!?'’”»…")
		for _, pair := range []string{"()", "[]", "{}"} {
			if strings.HasSuffix(short, pair[1:]) && strings.Count(short, pair[1:]) > strings.Count(short, pair[:1]) {
				short = short[:len(short)-1]
			}
		}
		if short == link {
			return link
		}
		link = short
	}
}
