-- +goose Up
-- What a receiving server has handled (state 1) or is handling (0), until due. The
-- ids are exact bytes, whatever the character set of the connection. MySQL commits
-- each statement by itself, so every one of them can be run again.
create table if not exists webhook_inbox (
	id varbinary(64) primary key,
	state smallint not null,
	token bigint not null,
	due bigint not null,
	key due (due)
) engine = InnoDB;

create table if not exists webhook_inbox_schema (version int primary key) engine = InnoDB;
insert ignore into webhook_inbox_schema (version) values (1);
