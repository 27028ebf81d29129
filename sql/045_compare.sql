-- What changed between two versions, tensor by tensor.
\set VERBOSITY terse
set client_min_messages = warning;
set extra_float_digits = 0;
create extension sparse;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = warning;
-- a safetensors file of tensors given as (name, dtype, shape, bytes)
create type part as (name text, dtype text, shape bigint[], data bytea);
create function part(name text, dtype text, shape bigint[], data bytea) returns part language sql as $$ select (name, dtype, shape, data)::part $$;
create function model(variadic parts part[]) returns bytea language sql as $$
    with p as (select p.*, sum(octet_length(data)) over (order by n) as till from unnest(parts) with ordinality as p (name, dtype, shape, data, n)),
    h as (select convert_to(json_object_agg(name, json_build_object('dtype', dtype, 'shape', shape, 'data_offsets', array[till - octet_length(data), till]) order by n)::text, 'UTF8') as header,
                 string_agg(data, '' order by n) as data from p)
    select (select string_agg(substr(int8send(octet_length(header)), i, 1), '' order by i desc) from generate_series(1, 8) i) || header || data from h $$;
create function reversed(b bytea) returns bytea language sql immutable as $$ select string_agg(substr(b, i, 1), '' order by i desc) from generate_series(1, octet_length(b)) i $$;
create function f32(variadic v real[]) returns bytea language sql as $$ select string_agg(reversed(float4send(x)), '' order by n) from unnest(v) with ordinality u (x, n) $$;
create function f64(variadic v double precision[]) returns bytea language sql as $$ select string_agg(reversed(float8send(x)), '' order by n) from unnest(v) with ordinality u (x, n) $$;
create function i64(variadic v bigint[]) returns bytea language sql as $$ select string_agg(reversed(int8send(x)), '' order by n) from unnest(v) with ordinality u (x, n) $$;

-- What can become of a tensor
select sparse_import_bytes('a', model(
    part('same', 'F32', '{2,2}', f32(1, 2, 3, 4)), part('changed', 'F32', '{4}', f32(1, -2, 3, 0)), part('gone', 'I64', '{1}', i64(7)), part('shape', 'F32', '{2,3}', f32(1,2,3,4,5,6)),
    part('dtype', 'F32', '{3}', f32(1, 2, 3)), part('scalar', 'F64', '{}', f64(2.5)), part('empty', 'F32', '{0,5}', ''), part('unknown', 'F4_X', '{2}', '\x12'), part('both', 'I8', '{2}', '\x0102'))) as a;
select sparse_import_bytes('b', model(
    part('same', 'F32', '{2,2}', f32(1, 2, 3, 4)), part('changed', 'F32', '{4}', f32(1, -2.5, 1, 4)), part('new', 'U8', '{3}', '\x010203'), part('shape', 'F32', '{3,2}', f32(1,2,3,4,5,6)),
    part('dtype', 'F64', '{3}', f64(1, 2, 3.5)), part('scalar', 'F64', '{}', f64(-2.5)), part('empty', 'F32', '{0,5}', ''), part('unknown', 'F4_X', '{2}', '\x13'), part('both', 'U8', '{1,2}', '\x0102')), '{a}') as b;
select tensor, state, a_dtype, b_dtype, a_shape, b_shape, elements, changed, largest_change, largest_relative_change, round(l2::numeric, 6) as l2, round(cosine::numeric, 6) as cosine, not_finite from sparse_compare('a', 'b');
-- and the other way round
select tensor, state, a_file, b_file, elements, changed, largest_change, largest_relative_change, round(l2::numeric, 6) as l2 from sparse_compare(2, 1) where state not in ('same');
select state, count(*), sum(changed) as changed, sum(l2) as l2, min(cosine) as cosine from sparse_compare('a', 'a') group by 1;

