package storetest

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
)

// faulty is a memstore that breaks one rule: each hook, where set, changes what
// goes in or comes out of the method that it is named for.
type faulty struct {
	webhook.Store
	mem *memstore.Store

	now          func(*time.Time)
	createIn     func(*webhook.EndpointCreate)
	createOut    func(webhook.EndpointCreate, *webhook.EndpointRecord, *error)
	getOut       func(account, id string, r *webhook.EndpointRecord, err *error)
	updateIn     func(*webhook.EndpointUpdate)
	updateOut    func(*webhook.EndpointRecord)
	endpoints    func([]webhook.EndpointRecord)
	deleteIn     func(*webhook.EndpointDelete)
	deleted      func(id string)
	enqueue      func(context.Context, webhook.EnqueueRequest) (webhook.Enqueued, error)
	enqueueIn    func(*webhook.EnqueueRequest)
	enqueueOut   func(webhook.EnqueueRequest, *webhook.Enqueued)
	claimIn      func(*webhook.ClaimRequest)
	claimOut     func(webhook.ClaimRequest, *webhook.Claimed)
	settleIn     func(*webhook.Settlement)
	settleOut    func([]webhook.Settlement, *webhook.Settled)
	maintainIn   func(*webhook.MaintainRequest)
	maintainOut  func(webhook.MaintainRequest, *webhook.Maintained)
	eventOut     func(*webhook.EventRecord, *error)
	eventsIn     func(*webhook.EventFilter)
	eventsOut    func(*webhook.Page[webhook.EventInfo])
	severalOut   func([]webhook.EndpointRecord)
	statsOfOut   func(map[string]webhook.QueueStats)
	countIn      func(*webhook.EndpointStatus)
	lastOut      func([]webhook.Attempt)
	failingIn    func(*webhook.FailingQuery)
	oldestOut    func([]webhook.EndpointBacklog)
	listIn       func(*webhook.DeliveryFilter)
	listOut      func(*webhook.Page[webhook.Delivery], *error)
	attemptsIn   func(account *string, id string)
	attemptsOut  func([]webhook.Attempt)
	revisionsOut func(id string, list *webhook.EndpointRevisions)
	redeliver    func(account, id string, d *webhook.Delivery, err *error)
	replayIn     func(*webhook.ReplayRequest)
	replayOut    func(webhook.ReplayRequest, *webhook.Replayed, *error)
	statsOut     func(*webhook.QueueStats)
	redactIn     func(account, id string) bool // false: it does nothing
	redacted     func(account, id string, err *error)
	accountIn    func(*webhook.AccountDelete)
	accountOut   func(webhook.AccountDelete, *webhook.AccountDeleted, *error)
	beatIn       func(*webhook.Heartbeat)
	beatOut      func(webhook.Heartbeat, *webhook.Heartbeaten)
	markIn       func(*webhook.IdempotencyBegin)
	markOut      func(webhook.IdempotencyBegin, *webhook.IdempotencyBegun, *error)
	abandonIn    func(*webhook.IdempotencyMark)
	talliesIn    func(*webhook.TallyQuery)
	talliesOut   func(map[string][]webhook.Tally)
	begin        func() (webhook.Enqueuer, func() error, func() error)

	mu    sync.Mutex
	live  map[string]webhook.LeaseToken // the latest token of each delivery
	bg    context.Context
	known map[string]any // whatever a fault has to remember
}

func newFaulty(clock func() time.Time) *faulty {
	mem := memstore.NewWith(memstore.Options{Clock: clock})
	return &faulty{Store: mem, mem: mem, live: map[string]webhook.LeaseToken{}, known: map[string]any{}, bg: context.Background()}
}

// meeting answers a function that keeps its first n callers until all n are in
// it, and reports whether the caller was one of them: so a fault that takes a race
// shows each time. A case whose callers are fewer waits for ever.
func meeting(n int32) func() bool {
	var came atomic.Int32
	all := make(chan struct{})
	return func() bool {
		mine := came.Add(1)
		if mine == n {
			close(all)
		}
		<-all
		return mine <= n
	}
}

