/*
 * kin.sql: how versions are related. Read as the caller, like lineage.sql.
 */

create function sparse_family(version bigint)
returns table (
    version bigint,
    name text,
    revision integer,
    kind text,
    state text,
    created_at timestamptz,
    raw_bytes bigint,
    stored_bytes bigint,
    exact boolean
)
language c
stable
strict
parallel unsafe
rows 1000
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'lineage_family';
comment on function sparse_family(bigint) is
'The members of a version''s family that the caller can see, itself included, by id.';

create function sparse_family(version text)
returns table (
    version bigint,
    name text,
    revision integer,
    kind text,
    state text,
    created_at timestamptz,
    raw_bytes bigint,
    stored_bytes bigint,
    exact boolean
)
language c
stable
strict
parallel unsafe
rows 1000
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'lineage_family';
comment on function sparse_family(text) is
'The members of a version''s family that the caller can see, itself included, by id.';

create function sparse_common_ancestor(a bigint, b bigint)
returns table (
    version bigint,
    name text,
    revision integer,
    state text,
    distance_a integer,
    distance_b integer,
    exact boolean
)
language c
stable
strict
parallel unsafe
rows 1
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'lineage_common_ancestor';
comment on function sparse_common_ancestor(bigint, bigint) is
'The nearest common ancestors of two versions: those from which no other common ancestor was made. A version counts as its own ancestor. No row: they are not related.';

create function sparse_common_ancestor(a text, b text)
returns table (
    version bigint,
    name text,
    revision integer,
    state text,
    distance_a integer,
    distance_b integer,
    exact boolean
)
language c
stable
strict
parallel unsafe
rows 1
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'lineage_common_ancestor';
comment on function sparse_common_ancestor(text, text) is
'The nearest common ancestors of two versions: those from which no other common ancestor was made. A version counts as its own ancestor. No row: they are not related.';

create function sparse_path(a bigint, b bigint)
returns table (
    step integer,
    version bigint,
    name text,
    revision integer,
    state text,
    direction text,
    role text,
    exact boolean
)
language c
stable
strict
parallel unsafe
rows 10
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'lineage_path';
comment on function sparse_path(bigint, bigint) is
'The shortest way from one version up to a common ancestor and down to another; role is that of the edge by which a step is reached. No row: they are not related.';

create function sparse_path(a text, b text)
returns table (
    step integer,
    version bigint,
    name text,
    revision integer,
    state text,
    direction text,
    role text,
    exact boolean
)
language c
stable
strict
parallel unsafe
rows 10
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'lineage_path';
comment on function sparse_path(text, text) is
'The shortest way from one version up to a common ancestor and down to another; role is that of the edge by which a step is reached. No row: they are not related.';
