package inbox

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed355143d4/mailer"
)

// lazy is a client that takes nothing, on a connection with deadlines.
type lazy struct {
	*httptest.ResponseRecorder
	deadline time.Time
}

func (l *lazy) SetWriteDeadline(t time.Time) error {
	l.deadline = t
	return nil
}

func (l *lazy) Write([]byte) (int, error) {
	time.Sleep(time.Until(l.deadline))
	return 0, os.ErrDeadlineExceeded
}

func TestAClientThatTakesNothingIsDroppedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := New(Config{})
		w := &lazy{ResponseRecorder: httptest.NewRecorder()}
		start := time.Now()
		in.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "http://localhost/events", nil))
		require.Equal(t, writeTimeout, time.Since(start))
	})
}

func TestCloseEndsAnIdleStreamAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := New(Config{})
		start := time.Now()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			in.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), "GET", "http://localhost/events", nil))
		}()
		synctest.Wait()
		in.Close()
		<-ended
		require.Zero(t, time.Since(start))
	})
}

func TestAnImageThatIsShownManyTimesStaysBounded(t *testing.T) {
	const size, times = 1 << 20, 100
	m := mailer.Message{
		HTML:        strings.Repeat(`<img src="cid:big">`, times),
		Attachments: []mailer.Attachment{{Name: "big.png", ContentType: "image/png", ContentID: "big", Content: make([]byte, size)}},
	}
	var out bytes.Buffer
	require.NoError(t, writeHTML(&out, m))
	require.Less(t, out.Len(), embedBudget+len(m.HTML)+100)
	shown := strings.Count(out.String(), "data:image/png")
	require.Positive(t, shown)
	require.Equal(t, times-shown, strings.Count(out.String(), "cid:big"))
}

func TestAMessageThatWasOpenedIsNoLongerUnread(t *testing.T) {
	in := filled(t)
	require.Contains(t, do(t, in, "GET", "").Body.String(), "2 messages, 2 unread")
	do(t, in, "GET", "api/messages/1")
	require.Contains(t, do(t, in, "GET", "").Body.String(), "2 messages, 2 unread", "a program that looks is no reader")
	do(t, in, "GET", "message/1")
	body := do(t, in, "GET", "").Body.String()
	require.Contains(t, body, "2 messages, 1 unread")
	require.Contains(t, body, `<li id="m2" class="unread">`)
	require.Contains(t, body, `<li id="m1">`)
}

func TestPagesAreForReading(t *testing.T) {
	in := filled(t)
	for _, path := range []string{"", "message/1", "message/1/html", "events", "assets/style.css"} {
		require.Equal(t, http.StatusNotFound, do(t, in, "POST", path).Code, path)
	}
	require.Len(t, in.Messages(), 2)
}

func TestOnlyATopLevelNavigationIsALink(t *testing.T) {
	in := filled(t)
	w := do(t, in, "GET", "", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "document")
	require.Equal(t, http.StatusForbidden, w.Code)
	require.NotContains(t, w.Body.String(), "ada@example.com")
}

func TestOnlyAnExactContentIDIsAnImage(t *testing.T) {
	for ref, shown := range map[string]bool{
		"logo": true, "logo2": false, "log": false, "xlogo": false, "Logo": false,
		"a%40b": true, "a@b": true, "a&#64;b": true, "a@b@c": false,
	} {
		var out bytes.Buffer
		require.NoError(t, writeHTML(&out, mailer.Message{
			HTML: `<img src="cid:` + ref + `">`,
			Attachments: []mailer.Attachment{
				{ContentType: "image/png", ContentID: "logo", Content: pixel}, {ContentType: "image/png", ContentID: "a@b", Content: pixel},
			},
		}))
		require.Equal(t, shown, strings.Contains(out.String(), `<img src="data:image/png;base64,`), ref)
	}
}
