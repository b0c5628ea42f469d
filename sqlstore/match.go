package sqlstore

import (
	"context"
	"database/sql"
	"maps"
	"sync/atomic"

	"github.com/ringyo-ai/webhook"
)

// topic is what an endpoint can be subscribed to.
type topic struct {
	account string
	typ     webhook.EventType
}

// subscriber is an endpoint that wants a topic.
type subscriber struct {
	num     int64
	id      string
	status  int
	pace    webhook.Pace
	lately  *atomic.Int64 // the pace that this process heard of last; nil: pace
	version int64
}

// paceNow returns the pace of the endpoint as far as this process knows it.
func (sub *subscriber) paceNow() webhook.Pace {
	if sub.lately == nil {
		return sub.pace
	}
	return webhook.Pace(sub.lately.Load())
}

// scan reads a subscriber with its topic. What of it cannot be read is found out by
// the claim that meets it: an event for others must get through.
func (sub *subscriber) scan(r *sql.Rows, at *topic) error {
	if r.Scan(&at.account, &at.typ, &sub.num, &sub.id, &sub.status, &sub.pace, &sub.version) == nil {
		return nil
	}
	var bad unread
	var pace int
	*sub = subscriber{status: endpointActive, version: unknownVersion}
	dst := columnsOf(&bad, `id, status, pace, version`, &sub.id, &sub.status, &pace, &sub.version)
	err := r.Scan(append([]any{&at.account, &at.typ, &sub.num}, dst...)...)
	sub.pace = webhook.Pace(pace)
	return err
}

// match is who wants a topic, as of a version of its account.
type match struct {
	version int64
	subs    []subscriber
}

type matches map[topic]match

// topics returns the topics of the new events, each once.
func (in *intake) topics() []topic {
	list := make([]topic, 0, len(in.events))
	seen := make(map[topic]bool, len(in.events))
	for _, ev := range in.events {
		if t := (topic{ev.rec.AccountID, ev.rec.Type}); ev.fresh && !seen[t] {
			seen[t] = true
			list = append(list, t)
		}
	}
	return list
}

// patterns returns the topics that endpoints of the new events' topics may be
// subscribed to.
func patterns(topics []topic) []topic {
	list := make([]topic, 0, 3*len(topics))
	seen := make(map[topic]bool, 3*len(topics))
	for _, t := range topics {
		for _, p := range t.typ.Patterns() {
			if at := (topic{t.account, p}); !seen[at] {
				seen[at] = true
				list = append(list, at)
			}
		}
	}
	return list
}

// matches returns who wants the new events, within a transaction: it asks which
// version the accounts are of, and for what it does not remember as of that.
func (in *intake) matches(ctx context.Context, t *txn) (matches, error) {
	topics := in.topics()
	versions, err := in.versions(ctx, t, topics)
	if err != nil {
		return nil, err
	}
	m := make(matches, len(topics))
	var missing []topic
	for _, tp := range topics {
		if known, ok := in.s.matches.get(tp); ok && known.version == versions[tp.account] {
			m[tp] = known
		} else {
			missing = append(missing, tp)
		}
	}
	found := make(map[topic][]subscriber)
	err = t.queryAll(ctx, in.s.sql.Match.of(patterns(missing)), func(r *sql.Rows) error {
		var at topic
		var sub subscriber
		err := sub.scan(r, &at)
		found[at] = append(found[at], sub)
		return err
	})
	if err != nil {
		return nil, err
	}
	fresh := gather(missing, found, versions)
	in.s.remember(fresh)
	maps.Copy(m, fresh)
	return m, nil
}

// versions returns the versions of the topics' accounts. One that never had an
// endpoint has none.
func (in *intake) versions(ctx context.Context, t *txn, topics []topic) (map[string]int64, error) {
	versions := make(map[string]int64, len(topics))
	accounts := make([]accountName, 0, len(topics))
	for _, tp := range topics {
		if _, asked := versions[tp.account]; !asked {
			versions[tp.account] = 0
			accounts = append(accounts, accountName(tp.account))
		}
	}
	err := t.queryAll(ctx, in.s.sql.Versions.of(accounts), func(r *sql.Rows) error {
		var account string
		var version int64
		err := r.Scan(&account, &version)
		versions[account] = version
		return err
	})
	return versions, err
}

