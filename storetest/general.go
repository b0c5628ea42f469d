package storetest

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/ringyo-ai/webhook"
)

var generalRules = []rule{
	{
		name:     "NowIsUTCAndMoves", // E17
		sentence: "Now returns the store's clock in UTC.",
		run: func(e *env) {
			before := e.now()
			same(e, "location", before.Location(), time.UTC)
			e.endpoint("wh_1")
			for name, now := range map[string]time.Time{
				"Enqueued.Now":   e.enqueue(event("evt_1")).Now,
				"Claimed.Now":    e.claim(terms(1, 1)).Now,
				"Settled.Now":    e.settle().Now,
				"Maintained.Now": e.maintainOnce().Now,
			} {
				e.recent(name, now)
				same(e, name+"'s location", now.Location(), time.UTC)
			}
		},
	},
	{
		name:     "OneClock", // E15
		sentence: "Due times, leases and expiries are computed by the store's own clock, from durations that the engine passes.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(event("evt_1"))
			e.one()
			e.none("it is leased")
			e.advance(lease - 10*time.Minute)
			e.none("50 minutes of a lease of an hour have passed on the store's clock")
			e.advance(20 * time.Minute)
			l := e.one()
			s := result(l, webhook.OutcomeRetry)
			s.Delay = time.Hour
			e.applied(s)
			e.advance(50 * time.Minute)
			e.none("50 minutes of a delay of an hour have passed on the store's clock")
			e.advance(20 * time.Minute)
			e.one()
		},
	},
	{
		name:     "BytesInAreBytesOut",
		sentence: "Bytes in are bytes out: an event's Data comes back as it went in.",
		run: func(e *env) {
			e.endpoint("wh_1")
			for name, data := range payloads() {
				ev := event("evt_" + name)
				ev.Data = bytes.Clone(data)
				r := e.groups(e.store, terms(1, 1), []webhook.EventRecord{ev})
				e.must("Enqueue of "+name, r.Errs[0])
				if len(r.Leased) != 1 {
					e.Fatalf("hand-off: got %d deliveries, want 1", len(r.Leased))
				}
				e.check(bytes.Equal(r.Leased[0].Event.Data, data), "%s: the handed-off data differs", name)
				s := result(r.Leased[0], webhook.OutcomeRetry)
				s.Delay = 0
				e.applied(s)
				e.maintain()
				l := e.one()
				e.check(bytes.Equal(l.Event.Data, data), "%s: the claimed data differs", name)
				got, err := e.store.GetEvent(e.ctx, acct, ev.ID)
				e.must("GetEvent", err)
				e.check(bytes.Equal(got.Data, data), "%s: the data of GetEvent differs", name)
				e.deliver(l)
			}
		},
	},
	{
		name:     "TextComesBackAsItWent",
		sentence: "Ids, types and texts keep their case, their spaces and every character.",
		run: func(e *env) {
			text := "Ünïcödé 電話 🎉 'quoted' \"double\" \\ % _ -- ;\n tab\t end "
			r := record(acct, "wh_1", "*")
			r.Description = text
			r.Metadata = map[string]string{text: text, "a": "", "A": "x "}
			r.Headers = webhook.Headers{"X-Team": text}
			e.create(r)
			got := e.get("wh_1")
			same(e, "Description", got.Description, text)
			same(e, "Metadata", got.Metadata, r.Metadata)
			e.check(equalMaps(got.Headers, r.Headers), "Headers: got %v, want %v, or other values", got.Headers, r.Headers)
			e.endpointOf(acct, "WH_1", "x.Y")
			e.endpointOf("ACC_A", "wh_upper", "*")
			upper := event("EVT_1")
			upper.Data = []byte("other content")
			e.enqueue(event("evt_1"), upper)
			same(e, "deliveries of two ids that differ in case", len(e.claimAll()), 2)
			odd := event("evt_odd")
			odd.Type = "X.y"
			e.enqueue(odd)
			same(e, "subscribers to a type that differs in case", len(e.claimAll()), 1)
		},
	},
	{
		name:     "GivenSlicesAreNotKept",
		sentence: "A method keeps no slice or map that it was given, and hands out none that it still uses.",
		run: func(e *env) {
			r := record(acct, "wh_1", "call.*")
			r.Metadata, r.Headers = map[string]string{"k": "v"}, webhook.Headers{"H": "v"}
			want := e.create(r)
			scribble(&r)
			got := e.get("wh_1")
			sameConfig(e, "endpoint after its creator changed the argument", got, want)
			scribble(&got)
			sameConfig(e, "endpoint after its reader changed what it got", e.get("wh_1"), want)

			ev := event("evt_1")
			data := bytes.Clone(ev.Data)
			e.enqueue(ev)
			clear(ev.Data)
			stored, err := e.store.GetEvent(e.ctx, acct, "evt_1")
			e.must("GetEvent", err)
			same(e, "data after its emitter changed the argument", string(stored.Data), string(data))
			clear(stored.Data)
			l := e.one()
			same(e, "data after its reader changed what it got", string(l.Event.Data), string(data))

			s := result(l, webhook.OutcomeDelivered)
			s.Attempt.ResponseBody = []byte("body")
			e.applied(s)
			clear(s.Attempt.ResponseBody)
			log := e.attempts(l)
			same(e, "logged body after its settler changed the argument", string(log[0].ResponseBody), "body")
			clear(log[0].ResponseBody)
			same(e, "logged body after its reader changed what it got", string(e.attempts(l)[0].ResponseBody), "body")
		},
	},
	{
		name:     "EndedContext", // E5
		sentence: "A method returns early when ctx ends. An error means that nothing changed.",
		run: func(e *env) {
			was := e.endpoint("wh_1")
			e.enqueue(event("evt_1"))
			ended, cancel := context.WithCancel(e.ctx)
			cancel()
			for name, err := range callAll(ended, e.store, e.get("wh_1")) {
				e.check(err != nil, "%s with an ended ctx: no error", name)
				e.check(err == nil || errors.Is(err, context.Canceled), "%s with an ended ctx: got error %v, want context.Canceled", name, err)
			}
			_, err := e.store.GetEvent(e.ctx, acct, "evt_2")
			e.wantErr("GetEvent of the event that was not stored", err, webhook.ErrNotFound)
			same(e, "Revision", e.get("wh_1").Revision, was.Revision)
			e.deliver(e.one())
		},
	},
}

