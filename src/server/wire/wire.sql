/*
 * wire.sql: models over the wire, by chunks and deltas; docs/wire.md says how.
 *
 * Versions are named as in model.sql. Readers see one snapshot, that of the query that
 * calls them. Nothing is parallel safe, for all of it asks the policies of sparse.version.
 */

create function sparse_begin(
    name text,
    files jsonb,
    parents text[] default '{}',
    roles text[] default null,
    metadata jsonb default '{}',
    have text[] default '{}'
)
returns bigint
language c
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'wire_begin';
comment on function sparse_begin(text, jsonb, text[], text[], jsonb, text[]) is
'Opens a version to be uploaded, described by its files; returns its id, or that of the version of that name which has the same content, or of the open one that was begun so before.';

create function sparse_layout(version bigint, have text[] default '{}')
returns table (
    file text,
    tensor text,
    seq integer,
    file_offset bigint,
    bytes bigint,
    wanted boolean,
    refs bigint[]
)
language c
stable
parallel unsafe
rows 1000
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'wire_layout';
comment on function sparse_layout(bigint, text[]) is
'The chunks of a version that is being uploaded: which are wanted, and what each may be predicted from.';

create function sparse_layout(version text, have text[] default '{}')
returns table (
    file text,
    tensor text,
    seq integer,
    file_offset bigint,
    bytes bigint,
    wanted boolean,
    refs bigint[]
)
language c
stable
parallel unsafe
rows 1000
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'wire_layout';
comment on function sparse_layout(text, text[]) is
'The chunks of a version that is being uploaded: which are wanted, and what each may be predicted from.';

create function sparse_write(
    version bigint,
    tensor text,
    seq integer,
    content bytea,
    path text default null
)
returns void
language c
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'wire_write';
comment on function sparse_write(bigint, text, integer, bytea, text) is
'Writes a chunk of an open version, as its content.';

create function sparse_write(
    version text,
    tensor text,
    seq integer,
    content bytea,
    path text default null
)
returns void
language c
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'wire_write';
comment on function sparse_write(text, text, integer, bytea, text) is
'Writes a chunk of an open version, as its content.';

create function sparse_write_delta(
    version bigint,
    tensor text,
    seq integer,
    delta @extschema@.sdelta,
    path text default null
)
returns void
language c
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'wire_write_delta';
comment on function sparse_write_delta(bigint, text, integer, @extschema@.sdelta, text) is
'Writes a chunk of an open version, as a delta.';

create function sparse_write_delta(
    version text,
    tensor text,
    seq integer,
    delta @extschema@.sdelta,
    path text default null
)
returns void
language c
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'wire_write_delta';
comment on function sparse_write_delta(text, text, integer, @extschema@.sdelta, text) is
'Writes a chunk of an open version, as a delta.';

create function sparse_write_deltas(
    version bigint,
    tensor text,
    seq integer[],
    delta @extschema@.sdelta[],
    path text default null,
    have text[] default '{}',
    parents bigint[] default null,
    factors @extschema@.sdelta[] default '{}'
)
returns boolean
language c
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'wire_write_deltas';
comment on function sparse_write_deltas(bigint, text, integer[], @extschema@.sdelta[], text, text[], bigint[], @extschema@.sdelta[]) is
'Writes chunks of a tensor of an open version, as deltas whose references count the parents that are named: tensors of what the client has, of the version itself, and factors, which come along. False: those cannot be its parents, and nothing was written.';

create function sparse_write_deltas(
    version text,
    tensor text,
    seq integer[],
    delta @extschema@.sdelta[],
    path text default null,
    have text[] default '{}',
    parents bigint[] default null,
    factors @extschema@.sdelta[] default '{}'
)
returns boolean
language c
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'wire_write_deltas';
comment on function sparse_write_deltas(text, text, integer[], @extschema@.sdelta[], text, text[], bigint[], @extschema@.sdelta[]) is
'Writes chunks of a tensor of an open version, as deltas whose references count the parents that are named: tensors of what the client has, of the version itself, and factors, which come along. False: those cannot be its parents, and nothing was written.';

