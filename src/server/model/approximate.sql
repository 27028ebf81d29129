/*
 * approximate.sql: versions that are nearly others, on request.
 */

create function sparse_approximate(
    version bigint,
    method text,
    rank integer default null,
    max_error double precision default null,
    name text default null
)
returns bigint
language c
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'model_approximate';
comment on function sparse_approximate(bigint, text, integer, double precision, text) is
'Stores an approximation of a model as a version of its own (exact = false), by svd, int8 or bit1; refused where a tensor would be off by more than max_error (relative L2). What each is off by: sparse.approximation.';

create function sparse_approximate(
    version text,
    method text,
    rank integer default null,
    max_error double precision default null,
    name text default null
)
returns bigint
language c
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'model_approximate';
comment on function sparse_approximate(text, text, integer, double precision, text) is
'Stores an approximation of a model as a version of its own (exact = false), by svd, int8 or bit1; refused where a tensor would be off by more than max_error (relative L2). What each is off by: sparse.approximation.';
