package itest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

// parent runs children that crash, and knows what they were promised.
type parent struct {
	t        *testing.T
	d        database
	s        *testStore // opened when it is needed: a child is to migrate first
	dsn      string
	r        *receiver
	acked    map[int]bool
	next     int
	died     int
	purged   bool // some of the history may be gone
	windows  map[string]*window
	told     []webhook.Delivery // ended, as a child told before it purged
	checked  map[string]bool    // deliveries whose log was held against what was sent
	disabled int                // times that a parent found an endpoint disabled by its failures
}

func newParent(t *testing.T, d database) *parent {
	return &parent{t: t, d: d, dsn: d.create(t), r: newReceiver(t), acked: map[int]bool{}, windows: map[string]*window{}, checked: map[string]bool{}}
}

// child runs one child until it ends, and reports whether it was killed. until,
// which may be nil, is given the process once it emits.
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
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if until != nil {
			go until(cmd.Process)
			until = nil
		}
		if text, ended := strings.CutPrefix(lines.Text(), "ended "); ended {
			var d webhook.Delivery
			require.NoError(p.t, json.Unmarshal([]byte(text), &d))
			p.told = append(p.told, d)
			continue
		}
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

// look waits until the database has let go of the process that was killed, and
// checks the counters of the given endpoints.
func (p *parent) look(endpoints ...string) {
	p.t.Helper()
	if p.s == nil {
		p.s = p.d.storeOn(p.t, p.dsn, nil)
		p.s.db.SetMaxOpenConns(1)
	}
	p.s.alone(p.t)
	for _, id := range endpoints {
		p.counters(id)
	}
}

// alone waits until the store's own connection is the only one to its database:
// a server notices late that a client is gone, and ends its statement first.
func (s *testStore) alone(t testing.TB) {
	t.Helper()
	query := map[string]string{
		"postgres": "select count(*) from pg_stat_activity where datname = current_database() and backend_type = 'client backend'",
		"mysql":    "select count(*) from information_schema.processlist where db = database()",
	}[s.name]
	for deadline := time.Now().Add(time.Minute); query != "" && s.number(t, query) > 1; {
		require.True(t, time.Now().Before(deadline), "connections of dead processes stay")
	}
}

// revive enables an endpoint that is disabled. Its count begins at zero then.
func (p *parent) revive(e *webhook.Engine, id string) bool {
	p.t.Helper()
	rec, found := p.counters(id)
	if !found || rec.Status != webhook.EndpointInactive {
		return false
	}
	if rec.DisabledReason == webhook.DisabledFailing {
		p.disabled++
	}
	_, err := e.EnableEndpoint(ctx, "a", id)
	require.NoError(p.t, err)
	p.windows[id].failures = 0
	return true
}

// finish delivers what the children left, and holds the result against what was
// promised.
func (p *parent) finish() {
	t := p.t
	t.Helper()
	p.look()
	e, err := newEngine(p.s, func(c *webhook.Config) { c.Concurrency, c.PerEndpoint = 256, 64 })
	require.NoError(t, err)
	for idle := 0; idle < 3; {
		n, err := e.DeliverDue(ctx)
		require.NoError(t, err)
		idle++
		for _, id := range countedEndpoints {
			if n > 0 || p.revive(e, id) {
				idle = 0
			}
		}
		p.s.endLeases(t)
	}
	require.NoError(t, e.Stop(ctx))
	p.look("wh_ok", "wh_flaky", "wh_dead", "wh_mixed")
	p.verdict()
}

