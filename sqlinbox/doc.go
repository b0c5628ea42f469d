// Package sqlinbox keeps what a receiving server has handled in that server's own
// database: PostgreSQL (13 or newer), MySQL (8.0.1), MariaDB (10.6) or SQLite (3.35),
// over the caller's *sql.DB. An [Inbox] is the Deduper of a receive.Receiver. With
// [On] the handler gets the transaction in which its event is marked as handled, so
// that the event has exactly one effect there, whichever process crashes at whatever
// time.
//
// It has one table for the events, and one for the version of the schema. It imports no
// driver: pgx v5 through database/sql, go-sql-driver/mysql and modernc.org/sqlite are
// tested; the errors of lib/pq, bun's pgdriver, mattn/go-sqlite3, ncruces/go-sqlite3
// and glebarez/go-sqlite are understood too.
//
// All times are the database server's, computed in SQL; with SQLite, which lives in the
// process, they are the process's. Nothing depends on the state of a session, so that it
// works behind PgBouncer in transaction mode, where pgx needs
// default_query_exec_mode=exec in its data source and lib/pq binary_parameters=yes. An
// Inbox never needs a second connection while it holds one: a pool of one is enough, if a
// handler uses its transaction alone.
package sqlinbox
