package webhook

import (
	"context"
	"net"
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

// SetDial puts f between the egress policy and the network.
func (t *HTTPTransport) SetDial(f func(ctx context.Context, d *net.Dialer, network, addr string) (net.Conn, error)) {
	t.dial = f
}

// Dial is what SetDial has put there.
func (t *HTTPTransport) Dial() func(ctx context.Context, d *net.Dialer, network, addr string) (net.Conn, error) {
	return t.dial
}

// FailureDetails are all the words that a TransportError can show.
func FailureDetails() []string {
	list := []string{
		detailBlocked, detailCanceled, detailNoAnswer, detailConnectTimeout, detailTLSTimeout, detailRefused,
		detailUnreachable, detailClosed, detailTLSClosed, detailTLSAlert, detailProtocol, detailNotFound, detailNameServer, detailResolver,
		detailCertExpired, detailCertHost, detailCertAuthority, detailCertInvalid, detailNotTLS, detailHandshake,
		detailRedirect, detailTooLarge, detailStatus, detailLocal, detailHeader,
	}
	for _, text := range urlProblems {
		list = append(list, text)
	}
	return list
}
