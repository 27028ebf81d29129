/*
 * compare.sql: what changed between two versions.
 */

create function sparse_compare(a bigint, b bigint)
returns table (
    tensor text,
    state text,
    a_file text,
    b_file text,
    a_dtype text,
    b_dtype text,
    a_shape bigint[],
    b_shape bigint[],
    elements bigint,
    changed bigint,
    largest_change double precision,
    largest_relative_change double precision,
    l2 double precision,
    cosine double precision,
    not_finite bigint
)
language c
stable
strict
parallel unsafe
rows 300
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'lineage_compare';
comment on function sparse_compare(bigint, bigint) is
'What changed from a version to another, tensor by tensor, from the stored data; neither is ever in memory as a whole.';

create function sparse_compare(a text, b text)
returns table (
    tensor text,
    state text,
    a_file text,
    b_file text,
    a_dtype text,
    b_dtype text,
    a_shape bigint[],
    b_shape bigint[],
    elements bigint,
    changed bigint,
    largest_change double precision,
    largest_relative_change double precision,
    l2 double precision,
    cosine double precision,
    not_finite bigint
)
language c
stable
strict
parallel unsafe
rows 300
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'lineage_compare';
comment on function sparse_compare(text, text) is
'What changed from a version to another, tensor by tensor, from the stored data; neither is ever in memory as a whole.';
