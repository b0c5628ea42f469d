package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/ringyo-ai/webhook/internal/egress"
	"github.com/ringyo-ai/webhook/internal/redact"
)

// EndpointStatus is the state of an endpoint.
type EndpointStatus string

const (
	// EndpointActive receives events; its last attempt succeeded, or there was
	// none yet.
	EndpointActive EndpointStatus = "active"
	// EndpointFailing receives events; its last attempt failed.
	EndpointFailing EndpointStatus = "failing"
	// EndpointInactive is disabled: events for it are held.
	EndpointInactive EndpointStatus = "inactive"
)

// DisabledReason says why an endpoint is inactive.
type DisabledReason string

const (
	// DisabledManually means by a call of DisableEndpoint.
	DisabledManually DisabledReason = "manual"
	// DisabledFailing means by the [DisablePolicy].
	DisabledFailing DisabledReason = "failures"
	// DisabledGone means that the endpoint responded with 410 Gone.
	DisabledGone DisabledReason = "gone"
)

// Endpoint is a URL that one account registered for some of its events.
type Endpoint struct {
	ID          string            `json:"id"` // wh_…
	AccountID   string            `json:"account_id"`
	URL         string            `json:"url"`
	Events      []EventType       `json:"events"` // exact types, prefixes such as "call.*", or "*"
	Description string            `json:"description,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty"`
	HeaderNames []string          `json:"header_names,omitempty"` // of [EndpointParams.Headers], in canonical form, sorted; the values stay with the Store
	Status      EndpointStatus    `json:"status"`

	// SecretHints tell its valid secrets apart, newest first, without the secrets. The
	// Engine fills them in, a Store leaves them alone.
	SecretHints []SecretHint `json:"secret_hints,omitempty"`

	// Revision is a number that grows with each change of the configuration or of a
	// secret, and when the endpoint is disabled or enabled, by steps of any size. It
	// serves as an ETag, and each [Attempt] has the one under which it was sent.
	Revision int64 `json:"revision"`

	DisabledReason DisabledReason `json:"disabled_reason,omitempty"`
	DisabledAt     time.Time      `json:"disabled_at,omitzero"`

	// ConsecutiveFailures counts, since the last success, what can disable the
	// endpoint: exhausted deliveries, or failed attempts with
	// [DisablePolicy].CountAttempts. While a delivery that failed has attempts left
	// it can be 0 and Status [EndpointFailing].
	ConsecutiveFailures int       `json:"consecutive_failures"`
	FailingSince        time.Time `json:"failing_since,omitzero"` // when the first of them was recorded; zero again after a success or enabling

	// The times below may lag by up to 10 s while an endpoint is busy, so that
	// not every delivery has to write its endpoint.
	LastTriggeredAt time.Time `json:"last_triggered_at,omitzero"` // last attempt
	LastSuccessAt   time.Time `json:"last_success_at,omitzero"`
	LastFailureAt   time.Time `json:"last_failure_at,omitzero"`

	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"` // last change of the configuration

	// Unreadable names the parts of the stored endpoint that cannot be read, such
	// as "secrets", "headers", "metadata" or "events"; they are empty here, but
	// for HeaderNames, which can often be read though the values cannot. While
	// a part that requests need is among them, nothing is sent and deliveries
	// wait. It is the platform's fault and not the customer's: most likely an
	// encryption key is missing.
	Unreadable []string `json:"unreadable,omitempty"`
}

// EndpointParams describe a new endpoint.
type EndpointParams struct {
	// ID is chosen by the library ("wh_…") when empty. One given must match
	// [A-Za-z0-9_-]{1,64} and must never have been used.
	ID        string
	AccountID string // the customer that it belongs to; the empty account is one too
	URL       string // https, unless the Transport allows http; at most 2,048 bytes

	// Events are the types that it receives: exact ones, prefixes such as "call.*",
	// or "*" for everything. 1 to 100. A prefix reaches every depth: "call.*" takes
	// "call.recording.ready" too. An entry that another one covers is not stored.
	Events      []EventType
	Description string            // at most 1,024 bytes
	Metadata    map[string]string // at most 50 keys of 64 bytes, values of 1,024

	// Headers are sent with every request; at most 50, of 8 KiB in all; names that the
	// library or HTTP use are refused. Like the secret they are never shown again:
	// [Endpoint.HeaderNames] has their names.
	Headers Headers

	// Secret signs its requests. The zero Secret means a new random one.
	Secret Secret

	// CheckReachable connects to the URL before anything is stored, and fails
	// with an error whose Code is "url_unreachable" if that does not work.
	// Nothing is sent. If the Transport cannot connect without sending, the
	// error is [errors.ErrUnsupported].
	CheckReachable bool

	// Idempotency, if it is set, stores the response of the request together with the
	// endpoint.
	Idempotency *Idempotency
}