create function sparse_commit(version bigint)
returns bigint
language c
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'wire_commit';
comment on function sparse_commit(bigint) is
'Reads all of an open version back, checks every SHA-256 and makes it ready; returns its id, or that of the version of that name which got the same content meanwhile.';

create function sparse_commit(version text)
returns bigint
language c
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'wire_commit';
comment on function sparse_commit(text) is
'Reads all of an open version back, checks every SHA-256 and makes it ready; returns its id, or that of the version of that name which got the same content meanwhile.';

create function sparse_abort(version bigint)
returns void
language c
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'wire_abort';
comment on function sparse_abort(bigint) is
'Gives an open version up, with all that was written of it.';

create function sparse_abort(version text)
returns void
language c
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'wire_abort';
comment on function sparse_abort(text) is
'Gives an open version up, with all that was written of it.';

create function sparse_delta(
    version bigint,
    have text[] default '{}',
    path text default null,
    first_byte bigint default 0,
    length bigint default null
)
returns table (
    file text,
    tensor text,
    seq integer,
    file_offset bigint,
    bytes bigint,
    encoding text,
    refs bigint[],
    delta @extschema@.sdelta,
    content_xxh3 bigint
)
language c
stable
parallel unsafe
rows 1000
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'wire_delta';
comment on function sparse_delta(bigint, text[], text, bigint, bigint) is
'What a client needs to build a version, or a range of a file of it, when it holds what have names: a row for each chunk, in order. It streams as select sparse_delta(...).';

create function sparse_delta(
    version text,
    have text[] default '{}',
    path text default null,
    first_byte bigint default 0,
    length bigint default null
)
returns table (
    file text,
    tensor text,
    seq integer,
    file_offset bigint,
    bytes bigint,
    encoding text,
    refs bigint[],
    delta @extschema@.sdelta,
    content_xxh3 bigint
)
language c
stable
parallel unsafe
rows 1000
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'wire_delta';
comment on function sparse_delta(text, text[], text, bigint, bigint) is
'What a client needs to build a version, or a range of a file of it, when it holds what have names: a row for each chunk, in order. It streams as select sparse_delta(...).';

create function sparse_delta_factors(
    version bigint,
    have text[] default '{}',
    path text default null,
    first_byte bigint default 0,
    length bigint default null
)
returns table (
    file text,
    tensor text,
    seq integer,
    file_offset bigint,
    bytes bigint,
    encoding text,
    refs bigint[],
    delta @extschema@.sdelta,
    content_xxh3 bigint
)
language c
stable
parallel unsafe
rows 1000
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'wire_delta_factors';
comment on function sparse_delta_factors(bigint, text[], text, bigint, bigint) is
'As sparse_delta; what deltas need that the client lacks may come before them, in rows of encoding "factor", where that takes fewer bytes.';

create function sparse_delta_factors(
    version text,
    have text[] default '{}',
    path text default null,
    first_byte bigint default 0,
    length bigint default null
)
returns table (
    file text,
    tensor text,
    seq integer,
    file_offset bigint,
    bytes bigint,
    encoding text,
    refs bigint[],
    delta @extschema@.sdelta,
    content_xxh3 bigint
)
language c
stable
parallel unsafe
rows 1000
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'wire_delta_factors';
comment on function sparse_delta_factors(text, text[], text, bigint, bigint) is
'As sparse_delta; what deltas need that the client lacks may come before them, in rows of encoding "factor", where that takes fewer bytes.';

create function sparse_find_file(sha256 bytea)
returns table (
    version bigint,
    path text,
    bytes bigint
)
language c
stable
strict
parallel unsafe
rows 10
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'wire_find_file';
comment on function sparse_find_file(bytea) is
'The ready versions with a file of that SHA-256, newest first.';
