-- +goose Up
-- What a receiving server has handled (state 1) or is handling (0), until due.
create table webhook_inbox (
	id text collate "C" primary key,
	state smallint not null,
	token bigint not null,
	due bigint not null
) with (fillfactor = 85);
create index webhook_inbox_due on webhook_inbox (due);

create table webhook_inbox_schema (version integer primary key);
insert into webhook_inbox_schema (version) values (1);
