package memstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ringyo-ai/webhook"
)

// RedactEvent implements [webhook.Eraser].
func (s *Store) RedactEvent(ctx context.Context, accountID, id string) error {
	now, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	ev := s.findEvent(accountID, id)
	switch {
	case ev == nil:
		return webhook.ErrNotFound
	case !ev.redacted:
		s.redact(ev, now)
	}
	return nil
}

// redact puts an event without data in the place of ev, whose record is shared with
// those who attempt it at this moment.
func (s *Store) redact(ev *event, now time.Time) {
	blank := &event{rec: ev.rec, seq: ev.seq, acc: ev.acc, deliveries: ev.deliveries, redacted: true, unheard: ev.unheard}
	blank.rec.Data = nil
	blank.deliveries.items = slices.Clone(ev.deliveries.items) // they may stand in ev
	ev.acc.events[ev.rec.ID] = blank
	t := &ev.acc.timeline
	t.items[t.from(ev.seq)] = blank
	if blank.unheard != nil {
		blank.unheard.Value = blank
	}
	var unfinished []*delivery
	for _, d := range ev.deliveries.items {
		d.ev = blank
		for i := range d.log {
			d.log[i].ResponseBody, d.log[i].Location = nil, ""
		}
		if !d.purged && !d.phase.ended() {
			unfinished = append(unfinished, d)
		}
	}
	for _, d := range unfinished {
		s.leave(d)
		s.end(d, cancelled, webhook.ReasonEventRedacted, now)
	}
}

// DeleteAccount implements [webhook.Eraser]. What is left is all that there is to
// know, so that the cursor says nothing.
func (s *Store) DeleteAccount(ctx context.Context, r webhook.AccountDelete) (webhook.AccountDeleted, error) {
	var out webhook.AccountDeleted
	switch {
	case r.Limit < 1:
		return out, fmt.Errorf("memstore: %w: Limit must be at least 1", webhook.ErrInvalidArgument)
	case r.Cursor != "" && r.Cursor != moreToDelete:
		return out, fmt.Errorf("memstore: %w: Cursor is not one that this store returned", webhook.ErrInvalidArgument)
	}
	now, err := s.begin(ctx)
	if err != nil {
		return out, err
	}
	defer s.mu.Unlock()
	defer s.dropRevisions(r.AccountID) // which forgets endpoints that have nothing left
	defer s.dropTallies(r.AccountID)
	if !s.dropMarks(r.AccountID, r.Limit) {
		out.Next = moreToDelete
	}
	acc := s.accounts[r.AccountID]
	if acc == nil {
		return out, nil
	}
	for acc.live > 0 && out.Endpoints < r.Limit {
		s.deleteEndpoint(acc.firstEndpoint(), now)
		out.Endpoints++
	}
	for acc.live == 0 && len(acc.events) > 0 && out.Deliveries+out.Events < r.Limit {
		s.deleteEvent(acc.firstEvent(), &out)
	}
	if acc.live > 0 || len(acc.events) > 0 {
		out.Next = moreToDelete
	}
	s.leaveAccount(acc)
	return out, nil
}

// moreToDelete is the cursor of DeleteAccount.
const moreToDelete = "more"

// deleteEvent purges an event with all its deliveries, whatever their phase.
func (s *Store) deleteEvent(ev *event, out *webhook.AccountDeleted) {
	out.Events++
	if ev.deliveries.len() == 0 {
		s.purgeEvent(ev)
		return
	}
	for _, d := range slices.Clone(ev.deliveries.items) {
		if !d.purged {
			s.purge(d)
			out.Deliveries++
		}
	}
}

// firstEndpoint returns the oldest endpoint that is not deleted, of an account that
// has one. Those that are gone never stand first in a history.
func (a *account) firstEndpoint() *endpoint { return a.endpoints.items[0] }

// firstEvent returns the oldest event of an account that has one.
func (a *account) firstEvent() *event { return a.timeline.items[0] }
