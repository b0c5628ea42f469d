// Durable shows that nothing is lost. It emits events into a database, lets a
// process of its own deliver them, kills that process in the middle of its work
// (SIGKILL, no clean-up), starts another one, and counts.
//
//	go run ./examples/durable                                   SQLite in a temporary file
//	go run ./examples/durable -store postgres -dsn postgres://… -processes 2
//	go run ./examples/durable -store mysql -dsn 'root@tcp(127.0.0.1:3306)/test'
//
// It exits with status 1 if an accepted event did not arrive, or came more often
// than a killed process explains.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/ringyo-ai/webhook"
)

// events is how many of each of the 14 types are emitted.
const events = 20

func main() {
	var o options
	flag.StringVar(&o.store, "store", "sqlite", "sqlite, postgres or mysql")
	flag.StringVar(&o.dsn, "dsn", "", "data source name; for sqlite a file, by default a temporary one")
	flag.IntVar(&o.processes, "processes", 1, "delivering processes")
	flag.StringVar(&o.prefix, "prefix", "", "prefix of the tables; made up and dropped by default")
	flag.BoolVar(&o.deliver, "deliver", false, "only deliver: what the program starts itself as")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := start(ctx, o); err != nil {
		fmt.Println("\nFAILED:", err)
		os.Exit(1)
	}
}

type options struct {
	store, dsn, prefix string
	processes          int
	deliver            bool
}

func start(ctx context.Context, o options) error {
	if o.deliver {
		return deliver(ctx, o)
	}
	cleanUp, err := o.complete()
	if err != nil {
		return err
	}
	defer cleanUp()
	return story(ctx, o)
}

// deliver is the process that gets killed.
func deliver(ctx context.Context, o options) error {
	p, err := openPlatform(ctx, o)
	if err != nil {
		return err
	}
	if err := p.engine.Start(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

func story(ctx context.Context, o options) error {
	p, err := openPlatform(ctx, o)
	if err != nil {
		return err
	}
	defer p.close()
	server, err := startCustomer()
	if err != nil {
		return err
	}
	defer server.close()
	if err := p.register(ctx, server); err != nil {
		return err
	}

	fmt.Printf("1. %d process(es) deliver from %s; one endpoint responds slowly, one fails a third of all requests\n", o.processes, o.store)
	workers, err := startWorkers(ctx, o)
	if err != nil {
		return err
	}
	defer func() { killAll(workers) }()

	fmt.Println("2. Events are emitted, and the delivering process is killed in the middle")
	accepted, err := p.emitAll(ctx)
	if err != nil {
		return err
	}
	expected := len(accepted) * len(paths)
	if err := server.wait(ctx, expected/3); err != nil {
		return err
	}
	killAll(workers)
	stats, err := p.engine.Stats(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("   killed: %d of %d had arrived, %d were in its hands, %d waited\n",
		server.unique(), expected, stats.InFlight, stats.Due+stats.Waiting)

	fmt.Println("3. Another process starts, and takes over when the dead one's leases have ended")
	workers, err = startWorkers(ctx, o)
	if err != nil {
		return err
	}
	if err := server.wait(ctx, expected); err != nil {
		return err
	}
	if err := p.finished(ctx); err != nil {
		return err
	}
	killAll(workers)
	return report(accepted, server, stats.InFlight)
}

// report holds what arrived against what was accepted.
func report(accepted []string, server *customer, inHands int) error {
	missing, duplicates, strangers := server.compare(accepted)
	fmt.Printf("4. %d events accepted, %d deliveries arrived, %d missing, %d came twice\n",
		len(accepted), server.unique(), missing, duplicates)
	switch {
	case missing > 0 || strangers > 0:
		return fmt.Errorf("%d deliveries are missing, %d were never accepted", missing, strangers)
	case duplicates > inHands:
		return fmt.Errorf("%d duplicates, though the dead process held only %d", duplicates, inHands)
	}
	fmt.Println("\nNothing was lost.")
	return nil
}

// startWorkers runs this program again, as processes that deliver.
func startWorkers(ctx context.Context, o options) ([]*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var workers []*exec.Cmd
	for range o.processes {
		w := exec.CommandContext(ctx, self, "-deliver", "-store", o.store, "-dsn", o.dsn, "-prefix", o.prefix)
		w.Stdout, w.Stderr = os.Stdout, os.Stderr
		if err := w.Start(); err != nil {
			killAll(workers)
			return nil, err
		}
		workers = append(workers, w)
	}
	return workers, nil
}

// killAll kills without warning.
func killAll(workers []*exec.Cmd) {
	for _, w := range workers {
		_ = w.Process.Kill()
		_ = w.Wait()
	}
}

// until asks f every 20 ms.
func until(ctx context.Context, f func() (bool, error)) error {
	for {
		ok, err := f()
		if ok || err != nil {
			return err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return errors.New("it took too long")
		}
	}
}

// paths are the endpoints of the customer, all of one account.
var paths = []string{"/quick", "/slow", "/flaky"}

const account = "acme"

var everything = []webhook.EventType{"*"}
