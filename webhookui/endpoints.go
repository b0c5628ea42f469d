package webhookui

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/webhookapi"
)

// pageSize is how many items a list shows at once.
const pageSize = 20

// row is an endpoint in the list.
type row struct {
	webhook.Endpoint
	Pending, Held int
	Spark         *chart // nil: no statistics are kept
}

// listing is the page of endpoints.
type listing struct {
	Rows     []row
	Total    int
	Status   string
	Next     string
	Later    bool // it is not the first page
	ReadOnly bool
	Tallies  bool
}

func (p *Portal) endpoints(v *visit) error {
	q := v.URL.Query()
	status := webhook.EndpointStatus(q.Get("status"))
	list, err := p.engine.ListEndpoints(v.Context(), v.account, webhook.EndpointQuery{Status: status, Cursor: q.Get("cursor"), Limit: pageSize})
	if err != nil {
		return err
	}
	total, err := p.engine.CountEndpoints(v.Context(), v.account, status)
	if err != nil {
		return err
	}
	l := listing{Total: total, Status: string(status), Next: list.Next, Later: q.Get("cursor") != "", ReadOnly: v.access.ReadOnly}
	ids := make([]string, len(list.Items))
	for i, ep := range list.Items {
		ids[i] = ep.ID
		l.Rows = append(l.Rows, row{Endpoint: ep})
	}
	health, err := p.engine.EndpointsHealth(v.Context(), v.account, ids)
	if err != nil {
		return err
	}
	for _, h := range health {
		if i := slices.Index(ids, h.EndpointID); i >= 0 {
			l.Rows[i].Pending, l.Rows[i].Held = h.Pending, h.Held
		}
	}
	charts, err := p.charts(v.Context(), v.account, ids)
	if err != nil {
		return err
	}
	for i := range l.Rows {
		l.Rows[i].Spark = charts[ids[i]]
	}
	l.Tallies = charts != nil
	return p.show(v, "endpoints", p.texts["endpoints.title"], l)
}

// charts returns the charts of the last 24 hours by endpoint, or nil where the platform
// keeps no statistics.
func (p *Portal) charts(ctx context.Context, account string, ids []string) (map[string]*chart, error) {
	until := time.Now().UTC().Truncate(time.Hour).Add(time.Hour)
	from := until.Add(-24 * time.Hour)
	all, err := p.engine.Tallies(ctx, account, webhook.TallyQuery{EndpointIDs: ids, From: from, Until: until})
	if errors.Is(err, errors.ErrUnsupported) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	charts := make(map[string]*chart, len(ids))
	for _, id := range ids {
		charts[id] = newChart(all[id], from, 24)
	}
	return charts, nil
}

// form is what somebody typed, and what is wrong with it.
type form struct {
	ID          string
	URL         string
	Description string
	All         bool
	Chosen      map[string]bool
	Other       string // types that are not among the checkboxes, separated by spaces
	Headers     string // lines of "Name: value"
	Present     []string
	Groups      []group
	Key         string // so that a form that is sent twice makes one endpoint
	Revision    string
	Wrong       map[string]string // by field
	ReadOnly    bool
}

func (p *Portal) newEndpoint(v *visit) error {
	return p.show(v, "new", p.texts["new.title"], form{All: true, Groups: p.groups, Key: newKey(), ReadOnly: v.access.ReadOnly})
}

// typed reads a form.
func (p *Portal) typed(v *visit) form {
	f := form{
		ID: v.PathValue("id"), URL: strings.TrimSpace(v.PostFormValue("url")), Description: v.PostFormValue("description"),
		All: v.PostFormValue("which") != "some", Chosen: map[string]bool{}, Other: v.PostFormValue("other"),
		Headers: v.PostFormValue("headers"), Groups: p.groups, Key: v.PostFormValue("key"), Revision: v.PostFormValue("revision"),
		Wrong: map[string]string{},
	}
	for _, t := range v.PostForm["event"] {
		f.Chosen[t] = true
	}
	return f
}

// events returns the subscription that a form asks for.
func (f form) events() []webhook.EventType {
	if f.All {
		return []webhook.EventType{"*"}
	}
	events := []webhook.EventType{}
	for _, g := range f.Groups {
		for _, t := range g.Types {
			if f.Chosen[string(t.Name)] {
				events = append(events, t.Name)
			}
		}
	}
	for _, t := range strings.FieldsFunc(f.Other, func(r rune) bool { return r == ' ' || r == ',' || r == '\n' || r == '\r' }) {
		events = append(events, webhook.EventType(t))
	}
	return events
}

// headers reads lines of "Name: value"; a value that is empty removes the header.
func (f *form) headers(texts map[string]string) webhook.HeaderChanges {
	changes := webhook.HeaderChanges{}
	for line := range strings.Lines(f.Headers) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		switch {
		case !ok:
			f.Wrong["headers"] = texts["form.header"]
		case value == "":
			changes[name] = nil
		default:
			changes[name] = &value
		}
	}
	return changes
}

