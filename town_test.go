package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
)

// town is a platform with many endpoints that behave in many ways, in virtual time.
type town struct {
	t      testing.TB
	store  webhook.Store
	engine *webhook.Engine

	mu        sync.Mutex
	behaviour map[string]behaviour       // by URL
	emitted   map[string]time.Time       // by event id
	waits     map[string][]time.Duration // by URL, from the emit to the first request
	begun     map[string]bool            // by URL and event id
	flying    int
	most      int // requests in flight
}

// behaviour is what an endpoint does with a request: how long it takes, and the
// status that it answers, 0 when it never does.
type behaviour func() (time.Duration, int)

func after(d time.Duration, status int) behaviour {
	return func() (time.Duration, int) { return d, status }
}

var (
	well   = after(20*time.Millisecond, 200)
	silent = after(0, 0)
)

func newTown(t testing.TB, store webhook.Store, adjust ...func(*webhook.Config)) *town {
	w := &town{
		t: t, store: store, behaviour: map[string]behaviour{}, emitted: map[string]time.Time{},
		waits: map[string][]time.Duration{}, begun: map[string]bool{},
	}
	w.boot(adjust...)
	return w
}

// boot starts a process.
func (w *town) boot(adjust ...func(*webhook.Config)) {
	cfg := webhook.Config{Store: w.store, Transport: w, Logger: quiet, MaxEndpoints: -1}
	for _, f := range adjust {
		f(&cfg)
	}
	e, err := webhook.New(cfg)
	require.NoError(w.t, err)
	require.NoError(w.t, e.Start(context.Background()))
	w.engine = e
}

func (w *town) stop() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = w.engine.Stop(ctx) // what is in flight is given back
}

// Send implements [webhook.Transport] as the default one does: an answer may take
// 5 s.
func (w *town) Send(ctx context.Context, r *webhook.Request) (*webhook.Response, error) {
	w.mu.Lock()
	id := r.Header.Get("Webhook-Id")
	if key := r.URL + id; !w.begun[key] {
		w.begun[key] = true
		w.waits[r.URL] = append(w.waits[r.URL], time.Since(w.emitted[id]))
	}
	w.flying++
	w.most = max(w.most, w.flying)
	b := w.behaviour[r.URL]
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.flying--
		if spy, ok := w.store.(*byteSpy); ok {
			spy.ended(r.DeliveryID)
		}
	}()
	took, status := b()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if status == 0 {
		took = time.Hour
	}
	select {
	case <-time.After(took):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if status < 0 {
		return nil, errors.New("connection reset by peer")
	}
	if status == hugeAnswer {
		return &webhook.Response{StatusCode: 500, Body: huge}, nil
	}
	return &webhook.Response{StatusCode: status}, nil
}

// hugeAnswer stands for an answer with a body of 1 MiB.
const hugeAnswer = 1000

var huge = make([]byte, 1<<20)

// settle registers n endpoints that behave alike, each for a type of its own, and
// returns their URLs.
func (w *town) settle(n int, account, name string, b behaviour) []string {
	w.t.Helper()
	urls := make([]string, n)
	for i := range urls {
		urls[i] = fmt.Sprintf("https://example.com/%s/%s/%d", account, name, i)
		w.mu.Lock()
		w.behaviour[urls[i]] = b
		w.mu.Unlock()
		_, _, err := w.engine.CreateEndpoint(context.Background(), webhook.EndpointParams{
			AccountID: account, URL: urls[i], Events: []webhook.EventType{kind(name, i)},
		})
		require.NoError(w.t, err)
	}
	return urls
}

func kind(name string, i int) webhook.EventType { return webhook.EventType(fmt.Sprint(name, ".", i)) }

// emit emits one event for one of the endpoints registered by settle. tx emits it
// in a transaction, so that it is not handed off.
func (w *town) emit(account, name string, i int, data any, tx bool) {
	if data == nil {
		data = i
	}
	ev, err := webhook.NewEvent(account, kind(name, i), data)
	require.NoError(w.t, err)
	w.mu.Lock()
	w.emitted[ev.ID] = time.Now()
	w.mu.Unlock()
	if !tx {
		require.NoError(w.t, w.engine.Emit(context.Background(), ev))
		return
	}
	begun := w.store.(*memstore.Store).Begin()
	require.NoError(w.t, w.engine.EmitTx(context.Background(), begun, ev))
	require.NoError(w.t, begun.Commit())
	w.engine.Wake()
}