func (f *faulty) leased(all []webhook.Leased) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range all {
		f.live[l.DeliveryID] = l.Token
	}
}

func (f *faulty) token(id string) webhook.LeaseToken {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.live[id]
}

func (f *faulty) remember(key string, v any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known[key] = v
}

func (f *faulty) recall(key string) any {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.known[key]
}

func (f *faulty) Now(ctx context.Context) (time.Time, error) {
	t, err := f.Store.Now(ctx)
	if f.now != nil {
		f.now(&t)
	}
	return t, err
}

func (f *faulty) CreateEndpoint(ctx context.Context, c webhook.EndpointCreate) (webhook.EndpointRecord, error) {
	if f.createIn != nil {
		f.createIn(&c)
	}
	r, err := f.Store.CreateEndpoint(ctx, c)
	if f.createOut != nil {
		f.createOut(c, &r, &err)
	}
	return r, err
}

func (f *faulty) GetEndpoint(ctx context.Context, account, id string) (webhook.EndpointRecord, error) {
	r, err := f.Store.GetEndpoint(ctx, account, id)
	if f.getOut != nil {
		f.getOut(account, id, &r, &err)
	}
	return r, err
}

func (f *faulty) UpdateEndpoint(ctx context.Context, u webhook.EndpointUpdate) (webhook.EndpointRecord, error) {
	if f.updateIn != nil {
		f.updateIn(&u)
	}
	r, err := f.Store.UpdateEndpoint(ctx, u)
	if f.updateOut != nil {
		f.updateOut(&r)
	}
	return r, err
}

func (f *faulty) ListEndpoints(ctx context.Context, q webhook.EndpointFilter) (webhook.Page[webhook.EndpointRecord], error) {
	p, err := f.Store.ListEndpoints(ctx, q)
	if f.endpoints != nil {
		f.endpoints(p.Items)
	}
	return p, err
}

func (f *faulty) DeleteEndpoint(ctx context.Context, d webhook.EndpointDelete) error {
	if f.deleteIn != nil {
		f.deleteIn(&d)
	}
	err := f.Store.DeleteEndpoint(ctx, d)
	if f.deleted != nil && err == nil {
		f.deleted(d.ID)
	}
	return err
}

func (f *faulty) Enqueue(ctx context.Context, r webhook.EnqueueRequest) (webhook.Enqueued, error) {
	if f.enqueue != nil {
		return f.enqueue(ctx, r)
	}
	if f.enqueueIn != nil {
		r.Groups = slices.Clone(r.Groups)
		for i := range r.Groups {
			r.Groups[i] = slices.Clone(r.Groups[i])
		}
		f.enqueueIn(&r)
	}
	out, err := f.Store.Enqueue(ctx, r)
	f.leased(out.Leased)
	if f.enqueueOut != nil && err == nil {
		f.enqueueOut(r, &out)
	}
	return out, err
}

func (f *faulty) Claim(ctx context.Context, r webhook.ClaimRequest) (webhook.Claimed, error) {
	if f.claimIn != nil {
		f.claimIn(&r)
	}
	c, err := f.Store.Claim(ctx, r)
	f.leased(c.Deliveries)
	if f.claimOut != nil && err == nil {
		f.claimOut(r, &c)
	}
	return c, err
}

func (f *faulty) Settle(ctx context.Context, batch []webhook.Settlement) (webhook.Settled, error) {
	if f.settleIn != nil {
		batch = slices.Clone(batch)
		for i := range batch {
			f.settleIn(&batch[i])
		}
	}
	out, err := f.Store.Settle(ctx, batch)
	if f.settleOut != nil && err == nil {
		f.settleOut(batch, &out)
	}
	return out, err
}

func (f *faulty) Maintain(ctx context.Context, r webhook.MaintainRequest) (webhook.Maintained, error) {
	if f.maintainIn != nil {
		f.maintainIn(&r)
	}
	m, err := f.Store.Maintain(ctx, r)
	if f.maintainOut != nil {
		f.maintainOut(r, &m)
	}
	return m, err
}

func (f *faulty) GetEvent(ctx context.Context, account, id string) (webhook.EventRecord, error) {
	r, err := f.Store.GetEvent(ctx, account, id)
	if f.eventOut != nil {
		f.eventOut(&r, &err)
	}
	return r, err
}

