package webhook

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/ringyo-ai/webhook/internal/lanes"
)

// poisonLeases is how many leases in a row may end without a result before they
// cost the delivery an attempt: one that kills the process must end.
const poisonLeases = 3

// work attempts a delivery, and then others until there is none for it.
func (e *Engine) work(j job, f *lanes.Flight[job]) {
	defer func() {
		if f != nil { // ended by the Transport: another goroutine takes its place
			go func() { e.work(e.sched.Next(f)) }()
		}
	}()
	for f != nil {
		e.attemptThen(e.life.ctx, j, func(r result) {
			p := e.sched.Learn(f, r.verdict)
			if p != lanes.Paused || !f.Probe() || j.Attempts == 0 { // what follows its schedule makes no pause longer
				r.pace(p)
			}
			e.settler.add(r)
		})
		j, f = e.sched.Next(f)
	}
}

// attemptThen hands the result of an attempt to then, though the Transport ends
// the goroutine, as testing's FailNow does.
func (e *Engine) attemptThen(ctx context.Context, j job, then func(result)) {
	begin, returned := time.Now(), false
	r := result{job: j}
	defer func() {
		if !returned {
			e.log.Error("webhook: the Transport ended its goroutine")
			r.sent, r.duration = true, time.Since(begin)
			r.judge(nil, &TransportError{Kind: FailureInternal, Detail: "the sender failed"}, e.clock.time())
			e.conclude(&r, nil, begin)
		}
		then(r)
	}()
	r = e.attempt(ctx, j)
	returned = true
}

// take hands leased deliveries to the scheduler, or gives them back when it is
// closed.
func (e *Engine) take(leased []Leased, leaseEnd time.Time, release func(came int)) {
	came := len(leased)
	defer func() { release(came) }()
	if came == 0 {
		return
	}
	leased = e.isolate(leased, leaseEnd)
	jobs := make([]lanes.Job[job], len(leased))
	for i := range leased {
		jobs[i] = lanes.Job[job]{
			Endpoint: leased[i].Target.EndpointID,
			Account:  leased[i].Target.AccountID,
			Size:     len(leased[i].Event.Data),
			Value:    job{Leased: leased[i], leaseEnd: leaseEnd},
		}
	}
	if rest := e.sched.Add(jobs); len(rest) > 0 {
		// Stopped meanwhile. One try: a caller of Emit is waiting, and the leases
		// expire in any case.
		once, cancel := context.WithCancel(context.Background())
		cancel()
		back := make([]job, len(rest))
		for i := range rest {
			back[i] = rest[i].Value
		}
		e.giveBack(once, back)
	}
}

// suspectPause is the time between two suspects that were claimed together, and
// suspectPauses the number of them that are told apart.
const (
	suspectPause  = time.Second
	suspectPauses = 60
)

// isolate lets one suspect go on at a time: a delivery whose next unsettled lease
// costs it an attempt. One that ends the process takes all that is in flight with
// it, so that their leases end in step and its innocent company would be given up
// with it. The others come back one by one, with nothing against them, and that
// is recorded before the first goes on.
func (e *Engine) isolate(leased []Leased, leaseEnd time.Time) []Leased {
	suspect := func(l Leased) bool { return l.Expired == poisonLeases-1 }
	if !slices.ContainsFunc(leased, suspect) {
		return leased
	}
	kept := make([]Leased, 0, len(leased))
	var back []result
	suspects := 0
	for _, l := range leased {
		if suspect(l) {
			if suspects++; suspects > 1 {
				j := job{Leased: l, leaseEnd: leaseEnd}
				r := result{job: j, settlement: j.settlement(OutcomeReleased)}
				r.settlement.Delay = suspectPause * time.Duration(min(suspects-1, suspectPauses))
				back = append(back, r)
				continue
			}
		}
		kept = append(kept, l)
	}
	if len(back) > 0 {
		once, cancel := context.WithCancel(context.Background())
		cancel()
		_ = e.settle(once, back, nil) // logged; otherwise their leases end by themselves
	}
	return kept
}

