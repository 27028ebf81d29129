-- Lineage: every edge between versions, up and down, over tombstones.
\set VERBOSITY terse
set client_min_messages = warning;
create extension sparse;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = warning;
create function import(name text, parents text default '{}', roles text default null) returns bigint language sql as $$
    select sparse_import_bytes(name, '\x0a000000000000007b7d' || convert_to(rpad('', 8), 'UTF8'), parents::text[], roles::text[],
                               jsonb_build_object('made', name)) $$;

-- base -> left, right -> merge -> leaf; adapter is a second parent of left
select import('base'), import('adapter'), import('left', '{base,adapter}', '{finetune,adapter}'),
       import('right', '{base}'), import('merge', '{left,right}', '{merge,merge}'), import('leaf', '{merge,base}');

-- Ancestors, nearest first, a row for each edge, in a graph in which two ways lead to the same
select distance, name, revision, state, role, (select name from sparse.version where id = child) as child from sparse_lineage('leaf');
select distance, name, role from sparse_lineage(5::bigint);
select * from sparse_lineage('base');
-- Descendants likewise
select distance, name, role, (select name from sparse.version where id = parent) as parent from sparse_descendants('base');
select count(*) from sparse_descendants('leaf');
-- Ids are resolved
select sparse_version_id('merge'), sparse_version_id('merge@1'), sparse_version_id('5'), sparse_version_id(5);
select sparse_version_id('no such');
select * from sparse_lineage('no such');

-- A dropped version is crossed, and can be asked for
select sparse_drop('merge');
select distance, name, state from sparse_lineage('leaf');
select distance, name from sparse_descendants('merge');
select sparse_collect() is not null as collected;
select distance, name, state from sparse_lineage('leaf') where state = 'dropped';

-- All of a family's versions stand in it
select count(distinct family) from sparse.version where name <> 'adapter';

-- A ladder of diamonds is walked once, not once for each of its million ways
insert into sparse.version (id, name, revision, family, state, content_sha256)
select 1000 + i, 'step ' || i, 1, 1, 'ready', sha256('') from generate_series(0, 60) i;
insert into sparse.parent (child, ordinal, parent)
select 1000 + i, o, 1000 + i - 1 - (o + i) % 2 from generate_series(2, 60) i, generate_series(0, 1) o;
select count(*), count(distinct version), max(distance) from sparse_lineage(1060);
select count(*), count(distinct version), max(distance) from sparse_descendants(1000);

-- The edges cannot be made a circle
select sparse_add_parent(1000, 1060);
insert into sparse.parent (child, ordinal, parent) values (1000, 0, 1000);

-- What it costs is in the savings of each version
select name, raw_file_bytes, whole_file_dedup_bytes, saved_against_raw_files = raw_file_bytes - stored_bytes as consistent
from sparse.savings where name in ('base', 'left', 'leaf') order by version;
select count(*) as relations, bool_and(total_bytes >= table_bytes + toast_bytes) as consistent from sparse.storage;

-- The functions work on when their schema is renamed
alter schema public rename to elsewhere;
select count(*) as ancestors, (select count(*) from elsewhere.sparse_descendants('base')) as descendants from elsewhere.sparse_lineage('leaf');
alter schema elsewhere rename to public;
