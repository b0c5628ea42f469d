package webhook

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// TestResult is what came of a test event.
type TestResult struct {
	EventID    string      // not stored: GetEvent does not know it
	Delivered  bool        // answered 2xx
	StatusCode int         // 0: no answer
	Failure    FailureKind // empty: delivered
	Detail     string      // fixed words, safe to show
	Duration   time.Duration
	// ResponseBody is the beginning of the answer's body: bytes of the peer.
	ResponseBody []byte
}

// SendTest sends a sample event of the given type to an endpoint, at once and
// signed like any other, and answers what came back. It is not stored, not
// retried and never counts, and it reaches an inactive endpoint too, so that its
// owner can try before enabling. That the endpoint did not take it is a result
// and not an error; errors are [ErrNotFound], a malformed type, [ErrUnreadable],
// and those of the Store. The data is that of [SampleData], for a type outside the catalogue too.
func (e *Engine) SendTest(ctx context.Context, accountID, id string, t EventType) (TestResult, error) {
	r, err := e.endpoint(ctx, accountID, id)
	if err != nil {
		return TestResult{}, err
	}
	if slices.Contains(r.Unreadable, partSecrets) || slices.Contains(r.Unreadable, partHeaders) {
		return TestResult{}, fmt.Errorf("%w: %s", ErrUnreadable, strings.Join(r.Unreadable, ", "))
	}
	if _, known := e.clock.now(); !known {
		begin := time.Now()
		now, err := call(ctx, e.store, e.store.Now)
		if err != nil {
			return TestResult{}, err
		}
		e.clock.observe(begin, now)
	}
	ev, err := NewEvent(accountID, t, SampleData(t))
	if err != nil {
		return TestResult{}, err
	}
	records, err := validateEvents([]Event{ev}, 0) // the limit is for what callers emit
	if err != nil {
		return TestResult{}, err
	}
	j := job{test: true, Leased: Leased{
		Event:  &records[0],
		Target: &Target{EndpointID: r.ID, AccountID: r.AccountID, URL: r.URL, Headers: r.Headers, Secrets: r.Secrets},
	}}
	begin := time.Now()
	resp, err := e.send(ctx, &j)
	res := result{job: j, duration: time.Since(begin)}
	res.judge(resp, err, e.clock.time())
	answer := TestResult{
		EventID: ev.ID, Delivered: res.last.Failure == "", StatusCode: res.last.StatusCode,
		Failure: res.last.Failure, Detail: res.detail, Duration: res.duration,
	}
	answer.ResponseBody = excerpt(resp)
	return answer, nil
}
