package webhook

import "time"

// DeliveryStatus is the state of a delivery.
type DeliveryStatus string

const (
	// DeliveryPending is due now, waits for a retry, or is being attempted.
	DeliveryPending DeliveryStatus = "pending"
	// DeliveryHeld waits for its endpoint to be enabled.
	DeliveryHeld DeliveryStatus = "held"
	// DeliveryDelivered was answered with a 2xx.
	DeliveryDelivered DeliveryStatus = "delivered"
	// DeliveryExhausted ended undelivered; Reason says why.
	DeliveryExhausted DeliveryStatus = "exhausted"
	// DeliveryCancelled ended undelivered because its endpoint was deleted.
	DeliveryCancelled DeliveryStatus = "cancelled"
)

// DeliveryReason says why a delivery ended undelivered.
type DeliveryReason string

const (
	// ReasonAttempts means that every attempt of the schedule failed.
	ReasonAttempts DeliveryReason = "attempts_exhausted"
	// ReasonGone means that the endpoint answered 410 Gone.
	ReasonGone DeliveryReason = "gone"
	// ReasonEndpointDeleted means that the endpoint was deleted.
	ReasonEndpointDeleted DeliveryReason = "endpoint_deleted"
	// ReasonAbandoned means that processes kept dying while they attempted it.
	ReasonAbandoned DeliveryReason = "abandoned"
	// ReasonSenderFault means that faults of the sending side kept it from
	// being attempted for 24 hours.
	ReasonSenderFault DeliveryReason = "sender_fault"
)

// Delivery is the sending of one event to one endpoint, with all its attempts.
type Delivery struct {
	ID            string         `json:"id"` // dlv_…
	AccountID     string         `json:"account_id"`
	EndpointID    string         `json:"endpoint_id"`
	EventID       string         `json:"event_id"`
	EventType     EventType      `json:"event"`
	Status        DeliveryStatus `json:"status"`
	Reason        DeliveryReason `json:"reason,omitempty"`
	Attempts      int            `json:"attempts"`                 // rows of the attempt log, over redeliveries too
	NextAttemptAt time.Time      `json:"next_attempt_at,omitzero"` // while pending; not later than this plus the queue's delay
	CreatedAt     time.Time      `json:"created_at"`
	CompletedAt   time.Time      `json:"completed_at,omitzero"`
}

// Attempt is one request, as logged.
type Attempt struct {
	ID         string        `json:"id"` // att_…
	DeliveryID string        `json:"delivery_id"`
	Number     int           `json:"number"` // 1 for the first
	At         time.Time     `json:"at"`     // when it began, by the store's clock
	Duration   time.Duration `json:"duration_ns"`
	StatusCode int           `json:"status_code,omitempty"` // 0: no answer

	// Failure is empty when the attempt succeeded.
	Failure FailureKind `json:"failure,omitempty"`
	// Detail explains Failure in fixed words of this library: it holds no
	// address, no text of the operating system and nothing that the peer sent.
	Detail string `json:"detail,omitempty"`
	// ResponseBody is the beginning of the answer's body, at most 1 KiB: bytes
	// of the peer, to be shown as such.
	ResponseBody []byte `json:"response_body,omitempty"`
}
