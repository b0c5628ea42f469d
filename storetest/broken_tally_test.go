package storetest

import (
	"context"
	"time"

	"github.com/ringyo-ai/webhook"
)

func (f *faulty) Tallies(ctx context.Context, account, id string, from, until time.Time) ([]webhook.Tally, error) {
	if f.talliesIn != nil {
		f.talliesIn(&from, &until)
	}
	list, err := f.mem.Tallies(ctx, account, id, from, until)
	if f.talliesOut != nil {
		f.talliesOut(&list)
	}
	return list, err
}

var brokenTally = []broken{
	{rule: "TalliesCountWhatIsRecorded", fault: func(f *faulty) { // retries are left out
		f.settleIn = func(s *webhook.Settlement) { s.Tally = s.Tally && s.Outcome != webhook.OutcomeRetry }
	}},
	{rule: "TalliesAreByTheHour", fault: func(f *faulty) {
		f.talliesIn = func(_, until *time.Time) { *until = time.Time{} }
	}},
	{rule: "TalliesLoseNothingInARace", fault: func(f *faulty) { // the last one of three wins
		f.settleIn = func(s *webhook.Settlement) { s.Tally = s.Tally && s.EndpointID != "wh_3" }
	}},
	{rule: "DeletingAnAccountRemovesItsTallies", fault: func(f *faulty) {
		f.accountOut = func(webhook.AccountDelete, *webhook.AccountDeleted, *error) { f.remember("deleted", true) }
		f.talliesOut = func(list *[]webhook.Tally) {
			if f.recall("deleted") != nil {
				*list = append(*list, webhook.Tally{Hour: time.Unix(0, 0).UTC(), Delivered: 1})
			}
		}
	}},
}
