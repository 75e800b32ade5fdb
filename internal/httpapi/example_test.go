package httpapi_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/httpapi"
)

func Example() {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Printf("%s %s %s\n", r.Method, r.URL.Path, body)
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, `{"Message":"no account has the token %s"}`, r.Header.Get("X-Token"))
	}))
	defer service.Close()

	c, err := httpapi.New(httpapi.Config{
		Provider: "acme",
		BaseURL:  service.URL,
		Header:   http.Header{"X-Token": {"correct-horse"}},
		Secrets:  []string{"correct-horse"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	var files httpapi.Files
	text := `{"to":"ada@example.com","file":"` + files.Add([]byte("Hello, Ada")) + `"}`
	resp, err := c.Do(context.Background(), "POST", "/mail", files.Body([]byte(text)))
	if err != nil {
		fmt.Println(err) // no status: KindNetwork or KindCanceled
		return
	}
	var answer struct{ Message string }
	if err := resp.JSON(&answer); err != nil {
		fmt.Println(err)
	}
	fmt.Println(c.Error(resp, mailer.KindUnauthorized, "", answer.Message))
	// Output:
	// POST /mail {"to":"ada@example.com","file":"SGVsbG8sIEFkYQ=="}
	// acme: unauthorized (status 401): no account has the token [hidden]
}
