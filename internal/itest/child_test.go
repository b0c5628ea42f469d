package itest

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"runtime"
	"strconv"
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
	Story       string // see stories
	DieBefore   int64  // operation of the database; 0: when somebody kills it
	DieAt       failPoint
	First       int // number of the first event

	AttemptTimeout time.Duration // 0: that of newEngine
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
	// Most of these tests wait for a server, so that more than one for each core can run.
	if err := flag.Set("test.parallel", strconv.Itoa(max(4, runtime.GOMAXPROCS(0)))); err != nil {
		panic(err)
	}
	// The MySQL driver's connections and database/sql end in the background.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("database/sql.(*DB).connectionOpener"),
		goleak.IgnoreAnyFunction("github.com/go-sql-driver/mysql.(*mysqlConn).startWatcher.func1"),
		goleak.IgnoreAnyFunction("gorm.io/gorm/internal/lru.NewLRU[...].func1")) // gorm never ends it
}

// schedule is the default schedule, a thousand times as fast.
type schedule struct{}

func (schedule) Next(attempt int, _ webhook.Result) (time.Duration, bool) {
	return time.Duration(attempt) * time.Millisecond, attempt < 6
}

// newEngine makes an engine that sends to this machine. change, which may be
// nil, has the last word about its configuration.
func newEngine(s webhook.Store, change func(*webhook.Config)) (*webhook.Engine, error) {
	transport, err := webhook.NewHTTPTransport(webhook.HTTPConfig{
		AllowHTTP: true, AllowPrefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	})
	if err != nil {
		return nil, err
	}
	cfg := webhook.Config{
		Store: s, Transport: transport, Logger: slog.New(slog.DiscardHandler), Retry: schedule{}, Jitter: -1,
		AttemptTimeout: time.Second, StoreTimeout: 5 * time.Second, PollInterval: 20 * time.Millisecond,
	}
	if change != nil {
		change(&cfg)
	}
	return webhook.New(cfg)
}

// The endpoints of a child, see statusOf. The first three get every event, the
// others the rare ones: one in rareEvery.
var childEndpoints = []string{"wh_ok", "wh_flaky", "wh_gone", "wh_dead", "wh_mixed"}

// countedEndpoints are those of them whose deliveries can fail for good.
var countedEndpoints = []string{"wh_flaky", "wh_dead", "wh_mixed"}

const rare webhook.EventType = "custom.rare"

const rareEvery = 20

func childEndpoint(id, url string) webhook.EndpointCreate {
	c := endpoint(id)
	if id == "wh_dead" || id == "wh_mixed" {
		c = endpoint(id, rare)
	}
	c.Record.URL = url + "/" + id
	c.Record.Secrets[0].Secret = knownSecret
	return c
}

// run does what the story of the orders tells, after what every process does at
// its start.
func (o orders) run(ctx context.Context) error {
	db, d, err := openSuicidal(o.Driver, o.DSN, o.DieBefore, o.DieAt)
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(4)
	inner, err := sqlstore.New(db, o.Dialect, nil)
	if err != nil {
		return err
	}
	s := &stepped{Store: inner, d: d}
	d.in("migrate", func() { err = s.Migrate(ctx) })
	if err != nil {
		return err
	}
	for _, id := range childEndpoints {
		if err := o.create(ctx, s, childEndpoint(id, o.URL)); err != nil {
			return err
		}
	}
	e, err := newEngine(s, func(c *webhook.Config) {
		c.PerEndpoint = 16 // so that one batch can disable an endpoint
		if o.AttemptTimeout > 0 {
			c.AttemptTimeout, c.Lease = o.AttemptTimeout, time.Minute
		}
		c.Transport = &poisoned{Transport: c.Transport}
	})
	if err != nil {
		return err
	}
	story := stories[o.Story]
	if story == nil {
		return fmt.Errorf("no story %q", o.Story)
	}
	return story(&teller{Context: ctx, orders: o, s: s, e: e, next: o.First})
}

func (o orders) create(ctx context.Context, s webhook.Store, c webhook.EndpointCreate) error {
	_, err := s.CreateEndpoint(ctx, c)
	if errors.Is(err, webhook.ErrIDConflict) {
		return nil // a process before this one did
	}
	return err
}
