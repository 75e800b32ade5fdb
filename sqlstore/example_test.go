package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite"

	"github.com/seed355143d4/mailer"
	"github.com/seed355143d4/mailer/failover"
	"github.com/seed355143d4/mailer/sqlstore"
)

func ExampleHealth() {
	dir, err := os.MkdirTemp("", "mail")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()

	// Each process does this.
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "mail.db")+"?_pragma=busy_timeout(5000)")
	if err != nil {
		panic(err)
	}
	defer db.Close()
	health, err := sqlstore.NewHealth(db, sqlstore.SQLite)
	if err != nil {
		panic(err)
	}
	if err := health.Create(ctx); err != nil {
		panic(err)
	}
	shared := &failover.Shared{Backend: health}
	chain, err := failover.New(failover.Config{
		Store: shared,
		Order: &failover.Budget{Allow: map[string]failover.Allowance{"first": {Day: 1000}}, Shared: shared},
	}, failover.Target{Name: "first", Sender: relay("first")}, failover.Target{Name: "second", Sender: relay("second")})
	if err != nil {
		panic(err)
	}
	// Wait once for what the others know. Later that goes on in the background.
	if err := shared.Sync(ctx); err != nil {
		fmt.Println("going on without the others:", err)
	}

	receipt, err := chain.Send(ctx, mailer.Message{
		From:    mailer.Address{Address: "shop@example.com"},
		To:      []mailer.Address{{Address: "ada@example.com"}},
		Subject: "Welcome aboard",
		Text:    "Good to have you here.",
	})
	if err != nil {
		panic(err)
	}
	fmt.Println("taken by", receipt.Provider)

	// A process that ends hands in what it counted.
	if err := shared.Sync(ctx); err != nil {
		panic(err)
	}
	var total int
	if err := db.QueryRow("SELECT total FROM mailer_counts WHERE name LIKE 'first %'").Scan(&total); err != nil {
		panic(err)
	}
	fmt.Println("messages of today:", total)
	// Output:
	// taken by first
	// messages of today: 1
}

// relay is a made-up service that takes everything.
func relay(name string) mailer.Sender {
	return mailer.SenderFunc(func(_ context.Context, m mailer.Message) (mailer.Receipt, error) {
		return mailer.Receipt{ID: m.ID, Provider: name}, nil
	})
}
