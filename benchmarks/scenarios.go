package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ringyo-ai/webhook"
)

// scenario is one kind of work, measured of each contender in each variant.
type scenario struct {
	name     string // for -scenario
	title    string
	show     []metric
	who      []string // names of contenders
	variants []variant
}

// variant is the scenario under one condition. The first one is what the others
// are compared with.
type variant struct {
	label string
	run   func(ctx context.Context, b *bench, c contender) (measurement, error)
}

func only(run func(ctx context.Context, b *bench, c contender) (measurement, error)) []variant {
	return []variant{{"", run}}
}

var (
	everybody = []string{bareName, memoryName, sqliteName, postgresName, riverDefaultName, riverTunedName}
	ours      = []string{memoryName, sqliteName, postgresName}
)

func scenarios() []scenario {
	return []scenario{
		{"batches", "End to end, batches of 100", []metric{rate, cpu}, everybody, only(batches)},
		{"drain", "Draining a backlog", []metric{rate, cpu}, everybody, only(drain)},
		{"single", "End to end, single emits from 8 goroutines", []metric{rate, cpu}, append(slices.Clone(ours), riverDefaultName, riverTunedName), only(single)},
		{"latency", "From emitting to receiving, 200 events per second", []metric{p50, p99}, everybody, only(latency)},
		{
			"hanging", "Healthy ones of 1,000 endpoints that get an event a second each, beside those that hang for 5 s",
			[]metric{p50, p99, missing},
			append(slices.Clone(ours), riverTunedName),
			[]variant{{"none hangs", hanging(0)}, {"10 % hang", hanging(10)}, {"50 % hang", hanging(50)}, {"90 % hang", hanging(90)}},
		},
		{
			"noisy", "20 endpoints at 200 events per second, beside an account with 100 endpoints that respond after 4.9 s, one event a second each",
			[]metric{p50, p99, missing},
			ours,
			[]variant{{"alone", noisy(false)}, {"noisy account", noisy(true)}},
		},
		{
			"flood", "Idle endpoints' events while another endpoint has many due",
			[]metric{p50, p99},
			ours,
			[]variant{{"empty", flood(false)}, {"many due", flood(true)}},
		},
		{
			"retries", "Batches beside many deliveries that wait for a retry",
			[]metric{rate},
			ours,
			[]variant{{"empty", retries(false)}, {"many waiting", retries(true)}},
		},
		{
			"endpoints", "Batches to many endpoints",
			[]metric{rate},
			ours,
			[]variant{{"100", endpoints(false)}, {"many", endpoints(true)}},
		},
		{
			"payload", "Batches of other payloads",
			[]metric{rate},
			append([]string{bareName}, ours...),
			[]variant{{"1 KiB", payload(1 << 10)}, {"256 B", payload(256)}, {"64 KiB", payload(64 << 10)}, {"1 MiB", payload(1 << 20)}},
		},
		{
			"waiting", "Memory with deliveries that wait for a retry",
			[]metric{memory, routines},
			ours,
			[]variant{{"none", waiting(0)}, {"1 %", waiting(0.01)}, {"10 %", waiting(0.1)}, {"all", waiting(1)}},
		},
		{
			"processes", "Batches from several processes on one database",
			[]metric{rate},
			[]string{postgresName},
			[]variant{{"1", processes(1)}, {"2", processes(2)}, {"4", processes(4)}},
		},
		{"tallies", "End to end, batches of 100, without and with Config.Tallies", []metric{cpu, rate}, ours, offAndOn(batches)},
		{"tallies-drain", "Draining a backlog, without and with Config.Tallies", []metric{cpu, rate}, ours, offAndOn(drain)},
		{"idle", "Doing nothing", []metric{idle}, append(slices.Clone(ours), riverDefaultName, riverTunedName), only(idling)},
	}
}

// offAndOn runs a scenario without and with tallies.
func offAndOn(run func(context.Context, *bench, contender) (measurement, error)) []variant {
	return []variant{{"off", run}, {"on", func(ctx context.Context, b *bench, c contender) (measurement, error) {
		l := c.(library)
		l.shape = func(cfg *webhook.Config) { cfg.Tallies = true }
		return run(ctx, b, l)
	}}}
}

