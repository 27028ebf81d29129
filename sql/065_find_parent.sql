-- Which versions a version or a file would best be stored against.
\set VERBOSITY terse
set client_min_messages = warning;
create extension sparse;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = warning;
create function data_file(name text) returns text language sql as $$
    select current_setting('sparse_test.data') || '/' || name || '.safetensors' $$;
-- names of the candidates, best first
create function found(child text) returns text language sql as $$
    select string_agg(name, ' ' order by n)
    from sparse_find_parent(child) with ordinality as f (version, name, revision, estimated_bytes, matched_tensors, n) $$;

-- An empty store has none
select count(*) from sparse_find_parent_file(data_file('mini-base'));

-- Every import keeps a sketch
select sparse_import_file('base', data_file('mini-base'));
select sparse_import_file('strong', data_file('mini-finetune-strong'), '{base}');
select sparse_import_file('tuned', data_file('mini-finetune'), '{base}');
select version, length(sketch) between 9 and 4096 as small from sparse.sketch order by version;

-- The parent is found, and the version itself is not
select (array_agg(name order by n))[1] as best, bool_or(name = 'tuned') as itself
from sparse_find_parent('tuned') with ordinality as f (version, name, revision, estimated_bytes, matched_tensors, n);
select f.version = b.id as same, f.name, f.revision, f.matched_tensors > 0 as matched,
       f.estimated_bytes between 1 and t.raw_bytes as in_reason
from sparse_find_parent((select id from sparse.version where name = 'tuned'), 1) f, sparse.version b, sparse.version t
where b.name = 'base' and t.name = 'tuned';
-- by a file, the same, before anything is stored; and the same content costs nothing
select name, estimated_bytes from sparse_find_parent_file(data_file('mini-finetune'), 1);
select (select array_agg(f) from sparse_find_parent_file(data_file('mini-finetune-light')) f where f.name <> 'light') is not null as some;
select sparse_import_file('light', data_file('mini-finetune-light'));
select (select array_agg((f.name, f.estimated_bytes, f.matched_tensors)) from sparse_find_parent_file(data_file('mini-finetune-light')) f where f.name <> 'light')
     = (select array_agg((f.name, f.estimated_bytes, f.matched_tensors)) from sparse_find_parent('light') f) as file_as_version;
-- estimates are in the order of what is really stored
select bool_and(estimated_bytes >= before) as ascending
from (select estimated_bytes, coalesce(lag(estimated_bytes) over (order by n), 0) as before
      from sparse_find_parent('light') with ordinality as f (version, name, revision, estimated_bytes, matched_tensors, n)) x;

-- A made-up model: other prefixes, more rows, another dtype
create function floats(seed int, count int) returns bytea language sql as $$
    -- bf16 of either sign and several sizes
    select string_agg(set_byte(set_byte('\x0000', 0, h & 255), 1, 58 + (h >> 8 & 3) + (h >> 11 & 1) * 2 + (h >> 12 & 1) * 128), '' order by i)
    from generate_series(1, count) i, hashint4(seed * 100000 + i) h $$;
create function widened(bf16 bytea) returns bytea language sql as $$
    select string_agg('\x0000' || substr(bf16, i, 2), '' order by i) from generate_series(1, octet_length(bf16), 2) i $$;
create function framed(header text, data bytea default '') returns bytea language sql as $$
    select string_agg(substr(n, i, 1), '' order by i desc) || convert_to(header, 'UTF8') || data
    from int8send(octet_length(convert_to(header, 'UTF8'))) n, generate_series(1, 8) i $$;
create function model(prefix text, dtype text, rows int, data bytea) returns bytea language sql as $$
    select framed(format('{"%sembed.weight":{"dtype":"%s","shape":[%s,24],"data_offsets":[0,%s]}}',
                         prefix, dtype, rows, octet_length(data)), data) $$;
