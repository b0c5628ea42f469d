package webhookui

import (
	"errors"
	"net/http"
	"time"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/webhookapi"
)

// Operator is the view of those who run the platform, across accounts. It changes
// nothing. It is safe for concurrent use.
type Operator struct {
	*ui
	authorize func(*http.Request) error
}

// NewOperator returns the operator's view of engine. All mistakes in opt come back in one
// [*webhook.ValidationError].
func NewOperator(engine *webhook.Engine, opt OperatorOptions) (*Operator, error) {
	var v webhook.ValidationError
	wrong := func(field, problem string) {
		v.Fields = append(v.Fields, webhook.FieldError{Field: field, Problem: problem})
	}
	if opt.Authorize == nil {
		wrong("Authorize", "is required: it says who may see all accounts")
	}
	o := &Operator{authorize: opt.Authorize}
	o.ui = newUI(engine, settings{opt.Brand, opt.Texts, opt.FrameAncestors, opt.Logger}, wrong)
	if len(v.Fields) > 0 {
		return nil, &v
	}
	o.mux.HandleFunc("GET /{$}", o.overview)
	o.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { o.fail(w, r, webhook.ErrNotFound) })
	return o, nil
}

// ServeHTTP implements [http.Handler]. Paths are those below where it is mounted.
func (o *Operator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.protect(o.mux).ServeHTTP(w, r)
}

// overview is what the operator sees.
type overview struct {
	webhook.Stats
	Failing []webhook.Endpoint
	Next    string
	Later   bool // it is not the first page
	Status  string
	Oldest  []webhook.EndpointBacklog
	Now     time.Time
}

func (o *Operator) overview(w http.ResponseWriter, r *http.Request) {
	switch err := o.authorize(r); {
	case errors.Is(err, webhookapi.ErrForbidden):
		o.fail(w, r, &pageError{http.StatusForbidden, "error.forbidden"})
		return
	case errors.Is(err, webhookapi.ErrUnauthenticated):
		o.fail(w, r, &pageError{http.StatusUnauthorized, "error.unauthorized"})
		return
	case err != nil:
		o.fail(w, r, err)
		return
	}
	q := r.URL.Query()
	view := overview{Status: q.Get("status"), Later: q.Get("cursor") != "", Now: time.Now().UTC()}
	var err error
	if view.Stats, err = o.engine.Stats(r.Context()); err != nil {
		o.fail(w, r, err)
		return
	}
	failing, err := o.engine.FailingEndpoints(r.Context(), webhook.FailingQuery{Status: webhook.EndpointStatus(view.Status), Cursor: q.Get("cursor"), Limit: pageSize})
	if err != nil {
		o.fail(w, r, err)
		return
	}
	view.Failing, view.Next = failing.Items, failing.Next
	if view.Oldest, err = o.engine.OldestDue(r.Context(), pageSize); err != nil {
		o.fail(w, r, err)
		return
	}
	o.render(w, r, http.StatusOK, "operator", o.texts["operator.title"], view)
}
