package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ringyo-ai/webhook/internal/sqldb"
)

// ServerError says that a database looks like one of the dialect but is another
// one: it accepts the same statements and does something else. Options.AllowServers
// allows it nevertheless. It is errors.ErrUnsupported for errors.Is.
type ServerError struct {
	Name    string // such as "TiDB"
	Version string // as it says itself
	Reason  string // what would go wrong
}

// Error names the database and what would go wrong.
func (e *ServerError) Error() string {
	return fmt.Sprintf("sqlstore: the database is %s (%s), which is not supported: %s; Options.AllowServers takes it all the same", e.Name, e.Version, e.Reason)
}

// Is reports whether target is [errors.ErrUnsupported].
func (e *ServerError) Is(target error) bool { return target == errors.ErrUnsupported }

// meet finds out once what the database is, before the store first writes or leases,
// and refuses what it could not use. It asks q, so that it needs no second connection.
func (s *Store) meet(ctx context.Context, q Tx) error {
	if s.met.Load() {
		return nil
	}
	return s.ask(ctx, q)
}

// ask is meet for those who ask each time. On the pool it waits for others: the first
// statement of a connection can find SQLite busy.
func (s *Store) ask(ctx context.Context, q Tx) error {
	if q != Tx(s.db) {
		return s.judge(ctx, q)
	}
	return s.read(ctx, func(t *txn) error { return s.judge(ctx, t.q) })
}

func (s *Store) judge(ctx context.Context, q Tx) error {
	d := s.dialect.kind
	srv, err := sqldb.Ask(ctx, q, s.db.Driver(), d)
	if err != nil {
		return err
	}
	switch allowed := slices.Contains(s.allowed, srv.Name); {
	case srv.Unfit != "" && !allowed:
		return &ServerError{Name: srv.Name, Version: srv.Version, Reason: srv.Unfit}
	case srv.Unfit == "":
		if err := srv.TooOld(); err != nil {
			return err
		}
	}
	if d == sqldb.SQLite {
		switch p, err := sqldb.CheckMemory(ctx, s.db, q); {
		case err != nil:
			return err
		case p != nil:
			return invalid(p.Field, p.Text)
		}
	}
	if !s.met.Swap(true) && !srv.Known {
		s.log.WarnContext(ctx, "webhook: the store is not tested on this database", "name", srv.Name, "version", srv.Version)
	}
	return nil
}