// F1 to F6, F8 to F10: a process is killed before each thing that it asks of the
// database, migration and purge included. SQLite starts from nothing each time;
// the servers keep what the one before left behind.
func TestKilledAtEachOperation(t *testing.T) {
	t.Parallel()
	notUnderRace(t)
	onEach(t, func(t *testing.T, d database) {
		fresh := func() *parent {
			p := newParent(t, d)
			p.purged = true
			return p
		}
		p := fresh()
		budget := 4 * time.Second
		if long() {
			budget = time.Hour
		}
		began := time.Now()
		killed, steps := true, 0
		for step := int64(1); killed; step++ {
			if time.Since(began) > budget {
				step += rand.Int64N(40) // a sample of the rest
			}
			killed = p.child(orders{Story: "everything", DieBefore: step}, nil)
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

// namedSteps are what a process is killed in: before each operation of the
// step, the last of which is or has its commit, and after it.
var namedSteps = []struct {
	name, story, step string
}{
	{"F10 migration", "emit", "migrate"},
	{"F1 F2 F8 emit", "emit", "emit"},
	{"F3 claim", "emit", "claim"},
	{"F4 F5 settle", "retry", "settle"},
	{"F5 F6 disabling by failures", "fail", "disabling"},
	{"disabling by hand", "disable", "disable"},
	{"holding what an endpoint has pending", "disable", "hold"},
	{"purge", "purge", "purge"},
	{"F9 rotation", "rotate", "rotate"},
}

// A process is killed in each step that has a name. Before the first operation
// of settle is after the 200; after that of emit is before Emit returns.
func TestKilledInEachStep(t *testing.T) {
	t.Parallel()
	notUnderRace(t)
	onEach(t, func(t *testing.T, d database) {
		for _, c := range namedSteps {
			t.Run(c.name, func(t *testing.T) {
				p := newParent(t, d)
				stride := 6 // a sample, another one each time; make long does all
				if long() {
					stride = 1
				}
				for n := 1; p.dies(c.story, failPoint{Step: c.step, Before: n}); n += 1 + rand.IntN(2*stride-1) {
				}
				require.Positive(t, p.died)
				require.True(t, p.dies(c.story, failPoint{Step: c.step, After: true}))
				t.Logf("%d crashes", p.died)
			})
		}
	})
}

// dies runs a child to a point, finishes what it left, and reports whether it
// was killed.
func (p *parent) dies(story string, at failPoint) bool {
	p.t.Helper()
	p.purged = p.purged || story == "purge"
	first := p.next
	killed := p.child(orders{Story: story, DieAt: at}, nil)
	p.finish()
	if at.Step == "rotate" {
		p.rotated(fmt.Sprintf("wh_rotated_%d", first), !killed || at.After)
	}
	return killed
}

// rotated checks that an endpoint has its old secret, and the new one if it was
// stored: what was sent is signed with the old one in any case, which the
// receiver checks.
func (p *parent) rotated(id string, stored bool) {
	p.t.Helper()
	rec, err := p.s.GetEndpoint(ctx, "a", id)
	require.NoError(p.t, err)
	require.NotEmpty(p.t, rec.Secrets)
	last := rec.Secrets[len(rec.Secrets)-1]
	assert.Equal(p.t, knownSecret.Reveal(), last.Secret.Reveal(), id)
	want := 1
	if stored {
		want = 2
		assert.False(p.t, last.ExpiresAt.IsZero(), id)
	}
	assert.Len(p.t, rec.Secrets, want, id)
}

// F3, F4: a process is killed while its request is with the receiver.
func TestKilledInTheMiddleOfARequest(t *testing.T) {
	t.Parallel()
	notUnderRace(t)
	onEach(t, func(t *testing.T, d database) {
		p := newParent(t, d)
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
			require.True(t, p.child(orders{Story: "emit"}, func(proc *os.Process) { started <- proc }))
		}
		p.finish()
	})
}

// F14: a delivery whose sending ends the process ends itself, and neither counts
// against its endpoint nor takes others with it.
func TestAPoisonDeliveryEnds(t *testing.T) {
	t.Parallel()
	notUnderRace(t)
	onEach(t, func(t *testing.T, d database) {
		p := newParent(t, d)
		for p.child(orders{Story: "poison"}, nil) {
			p.look()
			p.s.endLeases(t)
			// An attempt takes three ended leases, and an attempt of the one can make
			// up to two of the other's count for nothing: of two suspects that were
			// claimed together one is given back as new.
			require.LessOrEqual(t, p.died, 2*6*(3+2), "it does not end")
		}
		p.finish()
		log := p.deliveries("wh_poison")
		require.Len(t, log, 2)
		for _, d := range log {
			assert.Equal(t, webhook.DeliveryExhausted, d.Status)
			assert.Equal(t, webhook.ReasonAbandoned, d.Reason)
			assert.Equal(t, 6, d.Attempts)
		}
		rec, err := p.s.GetEndpoint(ctx, "a", "wh_poison")
		require.NoError(t, err)
		assert.Zero(t, rec.ConsecutiveFailures)
		assert.NotEqual(t, webhook.EndpointInactive, rec.Status)
		t.Logf("%d crashes", p.died)
	})
}

// F11: a crash loop. Some endpoints fail so often that deliveries are exhausted
// and the endpoints disabled; the parent holds their counters against the log
// after each crash, and enables them.
func TestKilledAtRandom(t *testing.T) {
	t.Parallel()
	notUnderRace(t)
	events, budget := 5_000, 8*time.Second
	if long() {
		events, budget = 20_000, time.Minute
	}
	onEach(t, func(t *testing.T, d database) {
		p := newParent(t, d)
		for began := time.Now(); time.Since(began) < budget && len(p.acked) < events; {
			after := 50*time.Millisecond + rand.N(300*time.Millisecond)
			p.child(orders{Story: "forever"}, func(proc *os.Process) {
				time.Sleep(after) // chance is the point
				_ = proc.Kill()
			})
			p.look()
			e, err := newEngine(p.s, nil)
			require.NoError(t, err)
			p.revive(e, "wh_dead")
			p.revive(e, "wh_mixed")
			p.s.endLeases(t)
		}
		p.finish()
		if len(p.acked) > 2*disableAfter*rareEvery {
			assert.Positive(t, p.disabled, "no endpoint was disabled by its failures")
		}
		sends, _, _ := p.r.seen()
		t.Logf("%d events acknowledged, %d crashes, %d sends, %d times disabled", len(p.acked), p.died, total(sends), p.disabled)
	})
}

func total(m map[string]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}
