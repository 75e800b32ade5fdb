package unsubscribe_test

import (
	"context"
	"crypto/sha512"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/suppression"
	"github.com/seed355143d4/mailer/suppression/unsubscribe"
)

// A newsletter goes out with a link of its recipient's own, the mail program's
// button posts to it, and the next one stays here.
func Example() {
	secret := sha512.Sum512([]byte("for the example; have random bytes in yours"))
	list := suppression.NewMemory()
	leave, err := unsubscribe.New(unsubscribe.Config{
		URL: "https://example.com/leave", Keys: [][]byte{secret[:]}, Store: list,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	http.Handle("/leave/", leave)

	news, err := leave.Fill(mailer.Message{
		From:   mailer.Address{Address: "shop@example.com"},
		To:     []mailer.Address{{Address: "ada@example.com"}},
		Text:   "New books",
		Extras: []mailer.Extra{suppression.Extra{Stream: "newsletter"}},
	})
	fmt.Println(strings.HasPrefix(news.Unsubscribe.URL, "https://example.com/leave/"), err)

	// What the mailbox provider does.
	r := httptest.NewRequest(http.MethodPost, news.Unsubscribe.URL, strings.NewReader("List-Unsubscribe=One-Click"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	http.DefaultServeMux.ServeHTTP(w, r)
	fmt.Println(w.Code)

	found, _ := list.Lookup(context.Background(), []string{"ada@example.com"})
	fmt.Println(found[0].Reason, found[0].Stream)
	// Output:
	// true <nil>
	// 200
	// unsubscribe newsletter
}
