-- +goose Up
create table webhook_schema (version integer primary key);

-- One row for each account that ever had an endpoint. Whatever concerns which
-- events lead where adds one to its version, and so locks it.
create table webhook_account (
	account text primary key,
	version integer not null
) without rowid;

-- Statuses: 0 deleted; 1 active; 2 failing; 3 inactive; 4 and 5 are 1 and 2 while
-- it is paused. pace is 0 before it answered, then 1 quick or 2 slow. The latest
-- pause, the pauses'th in a row, is over at paused_until; probe_at is when a claim
-- is to look for its next probe, or when the lease of the one with probe_token
-- ends; 0 means that there is nothing to probe it with. One that is inactive and has
-- pauses recovers by itself: these columns tell of its trials then, which are probes of
-- held deliveries. last_failure is the latest
-- failed attempt, as JSON, or empty.
create table webhook_endpoint (
	num integer primary key autoincrement,
	id text not null unique,
	account text not null,
	url text not null,
	events text not null,
	description text not null,
	metadata text not null,
	headers text not null,
	secrets text not null,
	status integer not null,
	moving integer not null default 0,
	version integer not null,
	generation integer not null,
	disabled_reason text not null,
	disabled_at integer not null,
	failures integer not null default 0,
	failing_since integer not null default 0,
	last_triggered_at integer not null default 0,
	last_success_at integer not null default 0,
	last_failure_at integer not null default 0,
	last_failure text not null,
	pace integer not null default 0,
	pauses integer not null default 0,
	paused_until integer not null default 0,
	probe_at integer not null default 0,
	probe_token integer not null default 0,
	revised integer not null default 0,
	revised_at integer not null default 0,
	created_at integer not null,
	updated_at integer not null
);
create index webhook_endpoint_account on webhook_endpoint (account, num);
create index webhook_endpoint_moving on webhook_endpoint (num) where moving = 1;
create index webhook_endpoint_failing on webhook_endpoint (num) where status in (2, 3, 5);
create index webhook_endpoint_probe on webhook_endpoint (probe_at, num) where probe_at > 0;

-- What endpoints were sent to with until a change of URL, secrets or headers: the hints
-- of secrets, the names of headers, and the URL, sealed where there are keys. revision is
-- the first version that it had. What holds now is in the endpoint's row: revised is its
-- first version, and revised_at when that began.
create table webhook_revision (
	endpoint integer not null,
	revision integer not null,
	begun_at integer not null,
	ended_at integer not null,
	url text not null,
	secrets text not null,
	headers text not null,
	primary key (endpoint, revision)
) without rowid;
create index webhook_revision_age on webhook_revision (ended_at);

create table webhook_subscription (
	account text not null,
	type text not null,
	endpoint integer not null,
	primary key (account, type, endpoint)
) without rowid;
create index webhook_subscription_endpoint on webhook_subscription (endpoint);

-- uid is made of account and id, so that one index finds an event, and grows at
-- its end: see eventKey. num tells which events came later.
create table webhook_event (
	num integer primary key,
	uid blob not null unique,
	account text not null,
	id text not null,
	type text not null,
	at integer not null,
	created_at integer not null,
	data blob not null
);

-- The events of an account, by time: an index of webhook_event that is brought up to
-- date every so many events, since one entry at a time would write a page for each
-- account of a batch. It holds all up to the one that webhook_timeline_end names.
create table webhook_timeline (
	account text not null,
	created_at integer not null,
	event blob not null,
	primary key (account, created_at, event)
) without rowid;
create table webhook_timeline_end (num integer primary key not null);
insert into webhook_timeline_end (num) values (0);

-- Events without a delivery, which no endpoint leads to.
create table webhook_unmatched (
	account text not null,
	created_at integer not null,
	event blob not null,
	primary key (account, created_at, event)
) without rowid;
create index webhook_unmatched_age on webhook_unmatched (created_at);

