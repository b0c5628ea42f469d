package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringyo-ai/webhook"
)

// oddURL has in it what some layer on the way to a table could read as its own.
const oddURL = "https://example.org/a%2Fb/..%2f;c=1/%7Benv%7D/$1/:x?d=%zz&e[]={f}|\\'\"&g=?"

var endpointRules = []rule{
	{
		name:     "EndpointComesBackAsCreated",
		sentence: "CreateEndpoint stores a new endpoint and returns it as stored: the store sets CreatedAt, UpdatedAt, Revision, Generation and HeaderNames.",
		run: func(e *env) {
			r := record(acct, "wh_1", "call.*", "credits.low")
			r.Description = "orders"
			r.Metadata, r.Headers = map[string]string{"team": "a"}, webhook.Headers{"X-Key": "b", "Authorization": "Bearer c"}
			r.HeaderNames = []string{"X-Ignored"}
			made := e.create(r)
			sameConfig(e, "returned", made, r)
			sameConfig(e, "stored", e.get("wh_1"), r)
			same(e, "HeaderNames", made.HeaderNames, []string{"Authorization", "X-Key"})
			e.recent("CreatedAt", made.CreatedAt)
			e.recent("UpdatedAt", made.UpdatedAt)
			e.check(made.Revision > 0 && made.Generation > 0, "Revision %d and Generation %d are not set", made.Revision, made.Generation)
			same(e, "Status", made.Status, webhook.EndpointActive)
			same(e, "ConsecutiveFailures", made.ConsecutiveFailures, 0)
			e.check(made.LastTriggeredAt.IsZero() && made.LastSuccessAt.IsZero() && made.LastFailureAt.IsZero() &&
				made.DisabledAt.IsZero() && made.FailingSince.IsZero(), "a time of a new endpoint is set: %+v", made.Endpoint)
		},
	},
	{
		name:     "EndpointSecretsKeepOrderAndExpiry",
		sentence: "GetEndpoint returns one endpoint with its secrets, of every kind and size; they are newest first, with their expiry, in a lease too.",
		run: func(e *env) {
			short, err := webhook.RawSecret([]byte("16 bytes, no more")[:16]) // which ParseSecret refuses
			e.check(err == nil, "RawSecret: %v", err)
			r := record(acct, "wh_1", "*")
			soon := e.now().Add(24 * time.Hour).Truncate(time.Second)
			r.Secrets = []webhook.EndpointSecret{
				{Secret: webhook.NewSecret()},
				{Secret: webhook.NewSigningKey()},
				{Secret: short, ExpiresAt: soon},
				{Secret: webhook.NewSecret(), ExpiresAt: soon.Add(-30 * 24 * time.Hour)},
			}
			sameSecrets(e, "created", e.create(r).Secrets, r.Secrets)
			sameSecrets(e, "read", e.get("wh_1").Secrets, r.Secrets)
			e.enqueue(event("evt_1"))
			sameSecrets(e, "claimed", e.one().Target.Secrets, r.Secrets)
			rotated := append([]webhook.EndpointSecret{{Secret: webhook.NewSecret()}}, r.Secrets...)
			u := e.update("wh_1", true, func(r *webhook.EndpointRecord) { r.Secrets = rotated })
			sameSecrets(e, "updated", u.Secrets, rotated)
			r2 := e.groups(e.store, terms(1, 1), []webhook.EventRecord{event("evt_2")})
			sameSecrets(e, "handed off", r2.Leased[0].Target.Secrets, rotated)
		},
	},
	{
		name:     "EndpointLimit",
		sentence: "CreateEndpoint fails with ErrEndpointLimit when the account already has Max endpoints; 0 means any number.",
		run: func(e *env) {
			e.endpointOf(other, "wh_other")
			e.endpoint("wh_1")
			e.endpoint("wh_2")
			create := func(id string, limit int) error {
				_, err := e.store.CreateEndpoint(e.ctx, webhook.EndpointCreate{Record: record(acct, id, "*"), Max: limit})
				return err
			}
			e.wantErr("third of two", create("wh_3", 2), webhook.ErrEndpointLimit)
			_, err := e.store.GetEndpoint(e.ctx, acct, "wh_3")
			e.wantErr("Get of the refused one", err, webhook.ErrNotFound)
			e.must("third of three", create("wh_3", 3))
			e.must("any number", create("wh_4", 0))
			e.delete("wh_1")
			e.delete("wh_2")
			e.must("third of three after deletions", create("wh_5", 3))
		},
	},
	{
		name:     "EndpointLimitHoldsInARace",
		sentence: "The limit is checked so that two concurrent calls cannot both pass.",
		run: func(e *env) {
			var made atomic.Int32
			parallel(racedCallers, func(i int) {
				_, err := e.store.CreateEndpoint(e.ctx, webhook.EndpointCreate{Record: record(acct, fmt.Sprint("wh_", i), "*"), Max: racedLimit})
				switch {
				case err == nil:
					made.Add(1)
				case !errors.Is(err, webhook.ErrEndpointLimit):
					e.Errorf("CreateEndpoint: got error %v, want ErrEndpointLimit", err)
				}
			})
			same(e, "endpoints made", made.Load(), racedLimit)
		},
	},
	{
		name:     "EndpointIDsAreNeverUsedTwice", // D9
		sentence: "CreateEndpoint fails with ErrIDConflict when the id is or was in use: an id is not given twice within Retention, so that old deliveries never reach a new URL.",
		run: func(e *env) {
			first := e.endpoint("wh_1")
			again := func(account, what string) {
				_, err := e.store.CreateEndpoint(e.ctx, webhook.EndpointCreate{Record: record(account, "wh_1", "*")})
				e.wantErr(what, err, webhook.ErrIDConflict)
			}
			again(acct, "id in use")
			again(other, "id in use by another account")
			sameConfig(e, "endpoint after the refusals", e.get("wh_1"), first)
			e.enqueue(event("evt_1"))
			e.delete("wh_1")
			again(acct, "id of a deleted endpoint")
			again(other, "id of another account's deleted endpoint")
			e.maintain()
			again(acct, "id of a deleted endpoint, after Maintain")
			e.h.Advance(e.TB, e.store, 48*time.Hour)
			e.maintainWith(webhook.MaintainRequest{Limit: 100, Retention: 240 * time.Hour})
			again(acct, "id of a deleted endpoint within Retention")
		},
	},
	{
		name:     "UpdateReplacesTheConfiguration",
		sentence: "UpdateEndpoint replaces the configuration and returns the endpoint as it then is, with a higher Revision. Counters and times in the record are ignored.",
		run: func(e *env) {
			was := e.endpoint("wh_1")
			e.enqueue(events("evt", 2)...)
			l := e.claimAll()
			e.applied(failure(l[0], 0))
			counted := e.get("wh_1")
			u := e.update("wh_1", false, func(r *webhook.EndpointRecord) {
				r.URL, r.Events, r.Description = oddURL, []webhook.EventType{"agent.*"}, "new"
				r.Metadata, r.Headers = map[string]string{"new": "1"}, webhook.Headers{"New": "2"}
				r.Secrets = []webhook.EndpointSecret{{Secret: webhook.NewSecret()}}
				r.ConsecutiveFailures, r.LastFailureAt, r.CreatedAt = 77, time.Time{}, time.Time{}
			})
			e.check(u.Revision > counted.Revision, "Revision did not grow")
			same(e, "Generation", u.Generation, was.Generation)
			same(e, "URL", u.URL, oddURL)
			same(e, "ConsecutiveFailures", u.ConsecutiveFailures, 1)
			same(e, "Status", u.Status, webhook.EndpointFailing)
			near(e, "CreatedAt", u.CreatedAt, was.CreatedAt)
			near(e, "LastFailureAt", u.LastFailureAt, counted.LastFailureAt)
			sameConfig(e, "stored", e.get("wh_1"), u)
			old, agent := event("evt_old"), event("evt_agent")
			agent.Type = webhook.EventAgentCreated
			e.enqueue(old, agent)
			got := e.one()
			same(e, "event by the new subscription", got.Event.ID, "evt_agent")
			same(e, "URL of a new lease", got.Target.URL, oddURL)
			same(e, "headers of a new lease", got.Target.Headers["New"], "2")
			same(e, "HeaderNames", u.HeaderNames, []string{"New"})
		},
	},
	{
		name:     "UpdateKeepsWhatIsEmpty",
		sentence: "Secrets and Events that are empty, which they never are, stay as they are stored, since they could not be read before.",
		run: func(e *env) {
			was := e.endpoint("wh_1")
			e.update("wh_1", false, func(r *webhook.EndpointRecord) { r.Description, r.Secrets, r.Events = "new", nil, nil })
			got := e.get("wh_1")
			same(e, "Description", got.Description, "new")
			e.check(len(got.Secrets) == 1 && got.Secrets[0].Secret.Reveal() == was.Secrets[0].Secret.Reveal(), "the secret was lost")
			same(e, "Events", got.Events, was.Events)
			e.enqueue(event("evt_1"))
			same(e, "event by the subscription", e.one().Event.ID, "evt_1")
		},
	},
	{
		name:     "UpdateChecksTheRevision",
		sentence: "UpdateEndpoint changes nothing and fails with ErrVersionConflict unless the stored Revision is the record's.",
		run: func(e *env) {
			was := e.endpoint("wh_1")
			e.update("wh_1", false, func(r *webhook.EndpointRecord) { r.Description = "first" })
			was.Description = "second"
			_, err := e.store.UpdateEndpoint(e.ctx, webhook.EndpointUpdate{Record: was, Reset: true})
			e.wantErr("UpdateEndpoint with an old version", err, webhook.ErrVersionConflict)
			got := e.get("wh_1")
			same(e, "Description", got.Description, "first")
			same(e, "Generation", got.Generation, was.Generation)

			var won atomic.Int32
			parallel(8, func(i int) {
				r := got
				r.Description = fmt.Sprint("racer ", i)
				_, err := e.store.UpdateEndpoint(e.ctx, webhook.EndpointUpdate{Record: r})
				switch {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, webhook.ErrVersionConflict):
					e.Errorf("UpdateEndpoint: got error %v, want ErrVersionConflict", err)
				}
			})
			same(e, "updates from one version that passed", won.Load(), 1)
		},
	},
	{
		name:     "DeleteChecksTheRevision",
		sentence: "DeleteEndpoint deletes nothing and fails with ErrVersionConflict unless IfRevision is 0 or the stored Revision.",
		run: func(e *env) {
			was := e.endpoint("wh_1")
			got := e.update("wh_1", false, func(r *webhook.EndpointRecord) { r.Description = "changed" })
			remove := func(account string, revision int64) error {
				return e.store.DeleteEndpoint(e.ctx, webhook.EndpointDelete{AccountID: account, ID: "wh_1", IfRevision: revision})
			}
			for _, old := range []int64{was.Revision, got.Revision + 1, -1} {
				e.wantErr("DeleteEndpoint of another revision", remove(acct, old), webhook.ErrVersionConflict)
			}
			e.wantErr("DeleteEndpoint with another account", remove(other, got.Revision), webhook.ErrNotFound)
			e.wantErr("DeleteEndpoint of another revision, with another account", remove(other, was.Revision), webhook.ErrNotFound)
			same(e, "Description", e.get("wh_1").Description, "changed")
			same(e, "Revision", e.get("wh_1").Revision, got.Revision)
			e.enqueue(event("evt_1"))
			e.one()

			var errs [2]error
			parallel(2, func(i int) {
				if i == 0 {
					errs[i] = remove(acct, got.Revision)
					return
				}
				_, errs[i] = e.store.UpdateEndpoint(e.ctx, webhook.EndpointUpdate{Record: got})
			})
			switch deleted, updated := errs[0], errs[1]; {
			case deleted == nil:
				e.wantErr("UpdateEndpoint of what is deleted", updated, webhook.ErrNotFound)
			default:
				e.wantErr("DeleteEndpoint of what was changed", deleted, webhook.ErrVersionConflict)
				e.must("UpdateEndpoint", updated)
				e.must("DeleteEndpoint", remove(acct, e.get("wh_1").Revision))
			}
			e.wantErr("DeleteEndpoint once more", remove(acct, 0), webhook.ErrNotFound)
		},
	},
	{
		name:     "GenerationGrows",
		sentence: "Generation grows with each update that has Reset, and with each disabling; Reset starts with no failures.",
		run: func(e *env) {
			was := e.endpoint("wh_1")
			e.enqueue(events("evt", 2)...)
			l := e.claimAll()
			e.applied(failure(l[0], 0))
			keep := func(*webhook.EndpointRecord) {}
			same(e, "Generation without Reset", e.update("wh_1", false, keep).Generation, was.Generation)
			u := e.update("wh_1", true, keep)
			e.check(u.Generation > was.Generation, "Generation did not grow with Reset")
			same(e, "ConsecutiveFailures after Reset", u.ConsecutiveFailures, 0)
			e.check(u.FailingSince.IsZero(), "FailingSince is still set after Reset")
			d := e.disable("wh_1")
			e.check(d.Generation > u.Generation, "Generation did not grow with disabling")
			on := e.enable("wh_1")
			e.check(on.Generation > d.Generation, "Generation did not grow with enabling")
			off := e.update("wh_1", false, func(r *webhook.EndpointRecord) { r.Status = webhook.EndpointInactive })
			e.check(off.Generation > on.Generation, "Generation did not grow with disabling without Reset")
		},
	},
	{
		name:     "SwitchingOffHoldsAndOnReleases", // D5
		sentence: "Switching off keeps pending deliveries: from then on no Claim returns them and Maintain holds them. Switching on makes Maintain release them.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(events("evt", 3)...)
			off := e.disable("wh_1")
			same(e, "Status", off.Status, webhook.EndpointInactive)
			same(e, "DisabledReason", off.DisabledReason, webhook.DisabledManually)
			e.recent("DisabledAt", off.DisabledAt)
			e.none("the endpoint is inactive, Maintain not yet run")
			same(e, "Held by Maintain", e.maintain().Held, 3)
			same(e, "deliveries held", len(e.list(webhook.DeliveryFilter{EndpointID: "wh_1", Status: webhook.DeliveryHeld})), 3)
			e.none("the endpoint is inactive")
			on := e.enable("wh_1")
			same(e, "Status", on.Status, webhook.EndpointActive)
			same(e, "DisabledReason", on.DisabledReason, "")
			e.check(on.DisabledAt.IsZero(), "DisabledAt is still set")
			same(e, "Released by Maintain", e.maintain().Released, 3)
			e.deliver(e.claimAll()...)
			same(e, "deliveries delivered", len(e.list(webhook.DeliveryFilter{EndpointID: "wh_1", Status: webhook.DeliveryDelivered})), 3)
		},
	},
	{
		name:     "WaitingRetriesOfAnInactiveEndpointAreHeld",
		sentence: "Deliveries that wait for a retry are held when they are due at the latest; enabling releases them.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(events("evt", 2)...)
			l := e.claimAll()
			e.applied(result(l[0], webhook.OutcomeRetry))
			e.disable("wh_1")
			e.applied(result(l[1], webhook.OutcomeRetry)) // was in flight
			e.maintain()
			e.none("the endpoint is inactive")
			e.advance(20 * time.Minute)
			e.none("the endpoint is inactive")
			same(e, "deliveries held", len(e.list(webhook.DeliveryFilter{EndpointID: "wh_1", Status: webhook.DeliveryHeld})), 2)
			e.enable("wh_1")
			e.maintain()
			for _, l := range e.claimAll() {
				same(e, "Attempts after a hold", l.Attempts, 1)
				e.deliver(l)
			}
			same(e, "deliveries delivered", len(e.list(webhook.DeliveryFilter{EndpointID: "wh_1", Status: webhook.DeliveryDelivered})), 2)
		},
	},
	{
		name:     "EndpointsAreListedNewestFirst",
		sentence: "ListEndpoints returns the endpoints of one account, newest first, by status, with a cursor.",
		run: func(e *env) {
			var want []string
			for i := range 7 {
				id := fmt.Sprintf("wh_%d", i)
				e.endpoint(id)
				want = append([]string{id}, want...)
				e.h.Advance(e.TB, e.store, time.Minute)
			}
			e.endpointOf(other, "wh_other")
			e.disable("wh_3")
			list := func(account string, status webhook.EndpointStatus, limit int) []string {
				all := pages(e, "ListEndpoints", limit, func(cursor string) (webhook.Page[webhook.EndpointRecord], error) {
					return e.store.ListEndpoints(e.ctx, webhook.EndpointFilter{AccountID: account, Status: status, Cursor: cursor, Limit: limit})
				})
				ids := []string{}
				for _, r := range all {
					e.check(len(r.Secrets) == 1, "%s is listed without its secret", r.ID)
					ids = append(ids, r.ID)
				}
				return ids
			}
			for _, limit := range []int{1, 2, 3, 7, 100} {
				same(e, fmt.Sprint("pages of ", limit), list(acct, "", limit), want)
			}
			same(e, "inactive ones", list(acct, webhook.EndpointInactive, 2), []string{"wh_3"})
			same(e, "active ones", len(list(acct, webhook.EndpointActive, 2)), 6)
			same(e, "an account without endpoints", list("acc_none", "", 2), []string{})
			e.delete("wh_6")
			same(e, "after a deletion", list(acct, "", 2), slices.DeleteFunc(want, func(id string) bool { return id == "wh_6" }))
		},
	},
}

