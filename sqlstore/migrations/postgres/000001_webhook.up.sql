-- +goose Up
create table webhook_schema (version integer primary key);

-- One row for each account that ever had an endpoint. Whatever concerns which
-- events lead where adds one to its version, and so locks it.
create table webhook_account (
	account text collate "C" primary key,
	version bigint not null
) with (fillfactor = 70);

-- Statuses: 0 deleted; 1 active; 2 failing; 3 inactive; 4 and 5 are 1 and 2 while
-- it is paused. pace is 0 before it answered, then 1 quick or 2 slow. The latest
-- pause, the pauses'th in a row, is over at paused_until; probe_at is when a claim
-- is to look for its next probe, or when the lease of the one with probe_token
-- ends; 0 means that there is nothing to probe it with. One that is inactive and has
-- pauses recovers by itself: these columns tell of its trials then, which are probes of
-- held deliveries. last_failure is the latest
-- failed attempt, as JSON, or empty.
create table webhook_endpoint (
	num bigint generated always as identity primary key,
	id text collate "C" not null unique,
	account text collate "C" not null,
	url text not null,
	events text not null,
	description text not null,
	metadata text not null,
	headers text not null,
	secrets text not null,
	status smallint not null,
	moving smallint not null default 0,
	version bigint not null,
	generation bigint not null,
	disabled_reason text not null,
	disabled_at bigint not null,
	failures integer not null default 0,
	failing_since bigint not null default 0,
	last_triggered_at bigint not null default 0,
	last_success_at bigint not null default 0,
	last_failure_at bigint not null default 0,
	last_failure text not null,
	pace smallint not null default 0,
	pauses integer not null default 0,
	paused_until bigint not null default 0,
	probe_at bigint not null default 0,
	probe_token bigint not null default 0,
	revised bigint not null default 0,
	revised_at bigint not null default 0,
	created_at bigint not null,
	updated_at bigint not null
) with (fillfactor = 70);
create index webhook_endpoint_account on webhook_endpoint (account, num);
create index webhook_endpoint_moving on webhook_endpoint (num) where moving = 1;
create index webhook_endpoint_failing on webhook_endpoint (num) where status in (2, 3, 5);
create index webhook_endpoint_probe on webhook_endpoint (probe_at, num) where probe_at > 0;

-- What endpoints were sent to with until a change of URL, secrets or headers: the hints
-- of secrets, the names of headers, and the URL, sealed where there are keys. revision is
-- the first version that it had. What holds now is in the endpoint's row: revised is its
-- first version, and revised_at when that began.
create table webhook_revision (
	endpoint bigint not null,
	revision bigint not null,
	begun_at bigint not null,
	ended_at bigint not null,
	url text not null,
	secrets text not null,
	headers text not null,
	primary key (endpoint, revision)
);
create index webhook_revision_age on webhook_revision (ended_at);

create table webhook_subscription (
	account text collate "C" not null,
	type text collate "C" not null,
	endpoint bigint not null,
	primary key (account, type, endpoint)
);
create index webhook_subscription_endpoint on webhook_subscription (endpoint);

-- uid is made of account and id, so that one index finds an event, and grows at
-- its end: see eventKey.
create table webhook_event (
	uid uuid primary key,
	account text collate "C" not null,
	id text collate "C" not null,
	type text collate "C" not null,
	at bigint not null,
	created_at bigint not null,
	data bytea not null
);
create index webhook_event_account on webhook_event (account, created_at);

-- Events without a delivery, which no endpoint leads to.
create table webhook_unmatched (
	account text collate "C" not null,
	created_at bigint not null,
	event uuid not null,
	primary key (account, created_at, event)
);
create index webhook_unmatched_age on webhook_unmatched (created_at);

