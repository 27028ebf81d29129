-- Who may do what with datasets, and what nobody may.
\set SHOW_CONTEXT never
set client_min_messages = warning;
drop role if exists regress_sparse_owner, regress_sparse_ann, regress_sparse_bob;
create role regress_sparse_owner;
create role regress_sparse_ann;
create role regress_sparse_bob;
do $$ begin execute format('grant create on database %I to regress_sparse_owner, regress_sparse_ann', current_database()); end $$;
create extension sparse;
set role regress_sparse_owner;
select sparse_create_store();
grant usage on schema sparse to regress_sparse_ann, regress_sparse_bob;
grant select, insert on sparse.version to regress_sparse_ann;
grant select on sparse.version, sparse.split, sparse.column to regress_sparse_bob;
alter table sparse.version enable row level security;
create policy mine on sparse.version using (created_by = current_user) with check (created_by = current_user);
create policy shown on sparse.version for select using (name like 'public/%');
reset role;

-- the query runs as who commits, with his search path
create table hidden (secret text);
create schema regress_ann authorization regress_sparse_ann;
set role regress_sparse_ann;
select sparse_commit_rows('x', 'select * from public.hidden');
set search_path = regress_ann, public;
create table mine as select i as id, 'text ' || i as t from generate_series(1, 100) i;
select sparse_commit_rows('ann/private', 'select * from mine order by id', key => array['id']);
select sparse_commit_rows('public/shown', 'select * from mine where id <= 3 order by id', 'ann/private', key => array['id']);
select sparse_checkout('public/shown', 'copied');
select * from regress_ann.copied;

-- who may not insert commits nothing; what he cannot see is not there
reset search_path;
set role regress_sparse_bob;
select sparse_commit_rows('bob', 'select 1 as a');
select sparse_rows('ann/private');
select sparse_rows(1);
select sparse_row('ann/private', '1');
select sparse_row_diff('ann/private', 'public/shown');
select sparse_checkout('ann/private', 'pg_temp.stolen');
select sparse_columns('ann/private');
select sparse_splits('ann/private');
-- a child of what is hidden can be read whole
select sparse_rows('public/shown');
select v.name, s.rows from sparse.split s join sparse.version v on v.id = s.version;
select count(*) from sparse.column;
select count(*) from sparse.column_chunk;
select sparse_checkout('public/shown', 'regress_ann.intruder');
select sparse_checkout('public/shown', 'pg_temp.own');
select * from pg_temp.own;

-- the functions of another's type do not run by a checkout
set role regress_sparse_ann;
create function regress_ann.spy(int) returns bool language plpgsql as $$ begin raise notice 'runs as %', current_user; return true; end $$;
set client_min_messages = notice;
create domain regress_ann.spied as int check (regress_ann.spy(value));
grant usage on schema regress_ann to regress_sparse_bob;
set client_min_messages = warning;
select sparse_commit_rows('public/trap', 'select 1::regress_ann.spied as a');
select sparse_commit_rows('public/keyed-trap', 'select i::regress_ann.spied as a, array[1::regress_ann.spied] as b from generate_series(1, 2) i', key => array['a']);
select sparse_commit_rows('public/keyed-trap', 'select i::regress_ann.spied as a, array[1::regress_ann.spied] as b from generate_series(1, 3) i', key => array['a']);
set client_min_messages = notice;
set role regress_sparse_bob;
select sparse_checkout('public/trap', 'pg_temp.trapped');
select sparse_rows('public/trap');
select sparse_row('public/keyed-trap', '1');
select op, new from sparse_row_diff('public/keyed-trap@1', 'public/keyed-trap@2');

-- another's functions and operators on the search path are not used
reset role;
set client_min_messages = warning;
create schema regress_evil;
create function regress_evil.eq(bigint, bigint) returns bool language plpgsql as $$ begin raise exception 'hijacked'; end $$;
create operator regress_evil.= (leftarg = bigint, rightarg = bigint, function = regress_evil.eq);
set search_path = regress_evil, pg_catalog, public;
select public.sparse_commit_rows('public/evil', 'select 1::bigint as a', key => array['a']);
select public.sparse_checkout('public/evil', 'regress_evil.out');
select rows from public.sparse_estimate_rows('select 1::bigint as a');
reset search_path;

-- nor do those of a domain that one of a trusted owner is made over
create domain public.over_spied as regress_ann.spied;
set role regress_sparse_ann;
select sparse_commit_rows('public/over-trap', 'select 1::public.over_spied as a') > 0 as committed;
set client_min_messages = notice;
set role regress_sparse_bob;
select sparse_checkout('public/over-trap', 'pg_temp.trapped');
reset role;
set client_min_messages = warning;
drop schema sparse cascade;
drop extension sparse cascade;
drop owned by regress_sparse_owner, regress_sparse_ann, regress_sparse_bob cascade;
drop role regress_sparse_owner, regress_sparse_ann, regress_sparse_bob;
