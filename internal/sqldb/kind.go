package sqldb

import (
	"reflect"
	"strings"
)

// Kind is what has to be known about an error of the database.
type Kind int

// Kinds of errors.
const (
	Other    Kind = iota
	Server        // reported by the database: what was asked did not happen
	Conflict      // deadlock, serialization failure, lock wait: repeat the transaction
	Busy          // SQLite is locked by another writer: wait and repeat
	Data          // this row cannot be stored, whatever is tried
	NoTable       // the schema is missing or older
	Cut           // the server ended the connection: a commit may have happened
)

// KindOf classifies an error by the code that the driver attached to it. It
// knows the drivers by the shape of their errors alone.
func KindOf(err error) Kind {
	k := Other
	walk(err, func(e error) bool {
		switch e := e.(type) {
		case interface{ SQLState() string }: // pgx, lib/pq
			k = ofSQLState(e.SQLState())
		case interface{ Code() int }: // modernc.org/sqlite
			k = ofSQLite(e.Code(), err)
		default:
			k = ofFields(e, err)
		}
		return k != Other
	})
	return k
}

// walk calls f with err and everything that it wraps until f returns true.
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
func ofSQLState(code string) Kind {
	switch {
	case len(code) != 5:
		return Other
	case code == "40001" || code == "40P01" || code == "55P03":
		return Conflict
	case code == "42P01" || code == "42703" || code == "3F000":
		return NoTable
	case code == "54000" || strings.HasPrefix(code, "22") || strings.HasPrefix(code, "23"):
		return Data
	case strings.HasPrefix(code, "08") || strings.HasPrefix(code, "57P"):
		return Cut
	}
	return Server
}

// ofSQLite classifies by the primary result code, https://sqlite.org/rescode.html.
func ofSQLite(code int, err error) Kind {
	switch code & 0xff {
	case 5, 6: // SQLITE_BUSY, SQLITE_LOCKED
		return Busy
	case 18, 19, 20: // SQLITE_TOOBIG, SQLITE_CONSTRAINT, SQLITE_MISMATCH
		return Data
	case 1: // SQLITE_ERROR
		if text := err.Error(); strings.Contains(text, "no such table") || strings.Contains(text, "no such column") {
			return NoTable
		}
	}
	return Server
}

// ofMySQL classifies by MySQL's server error numbers.
func ofMySQL(number uint64) Kind {
	switch number {
	case 1213, 1205, 1020, 3572: // deadlock, lock wait timeout, record changed, NOWAIT
		return Conflict
	case 1146, 1054, 1049: // no such table, column, database
		return NoTable
	case 1406, 1264, 1265, 1366, 1048, 1062, 1153: // data too long and the like, packet too large
		return Data
	case 1053, 1152, 1184, 1927, 4031: // shutdown, aborted connection, killed, idle for too long
		return Cut
	}
	return Server
}

// ofFields reads the errors that carry their code in a field: MySQLError.Number
// of go-sql-driver/mysql, Error.Code of mattn/go-sqlite3.
func ofFields(e, whole error) Kind {
	v := reflect.Indirect(reflect.ValueOf(e))
	if v.Kind() != reflect.Struct {
		return Other
	}
	if f := v.FieldByName("Number"); f.IsValid() && f.Kind() == reflect.Uint16 && v.Type().Name() == "MySQLError" {
		return ofMySQL(f.Uint())
	}
	if f := v.FieldByName("Code"); f.IsValid() && f.Kind() == reflect.Int && strings.Contains(v.Type().PkgPath(), "sqlite3") {
		return ofSQLite(int(f.Int()), whole)
	}
	return Other
}
