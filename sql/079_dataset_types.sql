-- Types that go away: a temporary one is refused, others are guarded; what is gone all the same is shown, and reported.
\set SHOW_CONTEXT never
set client_min_messages = error;
create extension sparse;
select sparse_create_store();

-- of the session only: a temporary table's row type, alone, in an array, a field, a domain, a range
create temporary table loading (id int, t text);
insert into loading values (1, 'a'), (2, 'b');
create type pg_temp.felt as enum ('x');
create domain pg_temp.word as text;
select sparse_commit_rows('temporary', 'select l as row, l.id from loading l');
select sparse_commit_rows('temporary', 'select array[l] as rows from loading l');
select sparse_commit_rows('temporary', $$select 'x'::pg_temp.felt as m$$);
select sparse_commit_rows('temporary', $$select array['x']::pg_temp.word[] as m$$);
create type pg_temp.holding as (m pg_temp.felt);
select sparse_commit_rows('temporary', $$select row('x')::pg_temp.holding as m$$);
create type pg_temp.words as range (subtype = text);
select sparse_commit_rows('temporary', $$select '[a,b]'::pg_temp.words as m$$);
select count(*) from sparse.version;

-- one of every kind
create schema other;
create type mood as enum ('sad', 'ok');
create type pair as (x int, "a ""name"", so" text, m mood);
create domain positive as int check (value > 0);
create domain pairs as pair[];
create type span as range (subtype = numeric);
create table data as
select i as id, (enum_range(null::mood))[1 + i % 2] as m, row(i, 'y', 'ok')::pair as p, i::positive as d, array['sad', null]::mood[] as ms,
       array[row(i, null, 'sad')::pair] as ps, array[row(i, 'z', null)::pair]::pairs as dps, span(i, i + 1.5) as s, array[1, 2]::positive[] as ds
from generate_series(1, 3) i;
select sparse_commit_rows('d', 'select * from data', key => '{id}');
select sparse_commit_rows('simple', 'select id, m, d, ms, s from data', key => '{id}');
create function as_text() returns setof jsonb language sql as $$ select sparse_rows('d', rows => 1, form => 'text') $$;
select as_text();
create table seen as select as_text() as row;
select sparse_rows('d', columns => '{m,p,d,s}', rows => 1, form => 'raw');
select sparse_rows('d', form => 'nonsense');

-- they cannot be dropped in passing
drop table data;
drop type mood;
drop domain positive;
drop type span;
-- renamed and moved ones are read as before, and new ones of their names are others
alter type mood rename to feeling;
alter type positive set schema other;
alter type span rename to extent;
create type mood as enum ('nothing');
select sparse_rows('d', columns => '{id,m,d,ms,s}', rows => 1);
begin;
select sparse_commit_rows('new', $$select 'nothing'::mood as m$$);
select sparse_rows('new');
select sparse_checkout('new', 'new_out');
select pg_typeof(m) from new_out;
select count(*) as problems from sparse_verify_rows('new');
rollback;
select sparse_checkout('simple', 'out');
select attname, format_type(atttypid, atttypmod) from pg_attribute where attrelid = 'out'::regclass and attnum > 0 order by attnum;
select count(*) as problems from sparse_verify_rows('simple');
select op, old, new from sparse_row_diff('simple', 'simple');
-- within another type the name is part of what that is made of
select column_name, problem from sparse_verify_rows('d');
drop table out;
drop type mood;
alter type feeling rename to mood;
alter type other.positive set schema public;
alter type extent rename to span;
select count(*) as problems from sparse_verify_rows('d');

-- altered: what is no longer what it was is reported, and shown as it was
begin;
alter type pair add attribute z int;
select column_name, problem from sparse_verify_rows('d');
select as_text() = row as as_before from seen;
alter type mood rename value 'ok' to 'fine';
select column_name, problem from sparse_verify_rows('d') where column_name like 'm%';
select as_text() = row as as_before from seen;
rollback;

-- gone: with "cascade", nothing but the guard goes along
drop type mood cascade;
drop type pair cascade;
drop domain positive cascade;
drop type span cascade;
select count(*) as rows, count(*) filter (where cardinality(object) > 0) as whole from sparse.column_chunk;
select column_name, problem from sparse_verify_rows('d');
select sparse_rows('d', columns => '{id,m}');
select sparse_rows('d', columns => '{id}', rows => 1);
select as_text();
select sparse_rows('d', columns => '{m,p,d,s}', rows => 1, form => 'raw');
-- rows are compared by what can be shown of them
create type mood as enum ('sad', 'ok', 'new');
select sparse_commit_rows('d', $$select i as id, (enum_range(null::mood))[1 + i % 2 + i / 3] as m from generate_series(1, 3) i$$, 'd', '{id}');
select op, key, new from sparse_row_diff('d@1', 'd@2') where new ->> 'm' = 'new';

-- types that no version has any more can be dropped
create type passing as enum ('by');
select sparse_commit_rows('passing', $$select 'by'::passing as p$$);
drop type passing;
select sparse_drop('passing');
select sparse_release_types();
select chunks > 0 as collected from sparse_collect();
select sparse_release_types();
drop type passing;

-- A column whose type was changed, one that came, one that went
select sparse_commit_rows('f', $$select * from (values (1, 10, 1.50::numeric, 'a'::varchar(9), '2026-01-01'::date, '{"a": 1}'::json, true, '7'),
    (2, 20, 2.5, 'b', '2026-01-02', '[]', false, '8'), (3, 30, 3, null, null, 'null', null, '9')) s (id, i, n, v, d, j, b, t)$$, key => '{id}');
select sparse_commit_rows('f', $$select * from (values (1::smallint, 10::bigint, 1.5::float8, 'a'::text, '2026-01-01 00:00'::timestamp, '{"a":1}'::jsonb, 'true'::text, 7),
    (2::smallint, 20, 2.5, 'b', '2026-01-02 00:00', '[]', 'false', 8), (3::smallint, 30, 3, null, null, 'null', null, 9)) s (id, i, n, v, d, j, b, t)$$, 'f', '{id}');
set client_min_messages = notice;
select * from sparse_row_diff('f@1', 'f@2');
set client_min_messages = warning;
select sparse_commit_rows('f', $$select * from (values (1, 11, 1.5, 'x'), (2, 20, 2.5, null), (4, 40, 4, 'y')) s (id, i, n, w)$$, 'f', '{id}');
set client_min_messages = notice;
select * from sparse_row_diff('f@2', 'f@3');
select op, old, new from sparse_row_diff('f@3', 'f@3', by => '{w}');
select op, key from sparse_row_diff('f@1', 'f@3', by => '{i}');
