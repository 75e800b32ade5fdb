package outage_test

import (
	"fmt"

	"github.com/seed355143d4/mailer/internal/outage"
)

func ExampleScript() {
	fmt.Println(outage.Script()[0])
	// Output: 01:00:00 to 01:20:00  first   429, Retry-After 1m0s
}
