-- What sparse.approximation says of an approximation is worked out here anew, from the bytes; and a bound holds for whatever floats.
\set VERBOSITY terse
set client_min_messages = warning;
create extension sparse;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = warning;

create function turned(b bytea) returns bytea language sql immutable as $$
    select string_agg(substr(b, i, 1), ''::bytea order by i desc) from generate_series(1, octet_length(b)) i $$;
create function f32(x float8[]) returns bytea language sql as $$
    select string_agg(turned(float4send(v::float4)), ''::bytea order by o) from unnest(x) with ordinality u (v, o) $$;
create function f64(x float8[]) returns bytea language sql as $$
    select string_agg(turned(float8send(v)), ''::bytea order by o) from unnest(x) with ordinality u (v, o) $$;
create function bf16(x float8[]) returns bytea language sql as $$
    select string_agg(substr(turned(float4send(v::float4)), 3), ''::bytea order by o) from unnest(x) with ordinality u (v, o) $$;
-- a model of one matrix of 8 x 8
create function model(dtype text, content bytea) returns bytea language sql as $$
    select turned(int8send(octet_length(h))) || h || content
    from (select convert_to(format('{"a":{"dtype":"%s","shape":[8,8],"data_offsets":[0,%s]}}', dtype, octet_length(content)), 'UTF8')) x (h) $$;
-- elements as integers in the order of floats, and as numbers
create function ordered(content bytea, bytes int) returns table (i int, n numeric) language sql as $$
    select i, case when m >= 2::numeric ^ (8 * bytes - 1) then 2::numeric ^ (8 * bytes - 1) - m else m end
    from generate_series(0, octet_length(content) / bytes - 1) i,
         lateral (select sum(get_byte(content, i * bytes + k) * 256::numeric ^ k) from generate_series(0, bytes - 1) k) x (m) $$;
create function numbers(content bytea, bytes int, exponent int) returns table (i int, x numeric) language sql as $$
    select i, sign(n) * case when e = 0 then f * 2::numeric ^ (2 - 2 ^ (exponent - 1)::int - m) else (f + 2::numeric ^ m) * 2::numeric ^ (e + 1 - 2 ^ (exponent - 1)::int - m) end
    from ordered(content, bytes), lateral (select 8 * bytes - 1 - exponent) y (m),
         lateral (select div(abs(n), 2::numeric ^ m), mod(abs(n), 2::numeric ^ m)) z (e, f) $$;
create function measured(a text, b text, bytes int, exponent int, out max_abs numeric, out relative_l2 numeric, out max_ulp numeric) language sql as $$
    select max(abs(x.x - y.x)), sqrt(sum((x.x - y.x) ^ 2) / sum(x.x ^ 2)), (select max(abs(p.n - q.n)) from ordered(sparse_tensor(a, 'a'), bytes) p join ordered(sparse_tensor(b, 'a'), bytes) q using (i))
    from numbers(sparse_tensor(a, 'a'), bytes, exponent) x join numbers(sparse_tensor(b, 'a'), bytes, exponent) y using (i) $$;
create function waves(seed int) returns float8[] language sql as $$
    select array_agg(sin(i * seed) * 10 ^ (i % 3 - 2) order by i) from generate_series(1, 64) i $$;

-- of three dtypes, with a parent and without
create table dtype (name text, bytes int, exponent int);
insert into dtype values ('F32', 4, 8), ('F64', 8, 11), ('BF16', 2, 8);
select d.name, count(sparse_import_bytes(d.name || '-' || c, model(d.name, case d.name when 'F32' then f32(w) when 'F64' then f64(w) else bf16(w) end),
                                         case c when 'child' then array[d.name || '-base'] else '{}' end)) as imported
from dtype d, unnest(array['base', 'child']) c, lateral (select case c when 'base' then waves(3) else (select array_agg(a + b * 0.01) from unnest(waves(3), waves(7)) x (a, b)) end) y (w)
group by 1 order by 1;
select count(sparse_approximate(d.name || '-' || c, m, rank => case m when 'svd' then 1 end)) as made
from dtype d, unnest(array['base', 'child']) c, unnest(array['int8', 'bit1', 'svd']) m;
select d.name, c, m, abs(a.max_abs - s.max_abs) <= 1e-12 * s.max_abs as max_abs, abs(a.relative_l2 - s.relative_l2) <= 1e-9 * s.relative_l2 as relative_l2, a.max_ulp = s.max_ulp as max_ulp
from dtype d, unnest(array['base', 'child']) c, unnest(array['int8', 'bit1', 'svd']) m,
     lateral measured(d.name || '-' || c, format('%s-%s-%s', d.name, c, m), d.bytes, d.exponent) s,
     lateral (select a.* from sparse.approximation a where a.version = sparse_version_id(format('%s-%s-%s', d.name, c, m))) a
