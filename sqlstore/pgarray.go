package sqlstore

import (
	"context"
	"database/sql"
	"encoding/hex"
	"math"
	"strconv"
	"strings"
)

// Bounds of one statement: a gigabyte is the limit of PostgreSQL.
const (
	maxArray = 10_000
	maxBytes = 16 << 20
)

const (
	maxColumns = 20 // more than any statement has
	// usualElement is how long the text of an array of one is, about: that of a key
	// has 34 bytes.
	usualElement = 40
	// mostReserved bounds what a column takes for rows that it has not seen.
	mostReserved = 64 << 10
)

// bulkArrays passes each column as an array.
func bulkArrays(ctx context.Context, t *txn, b batch, scan func(*sql.Rows) error) error {
	for done, all := 0, b.rows.len(); done < all; {
		a := encodeArrays(b, done, maxArray, maxBytes)
		if err := t.run(ctx, b.text, scan, a.args()); err != nil {
			return err
		}
		done += a.rows
	}
	return nil
}

// arrays is an encoder for statements whose parameters are columns: each is the text
// of an array, which every driver sends as it is. Bytes, whose text would be twice
// their size, are two arrays, of where they begin and of how many they are, in one
// parameter for all rows, which is the last one.
type arrays struct {
	columns [maxColumns]strings.Builder
	width   int // columns in use
	at      int // the next column of the row
	rows    int
	blobs   [][]byte
	place   int // of the next bytes, counted from 1 as in SQL
	bytes   int // about how many the rows have
}

// arraysOf encodes all of the rows. If there are none it makes empty arrays, for which
// a row without values has to be one that can be encoded.
func arraysOf[R row](rows []R) *arrays {
	if len(rows) > 0 {
		return encodeArrays(batch{rows: rowList[R](rows)}, 0, len(rows), math.MaxInt)
	}
	a := encodeArrays(batch{rows: make(rowList[R], 1)}, 0, 1, math.MaxInt)
	for i := range a.width {
		a.columns[i].Reset()
	}
	return a
}

// encodeArrays takes rows until they are as many, or have as many bytes, as given.
func encodeArrays(b batch, from, most, bytes int) *arrays {
	a := &arrays{place: 1}
	for n := min(most, b.rows.len()-from); a.rows < n && a.bytes < bytes; {
		a.at = 0
		b.rows.encode(from+a.rows, a)
		if a.rows++; a.rows == 1 {
			a.reserve(n - 1)
		}
	}
	return a
}

// reserve makes room for n rows like the first one.
func (a *arrays) reserve(n int) {
	for i := range a.width {
		c := &a.columns[i]
		c.Grow(min(n*(c.Len()+2), mostReserved))
	}
}

// large reports whether the rows are more than one statement takes.
func (a *arrays) large() bool { return a.rows > maxArray || a.bytes > maxBytes }

// column returns the next column of the row, after what separates its elements.
func (a *arrays) column() *strings.Builder {
	c := &a.columns[a.at]
	a.at++
	a.width = max(a.width, a.at)
	if c.Len() == 0 {
		c.Grow(usualElement)
		c.WriteByte('{')
	} else {
		c.WriteByte(',')
	}
	return c
}

func (a *arrays) key(k key) {
	var digits [2 * len(k)]byte
	hex.Encode(digits[:], k[:])
	_, _ = a.column().Write(digits[:])
	a.bytes += len(k)
}

func (a *arrays) num(n int64) {
	var digits [20]byte
	_, _ = a.column().Write(strconv.AppendInt(digits[:0], n, 10))
	a.bytes += 8
}

func (a *arrays) text(s string) {
	writeQuoted(a.column(), s)
	a.bytes += len(s)
}

// null writes empty text, which the statement has to take for NULL: with array_nulls=off
// an element NULL is the text of that.
func (a *arrays) null() { a.text("") }

func (a *arrays) blob(b []byte) {
	a.num(int64(a.place))
	a.num(int64(len(b)))
	a.blobs = append(a.blobs, b)
	a.place += len(b)
	a.bytes += len(b)
}

// args returns all parameters.
func (a *arrays) args() []any {
	args := a.texts()
	if a.blobs != nil {
		args = append(args, a.data())
	}
	return args
}

// texts returns the texts of the columns.
func (a *arrays) texts() []any {
	args := make([]any, a.width, a.width+1)
	for i := range args {
		c := &a.columns[i]
		if c.Len() == 0 {
			c.WriteByte('{')
		}
		c.WriteByte('}')
		args[i] = c.String()
	}
	return args
}

// data returns the bytes of all rows, concatenated.
func (a *arrays) data() []byte {
	data := make([]byte, 0, a.place-1)
	for _, b := range a.blobs {
		data = append(data, b...)
	}
	return data
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
