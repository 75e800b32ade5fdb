package suppression_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/suppression"
	"github.com/seed355143d4/mailer/webhook"
)

// A service reports a complaint, and from then on no service is asked to mail that
// address.
func Example() {
	list := &suppression.Memory{FoldLocal: true} // some services report addresses in lower case
	record := suppression.Record(list, nil)      // what webhook.Handler calls
	service := mailer.SenderFunc(func(_ context.Context, m mailer.Message) (mailer.Receipt, error) {
		return mailer.Receipt{ID: m.ID, Provider: "example"}, nil
	})
	sender := suppression.Wrap(service, list, suppression.Config{})

	ctx := context.Background()
	err := record(ctx, []webhook.Event{{Provider: "postmark", Type: webhook.Complained, Recipient: "ada@example.com", Time: time.Now()}})
	fmt.Println(err)

	m := mailer.Message{
		From: mailer.Address{Address: "shop@example.com"},
		To:   []mailer.Address{{Address: "Ada@example.com"}, {Address: "grace@example.com"}},
		Text: "Our new books",
	}
	receipt, err := sender.Send(ctx, m)
	fmt.Println(receipt.Provider, receipt.Rejected[0].Address, err)

	m.To = m.To[:1]
	_, err = sender.Send(ctx, m)
	fmt.Println(mailer.KindOf(err), mailer.NotSent(err))
	// Output:
	// <nil>
	// example Ada@example.com <nil>
	// recipient refused true
}

// Leaving the newsletter stops the newsletter only.
func ExampleExtra() {
	list := suppression.NewMemory()
	ctx := context.Background()
	_ = list.Add(ctx, []suppression.Entry{{Address: "ada@example.com", Reason: suppression.Unsubscribe, Stream: "newsletter"}})
	sender := suppression.Wrap(mailer.SenderFunc(func(context.Context, mailer.Message) (mailer.Receipt, error) {
		return mailer.Receipt{}, nil
	}), list, suppression.Config{})

	news := mailer.Message{
		From: mailer.Address{Address: "shop@example.com"}, To: []mailer.Address{{Address: "ada@example.com"}}, Text: "New books",
		Extras: []mailer.Extra{suppression.Extra{Stream: "newsletter"}},
	}
	_, err := sender.Send(ctx, news)
	fmt.Println("newsletter:", err)

	reset := news
	reset.Extras = []mailer.Extra{suppression.Extra{Requested: true}}
	_, err = sender.Send(ctx, reset)
	fmt.Println("new password:", err)
	// Output:
	// newsletter: suppression: recipient refused: ada@example.com held: unsubscribe of newsletter
	// new password: <nil>
}

func ExampleEntry() {
	e := suppression.Entry{Address: "ada@example.com", Reason: suppression.Unsubscribe, Stream: "newsletter"}
	fmt.Println(e.Address, e.Reason, e.Stream)
	// Output: ada@example.com unsubscribe newsletter
}

// The list of a service that is left comes along as a file.
func ExampleImport() {
	file := `address,reason,source
ada@example.com,hard_bounce,sendgrid
not an address,complaint,sendgrid
grace@example.com,,sendgrid
`
	list := suppression.NewMemory()
	added, err := suppression.Import(context.Background(), list, suppression.ReadCSV(strings.NewReader(file)))
	fmt.Println(added)
	bad, _ := errors.AsType[*suppression.LineError](err)
	fmt.Println(bad)
	// Output:
	// 2
	// line 3: suppression: not an entry: "not an address" is no address
}