func (f *faulty) GetEndpoints(ctx context.Context, account string, ids []string) ([]webhook.EndpointRecord, error) {
	list, err := f.Store.GetEndpoints(ctx, account, ids)
	if f.severalOut != nil {
		f.severalOut(list)
	}
	return list, err
}

func (f *faulty) QueueStatsOf(ctx context.Context, account string, ids []string) (map[string]webhook.QueueStats, error) {
	stats, err := f.Store.QueueStatsOf(ctx, account, ids)
	if f.statsOfOut != nil {
		f.statsOfOut(stats)
	}
	return stats, err
}

func (f *faulty) CountEndpoints(ctx context.Context, account string, status webhook.EndpointStatus) (int, error) {
	if f.countIn != nil {
		f.countIn(&status)
	}
	return f.Store.CountEndpoints(ctx, account, status)
}

func (f *faulty) LastAttempts(ctx context.Context, account, id string, limit int) ([]webhook.Attempt, error) {
	list, err := f.Store.LastAttempts(ctx, account, id, limit)
	if f.lastOut != nil {
		f.lastOut(list)
	}
	return list, err
}

func (f *faulty) FailingEndpoints(ctx context.Context, q webhook.FailingQuery) (webhook.Page[webhook.EndpointRecord], error) {
	if f.failingIn != nil {
		f.failingIn(&q)
	}
	return f.Store.FailingEndpoints(ctx, q)
}

func (f *faulty) OldestDue(ctx context.Context, limit int) ([]webhook.EndpointBacklog, error) {
	list, err := f.Store.OldestDue(ctx, limit)
	if f.oldestOut != nil {
		f.oldestOut(list)
	}
	return list, err
}

func (f *faulty) ListEvents(ctx context.Context, q webhook.EventFilter) (webhook.Page[webhook.EventInfo], error) {
	if f.eventsIn != nil {
		f.eventsIn(&q)
	}
	p, err := f.Store.ListEvents(ctx, q)
	if f.eventsOut != nil {
		f.eventsOut(&p)
	}
	return p, err
}

func (f *faulty) ListDeliveries(ctx context.Context, q webhook.DeliveryFilter) (webhook.Page[webhook.Delivery], error) {
	if f.listIn != nil {
		f.listIn(&q)
	}
	p, err := f.Store.ListDeliveries(ctx, q)
	if f.listOut != nil {
		f.listOut(&p, &err)
	}
	return p, err
}

func (f *faulty) ListRevisions(ctx context.Context, account, id string) (webhook.EndpointRevisions, error) {
	list, err := f.Store.ListRevisions(ctx, account, id)
	if f.revisionsOut != nil {
		f.revisionsOut(id, &list)
	}
	return list, err
}

func (f *faulty) ListAttempts(ctx context.Context, account, id string) ([]webhook.Attempt, error) {
	if f.attemptsIn != nil {
		f.attemptsIn(&account, id)
	}
	a, err := f.Store.ListAttempts(ctx, account, id)
	if f.attemptsOut != nil {
		f.attemptsOut(a)
	}
	return a, err
}

func (f *faulty) Redeliver(ctx context.Context, account, id string) (webhook.Delivery, error) {
	d, err := f.Store.Redeliver(ctx, account, id)
	if f.redeliver != nil {
		f.redeliver(account, id, &d, &err)
	}
	return d, err
}

func (f *faulty) Replay(ctx context.Context, r webhook.ReplayRequest) (webhook.Replayed, error) {
	if f.replayIn != nil {
		f.replayIn(&r)
	}
	out, err := f.Store.Replay(ctx, r)
	if f.replayOut != nil {
		f.replayOut(r, &out, &err)
	}
	return out, err
}

func (f *faulty) QueueStats(ctx context.Context, account, id string) (webhook.QueueStats, error) {
	q, err := f.Store.QueueStats(ctx, account, id)
	if f.statsOut != nil {
		f.statsOut(&q)
	}
	return q, err
}

