package itest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

// receiver stands for the customers. It counts what arrives, and answers 200 for
// wh_ok, 410 for wh_gone, and for wh_flaky a failure for three in ten.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	sends    map[string]int // by endpoint and event
	accepted map[string]bool
	onSend   func(endpoint string) // before the answer
}

func newReceiver(t testing.TB) *receiver {
	r := &receiver{sends: map[string]int{}, accepted: map[string]bool{}}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	ep, id := strings.TrimPrefix(req.URL.Path, "/"), req.Header.Get("webhook-id")
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.onSend != nil {
		r.onSend(ep)
	}
	name := ep + " " + id
	r.sends[name]++
	status := http.StatusOK
	switch {
	case ep == "wh_gone":
		status = http.StatusGone
	case ep == "wh_flaky" && unlucky(name, r.sends[name]):
		status = http.StatusInternalServerError
	default:
		r.accepted[name] = true
	}
	w.WriteHeader(status)
}

// unlucky says of three in ten sends that they fail, always the same ones. The
// fifth never fails, so that nothing ends exhausted.
func unlucky(name string, n int) bool {
	h := fnv.New32a()
	_, _ = fmt.Fprint(h, name, n)
	return n < 5 && h.Sum32()%10 < 3
}

// parent runs children that crash, and knows what they were promised.
type parent struct {
	t     *testing.T
	d     database
	dsn   string
	r     *receiver
	acked map[int]bool
	next  int
	died  int
}

// child runs one child until it ends, and reports whether it was killed. until,
// which may be nil, is given the process once it runs.
func (p *parent) child(o orders, until func(*os.Process)) (killed bool) {
	p.t.Helper()
	o.Driver, o.DSN, o.Dialect, o.URL, o.First = p.d.driver, p.dsn, p.d.dialect, p.r.URL, p.next
	text, err := json.Marshal(o)
	require.NoError(p.t, err)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	require.NoError(p.t, err)
	require.NoError(p.t, cmd.Start())
	if until != nil {
		go until(cmd.Process)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var word string
		var first, n int
		_, _ = fmt.Sscan(lines.Text(), &word, &first, &n)
		p.next = max(p.next, first+n)
		for i := first; word == "ack" && i < first+n; i++ {
			p.acked[i] = true
		}
	}
	err = cmd.Wait()
	if err == nil {
		return false
	}
	require.Equal(p.t, -1, cmd.ProcessState.ExitCode(), "the child failed by itself: %v\n%s", err, &stderr)
	p.died++
	return true
}

// finish delivers what the children left, and holds the result against what was
// promised.
func (p *parent) finish() {
	t := p.t
	t.Helper()
	s := p.d.storeOn(t, p.dsn, nil)
	e, err := newEngine(s, webhook.Hooks{})
	require.NoError(t, err)
	if rec, err := e.GetEndpoint(ctx, "a", "wh_flaky"); err == nil && rec.Status == webhook.EndpointInactive {
		_, err = e.EnableEndpoint(ctx, "a", "wh_flaky") // killed before it could
		require.NoError(t, err)
	}
	for idle := 0; idle < 3; {
		n, err := e.DeliverDue(ctx)
		require.NoError(t, err)
		if idle++; n > 0 {
			idle = 0
		}
		s.endLeases(t)
	}
	require.NoError(t, e.Stop(ctx))
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	for n := range p.acked {
		for _, ep := range []string{"wh_ok", "wh_flaky"} {
			assert.True(t, p.r.accepted[fmt.Sprintf("%s evt_%d", ep, n)], "%s never got evt_%d, which was acknowledged", ep, n)
		}
	}
	for name, n := range p.r.sends {
		assert.LessOrEqual(t, n, 6+p.died, "%s was sent too often", name)
	}
	assert.Zero(t, s.number(t, "select count(*) from webhook_queue where state = 1"), "left leased")
	assert.Zero(t, s.unfinished(t), "left unfinished")
	assert.Zero(t, s.number(t, "select count(*) from webhook_delivery d where not exists (select 1 from webhook_event e where e.uid = d.event)"), "deliveries without an event")
	assert.Zero(t, s.number(t, "select count(*) from webhook_attempt a where not exists (select 1 from webhook_delivery d where d.id = a.delivery)"), "attempts without a delivery")
	assert.Zero(t, s.number(t, "select count(*) from webhook_delivery d where d.status <> 0 and d.attempts <> (select count(*) from webhook_attempt a where a.delivery = d.id)"), "attempts counted but not logged")
	assert.Zero(t, s.number(t, "select count(*) from webhook_event e where (select count(*) from webhook_delivery d where d.event = e.uid) not in (0, 1, 2, 3)"), "an event with half a fan-out")
	p.counters(s)
}

