package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

// connections is the size of each contender's pool.
const connections = 16

// schema is a schema of its own in the given database, for one measurement.
type schema struct {
	dsn    string
	name   string
	server int // process id of the server, 0 if it is not on this machine
}

func createSchema(ctx context.Context, dsn string) (*schema, error) {
	s := &schema{dsn: dsn, name: fmt.Sprintf("webhook_bench_%08x", rand.Uint32())}
	err := onServer(ctx, dsn, func(c *pgx.Conn) error {
		s.server = serverProcess(int(c.PgConn().PID()))
		_, err := c.Exec(ctx, "create schema "+s.name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL: %w", err)
	}
	return s, nil
}

func (s *schema) drop(ctx context.Context) error {
	return onServer(ctx, s.dsn, func(c *pgx.Conn) error {
		_, err := c.Exec(ctx, "drop schema "+s.name+" cascade")
		return err
	})
}

func onServer(ctx context.Context, dsn string, f func(*pgx.Conn) error) error {
	c, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer c.Close(context.WithoutCancel(ctx))
	return f(c)
}

func (s *schema) serverCPU() time.Duration { return serverCPU(s.server) }

// postgresVersion returns the version and the settings that durability and
// speed hang on.
func postgresVersion(ctx context.Context, dsn string) (string, error) {
	var out string
	err := onServer(ctx, dsn, func(c *pgx.Conn) error {
		return c.QueryRow(ctx, `select format('PostgreSQL %s (synchronous_commit=%s, fsync=%s, shared_buffers=%s)',
			current_setting('server_version'), current_setting('synchronous_commit'), current_setting('fsync'), current_setting('shared_buffers'))`).Scan(&out)
	})
	return out, err
}