// rearrange claims everything, keeps what order puts first within the bounds of
// the request, and gives the rest back: a Claim in another order. Claims that find
// nothing, or are bounded in bytes, are left as they are.
func (f *faulty) rearrange(r webhook.ClaimRequest, c *webhook.Claimed, order func(a, b webhook.Leased) int) {
	if len(c.Deliveries) == 0 || r.MaxBytes > 0 {
		return
	}
	room := roomOf(r.LeaseTerms)
	defer func(asked []webhook.Candidate) { room.asked = asked }(room.asked)
	rest, _ := f.Store.Claim(f.bg, webhook.ClaimRequest{LeaseTerms: terms(1<<20, 1<<20)})
	all := append(slices.Clone(c.Deliveries), rest.Deliveries...)
	slices.SortStableFunc(all, order)
	room.Reset()
	c.Deliveries = nil
	for _, l := range all {
		if len(c.Deliveries) < r.Max && room.Take(webhook.Candidate{EndpointID: l.Target.EndpointID}, 1) > 0 {
			c.Deliveries = append(c.Deliveries, l)
		} else {
			_, _ = f.Store.Settle(f.bg, []webhook.Settlement{result(l, webhook.OutcomeReleased)})
		}
	}
	f.leased(c.Deliveries)
}

// harness makes a harness of stores with one fault. The clock is the case's own.
func (b broken) harness() Harness {
	var offset atomic.Int64
	clock := func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
	return Harness{
		New: func(testing.TB) webhook.Store {
			f := newFaulty(clock)
			if b.fault != nil {
				b.fault(f)
			}
			return f
		},
		Advance: func(_ testing.TB, _ webhook.Store, d time.Duration) { offset.Add(int64(d)) },
		Begin: func(_ testing.TB, s webhook.Store) (webhook.Enqueuer, func() error, func() error) {
			f := s.(*faulty)
			if f.begin != nil {
				return f.begin()
			}
			tx := f.mem.Begin()
			return tx, tx.Commit, tx.Rollback
		},
	}
}

// recorder is a test that keeps what a case reports to itself.
type recorder struct {
	testing.TB
	mu    sync.Mutex
	fails []string
}

func (r *recorder) fail(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fails = append(r.fails, s)
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.fails) > 0
}

func (r *recorder) Helper()                        {}
func (r *recorder) Log(...any)                     {}
func (r *recorder) Logf(string, ...any)            {}
func (r *recorder) Error(args ...any)              { r.fail(fmt.Sprint(args...)) }
func (r *recorder) Errorf(f string, args ...any)   { r.fail(fmt.Sprintf(f, args...)) }
func (r *recorder) Fail()                          { r.fail("failed") }
func (r *recorder) FailNow()                       { r.fail("failed"); runtime.Goexit() }
func (r *recorder) Fatal(args ...any)              { r.fail(fmt.Sprint(args...)); runtime.Goexit() }
func (r *recorder) Fatalf(f string, args ...any)   { r.fail(fmt.Sprintf(f, args...)); runtime.Goexit() }
func (r *recorder) Skip(args ...any)               { r.SkipNow() }
func (r *recorder) Skipf(format string, as ...any) { r.SkipNow() }
func (r *recorder) SkipNow()                       { runtime.Goexit() }

// record runs one case to its end, in a goroutine that it may leave, and answers
// what it reported.
func (c rule) record(t testing.TB, h Harness) []string {
	rec := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.start(rec, h)
	}()
	<-done
	return rec.fails
}

func (f *faulty) RedactEvent(ctx context.Context, account, id string) error {
	if f.redactIn != nil && !f.redactIn(account, id) {
		return nil
	}
	err := f.Store.RedactEvent(ctx, account, id)
	if f.redacted != nil {
		f.redacted(account, id, &err)
	}
	return err
}

func (f *faulty) DeleteAccount(ctx context.Context, r webhook.AccountDelete) (webhook.AccountDeleted, error) {
	if f.accountIn != nil {
		f.accountIn(&r)
	}
	d, err := f.Store.DeleteAccount(ctx, r)
	if f.accountOut != nil {
		f.accountOut(r, &d, &err)
	}
	return d, err
}
