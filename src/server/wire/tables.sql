/*
 * tables.sql: what owners may have and have, and what is still to be looked at after an upload.
 */

create function sparse_version_quota()
returns trigger
language c
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'version_quota';
comment on function sparse_version_quota() is
'Trigger of sparse.version: refuses a version with which its owner would have more than sparse.quota allows.';

create function sparse_attach_wire()
returns void
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $function$
begin
    if not exists (select from pg_trigger where tgrelid = 'sparse.version'::regclass and tgname = 'version_quota') then
        create trigger version_quota after update of state on sparse.version
            for each row when (new.state = 'ready' and old.state <> 'ready')
            execute function @extschema@.sparse_version_quota();
    end if;
end
$function$;
comment on function sparse_attach_wire() is
'The part of sparse_create_store() and sparse_update_store() that makes the trigger of quotas, where it is missing.';

create function sparse_create_wire()
returns void
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $function$
begin
    create table sparse.quota (
        owner text primary key,
        versions bigint check (versions >= 0),
        raw_bytes bigint check (raw_bytes >= 0),
        stored_bytes bigint check (stored_bytes >= 0)
    );
    comment on table sparse.quota is 'what ready versions and uploads of an owner (version.created_by) may come to; null: no limit';
    comment on column sparse.quota.owner is 'a role, or * for each that has no row of its own';

    create view sparse.usage with (security_invoker = true) as
    select u.owner,
           u.versions,
           u.raw_bytes,
           u.stored_bytes,
           q.versions as versions_allowed,
           q.raw_bytes as raw_bytes_allowed,
           q.stored_bytes as stored_bytes_allowed
    from (select created_by as owner,
                 count(*) as versions,
                 sum(raw_bytes)::bigint as raw_bytes,
                 sum(stored_bytes)::bigint as stored_bytes
          from sparse.version
          where state = 'ready'
          group by created_by) u
    left join lateral (select versions, raw_bytes, stored_bytes
                       from sparse.quota
                       where owner in (u.owner, '*')
                       order by owner = '*'
                       limit 1) q on true;
    comment on view sparse.usage is 'what the ready versions of each owner come to, beside what his quota allows';
end
$function$;
comment on function sparse_create_wire() is
'The part of sparse_create_store() that makes the table of quotas.';
