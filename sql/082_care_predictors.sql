-- What is computed from several parents stays as it is, whatever becomes of those: a repack leaves it small.
\set VERBOSITY terse
set client_min_messages = warning;
create extension sparse;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = warning;

create function data_file(name text) returns text language sql as $$
    select current_setting('sparse_test.data') || '/' || name || '.safetensors' $$;
create function joined(version text) returns bytea language sql as $$
    select string_agg(piece, '' order by n)
    from sparse_reconstruct(version) with ordinality as pieces (piece, n) $$;
create function import(name text, parents text[] default '{}') returns bigint language sql as $$
    select sparse_import_file(name, data_file(name), parents) $$;
create function problems() returns table (problem text) language sql as $$
    select format('version %s: other bytes', id) from sparse.version
    where state = 'ready' and sha256(joined(id::text)) <> sha256(pg_read_binary_file(data_file(name)))
    union all
    select format('version %s: %s', v.id, p.problem) from sparse.version v, sparse_verify(v.id) p where v.state = 'ready'
    union all
    select format('object %s: stored_bytes', o.id) from sparse.object o
    where o.stored_bytes <> (select coalesce(sum(octet_length(sdelta_send(c.delta))), 0) from sparse.chunk c where c.object = o.id)
    union all
    select format('version %s: counters', v.id) from sparse.version v, sparse_tally(v.id) t
    where (v.new_objects, v.new_bytes, v.stored_bytes, v.by_predictor) is distinct from (t.new_objects, t.new_bytes, t.stored_bytes, t.by_predictor)
    union all
    select format('object %s: depth %s', o.id, o.depth) from sparse.object o
    where o.depth <> (select coalesce(max(p.parent_depth) + 1, 0) from sparse.object_parent p where p.object = o.id)
    union all
    select format('object %s: nothing needs it', o.id) from sparse.object o
    where not exists (select from sparse.object_parent p where p.parent = o.id) and not exists (select from sparse.tensor t where t.object = o.id)
      and not exists (select from sparse.file f where f.object = o.id) $$;
create view computed as
    select v.name, o.predictor, count(*) as objects, sum(o.stored_bytes) as bytes
    from sparse.version v join sparse.object o on o.version = v.id
    where o.predictor in ('blend', 'low-rank', 'quantised', 'maxima', 'pruned', 'cast') group by 1, 2;

select import('mini-chain-2') > 0, import('mini-base', '{mini-chain-2}') > 0, import('mini-lora-adapter') > 0, import('mini-finetune', '{mini-chain-2}') > 0,
       import('mini-finetune-strong', '{mini-finetune}') > 0, import('mini-finetune-light', '{mini-finetune-strong}') > 0,
       import('mini-merge-linear', '{mini-finetune,mini-finetune-strong}') > 0, import('mini-finetune-pruned', '{mini-finetune}') > 0,
       import('mini-lora-merged', '{mini-base,mini-lora-adapter}') > 0, import('mini-base-int8', '{mini-base}') > 0;
create table before as select * from computed;
select name, predictor, objects from computed order by 1, 2;
select * from problems();

call sparse_repack('mini-base') \gset was_
select :was_bytes_after < 0.9 * :was_bytes_before as smaller, :'was_finished' as finished;
select count(*) as changed from (table before except table computed) x;
select * from problems();
-- their parents move under them, and they go with those
select sum(stored_bytes) as bytes from sparse.object \gset bounded_
call sparse_repack('mini-base', 2) \gset was_
select count(*) as changed from (table before except table computed) x;
select * from problems();
call sparse_repack('mini-base', 32) \gset was_
select count(*) as changed from (table before except table computed) x;
select * from problems();

-- What was predicted from them cannot become what they are predicted from
call sparse_materialize('mini-finetune') \gset was_
call sparse_rebase('mini-finetune', 'mini-finetune-pruned') \gset was_
select :was_objects as objects;
call sparse_rebase('mini-finetune-strong', 'mini-merge-linear') \gset was_
select count(*) as circles from sparse.object_parent a join sparse.object_parent b on a.parent = b.object and b.parent = a.object;
select * from problems();

-- One of them by itself
call sparse_materialize('mini-merge-linear') \gset was_
select max(o.depth) as depth from sparse.tensor t join sparse.object o on o.id = t.object where t.version = sparse_resolve('mini-merge-linear');
call sparse_rebase('mini-finetune-strong', 'mini-merge-linear') \gset was_
select :was_objects > 0 as now_it_can, :was_bytes_after < :was_bytes_before as smaller;
select * from problems();
select sparse_drop('mini-finetune'), sparse_collect() is not null as collected;
select * from problems();
