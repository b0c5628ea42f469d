package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ringyo-ai/webhook/internal/batch"
	"github.com/ringyo-ai/webhook/internal/check"
	"github.com/ringyo-ai/webhook/internal/mangle"
	"github.com/ringyo-ai/webhook/internal/redact"
	"github.com/ringyo-ai/webhook/internal/safe"
	"github.com/ringyo-ai/webhook/internal/signature"
)

// These bound what Emit calls share one Enqueue, in events and in bytes of data:
// enough to make a write worth its round trip, little enough to keep a transaction
// short. The bytes are a quarter of what MariaDB takes in one packet by default,
// 16 MiB, since a driver that writes them into the text can double them. A single
// call may be larger; it is written alone.
const (
	maxShared      = 512
	maxSharedBytes = 4 << 20
)

// Emit implements [Dispatcher].
func (e *Engine) Emit(ctx context.Context, events ...Event) error {
	records, err := e.prepare(ctx, events)
	if err != nil || len(records) == 0 {
		return err
	}
	return emitError(e.emits.Do(ctx, records))
}

// emitError names what became of a call whose context ended while it waited.
func emitError(err error) error {
	if cut, ok := err.(*batch.Interrupted); ok && cut.Begun {
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, cut.Cause)
	} else if ok {
		return fmt.Errorf("webhook: emit: %w", cut.Cause)
	}
	return err
}

// newCoalescer makes what lets Emit calls that arrive while the store is busy share
// the next Enqueue.
func (e *Engine) newCoalescer(places int) *batch.Coalescer[[]EventRecord] {
	return batch.NewCoalescer(batch.CoalescerConfig[[]EventRecord]{
		Places: places, MaxItems: maxShared, MaxBytes: maxSharedBytes,
		Size: func(group []EventRecord) (events, data int) {
			for i := range group {
				data += len(group[i].Data)
			}
			return len(group), data
		},
		Write: e.enqueue,
	})
}

// EmitTx implements [Dispatcher].
func (e *Engine) EmitTx(ctx context.Context, tx Enqueuer, events ...Event) error {
	if tx == nil {
		return invalid("tx", "is required")
	}
	records, err := e.prepare(ctx, events)
	if err != nil || len(records) == 0 {
		return err
	}
	// The deadline is the caller's: a timeout of ours could break a transaction
	// that is not ours.
	stored, err := enqueueIn(ctx, tx, EnqueueRequest{Groups: [][]EventRecord{records}})
	switch {
	case err != nil:
	case len(stored.Errs) != 1:
		err = fmt.Errorf("%w: Enqueue returned %d errors for one group", ErrStore, len(stored.Errs))
	default:
		err = stored.Errs[0]
	}
	return storeError(err)
}

// enqueueIn turns a panic of tx into an error.
func enqueueIn(ctx context.Context, tx Enqueuer, r EnqueueRequest) (stored Enqueued, err error) {
	defer safe.Recover(storePanic(&err))
	return tx.Enqueue(ctx, r)
}

// prepare validates events and renders their data, once.
func (e *Engine) prepare(ctx context.Context, events []Event) ([]EventRecord, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("webhook: emit: %w", err)
	}
	return validateEvents(events, e.cfg.MaxPayload)
}

// enqueue stores groups and takes on what is handed off; it returns one error
// for each.
func (e *Engine) enqueue(ctx context.Context, groups [][]EventRecord) []error {
	// When others have waited in the store for long, half of the room is left to
	// these: they are older, and nobody would claim them as long as new ones fill
	// what becomes free.
	terms, release := e.terms(e.feed.Overdue(claimWait))
	begin := time.Now()
	stored, err := call(ctx, e.store, func(ctx context.Context) (Enqueued, error) {
		return e.store.Enqueue(ctx, EnqueueRequest{Groups: groups, Handoff: terms})
	})
	if err == nil && len(stored.Errs) != len(groups) {
		err = fmt.Errorf("%w: Enqueue returned %d errors for %d groups", ErrStore, len(stored.Errs), len(groups))
	}
	if err != nil {
		release(0)
		// A write that was cut off may have happened.
		if ctxErr := context.Cause(ctx); ctxErr != nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			err = fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
		}
		errs := make([]error, len(groups))
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	e.clock.Observe(begin, stored.Now)
	held := terms.from(begin)
	e.take(e.usable(stored.Leased, terms.Max, held), held, release)
	if stored.Ready > 0 {
		e.Wake()
	}
	for i := range stored.Errs {
		stored.Errs[i] = storeError(stored.Errs[i])
	}
	return stored.Errs
}

