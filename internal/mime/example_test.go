package mime_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/internal/mime"
)

func Example() {
	mail, err := mime.New(mailer.Message{
		ID:      "signup-17",
		From:    mailer.Address{Name: "Zoë", Address: "zoe@example.com"},
		To:      []mailer.Address{{Address: "ada@example.com"}},
		Bcc:     []mailer.Address{{Address: "eve@example.com"}},
		Subject: "Hello",
		Text:    "Hello\n",
	}, mime.Options{Date: time.Date(2026, 11, 2, 9, 14, 7, 0, time.UTC)})
	if err != nil {
		fmt.Println(err)
		return
	}
	var b strings.Builder
	if _, err := mail.WriteTo(&b); err != nil {
		fmt.Println(err)
	}
	fmt.Print(strings.ReplaceAll(b.String(), "\r\n", "\n"))
	// Output:
	// From: =?utf-8?q?Zo=C3=AB?= <zoe@example.com>
	// To: ada@example.com
	// Subject: Hello
	// Date: Mon, 02 Nov 2026 09:14:07 +0000
	// Message-ID: <signup-17@example.com>
	// MIME-Version: 1.0
	// Content-Type: text/plain; charset=utf-8
	// Content-Transfer-Encoding: 7bit
	//
	// Hello
}
