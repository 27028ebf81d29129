-- Tokens of the hub: nobody becomes by one what he could not become by "set role".
\set VERBOSITY terse
set client_min_messages = warning;
drop role if exists regress_sparse_owner, regress_sparse_ann, regress_sparse_bob, regress_sparse_readers, regress_sparse_hub, regress_sparse_admin;
create role regress_sparse_owner;
create role regress_sparse_ann;
create role regress_sparse_bob;
create role regress_sparse_readers;
create role regress_sparse_admin;
create role regress_sparse_hub noinherit;
grant regress_sparse_readers to regress_sparse_ann, regress_sparse_hub;
do $$ begin execute format('grant create on database %I to regress_sparse_owner', current_database()); end $$;
create extension sparse;
set role regress_sparse_owner;
select sparse_create_store();
grant usage on schema sparse to regress_sparse_ann, regress_sparse_bob, regress_sparse_hub;
grant insert, delete, select (id, role, scopes, made_at, made_by, expires_at) on sparse.token to regress_sparse_ann, regress_sparse_bob;
grant select on sparse.token to regress_sparse_hub;
reset role;
create function role_of(token text) returns setof text language sql as $$
    select role || ' ' || scopes::text from sparse_token_role(sha256(convert_to(token, 'UTF8'))) $$;

-- For oneself, and for what one is a member of
set role regress_sparse_ann;
select sparse_token('regress_sparse_ann') as ann \gset
select sparse_token('regress_sparse_readers', scopes => '{read}') as readers \gset
select :'ann' ~ '^hf_[0-9a-f]{64}$' as is_a_token, :'ann' <> :'readers' as differ;
-- and for nobody else
select sparse_token('regress_sparse_bob');
select sparse_token('regress_sparse_owner');
select sparse_token('regress_sparse_admin');
select sparse_token('regress_sparse_nobody');
insert into sparse.token (sha256, role, scopes) values (sha256('x'), 'regress_sparse_bob', '{read}');
insert into sparse.token (sha256, role, scopes, made_by) values (sha256('x'), 'regress_sparse_ann', '{read}', 'regress_sparse_bob');
insert into sparse.token (sha256, role, scopes, made_by) values (sha256('x'), 'regress_sparse_bob', '{read}', 'regress_sparse_bob');
update sparse.token set role = 'regress_sparse_bob';
-- Arguments
select sparse_token(null);
select sparse_token('regress_sparse_ann', '-1 day');
select sparse_token('regress_sparse_ann', scopes => '{}');
select sparse_token('regress_sparse_ann', scopes => '{read,admin}');
select sparse_token('regress_sparse_ann', scopes => null);
-- What others have is not seen, and no hash is
select role, scopes, made_by, expires_at > now() + interval '89 days' as for_long from sparse.token order by id;
select sha256 from sparse.token;
select * from role_of(:'ann');
set role regress_sparse_bob;
select count(*) from sparse.token;
delete from sparse.token;
-- The hub knows whose they are
set role regress_sparse_hub;
select * from role_of(:'ann');
select * from role_of(:'readers');
select * from role_of('hf_none');
select * from role_of('');
select sparse_token('regress_sparse_readers');
-- The owner makes none for others either
set role regress_sparse_owner;
select sparse_token('regress_sparse_ann');
reset role;
-- One that has expired, one whose maker is no longer a member, one whose maker is gone, one whose role is gone
set role regress_sparse_ann;
select sparse_token('regress_sparse_ann', '1 microsecond') as short \gset
select pg_sleep(0.01);
set role regress_sparse_hub;
select * from role_of(:'short');
reset role;
revoke regress_sparse_readers from regress_sparse_ann;
set role regress_sparse_hub;
select * from role_of(:'readers');
reset role;
grant regress_sparse_readers to regress_sparse_ann;
set role regress_sparse_hub;
select * from role_of(:'readers');
reset role;
alter role regress_sparse_ann rename to regress_sparse_anna;
set role regress_sparse_hub;
select * from role_of(:'readers');
reset role;
alter role regress_sparse_anna rename to regress_sparse_ann;
-- Whom it stands for may void it, and its maker
set role regress_sparse_ann;
delete from sparse.token where role = 'regress_sparse_ann';
set role regress_sparse_hub;
select * from role_of(:'ann');
select * from role_of(:'readers');
reset role;
-- A store that was made before has none, and gets it
set role regress_sparse_owner;
drop table sparse.token;
select sparse_update_store();
select count(*) from sparse.token;
reset role;
