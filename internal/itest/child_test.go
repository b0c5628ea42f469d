package itest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
)

// childVariable holds the orders of a process that a crash test starts: the test
// binary itself, which then runs no test.
const childVariable = "WEBHOOK_TEST_CHILD"

// orders are what a child process is to do.
type orders struct {
	Driver, DSN string
	Dialect     sqlstore.Dialect
	URL         string // of the receiver
	DieBefore   int64  // see suicide; 0: when somebody kills it
	First       int    // number of the first event
	Events      int    // 0: go on until somebody kills it
}

func TestMain(m *testing.M) {
	if text := os.Getenv(childVariable); text != "" {
		var o orders
		err := json.Unmarshal([]byte(text), &o)
		if err == nil {
			err = o.run(context.Background())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// The MySQL driver's connections and database/sql end in the background.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("database/sql.(*DB).connectionOpener"),
		goleak.IgnoreAnyFunction("github.com/go-sql-driver/mysql.(*mysqlConn).startWatcher.func1"))
}

// schedule is the default schedule, a thousand times as fast.
type schedule struct{}

func (schedule) Next(attempt int, _ webhook.Result) (time.Duration, bool) {
	return time.Duration(attempt) * time.Millisecond, attempt < 6
}

// newEngine makes an engine that sends to this machine.
func newEngine(s webhook.Store, hooks webhook.Hooks) (*webhook.Engine, error) {
	transport, err := webhook.NewHTTPTransport(webhook.HTTPConfig{
		AllowHTTP: true, AllowPrefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	})
	if err != nil {
		return nil, err
	}
	return webhook.New(webhook.Config{
		Store: s, Transport: transport, Logger: slog.New(slog.DiscardHandler), Retry: schedule{}, Jitter: -1, Hooks: hooks,
		AttemptTimeout: time.Second, StoreTimeout: 5 * time.Second, PollInterval: 20 * time.Millisecond,
	})
}

// The endpoints of a child: one answers, one fails now and then, one is gone.
var childEndpoints = []string{"wh_ok", "wh_flaky", "wh_gone"}

// run does everything that a process does: it migrates, makes endpoints, emits,
// delivers, disables and enables, and purges.
func (o orders) run(ctx context.Context) error {
	db, err := openSuicidal(o.Driver, o.DSN, o.DieBefore)
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(4)
	s, err := sqlstore.New(db, o.Dialect, nil)
	if err != nil {
		return err
	}
	if err := s.Migrate(ctx); err != nil {
		return err
	}
	for _, id := range childEndpoints {
		c := endpoint(id)
		c.Record.URL = o.URL + "/" + id
		if _, err := s.CreateEndpoint(ctx, c); err != nil && !errors.Is(err, webhook.ErrIDConflict) {
			return err
		}
	}
	e, err := newEngine(s, webhook.Hooks{})
	if err != nil {
		return err
	}
	if o.Events == 0 {
		return o.forever(ctx, e)
	}
	return o.story(ctx, s, e)
}

// story is short, and the same each time.
func (o orders) story(ctx context.Context, s *sqlstore.Store, e *webhook.Engine) error {
	for n := range o.Events {
		if err := o.emit(ctx, e, o.First+n, 1); err != nil {
			return err
		}
	}
	if err := o.passes(ctx, e, 8); err != nil {
		return err
	}
	if _, err := e.DisableEndpoint(ctx, "a", "wh_flaky"); err != nil {
		return err
	}
	if err := o.emit(ctx, e, o.First+o.Events, 1); err != nil {
		return err
	}
	if err := o.passes(ctx, e, 2); err != nil {
		return err
	}
	if _, err := e.EnableEndpoint(ctx, "a", "wh_flaky"); err != nil {
		return err
	}
	if err := o.passes(ctx, e, 8); err != nil {
		return err
	}
	_, err := s.Maintain(ctx, webhook.MaintainRequest{Limit: 100, Retention: time.Microsecond})
	return err
}

func (o orders) passes(ctx context.Context, e *webhook.Engine, n int) error {
	for range n {
		if _, err := e.DeliverDue(ctx); err != nil {
			return err
		}
	}
	return nil
}

// forever emits and delivers until somebody kills the process.
func (o orders) forever(ctx context.Context, e *webhook.Engine) error {
	if err := e.Start(ctx); err != nil {
		return err
	}
	for n := o.First; ; n += 10 {
		if err := o.emit(ctx, e, n, 10); err != nil {
			return err
		}
	}
}

// emit tells the parent of each event before and after it is emitted.
func (o orders) emit(ctx context.Context, e *webhook.Engine, first, n int) error {
	var batch []webhook.Event
	for i := range n {
		ev, err := webhook.NewEvent("a", "custom.thing", json.RawMessage(fmt.Sprintf(`{"n":%d}`, first+i)))
		if err != nil {
			return err
		}
		ev.ID = fmt.Sprintf("evt_%d", first+i)
		batch = append(batch, ev)
	}
	fmt.Println("try", first, n)
	err := e.Emit(ctx, batch...)
	for deadline := time.Now().Add(time.Minute); err != nil && time.Now().Before(deadline); {
		err = e.Emit(ctx, batch...) // what an emitter does, with the same ids
	}
	if err != nil {
		return err
	}
	fmt.Println("ack", first, n)
	return nil
}
