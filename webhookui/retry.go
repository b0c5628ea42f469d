package webhookui

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/ringyo-ai/webhook"
)

// Sending many deliveries again takes several requests, each of which ends after about
// stepTime or stepParts parts of the replay. How far it has come stands in the address
// and in the form that continues: nothing is left behind by who goes away.
const (
	stepTime  = time.Second
	stepParts = 25
)

// retrying is the page that asks before many deliveries are sent again, and shows how far
// that is.
type retrying struct {
	logPage
	Count  int    // how many match
	More   bool   // and there are more than that
	Sent   int    // so far
	Cursor string // of the next step; empty before the first one
	Before string // what was stored later does not count
}

// retryOf reads what a query or a form is about.
func (p *Portal) retryOf(v *visit, values url.Values) (step retrying, r webhook.ReplayQuery, err error) {
	l, q := filter(values, p.texts)
	step = retrying{logPage: l, More: values.Get("more") != "", Cursor: values.Get("cursor"), Before: values.Get("before")}
	if step.Before == "" {
		step.Before = time.Now().UTC().Format(time.RFC3339Nano)
	}
	before, err := parseTime(step.Before)
	if err != nil || len(l.Wrong) > 0 {
		return step, r, &pageError{http.StatusBadRequest, "error.request"}
	}
	step.Count, step.Sent = number(values.Get("of")), number(values.Get("sent"))
	step.ReadOnly = v.access.ReadOnly
	r = webhook.ReplayQuery{Since: q.From, Until: q.Until, Types: q.Types, Statuses: []webhook.DeliveryStatus{q.Status}}
	if q.Status == "" {
		r.Statuses = []webhook.DeliveryStatus{webhook.DeliveryExhausted, webhook.DeliveryCancelled}
	}
	if r.Until.IsZero() || r.Until.After(before) {
		r.Until = before // or what is delivered meanwhile would be sent again without end
	}
	return step, r, nil
}

// number returns the number that a text is, or 0.
func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return max(0, n)
}

func (p *Portal) confirmRetry(v *visit) error {
	ep, err := p.engine.GetEndpoint(v.Context(), v.account, v.PathValue("id"))
	if err != nil {
		return err
	}
	step, r, err := p.retryOf(v, v.URL.Query())
	if err != nil {
		return err
	}
	step.Endpoint = ep
	if step.Cursor == "" {
		r.DryRun = true
		if step.Count, step.More, err = p.matching(v, ep.ID, r); err != nil {
			return err
		}
	}
	return p.show(v, "retry", p.texts["retry.title"], step)
}

// matching counts what a replay would send, or as much of it as is found at once.
func (p *Portal) matching(v *visit, id string, r webhook.ReplayQuery) (n int, more bool, err error) {
	cursor := ""
	for began := time.Now(); ; {
		part, err := p.engine.ReplayPart(v.Context(), v.account, id, r, cursor)
		n, cursor = n+part.Count, part.Next
		if err != nil || cursor == "" || n > 0 || time.Since(began) > stepTime {
			return n, cursor != "", err
		}
	}
}

func (p *Portal) retryAll(v *visit) error {
	id := v.PathValue("id")
	step, r, err := p.retryOf(v, v.PostForm)
	if err != nil {
		return err
	}
	n, done := 0, false
	began := time.Now()
	for part := 0; part < stepParts && time.Since(began) < stepTime && !done; part++ {
		replayed, err := p.engine.ReplayPart(v.Context(), v.account, id, r, step.Cursor)
		n += replayed.Count
		if err != nil && n == 0 {
			return err
		}
		if err != nil { // it says what was done, and the next step tells the error if it stays
			break
		}
		step.Cursor, done = replayed.Next, replayed.Next == ""
	}
	step.Sent += n
	p.changed(v, "deliveries retried", "endpoint", id, "deliveries", n)
	to, _ := url.ParseQuery(string(step.Filter)) // it is one that was encoded
	if done {
		to.Set("done", "replayed")
		to.Set("n", strconv.Itoa(step.Sent))
		return v.to("endpoints/" + id + "/deliveries?" + to.Encode())
	}
	for name, value := range step.State() {
		to.Set(name, value)
	}
	return v.to("endpoints/" + id + "/retry?" + to.Encode())
}

// State returns what the next step has to know besides the filter.
func (r retrying) State() map[string]string {
	state := map[string]string{"before": r.Before, "of": strconv.Itoa(r.Count), "sent": strconv.Itoa(r.Sent), "cursor": r.Cursor}
	if r.More {
		state["more"] = "1"
	}
	return state
}
