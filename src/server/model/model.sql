/*
 * model.sql: models in the store: import, reconstruction, parts of them.
 *
 * A version is named by a bigint (its id) or by text (an id in digits, 'org/name',
 * 'org/name@3'): two declarations over one C function, which asks what it was given.
 * Readers see one snapshot, that of the query that calls them. They are parallel
 * unsafe, for they ask the policies of sparse.version, which may call anything; a
 * policy that writes would be refused even in the leader of a parallel query.
 */

create function sparse_import_file(
    name text,
    path text,
    parents text[] default '{}',
    roles text[] default null,
    metadata jsonb default '{}',
    find_parents boolean default null
)
returns bigint
language c
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'model_import_file';
comment on function sparse_import_file(text, text, text[], text[], jsonb, boolean) is
'Imports a safetensors or GGUF file, the shards of an .index.json, or a folder of the server as a version of a model; returns its id, or that of the version of that name which has the same content. Which parents are taken that nobody named, sparse.find_parents says; find_parents => false: none, true: what its sketch finds, too. Needs the rights of pg_read_server_files.';

create function sparse_import_bytes(
    name text,
    data bytea,
    parents text[] default '{}',
    roles text[] default null,
    metadata jsonb default '{}',
    find_parents boolean default null
)
returns bigint
language c
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'model_import_bytes';
comment on function sparse_import_bytes(text, bytea, text[], text[], jsonb, boolean) is
'Imports the content of a safetensors, GGUF or PyTorch file as a version of a model, under the path model.safetensors, model.gguf or pytorch_model.bin; returns its id, or that of the version of that name which has the same content.';

create function sparse_reconstruct(version bigint)
returns setof bytea
language c
stable
strict
parallel unsafe
rows 1000
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'model_reconstruct';
comment on function sparse_reconstruct(bigint) is
'The file of a version that has one, in order, in pieces of about 1 MiB; joined they are the file, byte for byte. It streams as select sparse_reconstruct(...).';

create function sparse_reconstruct(version text)
returns setof bytea
language c
stable
strict
parallel unsafe
rows 1000
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'model_reconstruct';
comment on function sparse_reconstruct(text) is
'The file of a version that has one, in order, in pieces of about 1 MiB; joined they are the file, byte for byte. It streams as select sparse_reconstruct(...).';

create function sparse_reconstruct_file(version bigint, path text)
returns setof bytea
language c
stable
strict
parallel unsafe
rows 1000
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'model_reconstruct_file';
comment on function sparse_reconstruct_file(bigint, text) is
'A file of a version, in order, in pieces of about 1 MiB; joined they are the file, byte for byte.';

create function sparse_reconstruct_file(version text, path text)
returns setof bytea
language c
stable
strict
parallel unsafe
rows 1000
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'model_reconstruct_file';
comment on function sparse_reconstruct_file(text, text) is
'A file of a version, in order, in pieces of about 1 MiB; joined they are the file, byte for byte.';

create function sparse_files(version bigint)
returns table (
    ordinal integer,
    path text,
    format text,
    bytes bigint,
    sha256 bytea,
    tensors integer
)
language c
stable
strict
parallel unsafe
rows 10
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'model_files';
comment on function sparse_files(bigint) is
'The files of a version, in order of path.';

create function sparse_files(version text)
returns table (
    ordinal integer,
    path text,
    format text,
    bytes bigint,
    sha256 bytea,
    tensors integer
)
language c
stable
strict
parallel unsafe
rows 10
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'model_files';
comment on function sparse_files(text) is
'The files of a version, in order of path.';

create function sparse_tensors(version bigint)
returns table (
    file text,
    name text,
    dtype text,
    shape bigint[],
    first_byte bigint,
    bytes bigint,
    sha256 bytea,
    predictor text,
    depth integer,
    chunks integer,
    stored_bytes bigint
)
language c
stable
strict
parallel unsafe
rows 300
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'model_tensors';
comment on function sparse_tensors(bigint) is
'The tensors of a version, in the order of their bytes, and how the content of each is stored; first_byte counts from the start of the file.';

create function sparse_tensors(version text)
returns table (
    file text,
    name text,
    dtype text,
    shape bigint[],
    first_byte bigint,
    bytes bigint,
    sha256 bytea,
    predictor text,
    depth integer,
    chunks integer,
    stored_bytes bigint
)
language c
stable
strict
parallel unsafe
rows 300
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'model_tensors';
comment on function sparse_tensors(text) is
'The tensors of a version, in the order of their bytes, and how the content of each is stored; first_byte counts from the start of the file.';

create function sparse_tensor(version bigint, tensor text)
returns bytea
language c
stable
strict
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'model_tensor';
comment on function sparse_tensor(bigint, text) is
'The bytes of a tensor.';

create function sparse_tensor(version text, tensor text)
returns bytea
language c
stable
strict
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'model_tensor';
comment on function sparse_tensor(text, text) is
'The bytes of a tensor.';

create function sparse_slice(version bigint, tensor text, first_row bigint, rows bigint)
returns bytea
language c
stable
strict
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'model_slice';
comment on function sparse_slice(bigint, text, bigint, bigint) is
'The bytes of some rows of a tensor, counted from 0 along its first dimension. Reads only the chunks that hold them.';

create function sparse_slice(version text, tensor text, first_row bigint, rows bigint)
returns bytea
language c
stable
strict
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'model_slice';
comment on function sparse_slice(text, text, bigint, bigint) is
'The bytes of some rows of a tensor, counted from 0 along its first dimension. Reads only the chunks that hold them.';

create function sparse_read(version bigint, path text, byte_offset bigint, length bigint)
returns bytea
language c
stable
strict
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'model_read';
comment on function sparse_read(bigint, text, bigint, bigint) is
'A range of the bytes of a file, cut off at the end of the file. Reads only the chunks that hold it.';

create function sparse_read(version text, path text, byte_offset bigint, length bigint)
returns bytea
language c
stable
strict
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'model_read';
comment on function sparse_read(text, text, bigint, bigint) is
'A range of the bytes of a file, cut off at the end of the file. Reads only the chunks that hold it.';

create function sparse_export(version bigint, path text)
returns bigint
language c
volatile
strict
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'model_export';
comment on function sparse_export(bigint, text) is
'Writes a version to the server: one file to that path, several into that directory, which must be empty or not exist. Returns the bytes written. Needs the rights of pg_write_server_files.';

create function sparse_export(version text, path text)
returns bigint
language c
volatile
strict
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'model_export';
comment on function sparse_export(text, text) is
'Writes a version to the server: one file to that path, several into that directory, which must be empty or not exist. Returns the bytes written. Needs the rights of pg_write_server_files.';

create function sparse_verify(version bigint)
returns table (
    file text,
    tensor text,
    chunk integer,
    problem text
)
language c
stable
strict
parallel unsafe
rows 10
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'model_verify';
comment on function sparse_verify(bigint) is
'Reads all of a version and gives a row per problem found; no rows: every file has the SHA-256 that it was stored with.';

create function sparse_verify(version text)
returns table (
    file text,
    tensor text,
    chunk integer,
    problem text
)
language c
stable
strict
parallel unsafe
rows 10
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'model_verify';
comment on function sparse_verify(text) is
'Reads all of a version and gives a row per problem found; no rows: every file has the SHA-256 that it was stored with.';