// batches emits from several goroutines while the system delivers.
func batches(ctx context.Context, b *bench, c contender) (measurement, error) {
	return b.with(ctx, c, b.urls("e", b.endpoints), func(s system) (measurement, error) {
		return b.throughput(ctx, s, b.load(b.jobsFor(c)))
	})
}

// jobsFor makes the measurements of the slowest contender shorter.
func (b *bench) jobsFor(c contender) int {
	if c.name() == riverDefaultName {
		return max(b.jobs/10, 200)
	}
	return b.jobs
}

// drain stores everything before delivering begins.
func drain(ctx context.Context, b *bench, c contender) (measurement, error) {
	return b.withStopped(ctx, c, b.urls("e", b.endpoints), func(s system) (measurement, error) {
		l := b.load(b.jobsFor(c))
		if err := feed(ctx, s, l); err != nil {
			return measurement{}, err
		}
		return b.timed(s, l.n, func() error { return s.start(ctx) })
	})
}

func single(ctx context.Context, b *bench, c contender) (measurement, error) {
	return b.with(ctx, c, b.urls("e", b.endpoints), func(s system) (measurement, error) {
		l := b.load(b.jobsFor(c) / 2)
		l.batch, l.callers = 1, 8
		return b.throughput(ctx, s, l)
	})
}

func latency(ctx context.Context, b *bench, c contender) (measurement, error) {
	return b.with(ctx, c, b.urls("e", b.endpoints), func(s system) (measurement, error) {
		if err := b.warmUp(ctx, s, b.endpoints); err != nil {
			return measurement{}, err
		}
		return b.steadily(ctx, s, func(i int) (int, bool) { return i % b.endpoints, true })
	})
}

// warmUp delivers two events to each of the first n endpoints.
func (b *bench) warmUp(ctx context.Context, s system, n int) error {
	l := b.load(2 * n)
	l.endpoints = n
	_, err := b.timed(s, l.n, func() error { return feed(ctx, s, l) })
	return err
}

// hanging sends to endpoints of which the given share does not respond for
// hangTime, and measures the others.
func hanging(percent int) func(context.Context, *bench, contender) (measurement, error) {
	return func(ctx context.Context, b *bench, c contender) (measurement, error) {
		bad := b.fleet * percent / 100
		good := b.fleet - bad
		urls := append(b.urls("e", good), b.urls("hang", bad)...)
		return b.with(ctx, c, urls, func(s system) (measurement, error) {
			if err := b.warmUp(ctx, s, good); err != nil {
				return measurement{}, err
			}
			// 37 has no divisor in common with 1,000: good and bad ones mix.
			return b.atRate(ctx, s, 2*b.steady, b.fleet, func(i int) (int, bool) {
				endpoint := i * 37 % b.fleet
				return endpoint, endpoint < good
			})
		})
	}
}

// noisy measures 20 endpoints beside an account whose 100 endpoints are slow. Its
// events go to all of them.
func noisy(beside bool) func(context.Context, *bench, contender) (measurement, error) {
	return func(ctx context.Context, b *bench, c contender) (measurement, error) {
		const good, slow = 20, 100
		urls := append(b.urls("e", good), b.urls(noisyPath, slow)...)
		return b.with(ctx, c, urls, func(s system) (measurement, error) {
			if err := b.warmUp(ctx, s, good); err != nil {
				return measurement{}, err
			}
			return b.atRate(ctx, s, 2*b.steady, b.rate+1, func(i int) (int, bool) {
				if beside && i%(b.rate+1) == 0 {
					return good, false
				}
				return i % good, true
			})
		})
	}
}

