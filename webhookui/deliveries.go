package webhookui

import (
	"errors"
	"html/template"
	"net/url"
	"strings"
	"time"

	"github.com/ringyo-ai/webhook"
)

// statuses are the statuses of deliveries, in the order of the filter.
var statuses = []webhook.DeliveryStatus{
	webhook.DeliveryPending, webhook.DeliveryHeld, webhook.DeliveryDelivered, webhook.DeliveryExhausted, webhook.DeliveryCancelled,
}

// A page is shown at once, however few deliveries match its filter: it looks at firstScan,
// and who asks for more gets a page that looks at eight times as many (three bits), and
// so on, up to what a store looks at for one page.
const (
	firstScan  = 500
	scanGrowth = 3
	furthest   = 3
)

// logPage is the page of an endpoint's deliveries.
type logPage struct {
	webhook.Endpoint
	Deliveries          []webhook.Delivery
	Status, Event       string
	From, Until         string
	Wrong               map[string]string
	Statuses            []webhook.DeliveryStatus
	Filter              template.URL // as a query, which templates are not to escape once more
	Next                string
	Later               bool // it is not the first page
	Short               bool // the next page is a longer search, since this one found little
	Further             int  // how often that was
	ReadOnly, Retryable bool
}

// filter reads the filter of a query or a form.
func filter(values url.Values, texts map[string]string) (l logPage, q webhook.DeliveryQuery) {
	l = logPage{
		Status: values.Get("status"), Event: strings.TrimSpace(values.Get("event")), From: values.Get("from"), Until: values.Get("until"),
		Statuses: statuses, Wrong: map[string]string{},
	}
	q = webhook.DeliveryQuery{Status: webhook.DeliveryStatus(l.Status), Limit: pageSize}
	for _, t := range strings.Fields(strings.ReplaceAll(l.Event, ",", " ")) {
		q.Types = append(q.Types, webhook.EventType(t))
	}
	for name, at := range map[string]struct {
		query *time.Time
		shown *string
	}{"from": {&q.From, &l.From}, "until": {&q.Until, &l.Until}} {
		if *at.shown == "" {
			continue
		}
		t, err := parseTime(*at.shown)
		if err != nil {
			l.Wrong[name] = texts["form.time"]
			continue
		}
		*at.query, *at.shown = t, t.UTC().Format("2006-01-02T15:04:05") // the one form that the field of a browser shows
	}
	kept := url.Values{}
	for _, name := range []string{"status", "event", "from", "until"} {
		if v := values.Get(name); v != "" {
			kept.Set(name, v)
		}
	}
	l.Filter = template.URL(kept.Encode()) // #nosec G203 -- it is escaped
	return l, q
}

// parseTime reads a time of a form, in UTC, in the forms that browsers and people use.
func parseTime(s string) (t time.Time, err error) {
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05", time.RFC3339, "2006-01-02 15:04", "2006-01-02"} {
		if t, err = time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return t, err
}

func (p *Portal) deliveries(v *visit) error {
	id := v.PathValue("id")
	ep, err := p.engine.GetEndpoint(v.Context(), v.account, id)
	if err != nil {
		return err
	}
	l, q := filter(v.URL.Query(), p.texts)
	l.Endpoint, l.ReadOnly = ep, v.access.ReadOnly
	q.EndpointID, q.Cursor = id, v.URL.Query().Get("cursor")
	l.Further = min(number(v.URL.Query().Get("further")), furthest)
	q.MaxScan = firstScan << (scanGrowth * l.Further)
	if len(l.Wrong) == 0 {
		list, err := p.engine.ListDeliveries(v.Context(), v.account, q)
		if err != nil {
			return err
		}
		l.Deliveries, l.Next, l.Later = list.Items, list.Next, q.Cursor != ""
		if l.Short = l.Next != "" && len(l.Deliveries) < pageSize; l.Short {
			l.Further++
		}
	}
	l.Retryable = !l.ReadOnly && (q.Status == webhook.DeliveryExhausted || q.Status == webhook.DeliveryCancelled || q.Status == "")
	return p.show(v, "deliveries", p.texts["deliveries.title"], l)
}

// sent is a delivery with its attempts.
type sent struct {
	webhook.Delivery
	URL      string
	Attempts []tried
	Curl     string
	ReadOnly bool
}

// tried is an attempt and where it went.
type tried struct {
	webhook.Attempt
	URL   string
	Hints []webhook.SecretHint
}

