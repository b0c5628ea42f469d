package sqlstore

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/ringyo-ai/webhook/internal/sqldb"
)

//go:embed migrations
var migrationFiles embed.FS

// SchemaVersion is the version of the schema that this package works with: the
// number of the newest migration.
const SchemaVersion = 1

// Migrations returns the numbered migrations of a dialect as files, for those
// who run them with a tool of their own. Their names (000001_webhook.up.sql) and
// the comments in them are those that both goose and golang-migrate read; the
// tables have the default prefix. golang-migrate sends a file as a whole, which on
// MySQL needs multiStatements=true in its data source. Do not use [Store.Migrate] as well.
func Migrations(d Dialect) fs.FS {
	spec := dialects[d]
	if spec == nil {
		return embed.FS{}
	}
	sub, err := fs.Sub(migrationFiles, path.Join("migrations", spec.migrations))
	if err != nil {
		return embed.FS{}
	}
	return sub
}

// ErrSchema means that the tables are missing, or of another version than this
// package works with.
var ErrSchema = errors.New("sqlstore: the schema is not the one that is needed")

// Migrate makes the tables, or brings them to [SchemaVersion]. It can be called
// at every start, by any number of processes at once: one migrates, the others
// wait. On PostgreSQL and SQLite all of it happens or nothing; MySQL commits
// each statement, and a migration that was cut off is taken up again by the next
// call. The user needs the right to create tables and indexes. It fails with a
// [*ServerError], a [*SettingError] or a [*TrialError] where the store could not work
// afterwards.
func (s *Store) Migrate(ctx context.Context) error {
	if err := s.ask(ctx, s.db); err != nil {
		return s.failed("migrate", ranOut(ctx, err))
	}
	if err := s.checkSettings(ctx); err != nil {
		return s.failed("migrate", ranOut(ctx, err))
	}
	err := s.migrateAlone(ctx)
	switch {
	case err == nil:
		return s.try(ctx)
	case errors.Is(err, ErrSchema):
		return err
	}
	return fmt.Errorf("sqlstore: migrate (the SQL to run by hand is in Migrations(%v)): %w", s.dialect.name, err)
}

// migrateAlone keeps all others from migrating meanwhile.
func (s *Store) migrateAlone(ctx context.Context) error {
	if s.writer != nil {
		s.writer <- struct{}{}
		defer func() { <-s.writer }()
	}
	return sqldb.Exclusive(ctx, s.db, s.dialect.kind, s.prefix, func(q sqldb.Tx) error { return s.migrate(ctx, q) })
}

// MigrateTx is Migrate in a transaction of the caller, for PostgreSQL and
// SQLite; on MySQL, which commits at each statement that makes a table, it fails
// with errors.ErrUnsupported. It does not keep other processes from migrating at
// the same time: the caller's own tool does.
func (s *Store) MigrateTx(ctx context.Context, tx Tx) error {
	if tx == nil {
		return s.failed("migrate", errTxArgument)
	}
	if s.dialect.commitsTables {
		return fmt.Errorf("sqlstore: MySQL commits each statement of a migration by itself, call Migrate: %w", errors.ErrUnsupported)
	}
	tx = sqldb.Transaction(tx)
	if err := s.ask(ctx, tx); err != nil {
		return s.failed("migrate", err)
	}
	return s.migrate(ctx, tx)
}

// migrate runs the migrations that are missing.
func (s *Store) migrate(ctx context.Context, q Tx) error {
	have, err := s.schemaVersion(ctx, q)
	if err != nil {
		return err
	}
	if have > SchemaVersion {
		return s.wrongVersion(have)
	}
	return sqldb.Apply(ctx, q, s.dialect.kind, Migrations(s.own()), have, s.prefix)
}

// own returns the dialect as a caller names it.
func (s *Store) own() Dialect { return Dialect(s.dialect.kind) }

// schemaVersion returns the version that is there, 0 for none. It looks for the
// table first: in PostgreSQL a statement that fails would end the transaction.
func (s *Store) schemaVersion(ctx context.Context, q Tx) (version int, err error) {
	var n int
	if err := q.QueryRowContext(ctx, s.sql.HasSchema).Scan(&n); err != nil || n == 0 {
		return 0, err
	}
	err = q.QueryRowContext(ctx, s.sql.SchemaVersion).Scan(&version)
	return version, err
}

func (s *Store) wrongVersion(have int) error {
	switch {
	case have == 0:
		return fmt.Errorf("%w: there are no tables %s…, call Migrate or run the files of Migrations", ErrSchema, s.prefix)
	case have < SchemaVersion:
		return fmt.Errorf("%w: it has version %d, which is older than %d: call Migrate", ErrSchema, have, SchemaVersion)
	case have > SchemaVersion:
		return fmt.Errorf("%w: it has version %d, which is newer than %d: update this program", ErrSchema, have, SchemaVersion)
	}
	return nil
}

// Validate checks, without leaving anything changed, that the database is one that the
// store works on ([*ServerError]) and new enough, that the settings of a connection of the
// pool let it deliver ([*SettingError]; what is only risky, such as a journal that can lose
// the last commits, goes to Options.Logger), that the tables are of [SchemaVersion], that
// delivering works, which it tries in a transaction that is rolled back ([*TrialError]), and
// that all endpoints can be read: their secrets open with Options.Keys, and nothing of
// their rows is damaged. Those that cannot are listed in an [*UnreadableError], with which
// a process can start all the same: the others' deliveries are sent. It reads all
// endpoints, in portions.
func (s *Store) Validate(ctx context.Context) error {
	if err := s.ask(ctx, s.db); err != nil {
		return s.failed("validate", ranOut(ctx, err))
	}
	if err := s.checkSettings(ctx); err != nil {
		return s.failed("validate", ranOut(ctx, err))
	}
	have := 0
	err := s.read(ctx, func(t *txn) (err error) {
		have, err = s.schemaVersion(ctx, t.q)
		return err
	})
	if err == nil {
		err = s.wrongVersion(have)
	}
	if err != nil {
		return s.failed("validate", err)
	}
	if err := s.try(ctx); err != nil {
		return err
	}
	return s.unreadable(ctx)
}
