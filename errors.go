package webhook

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/ringyo-ai/webhook/internal/check"
	"github.com/ringyo-ai/webhook/internal/egress"
)

// Errors of the emitting side, for errors.Is. Those that the customer of a management
// API can cause have two methods, found by errors.As: Code returns a word for a program
// and Message a sentence for a person, in fixed words that fit the customer. The codes
// are invalid_url, invalid_events, webhook_limit_reached, url_unreachable,
// webhook_not_found, delivery_not_found, event_not_found, invalid_request and
// revision_mismatch. An error without a Code is the operator's: show none of its text.
var (
	// ErrNotFound is returned for an id that does not exist or belongs to another
	// account; the two cannot be told apart. What an [Engine] returns says what was
	// not found: its Code is webhook_not_found, delivery_not_found or event_not_found.
	ErrNotFound = errors.New("webhook: not found")
	// ErrIDConflict is returned for an event id that the account already used with
	// other content, or an endpoint id that is or was in use.
	ErrIDConflict error = &codeError{codeRequest, "webhook: this id is already in use for something else", "this id is already in use"}
	// ErrRevisionMismatch is returned for a change that was to be made of one revision
	// of an endpoint alone, when the endpoint has another: nothing changed.
	ErrRevisionMismatch error = &codeError{codeRevision, "webhook: the endpoint has another revision", "the webhook was changed in the meantime"}
	// ErrVersionConflict is returned for an update whose endpoint was changed in
	// between: read it again and repeat. An Engine does that by itself, and returns
	// this error when it was too late ten times.
	ErrVersionConflict error = &codeError{codeRevision, "webhook: the endpoint was changed in between", "the webhook is being changed by other requests; try again"}
	// ErrEndpointLimit is returned for the endpoint beyond Config.MaxEndpoints.
	ErrEndpointLimit error = &codeError{"webhook_limit_reached", "webhook: the account has the most endpoints that it may have", "the account has as many webhooks as it may have"}
	// ErrSecretLimit is returned for a rotation while the endpoint has Config.MaxSecrets
	// valid secrets: wait until one expires, or rotate without overlap.
	ErrSecretLimit error = &codeError{codeRequest, "webhook: the endpoint has the most valid secrets that it may have", "the webhook has as many valid secrets as it may have; wait until one expires, or end the old ones at once"}
	// ErrUnreadable means that a part of a stored endpoint cannot be read, see
	// [Endpoint.Unreadable], and that the call needs it.
	ErrUnreadable error = &codeError{codeRequest, "webhook: a part of the stored endpoint cannot be read", "a stored part of the webhook that this needs cannot be read"}
	// ErrPayloadTooLarge is returned for an event whose data exceeds Config.MaxPayload.
	ErrPayloadTooLarge = errors.New("webhook: payload too large")
	// ErrInvalidArgument matches every error of an argument, for errors.Is. The
	// text says which one it is, and for events a [*ValidationError] does.
	ErrInvalidArgument error = &codeError{codeRequest, "webhook: invalid argument", "the request is not valid"}
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

// The codes that several errors have.
const (
	codeEvents   = "invalid_events"
	codeRequest  = "invalid_request"
	codeRevision = "revision_mismatch"
)

// What an Engine returns in place of a Store's ErrNotFound.
var (
	errNoEndpoint error = &missingError{codeError{"webhook_not_found", "webhook: endpoint not found", "there is no webhook with this id"}}
	errNoDelivery error = &missingError{codeError{"delivery_not_found", "webhook: delivery not found", "there is no delivery with this id"}}
	errNoEvent    error = &missingError{codeError{"event_not_found", "webhook: event not found", "there is no event with this id"}}
)

// orNotFound returns err, and what was not found in place of [ErrNotFound].
func orNotFound(err, missing error) error {
	if errors.Is(err, ErrNotFound) {
		return missing
	}
	return err
}

// codeError is an error with a word and a sentence for a management API.
type codeError struct{ code, text, message string }

func (e *codeError) Error() string   { return e.text }
func (e *codeError) Code() string    { return e.code }
func (e *codeError) Message() string { return e.message }

// missingError is ErrNotFound for one kind of thing.
type missingError struct{ codeError }

func (e *missingError) Is(target error) bool { return target == ErrNotFound }

// FieldError is one thing that is wrong with an argument.
type FieldError struct {
	Field   string // such as "Events[0]", "data.call_id" or `Headers["X-Team"]`
	Problem string // what is wrong and what is wanted, such as "is required"
	// Path is Field in the terms of JSON, such as "events[0]", "headers.x-team" or
	// "metadata.key". It is empty for what no customer sets.
	Path string
}

// ValidationError lists everything that is wrong with an argument. It is
// [ErrInvalidArgument] for errors.Is.
type ValidationError struct{ Fields []FieldError }

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

// Code returns "invalid_events" when an endpoint's Events are among the Fields, else
// "invalid_request".
func (e *ValidationError) Code() string {
	if slices.ContainsFunc(e.Fields, FieldError.ofEvents) {
		return codeEvents
	}
	return codeRequest
}

// Message says what is wrong with the first of the Fields that Code is for, by its
// Path.
func (e *ValidationError) Message() string {
	if len(e.Fields) == 0 {
		return "the request is not valid"
	}
	first := e.Fields[max(0, slices.IndexFunc(e.Fields, FieldError.ofEvents))]
	return cmp.Or(first.Path, check.Path(first.Field)) + " " + first.Problem
}

// ofEvents reports whether f is about the events that an endpoint is for.
func (f FieldError) ofEvents() bool {
	return f.Field == "Events" || strings.HasPrefix(f.Field, "Events[")
}

// invalid makes the ValidationError of one field.
func invalid(field, problem string) error {
	var v ValidationError
	v.add(field, problem)
	return &v
}

// badSecret is invalid for a secret. Receivers parse secrets: what finds the path of any
// field is not linked into them.
func badSecret(problem string) error {
	return &ValidationError{Fields: []FieldError{{"Secret", problem, "secret"}}}
}

func (e *ValidationError) add(field, problem string) {
	e.Fields = append(e.Fields, FieldError{field, problem, check.Path(field)})
}

func (e *ValidationError) addAll(problems []check.Problem) {
	for _, p := range problems {
		e.add(p.Field, p.Problem)
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
	for _, p := range s {
		v.Fields = append(v.Fields, FieldError{Field: p.Field, Problem: p.Problem})
	}
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

// Code returns "invalid_url".
func (e *URLError) Code() string { return "invalid_url" }

// Message says what is wrong with the URL, such as "the URL must begin with https://".
func (e *URLError) Message() string {
	problem := egress.Kind(e.Kind).Problem()
	if rest, ok := strings.CutPrefix(problem, "its "); ok {
		return "the URL's " + rest
	}
	if rest, ok := strings.CutPrefix(problem, "it "); ok {
		return "the URL " + rest
	}
	return "the URL is not accepted"
}

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

// Code returns "url_unreachable".
func (e *UnreachableError) Code() string { return "url_unreachable" }

// Message returns the Detail.
func (e *UnreachableError) Message() string {
	if e.Detail == "" {
		return "the URL cannot be reached"
	}
	return "the URL cannot be reached: " + e.Detail
}

// Unwrap returns the cause. It can hold addresses and bytes of the peer.
func (e *UnreachableError) Unwrap() error { return e.Err }
