package webhook

import (
	"errors"
	"strings"

	"github.com/ringyo-ai/webhook/internal/check"
	"github.com/ringyo-ai/webhook/internal/egress"
)

// Errors of the emitting side, for errors.Is. Those that a customer can correct
// have a method Code, which returns a word for an API to show: "invalid_url"
// ([*URLError]), "invalid_events" ([*ValidationError]), "webhook_limit_reached"
// ([ErrEndpointLimit]) and "url_unreachable" ([*UnreachableError]). There are no
// other codes. A management API should report [ErrNotFound] with status 404;
// [ErrIDConflict], [ErrVersionConflict] and [ErrSecretLimit] with 409; and any
// other error without a Code with 500.
var (
	// ErrNotFound is returned for an id that does not exist or belongs to another
	// account; the two cannot be told apart.
	ErrNotFound = errors.New("webhook: not found")
	// ErrIDConflict is returned for an event id that the account already used with
	// other content, or an endpoint id that is or was in use.
	ErrIDConflict = errors.New("webhook: this id is already in use for something else")
	// ErrVersionConflict is returned for an update whose endpoint was changed in
	// between: read it again and repeat.
	ErrVersionConflict = errors.New("webhook: the endpoint was changed in between")
	// ErrEndpointLimit is returned for the endpoint beyond Config.MaxEndpoints.
	ErrEndpointLimit error = &codeError{"webhook_limit_reached", "webhook: the account has the most endpoints that it may have"}
	// ErrSecretLimit is returned for a rotation while the endpoint has Config.MaxSecrets
	// valid secrets: wait until one expires, or rotate without overlap.
	ErrSecretLimit = errors.New("webhook: the endpoint has the most valid secrets that it may have")
	// ErrUnreadable means that a part of a stored endpoint cannot be read, see
	// [Endpoint.Unreadable], and that the call needs it.
	ErrUnreadable = errors.New("webhook: a part of the stored endpoint cannot be read")
	// ErrPayloadTooLarge is returned for an event whose data exceeds Config.MaxPayload.
	ErrPayloadTooLarge = errors.New("webhook: payload too large")
	// ErrInvalidArgument matches every error of an argument, for errors.Is. The
	// text says which one it is, and for events a [*ValidationError] does.
	ErrInvalidArgument = errors.New("webhook: invalid argument")
	// ErrStore matches every error that came from the Store, for errors.Is.
	ErrStore = errors.New("webhook: store")
	// ErrUnknownOutcome means that a write was interrupted, so that it may or may
	// not have happened. Repeat it with the same events: their ids make that safe.
	ErrUnknownOutcome = errors.New("webhook: outcome unknown, repeat with the same ids")
	// ErrStarted is returned for a second Start.
	ErrStarted = errors.New("webhook: already started")
	// ErrStopped is returned for Start after Stop; make a new Engine.
	ErrStopped = errors.New("webhook: stopped")
	// ErrStopFromHook is returned for Stop called with a hook's own context: it would
	// wait for itself. Call it from another goroutine.
	ErrStopFromHook = errors.New("webhook: Stop called from a hook")
)

// Errors of the receiving side, for errors.Is. The response to the sender should be
// the same for all of them; a log may say which one it was.
var (
	// ErrMissingHeader means that a header the scheme needs is absent, empty or
	// present more than once.
	ErrMissingHeader = errors.New("webhook: a signature header is missing or given twice")
	// ErrInvalidHeader means that a header does not have the form that the scheme
	// requires.
	ErrInvalidHeader = errors.New("webhook: malformed signature header")
	// ErrSignature means that no signature matches any of the secrets.
	ErrSignature = errors.New("webhook: signature does not match")
	// ErrTooOld means a valid signature with a timestamp before the tolerance:
	// a replay, or this machine's clock is ahead.
	ErrTooOld = errors.New("webhook: timestamp too old")
	// ErrTooNew means a valid signature with a timestamp after the tolerance:
	// this machine's clock is behind.
	ErrTooNew = errors.New("webhook: timestamp too new")
	// ErrNoSecret means that no usable secret was given.
	ErrNoSecret = errors.New("webhook: no usable secret")
	// ErrBodyTooLarge means that the request's body exceeds MaxBody.
	ErrBodyTooLarge = errors.New("webhook: request body too large")
	// ErrBodyConsumed means that something read the request's body before
	// verification, which needs its bytes.
	ErrBodyConsumed = errors.New("webhook: request body already read; verify before any middleware parses it")
	// ErrBodyRead means that reading the request's body failed: the sender hung
	// up, or the body took longer than the server allows. It wraps the cause,
	// such as [os.ErrDeadlineExceeded].
	ErrBodyRead = errors.New("webhook: reading the request body failed")
	// ErrMalformedEvent means that a verified body is not an event envelope.
	ErrMalformedEvent = errors.New("webhook: body is not an event")
)

