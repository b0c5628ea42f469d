package storetest

import (
	"github.com/ringyo-ai/webhook"
)

var isolationRules = []rule{
	{
		name:     "EndpointsOfOthersAreNotFound",
		sentence: "An account's id never reaches another account's endpoint: it returns ErrNotFound, exactly like what does not exist.",
		run: func(e *env) {
			was := e.endpoint("wh_1")
			e.enqueue(event("evt_1"))
			for _, id := range []string{"wh_1", "wh_none"} {
				for _, account := range []string{other, ""} {
					_, err := e.store.GetEndpoint(e.ctx, account, id)
					e.wantErr("GetEndpoint", err, webhook.ErrNotFound)
					r := was
					r.ID, r.AccountID, r.Description = id, account, "changed"
					_, err = e.store.UpdateEndpoint(e.ctx, webhook.EndpointUpdate{Record: r, Reset: true})
					e.wantErr("UpdateEndpoint", err, webhook.ErrNotFound)
					e.wantErr("DeleteEndpoint", e.store.DeleteEndpoint(e.ctx, webhook.EndpointDelete{AccountID: account, ID: id}), webhook.ErrNotFound)
					_, err = e.store.QueueStats(e.ctx, account, id)
					e.wantErr("QueueStats", err, webhook.ErrNotFound)
					_, err = e.store.Replay(e.ctx, webhook.ReplayRequest{AccountID: account, EndpointID: id, Limit: 10})
					e.wantErr("Replay", err, webhook.ErrNotFound)
					p, err := e.store.ListEndpoints(e.ctx, webhook.EndpointFilter{AccountID: account, Limit: 10})
					e.must("ListEndpoints", err)
					same(e, "endpoints listed", len(p.Items), 0)
				}
			}
			got := e.get("wh_1")
			sameConfig(e, "endpoint after all", got, was)
			same(e, "Revision", got.Revision, was.Revision)
			same(e, "Generation", got.Generation, was.Generation)
			e.one()
		},
	},
	{
		name:     "LogsOfOthersAreNotFound",
		sentence: "An account's id never reaches another account's events, deliveries and attempts.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(event("evt_1"))
			l := e.one()
			e.deliver(l)
			for _, account := range []string{other, ""} {
				_, err := e.store.GetEvent(e.ctx, account, "evt_1")
				e.wantErr("GetEvent", err, webhook.ErrNotFound)
				_, err = e.store.ListAttempts(e.ctx, account, l.DeliveryID)
				e.wantErr("ListAttempts", err, webhook.ErrNotFound)
				_, err = e.store.Redeliver(e.ctx, account, l.DeliveryID)
				e.wantErr("Redeliver", err, webhook.ErrNotFound)
				for what, f := range map[string]webhook.DeliveryFilter{
					"by endpoint": {EndpointID: "wh_1"}, "by event": {EventID: "evt_1"}, "by id": {DeliveryID: l.DeliveryID},
				} {
					f.AccountID, f.Limit = account, 10
					p, err := e.store.ListDeliveries(e.ctx, f)
					if f.EndpointID != "" {
						e.wantErr("ListDeliveries "+what, err, webhook.ErrNotFound)
					} else {
						e.must("ListDeliveries", err)
					}
					e.check(len(p.Items) == 0 && p.Next == "", "ListDeliveries %s: got %+v, want an empty page", what, p)
				}
			}
			e.status(l, webhook.DeliveryDelivered)
			e.none("it is delivered")
		},
	},
}
