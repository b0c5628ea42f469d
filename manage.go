package webhook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ringyo-ai/webhook/internal/check"
	"github.com/ringyo-ai/webhook/internal/id"
	"github.com/ringyo-ai/webhook/internal/redact"
	"github.com/ringyo-ai/webhook/internal/safe"
)

// CreateEndpoint registers a URL for some of an account's events and returns it
// with its secret, which is returned here only: afterwards it is kept in the Store
// alone. The customer gets the text that its Reveal returns. For a signing key it
// is that of Public().Reveal(), since whoever has the key itself can sign in your
// name.
//
// Errors: [*URLError] (Code "invalid_url"), [*ValidationError] for everything else
// that is wrong (Code "invalid_events" when the events are), [*UnreachableError]
// (Code "url_unreachable"), [ErrEndpointLimit] (Code "webhook_limit_reached"),
// [ErrIDConflict], and errors of the Store. A URLError and a ValidationError can be
// joined, in this order: errors.As finds each of them. For an interface with the
// method Code it finds an error whose Code is not empty, if there is one.
func (e *Engine) CreateEndpoint(ctx context.Context, p EndpointParams) (Endpoint, Secret, error) {
	if p.Secret.IsZero() {
		p.Secret = NewSecret()
	}
	if p.ID == "" {
		p.ID = id.New("wh_")
	}
	var v ValidationError
	if !id.Valid(p.ID) {
		v.add("ID", "must match [A-Za-z0-9_-]{1,64}")
	}
	if err := e.checkSecret(&v, p.Secret); err != nil {
		return Endpoint{}, Secret{}, err
	}
	r := EndpointRecord{Secrets: []EndpointSecret{{Secret: p.Secret}}}
	r.ID, r.AccountID, r.Status = p.ID, p.AccountID, EndpointActive
	if err := e.configure(ctx, &v, &r, EndpointChange{
		URL: &p.URL, Events: orEmpty(p.Events), Description: &p.Description, Metadata: p.Metadata, Headers: allOf(p.Headers),
		CheckReachable: p.CheckReachable,
	}); err != nil {
		return Endpoint{}, Secret{}, err
	}
	stored, err := call(ctx, e.store, func(ctx context.Context) (EndpointRecord, error) {
		return e.store.CreateEndpoint(ctx, EndpointCreate{Record: r, Max: max(0, e.cfg.MaxEndpoints)})
	})
	if err != nil {
		return Endpoint{}, Secret{}, err
	}
	return stored.Endpoint, p.Secret, nil
}

// orEmpty makes a missing list an empty one, which is checked.
func orEmpty(events []EventType) []EventType {
	if events == nil {
		return []EventType{}
	}
	return events
}

// configure validates c and puts it into r. v has what the caller found wrong
// already, so that all of it comes back in one ValidationError.
func (e *Engine) configure(ctx context.Context, v *ValidationError, r *EndpointRecord, c EndpointChange) (err error) {
	if c.Events != nil {
		r.Events = subscription(v, c.Events)
	}
	if c.Description != nil {
		if r.Description = *c.Description; len(r.Description) > 1024 {
			v.add("Description", "must have at most 1,024 bytes")
		}
	}
	if c.Metadata != nil {
		r.Metadata = c.Metadata
		checkMetadata(v, c.Metadata)
	}
	if c.Headers != nil {
		err = mergeHeaders(v, r, c.Headers)
	}
	if c.URL != nil {
		err = errors.Join(err, e.guarded("Transport", func() (err error) {
			r.URL, err = normalizeURL(e.cfg.Transport, *c.URL)
			return err
		}, *c.URL))
	}
	if err = errors.Join(err, v.orNil()); err != nil || c.URL == nil || !c.CheckReachable {
		return err
	}
	return e.guarded("Transport", func() error { return checkReachable(ctx, e.cfg.Transport, r.URL) }, r.URL)
}

// subscription normalises what an endpoint listens to: "*" stands alone, and
// what a prefix covers is left out.
func subscription(v *ValidationError, events []EventType) []EventType {
	const problem = `must be a type such as "call.completed", a prefix such as "call.*", or "*"`
	if len(events) == 0 || len(events) > 100 {
		v.add("Events", "must hold 1 to 100 types")
		v.code = "invalid_events"
		return nil
	}
	for i, t := range events {
		prefix, isPrefix := strings.CutSuffix(string(t), ".*")
		if t != "*" && !check.EventType(prefix) || isPrefix && prefix == "" {
			v.add(fmt.Sprintf("Events[%d]", i), problem)
			v.code = "invalid_events"
		}
	}
	var kept []EventType
	for _, t := range events {
		covered := slices.Contains(kept, t)
		for _, p := range EventType(strings.TrimSuffix(string(t), ".*")).Patterns()[1:] {
			covered = covered || p != t && slices.Contains(events, p)
		}
		if !covered {
			kept = append(kept, t)
		}
	}
	return kept
}

