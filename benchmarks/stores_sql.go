package main

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/ringyo-ai/webhook/sqlstore"
)

// sqliteSettings make SQLite as durable as a server: each commit is on disk.
const sqliteSettings = "_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(10000)"

func openSQLite(ctx context.Context) (*openStore, error) {
	dir, err := os.MkdirTemp("", "webhook-bench")
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "bench.db")+"?"+sqliteSettings)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	s := &openStore{cpu: noCPU, close: func(context.Context) error { return errors.Join(db.Close(), os.RemoveAll(dir)) }}
	return s, s.migrate(ctx, db, sqlstore.SQLite, nil)
}

func openPostgres(ctx context.Context, dsn string) (*openStore, error) {
	schema, err := createSchema(ctx, dsn)
	if err != nil {
		return nil, err
	}
	db, err := openPool(dsn)
	if err != nil {
		return nil, errors.Join(err, schema.drop(ctx))
	}
	s := &openStore{cpu: schema.serverCPU, schema: schema.name}
	s.close = func(ctx context.Context) error {
		return errors.Join(db.Close(), schema.drop(context.WithoutCancel(ctx)))
	}
	return s, s.migrate(ctx, db, sqlstore.Postgres, &sqlstore.Options{Schema: schema.name})
}

// joinPostgres opens a schema that another process made.
func joinPostgres(dsn, schema string) (*openStore, error) {
	db, err := openPool(dsn)
	if err != nil {
		return nil, err
	}
	store, err := sqlstore.New(db, sqlstore.Postgres, &sqlstore.Options{Schema: schema})
	return &openStore{Store: store, cpu: noCPU, close: func(context.Context) error { return db.Close() }}, err
}

func openPool(dsn string) (*sql.DB, error) {
	db, err := sql.Open("pgx", dsn)
	if err == nil {
		db.SetMaxOpenConns(connections)
		db.SetMaxIdleConns(connections)
	}
	return db, err
}

// migrate puts an empty store on db; after an error nothing is left.
func (s *openStore) migrate(ctx context.Context, db *sql.DB, d sqlstore.Dialect, opts *sqlstore.Options) error {
	store, err := sqlstore.New(db, d, opts)
	if err == nil {
		s.Store, err = store, store.Migrate(ctx)
	}
	if err != nil {
		return errors.Join(err, s.close(ctx))
	}
	return nil
}
