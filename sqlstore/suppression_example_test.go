package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"

	_ "modernc.org/sqlite"

	"github.com/seed355143d4/mailer/sqlstore"
	"github.com/seed355143d4/mailer/suppression"
)

// The list stands in the application's own database.
func ExampleSuppression() {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // in memory, each connection is a database of its own

	ctx := context.Background()
	list, err := sqlstore.NewSuppression(db, sqlstore.SQLite)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := list.Create(ctx); err != nil {
		fmt.Println(err)
		return
	}
	_ = list.Add(ctx, []suppression.Entry{{Address: "ada@Example.com", Reason: suppression.Complaint, Source: "postmark"}})
	found, err := list.Lookup(ctx, []string{"ada@example.com", "grace@example.com"})
	fmt.Println(len(found), found[0].Address, found[0].Reason, err)
	// Output: 1 ada@example.com complaint <nil>
}
