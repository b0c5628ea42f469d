package sqlstore

import (
	"database/sql/driver"
	"errors"
	"reflect"
	"strings"

	"github.com/ringyo-ai/webhook"
)

// kind is what the store has to know about an error of the database.
type kind int

const (
	kindOther    kind = iota
	kindServer        // reported by the database: what was asked did not happen
	kindConflict      // deadlock, serialization failure, lock wait: repeat the transaction
	kindBusy          // SQLite is locked by another writer: wait and repeat
	kindData          // this row cannot be stored, whatever is tried
	kindNoTable       // the schema is missing or older
	kindCut           // the server ended the connection: a commit may have happened
)

// kindOf classifies an error by the code that the driver attached to it. It
// knows the drivers by the shape of their errors alone.
func kindOf(err error) kind {
	k := kindOther
	walk(err, func(e error) bool {
		switch e := e.(type) {
		case interface{ SQLState() string }: // pgx, lib/pq
			k = ofSQLState(e.SQLState())
		case interface{ Code() int }: // modernc.org/sqlite
			k = ofSQLite(e.Code(), err)
		default:
			k = ofFields(e, err)
		}
		return k != kindOther
	})
	return k
}

// walk calls f with err and everything that it wraps until f answers true.
func walk(err error, f func(error) bool) bool {
	if err == nil {
		return false
	}
	if f(err) {
		return true
	}
	switch w := err.(type) {
	case interface{ Unwrap() error }:
		return walk(w.Unwrap(), f)
	case interface{ Unwrap() []error }:
		for _, e := range w.Unwrap() {
			if walk(e, f) {
				return true
			}
		}
	}
	return false
}

// ofSQLState classifies by PostgreSQL's Appendix A, Error Codes.
func ofSQLState(code string) kind {
	switch {
	case len(code) != 5:
		return kindOther
	case code == "40001" || code == "40P01" || code == "55P03":
		return kindConflict
	case code == "42P01" || code == "42703" || code == "3F000":
		return kindNoTable
	case code == "54000" || strings.HasPrefix(code, "22") || strings.HasPrefix(code, "23"):
		return kindData
	case strings.HasPrefix(code, "08") || strings.HasPrefix(code, "57P"):
		return kindCut
	}
	return kindServer
}

// ofSQLite classifies by the primary result code, https://sqlite.org/rescode.html.
func ofSQLite(code int, err error) kind {
	switch code & 0xff {
	case 5, 6: // SQLITE_BUSY, SQLITE_LOCKED
		return kindBusy
	case 18, 19, 20: // SQLITE_TOOBIG, SQLITE_CONSTRAINT, SQLITE_MISMATCH
		return kindData
	case 1: // SQLITE_ERROR
		if text := err.Error(); strings.Contains(text, "no such table") || strings.Contains(text, "no such column") {
			return kindNoTable
		}
	}
	return kindServer
}

// ofMySQL classifies by MySQL's server error numbers.
func ofMySQL(number uint64) kind {
	switch number {
	case 1213, 1205, 1020, 3572: // deadlock, lock wait timeout, record changed, NOWAIT
		return kindConflict
	case 1146, 1054, 1049: // no such table, column, database
		return kindNoTable
	case 1406, 1264, 1265, 1366, 1048, 1062, 1153: // data too long and the like, packet too large
		return kindData
	case 1053, 1152, 1184, 1927, 4031: // shutdown, aborted connection, killed, idle for too long
		return kindCut
	}
	return kindServer
}

// ofFields reads the errors that carry their code in a field: MySQLError.Number
// of go-sql-driver/mysql, Error.Code of mattn/go-sqlite3.
func ofFields(e, whole error) kind {
	v := reflect.Indirect(reflect.ValueOf(e))
	if v.Kind() != reflect.Struct {
		return kindOther
	}
	if f := v.FieldByName("Number"); f.IsValid() && f.Kind() == reflect.Uint16 && v.Type().Name() == "MySQLError" {
		return ofMySQL(f.Uint())
	}
	if f := v.FieldByName("Code"); f.IsValid() && f.Kind() == reflect.Int && strings.Contains(v.Type().PkgPath(), "sqlite3") {
		return ofSQLite(int(f.Int()), whole)
	}
	return kindOther
}

// afterCommit says of an error that a COMMIT answered, or a statement that is
// its own transaction, whether nobody can know what became of it.
func afterCommit(err error) error {
	if err == nil || errors.Is(err, driver.ErrBadConn) { // database/sql: not sent
		return err
	}
	switch kindOf(err) {
	case kindOther, kindCut:
		return errors.Join(webhook.ErrUnknownOutcome, err)
	}
	return err
}
