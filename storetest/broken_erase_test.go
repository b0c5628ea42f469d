package storetest

import (
	"bytes"
	"strings"

	"github.com/ringyo-ai/webhook"
)

var brokenErase = []broken{
	{rule: "RedactingRemovesWhatAnEventSays", fault: func(f *faulty) { // once more is not found
		f.redacted = func(_, id string, err *error) {
			if f.recall("redacted "+id) != nil {
				*err = webhook.ErrNotFound
			}
			f.remember("redacted "+id, true)
		}
	}},
	{rule: "RedactingCancelsWhatHasNotEnded", fault: func(f *faulty) { // a late success is logged whole
		var late []webhook.Settlement
		f.redacted = func(string, string, *error) { f.remember("redacted", true) }
		f.settleOut = func(batch []webhook.Settlement, out *webhook.Settled) {
			if f.recall("redacted") != nil {
				late = append(late, batch...)
			}
		}
		f.attemptsOut = func(all []webhook.Attempt) {
			for i := range all {
				for _, s := range late {
					if s.DeliveryID == all[i].DeliveryID {
						all[i].ResponseBody = bytes.Clone(s.Attempt.ResponseBody)
					}
				}
			}
		}
	}},
	{rule: "RedactedEventsAreNotSentAgain", fault: func(f *faulty) { // it conflicts with itself
		f.redacted = func(_, id string, _ *error) { f.remember("redacted "+id, true) }
		f.enqueueOut = func(r webhook.EnqueueRequest, out *webhook.Enqueued) {
			for i, g := range r.Groups {
				for _, ev := range g {
					if ev.ID == "evt_1" && f.recall("redacted evt_1") != nil {
						out.Errs[i] = webhook.ErrIDConflict
					}
				}
			}
		}
	}},
	{rule: "DeletingAnAccountRemovesAllOfIt", fault: func(f *faulty) { // all at once
		f.accountIn = func(r *webhook.AccountDelete) { r.Limit = 1 << 20 }
	}},
	{rule: "DeletedAccountsCanBeginAnew", fault: func(f *faulty) { // its ids stay in use
		f.accountOut = func(webhook.AccountDelete, *webhook.AccountDeleted, *error) { f.remember("deleted", true) }
		f.enqueueOut = func(r webhook.EnqueueRequest, out *webhook.Enqueued) {
			for i, g := range r.Groups {
				if f.recall("deleted") != nil && bytes.Equal(g[0].Data, []byte(`"other"`)) {
					out.Errs[i] = webhook.ErrIDConflict
				}
			}
		}
	}},
	{rule: "DeletingAnAccountFindsWhatCameLate", fault: func(f *faulty) { // only the first time
		f.accountIn = func(r *webhook.AccountDelete) {
			if f.recall("deleted") != nil && r.Limit == 100 {
				r.AccountID = "acc_none"
			}
			f.remember("deleted", true)
		}
	}},
	{rule: "ErasingIsSafeBesidesAllElse", fault: func(f *faulty) { // it gives way to what is done meanwhile
		f.redacted = func(_, id string, err *error) {
			if strings.HasPrefix(id, "evt_a_") {
				*err = webhook.ErrVersionConflict
			}
		}
	}},
}
