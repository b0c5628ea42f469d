package webhookapi

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/ringyo-ai/webhook"
)

// apiError is an error as a response shows it.
type apiError struct {
	status  int
	code    string
	message string
	faults  []fault // one for each thing that is wrong with the request
}

// fault is one thing that is wrong with a request.
type fault struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Field   string `json:"field"` // in the body's JSON, or the name of a query parameter or a header
}

// Error implements error.
func (e *apiError) Error() string { return e.code + ": " + e.message }

var errInternal = &apiError{status: http.StatusInternalServerError, code: "internal", message: "something went wrong on our side: try again later"}

// refused is a request that is wrong in one field.
func refused(field, message string) *apiError {
	return faulty([]fault{{"invalid_request", message, field}})
}

// faulty is a request that is wrong in these ways.
func faulty(list []fault) *apiError {
	return &apiError{status: http.StatusBadRequest, code: list[0].Code, message: list[0].Message, faults: list}
}

// coded is an error that the library lets an API show.
type coded interface {
	error
	Code() string
	Message() string
}

// statusOf are the statuses of codes; others are those of a bad request.
var statusOf = map[string]int{
	"webhook_not_found":    http.StatusNotFound,
	"delivery_not_found":   http.StatusNotFound,
	"event_not_found":      http.StatusNotFound,
	"revision_mismatch":    http.StatusPreconditionFailed,
	"idempotency_conflict": http.StatusConflict,
}

// explain returns what a response shows of an error. ok is false for what is a fault of
// our own side.
func explain(err error) (e *apiError, ok bool) {
	if errors.As(err, &e) {
		return e, e.status < 500
	}
	var list []fault
	for _, c := range codedIn(err) {
		list = append(list, faultsOf(c)...)
	}
	if len(list) == 0 || errors.Is(err, webhook.ErrStore) && !fromRequest(err) {
		return errInternal, false
	}
	e = faulty(list)
	if status, known := statusOf[e.code]; known {
		e.status = status
	}
	switch {
	case errors.Is(err, webhook.ErrIdempotencyReused):
		e.status = http.StatusUnprocessableEntity
	case errors.Is(err, webhook.ErrSecretLimit), errors.Is(err, webhook.ErrIDConflict), errors.Is(err, webhook.ErrUnreadable), errors.Is(err, webhook.ErrVersionConflict):
		e.status = http.StatusConflict
	}
	return e, true
}

// fromRequest reports whether an error that the store returned is about what the request
// asks for, and no failure of the store.
func fromRequest(err error) bool {
	return errors.Is(err, webhook.ErrNotFound) || errors.Is(err, webhook.ErrInvalidArgument) ||
		errors.Is(err, webhook.ErrEndpointLimit) || errors.Is(err, webhook.ErrRevisionMismatch) ||
		errors.Is(err, webhook.ErrIDConflict) || errors.Is(err, webhook.ErrVersionConflict) ||
		errors.Is(err, webhook.ErrIdempotencyReused) || errors.Is(err, webhook.ErrIdempotencyRunning)
}

// codedIn returns the errors of err that have a code, without those below another one.
func codedIn(err error) (list []coded) {
	switch e := err.(type) {
	case nil:
		return nil
	case coded:
		return []coded{e}
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			list = append(list, codedIn(one)...)
		}
		return list
	}
	if inner := errors.Unwrap(err); inner != nil {
		return codedIn(inner)
	}
	var c coded
	if errors.As(err, &c) { // one that hides what it wraps, and its URLs
		return []coded{c}
	}
	return nil
}

func faultsOf(c coded) []fault {
	var v *webhook.ValidationError
	if !errors.As(c, &v) {
		return []fault{{c.Code(), c.Message(), fieldOf(c)}}
	}
	list := make([]fault, len(v.Fields))
	for i, f := range v.Fields {
		code := "invalid_request"
		if f.Path == "events" || strings.HasPrefix(f.Path, "events[") {
			code = "invalid_events"
		}
		list[i] = fault{code, f.Problem, f.Path}
		if f.Path != "" {
			list[i].Message = f.Path + " " + f.Problem
		}
	}
	return list
}

