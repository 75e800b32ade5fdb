package adapter_test

import (
	"fmt"

	"github.com/seed355143d4/mailer/internal/adapter"
)

func ExampleMembers() {
	adapter.Members([]byte(`{"MessageID": "7f4f2c9e", "ErrorCode": 0}`), func(name, value []byte) {
		fmt.Printf("%s is %s\n", name, value)
	})
	// Output:
	// MessageID is "7f4f2c9e"
	// ErrorCode is 0
}
