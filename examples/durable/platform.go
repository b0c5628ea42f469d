package main

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	_ "github.com/go-sql-driver/mysql"
	"github.com/google/uuid"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
)

// platform is the emitting side: a database, a store on it, and an engine.
type platform struct {
	db     *sql.DB
	store  *sqlstore.Store
	engine *webhook.Engine
}

// complete makes up what was not given. Its tables, or its file, are removed in
// the end.
func (o *options) complete() (cleanUp func(), err error) {
	o.processes = max(1, o.processes)
	if o.store == "sqlite" && o.dsn == "" {
		dir, err := os.MkdirTemp("", "webhook-durable-")
		if err != nil {
			return nil, err
		}
		o.dsn, o.prefix = filepath.Join(dir, "events.db"), "webhook_"
		return func() { _ = os.RemoveAll(dir) }, nil
	}
	if o.dsn == "" {
		return nil, fmt.Errorf("-store %s needs a -dsn", o.store)
	}
	if o.prefix != "" {
		return func() {}, nil
	}
	o.prefix = "durable_" + strings.ReplaceAll(uuid.NewString(), "-", "")[:8] + "_"
	return func() { dropTables(*o) }, nil
}

func openPlatform(ctx context.Context, o options) (*platform, error) {
	db, dialect, err := o.open()
	if err != nil {
		return nil, err
	}
	store, err := sqlstore.New(db, dialect, &sqlstore.Options{TablePrefix: o.prefix})
	if err != nil {
		return nil, err
	}
	if err := store.Migrate(ctx); err != nil { // many processes may do this at once
		return nil, err
	}
	transport, err := webhook.NewHTTPTransport(webhook.HTTPConfig{
		AllowHTTP: true, AllowPrefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	})
	if err != nil {
		return nil, err
	}
	// Short timeouts make short leases, so that the story ends soon.
	engine, err := webhook.New(webhook.Config{
		Store: store, Transport: transport, Logger: slog.New(slog.DiscardHandler),
		Retry:          webhook.Schedule{100 * time.Millisecond, 200 * time.Millisecond, 300 * time.Millisecond, time.Second, time.Second, time.Second, time.Second, time.Second, time.Second, time.Second},
		AttemptTimeout: time.Second, StoreTimeout: 3 * time.Second, Lease: 5 * time.Second, PollInterval: 200 * time.Millisecond,
		Disable: webhook.DisablePolicy{After: -1},
	})
	return &platform{db, store, engine}, err
}

func (o options) open() (*sql.DB, sqlstore.Dialect, error) {
	switch o.store {
	case "sqlite":
		db, err := sql.Open("sqlite", "file:"+o.dsn+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(5000)")
		return db, sqlstore.SQLite, err
	case "postgres":
		db, err := sql.Open("pgx", o.dsn)
		return db, sqlstore.Postgres, err
	case "mysql":
		db, err := sql.Open("mysql", o.dsn)
		return db, sqlstore.MySQL, err
	}
	return nil, 0, fmt.Errorf("unknown store %q", o.store)
}

// dropTables removes the tables of this run; events last, since others refer to
// them.
func dropTables(o options) {
	db, _, err := o.open()
	if err != nil {
		return
	}
	defer func() { _ = db.Close() }()
	like := strings.ReplaceAll(o.prefix, "_", `\_`) + "%"
	query := "select table_name from information_schema.tables where table_name like ?"
	if o.store == "postgres" {
		query = strings.Replace(query, "?", "$1", 1)
	}
	rows, err := db.Query(query, like)
	if err != nil {
		return
	}
	var names []string
	for rows.Next() {
		var name string
		if rows.Scan(&name) == nil {
			names = append(names, name)
		}
	}
	_ = rows.Close()
	for range names { // whatever refers to what: each round drops what it can
		for _, name := range names {
			_, _ = db.Exec("drop table if exists " + name)
		}
	}
}

func (p *platform) close() { _ = p.db.Close() }

// register gives the customer's paths their endpoints.
func (p *platform) register(ctx context.Context, c *customer) error {
	for _, path := range paths {
		_, secret, err := p.engine.CreateEndpoint(ctx, webhook.EndpointParams{AccountID: account, URL: c.url + path, Events: everything})
		if err != nil {
			return err
		}
		if err := c.register(path, secret); err != nil {
			return err
		}
	}
	return nil
}

// emitAll emits events of every type and returns their ids.
func (p *platform) emitAll(ctx context.Context) ([]string, error) {
	var ids []string
	for range events {
		var batch []webhook.Event
		for _, t := range webhook.EventTypes() {
			ev, err := webhook.NewEvent(account, t, webhook.SampleData(t))
			if err != nil {
				return nil, err
			}
			batch = append(batch, ev)
			ids = append(ids, ev.ID)
		}
		if err := p.engine.Emit(ctx, batch...); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// finished waits until the database holds nothing unfinished.
func (p *platform) finished(ctx context.Context) error {
	return until(ctx, func() (bool, error) {
		s, err := p.engine.Stats(ctx)
		return s == webhook.Stats{}, err
	})
}