func (p *Portal) delivery(v *visit) error {
	d, err := p.engine.GetDelivery(v.Context(), v.account, v.PathValue("id"))
	if err != nil {
		return err
	}
	attempts, err := p.engine.ListAttempts(v.Context(), v.account, d.ID)
	if err != nil {
		return err
	}
	s := sent{Delivery: d, ReadOnly: v.access.ReadOnly}
	revisions, err := p.engine.EndpointRevisions(v.Context(), v.account, d.EndpointID)
	if err != nil && !errors.Is(err, webhook.ErrNotFound) { // that means deleted, and nothing is kept of it
		return err
	}
	for _, a := range attempts {
		rev, _ := revisions.Of(a)
		s.Attempts = append(s.Attempts, tried{a, rev.URL, rev.Secrets})
		s.URL = rev.URL
	}
	if s.URL == "" && len(revisions) > 0 {
		s.URL = revisions[0].URL
	}
	ev, err := p.engine.GetEvent(v.Context(), v.account, d.EventID)
	if err != nil && !errors.Is(err, webhook.ErrNotFound) {
		return err
	}
	if len(ev.Raw) > 0 && s.URL != "" {
		s.Curl = curl(s.URL, d, ev)
	}
	return p.show(v, "delivery", p.texts["delivery.title"], s)
}

// curl returns a shell command that sends a delivery's data by hand, unsigned.
func curl(to string, d webhook.Delivery, ev webhook.Event) string {
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
	return "curl -i -X POST " + quote(to) + " \\\n  -H 'Content-Type: application/json' \\\n  -H " + quote("webhook-id: "+d.EventID) +
		" \\\n  --data-raw " + quote(string(ev.Raw))
}

func (p *Portal) retryOne(v *visit) error {
	d, err := p.engine.Redeliver(v.Context(), v.account, v.PathValue("id"))
	if err != nil {
		return err
	}
	p.changed(v, "delivery retried", "delivery", d.ID)
	return v.to("deliveries/" + d.ID + "?done=retried")
}

// whole is an event with its deliveries.
type whole struct {
	webhook.Event
	Raw        string
	Deliveries []webhook.Delivery
}

func (p *Portal) event(v *visit) error {
	ev, err := p.engine.GetEvent(v.Context(), v.account, v.PathValue("id"))
	if err != nil {
		return err
	}
	list, err := p.engine.ListDeliveries(v.Context(), v.account, webhook.DeliveryQuery{EventID: ev.ID, Limit: 100})
	if err != nil {
		return err
	}
	return p.show(v, "event", p.texts["event.title"], whole{ev, indent(ev.Raw), list.Items})
}

// testing is the page of a test event.
type testing struct {
	webhook.Endpoint
	Groups   []group
	Type     string
	Result   *webhook.TestResult
	Headers  []header
	Body     string
	Wrong    map[string]string
	ReadOnly bool
}

type header struct{ Name, Value string }

func (p *Portal) testForm(v *visit) error {
	ep, err := p.engine.GetEndpoint(v.Context(), v.account, v.PathValue("id"))
	if err != nil {
		return err
	}
	t := testing{Endpoint: ep, Groups: p.groups, ReadOnly: v.access.ReadOnly, Wrong: map[string]string{}}
	for _, g := range p.groups {
		for _, known := range g.Types {
			if t.Type == "" && covers(ep.Events, known.Name) {
				t.Type = string(known.Name)
			}
		}
	}
	return p.show(v, "test", p.texts["test.title"], t)
}

func (p *Portal) test(v *visit) error {
	ep, err := p.engine.GetEndpoint(v.Context(), v.account, v.PathValue("id"))
	if err != nil {
		return err
	}
	t := testing{Endpoint: ep, Groups: p.groups, Type: v.PostFormValue("type"), Wrong: map[string]string{}}
	if !p.offers(webhook.EventType(t.Type)) {
		t.Wrong["type"] = p.texts["form.type"]
		return p.refuse(v, "test", p.texts["test.title"], t)
	}
	result, err := p.engine.SendTest(v.Context(), v.account, ep.ID, webhook.EventType(t.Type))
	if err != nil {
		return err
	}
	p.changed(v, "test event sent", "endpoint", ep.ID, "type", t.Type)
	t.Result, t.Body = &result, string(result.Request.Body)
	for _, name := range sortedKeys(result.Request.Headers) {
		t.Headers = append(t.Headers, header{name, strings.Join(result.Request.Headers[name], ", ")})
	}
	return p.show(v, "test", p.texts["test.title"], t)
}
