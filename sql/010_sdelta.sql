-- The type sdelta: round trips, its text and binary forms, what it says of itself,
-- and what it does with hostile bytes.
create extension sparse;
set client_min_messages = warning;

-- Bytes that look like noise, the same on every machine.
create function noise(bytes int, seed int) returns bytea language sql immutable as
$$select substr(string_agg(sha256(convert_to(seed || ':' || i, 'UTF8')), ''::bytea order by i), 1, bytes)
  from generate_series(0, bytes / 32) i$$;

-- The bytes, one added to every step-th.
create function nudge(content bytea, step int) returns bytea language plpgsql immutable as
$$begin
    for i in 0 .. length(content) - 1 by step loop
        content := set_byte(content, i, (get_byte(content, i) + 1) & 255);
    end loop;
    return content;
end$$;

-- What a statement ends with: "ok", or its error.
create function outcome(statement text) returns text language plpgsql as
$$declare
    message text;
    detail text;
begin
    execute statement;
    return 'ok';
exception when others then
    get stacked diagnostics message = message_text, detail = pg_exception_detail;
    return sqlstate || ' ' || message || coalesce(' / ' || nullif(detail, ''), '');
end$$;

-- The base64 that the input function takes: without line breaks.
create function delta_text(bytes bytea) returns text language sql immutable as
$$select replace(encode(bytes, 'base64'), E'\n', '')$$;

-- ---- content comes back, whatever its dtype ----

create table dtype (name text, bytes int);
insert into dtype values
    ('BYTES', 1), ('BOOL', 1), ('U8', 1), ('I8', 1), ('U16', 2), ('I16', 2), ('U32', 4), ('I32', 4),
    ('U64', 8), ('I64', 8), ('F8_E4M3', 1), ('F8_E5M2', 1), ('F16', 2), ('BF16', 2), ('F32', 4), ('F64', 8);

create table trial as
select d.name as dtype, content, what, predictions
from dtype d,
     generate_series(0, 3) size,
     lateral (select noise((array[0, 1, 37, 3000])[size + 1] * d.bytes, size) as content) c,
     lateral (values ('alone', '{}'::bytea[]),
                     ('equal', array[content]),
                     ('near', array[nudge(content, 5 * d.bytes)]),
                     ('two near', array[noise(length(content), 9), nudge(content, 100)]),
                     ('longer', array[noise(100, 2) || content || '\x00'::bytea]),
                     ('pieces', array[substr(content, length(content) / 2), '', substr(content, 1, 1 + length(content) / 2)])
             ) p (what, predictions);

create table delta as
select t.*, sdelta_encode(content, predictions, dtype) as delta
from trial t;

select what, count(*), bool_and(sdelta_apply(predictions, delta) = content) as comes_back,
       bool_and(sdelta_content_bytes(delta) = length(content)) as length_known,
       bool_and(sdelta_bytes(delta) = length(sdelta_send(delta))) as size_known
from delta group by what order by what;

-- What is as long as the content predicts its elements, and the cheapest of several wins.
select what, (sdelta_info(delta)).predictor, count(*)
from delta where length(content) > 1000 and dtype = 'BF16'
group by 1, 2 order by 1, 2;
select what, refs from delta d, sdelta_info(d.delta)
where length(content) = 6000 and d.dtype = 'BF16' and what in ('alone', 'near', 'two near')
order by what;

-- ---- one parent: prediction + delta ----

select '\x01020304'::bytea + sdelta_encode('\x01020404', array['\x01020304'::bytea], 'BF16');
select sdelta_apply_one('', sdelta_encode('\xdeadbeef'));
select oprname, oprleft::regtype, oprright::regtype, oprresult::regtype, oprcode from pg_operator where oprright = 'sdelta'::regtype;

-- ---- text and binary forms ----

select bool_and(delta::text::sdelta::text = delta::text) as text_survives from delta;
select bool_and(decode(delta::text, 'base64') = sdelta_send(delta)) as text_is_base64_of_the_bytes from delta;