func checkMetadata(v *ValidationError, m map[string]string) {
	if len(m) > 50 {
		v.add("Metadata", "must have at most 50 keys")
	}
	for k, value := range m {
		if k == "" || len(k) > 64 || len(value) > 1024 {
			v.add("Metadata", "must have keys of 1 to 64 bytes and values of at most 1,024")
			return
		}
	}
}

// checkSecret lets the Signer itself decide what it can sign with.
func (e *Engine) checkSecret(v *ValidationError, s Secret) error {
	return e.guarded("Signer", func() error {
		if err := e.cfg.Signer.Sign(http.Header{}, Message{ID: "evt_0", Timestamp: time.Unix(1, 0)}, s); err != nil {
			v.add("Secret", "cannot sign: "+strings.TrimPrefix(err.Error(), "webhook: "))
		}
		return nil
	})
}

// guarded calls what the caller plugged in. A panic is logged with its stack and
// becomes an error, which says no more, since a tenant may see it. Of the URLs that f
// was given, errors and the log show the host alone.
func (e *Engine) guarded(what string, f func() error, urls ...string) (err error) {
	defer safe.Recover(func(p *safe.Panic) {
		p.Value = redact.Text(fmt.Sprint(p.Value), urls...)
		p.Log(e.log, "the "+what)
		err = fmt.Errorf("webhook: the %s panicked, the log says more", what)
	})
	return withoutURL(f(), urls...)
}

// GetEndpoint returns one endpoint of the account, or [ErrNotFound].
func (e *Engine) GetEndpoint(ctx context.Context, accountID, id string) (Endpoint, error) {
	r, err := e.endpoint(ctx, accountID, id)
	return r.Endpoint, err
}

func (e *Engine) endpoint(ctx context.Context, accountID, id string) (EndpointRecord, error) {
	return call(ctx, e.store, func(ctx context.Context) (EndpointRecord, error) {
		return e.store.GetEndpoint(ctx, accountID, id)
	})
}

// ListEndpoints returns a page of the account's endpoints, newest first. It fails with
// [ErrInvalidArgument] for a Status that is none of the constants.
func (e *Engine) ListEndpoints(ctx context.Context, accountID string, q EndpointQuery) (Page[Endpoint], error) {
	limit, err := pageLimit(q.Limit)
	if err != nil {
		return Page[Endpoint]{}, err
	}
	p, err := call(ctx, e.store, func(ctx context.Context) (Page[EndpointRecord], error) {
		return e.store.ListEndpoints(ctx, EndpointFilter{AccountID: accountID, Status: q.Status, Cursor: q.Cursor, Limit: limit})
	})
	page := Page[Endpoint]{Items: make([]Endpoint, len(p.Items)), Next: p.Next}
	for i := range p.Items {
		page.Items[i] = p.Items[i].Endpoint
	}
	return page, err
}

func pageLimit(limit int) (int, error) {
	limit = cmp.Or(limit, 100)
	if limit < 1 || limit > 1000 {
		return 0, invalid("Limit", "must lie between 1 and 1,000")
	}
	return limit, nil
}

// UpdateEndpoint changes an endpoint's configuration. A new URL starts the
// endpoint without failures: what was sent to the old one no longer counts.
// Deliveries that are pending go to the new URL, except for attempts in flight
// and the few that other processes hold in memory. Errors are those of
// CreateEndpoint, [ErrNotFound], and [ErrUnreadable] for Headers that would have to be
// merged with ones that cannot be read.
func (e *Engine) UpdateEndpoint(ctx context.Context, accountID, id string, c EndpointChange) (Endpoint, error) {
	return e.change(ctx, accountID, id, func(r *EndpointRecord) (bool, error) {
		old := r.URL
		err := e.configure(ctx, &ValidationError{}, r, c)
		return r.URL != old, err
	})
}

