package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/internal/sqldb"
)

// kind is what the store has to know about an error of the database.
type kind = sqldb.Kind

const (
	kindOther   = sqldb.Other
	kindData    = sqldb.Data
	kindNoTable = sqldb.NoTable
	kindCut     = sqldb.Cut
)

func kindOf(err error) kind { return sqldb.KindOf(err) }

// afterCommit takes the error of a COMMIT, or of a statement that is its own
// transaction, and says whether nobody can know what became of it.
func afterCommit(err error) error {
	if err == nil || errors.Is(err, driver.ErrBadConn) { // database/sql: not sent
		return err
	}
	switch kindOf(err) {
	case kindOther, kindCut:
		return sqldb.Unrepeatable(errors.Join(webhook.ErrUnknownOutcome, err))
	}
	return err
}

// again repeats f while another transaction is in its way, and on another connection
// if that is at fault.
func (s *Store) again(ctx context.Context, f func() error) error {
	if s.within != nil {
		return f()
	}
	return sqldb.Again(ctx, s.db, f)
}

// parting is the context of tidying up after a failure.
func parting(ctx context.Context) (context.Context, context.CancelFunc) { return sqldb.Parting(ctx) }

// checkDriver refuses a driver that is known to be of another dialect.
func checkDriver(db *sql.DB, d Dialect) error {
	if p := sqldb.CheckDriver(db, sqldb.Dialect(d)); p != nil {
		return invalid(p.Field, p.Text)
	}
	return nil
}
