-- Other parents for what is stored: sizes and depths change, contents and counters do not go astray.
\set VERBOSITY terse
set client_min_messages = warning;
create extension sparse;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = warning;
-- differences to parents alone: what a product of factors would save, no plan estimates
set sparse.effort = 1;

create function data_file(name text) returns text language sql as $$
    select current_setting('sparse_test.data') || '/' || name || '.safetensors' $$;
create function joined(version text) returns bytea language sql as $$
    select string_agg(piece, '' order by n)
    from sparse_reconstruct(version) with ordinality as pieces (piece, n) $$;
create function import(name text, file text, parents text[] default '{}') returns bigint language sql as $$
    select sparse_import_file(name, data_file(file), parents, metadata => jsonb_build_object('file', file)) $$;
-- what must hold whatever was done: contents, checksums, counters, depths
create function problems() returns table (problem text) language sql as $$
    select format('version %s: other bytes', id) from sparse.version
    where state = 'ready' and metadata ? 'file' and sha256(joined(id::text)) <> sha256(pg_read_binary_file(data_file(metadata ->> 'file')))
    union all
    select format('version %s: %s', v.id, p.problem) from sparse.version v, sparse_verify(v.id) p where v.state = 'ready'
    union all
    select format('object %s: stored_bytes', o.id) from sparse.object o
    where o.stored_bytes <> (select coalesce(sum(octet_length(sdelta_send(c.delta))), 0) from sparse.chunk c where c.object = o.id)
    union all
    select format('version %s: stored_bytes', v.id) from sparse.version v
    where v.stored_bytes <> (select coalesce(sum(o.stored_bytes), 0) from sparse.object o where o.version = v.id)
    union all
    select format('version %s: new_bytes', v.id) from sparse.version v
    where v.collected_at is null and v.new_bytes <> (select coalesce(sum(o.bytes), 0) from sparse.object o where o.version = v.id)
    union all
    select format('object %s: depth %s', o.id, o.depth) from sparse.object o
    where o.depth <> (select coalesce(max(p.parent_depth) + 1, 0) from sparse.object_parent p where p.object = o.id)
    union all
    select format('object %s: no name', o.id) from sparse.object o where o.sha256 is null $$;
create function depth_of(version text) returns integer language sql as $$
    select max(o.depth) from sparse.object o
    where id in (select object from sparse.tensor where version = sparse_resolve($1)
                 union select object from sparse.file where version = sparse_resolve($1)) $$;

-- A family under bad parents: a checkpoint late in the chain leads, a light fine-tune hangs on a strong one
select import('late', 'mini-chain-2'), import('base', 'mini-base', '{late}'), import('strong', 'mini-finetune-strong', '{late}'),
       import('light', 'mini-finetune-light', '{strong}'), import('finetune', 'mini-finetune', '{light}'),
       import('early', 'mini-chain-1', '{strong}'), import('grown', 'mini-longer-vocabulary', '{finetune}');
select * from problems();


-- One version read without parents; what hangs on it comes up
select name, depth_of(name) from sparse.version order by id;
call sparse_materialize('strong') \gset was_
select :was_objects > 0 as some, :was_bytes_after > :was_bytes_before as larger;
select name, depth_of(name) from sparse.version order by id;
select * from problems();
call sparse_materialize('strong') \gset was_
select :was_objects as objects;

-- One version against another
call sparse_rebase('light', 'base') \gset was_
select :was_bytes_after < :was_bytes_before as smaller, depth_of('light'), depth_of('finetune'), depth_of('grown');
select * from problems();
-- by id too; once more changes nothing
call sparse_rebase(4::bigint, 'base') \gset was_
select :was_objects as objects;
-- not against what hangs on it
set client_min_messages = notice;
call sparse_rebase('base', 'light');
call sparse_rebase('light', 'light');
call sparse_rebase('light', 'nothing');
set client_min_messages = warning;
select * from problems();
-- what has another name in the other version stays
select sparse_import_bytes('other', substr(int8send(128), 8, 1) || '\x00000000000000'::bytea || convert_to(rpad(
        '{"t": {"dtype": "U8", "shape": [3], "data_offsets": [0, 3]}}', 128) || 'abc', 'UTF8')) > 0 as imported;
call sparse_rebase('light', 'other') \gset was_
select :was_objects < 2 as only_the_header;
select * from problems();

-- A bound holds for what hangs on it: no chain grows longer than sparse.max_chain_depth
set sparse.max_chain_depth = 2;
select max(depth) as depth from sparse.object \gset before_
call sparse_rebase('strong', 'light') \gset was_
select max(depth) = :before_depth as none_is_longer, depth_of('strong') from sparse.object;
reset sparse.max_chain_depth;
select * from problems();

-- What a repack expects, beside what is there, what an importer could have done, and the cheapest however deep
create table expected as select * from sparse_repack_preview('base');
select method from expected;
select bool_and(a.estimated_bytes <= b.estimated_bytes) as in_order from expected a join expected b on (a.method, b.method) in
    (('minimum', 'repack'), ('repack', 'greedy'), ('greedy', 'alone'), ('repack', 'present'));