// wrong puts what an error says beside the fields. ok is false for an error that is not
// about the form.
func (p *Portal) wrong(f *form, err error) (ok bool) {
	var v *webhook.ValidationError
	var u *webhook.URLError
	var reach *webhook.UnreachableError
	if errors.As(err, &u) {
		f.Wrong["url"], ok = u.Message(), true
	}
	if errors.As(err, &reach) {
		f.Wrong["url"], ok = reach.Message(), true
	}
	if errors.As(err, &v) {
		for _, field := range v.Fields {
			name, _, _ := strings.Cut(field.Path, ".")
			name, _, _ = strings.Cut(name, "[")
			f.Wrong[cmp.Or(name, "form")] = strings.TrimSpace(field.Path + " " + field.Problem)
		}
		ok = true
	}
	if errors.Is(err, webhook.ErrEndpointLimit) {
		f.Wrong["form"], ok = p.texts["error.limit"], true
	}
	return ok
}

func (p *Portal) create(v *visit) error {
	f := p.typed(v)
	headers := webhook.Headers{}
	for name, value := range f.headers(p.texts) {
		if value != nil {
			headers[name] = *value
		}
	}
	if !f.All && len(f.events()) == 0 {
		f.Wrong["events"] = p.texts["form.events"]
	}
	if len(f.Wrong) > 0 {
		return p.refuse(v, "new", p.texts["new.title"], f)
	}
	params := webhook.EndpointParams{
		AccountID: v.account, URL: f.URL, Events: f.events(), Description: f.Description, Headers: headers,
		CheckReachable: p.opt.CheckReachable,
	}
	mark, stored, err := p.engine.BeginIdempotent(v.Context(), v.account, webhook.IdempotencyParams{
		Key: "form:" + f.Key, Fingerprint: fmt.Sprintf("%x", sha256.Sum256([]byte(v.PostForm.Encode()))), Running: time.Minute, Keep: time.Hour,
	})
	switch {
	case errors.Is(err, webhook.ErrIdempotencyRunning), errors.Is(err, webhook.ErrIdempotencyReused):
		f.Wrong["form"], f.Key = p.texts["error.twice"], newKey()
		return p.refuse(v, "new", p.texts["new.title"], f)
	case err != nil:
		return err
	case stored != nil: // it was sent twice
		return v.to("endpoints/" + string(stored))
	}
	mark.Response = func(ep webhook.Endpoint, _ webhook.Secret) ([]byte, error) { return []byte(ep.ID), nil }
	params.Idempotency = mark
	ep, secret, err := p.engine.CreateEndpoint(v.Context(), params)
	if err != nil {
		if undo := p.engine.AbandonIdempotent(v.Context(), v.account, mark); undo != nil {
			p.log.WarnContext(v.Context(), "webhookui: the mark of a form stays for a minute", "error", undo)
		}
		if p.wrong(&f, err) {
			f.Key = newKey()
			return p.refuse(v, "new", p.texts["new.title"], f)
		}
		return err
	}
	p.changed(v, "endpoint created", "endpoint", ep.ID)
	return v.hand(ep.ID, secret)
}

// secretCookie carries a new secret from the form to the page that shows it once. It has
// no path: the browser gives it that of the form, which that page shares, whatever the
// prefix is outside.
const secretCookie = "webhook_secret"

// hand gives a secret to the next page.
func (v *visit) hand(id string, s webhook.Secret) error {
	http.SetCookie(v.w, &http.Cookie{ // #nosec G124 -- Secure where the request came over TLS; the host may serve its own machine alone
		Name: secretCookie, Value: base64.RawURLEncoding.EncodeToString([]byte(id + " " + s.Reveal())),
		HttpOnly: true, Secure: v.TLS != nil || v.Header.Get("X-Forwarded-Proto") == "https", SameSite: http.SameSiteStrictMode, MaxAge: 60,
	})
	return v.to("secret?endpoint=" + id)
}

// secretPage shows a secret once.
type secretPage struct {
	webhook.Endpoint
	Secret  string // empty: it was shown before
	Rotated bool
}

func (p *Portal) secret(v *visit) error {
	ep, err := p.engine.GetEndpoint(v.Context(), v.account, v.URL.Query().Get("endpoint"))
	if err != nil {
		return err
	}
	s := secretPage{Endpoint: ep, Rotated: len(ep.SecretHints) > 1}
	if c, err := v.Cookie(secretCookie); err == nil {
		raw, _ := base64.RawURLEncoding.DecodeString(c.Value) // what is not ours shows nothing
		if id, secret, ok := strings.Cut(string(raw), " "); ok && id == ep.ID {
			s.Secret = secret
		}
		http.SetCookie(v.w, &http.Cookie{ /* #nosec G124 -- it takes the cookie away */ Name: secretCookie, HttpOnly: true, SameSite: http.SameSiteStrictMode, MaxAge: -1})
	}
	return p.show(v, "secret", p.texts["secret.title"], s)
}

// detail is the page of one endpoint.
type detail struct {
	webhook.Endpoint
	Health   webhook.EndpointHealth
	Chart    *chart
	Attempts []webhook.Attempt
	Advice   string // the key of a text
	Released *release
	ReadOnly bool
}