order by 1, 2, 3;
-- a bound is one: just above what the error is it is kept, just below not
create function bounded(model text, by text, factor float8) returns text language plpgsql as $$
declare
    error float8 := (select relative_l2 from sparse.approximation where version = sparse_version_id(model || '-' || by));
begin
    perform sparse_approximate(model, by, max_error => error * factor, name => format('%s-%s-%s', model, by, factor));
    return 'made';
exception when data_exception then
    return 'refused';
end $$;
select d.name, m, bounded(d.name || '-child', m, 1.000001) as above, bounded(d.name || '-child', m, 0.999999) as below from dtype d, unnest(array['int8', 'bit1']) m order by 1, 2;

-- Doubles so small that the squares of errors are none: nothing could be said of them, so they stay
select sparse_import_bytes('tiny', model('F64', f64((select array_agg((1 + i % 7) * 1e-180) from generate_series(1, 64) i)))) > 0 as imported;
select sparse_approximate('tiny', 'int8', max_error => 1e-6);
select sparse_approximate('tiny', 'bit1');
-- The largest floats: levels stay finite
select sparse_import_bytes('large', model('F32', f32((select array_agg(3.4028234e38 * (1 - i % 2 * 2)) from generate_series(1, 64) i)))) > 0 as imported;
select sparse_approximate('large', 'int8', max_error => 1e-6) > 0 as made;
-- a change that no float can hold is off by more than any bound, and gives no infinities
select sparse_import_bytes('other', model('F32', f32((select array_agg(case when i % 8 = 0 then 1 else -3.4028234e38 end) from generate_series(1, 64) i)))) > 0 as imported;
select sparse_import_bytes('far', model('F32', f32((select array_agg(case when i % 8 = 0 then 1 when i % 3 = 0 then -3e38 else 3.4028234e38 end) from generate_series(1, 64) i))), '{other}') > 0 as imported;
select sparse_approximate('far', 'bit1', max_error => 1e-9);
select sparse_approximate('far', 'bit1') > 0 as made;
select relative_l2 between 0.1 and 10 as far, max_abs < 1e39 as numbers from sparse.approximation where version = sparse_version_id('far-bit1');

-- Rows that begin and end amid what is read at a time: each has its own scale, to which int8 and bit1 are exact, and all are one product
select sparse_import_bytes('rows', (select turned(int8send(octet_length(h))) || h || content from
    (select convert_to(format('{"a":{"dtype":"F32","shape":[1100,1000],"data_offsets":[0,%s]}}', octet_length(content)), 'UTF8') as h, content from
        (select string_agg(decode(repeat(encode(f32(array[r, -r]), 'hex'), 500), 'hex'), ''::bytea order by r) as content from generate_series(1, 1100) r) x) y)) > 0 as imported;
select m, sparse_approximate('rows', m, rank => case m when 'svd' then 1 end) > 0 as made from unnest(array['int8', 'bit1', 'svd']) m;
select method, relative_l2 < case method when 'svd' then 1e-3 else 1e-6 end as near from sparse.approximation join sparse.version v on v.id = version where v.name like 'rows-%' order by v.id;

-- What takes too much memory is refused, and what has rows of one element stays
create function repeated(dtype text, shape text, element bytea, times int) returns bytea language sql as $$
    select turned(int8send(octet_length(h))) || h || decode(repeat(encode(element, 'hex'), times), 'hex')
    from (select convert_to(format('{"a":{"dtype":"%s","shape":%s,"data_offsets":[0,%s]}}', dtype, shape, octet_length(element) * times), 'UTF8')) x (h) $$;
select sparse_import_bytes('long', repeated('BF16', '[30000,256]', bf16(array[1, -1, 2, 3]), 1920000)) > 0 as imported;
select sparse_approximate('long', 'svd', rank => 250);
select sparse_approximate('long', 'svd', rank => 10) > 0 as made;
select sparse_import_bytes('single', repeated('F32', '[64,1]', f32(array[1, 2]), 32)) > 0 as imported;
select sparse_approximate('single', 'int8');
-- A parent's tensor that is not finite is not computed from
select sparse_import_bytes('no-number', model('F32', f32(array_prepend('NaN', (waves(3))[2:])))) > 0 as imported;
select sparse_import_bytes('number', model('F32', f32(waves(3))), '{no-number}') > 0 as imported;
select m, sparse_approximate('number', m, rank => case m when 'svd' then 2 end) > 0 as made from unnest(array['int8', 'bit1', 'svd']) m;
select method, relative_l2 < 1 as near from sparse.approximation join sparse.version v on v.id = version where v.name like 'number-%' order by v.id;

