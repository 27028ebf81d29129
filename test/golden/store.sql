-- The store of a set of golden files: every predictor, datasets of many types, all that
-- versions can have. :models is where the cut models lie.
set client_min_messages = warning;
create extension sparse;
select sparse_create_store() \g /dev/null
create function load(name text, file text, parents text[] default '{}') returns bigint language sql as $$
    select sparse_import_file(name, current_setting('golden.models') || '/' || file || '.safetensors', parents => parents) $$;
set golden.models = :'models';

select load('base', 'mini-base'), load('finetune', 'mini-finetune', '{base}'), load('strong', 'mini-finetune-strong', '{base}'),
    load('light', 'mini-finetune-light', '{finetune}'), load('merge', 'mini-merge-linear', '{finetune,strong}'),
    load('slerp', 'mini-merge-slerp', '{finetune,strong}'), load('pruned', 'mini-finetune-pruned', '{finetune}'),
    load('fp32', 'mini-base-fp32', '{base}'), load('int8', 'mini-base-int8', '{base}'), load('lora', 'mini-lora-adapter', '{base}'),
    load('merged', 'mini-lora-merged', '{base,lora}'), load('gone', 'mini-finetune-light', '{strong}') \g /dev/null
select sparse_approximate('finetune', m, rank => case m when 'svd' then 4 end) from unnest(array['svd', 'int8', 'bit1']) m \g /dev/null
select sparse_import_bytes('tiny', int8send(0) || ''::bytea) where false \g /dev/null
select sparse_tag('finetune', 'production'), sparse_tag('base', 'production'), sparse_drop('gone') \g /dev/null

create type mood as enum ('sad', 'ok', 'happy');
create type point3 as (x float8, y int, felt mood);
create domain positive as int check (value > 0);
create table held as
    select i as id, (enum_range(null::mood))[1 + i % 3] as felt, row(i / 3.0, i, 'ok')::point3 as at, array[i, null, i * 7] as several,
        (i + 1)::positive as size, int4range(i, i + 9) as span, repeat('text ' || i, i % 7) as words, i % 2 = 0 as even,
        (i * 1.25)::numeric as price, timestamptz '2026-01-01 00:00:00+00' + i * interval '1 hour' as moment, sin(i)::float4 as wave,
        array[sin(i), cos(i), i]::float8[] as embedding, decode(md5(i::text), 'hex') as digest, nullif(i % 5, 0) as sometimes,
        jsonb_build_object('n', i, 'of', 'golden') as document, md5(i::text)::uuid as uid, date '2026-01-01' + i as day
    from generate_series(1, 3000) i;
alter table held add primary key (id);
select sparse_commit_rows('rows', 'select * from held order by id', key => '{id}') \g /dev/null
update held set felt = 'sad', words = words || '!' where id % 50 = 0;
delete from held where id between 700 and 720;
insert into held (id, words) values (5000, 'later');
select sparse_commit_rows('rows', 'select * from held order by id', 'rows', '{id}') \g /dev/null
select sparse_commit_splits('splits', '{"train": "select id, words from held where even order by id desc", "test": "select id from held where not even order by id"}') \g /dev/null
drop function load;