// EnableEndpoint makes an endpoint active, with no failures, and releases its held
// deliveries gradually. One that is not inactive stays as it is. An unknown id is
// [ErrNotFound].
func (e *Engine) EnableEndpoint(ctx context.Context, accountID, id string) (Endpoint, error) {
	return e.change(ctx, accountID, id, func(r *EndpointRecord) (bool, error) {
		if r.Status != EndpointInactive {
			return false, errUnchanged
		}
		r.Status, r.DisabledReason = EndpointActive, ""
		return true, nil
	})
}

// DisableEndpoint makes an endpoint inactive. What is pending for it, and what
// is emitted from now on, is held until it is enabled; attempts in flight go on to
// their end. An unknown id returns [ErrNotFound].
func (e *Engine) DisableEndpoint(ctx context.Context, accountID, id string) (Endpoint, error) {
	return e.change(ctx, accountID, id, func(r *EndpointRecord) (bool, error) {
		if r.Status == EndpointInactive {
			return false, errUnchanged
		}
		r.Status, r.DisabledReason = EndpointInactive, DisabledManually
		return true, nil
	})
}

// RotateSecret gives an endpoint a new secret and returns it, shown here only, as
// by [Engine.CreateEndpoint]. The present ones remain valid for the overlap: until
// it ends, requests carry a signature for each secret, so that the receiver may
// switch at any moment. It fails with [ErrSecretLimit] when too many are valid,
// with a [*ValidationError] when the new one cannot sign or is in use already, and
// with [ErrNotFound]. If the present secrets cannot be read it fails with
// [ErrUnreadable], unless Overlap is -1, which replaces them; the default for the
// new secret is then one made by [NewSecret].
func (e *Engine) RotateSecret(ctx context.Context, accountID, id string, p RotateParams) (Secret, error) {
	var s check.Settings
	check.OrOff(&s, "Overlap", &p.Overlap, e.cfg.SecretOverlap)
	fresh := p.Secret.IsZero()
	var v ValidationError
	if !fresh {
		if err := e.checkSecret(&v, p.Secret); err != nil {
			return Secret{}, err
		}
	}
	v.addAll(s)
	if err := v.orNil(); err != nil {
		return Secret{}, err
	}
	now, err := call(ctx, e.store, e.store.Now)
	if err != nil {
		return Secret{}, err
	}
	_, err = e.change(ctx, accountID, id, func(r *EndpointRecord) (bool, error) {
		if p.Overlap != -1 && slices.Contains(r.Unreadable, partSecrets) {
			return false, fmt.Errorf("%w: its secrets; give this process the key that sealed them, or replace them with Overlap: -1", ErrUnreadable)
		}
		if fresh {
			s, err := e.freshSecret(r.Secrets)
			if err != nil {
				return false, err
			}
			p.Secret = s
		}
		return true, e.rotate(r, p, now)
	})
	if err != nil {
		return Secret{}, err
	}
	return p.Secret, nil
}

// Parts that Endpoint.Unreadable names and that requests need.
const (
	partSecrets = "secrets"
	partHeaders = "headers"
)

// freshSecret makes one of the kind of the present one: a customer who verifies
// with a public key must get a new public key.
func (e *Engine) freshSecret(present []EndpointSecret) (Secret, error) {
	s := NewSecret()
	if len(present) > 0 && present[0].Secret.is(kindPrivate) {
		s = NewSigningKey()
	}
	var v ValidationError
	if err := e.checkSecret(&v, s); err != nil {
		return Secret{}, err
	}
	return s, v.orNil()
}

// rotate puts the new secret first and lets the valid ones expire.
func (e *Engine) rotate(r *EndpointRecord, p RotateParams, now time.Time) error {
	secrets := []EndpointSecret{{Secret: p.Secret}}
	expires := now.Add(p.Overlap)
	for _, s := range r.Secrets {
		if s.Secret.Reveal() == p.Secret.Reveal() {
			return invalid("Secret", "is in use already")
		}
		if p.Overlap == -1 || !s.ExpiresAt.IsZero() && !now.Before(s.ExpiresAt) {
			continue
		}
		if s.ExpiresAt.IsZero() || s.ExpiresAt.After(expires) {
			s.ExpiresAt = expires
		}
		secrets = append(secrets, s)
	}
	if len(secrets) > e.cfg.MaxSecrets {
		return ErrSecretLimit
	}
	r.Secrets = secrets
	return nil
}

