package webhookui

import (
	"errors"
	"net/http"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/webhookapi"
)

// Portal is the dashboard of one account. It is safe for concurrent use.
type Portal struct {
	*ui
	opt    Options
	groups []group
}

// group is a group of event types.
type group struct {
	Name  string
	Types []webhookapi.EventType
}

// New returns the portal for the endpoints, events and deliveries of engine. All mistakes
// in opt come back in one [*webhook.ValidationError].
func New(engine *webhook.Engine, opt Options) (*Portal, error) {
	var v webhook.ValidationError
	wrong := func(field, problem string) {
		v.Fields = append(v.Fields, webhook.FieldError{Field: field, Problem: problem})
	}
	if opt.Authorize == nil {
		wrong("Authorize", "is required: it says whose endpoints a request is about")
	}
	p := &Portal{opt: opt}
	p.ui = newUI(engine, settings{opt.Brand, opt.Texts, opt.FrameAncestors, opt.Logger}, wrong)
	if len(v.Fields) > 0 {
		return nil, &v
	}
	p.groups = grouped(opt.EventTypes)
	for pattern, h := range map[string]page{
		"GET /{$}":                       p.endpoints,
		"GET /new":                       p.newEndpoint,
		"POST /new":                      p.create,
		"GET /endpoints/{id}":            p.endpoint,
		"POST /endpoints/{id}":           p.edit,
		"GET /endpoints/{id}/edit":       p.editForm,
		"GET /secret":                    p.secret, // beside the forms that make one: see hand
		"POST /endpoints/{id}/enable":    p.enable,
		"POST /endpoints/{id}/disable":   p.disable,
		"POST /rotate":                   p.rotate,
		"GET /endpoints/{id}/delete":     p.confirmDelete,
		"POST /endpoints/{id}/delete":    p.remove,
		"GET /endpoints/{id}/test":       p.testForm,
		"POST /endpoints/{id}/test":      p.test,
		"GET /endpoints/{id}/deliveries": p.deliveries,
		"GET /endpoints/{id}/retry":      p.confirmRetry,
		"POST /endpoints/{id}/retry":     p.retryAll,
		"GET /deliveries/{id}":           p.delivery,
		"POST /deliveries/{id}/retry":    p.retryOne,
		"GET /events/{id}":               p.event,
	} {
		p.mux.Handle(pattern, p.within(h))
	}
	p.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { p.fail(w, r, webhook.ErrNotFound) })
	return p, nil
}

// ServeHTTP implements [http.Handler]. Paths are those below where it is mounted, as
// http.StripPrefix makes them.
func (p *Portal) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.protect(p.mux).ServeHTTP(w, r) }

// visit is one request of somebody who was let in.
type visit struct {
	*http.Request
	w       http.ResponseWriter
	access  webhookapi.Access
	account string
}

// page shows a page or does what a form asks for.
type page func(*visit) error

// within lets the caller in, and shows what went wrong.
func (p *Portal) within(h page) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		access, err := p.opt.Authorize(r)
		if err == nil && access.AccountID == "" && !p.opt.SingleTenant {
			err = errors.New("webhookui: Authorize returned no AccountID; set Options.SingleTenant if there is but one account")
		}
		if err != nil {
			p.turnAway(w, r, err)
			return
		}
		v := &visit{Request: r, w: w, access: access, account: access.AccountID}
		if r.Method == http.MethodPost {
			if access.ReadOnly {
				p.fail(w, r, &pageError{http.StatusForbidden, "error.read_only"})
				return
			}
			r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
			if err := r.ParseForm(); err != nil {
				p.fail(w, r, &pageError{http.StatusBadRequest, "error.request"})
				return
			}
		}
		if err := h(v); err != nil {
			p.fail(w, r, err)
		}
	})
}

func (p *Portal) turnAway(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case !errors.Is(err, webhookapi.ErrUnauthenticated) && !errors.Is(err, webhookapi.ErrForbidden):
		p.fail(w, r, err)
	case p.opt.Unauthorized != nil:
		p.opt.Unauthorized.ServeHTTP(w, r)
	case errors.Is(err, webhookapi.ErrForbidden):
		p.fail(w, r, &pageError{http.StatusForbidden, "error.forbidden"})
	default:
		p.fail(w, r, &pageError{http.StatusUnauthorized, "error.unauthorized"})
	}
}

// show renders a page for a visit.
func (p *Portal) show(v *visit, page, title string, data any) error {
	p.render(v.w, v.Request, http.StatusOK, page, title, data)
	return nil
}

// refuse renders the page of a form again, with what is wrong beside its fields.
func (p *Portal) refuse(v *visit, page, title string, data any) error {
	p.render(v.w, v.Request, http.StatusUnprocessableEntity, page, title, data)
	return nil
}

// to sends the browser to another page, by a relative path.
func (v *visit) to(path string) error {
	v.w.Header().Set("Location", base(v.URL)+path)
	v.w.Header().Set("Cache-Control", "no-store")
	v.w.WriteHeader(http.StatusSeeOther)
	return nil
}

// changed logs a change.
func (p *Portal) changed(v *visit, what string, attrs ...any) {
	p.log.InfoContext(v.Context(), "webhookui: "+what, append([]any{"account", v.account, "actor", v.access.Actor}, attrs...)...)
}
