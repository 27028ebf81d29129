-- Datasets of many chunks: what a chunk is predicted from, and differences that pass over what is shared.
\set SHOW_CONTEXT never
-- columns by themselves; maps of rows have a test of their own
set sparse.map_rows = off;
set client_min_messages = warning;
create extension sparse;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = warning;

create table t as select i as id, i as place, md5(i::text) || ' ' || md5((i * 7)::text) as v from generate_series(0, 23999) i;
create function commit(name text, parent text, columns text default 'id, v', condition text default 'true', ordered text default 'place, id') returns text language sql as $$
    select sparse_commit_rows(name, format('select %s from t where %s order by %s', columns, condition, ordered), parent, '{id}') $$;
-- of the chunks of column v: how many, new ones, their parents and depth, and what part of their content they take
create function chunks(of text, out chunks bigint, out new bigint, out parents text, out depth int, out part numeric) language sql as $$
    select count(distinct o.id), count(distinct o.id) filter (where o.version = v.id),
           min(p.n) || ' to ' || max(p.n), max(o.depth), round(sum(o.stored_bytes) filter (where o.version = v.id)::numeric / nullif(sum(o.bytes) filter (where o.version = v.id), 0), 2)
    from sparse.version v join sparse.column c on c.version = v.id and c.name = 'v' join sparse.column_chunk cc on (cc.version, cc.split, cc.ordinal) = (c.version, c.split, c.ordinal),
         unnest(cc.object) object join sparse.object o on o.id = object,
         lateral (select count(*) n from sparse.object_parent p where p.object = o.id) p
    where v.id = sparse_version_id(of) $$;
