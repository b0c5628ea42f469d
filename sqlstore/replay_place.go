package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/ringyo-ai/webhook"
)

// replayPlace is how far a replay has come.
type replayPlace struct {
	source  int64  // ownDeliveries, an endpoint's number, or unmatchedEvents
	id      string // of that endpoint; its number would tell how many endpoints there are
	after   key    // the delivery or, of unmatched ones, the event looked at last
	created int64  // of unmatched ones, the time of that
}

const (
	ownDeliveries   = 0
	unmatchedEvents = math.MaxInt64
)

// sourcesAtOnce is how many endpoints one call looks at: most of an account's
// may have nothing.
const sourcesAtOnce = 100

func (p *replay) parse(cursor string) error {
	if cursor == "" {
		return nil
	}
	place, id, _ := strings.Cut(cursor, ":")
	var kind string
	var after []byte
	_, err := fmt.Sscanf(place, "%1s_%d_%x", &kind, &p.at.created, &after)
	if err != nil || len(after) != len(key{}) || (kind == "e") != (id != "") || !slices.Contains(sources, kind) || checkText("", id, maxID) != nil {
		return errNoCursor()
	}
	copy(p.at.after[:], after)
	if p.at.id = id; kind == "u" {
		p.at.source = unmatchedEvents
	}
	return nil
}

func errNoCursor() error { return invalid("Cursor", "is not one that the store returned") }

// sources are the words of cursors for the endpoint's own deliveries, those of another
// endpoint, and the events without any.
var sources = []string{"o", "e", "u"}

func (a replayPlace) cursor() string {
	kind := "o"
	switch {
	case a.id != "":
		kind = "e"
	case a.source == unmatchedEvents:
		kind = "u"
	}
	return fmt.Sprintf("%s_%d_%x:%s", kind, a.created, a.after[:], a.id)
}

// locate finds the endpoint that a cursor names.
func (p *replay) locate(ctx context.Context, t *txn) error {
	if p.at.id == "" {
		return nil
	}
	num, err := p.s.endpointOf(ctx, t, p.r.AccountID, p.at.id)
	if errors.Is(err, webhook.ErrNotFound) {
		err = errNoCursor()
	}
	p.at.source = num
	return err
}

// advance goes on to the next endpoint of the account, or to the events that no
// endpoint leads to.
func (p *replay) advance(ctx context.Context, t *txn) error {
	next := replayPlace{source: unmatchedEvents}
	err := t.query(ctx, p.s.sql.EndpointsFrom, func(r *sql.Rows) error {
		at := replayPlace{}
		err := r.Scan(&at.source, &at.id)
		if at.source != p.num && at.source < next.source {
			next = at
		}
		return err
	}, p.rec.AccountID, p.at.source, 2)
	p.at = next
	return err
}