// counters holds each endpoint's count of failures against its log: the
// deliveries that were exhausted since the last that succeeded.
func (p *parent) counters(s *testStore) {
	for _, id := range []string{"wh_ok", "wh_flaky"} {
		rec, err := s.GetEndpoint(ctx, "a", id)
		if err != nil {
			continue // killed before there was one
		}
		log := s.number(p.t, `select count(*) from webhook_delivery d join webhook_endpoint p on p.num = d.endpoint
			where p.id = '`+id+`' and d.status = 3 and d.done_at >
			(select coalesce(max(done_at), 0) from webhook_delivery x where x.endpoint = d.endpoint and x.status = 2)`)
		assert.EqualValues(p.t, log, rec.ConsecutiveFailures, id)
	}
}

// F1 to F6, F9, F10: a process is killed before each thing that it asks of the
// database, migration and purge included. SQLite starts from nothing each time;
// the servers keep what the one before left behind.
func TestKilledAtEachStep(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		fresh := func() *parent {
			return &parent{t: t, d: d, dsn: d.create(t), r: newReceiver(t), acked: map[int]bool{}}
		}
		p := fresh()
		budget := 12 * time.Second
		switch {
		case long():
			budget = time.Hour
		case raceEnabled:
			budget = 4 * time.Second
		}
		began := time.Now()
		killed, steps := true, 0
		for step := int64(1); killed; step++ {
			if time.Since(began) > budget {
				step += rand.Int64N(40) // a sample of the rest
			}
			killed = p.child(orders{DieBefore: step, Events: 2}, nil)
			steps++
			if d.name == "sqlite" {
				p.finish()
				if killed {
					p = fresh()
				}
			}
		}
		p.finish()
		t.Logf("%d crashes", steps-1)
	})
}

// F3, F4: a process is killed while its request is with the receiver.
func TestKilledInTheMiddleOfARequest(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		p := &parent{t: t, d: d, dsn: d.create(t), r: newReceiver(t), acked: map[int]bool{}}
		for _, ep := range childEndpoints[:2] {
			started := make(chan *os.Process, 1)
			p.r.mu.Lock()
			p.r.onSend = func(to string) {
				if to == ep && p.r.onSend != nil {
					p.r.onSend = nil
					_ = (<-started).Kill()
				}
			}
			p.r.mu.Unlock()
			require.True(t, p.child(orders{Events: 2}, func(proc *os.Process) { started <- proc }))
		}
		p.finish()
	})
}

// F11: a crash loop.
func TestKilledAtRandom(t *testing.T) {
	events, budget := 5_000, 15*time.Second
	switch {
	case long():
		budget = time.Minute
	case raceEnabled:
		budget = 5 * time.Second
	}
	onEach(t, func(t *testing.T, d database) {
		p := &parent{t: t, d: d, dsn: d.create(t), r: newReceiver(t), acked: map[int]bool{}}
		s := d.storeOn(t, p.dsn, nil)
		for began := time.Now(); time.Since(began) < budget && len(p.acked) < events; {
			after := 150*time.Millisecond + rand.N(400*time.Millisecond)
			p.child(orders{}, func(proc *os.Process) {
				time.Sleep(after) // chance is the point
				_ = proc.Kill()
			})
			s.endLeases(t)
		}
		p.finish()
		t.Logf("%d events acknowledged, %d crashes, %d sends", len(p.acked), p.died, total(p.r.sends))
	})
}

func total(m map[string]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}
