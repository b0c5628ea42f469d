package sqldb

import (
	"database/sql/driver"
	"io"
	"net"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
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
	Session       // what was asked did not happen, and would on another connection
)

// KindOf classifies an error by the code that the driver attached to it. It
// knows the drivers by the shape of their errors alone.
func KindOf(err error) Kind {
	k := Other
	walk(err, func(e error) bool {
		switch e := e.(type) {
		case spoiled:
			k = Session
		case interface{ SQLState() string }: // pgx, lib/pq
			k = ofSQLState(e.SQLState())
		case interface{ Field(byte) string }: // bun's pgdriver
			k = ofSQLState(e.Field('C'))
		case interface{ Code() int }: // modernc.org/sqlite, glebarez/go-sqlite
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

// OfConnection reports whether err means that the connection was lost, or must not be
// used any more: another one may do what was asked.
func OfConnection(err error) bool {
	switch KindOf(err) {
	case Cut, Session:
		return true
	case Other:
		return walk(err, func(e error) bool {
			switch e {
			case driver.ErrBadConn, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE:
				return true
			}
			return e.Error() == "invalid connection" // go-sql-driver/mysql
		})
	}
	return false
}

// sessionStates are the SQLSTATEs of what another connection may do: the server is
// read-only, since another one has become the primary; the session was left in a
// transaction, or in one that failed or timed out; a prepared statement is not there, is
// there already, or was planned for columns of another type.
var sessionStates = []string{"25006", "25001", "25P02", "25P03", "26000", "42P05", "0A000"}

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
	case code == "40003" || code == "25P04" || strings.HasPrefix(code, "08") || strings.HasPrefix(code, "57P"):
		return Cut
	case slices.Contains(sessionStates, code):
		return Session
	}
	return Server
}

// ofSQLite classifies by the primary result code, https://sqlite.org/rescode.html.
func ofSQLite(code int, err error) Kind {
	switch code & 0xff {
	case 8:
		if code == 1032 { // SQLITE_READONLY_DBMOVED: the file of this name is another one now
			return Session
		}
	case 17: // SQLITE_SCHEMA: it changes faster than statements are prepared
		return Session
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
	case 1053, 1077, 1079, 1080, 1152, 1184, 1927, 2006, 2013, 2055, 3169, 4031: // shutdown, aborted, gone, lost, killed, idle for too long
		return Cut
	case 1158, 1159, 1160, 1161: // the server could not read or write the network
		return Cut
	case 1290, 1792, 1836: // a read-only server, transaction or mode: another server is the primary
		return Session
	case 1047: // MariaDB's Galera: the node is not in the cluster
		return Session
	case 1099, 1100, 1223, 1399, 1568: // left behind: locks of tables, a read lock, a transaction
		return Session
	case 1243, 1615: // a prepared statement that is not there, or has to be prepared anew
		return Session
	}
	return Server
}

// ofFields reads the errors that carry their code in a field, MySQLError.Number
// of go-sql-driver/mysql and Error.Code of mattn/go-sqlite3, or in a method that returns
// a type of its own, Error.ExtendedCode of ncruces/go-sqlite3, whose codes are errors
// themselves.
func ofFields(e, whole error) Kind {
	v := reflect.ValueOf(e)
	s := reflect.Indirect(v)
	switch s.Kind() {
	case reflect.Uint8, reflect.Uint16:
		if strings.Contains(s.Type().PkgPath(), "sqlite3") {
			return ofSQLite(int(s.Uint()), whole) // #nosec G115 -- 16 bits
		}
		return Other
	case reflect.Struct:
	default:
		return Other
	}
	if f := s.FieldByName("Number"); f.IsValid() && f.Kind() == reflect.Uint16 && s.Type().Name() == "MySQLError" {
		return ofMySQL(f.Uint())
	}
	if !strings.Contains(s.Type().PkgPath(), "sqlite3") {
		return Other
	}
	if f := s.FieldByName("Code"); f.IsValid() && f.Kind() == reflect.Int {
		return ofSQLite(int(f.Int()), whole)
	}
	if m := v.MethodByName("ExtendedCode"); m.IsValid() && m.Type().NumIn() == 0 && m.Type().NumOut() == 1 && m.Type().Out(0).Kind() == reflect.Uint16 {
		return ofSQLite(int(m.Call(nil)[0].Uint()), whole) // #nosec G115 -- 16 bits
	}
	return Other
}

// CodeOf returns the SQLSTATE of an error of PostgreSQL, or the number of one of MySQL,
// and "" for any other.
func CodeOf(err error) (code string) {
	walk(err, func(e error) bool {
		switch e := e.(type) {
		case interface{ SQLState() string }:
			code = e.SQLState()
		case interface{ Field(byte) string }:
			code = e.Field('C')
		default:
			s := reflect.Indirect(reflect.ValueOf(e))
			if s.Kind() != reflect.Struct || s.Type().Name() != "MySQLError" {
				return false
			}
			if f := s.FieldByName("Number"); f.IsValid() && f.Kind() == reflect.Uint16 {
				code = strconv.FormatUint(f.Uint(), 10)
			}
		}
		return code != ""
	})
	return code
}