// flood gives one endpoint, which takes slowAnswer for each event, a backlog and
// measures the others.
func flood(due bool) func(context.Context, *bench, contender) (measurement, error) {
	return func(ctx context.Context, b *bench, c contender) (measurement, error) {
		idle := b.endpoints / 2
		urls := append(b.urls("e", idle), b.receiver.url("slow", 0))
		return b.withStopped(ctx, c, urls, func(s system) (measurement, error) {
			if due {
				l := load{n: b.preload, size: 128, batch: 500, callers: b.callers, endpoints: 1, first: idle}
				if err := feed(ctx, s, l); err != nil {
					return measurement{}, err
				}
			}
			if err := s.start(ctx); err != nil {
				return measurement{}, err
			}
			if err := b.warmUp(ctx, s, idle); err != nil {
				return measurement{}, err
			}
			return b.steadily(ctx, s, func(i int) (int, bool) { return i % idle, true })
		})
	}
}

// retries measures beside deliveries that failed and wait for their next
// attempt, which is a day away.
func retries(wait bool) func(context.Context, *bench, contender) (measurement, error) {
	return func(ctx context.Context, b *bench, c contender) (measurement, error) {
		urls := append(b.urls("e", b.endpoints), b.urls(failPath, b.endpoints)...)
		return b.with(ctx, stubbed(c.(library), false), urls, func(s system) (measurement, error) {
			if wait {
				l := load{n: b.preload, size: 128, batch: 500, callers: b.callers, endpoints: b.endpoints, first: b.endpoints}
				if err := feed(ctx, s, l); err != nil {
					return measurement{}, err
				}
				if err := untilWaiting(ctx, s.(*librarySystem), b.preload); err != nil {
					return measurement{}, err
				}
			}
			return b.repeated(ctx, s, b.load(b.jobs))
		})
	}
}

// untilWaiting returns once n deliveries wait for their next attempt.
func untilWaiting(ctx context.Context, s *librarySystem, n int) error {
	for end := time.Now().Add(10 * deadline); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		st, err := s.Stats(ctx)
		if err != nil {
			return err
		}
		if st.Waiting >= n {
			return nil
		}
	}
	return fmt.Errorf("not all of %d deliveries failed in time", n)
}

// repeated returns the median of several measurements of the same system.
func (b *bench) repeated(ctx context.Context, s system, l load) (measurement, error) {
	all := make([]measurement, b.repeats)
	for i := range all {
		var err error
		if all[i], err = b.throughput(ctx, s, l); err != nil {
			return measurement{}, err
		}
	}
	slices.SortFunc(all, func(x, y measurement) int { return int(x.rate - y.rate) })
	return all[len(all)/2], nil
}

func endpoints(many bool) func(context.Context, *bench, contender) (measurement, error) {
	return func(ctx context.Context, b *bench, c contender) (measurement, error) {
		l := b.load(b.jobs)
		if many {
			l.endpoints = b.many
		}
		return b.with(ctx, c, b.urls("e", l.endpoints), func(s system) (measurement, error) {
			return b.repeated(ctx, s, l)
		})
	}
}

func payload(size int) func(context.Context, *bench, contender) (measurement, error) {
	return func(ctx context.Context, b *bench, c contender) (measurement, error) {
		return b.with(ctx, c, b.urls("e", b.endpoints), func(s system) (measurement, error) {
			l := b.load(max(b.jobs/(1+size/(8<<10)), 16))
			l.endpoints = min(l.endpoints, max(l.n/4, 1))
			l.size = size
			l.batch = max(1, min(l.batch, (1<<20)/size))
			return b.throughput(ctx, s, l)
		})
	}
}

// idling measures a started system that has worked before and has nothing to do.
func idling(ctx context.Context, b *bench, c contender) (measurement, error) {
	return b.with(ctx, c, b.urls("e", b.endpoints), func(s system) (measurement, error) {
		if err := b.warmUp(ctx, s, b.endpoints); err != nil {
			return measurement{}, err
		}
		time.Sleep(b.steady / 5)
		begin, used := time.Now(), processCPU()+s.storeCPU()
		time.Sleep(b.steady)
		used = processCPU() + s.storeCPU() - used
		return measurement{idleShare: used.Seconds() / time.Since(begin).Seconds()}, nil
	})
}

// dayLater is a RetryPolicy whose retries come after every measurement.
type dayLater struct{}

func (dayLater) Next(int, webhook.Result) (time.Duration, bool) { return 24 * time.Hour, true }
