package sqlstore

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"
)

//go:embed migrations
var migrationFiles embed.FS

// SchemaVersion is the version of the schema that this package works with: the
// number of the newest migration.
const SchemaVersion = 1

// Migrations answers the numbered migrations of a dialect as files, for those
// who run them with a tool of their own. Their names (000001_webhook.up.sql) and
// the comments in them are those that both goose and golang-migrate read; the
// tables have the default prefix. Do not use [Store.Migrate] as well.
func Migrations(d Dialect) fs.FS {
	spec := dialects[d]
	if spec == nil {
		return embed.FS{}
	}
	sub, err := fs.Sub(migrationFiles, path.Join("migrations", spec.migration.dir))
	if err != nil {
		return embed.FS{}
	}
	return sub
}

// migration is how a dialect migrates.
type migration struct {
	dir     string
	version func(ctx context.Context, q Tx) error // is the server new enough?
	// exclusive runs f while no other process migrates the same tables.
	exclusive func(ctx context.Context, s *Store, f func(q Tx) error) error
}

// ErrSchema means that the tables are missing, or of another version than this
// package works with.
var ErrSchema = errors.New("sqlstore: the schema is not the one that is needed")

// Migrate makes the tables, or brings them to [SchemaVersion]. It can be called
// at every start, by any number of processes at once: one migrates, the others
// wait. On PostgreSQL and SQLite all of it happens or nothing; MySQL commits
// each statement, and a migration that was cut off is taken up again by the next
// call. The user needs the right to create tables and indexes.
func (s *Store) Migrate(ctx context.Context) error {
	m := s.dialect.migration
	if err := m.version(ctx, s.db); err != nil {
		return err
	}
	err := s.again(ctx, func() error {
		return m.exclusive(ctx, s, func(q Tx) error { return s.migrate(ctx, q) })
	})
	if err != nil && !errors.Is(err, ErrSchema) {
		return fmt.Errorf("sqlstore: migrate (the SQL to run by hand is in Migrations(%v)): %w", s.dialect.name, err)
	}
	return err
}

// MigrateTx is Migrate in a transaction of the caller, for PostgreSQL and
// SQLite; on MySQL, which commits at each statement that makes a table, it fails
// with errors.ErrUnsupported. It does not keep other processes from migrating at
// the same time: the caller's own tool does.
func (s *Store) MigrateTx(ctx context.Context, tx Tx) error {
	if tx == nil {
		return s.failed("migrate", errTxArgument)
	}
	if s.dialect == &mysql {
		return fmt.Errorf("sqlstore: MySQL commits each statement of a migration by itself, call Migrate: %w", errors.ErrUnsupported)
	}
	if err := s.dialect.migration.version(ctx, tx); err != nil {
		return err
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
	files, err := fs.ReadDir(Migrations(s.own()), ".")
	if err != nil {
		return err
	}
	for _, f := range files {
		n, err := strconv.Atoi(f.Name()[:6])
		if err != nil || n <= have {
			continue
		}
		text, err := fs.ReadFile(Migrations(s.own()), f.Name())
		if err != nil {
			return err
		}
		for _, stmt := range s.ownNames(string(text)) {
			if _, err := q.ExecContext(ctx, stmt); err != nil {
				return fmt.Errorf("%s: %w", f.Name(), err)
			}
		}
	}
	return nil
}

// own answers the dialect as a caller names it.
func (s *Store) own() Dialect {
	for d, spec := range dialects {
		if spec == s.dialect {
			return d
		}
	}
	return 0
}

var (
	indexName = regexp.MustCompile(`(create (?:unique )?index )webhook_`)
	comments  = regexp.MustCompile(`(?m)^--.*$`)
)

// ownNames answers the statements of a migration with the names of this store.
// An index is in the schema of its table and cannot name it.
func (s *Store) ownNames(text string) []string {
	bare := s.prefix[strings.LastIndexByte(s.prefix, '.')+1:]
	text = comments.ReplaceAllString(text, "")
	text = indexName.ReplaceAllString(text, "${1}\x00")
	text = strings.ReplaceAll(text, "webhook_", s.prefix)
	text = strings.ReplaceAll(text, "\x00", bare)
	var stmts []string
	for _, stmt := range strings.Split(text, ";\n") {
		if stmt = strings.TrimSpace(stmt); stmt != "" {
			stmts = append(stmts, stmt)
		}
	}
	return stmts
}

// schemaVersion answers the version that is there, 0 for none. It looks for the
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

// Validate checks, without changing anything, that the server is new enough, that
// the tables are of [SchemaVersion], and that all endpoints can be read: their
// secrets open with Options.Keys, and nothing of their rows is damaged. Those that
// cannot are listed in an [*UnreadableError], with which a process can start all
// the same: the others' deliveries are sent. It reads all endpoints, in portions.
func (s *Store) Validate(ctx context.Context) error {
	if err := s.dialect.migration.version(ctx, s.db); err != nil {
		return err
	}
	have, err := s.schemaVersion(ctx, s.db)
	if err == nil {
		err = s.wrongVersion(have)
	}
	if err != nil {
		return s.failed("validate", err)
	}
	return s.unreadable(ctx)
}
