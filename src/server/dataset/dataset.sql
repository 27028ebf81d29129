/*
 * dataset.sql: datasets in the store: committing rows, reading them, comparing them.
 *
 * What runs a query, or makes a table, of the caller's sees the caller's search path;
 * the C below closes it for everything else that it does.
 */

create function sparse_commit_rows(
    name text,
    query text,
    parent text default null,
    key text[] default null,
    metadata jsonb default '{}'
)
returns bigint
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'dataset_commit_rows';
comment on function sparse_commit_rows(text, text, text, text[], jsonb) is
'Stores the rows of a query, in its order, with its columns and their types, as a version of a dataset; returns its id, or that of the version of that name which has the same content. The query runs as the caller in a read-only transaction.';

create function sparse_commit_splits(
    name text,
    queries jsonb,
    parent text default null,
    key text[] default null,
    metadata jsonb default '{}'
)
returns bigint
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'dataset_commit_splits';
comment on function sparse_commit_splits(text, jsonb, text, text[], jsonb) is
'Stores several splits as one version of a dataset: queries is {"train": "select ...", "test": "select ..."}.';

create function sparse_rows_as(
    rowtype anyelement,
    version bigint,
    split text default null,
    first bigint default 0,
    rows bigint default null
)
returns setof anyelement
language c
stable
parallel unsafe
rows 1000
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'dataset_rows_as';
comment on function sparse_rows_as(anyelement, bigint, text, bigint, bigint) is
'The rows of a version of a dataset, in their order, exactly, as rows of the type of the first argument (null::my_table), whose columns are found by name; others are not read. It streams as select sparse_rows_as(...).';

create function sparse_rows(
    version bigint,
    split text default null,
    columns text[] default null,
    first bigint default 0,
    rows bigint default null,
    form text default 'value'
)
returns setof jsonb
language c
stable
parallel unsafe
rows 1000
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'dataset_rows';
comment on function sparse_rows(bigint, text, text[], bigint, bigint, text) is
'The rows of a version of a dataset, in their order, as jsonb: a view of them, for reading. form: value, text (also where a type is gone or was changed, by what it was made of) or raw (the bytes that are stored, in hexadecimal digits).';

create function sparse_row(
    version bigint,
    variadic key text[]
)
returns jsonb
language c
stable
strict
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'dataset_row';
comment on function sparse_row(bigint, variadic text[]) is
'The row of a version of a dataset that has this key, as jsonb; null where there is none.';

create function sparse_checkout(
    version bigint,
    target_table text,
    split text default null
)
returns bigint
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'dataset_checkout';
comment on function sparse_checkout(bigint, text, text) is
'Makes a table with the columns of a version of a dataset and its rows, in their order; returns their number.';

create function sparse_splits(
    version bigint
)
returns table (
    split text,
    rows bigint,
    columns integer,
    key text[],
    bytes bigint
)
language c
stable
strict
parallel unsafe
rows 3
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'dataset_splits';
comment on function sparse_splits(bigint) is
'The splits of a version of a dataset; bytes are those of the values.';

create function sparse_columns(
    version bigint
)
returns table (
    split text,
    ordinal integer,
    name text,
    type text,
    bytes bigint,
    sha256 bytea,
    chunks integer,
    stored_bytes bigint
)
language c
stable
strict
parallel unsafe
rows 20
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'dataset_columns';
comment on function sparse_columns(bigint) is
'The columns of a version of a dataset; stored_bytes are those of its chunks, shared ones included, without what they are predicted from.';

create function sparse_rows_as(
    rowtype anyelement,
    version text,
    split text default null,
    first bigint default 0,
    rows bigint default null
)
returns setof anyelement
language c
stable
parallel unsafe
rows 1000
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'dataset_rows_as';
comment on function sparse_rows_as(anyelement, text, text, bigint, bigint) is
'The rows of a version of a dataset, in their order, exactly, as rows of the type of the first argument (null::my_table), whose columns are found by name; others are not read. It streams as select sparse_rows_as(...).';

create function sparse_rows(
    version text,
    split text default null,
    columns text[] default null,
    first bigint default 0,
    rows bigint default null,
    form text default 'value'
)
returns setof jsonb
language c
stable
parallel unsafe
rows 1000
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'dataset_rows';
comment on function sparse_rows(text, text, text[], bigint, bigint, text) is
'The rows of a version of a dataset, in their order, as jsonb: a view of them, for reading. form: value, text (also where a type is gone or was changed, by what it was made of) or raw (the bytes that are stored, in hexadecimal digits).';

create function sparse_row(
    version text,
    variadic key text[]
)
returns jsonb
language c
stable
strict
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'dataset_row';
comment on function sparse_row(text, variadic text[]) is
'The row of a version of a dataset that has this key, as jsonb; null where there is none.';

