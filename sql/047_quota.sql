-- Quotas: what the ready versions of an owner may come to.
\set VERBOSITY default
\set SHOW_CONTEXT never
set client_min_messages = warning;
drop role if exists regress_sparse_owner, regress_sparse_ann, regress_sparse_bob;
create role regress_sparse_owner;
create role regress_sparse_ann;
create role regress_sparse_bob;
do $$ begin execute format('grant create on database %I to regress_sparse_owner', current_database()); end $$;
create extension sparse;
create function model(content text) returns bytea language sql as $$
    select substr(int8send(128), 8, 1) || '\x00000000000000'::bytea || convert_to(rpad(
        json_build_object('t', json_build_object('dtype', 'U8', 'shape', array[octet_length(content)], 'data_offsets', array[0, octet_length(content)]))::text, 128), 'UTF8')
        || convert_to(content, 'UTF8') $$;
set role regress_sparse_owner;
select sparse_create_store();
grant usage on schema sparse to regress_sparse_ann, regress_sparse_bob;
grant select, insert, update on sparse.version to regress_sparse_ann, regress_sparse_bob;

-- Who has no quota may have what he likes
set role regress_sparse_ann;
select sparse_import_bytes('a', model('1')), sparse_import_bytes('a', model('2'));
set role regress_sparse_owner;
insert into sparse.quota (owner, versions) values ('regress_sparse_ann', 3);
set role regress_sparse_ann;
select sparse_import_bytes('a', model('3'));
select sparse_import_bytes('a', model('4'));
-- nothing is left of what was refused; what is there already is no more
select count(*) from sparse.version;
select sparse_import_bytes('a', model('3'));
-- others are not concerned
set role regress_sparse_bob;
select sparse_import_bytes('b', model('4'));
-- Dropped versions do not count; one that comes back does
set role regress_sparse_ann;
select sparse_drop('a@1');
select sparse_import_bytes('a', model('4'));
select sparse_undrop('a@1');
select sparse_drop('a@2');
select sparse_undrop('a@1');

-- Who brings back another's version is not told how much that other has
select sparse_drop('a@3');
select sparse_import_bytes('a', model('4b'));
set role regress_sparse_bob;
select sparse_undrop('a@3');
set role regress_sparse_owner;
select sparse_undrop('a@3');
set role regress_sparse_ann;
select sparse_drop('a@5');
select sparse_undrop('a@3');

-- Bytes of files, and of deltas
set role regress_sparse_owner;
update sparse.quota set versions = null, raw_bytes = 1000;
set role regress_sparse_ann;
select sparse_import_bytes('large', model(repeat('x', 1000)));
set role regress_sparse_owner;
update sparse.quota set raw_bytes = null, stored_bytes = (select sum(stored_bytes) from sparse.version where created_by = 'regress_sparse_ann' and state = 'ready');
set role regress_sparse_ann;
-- content that is there costs nothing
select sparse_import_bytes('copy', model('4')) > 0 as imported;
select sparse_import_bytes('other', model('other content'));

-- The quota of everybody who has none of his own
set role regress_sparse_owner;
insert into sparse.quota (owner, versions) values ('*', 1);
set role regress_sparse_bob;
select sparse_import_bytes('b', model('5'));
set role regress_sparse_owner;
insert into sparse.quota (owner) values ('regress_sparse_bob');
set role regress_sparse_bob;
select sparse_import_bytes('b', model('5')) > 0 as imported;

-- An upload counts from its beginning on, by what it declares; given up it does not
set role regress_sparse_owner;
insert into sparse.quota (owner, versions, raw_bytes) select 'regress_sparse_ann', count(*) + 1, sum(raw_bytes) + 1000 from sparse.version where created_by = 'regress_sparse_ann' and state = 'ready' on conflict (owner) do update set versions = excluded.versions, raw_bytes = excluded.raw_bytes, stored_bytes = null;
set role regress_sparse_ann;
create function pg_temp.upload(name text, size integer) returns bigint language sql as $$
    select sparse_begin(name, jsonb_build_array(jsonb_build_object('path', 'x', 'size', size, 'sha256', repeat('ab', 32)))) $$;
