package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// settings are the sizes of the work.
type settings struct {
	jobs      int           // events of one measurement
	batch     int           // events of one Emit
	callers   int           // goroutines that emit batches
	size      int           // bytes of the payload
	endpoints int           // that the events go to in turn
	fleet     int           // endpoints of which some hang
	steady    time.Duration // length of a measurement at a steady rate
	rate      int           // events per second there
	preload   int           // deliveries that are due, or wait, before a measurement
	many      int           // endpoints where there are many
	warm      int           // deliveries of the memory scenario, waiting or done
	repeats   int           // measurements of one system that took long to prepare
	linger    time.Duration // for attempts in flight at the end
}

func fullSettings() settings {
	return settings{
		jobs: 20_000, batch: 100, callers: 4, size: 1024, endpoints: 100, fleet: 1000,
		steady: 10 * time.Second, rate: 200, preload: 1_000_000, many: 100_000, warm: 100_000,
		repeats: 3, linger: time.Second,
	}
}

// quickSettings are for seeing that everything works, not for figures.
func quickSettings() settings {
	return settings{
		jobs: 300, batch: 100, callers: 4, size: 1024, endpoints: 100, fleet: 100,
		steady: 500 * time.Millisecond, rate: 200, preload: 500, many: 200, warm: 500,
		repeats: 1, linger: 50 * time.Millisecond,
	}
}

// deadline is how long the last events of a measurement may take.
const deadline = 2 * time.Minute

// bench measures contenders against one receiver.
type bench struct {
	settings
	receiver *receiverProcess
	dsn      string // of PostgreSQL; empty: none
}

// measurement is what was found of one contender in one go. What a scenario does
// not measure is 0.
type measurement struct {
	rate      float64       // deliveries per second, from the first emit to the last receipt
	p50, p99  time.Duration // from emitting to receiving
	cpu       time.Duration // of the sender and the store's processes, per delivery
	missing   int           // events that had not arrived in time
	repeated  int           // events that arrived more than once
	memory    float64       // resident bytes of the sender
	routines  float64       // goroutines of the sender
	idleShare float64       // of one processor
}

// urls returns n endpoints of one kind.
func (b *bench) urls(path string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = b.receiver.url(path, i)
	}
	return all
}

// with runs f on a started system.
func (b *bench) with(ctx context.Context, c contender, endpoints []string, f func(system) (measurement, error)) (measurement, error) {
	return b.withStopped(ctx, c, endpoints, func(s system) (measurement, error) {
		if err := s.start(ctx); err != nil {
			return measurement{}, err
		}
		return f(s)
	})
}

// withStopped runs f on a system that does not deliver yet.
func (b *bench) withStopped(ctx context.Context, c contender, endpoints []string, f func(system) (measurement, error)) (measurement, error) {
	s, err := c.open(ctx, endpoints)
	if err != nil {
		return measurement{}, err
	}
	m, err := f(s)
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.linger)
	defer cancel()
	if closeErr := s.close(end); !errors.Is(closeErr, context.DeadlineExceeded) {
		err = errors.Join(err, closeErr) // attempts at endpoints that hang need not end
	}
	return m, err
}

// load is events to emit.
type load struct {
	from, n   int // event numbers
	size      int
	batch     int
	callers   int
	endpoints int // in turn
	first     int // number of the first endpoint
}

func (b *bench) load(n int) load {
	return load{n: n, size: b.size, batch: b.batch, callers: b.callers, endpoints: b.endpoints}
}

// feed emits all of l.
func feed(ctx context.Context, s system, l load) error {
	var next atomic.Int64
	return parallel(l.callers, func() error {
		for {
			begin := int(next.Add(int64(l.batch))) - l.batch
			if begin >= l.n {
				return nil
			}
			jobs := make([]job, min(l.batch, l.n-begin))
			for i := range jobs {
				seq := l.from + begin + i
				jobs[i] = newJob(l.first+seq%l.endpoints, seq, l.size)
			}
			if err := s.emit(ctx, jobs); err != nil {
				return err
			}
		}
	})
}

// throughput emits l on a started system, after a tenth of it to warm up.
func (b *bench) throughput(ctx context.Context, s system, l load) (measurement, error) {
	warm := l
	warm.n = min(l.n, max(2*l.endpoints, l.n/10))
	if _, err := b.timed(s, warm.n, func() error { return feed(ctx, s, warm) }); err != nil {
		return measurement{}, err
	}
	return b.timed(s, l.n, func() error { return feed(ctx, s, l) })
}

// timed measures from now until n events have arrived.
func (b *bench) timed(s system, n int, work func() error) (measurement, error) {
	if err := b.receiver.reset(n); err != nil {
		return measurement{}, err
	}
	cpu := processCPU() + s.storeCPU()
	if err := work(); err != nil {
		return measurement{}, err
	}
	r, err := b.receiver.wait(deadline)
	if err != nil {
		return measurement{}, err
	}
	cpu = processCPU() + s.storeCPU() - cpu
	m := r.measurement(n)
	m.cpu = cpu / time.Duration(n)
	if m.missing > 0 {
		return m, fmt.Errorf("%d of %d events did not arrive", m.missing, n)
	}
	return m, nil
}

func (r Report) measurement(n int) measurement {
	return measurement{
		rate:     float64(r.Received) / r.Elapsed.Seconds(),
		p50:      r.P50,
		p99:      r.P99,
		missing:  n - r.Received,
		repeated: r.Duplicates,
	}
}

// steadily emits single events at the steady rate, each at its time whether or not
// those before it have been accepted. pick returns the endpoint, and whether the
// receiver counts the event.
func (b *bench) steadily(ctx context.Context, s system, pick func(i int) (endpoint int, counted bool)) (measurement, error) {
	return b.atRate(ctx, s, b.steady, b.rate, pick)
}

// atRate is steadily for another time and rate.
func (b *bench) atRate(ctx context.Context, s system, length time.Duration, rate int, pick func(i int) (endpoint int, counted bool)) (measurement, error) {
	total := int(length.Seconds() * float64(rate))
	counted := 0
	for i := range total {
		if _, ok := pick(i); ok {
			counted++
		}
	}
	if err := b.receiver.reset(counted); err != nil {
		return measurement{}, err
	}
	var wg sync.WaitGroup
	var failed atomic.Pointer[error]
	begin, seq := time.Now(), 0
	for i := range total {
		endpoint, ok := pick(i)
		number := counted // beyond what the receiver counts
		if ok {
			number = seq
			seq++
		}
		time.Sleep(time.Until(begin.Add(time.Duration(i) * time.Second / time.Duration(rate))))
		wg.Go(func() {
			if err := s.emit(ctx, []job{newJob(endpoint, number, b.size)}); err != nil {
				failed.Store(&err)
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return measurement{}, *err
	}
	r, err := b.receiver.wait(10 * time.Second)
	return r.measurement(counted), err
}

// parallel runs f in n goroutines and returns the first error of each.
func parallel(n int, f func() error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f() })
	}
	wg.Wait()
	return errors.Join(errs...)
}
