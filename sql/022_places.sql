-- Content is known once in the whole store, wherever its chunks lie; predictions cross places.
set client_min_messages = warning;
\set VERBOSITY terse
create extension sparse;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = warning;
create function data_file(name text) returns text language sql as $$
    select current_setting('sparse_test.data') || '/' || name || '.safetensors' $$;
create function is_whole(version text, file text) returns boolean language sql as $$
    select sha256(string_agg(piece, '' order by n)) = sha256(pg_read_binary_file(data_file(file)))
    from sparse_reconstruct(version) with ordinality p (piece, n) $$;
-- Where the chunks of a version's objects lie, and whether all that is stored is as it should be.
create function lies(version text) returns table (place smallint, chunks_at smallint, objects bigint) language sql as $$
    select o.place, c.place, count(distinct o.id)
    from (select object from sparse.tensor where version = sparse_version_id($1) union select object from sparse.file where version = sparse_version_id($1)) m
    join sparse.object o on o.id = m.object join sparse.chunk c on c.object = o.id
    group by 1, 2 order by 1, 2 $$;
create function problems() returns bigint language sql as $$
    select (select count(*) from sparse.version v, sparse_verify(v.id) where v.state = 'ready' and v.kind = 'model')
         + (select count(*) from sparse.chunk c where not exists (select from sparse.object o where o.id = c.object and o.place = c.place))
         + (select count(*) from sparse.object o where o.sha256 is not null and o.stored_bytes <> (select coalesce(sum(octet_length(c.delta)), 0) from sparse.chunk c where c.object = o.id)) $$;

select sparse_add_place('there', weight => 0);
select sparse_import_file('base', data_file('mini-base')) > 0 as base;
select * from lies('base');

-- A family elsewhere: what is new lies there, what is known stays where it is
insert into sparse.family (place, name) values (1, 'there');
create function move_names(name text) returns void language sql as $$
    update sparse.version set family = (select id from sparse.family where family.name = 'there') where version.name = $1 $$;
select sparse_import_bytes('moved', '\x02000000000000007b7d') > 0 as first;
select move_names('moved');
select sparse_import_file('moved', data_file('mini-base')) > 0 as known_content;
select * from lies('moved');
select sparse_import_file('moved', data_file('mini-finetune')) > 0 as alone;
select * from lies('moved');
select count(*) = count(distinct sha256) as known_once from sparse.object;
select is_whole('moved@2', 'mini-base') and is_whole('moved@3', 'mini-finetune') as whole, problems();

-- Predictions cross places, both ways
select sparse_import_file('moved', data_file('mini-chain-2'), '{moved@2}') > 0 as child_there;
select count(*) > 0 as from_here from sparse.object_parent p join sparse.object o on o.id = p.object join sparse.object a on a.id = p.parent where o.place = 1 and a.place = 0;
select sparse_import_file('here', data_file('mini-finetune-strong'), '{base,moved@3}') > 0 as child_here;
select is_whole('moved', 'mini-chain-2') and is_whole('here', 'mini-finetune-strong') as whole, problems();

-- Uploads, datasets, other parents, and the end
select sparse_begin('moved', jsonb_build_array(jsonb_build_object('path', 'a', 'size', 3, 'sha256', encode(sha256('one'), 'hex')))) as upload \gset
select sparse_write(:upload, null, 0, 'one', 'a');
select p.of, p.place, p.objects from sparse.payload p where p.of = 'chunks being uploaded';
select sparse_commit(:upload) = :upload as committed;
select * from lies('moved');
select sparse_commit_rows('rows', 'select i, ''there '' || i as t from generate_series(1, 1000) i') > 0 as rows;
select count(*) from sparse_rows('rows');
call sparse_materialize('moved@4') \gset was_
select * from lies('moved@4');
call sparse_rebase('moved@4', 'base') \gset was_
select * from lies('moved@4');
select problems();
select sparse_drop('moved@3'), sparse_drop('base');
select (sparse_collect()).versions;
select problems();
select is_whole('moved@4', 'mini-chain-2') and is_whole('here', 'mini-finetune-strong') as whole;
select count(sparse_drop(id)) from sparse.version where state = 'ready';
select (sparse_collect('0')).chunks > 10 as collected;
select (select count(*) from sparse.object) as objects, (select count(*) from sparse.chunk) as chunks, (select count(*) from sparse.object_parent) as edges;
