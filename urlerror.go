package webhook

import (
	"context"
	"errors"

	"github.com/ringyo-ai/webhook/internal/egress"
)

// URLError says why an endpoint's URL is refused. It is [ErrInvalidArgument]
// for errors.Is and shows nothing of the URL, which may hold a password.
type URLError struct {
	// Kind is the reason in one word: too_long, parse, scheme, userinfo, host,
	// host_not_ascii, host_numeric, address, port or fragment.
	Kind string
}

// Error says in fixed words what is wrong, without the URL.
func (e *URLError) Error() string {
	if text := urlProblems[egress.Kind(e.Kind)]; text != "" {
		return "webhook: invalid url: " + text
	}
	return "webhook: invalid url: " + e.Kind
}

// Code answers "invalid_url", the word that a management API shows.
func (e *URLError) Code() string { return "invalid_url" }

// Is reports whether target is [ErrInvalidArgument].
func (e *URLError) Is(target error) bool { return target == ErrInvalidArgument }

var urlProblems = map[egress.Kind]string{
	egress.TooLong:      "it is longer than 2048 bytes",
	egress.Malformed:    "it is not a URL of the form https://host/path",
	egress.Scheme:       "it must begin with https://",
	egress.Userinfo:     "it must not hold a user or a password; use a custom header",
	egress.Host:         "its host is not a public name",
	egress.HostNotASCII: "its host must be given in the ASCII form (xn--…)",
	egress.HostNumeric:  "its host is an address in an unusual notation",
	egress.Address:      "its host is not a public address",
	egress.Port:         "its port is not within 1 to 65535",
	egress.Fragment:     "it must not hold a '#'",
}

// UnreachableError says that nothing could be reached under an endpoint's URL
// when it was registered.
type UnreachableError struct {
	Kind   FailureKind
	Detail string // fixed words, safe to show to the endpoint's owner
	Err    error  // the cause, for the operator's log alone
}

// Error answers Kind and Detail, without the cause.
func (e *UnreachableError) Error() string {
	return "webhook: url unreachable: " + string(e.Kind) + ": " + e.Detail
}

// Code answers "url_unreachable", the word that a management API shows.
func (e *UnreachableError) Code() string { return "url_unreachable" }

// Unwrap answers the cause. It can hold addresses and bytes of the peer.
func (e *UnreachableError) Unwrap() error { return e.Err }

// normalizeURL answers the form of raw that is stored, or why raw is refused.
// The HTTPTransport knows a normal form; another Transport's CheckURL only says
// yes or no; where there is neither, the strict rules of the egress guard hold.
func normalizeURL(t Transport, raw string) (string, error) {
	if c, ok := t.(interface{ CheckURL(string) error }); ok {
		if h, ok := t.(*HTTPTransport); ok {
			return parseURL(&h.policy, raw)
		}
		return raw, c.CheckURL(raw)
	}
	return parseURL(&egress.Policy{}, raw)
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

// checkReachable asks t, if it can, whether anything answers under url.
func checkReachable(ctx context.Context, t Transport, url string) error {
	if c, ok := t.(interface {
		CheckReachable(ctx context.Context, url string) error
	}); ok {
		return c.CheckReachable(ctx, url)
	}
	return nil
}

// sendTo is where a request goes. What is stored is checked again at each
// attempt: somebody may have changed it there.
func (t *HTTPTransport) sendTo(raw string) (*target, error) {
	if at := t.urls.get(raw); at != nil {
		return at, nil
	}
	u, err := t.policy.ParseURL(raw)
	if err == nil {
		at := newTarget(raw, u)
		t.urls.put(at)
		return at, nil
	}
	cause := urlError(err).(*URLError)
	if cause.Kind == string(egress.Address) {
		return nil, &TransportError{Kind: FailureBlockedAddress, Detail: detailBlocked, Err: cause}
	}
	return nil, &TransportError{Kind: FailureURL, Detail: urlProblems[egress.Kind(cause.Kind)], Err: cause}
}