// EndpointChange says what [Engine.UpdateEndpoint] changes; fields that are nil
// stay as they are. All of it is changed, or nothing.
type EndpointChange struct {
	// IfRevision is the [Endpoint.Revision] that the endpoint must have, for a change of
	// what somebody has read: if it has another one, nothing changes and the error is
	// [ErrRevisionMismatch]. 0 is any: the change is then made of what the endpoint is,
	// again if somebody else changes it at the same time.
	IfRevision int64

	URL         *string
	Events      []EventType // replace all
	Description *string
	Metadata    MetadataChanges

	// Headers are merged with those that the endpoint has: a value is set, nil removes
	// the header of that name, and those that are not named stay. Upper and lower case
	// of a name are the same.
	Headers HeaderChanges

	// Enabled switches the endpoint on or off, as [Engine.EnableEndpoint] and
	// [Engine.DisableEndpoint] do, at once with the rest.
	Enabled *bool

	CheckReachable bool // as in [EndpointParams], if URL is given

	// Idempotency, if it is set, stores the response of the request together with the
	// change, and also if there is nothing to change.
	Idempotency *Idempotency
}

// configures reports whether c changes anything but whether the endpoint is enabled.
func (c *EndpointChange) configures() bool {
	return c.URL != nil || c.Events != nil || c.Description != nil || len(c.Metadata) > 0 || len(c.Headers) > 0
}

// MetadataChanges are changes of an endpoint's Metadata, by key: a value is set, nil
// removes the key, and those that are not named stay. If what is stored cannot be read,
// see [Endpoint.Unreadable], they replace it.
type MetadataChanges map[string]*string

// Headers are an endpoint's own headers, by name. The values, such as that of
// Authorization, are often secrets: a Headers that is printed, logged or marshalled
// shows only its names. An element of it is a plain string, and package fmt cannot call
// the methods of what is in an unexported field.
type Headers map[string]string

// Names returns the names, sorted.
func (h Headers) Names() []string { return names(h) }

// Format prints the names under every verb.
func (h Headers) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redactedHeaders(h))) }

// LogValue returns the names.
func (h Headers) LogValue() slog.Value { return slog.StringValue(redactedHeaders(h)) }

// MarshalText returns the names, for JSON, XML and other encoders. What it returns
// cannot be read back.
func (h Headers) MarshalText() ([]byte, error) { return []byte(redactedHeaders(h)), nil }

// HeaderChanges are changes of an endpoint's own headers, by name; nil removes one.
// They are printed, logged and marshalled like [Headers].
type HeaderChanges map[string]*string

// Format prints the names under every verb.
func (h HeaderChanges) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redactedHeaders(h))) }

// LogValue returns the names.
func (h HeaderChanges) LogValue() slog.Value { return slog.StringValue(redactedHeaders(h)) }

// MarshalText returns the names, as [Headers.MarshalText] does.
func (h HeaderChanges) MarshalText() ([]byte, error) { return []byte(redactedHeaders(h)), nil }

