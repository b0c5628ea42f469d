package sqlstore

import (
	"context"

	"github.com/ringyo-ai/webhook/internal/sqldb"
)

// PgxTx makes a [Tx] of a transaction of pgx, for [Store.Tx] and [Store.MigrateTx] of a
// PostgreSQL store:
//
//	err := engine.EmitTx(ctx, store.Tx(sqlstore.PgxTx(tx)), event)
//
// tx is a pgx.Tx, of a pgxpool.Pool or of a connection, or a connection on which a
// transaction was begun; the types are inferred. The store itself needs a *sql.DB on
// the same database, such as that of stdlib.OpenDBFromPool. An error of the database
// is pgx's own: errors.As finds the *pgconn.PgError. As with pgx itself, one
// transaction is for one goroutine at a time.
func PgxTx[Tag interface{ RowsAffected() int64 }, Rows interface {
	Close()
	Err() error
	Next() bool
	Values() ([]any, error)
}](tx interface {
	Exec(ctx context.Context, sql string, args ...any) (Tag, error)
	Query(ctx context.Context, sql string, args ...any) (Rows, error)
},
) Tx {
	return sqldb.PgxTx(sqldb.PgxConn[Tag, Rows](tx))
}
