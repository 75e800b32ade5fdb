package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		server.stop()
		os.Exit(code)
	}))
}

// postgres gives a test a database of its own at a PostgreSQL server that the
// first such test starts. It skips the test where PostgreSQL is not installed.
func postgres(t testing.TB) (dsn string) {
	t.Helper()
	server.once.Do(server.start)
	if server.absent {
		t.Skip("PostgreSQL is not installed: no initdb in PATH or in /usr/lib/postgresql/*/bin")
	}
	require.NoError(t, server.err)
	db, err := sql.Open("pgx", server.dsn("postgres"))
	require.NoError(t, err)
	defer db.Close()
	name := "test" + strconv.FormatInt(server.databases.Add(1), 10)
	_, err = db.ExecContext(t.Context(), "CREATE DATABASE "+name)
	require.NoError(t, err)
	return server.dsn(name)
}

// postgresServer is a PostgreSQL server that listens on a socket in a directory
// of its own, and ends when this process does.
type postgresServer struct {
	once      sync.Once
	absent    bool
	err       error
	databases atomic.Int64

	dir   string
	cmd   *exec.Cmd
	stdin io.Closer // closing it, or dying, ends the server
}

var server postgresServer

func (p *postgresServer) dsn(database string) string {
	return fmt.Sprintf("host=%s user=postgres database=%s sslmode=disable", p.dir, database)
}

func (p *postgresServer) start() {
	bin := postgresBin()
	if bin == "" {
		p.absent = true
		return
	}
	if p.dir, p.err = os.MkdirTemp("", "pg"); p.err != nil {
		return
	}
	script := `set -e
		"$1/initdb" -D "$2/data" -A trust -U postgres --no-sync >"$2/log" 2>&1
		"$1/postgres" -D "$2/data" -F -c listen_addresses= -c unix_socket_directories="$2" >>"$2/log" 2>&1 &
		read -r end || :
		kill -INT $! && wait $!`
	p.cmd = exec.Command("sh", "-c", script, "sh", bin, p.dir)
	if os.Geteuid() == 0 {
		// PostgreSQL refuses to run as root.
		owner, err := user.Lookup("postgres")
		if err != nil {
			p.err = err
			return
		}
		uid, _ := strconv.Atoi(owner.Uid)
		gid, _ := strconv.Atoi(owner.Gid)
		if p.err = os.Chown(p.dir, uid, gid); p.err != nil {
			return
		}
		p.cmd = exec.Command("su", "postgres", "-s", "/bin/sh", "-c", script, "--", "sh", bin, p.dir)
	}
	p.cmd.Dir = p.dir
	if p.stdin, p.err = p.cmd.StdinPipe(); p.err != nil {
		return
	}
	if p.err = p.cmd.Start(); p.err != nil {
		return
	}
	p.err = p.ready()
}

// ready waits until the server answers.
func (p *postgresServer) ready() error {
	db, err := sql.Open("pgx", p.dsn("postgres"))
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		if err = db.PingContext(ctx); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(p.dir, "log"))
			return fmt.Errorf("PostgreSQL does not start: %w\n%s", err, log)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (p *postgresServer) stop() {
	if p.stdin != nil {
		p.stdin.Close()
		_ = p.cmd.Wait()
	}
	if p.dir != "" {
		os.RemoveAll(p.dir)
	}
}

// postgresBin finds the directory of initdb and postgres. Empty: there is none.
func postgresBin() string {
	if file, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(file)
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return ""
	}
	version := func(file string) int {
		n, _ := strconv.Atoi(strings.Split(file, "/")[4])
		return n
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) }))
}
