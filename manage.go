package webhook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
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
// that is wrong (Code "invalid_events" when the events are, else "invalid_request"),
// [*UnreachableError] (Code "url_unreachable"), [ErrEndpointLimit] (Code
// "webhook_limit_reached"), [ErrIDConflict], and errors of the Store. A URLError and a
// ValidationError can be joined, in this order: errors.As finds each of them.
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
		URL: &p.URL, Events: orEmpty(p.Events), Description: &p.Description, Metadata: allOf(p.Metadata), Headers: allOf(p.Headers),
		CheckReachable: p.CheckReachable,
	}); err != nil {
		return Endpoint{}, Secret{}, err
	}
	reply, err := e.replyTo(p.AccountID, p.Idempotency, &p.Secret)
	if err != nil {
		return Endpoint{}, Secret{}, err
	}
	stored, err := call(ctx, e.store, func(ctx context.Context) (EndpointRecord, error) {
		return e.store.CreateEndpoint(ctx, EndpointCreate{Record: r, Max: max(0, e.cfg.MaxEndpoints), Idempotency: reply.finish()})
	})
	if err != nil {
		return Endpoint{}, Secret{}, reply.blame(err)
	}
	return e.public(ctx, stored), p.Secret, nil
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
		r.Events = subscription(v, c.Events, e.cfg.EventTypes)
	}
	if c.Description != nil {
		if r.Description = *c.Description; len(r.Description) > 1024 {
			v.add("Description", "must have at most 1,024 bytes")
		}
	}
	if len(c.Metadata) > 0 {
		mergeMetadata(v, r, c.Metadata)
	}
	if len(c.Headers) > 0 {
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

// allOf returns the changes that set each entry of m.
func allOf(m map[string]string) map[string]*string {
	if m == nil {
		return nil
	}
	changes := make(map[string]*string, len(m))
	for name, value := range m {
		changes[name] = &value
	}
	return changes
}

// Limits of an endpoint's metadata; the lengths are in bytes.
const (
	maxMetadata      = 50
	maxMetadataKey   = 64
	maxMetadataValue = 1024
)

// mergeMetadata validates c and puts it into r. Of single keys it reports no more than
// there may be.
func mergeMetadata(v *ValidationError, r *EndpointRecord, c MetadataChanges) {
	merged := make(map[string]string, len(r.Metadata)+len(c))
	maps.Copy(merged, r.Metadata)
	wrong := 0
	for _, key := range names(c) {
		if c[key] == nil {
			delete(merged, key)
			continue
		}
		merged[key] = *c[key]
		if p := metadataProblem(key, *c[key]); p != "" && wrong < maxMetadata {
			v.add(fmt.Sprintf("Metadata[%.64q]", key), p)
			wrong++
		}
	}
	if len(merged) > maxMetadata {
		v.add("Metadata", fmt.Sprintf("must have at most %d keys", maxMetadata))
	}
	r.Metadata = merged
}

func metadataProblem(key, value string) string {
	switch {
	case key == "" || len(key) > maxMetadataKey:
		return fmt.Sprintf("must have a key of 1 to %d bytes", maxMetadataKey)
	case len(value) > maxMetadataValue:
		return fmt.Sprintf("must have a value of at most %d bytes", maxMetadataValue)
	}
	return ""
}

// mergeHeaders validates c and puts it into r. Values that cannot be read cannot stay
// beside new ones: then c has to name all headers whose names are known.
func mergeHeaders(v *ValidationError, r *EndpointRecord, c HeaderChanges) error {
	merged := make(Headers, len(r.Headers)+len(c))
	maps.Copy(merged, r.Headers)
	named := make(map[string]bool, len(c))
	for _, name := range names(c) {
		key := http.CanonicalHeaderKey(name)
		if named[key] {
			v.add(fmt.Sprintf("Headers[%.64q]", name), "is given twice; upper and lower case are the same")
		}
		named[key] = true
		if c[name] == nil {
			delete(merged, key)
		} else {
			merged[key] = *c[name]
		}
	}
	if slices.Contains(r.Unreadable, partHeaders) {
		for _, name := range r.HeaderNames {
			if !named[name] {
				return fmt.Errorf("%w: its headers; give this process the key that sealed them, or set or remove each of Endpoint.HeaderNames", ErrUnreadable)
			}
		}
	}
	v.addAll(check.Headers(merged))
	r.Headers = merged
	return nil
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
	if err != nil {
		return Endpoint{}, err
	}
	return e.public(ctx, r), nil
}

func (e *Engine) endpoint(ctx context.Context, accountID, id string) (EndpointRecord, error) {
	r, err := call(ctx, e.store, func(ctx context.Context) (EndpointRecord, error) {
		return e.store.GetEndpoint(ctx, accountID, id)
	})
	return r, orNotFound(err, errNoEndpoint)
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
		page.Items[i] = e.public(ctx, p.Items[i])
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

// UpdateEndpoint changes an endpoint's configuration, and switches it on or off. A new
// URL starts the endpoint without failures: what was sent to the old one no longer
// counts. Deliveries that are pending go to the new URL, except for attempts in flight
// and the few that other processes hold in memory. Where c changes nothing, the endpoint
// keeps its Revision. Errors are those of CreateEndpoint but for ErrEndpointLimit and
// ErrIDConflict, [ErrNotFound], [ErrRevisionMismatch], and [ErrUnreadable] for Headers
// that would have to be merged with ones that cannot be read. None of them has changed
// anything.
func (e *Engine) UpdateEndpoint(ctx context.Context, accountID, id string, c EndpointChange) (Endpoint, error) {
	return e.change(ctx, changing{accountID, id, c.IfRevision, c.Idempotency, nil}, func(r *EndpointRecord) (bool, error) {
		old := r.URL
		if err := e.configure(ctx, &ValidationError{}, r, c); err != nil {
			return false, err
		}
		switched := c.Enabled != nil && turn(r, *c.Enabled)
		if !switched && !c.configures() {
			return false, errUnchanged
		}
		return switched || r.URL != old, nil
	})
}

// turn switches an endpoint on or off, and reports whether it was not already. One that
// its failures disabled is disabled by hand from then on.
func turn(r *EndpointRecord, on bool) bool {
	switch {
	case on == (r.Status != EndpointInactive) && (on || r.DisabledReason != DisabledFailing):
		return false
	case on:
		r.Status, r.DisabledReason = EndpointActive, ""
	default:
		r.Status, r.DisabledReason = EndpointInactive, DisabledManually
	}
	return true
}

// EnableEndpoint makes an endpoint active, with no failures, and releases its held
// deliveries gradually. One that is not inactive stays as it is. An unknown id is
// [ErrNotFound].
func (e *Engine) EnableEndpoint(ctx context.Context, accountID, id string) (Endpoint, error) {
	on := true
	return e.UpdateEndpoint(ctx, accountID, id, EndpointChange{Enabled: &on})
}

// DisableEndpoint makes an endpoint inactive. What is pending for it, and what
// is emitted from now on, is held until it is enabled; attempts in flight go on to
// their end. One that its failures disabled does not come back by itself from then on.
// An unknown id returns [ErrNotFound].
func (e *Engine) DisableEndpoint(ctx context.Context, accountID, id string) (Endpoint, error) {
	on := false
	return e.UpdateEndpoint(ctx, accountID, id, EndpointChange{Enabled: &on})
}

// DeleteEndpoint removes an endpoint and cancels what is pending for it. The log of
// its deliveries stays for Config.Retention. An id that is unknown, or deleted
// already, returns [ErrNotFound].
func (e *Engine) DeleteEndpoint(ctx context.Context, accountID, id string) error {
	return e.DeleteEndpointIf(ctx, accountID, id, 0)
}

// DeleteEndpointIf is DeleteEndpoint for an endpoint of that [Endpoint.Revision] alone.
// One that has another stays as it is, and the error is [ErrRevisionMismatch]. 0 is any.
func (e *Engine) DeleteEndpointIf(ctx context.Context, accountID, id string, revision int64) error {
	err := do(ctx, e.store, func(ctx context.Context) error {
		return e.store.DeleteEndpoint(ctx, EndpointDelete{AccountID: accountID, ID: id, IfRevision: revision})
	})
	switch {
	case err == nil:
		e.giveBack(ctx, e.sched.Recall(id))
		e.feed.MaintainIn(0)
	case revision != 0 && errors.Is(err, ErrVersionConflict):
		return ErrRevisionMismatch
	}
	return orNotFound(err, errNoEndpoint)
}

// errUnchanged ends a change that has nothing to do.
var errUnchanged = errors.New("unchanged")

// changing says what [Engine.change] is to change.
type changing struct {
	accountID, id string
	revision      int64 // that it must have; 0: any
	mark          *Idempotency
	secret        *Secret // that is made; nil: none
}

// change reads an endpoint, lets f change it and writes it back, again if
// somebody else wrote in between, unless it is to be of one revision. f reports whether
// to start a new generation.
func (e *Engine) change(ctx context.Context, c changing, f func(*EndpointRecord) (bool, error)) (Endpoint, error) {
	reply, err := e.replyTo(c.accountID, c.mark, c.secret)
	if err != nil {
		return Endpoint{}, err
	}
	for try := 0; ; try++ {
		r, err := e.endpoint(ctx, c.accountID, c.id)
		if err != nil {
			return Endpoint{}, err
		}
		if c.revision != 0 && r.Revision != c.revision {
			return Endpoint{}, ErrRevisionMismatch
		}
		reset, err := f(&r)
		if errors.Is(err, errUnchanged) {
			return e.public(ctx, r), reply.unchanged(ctx, e, r)
		}
		if err != nil {
			return Endpoint{}, err
		}
		r, err = call(ctx, e.store, func(ctx context.Context) (EndpointRecord, error) {
			return e.store.UpdateEndpoint(ctx, EndpointUpdate{Record: r, Reset: reset, Idempotency: reply.finish()})
		})
		switch {
		case err == nil:
			e.giveBack(ctx, e.sched.Recall(c.id))
			e.feed.MaintainIn(0) // hold or release
			return e.public(ctx, r), nil
		case !errors.Is(err, ErrVersionConflict):
			return Endpoint{}, orNotFound(reply.blame(err), errNoEndpoint)
		case c.revision != 0:
			return Endpoint{}, ErrRevisionMismatch
		case try == 10:
			return Endpoint{}, err
		}
	}
}

// Parts that Endpoint.Unreadable names and that requests need.
const (
	partSecrets = "secrets"
	partHeaders = "headers"
)

// public returns an endpoint as callers get it, with hints of its valid secrets. Where
// the store does not say what time it is, this process's clock must do.
func (e *Engine) public(ctx context.Context, r EndpointRecord) Endpoint {
	now := time.Time{} // before any expiry
	if slices.ContainsFunc(r.Secrets, func(s EndpointSecret) bool { return !s.ExpiresAt.IsZero() }) {
		var err error
		if now, err = e.now(ctx); err != nil {
			now = e.clock.Time()
		}
	}
	r.SecretHints = hints(r.Secrets, now)
	return r.Endpoint
}

// now returns the store's time: it asks the store until that is known.
func (e *Engine) now(ctx context.Context) (time.Time, error) {
	if now, known := e.clock.Now(); known {
		return now, nil
	}
	return e.askTime(ctx)
}

// askTime asks the store what time it is.
func (e *Engine) askTime(ctx context.Context) (time.Time, error) {
	begin := time.Now()
	now, err := call(ctx, e.store, e.store.Now)
	if err == nil {
		e.clock.Observe(begin, now)
	}
	return now, err
}
