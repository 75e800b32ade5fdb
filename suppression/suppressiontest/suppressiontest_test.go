package suppressiontest_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/seed355143d4/mailer/suppression"
	"github.com/seed355143d4/mailer/suppression/suppressiontest"
)

// audited is a store of one's own: a list that says what it is told.
type audited struct{ *suppression.Memory }

func (a audited) Add(ctx context.Context, entries []suppression.Entry) error {
	for _, e := range entries {
		fmt.Println("held:", e.Address, "because of", e.Reason)
	}
	return a.Memory.Add(ctx, entries)
}

// A test of the store is one line:
//
//	func TestAuditedIsAStore(t *testing.T) {
//		suppressiontest.Run(t, false, func(*testing.T) suppression.Store { return audited{suppression.NewMemory()} })
//	}
func Example() {
	var s suppression.Store = audited{suppression.NewMemory()}
	err := s.Add(context.Background(), []suppression.Entry{{Address: "ada@example.com", Reason: suppression.Complaint, Created: time.Now()}})
	fmt.Println(err)
	// Output:
	// held: ada@example.com because of complaint
	// <nil>
}

// quiet is a store that embeds another.
type quiet struct{ *suppression.Memory }

func TestAStoreAroundAnotherPasses(t *testing.T) {
	suppressiontest.Run(t, false, func(*testing.T) suppression.Store { return quiet{suppression.NewMemory()} })
}
