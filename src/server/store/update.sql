/*
 * update.sql: a store that an older version of the extension has made, after "alter extension
 * sparse update" (docs/design.md, "Versions and upgrades").
 *
 * The tables are no members of the extension, so no upgrade script may touch them: there may be
 * no store, and who updates the extension need not be its owner. Format 1 is the first.
 */

create function sparse_store_format()
returns integer
language c
stable
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'store_format';
comment on function sparse_store_format() is
'The format of the tables of the store; an error where this version of sparse does not know it.';

create function sparse_set_sequences()
returns void
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $function$
declare
    of record;
    largest bigint;
    last bigint;
begin
    for of in
        select s.oid as sequence, a.attrelid::regclass as relation, a.attname as name
        from pg_class s
        join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = s.oid and d.deptype in ('a', 'i')
                        and d.refclassid = 'pg_class'::regclass and d.refobjsubid > 0
        join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
        where s.relkind = 'S' and s.relnamespace = 'sparse'::regnamespace
        order by s.relname
    loop
        execute format('select max(%I) from %s', of.name, of.relation) into largest;
        execute format('select case when is_called then last_value else last_value - 1 end from %s', of.sequence::regclass) into last;
        if largest > last then
            perform setval(of.sequence::regclass, largest);
            raise notice 'sequence "%" was behind its table, and goes on after %', of.sequence::regclass, largest
                using detail = 'Logical replication brings rows and no sequences.';
        end if;
    end loop;
end
$function$;
comment on function sparse_set_sequences() is
'The part of sparse_update_store() that sets the sequences of the store past the ids in its tables, as a subscriber that takes over needs it.';

create function sparse_update_store_of()
returns integer
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $function$
begin
    -- formats above 1 add their steps here, each within "if format < N"
    perform @extschema@.sparse_create_parents();
    perform @extschema@.sparse_create_places();
    perform @extschema@.sparse_create_model();
    perform @extschema@.sparse_create_care();
    perform @extschema@.sparse_create_hub();
    if not exists (select from pg_attribute where attrelid = 'sparse.staged'::regclass and attname = 'declared') then
        alter table sparse.staged add column declared boolean not null default false;
        alter table sparse.upload add column held boolean not null default false;
        comment on column sparse.staged.declared is 'its chunks refer to what the client has named; what that is, object_parent says';
        comment on column sparse.upload.held is 'whether its client had all tensors of its parents: it looked through them itself';
    end if;
    perform @extschema@.sparse_attach_store();
    perform @extschema@.sparse_set_sequences();
    return @extschema@.sparse_store_format();
end
$function$;
comment on function sparse_update_store_of() is
'What sparse_update_store() does, as whoever calls it.';

create function sparse_update_store()
returns integer
language c
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'call_as_owner';
comment on function sparse_update_store() is
'Brings the tables of a store to the format of this version of the extension, and returns that; brings back what "drop extension ... cascade" took, and sets sequences past the ids that replication brought. For the store''s owner, after "create extension", "alter extension sparse update", or the promotion of a subscriber.';
