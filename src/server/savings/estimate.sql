/*
 * estimate.sql: what a version would take against other parents, or a file before it is
 * stored, from a sample of it (model/estimate.c), or by an import that is taken back.
 */

create function sparse_estimate_sample(version bigint, path text, parents bigint[], sample_bytes bigint)
returns table (raw_file_bytes bigint, sampled_bytes bigint, stored_bytes bigint, fraction_of_raw_files numeric)
language c
volatile
parallel unsafe
rows 1
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'model_estimate_sample';
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
    select * from @extschema@.sparse_estimate_sample(null::bigint, path,
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
    select * from @extschema@.sparse_estimate_sample(@extschema@.sparse_resolve(version), null::text,
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
        tried := @extschema@.sparse_import_file('sparse_try_import/' || gen_random_uuid(), path, parents,
            null::text[], '{}'::jsonb, null::boolean);
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
