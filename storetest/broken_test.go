package storetest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ringyo-ai/webhook"
)

// broken is one rule broken on purpose. The case named for it must fail, and of
// the others only those in also, which the same fault touches.
type broken struct {
	rule  string
	also  []string
	fault func(f *faulty)
}

// Cases that meet faults of other rules, or do not, by chance.
const (
	modelCase = "RandomHistoriesMatchTheModel"
	raceCase  = "AProcessEndsOnceInARace"
	eraseCase = "ErasingIsSafeBesidesAllElse"
)

// TestEachCaseCanFail shows that every rule has a store that breaks it and that
// its case notices, and that no case fails without a reason.
func TestEachCaseCanFail(t *testing.T) {
	t.Parallel()
	covered := map[string]bool{}
	for _, b := range slices.Concat(brokenGeneral, brokenEnqueue, brokenClaim, brokenRoom, brokenSettle, brokenPause, brokenProbe, brokenRecover, brokenMaintain, brokenHeartbeat, brokenLog, brokenQuestions, brokenErase, brokenIdempotency, brokenTally) {
		covered[b.rule] = true
		t.Run(b.rule, func(t *testing.T) {
			t.Parallel()
			failed := []string{}
			for _, c := range cases() {
				if slices.Contains([]string{modelCase, raceCase, eraseCase}, c.name) && b.rule != c.name {
					continue
				}
				if fails := c.record(t, b.harness()); len(fails) > 0 {
					failed = append(failed, c.name)
				}
			}
			want := append([]string{b.rule}, b.also...)
			slices.Sort(failed)
			slices.Sort(want)
			assert.Equal(t, want, failed, "failing cases")
		})
	}
	for _, c := range cases() {
		assert.True(t, covered[c.name], "no broken store for %s", c.name)
		assert.NotEmpty(t, c.sentence, c.name)
	}
}

// TestNothingFailsWithoutAFault shows that the faults are what fails above.
func TestNothingFailsWithoutAFault(t *testing.T) {
	t.Parallel()
	for _, c := range cases() {
		assert.Empty(t, c.record(t, broken{}.harness()), c.name)
	}
}

