/*
 * estimate.sql: what a version would take against other parents, or a file before it is
 * stored, from a sample of it.
 *
 * Tensors that differ in the numbers of their names alone (layers, experts) are of one
 * kind, and kinds change by different amounts. Of each kind chunks are taken at even
 * distances, one at least, and coded by sdelta_encode() as the store would, against the
 * tensors of the same name and dtype that the parents have; what is equal to one
 * of them takes nothing. A model no larger than the sample is coded throughout. All is
 * read as the caller.
 */

create function sparse_estimate_header(path text)
returns bytea
language plpgsql
volatile
strict
parallel unsafe
set search_path = pg_catalog, pg_temp
as $function$
declare
    first8 constant bytea := pg_read_binary_file(path, 0, 8);
    length bigint := 0;
begin
    if octet_length(first8) = 8 and get_byte(first8, 7) + get_byte(first8, 6) + get_byte(first8, 5) + get_byte(first8, 4) = 0 then
        length := get_byte(first8, 0) + get_byte(first8, 1) * 256 + get_byte(first8, 2) * 65536 + get_byte(first8, 3)::bigint * 16777216;
    end if;
    if length < 2 or length > 100000000 then
        raise exception 'file "%" is not a safetensors file', path
            using errcode = 'data_exception';
    end if;
    return pg_read_binary_file(path, 0, length + 8);
end
$function$;
comment on function sparse_estimate_header(text) is
'The header of a safetensors file of the server.';

create function sparse_estimate_read(version bigint, path text, first bigint, length bigint)
returns bytea
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $function$
begin
    -- two statements: rights on a function are asked for when a statement begins
    if version is null then
        return pg_read_binary_file(path, first, length);
    end if;
    return @extschema@.sparse_read(version, path, first, length);
end
$function$;
comment on function sparse_estimate_read(bigint, text, bigint, bigint) is
'Bytes of a file of a version, or of the server where the version is null.';

create function sparse_estimate_models_of(versions bigint[])
returns bigint[]
language sql
stable
parallel unsafe
set search_path = pg_catalog, pg_temp
as $function$
    select array(select v.id from unnest(versions) u (id) join sparse.version v on v.id = u.id where v.kind = 'model')
$function$;
comment on function sparse_estimate_models_of(bigint[]) is
'What sparse_estimate_models() finds, as whoever calls it.';

create function sparse_estimate_models(versions bigint[])
returns bigint[]
language c
stable
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'call_as_reader';
comment on function sparse_estimate_models(bigint[]) is
'Those versions that are models.';

create function sparse_estimate_sample(version bigint, path text, parents bigint[], sample_bytes bigint)
returns table (raw_file_bytes bigint, sampled_bytes bigint, stored_bytes bigint, fraction_of_raw_files numeric)
language plpgsql
volatile
parallel unsafe
rows 1
set search_path = pg_catalog, pg_temp
as $function$
#variable_conflict use_column
declare
    child constant bigint := version;
    child_path constant text := path;
    unit constant bigint := 1048576;
    own_header bytea;
