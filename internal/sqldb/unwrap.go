package sqldb

import (
	"database/sql"
	"reflect"
	"strings"
)

// Transaction returns what runs statements as they are. bun writes arguments into the
// text by itself, in place of question marks, so that a statement with $1 arrives
// without any: of its Tx and Conn, and of what embeds one, it returns the *sql.Tx or
// *sql.Conn inside. Everything else it returns as it is.
func Transaction(tx Tx) Tx {
	if inner := inBun(reflect.ValueOf(tx), false, 4); inner != nil {
		return inner
	}
	return tx
}

// inBun looks for the transaction in the embedded fields of v. Somebody's own struct
// around a *sql.Tx, with methods that log or count, is left alone: within says that v
// is a part of a type of bun's.
func inBun(v reflect.Value, within bool, depth int) Tx {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		switch inner := v.Interface().(type) {
		case *sql.Tx, *sql.Conn, *sql.DB:
			if within && !v.IsNil() {
				return inner.(Tx)
			}
			return nil
		}
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct || depth == 0 {
		return nil
	}
	within = within || strings.HasPrefix(v.Type().PkgPath(), "github.com/uptrace/bun")
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.Anonymous && f.IsExported() {
			if inner := inBun(v.Field(i), within, depth-1); inner != nil {
				return inner
			}
		}
	}
	return nil
}
