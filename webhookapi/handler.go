package webhookapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/internal/id"
	"github.com/ringyo-ai/webhook/internal/safe"
)

// Access says who asks, and what they may do.
type Access struct {
	AccountID string // whose endpoints, events and deliveries
	Actor     string // for the log of changes: a user, or the name of a key; never a secret
	ReadOnly  bool   // GET alone
}

// Errors of [Options.Authorize] and [Options.Limit], for errors.Is.
var (
	// ErrUnauthenticated means that the request does not say who asks, or not
	// believably: status 401, code "unauthorized".
	ErrUnauthenticated = errors.New("webhookapi: unauthenticated")
	// ErrForbidden means that who asks may not use this API: status 403, code
	// "forbidden".
	ErrForbidden = errors.New("webhookapi: forbidden")
	// ErrRateLimited means that the account has asked too often: status 429, code
	// "rate_limited".
	ErrRateLimited = errors.New("webhookapi: rate limited")
)

// Options configure a [Handler]. Only Authorize is required; the zero value of every
// other field is its documented default.
type Options struct {
	// Authorize says who asks. Required. It returns [ErrUnauthenticated] or
	// [ErrForbidden], as they are or wrapped, for those that are to be turned away;
	// any other error is a fault of the platform, which is logged and reported with
	// status 500. It is called once for each request, before its body is read.
	Authorize func(*http.Request) (Access, error)

	// SingleTenant allows an empty Access.AccountID, which is refused otherwise, with
	// status 500: an Authorize that forgot to set it would show everybody the
	// endpoints of the empty account.
	SingleTenant bool

	// Prefix is the beginning of all paths. Defaults to "/v1"; "/" is none.
	Prefix string

	// Limit is the platform's own rate limiter. What it returns is written to the
	// headers X-RateLimit-Limit, X-RateLimit-Remaining and X-RateLimit-Reset, and
	// [ErrRateLimited] ends the request. Defaults to none.
	Limit func(*http.Request, Access) (RateLimit, error)

	// RequestID returns the id of a request, which errors have in meta.request_id and
	// every response in the header X-Request-Id. Defaults to a new random one,
	// "req_…".
	RequestID func(*http.Request) string

	// Envelope wraps the body of each success: {"data":…,"meta":{"request_id":…}}.
	Envelope bool

	// CheckReachable connects to each URL that is registered or changed, and refuses
	// it with the code "url_unreachable" when that fails. It lets customers find out
	// which ports of the internet are open from here. Defaults to off.
	CheckReachable bool

	// EventTypes are listed at /webhook-event-types. Defaults to those of
	// [EventTypes].
	EventTypes []EventType

	// Logger gets a record of each change, with the account and Access.Actor, and the
	// faults of our own side. Defaults to slog.Default().
	Logger *slog.Logger
}

// RateLimit is what an account may do.
type RateLimit struct {
	Limit     int       // requests in a window
	Remaining int       // of them
	Reset     time.Time // when the window ends
}

// EventType is a type of events that customers can subscribe to.
type EventType struct {
	Name        webhook.EventType
	Description string
	Group       string // defaults to Name up to its first dot
	Example     any    // the data of an example, for json.Marshal; defaults to webhook.SampleData
}

// Handler is the API. It is safe for concurrent use.
type Handler struct {
	engine *webhook.Engine
	opt    Options
	log    *slog.Logger
	prefix string // without a slash at its end
	mux    *http.ServeMux
	types  []eventTypeBody
	spec   []byte
}

// New returns a handler for the endpoints, events and deliveries of engine. All mistakes
// in opt come back in one [*webhook.ValidationError].
func New(engine *webhook.Engine, opt Options) (*Handler, error) {
	var v webhook.ValidationError
	wrong := func(field, problem string) {
		v.Fields = append(v.Fields, webhook.FieldError{Field: field, Problem: problem})
	}
	if engine == nil {
		wrong("engine", "is required")
	}
	if opt.Authorize == nil {
		wrong("Authorize", "is required: it says whose endpoints a request is about")
	}
	if opt.Prefix == "" {
		opt.Prefix = "/v1"
	}
	if !validPrefix(opt.Prefix) {
		wrong("Prefix", `must be a path such as "/v1", or "/"`)
	}
	if opt.Logger == nil {
		opt.Logger = slog.Default()
	}
	h := &Handler{
		engine: engine, opt: opt, log: safe.Logger(opt.Logger),
		prefix: strings.TrimSuffix(opt.Prefix, "/"), mux: http.NewServeMux(),
	}
	for i, p := range h.setEventTypes() {
		if p != "" {
			wrong("EventTypes["+itoa(i)+"]", p)
		}
	}
	if len(v.Fields) > 0 {
		return nil, &v
	}
	h.spec = specUnder(h.prefix)
	for path, r := range h.routes() {
		h.mux.Handle(h.prefix+path, h.route(r))
	}
	h.mux.Handle("/", h.route(nil))
	return h, nil
}

func validPrefix(p string) bool {
	if !strings.HasPrefix(p, "/") {
		return false
	}
	for _, r := range p {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("/-_.~", r) {
			return false
		}
	}
	return !strings.Contains(p, "//") && !slices.Contains(strings.Split(p, "/"), "..") && !slices.Contains(strings.Split(p, "/"), ".")
}

// Patterns returns the patterns of [http.ServeMux] that lead to the handler. The host's
// mux must route them all, and may have others under the same prefix.
func (h *Handler) Patterns() []string {
	p := h.prefix
	return []string{
		p + "/webhooks", p + "/webhooks/",
		p + "/webhook-deliveries", p + "/webhook-deliveries/",
		p + "/webhook-events", p + "/webhook-events/",
		p + "/webhook-event-types",
	}
}

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// operation does what one method of one path is for. What it returns is the response.
type operation func(*request) (response, error)

