package suppression_test

import (
	"testing"

	"github.com/seed355143d4/mailer/suppression"
	"github.com/seed355143d4/mailer/suppression/suppressiontest"
)

func TestMemoryIsAStore(t *testing.T) {
	suppressiontest.Run(t, func(*testing.T) suppression.Store { return suppression.NewMemory() })
}
