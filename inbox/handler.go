package inbox

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
)

// routes are relative to the mount: ServeHTTP makes every path begin with "/".
func (in *Inbox) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", in.servePage)
	mux.HandleFunc("GET /message/{id}", in.serveMessage)
	mux.HandleFunc("GET /message/{id}/html", in.serveHTML)
	mux.HandleFunc("GET /message/{id}/attachments/{n}", in.serveAttachment)
	mux.HandleFunc("GET /events", in.serveEvents)
	mux.HandleFunc("GET /assets/{name}", in.serveAsset)
	mux.HandleFunc("POST /clear", in.serveClear)
	mux.HandleFunc("GET /api/messages", in.apiList)
	mux.HandleFunc("DELETE /api/messages", in.apiClear)
	mux.HandleFunc("GET /api/messages/wait", in.apiWait)
	mux.HandleFunc("GET /api/messages/{id}", in.apiGet)
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/messages" || strings.HasPrefix(r.URL.Path, "/api/messages/") {
			apiError(w, http.StatusMethodNotAllowed, "the method is not allowed here")
			return
		}
		apiError(w, http.StatusNotFound, "no such path")
	})
	mux.HandleFunc("/", notFound)
	return mux
}

// The content security policies: of the inbox's own pages, of an HTML body, and
// of everything else.
const (
	pagePolicy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
		"frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
	mailPolicy = "sandbox " + mailSandbox + "; default-src 'none'; img-src data:; font-src data:; " +
		"style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
	dataPolicy = "sandbox; default-src 'none'; frame-ancestors 'none'"

	// mailSandbox lets a link open a new tab, and nothing else.
	mailSandbox = "allow-popups allow-popups-to-escape-sandbox"
)

// ServeHTTP serves the pages and the JSON. Mount it with [http.StripPrefix], or
// as the whole of a server.
func (in *Inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", dataPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "SAMEORIGIN")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-DNS-Prefetch-Control", "off")
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Sec-Fetch-Site, Origin")

	if !in.knowsHost(r.Host) {
		http.Error(w, "inbox: the host name of this request is not one of this inbox's: use localhost, or name it in Config.Hosts",
			http.StatusMisdirectedRequest)
		return
	}

	// Below a mount, "" is the mount itself: with or without its slash.
	p := r.URL.Path
	if p == "" {
		if to := withSlash(r.RequestURI); to != "" {
			h.Set("Location", to)
			w.WriteHeader(http.StatusMovedPermanently)
			return
		}
	}
	if !strings.HasPrefix(p, "/") {
		p = "/" + p
	}
	if !sameOrigin(r) && !isLink(r, p) {
		http.Error(w, "inbox: other sites may not look in here", http.StatusForbidden)
		return
	}
	if path.Clean(p) != p {
		notFound(w, r)
		return
	}
	r2 := new(http.Request)
	*r2 = *r
	r2.URL = &url.URL{Path: p, RawQuery: r.URL.RawQuery}
	in.mux.ServeHTTP(w, r2)
}

// withSlash returns a relative address for the same path with a slash at its end,
// or "" if it has one.
func withSlash(requestURI string) string {
	u, err := url.ParseRequestURI(requestURI)
	if err != nil {
		return ""
	}
	last := path.Base(u.EscapedPath())
	if strings.HasSuffix(u.EscapedPath(), "/") || last == "." {
		return ""
	}
	to := "./" + last + "/"
	if u.RawQuery != "" {
		to += "?" + u.RawQuery
	}
	return to
}

// knowsHost keeps out a foreign name that resolves to this machine (DNS
// rebinding): the browser takes such a page for the same origin, but its Host
// header gives it away.
func (in *Inbox) knowsHost(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.ToLower(host)
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	if ip, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil && ip.Unmap().IsLoopback() {
		return true
	}
	return slices.ContainsFunc(in.hosts, func(h string) bool { return strings.EqualFold(h, host) })
}

// sameOrigin reports whether a request comes from the inbox's own pages, from the
// address bar, or from no browser. It is the rule of [http.CrossOriginProtection],
// for reading as well: the mail is what has to be kept.
func sameOrigin(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	case "":
		// No browser, or one that does not trust this address: not https, not
		// local. Its Origin has to do.
		origin := r.Header.Get("Origin")
		if origin == "" {
			return true
		}
		u, err := url.Parse(origin)
		return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
	}
	return false
}

// isLink reports whether somebody followed a link to a page from another site. The
// other site sees nothing of it.
func isLink(r *http.Request, p string) bool {
	page := p == "/" || strings.HasPrefix(p, "/message/") && strings.Count(p, "/") == 2
	return page && (r.Method == http.MethodGet || r.Method == http.MethodHead) &&
		r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}

func notFound(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/api/") {
		apiError(w, http.StatusNotFound, "no such path")
		return
	}
	http.Error(w, "inbox: no such page. Under a path, mount the inbox with http.StripPrefix.", http.StatusNotFound)
}

// byID finds the entry that the path names.
func (in *Inbox) byID(r *http.Request) *entry {
	id, err := parseID(r.PathValue("id"))
	if err != nil {
		return nil
	}
	return in.find(id)
}

// parseID takes a whole number of decimal digits.
func parseID(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	return int64(n), err
}

func (in *Inbox) serveClear(w http.ResponseWriter, r *http.Request) {
	in.Clear()
	w.Header().Set("Location", "./")
	w.WriteHeader(http.StatusSeeOther)
}