// methods are the operations of one path.
type methods map[string]operation

// request is one request at work.
type request struct {
	*http.Request
	h      *Handler
	access Access
	id     string
	body   []byte
	key    *idempotency // with an Idempotency-Key
}

// ctx is the request's.
func (r *request) ctx() context.Context { return r.Context() }

// account is the caller's.
func (r *request) account() string { return r.access.AccountID }

// response is a success.
type response struct {
	status int // 0: 200
	body   any
	etag   string
	raw    []byte // in place of body: as it was stored under an Idempotency-Key
	plain  bool   // never in an envelope

	repeated bool // raw is the response to an earlier request
}

// route serves one path; nil is none that there is.
func (h *Handler) route(m methods) http.Handler {
	allow := allowed(m)
	return http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
		r := &request{Request: hr, h: h, id: h.requestID(hr)}
		w.Header().Set("X-Request-Id", r.id)
		w.Header().Set("Cache-Control", "no-store") // bodies hold secrets, and what customers do
		defer safe.Recover(func(p *safe.Panic) {
			p.Log(h.log, "the management API")
			h.fail(w, r, errInternal)
		})
		if m == nil {
			h.fail(w, r, &apiError{status: http.StatusNotFound, code: "invalid_request", message: "there is no such path"})
			return
		}
		method := hr.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		op, ok := m[method]
		switch {
		case ok:
		case hr.Method == http.MethodOptions:
			w.Header().Set("Allow", allow)
			w.WriteHeader(http.StatusNoContent)
			return
		default:
			w.Header().Set("Allow", allow)
			h.fail(w, r, &apiError{status: http.StatusMethodNotAllowed, code: "invalid_request", message: "this path takes " + allow})
			return
		}
		out, err := h.serve(w, r, op)
		if err != nil {
			h.fail(w, r, err)
			return
		}
		h.write(w, r, out)
	})
}

func allowed(m methods) string {
	list := []string{http.MethodOptions}
	for method := range m {
		list = append(list, method)
		if method == http.MethodGet {
			list = append(list, http.MethodHead)
		}
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// serve lets the caller in, reads the body and runs op.
func (h *Handler) serve(w http.ResponseWriter, r *request, op operation) (response, error) {
	if strings.HasSuffix(r.URL.Path, "/openapi.json") {
		return op(r) // it holds nothing of any account
	}
	if err := h.admit(w, r); err != nil {
		return response{}, err
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return op(r)
	}
	if r.access.ReadOnly {
		return response{}, &apiError{status: http.StatusForbidden, code: "forbidden", message: "this access is for reading alone"}
	}
	if len(r.URL.RawQuery) > 0 {
		if _, err := query(r); err != nil {
			return response{}, err
		}
	}
	if err := r.readBody(w); err != nil {
		return response{}, err
	}
	return r.once(op)
}

// admit says who asks, and whether they may.
func (h *Handler) admit(w http.ResponseWriter, r *request) error {
	access, err := h.opt.Authorize(r.Request)
	switch {
	case errors.Is(err, ErrUnauthenticated):
		w.Header().Set("WWW-Authenticate", "Bearer")
		return &apiError{status: http.StatusUnauthorized, code: "unauthorized", message: "the credentials are missing or not valid"}
	case errors.Is(err, ErrForbidden):
		return &apiError{status: http.StatusForbidden, code: "forbidden", message: "these credentials do not allow this"}
	case err != nil:
		h.log.ErrorContext(r.ctx(), "webhookapi: Authorize failed", "error", err, "request_id", r.id)
		return errInternal
	case access.AccountID == "" && !h.opt.SingleTenant:
		h.log.ErrorContext(r.ctx(), "webhookapi: Authorize returned no AccountID; set Options.SingleTenant if there is but one account", "request_id", r.id)
		return errInternal
	}
	r.access = access
	if h.opt.Limit == nil {
		return nil
	}
	limit, err := h.opt.Limit(r.Request, access)
	if err == nil || errors.Is(err, ErrRateLimited) {
		limit.write(w.Header())
	}
	switch {
	case errors.Is(err, ErrRateLimited):
		if wait := time.Until(limit.Reset); wait > 0 {
			w.Header().Set("Retry-After", itoa(int((wait+time.Second-1)/time.Second)))
		}
		return &apiError{status: http.StatusTooManyRequests, code: "rate_limited", message: "too many requests: try again later"}
	case err != nil:
		h.log.ErrorContext(r.ctx(), "webhookapi: Limit failed", "error", err, "request_id", r.id)
		return errInternal
	}
	return nil
}

func (l RateLimit) write(h http.Header) {
	h.Set("X-RateLimit-Limit", itoa(l.Limit))
	h.Set("X-RateLimit-Remaining", itoa(max(0, l.Remaining)))
	h.Set("X-RateLimit-Reset", itoa(int(l.Reset.Unix())))
}

func (h *Handler) requestID(r *http.Request) string {
	if h.opt.RequestID != nil {
		if s := h.opt.RequestID(r); s != "" {
			return s
		}
	}
	return id.New("req_")
}

// changed logs a change.
func (r *request) changed(what string, attrs ...any) {
	r.h.log.InfoContext(r.ctx(), "webhookapi: "+what,
		append([]any{"account", r.access.AccountID, "actor", r.access.Actor, "request_id", r.id}, attrs...)...)
}