-- The log: a row for each delivery, for as long as it is remembered. Statuses: 0
-- unfinished, with a row in the queue; 1 leased; 2 delivered; 3 exhausted; 4
-- cancelled. made counts all attempts, attempts those of the schedule it is in.
-- ends_at is when it ended, or when its lease ends. What begins with sent tells of
-- the attempt that delivered it, which is the one numbered made; a null id means
-- that there is none. Half of each page stays free, for that. failed is 1 for statuses 3
-- and 4: an index by status itself would get a new entry with each change of that.
create table webhook_delivery (
	id uuid primary key,
	event uuid not null,
	endpoint bigint not null,
	status smallint not null,
	failed smallint not null default 0,
	token bigint not null,
	ends_at bigint not null,
	created_at bigint not null,
	attempts integer not null default 0,
	made integer not null default 0,
	releases integer not null default 0,
	expired integer not null default 0,
	sent_code integer not null default 0,
	sent_at bigint not null default 0,
	sent_duration bigint not null default 0,
	sent_revision bigint not null default 0,
	reason text not null default '',
	sent_id text,
	sent_body bytea,
	unique (event, endpoint)
) with (fillfactor = 45);
create index webhook_delivery_endpoint on webhook_delivery (endpoint, id);
create index webhook_delivery_failed on webhook_delivery (endpoint, id) where failed = 1;

-- What waits to be sent. States: 0 ready, 4 held, 5 waiting for a retry, 6
-- parked since the endpoint is paused, 7 the same of one that was attempted before.
create table webhook_queue (
	id uuid primary key,
	endpoint bigint not null,
	state smallint not null,
	due bigint not null
) with (fillfactor = 85);
create index webhook_queue_ready on webhook_queue (endpoint, due, id) where state = 0;
create index webhook_queue_waiting on webhook_queue (due) where state = 5;
create index webhook_queue_held on webhook_queue (endpoint, due, id) where state = 4;
create index webhook_queue_parked on webhook_queue (endpoint, state desc, due, id) where state > 5;

-- What was leased by one call, as the deliveries' ids one behind the other, and
-- when that ends: who finds it then makes ready what is still leased. process is
-- whose lease it is, or 0.
create table webhook_lease (
	due bigint not null,
	token bigint not null,
	process bigint not null,
	deliveries bytea not null,
	primary key (due, token)
);

-- The processes that send heartbeats. Who finds one dead, after alive_until, ends
-- its leases and removes its row in one transaction.
create table webhook_process (
	id bigint primary key,
	alive_until bigint not null
) with (fillfactor = 50);

-- The attempts that did not deliver.
create table webhook_attempt (
	delivery uuid not null,
	number integer not null,
	id text not null,
	at bigint not null,
	duration bigint not null,
	status integer not null,
	failure text not null,
	detail text not null,
	revision bigint not null,
	location text not null,
	body bytea not null,
	primary key (delivery, number)
);

-- Requests with an idempotency key, by hashes of the key (mark) and of the request
-- (fingerprint), for as long as they are kept. running_until is 0 once there is a
-- response, which can hold a secret: sealed_by is the id of the key that sealed it, or
-- empty.
create table webhook_idempotency (
	account text collate "C" not null,
	mark text collate "C" not null,
	fingerprint text not null,
	token bigint not null,
	running_until bigint not null,
	expires_at bigint not null,
	sealed_by text not null,
	response bytea not null,
	primary key (account, mark)
);
create index webhook_idempotency_age on webhook_idempotency (expires_at);

-- What Settle has counted and Maintain has not yet added to the tallies: for each
-- result the endpoint and what it adds, see appendCount.
-- A row of 256 results stays whole, and is not compressed.
create table webhook_count (
	num bigint generated always as identity primary key,
	at bigint not null,
	results bytea not null
) with (toast_tuple_target = 8160);

-- How many deliveries of an endpoint succeeded or were exhausted in an hour, how many
-- attempts failed, and how long the attempts took: l0 up to 10 ms, l11 above 30 s.
create table webhook_tally (
	endpoint bigint not null,
	hour bigint not null,
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
) with (fillfactor = 70);
create index webhook_tally_age on webhook_tally (hour);

insert into webhook_schema (version) values (1);