// codeError is a sentinel with a word for a management API.
type codeError struct{ code, text string }

func (e *codeError) Error() string { return e.text }
func (e *codeError) Code() string  { return e.code }

// FieldError is one thing that is wrong with an argument.
type FieldError struct {
	Field   string // such as "Events", "data.call_id" or "events[2].Type"
	Problem string // what is wrong and what is wanted, such as "is required"
}

// ValidationError lists everything that is wrong with an argument. It is
// [ErrInvalidArgument] for errors.Is.
type ValidationError struct {
	Fields []FieldError
	code   string
}

// Error names each field with its problem.
func (e *ValidationError) Error() string {
	list := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		list[i] = f.Field + " " + f.Problem
	}
	return "webhook: " + strings.Join(list, "; ")
}

// Is reports whether target is [ErrInvalidArgument].
func (e *ValidationError) Is(target error) bool { return target == ErrInvalidArgument }

// Code returns "invalid_events", the word that a management API shows, when an
// endpoint's Events are among the Fields, and "" otherwise: other mistakes have no
// word.
func (e *ValidationError) Code() string { return e.code }

// invalid makes the ValidationError of one field.
func invalid(field, problem string) error {
	return &ValidationError{Fields: []FieldError{{field, problem}}}
}

func (e *ValidationError) add(field, problem string) {
	e.Fields = append(e.Fields, FieldError{field, problem})
}

func (e *ValidationError) addAll(problems []check.Problem) {
	for _, p := range problems {
		e.Fields = append(e.Fields, FieldError(p))
	}
}

// orNil returns e if it lists anything.
func (e *ValidationError) orNil() error {
	if len(e.Fields) == 0 {
		return nil
	}
	return e
}

// invalidSettings makes the ValidationError of what is wrong with a configuration, nil if
// nothing is.
func invalidSettings(s check.Settings) error {
	var v ValidationError
	v.addAll(s)
	return v.orNil()
}

// URLError says why an endpoint's URL is refused. It is [ErrInvalidArgument]
// for errors.Is and shows nothing of the URL, which may hold a password.
type URLError struct {
	// Kind is the reason in one word: too_long, parse, scheme, userinfo, host,
	// host_not_ascii, host_numeric, address, port, port_blocked or fragment.
	Kind string
}

// Error says in fixed words what is wrong, without the URL.
func (e *URLError) Error() string {
	if text := egress.Kind(e.Kind).Problem(); text != "" {
		return "webhook: invalid url: " + text
	}
	return "webhook: invalid url: " + e.Kind
}

// Code returns "invalid_url", the word that a management API shows.
func (e *URLError) Code() string { return "invalid_url" }

// Is reports whether target is [ErrInvalidArgument].
func (e *URLError) Is(target error) bool { return target == ErrInvalidArgument }

// UnreachableError says that nothing could be reached under an endpoint's URL
// when it was registered.
type UnreachableError struct {
	Kind   FailureKind
	Detail string // fixed words, safe to show to the endpoint's owner
	Err    error  // the cause, for the operator's log alone
}

// Error returns Kind and Detail, without the cause.
func (e *UnreachableError) Error() string {
	return "webhook: url unreachable: " + string(e.Kind) + ": " + e.Detail
}

// Code returns "url_unreachable", the word that a management API shows.
func (e *UnreachableError) Code() string { return "url_unreachable" }

// Unwrap returns the cause. It can hold addresses and bytes of the peer.
func (e *UnreachableError) Unwrap() error { return e.Err }
