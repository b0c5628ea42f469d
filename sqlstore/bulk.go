package sqlstore

import (
	"context"
	"database/sql"
	"slices"
	"strings"
)

// bulk is a statement for many rows of one kind. Where the rows stand in its text
// there is %ROWS%, each of them written as row and separated by sep; a statement
// that gets arrays, or one row at a time, has none. The first same values of a row,
// alike in all of them, stand once before the rows (inChunks).
type bulk[R row] struct {
	text, row, sep string
	same           int
}

// row is a row of a statement: what it writes, or what it looks up. The types are
// in rows.go.
type row interface {
	// encode gives the columns to an encoder, in the order of the statement.
	encode(encoder)
}

// encoder turns the columns of rows into parameters, in the form that a dialect
// wants them.
type encoder interface {
	key(key)
	num(int64)
	text(string)
	null() // of a text
	blob([]byte)
}

// stmt is a bulk without the type of its rows.
type stmt bulk[key]

func (b *bulk[R]) stmt() *stmt { return (*stmt)(b) }

// of returns the statement with the rows that it is to run for.
func (b *bulk[R]) of(rows []R) batch { return batch{stmt: b.stmt(), rows: rowList[R](rows)} }

// batch is a statement with rows.
type batch struct {
	*stmt
	rows interface {
		len() int
		encode(i int, to encoder)
	}
}

type rowList[R row] []R

func (l rowList[R]) len() int                 { return len(l) }
func (l rowList[R]) encode(i int, to encoder) { l[i].encode(to) }

// execAll runs statements one after the other, those that have rows.
func (t *txn) execAll(ctx context.Context, list ...batch) error {
	for _, b := range list {
		if err := t.queryAll(ctx, b, nil); err != nil {
			return err
		}
	}
	return nil
}

// queryAll runs a statement, if it has rows, and calls scan for each row of its
// result.
func (t *txn) queryAll(ctx context.Context, b batch, scan func(*sql.Rows) error) error {
	if b.rows.len() == 0 {
		return nil
	}
	return t.s.dialect.bulk(ctx, t, b, scan)
}

// run runs one statement; without scan it has no result.
func (t *txn) run(ctx context.Context, text string, scan func(*sql.Rows) error, args []any) error {
	if scan == nil {
		return t.exec(ctx, text, args...)
	}
	return t.query(ctx, text, scan, args...)
}

// flat is an encoder for statements in which each value is a parameter.
type flat struct {
	keyArg func(key) any
	args   []any
	bytes  int // about how many the values have
}

// parameters returns an encoder for about n rows. It is the same for all statements of
// a transaction, which run one after the other.
func (t *txn) parameters(keyArg func(key) any, n int) *flat {
	t.flat = flat{keyArg: keyArg, args: slices.Grow(t.flat.args[:0], 8*n)}
	return &t.flat
}

func (f *flat) add(v any, size int) {
	f.args = append(f.args, v)
	f.bytes += size
}

func (f *flat) key(k key)     { f.add(f.keyArg(k), len(k)) }
func (f *flat) num(n int64)   { f.add(n, 8) }
func (f *flat) text(s string) { f.add(s, len(s)) }
func (f *flat) null()         { f.add(nil, 0) }
func (f *flat) blob(b []byte) { f.add(b, len(b)) }

// chunks are the numbers of rows of one statement in bulkChunks: few, so that
// each can be prepared once.
var chunks = [...]int{32, 8, 1}

// bulkChunks runs the statement for several rows at once, in few sizes. Where
// there is no network in between, most of the price of a small statement is
// everything around it.
func bulkChunks(ctx context.Context, t *txn, b batch, scan func(*sql.Rows) error) error {
	return t.inChunks(b, func(text string, args []any) error { return t.run(ctx, text, scan, args) })
}

// inChunks calls f with the text and the parameters for some of the rows after the
// other. A statement without a form for rows gets one at a time.
func (t *txn) inChunks(b batch, f func(text string, args []any) error) error {
	done, left := 0, b.rows.len()
	for _, n := range chunks {
		if n > 1 && b.row == "" {
			continue
		}
		for ; left >= n; left -= n {
			to := t.parameters(keyBytes, n)
			for i := range n {
				at := len(to.args)
				b.rows.encode(done, to)
				if done++; i > 0 {
					to.args = slices.Delete(to.args, at, at+b.same)
				}
			}
			if err := f(t.s.chunkText(b.stmt, n), to.args); err != nil {
				return err
			}
		}
	}
	return nil
}

// chunkText returns the statement for n rows, made once.
func (s *Store) chunkText(b *stmt, n int) string {
	type of struct {
		b *stmt
		n int
	}
	text, ok := s.chunkTexts.Load(of{b, n})
	if !ok {
		text = b.textFor(n)
		s.chunkTexts.Store(of{b, n}, text)
	}
	return text.(string)
}

// textFor returns the statement for n rows.
func (b *stmt) textFor(n int) string {
	return strings.Replace(b.text, "%ROWS%", b.row+strings.Repeat(b.sep+b.row, n-1), 1)
}

// Bounds of one statement of bulkRows. MySQL's protocol allows 65,535
// parameters, and its servers packets of 1 MiB at the least; a row above that
// goes alone.
const (
	maxParameters = 16_000
	maxPacket     = 512 << 10
)

// bulkRows writes as many rows into the text of the statement as it may have.
func bulkRows(ctx context.Context, t *txn, b batch, scan func(*sql.Rows) error) error {
	for done, all := 0, b.rows.len(); done < all; {
		n, args := t.fill(b, done)
		if err := t.run(ctx, b.textFor(n), scan, args); err != nil {
			return err
		}
		done += n
	}
	return nil
}

// fill takes as many rows as one statement holds, and returns their values.
func (t *txn) fill(b batch, from int) (n int, args []any) {
	to := t.parameters(keyHex, 1)
	for ; from+n < b.rows.len(); n++ {
		at := len(to.args)
		b.rows.encode(from+n, to)
		if n > 0 && (to.bytes > maxPacket || len(to.args) > maxParameters) {
			return n, to.args[:at]
		}
	}
	return n, to.args
}
