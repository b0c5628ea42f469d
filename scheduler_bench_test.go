package webhook

import (
	"fmt"
	"testing"
)

// BenchmarkScheduler measures what the scheduler costs each delivery: taking it
// on, choosing it, and learning how it went; with few and with many endpoints.
func BenchmarkScheduler(b *testing.B) {
	for _, endpoints := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprint(endpoints, "endpoints"), func(b *testing.B) {
			e, err := New(Config{Store: struct{ Store }{}})
			if err != nil {
				b.Fatal(err)
			}
			s := &e.sched
			s.start()
			s.workers = 1 << 30 // none is hired: the benchmark is the worker
			targets := make([]*Target, endpoints)
			for i := range targets {
				targets[i] = &Target{EndpointID: fmt.Sprint("wh_", i)}
			}
			jobs := make([]job, 64)
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				if n%len(jobs) != 0 {
					continue // a delivery each, in batches
				}
				for i := range jobs {
					jobs[i].Target = targets[(n+i)%endpoints]
				}
				s.add(jobs)
				for range jobs {
					_, f, ok := s.next()
					if !ok {
						b.Fatal("nothing to attempt")
					}
					s.done(f, verdictAnswered)
				}
			}
		})
	}
}
