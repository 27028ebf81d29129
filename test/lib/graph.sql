-- A graph of versions, written into the tables of a store: for the benchmarks.
-- psql variable versions: how many, 2,000 bases included; bench-lineage.sh says what they are.

set client_min_messages = warning;
create extension sparse;
create role owner;
create role reader;
grant create on database postgres to owner;
grant usage, create on schema public to owner;
set role owner;
select sparse_create_store();
select setseed(0.5);

-- level 0: the bases
create table shape as
select level, case level when 0 then 2000 else greatest(round((:versions - 2000) * 0.3 * 0.7 ^ (level - 1)), 1)::int end as count
from generate_series(0, 30) level;
create table made (id bigint, level int, parent bigint, other bigint);
insert into made select i, 0, null, null from generate_series(1, 2000) i;
do $$
declare l record; first bigint; before bigint; below bigint := 2000; start bigint := 1;
begin
    for l in select * from shape where level > 0 order by level loop
        -- parents: of the level before, the older the more; one in seven of any level before
        insert into made
        select below + i, l.level,
               start + floor((below - start + 1) * random() ^ 3)::bigint,
               case when random() < 0.06 then 1 + floor(below * random())::bigint end
        from generate_series(1, l.count) i;
        start := below + 1;
        below := below + l.count;
    end loop;
end $$;
create unique index on made (id);
analyze made;
insert into sparse.family (id, name) select id, 'base ' || id from made where level = 0;
create table family_of (id bigint primary key, family bigint);
create index on family_of (family);
insert into family_of select id, id from made where level = 0;
do $$
begin
    for l in 1 .. 30 loop
        insert into family_of select m.id, f.family from made m join family_of f on f.id = m.parent where m.level = l;
    end loop;
end $$;
insert into sparse.version (id, name, revision, family, state, content_sha256, created_at, created_by, metadata, files, tensors, raw_bytes, unique_file_bytes, new_objects, new_bytes, stored_bytes, by_predictor)
select id, format('org%s/model-%s', (id / 3) % 5000, id / 3), id % 3 + 1, family, 'ready', sha256(int8send(id)), timestamptz '2020-01-01' + id * interval '2 minutes',
       'user ' || id % 1000, jsonb_build_object('license', (array['mit', 'apache-2.0', 'llama'])[id % 3 + 1], 'seed', id), 1, 291, 16000000000, 16000000000, 250, 15000000000, s.stored,
       jsonb_build_object('parent', jsonb_build_object('objects', 250, 'content_bytes', 15000000000, 'stored_bytes', s.stored))
from family_of, lateral (select (random() * 4000000000 + id * 0)::bigint as stored) s order by id;
insert into sparse.parent (child, ordinal, parent, role)
select id, 0, parent, case when other is not null then 'merge' when id % 33 = 0 then 'quantized' else 'finetune' end from made where parent is not null
union all
select id, 1, other, 'merge' from made where other is not null and other <> parent
order by 1, 2;
insert into sparse.tag (name, tag, version) select name, 'production', id from sparse.version where revision = 2;

