package sqlinbox

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/ringyo-ai/webhook/internal/sqldb"
)

//go:embed migrations
var migrationFiles embed.FS

// SchemaVersion is the version of the schema that this package works with: the
// number of the newest migration.
const SchemaVersion = 1

// ErrSchema means that the tables are of another version than this package works with,
// or missing.
var ErrSchema = errors.New("sqlinbox: the tables are of another version than this program works with")

// Migrations returns the numbered migrations of a dialect as files, for those who run
// them with a tool of their own. Their names (000001_webhook_inbox.up.sql) and the
// comments in them are those that both goose and golang-migrate read; the tables have
// the default prefix. They are numbered apart from the migrations of anything else, so
// give such a tool a version table of its own for them. golang-migrate sends a file as a
// whole, which on MySQL needs multiStatements=true in its data source. Do not use
// [Inbox.Migrate] as well; [Inbox.Validate] says at the start whether the tool has run. An
// unknown dialect has no files.
func Migrations(d Dialect) fs.FS {
	dir := map[Dialect]string{Postgres: "postgres", MySQL: "mysql", SQLite: "sqlite"}[d]
	if dir == "" {
		return embed.FS{}
	}
	sub, err := fs.Sub(migrationFiles, "migrations/"+dir)
	if err != nil {
		return embed.FS{}
	}
	return sub
}

// Migrate makes the table inbox, and inbox_schema with its version, or brings them to
// [SchemaVersion]. It can be called at every start, by any number of processes at once:
// one migrates, the others wait. On PostgreSQL and SQLite all of it happens or nothing;
// MySQL commits each statement, and a migration that was cut off is taken up again by
// the next call. The user needs the right to create tables and indexes. It fails with
// [ErrSchema] if the tables are newer, and with errors.ErrUnsupported if the server is
// too old.
func (i *Inbox) Migrate(ctx context.Context) error {
	err := i.onConn(ctx, func(q sqldb.Tx) error { return sqldb.CheckVersion(ctx, q, sqldb.Dialect(i.dialect)) })
	if err != nil {
		return fmt.Errorf("sqlinbox: %w", err)
	}
	err = sqldb.Exclusive(ctx, i.db, sqldb.Dialect(i.dialect), i.prefix+"inbox", func(q sqldb.Tx) error {
		have, err := i.version(ctx, q)
		switch {
		case err != nil:
			return err
		case have > SchemaVersion:
			return fmt.Errorf("%w: it has version %d, and this program works with %d: update it", ErrSchema, have, SchemaVersion)
		}
		return sqldb.Apply(ctx, q, sqldb.Dialect(i.dialect), Migrations(i.dialect), have, i.prefix)
	})
	if err != nil && !errors.Is(err, ErrSchema) {
		return fmt.Errorf("sqlinbox: migrate (the SQL to run by hand is in Migrations(%v)): %w", i.dialect, err)
	}
	return err
}

// Validate checks, without changing anything, that the server is new enough and that
// the tables are of [SchemaVersion]. It fails with [ErrSchema] if they are not, and with
// errors.ErrUnsupported if the server is too old.
func (i *Inbox) Validate(ctx context.Context) error {
	if err := sqldb.CheckVersion(ctx, i.db, sqldb.Dialect(i.dialect)); err != nil {
		return fmt.Errorf("sqlinbox: %w", err)
	}
	have, err := i.version(ctx, i.db)
	switch {
	case err != nil:
		return i.failed(err)
	case have < SchemaVersion:
		return fmt.Errorf("%w: there is version %d, and this program works with %d: call Migrate", ErrSchema, have, SchemaVersion)
	case have > SchemaVersion:
		return fmt.Errorf("%w: it has version %d, and this program works with %d: update it", ErrSchema, have, SchemaVersion)
	}
	return nil
}

// version returns the version that is there, 0 for none.
func (i *Inbox) version(ctx context.Context, q sqldb.Tx) (version int, err error) {
	var n int
	if err := q.QueryRowContext(ctx, i.sql.hasSchema).Scan(&n); err != nil || n == 0 {
		return 0, err
	}
	err = q.QueryRowContext(ctx, i.sql.version).Scan(&version)
	return version, err
}
