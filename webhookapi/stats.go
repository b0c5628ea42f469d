package webhookapi

import (
	"errors"
	"time"

	"github.com/ringyo-ai/webhook"
)

// statsBody are the numbers of an endpoint by hour.
type statsBody struct {
	Enabled bool       `json:"enabled"` // false: the platform keeps none
	Data    []hourBody `json:"data"`
}

type hourBody struct {
	Hour           when        `json:"hour"`
	Delivered      int         `json:"delivered"`
	FailedAttempts int         `json:"failed_attempts"`
	Exhausted      int         `json:"exhausted"`
	LatencyMS      latencyBody `json:"latency_ms"`
}

// latencyBody holds percentiles; null where nothing was measured.
type latencyBody struct {
	P50 *int64 `json:"p50"`
	P95 *int64 `json:"p95"`
	P99 *int64 `json:"p99"`
}

// longestStats is the longest time that one request of /stats is about.
const longestStats = 31 * 24 * time.Hour

func endpointStats(r *request) (response, error) {
	p, err := query(r, "from", "until")
	if err != nil {
		return response{}, err
	}
	from, until := p.time("from"), p.time("until")
	if until.IsZero() {
		until = time.Now().Add(time.Hour)
	}
	if from.IsZero() {
		from = until.Add(-25 * time.Hour)
	}
	if until.Sub(from) > longestStats || until.Before(from) {
		p.wrong("from", "must lie before until, by at most 31 days")
	}
	if err := p.err(); err != nil {
		return response{}, err
	}
	id := r.PathValue("id")
	all, err := r.h.engine.Tallies(r.ctx(), r.account(), webhook.TallyQuery{EndpointIDs: []string{id}, From: from, Until: until})
	b := statsBody{Enabled: true, Data: []hourBody{}}
	if errors.Is(err, errors.ErrUnsupported) {
		b.Enabled, err = false, nil
	}
	list, known := all[id]
	if err == nil && !known {
		_, err = r.h.engine.GetEndpoint(r.ctx(), r.account(), id)
	}
	if err != nil {
		return response{}, err
	}
	for _, t := range list {
		b.Data = append(b.Data, hourBody{
			Hour: when(t.Hour), Delivered: t.Delivered, FailedAttempts: t.FailedAttempts, Exhausted: t.Exhausted,
			LatencyMS: latencyBody{percentile(t, 0.5), percentile(t, 0.95), percentile(t, 0.99)},
		})
	}
	return response{body: b}, nil
}

func percentile(t webhook.Tally, p float64) *int64 {
	d, ok := t.Percentile(p)
	if !ok {
		return nil
	}
	ms := d.Milliseconds()
	return &ms
}
