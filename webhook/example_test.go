package webhook_test

import (
	"fmt"
	"net/http"

	"github.com/seed355143d4/mailer/webhook"
)

func ExampleBasic() {
	r, _ := http.NewRequest(http.MethodPost, "https://hooks.example/mail", nil)
	r.SetBasicAuth("hook", "a long secret")
	fmt.Println(webhook.Basic{Username: "hook", Password: "a long secret"}.Match(r.Header))
	fmt.Println(webhook.Basic{Username: "hook", Password: "another"}.Match(r.Header))
	// Output:
	// true
	// false
}
