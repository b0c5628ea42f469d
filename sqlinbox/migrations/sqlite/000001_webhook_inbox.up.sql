-- +goose Up
-- What a receiving server has handled (state 1) or is handling (0), until due.
create table webhook_inbox (
	id text primary key,
	state integer not null,
	token integer not null,
	due integer not null
) without rowid;
create index webhook_inbox_due on webhook_inbox (due);

create table webhook_inbox_schema (version integer primary key);
insert into webhook_inbox_schema (version) values (1);
