-- Datasets that change: differences, merges, estimates, and chains of versions beside the truth.
\set SHOW_CONTEXT never
set client_min_messages = warning;
create extension sparse;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = warning;
set client_min_messages = notice;

create table t (id int, name text, score float8);
insert into t select i, 'name ' || i, i / 2.0 from generate_series(1, 10) i;
select sparse_commit_rows('d', 'select * from t order by id', key => array['id']);
-- every column is streamed on its own: an added column costs that column
select new_objects from sparse.version where name = 'd';
update t set name = 'changed' where id = 3;
delete from t where id = 5;
insert into t values (11, 'new', null);
select sparse_commit_rows('d', 'select * from t order by id', 'd', key => array['id']);
select * from sparse_row_diff('d@1', 'd@2');
select * from sparse_row_diff('d@2', 'd@1');
select * from sparse_row_diff('d@1', 'd@1');
-- rows that moved are the same rows
select sparse_commit_rows('d', 'select * from t order by id desc', 'd', key => array['id']);
select count(*) from sparse_row_diff('d@2', 'd@3');
-- by another key, and one that does not tell rows apart
select op, key from sparse_row_diff('d@1', 'd@2', by => array['name']);
update t set name = 'changed' where id = 4;
select sparse_commit_rows('d', 'select * from t order by id', 'd', key => array['id']);
select op, key from sparse_row_diff('d@1', 'd@4', by => array['name']);
select op, key from sparse_row_diff('d@1', 'd@4', by => array['nowhere']);
-- without a key: whole rows, as often as they occur
select sparse_commit_rows('bag', 'select v from unnest(array[1, 2, 2, 2, 3, null]) v');
select sparse_commit_rows('bag', 'select v from unnest(array[2, 3, 2, null, null, 4]) v', 'bag');
select op, key, old, new from sparse_row_diff('bag@1', 'bag@2');
-- a null is not an empty value
select sparse_commit_rows('nulls', $$select 1 as id, null::text as t, null::bytea as b, null::int[] as a$$, key => '{id}');
select sparse_commit_rows('nulls', $$select 1 as id, ''::text as t, null::bytea as b, null::int[] as a$$, 'nulls', '{id}');
select sparse_commit_rows('nulls', $$select 1 as id, ''::text as t, ''::bytea as b, null::int[] as a$$, 'nulls', '{id}');
select n, op, old, new from generate_series(1, 2) n, sparse_row_diff('nulls@' || n, 'nulls@' || n + 1);
-- other columns: those are compared that both have
select sparse_commit_rows('columns', 'select 1 as id, ''a''::text as name, 2 as gone', key => array['id']);
select sparse_commit_rows('columns', 'select ''b''::text as name, 1 as id, true as came', 'columns', key => array['id']);
select op, key, old, new from sparse_row_diff('columns@1', 'columns@2');

-- merges
select sparse_commit_rows('m', 'select i as id, ''v'' || i as v from generate_series(1, 8) i', key => array['id']);
select sparse_commit_rows('m/ours', 'select i as id, case when i = 2 then ''ours'' else ''v'' || i end as v from generate_series(8, 1, -1) i where i <> 4', 'm', key => array['id']);
select sparse_commit_rows('m/theirs', 'select i as id, case when i = 6 then ''theirs'' else ''v'' || i end as v from generate_series(1, 10) i where i <> 7', 'm', key => array['id']);
select sparse_merge_rows('m/merged', 'm/ours', 'm/theirs');
select sparse_rows('m/merged');
select parent.role, v.name from sparse.parent join sparse.version v on v.id = parent where child = (select max(id) from sparse.version) order by ordinal;
select sparse_commit_rows('m/other', 'select i as id, case when i = 2 then ''other'' when i = 3 then ''same'' else ''v'' || i end as v from generate_series(1, 9) i where i <> 1', 'm', key => array['id']);
select * from sparse_merge_conflicts('m/ours', 'm/other');
select sparse_merge_rows('m/merged', 'm/ours', 'm/other');
select sparse_merge_rows('m/merged', 'm/ours', 'm/other', 'ours');
select sparse_row('m/merged', '2');
select sparse_merge_rows('m/merged', 'm/ours', 'm/other', 'theirs');
select sparse_row('m/merged', '2');
select sparse_merge_rows('m/merged', 'm/ours', 'm/other', 'perhaps');
select sparse_merge_rows('m/merged', 'd', 'm/other');
select sparse_merge_rows('m/merged', 'bag', 'bag@1');
-- what both have changed to the same, added or removed is in no conflict; what theirs has added comes in its order
select sparse_commit_rows('m/same', 'select i as id, case i when 2 then ''ours'' else ''v'' || i end as v from unnest(array[1, 2, 3, 5, 6, 8, 31, 30, 11, 1000, 9]) i', 'm', key => array['id']);
select sparse_commit_rows('m/first', 'select i as id, case i when 2 then ''ours'' else ''v'' || i end as v from unnest(array[9, 8, 6, 5, 3, 2, 1]) i', 'm', key => array['id']);
select * from sparse_merge_conflicts('m/first', 'm/same');
select sparse_merge_rows('m/merged', 'm/first', 'm/same');
select string_agg(r ->> 'id', ' ' order by n) as ids, string_agg(r ->> 'v', ' ' order by n) as v from sparse_rows('m/merged') with ordinality x (r, n);
-- several splits: each with that of its name, whatever their columns
create function commit_splits(name text, parent text, train text, test text) returns bigint language sql as $$
    select sparse_commit_splits(name, jsonb_build_object('train', format('select i as id, case %s else ''v'' || i end as v from generate_series(1, 5) i', train),
                                                         'test', format('select case %s else i end as w, i as id from generate_series(1, 3) i', test)), parent, '{id}') $$;