create function sparse_checkout(
    version text,
    target_table text,
    split text default null
)
returns bigint
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'dataset_checkout';
comment on function sparse_checkout(text, text, text) is
'Makes a table with the columns of a version of a dataset and its rows, in their order; returns their number.';

create function sparse_splits(
    version text
)
returns table (
    split text,
    rows bigint,
    columns integer,
    key text[],
    bytes bigint
)
language c
stable
strict
parallel unsafe
rows 3
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'dataset_splits';
comment on function sparse_splits(text) is
'The splits of a version of a dataset; bytes are those of the values.';

create function sparse_columns(
    version text
)
returns table (
    split text,
    ordinal integer,
    name text,
    type text,
    bytes bigint,
    sha256 bytea,
    chunks integer,
    stored_bytes bigint
)
language c
stable
strict
parallel unsafe
rows 20
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'dataset_columns';
comment on function sparse_columns(text) is
'The columns of a version of a dataset; stored_bytes are those of its chunks, shared ones included, without what they are predicted from.';

create function sparse_row_diff(
    a bigint,
    b bigint,
    split text default null,
    by text[] default null
)
returns table (
    op text,
    key jsonb,
    old jsonb,
    new jsonb
)
language c
stable
parallel unsafe
rows 1000
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'dataset_diff';
comment on function sparse_row_diff(bigint, bigint, text, text[]) is
'The rows that two versions of a dataset have not in common: added, removed or changed, by the key that both were committed with, or the one given; without any, whole rows as a multiset. Chunks that both share are not read.';

create function sparse_row_diff(
    a text,
    b text,
    split text default null,
    by text[] default null
)
returns table (
    op text,
    key jsonb,
    old jsonb,
    new jsonb
)
language c
stable
parallel unsafe
rows 1000
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'dataset_diff';
comment on function sparse_row_diff(text, text, text, text[]) is
'The rows that two versions of a dataset have not in common: added, removed or changed, by the key that both were committed with, or the one given; without any, whole rows as a multiset. Chunks that both share are not read.';

create function sparse_merge_rows(
    name text,
    ours text,
    theirs text,
    on_conflict text default 'fail',
    base text default null,
    metadata jsonb default '{}'
)
returns bigint
language c
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'dataset_merge';
comment on function sparse_merge_rows(text, text, text, text, text, jsonb) is
'Stores what two versions of a dataset have become since their base (their newest common ancestor) as one version: three-way, by key. Rows changed in both are an error, or taken from ours or theirs.';

create function sparse_merge_conflicts(
    ours text,
    theirs text,
    base text default null,
    out split text,
    out key jsonb,
    out base_row jsonb,
    out our_row jsonb,
    out their_row jsonb
)
returns setof record
language c
stable
parallel unsafe
rows 100
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'dataset_merge_conflicts';
comment on function sparse_merge_conflicts(text, text, text) is
'The rows that two versions of a dataset have both changed since their base, and not to the same; null: not there.';

create function sparse_estimate_rows(
    query text,
    parent text default null,
    out rows bigint,
    out raw_bytes bigint,
    out new_objects integer,
    out new_bytes bigint,
    out stored_bytes bigint
)
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'dataset_estimate';
comment on function sparse_estimate_rows(text, text) is
'What sparse_commit_rows would store of a query: it does it, and takes it back.';

create function sparse_verify_rows(version bigint)
returns table (
    split text,
    column_name text,
    problem text
)
language c
stable
strict
parallel unsafe
rows 10
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'dataset_verify';
comment on function sparse_verify_rows(bigint) is
'Reads all of a version of a dataset and gives a row per problem, of the version, a split or a column; no rows: it is what was stored, and can be read.';

create function sparse_verify_rows(version text)
returns table (
    split text,
    column_name text,
    problem text
)
language c
stable
strict
parallel unsafe
rows 10
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'dataset_verify';
comment on function sparse_verify_rows(text) is
'Reads all of a version of a dataset and gives a row per problem, of the version, a split or a column; no rows: it is what was stored, and can be read.';

create function sparse_release_types()
returns setof text
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $function$
declare
    guard record;
begin
    lock table sparse.column in share update exclusive mode;
    for guard in
        select p.oid::regprocedure as name, obj_description(p.oid, 'pg_proc') as type
        from pg_proc p
        where p.pronamespace = 'sparse'::regnamespace
        and p.pronargs = 1
        and p.proname ~ '^column_type_[0-9a-f]{32}$'
        and p.proowner = (select relowner from pg_class where oid = 'sparse.column'::regclass)
    loop
        if not exists (select from sparse.column c where c.type = guard.type) then
            execute format('drop function %s', guard.name);
            return next guard.type;
        end if;
    end loop;
end
$function$;
comment on function sparse_release_types() is
'Lets types be dropped again that no version of a dataset has any more, after sparse_collect(); their names. For the store''s owner.';
