package webhookapi

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/ringyo-ai/webhook"
)

// eventBody is an event in a list.
type eventBody struct {
	ID        string `json:"id"`
	Type      string `json:"type"`
	Timestamp when   `json:"timestamp"`
	CreatedAt when   `json:"created_at"`
	Size      int    `json:"size"` // of its data, in bytes
}

// wholeEventBody is an event with its payload and its deliveries.
type wholeEventBody struct {
	ID         string          `json:"id"`
	Type       string          `json:"type"`
	Timestamp  when            `json:"timestamp"`
	Data       json.RawMessage `json:"data"` // null: it was redacted
	Deliveries []deliveryBody  `json:"deliveries"`
}

func listEvents(r *request) (response, error) {
	p, err := query(r, "limit", "cursor", "type", "from", "until")
	if err != nil {
		return response{}, err
	}
	q := webhook.EventQuery{Limit: p.limit(), Cursor: p.get("cursor"), Types: p.types("type"), From: p.time("from"), Until: p.time("until")}
	if err := p.err(); err != nil {
		return response{}, err
	}
	list, err := r.h.engine.ListEvents(r.ctx(), r.account(), q)
	if err != nil {
		return response{}, badList(err, q.Cursor, "type")
	}
	return response{body: pageOf(list.Items, list.Next, func(e webhook.EventInfo) eventBody {
		return eventBody{ID: e.ID, Type: string(e.Type), Timestamp: when(e.Timestamp), CreatedAt: when(e.CreatedAt), Size: e.Size}
	})}, nil
}

// most deliveries of an event that are shown with it; an account has at most
// Config.MaxEndpoints endpoints, of which 100 by default.
const most = 1000

func getEvent(r *request) (response, error) {
	if _, err := query(r); err != nil {
		return response{}, err
	}
	ev, err := r.h.engine.GetEvent(r.ctx(), r.account(), r.PathValue("id"))
	if err != nil {
		return response{}, err
	}
	list, err := r.h.engine.ListDeliveries(r.ctx(), r.account(), webhook.DeliveryQuery{EventID: ev.ID, Limit: most})
	if err != nil {
		return response{}, err
	}
	return response{body: wholeEventBody{
		ID: ev.ID, Type: string(ev.Type), Timestamp: when(ev.Timestamp), Data: ev.Raw,
		Deliveries: pageOf(list.Items, "", deliveryOf).Data,
	}}, nil
}

// eventTypeBody is a type that customers can subscribe to.
type eventTypeBody struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Group       string          `json:"group"`
	Example     json.RawMessage `json:"example"`
}

// typesBody lists them.
type typesBody struct {
	Data []eventTypeBody `json:"data"`
}

// descriptions say when events of the library's own types are sent.
var descriptions = map[webhook.EventType]string{
	webhook.EventCallInitiated:        "An outbound call has started dialing.",
	webhook.EventCallAnswered:         "A call was answered.",
	webhook.EventCallCompleted:        "A call has ended successfully.",
	webhook.EventCallFailed:           "A call has failed: an error, busy, or no answer.",
	webhook.EventCallTransferred:      "A call was transferred to a human.",
	webhook.EventAppointmentCreated:   "A new appointment was booked.",
	webhook.EventAppointmentUpdated:   "An appointment was modified.",
	webhook.EventAppointmentCancelled: "An appointment was cancelled.",
	webhook.EventAppointmentReminder:  "A reminder of an appointment was sent.",
	webhook.EventAgentCreated:         "A new agent was created.",
	webhook.EventAgentUpdated:         "The configuration of an agent has changed.",
	webhook.EventPhoneNumberAssigned:  "A new number was provisioned.",
	webhook.EventPhoneNumberReleased:  "A number was released.",
	webhook.EventCreditsLow:           "The balance of credits is below its threshold.",
}

// EventTypes returns the types of [webhook.EventTypes] with their descriptions: what
// [Options.EventTypes] is by default, for those who add types of their own.
func EventTypes() []EventType {
	var list []EventType
	for _, t := range webhook.EventTypes() {
		list = append(list, EventType{Name: t, Description: descriptions[t]})
	}
	return list
}

// setEventTypes makes the catalogue, and returns what is wrong with each of
// Options.EventTypes.
func (h *Handler) setEventTypes() (problems []string) {
	given := h.opt.EventTypes
	if given == nil {
		given = EventTypes()
	}
	problems = make([]string, len(given))
	for i, t := range given {
		if t.Group == "" {
			t.Group, _, _ = strings.Cut(string(t.Name), ".")
		}
		if t.Example == nil {
			t.Example = webhook.SampleData(t.Name)
		}
		if _, err := webhook.NewEvent("a", t.Name, struct{}{}); err != nil && descriptions[t.Name] == "" {
			problems[i] = `must have a Name such as "call.completed"`
		}
		example, err := encode(t.Example)
		if err != nil {
			problems[i] = fmt.Sprintf("has an Example that cannot be encoded: %v", err)
		}
		h.types = append(h.types, eventTypeBody{string(t.Name), t.Description, t.Group, example})
	}
	return problems
}

func listEventTypes(r *request) (response, error) {
	if _, err := query(r); err != nil {
		return response{}, err
	}
	return response{body: typesBody{r.h.types}}, nil
}