select sparse_import_bytes('made/base', model('', 'BF16', 40, floats(1, 960)));
select sparse_import_bytes('made/other', model('', 'BF16', 40, floats(2, 960)));
select sparse_import_bytes('made/prefix', model('model.', 'BF16', 40, floats(1, 960)));
select sparse_import_bytes('made/more-rows', model('', 'BF16', 45, floats(1, 960) || floats(3, 120)));
select sparse_import_bytes('made/f32', model('', 'F32', 40, widened(floats(1, 960))));
select found('made/base');
select found('made/f32');
-- a wrong guess is none
select found('made/other') is null as none;

-- An import asks for it; what is found predicts it, but is no ancestor
reset client_min_messages;
create function found_parent(child text, revision integer default 1) returns text language sql as $$
    select coalesce((select string_agg(p.role || ' ' || v.name, ', ' order by p.ordinal) from sparse.parent p join sparse.version v on v.id = p.parent where p.child = c.id), '-')
        || '; ' || coalesce((select v.name from sparse.found_parent f join sparse.version v on v.id = f.parent where f.version = c.id), '-')
    from sparse.version c where c.name = child and c.revision = found_parent.revision $$;
select sparse_import_bytes('made/child', model('', 'BF16', 40, floats(1, 900) || floats(4, 60)), find_parents => true) > 0 as imported;
select found_parent('made/child');
select sparse_import_bytes('made/alone', model('', 'BF16', 40, floats(9, 960)), find_parents => true) > 0 as imported;
select found_parent('made/alone');
select (select count(*) from sparse_lineage('made/child')) as ancestors;
-- a guess that turns out wrong (its sketch is another version's) is no parent
update sparse.sketch s set sketch = o.sketch from sparse.sketch o, sparse.version v, sparse.version w
where s.version = v.id and v.name = 'made/alone' and o.version = w.id and w.name = 'made/other';
select sparse_import_bytes('made/misled', model('', 'BF16', 40, floats(2, 930) || floats(5, 30)), find_parents => true) > 0 as imported;
select sparse_drop('made/other');
select sparse_drop('made/misled');
select sparse_import_bytes('made/misled', model('', 'BF16', 40, floats(2, 900) || floats(5, 60)), find_parents => true) > 0 as imported;
select found_parent('made/misled', 2);
select sparse_reconstruct('made/misled') = model('', 'BF16', 40, floats(2, 900) || floats(5, 60)) as exact;
delete from sparse.sketch s using sparse.version v where s.version = v.id and v.name = 'made/alone';
-- of a file as of bytes, and the same model under other names
select sparse_import_file('found/light', data_file('mini-finetune-light'), find_parents => true) > 0 as imported;
select sparse_import_bytes('made/renamed', model('language_model.model.', 'BF16', 40, floats(1, 950) || floats(6, 10)), find_parents => true) > 0 as imported;
-- what is no model has no parent: a file without tensors, and small ones
select sparse_import_bytes('made/empty', framed('{}'), find_parents => true) > 0 as imported;
select sparse_import_bytes('made/empty2', framed('{ }'), find_parents => true) > 0 as imported;
select sparse_import_bytes('made/random', floats(7, 500), find_parents => true);
-- one that is named already is not named again
select sparse_import_bytes('made/named', model('', 'BF16', 40, floats(1, 930) || floats(4, 30)), '{made/child}', '{finetune}', find_parents => true) > 0 as imported;
select found_parent('made/named');
set client_min_messages = warning;

-- A missing sketch is made, once
delete from sparse.sketch where version = (select id from sparse.version where name = 'base');
select string_agg(name, ' ') like '%base%' as found from sparse_find_parent('tuned') where name = 'base';
select sparse_sketch('base');
select sparse_sketch('base');
select string_agg(name, ' ') like '%base%' as found from sparse_find_parent('tuned') where name = 'base';

-- What somebody cannot see is not found by him
drop role if exists regress_sparse_reader;
create role regress_sparse_reader;
grant usage on schema sparse to regress_sparse_reader;
grant select, insert on sparse.version to regress_sparse_reader;
alter table sparse.version enable row level security;
create policy own on sparse.version for select to regress_sparse_reader using (name not in ('base', 'made/base', 'made/prefix'));
create policy add on sparse.version for insert to regress_sparse_reader with check (true);
select data_file('mini-finetune') as file, model('', 'BF16', 40, floats(1, 920) || floats(8, 40)) as hidden \gset
set role regress_sparse_reader;
select count(*) filter (where name = 'base') as hidden, count(*) > 0 as some from sparse_find_parent('tuned');
select * from sparse_find_parent('base');
select sparse_sketch('base');
set client_min_messages = notice;
select sparse_import_bytes('reader/child', :'hidden'::bytea, find_parents => true) > 0 as imported;
set client_min_messages = warning;
select * from sparse_find_parent_file(:'file');
select * from sparse.sketch;
reset role;
drop owned by regress_sparse_reader;
drop role regress_sparse_reader;
drop policy if exists add on sparse.version;
drop policy if exists own on sparse.version;
alter table sparse.version disable row level security;

-- An approximation is no parent of what is exact, whoever makes its sketch
select sparse_import_bytes('made/apart', model('', 'BF16', 40, floats(11, 960))) > 0 as imported;
select sparse_approximate('made/apart', 'int8') > 0 as made;
select sparse_sketch('made/apart-int8');
select found('made/apart') is null as none;
-- a dataset has none
select sparse_commit_rows('made/rows', 'select 1 as x') > 0 as dataset;
select * from sparse_find_parent('made/rows');
select sparse_sketch('made/rows');
-- Sketches that were kept serve later versions of sparse: the same model must always give the same
select encode(sketch, 'hex') as sketch, architecture from sparse.sketch where version = sparse_version_id('made/f32');

-- of many tensors, long and short, of which 64 are sampled up to their last elements
create function f32s(seed int, count int) returns bytea language sql as $$
    select string_agg((select string_agg(substr(float4send(((hashint4(seed * 100000 + i) % 100000) / 30000.0)::float4), k, 1), ''::bytea order by k desc) from generate_series(1, 4) k), ''::bytea order by i)
    from generate_series(1, count) i $$;
create function f32_model(shapes text[], data bytea[]) returns bytea language sql as $$
    select framed('{' || string_agg(format('"layers.%s.w":{"dtype":"F32","shape":%s,"data_offsets":[%s,%s]}', i, shapes[i], first, first + octet_length(data[i])), ',' order by i) || '}',
                  string_agg(data[i], ''::bytea order by i))
    from generate_subscripts(data, 1) i, lateral (select coalesce(sum(octet_length(d)), 0)::int as first from unnest(data[:i - 1]) d) f $$;
create table shape as select i, case when i % 6 = 0 then array[64 + i] when i % 3 = 0 then array[1, 64 + i] when i % 3 = 1 then array[16 + i % 7, 4] else array[20000 - 300 * i, 1] end as dimensions
from generate_series(1, 110) i where i % 3 < 2 or i < 9;
select sparse_import_bytes('made/many', (select f32_model(array_agg(array_to_json(dimensions)::text order by i), array_agg(f32s(i, dimensions[1] * coalesce(dimensions[2], 1)) order by i)) from shape)) > 0 as imported;
select length(sketch), md5(sketch), architecture from sparse.sketch where version = sparse_version_id('made/many');
select sketch as before from sparse.sketch where version = sparse_version_id('made/many') \gset
delete from sparse.sketch where version = sparse_version_id('made/many');
select sparse_sketch('made/many');
select sketch = :'before' as the_same from sparse.sketch where version = sparse_version_id('made/many');

-- What an estimate comes to, in per cent of what the child takes alone: only rows that both have help, and infinities do not
create function f32_child(data bytea) returns text language plpgsql as $$
declare
    id bigint := sparse_import_bytes('made/f32-child', f32_model(array[format('[%s,25]', octet_length(data) / 100)], array[data]));
    answer text;
begin
    select string_agg(round(estimated_bytes * 100.0 / octet_length(data)) || '%', ' ') into answer from sparse_find_parent(id) where name = 'made/f32-base';
    perform sparse_drop(id);
    return answer;
end $$;
select sparse_import_bytes('made/f32-base', f32_model('{"[40,25]"}', array[f32s(77, 1000)])) > 0 as imported;
select f32_child(f32s(77, 1000)) as same, f32_child(f32s(77, 1000) || f32s(78, 250)) as more, f32_child(f32s(77, 1000) || f32s(78, 1000)) as twice, f32_child(f32s(77, 1000) || f32s(78, 5400)) as eight_times, f32_child(f32s(77, 700)) as fewer,
       f32_child((select string_agg('\x0000807f'::bytea, ''::bytea) from generate_series(1, 1000))) as infinite;
-- what helps with a twelfth of it is not worth to be shown
select sparse_import_bytes('made/f32-mostly-new', f32_model('{"[40,25]","[440,25]"}', array[f32s(77, 1000), f32s(79, 11000)])) > 0 as imported;
select count(*) from sparse_find_parent('made/f32-mostly-new');

-- By content alone, where no name is the same: six tensors of one shape, each of which is another's
create function named_model(dtype text, names text[], data bytea[], size int) returns bytea language sql as $$
    select framed('{' || string_agg(format('"%s":{"dtype":"%s","shape":[40,%s],"data_offsets":[%s,%s]}', names[i], dtype, octet_length(data[i]) / 40 / size, first, first + octet_length(data[i])), ',' order by i) || '}',
                  string_agg(data[i], ''::bytea order by i))
    from generate_subscripts(data, 1) i, lateral (select coalesce(sum(octet_length(d)), 0)::int as first from unnest(data[:i - 1]) d) f $$;
create function estimated(child text, parent text, out per_cent numeric, out matched int) language sql as $$
    select round(100.0 * estimated_bytes / (select sum(bytes) from sparse_tensors(child))), matched_tensors from sparse_find_parent(child, 1000) where name = parent $$;
select sparse_import_bytes('made/six', named_model('F32', '{a.b,c.d,e.f,g.h,i.j,k.l}', (select array_agg(f32s(200 + i, 40 * 22) order by i) from generate_series(1, 6) i), 4)) > 0 as imported;
select sparse_import_bytes('made/six-others', named_model('F32', '{m.n,o.p,q.r,s.t,u.v,w.x}', (select array_agg(f32s(207 - i, 40 * 22) order by i) from generate_series(1, 6) i), 4)) > 0 as imported;
select * from estimated('made/six-others', 'made/six');
-- Integers times a scale are floats; a wider parent leaves a fifth more than one of the same dtype
create function reals(x float8[]) returns bytea language sql as $$
    select string_agg((select string_agg(substr(float4send(v::float4), k, 1), ''::bytea order by k desc) from generate_series(1, 4) k), ''::bytea order by o) from unnest(x) with ordinality u (v, o) $$;
create table number as select i, hashint4(i) % 127 as n from generate_series(1, 40 * 21) i;
select sparse_import_bytes('made/real', named_model('F32', '{q.w}', array[(select reals(array_agg(n * 0.037 order by i)) from number)], 4)) > 0 as imported;
select sparse_import_bytes('made/integer', named_model('I8', '{q.w}', array[(select string_agg(set_byte('\x00', 0, n & 255), ''::bytea order by i) from number)], 1)) > 0 as imported;
select * from estimated('made/integer', 'made/real');
select sparse_import_bytes('made/narrow', named_model('BF16', '{n.w}', array[floats(301, 40 * 23)], 2)) > 0 as imported;
select sparse_import_bytes('made/wide', named_model('F32', '{n.w}', array[widened(floats(301, 40 * 23))], 4)) > 0 as imported;
select sparse_import_bytes('made/moved', named_model('BF16', '{n.w}', array[(select string_agg(set_byte(substr(b, i, 2), 0, get_byte(b, i - 1) # 5), ''::bytea order by i) from floats(301, 40 * 23) b, generate_series(1, 40 * 46, 2) i)], 2)) > 0 as imported;
select round(w.estimated_bytes::numeric / n.estimated_bytes, 2) as wider
from sparse_find_parent('made/moved') n, sparse_find_parent('made/moved') w where n.name = 'made/narrow' and w.name = 'made/wide';
-- Zeros that a threshold explains take nothing, others do
select sparse_import_bytes('made/full', named_model('F32', '{z.w}', array[(select reals(array_agg(n + 0.5 order by i)) from number where i <= 40 * 20)], 4)) > 0 as imported;
select sparse_import_bytes('made/small-pruned', named_model('F32', '{z.w}', array[(select reals(array_agg(case when abs(n + 0.5) < 60 then 0 else n + 0.5 end order by i)) from number where i <= 40 * 20)], 4)) > 0 as imported;
select sparse_import_bytes('made/any-pruned', named_model('F32', '{z.w}', array[(select reals(array_agg(case when i % 2 = 0 then 0 else n + 0.5 end order by i)) from number where i <= 40 * 20)], 4)) > 0 as imported;
select p.per_cent as by_threshold, a.per_cent > 0 as otherwise from estimated('made/small-pruned', 'made/full') p, estimated('made/any-pruned', 'made/full') a;
-- Whose guess was not kept is of the family all the same
select (select family from sparse.version where name = 'made/misled' and revision = 2) = (select family from sparse.version where name = 'made/alone') as of_the_family;

-- However many there are that he sees or not, the best are shown, each once
insert into sparse.version (id, name, revision, family, state, content_sha256)
select 100000 + i, 'made/copy-' || i, 1, 1, 'ready', sha256('') from generate_series(1, 700) i;
insert into sparse.sketch select 100000 + i, s.architecture, s.sketch from sparse.sketch s, generate_series(1, 700) i where s.version = sparse_version_id('made/f32-base');
select count(*), count(distinct version), min(version) - 100000 as first, max(version) - 100000 as last from sparse_find_parent('made/f32-base', 1000);
select count(*), max(version) - 100000 as last from sparse_find_parent('made/f32-base', 300);
create role regress_sparse_few;
grant usage on schema sparse to regress_sparse_few;
grant select on sparse.version to regress_sparse_few;
alter table sparse.version enable row level security;
create policy few on sparse.version for select to regress_sparse_few using (name = 'made/f32-base' or id in (100001, 100256, 100257, 100512, 100513, 100700));
set role regress_sparse_few;
select version - 100000 as version from sparse_find_parent('made/f32-base');
select version - 100000 as version from sparse_find_parent('made/f32-base', 4);
reset role;
drop policy few on sparse.version;
alter table sparse.version disable row level security;
drop owned by regress_sparse_few;
drop role regress_sparse_few;
delete from sparse.sketch where version > 100000;
delete from sparse.version where id > 100000;

-- Nor what was dropped; its sketch goes with its tensors
select sparse_drop('made/base');
select found('made/prefix') like '%made/base%' as found;
select count(*) from sparse.sketch s join sparse.version v on v.id = s.version where v.name = 'made/base';
select versions from sparse_collect();
select count(*) from sparse.sketch s join sparse.version v on v.id = s.version where v.name = 'made/base';

-- Refusals
select * from sparse_find_parent('no such');
select * from sparse_find_parent('tuned', 0);
select * from sparse_find_parent_file('/no/such.safetensors');
-- a sketch that is none is passed over
update sparse.sketch set sketch = '\x0102' where version = (select id from sparse.version where name = 'base');
select count(*) filter (where name = 'base') as damaged, count(*) > 0 as others from sparse_find_parent('tuned');
