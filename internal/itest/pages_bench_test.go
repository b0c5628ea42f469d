package itest

import (
	"testing"
	"time"

	"github.com/ringyo-ai/webhook/sqlstore"
)

// BenchmarkPages asks for each page of an account with a hundred endpoints and a million
// deliveries, beside one with as many endpoints that have got one event, in turn, and
// then while 100,000 more deliveries wait, are held, or are in flight. It reports medians,
// and what the first is times the second. Without WEBHOOK_TEST_LONG=1 it is about three
// thousand deliveries.
func BenchmarkPages(b *testing.B) {
	events, late := 30, 6
	if long() {
		events, late = million/pageEndpoints, backlog/pageEndpoints
	}
	for _, d := range databases {
		b.Run(d.name, func(b *testing.B) {
			few, full := newPages(b, d), newPages(b, d)
			few.finish(b, "few", 1)
			began := time.Now()
			full.finish(b, "full", events)
			few.tidy(b)
			full.tidy(b)
			b.Logf("%d deliveries in %.0f s", events*pageEndpoints, time.Since(began).Seconds())
			b.Run("finished", func(b *testing.B) { comparePages(b, few, full) })
			full.unfinish(b, late)
			full.tidy(b)
			b.Run("backlog", func(b *testing.B) { comparePages(b, few, full) })
		})
	}
}

// tidy does what PostgreSQL does by itself some time after so many rows were written.
func (p *pages) tidy(b *testing.B) {
	p.analyse(b)
	if p.dialect == sqlstore.Postgres {
		p.exec(b, "vacuum")
	}
}

// comparePages measures each page that both have.
func comparePages(b *testing.B, few, full *pages) {
	paths := map[string]aPage{}
	for _, a := range few.list(b) {
		paths[a.name] = a
	}
	for _, a := range full.list(b) {
		other, both := paths[a.name]
		if !both {
			continue
		}
		b.Run(a.name, func(b *testing.B) {
			var took [2][]time.Duration
			for b.Loop() {
				for range 21 { // so that there is a median of one round, too
					for i, p := range []*pages{few, full} {
						began := time.Now()
						p.get(b, []aPage{other, a}[i])
						took[i] = append(took[i], time.Since(began))
					}
				}
			}
			m, n := median(took[0]), median(took[1])
			b.ReportMetric(float64(m.Microseconds()), "few-us")
			b.ReportMetric(float64(n.Microseconds()), "full-us")
			b.ReportMetric(float64(n)/float64(m), "times")
			b.ReportMetric(0, "ns/op")
		})
	}
}
