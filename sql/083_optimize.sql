-- What was uploaded is predicted from one parent; sparse_optimize finds what an import would have found.
\set VERBOSITY terse
set client_min_messages = warning;
create extension sparse;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = warning;

create function data_file(name text) returns text language sql as $$
    select current_setting('sparse_test.data') || '/' || name || '.safetensors' $$;
create function content(name text) returns bytea language sql as $$ select pg_read_binary_file(data_file(name)) $$;
create function joined(version text) returns bytea language sql as $$
    select string_agg(piece, '' order by n)
    from sparse_reconstruct(version) with ordinality as pieces (piece, n) $$;
create function header_bytes(data bytea) returns int language sql as $$
    select 8 + sum(get_byte(data, i) * 256 ^ i)::int from generate_series(0, 3) i $$;
create function described(data bytea) returns jsonb language sql as $$
    select jsonb_build_object('path', 'model.safetensors', 'size', octet_length(data), 'sha256', encode(sha256(data), 'hex'),
        'header', translate(encode(substr(data, 1, h), 'base64'), E'\n', ''),
        'tensors', (select jsonb_object_agg(key, encode(sha256(substr(data, h + 1 + (value #>> '{data_offsets,0}')::int,
                        (value #>> '{data_offsets,1}')::int - (value #>> '{data_offsets,0}')::int)), 'hex'))
                    from json_each(convert_from(substr(data, 9, h - 8), 'UTF8')::json) where key <> '__metadata__'))
    from header_bytes(data) h $$;
create function push(name text, parents text[] default '{}', finish boolean default true) returns bigint language plpgsql as $$
declare
    data bytea := content(name);
    id bigint := sparse_begin(name, jsonb_build_array(described(data)), parents);
begin
    perform sparse_write(id, l.tensor, l.seq, substr(data, l.file_offset::int + 1, l.bytes::int), 'model.safetensors')
    from sparse_layout(id) l where l.wanted;
    return case when finish then sparse_commit(id) else id end;
end $$;
-- what must hold whatever was done: contents, checksums, counters, depths, nothing left over
create function problems() returns table (problem text) language sql as $$
    select format('version %s: other bytes', name) from sparse.version
    where state = 'ready' and kind = 'model' and sha256(joined(id::text)) <> sha256(content(name))
    union all
    select format('version %s: %s', v.name, p.problem) from sparse.version v, sparse_verify(v.id) p where v.state = 'ready' and v.kind = 'model'
    union all
    select format('object %s: stored_bytes', o.id) from sparse.object o
    where o.stored_bytes <> (select coalesce(sum(octet_length(sdelta_send(c.delta))), 0) from sparse.chunk c where c.object = o.id)
    union all
    select format('version %s: counters', v.name) from sparse.version v, sparse_tally(v.id) t
    where v.state <> 'open' and (v.new_objects, v.new_bytes, v.stored_bytes, v.by_predictor) is distinct from (t.new_objects, t.new_bytes, t.stored_bytes, t.by_predictor)
    union all
    select format('object %s: depth %s', o.id, o.depth) from sparse.object o
    where o.depth <> (select coalesce(max(p.parent_depth) + 1, 0) from sparse.object_parent p where p.object = o.id)
    union all
    select format('object %s: needed by nothing', o.id) from sparse.object o
    where not exists (select from sparse.tensor where object = o.id) and not exists (select from sparse.file where object = o.id)
      and not exists (select from sparse.object_parent where parent = o.id) $$;
create function predictors(version text) returns text language sql as $$
    select string_agg(p, ', ' order by p) from (select distinct predictor as p from sparse_tensors(version)) x $$;
create function stored(version text) returns bigint language sql as $$
    select stored_bytes from sparse.version where id = sparse_resolve($1) $$;
create table child (n serial, name text, parents text[]);
insert into child (name, parents) values
    ('mini-merge-linear', '{mini-finetune,mini-finetune-strong}'), ('mini-merge-slerp', '{mini-finetune,mini-finetune-strong}'),
    ('mini-lora-merged', '{mini-base,mini-lora-adapter}'), ('mini-finetune-pruned', '{mini-finetune}'),
    ('mini-base-int8', '{mini-base}'), ('mini-base-fp16', '{mini-base}');

-- What is left for later, first
set sparse.optimize_commits = off;

-- What an import makes of them, to be compared with
begin;
select sparse_import_file(f, data_file(f)) > 0 as imported from unnest(array['mini-base', 'mini-lora-adapter']) f;
select sparse_import_file(f, data_file(f), '{mini-base}') > 0 as imported from unnest(array['mini-finetune', 'mini-finetune-strong']) f;
savepoint parents;
select count(sparse_import_file(name, data_file(name), parents)) from child;
select string_agg(format('(%L, %s, %L)', name, stored(name), predictors(name)), ', ') as imported from child \gset
rollback to parents;
commit;
create table imported (name text, bytes bigint, predictors text);
insert into imported values :imported;

-- By default a commit leaves nothing for later: what was pushed is stored as what was imported
begin;
set local sparse.optimize_commits = on;
select count(push(name, parents)) from child;
select name, predictors(name) = i.predictors as as_imported, stored(name) <= 1.01 * i.bytes as as_small from child join imported i using (name) order by n;
select count(*) as left_for_later from sparse.unoptimized;
select * from problems();
call sparse_optimize('mini-base-int8') \gset was_
select :was_objects as gained;
rollback;
begin;
set local sparse.optimize_commits = on;
select push('mini-lora-merged', '{mini-base}') > 0 as pushed_without_its_adapter;
select predictors('mini-lora-merged'), stored('mini-lora-merged') as bytes \gset pushed_
rollback;
begin;
select sparse_import_file('mini-lora-merged', data_file('mini-lora-merged'), '{mini-base}') > 0 as imported;
select stored('mini-lora-merged') = :pushed_bytes as as_large, predictors('mini-lora-merged') = :'pushed_predictors' as as_imported;
rollback;

-- The factors of a change that nobody gave are counted with the version, and go when no formula needs them
begin;
savepoint parents;
select sparse_import_file('mini-lora-merged', data_file('mini-lora-merged'), '{mini-base}') > 0 as imported;
select stored('mini-lora-merged') as bytes \gset imported_
rollback to parents;
select push('mini-lora-merged', '{mini-base}') > 0 as pushed;
select stored('mini-lora-merged') as bytes \gset pushed_
select count(*) as objects from sparse.object \gset pushed_
call sparse_optimize('mini-lora-merged') \gset was_
select predictors('mini-lora-merged'), stored('mini-lora-merged') < 1.03 * :imported_bytes + 2000 as as_small, stored('mini-lora-merged') - :pushed_bytes = :was_bytes_after - :was_bytes_before as as_told;
select count(*) > :pushed_objects as with_factors from sparse.object;
select * from problems();
call sparse_optimize('mini-lora-merged') \gset was_
select :was_objects as objects;
call sparse_materialize('mini-lora-merged') \gset was_
select objects as left_for_a_collection from sparse_collect();   -- factors go with the prediction that they were for
select count(*) - :pushed_objects as objects from sparse.object;
select * from problems();
rollback;


select count(push(name, parents)) from child;
select name, predictors(name) from child order by n;
select * from problems();
create table pushed as select name, stored(name) as bytes from child;
-- a descendant, to be read all along (of its parent alone: with more effort it leans on that one's parents too, which are as deep as they are)
set sparse.effort = 1;
select sparse_import_file('mini-finetune-light', data_file('mini-finetune-light'), '{mini-merge-linear}') > 0 as descendant;
reset sparse.effort;

call sparse_optimize('mini-merge-linear') \gset was_
select :was_objects > 0 as recoded, :was_bytes_after < :was_bytes_before as smaller, :'was_finished' as finished;
call sparse_optimize('mini-merge-slerp') \gset was_
call sparse_optimize('mini-lora-merged') \gset was_
call sparse_optimize('mini-finetune-pruned') \gset was_
select sparse_resolve('mini-base-int8') as int8 \gset
call sparse_optimize(:int8) \gset was_
select * from problems();
-- in a transaction that is given up, nothing has happened
begin;
call sparse_optimize('mini-base-fp16') \gset was_
rollback;
select stored('mini-base-fp16') = bytes as as_before from pushed where name = 'mini-base-fp16';
call sparse_optimize('mini-base-fp16') \gset was_
select name, predictors(name), predictors(name) = i.predictors as as_imported, stored(name) < 1.03 * i.bytes + 2000 as as_small, stored(name) < p.bytes as smaller
from child join imported i using (name) join pushed p using (name) order by n;
select * from problems();

-- Again, there is nothing to gain
call sparse_optimize('mini-merge-linear') \gset was_
select :was_objects as objects;
call sparse_optimize('mini-lora-merged') \gset was_
select :was_objects as objects;
select * from problems();
-- No time, nothing done
call sparse_materialize('mini-merge-linear') \gset was_
call sparse_optimize('mini-merge-linear', budget => '0') \gset was_
select :was_objects as objects, :'was_finished' as finished;
-- Within a depth, of the version and of what is predicted from it
call sparse_optimize('mini-merge-linear', max_depth => 1) \gset was_
select max(o.depth) as deepest from sparse.tensor t join sparse.object o on o.id = t.object where t.version in (sparse_resolve('mini-merge-linear'), sparse_resolve('mini-finetune-light'));
select * from problems();
-- Some of it, then an end: what was done stays, and the rest can follow
call sparse_materialize('mini-merge-slerp') \gset was_
create sequence recoded;
create function stop() returns trigger language plpgsql as $$
begin
    if nextval('public.recoded') = 5 then raise query_canceled; end if;
    return null;
end $$;
create trigger stop after update of stored_bytes on sparse.object for each row when (old.stored_bytes > 0) execute function stop();
call sparse_optimize('mini-merge-slerp');
drop trigger stop on sparse.object;
select count(*) from sparse_tensors('mini-merge-slerp') where predictor <> 'none';
select * from problems();
call sparse_optimize('mini-merge-slerp') \gset was_
select stored('mini-merge-slerp') < 1.03 * bytes + 2000 as as_small from imported where name = 'mini-merge-slerp';
select * from problems();
-- One of its parents is predicted from it: the other is left
call sparse_materialize('mini-merge-slerp') \gset was_
call sparse_materialize('mini-finetune-strong') \gset was_
call sparse_rebase('mini-finetune-strong', 'mini-merge-slerp') \gset was_
select :was_objects > 0 as rebased;
call sparse_optimize('mini-merge-slerp') \gset was_
select predictors('mini-merge-slerp'), :was_objects > 0 as recoded;
select * from problems();
-- With a parent that is dropped and collected, the other is left
call sparse_materialize('mini-lora-merged') \gset was_
select sparse_drop('mini-lora-adapter'), sparse_collect() is not null as collected;
call sparse_optimize('mini-lora-merged') \gset was_
select predictors('mini-lora-merged'), :was_bytes_after < 0.1 * :was_bytes_before as smaller;
select * from problems();

-- What was uploaded is noted, and what was imported with the least effort, and looked through at night
select push('mini-finetune-light', '{mini-base}') > 0 as uploaded;
call sparse_materialize('mini-merge-linear') \gset was_
insert into sparse.unoptimized select sparse_resolve('mini-merge-linear');
select v.name from sparse.unoptimized u join sparse.version v on v.id = u.version order by 1;
call sparse_nightly(budget => '0') \gset was_
select :'was_finished' as finished, count(*) from sparse.unoptimized;
call sparse_nightly() \gset was_
select :was_repacked > 0 as coded_anew, :was_saved_bytes > 0 as saved, :'was_finished' as finished, count(*) as left_over from sparse.unoptimized;
select * from problems();

-- An upload whose parents are gone by then is looked through, and left; what is known of each version goes with it
select count(push(name, '{mini-finetune-light}')) as uploaded from unnest(array['mini-chain-1', 'mini-chain-2']) name;
select sparse_drop('mini-finetune-light');
call sparse_optimize('mini-chain-1');
insert into sparse.unoptimized select sparse_resolve(n) from unnest(array['mini-merge-linear', 'mini-merge-slerp']) n;
-- a version is no longer noted when all of it was looked through, and only then
call sparse_optimize('mini-merge-slerp', budget => '0') \gset was_
select count(*) as noted from sparse.unoptimized where version = sparse_resolve('mini-merge-slerp');
call sparse_optimize('mini-merge-slerp') \gset was_
select count(*) as noted from sparse.unoptimized where version = sparse_resolve('mini-merge-slerp');
insert into sparse.unoptimized select sparse_resolve('mini-merge-slerp');
create table memory (n serial, bytes bigint);
create function note_memory() returns trigger language plpgsql as $$
begin
    insert into public.memory (bytes) select sum(used_bytes) from pg_backend_memory_contexts where (name like 'sparse%' or ident like 'sparse%') and name <> 'sparse codec';
    return null;
end $$;
create trigger note_memory after delete on sparse.unoptimized for each row execute function note_memory();
call sparse_nightly() \gset was_
select :'was_finished' as finished, count(*) as left_over from sparse.unoptimized;
select count(*) as versions, max(bytes) - min(bytes) < 20000 as no_more from memory;
drop trigger note_memory on sparse.unoptimized;
select * from problems();
-- A sequence that lags behind, as where rows were copied without it: nothing is taken for what this call has stored
call sparse_materialize('mini-merge-linear') \gset was_
select last_value from sparse.object_id_seq \gset
select min(i) as free from generate_series(1, :last_value) i where not exists (select from sparse.object where id = i) \gset
select setval('sparse.object_id_seq', :free, false) = :free as set_back;
select count(*) as objects from sparse.object \gset
call sparse_optimize('mini-merge-linear') \gset was_
select count(*) = :objects as all_there from sparse.object;
select setval('sparse.object_id_seq', max(id)) > 0 as set_right from sparse.object;
call sparse_optimize('mini-merge-linear') \gset was_
select :was_objects > 0 as recoded;
select * from problems();

-- Refusals
select push('mini-longer-vocabulary', '{mini-base}', false) as open_id \gset
call sparse_optimize('mini-base');
call sparse_optimize(:open_id);
call sparse_optimize('mini-nothing');
call sparse_optimize('mini-merge-linear', max_depth => 33);
create table rows as select 1 as x;
select sparse_commit_rows('some/rows', 'select * from rows') > 0 as dataset;
call sparse_optimize('some/rows');
create role optimize_user;
grant usage on schema public to optimize_user;
set role optimize_user;
call sparse_optimize('mini-merge-linear');
reset role;
drop owned by optimize_user;
drop role optimize_user;
