package main

import (
	"context"
	"strconv"
	"time"
)

// contender does the measured work by its own means.
type contender interface {
	// name is its column in the tables.
	name() string
	// open makes an empty system with the given endpoints. It delivers nothing
	// before start.
	open(ctx context.Context, endpoints []string) (system, error)
}

// system is a contender at work.
type system interface {
	// emit returns once the jobs are accepted: durable, where there is a store.
	emit(ctx context.Context, jobs []job) error
	start(ctx context.Context) error
	// storeCPU returns the processor time of the store's own processes.
	storeCPU() time.Duration
	// close stops delivering and removes everything stored.
	close(ctx context.Context) error
}

// job is one event for one endpoint.
type job struct {
	endpoint int
	data     []byte // JSON
}

const (
	seqField  = `"seq":`
	sentField = `"sent":`
	eventType = "bench.event"
)

// newJob makes the event number seq with a payload of size bytes. It carries the
// time, from which the receiver counts.
func newJob(endpoint, seq, size int) job {
	data := make([]byte, 0, size+64)
	data = append(data, `{`+seqField...)
	data = strconv.AppendInt(data, int64(seq), 10)
	data = append(data, `,`+sentField...)
	data = strconv.AppendInt(data, time.Now().UnixNano(), 10)
	data = append(data, `,"pad":"`...)
	for len(data) < size-2 {
		data = append(data, 'x')
	}
	return job{endpoint: endpoint, data: append(data, `"}`...)}
}
