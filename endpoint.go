package webhook

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ringyo-ai/webhook/internal/egress"
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
	Headers     map[string]string `json:"headers,omitempty"` // sent with every request
	Status      EndpointStatus    `json:"status"`

	DisabledReason DisabledReason `json:"disabled_reason,omitempty"`
	DisabledAt     time.Time      `json:"disabled_at,omitzero"`

	// ConsecutiveFailures counts failures, as the [DisablePolicy] counts them,
	// since the last success.
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
	// as "secrets", "headers", "metadata" or "events"; they are empty here. While
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

	// Events are the types that it receives: exact ones, prefixes such as
	// "call.*", or "*" for everything. 1 to 100. A prefix reaches every depth:
	// "call.*" takes "call.recording.ready" too. What another one covers is left
	// out of what is stored.
	Events      []EventType
	Description string            // at most 1,024 bytes
	Metadata    map[string]string // at most 50 keys of 64 bytes, values of 1,024
	Headers     map[string]string // sent with every request; at most 50, of 8 KiB in all; names that the library or HTTP use are refused

	// Secret signs its requests. The zero Secret means a new random one.
	Secret Secret

	// CheckReachable connects to the URL before anything is stored, and fails
	// with an error whose Code is "url_unreachable" if that does not work.
	// Nothing is sent. If the Transport cannot connect without sending, the
	// error is [errors.ErrUnsupported].
	CheckReachable bool
}

// EndpointChange says what [Engine.UpdateEndpoint] changes; what is nil stays.
type EndpointChange struct {
	URL         *string
	Events      []EventType
	Description *string
	Metadata    map[string]string // replaces all; empty and not nil clears
	Headers     map[string]string // likewise

	CheckReachable bool // as in [EndpointParams], if URL is given
}

// EndpointQuery selects a page of endpoints.
type EndpointQuery struct {
	Status EndpointStatus // empty: any
	Cursor string         // Next of the page before
	Limit  int            // 1 to 1,000; defaults to 100
}

// RotateParams say how [Engine.RotateSecret] replaces a secret.
type RotateParams struct {
	// Secret is the new one. The zero Secret means a new random one of the kind
	// of the present one: [NewSecret] or [NewSigningKey].
	Secret Secret
	// Overlap is how long the present secrets remain valid. Defaults to
	// Config.SecretOverlap; -1 ends them at once.
	Overlap time.Duration
}

// EndpointHealth tells how an endpoint is doing.
type EndpointHealth struct {
	EndpointID          string         `json:"endpoint_id"`
	Status              EndpointStatus `json:"status"`
	DisabledReason      DisabledReason `json:"disabled_reason,omitempty"`
	ConsecutiveFailures int            `json:"consecutive_failures"`
	FailingSince        time.Time      `json:"failing_since,omitzero"`
	LastTriggeredAt     time.Time      `json:"last_triggered_at,omitzero"`
	LastSuccessAt       time.Time      `json:"last_success_at,omitzero"`
	LastFailureAt       time.Time      `json:"last_failure_at,omitzero"`
	Pending             int            `json:"pending"`              // deliveries due, waiting for a retry, or in flight
	Held                int            `json:"held"`                 // deliveries waiting for the endpoint to be enabled
	Unreadable          []string       `json:"unreadable,omitempty"` // see [Endpoint.Unreadable]
}

// TestResult is what came of a test event.
type TestResult struct {
	EventID    string      // not stored: GetEvent does not know it
	Delivered  bool        // responded with 2xx
	StatusCode int         // 0: no response
	Failure    FailureKind // empty: delivered
	Detail     string      // fixed words, safe to show
	Duration   time.Duration
	// Location is where a redirect leads, as in [AttemptInfo].
	Location string
	// ResponseBody is the beginning of the response's body: bytes of the peer.
	ResponseBody []byte
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
