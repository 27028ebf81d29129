/*
 * approximate.sql: versions that are nearly others, on request.
 */

create function sparse_create_approximation()
returns void
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $function$
begin
    create table sparse.approximation (
        version bigint not null references sparse.version,
        file integer not null,
        ordinal integer not null,
        tensor text not null,
        method text not null check (method in ('exact', 'svd', 'int8', 'bit1')),
        rank integer check (rank > 0),
        max_abs double precision not null,
        relative_l2 double precision not null,
        max_ulp bigint not null,
        primary key (version, file, ordinal),
        foreign key (version, file, ordinal) references sparse.tensor on delete cascade
    );
    comment on table sparse.approximation is 'how far each tensor of an approximation is from the exact one, as measured when it was made';
    comment on column sparse.approximation.method is 'exact: this tensor was left as it is';
    comment on column sparse.approximation.rank is 'of an svd: of the product that was added';
    comment on column sparse.approximation.max_abs is 'the largest difference of an element';
    comment on column sparse.approximation.relative_l2 is 'the root of the sum of squared differences, divided by that of the squared elements';
    comment on column sparse.approximation.max_ulp is 'so many floats of the dtype lie between an element and the exact one, at most';

    alter table sparse.approximation enable row level security;
    create policy of_version on sparse.approximation for select
        using (exists (select from sparse.version v where v.id = version and v.state <> 'open'));
end
$function$;
comment on function sparse_create_approximation() is
'The part of sparse_create_store() that makes the table of approximations.';

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
