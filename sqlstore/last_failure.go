package sqlstore

import (
	"time"

	"github.com/ringyo-ai/webhook"
)

// lastFailure is the latest failed attempt of an endpoint, in the form in which the
// endpoint's row keeps it.
type lastFailure struct {
	Delivery string        `json:"delivery"`
	Number   int           `json:"number"`
	ID       string        `json:"id"`
	At       int64         `json:"at"` // microseconds
	Duration time.Duration `json:"duration"`
	Status   int           `json:"status,omitempty"`
	Failure  string        `json:"failure"`
	Detail   string        `json:"detail,omitempty"`
	Revision int64         `json:"revision,omitempty"`
}

// lastFailureOf returns the attempt of a result, once it is counted at its delivery.
func lastFailureOf(d *delivery, it item) *lastFailure {
	a := it.Attempt
	return &lastFailure{it.DeliveryID, d.made, a.ID, toMicros(a.At), a.Duration, a.StatusCode, string(a.Failure), a.Detail, a.Revision}
}

// readLastFailure returns the attempt that a row keeps, or the zero one.
func readLastFailure(text string) (webhook.Attempt, error) {
	if text == "" {
		return webhook.Attempt{}, nil
	}
	var l lastFailure
	err := fromJSON(text, &l)
	if err != nil {
		return webhook.Attempt{}, err
	}
	return l.attempt(), nil
}

func (l *lastFailure) attempt() webhook.Attempt {
	if l == nil {
		return webhook.Attempt{}
	}
	return webhook.Attempt{
		DeliveryID: l.Delivery, Number: l.Number, ID: l.ID, At: fromMicros(l.At), Duration: l.Duration,
		StatusCode: l.Status, Failure: webhook.FailureKind(l.Failure), Detail: l.Detail, Revision: l.Revision,
	}
}
