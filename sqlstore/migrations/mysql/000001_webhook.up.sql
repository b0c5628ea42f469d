-- +goose Up
-- Text that is compared is varbinary: exact bytes, whatever the character set
-- of the connection, and no padding with spaces. MySQL commits each statement by
-- itself, so every one of them can be run again.
create table if not exists webhook_schema (version int primary key) engine = InnoDB;

-- One row for each account that ever had an endpoint. Whatever concerns which
-- events lead where adds one to its version, and so locks it.
create table if not exists webhook_account (
	account varbinary(255) primary key,
	version bigint not null
) engine = InnoDB;

-- Statuses: 0 deleted; 1 active; 2 failing; 3 inactive; 4 and 5 are 1 and 2 while
-- it is paused. pace is 0 before it answered, then 1 quick or 2 slow. The latest
-- pause, the pauses'th in a row, is over at paused_until; probe_at is when a claim
-- is to look for its next probe, or when the lease of the one with probe_token
-- ends; 0 means that there is nothing to probe it with. One that is inactive and has
-- pauses recovers by itself: these columns tell of its trials then, which are probes of
-- held deliveries. last_failure is the latest
-- failed attempt, as JSON, or empty.
create table if not exists webhook_endpoint (
	num bigint auto_increment primary key,
	id varbinary(64) not null,
	account varbinary(255) not null,
	url mediumblob not null,
	events mediumblob not null,
	description mediumblob not null,
	metadata mediumblob not null,
	headers mediumblob not null,
	secrets mediumblob not null,
	status smallint not null,
	moving smallint not null default 0,
	version bigint not null,
	generation bigint not null,
	disabled_reason varbinary(32) not null,
	disabled_at bigint not null,
	failures int not null default 0,
	failing_since bigint not null default 0,
	last_triggered_at bigint not null default 0,
	last_success_at bigint not null default 0,
	last_failure_at bigint not null default 0,
	last_failure mediumblob not null,
	pace smallint not null default 0,
	pauses int not null default 0,
	paused_until bigint not null default 0,
	probe_at bigint not null default 0,
	probe_token bigint not null default 0,
	revised bigint not null default 0,
	revised_at bigint not null default 0,
	created_at bigint not null,
	updated_at bigint not null,
	unique key id (id),
	key account (account, num),
	key moving (moving, num),
	key status (status, num),
	key probe (probe_at, num)
) engine = InnoDB;

-- What endpoints were sent to with until a change of URL, secrets or headers: the hints
-- of secrets, the names of headers, and the URL, sealed where there are keys. revision is
-- the first version that it had. What holds now is in the endpoint's row: revised is its
-- first version, and revised_at when that began.
create table if not exists webhook_revision (
	endpoint bigint not null,
	revision bigint not null,
	begun_at bigint not null,
	ended_at bigint not null,
	url mediumblob not null,
	secrets mediumblob not null,
	headers mediumblob not null,
	primary key (endpoint, revision),
	key age (ended_at)
) engine = InnoDB;

create table if not exists webhook_subscription (
	account varbinary(255) not null,
	type varbinary(128) not null,
	endpoint bigint not null,
	primary key (account, type, endpoint),
	key endpoint (endpoint)
) engine = InnoDB;

-- uid is made of account and id, so that one index finds an event, and grows at
-- its end: see eventKey.
-- origin tells which call inserted a row that several may have tried to.
create table if not exists webhook_event (
	uid binary(16) primary key,
	account varbinary(255) not null,
	id varbinary(64) not null,
	type varbinary(128) not null,
	at bigint not null,
	created_at bigint not null,
	origin bigint not null,
	data longblob not null,
	key account (account, created_at)
) engine = InnoDB;

-- Events without a delivery, which no endpoint leads to.
create table if not exists webhook_unmatched (
	account varbinary(255) not null,
	created_at bigint not null,
	event binary(16) not null,
	primary key (account, created_at, event),
	key age (created_at)
) engine = InnoDB;