var brokenGeneral = []broken{
	{rule: "NowIsUTCAndMoves", fault: func(f *faulty) {
		f.now = func(t *time.Time) { *t = t.In(time.FixedZone("x", 3600)) }
	}},
	{rule: "OneClock", also: []string{"LeasesEndOnTimeAllTheSame", "NextInSaysWhenToMaintain", "OneProbeAtATime", "OneTrialAtATime"}, fault: func(f *faulty) {
		f.claimIn = func(r *webhook.ClaimRequest) { r.Lease /= 2 }
	}},
	{rule: "BytesInAreBytesOut", fault: func(f *faulty) {
		f.enqueueIn = func(r *webhook.EnqueueRequest) {
			for _, g := range r.Groups {
				for i := range g {
					g[i].Data = bytes.ToValidUTF8(g[i].Data, []byte("?"))
				}
			}
		}
	}},
	{rule: "TextComesBackAsItWent", fault: func(f *faulty) {
		f.createIn = func(c *webhook.EndpointCreate) {
			c.Record.Description = strings.TrimSpace(c.Record.Description)
		}
	}},
	{rule: "GivenSlicesAreNotKept", fault: func(f *faulty) {
		f.createIn = func(c *webhook.EndpointCreate) { f.remember("metadata of "+c.Record.ID, c.Record.Metadata) }
		f.getOut = func(_, id string, r *webhook.EndpointRecord, err *error) {
			if m, ok := f.recall("metadata of " + id).(map[string]string); ok && *err == nil && m["k"] != "" {
				r.Metadata = m
			}
		}
	}},
	{rule: "EndedContext", fault: func(f *faulty) {
		f.enqueue = func(ctx context.Context, r webhook.EnqueueRequest) (webhook.Enqueued, error) {
			return f.Store.Enqueue(context.WithoutCancel(ctx), r)
		}
	}},
	{rule: "EndpointComesBackAsCreated", also: []string{"UpdateReplacesTheConfiguration"}, fault: func(f *faulty) {
		f.createOut = func(_ webhook.EndpointCreate, r *webhook.EndpointRecord, _ *error) { r.CreatedAt = time.Time{} }
	}},
	{rule: "EndpointSecretsKeepOrderAndExpiry", fault: func(f *faulty) {
		f.getOut = func(_, _ string, r *webhook.EndpointRecord, _ *error) { slices.Reverse(r.Secrets) }
	}},
	{rule: "EndpointLimit", also: []string{"EndpointLimitHoldsInARace"}, fault: func(f *faulty) {
		f.createIn = func(c *webhook.EndpointCreate) { c.Max = 0 }
	}},
	{rule: "EndpointLimitHoldsInARace", fault: func(f *faulty) { // counts, and then creates
		together := meeting(racedCallers)
		f.createIn = func(c *webhook.EndpointCreate) {
			if c.Max != racedLimit {
				return
			}
			p, _ := f.Store.ListEndpoints(f.bg, webhook.EndpointFilter{AccountID: c.Record.AccountID, Limit: 100})
			if together() && len(p.Items) < c.Max {
				c.Max = 0
			}
		}
	}},
	{rule: "EndpointIDsAreNeverUsedTwice", also: []string{"RetentionPurgesDeletedEndpoints"}, fault: func(f *faulty) {
		f.deleted = func(id string) { f.remember("deleted "+id, true) }
		f.createOut = func(c webhook.EndpointCreate, r *webhook.EndpointRecord, err *error) {
			if errors.Is(*err, webhook.ErrIDConflict) && f.recall("deleted "+c.Record.ID) != nil {
				*r, *err = c.Record, nil
			}
		}
	}},
	{rule: "UpdateReplacesTheConfiguration", also: []string{"ClaimAnswersEverythingToSend", "RevisionsSayWhatWasSentWith"}, fault: func(f *faulty) {
		f.updateIn = func(u *webhook.EndpointUpdate) { u.Record.Headers = nil }
	}},
	{rule: "UpdateKeepsWhatIsEmpty", fault: func(f *faulty) { // secrets are lost
		f.updateIn = func(u *webhook.EndpointUpdate) {
			if len(u.Record.Secrets) == 0 {
				u.Record.Secrets = []webhook.EndpointSecret{{Secret: webhook.NewSecret()}}
			}
		}
	}},
	{rule: "DeleteChecksTheRevision", fault: func(f *faulty) { // deletes whatever there is
		f.deleteIn = func(d *webhook.EndpointDelete) { d.IfRevision = 0 }
	}},
	{rule: "UpdateChecksTheRevision", fault: func(f *faulty) { // the last one wins
		f.updateIn = func(u *webhook.EndpointUpdate) {
			if r, err := f.Store.GetEndpoint(f.bg, u.Record.AccountID, u.Record.ID); err == nil {
				u.Record.Revision = r.Revision
			}
		}
	}},
	{rule: "GenerationGrows", fault: func(f *faulty) { // only with the URL or the status
		f.updateIn = func(u *webhook.EndpointUpdate) {
			r, err := f.Store.GetEndpoint(f.bg, u.Record.AccountID, u.Record.ID)
			if err == nil && r.Status == u.Record.Status && r.URL == u.Record.URL {
				u.Reset = false
			}
		}
	}},
	{rule: "SwitchingOffHoldsAndOnReleases", fault: func(f *faulty) {
		f.updateOut = func(r *webhook.EndpointRecord) { r.DisabledAt = time.Time{} }
	}},
	{rule: "WaitingRetriesOfAnInactiveEndpointAreHeld", also: []string{"TrialsBecomeRarer"}, fault: func(f *faulty) { // they are lost
		f.settleIn = func(s *webhook.Settlement) {
			r, err := f.Store.GetEndpoint(f.bg, acct, s.EndpointID)
			if err == nil && r.Status == webhook.EndpointInactive && s.Outcome == webhook.OutcomeRetry {
				s.Outcome = webhook.OutcomeExhausted
			}
		}
	}},
	{rule: "EndpointsAreListedNewestFirst", fault: func(f *faulty) {
		f.endpoints = slices.Reverse[[]webhook.EndpointRecord]
	}},
	{rule: "EndpointsOfOthersAreNotFound", fault: func(f *faulty) {
		f.createIn = func(c *webhook.EndpointCreate) {
			if f.recall("owner of "+c.Record.ID) == nil {
				f.remember("owner of "+c.Record.ID, c.Record.AccountID)
			}
		}
		f.getOut = func(account, id string, r *webhook.EndpointRecord, err *error) {
			if owner, ok := f.recall("owner of " + id).(string); ok && owner != account {
				*r, *err = f.Store.GetEndpoint(f.bg, owner, id)
			}
		}
	}},
}
