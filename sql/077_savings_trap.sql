-- A superuser who asks for savings lends the store's owner nothing: views and triggers that he made run with his own rights.
\set VERBOSITY terse
set client_min_messages = warning;
drop role if exists regress_sparse_owner;
create role regress_sparse_owner;
do $$ begin execute format('grant create on database %I to regress_sparse_owner', current_database()); end $$;
grant create on schema public to regress_sparse_owner;
create extension sparse;
create function model(content text) returns bytea language sql as $$
    select substr(int8send(128), 8, 1) || '\x00000000000000'::bytea || convert_to(rpad(
        json_build_object('t', json_build_object('dtype', 'U8', 'shape', array[octet_length(content)], 'data_offsets', array[0, octet_length(content)]))::text, 128), 'UTF8')
        || convert_to(content, 'UTF8') $$;
set role regress_sparse_owner;
select sparse_create_store();
create function evil() returns boolean language plpgsql as $$
begin
    if (select rolsuper from pg_roles where rolname = current_user) then raise exception 'the trap was sprung'; end if;
    return true;
end $$;
create function evil_trigger() returns trigger language plpgsql as $$
begin
    perform public.evil();
    return new;
end $$;
create trigger evil before insert or update on sparse.pull for each row execute function evil_trigger();
create trigger evil before insert or update on sparse.savings_history for each row execute function evil_trigger();
do $$
declare
    view text;
begin
    for view in select relname from pg_class where relnamespace = 'sparse'::regnamespace and relkind = 'v' loop
        execute format('alter view sparse.%I rename to %I', view, 'real_' || view);
        execute format('create view sparse.%I as select * from sparse.%I where evil()', view, 'real_' || view);
    end loop;
end $$;
reset role;
select sparse_import_bytes('a', model('x')) as id;
-- (it is one)
select count(*) from sparse.all_savings;
select sparse_record_pull('a', 1), sparse_record_pull(1::bigint, 2);
select sparse_record_savings('2020-01-01') as recorded;
select sparse_report_data() -> 'total' -> 'versions' as versions, length(sparse_report('html', true)) > 1000 as drawn;
select objects from sparse_drop_preview('a');
select sparse_measure_zstd('a') > 0 as measured;
select sampled_bytes from sparse_estimate('a', null);
-- his triggers may keep a pull from being recorded: that is said
set role regress_sparse_owner;
create or replace function evil_trigger() returns trigger language plpgsql as $$ begin return null; end $$;
reset role;
select sparse_record_pull('a', 1);
drop schema sparse cascade;
drop extension sparse;
drop owned by regress_sparse_owner;
drop role regress_sparse_owner;
