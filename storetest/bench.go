package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/ringyo-ai/webhook"
)

// benchBatch is the size of a batch, in events and in deliveries, and
// benchEndpoints the number of endpoints that they are spread over.
const (
	benchBatch     = 100
	benchEndpoints = 100
	benchDepth     = 10_000
)

// Benchmark measures the calls that delivering consists of, in batches of 100
// events of 1 KiB to 100 endpoints with a subscription of their own, and reports
// deliveries/s besides:
//
//   - EmitOne: Enqueue of one event, handed off, and its Settle.
//   - HandOff: Enqueue of a batch, handed off, and its Settle.
//   - Queue: Enqueue of a batch that is not handed off, Claim, Settle.
//   - Claim: Claim and release of a batch, in an otherwise empty store, beside
//     10,000 waiting retries, beside a backlog of 10,000 at a full endpoint, and
//     beside 1,000 paused endpoints. A store whose Claim costs its batch alone has
//     about the same figure for all four.
func Benchmark(b *testing.B, h Harness) {
	b.Run("EmitOne", func(b *testing.B) {
		bench(b, h, 1, func(e *env, evs []webhook.EventRecord) {
			e.deliver(e.groups(e.store, terms(len(evs), len(evs)), evs).Leased...)
		})
	})
	b.Run("HandOff", func(b *testing.B) {
		bench(b, h, benchBatch, func(e *env, evs []webhook.EventRecord) {
			e.deliver(e.groups(e.store, terms(len(evs), len(evs)), evs).Leased...)
		})
	})
	b.Run("Queue", func(b *testing.B) {
		bench(b, h, benchBatch, func(e *env, evs []webhook.EventRecord) {
			e.enqueue(evs...)
			e.deliver(e.claim(terms(len(evs), len(evs))).Deliveries...)
		})
	})
	b.Run("Claim/empty", func(b *testing.B) { benchClaim(b, h, func(*env) {}) })
	b.Run("Claim/waiting", func(b *testing.B) { benchClaim(b, h, (*env).manyWaiting) })
	b.Run("Claim/backlog", func(b *testing.B) { benchClaim(b, h, (*env).manyReady) })
	b.Run("Claim/paused", func(b *testing.B) { benchClaim(b, h, func(e *env) { e.hanging(manyPaused) }) })
}

func benchEnv(b *testing.B, h Harness) *env {
	e := &env{TB: b, h: h, store: h.New(b), ctx: b.Context()}
	for i := range benchEndpoints {
		e.endpoint(fmt.Sprint("wh_", i), benchType(i))
	}
	return e
}

func benchType(i int) webhook.EventType {
	return webhook.EventType(fmt.Sprint("bench.to_", i%benchEndpoints))
}

// benchEvents makes n events whose ids were not used before.
func benchEvents(round, n int) []webhook.EventRecord {
	evs := make([]webhook.EventRecord, n)
	for i := range evs {
		evs[i] = event(fmt.Sprintf("evt_%d_%d", round, i))
		evs[i].Type = benchType(round + i)
		evs[i].Data = benchData
	}
	return evs
}

var benchData = fmt.Appendf(nil, `{"text":"%01012d"}`, 0)

// bench measures one round of work on n new events.
func bench(b *testing.B, h Harness, n int, round func(*env, []webhook.EventRecord)) {
	e := benchEnv(b, h)
	done := 0
	b.ReportAllocs()
	for b.Loop() {
		round(e, benchEvents(done, n))
		done++
	}
	b.ReportMetric(float64(done*n)/b.Elapsed().Seconds(), "deliveries/s")
}

// benchClaim measures a claim, and the release that makes the next one possible,
// of a batch beside whatever prepare left in the store at the endpoint wh_full.
func benchClaim(b *testing.B, h Harness, prepare func(*env)) {
	e := benchEnv(b, h)
	e.endpoint("wh_full", "bench.full")
	prepare(e)
	e.enqueue(benchEvents(0, benchBatch)...)
	cursor, done := "", 0
	b.ReportAllocs()
	for b.Loop() {
		c := e.claimFrom(cursor, terms(benchBatch, 4, slots{"wh_full", 0}))
		cursor = c.Cursor
		if len(c.Deliveries) == 0 {
			b.Fatal("nothing claimed")
		}
		batch := make([]webhook.Settlement, len(c.Deliveries))
		for i, l := range c.Deliveries {
			batch[i] = result(l, webhook.OutcomeReleased)
		}
		e.applied(batch...)
		done += len(batch)
	}
	b.ReportMetric(float64(done)/b.Elapsed().Seconds(), "deliveries/s")
}

// manyReady leaves deliveries ready at wh_full.
func (e *env) manyReady() {
	for n := range benchDepth / benchBatch {
		evs := events(fmt.Sprint("full_", n), benchBatch)
		for i := range evs {
			evs[i].Type = "bench.full"
		}
		e.enqueue(evs...)
	}
}

// manyWaiting leaves deliveries waiting for a retry at wh_full.
func (e *env) manyWaiting() {
	e.manyReady()
	for range benchDepth / benchBatch {
		var batch []webhook.Settlement
		for _, l := range e.claim(terms(benchBatch, benchBatch)).Deliveries {
			s := result(l, webhook.OutcomeRetry)
			s.Delay = 1000 * time.Hour
			batch = append(batch, s)
		}
		e.applied(batch...)
	}
}
