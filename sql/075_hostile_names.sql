-- Names, roles, tags and owners are what users wrote: no format of a drawing or a report takes them for its own syntax.
\set VERBOSITY terse
set client_min_messages = warning;
create extension sparse;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = warning;
create function model(content text) returns bytea language sql as $$
    select substr(int8send(128), 8, 1) || '\x00000000000000'::bytea || convert_to(rpad(
        json_build_object('t', json_build_object('dtype', 'U8', 'shape', array[octet_length(content)], 'data_offsets', array[0, octet_length(content)]))::text, 128), 'UTF8')
        || convert_to(content, 'UTF8') $$;
create table hostile (n serial, name text);
insert into hostile (name) values
    ('base"quote''s'), ('<script>alert(1)</script>'), ('</text></svg></title><img src=x onerror=alert(2)>'), ('a"]; B["more'), ('x" -->|end| y;click x "javascript:alert(1)"'),
    ('%%{init: {"theme":"dark"}}%%'), ('#34;entity&quot;&lt;b&gt;&#x22;'), ('back\slash\n\N\"];v1->v2'), ('[link](http://evil) ![img](http://evil/x.png)'), ('|pipe|`tick`*bold*_it_'),
    ('$$x^2$$'), (U&'bidi\202Etxet\202C'), (U&'no\FFFF character\FFFE'), (U&'c1\009B31m\0085line\2028s'), ('  spaces  '), (repeat('very-long-name/', 20)), (U&'\65E5\672C\8A9E/\30E2\30C7\30EB'),
    ('1. list'), ('- dash'), ('%s %1$s %I {{7*7}} ${x}'), ('"'), ('&'), ('''''');
do $$
declare
    h record;
    id bigint;
    base bigint;
begin
    for h in select * from hostile order by n loop
        id := sparse_import_bytes(h.name, model(repeat(md5(h.name), 20 + h.n)),
            case when base is null then '{}' when h.n % 5 = 0 then array[id, base]::text[] when h.n % 3 = 0 then array[base]::text[] else array[id]::text[] end,
            case when base is null then '{}' when h.n % 5 = 0 then array['role"' || h.name || E'\nnew' || E'\x1b]2;title\x07', h.name] else array['role"' || h.name || E'\nnew'] end);
        base := coalesce(base, id);
    end loop;
end $$;
select sparse_tag(1::bigint, 'tag"<b>|]'), sparse_tag(2::bigint, '"];x'), sparse_tag(4::bigint, U&'\009B');
select sparse_drop(7::bigint);
update sparse.version set created_by = (array[E'ow<b>"n\n# er|x', E'esc\x1b[31m', '![p](http://evil/p.png)', repeat('long ', 12)])[1 + id % 4];

create table drawn as select format, sparse_graph(1::bigint, format) as picture from unnest(array['tree', 'dot', 'mermaid', 'svg']) format;
-- a version is a line of the tree, and nothing in it steers a terminal
select count(*) = (select count(*) from hostile) as lines, count(*) filter (where line ~ U&'[\0001-\001F\007F-\009F]') as steering
from drawn, regexp_split_to_table(picture, E'\n') line where format = 'tree';
-- each line of Graphviz is a statement of a known form
select line from drawn, regexp_split_to_table(picture, E'\n') with ordinality l (line, n)
where format = 'dot' and n > 4 and line <> '}'
  and line !~ '^  v\d+ \[label="([^"\\]|\\["\\n])*"(, penwidth=2.5)?(, style="rounded,dashed", fontcolor=gray40)?\];$'
  and line !~ '^  v\d+ -> v\d+ \[label="([^"\\]|\\["\\n])*"\];$';
-- ... and of Mermaid, where no label has a quote, a bracket, or a line's end of its own
select line from drawn, regexp_split_to_table(picture, E'\n') with ordinality l (line, n)
where format = 'mermaid' and n > 3
  and line !~ '^    v\d+\["([^]["`<>{}|;\\$]|#\d+;|<br/>)*"\](:::asked|:::gone)?$'
  and line !~ '^    v\d+ -->\|"([^]["`<>{}|;\\$]|#\d+;|<br/>)*"\| v\d+$';
select regexp_replace(line, '\d+ B', '# B') as line from drawn, regexp_split_to_table(picture, E'\n') line where format = 'mermaid' and line ~ '^    v(4|7|9)\[';
-- the picture is XML, of these elements and attributes only
select xmlparse(document picture) is not null as is_xml from drawn where format = 'svg';
select string_agg(distinct e[1], ' ' order by e[1]) as elements from drawn, regexp_matches(picture, '<([^/!][^ />]*)', 'g') e where format = 'svg';
select string_agg(distinct a[1], ' ' order by a[1]) as attributes from drawn, regexp_matches(picture, '<[^>]*>', 'g') t, regexp_matches(t[1], ' ([a-zA-Z-]+)="[^"]*"', 'g') a where format = 'svg';

create table reported as select format, sparse_report(format) as report from unnest(array['text', 'markdown', 'html']) format;
select string_agg(distinct e[1], ' ' order by e[1]) as elements from reported, regexp_matches(report, '<([^/!][^ />]*)', 'g') e where format = 'html';
select string_agg(distinct a[1], ' ' order by a[1]) as attributes from reported, regexp_matches(report, '<[^>]*>', 'g') t, regexp_matches(t[1], ' ([a-zA-Z0-9-]+)="[^"]*"', 'g') a where format = 'html';
select format, bool_or(line ~ E'[\\x01-\\x1f\\x7f]') as steering, count(*) as lines from reported, regexp_split_to_table(report, E'\n') line where format <> 'html' group by 1 order by 1;
-- a link or a picture is neither in Markdown
select regexp_replace(line, '\| \d.*', '| ...') as line from reported, regexp_split_to_table(report, E'\n') line where format = 'markdown' and line ~ '\|[^|]*(# er|esc|evil|long)[^|]*\|' order by 1;
-- (what is cut is said to be)
select left(line, 45) as line from reported, regexp_split_to_table(report, E'\n') line where format = 'text' and line ~ 'long';
select report ~ '&#8230;</text>' as cut, octet_length(report) = length(report) as ascii from reported where format = 'html';
-- A report of nothing is one too
drop schema sparse cascade;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = warning;
select format, length(sparse_report(format)) > 100 as whole from unnest(array['text', 'markdown', 'html']) format;