// gather puts together what was found by pattern: each endpoint once.
func gather(topics []topic, found map[topic][]subscriber, versions map[string]int64) matches {
	m := make(matches, len(topics))
	for _, t := range topics {
		mt := match{version: versions[t.account]}
		seen := make(map[int64]bool)
		for _, p := range t.typ.Patterns() {
			for _, sub := range found[topic{t.account, p}] {
				if !seen[sub.num] {
					seen[sub.num] = true
					mt.subs = append(mt.subs, sub)
				}
			}
		}
		m[t] = mt
	}
	return m
}

// Each change of who wants what, and each switching of an endpoint, gives its
// account a new version in the same transaction, see Store.touch. So what was found
// once holds as long as the version does, and a statement that asks for that alone
// is as good as one that looks again. A change between quick and slow makes no new
// version, since it would cost the next event another question: it is a hint, and
// the process that sends to the endpoint knows it best.

// maxRemembered bounds the endpoints of one topic that are remembered.
const maxRemembered = 64

// knownMatches returns what is remembered, if that is all.
func (in *intake) knownMatches(topics []topic) (matches, bool) {
	m := make(matches, len(topics))
	for _, t := range topics {
		known, ok := in.s.matches.get(t)
		if !ok {
			return nil, false
		}
		m[t] = known
	}
	return m, true
}

// freshMatches asks the database who wants the new events, and remembers it. It
// is of PostgreSQL.
func (in *intake) freshMatches(ctx context.Context, t *txn, topics []topic) (matches, error) {
	accounts, asked := make([]accountName, 0, len(topics)), make(map[string]bool, len(topics))
	for _, t := range topics {
		if !asked[t.account] {
			asked[t.account] = true
			accounts = append(accounts, accountName(t.account))
		}
	}
	found, versions := make(map[topic][]subscriber), make(map[string]int64)
	args := append(arraysOf(patterns(topics)).args(), arraysOf(accounts).args()...)
	err := t.query(ctx, in.s.sql.MatchAll, func(r *sql.Rows) error {
		var at topic
		var sub subscriber
		err := sub.scan(r, &at)
		if at.typ == "" {
			versions[at.account] = sub.version
			return err
		}
		found[at] = append(found[at], sub)
		return err
	}, args...)
	if err != nil {
		return nil, err
	}
	m := gather(topics, found, versions)
	in.s.remember(m)
	return m, nil
}

func (s *Store) remember(m matches) {
	for t, mt := range m {
		if len(mt.subs) <= maxRemembered {
			for i := range mt.subs {
				sub := &mt.subs[i]
				sub.lately = s.paceCell(sub.num)
				sub.lately.Store(int64(sub.pace))
			}
			s.matches.put(t, mt)
		}
	}
}

// paceCell returns where the pace of an endpoint is remembered.
func (s *Store) paceCell(num int64) *atomic.Int64 {
	cell, ok := s.paces.get(num)
	if !ok {
		cell = new(atomic.Int64)
		s.paces.put(num, cell)
	}
	return cell
}

// heardPace takes over the pace that was recorded of an endpoint, if what it wants is
// remembered.
func (s *Store) heardPace(num int64, p webhook.Pace) {
	if cell, ok := s.paces.get(num); ok {
		cell.Store(int64(p))
	}
}

// versions returns the accounts' versions that matches depend on. ok
// is false when they are of different versions of one account.
func (m matches) versions() (rows []accountVersion, ok bool) {
	versions := make(map[string]int64, len(m))
	rows = make([]accountVersion, 0, len(m))
	for t, mt := range m {
		v, known := versions[t.account]
		switch {
		case !known:
			versions[t.account] = mt.version
			rows = append(rows, accountVersion{t.account, mt.version})
		case v != mt.version:
			return nil, false
		}
	}
	return rows, true
}

// fanned is what the new events lead to.
type fanned struct {
	deliveries []newDelivery
	unmatched  []eventWithout
}

// match decides on the deliveries of the new events, and on the state of each.
func (in *intake) match(m matches) (f fanned) {
	f.deliveries = make([]newDelivery, 0, len(in.events))
	for _, ev := range in.events {
		if !ev.fresh {
			continue
		}
		wanting := m[topic{ev.rec.AccountID, ev.rec.Type}].subs
		for _, sub := range wanting {
			k := newKey()
			f.deliveries = append(f.deliveries, newDelivery{k, ev.k, sub.num, in.place(k, ev, sub)})
		}
		if len(wanting) == 0 {
			f.unmatched = append(f.unmatched, eventWithout{ev.rec.AccountID, ev.k})
		}
	}
	return f
}
