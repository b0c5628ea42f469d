package webhook

import (
	"context"
	"net/http"
)

// Transport sends one request and answers what came back. The default is
// [HTTPTransport]. It must be safe for concurrent use, must not send a request
// more than once, and must return soon after ctx ends: ctx carries the deadline
// of the whole attempt.
//
// A Transport may also have the methods CheckURL(string) error and
// CheckReachable(ctx, string) error, asked when an endpoint is registered or its
// URL changes, and CloseIdleConnections(), called by Stop. What the first two
// answer goes to the caller as it is: a [*URLError] and an [*UnreachableError]
// have the words that a management API shows.
type Transport interface {
	// Send answers the response, whatever its status. An error is the
	// receiver's fault, is retried and counts, unless it is a [*TransportError]
	// whose Kind is of the sender's class ([FailureKind.SenderFault]).
	Send(ctx context.Context, req *Request) (*Response, error)
}

// Request is one signed request. It is the Transport's to keep, since a body may
// be read after the answer has come. Header may be changed, Body not.
type Request struct {
	URL    string
	Header http.Header // complete, canonical keys
	Body   []byte

	AccountID  string
	EndpointID string
	DeliveryID string // empty for a test event
}

// Response is the answer to a [Request].
type Response struct {
	StatusCode int
	Header     http.Header
	Body       []byte // the beginning of the body; may be empty
}

// FailureKind is the reason of a failed attempt in one fixed word.
type FailureKind string

// The reasons of a failed attempt. Those of the last group are the sender's
// own: they use up no attempt and never count against an endpoint.
const (
	FailureHTTPStatus     FailureKind = "http_status"        // answered, but not 2xx
	FailureRedirect       FailureKind = "redirect"           // answered 3xx; never followed
	FailureTimeout        FailureKind = "timeout"            // connected, but no answer in time
	FailureConnectTimeout FailureKind = "connect_timeout"    // DNS, TCP and TLS took too long
	FailureRefused        FailureKind = "connection_refused" // nothing listens there
	FailureConnection     FailureKind = "connection"         // reset or closed before the answer, or no way to the host
	FailureTLS            FailureKind = "tls"                // no agreement, or a certificate that does not hold
	FailureProtocol       FailureKind = "protocol"           // the answer is not HTTP
	FailureDNSNotFound    FailureKind = "dns_not_found"      // the host does not exist
	FailureDNSServer      FailureKind = "dns_server"         // the name server of the host's domain does not answer
	FailureBlockedAddress FailureKind = "blocked_address"    // the name leads to an address that must not be reached
	FailureURL            FailureKind = "invalid_url"        // the stored URL is not one that may be called

	FailureDNSTemporary FailureKind = "dns_temporary" // our resolver did not answer, as far as can be told
	FailureLocal        FailureKind = "local"         // our network, file descriptors or memory
	FailureCanceled     FailureKind = "canceled"      // we stopped
	FailureInternal     FailureKind = "internal"      // a panic or an error in our own code
)

// SenderFault reports whether the reason lies with the sender: such a failure uses up
// no attempt and never counts against the endpoint.
func (k FailureKind) SenderFault() bool {
	switch k {
	case FailureDNSTemporary, FailureLocal, FailureCanceled, FailureInternal:
		return true
	}
	return false
}

// TransportError is an error of [Transport.Send] that says what kind it is.
type TransportError struct {
	Kind   FailureKind
	Detail string // fixed words, safe to show to the endpoint's owner; at most 1,024 bytes are kept
	Err    error  // the cause, for the operator's log alone; may be nil
}

// Error answers Kind and Detail, without the cause.
func (e *TransportError) Error() string {
	if e.Detail == "" {
		return "webhook: " + string(e.Kind)
	}
	return "webhook: " + string(e.Kind) + ": " + e.Detail
}

// Unwrap answers the cause. It can hold addresses and bytes of the peer.
func (e *TransportError) Unwrap() error { return e.Err }
