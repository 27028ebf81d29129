/*
 * find.sql: which versions a version or a file would best be stored against.
 */

create function sparse_find_parent(child bigint, count integer default 10)
returns table (
    version bigint,
    name text,
    revision integer,
    estimated_bytes bigint,
    matched_tensors integer
)
language c
stable
strict
parallel unsafe
rows 10
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'model_find_parent';
comment on function sparse_find_parent(bigint, integer) is
'The versions that this one would best be stored against, among those that the caller can see, best first: by their sketches, without reading their tensors.';

create function sparse_find_parent(child text, count integer default 10)
returns table (
    version bigint,
    name text,
    revision integer,
    estimated_bytes bigint,
    matched_tensors integer
)
language c
stable
strict
parallel unsafe
rows 10
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'model_find_parent';
comment on function sparse_find_parent(text, integer) is
'The versions that this one would best be stored against, among those that the caller can see, best first: by their sketches, without reading their tensors.';

create function sparse_find_parent_file(path text, count integer default 10)
returns table (
    version bigint,
    name text,
    revision integer,
    estimated_bytes bigint,
    matched_tensors integer
)
language c
stable
strict
parallel unsafe
rows 10
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'model_find_parent_file';
comment on function sparse_find_parent_file(text, integer) is
'The versions that a file, shards or a folder of the server would best be stored against, among those that the caller can see, best first. Needs the rights of pg_read_server_files.';

create function sparse_sketch(version bigint)
returns boolean
language c
volatile
strict
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'model_sketch';
comment on function sparse_sketch(bigint) is
'Makes the sketch of a version by which sparse_find_parent() finds it, where it is missing; false where it is not.';

create function sparse_sketch(version text)
returns boolean
language c
volatile
strict
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'model_sketch';
comment on function sparse_sketch(text) is
'Makes the sketch of a version by which sparse_find_parent() finds it, where it is missing; false where it is not.';
