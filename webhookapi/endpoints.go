package webhookapi

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringyo-ai/webhook"
)

// createdBody is an endpoint as the response to its creation shows it, the only one that
// has its secret besides that of a rotation.
type createdBody struct {
	ID          string              `json:"id"`
	URL         string              `json:"url"`
	Events      []webhook.EventType `json:"events"`
	Secret      string              `json:"secret"`
	Description string              `json:"description"`
	Status      string              `json:"status"`
	Metadata    map[string]string   `json:"metadata"`
	CreatedAt   when                `json:"created_at"`
}

// itemBody is an endpoint in a list.
type itemBody struct {
	ID              string              `json:"id"`
	URL             string              `json:"url"`
	Events          []webhook.EventType `json:"events"`
	Description     string              `json:"description"`
	Status          string              `json:"status"`
	Metadata        map[string]string   `json:"metadata"`
	LastTriggeredAt when                `json:"last_triggered_at"`
	CreatedAt       when                `json:"created_at"`
}

// endpointBody is an endpoint by itself.
type endpointBody struct {
	itemBody
	UpdatedAt           when     `json:"updated_at"`
	DisabledReason      text     `json:"disabled_reason"`
	ConsecutiveFailures int      `json:"consecutive_failures"`
	SecretHint          text     `json:"secret_hint"`
	SecretExpiresAt     when     `json:"secret_expires_at"`
	HeaderNames         []string `json:"header_names"`
}

// rotatedBody is the response to a rotation.
type rotatedBody struct {
	ID              string `json:"id"`
	Secret          string `json:"secret"`
	SecretHint      text   `json:"secret_hint"`
	SecretExpiresAt when   `json:"secret_expires_at"`
}

type deletedBody struct {
	ID      string `json:"id"`
	Deleted bool   `json:"deleted"`
}

func itemOf(ep webhook.Endpoint) itemBody {
	b := itemBody{
		ID: ep.ID, URL: ep.URL, Events: ep.Events, Description: ep.Description, Status: string(ep.Status),
		Metadata: ep.Metadata, LastTriggeredAt: when(ep.LastTriggeredAt), CreatedAt: when(ep.CreatedAt),
	}
	if b.Metadata == nil {
		b.Metadata = map[string]string{}
	}
	if b.Events == nil {
		b.Events = []webhook.EventType{} // they cannot be read
	}
	return b
}

func bodyOf(ep webhook.Endpoint) endpointBody {
	b := endpointBody{
		itemBody: itemOf(ep), UpdatedAt: when(ep.UpdatedAt), DisabledReason: text(ep.DisabledReason),
		ConsecutiveFailures: ep.ConsecutiveFailures, HeaderNames: ep.HeaderNames,
	}
	if b.HeaderNames == nil {
		b.HeaderNames = []string{}
	}
	if len(ep.SecretHints) > 0 {
		b.SecretHint = text(ep.SecretHints[0].Hint)
	}
	b.SecretExpiresAt = when(oldSecretsEnd(ep))
	return b
}

// oldSecretsEnd returns when the last of an endpoint's old secrets expires, or zero.
func oldSecretsEnd(ep webhook.Endpoint) (end time.Time) {
	for _, s := range ep.SecretHints {
		if s.ExpiresAt.After(end) {
			end = s.ExpiresAt
		}
	}
	return end
}

func etagOf(ep webhook.Endpoint) string { return `"` + strconv.FormatInt(ep.Revision, 10) + `"` }

func created(ep webhook.Endpoint, s webhook.Secret) response {
	b := itemOf(ep)
	return response{status: http.StatusCreated, etag: etagOf(ep), body: createdBody{
		ID: b.ID, URL: b.URL, Events: b.Events, Secret: s.Reveal(), Description: b.Description, Status: b.Status,
		Metadata: b.Metadata, CreatedAt: b.CreatedAt,
	}}
}

func rotated(ep webhook.Endpoint, s webhook.Secret) response {
	b := bodyOf(ep)
	return response{etag: etagOf(ep), body: rotatedBody{ID: b.ID, Secret: s.Reveal(), SecretHint: b.SecretHint, SecretExpiresAt: b.SecretExpiresAt}}
}

func shown(ep webhook.Endpoint) response { return response{etag: etagOf(ep), body: bodyOf(ep)} }

func listEndpoints(r *request) (response, error) {
	p, err := query(r, "limit", "cursor", "status")
	if err != nil {
		return response{}, err
	}
	q := webhook.EndpointQuery{
		Limit: p.limit(), Cursor: p.get("cursor"),
		Status: word(p, "status", webhook.EndpointActive, webhook.EndpointInactive, webhook.EndpointFailing),
	}
	if err := p.err(); err != nil {
		return response{}, err
	}
	list, err := r.h.engine.ListEndpoints(r.ctx(), r.account(), q)
	if err != nil {
		return response{}, badList(err, q.Cursor, "")
	}
	total, err := r.h.engine.CountEndpoints(r.ctx(), r.account(), q.Status)
	if err != nil {
		return response{}, err
	}
	return response{body: countedPage[itemBody]{pageOf(list.Items, list.Next, itemOf), total}}, nil
}

