package storetest

import (
	"time"

	"github.com/ringyo-ai/webhook"
)

func needsBegin(h Harness) string {
	if h.Begin == nil {
		return "Harness.Begin is nil"
	}
	return ""
}

func needsOpenTx(h Harness) string {
	if h.OneWriter {
		return "Harness.OneWriter: nothing else can write while a transaction is open"
	}
	return needsBegin(h)
}

var txRules = []rule{
	{
		name:     "CommitMakesDurable",
		sentence: "In a caller's transaction nil means durable once that commits; nothing is handed off.",
		needs:    needsBegin,
		run: func(e *env) {
			e.endpoint("wh_1")
			tx, commit, _ := e.h.Begin(e.TB, e.store)
			r := e.groups(tx, terms(10, 10), []webhook.EventRecord{event("evt_1")}, []webhook.EventRecord{event("evt_2")})
			e.must("first group", r.Errs[0])
			e.must("second group", r.Errs[1])
			same(e, "handed off", len(r.Leased), 0)
			e.must("commit", commit())
			for _, id := range []string{"evt_1", "evt_2"} {
				_, err := e.store.GetEvent(e.ctx, acct, id)
				e.must("GetEvent", err)
			}
			all := e.claimAll()
			same(e, "deliveries", len(all), 2)
			e.deliver(all...)
		},
	},
	{
		name:     "RollbackLeavesNothing", // D22
		sentence: "After a rollback nothing ever happened: no event, no delivery, and the id is free.",
		needs:    needsBegin,
		run: func(e *env) {
			e.endpoint("wh_1")
			tx, _, rollback := e.h.Begin(e.TB, e.store)
			e.must("Enqueue", e.groups(tx, webhook.LeaseTerms{}, []webhook.EventRecord{event("evt_1")}).Errs[0])
			e.must("rollback", rollback())
			_, err := e.store.GetEvent(e.ctx, acct, "evt_1")
			e.wantErr("GetEvent", err, webhook.ErrNotFound)
			e.maintain()
			e.none("the transaction was rolled back")
			same(e, "unfinished deliveries", e.stats(""), webhook.QueueStats{})
			reused := event("evt_1")
			reused.Data = []byte(`"other"`)
			e.enqueue(reused)
			e.one()
		},
	},
	{
		name:     "ConflictLeavesTheTransactionUsable",
		sentence: "A caller's transaction stays usable after a conflict; ids already stored, before it or in it, are no news.",
		needs:    needsBegin,
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(event("evt_1"))
			e.deliver(e.one())
			tx, commit, _ := e.h.Begin(e.TB, e.store)
			bad, worse := event("evt_1"), event("evt_2")
			bad.Data, worse.Data = []byte(`"other"`), []byte(`"other"`)
			r := e.groups(tx, webhook.LeaseTerms{},
				[]webhook.EventRecord{event("evt_2")},
				[]webhook.EventRecord{event("evt_3"), bad},
				[]webhook.EventRecord{worse},
				[]webhook.EventRecord{event("evt_1"), event("evt_2")})
			e.must("first group", r.Errs[0])
			e.wantErr("conflict with what was stored before", r.Errs[1], webhook.ErrIDConflict)
			e.wantErr("conflict with what the transaction stored", r.Errs[2], webhook.ErrIDConflict)
			e.must("ids that are stored already", r.Errs[3])
			e.must("a later call", e.groups(tx, webhook.LeaseTerms{}, []webhook.EventRecord{event("evt_4")}).Errs[0])
			e.must("commit", commit())
			_, err := e.store.GetEvent(e.ctx, acct, "evt_3")
			e.wantErr("GetEvent of the conflict's neighbour", err, webhook.ErrNotFound)
			same(e, "deliveries", len(e.claimAll()), 2)
		},
	},
	{
		name:     "LateHoldIsFound", // D23
		sentence: "What a transaction holds because its endpoint was inactive goes though that was enabled before the commit: Claim finds it, or NextIn asks for the Maintain that does.",
		needs:    needsOpenTx,
		run: func(e *env) {
			e.endpoint("wh_1")
			e.disable("wh_1")
			tx, commit, _ := e.h.Begin(e.TB, e.store)
			e.must("Enqueue", e.groups(tx, webhook.LeaseTerms{}, []webhook.EventRecord{event("evt_late")}).Errs[0])
			e.enable("wh_1")
			e.maintain()
			e.must("commit", commit())
			c := e.claim(terms(100, 100))
			if len(c.Deliveries) == 0 {
				e.check(c.NextIn >= 0, "NextIn: got %v, want a time to look again", c.NextIn)
				e.maintain()
				c = e.claim(terms(100, 100))
			}
			same(e, "claimed", eventIDs(c.Deliveries), []string{"evt_late"})
		},
	},
	{
		name:     "LateCommitIsFound", // D23
		sentence: "Nothing is decided by the last id seen: what a transaction commits ten minutes late is found like everything else.",
		needs:    needsOpenTx,
		run: func(e *env) {
			e.endpoint("wh_1")
			e.endpoint("wh_2")
			tx, commit, _ := e.h.Begin(e.TB, e.store)
			e.must("Enqueue", e.groups(tx, webhook.LeaseTerms{}, []webhook.EventRecord{event("evt_late")}).Errs[0])
			_, err := e.store.GetEvent(e.ctx, acct, "evt_late")
			e.wantErr("GetEvent before the commit", err, webhook.ErrNotFound)
			e.enqueue(events("evt", 3)...)
			c := e.claim(terms(100, 100))
			same(e, "claimed before the commit", len(c.Deliveries), 6)
			e.deliver(c.Deliveries...)
			e.enqueue(event("evt_new"))
			late := e.claimFrom(c.Cursor, terms(100, 100))
			same(e, "claimed before the commit", len(late.Deliveries), 2)
			e.must("commit", commit())
			found := e.claimFrom(late.Cursor, terms(100, 100)).Deliveries
			same(e, "claimed after the commit", eventIDs(found), []string{"evt_late", "evt_late"})
			e.deliver(found...)
			e.maintainWith(webhook.MaintainRequest{Limit: 100, Retention: 365 * 24 * time.Hour})
			_, err = e.store.GetEvent(e.ctx, acct, "evt_late")
			e.must("GetEvent after the commit", err)
		},
	},
}
