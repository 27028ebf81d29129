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

create function sparse_update_store()
returns integer
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $function$
begin
    -- formats above 1 add their steps here, for the owner of the store, each within "if format < N"
    if @extschema@.sparse_store_format() = 1 and to_regclass('sparse.repacked') is null then
        perform @extschema@.sparse_create_care();
    end if;
    return @extschema@.sparse_store_format();
end
$function$;
comment on function sparse_update_store() is
'Brings the tables of a store to the format of this version of the extension, and returns that. Run it after "alter extension sparse update".';