-- The log: a row for each delivery, for as long as it is remembered. Statuses: 0
-- unfinished, with a row in the queue; 1 leased; 2 delivered; 3 exhausted; 4
-- cancelled. made counts all attempts, attempts those of the schedule it is in.
-- ends_at is when it ended, or when its lease ends. What begins with sent tells of
-- the attempt that delivered it, which is the one numbered made; a null id means
-- that there is none.
create table if not exists webhook_delivery (
	id binary(16) primary key,
	event binary(16) not null,
	endpoint bigint not null,
	status smallint not null,
	token bigint not null,
	ends_at bigint not null,
	created_at bigint not null,
	attempts int not null default 0,
	made int not null default 0,
	releases int not null default 0,
	expired int not null default 0,
	sent_code int not null default 0,
	sent_at bigint not null default 0,
	sent_duration bigint not null default 0,
	sent_revision bigint not null default 0,
	reason varbinary(32) not null default '',
	sent_id varbinary(64),
	sent_body mediumblob,
	unique key event (event, endpoint),
	key endpoint (endpoint, id)
) engine = InnoDB;

-- What waits to be sent. States: 0 ready, 4 held, 5 waiting for a retry, 6
-- parked since the endpoint is paused, 7 the same of one that was attempted before.
-- There are no partial indexes here: that this table is small keeps its keys small.
create table if not exists webhook_queue (
	id binary(16) primary key,
	endpoint bigint not null,
	state smallint not null,
	due bigint not null,
	key ready (state, endpoint, due, id),
	key timer (state, due)
) engine = InnoDB;

-- What was leased by one call, as the deliveries' ids one behind the other, and
-- when that ends: who finds it then makes ready what is still leased. process is
-- whose lease it is, or 0.
create table if not exists webhook_lease (
	due bigint not null,
	token bigint not null,
	process bigint not null,
	deliveries longblob not null,
	primary key (due, token)
) engine = InnoDB;

-- The processes that send heartbeats. Who finds one dead, after alive_until, ends
-- its leases and removes its row in one transaction.
create table if not exists webhook_process (
	id bigint primary key,
	alive_until bigint not null
) engine = InnoDB;

-- The attempts that did not deliver.
create table if not exists webhook_attempt (
	delivery binary(16) not null,
	number int not null,
	id varbinary(64) not null,
	at bigint not null,
	duration bigint not null,
	status int not null,
	failure varbinary(64) not null,
	detail mediumblob not null,
	revision bigint not null,
	location mediumblob not null,
	body mediumblob not null,
	primary key (delivery, number)
) engine = InnoDB;

-- Requests with an idempotency key, by hashes of the key (mark) and of the request
-- (fingerprint), for as long as they are kept. running_until is 0 once there is a
-- response, which can hold a secret: sealed_by is the id of the key that sealed it, or
-- empty.
create table if not exists webhook_idempotency (
	account varbinary(255) not null,
	mark varbinary(64) not null,
	fingerprint varbinary(64) not null,
	token bigint not null,
	running_until bigint not null,
	expires_at bigint not null,
	sealed_by varbinary(64) not null,
	response longblob not null,
	primary key (account, mark),
	key age (expires_at)
) engine = InnoDB;

-- What Settle has counted and Maintain has not yet added to the tallies: for each
-- result the endpoint and what it adds, see appendCount.
create table if not exists webhook_count (
	num bigint auto_increment primary key,
	at bigint not null,
	results longblob not null
) engine = InnoDB;

-- How many deliveries of an endpoint succeeded or were exhausted in an hour, how many
-- attempts failed, and how long the attempts took: l0 up to 10 ms, l11 above 30 s.
create table if not exists webhook_tally (
	endpoint bigint not null,
	hour bigint not null,
	delivered int not null,
	failed int not null,
	exhausted int not null,
	l0 int not null,
	l1 int not null,
	l2 int not null,
	l3 int not null,
	l4 int not null,
	l5 int not null,
	l6 int not null,
	l7 int not null,
	l8 int not null,
	l9 int not null,
	l10 int not null,
	l11 int not null,
	primary key (endpoint, hour),
	key age (hour)
) engine = InnoDB;

insert into webhook_schema (version) select 1 from dual where not exists (select 1 from webhook_schema);
