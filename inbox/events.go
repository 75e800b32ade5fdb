package inbox

import (
	"fmt"
	"net/http"
	"time"
)

const (
	// keepAlive is how often an idle event stream sends a comment, so that a
	// client which is gone is noticed.
	keepAlive = 15 * time.Second
	// writeTimeout is how long one write to a client may take.
	writeTimeout = 5 * time.Second
)

// serveEvents tells a page that the inbox has changed: one event at once, and one
// after each change or run of changes. An event holds the version of the inbox and
// no mail; the page then reads itself again. A slow client holds up nobody, since
// nothing is queued for it.
func (in *Inbox) serveEvents(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx
	rc := http.NewResponseController(w)
	write := func(s string) bool {
		// Not every ResponseWriter has deadlines; those of net/http do.
		_ = rc.SetWriteDeadline(time.Now().Add(writeTimeout))
		_, err := fmt.Fprint(w, s)
		return err == nil && rc.Flush() == nil
	}

	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	for told := ""; ; {
		select {
		case <-in.closed:
			return
		default:
		}
		version, changed := in.state()
		if version != told {
			if !write("data: " + version + "\n\n") {
				return
			}
			told = version
		}
		select {
		case <-changed:
		case <-tick.C:
			if !write(": keep-alive\n\n") {
				return
			}
		case <-in.closed:
			return
		case <-r.Context().Done():
			return
		}
	}
}
