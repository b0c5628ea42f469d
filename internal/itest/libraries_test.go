package itest

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	entdialect "entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/mysqldialect"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"github.com/uptrace/bun/schema"
	gormmysql "gorm.io/driver/mysql"
	gormpostgres "gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/ringyo-ai/webhook/sqlstore"
)

// order is what the caller's own code writes.
type order struct {
	bun.BaseModel `bun:"table:orders" gorm:"-"`
	Item          string
}

// library runs work and emit in one transaction, as its users would write it.
type library struct {
	name string
	run  func(t *testing.T, s *testStore, o order, emit func(tx sqlstore.Tx) error) error
}

var libraries = []library{
	{"sqlx", inSqlx},
	{"bun", inBun},
	{"bun, in a struct of the caller's", inOwnBun},
	{"bun, on a connection", inBunConn},
	{"gorm", func(t *testing.T, s *testStore, o order, emit func(sqlstore.Tx) error) error {
		return inGorm(t, s, &gorm.Config{}, o, emit)
	}},
	{"gorm with prepared statements", func(t *testing.T, s *testStore, o order, emit func(sqlstore.Tx) error) error {
		return inGorm(t, s, &gorm.Config{PrepareStmt: true}, o, emit)
	}},
	{"ent", inEnt},
}

func inSqlx(t *testing.T, s *testStore, o order, emit func(sqlstore.Tx) error) error {
	db := sqlx.NewDb(s.db, s.driver)
	tx, err := db.BeginTxx(ctx, nil)
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	_, err = tx.NamedExecContext(ctx, "insert into orders (item) values (:item)", o)
	require.NoError(t, err)
	if err := emit(tx); err != nil {
		return err
	}
	return tx.Commit()
}

func bunOf(s *testStore) *bun.DB {
	dialects := map[sqlstore.Dialect]schema.Dialect{
		sqlstore.Postgres: pgdialect.New(), sqlstore.MySQL: mysqldialect.New(), sqlstore.SQLite: sqlitedialect.New(),
	}
	return bun.NewDB(s.db, dialects[s.dialect])
}

func inBun(t *testing.T, s *testStore, o order, emit func(sqlstore.Tx) error) error {
	return bunOf(s).RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewInsert().Model(&o).Exec(ctx)
		require.NoError(t, err)
		return emit(tx)
	})
}

// unitOfWork is what callers wrap transactions in.
type unitOfWork struct{ bun.IDB }

func inOwnBun(t *testing.T, s *testStore, o order, emit func(sqlstore.Tx) error) error {
	return bunOf(s).RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewInsert().Model(&o).Exec(ctx)
		require.NoError(t, err)
		return emit(&unitOfWork{tx})
	})
}

func inBunConn(t *testing.T, s *testStore, o order, emit func(sqlstore.Tx) error) error {
	conn, err := bunOf(s).Conn(ctx)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = conn.ExecContext(ctx, "begin")
	require.NoError(t, err)
	_, err = conn.NewInsert().Model(&o).Exec(ctx)
	require.NoError(t, err)
	if err := emit(conn); err != nil {
		_, undo := conn.ExecContext(ctx, "rollback")
		return errors.Join(err, undo)
	}
	_, err = conn.ExecContext(ctx, "commit")
	return err
}

func inGorm(t *testing.T, s *testStore, cfg *gorm.Config, o order, emit func(sqlstore.Tx) error) error {
	var d gorm.Dialector
	switch s.dialect {
	case sqlstore.Postgres:
		d = gormpostgres.New(gormpostgres.Config{Conn: s.db})
	case sqlstore.MySQL:
		d = gormmysql.New(gormmysql.Config{Conn: s.db})
	default:
		t.Skip("skipped: gorm's SQLite is one more driver")
	}
	db, err := gorm.Open(d, cfg)
	require.NoError(t, err)
	return db.Transaction(func(tx *gorm.DB) error {
		require.NoError(t, tx.Table("orders").Create(&o).Error)
		return emit(tx.Statement.ConnPool)
	})
}

func inEnt(t *testing.T, s *testStore, o order, emit func(sqlstore.Tx) error) error {
	names := map[sqlstore.Dialect]string{
		sqlstore.Postgres: entdialect.Postgres, sqlstore.MySQL: entdialect.MySQL, sqlstore.SQLite: entdialect.SQLite,
	}
	tx, err := s.db.BeginTx(ctx, nil)
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	// ent.NewClient(ent.Driver(driver)) is the client of the transaction.
	driver := entsql.NewDriver(names[s.dialect], entsql.Conn{ExecQuerier: tx})
	text, args := entsql.Dialect(names[s.dialect]).Insert("orders").Columns("item").Values(o.Item).Query()
	require.NoError(t, driver.Exec(ctx, text, args, nil))
	if err := emit(tx); err != nil {
		return err
	}
	return tx.Commit()
}

func TestTransactionsOfOtherLibrariesJoin(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		s.exec(t, "create table orders (item varchar(50) not null)")
		_, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
		require.NoError(t, err)
		for _, l := range libraries {
			t.Run(l.name, func(t *testing.T) {
				count := func(table string) int64 { return s.number(t, "select count(*) from "+table) }
				orders, deliveries := count("orders"), count("webhook_delivery")
				end := errors.New("rolled back")
				emit := func(tx sqlstore.Tx) error {
					mustEnqueue(t, s.Tx(tx), event("evt_"+l.name))
					return end
				}
				require.ErrorIs(t, l.run(t, s, order{Item: "tea"}, emit), end)
				assert.Equal(t, [2]int64{orders, deliveries}, [2]int64{count("orders"), count("webhook_delivery")})
				end = nil
				require.NoError(t, l.run(t, s, order{Item: "tea"}, emit))
				assert.Equal(t, [2]int64{orders + 1, deliveries + 1}, [2]int64{count("orders"), count("webhook_delivery")})
			})
		}
	})
}

// counter is a caller's own transaction, which sees each statement.
type counter struct {
	*sql.Tx
	n int
}

func (c *counter) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	c.n++
	return c.Tx.ExecContext(ctx, query, args...)
}

func TestATransactionOfTheCallersOwnSeesTheStatements(t *testing.T) {
	t.Parallel()
	s := databases[0].store(t)
	tx, _ := s.begin(t)
	c := &counter{Tx: tx}
	mustEnqueue(t, s.Tx(c), event("evt_1"))
	assert.Positive(t, c.n)
}
