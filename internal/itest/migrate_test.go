package itest

import (
	"errors"
	"io/fs"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
)

func TestWithoutTablesTheErrorSaysMigrate(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s, err := sqlstore.New(d.open(t, d.create(t)), d.dialect, nil)
		require.NoError(t, err)
		err = s.Validate(ctx)
		require.ErrorIs(t, err, sqlstore.ErrSchema)
		assert.ErrorContains(t, err, "call Migrate")
		_, err = s.Enqueue(ctx, groups([]webhook.EventRecord{event("evt_1")}))
		require.ErrorContains(t, err, "call Migrate")
		_, err = s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(1, 1)})
		require.ErrorContains(t, err, "call Migrate")
	})
}

func TestAnotherVersionIsNamed(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		require.NoError(t, s.Validate(ctx))
		s.exec(t, "update webhook_schema set version = 99")
		require.ErrorContains(t, s.Validate(ctx), "newer")
		require.ErrorIs(t, s.Migrate(ctx), sqlstore.ErrSchema, "a newer schema is left alone")
		s.exec(t, "update webhook_schema set version = 0")
		require.ErrorContains(t, s.Validate(ctx), "Migrate")
	})
}

// E28, F10.
func TestProcessesThatMigrateAtOnceBothEndWell(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		dsn := d.create(t)
		var wg sync.WaitGroup
		errs := make([]error, 4)
		for i := range errs {
			s, err := sqlstore.New(d.open(t, dsn), d.dialect, nil)
			require.NoError(t, err)
			wg.Go(func() { errs[i] = errors.Join(s.Migrate(ctx), s.Validate(ctx)) })
		}
		wg.Wait()
		require.NoError(t, errors.Join(errs...))
	})
}

// F10: MySQL commits each statement, so that a migration can be cut off between
// any two of them.
func TestAMigrationThatWasCutOffIsTakenUpAgain(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		if d.dialect != sqlstore.MySQL {
			t.Skip("skipped: the whole migration is one transaction here")
		}
		text, err := fs.ReadFile(sqlstore.Migrations(d.dialect), "000001_webhook.up.sql")
		require.NoError(t, err)
		stmts := strings.Split(string(text), ";\n")
		for _, n := range []int{1, 3, len(stmts) - 2} {
			dsn := d.create(t)
			for _, stmt := range stmts[:n] {
				run(t, d.driver, dsn, stmt)
			}
			s, err := sqlstore.New(d.open(t, dsn), d.dialect, nil)
			require.NoError(t, err)
			require.ErrorIs(t, s.Validate(ctx), sqlstore.ErrSchema)
			require.NoError(t, s.Migrate(ctx))
			cycle(t, s)
		}
	})
}

func TestMigrateTxIsTheCallersTransaction(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		db := d.open(t, d.create(t))
		s, err := sqlstore.New(db, d.dialect, nil)
		require.NoError(t, err)
		tx, err := db.BeginTx(ctx, nil)
		require.NoError(t, err)
		defer func() { _ = tx.Rollback() }()
		err = s.MigrateTx(ctx, tx)
		if d.dialect == sqlstore.MySQL {
			require.ErrorIs(t, err, errors.ErrUnsupported)
			return
		}
		require.NoError(t, err)
		require.NoError(t, tx.Rollback())
		require.ErrorIs(t, s.Validate(ctx), sqlstore.ErrSchema, "rolled back")
		tx, err = db.BeginTx(ctx, nil)
		require.NoError(t, err)
		require.NoError(t, s.MigrateTx(ctx, tx))
		require.NoError(t, tx.Commit())
		require.NoError(t, s.Validate(ctx))
	})
}

// The naming is that of goose (version, "_", name, ".sql", and "-- +goose Up"
// inside) and of golang-migrate (version, "_", name, ".up.sql").
func TestMigrationsAreFilesForOtherTools(t *testing.T) {
	t.Parallel()
	name := regexp.MustCompile(`^\d{6}_[a-z_]+\.up\.sql$`)
	for _, d := range databases {
		files, err := fs.ReadDir(sqlstore.Migrations(d.dialect), ".")
		require.NoError(t, err)
		require.Len(t, files, sqlstore.SchemaVersion)
		for _, f := range files {
			assert.Regexp(t, name, f.Name())
			text, err := fs.ReadFile(sqlstore.Migrations(d.dialect), f.Name())
			require.NoError(t, err)
			assert.True(t, strings.HasPrefix(string(text), "-- +goose Up\n"))
		}
	}
	files, _ := fs.ReadDir(sqlstore.Migrations(0), ".")
	assert.Empty(t, files)
}

// The files, run by somebody else's tool, are a schema that Validate accepts.
func TestTheFilesAloneMakeTheSchema(t *testing.T) {
	notUnderRace(t)
	onEach(t, func(t *testing.T, d database) {
		dsn := d.create(t)
		text, err := fs.ReadFile(sqlstore.Migrations(d.dialect), "000001_webhook.up.sql")
		require.NoError(t, err)
		for _, stmt := range strings.Split(string(text), ";\n") {
			if strings.TrimSpace(stmt) != "" {
				run(t, d.driver, dsn, stmt)
			}
		}
		s, err := sqlstore.New(d.open(t, dsn), d.dialect, nil)
		require.NoError(t, err)
		require.NoError(t, s.Validate(ctx))
		require.NoError(t, s.Migrate(ctx))
		cycle(t, s)
	})
}
