-- How versions are related: families, common ancestors, ways from one to another.
\set VERBOSITY terse
set client_min_messages = warning;
create extension sparse;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = warning;
create function import(name text, parents text default '{}', roles text default null) returns bigint language sql as $$
    select sparse_import_bytes(name, '\x0a000000000000007b7d' || convert_to(rpad('', 8), 'UTF8'), parents::text[], roles::text[],
                               jsonb_build_object('made', name)) $$;
-- base -> left, right -> merge -> leaf; left, right -> other merge; adapter is a second parent of left
select import('base'), import('adapter'), import('left', '{base,adapter}', '{finetune,adapter}'),
       import('right', '{base}'), import('merge', '{left,right}', '{merge,merge}'), import('leaf', '{merge,base}', '{quantized,derived}'),
       import('other', '{right,left}', '{merge,merge}'), import('alone');

select version, name, revision, kind, state, created_at <= clock_timestamp() as dated, raw_bytes, stored_bytes > 0 as stored from sparse_family('leaf');
select name from sparse_family(8::bigint);
select count(*) from sparse_family('no such');

-- The nearest common ancestors; two where the graph has two
select * from sparse_common_ancestor('left', 'right');
select * from sparse_common_ancestor('merge', 'other');
select * from sparse_common_ancestor('leaf', 'left');
select * from sparse_common_ancestor('left', 'leaf');
select * from sparse_common_ancestor(5, 5);
select * from sparse_common_ancestor('adapter', 'right');
select * from sparse_common_ancestor('alone', 'leaf');
select * from sparse_common_ancestor('adapter@1', 'other');

-- Ways
select * from sparse_path('leaf', 'other');
select * from sparse_path('left', 'right');
select * from sparse_path('base', 'merge');
select * from sparse_path('merge', 'base');
select * from sparse_path(5, 5);
select * from sparse_path('adapter', 'right');
select * from sparse_path('alone', 'leaf');
select * from sparse_path('alone', 'no such');

-- Tombstones are crossed
select sparse_drop('merge'), sparse_drop('right');
select name, state, direction, role from sparse_path('leaf', 'other');
select name, state from sparse_common_ancestor('merge', 'right');
select name, state from sparse_family('base');

-- On a ladder of diamonds, and on random graphs, they are what their definitions say
insert into sparse.version (id, name, revision, family, state, content_sha256)
select 1000 + i, 'step ' || i, 1, 1, 'ready', sha256('') from generate_series(0, 60) i;
insert into sparse.parent (child, ordinal, parent)
select 1000 + i, o, 1000 + i - 1 - (o + i) % 2 from generate_series(2, 60) i, generate_series(0, 1) o;
select * from sparse_common_ancestor(1060, 1059);
select count(*), max(step) from sparse_path(1060, 1000);
insert into sparse.version (id, name, revision, family, state, content_sha256)
select 2000 + i, 'random ' || i, 1, 1, 'ready', sha256('') from generate_series(0, 99) i;
select setseed(0.5);
insert into sparse.parent (child, ordinal, parent)
select child, row_number() over (partition by child) - 1, parent
from (select distinct 2000 + i as child, 2000 + floor(random() * i)::int as parent from generate_series(1, 99) i, generate_series(1, 2)) e;
create temporary table reach as
with recursive r as (select id as a, id as b, 0 as d from sparse.version where id >= 2000
                     union select r.a, e.parent, d + 1 from r join sparse.parent e on e.child = r.b)
select a, b, min(d) as d from r group by a, b;
create temporary table pair as select 2000 + (i * 37) % 100 as a, 2000 + (i * 61 + i / 100) % 100 as b from generate_series(0, 299) i;
create temporary table lowest as
select p.a, p.b, x.b as c, x.d as da, y.d as db from pair p join reach x on x.a = p.a join reach y on y.a = p.b and y.b = x.b
where not exists (select from reach m join reach u on u.a = p.a and u.b = m.a join reach w on w.a = p.b and w.b = m.a where m.b = x.b and m.a <> x.b);
select count(*) as differences from (
    (table lowest except select p.a, p.b, c.version, c.distance_a, c.distance_b from pair p, sparse_common_ancestor(p.a, p.b) c)
    union all
    (select p.a, p.b, c.version, c.distance_a, c.distance_b from pair p, sparse_common_ancestor(p.a, p.b) c except table lowest)) d;
select count(*) as ways_that_are_not_shortest from pair p
cross join lateral (select count(*) - 1 as steps from sparse_path(p.a, p.b)) s
where s.steps <> coalesce((select min(x.d + y.d) from reach x join reach y on y.b = x.b where x.a = p.a and y.a = p.b), -1);
select count(*) as steps_along_no_edge from pair p
cross join lateral (select version, lag(version) over (order by step) as before, direction, role from sparse_path(p.a, p.b)) s
where before is not null and not exists (select from sparse.parent e where e.role = s.role
    and (e.child, e.parent) = (case direction when 'up' then (before, version) else (version, before) end));
