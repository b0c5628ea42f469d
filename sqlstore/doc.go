// Package sqlstore keeps webhooks in PostgreSQL (13 or newer), MySQL (8.0.1), MariaDB
// (10.6) or SQLite (3.35), over the caller's *sql.DB. It imports no driver. All of its
// tests run on pgx v5 through database/sql, go-sql-driver/mysql and modernc.org/sqlite;
// the conformance suite also on lib/pq, bun's pgdriver, mattn/go-sqlite3,
// ncruces/go-sqlite3 and glebarez/go-sqlite. It may not understand the errors of any
// other driver: then it takes a database that is busy, a conflict, or an id that is
// already in use for a failure.
//
// # Schema
//
// [Store.Migrate] makes or updates the tables, [Migrations] returns the migrations
// for another tool, and [Store.Validate] reports whether the tables are those that
// this version needs and whether this program can deliver with them, which it tries in
// a transaction that it rolls back. An event's payload is stored once, as bytes. What is
// unfinished has a row in a small queue table besides its row in the log, so that
// the cost of every hot statement depends on its batch alone: none of them reads
// waiting retries, the backlog of a full endpoint, or history.
//
// # Time
//
// All times are the database server's, in microseconds, computed in SQL; with
// SQLite, which lives in the process, they are the process's. No statement depends
// on a session's time zone, or on any other state of a session: the store works
// without prepared statements, and so behind PgBouncer in transaction mode. The
// driver needs to be configured for that: pgx with default_query_exec_mode=exec in
// its data source, lib/pq with binary_parameters=yes.
//
// # Connections
//
// The store never needs a second connection while it holds one, so that a pool
// of one is enough. With SQLite it writes on one connection at a time and waits
// for other writers until the context ends, whatever the busy timeout is. SQLite
// on a network file system is not supported, and neither are two machines on one
// file.
//
// # Durability
//
// What an Emit reported as stored survives a failure of the machine only if the
// database writes each commit to the disk. With WAL, mattn/go-sqlite3 opens SQLite with
// synchronous=NORMAL: the last commits can be lost when the power fails, though not
// when the process does. Use synchronous=FULL: _synchronous=FULL with mattn/go-sqlite3,
// _pragma=synchronous(full) with modernc.org/sqlite. [Store.Validate] logs a warning
// about it, and about PostgreSQL's synchronous_commit and MySQL's
// innodb_flush_log_at_trx_commit.
//
// # Tests
//
// The tests of this package need drivers, which the published module must not
// require, so they are a module of their own, internal/itest. Without any server
// they run on SQLite; the conformance suite of package storetest is among them.
package sqlstore