// giveBack releases what was leased but not attempted, at no cost; it tries at
// least once, and again until ctx ends.
func (e *Engine) giveBack(ctx context.Context, jobs []job) {
	if len(jobs) == 0 {
		return
	}
	batch := make([]result, len(jobs))
	for i, j := range jobs {
		batch[i] = result{job: j, settlement: j.settlement(OutcomeReleased)}
	}
	_ = e.settle(ctx, batch, e.settler.refuse) // logged; the leases expire
}

// result is a settlement with what the hooks are told of it.
type result struct {
	job
	settlement Settlement
	verdict    lanes.Verdict
	sent       bool // a request was made, or tried
	answered   bool
	stopped    bool // cut off by us
	unanswered bool // a call that was to record it ended without an answer: perhaps it did
	last       Result
	detail     string
	err        error
	duration   time.Duration
}

// pace takes over how the endpoint answered into the settlement.
func (r *result) pace(p lanes.Pace) {
	if r.verdict.Kind == lanes.Nothing {
		return
	}
	r.settlement.Pace = Pace(p)
	if r.settlement.Pace == PacePaused {
		r.settlement.Pause, r.settlement.MaxPause = firstPause, longestProbePause
	}
}

// paceAlone returns what an attempt tells by itself, without those before it.
func (r *result) paceAlone() lanes.Pace {
	switch {
	case r.verdict.Kind == lanes.TimedOut:
		return lanes.Paused
	case r.duration < lanes.SlowAfter:
		return lanes.Quick
	}
	return lanes.Slow
}

func (j *job) settlement(o Outcome) Settlement {
	return Settlement{
		DeliveryID: j.DeliveryID,
		Token:      j.Token,
		EndpointID: j.Target.EndpointID,
		Generation: j.Target.Generation,
		Outcome:    o,
	}
}

// attempt sends one delivery and decides what becomes of it.
func (e *Engine) attempt(ctx context.Context, j job) result {
	r := result{job: j}
	switch {
	case j.Expired >= poisonLeases:
		// Sending it seems to end the process, so this attempt is only noted.
		r.last.Failure, r.detail = FailureInternal, "the sending process ended several times during this attempt"
		r.log(e, time.Now())
		e.plan(&r, ReasonAbandoned, false)
		return r
	case time.Until(j.leaseEnd) < e.cfg.AttemptTimeout:
		// It waited too long here: another process could send it meanwhile.
		r.settlement = j.settlement(OutcomeReleased)
		return r
	}
	begin := time.Now()
	resp, err := e.send(ctx, &j)
	r.sent, r.duration, r.err = true, time.Since(begin), err
	r.judge(resp, err, e.clock.time())
	if ctx.Err() != nil && !r.answered {
		r.last.Failure, r.detail, r.stopped = FailureCanceled, detailCanceled, true
		r.verdict = lanes.Verdict{}
	}
	if !r.last.Failure.SenderFault() {
		e.guard.record(j.Target.EndpointID, r.answered)
	}
	e.conclude(&r, resp, begin)
	if r.verdict.Kind == lanes.TimedOut && e.guard.cutOff() {
		r.verdict.Kind = lanes.Nothing // probably nothing of ours reaches anybody
	}
	r.Event = withoutData(r.Event)
	return r
}

// keptData is how large an event's data may be that is kept until a result is
// recorded.
const keptData = 4 << 10

// withoutData returns an event without data that take up memory to no purpose.
func withoutData(ev *EventRecord) *EventRecord {
	if len(ev.Data) <= keptData {
		return ev
	}
	light := *ev
	light.Data = nil
	return &light
}