func createEndpoint(r *request) (response, error) {
	o, err := r.object("url", "events", "secret", "description", "metadata", "headers")
	if err != nil {
		return response{}, err
	}
	p := webhook.EndpointParams{AccountID: r.account(), CheckReachable: r.h.opt.CheckReachable}
	if !o.has("url") {
		o.wrong("url", "is required")
	}
	if !o.has("events") {
		o.wrong("events", "is required")
	}
	p.URL, _ = o.string("url")
	p.Events, _ = list[webhook.EventType](o, "events")
	p.Description, _ = o.optional("description")
	if m, ok := o.optionalStrings("metadata"); ok {
		p.Metadata = m
	}
	if m, ok := o.optionalStrings("headers"); ok {
		p.Headers = m
	}
	if o.has("secret") && !o.null("secret") {
		p.Secret = o.secret("secret")
	}
	o.code("url", "invalid_url")
	o.code("events", "invalid_events")
	if err := o.err(); err != nil {
		return response{}, err
	}
	p.Idempotency = r.key.within(created)
	ep, secret, err := r.h.engine.CreateEndpoint(r.ctx(), p)
	if err != nil {
		return response{}, err
	}
	r.changed("endpoint created", "endpoint", ep.ID)
	return created(ep, secret), nil
}

// optionalStrings is strings of a field that may be null, which is none.
func (o *object) optionalStrings(name string) (map[string]string, bool) {
	if o.null(name) {
		return nil, false
	}
	m, ok := o.strings(name, false)
	return values(m), ok
}

// secret reads a secret that the customer chose. What is wrong with it is said without it.
func (o *object) secret(name string) webhook.Secret {
	s, ok := o.string(name)
	if !ok {
		return webhook.Secret{}
	}
	secret, err := webhook.ParseSecret(s)
	if err != nil {
		o.wrong(name, `must be "whsec_" and the base64 of 24 to 64 random bytes`)
	}
	return secret
}

func getEndpoint(r *request) (response, error) {
	if _, err := query(r); err != nil {
		return response{}, err
	}
	ep, err := r.h.engine.GetEndpoint(r.ctx(), r.account(), r.PathValue("id"))
	if err != nil {
		return response{}, err
	}
	return shown(ep), nil
}

func patchEndpoint(r *request) (response, error) {
	o, err := r.object("url", "events", "description", "metadata", "headers", "status")
	if err != nil {
		return response{}, err
	}
	c := webhook.EndpointChange{CheckReachable: r.h.opt.CheckReachable}
	if s, ok := o.string("url"); ok {
		c.URL = &s
	}
	if events, ok := list[webhook.EventType](o, "events"); ok {
		c.Events = events
	}
	if s, ok := o.optional("description"); ok {
		c.Description = &s
	}
	clear := map[string]bool{}
	for name, set := range map[string]func(map[string]*string){
		"metadata": func(m map[string]*string) { c.Metadata = m },
		"headers":  func(m map[string]*string) { c.Headers = m },
	} {
		if o.null(name) {
			clear[name] = true
		} else if m, ok := o.strings(name, true); ok {
			set(m)
		}
	}
	if s, ok := o.string("status"); ok {
		enabled := s == string(webhook.EndpointActive)
		if !enabled && s != string(webhook.EndpointInactive) {
			o.wrong("status", "must be active or inactive")
		}
		c.Enabled = &enabled
	}
	o.code("url", "invalid_url")
	o.code("events", "invalid_events")
	if err := o.err(); err != nil {
		return response{}, err
	}
	if c.IfRevision, err = r.ifMatch(); err != nil {
		return response{}, err
	}
	ep, err := r.update(c, clear)
	if err != nil {
		return response{}, err
	}
	r.changed("endpoint changed", "endpoint", ep.ID, "fields", sortedNames(o))
	return shown(ep), nil
}

