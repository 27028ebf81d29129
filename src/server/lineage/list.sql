/*
 * list.sql: pages through versions. Read as the caller, who needs select on
 * sparse.version and sparse.tag.
 */

create function sparse_versions(
    filter jsonb default '{}',
    after bigint default null,
    count integer default 100
)
returns table (
    id bigint,
    kind text,
    name text,
    revision integer,
    family bigint,
    state text,
    exact boolean,
    created_at timestamptz,
    created_by text,
    tags text[],
    files integer,
    tensors integer,
    raw_bytes bigint,
    stored_bytes bigint,
    message text,
    metadata jsonb
)
language c
stable
parallel unsafe
rows 100
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'lineage_versions';
comment on function sparse_versions(jsonb, bigint, integer) is
'A page of the versions that a filter describes, newest first, those with ids below the one given.';
