// Package site is what the pages of the examples have in common: the frame, the
// style, and the headers that keep a page to itself.
package site

import (
	"bytes"
	"embed"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"strconv"
	"time"
)

//go:embed web
var web embed.FS

// Assets serves the style sheet and its like, at GET /web/.
func Assets() http.Handler { return http.FileServerFS(web) }

// Pages are the templates in fsys that match the pattern, and the frame around
// them: "head", "foot" and "services".
func Pages(fsys fs.FS, pattern string) *template.Template {
	frame := template.Must(template.New("").Funcs(template.FuncMap{
		"seconds": func(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 2, 64) + " s" },
		"until": func(t time.Time) string {
			if d := time.Until(t); d > 0 {
				return "for " + d.Round(time.Second).String()
			}
			return "until the next mail"
		},
	}).ParseFS(web, "web/*.html"))
	return template.Must(frame.ParseFS(fsys, pattern))
}

// Show answers with a page.
func Show(w http.ResponseWriter, status int, pages *template.Template, name string, data any) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, data); err != nil {
		slog.Error("page", "name", name, "err", err)
		http.Error(w, "This page could not be made. Please try again.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'; form-action 'self'; base-uri 'none'")
	h.Set("Referrer-Policy", "no-referrer") // a link in a mail carries a token
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	b.WriteTo(w)
}