func sortedNames(o *object) []string {
	names := make([]string, 0, len(o.fields))
	for name := range o.fields {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// update changes an endpoint. What is to be cleared is removed by its names, from the
// endpoint as it is then.
func (r *request) update(c webhook.EndpointChange, clear map[string]bool) (webhook.Endpoint, error) {
	given := c.IfRevision
	for try := 0; ; try++ {
		if len(clear) > 0 {
			ep, err := r.h.engine.GetEndpoint(r.ctx(), r.account(), r.PathValue("id"))
			if err != nil {
				return ep, err
			}
			if clear["metadata"] {
				c.Metadata = webhook.MetadataChanges{}
				for name := range ep.Metadata {
					c.Metadata[name] = nil
				}
			}
			if clear["headers"] {
				c.Headers = webhook.HeaderChanges{}
				for _, name := range ep.HeaderNames {
					c.Headers[name] = nil
				}
			}
			if given == 0 {
				c.IfRevision = ep.Revision
			}
		}
		ep, err := r.h.engine.UpdateEndpoint(r.ctx(), r.account(), r.PathValue("id"), c)
		if errors.Is(err, webhook.ErrRevisionMismatch) && given == 0 && try < 10 {
			continue
		}
		return ep, err
	}
}

// ifMatch returns the revision that If-Match asks for, or 0.
func (r *request) ifMatch() (int64, error) {
	text := strings.Join(r.Header.Values("If-Match"), ",")
	if text == "" || strings.TrimSpace(text) == "*" {
		return 0, nil // an endpoint that does not exist is reported in any case
	}
	var list []int64
	for _, tag := range strings.Split(text, ",") {
		tag = strings.TrimSpace(tag)
		weak := strings.HasPrefix(tag, "W/")
		inner, opened := strings.CutPrefix(strings.TrimPrefix(tag, "W/"), `"`)
		inner, closed := strings.CutSuffix(inner, `"`)
		if !opened || !closed {
			return 0, refused("If-Match", "If-Match must hold ETags in double quotes")
		}
		if n, err := strconv.ParseInt(inner, 10, 64); err == nil && n > 0 && !weak && strconv.FormatInt(n, 10) == inner {
			list = append(list, n)
		}
	}
	if len(list) == 0 {
		list = append(list, -1) // none of ours: it matches nothing
	}
	if len(list) == 1 {
		return list[0], nil
	}
	ep, err := r.h.engine.GetEndpoint(r.ctx(), r.account(), r.PathValue("id"))
	if err != nil {
		return 0, err
	}
	if slices.Contains(list, ep.Revision) {
		return ep.Revision, nil
	}
	return -1, nil
}

func deleteEndpoint(r *request) (response, error) {
	if err := r.noFields(); err != nil {
		return response{}, err
	}
	revision, err := r.ifMatch()
	if err != nil {
		return response{}, err
	}
	id := r.PathValue("id")
	if err := r.h.engine.DeleteEndpointIf(r.ctx(), r.account(), id, revision); err != nil {
		return response{}, err
	}
	r.changed("endpoint deleted", "endpoint", id)
	return response{body: deletedBody{id, true}}, nil
}

func enableEndpoint(r *request) (response, error)  { return r.switchTo(true, "endpoint enabled") }
func disableEndpoint(r *request) (response, error) { return r.switchTo(false, "endpoint disabled") }

func (r *request) switchTo(enabled bool, what string) (response, error) {
	err := r.noFields()
	if err != nil {
		return response{}, err
	}
	c := webhook.EndpointChange{Enabled: &enabled, Idempotency: r.key.within(func(ep webhook.Endpoint, _ webhook.Secret) response { return shown(ep) })}
	if c.IfRevision, err = r.ifMatch(); err != nil {
		return response{}, err
	}
	ep, err := r.h.engine.UpdateEndpoint(r.ctx(), r.account(), r.PathValue("id"), c)
	if err != nil {
		return response{}, err
	}
	r.changed(what, "endpoint", ep.ID)
	return shown(ep), nil
}

func rotateSecret(r *request) (response, error) {
	o, err := r.object("secret", "overlap_seconds")
	if err != nil {
		return response{}, err
	}
	p := webhook.RotateParams{}
	if o.has("secret") && !o.null("secret") {
		p.Secret = o.secret("secret")
	}
	if n, ok := o.int("overlap_seconds"); ok {
		switch {
		case n < 0 || n > int(maxOverlap/time.Second):
			o.wrong("overlap_seconds", "must lie between 0 and 2592000, which is 30 days")
		case n == 0:
			p.Overlap = -1
		default:
			p.Overlap = time.Duration(n) * time.Second
		}
	}
	if err := o.err(); err != nil {
		return response{}, err
	}
	if p.IfRevision, err = r.ifMatch(); err != nil {
		return response{}, err
	}
	p.Idempotency = r.key.within(rotated)
	out, err := r.h.engine.RotateSecret(r.ctx(), r.account(), r.PathValue("id"), p)
	if err != nil {
		return response{}, err
	}
	r.changed("secret rotated", "endpoint", out.Endpoint.ID)
	return rotated(out.Endpoint, out.Secret), nil
}

// maxOverlap is the longest time for which a customer can keep an old secret valid.
const maxOverlap = 30 * 24 * time.Hour