-- rows in their order, beside the table
create function same(name text, condition text default 'true') returns boolean language plpgsql as $$
declare answer boolean;
begin
    execute format('select (select md5(string_agg(v, '','' order by place, id)) from t where %s)
                         = (select md5(string_agg(r ->> ''v'', '','' order by n)) from sparse_rows(%L) with ordinality x (r, n))', condition, name) into answer;
    return answer;
end $$;

-- one row more, near the end: what comes before and behind is shared
select commit('t', null);
insert into t values (-1, 20000, 'inserted');
select commit('t', 't');
select * from chunks('t@1');
select chunks, new, parents, depth from chunks('t');
select same('t');

-- Each chunk of rows from everywhere resembles all chunks there are: the four that hold most of it are taken.
update t set place = (id % 400) * 100 + id / 400;
select commit('mixed', 't@1');
select chunks, new, parents, depth, part < 0.8 as less, part > 0.5 as not_all from chunks('mixed');
select same('mixed');
-- of rows from four places: exactly those four
update t set place = (id % 6000) * 4 + id / 6000;
select commit('four', 't@1');
select new, parents, part < 0.15 as small from chunks('four');
select same('four');
-- A column that turns out to be another's content, and one that comes back
select commit('renamed', 't@1', 'id, v as w');
select sum(new_objects) as new from sparse.version where name = 'renamed';

-- Chains of predictions end at a depth; behind it stands what the deepest were made from.
update t set place = id where id >= 0;
create function edited(i int) returns void language sql as $$ update t set v = 'edited ' || i || substr(v, 10) where id % 200 = i $$;
select edited(1), commit('chain', 't@1');
select edited(2), commit('chain', 'chain');
select edited(3), commit('chain', 'chain');
select revision, x.*, part < 0.2 as small from sparse.version, chunks(name || '@' || revision) x where name = 'chain' order by revision;
select commit('filtered', 'chain', condition => 'id % 4 = 0');
select chunks, parents, depth, part < 0.15 as small from chunks('filtered');
select edited(4), commit('filtered', 'filtered', condition => 'id % 4 = 0');
select chunks, parents, depth, part < 0.2 as small from chunks('filtered');
select same('filtered', 'id % 4 = 0');
-- long rows that share a phrase with all others
select sparse_commit_rows('phrases', $$select i as id, repeat('The same phrase in every row, of some length. ', 3) || md5(i::text) as v from generate_series(1, 9000) i$$, key => '{id}');
select sparse_commit_rows('phrases', $$select i as id, repeat('The same phrase in every row, of some length. ', 3) || md5(i::text) as v from generate_series(9000, 1, -1) i where i % 9 > 0$$, 'phrases', '{id}');
select parents > '0 to 0' as has_parents, part < 0.2 as small from chunks('phrases');
select bool_and(r ->> 'v' = repeat('The same phrase in every row, of some length. ', 3) || md5(r ->> 'id')) and count(*) = 8000 as same from sparse_rows('phrases') r;

-- ---- differences ----

-- Rows by several columns, each cut elsewhere, with edits at the borders of chunks: beside the truth.
create table big as select i as id, get_byte(sha256(i::text::bytea), 0) as label, md5(i::text) as v, i / 2.0 as f from generate_series(1, 100000) i;
alter table big add primary key (id);
create table before as select * from big;
create function commit_big(parent text) returns bigint language sql as $$ select sparse_commit_rows('big', 'select * from big order by id', parent, '{id}') $$;
select commit_big(null);
create table borders as
select distinct x.first + d as id
from (select 1 + first_row + (select coalesce(sum(abs(r)), 0) from unnest(rows[:n - 1]) r) as first
      from sparse.column_chunk, generate_subscripts(rows, 1) n where version = sparse_version_id('big')) x, generate_series(-1, 1) d;
delete from borders where id not between 1 and 100000 or id > 40000 and id < 60000;
select count(*) > 20 as borders from borders;
create function differs() returns table (edited bigint, wrong bigint) language sql as $$
    with truth as (select coalesce(b.id, t.id) as id, case when b.id is null then 'added' when t.id is null then 'removed' else 'changed' end as op
                   from before b full join big t using (id) where b is distinct from t),
         said as (select (key ->> 'id')::int as id, op from sparse_row_diff('big@1', 'big'))
    select (select count(*) from truth), (select count(*) from truth full join said using (id, op) where truth is null or said is null) $$;
begin;
update big set v = 'edited' where id in (select id from borders);
select commit_big('big');
select wrong from differs();
rollback;
begin;
delete from big where id in (select id from borders);
select commit_big('big');
select wrong from differs();
rollback;
begin;
insert into big select -id, 0, 'inserted', 0 from borders;
create or replace function commit_big(parent text) returns bigint language sql as $$ select sparse_commit_rows('big', 'select * from big order by abs(id), id', parent, '{id}') $$;
select commit_big('big');
select wrong from differs();
rollback;
begin;
update big set label = label + 1 where id = 50000;
select commit_big('big');
select * from differs();
-- all else is passed over
set local client_min_messages = debug1;
select op, key from sparse_row_diff('big@1', 'big');
rollback;
begin;
update big set v = v || v where id % 40 = 0;
delete from big where id % 80 = 1;
select commit_big('big');
select * from differs();
rollback;

-- The same object in both, but not the same rows: a null beside its bitmap, or two words
select sparse_commit_rows('words', 'select null::bigint as x');
select sparse_commit_rows('words', 'select x from unnest(array[0, 1]::bigint[]) x', 'words');
select count(distinct object) as objects from sparse.column_chunk where version in (select id from sparse.version where name = 'words');
select op, old, new from sparse_row_diff('words@1', 'words@2');
-- an array, or the elements of another
create function words_of(content bytea) returns int[] language sql as $$
    select array_agg(get_byte(content, i) | (get_byte(content, i + 1) << 8) | (get_byte(content, i + 2) << 16) | (get_byte(content, i + 3) << 24) order by i) from generate_series(0, octet_length(content) - 1, 4) i $$;
select sparse_commit_rows('arrays', 'select array[1, null, null, null, null, 1, 1, 300] as x');
select sdelta_apply('{}', k.delta) as content from sparse.column_chunk cc join sparse.chunk k on k.object = cc.object[1] where version = sparse_version_id('arrays') \gset
select octet_length(:'content'::bytea) as bytes;
select sparse_commit_rows('arrays', format('select %L::int[] as x', words_of(:'content'::bytea)), 'arrays');
select count(distinct object) as objects from sparse.column_chunk where version in (select id from sparse.version where name = 'arrays');
select op, old, new from sparse_row_diff('arrays@1', 'arrays@2');

-- The same chunks in one column at the same rows, and in another further on: all rows have changed
select sparse_commit_rows('slid', 'select i as id, md5(i::text) as v from generate_series(1, 20000) i', key => '{id}');
select sparse_commit_rows('slid', 'select i as id, md5((i + 1)::text) as v from generate_series(1, 20000) i', 'slid', '{id}');
select new_objects < 5 as shared from sparse.version where name = 'slid' and revision = 2;
select op, count(*) from sparse_row_diff('slid@1', 'slid@2') group by 1;

-- Rows that occur often: chunks that one side has twice count twice
create table bag as select md5((i % 30000)::text) as v, i from generate_series(0, 59999) i;
select sparse_commit_rows('bag', 'select v from bag where i < 30000 order by i');
select sparse_commit_rows('bag', 'select v from bag order by i', 'bag');
select op, count(*) from sparse_row_diff('bag@1', 'bag@2') group by 1;
select op, count(*) from sparse_row_diff('bag@2', 'bag@1') group by 1;
select sparse_commit_rows('many', 'select case when i <= 5000 then 1 else i end as v from generate_series(1, 5003) i');
select sparse_commit_rows('many', 'select case when i <= 1500 then 1 else 7 * i end as v from generate_series(1, 1503) i', 'many');
select op, coalesce(old, new) as row, count(*) from sparse_row_diff('many@1', 'many@2') group by 1, 2 order by 1, 2;
select op, coalesce(old, new) as row, count(*) from sparse_row_diff('many@2', 'many@1') group by 1, 2 order by 1, 2;
-- what is gone comes in the order of the first, the rest in that of the second
select sparse_commit_rows('order', 'select i as id, ''a''::text as v from unnest(array[5, 3, 9, 1, 7]) i', key => '{id}');
select sparse_commit_rows('order', 'select i as id, case when i = 3 then ''b'' else ''a'' end as v from unnest(array[8, 3, 2, 5, 6]) i', 'order', '{id}');
select op, key from sparse_row_diff('order@1', 'order@2');
-- keys of which one version has more, or other ones, are none
set client_min_messages = notice;
select sparse_commit_rows('keys', 'select 1 as a, 2 as b', key => '{a,b}');
select sparse_commit_rows('keys', 'select 1 as a, 3 as b', 'keys', '{a}');
select sparse_commit_rows('keys', 'select 1 as a, 4 as b', 'keys', '{b}');
select op, key from sparse_row_diff('keys@1', 'keys@2');
select op, key from sparse_row_diff('keys@2', 'keys@3');
select op, key from sparse_row_diff('keys@2', 'keys@3', by => '{a}');