-- NaN and infinities are counted and left out; the same bits are not a change; -0 is other bits than 0
select sparse_import_bytes('nan a', model(part('t', 'F32', '{6}', f32('nan', 'nan', 1, '-inf', 0, 5)), part('all', 'F64', '{2}', f64('nan', 'inf')), part('zero', 'F32', '{2}', f32(0, 0)), part('large', 'F64', '{2}', f64(1e308, 1)))) is not null as imported;
select sparse_import_bytes('nan b', model(part('t', 'F32', '{6}', f32('nan', 2, 'inf', '-inf', '-0', 7)), part('all', 'F64', '{2}', f64('inf', 'inf')), part('zero', 'F32', '{2}', f32(0, 3)), part('large', 'F64', '{2}', f64(-1e308, 1)))) is not null as imported;
select tensor, state, elements, changed, largest_change, largest_relative_change, l2, cosine, not_finite from sparse_compare('nan a', 'nan b');

-- Integers of every width and sign
create function ints(dtype text, width int, variadic v bigint[]) returns part language sql as $$
    select (dtype, dtype, array[cardinality(v)], string_agg(substr(i64(x), 1, width), '' order by n))::part from unnest(v) with ordinality u (x, n) $$;
select sparse_import_bytes('int a', model(ints('U8', 1, 0, 255), ints('I8', 1, -128, 1), ints('U16', 2, 65535, 0), ints('I16', 2, -32768, 0), ints('U32', 4, 4294967295, 0), ints('I32', 4, -2147483648, 0), ints('U64', 8, -1, 0), ints('I64', 8, (-9223372036854775808)::bigint, 0), ints('BOOL', 1, 0, 1))) is not null as imported;
select sparse_import_bytes('int b', model(ints('U8', 1, 0, 0), ints('I8', 1, 127, 1), ints('U16', 2, 0, 0), ints('I16', 2, 32767, 0), ints('U32', 4, 0, 0), ints('I32', 4, 2147483647, 0), ints('U64', 8, 0, 0), ints('I64', 8, 9223372036854775807, 0), ints('BOOL', 1, 1, 1))) is not null as imported;
select tensor, state, changed, largest_change, not_finite from sparse_compare('int a', 'int b');

-- Every value of the small floats is what it should be, subnormals, infinities and NaNs included
create function small_floats(exponent_bits int, mantissa_bits int, has_infinity boolean) returns table (code int, value real) language sql as $$
    select c, case
        when e = (1 << exponent_bits) - 1 and has_infinity then case when m = 0 then s * 'inf'::float8 else 'nan' end
        when e = (1 << exponent_bits) - 1 and m = (1 << mantissa_bits) - 1 then 'nan'
        when e = 0 then s * m * 2.0::float8 ^ (1 - bias - mantissa_bits)
        else s * (m + (1 << mantissa_bits)) * 2.0::float8 ^ (e - bias - mantissa_bits) end
    from (select c, case when c >> (exponent_bits + mantissa_bits) = 1 then -1 else 1 end as s,
                 (c >> mantissa_bits) & ((1 << exponent_bits) - 1) as e, c & ((1 << mantissa_bits) - 1) as m, (1 << (exponent_bits - 1)) - 1 as bias
          from generate_series(0, (1 << (exponent_bits + mantissa_bits + 1)) - 1) c) x $$;
create table small as select 'F8_E4M3' as dtype, 1 as width, f.* from small_floats(4, 3, false) f union all select 'F8_E5M2', 1, f.* from small_floats(5, 2, true) f union all select 'F16', 2, f.* from small_floats(5, 10, true) f;
create function small_part(d text, exact boolean) returns part language sql as $$
    select (d, case when exact then 'F32' else d end, array[count(*)]::bigint[], string_agg(case when exact then reversed(float4send(value)) else substr(reversed(int4send(code)), 1, width) end, '' order by code))::part
    from small where dtype = d $$;
select sparse_import_bytes('small', model(small_part('F8_E4M3', false), small_part('F8_E5M2', false), small_part('F16', false),
    part('BF16', 'BF16', '{65536}', (select string_agg(substr(reversed(int4send(c)), 1, 2), '' order by c) from generate_series(0, 65535) c)))) is not null as imported;