select pg_temp.upload('too large', 1001);
select pg_temp.upload('one', 600) > 0 as begun;
select pg_temp.upload('two', 600);
select pg_temp.upload('two', 1);
select sparse_import_bytes('ready', model('r'));
select sparse_abort(pg_temp.upload('one', 600));
select pg_temp.upload('two', 600) > 0 as begun;
select sparse_abort(pg_temp.upload('two', 600));
-- and by what has come of it
set role regress_sparse_owner;
update sparse.quota set versions = null, raw_bytes = null, stored_bytes = (select sum(stored_bytes) + 1000 from sparse.version where created_by = 'regress_sparse_ann' and state = 'ready') where owner = 'regress_sparse_ann';
set role regress_sparse_ann;
select sparse_write(pg_temp.upload('three', 600), null, 0, decode(repeat('ab', 600), 'hex'), 'x');
select sparse_write(pg_temp.upload('four', 100000), null, 0, (select string_agg(sha256(int4send(i)), '') from generate_series(1, 3125) i), 'x');
select sparse_abort(pg_temp.upload('three', 600)), sparse_abort(pg_temp.upload('four', 100000));
set role regress_sparse_owner;
update sparse.quota set stored_bytes = stored_bytes - 1000 where owner = 'regress_sparse_ann';

-- Nobody fires the triggers of the store by a table of his own
set role regress_sparse_ann;
create temp table own (id bigint, state text, created_by text, new_objects integer);
insert into own values (1, 'open', 'regress_sparse_bob', 0);
do $$
declare
    function text;
begin
    foreach function in array array['guard()', 'quota()', 'notify(''ready'')', 'tally()', 'forgotten()'] loop
        for i in 1..2 loop
            begin
                execute format('create trigger t %s update or delete on own for each row execute function sparse_version_%s', (array['before', 'after'])[i], function);
                update own set state = 'ready';
                raise warning 'sparse_version_% was fired', function;
            exception when sqlstate '39P01' then raise warning '%', sqlerrm;
            end;
        end loop;
    end loop;
    create trigger t after update on own for each row execute function sparse_object_recoded();
    update own set state = 'ready';
end $$;
drop table own;

-- A quota is set by the store's owner; who may see versions and quotas sees what is used of them
select from sparse.quota;
insert into sparse.quota values ('regress_sparse_bob', null, null, null);
select from sparse.usage;
set role regress_sparse_owner;
select owner, versions, raw_bytes, stored_bytes > 0 as stored, versions_allowed, raw_bytes_allowed, stored_bytes_allowed > 0 as stored_allowed from sparse.usage order by owner;
delete from sparse.quota where owner <> '*';
select owner, versions, versions_allowed from sparse.usage order by owner;
insert into sparse.quota values ('x', -1, null, null);

-- A superuser's version counts like any other, and runs nothing of the owner's with his rights
reset role;
grant create on schema public to regress_sparse_owner;
set role regress_sparse_owner;
create function public.evil(bigint) returns bigint language plpgsql immutable as $$
begin
    if (select rolsuper from pg_roles where rolname = current_user) then raise exception 'the trap was sprung'; end if;
    return $1;
end $$;
create index on sparse.quota ((public.evil(1)));
\c -
create role regress_sparse_super superuser;
set role regress_sparse_super;
set client_min_messages = warning;
select sparse_import_bytes('s', model('6')) > 0 as imported;
select sparse_import_bytes('s', model('7')) > 0 as imported;

reset role;
drop schema sparse cascade;
drop extension sparse;
drop owned by regress_sparse_owner, regress_sparse_ann, regress_sparse_bob;
drop role regress_sparse_owner, regress_sparse_ann, regress_sparse_bob, regress_sparse_super;
