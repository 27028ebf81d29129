-- Whatever state the versions are in, and whatever was done to them, the views add up to what the relations hold, to the byte.
\set VERBOSITY terse
set client_min_messages = warning;
create extension sparse;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = warning;
create function data_file(name text) returns text language sql as $$
    select current_setting('sparse_test.data') || '/' || name || '.safetensors' $$;

-- A row for each sum that is not the one that the relations give, by whichever view
create function wrong() returns table (what text) language plpgsql as $$
declare
    deltas constant numeric := (select coalesce(sum(sdelta_bytes(delta)), 0) from sparse.chunk);
    of_versions constant numeric := (select coalesce(sum(o.stored_bytes), 0) from sparse.object o join sparse.version v on v.id = o.version and v.state <> 'open');
    prefix text;
    relation text;
    name text;
    sum numeric;
    expected numeric;
begin
    -- each object, and all of them, by the chunks
    return query select format('object %s', o.id) from sparse.object o
        where not exists (select from sparse.staged s where s.object = o.id)
          and o.stored_bytes <> (select coalesce(sum(sdelta_bytes(c.delta)), 0) from sparse.chunk c where c.object = o.id);
    return query select 'payload ' || p.sum || ' of ' || deltas from (select sum(stored_bytes) as sum from sparse.payload) p where p.sum <> deltas;
    return query select 'storage ' || p.sum || ' of ' || deltas from (select sum(payload_bytes) as sum from sparse.storage) p where p.sum <> deltas;
    -- the relations by what the server says of them
    return query select 'relations' from sparse.storage
        having sum(total_bytes) <> (select sum(pg_total_relation_size(oid)) from pg_class where relnamespace = 'sparse'::regnamespace and relkind in ('r', 'm'))
            or bool_or(overhead_bytes <> total_bytes - payload_bytes);
    -- the counters of each version by its objects
    return query select format('counters of %s', v.id) from sparse.version v, sparse_tally(v.id) t
        where v.state <> 'open' and (v.content_sha256 is not null or v.collected_at is not null)
          and (v.new_objects, v.new_bytes, v.stored_bytes, v.by_predictor) is distinct from (t.new_objects, t.new_bytes, t.stored_bytes, t.by_predictor);
    -- raw files by the files, where there are some
    return query select format('raw files of %s', s.version) from sparse.savings s
        where s.raw_file_bytes <> case when s.state = 'ready' and s.exact and s.kind = 'model' then (select sum(f.bytes) from sparse.file f where f.version = s.version)
                                       when s.state = 'ready' and s.exact then (select sum(c.bytes) from sparse.column c where c.version = s.version) else 0 end
           or s.shared_content_bytes not between 0 and s.raw_file_bytes or s.whole_file_dedup_bytes not between 0 and s.raw_file_bytes;
    foreach prefix in array array['', 'all_'] loop
        execute format('select coalesce(sum(stored_bytes), 0) from sparse.%ssavings', prefix) into sum;
        if sum <> of_versions then what := format('%ssavings %s of %s', prefix, sum, of_versions); return next; end if;
        execute format('select coalesce(sum(stored_bytes), 0) from sparse.%ssavings_by_predictor', prefix) into sum;
        if sum <> of_versions then what := format('%ssavings_by_predictor %s of %s', prefix, sum, of_versions); return next; end if;
        -- each column of bytes of the sums is the sum of that column
        for relation, name in
            select c.relname, a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid
            where c.relnamespace = 'sparse'::regnamespace and c.relname ~ ('^' || prefix || 'savings_by_(family|owner|month)$') and a.atttypid = 'bigint'::regtype
              and a.attname !~ 'zstd' and exists (select from pg_attribute s where s.attrelid = 'sparse.savings'::regclass and s.attname = a.attname and s.attname <> 'family')
        loop
            execute format('select coalesce(sum(%I), 0) from sparse.%I', name, relation) into sum;
            execute format('select coalesce(sum(%I), 0) from sparse.savings', name) into expected;
            if sum <> expected then what := format('%s.%s %s of %s', relation, name, sum, expected); return next; end if;
        end loop;
    end loop;
    return query select format('of owner %s', s.created_by) from sparse.savings s left join sparse.savings_by_owner o on o.owner = s.created_by
        group by s.created_by, o.stored_bytes, o.raw_file_bytes having sum(s.stored_bytes) is distinct from o.stored_bytes or sum(s.raw_file_bytes) is distinct from o.raw_file_bytes;
end $$;
-- that it would tell
begin;
select sparse_import_file('base', data_file('mini-base')) as base;
update sparse.object set stored_bytes = stored_bytes + 1, version = null where id = (select min(id) from sparse.object);
select count(*) > 5 as told from wrong();
rollback;
select * from wrong();

drop role if exists regress_sparse_ann, regress_sparse_bob;
create role regress_sparse_ann;
create role regress_sparse_bob;
grant pg_read_server_files to regress_sparse_ann, regress_sparse_bob;
grant usage on schema sparse to regress_sparse_ann, regress_sparse_bob;
grant select, insert, update on sparse.version to regress_sparse_ann, regress_sparse_bob;
create table rows as select i as id, md5(i::text) as hash, i * 1.5 as x from generate_series(1, 5000) i;
grant select, update on rows to regress_sparse_ann, regress_sparse_bob;

-- Models and datasets of two owners and of the store's, in three families and more, with one file twice, and in two months
set role regress_sparse_ann;
select sparse_import_file('ann/base', data_file('mini-base')), sparse_import_file('ann/tuned', data_file('mini-finetune'), '{ann/base}'),
       sparse_import_file('ann/strong', data_file('mini-finetune-strong'), '{ann/tuned}'), sparse_commit_rows('ann/rows', 'select * from rows order by id', key => '{id}');
