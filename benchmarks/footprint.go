package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"
)

// waiting measures, in a process of its own, the memory after b.warm deliveries
// of which the given share failed and waits while the others are done.
func waiting(share float64) func(context.Context, *bench, contender) (measurement, error) {
	return func(_ context.Context, b *bench, c contender) (measurement, error) {
		p, err := startChild("memory", c.name(), b.dsn, strconv.Itoa(int(share*float64(b.warm))), strconv.Itoa(b.warm))
		if err != nil {
			return measurement{}, err
		}
		defer p.end()
		line, err := p.line()
		if err != nil {
			return measurement{}, errors.New("the measuring process failed")
		}
		var f footprint
		err = json.Unmarshal([]byte(line), &f)
		return measurement{memory: f.Resident, routines: f.Goroutines}, err
	}
}

type footprint struct{ Resident, Goroutines float64 }

// runMemory is the measuring process: it prints its footprint.
func runMemory(ctx context.Context, store, dsn string, waiting, total int) error {
	c, err := ourContender(store, dsn)
	if err != nil {
		return err
	}
	urls := []string{"http://127.0.0.1:32768/e/0", "http://127.0.0.1:32768/" + failPath + "/0"}
	s, err := stubbed(c, true).open(ctx, urls)
	if err != nil {
		return err
	}
	err = errors.Join(s.start(ctx), prepareMemory(ctx, s.(*librarySystem), waiting, total))
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(measureFootprint())
	}
	return errors.Join(err, s.close(ctx))
}

func prepareMemory(ctx context.Context, s *librarySystem, waiting, total int) error {
	done := load{n: total - waiting, size: 1024, batch: 100, callers: 4, endpoints: 1}
	failing := load{n: waiting, size: 1024, batch: 100, callers: 4, endpoints: 1, first: 1}
	if err := errors.Join(feed(ctx, s, done), feed(ctx, s, failing)); err != nil {
		return err
	}
	for end := time.Now().Add(deadline); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		st, err := s.Stats(ctx)
		if err != nil || st.Waiting == waiting && st.Due == 0 && st.InFlight == 0 {
			return err
		}
	}
	return errors.New("the deliveries did not end in time")
}

func measureFootprint() footprint {
	time.Sleep(300 * time.Millisecond)
	runtime.GC()
	debug.FreeOSMemory()
	return footprint{Resident: float64(residentBytes()), Goroutines: float64(runtime.NumGoroutine())}
}