select commit_splits('splits', null, 'when false then null', 'when false then null');
select commit_splits('splits/ours', 'splits', 'when i = 1 then ''ours''', 'when i = 2 then 20');
select commit_splits('splits/theirs', 'splits', 'when i = 5 then ''theirs''', 'when i = 3 then 30');
select commit_splits('splits/other', 'splits', 'when i = 4 then ''other''', 'when i = 2 then 22 when i = 1 then 11');
select * from sparse_merge_conflicts('splits/ours', 'splits/theirs');
select sparse_merge_rows('splits/merged', 'splits/ours', 'splits/theirs');
select * from sparse_splits('splits/merged');
select sparse_rows('splits/merged', 'train');
select sparse_rows('splits/merged', 'test');
select * from sparse_verify_rows('splits/merged');
select * from sparse_merge_conflicts('splits/ours', 'splits/other');
select sparse_merge_rows('splits/merged', 'splits/ours', 'splits/other');
select sparse_merge_rows('splits/merged', 'splits/ours', 'splits/other', 'theirs');
select sparse_rows('splits/merged', 'train');
select sparse_rows('splits/merged', 'test');
select sparse_commit_splits('splits/fewer', '{"train": "select 1 as id, ''v''::text as v"}', 'splits', '{id}');
select sparse_merge_rows('splits/merged', 'splits/ours', 'splits/fewer');
select sparse_commit_splits('splits/named', '{"train": "select 1 as id, ''v''::text as v", "valid": "select 1 as w, 1 as id"}', 'splits', '{id}');
select sparse_merge_conflicts('splits/ours', 'splits/named');
-- a single one may have another name: it is that of ours
select sparse_commit_splits('m/named', '{"train": "select i as id, ''v'' || i as v from generate_series(1, 9) i"}', 'm', '{id}');
select sparse_merge_rows('m/merged', 'm/named', 'm/ours');
select split, rows from sparse_splits('m/merged');

-- an estimate is what it would be, and leaves nothing behind
-- (an error leaves no transaction block behind)
select * from sparse_estimate_rows('select 1 / 0 as x');
select 'goes on' as session;
select rows, raw_bytes, new_objects, stored_bytes from sparse_estimate_rows('select * from t order by id desc', 'd@4') \gset estimated_
select count(*) from sparse.version where name like 'estimate%';
select sparse_commit_rows('estimated', 'select * from t order by id desc', 'd@4');
select new_objects = :estimated_new_objects and stored_bytes = :estimated_stored_bytes and raw_bytes = :estimated_raw_bytes as same
from sparse.version where name = 'estimated';

-- Random tables, random edits: chains of 20 versions, each read back and compared with the truth.
create function chain(seed float8, steps int) returns text
language plpgsql as $$
declare
    wrong int := 0;
    found int;
begin
    perform setseed(seed);
    drop table if exists truth, before, back;
    create table truth (id int primary key, place float8, words text, label int2, flag bool, weight float4, vec float4[], hex text);
    insert into truth
    select i, i, (select string_agg(md5((i * j)::text), ' ') from generate_series(1, 1 + i % 5) j), i % 10, i % 3 = 0, random(),
           array[random(), random(), random()], md5(i::text)
    from generate_series(1, 3000) i;
    create table before as select * from truth where false;
    for step in 1 .. steps loop
        if step > 1 then
            update truth set words = words || ' edited ' || step where random() < 0.01;
            update truth set label = label + 1, weight = weight * 1.001 where random() < 0.05;
            update truth set vec[2] = random() where random() < 0.01;
            update truth set words = null where random() < 0.002;
            update truth set place = random() * 3000 where random() < 0.002;
            delete from truth where random() < 0.01;
            insert into truth select 10000 * step + i, random() * 3000, 'inserted ' || i, 0, null, null, '{}', '' from generate_series(1, 10) i;
        end if;
        perform sparse_commit_rows('chain/' || seed, 'select * from truth order by place, id',
                                   case when step > 1 then 'chain/' || seed end, array['id']);
        drop table if exists back;
        perform sparse_checkout('chain/' || seed, 'back');
        select count(*) into found
        from (select truth::text as r, row_number() over (order by place, id) n from truth) x
        full join (select back::text as r, row_number() over () n from back) y using (n)
        where x.r is distinct from y.r;
        wrong := wrong + found;
        if step > 1 then
            select count(*) into found
            from (select id, case when b.id is null then 'added' when t.id is null then 'removed' else 'changed' end as op
                  from before b full join truth t using (id) where b is distinct from t) x
            full join (select (key ->> 'id')::int as id, op
                       from sparse_row_diff('chain/' || seed || '@' || step - 1, 'chain/' || seed || '@' || step)) y using (id, op)
            where x is null or y is null;
            wrong := wrong + found;
        end if;
        truncate before;
        insert into before select * from truth;
    end loop;
    -- and all of them once more, when the chain is there
    for step in 1 .. steps loop
        select count(*) into found from sparse_rows('chain/' || seed || '@' || step);
        if found = 0 then wrong := wrong + 1; end if;
    end loop;
    return wrong || ' wrong';
end $$;
set client_min_messages = warning;
select chain(0.1, 20);
select chain(0.2, 20);
select max(depth) <= 4 as bounded from sparse.object;
select sum(stored_bytes) < sum(raw_bytes) / 8 as small from sparse.version where name like 'chain/%';
-- what is in the middle of a chain can go
select sparse_drop('chain/0.1@' || i) from generate_series(2, 19) i;
select versions from sparse_collect();
select count(*) > 0 as read from sparse_row_diff('chain/0.1@1', 'chain/0.1@20');
