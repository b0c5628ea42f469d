package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "benchmarks:", err)
		os.Exit(1)
	}
}

// run is the command, or one of the processes that it starts.
func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 1 && args[0] == "receiver":
		return runReceiver()
	case len(args) == 5 && args[0] == "memory":
		waiting, _ := strconv.Atoi(args[3])
		total, _ := strconv.Atoi(args[4])
		return runMemory(ctx, args[1], args[2], waiting, total)
	case len(args) == 4 && args[0] == "sender":
		endpoints, _ := strconv.Atoi(args[3])
		return runSender(ctx, args[1], args[2], endpoints)
	}
	o, err := parse(args)
	if err != nil {
		return err
	}
	return o.run(ctx, os.Stdout)
}

// options are the command's flags.
type options struct {
	settings
	dsn       string
	profile   string
	scenarios []string
	stores    []string
	rounds    int
}

func parse(args []string) (options, error) {
	var o options
	var only, stores string
	quick := slices.Contains(args, "-quick") || slices.Contains(args, "--quick")
	o.settings, o.rounds = fullSettings(), 5
	if quick {
		o.settings, o.rounds = quickSettings(), 1
	}
	f := flag.NewFlagSet("benchmarks", flag.ContinueOnError)
	f.Bool("quick", quick, "run everything once with little work, in less than a minute: shows that it works, not how fast")
	f.StringVar(&o.dsn, "postgres", os.Getenv("WEBHOOK_TEST_POSTGRES_DSN"), "PostgreSQL, as a URL; each measurement makes its own schema. Default: $WEBHOOK_TEST_POSTGRES_DSN")
	f.StringVar(&only, "scenario", "", "comma-separated `names`; default: all of "+strings.Join(scenarioNames(), ","))
	f.StringVar(&stores, "store", "", "comma-separated parts of contenders' `names`, such as memory,sqlite,postgres,river; the bare loop is always measured")
	f.StringVar(&o.profile, "cpuprofile", "", "write a CPU profile of the sender to this `file`, for go tool pprof")
	f.IntVar(&o.rounds, "rounds", o.rounds, "how often everything is measured; the tables show medians")
	f.IntVar(&o.jobs, "n", o.jobs, "events of one measurement")
	f.IntVar(&o.batch, "batch", o.batch, "events of one Emit, where batches are measured")
	f.IntVar(&o.callers, "callers", o.callers, "goroutines that emit batches")
	f.IntVar(&o.size, "size", o.size, "bytes of a payload")
	f.IntVar(&o.settings.endpoints, "endpoints", o.settings.endpoints, "endpoints that the events go to in turn")
	f.DurationVar(&o.steady, "steady", o.steady, "length of a measurement at a steady rate")
	f.IntVar(&o.rate, "rate", o.rate, "events per second at a steady rate")
	f.IntVar(&o.preload, "preload", o.preload, "deliveries that are due, or wait, in the scenarios flood and retries")
	f.IntVar(&o.many, "many", o.many, "endpoints in the scenario endpoints")
	f.IntVar(&o.warm, "waiting", o.warm, "deliveries in the scenario waiting")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	o.scenarios, o.stores = list(only), list(stores)
	for _, name := range o.scenarios {
		if !slices.Contains(scenarioNames(), name) {
			return o, fmt.Errorf("there is no scenario %q", name)
		}
	}
	return o, nil
}

func list(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

func scenarioNames() []string {
	var names []string
	for _, s := range scenarios() {
		names = append(names, s.name)
	}
	return names
}

func (o options) run(ctx context.Context, w io.Writer) error {
	receiver, err := startReceiver()
	if err != nil {
		return err
	}
	defer receiver.stop()
	b := &bench{settings: o.settings, receiver: receiver, dsn: o.dsn}
	if err := o.header(ctx, w); err != nil {
		return err
	}
	stop, err := startProfile(o.profile)
	if err != nil {
		return err
	}
	defer stop()
	all := results{}
	for _, s := range scenarios() {
		if len(o.scenarios) > 0 && !slices.Contains(o.scenarios, s.name) {
			continue
		}
		if err := o.measure(ctx, b, s, all); err != nil {
			return err
		}
		all.write(w, s)
	}
	all.writeTargets(w)
	return nil
}

// startProfile writes a CPU profile until stop is called.
func startProfile(file string) (stop func(), err error) {
	if file == "" {
		return func() {}, nil
	}
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close()
	}, pprof.StartCPUProfile(f)
}

// measure takes the contenders in turn, round by round.
func (o options) measure(ctx context.Context, b *bench, s scenario, all results) error {
	for round := range o.rounds {
		for _, c := range contenders(o.dsn) {
			if !slices.Contains(s.who, c.name()) || !o.wants(c) {
				continue
			}
			for _, v := range s.variants {
				begin := time.Now()
				m, err := v.run(ctx, b, c)
				if err == nil {
					err = ctx.Err()
				}
				if err != nil {
					return fmt.Errorf("%s, %s %s: %w", s.name, c.name(), v.label, err)
				}
				at := cell{s.name, v.label, c.name()}
				all[at] = append(all[at], m)
				fmt.Fprintf(os.Stderr, "round %d/%d %s, %s %s: %v (%s)\n", round+1, o.rounds, s.name, c.name(), v.label, m.brief(s.show), time.Since(begin).Round(10*time.Millisecond))
			}
		}
	}
	return nil
}

func (m measurement) brief(show []metric) string {
	var parts []string
	for _, k := range show {
		parts = append(parts, k.title+" "+k.text(k.value(m)))
	}
	if m.repeated > 0 {
		parts = append(parts, fmt.Sprintf("%d arrived twice", m.repeated))
	}
	return strings.Join(parts, ", ")
}

// wants applies -store.
func (o options) wants(c contender) bool {
	name := strings.ToLower(c.name())
	return len(o.stores) == 0 || c.name() == bareName || slices.ContainsFunc(o.stores, func(part string) bool {
		return strings.Contains(name, strings.ToLower(part))
	})
}

// header names what was measured, and with what.
func (o options) header(ctx context.Context, w io.Writer) error {
	fmt.Fprintf(w, "%s, %s/%s, %d processors; %d rounds, medians.\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), o.rounds)
	fmt.Fprintf(w, "%d signed events of %d bytes to %d endpoints on this machine, batches of %d from %d goroutines; steady: %d/s for %s; preloaded %d, many endpoints %d, waiting %d.\n",
		o.jobs, o.size, o.settings.endpoints, o.batch, o.callers, o.rate, o.steady, o.preload, o.many, o.warm)
	info, _ := debug.ReadBuildInfo()
	for _, m := range info.Deps {
		switch m.Path {
		case "github.com/riverqueue/river", "github.com/jackc/pgx/v5", "modernc.org/sqlite":
			fmt.Fprintf(w, "%s %s. ", m.Path, m.Version)
		}
	}
	fmt.Fprintf(w, "SQLite: %s. River tuned: 200 workers, fetch every 5 ms, InsertManyFast (COPY); defaults: 100 workers, InsertMany.\n", sqliteSettings)
	if o.dsn == "" {
		fmt.Fprintln(w, "Without PostgreSQL and River: give -postgres or set WEBHOOK_TEST_POSTGRES_DSN.")
		return nil
	}
	version, err := postgresVersion(ctx, o.dsn)
	if err == nil {
		fmt.Fprintf(w, "%s, %d connections each.\n", version, connections)
	}
	return err
}
