package sqlstore

import (
	"context"
	"database/sql"

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
	status  int
	version int64
}

// match is who wants a topic, as of a version of its account.
type match struct {
	version int64
	subs    []subscriber
}

type matches map[topic]match

// topics answers the topics of the new events, each once.
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

// patternRows answers the topics that endpoints of the new events' topics may be
// subscribed to, as rows.
func patternRows(topics []topic) [][]any {
	rows := make([][]any, 0, 3*len(topics))
	seen := make(map[topic]bool, 3*len(topics))
	for _, t := range topics {
		for _, p := range t.typ.Patterns() {
			if at := (topic{t.account, p}); !seen[at] {
				seen[at] = true
				rows = append(rows, []any{at.account, string(at.typ)})
			}
		}
	}
	return rows
}

// askMatches asks the database who wants the new events.
func (in *intake) askMatches(ctx context.Context, t *txn) (matches, error) {
	topics := in.topics()
	found := make(map[topic][]subscriber)
	err := t.bulk(ctx, &in.s.sql.Match, patternRows(topics), func(r *sql.Rows) error {
		var at topic
		var sub subscriber
		err := r.Scan(&at.account, &at.typ, &sub.num, &sub.status, &sub.version)
		found[at] = append(found[at], sub)
		return err
	})
	return gather(topics, found, nil), err
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
// account a new version in the same transaction, see Store.touch. So what was
// found once holds as long as the version does, and a statement that asks for
// that alone is as good as one that looks again.

// maxRemembered bounds the endpoints of one topic that are remembered.
const maxRemembered = 64

// knownMatches answers what is remembered, if that is all.
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
	accounts, asked := make([]any, 0, len(topics)), make(map[string]bool, len(topics))
	for _, t := range topics {
		if !asked[t.account] {
			asked[t.account] = true
			accounts = append(accounts, t.account)
		}
	}
	found, versions := make(map[topic][]subscriber), make(map[string]int64)
	args := append(columns("tt", patternRows(topics)), arrayOf(accounts))
	err := t.query(ctx, in.s.sql.MatchAll, func(r *sql.Rows) error {
		var at topic
		var sub subscriber
		err := r.Scan(&at.account, &at.typ, &sub.num, &sub.status, &sub.version)
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
	for t, mt := range m {
		if len(mt.subs) <= maxRemembered {
			in.s.matches.put(t, mt)
		}
	}
	return m, nil
}

// versionRows answers the accounts' versions that matches depend on, as rows. ok
// is false when they are of different versions of one account.
func (m matches) versionRows() (rows [][]any, ok bool) {
	versions := make(map[string]int64, len(m))
	rows = make([][]any, 0, len(m))
	for t, mt := range m {
		v, known := versions[t.account]
		switch {
		case !known:
			versions[t.account] = mt.version
			rows = append(rows, []any{t.account, mt.version})
		case v != mt.version:
			return nil, false
		}
	}
	return rows, true
}
