package suppression_test

import (
	"fmt"

	"github.com/seed355143d4/mailer/suppression"
)

func ExampleEntry() {
	e := suppression.Entry{Address: "ada@example.com", Reason: suppression.Unsubscribe, Stream: "newsletter"}
	fmt.Println(e.Address, e.Reason, e.Stream)
	// Output: ada@example.com unsubscribe newsletter
}
