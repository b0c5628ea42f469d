// Platform is a small server like the backend of a platform for voice agents: its
// customers register webhooks over HTTP, and what happens is sent to them.
//
//	go run ./examples/platform
//
// It keeps everything in an SQLite file, by default in a temporary directory. The token
// "demo" is that of the account acme. The walk through the API is in the README.
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	_ "modernc.org/sqlite"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
)

func main() {
	listen := flag.String("listen", "localhost:8080", "address to listen on")
	file := flag.String("db", "", "SQLite file; a temporary one if empty")
	demo := flag.Bool("demo", true, "register endpoints of a demonstration, and emit")
	flag.Parse()
	// A supervisor asks a server to end by SIGTERM.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, *listen, *file, *demo); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, listen, file string, demo bool) error {
	if file == "" {
		dir, err := os.MkdirTemp("", "webhook-platform-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		file = filepath.Join(dir, "platform.db")
	}
	db, store, err := open(ctx, file)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	engine, err := newEngine(store)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	if err := mountAPI(mux, engine); err != nil {
		return err
	}
	if err := mountDashboard(mux, engine); err != nil {
		return err
	}
	mountAppointments(mux, db, store, engine)
	if err := engine.Start(ctx); err != nil {
		return err
	}
	if demo {
		if err := demonstrate(ctx, engine); err != nil {
			return errors.Join(err, engine.Stop(context.WithoutCancel(ctx)))
		}
	}
	return serve(ctx, listen, mux, engine)
}

// open opens the database, with the tables of the library and those of the platform.
func open(ctx context.Context, file string) (*sql.DB, *sqlstore.Store, error) {
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate")
	if err != nil {
		return nil, nil, err
	}
	store, err := sqlstore.New(db, sqlstore.SQLite, nil)
	if err == nil {
		err = store.Migrate(ctx)
	}
	if err == nil {
		_, err = db.ExecContext(ctx, "create table if not exists appointments (id text primary key, account text not null, contact text not null, starts_at text not null)")
	}
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return db, store, nil
}

func newEngine(store webhook.Store) (*webhook.Engine, error) {
	// Customers' endpoints must be https and public. Those of a demonstration are on
	// this machine: leave both settings out in production.
	transport, err := webhook.NewHTTPTransport(webhook.HTTPConfig{
		AllowHTTP:     true,
		AllowPrefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
	})
	if err != nil {
		return nil, err
	}
	return webhook.New(webhook.Config{
		Store: store, Transport: transport, EventTypes: webhook.EventTypes(), Tallies: true,
		// So that a visitor sees within a minute what takes hours with the defaults.
		Retry: webhook.Schedule{time.Second, 2 * time.Second, 4 * time.Second}, Disable: webhook.DisablePolicy{After: 3},
	})
}

// serve serves until ctx ends, and then ends in order: first requests, which may emit,
// and then deliveries.
func serve(ctx context.Context, listen string, mux *http.ServeMux, engine *webhook.Engine) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return errors.Join(err, engine.Stop(context.WithoutCancel(ctx)))
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	fmt.Printf("The customers' dashboard: http://%s/dashboard/\nThe operator's view:     http://%[1]s/operator/ (any name, password demo)\nStop with Ctrl-C.\n", l.Addr())
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(err, server.Shutdown(last), engine.Stop(last))
}
