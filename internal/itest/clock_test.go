package itest

import (
	"context"
	"database/sql"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
)

// E15: processes whose clocks differ neither steal live leases nor starve. In a
// bubble of testing/synctest a process has another clock: it begins in the year
// 2000, and moves to any time at once. SQLite is of one machine, with one clock.
func TestClocksOfProcessesDoNotMatter(t *testing.T) {
	onServers(t, func(t *testing.T, d database) {
		s := d.store(t)
		_, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
		require.NoError(t, err)
		mustEnqueue(t, s, event("evt_1"))
		claims := func(s webhook.Store) int {
			_, err := s.Maintain(ctx, webhook.MaintainRequest{Limit: 100, Retention: 24 * time.Hour})
			require.NoError(t, err)
			c, err := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(10, 10)})
			require.NoError(t, err)
			assert.WithinDuration(t, now(t, s), c.Now, time.Minute)
			return len(c.Deliveries)
		}
		past := func(f func(old webhook.Store)) {
			synctest.Test(t, func(t *testing.T) {
				require.Equal(t, 2000, time.Now().Year())
				f(inBubble(t, d, s.dsn, nil))
			})
		}
		past(func(old webhook.Store) { assert.Equal(t, 1, claims(old), "it does not starve") })
		assert.Zero(t, claims(s), "nobody steals its lease")
		s.rewind(t, 2*time.Hour)
		assert.Equal(t, 1, claims(s))
		past(func(old webhook.Store) { assert.Zero(t, claims(old), "it steals no lease") })
		s.rewind(t, 2*time.Hour)
		past(func(old webhook.Store) {
			assert.Equal(t, 1, claims(old))
			mustEnqueue(t, old, event("evt_2"))
		})
		assert.Equal(t, 1, claims(s))
	})
}

// inBubble makes a store whose connections belong to the bubble. rec, which may
// be nil, is told of its statements.
func inBubble(t *testing.T, d database, dsn string, rec *recorder) *sqlstore.Store {
	t.Helper()
	db, err := sql.Open(d.driver, dsn)
	if rec != nil {
		require.NoError(t, db.Close())
		db, err = openRecorded(d.driver, dsn, rec)
	}
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	s, err := sqlstore.New(db, d.dialect, nil)
	require.NoError(t, err)
	return s
}

func now(t testing.TB, s webhook.Store) time.Time {
	at, err := s.Now(ctx)
	require.NoError(t, err)
	return at
}

// worker is an engine that makes a pass when it is told to, and the Transport of
// it, whose requests wait for the test to answer them.
type worker struct {
	start  chan bool
	done   chan int // attempts of the pass
	asked  chan *webhook.Request
	answer chan int
}

// newWorker makes an engine with the clock of the goroutine that calls it.
func newWorker(t *testing.T, s webhook.Store) *worker {
	w := &worker{make(chan bool), make(chan int), make(chan *webhook.Request), make(chan int)}
	e, err := newEngine(s, func(c *webhook.Config) {
		c.Transport = w
		c.Retry = webhook.Schedule{time.Millisecond, time.Millisecond, time.Millisecond, time.Millisecond, time.Millisecond}
	})
	require.NoError(t, err)
	go func() {
		defer close(w.done)
		for range w.start {
			n, err := e.DeliverDue(ctx)
			assert.NoError(t, err)
			w.done <- n
		}
	}()
	t.Cleanup(func() { close(w.start) })
	return w
}

// Send implements webhook.Transport.
func (w *worker) Send(_ context.Context, req *webhook.Request) (*webhook.Response, error) {
	w.asked <- req
	return &webhook.Response{StatusCode: <-w.answer}, nil
}

// takes makes passes until there is a request, which stays unanswered. It counts
// passes, each of which asks the database, since the clocks here are in doubt.
func (w *worker) takes(t *testing.T) *webhook.Request {
	t.Helper()
	for range 20_000 {
		w.start <- true
		select {
		case req := <-w.asked:
			return req
		case <-w.done:
		}
	}
	t.Fatal("the engine starves")
	return nil
}

// finds makes one pass and returns its attempts.
func (w *worker) finds() int {
	w.start <- true
	return <-w.done
}

// ends answers the request.
func (w *worker) ends(status int) {
	w.answer <- status
	<-w.done
}

// E15: two engines whose processes' clocks are an hour apart take turns at the
// attempts of one delivery. While one has it the other finds nothing; each gets
// its retry when the database says so; what one leaves leased the other gets when
// the lease is over; and both stamp their requests with the database's time.
func TestEnginesWhoseClocksAreAnHourApart(t *testing.T) {
	onServers(t, func(t *testing.T, d database) {
		for name, shift := range map[string]time.Duration{"ahead": time.Hour, "behind": -time.Hour} {
			t.Run(name, func(t *testing.T) {
				s := d.store(t)
				_, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
				require.NoError(t, err)
				mustEnqueue(t, s, event("evt_1"))
				right, real := newWorker(t, s), time.Now()
				synctest.Test(t, func(t *testing.T) {
					time.Sleep(time.Until(real.Add(shift))) // takes no time outside
					off := inBubble(t, d, s.dsn, nil)
					wrong := newWorker(t, off)
					for _, status := range []int{500, 500, 200} {
						turn(t, s, right, wrong, 500)
						turn(t, s, wrong, right, status)
					}
					assert.Zero(t, right.finds()+wrong.finds(), "delivered")
					leftLeased(t, s, off, right)
					leftLeased(t, s, s, wrong)
				})
			})
		}
	})
}

