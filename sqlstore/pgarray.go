package sqlstore

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"strconv"
)

// uuid answers the key as the text of a UUID.
func (k key) uuid() string { return hex.EncodeToString(k[:]) }

// bulkArrays passes each column as the text of an array, which every driver
// sends as it is. Bytes, whose text would be twice their size, go as one
// parameter for all rows, followed by where each begins and how long it is.
func bulkArrays(ctx context.Context, t *txn, b *bulk, rows [][]any, scan func(*sql.Rows) error) error {
	for len(rows) > 0 {
		n := arrayRows(rows)
		args := columns(b.kinds, rows[:n])
		rows = rows[n:]
		var err error
		if scan == nil {
			err = t.exec(ctx, b.text, args...)
		} else {
			err = t.query(ctx, b.text, scan, args...)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Bounds of one statement: a gigabyte is the limit of PostgreSQL.
const (
	maxArray = 10_000
	maxBytes = 16 << 20
)

func arrayRows(rows [][]any) int {
	size := 0
	for n, row := range rows {
		for _, v := range row {
			size += sizeOf(v)
		}
		if n > 0 && (n == maxArray || size > maxBytes) {
			return n
		}
	}
	return len(rows)
}

func columns(kinds string, rows [][]any) []any {
	args := make([]any, 0, len(kinds)+2)
	var places []any
	for i := range kinds {
		if kinds[i] == 'b' {
			var data any
			data, places = joined(i, rows)
			args = append(args, data)
			continue
		}
		buf := append(make([]byte, 0, 16*len(rows)), '{')
		for j, row := range rows {
			if j > 0 {
				buf = append(buf, ',')
			}
			buf = appendElement(buf, row[i])
		}
		args = append(args, string(append(buf, '}')))
	}
	return append(args, places...)
}

// joined answers the bytes of one column in one piece, and arrays of the places
// and sizes. Places count from 1, as in SQL.
func joined(col int, rows [][]any) (data []byte, places []any) {
	start, size := []byte{'{'}, []byte{'{'}
	data = []byte{}
	for j, row := range rows {
		if j > 0 {
			start, size = append(start, ','), append(size, ',')
		}
		v := row[col].([]byte)
		start = strconv.AppendInt(start, int64(len(data)+1), 10)
		size = strconv.AppendInt(size, int64(len(v)), 10)
		data = append(data, v...)
	}
	return data, []any{string(append(start, '}')), string(append(size, '}'))}
}

// arrayOf answers the text of an array.
func arrayOf(values []any) string {
	buf := []byte{'{'}
	for i, v := range values {
		if i > 0 {
			buf = append(buf, ',')
		}
		buf = appendElement(buf, v)
	}
	return string(append(buf, '}'))
}

func appendElement(buf []byte, v any) []byte {
	switch v := v.(type) {
	case int64:
		return strconv.AppendInt(buf, v, 10)
	case int:
		return strconv.AppendInt(buf, int64(v), 10)
	case key:
		return hex.AppendEncode(buf, v[:])
	case string:
		return appendQuoted(buf, v)
	}
	return appendQuoted(buf, fmt.Sprint(v))
}

// appendQuoted writes a text element: see "Array Value Input" in PostgreSQL's
// manual.
func appendQuoted(buf []byte, s string) []byte {
	buf = append(buf, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			buf = append(buf, '\\')
		}
		buf = append(buf, s[i])
	}
	return append(buf, '"')
}