func (e *env) maintainOnce() webhook.Maintained {
	e.Helper()
	m, err := e.store.Maintain(e.ctx, webhook.MaintainRequest{Limit: 100})
	e.must("Maintain", err)
	return m
}

// payloads are data that a column of a JSON type, of text or of a small size
// would change or refuse.
func payloads() map[string][]byte {
	return map[string][]byte{
		"spaces":       []byte("{ \"b\" : 1 ,\n\t\"a\":2 }"),
		"duplicates":   []byte(`{"a":1,"a":2}`),
		"numbers":      []byte(`[12345678901234567890,1.0,1e400,-0]`),
		"escapes":      []byte(`"\u003c\/\ud83c\udf89<&>"`),
		"lone":         []byte(`"\ud800"`),
		"invalid_utf8": {'"', 0xff, 0xfe, 0xc0, 0x80, '"'},
		"nul":          {'"', 0, 'a', 0, '"'},
		"one_byte":     []byte("1"),
		"mebibyte":     []byte(`"` + strings.Repeat("x", 1<<20-2) + `"`),
	}
}

// scribble changes everything that r shares.
func scribble(r *webhook.EndpointRecord) {
	for i := range r.Events {
		r.Events[i] = "scribbled"
	}
	for k := range r.Metadata {
		r.Metadata[k] = "scribbled"
	}
	for k := range r.Headers {
		r.Headers[k] = "scribbled"
	}
	for i := range r.HeaderNames {
		r.HeaderNames[i] = "scribbled"
	}
	for i := range r.Secrets {
		r.Secrets[i] = webhook.EndpointSecret{}
	}
}

// callAll calls every method once and returns the errors. The writing calls
// would all change something.
func callAll(ctx context.Context, s webhook.Store, ep webhook.EndpointRecord) map[string]error {
	errs := map[string]error{}
	_, errs["Now"] = s.Now(ctx)
	_, errs["CreateEndpoint"] = s.CreateEndpoint(ctx, webhook.EndpointCreate{Record: record(acct, "wh_2", "*")})
	_, errs["GetEndpoint"] = s.GetEndpoint(ctx, acct, ep.ID)
	_, errs["UpdateEndpoint"] = s.UpdateEndpoint(ctx, webhook.EndpointUpdate{Record: ep})
	_, errs["ListEndpoints"] = s.ListEndpoints(ctx, webhook.EndpointFilter{AccountID: acct, Limit: 10})
	_, errs["GetEndpoints"] = s.GetEndpoints(ctx, acct, []string{ep.ID})
	_, errs["CountEndpoints"] = s.CountEndpoints(ctx, acct, "")
	_, errs["FailingEndpoints"] = s.FailingEndpoints(ctx, webhook.FailingQuery{Limit: 10})
	errs["DeleteEndpoint"] = s.DeleteEndpoint(ctx, webhook.EndpointDelete{AccountID: acct, ID: ep.ID})
	_, errs["Enqueue"] = s.Enqueue(ctx, webhook.EnqueueRequest{Groups: [][]webhook.EventRecord{{event("evt_2")}}})
	_, errs["Claim"] = s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(10, 10)})
	_, errs["Settle"] = s.Settle(ctx, []webhook.Settlement{{DeliveryID: webhook.NewDeliveryID(), EndpointID: ep.ID, Outcome: webhook.OutcomeDelivered}})
	_, errs["Maintain"] = s.Maintain(ctx, webhook.MaintainRequest{Limit: 10, Retention: time.Nanosecond})
	_, errs["GetEvent"] = s.GetEvent(ctx, acct, "evt_1")
	_, errs["ListDeliveries"] = s.ListDeliveries(ctx, webhook.DeliveryFilter{AccountID: acct, EndpointID: ep.ID, Limit: 10})
	_, errs["ListAttempts"] = s.ListAttempts(ctx, acct, webhook.NewDeliveryID())
	_, errs["ListRevisions"] = s.ListRevisions(ctx, acct, ep.ID)
	_, errs["Redeliver"] = s.Redeliver(ctx, acct, webhook.NewDeliveryID())
	_, errs["Replay"] = s.Replay(ctx, webhook.ReplayRequest{AccountID: acct, EndpointID: ep.ID, Limit: 10})
	_, errs["QueueStats"] = s.QueueStats(ctx, acct, ep.ID)
	return errs
}
