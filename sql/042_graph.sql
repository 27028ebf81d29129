-- Drawings of a version's lineage.
\set VERBOSITY terse
\pset format unaligned
\pset tuples_only on
set client_min_messages = warning;
create extension sparse;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = warning;
create function import(name text, parents text default '{}', roles text default null) returns bigint language sql as $$
    select sparse_import_bytes(name, '\x0a000000000000007b7d' || convert_to(rpad('', 8), 'UTF8'), parents::text[], roles::text[],
                               jsonb_build_object('made', name)) $$;
-- base -> left, right -> merge -> leaf; adapter is a second parent of left; cousin hangs on base alone
select import('org/base'), import('org/adapter'), import('org/left', '{org/base,org/adapter}', '{finetune,adapter}'),
       import('org/right', '{org/base}'), import('org/merge', '{org/left,org/right}', '{merge,merge}'),
       import('org/int8', '{org/merge}', '{quantized}'), import('org/cousin', '{org/base}', '{derived}'), import('alone');
update sparse.version set stored_bytes = (array[20123456, 812345, 5000000, 4200000, 12000, 7654321, 999949999, 0])[id], raw_bytes = 30000000;
select sparse_tag('org/merge', 'production'), sparse_tag('org/merge', 'blue'), sparse_drop('org/right');

-- As a tree, from above, from below and from the middle; what the version has nothing to do with is not in it
select sparse_graph('org/base');
select sparse_graph('org/merge');
select sparse_graph(5, 'tree');
select sparse_graph('org/cousin');
select sparse_graph('alone');
-- no more than asked for, the nearest first
select sparse_graph('org/base', 'tree', 3);
select sparse_graph('org/base', most => 7);
-- lines only where both ends can show them
set client_encoding = 'LATIN1';
select sparse_graph('org/right');
reset client_encoding;

select sparse_graph('org/merge', 'dot');
select sparse_graph('org/merge', 'mermaid');
-- A picture is well-formed XML, and has a disc for each version and a path for each edge
select cardinality(xpath('//s:circle[s:title]', x, array[array['s', 'http://www.w3.org/2000/svg']])) as discs,
       cardinality(xpath('/s:svg/s:g/s:path', x, array[array['s', 'http://www.w3.org/2000/svg']])) as edges,
       xpath('//s:text[contains(@class, "n")]/text()', x, array[array['s', 'http://www.w3.org/2000/svg']]) as names
from xmlparse(document sparse_graph('org/merge', 'svg')) x;

-- Names, tags and roles are text, whatever is in them
select import('"<b>&#1;\', '{org/base}', array[E'a"\\\n]-->|<x>&']::text);
select sparse_tag('"<b>&#1;\', '"></text>');
select sparse_graph('"<b>&#1;\');
select line from regexp_split_to_table(sparse_graph('"<b>&#1;\', 'dot'), '\n') line where line ~ 'b>';
select line from regexp_split_to_table(sparse_graph('"<b>&#1;\', 'dot'), '\n') line where line ~ '->';
select line from regexp_split_to_table(sparse_graph('"<b>&#1;\', 'mermaid'), '\n') line where line ~ '^    v';
select xpath('//s:text/text()', x, array[array['s', 'http://www.w3.org/2000/svg']])
from xmlparse(document sparse_graph('"<b>&#1;\', 'svg')) x;
select import(repeat('ü', 512), '{org/base}');
select (xpath('//s:text[@class="n"]/text()', x, array[array['s', 'http://www.w3.org/2000/svg']]))[2]
from xmlparse(document sparse_graph(repeat('ü', 512), 'svg')) x;

select sparse_graph('org/base', 'png');
select sparse_graph('org/base', 'tree', 0);
select sparse_graph('org/base', 'tree', 10001);
select sparse_graph('no such');

-- A long chain is drawn whole, and a wide family no wider than asked for
insert into sparse.version (id, name, revision, family, state, content_sha256)
select 1000 + i, 'step ' || i, 1, 1, 'ready', sha256('') from generate_series(0, 2000) i;
insert into sparse.parent (child, ordinal, parent) select 1000 + i, 0, 999 + i from generate_series(1, 2000) i;
select count(*), max(line) filter (where line ~ 'step 2000@') ~ 'step 2000@1' from regexp_split_to_table(sparse_graph('step 1000', most => 3000), '\n') line;
select octet_length(sparse_graph('step 1000', 'svg', 3000)) > 100000;
insert into sparse.version (id, name, revision, family, state, content_sha256)
select 10000 + i, 'leaf ' || i, 1, 1, 'ready', sha256('') from generate_series(1, 20000) i;
insert into sparse.parent (child, ordinal, parent) select 10000 + i, 0, 1001 from generate_series(1, 20000) i;
select count(*) from regexp_split_to_table(sparse_graph('step 1'), '\n');
