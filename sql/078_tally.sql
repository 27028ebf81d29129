-- Counters by predictor are added up by predictor, in one process or several, and what are no counters is refused.
\set VERBOSITY terse
\set SHOW_CONTEXT never
create extension sparse;
create table counters as
select i, case i % 5
          when 0 then '{}'
          when 1 then null
          else jsonb_build_object('none', jsonb_build_object('objects', 1, 'content_bytes', i, 'stored_bytes', 2 * i::bigint), 'predictor ' || i % 11, jsonb_build_object('objects', i, 'content_bytes', 3, 'stored_bytes', 0)) end as by_predictor
from generate_series(1, 20000) i;
analyze counters;
create view plainly as
select p.key, sum((p.value ->> 'objects')::bigint) as objects, sum((p.value ->> 'content_bytes')::bigint) as content, sum((p.value ->> 'stored_bytes')::bigint) as stored
from counters, jsonb_each(by_predictor) p
group by p.key;
create view together as
select p.key, (p.value ->> 'objects')::numeric as objects, (p.value ->> 'content_bytes')::numeric as content, (p.value ->> 'stored_bytes')::numeric as stored
from (select sparse_tally_sum(by_predictor) as tallies from counters) t, jsonb_each(t.tallies) p;
select count(*) from plainly;
(table together except table plainly) union all (table plainly except table together);
set parallel_setup_cost = 0;
set parallel_tuple_cost = 0;
set min_parallel_table_scan_size = 0;
alter table counters set (parallel_workers = 2);
explain (costs off) select sparse_tally_sum(by_predictor) from counters;
(table together except table plainly) union all (table plainly except table together);
-- nothing, and what has nothing in it
select sparse_tally_sum(by_predictor) from counters where false;
select sparse_tally_sum(by_predictor) from counters where i % 5 < 2;
select sparse_tally_sum(c) from (values ('{"a": {"objects": 1}}'::jsonb), ('{"a": {"objects": -1, "other": "thing"}, "": {}}')) v (c);
-- what are no counters
select sparse_tally_sum('3'::jsonb);
select sparse_tally_sum('[{"a": {}}]'::jsonb);
select sparse_tally_sum('{"a": 3}'::jsonb);
select sparse_tally_sum('{"a": []}'::jsonb);
select sparse_tally_sum('{"a": {"objects": "3"}}'::jsonb);
select sparse_tally_sum('{"a": {"objects": 1e30}}'::jsonb);
select sparse_tally_sum(jsonb_build_object('a', jsonb_build_object('stored_bytes', 9223372036854775807 - i))) from generate_series(0, 1) i;
drop view together;
drop extension sparse;