// DeleteEndpoint removes an endpoint and cancels what is pending for it. The log of
// its deliveries stays for Config.Retention. An id that is unknown, or deleted
// already, returns [ErrNotFound].
func (e *Engine) DeleteEndpoint(ctx context.Context, accountID, id string) error {
	err := do(ctx, e.store, func(ctx context.Context) error { return e.store.DeleteEndpoint(ctx, accountID, id) })
	if err == nil {
		e.giveBack(ctx, e.sched.Recall(id))
		e.feed.MaintainIn(0)
	}
	return err
}

// errUnchanged ends a change that has nothing to do.
var errUnchanged = errors.New("unchanged")

// change reads an endpoint, lets f change it and writes it back, again if
// somebody else wrote in between. f reports whether to start a new generation.
func (e *Engine) change(ctx context.Context, accountID, id string, f func(*EndpointRecord) (bool, error)) (Endpoint, error) {
	for try := 0; ; try++ {
		r, err := e.endpoint(ctx, accountID, id)
		if err != nil {
			return Endpoint{}, err
		}
		reset, err := f(&r)
		if errors.Is(err, errUnchanged) {
			return r.Endpoint, nil
		}
		if err != nil {
			return Endpoint{}, err
		}
		r, err = call(ctx, e.store, func(ctx context.Context) (EndpointRecord, error) {
			return e.store.UpdateEndpoint(ctx, EndpointUpdate{Record: r, Reset: reset})
		})
		if errors.Is(err, ErrVersionConflict) && try < 10 {
			continue
		}
		if err == nil {
			e.giveBack(ctx, e.sched.Recall(id))
			e.feed.MaintainIn(0) // hold or release
		}
		return r.Endpoint, err
	}
}

// EndpointHealth reports how an endpoint is doing and how much waits for it, or
// returns [ErrNotFound].
func (e *Engine) EndpointHealth(ctx context.Context, accountID, id string) (EndpointHealth, error) {
	r, err := e.endpoint(ctx, accountID, id)
	if err != nil {
		return EndpointHealth{}, err
	}
	q, err := call(ctx, e.store, func(ctx context.Context) (QueueStats, error) {
		return e.store.QueueStats(ctx, accountID, id)
	})
	if err != nil {
		return EndpointHealth{}, err
	}
	return EndpointHealth{
		EndpointID:          r.ID,
		URL:                 r.URL,
		Status:              r.Status,
		DisabledReason:      r.DisabledReason,
		ConsecutiveFailures: r.ConsecutiveFailures,
		FailingSince:        r.FailingSince,
		LastTriggeredAt:     r.LastTriggeredAt,
		LastSuccessAt:       r.LastSuccessAt,
		LastFailureAt:       r.LastFailureAt,
		Pending:             q.Ready + q.Waiting + q.Leased,
		Held:                q.Held,
		Unreadable:          r.Unreadable,
		LastFailure:         r.LastFailure,
	}, nil
}

// SendTest sends a sample event of the given type, known or not, to an endpoint, even
// an inactive one, at once and signed like any other, and returns what came back. It is
// not stored, not retried and never counts. A failure of the endpoint is reported in
// the TestResult. The errors are [ErrNotFound], [ErrInvalidArgument] for a malformed
// type, [ErrUnreadable], and those of the Store. The data is that of [SampleData]. The
// body has the field test, whose value most JSON libraries change when they parse and
// encode it: a receiver that verifies JSON that was parsed and encoded again refuses
// every test event, instead of an occasional event later.
func (e *Engine) SendTest(ctx context.Context, accountID, id string, t EventType) (TestResult, error) {
	r, err := e.endpoint(ctx, accountID, id)
	if err != nil {
		return TestResult{}, err
	}
	if slices.Contains(r.Unreadable, partSecrets) || slices.Contains(r.Unreadable, partHeaders) {
		return TestResult{}, fmt.Errorf("%w: %s", ErrUnreadable, strings.Join(r.Unreadable, ", "))
	}
	if _, known := e.clock.Now(); !known {
		begin := time.Now()
		now, err := call(ctx, e.store, e.store.Now)
		if err != nil {
			return TestResult{}, err
		}
		e.clock.Observe(begin, now)
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
	resp, err := e.send(ctx, &j, begin)
	f := e.judge(resp, err, time.Since(begin))
	return TestResult{
		EventID: ev.ID, Delivered: f.last.Failure == "", StatusCode: f.last.StatusCode,
		Failure: f.last.Failure, Detail: f.detail, Duration: f.last.Duration, Location: f.location, ResponseBody: f.body,
	}, nil
}
