package storetest

import (
	"context"
	"maps"
	"time"

	"github.com/ringyo-ai/webhook"
)

func (f *faulty) Tallies(ctx context.Context, account string, q webhook.TallyQuery) (map[string][]webhook.Tally, error) {
	if f.talliesIn != nil {
		f.talliesIn(&q)
	}
	all, err := f.mem.Tallies(ctx, account, q)
	if f.talliesOut != nil {
		f.talliesOut(all)
	}
	return all, err
}

var brokenTally = []broken{
	{rule: "TalliesCountWhatIsRecorded", fault: func(f *faulty) { // retries are left out
		f.settleIn = func(s *webhook.Settlement) { s.Tally = s.Tally && s.Outcome != webhook.OutcomeRetry }
	}},
	{rule: "TalliesAreByTheHour", fault: func(f *faulty) {
		f.talliesIn = func(q *webhook.TallyQuery) { q.Until = time.Time{} }
	}},
	{rule: "TalliesAreOfSeveralEndpoints", fault: func(f *faulty) { // those of a quiet one are left out
		f.talliesOut = func(all map[string][]webhook.Tally) {
			maps.DeleteFunc(all, func(_ string, list []webhook.Tally) bool { return len(all) > 1 && len(list) == 0 })
		}
	}},
	{rule: "TalliesLoseNothingInARace", fault: func(f *faulty) { // the last one of three wins
		f.settleIn = func(s *webhook.Settlement) { s.Tally = s.Tally && s.EndpointID != "wh_3" }
	}},
	{rule: "DeletingAnAccountRemovesItsTallies", fault: func(f *faulty) {
		f.accountOut = func(webhook.AccountDelete, *webhook.AccountDeleted, *error) { f.remember("deleted", true) }
		f.talliesOut = func(all map[string][]webhook.Tally) {
			if f.recall("deleted") != nil {
				all["wh_1"] = []webhook.Tally{{Hour: time.Unix(0, 0).UTC(), Delivered: 1}}
			}
		}
	}},
}