select sparse_import_bytes('exact', model(small_part('F8_E4M3', true), small_part('F8_E5M2', true), small_part('F16', true),
    part('BF16', 'F32', '{65536}', (select string_agg('\x0000' || substr(reversed(int4send(c)), 1, 2), '' order by c) from generate_series(0, 65535) c)))) is not null as imported;
select tensor, state, elements, changed, largest_change, l2, cosine, not_finite from sparse_compare('small', 'exact');

-- Models: from the stored data, whatever it is coded against, in the order of the names
create function data_file(name text) returns text language sql as $$ select current_setting('sparse_test.data') || '/' || name || '.safetensors' $$;
select sparse_import_file('base', data_file('mini-base')) > 0 as base, sparse_import_file('finetune', data_file('mini-finetune'), '{base}') > 0 as finetune,
       sparse_import_file('light', data_file('mini-finetune-light'), '{base}') > 0 as light, sparse_import_file('fp32', data_file('mini-finetune-fp32'), '{base}') > 0 as fp32,
       sparse_import_file('grown', data_file('mini-longer-vocabulary'), '{base}') > 0 as grown;
select state, count(*), sum(elements) as elements, sum(changed) as changed, round(sqrt(sum(l2 * l2))::numeric, 4) as l2, round(max(largest_change)::numeric, 6) as largest, round(min(cosine)::numeric, 5) as cosine
from sparse_compare('base', 'finetune') group by state order by state;
select sum(changed) < (select sum(changed) from sparse_compare('base', 'finetune')) as fewer from sparse_compare('base', 'light');
select state, count(*), sum(changed) as changed, sum(not_finite) as not_finite from sparse_compare('finetune', 'fp32') group by state;
select tensor, state, a_shape, b_shape, changed from sparse_compare('base', 'grown') where state = 'other shape';
select array_agg(tensor) = array_agg(tensor order by tensor) as in_order, count(*) = count(distinct tensor) as once from sparse_compare('base', 'finetune');
-- what is the same is not read
begin;
delete from sparse.chunk where object = (select object from sparse.tensor where version = sparse_version_id('base') and name = 'model.norm.weight');
select count(*) from sparse_compare('base', 'base');
select state from sparse_compare('base', 'base') where tensor = 'model.norm.weight';
rollback;

-- More tensors than are looked at in one go
select sparse_import_bytes('many a', (select model(variadic array_agg(part('t' || i, 'U8', '{1}', '\x01'))) from generate_series(1, 1300) i)) is not null as imported;
select sparse_import_bytes('many b', (select model(variadic array_agg(part('t' || i, 'U8', '{1}', case when i % 7 = 0 then '\x02'::bytea else '\x01' end))) from generate_series(100, 1400) i)) is not null as imported;
select state, count(*) from sparse_compare('many a', 'many b') group by 1 order by 1;
-- an empty name is a name
select sparse_import_bytes('unnamed', model(part('', 'U8', '{1}', '\x01'))) is not null as imported;
select '[' || tensor || ']' as tensor, state from sparse_compare('unnamed', 'unnamed');

-- Names that several files have are paired in the order of the paths
insert into sparse.file (version, ordinal, path, format, bytes, sha256, object, object_bytes)
select version, 1, 'other/' || path, format, bytes, sha256, object, object_bytes from sparse.file where version in (sparse_version_id('unnamed'), sparse_version_id('nan a'));
insert into sparse.tensor select version, 1, ordinal, name, dtype, shape, first_byte, bytes, object from sparse.tensor where version = sparse_version_id('nan a');
select tensor, a_file, b_file, state from sparse_compare('nan a', 'nan b') where tensor = 't';

-- Only what can be read is compared
select sparse_drop('b');
select sparse_compare('a', 'b');
select sparse_compare('a', 'no such');
