package storetest

import (
	"fmt"
	"time"

	"github.com/ringyo-ai/webhook"
)

var revisionRules = []rule{
	{
		name:     "RevisionsSayWhatWasSentWith",
		sentence: "An UpdateEndpoint that changes URL, Secrets or Headers ends one revision, and so does DeleteEndpoint; ListRevisions returns the present one first, and those before.",
		run: func(e *env) {
			made := e.endpoint("wh_1")
			first := made.Secrets[0].Secret
			e.update("wh_1", false, func(r *webhook.EndpointRecord) { r.Description, r.Metadata = "new", map[string]string{"k": "v"} })
			e.disable("wh_1")
			e.enable("wh_1")
			list := e.revisions("wh_1")
			same(e, "revisions after changes of nothing that is sent", len(list), 1)
			same(e, "the first number", list[0].Revision, made.Revision)
			same(e, "URL", list[0].URL, made.URL)
			e.recent("Since", list[0].Since)
			e.check(list[0].Until.IsZero(), "Until of the present one is set")

			soon, next := e.now().Add(24*time.Hour).Truncate(time.Second), webhook.NewSecret()
			moved := e.update("wh_1", true, func(r *webhook.EndpointRecord) { r.URL = oddURL })
			headers := e.update("wh_1", false, func(r *webhook.EndpointRecord) { r.Headers = webhook.Headers{"X-Key": "v"} })
			rotated := e.update("wh_1", true, func(r *webhook.EndpointRecord) {
				r.Secrets = []webhook.EndpointSecret{{Secret: next}, {Secret: first, ExpiresAt: soon}}
			})
			value := e.update("wh_1", false, func(r *webhook.EndpointRecord) { r.Headers = webhook.Headers{"X-Key": "w"} })
			check := func(list webhook.EndpointRevisions) {
				e.Helper()
				numbers := []int64{}
				for _, r := range list {
					numbers = append(numbers, r.Revision)
				}
				same(e, "numbers", numbers, []int64{value.Revision, rotated.Revision, headers.Revision, moved.Revision, made.Revision})
				same(e, "URL before the first change", list[4].URL, made.URL)
				for i, r := range list[:4] {
					same(e, fmt.Sprint("URL ", i), r.URL, oddURL)
					near(e, fmt.Sprint("end of the one before ", i), list[i+1].Until, r.Since)
				}
				same(e, "headers before they were given", len(list[3].HeaderNames), 0)
				same(e, "headers", list[2].HeaderNames, []string{"X-Key"})
				same(e, "hints before the rotation", hints(list[2]), []string{first.Hint()})
				same(e, "hints after the rotation", hints(list[1]), []string{next.Hint(), first.Hint()})
				near(e, "expiry of the old secret", list[1].Secrets[1].ExpiresAt, soon)
			}
			check(e.revisions("wh_1"))
			_, err := e.store.ListRevisions(e.ctx, acct, "wh_none")
			e.wantErr("ListRevisions of no endpoint", err, webhook.ErrNotFound)
			_, err = e.store.ListRevisions(e.ctx, other, "wh_1")
			e.wantErr("ListRevisions of another account's", err, webhook.ErrNotFound)
			e.delete("wh_1")
			list = e.revisions("wh_1")
			check(list)
			e.recent("Until after the deletion", list[0].Until)
		},
	},
	{
		name:     "OldRevisionsArePurged",
		sentence: "Maintain purges revisions that ended longer ago than Retention; at most the latest MaxRevisions of those that ended are kept.",
		run: func(e *env) {
			made := e.endpoint("wh_1")
			e.endpoint("wh_gone")
			move := func(i int) webhook.EndpointRecord {
				return e.update("wh_1", true, func(r *webhook.EndpointRecord) { r.URL = fmt.Sprint("https://example.org/", i) })
			}
			e.h.Advance(e.TB, e.store, time.Hour)
			second := move(2)
			e.delete("wh_gone")
			e.h.Advance(e.TB, e.store, time.Hour)
			third := move(3)
			e.h.Advance(e.TB, e.store, time.Hour)
			purge := func(retention time.Duration) webhook.EndpointRevisions {
				e.Helper()
				e.maintainWith(webhook.MaintainRequest{Limit: 1, Retention: retention})
				return e.revisions("wh_1")
			}
			same(e, "kept without Retention", len(purge(0)), 3)
			list := purge(90 * time.Minute)
			same(e, "kept of what ended an hour and two hours ago", len(list), 2)
			same(e, "the present one", list[0].Revision, third.Revision)
			_, known := list.Of(webhook.Attempt{Revision: made.Revision, At: e.now()})
			e.check(!known, "an attempt of a purged revision is given another one")
			of, known := list.Of(webhook.Attempt{Revision: second.Revision, At: e.now()})
			e.check(known && of.URL == second.URL, "an attempt of a kept revision is given %q", of.URL)
			_, err := e.store.ListRevisions(e.ctx, acct, "wh_gone")
			e.wantErr("ListRevisions of a deleted one that is purged", err, webhook.ErrNotFound)
			same(e, "kept of the present one", len(purge(time.Nanosecond)), 1)
			for i := range webhook.MaxRevisions + 3 {
				move(i)
			}
			list = e.revisions("wh_1")
			same(e, "the most", len(list), 1+webhook.MaxRevisions)
			same(e, "URL of the oldest", list[len(list)-1].URL, "https://example.org/2")
		},
	},
}

func (e *env) revisions(id string) webhook.EndpointRevisions {
	e.Helper()
	list, err := e.store.ListRevisions(e.ctx, acct, id)
	e.must("ListRevisions", err)
	return list
}

func hints(r webhook.EndpointRevision) (all []string) {
	for _, s := range r.Secrets {
		all = append(all, s.Hint)
	}
	return all
}