// send renders, signs and sends one request.
func (e *Engine) send(ctx context.Context, j *job) (resp *Response, err error) {
	defer func() {
		if p := recover(); p != nil {
			e.log.Error("webhook: a Transport or Signer panicked", "panic", p, "stack", string(debug.Stack()))
			resp, err = nil, &TransportError{Kind: FailureInternal, Detail: "the sender failed", Err: fmt.Errorf("panic: %v", p)}
		}
	}()
	attempt := newAttemptContext(ctx, e.cfg.AttemptTimeout)
	defer attempt.end()
	req, err := e.request(j.Event, j.Target, e.clock.time())
	if err != nil {
		return nil, err
	}
	req.DeliveryID = j.DeliveryID
	if j.test {
		req.Header[headerTest] = []string{"1"}
	}
	resp, err = e.cfg.Transport.Send(attempt, req)
	if te, ok := err.(*TransportError); ok && te == nil { // its methods cannot be called
		err = errors.New("the Transport answered a nil *TransportError as an error")
	}
	if err == nil && resp == nil {
		err = &TransportError{Kind: FailureInternal, Detail: "the sender failed", Err: errors.New("the Transport answered neither a response nor an error")}
	}
	return resp, err
}

const (
	contentType = "application/json"
	userAgent   = "Ringyo-Webhooks/1.0 (+https://docs.ringyo.ai/concepts/webhooks)"
)

// request renders the body and the signed headers of one attempt.
func (e *Engine) request(ev *EventRecord, t *Target, now time.Time) (*Request, error) {
	body := appendEnvelope(make([]byte, 0, len(ev.Data)+len(ev.ID)+len(ev.Type)+len(t.EndpointID)+96), ev.ID, ev.Type, ev.Timestamp, t.EndpointID, ev.Data)
	h := make(http.Header, 5+len(t.Headers))
	for k, v := range t.Headers {
		h[http.CanonicalHeaderKey(k)] = []string{v}
	}
	h["Content-Type"] = contentTypeValue
	h["User-Agent"] = userAgentValue
	msg := Message{ID: ev.ID, Timestamp: now, Body: body}
	if err := e.cfg.Signer.Sign(h, msg, liveSecrets(t.Secrets, now)...); err != nil {
		return nil, &TransportError{Kind: FailureInternal, Detail: "the request could not be signed", Err: err}
	}
	return &Request{URL: t.URL, Header: h, Body: body, AccountID: t.AccountID, EndpointID: t.EndpointID}, nil
}

// Shared, since a Transport may replace a header's values but not change them.
var (
	contentTypeValue = []string{contentType}
	userAgentValue   = []string{userAgent}
)

// liveSecrets answers the secrets that have not expired, newest first.
func liveSecrets(all []EndpointSecret, now time.Time) []Secret {
	live := make([]Secret, 0, len(all))
	for _, s := range all {
		if s.ExpiresAt.IsZero() || now.Before(s.ExpiresAt) {
			live = append(live, s.Secret)
		}
	}
	return live
}

// judge names what happened in the library's own words.
func (r *result) judge(resp *Response, err error, now time.Time) {
	r.last.Duration = r.duration
	var te *TransportError
	switch {
	case err == nil:
		r.last.StatusCode, r.answered = resp.StatusCode, true
		r.last.Failure, r.detail = statusFailure(resp.StatusCode)
		r.last.RetryAfter, _ = retryAfter(resp.Header, resp.StatusCode, now)
	case errors.As(err, &te) && te.Kind != "": // an error without a kind is no success
		r.last.Failure, r.detail = te.Kind, storable(te.Detail)
		if len(te.Kind) > maxFailureKind || storable(string(te.Kind)) != string(te.Kind) {
			r.last.Failure = FailureConnection
		}
	case errors.Is(err, context.DeadlineExceeded):
		r.last.Failure, r.detail = FailureTimeout, "no answer in time"
	default:
		r.last.Failure, r.detail = FailureConnection, "the request could not be sent"
	}
	r.verdict = r.tells()
}

// hanging is how long an attempt takes at least that counts as one without an
// answer though it did not end by a timeout of its own: a lookup that a name server
// lets wait.
const hanging = time.Second

// tells says what the attempt tells of its endpoint's pace. A failure that comes
// quickly holds nothing up, and one that comes late is as good as a slow answer.
func (r *result) tells() lanes.Verdict {
	switch f := r.last.Failure; {
	case f.SenderFault():
		return lanes.Verdict{}
	case f == FailureTimeout, f == FailureConnectTimeout, f == FailureDNSServer && r.duration >= hanging:
		return lanes.Verdict{Kind: lanes.TimedOut, Pause: firstPause}
	}
	return lanes.Verdict{Kind: lanes.Answered}
}