select estimated_bytes = (select sum(stored_bytes) from sparse.object where id in (select object from sparse.tensor where version < 8 union select object from sparse.file where version < 8))
    as present_is_true from expected where method = 'present';
select bool_and(deepest <= 1) as bounded from sparse_repack_preview('base', 1) where method in ('greedy', 'repack');
select sparse_repack_preview('base', 99);

-- The whole family: fewer bytes, by the same bytes of content
call sparse_repack('base') \gset was_
select :was_bytes_after < 0.85 * :was_bytes_before as smaller, :was_depth_after <= 8 as bounded, :'was_finished' as finished;
select :was_bytes_after = sum(stored_bytes) as true from sparse.object where id in (
    select object from sparse.tensor t join sparse.version v on v.id = t.version where v.family = 1
    union select object from sparse.file f join sparse.version v on v.id = f.version where v.family = 1);
select * from problems();
select abs(estimated_bytes::numeric / :was_bytes_after - 1) < 0.03 as as_expected from expected where method = 'repack';
-- it is as good as it gets
call sparse_repack('base') \gset was_
select :was_objects as objects;

-- Storage against recreation
select sum(stored_bytes) as bytes from sparse.object \gset unbounded_
call sparse_repack('light', 1) \gset was_
select :was_depth_after as depth, max(depth) from sparse.object;
select sum(stored_bytes) > :unbounded_bytes as larger from sparse.object;
select * from problems();
call sparse_repack('light', 0) \gset was_
select max(depth) as depth, sum(stored_bytes) > 0.6 * sum(bytes) as nothing_saved from sparse.object where id <> (select max(id) from sparse.object);
select count(*) as edges from sparse.object_parent;
select * from problems();
call sparse_repack('light') \gset was_
select :was_bytes_after < 1.01 * :unbounded_bytes as as_before;
select * from problems();
call sparse_repack('light', 33);
call sparse_repack('light', -1);

-- No time: nothing is done, and said so
call sparse_repack('light', 1, '0') \gset was_
select :was_objects as objects, :'was_finished' as finished, max(repacked_at) is not null as before from sparse.family;

-- In a transaction it is part of that
begin;
call sparse_repack('light', 0) \gset was_
select max(depth) as depth from sparse.object where id <> (select max(id) from sparse.object);
rollback;
select max(depth) > 0 as as_before from sparse.object;
begin isolation level repeatable read;
call sparse_repack('light', 0);
rollback;
begin read only;
call sparse_repack('light', 0);
rollback;
-- and cannot be called where nothing may be written: a query
select sparse_repack('light');

-- All families: only those that have changed
call sparse_repack() \gset was_
select :was_objects as objects, :was_bytes_before > 0 as one_was_new;
call sparse_repack() \gset was_
select :was_bytes_before as nothing;
select import('newest', 'mini-chain-1', '{strong}') > 0 as imported;
call sparse_repack() \gset was_
select :was_bytes_before > 0 as one_was_new;

-- What many share is stored once and recoded once; its counter is that of the version that brought it
select sum(stored_bytes) as same from sparse.version where name = 'newest';
select sparse_drop('early'), sparse_collect() is not null as collected;
call sparse_materialize('newest') \gset was_
select stored_bytes from sparse.version where name = 'newest';
select v.name, v.stored_bytes = (select sum(o.stored_bytes) from sparse.object o where o.version = v.id) as true from sparse.version v where name = 'early';
select * from problems();

-- A header that an open version brought, and one that is ready shares: it is counted when the upload ends
create function framed(header text, data bytea) returns bytea language sql as $$
    select substr(int8send(octet_length(header)), 8, 1) || '\x00000000000000'::bytea || convert_to(header, 'UTF8') || data $$;
create function small() returns bytea language sql as $$
    select framed(rpad('{"a": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}}', 128), 'xy') $$;
select sparse_import_bytes('like it', framed(rpad('{"a": {"dtype": "U8", "shape": [3], "data_offsets": [0, 3]}}', 128), 'xyz')) > 0 as imported;
select sparse_begin('upload', jsonb_build_array(jsonb_build_object('path', 'model.safetensors', 'size', 138, 'header', translate(encode(substr(small(), 1, 136), 'base64'), E'\n', ''),
    'sha256', encode(sha256(small()), 'hex'), 'tensors', jsonb_build_object('a', encode(sha256('xy'), 'hex')))), '{like it}') as upload \gset
select sparse_import_bytes('shares it', small(), '{like it}') > 0 as imported;
select depth_of('shares it');
call sparse_materialize('shares it') \gset was_
select :was_objects as objects, :was_bytes_after > :was_bytes_before as larger, depth_of('shares it');
select sparse_write(:upload, 'a', 0, 'xy') is not null as written;
select sparse_commit(:upload) = :upload as committed;
select * from problems();

-- The server's own checks on the edges still stand
select count(*) > 0 as edges from sparse.object_parent;
with p as (select * from sparse.object_parent limit 1)
update sparse.object o set depth = 0 from p where o.id = p.object;
