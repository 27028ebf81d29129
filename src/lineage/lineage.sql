/*
 * lineage.sql: where versions come from, and what was made of them.
 *
 * All of it is SQL that runs as the caller: he needs select on sparse.version and
 * sparse.parent, and sees those edges whose two versions his policies show him;
 * what lies behind a hidden version is hidden. Dropped versions are tombstones
 * that lineage crosses.
 */

create function sparse_version_id(version bigint)
returns bigint
language c
stable
strict
parallel safe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'lineage_version_id';
comment on function sparse_version_id(bigint) is
'The id of a version, dropped ones included; an error when there is none that the caller can see.';

create function sparse_version_id(version text)
returns bigint
language c
stable
strict
parallel safe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'lineage_version_id';
comment on function sparse_version_id(text) is
'The id of a version, dropped ones included; an error when there is none that the caller can see.';

create function sparse_lineage(of_version bigint)
returns table (
    distance integer,
    version bigint,
    name text,
    revision integer,
    state text,
    role text,
    child bigint,
    created_at timestamptz
)
language plpgsql
stable
strict
parallel safe
rows 100
set search_path = pg_catalog, pg_temp
as $function$
#variable_conflict use_column
declare
    start constant bigint := @extschema@.sparse_version_id($1);
begin
    return query
    with recursive reached (id, distance) as (
        select start, 0
        union
        select e.parent, r.distance + 1
        from reached r
        join sparse.parent e on e.child = r.id
    ),
    nearest as (
        select r.id, min(r.distance) as distance
        from reached r
        group by r.id
    )
    select n.distance + 1, v.id, v.name, v.revision, v.state, e.role, e.child, v.created_at
    from nearest n
    join sparse.parent e on e.child = n.id
    join sparse.version v on v.id = e.parent
    order by n.distance + 1, v.id, e.child, e.ordinal;
end
$function$;
comment on function sparse_lineage(bigint) is
'The ancestors of a version: a row per edge, from child to version, nearest first.';

create function sparse_lineage(of_version text)
returns table (
    distance integer,
    version bigint,
    name text,
    revision integer,
    state text,
    role text,
    child bigint,
    created_at timestamptz
)
language sql
stable
strict
parallel safe
rows 100
set search_path = pg_catalog, pg_temp
as $function$
    select * from @extschema@.sparse_lineage(@extschema@.sparse_version_id($1));
$function$;
comment on function sparse_lineage(text) is
'The ancestors of a version: a row per edge, from child to version, nearest first.';

create function sparse_descendants(of_version bigint)
returns table (
    distance integer,
    version bigint,
    name text,
    revision integer,
    state text,
    role text,
    parent bigint,
    created_at timestamptz
)
language plpgsql
stable
strict
parallel safe
rows 100
set search_path = pg_catalog, pg_temp
as $function$
#variable_conflict use_column
declare
    start constant bigint := @extschema@.sparse_version_id($1);
begin
    return query
    with recursive reached (id, distance) as (
        select start, 0
        union
        select e.child, r.distance + 1
        from reached r
        join sparse.parent e on e.parent = r.id
    ),
    nearest as (
        select r.id, min(r.distance) as distance
        from reached r
        group by r.id
    )
    select n.distance + 1, v.id, v.name, v.revision, v.state, e.role, e.parent, v.created_at
    from nearest n
    join sparse.parent e on e.parent = n.id
    join sparse.version v on v.id = e.child
    order by n.distance + 1, v.id, e.parent, e.ordinal;
end
$function$;
comment on function sparse_descendants(bigint) is
'The descendants of a version: a row per edge, from version to parent, nearest first.';

create function sparse_descendants(of_version text)
returns table (
    distance integer,
    version bigint,
    name text,
    revision integer,
    state text,
    role text,
    parent bigint,
    created_at timestamptz
)
language sql
stable
strict
parallel safe
rows 100
set search_path = pg_catalog, pg_temp
as $function$
    select * from @extschema@.sparse_descendants(@extschema@.sparse_version_id($1));
$function$;
comment on function sparse_descendants(text) is
'The descendants of a version: a row per edge, from version to parent, nearest first.';