// sameConfig compares what a caller sets of an endpoint.
func sameConfig(e *env, what string, got, want webhook.EndpointRecord) {
	e.Helper()
	same(e, what+": ID", got.ID, want.ID)
	same(e, what+": AccountID", got.AccountID, want.AccountID)
	same(e, what+": URL", got.URL, want.URL)
	same(e, what+": Events", slices.Sorted(slices.Values(got.Events)), slices.Sorted(slices.Values(want.Events)))
	same(e, what+": Description", got.Description, want.Description)
	e.check(equalMaps(got.Metadata, want.Metadata), "%s: Metadata: got %v, want %v", what, got.Metadata, want.Metadata)
	e.check(equalMaps(got.Headers, want.Headers), "%s: Headers: got %v, want %v, or other values", what, got.Headers, want.Headers)
	same(e, what+": HeaderNames", got.HeaderNames, got.Headers.Names())
	same(e, what+": Status", got.Status, want.Status)
	sameSecrets(e, what, got.Secrets, want.Secrets)
}

func equalMaps(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if w, ok := b[k]; !ok || w != v {
			return false
		}
	}
	return true
}

func sameSecrets(e *env, what string, got, want []webhook.EndpointSecret) {
	e.Helper()
	if len(got) != len(want) {
		e.Errorf("%s: got %d secrets, want %d", what, len(got), len(want))
		return
	}
	for i := range got {
		e.check(got[i].Secret.Reveal() == want[i].Secret.Reveal(), "%s: secret %d differs", what, i)
		if want[i].ExpiresAt.IsZero() {
			e.check(got[i].ExpiresAt.IsZero(), "%s: secret %d expires at %v, want never", what, i, got[i].ExpiresAt)
		} else {
			near(e, fmt.Sprintf("%s: expiry of secret %d", what, i), got[i].ExpiresAt, want[i].ExpiresAt)
		}
	}
}

// parallel runs f n times at once and waits.
func parallel(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}
