-- A superuser who asks where to run a request lends the store's owner nothing: what he hung on its tables, or put in their place, runs with his own rights.
\set VERBOSITY terse
\set SHOW_CONTEXT never
set client_min_messages = warning;
drop role if exists regress_sparse_owner;
create role regress_sparse_owner;
do $$ begin execute format('grant create on database %I to regress_sparse_owner', current_database()); end $$;
grant create on schema public to regress_sparse_owner;
create extension sparse;
set role regress_sparse_owner;
select sparse_create_store();
insert into sparse.family (place, name) values (0, 'base');
insert into sparse.version (name, revision, family, state, content_sha256, raw_bytes, stored_bytes)
select n, 1, 1, 'ready', sha256(n::bytea), 2e9, 1e9 from unnest(array['base', 'tuned']) n;
insert into sparse.parent (child, ordinal, parent) values (2, 0, 1);
insert into sparse.tag (name, tag, version) values ('tuned', 'production', 2);
insert into sparse.quality values (2, 'chat', 0.8, 'ours');
insert into sparse.deployment (host, hardware, version) values ('gpu1', 'L4', 1);
create function evil(integer) returns integer language plpgsql immutable as $$
begin
    if (select rolsuper from pg_catalog.pg_roles where rolname = current_user) then raise exception 'the trap was sprung'; end if;
    return $1;
end $$;
-- an index is worked out where its table is first planned for, so each question is the first of its session
do $$
declare
    name text;
begin
    foreach name in array array['version', 'parent', 'tensor', 'tag'] loop
        execute format('create index on sparse.%I ((public.evil(1)))', name);
    end loop;
    foreach name in array array['hardware', 'routing_constant', 'routing_rule', 'routing_task', 'quality', 'deployment'] loop
        execute format('alter table sparse.%I rename to %I', name, 'real_' || name);
        execute format('create view sparse.%I as select * from sparse.%I where public.evil(2) = 2', name, 'real_' || name);
    end loop;
end $$;
-- (they are traps)
\c -
\set VERBOSITY terse
select count(*) from sparse.parent;
select count(*) from sparse.hardware;
\c -
select sparse_routing_base(2);
\c -
select weight_bytes, dtype from sparse_weights(2);
\c -
select sparse_routing_constant('batch');
\c -
select task, output_tokens from sparse_classify('Translate: good morning');
\c -
select * from sparse_routing_versions('{"family": 1}');
\c -
select version, host, load_ms, quality, refusal from sparse_route_candidates('{"tag": "production", "hardware": ["L4"]}') order by host;
\c -
select rank, version, host, load_ms, quality from sparse_route('{"tag": "production", "hardware": ["L4"]}');
\c -
select base, versions, members, size from sparse_batch('[{"version": "base"}, {"version": "tuned"}]');
\c -
select requests, compared, saved from sparse_routing_savings($$ select '{"requested": "base", "versions": ["tuned"], "prompt_tokens": 10, "output_tokens": 10}'::jsonb $$);
-- the log is read as himself, who asked for it
select requests from sparse_routing_savings($$ select jsonb_build_object('requested', current_user, 'versions', '[1]'::jsonb, 'prompt_tokens', 1, 'output_tokens', 1)
    from pg_catalog.pg_authid where rolname = current_user $$);
-- an import that is taken back is counted as the owner too
create table file (content bytea);
insert into file select set_byte('\x0000000000000000'::bytea, 0, length(h)) || h::bytea || '\x0001020304050607'::bytea from (values ('{"t":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}')) v (h);
select current_setting('data_directory') || '/sparse_trap.safetensors' as path \gset
do $$ begin perform lo_from_bytea(4711, content) from file; perform lo_export(4711, current_setting('data_directory') || '/sparse_trap.safetensors'); perform lo_unlink(4711); end $$;
\c -
set client_min_messages = warning;
select raw_file_bytes > 8 as imported from sparse_try_import(:'path');
\c -
select raw_bytes from sparse_try_import_bytes(2);
\c -
-- and so are the parents of an estimate
select sampled_bytes >= 0 as estimated from sparse_estimate('tuned', 'base');
\c -
set client_min_messages = warning;
-- who asks in the owner's place is himself, if he is no superuser
create role regress_sparse_reader;
grant usage on schema sparse to regress_sparse_reader;
set role regress_sparse_reader;
\set VERBOSITY terse
select sparse_routing_constant('batch');
select * from sparse_weights(2);
reset role;
set client_min_messages = warning;
drop schema sparse cascade;
drop extension sparse;
drop owned by regress_sparse_owner, regress_sparse_reader;
drop role regress_sparse_owner, regress_sparse_reader;
