package webhookapi

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ringyo-ai/webhook"
)

// deliveryBody is the sending of one event to one endpoint.
type deliveryBody struct {
	ID            string `json:"id"`
	WebhookID     string `json:"webhook_id"`
	EventID       string `json:"event_id"`
	Event         string `json:"event"`
	Status        string `json:"status"`
	Reason        text   `json:"reason"`
	Attempts      int    `json:"attempts"`
	NextAttemptAt when   `json:"next_attempt_at"`
	CreatedAt     when   `json:"created_at"`
	CompletedAt   when   `json:"completed_at"`
}

// attemptBody is one request of a delivery.
type attemptBody struct {
	ID           string `json:"id"`
	Number       int    `json:"number"`
	At           when   `json:"at"`
	DurationMS   int64  `json:"duration_ms"`
	StatusCode   *int   `json:"status_code"`
	Failure      text   `json:"failure"`
	Detail       text   `json:"detail"`
	Location     text   `json:"location"`
	ResponseBody text   `json:"response_body"`
}

func deliveryOf(d webhook.Delivery) deliveryBody {
	return deliveryBody{
		ID: d.ID, WebhookID: d.EndpointID, EventID: d.EventID, Event: string(d.EventType), Status: string(d.Status),
		Reason: text(d.Reason), Attempts: d.Attempts, NextAttemptAt: when(d.NextAttemptAt), CreatedAt: when(d.CreatedAt),
		CompletedAt: when(d.CompletedAt),
	}
}

func attemptOf(a webhook.Attempt) attemptBody {
	return attemptBody{
		ID: a.ID, Number: a.Number, At: when(a.At), DurationMS: a.Duration.Milliseconds(), StatusCode: statusCode(a.StatusCode),
		Failure: text(a.Failure), Detail: text(a.Detail), Location: text(a.Location), ResponseBody: peerText(a.ResponseBody),
	}
}

// statusCode is null where there was no response.
func statusCode(code int) *int {
	if code == 0 {
		return nil
	}
	return &code
}

// peerText is what a receiver sent, with U+FFFD for what is no UTF-8.
func peerText(b []byte) text {
	if utf8.Valid(b) {
		return text(b)
	}
	return text(strings.ToValidUTF8(string(b), "\uFFFD"))
}

var deliveryStatuses = []webhook.DeliveryStatus{
	webhook.DeliveryPending, webhook.DeliveryHeld, webhook.DeliveryDelivered, webhook.DeliveryExhausted, webhook.DeliveryCancelled,
}

func listDeliveries(r *request) (response, error) {
	p, err := query(r, "limit", "cursor", "status", "event", "from", "until", "webhook_id", "event_id")
	if err != nil {
		return response{}, err
	}
	return r.deliveries(p, webhook.DeliveryQuery{EndpointID: p.get("webhook_id"), EventID: p.get("event_id")})
}

func endpointDeliveries(r *request) (response, error) {
	p, err := query(r, "limit", "cursor", "status", "event", "from", "until")
	if err != nil {
		return response{}, err
	}
	return r.deliveries(p, webhook.DeliveryQuery{EndpointID: r.PathValue("id")})
}

func (r *request) deliveries(p *params, q webhook.DeliveryQuery) (response, error) {
	q.Limit, q.Cursor = p.limit(), p.get("cursor")
	q.Status, q.Types = word(p, "status", deliveryStatuses...), p.types("event")
	q.From, q.Until = p.time("from"), p.time("until")
	if err := p.err(); err != nil {
		return response{}, err
	}
	list, err := r.h.engine.ListDeliveries(r.ctx(), r.account(), q)
	if err != nil {
		return response{}, badList(err, q.Cursor, "event")
	}
	return response{body: pageOf(list.Items, list.Next, deliveryOf)}, nil
}

func getDelivery(r *request) (response, error) {
	if _, err := query(r); err != nil {
		return response{}, err
	}
	d, err := r.h.engine.GetDelivery(r.ctx(), r.account(), r.PathValue("id"))
	if err != nil {
		return response{}, err
	}
	return response{body: deliveryOf(d)}, nil
}

func listAttempts(r *request) (response, error) {
	if _, err := query(r); err != nil {
		return response{}, err
	}
	list, err := r.h.engine.ListAttempts(r.ctx(), r.account(), r.PathValue("id"))
	if err != nil {
		return response{}, err
	}
	return response{body: pageOf(list, "", attemptOf)}, nil
}

func retryDelivery(r *request) (response, error) {
	err := r.noFields()
	if err != nil {
		return response{}, err
	}
	d, err := r.h.engine.Redeliver(r.ctx(), r.account(), r.PathValue("id"))
	if err != nil {
		return response{}, err
	}
	r.changed("delivery retried", "delivery", d.ID)
	return response{body: deliveryOf(d)}, nil
}

// replayedBody is the response to a replay.
type replayedBody struct {
	Count  int  `json:"count"`
	DryRun bool `json:"dry_run"`
}

func replay(r *request) (response, error) {
	o, err := r.object("since", "until", "events", "status", "dry_run")
	if err != nil {
		return response{}, err
	}
	q := webhook.ReplayQuery{Since: o.time("since"), Until: o.time("until"), DryRun: o.bool("dry_run")}
	q.Types, _ = list[webhook.EventType](o, "events")
	q.Statuses, _ = list[webhook.DeliveryStatus](o, "status")
	for i, s := range q.Statuses {
		if !slices.Contains(replayable, s) {
			o.wrong("status["+itoa(i)+"]", "must be one of "+listed(replayable))
		}
	}
	if err := o.err(); err != nil {
		return response{}, err
	}
	id := r.PathValue("id")
	n, err := r.h.engine.Replay(r.ctx(), r.account(), id, q)
	if err != nil {
		return response{}, badTypes(err, func(index, problem string) fault {
			return fault{"invalid_events", "events" + index + " " + problem, "events" + index}
		})
	}
	if !q.DryRun {
		r.changed("events replayed", "endpoint", id, "deliveries", n)
	}
	return response{body: replayedBody{n, q.DryRun}}, nil
}

