package sqlstore

import (
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/seed355143d4/mailer"
	_ "github.com/stretchr/testify/require"
	_ "go.uber.org/goleak"
	_ "modernc.org/sqlite"
)