func (p *Portal) endpoint(v *visit) error {
	id := v.PathValue("id")
	ep, err := p.engine.GetEndpoint(v.Context(), v.account, id)
	if err != nil {
		return err
	}
	health, err := p.engine.EndpointHealth(v.Context(), v.account, id)
	if err != nil {
		return err
	}
	attempts, err := p.engine.LastAttempts(v.Context(), v.account, id, 10)
	if err != nil {
		return err
	}
	charts, err := p.charts(v.Context(), v.account, []string{id})
	if err != nil {
		return err
	}
	return p.show(v, "endpoint", ep.URL, detail{
		Endpoint: ep, Health: health, Chart: charts[id], Attempts: attempts, Advice: advice(health),
		Released: releaseOf(health, v.URL.Query().Get("held")), ReadOnly: v.access.ReadOnly,
	})
}

// advice returns the key of what the customer should do.
func advice(h webhook.EndpointHealth) string {
	failure := h.LastFailure
	switch {
	case h.Status == webhook.EndpointActive:
		return ""
	case h.DisabledReason == webhook.DisabledManually:
		return "advice.manual"
	case h.DisabledReason == webhook.DisabledGone:
		return "advice.gone"
	}
	switch failure.Failure {
	case webhook.FailureHTTPStatus:
		switch {
		case failure.StatusCode == 401 || failure.StatusCode == 403:
			return "advice.forbidden"
		case failure.StatusCode == 404 || failure.StatusCode == 405:
			return "advice.missing"
		case failure.StatusCode == 429:
			return "advice.limited"
		case failure.StatusCode >= 400 && failure.StatusCode < 500:
			return "advice.client"
		}
		return "advice.server"
	case webhook.FailureRedirect:
		return "advice.redirect"
	case webhook.FailureTimeout:
		return "advice.timeout"
	}
	return "advice.connection"
}

func (p *Portal) editForm(v *visit) error {
	ep, err := p.engine.GetEndpoint(v.Context(), v.account, v.PathValue("id"))
	if err != nil {
		return err
	}
	f := form{
		ID: ep.ID, URL: ep.URL, Description: ep.Description, All: slices.Contains(ep.Events, "*"), Chosen: map[string]bool{},
		Present: ep.HeaderNames, Groups: p.groups, Revision: strconv.FormatInt(ep.Revision, 10),
	}
	var other []string
	for _, t := range ep.Events {
		if t != "*" && !p.offers(t) {
			other = append(other, string(t))
		}
		f.Chosen[string(t)] = true
	}
	f.Other = strings.Join(other, " ")
	return p.show(v, "edit", p.texts["edit.title"], f)
}

// offers reports whether there is a checkbox for a type.
func (p *Portal) offers(t webhook.EventType) bool {
	return slices.ContainsFunc(p.groups, func(g group) bool {
		return slices.ContainsFunc(g.Types, func(known webhookapi.EventType) bool { return known.Name == t })
	})
}

func (p *Portal) edit(v *visit) error {
	f := p.typed(v)
	c := webhook.EndpointChange{URL: &f.URL, Events: f.events(), Description: &f.Description, CheckReachable: p.opt.CheckReachable}
	if headers := f.headers(p.texts); len(headers) > 0 {
		c.Headers = headers
	}
	if len(c.Events) == 0 {
		f.Wrong["events"] = p.texts["form.events"]
	}
	revision, err := strconv.ParseInt(f.Revision, 10, 64)
	if err != nil || revision < 1 {
		return &pageError{http.StatusBadRequest, "error.request"}
	}
	c.IfRevision = revision
	if len(f.Wrong) == 0 {
		_, err := p.engine.UpdateEndpoint(v.Context(), v.account, f.ID, c)
		if err == nil {
			p.changed(v, "endpoint changed", "endpoint", f.ID)
			return v.to("endpoints/" + f.ID + "?done=saved")
		}
		if !p.wrong(&f, err) {
			return err
		}
	}
	return p.refuse(v, "edit", p.texts["edit.title"], f)
}

func (p *Portal) rotate(v *visit) error {
	out, err := p.engine.RotateSecret(v.Context(), v.account, v.PostFormValue("endpoint"), webhook.RotateParams{})
	if err != nil {
		return err
	}
	p.changed(v, "secret rotated", "endpoint", out.Endpoint.ID)
	return v.hand(out.Endpoint.ID, out.Secret)
}

func (p *Portal) confirmDelete(v *visit) error {
	id := v.PathValue("id")
	health, err := p.engine.EndpointHealth(v.Context(), v.account, id)
	if err != nil {
		return err
	}
	return p.show(v, "delete", p.texts["delete.title"], health)
}

func (p *Portal) remove(v *visit) error {
	id := v.PathValue("id")
	if err := p.engine.DeleteEndpoint(v.Context(), v.account, id); err != nil {
		return err
	}
	p.changed(v, "endpoint deleted", "endpoint", id)
	return v.to("?done=deleted")
}