// replayable are the statuses of deliveries that a replay can choose.
var replayable = []webhook.DeliveryStatus{webhook.DeliveryDelivered, webhook.DeliveryExhausted, webhook.DeliveryCancelled}

// healthBody says how an endpoint is doing.
type healthBody struct {
	ID                  string       `json:"id"`
	Status              string       `json:"status"`
	DisabledReason      text         `json:"disabled_reason"`
	ConsecutiveFailures int          `json:"consecutive_failures"`
	FailingSince        when         `json:"failing_since"`
	LastTriggeredAt     when         `json:"last_triggered_at"`
	LastSuccessAt       when         `json:"last_success_at"`
	LastFailureAt       when         `json:"last_failure_at"`
	Pending             int          `json:"pending"`
	Held                int          `json:"held"`
	LastFailure         *failureBody `json:"last_failure"`
}

// failureBody is the latest failed attempt of an endpoint.
type failureBody struct {
	DeliveryID string `json:"delivery_id"`
	At         when   `json:"at"`
	DurationMS int64  `json:"duration_ms"`
	StatusCode *int   `json:"status_code"`
	Failure    string `json:"failure"`
	Detail     text   `json:"detail"`
}

func endpointHealth(r *request) (response, error) {
	if _, err := query(r); err != nil {
		return response{}, err
	}
	e, err := r.h.engine.EndpointHealth(r.ctx(), r.account(), r.PathValue("id"))
	if err != nil {
		return response{}, err
	}
	b := healthBody{
		ID: e.EndpointID, Status: string(e.Status), DisabledReason: text(e.DisabledReason), ConsecutiveFailures: e.ConsecutiveFailures,
		FailingSince: when(e.FailingSince), LastTriggeredAt: when(e.LastTriggeredAt), LastSuccessAt: when(e.LastSuccessAt),
		LastFailureAt: when(e.LastFailureAt), Pending: e.Pending, Held: e.Held,
	}
	if f := e.LastFailure; f.Failure != "" {
		b.LastFailure = &failureBody{f.DeliveryID, when(f.At), f.Duration.Milliseconds(), statusCode(f.StatusCode), string(f.Failure), text(f.Detail)}
	}
	return response{body: b}, nil
}

// testBody is the result of a test event.
type testBody struct {
	EventID      string      `json:"event_id"`
	Event        string      `json:"event"`
	Subscribed   bool        `json:"subscribed"`
	Delivered    bool        `json:"delivered"`
	StatusCode   *int        `json:"status_code"`
	Failure      text        `json:"failure"`
	Detail       text        `json:"detail"`
	DurationMS   int64       `json:"duration_ms"`
	Location     text        `json:"location"`
	ResponseBody text        `json:"response_body"`
	Request      requestBody `json:"request"`
}

// requestBody is the request as it was sent.
type requestBody struct {
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

func sendTest(r *request) (response, error) {
	o, err := r.object("event")
	if err != nil {
		return response{}, err
	}
	s, given := o.optional("event")
	if err := o.err(); err != nil {
		return response{}, err
	}
	typ := webhook.EventType(s)
	if !given || s == "" {
		ep, err := r.h.engine.GetEndpoint(r.ctx(), r.account(), r.PathValue("id"))
		if err != nil {
			return response{}, err
		}
		typ = r.h.sampleType(ep)
	}
	res, err := r.h.engine.SendTest(r.ctx(), r.account(), r.PathValue("id"), typ)
	if err != nil {
		return response{}, badEvent(err)
	}
	r.changed("test event sent", "endpoint", r.PathValue("id"), "type", typ)
	b := testBody{
		EventID: res.EventID, Event: string(typ), Subscribed: res.Subscribed, Delivered: res.Delivered, StatusCode: statusCode(res.StatusCode),
		Failure: text(res.Failure), Detail: text(res.Detail), DurationMS: res.Duration.Milliseconds(), Location: text(res.Location),
		ResponseBody: peerText(res.ResponseBody),
		Request:      requestBody{Method: http.MethodPost, URL: res.Request.URL, Headers: map[string]string{}, Body: string(res.Request.Body)},
	}
	for name, values := range res.Request.Headers {
		b.Request.Headers[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	return response{body: b}, nil
}

// sampleType returns a type that the endpoint is subscribed to, if one is known.
func (h *Handler) sampleType(ep webhook.Endpoint) webhook.EventType {
	for _, known := range h.types {
		if covers(ep.Events, webhook.EventType(known.Name)) {
			return webhook.EventType(known.Name)
		}
	}
	for _, t := range ep.Events {
		if !strings.HasSuffix(string(t), "*") {
			return t
		}
	}
	return webhook.EventCallCompleted
}

// covers reports whether a subscription takes a type.
func covers(events []webhook.EventType, t webhook.EventType) bool {
	return slices.ContainsFunc(t.Patterns(), func(p webhook.EventType) bool { return slices.Contains(events, p) })
}

// badEvent tells an event type that is malformed, which the library reports as the type
// of an event.
func badEvent(err error) error {
	if errors.Is(err, webhook.ErrInvalidArgument) && !errors.Is(err, webhook.ErrStore) {
		return refused("event", `event must be a type such as "call.completed"`)
	}
	return err
}