select current_setting('data_directory') || '/sdelta.copy' as copy_file \gset
create table copied (like delta);
copy delta to :'copy_file';
copy copied from :'copy_file';
select count(*) from copied natural join (select dtype, what, content, delta::text as delta_text from delta) d where delta::text = delta_text;
truncate copied;
copy delta to :'copy_file' with (format binary);
copy copied from :'copy_file' with (format binary);
select count(*) from copied natural join (select dtype, what, content, delta::text as delta_text from delta) d where delta::text = delta_text;

-- ---- what a delta says of itself ----

select version, predictor, coding, dtype, content_bytes, content_xxh3, prediction_xxh3, prediction_bytes, refs, piece, whole
from sdelta_info(sdelta_encode('\x0102030401020304', array['\x0102030401020304'::bytea], 'F32'));
select predictor, coding, dtype, content_bytes, prediction_xxh3, prediction_bytes, refs
from sdelta_info(sdelta_encode(''));
select sdelta_info(null) is null as strict;

-- A corrupt payload is no matter to it, and found when the delta is applied.
create table damaged as
select set_byte(bytes, length(bytes) - 10, get_byte(bytes, length(bytes) - 10) # 255) as bytes
from (select sdelta_send(sdelta_encode(noise(1000000, 1), '{}', 'BF16'))) d (bytes);
alter table damaged add delta sdelta;
update damaged set delta = delta_text(bytes)::sdelta;
select version, dtype, content_bytes from damaged, sdelta_info(delta);
select outcome('select sdelta_apply(array[]::bytea[], delta) from damaged');

-- It reads the header only: the pages of a value of a megabyte are left alone.
create function pages_of(statement text) returns bigint language plpgsql as
$$declare plan json;
begin
    execute 'explain (analyze, buffers, format json) ' || statement into plan;
    return (plan -> 0 -> 'Plan' ->> 'Shared Hit Blocks')::bigint
         + (plan -> 0 -> 'Plan' ->> 'Shared Read Blocks')::bigint;
end$$;
select pages_of('select sdelta_info(delta) from damaged') is not null as warm;
select pages_of('select sdelta_info(delta) from damaged') < 20 as info_reads_the_header,
       pages_of('select sdelta_content_bytes(delta) from damaged') < 20 as content_bytes_too,
       pages_of('select sdelta_bytes(delta) from damaged') < 5 as bytes_not_even_that,
       pages_of('select length(sdelta_send(delta)) from damaged') > 100 as send_reads_it_all;

-- ---- the user's mistakes ----

select outcome($$select sdelta_encode('\x00', '{}', 'BF17')$$);
select outcome($$select sdelta_encode('\x000102', '{}', 'BF16')$$);
select outcome($$select sdelta_encode('\x00', array[null::bytea])$$);
select outcome($$select sdelta_encode(convert_to(repeat('x', 16777217), 'UTF8'))$$);
select outcome($$select sdelta_encode(noise(100, 1), array_fill(noise(7, 1), array[17]))$$);
select sdelta_encode(null) is null as strict;

create table made as
select sdelta_encode(noise(3000, 1), array[nudge(noise(3000, 1), 50)], 'BF16') as delta,
       nudge(noise(3000, 1), 50) as prediction;
select outcome('select sdelta_apply(array[prediction], delta) from made');
select outcome('select sdelta_apply(array[nudge(prediction, 3000)], delta) from made');
select outcome('select sdelta_apply(array[substr(prediction, 1, 2998)], delta) from made');
select outcome('select sdelta_apply(array[]::bytea[], delta) from made');
select outcome('select sdelta_apply(array[null::bytea], delta) from made');
select outcome('select sdelta_apply(array[prediction || ''\x0102''], delta) from made');

-- ---- hostile bytes ----

select outcome($$select ''::sdelta$$);
select outcome($$select 'AQ=='::sdelta$$);
-- Of another version
select outcome($$select 'AA=='::sdelta$$);
select outcome($$select 'Aw=='::sdelta$$);
select outcome($$select 'not base64!'::sdelta$$);

create table victim as select sdelta_send(delta) as bytes, prediction from made;

-- Cut off anywhere, or one byte longer.
select outcome(format('select %L::sdelta', delta_text(substr(bytes, 1, n)))) as "cut off", count(*)
from victim, generate_series(0, length(bytes) - 1) n group by 1 order by 1;
select outcome(format('select %L::sdelta', delta_text(bytes || '\x00')) ) from victim;

-- Each byte changed: refused, or without effect (where the right content comes out all the same); never other content.
select count(*) = 3 * max(length(bytes)) as tried, bool_or(outcome = 'ok') as without_effect,
       bool_or(outcome like '%wrong bytes%') as wrong_bytes,
       bool_and(outcome = 'ok' or left(outcome, 5) in ('22P02', '22000', '22023', 'XX001')) as refused_properly
from victim, generate_series(0, length(bytes) - 1) n, unnest(array[1, 128, 255]) x,
     lateral (select outcome(format(
         'do $do$ begin if sdelta_apply(array[%L::bytea], %L) <> noise(3000, 1) then raise %L; end if; end $do$',
         prediction, delta_text(set_byte(bytes, n, get_byte(bytes, n) # x)), 'wrong bytes'))) o (outcome);

-- The binary input function is reached by copy: a bytea is sent as its bytes.
create table hostile (id int, bytes bytea);
create table target (id int, delta sdelta);
copy (select 1, ''::bytea) to :'copy_file' with (format binary);
copy target from :'copy_file' with (format binary);
copy (select 1, substr(bytes, 1, 50) from victim) to :'copy_file' with (format binary);
copy target from :'copy_file' with (format binary);
copy (select 1, set_byte(bytes, 0, 7) from victim) to :'copy_file' with (format binary);
copy target from :'copy_file' with (format binary);
copy (select 1, set_byte(bytes, 0, 0) from victim) to :'copy_file' with (format binary);
copy target from :'copy_file' with (format binary);
copy (select 1, bytes from victim) to :'copy_file' with (format binary);
copy target from :'copy_file' with (format binary);
select count(*) from target;

-- Content of the largest size, announced by a delta that has nothing of it.
select outcome(format('select %L::sdelta', delta_text(decode('01000100' || '00000000' || '0000001000000000' ||
    '0000000000000000' || '0000000000000000' || '00000000' || '00000000' || '0000000000000000', 'hex'))));
-- Lengths that wrap around when multiplied or added.
select n, outcome(format('select sdelta_apply(array[%L::bytea], %L::sdelta)', prediction,
           delta_text(overlay(bytes placing decode('ffffffffffffff' || n, 'hex') from at)))) as outcome
from victim, unnest(array['ff', '7f', '1f', '0f']) n, unnest(array[9, 57, 65]) at order by at, n;

-- ---- how it is declared ----

select typlen, typalign, typstorage, typbyval from pg_type where oid = 'sdelta'::regtype;
select p.oid::regprocedure, provolatile, proisstrict, proparallel, obj_description(p.oid, 'pg_proc') is not null as described
from pg_proc p where proname like 'sdelta%' order by 1::text;

-- ---- as bytea, which it is kept as ----

select bool_and(delta::bytea = sdelta_send(delta)) as the_same_bytes, bool_and(delta::bytea::sdelta::text = delta::text) as there_and_back,
       bool_and(sdelta_bytes(delta::bytea) = sdelta_bytes(delta)) as taken_as_it_is from delta;
select outcome(format('select %L::bytea::sdelta', b)) from (values (''::bytea), ('\x00'), ('\x03')) v (b);
select castsource::regtype, casttarget::regtype, castcontext from pg_cast where 'sdelta'::regtype in (castsource, casttarget) order by 1::text;