func names[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// redactedHeaders names the headers of m.
func redactedHeaders[V any](m map[string]V) string { return fmt.Sprintf("%q[redacted]", names(m)) }

// EndpointQuery selects a page of endpoints.
type EndpointQuery struct {
	Status EndpointStatus // empty: any
	Cursor string         // Next of the page before
	Limit  int            // 1 to 1,000; defaults to 100
}

// EndpointHealth describes how an endpoint is doing. It prints as a sentence and logs
// with the host of its URL alone, since the rest can be a secret; encoded as JSON it
// is whole, for the endpoint's owner.
type EndpointHealth struct {
	EndpointID          string         `json:"endpoint_id"`
	URL                 string         `json:"url"`
	Status              EndpointStatus `json:"status"`
	DisabledReason      DisabledReason `json:"disabled_reason,omitempty"`
	ConsecutiveFailures int            `json:"consecutive_failures"` // see [Endpoint.ConsecutiveFailures]
	FailingSince        time.Time      `json:"failing_since,omitzero"`
	LastTriggeredAt     time.Time      `json:"last_triggered_at,omitzero"`
	LastSuccessAt       time.Time      `json:"last_success_at,omitzero"`
	LastFailureAt       time.Time      `json:"last_failure_at,omitzero"`
	Pending             int            `json:"pending"`              // deliveries due, waiting for a retry, or in flight
	Held                int            `json:"held"`                 // deliveries waiting for the endpoint to be enabled
	Unreadable          []string       `json:"unreadable,omitempty"` // see [Endpoint.Unreadable]

	// LastFailure is the latest failed attempt, as [Engine.ListAttempts] returns it
	// but without ResponseBody and Location; zero if there was none. While an endpoint is busy it
	// may lag by up to 10 s, but never behind the one that disabled it. It stays
	// after a success: compare LastSuccessAt.
	LastFailure Attempt `json:"last_failure,omitzero"`
}

// Format prints h as a sentence, and with %#v as a struct.
func (h EndpointHealth) Format(f fmt.State, verb rune) {
	if f.Flag('#') {
		format(f, verb, h.shown())
		return
	}
	_, _ = fmt.Fprintf(f, "endpoint %s at %s: %s", h.EndpointID, redact.Host(h.URL), h.Status)
	if h.DisabledReason != "" {
		_, _ = fmt.Fprintf(f, " (%s)", h.DisabledReason)
	}
	if l := h.LastFailure; l.Failure != "" {
		_, _ = fmt.Fprintf(f, ", last failure %s", l.Failure)
		if l.StatusCode != 0 {
			_, _ = fmt.Fprintf(f, " %d", l.StatusCode)
		}
		_, _ = fmt.Fprintf(f, " of delivery %s at %s", l.DeliveryID, l.At.Format(time.RFC3339))
	}
	_, _ = fmt.Fprintf(f, ", %d failures counted towards disabling it, %d deliveries pending, %d held", h.ConsecutiveFailures, h.Pending, h.Held)
}

// LogValue returns h with the host alone of its URL.
func (h EndpointHealth) LogValue() slog.Value { return slog.AnyValue(h.shown()) }

func (h EndpointHealth) shown() any {
	type shown EndpointHealth // without the methods
	h.URL = redact.Host(h.URL)
	return shown(h)
}

// Format prints f with the host alone of its URL.
func (f EndpointFailures) Format(s fmt.State, verb rune) { format(s, verb, f.shown()) }

// LogValue returns what Format prints.
func (f EndpointFailures) LogValue() slog.Value { return slog.AnyValue(f.shown()) }

func (f EndpointFailures) shown() any {
	type shown EndpointFailures // without the methods
	f.URL = redact.Host(f.URL)
	return shown(f)
}

// normalizeURL returns the form of raw that is stored, or why raw is refused. The
// Transport decides, by its CheckURL; where it has none, the strict rules of the
// egress guard hold. What embeds an [HTTPTransport] may have a CheckURL of its own,
// and then accept what has no normal form.
func normalizeURL(t Transport, raw string) (string, error) {
	c, ok := t.(interface{ CheckURL(raw string) error })
	if !ok {
		return parseURL(&egress.Policy{}, raw)
	}
	if err := c.CheckURL(raw); err != nil {
		return "", err
	}
	if n, ok := t.(interface{ normalURL(raw string) string }); ok {
		return n.normalURL(raw), nil
	}
	return raw, nil
}

// normalURL returns the normal form of raw, or raw where it has none. Types that
// embed t have this method too.
func (t *HTTPTransport) normalURL(raw string) string {
	if normal, err := parseURL(&t.policy, raw); err == nil {
		return normal
	}
	return raw
}

func parseURL(p *egress.Policy, raw string) (string, error) {
	u, err := p.ParseURL(raw)
	if err != nil {
		return "", urlError(err)
	}
	return u.String(), nil
}

func urlError(err error) error {
	var e *egress.Error
	if errors.As(err, &e) {
		return &URLError{Kind: string(e.Kind)}
	}
	return &URLError{Kind: string(egress.Malformed)}
}

// errCannotReach is the error of a check that was asked for and cannot be done.
var errCannotReach = fmt.Errorf("webhook: CheckReachable is asked for, but Config.Transport has no method of that name: "+
	"add one, or embed the *HTTPTransport instead of holding it in a field: %w", errors.ErrUnsupported)

// checkReachable asks t whether url can be reached.
func checkReachable(ctx context.Context, t Transport, url string) error {
	c, ok := t.(interface {
		CheckReachable(ctx context.Context, url string) error
	})
	if !ok {
		return errCannotReach
	}
	return c.CheckReachable(ctx, url)
}

// Format prints ep with the host alone of its URL.
func (ep Endpoint) Format(f fmt.State, verb rune) { format(f, verb, ep.shown()) }

// LogValue returns what Format prints.
func (ep Endpoint) LogValue() slog.Value { return slog.AnyValue(ep.shown()) }

func (ep Endpoint) shown() any {
	type shown Endpoint // without the methods
	ep.URL = redact.Host(ep.URL)
	return shown(ep)
}

// Format prints p with the host alone of its URL.
func (p EndpointParams) Format(f fmt.State, verb rune) { format(f, verb, p.shown()) }

// LogValue returns what Format prints.
func (p EndpointParams) LogValue() slog.Value { return slog.AnyValue(p.shown()) }

func (p EndpointParams) shown() any {
	type shown EndpointParams // without the methods
	p.URL = redact.Host(p.URL)
	return shown(p)
}

// Format prints c with the host alone of its URL.
func (c EndpointChange) Format(f fmt.State, verb rune) { format(f, verb, c.shown()) }

// LogValue returns what Format prints.
func (c EndpointChange) LogValue() slog.Value { return slog.AnyValue(c.shown()) }

func (c EndpointChange) shown() any {
	type shown EndpointChange // without the methods
	if c.URL != nil {
		host := redact.Host(*c.URL)
		c.URL = &host
	}
	return shown(c)
}
