-- What was made with the least effort is raised to the most by night, and read as before
\set VERBOSITY terse
set client_min_messages = warning;
create extension sparse;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = warning;

create function data_file(name text) returns text language sql as $$
    select current_setting('sparse_test.data') || '/' || name || '.safetensors' $$;
create function is_file(version text, name text) returns boolean language sql as $$
    select (select sha256(string_agg(piece, '' order by n)) from sparse_reconstruct(version) with ordinality as pieces (piece, n))
        = sha256(pg_read_binary_file(data_file(name))) $$;
create function stored(version text) returns bigint language sql as $$
    select stored_bytes from sparse.version where id = sparse_resolve($1) $$;
create function noted() returns text[] language sql as $$
    select array_agg(v.name order by v.name) from sparse.unoptimized u join sparse.version v on v.id = u.version $$;
create function leans_on(child text) returns text[] language sql as $$
    select array_agg(distinct o.name order by o.name)
    from sparse.version v join sparse.tensor t on t.version = v.id join sparse.object_parent e on e.object = t.object and not e.made
    join sparse.tensor s on s.object = e.parent join sparse.version o on o.id = s.version
    where v.name = child and o.name <> child $$;
create table file (version text, name text, parents text[]);
insert into file values ('base', 'mini-base', '{}'), ('tuned', 'mini-finetune', '{base}'), ('further', 'mini-chain-1', '{tuned}');

-- What each effort makes of it
begin;
savepoint nothing;
\set import 'select count(sparse_import_file(version, data_file(name), parents)) as imported from (select * from file order by array_position(array[''base'', ''tuned'', ''further''], version)) f;'
set local sparse.effort = 2;
:import
select noted() as noted_at_2;
select string_agg(format('(2, %L, %s)', version, stored(version)), ', ') as at_2 from file \gset
rollback to nothing;
set local sparse.effort = 3;
:import
select noted() as noted_at_3;
select string_agg(format('(3, %L, %s)', version, stored(version)), ', ') as at_3 from file \gset
rollback;
create table made (effort int, version text, bytes bigint);
insert into made values :at_2, :at_3;
set sparse.effort = 1;
:import
insert into made select 1, version, stored(version) from file;
select version, array_agg(bytes order by effort) = array_agg(bytes order by bytes desc) as less_with_more from made group by version order by version;
-- a version without parents has nothing to gain
select noted() as noted_at_1;

-- The night goes by no setting of whoever calls it
call sparse_nightly() \gset was_
select :was_saved_bytes > 0 as saved, :'was_finished' as finished, noted() as left_over;
select version, stored(version) <= 1.01 * bytes as as_if_made_with_all_effort, is_file(version, name) as same_bytes
from made join file using (version) where effort = 3 order by 1;
select leans_on('further');
select v, problem from unnest(array['base', 'tuned', 'further']) v, sparse_verify(v);
show sparse.effort;

-- Where rows may be kept from somebody, the night leans on the parents alone
alter table sparse.version enable row level security;
create policy everything on sparse.version using (true);
select sparse_import_file('furthest', data_file('mini-chain-2'), '{further}') > 0 as imported;
call sparse_nightly() \gset was_
select leans_on('furthest'), noted() as left_over, is_file('furthest', 'mini-chain-2');