// TestResult is the result of a test event.
type TestResult struct {
	EventID    string      // not stored: GetEvent does not know it
	Subscribed bool        // to the type: an endpoint gets no others but in a test
	Delivered  bool        // responded with 2xx
	StatusCode int         // 0: no response
	Failure    FailureKind // empty: delivered
	Detail     string      // fixed words, safe to show
	Duration   time.Duration
	// Location is where a redirect leads, as in [AttemptInfo].
	Location string
	// ResponseBody is the beginning of the response's body: bytes of the peer.
	ResponseBody []byte
	// Request is what was sent; zero if it could not be signed.
	Request TestRequest
}

// TestRequest is the request of a test event, as it was signed and given to the
// [Transport].
type TestRequest struct {
	URL     string
	Headers http.Header // the values of the endpoint's own are "[redacted]"
	Body    []byte
}

// SendTest sends a sample event of the given type, known or not, to an endpoint, even
// an inactive one or one that is not subscribed to it, at once and signed like any
// other, and returns what came back. It is not stored, not retried and never counts. A
// failure of the endpoint is reported in the TestResult. The errors are [ErrNotFound],
// [ErrInvalidArgument] for a malformed type, [ErrUnreadable], and those of the Store.
// The data is that of [SampleData]. The body has the field test, whose value most JSON
// libraries change when they parse and encode it: a receiver that verifies JSON that was
// parsed and encoded again refuses every test event, instead of an occasional event
// later.
func (e *Engine) SendTest(ctx context.Context, accountID, id string, t EventType) (TestResult, error) {
	r, err := e.endpoint(ctx, accountID, id)
	if err != nil {
		return TestResult{}, err
	}
	if slices.Contains(r.Unreadable, partSecrets) || slices.Contains(r.Unreadable, partHeaders) {
		return TestResult{}, fmt.Errorf("%w: %s", ErrUnreadable, strings.Join(r.Unreadable, ", "))
	}
	if _, err := e.now(ctx); err != nil {
		return TestResult{}, err
	}
	ev, err := NewEvent(accountID, t, SampleData(t))
	if err != nil {
		return TestResult{}, err
	}
	records, err := validateEvents([]Event{ev}, 0) // the limit is for what callers emit
	if err != nil {
		return TestResult{}, err
	}
	var sent TestRequest
	j := job{test: &sent, Leased: Leased{
		Event:  &records[0],
		Target: &Target{EndpointID: r.ID, AccountID: r.AccountID, URL: r.URL, Headers: r.Headers, Secrets: r.Secrets},
	}}
	begin := time.Now()
	resp, err := e.send(ctx, &j, begin)
	f := e.judge(resp, err, time.Since(begin))
	return TestResult{
		EventID: ev.ID, Delivered: f.last.Failure == "", StatusCode: f.last.StatusCode,
		Subscribed: slices.ContainsFunc(t.Patterns(), func(p EventType) bool { return slices.Contains(r.Events, p) }),
		Failure:    f.last.Failure, Detail: f.detail, Duration: f.last.Duration, Location: f.location, ResponseBody: f.body,
		Request: sent,
	}, nil
}

// keep notes the request before the Transport adds to it what is its own.
func (r *TestRequest) keep(req *Request, custom Headers) {
	*r = TestRequest{URL: req.URL, Headers: req.Header.Clone(), Body: bytes.Clone(req.Body)}
	for name := range custom {
		if key := http.CanonicalHeaderKey(name); r.Headers[key] != nil {
			r.Headers[key] = []string{"[redacted]"}
		}
	}
}

// Format prints r with the hosts alone of its Location and of its Request.
func (r TestResult) Format(f fmt.State, verb rune) { format(f, verb, r.shown()) }

// LogValue returns what Format prints.
func (r TestResult) LogValue() slog.Value { return slog.AnyValue(r.shown()) }

func (r TestResult) shown() any {
	type shown TestResult // without the methods
	r.Location = redact.Host(r.Location)
	r.Request = TestRequest{URL: redact.Host(r.Request.URL)} // an encoder does not call its methods
	return shown(r)
}

// Format prints where r went and how long its body is, as that of a [Request] does.
func (r TestRequest) Format(f fmt.State, verb rune) { format(f, verb, r.shown()) }

