package webhook

import "time"

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
	// DisabledGone means that the endpoint answered 410 Gone.
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
	FailingSince        time.Time `json:"failing_since,omitzero"` // the first of them

	// The times below may lag by up to 10 s while an endpoint is busy, so that
	// not every delivery has to write its endpoint.
	LastTriggeredAt time.Time `json:"last_triggered_at,omitzero"` // last attempt
	LastSuccessAt   time.Time `json:"last_success_at,omitzero"`
	LastFailureAt   time.Time `json:"last_failure_at,omitzero"`

	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"` // last change of the configuration
}
