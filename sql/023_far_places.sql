-- Chunks on another server (here: the same one, by way of postgres_fdw): everything is stored, read, coded anew, moved and removed as if they lay here.
set client_min_messages = warning;
\set VERBOSITY terse
create extension sparse;
create extension postgres_fdw;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = warning;
create function data_file(name text) returns text language sql as $$
    select current_setting('sparse_test.data') || '/' || name || '.safetensors' $$;
create function is_whole(version text, file text) returns boolean language sql as $$
    select sha256(string_agg(piece, '' order by n)) = sha256(pg_read_binary_file(data_file(file)))
    from sparse_reconstruct(version) with ordinality p (piece, n) $$;
-- Where the chunks of all objects lie.
create function lies() returns table (object_at smallint, chunks_at smallint, objects boolean) language sql as $$
    select o.place, c.place, count(distinct o.id) > 0 from sparse.object o join sparse.chunk c on c.object = o.id and c.place = o.place group by 1, 2 order by 1, 2 $$;
create function problems() returns bigint language sql as $$
    select (select count(*) from sparse.version v, sparse_verify(v.id) where v.state = 'ready' and v.kind = 'model')
         + (select count(*) from sparse.version v, sparse_verify_rows(v.id) where v.state = 'ready' and v.kind = 'dataset')
         + (select count(*) from sparse.object o where o.sha256 is not null and o.stored_bytes <> (select coalesce(sum(octet_length(c.delta)), 0) from sparse.chunk c where c.object = o.id and c.place = o.place)) $$;
-- Chunks that no object has.
create function orphans() returns bigint language sql as $$
    select count(*) from sparse.chunk c where not exists (select from sparse.object o where o.id = c.object and o.place = c.place) $$;
do $$
begin
    execute format('create server east foreign data wrapper postgres_fdw options (host %L, port %L, dbname %L)',
                   split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port'), current_database());
    create user mapping for current_user server east;
end $$;

-- What stands in the way of a place is said, with what to do
\set VERBOSITY default
select sparse_add_place('East', 'east');
select sparse_add_place('east', 'east', 'pg_default');
select sparse_add_place('east', 'east');
create schema sparse_place;
create table sparse_place.east (place smallint not null, object bigint not null, seq integer not null, delta bytea not null);
select sparse_add_place('east', 'east');
insert into sparse_place.east values (1, 7, 0, '');
alter table sparse_place.east add primary key (object, seq), alter column delta set storage external;
select sparse_add_place('east', 'east');
truncate sparse_place.east;
\set VERBOSITY terse
select sparse_add_place('east', 'east', weight => 0), sparse_add_place('other', weight => 0);
select * from sparse_places();

-- A new family goes where there is weight, and its versions stay together
select sparse_weigh_place('here', 0);
select sparse_import_file('nowhere', data_file('mini-base'));
select sparse_weigh_place('east', 3);
select sparse_import_file('base', data_file('mini-base')) > 0 as base;
set sparse.chunk_size = '64kB';
select sparse_import_file('child', data_file('mini-finetune'), '{base}') > 0 as child;
reset sparse.chunk_size;
select * from lies();
select is_whole('base', 'mini-base') and is_whole('child', 'mini-finetune') as whole, problems(), orphans();
select sparse_commit_rows('rows', 'select i as id, ''east '' || i as t from generate_series(1, 3000) i', key => '{id}') > 0 as rows;
select sparse_commit_rows('rows', 'select i as id, ''east '' || i / 2 as t from generate_series(1, 3100) i', 'rows', '{id}') > 0 as changed_rows;
select count(*) from sparse_rows('rows');

-- An upload: written, written anew, counted, committed
select sparse_begin('upload', jsonb_build_array(jsonb_build_object('path', 'a', 'size', 3, 'sha256', encode(sha256('one'), 'hex')))) as upload \gset
select sparse_write(:upload, null, 0, 'two', 'a');
select sparse_write(:upload, null, 0, 'one', 'a');
select p.of, p.place, p.objects from sparse.payload p where p.of = 'chunks being uploaded';
select sparse_commit(:upload) = :upload as committed;

-- What is coded anew comes here: nothing is changed there that somebody may be reading
call sparse_materialize('child') \gset was_
select * from lies();
select is_whole('child', 'mini-finetune') as whole, problems(), (select count(*) > 0 from sparse.forgotten) as noted, orphans() > 0 as chunks_still_there;
call sparse_rebase('child', 'base') \gset was_
select is_whole('child', 'mini-finetune') as whole, problems();

-- What went is removed by a later collection, and nothing else
select sparse_drop('rows@2') is not null, (sparse_collect('0')).versions;
select (sparse_collect('0')).chunks > 0 as removed_there;
select orphans(), problems(), (select count(*) from sparse.forgotten);
-- what nobody had committed, too
insert into sparse_place.east values (1, 1000000, 0, 'left by a failure');
select orphans(), (sparse_collect('1 day')).chunks, orphans();

-- Moving a family there and back
select family from sparse.version where name = 'child' \gset
call sparse_move_family(:family, 'nowhere');
call sparse_move_family(0, 'here');
call sparse_move_family(:family, 'here') \gset
select :objects > 0 as objects, :bytes > 0 as bytes, :objects_left, :'finished';
select place from sparse.family where id = :family;
select is_whole('base', 'mini-base') and is_whole('child', 'mini-finetune') as whole, problems();
call sparse_move_family(:family, 'east') \gset
select :objects_left > 0 as in_the_way_of_old_chunks, :'finished';
select (sparse_collect('0')).chunks > 0 as removed;
-- a move that failed has left other chunks
insert into sparse_place.east select 1, o.id, 0, 'left' from sparse.object o where o.place = 0 limit 1;
call sparse_move_family(:family, 'east') \gset
select :objects > 0 as objects, :objects_left, :'finished';
call sparse_move_family(:family, 'other') \gset
select :objects > 0 as objects, :objects_left, :'finished';
select is_whole('base', 'mini-base') and is_whole('child', 'mini-finetune') as whole, problems();
call sparse_move_family(:family, 'other') \gset
select :objects, :objects_left, :'finished';

-- A place goes when it is empty
select sparse_remove_place('here');
select sparse_remove_place('east');
select count(*) from (select sparse_assign(id, 'here') from sparse.family where place = 1) x;
\o /dev/null
select format('call sparse_move_family(%s, ''here'') ', family) as call from
    (select id::text from sparse.family where place = 0 union all select 'null') f (family) order by family
\gexec
\o
select sparse_remove_place('east');
select (sparse_collect('0')).chunks > 0 as removed;
select sparse_remove_place('east');
select name, kind, server, weight, state from sparse_places();
select is_whole('base', 'mini-base') and is_whole('child', 'mini-finetune') as whole, problems(), orphans();

-- For the owner himself alone; who reads a version needs nothing of the place
create role places_reader;
grant usage on schema sparse to places_reader;
set role places_reader;
select sparse_places();
select sparse_add_place('mine');
select sparse_weigh_place('here', 5);
select sparse_remove_place('other');
select sparse_assign(1, 'here');
call sparse_move_family(1, 'here');
select from sparse.forgotten;
reset role;
drop owned by places_reader;
drop role places_reader;
