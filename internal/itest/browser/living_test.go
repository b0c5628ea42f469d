package browser

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/webhookapi"
)

// living is a site with a day behind it: endpoints that are well, that fail, and that
// were disabled, each for another reason.
type living struct {
	*site
	ids  map[string]string // of endpoints, by the first label of their host
	bare *site             // another one, without statistics, in which nothing has happened
}

// customers are the endpoints of the account acme, from the last of the list to the first.
var customers = []struct {
	url, description string
	events           []webhook.EventType
}{
	{"https://new.example.com/webhooks", "", []webhook.EventType{"call.recording.*"}},
	{"https://staging.example.com/webhooks", "Staging, which nobody uses at night", []webhook.EventType{"*"}},
	{"https://closed.example.com/in", "A server that is down", []webhook.EventType{"credits.*"}},
	{"https://legacy.example.com/webhook.php", "The system before the last one", []webhook.EventType{"appointment.*"}},
	{"https://moved.example.com/hooks", "Moved without telling", []webhook.EventType{"appointment.cancelled"}},
	{"https://billing.example.com/webhooks/voice", "Minutes for the invoices", []webhook.EventType{"call.completed", "credits.low"}},
	{"https://analytics.example.com/ingest/calls", "Analytics, overloaded at times", []webhook.EventType{"call.*"}},
	{"https://calendar.example.com/hooks/appointments", "Calendar sync", []webhook.EventType{"appointment.*"}},
	{"https://crm.example.com/api/webhooks", "CRM", []webhook.EventType{"*"}},
}

// day are the events of a day, more of them at noon.
var day = []webhook.EventType{
	webhook.EventCallCompleted, webhook.EventAppointmentCreated, webhook.EventCallAnswered, webhook.EventCallCompleted, webhook.EventAppointmentCancelled,
	webhook.EventCallCompleted, webhook.EventCreditsLow, webhook.EventCallAnswered,
}

// newLiving makes one in which so many times the events of a day have happened.
func newLiving(t *testing.T, days int) *living {
	t.Helper()
	s := &living{site: newSite(t, options{config: func(c *webhook.Config) {
		c.Retry, c.Disable = webhook.Schedule{time.Minute, 5 * time.Minute}, webhook.DisablePolicy{After: 3}
	}}), ids: map[string]string{}}
	s.bare = newSite(t, options{config: func(c *webhook.Config) { c.Tallies = false }})
	s.bare.endpoint(t, webhook.EndpointParams{ID: "wh_bare", AccountID: "acme", URL: "https://bare.example.com/"})
	s.also = append(s.also, s.bare)
	s.ahead.Store(int64(-23 * time.Hour))
	for i, c := range customers {
		id := s.endpoint(t, webhook.EndpointParams{
			ID: fmt.Sprintf("wh_01a224e3ee%020d", i+1), URL: c.url, Description: c.description, Events: c.events,
			Headers: webhook.Headers{"Authorization": "Bearer hush"},
		})
		host, _, _ := strings.Cut(strings.TrimPrefix(c.url, "https://"), ".")
		s.ids[host] = id
	}
	_, err := s.engine.DisableEndpoint(t.Context(), "acme", s.ids["staging"])
	require.NoError(t, err)
	for i := range 5 {
		s.endpoint(t, webhook.EndpointParams{AccountID: fmt.Sprintf("globex-%d", i+1), URL: fmt.Sprintf("https://broken-%d.example.com/", i+1), Events: []webhook.EventType{"*"}})
		s.responds(fmt.Sprintf("broken-%d.example.com", i+1), status(http.StatusServiceUnavailable, "down"))
	}
	s.responds("calendar.example.com", func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(12 * time.Millisecond) // so that the numbers are like real ones
		_, _ = w.Write([]byte(`{"ok":true}`))
	})
	requests := 0
	s.responds("analytics.example.com", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		requests++
		fails := requests%5 == 0 || s.ahead.Load() == 0
		s.mu.Unlock()
		if _, _ = io.Copy(io.Discard, r.Body); fails {
			http.Error(w, `{"error":"overloaded","retry":"later"}`, http.StatusServiceUnavailable)
		}
	})
	s.responds("legacy.example.com", status(http.StatusGone, "<h1>Gone</h1>"))
	s.responds("moved.example.com", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://new-home.example.com/hooks", http.StatusMovedPermanently)
	})
	for hour := range 24 {
		if hour == 19 {
			s.responds("billing.example.com", status(http.StatusInternalServerError, "Traceback (most recent call last):\n  File \"/srv/app/views.py\", line 41, in webhook\n    minutes = int(event[\"minutes\"])\nKeyError: 'minutes'\n"))
		}
		s.ahead.Store(int64(time.Duration(hour-23) * time.Hour))
		busy := 1 + days*(12-max(hour-12, 12-hour))/12
		for i := range busy * len(day) / 2 {
			s.emit(t, "acme", day[(i+hour)%len(day)])
		}
		s.deliver(t)
	}
	for i := range 5 {
		s.emit(t, fmt.Sprintf("globex-%d", i+1), webhook.EventCallCompleted, webhook.EventCreditsLow)
	}
	s.deliver(t)
	require.NoError(t, s.engine.RedactEvent(t.Context(), "acme", s.delivery(t, "calendar", webhook.DeliveryDelivered).EventID))
	s.emit(t, "globex-1", webhook.EventCallAnswered)
	s.emit(t, "globex-2", webhook.EventCallAnswered, webhook.EventCallAnswered)
	return s
}

// as changes who looks, until it is changed again.
func (s *site) as(a *webhookapi.Access) { s.access.Store(a) }

// delivery returns the newest delivery of an endpoint with a status.
func (s *living) delivery(t *testing.T, host string, status webhook.DeliveryStatus) webhook.Delivery {
	t.Helper()
	list, err := s.engine.ListDeliveries(t.Context(), "acme", webhook.DeliveryQuery{EndpointID: s.ids[host], Status: status, Limit: 1})
	require.NoError(t, err)
	require.NotEmpty(t, list.Items, "%s has no delivery that is %s", host, status)
	return list.Items[0]
}
