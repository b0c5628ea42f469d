package webhook

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/ringyo-ai/webhook/internal/egress"
	"github.com/ringyo-ai/webhook/internal/id"
	"github.com/ringyo-ai/webhook/internal/lanes"
	"github.com/ringyo-ai/webhook/internal/redact"
	"github.com/ringyo-ai/webhook/internal/safe"
)

// verdict is what an attempt came to; what becomes of the delivery follows from it.
type verdict int

const (
	notTried    verdict = iota // given back as it is
	stopped                    // cut off by us before there was a response: given back as it is
	senderFault                // kept from being sent by our own side: given back with a pause
	delivered                  // a 2xx
	gone                       // a 410, unless it is ignored: ends the delivery and disables the endpoint
	limited                    // a 429: repeated, but it does not count against the endpoint
	failed                     // repeated, and counts
	abandoned                  // not tried, since that ends the process: like a failure that does not count
)

// sent reports whether a request was made, or tried.
func (v verdict) sent() bool { return v != notTried && v != abandoned }

// finding is what came of one attempt, in the library's own words.
type finding struct {
	verdict  verdict
	answered bool // whatever the response says
	last     Result
	detail   string
	location string        // of a redirect, in the peer's words
	err      error         // for the operator alone
	body     []byte        // the beginning of the response's
	lane     lanes.Verdict // what it shows of the endpoint's pace
}

// result is a settlement with what the hooks get to know about it.
type result struct {
	job
	finding
	settlement Settlement
	unanswered bool // a call that was to record it ended without a response: perhaps it did
}

// setPace takes over how the endpoint responded into the settlement.
func (r *result) setPace(p lanes.Pace, pause time.Duration) {
	switch r.lane.Kind {
	case lanes.Answered, lanes.TimedOut, lanes.Refused:
	default:
		return
	}
	s := &r.settlement
	if s.Pace = Pace(p); s.Pace != PacePaused {
		return
	}
	s.Pause, s.MaxPause = pause, max(longestProbePause, pause, r.lane.Pause)
}

// setPaces takes over how the endpoints responded into the settlements of one pass,
// without what was before it. One that took something is not paused for what it
// refused.
func setPaces(pass []result) {
	takes := make(map[string]bool, len(pass))
	for i := range pass {
		takes[pass[i].settlement.EndpointID] = takes[pass[i].settlement.EndpointID] || pass[i].verdict == delivered
	}
	for i := range pass {
		r := &pass[i]
		switch refused := r.lane.Kind == lanes.Refused; {
		case refused && !takes[r.settlement.EndpointID]:
			r.setPace(lanes.Paused, max(firstPause, min(r.lane.Pause, lanes.AskedAtFirst)))
		case r.lane.Kind == lanes.TimedOut:
			r.setPace(lanes.Paused, firstPause)
		case r.last.Duration < lanes.SlowAfter:
			r.setPace(lanes.Quick, 0)
		default:
			r.setPace(lanes.Slow, 0)
		}
	}
}