// LogValue returns what Format prints.
func (r TestRequest) LogValue() slog.Value { return slog.AnyValue(r.shown()) }

func (r TestRequest) shown() any {
	return struct {
		Host  string
		Bytes int
	}{redact.Host(r.URL), len(r.Body)}
}

// Layouts of the envelope's timestamp: RFC 3339 in UTC, with no fraction or
// exactly three digits.
const (
	layoutSeconds = "2006-01-02T15:04:05Z"
	layoutMillis  = "2006-01-02T15:04:05.000Z"
)

// envelopeOverhead is the length of an envelope without its id, type, endpoint
// id and data.
const envelopeOverhead = len(`{"id":"","event":"","timestamp":"","webhook_id":"","data":}`) + len(layoutMillis)

// appendEnvelope appends the body of a request to dst. It is a fixed rendering,
// so that every attempt sends and signs the same bytes: the order of the fields
// is fixed, and data goes in as it is. The body of a test has the field test, and
// no other has.
func appendEnvelope(dst []byte, id string, t EventType, ts time.Time, endpointID string, test bool, data []byte) []byte {
	dst = appendText(append(dst, `{"id":`...), id)
	dst = appendText(append(dst, `,"event":`...), string(t))
	dst = append(dst, `,"timestamp":"`...)
	dst = appendTimestamp(dst, ts)
	dst = appendText(append(dst, `","webhook_id":`...), endpointID)
	if test {
		dst = append(dst, `,"test":`+mangle.Probe...)
	}
	dst = append(dst, `,"data":`...)
	dst = append(dst, data...)
	return append(dst, '}')
}

func appendTimestamp(dst []byte, ts time.Time) []byte {
	ts = ts.UTC().Truncate(time.Millisecond)
	if ts.Nanosecond() == 0 {
		return ts.AppendFormat(dst, layoutSeconds)
	}
	return ts.AppendFormat(dst, layoutMillis)
}

// appendText appends s as a JSON string. Ids and types need no escapes; what a
// store holds is not trusted to be one.
func appendText(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			b, _ := json.Marshal(s) // a string always encodes
			return append(dst, b...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// envelope is the body of a request as it is received. Fields that it does not
// have are ignored: senders may be newer.
type envelope struct {
	ID         string          `json:"id"`
	Event      EventType       `json:"event"`
	Timestamp  time.Time       `json:"timestamp"`
	EndpointID string          `json:"webhook_id"`
	Test       json.RawMessage `json:"test"` // nil if the field is not there
	Data       json.RawMessage `json:"data"`
}

// ParseEvent reads the body of a request that has been verified: see [Verify]
// and [Verifier.VerifyRequest]. It fails with [ErrMalformedEvent] when the body
// is not an envelope with id, event, timestamp and data.
//
// Data is the payload of the event's type, such as a [CallCompleted]. It is the
// [json.RawMessage] Raw when the type is not in the catalogue, or when the data
// does not decode into the payload of the type: the events of a sender that is
// newer than this library are not refused. Test reports whether the body has a
// field test, whatever its value. VerifyRequest also looks at the header
// webhook-test, since older senders set nothing else. AccountID is not in a body.
//
// Raw is a copy: body may be used again.
func ParseEvent(body []byte) (Event, error) {
	var env envelope
	if err := json.Unmarshal(body, &env); err != nil {
		return Event{}, fmt.Errorf("%w: %w", ErrMalformedEvent, err)
	}
	if missing := env.missing(); missing != "" {
		return Event{}, fmt.Errorf("%w: it has no valid %s", ErrMalformedEvent, missing)
	}
	e := Event{
		ID:         env.ID,
		Type:       env.Event,
		EndpointID: env.EndpointID,
		Timestamp:  env.Timestamp.UTC(),
		Data:       env.Data,
		Raw:        env.Data,
		Test:       env.Test != nil,
	}
	if bytes.Equal(env.Data, []byte("null")) {
		return e, nil // it would decode into any payload, and an empty one
	}
	if p, ok := decodePayload(env.Event, env.Data); ok {
		e.Data = p
	}
	return e, nil
}

// missing names the first field that is missing or malformed.
func (env *envelope) missing() string {
	switch {
	case !signature.ValidID(env.ID):
		return "id"
	case !check.EventType(string(env.Event)):
		return "event"
	case env.Timestamp.IsZero():
		return "timestamp"
	case env.Data == nil:
		return "data"
	}
	return ""
}