-- At the end of the longest chain: levels without the parent's
set sparse.max_chain_depth = 1;
select sparse_import_file('mini-base', current_setting('sparse_test.data') || '/mini-base.safetensors') > 0 as base,
       sparse_import_file('mini-finetune', current_setting('sparse_test.data') || '/mini-finetune.safetensors', '{mini-base}') > 0 as child;
select sparse_approximate('mini-finetune', 'int8') > 0 as made;
select count(*) as problems from sparse_verify('mini-finetune-int8');
reset sparse.max_chain_depth;

-- No approximation holds infinities, where the exact version has none: floats at the end of what F16 holds, moved by what others of their row are moved
create function f16(x int[]) returns bytea language sql as $$
    -- whole powers of two and the largest
    select string_agg(case when abs(v) = 65504 then '\xff'::bytea || set_byte('\x7b', 0, case when v < 0 then 251 else 123 end)
                      else set_byte('\x0000', 1, (log(2, abs(v))::int + 15) * 4 + case when v < 0 then 128 else 0 end) end, ''::bytea order by o) from unnest(x) with ordinality u (v, o) $$;
select sparse_import_bytes('half-base', model('F16', f16((select array_agg(case when i % 8 = 0 then 32768 else -32768 end) from generate_series(1, 64) i)))) > 0 as imported;
select sparse_import_bytes('half', model('F16', f16((select array_agg(case when i % 8 = 0 then 65504 else 32768 end) from generate_series(1, 64) i))), '{half-base}') > 0 as imported;
select sparse_approximate('half', 'bit1');
select sparse_approximate('half', 'svd', rank => 1);
select sparse_approximate('half', 'int8') > 0 as made;
-- nor is anything made of changes whose squares no float holds
select sparse_approximate('far', 'svd', rank => 1);
select sparse_approximate('large', 'svd', rank => 1);
select sparse_approximate('far', 'svd', max_error => 0.1);
select v.name, method, rank, max_abs < 1e39 as finite from sparse.approximation join sparse.version v on v.id = version where v.name ~ '^(half|far|large)-' order by v.id;
-- The scale of a row is that of what changed: a change of one size is met exactly, however many elements have it
select sparse_import_bytes('few-base', model('F32', f32((select array_agg(i order by i) from generate_series(1, 64) i)))) > 0 as imported;
select sparse_import_bytes('few-changed', model('F32', f32((select array_agg(i + case when i % 3 = 0 then 0.5 * ((i - 1) / 8 + 1) when i % 5 = 0 then -0.5 * ((i - 1) / 8 + 1) else 0 end order by i) from generate_series(1, 64) i))), '{few-base}') > 0 as imported;
select sparse_approximate('few-changed', 'bit1') > 0 as made;
select max_abs, sparse_tensor('few-changed', 'a') = sparse_tensor('few-changed-bit1', 'a') as the_same from sparse.approximation where version = sparse_version_id('few-changed-bit1');
-- What an exact version says of itself makes it no approximation
select sparse_import_bytes('number-forged', model('F32', f32(waves(5))), metadata => (select metadata from sparse.version where name = 'number-int8')) > 0 as imported;
select sparse_approximate('number', 'int8', name => 'number-forged');
-- A parent's tensor of the name, but of another dtype or shape, is not computed from
select sparse_import_bytes('alone', model('F32', f32(waves(9)))) > 0 as imported;
select sparse_import_bytes('as-integers', model('I32', f32(waves(3)))) > 0 as integers, sparse_import_bytes('as-long-rows', repeated('F32', '[4,16]', f32(waves(3)), 1)) > 0 as long_rows;
select p, sparse_import_bytes('of-' || p, model('F32', f32(waves(9))), array[p]) > 0 as imported from unnest(array['as-integers', 'as-long-rows']) p;
select n, m, sparse_approximate(n, m, rank => case m when 'svd' then 2 end) > 0 as made from unnest(array['alone', 'of-as-integers', 'of-as-long-rows']) n, unnest(array['int8', 'bit1', 'svd']) m;
select m, count(distinct sparse_tensor(format('%s-%s', n, m), 'a')) as contents from unnest(array['alone', 'of-as-integers', 'of-as-long-rows']) n, unnest(array['int8', 'bit1', 'svd']) m group by 1 order by 1;
