package sqlstore

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// uuid returns the key as the text of a UUID.
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
		var b strings.Builder
		b.Grow(columnSize(i, rows))
		b.WriteByte('{')
		for j, row := range rows {
			if j > 0 {
				b.WriteByte(',')
			}
			writeElement(&b, row[i])
		}
		b.WriteByte('}')
		args = append(args, b.String())
	}
	return append(args, places...)
}

// columnSize returns about how long the text of a column is, so that it is
// written in one piece.
func columnSize(col int, rows [][]any) int {
	n := 2
	for _, row := range rows {
		switch v := row[col].(type) {
		case string:
			n += len(v) + 3
		case key:
			n += 2*len(v) + 1
		default:
			n += 18
		}
	}
	return n
}

// joined returns the bytes of one column in one piece, and arrays of the places
// and sizes. Places count from 1, as in SQL.
func joined(col int, rows [][]any) (data []byte, places []any) {
	total := 0
	for _, row := range rows {
		total += len(row[col].([]byte))
	}
	data = make([]byte, 0, total)
	start, size := make([]any, len(rows)), make([]any, len(rows))
	for j, row := range rows {
		v := row[col].([]byte)
		start[j], size[j] = len(data)+1, len(v)
		data = append(data, v...)
	}
	return data, []any{arrayOf(start), arrayOf(size)}
}

// arrayOf returns the text of an array.
func arrayOf(values []any) string {
	var b strings.Builder
	b.Grow(8*len(values) + 2)
	b.WriteByte('{')
	for i, v := range values {
		if i > 0 {
			b.WriteByte(',')
		}
		writeElement(&b, v)
	}
	b.WriteByte('}')
	return b.String()
}

func writeElement(b *strings.Builder, v any) {
	var digits [2 * len(key{})]byte
	switch v := v.(type) {
	case nil:
		b.WriteString("null")
	case int64:
		b.Write(strconv.AppendInt(digits[:0], v, 10))
	case int:
		b.Write(strconv.AppendInt(digits[:0], int64(v), 10))
	case key:
		hex.Encode(digits[:], v[:])
		b.Write(digits[:])
	case string:
		writeQuoted(b, v)
	default:
		writeQuoted(b, fmt.Sprint(v))
	}
}

// writeQuoted writes a text element: see "Array Value Input" in PostgreSQL's
// manual.
func writeQuoted(b *strings.Builder, s string) {
	b.WriteByte('"')
	for {
		i := strings.IndexAny(s, `"\\`)
		if i < 0 {
			break
		}
		b.WriteString(s[:i])
		b.WriteByte('\\')
		b.WriteByte(s[i])
		s = s[i+1:]
	}
	b.WriteString(s)
	b.WriteByte('"')
}