// What a Transport of one's own may say of a failure, in bytes.
const (
	maxFailureKind = 64
	maxDetail      = 1024
)

// storable makes a Transport's words fit for every store: valid UTF-8 without
// control characters, and not long.
func storable(s string) string {
	s = strings.ToValidUTF8(s[:min(len(s), maxDetail)], "?")
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, s)
}

// conclude turns the judgement into a settlement.
func (e *Engine) conclude(r *result, resp *Response, begin time.Time) {
	switch {
	case r.stopped:
		r.settlement = r.job.settlement(OutcomeReleased)
	case r.last.Failure.SenderFault():
		e.release(r)
	case r.last.Failure == "":
		r.settlement = r.job.settlement(OutcomeDelivered)
		r.log(e, begin)
	case r.last.StatusCode == http.StatusGone && !e.cfg.Disable.IgnoreGone:
		r.settlement = r.job.settlement(OutcomeGone)
		r.settlement.Reason = ReasonGone
		r.log(e, begin)
	default:
		r.log(e, begin)
		e.plan(r, ReasonAttempts, r.last.StatusCode != http.StatusTooManyRequests)
	}
	if r.settlement.Attempt != nil {
		r.settlement.Attempt.ResponseBody = excerpt(resp)
	}
}

// excerpt bounds what any Transport brings into the attempt log.
func excerpt(resp *Response) []byte {
	if resp == nil {
		return nil
	}
	return resp.Body[:min(len(resp.Body), maxResponseBody)]
}

// log writes the attempt's row; plan keeps it.
func (r *result) log(e *Engine, begin time.Time) {
	r.settlement.Attempt = &Attempt{
		ID:         newID("att_"),
		At:         e.clock.time().Add(-time.Since(begin)),
		Duration:   r.duration,
		StatusCode: r.last.StatusCode,
		Failure:    r.last.Failure,
		Detail:     r.detail,
	}
}

// release gives back what our own side kept from being sent, with a growing
// pause, until a day of it is over.
func (e *Engine) release(r *result) {
	if r.Releases >= releaseLimit {
		r.settlement = r.job.settlement(OutcomeExhausted)
		r.settlement.Reason = ReasonSenderFault
		return
	}
	r.settlement = r.job.settlement(OutcomeReleased)
	r.settlement.Delay = releasePause(r.Releases)
}

// plan asks the policy what follows a failed attempt.
func (e *Engine) plan(r *result, reason DeliveryReason, counts bool) {
	attempt := r.settlement.Attempt
	delay, again, ok := e.nextDelay(r.Attempts+1, r.last)
	switch {
	case !ok:
		e.release(r)
		return
	case again:
		r.settlement = r.job.settlement(OutcomeRetry)
		r.settlement.Delay = delay
		r.settlement.Counts = counts && e.cfg.Disable.CountAttempts
	default:
		r.settlement = r.job.settlement(OutcomeExhausted)
		r.settlement.Reason = reason
		r.settlement.Counts = counts
	}
	r.settlement.Attempt = attempt
}

// longestPause bounds what a RetryPolicy may ask for: beyond it, jitter and the
// stores' arithmetic could overflow into the past.
const longestPause = 365 * 24 * time.Hour

// nextDelay applies jitter and Retry-After to the policy's answer. ok is false
// when the policy panicked.
func (e *Engine) nextDelay(attempts int, last Result) (delay time.Duration, again, ok bool) {
	defer func() {
		if p := recover(); p != nil {
			e.log.Error("webhook: the RetryPolicy panicked", "panic", p, "stack", string(debug.Stack()))
			ok = false
		}
	}()
	delay, again = e.cfg.Retry.Next(attempts, last)
	if !again {
		return 0, false, true
	}
	delay = min(max(delay, 0), longestPause)
	if e.cfg.Jitter > 0 {
		delay += time.Duration(rand.Float64() * e.cfg.Jitter * float64(delay)) // #nosec G404 -- jitter, not a secret
	}
	return max(delay, last.RetryAfter), true, true
}
