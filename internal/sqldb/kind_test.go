package sqldb_test

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ringyo-ai/webhook/internal/sqldb"
)

// The shapes of drivers' errors.
type (
	stateError struct{ code string }       // pgx, lib/pq
	fieldError struct{ m map[byte]string } // bun's pgdriver
	MySQLError struct{ Number uint16 }     // go-sql-driver/mysql
	codeError  struct{ error }             // modernc.org/sqlite
)

func (e stateError) Error() string       { return e.code }
func (e stateError) SQLState() string    { return e.code }
func (e fieldError) Error() string       { return e.m['M'] }
func (e fieldError) Field(k byte) string { return e.m[k] }
func (e *MySQLError) Error() string      { return fmt.Sprint(e.Number) }
func (codeError) Code() int              { return 1032 }

func TestKindOfKnowsDriversByTheShapeOfTheirErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err          error
		want         sqldb.Kind
		ofConnection bool
	}{
		{nil, sqldb.Other, false},
		{errors.New("no"), sqldb.Other, false},
		{stateError{"23505"}, sqldb.Data, false},
		{stateError{"40P01"}, sqldb.Conflict, false},
		{stateError{"42P01"}, sqldb.NoTable, false},
		{stateError{"42501"}, sqldb.Server, false},
		{stateError{"57P01"}, sqldb.Cut, true},
		{stateError{"57P05"}, sqldb.Cut, true},
		{stateError{"08006"}, sqldb.Cut, true},
		{stateError{"40003"}, sqldb.Cut, true},
		{stateError{"25006"}, sqldb.Session, true},
		{stateError{"25P02"}, sqldb.Session, true},
		{stateError{"26000"}, sqldb.Session, true},
		{stateError{"42P05"}, sqldb.Session, true},
		{stateError{"0A000"}, sqldb.Session, true},
		{fieldError{map[byte]string{'C': "23505"}}, sqldb.Data, false},
		{fieldError{map[byte]string{'C': "25006"}}, sqldb.Session, true},
		{&MySQLError{1062}, sqldb.Data, false},
		{&MySQLError{1213}, sqldb.Conflict, false},
		{&MySQLError{1064}, sqldb.Server, false},
		{&MySQLError{1053}, sqldb.Cut, true},
		{&MySQLError{1927}, sqldb.Cut, true},
		{&MySQLError{2006}, sqldb.Cut, true},
		{&MySQLError{2013}, sqldb.Cut, true},
		{&MySQLError{4031}, sqldb.Cut, true},
		{&MySQLError{1047}, sqldb.Session, true},
		{&MySQLError{1290}, sqldb.Session, true},
		{&MySQLError{1792}, sqldb.Session, true},
		{&MySQLError{1836}, sqldb.Session, true},
		{codeError{io.ErrNoProgress}, sqldb.Session, true},
		{errors.New("invalid connection"), sqldb.Other, true},
		{driver.ErrBadConn, sqldb.Other, true},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, sqldb.Other, true},
		{io.ErrUnexpectedEOF, sqldb.Other, true},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, sqldb.Other, false},
	} {
		for _, err := range []error{c.err, errors.Join(errors.New("before"), wrapped(c.err))} {
			assert.Equal(t, c.want, sqldb.KindOf(err), "%T %v", c.err, c.err)
			assert.Equal(t, c.ofConnection, sqldb.OfConnection(err), "%T %v", c.err, c.err)
		}
	}
}

func wrapped(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("around: %w", err)
}