// badTypes tells types that are none, which the library calls Types, by the name that the
// request has for them, with the library's words for what is wrong. index is theirs, such
// as "[1]". Other errors stay as they are.
func badTypes(err error, tell func(index, problem string) fault) error {
	var v *webhook.ValidationError
	if !errors.As(err, &v) || len(v.Fields) == 0 {
		return err
	}
	list := make([]fault, len(v.Fields))
	for i, f := range v.Fields {
		index, ok := strings.CutPrefix(f.Path, "types")
		if !ok {
			return err
		}
		list[i] = tell(index, f.Problem)
	}
	return faulty(list)
}

// badList tells what the store refuses of a list: types, by the parameter that has them,
// or a cursor that no list returned. Everything else was checked before.
func badList(err error, cursor, types string) error {
	err = badTypes(err, func(_, problem string) fault {
		return fault{"invalid_request", types + ": each " + problem, types}
	})
	if errors.As(err, new(*apiError)) || cursor == "" || !errors.Is(err, webhook.ErrInvalidArgument) {
		return err
	}
	return refused("cursor", "cursor is not one that this list returned")
}

// fieldOf returns the field that an error which names none is about.
func fieldOf(c coded) string {
	switch c.Code() {
	case "invalid_url", "url_unreachable":
		return "url"
	}
	return ""
}

// fail writes an error.
func (h *Handler) fail(w http.ResponseWriter, r *request, err error) {
	e, ok := explain(err)
	if !ok && r.ctx().Err() == nil && !errors.Is(err, errInternal) {
		h.log.ErrorContext(r.ctx(), "webhookapi: a request failed", "error", err, "request_id", r.id, "account", r.access.AccountID)
	}
	if !ok && errors.Is(err, context.DeadlineExceeded) {
		w.Header().Set("Retry-After", "1")
	}
	if wantsProblem(r.Header.Values("Accept")) {
		h.json(w, e.status, "application/problem+json", problemBody{
			Type: "about:blank", Title: http.StatusText(e.status), Status: e.status, Detail: e.message,
			Code: e.code, Errors: e.list(), RequestID: r.id,
		})
		return
	}
	body := errorBody{Error: errorInfo{Code: e.code, Message: e.message}, Meta: metaBody{r.id}}
	if len(e.faults) > 0 && e.faults[0].Field != "" {
		body.Error.Details.Field = &e.faults[0].Field
	}
	if len(e.faults) > 1 {
		body.Error.Details.Errors = e.faults
	}
	h.json(w, e.status, "application/json", body)
}

func (e *apiError) list() []fault {
	if e.faults == nil {
		return []fault{}
	}
	return e.faults
}

// errorBody is the envelope of errors.
type errorBody struct {
	Error errorInfo `json:"error"`
	Meta  metaBody  `json:"meta"`
}

type errorInfo struct {
	Code    string       `json:"code"`
	Message string       `json:"message"`
	Details errorDetails `json:"details"`
}

type errorDetails struct {
	Field  *string `json:"field,omitempty"`
	Errors []fault `json:"errors,omitempty"`
}

type metaBody struct {
	RequestID string `json:"request_id"`
}

// problemBody is the same by RFC 9457.
type problemBody struct {
	Type      string  `json:"type"`
	Title     string  `json:"title"`
	Status    int     `json:"status"`
	Detail    string  `json:"detail"`
	Code      string  `json:"code"`
	Errors    []fault `json:"errors"`
	RequestID string  `json:"request_id"`
}

// wantsProblem reports whether problem details are asked for by name: ranges such as */*
// are content with the usual form.
func wantsProblem(accept []string) bool {
	for _, line := range accept {
		for _, part := range strings.Split(line, ",") {
			name, params, _ := strings.Cut(strings.TrimSpace(part), ";")
			if strings.EqualFold(strings.TrimSpace(name), "application/problem+json") && !refusedByQ(params) {
				return true
			}
		}
	}
	return false
}

// refusedByQ reports whether the parameters say q=0.
func refusedByQ(params string) bool {
	for _, p := range strings.Split(params, ";") {
		name, q, _ := strings.Cut(strings.TrimSpace(p), "=")
		if strings.EqualFold(name, "q") && strings.Trim(q, "0.") == "" && q != "" {
			return true
		}
	}
	return false
}
