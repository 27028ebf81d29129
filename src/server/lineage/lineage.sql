/*
 * lineage.sql: where versions come from, and what was made of them.
 *
 * Read as the caller: he needs select on sparse.version and sparse.parent, and sees
 * those edges whose two versions his policies show him; what lies behind a hidden
 * version is hidden. Dropped versions are tombstones that lineage crosses.
 */

create function sparse_version_id(version bigint)
returns bigint
language c
stable
strict
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'lineage_version_id';
comment on function sparse_version_id(bigint) is
'The id of a version, dropped ones included; an error when there is none that the caller can see.';

create function sparse_version_id(version text)
returns bigint
language c
stable
strict
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'lineage_version_id';
comment on function sparse_version_id(text) is
'The id of a version, dropped ones included; an error when there is none that the caller can see.';

create function sparse_lineage(version bigint)
returns table (
    distance integer,
    version bigint,
    name text,
    revision integer,
    state text,
    role text,
    child bigint,
    created_at timestamptz,
    exact boolean
)
language c
stable
strict
parallel unsafe
rows 100
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'lineage_ancestors';
comment on function sparse_lineage(bigint) is
'The ancestors of a version: a row per edge, from child to version, nearest first.';

create function sparse_lineage(version text)
returns table (
    distance integer,
    version bigint,
    name text,
    revision integer,
    state text,
    role text,
    child bigint,
    created_at timestamptz,
    exact boolean
)
language c
stable
strict
parallel unsafe
rows 100
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'lineage_ancestors';
comment on function sparse_lineage(text) is
'The ancestors of a version: a row per edge, from child to version, nearest first.';

create function sparse_descendants(version bigint)
returns table (
    distance integer,
    version bigint,
    name text,
    revision integer,
    state text,
    role text,
    parent bigint,
    created_at timestamptz,
    exact boolean
)
language c
stable
strict
parallel unsafe
rows 100
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'lineage_descendants';
comment on function sparse_descendants(bigint) is
'The descendants of a version: a row per edge, from version to parent, nearest first.';

create function sparse_descendants(version text)
returns table (
    distance integer,
    version bigint,
    name text,
    revision integer,
    state text,
    role text,
    parent bigint,
    created_at timestamptz,
    exact boolean
)
language c
stable
strict
parallel unsafe
rows 100
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'lineage_descendants';
comment on function sparse_descendants(text) is
'The descendants of a version: a row per edge, from version to parent, nearest first.';
