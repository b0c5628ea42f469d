package webhook

import (
	"context"
	"net"
	"time"
)

// What the black-box tests of the transport need of its inside.
var (
	RetryAfter     = retryAfter
	MaxRetryAfter  = maxRetryAfter
	NormalizeURL   = normalizeURL
	CheckReachable = checkReachable
	StatusFailure  = statusFailure
)

// What the black-box tests of rendering and signing need of its inside.
const EnvelopeOverhead = envelopeOverhead

var (
	AppendEnvelope    = appendEnvelope
	AppendSignature   = appendSignature
	AppendTimestamped = appendTimestamped
	ValidateEvents    = validateEvents
)

// DialFunc makes a connection with d, which applies the egress policy.
type DialFunc = func(ctx context.Context, d *net.Dialer, network, addr string) (net.Conn, error)

// NewHTTPTransportDialing is NewHTTPTransport with dial between the egress policy and
// the network.
func NewHTTPTransportDialing(cfg HTTPConfig, dial DialFunc) (*HTTPTransport, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	sending := cfg.sending()
	sending.Dial = dial
	return newHTTPTransport(sending), nil
}

// NewAttemptContext makes the context of one attempt. The functions say whether it
// has made a timer, and end it.
func NewAttemptContext(parent context.Context, d time.Duration) (ctx context.Context, timed func() bool, end func()) {
	c := newAttemptContext(parent, time.Now().Add(d))
	return c, func() bool { return c.timed != nil }, c.end
}
