package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"slices"
)

// postgresEnqueue stores new events, their deliveries and their places in the
// queue. Parameters: of each event the key, account, id, type, time, and where its
// data begins and how long it is; of each delivery the key, event, endpoint and
// state; of each event without one the account and key; then the lease in
// microseconds, the token, the keys of what is handed off and the process; accounts
// with the versions that they must have, without which nothing is stored and no row
// returned; and the data of all events. That comes last because any parameter after
// the largest one makes a driver's buffer grow, and be copied, once more.
//
// An id that is there already breaks it off: what that means is for a
// transaction to find out. Parameters stand in sub-selects, so that the planner
// does not see how long an array is: it would plan each short one anew, which
// takes longer than running it.
const postgresEnqueue = `
with n as materialized (
	select {clock} as now where not exists (
		select from unnest((select $18::text[]), (select $19::bigint[])) as x (account, version)
		where x.version <> coalesce((select a.version from {p}account a where a.account = x.account), 0))),
e as (
	insert into {p}event (uid, account, id, type, at, created_at, data)
	select x.uid, x.account, x.id, x.type, x.at, n.now, substring($20::bytea from x.start for x.size)
	from n cross join unnest((select $1::uuid[]), (select $2::text[]), (select $3::text[]), (select $4::text[]),
		(select $5::bigint[]), (select $6::int[]), (select $7::int[])) as x (uid, account, id, type, at, start, size)),
v as (
	insert into {p}delivery (id, event, endpoint, status, token, ends_at, created_at)
	select x.id, x.event, x.endpoint, case when x.state = 1 then 1 else 0 end,
		case when x.state = 1 then $15::bigint else 0 end, case when x.state = 1 then n.now + $14::bigint else 0 end, n.now
	from n cross join unnest((select $8::uuid[]), (select $9::uuid[]), (select $10::bigint[]), (select $11::smallint[]))
		as x (id, event, endpoint, state)),
q as (
	insert into {p}queue (id, endpoint, state, due)
	select x.id, x.endpoint, case when x.state = 6 and exists (
		select from {p}endpoint p where p.num = x.endpoint and p.probe_at = 0) then 0 else x.state end, n.now
	from n cross join unnest((select $8::uuid[]), (select $10::bigint[]), (select $11::smallint[])) as x (id, endpoint, state)
	where x.state <> 1),
l as (
	insert into {p}lease (due, token, deliveries, process)
	select n.now + $14::bigint, $15::bigint, $16::bytea, $17::bigint from n where length($16::bytea) > 0),
u as (
	insert into {p}unmatched (account, created_at, event)
	select x.account, n.now, x.event
	from n cross join unnest((select $12::text[]), (select $13::uuid[])) as x (account, event))
select now from n`

// enqueueAtOnce stores everything in one statement, which is its own transaction,
// instead of seven. Who wants the events it mostly remembers, and lets the
// statement find out whether that still holds; otherwise it asks before. An
// endpoint that changes after it was asked for is what it is for a transaction that
// began before the change. What has an id that is used already it leaves to a
// transaction.
func enqueueAtOnce(ctx context.Context, s *Store, in *intake) (done bool, err error) {
	if len(in.events) == 0 {
		return false, nil
	}
	events := arraysOf(in.events)
	if events.large() {
		return false, nil
	}
	texts, data := events.texts(), events.data()
	for _, ev := range in.events {
		ev.fresh = true
	}
	topics := in.topics()
	err = s.again(ctx, func() error {
		return s.onConn(ctx, func(t *txn) error { return in.insertKnown(ctx, t, topics, texts, data) })
	})
	switch {
	case kindOf(err) == kindData: // an id is used already, or the data is refused
		return false, nil
	case err != nil:
		return false, err
	}
	in.handOff(ctx, &txn{s: s, q: s.pool()})
	return true, nil
}

// insertKnown inserts by what the store remembers, or else by what it asks.
func (in *intake) insertKnown(ctx context.Context, t *txn, topics []topic, events []any, data []byte) error {
	if known, ok := in.knownMatches(topics); ok {
		if versions, ok := known.versions(); ok {
			err := in.insertAtOnce(ctx, t, events, data, known, versions)
			if !errors.Is(err, sql.ErrNoRows) {
				return err
			}
		}
	}
	fresh, err := in.freshMatches(ctx, t, topics)
	if err != nil {
		return err
	}
	return in.insertAtOnce(ctx, t, events, data, fresh, nil)
}

// insertAtOnce runs the statement. It returns sql.ErrNoRows, and nothing was
// stored, when an account is of another version.
func (in *intake) insertAtOnce(ctx context.Context, t *txn, events []any, data []byte, m matches, versions []accountVersion) error {
	in.restart()
	for _, ev := range in.events {
		ev.fresh = true
	}
	f := in.match(m)
	args := slices.Concat(events, arraysOf(f.deliveries).args(), arraysOf(f.unmatched).args(),
		[]any{in.terms.Lease.Microseconds(), in.token, in.leasedKeys(), int64(in.terms.Process)}, arraysOf(versions).args(), []any{data})
	return afterCommit(t.row(ctx, in.s.sql.Enqueue, args...).Scan(&in.micros))
}

// handOff reads where the deliveries go that are leased to the caller. Those
// that cannot be handed out, since that fails or their endpoint was deleted at
// this moment, are left to Claim: the events are stored.
func (in *intake) handOff(ctx context.Context, t *txn) {
	in.handed = len(in.leased)
	if err := in.readTargets(ctx, t); err != nil {
		in.targets = nil
	}
	var lost []key
	kept := in.leased[:0]
	for _, h := range in.leased {
		if in.targets[h.endpoint] == nil {
			lost = append(lost, h.k)
			continue
		}
		kept = append(kept, h)
	}
	in.leased = kept
	if len(lost) > 0 {
		in.ready += len(lost)
		// If this fails too, the leases end by themselves.
		ctx, cancel := parting(ctx)
		defer cancel()
		_ = t.exec(ctx, in.s.sql.Unlease, append(arraysOf(lost).args(), in.token)...)
	}
}