begin
    if sample_bytes is null or sample_bytes < 1 then
        raise exception 'a sample has 1 byte or more'
            using errcode = 'invalid_parameter_value';
    end if;
    if child is null then
        own_header := @extschema@.sparse_estimate_header(child_path);
    end if;
    return query
    with tensor as materialized (
        select t.file, t.name, t.dtype, t.first_byte, t.bytes, t.sha256
        from @extschema@.sparse_tensors(child) t
        union all
        select child_path, e.key, e.value ->> 'dtype', octet_length(own_header) + (e.value #>> '{data_offsets,0}')::bigint,
               (e.value #>> '{data_offsets,1}')::bigint - (e.value #>> '{data_offsets,0}')::bigint, null
        from json_each(convert_from(substr(own_header, 9), 'UTF8')::json) e
        where e.key <> '__metadata__'
    ),
    parent as materialized (
        select p.id, t.file, t.name, t.dtype, t.first_byte, t.bytes, t.sha256
        from unnest(@extschema@.sparse_estimate_models(parents)) p (id), @extschema@.sparse_tensors(p.id) t
    ),
    -- what a parent has takes nothing
    new as materialized (
        select t.*, regexp_replace(t.name, '[0-9]+', '#', 'g') as kind,
               -- up to where a parent reaches, if it is shorter: the chunks begin anew there
               coalesce((select max(least(p.bytes, t.bytes)) from parent p where p.name = t.name and p.dtype = t.dtype), t.bytes) as reach
        from tensor t
        where t.bytes > 0
          and not exists (select from parent p where p.sha256 = t.sha256 and p.bytes = t.bytes)
    ),
    piece as materialized (
        select s.kind, n.file, n.name, n.dtype, n.first_byte, s.first, s.length,
               row_number() over (partition by s.kind order by n.name, s.first) - 1 as number,
               count(*) over (partition by s.kind) as of_kind,
               sum(s.length) over (partition by s.kind) as kind_bytes,
               sum(s.length) over () as total
        from new n,
             lateral (select n.kind, f.first, least(unit, n.reach - f.first) as length from generate_series(0, n.reach - 1, unit) f (first)
                      union all
                      select n.kind || ' beyond', f.first, least(unit, n.bytes - f.first) from generate_series(n.reach, n.bytes - 1, unit) f (first)) s
    ),
    -- of each kind as many pieces as it has a share in the sample, at even distances
    chosen as materialized (
        select p.*, @extschema@.sparse_estimate_read(child, p.file, p.first_byte + p.first, p.length) as content
        from (select *, greatest(1, least(of_kind, ceil(of_kind * sample_bytes::numeric / greatest(total, 1))))::bigint as wanted from piece) p
        where (p.number + 1) * p.wanted / p.of_kind > p.number * p.wanted / p.of_kind
    ),
    coded as (
        select c.kind, c.kind_bytes, c.length,
               case when c.content = any (r.predictions) then 0
                    else @extschema@.sdelta_bytes(@extschema@.sdelta_encode(c.content, r.predictions, c.dtype)) end as stored
        from chosen c,
             lateral (select coalesce(array_agg(@extschema@.sparse_read(p.id, p.file, p.first_byte + c.first, c.length)), '{}') as predictions
                      from parent p
                      where p.name = c.name and p.dtype = c.dtype and p.bytes >= c.first + c.length) r
    ),
    kinds as (
        select sum(c.length) as sampled, sum(c.stored)::numeric / sum(c.length) * c.kind_bytes as estimated
        from coded c
        group by c.kind, c.kind_bytes
    ),
    -- headers, and files that are none, as they are stored or in full
    rest as (
        select coalesce(sum(f.bytes), 0) - coalesce((select sum(t.bytes) from tensor t), 0) as bytes, sum(f.bytes) as raw
        from (select f.bytes from @extschema@.sparse_files(child) f
              union all
              select octet_length(own_header) + coalesce(sum(t.bytes), 0) from tensor t where child is null having child is null) f
    )
    select r.raw::bigint,
           (coalesce(k.sampled, 0))::bigint,
           (coalesce(k.estimated, 0) + h.bytes)::bigint,
           round((coalesce(k.estimated, 0) + h.bytes) / nullif(r.raw, 0), 4)
    from rest r,
         (select sum(sampled) as sampled, sum(estimated) as estimated from kinds) k,
         lateral (select case when r.bytes <= 0 then 0
                              when own_header is not null then @extschema@.sdelta_bytes(@extschema@.sdelta_encode(
                                  own_header, array(select @extschema@.sparse_read(p.id, p.file, 0, min(p.first_byte)) from parent p group by p.id, p.file limit 1)))
                              else @extschema@.sdelta_bytes(@extschema@.sdelta_encode(
                                  @extschema@.sparse_read(child, t.file, 0, t.first_length),
                                  array(select @extschema@.sparse_read(p.id, p.file, 0, min(p.first_byte)) from parent p group by p.id, p.file limit 1)))
                                   + r.bytes - t.first_length
                         end as bytes
                  from (select min(t.file) as file, min(t.first_byte) as first_length from tensor t) t) h;
end
$function$;
comment on function sparse_estimate_sample(bigint, text, bigint[], bigint) is
'What sparse_estimate() and sparse_estimate_file() find, of a version or of a file.';

create function sparse_estimate_file(path text, parents text[] default '{}', sample_bytes bigint default 16777216)
returns table (raw_file_bytes bigint, sampled_bytes bigint, stored_bytes bigint, fraction_of_raw_files numeric)
language sql
volatile
parallel unsafe
rows 1
set search_path = pg_catalog, pg_temp
as $function$
    select * from @extschema@.sparse_estimate_sample(null, path,
        array(select @extschema@.sparse_resolve(p) from unnest(parents) p), sample_bytes)
$function$;
comment on function sparse_estimate_file(text, text[], bigint) is
'What a safetensors file of the server would take if it were imported with these parents, from a sample. Needs execute on pg_read_binary_file(text, bigint, bigint).';

create function sparse_estimate(version text, parent text, sample_bytes bigint default 16777216)
returns table (raw_file_bytes bigint, sampled_bytes bigint, stored_bytes bigint, fraction_of_raw_files numeric)
language sql
volatile
parallel unsafe
rows 1
set search_path = pg_catalog, pg_temp
as $function$
    select * from @extschema@.sparse_estimate_sample(@extschema@.sparse_resolve(version), null,
        case when parent is null then '{}' else array[@extschema@.sparse_resolve(parent)] end, sample_bytes)
$function$;
comment on function sparse_estimate(text, text, bigint) is
'What a version would take if it were stored with this parent (null: none), and nothing else were there, from a sample.';

create function sparse_try_import_bytes_of(version bigint, out raw_bytes bigint, out stored_bytes bigint)
language sql
volatile
strict
parallel unsafe
set search_path = pg_catalog, pg_temp
as $function$
    select v.raw_bytes, v.stored_bytes from sparse.version v where v.id = $1
$function$;
comment on function sparse_try_import_bytes_of(bigint) is
'What sparse_try_import_bytes() finds, as whoever calls it.';

create function sparse_try_import_bytes(version bigint, out raw_bytes bigint, out stored_bytes bigint)
language c
volatile
strict
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'call_as_reader';
comment on function sparse_try_import_bytes(bigint) is
'What the version that sparse_try_import() takes back came to.';

create function sparse_try_import(path text, parents text[] default '{}')
returns table (raw_file_bytes bigint, stored_bytes bigint, fraction_of_raw_files numeric)
language plpgsql
volatile
parallel unsafe
rows 1
set search_path = pg_catalog, pg_temp
as $function$
declare
    tried bigint;
begin
    begin
        tried := @extschema@.sparse_import_file('sparse_try_import/' || gen_random_uuid(), path, parents);
        select b.raw_bytes, b.stored_bytes into raw_file_bytes, stored_bytes
        from @extschema@.sparse_try_import_bytes(tried) b;
        raise exception 'taken back' using errcode = 'ZS001';
    exception when sqlstate 'ZS001' then
        null;
    end;
    fraction_of_raw_files := round(stored_bytes::numeric / nullif(raw_file_bytes, 0), 4);
    return next;
end
$function$;
comment on function sparse_try_import(text, text[]) is
'What sparse_import_file() would add to the store, to the byte: imports the file, and takes it back. Takes as long, and the rights, of an import.';