// turn lets one engine attempt the delivery while the other looks for work.
func turn(t *testing.T, s *testStore, first, second *worker, status int) {
	t.Helper()
	req := first.takes(t)
	stamp, err := strconv.ParseInt(req.Header.Get("webhook-timestamp"), 10, 64)
	require.NoError(t, err)
	assert.WithinDuration(t, now(t, s), time.Unix(stamp, 0), time.Minute, "stamped by the process's clock")
	assert.Zero(t, second.finds(), "the other engine stole the lease")
	first.ends(status)
}

// leftLeased lets one process die with a delivery, for another to take it over
// when the lease is over and no earlier.
func leftLeased(t *testing.T, s *testStore, dying webhook.Store, next *worker) {
	t.Helper()
	mustEnqueue(t, s, event("evt_"+strconv.FormatInt(now(t, s).UnixNano(), 10)))
	const lease = 300 * time.Millisecond
	c, err := dying.Claim(ctx, webhook.ClaimRequest{LeaseTerms: webhook.LeaseTerms{Max: 10, Room: terms(10, 10).Room, Lease: lease}})
	require.NoError(t, err)
	require.Len(t, c.Deliveries, 1)
	next.takes(t)
	held := now(t, s).Sub(c.Now)
	assert.GreaterOrEqual(t, held, lease, "the lease was stolen")
	assert.Less(t, held, time.Minute)
	next.ends(200)
}

// E15: nothing that an engine asks of a server carries the time of its process.
// What an event carries is its caller's.
func TestNoStatementCarriesTheTimeOfTheProcess(t *testing.T) {
	onServers(t, func(t *testing.T, d database) {
		// A lease token is a random number, and one in ten thousand looks like a time:
		// what carries the time does so again.
		again := carriers(t, d)
		for text, arg := range carriers(t, d) {
			assert.Nil(t, again[text], "%v in %s", arg, text)
		}
	})
}

// carriers returns the statements of a life with retries that have an argument
// that is a time of the process, with that argument.
func carriers(t *testing.T, d database) map[string]any {
	t.Helper()
	s := d.store(t)
	_, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
	require.NoError(t, err)
	found := make(map[string]any)
	synctest.Test(t, func(t *testing.T) {
		rec, begin := &recorder{}, time.Now()
		e, err := newEngine(inBubble(t, d, s.dsn, rec), func(c *webhook.Config) { c.Transport = answers(500) })
		require.NoError(t, err)
		all := rec.during(func() {
			ev, err := webhook.NewEvent("a", "custom.thing", json.RawMessage(`1`))
			require.NoError(t, err)
			ev.ID, ev.Timestamp = "evt_1", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			require.NoError(t, e.Emit(ctx, ev))
			for n := 0; n < 6; {
				made, err := e.DeliverDue(ctx)
				require.NoError(t, err)
				n += made
			}
			_, err = e.RotateSecret(ctx, "a", "wh_1", webhook.RotateParams{})
			require.NoError(t, err)
			_, err = e.DisableEndpoint(ctx, "a", "wh_1")
			require.NoError(t, err)
		})
		require.NotEmpty(t, all)
		const margin = 48 * time.Hour // leases end later, and so do secrets
		life := period{begin.Add(-margin), time.Now().Add(margin)}
		for _, st := range all {
			for _, arg := range st.args {
				if life.has(arg) {
					found[st.text] = arg
				}
			}
		}
	})
	return found
}

// answers is a Transport that responds with one status.
type answers int

func (a answers) Send(context.Context, *webhook.Request) (*webhook.Response, error) {
	return &webhook.Response{StatusCode: int(a)}, nil
}

var longNumber = regexp.MustCompile(`\b\d{9,18}\b`)

// period is a part of the process's time, which begins in the year 2000 inside
// a bubble.
type period struct{ begin, end time.Time }

// has reports whether an argument is, or has in its text, a time of the period,
// in whatever unit.
func (p period) has(arg any) bool {
	switch v := arg.(type) {
	case time.Time:
		return v.After(p.begin) && v.Before(p.end)
	case []byte:
		return p.has(string(v))
	case string: // PostgreSQL's arrays
		return slices.ContainsFunc(longNumber.FindAllString(v, -1), func(text string) bool {
			n, err := strconv.ParseInt(text, 10, 64)
			return err == nil && p.has(n)
		})
	case int64:
		return slices.ContainsFunc([]int64{1, 1e3, 1e6, 1e9}, func(perSecond int64) bool {
			return p.has(time.Unix(v/perSecond, 0))
		})
	}
	return false
}