// emitMany emits n events at once for the first endpoint of a name.
func (w *town) emitMany(account, name string, n int) {
	for range n {
		w.emit(account, name, 0, nil, false)
	}
}

// traffic is a group of endpoints that get an event each in every period.
type traffic struct {
	account, name string
	n             int
	every         time.Duration
	tx            bool
	data          any
}

// play emits all of it for d, evenly.
func (w *town) play(d time.Duration, all ...traffic) {
	end := time.Now().Add(d)
	var wg sync.WaitGroup
	for _, tr := range all {
		for i := range tr.n {
			wg.Go(func() {
				time.Sleep(tr.every * time.Duration(i) / time.Duration(tr.n))
				for ; time.Now().Before(end); time.Sleep(tr.every) {
					w.emit(tr.account, tr.name, i, tr.data, tr.tx)
				}
			})
		}
	}
	wg.Wait()
}

// forget begins a new measurement.
func (w *town) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.waits)
	w.most = 0
}

// measured returns how many deliveries to some URLs were begun, and the p99 of
// their waits.
func (w *town) measured(urls []string) (n int, p99 time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []time.Duration
	for _, u := range urls {
		all = append(all, w.waits[u]...)
	}
	if len(all) == 0 {
		return 0, 0
	}
	slices.Sort(all)
	return len(all), all[min(len(all)-1, len(all)*99/100)]
}

// peak returns how many were in flight at once.
func (w *town) peak() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.most
}

// sent returns how many deliveries to a URL were begun.
func (w *town) sent(url string) int {
	n, _ := w.measured([]string{url})
	return n
}

// limiter decides whether a request that comes now is taken.
type limiter interface {
	take(now time.Time, flying int) bool
}

// bucket is a token bucket: so many requests each second, and burst at once.
type bucket struct {
	rate, burst, tokens float64
	last                time.Time
}

func (b *bucket) take(now time.Time, _ int) bool {
	if b.last.IsZero() {
		b.tokens = b.burst
	} else {
		b.tokens = min(b.burst, b.tokens+b.rate*now.Sub(b.last).Seconds())
	}
	b.last = now
	if b.tokens < 0.999999 {
		return false
	}
	b.tokens--
	return true
}

// window takes so many requests in each period.
type window struct {
	n, most int
	period  time.Duration
	began   time.Time
}

func (w *window) take(now time.Time, _ int) bool {
	if at := now.Truncate(w.period); !at.Equal(w.began) {
		w.began, w.n = at, 0
	}
	if w.n >= w.most {
		return false
	}
	w.n++
	return true
}

// sliding takes a request when fewer than most came in the period before it, whether
// they were taken or not.
type sliding struct {
	came   []time.Time
	most   int
	period time.Duration
}

func (s *sliding) take(now time.Time, _ int) bool {
	for len(s.came) > 0 && now.Sub(s.came[0]) >= s.period {
		s.came = s.came[1:]
	}
	s.came = append(s.came, now)
	return len(s.came) <= s.most
}

// together takes so many requests at once.
type together int

func (n together) take(_ time.Time, flying int) bool { return flying <= int(n) }

// limited is a receiver behind a limiter.
type limited struct {
	limiter
	status     int
	retryAfter func(now time.Time) string
	took       time.Duration // for a request that is taken

	mu      sync.Mutex
	flying  int
	taken   map[string]int
	refused map[string]int
	last    time.Time
}

func (l *limited) answer(_ context.Context, r *webhook.Request) (*webhook.Response, error) {
	l.mu.Lock()
	l.flying++
	ok := l.take(time.Now(), l.flying)
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		l.flying--
		l.mu.Unlock()
	}()
	id := r.Header.Get("Webhook-Id")
	if ok {
		time.Sleep(l.took)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.taken[id]++
		l.last = time.Now()
		return &webhook.Response{StatusCode: 200}, nil
	}
	time.Sleep(2 * time.Millisecond)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused[id]++
	h := http.Header{}
	if l.retryAfter != nil {
		h.Set("Retry-After", l.retryAfter(time.Now()))
	}
	return &webhook.Response{StatusCode: l.status, Header: h}, nil
}

func (l *limited) refusals() (all, most int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.refused {
		all, most = all+n, max(most, n)
	}
	return all, most
}

func asks(s string) func(time.Time) string { return func(time.Time) string { return s } }