// attempt sends one delivery and decides what becomes of it.
func (e *Engine) attempt(ctx context.Context, j job) result {
	r := result{job: j}
	begin := time.Now()
	switch {
	case j.unsendable() != nil:
		e.postpone(&r)
		return r
	case j.Expired >= poisonLeases:
		// Sending it seems to end the process, so this attempt is only noted.
		r.finding = finding{
			verdict: abandoned, last: Result{Failure: FailureInternal},
			detail: "the sending process ended several times during this attempt",
		}
		e.conclude(&r, begin)
		return r
	case !e.covers(j.hold, begin):
		// It waited too long here: another process could send it meanwhile.
		e.conclude(&r, begin)
		return r
	}
	e.odd.sendable(e.log, j.Target)
	resp, err := e.send(ctx, &j, begin)
	if errors.Is(err, errTooLate) {
		e.conclude(&r, begin)
		return r
	}
	r.finding = e.judge(resp, err, time.Since(begin))
	if ctx.Err() != nil && !r.answered {
		r.verdict, r.last.Failure, r.detail = stopped, FailureCanceled, detailCanceled
		r.lane = lanes.Verdict{}
	}
	if !r.last.Failure.SenderFault() {
		e.outage.Record(j.Target.EndpointID, r.answered)
	}
	e.conclude(&r, begin)
	if r.lane.Kind == lanes.TimedOut && e.outage.CutOff() {
		r.lane.Kind = lanes.Nothing // probably nothing of ours reaches anybody
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

// errTooLate means that the time of an attempt was over before there was a request:
// this process was stopped in between, and others may send it now.
var errTooLate = errors.New("webhook: the time of the attempt was over before it began")

// send renders, signs and sends one request, within AttemptTimeout from begin.
func (e *Engine) send(ctx context.Context, j *job, begin time.Time) (resp *Response, err error) {
	defer safe.Recover(func(p *safe.Panic) {
		p.Value = redact.Text(fmt.Sprint(p.Value), j.Target.URL)
		p.Log(e.log, "a Transport or Signer")
		resp, err = nil, &TransportError{Kind: FailureInternal, Detail: "the sender failed", Err: fmt.Errorf("panic: %v", p.Value)}
	})
	attempt := newAttemptContext(ctx, begin.Add(e.cfg.AttemptTimeout))
	defer attempt.end()
	req, err := e.request(j.Event, j.Target, j.test != nil, e.clock.Time())
	if err != nil {
		return nil, err
	}
	req.DeliveryID = j.DeliveryID
	if j.test != nil {
		req.Header[headerTest] = []string{"1"}
		j.test.keep(req, j.Target.Headers)
	}
	if j.test == nil && time.Since(begin) >= e.cfg.AttemptTimeout {
		return nil, errTooLate
	}
	resp, err = e.cfg.Transport.Send(attempt, req)
	if te, ok := err.(*TransportError); ok && te == nil { // its methods cannot be called
		err = errors.New("the Transport returned a nil *TransportError as an error")
	}
	if err != nil {
		return resp, withoutURL(err, j.Target.URL)
	}
	if resp == nil {
		err = &TransportError{Kind: FailureInternal, Detail: "the sender failed", Err: errors.New("the Transport returned neither a response nor an error")}
	}
	return resp, err
}

const (
	contentType = "application/json"
	userAgent   = "Ringyo-Webhooks/1.0 (+https://docs.ringyo.ai/concepts/webhooks)"
)

// request renders the body and the signed headers of one attempt.
func (e *Engine) request(ev *EventRecord, t *Target, test bool, now time.Time) (*Request, error) {
	body := appendEnvelope(make([]byte, 0, len(ev.Data)+len(ev.ID)+len(ev.Type)+len(t.EndpointID)+96), ev.ID, ev.Type, ev.Timestamp, t.EndpointID, test, ev.Data)
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

// liveSecrets returns the secrets that have not expired, newest first.
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
func (e *Engine) judge(resp *Response, err error, took time.Duration) finding {
	f := finding{last: Result{Duration: took}, err: err, body: excerpt(resp)}
	var te *TransportError
	switch {
	case err == nil:
		f.last.StatusCode, f.answered = resp.StatusCode, true
		f.last.Failure, f.detail = statusFailure(resp.StatusCode)
		f.location = location(resp.Header, f.last.Failure)
		f.last.RetryAfter, _ = retryAfter(resp.Header, resp.StatusCode, e.clock.Time())
	case errors.As(err, &te) && te.Kind != "": // an error without a kind is no success
		f.last.Failure, f.detail = te.Kind, storable(redact.Text(te.Detail), maxDetail)
		if len(te.Kind) > maxFailureKind || storable(string(te.Kind), maxDetail) != string(te.Kind) {
			f.last.Failure = FailureConnection
		}
	case errors.Is(err, context.DeadlineExceeded):
		f.last.Failure, f.detail = FailureTimeout, "no response in time"
	default:
		f.last.Failure, f.detail = FailureConnection, "the request could not be sent"
	}
	f.verdict, f.lane = e.verdict(f.last), tells(f.last)
	return f
}

// hanging is the duration from which a failed attempt counts as one without a
// response, even if no timeout of its own ended it, such as a lookup for which a
// name server takes long.
const hanging = time.Second

// tells returns what an attempt shows of its endpoint's pace. A failure that comes
// quickly holds nothing up, and one that comes late counts as a slow response.
func tells(last Result) lanes.Verdict {
	switch f := last.Failure; {
	case f.SenderFault():
		return lanes.Verdict{}
	case f == FailureTimeout, f == FailureConnectTimeout, f == FailureDNSServer && last.Duration >= hanging:
		return lanes.Verdict{Kind: lanes.TimedOut, Pause: firstPause}
	case last.StatusCode == http.StatusTooManyRequests, last.StatusCode == http.StatusServiceUnavailable:
		vague := last.StatusCode == http.StatusServiceUnavailable && last.RetryAfter == 0
		return lanes.Verdict{Kind: lanes.Refused, Pause: last.RetryAfter, Vague: vague}
	}
	return lanes.Verdict{Kind: lanes.Answered}
}

// verdict returns what the result of a request comes to.
func (e *Engine) verdict(last Result) verdict {
	switch {
	case last.Failure.SenderFault():
		return senderFault
	case last.Failure == "":
		return delivered
	case last.StatusCode == http.StatusGone && !e.cfg.Disable.IgnoreGone:
		return gone
	case last.StatusCode == http.StatusTooManyRequests:
		return limited
	}
	return failed
}

// What a user's own Transport may say of a failure, in bytes.
const (
	maxFailureKind = 64
	maxDetail      = 1024
)

// location returns where a redirect leads, in the peer's words, so that the URL can be
// registered that it names: at most as long as one may be.
func location(h http.Header, f FailureKind) string {
	if v := h["Location"]; f == FailureRedirect && len(v) > 0 {
		return storable(v[0], egress.MaxURL)
	}
	return ""
}

// withoutURL returns an error of a Transport with nothing of a URL but its host. known
// are the URLs that it may hold parts of.
func withoutURL(err error, known ...string) error {
	switch e := err.(type) {
	case *TransportError:
		return &TransportError{Kind: e.Kind, Detail: redact.Text(e.Detail, known...), Err: redact.Error(e.Err, known...)}
	case *URLError: // its words are fixed, and one of them shows what a URL looks like
		return &URLError{Kind: redact.Text(e.Kind, known...)}
	case *UnreachableError:
		return &UnreachableError{Kind: e.Kind, Detail: redact.Text(e.Detail, known...), Err: redact.Error(e.Err, known...)}
	}
	return redact.Error(err, known...)
}

// storable makes words of a Transport or a peer fit for every store: valid UTF-8
// without control characters, and of at most so many bytes.
func storable(s string, longest int) string {
	s = strings.ToValidUTF8(s[:min(len(s), longest)], "?")
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, s)
}

// conclude turns the verdict into a settlement, with a row for the log of attempts if
// the endpoint is to know of it.
func (e *Engine) conclude(r *result, begin time.Time) {
	switch r.verdict {
	case notTried, stopped:
		r.settlement = r.job.settlement(OutcomeReleased)
		return
	case senderFault:
		e.release(r)
		return
	case delivered:
		r.settlement = r.job.settlement(OutcomeDelivered)
	case gone:
		r.settlement = r.job.settlement(OutcomeGone)
		r.settlement.Reason = ReasonGone
	default:
		if !e.plan(r) {
			e.release(r)
			return
		}
	}
	r.settlement.Attempt = e.logged(&r.finding, begin)
	r.settlement.Attempt.Revision = r.Target.Revision
}

// excerpt bounds what any Transport brings into the attempt log.
func excerpt(resp *Response) []byte {
	if resp == nil {
		return nil
	}
	return resp.Body[:min(len(resp.Body), maxResponseBody)]
}

// logged returns the row of an attempt.
func (e *Engine) logged(f *finding, begin time.Time) *Attempt {
	return &Attempt{
		ID:           id.New("att_"),
		At:           e.clock.Time().Add(-time.Since(begin)),
		Duration:     f.last.Duration,
		StatusCode:   f.last.StatusCode,
		Failure:      f.last.Failure,
		Detail:       f.detail,
		ResponseBody: f.body,
		Location:     f.location,
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

// postpone gives back a delivery that cannot be sent since the store cannot read
// it or its endpoint. An endpoint is waited for without end, as for one that is
// disabled: what sealed its secrets may take long to be found.
func (e *Engine) postpone(r *result) {
	e.odd.unsendable(e.log, &r.Leased)
	if r.Target.Err == nil {
		e.release(r)
		return
	}
	r.settlement = r.job.settlement(OutcomeReleased)
	r.settlement.Delay = releasePause(r.Releases)
	r.lane = lanes.Verdict{Kind: lanes.Withheld, Pause: r.settlement.Delay}
}

// plan asks the policy what follows a failed attempt. It reports whether the policy
// could tell.
func (e *Engine) plan(r *result) bool {
	delay, again, ok := e.nextDelay(r.Attempts+1, r.last)
	counts := r.verdict == failed
	switch {
	case !ok:
		return false
	case again:
		r.settlement = r.job.settlement(OutcomeRetry)
		r.settlement.Delay = delay
		r.settlement.Counts = counts && e.cfg.Disable.CountAttempts
	default:
		r.settlement = r.job.settlement(OutcomeExhausted)
		r.settlement.Reason = ReasonAttempts
		if r.verdict == abandoned {
			r.settlement.Reason = ReasonAbandoned
		}
		r.settlement.Counts = counts
	}
	return true
}

// longestPause bounds what a RetryPolicy may ask for: beyond it, jitter and the
// stores' arithmetic could overflow into the past.
const longestPause = 365 * 24 * time.Hour

// nextDelay applies jitter and Retry-After to what the policy returns. ok is false
// when the policy panicked.
func (e *Engine) nextDelay(attempts int, last Result) (delay time.Duration, again, ok bool) {
	defer safe.Recover(func(p *safe.Panic) {
		p.Log(e.log, "the RetryPolicy")
		ok = false
	})
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