set role regress_sparse_bob;
select sparse_import_file('bob/base', data_file('mini-base')), sparse_import_file('bob/merged', data_file('mini-merge-linear'), '{ann/tuned,ann/strong}'),
       sparse_import_file('bob/lora', data_file('mini-lora-merged'), '{ann/base}');
update rows set hash = md5(hash) where id % 50 = 0;
select sparse_commit_rows('bob/rows', 'select * from rows order by id', 'ann/rows', '{id}'),
       sparse_commit_splits('bob/splits', '{"a": "select * from rows where id < 1000 order by id", "b": "select hash from rows order by id"}');
reset role;
select sparse_import_file('fp16', data_file('mini-base-fp16'), '{bob/base}'), sparse_import_file('chain', data_file('mini-chain-1'), '{bob/base}');
update sparse.version set created_at = created_at - interval '40 days' where name like 'ann/%';
select * from wrong();
select owner, versions from sparse.savings_by_owner where owner ~ 'regress' order by owner;
select count(*) as months from sparse.savings_by_month;

-- Approximations are versions like others, but what they are nearly was never saved
select raw_file_bytes as raw_before from sparse.savings_by_family where family = (select family from sparse.version where name = 'ann/base') \gset
set role regress_sparse_bob;
select sparse_approximate('ann/tuned', 'int8', name => 'bob/int8'), sparse_approximate('bob/merged', 'bit1', name => 'bob/bit1'), sparse_approximate('ann/tuned', 'svd', rank => 4, name => 'bob/svd');
reset role;
select * from wrong();
select version, raw_file_bytes, whole_file_dedup_bytes, shared_content_bytes, own_content_bytes > 0 as own, saved_against_raw_files = - stored_bytes as costs, fraction_of_raw_files, exact from sparse.savings where not exact order by 1;
select raw_file_bytes = :raw_before as the_same, stored_for_approximations_bytes = (select sum(stored_bytes) from sparse.savings where not exact) as told
from sparse.savings_by_family where family = (select family from sparse.version where name = 'ann/base');
-- a family is measured when its exact versions are
select count(sparse_measure_zstd(version)) > 0 as measured from sparse.savings where exact and state = 'ready' and kind = 'model';
select bool_and(zstd_file_bytes > 0) as measured from sparse.savings_by_family f where exists (select from sparse.version v where v.family = f.family and v.kind = 'model');

-- Coded anew: without parents, against another, by formula, by families
\o /dev/null
call sparse_materialize('ann/strong');
\o
select * from wrong();
\o /dev/null
call sparse_rebase('ann/strong', 'ann/base');
call sparse_optimize('bob/lora');
call sparse_optimize('chain', 2);
\o
select * from wrong();
\o /dev/null
call sparse_repack('all', 2);
\o
select * from wrong();

-- Dropped, and back
select count(sparse_drop(id)) as dropped from sparse.version where name in ('ann/base', 'ann/tuned', 'ann/rows', 'bob/int8');
select * from wrong();
select sparse_undrop('ann/tuned'), sparse_undrop('ann/rows');
select * from wrong();
select versions, objects > 0 as some, bytes > 0 as freed from sparse_collect('0 s');
select * from wrong();
-- tombstones that others need are coded anew too
\o /dev/null
call sparse_repack('all');
\o
select * from wrong();

-- An upload under way, dropped, and collected; an import that was rolled back
create function header_bytes(data bytea) returns int language sql as $$
    select 8 + sum(get_byte(data, i) * 256 ^ i)::int from generate_series(0, 3) i $$;
create function described(data bytea) returns jsonb language sql as $$
    select jsonb_build_object('path', 'model.safetensors', 'size', octet_length(data), 'sha256', encode(sha256(data), 'hex'),
        'header', translate(encode(substr(data, 1, h), 'base64'), E'\n', ''),
        'tensors', (select jsonb_object_agg(key, encode(sha256(substr(data, h + 1 + (value #>> '{data_offsets,0}')::int,
                        (value #>> '{data_offsets,1}')::int - (value #>> '{data_offsets,0}')::int)), 'hex'))
                    from json_each(convert_from(substr(data, 9, h - 8), 'UTF8')::json) where key <> '__metadata__'))
    from header_bytes(data) h $$;
create table sent as select pg_read_binary_file(data_file('mini-finetune-light')) as data;
select sparse_begin('sent', jsonb_build_array(described(data)), '{fp16}') as sent from sent \gset
select count(sparse_write(:sent, l.tensor, l.seq, substr(data, l.file_offset::int + 1, l.bytes::int), l.file)) as written
from (select * from sparse_layout(:sent) where wanted limit 4) l, sent;
select "of" from sparse.payload order by 1;
select * from wrong();
begin;
select sparse_import_file('gone', data_file('mini-merge-slerp'), '{ann/tuned,ann/strong}') > 0 as imported;
select * from wrong();
rollback;
select sparse_drop(:sent::bigint);
select * from wrong();
select count(sparse_drop(id)) as dropped from sparse.version where state = 'ready' and name not in ('bob/merged', 'bob/bit1', 'bob/rows');
select * from wrong();
select versions, objects > 0 as some from sparse_collect('0 s');
select * from wrong();

-- To the last
select count(sparse_drop(id)) as dropped from sparse.version where state = 'ready';
select count(*) > 0 as collected from sparse_collect('0 s');
select * from wrong();
select (select count(*) from sparse.savings) as versions, (select count(*) from sparse.chunk) as chunks, (select sum(stored_bytes) from sparse.payload) as payload,
       (select count(*) from sparse.savings_by_family) as families;

drop owned by regress_sparse_ann, regress_sparse_bob;
drop role regress_sparse_ann, regress_sparse_bob;
