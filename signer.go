package webhook

import (
	"net/http"
	"time"
)

// Signer adds signature headers to a request. It must be safe for concurrent
// use.
type Signer interface {
	// Sign adds to h what proves m under each of the secrets, the newest first.
	Sign(h http.Header, m Message, secrets ...Secret) error
}

// Message is what a signature covers.
type Message struct {
	ID        string    // the event's id
	Timestamp time.Time // of this attempt; whole seconds are signed
	Body      []byte
}
