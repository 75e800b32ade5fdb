package mailertest_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/mailertest"
)

// registration is the handler under test.
func registration(sender mailer.Sender) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, err := sender.Send(r.Context(), mailer.Message{
			From:    mailer.Address{Name: "Example", Address: "hello@example.com"},
			To:      []mailer.Address{{Address: r.PostFormValue("email")}},
			Subject: "Confirm your address",
			Text:    "Welcome! Please open https://example.com/confirm?token=17.",
		})
		switch {
		case err == nil:
			w.WriteHeader(http.StatusAccepted)
		case mailer.KindOf(err) == mailer.KindInvalid:
			http.Error(w, "this is no address", http.StatusBadRequest)
		default:
			http.Error(w, "try again later", http.StatusServiceUnavailable)
		}
	}
}

// The test of a registration. Where there is a *testing.T, RequireSent replaces
// Last and what comes after it.
func Example() {
	var sent mailertest.Recorder
	handler := registration(&sent)
	register := func(email string) int {
		form := url.Values{"email": {email}}.Encode()
		r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/register", strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		handler(w, r)
		return w.Code
	}

	fmt.Println(register("ada@example.com"))
	m, ok := sent.Last()
	fmt.Println(ok, m.To[0].Address, mailertest.Links(m))

	fmt.Println(register("not an address"))

	sent.FailNext(mailer.KindQuota)
	fmt.Println(register("grace@example.com"))
	fmt.Println(len(sent.Messages()))
	// Output:
	// 202
	// true ada@example.com [https://example.com/confirm?token=17]
	// 400
	// 503
	// 1
}