-- The log: a row for each delivery, for as long as it is remembered. Statuses: 0
-- unfinished, with a row in the queue; 1 leased; 2 delivered; 3 exhausted; 4
-- cancelled. made counts all attempts, attempts those of the schedule it is in.
-- ends_at is when it ended, or when its lease ends. What begins with sent tells of
-- the attempt that delivered it, which is the one numbered made; a null id means
-- that there is none.
create table webhook_delivery (
	id blob primary key,
	event blob not null,
	endpoint integer not null,
	status integer not null,
	token integer not null,
	ends_at integer not null,
	created_at integer not null,
	attempts integer not null default 0,
	made integer not null default 0,
	releases integer not null default 0,
	expired integer not null default 0,
	sent_code integer not null default 0,
	sent_at integer not null default 0,
	sent_duration integer not null default 0,
	sent_revision integer not null default 0,
	reason text not null default '',
	sent_id text,
	sent_body blob,
	unique (event, endpoint)
) without rowid;
create index webhook_delivery_failed on webhook_delivery (endpoint, id) where status in (3, 4);

-- The deliveries of an endpoint, in their order: an index of webhook_delivery that
-- is brought up to date every so many deliveries, since one entry at a time would
-- write a page for each endpoint of a batch. It holds all up to the one that
-- webhook_history_end names.
create table webhook_history (
	endpoint integer not null,
	delivery blob not null,
	primary key (endpoint, delivery)
) without rowid;
create table webhook_history_end (delivery blob primary key not null);
insert into webhook_history_end (delivery) values (x'');

-- What waits to be sent. States: 0 ready, 4 held, 5 waiting for a retry, 6
-- parked since the endpoint is paused, 7 the same of one that was attempted before.
create table webhook_queue (
	id blob primary key,
	endpoint integer not null,
	state integer not null,
	due integer not null
) without rowid;
create index webhook_queue_ready on webhook_queue (endpoint, due, id) where state = 0;
create index webhook_queue_waiting on webhook_queue (due) where state = 5;
create index webhook_queue_held on webhook_queue (endpoint, due, id) where state = 4;
create index webhook_queue_parked on webhook_queue (endpoint, state desc, due, id) where state > 5;

-- What was leased by one call, as the deliveries' ids one behind the other, and
-- when that ends: who finds it then makes ready what is still leased. process is
-- whose lease it is, or 0.
create table webhook_lease (
	due integer not null,
	token integer not null,
	process integer not null,
	deliveries blob not null,
	primary key (due, token)
) without rowid;

-- The processes that send heartbeats. Who finds one dead, after alive_until, ends
-- its leases and removes its row in one transaction.
create table webhook_process (
	id integer primary key,
	alive_until integer not null
);

-- The attempts that did not deliver.
create table webhook_attempt (
	delivery blob not null,
	number integer not null,
	id text not null,
	at integer not null,
	duration integer not null,
	status integer not null,
	failure text not null,
	detail text not null,
	revision integer not null,
	location text not null,
	body blob not null,
	primary key (delivery, number)
) without rowid;

-- Requests with an idempotency key, by hashes of the key (mark) and of the request
-- (fingerprint), for as long as they are kept. running_until is 0 once there is a
-- response, which can hold a secret: sealed_by is the id of the key that sealed it, or
-- empty.
create table webhook_idempotency (
	account text not null,
	mark text not null,
	fingerprint text not null,
	token integer not null,
	running_until integer not null,
	expires_at integer not null,
	sealed_by text not null,
	response blob not null,
	primary key (account, mark)
);
create index webhook_idempotency_age on webhook_idempotency (expires_at);

-- What Settle has counted and Maintain has not yet added to the tallies: for each
-- result the endpoint and what it adds, see appendCount.
create table webhook_count (
	num integer primary key,
	at integer not null,
	results blob not null
);

-- How many deliveries of an endpoint succeeded or were exhausted in an hour, how many
-- attempts failed, and how long the attempts took: l0 up to 10 ms, l11 above 30 s.
create table webhook_tally (
	endpoint integer not null,
	hour integer not null,
	delivered integer not null,
	failed integer not null,
	exhausted integer not null,
	l0 integer not null,
	l1 integer not null,
	l2 integer not null,
	l3 integer not null,
	l4 integer not null,
	l5 integer not null,
	l6 integer not null,
	l7 integer not null,
	l8 integer not null,
	l9 integer not null,
	l10 integer not null,
	l11 integer not null,
	primary key (endpoint, hour)
) without rowid;
create index webhook_tally_age on webhook_tally (hour);

insert into webhook_schema (version) values (1);
