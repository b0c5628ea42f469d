package httpsend

// Kind is the reason of a failed request in one fixed word.
type Kind string

// The reasons of a failed request. Those of the last group are the sender's own.
const (
	Timeout        Kind = "timeout"            // connected, but no response in time
	ConnectTimeout Kind = "connect_timeout"    // DNS, TCP and TLS took too long
	Refused        Kind = "connection_refused" // nothing listens there
	Connection     Kind = "connection"         // reset or closed before the response, or no way to the host
	TLS            Kind = "tls"                // the handshake failed, or the certificate is not valid
	Protocol       Kind = "protocol"           // the response is not HTTP
	DNSNotFound    Kind = "dns_not_found"      // the host does not exist
	DNSServer      Kind = "dns_server"         // the name server of the host's domain does not respond
	BlockedAddress Kind = "blocked_address"    // the name leads to an address that must not be reached
	URL            Kind = "invalid_url"        // the URL is not one that may be called

	DNSTemporary Kind = "dns_temporary" // our resolver did not respond, as far as can be told
	Local        Kind = "local"         // our network, file descriptors or memory
	Canceled     Kind = "canceled"      // we stopped
	Internal     Kind = "internal"      // the request cannot be sent as it is
)

// SenderFault reports whether the reason lies with the sender.
func (k Kind) SenderFault() bool {
	switch k {
	case DNSTemporary, Local, Canceled, Internal:
		return true
	}
	return false
}

// Error is a failed request.
type Error struct {
	Kind   Kind
	Detail string // fixed words, safe to show to the URL's owner
	Err    error  // the cause, which can hold addresses and bytes of the peer
}

// Error returns Kind and Detail, without the cause.
func (e *Error) Error() string { return "httpsend: " + string(e.Kind) + ": " + e.Detail }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
